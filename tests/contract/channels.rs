//! Channels of a server, and slow mode.

use crate::support::{Value, json};
use crate::world::{World, column, shape, text};

cases![channel_list, channel_create, channel_get, channel_edit, channel_delete];

const CHANNEL: &str = "id: id, server_id: id, name: str, channel_type: str, topic: str?, position: int, \
    category_id: id?, nsfw: bool, slowmode_seconds: int, read_receipts_enabled: bool, created_at: int, \
    recipient_id: id?, recipient: object?";

fn channel_list(w: &World) {
    let place = w.place();
    let path = format!("/servers/{}/channels", place.id);
    for name in ["one", "two"] {
        w.ok(&place.owner, &format!("POST {path}"), json!({"name": name}));
    }
    let member = w.member(&place);
    let list = w.get(&member, &path);
    assert_eq!(column(&list, "name"), [json!("general"), json!("one"), json!("two")]);
    shape(&list[0], CHANNEL);
    let line = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    w.ok(&place.owner, &line, json!({"permissions": {}}));
    assert_eq!(w.get(&member, &path), json!([]), "only what one may view");
}

fn channel_create(w: &World) {
    let place = w.place();
    let line = format!("POST /servers/{}/channels", place.id);
    let create = |body: Value| w.ok(&place.owner, &line, body);
    let made = create(json!({"name": "With Spaces & CAPS"}));
    shape(&made, CHANNEL);
    assert_eq!((&made["name"], &made["channel_type"]), (&json!("with-spaces-caps"), &json!("text")));
    for name in ["हिन्दी", "ที่นี่", "می\u{200c}خواهم"] {
        assert_eq!(create(json!({"name": name}))["name"], name);
    }
    let made = create(json!({"name": "gro\u{308}ße"}));
    assert_eq!(made["name"], "größe");
    // What is stored can be sent back; a name that would be too long when stored is refused.
    let patch = format!("PATCH /channels/{}", text(&create(json!({"name": "\u{130}".repeat(50)}))["id"]));
    let stored = w.ok(&place.owner, &patch, json!({}))["name"].clone();
    assert_eq!(w.ok(&place.owner, &patch, json!({"name": stored}))["name"], stored);
    w.refused(&place.owner, &line, json!({"name": "\u{130}".repeat(100)}), 400);
    for kind in ["text", "voice", "category", "stage", "announcement"] {
        for blank in ["\u{3164}", "\u{200b}\u{2060}", "\0", "\u{202e}", "\n"] {
            w.refused(&place.owner, &line, json!({"name": blank, "type": kind}), 400);
        }
    }
    let made = create(json!({"name": " Big\nHall\0\u{202e} ", "type": "voice"}));
    assert_eq!(made["name"], "Big Hall");
    for (key, kind, name) in [
        ("type", "voice", "Big Hall"),
        ("channel_type", "stage", "Big Hall"),
        ("channel_type", "category", "Big Hall"),
        ("type", "announcement", "big-hall"),
    ] {
        let made = create(json!({"name": "Big Hall", key: kind}));
        assert_eq!((&made["channel_type"], &made["name"]), (&json!(kind), &json!(name)));
    }
    let category = create(json!({"name": "c", "type": "category"}));
    let full = create(json!({"name": "f", "topic": "t", "category_id": category["id"], "nsfw": true,
        "slowmode_seconds": 21600, "read_receipts_enabled": false}));
    assert_eq!((&full["category_id"], &full["slowmode_seconds"]), (&category["id"], &json!(21600)));
    for bad in [
        json!({}),
        json!({"name": ""}),
        json!({"name": "x".repeat(101)}),
        json!({"name": "x", "type": "nonsense"}),
        json!({"name": "x", "category_id": made["id"]}),
        json!({"name": "x", "category_id": "999"}),
        json!({"name": "x", "topic": "x".repeat(1025)}),
        json!({"name": "x", "slowmode_seconds": 21601}),
        json!({"name": "x", "slowmode_seconds": -1}),
        json!({"name": "x", "nsfw": "no"}),
    ] {
        w.refused(&place.owner, &line, bad, 400);
    }
    let refusal = w.refused(&w.member(&place), &line, json!({"name": "x"}), 403);
    assert_eq!(refusal["error"]["message"], "Missing required permission: channels.manage");
}

