//! The sessions of one user on this core: a list through the sessions themselves, those without a connection first,
//! the one that lost it last in front.
//!
//! Invariant: a user has at most [`DETACHED_OF_USER_MAX`] sessions without a connection here. So coming, going and
//! changing places look at a bounded number of them, however many sessions one user has.

use super::hub::Hub;
use super::session::NONE;
use crate::id::UserId;
use crate::limits::DETACHED_OF_USER_MAX;

impl Hub {
    /// Slots of a user's sessions on this core.
    pub(super) fn slots_of(&self, user_id: UserId) -> smallvec::SmallVec<[u32; 6]> {
        let mut slots = smallvec::SmallVec::new();
        let mut slot = self.first_of(user_id);
        while slot != NONE {
            slots.push(slot);
            slot = self.sessions[slot as usize].next_of_user;
        }
        slots
    }

    fn first_of(&self, user_id: UserId) -> u32 {
        self.users.get(user_id, |slot| self.sessions[slot as usize].user_id).unwrap_or(NONE)
    }

    fn is_detached(&self, slot: u32) -> bool {
        self.sessions.get(slot as usize).is_some_and(|session| session.connection == NONE)
    }

    /// Enters a session that has a connection.
    pub(super) fn link(&mut self, slot: u32) {
        let first = self.first_of(self.sessions[slot as usize].user_id);
        if !self.is_detached(first) {
            return self.link_first(slot, first);
        }
        let mut before = first;
        while self.is_detached(self.sessions[before as usize].next_of_user) {
            before = self.sessions[before as usize].next_of_user;
        }
        let after = std::mem::replace(&mut self.sessions[before as usize].next_of_user, slot);
        self.join(slot, before, after);
    }

    /// Enters a session that has just lost its connection; gives back the one that is too many now.
    pub(super) fn link_detached(&mut self, slot: u32) -> Option<u32> {
        let first = self.first_of(self.sessions[slot as usize].user_id);
        self.link_first(slot, first);
        let mut last = slot;
        for _ in 0..DETACHED_OF_USER_MAX {
            let next = self.sessions[last as usize].next_of_user;
            if !self.is_detached(next) {
                return None;
            }
            last = next;
        }
        Some(last)
    }

    fn link_first(&mut self, slot: u32, first: u32) {
        let sessions = &self.sessions;
        let user_id = sessions[slot as usize].user_id;
        self.users.insert(user_id, slot, |slot| sessions[slot as usize].user_id);
        self.join(slot, NONE, first);
    }

    fn join(&mut self, slot: u32, before: u32, after: u32) {
        let session = &mut self.sessions[slot as usize];
        (session.previous_of_user, session.next_of_user) = (before, after);
        if let Some(after) = self.sessions.get_mut(after as usize) {
            after.previous_of_user = slot;
        }
    }

    /// Takes a session out of the list; it is still there itself.
    pub(super) fn unlink(&mut self, slot: u32) {
        let session = &self.sessions[slot as usize];
        let (user_id, before, after) = (session.user_id, session.previous_of_user, session.next_of_user);
        if let Some(after) = self.sessions.get_mut(after as usize) {
            after.previous_of_user = before;
        }
        if let Some(before) = self.sessions.get_mut(before as usize) {
            before.next_of_user = after;
            return;
        }
        let sessions = &self.sessions;
        let user_of = |slot: u32| sessions[slot as usize].user_id;
        if after == NONE {
            self.users.remove(user_id, user_of);
        } else {
            self.users.insert(user_id, after, user_of);
        }
    }
}
