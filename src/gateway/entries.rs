//! The sessions of one server on one core, in the order of their slots.
//!
//! Sorted blocks of bounded length: a session is found by two binary searches, and coming or going moves no more than
//! one block (2 KiB), however many there are. So neither a mass disconnect nor a change of every member is quadratic.
//! Visiting goes in the order in which the sessions lie in memory, also after much coming and going.
//!
//! Memory: 8 bytes per session; a block may be half full where sessions came in no order.

use smallvec::SmallVec;

use super::session::Slot;

/// A session's place in a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub slot: Slot,
    pub class: u16,
    pub intents: u16,
}

const _: () = assert!(size_of::<Entry>() == 8);

/// Entries of a block: 2 KiB are moved in 30 ns.
const BLOCK_LEN_MAX: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Entries {
    /// None is empty; most servers have one.
    blocks: SmallVec<[Vec<Entry>; 1]>,
    count: usize,
    #[cfg(test)]
    looks: std::cell::Cell<usize>,
}

impl Entries {
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All entries, as slices in the order of the slots.
    pub fn blocks(&self) -> impl Iterator<Item = &[Entry]> {
        self.blocks.iter().map(Vec::as_slice)
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.blocks.iter_mut().flatten()
    }

    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        let (block, Ok(at)) = self.find(slot) else { return None };
        Some(&mut self.blocks[block][at])
    }

    /// Gives back what stood under that slot.
    pub fn insert(&mut self, entry: Entry) -> Option<Entry> {
        if self.blocks.is_empty() {
            self.blocks.push(Vec::new());
        }
        let (mut index, found) = self.find(entry.slot);
        let mut at = match found {
            Ok(at) => return Some(std::mem::replace(&mut self.blocks[index][at], entry)),
            Err(at) => at,
        };
        self.count += 1;
        if self.blocks[index].len() == BLOCK_LEN_MAX {
            // Slots mostly come in ascending order: then the blocks stay full.
            let last = index + 1 == self.blocks.len() && at == BLOCK_LEN_MAX;
            let split = if last { BLOCK_LEN_MAX } else { BLOCK_LEN_MAX / 2 };
            let upper = self.blocks[index].split_off(split);
            self.blocks.insert(index + 1, upper);
            if at > split || last {
                (index, at) = (index + 1, at - split);
            }
        }
        self.blocks[index].insert(at, entry);
        None
    }

    pub fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let (index, Ok(at)) = self.find(slot) else { return None };
        let gone = self.blocks[index].remove(at);
        self.count -= 1;
        if self.blocks[index].is_empty() {
            self.blocks.remove(index);
        } else if self.blocks[index].len() <= BLOCK_LEN_MAX / 4 {
            // Otherwise few sessions could hold many blocks.
            self.merge(index);
            self.merge(index.saturating_sub(1));
        }
        Some(gone)
    }

    /// Joins a block with the next one when the result is not soon split again.
    fn merge(&mut self, index: usize) {
        let Some([lower, upper]) = self.blocks.get_mut(index..index + 2) else { return };
        if lower.len() + upper.len() <= BLOCK_LEN_MAX * 3 / 4 {
            lower.append(upper);
            self.blocks.remove(index + 1);
        }
    }

    /// Block and place in it where the slot is, or would go.
    fn find(&self, slot: Slot) -> (usize, Result<usize, usize>) {
        let look = |entry: &Entry| {
            #[cfg(test)]
            self.looks.set(self.looks.get() + 1);
            entry.slot
        };
        let after =
            self.blocks.partition_point(|block| block.first().is_some_and(|first| look(first) <= slot));
        let index = after.saturating_sub(1);
        let found = self.blocks.get(index).map_or(Err(0), |block| block.binary_search_by_key(&slot, look));
        (index, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn entry(slot: u32, class: u16) -> Entry {
        Entry { slot: Slot(slot), class, intents: 0 }
    }

    fn slots(entries: &Entries) -> Vec<u32> {
        entries.blocks().flatten().map(|entry| entry.slot.0).collect()
    }

    #[test]
    fn agrees_with_a_sorted_map() {
        for seed in 0..40 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut entries, mut model) = (Entries::default(), BTreeMap::new());
            let slot_max = [50, 3_000, 1 << 24][seed as usize % 3];
            for step in 0..6_000u16 {
                let slot = random.u32(0..slot_max);
                // Fewer and fewer come, so that blocks merge and vanish in the end.
                if random.u16(0..6_000) > step {
                    let before = entries.insert(entry(slot, step)).map(|entry| entry.class);
                    assert_eq!(before, model.insert(slot, step), "seed {seed}");
                } else {
                    let known = model.range(slot..).next().map_or(slot, |(slot, _)| *slot);
                    assert_eq!(
                        entries.get_mut(Slot(known)).map(|entry| entry.class),
                        model.get(&known).copied()
                    );
                    let gone = entries.remove(Slot(known)).map(|entry| entry.class);
                    assert_eq!(gone, model.remove(&known), "seed {seed}");
                }
                assert_eq!(entries.len(), model.len(), "seed {seed}");
                assert!(entries.blocks().all(|block| (1..=BLOCK_LEN_MAX).contains(&block.len())));
                assert!(entries.blocks().count() <= 2 + entries.len() * 3 / BLOCK_LEN_MAX, "seed {seed}");
            }
            assert_eq!(slots(&entries), model.into_keys().collect::<Vec<_>>(), "seed {seed}");
        }
    }

    /// Up and down, in the order of coming, against it, and mixed: a few looks each, not one per session.
    #[test]
    fn a_mass_disconnect_looks_at_few_entries() {
        const COUNT: u32 = 100_000;
        let orders: [fn(u32) -> u32; 3] = [|n| n, |n| COUNT - 1 - n, |n| (n * 7_919) % COUNT];
        for order in orders {
            let mut entries = Entries::default();
            (0..COUNT).for_each(|slot| assert!(entries.insert(entry(slot, 0)).is_none()));
            assert_eq!(entries.blocks().count(), (COUNT as usize).div_ceil(BLOCK_LEN_MAX));
            (0..COUNT).for_each(|number| assert!(entries.remove(Slot(order(number))).is_some()));
            assert!(entries.is_empty());
            let looks_max = 2 * COUNT as usize * 20;
            assert!(entries.looks.get() < looks_max, "{} looks", entries.looks.get());
        }
    }
}
