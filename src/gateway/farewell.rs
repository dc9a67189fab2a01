//! Telling everybody that they have to go, and closing their connections when they had the time (contract §8).
//!
//! Invariants: who comes after the announcement is not among those who are closed for it, and nobody is closed for it who
//! was not told. However many they are, a tick tells and closes some, and the next one goes on.

use std::collections::VecDeque;

use super::connections::ConnectionRef;
use super::hub::{Cx, Hub};
use super::protocol::Close;
use crate::domain::error::seconds_text;
use crate::domain::gate::closure::maintenance;
use crate::id::TokenId;
use crate::wire::json::Object;

/// Connections that one tick tells, and as many that it closes: some milliseconds.
const PER_TICK: usize = if cfg!(test) { 2 } else { 2_000 };

/// Those who have to go.
pub struct Farewell {
    due_ms: u64,
    /// What they are told.
    status: String,
    close: &'static Close,
    /// Sessions of tokens up to this one end for good.
    void_up_to: Option<TokenId>,
    untold: Vec<ConnectionRef>,
    told: Vec<ConnectionRef>,
}

/// In the order in which they are due.
pub type Farewells = VecDeque<Farewell>;

impl Hub {
    /// Op 12 of the maintenance that there is.
    pub(super) fn maintenance_status(&self, cx: &Cx<'_>) -> Option<String> {
        let notice = maintenance(cx.read)?;
        let seconds = notice.estimated_seconds.as_ref().map(|seconds| seconds.to_native());
        Some(self.status("maintenance", |d| {
            d.opt_str("message", notice.message.as_deref()).opt_u64("estimated_downtime_seconds", seconds);
        }))
    }

    /// Op 12, which says too when the connection is closed.
    pub(super) fn status(&self, state: &str, fill: impl FnOnce(&mut Object<'_>)) -> String {
        let mut out = Vec::new();
        {
            let mut status = Object::new(&mut out);
            let mut d = status.u64("op", 12).object("d");
            fill(d.str("state", state));
            let seconds = seconds_text(self.config.server.shutdown_grace_ms);
            d.raw("closing_in_seconds", seconds.as_bytes());
        }
        String::from_utf8(out).expect("what was written is text")
    }

    pub(super) fn maintenance_begun(&mut self, cx: &Cx<'_>) {
        if let Some(status) = self.maintenance_status(cx) {
            self.send_off(cx, status, &Close::SERVER_MAINTENANCE, None);
        }
    }

    pub(super) fn everybody_logged_out(&mut self, cx: &Cx<'_>, up_to: TokenId) {
        let status = self.status("shutting_down", |d| {
            d.str("message", "Security reset");
        });
        self.send_off(cx, status, &Close::SECURITY_RESET, Some(up_to));
    }

    fn send_off(&mut self, cx: &Cx<'_>, status: String, close: &'static Close, void_up_to: Option<TokenId>) {
        let untold = self.connected();
        let due_ms = cx.mono_ms + self.config.server.shutdown_grace_ms;
        self.farewells.push_back(Farewell { due_ms, status, close, void_up_to, untold, told: Vec::new() });
        self.tell_some();
    }

    /// Tells some of those who have to go; whether there are more.
    pub(super) fn tell_some(&mut self) -> bool {
        for _ in 0..PER_TICK {
            let mut waiting = self.farewells.iter_mut();
            let Some((farewell, meant)) = waiting.find_map(|one| one.untold.pop().map(|meant| (one, meant)))
            else {
                return false;
            };
            farewell.told.push(meant);
            if self.connections.find(meant).is_some_and(|found| !found.state.is_closing()) {
                let status = farewell.status.clone();
                self.send_text(meant.id, status.as_bytes());
            }
        }
        true
    }

    /// Closes some of those who had the time; whether there are more.
    pub(super) fn close_told(&mut self, cx: &Cx<'_>) -> bool {
        let is_due = |first: &Farewell| first.due_ms <= cx.mono_ms && first.untold.is_empty();
        for _ in 0..PER_TICK {
            let Some(first) = self.farewells.front_mut().filter(|first| is_due(first)) else { return false };
            let Farewell { close, void_up_to, .. } = *first;
            let Some(meant) = first.told.pop() else {
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
        self.farewells.front().is_some_and(is_due)
    }
}
