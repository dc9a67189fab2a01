//! How much room there is: in the map, in a transaction, on the disk.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::records::Meta;
use super::tables::{META, TABLE_COUNT};
use super::{FORMAT, Store, WriteError};

/// Address space beyond `map_size`.
///
/// A transaction that hits the end of the map cannot even be read any more, and deleting takes pages before it gives
/// some back. So changes are refused long before that: the first half is for changes that make room. A batch of 1,024
/// commands with the longest messages writes about 60 MiB.
pub(super) const RESERVE: usize = 1 << 30;

const PAGE_LEN: u64 = 4_096;
/// A snapshot that is so many transactions old keeps pages from being used again. Younger ones are batches that a
/// core has not taken yet.
const PIN_AGE_MIN: u64 = 256;
/// What the file may grow by while a snapshot pins it; no more than another `map_size`.
const PIN_GROWTH_MAX: u64 = RESERVE as u64 / 4;
/// Below this much of the map no transaction is begun while a snapshot pins the file: how many pages can be used
/// again is not known then.
const FRESH_MIN: u64 = 64 << 20;
/// New pages that one write may take: its leaf, the other half of a leaf that is split, and its share of those above,
/// which the writes of a transaction have in common.
const PAGES_PER_WRITE: u64 = 3;
/// A disk with less left is full.
const LEFT_MIN: u64 = 1 << 20;

/// What may still be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// Anything.
    Plenty,
    /// What makes room: `map_size` is reached, or a snapshot lets the file grow.
    ForDeletes,
    /// Nothing: deletes have not helped.
    None,
}

/// Room on the disk of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes that may still be written without privileges.
    pub free: u64,
    /// Bytes there are in all, without what is set aside for root.
    pub size: u64,
}

impl Disk {
    /// Of the folder; zeroes when the system does not tell.
    pub fn of(folder: &Path) -> Disk {
        let Ok(path) = CString::new(folder.as_os_str().as_bytes()) else { return Disk::default() };
        // SAFETY: all zeroes is a valid statvfs, the path ends with a zero byte, the kernel fills the struct.
        let (result, disk) = unsafe {
            let mut disk: libc::statvfs = std::mem::zeroed();
            (libc::statvfs(path.as_ptr(), &mut disk), disk)
        };
        if result != 0 {
            return Disk::default();
        }
        let used = disk.f_blocks.saturating_sub(disk.f_bfree);
        let blocks = |count: u64| count.saturating_mul(disk.f_frsize);
        Disk { free: blocks(disk.f_bavail), size: blocks(used + disk.f_bavail) }
    }

    /// Whether there is no room to speak of.
    pub fn is_full(self) -> bool {
        self.size > 0 && self.free < LEFT_MIN
    }
}

/// The snapshot that pins the file, and how long the file was when that was seen.
#[derive(Default)]
pub(super) struct Pin {
    seen: AtomicU64,
    file_len: AtomicU64,
}

impl Pin {
    /// By how much the file has grown since the snapshot of transaction `seen` pins it.
    fn growth(&self, seen: u64, file_len: u64) -> u64 {
        if self.seen.swap(seen, Ordering::Relaxed) != seen {
            self.file_len.store(file_len, Ordering::Relaxed);
        }
        file_len.saturating_sub(self.file_len.load(Ordering::Relaxed))
    }
}

/// Pages that a transaction may still take. Writes are charged with the most that they may cost, and the transaction
/// is given up long before LMDB would refuse a page: then it could not be read any more, not even by the command at
/// work. There are 512 MiB or more of pages when one is begun, 43,000 writes; a command has some ten, the largest ones
/// some thousands, and most cost a fraction of their charge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Beyond the end of the file.
    fresh: u64,
    /// Free pages within it.
    reusable: u64,
    single: u64,
    contiguous: u64,
}

impl Budget {
    pub fn new(fresh: u64, reusable: u64) -> Budget {
        Budget { fresh, reusable, single: 0, contiguous: 0 }
    }

    /// For `count` small writes.
    pub fn of_writes(count: u64) -> Budget {
        Budget::new(count * PAGES_PER_WRITE, 0)
    }

