//! A lane: one bounded queue and the plain threads behind it.
//!
//! Owns: who waits for which threads, and what is told of it. What a lane does is said in a file of its own beside this
//! one ([`Effect`]); which lanes there are, in [`super::LANES`]. Invariants:
//! - Handing a job over never blocks: a core thread puts it into one bounded `sync_channel`, whose `try_send` is
//!   lock-free but for waking the thread behind it. That thread does no job; it sorts them into [`Turns`].
//! - Every job that was taken is answered once: with what it came to, or that it had to make room, or that it panicked.
//! - A panic ends the job, not the thread and not the server ([`crate::runtime::panics`]): nothing that others see is
//!   held while a job runs.
//! - Start the lanes before pinning, as threads inherit the mask.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Instant;

use super::LANES;
use super::turns::{Source, Turns};
use crate::config::Config;
use crate::observe::LaneMetrics;
use crate::runtime::cpu::lower_priority;
use crate::runtime::panics;

/// What a lane is, in the file of what it does.
pub struct Row {
    /// Label of its metrics, and how its threads begin.
    pub name: &'static str,
    pub threads: fn(&Config) -> usize,
    /// Jobs that may wait; of more, the newest of whoever has most is refused.
    pub queue_len_max: fn(&Config) -> usize,
    /// How politely its threads take processor time: 0 to 19.
    pub niceness: libc::c_int,
    /// What somebody is told with a 503 whose job found no room.
    pub full: &'static str,
}

/// One piece of slow work.
pub trait Effect: Send + 'static {
    type Answer: Send + 'static;
    const LANE: &'static Row;

    /// Does it, on a thread of the lane. What is to be kept from one job to the next is a `thread_local!`.
    fn run(self) -> Self::Answer;
}

/// What an [`Effect`] came to, of that effect's type.
pub type Answer = Box<dyn Any + Send>;

/// An effect on its way to its lane.
pub struct Job {
    lane: &'static Row,
    source: Source,
    work: Box<dyn FnOnce() -> Answer + Send>,
}

impl Job {
    /// `source`: for whom it is done.
    pub fn new<E: Effect>(source: Source, effect: E) -> Job {
        Job { lane: E::LANE, source, work: Box::new(move || Box::new(effect.run())) }
    }

    pub fn lane(&self) -> &'static Row {
        self.lane
    }

    /// Does it here and now.
    pub fn run(self) -> Answer {
        (self.work)()
    }
}

/// Why a job has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// Too many waited. When it was not even taken, `done` was dropped uncalled.
    Full,
    Panicked,
}

/// Gets the answer on a thread of the lane: send, do not compute there.
pub type Done = Box<dyn FnOnce(Result<Answer, Unanswered>) + Send>;

/// All lanes, shared by the cores behind an `Arc`. When it is dropped, the threads finish the queues and end.
pub struct Lanes(Vec<Lane>);

impl Lanes {
    /// Starts the threads. `metrics` are those of [`LANES`], in that order.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(config: &Config, metrics: &[Arc<LaneMetrics>]) -> io::Result<Lanes> {
        assert_eq!(metrics.len(), LANES.len(), "each lane has its metrics");
        let lanes = LANES.iter().zip(metrics);
        lanes
            .map(|(row, metrics)| Lane::start(row, config, metrics.clone()))
            .collect::<Result<_, _>>()
            .map(Lanes)
    }

    /// Hands a job over.
    ///
    /// # Errors
    /// No room: `done` will not be called.
    pub fn submit(&self, job: Job, done: Done) -> Result<(), Unanswered> {
        let place = LANES.iter().position(|row| std::ptr::eq(*row, job.lane));
        self.0[place.expect("a lane that is used stands in the table")].submit(job, done)
    }
}

/// Threads of all lanes.
pub fn thread_count(config: &Config) -> usize {
    LANES.iter().map(|row| 1 + (row.threads)(config).max(1)).sum()
}

struct Lane {
    queue: SyncSender<Queued>,
    metrics: Arc<LaneMetrics>,
}

struct Queued {
    job: Job,
    done: Done,
    since: Instant,
}

