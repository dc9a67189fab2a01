//! Memory shared by the processes of a run.
//!
//! Owns: phases, progress counters, and the posts under way.
//! Invariant: atomics only, all zero at the start, so that any process may read anything at any time.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

pub const WORKERS_MAX: usize = 64;
/// Posts that may be on their way at once; a power of two above the largest --in-flight.
pub const SLOTS: usize = 4096;
/// Posts whose fate or server is remembered.
pub const FATES: usize = 1 << 20;
/// Servers whose posts are counted: as many as can be seeded.
const SERVERS_MAX: usize = 100_000;

/// Sessions and connections are being opened.
pub const OPENING: u32 = 0;
/// The load is on.
pub const RUNNING: u32 = 1;
/// Hand over results and end.
pub const STOPPING: u32 = 2;

#[repr(C)]
pub struct Shared {
    pub phase: AtomicU32,
    /// When the load began, monotonic.
    pub run_start_ns: AtomicU64,
    /// Posts before this number are warm-up.
    pub first_measured: AtomicU32,
    /// Posts that have reached every session.
    pub completed: AtomicU64,
    pub last_completion_ns: AtomicU64,
    /// How many processes will send no more posts.
    pub posting_done: AtomicU32,
    /// Posts sent so far.
    pub posted: AtomicU32,
    workers: [Worker; WORKERS_MAX],
    slots: [Slot; SLOTS],
    fates: [AtomicU8; FATES],
    /// The server of each of the latest posts.
    homes: [AtomicU32; FATES],
    posts: [Posts; SERVERS_MAX],
}

/// Posts to one server.
#[repr(C)]
pub struct Posts {
    stored: AtomicU32,
    /// Sent, and not answered by a success or a refusal: they may have been stored.
    unknown: AtomicU32,
}

/// Progress of one process; on its own cache lines.
#[repr(C, align(128))]
#[derive(Default)]
pub struct Worker {
    pub pid: AtomicU32,
    /// 1 when it has opened (or given up) all it should.
    pub opened: AtomicU32,
    /// 1 when its part of the load is over.
    pub finished: AtomicU32,
    pub ready: AtomicU64,
    pub failed: AtomicU64,
    /// Events received by sessions.
    pub deliveries: AtomicU64,
    /// Requests answered.
    pub answers: AtomicU64,
    /// Errors of any kind.
    pub errors: AtomicU64,
    /// The latency the scenario is about, so far.
    pub times: Times,
}

/// Eight buckets for each doubling, from 1 µs to 18 minutes: exact to 12 %.
const TIMES_LEN: usize = 240;

/// Counts of times, for a look while the run is on.
#[derive(Debug)]
#[repr(C)]
pub struct Times([AtomicU32; TIMES_LEN]);

