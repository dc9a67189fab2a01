//! The sessions of one core: by slot, by user, and with the events that a RESUME may ask for.
//!
//! The sessions of one user are a list through the sessions themselves, those without a connection first, the one that
//! lost it last in front.
//!
//! Invariants: each session stands in the list of its user, once. `detached_count` counts those without a connection;
//! a user has at most [`DETACHED_OF_USER_MAX`] of them here, so coming, going and changing places look at a bounded
//! number, however many sessions one user has. Handles in trails are of this `replay`; what it keeps for one session
//! alone goes with the session.

use std::ops::{Index, IndexMut};

use smallvec::SmallVec;

use super::by_user::ByUser;
use super::connection::Ms;
use super::connections::ConnectionId;
use super::replay::Replay;
use super::session::{Session, Slot};
use super::survey::map_len;
use crate::id::UserId;
use crate::limits::DETACHED_OF_USER_MAX;
use crate::runtime::paged::PagedSlab;

pub struct Sessions {
    slab: PagedSlab<Session>,
    /// First session of a user; the others follow by `next_of_user`.
    users: ByUser,
    detached_count: usize,
    veiled_count: usize,
    pub replay: Replay,
}

impl Sessions {
    /// Keeps at most so many bytes for RESUME.
    pub fn new(replay_len_max: usize) -> Sessions {
        Sessions {
            slab: PagedSlab::default(),
            users: ByUser::default(),
            detached_count: 0,
            veiled_count: 0,
            replay: Replay::new(replay_len_max),
        }
    }

