//! Rules of automod that administrators make, and the switch of them all.

use crate::admin_login::session;
use crate::support::{Answer, Value, json};
use crate::world::{Place, World, column, shape, success, text};

cases![
    admin_rule_list,
    admin_rule_create,
    admin_rule_edit,
    admin_rule_delete,
    admin_automod_config_get,
    admin_automod_config_set,
];

const RULE: &str = "id: id, server_id: id, name: str, rule_type: str, enabled: bool, config: object, actions: list, \
    exempt_roles: list, exempt_channels: list, priority: int, check_all: bool, created_at: int, updated_at: int, \
    created_by: id";

fn call(w: &World, line: &str, body: Value) -> Answer {
    let (method, rest) = line.split_once(' ').expect("method and path");
    w.call(Some(&session(w)), &format!("{method} /admin/automod/{rest}"), body)
}

fn rule(server: &str) -> Value {
    json!({
        "server_id": server, "name": "console rule", "rule_type": "keyword", "config": {"keywords": ["zebra"]},
        "actions": [{"action_type": "delete_message"}], "priority": 3,
    })
}

fn made(w: &World, place: &Place) -> Value {
    call(w, "POST rules", rule(&place.id)).want(200)
}

/// What a member's text with the word is answered with.
fn zebra(w: &World, place: &Place) -> u16 {
    let member = w.member(place);
    let line = format!("POST /channels/{}/messages", place.channel);
    w.call(Some(&member.token), &line, json!({"content": "a Zebra crossing"})).status
}

fn admin_rule_list(w: &World) {
    let place = w.place();
    let rule = made(w, &place);
    let list = call(w, &format!("GET rules?server_id={}", place.id), Value::Null).want(200);
    assert_eq!(list, json!([rule]));
    call(w, "GET rules", Value::Null).want(400);
    call(w, "GET rules?server_id=x", Value::Null).want(400);
    call(w, "GET rules?server_id=999", Value::Null).want(404);
}

fn admin_rule_create(w: &World) {
    let place = w.place();
    let made = made(w, &place);
    shape(&made, RULE);
    assert_eq!((&made["server_id"], &made["priority"]), (&json!(place.id), &json!(3)));
    let own = w.get(&place.owner, &format!("/servers/{}/automod/rules", place.id));
    assert!(column(&own, "id").contains(&made["id"]), "the server has it");
    assert_eq!(zebra(w, &place), 400);
    let with = |key: &str, value: Value| {
        let mut body = rule(&place.id);
        body[key] = value;
        call(w, "POST rules", body).status
    };
    assert_eq!(with("rule_type", json!("astrology")), 400);
    assert_eq!(with("actions", json!([])), 400);
    assert_eq!(with("name", json!("")), 400);
    assert_eq!(with("config", json!({"keywords": []})), 400);
    assert_eq!(with("server_id", json!("999")), 404);
    assert_eq!(with("server_id", json!("x")), 400);
}

fn admin_rule_edit(w: &World) {
    let place = w.place();
    let id = text(&made(w, &place)["id"]);
    let edit = |body: Value| call(w, &format!("PATCH rules/{id}"), body);
    assert_eq!(edit(json!({"enabled": false})).want(200)["enabled"], false);
    assert_eq!(zebra(w, &place), 200);
    let edited = edit(json!({"enabled": true, "config": {"keywords": ["crossing"]}})).want(200);
    shape(&edited, RULE);
    assert_eq!(zebra(w, &place), 400);
    edit(json!({"name": ""})).want(400);
    // The owner may change and delete it as his own.
    let line = format!("PATCH /servers/{}/automod/rules/{id}", place.id);
    assert_eq!(w.ok(&place.owner, &line, json!({"name": "mine"}))["name"], "mine");
    call(w, "PATCH rules/999", json!({"enabled": true})).want(404);
    call(w, "PATCH rules/x", json!({"enabled": true})).want(400);
}

fn admin_rule_delete(w: &World) {
    let place = w.place();
    let id = text(&made(w, &place)["id"]);
    success(&call(w, &format!("DELETE rules/{id}"), Value::Null).want(200));
    call(w, &format!("DELETE rules/{id}"), Value::Null).want(404);
    call(w, "DELETE rules/r1", Value::Null).want(400);
    assert_eq!(zebra(w, &place), 200);
}

fn admin_automod_config_get(w: &World) {
    let config = call(w, "GET config", Value::Null).want(200);
    assert_eq!(config, json!({"enabled": true, "ai": {}}));
}

fn admin_automod_config_set(w: &World) {
    let place = w.place();
    let id = text(&made(w, &place)["id"]);
    let off = call(w, "PUT config", json!({"enabled": false, "ai": {"model": "x"}})).want(200);
    assert_eq!(off, json!({"enabled": false, "ai": {"model": "x"}}));
    assert_eq!(zebra(w, &place), 200);
    let list = call(w, &format!("GET rules?server_id={}", place.id), Value::Null).want(200);
    assert_eq!(column(&list, "id"), [json!(id)], "the rules stay");
    assert_eq!(call(w, "PUT config", json!({"enabled": true})).want(200)["ai"], json!({"model": "x"}));
    assert_eq!(zebra(w, &place), 400);
    for bad in [json!({"enabled": "perhaps"}), json!({"ai": []}), json!({"ai": {"x": "y".repeat(20_000)}})] {
        call(w, "PUT config", bad).want(400);
    }
}