impl Default for Times {
    fn default() -> Times {
        Times(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

impl Times {
    pub fn record(&self, ns: u64) {
        self.0[Times::index(ns)].fetch_add(1, Ordering::Relaxed);
    }

    /// The three bits below the highest one choose among the buckets of its doubling.
    fn index(ns: u64) -> usize {
        let doubling = ns.max(1024).ilog2() as usize;
        let eighth = (ns.max(1024) >> (doubling - 3)) as usize & 7;
        ((doubling - 10) * 8 + eighth).min(TIMES_LEN - 1)
    }

    /// Nanoseconds that so many percent of the times of all workers do not exceed, rounded up to the end of a bucket.
    pub fn at(workers: &[Worker], percentile: f64) -> Option<u64> {
        let count =
            |i: usize| workers.iter().map(|w| u64::from(w.times.0[i].load(Ordering::Relaxed))).sum::<u64>();
        let counts: Vec<u64> = (0..TIMES_LEN).map(count).collect();
        let total: u64 = counts.iter().sum();
        let wanted = (total as f64 * percentile / 100.0).ceil().max(1.0) as u64;
        let mut sum = 0;
        let found = counts.iter().position(|n| {
            sum += n;
            sum >= wanted
        })?;
        Some((9 + found as u64 % 8) << (found / 8 + 7))
    }
}

/// A post on its way to all sessions.
#[repr(C)]
pub struct Slot {
    seq: AtomicU32,
    remaining: AtomicU32,
}

/// What is known of a post.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(u8)]
pub enum Fate {
    /// Not sent, or refused: nobody may see it.
    None = 0,
    /// Sent without an answer: some may have seen it, nobody twice.
    Unknown = 1,
    /// Answered with success: everybody must see it once.
    Stored = 2,
}

impl Shared {
    /// Fresh memory and the descriptor that child processes inherit.
    pub fn create() -> io::Result<(&'static Shared, OwnedFd)> {
        // SAFETY: the name is a C string; the descriptor is checked and then owned.
        let fd = unsafe {
            let fd = libc::memfd_create(c"plexichat-loadtest".as_ptr(), 0);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: plain integers in.
        if unsafe { libc::ftruncate(fd.as_raw_fd(), size_of::<Shared>() as i64) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok((Shared::map(fd.as_raw_fd())?, fd))
    }

    /// Maps the memory behind an inherited descriptor for the rest of the process's life.
    pub fn map(fd: i32) -> io::Result<&'static Shared> {
        // SAFETY: a shared mapping of a descriptor; length checked below by the kernel on first use,
        // and the descriptor comes from `create`, which made it exactly this long.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Shared>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: page-aligned, never unmapped, all atomics; zero bytes are valid for each of them.
        Ok(unsafe { &*address.cast::<Shared>() })
    }

    pub fn phase(&self) -> u32 {
        self.phase.load(Ordering::Acquire)
    }

    pub fn workers(&self, count: u32) -> &[Worker] {
        &self.workers[..count as usize]
    }

    /// Announces a post that `sessions` sessions are to receive. True when its slot was still in use:
    /// an earlier post never reached everyone.
    pub fn begin_post(&self, seq: u32, sessions: u32) -> bool {
        let slot = &self.slots[seq as usize % SLOTS];
        let stale = slot.remaining.load(Ordering::Acquire) > 0;
        slot.seq.store(seq, Ordering::Release);
        slot.remaining.store(sessions, Ordering::Release);
        stale
    }

    /// One session has received a post. True when it was the last.
    pub fn delivered(&self, seq: u32, now_ns: u64) -> bool {
        let slot = &self.slots[seq as usize % SLOTS];
        if slot.seq.load(Ordering::Acquire) != seq {
            return false;
        }
        let before = slot
            .remaining
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1))
            .unwrap_or(0);
        if before == 1 {
            self.last_completion_ns.fetch_max(now_ns, Ordering::AcqRel);
            self.completed.fetch_add(1, Ordering::AcqRel);
        }
        before == 1
    }

    /// Gives up on a post. True when it was still under way.
    pub fn abandon_post(&self, seq: u32) -> bool {
        let slot = &self.slots[seq as usize % SLOTS];
        slot.seq.load(Ordering::Acquire) == seq && slot.remaining.swap(0, Ordering::AcqRel) > 0
    }

    /// Numbers a post to a server that is about to be sent.
    pub fn send_post(&self, server: u32) -> u32 {
        let seq = self.posted.fetch_add(1, Ordering::AcqRel);
        self.homes[seq as usize % FATES].store(server, Ordering::Release);
        self.posts[server as usize].unknown.fetch_add(1, Ordering::AcqRel);
        seq
    }

    /// Notes what became of a post that was sent.
    pub fn settle_post(&self, server: u32, fate: Fate) {
        let posts = &self.posts[server as usize];
        // Stored first: nobody may find a post in neither count.
        if fate == Fate::Stored {
            posts.stored.fetch_add(1, Ordering::AcqRel);
        }
        if fate != Fate::Unknown {
            posts.unknown.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// The server to which one of the latest million posts went.
    pub fn home(&self, seq: u32) -> u32 {
        self.homes[seq as usize % FATES].load(Ordering::Acquire)
    }

    /// How many posts of a server must have been seen, and how many may have been seen besides.
    pub fn posts_to(&self, server: u32) -> (u32, u32) {
        let posts = &self.posts[server as usize];
        (posts.stored.load(Ordering::Acquire), posts.unknown.load(Ordering::Acquire))
    }

    pub fn set_fate(&self, seq: u32, fate: Fate) {
        self.fates[seq as usize % FATES].store(fate as u8, Ordering::Release);
    }

    pub fn fate(&self, seq: u32) -> Fate {
        match self.fates[seq as usize % FATES].load(Ordering::Acquire) {
            1 => Fate::Unknown,
            2 => Fate::Stored,
            _ => Fate::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_completes_once() {
        let (shared, fd) = Shared::create().unwrap();
        let other = Shared::map(fd.as_raw_fd()).unwrap();
        assert!(!shared.begin_post(5, 2));
        assert!(!other.delivered(4, 1), "another post in the slot's place");
        assert!(!other.delivered(5, 10));
        assert!(shared.delivered(5, 11));
        assert!(!shared.delivered(5, 12), "a repeat does not complete it again");
        assert_eq!(other.completed.load(Ordering::Relaxed), 1);
        assert_eq!(other.last_completion_ns.load(Ordering::Relaxed), 11);
    }

    #[test]
    fn abandoned_posts_free_their_slot() {
        let (shared, _fd) = Shared::create().unwrap();
        shared.begin_post(1, 2);
        assert!(shared.begin_post(1 + SLOTS as u32, 2), "the old one was still under way");
        assert!(!shared.abandon_post(1));
        assert!(shared.abandon_post(1 + SLOTS as u32));
        assert!(!shared.abandon_post(1 + SLOTS as u32));
    }

    #[test]
    fn fates() {
        let (shared, _fd) = Shared::create().unwrap();
        for fate in [Fate::None, Fate::Unknown, Fate::Stored] {
            shared.set_fate(9, fate);
            assert_eq!(shared.fate(9), fate);
        }
    }

    #[test]
    fn posts_are_counted_by_server() {
        let (shared, _fd) = Shared::create().unwrap();
        let seqs: Vec<u32> = [3, 3, 5, 3].map(|server| shared.send_post(server)).to_vec();
        assert_eq!((seqs, shared.home(2)), (vec![0, 1, 2, 3], 5));
        assert_eq!(shared.posts_to(3), (0, 3));
        for fate in [Fate::Stored, Fate::None, Fate::Unknown] {
            shared.settle_post(3, fate);
        }
        assert_eq!((shared.posts_to(3), shared.posts_to(5)), ((1, 1), (0, 1)));
    }

    #[test]
    fn times_are_seen_by_others() {
        let (shared, _fd) = Shared::create().unwrap();
        let workers = shared.workers(2);
        assert_eq!(Times::at(workers, 99.0), None);
        for ms in 1..=1000 {
            workers[ms as usize % 2].times.record(ms * 1_000_000);
        }
        for (percentile, want_ms) in [(50.0, 500.0), (99.0, 990.0), (100.0, 1000.0), (0.0, 1.0)] {
            let got_ms = Times::at(workers, percentile).unwrap() as f64 / 1e6;
            assert!(got_ms >= want_ms && got_ms <= want_ms * 1.13, "{percentile}: {got_ms}");
        }
        for ns in [0, 1, 1023, u64::MAX] {
            workers[0].times.record(ns);
        }
    }
}
