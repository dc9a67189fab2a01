//! Applying: an entry becomes one transaction, and what it makes known a delivery.
//!
//! Owns: the position of the state in its log, which is written with the effects of each entry (see
//! [`crate::store::Position`]).
//! Invariant: applying depends on nothing but the entry and the state before it. Nobody here knows who has put the
//! entries in order, or whether there was room for them: that is decided before. An entry is kept as a whole and in
//! its place, or not at all.

use std::sync::Arc;
use std::time::Instant;

use super::entry::{Entry, Place};
use crate::domain::{Machine, Output, Reply, Result, Touched};
use crate::observe::WriterMetrics;
use crate::store::{Position, Store, WriteError, digest, take_damage};

/// Which commands of an entry belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All: it was ordered before.
    Whole,
    /// It ends where its transaction is half spent: what orders here may decide that as late as this. What comes after
    /// is for the next entry.
    WhatFits,
}

/// What became of an entry.
pub struct Applied {
    /// One for each command that belongs to it.
    pub replies: Vec<Result<Reply>>,
    /// What it makes known, in order.
    pub outputs: Vec<Output>,
    /// Messages that it has made or changed, in order.
    pub touched: Vec<Touched>,
}

/// Why an entry was not applied; nothing of it was kept.
#[derive(Debug, PartialEq)]
pub enum Failure {
    Write(WriteError),
    /// The command at this place met a record that is damaged on disk.
    Damaged(usize),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Failure {
        Failure::Write(error)
    }
}

/// A state on its way along the log.
pub struct Applier {
    store: Arc<Store>,
    metrics: Arc<WriterMetrics>,
    /// What the store has.
    position: Position,
}

impl Applier {
    /// Goes on where the store has left off. A state that a version without positions has gone on with keeps its
    /// place, and begins a new chain: the old one does not describe it.
    pub fn new(store: Arc<Store>, metrics: Arc<WriterMetrics>) -> Applier {
        let position = Position::read(store.snapshot().read()).unwrap_or_else(|outrun| {
            let before = outrun.0;
            tracing::warn!(%before, "a version that keeps no position in the log has changed the store: a new chain begins");
            Position { chain: 0, ..before }
        });
        Applier { store, metrics, position }
    }

    /// The entry that was applied last.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Applies an entry, of which at least the first command is taken.
    ///
    /// # Errors
    /// When the store cannot take it: damaged, full, or the disk refuses.
    ///
    /// # Panics
    /// When it is not the next one: an order must have told late and doubled ones by their places.
    pub fn apply(&mut self, entry: &Entry, extent: Extent) -> std::result::Result<Applied, Failure> {
        assert!(follows(entry.place, self.position), "{:?} does not follow {}", entry.place, self.position);
        take_damage();
        let begun = Instant::now();
        let mut tx = self.store.begin()?;
        let mut machine = Machine::begin(&mut tx, entry.now, entry.place.origin);
        let mut replies = Vec::with_capacity(entry.commands.len());
        for (index, command) in entry.commands.iter().enumerate() {
            if let Some(error) = machine.tx.error() {
                return Err(error.clone().into());
            }
            if extent == Extent::WhatFits && machine.tx.is_half_spent() && index > 0 {
                break;
            }
            replies.push(machine.apply(command));
            if take_damage() {
                // What was absent to it may be there: nothing it has written can be kept.
                return Err(Failure::Damaged(index));
            }
        }
        assert!(extent == Extent::WhatFits || replies.len() == entry.commands.len(), "each has its reply");
        let touched = std::mem::take(&mut machine.touched);
        let outputs = machine.finish();
        let written = tx.written();
        let position = self.after(entry, [replies.len() as u64, written.count, written.digest]);
        position.write(&mut tx, self.position);
        let applied = Instant::now();
        self.metrics.apply_ns.record((applied - begun).as_nanos() as u64);
        let committed = tx.commit();
        self.metrics.commit_ns.record(applied.elapsed().as_nanos() as u64);
        committed?;
        assert!(follows(entry.place, self.position), "an entry was kept once");
        self.position = position;
        Ok(Applied { replies, outputs, touched })
    }

    /// The position after an entry that has done this: commands, writes and their digest.
    fn after(&self, entry: &Entry, done: [u64; 3]) -> Position {
        let Place { partition, origin, epoch, sequence } = entry.place;
        let place = [u64::from(partition), origin.into(), epoch.into(), sequence];
        let now = [entry.now.unix_ms, entry.now.steady_ms];
        let numbers = place.into_iter().chain(now).chain(done);
        Position { partition, epoch, sequence, chain: numbers.fold(self.position.chain, digest) }
    }
}

