//! A table of counters shared by all cores: u64 key → u64 state, changed by compare-and-swap.
//!
//! Owns: sets of 8 entries in two cache lines (8 key words, 8 state words; 16 bytes per entry), in up to five
//! levels, each 4 times the one before. A key that finds its set full of unexpired entries goes to the next
//! level, which is mapped when it is first needed: a server with few callers touches little memory, however
//! its keys are spread. Nothing locks and nothing waits for another thread.
//!
//! State word: `until` (38 bits, ms; the entry says nothing any more after it) and 26 bits for the
//! algorithm. Two kinds of state are the table's own: FRESH (until 0: an entry without requests) and DEAD
//! (until all ones: the entry is gone, for good). Both carry the sequence number of their key word.
//!
//! Key word: 44 bits of the key (the set index is made of the others), an 18-bit sequence number that
//! rises with every change of the word, a 2-bit tag EMPTY, PENDING or LIVE.
//!
//! Why no request is lost or counted twice:
//! - An entry is the key's only one. Its birth: choose a slot; if it is LIVE, kill it (state: what was seen
//!   → DEAD, so a concurrent request on the victim either comes first and the kill fails, or sees DEAD);
//!   key word → PENDING; state → FRESH; look at the others of its sets in all levels; key word → LIVE. Of two
//!   births of one key, in two slots, the one that looks later in the total order (SeqCst) sees the other: a LIVE one makes it
//!   withdraw, a PENDING one it aborts. So never do both become LIVE. A thread that is preempted half way
//!   leaves a PENDING word that anyone may abort, so nobody waits for it.
//! - A request is one compare-and-swap of a state read while the key word stood still. States of earlier
//!   owners of the slot do not come back: DEAD and FRESH differ by their sequence number.
//!   The one thing not excluded is that two owners' states are equal in all 64 bits while a thread sleeps
//!   between its read and its swap; then the new owner is charged one request too many.
//!
//! Bound: exact while no set of the last level holds more than 8 unexpired keys (filled to a quarter, 1 set in
//! 4,000 would; to an eighth, 1 in 900,000). Beyond that, the entry of the set that expires soonest is forgotten.

use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const WAYS: usize = 8;

const REST_BITS: u32 = 26;
/// The algorithm's bits of a state.
pub const REST_MAX: u64 = (1 << REST_BITS) - 1;
const UNTIL_DEAD: u64 = (1 << (u64::BITS - REST_BITS)) - 1;
/// The latest time a state can carry: 8.7 years of uptime.
pub const UNTIL_MAX: u64 = UNTIL_DEAD - 1;

const TAG_BITS: u32 = 2;
const TAG_MASK: u64 = (1 << TAG_BITS) - 1;
const EMPTY: u64 = 0;
const PENDING: u64 = 1;
const LIVE: u64 = 2;
const SEQUENCE_BITS: u32 = 18;
const SEQUENCE_MAX: u64 = (1 << SEQUENCE_BITS) - 1;
const PRINT_SHIFT: u32 = TAG_BITS + SEQUENCE_BITS;
/// Set index and fingerprint may overlap, but must cover the key.
const SET_BITS_MAX: u32 = u64::BITS - PRINT_SHIFT;

const _: () = assert!(SEQUENCE_BITS <= REST_BITS, "a sequence number fits beside `until`");

/// A state of these parts. `until` in ms of the limiter's time, `rest` below 2^26.
pub fn pack(until: u64, rest: u64) -> u64 {
    debug_assert!(rest <= REST_MAX);
    until.min(UNTIL_MAX) << REST_BITS | rest
}

/// When the state stops to say anything, in ms; 0 for an entry without requests.
pub fn until(state: u64) -> u64 {
    state >> REST_BITS
}

/// The algorithm's bits.
pub fn rest(state: u64) -> u64 {
    state & REST_MAX
}

#[repr(C, align(128))]
struct Set {
    keys: [AtomicU64; WAYS],
    states: [AtomicU64; WAYS],
}

/// Sets that are mapped zeroed; a page takes memory when it is first written.
struct Level {
    sets: NonNull<Set>,
    count: usize,
}

