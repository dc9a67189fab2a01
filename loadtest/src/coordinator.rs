//! Runs a scenario in one or more child processes and puts their results together.
//!
//! Owns: starting, watching and ending the processes, the phases of a run, what is sampled meanwhile.
//! Invariant: no process outlives the run; a run in which nothing moves ends by itself.

use std::collections::BTreeMap;
use std::io::BufReader;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::args::Common;
use crate::progress::{Plan, Progress};
use crate::report::{Recorder, Sample, Series};
use crate::shared::{OPENING, RUNNING, STOPPING, Shared};
use crate::stats::Results;
use crate::system::{self, Memory, now_ns};
use crate::usage::Usage;

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
    /// Seconds from the end of opening to the end of the load, if they are known.
    pub seconds: Option<u32>,
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

/// What came of a run.
#[derive(Default)]
pub struct Outcome {
    pub results: Results,
    pub series: Series,
    pub duration_s: f64,
    pub processes: u32,
    /// A sentence about why nothing could be measured.
    pub problem: Option<String>,
}

/// Runs to the end.
pub fn run(launch: &Launch<'_>, arguments: &[String]) -> Outcome {
    let processes = launch.common.processes.unwrap_or(launch.sessions.div_ceil(SESSIONS_PER_PROCESS).max(1));
    let mut outcome = Outcome { processes, ..Outcome::default() };
    outcome.problem = measure(launch, arguments, &mut outcome).err();
    outcome
}

fn measure(launch: &Launch<'_>, arguments: &[String], outcome: &mut Outcome) -> Result<(), String> {
    let processes = outcome.processes;
    check_limits(launch, processes)?;
    let mut snapshots = Snapshots { before: system::memory(&launch.common.pid), ..Snapshots::default() };
    let (shared, shared_fd) = Shared::create().map_err(|e| format!("shared memory: {e}"))?;
    let wake_fd = event_fd()?;
    let mut workers = Vec::new();
    for index in 0..processes {
        workers.push(Process::start(index, processes, launch.run, &shared_fd, &wake_fd, arguments)?);
    }
    system::watch_interrupts();
    let mut watch = Watch::new(launch, shared, processes);
    let watched = watch.until_done(&mut workers, &mut snapshots);
    watch.label_phases(&mut outcome.results);
    (outcome.series, outcome.duration_s) = watch.finish();
    shared.phase.store(STOPPING, Release);
    for worker in workers {
        let collected = worker.collect(&mut outcome.results);
        if watched.is_ok() {
            collected?;
        }
    }
    watched?;
    let ended = system::missing(&launch.common.pid);
    if !ended.is_empty() {
        return Err(format!("The server's process {ended:?} ended during the run; see its log."));
    }
    add_memory(&mut outcome.results, launch, &snapshots);
    Ok(())
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

/// Leads the processes through the phases and looks at what they do.
struct Watch<'a> {
    launch: &'a Launch<'a>,
    shared: &'static Shared,
    processes: u32,
    started_ns: u64,
    recorder: Recorder,
    progress: Progress,
    /// When the load began.
    loaded: Option<Sample>,
    first: Sample,
}

