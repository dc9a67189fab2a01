//! Who is kept out: accounts, addresses, names.

use std::time::Duration;

use crate::admin_login::session;
use crate::support::admin::log_in;
use crate::support::{Answer, PASSWORD, Server, Value, json};
use crate::world::{World, column, eventually, shape, success, text};

cases![
    admin_user_lock,
    admin_user_unlock,
    admin_user_log_out,
    admin_address_list,
    admin_address_block,
    admin_address_unblock,
    admin_name_ban_list,
    admin_name_ban_create,
    admin_name_ban_remove,
];

fn call(w: &World, line: &str, body: Value) -> Answer {
    w.call(Some(&session(w)), line, body)
}

fn act(w: &World, what: &str, body: Value) -> Answer {
    call(w, &format!("POST /admin/security/{what}"), body)
}

fn admin_user_lock(w: &World) {
    let user = w.user();
    let bot = w.bot(&user);
    let mut socket = w.server.gateway();
    socket.identify(&user.token);
    success(&act(w, "lock-user", json!({"user_id": user.id})).want(200));
    assert_eq!(socket.closed().0, 4004);
    for token in [&user.token, &bot.token] {
        let refused = w.call(Some(token), "GET /users/@me", Value::Null).want(403);
        assert!(!text(&refused["error"]["reason"]).is_empty());
        w.call(Some(token), "POST /auth/logout", Value::Null).want(403);
    }
    let login = json!({"username": user.name, "password": PASSWORD});
    w.anyone("POST /auth/login", login).want(403);
    let details = call(w, &format!("GET /admin/users/{}", user.id), Value::Null).want(200);
    assert_eq!((&details["account_locked"], &details["locked_until"]), (&json!(true), &Value::Null));
    // Another one with an end, which comes by itself. The session is what it was.
    success(&act(w, "lock-user", json!({"user_id": user.id, "duration_seconds": 2})).want(200));
    w.call(Some(&user.token), "GET /users/@me", Value::Null).want(403);
    eventually(|| w.call(Some(&user.token), "GET /users/@me", Value::Null).status == 200);
    let details = call(w, &format!("GET /admin/users/{}", user.id), Value::Null).want(200);
    assert_eq!(details["account_locked"], false);
    act(w, "lock-user", json!({"user_id": "999"})).want(404);
    for bad in [
        json!({}),
        json!({"user_id": "x"}),
        json!({"user_id": user.id, "duration_seconds": 0}),
        json!({"user_id": user.id, "duration_seconds": "long"}),
        json!({"user_id": user.id, "duration_seconds": -1}),
    ] {
        act(w, "lock-user", bad).want(400);
    }
}

fn admin_user_unlock(w: &World) {
    let user = w.user();
    success(&act(w, "lock-user", json!({"user_id": user.id})).want(200));
    success(&act(w, "unlock-user", json!({"user_id": user.id})).want(200));
    w.call(Some(&user.token), "GET /users/@me", Value::Null).want(200);
    // It forgets wrong passwords as well.
    let login = |password: &str| {
        w.anyone("POST /auth/login", json!({"username": user.name, "password": password}))
    };
    (0..5).for_each(|_| drop(login("wrong").want(401)));
    login(PASSWORD).want(403);
    success(&act(w, "unlock-user", json!({"user_id": user.id})).want(200));
    login(PASSWORD).want(200);
    act(w, "unlock-user", json!({"user_id": "999"})).want(404);
    act(w, "unlock-user", json!({"user_id": "ivo"})).want(400);
}

fn admin_user_log_out(w: &World) {
    let user = w.user();
    let login = json!({"username": user.name, "password": PASSWORD});
    let other = text(&w.anyone("POST /auth/login", login.clone()).want(200)["token"]);
    success(&act(w, "force-logout", json!({"user_id": user.id})).want(200));
    for token in [&user.token, &other] {
        w.call(Some(token), "GET /users/@me", Value::Null).want(401);
    }
    w.anyone("POST /auth/login", login).want(200);
    act(w, "force-logout", json!({"user_id": "999"})).want(404);
    act(w, "force-logout", json!({})).want(400);
}

fn blocked(w: &World) -> Value {
    call(w, "GET /admin/security/blocked-ips", Value::Null).want(200)
}

fn admin_address_list(w: &World) {
    for address in ["203.0.113.1", "203.0.113.2"] {
        success(&act(w, "block-ip", json!({"ip_address": address})).want(200));
    }
    let list = blocked(w);
    shape(&list[0], "ip_address: str, reason: str?, blocked_at: int, blocked_by: id?, expires_at: int?");
    assert_eq!(column(&list, "ip_address")[..2], [json!("203.0.113.2"), json!("203.0.113.1")]);
}

