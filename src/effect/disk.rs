//! Files: what may wait for a disk.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::lane::{Effect, Row};
use crate::limits::{PIECE_LEN, SHORT_FILE_LEN_MAX};
use crate::store::Store;
use crate::store::blobs::{Blob, Blobs, Hash, Rewrapped};
use crate::store::closing::EndedElsewhere;
use crate::store::keyring::{KeyInfo, Keyring};
use crate::store::tables::BLOBS;
use crate::wire::file_type::HEAD_LEN;

pub static LANE: Row = Row {
    name: "disk",
    // A disk does several things at once; what is in the page cache takes 20 µs. Whoever waits for a network costs nothing.
    threads: |config| if config.media.storage_backend == "s3" { 16 } else { 4 },
    // At most one job of a request waits here.
    queue_len_max: |_| 1_024,
    // A core that wakes goes first, as beside hashing: at nice 5 it waits for milliseconds.
    niceness: 19,
    full: "The disk is busy; try again in a moment",
};

/// A file on its way in, summed up as it comes: it has no name, so nothing is left of it when nobody holds it any more.
pub struct Spool {
    blobs: Arc<dyn Blobs>,
    /// A client may go away at any time, and nobody waits then until all of it is off the disk.
    file: Option<EndedElsewhere<File>>,
    sum: Sha256,
}

impl Spool {
    pub fn new(blobs: Arc<dyn Blobs>) -> Spool {
        Spool { blobs, file: None, sum: Sha256::new() }
    }

    /// The file once more. Who reads it moves the place where all read.
    ///
    /// # Errors
    /// When nothing was written, or there are too many open files.
    pub fn file(&self) -> io::Result<File> {
        self.file.as_ref().ok_or(io::ErrorKind::UnexpectedEof)?.try_clone()
    }

    /// The SHA-256 of what was written.
    pub fn sum(&self) -> Hash {
        self.sum.clone().finalize().into()
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(EndedElsewhere::new(self.blobs.unnamed()?)),
        };
        if self.blobs.is_nearly_full() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        file.write_all(piece)?;
        self.sum.update(piece);
        Ok(())
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
        spool.write(&piece)?;
        Ok(spool)
    }
}

/// Appends what was kept; answers with how that begins too.
pub struct AppendBlob {
    pub spool: Spool,
    pub hash: Hash,
}

impl Effect for AppendBlob {
    type Answer = io::Result<(Spool, Vec<u8>)>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let AppendBlob { mut spool, hash } = self;
        let blob = spool.blobs.open(&hash)?;
        let (mut at, mut piece, mut head) = (0, vec![0; PIECE_LEN], Vec::new());
        while at < blob.len() {
            let len = piece.len().min((blob.len() - at) as usize);
            blob.read_exact_at(&mut piece[..len], at)?;
            if at == 0 {
                head.extend_from_slice(&piece[..len.min(HEAD_LEN)]);
            }
            spool.write(&piece[..len])?;
            at += len as u64;
        }
        Ok((spool, head))
    }
}

/// Keeps a file that has come whole, for good: it is on disk when it answers.
pub struct KeepSpool {
    pub spool: Spool,
}

impl Effect for KeepSpool {
    type Answer = io::Result<Hash>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let (blobs, sum) = (self.spool.blobs.clone(), self.spool.sum());
        let mut file = self.spool.file()?;
        file.seek(SeekFrom::Start(0))?;
        let hash = blobs.put(&mut file)?;
        // A disk that gives back something else is told of before anybody relies on it.
        if hash == sum { Ok(hash) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

/// Keeps bytes for good in place of a file that has come: they are on disk when it answers, and that is gone.
pub struct KeepInstead {
    pub spool: Spool,
    pub bytes: Vec<u8>,
}

impl Effect for KeepInstead {
    type Answer = io::Result<Hash>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        self.spool.blobs.put(&mut self.bytes.as_slice())
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

/// Brings some blobs of a shelf to the server's newest key: the first ones behind `after`.
pub struct Rewrap {
    pub store: Arc<Store>,
    pub shelf: u16,
    pub after: Option<Hash>,
}

impl Effect for Rewrap {
    type Answer = io::Result<Rewrapped>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        self.store.blobs().rewrap(self.shelf, self.after)
    }
}