impl<'a> Watch<'a> {
    fn new(launch: &'a Launch<'a>, shared: &'static Shared, processes: u32) -> Watch<'a> {
        let plan = Plan {
            sessions: u64::from(launch.sessions),
            seconds: launch.seconds,
            patience_s: u64::from(launch.common.patience.max(1)),
        };
        let started_ns = now_ns();
        let first = sample(launch, shared, processes, started_ns);
        let (recorder, progress) = (Recorder::new(first), Progress::new(plan, first));
        Watch { launch, shared, processes, started_ns, recorder, progress, loaded: None, first }
    }

    /// Returns when the load is over.
    fn until_done(&mut self, workers: &mut [Process], snapshots: &mut Snapshots) -> Result<(), String> {
        loop {
            thread::sleep(Duration::from_millis(5));
            if system::is_interrupted() {
                return Err("Interrupted: the figures are of the part before.".into());
            }
            for worker in workers.iter_mut() {
                if let Ok(Some(status)) = worker.child.try_wait() {
                    return Err(format!("A process of the load generator ended early ({status})."));
                }
            }
            let states = self.shared.workers(self.processes);
            if self.shared.phase() == OPENING && states.iter().all(|w| w.opened.load(Acquire) == 1) {
                let ready: u64 = states.iter().map(|w| w.ready.load(Relaxed)).sum();
                if self.launch.sessions > 0 && ready == 0 {
                    return Err("No session became READY; see the errors and the server's log.".into());
                }
                snapshots.opened = system::memory(&self.launch.common.pid);
                self.start_load();
            }
            if self.shared.phase() == RUNNING && states.iter().all(|w| w.finished.load(Acquire) == 1) {
                snapshots.finished = system::memory(&self.launch.common.pid);
                return Ok(());
            }
            self.look()?;
        }
    }

    fn start_load(&mut self) {
        let now = now_ns();
        self.shared.run_start_ns.store(now, Release);
        self.shared.phase.store(RUNNING, Release);
        self.loaded = Some(sample(self.launch, self.shared, self.processes, self.started_ns));
        self.recorder.load_starts(now - self.started_ns);
        self.progress.load_starts(now - self.started_ns);
    }

    /// Takes a sample when one is due, for the series or for people.
    fn look(&mut self) -> Result<(), String> {
        let at_ns = now_ns() - self.started_ns;
        let (record, report) = (self.recorder.due(at_ns), self.progress.due(at_ns));
        if !record && !report {
            return Ok(());
        }
        let sample = sample(self.launch, self.shared, self.processes, self.started_ns);
        if record {
            self.recorder.add(sample);
        }
        if report {
            self.progress.report(sample, self.shared.workers(self.processes))?;
        }
        Ok(())
    }

    /// Says what each phase took: opening, and the load with its warm-up and end. What scenarios report as measured is
    /// a part of the latter.
    fn label_phases(&self, results: &mut Results) {
        let last = sample(self.launch, self.shared, self.processes, self.started_ns);
        let phases =
            [("opening", Some(self.first), self.loaded.or(Some(last))), ("load", self.loaded, Some(last))];
        for (phase, from, to) in phases {
            let (Some(from), Some(to)) = (from, to) else { continue };
            let seconds = (to.at_ns - from.at_ns) as f64 / 1e9;
            results.gauge(&format!("phase_{phase}_s"), seconds);
            let mut cores = |who: &str, from: &Usage, to: &Usage| {
                let cores = (to.cpu_s() - from.cpu_s()).max(0.0) / seconds.max(1e-9);
                results.gauge(&format!("phase_{phase}_{who}_cpu_cores"), cores);
            };
            cores("client", &from.client, &to.client);
            if let (Some(from), Some(to)) = (from.server, to.server) {
                cores("server", &from, &to);
            }
        }
    }

    /// The series, and how many seconds it covers.
    fn finish(self) -> (Series, f64) {
        self.progress.finish();
        let last = sample(self.launch, self.shared, self.processes, self.started_ns);
        (self.recorder.finish(last), last.at_ns as f64 / 1e9)
    }
}

/// Where everybody is now.
fn sample(launch: &Launch<'_>, shared: &Shared, processes: u32, started_ns: u64) -> Sample {
    let states = shared.workers(processes);
    let mut sum = Sample {
        server: (!launch.common.pid.is_empty()).then(|| Usage::of(&launch.common.pid)),
        ..Sample::default()
    };
    // A worker that has not said its id yet is too young to have used anything.
    let clients = states.iter().map(|w| w.pid.load(Relaxed)).filter(|pid| *pid != 0);
    sum.client = Usage::of(&clients.chain([std::process::id()]).collect::<Vec<_>>());
    for worker in states {
        sum.sessions += worker.ready.load(Relaxed);
        sum.deliveries += worker.deliveries.load(Relaxed);
        sum.answers += worker.answers.load(Relaxed);
        sum.errors += worker.errors.load(Relaxed);
    }
    // Last, so that the time is that of the counts.
    sum.at_ns = now_ns() - started_ns;
    sum
}

/// A sentence for errors whose usual cause is known.
pub fn advice(errors: &BTreeMap<String, u64>) -> Option<&'static str> {
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
    let found = |needle: &str| errors.keys().any(|text| text.contains(needle));
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
