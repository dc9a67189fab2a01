//! Login tokens: from the text to the session and account behind it.
//!
//! Tokens are `<session id>.<43 url-safe characters>`, those of bots `bot.<id>.<64 characters>`; only the SHA-256 of the
//! secret part is stored and it is compared in constant time. A wrong id and a wrong secret are told apart by nobody.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::custody;
use crate::domain::error::{Error, Refusal, Result};
use crate::id::{TokenId, UserId, parse_id};
use crate::store::Read;
use crate::store::records::{ArchivedToken, ArchivedUser, account};
use crate::store::tables::{TOKENS, USERS};

/// The longest token of the contract: `webhook.<20 digits>.<64>`; anything longer is not looked at.
const TOKEN_LEN_MAX: usize = 128;

/// Something that must never be printed: `Debug` of a command that holds one shows nothing of it.
#[derive(Clone, Copy, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Tells tokens of bots from those of sessions.
const BOT_PREFIX: &str = "bot.";

/// A live login session and its account.
#[derive(Clone, Copy)]
pub struct Verified<'a> {
    pub user_id: UserId,
    pub token_id: TokenId,
    pub token: &'a ArchivedToken,
    pub user: &'a ArchivedUser,
}

/// SHA-256 of the secret part of a token.
pub fn hash_secret(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether a secret is the one behind a stored sum.
pub(super) fn matches(stored: &[u8; 32], secret: &str) -> bool {
    same(stored, &hash_secret(secret))
}

/// Whether two sums are the same, in constant time. Word by word, since the time of every request is in it: byte by byte
/// costs eight times as much.
pub(in crate::domain) fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let words = |sum: &[u8; 32]| {
        let (words, _) = sum.as_chunks::<8>();
        [words[0], words[1], words[2], words[3]].map(u64::from_ne_bytes)
    };
    words(a)[..].ct_eq(&words(b)[..]).into()
}

/// Id and secret of `<id>.<secret>`.
pub(in crate::domain) fn parts(token: &str) -> Option<(u64, &str)> {
    let (id, secret) = Some(token).filter(|token| token.len() <= TOKEN_LEN_MAX)?.split_once('.')?;
    Some((parse_id(id)?, secret))
}

/// What a bot is given: `bot.<id>.<secret>`.
pub fn bot_token(id: TokenId, secret: &str) -> String {
    format!("{BOT_PREFIX}{id}.{secret}")
}

/// Whose live login session a token is, or which bot's it is, whatever the state of the account.
///
/// # Errors
/// 401 when it is unknown, wrong, expired or revoked. `void_up_to`: sessions up to this one are over.
pub fn verify<'a>(read: Read<'a>, token: &str, now_ms: u64, void_up_to: TokenId) -> Result<Verified<'a>> {
    let invalid = Refusal::TokenInvalid;
    let of_bot = token.strip_prefix(BOT_PREFIX);
    let (id, secret) = parts(of_bot.unwrap_or(token)).ok_or(invalid)?;
    let token_id = TokenId(id);
    let token = read.get(TOKENS, token_id).ok_or(invalid)?;
    if !matches(&token.secret_hash, secret) || token.expires_at.to_native() <= now_ms {
        return Err(invalid.into());
    }
    if token_id <= void_up_to && of_bot.is_none() {
        return Err(invalid.into());
    }
    let user_id = UserId::from(&token.user_id);
    let user = read.get(USERS, user_id).filter(|user| user.is_bot() == of_bot.is_some()).ok_or(invalid)?;
    Ok(Verified { user_id, token_id, token, user })
}

/// A bot may be used as long as its owner may.
///
/// # Errors
/// 403 with the reason for accounts that are locked or scheduled for deletion.
pub fn require_present(read: Read<'_>, user: &ArchivedUser) -> Result<()> {
    require_own(user)?;
    match user.owner() {
        Some(owner_id) => require_own(read.get(USERS, owner_id).ok_or(Refusal::TokenInvalid)?),
        None => Ok(()),
    }
}

/// What is asked of whoever does something: the same, and that he need not choose another name first.
///
/// # Errors
/// As [`require_present`], and 403 with the reason for that.
pub fn require_usable(read: Read<'_>, user_id: UserId, user: &ArchivedUser) -> Result<()> {
    require_present(read, user)?;
    let (user_id, user) = match user.owner() {
        Some(owner_id) => (owner_id, read.get(USERS, owner_id).ok_or(Refusal::TokenInvalid)?),
        None => (user_id, user),
    };
    if user.state != account::RENAMING {
        return Ok(());
    }
    let reason = custody::forced_reason(read, user_id).unwrap_or_default();
    Err(Error::from(Refusal::NameForced).with_reason(reason))
}

fn require_own(user: &ArchivedUser) -> Result<()> {
    match user.state {
        account::LOCKED => Err(Error::from(Refusal::AccountSuspended).with_reason("suspended")),
        account::FROZEN => Err(Error::from(Refusal::AccountFrozen).with_reason("frozen")),
        account::PURGED => Err(Refusal::TokenInvalid.into()),
        _ => Ok(()),
    }
}
