//! Wrong passwords: counted wherever one is asked for, until no more are taken for a while.

use super::auth::SERVER;
use crate::api::ctx::Ctx;
use crate::domain::identity::account::{self, LoginFailed};
use crate::domain::{Error, Refusal, Result};
use crate::id::UserId;
use crate::store::tables::CREDENTIALS;

pub(super) const MINUTE_MS: u64 = 60_000;

/// Counts a wrong password towards the lockout; gives what it is refused with: `error`, unless the log refuses to count.
pub(super) async fn count_failure(ctx: &Ctx<'_>, user_id: UserId, name: Option<u64>, error: Error) -> Error {
    ctx.state.metrics.login_failures.increment();
    let config = &ctx.state.config;
    let failures_max = config.authentication_security.max_failed_attempts;
    let lockout_ms = config.authentication_security.lockout_duration_minutes * MINUTE_MS;
    let op = LoginFailed { user_id, name, failures_max, lockout_ms };
    ctx.decide(SERVER, op).await.err().unwrap_or(error)
}

/// The PHC string of the caller's password when the given one is right. A wrong one counts towards the lockout, as in
/// a log-in, and is refused with `wrong`.
pub(super) async fn verify_own(ctx: &Ctx<'_>, password: String, wrong: Error) -> Result<String> {
    let phc = own_phc(ctx)?;
    if ctx.verify(password, Some(phc.clone())).await? {
        return Ok(phc);
    }
    Err(count_failure(ctx, ctx.user_id(), None, wrong).await)
}

/// What the caller's password is compared with, unless he is locked out or has none.
fn own_phc(ctx: &Ctx<'_>) -> Result<String> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    let credential = snapshot.read().get(CREDENTIALS, user_id).ok_or(Refusal::TokenInvalid)?;
    account::require_unlocked(credential, ctx.now_ms())?;
    match credential.phc.as_str() {
        "" => Err(Refusal::PasswordAbsent.into()),
        phc => Ok(phc.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{PASSWORD, login, register};
    use crate::domain::Command;
    use crate::store::records::{LoginName, Nil};
    use crate::store::tables::{LOGIN_LAPSES, LOGIN_NAMES};

    #[test]
    fn lockout() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        for _ in 0..4 {
            assert_eq!(login(&harness, "alice", "wrong").0, 401);
        }
        assert_eq!(login(&harness, "alice", PASSWORD).0, 200, "a success clears the counter");
        for _ in 0..5 {
            assert_eq!(login(&harness, "alice", "wrong").0, 401);
        }
        let (status, text) = login(&harness, "alice", PASSWORD);
        assert_eq!((status, text.contains("Account locked")), (403, true));
        let me = harness.request("GET", "/users/@me", Some(&alice.token), None).0;
        assert_eq!(me, 200, "only login is affected");
        harness.advance(15 * MINUTE_MS);
        assert_eq!(login(&harness, "alice", "wrong").0, 401);
        assert_eq!(login(&harness, "alice", PASSWORD).0, 200, "counting starts anew");
    }

    /// The answers to wrong passwords for a name, over the time that a lock takes and beyond.
    fn probe(harness: &Harness, name: &str) -> Vec<(u16, String)> {
        let mut answers: Vec<_> = (0..7).map(|_| login(harness, name, "wrong")).collect();
        harness.advance(15 * MINUTE_MS - 1);
        answers.push(login(harness, name, "wrong"));
        harness.advance(1);
        answers.extend((0..4).map(|_| login(harness, name, "wrong")));
        // Failures are forgotten after a while.
        harness.advance(15 * MINUTE_MS);
        answers.extend((0..6).map(|_| login(harness, name, "wrong")));
        answers
    }

    #[test]
    fn a_lock_does_not_tell_which_names_exist() {
        let answers = |name: &str| {
            let harness = Harness::default();
            register(&harness, "alice");
            probe(&harness, name)
        };
        let known = answers("alice");
        let statuses: Vec<u16> = known.iter().map(|(status, _)| *status).collect();
        let want = [vec![401; 5], vec![403; 3], vec![401; 4], vec![401; 5], vec![403]].concat();
        assert_eq!(statuses, want);
        for name in
            ["nobody", "ALICE", "alice@example.com", "nobody@example.com", "", "@", &"a".repeat(5_000)]
        {
            assert_eq!(answers(name), known, "{name}");
        }
        // Nor which address belongs to which name, unless the password is right.
        let harness = Harness::default();
        register(&harness, "alice");
        (0..6).for_each(|_| drop(login(&harness, "alice", "wrong")));
        assert_eq!(login(&harness, "alice@example.com", "wrong").0, 401);
        assert_eq!(login(&harness, "alice@example.com", PASSWORD).0, 403);
    }

    #[test]
    fn names_that_failed_are_forgotten_and_never_too_many() {
        let harness = Harness::default();
        let failed = |name: u64| {
            let op =
                LoginFailed { user_id: UserId(0), name: Some(name), failures_max: 5, lockout_ms: 60_000 };
            harness.apply(&Command::new(UserId(0), op.into())).unwrap();
        };
        let counts = || {
            let snapshot = harness.state.snapshot();
            let read = snapshot.read();
            assert_eq!(read.len(LOGIN_NAMES), read.len(LOGIN_LAPSES));
            read.len(LOGIN_NAMES)
        };
        (0..20).for_each(failed);
        assert_eq!(counts(), 20);
        harness.advance(60_001);
        (20..30).for_each(failed);
        assert_eq!(counts(), 10, "each failure removes two that lapsed");

        let names: Vec<u64> = (100..100 + account::LOGIN_NAME_COUNT_MAX).collect();
        for names in names.chunks(10_000) {
            let mut tx = harness.state.store.begin().unwrap();
            for &name in names {
                let lapses_at = u64::MAX - 1_000_000 + name;
                tx.put(LOGIN_NAMES, name, &LoginName { failures: 1, locked_until: 0, lapses_at });
                tx.put(LOGIN_LAPSES, (lapses_at, name), &Nil {});
            }
            tx.commit().unwrap();
        }
        (50..60).for_each(failed);
        assert_eq!(counts(), account::LOGIN_NAME_COUNT_MAX);
    }
}
