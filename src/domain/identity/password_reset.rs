//! A new password for whoever reads the mail of an account.

use rkyv::{Archive, Deserialize, Serialize};

use super::account::forget_name;
use super::credential::Secret;
use super::{mail, token, two_factor};
use crate::domain::error::{Refusal, Result};
use crate::domain::event::Revocation;
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::limits::LOGIN_NAMES_PER_ACCOUNT_MAX;
use crate::store::records::{Credential, mail_kind};
use crate::store::tables::CREDENTIALS;

/// Sets a password, with a token that was found good. Ends all sessions and the counting of failed logins. Only the
/// server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PasswordReset {
    pub user_id: UserId,
    /// SHA-256 of the secret part of the token.
    pub secret_hash: Secret<[u8; 32]>,
    /// The new PHC string.
    pub phc: Secret<String>,
    /// Keys of the names under which he logs in, made by the API: failures under them are forgotten.
    pub names: Vec<u64>,
}

pub(in crate::domain) fn reset(machine: &mut Machine<'_, '_>, _: UserId, op: &PasswordReset) -> Result<()> {
    if !machine.read().contains(CREDENTIALS, op.user_id) {
        return Err(Refusal::MailTokenInvalid.into());
    }
    mail::spend(machine, op.user_id, mail_kind::PASSWORD_RESET, &op.secret_hash)?;
    let credential = Credential { phc: op.phc.0.clone(), ..Credential::default() };
    machine.tx.put(CREDENTIALS, op.user_id, &credential);
    op.names.iter().take(LOGIN_NAMES_PER_ACCOUNT_MAX).for_each(|name| forget_name(machine, *name));
    token::revoke_all(machine, op.user_id, Revocation::Security, None);
    two_factor::forget_challenges(machine, op.user_id);
    mail::tell(machine, op.user_id, mail_kind::PASSWORD_CHANGED, "", 0);
    Ok(())
}
