//! Work that follows a change and may be too much for one command.
//!
//! An errand is written to [`OUTBOX`] by the command that causes it, with everything it needs, and carried out after it
//! in bounded steps that the server asks for ([`super::housekeeping::outbox`]). Invariants: what a step has done and
//! what it leaves to do are written together, so a server that is killed goes on where it was and does nothing twice;
//! nobody's connection is what an errand lives by.

use rkyv::api::high::HighSerializer;
use rkyv::rancor;
use rkyv::ser::allocator::ArenaHandle;

use super::command::append;
use super::machine::Machine;
use crate::id::UserId;
use crate::store::tables::OUTBOX;
use crate::store::{Read, records};

/// One kind of it. The struct is all there is to do; its bytes are promises, like those of a command.
pub trait Errand:
    Sized + for<'a> rkyv::Serialize<HighSerializer<Vec<u8>, ArenaHandle<'a>, rancor::Error>>
{
    /// Never used for another.
    const KIND: u8;
    const NAME: &'static str;

    /// Users of whom the next step has to know whether they are there, ascending, at most so many; most errands ask for
    /// nobody.
    fn asks(&self, _: Read<'_>, _count_max: usize) -> Vec<UserId> {
        Vec::new()
    }

    /// Does a part of it; returns what is left to do. Whatever it finds changed meanwhile it has to live with.
    fn step(self, machine: &mut Machine<'_, '_>, work: &mut Work<'_>) -> Option<Self>;
}

/// What one step may do.
#[derive(Debug)]
pub struct Work<'w> {
    /// Looks at records, about. A record that is written is some four of them.
    pub left: usize,
    /// Up to whom it was looked who is there, and who is: for errands that depend on it.
    pub present: Option<(UserId, &'w [UserId])>,
}

impl Work<'_> {
    pub fn take(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
    }

    pub fn is_spent(&self) -> bool {
        self.left == 0
    }
}

/// The bytes of an errand, as they stand in the table.
pub fn bytes<E: Errand>(errand: &E) -> Vec<u8> {
    append(errand, Vec::new())
}

/// Leaves work to the server, as soon as it gets to it; of errands that are due the oldest has its turn.
pub(super) fn leave<E: Errand>(machine: &mut Machine<'_, '_>, errand: &E) {
    leave_until(machine, machine.at, errand);
}

/// The same for a moment of steady time.
pub(super) fn leave_until<E: Errand>(machine: &mut Machine<'_, '_>, due: u64, errand: &E) {
    let errand = records::Errand { kind: E::KIND, what: bytes(errand) };
    let key = (due, machine.next_id());
    machine.tx.put(OUTBOX, key, &errand);
}
