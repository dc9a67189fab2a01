//! Accounts as administrators see and change them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::admin_login::session;
use crate::support::{Answer, PASSWORD, User, Value, json};
use crate::world::{USER, World, column, eventually, shape, success, text};

cases![
    admin_user_search,
    admin_deletion_list,
    admin_user_get,
    admin_user_tier_set,
    admin_badge_grant,
    admin_badge_revoke,
    admin_user_features_get,
    admin_user_features_set,
    admin_tier_list,
    admin_badge_list,
    admin_user_notes_get,
    admin_user_notes_set,
    admin_username_force,
    admin_deletion_cancel,
    admin_deletion_delay,
    admin_user_purge,
];

const FOUND: &str = "id: id, username: str, email: str?, tier: str, badges: list, created_at: int, \
    deletion_status: str, deletion_at: int?";
const DETAILS: &str = "id: id, username: str, email: str?, tier: str, badges: list, created_at: int, \
    deletion_status: str, deletion_at: int?, last_login: int?, account_locked: bool, locked_until: int?, \
    force_username_change: bool";
const FEATURES: &str = "user_id: id, rate_limit_tier: str, badges: list, tier_limits: object, expires_at: int?";

fn call(w: &World, line: &str, body: Value) -> Answer {
    w.call(Some(&session(w)), line, body)
}

fn get(w: &World, path: &str) -> Value {
    call(w, &format!("GET /admin{path}"), Value::Null).want(200)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Nobody, and what is no id.
fn only_known(w: &World, method: &str, rest: &str, body: &Value) {
    call(w, &format!("{method} /admin/users/999{rest}"), body.clone()).want(404);
    call(w, &format!("{method} /admin/users/12ab{rest}"), body.clone()).want(400);
}

fn frozen(w: &World) -> User {
    let user = w.user();
    success(&w.ok(&user, "DELETE /users/@me", json!({"password": PASSWORD})));
    user
}

fn admin_user_search(w: &World) {
    let user = w.user();
    let part = &user.name[1..];
    for query in [part.to_string(), part.to_uppercase(), user.id.clone()] {
        let found = get(w, &format!("/users/search?q={query}"));
        let users = found["users"].as_array().unwrap();
        let one = users.iter().find(|one| one["id"] == *user.id).unwrap_or_else(|| panic!("{query}: {found}"));
        shape(one, FOUND);
        assert!(text(&one["email"]).contains("***@"), "{one}");
    }
    let all = get(w, "/users/search?q=_&limit=1000");
    let ids: Vec<u64> = column(&all["users"], "id").iter().map(|id| text(id).parse().unwrap()).collect();
    assert!(ids.is_sorted());
    assert_eq!(get(w, "/users/search?q=zzzznobody")["users"], json!([]));
    assert_eq!(get(w, "/users/search?q=")["users"], json!([]));
    for bad in ["", "?q=a&limit=0", "?q=a&limit=1001", "?q=a&limit=x", "?q=a&offset=-1"] {
        call(w, &format!("GET /admin/users/search{bad}"), Value::Null).want(400);
    }
}

fn admin_user_get(w: &World) {
    let user = w.user();
    let details = get(w, &format!("/users/{}", user.id));
    shape(&details, DETAILS);
    assert_eq!((&details["username"], &details["account_locked"]), (&json!(user.name), &json!(false)));
    assert!(details["last_login"].is_u64());
    only_known(w, "GET", "", &Value::Null);
}

fn admin_user_tier_set(w: &World) {
    let user = w.user();
    let path = format!("PUT /admin/users/{}/tier", user.id);
    let set = |body: Value| call(w, &path, body);
    let answer = set(json!({"tier": "premium"})).want(200);
    shape(&answer, FEATURES);
    assert_eq!((&answer["rate_limit_tier"], &answer["expires_at"]), (&json!("premium"), &Value::Null));
    assert_eq!(w.get(&user, "/users/@me/features")["tier"], "premium");
    for bad in [json!({"tier": "gold"}), json!({}), json!({"tier": "staff", "expires_at": 1})] {
        set(bad).want(400);
    }
    let ends = now() + 2;
    assert_eq!(set(json!({"tier": "staff", "expires_at": ends})).want(200)["rate_limit_tier"], "staff");
    eventually(|| w.get(&user, "/users/@me/features")["tier"] == "standard");
    only_known(w, "PUT", "/tier", &json!({"tier": "alpha"}));
}

fn admin_badge_grant(w: &World) {
    let user = w.user();
    let path = |badge: &str| format!("POST /admin/users/{}/badges/{badge}", user.id);
    for _ in 0..2 {
        let answer = call(w, &path("bug_hunter"), Value::Null).want(200);
        shape(&answer, "success: bool, badges: list");
        assert!(answer["badges"].as_array().unwrap().contains(&json!("bug_hunter")));
    }
    assert!(w.get(&user, "/users/@me")["badges"].as_array().unwrap().contains(&json!("bug_hunter")));
    call(w, &path("king"), Value::Null).want(400);
    only_known(w, "POST", "/badges/staff", &Value::Null);
}

fn admin_badge_revoke(w: &World) {
    let user = w.user();
    call(w, &format!("POST /admin/users/{}/badges/staff", user.id), Value::Null).want(200);
    for _ in 0..2 {
        let answer = call(w, &format!("DELETE /admin/users/{}/badges/staff", user.id), Value::Null).want(200);
        assert!(!answer["badges"].as_array().unwrap().contains(&json!("staff")));
    }
    only_known(w, "DELETE", "/badges/staff", &Value::Null);
}

fn admin_user_features_get(w: &World) {
    let features = get(w, &format!("/users/{}/features", w.user().id));
    shape(&features, FEATURES);
    assert_eq!(features["tier_limits"]["name"], features["rate_limit_tier"]);
    only_known(w, "GET", "/features", &Value::Null);
}

fn admin_user_features_set(w: &World) {
    let user = w.user();
    let line = format!("PUT /admin/users/{}/features", user.id);
    let set = |body: Value| call(w, &line, body);
    let answer = set(json!({"rate_limit_tier": "premium", "notes": "pays"})).want(200);
    assert_eq!(answer["rate_limit_tier"], "premium");
    assert_eq!(get(w, &format!("/users/{}/notes", user.id))["notes"], "pays");
    let ends = now() + 86_400;
    let answer = set(json!({"expires_at": ends})).want(200);
    assert_eq!((&answer["rate_limit_tier"], &answer["expires_at"]), (&json!("premium"), &json!(ends)));
    assert_eq!(set(json!({})).want(200)["rate_limit_tier"], "premium");
    set(json!({"rate_limit_tier": "beta"})).want(400);
    only_known(w, "PUT", "/features", &json!({"rate_limit_tier": "alpha"}));
}

fn admin_tier_list(w: &World) {
    let tiers = get(w, "/tiers");
    assert_eq!(tiers["default"], "standard");
    let names: Vec<&String> = tiers["tiers"].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 4);
    assert_eq!(tiers["tiers"]["staff"]["max_servers"], -1);
}

