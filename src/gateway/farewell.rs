//! Telling everybody that they have to go, and closing their connections when they had the time (contract §8).
//!
//! Invariant: who comes after the announcement is not among those who are closed for it. However many they are, a tick
//! closes some, and the next one goes on.

use std::collections::VecDeque;

use super::connections::ConnectionRef;
use super::hub::{Cx, Hub};
use super::protocol::Close;
use crate::domain::error::seconds_text;
use crate::domain::gate::closure::maintenance;
use crate::id::TokenId;
use crate::wire::json::Object;

/// Connections that one tick closes: some milliseconds.
const CLOSED_PER_TICK: usize = if cfg!(test) { 2 } else { 2_000 };

/// Those who have been told.
pub struct Farewell {
    due_ms: u64,
    close: &'static Close,
    /// Sessions of tokens up to this one end for good.
    void_up_to: Option<TokenId>,
    who: Vec<ConnectionRef>,
}

/// In the order in which they are due.
pub type Farewells = VecDeque<Farewell>;

impl Hub {
    /// Op 12 of the maintenance that there is.
    pub(super) fn maintenance_status(&self, cx: &Cx<'_>) -> Option<String> {
        let notice = maintenance(cx.read)?;
        let mut d = Vec::new();
        Object::new(&mut d)
            .str("state", "maintenance")
            .opt_str("message", notice.message.as_deref())
            .opt_u64(
                "estimated_downtime_seconds",
                notice.estimated_seconds.as_ref().map(|seconds| seconds.to_native()),
            );
        Some(self.status(&d))
    }

    /// What an object says, with when the connection is closed.
    fn status(&self, d: &[u8]) -> String {
        let seconds = seconds_text(self.config.server.shutdown_grace_ms);
        let d = String::from_utf8_lossy(&d[..d.len() - 1]).into_owned();
        format!("{{\"op\":12,\"d\":{d},\"closing_in_seconds\":{seconds}}}}}")
    }

    pub(super) fn maintenance_begun(&mut self, cx: &Cx<'_>) {
        if let Some(status) = self.maintenance_status(cx) {
            self.tell_to_go(cx, &status, &Close::SERVER_MAINTENANCE, None);
        }
    }

    pub(super) fn everybody_logged_out(&mut self, cx: &Cx<'_>, up_to: TokenId) {
        let mut d = Vec::new();
        Object::new(&mut d).str("state", "shutting_down").str("message", "Security reset");
        let status = self.status(&d);
        self.tell_to_go(cx, &status, &Close::SECURITY_RESET, Some(up_to));
    }

    fn tell_to_go(&mut self, cx: &Cx<'_>, status: &str, close: &'static Close, void_up_to: Option<TokenId>) {
        let mut who = Vec::new();
        for id in self.connections.ids() {
            let connection = &self.connections[id];
            if connection.state.is_closing() {
                continue;
            }
            who.push(ConnectionRef { id, generation: connection.generation });
            self.send_text(id, status.as_bytes());
        }
        let due_ms = cx.mono_ms + self.config.server.shutdown_grace_ms;
        self.farewells.push_back(Farewell { due_ms, close, void_up_to, who });
    }

    /// Closes some of those who had the time; whether there are more.
    pub(super) fn close_told(&mut self, cx: &Cx<'_>) -> bool {
        for _ in 0..CLOSED_PER_TICK {
            let Some(first) = self.farewells.front_mut().filter(|first| first.due_ms <= cx.mono_ms) else {
                return false;
            };
            let Farewell { close, void_up_to, .. } = *first;
            let Some(meant) = first.who.pop() else {
                self.farewells.pop_front();
                continue;
            };
            let Some(connection) = self.connections.find(meant) else { continue };
            let slot = connection.session;
            let session = self.sessions.get(slot);
            match (void_up_to, session.map(|session| session.token_id)) {
                (Some(up_to), Some(token_id)) if token_id <= up_to => self.end_and_close(cx, slot, close),
                // Somebody has logged in anew meanwhile.
                (Some(_), Some(_)) => {}
                _ => self.close(cx, meant.id, close),
            }
        }
        self.farewells.front().is_some_and(|first| first.due_ms <= cx.mono_ms)
    }
}
