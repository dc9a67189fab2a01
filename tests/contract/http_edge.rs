//! What clients do to HTTP/1.1: in one piece, in many, wrong, slowly, or in great number.

use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::http::{open, read_answer};
use crate::support::{Answer, PASSWORD, Server, Value, json};
use crate::world::{World, text};

const NEGOTIATE: &str = r#"{"client_version":"a.1.0-49"}"#;

/// Sends bytes on a fresh connection and reads answers until the server closes.
fn exchange(server: &Server, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = open(server.address());
    // A refusal may arrive, and the connection end, before everything is sent.
    let _ = stream.write_all(bytes);
    let mut reader = BufReader::new(stream);
    let mut answers = Vec::new();
    while let Ok(answer) = read_answer(&mut reader, false) {
        answers.push(answer);
    }
    answers
}

fn statuses(server: &Server, request: &str) -> Vec<u16> {
    exchange(server, request.as_bytes()).iter().map(|answer| answer.status).collect()
}

/// A whole request that closes the connection.
fn closing(line: &str, headers: &str, body: &str) -> String {
    format!("{line}\r\nHost: h\r\nConnection: close\r\n{headers}\r\n{body}")
}

fn is_error(answer: &Answer, status: u16) -> bool {
    answer.want(status);
    answer.header("connection") == Some("close")
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut request = String::new();
    for index in 0..500 {
        let path = ["/health", "/api/v1/version", "/nope", "/api/v1/users/@me"][index % 4];
        request.push_str(&format!("GET {path}?{index} HTTP/1.1\r\nHost: h\r\n\r\n"));
        if index % 50 == 0 {
            // Password hashing takes a while; those behind wait.
            // Another name each time, as five failures lock one.
            let body = json!({"username": format!("nobody_{index}"), "password": PASSWORD}).to_string();
            request.push_str(&format!(
                "POST /api/v1/auth/login HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
    }
    request.push_str(&closing("GET /health HTTP/1.1", "", ""));
    let answers = exchange(&server, request.as_bytes());
    let got: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    let mut want = Vec::new();
    for index in 0..500 {
        want.push([200, 200, 404, 401][index % 4]);
        want.extend((index % 50 == 0).then_some(401));
    }
    want.push(200);
    assert_eq!(got, want);
    let ids: Vec<u64> = answers
        .iter()
        .map(|answer| answer.header("x-request-id").and_then(|id| id.parse().ok()).expect("a number"))
        .collect();
    assert!(ids.is_sorted(), "in their order");
}

/// More messages than are looked at together, with reads between them.
#[test]
fn pipelined_messages_keep_their_order() {
    let world = World::new(&["rate_limiting.enabled=false"]);
    let place = world.place();
    let path = format!("/api/v1/channels/{}/messages", place.channel);
    let auth = format!("Host: h\r\nAuthorization: Bearer {}\r\n", place.owner.token);
    let mut request = String::new();
    for index in 0..300 {
        let body = json!({"content": index.to_string()}).to_string();
        let len = body.len();
        request.push_str(&format!(
            "POST {path} HTTP/1.1\r\n{auth}Content-Type: application/json\r\nContent-Length: {len}\r\n\r\n{body}"
        ));
        if index % 70 == 69 {
            request.push_str(&format!("GET {path}?limit=1 HTTP/1.1\r\n{auth}\r\n"));
        }
    }
    request.push_str(&closing("GET /health HTTP/1.1", "", ""));
    let answers = exchange(&world.server, request.as_bytes());
    let contents = |answer: &Answer| match &answer.json() {
        Value::Array(page) => format!("read {}", text(&page[0]["content"])),
        message => message["content"].as_str().unwrap_or("health").to_string(),
    };
    let got: Vec<String> = answers.iter().map(contents).collect();
    let mut want = Vec::new();
    for index in 0..300 {
        want.push(index.to_string());
        want.extend((index % 70 == 69).then(|| format!("read {index}")));
    }
    want.push("health".into());
    assert_eq!(got, want);
}

#[test]
fn requests_in_pieces() {
    let server = Server::start(&[]);
    let request = closing(
        "POST /api/v1/version/negotiate HTTP/1.1",
        &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", NEGOTIATE.len()),
        NEGOTIATE,
    );
    let mut stream = open(server.address());
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).expect("an open socket");
    }
    assert_eq!(read_answer(&mut BufReader::new(stream), false).expect("an answer").status, 200);
}

#[test]
fn chunked_bodies() {
    let server = Server::start(&[]);
    let (front, back) = NEGOTIATE.split_at(7);
    let chunked = |body: &str| {
        closing(
            "POST /api/v1/version/negotiate HTTP/1.1",
            "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n",
            body,
        )
    };
    let (a, b) = (front.len(), back.len());
    for body in [
        format!("{a:x}\r\n{front}\r\n{b:X}\r\n{back}\r\n0\r\n\r\n"),
        format!("00{a:x};name=\"v\"\r\n{front}\r\n{b:x}\r\n{back}\r\n000\r\nTrailer: x\r\n\r\n"),
    ] {
        assert_eq!(statuses(&server, &chunked(&body)), [200], "{body}");
    }
    for body in [
        format!("{a:x}\n{front}\n0\n\n"),
        format!("+{a:x}\r\n{front}\r\n0\r\n\r\n"),
        format!("0x{a:x}\r\n{front}\r\n0\r\n\r\n"),
        format!("-1\r\n{front}\r\n0\r\n\r\n"),
        format!("{a:x}\r\n{front}xx\r\n0\r\n\r\n"),
        format!("\r\n{front}\r\n0\r\n\r\n"),
        "ffffffffffffffffff\r\n".to_owned(),
    ] {
        let answers = exchange(&server, chunked(&body).as_bytes());
        assert!(answers.len() == 1 && is_error(&answers[0], 400), "{body:?}: {answers:?}");
    }
    // More than `api.max_body_size` in small chunks.
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(4096));
    let answers = exchange(&server, chunked(&chunk.repeat(258)).as_bytes());
    assert!(answers.len() == 1 && is_error(&answers[0], 413), "{answers:?}");
}

