//! The own account, and what others see of one.

use crate::support::{PASSWORD, Value, json};
use crate::world::{PUBLIC_USER, USER, World, shape, success, text};

cases![me_get, me_edit, me_delete, features_get, user_search, user_get];

fn me_get(w: &World) {
    let user = w.user();
    let me = w.get(&user, "/users/@me");
    shape(&me, USER);
    assert_eq!((&me["id"], &me["username"]), (&json!(user.id), &json!(user.name)));
    assert_eq!(me["avatar_url"], format!("/api/v1/avatars/users/{}", user.id));
    assert_eq!(me["deletion_status"], "active");
}

fn me_edit(w: &World) {
    let (user, other) = (w.user(), w.user());
    let me = w.get(&user, "/users/@me");
    let null = json!({"username": null, "email": null, "avatar_url": "x", "password": null, "unknown": 1});
    for body in [json!({}), null] {
        assert_eq!(w.ok(&user, "PATCH /users/@me", body), me);
    }
    let changed = w.ok(&user, "PATCH /users/@me", json!({"username": "Renamed", "email": "new@example.org"}));
    assert_eq!((&changed["username"], &changed["email"]), (&json!("Renamed"), &json!("new@example.org")));
    assert_eq!(w.get(&user, "/users/@me"), changed);
    w.refused(&user, "PATCH /users/@me", json!({"username": other.name.to_lowercase()}), 409);
    w.refused(&user, "PATCH /users/@me", json!({"email": format!("{}@example.org", other.name)}), 409);
    for bad in [json!({"username": "a b"}), json!({"email": "x"}), json!({"username": 3})] {
        w.refused(&user, "PATCH /users/@me", bad, 400);
    }
    let new = "Babbage-1791!";
    w.refused(&user, "PATCH /users/@me", json!({"password": new}), 400);
    let wrong = json!({"password": new, "current_password": "Wrong-password-1"});
    w.refused(&user, "PATCH /users/@me", wrong, 403);
    w.refused(&user, "PATCH /users/@me", json!({"password": "weak", "current_password": PASSWORD}), 400);
    let login = json!({"username": "Renamed", "password": PASSWORD});
    let elsewhere = text(&w.anyone("POST /auth/login", login).want(200)["token"]);
    w.ok(&user, "PATCH /users/@me", json!({"password": new, "current_password": PASSWORD}));
    w.get(&user, "/users/@me");
    w.call(Some(&elsewhere), "GET /users/@me", Value::Null).want(401);
    w.anyone("POST /auth/login", json!({"username": "Renamed", "password": PASSWORD})).want(401);
    w.anyone("POST /auth/login", json!({"username": "renamed", "password": new})).want(200);
    w.anyone("POST /auth/login", json!({"username": user.name, "password": new})).want(401);
}

fn me_delete(w: &World) {
    // Wrong passwords count towards the lockout, here as in a log-in.
    let user = w.user();
    for _ in 0..5 {
        w.refused(&user, "DELETE /users/@me", json!({"password": "Wrong-password-1"}), 400);
    }
    w.refused(&user, "DELETE /users/@me", json!({"password": PASSWORD}), 403);
    let change = json!({"password": "Babbage-1791!", "current_password": PASSWORD});
    w.refused(&user, "PATCH /users/@me", change, 403);
    w.anyone("POST /auth/login", json!({"username": user.name, "password": PASSWORD})).want(403);
    w.get(&user, "/users/@me");

    let user = w.user();
    for bad in [Value::Null, json!({}), json!({"password": "Wrong-password-1"})] {
        w.refused(&user, "DELETE /users/@me", bad, 400);
    }
    success(&w.ok(&user, "DELETE /users/@me", json!({"password": PASSWORD})));
    let status = w.call(Some(&user.token), "GET /users/@me", Value::Null).status;
    assert!(status == 401 || status == 403, "{status}");
    w.anyone("POST /auth/login", json!({"username": user.name, "password": PASSWORD})).want(403);
    shape(&w.get(&w.user(), &format!("/users/{}", user.id)), PUBLIC_USER);
}

fn features_get(w: &World) {
    let body = w.get(&w.user(), "/users/@me/features");
    shape(&body, "badges: list, tier: str, tier_limits: object");
    shape(
        &body["tier_limits"],
        "name: str, multiplier: num, max_voice_minutes_per_day: int, max_video_minutes_per_day: int, \
         max_file_uploads_per_day: int, max_file_size_mb: int, max_servers: int, max_message_length: int, \
         max_reactions_per_message: int, max_pins_per_channel: int, custom_emoji_slots: int",
    );
    shape(&body["badges"][0], "name: str, display_name: str, description: str, icon: str, color: str");
    assert_eq!(body["tier"], "alpha");
}

fn user_search(w: &World) {
    let user = w.user();
    for name in [user.name.to_lowercase(), user.name.to_uppercase()] {
        let found = w.get(&user, &format!("/users/search?username={name}"));
        shape(&found, PUBLIC_USER);
        assert_eq!(found["id"], *user.id);
    }
    w.refused(&user, "GET /users/search", Value::Null, 400);
    w.refused(&user, "GET /users/search?username=User", Value::Null, 404);
    w.refused(&user, "GET /users/search?username=%F0%9F%A6%80", Value::Null, 404);
}

fn user_get(w: &World) {
    let (user, other) = (w.user(), w.user());
    let found = w.get(&user, &format!("/users/{}", other.id));
    shape(&found, PUBLIC_USER);
    assert_eq!(found["username"], *other.name);
    w.refused(&user, "GET /users/999", Value::Null, 404);
    assert_eq!(w.get(&user, "/users/0")["username"], "System");
}
