//! Access tokens as administrators make and change them; what the gate does is tried in `gate.rs`.

use crate::admin_login::session;
use crate::support::{Answer, Value, json};
use crate::world::{World, column, eventually, shape, success, text};

cases![
    admin_access_token_list,
    admin_access_token_create,
    admin_access_token_get,
    admin_access_token_edit,
    admin_access_token_rotate,
    admin_access_scope_add,
    admin_access_scope_remove,
    admin_access_token_revoke,
];

const TOKEN: &str = "id: id, name: str?, description: str?, created_by: id?, created_at: int, first_used_at: int?, \
    last_used_at: int?, last_used_ip_address: str?, last_used_user_agent: str?, last_used_path: str?, \
    expires_at: int?, scope_mode: str, use_count_total: int, distinct_ip_count: int, denied_count_total: int, \
    revoked: bool, revoked_at: int?, revoked_by: id?";
const SCOPE: &str = "id: id, scope_type: str, value: str, created_by: id?, created_at: int";

fn call(w: &World, line: &str, body: Value) -> Answer {
    let (method, rest) = line.split_once(' ').expect("method and path");
    w.call(Some(&session(w)), &format!("{method} /admin/security/access-tokens{rest}"), body)
}

/// Makes one: its value and its id.
fn made(w: &World, body: Value) -> (String, String) {
    let made = call(w, "POST ", body).want(200);
    (text(&made["token"]), text(&made["access_token"]["id"]))
}

/// Voids one again: while there is any, the other cases would need it.
fn void(w: &World, id: &str) {
    success(&call(w, &format!("POST /{id}/revoke"), Value::Null).want(200));
}

/// Who is let in with it.
fn status(w: &World, token: &str, value: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", &*authorization), ("X-API-Access-Token", value)];
    w.headed("GET", "/users/@me", &headers, b"").status
}

fn admin_access_token_list(w: &World) {
    let (_, id) = made(w, json!({"name": "one"}));
    void(w, &id);
    let all = call(w, "GET ", Value::Null).want(200);
    shape(&all[0], TOKEN);
    assert!(column(&all, "id").contains(&json!(id)));
    let live = call(w, "GET ?include_revoked=false", Value::Null).want(200);
    assert!(!column(&live, "id").contains(&json!(id)));
    call(w, "GET ?include_revoked=maybe", Value::Null).want(400);
}

fn admin_access_token_create(w: &World) {
    let user = w.user();
    let made = call(w, "POST ", json!({"name": "desktop", "description": "of the client"})).want(200);
    shape(&made, "token: str, access_token: object");
    shape(&made["access_token"], TOKEN);
    let (value, id) = (text(&made["token"]), text(&made["access_token"]["id"]));
    assert_eq!(value.len(), 32);
    assert_eq!((status(w, &user.token, ""), status(w, &user.token, &value)), (401, 200));
    let own = "x".repeat(32);
    let second = call(w, "POST ", json!({"token": own})).want(200);
    assert_eq!(second["token"], own);
    call(w, "POST ", json!({"token": own})).want(409);
    for bad in [
        json!({"token": "short"}),
        json!({"token": "x".repeat(129)}),
        json!({"token": "\u{e9}".repeat(40)}),
        json!({"scope_mode": "on"}),
        json!({"name": "n".repeat(101)}),
        json!({"expires_at": 1}),
    ] {
        call(w, "POST ", bad).want(400);
    }
    void(w, &id);
    void(w, &text(&second["access_token"]["id"]));
    assert_eq!(status(w, &user.token, ""), 200, "the last one opens the gate");
}

fn admin_access_token_get(w: &World) {
    let user = w.user();
    let (value, id) = made(w, json!({}));
    assert_eq!(status(w, &user.token, &value), 200);
    let detail = || call(w, &format!("GET /{id}"), Value::Null).want(200);
    eventually(|| detail()["access_token"]["use_count_total"] == 1);
    let detail = detail();
    let keys = "access_token: object, scopes: list, recent_events: list, top_ips: list, top_paths: list, \
        total_events: int, distinct_ip_count: int, denied_count_total: int";
    shape(&detail, keys);
    shape(
        &detail["recent_events"][0],
        "id: id, used_at: int, ip_address: str?, method: str?, path: str?, user_agent: str?, allowed: bool, \
         scope_match: bool?, reject_reason: str?",
    );
    assert_eq!(detail["top_paths"][0]["path"], "/api/v1/users/@me");
    shape(&detail["top_ips"][0], "ip_address: str, request_count: int, denied_count: int, last_seen_at: int?");
    void(w, &id);
    call(w, "GET /999", Value::Null).want(404);
    call(w, "GET /abc", Value::Null).want(400);
    call(w, &format!("GET /{id}?recent_limit=0"), Value::Null).want(400);
}

