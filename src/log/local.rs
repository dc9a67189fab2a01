//! The local log: the transaction itself is the log.
//!
//! The writer takes what has queued up to `batch_max`, applies it in one transaction, commits (and syncs), and hands
//! the batch to all cores. While it syncs the next batch gathers: the slower the disk, the larger the batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::health::{Health, Trouble};
use super::port::{Doorbell, Port};
use super::watch::Watch;
use super::{Delivery, NO_REPLY, Submission, Ticket};
use crate::domain::{Command, Error, Machine, Now, Output, Refusal, Reply};
use crate::observe::WriterMetrics;
use crate::runtime::clock::{StepWatch, Turn};
use crate::runtime::wake::Wake;
use crate::store::{Room, Store, Tx, WriteError, take_damage};

/// How the writer works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Commands per transaction.
    pub batch_max: usize,
    /// `Some` when commits are not synced one by one: sync this often.
    pub sync_interval: Option<Duration>,
    /// datacenter << 5 | worker of the ids given out.
    pub node: u16,
    /// Commands per core that may wait; beyond it a core answers 503.
    pub queue_len_max: usize,
}

/// Batches per core that may wait before the writer pauses: 10 ms of a core at 3,000 syncs a second. Each holds a
/// snapshot, and pages that it shows cannot be used again: with 256, one core that lagged made a small store grow
/// fivefold. While the writer pauses commands gather, and share the next batch.
const DELIVERY_COUNT_MAX: usize = 32;
/// Batches that wait outside a full ring before the writer stops taking commands.
const OVERFLOW_COUNT_MAX: usize = 4;
/// Snapshots of a core that are open at once: those that wait, the one it works with, and those that requests hold.
pub const SNAPSHOTS_PER_CORE: usize = DELIVERY_COUNT_MAX + OVERFLOW_COUNT_MAX + 64;
/// How often a full delivery ring is tried again, and how long an idle writer sleeps at most.
const RETRY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(200);
/// While changes are refused, how often it is tried whether they need to be.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// After a failure, how long nothing may fail before it counts as over, unless its cause is seen to be gone.
const QUIET: Duration = Duration::from_secs(10);
/// Room on a disk that was full from which on it is not.
const DISK_FREE_MIN: u64 = 8 << 20;

/// The running writer thread.
pub struct Writer {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    doorbell: Arc<Doorbell>,
    health: Arc<Health>,
    _watch: Watch,
}

impl Writer {
    /// Whether changes are taken.
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    /// Lets the writer finish what has queued, sync, and end.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.doorbell.ring();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the writer thread ends without panicking");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts the writer thread; `wakes` holds one wake per core. The ports go to the cores in that order.
///
/// # Errors
/// When no thread can be started.
pub fn start(
    store: Arc<Store>,
    options: Options,
    wakes: &[Arc<Wake>],
    metrics: Arc<WriterMetrics>,
) -> std::io::Result<(Vec<Port>, Writer)> {
    let doorbell = Arc::new(Doorbell::new());
    let stop = Arc::new(AtomicBool::new(false));
    let published = Arc::new(AtomicU64::new(0));
    let (mut ports, mut cores) = (Vec::new(), Vec::new());
    for wake in wakes {
        let (submit, submissions) = RingBuffer::new(options.queue_len_max);
        let (deliver, deliveries) = RingBuffer::new(DELIVERY_COUNT_MAX);
        let (published, doorbell) = (published.clone(), doorbell.clone());
        let (taken, owes_ring) = (0, false);
        ports.push(Port { submissions: submit, deliveries, published, taken, doorbell, owes_ring });
        let (overflow, replies) = (VecDeque::new(), Vec::new());
        cores.push(Core { submissions, deliver, overflow, replies, wake: wake.clone() });
    }
    let watch = Watch::start(store.clone(), metrics.clone())?;
    let health = Arc::new(Health::default());
    let condition = Condition {
        health: health.clone(),
        since: None,
        failed: None,
        disk_was_full: false,
        reported: None,
        probed: None,
    };
    let (last_sync, unsynced) = (Instant::now(), false);
    let steps = StepWatch::default();
    let mut state =
        Local { store, options, cores, published, metrics, last_sync, unsynced, condition, steps };
    let (bell, ending) = (doorbell.clone(), stop.clone());
    let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
        bell.attach();
        state.run(&bell, &ending);
    })?;
    Ok((ports, Writer { thread: Some(thread), stop, doorbell, health, _watch: watch }))
}

