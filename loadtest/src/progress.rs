//! What a run is doing, on stderr, once a second.
//!
//! Invariant: on a terminal one line is rewritten in place and never longer than the terminal is wide; anything else
//! gets plain lines.

use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::Ordering::Relaxed;

use crate::report::Sample;
use crate::report::figures::{count, duration, si};
use crate::shared::{Times, Worker};

const INTERVAL_NS: u64 = 1_000_000_000;
/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;

/// What is known of a run before it begins.
pub struct Plan {
    pub sessions: u64,
    /// Seconds of load, if the scenario ends by time.
    pub seconds: Option<u32>,
    /// Seconds without anything moving that are too many.
    pub patience_s: u64,
}

/// Reports each second and notices when nothing moves.
pub struct Progress {
    plan: Plan,
    terminal: bool,
    next_ns: u64,
    last: Sample,
    load_start_ns: Option<u64>,
    moved_ns: u64,
}

impl Progress {
    /// `first` is the sample before anything has happened.
    pub fn new(plan: Plan, first: Sample) -> Progress {
        let moved_ns = first.at_ns;
        Progress {
            plan,
            terminal: stderr().is_terminal(),
            next_ns: moved_ns + INTERVAL_NS,
            last: first,
            load_start_ns: None,
            moved_ns,
        }
    }

    /// Whether it is time for another line.
    pub fn due(&self, at_ns: u64) -> bool {
        at_ns >= self.next_ns
    }

    pub fn load_starts(&mut self, at_ns: u64) {
        self.load_start_ns = Some(at_ns);
    }

    /// Prints a line; an error when nothing has moved for too long.
    pub fn report(&mut self, sample: Sample, workers: &[Worker]) -> Result<(), String> {
        let failed = workers.iter().map(|w| w.failed.load(Relaxed)).sum();
        let line = self.line(&sample, failed, Times::at(workers, 99.0));
        match self.terminal {
            true => {
                let shown: String = line.chars().take(columns().saturating_sub(1)).collect();
                // Back to the first column, and the rest of the old line away (ECMA-48 EL).
                eprint!("\r{shown}\x1b[K");
                let _ = stderr().flush();
            }
            false => eprintln!("{line}"),
        }
        // Only opening can hang: the load itself is limited in time.
        let counts = |s: &Sample| (s.sessions, s.answers, s.deliveries, s.errors);
        if counts(&sample) != counts(&self.last) || self.load_start_ns.is_some() {
            self.moved_ns = sample.at_ns;
        }
        (self.last, self.next_ns) = (sample, (sample.at_ns / INTERVAL_NS + 1) * INTERVAL_NS);
        match sample.at_ns - self.moved_ns > self.plan.patience_s * 1_000_000_000 {
            true => Err(format!(
                "Nothing moved for {} s: {} of {} sessions are READY; is the server alive?",
                self.plan.patience_s, sample.sessions, self.plan.sessions
            )),
            false => Ok(()),
        }
    }

    /// Frees the line for what comes after it.
    pub fn finish(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }

    fn line(&self, now: &Sample, failed: u64, p99_ns: Option<u64>) -> String {
        let last = &self.last;
        let seconds = (now.at_ns - last.at_ns).max(1) as f64 / 1e9;
        let rate = |now: u64, last: u64| si(now.saturating_sub(last) as f64 / seconds);
        let whole = |ns: u64| (ns + INTERVAL_NS / 2) / INTERVAL_NS;
        let (sessions, errors) = (count(now.sessions as f64), count(now.errors as f64));
        let Some(start_ns) = self.load_start_ns else {
            let wanted = count(self.plan.sessions as f64);
            let opened = rate(now.sessions, last.sessions);
            return format!(
                "{:4} s  opening  {sessions} of {wanted} sessions  {opened}/s  {failed} failed  {errors} errors",
                whole(now.at_ns)
            );
        };
        let elapsed = whole(now.at_ns.saturating_sub(start_ns));
        let mut line = format!("{elapsed:4} s");
        if let Some(seconds) = self.plan.seconds.map(u64::from) {
            line += &match seconds.saturating_sub(elapsed) {
                0 => format!(" of {seconds}  ending"),
                left => format!(" of {seconds}  {left} left"),
            };
        }
        // A scenario without sessions, requests or events need not say so each second.
        let parts = [
            (self.plan.sessions, format!("{sessions} sessions")),
            (now.answers, format!("{} answers/s", rate(now.answers, last.answers))),
            (now.deliveries, format!("{} deliveries/s", rate(now.deliveries, last.deliveries))),
            (p99_ns.unwrap_or(0), format!("p99 {}", duration(p99_ns.unwrap_or(0) as f64 / 1e3))),
            (1, format!("{errors} errors")),
        ];
        for (_, part) in parts.iter().filter(|(total, _)| *total > 0) {
            line += &format!("  {part}");
        }
        line
    }
}

/// Width of the terminal behind stderr.
fn columns() -> usize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a valid winsize for the call to fill in.
    let outcome = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if outcome == 0 && size.ws_col > 0 { usize::from(size.ws_col) } else { COLUMNS }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, n: u64) -> Sample {
        Sample {
            at_ns: seconds * 1_000_000_000,
            deliveries: n * 1000,
            answers: n,
            sessions: n,
            errors: n / 10,
            ..Sample::default()
        }
    }

    fn progress(seconds: Option<u32>) -> Progress {
        Progress::new(Plan { sessions: 2000, seconds, patience_s: 5 }, at(0, 0))
    }

    #[test]
    fn lines_say_where_the_run_is() {
        let mut progress = progress(Some(10));
        assert_eq!(
            progress.line(&at(2, 1000), 3, None),
            "   2 s  opening  1,000 of 2,000 sessions  500/s  3 failed  100 errors"
        );
        progress.load_starts(2_000_000_000);
        progress.last = at(5, 1000);
        let line = progress.line(&at(6, 1500), 0, Some(25_000_000));
        assert_eq!(
            line,
            "   4 s of 10  6 left  1,500 sessions  500 answers/s  500 k deliveries/s  p99 25 ms  150 errors"
        );
        assert!(progress.line(&at(13, 1500), 0, None).contains("ending"));
        let idle = Sample { at_ns: 14_000_000_000, ..at(5, 1000) };
        progress.plan.sessions = 0;
        assert_eq!(
            progress.line(&Sample { answers: 0, deliveries: 0, ..idle }, 0, None),
            "  12 s of 10  ending  100 errors"
        );
        progress.plan = Plan { sessions: 2000, seconds: None, patience_s: 5 };
        assert!(progress.line(&at(6, 1500), 0, None).starts_with("   4 s  1,500 sessions"));
    }

    #[test]
    fn only_an_opening_that_hangs_is_an_error() {
        let mut hangs = progress(None);
        assert!(hangs.report(at(1, 7), &[]).is_ok());
        assert!(hangs.report(at(6, 7), &[]).is_ok());
        assert!(hangs.report(at(7, 7), &[]).unwrap_err().contains("7 of 2000"));
        let mut runs = progress(None);
        runs.load_starts(1);
        assert!(runs.report(at(50, 0), &[]).is_ok());
        assert!(runs.due(51_000_000_000) && !runs.due(50_999_999_999));
    }
}
