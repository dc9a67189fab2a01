//! How many reports and tickets are in each state, so that nobody has to count them.

use crate::domain::machine::Machine;
use crate::store::records::Meta;
use crate::store::tables::TALLIES;

/// What waits for an administrator; its number stands in keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    MessageReports = 0,
    UserReports = 1,
    Tickets = 2,
    HashReports = 3,
}

/// One more is in this state.
pub(super) fn enter(machine: &mut Machine<'_, '_>, queue: Queue, status: u8) {
    let key = (queue as u8, status);
    let count = machine.tx.get(TALLIES, key).map_or(0, |meta| meta.value.to_native());
    machine.tx.put(TALLIES, key, &Meta { value: count + 1 });
}
