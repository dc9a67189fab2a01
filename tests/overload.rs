//! More than the server can take: it says so, serves the others meanwhile, and comes back.

#[path = "support/disk.rs"]
mod disk;
#[path = "support/line.rs"]
mod line;
mod support;

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use disk::SmallDisk;
use line::Line;
use support::http::{open, read_answer};
use support::{Frame, PASSWORD, Server, Socket, User, Value, json};

/// Far above what a busy machine needs for a request, far below what a starved client would wait.
const STARVED: Duration = Duration::from_secs(1);
/// The longest message there can be: 4,000 characters of four bytes.
const LONG: &str = "🐘";

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// An owner and the path of the messages of its channel.
fn channel(server: &Server) -> (User, String) {
    let owner = server.register("owner");
    let mut line = Line::open(server.address()).unwrap();
    let made = line.post("/servers", &owner.token, &json!({"name": "overload"})).unwrap().want(200);
    let messages = format!("/channels/{}/messages", text(&made["default_channel_id"]));
    (owner, messages)
}

fn content(index: usize) -> Value {
    json!({"content": format!("{index} {}", LONG.repeat(3_900))})
}

/// 99 of 100 were faster.
fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[(times.len() - 1) * 99 / 100]
}

/// Asks for the own account until `over`; how long each answer took.
fn ask_on(address: SocketAddr, token: &str, over: &AtomicBool) -> Vec<Duration> {
    let mut line = Line::open(address).unwrap();
    let mut times = Vec::new();
    while !over.load(Ordering::Relaxed) || times.is_empty() {
        let begun = Instant::now();
        line.get("/users/@me", token).unwrap().want(200);
        times.push(begun.elapsed());
        std::thread::sleep(Duration::from_millis(2));
    }
    times
}

