//! Registration, login, sessions.

use super::answer::{answer_login, answer_new_login, answer_unconfirmed};
use super::email_verification::require_admitted;
use super::lockout::count_failure;
use super::mail_token::{CONFIRMATION_MS, new_mail_token};
use super::rules::{
    self, by_login, check_age, check_password, check_username, checked_email, default_tier, login_key,
    login_name, require_email_free,
};
use crate::api::authenticate::{SESSION_SECRET_LEN, bearer, hash_secret, new_secret};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, EMAIL, Flag, Formed, Int, Needed, Or, Text, fields};
use crate::api::new_names;
use crate::api::touch;
use crate::config::Config;
use crate::domain::identity::account::{self, Email, Entry, Register};
use crate::domain::identity::credential::Secret;
use crate::domain::identity::token::{
    self, NewToken, SessionResponse, TokenCreate, TokenRevoke, TokenRevokeAll, TokenTouch,
};
use crate::domain::identity::two_factor;
use crate::domain::{Refusal, Result, Revocation};
use crate::id::{TokenId, UserId};
use crate::limits::{HOUR_MS, USER_AGENT_LEN_MAX};
use crate::store::records::{badge, tier};
use crate::store::tables::{CREDENTIALS, USERS};
use crate::wire::json::Array;
use crate::wire::json::shape::shape;

fields! {
    /// A new account.
    pub REGISTER: RegisterRequest {
        username: Needed<Text> = Needed(Text(Chars::Configured(rules::username_range))),
        email: Needed<Formed> = Needed(Formed(Text(Chars::Any), EMAIL)),
        password: Needed<Text> = Needed(Text(Chars::Configured(rules::password_range))),
        /// A date, YYYY-MM-DD; asked for where an age is asked for by it.
        dob: Text = Text(Chars::Any),
        /// In years; asked for where an age is asked for by number.
        age: Int = Int(0..=u64::MAX),
        /// Instead of a number.
        age_verified: Flag = Flag,
    }
}

