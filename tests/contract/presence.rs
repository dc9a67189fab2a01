//! The own status, and what others see of it.

use crate::support::json;
use crate::world::{World, shape};

cases![presence_set, presence_get];

const PRESENCE: &str =
    "user_id: id, status: str, custom_status: str?, custom_emoji: str?, last_seen: int?";

fn presence_set(w: &World) {
    let user = w.user();
    let line = "PUT /users/@me/presence";
    for status in ["online", "idle", "dnd", "invisible", "offline"] {
        let answer = w.ok(&user, line, json!({"status": status}));
        shape(&answer, PRESENCE);
        assert_eq!(answer["user_id"], *user.id);
    }
    let full = json!({"status": "dnd", "custom_status": "busy", "custom_emoji": "🦀"});
    let answer = w.ok(&user, line, full);
    assert_eq!((&answer["custom_status"], &answer["custom_emoji"]), (&json!("busy"), &json!("🦀")));
    for (typed, want) in [(" a\nb\u{202e}\0 ", json!("a b")), ("\u{3164}\u{200b}", json!(null)), ("busy", json!("busy"))] {
        let answer = w.ok(&user, line, json!({"status": "dnd", "custom_status": typed}));
        assert_eq!(answer["custom_status"], want, "{typed:?}");
    }
    let kept = w.ok(&user, line, json!({"status": "dnd", "custom_status": null}));
    assert_eq!(kept["custom_status"], "busy");
    let cleared = w.ok(&user, line, json!({"status": "dnd", "custom_status": "", "custom_emoji": ""}));
    assert!(cleared["custom_status"].as_str().unwrap_or_default().is_empty(), "{cleared}");
    for bad in [
        json!({}),
        json!({"status": "Online"}),
        json!({"status": 1}),
        json!({"status": "online", "custom_status": "x".repeat(129)}),
        json!({"status": "online", "custom_emoji": "x".repeat(65)}),
        json!({"status": "online", "custom_status": 5}),
    ] {
        w.refused(&user, line, bad, 400);
    }
}

fn presence_get(w: &World) {
    let (user, other) = (w.user(), w.user());
    let of = |target: &str| w.get(&user, &format!("/users/{target}/presence"));
    shape(&of(&other.id), PRESENCE);
    assert_eq!(of(&other.id)["status"], "offline");
    let unknown = of("999");
    assert_eq!(unknown["status"], "offline");
    assert!(unknown["last_seen"].as_u64().unwrap_or(0) == 0, "{unknown}");
    let mut socket = w.server.gateway();
    socket.identify(&other.token);
    w.ok(&other, "PUT /users/@me/presence", json!({"status": "idle"}));
    assert_eq!(of(&other.id)["status"], "idle");
    w.ok(&other, "PUT /users/@me/presence", json!({"status": "invisible"}));
    assert_eq!(of(&other.id)["status"], "offline");
    w.ok(&other, "PUT /users/@me/presence", json!({"status": "online"}));
    w.ok(&user, "POST /relationships/block", json!({"user_id": other.id}));
    assert_eq!(of(&other.id)["status"], "offline");
}
