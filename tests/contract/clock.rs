//! The system clock is set while the program runs, and between its runs.
//!
//! The clock of the machine stays as it is: the program gets a `clock_gettime` of its own, put before that of the C
//! library, which adds what stands in a file to the wall clock and leaves the monotonic one alone.

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use plexichat::id::{EPOCH_MS, first_id_at};
use plexichat::store::records::Meta;
use plexichat::store::tables::META;
use plexichat::store::{Options, Store, Sync};

use crate::support::{PASSWORD, PATIENCE, Server, User, Value, json, temporary_folder};

const DAY: i64 = 86_400;
const YEAR: i64 = 365 * DAY;

const SHIM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long *ahead;

__attribute__((constructor)) static void open_clock(void) {
    int fd = open(getenv("CLOCK_AHEAD"), O_RDONLY);
    if (fd >= 0) ahead = mmap(0, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
}

int clock_gettime(clockid_t id, struct timespec *time) {
    int status = syscall(SYS_clock_gettime, id, time);
    if (status == 0 && id == CLOCK_REALTIME && ahead) time->tv_sec += *ahead;
    return status;
}
"#;

/// A clock that can be set, and a folder for the data of the servers under it.
struct Clock {
    folder: tempfile::TempDir,
    shim: PathBuf,
    ahead: PathBuf,
}

impl Clock {
    fn new() -> Clock {
        let folder = temporary_folder();
        let at = |name: &str| folder.path().join(name);
        let (source, shim, ahead, data) = (at("clock.c"), at("clock.so"), at("ahead"), at("data"));
        std::fs::create_dir(data).expect("a folder");
        std::fs::write(&source, SHIM).expect("a file");
        let compiler = std::env::var_os("CC").unwrap_or("cc".into());
        let mut build = Command::new(compiler);
        build.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim).arg(&source);
        assert!(build.status().expect("the C compiler that the store is built with").success());
        let clock = Clock { folder, shim, ahead };
        std::fs::write(&clock.ahead, 0i64.to_ne_bytes()).expect("a file");
        clock
    }

    /// Sets it to so many seconds ahead of the real one.
    fn set(&self, seconds: i64) {
        let file = std::fs::OpenOptions::new().write(true).open(&self.ahead).expect("the file is there");
        file.write_all_at(&seconds.to_ne_bytes(), 0).expect("a write");
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn try_start(&self, options: &[&str]) -> Result<Server, String> {
        let env = [("LD_PRELOAD", self.shim.as_os_str()), ("CLOCK_AHEAD", self.ahead.as_os_str())];
        Server::try_start_with(&self.data(), options, &env).map_err(|(status, log)| {
            assert_eq!(status.code(), Some(1), "{log}");
            log
        })
    }

    fn start(&self) -> Server {
        self.try_start(&[]).unwrap_or_else(|log| panic!("no start:\n{log}"))
    }
}

/// Unix seconds of the real clock.
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("fits")
}

/// Whether a time of an answer is that of a clock so many seconds ahead.
#[track_caller]
fn shows(time: &Value, ahead: i64) {
    let difference = time.as_i64().expect("a time") - now() - ahead;
    assert!(difference.abs() <= PATIENCE.as_secs() as i64, "{difference} s off");
}