// SAFETY: an owned mapping of atomics; nothing is bound to a thread.
unsafe impl Send for Level {}
// SAFETY: the same; all access goes through atomics.
unsafe impl Sync for Level {}

impl Level {
    /// # Panics
    /// When the address space is exhausted.
    fn new(count: usize) -> Level {
        const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
        const FLAGS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous mapping.
        let memory =
            unsafe { libc::mmap(std::ptr::null_mut(), count * size_of::<Set>(), READ_WRITE, FLAGS, -1, 0) };
        assert!(memory != libc::MAP_FAILED, "no address space for the rate limits");
        let sets = NonNull::new(memory.cast()).expect("a mapping is not at address 0");
        Level { sets, count }
    }

    fn set(&self, key: u64) -> &Set {
        // SAFETY: the index is below `count`, a power of two; mappings are page-aligned; a Set is only atomics, for
        // which zero is a value.
        unsafe { self.sets.add(key as usize & (self.count - 1)).as_ref() }
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nobody can look at it any more.
        unsafe { libc::munmap(self.sets.as_ptr().cast(), self.count * size_of::<Set>()) };
    }
}

const LEVEL_COUNT: usize = 5;
/// Each level has this many times the sets of the one before. Keys spread over all pages of a level, so a level takes
/// all its memory with its first few hundred keys: 19,000 tokens that identify take 640 KiB in two levels; with a
/// factor of 16 it would be 2.1 MiB.
const LEVEL_FACTOR: usize = 4;

pub struct Table {
    /// The first exists from the start, the others as soon as they are needed.
    levels: [OnceLock<Level>; LEVEL_COUNT],
    /// How many levels there may be: a small table is one.
    depth: usize,
    /// Sets of the last level.
    set_count: usize,
}

impl Table {
    /// Room for at least `entry_count` keys, 16 bytes each of address space.
    pub fn new(entry_count: usize) -> Self {
        let set_count = entry_count.div_ceil(WAYS).next_power_of_two().min(1 << SET_BITS_MAX);
        let depth = if set_count < LEVEL_FACTOR.pow(LEVEL_COUNT as u32) { 1 } else { LEVEL_COUNT };
        let table = Self { levels: [const { OnceLock::new() }; LEVEL_COUNT], depth, set_count };
        table.level(0);
        table
    }

    /// Entries there is room for in the last level.
    pub fn capacity(&self) -> usize {
        self.set_count * WAYS
    }

    /// The level, mapped if it is not there yet. Two threads may both map one; the loser's is given back.
    fn level(&self, index: usize) -> &Level {
        if let Some(level) = self.levels[index].get() {
            return level;
        }
        let count = self.set_count / LEVEL_FACTOR.pow((self.depth - 1 - index) as u32);
        let _ = self.levels[index].set(Level::new(count));
        self.levels[index].get().expect("it was set by this thread or by another")
    }

    /// The key's sets in the levels that exist.
    fn sets(&self, key: u64) -> impl Iterator<Item = &Set> {
        self.levels.iter().map_while(OnceLock::get).map(move |level| level.set(key))
    }

    /// Runs `step` on the state of `key` (until 0 if there is none) and stores what it answers, as one
    /// atomic step; `None` leaves the state. `step` runs again when another thread was faster, so it must
    /// only compute. Storing a state with until 0 empties the entry. `now` is ≥ 1 and only decides which
    /// entry a new key replaces.
    pub fn update<R>(&self, key: u64, now: u64, mut step: impl FnMut(u64) -> (Option<u64>, R)) -> R {
        loop {
            let Some((set, (slot, word, state))) = self.find(key) else {
                // What changes nothing needs no entry.
                match step(0) {
                    (None, result) => return result,
                    (Some(_), _) => self.insert(key, now),
                }
                continue;
            };
            let (next, result) = step(state);
            let Some(next) = next else { return result };
            let next = if until(next) == 0 { sequence(word) } else { next };
            debug_assert!(until(next) <= UNTIL_MAX);
            interleave();
            if set.states[slot].compare_exchange(state, next, SeqCst, SeqCst).is_ok()
                && set.keys[slot].load(SeqCst) == word
            {
                return result;
            }
        }
    }

