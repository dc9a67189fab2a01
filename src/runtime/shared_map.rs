//! A map from u64 to u64 with one writer and any number of readers on other threads.
//!
//! Owns: an open-addressed table of (key, value) pairs of atomics, replaced as a whole when it fills up.
//! Keys and values are never 0: key 0 is an empty slot, value 0 an absent entry.
//!
//! Why a reader is never wrong:
//! - A slot's key is written once in the life of a table, after its value (Release/Acquire). A removed
//!   entry keeps its key with value 0, and only the same key may use that slot again. So a value that is
//!   read belongs to the key it was found under, and linear probing never meets a hole that was filled before.
//! - When three quarters of the slots carry a key, the writer copies the live entries into a new table and
//!   publishes that. A reader compares the published pointer with its own before each lookup and moves over
//!   with a hazard pointer: announce, then check that it is still the published one. The writer frees a
//!   retired table when no reader announces it. Hence at most one outdated table per reader stays around,
//!   and a comparison of pointers cannot confuse two tables at one address.
//!
//! [`Reader::get`] is wait-free except in the lookup that moves to a new table, which repeats only if the
//! writer replaces the table yet again meanwhile. Cloning and dropping readers and replacing the table
//! share a mutex; lookups do not.
//!
//! Memory: 16 bytes per slot, 3/8 to 3/4 full while growing: 21–43 bytes per entry, during a copy both
//! tables. Many removals can halve the fill. The writer stands still while it copies, about 20 ms per million.

use std::cell::Cell;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard};

const SLOT_COUNT_MIN: usize = 16;

#[derive(Default)]
struct Slot {
    key: AtomicU64,
    value: AtomicU64,
}

struct Table {
    slots: Box<[Slot]>,
    /// 64 − log2(slots): the hash's top bits choose the slot.
    shift: u32,
}

struct Shared {
    current: AtomicPtr<Table>,
    registry: Mutex<Registry>,
}

/// Touched when a reader comes or goes and when a table is replaced, never by a lookup.
#[derive(Default)]
struct Registry {
    /// One per reader: the table it looks at.
    hazards: Vec<Arc<AtomicPtr<Table>>>,
    /// Replaced tables that a reader may still look at.
    retired: Vec<Retired>,
}

struct Retired(*mut Table);

// SAFETY: an owned table of atomics; nothing is bound to a thread.
unsafe impl Send for Retired {}

/// The only one that changes the map. Not `Clone`; may move between threads.
pub struct Writer {
    shared: Arc<Shared>,
    /// Slots of the current table that carry a key.
    used: usize,
    /// Entries with a value.
    live: usize,
}

/// Looks keys up. One per thread: `Clone` and `Send`, not `Sync`.
pub struct Reader {
    shared: Arc<Shared>,
    /// What the writer must not free.
    hazard: Arc<AtomicPtr<Table>>,
    /// The same, without an atomic; keeps the type off `Sync`.
    table: Cell<*const Table>,
}

// SAFETY: the pointer is covered by `hazard`, which moves along.
unsafe impl Send for Reader {}

/// An empty map with room for `count` entries before the first copy.
pub fn shared_map(count: usize) -> (Writer, Reader) {
    let slot_count = (count * 4 / 3 + 1).next_power_of_two().max(SLOT_COUNT_MIN);
    let shared = Arc::new(Shared {
        current: AtomicPtr::new(Box::into_raw(Box::new(Table::new(slot_count)))),
        registry: Mutex::default(),
    });
    let reader = Reader::new(shared.clone());
    (Writer { shared, used: 0, live: 0 }, reader)
}

impl Writer {
    /// Entries present.
    pub fn count(&self) -> usize {
        self.live
    }

    /// Sets `key` to `value`, both not 0; returns what it was. Readers see it at once.
    pub fn insert(&mut self, key: u64, value: u64) -> Option<u64> {
        assert!(key != 0, "key 0 marks an empty slot");
        assert!(value != 0, "value 0 marks an absent entry");
        let slot = match self.table().find(key) {
            Ok(slot) => slot,
            Err(_) if self.used >= self.table().slots.len() / 4 * 3 => {
                self.rebuild();
                self.table().find(key).err().expect("a copy holds no key the original lacked")
            }
            Err(slot) => slot,
        };
        let previous = slot.value.load(Ordering::Relaxed);
        slot.value.store(value, Ordering::Release);
        let fresh = slot.key.load(Ordering::Relaxed) == 0;
        slot.key.store(key, Ordering::Release);
        self.used += usize::from(fresh);
        self.live += usize::from(previous == 0);
        (previous != 0).then_some(previous)
    }

