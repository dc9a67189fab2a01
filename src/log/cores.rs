//! The writer's ends of the rings to and from the cores: commands in, committed batches out.
//!
//! Owns: which core waits for which answer, and what a batch waits for before it may be seen.
//! Invariant: a batch is in the rings of all cores or of none, in one order; commands of a core are taken in the order
//! in which it has submitted them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::port::{Doorbell, Port};
use super::{Delivery, NO_REPLY, Submission, Ticket};
use crate::domain::{Command, Output, Reply, Result};
use crate::observe::WriterMetrics;
use crate::runtime::wake::Wake;
use crate::store::Store;

/// Batches per core that may wait before the writer pauses: 10 ms of a core at 3,000 syncs a second. Each holds a
/// snapshot, and pages that it shows cannot be used again: with 256, one core that lagged made a small store grow
/// fivefold. While the writer pauses commands gather, and share the next batch.
pub(super) const DELIVERY_COUNT_MAX: usize = 32;
/// Batches that wait outside a full ring before the writer stops taking commands.
pub(super) const OVERFLOW_COUNT_MAX: usize = 4;
/// Snapshots of a core that are open at once: those that wait, the one it works with, and those that requests hold.
pub const SNAPSHOTS_PER_CORE: usize = DELIVERY_COUNT_MAX + OVERFLOW_COUNT_MAX + 64;

/// Who waits for a command: which core, under which ticket.
pub(super) type Origin = (usize, Ticket);

/// Commands on their way into an entry, and who waits for each.
#[derive(Default)]
pub(super) struct Batch {
    pub origins: Vec<Origin>,
    pub commands: Vec<Command>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.origins.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    fn push(&mut self, origin: Origin, command: Command) {
        self.origins.push(origin);
        self.commands.push(command);
    }

    /// Keeps the first `len` and returns the others.
    pub(super) fn split_off(&mut self, len: usize) -> Batch {
        Batch { origins: self.origins.split_off(len), commands: self.commands.split_off(len) }
    }

    pub(super) fn append(&mut self, mut later: Batch) {
        self.origins.append(&mut later.origins);
        self.commands.append(&mut later.commands);
    }

    /// Keeps the commands that are `fit` and returns who waits for the others.
    pub(super) fn turn_away(&mut self, fit: impl Fn(&Command) -> bool) -> Vec<Origin> {
        let mut away = Vec::new();
        let Batch { origins, commands } = std::mem::take(self);
        for (origin, command) in origins.into_iter().zip(commands) {
            match fit(&command) {
                true => self.push(origin, command),
                false => away.push(origin),
            }
        }
        away
    }
}

/// All of them, in the order of the ports.
pub(super) struct Cores {
    cores: Vec<Core>,
    doorbell: Arc<Doorbell>,
    /// Batches that are in the rings of all cores, which may take them from then on.
    published: Arc<AtomicU64>,
    metrics: Arc<WriterMetrics>,
}

/// The writer's end towards one core.
struct Core {
    submissions: Consumer<Submission>,
    deliver: Producer<Delivery>,
    /// Batches that found the ring full; they go first.
    overflow: VecDeque<Delivery>,
    /// Answers of the batch in progress.
    replies: Vec<(Ticket, Result<Reply>)>,
    wake: Arc<Wake>,
}

impl Cores {
    /// Rings of which each holds `queue_len_max` commands.
    pub(super) fn new(
        wakes: &[Arc<Wake>],
        queue_len_max: usize,
        metrics: Arc<WriterMetrics>,
    ) -> (Vec<Port>, Cores) {
        let doorbell = Arc::new(Doorbell::new());
        let published = Arc::new(AtomicU64::new(0));
        let (mut ports, mut cores) = (Vec::new(), Vec::new());
        for wake in wakes {
            let (submit, submissions) = RingBuffer::new(queue_len_max);
            let (deliver, deliveries) = RingBuffer::new(DELIVERY_COUNT_MAX);
            let (published, doorbell) = (published.clone(), doorbell.clone());
            let (taken, owes_ring) = (0, false);
            ports.push(Port { submissions: submit, deliveries, published, taken, doorbell, owes_ring });
            let (overflow, replies) = (VecDeque::new(), Vec::new());
            cores.push(Core { submissions, deliver, overflow, replies, wake: wake.clone() });
        }
        (ports, Cores { cores, doorbell, published, metrics })
    }

    /// What wakes the writer.
    pub(super) fn doorbell(&self) -> &Arc<Doorbell> {
        &self.doorbell
    }

    /// Sleeps until a command comes, `timeout` passes or `ends` says that there is no more to wait for.
    pub(super) fn sleep(&self, timeout: Duration, ends: impl Fn() -> bool) {
        self.doorbell
            .sleep_unless(timeout, || ends() || self.cores.iter().any(|core| !core.submissions.is_empty()));
    }

    /// Takes commands from all cores in turn. An isolated command ends the batch before it, or is one alone.
    pub(super) fn take(&mut self, count_max: usize) -> Batch {
        let mut batch = Batch::default();
        let waiting: usize = self.cores.iter().map(|core| core.submissions.slots()).sum();
        self.metrics.queue_len.set(waiting as u64);
        if waiting > 0 {
            self.metrics.queue_lens.record(waiting as u64);
        }
        let mut progress = true;
        while progress && batch.len() < count_max {
            progress = false;
            for index in 0..self.cores.len() {
                let submissions = &mut self.cores[index].submissions;
                let Ok(next) = submissions.peek() else { continue };
                if next.command.op.row().marks.isolated && !batch.is_empty() {
                    return batch;
                }
                let Submission { command, ticket } = submissions.pop().expect("it was there to peek at");
                let isolated = command.op.row().marks.isolated;
                batch.push((index, ticket), command);
                progress = true;
                if isolated {
                    return batch;
                }
            }
        }
        batch
    }

    /// Keeps an answer for the next [`Cores::deliver`].
    pub(super) fn answer(&mut self, (core, ticket): Origin, reply: Result<Reply>) {
        if ticket != NO_REPLY {
            self.cores[core].replies.push((ticket, reply));
        }
    }

    /// Hands a committed batch to every core, with the answers kept for it.
    pub(super) fn deliver(&mut self, store: &Store, outputs: Arc<Vec<Output>>) {
        for core in &mut self.cores {
            let replies = std::mem::take(&mut core.replies);
            let delivery = Delivery { outputs: outputs.clone(), snapshot: store.snapshot(), replies };
            core.overflow.push_back(delivery);
        }
        self.push_overflow();
    }

    /// Moves waiting batches into the rings; true when so many still wait that no command may be taken.
    ///
    /// A batch that is answered on one core before another core has it in its ring would break the order between
    /// an answer and the events before it. So a batch goes to all rings or to none, and is published when it is in
    /// all of them. A core that has ended, as they do one by one in a shutdown, holds up nobody.
    pub(super) fn push_overflow(&mut self) -> bool {
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
        left >= OVERFLOW_COUNT_MAX
    }
}
