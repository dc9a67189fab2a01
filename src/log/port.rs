//! A core's end of the rings to and from the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::Thread;

use rtrb::{Consumer, Producer, PushError};

use super::{Delivery, Submission, Ticket};
use crate::domain::Command;

/// The writer's sleep: parked unless somebody has called since it last looked.
pub(super) struct Doorbell {
    asleep: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl Doorbell {
    pub(super) fn new() -> Doorbell {
        Doorbell { asleep: AtomicBool::new(false), thread: std::sync::OnceLock::new() }
    }

    /// Called once by the writer thread itself.
    pub(super) fn attach(&self) {
        self.thread.set(std::thread::current()).expect("one writer attaches");
    }

    /// Wakes the writer when it sleeps; nothing otherwise. Pairs with [`Doorbell::sleep_unless`]: either the
    /// caller sees `asleep`, or the writer's second look sees what the caller has pushed before.
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        let asleep = self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed);
        if let (true, Some(thread)) = (asleep, self.thread.get()) {
            thread.unpark();
        }
    }

    /// Sleeps at most `timeout` unless `work` says, after the intention to sleep is visible, that there is some.
    pub(super) fn sleep_unless(&self, timeout: std::time::Duration, work: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !work() {
            std::thread::park_timeout(timeout);
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// One core's end. Not shared between threads.
pub struct Port {
    pub(super) submissions: Producer<Submission>,
    pub(super) deliveries: Consumer<Delivery>,
    /// Batches that are in the rings of all cores.
    pub(super) published: Arc<AtomicU64>,
    /// Batches taken from this ring.
    pub(super) taken: u64,
    pub(super) doorbell: Arc<Doorbell>,
    /// Something was submitted that the writer was not woken for.
    pub(super) owes_ring: bool,
}

impl Port {
    /// Hands a command to the writer. Call [`Port::flush`] once per turn.
    ///
    /// # Errors
    /// The command, when the ring is full.
    // The command goes back by value: a box would cost every submission for the sake of the rare refusal.
    #[allow(clippy::result_large_err)]
    pub fn submit(&mut self, command: Command, ticket: Ticket) -> Result<(), Command> {
        let pushed = self.submissions.push(Submission { command, ticket });
        self.owes_ring |= pushed.is_ok();
        pushed.map_err(|PushError::Full(submission)| submission.command)
    }

    /// Wakes the writer for what was submitted since the last flush.
    pub fn flush(&mut self) {
        if std::mem::take(&mut self.owes_ring) {
            self.doorbell.ring();
        }
    }

    /// Whether a batch waits. One load; looked at before every request.
    pub fn has_deliveries(&self) -> bool {
        self.published.load(Ordering::Acquire) != self.taken
    }

    /// How many batches wait.
    pub fn delivery_count(&self) -> u64 {
        self.published.load(Ordering::Acquire) - self.taken
    }

    /// The next committed batch, once every core has it in its ring: a core that answered earlier could be
    /// overtaken by its own client, on another core that does not know of the change yet.
    pub fn next_delivery(&mut self) -> Option<Delivery> {
        if !self.has_deliveries() {
            return None;
        }
        self.taken += 1;
        Some(self.deliveries.pop().expect("a batch is published after it is in every ring"))
    }
}

type Result<T, E> = std::result::Result<T, E>;
