//! Groups: who is in them, who owns them, what is said there.

use crate::support::{User, Value, json};
use crate::world::{MESSAGE, World, column, shape, success, text};

cases![group_list, group_open, group_get, group_edit, group_add, group_remove, group_leave];

const GROUP: &str = "id: id, type: str, channel_type: str, name: str?, owner_id: id, participants: list, \
    created_at: int, last_message_id: id?";

fn open(w: &World, owner: &User, others: &[&User]) -> String {
    let ids: Vec<&String> = others.iter().map(|user| &user.id).collect();
    text(&w.ok(owner, "POST /users/@me/groups", json!({"user_ids": ids}))["id"])
}

fn participants(w: &World, user: &User, group: &str) -> Vec<Value> {
    column(&w.get(user, &format!("/groups/{group}"))["participants"], "id")
}

fn ids(users: &[&User]) -> Vec<Value> {
    users.iter().map(|user| json!(user.id)).collect()
}

fn group_open(w: &World) {
    let (a, b, c) = (w.user(), w.user(), w.user());
    let body = json!({"user_ids": [b.id, c.id, b.id, a.id], "name": " Tea  party "});
    let group = w.ok(&a, "POST /users/@me/groups", body);
    shape(&group, GROUP);
    assert_eq!((&group["owner_id"], &group["name"]), (&json!(a.id), &json!("Tea  party")));
    assert_eq!((&group["type"], &group["channel_type"]), (&json!("group_dm"), &json!("group_dm")));
    assert_eq!(column(&group["participants"], "id"), ids(&[&a, &b, &c]));
    // What is said there is said as anywhere.
    let channel = text(&group["id"]);
    let id = w.message(&b, &channel, &format!("<@{}> hello", c.id));
    let page = w.get(&c, &format!("/channels/{channel}/messages"));
    shape(&page[0], MESSAGE);
    assert_eq!(page[0]["id"], json!(id));
    assert_eq!(w.get(&c, "/users/@me/unread")["unread_counts"][&channel], 1);
    assert_eq!(w.get(&c, "/users/@me/notifications")["unread_count"], 1);
    w.ok(&c, &format!("POST /channels/{channel}/messages/ack"), Value::Null);
    assert_eq!(w.get(&c, "/users/@me/unread")["unread_counts"], json!({}));
    w.ok(&c, &format!("POST /channels/{channel}/typing"), Value::Null);
    w.ok(&a, &format!("PUT /channels/{channel}/pins/{id}"), Value::Null);
    // The owner does not delete what others say.
    w.refused(&a, &format!("DELETE /channels/{channel}/messages/{id}"), Value::Null, 403);
    assert_eq!(w.get(&a, &format!("/channels/{channel}"))["channel_type"], "group_dm");
    assert_eq!(w.get(&a, "/users/@me/channels"), json!([]), "they have a list of their own");
    let outsider = w.user();
    w.refused(&outsider, &format!("POST /channels/{channel}/messages"), json!({"content": "x"}), 403);

    let many: Vec<String> = (0..101).map(|id| id.to_string()).collect();
    let name = "n".repeat(101);
    for bad in [
        json!({}),
        json!({"user_ids": []}),
        json!({"user_ids": [a.id]}),
        json!({"user_ids": "x"}),
        json!({"user_ids": ["x"]}),
        json!({"user_ids": many}),
        json!({"user_ids": [b.id], "name": name}),
    ] {
        w.refused(&a, "POST /users/@me/groups", bad, 400);
    }
    w.refused(&a, "POST /users/@me/groups", json!({"user_ids": ["999"]}), 404);
    // As with direct messages: not over a block, not to whom takes none.
    w.ok(&b, "POST /relationships/block", json!({"user_id": c.id}));
    w.refused(&a, "POST /users/@me/groups", json!({"user_ids": [b.id, c.id]}), 403);
    w.refused(&b, "POST /users/@me/groups", json!({"user_ids": [c.id]}), 403);
    w.ok(&b, "PATCH /users/@me/messaging-settings", json!({"allow_dms_from": "friends"}));
    w.refused(&a, "POST /users/@me/groups", json!({"user_ids": [b.id]}), 403);
    w.befriend(&a, &b);
    w.ok(&a, "POST /users/@me/groups", json!({"user_ids": [b.id]}));
}

