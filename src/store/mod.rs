//! Durable state: one LMDB environment, typed tables, versioned records.
//!
//! Owns: the bytes on disk and their format. Only this folder names `heed` and `rkyv`'s record bytes.
//! Invariant: no rules, no JSON, nothing asynchronous. One process has the store open (a lock file says so),
//! one thread writes, any thread reads through a [`Snapshot`].

pub mod admins;
mod asked;
mod backup;
pub mod blobs;
pub mod closing;
mod codes;
mod crc;
mod damage;
pub mod earlier;
mod files;
pub mod hashes;
pub mod hex;
mod image;
pub mod key;
pub mod keyring;
mod map;
mod opened;
pub mod owners;
pub mod plain_file;
mod position;
mod readers;
pub mod records;
mod report;
pub mod running;
pub mod sealed;
mod sealing;
pub mod side;
mod space;
mod start;
mod sum;
mod synced;
mod table;
pub mod tables;
mod upgrade;
pub mod uploads;
mod verify;
mod walk;
mod written;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use heed::types::Bytes;
use heed::{CommitOrAbort, Env, EnvFlags, EnvOpenOptions, WithoutTls};

pub use backup::{Restored, restore};
use blobs::Blobs;
pub use damage::{is_damaged, take_damage};
pub use files::{create_folder, folder_of, replace as replace_file};
use key::ByteOrder;
pub use key::Key;
use map::Map;
pub use position::{Outrun, Position, digest};
use readers::ReaderTable;
pub use readers::{Reader, ReaderCounts};
use sealing::Seal;
pub use space::{Disk, Room, advice as space_advice};
use space::{Pin, RESERVE};
use start::lock;
use synced::Synced;
use table::Databases;
pub use table::{Read, Record, Scan, Snapshot, Table, Tx, decode_record, encode_record};
use tables::{META, ROWS, TABLE_COUNT};
pub use verify::{Verified, verify};
pub use written::{WriteError, Written};

/// Version of the whole format: which tables exist and how keys and records are spelled.
/// A store of an older version is migrated when it is opened, one of a newer version is refused.
pub const FORMAT: u64 = 1;

/// LMDB's files in a data folder.
pub const DATA_FILE: &str = "data.mdb";
const LOCK_FILE: &str = "lock.mdb";

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// On disk: every commit is followed by an fsync.
    Always,
    /// Handed to the kernel: [`Store::sync`] is called at intervals; a power cut loses what came since, and leaves
    /// the state of the last one whole.
    Interval,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    pub path: PathBuf,
    /// Bytes of records and indexes up to which the store grows, see [`Room`]. Address space, not memory or disk:
    /// set it generously.
    pub map_size: usize,
    pub sync: Sync,
    /// Snapshots that may be open at once.
    pub readers_max: u32,
}

/// Why a store could not be opened, with what to do about it.
#[derive(Debug)]
pub struct OpenError(String);

impl std::fmt::Display for OpenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for OpenError {}

/// An open store. Cheap to share behind an `Arc`.
pub struct Store {
    env: Env<WithoutTls>,
    databases: Databases,
    path: PathBuf,
    map_size: usize,
    /// The data file in memory.
    map: Option<Map>,
    /// Outlives the environment: closing any descriptor of LMDB's lock file would drop the locks on it.
    readers: ReaderTable,
    /// The snapshot that keeps pages from being used again, as [`Store::room`] has seen it.
    pin: Pin,
    /// The last sync, with [`Sync::Interval`].
    synced: Mutex<Option<Synced>>,
    /// Files beside the records.
    blobs: Arc<dyn Blobs>,
    /// Written when the store is unlocked and when there is a new key.
    seal: RwLock<Seal>,
    /// Held as long as the store is open.
    _lock: File,
}

