//! Access tokens: what the gate in front of the API asks for.

use super::admin_security::life;
use super::lists::LIMIT;
use crate::api::authenticate::{hash_secret, new_secret};
use crate::api::body::{Body, check_len};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Flag, Formed, Int, Needed, Or, Text, Word, fields};
use crate::domain::gate::change::{AccessScopeAdd, AccessScopeRemove, AccessTokenEdit, AccessTokenRotate};
use crate::domain::gate::token::{AccessTokenCreate, AccessTokenRevoke, find, require_room, scope};
use crate::domain::gate::view::{
    AccessTokenCreateResponse, AccessTokenDetailResponse, AccessTokenResponse, AccessTokenScopeResponse,
};
use crate::domain::identity::credential::Secret;
use crate::domain::{Error, Result};
use crate::id::{AccessScopeId, AccessTokenId, parse_id};
use crate::limits::ACCESS_TOKEN_KEPT_MAX;
use crate::store::records::{scope_kind, scope_mode};
use crate::store::tables::{ACCESS_SCOPES, ACCESS_TOKENS};
use crate::wire::json::Array;

/// Bytes of randomness: 32 characters.
const SECRET_LEN: usize = 24;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 0..=100;
const DESCRIPTION_CHARS: std::ops::RangeInclusive<usize> = 0..=500;
const VALUE_CHARS: std::ops::RangeInclusive<usize> = 32..=128;
const SCOPE_CHARS: std::ops::RangeInclusive<usize> = 1..=128;
/// What a header can carry, without blanks around it.
const VALUE_FORM: &str = "^[!-~]+$";

fields! {
    /// A new token.
    pub CREATE: AccessTokenCreateRequest {
        name: Text = Text(Chars::Configured(|_| NAME_CHARS)),
        description: Text = Text(Chars::Configured(|_| DESCRIPTION_CHARS)),
        /// Its value; without it one is made.
        token: Formed = Formed(Text(Chars::Configured(|_| VALUE_CHARS)), VALUE_FORM),
        expires_at: Int = Int(0..=u64::MAX),
        /// What the scopes do: nothing unless it is said.
        scope_mode: Word = Word(scope_mode::WORDS),
    }
}

fields! {
    /// What is to be changed of a token.
    pub EDIT: AccessTokenUpdateRequest {
        name: Text = Text(Chars::Configured(|_| NAME_CHARS)),
        description: Text = Text(Chars::Configured(|_| DESCRIPTION_CHARS)),
        expires_at: Int = Int(0..=u64::MAX),
        /// It does not run out any more.
        clear_expiry: Or<Flag, bool> = Or(Flag, false),
        scope_mode: Word = Word(scope_mode::WORDS),
    }
}

fields! {
    /// Another value.
    pub ROTATE: AccessTokenRotateRequest {
        /// Without it one is made.
        token: Formed = Formed(Text(Chars::Configured(|_| VALUE_CHARS)), VALUE_FORM),
    }
}

fields! {
    /// From where a token may be used.
    pub SCOPE: AccessTokenScopeRequest {
        scope_type: Needed<Word> = Needed(Word(scope_kind::WORDS)),
        value: Needed<Text> = Needed(Text(Chars::Configured(|_| SCOPE_CHARS))),
    }
}

fields! {
    /// Which tokens.
    pub LIST_QUERY: AccessTokenListQuery {
        include_revoked: Or<Flag, bool> = Or(Flag, true),
    }
}

fields! {
    /// How much of its use.
    pub DETAIL_QUERY: AccessTokenDetailQuery {
        recent_limit: Or<Int, u64> = Or(Int(LIMIT), 100),
    }
}

/// The token that the path names.
fn named(ctx: &Ctx<'_>) -> Result<AccessTokenId> {
    let id = parse_id(&ctx.param("token_id")).ok_or_else(|| Error::invalid_id("token"))?;
    find(ctx.snapshot().read(), AccessTokenId(id))?;
    Ok(AccessTokenId(id))
}

/// A text of a body, within its bounds.
fn text(value: Option<&str>, name: &str, chars: std::ops::RangeInclusive<usize>) -> Result<Option<String>> {
    check_len(name, value.unwrap_or_default(), chars)?;
    Ok(value.map(str::to_string))
}

/// The value that a body gives a token, or a new one.
fn value(given: Option<&str>) -> Result<String> {
    let Some(given) = given else { return Ok(new_secret::<SECRET_LEN>()) };
    check_len("token", given, VALUE_CHARS)?;
    match given.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(given.to_string()),
        false => Err(Error::invalid("token", "must be of visible ASCII characters: it stands in a header")),
    }
}

pub fn admin_access_token_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let all = LIST_QUERY.include_revoked.query(ctx)?;
    let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
    let read = snapshot.read();
    ctx.json(|out| {
        let mut list = Array::new(out);
        let tokens = read.scan_rev(ACCESS_TOKENS, ()).take(ACCESS_TOKEN_KEPT_MAX as usize);
        for (id, token) in tokens.filter(|(_, token)| all || token.revoked_at.is_none()) {
            AccessTokenResponse::write(list.item(), read, id, token, offset);
        }
    })
}

