//! The gateway over real sockets: the life of a session, its close codes, and how the server ends.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::support::websocket::frame;
use crate::support::{Frame, PASSWORD, Server, Socket, Value, json};
use crate::world::{MESSAGE, Place, World, shape, text};

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

fn say(w: &World, place: &Place, content: &str) -> String {
    w.message(&place.owner, &place.channel, content)
}

/// Opens and identifies.
fn ready(w: &World, token: &str) -> (Socket, Value) {
    let mut socket = w.server.gateway();
    let ready = socket.identify(token);
    (socket, ready)
}

fn resume(w: &World, token: &str, session_id: &Value, sequence: u64) -> Socket {
    let mut socket = w.server.gateway();
    socket.sequence = sequence;
    socket.send(&json!({"op": 6, "d": {"token": token, "session_id": session_id, "seq": sequence}}));
    socket
}

#[test]
fn the_life_of_a_session() {
    let w = World::new(&[]);
    let place = w.place();
    let mut socket = Socket::connect(w.server.address());
    let hello = socket.frame();
    assert_eq!(hello, Frame::Text(r#"{"op":10,"d":{"heartbeat_interval":45000}}"#.into()));
    for d in ["null", "5", "\"x\"", "{}"] {
        socket.send_frame(0x81, format!("{{\"op\":1,\"d\":{d}}}").as_bytes());
        assert_eq!(socket.frame(), Frame::Text(r#"{"op":11}"#.into()));
    }
    let ready = socket.identify(&place.owner.token);
    shape(
        &ready["user"],
        "id: id, username: str, discriminator: str, avatar: str?, avatar_url: str, bot: bool",
    );
    assert_eq!((&ready["v"], &ready["user"]["id"]), (&json!(10), &json!(place.owner.id)));
    assert_eq!(
        ready["guilds"],
        json!([{"id": place.id, "name": "Analytical Society", "unavailable": false}])
    );
    assert_eq!(ready["application"], json!({"id": place.owner.id, "flags": 0}));
    assert_eq!(ready["resume_gateway_url"], format!("ws://{}/gateway", w.server.address()));
    let session_id = text(&ready["session_id"]);
    assert!(session_id.len() == 32 && session_id.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    let id = say(&w, &place, "hello");
    let event = socket.event("MESSAGE_CREATE");
    shape(&event, &format!("{MESSAGE}, server_id: id?"));
    assert_eq!((&event["id"], &event["server_id"]), (&json!(id), &json!(place.id)));
    socket.send(&json!({"op": 2, "d": {"token": place.owner.token}}));
    assert_eq!(socket.closed().0, 4005);
    // A client's close is answered with its own code.
    let (mut socket, _) = self::ready(&w, &place.owner.token);
    socket.send_frame(0x88, &[&3001u16.to_be_bytes()[..], b"bye"].concat());
    assert_eq!(socket.closed().0, 3001);
    assert!(socket.ends_within(Duration::from_secs(5)));
}

#[test]
fn events_reach_those_they_are_for_in_order() {
    let w = World::new(&[]);
    let place = w.place();
    let (member, outsider) = (w.member(&place), w.user());
    let (mut one, _) = ready(&w, &place.owner.token);
    let (mut two, _) = ready(&w, &member.token);
    let (mut none, _) = ready(&w, &outsider.token);
    let mut deaf = w.server.gateway();
    deaf.identify_with(json!({"token": member.token, "intents": 0}));
    let want: Vec<String> = (0..20).map(|index| say(&w, &place, &index.to_string())).collect();
    for socket in [&mut one, &mut two] {
        let got: Vec<String> = want.iter().map(|_| text(&socket.event("MESSAGE_CREATE")["id"])).collect();
        assert_eq!(got, want);
    }
    for socket in [&mut none, &mut deaf] {
        let events = socket.events_until_now();
        assert!(events.iter().all(|event| event["t"] != "MESSAGE_CREATE"), "{events:?}");
    }
    let base = format!("/channels/{}/messages/{}", place.channel, want[0]);
    w.ok(&place.owner, &format!("PATCH {base}"), json!({"content": "new"}));
    w.ok(&place.owner, &format!("PUT {base}/reactions/%F0%9F%91%8D"), Value::Null);
    w.ok(&place.owner, &format!("DELETE {base}"), Value::Null);
    assert_eq!(two.event("MESSAGE_UPDATE")["content"], "new");
    assert_eq!(two.event("MESSAGE_REACTION_ADD")["emoji"], "👍");
    let deleted = two.event("MESSAGE_DELETE");
    assert_eq!(deleted, json!({"id": want[0], "channel_id": place.channel, "server_id": place.id}));
    // A right that is taken away bites with the next event.
    let role = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    w.ok(&place.owner, &role, json!({"permissions": {}}));
    say(&w, &place, "hidden");
    w.ok(&place.owner, &format!("DELETE /servers/{}/members/{}", place.id, member.id), Value::Null);
    loop {
        let event = two.json();
        assert_ne!(event["t"], "MESSAGE_CREATE");
        if event["t"] == "GUILD_DELETE" {
            assert_eq!(event["d"]["id"], *place.id);
            break;
        }
    }
    say(&w, &place, "after");
    assert_eq!(one.event("GUILD_MEMBER_REMOVE")["user"]["id"], *member.id);
    assert_eq!(two.events_until_now(), Vec::<Value>::new());
}

#[test]
fn what_a_session_missed_is_replayed() {
    let w = World::new(&[]);
    let place = w.place();
    let token = &place.owner.token;
    let (mut socket, first) = ready(&w, token);
    let session_id = &first["session_id"];
    say(&w, &place, "seen");
    socket.event("MESSAGE_CREATE");
    let seen = socket.sequence;
    drop(socket);
    let missed: Vec<String> = (0..5).map(|index| say(&w, &place, &index.to_string())).collect();
    let mut socket = resume(&w, token, session_id, seen);
    assert_eq!(socket.json(), json!({"op": 0, "t": "RESUMED", "s": seen, "d": {}}));
    for id in &missed {
        assert_eq!(socket.event("MESSAGE_CREATE")["id"], **id);
    }
    let live = say(&w, &place, "live");
    assert_eq!(socket.event("MESSAGE_CREATE")["id"], *live);
    // From further back again, now taking the session over from the connection that has it.
    let mut again = resume(&w, token, session_id, seen);
    assert_eq!(again.json()["t"], "RESUMED");
    assert_eq!(again.event("MESSAGE_CREATE")["id"], *missed[0]);
    let (code, reason) = socket.closed();
    assert_eq!((code, reason.as_str()), (4009, "Session resumed elsewhere"));
    // Refusals leave the connection open.
    let other = w.user();
    for d in [
        json!({"token": token, "session_id": "0".repeat(32), "seq": 1}),
        json!({"token": other.token, "session_id": session_id, "seq": 1}),
        json!({"token": "nonsense", "session_id": session_id, "seq": 1}),
        json!({"session_id": session_id, "seq": 1}),
        json!({"token": token, "seq": 1}),
    ] {
        let mut socket = w.server.gateway();
        socket.send(&json!({"op": 6, "d": d}));
        assert_eq!(socket.json(), json!({"op": 9, "d": false}), "{d}");
        socket.identify(&other.token);
    }
    drop(again);
    let mut beyond = resume(&w, token, session_id, 1_000);
    assert_eq!(beyond.closed().0, 4007);
    let mut gone = resume(&w, token, session_id, seen);
    assert_eq!(gone.json()["op"], 9, "it was dropped");
}

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
fn upgrades_that_are_refused() {
    let server = Server::start(&["websocket.allowed_origins=https://app.example.org"]);
    let address = server.address();
    for path in ["/", "/gateway/", "/gateway/x", "/api/v1/gateway", "/nope", "/health"] {
        let refused = Socket::try_connect(address, path, &[]).err().expect("refused");
        assert!((400..500).contains(&refused.status), "{path}: {}", refused.status);
        assert!(refused.json()["error"]["message"].is_string());
    }
    let origin = |value: &str| Socket::try_connect(address, "/gateway", &[("Origin", value)]);
    assert_eq!(origin("https://evil.example").err().expect("refused").status, 403);
    origin("https://app.example.org").unwrap_or_else(|answer| panic!("{}", answer.text()));
    let offers =
        [("Sec-WebSocket-Extensions", "permessage-deflate; x=1"), ("Sec-WebSocket-Protocol", "a, b")];
    Socket::try_connect(address, "/gateway?v=10&encoding=json&x", &offers)
        .unwrap_or_else(|a| panic!("{}", a.text()));
    let mut http = server.http();
    let with = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    assert_eq!(http.request("GET", "/gateway", &with, None).status, 400, "no key");
    let key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let old = [with[0], with[1], ("Sec-WebSocket-Version", "8"), key];
    let answer = server.http().request("GET", "/gateway", &old, None);
    assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, Some("13")));
    let status = server.http().request("POST", "/gateway", &[with[0], with[1], with[2], key], None).status;
    assert!((400..500).contains(&status), "{status}");
}

#[test]
fn versions_of_the_gateway() {
    let server = Server::start(&[]);
    for (query, is_fine) in [("v=1", true), ("v=10", true), ("v=11", false), ("v=x", false), ("v=0", false)] {
        let socket = Socket::try_connect(server.address(), &format!("/gateway?{query}"), &[]);
        let mut socket = socket.unwrap_or_else(|answer| panic!("{}", answer.text()));
        match socket.message() {
            Frame::Text(hello) => assert!(is_fine, "{query}: {hello}"),
            other => assert!(!is_fine && matches!(other, Frame::Close(4012, _)), "{query}: {other:?}"),
        }
    }
}

#[test]
fn a_revoked_token_ends_its_sessions() {
    let w = World::new(&[]);
    let user = w.user();
    let login = || {
        let body = json!({"username": user.name, "password": PASSWORD});
        text(&w.anyone("POST /auth/login", body).want(200)["token"])
    };
    let (first, second) = (login(), login());
    let (mut kept, _) = ready(&w, &user.token);
    let (mut one, _) = ready(&w, &first);
    let (mut two, lost) = ready(&w, &second);
    let id = first.split_once('.').expect("two parts").0.to_owned();
    w.ok(&user, &format!("DELETE /auth/sessions/{id}"), Value::Null);
    assert_eq!(one.json()["t"], "SECURITY_LOGOUT");
    assert!(matches!(one.message(), Frame::Close(4004, _)));
    w.call(Some(&second), "POST /auth/logout", Value::Null).want(200);
    assert!(matches!(two.message(), Frame::Close(4004, _)), "without SECURITY_LOGOUT");
    assert_eq!(resume(&w, &second, &lost["session_id"], 1).json()["op"], 9);
    assert_eq!(kept.events_until_now(), Vec::<Value>::new());
}

#[test]
fn presence_is_seen_by_friends() {
    let w = World::new(&["presence.offline_grace_ms=200"]);
    let (user, friend) = (w.user(), w.user());
    w.befriend(&user, &friend);
    let (mut watcher, _) = ready(&w, &user.token);
    let (mut socket, _) = ready(&w, &friend.token);
    let seen = watcher.event("PRESENCE_UPDATE");
    assert_eq!((&seen["user_id"], &seen["status"]), (&json!(friend.id), &json!("online")));
    socket.send(&json!({"op": 3, "d": {"status": "dnd", "custom_status": "busy"}}));
    let seen = watcher.event("PRESENCE_UPDATE");
    assert_eq!((&seen["status"], &seen["custom_status"]), (&json!("dnd"), &json!("busy")));
    drop(socket);
    let seen = watcher.event("PRESENCE_UPDATE");
    assert_eq!((&seen["status"], &seen["custom_status"]), (&json!("offline"), &Value::Null));
}

#[test]
fn the_end_of_the_server() {
    let mut w = World::new(&["server.shutdown_grace_ms=1000"]);
    let user = w.user();
    let (mut identified, _) = ready(&w, &user.token);
    let mut fresh = w.server.gateway();
    w.server.signal(libc::SIGTERM);
    for socket in [&mut identified, &mut fresh] {
        let status = socket.json();
        assert_eq!((&status["op"], &status["d"]["state"]), (&json!(12), &json!("shutting_down")));
        assert_eq!(status["d"]["closing_in_seconds"].as_f64(), Some(1.0));
        assert!(status["d"]["message"].is_string() && status["d"]["restart_at"].is_null(), "{status}");
        assert_eq!(socket.json(), json!({"op": 7, "d": null}));
    }
    let refused = Socket::try_connect(w.server.address(), "/gateway", &[]).err().expect("refused");
    assert_eq!(refused.status, 503);
    let state = w.server.http().get("/api/v1/status", None).want(200);
    assert_eq!(state["state"], "shutting_down");
    for mut socket in [identified, fresh] {
        let (code, reason) = socket.closed();
        assert_eq!((code, reason.as_str()), (4017, "Server shutdown"));
    }
    assert_eq!(w.server.wait().code(), Some(0), "{}", w.server.log());
}

#[test]
fn every_change_is_told() {
    let w = World::new(&[]);
    let place = w.place();
    let (owner, member, joiner, other) = (&place.owner, w.member(&place), w.user(), w.user());
    let (mut mine, _) = ready(&w, &owner.token);
    let (mut seen, _) = ready(&w, &member.token);
    let (mut join, _) = ready(&w, &joiner.token);
    let (mut far, _) = ready(&w, &other.token);
    let server = format!("/servers/{}", place.id);
    let channel = format!("/channels/{}", place.channel);

    w.ok(owner, &format!("PATCH {server}"), json!({"name": "Renamed"}));
    assert_eq!(seen.event("GUILD_UPDATE")["name"], "Renamed");
    let made = w.ok(owner, &format!("POST {server}/channels"), json!({"name": "new"}));
    assert_eq!(seen.event("CHANNEL_CREATE"), made);
    let new = text(&made["id"]);
    w.ok(owner, &format!("PATCH /channels/{new}"), json!({"topic": "t"}));
    assert_eq!(seen.event("CHANNEL_UPDATE")["topic"], "t");
    w.ok(owner, &format!("DELETE /channels/{new}"), Value::Null);
    assert_eq!(seen.event("CHANNEL_DELETE"), json!({"id": new, "server_id": place.id}));

    let role = w.ok(owner, &format!("POST {server}/roles"), json!({"name": "r"}));
    assert_eq!(seen.event("GUILD_ROLE_CREATE"), json!({"guild_id": place.id, "role": role}));
    let role = text(&role["id"]);
    w.ok(owner, &format!("PATCH {server}/roles/{role}"), json!({"name": "s"}));
    assert_eq!(seen.event("GUILD_ROLE_UPDATE")["role"]["name"], "s");
    w.ok(owner, &format!("PUT {server}/members/{}/roles/{role}", member.id), Value::Null);
    let update = seen.event("GUILD_MEMBER_UPDATE");
    assert_eq!((&update["guild_id"], &update["user"]["id"]), (&json!(place.id), &json!(member.id)));
    assert!(update["roles"].as_array().is_some_and(|roles| roles.contains(&json!(role))), "{update}");
    w.ok(owner, &format!("DELETE {server}/roles/{role}"), Value::Null);
    assert_eq!(seen.event("GUILD_ROLE_DELETE"), json!({"guild_id": place.id, "role_id": role}));

    w.join(&place, &joiner);
    let created = join.event("GUILD_CREATE");
    assert_eq!((&created["id"], &created["member_count"]), (&json!(place.id), &json!(3)));
    assert_eq!(created["channels"][0]["id"], *place.channel);
    let added = seen.event("GUILD_MEMBER_ADD");
    assert_eq!((&added["guild_id"], &added["user"]["id"]), (&json!(place.id), &json!(joiner.id)));
    w.ok(&joiner, &format!("POST {server}/leave"), Value::Null);
    assert_eq!(join.event("GUILD_DELETE")["id"], *place.id);
    assert_eq!(seen.event("GUILD_MEMBER_REMOVE")["user"]["id"], *joiner.id);

    let id = say(&w, &place, "pin me");
    w.ok(owner, &format!("PUT {channel}/pins/{id}"), Value::Null);
    assert_eq!(seen.event("MESSAGE_UPDATE")["pinned"], true);
    w.ok(&member, &format!("POST {channel}/messages/ack"), Value::Null);
    assert_eq!(mine.event("MESSAGE_ACK")["user_id"], *member.id);
    let reactions = format!("{channel}/messages/{id}/reactions/%F0%9F%91%8D");
    for line in ["PUT", "PUT", "DELETE", "DELETE"] {
        w.ok(&member, &format!("{line} {reactions}"), Value::Null);
    }
    assert_eq!(mine.event("MESSAGE_REACTION_ADD")["user_id"], *member.id);
    assert_eq!(mine.json()["t"], "MESSAGE_REACTION_REMOVE", "a repetition tells nothing");
    seen.send(&json!({"op": 40, "d": {"channel_id": place.channel}}));
    assert_eq!(mine.event("TYPING_START")["user_id"], *member.id);
    seen.send(&json!({"op": 41, "d": {"channel_id": place.channel}}));
    assert_eq!(mine.event("TYPING_STOP"), json!({"channel_id": place.channel, "user_id": member.id}));

    w.ok(owner, "POST /relationships", json!({"user_id": other.id, "message": "hi"}));
    let request = far.event("RELATIONSHIP_ADD");
    assert_eq!((&request["status"], &request["message"]), (&json!("pending_incoming"), &json!("hi")));
    assert_eq!(mine.event("RELATIONSHIP_ADD")["status"], "pending_outgoing");
    w.ok(&other, &format!("PUT /relationships/{}/accept", owner.id), Value::Null);
    assert_eq!(mine.event("RELATIONSHIP_ADD")["status"], "friend");
    w.ok(&other, &format!("DELETE /relationships/{}", owner.id), Value::Null);
    assert_eq!(mine.event("RELATIONSHIP_REMOVE"), json!({"user_id": other.id}));
    let dm = w.dm(owner, &other);
    w.message(owner, &dm, "private");
    let message = far.event("MESSAGE_CREATE");
    assert_eq!((&message["channel_id"], &message["server_id"]), (&json!(dm), &Value::Null));

    w.ok(owner, &format!("DELETE {server}"), Value::Null);
    assert_eq!(seen.event("GUILD_DELETE"), json!({"id": place.id, "unavailable": false}));
}

#[test]
fn some_changes_are_told_to_few() {
    let w = World::new(&[]);
    let place = w.place();
    let (owner, member, other) = (&place.owner, w.member(&place), w.user());
    let (mut mine, _) = ready(&w, &owner.token);
    let (mut seen, _) = ready(&w, &member.token);
    let server = format!("/servers/{}", place.id);
    let channel = format!("/channels/{}", place.channel);

    // Reasons and join codes are for those who may see them by REST.
    w.ok(owner, &format!("PUT {server}/bans/{}", other.id), json!({"reason": "r"}));
    let ban = json!({"guild_id": place.id, "user_id": other.id, "reason": "r"});
    assert_eq!(mine.event("GUILD_BAN_ADD"), ban);
    w.ok(owner, &format!("DELETE {server}/bans/{}", other.id), Value::Null);
    let lifted = json!({"guild_id": place.id, "user_id": other.id});
    assert_eq!(mine.event("GUILD_BAN_REMOVE"), lifted);
    let code = text(&w.ok(owner, &format!("POST {channel}/invites"), Value::Null)["code"]);
    assert_eq!(mine.event("INVITE_CREATE")["invite"]["code"], *code);
    w.ok(owner, &format!("DELETE /channels/invites/{code}"), Value::Null);
    assert_eq!(mine.event("INVITE_DELETE"), json!({"guild_id": place.id, "code": code}));
    let id = say(&w, &place, "fence");
    loop {
        let event = seen.json();
        let name = text(&event["t"]);
        assert!(!name.contains("BAN") && !name.contains("INVITE"), "{event}");
        if name == "MESSAGE_CREATE" {
            break;
        }
    }
    w.ok(owner, &format!("PUT {channel}/pins/{id}"), Value::Null);
    let pins = json!({"channel_id": place.channel, "guild_id": place.id, "pinned_message_ids": [id]});
    assert_eq!(seen.event("CHANNEL_PINS_UPDATE"), pins);
    w.ok(owner, "PATCH /users/@me", json!({"username": "Renamed", "email": "secret@example.org"}));
    let user = seen.event("USER_UPDATE")["user"].clone();
    shape(&user, "id: id, username: str, avatar_url: str?, badges: list, created_at: int");
    // A direct message is opened for both, each seeing the other.
    let dm = w.dm(owner, &member);
    for (socket, recipient) in [(&mut mine, &member.id), (&mut seen, &owner.id)] {
        let created = socket.event("CHANNEL_CREATE");
        assert_eq!((&created["id"], &created["recipient_id"]), (&json!(dm), &json!(recipient)));
    }
    w.ok(owner, "POST /servers", json!({"name": "second"}));
    assert_eq!(mine.event("GUILD_CREATE")["name"], "second");
    assert_eq!(seen.events_until_now(), Vec::<Value>::new());
    // Requests that are answered on the gateway itself.
    mine.send(&json!({"op": 13, "d": {"client_version": "a.1.0-49"}}));
    let version = mine.json();
    assert_eq!((&version["op"], &version["d"]["compatible"]), (&json!(13), &json!(true)));
    mine.send(&json!({"op": 22, "d": {"channel_id": "1", "sdp": "x"}}));
    assert_eq!(mine.json()["d"]["type"], "error", "nothing is invented without a media server");
    mine.send(&json!({"op": 13, "d": {"client_version": "a.0.1-1"}}));
    assert_eq!(mine.json()["d"]["compatible"], false);
    assert_eq!(mine.closed().0, 4015);
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

#[test]
fn a_block_cuts_a_direct_message() {
    let w = World::new(&[]);
    let (blocker, blocked) = (w.user(), w.user());
    let dm = w.dm(&blocked, &blocker);
    let theirs = w.message(&blocker, &dm, "one");
    let own = w.message(&blocked, &dm, "two");
    let channel = format!("/channels/{dm}");
    w.ok(&blocked, &format!("PUT {channel}/pins/{own}"), Value::Null);
    w.ok(&blocker, "POST /relationships/block", json!({"user_id": blocked.id}));
    let (mut socket, _) = ready(&w, &blocker.token);
    for (line, body) in [
        (format!("POST {channel}/messages"), json!({"content": "x"})),
        (format!("PATCH {channel}/messages/{own}"), json!({"content": "x"})),
        (format!("PUT {channel}/pins/{theirs}"), Value::Null),
        (format!("DELETE {channel}/pins/{own}"), Value::Null),
        (format!("PUT {channel}/messages/{theirs}/reactions/%F0%9F%91%8D"), Value::Null),
    ] {
        w.refused(&blocked, &line, body, 403);
    }
    for line in ["POST CHANNEL/messages/ack", "POST CHANNEL/typing", "DELETE CHANNEL/messages/OWN"] {
        let line = line.replace("CHANNEL", &channel).replace("OWN", &own);
        w.ok(&blocked, &line, Value::Null);
    }
    let notes = text(&w.get(&blocker, "/users/@me/notes")["id"]);
    w.message(&blocker, &notes, "to myself");
    let first = socket.json();
    assert_eq!((&first["t"], &first["d"]["channel_id"]), (&json!("MESSAGE_CREATE"), &json!(notes)));
    let seen = w.get(&blocker, &format!("{channel}/messages/{theirs}"));
    assert_eq!((&seen["read_count"], &seen["read_by"]), (&json!(0), &json!([])));
}

#[test]
fn a_reorder_among_many_channels_is_one_event() {
    let w = World::new(&[]);
    let place = w.place();
    let line = format!("POST /servers/{}/channels", place.id);
    for index in 0..60 {
        w.ok(&place.owner, &line, json!({"name": format!("c{index}")}));
    }
    let (mut socket, _) = ready(&w, &place.owner.token);
    let list = || w.get(&place.owner, &format!("/servers/{}/channels", place.id));
    let last = text(&list()[60]["id"]);
    let moved = w.ok(&place.owner, &format!("PATCH /channels/{last}"), json!({"position": 0}));
    assert_eq!(moved["position"], 0);
    say(&w, &place, "after it");
    let (first, second) = (socket.json(), socket.json());
    assert_eq!((&first["t"], &second["t"]), (&json!("CHANNEL_UPDATE"), &json!("MESSAGE_CREATE")));
    let update = &first["d"];
    assert_eq!((&update["id"], &update["position"]), (&json!(last), &json!(0)));
    let listed = list();
    let told = update["channels"].as_array().expect("all that moved");
    assert_eq!(told.len(), 61);
    for channel in listed.as_array().expect("a list") {
        let found = told.iter().find(|entry| entry["id"] == channel["id"]).expect("every channel moved");
        assert_eq!(found["position"], channel["position"]);
    }
}
