//! Who of a core has something to send.
//!
//! Invariants: a connection or session that is marked `dirty` is listed, once per marking; one that is listed need not
//! be dirty any more. A session without a connection is not listed: its RESUME does that.

use std::collections::VecDeque;

use super::connection::Connection;
use super::connections::ConnectionId;
use super::session::{Session, Slot};

#[derive(Default)]
pub struct Outbox {
    /// With something of their own: answers, close frames.
    connections: Vec<ConnectionId>,
    /// With dispatches, longest waiting first.
    sessions: VecDeque<Slot>,
}

impl Outbox {
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.connections.is_empty()
    }

    pub fn mark(&mut self, id: ConnectionId, connection: &mut Connection) {
        if !connection.dirty {
            connection.dirty = true;
            self.connections.push(id);
        }
    }

    /// Hot: once per delivery.
    pub fn mark_session(&mut self, slot: Slot, session: &mut Session) {
        if !session.dirty && session.connection != ConnectionId::NONE {
            session.dirty = true;
            self.sessions.push_back(slot);
        }
    }

    /// All connections with something of their own.
    pub fn take_connections(&mut self) -> Vec<ConnectionId> {
        std::mem::take(&mut self.connections)
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    pub fn next_session(&mut self) -> Option<Slot> {
        self.sessions.pop_front()
    }

    /// Bytes of the lists.
    pub fn heap_len(&self) -> usize {
        (self.connections.capacity() + self.sessions.capacity()) * size_of::<u32>()
    }
}