fn admin_badge_list(w: &World) {
    let badges = get(w, "/badges");
    assert!(column(&badges["badges"], "name").contains(&json!("alpha_tester")));
    shape(&badges["badges"][0], "name: str, display_name: str, description: str, icon: str, color: str");
}

fn admin_user_notes_get(w: &World) {
    let user = w.user();
    let notes = get(w, &format!("/users/{}/notes", user.id));
    assert_eq!(notes, json!({"user_id": user.id, "notes": ""}));
    only_known(w, "GET", "/notes", &Value::Null);
}

fn admin_user_notes_set(w: &World) {
    let user = w.user();
    let line = format!("POST /admin/users/{}/notes", user.id);
    let written = "called twice about <b>spam</b> \u{1f600}";
    success(&call(w, &line, json!({"notes": written})).want(200));
    assert_eq!(get(w, &format!("/users/{}/notes", user.id))["notes"], written);
    call(w, &line, json!({"notes": "n".repeat(5_001)})).want(400);
    call(w, &line, json!({})).want(400);
    success(&call(w, &line, json!({"notes": ""})).want(200));
    assert_eq!(get(w, &format!("/users/{}/notes", user.id))["notes"], "");
    only_known(w, "POST", "/notes", &json!({"notes": "x"}));
}

fn admin_username_force(w: &World) {
    let (user, other) = (w.user(), w.user());
    let line = format!("POST /admin/users/{}/force-username-change", user.id);
    success(&call(w, &line, json!({"reason": "that is rude", "ban_current": true})).want(200));
    let refused = w.refused(&user, "GET /users/@me/features", Value::Null, 403);
    assert_eq!(refused["error"]["reason"], "that is rude");
    // Logging in goes on, and so does looking at oneself.
    let login = json!({"username": user.name, "password": PASSWORD});
    let again = text(&w.anyone("POST /auth/login", login).want(200)["token"]);
    shape(&w.call(Some(&again), "GET /users/@me", Value::Null).want(200), USER);
    let rename = |name: &str| w.call(Some(&again), "PATCH /users/@me", json!({"username": name}));
    w.call(Some(&again), "PATCH /users/@me", json!({"email": "another@example.org"})).want(403);
    rename(&user.name).want(403);
    rename("no good").want(400);
    let named = get(w, &format!("/users/{}", user.id));
    assert_eq!(named["force_username_change"], true);
    rename(&format!("{}_nice", user.name)).want(200);
    w.get(&user, "/users/@me/features");
    assert_eq!(get(w, &format!("/users/{}", user.id))["force_username_change"], false);
    // Nobody takes the old one, in whatever case.
    for name in [user.name.clone(), user.name.to_uppercase()] {
        w.refused(&other, "PATCH /users/@me", json!({"username": name}), 400);
    }
    // Without a body too.
    success(&call(w, &format!("POST /admin/users/{}/force-username-change", other.id), Value::Null).want(200));
    w.refused(&other, "GET /users/@me/features", Value::Null, 403);
    success(&w.ok(&other, "POST /auth/logout", Value::Null));
    call(w, &line, json!({"reason": "r".repeat(201)})).want(400);
    only_known(w, "POST", "/force-username-change", &Value::Null);
}

