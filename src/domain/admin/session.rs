//! Log-ins of administrators: the challenge between password and code, and the session.
//!
//! Invariants: a session lasts as long as it was given, whatever it is used for. An administrator has one set-up of
//! one-time codes pending: another log-in voids the one before. Only hashes of secrets are here.

use rkyv::{Archive, Deserialize, Serialize};

use super::act::record;
use super::guessing;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::identity::credential::Secret;
use crate::domain::identity::two_factor::Proof;
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{AdminId, UserId};
use crate::limits::{ADMIN_CHALLENGE_COUNT_MAX, ADMIN_SESSION_COUNT_MAX};
use crate::store::Read;
use crate::store::blobs::Hash;
use crate::store::records::{Admin, AdminChallenge, AdminSession, ArchivedAdmin};
use crate::store::tables::{ADMIN_CHALLENGES, ADMIN_SESSIONS, ADMINS};

/// What a new session is made of.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NewAdminSession {
    /// SHA-256 of the token.
    pub hash: Secret<Hash>,
    pub ip_address: String,
    pub user_agent: Option<String>,
    pub life_ms: u64,
    /// By what failures are counted: as in [`guessing::AdminFailed`].
    pub source: String,
}

/// A log-in whose password matched `phc`, which asks for a code.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminChallengeCreate {
    pub admin_id: AdminId,
    pub phc: Secret<String>,
    /// SHA-256 of its token.
    pub hash: Secret<Hash>,
    /// The secret to be set up; empty: the one in force.
    pub sealed: Secret<Vec<u8>>,
    pub life_ms: u64,
}

/// Ends a challenge with a session.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminChallengePass {
    pub challenge: Secret<Hash>,
    pub proof: Proof,
    /// Boxed: all commands are moved as far as the largest goes.
    pub session: Box<NewAdminSession>,
}

/// A log-in whose password matched `phc`, where no code is asked for.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminSignIn {
    pub admin_id: AdminId,
    pub phc: Secret<String>,
    /// Boxed as above.
    pub session: Box<NewAdminSession>,
}

/// Ends a session.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminSignOut {
    pub session: Secret<Hash>,
}

/// Whose live session it is.
///
/// # Errors
/// 401 when it is none, over, or ended.
pub fn live<'r>(read: Read<'r>, session: &Hash, at: u64) -> Result<(AdminId, &'r ArchivedAdmin)> {
    let invalid = Refusal::TokenInvalid;
    let known = read.get(ADMIN_SESSIONS, *session).ok_or(invalid)?;
    if known.is_ended || known.expires_at.to_native() <= at {
        return Err(invalid.into());
    }
    let admin_id = AdminId::from(&known.admin_id);
    Ok((admin_id, read.get(ADMINS, admin_id).ok_or(invalid)?))
}

/// Whether a session is good for logging out: also one that somebody else has ended.
pub fn is_known(read: Read<'_>, session: &Hash, at: u64) -> bool {
    read.get(ADMIN_SESSIONS, *session).is_some_and(|known| known.expires_at.to_native() > at)
}

/// The live challenge whose token has this hash.
///
/// # Errors
/// 401 when it is unknown, over, of another administrator, or of the other kind.
pub fn challenge(read: Read<'_>, hash: &Hash, at: u64, asked: (AdminId, bool)) -> Result<AdminChallenge> {
    let invalid = Refusal::ChallengeInvalid;
    let known = read.get(ADMIN_CHALLENGES, *hash).map(AdminChallenge::from).ok_or(invalid)?;
    let (admin_id, is_setup) = asked;
    let is_asked = known.admin_id == admin_id && known.sealed.is_empty() != is_setup;
    if known.expires_at <= at || !is_asked { Err(invalid.into()) } else { Ok(known) }
}

/// Whether a proof still holds.
pub fn holds(last_step: u64, codes: &[[u8; 32]], proof: &Proof) -> bool {
    match proof {
        Proof::Step(step) => *step > last_step,
        Proof::Backup(sum) => codes.contains(&sum.0),
    }
}

