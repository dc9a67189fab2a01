//! Two-factor login: one-time codes, backup codes, and the challenge between password and code.
//!
//! Codes are compared outside, where the keys of the server are; a command carries what was proved ([`Proof`]), and
//! here it is decided whether that still holds: each step of time and each backup code serves once, in the order of
//! the log. Secrets are stored sealed, backup codes as sums under the server's key.
//!
//! Invariants: a set-up that was not confirmed asks nobody for a code. A user has at most [`CHALLENGE_COUNT_MAX`]
//! challenges; an older one makes room. One that has seen `failures_max` wrong codes is gone.

use rkyv::{Archive, Deserialize, Serialize};

use super::account::{forget_name, require_active};
use super::credential::{self, Secret};
use super::mail;
use super::token::{self, NewToken};
use crate::domain::error::{Refusal, Result};
use crate::domain::machine::Machine;
use crate::id::{ChallengeId, TokenId, UserId};
use crate::limits::CHALLENGE_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedTwoFactor, Challenge, Nil, TwoFactor, mail_kind};
use crate::store::tables::{CHALLENGES, CREDENTIALS, TWO_FACTORS, USER_CHALLENGES};
use crate::wire::json::shape::shape;

/// Tells tokens of challenges from those of sessions.
const CHALLENGE_PREFIX: &str = "2fa.";

/// That somebody has the second factor.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub enum Proof {
    /// The code of this step of time.
    Step(u64),
    /// The backup code with this sum.
    Backup(Secret<[u8; 32]>),
}

/// Begins the set-up of the acting user; one that was not confirmed is replaced.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TwoFactorBegin {
    /// The PHC string that the given password matched.
    pub phc: Secret<String>,
    pub sealed: Secret<Vec<u8>>,
    /// Sums of the backup codes.
    pub codes: Secret<Vec<[u8; 32]>>,
}

/// Ends the set-up of the acting user, who has shown a code of `sealed`.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TwoFactorConfirm {
    pub sealed: Secret<Vec<u8>>,
    pub step: u64,
}

/// Switches it off.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TwoFactorDisable {
    /// The PHC string that the given password matched.
    pub phc: Secret<String>,
    pub proof: Proof,
}

/// The acting user has shown his second factor for something else.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TwoFactorUse {
    pub proof: Proof,
}

/// The acting user has given a wrong code. After some none is taken for a while; logging in goes on.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TwoFactorFailed {
    pub failures_max: u64,
    pub lockout_ms: u64,
}

/// A login whose password matched `phc`, of an account that asks for more. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChallengeCreate {
    pub user_id: UserId,
    /// Key of the name in the login form, made by the API.
    pub name: u64,
    pub phc: Secret<String>,
    /// SHA-256 of the secret part.
    pub secret_hash: Secret<[u8; 32]>,
    pub life_ms: u64,
}

/// Ends a challenge with a login session. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChallengePass {
    pub challenge_id: ChallengeId,
    pub proof: Proof,
    pub token: NewToken,
}

/// A wrong code for a challenge. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChallengeFailed {
    pub challenge_id: ChallengeId,
    pub failures_max: u64,
}

/// What asks a user for a second factor; `None` when nothing does.
pub fn of(read: Read<'_>, user_id: UserId) -> Option<&ArchivedTwoFactor> {
    read.get(TWO_FACTORS, user_id).filter(|record| record.enabled)
}

/// What a challenge is answered with: `2fa.<id>.<secret>`.
pub fn challenge_token(id: ChallengeId, secret: &str) -> String {
    format!("{CHALLENGE_PREFIX}{id}.{secret}")
}

/// The live challenge whose token this is, and whose it is.
///
/// # Errors
/// 401 when it is unknown, wrong, answered or over.
pub fn challenge(read: Read<'_>, token: &str, now_ms: u64) -> Result<(ChallengeId, UserId)> {
    let invalid = Refusal::ChallengeInvalid;
    let (id, secret) =
        credential::parts(token.strip_prefix(CHALLENGE_PREFIX).ok_or(invalid)?).ok_or(invalid)?;
    let id = ChallengeId(id);
    let challenge = read.get(CHALLENGES, id).ok_or(invalid)?;
    if !credential::matches(&challenge.secret_hash, secret) || challenge.expires_at.to_native() <= now_ms {
        return Err(invalid.into());
    }
    Ok((id, UserId::from(&challenge.user_id)))
}

/// # Errors
/// 403 while too many codes were wrong.
pub fn require_code_unlocked(record: &ArchivedTwoFactor, at: u64) -> Result<()> {
    if record.locked_until.to_native() > at { Err(Refusal::CodesLocked.into()) } else { Ok(()) }
}