impl Store {
    /// Opens the store, creating folder and tables when they are missing.
    ///
    /// # Errors
    /// Folder not writable, opened by another process, newer format, map too large for the address space; a data
    /// file that is cut, empty or of something else.
    pub fn open(options: &Options) -> Result<Store, OpenError> {
        let path = &options.path;
        let fail = |what: &str, error: &dyn std::fmt::Display| {
            OpenError(format!("cannot {what} the store in {}: {error}", path.display()))
        };
        let explain = |what: &str, error: &dyn std::fmt::Display| {
            fail(what, &format!("{error}{}", space::advice(path)))
        };
        files::create_folder(path).map_err(|e| fail("create", &files::explain(path, &e)))?;
        let lock = lock(path)?;
        start::prepare(path)?;
        // Random access is the rule: read-ahead would only evict pages that are needed.
        let mut flags = EnvFlags::NO_READ_AHEAD;
        if options.sync == Sync::Interval {
            flags |= EnvFlags::NO_SYNC;
        }
        // SAFETY: the lock file keeps other processes of ours away from the map, and with NO_SYNC the state of the
        // last sync is kept whole, see `synced`.
        let (env, readers) = unsafe { environment(options, flags) }.map_err(|e| fail("open", &e))?;
        // A process that was killed while a backup kept the reader table alive has left its snapshots in it.
        env.clear_stale_readers().map_err(|e| explain("open", &e))?;
        let databases = create_tables(&env).map_err(|e| explain("create the tables of", &e))?;
        let map = Map::find(&path.join(DATA_FILE));
        let (path, map_size, pin) = (path.clone(), options.map_size, Pin::default());
        let synced = Mutex::default();
        let (blobs, seal) = (Arc::new(blobs::Folder::new(&path)), RwLock::default());
        let mut store =
            Store { env, databases, path, map_size, map, readers, pin, synced, blobs, seal, _lock: lock };
        store.check_format()?;
        if options.sync == Sync::Interval {
            let begun = store.sync().and_then(|()| Synced::begin(&store.path, store.snapshot()));
            store.synced = Mutex::new(Some(begun.map_err(|e| explain("sync", &e))?));
        }
        Ok(store)
    }

    /// Opens the store beside a running server, for reading: backups. Nothing can be written through it.
    ///
    /// # Errors
    /// When there is no store, or it has another format.
    pub fn open_to_read(options: &Options) -> Result<Store, OpenError> {
        let path = &options.path;
        let explain = |error: &dyn std::fmt::Display| {
            OpenError(format!("cannot read the store in {}: {error}", path.display()))
        };
        let data = path.join(DATA_FILE);
        let no_lock = match File::open(&data) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(explain(&"there is none; name its folder with --data"));
            }
            Err(error) => return Err(explain(&files::explain(&data, &error))),
        };
        start::check_to_read(path)?;
        let flags = EnvFlags::READ_ONLY | EnvFlags::NO_READ_AHEAD;
        // SAFETY: a read-only map; LMDB's own reader table coordinates with the writing process.
        let (env, readers) = unsafe { environment(options, flags) }.map_err(|e| explain(&e))?;
        let databases = open_tables(&env).map_err(|e| explain(&e))?;
        let (path, map_size, pin) = (path.clone(), options.map_size, Pin::default());
        let synced = Mutex::default();
        let (blobs, seal) = (Arc::new(blobs::Folder::new(&path)), RwLock::default());
        let store = Store {
            env,
            databases,
            path,
            map_size,
            map: None,
            readers,
            pin,
            synced,
            blobs,
            seal,
            _lock: no_lock,
        };
        let format = store.snapshot().read().get(META, "format").map(|meta| meta.value.to_native());
        if format == Some(FORMAT) { Ok(store) } else { Err(explain(&"it has another format")) }
    }

    /// Has files of clients kept elsewhere than in a folder beside the store, or with keys.
    pub fn keep_blobs_in(&mut self, blobs: Arc<dyn Blobs>) {
        self.blobs = blobs;
    }

    /// Files of clients, beside the records that name them.
    pub fn blobs(&self) -> Arc<dyn Blobs> {
        self.blobs.clone()
    }

    /// A view of everything committed so far.
    pub fn snapshot(&self) -> Snapshot {
        let tx = self.env.clone().static_read_txn().unwrap_or_else(|error| self.unreadable(&error));
        Snapshot::new(tx, self.databases, self.seal())
    }

    fn seal(&self) -> Seal {
        self.seal.read().expect("nobody panics while holding it").clone()
    }

    fn seal_with(&self, seal: Seal) {
        *self.seal.write().expect("nobody panics while holding it") = seal;
    }

    /// Whether records of sealed tables are sealed when they are written.
    fn seals(&self) -> bool {
        self.seal().is_some_and(|sealer| sealer.seals())
    }

    #[cold]
    fn unreadable(&self, error: &heed::Error) -> ! {
        let path = self.path.display();
        match error {
            heed::Error::Mdb(heed::MdbError::ReadersFull) => {
                panic!("more snapshots of the store in {path} are open than `readers_max` allows")
            }
            // LMDB trusts nothing any more after a meta page could not be written.
            heed::Error::Mdb(heed::MdbError::Panic) => panic!(
                "the disk has refused a write to {path}/{DATA_FILE} that makes a change count, so what is in \
                 memory may not be what is on disk: check the disk (dmesg) and start again; what was answered \
                 with success is there"
            ),
            error => panic!(
                "the store in {path} cannot be read ({error}): check the disk (dmesg), then `plexichat verify`"
            ),
        }
    }

    /// Begins the write transaction. There is one writer thread; a second caller would wait.
    ///
    /// # Errors
    /// When the environment cannot be written at all.
    pub fn begin(&self) -> Result<Tx<'_>, WriteError> {
        Ok(Tx::new(self.env.write_txn()?, self.databases, self.seal(), self.budget()))
    }

    /// Flushes what `Sync::Interval` has left to the kernel.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> io::Result<()> {
        let mut synced = self.synced.lock().expect("nobody panics while holding it");
        let snapshot = synced.is_some().then(|| self.snapshot());
        self.env.force_sync().map_err(io::Error::other)?;
        match (&mut *synced, snapshot) {
            (Some(synced), Some(snapshot)) => synced.advance(&self.path, snapshot),
            _ => Ok(()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lets go of pages of the data file that this process has mapped in, 64 MiB per call in turn. They stay in the
    /// kernel's page cache, and those in use come back by themselves. Call it every few seconds.
    pub fn release(&self) {
        if let Some(map) = &self.map {
            map.release(self.usage().0 as usize);
        }
    }

    fn check_format(&self) -> Result<(), OpenError> {
        let found = self.snapshot().read().get(META, "format").map(|meta| meta.value.to_native());
        match found {
            Some(FORMAT) => Ok(()),
            None => {
                let mut tx = self.begin().map_err(|e| self.unusable(&e.to_string()))?;
                tx.put(META, "format", &records::Meta { value: FORMAT });
                tx.commit().map_err(|e| self.unusable(&e.to_string()))
            }
            Some(newer) => Err(OpenError(format!(
                "the store in {} has format {newer}, this version reads format {FORMAT}: start the version that \
                 wrote it, or restore a backup that this version made",
                self.path.display()
            ))),
        }
    }

    fn unusable(&self, error: &str) -> OpenError {
        let advice = space::advice(&self.path);
        OpenError(format!("cannot write to the store in {}: {error}{advice}", self.path.display()))
    }
}

impl Drop for Store {
    /// A store that is closed is whole on disk and needs no note of an earlier state.
    fn drop(&mut self) {
        let Ok(Some(synced)) = self.synced.get_mut().map(Option::take) else { return };
        if let Err(error) =
            self.env.force_sync().map_err(io::Error::other).and_then(|()| synced.end(&self.path))
        {
            tracing::error!(%error, "the store could not be synced to disk when it was closed");
        }
    }
}

fn create_tables(env: &Env<WithoutTls>) -> Result<Databases, heed::Error> {
    let tx = env.write_txn()?;
    let created = env.create_databases_and_commit(tx, |opener, tx| {
        let mut databases = Vec::with_capacity(TABLE_COUNT);
        for row in ROWS {
            let mut options = opener.database_options().types::<Bytes, Bytes>().key_comparator::<ByteOrder>();
            databases.push(options.name(row.name).create(tx)?);
        }
        let databases: [_; TABLE_COUNT] = databases.try_into().expect("one database per row");
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(databases))
    })?;
    Ok(created.unwrap_commit())
}

