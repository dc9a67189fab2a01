//! Profiles: one's own, those of others, tier and badges.

use super::lockout::{MINUTE_MS, verify_own};
use super::mail_token::{CONFIRMATION_MS, new_mail_token};
use super::rules::{self, check_password, check_username, checked_email, require_email_free};
use super::two_factor;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, EMAIL, Formed, Needed, Text, Unused, fields};
use crate::api::new_names;
use crate::domain::identity::account::{self, AccountDelete, Email, PasswordChange, ProfileEdit};
use crate::domain::identity::credential::Secret;
use crate::domain::identity::tier;
use crate::domain::{Error, Refusal, Result, view};
use crate::store::tables::{TOKENS, USERS};

const DAY_MS: u64 = 86_400_000;

fn answer_me(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    let user = snapshot.read().get(USERS, user_id).ok_or(Refusal::TokenInvalid)?;
    let totp = crate::domain::identity::two_factor::of(snapshot.read(), user_id).is_some();
    let offset = ctx.now().offset();
    ctx.json(|out| view::UserResponse::write(out, user_id, user, totp, offset))
}

fields! {
    /// What changes of one's account; the rest stays.
    pub ME_EDIT: UserUpdateRequest {
        username: Text = Text(Chars::Configured(rules::username_range)),
        email: Formed = Formed(Text(Chars::Any), EMAIL),
        password: Text = Text(Chars::Configured(rules::password_range)),
        /// Asked for with a new password, and with a new address unless the login is fresh.
        current_password: Text = Text(Chars::Any),
        avatar_url: Unused = Unused,
    }
}

fields! {
    /// That it is oneself who deletes one's account.
    pub ME_DELETE: UserDeletionRequest {
        password: Needed<Text> = Needed(Text(Chars::Any)),
        /// Asked for with two-factor login.
        code: Text = Text(Chars::Any),
    }
}

fields! {
    /// Whom to look for.
    pub USER_SEARCH: UserSearchQuery {
        username: Needed<Text> = Needed(Text(Chars::Any)),
    }
}

pub fn me_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer_me(ctx)
}

/// Whether the session that asks was opened so lately that its password need not be asked for again.
pub(super) fn is_fresh(ctx: &Ctx<'_>) -> bool {
    let fresh_ms = ctx.state.config.authentication_security.fresh_login_minutes * MINUTE_MS;
    let snapshot = ctx.snapshot();
    let session = snapshot.read().get(TOKENS, ctx.principal().token_id);
    session.is_some_and(|session| ctx.now_ms().saturating_sub(session.created_at.to_native()) < fresh_ms)
}

/// A new password needs the one before; a new e-mail address too, unless somebody has just logged in with it: who
/// finds an open session must not take the account.
pub async fn me_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let Asked { mut edit, typed, password, current } = asked(ctx)?;
    if let Some(username) = &edit.username {
        require_allowed(ctx, username).await?;
    }
    if let Some(current) = current {
        let phc = verify_own(ctx, current, Refusal::PasswordWrong.into()).await?;
        edit.verified = Some(Secret(phc));
    }
    if let Some(password) = password {
        let phc = Secret(ctx.hash(password).await?);
        edit.password = Some(PasswordChange { phc, token_id: ctx.principal().token_id });
    }
    // Apply refuses an address that somebody has, but knows no older spellings: what was typed leads to them.
    if let Some(typed) = typed {
        require_email_free(ctx.snapshot().read(), &typed, Some(ctx.user_id()))?;
    }
    ctx.decide(ctx.user_id(), edit).await?;
    answer_me(ctx)
}

/// A change of one's own account, before a password was looked at.
struct Asked {
    edit: ProfileEdit,
    /// The e-mail address as it was typed.
    typed: Option<String>,
    password: Option<String>,
    /// The password before, where it is looked at.
    current: Option<String>,
}

