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

use super::port::{Doorbell, Port};
use super::{Delivery, NO_REPLY, Submission, Ticket};
use crate::domain::{Command, Error, Machine, Output, Refusal, Reply};
use crate::observe::WriterMetrics;
use crate::runtime::clock::now_unix_ms;
use crate::runtime::wake::Wake;
use crate::store::{Room, Store, Tx, WriteError};

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

/// Batches per core that may wait before the writer pauses.
const DELIVERY_COUNT_MAX: usize = 256;
/// Batches that wait outside a full ring before the writer stops taking commands.
const OVERFLOW_COUNT_MAX: usize = 16;
/// How often a full delivery ring is tried again, and how long an idle writer sleeps at most.
const RETRY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(200);

/// The running writer thread.
pub struct Writer {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    doorbell: Arc<Doorbell>,
}

impl Writer {
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
    let last_sync = Instant::now();
    let (unsynced, reported) = (false, None);
    let mut state = Local { store, options, cores, published, metrics, last_sync, unsynced, reported };
    let (bell, ending) = (doorbell.clone(), stop.clone());
    let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
        bell.attach();
        state.run(&bell, &ending);
    })?;
    Ok((ports, Writer { thread: Some(thread), stop, doorbell }))
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
    /// When a write failure was last logged: once in ten seconds is enough to read.
    reported: Option<Instant>,
}

/// A command of the batch in progress: which core waits, under which ticket.
type Origin = (usize, Ticket);

impl Local {
    fn run(&mut self, doorbell: &Doorbell, stop: &AtomicBool) {
        loop {
            let stopping = stop.load(Ordering::Acquire);
            self.sync_if_due(stopping);
            if self.push_overflow() {
                std::thread::sleep(RETRY);
                continue;
            }
            let batch = self.take_batch();
            if !batch.is_empty() {
                self.process(batch);
            } else if stopping {
                return;
            } else {
                let timeout = if self.unsynced { self.options.sync_interval.unwrap_or(IDLE) } else { IDLE };
                let cores = &self.cores;
                doorbell.sleep_unless(timeout, || {
                    stop.load(Ordering::Acquire) || cores.iter().any(|core| !core.submissions.is_empty())
                });
            }
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

    fn process(&mut self, batch: Vec<(Origin, Command)>) {
        let room = self.store.room();
        if room != Room::Plenty {
            self.report(WriteError::Full);
        }
        match self.commit(&batch, room) {
            Ok((replies, outputs)) => {
                self.unsynced = self.options.sync_interval.is_some();
                let refused = replies.iter().filter(|reply| reply.is_err()).count();
                self.metrics.refused.add(refused as u64);
                self.answer(&batch, replies);
                self.deliver(Arc::new(outputs));
            }
            Err(error) => {
                let error = if self.store.disk_is_full() { WriteError::Full } else { error };
                self.report(error);
                self.metrics.failures.increment();
                let refusal = match error {
                    WriteError::Full => Refusal::StoreFull,
                    WriteError::Failed => Refusal::StoreFailed,
                };
                let replies = batch.iter().map(|_| Err(Error::from(refusal))).collect();
                self.answer(&batch, replies);
                self.deliver(Arc::default());
            }
        }
        self.metrics.batches.increment();
        self.metrics.commands.add(batch.len() as u64);
        self.metrics.batch_len.record(batch.len() as u64);
    }

    fn commit(
        &self,
        batch: &[(Origin, Command)],
        room: Room,
    ) -> Result<(Vec<crate::domain::Result<Reply>>, Vec<Output>), WriteError> {
        let fits = |command: &Command| match room {
            Room::Plenty => true,
            Room::ForDeletes => command.op.makes_room(),
            Room::None => false,
        };
        if !batch.iter().any(|(_, command)| fits(command)) {
            return Err(WriteError::Full);
        }
        let begun = Instant::now();
        let mut tx: Tx<'_> = self.store.begin()?;
        let mut machine = Machine::begin(&mut tx, now_unix_ms(), self.options.node);
        let mut replies = Vec::with_capacity(batch.len());
        for (_, command) in batch {
            if let Some(error) = machine.tx.error() {
                // Nothing can be read from it any more.
                return Err(error);
            }
            replies.push(if fits(command) { machine.apply(command) } else { Err(Refusal::StoreFull.into()) });
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
                Err(error) => tracing::error!(%error, "the store could not be synced to disk"),
            }
            self.last_sync = Instant::now();
        }
    }

    fn report(&mut self, error: WriteError) {
        const QUIET: Duration = Duration::from_secs(10);
        if self.reported.is_some_and(|at| at.elapsed() < QUIET) {
            return;
        }
        self.reported = Some(Instant::now());
        let (used, size) = self.store.usage();
        match error {
            WriteError::Full => tracing::error!(
                used,
                size,
                "storage is full, changes are refused: free disk space or raise store.map_size, then restart"
            ),
            WriteError::Failed => {
                tracing::error!("changes are refused: the store cannot be written, check the disk")
            }
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
        let readers_max = 2 * (DELIVERY_COUNT_MAX + OVERFLOW_COUNT_MAX) as u32;
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
