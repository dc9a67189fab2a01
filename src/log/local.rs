//! The local order: what the cores of this machine have submitted, in the order in which it is taken. The transaction
//! itself is the log.
//!
//! The writer takes what has queued up to `batch_max`, turns away what there is no room for, makes the next entry of
//! the rest, applies and commits it (and syncs), and hands what it came to to all cores. While it syncs the next batch gathers: the slower the disk, the larger the batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::apply::{Applied, Applier, Extent, Failure};
use super::cores::{Batch, Cores, Origin};
use super::entry::{Entry, Place};
use super::health::{Condition, Health, Seen, Trouble};
use super::port::{Doorbell, Port};
use super::touches::Touches;
use super::watch::Watch;
use crate::domain::{Command, Error, Now, Output, Refusal};
use crate::observe::WriterMetrics;
use crate::runtime::clock::{StepWatch, Turn};
use crate::runtime::wake::Wake;
use crate::store::{Room, Store, WriteError};

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

/// How often a full delivery ring is tried again, and how long an idle writer sleeps at most.
const RETRY: Duration = Duration::from_millis(1);
const IDLE: Duration = Duration::from_millis(200);

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
/// `touches` hears of messages.
///
/// # Errors
/// When no thread can be started.
pub fn start(
    store: Arc<Store>,
    options: Options,
    wakes: &[Arc<Wake>],
    metrics: Arc<WriterMetrics>,
    touches: Arc<Touches>,
) -> std::io::Result<(Vec<Port>, Writer)> {
    let watch = Watch::start(store.clone(), metrics.clone())?;
    let (ports, mut state) = Local::new(store, options, wakes, metrics);
    state.touches = touches;
    let (doorbell, health) = (state.cores.doorbell().clone(), state.condition.health());
    let stop = Arc::new(AtomicBool::new(false));
    let ending = stop.clone();
    let thread = std::thread::Builder::new().name("writer".into()).spawn(move || state.run(&ending))?;
    Ok((ports, Writer { thread: Some(thread), stop, doorbell, health, _watch: watch }))
}

struct Local {
    store: Arc<Store>,
    options: Options,
    cores: Cores,
    applier: Applier,
    /// Of the last entry. Each start is an epoch of its own.
    place: Place,
    /// Who waits to be told that there is no room: with the next delivery.
    turned_away: Vec<Origin>,
    /// Taken from the cores, and left over by the transaction before: it goes before everything that waits.
    rest: Batch,
    metrics: Arc<WriterMetrics>,
    last_sync: Instant,
    unsynced: bool,
    condition: Condition,
    steps: StepWatch,
    /// Who follows messages.
    touches: Arc<Touches>,
}

impl Local {
    fn new(
        store: Arc<Store>,
        options: Options,
        wakes: &[Arc<Wake>],
        metrics: Arc<WriterMetrics>,
    ) -> (Vec<Port>, Local) {
        let (ports, cores) = Cores::new(wakes, options.queue_len_max, metrics.clone());
        let applier = Applier::new(store.clone(), metrics.clone());
        let position = applier.position();
        let epoch = position.epoch.checked_add(1).expect("nobody starts a server 4 billion times");
        let place = Place { partition: position.partition, origin: options.node, epoch, sequence: 0 };
        let turned_away = Vec::new();
        let (rest, condition, steps) = (Batch::default(), Condition::default(), StepWatch::default());
        let (last_sync, unsynced) = (Instant::now(), false);
        let state = Local {
            store,
            options,
            cores,
            applier,
            place,
            turned_away,
            rest,
            metrics,
            last_sync,
            unsynced,
            condition,
            steps,
            touches: Arc::default(),
        };
        (ports, state)
    }

