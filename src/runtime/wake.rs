//! Waking a sleeping core from another thread, without a syscall when it is awake.
//!
//! Owns: one eventfd and one flag per core. The flag says "I am about to sleep, or asleep".
//!
//! The handshake is Dekker's: each side writes its own word, then reads the other's.
//!
//! ```text
//! receiver                              sender
//!   arm():  asleep = true                 put the message in a queue
//!           fence(SeqCst)                 signal(): fence(SeqCst)
//!   look into every queue once more                 if asleep: asleep = false, write(eventfd)
//!   empty:  wait on the eventfd
//!   not:    disarm(), go on
//! ```
//!
//! The two fences are totally ordered. If the sender's comes first, the receiver's last look finds the
//! message; if the receiver's comes first, the sender sees `asleep`. So a message is never slept through.
//! Of several senders only the one whose swap finds `true` writes: one syscall per sleep.
//!
//! Invariant: every `asleep` a sender takes away is one write, which the receiver reads off exactly once.
//! A write may come after the receiver has gone on (its sender was slow): then the next sleep ends early,
//! once. A spurious wake is possible, a lost one is not.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// Shared by one receiver and any number of senders, as `Arc<Wake>`.
pub struct Wake {
    eventfd: OwnedFd,
    asleep: AtomicBool,
    /// Writes that senders have made or are about to make, minus those read. The receiver's own.
    owed: AtomicU64,
}

impl Wake {
    /// A core that is awake. The eventfd is non-blocking and closed on exec. Errors: no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes no pointers.
        let raw = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `raw` was just created and belongs to nobody else.
        let eventfd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { eventfd, asleep: AtomicBool::new(false), owed: AtomicU64::new(0) })
    }

    /// Sender: the receiver shall look into its queues. Call it after the message is in the queue.
    /// An awake receiver costs a fence and a load; a sleeping one a `write`.
    pub fn signal(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.write();
        }
    }

    /// Receiver, before it waits on the descriptor: from here on signals reach the eventfd.
    /// The queues must be looked at once more between this call and the wait.
    pub fn arm(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Receiver, after the wait or instead of it: signals are free again, the eventfd is emptied.
    /// Look into the queues after this call, not before it. Without a signal it costs no syscall.
    pub fn disarm(&self) {
        let signalled = !self.asleep.swap(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let owed = self.owed.load(Ordering::Relaxed) + u64::from(signalled);
        if owed > 0 {
            // A sender between its swap and its write still owes after this.
            self.owed.store(owed.saturating_sub(self.read()), Ordering::Relaxed);
        }
    }

    /// As [`Self::disarm`], for an eventfd that the kernel writes to as well (a ring's completions): what was
    /// written is not known, so it is always read.
    pub fn disarm_shared(&self) {
        self.asleep.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.read();
    }

    /// Adds one to the eventfd. A full counter (`EAGAIN`) is readable already, which is all we want.
    fn write(&self) {
        let one = 1u64.to_ne_bytes();
        loop {
            // SAFETY: 8 readable bytes, and the descriptor is open as long as `self` lives.
            let written = unsafe { libc::write(self.eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
            if written >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
                return;
            }
        }
    }

    /// Empties the eventfd; how many writes were in it.
    fn read(&self) -> u64 {
        let mut count = [0u8; 8];
        // SAFETY: 8 writable bytes, and the descriptor is open as long as `self` lives.
        let len = unsafe { libc::read(self.eventfd.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        if len == count.len() as isize { u64::from_ne_bytes(count) } else { 0 }
    }
}

impl AsFd for Wake {
    /// The descriptor to poll for reading.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Whether the descriptor becomes readable within `timeout_ms`.
    fn readable(wake: &Wake, timeout_ms: i32) -> bool {
        let mut poll = libc::pollfd { fd: wake.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one pollfd, writable.
        unsafe { libc::poll(&mut poll, 1, timeout_ms) == 1 }
    }

    #[test]
    fn an_awake_core_costs_no_syscall() {
        let wake = Wake::new().unwrap();
        wake.signal();
        assert!(!readable(&wake, 0));
        wake.arm();
        wake.signal();
        wake.signal();
        assert!(readable(&wake, 0));
        wake.disarm();
        assert!(!readable(&wake, 0));
        wake.arm();
        wake.disarm();
        wake.signal();
        assert!(!readable(&wake, 0));
    }

    #[test]
    fn a_late_write_ends_one_sleep_only() {
        let wake = Wake::new().unwrap();
        wake.arm();
        assert!(wake.asleep.swap(false, Ordering::Relaxed), "a sender takes the flag, then is slow");
        wake.disarm();
        wake.write();
        wake.arm();
        assert!(readable(&wake, 0));
        wake.disarm();
        wake.arm();
        assert!(!readable(&wake, 0));
    }

    #[test]
    fn no_wake_is_lost() {
        const MESSAGES: u64 = 30_000;
        let wake = Arc::new(Wake::new().unwrap());
        let sent = Arc::new(AtomicU64::new(0));
        let senders: Vec<_> = (0..2)
            .map(|seed| {
                let (wake, sent) = (wake.clone(), sent.clone());
                std::thread::spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..MESSAGES {
                        sent.fetch_add(1, Ordering::Relaxed);
                        wake.signal();
                        for _ in 0..random.u32(0..200) {
                            std::hint::spin_loop();
                        }
                    }
                })
            })
            .collect();
        let mut seen = 0;
        while seen < 2 * MESSAGES {
            wake.arm();
            if sent.load(Ordering::Relaxed) == seen {
                assert!(readable(&wake, 10_000), "slept through a message after {seen}");
            }
            wake.disarm();
            seen = sent.load(Ordering::Relaxed);
        }
        senders.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