/// The writer's end towards one core.
struct Core {
    submissions: Consumer<Submission>,
    deliver: Producer<Delivery>,
    /// Batches that found the ring full; they go first.
    overflow: VecDeque<Delivery>,
    /// Answers of the batch in progress.
    replies: Vec<(Ticket, crate::domain::Result<Reply>)>,
    wake: Arc<Wake>,
}

struct Local {
    store: Arc<Store>,
    options: Options,
    cores: Vec<Core>,
    /// Batches that are in the rings of all cores, which may take them from then on.
    published: Arc<AtomicU64>,
    metrics: Arc<WriterMetrics>,
    last_sync: Instant,
    unsynced: bool,
    condition: Condition,
    steps: StepWatch,
}

/// Whether changes are taken, and since when not.
struct Condition {
    health: Arc<Health>,
    since: Option<Instant>,
    /// The last failure, whether the disk was seen to be full then, and when one was told of last.
    failed: Option<Instant>,
    disk_was_full: bool,
    reported: Option<Instant>,
    probed: Option<Instant>,
}

/// Why a batch was not committed; nothing of it was kept.
enum Failure {
    Write(WriteError),
    /// The command at this place met a record that is damaged on disk.
    Damaged(usize),
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Failure {
        Failure::Write(error)
    }
}

/// A command of the batch in progress: which core waits, under which ticket.
type Origin = (usize, Ticket);

impl Local {
    fn run(&mut self, doorbell: &Doorbell, stop: &AtomicBool) {
        loop {
            let stopping = stop.load(Ordering::Acquire);
            self.watch_clock();
            self.sync_if_due(stopping);
            if self.push_overflow() {
                std::thread::sleep(RETRY);
                continue;
            }
            let mut batch = self.take_batch();
            if !batch.is_empty() {
                while !batch.is_empty() {
                    batch = self.process(batch);
                }
            } else if stopping {
                return;
            } else {
                self.probe_if_due();
                let timeout = if self.unsynced { self.options.sync_interval.unwrap_or(IDLE) } else { IDLE };
                let cores = &self.cores;
                doorbell.sleep_unless(timeout, || {
                    stop.load(Ordering::Acquire) || cores.iter().any(|core| !core.submissions.is_empty())
                });
            }
        }
    }

    /// Says when the clock was set; at the latest [`IDLE`] afterwards.
    fn watch_clock(&mut self) {
        if let Some(step_ms) = self.steps.look() {
            let direction = if step_ms > 0 { "forwards" } else { "backwards" };
            tracing::warn!(
                step_ms,
                "the system clock was set {direction} (or the machine has slept): what is shown follows it, pauses \
                 and lives do not, IDs never go backwards"
            );
        }
    }

    /// Takes commands from all cores in turn. An isolated command ends the batch before it, or is one alone.
    fn take_batch(&mut self) -> Vec<(Origin, Command)> {
        let mut batch = Vec::new();
        let waiting: usize = self.cores.iter().map(|core| core.submissions.slots()).sum();
        self.metrics.queue_len.set(waiting as u64);
        if waiting > 0 {
            self.metrics.queue_lens.record(waiting as u64);
        }
        let mut progress = true;
        while progress && batch.len() < self.options.batch_max {
            progress = false;
            for index in 0..self.cores.len() {
                let submissions = &mut self.cores[index].submissions;
                let Ok(next) = submissions.peek() else { continue };
                if next.command.op.isolated() && !batch.is_empty() {
                    return batch;
                }
                let Submission { command, ticket } = submissions.pop().expect("it was there to peek at");
                let isolated = command.op.isolated();
                batch.push(((index, ticket), command));
                progress = true;
                if isolated {
                    return batch;
                }
            }
        }
        batch
    }