fn open_tables(env: &Env<WithoutTls>) -> Result<Databases, heed::Error> {
    let tx = env.read_txn()?;
    let opened = env.open_databases_and_commit(tx, |opener, tx| {
        let mut databases = Vec::with_capacity(TABLE_COUNT);
        for row in ROWS {
            let mut options = opener.database_options().types::<Bytes, Bytes>().key_comparator::<ByteOrder>();
            let database = options.name(row.name).open(tx)?;
            databases.push(database.ok_or(heed::Error::Mdb(heed::MdbError::NotFound))?);
        }
        let databases: [_; TABLE_COUNT] = databases.try_into().expect("one database per row");
        Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(databases))
    })?;
    Ok(opened.unwrap_commit())
}

/// LMDB's environment, and the table of its readers, both with their room on the disk.
///
/// # Safety
/// As [`EnvOpenOptions::open`] and the flags say: nothing but LMDB writes to the file, and nothing undoes its writes.
unsafe fn environment(options: &Options, flags: EnvFlags) -> Result<(Env<WithoutTls>, ReaderTable), String> {
    let mut opening = EnvOpenOptions::new().read_txn_without_tls();
    opening.map_size(address_space(options)).max_dbs(TABLE_COUNT as u32).max_readers(options.readers_max);
    let readers = ReaderTable::allocate(&options.path, options.readers_max)?;
    // SAFETY: the caller's promise.
    let env = unsafe {
        opening.flags(flags);
        opening.open(&options.path)
    }
    .map_err(|error| format!("{error}{}", space::advice(&options.path)))?;
    readers.fill().map_err(|error| files::explain(&options.path.join(LOCK_FILE), &error))?;
    Ok((env, readers))
}

