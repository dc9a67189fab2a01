//! Passkeys, with an authenticator in software.

use std::time::{SystemTime, UNIX_EPOCH};

use totp_rs::Totp;

use crate::support::authenticator::{ALGORITHMS, Algorithm, Authenticator};
use crate::support::{Answer, PASSWORD, User, Value, json};
use crate::world::{World, shape, success, text};

cases![
    passkey_list,
    passkey_register_begin,
    passkey_register_finish,
    passkey_login_begin,
    passkey_login_finish,
    passkey_rename,
    passkey_delete
];

const PASSKEY: &str = "id: id, name: str, created_at: int, last_used_at: int?";
const OPTIONS: &str = "state: str, expires_in: int, public_key: object";

/// Makes one, and has it kept.
fn make(w: &World, user: &User, algorithm: Algorithm) -> (Authenticator, Value) {
    let options = w.ok(user, "POST /auth/passkeys/register/begin", Value::Null);
    let authenticator = Authenticator::new(algorithm);
    let made = authenticator.make(&options, "phone");
    let kept = w.ok(user, "POST /auth/passkeys/register/finish", made);
    shape(&kept, PASSKEY);
    (authenticator, kept)
}

fn begin(w: &World, body: Value) -> Value {
    let options = w.anyone("POST /auth/passkeys/login/begin", body).want(200);
    shape(&options, OPTIONS);
    options
}

fn finish(w: &World, signed: Value) -> Answer {
    w.anyone("POST /auth/passkeys/login/finish", signed)
}

fn login(w: &World, authenticator: &Authenticator) -> Answer {
    finish(w, authenticator.sign(&begin(w, Value::Null)))
}

fn passkey_list(w: &World) {
    let user = w.user();
    assert_eq!(w.get(&user, "/auth/passkeys"), json!([]));
    let (_, first) = make(w, &user, Algorithm::Es256);
    let (_, second) = make(w, &user, Algorithm::EdDsa);
    assert_eq!(w.get(&user, "/auth/passkeys"), json!([first, second]));
    assert_eq!(w.get(&w.user(), "/auth/passkeys"), json!([]));
}

fn passkey_register_begin(w: &World) {
    let user = w.user();
    let (authenticator, _) = make(w, &user, Algorithm::Es256);
    let line = "POST /auth/passkeys/register/begin";
    let options = w.ok(&user, line, json!({"password": PASSWORD}));
    shape(&options, OPTIONS);
    let asked = &options["public_key"];
    assert_eq!((&asked["rp"]["id"], &asked["user"]["name"]), (&json!("localhost"), &json!(user.name)));
    assert_eq!(asked["excludeCredentials"][0]["id"], authenticator.sign(&options)["credential_id"]);
    w.refused(&user, line, json!({"password": "Wrong-password-1"}), 401);
    // Who has two-factor login shows that too.
    let (totp, _) = second_factor(w, &user);
    w.refused(&user, line, Value::Null, 400);
    w.refused(&user, line, json!({"code": "000000"}), 400);
    w.ok(&user, line, json!({"code": code(&totp, 1)}));
    let old = World::new(&["authentication.security.fresh_login_minutes=0"]);
    let user = old.user();
    old.refused(&user, line, Value::Null, 400);
    old.ok(&user, line, json!({"password": PASSWORD}));
    let off = World::new(&["authentication.passkeys.rp_id="]);
    off.refused(&off.user(), line, Value::Null, 503);
}