    /// Commits a batch, or as much of it as one transaction takes, and returns the rest.
    fn process(&mut self, mut batch: Vec<(Origin, Command)>) -> Vec<(Origin, Command)> {
        let room = self.store.room();
        let mut rest = Vec::new();
        match self.commit(&batch, room) {
            Ok((replies, outputs)) => {
                rest = batch.split_off(replies.len());
                self.unsynced = self.options.sync_interval.is_some();
                let refused = replies.iter().filter(|reply| reply.is_err()).count();
                self.metrics.refused.add(refused as u64);
                self.answer(&batch, replies);
                self.deliver(Arc::new(outputs));
                self.succeeded(room);
            }
            Err(Failure::Damaged(index)) => return self.process_without(batch, index),
            Err(Failure::Write(error)) => {
                let trouble = self.failed(&error, room);
                let refusal = match trouble {
                    Trouble::WriteFailed => Refusal::StoreFailed,
                    _ => Refusal::StoreFull,
                };
                self.refuse(&batch, refusal);
            }
        }
        self.metrics.batches.increment();
        self.metrics.commands.add(batch.len() as u64);
        self.metrics.batch_len.record(batch.len() as u64);
        rest
    }

    /// Refuses the command that met a damaged record, does those before it, and returns the rest.
    fn process_without(&mut self, mut batch: Vec<(Origin, Command)>, index: usize) -> Vec<(Origin, Command)> {
        let rest = batch.split_off(index + 1);
        let damaged = batch.split_off(index);
        while !batch.is_empty() {
            batch = self.process(batch);
        }
        self.refuse(&damaged, Refusal::StoreDamaged);
        rest
    }

    fn refuse(&mut self, batch: &[(Origin, Command)], refusal: Refusal) {
        self.metrics.failures.increment();
        let replies = batch.iter().map(|_| Err(Error::from(refusal))).collect();
        self.answer(batch, replies);
        self.deliver(Arc::default());
    }

    fn commit(
        &self,
        batch: &[(Origin, Command)],
        room: Room,
    ) -> Result<(Vec<crate::domain::Result<Reply>>, Vec<Output>), Failure> {
        let fits = |command: &Command| match room {
            Room::Plenty => true,
            Room::ForDeletes => command.op.makes_room(),
            Room::None => false,
        };
        if !batch.iter().any(|(_, command)| fits(command)) {
            return Err(WriteError::Full.into());
        }
        take_damage();
        let (begun, now) = (Instant::now(), Turn::now());
        let mut tx: Tx<'_> = self.store.begin()?;
        let mut machine = Machine::begin(
            &mut tx,
            Now { unix_ms: now.unix_ms, steady_ms: now.steady_ms },
            self.options.node,
        );
        let mut replies = Vec::with_capacity(batch.len());
        for (index, (_, command)) in batch.iter().enumerate() {
            if let Some(error) = machine.tx.error() {
                return Err(error.clone().into());
            }
            if machine.tx.is_half_spent() && !replies.is_empty() {
                break;
            }
            replies.push(if fits(command) { machine.apply(command) } else { Err(Refusal::StoreFull.into()) });
            if take_damage() {
                // What was absent to it may be there: nothing it has written can be kept.
                return Err(Failure::Damaged(index));
            }
        }
        let outputs = machine.finish();
        let applied = Instant::now();
        self.metrics.apply_ns.record((applied - begun).as_nanos() as u64);
        let committed = tx.commit();
        self.metrics.commit_ns.record(applied.elapsed().as_nanos() as u64);
        committed?;
        Ok((replies, outputs))
    }

    fn answer(&mut self, batch: &[(Origin, Command)], replies: Vec<crate::domain::Result<Reply>>) {
        for (((core, ticket), _), reply) in batch.iter().zip(replies) {
            if *ticket != NO_REPLY {
                self.cores[*core].replies.push((*ticket, reply));
            }
        }
    }

    fn deliver(&mut self, outputs: Arc<Vec<Output>>) {
        for core in &mut self.cores {
            let replies = std::mem::take(&mut core.replies);
            let delivery = Delivery { outputs: outputs.clone(), snapshot: self.store.snapshot(), replies };
            core.overflow.push_back(delivery);
        }
        self.push_overflow();
    }

