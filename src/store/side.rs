//! A second environment beside the store, for what can be made again out of it.
//!
//! Owns: the folder, its one table of bytes by bytes, and finding out before it is mapped that it is damaged.
//! Invariant: it is written by one thread, and every commit is synced, so it is whole after a power cut. Nothing in it is
//! missed: an environment that is damaged is an error for its owner, who makes it anew, never the end of the process.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use heed::types::Bytes;
use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions, RoTxn, RwTxn, WithoutTls};

use super::image::Image;
use super::key::ByteOrder;
use super::map::Map;
use super::readers::ReaderTable;
use super::{DATA_FILE, WriteError, files};

/// Its folder in the data folder: the index of messages.
pub const FOLDER: &str = "search";
/// There while the environment is open: it was not closed in order when it is found.
const OPEN_FILE: &str = "open";
const TABLE: &str = "rows";
/// One that was closed in order is looked through only as far as that takes no time: 64 MiB.
const LOOKED_THROUGH_LEN: u64 = 64 << 20;

type Rows = Database<'static, Bytes, Bytes, ByteOrder>;

/// Why it cannot be read; it is to be made anew.
#[derive(Clone, Debug)]
pub struct Damaged(pub String);

impl From<heed::Error> for Damaged {
    fn from(error: heed::Error) -> Damaged {
        Damaged(error.to_string())
    }
}

/// An open environment.
pub struct Side {
    env: Env<WithoutTls>,
    rows: Rows,
    path: PathBuf,
    map: Option<Map>,
    /// As of the store.
    _readers: ReaderTable,
}

impl Side {
    /// Opens it, and makes it where there is none.
    ///
    /// # Errors
    /// When it is damaged, or cannot be opened.
    pub fn open(path: &Path, map_size: usize, readers_max: u32) -> Result<Side, Damaged> {
        let explain = |error: io::Error| Damaged(files::explain(path, &error));
        files::create_folder(path).map_err(explain)?;
        look_through(path)?;
        files::create(&path.join(OPEN_FILE)).map_err(explain)?;
        let readers = ReaderTable::allocate(path, readers_max).map_err(Damaged)?;
        let mut opening = EnvOpenOptions::new().read_txn_without_tls();
        let present = fs::metadata(path.join(DATA_FILE)).map_or(0, |data| data.len() as usize);
        opening.map_size(map_size.max(present).next_multiple_of(4_096)).max_dbs(1).max_readers(readers_max);
        // SAFETY: the store's lock keeps other processes of ours away, and nothing but LMDB writes to the file.
        let env = unsafe {
            opening.flags(EnvFlags::NO_READ_AHEAD);
            opening.open(path)
        }?;
        env.clear_stale_readers()?;
        readers.fill().map_err(explain)?;
        let tx = env.write_txn()?;
        let created = env.create_databases_and_commit(tx, |opener, tx| {
            let mut options = opener.database_options().types::<Bytes, Bytes>().key_comparator::<ByteOrder>();
            Ok::<_, heed::Error>(CommitOrAbort::<_, ()>::Commit(options.name(TABLE).create(tx)?))
        })?;
        let rows = created.unwrap_commit();
        let map = Map::find(&path.join(DATA_FILE));
        Ok(Side { env, rows, path: path.to_path_buf(), map, _readers: readers })
    }

    /// What is committed by now.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<SideRead, Damaged> {
        Ok(SideRead { tx: self.env.clone().static_read_txn()?, rows: self.rows })
    }

    /// # Errors
    /// When it cannot be written.
    pub fn begin(&self) -> Result<SideTx<'_>, WriteError> {
        Ok(SideTx { tx: self.env.write_txn()?, rows: self.rows })
    }

    /// Bytes of its file.
    pub fn len(&self) -> u64 {
        fs::metadata(self.path.join(DATA_FILE)).map_or(0, |data| data.size())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`super::Store::release`].
    pub fn release(&self) {
        if let Some(map) = &self.map {
            map.release(self.len() as usize);
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join(OPEN_FILE));
    }
}