fn group_list(w: &World) {
    let (a, b) = (w.user(), w.user());
    assert_eq!(w.get(&a, "/users/@me/groups"), json!([]));
    let (one, two) = (open(w, &a, &[&b]), open(w, &b, &[&a]));
    w.message(&a, &one, "x");
    let list = w.get(&b, "/users/@me/groups");
    assert_eq!(column(&list, "id"), [json!(one), json!(two)], "latest message first");
    shape(&list[0], GROUP);
}

fn group_get(w: &World) {
    let (a, b) = (w.user(), w.user());
    let group = open(w, &a, &[&b]);
    shape(&w.get(&b, &format!("/groups/{group}")), GROUP);
    w.refused(&w.user(), &format!("GET /groups/{group}"), Value::Null, 403);
    // What is none, another kind of channel among it.
    let dm = w.dm(&a, &b);
    for other in ["999", &dm, &w.place().channel] {
        w.refused(&a, &format!("GET /groups/{other}"), Value::Null, 404);
    }
    w.refused(&a, "GET /groups/x", Value::Null, 400);
}

fn group_edit(w: &World) {
    let (a, b, outsider) = (w.user(), w.user(), w.user());
    let group = open(w, &a, &[&b]);
    let line = format!("PATCH /groups/{group}");
    let named = w.ok(&b, &line, json!({"name": "Ours"}));
    shape(&named, GROUP);
    assert_eq!(named["name"], "Ours");
    assert_eq!(w.get(&a, &format!("/channels/{group}"))["name"], "Ours");
    assert_eq!(w.ok(&a, &line, json!({"name": " "}))["name"], Value::Null);
    w.refused(&outsider, &line, json!({"name": "x"}), 403);
    w.refused(&a, &line, json!({"name": 5}), 400);
    // Only the owner hands it on, to one of them.
    w.refused(&b, &line, json!({"owner_id": b.id}), 403);
    w.refused(&a, &line, json!({"owner_id": outsider.id}), 400);
    assert_eq!(w.ok(&a, &line, json!({"owner_id": b.id}))["owner_id"], json!(b.id));
    assert_eq!(participants(w, &a, &group), ids(&[&b, &a]));
}

fn group_add(w: &World) {
    let (a, b, c) = (w.user(), w.user(), w.user());
    let group = open(w, &a, &[&b]);
    let add = |user: &User| format!("PUT /groups/{group}/participants/{}", user.id);
    w.refused(&c, &add(&c), Value::Null, 403);
    let answer = w.ok(&b, &add(&c), Value::Null);
    shape(&answer, GROUP);
    w.ok(&b, &add(&c), Value::Null);
    assert_eq!(participants(w, &c, &group), ids(&[&a, &b, &c]));
    w.refused(&a, &format!("PUT /groups/{group}/participants/999"), Value::Null, 404);
    // Whom one of them has blocked.
    let d = w.user();
    w.ok(&a, "POST /relationships/block", json!({"user_id": d.id}));
    w.refused(&b, &add(&d), Value::Null, 403);
    let bot = w.bot(&a);
    w.ok(&a, &add(&bot), Value::Null);
    w.message(&bot, &group, "beep");
    w.refused(&bot, &add(&w.user()), Value::Null, 403);
}

fn group_remove(w: &World) {
    let (a, b, c) = (w.user(), w.user(), w.user());
    let group = open(w, &a, &[&b, &c]);
    let remove = |user: &User| format!("DELETE /groups/{group}/participants/{}", user.id);
    w.refused(&b, &remove(&c), Value::Null, 403);
    success(&w.ok(&a, &remove(&c), Value::Null));
    w.refused(&a, &remove(&c), Value::Null, 404);
    w.refused(&c, &format!("GET /channels/{group}/messages"), Value::Null, 403);
    assert_eq!(w.get(&c, "/users/@me/groups"), json!([]));
    success(&w.ok(&b, &remove(&b), Value::Null));
    assert_eq!(participants(w, &a, &group), ids(&[&a]));
}

fn group_leave(w: &World) {
    let (a, b, c) = (w.user(), w.user(), w.user());
    let group = open(w, &a, &[&b, &c]);
    let line = format!("POST /groups/{group}/leave");
    success(&w.ok(&a, &line, Value::Null));
    w.refused(&a, &line, Value::Null, 403);
    assert_eq!(w.get(&c, &format!("/groups/{group}"))["owner_id"], json!(b.id), "who came next");
    w.ok(&b, &line, Value::Null);
    let id = w.message(&c, &group, "alone");
    w.ok(&c, &line, Value::Null);
    // It went with the last.
    w.refused(&c, &line, Value::Null, 404);
    w.refused(&c, &format!("GET /channels/{group}/messages/{id}"), Value::Null, 404);
}
