//! Files that are not taken, and people who may bring nothing before others.

use crate::admin_login::session;
use crate::support::{Answer, Value, json};
use crate::world::{World, column, shape, success, text};

cases![
    admin_blocked_hash_list,
    admin_hash_block,
    admin_hash_unblock,
    admin_blocked_user_list,
    admin_user_block,
    admin_user_unblock,
];

fn call(w: &World, line: &str, body: Value) -> Answer {
    w.call(Some(&session(w)), line, body)
}

fn hash(number: u64) -> String {
    format!("{number:064x}")
}

fn block(w: &World, number: u64) {
    call(w, "POST /admin/blocked-hashes", json!({"hash_value": hash(number), "reason": "known"})).want(200);
}

fn status(w: &World, hash: &str) -> Value {
    w.get(&w.user(), &format!("/media/hash/{hash}/status"))
}

fn admin_blocked_hash_list(w: &World) {
    (10..13).for_each(|number| block(w, number));
    let list = call(w, "GET /admin/blocked-hashes?limit=2", Value::Null).want(200);
    let keys = "hash_value: str, reason: str, blocked_at: int, blocked_by: id?, auto_blocked: bool, \
        hash_type: str, phash_threshold: int";
    shape(&list[0], keys);
    assert_eq!(column(&list, "hash_value"), [json!(hash(12)), json!(hash(11))]);
    assert_eq!(list[0]["auto_blocked"], false);
    for bad in ["limit=0", "offset=-1"] {
        call(w, &format!("GET /admin/blocked-hashes?{bad}"), Value::Null).want(400);
    }
}

fn admin_hash_block(w: &World) {
    let shout = hash(0xabc).to_uppercase();
    let body = json!({"hash_value": shout, "reason": "known bad"});
    let answer = call(w, "POST /admin/blocked-hashes", body).want(200);
    assert_eq!(answer, json!({"success": true, "hash_value": hash(0xabc), "hash_type": "sha256"}));
    assert_eq!(status(w, &hash(0xabc))["reason"], "known bad");
    let again = json!({"hash_value": hash(0xabc), "reason": "another"});
    call(w, "POST /admin/blocked-hashes", again).want(200);
    assert_eq!(status(w, &hash(0xabc))["reason"], "another");
    for bad in [
        json!({"hash_value": "abc", "reason": "x"}),
        json!({"hash_value": "a".repeat(129), "reason": "x"}),
        json!({"hash_value": hash(1)}),
        json!({"hash_value": hash(1), "reason": ""}),
        json!({"hash_value": hash(1), "reason": "r".repeat(501)}),
        json!({"hash_value": " ".repeat(64), "reason": "x"}),
    ] {
        call(w, "POST /admin/blocked-hashes", bad).want(400);
    }
}

fn admin_hash_unblock(w: &World) {
    block(w, 20);
    for _ in 0..2 {
        success(&call(w, &format!("DELETE /admin/blocked-hashes/{}", hash(20)), Value::Null).want(200));
    }
    assert_eq!(status(w, &hash(20))["is_blocked"], false);
}

fn silence(w: &World, user: &str, more: Value) -> Answer {
    let mut body = json!({"user_id": user, "reason": "flood"});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    call(w, "POST /admin/blocked-users", body)
}

fn admin_blocked_user_list(w: &World) {
    let (one, two) = (w.user(), w.user());
    silence(w, &one.id, json!({})).want(200);
    silence(w, &two.id, json!({"duration_hours": 1})).want(200);
    let list = call(w, "GET /admin/blocked-users?limit=2", Value::Null).want(200);
    let keys = "user_id: id, username: str?, reason: str, blocked_at: int, blocked_by: id?, expires_at: int?";
    shape(&list[0], keys);
    assert_eq!(column(&list, "user_id"), [json!(two.id), json!(one.id)]);
    assert!(list[0]["expires_at"].is_u64() && list[1]["expires_at"].is_null());
    call(w, "GET /admin/blocked-users?limit=0", Value::Null).want(400);
}

fn admin_user_block(w: &World) {
    let place = w.place();
    let user = w.member(&place);
    let bot = w.bot(&user);
    let said = w.message(&user, &place.channel, "before");
    let friend = w.user();
    w.befriend(&user, &friend);
    let dm = w.dm(&user, &friend);
    let answer = silence(w, &user.id, json!({"duration_hours": 1})).want(200);
    assert_eq!(answer, json!({"success": true, "user_id": user.id}));
    let messages = format!("/channels/{}/messages", place.channel);
    for (line, body) in [
        (format!("POST {messages}"), json!({"content": "may I"})),
        (format!("PATCH {messages}/{said}"), json!({"content": "may I"})),
        (format!("PUT {messages}/{said}/reactions/%F0%9F%91%8D"), Value::Null),
        (format!("POST /channels/{dm}/messages"), json!({"content": "may I"})),
        (format!("POST {messages}"), json!({"poll": {"question": "q", "options": ["a", "b"]}})),
    ] {
        let refused = w.refused(&user, &line, body, 403);
        assert_eq!(refused["error"]["reason"], "flood", "{line}");
    }
    let form = "--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
        content-type: text/plain\r\n\r\nhello\r\n--b--\r\n";
    let path = format!("/channels/{}/attachments", place.channel);
    w.form(Some(&user), &path, "multipart/form-data; boundary=b", form.as_bytes()).want(403);
    // Reading, and what is nobody else's business, goes on; his bots are as he is.
    w.get(&user, &messages);
    success(&w.ok(&user, &format!("DELETE {messages}/{said}"), Value::Null));
    let bot_dm = w.call(Some(&bot.token), "POST /users/@me/channels", json!({"recipient_id": user.id}));
    if bot_dm.status == 200 {
        let channel = text(&bot_dm.want(200)["id"]);
        let line = format!("POST /channels/{channel}/messages");
        w.call(Some(&bot.token), &line, json!({"content": "may I"})).want(403);
    }
    silence(w, "999", json!({})).want(404);
    for bad in [
        json!({"user_id": user.id}),
        json!({"user_id": "x", "reason": "y"}),
        json!({"user_id": user.id, "reason": "r".repeat(501)}),
        json!({"user_id": user.id, "reason": "x", "duration_hours": 0}),
    ] {
        call(w, "POST /admin/blocked-users", bad).want(400);
    }
}

fn admin_user_unblock(w: &World) {
    let place = w.place();
    let user = w.member(&place);
    // Nor through a webhook that he holds, though a webhook is nobody.
    let hook = json!({"channel_id": place.channel, "name": "his"});
    let hook = w.ok(&place.owner, "POST /webhooks", hook);
    let hook = format!("POST /webhooks/{}/{}?wait=true", text(&hook["id"]), text(&hook["token"]));
    silence(w, &place.owner.id, json!({})).want(200);
    let refused = w.call(None, &hook, json!({"content": "may I"})).want(403);
    assert_eq!(refused["error"]["reason"], "flood");
    call(w, &format!("DELETE /admin/blocked-users/{}", place.owner.id), Value::Null).want(200);
    w.call(None, &hook, json!({"content": "thank you"})).want(200);
    silence(w, &user.id, json!({})).want(200);
    let line = format!("POST /channels/{}/messages", place.channel);
    w.refused(&user, &line, json!({"content": "may I"}), 403);
    for _ in 0..2 {
        success(&call(w, &format!("DELETE /admin/blocked-users/{}", user.id), Value::Null).want(200));
    }
    w.ok(&user, &line, json!({"content": "thank you"}));
    call(w, "DELETE /admin/blocked-users/x", Value::Null).want(400);
}
