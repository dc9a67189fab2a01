//! Hot backup and restore.
//!
//! A backup is `data.mdb`, `data.mdb.sha256` and `server.keys`; the first gets its name last, when it is whole and was
//! verified. Beside them is the folder of blobs: those are copied before the data file, and once more after it, since a
//! server that runs may add some meanwhile; it removes none that is younger than an hour.
//!
//! A restore copies beside the store, verifies the copy, adds blobs and keys to those that are there, and then swaps by
//! rename: whenever it is killed, the store is the old one or the new one, and has what belongs to it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use heed::CompactionOption;

use super::blobs::{self, BLOBS_FOLDER, copy_missing};
use super::files::data_file;
use super::image::Image;
use super::keyring::{KEYS_FILE, KEYS_PARTIAL_FILE, add_keys};
use super::report::Report;
use super::start::{Use, hold, lock};
use super::sum::{SUM_FILE, copy_and_sum, expected_sum, sum_line, sum_of};
use super::synced::{self, SYNCED_FILE};
use super::{DATA_FILE, FORMAT, LOCK_FILE, OpenError, Options, Store, files, side};

/// Copies that are not whole yet.
const PARTIAL_FILE: &str = "data.mdb.partial";
/// The store that a restore has replaced; the second is `.2`, and so on.
const PREVIOUS_FILE: &str = "data.mdb.before-restore";

impl Store {
    /// Writes a compact copy of everything committed so far to `folder`, while the server goes on, and beside it a
    /// checksum file for `sha256sum -c`. Returns the length of the copy in bytes.
    ///
    /// # Errors
    /// When the folder is not empty, cannot be written, or its disk is full; when the store is damaged: a copy of it
    /// would take the place of a sound one.
    pub fn backup(&self, folder: &Path) -> Result<u64, OpenError> {
        let fail =
            |error: String| OpenError(format!("cannot write the backup to {}: {error}", folder.display()));
        let created = files::create_folder(folder).map_err(|error| fail(files::explain(folder, &error)))?;
        check_empty(folder).map_err(fail)?;
        let partial = folder.join(PARTIAL_FILE);
        let copied = |error: io::Error| fail(files::explain(&folder.join(BLOBS_FOLDER), &error));
        let written = self.verify().and_then(|_| {
            let blobs = copy_missing(&self.path, folder).map_err(copied)?;
            Ok(blobs + self.copy(folder, &partial).map_err(fail)?)
        });
        if written.is_err() {
            for file in [&partial, &folder.join(SUM_FILE), &folder.join(KEYS_FILE)] {
                let _ = fs::remove_file(file);
            }
            let _ = fs::remove_dir_all(folder.join(BLOBS_FOLDER));
            if created {
                let _ = fs::remove_dir(folder);
            }
        }
        written
    }

    fn copy(&self, folder: &Path, partial: &Path) -> Result<u64, String> {
        let at = |path: &Path| {
            let path = path.to_path_buf();
            move |error: io::Error| files::explain(&path, &error)
        };
        let mut file = files::create(partial).map_err(at(partial))?;
        self.env.copy_to_file(&mut file, CompactionOption::Enabled).map_err(|error| match error {
            heed::Error::Io(error) => files::explain(partial, &error),
            error => error.to_string(),
        })?;
        file.sync_all().map_err(at(partial))?;
        let report = Image::open(partial)?.walk();
        if !report.is_sound() {
            return Err(format!("the copy is damaged, is the disk all right? {}", report.summary()));
        }
        let (sums, target) = (folder.join(SUM_FILE), folder.join(DATA_FILE));
        // Before the copy has its name: a backup is none without the files that came meanwhile, nor without the keys of
        // what is sealed in it.
        let blobs = folder.join(BLOBS_FOLDER);
        let added = copy_missing(&self.path, folder).map_err(at(&blobs))?;
        add_keys(self.path(), folder)?;
        let sum = sum_of(partial).map_err(at(partial))?;
        let mut sum_file = files::create(&sums).map_err(at(&sums))?;
        sum_file.write_all(sum_line(&sum).as_bytes()).map_err(at(&sums))?;
        sum_file.sync_all().map_err(at(&sums))?;
        fs::rename(partial, &target).map_err(at(&target))?;
        files::sync_folder(folder).map_err(at(folder))?;
        file.metadata().map(|data| data.len() + added).map_err(at(&target))
    }
}