fn asked(ctx: &mut Ctx<'_>) -> Result<Asked> {
    let config = ctx.state.config.clone();
    let body = ctx.body()?;
    let username = ME_EDIT.username.read(&body)?;
    if let Some(username) = username {
        check_username(&config.authentication_accounts, username)?;
    }
    // The stored address may be sent back, also one from before the rules of today.
    let snapshot = ctx.snapshot();
    let stored = snapshot.read().get(USERS, ctx.user_id()).map(|user| user.email.as_str());
    let typed = ME_EDIT.email.read(&body)?.filter(|&email| Some(email) != stored);
    let email = typed.map(checked_email).transpose()?;
    let password = ME_EDIT.password.read(&body)?;
    password
        .map_or(Ok(()), |password| check_password(&config.authentication_password, "password", password))?;
    let current = ME_EDIT.current_password.read(&body)?;
    ME_EDIT.avatar_url.check(&body)?;

    let subject = match (password, &email) {
        (Some(_), _) => Some("password"),
        (None, Some(email)) if changes_email(ctx, email)? && !is_fresh(ctx) => Some("e-mail address"),
        // Nothing that would ask for it.
        (None, None) => None,
        // Not needed, but a wrong one is a mistake.
        (None, Some(_)) => current.map(|_| "e-mail address"),
    };
    if let (Some(subject), None) = (subject, current) {
        let problem = format!("this field is required to change the {subject}");
        return Err(Error::invalid("current_password", problem));
    }
    let current = subject.and(current).map(str::to_string);
    let is_asked_for = config.authentication_accounts.require_email_verification && email.is_some();
    let confirmation = is_asked_for.then(|| Box::new(new_mail_token(ctx, CONFIRMATION_MS)));
    let username = username.map(str::to_string);
    let edit = ProfileEdit { username, email, confirmation, ..ProfileEdit::default() };
    Ok(Asked { edit, typed: typed.map(str::to_string), password: password.map(str::to_string), current })
}

/// Existing names stay, so one may be sent back.
async fn require_allowed(ctx: &Ctx<'_>, username: &str) -> Result<()> {
    let is_own = {
        let snapshot = ctx.snapshot();
        let user = snapshot.read().get(USERS, ctx.user_id());
        user.is_some_and(|user| user.username == username)
    };
    if is_own { Ok(()) } else { new_names::require_allowed(ctx, username).await }
}

/// Whether that is another address than the one the account has.
fn changes_email(ctx: &Ctx<'_>, email: &Email) -> Result<bool> {
    let snapshot = ctx.snapshot();
    let user = snapshot.read().get(USERS, ctx.user_id()).ok_or(Refusal::TokenInvalid)?;
    Ok(user.email_key != email.key.as_str())
}

pub async fn me_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let config = &ctx.state.config;
    if !config.authentication_account_deletion.enabled {
        return Err(Refusal::DeletionClosed.into());
    }
    let grace_ms = config.authentication_account_deletion.grace_period_days * DAY_MS;
    let reminder_days = &config.authentication_account_deletion.reminder_days_before_purge;
    let reminders_ms = reminder_days.iter().map(|days| days * DAY_MS).collect();
    let (password, code) = {
        let body = ctx.body()?;
        let code = ME_DELETE.code.read(&body)?.map(str::to_string);
        (ME_DELETE.password.read(&body)?.to_string(), code)
    };
    let wrong = Error::invalid("password", "the password is wrong");
    let phc = verify_own(ctx, password, wrong).await?;
    two_factor::require_own(ctx, code.as_deref()).await?;
    ctx.decide(ctx.user_id(), AccountDelete { phc: Secret(phc), grace_ms, reminders_ms }).await?;
    ctx.success()
}

pub fn user_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.path_user()?);
    account::write_profile(&mut ctx.response.body, snapshot.read(), user_id)?;
    Ok(Step::Done)
}

pub fn user_search(ctx: &mut Ctx<'_>) -> Result<Step> {
    let name = ctx.query(USER_SEARCH.username.name)?.filter(|name| !name.trim().is_empty());
    let name = name.ok_or_else(|| Error::invalid(USER_SEARCH.username.name, "this field is required"))?;
    let snapshot = ctx.snapshot();
    let user_id = account::by_name(snapshot.read(), name.trim()).ok_or(Refusal::UserNotFound)?;
    account::write_profile(&mut ctx.response.body, snapshot.read(), user_id)?;
    Ok(Step::Done)
}

