//! What the kernel tells of the machine, for people who look at a console.
//!
//! Reading it is a handful of small files: not for a core. What is older than a second is read anew, so that asking often
//! costs nothing, and processor time is that of a second at least.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How old figures may be.
const FRESH: Duration = Duration::from_secs(1);

/// Asked for by any thread but a core's.
#[derive(Debug)]
pub struct System {
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    cpu: Cpu,
    /// `None` before anybody has asked.
    figures: Option<Figures>,
}

/// Of the whole machine, but for the last two, which are the process's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figures {
    /// Part of the processors' time that was spent, in thousandths.
    pub cpu_per_mille: u64,
    pub memory_len: u64,
    pub memory_used_len: u64,
    pub process_len: u64,
    pub thread_count: u64,
}

/// Ticks of all processors since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cpu {
    idle: u64,
    total: u64,
}

impl Default for System {
    fn default() -> System {
        System { seen: Mutex::new(Seen { at: Instant::now(), cpu: Cpu::read(), figures: None }) }
    }
}

impl System {
    /// `None` where the kernel does not tell.
    pub fn figures(&self) -> Option<Figures> {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if seen.figures.is_some() && seen.at.elapsed() < FRESH {
            return seen.figures;
        }
        let (cpu, before) = (Cpu::read(), seen.cpu);
        let per_mille = cpu.busy_since(before).or(seen.figures.map(|figures| figures.cpu_per_mille));
        let figures = read(per_mille.unwrap_or(0));
        *seen = Seen { at: Instant::now(), cpu, figures };
        figures
    }
}

impl Cpu {
    /// proc(5), `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guests are part of the first two.
    fn parse(stat: &str) -> Cpu {
        let line = stat.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        let ticks: Vec<u64> =
            line.split_ascii_whitespace().take(8).map_while(|word| word.parse().ok()).collect();
        Cpu { idle: ticks.iter().skip(3).take(2).sum(), total: ticks.iter().sum() }
    }

    fn read() -> Cpu {
        Cpu::parse(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    /// In thousandths; `None` when no time has passed.
    fn busy_since(self, before: Cpu) -> Option<u64> {
        let total = self.total.saturating_sub(before.total);
        let idle = self.idle.saturating_sub(before.idle).min(total);
        ((total - idle) * 1_000).checked_div(total)
    }
}

fn read(cpu_per_mille: u64) -> Option<Figures> {
    let memory = std::fs::read_to_string("/proc/meminfo").ok()?;
    let process = std::fs::read_to_string("/proc/self/status").ok()?;
    let (memory_len, available) = (kib(&memory, "MemTotal:")?, kib(&memory, "MemAvailable:")?);
    Some(Figures {
        cpu_per_mille,
        memory_len,
        memory_used_len: memory_len.saturating_sub(available),
        process_len: kib(&process, "VmRSS:")?,
        thread_count: number(&process, "Threads:")?,
    })
}

/// A line of kibibytes, as bytes.
fn kib(text: &str, name: &str) -> Option<u64> {
    number(text, name)?.checked_mul(1_024)
}

fn number(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_processors_have_spent_is_told_from_time_they_waited() {
        let before = Cpu::parse("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n");
        assert_eq!(before, Cpu { idle: 800, total: 1_000 });
        let after = Cpu::parse("cpu  150 0 150 1000 200 0 0 0 90 0\n");
        assert_eq!(after.busy_since(before), Some(200));
        assert_eq!(before.busy_since(before), None);
        assert_eq!(before.busy_since(after), None, "counters that went backwards");
        assert_eq!(Cpu::parse(""), Cpu::default());
    }

    #[test]
    fn this_process_uses_some_of_what_there_is() {
        let system = System::default();
        let figures = system.figures().expect("there is /proc");
        assert!(figures.thread_count >= 1 && figures.process_len > 1 << 20, "{figures:?}");
        assert!(figures.process_len < figures.memory_len, "{figures:?}");
        assert!(
            figures.memory_used_len < figures.memory_len && figures.cpu_per_mille <= 1_000,
            "{figures:?}"
        );
        assert_eq!(system.figures(), Some(figures), "of the same second");
    }
}