fn passkey_register_finish(w: &World) {
    let (user, other) = (w.user(), w.user());
    let line = "POST /auth/passkeys/register/finish";
    let begin = |user: &User| w.ok(user, "POST /auth/passkeys/register/begin", Value::Null);
    let changed = |change: &dyn Fn(&mut Authenticator)| {
        let mut authenticator = Authenticator::new(Algorithm::Es256);
        change(&mut authenticator);
        w.refused(&user, line, authenticator.make(&begin(&user), "phone"), 400);
    };
    changed(&|it| it.origin = "https://evil.example".into());
    changed(&|it| it.origin = "https://localhost.evil.example".into());
    changed(&|it| it.rp_id = "evil.example".into());
    changed(&|it| it.verifies = false);
    changed(&|it| it.id.clear());
    let authenticator = Authenticator::new(Algorithm::EdDsa);
    for (field, value) in [("attestation_object", "oA"), ("attestation_object", "!"), ("client_data", "e30"), ("name", " ")] {
        let mut made = authenticator.make(&begin(&user), "phone");
        made[field] = value.into();
        w.refused(&user, line, made, 400);
    }
    // Of another account, of a log-in, and twice.
    w.refused(&user, line, authenticator.make(&begin(&other), "phone"), 400);
    w.refused(&user, line, authenticator.make(&self::begin(w, Value::Null), "phone"), 400);
    let made = authenticator.make(&begin(&user), "phone");
    w.ok(&user, line, made.clone());
    w.refused(&user, line, made, 400);
    w.refused(&other, line, authenticator.make(&begin(&other), "phone"), 409);
    let address = format!("{}@example.org", user.name);
    assert_eq!(w.mail.mail(&address).header("Subject"), Some("Plexichat: New passkey"));
    for _ in 1..10 {
        make(w, &user, Algorithm::Es256);
    }
    w.refused(&user, line, Authenticator::new(Algorithm::Es256).make(&begin(&user), "phone"), 400);
}

fn passkey_login_begin(w: &World) {
    let user = w.user();
    let (authenticator, _) = make(w, &user, Algorithm::Es256);
    let of = |name: &str| begin(w, json!({"username": name}))["public_key"]["allowCredentials"].clone();
    assert_eq!(of(&user.name)[0]["id"], authenticator.sign(&json!({}))["credential_id"]);
    assert_eq!(of("nobody_at_all"), of("NOBODY_at_all"), "as if there were somebody");
    assert_eq!(of("nobody_at_all").as_array().map(Vec::len), Some(1));
    assert_eq!(begin(w, Value::Null)["public_key"]["allowCredentials"], json!([]));
    w.anyone("POST /auth/passkeys/login/begin", json!({"challenge_token": "2fa.1.x"})).want(401);
}

fn passkey_login_finish(w: &World) {
    for algorithm in ALGORITHMS {
        let user = w.user();
        let (mut authenticator, kept) = make(w, &user, algorithm);
        for _ in 0..2 {
            let answer = login(w, &authenticator).want(200);
            assert_eq!((&answer["status"], &answer["user"]["id"]), (&json!("success"), &json!(user.id)));
            w.call(answer["token"].as_str(), "GET /users/@me", Value::Null).want(200);
        }
        let list = w.get(&user, "/auth/passkeys");
        let used = list.as_array().unwrap().iter().find(|known| known["id"] == kept["id"]).unwrap();
        assert!(used["last_used_at"].is_u64(), "{used}");
        // One that counts must go on doing so.
        for (counter, status) in [(5, 200), (5, 401), (4, 401), (0, 401), (6, 200)] {
            authenticator.counter = counter;
            login(w, &authenticator).want(status);
        }
        authenticator.counter = 7;
        what_does_not_fit(w, &mut authenticator);
        login(w, &authenticator).want(200);
    }
    login(w, &Authenticator::new(Algorithm::Es256)).want(401);
    as_second_factor(w);
    let frozen = w.user();
    let (authenticator, _) = make(w, &frozen, Algorithm::Es256);
    w.ok(&frozen, "DELETE /users/@me", json!({"password": PASSWORD}));
    assert_eq!(login(w, &authenticator).want(403)["error"]["reason"], "frozen");
}