/// LMDB wants a multiple of the page size. A file that a larger `map_size` has let grow keeps its reserve.
fn address_space(options: &Options) -> usize {
    const PAGE_LEN: usize = 4_096;
    let file = std::fs::metadata(options.path.join(DATA_FILE)).map_or(0, |data| data.len() as usize);
    (options.map_size.max(file) + RESERVE).next_multiple_of(PAGE_LEN)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::records::Meta;
    use super::*;

    pub(crate) fn temporary(map_size: usize) -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let options =
            Options { path: folder.path().to_path_buf(), map_size, sync: Sync::Interval, readers_max: 1_024 };
        let store = Store::open(&options).unwrap();
        (folder, store)
    }

    #[test]
    fn a_second_opening_is_refused_and_the_first_goes_on() {
        let (folder, store) = temporary(1 << 24);
        let options = Options {
            path: folder.path().to_path_buf(),
            map_size: 1 << 24,
            sync: Sync::Always,
            readers_max: 8,
        };
        let error = Store::open(&options).err().unwrap().to_string();
        assert!(error.contains("in use by another process"), "{error}");
        assert!(store.snapshot().read().contains(META, "format"));
    }

    #[test]
    fn a_newer_format_is_refused_with_advice() {
        let (folder, store) = temporary(1 << 24);
        let mut tx = store.begin().unwrap();
        tx.put(META, "format", &Meta { value: FORMAT + 1 });
        tx.commit().unwrap();
        drop(store);
        let options = Options {
            path: folder.path().to_path_buf(),
            map_size: 1 << 24,
            sync: Sync::Always,
            readers_max: 8,
        };
        let error = Store::open(&options).err().unwrap().to_string();
        assert!(error.contains("has format 2"), "{error}");
    }

    #[test]
    fn a_value_is_not_read_as_one_of_another_version() {
        let (_folder, store) = temporary(1 << 24);
        let mut tx = store.begin().unwrap();
        tx.put(tables::USERS, crate::id::UserId(1), &records::User::default());
        tx.commit().unwrap();
        let snapshot = store.snapshot();
        let (key, value) = snapshot.read().raw(tables::USERS.index).next().unwrap();
        let check = |value: &[u8]| (ROWS[tables::USERS.index].check)(key, value);
        assert_eq!(check(value), Ok(true));
        for first in (0..=u8::MAX).filter(|first| *first != value[0] && first & 0x80 != 0) {
            let other = [&[first], &value[1..]].concat();
            assert!(check(&other).is_err(), "{first:#x}");
        }
    }

    #[test]
    fn snapshots_stay_as_they_are_and_scans_keep_to_their_prefix() {
        let (_folder, store) = temporary(1 << 24);
        let before = store.snapshot();
        let mut tx = store.begin().unwrap();
        for name in ["a", "b", "ba", "bb", "c"] {
            tx.put(META, name, &Meta { value: name.len() as u64 });
        }
        tx.commit().unwrap();
        assert!(!before.read().contains(META, "a"));
        let after = store.snapshot();
        let names = |scan: Scan<'_, &str, Meta>| scan.map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(after.read().scan(META, "b")), ["b", "ba", "bb"]);
        assert_eq!(names(after.read().scan(META, ())), ["a", "b", "ba", "bb", "c", "format"]);
        assert_eq!(names(after.read().scan_rev(META, ())), ["format", "c", "bb", "ba", "b", "a"]);
        assert_eq!(names(after.read().scan_rev(META, "b")), ["bb", "ba", "b"]);
        assert_eq!(names(after.read().scan(META, ())), ["a", "b", "ba", "bb", "c", "format"]);
        assert_eq!(names(after.read().scan_rev(META, ())), ["format", "c", "bb", "ba", "b", "a"]);
        assert_eq!(store.begin().unwrap().delete_prefix(META, (), 2), 2);
        assert_eq!(names(after.read().scan_after(META, "b", "ba")), ["bb"]);
        assert_eq!(names(after.read().scan_rev_before(META, "b", "bb")), ["ba", "b"]);
        assert_eq!(names(after.read().scan_rev_before(META, "b", "a")), [""; 0]);
        assert_eq!(names(after.read().scan_rev_before(META, "b", "zz")), ["bb", "ba", "b"]);
    }
}
