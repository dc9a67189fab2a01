//! Access tokens: made, judged, revoked.
//!
//! Only the SHA-256 of a token is stored. It is looked up by that, so what the look-up takes tells of the hash alone,
//! and compared in constant time.

use std::net::IpAddr;

use ipnet::IpNet;
use rkyv::{Archive, Deserialize, Serialize};

use super::usage;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::identity::credential::{Secret, hash_secret, same};
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{AccessScopeId, AccessTokenId, UserId};
use crate::limits::{ACCESS_SCOPE_COUNT_MAX, ACCESS_TOKEN_COUNT_MAX, ACCESS_TOKEN_KEPT_MAX};
use crate::store::Read;
use crate::store::records::{
    AccessRef, AccessScope, AccessToken, ArchivedAccessToken, Nil, scope_kind, scope_mode,
};
use crate::store::tables::{ACCESS_HASHES, ACCESS_LAPSES, ACCESS_SCOPES, ACCESS_TOKENS};

/// Bytes of what is looked at; those that a server makes have 32, others at most 128.
pub const VALUE_LEN_MAX: usize = 128;

/// Of a token that does not run out.
const NEVER: u64 = u64::MAX;

/// Makes a token.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AccessTokenCreate {
    pub name: Option<String>,
    pub description: Option<String>,
    pub secret_hash: Secret<[u8; 32]>,
    /// The administrator's id; `None`: the operator himself.
    pub by: Option<u64>,
    /// How long it is good.
    pub life_ms: Option<u64>,
    /// A [`scope_mode`] code.
    pub scope_mode: u8,
    /// As [`scope`] spells them.
    pub scopes: Vec<Scope>,
}

/// An address or a network that may use a token.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub struct Scope {
    /// A [`scope_kind`] code.
    pub kind: u8,
    pub value: String,
}

/// Makes a token void.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AccessTokenRevoke {
    pub token_id: AccessTokenId,
    /// As in [`AccessTokenCreate`].
    pub by: Option<u64>,
}

// ------------------------------------------------------------------------------------------- judging

/// Until when the gate is closed, in steady time; 0: it is open. One look-up.
pub fn closed_until(read: Read<'_>) -> u64 {
    read.scan_rev(ACCESS_LAPSES, ()).keys().next().map_or(0, |(lapses_at, _)| lapses_at)
}

/// What a token that was shown is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Whether the address is among its scopes, as far as they count.
    LetIn(Option<bool>),
    Expired,
    Revoked,
    OutOfScope,
}

impl Verdict {
    /// Why it was refused, as administrators read it.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Verdict::LetIn(_) => None,
            Verdict::Expired => Some("expired"),
            Verdict::Revoked => Some("revoked"),
            Verdict::OutOfScope => Some("scope_mismatch"),
        }
    }
}

/// Which token somebody shows, and what it is good for at his address. `None`: it is none.
pub fn judge(read: Read<'_>, value: &str, ip: IpAddr, at: u64) -> Option<(AccessTokenId, Verdict)> {
    if value.is_empty() || value.len() > VALUE_LEN_MAX {
        return None;
    }
    let hash = hash_secret(value);
    let token_id = AccessTokenId::from(&read.get(ACCESS_HASHES, hash)?.id);
    let token = read.get(ACCESS_TOKENS, token_id)?;
    if !same(&token.secret_hash, &hash) {
        return None;
    }
    let verdict = match () {
        () if token.revoked_at.is_some() => Verdict::Revoked,
        () if lapses_at(token) <= at => Verdict::Expired,
        () => by_scope(read, token_id, token.scope_mode, ip),
    };
    Some((token_id, verdict))
}

fn by_scope(read: Read<'_>, token_id: AccessTokenId, mode: u8, ip: IpAddr) -> Verdict {
    if mode == scope_mode::NONE {
        return Verdict::LetIn(None);
    }
    let mut scopes = read.scan(ACCESS_SCOPES, token_id).take(ACCESS_SCOPE_COUNT_MAX).peekable();
    if scopes.peek().is_none() {
        return Verdict::LetIn(None);
    }
    let is_match = scopes.any(|(_, scope)| network(&scope.value).is_some_and(|net| net.contains(&ip)));
    match mode {
        scope_mode::ENFORCE if !is_match => Verdict::OutOfScope,
        _ => Verdict::LetIn(Some(is_match)),
    }
}

/// When a token runs out, in steady time.
pub fn lapses_at(token: &ArchivedAccessToken) -> u64 {
    token.expires_at.as_ref().map_or(NEVER, |at| at.to_native())
}

/// Whether a token lets anybody in.
pub fn is_live(token: &ArchivedAccessToken, at: u64) -> bool {
    token.revoked_at.is_none() && lapses_at(token) > at
}

/// What an address or a network means.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A scope in the form in which it is stored.
///
/// # Errors
/// 400 when the value is no address, or no network.
pub fn scope(kind: u8, value: &str) -> Result<Scope> {
    let spelled = match kind {
        scope_kind::IP => value.parse::<IpAddr>().ok().map(|ip| ip.to_canonical().to_string()),
        _ => network(value).map(|net| net.trunc().to_string()),
    };
    let value = spelled.ok_or_else(|| {
        Error::invalid(
            "value",
            if kind == scope_kind::IP { "must be an address" } else { "must be a network" },
        )
    })?;
    Ok(Scope { kind, value })
}

