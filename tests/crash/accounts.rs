//! People who come and go: registration, log-in, second factor, deletion.

use std::time::Duration;

use super::*;
use crate::support::authenticator::{Algorithm, Authenticator};
use crate::support::provider::REDIRECTS;
use crate::{MAIL, PROVIDER};

/// Somebody registers, logs in and out again, looks around and deletes the account.
pub fn passer_by(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let count = m.fresh();
    let name = format!("{}_p{count}", m.name);
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let made = line.call("POST", "/auth/register", None, Some(&body))?.want(200);
    m.done("Register");
    let (token, user) = (text(&made["token"]), id(&made["user"]).to_string());
    let lives = |token: &str| Place::of(token, "/users/@me".into(), "/id");
    let facts = |token: &str, want: Value| [("passer-by", lives(token), want)];
    m.facts.remove("passer-by");
    m.note(&format!("user {name}"), lives(&token), json!(user));
    let wrong = json!({"username": name, "password": "Wrong-1815!"});
    line.call("POST", "/auth/login", None, Some(&wrong))?.want(401);
    m.done("LoginFailed");
    let login = json!({"username": name, "password": PASSWORD});
    let second = text(&line.call("POST", "/auth/login", None, Some(&login))?.want(200)["token"]);
    m.done("TokenCreate");
    m.change(
        line,
        "TokenRevoke",
        ("POST", "/auth/logout".into(), &second, json!({})),
        &facts(&second, Value::Null),
    )?;
    let owner = m.owner.id.clone();
    let dm = Place::item(&token, "/users/@me/channels".into(), "recipient_id", &owner, "/recipient_id");
    let ask = ("POST", "/users/@me/channels".into(), &*token, json!({"recipient_id": owner}));
    m.change(line, "DmOpen", ask, &[])?;
    m.note(&format!("dm {name}"), dm, json!(owner));
    m.change(line, "NotesOpen", ("GET", "/users/@me/notes".into(), &token, Value::Null), &[])?;
    if random.bool() {
        return Ok(());
    }
    let third = text(&line.call("POST", "/auth/login", None, Some(&login))?.want(200)["token"]);
    m.facts.remove("passer-by");
    let ask = ("POST", "/auth/sessions/revoke-all".into(), &*token, json!({}));
    m.change(line, "TokenRevokeAll", ask, &facts(&third, Value::Null))?;
    let fourth = text(&line.call("POST", "/auth/login", None, Some(&login))?.want(200)["token"]);
    m.facts.remove("passer-by");
    [format!("user {name}"), format!("dm {name}")].iter().for_each(|name| drop(m.facts.remove(name)));
    let ask = ("DELETE", "/users/@me".into(), &*fourth, json!({"password": PASSWORD}));
    m.change(line, "AccountDelete", ask, &facts(&fourth, Value::Null)).map(drop)
}

/// Somebody who takes a second factor, logs in with it, and takes it off or leaves. Each code serves once, whatever was
/// killed in between.
pub fn second_factor(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let count = m.fresh();
    let name = format!("{}_t{count}", m.name);
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let token = text(&line.call("POST", "/auth/register", None, Some(&body))?.want(200)["token"]);
    m.done("Register");
    let password = json!({"password": PASSWORD});
    let status = |pointer: &str| Place::of(&token, "/auth/2fa/status".into(), pointer);
    let forget = |m: &mut Mixer| m.facts.retain(|name, _| !name.starts_with("second factor"));
    forget(m);
    let made =
        m.change(line, "TwoFactorBegin", ("POST", "/auth/2fa/enable".into(), &token, password), &[])?;
    let totp = totp_rs::Totp::from_url(text(&made["qr_uri"])).map_err(|error| error.to_string())?;
    let code = json!({"code": totp.generate(unix_seconds()).to_string()});
    let ask = ("POST", "/auth/2fa/confirm".into(), &*token, code);
    m.change(line, "TwoFactorConfirm", ask, &[("second factor", status("/enabled"), json!(true))])?;
    let login = json!({"username": name, "password": PASSWORD});
    let challenge = line.call("POST", "/auth/login", None, Some(&login))?.want(200);
    m.done("ChallengeCreate");
    let answer = |code: &str| json!({"challenge_token": challenge["challenge_token"], "code": code});
    line.call("POST", "/auth/2fa", None, Some(&answer("000000")))?.want(401);
    m.done("ChallengeFailed");
    let backup = |index: usize| text(&made["backup_codes"][index]);
    let left = [("second factor: codes", status("/backup_codes_remaining"), json!(9))];
    let ask = ("POST", "/auth/2fa".into(), &*token, answer(&backup(0)));
    m.change(line, "ChallengePass", ask, &left)?;
    let with = |code: &str| json!({"password": PASSWORD, "code": code});
    line.call("POST", "/auth/2fa/disable", Some(&token), Some(&with("000000")))?.want(401);
    m.done("TwoFactorFailed");
    if random.bool() {
        let off = [
            ("second factor", status("/enabled"), json!(false)),
            ("second factor: codes", status("/backup_codes_remaining"), json!(0)),
        ];
        let ask = ("POST", "/auth/2fa/disable".into(), &*token, with(&backup(1)));
        return m.change(line, "TwoFactorDisable", ask, &off).map(drop);
    }
    forget(m);
    let ask = ("DELETE", "/users/@me".into(), &*token, with(&backup(1)));
    m.change(line, "AccountDelete", ask, &[])?;
    m.done("TwoFactorUse");
    Ok(())
}