#[test]
fn a_storm_of_logins_is_refused_in_part_and_starves_nobody() {
    let server = Server::start(&[
        "encryption.argon2.time_cost=2",
        "encryption.argon2.memory_kib=65536",
        "encryption.argon2.queue_len_max=4",
        "authentication.sessions.max_per_user=1000",
    ]);
    let user = server.register("stormy");
    let address = server.address();
    let over = AtomicBool::new(false);
    let (statuses, asked, beats) = std::thread::scope(|scope| {
        let (over, user) = (&over, &user);
        let asking: Vec<_> = (0..4).map(|_| scope.spawn(|| ask_on(address, &user.token, over))).collect();
        let mut socket = server.gateway();
        socket.identify(&user.token);
        let beating = scope.spawn(move || {
            let mut times = Vec::new();
            // 120 messages a minute are allowed.
            while !over.load(Ordering::Relaxed) && times.len() < 100 {
                let begun = Instant::now();
                socket.events_until_now();
                times.push(begun.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
            times
        });
        let login = move || {
            let mut line = Line::open(address).unwrap();
            let body = json!({"username": "stormy", "password": PASSWORD});
            let answers = (0..3).map(|_| line.call("POST", "/auth/login", None, Some(&body)).unwrap());
            let status = |answer: support::Answer| {
                if answer.status == 503 {
                    let wait = answer.header("retry-after").and_then(|text| text.parse::<u32>().ok());
                    assert!(wait.is_some_and(|wait| wait > 0), "no Retry-After");
                    answer.want(503);
                }
                answer.status
            };
            answers.map(status).collect::<Vec<u16>>()
        };
        let logins: Vec<_> = (0..30).map(|_| scope.spawn(login)).collect();
        // All have ended before one that failed may end this: the others ask until it is over.
        let ended: Vec<_> = logins.into_iter().map(|login| login.join()).collect();
        over.store(true, Ordering::Relaxed);
        let statuses: Vec<u16> = ended.into_iter().flat_map(|login| login.unwrap()).collect();
        let asked: Vec<Duration> = asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect();
        (statuses, asked, beating.join().unwrap())
    });
    let count = |wanted: u16| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!(count(200) + count(503), statuses.len(), "{statuses:?}");
    assert!(count(200) > 0 && count(503) > 0, "{statuses:?}");
    let (asked, beats) = (p99(asked), p99(beats));
    println!("{} logins, {} refused; requests {asked:?}, heartbeats {beats:?}", count(200), count(503));
    assert!(asked < STARVED && beats < STARVED, "{asked:?} {beats:?}");
}

/// Posts long messages on four connections until each is refused; what was stored.
fn post_until_full(server: &Server, owner: &User, messages: &str) -> Vec<String> {
    let address = server.address();
    std::thread::scope(|scope| {
        let post = |worker: usize| {
            let mut line = Line::open(address).unwrap();
            let mut stored = Vec::new();
            for index in 0..20_000 {
                let answer = line.post(messages, &owner.token, &content(worker * 100_000 + index)).unwrap();
                if answer.status == 503 {
                    assert!(answer.header("retry-after").is_some());
                    return (stored, text(&answer.want(503)["error"]["message"]));
                }
                stored.push(text(&answer.want(200)["id"]));
            }
            panic!("there is no end to it");
        };
        let posters: Vec<_> = (0..4).map(|worker| scope.spawn(move || post(worker))).collect();
        let ended: Vec<_> = posters.into_iter().map(|poster| poster.join().unwrap()).collect();
        assert!(ended.iter().any(|(_, why)| why.starts_with("Storage is full")), "{:?}", ended[0].1);
        ended.into_iter().flat_map(|(stored, _)| stored).collect()
    })
}

/// Whether every message that was stored, and was not deleted since, is there.
fn check_stored(server: &Server, owner: &User, messages: &str, stored: &[String]) {
    let mut line = Line::open(server.address()).unwrap();
    let mut found = BTreeMap::new();
    let mut after = "0".to_owned();
    loop {
        let path = format!("{messages}?limit=50&after={after}");
        let page = line.get(&path, &owner.token).unwrap().want(200);
        let Some(last) = page.as_array().and_then(|page| page.last()) else { break };
        after = text(&last["id"]);
        found.extend(page.as_array().unwrap().iter().map(|one| (text(&one["id"]), text(&one["content"]))));
    }
    for id in stored {
        assert!(found.get(id).is_some_and(|content| content.ends_with(LONG)), "{id} is lost");
    }
}

#[test]
fn a_full_store_refuses_changes_reads_on_and_recovers() {
    let folder = support::temporary_folder();
    let small = ["store.map_size=16777216", "store.sync=interval"];
    let mut server = Server::start_in(folder.path(), &small);
    let (owner, messages) = channel(&server);
    let mut stored = post_until_full(&server, &owner, &messages);
    println!("{} messages fit", stored.len());
    check_stored(&server, &owner, &messages, &stored);
    let mut line = Line::open(server.address()).unwrap();
    line.get("/users/@me", &owner.token).unwrap().want(200);
    let ready = || server.http().get("/health/ready", None);
    let is_full = || ready().status == 503 && ready().json()["reason"] == "store_full";
    assert!(is_full());
    // What makes room is allowed, and the room can be used.
    let mut delete = |id: String| {
        let path = format!("{messages}/{id}");
        line.call("DELETE", &path, Some(&owner.token), None).unwrap().want(200);
    };
    // That of one message is filled by the next, which is no end of it.
    for _ in 0..5 {
        delete(stored.remove(0));
        stored.extend(post_until_full(&server, &owner, &messages));
        assert!(is_full());
    }
    stored.drain(..200).for_each(delete);
    let deadline = Instant::now() + support::PATIENCE;
    while ready().status != 200 {
        assert!(Instant::now() < deadline, "it is not ready again");
        std::thread::sleep(Duration::from_millis(20));
    }
    let log = server.log_with("only deletions are taken");
    assert_eq!(log.lines().filter(|line| line.contains("only deletions are taken")).count(), 1, "{log}");
    for index in 0..20 {
        let posted = line.post(&messages, &owner.token, &content(index)).unwrap().want(200);
        stored.push(text(&posted["id"]));
    }
    // Full again, a kill, and the same store is still good.
    stored.extend(post_until_full(&server, &owner, &messages));
    server.kill();
    let mut server = Server::start_in(folder.path(), &small);
    check_stored(&server, &owner, &messages, &stored);
    let mut line = Line::open(server.address()).unwrap();
    let refused = line.post(&messages, &owner.token, &content(0)).unwrap().want(503);
    assert!(text(&refused["error"]["message"]).starts_with("Storage is full"), "{refused}");
    server.kill();
    let server = Server::start_in(folder.path(), &["store.map_size=33554432"]);
    check_stored(&server, &owner, &messages, &stored);
    let mut line = Line::open(server.address()).unwrap();
    for index in 0..20 {
        line.post(&messages, &owner.token, &content(index)).unwrap().want(200);
    }
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn a_full_disk_refuses_changes_reads_on_and_recovers() {
    let Some(disk) = SmallDisk::mount("size=8m") else { return };
    let server = Server::start_in(disk.path(), &[]);
    let (owner, messages) = channel(&server);
    let stored = post_until_full(&server, &owner, &messages);
    println!("{} messages fit", stored.len());
    check_stored(&server, &owner, &messages, &stored);
    disk.remount("size=32m");
    let mut line = Line::open(server.address()).unwrap();
    for index in 0..20 {
        line.post(&messages, &owner.token, &content(index)).unwrap().want(200);
    }
    check_stored(&server, &owner, &messages, &stored);
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn half_open_connections_time_out_and_hold_up_nobody() {
    let server = Server::start(&["http.header_timeout_ms=4000"]);
    let user = server.register("patient");
    let address = server.address();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask_on(address, &user.token, &over));
        let half = b"GET /api/v1/health HTTP/1.1\r\nHost: half\r\nX-Never";
        let streams: Vec<TcpStream> = (0..open_files_max().min(10_000))
            .map(|_| {
                let mut stream = open(address);
                stream.write_all(half).unwrap();
                stream
            })
            .collect();
        let count = streams.len();
        for stream in streams {
            let mut stream = BufReader::new(stream);
            assert_eq!(read_answer(&mut stream, false).expect("an answer").status, 408);
            assert_eq!(stream.read(&mut [0; 16]).unwrap_or(0), 0, "closed after the answer");
        }
        over.store(true, Ordering::Relaxed);
        let asked = p99(asking.join().unwrap());
        println!("{count} half-open connections; requests {asked:?}");
        assert!(asked < STARVED, "{asked:?}");
    });
}

/// Connections that this process may open, with some left for the other tests.
fn open_files_max() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the struct.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX).saturating_sub(500)
}

