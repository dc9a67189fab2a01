//! Roles: their order, what they grant, and that it acts at once.

use crate::support::{Value, json};
use crate::world::{World, column, shape, success, text};

cases![role_list, role_create, role_edit, role_delete];

const ROLE: &str = "id: id, server_id: id, name: str, color: str?, position: int, permissions: object, \
    hoist: bool, mentionable: bool, is_default: bool";

fn role_list(w: &World) {
    let place = w.place();
    let path = format!("/servers/{}/roles", place.id);
    for name in ["one", "two"] {
        w.ok(&place.owner, &format!("POST {path}"), json!({"name": name}));
    }
    let list = w.get(&w.member(&place), &path);
    assert_eq!(column(&list, "name"), [json!("two"), json!("one"), json!("@everyone")]);
    shape(&list[2], ROLE);
    assert_eq!((&list[2]["position"], &list[2]["is_default"]), (&json!(0), &json!(true)));
}

fn role_create(w: &World) {
    let place = w.place();
    let line = format!("POST /servers/{}/roles", place.id);
    let role = w.ok(&place.owner, &line, json!({}));
    shape(&role, ROLE);
    assert_eq!((&role["name"], &role["position"]), (&json!("New Role"), &json!(1)));
    let tidy = w.ok(&place.owner, &line, json!({"name": " Mods\u{202e}\n\0"}));
    assert_eq!(tidy["name"], "Mods");
    let patch = format!("PATCH /servers/{}/roles/{}", place.id, tidy["id"].as_str().unwrap());
    for blank in ["\u{3164}", "\u{200b}\u{2060}", "\0"] {
        w.refused(&place.owner, &line, json!({"name": blank}), 400);
        w.refused(&place.owner, &patch, json!({"name": blank}), 400);
    }
    w.ok(&place.owner, &format!("DELETE /servers/{}/roles/{}", place.id, tidy["id"].as_str().unwrap()), Value::Null);
    let full = json!({"name": "Mods", "color": "#A1b2C3", "permissions": {"members.kick": true, "own.name": true},
        "hoist": true, "mentionable": true});
    let role = w.ok(&place.owner, &line, full);
    assert_eq!((&role["hoist"], &role["mentionable"]), (&json!(true), &json!(true)));
    assert_eq!(role["permissions"], json!({"members.kick": true, "own.name": true}));
    for bad in [
        json!({"name": ""}),
        json!({"name": "x".repeat(101)}),
        json!({"color": "red"}),
        json!({"color": "#12345"}),
        json!({"permissions": ["a"]}),
        json!({"permissions": {"members.kick": 1}}),
        json!({"hoist": "yes"}),
    ] {
        w.refused(&place.owner, &line, bad, 400);
    }
    let member = w.member(&place);
    let refusal = w.refused(&member, &line, json!({}), 403);
    assert_eq!(refusal["error"]["message"], "Missing required permission: roles.manage");
    w.grant(&place, &member, &["roles.manage"]);
    let role = w.ok(&member, &line, json!({"name": "mine"}));
    let own = w.get(&member, &format!("/servers/{}/roles", place.id));
    assert!(role["position"].as_u64() < own[0]["position"].as_u64(), "below his own: {own}");
    w.refused(&member, &line, json!({"permissions": {"members.ban": true}}), 403);
}

fn role_edit(w: &World) {
    let place = w.place();
    let create = format!("POST /servers/{}/roles", place.id);
    let ids: Vec<String> =
        ["a", "b", "c"].iter().map(|name| text(&w.ok(&place.owner, &create, json!({"name": name}))["id"])).collect();
    let edit = |id: &str| format!("PATCH /servers/{}/roles/{id}", place.id);
    let changed = w.ok(&place.owner, &edit(&ids[0]), json!({"name": "z", "color": "#000000", "position": 3}));
    shape(&changed, ROLE);
    let names = |w: &World| column(&w.get(&place.owner, &format!("/servers/{}/roles", place.id)), "name");
    assert_eq!(names(w), [json!("z"), json!("c"), json!("b"), json!("@everyone")]);
    w.ok(&place.owner, &edit(&ids[2]), json!({"position": 1_000_000}));
    assert_eq!(names(w), [json!("c"), json!("z"), json!("b"), json!("@everyone")]);
    assert_eq!(w.ok(&place.owner, &edit(&ids[0]), json!({"name": null}))["name"], "z");
    for bad in [json!({"position": -1}), json!({"color": "x"}), json!({"name": ""})] {
        w.refused(&place.owner, &edit(&ids[0]), bad, 400);
    }
    w.refused(&place.owner, &edit("999"), json!({"name": "x"}), 404);
    // @everyone: what it may, for all at once.
    let member = w.member(&place);
    w.ok(&place.owner, &edit(&place.everyone), json!({"permissions": {"channels.view": true}}));
    w.refused(&member, &format!("POST /channels/{}/messages", place.channel), json!({"content": "x"}), 403);
    w.refused(&member, &edit(&ids[0]), json!({"name": "x"}), 403);
    w.grant(&place, &member, &["roles.manage"]);
    let top = w.grant(&place, &place.owner, &[]);
    w.refused(&member, &edit(&top), json!({"name": "x"}), 403);
    w.ok(&member, &edit(&ids[0]), json!({"name": "x"}));
}

fn role_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let role = w.grant(&place, &member, &["server.manage"]);
    let line = format!("DELETE /servers/{}/roles/{role}", place.id);
    w.refused(&member, &line, Value::Null, 403);
    success(&w.ok(&place.owner, &line, Value::Null));
    w.refused(&place.owner, &line, Value::Null, 404);
    let members = w.get(&member, &format!("/servers/{}/members", place.id));
    assert!(column(&members, "roles").iter().all(|roles| *roles == json!([place.everyone])));
    let default = format!("DELETE /servers/{}/roles/{}", place.id, place.everyone);
    w.refused(&place.owner, &default, Value::Null, 403);
}
