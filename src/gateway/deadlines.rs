//! What is due when, on one core. What it leads to is in [`super::timers`] and [`super::expiry`].
//!
//! Invariants: each connection is on the wheel once, until it closes. The lists are in the order of their times, as
//! all of one have the same time-out. An entry may outlive what it names: whoever takes it looks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::connection::{Ms, since};
use super::connections::{ConnectionId, ConnectionRef};
use super::session::{SessionId, Slot};
use crate::runtime::wheel::Wheel;

const WHEEL_GRANULARITY_MS: u64 = 250;
const WHEEL_SLOTS: usize = 512;
/// An entry of the timer wheel.
const WHEEL_ENTRY_LEN: usize = 16;

pub struct Deadlines {
    /// One entry per connection: heartbeat, identify, ping.
    wheel: Wheel,
    /// Connections to look at in this tick; kept for its memory.
    due: Vec<ConnectionRef>,
    /// Since when our close frame is queued.
    closing: VecDeque<(Ms, ConnectionRef)>,
    /// Since when the socket has taken nothing.
    stalled: VecDeque<(Ms, ConnectionRef)>,
    /// Since when a session has no connection.
    expiring: VecDeque<(Ms, Slot, SessionId)>,
    /// Ends of tokens that come before the next look at their connection: core time.
    token_ends: BinaryHeap<Reverse<(u64, ConnectionRef)>>,
    /// The last tick left due work for the next one.
    pub overdue: bool,
}

impl Deadlines {
    pub fn new(mono_ms: u64) -> Deadlines {
        Deadlines {
            wheel: Wheel::new(mono_ms, WHEEL_GRANULARITY_MS, WHEEL_SLOTS),
            due: Vec::new(),
            closing: VecDeque::new(),
            stalled: VecDeque::new(),
            expiring: VecDeque::new(),
            token_ends: BinaryHeap::new(),
            overdue: false,
        }
    }

    /// A connection is to be looked at.
    pub fn look_at(&mut self, mono_ms: u64, connection: ConnectionRef) {
        self.wheel.insert(mono_ms, connection.id.0, connection.generation);
    }

    /// Connections whose look is due. Give the list back with [`Deadlines::put_due`].
    pub fn take_due(&mut self, mono_ms: u64) -> Vec<ConnectionRef> {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.advance(mono_ms, |id, generation| {
            due.push(ConnectionRef { id: ConnectionId(id), generation });
            None
        });
        due
    }

    pub fn put_due(&mut self, mut due: Vec<ConnectionRef>) {
        due.clear();
        self.due = due;
    }

    pub fn closing_since(&mut self, now: Ms, connection: ConnectionRef) {
        self.closing.push_back((now, connection));
    }

    /// The next whose close handshake has taken too long; not before its close frame had a send, however short the
    /// time.
    pub fn next_closed(
        &mut self,
        now: Ms,
        timeout: u64,
        is_unsent: impl Fn(ConnectionId) -> bool,
    ) -> Option<ConnectionRef> {
        let over = |entry: &mut (Ms, ConnectionRef)| {
            u64::from(since(entry.0, now)) >= timeout && !is_unsent(entry.1.id)
        };
        self.closing.pop_front_if(over).map(|(_, connection)| connection)
    }

    pub fn stalled_since(&mut self, now: Ms, connection: ConnectionRef) {
        self.stalled.push_back((now, connection));
    }

    pub fn next_stalled(&mut self, now: Ms, timeout: u64) -> Option<ConnectionRef> {
        let entry = self.stalled.pop_front_if(|entry| u64::from(since(entry.0, now)) >= timeout);
        entry.map(|(_, connection)| connection)
    }

    pub fn detached_since(&mut self, now: Ms, slot: Slot, id: SessionId) {
        self.expiring.push_back((now, slot, id));
    }

    /// The next session that has been without a connection for so long.
    pub fn next_expired(&mut self, now: Ms, timeout: u64) -> Option<(Slot, SessionId)> {
        let entry = self.expiring.pop_front_if(|entry| u64::from(since(entry.0, now)) >= timeout);
        entry.map(|(_, slot, id)| (slot, id))
    }

    pub fn has_expired(&self, now: Ms, timeout: u64) -> bool {
        self.expiring.front().is_some_and(|entry| u64::from(since(entry.0, now)) >= timeout)
    }

    pub fn token_ends_at(&mut self, mono_ms: u64, connection: ConnectionRef) {
        self.token_ends.push(Reverse((mono_ms, connection)));
    }

    pub fn has_token_end(&self, mono_ms: u64) -> bool {
        self.token_ends.peek().is_some_and(|Reverse((due_ms, _))| *due_ms <= mono_ms)
    }

    /// The connection whose token ends first.
    pub fn next_token_end(&mut self) -> Option<ConnectionRef> {
        self.token_ends.pop().map(|Reverse((_, connection))| connection)
    }

    /// Bytes of the lists.
    pub fn heap_len(&self) -> usize {
        self.wheel.count() * WHEEL_ENTRY_LEN
            + (self.closing.capacity() + self.stalled.capacity()) * size_of::<(Ms, ConnectionRef)>()
            + self.expiring.capacity() * size_of::<(Ms, Slot, SessionId)>()
            + self.token_ends.capacity() * size_of::<(u64, ConnectionRef)>()
    }
}
