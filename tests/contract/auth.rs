//! Accounts and login sessions: who gets a token, and when it ends.

use crate::support::{PASSWORD, Value, json};
use crate::world::{USER, World, shape, success, text};

cases![
    register,
    login,
    logout,
    refresh,
    session_list,
    session_delete,
    session_revoke_all,
    password_requirements
];

const LOGIN: &str = "status: str, token: str?, user: object?, challenge_token: str?, methods: list?, \
    expires_in: int?";

fn register(w: &World) {
    let body = json!({"username": "Ada_1815", "email": "ada@example.org", "password": PASSWORD, "more": [1]});
    let answer = w.anyone("POST /auth/register", body).want(200);
    shape(&answer, LOGIN);
    shape(&answer["user"], USER);
    let user = &answer["user"];
    assert_eq!((&answer["status"], &user["username"]), (&json!("success"), &json!("Ada_1815")));
    assert_eq!(user["email"], "ada@example.org");
    assert_eq!(user["badges"], json!(["alpha_tester"]));
    assert!(user["created_at"].as_u64().is_some_and(|at| at < 10_000_000_000), "seconds: {user}");
    let token = text(&answer["token"]);
    let (session_id, secret) = token.split_once('.').expect("two parts");
    assert!(session_id.parse::<u64>().is_ok() && secret.len() == 43, "{token}");
    w.call(Some(&token), "GET /users/@me", Value::Null).want(200);

    let with = |name: &str, value: Value| {
        let mut body =
            json!({"username": "Grace", "email": "grace@example.org", "password": PASSWORD});
        body[name] = value;
        w.anyone("POST /auth/register", body)
    };
    with("username", json!("aDA_1815")).want(409);
    with("email", json!("ADA@example.org")).want(409);
    let too_long = "x".repeat(33);
    for bad in ["ab", "with space", "ümlaut", "admin", "System", "NULL", "a-b", &too_long] {
        with("username", json!(bad)).want(400);
    }
    for bad in ["", "nobody", "a@", "@b.org", "a b@example.org"] {
        with("email", json!(bad)).want(400);
    }
    let too_long = format!("{PASSWORD}{}", "x".repeat(128));
    for bad in ["Short-1!", "lovelace-1815!", "LOVELACE-1815!", "Lovelace-abcd!", "Lovelace01815", &too_long] {
        with("password", json!(bad)).want(400);
    }
    for name in ["username", "email", "password"] {
        for bad in [Value::Null, json!(7), json!([]), json!({})] {
            with(name, bad).want(400);
        }
    }
    with("age", json!("ignored while the gate is off")).want(200);
}

fn login(w: &World) {
    let user = w.user();
    let try_with =
        |name: &str, password: &str| w.anyone("POST /auth/login", json!({"username": name, "password": password}));
    for name in [&user.name, &user.name.to_uppercase(), &format!("{}@example.org", user.name)] {
        let answer = try_with(name, PASSWORD).want(200);
        shape(&answer, LOGIN);
        assert_eq!(answer["user"]["id"], *user.id);
        assert_ne!(answer["token"], *user.token);
    }
    // The same password from a keyboard that sends marks by themselves, the same address in punycode.
    let body = json!({"username": "Marks", "email": "Marks@B\u{fc}cher.example", "password": "Caf\u{e9}-Horse-1!"});
    let user_marks = w.anyone("POST /auth/register", body).want(200)["user"].clone();
    assert_eq!(user_marks["email"], "Marks@b\u{fc}cher.example");
    for name in ["marks", " marks ", "marks@xn--bcher-kva.example", "MARKS@BU\u{308}CHER.EXAMPLE"] {
        for password in ["Caf\u{e9}-Horse-1!", "Cafe\u{301}-Horse-1!"] {
            assert_eq!(try_with(name, password).want(200)["user"]["id"], user_marks["id"], "{name}");
        }
    }
    try_with("marks", "Cafe-Horse-1!").want(401);
    let again = json!({"username": "Other", "email": "marks@xn--bcher-kva.example", "password": PASSWORD});
    w.anyone("POST /auth/register", again).want(409);
    let unknown = try_with("nobody_here", PASSWORD).want(401);
    // A lock is of the name that was typed, whether or not anybody has it.
    (0..4).for_each(|_| drop(try_with("Nobody_Here", PASSWORD).want(401)));
    let locked_unknown = try_with("nobody_here", PASSWORD).want(403);
    assert_eq!(unknown, try_with(&user.name, "Wrong-password-1").want(401));
    // Success clears the counter; five wrong passwords in a row lock the login, and nothing but the login.
    try_with(&user.name, PASSWORD).want(200);
    for _ in 0..4 {
        try_with(&user.name, "Wrong-password-1").want(401);
    }
    let fifth = try_with(&user.name, "Wrong-password-1").status;
    assert!(fifth == 401 || fifth == 403, "{fifth}");
    assert_eq!(try_with(&user.name, PASSWORD).want(403), locked_unknown);
    try_with(&format!("{}@example.org", user.name), PASSWORD).want(403);
    w.get(&user, "/users/@me");
    for body in [json!({"username": "x"}), json!({"password": "x"}), json!({"username": 1, "password": 2})] {
        w.anyone("POST /auth/login", body).want(400);
    }
}

