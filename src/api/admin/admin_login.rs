//! Log-in of administrators: password, then a one-time code; set up first where there is none.

use std::ops::RangeInclusive;
use std::str::from_utf8;

use subtle::ConstantTimeEq;
use totp_rs::Totp;

use super::door;
use crate::api::authenticate::{SESSION_SECRET_LEN, hash_secret, new_secret};
use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Flag, Needed, Or, Text, fields};
use crate::api::identity::two_factor::{
    CHALLENGE_FAILURES_MAX, CHALLENGE_S, SECRET_LEN, backup_code, checked_code, totp,
};
use crate::domain::admin::account::by_name;
use crate::domain::admin::guessing::{AdminFailed, Guesses, require_unlocked};
use crate::domain::admin::session::{
    self, AdminChallengeCreate, AdminChallengePass, AdminSignIn, AdminSignOut, NewAdminSession, challenge,
    holds,
};
use crate::domain::identity::credential::Secret;
use crate::domain::identity::two_factor::Proof;
use crate::domain::{Error, Refusal, Result};
use crate::id::{AdminId, UserId};
use crate::limits::USER_AGENT_LEN_MAX;
use crate::runtime::random;
use crate::store::keyring::Purpose;
use crate::store::records::{Admin, AdminChallenge, ArchivedAdmin};
use crate::store::tables::ADMINS;
use crate::wire::json::shape::shape;

/// How long a session is good.
const SESSION_MS: u64 = 8 * 3_600_000;
const NAME_CHARS: RangeInclusive<usize> = 1..=100;
const PASSWORD_CHARS: RangeInclusive<usize> = 1..=200;
/// Of the token of a challenge.
const TOKEN_CHARS: RangeInclusive<usize> = 10..=200;
/// Whose commands these are: nobody is logged in yet.
const SERVER: UserId = UserId(0);

fields! {
    /// Who an administrator is.
    pub LOGIN: AdminLoginRequest {
        username: Needed<Text> = Needed(Text(Chars::Configured(|_| NAME_CHARS))),
        password: Needed<Text> = Needed(Text(Chars::Configured(|_| PASSWORD_CHARS))),
    }
}

fields! {
    /// The second step of a log-in.
    pub VERIFY: AdminOTPVerifyRequest {
        admin_id: Needed<Text> = Needed(Text(Chars::Configured(|_| 1..=20))),
        /// A one-time code, or a backup code with or without its dash.
        code: Needed<Text> = Needed(Text(Chars::Configured(|_| 6..=16))),
        /// The code is of the secret that is being set up.
        is_setup: Or<Flag, bool> = Or(Flag, false),
        challenge_token: Needed<Text> = Needed(Text(Chars::Configured(|_| TOKEN_CHARS))),
    }
}

/// What a log-in has come to.
#[derive(Default)]
pub struct Outcome<'a> {
    pub status: &'a str,
    pub token: Option<&'a str>,
    pub admin_id: Option<AdminId>,
    pub totp: Option<&'a Totp>,
    pub message: Option<&'a str>,
    pub challenge: Option<&'a str>,
}

shape! {
    /// What a log-in has come to: a token, or what is asked for next.
    pub AdminLoginResponse(outcome: &Outcome<'_>) {
        status: str = outcome.status,
        token: opt_str = outcome.token,
        admin_id: opt_id = outcome.admin_id.map(|id| id.0),
        otp_secret: opt_str = outcome.totp.map(|totp| totp.secret().to_base32()).as_deref(),
        otp_qr_uri: opt_str = outcome.totp.map(|totp| totp.to_url().expect("it was made with names that fit")).as_deref(),
        message: opt_str = outcome.message,
        challenge_token: opt_str = outcome.challenge,
    }
}

