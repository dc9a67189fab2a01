//! Signing in with an account elsewhere: what was begun, and what comes of somebody for whom a provider vouches.
//!
//! What a provider says is asked for outside; a command carries it. Whom it means is decided here, in the order of the
//! log: by the provider's own id, else by an address that the provider has confirmed, else it is somebody new.
//!
//! Invariants: a sign-in leads back once. A provider's id leads to at most one account, and an account is at most one
//! there. Nobody comes to an account by an address that either side has not confirmed: who has typed a stranger's
//! address into his own would let him in, or be let in by him.

use rkyv::{Archive, Deserialize, Serialize};

use super::account::{self, Email};
use super::credential::{self, Secret, require_present};
use super::token::{self, NewToken};
use super::{email_verification, mail, two_factor};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::reply::Admitted;
use crate::id::{SignInId, UserId};
use crate::limits::{SIGN_IN_COUNT_MAX, SIGN_INS_PER_SOURCE_MAX};
use crate::store::Read;
use crate::store::records::{
    ArchivedProviderSignIn, ArchivedUser, Nil, ProviderLink, ProviderSignIn, User, UserRef, mail_kind,
    provider,
};
use crate::store::tables::{
    PROVIDER_LINKS, PROVIDER_SIGN_IN_LAPSES, PROVIDER_SIGN_IN_SOURCES, PROVIDER_SIGN_INS, PROVIDER_SUBJECTS,
    USERS,
};

/// More than one, so that a heap of lapsed ones shrinks.
const LAPSED_PER_BEGIN: usize = 2;
/// Numbers that are tried behind a name that somebody has; then comes one that nobody has.
const NAME_NUMBER_MAX: u64 = 20;

/// Begins a sign-in. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct SignInBegin {
    /// A [`provider`] code.
    pub provider: u8,
    /// SHA-256 of the secret part of the state.
    pub secret_hash: Secret<[u8; 32]>,
    /// SHA-256 of the address to which it leads back.
    pub redirect_hash: [u8; 32],
    /// SHA-256 of the verifier, where one is asked for.
    pub challenge: Option<[u8; 32]>,
    /// Stands for where it is begun, made by the API.
    pub source: u64,
    /// Of them that may be open at once.
    pub source_max: u64,
    pub life_ms: u64,
}

/// Uses a sign-in up, whose state has been shown. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct SignInTake {
    pub sign_in_id: SignInId,
}

/// Lets somebody in for whom a provider vouches. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct SignInEnd {
    /// A [`provider`] code.
    pub provider: u8,
    /// What he is there, by an id that never is another's.
    pub subject: String,
    /// Keys under which his address may be stored, if the provider has confirmed it.
    pub keys: Vec<String>,
    /// What becomes of him if he has no account; without it he gets none.
    pub newcomer: Option<Box<Newcomer>>,
    /// Boxed: this is among the largest commands, and all are moved as far as it goes.
    pub token: Box<NewToken>,
    /// SHA-256 of the secret part of a challenge, for those who have a second factor.
    pub challenge_hash: Secret<[u8; 32]>,
    pub challenge_life_ms: u64,
}

/// An account that begins with a provider's word. It has no password.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Newcomer {
    /// A name that is allowed; where somebody has it, a number is put behind it.
    pub username: String,
    pub username_len_max: u64,
    /// Confirmed by the provider.
    pub email: Email,
    pub age_verified: bool,
    /// A [`crate::store::records::tier`] code.
    pub tier: u8,
    /// [`crate::store::records::badge`] codes.
    pub badges: Vec<u8>,
}

/// What a provider is shown, and shows again when it leads back: `<id>.<secret>`.
pub fn state(id: SignInId, secret: &str) -> String {
    format!("{id}.{secret}")
}

/// The open sign-in whose state this is.
///
/// # Errors
/// 400 when it is unknown, wrong, used or over.
pub fn open<'r>(read: Read<'r>, state: &str, now_ms: u64) -> Result<(SignInId, &'r ArchivedProviderSignIn)> {
    let invalid = Refusal::SignInInvalid;
    let (id, secret) = credential::parts(state).ok_or(invalid)?;
    let sign_in = read.get(PROVIDER_SIGN_INS, SignInId(id)).ok_or(invalid)?;
    let is_open = sign_in.expires_at.to_native() > now_ms;
    if !credential::matches(&sign_in.secret_hash, secret) || !is_open {
        return Err(invalid.into());
    }
    Ok((SignInId(id), sign_in))
}

