//! Whose turn it is when many passwords wait to be compared.

use std::io::Write;
use std::net::TcpStream;

use crate::support::http::open;
use crate::support::{PASSWORD, Server, json};

/// The bytes of a log-in that comes from this address, as a trusted proxy says.
fn login(name: &str, address: &str) -> Vec<u8> {
    let body = json!({"username": name, "password": PASSWORD}).to_string();
    format!(
        "POST /api/v1/auth/login HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: {address}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Whether something has arrived that nobody has read.
fn is_answered(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("an open socket");
    let answered = stream.peek(&mut [0]).is_ok_and(|count| count == 1);
    stream.set_nonblocking(false).expect("an open socket");
    answered
}

#[test]
fn a_storm_of_logins_keeps_nobody_else_waiting() {
    const STORM: usize = 40;
    let server = Server::start(&[
        "api.trusted_proxies=127.0.0.1",
        "api.trust_x_forwarded_for=true",
        "authentication.sessions.max_per_user=1000",
        "encryption.argon2.memory_kib=8192",
    ]);
    for name in ["storm", "guest", "bob"] {
        server.register(name);
    }
    let send = |name: &str, address: &str| {
        let mut stream = open(server.address());
        stream.write_all(&login(name, address)).expect("a write");
        stream
    };
    let storm: Vec<TcpStream> = (0..STORM).map(|_| send("storm", "192.0.2.1")).collect();
    // Another account behind the same address, and one elsewhere.
    let others = [send("guest", "192.0.2.1"), send("bob", "192.0.2.2")];
    for other in others {
        assert_eq!(other.peek(&mut [0]).expect("an answer"), 1);
    }
    let before = storm.iter().filter(|stream| is_answered(stream)).count();
    assert!(before < STORM / 2, "{before} of {STORM} were answered first");
    for stream in storm {
        assert_eq!(stream.peek(&mut [0]).expect("an answer, if later"), 1);
    }
}

/// Niceness of the threads whose names begin so, as the kernel has it.
fn niceness(server: &Server, name: &str) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("the server runs");
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let named = stats.filter(|stat| stat.contains(&format!("({name}")));
    // proc_pid_stat(5): field 19, of which two are before the bracket.
    let field = |stat: &str| stat.rsplit(") ").next()?.split(' ').nth(16).map(str::to_string);
    named.filter_map(|stat| field(&stat)).collect()
}

#[test]
fn all_that_hashes_gives_way_to_others() {
    let server = Server::start(&["encryption.argon2.parallelism=2"]);
    server.register("alice");
    // The lanes of a hash have no name of their own and keep that of the thread that first hashes.
    let hashing = niceness(&server, "password-0");
    assert!(hashing.len() > 1, "a worker and its lanes: {hashing:?}");
    assert!(hashing.iter().all(|niceness| niceness == "19"), "{hashing:?}");
}