fn admin_deletion_list(w: &World) {
    let user = frozen(w);
    let list = get(w, "/users/scheduled-deletions");
    let deletions = list["deletions"].as_array().unwrap();
    let one = deletions.iter().find(|one| one["user_id"] == *user.id).expect("it is listed");
    shape(one, "user_id: id, username: str, scheduled_at: int, deletion_at: int, days_left: int");
    let [scheduled, due] = ["scheduled_at", "deletion_at"].map(|key| one[key].as_u64().unwrap());
    assert!(now().abs_diff(scheduled) < 60 && due > scheduled, "{one}");
    let days = one["days_left"].as_u64().unwrap();
    assert!(days.abs_diff((due - now()) / 86_400) <= 1, "{one}");
}

fn admin_deletion_cancel(w: &World) {
    let user = frozen(w);
    let line = format!("POST /admin/users/{}/cancel-deletion", user.id);
    success(&call(w, &line, Value::Null).want(200));
    call(w, &line, Value::Null).want(409);
    let login = json!({"username": user.name, "password": PASSWORD});
    w.anyone("POST /auth/login", login).want(200);
    assert_eq!(get(w, &format!("/users/{}", user.id))["deletion_status"], "active");
    only_known(w, "POST", "/cancel-deletion", &Value::Null);
}

fn admin_deletion_delay(w: &World) {
    let user = frozen(w);
    let delay = |id: &str, at: u64| {
        call(w, &format!("POST /admin/users/{id}/delay-deletion?deletion_at={at}"), Value::Null)
    };
    let later = now() + 100 * 86_400;
    success(&delay(&user.id, later).want(200));
    let shown = get(w, &format!("/users/{}", user.id))["deletion_at"].as_u64().unwrap();
    assert!(shown.abs_diff(later) <= 1, "{shown} instead of {later}");
    delay(&user.id, 1).want(400);
    call(w, &format!("POST /admin/users/{}/delay-deletion", user.id), Value::Null).want(400);
    delay(&w.user().id, later).want(409);
    delay("999", later).want(404);
    success(&delay(&user.id, now() + 2).want(200));
    let is_gone = || get(w, &format!("/users/search?q={}", user.name))["users"] == json!([]);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while !is_gone() {
        assert!(std::time::Instant::now() < until, "it was not deleted");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn admin_user_purge(w: &World) {
    let (user, place) = (w.user(), w.place());
    w.join(&place, &user);
    let said = w.message(&user, &place.channel, "I was here");
    success(&call(w, &format!("POST /admin/users/{}/force-purge", user.id), Value::Null).want(200));
    w.call(Some(&user.token), "GET /users/@me", Value::Null).want(401);
    let message = w.get(&place.owner, &format!("/channels/{}/messages/{said}", place.channel));
    assert_eq!(message["content"], "I was here");
    assert_ne!(message["author_username"], user.name);
    let again = json!({"username": user.name, "email": format!("{}@again.example", user.name), "password": PASSWORD});
    w.anyone("POST /auth/register", again).want(200);
    only_known(w, "POST", "/force-purge", &Value::Null);
}
