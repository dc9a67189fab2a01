//! A new password by mail: who gets one, what it ends, and what it does not tell.

use std::time::Duration;

use crate::support::{Answer, Frame, PASSWORD, Value, json};
use crate::world::{World, success};

cases![password_reset_request, password_reset_confirm];

const NEW: &str = "Brand-New-Secret-8";

fn request(w: &World, address: &str) {
    success(&w.anyone("POST /auth/password-reset/request", json!({"email": address})).want(200));
}

fn confirm(w: &World, token: &str, password: &str) -> Answer {
    w.anyone("POST /auth/password-reset/confirm", json!({"token": token, "new_password": password}))
}

fn login(w: &World, name: &str, password: &str) -> Answer {
    w.anyone("POST /auth/login", json!({"username": name, "password": password}))
}

fn password_reset_request(w: &World) {
    let user = w.user();
    let address = format!("{}@example.org", user.name);
    for body in [json!({}), json!({"email": 7}), json!({"email": "mara"}), json!({"email": ""}), Value::Null] {
        w.anyone("POST /auth/password-reset/request", body).want(400);
    }
    request(w, "nobody@example.org");
    request(w, &address.to_uppercase());
    let mail = w.mail.mail(&address);
    assert_eq!(mail.to, address, "the address as it is stored");
    for (name, want) in [
        ("From", "Plexichat <noreply@plexichat.internal>"),
        ("To", &address),
        ("Subject", "Plexichat: Reset your password"),
    ] {
        assert_eq!(mail.header(name), Some(want), "{}", mail.text);
    }
    assert!(mail.header("Date").is_some() && mail.header("Message-ID").is_some(), "{}", mail.text);
    let token = mail.token();
    let parts: Vec<&str> = token.split('.').collect();
    assert_eq!((parts[0], parts[1], parts[2].len()), ("email", &*user.id, 43), "{token}");
    let nothing = w.mail.mail_within("nobody@example.org", Duration::from_millis(300));
    assert!(nothing.is_none(), "{nothing:?}");
    let frozen = w.user();
    w.ok(&frozen, "DELETE /users/@me", json!({"password": PASSWORD}));
    let address = format!("{}@example.org", frozen.name);
    request(w, &address);
    assert!(w.mail.mail_within(&address, Duration::from_millis(1_000)).is_none(), "frozen accounts get no mail");
}

fn password_reset_confirm(w: &World) {
    let user = w.user();
    let address = format!("{}@example.org", user.name);
    let other = login(w, &user.name, PASSWORD).want(200)["token"].as_str().unwrap().to_owned();
    let mut session = w.server.gateway();
    session.identify(&other);
    for _ in 0..5 {
        assert!([401, 403].contains(&login(w, &user.name, "Wrong-password-1").status));
    }
    login(w, &user.name, PASSWORD).want(403);
    request(w, &address);
    let first = w.mail.mail(&address).token();
    request(w, &address);
    let second = w.mail.mail(&address).token();
    for (token, password, status) in [
        (&*first, NEW, 401),
        (&*second, "short", 400),
        ("email.1.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NEW, 401),
        (&*user.token, NEW, 401),
        ("", NEW, 401),
    ] {
        confirm(w, token, password).want(status);
    }
    for body in [json!({"token": second}), json!({"new_password": NEW}), json!({"token": 7, "new_password": NEW})] {
        w.anyone("POST /auth/password-reset/confirm", body).want(400);
    }
    w.get(&user, "/users/@me");
    success(&confirm(w, &second, NEW).want(200));
    confirm(w, &second, "Brand-New-Secret-9").want(401);
    for token in [&user.token, &other] {
        w.call(Some(token), "GET /users/@me", Value::Null).want(401);
    }
    assert_eq!(session.event("SECURITY_LOGOUT")["user_id"], *user.id);
    assert!(matches!(session.message(), Frame::Close(4004, _)));
    login(w, &user.name, PASSWORD).want(401);
    assert_eq!(login(w, &user.name, NEW).want(200)["user"]["id"], *user.id);
    let notice = w.mail.mail(&address);
    assert_eq!(notice.header("Subject"), Some("Plexichat: Your password was changed"));
}