/// A backup goes into an empty folder; what one that was interrupted has left may be there.
fn check_empty(folder: &Path) -> Result<(), String> {
    let names = fs::read_dir(folder).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()
    });
    for name in names.map_err(|error| files::explain(folder, &error))? {
        let is_part = name == SUM_FILE || name == KEYS_FILE || name == BLOBS_FOLDER;
        let is_partial = name == PARTIAL_FILE || name == KEYS_PARTIAL_FILE;
        let leftover = is_partial || is_part && !folder.join(DATA_FILE).exists();
        if !leftover {
            let found = name.to_string_lossy();
            let what = if folder.join(DATA_FILE).exists() { "holds a store already" } else { "is not empty" };
            return Err(format!("the folder {what} ({found}); name a new or empty folder"));
        }
    }
    Ok(())
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    pub records: u64,
    /// Where the store that was there is now.
    pub previous: Option<PathBuf>,
    /// Whether a checksum file was there to compare with.
    pub compared: bool,
    /// What is wrong with blobs that records name, one line each: they are missing, or damaged.
    pub missing: Vec<String>,
}

/// Puts a backup in the place of the store at `options.path`. `backup` is a folder, or a data file: a store that was
/// kept by an earlier restore comes back by its file name.
///
/// The copy is verified before anything is changed, and the present store is kept beside it; the server must not run.
///
/// # Errors
/// When a server uses the store, the backup is missing, damaged or the store itself, or a file cannot be written. The
/// store is then as it was.
pub fn restore(backup: &Path, options: &Options) -> Result<Restored, OpenError> {
    let (source, folder) = (data_file(backup), &options.path);
    let fail = |error: String| {
        OpenError(format!("cannot restore {} to {}: {error}", backup.display(), folder.display()))
    };
    let mut from = match File::open(&source) {
        Ok(from) => from,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(fail(format!(
                "{} is missing; name the folder that `plexichat backup` wrote",
                source.display()
            )));
        }
        Err(error) => return Err(fail(files::explain(&source, &error))),
    };
    let _held = check_source(&source, &from, &folder.join(DATA_FILE)).map_err(fail)?;
    files::create_folder(folder).map_err(|error| fail(files::explain(folder, &error)))?;
    let held = lock(folder)?;
    let partial = folder.join(PARTIAL_FILE);
    let copied = copy_verified(&source, &mut from, &partial).and_then(|(report, compared)| {
        // The store that is replaced may need others: they stay.
        copy_missing(files::folder_of(&source), folder)
            .map_err(|error| files::explain(&folder.join(BLOBS_FOLDER), &error))?;
        add_keys(files::folder_of(&source), folder)?;
        let missing = blobs::check(folder, &report.blobs);
        let previous = swap(folder, &partial)?;
        // It is of the store that was there, and is made anew.
        let index = folder.join(side::FOLDER);
        side::remove(&index).map_err(|error| files::explain(&index, &error))?;
        Ok(Restored { records: report.count(), previous, compared, missing })
    });
    drop(held);
    copied.map_err(|error| {
        let _ = fs::remove_file(&partial);
        fail(error)
    })
}

