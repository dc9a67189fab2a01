//! From the `Authorization` header to a principal.

use super::ctx::Principal;
use crate::domain::{Refusal, Result, credential, token};
use crate::store::Read;
use crate::store::records::ArchivedUser;
use crate::wire::http::Head;

pub use crate::domain::credential::{hash_secret, require_usable};

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
    let verified = credential::verify(read, token, now_ms)?;
    let credential::Verified { user_id, token_id, token, user } = verified;
    let touch_due = token::touch_due(token, now_ms);
    Ok((Principal { user_id, token_id, tier: user.tier, touch_due }, user))
}