    /// The state of `key`, if it has an entry.
    pub fn get(&self, key: u64) -> Option<u64> {
        self.find(key).map(|(_, (_, _, state))| state)
    }

    fn find(&self, key: u64) -> Option<(&Set, (usize, u64, u64))> {
        self.sets(key).find_map(|set| set.find(print(key)).map(|found| (set, found)))
    }

    /// Tries to give a key an entry, in the first level that has room for it. The caller looks again whether it,
    /// or another thread, succeeded.
    #[cold]
    fn insert(&self, key: u64, now: u64) {
        for index in 0..self.depth {
            let set = self.level(index).set(key);
            let (is_free, victim) = set.victim(now);
            if is_free || index == self.depth - 1 {
                return set.insert(victim, print(key), |slot| self.is_only(key, set, slot));
            }
        }
    }

    /// Whether no other slot of the key's sets holds the key; aborts its other births.
    fn is_only(&self, key: u64, mine: &Set, slot: usize) -> bool {
        self.sets(key).all(|set| set.is_without(print(key), std::ptr::eq(set, mine).then_some(slot)))
    }
}

impl Set {
    /// The living entry of a key: slot, key word, and a state read while that word stood.
    fn find(&self, print: u64) -> Option<(usize, u64, u64)> {
        let mut slot = 0;
        while slot < WAYS {
            let word = self.keys[slot].load(SeqCst);
            if word & TAG_MASK == LIVE && word >> PRINT_SHIFT == print {
                let state = self.states[slot].load(SeqCst);
                if self.keys[slot].load(SeqCst) != word {
                    continue;
                }
                if until(state) != UNTIL_DEAD {
                    return Some((slot, word, state));
                }
            }
            slot += 1;
        }
        None
    }

    /// Tries to give a key the place of the victim. The caller looks again whether it, or another thread,
    /// succeeded.
    fn insert(&self, victim: (usize, u64, u64), print: u64, is_only: impl FnOnce(usize) -> bool) {
        let (slot, word, mut state) = victim;
        let dead = UNTIL_DEAD << REST_BITS | sequence(word);
        interleave();
        // Dead under an earlier key word is not dead: then the two words do not belong together, and this
        // swap fails.
        if word & TAG_MASK == LIVE && state != dead {
            if self.states[slot].compare_exchange(state, dead, SeqCst, SeqCst).is_err() {
                return;
            }
            state = dead;
        }
        interleave();
        let pending = key_word(print, word, PENDING);
        if self.keys[slot].compare_exchange(word, pending, SeqCst, SeqCst).is_err() {
            return;
        }
        interleave();
        let fresh = self.states[slot].compare_exchange(state, sequence(pending), SeqCst, SeqCst);
        if fresh.is_err() || !is_only(slot) {
            let _ = self.keys[slot].compare_exchange(pending, retag(pending, EMPTY), SeqCst, SeqCst);
            return;
        }
        interleave();
        // Fails when somebody aborted us; then the caller finds nothing and tries again.
        let _ = self.keys[slot].compare_exchange(pending, retag(pending, LIVE), SeqCst, SeqCst);
    }

    /// Whether no slot but `mine` holds the key; aborts its other births.
    fn is_without(&self, print: u64, mine: Option<usize>) -> bool {
        for slot in (0..WAYS).filter(|&slot| Some(slot) != mine) {
            loop {
                let word = self.keys[slot].load(SeqCst);
                if word >> PRINT_SHIFT != print || word & TAG_MASK == EMPTY {
                    break;
                }
                interleave();
                if word & TAG_MASK == PENDING {
                    let empty = retag(word, EMPTY);
                    if self.keys[slot].compare_exchange(word, empty, SeqCst, SeqCst).is_ok() {
                        break;
                    }
                } else if until(self.states[slot].load(SeqCst)) == UNTIL_DEAD {
                    // Dead for good, whoever is about to take the slot.
                    break;
                } else {
                    return false;
                }
            }
        }
        true
    }

