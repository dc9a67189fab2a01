//! Hot backup and restore.

use std::fs;
use std::path::Path;

use heed::CompactionOption;

use super::tables::ROWS;
use super::{OpenError, Options, Store, lock};

const DATA_FILE: &str = "data.mdb";

impl Store {
    /// Writes a compact copy of everything committed so far to `folder`, while the server goes on.
    ///
    /// # Errors
    /// When the folder holds a store already, cannot be written, or its disk is full.
    pub fn backup(&self, folder: &Path) -> Result<u64, OpenError> {
        let fail = |error: &dyn std::fmt::Display| {
            OpenError(format!("cannot write the backup to {}: {error}", folder.display()))
        };
        fs::create_dir_all(folder).map_err(|e| fail(&e))?;
        let target = folder.join(DATA_FILE);
        if target.exists() {
            return Err(fail(&"the folder holds a store already; name an empty or new folder"));
        }
        let partial = folder.join("data.mdb.partial");
        let mut file = fs::File::options().create(true).truncate(true).read(true).write(true).open(&partial);
        let file = file.as_mut().map_err(|e| fail(&e))?;
        self.env.copy_to_file(file, CompactionOption::Enabled).map_err(|e| fail(&e))?;
        file.sync_all().map_err(|e| fail(&e))?;
        fs::rename(&partial, &target).map_err(|e| fail(&e))?;
        sync_folder(folder).map_err(|e| fail(&e))?;
        Ok(fs::metadata(&target).map_err(|e| fail(&e))?.len())
    }

    /// Checks every value of the store; bytes that come from outside are not trusted.
    ///
    /// # Errors
    /// Names the first table with a value that is no record of it.
    pub fn verify(&self) -> Result<u64, OpenError> {
        let snapshot = self.snapshot();
        let mut count = 0;
        for (index, row) in ROWS.iter().enumerate() {
            for (_, value) in snapshot.read().raw(index) {
                if !(row.valid)(value) {
                    return Err(OpenError(format!("table {} holds a damaged record", row.name)));
                }
                count += 1;
            }
        }
        Ok(count)
    }
}

/// Puts a backup in the place of the store at `options.path`. Returns the number of records.
///
/// The present store is kept beside it as `data.mdb.before-restore`; the server must not run.
///
/// # Errors
/// When a server uses the store, the backup is missing or damaged, or a file cannot be written.
pub fn restore(backup: &Path, options: &Options) -> Result<u64, OpenError> {
    let fail = |error: &dyn std::fmt::Display| {
        OpenError(format!("cannot restore {} to {}: {error}", backup.display(), options.path.display()))
    };
    let source = backup.join(DATA_FILE);
    if !source.is_file() {
        return Err(fail(&format!(
            "{DATA_FILE} is missing there; name the folder that `plexichat backup` wrote"
        )));
    }
    fs::create_dir_all(&options.path).map_err(|e| fail(&e))?;
    let held = lock(&options.path)?;
    let target = options.path.join(DATA_FILE);
    let partial = options.path.join("data.mdb.partial");
    let previous = options.path.join("data.mdb.before-restore");
    fs::copy(&source, &partial).map_err(|e| fail(&e))?;
    fs::File::open(&partial).and_then(|file| file.sync_all()).map_err(|e| fail(&e))?;
    if target.exists() {
        fs::rename(&target, &previous).map_err(|e| fail(&e))?;
    }
    fs::rename(&partial, &target).map_err(|e| fail(&e))?;
    let _ = fs::remove_file(options.path.join("lock.mdb"));
    sync_folder(&options.path).map_err(|e| fail(&e))?;
    drop(held);
    let verified = Store::open(options).and_then(|store| store.verify());
    if verified.is_err() && previous.exists() {
        fs::rename(&previous, &target).map_err(|e| fail(&e))?;
    }
    verified.map_err(|e| fail(&e))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::records::Meta;
    use super::super::tables::META;
    use super::super::{Sync, tests::temporary};
    use super::*;

    fn options(path: &Path) -> Options {
        Options { path: path.to_path_buf(), map_size: 1 << 24, sync: Sync::Always, readers_max: 8 }
    }

    #[test]
    fn a_backup_of_a_running_store_restores() {
        let (_folder, store) = temporary(1 << 24);
        let mut tx = store.begin().unwrap();
        tx.put(META, "kept", &Meta { value: 5 });
        tx.commit().unwrap();
        let place = tempfile::tempdir().unwrap();
        let copy = place.path().join("copy");
        store.backup(&copy).unwrap();
        assert!(store.backup(&copy).unwrap_err().to_string().contains("holds a store already"));
        let target = options(&place.path().join("target"));
        assert_eq!(restore(&copy, &target).unwrap(), 2);
        let restored = Store::open(&target).unwrap();
        assert_eq!(restored.snapshot().read().get(META, "kept").unwrap().value.to_native(), 5);
    }

    #[test]
    fn a_damaged_backup_is_refused_and_the_store_stays() {
        let place = tempfile::tempdir().unwrap();
        let target = options(&place.path().join("target"));
        let store = Store::open(&target).unwrap();
        let mut tx = store.begin().unwrap();
        tx.put(META, "mine", &Meta { value: 7 });
        tx.commit().unwrap();
        let error = restore(place.path(), &target).unwrap_err().to_string();
        assert!(error.contains("is missing there"), "{error}");
        let bad = place.path().join("bad");
        fs::create_dir_all(&bad).unwrap();
        fs::write(bad.join(DATA_FILE), vec![7u8; 8_192]).unwrap();
        let error = restore(&bad, &target).unwrap_err().to_string();
        assert!(error.contains("in use by another process"), "{error}");
        drop(store);
        restore(&bad, &target).unwrap_err();
        let store = Store::open(&target).unwrap();
        assert_eq!(store.snapshot().read().get(META, "mine").unwrap().value.to_native(), 7);
    }
}
