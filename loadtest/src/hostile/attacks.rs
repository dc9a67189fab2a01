//! What hostile users and strangers do, one function each, bounded in connections and bytes.
//!
//! Invariant: attackers have no secret that lifts limits, and end when the stage says so.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::client::{INTENTS, Line};
use super::stage::{SOURCE, Stage, source};
use crate::schedule::Random;
use crate::ws;

/// What an attacker found out: what it is, how much of it, and how much would be too much.
pub type Found = Vec<(&'static str, f64, f64)>;

pub struct Attack {
    pub name: &'static str,
    pub about: &'static str,
    pub prepare: fn(&Stage<'_>) -> io::Result<()>,
    pub run: fn(&Stage<'_>) -> Found,
}

const fn attack(name: &'static str, about: &'static str, run: fn(&Stage<'_>) -> Found) -> Attack {
    Attack { name, about, prepare: |_| Ok(()), run }
}

pub const ATTACKS: [Attack; 18] = [
    attack("none", "nothing: what the machine allows", |stage| {
        stage.wait();
        Vec::new()
    }),
    Attack {
        prepare: fill_channel,
        ..attack(
            "unread-answers",
            "280 connections ask for the longest pages and do not read",
            unread_answers,
        )
    },
    attack("pings", "one anonymous connection sends pings as fast as it can", |stage| {
        frames(stage, &|out| ws::write_frame(out, ws::PING, b""))
    }),
    attack("continuations", "one anonymous connection sends a message in endless empty pieces", |stage| {
        frames(stage, &|out| out.extend_from_slice(&[0x00, 0x80, 0, 0, 0, 0]))
    }),
    attack("typing", "everybody types, 400 times a second, within all limits", typing),
    attack("killed-backups", "backups are killed while the store is written to", killed_backups),
    attack("embeds", "ten members post embeds as long as they may be", embeds),
    Attack {
        prepare: fill_server,
        ..attack("reorders", "the owner moves a channel among 500, over and over", reorders)
    },
    attack("passwords", "twelve accounts try passwords where they are asked for again", passwords),
    attack("bodies", "300 anonymous requests with half a body of 1 MB", bodies),
    attack("half-frames", "300 anonymous connections with half a frame of 64 KiB", half_frames),
    attack("connections", "15,000 connections of one address", connections),
    attack("settings", "eight members put 70,000 settings at once", settings),
    attack("presence", "twenty members with five sessions each change their presence", presence),
    attack("member-lists", "twenty members with five sessions each ask for the member list", member_lists),
    attack("bad-tokens", "200 bad tokens a second, of requests and sessions", bad_tokens),
    attack("login-names", "logins with unknown and known names", login_names),
    attack("ended-tokens", "sessions whose token was ended", ended_tokens),
];

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
                    begun = line.write(&block);
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
            stage.line(index, line)?.call(&stage.target.stranger, "POST", &path, token, "{}")?;
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
                writes.fetch_add(1, Relaxed);
                line.call(&stage.target.friend, "PUT", &path, token, &body).map(|_| ())
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
            let _ = child.kill();
            let _ = child.wait();
            let _ = std::fs::remove_dir_all(&to);
        }
        stage.wait();
    });
    let grown = stage.server.store_len().saturating_sub(before) as f64;
    let writes = writes.load(Relaxed).max(1) as f64;
    vec![("bytes the store grew by per write", grown / writes, 4096.0), ("writes", writes, f64::INFINITY)]
}

