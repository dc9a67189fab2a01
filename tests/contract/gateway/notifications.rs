//! Who hears of a mention, and of what becomes of it.

use super::ready;
use crate::support::{Value, json};
use crate::world::{World, text};

/// Events of that name that have come so far.
fn named(events: &[Value], name: &str) -> usize {
    events.iter().filter(|event| event["t"] == name).count()
}

#[test]
fn a_mention_is_told_to_all_sessions_of_him_whom_it_is_for() {
    let w = World::new(&[]);
    let place = w.place();
    let (member, other) = (w.member(&place), w.member(&place));
    let (mut mine, _) = ready(&w, &place.owner.token);
    let (mut one, _) = ready(&w, &member.token);
    let (mut far, _) = ready(&w, &other.token);
    // It needs no intent.
    let mut deaf = w.server.gateway();
    deaf.identify_with(json!({"token": member.token, "intents": 0}));
    let id = w.message(&place.owner, &place.channel, &format!("hi <@{}>", member.id));
    for socket in [&mut one, &mut deaf] {
        let told = socket.event("NOTIFICATION_CREATE");
        assert_eq!(
            (&told["id"], &told["type"], &told["read"]),
            (&json!(id), &json!("mention"), &json!(false))
        );
        assert_eq!(
            (&told["sender_id"], &told["title"]),
            (&json!(place.owner.id), &json!("You were mentioned"))
        );
    }
    let line = format!("PUT /users/@me/notifications/{id}/read");
    w.ok(&member, &line, Value::Null);
    w.ok(&member, "PUT /users/@me/notifications/read-all", Value::Null);
    w.ok(&place.owner, &format!("DELETE /channels/{}/messages/{id}", place.channel), Value::Null);
    for socket in [&mut one, &mut deaf] {
        assert_eq!(socket.event("NOTIFICATION_UPDATE"), json!({"id": id, "read": true}));
        assert_eq!(socket.event("NOTIFICATION_UPDATE"), json!({"all_read": true}));
        assert_eq!(socket.event("NOTIFICATION_DELETE"), json!({"id": id}));
    }
    for socket in [&mut mine, &mut far] {
        let events = socket.events_until_now();
        assert!(events.iter().all(|event| !text(&event["t"]).starts_with("NOTIFICATION")), "{events:?}");
    }
}

#[test]
fn here_is_told_to_those_who_are_there() {
    let w = World::new(&[]);
    let place = w.place();
    let (there, hidden, away) = (w.member(&place), w.member(&place), w.member(&place));
    w.ok(&hidden, "PUT /users/@me/presence", json!({"status": "invisible"}));
    let (mut one, _) = ready(&w, &there.token);
    let (mut two, _) = ready(&w, &hidden.token);
    w.message(&place.owner, &place.channel, "@here");
    assert_eq!(one.event("NOTIFICATION_CREATE")["title"], "@everyone mention");
    let count = |user| w.get(user, "/users/@me/notifications")["unread_count"].clone();
    assert_eq!((count(&there), count(&hidden), count(&away)), (json!(1), json!(0), json!(0)));
    assert_eq!(named(&two.events_until_now(), "NOTIFICATION_CREATE"), 0);
    // Everybody is told of everything once.
    w.message(&place.owner, &place.channel, &format!("@here @everyone <@{}>", there.id));
    assert_eq!(one.event("NOTIFICATION_CREATE")["title"], "You were mentioned");
    assert_eq!(two.event("NOTIFICATION_CREATE")["title"], "@everyone mention");
    assert_eq!(named(&one.events_until_now(), "NOTIFICATION_CREATE"), 0);
    assert_eq!(count(&away), 1);
}
