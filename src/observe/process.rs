//! What the kernel tells of the whole process.
//!
//! Invariant: asking costs the same however many connections there are, and needs no free file descriptor.

use std::fs::File;

use super::thread::read_again;

/// Figures of this process.
#[derive(Debug)]
pub struct Process {
    statm: Option<File>,
    page_len: Option<u64>,
    start_seconds: Option<f64>,
    /// Files that are open without any connection, as far as they are known.
    own_files: u64,
}

impl Process {
    /// Keeps open what is read again and again. Call it before there are connections.
    #[must_use]
    pub fn open() -> Process {
        Process {
            statm: File::open("/proc/self/statm").ok(),
            page_len: positive_sysconf(libc::_SC_PAGESIZE),
            start_seconds: start_seconds(),
            own_files: std::fs::read_dir("/proc/self/fd").map_or(0, |folder| folder.count() as u64),
        }
    }

    /// proc(5): the second number of `statm` is the resident set in pages.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        let text = read_again(self.statm.as_ref()?)?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages * self.page_len?)
    }

    /// Since Linux 6.2 the length of the folder is the number of files. Before, the connections and what was open
    /// besides at the start: listing the folder would take the kernel a kilobyte for every file.
    #[must_use]
    pub fn open_files(&self, connections: u64) -> u64 {
        match std::fs::metadata("/proc/self/fd").map_or(0, |folder| folder.len()) {
            0 => self.own_files + connections,
            count => count,
        }
    }

    #[must_use]
    pub fn start_seconds(&self) -> Option<f64> {
        self.start_seconds
    }
}

/// proc(5): field 22 of `stat` is the start in clock ticks since boot; `btime` of `/proc/stat` is the boot.
#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit into 53 bits")]
fn start_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; what follows is field 3.
    let ticks: u64 = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(22 - 3)?.parse().ok()?;
    let system = std::fs::read_to_string("/proc/stat").ok()?;
    let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: u64 = boot.trim().parse().ok()?;
    Some(boot as f64 + ticks as f64 / positive_sysconf(libc::_SC_CLK_TCK)? as f64)
}

/// How many files may be open.
#[must_use]
pub fn files_max() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a local of the type that is asked for.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (done == 0).then_some(limit.rlim_cur)
}

/// How long all threads have run, those that have ended too.
#[must_use]
pub fn run_ns() -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local of the type that is asked for.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let part = |part: i64| u64::try_from(part).ok();
    Some(part(time.tv_sec)? * 1_000_000_000 + part(time.tv_nsec)?).filter(|_| done == 0)
}

fn positive_sysconf(name: libc::c_int) -> Option<u64> {
    // SAFETY: sysconf reads no memory of ours.
    let value = unsafe { libc::sysconf(name) };
    u64::try_from(value).ok().filter(|value| *value > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_without_listing_them() {
        let process = Process::open();
        let before = process.open_files(0);
        let files: Vec<File> = (0..500).map(|_| File::open("/proc/self/statm").unwrap()).collect();
        let after = process.open_files(500);
        // Other tests open files meanwhile.
        assert!(after >= before + 400, "{before} {after}");
        drop(files);
        assert!(process.resident_bytes().unwrap() > 1 << 20);
    }
}