fn channel_get(w: &World) {
    let place = w.place();
    let channel = w.get(&place.owner, &format!("/channels/{}", place.channel));
    shape(&channel, CHANNEL);
    assert_eq!((&channel["server_id"], &channel["recipient"]), (&json!(place.id), &Value::Null));
    let (one, other) = (w.user(), w.user());
    let dm = w.get(&one, &format!("/channels/{}", w.dm(&one, &other)));
    shape(&dm, CHANNEL);
    assert_eq!((&dm["server_id"], &dm["channel_type"]), (&json!("0"), &json!("dm")));
    assert_eq!((&dm["recipient_id"], &dm["recipient"]["username"]), (&json!(other.id), &json!(other.name)));
    w.refused(&w.user(), &format!("GET /channels/{}", text(&dm["id"])), Value::Null, 403);
}

fn channel_edit(w: &World) {
    let place = w.place();
    let line = format!("PATCH /channels/{}", place.channel);
    let before = w.get(&place.owner, &format!("/channels/{}", place.channel));
    assert_eq!(w.ok(&place.owner, &line, json!({"name": null})), before);
    w.ok(&place.owner, &format!("POST /servers/{}/channels", place.id), json!({"name": "second"}));
    let body = json!({"name": "New Name", "topic": "t", "nsfw": true, "slowmode_seconds": 5, "position": 1});
    let after = w.ok(&place.owner, &line, body);
    shape(&after, CHANNEL);
    assert_eq!((&after["name"], &after["topic"]), (&json!("new-name"), &json!("t")));
    let list = w.get(&place.owner, &format!("/servers/{}/channels", place.id));
    assert_eq!(column(&list, "name"), [json!("second"), json!("new-name")]);
    for bad in [json!({"name": ""}), json!({"slowmode_seconds": 21601}), json!({"position": -1})] {
        w.refused(&place.owner, &line, bad, 400);
    }
    let member = w.member(&place);
    w.refused(&member, &line, json!({"name": "x"}), 403);
    // Slow mode, and who is above it.
    let send = format!("POST /channels/{}/messages", place.channel);
    w.ok(&member, &send, json!({"content": "one"}));
    let answer = w.call(Some(&member.token), &send, json!({"content": "two"}));
    let body = answer.want(429);
    assert!(body["error"]["retry_after"].as_f64().is_some_and(|s| s > 0.0 && s <= 5.0), "{body}");
    assert!(answer.header("retry-after").is_some());
    for content in ["one", "two"] {
        w.ok(&place.owner, &send, json!({"content": content}));
    }
    let dm = w.dm(&member, &place.owner);
    w.refused(&member, &format!("PATCH /channels/{dm}"), json!({"name": "x"}), 403);
}

fn channel_delete(w: &World) {
    let place = w.place();
    let create = format!("POST /servers/{}/channels", place.id);
    let category = text(&w.ok(&place.owner, &create, json!({"name": "c", "type": "category"}))["id"]);
    let inner = text(&w.ok(&place.owner, &create, json!({"name": "i", "category_id": category}))["id"]);
    let member = w.member(&place);
    w.refused(&member, &format!("DELETE /channels/{category}"), Value::Null, 403);
    let answer = w.ok(&place.owner, &format!("DELETE /channels/{category}"), Value::Null);
    assert_eq!(answer["success"], true);
    assert_eq!(w.get(&member, &format!("/channels/{inner}"))["category_id"], Value::Null);
    w.ok(&place.owner, &format!("DELETE /channels/{}", place.channel), Value::Null);
    w.refused(&member, &format!("GET /channels/{}", place.channel), Value::Null, 404);
    let server = w.get(&member, &format!("/servers/{}", place.id));
    assert_eq!(server["default_channel_id"], Value::Null);
    let dm = w.dm(&member, &place.owner);
    w.refused(&member, &format!("DELETE /channels/{dm}"), Value::Null, 403);
}
