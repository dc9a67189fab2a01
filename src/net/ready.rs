//! Sockets that have told of bytes, in the order in which they are heard.
//!
//! Invariant: a socket waits to be read once, however often it has told of bytes. A client that sends many small packets
//! is one of the queue like everybody else; with a place for each packet it would be most of it.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use super::ring::Read;
use crate::gateway::ConnectionId;

#[derive(Default)]
pub struct ReadyQueue {
    /// What was told, and whether its poll goes on.
    events: VecDeque<(Read, bool)>,
    /// Slot and generation of those that wait.
    waiting: FxHashSet<(ConnectionId, u32)>,
}

impl ReadyQueue {
    /// An event joins at the end. Only one that says nothing new is left out: the end of a peer or of a poll is told
    /// once.
    pub fn push(&mut self, read: Read, goes_on: bool) {
        let is_new = self.waiting.insert((read.id, read.generation));
        if is_new || !goes_on || read.ended {
            self.events.push_back((read, goes_on));
        }
    }

    pub fn pop(&mut self) -> Option<(Read, bool)> {
        let (read, goes_on) = self.events.pop_front()?;
        self.waiting.remove(&(read.id, read.generation));
        Some((read, goes_on))
    }

    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(id: u32, generation: u32, ended: bool) -> Read {
        Read { id: ConnectionId(id), generation, ended }
    }

    #[test]
    fn a_socket_that_tells_of_every_packet_waits_once() {
        let mut queue = ReadyQueue::default();
        (0..1_000).for_each(|_| queue.push(read(1, 7, false), true));
        queue.push(read(2, 7, false), true);
        (0..1_000).for_each(|_| queue.push(read(1, 7, false), true));
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.pop(), Some((read(1, 7, false), true)));
        // It may wait again once it was heard.
        queue.push(read(1, 7, false), true);
        assert_eq!(queue.pop(), Some((read(2, 7, false), true)));
        assert_eq!(queue.pop(), Some((read(1, 7, false), true)));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn ends_and_other_generations_are_never_left_out() {
        let mut queue = ReadyQueue::default();
        let events = [
            (read(1, 7, false), true),
            (read(1, 7, true), true),
            (read(1, 7, false), false),
            (read(1, 8, false), true),
        ];
        events.into_iter().for_each(|(event, goes_on)| queue.push(event, goes_on));
        let mut left = Vec::new();
        while let Some(event) = queue.pop() {
            left.push(event);
        }
        assert_eq!(left, events);
        assert!(queue.is_empty() && queue.waiting.is_empty());
    }
}