#[test]
fn expect_continue() {
    let server = Server::start(&[]);
    let head = format!(
        "POST /api/v1/version/negotiate HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        NEGOTIATE.len()
    );
    let mut stream = open(server.address());
    stream.write_all(head.as_bytes()).expect("an open socket");
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(NEGOTIATE.as_bytes()).expect("an open socket");
    let mut reader = BufReader::new(stream);
    assert_eq!(read_answer(&mut reader, false).expect("an answer").status, 200);
    // Too much is refused before it is sent.
    let too_long = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", 2 << 20);
    let answers = exchange(&server, closing("POST /api/v1/auth/login HTTP/1.1", &too_long, "").as_bytes());
    assert!(answers.len() == 1 && is_error(&answers[0], 413), "{answers:?}");
    let unknown = closing("GET /health HTTP/1.1", "Expect: the-unexpected\r\n", "");
    assert_eq!(statuses(&server, &unknown), [417]);
}

/// What two servers might read differently ends the connection, so nothing can be smuggled through.
#[test]
fn ambiguous_requests_are_refused() {
    let server = Server::start(&[]);
    let behind = "GET /health HTTP/1.1\r\nHost: h\r\n\r\n";
    let post = |headers: &str| format!("POST /api/v1/auth/login HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    let long_head = format!("GET /health HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many_headers = format!("GET /health HTTP/1.1\r\nHost: h\r\n{}\r\n", "x: y\r\n".repeat(100));
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(9_000));
    let get = |headers: &str| format!("GET /health HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
    let cases: &[(String, u16)] = &[
        (post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400),
        (post("Content-Length: 5\r\nContent-Length: 6\r\n"), 400),
        (post("Content-Length: +5\r\n"), 400),
        (post("Content-Length: 5, 6\r\n"), 400),
        (post("Content-Length: 99999999999999999999\r\n"), 400),
        (post("Transfer-Encoding: chunked, identity\r\n"), 400),
        (post("Transfer-Encoding: gzip\r\n"), 501),
        (post("Content-Length: 9999999999\r\n"), 413),
        ("GET /health HTTP/1.1\nHost: h\n\n".into(), 400),
        ("GET /health HTTP/1.1\r\nHost: h\nX: y\r\n\r\n".into(), 400),
        (get("X: a\r\n b\r\n"), 400),
        (get("X : y\r\n"), 400),
        (get("X\r\n"), 400),
        (get(": y\r\n"), 400),
        (get("X: a\0b\r\n"), 400),
        (get("X: a\rb\r\n"), 400),
        (get("Host: other\r\n"), 400),
        ("GET /health HTTP/1.1\r\n\r\n".into(), 400),
        ("GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n".into(), 400),
        ("GET  /health HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
        ("GET /health\r\n\r\n".into(), 400),
        ("GET health HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
        ("GET /he%zzlth HTTP/1.1\r\nHost: h\r\n\r\n".into(), 400),
        ("GET /health HTTP/2.0\r\nHost: h\r\n\r\n".into(), 505),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}\u{fc}\u{3}\u{3}\r\n\r\n".into(), 400),
        (long_head, 431),
        (many_headers, 431),
        (long_target, 414),
    ];
    for (request, want) in cases {
        let shown = &request[..request.len().min(80)];
        let answers = exchange(&server, format!("{request}{behind}").as_bytes());
        assert_eq!(answers.len(), 1, "{shown:?}: {answers:?}");
        assert!(is_error(&answers[0], *want), "{shown:?}: {answers:?}");
    }
    // An endless head is refused once it is too long, not when it ends.
    let answers = exchange(&server, &[b'x'; 40_000]);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!([400, 414, 431].contains(&answers[0].status));
}

#[test]
fn bodies_up_to_the_limit() {
    let server = Server::start(&["api.max_body_size=4096", "messaging.max_message_length=100"]);
    let post = |len: usize| {
        let body = "x".repeat(len);
        let headers = format!("Content-Type: application/json\r\nContent-Length: {len}\r\n");
        statuses(&server, &closing("POST /api/v1/auth/login HTTP/1.1", &headers, &body))
    };
    assert_eq!(post(4096), [400]);
    assert_eq!(post(4097), [413]);
    // The client sees the answer although it was still sending.
    assert_eq!(post(200_000), [413]);
}

#[test]
fn the_end_of_a_connection() {
    let server = Server::start(&[]);
    let close = closing("GET /health HTTP/1.1", "", "");
    let answers = exchange(&server, format!("{close}{close}").as_bytes());
    assert_eq!(answers.len(), 1, "nothing is answered after `close`");
    assert_eq!(answers[0].header("connection"), Some("close"));
    // HTTP/1.0 closes unless asked to stay; it needs no Host.
    let old = "GET /health HTTP/1.0\r\n\r\n";
    assert_eq!(statuses(&server, &format!("{old}{old}")), [200]);
    let stay = "GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let answers = exchange(&server, format!("{stay}{old}").as_bytes());
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].header("connection").map(str::to_lowercase).as_deref(), Some("keep-alive"));
    // A client that is done sending still gets its answers.
    let mut stream = open(server.address());
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n").expect("an open socket");
    stream.shutdown(std::net::Shutdown::Write).expect("an open socket");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer and the end");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
}