impl Lane {
    fn start(row: &'static Row, config: &Config, metrics: Arc<LaneMetrics>) -> io::Result<Lane> {
        let len_max = (row.queue_len_max)(config);
        let (queue, jobs) = sync_channel(len_max);
        let waiting = Arc::new(Waiting::default());
        let (sorted, told) = (waiting.clone(), metrics.clone());
        let sort = move || sort(&jobs, &sorted, len_max, &told);
        thread::Builder::new().name(format!("{}-queue", row.name)).spawn(sort)?;
        for index in 0..(row.threads)(config).max(1) {
            let (waiting, metrics) = (waiting.clone(), metrics.clone());
            let run = move || {
                panics::survive();
                lower_priority(row.niceness);
                work(&waiting, &metrics);
            };
            thread::Builder::new().name(format!("{}-{index}", row.name)).spawn(run)?;
        }
        Ok(Lane { queue, metrics })
    }

    fn submit(&self, job: Job, done: Done) -> Result<(), Unanswered> {
        match self.queue.try_send(Queued { job, done, since: Instant::now() }) {
            Ok(()) => {
                self.metrics.queued.add_shared(1);
                Ok(())
            }
            Err(_) => {
                self.metrics.refused.add_shared(1);
                Err(Unanswered::Full)
            }
        }
    }
}

/// What the sorting thread and the workers share. No core thread comes here.
#[derive(Default)]
struct Waiting {
    jobs: Mutex<Jobs>,
    changed: Condvar,
}

#[derive(Default)]
struct Jobs {
    turns: Turns<Queued>,
    is_closed: bool,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().expect("nothing panics while the lock is held")
    }

    /// The job whose turn it is, waited for; none once the lane is closed and has done all.
    fn next(&self) -> Option<Queued> {
        let idle = |jobs: &mut Jobs| jobs.turns.len() == 0 && !jobs.is_closed;
        let jobs = self.changed.wait_while(self.lock(), idle);
        jobs.expect("nothing panics while the lock is held").turns.pop()
    }
}

/// Sorts what arrives until the lane is dropped.
fn sort(arriving: &Receiver<Queued>, waiting: &Waiting, len_max: usize, metrics: &LaneMetrics) {
    while let Ok(queued) = arriving.recv() {
        let surplus = {
            let turns = &mut waiting.lock().turns;
            turns.push(queued.job.source, queued);
            if turns.len() > len_max { turns.pop_surplus() } else { None }
        };
        waiting.changed.notify_one();
        if let Some(Queued { job, done, .. }) = surplus {
            drop(job);
            metrics.refused.add_shared(1);
            metrics.evicted.add_shared(1);
            done(Err(Unanswered::Full));
        }
    }
    waiting.lock().is_closed = true;
    waiting.changed.notify_all();
}

fn work(waiting: &Waiting, metrics: &LaneMetrics) {
    while let Some(Queued { job, done, since }) = waiting.next() {
        // Whatever the job had is dropped while it unwinds, and what it keeps per thread it must not leave half made.
        let outcome = catch_unwind(AssertUnwindSafe(|| job.run()));
        let took = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        metrics.took_ns.record_shared(took);
        metrics.done.add_shared(1);
        done(outcome.map_err(|_| {
            metrics.panicked.add_shared(1);
            Unanswered::Panicked
        }));
    }
}

