//! What reading has cost in this turn, and whose input waits for another. The rules are in [`super::input`].
//!
//! Invariants: a connection with input that waits is listed, once. `unknown_len` is never below what connections
//! without a session hold of input: what is given back is not counted down, a look at all of them sets it right.

use std::collections::VecDeque;

use super::connections::ConnectionRef;

#[derive(Default)]
pub struct Intake {
    /// Connections with input that waits for a turn that has time for it.
    unread: VecDeque<ConnectionRef>,
    /// In dispatches.
    effort: u64,
    unknown_len: usize,
}

impl Intake {
    /// A turn of reading begins.
    pub fn begin_turn(&mut self) {
        self.effort = 0;
    }

    pub fn spend(&mut self, effort: u64) {
        self.effort += effort;
    }

    /// What reading has cost in this turn.
    pub fn effort(&self) -> u64 {
        self.effort
    }

    /// Connections whose input waits.
    pub fn waiting_count(&self) -> usize {
        self.unread.len()
    }

    pub fn wait(&mut self, connection: ConnectionRef) {
        self.unread.push_back(connection);
    }

    pub fn next_waiting(&mut self) -> Option<ConnectionRef> {
        self.unread.pop_front()
    }

    /// Bytes of input that connections without a session hold, at most.
    pub fn unknown_len(&self) -> usize {
        self.unknown_len
    }

    pub fn add_unknown(&mut self, len: usize) {
        self.unknown_len += len;
    }

    /// What they hold was looked at.
    pub fn set_unknown(&mut self, len: usize) {
        self.unknown_len = len;
    }

    /// Bytes of the list.
    pub fn heap_len(&self) -> usize {
        self.unread.capacity() * size_of::<ConnectionRef>()
    }
}