/// Asks until the answer is that; a pause that takes a day fails here.
#[track_caller]
fn comes(what: &str, mut ask: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ask() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn call(server: &Server, user: &User, line: &str, body: Value) -> (u16, Value) {
    let (method, path) = line.split_once(' ').expect("METHOD path");
    let body = Some(&body).filter(|body| !body.is_null());
    let answer = server.http().call(method, &format!("/api/v1{path}"), Some(&user.token), body);
    (answer.status, answer.json())
}

#[track_caller]
fn ok(server: &Server, user: &User, line: &str, body: Value) -> Value {
    let (status, body) = call(server, user, line, body);
    assert_eq!(status, 200, "{line}: {body}");
    body
}

fn login(server: &Server, name: &str, password: &str) -> u16 {
    let body = json!({"username": name, "password": password});
    server.http().post("/api/v1/auth/login", None, &body).status
}

fn id(value: &Value) -> u64 {
    value["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

/// A chat server of `alice` with `bob` in it and a pause of one second; the path of its channel.
fn place(server: &Server, alice: &User, bob: &User) -> String {
    let made = ok(server, alice, "POST /servers", json!({"name": "Home"}));
    let channel = format!("/channels/{}", made["default_channel_id"].as_str().expect("an id"));
    ok(server, alice, &format!("PATCH {channel}"), json!({"slowmode_seconds": 1}));
    let invite = ok(server, alice, &format!("POST {channel}/invites"), Value::Null);
    let code = invite["code"].as_str().expect("a code");
    ok(server, bob, &format!("POST /channels/invites/{code}"), Value::Null);
    channel
}

#[test]
fn a_clock_that_was_ahead_for_a_while_costs_nothing_afterwards() {
    let clock = Clock::new();
    let server = clock.start();
    let (alice, bob) = (server.register("alice"), server.register("bob"));
    let channel = place(&server, &alice, &bob);
    let post = |server: &Server, user: &User| {
        call(server, user, &format!("POST {channel}/messages"), json!({"content": "x"}))
    };
    let before = post(&server, &alice).1;
    shows(&before["created_at"], 0);

    clock.set(DAY);
    server.log_with("step_ms=86400000");
    let ahead = post(&server, &bob).1;
    shows(&ahead["created_at"], DAY);
    let invite = ok(&server, &alice, &format!("POST {channel}/invites"), json!({"max_age": 1}));
    let code = invite["code"].as_str().expect("a code").to_owned();
    for _ in 0..5 {
        login(&server, "bob", "Wrong-password-1");
    }
    assert_eq!(login(&server, "bob", PASSWORD), 403);

    clock.set(0);
    server.log_with("step_ms=-86400000");
    let after = post(&server, &alice).1;
    shows(&after["created_at"], 0);
    assert!(id(&before) < id(&ahead) && id(&ahead) < id(&after), "ids rise");
    comes("slowmode of a second ends", || post(&server, &bob).0 == 200);
    let look =
        |server: &Server| call(server, &alice, &format!("GET /channels/invites/{code}"), Value::Null).0;
    comes("an invite of a second ends", || look(&server) == 404);
    let seen = |server: &Server| ok(server, &bob, "GET /auth/sessions", Value::Null)[0].clone();
    shows(&seen(&server)["expires_at"], 168 * 3_600);

    // The same after the next start.
    assert!(server.stop().success());
    let server = clock.start();
    server.log_with("ids_ahead_ms");
    let next = post(&server, &alice).1;
    shows(&next["created_at"], 0);
    assert!(id(&next) > id(&after));
    shows(&seen(&server)["expires_at"], 168 * 3_600);
    assert!(server.stop().success());
}

#[test]
fn a_clock_that_is_set_between_two_runs_costs_its_step_once() {
    let clock = Clock::new();
    let server = clock.start();
    let (alice, bob) = (server.register("alice"), server.register("bob"));
    let channel = place(&server, &alice, &bob);
    assert!(server.stop().success());
    let line = format!("POST {channel}/messages");
    let mut last = 0;
    // Sessions live for seven days and bear two steps of two days forwards; those back cost nothing.
    for ahead in [2 * DAY, 0, 2 * DAY, 0] {
        clock.set(ahead);
        let server = clock.start();
        let log = if ahead == 0 { server.log_with("set backwards") } else { server.log() };
        assert_eq!(log.contains("set backwards"), ahead == 0, "{log}");
        comes("slowmode ends", || call(&server, &bob, &line, json!({"content": "x"})).0 == 200);
        let message = ok(&server, &alice, &line, json!({"content": "x"}));
        shows(&message["created_at"], ahead);
        assert!(id(&message) > last, "ids rise");
        last = id(&message);
        let invite = ok(&server, &alice, &format!("POST {channel}/invites"), json!({"max_age": 1}));
        let look = format!("GET /channels/invites/{}", invite["code"].as_str().expect("a code"));
        comes("an invite of a second ends", || call(&server, &bob, &look, Value::Null).0 == 404);
        assert!(server.stop().success());
    }
}

#[test]
fn an_absurd_clock_is_refused_at_start() {
    let clock = Clock::new();
    clock.set(-now());
    let log = clock.try_start(&[]).err().expect("no start in 1970");
    assert!(log.contains("the system clock shows Thu, 01 Jan 1970"), "{log}");
    assert!(log.contains("before this version was made") && log.contains("--any-clock"), "{log}");

    clock.set(0);
    let server = clock.start();
    let alice = server.register("alice");
    assert!(server.stop().success());
    clock.set(20 * YEAR);
    let log = clock.try_start(&[]).err().expect("no start in twenty years");
    assert!(log.contains("years after the last change of the store") && log.contains("--any-clock"), "{log}");
    // The refusal has left nothing behind.
    clock.set(0);
    let server = clock.start();
    shows(&ok(&server, &alice, "GET /auth/sessions", Value::Null)[0]["expires_at"], 168 * 3_600);
    assert!(server.stop().success());

    // Who insists gets what he asks for, and it does not last.
    clock.set(20 * YEAR);
    let server =
        clock.try_start(&["runtime.any_clock=true"]).unwrap_or_else(|log| panic!("no start:\n{log}"));
    let bob = server.register("bob");
    shows(&ok(&server, &bob, "GET /users/@me", Value::Null)["created_at"], 20 * YEAR);
    assert!(server.stop().success());
    clock.set(0);
    let server = clock.start();
    shows(&ok(&server, &bob, "GET /auth/sessions", Value::Null)[0]["expires_at"], 168 * 3_600);
    let carol = server.register("carol");
    shows(&ok(&server, &carol, "GET /users/@me", Value::Null)["created_at"], 0);
    assert!(carol.id.parse::<u64>().expect("an id") > bob.id.parse().expect("an id"), "ids rise");
}

/// Earlier versions kept one time that never ran backwards, and took it for the clock.
#[test]
fn a_store_that_an_earlier_version_has_left_in_the_future_comes_back() {
    let clock = Clock::new();
    let server = clock.start();
    let (alice, bob) = (server.register("alice"), server.register("bob"));
    let channel = place(&server, &alice, &bob);
    assert!(server.stop().success());
    let future_ms = u64::try_from(now() + 20 * YEAR).expect("after 1970") * 1_000;
    let options = Options { path: clock.data(), map_size: 1 << 30, sync: Sync::Always, readers_max: 8 };
    let store = Store::open(&options).expect("the store");
    let mut tx = store.begin().expect("a transaction");
    tx.put(META, "last_at", &Meta { value: future_ms });
    tx.put(META, "last_id", &Meta { value: first_id_at(future_ms) });
    tx.delete(META, "last_unix");
    tx.commit().expect("a commit");
    drop(store);

    let server = clock.start();
    assert_eq!(login(&server, "alice", PASSWORD), 200, "sessions of before have run out, as they had then");
    let (dave, eve) = (server.register("dave"), server.register("eve"));
    let own = place(&server, &dave, &eve);
    assert_ne!(own, channel);
    let message = ok(&server, &dave, &format!("POST {own}/messages"), json!({"content": "x"}));
    shows(&message["created_at"], 0);
    assert!(id(&message) >> 22 >= future_ms - EPOCH_MS, "ids go on");
    let line = format!("POST {own}/messages");
    ok(&server, &eve, &line, json!({"content": "x"}));
    comes("slowmode of a second ends", || call(&server, &eve, &line, json!({"content": "x"})).0 == 200);
    let invite = ok(&server, &dave, &format!("POST {own}/invites"), json!({"max_age": 1}));
    shows(&invite["created_at"], 0);
    let look = format!("GET /channels/invites/{}", invite["code"].as_str().expect("a code"));
    comes("an invite of a second ends", || call(&server, &eve, &look, Value::Null).0 == 404);
}