/// What cannot be a backup: the store itself, under whatever name, and one that a server is writing to. What is given
/// back keeps servers away from it.
fn check_source(source: &Path, from: &File, target: &Path) -> Result<Use, String> {
    let file = from.metadata().map_err(|error| files::explain(source, &error))?;
    if !file.is_file() {
        return Err(format!("{} is not a file", source.display()));
    }
    let is_same = |other: &Path| {
        fs::metadata(other).is_ok_and(|other| (other.dev(), other.ino()) == (file.dev(), file.ino()))
    };
    if is_same(target) {
        return Err("this is the store itself, there is nothing to restore from it; name a backup".into());
    }
    if is_same(&target.with_file_name(PARTIAL_FILE)) {
        return Err(format!("{PARTIAL_FILE} is where the copy will be; give the file another name first"));
    }
    match files::store_of(source).map_or(Use::Free(None), hold) {
        Use::Open => {
            Err("a server is using it, so a copy of the file would be of no one moment; copy it with \
                          `plexichat backup` and restore that"
                .into())
        }
        free => Ok(free),
    }
}

/// Copies a data file to `partial` and looks at every page and record of the copy.
fn copy_verified(source: &Path, from: &mut File, partial: &Path) -> Result<(Report, bool), String> {
    // Refuse what is no store before copying gigabytes of it.
    Image::open(source).map_err(|error| format!("{}: {error}", source.display()))?;
    let expected = expected_sum(source)?;
    let mut file = files::create(partial).map_err(|error| files::explain(partial, &error))?;
    let sum = copy_and_sum(from, &mut file).map_err(|error| files::explain(partial, &error))?;
    file.sync_all().map_err(|error| files::explain(partial, &error))?;
    if expected.is_some_and(|expected| expected != sum) {
        return Err(format!(
            "the backup is damaged: {DATA_FILE} is not the file that was written, says {SUM_FILE}; `plexichat \
             verify` tells what can be seen of it. The store is as it was"
        ));
    }
    let report = Image::open(partial)?.walk();
    match report.format {
        _ if !report.is_sound() => Err(format!(
            "the backup is damaged: {}; `plexichat verify` lists everything. The store is as it was",
            report.summary()
        )),
        Some(FORMAT) => Ok((report, expected.is_some())),
        Some(format) => Err(format!("it has format {format}, this version reads format {FORMAT}")),
        None => Err("it is a database of another program: no format of plexichat is in it".into()),
    }
}

/// Gives the copy the name of the store; the store that was there gets a free name. There is a store at any moment.
fn swap(folder: &Path, partial: &Path) -> Result<Option<PathBuf>, String> {
    let (target, note) = (folder.join(DATA_FILE), folder.join(SYNCED_FILE));
    // The store that is kept is to be one that can be used. If it cannot, its note is kept with it.
    let settled = !target.exists() || synced::recover(folder).is_ok();
    let previous = keep(&target).map_err(|error| files::explain(&target, &error))?;
    if !settled && let Some(previous) = &previous {
        let _ = fs::rename(&note, format!("{}.synced", previous.display()));
    }
    let _ = fs::remove_file(&note);
    if let Err(error) = fs::rename(partial, &target) {
        if let Some(previous) = previous {
            // The same file under two names is one name less; the file itself gets its name back.
            let _ = fs::rename(&previous, &target).and_then(|()| fs::remove_file(&previous));
        }
        return Err(files::explain(&target, &error));
    }
    // It belongs to the file that is gone; LMDB makes it anew.
    let _ = fs::remove_file(folder.join(LOCK_FILE));
    files::sync_folder(folder).map_err(|error| files::explain(folder, &error))?;
    Ok(previous)
}

/// A second name for the store, one that nothing else has.
fn keep(target: &Path) -> io::Result<Option<PathBuf>> {
    for number in 1_u64.. {
        let suffix = if number == 1 { String::new() } else { format!(".{number}") };
        let previous = target.with_file_name(format!("{PREVIOUS_FILE}{suffix}"));
        match fs::hard_link(target, &previous) {
            Ok(()) => return Ok(Some(previous)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // A file system without second names.
            Err(_) if !previous.exists() => {
                fs::rename(target, &previous)?;
                return Ok(Some(previous));
            }
            Err(error) => return Err(error),
        }
    }
    unreachable!("counting does not end")
}
