//! Whether changes are taken at the moment, and if not, why: what readiness, metrics and the log tell.

use std::sync::atomic::{AtomicU8, Ordering};

/// Why changes are refused. Reading goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Trouble {
    /// No space, quota or file length left on the disk.
    DiskFull = 1,
    /// `store.map_size` is reached.
    StoreFull,
    /// A snapshot of some process keeps the file from being used again, and it has grown to its bound.
    SnapshotHeld,
    /// The disk refuses to write or to sync.
    WriteFailed,
}

impl Trouble {
    const ALL: [Trouble; 4] =
        [Trouble::DiskFull, Trouble::StoreFull, Trouble::SnapshotHeld, Trouble::WriteFailed];

    /// For machines.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::DiskFull => "disk_full",
            Trouble::StoreFull => "store_full",
            Trouble::SnapshotHeld => "snapshot_held",
            Trouble::WriteFailed => "write_failed",
        }
    }

    /// For people: what is the matter and what ends it.
    pub fn text(self) -> &'static str {
        match self {
            Trouble::DiskFull => {
                "The disk of the store is full; changes are refused until there is room on it"
            }
            Trouble::StoreFull => {
                "The store has reached store.map_size; only deletions are taken, until enough is deleted or the \
                 server is started with a larger store.map_size"
            }
            Trouble::SnapshotHeld => {
                "A process that reads the store has held one snapshot for so long that its file has grown to its \
                 bound; changes are refused until that process (a backup?) ends"
            }
            Trouble::WriteFailed => {
                "The disk refuses to write; changes are refused until a write succeeds again"
            }
        }
    }
}

/// Written by the writer thread; any thread may ask.
#[derive(Debug, Default)]
pub struct Health(AtomicU8);

impl Health {
    /// Why changes are refused; `None` when they are taken.
    pub fn trouble(&self) -> Option<Trouble> {
        let code = self.0.load(Ordering::Relaxed);
        Trouble::ALL.into_iter().find(|trouble| *trouble as u8 == code)
    }

    /// Public for tests of what is told.
    pub fn set(&self, trouble: Option<Trouble>) {
        self.0.store(trouble.map_or(0, |trouble| trouble as u8), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_told() {
        let health = Health::default();
        assert_eq!(health.trouble(), None);
        for trouble in Trouble::ALL {
            health.set(Some(trouble));
            assert_eq!(health.trouble(), Some(trouble));
        }
        health.set(None);
        assert_eq!(health.trouble(), None);
    }
}