#[test]
fn forms_of_the_target() {
    let server = Server::start(&[]);
    for (target, want) in [
        ("http://h/health", 200),
        ("http://other:99/api/v1/version?x=y", 200),
        ("/health?", 200),
        ("/%68ealth", 200),
        ("/health#x", 400),
        ("//health", 404),
        ("/api/v1/../../health", 404),
        ("/api/v1/users/%2e%2e", 401),
        ("/health%00", 404),
    ] {
        let got = statuses(&server, &closing(&format!("GET {target} HTTP/1.1"), "", ""));
        assert_eq!(got, [want], "{target}");
    }
    // Empty lines before a request are what old clients leave behind.
    let request = format!("\r\n\r\n{}", closing("GET /health HTTP/1.1", "", ""));
    assert_eq!(statuses(&server, &request), [200]);
}

#[test]
fn slow_clients_lose_their_connection() {
    let server = Server::start(&[
        "http.header_timeout_ms=300",
        "http.body_timeout_ms=300",
        "http.idle_timeout_ms=300",
    ]);
    let slow = |bytes: &str| {
        let mut stream = open(server.address());
        stream.write_all(bytes.as_bytes()).expect("an open socket");
        (Instant::now(), BufReader::new(stream))
    };
    let body = "POST /api/v1/auth/login HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
                Content-Length: 100\r\n\r\n{";
    let mut waiting = [slow("GET /health HT"), slow(body)];
    let (started, mut idle) = slow("GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(read_answer(&mut idle, false).expect("an answer").status, 200);
    for (started, reader) in &mut waiting {
        let answer = read_answer(reader, false).expect("an answer");
        assert!(is_error(&answer, 408), "{answer:?}");
        assert!(started.elapsed() >= Duration::from_millis(250), "not early");
        assert!(started.elapsed() < Duration::from_secs(5), "not late");
    }
    assert_eq!(idle.read(&mut [0; 1]).expect("an orderly end"), 0, "idle: without a word");
    assert!(started.elapsed() < Duration::from_secs(5));
    // Bytes that trickle in do not extend the time for a head.
    let (started, reader) = slow("GET /health HTTP/1.1\r\n");
    let mut stream: TcpStream = reader.into_inner();
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("an open socket");
    let mut got = [0; 12];
    while stream.read(&mut got).is_err() {
        stream.write_all(b"x").expect("it is told before the end");
        assert!(started.elapsed() < Duration::from_secs(5), "it goes on for ever");
    }
    assert_eq!(String::from_utf8_lossy(&got), "HTTP/1.1 408");
}

#[test]
fn half_open_connections_keep_nobody_waiting() {
    let server = Server::start(&[]);
    let mut silent = Vec::new();
    for index in 0..400 {
        let mut stream = open(server.address());
        let start = [
            "",
            "G",
            "GET /health HTTP/1.1\r\n",
            "POST /api/v1/auth/login HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{",
        ];
        stream.write_all(start[index % 4].as_bytes()).expect("an open socket");
        silent.push(stream);
    }
    let started = Instant::now();
    let mut http = server.http();
    for _ in 0..100 {
        http.get("/health", None).want(200);
    }
    server.register("ada");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(silent);
    server.http().get("/health", None).want(200);
}

#[test]
fn connections_of_an_address_are_counted() {
    let server = Server::start(&["http.connections_per_address_max=5"]);
    let request = b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut held: Vec<TcpStream> = (0..5)
        .map(|_| {
            let mut stream = open(server.address());
            stream.write_all(request).expect("an open socket");
            let mut reader = BufReader::new(stream);
            assert_eq!(read_answer(&mut reader, false).expect("an answer").status, 200);
            reader.into_inner()
        })
        .collect();
    let answers = exchange(&server, request);
    assert!(answers.len() == 1 && is_error(&answers[0], 429), "{answers:?}");
    // One that ends makes room.
    drop(held.pop());
    let deadline = Instant::now() + Duration::from_secs(5);
    let close = closing("GET /health HTTP/1.1", "", "");
    while exchange(&server, close.as_bytes()).first().is_none_or(|answer| answer.status != 200) {
        assert!(Instant::now() < deadline, "the place stays taken");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Sends a body that is far too long to its end, and only then looks for the answer.
fn send_all_then_read(server: &Server, request: &str, len: usize) -> Answer {
    let mut stream = open(server.address());
    stream.write_all(request.as_bytes()).expect("an open socket");
    let piece = [b'x'; 64 * 1024];
    for _ in 0..len / piece.len() {
        stream.write_all(&piece).expect("the server reads on");
    }
    read_answer(&mut BufReader::new(stream), false).expect("an answer")
}

#[test]
fn the_answer_to_a_body_that_is_too_long_arrives() {
    let server = Server::start(&[]);
    for mib in [2, 20] {
        let len = mib << 20;
        for (line, headers, want) in [
            ("POST /api/v1/auth/login HTTP/1.1", format!("Content-Length: {len}"), 413),
            ("POST /api/v1/auth/login HTTP/1.1", format!("Transfer-Encoding: chunked\r\n\r\n{len:x}"), 413),
            // Nobody is there who could find it too long.
            ("POST /nope HTTP/1.1", format!("Content-Length: {len}"), 404),
        ] {
            let request = format!("{line}\r\nHost: h\r\n{headers}\r\n\r\n");
            let request = request.replace(&format!("{len:x}\r\n\r\n"), &format!("{len:x}\r\n"));
            let answer = send_all_then_read(&server, &request, len);
            assert!(is_error(&answer, want), "{mib} MiB, {line}: {answer:?}");
        }
    }
    // Within the bound of a row for those who are known, and not known.
    let len = 512 << 10;
    let request =
        format!("PUT /api/v1/users/@me/settings/bulk HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n");
    assert!(is_error(&send_all_then_read(&server, &request, len), 401));
    let request = format!("POST /api/v1/auth/login HTTP/1.1\r\nHost: h\r\nContent-Length: {len}\r\n\r\n");
    assert!(is_error(&send_all_then_read(&server, &request, len), 413));
    let owner = server.register("owner");
    let request = format!(
        "PUT /api/v1/users/@me/settings/bulk HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {len}\r\n\r\n",
        owner.token
    );
    let answer = send_all_then_read(&server, &request, len);
    assert!(
        answer.want(400)["error"]["message"].as_str().is_some_and(|text| text.contains("Malformed JSON"))
    );
}

/// Nothing a page asks for is answered such that it may not see it.
#[test]
fn every_answer_names_the_origin_that_asks() {
    let server = Server::start(&[
        "http.header_timeout_ms=300",
        "http.body_timeout_ms=300",
        "http.idle_timeout_ms=300",
        "api.max_body_size=65536",
    ]);
    let origin = "Host: h\r\nOrigin: http://localhost:5000\r\n";
    let long = "x".repeat(20_000);
    for (request, want) in [
        (format!("GET /health HTTP/1.1\r\n{origin}\r\n"), 200),
        (format!("GET /nope HTTP/1.1\r\n{origin}\r\n"), 404),
        (format!("POST /api/v1/auth/login HTTP/1.1\r\n{origin}Content-Length: 9999999\r\n\r\n"), 413),
        (
            format!(
                "POST /api/v1/auth/login HTTP/1.1\r\n{origin}Transfer-Encoding: chunked\r\n\r\nffffff\r\n"
            ),
            413,
        ),
        (format!("POST /api/v1/auth/login HTTP/1.1\r\n{origin}Transfer-Encoding: chunked\r\n\r\nx\r\n"), 400),
        (format!("POST /api/v1/auth/login HTTP/1.1\r\n{origin}Transfer-Encoding: gzip\r\n\r\n"), 501),
        (format!("GET /health HTTP/1.1\r\n{origin}X: {long}\r\n\r\n"), 431),
        (format!("GET /health HTTP/1.1\r\n{origin}{}\r\n", "X: y\r\n".repeat(100)), 431),
        (format!("GET /{} HTTP/1.1\r\n{origin}\r\n", &long[..9_000]), 414),
        (format!("CONNECT h:1 HTTP/1.1\r\n{origin}\r\n"), 501),
        (format!("BREW /health HTTP/1.1\r\n{origin}\r\n"), 405),
        (format!("GET /%zz HTTP/1.1\r\n{origin}\r\n"), 400),
        (format!("GET /health HTTP/1.1\r\n{origin}X : y\r\n\r\n"), 400),
        (format!("GET /health HTTP/1.1\r\n{origin}Host: other\r\n\r\n"), 400),
        (format!("GET /health HTTP/1.1\r\n{origin}Expect: x\r\n\r\n"), 417),
        (format!("GET /health HTTP/3.0\r\n{origin}\r\n"), 505),
        (format!("GET /gateway HTTP/1.1\r\n{origin}\r\n"), 426),
        (format!("GET /gateway HTTP/1.1\r\n{origin}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), 400),
        (format!("GET /health HTTP/1.1\r\n{origin}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), 403),
        (format!("GET /health HTTP/1.1\r\n{origin}X: "), 408),
        (format!("POST /api/v1/auth/login HTTP/1.1\r\n{origin}Content-Length: 9\r\n\r\n{{"), 408),
    ] {
        let answers = exchange(&server, request.as_bytes());
        let shown = &request[..request.len().min(120)];
        let answer = answers.first().unwrap_or_else(|| panic!("no answer to {shown:?}"));
        assert_eq!(answer.status, want, "{shown:?}: {answer:?}");
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, Some("http://localhost:5000"), "{shown:?}: {answer:?}");
        for name in ["vary", "x-request-id", "x-content-type-options", "x-frame-options", "date"] {
            assert!(answer.header(name).is_some(), "{shown:?} without {name}");
        }
        // And no other origin is ever repeated.
        let foreign = request.replace("http://localhost:5000", "http://evil.example");
        let answers = exchange(&server, foreign.as_bytes());
        assert_eq!(answers[0].header("access-control-allow-origin"), None, "{shown:?}");
    }
}

#[test]
fn connections_that_are_turned_away_tell_the_page_too() {
    let server = Server::start(&["http.connections_per_address_max=1"]);
    let request = "GET /health HTTP/1.1\r\nHost: h\r\nOrigin: http://localhost:5000\r\n\r\n";
    let mut held = open(server.address());
    held.write_all(request.as_bytes()).expect("an open socket");
    let mut held = BufReader::new(held);
    read_answer(&mut held, false).expect("an answer").want(200);
    let answers = exchange(&server, request.as_bytes());
    assert!(answers.len() == 1 && is_error(&answers[0], 429), "{answers:?}");
    assert!(answers[0].header("access-control-allow-origin").is_some());
    drop(held);
}

#[test]
fn nobody_is_asked_for_a_body_that_changes_nothing() {
    let server = Server::start(&[]);
    let user = server.register("asked");
    let (good, bad) = (format!("Authorization: Bearer {}\r\n", user.token), "Authorization: Bearer 1.x\r\n");
    let first_line = |line: &str, headers: &str| {
        let mut stream = open(server.address());
        let head = format!(
            "{line} HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 50\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).expect("an open socket");
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("an answer");
        String::from_utf8_lossy(&start[9..]).into_owned()
    };
    for (line, headers, want) in [
        ("POST /api/v1/servers", good.as_str(), "100"),
        ("POST /api/v1/auth/login", "", "100"),
        ("POST /api/v1/auth/login", bad, "100"),
        ("POST /api/v1/servers", "", "401"),
        ("POST /api/v1/servers", bad, "401"),
        ("POST /api/v1/nope", &good, "404"),
        ("POST /api/v1/admin/login", &good, "100"),
        ("POST /api/v1/admin/tickets/1/notes", &good, "401"),
        ("POST /api/v1/admin/nope", &good, "404"),
        ("POST /api/v1/users/search", &good, "405"),
        ("BREW /health", "", "405"),
    ] {
        assert_eq!(first_line(line, headers), want, "{line} {headers}");
    }
}

#[test]
fn bodies_that_are_packed_are_refused_by_name() {
    let server = Server::start(&[]);
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        let all: Vec<(&str, &str)> =
            std::iter::once(("Content-Type", "application/json")).chain(headers.iter().copied()).collect();
        server.http().request("POST", "/api/v1/version/negotiate", &all, Some(body))
    };
    for coding in ["gzip", "br", "deflate", "x-own", "gzip, br"] {
        let answer = post(&[("Content-Encoding", coding)], b"\x1f\x8b\x08\0\0");
        let message = answer.want(415)["error"]["message"].to_string();
        assert!(message.contains(coding), "{message}");
        assert_eq!(answer.header("accept-encoding"), Some("identity"));
    }
    post(&[("Content-Encoding", "identity")], NEGOTIATE.as_bytes()).want(200);
    let message = post(&[], b"\x1f\x8b\x08\0\0").want(400)["error"]["message"].to_string();
    assert!(message.contains("compressed"), "{message}");
    post(&[], format!("\u{feff}{NEGOTIATE}").as_bytes()).want(200);
}

#[test]
fn the_proxy_protocol_is_named() {
    let server = Server::start(&[]);
    let request = closing("GET /health HTTP/1.1", "", "");
    let text = format!("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n{request}");
    let binary = [
        &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x12\x34\0\x50"[..],
        request.as_bytes(),
    ]
    .concat();
    for bytes in [text.as_bytes(), &binary] {
        let answers = exchange(&server, bytes);
        assert!(answers.len() == 1 && is_error(&answers[0], 400), "{answers:?}");
        assert!(answers[0].text().contains("PROXY protocol"), "{answers:?}");
    }
}

/// A header of the PROXY protocol, version 2.
fn introduction(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let len = u16::try_from(addresses.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len, addresses].concat()
}

/// What the server takes for the client's address, told by a new login session; the bytes go out in two parts.
fn introduced_as(server: &Server, name: &str, header: &[u8], cut: usize, more: &str) -> String {
    let mut stream = BufReader::new(open(server.address()));
    let (first, second) = header.split_at(cut);
    stream.get_mut().write_all(first).unwrap();
    std::thread::sleep(Duration::from_millis(if cut == 0 { 0 } else { 50 }));
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let body = body.to_string();
    let request = format!(
        "POST /api/v1/auth/register HTTP/1.1\r\nHost: h\r\n{more}Content-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.get_mut().write_all(&[second, request.as_bytes()].concat()).unwrap();
    let token = text(&read_answer(&mut stream, false).unwrap().want(200)["token"]);
    // The header stands in front of the first request alone.
    let request =
        format!("GET /api/v1/auth/sessions HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    text(&read_answer(&mut stream, false).unwrap().want(200)[0]["ip_address"])
}

#[test]
fn balancers_introduce_their_clients() {
    const V4: &[u8] = b"\xc0\x00\x02\x07\x7f\0\0\x01\xdb\x1c\x01\xbb";
    let server = Server::start(&[
        "http.proxy_protocol_from=127.0.0.0/30",
        "api.trusted_proxies=192.0.2.8",
        "api.trust_x_forwarded_for=true",
        "http.header_timeout_ms=400",
    ]);
    let named = introduction(0x21, 0x11, V4);
    let forwarded = "X-Forwarded-For: 198.51.100.1\r\n";
    assert_eq!(introduced_as(&server, "one", &named, 0, ""), "192.0.2.7");
    assert_eq!(
        introduced_as(&server, "two", &named, 13, forwarded),
        "192.0.2.7",
        "who is no proxy says nothing"
    );
    let mut of_proxy = named.clone();
    of_proxy[19] = 8;
    assert_eq!(introduced_as(&server, "three", &of_proxy, 20, forwarded), "198.51.100.1");
    let v6 =
        [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5][..], &[0; 20], b"\x03\0\x01x"].concat();
    assert_eq!(introduced_as(&server, "four", &introduction(0x21, 0x21, &v6), 30, ""), "2001:db8::5");
    assert_eq!(introduced_as(&server, "five", &introduction(0x20, 0, b""), 1, ""), "127.0.0.1");
    // Half a header ends like half a request.
    let answers = exchange(&server, &named[..20]);
    assert!(answers.len() == 1 && is_error(&answers[0], 408), "{answers:?}");
    let request = closing("GET /health HTTP/1.1", "", "");
    let long = introduction(0x21, 0x11, &[1; 521]);
    for (header, message) in [
        (&b""[..], "must come first"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", "must come first"),
        (&long, "Malformed header of the PROXY protocol"),
        (&introduction(0x22, 0x11, V4), "Malformed header of the PROXY protocol"),
    ] {
        let answers = exchange(&server, &[header, request.as_bytes()].concat());
        assert!(answers.len() == 1 && is_error(&answers[0], 400), "{answers:?}");
        assert!(answers[0].text().contains(message), "{answers:?}");
    }
    // From anybody else it is what it is without the option.
    let mut other = server.http_from("127.0.0.9");
    other.get("/health", None).want(200);
}

#[test]
fn introduced_clients_have_their_own_limit() {
    let server = Server::start(&["http.proxy_protocol_from=127.0.0.1", "http.connections_per_address_max=2"]);
    let hold = |last: u8| {
        let header = introduction(0x21, 0x11, &[192, 0, 2, last, 127, 0, 0, 1, 0, 1, 0, 2]);
        let mut stream = BufReader::new(open(server.address()));
        let request = [header, b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n".to_vec()].concat();
        stream.get_mut().write_all(&request).unwrap();
        let status = read_answer(&mut stream, false).unwrap().status;
        (status, stream)
    };
    let held: Vec<_> = [1, 1, 1, 2, 2, 2].map(hold).into();
    let statuses: Vec<u16> = held.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 429, 200, 200, 429]);
    drop(held);
    // Their places are free again once the server has seen them leave.
    let deadline = Instant::now() + Duration::from_secs(10);
    while hold(1).0 != 200 {
        assert!(Instant::now() < deadline, "a place stays taken");
        std::thread::sleep(Duration::from_millis(20));
    }
}
