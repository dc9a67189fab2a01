//! Profiles: one's own, those of others, tier and badges.

use super::ctx::{Ctx, Step};
use super::rules::{check_email, check_password, check_username};
use crate::domain::account::{self, AccountDelete, PasswordChange, ProfileEdit};
use crate::domain::credential::Secret;
use crate::domain::{Error, Refusal, Result, tier, view};
use crate::store::tables::{CREDENTIALS, USERS};

const DAY_MS: u64 = 86_400_000;

fn answer_me(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    let user = snapshot.read().get(USERS, user_id).ok_or(Refusal::TokenInvalid)?;
    ctx.json(|out| view::write_private_user(out, user_id, user))
}

pub fn me_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    answer_me(ctx)
}

/// The hash of one's own password.
fn own_phc(ctx: &Ctx<'_>) -> Result<String> {
    let snapshot = ctx.snapshot();
    let credential = snapshot.read().get(CREDENTIALS, ctx.user_id()).ok_or(Refusal::TokenInvalid)?;
    Ok(credential.phc.to_string())
}

pub fn me_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let config = ctx.state.config.clone();
    let body = ctx.body()?;
    let username = body.opt_str("username", 0..=usize::MAX)?;
    username.map_or(Ok(()), |username| check_username(&config, username))?;
    let email = body.opt_str("email", 0..=usize::MAX)?;
    email.map_or(Ok(()), check_email)?;
    let password = body.opt_str("password", 0..=usize::MAX)?;
    let current = body.opt_str("current_password", 0..=usize::MAX)?;

    let mut edit = ProfileEdit {
        username: username.map(str::to_string),
        email: email.map(str::to_string),
        password: None,
    };
    let Some(password) = password else {
        return ctx.submit(edit, |ctx, _| answer_me(ctx));
    };
    check_password(&config, "password", password)?;
    let current = current
        .ok_or_else(|| Error::invalid("current_password", "this field is required to change the password"))?;
    let (before, password) = (own_phc(ctx)?, password.to_string());
    let stored = Some(before.clone());
    Ok(Step::Verify(
        current.to_string(),
        stored,
        Box::new(move |_, matched| {
            if !matched {
                return Err(Refusal::PasswordWrong.into());
            }
            Ok(Step::Hash(
                password,
                Box::new(move |ctx, after| {
                    edit.password = Some(PasswordChange { before: Secret(before), after: Secret(after) });
                    ctx.submit(edit, |ctx, _| answer_me(ctx))
                }),
            ))
        }),
    ))
}

pub fn me_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let config = &ctx.state.config;
    if !config.authentication_account_deletion_enabled {
        return Err(Refusal::DeletionClosed.into());
    }
    let grace_ms = config.authentication_account_deletion_grace_period_days * DAY_MS;
    let password = ctx.body()?.str("password", 0..=usize::MAX)?.to_string();
    let phc = own_phc(ctx)?;
    let stored = Some(phc.clone());
    Ok(Step::Verify(
        password,
        stored,
        Box::new(move |ctx, matched| {
            if !matched {
                return Err(Error::invalid("password", "the password is wrong"));
            }
            ctx.submit_success(AccountDelete { phc: Secret(phc), grace_ms })
        }),
    ))
}

pub fn user_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.path_user()?);
    account::write_profile(&mut ctx.response.body, snapshot.read(), user_id)?;
    Ok(Step::Done)
}

pub fn user_search(ctx: &mut Ctx<'_>) -> Result<Step> {
    let name = ctx.query("username")?.filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Error::invalid("username", "this field is required"))?;
    let snapshot = ctx.snapshot();
    let user_id = account::by_name(snapshot.read(), &name).ok_or(Refusal::UserNotFound)?;
    account::write_profile(&mut ctx.response.body, snapshot.read(), user_id)?;
    Ok(Step::Done)
}

pub fn features_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    let user = snapshot.read().get(USERS, user_id).ok_or(Refusal::TokenInvalid)?;
    let shown = usize::try_from(ctx.state.config.user_features_badge_display_limit).unwrap_or(usize::MAX);
    ctx.json(|out| tier::write_features(out, user.tier, &user.badges, shown))
}

#[cfg(test)]
mod tests {
    use crate::api::fixture::{PASSWORD, payload, register, take_events, text_at};
    use crate::api::testing::Harness;
    use crate::config::Config;
    use crate::domain::{Audience, Change, EventName, Output, Revocation, intent};
    use crate::id::{ServerId, UserId};
    use crate::store::records::{Member, Nil, Server};
    use crate::store::tables::{DELETIONS, MEMBERS, SERVERS, USER_SERVERS};

    fn patch(harness: &Harness, token: &str, body: &str) -> (u16, String) {
        harness.request("PATCH", "/users/@me", Some(token), Some(body))
    }

    fn login(harness: &Harness, name: &str, password: &str) -> u16 {
        let body = format!(r#"{{"username":"{name}","password":"{password}"}}"#);
        harness.request("POST", "/auth/login", None, Some(&body)).0
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

        assert_eq!(login(&harness, "alice", PASSWORD), 401, "the old name is free");
        assert_eq!(login(&harness, "ALICIA", PASSWORD), 200);
        take_events(&harness);
        assert_eq!(patch(&harness, &alice.token, r#"{"email":"new@example.org"}"#).0, 200);
        assert_eq!(take_events(&harness), [], "no e-mail address is made known");
        assert_eq!(login(&harness, "new@example.org", PASSWORD), 200);
        assert_eq!(login(&harness, "alice@example.com", PASSWORD), 401);
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
        assert_eq!(login(&harness, "alice", PASSWORD), 200, "nothing was changed by halves");
    }

    #[test]
    fn password_change_keeps_sessions() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let body = format!(r#"{{"password":"NewStaple2?zebra99","current_password":"{PASSWORD}"}}"#);
        assert_eq!(patch(&harness, &alice.token, &body).0, 200);
        assert_eq!(harness.request("GET", "/users/@me", Some(&alice.token), None).0, 200);
        assert_eq!(login(&harness, "alice", PASSWORD), 401);
        assert_eq!(login(&harness, "alice", "NewStaple2?zebra99"), 200);
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
        assert_eq!(login(&harness, "alice", PASSWORD), 403);
        let profile = harness.request("GET", &format!("/users/{}", alice.id), Some(&bob.token), None);
        assert_eq!((profile.0, text_at(&profile.1, &["username"])), (200, "alice".into()));
        let snapshot = harness.state.snapshot();
        let ((due, _), _) = snapshot.read().scan(DELETIONS, ()).next().unwrap();
        assert_eq!(due, harness.state.now_ms() + 30 * super::DAY_MS);

        let config = Config { authentication_account_deletion_enabled: false, ..Config::default() };
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
