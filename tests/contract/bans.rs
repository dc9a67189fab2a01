//! Bans: what they end, what they keep out.

use crate::support::{Value, json};
use crate::world::{World, column, shape, success, text};

cases![ban_list, ban_create, ban_delete];

fn ban_list(w: &World) {
    let place = w.place();
    let (one, two, moderator) = (w.user(), w.user(), w.member(&place));
    let path = format!("/servers/{}/bans", place.id);
    assert_eq!(w.get(&place.owner, &path), json!([]));
    w.ok(&place.owner, &format!("PUT {path}/{}", one.id), json!({"reason": "spam"}));
    w.ok(&place.owner, &format!("PUT {path}/{}", two.id), Value::Null);
    let list = w.get(&place.owner, &path);
    assert_eq!(column(&list, "user_id"), [json!(two.id), json!(one.id)], "newest first");
    assert_eq!(column(&list, "reason"), [Value::Null, json!("spam")]);
    shape(&list[0], "user_id: id, reason: str?, banned_by: id?, banned_at: int");
    assert_eq!(list[0]["banned_by"], *place.owner.id);
    w.refused(&moderator, &format!("GET {path}"), Value::Null, 403);
    w.grant(&place, &moderator, &["bans.view"]);
    assert_eq!(w.get(&moderator, &path), list);
}

fn ban_create(w: &World) {
    let place = w.place();
    let (moderator, target) = (w.member(&place), w.member(&place));
    let ban = |id: &str| format!("PUT /servers/{}/bans/{id}", place.id);
    w.message(&target, &place.channel, "unwanted");
    let kept = w.message(&moderator, &place.channel, "wanted");
    w.refused(&moderator, &ban(&target.id), Value::Null, 403);
    w.grant(&place, &moderator, &["members.ban"]);
    w.refused(&moderator, &ban(&place.owner.id), Value::Null, 403);
    w.refused(&place.owner, &ban(&place.owner.id), Value::Null, 403);
    w.refused(&moderator, &ban("999"), Value::Null, 404);
    for bad in [json!({"delete_message_days": 8}), json!({"delete_message_days": -1}), json!({"reason": "x".repeat(513)})] {
        w.refused(&moderator, &ban(&target.id), bad, 400);
    }
    success(&w.ok(&moderator, &ban(&target.id), json!({"reason": "spam", "delete_message_days": 1})));
    w.refused(&moderator, &ban(&target.id), Value::Null, 409);
    w.refused(&target, &format!("GET /servers/{}", place.id), Value::Null, 403);
    let messages = w.get(&moderator, &format!("/channels/{}/messages", place.channel));
    assert_eq!(column(&messages, "id"), [json!(kept)]);
    let invite = w.ok(&place.owner, &format!("POST /channels/{}/invites", place.channel), json!({}));
    w.refused(&target, &format!("POST /channels/invites/{}", text(&invite["code"])), Value::Null, 403);
}

fn ban_delete(w: &World) {
    let place = w.place();
    let (member, target) = (w.member(&place), w.user());
    let line = format!("DELETE /servers/{}/bans/{}", place.id, target.id);
    w.refused(&place.owner, &line, Value::Null, 404);
    w.ok(&place.owner, &format!("PUT /servers/{}/bans/{}", place.id, target.id), json!({}));
    w.refused(&member, &line, Value::Null, 403);
    success(&w.ok(&place.owner, &line, Value::Null));
    w.join(&place, &target);
}
