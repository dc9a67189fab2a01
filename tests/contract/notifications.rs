//! Notifications of mentions.

use crate::support::{User, Value, json};
use crate::world::{World, column, shape, success};

cases![notification_list, notification_read, notification_read_all];

const PATH: &str = "/users/@me/notifications";
const INFO: &str = "id: id, type: str, title: str, content: str, content_preview: str?, read: bool, \
    created_at: int, link: str?, sender_id: id?";

fn list(w: &World, user: &User, query: &str) -> Value {
    w.get(user, &format!("{PATH}{query}"))
}

fn notification_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let none = json!({"notifications": [], "unread_count": 0});
    assert_eq!(list(w, &member, ""), none);
    let text = format!("ping <@{}> @bob", member.id);
    let first = w.message(&place.owner, &place.channel, &text);
    let found = list(w, &member, "");
    shape(&found["notifications"][0], INFO);
    let want = json!({
        "id": first, "type": "mention", "title": "You were mentioned", "content": text, "content_preview": text,
        "read": false, "created_at": found["notifications"][0]["created_at"],
        "link": format!("/channels/{}/{}/{first}", place.id, place.channel), "sender_id": place.owner.id,
    });
    assert_eq!(found, json!({"notifications": [want], "unread_count": 1}));
    let dm = w.dm(&place.owner, &member);
    let second = w.message(&place.owner, &dm, &format!("<@{}>", member.id));
    let third = w.message(&place.owner, &place.channel, "@everyone come");
    let found = list(w, &member, "?limit=2");
    assert_eq!(column(&found["notifications"], "id"), [json!(third), json!(second)], "newest first");
    assert_eq!(found["unread_count"], 3);
    assert_eq!(found["notifications"][0]["title"], "@everyone mention");
    assert_eq!(found["notifications"][1]["link"], format!("/channels/@me/{dm}/{second}"));
    w.message(&member, &place.channel, "@everyone, without the permission, and <@1>");
    assert_eq!(list(w, &place.owner, ""), none);
    w.ok(&place.owner, &format!("DELETE /channels/{dm}/messages/{second}"), Value::Null);
    assert_eq!(column(&list(w, &member, "")["notifications"], "id"), [json!(third), json!(first)]);
    for query in ["?limit=0", "?limit=101", "?limit=many", "?unread_only=perhaps"] {
        w.refused(&member, &format!("GET {PATH}{query}"), Value::Null, 400);
    }
}

fn notification_read(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let id = w.message(&place.owner, &place.channel, &format!("<@{}>", member.id));
    w.message(&place.owner, &place.channel, &format!("<@{}>", member.id));
    let line = format!("PUT {PATH}/{id}/read");
    w.refused(&place.owner, &line, Value::Null, 404);
    w.refused(&member, &format!("PUT {PATH}/never/read"), Value::Null, 400);
    for _ in 0..2 {
        success(&w.ok(&member, &line, Value::Null));
    }
    let found = list(w, &member, "");
    assert_eq!(column(&found["notifications"], "read"), [json!(false), json!(true)]);
    assert_eq!(found["unread_count"], 1);
    let unread = list(w, &member, "?unread_only=true");
    assert_eq!((unread["notifications"].as_array().map(Vec::len), &unread["unread_count"]), (Some(1), &json!(1)));
}

fn notification_read_all(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    for _ in 0..3 {
        w.message(&place.owner, &place.channel, &format!("<@{}>", member.id));
    }
    success(&w.ok(&member, &format!("PUT {PATH}/read-all"), Value::Null));
    assert_eq!(list(w, &member, "?unread_only=1"), json!({"notifications": [], "unread_count": 0}));
    assert_eq!(list(w, &member, "")["notifications"].as_array().map(Vec::len), Some(3));
}
