//! The use of login sessions, noted once a minute each.

use super::ctx::Principal;
use super::state::State;
use crate::config::AuthenticationSessions;
use crate::domain::Command;
use crate::domain::identity::token::{TOUCH_INTERVAL_MS, TokenTouch};
use crate::id::TokenId;

const HOUR_MS: u64 = 3_600_000;

/// How long sessions live and when they are renewed: (life, threshold) in milliseconds; threshold 0 = never.
pub fn session_times(sessions: &AuthenticationSessions) -> (u64, u64) {
    let threshold_hours = if sessions.extend_on_activity { sessions.extend_threshold_hours } else { 0 };
    (sessions.expire_hours * HOUR_MS, threshold_hours * HOUR_MS)
}

/// The command that notes the use of a session, when that is due; to be submitted without waiting for it. At most
/// once a minute for a session, also while the log has not come to it yet, or refuses.
#[cold]
pub fn touch(state: &State, principal: Principal) -> Option<Command> {
    if !principal.touch_due || !state.touches.borrow_mut().note(principal.token_id, state.now_ms()) {
        return None;
    }
    let (life_ms, threshold_ms) = session_times(&state.config.authentication_sessions);
    let touch = TokenTouch { token_id: principal.token_id, life_ms, threshold_ms };
    Some(Command::new(principal.user_id, touch.into()))
}

/// Touches of a core that may still be under way: the last one in each slot.
pub struct Touches([(TokenId, u64); TOUCH_SLOT_COUNT]);

/// A touch is under way for milliseconds; a collision costs one more command.
const TOUCH_SLOT_COUNT: usize = 256;

impl Default for Touches {
    fn default() -> Touches {
        Touches([(TokenId(0), 0); TOUCH_SLOT_COUNT])
    }
}

impl Touches {
    /// False when this session was noted less than a minute ago.
    fn note(&mut self, token_id: TokenId, now_ms: u64) -> bool {
        // The low bits of an id count within its millisecond; those above are time.
        let slot = &mut self.0[(token_id.0 ^ token_id.0 >> 22) as usize % TOUCH_SLOT_COUNT];
        if slot.0 == token_id && now_ms < slot.1 + TOUCH_INTERVAL_MS {
            return false;
        }
        *slot = (token_id, now_ms);
        true
    }
}