#[test]
fn a_client_that_never_reads_is_closed_and_may_resume() {
    const COUNT: usize = 200;
    let server = Server::start(&["websocket.socket_send_buffer=16384"]);
    let (owner, messages) = channel(&server);
    let mut reader = server.gateway();
    reader.identify(&owner.token);
    let mut sleeper = server.gateway();
    let ready = sleeper.identify(&owner.token);
    let mut line = Line::open(server.address()).unwrap();
    let mut times = Vec::new();
    let started = Instant::now();
    let mut count = 0;
    // As long as a client may be behind that does not read at all, and longer.
    while count < COUNT || started.elapsed() < Duration::from_secs(6) {
        if count >= COUNT {
            std::thread::sleep(Duration::from_millis(100));
        }
        let (begun, index) = (Instant::now(), count);
        count += 1;
        line.post(&messages, &owner.token, &content(index)).unwrap().want(200);
        times.push(begun.elapsed());
        // The other session gets everything. It reads as fast as is posted: on a machine that stands still a reader
        // of its own pace could fall so far behind that it is closed, too.
        reader.event("MESSAGE_CREATE");
    }
    assert!(p99(times) < STARVED);
    // What the kernel had taken may still come; then the close, or the end if it did not get through.
    loop {
        match sleeper.frame() {
            Frame::Text(frame) => {
                let frame: Value = serde_json::from_str(&frame).unwrap();
                sleeper.sequence = frame["s"].as_u64().unwrap();
            }
            Frame::Close(code, _) => break assert_eq!(code, 4008),
            Frame::End => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(sleeper.sequence < count as u64, "it was cut off");
    let mut resumed = server.gateway();
    resumed.sequence = sleeper.sequence;
    let d = json!({"token": owner.token, "session_id": ready["session_id"], "seq": sleeper.sequence});
    resumed.send(&json!({"op": 6, "d": d}));
    assert_eq!(resumed.json()["t"], "RESUMED");
    while resumed.sequence < count as u64 + 1 {
        assert_eq!(resumed.json()["t"], "MESSAGE_CREATE");
    }
}

/// A gateway that never rests, and a connection that pipelines without end: others on the same core are served.
#[test]
fn who_never_rests_leaves_the_others_their_turn() {
    let server = Server::start(&["runtime.cores=1", "websocket.rate_limit_per_minute=0"]);
    let user = server.register("patient");
    let address = server.address();
    let over = AtomicBool::new(false);
    let flood = |mut stream: TcpStream, bytes: Vec<u8>| {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let mut reader = stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut buffer = vec![0; 1 << 20];
                while !over.load(Ordering::Relaxed) {
                    let _ = reader.read(&mut buffer);
                }
            });
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            while !over.load(Ordering::Relaxed) {
                let _ = stream.write(&bytes);
            }
        });
    };
    let pings = support::websocket::frame(0x89, b"at full speed", Some([1, 2, 3, 4])).repeat(5_000);
    let requests = b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    std::thread::scope(|scope| {
        let gateway = server.gateway().stream().try_clone().unwrap();
        scope.spawn(|| flood(gateway, pings));
        scope.spawn(|| flood(open(address), requests));
        let mut socket = server.gateway();
        socket.identify(&user.token);
        let mut line = Line::open(address).unwrap();
        let (mut asked, mut beats) = (Vec::new(), Vec::new());
        for _ in 0..30 {
            let begun = Instant::now();
            line.get("/users/@me", &user.token).expect("a turn").want(200);
            asked.push(begun.elapsed());
            let begun = Instant::now();
            socket.events_until_now();
            beats.push(begun.elapsed());
        }
        over.store(true, Ordering::Relaxed);
        let (asked, beats) = (p99(asked), p99(beats));
        // Without a turn of their own they would wait for the end of the floods. How many turns they wait is tested
        // where turns can be counted.
        println!("requests {asked:?}, heartbeats {beats:?}");
        assert!(asked < 10 * STARVED && beats < 10 * STARVED, "{asked:?} {beats:?}");
    });
}

