//! The typing signal, which is seen on the gateway only.

use crate::support::{Value, json};
use crate::world::{World, success};

cases![typing_start];

fn typing_start(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let (mut mine, mut other) = (w.server.gateway(), w.server.gateway());
    mine.identify(&place.owner.token);
    other.identify(&member.token);
    let line = format!("POST /channels/{}/typing", place.channel);
    success(&w.ok(&place.owner, &line, Value::Null));
    let event = other.event("TYPING_START");
    let want = json!({"channel_id": place.channel, "user_id": place.owner.id, "username": place.owner.name});
    assert_eq!(event, want);
    w.message(&place.owner, &place.channel, "fence");
    mine.event("MESSAGE_CREATE");
    assert!(mine.events_until_now().iter().all(|event| event["t"] != "TYPING_START"), "not to oneself");
    // Switched off: success, and silence.
    w.ok(&place.owner, "PATCH /users/@me/messaging-settings", json!({"typing_indicators_enabled": false}));
    success(&w.ok(&place.owner, &line, Value::Null));
    let fence = w.message(&place.owner, &place.channel, "fence");
    loop {
        let message = other.json();
        assert_ne!(message["t"], "TYPING_START");
        if message["d"]["id"] == *fence {
            break;
        }
    }
    let role = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    w.ok(&place.owner, &role, json!({"permissions": {"channels.view": true}}));
    w.refused(&member, &line, Value::Null, 403);
}