/// Whom a provider means: by its id of him, else by the keys of an address that it has confirmed.
pub fn find(read: Read<'_>, provider: u8, subject: &str, keys: &[String]) -> Option<UserId> {
    by_subject(read, provider, subject).or_else(|| keys.iter().find_map(|key| account::by_email(read, key)))
}

fn by_subject(read: Read<'_>, provider: u8, subject: &str) -> Option<UserId> {
    read.get(PROVIDER_SUBJECTS, (provider, subject)).map(|found| UserId::from(&found.id))
}

pub(in crate::domain) fn begin(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &SignInBegin,
) -> Result<SignInId> {
    let at = machine.at;
    let of_source = machine.read().scan(PROVIDER_SIGN_IN_SOURCES, op.source).take(SIGN_INS_PER_SOURCE_MAX);
    let ends = of_source.filter_map(|((_, id), _)| {
        machine.tx.get(PROVIDER_SIGN_INS, id).map(|known| (id, known.expires_at.to_native()))
    });
    let (open, lapsed): (Vec<_>, Vec<_>) = ends.partition(|(_, expires_at)| *expires_at > at);
    let room = op.source_max.min(SIGN_INS_PER_SOURCE_MAX as u64);
    if open.len() as u64 >= room {
        let first = open.iter().map(|(_, expires_at)| expires_at - at).min().unwrap_or(op.life_ms);
        return Err(Error::too_many_open(
            "Too many sign-ins from this address are open: finish one of them",
            first,
        ));
    }
    for (id, _) in lapsed {
        machine.tx.remove(PROVIDER_SIGN_INS, id);
    }
    forget_lapsed(machine);
    let id = SignInId(machine.next_id());
    let sign_in = ProviderSignIn {
        provider: op.provider,
        secret_hash: op.secret_hash.0,
        redirect_hash: op.redirect_hash,
        challenge: op.challenge,
        source: op.source,
        expires_at: at.saturating_add(op.life_ms),
    };
    put(machine, id, &sign_in);
    Ok(id)
}

fn put(machine: &mut Machine<'_, '_>, id: SignInId, sign_in: &ProviderSignIn) {
    machine.tx.put(PROVIDER_SIGN_INS, id, sign_in);
    machine.tx.put(PROVIDER_SIGN_IN_LAPSES, (sign_in.expires_at, id), &Nil {});
    machine.tx.put(PROVIDER_SIGN_IN_SOURCES, (sign_in.source, id), &Nil {});
}

/// Removes some that are over, and the one that is next when there are too many.
fn forget_lapsed(machine: &mut Machine<'_, '_>) {
    for _ in 0..LAPSED_PER_BEGIN {
        let first = machine.read().scan(PROVIDER_SIGN_IN_LAPSES, ()).next().map(|(key, _)| key);
        let Some((expires_at, id)) = first else { return };
        if expires_at > machine.at && machine.read().len(PROVIDER_SIGN_INS) < SIGN_IN_COUNT_MAX {
            return;
        }
        machine.tx.remove(PROVIDER_SIGN_INS, id);
    }
}

/// Replies whether it could still be used.
pub(in crate::domain) fn take(machine: &mut Machine<'_, '_>, _: UserId, op: &SignInTake) -> Result<bool> {
    let known = machine.tx.get(PROVIDER_SIGN_INS, op.sign_in_id);
    let is_open = known.is_some_and(|known| known.expires_at.to_native() > machine.at);
    machine.tx.remove(PROVIDER_SIGN_INS, op.sign_in_id);
    Ok(is_open)
}

pub(in crate::domain) fn end(machine: &mut Machine<'_, '_>, _: UserId, op: &SignInEnd) -> Result<Admitted> {
    let user_id = match find(machine.read(), op.provider, &op.subject, &op.keys) {
        Some(user_id) => {
            admit(machine, user_id, op)?;
            user_id
        }
        None => welcome(machine, op)?,
    };
    if two_factor::of(machine.read(), user_id).is_some() {
        let challenge_id = two_factor::ask(machine, user_id, &op.challenge_hash, op.challenge_life_ms);
        return Ok(Admitted::Challenge(challenge_id));
    }
    Ok(Admitted::Session(user_id, token::grant(machine, user_id, &op.token)))
}

