//! Automod: rules, what they refuse, what is written down of it, what becomes of authors.

use crate::support::{Http, User, Value, json};
use crate::world::{Place, World, column, shape, success, text};

cases![
    automod_rule_list,
    automod_rule_create,
    automod_rule_edit,
    automod_rule_delete,
    automod_violation_list,
];

const RULE: &str = "id: id, server_id: id, name: str, rule_type: str, enabled: bool, config: object, actions: list, \
    applied_roles: list, exempt_roles: list, exempt_channels: list, priority: int, check_all: bool, created_at: int, \
    updated_at: int, created_by: id";
const ACTION: &str =
    "action_type: str, duration_seconds: int?, reason: str?, notify_user: bool, metadata: object";
const VIOLATION: &str = "id: id, user_id: id, channel_id: id, rule_id: id, rule_type: str, matched_content: str, \
    severity: str, actions_taken: list, created_at: int, metadata: object";

fn keyword(word: &str, actions: Value) -> Value {
    json!({"name": "words", "rule_type": "keyword", "config": {"keywords": [word]}, "actions": actions})
}

fn delete() -> Value {
    json!([{"action_type": "delete_message"}])
}

fn rule(w: &World, place: &Place, body: Value) -> String {
    text(&w.ok(&place.owner, &format!("POST /servers/{}/automod/rules", place.id), body)["id"])
}

fn say(w: &World, user: &User, place: &Place, content: &str, status: u16) -> Value {
    let line = format!("POST /channels/{}/messages", place.channel);
    w.call(Some(&user.token), &line, json!({"content": content})).want(status)
}

fn automod_rule_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let path = format!("/servers/{}/automod/rules", place.id);
    assert_eq!(w.get(&place.owner, &path), json!([]));
    let low = rule(w, &place, keyword("one", delete()));
    let mut body = keyword("two", delete());
    body["priority"] = json!(7);
    let high = rule(w, &place, body);
    let list = w.get(&place.owner, &path);
    assert_eq!(column(&list, "id"), [json!(high), json!(low)], "highest priority first");
    shape(&list[0], RULE);
    shape(&list[0]["actions"][0], ACTION);
    w.refused(&member, &format!("GET {path}"), Value::Null, 403);
    w.refused(&w.user(), &format!("GET {path}"), Value::Null, 403);
    w.refused(&member, "GET /servers/7/automod/rules", Value::Null, 404);
    w.grant(&place, &member, &["server.automod"]);
    assert_eq!(w.get(&member, &path), list);
}

fn automod_rule_create(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let line = format!("POST /servers/{}/automod/rules", place.id);
    w.refused(&member, &line, keyword("badger", delete()), 403);
    let made = w.ok(&place.owner, &line, keyword("badger", delete()));
    shape(&made, RULE);
    assert_eq!((&made["config"], &made["created_by"]), (&json!({"keywords": ["badger"]}), &json!(place.owner.id)));
    for (field, value) in [
        ("rule_type", json!("astrology")),
        ("config", json!({"keywords": []})),
        ("actions", json!([{"type": "delete"}])),
        ("actions", json!([])),
        ("name", json!("")),
        ("priority", json!("high")),
    ] {
        let mut body = keyword("x", delete());
        body[field] = value;
        w.refused(&place.owner, &line, body, 400);
    }
    for pattern in ["(a", "(?<!x)y", "((a{1,100}){1,100}){1,100}", &"(a|b|c){99}".repeat(40)] {
        let mut body = keyword("x", delete());
        (body["rule_type"], body["config"]) = (json!("regex"), json!({"patterns": [{"pattern": pattern}]}));
        let refusal = w.refused(&place.owner, &line, body, 400);
        assert!(text(&refusal["error"]["message"]).starts_with("Invalid config: "), "{refusal}");
    }
    let refusal = say(w, &member, &place, "a b\u{200b}adger!", 400);
    assert_eq!(refusal["error"]["code"], "MESSAGE_BLOCKED");
    assert_eq!(refusal["error"]["violations"], json!(["keyword"]));
    say(w, &member, &place, "badgers are fine", 200);
    say(w, &place.owner, &place, "badger", 200);
}

