//! What goes out: which connections have something to send, and their frames in the order of their numbers.
//!
//! A dispatch is written into the send buffer right before its send; a session that cannot keep up holds numbers, not
//! bytes. Past its bounds (§7) it is closed and may resume.

use super::connection::{State, since};
use super::connections::{ConnectionId, ConnectionRef};
use super::hub::Action;
use super::hub::{Cx, Hub};
use super::replay::write_dispatch_frame;
use crate::config::or_unlimited;
use crate::limits::{BACKLOG_GRACE_MS, BACKLOG_STALL_MS};

/// What [`Hub::fill`] has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Everything is in the buffer.
    All,
    /// The bound was reached: fill again after sending.
    More,
    /// An event that was not sent yet is no longer kept: close with [`Hub::close_slow`].
    Lost,
}

/// Bytes handed to one send, plus the frame that reaches the bound.
pub const FILL_LEN_MAX: usize = 256 * 1024;

/// What may wait in a connection's own bytes besides the backlog: the rest of one send with its last frame, which a
/// list of members can make large.
const OUT_SPARE: usize = 4 * FILL_LEN_MAX;

impl Hub {
    pub(super) fn mark_dirty(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        self.outbox.mark(id, connection);
    }

    /// Queues one JSON text, compressed when the connection asked for it.
    pub(super) fn send_text(&mut self, id: ConnectionId, text: &[u8]) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.state.is_closing() {
            return;
        }
        if connection.compress {
            self.compression.push_text(connection, text);
        } else {
            connection.push_text(text);
        }
        self.outbox.mark(id, connection);
    }

    /// Ids of connections with something to send: all that have something of their own (answers, close frames), then
    /// up to `session_count_max` sessions with dispatches, longest waiting first. The others wait for the next call.
    /// Each id comes once. Blocked connections are checked against their bounds instead.
    pub fn take_dirty(&mut self, cx: &Cx<'_>, session_count_max: usize, out: &mut Vec<ConnectionId>) {
        out.clear();
        for id in self.outbox.take_connections() {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            if connection.blocked {
                connection.dirty = false;
                self.check_backlog(cx, id);
            } else if connection.dirty {
                out.push(id);
            }
        }
        let own_count = out.len();
        let count = self.outbox.session_count().min(session_count_max);
        for _ in 0..count {
            let slot = self.outbox.next_session().expect("counted above");
            let Some(session) = self.sessions.get_mut(slot) else { continue };
            let is_dirty = std::mem::replace(&mut session.dirty, false);
            let id = session.connection;
            // Sent with an answer already, or waiting for a RESUME.
            if !is_dirty || id == ConnectionId::NONE || session.sent == session.seq {
                continue;
            }
            let connection = &self.connections[id];
            if connection.blocked {
                self.check_backlog(cx, id);
            } else if !connection.dirty {
                out.push(id);
            }
        }
        // Marked until here so that their sessions do not list them again.
        for &id in &out[..own_count] {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.dirty = false;
            }
        }
    }

    /// A connection that waits for its socket: are its bounds still kept? (§7 send_queue_*) What the server sends at
    /// once may be more than they allow; a client that reads it in [`BACKLOG_GRACE_MS`], and does not rest for
    /// [`BACKLOG_STALL_MS`], is healthy.
    fn check_backlog(&mut self, cx: &Cx<'_>, id: ConnectionId) {
        let connection = &mut self.connections[id];
        if connection.state.is_closing() {
            return;
        }
        let slot = connection.session;
        let busy = connection.busy();
        if busy.out.len() > or_unlimited(self.config.websocket.send_queue_bytes).saturating_add(OUT_SPARE) {
            return self.close_slow(cx, id);
        }
        let Some(session) = self.sessions.get(slot) else { return };
        // What a RESUME replays is paced by the socket and does not count (§4).
        let from = session.sent.max(session.replay_until());
        for handle in session.after(busy.backlog_seq.max(from)) {
            let len = self.sessions.replay.get(handle).map_or(0, |entry| entry.payload.len() as u32);
            busy.backlog_len = busy.backlog_len.saturating_add(len);
        }
        busy.backlog_seq = session.seq;
        let websocket = &self.config.websocket;
        let is_over = session.seq.saturating_sub(from) as usize > or_unlimited(websocket.send_queue_events)
            || busy.backlog_len as usize > or_unlimited(websocket.send_queue_bytes);
        if !is_over {
            busy.over_since = None;
            return;
        }
        let now = cx.ms();
        let over_ms = since(*busy.over_since.get_or_insert(now), now);
        let stalled_ms = since(busy.blocked_ms, now).min(over_ms);
        if over_ms >= BACKLOG_GRACE_MS || stalled_ms >= BACKLOG_STALL_MS {
            self.close_slow(cx, id);
        }
    }

    /// Appends what a connection has to send, up to about `len_max` bytes. The bytes count as sent: give what the
    /// kernel did not take back with [`Hub::sent`].
    pub fn fill(&mut self, id: ConnectionId, out: &mut Vec<u8>, len_max: usize) -> Filled {
        let Some(connection) = self.connections.get_mut(id) else { return Filled::All };
        if connection.in_flight().is_some() {
            out.extend_from_slice(&connection.take_out());
        }
        self.fill_dispatches(id, out, len_max)
    }

    /// Hot: writes the frames of all dispatches a session has not been sent yet.
    pub(super) fn fill_dispatches(&mut self, id: ConnectionId, out: &mut Vec<u8>, len_max: usize) -> Filled {
        let connection = &mut self.connections[id];
        let Some((session, replay)) = self.sessions.with_replay(connection.session) else {
            return Filled::All;
        };
        let mut handles = session.trail.newest(session.unsent_kept());
        while session.sent < session.seq {
            if out.len() >= len_max {
                return Filled::More;
            }
            let next = session.sent + 1;
            let entry = handles.next().and_then(|handle| replay.get(handle));
            // Fell out of the ring before it was sent: a ring too small for the backlog bound. Nothing is dropped
            // silently.
            let Some(entry) = entry else { return Filled::Lost };
            if connection.compress {
                self.compression.write_dispatch(connection, out, entry, next);
            } else {
                write_dispatch_frame(out, entry.name, next, &entry.payload);
            }
            session.sent = next;
            self.counters.frame_count += 1;
        }
        Filled::All
    }

    /// The kernel took `taken` bytes of what was filled; `None` when it took all.
    pub fn sent(&mut self, cx: &Cx<'_>, id: ConnectionId, rest: Option<&[u8]>) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        match rest {
            Some(rest) => {
                *connection.out() = rest.to_vec();
                if !connection.blocked {
                    connection.block(cx.ms());
                    let meant = ConnectionRef { id, generation: connection.generation };
                    self.deadlines.stalled_since(cx.ms(), meant);
                }
            }
            None if connection.state == State::Closed => {
                self.actions.push(Action::ShutWrite { fd: connection.fd })
            }
            None => {
                if connection.in_flight().is_some_and(|busy| busy.over_since.is_some()) {
                    let session = self.sessions.get(connection.session);
                    if session.is_none_or(|session| session.sent == session.seq) {
                        connection.busy().over_since = None;
                        connection.settle();
                    }
                }
            }
        }
    }

    /// The socket takes bytes again.
    pub fn writable(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.unblock();
        self.mark_dirty(id);
    }
}
