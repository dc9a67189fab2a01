//! What the kernel knows of a thread: processor time, waiting for a processor, page faults, preemptions.
//!
//! [`Usage`] is read by the thread itself, a system call. [`Times`] is read by the scrape from outside and costs the
//! thread nothing, so it is there also while the thread is stuck.

use std::mem;

/// Things that stop a thread without its doing, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// A page had to be read from disk.
    pub major_faults: u64,
    /// A page had to be mapped.
    pub minor_faults: u64,
    /// Another thread was given the processor.
    pub preemptions: u64,
}

impl Usage {
    /// getrusage(2) of the calling thread.
    pub fn of_this_thread() -> Usage {
        // SAFETY: rusage is integers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { mem::zeroed() };
        // SAFETY: `usage` is writable. An error leaves zeros, which read as "nothing happened".
        unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
        let count = |value: libc::c_long| u64::try_from(value).unwrap_or(0);
        Usage {
            major_faults: count(usage.ru_majflt),
            minor_faults: count(usage.ru_minflt),
            preemptions: count(usage.ru_nivcsw),
        }
    }

    /// What came after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            major_faults: self.major_faults.saturating_sub(earlier.major_faults),
            minor_faults: self.minor_faults.saturating_sub(earlier.minor_faults),
            preemptions: self.preemptions.saturating_sub(earlier.preemptions),
        }
    }
}

/// The calling thread, for [`Times::of`].
#[must_use]
pub fn thread_id() -> u64 {
    // SAFETY: takes and touches nothing.
    u64::try_from(unsafe { libc::gettid() }).unwrap_or(0)
}

/// Where a thread's time went, nanoseconds since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// On a processor.
    pub busy_ns: u64,
    /// Ready to run, while another thread had the processor.
    pub queued_ns: u64,
}

impl Times {
    /// Of a thread of this process; `None` when it has ended or the kernel does not keep the figures.
    ///
    /// proc(5), `schedstat`: time on the processor, time on the run queue, time slices.
    #[must_use]
    pub fn of(thread_id: u64) -> Option<Times> {
        let text = std::fs::read_to_string(format!("/proc/self/task/{thread_id}/schedstat")).ok()?;
        let mut numbers = text.split_ascii_whitespace().map_while(|word| word.parse().ok());
        Some(Times { busy_ns: numbers.next()?, queued_ns: numbers.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_new_memory_is_a_fault() {
        let before = Usage::of_this_thread();
        let len = 64 * 4096;
        // SAFETY: a mapping of our own, used within its length and given back.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), len, libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            for page in (0..len).step_by(4096) {
                start.cast::<u8>().add(page).write_volatile(1);
            }
            libc::munmap(start, len);
        }
        assert!(Usage::of_this_thread().since(before).minor_faults > 0);
    }

    #[test]
    fn a_working_thread_is_busy_and_an_ended_one_is_unknown() {
        let (id, busy) = std::thread::spawn(|| {
            let before = Times::of(thread_id()).expect("the kernel keeps the figures");
            let mut now = before;
            // The kernel brings the figures up to date at least with every tick of its own.
            while now.busy_ns == before.busy_ns {
                now = Times::of(thread_id()).expect("the thread is here");
            }
            (thread_id(), now.busy_ns > before.busy_ns)
        })
        .join()
        .unwrap();
        assert!(busy);
        assert_eq!(Times::of(u64::MAX), None);
        assert_ne!(id, thread_id());
    }
}
