//! Access tokens that are changed: what is said of them, their value, where they may be used from.

use rkyv::{Archive, Deserialize, Serialize};

use super::token::{find, lapses_at};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::identity::credential::Secret;
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{AccessScopeId, AccessTokenId, UserId};
use crate::limits::ACCESS_SCOPE_COUNT_MAX;
use crate::store::records::{AccessRef, AccessScope, AccessToken, Nil, scope_mode};
use crate::store::tables::{ACCESS_HASHES, ACCESS_LAPSES, ACCESS_SCOPES, ACCESS_TOKENS};

/// Changes what is said of a token; `None` leaves a part as it is.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AccessTokenEdit {
    pub token_id: AccessTokenId,
    pub name: Option<Option<String>>,
    pub description: Option<Option<String>>,
    /// How long it is good from now on; inside, `None`: for good.
    pub life_ms: Option<Option<u64>>,
    /// A [`scope_mode`] code.
    pub scope_mode: Option<u8>,
}

/// Gives it another value; the one before is void.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AccessTokenRotate {
    pub token_id: AccessTokenId,
    pub secret_hash: Secret<[u8; 32]>,
}

/// Lets it be used from somewhere.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AccessScopeAdd {
    pub token_id: AccessTokenId,
    pub scope: super::token::Scope,
}

/// Does so no more.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AccessScopeRemove {
    pub token_id: AccessTokenId,
    pub scope_id: AccessScopeId,
}

pub(in crate::domain) fn access_token_edit(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AccessTokenEdit,
) -> Result<()> {
    let token_id = op.token_id;
    let before = AccessToken::from(find(machine.read(), token_id)?);
    let lapsed_at = lapses_at(find(machine.read(), token_id)?);
    let at = machine.at;
    let expires_at = op.life_ms.map(|life| life.map(|life_ms| at.saturating_add(life_ms)));
    let after = AccessToken {
        name: op.name.clone().unwrap_or_else(|| before.name.clone()),
        description: op.description.clone().unwrap_or_else(|| before.description.clone()),
        expires_at: expires_at.unwrap_or(before.expires_at),
        scope_mode: op.scope_mode.unwrap_or(before.scope_mode),
        ..before.clone()
    };
    machine.tx.put(ACCESS_TOKENS, token_id, &after);
    if after.revoked_at.is_none() {
        machine.tx.delete(ACCESS_LAPSES, (lapsed_at, token_id));
        machine.tx.put(ACCESS_LAPSES, (after.expires_at.unwrap_or(u64::MAX), token_id), &Nil {});
    }
    let shown = |token: &AccessToken| {
        let name = token.name.clone().unwrap_or_default();
        let until = token.expires_at.map(|at| machine.offset().shown(at).to_string());
        format!(
            "{name}, until {}, {}",
            until.as_deref().unwrap_or("for good"),
            scope_mode::text(token.scope_mode)
        )
    };
    let note = Note::of(token_id).before(shown(&before)).after(shown(&after));
    machine.note(note);
    Ok(())
}

pub(in crate::domain) fn access_token_rotate(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AccessTokenRotate,
) -> Result<()> {
    let token = AccessToken::from(find(machine.read(), op.token_id)?);
    if machine.read().contains(ACCESS_HASHES, op.secret_hash.0) {
        return Err(Refusal::AccessTokenTaken.into());
    }
    machine.tx.delete(ACCESS_HASHES, token.secret_hash);
    machine.tx.put(ACCESS_HASHES, op.secret_hash.0, &AccessRef { id: op.token_id });
    machine.note(Note::of(op.token_id).after("another value"));
    machine.tx.put(ACCESS_TOKENS, op.token_id, &AccessToken { secret_hash: op.secret_hash.0, ..token });
    Ok(())
}

pub(in crate::domain) fn access_scope_add(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AccessScopeAdd,
) -> Result<AccessScopeId> {
    find(machine.read(), op.token_id)?;
    let count = machine.read().scan(ACCESS_SCOPES, op.token_id).take(ACCESS_SCOPE_COUNT_MAX).count();
    if count == ACCESS_SCOPE_COUNT_MAX {
        return Err(Error::bad_request(format!("A token can have at most {ACCESS_SCOPE_COUNT_MAX} scopes")));
    }
    let scope_id = AccessScopeId(machine.next_id());
    let scope = AccessScope {
        kind: op.scope.kind,
        value: op.scope.value.clone(),
        created_by: machine.admin().map(|admin| admin.0),
        created_at: machine.unix_ms,
    };
    machine.tx.put(ACCESS_SCOPES, (op.token_id, scope_id), &scope);
    machine.note(Note::of(op.token_id).after(&scope.value));
    Ok(scope_id)
}

pub(in crate::domain) fn access_scope_remove(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AccessScopeRemove,
) -> Result<()> {
    find(machine.read(), op.token_id)?;
    let scope =
        machine.tx.get(ACCESS_SCOPES, (op.token_id, op.scope_id)).ok_or(Refusal::AccessScopeNotFound)?;
    let note = Note::of(op.token_id).before(&*scope.value);
    machine.tx.delete(ACCESS_SCOPES, (op.token_id, op.scope_id));
    machine.note(note);
    Ok(())
}
