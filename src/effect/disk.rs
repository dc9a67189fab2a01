//! Files: what may wait for a disk.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write as _};
use std::sync::Arc;

use bytes::Bytes;

use super::lane::{Effect, Row};
use crate::limits::SHORT_FILE_LEN_MAX;
use crate::store::Store;
use crate::store::blobs::{Blob, Blobs, Hash};
use crate::store::keyring::{KeyInfo, Keyring};
use crate::store::tables::BLOBS;

pub static LANE: Row = Row {
    name: "disk",
    // A disk does several things at once; what is in the page cache takes 20 µs.
    threads: |_| 4,
    // At most one job of a request waits here.
    queue_len_max: |_| 1_024,
    // A core that wakes goes first, as beside hashing: at nice 5 it waits for milliseconds.
    niceness: 19,
    full: "The disk is busy; try again in a moment",
};

/// A file on its way in: it has no name, so nothing is left of it when nobody holds it any more.
pub struct Spool {
    blobs: Arc<dyn Blobs>,
    file: Option<File>,
}

impl Spool {
    pub fn new(blobs: Arc<dyn Blobs>) -> Spool {
        Spool { blobs, file: None }
    }

    /// The file, to be read from its beginning.
    ///
    /// # Errors
    /// When nothing was written, or it cannot be set back.
    pub fn into_file(self) -> io::Result<File> {
        let mut file = self.file.ok_or(io::ErrorKind::UnexpectedEof)?;
        file.seek(SeekFrom::Start(0))?;
        Ok(file)
    }
}

/// Appends a piece.
pub struct Append {
    pub spool: Spool,
    pub piece: Vec<u8>,
}

impl Effect for Append {
    type Answer = io::Result<Spool>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let Append { mut spool, piece } = self;
        let mut file = match spool.file.take() {
            Some(file) => file,
            None => spool.blobs.unnamed()?,
        };
        if spool.blobs.is_nearly_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(&piece)?;
        Ok(Spool { file: Some(file), ..spool })
    }
}

/// Keeps bytes for good: they are on disk when it answers.
pub struct Keep {
    pub blobs: Arc<dyn Blobs>,
    pub bytes: Vec<u8>,
}

impl Effect for Keep {
    type Answer = io::Result<Hash>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        self.blobs.put(&mut self.bytes.as_slice())
    }
}

/// Makes a new key of the server, which is in use from then on.
pub struct Rotate {
    pub store: Arc<Store>,
    pub keys: Arc<Keyring>,
}

impl Effect for Rotate {
    type Answer = Result<KeyInfo, String>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        self.store.rotate(&self.keys)
    }
}

/// What was opened.
pub enum Opened {
    /// All of it.
    Short(Bytes),
    /// More than [`SHORT_FILE_LEN_MAX`].
    Long(Arc<dyn Blob>),
}

/// Opens what was kept, and reads it when it is short.
pub struct Open {
    pub blobs: Arc<dyn Blobs>,
    pub hash: Hash,
}

impl Effect for Open {
    type Answer = io::Result<Opened>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let blob = self.blobs.open(&self.hash)?;
        if blob.len() > SHORT_FILE_LEN_MAX as u64 {
            return Ok(Opened::Long(blob));
        }
        let mut bytes = vec![0; blob.len() as usize];
        blob.read_exact_at(&mut bytes, 0)?;
        Ok(Opened::Short(bytes.into()))
    }
}

/// So many bytes of it from `at` on, all of which are there.
pub struct ReadAt {
    pub blob: Arc<dyn Blob>,
    pub at: u64,
    pub len: usize,
}

impl Effect for ReadAt {
    type Answer = io::Result<Bytes>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let mut bytes = vec![0; self.len];
        self.blob.read_exact_at(&mut bytes, self.at)?;
        Ok(bytes.into())
    }
}

/// Removes blobs of a shelf that no record names; how many those were.
pub struct Collect {
    pub store: Arc<Store>,
    pub shelf: u16,
}

impl Effect for Collect {
    type Answer = io::Result<u64>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let snapshot = self.store.snapshot();
        self.store.blobs().collect(self.shelf, &|hash| snapshot.read().contains(BLOBS, *hash))
    }
}
