//! That an account has the address that it says: shown by a token that was sent there.

use rkyv::{Archive, Deserialize, Serialize};

use super::credential::Secret;
use super::mail;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::store::records::{ArchivedUser, User, mail_kind};
use crate::store::tables::USERS;

/// Confirms the address of an account, with a token that was found good. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct EmailConfirm {
    pub user_id: UserId,
    /// SHA-256 of the secret part of the token.
    pub secret_hash: Secret<[u8; 32]>,
}

/// For servers that ask for it.
///
/// # Errors
/// 403 with the reason for an account whose address was not confirmed.
pub fn require(user: &ArchivedUser) -> Result<()> {
    if user.email_verified {
        return Ok(());
    }
    Err(Error::from(Refusal::EmailUnconfirmed).with_reason("email_not_verified"))
}

pub(in crate::domain) fn confirm(machine: &mut Machine<'_, '_>, _: UserId, op: &EmailConfirm) -> Result<()> {
    let user = machine.tx.get(USERS, op.user_id).map(User::from).ok_or(Refusal::MailTokenInvalid)?;
    mail::spend(machine, op.user_id, mail_kind::EMAIL_CONFIRMATION, &op.secret_hash)?;
    machine.tx.put(USERS, op.user_id, &User { email_verified: true, ..user });
    Ok(())
}
