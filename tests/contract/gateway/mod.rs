//! The gateway over real sockets: the life of a session, its close codes, and how the server ends.

mod bots;
mod events;
mod frames;
mod notifications;
mod voice;
mod webhooks;

use std::time::Duration;

use crate::support::{Frame, PASSWORD, Server, Socket, Value, json};
use crate::world::{MESSAGE, Place, World, shape, text};

fn say(w: &World, place: &Place, content: &str) -> String {
    w.message(&place.owner, &place.channel, content)
}

/// Opens and identifies.
pub fn ready(w: &World, token: &str) -> (Socket, Value) {
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