/// Somebody who has an account.
fn admit(machine: &mut Machine<'_, '_>, user_id: UserId, op: &SignInEnd) -> Result<()> {
    let read = machine.read();
    let user = read.get(USERS, user_id).ok_or(Refusal::ProviderRefused)?;
    require_present(read, user)?;
    if by_subject(read, op.provider, &op.subject).is_none() {
        require_linkable(user)?;
        link(machine, user_id, op);
        mail::tell(machine, user_id, mail_kind::PROVIDER_LINKED, provider::text(op.provider), 0);
    }
    Ok(())
}

/// Whether an account may be somebody's because he has its address.
///
/// # Errors
/// 403 with the reason when nobody has shown that the account has it.
pub fn require_linkable(user: &ArchivedUser) -> Result<()> {
    email_verification::require(user)
}

/// Somebody who has none.
fn welcome(machine: &mut Machine<'_, '_>, op: &SignInEnd) -> Result<UserId> {
    let new = op.newcomer.as_ref().ok_or(Refusal::ProviderRefused)?;
    let username = free_name(machine, new);
    account::require_free(machine.read(), Some(&username), Some(&new.email.key), None)?;
    let user = User {
        username,
        email: new.email.address.clone(),
        email_key: new.email.key.clone(),
        created_at: machine.unix_ms,
        email_verified: true,
        age_verified: new.age_verified,
        badges: new.badges.clone(),
        tier: new.tier,
        ..User::default()
    };
    let user_id = account::open(machine, &user, "");
    link(machine, user_id, op);
    Ok(user_id)
}

/// What somebody was at this provider before makes room.
fn link(machine: &mut Machine<'_, '_>, user_id: UserId, op: &SignInEnd) {
    machine.tx.remove(PROVIDER_LINKS, (user_id, op.provider));
    let link = ProviderLink { subject: op.subject.clone(), created_at: machine.unix_ms };
    machine.tx.put(PROVIDER_LINKS, (user_id, op.provider), &link);
    machine.tx.put(PROVIDER_SUBJECTS, (op.provider, op.subject.as_str()), &UserRef::from(user_id));
}

/// From now on no provider means this account.
pub(in crate::domain) fn forget_links(machine: &mut Machine<'_, '_>, user_id: UserId) {
    machine.tx.remove_prefix(PROVIDER_LINKS, user_id, provider::WORDS.len());
}

/// The name, or the same with the first number behind it that makes it free, or with one that nobody has.
fn free_name(machine: &mut Machine<'_, '_>, new: &Newcomer) -> String {
    let len_max = usize::try_from(new.username_len_max).unwrap_or(usize::MAX);
    let is_free = |name: &String| account::by_name(machine.read(), name).is_none();
    let numbered = (2..=NAME_NUMBER_MAX).map(|number| with_number(&new.username, number, len_max));
    let names = [new.username.clone()].into_iter().chain(numbered);
    let found = names.into_iter().find(is_free);
    found.unwrap_or_else(|| {
        let number = machine.next_id();
        with_number(&new.username, number, len_max)
    })
}

/// Cut so that the number has room; of a long number as many of its last digits as there is room for.
fn with_number(name: &str, number: u64, len_max: usize) -> String {
    let number = number.to_string();
    let number = &number[number.len().saturating_sub(len_max)..];
    let kept = name.char_indices().map(|(at, _)| at).chain([name.len()]);
    let kept = kept.take_while(|at| at + number.len() <= len_max).last().unwrap_or(0);
    format!("{}{number}", &name[..kept])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_numbers_have_room() {
        for (name, number, len_max, want) in [
            ("ada", 2, 32, "ada2"),
            ("ada", 2, 3, "ad2"),
            ("ada_lovelace", 20, 12, "ada_lovela20"),
            ("ada", 123_456_789, 4, "6789"),
            ("ada", 123_456_789, 10, "a123456789"),
        ] {
            assert_eq!(with_number(name, number, len_max), want);
        }
    }
}