/// Somebody whose bot is made, given another token, and deleted.
pub fn bot(m: &mut Mixer, line: &mut Line, _: &mut fastrand::Rng) -> Result<(), String> {
    let count = m.fresh();
    let (owner, name) = (format!("{}_o{count}", m.name), format!("{}_b{count}", m.name));
    let body = json!({"username": owner, "email": format!("{owner}@example.org"), "password": PASSWORD});
    line.call("POST", "/auth/register", None, Some(&body))?.want(200);
    m.done("Register");
    let lives = |token: &str| Place::of(token, "/users/@me".into(), "/username");
    let token = |said: &str| said.lines().last().expect("it ends with the token").to_owned();
    m.facts.remove("bot");
    let create = json!({"do": "bot_create", "name": name, "owner": owner});
    let first = token(&m.operate("BotCreate", create, &[])?);
    m.note("bot", lives(&first), json!(name));
    let gone = |token: &str| [("bot", lives(token), Value::Null)];
    let second =
        token(&m.operate("BotTokenRenew", json!({"do": "bot_token", "name": name}), &gone(&first))?);
    m.note("bot", lives(&second), json!(name));
    m.operate("BotDelete", json!({"do": "bot_delete", "name": name}), &gone(&second)).map(drop)
}

/// Somebody who has forgotten his password, and chooses another one by mail. A mail may come again after a kill.
pub fn forgotten_password(m: &mut Mixer, line: &mut Line, _: &mut fastrand::Rng) -> Result<(), String> {
    let count = m.fresh();
    let name = format!("{}_f{count}", m.name);
    let address = format!("{name}@example.org");
    let body = json!({"username": name, "email": address, "password": PASSWORD});
    let token = text(&line.call("POST", "/auth/register", None, Some(&body))?.want(200)["token"]);
    m.done("Register");
    m.facts.remove("forgotten password");
    line.call("POST", "/auth/password-reset/request", None, Some(&json!({"email": address})))?.want(200);
    m.done("MailRequest");
    let mail = loop {
        if let Some(mail) = MAIL.mail_within(&address, Duration::from_millis(100)) {
            break mail;
        }
        // Whether anybody is there who could send it.
        line.get("/users/@me", &token)?.want(200);
    };
    let (new, ended) = ("Brand-New-Secret-8", Place::of(&token, "/users/@me".into(), "/id"));
    let body = json!({"token": mail.token(), "new_password": new});
    let ask = ("POST", "/auth/password-reset/confirm".into(), &*token, body);
    m.change(line, "PasswordReset", ask, &[("forgotten password", ended, Value::Null)])?;
    let login = json!({"username": name, "password": new});
    line.call("POST", "/auth/login", None, Some(&login))?.want(200);
    m.done("TokenCreate");
    Ok(())
}

