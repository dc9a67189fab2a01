//! Before LMDB maps a data file: is it there, is it ours, is it whole? And the lock that keeps others away.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use heed::{EnvFlags, EnvOpenOptions};

use super::image::Image;
use super::space::{self, Budget};
use super::synced::{self, SYNCED_FILE};
use super::tables::{META, TABLE_COUNT};
use super::{DATA_FILE, FORMAT, LOCK_FILE, OpenError, Snapshot, create_tables, files, records, table::Tx};

/// Held by the process that has the store open.
const HELD_FILE: &str = "plexichat.lock";
/// A new store until it is whole.
const NEW_FILE: &str = "data.mdb.new";
/// Bytes a new store may take: a page for each table and a few for LMDB.
const NEW_LEN_MAX: usize = 1 << 20;

/// Takes the lock file of a data folder, so that a second server cannot write beside the first.
///
/// It is private: whoever can open a lock file can hold the lock.
pub(super) fn lock(folder: &Path) -> Result<File, OpenError> {
    let name = folder.join(HELD_FILE);
    let file = files::open(&name).and_then(|file| files::make_private(&file, &name).map(|()| file));
    let file =
        file.map_err(|error| OpenError(format!("cannot lock the store: {}", files::explain(&name, &error))))?;
    if try_lock(&file, libc::LOCK_EX) {
        return Ok(file);
    }
    Err(OpenError(format!(
        "the store in {} is in use by another process: stop it, or choose another folder with --data",
        folder.display()
    )))
}

/// Whether a store is being written to.
pub(super) enum Use {
    /// A server has it open.
    Open,
    /// Nobody has, and as long as this is kept, no server of ours will. Backups have no lock file.
    Free(Option<File>),
}

/// Keeps servers away from a folder that is about to be read, if none is there.
pub(super) fn hold(folder: &Path) -> Use {
    match File::open(folder.join(HELD_FILE)) {
        Ok(file) if try_lock(&file, libc::LOCK_SH) => Use::Free(Some(file)),
        Ok(_) => Use::Open,
        Err(_) => Use::Free(None),
    }
}

fn try_lock(file: &File, how: i32) -> bool {
    // SAFETY: flock on a descriptor we own.
    unsafe { libc::flock(file.as_raw_fd(), how | libc::LOCK_NB) == 0 }
}

/// Looks at the data file of a store that is about to be opened for writing, and makes one where there is none.
pub(super) fn prepare(folder: &Path) -> Result<(), OpenError> {
    let data = folder.join(DATA_FILE);
    let fail = |text: String| OpenError(format!("cannot open the store: {text}"));
    match OpenOptions::new().read(true).write(true).open(&data) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            check_leftovers(folder)?;
            return create(folder);
        }
        Err(error) => return Err(fail(files::explain(&data, &error))),
    }
    synced::recover(folder)?;
    check(&data)?;
    for name in [DATA_FILE, LOCK_FILE] {
        let name = folder.join(name);
        files::make_private_at(&name).map_err(|error| fail(files::explain(&name, &error)))?;
        match OpenOptions::new().read(true).write(true).open(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail(files::explain(&name, &error)));
            }
            _ => {}
        }
    }
    Ok(())
}

/// What LMDB would map must be whole: a page that is not in the file kills the process that looks at it.
pub(super) fn check(data: &Path) -> Result<(), OpenError> {
    Image::open(data).and_then(|image| image.check_to_open()).map_err(|error| {
        OpenError(format!(
            "{} is no usable store: {error}. It is left as it is; put a backup in its place with `plexichat \
             restore FOLDER`, or choose another folder with --data",
            data.display()
        ))
    })
}

/// As [`check`], for a store that a server may be writing to: then LMDB has opened it already, and what stands in the
/// pages of a moment ago is of no moment.
pub(super) fn check_to_read(folder: &Path) -> Result<(), OpenError> {
    let data = folder.join(DATA_FILE);
    if folder.join(SYNCED_FILE).exists()
        && let Ok(_held) = lock(folder)
    {
        synced::recover(folder)?;
    }
    match hold(folder) {
        Use::Free(_held) => check(&data),
        Use::Open => Image::open(&data)
            .map(drop)
            .map_err(|error| OpenError(format!("{} cannot be read: {error}", data.display()))),
    }
}

/// A folder that has had a store is not given a new, empty one without a word.
fn check_leftovers(folder: &Path) -> Result<(), OpenError> {
    let fail =
        |error: io::Error| OpenError(format!("cannot open the store: {}", files::explain(folder, &error)));
    for entry in fs::read_dir(folder).map_err(fail)? {
        let name = entry.map_err(fail)?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(DATA_FILE) && !name.starts_with(NEW_FILE) {
            return Err(OpenError(format!(
                "{} has {name}, but no {DATA_FILE}: put a store in place with `plexichat restore`, which takes the \
                 name of such a file too, or move the file away for a new, empty store",
                folder.display()
            )));
        }
    }
    Ok(())
}

/// Makes an empty store under another name and gives it its own when it is whole.
fn create(folder: &Path) -> Result<(), OpenError> {
    let (new, data) = (folder.join(NEW_FILE), folder.join(DATA_FILE));
    let made = create_at(folder, &new).and_then(|()| {
        fs::rename(&new, &data)
            .and_then(|()| files::sync_folder(folder))
            .map_err(|error| files::explain(&data, &error))
    });
    made.map_err(|error| {
        let _ = fs::remove_file(&new);
        OpenError(format!("cannot create a store: {error}"))
    })
}

fn create_at(folder: &Path, new: &Path) -> Result<(), String> {
    // Anew: what an attempt that was interrupted has left is of no use.
    let _ = fs::remove_file(new);
    let file = files::create(new).map_err(|error| files::explain(new, &error))?;
    let of_lmdb = |error: heed::Error| match error {
        heed::Error::Io(error) => files::explain(new, &error),
        error => format!("{}: {error}", new.display()),
    };
    let mut opening = EnvOpenOptions::new().read_txn_without_tls();
    opening.map_size(NEW_LEN_MAX).max_dbs(TABLE_COUNT as u32);
    // SAFETY: the lock file keeps others away, so LMDB needs no lock of its own; nobody knows the file yet.
    let env = unsafe {
        opening.flags(EnvFlags::NO_SUB_DIR | EnvFlags::NO_LOCK);
        opening.open(new)
    }
    .map_err(of_lmdb)?;
    let filled = (|| {
        let databases = create_tables(&env)?;
        let mut tx = Tx::new(env.write_txn()?, databases, None, Budget::of_writes(8));
        tx.put(META, "format", &records::Meta { value: FORMAT });
        Ok((databases, tx.commit()))
    })();
    // LMDB reports a write that was cut short as an I/O error without a reason.
    let full = || match space::advice(folder) {
        "" => format!("{}: it cannot be written, check the disk", new.display()),
        advice => format!("{}{advice}", new.display()),
    };
    let (databases, committed) = filled.map_err(|error: heed::Error| match error {
        heed::Error::Io(io) if io.raw_os_error() == Some(libc::EIO) => full(),
        error => of_lmdb(error),
    })?;
    committed.map_err(|_| full())?;
    let snapshot = Snapshot::new(env.clone().static_read_txn().map_err(of_lmdb)?, databases, None);
    assert!(snapshot.read().contains(META, "format"), "what was committed is there");
    drop(snapshot);
    drop(env);
    file.sync_all().map_err(|error| files::explain(new, &error))?;
    Image::open(new).and_then(|image| image.check_to_open())
}
