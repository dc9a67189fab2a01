//! Access tokens as administrators see them.

use crate::domain::time::Offset;
use crate::domain::view::api_prefix;
use crate::id::{AccessScopeId, AccessTokenId};
use crate::limits::{ACCESS_ADDRESS_COUNT_MAX, ACCESS_PATH_COUNT_MAX, ACCESS_SCOPE_COUNT_MAX};
use crate::store::Read;
use crate::store::records::{
    ArchivedAccessCount, ArchivedAccessEvent, ArchivedAccessScope, ArchivedAccessToken, ArchivedAccessUse,
    scope_kind, scope_mode,
};
use crate::store::tables::{ACCESS_ADDRESSES, ACCESS_EVENTS, ACCESS_PATHS, ACCESS_SCOPES, ACCESS_USES};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// Addresses and operations that are shown of one token.
const TOP_COUNT_MAX: usize = 20;

/// An operation's path as clients know it; what leads to none has no path.
fn whole_path(path: &str) -> String {
    if path.starts_with('/') { format!("{}{path}", api_prefix()) } else { path.to_string() }
}

fn used(read: Read<'_>, token_id: AccessTokenId) -> Option<&ArchivedAccessUse> {
    read.get(ACCESS_USES, token_id)
}

shape! {
    /// An access token.
    pub AccessTokenResponse(read: Read<'_>, token_id: AccessTokenId, token: &ArchivedAccessToken, offset: Offset) {
        id: id = token_id.0,
        name: opt_str = token.name.as_deref(),
        description: opt_str = token.description.as_deref(),
        created_by: opt_id = token.created_by.as_ref().map(|id| id.to_native()),
        created_at: time = token.created_at.to_native(),
        first_used_at: opt_time = used(read, token_id).and_then(|used| used.first_used_at.as_ref()).map(|at| at.to_native()),
        last_used_at: opt_time = used(read, token_id).and_then(|used| used.last_used_at.as_ref()).map(|at| at.to_native()),
        last_used_ip_address: opt_str = used(read, token_id).and_then(|used| used.last_ip_address.as_deref()),
        last_used_user_agent: opt_str = used(read, token_id).and_then(|used| used.last_user_agent.as_deref()),
        last_used_path: opt_str = used(read, token_id).and_then(|used| used.last_path.as_deref()).map(whole_path).as_deref(),
        expires_at: opt_time = token.expires_at.as_ref().map(|at| offset.shown(at.to_native())),
        scope_mode: (Slot::word(scope_mode::WORDS)) = scope_mode::text(token.scope_mode),
        use_count_total: u64 = used(read, token_id).map_or(0, |used| used.use_count.to_native()),
        distinct_ip_count: u64 = used(read, token_id).map_or(0, |used| used.address_count.to_native()),
        denied_count_total: u64 = used(read, token_id).map_or(0, |used| used.denied_count.to_native()),
        revoked: bool = token.revoked_at.is_some(),
        revoked_at: opt_time = token.revoked_at.as_ref().map(|at| at.to_native()),
        revoked_by: opt_id = token.revoked_by.as_ref().map(|id| id.to_native()),
    }
}

shape! {
    /// A token with its value, which is shown this once.
    pub AccessTokenCreateResponse(read: Read<'_>, value: &str, token_id: AccessTokenId, token: &ArchivedAccessToken, offset: Offset) {
        token: str = value,
        access_token: (Slot::object(AccessTokenResponse::SHAPE)) =
            |out: &mut Vec<u8>| AccessTokenResponse::write(out, read, token_id, token, offset),
    }
}

shape! {
    /// From where a token may be used.
    pub AccessTokenScopeResponse(scope_id: AccessScopeId, scope: &ArchivedAccessScope) {
        id: id = scope_id.0,
        scope_type: (Slot::word(scope_kind::WORDS)) = scope_kind::text(scope.kind),
        value: str = &scope.value,
        created_by: opt_id = scope.created_by.as_ref().map(|id| id.to_native()),
        created_at: time = scope.created_at.to_native(),
    }
}

