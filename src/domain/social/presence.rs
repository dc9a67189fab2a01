//! Presence: what is stored, and what others may see of it.

use rkyv::{Archive, Deserialize, Serialize};

use super::relationship;
use crate::domain::error::{Refusal, Result};
use crate::domain::event::Change;
use crate::domain::machine::Machine;
use crate::domain::time::Now;
use crate::domain::view::may_log_in;
use crate::id::UserId;
use crate::store::Read;
use crate::store::records::{ArchivedPresence, Presence, status};
use crate::store::tables::{PRESENCES, USERS};
use crate::wire::json::shape::{Slot, shape};

/// What the acting user stores as his presence, over REST or the gateway.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct PresenceSet {
    /// A [`status`] code; `None` keeps the stored one.
    pub status: Option<u8>,
    /// `None` = unchanged, `Some(None)` = cleared.
    pub custom_status: Option<Option<String>>,
    /// The same.
    pub custom_emoji: Option<Option<String>>,
    /// Came over REST: for a while that counts as being there.
    pub by_rest: bool,
}

/// What does not stand in the state but decides what is visible.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Now,
    /// `presence.timeout_ms`.
    pub rest_timeout_ms: u64,
}

/// Whether a user is there right now; kept by the gateway, not part of the stored state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Liveness {
    /// Has a live session, or one that was lost less than the grace ago.
    pub online: bool,
    /// When he was last shown offline, in steady time; 0 = not since the server started.
    pub gone_at_ms: u64,
}

/// The status that others see (gateway.md §6.5): offline unless he is there and does not hide.
///
/// A status set over REST without a gateway session counts as being there for `rest_timeout_ms`.
pub fn visible_status(
    stored: Option<&ArchivedPresence>,
    live: Liveness,
    now_ms: u64,
    rest_timeout_ms: u64,
) -> u8 {
    let rest_at = stored.map_or(0, |presence| presence.rest_at.to_native());
    let rest_there = rest_at > live.gone_at_ms && now_ms.saturating_sub(rest_at) < rest_timeout_ms;
    if !live.online && !rest_there {
        return status::OFFLINE;
    }
    match stored.map_or(status::ONLINE, |presence| presence.status) {
        status::INVISIBLE => status::OFFLINE,
        status => status,
    }
}

/// The status of `target` as `viewer` sees it: his own unmasked, that of a blocked or blocking user as offline.
pub fn shown(read: Read<'_>, viewer: UserId, target: UserId, live: Liveness, moment: Moment) -> u8 {
    if viewer == target
        && let Some(stored) = read.get(PRESENCES, target)
    {
        return stored.status;
    }
    shown_outside(read, viewer, target, live, moment)
}

/// The same for lists that show everybody alike: to oneself as to others.
pub fn shown_outside(read: Read<'_>, viewer: UserId, target: UserId, live: Liveness, moment: Moment) -> u8 {
    let visible =
        visible_status(read.get(PRESENCES, target), live, moment.now.steady_ms, moment.rest_timeout_ms);
    if visible != status::OFFLINE && relationship::blocked(read, viewer, target) {
        return status::OFFLINE;
    }
    visible
}

/// When `viewer` may think that `target` was there last; `None` = never. Somebody who hides was last there when he
/// began to, and a blocked pair knows nothing of each other.
fn last_seen(
    read: Read<'_>,
    viewer: UserId,
    target: UserId,
    live: Liveness,
    shown: u8,
    now_ms: u64,
) -> Option<u64> {
    let stored = read.get(PRESENCES, target);
    let seen = stored.map_or(0, |presence| presence.last_seen.to_native());
    if viewer != target && relationship::blocked(read, viewer, target) {
        return None;
    }
    let hides = stored.is_some_and(|presence| is_hidden(presence.status));
    let seen = match (hides, live.online && shown != status::OFFLINE) {
        (true, _) => seen,
        (false, true) => now_ms,
        (false, false) => seen.max(live.gone_at_ms),
    };
    (seen != 0).then_some(seen)
}

fn is_hidden(code: u8) -> bool {
    matches!(code, status::INVISIBLE | status::OFFLINE)
}

/// `PresenceResponse` of `target` as `viewer` sees it. Who is shown offline shows no custom status either:
/// otherwise hiding would be visible.
pub fn write_presence(
    out: &mut Vec<u8>,
    read: Read<'_>,
    viewer: UserId,
    target: UserId,
    live: Liveness,
    moment: Moment,
) {
    let shown = shown(read, viewer, target, live, moment);
    let custom = read.get(PRESENCES, target).filter(|_| viewer == target || shown != status::OFFLINE);
    let last_seen = last_seen(read, viewer, target, live, shown, moment.now.steady_ms);
    PresenceResponse::write(out, target, shown, custom, last_seen.map(|at| moment.now.offset().shown(at)));
}

shape! {
    /// Whether somebody is there, and what he says of it.
    pub PresenceResponse(target: UserId, shown: u8, custom: Option<&ArchivedPresence>, last_seen: Option<u64>) {
        user_id: id = target.0,
        status: (Slot::word(status::WORDS)) = status::text(shown),
        custom_status: opt_str = custom.and_then(|presence| presence.custom_status.as_deref()),
        custom_emoji: opt_str = custom.and_then(|presence| presence.custom_emoji.as_deref()),
        last_seen: opt_time = last_seen,
    }
}

/// Replies whether anything was stored.
pub(in crate::domain) fn presence_set(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &PresenceSet,
) -> Result<bool> {
    let user = machine.tx.get(USERS, actor).ok_or(Refusal::UserNotFound)?;
    if !may_log_in(user.state) {
        return Err(Refusal::UserNotFound.into());
    }
    let stored = machine.tx.get(PRESENCES, actor);
    let was_hidden = stored.is_some_and(|presence| is_hidden(presence.status));
    let before = stored.map_or_else(Presence::default, Presence::from);
    let mut after = before.clone();
    if let Some(code) = op.status {
        after.status = code;
    }
    if let Some(custom_status) = &op.custom_status {
        after.custom_status.clone_from(custom_status);
    }
    if let Some(custom_emoji) = &op.custom_emoji {
        after.custom_emoji.clone_from(custom_emoji);
    }
    if op.by_rest {
        after.rest_at = machine.at;
    }
    if after == before {
        return Ok(false);
    }
    // What somebody does while he hides must not show in when he was last seen.
    if !(was_hidden && is_hidden(after.status)) {
        after.last_seen = machine.at;
    }
    machine.tx.put(PRESENCES, actor, &after);
    machine.change(Change::PresenceStored { user_id: actor });
    Ok(true)
}
