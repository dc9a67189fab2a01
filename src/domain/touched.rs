//! Which messages a batch has made or changed: what an index of messages has to look at.
//!
//! Owns: the list that a machine hands to whoever follows the log, and the ring of changes that are stored. A new message
//! needs no row: ids rise, so what came after a moment is what has a greater id. What is changed later has no such mark:
//! each change takes a number and overwrites the oldest of the [`CHANGES_KEPT`] rows of the ring, so that who was away
//! finds what he missed, or finds that too much has happened. A message that is gone needs neither: it is not there.

use super::machine::Machine;
use crate::id::{ChannelId, MessageId};
use crate::store::Read;
use crate::store::records::{MessageChange, Meta};
use crate::store::tables::{MESSAGE_CHANGES, META};

/// Changes of messages that are kept. At a hundred a second, which are many, those of eleven minutes; who follows is a
/// minute behind at most. 60 bytes each, 4 MB.
pub const CHANGES_KEPT: u64 = 65_536;

/// The number of the last change.
const LAST_CHANGE: &str = "message_changes";

/// A message that was made or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    /// The number of the change; 0 of a new one.
    pub change: u64,
}

/// Notes a message that was just stored.
pub(in crate::domain) fn made(machine: &mut Machine<'_, '_>, channel_id: ChannelId, message_id: MessageId) {
    machine.touched.push(Touched { channel_id, message_id, change: 0 });
}

/// Notes a message of which what can be looked for was just changed.
pub(in crate::domain) fn changed(
    machine: &mut Machine<'_, '_>,
    channel_id: ChannelId,
    message_id: MessageId,
) {
    let number = last_change(machine.read()) + 1;
    machine.tx.put(META, LAST_CHANGE, &Meta { value: number });
    let change = MessageChange { number, channel_id, message_id };
    machine.tx.put(MESSAGE_CHANGES, number % CHANGES_KEPT, &change);
    machine.touched.push(Touched { channel_id, message_id, change: number });
}

/// The number of the last change of a message.
pub fn last_change(read: Read<'_>) -> u64 {
    read.get(META, LAST_CHANGE).map_or(0, |meta| meta.value.to_native())
}

/// The changes after one, in order; `None` when some of them are not kept any more, or it is of another store.
pub fn changes_after(read: Read<'_>, after: u64) -> Option<Vec<Touched>> {
    let last = last_change(read);
    if after > last || last - after > CHANGES_KEPT {
        return None;
    }
    let change = |number: u64| {
        let change = read.get(MESSAGE_CHANGES, number % CHANGES_KEPT)?;
        let (channel_id, message_id) =
            (ChannelId::from(&change.channel_id), MessageId::from(&change.message_id));
        Some(Touched { channel_id, message_id, change: number })
    };
    (after + 1..=last).map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Now;
    use crate::store::tests::temporary;

    #[test]
    fn who_was_away_finds_what_he_missed_or_that_too_much_has_happened() {
        let (_folder, store) = temporary(1 << 26);
        let mut tx = store.begin().unwrap();
        let mut machine = Machine::begin(&mut tx, Now::at(1), 0);
        let channel = ChannelId(1);
        assert_eq!(changes_after(machine.read(), 0), Some(Vec::new()));
        (1..=CHANGES_KEPT + 3).for_each(|id| changed(&mut machine, channel, MessageId(id)));
        made(&mut machine, channel, MessageId(7));
        let read = machine.read();
        let of = |change| Touched { channel_id: channel, message_id: MessageId(change), change };
        let last = CHANGES_KEPT + 3;
        assert_eq!(last_change(read), last);
        assert_eq!(changes_after(read, last), Some(Vec::new()));
        assert_eq!(changes_after(read, last - 2), Some(vec![of(last - 1), of(last)]));
        assert_eq!(changes_after(read, 3).map(|changes| changes.len() as u64), Some(CHANGES_KEPT));
        assert_eq!(changes_after(read, 2), None);
        assert_eq!(changes_after(read, last + 1), None);
        assert_eq!(read.len(MESSAGE_CHANGES), CHANGES_KEPT);
        assert_eq!(machine.touched.last().unwrap().change, 0);
    }
}
