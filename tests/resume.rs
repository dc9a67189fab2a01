//! Sessions that lose their connection again and again, in every way, under load: each ends with every message
//! exactly once, and its count has no gap.

#[path = "support/line.rs"]
mod line;
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use line::{Line, reset_on_close};
use support::{Frame, Server, Socket, Value, json};

const USERS: usize = 40;
const SESSIONS: usize = 200;
const POSTERS: usize = 2;
/// Between two messages of one poster.
const PAUSE: Duration = Duration::from_millis(20);
const LOAD: Duration = Duration::from_secs(8);

/// What one session went through.
#[derive(Default)]
struct Outcome {
    contents: Vec<String>,
    drops: usize,
}

#[test]
fn dropped_sessions_miss_nothing() {
    let seed = std::env::var("RESUME_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    println!("RESUME_SEED={seed}");
    let server = Server::start(&["websocket.identify_burst=0"]);
    let address = server.address();
    let owner = server.register("owner");
    let mut line = Line::open(address).unwrap();
    let made = line.post("/servers", &owner.token, &json!({"name": "resume"})).unwrap().want(200);
    let messages = format!("/channels/{}/messages", made["default_channel_id"].as_str().unwrap());
    let invites = messages.replace("/messages", "/invites");
    let invite = line.post(&invites, &owner.token, &json!({})).unwrap().want(200);
    let invite = format!("/channels/invites/{}", invite["code"].as_str().unwrap());
    let tokens: Vec<String> = (0..USERS)
        .map(|index| {
            let user = server.register(&format!("user{index}"));
            line.call("POST", &invite, Some(&user.token), None).unwrap().want(200);
            user.token
        })
        .collect();
    let sessions: Vec<_> = (0..SESSIONS)
        .map(|index| {
            let token = tokens[index % USERS].clone();
            let mut socket = server.gateway();
            let ready = socket.identify_with(json!({"token": token, "intents": 1 << 9}));
            let id = ready["session_id"].as_str().unwrap().to_owned();
            let random = fastrand::Rng::with_seed(seed ^ (index as u64) << 32);
            std::thread::spawn(move || Session { address, token, id, random, socket }.run())
        })
        .collect();
    let over = AtomicBool::new(false);
    let posted: Vec<String> = std::thread::scope(|scope| {
        let (over, messages, owner) = (&over, &messages, &owner);
        let post = |poster: usize| {
            let mut line = Line::open(address).unwrap();
            let mut contents = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let content = format!("{poster} {}", contents.len());
                line.post(messages, &owner.token, &json!({"content": content})).unwrap().want(200);
                contents.push(content);
                std::thread::sleep(PAUSE);
            }
            contents
        };
        let posters: Vec<_> = (0..POSTERS).map(|poster| scope.spawn(move || post(poster))).collect();
        std::thread::sleep(LOAD);
        over.store(true, Ordering::Relaxed);
        posters.into_iter().flat_map(|poster| poster.join().unwrap()).collect()
    });
    line.post(&messages, &owner.token, &json!({"content": "last"})).unwrap().want(200);
    let outcomes: Vec<Outcome> =
        sessions.into_iter().map(|session| session.join().expect("no gap and no refusal")).collect();
    let order = &outcomes[0].contents;
    assert_eq!(order.len(), posted.len() + 1, "every message once");
    let counts = order.iter().fold(HashMap::new(), |mut counts, content| {
        *counts.entry(content).or_insert(0) += 1;
        counts
    });
    assert!(posted.iter().all(|content| counts.get(content) == Some(&1)));
    for outcome in &outcomes {
        assert_eq!(&outcome.contents, order, "the same for all");
    }
    let drops: usize = outcomes.iter().map(|outcome| outcome.drops).sum();
    println!("{SESSIONS} sessions, {drops} resumes, {} messages each, 0 missed", order.len());
    assert!(drops > SESSIONS, "hardly any session was dropped");
}

struct Session {
    address: SocketAddr,
    token: String,
    id: String,
    random: fastrand::Rng,
    socket: Socket,
}

impl Session {
    /// Reads until the last message, dropping the connection now and then.
    fn run(mut self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut drop_at = self.next_drop();
        loop {
            let message = self.socket.json();
            if message["t"] == "MESSAGE_CREATE" {
                let content = message["d"]["content"].as_str().expect("a text").to_owned();
                let last = content == "last";
                outcome.contents.push(content);
                if last {
                    return outcome;
                }
            }
            if Instant::now() >= drop_at {
                self.lose_connection();
                self.resume();
                outcome.drops += 1;
                drop_at = self.next_drop();
            }
        }
    }

    fn next_drop(&mut self) -> Instant {
        Instant::now() + Duration::from_millis(self.random.u64(200..3_000))
    }

    /// In one of the ways in which clients go; some linger, some are away for a while.
    fn lose_connection(&mut self) {
        let stream = self.socket.stream();
        match self.random.u8(..4) {
            0 => reset_on_close(stream),
            1 => drop(stream.shutdown(std::net::Shutdown::Write)),
            2 => {
                self.socket.send_frame(0x88, &4_000u16.to_be_bytes());
                // What was under way does not count: the resume brings it again.
                while !matches!(self.socket.frame(), Frame::Close(..) | Frame::End) {}
            }
            // The server sees the resume first, and the end of the old connection later.
            _ => {}
        }
        if self.random.bool() {
            std::thread::sleep(Duration::from_millis(self.random.u64(..400)));
        }
    }

    fn resume(&mut self) {
        let mut socket = Socket::connect(self.address);
        assert_eq!(socket.json()["op"], 10);
        // Frames that came after the last one that was counted are sent again.
        socket.sequence = self.socket.sequence;
        let d = json!({"token": self.token, "session_id": self.id, "seq": socket.sequence});
        socket.send(&json!({"op": 6, "d": d}));
        let resumed: Value = socket.json();
        assert_eq!((&resumed["op"], &resumed["t"]), (&json!(0), &json!("RESUMED")), "{resumed}");
        self.socket = socket;
    }
}
