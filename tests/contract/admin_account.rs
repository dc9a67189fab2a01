//! What administrators do about their own accounts.

use crate::support::admin::{code, credentials, log_in};
use crate::support::{Answer, Value, json};
use crate::world::{World, shape, success, text};

cases![
    admin_security_status,
    admin_codes_renew,
    admin_otp_begin,
    admin_otp_disable,
    admin_password_change
];

pub const STATUS: &str = "admin_id: id, username: str, email: str?, created_at: int, last_login: int?, \
    otp_required: bool, otp_enabled: bool, must_setup_otp: bool, backup_codes_remaining: int";

/// A session that begins with nothing set up.
fn session(w: &World) -> (String, totp_rs::Totp) {
    let folder = w.server.folder();
    assert!(
        crate::support::command(folder).args(["admin", "reset-password"]).output().unwrap().status.success()
    );
    log_in(&mut w.server.http(), folder)
}

fn post(w: &World, token: &str, path: &str, body: Value) -> Answer {
    w.call(Some(token), &format!("POST /admin/auth/{path}"), body)
}

fn status(w: &World, token: &str) -> Value {
    w.call(Some(token), "GET /admin/auth/security-status", Value::Null).want(200)
}

fn admin_security_status(w: &World) {
    let (token, _) = session(w);
    let status = status(w, &token);
    shape(&status, STATUS);
    assert_eq!((&status["username"], &status["otp_required"]), (&json!("admin"), &json!(true)));
    assert!(status["last_login"].is_u64());
}

fn admin_codes_renew(w: &World) {
    let (token, _) = session(w);
    let (username, password) = credentials(w.server.folder());
    let path = "2fa/regenerate-backup-codes";
    post(w, &token, path, json!({})).want(400);
    post(w, &token, path, json!({"current_password": "wrong"})).want(400);
    let made = post(w, &token, path, json!({"current_password": password})).want(200);
    let codes: Vec<String> = made["backup_codes"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(codes.len(), 10);
    assert_eq!(status(w, &token)["backup_codes_remaining"], 10);
    let pass = |code: &str| {
        let login = json!({"username": username, "password": password});
        let asked = w.anyone("POST /admin/login", login).want(200);
        let body = json!({
            "admin_id": asked["admin_id"], "challenge_token": asked["challenge_token"], "code": code,
        });
        w.anyone("POST /admin/verify-otp", body)
    };
    pass(&codes[0].replace('-', "").to_lowercase()).want(200);
    assert_eq!(status(w, &token)["backup_codes_remaining"], 9);
    pass(&codes[0]).want(401);
    let others = post(w, &token, path, json!({"current_password": password})).want(200);
    pass(&codes[1]).want(401);
    pass(&text(&others["backup_codes"][1])).want(200);
}

fn admin_otp_begin(w: &World) {
    let (token, totp) = session(w);
    let (username, password) = credentials(w.server.folder());
    post(w, &token, "2fa/begin-setup", json!({"current_password": "wrong"})).want(400);
    let begun = post(w, &token, "2fa/begin-setup", json!({"current_password": password})).want(200);
    assert_eq!(begun["status"], "otp_setup_required");
    let other = totp_rs::Totp::from_url(text(&begun["otp_qr_uri"])).unwrap();
    let asked = || {
        let login = json!({"username": username, "password": password});
        w.anyone("POST /admin/login", login).want(200)
    };
    let verify = |asked: &Value, code: String, is_setup: bool| {
        let body = json!({
            "admin_id": asked["admin_id"],
            "challenge_token": asked["challenge_token"],
            "code": code,
            "is_setup": is_setup,
        });
        w.anyone("POST /admin/verify-otp", body)
    };
    // The old one is in force until the new one is confirmed.
    verify(&asked(), code(&other, 0), false).want(401);
    verify(&asked(), code(&totp, 1), false).want(200);
    verify(&begun, code(&other, 0), true).want(200);
    verify(&asked(), code(&other, 1), false).want(200);
    assert_eq!(status(w, &token)["otp_enabled"], true);
}

fn admin_otp_disable(w: &World) {
    let (token, totp) = session(w);
    let (_, password) = credentials(w.server.folder());
    let disable = |body: Value| post(w, &token, "2fa/disable", body);
    disable(json!({"current_password": password})).want(400);
    disable(json!({"current_password": "wrong", "code": code(&totp, 1)})).want(400);
    disable(json!({"current_password": password, "code": code(&totp, 1)})).want(403);
    // Where it may be.
    let server = crate::support::Server::start(&["admin_ui.require_otp=false"]);
    let (username, password) = credentials(server.folder());
    let mut http = server.http();
    let login = json!({"username": username, "password": password});
    let token = text(&http.call("POST", "/admin/login", None, Some(&login)).want(200)["token"]);
    let mut post = |path: &str, body: Value| http.call("POST", path, Some(&token), Some(&body));
    let begun = post("/admin/auth/2fa/begin-setup", json!({"current_password": password})).want(200);
    let totp = totp_rs::Totp::from_url(text(&begun["otp_qr_uri"])).unwrap();
    post("/admin/auth/2fa/disable", json!({"current_password": password, "code": code(&totp, 0)})).want(400);
    let shown = json!({
        "admin_id": begun["admin_id"],
        "challenge_token": begun["challenge_token"],
        "is_setup": true,
        "code": code(&totp, 0),
    });
    post("/admin/verify-otp", shown).want(200);
    assert_eq!(post("/admin/login", login.clone()).want(200)["status"], "otp_required");
    post("/admin/auth/2fa/disable", json!({"current_password": password, "code": "000000"})).want(400);
    let body = json!({"current_password": password, "code": code(&totp, 1)});
    success(&post("/admin/auth/2fa/disable", body).want(200));
    assert_eq!(post("/admin/login", login).want(200)["status"], "success");
    // This world asks for codes: what is noted of it is that the operation refuses. Elsewhere it has answered.
    w.note_answered("POST", "/admin/auth/2fa/disable");
}

fn admin_password_change(w: &World) {
    let (token, totp) = session(w);
    let (username, password) = credentials(w.server.folder());
    let other = {
        let login = json!({"username": username, "password": password});
        let asked = w.anyone("POST /admin/login", login).want(200);
        let body = json!({
            "admin_id": asked["admin_id"],
            "challenge_token": asked["challenge_token"],
            "code": code(&totp, 1),
        });
        text(&w.anyone("POST /admin/verify-otp", body).want(200)["token"])
    };
    let change = |current: &str, new: &str| {
        post(w, &token, "change-password", json!({"current_password": current, "new_password": new}))
    };
    change("wrong", "Another-Secret-77").want(400);
    change(&password, "Short-1a").want(400);
    change(&password, "alllowercaseletters").want(400);
    success(&change(&password, "Another-Secret-77").want(200));
    let login = |password: &str| {
        w.anyone("POST /admin/login", json!({"username": username, "password": password}))
    };
    login(&password).want(401);
    assert_eq!(login("Another-Secret-77").want(200)["status"], "otp_required");
    assert_eq!(status(w, &token)["username"], "admin");
    // The other session is over: it is good for saying so, once.
    w.call(Some(&other), "GET /admin/auth/security-status", Value::Null).want(401);
    success(&w.call(Some(&other), "POST /admin/logout", Value::Null).want(200));
    w.call(Some(&other), "POST /admin/logout", Value::Null).want(401);
}