#[test]
fn a_flood_of_frames_is_closed() {
    let server = Server::start(&[]);
    let user = server.register("flooder");
    let mut other = server.gateway();
    other.identify(&user.token);
    for _ in 0..20 {
        let mut flooder = server.gateway();
        let beat = support::websocket::frame(0x81, br#"{"op":1,"d":null}"#, Some([1, 2, 3, 4]));
        // The server may close before everything is written.
        let _ = flooder.try_send(&beat.repeat(5_000));
        let mut answers = 0;
        loop {
            match flooder.frame() {
                Frame::Text(_) => answers += 1,
                Frame::Close(code, _) => break assert_eq!(code, 4008),
                other => panic!("{other:?} after {answers}"),
            }
        }
        assert!((100..=130).contains(&answers), "{answers}");
    }
    other.events_until_now();
}

/// A client that sends on after it was sent away fills its own socket, and is gone when it ends.
#[test]
fn who_was_sent_away_is_read_no_further() {
    const TOO_MUCH: usize = 64 << 20;
    let server = Server::start(&["websocket.close_timeout_ms=60000"]);
    let open_files = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let before = open_files();
    let flooder = server.gateway();
    let mut stream = flooder.stream();
    stream.set_write_timeout(Some(2 * STARVED)).unwrap();
    let pings = support::websocket::frame(0x89, b"", Some([1, 2, 3, 4])).repeat(10_000);
    let mut sent = 0;
    while sent < TOO_MUCH {
        match stream.write(&pings) {
            Ok(len) => sent += len,
            Err(_) => break,
        }
    }
    assert!(sent < TOO_MUCH, "all of it was read");
    // It ends with a reset, for it has not read what it was sent: long before the time for its close frame is over.
    drop(flooder);
    let deadline = Instant::now() + support::PATIENCE;
    while open_files() > before && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(open_files() <= before, "the connection stays open:\n{}", server.log());
}

#[test]
fn garbage_ends_only_its_own_connection() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let server = Server::start(&["http.header_timeout_ms=100", "http.body_timeout_ms=100"]);
    let user = server.register("calm");
    let mut calm = server.gateway();
    calm.identify(&user.token);
    let starts: [&[u8]; 5] = [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 40000\r\n\r\n",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];
    for round in 0..200 {
        let garbage: Vec<u8> = (0..random.usize(1..60_000)).map(|_| random.u8(..)).collect();
        if round % 4 == 3 {
            let mut socket: Socket = server.gateway();
            let _ = socket.try_send(&garbage);
            // A length that never comes may keep it open; what else there is, is an error.
            socket.ends_within(Duration::from_millis(20));
        } else {
            let mut stream = open(server.address());
            let _ = stream.write_all(starts[random.usize(..starts.len())]);
            let _ = stream.write_all(&garbage);
            if random.bool() {
                let _ = stream.read(&mut [0; 4_096]);
            }
        }
        if round % 10 == 0 {
            let mut line = Line::open(server.address()).unwrap();
            line.get("/users/@me", &user.token).unwrap().want(200);
        }
    }
    calm.events_until_now();
}

#[test]
fn an_orderly_end_under_load_loses_nothing_that_was_acknowledged() {
    let folder = support::temporary_folder();
    for round in 0..3 {
        let options = ["websocket.close_timeout_ms=1000", "store.batch_max=1"];
        let mut server = Server::start_in(folder.path(), &options);
        let (owner, messages) = match round {
            0 => channel(&server),
            _ => {
                let mut line = Line::open(server.address()).unwrap();
                let body = json!({"username": "owner", "password": PASSWORD});
                let login = line.call("POST", "/auth/login", None, Some(&body)).unwrap().want(200);
                let token = text(&login["token"]);
                let servers = line.get("/servers", &token).unwrap().want(200);
                let id = text(&servers[0]["default_channel_id"]);
                let owner = User { id: String::new(), name: "owner".into(), token };
                (owner, format!("/channels/{id}/messages"))
            }
        };
        let address = server.address();
        let mut polite = server.gateway();
        polite.identify(&owner.token);
        // Never answers the close, and holds up one core to the end of its patience.
        let mut stubborn = server.gateway();
        stubborn.identify(&owner.token);
        let (stored, took, status) = std::thread::scope(|scope| {
            let posters: Vec<_> = (0..6)
                .map(|worker| {
                    let (owner, messages) = (&owner, &messages);
                    scope.spawn(move || post_until_gone(address, owner, messages, worker))
                })
                .collect();
            let reading = scope.spawn(move || polite.closed());
            std::thread::sleep(Duration::from_millis(300));
            server.signal(libc::SIGTERM);
            let begun = Instant::now();
            let status = server.wait();
            let took = begun.elapsed();
            assert_eq!(reading.join().unwrap().0, 4017);
            let stored: Vec<_> = posters.into_iter().flat_map(|poster| poster.join().unwrap()).collect();
            (stored, took, status)
        });
        drop(stubborn);
        assert_eq!(status.code(), Some(0), "{}", server.log());
        // Grace, close time-out, and some for a busy machine.
        assert!(took < Duration::from_millis(300 + 1_000 + 3_000), "{took:?}");
        println!("{} acknowledged, ended in {took:?}", stored.len());
        let server = Server::start_in(folder.path(), &[]);
        let mut line = Line::open(server.address()).unwrap();
        for (id, content) in stored {
            let found = line.get(&format!("{messages}/{id}"), &owner.token).unwrap().want(200);
            assert_eq!(found["content"], content.as_str());
        }
    }
}

#[test]
fn an_idle_server_ends_after_its_grace() {
    let server = Server::start(&["runtime.cores=2"]);
    let _idle = Line::open(server.address()).unwrap();
    let begun = Instant::now();
    assert_eq!(server.stop().code(), Some(0));
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(300 + 3_000), "{took:?}");
}

