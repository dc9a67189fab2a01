//! Login sessions: creation, use, end.
//!
//! Invariant: `USER_TOKENS` lists exactly the tokens of a user. Expired ones are no sessions any more wherever they
//! are looked at; they are removed when the user logs in again. Only hashes of secrets are here.

use rkyv::{Archive, Deserialize, Serialize};

use super::bot;
use super::credential::Secret;
use super::{sign_in, two_factor};
use crate::domain::asking::Asking;
use crate::domain::error::{Refusal, Result};
use crate::domain::event::{Change, Revocation};
use crate::domain::machine::Machine;
use crate::domain::time::Offset;
use crate::domain::view;
use crate::id::{TokenId, UserId};
use crate::limits::LOGIN_COUNT_MAX;
use crate::store::records::{ArchivedToken, ArchivedUser, Credential, Nil, Token};
use crate::store::tables::{CREDENTIALS, TOKENS, USER_TOKENS, USERS};
use crate::wire::json::shape::shape;

/// How often the last activity of a session is written, at most.
pub const TOUCH_INTERVAL_MS: u64 = 60_000;
/// Tokens of one user that are ever looked at: ten times the largest `sessions.max_per_user`.
const TOKEN_COUNT_MAX: usize = LOGIN_COUNT_MAX;

/// What a new session is made of.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NewToken {
    /// SHA-256 of the secret part.
    pub secret_hash: Secret<[u8; 32]>,
    pub ip_address: String,
    pub user_agent: Option<String>,
    pub life_ms: u64,
    /// Live sessions of one user; the least recently active ones make room.
    pub count_max: u64,
}

/// A login whose password matched `phc`. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TokenCreate {
    pub user_id: UserId,
    /// Key of the name in the login form, made by the API.
    pub name: u64,
    pub phc: Secret<String>,
    pub token: NewToken,
}

/// The acting user's session was used.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TokenTouch {
    pub token_id: TokenId,
    /// Renew to this much…
    pub life_ms: u64,
    /// …when less than this is left; 0 = never.
    pub threshold_ms: u64,
}

/// Ends one session of the acting user.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TokenRevoke {
    pub token_id: TokenId,
    pub how: Revocation,
}

/// Ends all sessions of the acting user, or all but one.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TokenRevokeAll {
    pub except: Option<TokenId>,
}

/// Whether using a session now is worth a write: its last activity is a minute old. Asked for every request.
pub fn touch_due(token: &ArchivedToken, now_ms: u64) -> bool {
    now_ms >= token.last_activity.to_native().saturating_add(TOUCH_INTERVAL_MS)
}

/// Live sessions of the one who asks, oldest first.
pub fn live(asking: Asking<'_>) -> impl Iterator<Item = (TokenId, &ArchivedToken)> {
    let Asking { read, at, who } = asking;
    let ids = read.scan(USER_TOKENS, who).take(TOKEN_COUNT_MAX).map(|((_, id), _)| id);
    ids.filter_map(move |id| read.get(TOKENS, id).map(|token| (id, token)))
        .filter(move |(_, token)| token.expires_at.to_native() > at)
}

shape! {
    /// A login session.
    pub SessionResponse(id: TokenId, token: &ArchivedToken, offset: Offset, current: bool) {
        id: id = id.0,
        device_id: opt_id = None,
        ip_address: str = &token.ip_address,
        user_agent: opt_str = token.user_agent.as_deref(),
        created_at: time = offset.shown(token.created_at.to_native()),
        expires_at: time = offset.shown(token.expires_at.to_native()),
        last_activity: time = offset.shown(token.last_activity.to_native()),
        /// Whether it is the one that asks.
        current: bool = current,
    }
}

/// The session, if it is a live one of that user.
fn own(machine: &Machine<'_, '_>, user_id: UserId, token_id: TokenId) -> Option<Token> {
    let token = machine.tx.get(TOKENS, token_id)?;
    let live = UserId::from(&token.user_id) == user_id && token.expires_at.to_native() > machine.at;
    live.then(|| Token::from(token))
}

pub(in crate::domain) fn token_create(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &TokenCreate,
) -> Result<(UserId, TokenId)> {
    require_login(machine, op.user_id, &op.phc)?;
    // It may have been switched on while the password was being compared.
    if two_factor::of(machine.read(), op.user_id).is_some() {
        return Err(Refusal::CredentialsInvalid.into());
    }
    forget_failures(machine, op.user_id);
    super::account::forget_name(machine, op.name);
    let token_id = grant(machine, op.user_id, &op.token);
    Ok((op.user_id, token_id))
}

/// # Errors
/// 401 or 403 when a password that matched `phc` does not log anybody in any more.
pub(super) fn require_login(machine: &Machine<'_, '_>, user_id: UserId, phc: &Secret<String>) -> Result<()> {
    let invalid = Refusal::CredentialsInvalid;
    let user = machine.tx.get(USERS, user_id).ok_or(invalid)?;
    if !view::may_log_in(user.state) {
        return Err(invalid.into());
    }
    let record = machine.tx.get(CREDENTIALS, user_id).ok_or(invalid)?;
    super::account::require_unlocked(record, machine.at)?;
    // The password may have been changed while this one was being compared.
    if record.phc != phc.0.as_str() {
        return Err(invalid.into());
    }
    Ok(())
}