    /// Moves waiting batches into the rings; true when so many still wait that no command may be taken.
    ///
    /// A batch that is answered on one core before another core has it in its ring would break the order between
    /// an answer and the events before it. So a batch goes to all rings or to none, and is published when it is in
    /// all of them. A core that has ended, as they do one by one in a shutdown, holds up nobody.
    fn push_overflow(&mut self) -> bool {
        let waiting = self.cores.first().map_or(0, |core| core.overflow.len());
        let mut pushed = false;
        for _ in 0..waiting {
            if self.cores.iter().any(|core| core.deliver.is_full() && !core.deliver.is_abandoned()) {
                break;
            }
            for core in &mut self.cores {
                let delivery = core.overflow.pop_front().expect("all cores wait for the same batches");
                if core.deliver.is_abandoned() {
                    continue;
                }
                if let Err(PushError::Full(_)) = core.deliver.push(delivery) {
                    unreachable!("the ring had room and has one producer");
                }
            }
            self.published.fetch_add(1, Ordering::Release);
            pushed = true;
        }
        if pushed {
            self.cores.iter().for_each(|core| core.wake.signal());
        }
        let left = self.cores.first().map_or(0, |core| core.overflow.len());
        self.metrics.delivery_backlog.set(left as u64);
        self.cores.first().is_some_and(|core| core.overflow.len() >= OVERFLOW_COUNT_MAX)
    }

    fn sync_if_due(&mut self, stopping: bool) {
        let Some(interval) = self.options.sync_interval else { return };
        if self.unsynced && (stopping || self.last_sync.elapsed() >= interval) {
            let begun = Instant::now();
            let synced = self.store.sync();
            self.metrics.sync_ns.record(begun.elapsed().as_nanos() as u64);
            match synced {
                Ok(()) => self.unsynced = false,
                Err(error) => {
                    self.failed(&WriteError::Failed(format!("sync: {error}")), Room::Plenty);
                }
            }
            self.last_sync = Instant::now();
        }
    }

    /// A batch could not be committed: tells of it if that is new, and returns why.
    fn failed(&mut self, error: &WriteError, room: Room) -> Trouble {
        let disk_is_full = self.store.disk_is_full();
        let trouble = match error {
            _ if disk_is_full => Trouble::DiskFull,
            WriteError::Full if room == Room::Plenty => Trouble::DiskFull,
            WriteError::Full if self.store.is_held() => Trouble::SnapshotHeld,
            WriteError::Full => Trouble::StoreFull,
            WriteError::Failed(_) => Trouble::WriteFailed,
        };
        let condition = &mut self.condition;
        condition.failed = Some(Instant::now());
        condition.disk_was_full = disk_is_full;
        let before = condition.health.trouble();
        // LMDB has two errors for one full disk, one of them for a write that was cut short: the first one told stays.
        let is_told = before.is_some() && condition.reported.is_some_and(|at| at.elapsed() < QUIET);
        if before != Some(trouble) && !is_told {
            condition.since.get_or_insert_with(Instant::now);
            condition.reported = Some(Instant::now());
            self.condition.health.set(Some(trouble));
            self.metrics.store.refusing.set(trouble as u64);
            let (used, size) = self.store.usage();
            let free = self.store.disk().free;
            let holder = self.store.oldest_reader().map_or(0, |reader| reader.process);
            tracing::error!(reason = trouble.name(), %error, used, size, disk_free = free, holder, "{}", trouble.text());
        }
        trouble
    }

    /// A batch was committed: tells of it if that had not been possible for a while.
    fn succeeded(&mut self, room: Room) {
        let condition = &self.condition;
        let Some(trouble) = condition.health.trouble() else { return };
        if room != Room::Plenty {
            return;
        }
        let is_quiet = condition.failed.is_none_or(|at| at.elapsed() >= QUIET);
        // A small change may fit where the next one does not; so the cause must be seen to be gone, if it was seen.
        let is_gone = match trouble {
            Trouble::StoreFull | Trouble::SnapshotHeld => true,
            _ => condition.disk_was_full && self.store.disk().free >= DISK_FREE_MIN,
        };
        if is_quiet || is_gone {
            self.condition.health.set(None);
            self.metrics.store.refusing.set(0);
            let since = self.condition.since.take();
            let lasted_s = since.map_or(0, |since| since.elapsed().as_secs());
            tracing::info!(lasted_s, reason = trouble.name(), "changes are taken again");
        }
    }

