//! Who is kept out: accounts that are locked, addresses that are blocked, names that nobody may take.

use super::admin_users::ahead;
use super::lists::page;
use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Flag, Id, Int, Needed, Or, Text, fields};
use crate::api::identity::rules::login_key;
use crate::api::new_names;
use crate::domain::gate::address::{self, AddressBlock, AddressUnblock, BlockedIPResponse};
use crate::domain::identity::banned_name::{self, BannedUsernameResponse, NameBanCreate, NameBanRemove};
use crate::domain::identity::custody::{UserLock, UserLogOut, UserUnlock};
use crate::domain::view::existing;
use crate::domain::{Error, Result};
use crate::id::{NameBanId, UserId, parse_id};
use crate::limits::{ADDRESS_BLOCK_COUNT_MAX, HOUR_MS, LOCK_HOURS_MAX};
use crate::wire::json::Array;

const SECONDS_MAX: u64 = LOCK_HOURS_MAX * 3_600;
const REASON_CHARS: std::ops::RangeInclusive<usize> = 0..=500;
const PATTERN_CHARS: std::ops::RangeInclusive<usize> = 1..=100;
const NAME_REASON_CHARS: std::ops::RangeInclusive<usize> = 0..=200;

fields! {
    /// Whom.
    pub USER: AdminUserRequest {
        user_id: Needed<Id> = Needed(Id),
    }
}

fields! {
    /// Whom to lock.
    pub LOCK: LockUserRequest {
        user_id: Needed<Id> = Needed(Id),
        /// Without it until he is unlocked.
        duration_seconds: Int = Int(1..=SECONDS_MAX),
    }
}

fields! {
    /// Which address is not to be served.
    pub BLOCK: BlockIPRequest {
        /// Or a network, such as 192.0.2.0/24.
        ip_address: Needed<Text> = Needed(Text(Chars::UpTo(64))),
        reason: Text = Text(Chars::Configured(|_| REASON_CHARS)),
        /// Without it for good.
        duration_hours: Int = Int(1..=LOCK_HOURS_MAX),
    }
}

fields! {
    /// Which name nobody may take.
    pub NAME_BAN: BanUsernameRequest {
        /// The whole name, in any case; or a regular expression that is looked for in it.
        pattern: Needed<Text> = Needed(Text(Chars::Configured(|_| PATTERN_CHARS))),
        reason: Text = Text(Chars::Configured(|_| NAME_REASON_CHARS)),
        is_regex: Or<Flag, bool> = Or(Flag, false),
    }
}

/// The account that a body names.
fn whom(ctx: &Ctx<'_>, user_id: u64) -> Result<UserId> {
    let user_id = UserId(user_id);
    existing(ctx.snapshot().read(), user_id)?;
    Ok(user_id)
}

pub async fn admin_user_lock(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (user_id, seconds) = {
        let body = ctx.body()?;
        (LOCK.user_id.read(&body)?, LOCK.duration_seconds.read(&body)?)
    };
    let user_id = whom(ctx, user_id)?;
    ctx.act(UserLock { user_id, life_ms: seconds.map(|seconds| seconds * 1_000) }).await?;
    ctx.success()
}

pub async fn admin_user_unlock(ctx: &mut Ctx<'_>) -> Result<Step> {
    let user_id = USER.user_id.read(&ctx.body()?)?;
    let user_id = whom(ctx, user_id)?;
    let names = {
        let snapshot = ctx.snapshot();
        let user = existing(snapshot.read(), user_id)?;
        [&*user.username, &*user.email].into_iter().filter(|name| !name.is_empty()).map(login_key).collect()
    };
    ctx.act(UserUnlock { user_id, names }).await?;
    ctx.success()
}

pub async fn admin_user_log_out(ctx: &mut Ctx<'_>) -> Result<Step> {
    let user_id = USER.user_id.read(&ctx.body()?)?;
    let user_id = whom(ctx, user_id)?;
    ctx.act(UserLogOut { user_id }).await?;
    ctx.success()
}

// ------------------------------------------------------------------------------------------- addresses

pub fn admin_address_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, now) = (ctx.snapshot(), ctx.now());
    let mut blocks: Vec<_> =
        address::all(snapshot.read()).filter(|(_, block)| address::until(block) > now.steady_ms).collect();
    blocks.sort_unstable_by_key(|(_, block)| std::cmp::Reverse(block.order.to_native()));
    ctx.json(|out| {
        let mut list = Array::new(out);
        let count = blocks.len() as u64;
        for (address, block) in page(blocks.into_iter(), count, (ADDRESS_BLOCK_COUNT_MAX as u64, 0)) {
            BlockedIPResponse::write(list.item(), &address, block, now.offset());
        }
    })
}

fn read_address(text: &str) -> Result<(String, ipnet::IpNet)> {
    let wrong = || Error::invalid("ip_address", "must be an address, or a network such as 192.0.2.0/24");
    address::spelled(text).ok_or_else(wrong)
}

pub async fn admin_address_block(ctx: &mut Ctx<'_>) -> Result<Step> {
    let op = {
        let body = ctx.body()?;
        let (address, net) = read_address(BLOCK.ip_address.read(&body)?)?;
        let reason = BLOCK.reason.read(&body)?;
        check_len("reason", reason.unwrap_or_default(), REASON_CHARS)?;
        let hours = BLOCK.duration_hours.read(&body)?;
        if net.contains(&ctx.request.ip.to_canonical()) {
            return Err(Error::invalid("ip_address", "this is where you are: you would be locked out"));
        }
        let reason = reason.map(str::to_string);
        AddressBlock { address, reason, life_ms: hours.map(|hours| hours * HOUR_MS) }
    };
    ctx.act(op).await?;
    ctx.success()
}

pub async fn admin_address_unblock(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (address, _) = read_address(&ctx.param("ip_address"))?;
    ctx.act(AddressUnblock { address }).await?;
    ctx.success()
}

// ------------------------------------------------------------------------------------------- names

pub fn admin_name_ban_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    ctx.json(|out| {
        let mut list = Array::new(out);
        for (ban_id, ban) in banned_name::all(snapshot.read()) {
            BannedUsernameResponse::write(list.item(), ban_id, ban);
        }
    })
}

pub async fn admin_name_ban_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let op = {
        let body = ctx.body()?;
        let pattern = NAME_BAN.pattern.read(&body)?;
        check_len("pattern", pattern, PATTERN_CHARS)?;
        let reason = NAME_BAN.reason.read(&body)?;
        check_len("reason", reason.unwrap_or_default(), NAME_REASON_CHARS)?;
        let is_regex = NAME_BAN.is_regex.read(&body)?;
        if is_regex {
            new_names::compile(pattern).map_err(|why| Error::invalid("pattern", why))?;
        }
        NameBanCreate { pattern: pattern.to_string(), is_regex, reason: reason.map(str::to_string) }
    };
    ctx.act(op).await?;
    ctx.success()
}

pub async fn admin_name_ban_remove(ctx: &mut Ctx<'_>) -> Result<Step> {
    let ban_id = parse_id(&ctx.param("pattern_id")).ok_or_else(|| Error::invalid_id("pattern"))?;
    ctx.act(NameBanRemove { ban_id: NameBanId(ban_id) }).await?;
    ctx.success()
}

/// Milliseconds until a moment that a body may name.
pub(super) fn life(ctx: &Ctx<'_>, expires_at: Option<u64>) -> Result<Option<u64>> {
    expires_at.map(|at| ahead(ctx, "expires_at", at)).transpose()
}
