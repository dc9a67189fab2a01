//! What a running server tells about itself: the lines about slow turns and handlers, and /metrics.

#[path = "support/line.rs"]
mod line;
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use line::Line;
use support::{PATIENCE, Server, Socket, User, Value, json};

/// One core, so that one turn serves them all.
const SESSION_COUNT: usize = 200;

const OPTIONS: &[&str] = &[
    "runtime.cores=1",
    "logging.format=json",
    "logging.slow_turn_ms=1",
    "websocket.max_connections_per_user=0",
    "websocket.identify_burst=0",
];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// A server with metrics on a port that was free a moment ago.
fn start() -> (Server, SocketAddr, tempfile::TempDir) {
    start_with(&[])
}

fn start_with(more: &[&str]) -> (Server, SocketAddr, tempfile::TempDir) {
    for _ in 0..10 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = format!("metrics.port={}", free.port());
        let folder = support::temporary_folder();
        let options: Vec<&str> = OPTIONS.iter().chain(more).copied().chain([port.as_str()]).collect();
        if let Ok(server) = Server::try_start_in(folder.path(), &options) {
            return (server, free, folder);
        }
    }
    panic!("no port stays free");
}

/// Lines of the log with this message.
fn lines(server: &Server, message: &str) -> Vec<Value> {
    let log = server.log();
    let parsed = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    parsed.filter(|line| line["message"] == message).collect()
}

/// Provokes until the log has such a line. How long a turn takes is the machine's affair; that one is long some time
/// is not.
fn provoked(
    world: &mut World,
    message: &str,
    is_it: impl Fn(&Value) -> bool,
    again: impl Fn(&mut World),
) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        again(world);
        if let Some(line) = lines(&world.server, message).into_iter().find(|line| is_it(line)) {
            return line;
        }
        assert!(Instant::now() < deadline, "no such line");
    }
}

fn number(line: &Value, field: &str) -> u64 {
    line[field].as_u64().unwrap_or_else(|| panic!("{field} of {line}"))
}

struct World {
    server: Server,
    metrics: SocketAddr,
    owner: User,
    server_id: String,
    messages: String,
    line: Line,
    sockets: Vec<Socket>,
    /// Goes after the server.
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let (server, metrics, folder) = start();
        let owner = server.register("owner");
        let mut line = Line::open(server.address()).unwrap();
        let made = line.post("/servers", &owner.token, &json!({"name": "observed"})).unwrap().want(200);
        let messages = format!("/channels/{}/messages", text(&made["default_channel_id"]));
        let sockets = (0..SESSION_COUNT).map(|_| {
            let mut socket = server.gateway();
            socket.identify(&owner.token);
            socket
        });
        let sockets = sockets.collect();
        World {
            metrics,
            server_id: text(&made["id"]),
            server,
            owner,
            messages,
            line,
            sockets,
            _folder: folder,
        }
    }

    fn post(&mut self, content: &str) {
        self.line.post(&self.messages, &self.owner.token, &json!({"content": content})).unwrap().want(200);
        self.sockets.iter_mut().for_each(|socket| drop(socket.event("MESSAGE_CREATE")));
    }
}

#[test]
fn slow_turns_and_handlers_say_what_they_did() {
    let mut world = World::new();
    a_fan_out_names_its_event(&mut world);
    a_handler_names_its_route(&mut world);
    metrics_of_what_happened(&world);
}

fn a_fan_out_names_its_event(world: &mut World) {
    let is_it = |line: &Value| {
        line["largest_event"] == "MESSAGE_CREATE"
            && number(line, "largest_recipients") == SESSION_COUNT as u64
    };
    let line = provoked(world, "slow turn", is_it, |world| world.post("to all"));
    let took_ms = line["took_ms"].as_f64().expect("a number");
    assert!(took_ms >= 1.0, "{line}");
    let phases = ["apply_us", "mail_us", "sockets_us", "tick_us", "act_us", "send_us"];
    let parts: u64 = phases.iter().map(|phase| number(&line, phase)).sum();
    // Each is cut to whole microseconds.
    let took_us = (took_ms * 1_000.0).round() as u64;
    assert!(parts <= took_us && parts + phases.len() as u64 >= took_us, "{line}");
    assert_eq!(number(&line, "largest_server").to_string(), world.server_id);
    assert_eq!(line["core"], 0);
    for (field, least) in [
        ("batches", 1),
        ("events", 1),
        ("replies", 1),
        ("dispatches", SESSION_COUNT as u64),
        ("sends", SESSION_COUNT as u64),
        ("bytes_out", 100 * SESSION_COUNT as u64),
        // The POST that made the event was handled since the turn before.
        ("handlers", 0),
        ("handlers_us", 0),
        ("letters", 0),
        ("reads", 0),
        ("bytes_in", 0),
        ("opened", 0),
        ("closed", 0),
        ("identifies", 0),
        ("resumes", 0),
        ("major_faults", 0),
        ("minor_faults", 0),
        ("preemptions", 0),
        ("suppressed", 0),
    ] {
        assert!(number(&line, field) >= least, "{field} of {line}");
    }
}

