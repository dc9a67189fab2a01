//! Frames and messages: sense and nonsense, compression, who does not read, and who is silent or hasty.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use super::{ready, resume, say};
use crate::support::websocket::frame;
use crate::support::{Frame, Server, Socket, Value, json};
use crate::world::World;

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

#[test]
fn compression() {
    let w = World::new(&[]);
    let place = w.place();
    let mut socket = w.server.gateway();
    socket.send(&json!({"op": 2, "d": {"token": place.owner.token, "compress": true}}));
    let Frame::Binary(bytes) = socket.message() else { panic!("READY is not compressed") };
    assert_eq!(&bytes[..1], [0x78]);
    let mut socket = w.server.gateway();
    let d = json!({"token": place.owner.token, "compress": true, "intents": 65535});
    socket.identify_with(d);
    for index in 0..50 {
        let content = format!("{index} {}", "x".repeat(1_000));
        say(&w, &place, &content);
        assert_eq!(socket.event("MESSAGE_CREATE")["content"], *content);
    }
    // A client may compress, too: each frame a stream of its own.
    let zlib = |text: &str| {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(text.as_bytes()).expect("memory");
        encoder.finish().expect("memory")
    };
    let mut plain = w.server.gateway();
    plain.send_frame(0x82, &zlib(r#"{"op":1,"d":null}"#));
    assert_eq!(plain.json(), json!({"op": 11}));
    plain.send_frame(0x82, br#"{"op":1,"d":null}"#);
    assert_eq!(plain.json(), json!({"op": 11}));
    plain.send_frame(0x82, &zlib(&format!(r#"{{"op":1,"d":"{}"}}"#, "x".repeat(300_000))));
    assert_eq!(plain.closed().0, 4002, "a bomb");
    let off = Server::start(&["websocket.compression_enabled=false"]);
    let mut socket = off.gateway();
    socket.send(&json!({"op": 2, "d": {"token": off.register("ada").token, "compress": true}}));
    assert!(matches!(socket.message(), Frame::Text(_)));
}

#[test]
fn messages_that_make_no_sense() {
    let w = World::new(&[]);
    let user = w.user();
    let big = format!(r#"{{"op":1,"d":"{}"}}"#, "x".repeat(65_536));
    let texts: &[(&str, u16)] = &[
        ("", 4002),
        ("{", 4002),
        ("null", 4002),
        ("[]", 4002),
        ("\"x\"", 4002),
        ("5", 4002),
        ("{} {}", 4002),
        ("\u{feff}{\"op\":1}", 4002),
        ("{}", 4002),
        ("{\"op\":null}", 4002),
        ("{\"op\":\"1\"}", 4001),
        ("{\"op\":1.5}", 4001),
        ("{\"op\":0}", 4001),
        ("{\"op\":10}", 4001),
        ("{\"op\":11}", 4001),
        ("{\"op\":99}", 4001),
        ("{\"op\":-1}", 4001),
        ("{\"op\":2}", 4002),
        ("{\"op\":2,\"d\":[]}", 4002),
        ("{\"op\":2,\"d\":{}}", 4002),
        ("{\"op\":2,\"d\":{\"intents\":1}}", 4004),
        ("{\"op\":2,\"d\":{\"token\":5}}", 4004),
        ("{\"op\":2,\"d\":{\"token\":\"nonsense\"}}", 4004),
        ("{\"op\":2,\"d\":{\"token\":\"x\",\"intents\":true}}", 4013),
        ("{\"op\":2,\"d\":{\"token\":\"x\",\"intents\":65536}}", 4013),
        ("{\"op\":2,\"d\":{\"token\":\"x\",\"intents\":-1}}", 4013),
        ("{\"op\":2,\"d\":{\"token\":\"x\",\"intents\":null}}", 4013),
        ("{\"op\":2,\"d\":{\"token\":\"x\",\"properties\":5}}", 4002),
        ("{\"op\":6,\"d\":null}", 4002),
        ("{\"op\":6,\"d\":{}}", 4002),
        ("{\"op\":3,\"d\":{}}", 4003),
        ("{\"op\":40,\"d\":5}", 4003),
        (&big, 4002),
    ];
    for (text, want) in texts {
        let mut socket = w.server.gateway();
        socket.send_frame(0x81, text.as_bytes());
        let (code, reason) = socket.closed();
        assert_eq!(code, *want, "{}", &text[..text.len().min(60)]);
        assert!(!reason.is_empty() && reason.len() <= 123);
        assert!(socket.ends_within(Duration::from_secs(8)));
    }
    for binary in [&b"\xff\xfe"[..], b"\x78\x9cnonsense", b""] {
        let mut socket = w.server.gateway();
        socket.send_frame(0x82, binary);
        assert_eq!(socket.closed().0, 4002, "{binary:?}");
    }
    // Nothing of that disturbs a session; what old clients send is ignored.
    let mut socket = w.server.gateway();
    socket.identify(&user.token);
    for quiet in [
        json!({"op": 3, "d": null}),
        json!({"op": 3, "d": {"status": "busy"}}),
        json!({"op": 40, "d": {"channel_id": "999"}}),
        json!({"op": 41, "d": null}),
        json!({"op": 8, "d": {"guild_id": "999"}}),
    ] {
        socket.send(&quiet);
    }
    assert_eq!(socket.events_until_now(), Vec::<Value>::new());
    let deep = format!("{{\"op\":1,\"d\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    socket.send_frame(0x81, deep.as_bytes());
    match socket.message() {
        Frame::Text(text) => assert_eq!(text, r#"{"op":11}"#),
        Frame::Close(code, _) => assert_eq!(code, 4002),
        other => panic!("{other:?}"),
    }
}

#[test]
fn frames_against_the_protocol() {
    let w = World::new(&[]);
    let heartbeat = br#"{"op":1,"d":null}"#;
    let huge = [&[0x81, 0xff][..], &(17u64 << 20).to_be_bytes(), &[1, 2, 3, 4]].concat();
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("unmasked", frame(0x81, heartbeat, None), 1002),
        ("RSV1", frame(0xc1, heartbeat, MASK), 1002),
        ("RSV2", frame(0xa1, heartbeat, MASK), 1002),
        ("opcode 3", frame(0x83, b"", MASK), 1002),
        ("opcode 11", frame(0x8b, b"", MASK), 1002),
        ("continuation of nothing", frame(0x80, heartbeat, MASK), 1002),
        ("ping in parts", frame(0x09, b"", MASK), 1002),
        ("long ping", frame(0x89, &[0; 126], MASK), 1002),
        ("text within a text", [frame(0x01, b"{", MASK), frame(0x81, heartbeat, MASK)].concat(), 1002),
        ("bad UTF-8", frame(0x81, b"{\"op\":1,\"d\":\"\xff\"}", MASK), 1007),
        ("UTF-8 cut off", frame(0x81, b"\"\xf0\x9f\xa6", MASK), 1007),
        ("announced too long", huge, 1009),
        ("close with half a code", frame(0x88, &[3], MASK), 1002),
        ("close with a reserved code", frame(0x88, &1005u16.to_be_bytes(), MASK), 1002),
        ("close with a bad reason", frame(0x88, b"\x03\xe8\xff", MASK), 1007),
    ];
    for (name, bytes, want) in cases {
        let mut socket = w.server.gateway();
        socket.try_send(bytes).expect("an open socket");
        let got = socket.message();
        assert!(matches!(got, Frame::Close(code, _) if code == *want), "{name}: {got:?}");
    }
    // Pieces, with a ping between them, a byte at a time.
    let mut socket = w.server.gateway();
    let pieces = [
        frame(0x01, b"{\"op\":1,", MASK),
        frame(0x89, b"between", MASK),
        frame(0x00, b"\"d\":\"\xf0\x9f", MASK),
        frame(0x80, b"\xa6\x80\"}", MASK),
    ];
    for byte in pieces.concat() {
        socket.try_send(&[byte]).expect("an open socket");
    }
    assert_eq!(socket.frame(), Frame::Pong(b"between".to_vec()));
    assert_eq!(socket.json(), json!({"op": 11}));
    let mut socket = w.server.gateway();
    let full = format!(r#"{{"op":1,"d":"{}"}}"#, "x".repeat(65_536 - 15));
    assert_eq!(full.len(), 65_536);
    socket.send_frame(0x81, full.as_bytes());
    assert_eq!(socket.json(), json!({"op": 11}), "65,536 bytes are accepted");
}

#[test]
fn who_never_reads_is_cut_off_and_delays_nobody() {
    // However slow the machine: what was cut off waits for its reader.
    let w = World::new(&[
        "websocket.socket_send_buffer=16384",
        "websocket.send_queue_events=32",
        "websocket.heartbeat_timeout_ms=600000",
        "websocket.close_timeout_ms=60000",
        "websocket.send_timeout_ms=60000",
        "websocket.session_timeout_ms=600000",
    ]);
    let place = w.place();
    let slow_user = w.member(&place);
    let (mut fast, _) = ready(&w, &place.owner.token);
    let (mut slow, first) = ready(&w, &slow_user.token);
    // 8 KB each: more than the kernel's buffers and the queue hold.
    let content = "🦀".repeat(2_000);
    let mut ids = Vec::new();
    let begun = Instant::now();
    // As long as a client may be behind that does not read at all, and longer.
    while ids.len() < 200 || begun.elapsed() < Duration::from_secs(6) {
        if ids.len() >= 200 {
            std::thread::sleep(Duration::from_millis(100));
        }
        ids.push(say(&w, &place, &content));
        assert_eq!(fast.event("MESSAGE_CREATE")["id"], **ids.last().expect("just pushed"));
    }
    let mut got = 0;
    let code = loop {
        match slow.message() {
            Frame::Text(text) if text.contains("MESSAGE_CREATE") => got += 1,
            Frame::Text(_) => {}
            Frame::Close(code, reason) => {
                assert_eq!(reason, "Slow consumer");
                break code;
            }
            other => panic!("{other:?} after {got} of {}", ids.len()),
        }
    };
    assert_eq!(code, 4008);
    assert!(got < ids.len());
    // Nothing is lost: it resumes where it stopped.
    let mut again = resume(&w, &slow_user.token, &first["session_id"], 1);
    assert_eq!(again.json()["t"], "RESUMED");
    for id in &ids {
        assert_eq!(again.event("MESSAGE_CREATE")["id"], **id);
    }
}

/// Our FIN does not overtake the client's close frame: a proxy in between would take it for a broken connection.
#[test]
fn our_side_of_the_socket_ends_after_the_clients_close_frame() {
    let w = World::new(&["websocket.close_timeout_ms=60000"]);
    let mut socket = w.server.gateway();
    socket.send(&json!({"op": 99}));
    assert!(matches!(socket.message(), Frame::Close(4001, _)));
    // It may go on sending meanwhile.
    let patience = Duration::from_millis(300);
    socket.stream().set_read_timeout(Some(patience)).expect("an open socket");
    for _ in 0..3 {
        socket.try_send(&frame(0x81, b"{\"op\":1}", MASK)).expect("an open socket");
        let read = socket.stream().read(&mut [0; 16]);
        let waits = read.as_ref().is_err_and(|error| {
            matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
        });
        assert!(waits, "{read:?}");
    }
    socket.try_send(&frame(0x88, &4_001u16.to_be_bytes(), MASK)).expect("an open socket");
    assert!(socket.ends_within(Duration::from_secs(20)));
}

#[test]
fn silence_and_haste_have_limits() {
    let w = World::new(&[
        "websocket.heartbeat_interval_ms=100",
        "websocket.identify_timeout_ms=300",
        "websocket.rate_limit_per_minute=20",
        "websocket.identify_burst=3",
        "websocket.max_connections_per_user=2",
    ]);
    let user = w.user();
    let started = Instant::now();
    let mut silent = w.server.gateway();
    let (code, _) = silent.closed();
    assert!(code == 4003 || code == 4009, "{code}");
    let (mut socket, _) = ready(&w, &user.token);
    assert_eq!(socket.closed().0, 4009, "no heartbeat");
    assert!(started.elapsed() < Duration::from_secs(8));

    let mut hasty = w.server.gateway();
    for _ in 0..30 {
        hasty.send(&json!({"op": 1, "d": null}));
    }
    assert_eq!(hasty.closed().0, 4008);

    let w = World::new(&[
        "websocket.identify_burst=3",
        "websocket.max_connections_per_user=2",
        "websocket.ping_interval_ms=100",
        "websocket.ping_timeout_ms=20000",
    ]);
    let mut pinged = Socket::connect(w.server.address());
    pinged.frame();
    assert!(matches!(pinged.frame(), Frame::Ping(_)));
    let user = w.user();
    let (mut oldest, _) = ready(&w, &user.token);
    let (mut second, _) = ready(&w, &user.token);
    let (_third, _) = ready(&w, &user.token);
    let (code, reason) = oldest.closed();
    assert_eq!((code, reason.as_str()), (4008, "Too many connections"));
    assert_eq!(second.events_until_now(), Vec::<Value>::new());
    let mut fourth = w.server.gateway();
    fourth.send(&json!({"op": 2, "d": {"token": user.token}}));
    assert_eq!(fourth.closed().0, 4008, "identify limit");
}

#[test]
fn who_speaks_and_leaves_at_once_is_gone() {
    let server = Server::start(&["http.connections_per_address_max=20"]);
    let deadline = Instant::now() + Duration::from_secs(10);
    // The last words, which nobody answers, and the end arrive together; then a place that stays taken fails.
    let mut count = 0;
    while count < 200 {
        let Ok(mut socket) = Socket::try_connect(server.address(), "/gateway", &[]) else {
            assert!(Instant::now() < deadline, "the places of {count} connections stay taken");
            std::thread::sleep(Duration::from_millis(10));
            continue;
        };
        socket.frame();
        socket.send_frame(0x8a, b"bye");
        count += 1;
    }
}
