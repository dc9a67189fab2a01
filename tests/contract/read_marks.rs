//! Unread counts and read marks.

use crate::support::{Value, json};
use crate::world::{World, success};

cases![unread_get, unread_list, channel_ack, channel_ack_bulk];

fn unread_get(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let path = format!("/channels/{}/messages/unread", place.channel);
    let count = |user| w.get(user, &path)["unread_count"].clone();
    assert_eq!(w.get(&member, &path), json!({"channel_id": place.channel, "unread_count": 0}));
    for _ in 0..3 {
        w.message(&place.owner, &place.channel, "x");
    }
    assert_eq!((count(&member), count(&place.owner)), (json!(3), json!(0)));
}

fn unread_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    assert_eq!(w.get(&member, "/users/@me/unread"), json!({"unread_counts": {}}));
    let dm = w.dm(&place.owner, &member);
    w.message(&place.owner, &dm, "x");
    w.message(&place.owner, &place.channel, "x");
    w.message(&place.owner, &place.channel, "y");
    let want = json!({"unread_counts": {&place.channel: 2, &dm: 1}});
    assert_eq!(w.get(&member, "/users/@me/unread"), want);
    // More channels than a core looks through by itself.
    let path = format!("POST /servers/{}/channels", place.id);
    let channels: Vec<_> =
        (0..120).map(|index| w.ok(&place.owner, &path, json!({"name": format!("c{index}")}))).collect();
    let mut want = want;
    for channel in [&channels[0], &channels[119]] {
        let id = channel["id"].as_str().expect("an id");
        w.message(&place.owner, id, "x");
        want["unread_counts"][id] = json!(1);
    }
    assert_eq!(w.get(&member, "/users/@me/unread"), want);
}

fn channel_ack(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let ids: Vec<String> = (0..4).map(|_| w.message(&place.owner, &place.channel, "x")).collect();
    let line = format!("POST /channels/{}/messages/ack", place.channel);
    let marked = |count: u32| json!({"success": true, "messages_marked": count});
    let up_to = format!("{line}?message_id={}", ids[1]);
    assert_eq!(w.ok(&member, &up_to, Value::Null), marked(2));
    assert_eq!(w.ok(&member, &up_to, Value::Null), marked(0));
    assert_eq!(w.ok(&member, &line, Value::Null), marked(2));
    let path = format!("/channels/{}/messages/unread", place.channel);
    assert_eq!(w.get(&member, &path)["unread_count"], 0);
    let seen = w.get(&place.owner, &format!("/channels/{}/messages/{}", place.channel, ids[3]));
    assert_eq!((&seen["status"], &seen["read_count"]), (&json!("read"), &json!(1)));
    assert_eq!(seen["read_by"][0]["id"], *member.id);
    w.message(&place.owner, &place.channel, "x");
    assert_eq!(w.ok(&member, &format!("{line}?message_id={}", u64::MAX), Value::Null), marked(1));
    w.refused(&member, &format!("{line}?message_id=x"), Value::Null, 400);
}

fn channel_ack_bulk(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let dm = w.dm(&place.owner, &member);
    let first = w.message(&place.owner, &place.channel, "x");
    w.message(&place.owner, &place.channel, "x");
    w.message(&place.owner, &dm, "x");
    let body = json!({&place.channel: first, &dm: null, "999": null, "nonsense": "x"});
    success(&w.ok(&member, "POST /channels/ack/bulk", body));
    assert_eq!(w.get(&member, "/users/@me/unread"), json!({"unread_counts": {&place.channel: 1}}));
    success(&w.ok(&member, "POST /channels/ack/bulk", json!({})));
}
