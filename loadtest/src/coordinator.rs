//! Runs a scenario in one or more child processes and puts their results together.
//!
//! Owns: starting, watching and ending the processes, the phases of a run, progress on stderr.
//! Invariant: no process outlives the run; a run in which nothing moves ends by itself.

use std::io::BufReader;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::args::Common;
use crate::shared::{OPENING, RUNNING, STOPPING, Shared};
use crate::stats::Results;
use crate::system::{self, Memory, now_ns};

/// Sessions one process takes by default: leaves room under a limit of 20,000 open files.
const SESSIONS_PER_PROCESS: u32 = 15_000;

/// What a scenario needs of the coordinator.
pub struct Launch<'a> {
    pub common: &'a Common,
    pub run: u32,
    /// Gateway sessions over all processes.
    pub sessions: u32,
    /// HTTP connections of the busiest process.
    pub connections: u32,
    /// Report memory per session: it only means something when nothing else goes on.
    pub memory: bool,
}

/// Memory of the server at three moments.
#[derive(Default)]
struct Snapshots {
    before: Memory,
    opened: Memory,
    finished: Memory,
}

/// Runs to the end. The error is a sentence about why nothing could be measured.
pub fn run(launch: &Launch<'_>, arguments: &[String]) -> Result<Results, String> {
    let processes = launch.common.processes.unwrap_or(launch.sessions.div_ceil(SESSIONS_PER_PROCESS).max(1));
    check_limits(launch, processes)?;
    let mut snapshots = Snapshots { before: system::memory(&launch.common.pid), ..Snapshots::default() };
    let (shared, shared_fd) = Shared::create().map_err(|e| format!("shared memory: {e}"))?;
    let wake_fd = event_fd()?;
    let mut workers = Vec::new();
    for index in 0..processes {
        workers.push(Process::start(index, processes, launch.run, &shared_fd, &wake_fd, arguments)?);
    }
    let watched = watch(launch, shared, &mut workers, processes, &mut snapshots);
    shared.phase.store(STOPPING, Release);
    let mut results = Results::default();
    for worker in workers {
        let outcome = worker.collect(&mut results);
        if watched.is_ok() {
            outcome?;
        }
    }
    match watched {
        Err(why) => Err(with_errors(why, &results)),
        Ok(()) => {
            add_memory(&mut results, launch, &snapshots);
            Ok(results)
        }
    }
}

fn check_limits(launch: &Launch<'_>, processes: u32) -> Result<(), String> {
    let missing = system::missing(&launch.common.pid);
    if !missing.is_empty() {
        return Err(format!("--pid: no process {missing:?}; give the ids of the running server."));
    }
    let files = system::raise_file_limit();
    let needed = u64::from(launch.sessions.div_ceil(processes) + launch.connections) + 64;
    if needed > files {
        return Err(format!(
            "A process would open {needed} files, but may open {files}; raise `ulimit -n` or --processes."
        ));
    }
    Ok(())
}

fn event_fd() -> Result<OwnedFd, String> {
    // SAFETY: plain integers in; the descriptor is checked and then owned. Children inherit it.
    unsafe {
        match libc::eventfd(0, libc::EFD_NONBLOCK) {
            -1 => Err(format!("eventfd: {}", std::io::Error::last_os_error())),
            fd => Ok(OwnedFd::from_raw_fd(fd)),
        }
    }
}

/// A child and the thread that reads its results, so that a full pipe never blocks it.
struct Process {
    child: Child,
    reader: JoinHandle<Result<Results, String>>,
}

impl Process {
    fn start(
        index: u32,
        count: u32,
        run: u32,
        shared_fd: &OwnedFd,
        wake_fd: &OwnedFd,
        arguments: &[String],
    ) -> Result<Process, String> {
        let mut child = Command::new("/proc/self/exe")
            .args(["worker", "--index", &index.to_string(), "--count", &count.to_string()])
            .args(["--run", &run.to_string()])
            .args(["--shared-fd", &shared_fd.as_raw_fd().to_string()])
            .args(["--wake-fd", &wake_fd.as_raw_fd().to_string()])
            .arg("--")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("a process could not be started: {e}"))?;
        let output = child.stdout.take().expect("stdout is a pipe");
        let reader = thread::spawn(move || {
            let mut results = Results::default();
            results.add_lines(BufReader::new(output)).map(|()| results)
        });
        Ok(Process { child, reader })
    }

    /// Waits for the process and adds its results.
    fn collect(mut self, sum: &mut Results) -> Result<(), String> {
        let outcome = self.reader.join().map_err(|_| "a reader of results failed".to_string())?;
        // Its results are in; all that is left for it to do is to exit.
        let _ = self.child.wait();
        sum.add_lines(outcome?.to_lines().as_bytes())
    }
}

/// Leads the processes through the phases; returns when the load is over.
fn watch(
    launch: &Launch<'_>,
    shared: &Shared,
    workers: &mut [Process],
    processes: u32,
    snapshots: &mut Snapshots,
) -> Result<(), String> {
    let mut progress = Progress::new(launch);
    loop {
        thread::sleep(Duration::from_millis(5));
        for worker in workers.iter_mut() {
            if let Ok(Some(status)) = worker.child.try_wait() {
                return Err(format!("A process of the load generator ended early ({status})."));
            }
        }
        let states = shared.workers(processes);
        if shared.phase() == OPENING && states.iter().all(|w| w.opened.load(Acquire) == 1) {
            let ready: u64 = states.iter().map(|w| w.ready.load(Relaxed)).sum();
            if launch.sessions > 0 && ready == 0 {
                return Err("No session became READY; see the errors below and the server's log.".into());
            }
            snapshots.opened = system::memory(&launch.common.pid);
            shared.run_start_ns.store(now_ns(), Release);
            shared.phase.store(RUNNING, Release);
        }
        if shared.phase() == RUNNING && states.iter().all(|w| w.finished.load(Acquire) == 1) {
            snapshots.finished = system::memory(&launch.common.pid);
            return Ok(());
        }
        progress.report(shared, processes)?;
    }
}