/// Uses a proof up.
///
/// # Errors
/// 401 when it holds no more.
pub(super) fn spend(admin: &mut Admin, proof: &Proof) -> Result<()> {
    if !holds(admin.last_step, &admin.codes, proof) {
        return Err(Refusal::CodeWrong.into());
    }
    match proof {
        Proof::Step(step) => admin.last_step = *step,
        Proof::Backup(sum) => admin.codes.retain(|code| *code != sum.0),
    }
    Ok(())
}

/// The administrator, if his password has not been changed while this one was being compared.
///
/// # Errors
/// 401.
pub(super) fn verified(machine: &Machine<'_, '_>, admin_id: AdminId, phc: &Secret<String>) -> Result<Admin> {
    let admin = machine.tx.get(ADMINS, admin_id).filter(|admin| admin.phc == phc.0.as_str());
    Ok(admin.map(Admin::from).ok_or(Refusal::CredentialsInvalid)?)
}

pub(in crate::domain) fn challenge_create(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminChallengeCreate,
) -> Result<()> {
    let admin = verified(machine, op.admin_id, &op.phc)?;
    // Only what is in force can be asked for, and only who acts replaces it.
    if op.sealed.0.is_empty() && admin.sealed.is_empty() {
        return Err(Refusal::CredentialsInvalid.into());
    }
    if !op.sealed.0.is_empty() && !admin.sealed.is_empty() && machine.admin() != Some(op.admin_id) {
        return Err(Error::forbidden("One-time codes are set up already"));
    }
    forget_challenges(machine, op.admin_id, !op.sealed.0.is_empty());
    let challenge = AdminChallenge {
        admin_id: op.admin_id,
        sealed: op.sealed.0.clone(),
        expires_at: machine.at.saturating_add(op.life_ms),
        failures: 0,
    };
    machine.tx.put(ADMIN_CHALLENGES, op.hash.0, &challenge);
    machine.note(Note::of(admin.username));
    Ok(())
}

/// Removes challenges that are over, the set-up that was pending where another begins, and those beyond the limit.
fn forget_challenges(machine: &mut Machine<'_, '_>, admin_id: AdminId, is_setup: bool) {
    let at = machine.at;
    let all = machine.read().scan(ADMIN_CHALLENGES, ()).take(ADMIN_CHALLENGE_COUNT_MAX + 1);
    let mut live: Vec<(u64, Hash)> = Vec::new();
    let mut gone: Vec<Hash> = Vec::new();
    for (hash, known) in all {
        let expires_at = known.expires_at.to_native();
        let is_replaced = is_setup && !known.sealed.is_empty() && AdminId::from(&known.admin_id) == admin_id;
        if expires_at <= at || is_replaced { gone.push(hash) } else { live.push((expires_at, hash)) }
    }
    live.sort_unstable();
    let surplus = (live.len() + 1).saturating_sub(ADMIN_CHALLENGE_COUNT_MAX);
    gone.extend(live[..surplus].iter().map(|(_, hash)| *hash));
    gone.iter().for_each(|hash| forget_challenge(machine, hash));
}

fn forget_challenge(machine: &mut Machine<'_, '_>, hash: &Hash) {
    machine.tx.delete(ADMIN_CHALLENGES, *hash);
}

pub(in crate::domain) fn challenge_pass(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminChallengePass,
) -> Result<AdminId> {
    let hash = &op.challenge.0;
    let known = machine.read().get(ADMIN_CHALLENGES, *hash).map(AdminChallenge::from);
    let known = known.filter(|known| known.expires_at > machine.at).ok_or(Refusal::ChallengeInvalid)?;
    let admin = machine.tx.get(ADMINS, known.admin_id).map(Admin::from);
    let mut admin = admin.ok_or(Refusal::ChallengeInvalid)?;
    if !known.sealed.is_empty() {
        // The steps of another secret say nothing of this one.
        admin = Admin { sealed: known.sealed, last_step: 0, ..admin };
    }
    spend(&mut admin, &op.proof)?;
    forget_challenge(machine, hash);
    grant(machine, known.admin_id, admin, &op.session);
    Ok(known.admin_id)
}