pub async fn admin_login(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (name, password) = {
        let body = ctx.body()?;
        let (name, password) = (LOGIN.username.read(&body)?, LOGIN.password.read(&body)?);
        check_len("username", name, NAME_CHARS)?;
        check_len("password", password, PASSWORD_CHARS)?;
        (name.to_string(), password.to_string())
    };
    require_unlocked(ctx.snapshot().read(), &door::source(ctx.request.ip), ctx.now_ms())?;
    let found = {
        let snapshot = ctx.snapshot();
        let admin_id = by_name(snapshot.read(), name.trim());
        admin_id.and_then(|id| Some((id, snapshot.read().get(ADMINS, id).map(Admin::from)?)))
    };
    let phc = found.as_ref().map(|(_, admin)| admin.phc.clone());
    // The same work for unknown names, so that nobody learns from the time which there are.
    let matched = ctx.verify(password, phc).await?;
    // Those that were guessed at the same time have been counted meanwhile.
    require_unlocked(ctx.snapshot().read(), &door::source(ctx.request.ip), ctx.now_ms())?;
    let (true, Some((admin_id, admin))) = (matched, found) else {
        return Err(failed(ctx, Refusal::CredentialsInvalid.into()).await);
    };
    match (admin.sealed.is_empty(), ctx.state.config.admin_ui.require_otp) {
        (false, _) => ask_for_code(ctx, admin_id, admin.phc).await,
        (true, true) => begin_setup(ctx, admin_id, &admin).await,
        (true, false) => {
            let (token, session) = new_session(ctx);
            ctx.decide(SERVER, AdminSignIn { admin_id, phc: Secret(admin.phc), session }).await?;
            answer_session(ctx, admin_id, &token)
        }
    }
}

/// Counts what was wrong; gives what it is refused with.
pub(super) async fn failed(ctx: &Ctx<'_>, error: Error) -> Error {
    ctx.state.metrics.login_failures.increment();
    ctx.decide(SERVER, failure(ctx, None)).await.err().unwrap_or(error)
}

/// A guess, or a code for a challenge, as it is counted.
fn failure(ctx: &Ctx<'_>, challenge: Option<[u8; 32]>) -> AdminFailed {
    let config = &ctx.state.config;
    AdminFailed {
        source: door::source(ctx.request.ip),
        guesses: Guesses {
            count_max: config.admin_ui_rate_limit.max_attempts,
            window_ms: config.admin_ui_rate_limit.window_seconds * 1_000,
            lockout_ms: config.admin_ui_rate_limit.lockout_seconds * 1_000,
        },
        challenge: challenge.map(|hash| (hash, CHALLENGE_FAILURES_MAX)),
    }
}

async fn ask_for_code(ctx: &mut Ctx<'_>, admin_id: AdminId, phc: String) -> Result<Step> {
    let (token, op) = new_challenge(admin_id, phc, Vec::new());
    ctx.decide(SERVER, op).await?;
    let message = Some("Enter the code that your device shows, or a backup code");
    let outcome = Outcome { status: "otp_required", message, ..Outcome::default() };
    answer(ctx, &Outcome { admin_id: Some(admin_id), challenge: Some(&token), ..outcome })
}

async fn begin_setup(ctx: &mut Ctx<'_>, admin_id: AdminId, admin: &Admin) -> Result<Step> {
    let secret = random::bytes::<SECRET_LEN>();
    let sealed = ctx.state.keys.seal(Purpose::TotpSecret, admin_id.0, &secret);
    let (token, op) = new_challenge(admin_id, admin.phc.clone(), sealed);
    ctx.decide(SERVER, op).await?;
    answer_setup(ctx, admin_id, &admin.username, &secret, &token)
}

/// A challenge and its token.
pub(super) fn new_challenge(
    admin_id: AdminId,
    phc: String,
    sealed: Vec<u8>,
) -> (String, AdminChallengeCreate) {
    let token = new_secret::<SESSION_SECRET_LEN>();
    let op = AdminChallengeCreate {
        admin_id,
        phc: Secret(phc),
        hash: Secret(hash_secret(&token)),
        sealed: Secret(sealed),
        life_ms: CHALLENGE_S * 1_000,
    };
    (token, op)
}

/// Shows a secret that is to be set up, this once.
pub(super) fn answer_setup(
    ctx: &mut Ctx<'_>,
    admin_id: AdminId,
    name: &str,
    secret: &[u8],
    challenge: &str,
) -> Result<Step> {
    let totp = totp(&ctx.state.config, name, secret);
    let message = Some("Set up an authenticator with this secret, then enter the code that it shows");
    let outcome = Outcome { status: "otp_setup_required", message, totp: Some(&totp), ..Outcome::default() };
    answer(ctx, &Outcome { admin_id: Some(admin_id), challenge: Some(challenge), ..outcome })
}

fn answer(ctx: &mut Ctx<'_>, outcome: &Outcome<'_>) -> Result<Step> {
    ctx.response.headers.push(("cache-control", "no-store".to_string()));
    ctx.json(|out| AdminLoginResponse::write(out, outcome))
}

fn answer_session(ctx: &mut Ctx<'_>, admin_id: AdminId, token: &str) -> Result<Step> {
    let outcome = Outcome { status: "success", token: Some(token), ..Outcome::default() };
    answer(ctx, &Outcome { admin_id: Some(admin_id), ..outcome })
}