/// Whether a proof still holds.
pub fn holds(record: &ArchivedTwoFactor, proof: &Proof) -> bool {
    match proof {
        Proof::Step(step) => *step > record.last_step.to_native(),
        Proof::Backup(sum) => record.codes.contains(&sum.0),
    }
}

shape! {
    /// Whether logging in asks for a second factor.
    pub TwoFactorStatusResponse(record: Option<&ArchivedTwoFactor>) {
        enabled: bool = record.is_some(),
        backup_codes_remaining: u64 = record.map_or(0, |record| record.codes.len() as u64),
    }
}

/// Uses a proof up.
fn spend(record: &mut TwoFactor, proof: &Proof) {
    match proof {
        Proof::Step(step) => record.last_step = *step,
        Proof::Backup(sum) => record.codes.retain(|code| *code != sum.0),
    }
    (record.failures, record.locked_until) = (0, 0);
}

/// # Errors
/// 401 when a proof holds no more; 400 when it is not switched on.
fn checked(machine: &Machine<'_, '_>, user_id: UserId, proof: &Proof) -> Result<TwoFactor> {
    require_active(machine, user_id)?;
    let record = of(machine.read(), user_id).ok_or(Refusal::TwoFactorOff)?;
    require_code_unlocked(record, machine.at)?;
    if !holds(record, proof) {
        return Err(Refusal::CodeWrong.into());
    }
    Ok(record.into())
}

/// # Errors
/// 401 when the password has been changed while this one was being compared.
fn require_phc(machine: &Machine<'_, '_>, user_id: UserId, phc: &Secret<String>) -> Result<()> {
    require_active(machine, user_id)?;
    let record = machine.tx.get(CREDENTIALS, user_id).ok_or(Refusal::TokenInvalid)?;
    if record.phc == phc.0.as_str() { Ok(()) } else { Err(Refusal::CredentialsInvalid.into()) }
}

pub(in crate::domain) fn begin(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &TwoFactorBegin,
) -> Result<()> {
    require_phc(machine, actor, &op.phc)?;
    if of(machine.read(), actor).is_some() {
        return Err(Refusal::TwoFactorOn.into());
    }
    let before = machine.tx.get(TWO_FACTORS, actor).map(TwoFactor::from).unwrap_or_default();
    let record = TwoFactor { sealed: op.sealed.0.clone(), codes: op.codes.0.clone(), last_step: 0, ..before };
    machine.tx.put(TWO_FACTORS, actor, &record);
    Ok(())
}

pub(in crate::domain) fn confirm(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &TwoFactorConfirm,
) -> Result<()> {
    require_active(machine, actor)?;
    let pending = machine.tx.get(TWO_FACTORS, actor).filter(|record| !record.enabled);
    let pending = pending.ok_or(Refusal::TwoFactorNotBegun)?;
    require_code_unlocked(pending, machine.at)?;
    // Another set-up may have begun since the code was compared.
    if pending.sealed.as_slice() != op.sealed.0.as_slice() {
        return Err(Refusal::CodeWrong.into());
    }
    let mut record = TwoFactor { enabled: true, ..pending.into() };
    spend(&mut record, &Proof::Step(op.step));
    machine.tx.put(TWO_FACTORS, actor, &record);
    mail::tell(machine, actor, mail_kind::TWO_FACTOR_ON, "", 0);
    Ok(())
}

pub(in crate::domain) fn disable(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &TwoFactorDisable,
) -> Result<()> {
    require_phc(machine, actor, &op.phc)?;
    checked(machine, actor, &op.proof)?;
    machine.tx.remove(TWO_FACTORS, actor);
    forget_challenges(machine, actor);
    mail::tell(machine, actor, mail_kind::TWO_FACTOR_OFF, "", 0);
    Ok(())
}

pub(in crate::domain) fn spend_proof(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &TwoFactorUse,
) -> Result<()> {
    let mut record = checked(machine, actor, &op.proof)?;
    spend(&mut record, &op.proof);
    machine.tx.put(TWO_FACTORS, actor, &record);
    Ok(())
}

/// Replies whether codes are locked now.
pub(in crate::domain) fn failed(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &TwoFactorFailed,
) -> Result<bool> {
    require_active(machine, actor)?;
    let record = machine.tx.get(TWO_FACTORS, actor).ok_or(Refusal::TwoFactorOff)?;
    require_code_unlocked(record, machine.at)?;
    let mut record = TwoFactor::from(record);
    let before = if record.locked_until == 0 { record.failures } else { 0 };
    record.failures = before.saturating_add(1);
    let locked = u64::from(record.failures) >= op.failures_max;
    record.locked_until = if locked { machine.at + op.lockout_ms } else { 0 };
    machine.tx.put(TWO_FACTORS, actor, &record);
    Ok(locked)
}

