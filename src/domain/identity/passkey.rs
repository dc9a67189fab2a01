//! Passkeys: which there are, and what one opens.
//!
//! What an authenticator has signed is looked at outside; a command says which passkey it was and how far its counter
//! is. Here it is decided whether that still holds: a counter that does not rise is that of a copy.
//!
//! Invariant: a credential is one account's. It opens a session by itself, since its owner was made sure of, or stands
//! for the code of a login whose password was right.

use rkyv::{Archive, Deserialize, Serialize};

use super::account::require_active;
use super::credential::require_present;
use super::token::{self, NewToken};
use super::{mail, two_factor};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::time::Offset;
use crate::id::{ChallengeId, PasskeyId, TokenId, UserId};
use crate::limits::PASSKEY_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedPasskey, Passkey, PasskeyPlace, mail_kind};
use crate::store::tables::{PASSKEY_PLACES, PASSKEYS, USERS};
use crate::wire::json::shape::shape;

/// A new passkey of the acting user.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PasskeyAdd {
    pub name: String,
    pub credential_id: Vec<u8>,
    /// SHA-256 of that.
    pub credential_hash: [u8; 32],
    /// A [`crate::store::records::passkey_algorithm`] code.
    pub algorithm: u8,
    pub key: Vec<u8>,
    pub exponent: Vec<u8>,
    pub counter: u32,
    /// Of one account.
    pub count_max: u64,
}

/// Calls a passkey of the acting user something else.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PasskeyRename {
    pub passkey_id: PasskeyId,
    pub name: String,
}

/// Removes a passkey of the acting user.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PasskeyRemove {
    pub passkey_id: PasskeyId,
}

/// What a passkey has signed.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Signed {
    /// SHA-256 of the credential's id.
    pub credential_hash: [u8; 32],
    pub counter: u32,
}

/// Opens a session with a passkey alone. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PasskeySignIn {
    pub signed: Signed,
    pub token: NewToken,
}

/// Ends a challenge with a passkey. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PasskeyPass {
    pub challenge_id: ChallengeId,
    pub signed: Signed,
    pub token: NewToken,
}

/// Those of a user, oldest first.
pub fn of(read: Read<'_>, user_id: UserId) -> impl Iterator<Item = (PasskeyId, &ArchivedPasskey)> {
    read.scan(PASSKEYS, user_id).take(PASSKEY_COUNT_MAX).map(|((_, id), passkey)| (id, passkey))
}

/// Whose a credential is.
pub fn find(read: Read<'_>, credential_hash: &[u8; 32]) -> Option<(UserId, PasskeyId)> {
    let place = read.get(PASSKEY_PLACES, *credential_hash)?;
    Some((UserId::from(&place.user_id), PasskeyId::from(&place.passkey_id)))
}

shape! {
    /// A passkey.
    pub PasskeyResponse(id: PasskeyId, passkey: &ArchivedPasskey, offset: Offset) {
        id: id = id.0,
        name: str = &passkey.name,
        created_at: time = passkey.created_at.to_native(),
        last_used_at: opt_time = passkey.last_used_at.as_ref().map(|at| offset.shown(at.to_native())),
    }
}

pub fn write_list(asking: Asking<'_>, offset: Offset, out: &mut Vec<u8>) {
    let mut list = crate::wire::json::Array::new(out);
    for (id, passkey) in of(asking.read, asking.who) {
        PasskeyResponse::write(list.item(), id, passkey, offset);
    }
}

pub(in crate::domain) fn add(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &PasskeyAdd,
) -> Result<PasskeyId> {
    require_active(machine, actor)?;
    if find(machine.read(), &op.credential_hash).is_some() {
        return Err(Refusal::PasskeyKnown.into());
    }
    let count_max = op.count_max.min(PASSKEY_COUNT_MAX as u64);
    if of(machine.read(), actor).count() as u64 >= count_max {
        let text = format!("You already have {count_max} passkeys, the most allowed: delete one first");
        return Err(Error::bad_request(text));
    }
    let passkey_id = PasskeyId(machine.next_id());
    let passkey = Passkey {
        name: op.name.clone(),
        credential_id: op.credential_id.clone(),
        credential_hash: op.credential_hash,
        algorithm: op.algorithm,
        key: op.key.clone(),
        exponent: op.exponent.clone(),
        counter: op.counter,
        created_at: machine.unix_ms,
        last_used_at: None,
    };
    machine.tx.put(PASSKEYS, (actor, passkey_id), &passkey);
    machine.tx.put(PASSKEY_PLACES, op.credential_hash, &PasskeyPlace { user_id: actor, passkey_id });
    mail::tell(machine, actor, mail_kind::PASSKEY_ADDED, "", 0);
    Ok(passkey_id)
}

pub(in crate::domain) fn rename(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &PasskeyRename,
) -> Result<()> {
    require_active(machine, actor)?;
    let key = (actor, op.passkey_id);
    let passkey = machine.tx.get(PASSKEYS, key).map(Passkey::from).ok_or(Refusal::PasskeyNotFound)?;
    machine.tx.put(PASSKEYS, key, &Passkey { name: op.name.clone(), ..passkey });
    Ok(())
}

pub(in crate::domain) fn remove(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &PasskeyRemove,
) -> Result<()> {
    require_active(machine, actor)?;
    if !machine.tx.remove(PASSKEYS, (actor, op.passkey_id)) {
        return Err(Refusal::PasskeyNotFound.into());
    }
    Ok(())
}

/// The passkey as it is after this use.
///
/// # Errors
/// 401 when it is gone, or its counter has not risen.
fn used(machine: &Machine<'_, '_>, signed: &Signed) -> Result<(UserId, PasskeyId, Passkey)> {
    let (user_id, passkey_id) =
        find(machine.read(), &signed.credential_hash).ok_or(Refusal::PasskeyInvalid)?;
    let known = machine.tx.get(PASSKEYS, (user_id, passkey_id)).map(Passkey::from);
    let known = known.ok_or(Refusal::PasskeyInvalid)?;
    // Those that do not count say 0 each time (Web Authentication §7.2, step 21).
    let counts = known.counter != 0 || signed.counter != 0;
    if counts && signed.counter <= known.counter {
        return Err(Refusal::PasskeyCopied.into());
    }
    let passkey = Passkey { counter: signed.counter, last_used_at: Some(machine.at), ..known };
    Ok((user_id, passkey_id, passkey))
}

pub(in crate::domain) fn sign_in(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &PasskeySignIn,
) -> Result<(UserId, TokenId)> {
    let (user_id, passkey_id, passkey) = used(machine, &op.signed)?;
    let user = machine.tx.get(USERS, user_id).ok_or(Refusal::PasskeyInvalid)?;
    require_present(machine.read(), user)?;
    machine.tx.put(PASSKEYS, (user_id, passkey_id), &passkey);
    Ok((user_id, token::grant(machine, user_id, &op.token)))
}

pub(in crate::domain) fn pass(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &PasskeyPass,
) -> Result<(UserId, TokenId)> {
    let user_id = two_factor::live(machine, op.challenge_id)?.user_id;
    let (owner_id, passkey_id, passkey) = used(machine, &op.signed)?;
    if owner_id != user_id {
        return Err(Refusal::PasskeyInvalid.into());
    }
    machine.tx.put(PASSKEYS, (user_id, passkey_id), &passkey);
    two_factor::answered(machine, user_id, op.challenge_id);
    Ok((user_id, token::grant(machine, user_id, &op.token)))
}