    /// Removes `key`; returns what it was.
    pub fn remove(&mut self, key: u64) -> Option<u64> {
        if key == 0 {
            return None;
        }
        let previous = self.table().find(key).ok()?.value.swap(0, Ordering::Release);
        self.live -= usize::from(previous != 0);
        (previous != 0).then_some(previous)
    }

    /// The value of `key`.
    pub fn get(&self, key: u64) -> Option<u64> {
        self.table().get(key)
    }

    /// A reader for another thread.
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    fn table<'a>(&self) -> &'a Table {
        // SAFETY: only the writer replaces or frees tables, both behind `&mut self`, and no caller keeps
        // this borrow over either.
        unsafe { &*self.shared.current.load(Ordering::Relaxed) }
    }

    /// Copies the live entries into a table at most 3/8 full, which leaves as much room again.
    fn rebuild(&mut self) {
        let old = self.table();
        let grow = self.live > old.slots.len() / 8 * 3;
        let new = Table::new(old.slots.len() << u32::from(grow));
        for slot in &old.slots {
            let (key, value) = (slot.key.load(Ordering::Relaxed), slot.value.load(Ordering::Relaxed));
            if value != 0 {
                let target = new.find(key).err().expect("keys of a table are distinct");
                target.key.store(key, Ordering::Relaxed);
                target.value.store(value, Ordering::Relaxed);
            }
        }
        self.used = self.live;
        let new = Box::into_raw(Box::new(new));
        let old = self.shared.current.swap(new, Ordering::AcqRel);
        self.shared.registry().retire(old);
    }
}

impl Registry {
    /// Frees every retired table, `table` being the latest, that no reader announces.
    fn retire(&mut self, table: *mut Table) {
        self.retired.push(Retired(table));
        // Pairs with the fence in `Reader::refresh`: either we see its announcement, or it sees the swap.
        fence(Ordering::SeqCst);
        let Registry { hazards, retired } = self;
        retired.retain(|&Retired(table)| {
            let announced = hazards.iter().any(|hazard| std::ptr::eq(hazard.load(Ordering::Acquire), table));
            if !announced {
                // SAFETY: made by Box::into_raw, unpublished, and no reader holds it or can still get it.
                drop(unsafe { Box::from_raw(table) });
            }
            announced
        });
    }
}

impl Shared {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().expect("no code panics while it holds the registry")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let registry = self.registry.get_mut().expect("no code panics while it holds the registry");
        let retired = registry.retired.drain(..).map(|Retired(table)| table);
        for table in retired.chain([*self.current.get_mut()]) {
            // SAFETY: the last owner; no writer and no reader is left to look at any table.
            drop(unsafe { Box::from_raw(table) });
        }
    }
}

impl Reader {
    fn new(shared: Arc<Shared>) -> Self {
        let hazard = Arc::new(AtomicPtr::new(std::ptr::null_mut()));
        shared.registry().hazards.push(hazard.clone());
        Self { shared, hazard, table: Cell::new(std::ptr::null()) }
    }

    /// The value of `key`. Sees every insert and removal that happened before the call.
    pub fn get(&self, key: u64) -> Option<u64> {
        let current = self.shared.current.load(Ordering::Acquire);
        if !std::ptr::eq(current, self.table.get()) {
            self.refresh(current);
        }
        // SAFETY: `table` was published after `hazard` announced it, so the writer keeps it.
        unsafe { &*self.table.get() }.get(key)
    }

    #[cold]
    fn refresh(&self, mut current: *mut Table) {
        loop {
            self.hazard.store(current, Ordering::Release);
            fence(Ordering::SeqCst);
            let published = self.shared.current.load(Ordering::Acquire);
            if std::ptr::eq(published, current) {
                break;
            }
            current = published;
        }
        self.table.set(current);
    }
}