    /// The slot a new key shall have, with its words: a free or expired one, else that of an unfinished
    /// birth, else the one expiring soonest. True when nothing alive has to go for it.
    fn victim(&self, now: u64) -> (bool, (usize, u64, u64)) {
        let mut best = (u64::MAX, (0, 0, 0));
        for slot in 0..WAYS {
            // The state first: if the key word then changes before our swap of it, the swap fails.
            let state = self.states[slot].load(SeqCst);
            interleave();
            let word = self.keys[slot].load(SeqCst);
            let rank = match word & TAG_MASK {
                EMPTY => 0,
                LIVE if until(state) == UNTIL_DEAD || until(state) < now => 0,
                // Rather stop a birth, which is tried again, than forget an entry.
                PENDING => 1,
                _ => until(state) + 1,
            };
            if rank < best.0 {
                best = (rank, (slot, word, state));
            }
            if rank == 0 {
                break;
            }
        }
        (best.0 <= 1, best.1)
    }
}

/// Stands between two steps of an update. Tests let other threads run here.
#[inline(always)]
fn interleave() {
    #[cfg(test)]
    tests::interleave();
}

fn print(key: u64) -> u64 {
    key >> PRINT_SHIFT
}

fn sequence(word: u64) -> u64 {
    word >> TAG_BITS & SEQUENCE_MAX
}

/// The successor of `previous` for another key.
fn key_word(print: u64, previous: u64, tag: u64) -> u64 {
    let sequence = (sequence(previous) + 1) & SEQUENCE_MAX;
    print << PRINT_SHIFT | sequence << TAG_BITS | tag
}