pub(in crate::domain) fn sign_in(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminSignIn,
) -> Result<AdminId> {
    let admin = verified(machine, op.admin_id, &op.phc)?;
    if !admin.sealed.is_empty() {
        return Err(Refusal::CredentialsInvalid.into());
    }
    grant(machine, op.admin_id, admin, &op.session);
    Ok(op.admin_id)
}

/// Begins a session; those that are over go, and the oldest where there are too many.
fn grant(machine: &mut Machine<'_, '_>, admin_id: AdminId, admin: Admin, new: &NewAdminSession) {
    let at = machine.at;
    let all = machine.read().scan(ADMIN_SESSIONS, ()).take(ADMIN_SESSION_COUNT_MAX + 1);
    let (mut live, mut gone): (Vec<(u64, Hash)>, Vec<Hash>) = (Vec::new(), Vec::new());
    for (hash, known) in all {
        let expires_at = known.expires_at.to_native();
        if expires_at <= at { gone.push(hash) } else { live.push((expires_at, hash)) }
    }
    live.sort_unstable();
    let surplus = (live.len() + 1).saturating_sub(ADMIN_SESSION_COUNT_MAX);
    gone.extend(live[..surplus].iter().map(|(_, hash)| *hash));
    for hash in gone {
        machine.tx.delete(ADMIN_SESSIONS, hash);
    }
    machine.tx.put(ADMINS, admin_id, &Admin { last_login: Some(machine.unix_ms), ..admin });
    let session = AdminSession {
        admin_id,
        created_at: machine.unix_ms,
        expires_at: at.saturating_add(new.life_ms),
        ip_address: new.ip_address.clone(),
        user_agent: new.user_agent.clone(),
        is_ended: false,
    };
    machine.tx.put(ADMIN_SESSIONS, new.hash.0, &session);
    guessing::forget(machine, &new.source);
    record(machine, admin_id, &new.ip_address, "AdminSignIn", Note::default());
}

pub(in crate::domain) fn sign_out(machine: &mut Machine<'_, '_>, _: UserId, op: &AdminSignOut) -> Result<()> {
    let known = machine.read().get(ADMIN_SESSIONS, op.session.0).map(AdminSession::from);
    let known = known.filter(|known| known.expires_at > machine.at).ok_or(Refusal::TokenInvalid)?;
    machine.tx.delete(ADMIN_SESSIONS, op.session.0);
    record(machine, known.admin_id, &known.ip_address, "AdminSignOut", Note::default());
    Ok(())
}

/// Ends the sessions of an administrator but one: they are good for logging out alone. What he has begun is void.
pub(super) fn end_all(machine: &mut Machine<'_, '_>, admin_id: AdminId, but: Option<&Hash>) {
    let all = machine.read().scan(ADMIN_SESSIONS, ()).take(ADMIN_SESSION_COUNT_MAX + 1);
    let own = all.filter(|(_, known)| AdminId::from(&known.admin_id) == admin_id && !known.is_ended);
    let ended: Vec<(Hash, AdminSession)> = own
        .filter(|(hash, _)| but != Some(hash))
        .map(|(hash, known)| (hash, AdminSession { is_ended: true, ..AdminSession::from(known) }))
        .collect();
    for (hash, session) in ended {
        machine.tx.put(ADMIN_SESSIONS, hash, &session);
    }
    let all = machine.read().scan(ADMIN_CHALLENGES, ()).take(ADMIN_CHALLENGE_COUNT_MAX + 1);
    let begun: Vec<Hash> =
        all.filter(|(_, known)| AdminId::from(&known.admin_id) == admin_id).map(|(hash, _)| hash).collect();
    begun.iter().for_each(|hash| forget_challenge(machine, hash));
}