impl Clone for Reader {
    fn clone(&self) -> Self {
        Self::new(self.shared.clone())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.registry().hazards.retain(|hazard| !Arc::ptr_eq(hazard, &self.hazard));
    }
}

impl Table {
    fn new(slot_count: usize) -> Self {
        debug_assert!(slot_count.is_power_of_two());
        let slots = (0..slot_count).map(|_| Slot::default()).collect();
        Self { slots, shift: u64::BITS - slot_count.trailing_zeros() }
    }

    /// The slot of `key`, or else the empty slot where it would go. There always is an empty one.
    fn find(&self, key: u64) -> Result<&Slot, &Slot> {
        // Fibonacci hashing: ids differ in their low and middle bits, the product's top bits mix all of them.
        let mut index = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize;
        loop {
            let slot = &self.slots[index & (self.slots.len() - 1)];
            match slot.key.load(Ordering::Acquire) {
                0 => return Err(slot),
                found if found == key => return Ok(slot),
                _ => index += 1,
            }
        }
    }

    fn get(&self, key: u64) -> Option<u64> {
        if key == 0 {
            return None;
        }
        let value = self.find(key).ok()?.value.load(Ordering::Acquire);
        (value != 0).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn agrees_with_a_hash_map() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut writer, reader) = shared_map(0);
            let mut model = HashMap::new();
            for _ in 0..20_000 {
                let bits = random.u32(1..12);
                let key = random.u64(1..1 << bits);
                match random.u32(0..3) {
                    0 => assert_eq!(writer.remove(key), model.remove(&key)),
                    _ => {
                        let value = random.u64(1..);
                        assert_eq!(writer.insert(key, value), model.insert(key, value));
                    }
                }
                let key = random.u64(0..4_096);
                assert_eq!(reader.get(key), model.get(&key).copied(), "seed {seed}");
                assert_eq!(writer.get(key), reader.get(key));
            }
            assert_eq!(writer.count(), model.len());
        }
    }

    #[test]
    fn churn_does_not_grow_the_table() {
        let (mut writer, reader) = shared_map(0);
        for key in 1..200_000u64 {
            writer.insert(key, key);
            assert_eq!(reader.get(key), Some(key));
            assert_eq!(writer.remove(key), Some(key));
            assert!(writer.table().slots.len() <= SLOT_COUNT_MIN);
            assert!(writer.shared.registry().retired.len() <= 1);
        }
        assert_eq!((writer.count(), reader.get(0), writer.remove(0)), (0, None, None));
    }

    /// Values carry their key in the low half and a rising number in the high half: a reader must never
    /// see a foreign value, an older one than before, or miss a key that is always there.
    #[test]
    fn readers_see_whole_and_current_entries() {
        const KEYS: u64 = 3_000;
        let (mut writer, reader) = shared_map(0);
        for key in 1..=KEYS {
            writer.insert(key, 1 << 32 | key);
        }
        let done = Arc::new(AtomicBool::new(false));
        let readers: Vec<_> = (0..3)
            .map(|seed| {
                let (reader, done) = (reader.clone(), done.clone());
                std::thread::spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut last = vec![0; KEYS as usize * 8];
                    while !done.load(Ordering::Relaxed) {
                        let key = random.u64(1..KEYS * 8);
                        match reader.get(key) {
                            Some(value) => {
                                assert_eq!(value & 0xFFFF_FFFF, key);
                                assert!(value >> 32 >= last[key as usize], "went back");
                                last[key as usize] = value >> 32;
                            }
                            None => assert!(key > KEYS, "a permanent key went missing"),
                        }
                        if random.u32(0..5_000) == 0 {
                            let second = reader.clone();
                            assert!(second.get(1).is_some());
                        }
                    }
                })
            })
            .collect();
        let mut random = fastrand::Rng::with_seed(99);
        for round in 2..150_000u64 {
            let key = random.u64(1..KEYS * 8);
            if key > KEYS && random.bool() {
                writer.remove(key);
            } else {
                writer.insert(key, round << 32 | key);
            }
        }
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(writer.shared.registry().retired.len() <= 4);
    }
}
