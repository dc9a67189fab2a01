//! Who reads the store: the reader table in LMDB's lock file, which all processes that have the store open share.
//!
//! Invariant: the file is on disk as a whole before LMDB maps it. LMDB makes it sparse, and a page of a mapping that
//! the disk has no room for ends the process with SIGBUS.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{LOCK_FILE, Store, files};

/// mdb.c, `MDB_reader`: transaction id, process, thread, in a cache line of its own.
const ENTRY_LEN: usize = 64;
/// mdb.c, `MDB_txninfo`: magic, format, last transaction and number of readers before the mutex of the table, in
/// cache lines of their own, then those of the writers' mutex.
const HEADER_LEN: usize =
    (24 + MUTEX_LEN).next_multiple_of(ENTRY_LEN) + MUTEX_LEN.next_multiple_of(ENTRY_LEN);
const MUTEX_LEN: usize = size_of::<libc::pthread_mutex_t>();
/// mdb.c, `mtb_numreaders`.
const COUNT_AT: u64 = 16;

/// A snapshot that some process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    pub process: u32,
    /// The transaction whose state it sees.
    pub seen: u64,
}

/// LMDB's lock file. Keep it as long as the environment: when a process closes any descriptor of a file, it loses
/// its locks on it.
pub(super) struct ReaderTable {
    /// None on a disk that cannot be written to: LMDB does without, as nobody can write to the store.
    file: Option<File>,
}

impl ReaderTable {
    /// Opens the lock file of a folder, or makes it for `readers_max` snapshots, and gives it room on the disk.
    ///
    /// # Errors
    /// When it cannot be opened or the disk is full; with its name.
    pub fn allocate(folder: &Path, readers_max: u32) -> Result<ReaderTable, String> {
        let path = folder.join(LOCK_FILE);
        let len_min = HEADER_LEN + readers_max as usize * ENTRY_LEN;
        let file = match files::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => None,
            file => Some(file.map_err(|error| files::explain(&path, &error))?),
        };
        if let Some(file) = &file {
            // Made as root, it would keep the server's user out. A reader may not be its owner.
            let _ = files::make_private(file, &path);
        }
        let table = ReaderTable { file };
        table.reserve(len_min).map_err(|error| files::explain(&path, &error))?;
        Ok(table)
    }

    /// Gives room to what LMDB has added.
    pub fn fill(&self) -> io::Result<()> {
        self.reserve(0)
    }

    /// Gives room to all of the file, or makes a new one so long. One that is in use keeps its length, which the
    /// others have mapped.
    fn reserve(&self, new_len: usize) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let old_len = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let len = if old_len == 0 { new_len } else { old_len };
        // SAFETY: a plain system call on a descriptor of ours; what the file holds stays.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len as libc::off_t) } == 0 {
            return Ok(());
        }
        match io::Error::last_os_error() {
            error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                file.write_all_at(&vec![0; len - old_len], old_len as u64)
            }
            error => Err(error),
        }
    }

    /// Snapshots that are open, of all processes.
    pub fn list(&self) -> io::Result<Vec<Reader>> {
        let Some(file) = &self.file else { return Ok(Vec::new()) };
        let mut count = [0; 4];
        file.read_exact_at(&mut count, COUNT_AT)?;
        let mut entries = vec![0; u32::from_ne_bytes(count) as usize * ENTRY_LEN];
        let len = file.read_at(&mut entries, HEADER_LEN as u64)?;
        Ok(entries[..len].chunks_exact(ENTRY_LEN).filter_map(reader).collect())
    }
}

fn reader(entry: &[u8]) -> Option<Reader> {
    let seen = u64::from_ne_bytes(entry[..8].try_into().expect("eight bytes"));
    let process = u32::from_ne_bytes(entry[8..12].try_into().expect("four bytes"));
    // A slot that is free, or kept by its process without a transaction.
    (process != 0 && seen != u64::MAX).then_some(Reader { process, seen })
}

/// Snapshots of all processes that have the store open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderCounts {
    /// That are open.
    pub open: u64,
    /// That have been open at once, as long as somebody has had the store open.
    pub most: u64,
    /// That may be.
    pub max: u64,
}

impl Store {
    /// How many snapshots there are. Reads a file.
    pub fn reader_counts(&self) -> ReaderCounts {
        let info = self.env.info();
        ReaderCounts {
            open: self.readers.list().map_or(0, |readers| readers.len() as u64),
            most: info.number_of_readers.into(),
            max: info.maximum_number_of_readers.into(),
        }
    }

    /// Frees the snapshots of processes that have ended without doing so, and returns how many there were. They would
    /// keep every later page from being used again.
    pub fn clear_stale_readers(&self) -> usize {
        self.env.clear_stale_readers().unwrap_or(0)
    }

    /// The oldest snapshot, when changes have been committed since. `None` also when the table cannot be read.
    pub fn oldest_reader(&self) -> Option<Reader> {
        let last = self.env.info().last_txn_id as u64;
        let readers = self.readers.list().unwrap_or_default();
        readers.into_iter().filter(|reader| reader.seen < last).min_by_key(|reader| reader.seen)
    }

    /// The number of the last committed transaction.
    pub fn last_transaction(&self) -> u64 {
        self.env.info().last_txn_id as u64
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::super::records::Meta;
    use super::super::tables::META;
    use super::super::tests::temporary;
    use super::*;

    fn put(store: &Store, value: u64) {
        let mut tx = store.begin().unwrap();
        tx.put(META, "x", &Meta { value });
        tx.commit().unwrap();
    }

    #[test]
    fn the_oldest_snapshot_is_known_as_long_as_it_is_open() {
        let (_folder, store) = temporary(1 << 24);
        assert_eq!(store.oldest_reader(), None);
        let (first, seen) = (store.snapshot(), store.last_transaction());
        assert_eq!(store.oldest_reader(), None, "nothing came after it");
        put(&store, 1);
        let second = store.snapshot();
        // And that of the last sync.
        assert_eq!(store.reader_counts(), ReaderCounts { open: 3, most: 3, max: 1_024 });
        put(&store, 2);
        let reader = Reader { process: std::process::id(), seen };
        assert_eq!(store.oldest_reader(), Some(reader));
        drop(first);
        assert_eq!(store.oldest_reader(), Some(reader), "the last sync");
        store.sync().unwrap();
        assert_eq!(store.oldest_reader(), Some(Reader { seen: seen + 1, ..reader }));
        drop(second);
        assert_eq!(store.oldest_reader(), None);
        assert_eq!(store.clear_stale_readers(), 0);
    }

    #[test]
    fn the_lock_file_has_its_room_from_the_start() {
        let (folder, store) = temporary(1 << 24);
        let lock = folder.path().join("lock.mdb").metadata().unwrap();
        assert!(lock.len() >= 1_024 * ENTRY_LEN as u64);
        assert!(lock.blocks() * 512 >= lock.len(), "{} of {}", lock.blocks() * 512, lock.len());
        drop(store);
        // As an earlier version left it.
        let sparse = File::options().write(true).open(folder.path().join("lock.mdb")).unwrap();
        sparse.set_len(0).unwrap();
        sparse.set_len(1 << 20).unwrap();
        let table = ReaderTable::allocate(folder.path(), 8).unwrap();
        let lock = table.file.unwrap().metadata().unwrap();
        assert!(lock.len() == 1 << 20 && lock.blocks() * 512 >= lock.len());
    }
}