    /// Charges for a write of a value; whether it fits.
    pub fn charge(&mut self, value_len: usize) -> bool {
        let pages = (value_len as u64 + 16).div_ceil(PAGE_LEN);
        self.single += PAGES_PER_WRITE;
        // Values of several pages need them in a row, which free pages need not have.
        if pages > 1 {
            self.contiguous += pages;
        }
        self.taken() <= self.fresh
    }

    /// Whether half of it is used: time to commit.
    pub fn is_half_spent(&self) -> bool {
        self.taken() > self.fresh / 2
    }

    fn taken(&self) -> u64 {
        self.contiguous + self.single.saturating_sub(self.reusable)
    }
}

pub(super) const FULL: &str = ". No space left on the disk: free some, or choose another folder";

/// What to add to an error of the disk: LMDB has other words for one that is full.
pub fn advice(folder: &Path) -> &'static str {
    match Disk::of(folder).is_full() {
        true => FULL,
        false => "",
    }
}

impl Store {
    /// Bytes of the data file that hold pages, and the bytes it may grow to.
    pub fn usage(&self) -> (u64, u64) {
        ((self.env.info().last_page_number as u64 + 1) * PAGE_LEN, self.map_size as u64)
    }

    /// What may be written. One look at the environment; only near the end the pages in use are counted, as those
    /// that deletes have freed are used again, unless a snapshot still shows them.
    pub fn room(&self) -> Room {
        let (file, size) = self.usage();
        if file < size {
            return Room::Plenty;
        }
        let room = match self.used() {
            used if used < size => Room::Plenty,
            used if used < size + RESERVE as u64 / 2 => Room::ForDeletes,
            _ => Room::None,
        };
        match self.pinned_by() {
            Some(_) if self.fresh() < FRESH_MIN => Room::None,
            Some(seen) if room == Room::Plenty && self.pin.growth(seen, file) > PIN_GROWTH_MAX.min(size) => {
                Room::ForDeletes
            }
            _ => room,
        }
    }

    /// The transaction that a snapshot of long ago shows, when there is one.
    fn pinned_by(&self) -> Option<u64> {
        let oldest = self.oldest_reader()?.seen;
        (oldest + PIN_AGE_MIN < self.last_transaction()).then_some(oldest)
    }

    /// Whether it is a snapshot that has made [`Store::room`] small, not what is stored.
    pub fn is_held(&self) -> bool {
        let (file, size) = self.usage();
        file >= size && self.used() < size && self.pinned_by().is_some()
    }

    /// Whether the snapshot that keeps pages from being used again is one of this process: the state of the last
    /// sync, or a batch that a core has not taken yet.
    pub fn is_held_by_itself(&self) -> bool {
        self.pinned_by().is_some()
            && self.oldest_reader().is_some_and(|reader| reader.process == std::process::id())
    }

    /// Bytes of the map beyond the end of the file.
    fn fresh(&self) -> u64 {
        let info = self.env.info();
        (info.map_size as u64).saturating_sub((info.last_page_number as u64 + 1) * PAGE_LEN)
    }

    /// What one transaction may take.
    pub(super) fn budget(&self) -> Budget {
        let (file, size) = self.usage();
        // Far from the end free pages need not be counted.
        let reusable = match file >= size && self.pinned_by().is_none() {
            true => file.saturating_sub(self.used()) / PAGE_LEN,
            false => 0,
        };
        Budget::new(self.fresh() / PAGE_LEN, reusable)
    }

    /// Bytes of the pages that hold something.
    pub fn used(&self) -> u64 {
        let snapshot = self.snapshot();
        (0..TABLE_COUNT).map(|index| snapshot.read().used(index)).sum()
    }

    /// Room on the disk; zeroes when the system does not tell.
    pub fn disk(&self) -> Disk {
        Disk::of(&self.path)
    }

    /// Whether the disk has no room to speak of. LMDB reports a write that was cut short as an I/O error.
    pub fn disk_is_full(&self) -> bool {
        self.disk().is_full()
    }

    /// Writes a page that says what it said before, to see whether writing works again.
    ///
    /// # Errors
    /// As long as it does not.
    pub fn probe(&self) -> Result<(), WriteError> {
        let mut tx = self.begin()?;
        tx.put(META, "format", &Meta { value: FORMAT });
        tx.commit()
    }
}

