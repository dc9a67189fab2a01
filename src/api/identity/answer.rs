//! What a log-in is answered with: a token, or a challenge.

use crate::api::ctx::{Ctx, Step};
use crate::domain::identity::{passkey, two_factor};
use crate::domain::view::UserResponse;
use crate::domain::{Refusal, Result};
use crate::id::{TokenId, UserId};
use crate::store::tables::USERS;
use crate::wire::json::shape::{Kind, Slot, shape};

/// `LoginResponse` of a login that is complete.
pub(super) fn answer_login(ctx: &mut Ctx<'_>, user_id: UserId, token: &str) -> Result<Step> {
    answer(ctx, user_id, Outcome::Token(token))
}

fn answer(ctx: &mut Ctx<'_>, user_id: UserId, outcome: Outcome<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let user = snapshot.read().get(USERS, user_id).ok_or(Refusal::TokenInvalid)?;
    let totp = two_factor::of(snapshot.read(), user_id).is_some();
    let offset = ctx.now().offset();
    let whose = |out: &mut Vec<u8>| UserResponse::write(out, user_id, user, totp, offset);
    ctx.json(|out| LoginResponse::write(out, outcome, whose))
}

/// `LoginResponse` of a login that is asked for a second factor.
pub(super) fn answer_challenge(ctx: &mut Ctx<'_>, token: &str, life_s: u64) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let asked = two_factor::challenge(read, token, ctx.now_ms());
    let has_passkey = asked.is_ok_and(|(_, user_id)| passkey::of(read, user_id).next().is_some());
    let outcome = Outcome::Challenge(token, life_s, has_passkey);
    ctx.json(|out| LoginResponse::write(out, outcome, |out| out.extend_from_slice(b"null")))
}

/// `LoginResponse` of an account that is there, but may not log in before its address is confirmed.
pub(super) fn answer_unconfirmed(ctx: &mut Ctx<'_>, user_id: UserId) -> Result<Step> {
    answer(ctx, user_id, Outcome::Nothing)
}

/// What a password has led to.
#[derive(Clone, Copy)]
pub enum Outcome<'a> {
    /// Something has to come first.
    Nothing,
    Token(&'a str),
    /// The seconds of its life, and whether a passkey may answer it.
    Challenge(&'a str, u64, bool),
}

impl<'a> Outcome<'a> {
    fn status(self) -> &'static str {
        if self.challenge().is_some() { "two_factor_required" } else { "success" }
    }

    fn token(self) -> Option<&'a str> {
        if let Outcome::Token(token) = self { Some(token) } else { None }
    }

    fn challenge(self) -> Option<(&'a str, u64)> {
        if let Outcome::Challenge(token, life_s, _) = self { Some((token, life_s)) } else { None }
    }

    fn write_methods(self, out: &mut Vec<u8>) {
        let methods: &[u8] = match self {
            Outcome::Challenge(_, _, true) => br#"["totp","backup_code","passkey"]"#,
            Outcome::Challenge(_, _, false) => br#"["totp","backup_code"]"#,
            _ => b"null",
        };
        out.extend_from_slice(methods);
    }
}

shape! {
    /// A login that is complete, or that asks for a second factor.
    pub LoginResponse(outcome: Outcome<'_>, user: impl FnOnce(&mut Vec<u8>)) {
        status: (Slot::word(&["success", "two_factor_required"])) = outcome.status(),
        token: opt_str = outcome.token(),
        user: (Slot::of(Kind::OrNull(&Kind::Object(UserResponse::SHAPE)))) = user,
        challenge_token: opt_str = outcome.challenge().map(|(token, _)| token),
        methods: (Slot::of(Kind::OrNull(&Kind::List(&Kind::Text)))) = |out: &mut Vec<u8>| outcome.write_methods(out),
        /// Seconds.
        expires_in: opt_u64 = outcome.challenge().map(|(_, life_s)| life_s),
    }
}

/// Answers a command that has opened a session; the secret is known here alone.
pub(super) fn answer_new_login(
    ctx: &mut Ctx<'_>,
    (user_id, token_id): (UserId, TokenId),
    secret: &str,
) -> Result<Step> {
    answer_login(ctx, user_id, &format!("{token_id}.{secret}"))
}
