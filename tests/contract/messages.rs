//! Messages: paging, what may be sent, who may change what.

use crate::support::{Value, json};
use crate::world::{MESSAGE, World, column, eventually, shape, success, text};

cases![message_list, message_create, message_get, message_edit, message_delete, message_bulk_delete, message_search];

fn message_list(w: &World) {
    let place = w.place();
    let path = format!("/channels/{}/messages", place.channel);
    assert_eq!(w.get(&place.owner, &path), json!([]));
    let ids: Vec<String> =
        (0..6).map(|index| w.message(&place.owner, &place.channel, &index.to_string())).collect();
    let page = |query: &str| column(&w.get(&place.owner, &format!("{path}?{query}")), "id");
    let want = |indexes: &[usize]| -> Vec<Value> { indexes.iter().map(|&index| json!(ids[index])).collect() };
    assert_eq!(page(""), want(&[5, 4, 3, 2, 1, 0]));
    assert_eq!(page("limit=2"), want(&[5, 4]));
    assert_eq!(page(&format!("before={}&limit=2", ids[4])), want(&[3, 2]));
    assert_eq!(page(&format!("after={}&limit=2", ids[1])), want(&[2, 3]), "oldest first");
    assert_eq!(page(&format!("after={}&before={}", ids[0], ids[2])), want(&[1, 0]), "before wins");
    assert_eq!(page(&format!("before={}", ids[0])), want(&[]));
    for bad in ["limit=0", "limit=101", "limit=x", "before=x", "after=-1", "limit="] {
        w.refused(&place.owner, &format!("GET {path}?{bad}"), Value::Null, 400);
    }
    shape(&w.get(&w.member(&place), &path)[0], MESSAGE);
    let voice = w.ok(
        &place.owner,
        &format!("POST /servers/{}/channels", place.id),
        json!({"name": "v", "type": "voice"}),
    );
    assert_eq!(w.get(&place.owner, &format!("/channels/{}/messages", text(&voice["id"]))), json!([]));
}

fn message_create(w: &World) {
    let place = w.place();
    let line = format!("POST /channels/{}/messages", place.channel);
    let user = &place.owner;
    for content in ["<script>alert('x')</script>", "'; DROP TABLE users; --", "🦀\u{200d}\"\\\n\t", "a"] {
        let message = w.ok(user, &line, json!({"content": content, "unknown": {}}));
        shape(&message, MESSAGE);
        assert_eq!((&message["content"], &message["author_id"]), (&json!(content), &json!(user.id)));
        assert_eq!((&message["author_username"], &message["pinned"]), (&json!(user.name), &json!(false)));
        assert_eq!((&message["channel_id"], &message["read"]), (&json!(place.channel), &json!(true)));
    }
    for blank in ["\u{3164}", "\u{2060}", "\u{200b}\u{feff}\n", "\0", "\u{e0041}", "\u{2800}"] {
        w.refused(user, &line, json!({"content": blank}), 400);
    }
    let long = "é".repeat(4000);
    let first = w.ok(user, &line, json!({"content": long}));
    assert_eq!(first["content"], *long);
    let reply = w.ok(user, &line, json!({"content": "re", "reply_to_id": first["id"]}));
    assert_eq!(reply["reply_to_id"], first["id"]);
    let embed = json!({"title": "t", "description": "d"});
    let embedded = w.ok(user, &line, json!({"embeds": [embed]}));
    assert_eq!(embedded["embeds"][0]["title"], "t");
    w.refused(user, &line, json!({"content": "x", "reply_to_id": "999"}), 404);
    for bad in [
        json!({}),
        json!({"content": null}),
        json!({"content": ""}),
        json!({"content": " \n\t"}),
        json!({"content": "é".repeat(4001)}),
        json!({"content": 5}),
        json!({"content": "x", "reply_to_id": "x"}),
        json!({"content": "x", "embeds": "x"}),
        json!({"embeds": vec![embed; 11]}),
    ] {
        w.refused(user, &line, bad, 400);
    }
    let member = w.member(&place);
    let dm = w.dm(&member, user);
    let message = w.message(&member, &dm, "private");
    assert_eq!(w.get(user, &format!("/channels/{dm}/messages/{message}"))["content"], "private");
}

fn message_get(w: &World) {
    let place = w.place();
    let id = w.message(&place.owner, &place.channel, "one");
    let message = w.get(&w.member(&place), &format!("/channels/{}/messages/{id}", place.channel));
    shape(&message, MESSAGE);
    assert_eq!((&message["id"], &message["read"]), (&json!(id), &json!(false)));
    // The channel of the path counts.
    let other = w.dm(&place.owner, &w.user());
    w.refused(&place.owner, &format!("GET /channels/{other}/messages/{id}"), Value::Null, 404);
}

