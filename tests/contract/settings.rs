//! Messaging preferences and the key/value settings of clients.

use std::io::{BufReader, Write};

use crate::support::http::{open, read_answer};
use crate::support::{User, Value, json};
use crate::world::{World, shape, success};

cases![
    messaging_get,
    messaging_edit,
    setting_list,
    setting_put_bulk,
    setting_get,
    setting_put,
    setting_delete
];

const SETTING: &str = "key: str, value: str, created_at: int, updated_at: int";

fn messaging_get(w: &World) {
    let user = w.user();
    let body = w.get(&user, "/users/@me/messaging-settings");
    shape(
        &body,
        "user_id: id, read_receipts_enabled: bool, typing_indicators_enabled: bool, \
         compact_messages_enabled: bool, allow_dms_from: str, auto_create_dms: bool, max_message_length: int?, \
         max_attachment_size: int?, max_attachments_per_message: int?",
    );
    assert_eq!((&body["user_id"], &body["allow_dms_from"]), (&json!(user.id), &json!("everyone")));
}

/// Statuses of posts that are sent in one go.
fn pipelined(w: &World, user: &User, channel: &str, contents: &[&str]) -> Vec<u16> {
    let mut stream = open(w.server.address());
    let requests = contents.iter().map(|content| {
        let body = json!({"content": content}).to_string();
        format!(
            "POST /api/v1/channels/{channel}/messages HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            user.token,
            body.len()
        )
    });
    stream.write_all(requests.collect::<String>().as_bytes()).expect("an open socket");
    let mut reader = BufReader::new(stream);
    contents.iter().map(|_| read_answer(&mut reader, false).expect("an answer").status).collect()
}

fn messaging_edit(w: &World) {
    let user = w.user();
    let line = "PATCH /users/@me/messaging-settings";
    let before = w.get(&user, "/users/@me/messaging-settings");
    assert_eq!(w.ok(&user, line, json!({"allow_dms_from": null, "auto_create_dms": null})), before);
    let after = w.ok(&user, line, json!({"read_receipts_enabled": false, "allow_dms_from": "friends"}));
    assert_eq!((&after["read_receipts_enabled"], &after["allow_dms_from"]), (&json!(false), &json!("friends")));
    assert_eq!(w.get(&user, "/users/@me/messaging-settings"), after);
    w.ok(&user, line, json!({"max_message_length": 5}));
    let place = w.place();
    w.join(&place, &user);
    assert_eq!(pipelined(w, &user, &place.channel, &["12345", "123456", "é"]), [200, 400, 200]);
    w.ok(&user, line, json!({"max_message_length": 100}));
    for bad in [
        json!({"allow_dms_from": "nobody"}),
        json!({"read_receipts_enabled": 1}),
        json!({"read_receipts_enabled": "true"}),
        json!({"max_message_length": 0}),
        json!({"max_message_length": 1_000_000}),
        json!({"max_message_length": "100"}),
    ] {
        w.refused(&user, line, bad, 400);
    }
}

fn setting_list(w: &World) {
    let user = w.user();
    let empty = json!({"settings": {}, "count": 0, "limit": 100});
    assert_eq!(w.get(&user, "/users/@me/settings"), empty);
    w.ok(&user, "PUT /users/@me/settings/theme", json!({"value": "dark"}));
    let list = w.get(&user, "/users/@me/settings");
    assert_eq!(list, json!({"settings": {"theme": "dark"}, "count": 1, "limit": 100}));
    assert_eq!(w.get(&w.user(), "/users/@me/settings"), empty);
}

fn setting_put_bulk(w: &World) {
    let user = w.user();
    let line = "PUT /users/@me/settings/bulk";
    success(&w.ok(&user, line, json!({})));
    success(&w.ok(&user, line, json!({"a": "x", "b": 1, "c": true, "d": {"e": [1, 2]}, "f": null})));
    let list = w.get(&user, "/users/@me/settings");
    assert_eq!(list["settings"], json!({"a": "x", "b": "1", "c": "true", "d": r#"{"e":[1,2]}"#, "f": ""}));
    // All or nothing.
    for bad in [json!({"a": "y", "__internal_x": "z"}), json!({"a": "y", "": "z"})] {
        w.refused(&user, line, bad, 400);
    }
    let many: Value = (0..100).map(|index| (format!("key{index}"), json!("v"))).collect();
    w.refused(&user, line, many, 400);
    assert_eq!(w.get(&user, "/users/@me/settings")["settings"]["a"], "x");
}

fn setting_get(w: &World) {
    let user = w.user();
    w.ok(&user, "PUT /users/@me/settings/a%20b%2Fc", json!({"value": "1"}));
    let setting = w.get(&user, "/users/@me/settings/a%20b%2Fc");
    shape(&setting, SETTING);
    assert_eq!((&setting["key"], &setting["value"]), (&json!("a b/c"), &json!("1")));
    w.refused(&user, "GET /users/@me/settings/none", Value::Null, 404);
}

fn setting_put(w: &World) {
    let user = w.user();
    let line = "PUT /users/@me/settings/theme";
    let first = w.ok(&user, line, json!({"value": ""}));
    shape(&first, SETTING);
    let second = w.ok(&user, line, json!({"value": "x".repeat(10_000)}));
    assert_eq!(second["created_at"], first["created_at"]);
    for bad in [json!({}), json!({"value": null}), json!({"value": 1}), json!({"value": "x".repeat(10_001)})] {
        w.refused(&user, line, bad, 400);
    }
    let long = "k".repeat(101);
    for key in [&long, "__internal", "__internal_y"] {
        w.refused(&user, &format!("PUT /users/@me/settings/{key}"), json!({"value": "x"}), 400);
    }
}

fn setting_delete(w: &World) {
    let user = w.user();
    w.ok(&user, "PUT /users/@me/settings/theme", json!({"value": "dark"}));
    success(&w.ok(&user, "DELETE /users/@me/settings/theme", Value::Null));
    w.refused(&user, "DELETE /users/@me/settings/theme", Value::Null, 404);
    w.refused(&user, "GET /users/@me/settings/theme", Value::Null, 404);
}
