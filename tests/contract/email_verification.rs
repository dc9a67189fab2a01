//! Confirming one's address, on a server that asks for it.

use std::time::Duration;

use crate::support::{Answer, PASSWORD, Value, json};
use crate::world::{World, success, text};

cases![email_verify, email_verification_resend];

pub const OPTIONS: &[&str] = &["authentication.accounts.require_email_verification=true"];

fn register(w: &World, name: &str) -> Value {
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let answer = w.anyone("POST /auth/register", body).want(200);
    assert_eq!((&answer["status"], &answer["token"]), (&json!("success"), &Value::Null));
    assert_eq!(answer["user"]["email_verified"], false);
    answer
}

fn login(w: &World, name: &str) -> Answer {
    w.anyone("POST /auth/login", json!({"username": name, "password": PASSWORD}))
}

fn verify(w: &World, token: &str) -> Answer {
    w.anyone("POST /auth/verify-email", json!({"token": token}))
}

fn email_verify(w: &World) {
    register(w, "vada");
    let refused = login(w, "vada").want(403);
    assert_eq!(refused["error"]["reason"], "email_not_verified");
    w.anyone("POST /auth/login", json!({"username": "vada", "password": "Wrong-Password-1"})).want(401);
    let token = w.mail.mail("vada@example.org").token();
    for body in [json!({}), json!({"token": 7}), Value::Null] {
        w.anyone("POST /auth/verify-email", body).want(400);
    }
    for wrong in ["", "email.1.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", &token[..token.len() - 1]] {
        verify(w, wrong).want(401);
    }
    let reset = json!({"token": token, "new_password": "Another-Secret-77"});
    w.anyone("POST /auth/password-reset/confirm", reset).want(401);
    success(&verify(w, &token).want(200));
    verify(w, &token).want(401);
    let answer = login(w, "vada").want(200);
    assert_eq!(answer["user"]["email_verified"], true);
    let session = text(&answer["token"]);
    let edit = |address: &str| {
        w.call(Some(&session), "PATCH /users/@me", json!({"email": address})).want(200)["email_verified"].clone()
    };
    assert_eq!(edit("VADA@example.org"), true, "the same mailbox");
    assert_eq!(edit("vada@example.com"), false);
    w.call(Some(&session), "GET /users/@me", Value::Null).want(200);
    login(w, "vada").want(403);
    success(&verify(w, &w.mail.mail("vada@example.com").token()).want(200));
    login(w, "vada").want(200);
}

fn email_verification_resend(w: &World) {
    let resend = |address: &str| {
        success(&w.anyone("POST /auth/verify-email/resend", json!({"email": address})).want(200));
    };
    for body in [json!({}), json!({"email": "vida"})] {
        w.anyone("POST /auth/verify-email/resend", body).want(400);
    }
    register(w, "vida");
    let first = w.mail.mail("vida@example.org").token();
    resend("Vida@example.org");
    let second = w.mail.mail("vida@example.org").token();
    verify(w, &first).want(401);
    success(&verify(w, &second).want(200));
    login(w, "vida").want(200);
    for address in ["vida@example.org", "nobody@example.org"] {
        resend(address);
        let nothing = w.mail.mail_within(address, Duration::from_millis(300));
        assert!(nothing.is_none(), "{nothing:?}");
    }
}
