//! Where in its log a state stands: written with the effects of every entry, in the same transaction.
//!
//! The chain is a digest of all entries that made the state: of their places and times, and of every write they came
//! to, in order. Two states with one position and one chain have come the same way; where apply was not deterministic
//! the chains part at that entry. It covers what an entry did and not its bytes: the checksums of the records are at
//! hand, whereas the bytes of a command would be made for nothing else on a machine that has the log to itself. It
//! finds faults; it is no signature.

use super::records::Meta;
use super::tables::META;
use super::{Read, Tx};

/// `partition << 32 | epoch`, written when it changes.
const PLACE: &str = "log_place";
const SEQUENCE: &str = "log_sequence";
const CHAIN: &str = "log_chain";
/// Commands that had been applied when the position was written, and those that have been.
const POSITION_APPLIED: &str = "log_applied";
const APPLIED: &str = "applied";

/// The entry that was applied last; the default before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Which log; one machine has the one log 0.
    pub partition: u32,
    /// Counts the starts of the one who orders, from 1.
    pub epoch: u32,
    /// Counts the entries of the epoch, from 1.
    pub sequence: u64,
    /// Digest of this entry and all before it.
    pub chain: u64,
}

/// The state has changed since its position was written: a version that keeps none has had the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outrun(pub Position);

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Position { partition, epoch, sequence, chain } = self;
        write!(f, "entry {sequence} of epoch {epoch} of log {partition}, chain {chain:016x}")
    }
}

impl Position {
    /// That of a state. Stores of earlier versions are at the beginning.
    ///
    /// # Errors
    /// When the state is not the one that the position was written with.
    pub fn read(read: Read<'_>) -> Result<Position, Outrun> {
        Position::of(|name| read.get(META, name).map(|meta| meta.value.to_native()))
    }

    /// The same out of the numbers of [`META`] by name.
    pub(super) fn of(number: impl Fn(&'static str) -> Option<u64>) -> Result<Position, Outrun> {
        let Some(place) = number(PLACE) else { return Ok(Position::default()) };
        let or_0 = |name| number(name).unwrap_or(0);
        let (partition, epoch) = ((place >> 32) as u32, place as u32);
        let position = Position { partition, epoch, sequence: or_0(SEQUENCE), chain: or_0(CHAIN) };
        if number(POSITION_APPLIED) == number(APPLIED) { Ok(position) } else { Err(Outrun(position)) }
    }

    /// Writes it into the transaction that holds everything else of its entry. `before` is what stands there.
    pub fn write(self, tx: &mut Tx<'_>, before: Position) {
        let place = |position: Position| u64::from(position.partition) << 32 | u64::from(position.epoch);
        let applied = tx.get(META, APPLIED).map_or(0, |meta| meta.value.to_native());
        if before.sequence == 0 || place(self) != place(before) {
            tx.put(META, PLACE, &Meta { value: place(self) });
        }
        tx.put(META, SEQUENCE, &Meta { value: self.sequence });
        tx.put(META, CHAIN, &Meta { value: self.chain });
        tx.put(META, POSITION_APPLIED, &Meta { value: applied });
    }
}

/// Takes one more number into a digest. Each step is a permutation (the finalizer of MurmurHash3), so what differed
/// once goes on to differ, unless a later difference happens to undo it: 1 in 2^64.
pub fn digest(before: u64, number: u64) -> u64 {
    let mut hash = (before ^ number).wrapping_add(0x9E37_79B9_7F4A_7C15);
    hash = (hash ^ hash >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash = (hash ^ hash >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::super::tests::temporary;
    use super::*;

    #[test]
    fn a_position_comes_back_and_a_state_that_went_on_without_it_is_seen() {
        let (_folder, store) = temporary(1 << 24);
        let read = || Position::read(store.snapshot().read());
        let apply = |applied: u64, position: Option<Position>| {
            let mut tx = store.begin().unwrap();
            tx.put(META, APPLIED, &Meta { value: applied });
            if let Some(position) = position {
                position.write(&mut tx, read().unwrap_or_else(|outrun| outrun.0));
            }
            tx.commit().unwrap();
        };
        apply(5, None);
        assert_eq!(read(), Ok(Position::default()), "a store of an earlier version");
        let first = Position { partition: 1, epoch: 2, sequence: 1, chain: u64::MAX };
        apply(7, Some(first));
        assert_eq!(read(), Ok(first));
        let next = Position { sequence: 2, chain: 9, ..first };
        apply(8, Some(next));
        assert_eq!(read(), Ok(next));
        apply(9, None);
        assert_eq!(read(), Err(Outrun(next)));
        let anew = Position { epoch: 3, sequence: 1, ..next };
        apply(10, Some(anew));
        assert_eq!(read(), Ok(anew));
        assert_eq!(anew.to_string(), "entry 1 of epoch 3 of log 1, chain 0000000000000009");
    }

    #[test]
    fn the_digest_tells_numbers_and_their_order() {
        let of = |numbers: &[u64]| numbers.iter().fold(0, |before, number| digest(before, *number));
        let all: [&[u64]; 7] = [&[], &[0], &[0, 0], &[1, 2], &[2, 1], &[1, 2, 0], &[1 << 63, 2]];
        for (a, b) in (0..7).flat_map(|a| (0..a).map(move |b| (a, b))) {
            assert_ne!(of(all[a]), of(all[b]), "{a} {b}");
        }
    }

    #[test]
    fn a_transaction_counts_what_it_has_written() {
        let (_folder, store) = temporary(1 << 24);
        let written = |value: u64, deletes: &[&'static str]| {
            let mut tx = store.begin().unwrap();
            tx.put(META, "a", &Meta { value });
            for name in deletes {
                tx.delete(META, *name);
            }
            tx.written()
        };
        let once = written(1, &[]);
        assert_eq!(once.count, 1);
        assert_eq!(written(1, &["b"]), once, "nothing was there to delete");
        assert_eq!(written(1, &["a"]).count, 2);
        assert_ne!(written(1, &["a"]).digest, once.digest);
        assert_ne!(written(2, &[]).digest, once.digest);
        let mut tx = store.begin().unwrap();
        tx.put(META, "a", &Meta { value: 1 });
        tx.put(META, "b", &Meta { value: 1 });
        assert_eq!(tx.delete_prefix(META, "a", 9), 1);
        assert_eq!(tx.written().count, 3);
    }
}