fn what_does_not_fit(w: &World, authenticator: &mut Authenticator) {
    let signed = authenticator.sign(&begin(w, Value::Null));
    for (field, value) in [("signature", "AAAA"), ("authenticator_data", "AAAA"), ("client_data", "e30"), ("credential_id", "AAAA")] {
        let mut wrong = authenticator.sign(&begin(w, Value::Null));
        wrong[field] = value.into();
        finish(w, wrong).want(401);
    }
    // What was signed for another challenge.
    let mut other = signed.clone();
    other["state"] = begin(w, Value::Null)["state"].clone();
    finish(w, other).want(401);
    let (origin, rp_id) = (authenticator.origin.clone(), authenticator.rp_id.clone());
    authenticator.origin = "https://evil.example".into();
    login(w, authenticator).want(401);
    (authenticator.origin, authenticator.rp_id) = (origin, "evil.example".into());
    login(w, authenticator).want(401);
    (authenticator.rp_id, authenticator.verifies) = (rp_id, false);
    login(w, authenticator).want(401);
    authenticator.verifies = true;
    for state in ["", "1.x", "x"] {
        let mut wrong = signed.clone();
        wrong["state"] = state.into();
        finish(w, wrong).want(400);
    }
    // Once, whatever comes of it.
    let mut wrong = signed.clone();
    wrong["signature"] = "AAAA".into();
    finish(w, wrong).want(401);
    finish(w, signed).want(400);
}

fn code(totp: &Totp, steps: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    totp.generate(now + 30 * steps).to_string()
}

fn second_factor(w: &World, user: &User) -> (Totp, Value) {
    let made = w.ok(user, "POST /auth/2fa/enable", json!({"password": PASSWORD}));
    let totp = Totp::from_url(text(&made["qr_uri"])).expect("an otpauth address");
    success(&w.ok(user, "POST /auth/2fa/confirm", json!({"code": code(&totp, 0)})));
    (totp, made["backup_codes"].clone())
}

fn as_second_factor(w: &World) {
    let (user, other) = (w.user(), w.user());
    let (mut authenticator, _) = make(w, &user, Algorithm::Es256);
    let (stranger, _) = make(w, &other, Algorithm::Es256);
    second_factor(w, &user);
    let password = || {
        let body = json!({"username": user.name, "password": PASSWORD});
        let answer = w.anyone("POST /auth/login", body).want(200);
        assert_eq!(answer["methods"], json!(["totp", "backup_code", "passkey"]));
        answer["challenge_token"].clone()
    };
    // The password has said who it is: a touch is enough.
    authenticator.verifies = false;
    let second = |authenticator: &Authenticator, challenge: &Value| {
        let mut signed = authenticator.sign(&begin(w, json!({"challenge_token": challenge})));
        signed["challenge_token"] = challenge.clone();
        finish(w, signed)
    };
    let challenge = password();
    second(&stranger, &challenge).want(401);
    // A ceremony of one kind is none of the other.
    let mut signed = authenticator.sign(&begin(w, Value::Null));
    signed["challenge_token"] = challenge.clone();
    finish(w, signed).want(400);
    finish(w, authenticator.sign(&begin(w, json!({"challenge_token": challenge})))).want(400);
    assert_eq!(second(&authenticator, &challenge).want(200)["user"]["id"], *user.id);
    w.anyone("POST /auth/passkeys/login/begin", json!({"challenge_token": challenge})).want(401);
}

fn passkey_rename(w: &World) {
    let user = w.user();
    let (_, kept) = make(w, &user, Algorithm::Es256);
    let line = format!("PATCH /auth/passkeys/{}", text(&kept["id"]));
    assert_eq!(w.ok(&user, &line, json!({"name": " old phone "}))["name"], "old phone");
    for body in [json!({}), json!({"name": ""}), json!({"name": 7}), json!({"name": "x".repeat(65)})] {
        w.refused(&user, &line, body, 400);
    }
    w.refused(&w.user(), &line, json!({"name": "mine"}), 404);
    assert_eq!(w.get(&user, "/auth/passkeys")[0]["name"], "old phone");
}

fn passkey_delete(w: &World) {
    let user = w.user();
    let (authenticator, kept) = make(w, &user, Algorithm::Es256);
    let line = format!("DELETE /auth/passkeys/{}", text(&kept["id"]));
    w.refused(&w.user(), &line, Value::Null, 404);
    success(&w.ok(&user, &line, Value::Null));
    w.refused(&user, &line, Value::Null, 404);
    login(w, &authenticator).want(401);
    assert_eq!(w.get(&user, "/auth/passkeys"), json!([]));
}
