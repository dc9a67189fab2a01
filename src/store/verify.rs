//! Whether a store or a backup is whole: every page, every record, and the checksum file that a backup has.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::files::data_file;
use super::image::Image;
use super::position::{Outrun, Position};
use super::report::{DAMAGES_MAX, Report};
use super::start::{Use, hold};
use super::sum::{SUM_FILE, expected_sum, sum_of};
use super::tables::ROWS;
use super::{DATA_FILE, FORMAT, OpenError, Options, Store, Sync, blobs, files, synced};

/// What was found of a store or backup.
#[derive(Debug)]
pub struct Verified {
    pub file: PathBuf,
    pub report: Report,
    /// Whether the checksum file agrees; `None` when there is none, as beside every store that is in use.
    pub sum: Option<bool>,
    /// What is wrong with blobs that records name, one line each.
    pub missing: Vec<String>,
    /// Where else files of clients are; those are not looked at.
    pub elsewhere: Option<String>,
    /// Whether a server was using it meanwhile.
    pub in_use: bool,
}

impl Verified {
    pub fn is_sound(&self) -> bool {
        self.report.is_sound()
            && self.missing.is_empty()
            && self.sum != Some(false)
            && self.report.format == Some(FORMAT)
    }
}

impl std::fmt::Display for Verified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { pages, plain, format, damages, damage_count, .. } = &self.report;
        let name = self.file.display();
        writeln!(f, "{name}: {pages} pages, {} records", self.report.count())?;
        for (row, count) in ROWS.iter().zip(&self.report.records).filter(|(_, count)| **count > 0) {
            writeln!(f, "  {:<20}{count:>12}", row.name)?;
        }
        if *plain > 0 {
            writeln!(f, "{plain} records are of an earlier version and carry no checksum.")?;
        }
        match self.sum {
            Some(true) => writeln!(f, "{SUM_FILE} agrees.")?,
            Some(false) => {
                writeln!(f, "DAMAGED: {SUM_FILE} does not agree: the file is not the one that was written.")?
            }
            None => {}
        }
        for damage in damages {
            writeln!(f, "DAMAGED: {damage}")?;
        }
        for missing in self.missing.iter().take(DAMAGES_MAX) {
            writeln!(f, "DAMAGED: {missing}")?;
        }
        if let Some(hidden @ 1..) = self.missing.len().checked_sub(DAMAGES_MAX) {
            writeln!(f, "… and {hidden} more files.")?;
        }
        if let Some(place) = &self.elsewhere {
            writeln!(f, "Files of clients that are in {place} were not looked at.")?;
        }
        let hidden = damage_count.saturating_sub(damages.len() as u64);
        if hidden > 0 {
            writeln!(f, "… and {hidden} more.")?;
        }
        match format {
            _ if *damage_count > 0 => {}
            Some(FORMAT) => {}
            Some(format) => writeln!(f, "It has format {format}, this version reads format {FORMAT}.")?,
            None => writeln!(f, "It is a database of another program: no format of plexichat is in it.")?,
        }
        match self.report.position() {
            _ if *damage_count > 0 => {}
            Ok(position) if position == Position::default() => {}
            Ok(position) => writeln!(f, "It stands at {position}.")?,
            Err(Outrun(position)) => writeln!(
                f,
                "A version that keeps no position in the log has changed it since {position}; the next start begins \
                 a new chain."
            )?,
        }
        match self.is_sound() {
            true => writeln!(f, "All is well."),
            false if self.in_use => writeln!(
                f,
                "Stop the server and put the last sound backup in place: plexichat restore FOLDER. The damaged \
                 store is kept beside it."
            ),
            false => writeln!(f, "Do not use it. If there is a sound backup: plexichat restore FOLDER."),
        }
    }
}

/// Looks at everything in a store or backup: a folder with `data.mdb`, or such a file. A store that is in use is read
/// as of one moment; nothing is written anywhere.
///
/// # Errors
/// When it cannot be looked at at all: not there, not readable, not a store.
pub fn verify(place: &Path) -> Result<Verified, OpenError> {
    let file = data_file(place);
    let fail = |error: String| OpenError(format!("cannot verify {}: {error}", file.display()));
    if let Err(error) = File::open(&file) {
        return Err(OpenError(format!("cannot verify {}", files::explain(&file, &error))));
    }
    let folder = files::store_of(&file);
    let used = folder.map_or(Use::Free(None), hold);
    let in_use = matches!(used, Use::Open);
    if let (true, Some(folder)) = (in_use, folder) {
        let options = Options { path: folder.to_path_buf(), map_size: 0, sync: Sync::Always, readers_max: 8 };
        return Ok(Verified { file, ..Store::open_to_read(&options)?.verified()? });
    }
    let (_, report) = synced::walk(&file).map_err(fail)?;
    let sum = match expected_sum(&file).map_err(fail)? {
        Some(expected) => Some(expected == sum_of(&file).map_err(|error| fail(error.to_string()))?),
        None => None,
    };
    let folder = files::folder_of(&file);
    let (missing, elsewhere) = (blobs::check(folder, &report.blobs), blobs::elsewhere(folder));
    Ok(Verified { file, report, sum, missing, elsewhere, in_use })
}

impl Store {
    /// Looks at everything, as [`verify`] does, in the process that has it open.
    ///
    /// # Errors
    /// When the data file cannot be read.
    pub fn verified(&self) -> Result<Verified, OpenError> {
        let report = self.walk()?;
        let missing = blobs::check(&self.path, &report.blobs);
        let (file, elsewhere) = (self.path.join(DATA_FILE), blobs::elsewhere(&self.path));
        Ok(Verified { file, report, sum: None, missing, elsewhere, in_use: true })
    }

    /// Looks at every page and record of what is committed now, while the writer goes on.
    ///
    /// # Errors
    /// When the data file cannot be read.
    pub fn walk(&self) -> Result<Report, OpenError> {
        /// A writer must get two transactions in between opening a snapshot and reading 200 bytes to need another try.
        const TRIES: usize = 1_000;
        let file = self.path.join(DATA_FILE);
        let fail = |error: String| OpenError(format!("cannot verify {}: {error}", file.display()));
        for _ in 0..TRIES {
            // Pages of a snapshot are not written over as long as it is open.
            let snapshot = self.snapshot();
            if let Some(image) = Image::open_at(&file, snapshot.txn()).map_err(fail)? {
                return Ok(image.walk());
            }
        }
        Err(fail("the server writes faster than the file can be read; try again".into()))
    }

    /// Checks every page and record; returns the number of records.
    ///
    /// # Errors
    /// Names the first few damages.
    pub fn verify(&self) -> Result<u64, OpenError> {
        let report = self.walk()?;
        match report.is_sound() {
            true => Ok(report.count()),
            false => Err(OpenError(format!(
                "the store in {} is damaged: {}; `plexichat verify` lists everything",
                self.path.display(),
                report.summary()
            ))),
        }
    }
}