    /// Each round makes one delivery at most, so that a core that lags bounds how many wait for it, and with them
    /// the snapshots that are open.
    fn run(&mut self, stop: &AtomicBool) {
        self.cores.doorbell().attach();
        loop {
            let stopping = stop.load(Ordering::Acquire);
            self.watch_clock();
            self.sync_if_due(stopping);
            if self.cores.push_overflow() {
                std::thread::sleep(RETRY);
                continue;
            }
            let mut batch = std::mem::take(&mut self.rest);
            if batch.is_empty() {
                batch = self.cores.take(self.options.batch_max);
            }
            if !batch.is_empty() {
                self.rest = self.process(batch);
            } else if stopping {
                return;
            } else {
                self.probe_if_due();
                let timeout = if self.unsynced { self.options.sync_interval.unwrap_or(IDLE) } else { IDLE };
                self.cores.sleep(timeout, || stop.load(Ordering::Acquire));
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

    /// Commits a batch, or as much of it as one transaction takes, and returns the rest.
    fn process(&mut self, mut batch: Batch) -> Batch {
        let room = self.room();
        self.turn_away(&mut batch, room);
        let mut rest = Batch::default();
        if batch.is_empty() {
            self.refuse(&batch, Refusal::StoreFull);
            return rest;
        }
        match self.apply(&mut batch) {
            Ok(Applied { replies, outputs, touched }) => {
                rest = batch.split_off(replies.len());
                self.unsynced = self.options.sync_interval.is_some();
                let refused = replies.iter().filter(|reply| reply.is_err()).count();
                self.metrics.refused.add(refused as u64);
                let answers = batch.origins.iter().zip(replies);
                answers.for_each(|(origin, reply)| self.cores.answer(*origin, reply));
                self.deliver(outputs);
                self.touches.tell(touched);
                self.succeeded(room);
            }
            Err(Failure::Damaged(0)) => {
                rest = batch.split_off(1);
                self.refuse(&batch, Refusal::StoreDamaged);
            }
            // Those before it first; it comes back at the head of the rest.
            Err(Failure::Damaged(index)) => {
                rest = batch.split_off(index);
                let mut undone = self.process(batch);
                undone.append(rest);
                return undone;
            }
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

    /// Refuses what there is no room for before it has a place in the log: an entry is applied wherever it comes to,
    /// full or not. Deletes that make room beside changes that find none do not make it well.
    fn turn_away(&mut self, batch: &mut Batch, room: Room) {
        if room == Room::Plenty {
            return;
        }
        let mut away = batch.turn_away(|command| fits(room, command));
        if !away.is_empty() {
            self.failed(&WriteError::Full, room);
            self.metrics.refused.add(away.len() as u64);
            self.metrics.commands.add(away.len() as u64);
            self.turned_away.append(&mut away);
        }
    }

    /// What may be written. Where the state of the last sync is what keeps the file from being used again, the next
    /// sync is due now.
    fn room(&mut self) -> Room {
        let room = self.store.room();
        if room == Room::Plenty || !self.unsynced || !self.store.is_held_by_itself() {
            return room;
        }
        self.sync();
        self.store.room()
    }

    fn refuse(&mut self, batch: &Batch, refusal: Refusal) {
        self.metrics.failures.increment();
        for origin in &batch.origins {
            self.cores.answer(*origin, Err(Error::from(refusal)));
        }
        self.deliver(Vec::new());
    }

    /// Applies a batch as the next entry of this epoch.
    fn apply(&mut self, batch: &mut Batch) -> Result<Applied, Failure> {
        let now = Turn::now();
        let now = Now { unix_ms: now.unix_ms, steady_ms: now.steady_ms };
        let place = Place { sequence: self.place.sequence + 1, ..self.place };
        let entry = Entry { place, now, commands: std::mem::take(&mut batch.commands) };
        let applied = self.applier.apply(&entry, Extent::WhatFits);
        batch.commands = entry.commands;
        if applied.is_ok() {
            self.place = place;
        }
        applied
    }

    /// Hands a batch, or that there is none, to the cores, and with it the refusals that wait for one.
    fn deliver(&mut self, outputs: Vec<Output>) {
        for origin in std::mem::take(&mut self.turned_away) {
            self.cores.answer(origin, Err(Refusal::StoreFull.into()));
        }
        self.cores.deliver(&self.store, Arc::new(outputs));
    }

    fn sync_if_due(&mut self, stopping: bool) {
        let Some(interval) = self.options.sync_interval else { return };
        if self.unsynced && (stopping || self.last_sync.elapsed() >= interval) {
            self.sync();
        }
    }

    fn sync(&mut self) {
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

    /// A change was refused or could not be committed: tells of it if that is new, and returns why.
    fn failed(&mut self, error: &WriteError, room: Room) -> Trouble {
        let disk_is_full = self.store.disk_is_full();
        let trouble = match error {
            _ if disk_is_full => Trouble::DiskFull,
            WriteError::Full if room == Room::Plenty => Trouble::DiskFull,
            WriteError::Full if self.store.is_held() => Trouble::SnapshotHeld,
            WriteError::Full => Trouble::StoreFull,
            WriteError::Failed(_) => Trouble::WriteFailed,
        };
        if self.condition.failed(trouble, disk_is_full, Instant::now()) {
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
        if room != Room::Plenty {
            return;
        }
        let store = &self.store;
        let look = || Seen { disk_free: store.disk().free, used: store.used(), size: store.usage().1 };
        if let Some((trouble, lasted)) = self.condition.succeeded(look, Instant::now()) {
            self.metrics.store.refusing.set(0);
            tracing::info!(lasted_s = lasted.as_secs(), reason = trouble.name(), "changes are taken again");
        }
    }

    /// While changes are refused nobody may try: then this finds out when they need not be any longer.
    fn probe_if_due(&mut self) {
        if !self.condition.probe_is_due(Instant::now()) {
            return;
        }
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

fn fits(room: Room, command: &Command) -> bool {
    match room {
        Room::Plenty => true,
        Room::ForDeletes => command.op.row().marks.frees_room,
        Room::None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::cores::{DELIVERY_COUNT_MAX, OVERFLOW_COUNT_MAX, SNAPSHOTS_PER_CORE};
    use super::super::{NO_REPLY, Ticket};
    use super::*;
    use crate::domain::Reply;
    use crate::domain::housekeeping::sweep::Sweep;
    use crate::domain::social::setting::{MessagingEdit, SettingDelete};
    use crate::id::UserId;
    use crate::store::records::{Messaging, Setting};
    use crate::store::tables::{MESSAGING, SETTINGS};
    use crate::store::tests::temporary;
    use crate::store::{self, Sync, Tx};

    fn command() -> Command {
        Command::new(UserId(0), Sweep { records_max: 1 }.into())
    }

    fn options() -> Options {
        Options { batch_max: 8, sync_interval: None, node: 0, queue_len_max: 64 }
    }

    #[test]
    fn every_command_is_answered_once_on_its_core_and_every_core_sees_every_batch() {
        let (_folder, store) = temporary(1 << 24);
        let wakes: Vec<_> = (0..2).map(|_| Arc::new(Wake::new().unwrap())).collect();
        let (mut ports, writer) =
            start(Arc::new(store), options(), &wakes, Arc::default(), Arc::default()).unwrap();
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
        let (mut ports, writer) =
            start(Arc::new(store), options, &[wake], Arc::default(), Arc::default()).unwrap();
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
        let (mut ports, writer) =
            start(Arc::new(store), options, &wakes, Arc::default(), Arc::default()).unwrap();
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

    const DAMAGED: UserId = UserId(7);

    /// A store in which one record of [`DAMAGED`] is damaged, and which has room for few snapshots.
    fn damaged_store() -> (tempfile::TempDir, Store) {
        const MARK: u64 = 0x4d41_524b_4d41_524b;
        let folder = tempfile::tempdir().unwrap();
        let readers_max = (DELIVERY_COUNT_MAX + OVERFLOW_COUNT_MAX + 4) as u32;
        let path = folder.path().to_path_buf();
        let options = store::Options { path, map_size: 1 << 24, sync: Sync::Always, readers_max };
        let store = Store::open(&options).unwrap();
        let mut tx = store.begin().unwrap();
        tx.put(MESSAGING, DAMAGED, &Messaging { max_message_length: Some(MARK), ..Messaging::default() });
        tx.commit().unwrap();
        drop(store);
        let data = folder.path().join("data.mdb");
        let mut bytes = std::fs::read(&data).unwrap();
        let places: Vec<usize> =
            (0..bytes.len() - 8).filter(|at| bytes[*at..].starts_with(b"KRAMKRAM")).collect();
        assert!(!places.is_empty());
        places.iter().for_each(|at| bytes[*at] ^= 1);
        std::fs::write(data, bytes).unwrap();
        let store = Store::open(&options).unwrap();
        (folder, store)
    }

    #[test]
    fn damaged_records_in_one_batch_cost_no_more_snapshots_than_a_core_may_have() {
        let (_folder, store) = damaged_store();
        let edit = |user: UserId, length: u64| {
            let op = MessagingEdit { max_message_length: Some(length), ..MessagingEdit::default() };
            Command::new(user, op.into())
        };
        let options = Options { batch_max: 1_024, queue_len_max: 1_024, ..options() };
        let (wake, metrics) = (Arc::new(Wake::new().unwrap()), Arc::new(WriterMetrics::default()));
        let (mut ports, mut state) = Local::new(Arc::new(store), options, &[wake], metrics.clone());
        let mut port = ports.pop().unwrap();
        let is_damaged = |ticket: Ticket| ticket == 1 || ticket > 2;
        for ticket in 0..203 {
            let user = if is_damaged(ticket) { DAMAGED } else { UserId(u64::from(ticket) + 100) };
            port.submit(edit(user, 100), ticket).unwrap();
        }
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| state.run(&stop));
            let deadline = Instant::now() + Duration::from_secs(20);
            // The core takes nothing, and the writer waits for it.
            while metrics.delivery_backlog.value() < OVERFLOW_COUNT_MAX as u64 {
                assert!(Instant::now() < deadline && !writer.is_finished());
                std::thread::yield_now();
            }
            assert_eq!(port.delivery_count(), DELIVERY_COUNT_MAX as u64);
            let mut answered = Vec::new();
            while answered.len() < 203 {
                assert!(Instant::now() < deadline && !writer.is_finished(), "{answered:?}");
                answered.extend(port.next_delivery().into_iter().flat_map(|delivery| delivery.replies));
            }
            stop.store(true, Ordering::Release);
            for (place, (ticket, reply)) in answered.into_iter().enumerate() {
                assert_eq!(ticket as usize, place);
                let want =
                    if is_damaged(ticket) { Err(Refusal::StoreDamaged.into()) } else { Ok(Reply::Done) };
                assert_eq!(reply, want, "{ticket}");
            }
        });
        assert!(port.next_delivery().is_none());
    }

    #[test]
    fn a_state_of_the_last_sync_that_holds_the_file_is_synced_not_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let store = store::Options { path, map_size: 1 << 20, sync: Sync::Interval, readers_max: 64 };
        let store = Arc::new(Store::open(&store).unwrap());
        let wake = Arc::new(Wake::new().unwrap());
        let options = Options { sync_interval: Some(Duration::from_secs(3_600)), ..options() };
        let (mut ports, mut state) = Local::new(store.clone(), options, &[wake], Arc::default());
        for change in 0..2_000 {
            let edit = MessagingEdit { max_message_length: Some(change), ..MessagingEdit::default() };
            ports[0].submit(Command::new(UserId(change % 50), edit.into()), 0).unwrap();
            let batch = state.cores.take(8);
            assert!(state.process(batch).is_empty());
            let replies = ports[0].next_delivery().unwrap().replies;
            assert_eq!(replies, [(0, Ok(Reply::Done))], "change {change} of a store that holds 50 records");
        }
        // Some ten pages for each of the transactions that may pass before it is seen.
        assert!(store.usage().0 < 16 << 20, "{:?}", store.usage());
    }

    #[test]
    fn what_is_refused_for_room_counts_though_a_delete_beside_it_succeeds() {
        let (_folder, store) = temporary(1 << 20);
        let mut users = 100_u64;
        let put = |tx: &mut Tx<'_>, user: u64| {
            let value = "x".repeat(1_000);
            tx.put(SETTINGS, (UserId(user), "key"), &Setting { value, created_at: 0, updated_at: 0 });
        };
        while store.room() == Room::Plenty {
            let mut tx = store.begin().unwrap();
            (users..users + 20).for_each(|user| put(&mut tx, user));
            tx.commit().unwrap();
            users += 20;
        }
        let (store, wake) = (Arc::new(store), Arc::new(Wake::new().unwrap()));
        let (mut ports, mut state) = Local::new(store.clone(), options(), &[wake], Arc::default());
        let health = state.condition.health();
        let delete = |user| Command::new(UserId(user), SettingDelete { key: "key".into() }.into());
        let change = || Command::new(UserId(1), MessagingEdit::default().into());
        let mut ask = |commands: Vec<Command>| {
            commands.into_iter().for_each(|command| ports[0].submit(command, 0).unwrap());
            let batch = state.cores.take(8);
            assert!(state.process(batch).is_empty());
            let delivery = ports[0].next_delivery().unwrap();
            delivery.replies.into_iter().map(|(_, reply)| reply).collect::<Vec<_>>()
        };
        let mut users = 100..users;
        while store.room() != Room::Plenty {
            let replies = ask(vec![delete(users.next().unwrap()), change()]);
            assert_eq!(replies, [Ok(Reply::Done), Err(Refusal::StoreFull.into())]);
            assert_eq!(health.trouble(), Some(Trouble::StoreFull));
        }
        // One page is not yet enough to say that all is well.
        assert_eq!(ask(vec![change()]), [Ok(Reply::Done)]);
        assert_eq!(health.trouble(), Some(Trouble::StoreFull));
        for user in users.take(100) {
            assert_eq!(ask(vec![delete(user)]), [Ok(Reply::Done)]);
        }
        assert_eq!(ask(vec![change()]), [Ok(Reply::Done)]);
        assert_eq!(health.trouble(), None);
    }
}
