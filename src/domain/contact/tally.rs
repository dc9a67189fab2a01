//! Queues of what waits for an administrator: what is in which state, and how much, so that nobody has to count it.

use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{ReportId, TicketId};
use crate::store::Read;
use crate::store::records::{
    HashReport, MessageReport, Meta, Nil, Ticket, UserReport, hash_status, report_status, ticket_status,
};
use crate::store::tables::{
    HASH_REPORT_STATES, HASH_REPORTS, MESSAGE_REPORT_STATES, MESSAGE_REPORTS, TALLIES, TICKET_STATES,
    TICKETS, USER_REPORT_STATES, USER_REPORTS,
};
use crate::store::{Key, Record, Table};

/// Things that wait, and their states.
pub struct Queue<K: 'static, V: 'static> {
    /// It stands in keys of [`TALLIES`].
    number: u8,
    pub records: Table<K, V>,
    states: Table<(u8, K), Nil>,
    text: fn(u8) -> &'static str,
    pub code: fn(&str) -> Option<u8>,
}

pub static MESSAGE_REPORT_QUEUE: Queue<ReportId, MessageReport> = Queue {
    number: 0,
    records: MESSAGE_REPORTS,
    states: MESSAGE_REPORT_STATES,
    text: report_status::text,
    code: report_status::code,
};
pub static USER_REPORT_QUEUE: Queue<ReportId, UserReport> = Queue {
    number: 1,
    records: USER_REPORTS,
    states: USER_REPORT_STATES,
    text: report_status::text,
    code: report_status::code,
};
pub static TICKET_QUEUE: Queue<TicketId, Ticket> = Queue {
    number: 2,
    records: TICKETS,
    states: TICKET_STATES,
    text: ticket_status::text,
    code: ticket_status::code,
};
pub static HASH_REPORT_QUEUE: Queue<ReportId, HashReport> = Queue {
    number: 3,
    records: HASH_REPORTS,
    states: HASH_REPORT_STATES,
    text: hash_status::text,
    code: hash_status::code,
};

impl<K: Key<Owned = K>, V: Record> Queue<K, V> {
    /// One more has come, in this state.
    pub(super) fn enter(&self, machine: &mut Machine<'_, '_>, id: K, status: u8) {
        machine.tx.put(self.states, (status, id), &Nil {});
        let count = self.count(machine.read(), status);
        machine.tx.put(TALLIES, (self.number, status), &Meta { value: count + 1 });
    }

    /// One goes from one state to another; `target` is what the audit log calls it.
    pub(super) fn turn(
        &self,
        machine: &mut Machine<'_, '_>,
        id: K,
        (from, to): (u8, u8),
        target: impl ToString,
    ) {
        machine.tx.delete(self.states, (from, id));
        let count = self.count(machine.read(), from);
        machine.tx.put(TALLIES, (self.number, from), &Meta { value: count.saturating_sub(1) });
        self.enter(machine, id, to);
        machine.note(Note::of(target).before((self.text)(from)).after((self.text)(to)));
    }

    /// How many are in a state.
    pub fn count(&self, read: Read<'_>, status: u8) -> u64 {
        read.get(TALLIES, (self.number, status)).map_or(0, |meta| meta.value.to_native())
    }

    /// How many there are.
    pub fn total(&self, read: Read<'_>) -> u64 {
        read.scan(TALLIES, self.number).map(|(_, meta)| meta.value.to_native()).sum()
    }

    /// Those in a state, the latest first.
    pub fn in_state<'r>(&self, read: Read<'r>, status: u8) -> impl Iterator<Item = K> + use<'r, K, V> {
        read.scan_rev(self.states, status).keys().map(|(_, id)| id)
    }
}
