//! What the tool asks of Linux: the clock, limits, and the server's CPU time and memory from /proc.
//!
//! Invariant: a process that cannot be read counts as zero and never fails a run.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kernel::{Kernel, kernel};
use crate::stats::Results;

/// Monotonic nanoseconds; the same clock for all processes of a machine.
pub fn now_ns() -> u64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `t` is a valid timespec for the call to fill in.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Raises the limit on open files as far as it may go; gives the new limit.
pub fn raise_file_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            let wanted = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &wanted) == 0 {
                return wanted.rlim_cur;
            }
        }
    }
    limit.rlim_cur
}

/// Makes the kernel end this process with its parent, and timers exact to the microsecond. Ctrl-C, which a terminal
/// sends to all processes, is for the parent to answer.
pub fn set_up_worker() {
    // SAFETY: both options take plain integers.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_000);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        libc::signal(libc::SIGTERM, libc::SIG_IGN);
    }
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_: i32) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// From now on the first SIGINT or SIGTERM is only noted; a second ends the process as ever.
pub fn watch_interrupts() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the action is zero but for a handler that stores to an atomic, which any signal may interrupt.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = interrupt as extern "C" fn(i32) as libc::sighandler_t;
            action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
}

pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// CPU seconds used so far by `pids` together, user and system, all threads.
pub fn cpu_seconds(pids: &[u32]) -> f64 {
    pids.iter().map(|pid| cpu_ns(*pid)).sum::<u64>() as f64 / 1e9
}

/// Nanoseconds that the scheduler has run all threads of a process, those that have ended included: the sum of what
/// /proc/PID/task/*/schedstat says of those that have not, and nothing like the 10 ms of /proc/PID/stat.
pub fn cpu_ns(pid: u32) -> u64 {
    // The id is packed into a clock's number; no process has a greater one (PID_MAX_LIMIT of linux/threads.h).
    if pid > 1 << 22 {
        return 0;
    }
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut clock = 0;
    // SAFETY: both are valid for the calls to fill in.
    let read = unsafe {
        libc::clock_getcpuclockid(pid as libc::pid_t, &mut clock) == 0
            && libc::clock_gettime(clock, &mut t) == 0
    };
    if read { t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64 } else { 0 }
}

/// Memory in KiB.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Heap, stacks: nothing but this process has it.
    pub anon_kib: u64,
    /// Mapped files, such as the store; the kernel may take it back.
    pub file_kib: u64,
    pub shmem_kib: u64,
    /// Page tables of the processes.
    pub tables_kib: u64,
    /// MemAvailable of the machine: both ends, kernel buffers included.
    pub available_kib: u64,
    /// Of the machine.
    pub kernel: Kernel,
}

impl Memory {
    /// Resident size: VmRSS.
    pub fn rss_kib(&self) -> u64 {
        self.anon_kib + self.file_kib + self.shmem_kib
    }
}

/// Memory of `pids` together, and of the machine.
pub fn memory(pids: &[u32]) -> Memory {
    let mut sum = Memory::default();
    for pid in pids {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        sum.anon_kib += field_kib(&status, "RssAnon:");
        sum.file_kib += field_kib(&status, "RssFile:");
        sum.shmem_kib += field_kib(&status, "RssShmem:");
        sum.tables_kib += field_kib(&status, "VmPTE:");
    }
    sum.available_kib = field_kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable:");
    sum.kernel = kernel();
    sum
}

/// Adds what a session costs, user and kernel, between two moments with `sessions` sessions opened in between.
pub fn add_per_session(results: &mut Results, pids: &[u32], before: &Memory, after: &Memory, sessions: u64) {
    let per_session = |after: u64, before: u64| (after as f64 - before as f64) * 1024.0 / sessions as f64;
    results
        .gauge("machine_slab_bytes_per_session", per_session(after.kernel.slab_kib, before.kernel.slab_kib));
    results.gauge(
        "machine_tables_bytes_per_session",
        per_session(after.kernel.tables_kib, before.kernel.tables_kib),
    );
    if pids.is_empty() {
        return;
    }
    let slabs = crate::kernel::server_bytes(&before.kernel, &after.kernel, sessions) / sessions as f64;
    let kernel = slabs + per_session(after.tables_kib, before.tables_kib);
    let rss = per_session(after.rss_kib(), before.rss_kib());
    results.gauge("server_rss_bytes_per_session", rss);
    results.gauge("server_kernel_bytes_per_session", kernel);
    results.gauge("server_total_bytes_per_session", rss + kernel);
}

/// A field such as `VmRSS:    1234 kB`; 0 when it is not there.
pub fn field_kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// MemTotal of the machine.
pub fn memory_total_kib() -> u64 {
    field_kib(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:")
}

/// The pids that cannot be read, or have ended and wait for their parent, so that a mistyped or dead one is named
/// instead of counted as zero.
pub fn missing(pids: &[u32]) -> Vec<u32> {
    let runs = |pid: &u32| has_state(&fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default());
    pids.iter().copied().filter(|pid| !runs(pid)).collect()
}

/// Whether a /proc/PID/stat line is of a process that has not ended: its state is neither Z nor X (proc(5), field 3).
fn has_state(stat: &str) -> bool {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().next().is_some_and(|state| !["Z", "X", "x"].contains(&state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states() {
        let line = "12 (a) b (c)) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 5 6 7";
        assert!(has_state(line) && !has_state(&line.replace(") S", ") Z")) && !has_state(""));
    }

    /// A thread that has ended counts, and steps are finer than a tick.
    #[test]
    fn cpu_time_is_that_of_the_scheduler() {
        let pid = std::process::id();
        let spin = || {
            let start = now_ns();
            while now_ns() < start + 3_000_000 {}
        };
        let before = cpu_ns(pid);
        std::thread::spawn(spin).join().unwrap();
        let after = cpu_ns(pid);
        assert!(after > before + 100_000, "{before} {after}");
        assert!([before, after].iter().any(|ns| !ns.is_multiple_of(1_000_000)), "not in ticks");
        assert_eq!([cpu_ns(u32::MAX), cpu_ns(1 << 22)], [0, 0]);
    }

    #[test]
    fn memory_fields() {
        let text = "Name:\tx\nRssAnon:\t    1234 kB\nRssFile:\t 5 kB\n";
        assert_eq!(field_kib(text, "RssAnon:"), 1234);
        assert_eq!(field_kib(text, "RssFile:"), 5);
        assert_eq!(field_kib(text, "RssShmem:"), 0);
    }

    #[test]
    fn this_process_has_memory() {
        let pid = std::process::id();
        assert!(memory(&[pid]).anon_kib > 0);
        assert!(missing(&[pid]).is_empty());
        assert_eq!(missing(&[u32::MAX]), [u32::MAX]);
        assert!(now_ns() <= now_ns());
    }
}