fn admin_access_token_edit(w: &World) {
    let (_, id) = made(w, json!({"name": "one", "description": "stays"}));
    let edit = |body: Value| call(w, &format!("PATCH /{id}"), body);
    let later = 4_000_000_000_u64;
    let edited = edit(json!({"name": "two", "expires_at": later, "scope_mode": "monitor"})).want(200);
    shape(&edited, TOKEN);
    let told = ["name", "description", "scope_mode"].map(|key| text(&edited[key]));
    assert_eq!(told, ["two", "stays", "monitor"]);
    assert!(edited["expires_at"].as_u64().unwrap().abs_diff(later) <= 1);
    assert_eq!(edit(json!({"clear_expiry": true})).want(200)["expires_at"], Value::Null);
    for bad in [json!({"scope_mode": "strict"}), json!({"expires_at": 1}), json!({"name": "n".repeat(101)})] {
        edit(bad).want(400);
    }
    void(w, &id);
    call(w, "PATCH /999", json!({"name": "x"})).want(404);
}

fn admin_access_token_rotate(w: &World) {
    let user = w.user();
    let (value, id) = made(w, json!({}));
    let rotated = call(w, &format!("POST /{id}/rotate"), Value::Null).want(200);
    assert_eq!(rotated["access_token"]["id"], id);
    let other = text(&rotated["token"]);
    assert_eq!((status(w, &user.token, &value), status(w, &user.token, &other)), (401, 200));
    let own = "r".repeat(40);
    call(w, &format!("POST /{id}/rotate"), json!({"token": own})).want(200);
    assert_eq!(status(w, &user.token, &own), 200);
    call(w, &format!("POST /{id}/rotate"), json!({"token": "short"})).want(400);
    call(w, &format!("POST /{id}/rotate"), json!({"token": own})).want(409);
    void(w, &id);
    call(w, "POST /999/rotate", Value::Null).want(404);
}

fn admin_access_scope_add(w: &World) {
    let user = w.user();
    let (value, id) = made(w, json!({}));
    let add = |body: Value| call(w, &format!("POST /{id}/scopes"), body);
    let scope = add(json!({"scope_type": "ip", "value": "127.0.0.9"})).want(200);
    shape(&scope, SCOPE);
    assert_eq!(status(w, &user.token, &value), 200, "nobody looks at them yet");
    call(w, &format!("PATCH /{id}"), json!({"scope_mode": "enforce"})).want(200);
    assert_eq!(status(w, &user.token, &value), 403);
    add(json!({"scope_type": "cidr", "value": "127.0.0.0/8"})).want(200);
    assert_eq!(status(w, &user.token, &value), 200);
    for bad in [
        json!({"scope_type": "host", "value": "x"}),
        json!({"scope_type": "ip", "value": "1.2.3"}),
        json!({"scope_type": "ip", "value": ""}),
        json!({"scope_type": "ip"}),
    ] {
        add(bad).want(400);
    }
    void(w, &id);
    call(w, "POST /999/scopes", json!({"scope_type": "ip", "value": "127.0.0.1"})).want(404);
}

fn admin_access_scope_remove(w: &World) {
    let (_, id) = made(w, json!({}));
    let body = json!({"scope_type": "ip", "value": "127.0.0.9"});
    let scope = text(&call(w, &format!("POST /{id}/scopes"), body).want(200)["id"]);
    let remove = |scope: &str| call(w, &format!("DELETE /{id}/scopes/{scope}"), Value::Null);
    success(&remove(&scope).want(200));
    remove(&scope).want(404);
    remove("x").want(400);
    assert_eq!(call(w, &format!("GET /{id}"), Value::Null).want(200)["scopes"], json!([]));
    void(w, &id);
}

fn admin_access_token_revoke(w: &World) {
    let (_, id) = made(w, json!({}));
    void(w, &id);
    void(w, &id);
    let token = call(w, &format!("GET /{id}"), Value::Null).want(200);
    assert_eq!(token["access_token"]["revoked"], true);
    call(w, "POST /999/revoke", Value::Null).want(404);
    call(w, "POST /z/revoke", Value::Null).want(400);
}
