//! What the kernel knows of a thread: processor time, waiting for a processor, page faults, preemptions.
//!
//! [`Usage`] is read by the thread itself, a system call. [`ThreadFile`] is read by the scrape from outside and costs the
//! thread nothing, so it is there also while the thread is stuck.

use std::fs::File;
use std::mem;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

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

/// Where the kernel tells of a thread: a file that is kept open, as there may be none to spare when it is asked.
#[derive(Debug, Default)]
pub struct ThreadFile(OnceLock<File>);

impl ThreadFile {
    /// Makes it the calling thread's. The first caller's it stays.
    pub fn attach(&self) {
        // SAFETY: takes and touches nothing.
        let id = unsafe { libc::gettid() };
        if let Ok(file) = File::open(format!("/proc/self/task/{id}/schedstat")) {
            let _ = self.0.set(file);
        }
    }

    /// `None` before there is a thread, when it has ended, and when the kernel does not keep the figures.
    ///
    /// proc(5), `schedstat`: time on the processor, time on the run queue, time slices.
    #[must_use]
    pub fn times(&self) -> Option<Times> {
        let text = read_again(self.0.get()?)?;
        let mut numbers = text.split_ascii_whitespace().map_while(|word| word.parse().ok());
        Some(Times { busy_ns: numbers.next()?, queued_ns: numbers.next()? })
    }
}

/// What a short file of /proc says now.
pub(super) fn read_again(file: &File) -> Option<String> {
    let mut bytes = [0; 4096];
    let len = file.read_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes[..len]).into_owned())
}

/// Where a thread's time went, nanoseconds since it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// On a processor.
    pub busy_ns: u64,
    /// Ready to run, while another thread had the processor.
    pub queued_ns: u64,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
        let file = Arc::new(ThreadFile::default());
        assert_eq!(file.times(), None);
        let own = file.clone();
        let working = std::thread::spawn(move || {
            own.attach();
            let before = own.times().expect("the kernel keeps the figures");
            // The kernel brings the figures up to date at least with every tick of its own.
            while own.times().expect("the thread is here").busy_ns == before.busy_ns {}
        });
        working.join().unwrap();
        // Its end in the kernel comes a moment after.
        while file.times().is_some() {
            std::thread::yield_now();
        }
    }
}