fields! {
    /// Who somebody is.
    pub LOGIN: LoginRequest {
        /// Or the e-mail address.
        username: Needed<Text> = Needed(Text(Chars::Any)),
        password: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

fields! {
    /// Which sessions to end. No body is an empty one.
    pub REVOKE_ALL: RevokeAllSessionsRequest {
        /// Not the one that asks.
        except_current: Or<Flag, bool> = Or(Flag, true),
    }
}

/// Whose commands these are: nobody is logged in yet.
pub(super) const SERVER: UserId = UserId(0);

/// A fresh secret and what a session that it opens is made of.
pub(super) fn new_token(ctx: &Ctx<'_>) -> (String, NewToken) {
    let secret = new_secret::<SESSION_SECRET_LEN>();
    let user_agent = ctx
        .request
        .head
        .header("user-agent")
        .map(|value| String::from_utf8_lossy(value).chars().take(USER_AGENT_LEN_MAX).collect::<String>());
    let config = &ctx.state.config;
    let token = NewToken {
        secret_hash: Secret(hash_secret(&secret)),
        ip_address: ctx.request.ip.to_string(),
        user_agent,
        life_ms: touch::session_times(&config.authentication_sessions).0,
        count_max: config.authentication_sessions.max_per_user,
    };
    (secret, token)
}

pub async fn register(ctx: &mut Ctx<'_>) -> Result<Step> {
    let New { username, email, typed, password, age_verified } = registration(ctx)?;
    new_names::require_allowed(ctx, &username).await?;
    // Advice only, but it saves a hash.
    account::require_free(ctx.snapshot().read(), Some(&username), None, None)?;
    require_email_free(ctx.snapshot().read(), &typed, None)?;
    let phc = Secret(ctx.hash(password).await?);
    let config = &ctx.state.config;
    let (secret, entry) = match config.authentication_accounts.require_email_verification {
        true => (String::new(), Entry::Confirmation(new_mail_token(ctx, CONFIRMATION_MS))),
        false => {
            let (secret, token) = new_token(ctx);
            (secret, Entry::Session(token))
        }
    };
    let (tier, badges) = beginnings(config);
    let email = Box::new(email);
    let op = Register { username, email, phc, age_verified, tier, badges, entry };
    match ctx.decide(SERVER, op).await? {
        (user_id, Some(token_id)) => answer_new_login(ctx, (user_id, token_id), &secret),
        (user_id, None) => answer_unconfirmed(ctx, user_id),
    }
}

/// Tier and badges of a new account.
pub(super) fn beginnings(config: &Config) -> (u8, Vec<u8>) {
    match config.user_features.alpha_registration_enabled {
        true => (tier::ALPHA, vec![badge::ALPHA_TESTER]),
        false => (default_tier(config), Vec::new()),
    }
}

/// An account that somebody asks for.
struct New {
    username: String,
    email: Email,
    /// The e-mail address as it was typed.
    typed: String,
    password: String,
    age_verified: bool,
}

fn registration(ctx: &mut Ctx<'_>) -> Result<New> {
    let config = ctx.state.config.clone();
    if !config.authentication_accounts.allow_registration {
        return Err(Refusal::RegistrationClosed.into());
    }
    let body = ctx.body()?;
    let username = REGISTER.username.read(&body)?;
    check_username(&config.authentication_accounts, username)?;
    let typed = REGISTER.email.read(&body)?;
    let email = checked_email(typed)?;
    let password = REGISTER.password.read(&body)?;
    check_password(&config.authentication_password, "password", password)?;
    let age_verified = check_age(&config.authentication_accounts, &body, ctx.now().unix_ms)?;
    ctx.account = login_key(username);
    let (username, typed, password) = (username.to_string(), typed.to_string(), password.to_string());
    Ok(New { username, email, typed, password, age_verified })
}

pub async fn login(ctx: &mut Ctx<'_>) -> Result<Step> {
    let Attempt { name, password, found } = attempt(ctx)?;
    let (user_id, phc) = found.unzip();
    // The same work for unknown names, so that nobody learns from the time which there are.
    let matched = ctx.verify(password, phc.clone()).await?;
    let (true, Some(user_id), Some(phc)) = (matched, user_id, phc) else {
        let user_id = user_id.unwrap_or(UserId(0));
        return Err(count_failure(ctx, user_id, Some(name), Refusal::CredentialsInvalid.into()).await);
    };
    let snapshot = ctx.snapshot();
    let user = snapshot.read().get(USERS, user_id).ok_or(Refusal::CredentialsInvalid)?;
    require_admitted(&ctx.state.config, snapshot.read(), user)?;
    drop(snapshot);
    if two_factor::of(ctx.snapshot().read(), user_id).is_some() {
        return super::two_factor::challenge(ctx, user_id, name, phc).await;
    }
    let (secret, token) = new_token(ctx);
    let session = ctx.decide(SERVER, TokenCreate { user_id, name, phc: Secret(phc), token }).await?;
    answer_new_login(ctx, session, &secret)
}

/// A log-in before its password was looked at.
struct Attempt {
    /// Of what was typed.
    name: u64,
    password: String,
    /// Whose name it is, and the PHC string of his password.
    found: Option<(UserId, String)>,
}

fn attempt(ctx: &mut Ctx<'_>) -> Result<Attempt> {
    let body = ctx.body()?;
    let typed = LOGIN.username.read(&body)?;
    let password = LOGIN.password.read(&body)?.to_string();
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let name = login_key(&login_name(typed));
    ctx.account = name;
    // Asked of what was typed, not of the account: a name that nobody has is locked like any other.
    account::require_name_unlocked(read, name, ctx.now_ms())?;
    let found = by_login(read, typed).and_then(|id| Some((id, read.get(CREDENTIALS, id)?.phc.to_string())));
    // Who has no password has none that is right: it takes as long and is told alike.
    let found = found.filter(|(_, phc)| !phc.is_empty());
    Ok(Attempt { name, password, found })
}

pub fn logout(ctx: &mut Ctx<'_>) -> Result<Step> {
    let token_id = ctx.principal().token_id;
    ctx.submit_success(TokenRevoke { token_id, how: Revocation::LoggedOut })
}

pub fn refresh(ctx: &mut Ctx<'_>) -> Result<Step> {
    let token = bearer(&ctx.request.head)?.to_string();
    let config = &ctx.state.config;
    let op = TokenTouch {
        token_id: ctx.principal().token_id,
        life_ms: touch::session_times(&config.authentication_sessions).0,
        // Asked for in so many words: also when mere use does not extend sessions.
        threshold_ms: config.authentication_sessions.extend_threshold_hours * HOUR_MS,
    };
    ctx.submit(op, move |ctx, _| {
        let user_id = ctx.user_id();
        answer_login(ctx, user_id, &token)
    })
}

pub fn session_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, principal, now) = (ctx.snapshot(), ctx.principal(), ctx.now());
    let asking = ctx.asking(&snapshot);
    ctx.json(|out| {
        let mut list = Array::new(out);
        // The token of a bot is no session.
        for (id, session) in token::live(asking).filter(|_| !principal.is_bot()) {
            SessionResponse::write(list.item(), id, session, now.offset(), id == principal.token_id);
        }
    })
}

