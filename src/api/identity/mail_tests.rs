//! What mail is for, without a mail server: which mails are written, and what their tokens do.

use crate::api::testing::Harness;
use crate::api::testing::fixture::{Account, PASSWORD, login, register, text_at};
use crate::config::{AuthenticationAccounts, Config};
use crate::domain::housekeeping::sweep::Sweep;
use crate::domain::identity::credential::Secret;
use crate::domain::identity::mail;
use crate::domain::identity::token::{NewToken, TokenCreate};
use crate::domain::{Change, Command, Output, Revocation};
use crate::id::UserId;
use crate::limits::MAIL_TOKENS_PER_HOUR_MAX;
use crate::store::keyring::Purpose;
use crate::store::records::{Errand, Mail, mail_kind};
use crate::store::tables::{CREDENTIALS, MAIL_TOKENS, MAILS, OUTBOX};

const NEW: &str = "Brand-New-Secret-8";
const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

fn post(harness: &Harness, path: &str, body: &str) -> (u16, String) {
    harness.request("POST", path, None, Some(body))
}

fn ask(harness: &Harness, path: &str, address: &str) {
    let body = format!(r#"{{"email":"{address}"}}"#);
    assert_eq!(post(harness, path, &body), (200, r#"{"success":true}"#.into()), "{address}");
    harness.run_errands();
}

fn request(harness: &Harness, address: &str) {
    ask(harness, "/auth/password-reset/request", address);
}

fn confirm(harness: &Harness, token: &str, password: &str) -> u16 {
    let body = format!(r#"{{"token":"{token}","new_password":"{password}"}}"#);
    post(harness, "/auth/password-reset/confirm", &body).0
}

fn verify(harness: &Harness, token: &str) -> u16 {
    post(harness, "/auth/verify-email", &format!(r#"{{"token":"{token}"}}"#)).0
}

fn me(harness: &Harness, token: &str) -> u16 {
    harness.request("GET", "/users/@me", Some(token), None).0
}

/// All mails that wait, in the order in which they were written.
fn mails(harness: &Harness) -> Vec<(UserId, Mail)> {
    let snapshot = harness.state.snapshot();
    let mut all: Vec<_> =
        snapshot.read().scan(MAILS, ()).map(|(key, mail)| (key, Mail::from(mail))).collect();
    all.sort_by_key(|((_, mail_id), _)| *mail_id);
    all.into_iter().map(|((user_id, _), mail)| (user_id, mail)).collect()
}

/// Kinds and addresses of all that wait.
fn waiting(harness: &Harness) -> Vec<(&'static str, String)> {
    mails(harness).into_iter().map(|(_, mail)| (mail_kind::text(mail.kind), mail.to)).collect()
}

/// The token in the newest mail.
fn mailed(harness: &Harness) -> String {
    let (user_id, mail) = mails(harness).pop().expect("a mail waits");
    let snapshot = harness.state.snapshot();
    let token = snapshot.read().get(MAIL_TOKENS, (user_id, mail.kind)).unwrap();
    let context = mail::seal_context(&token.secret_hash);
    let secret = harness.state.keys.unseal(Purpose::MailToken, context, &mail.sealed).unwrap();
    mail::token(user_id, &String::from_utf8(secret).unwrap())
}

fn confirming() -> Harness {
    let accounts =
        AuthenticationAccounts { require_email_verification: true, ..AuthenticationAccounts::default() };
    Harness::with_config(Config { authentication_accounts: accounts, ..Config::default() })
}

/// Registers where addresses are to be confirmed; the answer.
fn apply_for(harness: &Harness, name: &str) -> String {
    let body = format!(r#"{{"username":"{name}","email":"{name}@example.com","password":"{PASSWORD}"}}"#);
    let (status, text) = post(harness, "/auth/register", &body);
    assert_eq!(status, 200, "{text}");
    text
}

fn confirmed(harness: &Harness, name: &str) -> Account {
    let text = apply_for(harness, name);
    assert_eq!(verify(harness, &mailed(harness)), 200);
    let token = text_at(&login(harness, name, PASSWORD).1, &["token"]);
    Account { id: text_at(&text, &["user", "id"]).parse().unwrap(), token }
}

#[test]
fn a_forgotten_password_is_chosen_anew() {
    let harness = Harness::default();
    let alice = register(&harness, "alice");
    for name in ["alice", "Alice@example.com"] {
        (0..5).for_each(|_| drop(login(&harness, name, "wrong")));
        assert_eq!(login(&harness, name, PASSWORD).0, 403, "locked");
    }
    request(&harness, "ALICE@example.com");
    assert_eq!(waiting(&harness), [("password_reset", "alice@example.com".to_string())], "as it is stored");
    let token = mailed(&harness);
    assert!(token.strip_prefix(&format!("email.{}.", alice.id)).is_some_and(|secret| secret.len() == 43));
    assert_eq!(confirm(&harness, &token, "short"), 400);
    assert_eq!(confirm(&harness, &format!("{token}x"), NEW), 401);
    assert_eq!(confirm(&harness, &token[..token.len() - 1], NEW), 401);
    assert_eq!(me(&harness, &alice.token), 200);
    harness.outputs.borrow_mut().clear();
    assert_eq!(confirm(&harness, &token, NEW), 200, "what was refused has not used it up");
    let revoked = harness.outputs.borrow().iter().any(|output| {
        matches!(output, Output::Change(Change::TokenRevoked { how: Revocation::Security, .. }))
    });
    assert!(revoked, "the gateway hears of it");
    assert_eq!(me(&harness, &alice.token), 401, "all sessions have ended");
    assert_eq!(confirm(&harness, &token, NEW), 401, "it works once");
    assert_eq!(login(&harness, "alice", NEW).0, 200, "nothing is locked any more");
    assert_eq!(login(&harness, "alice@EXAMPLE.com", NEW).0, 200);
    assert_eq!(login(&harness, "alice", PASSWORD).0, 401);
    assert_eq!(waiting(&harness), [("password_changed", "alice@example.com".to_string())]);
}

#[test]
fn a_token_is_good_until_there_is_another_reason_to_doubt_it() {
    let harness = Harness::default();
    let alice = register(&harness, "alice");
    let fresh = || {
        request(&harness, "alice@example.com");
        mailed(&harness)
    };
    let first = fresh();
    let second = fresh();
    assert_eq!(waiting(&harness).len(), 1, "a mail that has not left is replaced");
    assert_eq!(confirm(&harness, &first, NEW), 401);
    assert_eq!(verify(&harness, &second), 401, "it confirms no address");
    harness.advance(HOUR_MS);
    assert_eq!(confirm(&harness, &second, NEW), 401, "an hour");
    let third = fresh();
    let patch = |body: &str| harness.request("PATCH", "/users/@me", Some(&alice.token), Some(body)).0;
    assert_eq!(patch(&format!(r#"{{"password":"{NEW}","current_password":"{PASSWORD}"}}"#)), 200);
    assert_eq!(confirm(&harness, &third, PASSWORD), 401, "a password that was changed meanwhile");
    let fourth = fresh();
    assert_eq!(patch(&format!(r#"{{"email":"a@example.org","current_password":"{NEW}"}}"#)), 200);
    assert_eq!(confirm(&harness, &fourth, PASSWORD), 401, "an address that was changed meanwhile");
    request(&harness, "a@example.org");
    let fifth = mailed(&harness);
    let body = format!(r#"{{"password":"{NEW}"}}"#);
    assert_eq!(harness.request("DELETE", "/users/@me", Some(&alice.token), Some(&body)).0, 200);
    assert_eq!(confirm(&harness, &fifth, PASSWORD), 401, "an account that waits for its deletion");
    let before = waiting(&harness);
    request(&harness, "a@example.org");
    assert_eq!(waiting(&harness), before, "which gets no mail any more");
}

#[test]
fn nothing_tells_whether_anybody_has_an_address() {
    let harness = Harness::default();
    register(&harness, "alice");
    let left = |address: &str| {
        let body = format!(r#"{{"email":"{address}"}}"#);
        let answer = post(&harness, "/auth/password-reset/request", &body);
        let snapshot = harness.state.snapshot();
        let errands: Vec<Errand> =
            snapshot.read().scan(OUTBOX, ()).map(|(_, errand)| errand.into()).collect();
        assert_eq!((errands.len(), snapshot.read().len(MAILS), snapshot.read().len(MAIL_TOKENS)), (1, 0, 0));
        let what = (answer, errands[0].kind, errands[0].what.len());
        let mut tx = harness.state.store.begin().unwrap();
        let keys: Vec<_> = snapshot.read().scan(OUTBOX, ()).map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| assert!(tx.delete(OUTBOX, key)));
        tx.commit().unwrap();
        harness.state.set_snapshot(harness.state.store.snapshot());
        what
    };
    assert_eq!(left("alice@example.com"), left("bobby@example.com"));
    request(&harness, "bobby@example.com");
    assert_eq!(waiting(&harness), []);
    for address in ["", "alice", "alice@", "alice@example", "a b@example.com"] {
        let body = format!(r#"{{"email":"{address}"}}"#);
        for path in ["/auth/password-reset/request", "/auth/verify-email/resend"] {
            assert_eq!(post(&harness, path, &body).0, 400, "{address:?}");
        }
    }
}

#[test]
fn a_mailbox_is_not_filled_by_others() {
    let harness = Harness::default();
    register(&harness, "alice");
    let mut last = String::new();
    for count in 1..=MAIL_TOKENS_PER_HOUR_MAX + 3 {
        request(&harness, "alice@example.com");
        let token = mailed(&harness);
        assert_eq!(token == last, count > MAIL_TOKENS_PER_HOUR_MAX, "{count}");
        last = token;
    }
    assert_eq!(confirm(&harness, &last, NEW), 200, "the last one stays good");
    harness.advance(HOUR_MS);
    request(&harness, "alice@example.com");
    assert_eq!(confirm(&harness, &mailed(&harness), PASSWORD), 200);
}

#[test]
fn who_has_not_confirmed_his_address_does_not_log_in() {
    let harness = confirming();
    let text = apply_for(&harness, "alice");
    let start = r#"{"status":"success","token":null,"user":{"#;
    assert!(
        text.starts_with(start)
            && text.ends_with(r#""challenge_token":null,"methods":null,"expires_in":null}"#),
        "{text}"
    );
    assert_eq!(text_at(&text, &["user", "email_verified"]), "false");
    let (status, refused) = login(&harness, "alice", PASSWORD);
    assert_eq!((status, text_at(&refused, &["error", "reason"])), (403, "email_not_verified".into()));
    assert_eq!(login(&harness, "alice", "wrong").0, 401, "of which only he hears who knows the password");
    let token = mailed(&harness);
    assert_eq!(confirm(&harness, &token, NEW), 401, "it sets no password");
    assert_eq!(verify(&harness, "email.1.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), 401);
    assert_eq!(verify(&harness, &token), 200);
    assert_eq!(verify(&harness, &token), 401);
    let (status, text) = login(&harness, "alice", PASSWORD);
    assert_eq!((status, text_at(&text, &["user", "email_verified"])), (200, "true".into()));
    assert_eq!(waiting(&harness), [], "the first sign-in is no news");
}

#[test]
fn another_confirmation_is_sent_to_those_who_need_one() {
    let harness = confirming();
    let resend = |address: &str| ask(&harness, "/auth/verify-email/resend", address);
    apply_for(&harness, "alice");
    let first = mailed(&harness);
    resend("alice@example.com");
    let second = mailed(&harness);
    assert_eq!(verify(&harness, &first), 401);
    harness.advance(DAY_MS - 1);
    assert_eq!(verify(&harness, &second), 200, "a day");
    resend("alice@example.com");
    resend("nobody@example.com");
    assert_eq!(waiting(&harness), []);
    apply_for(&harness, "bob");
    let token = mailed(&harness);
    harness.advance(DAY_MS);
    assert_eq!(verify(&harness, &token), 401);
    resend("bob@example.com");
    assert_eq!(verify(&harness, &mailed(&harness)), 200);
}

#[test]
fn another_address_is_confirmed_anew() {
    let harness = confirming();
    let alice = confirmed(&harness, "alice");
    let patch = |body: &str| harness.request("PATCH", "/users/@me", Some(&alice.token), Some(body));
    let (status, text) = patch(r#"{"email":"ALICE@example.com"}"#);
    assert_eq!((status, text_at(&text, &["email_verified"])), (200, "true".into()), "the same mailbox");
    let (status, text) = patch(r#"{"email":"al@example.org"}"#);
    assert_eq!((status, text_at(&text, &["email_verified"])), (200, "false".into()), "{text}");
    let want = [("email_changed", "ALICE@example.com"), ("email_confirmation", "al@example.org")];
    assert_eq!(waiting(&harness), want.map(|(kind, to)| (kind, to.to_string())));
    let first = mailed(&harness);
    assert_eq!(me(&harness, &alice.token), 200, "sessions stay");
    assert_eq!(login(&harness, "alice", PASSWORD).0, 403);
    assert_eq!(patch(r#"{"email":"alison@example.org"}"#).0, 200);
    assert_eq!(verify(&harness, &first), 401, "a token is for one address");
    assert_eq!(verify(&harness, &mailed(&harness)), 200);
    assert_eq!(login(&harness, "alice", PASSWORD).0, 200);
    let plain = Harness::default();
    let bob = register(&plain, "bob");
    let body = r#"{"email":"b@example.org"}"#;
    let text = plain.request("PATCH", "/users/@me", Some(&bob.token), Some(body)).1;
    assert_eq!(text_at(&text, &["email_verified"]), "true", "where nobody asks for it");
    assert_eq!(waiting(&plain), [("email_changed", "bob@example.com".to_string())]);
}

#[test]
fn a_sign_in_from_a_new_place_is_told_once() {
    let harness = Harness::default();
    let alice = register(&harness, "alice");
    let sign_in = |address: &str| {
        let snapshot = harness.state.snapshot();
        let phc = snapshot.read().get(CREDENTIALS, UserId(alice.id)).unwrap().phc.to_string();
        let token = NewToken {
            secret_hash: Secret([1; 32]),
            ip_address: address.into(),
            user_agent: None,
            life_ms: DAY_MS,
            count_max: 10,
        };
        let op = TokenCreate { user_id: UserId(alice.id), name: 1, phc: Secret(phc), token };
        harness.apply(&Command::new(UserId(0), op.into())).unwrap();
    };
    sign_in("127.0.0.1");
    assert_eq!(waiting(&harness), [], "where he has registered");
    for address in ["192.0.2.1", "2001:db8::1", "192.0.2.1", "2001:db8::2", "127.0.0.1"] {
        sign_in(address);
    }
    let sources: Vec<String> = mails(&harness).into_iter().map(|(_, mail)| mail.source).collect();
    assert_eq!(sources, ["192.0.2.1", "2001:db8::1"]);
    assert!(mails(&harness).iter().all(|(_, mail)| mail.kind == mail_kind::NEW_SIGN_IN));
    (0..20).for_each(|index| sign_in(&format!("198.51.100.{index}")));
    assert_eq!(waiting(&harness).len(), 22);
    sign_in("127.0.0.1");
    assert_eq!(waiting(&harness).len(), 23, "after many others it is new again");
}

#[test]
fn whose_account_will_be_deleted_is_reminded() {
    let harness = Harness::default();
    let alice = register(&harness, "alice");
    let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
    assert_eq!(harness.request("DELETE", "/users/@me", Some(&alice.token), Some(&body)).0, 200);
    let kinds = |days: u64| {
        harness.advance(days * DAY_MS);
        harness.apply(&Command::new(UserId(0), Sweep { records_max: 100 }.into())).unwrap();
        mails(&harness)
            .into_iter()
            .map(|(_, mail)| (mail_kind::text(mail.kind), mail.term_ms / DAY_MS))
            .collect()
    };
    let kinds: Vec<Vec<(&str, u64)>> = [22, 1, 5, 1].into_iter().map(kinds).collect();
    let (scheduled, reminder) = (("deletion_scheduled", 30), "deletion_reminder");
    assert_eq!(kinds[0], [scheduled]);
    assert_eq!(kinds[1], [scheduled, (reminder, 7)]);
    assert_eq!(kinds[2], [scheduled, (reminder, 7)]);
    assert_eq!(kinds[3], [scheduled, (reminder, 7), (reminder, 1)]);
    harness.advance(2 * DAY_MS);
    harness.apply(&Command::new(UserId(0), Sweep { records_max: 100 }.into())).unwrap();
    assert_eq!(waiting(&harness), [], "nothing is mailed to who is gone");
}