pub fn features_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    let user = snapshot.read().get(USERS, user_id).ok_or(Refusal::TokenInvalid)?;
    let code = ctx.principal().tier;
    let shown = usize::try_from(ctx.state.config.user_features.badge_display_limit).unwrap_or(usize::MAX);
    ctx.json(|out| tier::PublicFeaturesResponse::write(out, code, &user.badges, shown))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{PASSWORD, login, payload, register, take_events, text_at};
    use crate::config::Config;
    use crate::config::{AuthenticationAccountDeletion, AuthenticationSecurity};
    use crate::domain::{Audience, Change, EventName, Output, Revocation, intent};
    use crate::id::{ServerId, UserId};
    use crate::store::records::{Member, Nil, Server};
    use crate::store::tables::{DELETIONS, MEMBERS, SERVERS, USER_SERVERS};

    fn patch(harness: &Harness, token: &str, body: &str) -> (u16, String) {
        harness.request("PATCH", "/users/@me", Some(token), Some(body))
    }

    fn login_as(harness: &Harness, name: &str, password: &str) -> String {
        text_at(&login(harness, name, password).1, &["token"])
    }

    #[test]
    fn profiles() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "Bob"));
        let get = |path: &str| harness.request("GET", path, Some(&alice.token), None);
        let public = format!(
            r#"{{"id":"{0}","username":"Bob","avatar_url":"/api/v1/avatars/users/{0}","created_at":1767225600,"badges":["alpha_tester"]}}"#,
            bob.id
        );
        assert_eq!(get(&format!("/users/{}", bob.id)), (200, public.clone()));
        assert_eq!(get("/users/search?username=bOB"), (200, public));
        assert_eq!(text_at(&get("/users/0").1, &["username"]), "System");
        assert_eq!(text_at(&get("/users/@me").1, &["email"]), "alice@example.com");
        for (path, status) in [
            ("/users/9999999999999999999", 404),
            ("/users/99999999999999999999", 400),
            ("/users/abc", 400),
            ("/users/search", 400),
            ("/users/search?username=", 400),
            ("/users/search?username=nobody", 404),
            ("/users/search?username=system", 404),
        ] {
            assert_eq!(get(path).0, status, "{path}");
        }
        assert_eq!(get(&format!("/users/search?username={}", "a".repeat(4_000))).0, 404);
        assert_eq!(harness.request("GET", "/users/@me", None, None).0, 401);
    }

    #[test]
    fn renaming_is_made_known() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        let server_id = ServerId(77);
        let mut tx = harness.state.store.begin().unwrap();
        tx.put(SERVERS, server_id, &Server::default());
        tx.put(USER_SERVERS, (UserId(alice.id), server_id), &Nil {});
        tx.put(MEMBERS, (server_id, UserId(alice.id)), &Member::default());
        tx.commit().unwrap();
        for (who, whom) in [(&alice, &bob), (&bob, &alice)] {
            let body = format!(r#"{{"user_id":"{}"}}"#, whom.id);
            harness.request("POST", "/relationships", Some(&who.token), Some(&body));
        }
        take_events(&harness);

        let (status, text) =
            patch(&harness, &alice.token, r#"{"username":"Alicia","avatar_url":"x","email":null}"#);
        assert_eq!((status, text_at(&text, &["username"])), (200, "Alicia".into()));
        let events = take_events(&harness);
        let names: Vec<(EventName, u16)> = events.iter().map(|event| (event.name, event.intent)).collect();
        assert_eq!(
            names,
            [
                (EventName::UserUpdate, intent::NONE),
                (EventName::UserUpdate, intent::GUILD_MEMBERS),
                (EventName::GuildMemberUpdate, intent::GUILD_MEMBERS),
                (EventName::GuildMemberUpdate, intent::NONE),
            ]
        );
        let both = [UserId(alice.id), UserId(bob.id)];
        assert_eq!(events[0].audience, Audience::Users(both.into_iter().collect()));
        assert_eq!(events[1].audience, Audience::Neighbours(UserId(alice.id)));
        assert_eq!(text_at(&payload(&events[0]), &["user", "username"]), "Alicia");
        assert!(!payload(&events[0]).contains("email"));
        assert_eq!(text_at(&payload(&events[2]), &["guild_id"]), "77");
        assert_eq!(events[2].except, Some(UserId(alice.id)));

        assert_eq!(login(&harness, "alice", PASSWORD).0, 401, "the old name is free");
        assert_eq!(login(&harness, "ALICIA", PASSWORD).0, 200);
        take_events(&harness);
        assert_eq!(patch(&harness, &alice.token, r#"{"email":"new@example.org"}"#).0, 200);
        assert_eq!(take_events(&harness), [], "no e-mail address is made known");
        assert_eq!(login(&harness, "new@example.org", PASSWORD).0, 200);
        assert_eq!(login(&harness, "alice@example.com", PASSWORD).0, 401);
        register(&harness, "alice");
    }

    #[test]
    fn edits_follow_the_rules_of_registration() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        register(&harness, "bob");
        for (body, status) in [
            (r#"{"username":"x"}"#, 400),
            (r#"{"username":"bad name"}"#, 400),
            (r#"{"username":"root"}"#, 400),
            (r#"{"username":7}"#, 400),
            (r#"{"email":"nope"}"#, 400),
            (r#"{"username":"BOB"}"#, 409),
            (r#"{"email":"BOB@example.com"}"#, 409),
            (r#"{"password":"NewStaple2?zebra99"}"#, 400),
            (r#"{"password":"weak","current_password":"CorrectHorse1!battery"}"#, 400),
            (r#"{"password":"NewStaple2?zebra99","current_password":"wrong"}"#, 403),
            (
                r#"{"username":"bob","password":"NewStaple2?zebra99","current_password":"CorrectHorse1!battery"}"#,
                409,
            ),
            (r#"{}"#, 200),
            (r#"{"username":"ALICE","email":"ALICE@example.com"}"#, 200),
        ] {
            assert_eq!(patch(&harness, &alice.token, body).0, status, "{body}");
        }
        assert_eq!(login(&harness, "alice", PASSWORD).0, 200, "nothing was changed by halves");
    }

    #[test]
    fn password_change_ends_the_other_sessions() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let other = login_as(&harness, "alice", PASSWORD);
        harness.outputs.borrow_mut().clear();
        let body = format!(r#"{{"password":"NewStaple2?zebra99","current_password":"{PASSWORD}"}}"#);
        assert_eq!(patch(&harness, &alice.token, &body).0, 200);
        let outputs = harness.outputs.take();
        let how = Revocation::Security;
        assert!(
            matches!(&outputs[..], [Output::Change(Change::TokenRevoked { how: got, .. })] if *got == how),
            "{outputs:?}"
        );
        assert_eq!(
            harness.request("GET", "/users/@me", Some(&alice.token), None).0,
            200,
            "the one that asked"
        );
        assert_eq!(harness.request("GET", "/users/@me", Some(&other), None).0, 401);
        assert_eq!(login(&harness, "alice", PASSWORD).0, 401);
        assert_eq!(login(&harness, "alice", "NewStaple2?zebra99").0, 200);
    }

    #[test]
    fn a_new_address_asks_for_the_password_unless_the_login_is_fresh() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let set = |email: &str, more: &str| {
            patch(&harness, &alice.token, &format!(r#"{{"email":"{email}"{more}}}"#))
        };
        assert_eq!(set("first@example.org", "").0, 200, "registered a moment ago");
        assert_eq!(set("other@example.org", r#","current_password":"wrong""#).0, 403);
        harness.advance(5 * super::MINUTE_MS);
        let (status, text) = set("second@example.org", "");
        assert_eq!(status, 400, "{text}");
        assert!(
            text.contains("Invalid current_password: this field is required to change the e-mail"),
            "{text}"
        );
        assert_eq!(set("second@example.org", r#","current_password":"wrong""#).0, 403);
        assert_eq!(set("FIRST@example.org", "").0, 200, "the same address");
        assert_eq!(
            patch(&harness, &alice.token, r#"{"username":"alicia"}"#).0,
            200,
            "a name asks for nothing"
        );
        assert_eq!(set("second@example.org", &format!(r#","current_password":"{PASSWORD}""#)).0, 200);
        assert_eq!(login(&harness, "second@example.org", PASSWORD).0, 200);

        let config = Config {
            authentication_security: AuthenticationSecurity {
                fresh_login_minutes: 0,
                ..AuthenticationSecurity::default()
            },
            ..Config::default()
        };
        let harness = Harness::with_config(config);
        let alice = register(&harness, "alice");
        assert_eq!(patch(&harness, &alice.token, r#"{"email":"first@example.org"}"#).0, 400);
    }

    #[test]
    fn every_wrong_password_counts_towards_the_lockout() {
        let change = r#"{"password":"NewStaple2?zebra99","current_password":"wrong"}"#;
        let address = r#"{"email":"new@example.org","current_password":"wrong"}"#;
        let ways: [(&str, &str, u16); 3] =
            [("DELETE", r#"{"password":"wrong"}"#, 400), ("PATCH", change, 403), ("PATCH", address, 403)];
        for (method, body, wrong) in ways {
            let harness = Harness::default();
            let alice = register(&harness, "alice");
            let send = |body: &str| harness.request(method, "/users/@me", Some(&alice.token), Some(body));
            for attempt in 0..5 {
                let (status, text) = send(body);
                assert_eq!(
                    (status, text.contains("locked")),
                    (wrong, false),
                    "{method} {body} {attempt}: {text}"
                );
            }
            // Whatever the password, wherever it is asked for.
            for (method, body) in [
                (method, body.replace("wrong", PASSWORD)),
                ("DELETE", format!(r#"{{"password":"{PASSWORD}"}}"#)),
            ] {
                let (status, text) = harness.request(method, "/users/@me", Some(&alice.token), Some(&body));
                assert_eq!((status, text.contains("Account locked")), (403, true), "{method} {body}: {text}");
            }
            assert_eq!(login(&harness, "alice", PASSWORD).0, 403);
            assert_eq!(
                harness.request("GET", "/users/@me", Some(&alice.token), None).0,
                200,
                "sessions live on"
            );
            harness.advance(15 * super::MINUTE_MS);
            assert_eq!(send(body).0, wrong, "counting starts anew");
            assert_eq!(send(&body.replace("wrong", PASSWORD)).0, 200);
        }
        // Log-ins and the others count together.
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        (0..4).for_each(|_| assert_eq!(login(&harness, "alice", "wrong").0, 401));
        let delete = |password: &str| {
            let body = format!(r#"{{"password":"{password}"}}"#);
            harness.request("DELETE", "/users/@me", Some(&alice.token), Some(&body)).0
        };
        assert_eq!((delete("wrong"), delete(PASSWORD)), (400, 403));
    }

    #[test]
    fn deletion_freezes() {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        let delete = |body: Option<&str>| harness.request("DELETE", "/users/@me", Some(&alice.token), body).0;
        assert_eq!(delete(None), 400);
        assert_eq!(delete(Some("{}")), 400);
        assert_eq!(delete(Some(r#"{"password":"wrong"}"#)), 400);
        harness.outputs.borrow_mut().clear();
        assert_eq!(delete(Some(&format!(r#"{{"password":"{PASSWORD}","code":"123456"}}"#))), 200);
        let outputs = harness.outputs.take();
        let how = Revocation::Security;
        assert!(
            matches!(&outputs[..], [Output::Change(Change::TokenRevoked { how: got, .. })] if *got == how),
            "{outputs:?}"
        );
        assert_eq!(harness.request("GET", "/users/@me", Some(&alice.token), None).0, 401);
        assert_eq!(login(&harness, "alice", PASSWORD).0, 403);
        let profile = harness.request("GET", &format!("/users/{}", alice.id), Some(&bob.token), None);
        assert_eq!((profile.0, text_at(&profile.1, &["username"])), (200, "alice".into()));
        let snapshot = harness.state.snapshot();
        let ((due, _), _) = snapshot.read().scan(DELETIONS, ()).next().unwrap();
        assert_eq!(due, harness.state.now_ms() + 30 * super::DAY_MS);

        let config = Config {
            authentication_account_deletion: AuthenticationAccountDeletion {
                enabled: false,
                ..AuthenticationAccountDeletion::default()
            },
            ..Config::default()
        };
        let harness = Harness::with_config(config);
        let alice = register(&harness, "alice");
        let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
        assert_eq!(harness.request("DELETE", "/users/@me", Some(&alice.token), Some(&body)).0, 403);
    }

    #[test]
    fn features() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let (status, text) = harness.request("GET", "/users/@me/features", Some(&alice.token), None);
        assert_eq!(status, 200);
        assert_eq!(text_at(&text, &["badges", "0", "name"]), "alpha_tester");
        assert_eq!(
            text_at(&text, &["tier_limits"]),
            r#"{"name":"alpha","multiplier":2,"max_voice_minutes_per_day":480,"max_video_minutes_per_day":240,"max_file_uploads_per_day":200,"max_file_size_mb":25,"max_servers":200,"max_message_length":4000,"max_reactions_per_message":50,"max_pins_per_channel":100,"custom_emoji_slots":100}"#
        );
    }
}
