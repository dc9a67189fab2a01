//! CPU time and resident memory of processes, cheaply enough to be read several times a second.
//!
//! Invariant: a process that cannot be read counts as zero and never fails a run.

use std::fs;

use crate::system;

/// Of some processes together, all their threads included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU seconds since the processes began.
    pub user_s: f64,
    pub system_s: f64,
    /// Resident memory that belongs to no file.
    pub anon_kib: u64,
    /// Resident memory of files and shared memory; of files, the kernel may take it back.
    pub file_kib: u64,
}

impl Usage {
    pub fn of(pids: &[u32]) -> Usage {
        // SAFETY: sysconf takes no pointer.
        let page_len = unsafe { libc::sysconf(libc::_SC_PAGESIZE).max(1024) };
        let mut sum = Usage::default();
        for pid in pids {
            let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let (user, system) = ticks(&read("stat"));
            let (anon, file) = pages(&read("statm"));
            // The ticks say how the exact time divides.
            let cpu_s = system::cpu_ns(*pid) as f64 / 1e9;
            let user_s = cpu_s * user as f64 / (user + system).max(1) as f64;
            sum.user_s += user_s;
            sum.system_s += cpu_s - user_s;
            sum.anon_kib += anon * (page_len as u64 / 1024);
            sum.file_kib += file * (page_len as u64 / 1024);
        }
        sum
    }

    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// The same with the larger memory of both.
    pub fn with_peak(self, other: &Usage) -> Usage {
        Usage {
            anon_kib: self.anon_kib.max(other.anon_kib),
            file_kib: self.file_kib.max(other.file_kib),
            ..self
        }
    }
}

/// utime and stime of a /proc/PID/stat line (proc(5), fields 14 and 15). The name before them may hold blanks.
fn ticks(stat: &str) -> (u64, u64) {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace().skip(11).map(|field| field.parse().unwrap_or(0));
    (fields.next().unwrap_or(0), fields.next().unwrap_or(0))
}

/// Anonymous and other resident pages of a /proc/PID/statm line: its second field is all that is resident, its
/// third what of it belongs to files or shared memory (proc(5)).
fn pages(statm: &str) -> (u64, u64) {
    let mut fields = statm.split_whitespace().skip(1).map(|field| field.parse::<u64>().unwrap_or(0));
    let (resident, shared) = (fields.next().unwrap_or(0), fields.next().unwrap_or(0));
    (resident.saturating_sub(shared), shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let line = "12 (a) b (c)) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 5 6 7";
        assert_eq!(ticks(line), (250, 50));
        assert_eq!(pages("5000 300 120 9 0 8 0"), (180, 120));
        for broken in ["", "x", "1 2"] {
            assert_eq!(ticks(broken), (0, 0));
        }
        assert_eq!(pages(""), (0, 0));
    }

    #[test]
    fn this_process_uses_memory() {
        let pid = std::process::id();
        let (one, two) = (Usage::of(&[pid]), Usage::of(&[pid, pid, u32::MAX]));
        assert!(one.anon_kib > 0 && one.file_kib > 0);
        assert!(two.anon_kib >= one.anon_kib * 3 / 2, "both are counted, what is missing is not");
        let peak = Usage { anon_kib: 5, file_kib: 1, ..Usage::default() };
        assert_eq!(Usage::default().with_peak(&peak), peak);
    }
}
