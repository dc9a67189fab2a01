//! Where this core stands among those of the process.

use super::home::Ref;
use super::session::{Session, SessionId, Slot};
use crate::id::UserId;

pub struct Cores {
    /// This one.
    pub own: usize,
    pub count: usize,
    /// Scrambles places in session ids; the same for all cores of the process.
    secret: u32,
}

impl Cores {
    pub fn new(own: usize, count: usize, secret: u32) -> Cores {
        assert!(own < count);
        Cores { own, count, secret }
    }

    /// Home core of a user.
    pub fn home_of(&self, user_id: UserId) -> usize {
        (user_id.0 % self.count as u64) as usize
    }

    pub fn is_home(&self, user_id: UserId) -> bool {
        self.home_of(user_id) == self.own
    }

    pub fn others(&self) -> impl Iterator<Item = usize> + use<> {
        let own = self.own;
        (0..self.count).filter(move |core| *core != own)
    }

    pub fn new_session_id(&self, random: [u8; 12], slot: Slot) -> SessionId {
        SessionId::new(random, self.own, slot, self.secret)
    }

    /// Core and slot a session id was made for; nonsense for an id that was made up.
    pub fn place_of(&self, id: SessionId) -> (usize, Slot) {
        id.place(self.secret)
    }

    /// Names a session of this core for all others.
    pub fn name(&self, slot: Slot, session: &Session) -> Ref {
        // Some bytes of the random part tell sessions apart that used the same slot one after the other.
        let id = session.id.0;
        Ref { core: self.own as u16, slot, generation: u16::from_le_bytes([id[8], id[9]]) }
    }
}