/// Removes an environment that nobody has open.
///
/// # Errors
/// When the system refuses.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// LMDB believes whatever stands in a file: what may have suffered is looked at before.
fn look_through(path: &Path) -> Result<(), Damaged> {
    let data = path.join(DATA_FILE);
    if !data.exists() {
        return Ok(());
    }
    let image = Image::open(&data).map_err(Damaged)?;
    if image.len < image.meta().file_len() {
        return Err(Damaged("it was cut off".into()));
    }
    if path.join(OPEN_FILE).exists() || image.len <= LOOKED_THROUGH_LEN {
        let report = image.walk();
        if !report.is_sound() {
            return Err(Damaged(report.summary()));
        }
    }
    Ok(())
}

/// A view of one moment.
pub struct SideRead {
    tx: RoTxn<'static, WithoutTls>,
    rows: Rows,
}

type Row<'a> = Option<(&'a [u8], &'a [u8])>;

impl SideRead {
    /// # Errors
    /// When it is damaged.
    pub fn get(&self, key: &[u8]) -> Result<Option<&[u8]>, Damaged> {
        Ok(self.rows.get(&self.tx, key)?)
    }

    /// The first row whose key is not smaller.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn seek(&self, key: &[u8]) -> Result<Row<'_>, Damaged> {
        Ok(self.rows.get_greater_than_or_equal_to(&self.tx, key)?)
    }
}

/// The one write transaction.
pub struct SideTx<'e> {
    tx: RwTxn<'e>,
    rows: Rows,
}

impl SideTx<'_> {
    /// As [`SideRead::seek`].
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn seek(&self, key: &[u8]) -> Result<Row<'_>, WriteError> {
        Ok(self.rows.get_greater_than_or_equal_to(&self.tx, key)?)
    }

    /// # Errors
    /// When it cannot be written.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), WriteError> {
        Ok(self.rows.put(&mut self.tx, key, value)?)
    }

    /// # Errors
    /// When it cannot be written; nothing of it was kept.
    pub fn commit(self) -> Result<(), WriteError> {
        Ok(self.tx.commit()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> Result<Side, Damaged> {
        Side::open(path, 1 << 26, 8)
    }

    fn filled(path: &Path) {
        let side = open(path).unwrap();
        let mut tx = side.begin().unwrap();
        for number in 0..20_000_u64 {
            tx.put(&number.to_be_bytes(), b"value of some length").unwrap();
        }
        tx.commit().unwrap();
        assert_eq!(
            side.read().unwrap().get(&7_u64.to_be_bytes()).unwrap(),
            Some(&b"value of some length"[..])
        );
        let read = side.read().unwrap();
        assert_eq!(read.seek(&[0, 0]).unwrap().map(|(key, _)| key), Some(&[0; 8][..]));
        assert!(read.seek(&[1]).unwrap().is_none());
        assert!(path.join(OPEN_FILE).exists());
    }

    #[test]
    fn what_was_written_is_there_again_and_damage_is_found_before_it_is_mapped() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("side");
        filled(&path);
        assert!(!path.join(OPEN_FILE).exists());
        assert!(open(&path).unwrap().read().unwrap().get(&9_u64.to_be_bytes()).unwrap().is_some());
        let data = path.join(DATA_FILE);
        let sound = fs::read(&data).unwrap();
        let mut random = fastrand::Rng::with_seed(3);
        let mut found = 0;
        for round in 0..60 {
            let mut bytes = sound.clone();
            match round % 3 {
                0 => bytes.truncate(random.usize(..bytes.len())),
                1 => (0..2_000).for_each(|_| {
                    let at = random.usize(..bytes.len());
                    bytes[at] = random.u8(..);
                }),
                _ => bytes.fill(random.u8(..)),
            }
            fs::write(&data, &bytes).unwrap();
            found += usize::from(open(&path).is_err());
        }
        assert!(found >= 55, "{found} of 60");
        remove(&path).unwrap();
        remove(&path).unwrap();
        filled(&path);
    }
}
