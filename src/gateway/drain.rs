//! Sending everybody away, a few at a time, so that the servers which take them in are not asked by all at once; and
//! those whom an administrator sends away (contract §8: RECONNECT, then close 4000).
//!
//! Invariant: while it goes on nobody begins or resumes a session here. Sessions stay as long as others that have lost
//! their connection: when it is over, whoever comes back in time goes on where he was.

use super::client::Resume;
use super::connections::{ConnectionId, ConnectionRef};
use super::hub::{Cx, Hub};
use super::protocol::Close;
use crate::id::{TokenId, UserId};

/// Connections that one tick closes at most: some milliseconds.
const CLOSED_PER_TICK: usize = if cfg!(test) { 2 } else { 2_000 };

/// Whoever hears this connects anew.
pub(super) const RECONNECT: &[u8] = b"{\"op\":7,\"d\":null}";

/// Those who are still to be sent away.
pub struct Drain {
    begun_ms: u64,
    spread_ms: u64,
    count: usize,
    who: Vec<ConnectionRef>,
}

impl Drain {
    /// How many may be left at a moment.
    fn left_max(&self, mono_ms: u64) -> usize {
        let passed = mono_ms.saturating_sub(self.begun_ms).min(self.spread_ms);
        match self.spread_ms {
            0 => 0,
            spread => (self.count as u64 * (spread - passed) / spread) as usize,
        }
    }
}

impl Hub {
    /// Begins to send everybody away; those who are left of an earlier time are spread anew.
    pub(super) fn drain_begun(&mut self, cx: &Cx<'_>, spread_ms: u64) {
        let who = self.connected();
        self.drain = Some(Drain { begun_ms: cx.mono_ms, spread_ms, count: who.len(), who });
    }

    /// Everybody whose connection is not closing.
    pub(super) fn connected(&self) -> Vec<ConnectionRef> {
        let open = self.connections.ids().into_iter().filter(|id| !self.connections[*id].state.is_closing());
        open.map(|id| ConnectionRef { id, generation: self.connections[id].generation }).collect()
    }

    pub(super) fn drain_over(&mut self) {
        self.drain = None;
    }

    /// Sends away those whose time has come; whether there are more.
    pub(super) fn close_drained(&mut self, cx: &Cx<'_>) -> bool {
        for _ in 0..CLOSED_PER_TICK {
            let Some(drain) = &mut self.drain else { return false };
            if drain.who.len() <= drain.left_max(cx.mono_ms) {
                return false;
            }
            let meant = drain.who.pop().expect("more than may be left");
            if self.connections.find(meant).is_some() {
                self.send_away(cx, meant.id);
            }
        }
        self.drain.as_ref().is_some_and(|drain| drain.who.len() > drain.left_max(cx.mono_ms))
    }

    /// What becomes of whoever wants to begin or resume a session.
    ///
    /// # Errors
    /// While everybody is sent away.
    pub(super) fn take_in(&mut self, id: ConnectionId) -> Result<(), &'static Close> {
        if self.drain.is_none() {
            return Ok(());
        }
        self.send_text(id, RECONNECT);
        Err(&Close::RECONNECT)
    }

    /// The same of one who has come from another core, which has not heard of it yet.
    pub(super) fn take_in_adopted(&mut self, cx: &Cx<'_>, id: ConnectionId, resume: &Resume) {
        match self.take_in(id) {
            Ok(()) => self.resume_adopted(cx, id, resume),
            Err(close) => self.close(cx, id, close),
        }
    }

    /// Sends away the connections of an account, or of one of its login sessions.
    pub(super) fn disconnected(&mut self, cx: &Cx<'_>, user_id: UserId, token_id: Option<TokenId>) {
        for slot in self.sessions.of_user(user_id) {
            let session = &self.sessions[slot];
            let is_meant = token_id.is_none_or(|token_id| token_id == session.token_id);
            if is_meant && session.connection != ConnectionId::NONE {
                self.send_away(cx, session.connection);
            }
        }
    }

    fn send_away(&mut self, cx: &Cx<'_>, id: ConnectionId) {
        // What waits goes out first, so that this is the last that it hears.
        self.drain(id);
        self.send_text(id, RECONNECT);
        self.close(cx, id, &Close::RECONNECT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_go_evenly_over_the_time_that_is_given() {
        let drain = |spread_ms| Drain { begun_ms: 1_000, spread_ms, count: 10, who: Vec::new() };
        let left = [1_000, 1_999, 2_000, 5_500, 10_999, 11_000, 99_000].map(|at| drain(10_000).left_max(at));
        assert_eq!(left, [10, 9, 9, 5, 0, 0, 0]);
        assert_eq!(drain(0).left_max(1_000), 0);
        let whole = Drain { count: 1_000_000, ..drain(3_600_000) };
        assert_eq!(whole.left_max(1_801_000), 500_000);
    }
}