/// A right password ends the counting of wrong ones.
pub(super) fn forget_failures(machine: &mut Machine<'_, '_>, user_id: UserId) {
    let record = machine.tx.get(CREDENTIALS, user_id);
    if let Some(record) = record.filter(|record| record.failures != 0 || record.locked_until != 0) {
        let credential = Credential { failures: 0, locked_until: 0, ..Credential::from(record) };
        machine.tx.put(CREDENTIALS, user_id, &credential);
    }
}

/// Creates a session; removes expired ones and, of live ones, the least recently active beyond the limit.
pub(in crate::domain) fn grant(machine: &mut Machine<'_, '_>, user_id: UserId, new: &NewToken) -> TokenId {
    let at = machine.at;
    let mut live: Vec<(u64, TokenId)> = Vec::new();
    let mut expired: Vec<TokenId> = Vec::new();
    let ids = machine.read().scan(USER_TOKENS, user_id).take(TOKEN_COUNT_MAX);
    for ((_, id), _) in ids {
        match machine.tx.get(TOKENS, id) {
            Some(token) if token.expires_at.to_native() > at => {
                live.push((token.last_activity.to_native(), id))
            }
            _ => expired.push(id),
        }
    }
    for id in expired {
        remove(machine, user_id, id);
    }
    live.sort_unstable();
    let count_max = usize::try_from(new.count_max.max(1)).unwrap_or(usize::MAX);
    let surplus = (live.len() + 1).saturating_sub(count_max);
    for &(_, id) in &live[..surplus] {
        revoke(machine, user_id, id, Revocation::Security);
    }
    let token_id = TokenId(machine.next_id());
    let token = Token {
        user_id,
        secret_hash: new.secret_hash.0,
        created_at: at,
        expires_at: at + new.life_ms,
        last_activity: at,
        ip_address: new.ip_address.clone(),
        user_agent: new.user_agent.clone(),
    };
    machine.tx.put(TOKENS, token_id, &token);
    machine.tx.put(USER_TOKENS, (user_id, token_id), &Nil {});
    sign_in::note(machine, user_id, &new.ip_address);
    token_id
}

fn remove(machine: &mut Machine<'_, '_>, user_id: UserId, token_id: TokenId) {
    machine.tx.remove(USER_TOKENS, (user_id, token_id));
}

fn revoke(machine: &mut Machine<'_, '_>, user_id: UserId, token_id: TokenId, how: Revocation) {
    remove(machine, user_id, token_id);
    machine.change(Change::TokenRevoked { token_id, user_id, how });
}

/// Ends all sessions of a user but one; returns how many live ones ended.
pub(in crate::domain) fn revoke_all(
    machine: &mut Machine<'_, '_>,
    user_id: UserId,
    how: Revocation,
    except: Option<TokenId>,
) -> u64 {
    let ids: Vec<(TokenId, bool)> = machine
        .read()
        .scan(USER_TOKENS, user_id)
        .take(TOKEN_COUNT_MAX)
        .map(|((_, id), _)| (id, own(machine, user_id, id).is_some()))
        .filter(|(id, _)| Some(*id) != except)
        .collect();
    for &(id, live) in &ids {
        if live {
            revoke(machine, user_id, id, how);
        } else {
            remove(machine, user_id, id);
        }
    }
    ids.iter().filter(|(_, live)| *live).count() as u64
}

/// Ends the gateway sessions of all sessions of a user, which are kept.
pub(super) fn disconnect_all(machine: &mut Machine<'_, '_>, user_id: UserId, how: Revocation) {
    let ids: Vec<TokenId> =
        machine.read().scan(USER_TOKENS, user_id).take(TOKEN_COUNT_MAX).map(|((_, id), _)| id).collect();
    for token_id in ids {
        machine.change(Change::TokenRevoked { token_id, user_id, how });
    }
}

/// The token of a bot is no session of its own: only its connections end.
fn is_bot(machine: &Machine<'_, '_>, user_id: UserId) -> bool {
    machine.tx.get(USERS, user_id).is_some_and(ArchivedUser::is_bot)
}

/// Replies whether anything was written.
pub(in crate::domain) fn token_touch(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &TokenTouch,
) -> Result<bool> {
    let mut token = own(machine, actor, op.token_id).ok_or(Refusal::TokenInvalid)?;
    let extend = token.expires_at - machine.at < op.threshold_ms;
    if !extend && machine.at < token.last_activity + TOUCH_INTERVAL_MS {
        return Ok(false);
    }
    if extend {
        token.expires_at = token.expires_at.max(machine.at + op.life_ms);
    }
    token.last_activity = machine.at;
    machine.tx.put(TOKENS, op.token_id, &token);
    Ok(true)
}

pub(in crate::domain) fn token_revoke(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &TokenRevoke,
) -> Result<()> {
    own(machine, actor, op.token_id).ok_or(Refusal::SessionNotFound)?;
    match (is_bot(machine, actor), op.how) {
        (false, how) => revoke(machine, actor, op.token_id, how),
        (true, Revocation::LoggedOut) => bot::disconnect(machine, actor, op.how),
        (true, _) => return Err(Refusal::SessionNotFound.into()),
    }
    Ok(())
}

/// Replies how many sessions ended.
pub(in crate::domain) fn token_revoke_all(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &TokenRevokeAll,
) -> Result<u64> {
    if is_bot(machine, actor) {
        if op.except.is_none() {
            bot::disconnect(machine, actor, Revocation::LoggedOut);
        }
        return Ok(0);
    }
    Ok(revoke_all(machine, actor, Revocation::Security, op.except))
}