pub(in crate::domain) fn challenge_create(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &ChallengeCreate,
) -> Result<ChallengeId> {
    token::require_login(machine, op.user_id, &op.phc)?;
    // It may have been switched off while the password was being compared.
    of(machine.read(), op.user_id).ok_or(Refusal::CredentialsInvalid)?;
    token::forget_failures(machine, op.user_id);
    forget_name(machine, op.name);
    Ok(ask(machine, op.user_id, &op.secret_hash, op.life_ms))
}

/// A new challenge for somebody who has shown his first factor.
pub(super) fn ask(
    machine: &mut Machine<'_, '_>,
    user_id: UserId,
    secret_hash: &Secret<[u8; 32]>,
    life_ms: u64,
) -> ChallengeId {
    let at = machine.at;
    let ids: Vec<ChallengeId> =
        machine.read().scan(USER_CHALLENGES, user_id).map(|((_, id), _)| id).collect();
    let is_live = |id: &ChallengeId| {
        machine.tx.get(CHALLENGES, *id).is_some_and(|challenge| challenge.expires_at.to_native() > at)
    };
    let (live, dead): (Vec<_>, Vec<_>) = ids.into_iter().partition(is_live);
    let surplus = (live.len() + 1).saturating_sub(CHALLENGE_COUNT_MAX);
    for id in dead.into_iter().chain(live.into_iter().take(surplus)) {
        machine.tx.remove(USER_CHALLENGES, (user_id, id));
    }
    let id = ChallengeId(machine.next_id());
    let challenge = Challenge { user_id, secret_hash: secret_hash.0, expires_at: at + life_ms, failures: 0 };
    machine.tx.put(CHALLENGES, id, &challenge);
    machine.tx.put(USER_CHALLENGES, (user_id, id), &Nil {});
    id
}

/// # Errors
/// 401 when there is no such challenge any more.
pub(super) fn live(machine: &Machine<'_, '_>, id: ChallengeId) -> Result<Challenge> {
    let challenge = machine.tx.get(CHALLENGES, id).filter(|found| found.expires_at.to_native() > machine.at);
    let challenge = Challenge::from(challenge.ok_or(Refusal::ChallengeInvalid)?);
    require_active(machine, challenge.user_id).map_err(|_| Refusal::ChallengeInvalid)?;
    Ok(challenge)
}

pub(in crate::domain) fn challenge_pass(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &ChallengePass,
) -> Result<(UserId, TokenId)> {
    let user_id = live(machine, op.challenge_id)?.user_id;
    let record = of(machine.read(), user_id).ok_or(Refusal::ChallengeInvalid)?;
    if !holds(record, &op.proof) {
        return Err(Refusal::CodeWrong.into());
    }
    let mut record = TwoFactor::from(record);
    spend(&mut record, &op.proof);
    machine.tx.put(TWO_FACTORS, user_id, &record);
    answered(machine, user_id, op.challenge_id);
    let token_id = token::grant(machine, user_id, &op.token);
    Ok((user_id, token_id))
}

/// A challenge has been answered rightly, and is no more.
pub(super) fn answered(machine: &mut Machine<'_, '_>, user_id: UserId, id: ChallengeId) {
    machine.tx.remove(USER_CHALLENGES, (user_id, id));
}

/// Replies whether the challenge is void now.
pub(in crate::domain) fn challenge_failed(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &ChallengeFailed,
) -> Result<bool> {
    let mut challenge = live(machine, op.challenge_id)?;
    challenge.failures = challenge.failures.saturating_add(1);
    let is_void = u64::from(challenge.failures) >= op.failures_max;
    if is_void {
        machine.tx.remove(USER_CHALLENGES, (challenge.user_id, op.challenge_id));
    } else {
        machine.tx.put(CHALLENGES, op.challenge_id, &challenge);
    }
    Ok(is_void)
}

/// What was begun with the password before, or without a second factor, does not end in a login.
pub(in crate::domain) fn forget_challenges(machine: &mut Machine<'_, '_>, user_id: UserId) {
    let ids: Vec<ChallengeId> =
        machine.read().scan(USER_CHALLENGES, user_id).map(|((_, id), _)| id).collect();
    for id in ids {
        machine.tx.remove(USER_CHALLENGES, (user_id, id));
    }
}