    /// While changes are refused nobody may try: then this finds out when they need not be any longer.
    fn probe_if_due(&mut self) {
        let is_due = self.condition.probed.is_none_or(|at| at.elapsed() >= PROBE_INTERVAL);
        if self.condition.health.trouble().is_none() || !is_due {
            return;
        }
        self.condition.probed = Some(Instant::now());
        let room = self.store.room();
        if room != Room::Plenty {
            return;
        }
        match self.store.probe().and_then(|()| self.synced()) {
            Ok(()) => self.succeeded(room),
            Err(error) => {
                self.failed(&error, room);
            }
        }
    }

    fn synced(&self) -> Result<(), WriteError> {
        match self.options.sync_interval {
            Some(_) => self.store.sync().map_err(|error| WriteError::Failed(error.to_string())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Op;
    use crate::domain::sweep::Sweep;
    use crate::id::UserId;
    use crate::store::tests::temporary;
    use crate::store::{self, Sync};

    fn command() -> Command {
        Command::new(UserId(0), Op::Sweep(Sweep { records_max: 1 }))
    }

    fn options() -> Options {
        Options { batch_max: 8, sync_interval: None, node: 0, queue_len_max: 64 }
    }

    #[test]
    fn every_command_is_answered_once_on_its_core_and_every_core_sees_every_batch() {
        let (_folder, store) = temporary(1 << 24);
        let wakes: Vec<_> = (0..2).map(|_| Arc::new(Wake::new().unwrap())).collect();
        let (mut ports, writer) = start(Arc::new(store), options(), &wakes, Arc::default()).unwrap();
        for ticket in 0..40 {
            ports[ticket as usize % 2].submit(command(), ticket).unwrap();
            ports[0].flush();
        }
        let mut answered = [Vec::new(), Vec::new()];
        let mut batches = [0, 0];
        let deadline = Instant::now() + Duration::from_secs(20);
        while answered[0].len() + answered[1].len() < 40 || batches[0] != batches[1] {
            assert!(Instant::now() < deadline, "{answered:?} {batches:?}");
            for core in 0..2 {
                while let Some(delivery) = ports[core].next_delivery() {
                    batches[core] += 1;
                    answered[core].extend(delivery.replies.iter().map(|(ticket, _)| *ticket));
                }
            }
        }
        assert_eq!(answered[0], (0..40).step_by(2).collect::<Vec<_>>());
        assert_eq!(answered[1], (1..40).step_by(2).collect::<Vec<_>>());
        writer.stop();
    }

    #[test]
    fn a_full_ring_gives_the_command_back() {
        let (_folder, store) = temporary(1 << 24);
        let wake = Arc::new(Wake::new().unwrap());
        let options = Options { queue_len_max: 2, ..options() };
        let (mut ports, writer) = start(Arc::new(store), options, &[wake], Arc::default()).unwrap();
        let mut refused = 0;
        for _ in 0..10_000 {
            refused += u32::from(ports[0].submit(command(), NO_REPLY).is_err());
        }
        assert!(refused > 0);
        drop(writer);
    }

    #[test]
    fn a_core_that_has_ended_holds_up_neither_the_others_nor_the_end() {
        let folder = tempfile::tempdir().unwrap();
        // Snapshots wait in the ring of the core that lives.
        let readers_max = SNAPSHOTS_PER_CORE as u32;
        let path = folder.path().to_path_buf();
        let store = store::Options { path, map_size: 1 << 24, sync: Sync::Interval, readers_max };
        let store = Store::open(&store).unwrap();
        let wakes: Vec<_> = (0..2).map(|_| Arc::new(Wake::new().unwrap())).collect();
        let options = Options { batch_max: 1, ..options() };
        let (mut ports, writer) = start(Arc::new(store), options, &wakes, Arc::default()).unwrap();
        drop(ports.pop());
        let (mut submitted, mut answered) = (0, 0);
        let deadline = Instant::now() + Duration::from_secs(20);
        let count = (DELIVERY_COUNT_MAX + OVERFLOW_COUNT_MAX + 50) as u32;
        while answered < count {
            assert!(Instant::now() < deadline, "{submitted} {answered}");
            if submitted < count && ports[0].submit(command(), submitted).is_ok() {
                submitted += 1;
            }
            ports[0].flush();
            answered += ports[0].next_delivery().map_or(0, |delivery| delivery.replies.len() as u32);
        }
        // Nobody takes these, and then nobody is left.
        while ports[0].submit(command(), NO_REPLY).is_ok() {}
        drop(ports);
        writer.stop();
    }
}
