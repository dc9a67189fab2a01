//! Tokens that reach people by mail.

use crate::api::authenticate::{SESSION_SECRET_LEN, hash_secret, new_secret};
use crate::api::ctx::Ctx;
use crate::domain::identity::credential::Secret;
use crate::domain::identity::mail::{self, NewMailToken};
use crate::domain::{Error, Result};
use crate::store::keyring::Purpose;
use crate::text;

use super::rules::checked_email;

const HOUR_MS: u64 = 3_600_000;
/// How long they are good (contract, auth.md and decisions F).
pub(super) const RESET_MS: u64 = HOUR_MS;
pub(super) const CONFIRMATION_MS: u64 = 24 * HOUR_MS;

/// A fresh token. Its secret is known to nobody but the mail that brings it: it is sealed for that.
pub(super) fn new_mail_token(ctx: &Ctx<'_>, life_ms: u64) -> NewMailToken {
    let secret = new_secret::<SESSION_SECRET_LEN>();
    let secret_hash = hash_secret(&secret);
    let sealed = ctx.state.keys.seal(Purpose::MailToken, mail::seal_context(&secret_hash), secret.as_bytes());
    NewMailToken { secret_hash: Secret(secret_hash), sealed: Secret(sealed), life_ms }
}

/// Keys under which the address may be stored that somebody has typed.
///
/// # Errors
/// 400 for what is no address.
pub(super) fn typed_keys(typed: &str) -> Result<Vec<String>> {
    checked_email(typed)?;
    let keys = text::email::forms(typed);
    if keys.is_empty() { Err(Error::invalid("email", "must be an e-mail address")) } else { Ok(keys) }
}
