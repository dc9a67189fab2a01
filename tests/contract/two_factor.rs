//! Two-factor login with codes that an authenticator makes by the clock of now.

use std::time::{SystemTime, UNIX_EPOCH};

use totp_rs::Totp;

use crate::support::{PASSWORD, User, Value, json};
use crate::world::{USER, World, shape, success, text};

cases![
    two_factor_status,
    two_factor_enable,
    two_factor_confirm,
    two_factor_login,
    two_factor_disable
];

const STATUS: &str = "enabled: bool, backup_codes_remaining: int";
const SETUP: &str = "secret: str, qr_uri: str, backup_codes: list";

struct SetUp {
    user: User,
    totp: Totp,
    codes: Vec<String>,
}

fn begin(w: &World, user: &User) -> (Totp, Vec<String>) {
    let made = w.ok(user, "POST /auth/2fa/enable", json!({"password": PASSWORD}));
    shape(&made, SETUP);
    let totp = Totp::from_url(text(&made["qr_uri"])).expect("an otpauth address");
    let codes = made["backup_codes"].as_array().unwrap().iter().map(text).collect();
    (totp, codes)
}

/// The code of now, or of so many steps away.
fn code(totp: &Totp, steps: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    totp.generate(now.strict_add_signed(steps * 30)).to_string()
}

/// Confirmed with the code of now. That of the next step is taken as well, also when the step ends meanwhile.
fn set_up(w: &World) -> SetUp {
    let user = w.user();
    let (totp, codes) = begin(w, &user);
    success(&w.ok(&user, "POST /auth/2fa/confirm", json!({"code": code(&totp, 0)})));
    SetUp { user, totp, codes }
}

fn challenge(w: &World, user: &User) -> String {
    let answer = w.anyone("POST /auth/login", json!({"username": user.name, "password": PASSWORD})).want(200);
    assert_eq!((&answer["status"], &answer["token"]), (&json!("two_factor_required"), &Value::Null));
    assert_eq!((&answer["user"], &answer["expires_in"]), (&Value::Null, &json!(300)));
    assert_eq!(answer["methods"], json!(["totp", "backup_code"]));
    text(&answer["challenge_token"])
}

fn answer(w: &World, challenge: &str, code: &str) -> crate::support::Answer {
    w.anyone("POST /auth/2fa", json!({"challenge_token": challenge, "code": code}))
}

fn two_factor_status(w: &World) {
    let user = w.user();
    let off = w.ok(&user, "GET /auth/2fa/status", Value::Null);
    shape(&off, STATUS);
    assert_eq!(off, json!({"enabled": false, "backup_codes_remaining": 0}));
    let set_up = set_up(w);
    let on = w.ok(&set_up.user, "GET /auth/2fa/status", Value::Null);
    assert_eq!(on, json!({"enabled": true, "backup_codes_remaining": 10}));
}

fn two_factor_enable(w: &World) {
    let user = w.user();
    let enable = |body: Value| w.call(Some(&user.token), "POST /auth/2fa/enable", body);
    enable(json!({})).want(400);
    enable(json!({"password": 7})).want(400);
    enable(json!({"password": "wrong"})).want(401);
    let made = enable(json!({"password": PASSWORD})).want(200);
    let secret = text(&made["secret"]);
    assert!(secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));
    let address = text(&made["qr_uri"]);
    assert!(address.starts_with(&format!("otpauth://totp/Plexichat:{}?", user.name)), "{address}");
    assert!(address.contains(&format!("secret={secret}")) && address.contains("issuer=Plexichat"), "{address}");
    let again = enable(json!({"password": PASSWORD})).want(200);
    assert_ne!(again["secret"], made["secret"], "the one before is replaced");
    enable(Value::Null).want(400);
    let set_up = set_up(w);
    w.call(Some(&set_up.user.token), "POST /auth/2fa/enable", json!({"password": PASSWORD})).want(409);
}

fn two_factor_confirm(w: &World) {
    let user = w.user();
    let confirm = |code: Value| w.call(Some(&user.token), "POST /auth/2fa/confirm", json!({"code": code}));
    confirm(json!("123456")).want(400);
    let (totp, _) = begin(w, &user);
    for bad in [json!("12"), json!("1234567"), json!("12345x"), json!(123_456), Value::Null] {
        confirm(bad).want(400);
    }
    confirm(json!(code(&totp, -5))).want(401);
    assert_eq!(w.ok(&user, "GET /users/@me", Value::Null)["totp_enabled"], false);
    success(&confirm(json!(code(&totp, 0))).want(200));
    let me = w.ok(&user, "GET /users/@me", Value::Null);
    assert_eq!(me["totp_enabled"], true, "nobody was logged out");
}

fn two_factor_login(w: &World) {
    let SetUp { user, totp, codes } = set_up(w);
    let token = challenge(w, &user);
    w.call(Some(&token), "GET /users/@me", Value::Null).want(401);
    for bad in ["12345", "12345678901234567", ""] {
        answer(w, &token, bad).want(400);
    }
    answer(w, "2fa.1.zzz", "000000").want(401);
    answer(w, &token, &code(&totp, -5)).want(401);
    let next = code(&totp, 1);
    let done = answer(w, &token, &next).want(200);
    shape(&done["user"], USER);
    assert_eq!((&done["status"], &done["challenge_token"]), (&json!("success"), &Value::Null));
    w.call(Some(&text(&done["token"])), "GET /users/@me", Value::Null).want(200);
    answer(w, &token, &next).want(401);
    answer(w, &challenge(w, &user), &next).want(401);
    for typed in [codes[0].to_lowercase(), codes[1].replace('-', "")] {
        answer(w, &challenge(w, &user), &typed).want(200);
        answer(w, &challenge(w, &user), &typed).want(401);
    }
    let tried = challenge(w, &user);
    (0..5).for_each(|_| drop(answer(w, &tried, "ZZZZ-ZZZZ").want(401)));
    answer(w, &tried, &codes[2]).want(401);
    answer(w, &challenge(w, &user), &codes[2]).want(200);
}

fn two_factor_disable(w: &World) {
    let SetUp { user, codes, .. } = set_up(w);
    let disable = |body: Value| w.call(Some(&user.token), "POST /auth/2fa/disable", body);
    disable(json!({"password": PASSWORD})).want(400);
    disable(json!({"code": codes[0]})).want(400);
    disable(json!({"password": "wrong", "code": codes[0]})).want(401);
    disable(json!({"password": PASSWORD, "code": "000000"})).want(401);
    let delete = json!({"password": PASSWORD});
    w.call(Some(&user.token), "DELETE /users/@me", delete).want(400);
    success(&disable(json!({"password": PASSWORD, "code": codes[0]})).want(200));
    disable(json!({"password": PASSWORD, "code": codes[1]})).want(400);
    let login = w.anyone("POST /auth/login", json!({"username": user.name, "password": PASSWORD})).want(200);
    assert_eq!(login["status"], "success");
    let SetUp { user, codes, .. } = set_up(w);
    let delete = json!({"password": PASSWORD, "code": codes[0]});
    success(&w.ok(&user, "DELETE /users/@me", delete));
}