fn automod_rule_edit(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let id = rule(w, &place, keyword("badger", delete()));
    let line = format!("PATCH /servers/{}/automod/rules/{id}", place.id);
    w.refused(&member, &line, json!({}), 403);
    w.refused(&place.owner, &format!("PATCH /servers/{}/automod/rules/7", place.id), json!({}), 404);
    w.refused(&place.owner, &line, json!({"config": {"keywords": [5]}}), 400);
    say(w, &member, &place, "a badger", 400);
    let edited = w.ok(&place.owner, &line, json!({"config": {"keywords": ["fox"]}, "name": null}));
    assert_eq!((&edited["name"], &edited["config"]), (&json!("words"), &json!({"keywords": ["fox"]})));
    say(w, &member, &place, "a badger", 200);
    say(w, &member, &place, "a fox", 400);
    let message = say(w, &member, &place, "innocent", 200);
    let edit = format!("PATCH /channels/{}/messages/{}", place.channel, text(&message["id"]));
    w.refused(&member, &edit, json!({"content": "the fox"}), 400);
    w.ok(&place.owner, &line, json!({"enabled": false}));
    w.ok(&member, &edit, json!({"content": "the fox"}));
    let actions = json!([{"action_type": "timeout_user", "duration_seconds": 3_600}]);
    w.ok(&place.owner, &line, json!({"enabled": true, "actions": actions}));
    say(w, &member, &place, "the fox again", 400);
    say(w, &member, &place, "innocent", 403);
    let members = w.get(&place.owner, &format!("/servers/{}/members", place.id));
    let found = members.as_array().unwrap().iter().find(|found| found["user_id"] == *member.id).unwrap();
    assert!(found["timeout_until"].is_u64(), "{found}");
}

fn automod_rule_delete(w: &World) {
    let place = w.place();
    let [kicked, banned] = [w.member(&place), w.member(&place)];
    let out = rule(w, &place, keyword("out", json!([{"action_type": "kick_user"}])));
    rule(w, &place, keyword("never", json!([{"action_type": "ban_user", "reason": "enough"}])));
    say(w, &kicked, &place, "out", 400);
    w.refused(&kicked, &format!("GET /servers/{}", place.id), Value::Null, 403);
    w.join(&place, &kicked);
    say(w, &banned, &place, "never", 400);
    let bans = w.get(&place.owner, &format!("/servers/{}/bans", place.id));
    assert_eq!((column(&bans, "user_id"), column(&bans, "reason")), (vec![json!(banned.id)], vec![json!("enough")]));
    let line = format!("DELETE /servers/{}/automod/rules/{out}", place.id);
    w.refused(&kicked, &line, Value::Null, 403);
    success(&w.ok(&place.owner, &line, Value::Null));
    w.refused(&place.owner, &line, Value::Null, 404);
    say(w, &kicked, &place, "out", 200);
}

fn automod_violation_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let path = format!("/servers/{}/automod/violations", place.id);
    assert_eq!(w.get(&place.owner, &path), json!([]));
    let id = rule(w, &place, keyword("badger", delete()));
    rule(w, &place, keyword("owl", json!([{"action_type": "log_only"}])));
    say(w, &member, &place, "one badger", 400);
    say(w, &member, &place, "an owl", 200);
    w.ok(&place.owner, &format!("DELETE /servers/{}/automod/rules/{id}", place.id), Value::Null);
    let list = w.get(&place.owner, &path);
    assert_eq!(column(&list, "actions_taken"), [json!(["log_only"]), json!(["delete_message"])], "newest first");
    shape(&list[1], VIOLATION);
    assert_eq!((&list[1]["rule_id"], &list[1]["user_id"]), (&json!(id), &json!(member.id)));
    assert_eq!(w.get(&place.owner, &format!("{path}?user_id={}&limit=1", member.id))[0], list[0]);
    assert_eq!(w.get(&place.owner, &format!("{path}?user_id={}", place.owner.id)), json!([]));
    assert_eq!(w.get(&place.owner, &format!("{path}?before={}", text(&list[0]["id"]))), json!([list[1]]));
    for query in ["?limit=0", "?limit=101", "?before=x"] {
        w.refused(&place.owner, &format!("GET {path}{query}"), Value::Null, 400);
    }
    w.refused(&member, &format!("GET {path}"), Value::Null, 403);
}

/// Costly patterns are judged beside the cores, and texts of one author that come at once one after the other.
#[test]
fn texts_are_judged_one_by_one_where_that_matters() {
    let w = World::new(&[]);
    let place = w.place();
    let member = w.member(&place);
    let patterns = json!({"patterns": ["(?s)b.{200}badger", "[ab]*a[ab]{200}c"]});
    rule(&w, &place, json!({"name": "slow", "rule_type": "regex", "config": patterns, "actions": delete()}));
    say(&w, &member, &place, &format!("b{}badger", "x".repeat(200)), 400);
    say(&w, &member, &place, &"ab".repeat(500), 200);
    let spam = json!({"max_messages": 9, "window_seconds": 3_600, "duplicate_threshold": 5});
    rule(&w, &place, json!({"name": "spam", "rule_type": "message_spam", "config": spam, "actions": delete()}));
    let address = w.server.address();
    let path = format!("/api/v1/channels/{}/messages", place.channel);
    let post = |index: u64| {
        let (path, token) = (path.clone(), member.token.clone());
        let body = json!({"content": format!("number {index} {}", index * 7_919)});
        std::thread::spawn(move || Http::new(address).call("POST", &path, Some(&token), Some(&body)).status)
    };
    let all: Vec<_> = (0..16).map(post).collect();
    let statuses: Vec<u16> = all.into_iter().map(|thread| thread.join().unwrap()).collect();
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    // One was there before.
    assert_eq!((count(200), count(400)), (8, 8), "{statuses:?}");
}