#[cfg(test)]
mod tests {
    use super::super::records::Setting;
    use super::super::tables::SETTINGS;
    use super::super::tests::temporary;
    use super::*;
    use crate::id::UserId;

    fn write(store: &Store, users: std::ops::Range<u64>, len: usize) -> Result<(), WriteError> {
        let mut tx = store.begin()?;
        for user in users {
            let setting = Setting { value: "x".repeat(len), created_at: 0, updated_at: 0 };
            tx.put(SETTINGS, (UserId(user), "key"), &setting);
        }
        tx.commit()
    }

    #[test]
    fn a_full_store_has_room_for_deletes_and_again_for_all_when_they_are_done() {
        let (_folder, store) = temporary(1 << 20);
        let mut users = 0;
        while store.room() == Room::Plenty {
            assert!(users < 4_000, "the bound is not seen");
            write(&store, users..users + 20, 1_000).unwrap();
            users += 20;
        }
        assert_eq!(store.room(), Room::ForDeletes);
        assert!(users > 500 && !store.is_held(), "full after {users}");
        let mut tx = store.begin().unwrap();
        assert_eq!(tx.delete_prefix(SETTINGS, (), 400), 400);
        tx.commit().unwrap();
        assert_eq!(store.room(), Room::Plenty);
        assert_eq!(store.snapshot().read().len(SETTINGS), users - 400);
    }

    #[test]
    fn a_snapshot_that_stays_open_lets_the_file_grow_so_far_and_no_further() {
        let (_folder, store) = temporary(1 << 21);
        write(&store, 0..10, 3_000).unwrap();
        let held = store.snapshot();
        // 40 KB anew each time, and nothing of what it replaces is free.
        let mut rounds = 0;
        while store.room() == Room::Plenty {
            assert!(rounds < 2_000, "the bound is not seen");
            write(&store, 0..10, 3_000).unwrap();
            rounds += 1;
        }
        assert!(store.room() == Room::ForDeletes && store.is_held(), "after {rounds}");
        assert!(store.used() < 1 << 20 && store.usage().0 > 4 << 20);
        drop(held);
        // The state of the last sync is a snapshot too.
        store.sync().unwrap();
        assert!(!store.is_held());
        assert_eq!(store.room(), Room::Plenty);
        write(&store, 0..10, 3_000).unwrap();
    }

    #[test]
    fn a_transaction_that_is_too_large_is_read_to_its_end_and_not_committed() {
        let (_folder, store) = temporary(1 << 24);
        write(&store, 0..10, 10).unwrap();
        let mut tx = store.begin().unwrap();
        tx.limit_writes(20);
        let setting = Setting { value: "x".repeat(10), created_at: 0, updated_at: 0 };
        for user in 10..30 {
            tx.put(SETTINGS, (UserId(user), "key"), &setting);
        }
        assert!(tx.error().is_none() && tx.is_half_spent());
        tx.put(SETTINGS, (UserId(30), "key"), &setting);
        assert_eq!(tx.error(), Some(&WriteError::Full));
        assert!(tx.get(SETTINGS, (UserId(30), "key")).is_some(), "the command at work goes on");
        assert_eq!(tx.delete_prefix(SETTINGS, (), 5), 5);
        assert!(tx.delete(SETTINGS, (UserId(5), "key")) && !tx.delete(SETTINGS, (UserId(5), "key")));
        assert_eq!(tx.commit(), Err(WriteError::Full));
        assert_eq!(store.snapshot().read().len(SETTINGS), 10);
        write(&store, 10..20, 10).unwrap();
    }

    #[test]
    fn budgets() {
        let mut budget = Budget::new(14, 3);
        assert!(budget.charge(100) && !budget.is_half_spent(), "{budget:?}");
        assert!(budget.charge(30_000) && budget.is_half_spent(), "{budget:?}");
        assert!(!budget.charge(30_000), "{budget:?}");
    }

    #[test]
    fn the_disk_is_told() {
        let (_folder, store) = temporary(1 << 24);
        let disk = store.disk();
        assert!(disk.free > 0 && disk.free <= disk.size, "{disk:?}");
        store.probe().unwrap();
    }
}