fn embeds(stage: &Stage<'_>) -> Found {
    let Ok(body) = longest_embeds(stage) else { return Vec::new() };
    let path = format!("/api/v1/channels/{}/messages", stage.channel);
    stage.each(10, |index, line| stage.call(index, line, ("POST", &path, &body)).map(|_| ()));
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
    let mut line = match Line::open(stage.target, SOURCE, None) {
        Ok(line) => line,
        Err(_) => return Vec::new(),
    };
    let path = format!("/api/v1/channels/{}", stage.channel);
    let mut moves = 0.0;
    while !stage.stopped() {
        let position = if (moves as u64).is_multiple_of(2) { 499 } else { 0 };
        let body = format!(r#"{{"position":{position}}}"#);
        match line.call(&stage.target.stranger, "PATCH", &path, &stage.owner, &body) {
            Ok(reply) if reply.status == 200 => moves += 1.0,
            Ok(_) => {}
            Err(_) => match Line::open(stage.target, SOURCE, None) {
                Ok(again) => line = again,
                Err(_) => break,
            },
        }
        thread::sleep(Duration::from_millis(250));
    }
    vec![("moves", moves, f64::INFINITY)]
}

/// Somebody else logs in meanwhile, who has nothing to do with it.
fn passwords(stage: &Stage<'_>) -> Found {
    let (judged, slowest_us) = (AtomicU64::new(0), AtomicU64::new(0));
    let (attackers, friend) = stage.attackers.split_at(stage.attackers.len() - 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            let body = login_body(&friend[0].1, super::PASSWORD);
            let mut line = None;
            while !stage.stopped() {
                let begun = Instant::now();
                let answer = match stage.line(199, &mut line) {
                    Ok(line) => line.call(&stage.target.friend, "POST", "/api/v1/auth/login", "", &body),
                    Err(e) => Err(e),
                };
                match answer {
                    Ok(_) => slowest_us.fetch_max(begun.elapsed().as_micros() as u64, Relaxed),
                    Err(_) => {
                        line = None;
                        slowest_us.fetch_max(10_000_000, Relaxed)
                    }
                };
                thread::sleep(Duration::from_millis(300));
            }
        });
        scope.spawn(|| {
            stage.each(12, |index, line| {
                let token = &attackers[index].0;
                let (method, body) = match index % 2 {
                    0 => ("DELETE", r#"{"password":"Wrong-Passw0rd!"}"#),
                    _ => ("PATCH", r#"{"password":"New-Passw0rd!1","current_password":"Wrong-Passw0rd!"}"#),
                };
                let line = stage.line(index, line)?;
                let reply = line.call(&stage.target.stranger, method, "/api/v1/users/@me", token, body)?;
                match reply.status {
                    400 | 401 if !says_locked(&reply.body) => judged.fetch_add(1, Relaxed),
                    403 if !says_locked(&reply.body) => judged.fetch_add(1, Relaxed),
                    _ => {
                        thread::sleep(Duration::from_millis(100));
                        0
                    }
                };
                Ok(())
            });
        });
    });
    vec![
        ("wrong passwords judged per account", judged.load(Relaxed) as f64 / 12.0, 6.0),
        ("slowest login of somebody else, ms", slowest_us.load(Relaxed) as f64 / 1e3, 2_000.0),
    ]
}

fn says_locked(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    ["lock", "too many", "try again"].iter().any(|word| text.contains(word))
}

fn login_body(name: &str, password: &str) -> String {
    format!(r#"{{"username":"{name}","password":"{password}"}}"#)
}

/// Opens connections, sends each what it never finishes, and holds them. Those that the server ends come again.
fn hold(
    stage: &Stage<'_>,
    count: usize,
    sources: usize,
    begin: impl Fn(&mut Line) -> io::Result<()>,
) -> Found {
    let mut held: Vec<Option<Line>> = Vec::new();
    for index in 0..count {
        if stage.stopped() {
            break;
        }
        let open = || -> io::Result<Line> {
            let mut line = Line::open(stage.target, source(index % sources), None)?;
            line.stream_timeout(Duration::from_millis(500))?;
            begin(&mut line)?;
            Ok(line)
        };
        held.push(open().ok());
    }
    stage.wait();
    Vec::new()
}

fn bodies(stage: &Stage<'_>) -> Found {
    let head = format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
        stage.target.stranger.host
    );
    let half = vec![b' '; 990_000];
    hold(stage, 300, 3, |line| {
        line.write(head.as_bytes())?;
        line.write(&half)
    })
}

