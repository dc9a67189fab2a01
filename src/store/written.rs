//! What a transaction has written, and why one could not be.

use super::digest;

/// Why a transaction could not be written. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The memory map (`store.map_size`) or the disk is full.
    Full,
    /// Anything else, in the words of the system.
    Failed(String),
}

impl std::fmt::Display for WriteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            WriteError::Full => "No space left on the disk, or store.map_size is too small",
            WriteError::Failed(why) => why,
        })
    }
}

impl From<heed::Error> for WriteError {
    fn from(error: heed::Error) -> WriteError {
        let code = match &error {
            heed::Error::Mdb(heed::MdbError::MapFull) => return WriteError::Full,
            heed::Error::Io(io) => io.raw_os_error(),
            heed::Error::Mdb(heed::MdbError::Other(code)) => Some(*code),
            _ => None,
        };
        match code {
            // No space, no quota, or a limit on the length of files.
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => WriteError::Full,
            _ => WriteError::Failed(error.to_string()),
        }
    }
}

/// What a transaction has written so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Records put, and records deleted that were there.
    pub count: u64,
    /// Of all of them in order: table, key and value.
    pub digest: u64,
}

impl Written {
    /// `sum` is the checksum of a record that was put, or [`gone`] of one that was deleted.
    pub(super) fn add(&mut self, sum: u32) {
        self.count += 1;
        self.digest = digest(self.digest, sum.into());
    }
}