shape! {
    /// One use of a token.
    pub AccessTokenUsageEventResponse(event_id: u64, event: &ArchivedAccessEvent) {
        id: id = event_id,
        used_at: time = event.used_at.to_native(),
        ip_address: opt_str = Some(event.ip_address.as_str()),
        method: opt_str = Some(event.method.as_str()),
        path: opt_str = Some(&*whole_path(&event.path)),
        user_agent: opt_str = event.user_agent.as_deref(),
        allowed: bool = event.reject_reason.is_none(),
        scope_match: (Slot::of(Kind::OrNull(&Kind::Bool))) = match event.scope_match.as_ref().copied() {
            Some(true) => |out: &mut Vec<u8>| out.extend_from_slice(b"true"),
            Some(false) => |out: &mut Vec<u8>| out.extend_from_slice(b"false"),
            None => |out: &mut Vec<u8>| out.extend_from_slice(b"null"),
        },
        reject_reason: opt_str = event.reject_reason.as_deref(),
    }
}

shape! {
    /// How often an address has used it.
    pub AccessTokenUsageIPResponse(address: &str, count: &ArchivedAccessCount) {
        ip_address: str = address,
        request_count: u64 = count.let_in.to_native() + count.denied.to_native(),
        denied_count: u64 = count.denied.to_native(),
        last_seen_at: opt_time = Some(count.last_at.to_native()),
    }
}

shape! {
    /// How often it was used for an operation.
    pub AccessTokenUsagePathResponse(operation: &str, count: &ArchivedAccessCount) {
        method: opt_str = operation.split_once(' ').map(|(method, _)| method),
        path: opt_str = operation.split_once(' ').map(|(_, path)| whole_path(path)).as_deref(),
        request_count: u64 = count.let_in.to_native() + count.denied.to_native(),
        last_seen_at: opt_time = Some(count.last_at.to_native()),
    }
}

shape! {
    /// A token and its use.
    pub AccessTokenDetailResponse(read: Read<'_>, token_id: AccessTokenId, token: &ArchivedAccessToken, offset: Offset, recent: usize) {
        access_token: (Slot::object(AccessTokenResponse::SHAPE)) =
            |out: &mut Vec<u8>| AccessTokenResponse::write(out, read, token_id, token, offset),
        scopes: (Slot::list(&Kind::Object(AccessTokenScopeResponse::SHAPE))) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            for ((_, id), scope) in read.scan(ACCESS_SCOPES, token_id).take(ACCESS_SCOPE_COUNT_MAX) {
                AccessTokenScopeResponse::write(list.item(), id, scope);
            }
        },
        /// The latest first.
        recent_events: (Slot::list(&Kind::Object(AccessTokenUsageEventResponse::SHAPE))) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            for ((_, id), event) in read.scan_rev(ACCESS_EVENTS, token_id).take(recent) {
                AccessTokenUsageEventResponse::write(list.item(), id, event);
            }
        },
        top_ips: (Slot::list(&Kind::Object(AccessTokenUsageIPResponse::SHAPE))) = |out: &mut Vec<u8>| {
            let known = read.scan(ACCESS_ADDRESSES, token_id).take(ACCESS_ADDRESS_COUNT_MAX as usize);
            let mut list = Array::new(out);
            for (name, count) in top(known.map(|((_, name), count)| (name.to_string(), count))) {
                AccessTokenUsageIPResponse::write(list.item(), &name, count);
            }
        },
        top_paths: (Slot::list(&Kind::Object(AccessTokenUsagePathResponse::SHAPE))) = |out: &mut Vec<u8>| {
            let known = read.scan(ACCESS_PATHS, token_id).take(ACCESS_PATH_COUNT_MAX as usize);
            let mut list = Array::new(out);
            for (name, count) in top(known.map(|((_, name), count)| (name.to_string(), count))) {
                AccessTokenUsagePathResponse::write(list.item(), &name, count);
            }
        },
        total_events: u64 = used(read, token_id)
            .map_or(0, |used| used.use_count.to_native() + used.denied_count.to_native()),
        distinct_ip_count: u64 = used(read, token_id).map_or(0, |used| used.address_count.to_native()),
        denied_count_total: u64 = used(read, token_id).map_or(0, |used| used.denied_count.to_native()),
    }
}

/// Those that were seen most.
fn top<'r>(
    counts: impl Iterator<Item = (String, &'r ArchivedAccessCount)>,
) -> Vec<(String, &'r ArchivedAccessCount)> {
    let mut counts: Vec<_> = counts.collect();
    let seen = |count: &ArchivedAccessCount| count.let_in.to_native() + count.denied.to_native();
    counts.sort_by_key(|(name, count)| (std::cmp::Reverse(seen(count)), name.clone()));
    counts.truncate(TOP_COUNT_MAX);
    counts
}
