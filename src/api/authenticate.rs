//! From the `Authorization` header to a principal.
//!
//! Tokens are `<session id>.<43 url-safe characters>`; only the SHA-256 of the secret part is stored and it is
//! compared in constant time. A wrong id and a wrong secret are told apart by nobody.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::ctx::Principal;
use crate::domain::{Refusal, Result};
use crate::id::{TokenId, UserId, parse_id};
use crate::store::Read;
use crate::store::records::{ArchivedUser, account};
use crate::store::tables::{TOKENS, USERS};
use crate::wire::http::Head;

/// The longest token of the contract: `webhook.<20 digits>.<64>`; anything longer is not looked at.
const TOKEN_LEN_MAX: usize = 128;

/// SHA-256 of the secret part of a token.
pub fn hash_secret(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The token of a request: `Bearer` or `Bot`, one header, no list.
///
/// # Errors
/// 401 when it is missing, given twice, or of another scheme.
pub fn bearer<'r>(head: &Head<'r>) -> Result<&'r str> {
    let mut values = head.header_all("authorization");
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::Unauthorized.into());
    };
    let text = std::str::from_utf8(value).map_err(|_| Refusal::Unauthorized)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(Refusal::Unauthorized)?;
    let token = token.trim();
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("bot");
    if !known || token.is_empty() || token.contains([',', ' ']) {
        return Err(Refusal::Unauthorized.into());
    }
    Ok(token)
}

/// Whose live login session a token is, whatever the state of the account.
///
/// # Errors
/// 401 when it is unknown, wrong, expired or revoked.
pub fn verify<'a>(read: Read<'a>, token: &str, now_ms: u64) -> Result<(Principal, &'a ArchivedUser)> {
    let invalid = Refusal::TokenInvalid;
    let (id, secret) = Some(token)
        .filter(|token| token.len() <= TOKEN_LEN_MAX)
        .and_then(|token| token.split_once('.'))
        .ok_or(invalid)?;
    let token_id = parse_id(id).map(TokenId).ok_or(invalid)?;
    let record = read.get(TOKENS, token_id).ok_or(invalid)?;
    let matches = record.secret_hash.ct_eq(&hash_secret(secret));
    if !bool::from(matches) || record.expires_at.to_native() <= now_ms {
        return Err(invalid.into());
    }
    let user_id = UserId::from(&record.user_id);
    let user = read.get(USERS, user_id).ok_or(invalid)?;
    Ok((Principal { user_id, token_id, tier: user.tier }, user))
}

/// # Errors
/// 403 with the reason for accounts that are locked or scheduled for deletion.
pub fn require_usable(user: &ArchivedUser) -> Result<()> {
    match user.state {
        account::LOCKED => {
            Err(crate::domain::Error::from(Refusal::AccountSuspended).with_reason("suspended"))
        }
        account::FROZEN => Err(crate::domain::Error::from(Refusal::AccountFrozen).with_reason("frozen")),
        account::PURGED => Err(Refusal::TokenInvalid.into()),
        _ => Ok(()),
    }
}