/// Somebody who signs in elsewhere: for the first time, which makes him an account, and again.
pub fn elsewhere(m: &mut Mixer, line: &mut Line, _: &mut fastrand::Rng) -> Result<(), String> {
    const BACK: &str = REDIRECTS[0];
    let count = m.fresh();
    let name = format!("{}_e{count}", m.name);
    let profile =
        json!({"sub": name, "name": name, "email": format!("{name}@example.org"), "email_verified": true});
    let mut account = Value::Null;
    for _ in 0..2 {
        let path = format!("/auth/oauth/google/login?redirect_uri={BACK}");
        let begun = line.call("GET", &path, None, None)?.want(200);
        m.done("SignInBegin");
        let (code, state) = PROVIDER.agree(&text(&begun["url"]), &profile);
        let verifier = &begun["code_verifier"];
        let body = json!({"code": code, "state": state, "redirect_uri": BACK, "code_verifier": verifier});
        m.facts.remove("elsewhere");
        let back = line.call("POST", "/auth/oauth/google/callback", None, Some(&body))?.want(200);
        m.done("SignInTake");
        m.done("SignInEnd");
        let me = Place::of(&text(&back["token"]), "/users/@me".into(), "/username");
        m.note("elsewhere", me, json!(name));
        assert!(account.is_null() || account == back["user"]["id"], "{name} is the same both times");
        account = back["user"]["id"].clone();
    }
    Ok(())
}

/// A tier and a badge, given by the operator.
pub fn feature(m: &mut Mixer, _: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, name) = (m.member.token.clone(), m.member.name.clone());
    if random.bool() {
        let tier = ["standard", "premium", "staff"][random.usize(..3)];
        let facts = [("tier", Place::of(&token, "/users/@me/features".into(), "/tier"), json!(tier))];
        return m
            .operate("TierSet", json!({"do": "user_tier", "name": name, "tier": tier}), &facts)
            .map(drop);
    }
    let (kind, what, want) = match random.bool() {
        true => ("BadgeGrant", "user_badge_add", json!(["alpha_tester", "partner"])),
        false => ("BadgeRevoke", "user_badge_remove", json!(["alpha_tester"])),
    };
    let facts = [("badges", Place::of(&token, "/users/@me".into(), "/badges"), want)];
    m.operate(kind, json!({"do": what, "name": name, "badge": "partner"}), &facts).map(drop)
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// Somebody with a passkey: it is made, named, used and deleted.
pub fn passkey(m: &mut Mixer, line: &mut Line, _: &mut fastrand::Rng) -> Result<(), String> {
    let count = m.fresh();
    let name = format!("{}_k{count}", m.name);
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let token = text(&line.call("POST", "/auth/register", None, Some(&body))?.want(200)["token"]);
    m.done("Register");
    m.facts.remove("passkey");
    let options = line.post("/auth/passkeys/register/begin", &token, &json!({}))?.want(200);
    m.done("SignInBegin");
    let authenticator = Authenticator::new(Algorithm::Es256);
    let made = authenticator.make(&options, "one");
    let made = line.post("/auth/passkeys/register/finish", &token, &made)?.want(200);
    m.done("PasskeyAdd");
    let place = || Place::of(&token, "/auth/passkeys".into(), "/0/name");
    m.note("passkey", place(), json!("one"));
    let path = format!("/auth/passkeys/{}", text(&made["id"]));
    let ask = ("PATCH", path.clone(), &*token, json!({"name": "two"}));
    m.change(line, "PasskeyRename", ask, &[("passkey", place(), json!("two"))])?;
    let options = line.call("POST", "/auth/passkeys/login/begin", None, Some(&json!({})))?.want(200);
    let signed = authenticator.sign(&options);
    line.call("POST", "/auth/passkeys/login/finish", None, Some(&signed))?.want(200);
    m.done("PasskeySignIn");
    // As the second step of a login with a password.
    let body = json!({"password": PASSWORD});
    let uri = text(&line.post("/auth/2fa/enable", &token, &body)?.want(200)["qr_uri"]);
    m.done("TwoFactorBegin");
    let totp = totp_rs::Totp::from_url(&uri).map_err(|error| error.to_string())?;
    let code = totp.generate(unix_seconds()).to_string();
    line.post("/auth/2fa/confirm", &token, &json!({"code": code}))?.want(200);
    m.done("TwoFactorConfirm");
    let body = json!({"username": name, "password": PASSWORD});
    let asked = line.call("POST", "/auth/login", None, Some(&body))?.want(200);
    m.done("ChallengeCreate");
    let challenge = json!({"challenge_token": asked["challenge_token"]});
    let options = line.call("POST", "/auth/passkeys/login/begin", None, Some(&challenge))?.want(200);
    m.done("SignInBegin");
    let mut signed = authenticator.sign(&options);
    signed["challenge_token"] = asked["challenge_token"].clone();
    line.call("POST", "/auth/passkeys/login/finish", None, Some(&signed))?.want(200);
    m.done("PasskeyPass");
    m.change(
        line,
        "PasskeyRemove",
        ("DELETE", path, &token, Value::Null),
        &[("passkey", place(), Value::Null)],
    )
    .map(drop)
}