// ------------------------------------------------------------------------------------------- apply

/// # Errors
/// 409 when the value is in use; 400 when there are as many as may be.
pub fn require_room(read: Read<'_>, secret_hash: &[u8; 32], at: u64) -> Result<()> {
    if read.contains(ACCESS_HASHES, *secret_hash) {
        return Err(Refusal::AccessTokenTaken.into());
    }
    let live = read.scan_after(ACCESS_LAPSES, (), (at, AccessTokenId::MAX)).keys();
    if live.take(ACCESS_TOKEN_COUNT_MAX).count() == ACCESS_TOKEN_COUNT_MAX {
        return Err(Error::bad_request(format!(
            "There can be at most {ACCESS_TOKEN_COUNT_MAX} access tokens: revoke one first"
        )));
    }
    Ok(())
}

pub(in crate::domain) fn access_token_create(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AccessTokenCreate,
) -> Result<AccessTokenId> {
    require_room(machine.read(), &op.secret_hash.0, machine.at)?;
    forget_oldest(machine);
    let token_id = AccessTokenId(machine.next_id());
    let expires_at = op.life_ms.map(|life_ms| machine.at.saturating_add(life_ms));
    let token = AccessToken {
        name: op.name.clone(),
        description: op.description.clone(),
        secret_hash: op.secret_hash.0,
        created_by: op.by,
        created_at: machine.unix_ms,
        expires_at,
        scope_mode: op.scope_mode,
        revoked_at: None,
        revoked_by: None,
    };
    machine.tx.put(ACCESS_TOKENS, token_id, &token);
    machine.tx.put(ACCESS_HASHES, op.secret_hash.0, &AccessRef { id: token_id });
    machine.tx.put(ACCESS_LAPSES, (expires_at.unwrap_or(NEVER), token_id), &Nil {});
    machine.note(Note::of(token_id).after(op.name.as_deref().unwrap_or_default()));
    for scope in op.scopes.iter().take(ACCESS_SCOPE_COUNT_MAX) {
        let scope_id = AccessScopeId(machine.next_id());
        let Scope { kind, value } = scope.clone();
        let scope = AccessScope { kind, value, created_by: op.by, created_at: machine.unix_ms };
        machine.tx.put(ACCESS_SCOPES, (token_id, scope_id), &scope);
    }
    Ok(token_id)
}

/// Keeps what is listed of tokens that have ended within bounds.
fn forget_oldest(machine: &mut Machine<'_, '_>) {
    if machine.read().len(ACCESS_TOKENS) < ACCESS_TOKEN_KEPT_MAX {
        return;
    }
    let at = machine.at;
    let ended = machine.read().scan(ACCESS_TOKENS, ()).find(|(_, token)| !is_live(token, at));
    let Some(token_id) = ended.map(|(id, _)| id) else { return };
    machine.tx.remove(ACCESS_TOKENS, token_id);
    machine.tx.delete_prefix(ACCESS_SCOPES, token_id, ACCESS_SCOPE_COUNT_MAX);
    usage::forget(machine, token_id);
}

/// # Errors
/// 404 when there is none.
pub fn find(read: Read<'_>, token_id: AccessTokenId) -> Result<&ArchivedAccessToken> {
    read.get(ACCESS_TOKENS, token_id).ok_or_else(|| Refusal::AccessTokenNotFound.into())
}

/// False when it was revoked before.
pub(in crate::domain) fn access_token_revoke(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AccessTokenRevoke,
) -> Result<bool> {
    let token = find(machine.read(), op.token_id)?;
    if token.revoked_at.is_some() {
        return Ok(false);
    }
    let (lapses_at, token) = (lapses_at(token), AccessToken::from(token));
    let (revoked_at, revoked_by) = (Some(machine.unix_ms), op.by);
    machine.tx.put(ACCESS_TOKENS, op.token_id, &AccessToken { revoked_at, revoked_by, ..token });
    machine.tx.delete(ACCESS_LAPSES, (lapses_at, op.token_id));
    machine.note(Note::of(op.token_id).before("good").after("revoked"));
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_stored_in_one_form() {
        for (kind, value, want) in [
            (scope_kind::IP, "127.0.0.1", Some("127.0.0.1")),
            (scope_kind::IP, "::ffff:10.0.0.1", Some("10.0.0.1")),
            (scope_kind::IP, "2001:DB8:0::1", Some("2001:db8::1")),
            (scope_kind::IP, "10.0.0.0/8", None),
            (scope_kind::IP, "1.2.3", None),
            (scope_kind::CIDR, "10.1.2.3/8", Some("10.0.0.0/8")),
            (scope_kind::CIDR, "10.1.2.3", Some("10.1.2.3/32")),
            (scope_kind::CIDR, "2001:db8::5/32", Some("2001:db8::/32")),
            (scope_kind::CIDR, "10.0.0.0/33", None),
            (scope_kind::CIDR, "anywhere", None),
        ] {
            assert_eq!(scope(kind, value).ok().map(|scope| scope.value).as_deref(), want, "{value}");
        }
    }
}