pub fn admin_access_token_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let recent = DETAIL_QUERY.recent_limit.query(ctx)?;
    let token_id = named(ctx)?;
    let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
    let (read, recent) = (snapshot.read(), usize::try_from(recent).unwrap_or(usize::MAX));
    let token = find(read, token_id)?;
    ctx.json(|out| AccessTokenDetailResponse::write(out, read, token_id, token, offset, recent))
}

fn answer_token(ctx: &mut Ctx<'_>, token_id: AccessTokenId, value: Option<&str>) -> Result<Step> {
    let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
    let read = snapshot.read();
    let token = find(read, token_id)?;
    match value {
        Some(value) => {
            ctx.response.headers.push(("cache-control", "no-store".to_string()));
            ctx.json(|out| AccessTokenCreateResponse::write(out, read, value, token_id, token, offset))
        }
        None => ctx.json(|out| AccessTokenResponse::write(out, read, token_id, token, offset)),
    }
}

fn created(ctx: &Ctx<'_>, body: &Body<'_>) -> Result<(String, AccessTokenCreate)> {
    let value = value(CREATE.token.read(body)?)?;
    let op = AccessTokenCreate {
        name: text(CREATE.name.read(body)?, "name", NAME_CHARS)?,
        description: text(CREATE.description.read(body)?, "description", DESCRIPTION_CHARS)?,
        secret_hash: Secret(hash_secret(&value)),
        by: Some(ctx.admin().admin_id.0),
        life_ms: life(ctx, CREATE.expires_at.read(body)?)?,
        scope_mode: CREATE.scope_mode.read(body)?.and_then(scope_mode::code).unwrap_or(scope_mode::NONE),
        scopes: Vec::new(),
    };
    Ok((value, op))
}

pub async fn admin_access_token_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (value, op) = {
        let body = ctx.body()?;
        created(ctx, &body)?
    };
    require_room(ctx.snapshot().read(), &op.secret_hash.0, ctx.now_ms())?;
    let token_id = ctx.act(op).await?;
    answer_token(ctx, token_id, Some(&value))
}

pub async fn admin_access_token_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let op = {
        let body = ctx.body()?;
        let life_ms = match EDIT.clear_expiry.read(&body)? {
            true => Some(None),
            false => life(ctx, EDIT.expires_at.read(&body)?)?.map(Some),
        };
        AccessTokenEdit {
            token_id: AccessTokenId(0),
            name: text(EDIT.name.read(&body)?, "name", NAME_CHARS)?.map(Some),
            description: text(EDIT.description.read(&body)?, "description", DESCRIPTION_CHARS)?.map(Some),
            life_ms,
            scope_mode: EDIT.scope_mode.read(&body)?.and_then(scope_mode::code),
        }
    };
    let token_id = named(ctx)?;
    ctx.act(AccessTokenEdit { token_id, ..op }).await?;
    answer_token(ctx, token_id, None)
}

pub async fn admin_access_token_rotate(ctx: &mut Ctx<'_>) -> Result<Step> {
    let value = value(ROTATE.token.read(&ctx.body()?)?)?;
    let token_id = named(ctx)?;
    ctx.act(AccessTokenRotate { token_id, secret_hash: Secret(hash_secret(&value)) }).await?;
    answer_token(ctx, token_id, Some(&value))
}

pub async fn admin_access_token_revoke(ctx: &mut Ctx<'_>) -> Result<Step> {
    let token_id = named(ctx)?;
    ctx.act(AccessTokenRevoke { token_id, by: Some(ctx.admin().admin_id.0) }).await?;
    ctx.success()
}

pub async fn admin_access_scope_add(ctx: &mut Ctx<'_>) -> Result<Step> {
    let scope = {
        let body = ctx.body()?;
        let kind = scope_kind::code(SCOPE.scope_type.read(&body)?).expect("it is one of the words");
        let value = SCOPE.value.read(&body)?;
        check_len("value", value, SCOPE_CHARS)?;
        scope(kind, value.trim())?
    };
    let token_id = named(ctx)?;
    let scope_id = ctx.act(AccessScopeAdd { token_id, scope }).await?;
    let snapshot = ctx.snapshot();
    let scope = snapshot.read().get(ACCESS_SCOPES, (token_id, scope_id));
    let scope = scope.ok_or(crate::domain::Refusal::AccessScopeNotFound)?;
    ctx.json(|out| AccessTokenScopeResponse::write(out, scope_id, scope))
}

pub async fn admin_access_scope_remove(ctx: &mut Ctx<'_>) -> Result<Step> {
    let scope_id = parse_id(&ctx.param("scope_id")).ok_or_else(|| Error::invalid_id("scope"))?;
    let token_id = named(ctx)?;
    ctx.act(AccessScopeRemove { token_id, scope_id: AccessScopeId(scope_id) }).await?;
    ctx.success()
}
