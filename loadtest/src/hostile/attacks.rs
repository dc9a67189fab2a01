//! What hostile users and strangers do, one function each, bounded in connections and time.
//!
//! Invariant: attackers have no secret that lifts limits, and end when the stage says so. Each attack tells the stage how
//! often it acted, or counts as one that did not take place. What failed counts as the worst, never as the best.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{INTENTS, Line};
use super::stage::{SOURCE, Stage, source};
use super::uploads::{let_upload, uploads};
use crate::schedule::Random;
use crate::ws;

/// What an attacker found out: what it is, how much of it, and how much would be too much.
pub type Found = Vec<(&'static str, f64, f64)>;

pub struct Attack {
    pub name: &'static str,
    pub about: &'static str,
    /// What is counted as having acted.
    pub acts: &'static str,
    /// Options that the server gets for it.
    pub options: &'static [&'static str],
    pub prepare: fn(&Stage<'_>) -> io::Result<()>,
    pub run: fn(&Stage<'_>) -> Found,
}

const fn attack(
    name: &'static str,
    about: &'static str,
    acts: &'static str,
    run: fn(&Stage<'_>) -> Found,
) -> Attack {
    Attack { name, about, acts, options: &[], prepare: |_| Ok(()), run }
}

pub const ATTACKS: [Attack; 19] = [
    attack("none", "nothing: what the machine allows", "peace kept", |stage| {
        stage.acted(1);
        stage.wait();
        Vec::new()
    }),
    Attack {
        prepare: fill_channel,
        ..attack(
            "unread-answers",
            "280 connections ask for the longest pages and do not read",
            "connections with an answer that nobody reads",
            unread_answers,
        )
    },
    attack("pings", "one anonymous connection sends pings as fast as it can", BLOCKS, |stage| {
        frames(stage, &|out| ws::write_frame(out, ws::PING, b""))
    }),
    attack(
        "continuations",
        "one anonymous connection sends a message in endless empty pieces",
        BLOCKS,
        |stage| frames(stage, &|out| out.extend_from_slice(&[0x00, 0x80, 0, 0, 0, 0])),
    ),
    attack("typing", "everybody types, 400 times a second, within all limits", TAKEN, typing),
    attack(
        "killed-backups",
        "backups are killed while the store is written to",
        "backups killed while they copied",
        killed_backups,
    ),
    attack("embeds", "ten members post embeds as long as they may be", TAKEN, embeds),
    Attack {
        prepare: fill_server,
        ..attack("reorders", "the owner moves a channel among 500, over and over", TAKEN, reorders)
    },
    attack(
        "passwords",
        "twelve accounts try passwords where they are asked for again",
        "passwords judged",
        passwords,
    ),
    attack(
        "bodies",
        "600 anonymous requests with half a body, of 1 MB and of 65 KB",
        "halves that the server waited with",
        bodies,
    ),
    Attack {
        options: &["media.rate_limit.enabled=false"],
        prepare: let_upload,
        ..attack(
            "uploads",
            "200 videos of 100 MB at once, of 1 MB a second each; 50 stop on the way",
            "uploads that the server took in",
            uploads,
        )
    },
    attack(
        "half-frames",
        "300 anonymous connections with half a frame of 64 KiB",
        "halves that the server waited with",
        half_frames,
    ),
    Attack {
        options: &["server.host=0.0.0.0", "http.connections_max=8000"],
        ..attack(
            "connections",
            "15,000 silent connections of one address, where there are 8,000 places",
            "connections that stood",
            connections,
        )
    },
    attack("settings", "eight members put 70,000 settings at once", "requests looked at", settings),
    attack("presence", "twenty members with five sessions each change their presence", SENT, presence),
    attack(
        "member-lists",
        "twenty members with five sessions each ask for the member list",
        SENT,
        member_lists,
    ),
    attack(
        "bad-tokens",
        "200 bad tokens a second, of requests and sessions",
        "bad tokens refused as such",
        bad_tokens,
    ),
    attack("login-names", "logins with unknown and known names", "logins judged", login_names),
    attack("ended-tokens", "sessions whose token was ended", "tokens ended", ended_tokens),
];

const TAKEN: &str = "requests taken";
const BLOCKS: &str = "blocks of 32 KiB sent";
const SENT: &str = "messages of sessions sent";

/// Embeds with so many bytes where they may not be counted: in what is read, in addresses, in names of keys.
fn embeds_of(len: usize) -> [String; 3] {
    let part = "t".repeat(len / 10);
    let described = vec![format!(r#"{{"description":"{part}"}}"#); 10].join(",");
    let address = format!("https://e.example/{}", "a".repeat(len));
    [
        described,
        format!(r#"{{"title":"e","image":{{"url":"{address}"}}}}"#),
        format!(r#"{{"title":"e","{}":1}}"#, "k".repeat(len)),
    ]
}

/// The longest message with embeds that the server takes.
fn longest_embeds(stage: &Stage<'_>) -> io::Result<String> {
    let mut line = Line::open(stage.target, SOURCE, None)?;
    let path = format!("/api/v1/channels/{}/messages", stage.channel);
    for len in [60_000, 48_000, 30_000, 20_000, 12_000, 6_000, 5_000, 1_000] {
        for embeds in embeds_of(len) {
            let body = format!(r#"{{"content":"e","embeds":[{embeds}]}}"#);
            if stage.arrange(&mut line, &stage.attackers[0].0, &path, &body)? == 200 {
                return Ok(body);
            }
        }
    }
    Err(io::Error::other("no embed is taken"))
}

/// A hundred messages as long as they may be.
fn fill_channel(stage: &Stage<'_>) -> io::Result<()> {
    let longest = longest_embeds(stage)?;
    let body = longest.replace(r#""content":"e""#, &format!(r#""content":"{}""#, "€".repeat(4_000)));
    let mut line = Line::open(stage.target, SOURCE, None)?;
    let path = format!("/api/v1/channels/{}/messages", stage.channel);
    for index in 0..100 {
        let status = stage.arrange(&mut line, &stage.attackers[index % 10].0, &path, &body)?;
        if status != 200 {
            stage.arrange(&mut line, &stage.attackers[index % 10].0, &path, &longest)?;
        }
    }
    Ok(())
}

fn unread_answers(stage: &Stage<'_>) -> Found {
    let mut held = Vec::new();
    for index in 0..280 {
        let Ok(mut line) = Line::open(stage.target, source(index), Some(2048)) else { continue };
        let token = &stage.attackers[index % 20].0;
        let path = format!("/api/v1/channels/{}/messages?limit=100", stage.channel);
        let mut out = Vec::new();
        for _ in 0..4 {
            stage.target.stranger.write_request(&mut out, "GET", &path, token, b"");
        }
        let _ = line.write(&out);
        held.push(line);
        thread::sleep(Duration::from_millis(10));
    }
    let is_answered = |line: &&Line| line.peek().is_ok_and(|bytes| bytes.starts_with(b"HTTP/1.1 200"));
    stage.acted(held.iter().filter(is_answered).count() as u64);
    stage.wait();
    Vec::new()
}

/// An anonymous connection that sends frames without a pause, and reads what comes back. Cut off, it comes again.
fn frames(stage: &Stage<'_>, frame: &dyn Fn(&mut Vec<u8>)) -> Found {
    let mut block = Vec::new();
    while block.len() < 32 << 10 {
        frame(&mut block);
    }
    while !stage.stopped() {
        let flood = || -> io::Result<()> {
            let mut line = Line::open(stage.target, SOURCE, None)?;
            line.upgrade(stage.target)?;
            let mut reader = line.reader()?;
            thread::scope(|scope| {
                scope.spawn(move || while reader.discard().is_ok() {});
                // A message begins: what follows may be its continuation.
                let mut begun = line.write(&[0x01, 0x80, 0, 0, 0, 0]);
                while begun.is_ok() && !stage.stopped() {
                    begun = line.write(&block).inspect(|()| stage.acted(1));
                }
                line.end();
            });
            Ok(())
        };
        let _ = flood();
        thread::sleep(Duration::from_millis(50));
    }
    Vec::new()
}

fn typing(stage: &Stage<'_>) -> Found {
    let path = format!("/api/v1/channels/{}/typing", stage.channel);
    let (lanes, rate) = (16, 400);
    stage.each(lanes, |index, line| {
        let mut turn = index;
        let begun = Instant::now();
        let mut sent = 0u32;
        while !stage.stopped() {
            let token = &stage.crowd[turn % stage.crowd.len()];
            turn += lanes;
            stage.call(index, line, token, ("POST", &path, "{}"), &[200, 204])?;
            sent += 1;
            let due = Duration::from_secs(1) * sent * lanes as u32 / rate;
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        Ok(())
    });
    Vec::new()
}

fn killed_backups(stage: &Stage<'_>) -> Found {
    let before = stage.server.store_len();
    let writes = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Only a writer without limits shows what a pinned page costs.
            stage.each(4, |index, line| {
                let body = format!(r#"{{"value":"{}"}}"#, writes.load(Relaxed));
                let token = &stage.attackers[index].0;
                let line = stage.line(index, line)?;
                let path = format!("/api/v1/users/@me/settings/k{index}");
                let reply = line.call(&stage.target.friend, "PUT", &path, token, &body)?;
                writes.fetch_add(u64::from(reply.status == 200), Relaxed);
                Ok(())
            });
        });
        let mut random = Random::new(7);
        for count in 0..20 {
            if stage.stopped() {
                return;
            }
            let to = stage.server.folder.with_extension(format!("backup-{count}"));
            let Ok(mut child) = stage.server.backup(&to) else { return };
            let begun = Instant::now();
            let is_copying = || to.read_dir().is_ok_and(|mut files| files.next().is_some());
            while !is_copying() && begun.elapsed() < Duration::from_secs(2) {
                thread::yield_now();
            }
            thread::sleep(Duration::from_micros(random.below(3_000) as u64));
            let is_killed = matches!(child.try_wait(), Ok(None)) && is_copying() && child.kill().is_ok();
            stage.acted(u64::from(is_killed));
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_dir_all(&to);
        }
        stage.wait();
    });
    let grown = stage.server.store_len().saturating_sub(before) as f64;
    let writes = writes.load(Relaxed) as f64;
    let per_write = if writes > 0.0 { grown / writes } else { f64::INFINITY };
    vec![("bytes the store grew by per write", per_write, 4096.0), ("writes", writes, f64::INFINITY)]
}

fn embeds(stage: &Stage<'_>) -> Found {
    let Ok(body) = longest_embeds(stage) else { return Vec::new() };
    let path = format!("/api/v1/channels/{}/messages", stage.channel);
    stage.each(10, |index, line| {
        stage.call(index, line, &stage.attackers[index].0, ("POST", &path, &body), &[200])
    });
    vec![("bytes of a message with embeds", body.len() as f64, 32_768.0)]
}

/// As many channels as a server may have.
fn fill_server(stage: &Stage<'_>) -> io::Result<()> {
    let path = format!("/api/v1/servers/{}/channels", stage.server_id);
    let full = AtomicBool::new(false);
    thread::scope(|scope| {
        for lane in 0..8 {
            let (path, full) = (&path, &full);
            scope.spawn(move || -> io::Result<()> {
                let mut line = Line::open(stage.target, source(lane), None)?;
                for index in 0..70 {
                    let body = format!(r#"{{"name":"c-{lane}-{index}","channel_type":"text"}}"#);
                    if full.load(Relaxed) || stage.arrange(&mut line, &stage.owner, path, &body)? != 200 {
                        full.store(true, Relaxed);
                        return Ok(());
                    }
                }
                Ok(())
            });
        }
    });
    Ok(())
}

fn reorders(stage: &Stage<'_>) -> Found {
    let path = format!("/api/v1/channels/{}", stage.channel);
    stage.each(1, |index, line| {
        let position = if stage.acts.load(Relaxed).is_multiple_of(2) { 499 } else { 0 };
        let body = format!(r#"{{"position":{position}}}"#);
        stage.call(index, line, &stage.owner, ("PATCH", &path, &body), &[200])?;
        thread::sleep(Duration::from_millis(250));
        Ok(())
    });
    Vec::new()
}

/// Somebody else logs in meanwhile, who has nothing to do with it.
fn passwords(stage: &Stage<'_>) -> Found {
    let (attackers, friend) = stage.attackers.split_at(stage.attackers.len() - 1);
    let mut slowest_ms = f64::INFINITY;
    thread::scope(|scope| {
        let logins = scope.spawn(|| slowest_login_ms(stage, &friend[0].1));
        stage.each(12, |index, line| {
            let token = &attackers[index].0;
            let (method, body) = match index % 2 {
                0 => ("DELETE", r#"{"password":"Wrong-Passw0rd!"}"#),
                _ => ("PATCH", r#"{"password":"New-Passw0rd!1","current_password":"Wrong-Passw0rd!"}"#),
            };
            let line = stage.line(index, line)?;
            let reply = line.call(&stage.target.stranger, method, "/api/v1/users/@me", token, body)?;
            match reply.status {
                400 | 401 | 403 if !says_locked(&reply.body) => stage.acted(1),
                _ => thread::sleep(Duration::from_millis(100)),
            }
            Ok(())
        });
        slowest_ms = logins.join().unwrap_or(f64::INFINITY);
    });
    vec![
        ("wrong passwords judged per account", stage.acts.load(Relaxed) as f64 / 12.0, 6.0),
        ("slowest login of somebody else, ms", slowest_ms, 2_000.0),
    ]
}

/// Logs in over and over with the right password; a login that fails takes for ever.
fn slowest_login_ms(stage: &Stage<'_>, name: &str) -> f64 {
    let body = login_body(name, super::PASSWORD);
    let mut line = None;
    let mut login = || -> io::Result<f64> {
        let begun = Instant::now();
        let line = stage.line(199, &mut line)?;
        match line.call(&stage.target.friend, "POST", "/api/v1/auth/login", "", &body)?.status {
            200 => Ok(begun.elapsed().as_secs_f64() * 1e3),
            status => Err(io::Error::other(format!("HTTP {status}"))),
        }
    };
    let mut slowest_ms = login().unwrap_or(f64::INFINITY);
    while !stage.stopped() && slowest_ms.is_finite() {
        thread::sleep(Duration::from_millis(300));
        slowest_ms = slowest_ms.max(login().unwrap_or(f64::INFINITY));
    }
    slowest_ms
}

fn says_locked(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["lock", "too many", "try again"].iter().any(|word| text.contains(word))
}

fn login_body(name: &str, password: &str) -> String {
    format!(r#"{{"username":"{name}","password":"{password}"}}"#)
}

/// Opens connections, sends each what it never finishes, and holds them. Those that the server then waits with are acts.
fn hold(
    stage: &Stage<'_>,
    count: usize,
    open: impl Fn(usize) -> io::Result<Line>,
    begin: impl Fn(usize, &mut Line) -> io::Result<()>,
) -> Found {
    let mut held = Vec::new();
    for index in 0..count {
        if stage.stopped() {
            break;
        }
        let begun = || -> io::Result<Line> {
            let mut line = open(index)?;
            line.stream_timeout(Duration::from_millis(500))?;
            begin(index, &mut line)?;
            Ok(line)
        };
        held.extend(begun());
    }
    // A refusal has arrived by then.
    thread::sleep(Duration::from_millis(100));
    stage.acted(held.iter().filter(|line| line.is_silent()).count() as u64);
    stage.wait();
    Vec::new()
}

/// One of 1 MB is refused by its head, so every other one is of 65 KB, for which the server has to wait.
fn bodies(stage: &Stage<'_>) -> Found {
    let halves = [1_000_000, 65_000].map(|len| {
        let head = format!(
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {len}\r\n\r\n",
            stage.target.stranger.host
        );
        [head.into_bytes(), vec![b' '; len / 2]].concat()
    });
    let open = |index| Line::open(stage.target, source(index % 3), None);
    hold(stage, 600, open, |index, line| line.write(&halves[index % 2]))
}

fn half_frames(stage: &Stage<'_>) -> Found {
    // A masked text frame of 65,000 bytes (RFC 6455 §5.2), of which 60,000 are sent.
    let mut half = vec![0x81, 0xfe];
    half.extend_from_slice(&65_000u16.to_be_bytes());
    half.extend_from_slice(&[0; 4]);
    half.resize(60_000, b' ');
    let open = |index| Line::open(stage.target, source(index % 3), None);
    hold(stage, 300, open, |_, line| {
        line.upgrade(stage.target)?;
        // HELLO, after which the server has nothing to say.
        line.receive()?;
        line.write(&half)
    })
}

/// Of an address of this machine that is not loopback: loopback is a proxy in front, or the operator, and may have every
/// place. Without such an address there is no attack.
fn connections(stage: &Stage<'_>) -> Found {
    let open = |_| Line::open_as_a_stranger(stage.target);
    hold(stage, 15_000, open, |_, _| Ok(()));
    vec![("connections of one address at once", stage.acts.load(Relaxed) as f64, 6_000.0)]
}

fn settings(stage: &Stage<'_>) -> Found {
    let entries: Vec<String> = (0..70_000).map(|key| format!("\"k{key}\":1")).collect();
    let body = format!("{{{}}}", entries.join(","));
    stage.each(8, |index, line| {
        let ask = ("PUT", "/api/v1/users/@me/settings/bulk", body.as_str());
        // Taken, or refused for what is in them.
        stage.call(index, line, &stage.attackers[index].0, ask, &[200, 400, 413, 422])
    });
    Vec::new()
}

/// Twenty attackers with five sessions each, which say something so many times a minute.
fn sessions(stage: &Stage<'_>, per_minute: u64, say: impl Fn(u64) -> String + Sync) -> Found {
    stage.each(100, |index, line| {
        if line.is_none() {
            let (opened, _) =
                Line::session(stage.target, source(index), &stage.attackers[index % 20].0, INTENTS)?;
            let mut reader = opened.reader()?;
            thread::spawn(move || while reader.discard().is_ok() {});
            *line = Some(opened);
        }
        let Some(line) = line else { return Ok(()) };
        for turn in 0..per_minute {
            if stage.stopped() {
                line.end();
                return Ok(());
            }
            if let Err(e) = line.send(&say(turn)) {
                line.end();
                return Err(e);
            }
            stage.acted(1);
            thread::sleep(Duration::from_millis(60_000 / per_minute));
        }
        Ok(())
    });
    Vec::new()
}

fn presence(stage: &Stage<'_>) -> Found {
    sessions(stage, 115, |turn| {
        let status = ["online", "idle", "dnd"][turn as usize % 3];
        format!(r#"{{"op":3,"d":{{"status":"{status}"}}}}"#)
    })
}

fn member_lists(stage: &Stage<'_>) -> Found {
    let message = format!(
        r#"{{"op":8,"d":{{"guild_id":"{}","query":"","limit":0,"presences":true}}}}"#,
        stage.server_id
    );
    sessions(stage, 115, |_| message.clone())
}

/// Somebody with a good token shares the attackers' address.
fn bad_tokens(stage: &Stage<'_>) -> Found {
    const PATH: &str = "/api/v1/users/@me";
    let (served, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            stage.each(1, |_, line| {
                thread::sleep(Duration::from_millis(100));
                let token = &stage.attackers[20].0;
                let answer = stage
                    .line(0, line)
                    .and_then(|line| line.call(&stage.target.friend, "GET", PATH, token, ""))
                    .map(|reply| reply.status);
                let count = if matches!(answer, Ok(200)) { &served } else { &refused };
                count.fetch_add(1, Relaxed);
                answer.map(|_| ())
            });
        });
        stage.each(4, |index, line| {
            thread::sleep(Duration::from_millis(20));
            if index == 3 {
                let mut session = Line::open(stage.target, SOURCE, None)?;
                session.upgrade(stage.target)?;
                return session.identify("1.bad", INTENTS).map(|_| ());
            }
            let reply = stage.line(0, line)?.call(&stage.target.stranger, "GET", PATH, "1.bad", "")?;
            stage.acted(u64::from(reply.status == 401));
            Ok(())
        });
    });
    let refused = if served.into_inner() > 0 { refused.into_inner() as f64 } else { f64::INFINITY };
    vec![("good tokens of the same address refused", refused, 0.0)]
}

/// Whether the lockout tells which names exist.
fn login_names(stage: &Stage<'_>) -> Found {
    const PATH: &str = "/api/v1/auth/login";
    let told = |name: &str| -> io::Result<Vec<u16>> {
        let mut line = Line::open(stage.target, SOURCE, None)?;
        let body = login_body(name, "Wrong-Passw0rd!");
        (0..8).map(|_| Ok(line.call(&stage.target.friend, "POST", PATH, "", &body)?.status)).collect()
    };
    let differs = match (told(&stage.attackers[0].1), told("nobody_of_that_name")) {
        (Ok(known), Ok(unknown)) => {
            stage.acted(known.iter().filter(|status| **status == 401).count() as u64);
            f64::from(u8::from(known != unknown))
        }
        _ => 1.0,
    };
    stage.each(4, |index, line| {
        let body = login_body(&stage.attackers[1 + index].1, "Wrong-Passw0rd!");
        stage.call(index, line, "", ("POST", PATH, &body), &[401])?;
        thread::sleep(Duration::from_millis(100));
        Ok(())
    });
    vec![("known and unknown names answered differently", differs, 0.0)]
}

/// How long the session of a token that was logged out goes on.
fn ended_tokens(stage: &Stage<'_>) -> Found {
    let end = |token: &str| -> io::Result<f64> {
        let (mut session, _) = Line::session(stage.target, SOURCE, token, INTENTS)?;
        let mut line = Line::open(stage.target, SOURCE, None)?;
        let reply = line.call(&stage.target.friend, "POST", "/api/v1/auth/logout", token, "{}")?;
        if reply.status != 200 {
            return Err(io::Error::other(format!("HTTP {}", reply.status)));
        }
        stage.acted(1);
        let begun = Instant::now();
        while session.receive().is_ok() {
            // One that is never closed goes on getting events.
            if stage.stopped() {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(begun.elapsed().as_secs_f64())
    };
    let outlived = stage.attackers[..5].iter().map(|(token, _)| end(token).unwrap_or(f64::INFINITY));
    let slowest_s = outlived.fold(0.0, f64::max);
    stage.wait();
    vec![("seconds that a session outlives its token", slowest_s, 2.0)]
}