fn logout(w: &World) {
    let user = w.user();
    success(&w.ok(&user, "POST /auth/logout", Value::Null));
    w.refused(&user, "GET /users/@me", Value::Null, 401);
    w.refused(&user, "POST /auth/logout", Value::Null, 401);
}

fn refresh(w: &World) {
    let user = w.user();
    let answer = w.ok(&user, "POST /auth/refresh", Value::Null);
    shape(&answer, LOGIN);
    assert_eq!(answer["user"]["id"], *user.id);
    w.call(answer["token"].as_str(), "GET /users/@me", Value::Null).want(200);
}

fn session_list(w: &World) {
    let user = w.user();
    let again = json!({"username": user.name, "password": PASSWORD});
    w.anyone("POST /auth/login", again.clone()).want(200);
    let list = w.get(&user, "/auth/sessions");
    let list = list.as_array().expect("a list");
    for session in list {
        shape(
            session,
            "id: id, device_id: str?, ip_address: str?, user_agent: str?, created_at: int, expires_at: int, \
             last_activity: int, current: bool",
        );
        let life = session["expires_at"].as_u64().unwrap() - session["created_at"].as_u64().unwrap();
        assert_eq!(life, 168 * 3600);
    }
    assert_eq!(list.iter().filter(|session| session["current"] == true).count(), 1);
    // The eleventh revokes the one that was used least recently.
    for _ in 0..9 {
        w.anyone("POST /auth/login", again.clone()).want(200);
    }
    w.refused(&user, "GET /users/@me", Value::Null, 401);
}

fn session_delete(w: &World) {
    let user = w.user();
    let other = w.anyone("POST /auth/login", json!({"username": user.name, "password": PASSWORD})).want(200);
    let other = text(&other["token"]);
    let (id, _) = other.split_once('.').expect("two parts");
    let line = format!("DELETE /auth/sessions/{id}");
    w.refused(&w.user(), &line, Value::Null, 404);
    success(&w.ok(&user, &line, Value::Null));
    w.call(Some(&other), "GET /users/@me", Value::Null).want(401);
    w.refused(&user, &line, Value::Null, 404);
}

fn session_revoke_all(w: &World) {
    let user = w.user();
    let login = json!({"username": user.name, "password": PASSWORD});
    let other = text(&w.anyone("POST /auth/login", login).want(200)["token"]);
    let answer = w.ok(&user, "POST /auth/sessions/revoke-all", Value::Null);
    assert_eq!(answer, json!({"success": true, "revoked_count": 1}));
    w.call(Some(&other), "GET /users/@me", Value::Null).want(401);
    w.refused(&user, "POST /auth/sessions/revoke-all", json!({"except_current": "no"}), 400);
    let answer = w.ok(&user, "POST /auth/sessions/revoke-all", json!({"except_current": false}));
    assert_eq!(answer, json!({"success": true, "revoked_count": 1}));
    w.refused(&user, "GET /users/@me", Value::Null, 401);
}

fn password_requirements(w: &World) {
    let body = w.anyone("GET /auth/password-requirements", Value::Null).want(200);
    shape(
        &body,
        "min_length: int, max_length: int, require_uppercase: bool, require_lowercase: bool, \
         require_digit: bool, require_special: bool, age_gate_enabled: bool, age_verification_type: str, \
         minimum_age: int?, docs_enabled: bool",
    );
    assert_eq!((&body["min_length"], &body["max_length"]), (&json!(12), &json!(128)));
}
