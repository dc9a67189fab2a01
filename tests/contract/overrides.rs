//! What a channel allows and denies to roles and members.

use crate::support::{Value, json};
use crate::world::{World, shape, success};

cases![override_list, override_put, override_delete];

fn override_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let list = format!("GET /channels/{}/permissions", place.channel);
    assert_eq!(w.ok(&place.owner, &list, Value::Null), json!([]));
    w.refused(&member, &list, Value::Null, 403);
    let put = |id: &str, body: Value| {
        w.ok(&place.owner, &format!("PUT /channels/{}/permissions/{id}", place.channel), body)
    };
    put(&member.id, json!({"type": "member", "permissions": {"messages.*": false, "messages.read": true}}));
    put(&place.everyone, json!({"type": "role", "permissions": {"invites.create": false}}));
    let seen = w.ok(&place.owner, &list, Value::Null);
    seen.as_array().expect("a list").iter().for_each(|item| shape(item, "id: id, type: str, permissions: object"));
    assert_eq!(seen[0]["type"], "role");
    let of_member = &seen[1]["permissions"];
    // What is allowed by name is not denied by a wildcard.
    assert_eq!((&of_member["messages.read"], &of_member["messages.send"]), (&json!(true), &json!(false)));
    // Nobody else's notes or direct messages are a channel of a server.
    let dm = w.dm(&place.owner, &member);
    w.refused(&place.owner, &format!("GET /channels/{dm}/permissions"), Value::Null, 403);
}

fn override_put(w: &World) {
    let place = w.place();
    let (member, manager) = (w.member(&place), w.member(&place));
    let path = |id: &str| format!("PUT /channels/{}/permissions/{id}", place.channel);
    let send = format!("POST /channels/{}/messages", place.channel);
    let silent = json!({"type": "role", "permissions": {"messages.send": false}});
    let answer = w.ok(&place.owner, &path(&place.everyone), silent.clone());
    assert_eq!(answer, json!({"id": place.everyone, "type": "role", "permissions": {"messages.send": false}}));
    w.refused(&member, &send, json!({"content": "x"}), 403);
    w.ok(&place.owner, &send, json!({"content": "x"}));
    // A member's own override is above those of his roles.
    let speaks = json!({"type": "member", "permissions": {"messages.send": true}});
    w.ok(&place.owner, &path(&member.id), speaks.clone());
    w.ok(&member, &send, json!({"content": "x"}));
    // A hidden channel is gone for whoever may not view it.
    w.ok(&place.owner, &path(&place.everyone), json!({"type": "role", "permissions": {"channels.view": false}}));
    w.refused(&member, &format!("GET /channels/{}", place.channel), Value::Null, 403);
    assert_eq!(w.get(&member, &format!("/servers/{}/channels", place.id)), json!([]));
    w.ok(&place.owner, &path(&place.everyone), silent);

    let role = w.grant(&place, &manager, &["channels.manage", "messages.send"]);
    let body = |names: Value| json!({"type": "role", "permissions": names});
    // He may not send here himself, as @everyone may not; what he has he may give.
    let refused = w.refused(&manager, &path(&place.everyone), body(json!({"messages.send": false, "messages.manage": true})), 403);
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("messages.manage")));
    w.ok(&manager, &path(&place.everyone), body(json!({"messages.send": false, "invites.create": false})));
    w.refused(&manager, &path(&role), body(json!({"messages.read": false})), 403);
    w.refused(&manager, &path(&place.owner.id), speaks.clone(), 403);
    w.refused(&member, &path(&place.everyone), body(json!({"messages.read": false})), 403);
    for (bad, status) in [
        (json!({"permissions": {"messages.send": true}}), 400),
        (json!({"type": "role"}), 400),
        (body(json!({})), 400),
        (body(json!({"administrator": true})), 400),
        (body(json!({"server.manage": true})), 400),
        (body(json!({"no.such": true})), 400),
        (body(json!({"messages.send": 1})), 400),
        (json!({"type": "user", "permissions": {"messages.send": true}}), 400),
        // That role is no member.
        (json!({"type": "member", "permissions": {"messages.send": true}}), 404),
    ] {
        w.refused(&place.owner, &path(&place.everyone), bad, status);
    }
    w.refused(&place.owner, &path("1"), body(json!({"messages.send": true})), 404);
    w.refused(&place.owner, &path(&w.user().id), speaks, 404);
    let log = w.get(&place.owner, &format!("/servers/{}/audit-logs", place.id));
    let actions: Vec<&str> = log.as_array().expect("a list").iter().filter_map(|entry| entry["action"].as_str()).collect();
    assert_eq!(actions.iter().filter(|action| **action == "override_create").count(), 2);
    assert!(actions.contains(&"override_update"));
}

fn override_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let path = |method: &str, id: &str| format!("{method} /channels/{}/permissions/{id}", place.channel);
    w.refused(&place.owner, &path("DELETE", &member.id), Value::Null, 404);
    let hidden = json!({"type": "member", "permissions": {"channels.view": false}});
    w.ok(&place.owner, &path("PUT", &member.id), hidden);
    let look = format!("GET /channels/{}", place.channel);
    w.refused(&member, &look, Value::Null, 403);
    w.refused(&member, &path("DELETE", &member.id), Value::Null, 403);
    success(&w.ok(&place.owner, &path("DELETE", &member.id), Value::Null));
    w.ok(&member, &look, Value::Null);
    w.refused(&place.owner, &path("DELETE", &member.id), Value::Null, 404);
}