/// Does one piece of work where there are no lanes yet, as theirs would: on a thread of that name and priority, which
/// whatever it starts inherits (the lanes of a hash are started once, by the first).
///
/// # Errors
/// When the system gives no thread, or it panicked.
pub fn run_alone<E: Effect>(effect: E) -> io::Result<E::Answer> {
    let row = E::LANE;
    let run = move || {
        lower_priority(row.niceness);
        effect.run()
    };
    let thread = thread::Builder::new().name(format!("{}-0", row.name)).spawn(run)?;
    thread.join().map_err(|_| io::Error::other("it panicked"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(20);

    static ROW: Row =
        Row { name: "test", threads: |_| 1, queue_len_max: |_| 2, niceness: 7, full: "No room for tests" };

    /// Runs a closure.
    struct Call<F>(F);

    impl<T: Send + 'static, F: FnOnce() -> T + Send + 'static> Effect for Call<F> {
        type Answer = T;
        const LANE: &'static Row = &ROW;

        fn run(self) -> T {
            (self.0)()
        }
    }

    type Outcome = Result<u64, Unanswered>;

    struct Tested {
        lane: Lane,
        metrics: Arc<LaneMetrics>,
        outcomes: mpsc::Receiver<(&'static str, Outcome)>,
        told: mpsc::Sender<(&'static str, Outcome)>,
    }

    impl Tested {
        fn new() -> Tested {
            let metrics = Arc::new(LaneMetrics::new(ROW.name));
            let lane = Lane::start(&ROW, &Config::default(), metrics.clone()).unwrap();
            let (told, outcomes) = mpsc::channel();
            Tested { lane, metrics, outcomes, told }
        }

        fn submit(
            &self,
            name: &'static str,
            address: u8,
            call: impl FnOnce() -> u64 + Send + 'static,
        ) -> Result<(), Unanswered> {
            let source = Source::new([10, 0, 0, address].into(), 1);
            let told = self.told.clone();
            let done = move |outcome: Result<Answer, Unanswered>| {
                let outcome = outcome.map(|answer| *answer.downcast::<u64>().expect("the call's type"));
                told.send((name, outcome)).unwrap();
            };
            self.lane.submit(Job::new(source, Call(call)), Box::new(done))
        }

        fn outcome(&self) -> (&'static str, Outcome) {
            self.outcomes.recv_timeout(PATIENCE).unwrap()
        }

        /// Keeps the lane's thread busy until the sender is dropped or sends.
        fn block(&self) -> mpsc::Sender<()> {
            let (running, started) = mpsc::channel();
            let (release, gate) = mpsc::channel::<()>();
            let wait = move || {
                running.send(()).unwrap();
                let _ = gate.recv();
                0
            };
            self.submit("blocking", 1, wait).unwrap();
            started.recv_timeout(PATIENCE).unwrap();
            release
        }
    }

    #[test]
    fn a_full_queue_refuses_and_a_newcomer_finds_room_beside_a_storm() {
        let tested = Tested::new();
        let release = tested.block();
        tested.submit("first", 1, || 1).unwrap();
        tested.submit("second", 1, || 2).unwrap();
        // The channel has room as soon as the sorting thread has taken what is in it.
        while tested.submit("newcomer", 2, || 3) == Err(Unanswered::Full) {
            thread::yield_now();
        }
        assert_eq!(tested.outcome(), ("second", Err(Unanswered::Full)));
        let Tested { lane, metrics, outcomes, .. } = tested;
        drop(release);
        drop(lane);
        let mut left: Vec<_> = (0..3).map(|_| outcomes.recv_timeout(PATIENCE).unwrap()).collect();
        left.sort_by_key(|(name, _)| *name);
        let want = [("blocking", Ok(0)), ("first", Ok(1)), ("newcomer", Ok(3))];
        assert_eq!(left, want, "finished after the lane is dropped");
        assert_eq!((metrics.queued.value(), metrics.done.value(), metrics.evicted.value()), (4, 3, 1));
        assert!(metrics.refused.value() >= 1);
    }

    #[test]
    fn a_panic_ends_its_job_alone() {
        let tested = Tested::new();
        tested.submit("bad", 1, || panic!("as this test wants it")).unwrap();
        assert_eq!(tested.outcome(), ("bad", Err(Unanswered::Panicked)));
        tested.submit("good", 1, || 5).unwrap();
        assert_eq!(tested.outcome(), ("good", Ok(5)));
        assert_eq!((tested.metrics.panicked.value(), tested.metrics.done.value()), (1, 2));
    }

    #[test]
    fn threads_are_as_polite_as_the_row_says() {
        let tested = Tested::new();
        // SAFETY: takes no pointers; id 0 is the calling thread.
        let niceness = || unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) } as u64;
        tested.submit("niceness", 1, niceness).unwrap();
        assert_eq!(tested.outcome(), ("niceness", Ok(7)));
    }

    #[test]
    fn a_job_that_is_refused_is_dropped_before_that_is_told() {
        let tested = Tested::new();
        let release = tested.block();
        let held = Arc::new(());
        let holding = || {
            let held = held.clone();
            move || Arc::strong_count(&held) as u64
        };
        for _ in 0..2 {
            while tested.submit("storm", 1, holding()) == Err(Unanswered::Full) {
                thread::yield_now();
            }
        }
        while tested.submit("newcomer", 2, || 3) == Err(Unanswered::Full) {
            thread::yield_now();
        }
        assert_eq!(tested.outcome(), ("storm", Err(Unanswered::Full)));
        assert_eq!(Arc::strong_count(&held), 2);
        drop(release);
    }

    #[test]
    fn each_lane_has_a_name_of_its_own() {
        let mut names: Vec<&str> = LANES.iter().map(|row| row.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LANES.len());
        // The kernel keeps 15 bytes of a thread's name.
        assert!(names.iter().all(|name| name.len() <= 9), "{names:?}");
    }
}
