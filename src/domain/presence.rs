//! Presence: what is stored, and what others may see of it.

use crate::store::records::{ArchivedPresence, status};

/// Whether a user is there right now; kept by the gateway, not part of the stored state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Liveness {
    /// Has a live session, or one that was lost less than the grace ago.
    pub online: bool,
    /// When he was last shown offline, Unix milliseconds; 0 = not since the server started.
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