    pub fn len(&self) -> usize {
        self.slab.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// Every slot given out so far is below this.
    pub fn slot_end(&self) -> usize {
        self.slab.index_end()
    }

    /// Users with a session here.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Sessions of bots that did not ask for what is in messages.
    pub fn veiled_count(&self) -> usize {
        self.veiled_count
    }

    pub fn detached_count(&self) -> usize {
        self.detached_count
    }

    /// Bytes of the tables.
    pub fn table_len(&self) -> usize {
        self.slab.index_end() * PagedSlab::<Session>::ENTRY_LEN + map_len::<u32, ()>(self.users.len())
    }

    pub fn get(&self, slot: Slot) -> Option<&Session> {
        self.slab.get(slot.0 as usize)
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Session> {
        self.slab.get_mut(slot.0 as usize)
    }

    /// The session, and what its handles name.
    pub fn with_replay(&mut self, slot: Slot) -> Option<(&mut Session, &Replay)> {
        Some((self.slab.get_mut(slot.0 as usize)?, &self.replay))
    }

    pub fn user_of(&self, slot: Slot) -> UserId {
        self[slot].user_id
    }

    /// The slot that the next [`Sessions::begin`] gives.
    pub fn next_slot(&self) -> Slot {
        Slot(self.slab.next_index() as u32)
    }

    /// A session begins, with a connection.
    pub fn begin(&mut self, session: Session) -> Slot {
        assert!(session.connection != ConnectionId::NONE);
        self.veiled_count += usize::from(session.is_veiled());
        let slot = Slot(self.slab.insert(session) as u32);
        self.link(slot);
        slot
    }

    /// The same, in a slot that no session has had so far.
    pub fn begin_at(&mut self, slot: Slot, session: Session) {
        assert!(session.connection != ConnectionId::NONE);
        self.veiled_count += usize::from(session.is_veiled());
        self.slab.insert_at(slot.0 as usize, session);
        self.link(slot);
    }

    /// A session loses its connection. Gives back the one of its user that is one too many now.
    pub fn detach(&mut self, slot: Slot, now: Ms) -> Option<Slot> {
        let session = &mut self[slot];
        assert!(session.connection != ConnectionId::NONE);
        session.connection = ConnectionId::NONE;
        session.replay_until_or_detached_ms = now;
        self.detached_count += 1;
        self.unlink(slot);
        self.link_detached(slot)
    }

    /// A session gets another connection, perhaps the same.
    pub fn attach(&mut self, slot: Slot, id: ConnectionId) {
        let was_detached = self[slot].connection == ConnectionId::NONE;
        if was_detached {
            self.unlink(slot);
            self.detached_count -= 1;
        }
        self[slot].connection = id;
        if was_detached {
            self.link(slot);
        }
    }

    /// A session ends for good.
    pub fn end(&mut self, slot: Slot) {
        self.unlink(slot);
        self.replay.forget(slot);
        let session = self.slab.remove(slot.0 as usize);
        self.detached_count -= usize::from(session.connection == ConnectionId::NONE);
        self.veiled_count -= usize::from(session.is_veiled());
    }

    // ------------------------------------------------------------------------------- sessions of a user

    /// Slots of a user's sessions.
    pub fn of_user(&self, user_id: UserId) -> SmallVec<[Slot; 6]> {
        let mut slots = SmallVec::new();
        let mut slot = self.first_of(user_id);
        while slot != Slot::NONE {
            slots.push(slot);
            slot = self[slot].next_of_user;
        }
        slots
    }

    fn first_of(&self, user_id: UserId) -> Slot {
        let first = self.users.get(user_id, |slot| self.user_of(Slot(slot)));
        first.map_or(Slot::NONE, Slot)
    }

    fn is_detached(&self, slot: Slot) -> bool {
        self.get(slot).is_some_and(|session| session.connection == ConnectionId::NONE)
    }

    /// Enters a session that has a connection.
    fn link(&mut self, slot: Slot) {
        let first = self.first_of(self.user_of(slot));
        if !self.is_detached(first) {
            return self.link_first(slot, first);
        }
        let mut before = first;
        while self.is_detached(self[before].next_of_user) {
            before = self[before].next_of_user;
        }
        let after = std::mem::replace(&mut self[before].next_of_user, slot);
        self.join(slot, before, after);
    }

    /// Enters a session that has just lost its connection; gives back the one that is too many now.
    fn link_detached(&mut self, slot: Slot) -> Option<Slot> {
        let first = self.first_of(self.user_of(slot));
        self.link_first(slot, first);
        let mut last = slot;
        for _ in 0..DETACHED_OF_USER_MAX {
            let next = self[last].next_of_user;
            if !self.is_detached(next) {
                return None;
            }
            last = next;
        }
        Some(last)
    }

    fn link_first(&mut self, slot: Slot, first: Slot) {
        let user_id = self.user_of(slot);
        self.users.insert(user_id, slot.0, |slot| self.slab[slot as usize].user_id);
        self.join(slot, Slot::NONE, first);
    }

    fn join(&mut self, slot: Slot, before: Slot, after: Slot) {
        let session = &mut self[slot];
        (session.previous_of_user, session.next_of_user) = (before, after);
        if let Some(after) = self.get_mut(after) {
            after.previous_of_user = slot;
        }
    }

    /// Takes a session out of the list; it is still there itself.
    fn unlink(&mut self, slot: Slot) {
        let session = &self[slot];
        let (user_id, before, after) = (session.user_id, session.previous_of_user, session.next_of_user);
        if let Some(after) = self.get_mut(after) {
            after.previous_of_user = before;
        }
        if let Some(before) = self.get_mut(before) {
            before.next_of_user = after;
            return;
        }
        let user_of = |slot: u32| self.slab[slot as usize].user_id;
        if after == Slot::NONE {
            self.users.remove(user_id, user_of);
        } else {
            self.users.insert(user_id, after.0, user_of);
        }
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Session)> {
        self.slab.iter().map(|(slot, session)| (Slot(slot as u32), session))
    }
}

impl Index<Slot> for Sessions {
    type Output = Session;

    fn index(&self, slot: Slot) -> &Session {
        &self.slab[slot.0 as usize]
    }
}

impl IndexMut<Slot> for Sessions {
    fn index_mut(&mut self, slot: Slot) -> &mut Session {
        &mut self.slab[slot.0 as usize]
    }
}