/// A token and the session that it opens.
fn new_session(ctx: &Ctx<'_>) -> (String, Box<NewAdminSession>) {
    let token = new_secret::<SESSION_SECRET_LEN>();
    let user_agent = ctx.request.head.header("user-agent").and_then(|value| from_utf8(value).ok());
    let session = NewAdminSession {
        hash: Secret(hash_secret(&token)),
        ip_address: ctx.request.ip.to_canonical().to_string(),
        user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_LEN_MAX).collect()),
        life_ms: SESSION_MS,
        source: door::source(ctx.request.ip),
    };
    (token, Box::new(session))
}

pub async fn admin_verify_otp(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (asked, code, hash) = {
        let body = ctx.body()?;
        let admin_id = VERIFY.admin_id.read(&body)?;
        let admin_id = AdminId::parse(admin_id).ok_or_else(|| Error::invalid_id("admin"))?;
        let code = checked_code(VERIFY.code.read(&body)?)?.trim().to_string();
        let is_setup = VERIFY.is_setup.read(&body)?;
        let token = VERIFY.challenge_token.read(&body)?;
        check_len("challenge_token", token, TOKEN_CHARS)?;
        ((admin_id, is_setup), code, hash_secret(token))
    };
    require_unlocked(ctx.snapshot().read(), &door::source(ctx.request.ip), ctx.now_ms())?;
    let known = challenge(ctx.snapshot().read(), &hash, ctx.now_ms(), asked);
    let known = match known {
        Ok(known) => known,
        // A guess like any other, if of a token that nobody guesses.
        Err(error) => return Err(failed(ctx, error).await),
    };
    ctx.decide(SERVER, failure(ctx, Some(hash))).await?;
    let proof = {
        let snapshot = ctx.snapshot();
        let admin = snapshot.read().get(ADMINS, asked.0).ok_or(Refusal::ChallengeInvalid)?;
        prove_challenge(ctx, admin, &known, &code)
    };
    let Some(proof) = proof else {
        ctx.state.metrics.login_failures.increment();
        return Err(Refusal::CodeWrong.into());
    };
    let (token, session) = new_session(ctx);
    ctx.decide(SERVER, AdminChallengePass { challenge: Secret(hash), proof, session }).await?;
    answer_session(ctx, asked.0, &token)
}

/// What a code proves for a challenge: of a set-up only that the device makes the right ones.
fn prove_challenge(
    ctx: &Ctx<'_>,
    admin: &ArchivedAdmin,
    known: &AdminChallenge,
    code: &str,
) -> Option<Proof> {
    if known.sealed.is_empty() {
        return prove(ctx, known.admin_id, admin, code);
    }
    step_of(ctx, known.admin_id, &known.sealed, code).map(Proof::Step)
}

/// What a code proves of an administrator's second factor, if anything.
pub(super) fn prove(ctx: &Ctx<'_>, admin_id: AdminId, admin: &ArchivedAdmin, code: &str) -> Option<Proof> {
    let step = step_of(ctx, admin_id, &admin.sealed, code);
    let proof = step.map(Proof::Step).or_else(|| {
        let sums = ctx.state.keys.sums(Purpose::BackupCode, admin_id.0, &backup_code(code)?);
        let known = |sum: &[u8; 32]| admin.codes.iter().any(|code| code.ct_eq(sum).into());
        sums.into_iter().find(known).map(|sum| Proof::Backup(Secret(sum)))
    });
    proof.filter(|proof| holds(admin.last_step.to_native(), &admin.codes, proof))
}

/// The step of time whose code this is.
fn step_of(ctx: &Ctx<'_>, admin_id: AdminId, sealed: &[u8], code: &str) -> Option<u64> {
    let Some(secret) = ctx.state.keys.unseal(Purpose::TotpSecret, admin_id.0, sealed) else {
        tracing::error!(
            "a second factor cannot be read: server.keys lacks its key, put it back from a backup"
        );
        return None;
    };
    totp(&ctx.state.config, "", &secret).check(code, ctx.now().unix_ms / 1_000)
}

pub async fn admin_logout(ctx: &mut Ctx<'_>) -> Result<Step> {
    let hash = door::shown(&ctx.request)?;
    // Of one that another session has ended, too: whoever has it wants it to be over, and it is.
    if !session::is_known(ctx.snapshot().read(), &hash, ctx.now_ms()) {
        return Err(Refusal::TokenInvalid.into());
    }
    ctx.decide(SERVER, AdminSignOut { session: Secret(hash) }).await?;
    ctx.success()
}