fn a_handler_names_its_route(world: &mut World) {
    let long = "🐘".repeat(4_000);
    (0..40).for_each(|_| world.post(&long));
    let path = format!("{}?limit=100", world.messages);
    let is_it = |line: &Value| line["route"] == "message_list";
    let line = provoked(world, "slow request handler", is_it, |world| {
        world.line.get(&path, &world.owner.token).unwrap().want(200);
    });
    assert!(line["took_ms"].as_f64().expect("a number") >= 1.0, "{line}");
    assert!(number(&line, "request_id") > 0);
    assert!(line["suppressed"].is_u64() && line["minor_faults"].is_u64() && line["core"] == 0, "{line}");
}

fn metrics_of_what_happened(world: &World) {
    // The size of sessions is looked at ten times a second only; everything else is there at once.
    let deadline = Instant::now() + PATIENCE;
    let samples = loop {
        let samples = scrape(world.metrics);
        if samples["plexichat_gateway_session_bytes{core=\"0\"}"] > 100.0 {
            break samples;
        }
        assert!(Instant::now() < deadline, "{samples:?}");
    };
    let sum = |name: &str| -> f64 {
        let values: Vec<f64> =
            samples.iter().filter(|(key, _)| key.split('{').next() == Some(name)).map(|(_, v)| *v).collect();
        assert!(!values.is_empty(), "{name} is missing");
        values.iter().sum()
    };
    let sessions = SESSION_COUNT as f64;
    assert_eq!(sum("plexichat_gateway_sessions"), sessions);
    assert_eq!(sum("plexichat_gateway_sessions_detached"), 0.0);
    assert_eq!(sum("plexichat_gateway_identifies_total"), sessions);
    let dispatches = sum("plexichat_dispatches_out_total");
    let sends = sum("plexichat_sends_out_total");
    assert!(dispatches >= 40.0 * sessions && sends >= 40.0 * sessions, "{dispatches} {sends}");
    assert!(sum("plexichat_send_frames_sum") >= 40.0 * sessions);
    assert!(sum("plexichat_gateway_replay_bytes") > 40.0 * 16_000.0, "40 messages of 16,000 bytes");
    assert!(sum("plexichat_in_bytes_total") > 40.0 * 16_000.0);
    assert!(sum("plexichat_out_bytes_total") > 40.0 * 16_000.0 * sessions);
    assert_eq!(sum("plexichat_password_hashes_total"), 1.0);
    assert_eq!(sum("plexichat_password_hash_queue"), 0.0);
    // The account, the server, the messages.
    assert!(sum("plexichat_command_seconds_count") >= 42.0);
    assert!(sum("plexichat_http_handler_seconds_count") >= 42.0);
    let (applied, committed) =
        (sum("plexichat_writer_apply_seconds_count"), sum("plexichat_writer_commit_seconds_count"));
    assert!(committed >= 42.0 && (applied - committed).abs() <= 1.0, "one may be under way");
    assert!(sum("plexichat_writer_queue_commands_count") >= 42.0);
    assert!(sum("plexichat_slow_turns_total") >= 1.0 && sum("plexichat_slow_handlers_total") >= 1.0);
    let (turns, phases) = (sum("plexichat_turn_seconds_sum"), sum("plexichat_turn_phase_seconds_total"));
    assert!((turns - phases).abs() < 0.05 * turns, "a scrape in the middle of a turn: {turns} {phases}");
    assert!(sum("plexichat_core_busy_seconds_total") > 0.0);
    for ring in ["turn_batches", "command_seconds", "writer_batch_commands"] {
        assert!(sum(&format!("plexichat_{ring}_count")) > 0.0, "{ring}");
    }
}

#[test]
fn what_clients_do_wrong_is_counted() {
    let (server, metrics, _folder) = start();
    let user = server.register("ada");
    let mut http = server.http();
    let wrong = json!({"username": "ada", "password": "not hers"});
    (0..2).for_each(|_| drop(http.post("/api/v1/auth/login", None, &wrong).want(401)));
    http.post("/api/v1/admin/login", None, &wrong).want(401);
    http.get("/api/v1/users/@me", Some(&user.token)).want(200);
    let mut socket = server.gateway();
    socket.send(&json!({"op": 99, "d": null}));
    assert_eq!(socket.closed().0, 4001);
    let deadline = Instant::now() + PATIENCE;
    let closed = "plexichat_gateway_closes_total{code=\"4001\",reason=\"Unknown opcode\"}";
    // A connection is done with when both sides have closed.
    let samples = loop {
        let samples = scrape(metrics);
        if samples.contains_key(closed) {
            break samples;
        }
        assert!(Instant::now() < deadline, "{samples:?}");
    };
    let of = |operation: &str| {
        samples[&format!("plexichat_http_operation_seconds_count{{operation=\"{operation}\"}}")]
    };
    assert_eq!((samples[closed], samples["plexichat_login_failures_total{core=\"0\"}"]), (1.0, 3.0));
    assert_eq!((of("POST /auth/login"), of("GET /users/@me")), (2.0, 1.0));
    assert!(samples["process_cpu_seconds_total"] > 0.0 && samples["process_max_fds"] >= 256.0);
}