fn retag(word: u64, tag: u64) -> u64 {
    word & !TAG_MASK | tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::HashMap;
    use std::sync::Barrier;

    /// Gives the processor away at random points while a test wants it.
    pub(super) fn interleave() {
        if INTERLEAVED.get() && fastrand::u32(0..3) == 0 {
            std::thread::yield_now();
        }
    }

    thread_local!(static INTERLEAVED: Cell<bool> = const { Cell::new(false) });

    /// Counts to `limit` in a window of 10 ms: until = its end, rest = how many.
    fn take(table: &Table, key: u64, now: u64, limit: u64) -> bool {
        table.update(key, now, |state| match () {
            () if until(state) <= now => (Some(pack(now + 10, 1)), true),
            () if rest(state) < limit => (Some(state + 1), true),
            () => (None, false),
        })
    }

    /// Keys that all fall into the one set and differ in their fingerprint.
    fn key(index: u64) -> u64 {
        index << PRINT_SHIFT | 5
    }

    #[test]
    fn layout_is_two_lines_per_set() {
        assert_eq!((size_of::<Set>(), align_of::<Set>()), (128, 128));
        assert_eq!(Table::new(1).capacity(), 8);
        assert_eq!(Table::new(1000).capacity(), 1024);
    }

    #[test]
    fn refusing_or_reading_needs_no_entry() {
        let table = Table::new(8);
        assert!(!table.update(1, 1, |state| (None, state != 0)));
        assert_eq!(table.get(1), None);
        assert!(take(&table, 1, 1, 1));
        assert_eq!(table.get(1), Some(pack(11, 1)));
        assert!(!take(&table, 1, 5, 1));
        // Emptied again: no time, but the entry stays.
        table.update(1, 5, |_| (Some(0), ()));
        assert_eq!(table.get(1).map(until), Some(0));
        assert!(take(&table, 1, 5, 1));
    }

    #[test]
    fn a_full_set_forgets_what_expires_first() {
        let table = Table::new(8);
        for index in 0..8 {
            assert!(take(&table, key(index), 100 - index, 1));
        }
        assert!(take(&table, key(8), 101, 1));
        assert_eq!(table.get(key(7)), None, "until 103, the least");
        assert!((0..7).all(|index| !take(&table, key(index), 101, 1)), "all others are remembered");
        // Later all have expired: eight new ones need nobody alive.
        assert!((10..18).all(|index| take(&table, key(index), 200, 1)));
        assert!((10..18).all(|index| !take(&table, key(index), 200, 1)));
    }

    #[test]
    fn a_full_set_spills_into_the_next_level_and_nothing_is_forgotten() {
        let table = Table::new(WAYS * LEVEL_FACTOR.pow(LEVEL_COUNT as u32));
        assert!((0..24).all(|index| take(&table, key(index), 1, 1)));
        assert!((0..24).all(|index| !take(&table, key(index), 1, 1)));
        assert_eq!(table.levels.iter().filter(|level| level.get().is_some()).count(), 3);
    }

    #[test]
    fn agrees_with_a_hash_map() {
        let table = Table::new(1 << 12);
        let mut model: HashMap<u64, (u64, u64)> = HashMap::new();
        let mut random = fastrand::Rng::with_seed(4);
        let keys: Vec<u64> = (0..200).map(|_| random.u64(..)).collect();
        for step in 0..100_000u64 {
            let (key, now) = (keys[random.usize(..keys.len())], 1 + step / 50);
            let entry = model.entry(key).or_default();
            if entry.0 <= now {
                *entry = (now + 10, 0);
            }
            let want = entry.1 < 3;
            entry.1 += u64::from(want);
            assert_eq!(take(&table, key, now, 3), want, "step {step}");
            assert_eq!(table.get(key), Some(pack(entry.0, entry.1)), "step {step}");
        }
    }

    /// Four threads on one set. In each round its eight entries belong to the expired keys of the round
    /// before, and all threads want to give birth to the same six new ones: each is admitted exactly
    /// `limit` times.
    #[test]
    fn births_under_contention_count_exactly() {
        const THREADS: usize = 4;
        const LIMIT: u64 = 5;
        let table = Table::new(8);
        let barrier = Barrier::new(THREADS);
        let rounds = 4_000;
        let admitted: Vec<AtomicU64> = (0..rounds * 6).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for thread in 0..THREADS as u64 {
                let (table, barrier, admitted) = (&table, &barrier, &admitted);
                scope.spawn(move || {
                    INTERLEAVED.set(true);
                    let mut random = fastrand::Rng::with_seed(thread);
                    for round in 0..rounds {
                        barrier.wait();
                        for attempt in 0..LIMIT * 6 {
                            let which = (attempt + random.u64(0..2)) % 6;
                            let index = round * 6 + which;
                            if take(table, key(index), 1 + round * 20, LIMIT) {
                                admitted[index as usize].fetch_add(1, SeqCst);
                            }
                        }
                        for which in 0..6 {
                            while take(table, key(round * 6 + which), 1 + round * 20, LIMIT) {
                                admitted[(round * 6 + which) as usize].fetch_add(1, SeqCst);
                            }
                        }
                        barrier.wait();
                    }
                });
            }
        });
        for (index, count) in admitted.iter().enumerate() {
            assert_eq!(count.load(SeqCst), LIMIT, "key {index}");
        }
    }

    /// More living keys than a set holds, all threads evicting each other: nothing hangs, and no key ever
    /// has two entries.
    #[test]
    fn overfull_sets_keep_one_entry_per_key() {
        let table = Table::new(8);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let table = &table;
                scope.spawn(move || {
                    INTERLEAVED.set(true);
                    let mut random = fastrand::Rng::with_seed(thread);
                    for step in 0..100_000 {
                        take(table, key(random.u64(0..12)), 1 + step / 10, 3);
                    }
                });
            }
        });
        let mut prints: Vec<u64> = (0..WAYS)
            .filter(|&slot| until(table.level(0).set(0).states[slot].load(SeqCst)) != UNTIL_DEAD)
            .map(|slot| table.level(0).set(0).keys[slot].load(SeqCst))
            .filter(|word| word & TAG_MASK == LIVE)
            .map(|word| word >> PRINT_SHIFT)
            .collect();
        let count = prints.len();
        prints.sort_unstable();
        prints.dedup();
        assert_eq!(prints.len(), count);
    }
}
