//! Files that are not taken, and people who may bring nothing before others.

use super::lists::{LIMIT, OFFSET, page};
use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Id, Int, Needed, Or, Text, fields};
use crate::domain::contact::blocked::{
    BlockHashResponse, BlockedHashResponse, HashBlock, HashUnblock, find, normalised,
};
use crate::domain::contact::silenced::{
    BlockUserResponse, BlockedUserResponse, UserSilence, UserUnsilence, all,
};
use crate::domain::view::existing;
use crate::domain::{Error, Result};
use crate::id::UserId;
use crate::limits::{HOUR_MS, LOCK_HOURS_MAX};
use crate::store::tables::{BLOCKED_HASH_ORDER, USER_BLOCKS};
use crate::wire::json::Array;

const REASON_CHARS: std::ops::RangeInclusive<usize> = 1..=500;
const HASH_CHARS: std::ops::RangeInclusive<usize> = 64..=128;

fields! {
    /// Which part of a list.
    pub LIST_QUERY: AdminBlockListQuery {
        limit: Or<Int, u64> = Or(Int(LIMIT), 100),
        offset: Or<Int, u64> = Or(Int(OFFSET), 0),
    }
}

fields! {
    /// Which file is not to be taken.
    pub HASH: BlockHashRequest {
        hash_value: Needed<Text> = Needed(Text(Chars::Configured(|_| HASH_CHARS))),
        /// Shown to whoever asks.
        reason: Needed<Text> = Needed(Text(Chars::Configured(|_| REASON_CHARS))),
    }
}

fields! {
    /// Who may bring nothing before others any more.
    pub USER: BlockUserRequest {
        user_id: Needed<Id> = Needed(Id),
        reason: Needed<Text> = Needed(Text(Chars::Configured(|_| REASON_CHARS))),
        /// Without it until somebody takes it back.
        duration_hours: Int = Int(1..=LOCK_HOURS_MAX),
    }
}

pub fn admin_blocked_hash_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let part = (LIST_QUERY.limit.query(ctx)?, LIST_QUERY.offset.query(ctx)?);
    let threshold = ctx.state.config.media_deduplication.phash_threshold;
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    ctx.json(|out| {
        let mut list = Array::new(out);
        for (_, hash) in page(read.scan_rev(BLOCKED_HASH_ORDER, ()), read.len(BLOCKED_HASH_ORDER), part) {
            if let Some(blocked) = find(read, &hash.value) {
                BlockedHashResponse::write(list.item(), &hash.value, blocked, threshold);
            }
        }
    })
}

pub async fn admin_hash_block(ctx: &mut Ctx<'_>) -> Result<Step> {
    let op = {
        let body = ctx.body()?;
        let hash_value = HASH.hash_value.read(&body)?;
        check_len("hash_value", hash_value, HASH_CHARS)?;
        let reason = HASH.reason.read(&body)?;
        check_len("reason", reason.trim(), REASON_CHARS)?;
        let wrong = || Error::invalid("hash_value", "must be of visible ASCII characters");
        HashBlock { hash_value: normalised(hash_value).ok_or_else(wrong)?, reason: reason.trim().to_string() }
    };
    let hash_value = op.hash_value.clone();
    ctx.act(op).await?;
    ctx.json(|out| BlockHashResponse::write(out, &hash_value))
}

pub async fn admin_hash_unblock(ctx: &mut Ctx<'_>) -> Result<Step> {
    // What cannot be a hash is not blocked.
    let Some(hash_value) = normalised(&ctx.param("hash_value")) else { return ctx.success() };
    ctx.act(HashUnblock { hash_value }).await?;
    ctx.success()
}

pub fn admin_blocked_user_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let part = (LIST_QUERY.limit.query(ctx)?, LIST_QUERY.offset.query(ctx)?);
    let (snapshot, now) = (ctx.snapshot(), ctx.now());
    let read = snapshot.read();
    ctx.json(|out| {
        let mut list = Array::new(out);
        for (user_id, block) in page(all(read, now.steady_ms), read.len(USER_BLOCKS), part) {
            BlockedUserResponse::write(list.item(), read, user_id, block, now.offset());
        }
    })
}

pub async fn admin_user_block(ctx: &mut Ctx<'_>) -> Result<Step> {
    let op = {
        let body = ctx.body()?;
        let user_id = UserId(USER.user_id.read(&body)?);
        let reason = USER.reason.read(&body)?.trim();
        check_len("reason", reason, REASON_CHARS)?;
        let hours = USER.duration_hours.read(&body)?;
        UserSilence { user_id, reason: reason.to_string(), life_ms: hours.map(|hours| hours * HOUR_MS) }
    };
    let user_id = op.user_id;
    existing(ctx.snapshot().read(), user_id)?;
    ctx.act(op).await?;
    ctx.json(|out| BlockUserResponse::write(out, user_id))
}

pub async fn admin_user_unblock(ctx: &mut Ctx<'_>) -> Result<Step> {
    let user_id = ctx.path_user()?;
    ctx.act(UserUnsilence { user_id }).await?;
    ctx.success()
}