/// Whether an entry is the next of its epoch, or the first of a later one.
fn follows(place: Place, position: Position) -> bool {
    let is_next = place.epoch == position.epoch && place.sequence == position.sequence + 1;
    let is_first = place.epoch > position.epoch && place.sequence == 1;
    place.partition == position.partition && (is_next || is_first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::social::setting::{MessagingEdit, SettingDelete};
    use crate::domain::{Command, Now};
    use crate::id::UserId;
    use crate::store::records::{Meta, Setting};
    use crate::store::tables::{META, SETTINGS};
    use crate::store::tests::temporary;

    /// Deletes a setting of each of them; one that has none is refused.
    fn entry(epoch: u32, sequence: u64, users: std::ops::Range<u64>) -> Entry {
        let place = Place { partition: 0, origin: 3, epoch, sequence };
        let delete = |user| Command::new(UserId(user), SettingDelete { key: "key".into() }.into());
        Entry { place, now: Now::at(1_000), commands: users.map(delete).collect() }
    }

    fn applier(map_size: usize, settings: u64) -> (tempfile::TempDir, Arc<Store>, Applier) {
        let (folder, store) = temporary(map_size);
        let mut tx = store.begin().unwrap();
        let setting = Setting { value: "x".into(), created_at: 0, updated_at: 0 };
        (1..=settings).for_each(|user| tx.put(SETTINGS, (UserId(user), "key"), &setting));
        tx.commit().unwrap();
        let store = Arc::new(store);
        (folder, store.clone(), Applier::new(store, Arc::default()))
    }

    #[test]
    fn the_position_is_that_of_the_state_and_goes_on_after_a_start() {
        let (_folder, store, mut applier) = applier(1 << 24, 9);
        assert_eq!(applier.position(), Position::default());
        assert_eq!(applier.apply(&entry(1, 1, 1..4), Extent::Whole).unwrap().replies.len(), 3);
        applier.apply(&entry(1, 2, 4..5), Extent::Whole).unwrap();
        let position = applier.position();
        assert_eq!((position.epoch, position.sequence), (1, 2));
        assert_eq!(Position::read(store.snapshot().read()), Ok(position));
        drop(applier);
        let mut applier = Applier::new(store.clone(), Arc::default());
        assert_eq!(applier.position(), position);
        applier.apply(&entry(2, 1, 5..6), Extent::Whole).unwrap();
        // A version without positions.
        let mut tx = store.begin().unwrap();
        tx.put(META, "applied", &Meta { value: 77 });
        tx.commit().unwrap();
        let mut applier = Applier::new(store.clone(), Arc::default());
        assert_eq!(applier.position(), Position { partition: 0, epoch: 2, sequence: 1, chain: 0 });
        applier.apply(&entry(2, 2, 6..7), Extent::Whole).unwrap();
        assert_eq!(Position::read(store.snapshot().read()), Ok(applier.position()));
    }

    #[test]
    fn the_chain_tells_what_was_done_when_and_in_which_order() {
        let chain = |entries: &[Entry]| {
            let (_folder, _store, mut applier) = applier(1 << 24, 9);
            entries.iter().for_each(|entry| drop(applier.apply(entry, Extent::Whole).unwrap()));
            applier.position().chain
        };
        let later = Entry { now: Now::at(1_001), ..entry(1, 1, 1..3) };
        let histories = [
            vec![],
            vec![entry(1, 1, 1..3)],
            vec![entry(1, 1, 1..4)],
            vec![entry(2, 1, 1..3)],
            vec![later],
            vec![entry(1, 1, 1..2), entry(1, 2, 2..3)],
            vec![entry(1, 1, 2..3), entry(1, 2, 1..2)],
            // Refused, but counted.
            vec![entry(1, 1, 10..11)],
        ];
        let chains: Vec<u64> = histories.iter().map(|history| chain(history)).collect();
        for (a, b) in (0..chains.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
            assert_ne!(chains[a], chains[b], "{a} {b}");
        }
        assert_eq!(chains[5], chain(&histories[5]));
    }

    #[test]
    fn an_entry_ends_where_it_may_when_its_transaction_is_half_spent() {
        let (_folder, store, mut applier) = applier(1 << 20, 0);
        let edits = |sequence, count: u64| {
            let op = |max_message_length| MessagingEdit { max_message_length, ..Default::default() }.into();
            let edit = |index| Command::new(UserId(1 + index % 9), op(Some(index)));
            Entry { commands: (0..count).map(edit).collect(), ..entry(1, sequence, 0..0) }
        };
        let all = edits(1, 60_000);
        let applied = applier.apply(&all, Extent::WhatFits).unwrap().replies.len();
        assert!(applied > 0 && applied < all.commands.len(), "{applied}");
        let meta = |name| store.snapshot().read().get(META, name).map(|meta| meta.value.to_native());
        assert_eq!(meta("applied"), Some(applied as u64));
        // The whole of it does not fit, and nothing of it is kept.
        let position = applier.position();
        let all = edits(2, 3 * applied as u64);
        assert_eq!(applier.apply(&all, Extent::Whole).err(), Some(Failure::Write(WriteError::Full)));
        assert_eq!((applier.position(), meta("applied")), (position, Some(applied as u64)));
        assert_eq!(Position::read(store.snapshot().read()), Ok(position));
    }

    #[test]
    fn only_the_next_entry_is_applied() {
        let position = Position { partition: 1, epoch: 5, sequence: 7, chain: 0 };
        let check = |partition, epoch, sequence, want| {
            let place = Place { partition, origin: 0, epoch, sequence };
            assert_eq!(follows(place, position), want, "{place:?}");
        };
        check(1, 5, 8, true);
        check(1, 6, 1, true);
        check(1, 9, 1, true);
        let others = [
            (1, 5, 7),
            (1, 5, 9),
            (1, 6, 2),
            (1, 6, 8),
            (1, 4, 8),
            (1, 4, 1),
            (1, 5, 1),
            (0, 5, 8),
            (0, 6, 1),
        ];
        for (partition, epoch, sequence) in others {
            check(partition, epoch, sequence, false);
        }
    }
}