fn half_frames(stage: &Stage<'_>) -> Found {
    // A masked text frame of 65,000 bytes (RFC 6455 §5.2), of which 60,000 are sent.
    let mut half = vec![0x81, 0xfe];
    half.extend_from_slice(&65_000u16.to_be_bytes());
    half.extend_from_slice(&[0; 4]);
    half.resize(60_000, b' ');
    hold(stage, 300, 3, |line| {
        line.upgrade(stage.target)?;
        line.write(&half)
    })
}

fn connections(stage: &Stage<'_>) -> Found {
    hold(stage, 15_000, 1, |_| Ok(()))
}

fn settings(stage: &Stage<'_>) -> Found {
    let entries: Vec<String> = (0..70_000).map(|key| format!("\"k{key}\":1")).collect();
    let body = format!("{{{}}}", entries.join(","));
    stage.each(8, |index, line| {
        stage.call(index, line, ("PUT", "/api/v1/users/@me/settings/bulk", &body)).map(|_| ())
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
            line.send(&say(turn))?;
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
    let refused = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut line = None;
            while !stage.stopped() {
                let call = |line: &mut Option<Line>| -> io::Result<u16> {
                    let token = &stage.attackers[20].0;
                    let line = stage.line(0, line)?;
                    Ok(line.call(&stage.target.friend, "GET", "/api/v1/users/@me", token, "")?.status)
                };
                match call(&mut line) {
                    Ok(200) => {}
                    Ok(_) => drop(refused.fetch_add(1, Relaxed)),
                    Err(_) => line = None,
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        scope.spawn(|| {
            stage.each(4, |index, line| {
                thread::sleep(Duration::from_millis(20));
                if index == 3 {
                    let mut session = Line::open(stage.target, SOURCE, None)?;
                    session.upgrade(stage.target)?;
                    return session.identify("1.bad", INTENTS).map(|_| ());
                }
                stage
                    .line(0, line)?
                    .call(&stage.target.stranger, "GET", "/api/v1/users/@me", "1.bad", "")
                    .map(|_| ())
            });
        });
    });
    vec![("good tokens of the same address refused", refused.load(Relaxed) as f64, 0.0)]
}

/// Whether the lockout tells which names exist.
fn login_names(stage: &Stage<'_>) -> Found {
    let told = |name: &str| -> io::Result<Vec<u16>> {
        let mut line = Line::open(stage.target, SOURCE, None)?;
        let body = login_body(name, "Wrong-Passw0rd!");
        (0..8)
            .map(|_| Ok(line.call(&stage.target.friend, "POST", "/api/v1/auth/login", "", &body)?.status))
            .collect()
    };
    let differs = match (told(&stage.attackers[0].1), told("nobody_of_that_name")) {
        (Ok(known), Ok(unknown)) => f64::from(u8::from(known != unknown)),
        _ => 1.0,
    };
    stage.each(4, |index, line| {
        let body = login_body(&stage.attackers[1 + index].1, "Wrong-Passw0rd!");
        stage.line(index, line)?.call(&stage.target.stranger, "POST", "/api/v1/auth/login", "", &body)?;
        thread::sleep(Duration::from_millis(100));
        Ok(())
    });
    vec![("known and unknown names answered differently", differs, 0.0)]
}

/// How long the session of a token that was logged out goes on.
fn ended_tokens(stage: &Stage<'_>) -> Found {
    let mut slowest_s = 0.0f64;
    for index in 0..5 {
        let end = || -> io::Result<f64> {
            let token = &stage.attackers[index].0;
            let (mut session, _) = Line::session(stage.target, SOURCE, token, INTENTS)?;
            let mut line = Line::open(stage.target, SOURCE, None)?;
            line.call(&stage.target.friend, "POST", "/api/v1/auth/logout", token, "{}")?;
            let begun = Instant::now();
            while session.receive().is_ok() {}
            Ok(begun.elapsed().as_secs_f64())
        };
        slowest_s = slowest_s.max(end().unwrap_or(0.0));
    }
    stage.wait();
    vec![("seconds that a session outlives its token", slowest_s, 2.0)]
}
