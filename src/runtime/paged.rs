//! Long-lived state in pages that never move: an array that grows without copying, and a slab on top of it.
//!
//! A `Vec` that doubles copies everything it holds, leaves the old memory behind in the allocator, and may reserve
//! twice what it uses. Here the reserve is part of a page.
//! Cost: one more load per access, of a table that stays in the cache (8 bytes per 1,024 entries).

use std::ops::{Index, IndexMut};

/// Entries per page: 64 KiB of 64-byte entries.
const PAGE_LEN: usize = 1 << PAGE_SHIFT;
const PAGE_SHIFT: u32 = 10;

/// An array that only grows, a page of default values at a time.
pub struct Pages<T> {
    // Of fixed length, so that an index within a page needs no check.
    pages: Vec<Box<[T; PAGE_LEN]>>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new() }
    }
}

impl<T: Default> Pages<T> {
    /// Entries there are.
    pub fn len(&self) -> usize {
        self.pages.len() * PAGE_LEN
    }

    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Adds a page.
    #[cold]
    pub fn grow(&mut self) {
        let page: Box<[T]> = (0..PAGE_LEN).map(|_| T::default()).collect();
        self.pages.push(page.try_into().ok().expect("it was made of this length"));
    }

    pub fn get(&self, index: usize) -> Option<&T> {
        Some(&self.pages.get(index >> PAGE_SHIFT)?[index & (PAGE_LEN - 1)])
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        Some(&mut self.pages.get_mut(index >> PAGE_SHIFT)?[index & (PAGE_LEN - 1)])
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages.iter().flat_map(|page| page.iter())
    }
}

impl<T> Index<usize> for Pages<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        &self.pages[index >> PAGE_SHIFT][index & (PAGE_LEN - 1)]
    }
}

impl<T> IndexMut<usize> for Pages<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.pages[index >> PAGE_SHIFT][index & (PAGE_LEN - 1)]
    }
}

enum Slot<T> {
    /// The next free slot, or `NONE`.
    Free(u32),
    Used(T),
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Slot::Free(NONE)
    }
}

const NONE: u32 = u32::MAX;

/// Values by small index; the index of a removed value is given out again, last freed first.
///
/// An entry is as large as its value when that has a spare bit pattern, such as a `bool` or a `Box` in it.
pub struct PagedSlab<T> {
    slots: Pages<Slot<T>>,
    free: u32,
    /// Slots from here on were never used.
    end: usize,
    count: usize,
}

impl<T> Default for PagedSlab<T> {
    fn default() -> Self {
        Self { slots: Pages::default(), free: NONE, end: 0, count: 0 }
    }
}

impl<T> PagedSlab<T> {
    /// Bytes per entry.
    pub const ENTRY_LEN: usize = size_of::<Slot<T>>();

    /// Values present.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Every index given out so far is below this.
    pub fn index_end(&self) -> usize {
        self.end
    }

    /// The index that the next [`PagedSlab::insert`] gives.
    pub fn next_index(&self) -> usize {
        if self.free == NONE { self.end } else { self.free as usize }
    }

    pub fn insert(&mut self, value: T) -> usize {
        let index = self.next_index();
        if self.free == NONE {
            assert!(index < NONE as usize, "indexes are 32 bits");
            if index == self.slots.len() {
                self.slots.grow();
            }
            self.slots[index] = Slot::Used(value);
            self.end += 1;
        } else {
            let Slot::Free(next) = std::mem::replace(&mut self.slots[index], Slot::Used(value)) else {
                unreachable!("the list holds free slots only");
            };
            self.free = next;
        }
        self.count += 1;
        index
    }

    /// Puts a value where none was ever; what is skipped is free.
    ///
    /// # Panics
    /// When the index was given out before.
    pub fn insert_at(&mut self, index: usize, value: T) {
        assert!((self.end..NONE as usize).contains(&index), "the index is new");
        while self.slots.len() <= index {
            self.slots.grow();
        }
        for skipped in self.end..index {
            self.slots[skipped] = Slot::Free(self.free);
            self.free = skipped as u32;
        }
        self.slots[index] = Slot::Used(value);
        self.end = index + 1;
        self.count += 1;
    }