/// Posts, on a new connection when the server ends one, until nobody listens any more.
fn post_until_gone(
    address: SocketAddr,
    owner: &User,
    messages: &str,
    worker: usize,
) -> Vec<(String, String)> {
    let mut stored = Vec::new();
    while let Ok(mut line) = Line::open(address) {
        for index in 0.. {
            let content = format!("{worker} {index}");
            let Ok(answer) = line.post(messages, &owner.token, &json!({"content": content})) else { break };
            match answer.status {
                200 => stored.push((text(&answer.json()["id"]), content)),
                _ => drop(answer.want(503)),
            }
        }
    }
    stored
}

fn resident_kib(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// One account asks for long pages on many connections and reads none of them.
#[test]
fn answers_that_nobody_reads_hold_bounded_memory() {
    const CONNECTION_COUNT: usize = 280;
    let server = Server::start(&["rate_limiting.enabled=false", "runtime.cores=1"]);
    let (owner, messages) = channel(&server);
    let other = server.register("other");
    let mut line = Line::open(server.address()).unwrap();
    for index in 0..100 {
        line.post(&messages, &owner.token, &content(index)).unwrap().want(200);
    }
    let page = line.get(&format!("{messages}?limit=100"), &owner.token).unwrap();
    let page_kib = page.body.len() as u64 / 1024;
    assert_eq!(page.want(200).as_array().unwrap().len(), 100);
    let before_kib = resident_kib(&server);
    let request = format!(
        "GET /api/v1{messages}?limit=100 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
        owner.token
    );
    let mut unread = Vec::new();
    for _ in 0..CONNECTION_COUNT {
        let mut stream = open(server.address());
        // Two requests: the second waits for the first to be read.
        stream.write_all(request.repeat(2).as_bytes()).unwrap();
        unread.push(BufReader::new(stream));
        // Everybody else is served meanwhile.
        if unread.len().is_multiple_of(40) {
            line.get("/users/@me", &other.token).unwrap().want(200);
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    let held_kib = resident_kib(&server).saturating_sub(before_kib);
    assert!(
        held_kib < 40 * 1024,
        "{held_kib} KiB for {CONNECTION_COUNT} unread pages of {page_kib} KiB, {} are 8 MiB",
        8 * 1024 / page_kib
    );
    let statuses: Vec<u16> =
        unread.iter_mut().map(|stream| read_answer(stream, false).unwrap().status).collect();
    let count = |status: u16| statuses.iter().filter(|other| **other == status).count();
    assert!(count(200) >= 3 && count(200) + count(429) == CONNECTION_COUNT, "{statuses:?}");
    drop(unread);
    line.get(&format!("{messages}?limit=100"), &owner.token).unwrap().want(200);
}

/// More accounts than a core has room for leave long pages unread: that is theirs alone.
#[test]
fn answers_that_many_leave_unread_cost_nobody_else_any() {
    const HOLDER_COUNT: usize = 24;
    let server = Server::start(&["rate_limiting.enabled=false", "runtime.cores=1"]);
    let (owner, messages) = channel(&server);
    let other = server.register("other");
    let mut line = Line::open(server.address()).unwrap();
    for index in 0..100 {
        line.post(&messages, &owner.token, &content(index)).unwrap().want(200);
    }
    let invites = messages.replace("/messages", "/invites");
    let code = text(&line.post(&invites, &owner.token, &json!({})).unwrap().want(200)["code"]);
    let mut unread = Vec::new();
    let mut statuses = Vec::new();
    for index in 0..HOLDER_COUNT {
        let holder = server.register(&format!("holder{index}"));
        line.post(&format!("/channels/invites/{code}"), &holder.token, &json!({})).unwrap().want(200);
        let request = format!(
            "GET /api/v1{messages}?limit=100 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\r\n",
            holder.token
        );
        for _ in 0..4 {
            let mut stream = open(server.address());
            stream.write_all(request.repeat(2).as_bytes()).unwrap();
            unread.push(BufReader::new(stream));
            statuses.push(line.get("/users/@me", &other.token).unwrap().status);
        }
    }
    statuses.push(line.get(&format!("{messages}?limit=1"), &owner.token).unwrap().status);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    // There was room for some of them, not for all.
    let is_whole =
        |stream: &mut BufReader<_>| read_answer(stream, false).is_ok_and(|answer| answer.status == 200);
    let whole = unread.iter_mut().map(is_whole).filter(|whole| *whole).count();
    assert!((HOLDER_COUNT..4 * HOLDER_COUNT).contains(&whole), "{whole} of {}", 4 * HOLDER_COUNT);
}

/// Bodies that begin and do not end, from nobody who is known.
#[test]
fn half_bodies_of_strangers_hold_bounded_memory() {
    let server = Server::start(&["runtime.cores=1"]);
    let before_kib = resident_kib(&server);
    let head = "POST /api/v1/auth/login HTTP/1.1\r\nHost: h\r\nContent-Length: 65536\r\n\r\n";
    let request = format!("{head}{}", "x".repeat(65_000));
    let mut line = Line::open(server.address()).unwrap();
    let mut held = Vec::new();
    for _ in 0..2_000 {
        let mut stream = open(server.address());
        // Those with the most are ended meanwhile.
        let _ = stream.write_all(request.as_bytes());
        held.push(stream);
    }
    // All have come by then. The largest are ended every 100 ms and their pages given back after seconds, well before a
    // body's own time of 30 s is over.
    std::thread::sleep(Duration::from_secs(2));
    let deadline = Instant::now() + Duration::from_secs(12);
    let held_kib = || resident_kib(&server).saturating_sub(before_kib);
    while held_kib() >= 100 * 1024 {
        assert!(Instant::now() < deadline, "{} KiB for 2,000 bodies of 64 KiB", held_kib());
        std::thread::sleep(Duration::from_millis(100));
    }
    line.call("GET", "/version", None, None).unwrap().want(200);
}