fn admin_address_block(w: &World) {
    let from = |address: &str, path: &str| w.server.http_from(address).get(path, None).status;
    assert_eq!(from("127.0.0.2", "/api/v1/version"), 200);
    let body = json!({"ip_address": "127.0.0.2", "reason": "scanner", "duration_hours": 2});
    success(&act(w, "block-ip", body).want(200));
    let user = w.user();
    for path in ["/api/v1/version", "/health", "/nothing", "/gateway", "/api/v1/admin/login"] {
        assert_eq!(from("127.0.0.2", path), 403, "{path}");
    }
    let me = w.server.http_from("127.0.0.2").get("/api/v1/users/@me", Some(&user.token));
    assert_eq!(me.status, 403);
    assert_eq!(from("127.0.0.3", "/api/v1/version"), 200);
    // A network, and an end to it.
    success(&act(w, "block-ip", json!({"ip_address": "127.0.4.0/24"})).want(200));
    assert_eq!((from("127.0.4.77", "/health"), from("127.0.5.1", "/health")), (403, 200));
    for (address, why) in [
        ("nowhere", "no address"),
        ("1.2.3", "none either"),
        ("127.0.0.0/33", "no network"),
        ("127.0.0.1", "where the administrator is"),
        ("127.0.0.0/8", "a network with him in it"),
        ("0.0.0.0/0", "everybody"),
        ("::ffff:127.0.0.1", "another spelling of his"),
    ] {
        let status = act(w, "block-ip", json!({"ip_address": address})).status;
        assert_eq!(status, 400, "{address}: {why}");
    }
    act(w, "block-ip", json!({"reason": "x"})).want(400);
    act(w, "block-ip", json!({"ip_address": "127.0.0.9", "duration_hours": 0})).want(400);
}

fn admin_address_unblock(w: &World) {
    let unblock = |address: &str| {
        call(w, &format!("DELETE /admin/security/unblock-ip/{address}"), Value::Null)
    };
    success(&act(w, "block-ip", json!({"ip_address": "127.0.6.0/24"})).want(200));
    let status = || w.server.http_from("127.0.6.1").get("/health", None).status;
    assert_eq!(status(), 403);
    for _ in 0..2 {
        success(&unblock("127.0.6.0%2F24").want(200));
    }
    assert_eq!(status(), 200);
    unblock("everywhere").want(400);
}

fn bans(w: &World) -> Value {
    call(w, "GET /admin/security/banned-usernames", Value::Null).want(200)
}

fn ban(w: &World, body: Value) -> Answer {
    act(w, "banned-usernames", body)
}

fn admin_name_ban_list(w: &World) {
    success(&ban(w, json!({"pattern": "Overlord", "reason": "no"})).want(200));
    let list = bans(w);
    shape(&list[0], "id: id, pattern: str, is_regex: bool, reason: str?, created_at: int");
    assert_eq!((&list[0]["pattern"], &list[0]["is_regex"]), (&json!("Overlord"), &json!(false)));
}

fn register(w: &World, name: &str) -> u16 {
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    w.anyone("POST /auth/register", body).status
}

fn admin_name_ban_create(w: &World) {
    let user = w.user();
    success(&ban(w, json!({"pattern": "Villain"})).want(200));
    assert_eq!((register(w, "villain"), register(w, "VILLAIN"), register(w, "villains")), (400, 400, 200));
    w.refused(&user, "PATCH /users/@me", json!({"username": "viLLain"}), 400);
    success(&ban(w, json!({"pattern": "^bad_.*_[0-9]+$", "is_regex": true})).want(200));
    assert_eq!((register(w, "BAD_boy_7"), register(w, "bad_boy")), (400, 200));
    // Who has such a name keeps it, and may say so.
    let name = json!({"username": user.name});
    success(&ban(w, json!({"pattern": user.name})).want(200));
    w.ok(&user, "PATCH /users/@me", name);
    for bad in [
        json!({"reason": "x"}),
        json!({"pattern": ""}),
        json!({"pattern": "p".repeat(101)}),
        json!({"pattern": "(abc", "is_regex": true}),
        json!({"pattern": "((a{99}){99}){99}", "is_regex": true}),
        json!({"pattern": "x", "reason": "r".repeat(201)}),
    ] {
        ban(w, bad).want(400);
    }
}

fn admin_name_ban_remove(w: &World) {
    success(&ban(w, json!({"pattern": "lifted"})).want(200));
    assert_eq!(register(w, "lifted"), 400);
    let id = text(&bans(w)[0]["id"]);
    let remove = |id: &str| {
        call(w, &format!("DELETE /admin/security/banned-usernames/{id}"), Value::Null)
    };
    success(&remove(&id).want(200));
    assert_eq!(register(w, "lifted"), 200);
    remove(&id).want(404);
    remove("nope").want(400);
}

#[test]
fn what_administrators_have_done_holds_over_a_restart() {
    let mut server = Server::start(&[]);
    let (token, _) = log_in(&mut server.http(), server.folder());
    let user = server.register("ada");
    let mut http = server.http();
    let mut post = |path: &str, body: Value| {
        http.call("POST", &format!("/api/v1/admin/{path}"), Some(&token), Some(&body)).want(200);
    };
    post("security/lock-user", json!({"user_id": user.id}));
    post("security/block-ip", json!({"ip_address": "127.0.0.2"}));
    post("security/banned-usernames", json!({"pattern": "villain"}));
    server.kill();
    let server = Server::start_in(server.folder(), &[]);
    let mut http = server.http();
    http.get("/api/v1/users/@me", Some(&user.token)).want(403);
    server.http_from("127.0.0.2").get("/health", None).want(403);
    let villain = json!({"username": "villain", "email": "v@example.org", "password": PASSWORD});
    http.call("POST", "/api/v1/auth/register", None, Some(&villain)).want(400);
    let audit = http.get("/api/v1/admin/audit-log", Some(&token)).want(200);
    let actions = column(&audit, "action");
    assert_eq!(
        actions[..3],
        [json!("name_ban_create"), json!("address_block"), json!("user_lock")]
    );
    assert_eq!((&audit[2]["target"], &audit[2]["before"]), (&json!("ada"), &json!("active")));
    std::thread::sleep(Duration::from_millis(1));
}