#[derive(Clone, Copy, Default, PartialEq)]
struct Totals {
    ready: u64,
    failed: u64,
    deliveries: u64,
    answers: u64,
}

/// Prints a line each second and notices when nothing moves.
struct Progress {
    sessions: u64,
    patience_ns: u64,
    started_ns: u64,
    reported_ns: u64,
    moved_ns: u64,
    last: Totals,
}

impl Progress {
    fn new(launch: &Launch<'_>) -> Progress {
        let now = now_ns();
        Progress {
            sessions: u64::from(launch.sessions),
            patience_ns: u64::from(launch.common.patience.max(1)) * 1_000_000_000,
            started_ns: now,
            reported_ns: now,
            moved_ns: now,
            last: Totals::default(),
        }
    }

    fn report(&mut self, shared: &Shared, processes: u32) -> Result<(), String> {
        let now = now_ns();
        if now < self.reported_ns + 1_000_000_000 {
            return Ok(());
        }
        let totals = shared.workers(processes).iter().fold(Totals::default(), |t, w| Totals {
            ready: t.ready + w.ready.load(Relaxed),
            failed: t.failed + w.failed.load(Relaxed),
            deliveries: t.deliveries + w.deliveries.load(Relaxed),
            answers: t.answers + w.answers.load(Relaxed),
        });
        let seconds = (now - self.reported_ns) as f64 / 1e9;
        let rate = |new: u64, old: u64| new.saturating_sub(old) as f64 / seconds;
        let age = (now - self.started_ns) / 1_000_000_000;
        let opening = shared.phase() == OPENING;
        if opening {
            eprintln!(
                "{age:4} s  opening: {}/{} sessions ({:.0}/s), {} failed",
                totals.ready,
                self.sessions,
                rate(totals.ready, self.last.ready),
                totals.failed
            );
        } else {
            eprintln!(
                "{age:4} s  running: {} sessions, {:.0} answers/s, {:.0} deliveries/s",
                totals.ready,
                rate(totals.answers, self.last.answers),
                rate(totals.deliveries, self.last.deliveries)
            );
        }
        // Only opening can hang: the load itself is limited in time.
        if totals != self.last || !opening {
            self.moved_ns = now;
        }
        (self.last, self.reported_ns) = (totals, now);
        match now - self.moved_ns > self.patience_ns {
            true => Err(format!(
                "Nothing moved for {} s: {} of {} sessions are READY; is the server alive?",
                self.patience_ns / 1_000_000_000,
                totals.ready,
                self.sessions
            )),
            false => Ok(()),
        }
    }
}

/// Appends what went wrong, and what to do about the causes that are known.
fn with_errors(why: String, results: &Results) -> String {
    let errors: Vec<String> =
        results.errors.iter().map(|(text, n)| format!("\n  error: {text}: {n}")).collect();
    format!("{why}{}{}", errors.join(""), advice(results).map(|a| format!("\n{a}")).unwrap_or_default())
}

/// A sentence for errors whose usual cause is known.
pub fn advice(results: &Results) -> Option<&'static str> {
    const ADVICE: [(&str, &str); 6] = [
        (
            "4008",
            "4008 before READY is a gateway limit: set websocket.identify_per_ip_per_minute = 0 on the server, and take at most 5 sessions per user.",
        ),
        (
            "HTTP 429",
            "429 is a rate limit: set rate_limiting.enabled = false on the server, or give --bypass.",
        ),
        ("4004", "4004 and 401 mean that the tokens are not of this server's store: seed it again."),
        ("HTTP 401", "4004 and 401 mean that the tokens are not of this server's store: seed it again."),
        ("refused", "The server does not listen there: start it, or give its address with --base."),
        ("not available", "No free source ports: give --sources 4."),
    ];
    let found = |needle: &str| results.errors.keys().any(|text| text.contains(needle));
    ADVICE.iter().find(|(needle, _)| found(needle)).map(|(_, advice)| *advice)
}

fn add_memory(results: &mut Results, launch: &Launch<'_>, snapshots: &Snapshots) {
    let sessions = results.counter("sessions_ready");
    if sessions == 0 || !launch.memory {
        return;
    }
    let per_session = |after: u64, before: u64| (after as f64 - before as f64) * 1024.0 / sessions as f64;
    let Snapshots { before, opened, finished } = snapshots;
    if !launch.common.pid.is_empty() {
        results.gauge("server_anon_kib_before", before.anon_kib as f64);
        results.gauge("server_anon_kib_opened", opened.anon_kib as f64);
        results.gauge("server_anon_kib_finished", finished.anon_kib as f64);
        results.gauge("server_file_kib_finished", finished.file_kib as f64);
        results.gauge("server_anon_bytes_per_session", per_session(finished.anon_kib, before.anon_kib));
        results.gauge("server_file_bytes_per_session", per_session(finished.file_kib, before.file_kib));
        results.gauge("server_shmem_bytes_per_session", per_session(finished.shmem_kib, before.shmem_kib));
    }
    system::add_per_session(results, &launch.common.pid, before, finished, sessions);
    // Both ends and the kernel's buffers; other programs of the machine blur it.
    results.gauge("machine_bytes_per_session", per_session(before.available_kib, finished.available_kib));
}
