//! What time brings: heartbeats that are missing, pings, close handshakes, resume windows, users who are gone.

use super::connection::{Ms, State, since};
use super::connections::{ConnectionId, ConnectionRef, Connections};
use super::expiry::LOOK_MS;
use super::hub::{Cx, ENDED_PER_TICK, Hub};
use super::protocol::Close;
use crate::wire::websocket::write_ping;

/// Users whom one tick looks at because their presence may have lapsed, and in steps of how many.
const LAPSED_PER_TICK: usize = if cfg!(test) { 2 } else { 256 };
const LAPSED_PER_STEP: usize = if cfg!(test) { 1 } else { 16 };
/// After so many dispatches about them the rest waits for the next tick: about 4 ms.
const LAPSED_DISPATCHES_MAX: u64 = 50_000;

impl Hub {
    /// Lets time pass: heartbeats, pings, stalls, close handshakes, resume windows, presence.
    pub fn tick(&mut self, cx: &Cx<'_>) {
        let now = cx.ms();
        let due = self.deadlines.take_due(cx.mono_ms);
        for meant in &due {
            if let Some(wait) = self.check_connection(cx, *meant) {
                self.deadlines.look_at(cx.mono_ms + wait.max(1), *meant);
            }
        }
        self.deadlines.put_due(due);
        let (close_timeout, send_timeout) =
            (self.config.websocket.close_timeout_ms, self.config.websocket.send_timeout_ms);
        let unsent = |connections: &Connections, id| connections.get(id).is_some_and(|closed| closed.dirty);
        while let Some(meant) =
            self.deadlines.next_closed(now, close_timeout, |id| unsent(&self.connections, id))
        {
            if self.connections.find(meant).is_some() {
                self.lost(cx, meant.id);
            }
        }
        while let Some(meant) = self.deadlines.next_stalled(now, send_timeout) {
            let stalled = self.connections.find(meant).is_some_and(|connection| {
                connection.blocked
                    && !connection.state.is_closing()
                    && connection
                        .in_flight()
                        .is_some_and(|busy| u64::from(since(busy.blocked_ms, now)) >= send_timeout)
            });
            if stalled && send_timeout > 0 {
                self.close_slow(cx, meant.id);
            }
        }
        self.end_expired(cx);
        self.deadlines.overdue |= self.end_expired_tokens(cx);
        self.deadlines.overdue |= self.tell_some();
        self.deadlines.overdue |= self.close_told(cx);
        self.deadlines.overdue |= self.close_drained(cx);
        self.end_lost_calls(cx);
        self.look_at_doubtful(cx);
        self.audiences.forget_gone_channels(cx.mono_ms);
        self.tell_lapsed(cx);
        self.walk_memberships(cx);
        self.run_job(cx);
    }

    /// Ends sessions that can no longer be resumed, as many as a tick may.
    fn end_expired(&mut self, cx: &Cx<'_>) {
        let (now, timeout) = (cx.ms(), self.config.websocket.session_timeout_ms);
        let mut budget = ENDED_PER_TICK;
        while budget > 0 {
            let Some((slot, session_id)) = self.deadlines.next_expired(now, timeout) else { break };
            let expired = self.sessions.get(slot).is_some_and(|session| {
                session.id == session_id
                    && session.connection == ConnectionId::NONE
                    && u64::from(since(session.detached_ms(), now)) >= timeout
            });
            let places = if expired { self.end_session(cx, slot) } else { 0 };
            budget = budget.saturating_sub(1 + places);
        }
        self.deadlines.overdue = self.deadlines.has_expired(now, timeout);
    }

    /// Tells of users who are no longer there, as many as a tick may.
    fn tell_lapsed(&mut self, cx: &Cx<'_>) {
        let before = self.counters.dispatch_count;
        for _ in 0..LAPSED_PER_TICK / LAPSED_PER_STEP {
            let effects = self.home.tick(cx.read, cx.steady_ms, LAPSED_PER_STEP);
            self.carry_out(cx, effects);
            if !self.home.has_due(cx.steady_ms) {
                return;
            }
            if self.counters.dispatch_count - before > LAPSED_DISPATCHES_MAX {
                break;
            }
        }
        self.deadlines.overdue = true;
    }

    /// Returns in how many milliseconds to look again.
    fn check_connection(&mut self, cx: &Cx<'_>, meant: ConnectionRef) -> Option<u64> {
        let id = meant.id;
        let connection = self.connections.get_mut(id)?;
        if connection.generation != meant.generation || connection.state.is_closing() {
            return None;
        }
        let now = cx.ms();
        let websocket = &self.config.websocket;
        let mut wait = LOOK_MS;
        let mut overdue = |from: Ms, timeout: u64| {
            let passed = u64::from(since(from, now));
            if timeout > 0 && passed < timeout {
                wait = wait.min(timeout - passed);
            }
            timeout > 0 && passed >= timeout
        };
        let close = if overdue(connection.beat_ms, self.config.heartbeat_timeout_ms()) {
            Some(&Close::SESSION_TIMED_OUT)
        } else if connection.state == State::Connected
            && overdue(connection.opened_ms, websocket.identify_timeout_ms)
        {
            Some(&Close::NOT_AUTHENTICATED)
        } else if connection.pinged
            && !connection.blocked
            && overdue(connection.ping_ms, websocket.ping_timeout_ms)
        {
            Some(&Close::PONG_MISSING)
        } else {
            None
        };
        if let Some(close) = close {
            self.close(cx, id, close);
            return None;
        }
        // Behind a blocked socket a ping says nothing: there the bounds of the backlog decide.
        if overdue(connection.ping_ms, websocket.ping_interval_ms) {
            connection.ping_ms = now;
            let interval = [websocket.ping_interval_ms, websocket.ping_timeout_ms];
            wait = interval.into_iter().filter(|ms| *ms > 0).fold(wait, u64::min);
            if !connection.blocked && !connection.pinged {
                connection.pinged = true;
                write_ping(connection.out(), b"");
                self.mark_dirty(id);
            }
        }
        self.watch_expiry(cx, id, wait);
        Some(wait)
    }
}