fn message_edit(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let id = w.message(&member, &place.channel, "one");
    let line = format!("PATCH /channels/{}/messages/{id}", place.channel);
    let edited = w.ok(&member, &line, json!({"content": "two"}));
    shape(&edited, MESSAGE);
    assert_eq!(edited["content"], "two");
    assert!(edited["edited_at"].is_u64(), "{edited}");
    assert_eq!(w.get(&member, &format!("/channels/{}/messages/{id}", place.channel)), edited);
    w.refused(&place.owner, &line, json!({"content": "mine"}), 403);
    for bad in [json!({}), json!({"content": " "}), json!({"content": "é".repeat(4001)})] {
        w.refused(&member, &line, bad, 400);
    }
    let unknown = format!("PATCH /channels/{}/messages/999", place.channel);
    w.refused(&member, &unknown, json!({"content": "x"}), 404);
}

fn message_bulk_delete(w: &World) {
    let place = w.place();
    let (author, other) = (w.member(&place), w.member(&place));
    let path = format!("/channels/{}/messages", place.channel);
    let ids: Vec<String> = (0..3).map(|n| w.message(&author, &place.channel, &n.to_string())).collect();
    let line = format!("POST {path}/bulk-delete");
    let body = json!({"message_ids": [ids[0], ids[2], ids[0], "999"]});
    // It asks for the permission, also for what one wrote oneself.
    for who in [&author, &other] {
        w.refused(who, &line, body.clone(), 403);
    }
    w.grant(&place, &other, &["messages.manage"]);
    let deleted = w.ok(&other, &line, body.clone());
    shape(&deleted, "success: bool, deleted_count: int");
    assert_eq!(deleted, json!({"success": true, "deleted_count": 2}));
    assert_eq!(column(&w.get(&author, &path), "id"), [json!(ids[1])]);
    assert_eq!(w.ok(&other, &line, body)["deleted_count"], 0);
    let many: Vec<String> = (1..=101).map(|id| id.to_string()).collect();
    for bad in [json!({}), json!({"message_ids": []}), json!({"message_ids": ["x"]}), json!({"message_ids": many})] {
        w.refused(&other, &line, bad, 400);
    }
    // Of direct messages, one's own.
    let dm = w.dm(&author, &other);
    let (mine, theirs) = (w.message(&author, &dm, "x"), w.message(&other, &dm, "y"));
    let line = format!("POST /channels/{dm}/messages/bulk-delete");
    w.refused(&author, &line, json!({"message_ids": [mine, theirs]}), 403);
    assert_eq!(w.ok(&author, &line, json!({"message_ids": [mine]}))["deleted_count"], 1);
}

fn message_delete(w: &World) {
    let place = w.place();
    let (author, other) = (w.member(&place), w.member(&place));
    let id = w.message(&author, &place.channel, "one");
    let line = format!("DELETE /channels/{}/messages/{id}", place.channel);
    w.refused(&other, &line, Value::Null, 403);
    success(&w.ok(&author, &line, Value::Null));
    for again in [&line, &format!("GET /channels/{}/messages/{id}", place.channel)] {
        w.refused(&author, again, Value::Null, 404);
    }
    let id = w.message(&author, &place.channel, "two");
    w.grant(&place, &other, &["messages.manage"]);
    w.ok(&other, &format!("DELETE /channels/{}/messages/{id}", place.channel), Value::Null);
    let dm = w.dm(&author, &other);
    let id = w.message(&author, &dm, "x");
    w.refused(&other, &format!("DELETE /channels/{dm}/messages/{id}"), Value::Null, 403);
}

fn message_search(w: &World) {
    let place = w.place();
    let path = format!("/channels/{}/messages/search", place.channel);
    let ids: Vec<String> = ["One word", "two WORDS, one word", "nothing"]
        .map(|content| w.message(&place.owner, &place.channel, content))
        .into();
    let member = w.member(&place);
    let want = |indexes: &[usize]| -> Vec<Value> { indexes.iter().map(|&index| json!(ids[index])).collect() };
    let found = |query: &str| column(&w.get(&member, &format!("{path}?{query}")), "id");
    eventually(|| found("content=word") == want(&[1, 0]));
    assert_eq!(found("content=ONE%20word&limit=1"), want(&[1]));
    assert_eq!(found("content=wor"), want(&[]));
    assert_eq!(found("content="), want(&[]));
    shape(&w.get(&member, &format!("{path}?content=two"))[0], MESSAGE);
    for bad in ["", "content=x&limit=0", "content=x&limit=101"] {
        w.refused(&member, &format!("GET {path}?{bad}"), Value::Null, 400);
    }
    w.refused(&w.user(), &format!("GET {path}?content=x"), Value::Null, 403);
    w.refused(&member, "GET /channels/999/messages/search?content=x", Value::Null, 404);
}