pub fn session_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let token_id: TokenId = ctx.path_session()?;
    ctx.submit_success(TokenRevoke { token_id, how: Revocation::Security })
}

pub fn session_revoke_all(ctx: &mut Ctx<'_>) -> Result<Step> {
    let except_current = REVOKE_ALL.except_current.read(&ctx.body()?)?;
    let except = except_current.then_some(ctx.principal().token_id);
    ctx.submit(TokenRevokeAll { except }, |ctx, count| {
        ctx.json(|out| RevokeAllSessionsResponse::write(out, count))
    })
}

pub fn password_requirements(ctx: &mut Ctx<'_>) -> Result<Step> {
    let config = ctx.state.config.clone();
    ctx.json(|out| PasswordRequirementsResponse::write(out, &config))
}

shape! {
    /// How many sessions were ended.
    pub RevokeAllSessionsResponse(count: u64) {
        success: bool = true,
        revoked_count: u64 = count,
    }
}

shape! {
    /// What a registration must meet.
    pub PasswordRequirementsResponse(config: &Config) {
        min_length: u64 = config.authentication_password.min_length,
        max_length: u64 = config.authentication_password.max_length,
        require_uppercase: bool = config.authentication_password.require_uppercase,
        require_lowercase: bool = config.authentication_password.require_lowercase,
        require_digit: bool = config.authentication_password.require_digit,
        require_special: bool = config.authentication_password.require_special,
        age_gate_enabled: bool = config.authentication_accounts.age_gate_enabled,
        age_verification_type: str = &config.authentication_accounts.age_verification_type,
        minimum_age: u64 = config.authentication_accounts.minimum_age,
        docs_enabled: bool = config.docs.enabled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::authenticate::verify;
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{Account, PASSWORD, login, register, text_at};
    use crate::config::{AuthenticationAccounts, AuthenticationPassword, UserFeatures};
    use crate::domain::identity::account::LoginFailed;
    use crate::domain::{Change, Output};
    use crate::domain::{Command, Reply};
    use crate::effect::password::hash_as_typed;
    use crate::store::records::{Credential, User, UserRef, account as state};
    use crate::store::tables::USER_EMAILS;

    fn post(harness: &Harness, path: &str, token: Option<&str>, body: &str) -> (u16, String) {
        harness.request("POST", path, token, Some(body))
    }

    fn me(harness: &Harness, token: &str) -> u16 {
        harness.request("GET", "/users/@me", Some(token), None).0
    }

    fn revoked(harness: &Harness) -> Vec<(u64, Revocation)> {
        let outputs = std::mem::take(&mut *harness.outputs.borrow_mut());
        let changes = outputs.iter().filter_map(|output| match output {
            Output::Change(Change::TokenRevoked { token_id, how, .. }) => Some((token_id.0, *how)),
            _ => None,
        });
        changes.collect()
    }

    fn session_of(token: &str) -> u64 {
        token.split_once('.').unwrap().0.parse().unwrap()
    }

    #[test]
    fn register_logs_in_at_once() {
        let harness = Harness::default();
        let body = format!(
            r#"{{"username":"Alice","email":"Alice@Example.com","password":"{PASSWORD}","age":"?","more":[1]}}"#
        );
        let (status, text) = post(&harness, "/auth/register", None, &body);
        assert_eq!(status, 200);
        let (id, token) = (text_at(&text, &["user", "id"]), text_at(&text, &["token"]));
        assert_eq!(token.split_once('.').unwrap().1.len(), 43);
        assert_eq!(
            text,
            format!(
                r#"{{"status":"success","token":"{token}","user":{{"id":"{id}","username":"Alice","email":"Alice@Example.com","avatar_url":"/api/v1/avatars/users/{id}","created_at":1767225600,"email_verified":true,"totp_enabled":false,"age_verified":false,"badges":["alpha_tester"],"deletion_status":"active","deletion_at":null}},"challenge_token":null,"methods":null,"expires_in":null}}"#
            )
        );
        assert_eq!(me(&harness, &token), 200);
        assert_eq!(me(&harness, &format!("{token}x")), 401);
    }

    #[test]
    fn register_refuses() {
        let harness = Harness::default();
        register(&harness, "alice");
        let check = |username: &str, email: &str, password: &str, status: u16, message: &str| {
            let body = format!(r#"{{"username":{username},"email":{email},"password":{password}}}"#);
            let (got, text) = post(&harness, "/auth/register", None, &body);
            assert_eq!(got, status, "{body}: {text}");
            assert!(text.contains(message), "{body}: {text}");
        };
        let (good, mail, pass) = ("\"frank\"", "\"frank@example.com\"", "\"CorrectHorse1!battery\"");
        check("\"ab\"", mail, pass, 400, "Invalid username: must be 3 to 32 characters, not 2");
        check(&format!("{:?}", "a".repeat(33)), mail, pass, 400, "Invalid username");
        for name in
            ["\"bad name\"", "\"bad-name!\"", "\"frönk\"", "5", "null", "\"Admin\"", "\"NULL\"", "\"\""]
        {
            check(name, mail, pass, 400, "Invalid username");
        }
        for email in [
            "\"notanemail\"",
            "\"a@b\"",
            "\"a@localhost\"",
            "\"F <f@x.org>\"",
            "\"f@[127.0.0.1]\"",
            "\"\"",
            "null",
            "[]",
        ] {
            check(good, email, pass, 400, "Invalid email");
        }
        check(good, &format!("\"{}@x.org\"", "a".repeat(2_000)), pass, 400, "Invalid email");
        check(
            good,
            mail,
            "\"short\"",
            400,
            "needs at least 12 characters, an upper-case letter, a digit, a character",
        );
        check(good, mail, "\"alllowercaseletters1!\"", 400, "needs an upper-case letter\"");
        check(good, mail, "\"NoSpecials12345\"", 400, "needs a character that is neither");
        check(good, mail, &format!("\"aA1!{}\"", "x".repeat(125)), 400, "needs at most 128 characters");
        check("\"aLICE\"", mail, pass, 409, "Username is already taken");
        check(good, "\"ALICE@example.COM\"", pass, 409, "Email is already registered");
        assert_eq!(harness.request("POST", "/auth/register", None, None).0, 400);

        let config = Config {
            authentication_accounts: AuthenticationAccounts {
                allow_registration: false,
                ..AuthenticationAccounts::default()
            },
            ..Config::default()
        };
        let (status, text) = post(&Harness::with_config(config), "/auth/register", None, "{}");
        assert_eq!((status, text.contains("switched off")), (403, true));
    }

    #[test]
    fn age_gate() {
        let check = |kind: &str, fields: &str, want: u16| {
            let config = Config {
                authentication_accounts: AuthenticationAccounts {
                    age_gate_enabled: true,
                    age_verification_type: kind.into(),
                    ..AuthenticationAccounts::default()
                },
                ..Config::default()
            };
            let body =
                format!(r#"{{"username":"alice","email":"a@example.com","password":"{PASSWORD}"{fields}}}"#);
            let (status, text) = post(&Harness::with_config(config), "/auth/register", None, &body);
            assert_eq!(status, want, "{kind} {fields}: {text}");
            assert!(status != 200 || text.contains(r#""age_verified":true"#), "{text}");
        };
        check("boolean", "", 400);
        check("boolean", r#","age":13"#, 200);
        check("boolean", r#","age":12,"age_verified":true"#, 400);
        check("boolean", r#","age":"13""#, 400);
        check("boolean", r#","age_verified":true"#, 200);
        check("boolean", r#","age_verified":false"#, 400);
        // The clock of the harness stands at 2026-01-01.
        check("dob", "", 400);
        check("dob", r#","dob":"2013-01-01""#, 200);
        check("dob", r#","dob":"2013-01-02""#, 400);
        check("dob", r#","dob":"2000-02-30""#, 400);
        check("dob", r#","dob":"2000-02-29""#, 200);
        check("dob", r#","dob":"2030-01-01""#, 400);
        check("dob", r#","dob":"01.01.2000""#, 400);
        check("dob", r#","dob":"ü000-01-0""#, 400);
    }

    #[test]
    fn default_tier_without_alpha() {
        let config = Config {
            user_features: UserFeatures {
                alpha_registration_enabled: false,
                default_tier: "premium".into(),
                ..UserFeatures::default()
            },
            ..Config::default()
        };
        let harness = Harness::with_config(config);
        let alice = register(&harness, "alice");
        let (_, text) = harness.request("GET", "/users/@me/features", Some(&alice.token), None);
        assert_eq!((text_at(&text, &["tier"]), text_at(&text, &["badges"])), ("premium".into(), "[]".into()));
    }

    #[test]
    fn accounts_from_before_spellings_were_unified() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        // As an older server stored them: the domain and the password as they were typed.
        let mut tx = harness.state.store.begin().unwrap();
        let id = UserId(alice.id);
        let mut credential = Credential::from(tx.get(CREDENTIALS, id).unwrap());
        credential.phc = hash_as_typed("Cafe\u{301}-Horse-1!");
        tx.put(CREDENTIALS, id, &credential);
        tx.commit().unwrap();
        let store_email = |email: &str| {
            let mut tx = harness.state.store.begin().unwrap();
            tx.put(USER_EMAILS, email, &UserRef::from(id));
            tx.commit().unwrap();
            harness.state.set_snapshot(harness.state.store.snapshot());
        };
        store_email("alice@xn--bcher-kva.example");
        for name in ["alice@xn--bcher-kva.example", "Alice@B\u{fc}cher.example"] {
            for password in ["Cafe\u{301}-Horse-1!", "Caf\u{e9}-Horse-1!"] {
                assert_eq!(login(&harness, name, password).0, 200, "{name} {password}");
            }
        }
        assert_eq!(login(&harness, "alice", "Cafe-Horse-1!").0, 401);
        let bob = register(&harness, "bob");
        // Spellings that no rule of today leads to, by their bytes or as another keyboard sends them.
        let decomposed = "jos\u{e9}@b\u{fc}cher.example";
        for (stored, typed) in [
            ("alice@xn--bcher-kva.example", "alice@b\u{fc}cher.example"),
            ("jose\u{301}@example.com", "Jose\u{301}@example.com"),
            ("jose\u{301}@example.com", "Jos\u{e9}@example.com"),
            ("x@bu\u{308}cher.example", "x@Bu\u{308}cher.example"),
            ("x@bu\u{308}cher.example", "x@b\u{fc}cher.example"),
            ("jose\u{301}@bu\u{308}cher.example", decomposed),
            ("x@\u{ff42}\u{ff49}\u{ff47}.example", "x@\u{ff22}\u{ff29}\u{ff27}.example"),
        ] {
            store_email(stored);
            assert_eq!(login(&harness, typed, "Caf\u{e9}-Horse-1!").0, 200, "{typed:?}");
            let body = format!(r#"{{"username":"other","email":"{typed}","password":"{PASSWORD}"}}"#);
            assert_eq!(post(&harness, "/auth/register", None, &body).0, 409, "{typed:?}");
            let body = format!(r#"{{"email":"{typed}"}}"#);
            let (status, text) = harness.request("PATCH", "/users/@me", Some(&bob.token), Some(&body));
            assert_eq!(status, 409, "{typed:?}: {text}");
        }
    }

    #[test]
    fn login_by_name_or_address() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        for name in ["alice", "ALICE", "Alice@Example.COM"] {
            let (status, text) = login(&harness, name, PASSWORD);
            assert_eq!((status, text_at(&text, &["user", "id"])), (200, alice.id.to_string()), "{name}");
            assert_eq!(me(&harness, &text_at(&text, &["token"])), 200);
        }
        let (wrong_password, unknown) = (login(&harness, "alice", "x"), login(&harness, "nobody", PASSWORD));
        assert_eq!(wrong_password.0, 401);
        assert_eq!(wrong_password, unknown);
        for name in ["", "@", &"a".repeat(5_000), &format!("{}@x.org", "ß".repeat(5_000))] {
            assert_eq!(login(&harness, name, "").0, 401);
        }
        assert_eq!(post(&harness, "/auth/login", None, r#"{"username":"alice"}"#).0, 400);
        assert_eq!(post(&harness, "/auth/login", None, r#"{"username":5,"password":"x"}"#).0, 400);
    }

    /// Sets the state of an account as an administrator would.
    fn set_state(harness: &Harness, account: &Account, code: u8) {
        let id = UserId(account.id);
        let mut tx = harness.state.store.begin().unwrap();
        let user = User { state: code, ..User::from(tx.get(USERS, id).unwrap()) };
        tx.put(USERS, id, &user);
        tx.commit().unwrap();
        harness.state.set_snapshot(harness.state.store.snapshot());
    }

    #[test]
    fn locked_and_frozen_accounts() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        for (code, reason) in [(state::LOCKED, "suspended"), (state::FROZEN, "frozen")] {
            set_state(&harness, &alice, code);
            assert_eq!(login(&harness, "alice", "wrong").0, 401, "no probing");
            let (status, text) = login(&harness, "alice", PASSWORD);
            assert_eq!((status, text_at(&text, &["error", "reason"])), (403, reason.into()));
            assert_eq!(me(&harness, &alice.token), 403);
        }
    }

    #[test]
    fn sessions_of_a_user() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        harness.advance(5_000);
        let other = text_at(&login(&harness, "alice", PASSWORD).1, &["token"]);
        let (status, text) = harness.request("GET", "/auth/sessions", Some(&other), None);
        assert_eq!(status, 200);
        let (first, second) = (session_of(&alice.token), session_of(&other));
        assert_eq!(
            text,
            format!(
                r#"[{{"id":"{first}","device_id":null,"ip_address":"127.0.0.1","user_agent":null,"created_at":1767225600,"expires_at":1767830400,"last_activity":1767225600,"current":false}},{{"id":"{second}","device_id":null,"ip_address":"127.0.0.1","user_agent":null,"created_at":1767225605,"expires_at":1767830405,"last_activity":1767225605,"current":true}}]"#
            )
        );
        let delete =
            |id: &str| harness.request("DELETE", &format!("/auth/sessions/{id}"), Some(&other), None).0;
        let bob = register(&harness, "bob");
        assert_eq!(delete("abc"), 400);
        assert_eq!(delete(&session_of(&bob.token).to_string()), 404, "not one's own");
        revoked(&harness);
        assert_eq!(delete(&first.to_string()), 200);
        assert_eq!(revoked(&harness), [(first, Revocation::Security)]);
        assert_eq!(delete(&first.to_string()), 404);
        assert_eq!(me(&harness, &alice.token), 401);

        assert_eq!(harness.request("POST", "/auth/logout", Some(&other), None).0, 200);
        assert_eq!(revoked(&harness), [(second, Revocation::LoggedOut)]);
        assert_eq!(harness.request("POST", "/auth/logout", Some(&other), None).0, 401);
    }

    #[test]
    fn eleventh_session_revokes_the_least_recently_active() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let tokens: Vec<String> = (0..9)
            .map(|_| {
                harness.advance(1_000);
                text_at(&login(&harness, "alice", PASSWORD).1, &["token"])
            })
            .collect();
        harness.advance(token::TOUCH_INTERVAL_MS);
        // The oldest was used just now, so the second oldest is the least recently active.
        let touch = TokenTouch { token_id: TokenId(session_of(&alice.token)), life_ms: 0, threshold_ms: 0 };
        harness.apply(&Command::new(UserId(alice.id), touch.into())).unwrap();
        revoked(&harness);
        assert_eq!(login(&harness, "alice", PASSWORD).0, 200);
        assert_eq!(revoked(&harness), [(session_of(&tokens[0]), Revocation::Security)]);
        assert_eq!((me(&harness, &alice.token), me(&harness, &tokens[0])), (200, 401));
    }

    #[test]
    fn revoke_all() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let other = text_at(&login(&harness, "alice", PASSWORD).1, &["token"]);
        let all = |token: &str, body: Option<&str>| {
            harness.request("POST", "/auth/sessions/revoke-all", Some(token), body)
        };
        assert_eq!(all(&other, Some(r#"{"except_current":"no"}"#)).0, 400);
        assert_eq!(all(&other, None), (200, r#"{"success":true,"revoked_count":1}"#.into()));
        assert_eq!((me(&harness, &alice.token), me(&harness, &other)), (401, 200));
        let (status, text) = all(&other, Some(r#"{"except_current":false}"#));
        assert_eq!((status, text_at(&text, &["revoked_count"])), (200, "1".into()));
        assert_eq!(me(&harness, &other), 401);
    }

    #[test]
    fn refresh_extends_near_the_end() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let expires = || {
            let (_, text) = harness.request("GET", "/auth/sessions", Some(&alice.token), None);
            text_at(&text, &["0", "expires_at"]).parse::<u64>().unwrap()
        };
        let refresh = || harness.request("POST", "/auth/refresh", Some(&alice.token), None);
        let before = expires();
        let (status, text) = refresh();
        assert_eq!((status, text_at(&text, &["token"])), (200, alice.token.clone()));
        assert_eq!(expires(), before, "more than a day is left");
        harness.advance(145 * HOUR_MS);
        assert_eq!(refresh().0, 200);
        assert_eq!(expires(), before + 145 * 3_600);
        harness.advance(168 * HOUR_MS);
        assert_eq!(refresh().0, 401, "too late");
    }

    #[test]
    fn use_of_a_session_is_written_once_a_minute() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let token_id = TokenId(session_of(&alice.token));
        let due = || {
            let (snapshot, now_ms) = (harness.state.snapshot(), harness.state.now_ms());
            let (principal, _) =
                verify(snapshot.read(), &alice.token, now_ms, TokenId(0), &harness.state.config).unwrap();
            assert_eq!(principal.token_id, token_id);
            touch::touch(&harness.state, principal)
        };
        harness.advance(59_999);
        assert_eq!(due(), None);
        harness.advance(1);
        let command = due().unwrap();
        assert_eq!(due(), None, "it is under way");
        harness.advance(token::TOUCH_INTERVAL_MS);
        assert_eq!(due(), Some(command.clone()), "it was lost");
        assert_eq!(harness.apply(&command), Ok(Reply::Changed(true)));
        assert_eq!(harness.apply(&command), Ok(Reply::Changed(false)));
        assert_eq!(due(), None);
        let stranger = Command::new(UserId(1), command.op);
        assert_eq!(harness.apply(&stranger).unwrap_err().status, 401);
    }

    #[test]
    fn requirements_follow_the_configuration() {
        let config = Config {
            authentication_password: AuthenticationPassword {
                min_length: 9,
                ..AuthenticationPassword::default()
            },
            ..Config::default()
        };
        let harness = Harness::with_config(config);
        assert_eq!(
            harness.request("GET", "/auth/password-requirements", None, None).1,
            r#"{"min_length":9,"max_length":128,"require_uppercase":true,"require_lowercase":true,"require_digit":true,"require_special":true,"age_gate_enabled":false,"age_verification_type":"boolean","minimum_age":13,"docs_enabled":true}"#
        );
    }

    #[test]
    fn commands_of_the_server_are_closed_to_users() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let op = LoginFailed { user_id: UserId(alice.id), name: None, failures_max: 1, lockout_ms: 1 };
        assert_eq!(harness.apply(&Command::new(UserId(alice.id), op.into())).unwrap_err().status, 403);
    }

    #[test]
    fn a_password_changed_meanwhile_opens_no_session() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let token = NewToken {
            secret_hash: Secret([0; 32]),
            ip_address: String::new(),
            user_agent: None,
            life_ms: 1,
            count_max: 1,
        };
        let op =
            TokenCreate { user_id: UserId(alice.id), name: 1, phc: Secret("an older one".into()), token };
        assert_eq!(harness.apply(&Command::new(UserId(0), op.into())).unwrap_err().status, 401);
        assert_eq!(me(&harness, &alice.token), 200);
    }
}