    /// # Panics
    /// When there is none.
    pub fn remove(&mut self, index: usize) -> T {
        let slot = &mut self.slots[index];
        assert!(matches!(slot, Slot::Used(_)), "a value is removed once");
        let Slot::Used(value) = std::mem::replace(slot, Slot::Free(self.free)) else {
            unreachable!("checked above");
        };
        self.free = index as u32;
        self.count -= 1;
        value
    }

    pub fn contains(&self, index: usize) -> bool {
        self.get(index).is_some()
    }

    pub fn get(&self, index: usize) -> Option<&T> {
        match self.slots.get(index)? {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match self.slots.get_mut(index)? {
            Slot::Used(value) => Some(value),
            Slot::Free(_) => None,
        }
    }

    /// With their indexes, in rising order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| match slot {
            Slot::Used(value) => Some((index, value)),
            Slot::Free(_) => None,
        })
    }
}

impl<T> Index<usize> for PagedSlab<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        self.get(index).expect("the index is in use")
    }
}

impl<T> IndexMut<usize> for PagedSlab<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        self.get_mut(index).expect("the index is in use")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn agrees_with_a_sorted_map() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut slab = PagedSlab::default();
            let mut model = BTreeMap::new();
            for value in 0..5_000u64 {
                // Grows at first, then comes and goes.
                if random.u32(0..5_000) as u64 > value / 2 || model.is_empty() {
                    let index = slab.next_index();
                    assert_eq!(slab.insert(Box::new(value)), index);
                    assert_eq!(model.insert(index, value), None, "seed {seed}");
                } else {
                    let index = *model.keys().nth(random.usize(0..model.len())).unwrap();
                    assert_eq!(*slab.remove(index), model.remove(&index).unwrap());
                    assert!(!slab.contains(index));
                }
            }
            assert_eq!((slab.len(), slab.is_empty()), (model.len(), model.is_empty()));
            assert!(slab.iter().map(|(index, value)| (index, **value)).eq(model.clone()));
            for index in 0..slab.index_end() + 2_000 {
                assert_eq!(slab.get(index).map(|value| **value), model.get(&index).copied());
                if let Some(value) = slab.get_mut(index) {
                    **value += 1;
                    assert_eq!(*slab[index], model[&index] + 1);
                }
            }
        }
    }

    #[test]
    fn values_never_move_and_indexes_are_used_again() {
        let mut slab = PagedSlab::default();
        let first = slab.insert(0u64);
        let address = &raw const slab[first];
        (1..10_000).for_each(|value| assert_eq!(slab.insert(value), value as usize));
        assert_eq!(&raw const slab[first], address);
        (100..200).for_each(|index| assert_eq!(slab.remove(index), index as u64));
        (100..200).rev().for_each(|index| assert_eq!(slab.insert(0), index));
        assert_eq!((slab.index_end(), slab.next_index()), (10_000, 10_000));
    }

    #[test]
    fn what_is_skipped_is_given_out_later() {
        let mut slab = PagedSlab::default();
        assert_eq!(slab.insert(0u64), 0);
        slab.insert_at(3_000, 3_000);
        slab.insert_at(3_001, 3_001);
        assert_eq!((slab.len(), slab.index_end()), (3, 3_002));
        (1..3_000).rev().for_each(|index| assert_eq!(slab.insert(index as u64), index));
        assert_eq!(slab.insert(3_002), 3_002);
        assert!(slab.iter().all(|(index, value)| index as u64 == *value));
    }

    #[test]
    #[should_panic(expected = "the index is new")]
    fn nothing_is_put_where_something_was() {
        let mut slab = PagedSlab::default();
        slab.insert(0u64);
        slab.remove(0);
        slab.insert_at(0, 1);
    }

    #[test]
    #[should_panic(expected = "a value is removed once")]
    fn removing_twice_is_a_mistake() {
        let mut slab = PagedSlab::default();
        let index = slab.insert(true);
        slab.remove(index);
        slab.remove(index);
    }
}