#[test]
fn connections_that_are_turned_away_are_counted() {
    let (server, metrics, _folder) = start_with(&["http.connections_per_address_max=2"]);
    let held: Vec<TcpStream> = (0..5).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    let deadline = Instant::now() + PATIENCE;
    while scrape(metrics)["plexichat_connections_refused_total{core=\"0\"}"] != 3.0 {
        assert!(Instant::now() < deadline, "three of {}", held.len());
    }
}

/// Everything `/metrics` says, by name and labels, after a check of its form.
fn scrape(address: SocketAddr) -> BTreeMap<String, f64> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("application/openmetrics-text"), "{head}");
    parse(body).unwrap_or_else(|error| panic!("{error} in\n{body}"))
}

/// OpenMetrics 1.0: samples stand below the TYPE of their family, carry its suffixes, and appear once; buckets are
/// cumulative and end with `+Inf`; `# EOF` is last.
fn parse(body: &str) -> Result<BTreeMap<String, f64>, String> {
    let body = body.strip_suffix("# EOF\n").ok_or("no EOF")?;
    let (mut samples, mut family, mut kind) = (BTreeMap::new(), "", "");
    let mut bucket: Option<(String, f64)> = None;
    // Of the last histogram with these labels. The encoder writes it before the buckets.
    let mut count: Option<(String, f64)> = None;
    for line in body.lines() {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("TYPE"), Some(name), Some(of)) => (family, kind) = (name, of),
                (Some("HELP"), _, Some(_)) => {}
                (Some("UNIT"), Some(name), Some(unit)) if name.ends_with(&format!("_{unit}")) => {}
                _ => return wrong("a comment"),
            }
            continue;
        }
        let Some((key, value)) = line.rsplit_once(' ') else { return wrong("no value") };
        let Ok(value) = value.parse::<f64>() else { return wrong("no number") };
        let (name, labels) = key.split_once('{').unwrap_or((key, "}"));
        if !labels.ends_with('}') {
            return wrong("labels");
        }
        let suffix = name.strip_prefix(family).unwrap_or("another family");
        match (kind, suffix) {
            ("counter", "_total") | ("gauge", "") if value >= 0.0 => {}
            ("histogram", "_sum") if value >= 0.0 => {}
            ("histogram", "_bucket") => {
                let rest: String = labels.split(',').filter(|label| !label.starts_with("le=")).collect();
                if bucket.as_ref().is_some_and(|(of, below)| *of == rest && value < *below) {
                    return wrong("not cumulative");
                }
                let of_these =
                    count.as_ref().filter(|(of, _)| of.trim_end_matches('}') == rest.trim_end_matches('}'));
                if labels.contains("le=\"+Inf\"") && of_these.is_none_or(|(_, count)| *count != value) {
                    return wrong("not as many as counted");
                }
                bucket = Some((rest, value));
            }
            ("histogram", "_count") => {
                (count, bucket) = (Some((labels.to_owned(), value)), None);
            }
            _ => return wrong("not of its family"),
        }
        if samples.insert(key.to_owned(), value).is_some() {
            return wrong("twice");
        }
    }
    Ok(samples)
}

#[test]
fn the_parser_sees_what_is_wrong() {
    let good = "# HELP a_seconds A\n# TYPE a_seconds histogram\n# UNIT a_seconds seconds\na_seconds_sum 1\n\
                a_seconds_count 2\na_seconds_bucket{le=\"1.0\"} 1\na_seconds_bucket{le=\"+Inf\"} 2\n\
                # HELP b B\n# TYPE b counter\nb_total{core=\"0\"} 3\n# EOF\n";
    assert_eq!(parse(good).unwrap()["b_total{core=\"0\"}"], 3.0);
    for (from, to) in [
        ("# EOF\n", ""),
        ("b_total{core=\"0\"} 3", "b{core=\"0\"} 3"),
        ("b_total{core=\"0\"} 3", "b_total{core=\"0\"} x"),
        ("b_total{core=\"0\"} 3", "b_total{core=\"0\" 3"),
        ("b_total{core=\"0\"} 3", "b_total{core=\"0\"} 3\nb_total{core=\"0\"} 3"),
        ("+Inf\"} 2", "+Inf\"} 0"),
        ("+Inf\"} 2", "+Inf\"} 3"),
        ("UNIT a_seconds seconds", "UNIT a_seconds bytes"),
        ("# TYPE b counter\n", ""),
    ] {
        assert!(good.contains(from) && parse(&good.replace(from, to)).is_err(), "{from} -> {to}");
    }
}
