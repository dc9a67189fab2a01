//! Whether changes are taken at the moment, and if not, why: what readiness, metrics and the log tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// While changes are refused, how often it is tried whether they need to be.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// After a failure, how long nothing may fail before it counts as over, unless its cause is seen to be gone.
const QUIET: Duration = Duration::from_secs(10);
/// Room on a disk that was full from which on it is not.
const DISK_FREE_MIN: u64 = 8 << 20;
/// Of a store that was full this part must be free before it is not: at the boundary every page that a delete frees
/// has room for one more change.
const FREE_PART: u64 = 50;

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

/// What is seen of the store when a change has succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub disk_free: u64,
    /// Bytes that hold something, and how many there may be.
    pub used: u64,
    pub size: u64,
}

/// Whether changes are taken, and since when not: what the writer thread keeps of it.
#[derive(Default)]
pub struct Condition {
    health: Arc<Health>,
    since: Option<Instant>,
    /// The last failure, whether the disk was seen to be full then, and when one was told of last.
    failed: Option<Instant>,
    disk_was_full: bool,
    reported: Option<Instant>,
    probed: Option<Instant>,
}

impl Condition {
    /// Where it is told.
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// A change was refused; true when that is news.
    pub fn failed(&mut self, trouble: Trouble, disk_is_full: bool, now: Instant) -> bool {
        self.failed = Some(now);
        self.disk_was_full = disk_is_full;
        let before = self.health.trouble();
        // LMDB has two errors for one full disk, one of them for a write that was cut short: the first one told stays.
        let is_told = before.is_some() && self.reported.is_some_and(|at| now - at < QUIET);
        if before == Some(trouble) || is_told {
            return false;
        }
        self.since.get_or_insert(now);
        self.reported = Some(now);
        self.health.set(Some(trouble));
        true
    }

    /// A change was committed; when that is news, what had been the matter and for how long.
    ///
    /// A small change may fit where the next one does not; so the cause must be seen to be gone, or nothing must have
    /// failed for a while.
    pub fn succeeded(&mut self, look: impl FnOnce() -> Seen, now: Instant) -> Option<(Trouble, Duration)> {
        let trouble = self.health.trouble()?;
        let is_quiet = self.failed.is_none_or(|at| now - at >= QUIET);
        if !is_quiet && !self.is_gone(trouble, look()) {
            return None;
        }
        self.health.set(None);
        Some((trouble, self.since.take().map_or(Duration::ZERO, |since| now - since)))
    }

    fn is_gone(&self, trouble: Trouble, seen: Seen) -> bool {
        match trouble {
            Trouble::StoreFull => seen.used < seen.size - seen.size / FREE_PART,
            // The process that held it has ended, or has taken a new one.
            Trouble::SnapshotHeld => true,
            Trouble::DiskFull | Trouble::WriteFailed => self.disk_was_full && seen.disk_free >= DISK_FREE_MIN,
        }
    }

    /// Whether it is time to try a write that nobody has asked for.
    pub fn probe_is_due(&mut self, now: Instant) -> bool {
        let is_due = self.probed.is_none_or(|at| now - at >= PROBE_INTERVAL);
        if self.health.trouble().is_none() || !is_due {
            return false;
        }
        self.probed = Some(now);
        true
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

    /// At which second what happens, whether that is news, and the trouble from then on.
    type Moment = (u64, Step, bool, Option<Trouble>);

    enum Step {
        /// With whether the disk is full.
        Fails(Trouble, bool),
        /// With the free bytes of the disk, and used hundredths of the store.
        Succeeds(u64, u64),
    }

    #[test]
    fn a_trouble_is_told_once_and_ends_when_its_cause_is_gone_or_nothing_has_failed_for_a_while() {
        use Step::{Fails, Succeeds};
        use Trouble::{DiskFull, SnapshotHeld, StoreFull, WriteFailed};
        const ROOMY: u64 = DISK_FREE_MIN;
        let stories: [&[Moment]; 5] = [
            // At the boundary pages come and go.
            &[
                (0, Succeeds(ROOMY, 99), false, None),
                (1, Fails(StoreFull, false), true, Some(StoreFull)),
                (2, Succeeds(ROOMY, 99), false, Some(StoreFull)),
                (3, Fails(StoreFull, false), false, Some(StoreFull)),
                (4, Succeeds(ROOMY, 98), false, Some(StoreFull)),
                (5, Succeeds(ROOMY, 97), true, None),
                (6, Fails(StoreFull, false), true, Some(StoreFull)),
                (15, Succeeds(ROOMY, 99), false, Some(StoreFull)),
                (16, Succeeds(ROOMY, 99), true, None),
            ],
            &[
                (0, Fails(SnapshotHeld, false), true, Some(SnapshotHeld)),
                (1, Succeeds(ROOMY, 99), true, None),
            ],
            // One full disk, two errors.
            &[
                (0, Fails(DiskFull, true), true, Some(DiskFull)),
                (1, Fails(WriteFailed, true), false, Some(DiskFull)),
                (2, Succeeds(ROOMY - 1, 10), false, Some(DiskFull)),
                (3, Succeeds(ROOMY, 10), true, None),
            ],
            // A disk that refuses for a reason that is not seen.
            &[
                (0, Fails(WriteFailed, false), true, Some(WriteFailed)),
                (9, Succeeds(ROOMY, 10), false, Some(WriteFailed)),
                (10, Succeeds(ROOMY, 10), true, None),
            ],
            // Another trouble is told when the first one has been for a while.
            &[
                (0, Fails(StoreFull, false), true, Some(StoreFull)),
                (9, Fails(DiskFull, true), false, Some(StoreFull)),
                (10, Fails(DiskFull, true), true, Some(DiskFull)),
            ],
        ];
        let begun = Instant::now();
        for (story, steps) in stories.into_iter().enumerate() {
            let mut condition = Condition::default();
            for (second, step, news, trouble) in steps {
                let now = begun + Duration::from_secs(*second);
                let told = match *step {
                    Fails(trouble, disk_is_full) => condition.failed(trouble, disk_is_full, now),
                    Succeeds(disk_free, used) => {
                        condition.succeeded(|| Seen { disk_free, used, size: 100 }, now).is_some()
                    }
                };
                assert_eq!(
                    (told, condition.health().trouble()),
                    (*news, *trouble),
                    "{story}, second {second}"
                );
            }
        }
    }

    #[test]
    fn a_probe_is_due_once_a_second_while_there_is_trouble() {
        let (mut condition, begun) = (Condition::default(), Instant::now());
        assert!(!condition.probe_is_due(begun));
        condition.failed(Trouble::DiskFull, true, begun);
        let due = [0, 500, 999, 1_000, 1_500, 2_000]
            .map(|ms| condition.probe_is_due(begun + Duration::from_millis(ms)));
        assert_eq!(due, [true, false, false, true, false, true]);
    }
}
