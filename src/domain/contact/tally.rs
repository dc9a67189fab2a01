//! How many reports and tickets are in each state, so that nobody has to count them.

use crate::domain::machine::Machine;
use crate::store::Read;
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

/// One has gone from one state to another.
pub(super) fn turn(machine: &mut Machine<'_, '_>, queue: Queue, from: u8, to: u8) {
    let key = (queue as u8, from);
    let count = machine.tx.get(TALLIES, key).map_or(0, |meta| meta.value.to_native());
    machine.tx.put(TALLIES, key, &Meta { value: count.saturating_sub(1) });
    enter(machine, queue, to);
}

/// How many are in a state.
pub fn count(read: Read<'_>, queue: Queue, status: u8) -> u64 {
    read.get(TALLIES, (queue as u8, status)).map_or(0, |meta| meta.value.to_native())
}

/// How many there are.
pub fn total(read: Read<'_>, queue: Queue) -> u64 {
    read.scan(TALLIES, queue as u8).map(|(_, meta)| meta.value.to_native()).sum()
}
