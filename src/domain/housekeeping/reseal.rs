//! Has what lies in the store lie as the operator wants it now: under a new key, sealed at all, or no longer.
//!
//! What is written is sealed as the store's keys and `messaging.encrypt_messages` say at that moment (see `store`); what
//! was written before follows here, as an errand: some rows in each step, on from where it was when the server is
//! killed. Reading does not depend on how far it has come.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::errand::{self, Errand, Work};
use crate::domain::error::Result;
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::store::Read;
use crate::store::records::Meta;
use crate::store::tables::{META, OUTBOX, ROWS};

/// How everything lies, or will when the errand is done.
const WANTED: &str = "sealed_as";

/// Has all records lie as those do that are written now. Only the server itself submits it: when it starts and finds
/// that it is to be so, and when there is a new key.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Reseal {
    /// By what the key is known with which records are sealed; 0 when they are not.
    pub mark: u64,
}

/// Whether [`Reseal`] with this mark has something to do: a store in which nothing was sealed ever needs nothing to
/// stay so.
pub fn is_due(read: Read<'_>, mark: u64) -> bool {
    read.get(META, WANTED).map_or(0, |wanted| wanted.value.to_native()) != mark
}

/// In which table the errand is, while there is one.
pub fn progress(read: Read<'_>) -> Option<String> {
    /// Those that are due are first.
    const LOOKED_AT_MAX: usize = 1_000;
    let errands = read.scan(OUTBOX, ()).take(LOOKED_AT_MAX).filter(|(_, errand)| errand.kind == Rows::KIND);
    let rows = errands.filter_map(|(_, errand)| {
        rkyv::from_bytes::<Rows, rkyv::rancor::Error>(&errand.what).ok().map(|rows| rows.table)
    });
    rows.last()
}

pub(in crate::domain) fn reseal(machine: &mut Machine<'_, '_>, _: UserId, op: &Reseal) -> Result<()> {
    machine.tx.put(META, WANTED, &Meta { value: op.mark });
    let first = ROWS.iter().find(|row| row.sealed).expect("some tables are sealed").name;
    errand::leave(machine, &Rows { table: first.to_string(), after: Vec::new() });
    Ok(())
}

/// The rows of a table behind a key, and the tables after it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Rows {
    pub table: String,
    /// Empty: from the beginning.
    pub after: Vec<u8>,
}

impl Errand for Rows {
    const KIND: u8 = 40;
    const NAME: &'static str = "reseal";

    fn step(self, machine: &mut Machine<'_, '_>, work: &mut Work<'_>) -> Option<Rows> {
        /// What a row takes when it has to be written.
        const LOOKS: usize = 4;
        let mut sealed = ROWS.iter().enumerate().filter(|(_, row)| row.sealed);
        let (index, _) = sealed.by_ref().find(|(_, row)| row.name == self.table)?;
        let (last, count) = machine.tx.reseal(index, &self.after, (work.left / LOOKS).max(1));
        work.take(LOOKS * count + 1);
        match last {
            Some(after) => Some(Rows { after, ..self }),
            None => sealed.next().map(|(_, row)| Rows { table: row.name.to_string(), after: Vec::new() }),
        }
    }
}
