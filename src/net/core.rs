//! One core: its state, its rings, and what it does in a turn.
//!
//! A turn: take what the writer and other cores have sent, what sockets have received and what is due by time; then
//! give every session that has something one send. Requests run between turns on the same thread; before each one
//! the core takes waiting batches first ([`Core::sync`]), so an answer never shows less than an event before it.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::task::{Poll, Waker};

use slab::Slab;

use super::admission::Admission;
use super::http::{Backend, Upgrade};
use super::listen::set_option;
use super::pace::Share;
use super::ready::ReadyQueue;
use super::ring::{self, Ready, Ring};
use crate::api::State;
use crate::api::limiter::Limiter;
use crate::api::router::Router;
use crate::config::{Algorithm, BucketSpec, Config};
use crate::domain::{Command, Refusal, Reply, Result};
use crate::effect::password::{self, PasswordPool, Source};
use crate::gateway::protocol::Close;
use crate::gateway::{Action, Ask, Cx, FILL_LEN_MAX, Facts, Filled, Hub, Liveboard, Mail};
use crate::log::{NO_REPLY, Port, Ticket};
use crate::observe::{self, CoreMetrics, HashMetrics, HubWork, Phase, Watch, Work};
use crate::runtime::clock::{Turn, monotonic_ns};
use crate::runtime::mailbox::Endpoint;
use crate::runtime::random::Random;
use crate::runtime::wake::Wake;
use crate::store::Snapshot;

/// Bytes received at once from one socket; a message is at most 64 KiB.
const RECEIVE_LEN: usize = 128 * 1024;
/// Reads from one socket per turn: a flooding client must leave time for the others.
const RECEIVE_COUNT_MAX: usize = 4;
/// Bytes after which a turn reads no further sockets: a millisecond of what is thrown away, such as pings.
const READ_LEN_MAX: u64 = 1024 * 1024;
/// Sockets read per turn; at 3 to 8 µs each a turn stays near a millisecond when everybody beats at once.
const READ_SOCKET_COUNT_MAX: usize = 256;
/// Sessions that get their dispatches per turn; at 4 to 6 µs a send, about a millisecond. One event for 10,000 sessions
/// would otherwise keep requests and heartbeats of everybody waiting for 50.
const FLUSH_SESSION_COUNT_MAX: usize = 256;
/// Bytes after which a turn sends no further dispatches: one to two milliseconds of copying. A burst of 256 messages is
/// 220 KB for each session.
const FLUSH_LEN_MAX: u64 = 1024 * 1024;
/// Sessions sent to before the bytes are looked at.
const FLUSH_PORTION: usize = 16;

/// What a core is built from.
pub struct Parts {
    pub index: usize,
    pub state: State,
    pub router: Arc<Router>,
    pub hub: Hub,
    pub ring: Ring,
    pub port: Port,
    pub mailbox: Endpoint<Mail>,
    pub wake: Arc<Wake>,
    pub pool: Arc<PasswordPool>,
    pub hashing: Arc<HashMetrics>,
    pub board: Liveboard,
    pub admission: Arc<Admission>,
}

pub struct Core {
    pub state: State,
    router: Arc<Router>,
    hub: RefCell<Hub>,
    ring: RefCell<Ring>,
    port: RefCell<Port>,
    mailbox: RefCell<Endpoint<Mail>>,
    pub wake: Arc<Wake>,
    /// What HTTP may do between turns.
    pub share: Rc<Share>,
    pool: Arc<PasswordPool>,
    board: Liveboard,
    admission: Arc<Admission>,
    allowance: Allowance,
    random: RefCell<Random>,
    /// Requests that wait for the writer or for a hash.
    waiting: RefCell<Slab<Waiting>>,
    hashed: Receiver<(Ticket, Hashed)>,
    hashed_sender: Sender<(Ticket, Hashed)>,
    buffers: RefCell<Buffers>,
    shutdown: Cell<Shutdown>,
    metrics: Arc<CoreMetrics>,
    watch: Watch,
    hashing: Arc<HashMetrics>,
    send_buffer_len: i32,
}

#[derive(Clone, Copy, PartialEq)]
enum Shutdown {
    No,
    /// Clients were told; at that monotonic time they are closed.
    Announced(u64),
    /// Clients were closed; at that time the core ends whatever they do.
    Closed(u64),
}

#[derive(Default)]
struct Waiting {
    /// When it was handed over.
    begun_ns: u64,
    waker: Option<Waker>,
    outcome: Option<Outcome>,
    /// Whoever asked is gone.
    abandoned: bool,
}

/// Somebody waits for a ticket; when he stops waiting, its place is freed at once or when the answer comes.
struct Claim<'c> {
    waiting: &'c RefCell<Slab<Waiting>>,
    ticket: Ticket,
    /// The answer was taken: the place may be somebody else's by now.
    is_settled: Cell<bool>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.is_settled.get() {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        let entry = &mut waiting[self.ticket as usize];
        if entry.outcome.is_some() {
            drop(waiting.remove(self.ticket as usize))
        } else {
            entry.abandoned = true
        }
    }
}

enum Outcome {
    Reply(Result<Reply>),
    Hashed(Hashed),
}

enum Hashed {
    Phc(String),
    Matches(bool),
    /// It had to make room for others.
    Refused,
    Failed,
}

struct Buffers {
    receive: Vec<u8>,
    send: Vec<u8>,
    /// What sockets have told, not looked at yet.
    ready: ReadyQueue,
    dirty: Vec<u32>,
    /// Sockets that had more to read than one turn allows.
    again: Vec<(u32, u32, bool)>,
}

impl Buffers {
    /// Whether sockets wait to be read.
    fn is_waiting(&self) -> bool {
        !self.ready.is_empty() || !self.again.is_empty()
    }
}

/// The gateway's limits that all cores share.
struct Allowance {
    limiter: Arc<Limiter>,
    attempt: BucketSpec,
    identify: BucketSpec,
}

const NAMESPACE_ATTEMPT: u8 = 128;
const NAMESPACE_IDENTIFY: u8 = 129;

impl Allowance {
    fn new(limiter: Arc<Limiter>, config: &Config) -> Allowance {
        let bucket = |algorithm, requests: u64, burst: u64, window_ms: u64| BucketSpec {
            algorithm,
            requests: requests as u32,
            burst: burst as u32,
            window_ms: window_ms as u32,
            caps: Vec::new(),
        };
        let attempts = config.websocket_identify_per_ip_per_minute;
        let (burst, interval_ms) = (config.websocket_identify_burst, config.websocket_identify_interval_ms);
        Allowance {
            limiter,
            attempt: bucket(Algorithm::SlidingWindow, attempts, 0, 60_000),
            // One more each interval; the bucket holds the burst. Either at 0 turns it off.
            identify: bucket(
                Algorithm::TokenBucket,
                burst.min(interval_ms).min(1),
                burst.saturating_sub(1),
                interval_ms,
            ),
        }
    }

    fn ask(&self, now: Turn, ask: Ask) -> bool {
        match ask {
            Ask::Attempt(ip) => {
                let key = self.limiter.key_of_ip(NAMESPACE_ATTEMPT, ip);
                self.limiter.take(now, key, &self.attempt).allowed
            }
            Ask::Identify(token) => {
                let key = self.limiter.key_of_id(NAMESPACE_IDENTIFY, token.0);
                self.limiter.take(now, key, &self.identify).allowed
            }
            Ask::Failed(ip) => {
                self.limiter.failed_verification(now, ip);
                true
            }
        }
    }
}

impl Core {
    pub fn new(parts: Parts) -> Core {
        let config = parts.state.config.clone();
        let (hashed_sender, hashed) = std::sync::mpsc::channel();
        Core {
            allowance: Allowance::new(parts.state.limiter.clone(), &config),
            metrics: parts.state.metrics.clone(),
            watch: Watch::new(parts.index, config.logging_slow_turn_ms, parts.state.metrics.clone()),
            hashing: parts.hashing,
            state: parts.state,
            router: parts.router,
            hub: RefCell::new(parts.hub),
            ring: RefCell::new(parts.ring),
            port: RefCell::new(parts.port),
            mailbox: RefCell::new(parts.mailbox),
            share: Rc::new(Share::new(parts.wake.clone())),
            wake: parts.wake,
            pool: parts.pool,
            board: parts.board,
            admission: parts.admission,
            random: RefCell::default(),
            waiting: RefCell::default(),
            hashed,
            hashed_sender,
            buffers: RefCell::new(Buffers {
                receive: vec![0; RECEIVE_LEN],
                send: Vec::with_capacity(64 * 1024),
                ready: ReadyQueue::default(),
                dirty: Vec::new(),
                again: Vec::new(),
            }),
            shutdown: Cell::new(Shutdown::No),
            send_buffer_len: config.websocket_socket_send_buffer as i32,
        }
    }

    fn with_cx<T>(&self, work: impl FnOnce(&Cx<'_>, &mut Hub) -> T) -> T {
        let snapshot: Rc<Snapshot> = self.state.snapshot();
        let now = self.state.now();
        let allow = |ask: Ask| self.allowance.ask(now, ask);
        let random = || self.random.borrow_mut().piece();
        let cx = Cx {
            read: snapshot.read(),
            unix_ms: now.unix_ms,
            steady_ms: now.steady_ms,
            mono_ms: now.monotonic_ms,
            allow: &allow,
            random: &random,
            live: &self.board,
        };
        work(&cx, &mut self.hub.borrow_mut())
    }

    // -------------------------------------------------------------------------------------------- turn

    /// Everything that is there to do right now.
    ///
    /// Measured as it goes, once per part and never per event: 199 ns per turn, where two looks at both clocks and two
    /// counters are 88 ns (`cargo bench --bench turn`, EPYC); a look at a clock is 21 ns. With 1,000 or 10 sessions
    /// in a fan-out no difference was to be seen in CPU per delivery.
    pub fn turn(&self) {
        let (begun, begun_ns) = Turn::now_with_ns();
        self.state.set_now(begun);
        let mut turn = self.watch.begin(begun_ns);
        // Letters are taken before batches and handled after them: what a letter speaks of was committed before
        // it was written, so its batch is in the ring by now.
        let mut letters = Vec::new();
        self.mailbox.borrow_mut().drain(|_, mail| letters.push(mail));
        turn.work.letters = letters.len() as u64;
        self.take_deliveries(&mut turn.work);
        turn.lap(Phase::Apply, monotonic_ns());
        for mail in letters {
            self.on_mail(mail);
        }
        for event in self.state.take_ephemeral() {
            let event = Arc::new(event);
            self.with_cx(|cx, hub| hub.broadcast(cx, event));
        }
        self.take_hashed();
        turn.lap(Phase::Mail, monotonic_ns());
        self.read_sockets(&mut turn.work);
        turn.lap(Phase::Sockets, monotonic_ns());
        self.with_cx(|cx, hub| hub.tick(cx));
        self.shut_down_step(begun.monotonic_ms);
        turn.lap(Phase::Tick, monotonic_ns());
        // Letters leave before answers do: what a client has seen here, its next request finds known elsewhere.
        self.act();
        self.mailbox.borrow_mut().flush();
        turn.lap(Phase::Act, monotonic_ns());
        self.flush(&mut turn.work);
        turn.lap(Phase::Send, monotonic_ns());
        self.act();
        let backlog = self.mailbox.borrow_mut().flush();
        self.metrics.mail_backlog.set(backlog as u64);
        self.port.borrow_mut().flush();
        self.ring.borrow_mut().submit();
        turn.lap(Phase::Act, monotonic_ns());
        self.measure(&mut turn);
    }

    /// Takes committed batches: events to sessions, answers to requests. What is published meanwhile waits for the
    /// next turn: a writer that is faster than this core must not keep it from sending.
    fn take_deliveries(&self, work: &mut Work) {
        let count = self.port.borrow().delivery_count();
        for _ in 0..count {
            let Some(delivery) = self.port.borrow_mut().next_delivery() else { return };
            work.batches += 1;
            work.replies += delivery.replies.len() as u64;
            self.state.set_snapshot(delivery.snapshot);
            self.with_cx(|cx, hub| {
                hub.apply(cx, &delivery.outputs);
            });
            if !delivery.replies.is_empty() {
                self.measure_replies(&delivery.replies);
            }
            for (ticket, reply) in delivery.replies {
                self.complete(ticket, Outcome::Reply(reply));
            }
        }
    }

    fn take_hashed(&self) {
        while let Ok((ticket, hashed)) = self.hashed.try_recv() {
            self.complete(ticket, Outcome::Hashed(hashed));
        }
    }

    fn complete(&self, ticket: Ticket, outcome: Outcome) {
        let mut waiting = self.waiting.borrow_mut();
        let entry = waiting.get_mut(ticket as usize).expect("a ticket is answered once");
        if entry.abandoned {
            waiting.remove(ticket as usize);
            return;
        }
        entry.outcome = Some(outcome);
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
    }

    fn on_mail(&self, mail: Mail) {
        let Mail::Adopt(adopted) = mail else {
            return self.with_cx(|cx, hub| hub.on_mail(cx, mail));
        };
        let fd = adopted.fd();
        self.with_cx(|cx, hub| {
            let id = hub.adopt(cx, *adopted);
            // It may have gone on to yet another core.
            if let Some(generation) = hub.generation(id) {
                self.ring.borrow_mut().watch(fd, id, generation);
            }
        });
    }

    /// Whether the core must not sleep.
    pub fn has_work(&self) -> bool {
        self.port.borrow().has_deliveries()
            || self.hub.borrow().has_work()
            || self.buffers.borrow().is_waiting()
            || !self.mailbox.borrow_mut().is_idle()
            || self.ring.borrow_mut().has_completions()
            || self.share.is_waited_for()
    }

    // ----------------------------------------------------------------------------------------- sockets

    fn read_sockets(&self, work: &mut Work) {
        let mut buffers = self.buffers.borrow_mut();
        let Buffers { receive, ready, again, .. } = &mut *buffers;
        {
            let mut ring = self.ring.borrow_mut();
            ring.submit();
            ring.reap(|event, goes_on| ready.push(event, goes_on));
        }
        for (id, generation, ended) in std::mem::take(again) {
            ready.push(Ready::Read { id, generation, ended }, true);
        }
        self.with_cx(|cx, hub| hub.begin_reading(cx));
        for count in 0..ready.len().min(READ_SOCKET_COUNT_MAX) {
            // One at least: even beside a client that costs all there is others are heard.
            if count > 0 && (self.hub.borrow().is_spent() || work.bytes_in >= READ_LEN_MAX) {
                break;
            }
            let (event, goes_on) = ready.pop().expect("counted above");
            match event {
                Ready::Read { id, generation, ended } => {
                    if self.read_socket(id, generation, ended, receive, work) {
                        again.push((id, generation, ended));
                    }
                    let fd = self.current(id, generation);
                    if let (false, Some((fd, generation))) = (goes_on, fd) {
                        self.ring.borrow_mut().watch(fd, id, generation);
                    }
                }
                Ready::Write { id, generation } => {
                    if self.current(id, generation).is_some() {
                        self.hub.borrow_mut().writable(id);
                    }
                }
            }
        }
    }

    /// Descriptor and full generation, when the completion is not of an earlier connection in the slot.
    fn current(&self, id: u32, generation: u32) -> Option<(RawFd, u32)> {
        let hub = self.hub.borrow();
        let full = hub.generation(id).filter(|full| full & ring::GENERATION_MASK == generation)?;
        Some((hub.fd(id)?, full))
    }

    /// Reads what is there; true when more may wait. A peer that has ended its side is read to the end: nothing
    /// further would tell of it.
    fn read_socket(&self, id: u32, generation: u32, ended: bool, buffer: &mut [u8], work: &mut Work) -> bool {
        for _ in 0..RECEIVE_COUNT_MAX {
            let Some((fd, _)) = self.current(id, generation) else { return false };
            if self.hub.borrow().has_unread(id) {
                return true;
            }
            match ring::receive(fd, buffer) {
                Ok(0) => {
                    self.with_cx(|cx, hub| hub.lost(cx, id));
                    return false;
                }
                Ok(len) => {
                    work.reads += 1;
                    work.bytes_in += len as u64;
                    self.with_cx(|cx, hub| hub.receive(cx, id, &mut buffer[..len]));
                    if len < buffer.len() && !ended {
                        return false;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.with_cx(|cx, hub| hub.lost(cx, id));
                    return false;
                }
            }
        }
        true
    }

    /// One send for every connection that has something; of many sessions with dispatches only as many as keep the
    /// turn short, the next ones follow in the next turn.
    fn flush(&self, work: &mut Work) {
        let mut buffers = self.buffers.borrow_mut();
        let Buffers { send, dirty, .. } = &mut *buffers;
        let mut sends = 0;
        let mut bytes = 0;
        self.with_cx(|cx, hub| {
            for _ in 0..FLUSH_SESSION_COUNT_MAX / FLUSH_PORTION {
                hub.take_dirty(cx, FLUSH_PORTION, dirty);
                for id in dirty.drain(..) {
                    self.flush_connection(cx, hub, id, send, &mut sends, &mut bytes);
                }
                if bytes >= FLUSH_LEN_MAX || !hub.has_dirty() {
                    break;
                }
            }
        });
        work.sends += sends;
        work.bytes_out += bytes;
    }

    fn flush_connection(
        &self,
        cx: &Cx<'_>,
        hub: &mut Hub,
        id: u32,
        buffer: &mut Vec<u8>,
        sends: &mut u64,
        bytes: &mut u64,
    ) {
        loop {
            buffer.clear();
            let filled = hub.fill(id, buffer, FILL_LEN_MAX);
            let frames = std::mem::take(&mut hub.frame_count);
            let Some(fd) = hub.fd(id) else { return };
            if !buffer.is_empty() {
                *sends += 1;
                if frames > 0 {
                    self.metrics.frames_per_send.record(frames);
                }
                let taken = match ring::send(fd, buffer) {
                    Ok(taken) => taken,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
                    Err(_) => return hub.lost(cx, id),
                };
                *bytes += taken as u64;
                if taken < buffer.len() {
                    hub.sent(cx, id, Some(&buffer[taken..]));
                    let generation = hub.generation(id).expect("the connection was there a moment ago");
                    return self.ring.borrow_mut().watch_write(fd, id, generation);
                }
                hub.sent(cx, id, None);
            }
            match filled {
                Filled::All => return,
                Filled::More => {}
                Filled::Lost => return hub.close_slow(cx, id),
            }
        }
    }

    /// Carries out what the gateway asks of the outside.
    fn act(&self) {
        let actions = self.hub.borrow_mut().take_actions();
        for action in actions {
            match action {
                Action::Shut { id, fd, generation, ticket } => {
                    self.ring.borrow_mut().unwatch(id, generation);
                    self.admission.leave(ticket);
                    // SAFETY: the gateway owned the descriptor and has forgotten it.
                    drop(unsafe { OwnedFd::from_raw_fd(fd) });
                }
                Action::Release { id, generation } => self.ring.borrow_mut().unwatch(id, generation),
                Action::ShutWrite { fd } => {
                    // SAFETY: a descriptor that is still open; the result does not matter.
                    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
                }
                Action::Submit(command) => {
                    if self.port.borrow_mut().submit(command, NO_REPLY).is_err() {
                        tracing::warn!("a change asked for over the gateway was dropped: the log is full");
                    }
                }
                Action::Mail { to, mail } => {
                    if self.mailbox.borrow_mut().send_or_queue(to, mail).is_err() {
                        unreachable!("the backlog between cores is unbounded");
                    }
                }
            }
        }
    }

    // ---------------------------------------------------------------------------------------- shutdown

    fn shut_down_step(&self, now: u64) {
        if !self.state.run.is_shutting_down() {
            return;
        }
        match self.shutdown.get() {
            Shutdown::No => {
                self.hub.borrow_mut().announce_shutdown();
                let due = now + self.state.config.server_shutdown_grace_ms;
                self.shutdown.set(Shutdown::Announced(due));
            }
            Shutdown::Announced(due) if now >= due => {
                self.with_cx(|cx, hub| hub.close_all(cx, &Close::SERVER_SHUTDOWN));
                let due = now + self.state.config.websocket_close_timeout_ms;
                self.shutdown.set(Shutdown::Closed(due));
            }
            Shutdown::Announced(_) | Shutdown::Closed(_) => {}
        }
    }

    /// Whether the core may end: everybody was told and is gone, or has had the time. `is_busy`: whether requests
    /// are under way.
    pub fn is_finished(&self, is_busy: impl FnOnce() -> bool) -> bool {
        match self.shutdown.get() {
            Shutdown::Closed(due) => {
                let gone = self.hub.borrow().connection_count() == 0 && !is_busy();
                gone || self.state.now().monotonic_ms >= due
            }
            _ => false,
        }
    }

    // --------------------------------------------------------------------------------------- measuring

    fn measure(&self, turn: &mut observe::Turn) {
        let mut hub = self.hub.borrow_mut();
        let metrics = &self.metrics;
        metrics.gateway_connections.set(hub.connection_count() as u64);
        metrics.gateway_sessions.set(hub.session_count() as u64);
        metrics.gateway_detached.set(hub.detached_count() as u64);
        metrics.gateway_replay_len.set(hub.replay_len() as u64);
        metrics.gateway_polls.set(self.ring.borrow().armed_count() as u64);
        if turn.samples {
            metrics.gateway_state_len.set(hub.state_len() as u64);
        }
        turn.work.hub = HubWork {
            dispatches: std::mem::take(&mut hub.dispatch_count),
            slow_consumers: std::mem::take(&mut hub.slow_consumer_count),
            ..std::mem::take(&mut hub.work)
        };
        self.watch.end(turn);
    }

    /// How long commands took, from the ring to the writer to their answer here. One look at the clock per batch.
    fn measure_replies(&self, replies: &[(Ticket, Result<Reply>)]) {
        let (now_ns, waiting) = (monotonic_ns(), self.waiting.borrow());
        for (ticket, _) in replies {
            let begun_ns = waiting[*ticket as usize].begun_ns;
            self.metrics.command_ns.record(now_ns.saturating_sub(begun_ns));
        }
    }

    // ----------------------------------------------------------------------------------------- waiting

    /// A place for an answer. Dropped before the answer came, it is freed when it comes.
    fn claim(&self) -> Claim<'_> {
        let waiting = Waiting { begun_ns: monotonic_ns(), ..Waiting::default() };
        let ticket = self.waiting.borrow_mut().insert(waiting) as Ticket;
        Claim { waiting: &self.waiting, ticket, is_settled: Cell::new(false) }
    }

    /// The answer to a claimed ticket; its place is free afterwards.
    async fn outcome(&self, claim: Claim<'_>) -> Outcome {
        poll_fn(|task| {
            let mut waiting = self.waiting.borrow_mut();
            let entry = &mut waiting[claim.ticket as usize];
            match entry.outcome.take() {
                Some(outcome) => {
                    waiting.remove(claim.ticket as usize);
                    claim.is_settled.set(true);
                    Poll::Ready(outcome)
                }
                None => {
                    entry.waker = Some(task.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Nobody will answer: nothing was submitted.
    fn give_up(&self, claim: &Claim<'_>) {
        self.waiting.borrow_mut().remove(claim.ticket as usize);
        claim.is_settled.set(true);
    }

    /// Whether the pool has taken a password.
    fn queued(&self, claim: &Claim<'_>, is_queued: bool) -> Result<()> {
        if is_queued {
            self.hashing.queued.add_shared(1);
            return Ok(());
        }
        self.hashing.refused.add_shared(1);
        self.give_up(claim);
        Err(Refusal::Busy.into())
    }

    /// Sends a result from a pool thread back to this core.
    fn hashed_to(&self, ticket: Ticket) -> impl FnOnce(Hashed) + Send + use<> {
        let (sender, wake, hashing) = (self.hashed_sender.clone(), self.wake.clone(), self.hashing.clone());
        move |hashed| {
            if matches!(hashed, Hashed::Refused) {
                hashing.refused.add_shared(1);
                hashing.evicted.add_shared(1);
            } else {
                hashing.done.add_shared(1);
            }
            // A core that has ended no longer listens.
            let _ = sender.send((ticket, hashed));
            wake.signal();
        }
    }
}

impl Backend for Core {
    fn state(&self) -> &State {
        &self.state
    }

    fn router(&self) -> &Router {
        &self.router
    }

    /// The command is in the ring when this returns; the writer is woken when the answer is first waited for, so
    /// that commands submitted together are taken together.
    fn submit(&self, command: Command) -> impl Future<Output = Result<Reply>> {
        let claim = self.claim();
        let queued = self.port.borrow_mut().submit(command, claim.ticket).is_ok();
        if !queued {
            self.give_up(&claim);
        }
        async move {
            if !queued {
                return Err(Refusal::Busy.into());
            }
            self.port.borrow_mut().flush();
            match self.outcome(claim).await {
                Outcome::Reply(reply) => reply,
                Outcome::Hashed(_) => unreachable!("the writer answers with a reply"),
            }
        }
    }

    fn submit_and_forget(&self, command: Command) {
        let mut port = self.port.borrow_mut();
        if port.submit(command, NO_REPLY).is_err() {
            tracing::warn!("the use of a session was not noted: the log is full");
        }
        port.flush();
    }

    async fn hash(&self, source: Source, password: String) -> Result<String> {
        let claim = self.claim();
        let done = self.hashed_to(claim.ticket);
        let done = Box::new(move |phc: std::result::Result<String, password::Error>| {
            done(match phc {
                Ok(phc) => Hashed::Phc(phc),
                Err(password::Error::Full) => Hashed::Refused,
                Err(_) => Hashed::Failed,
            })
        });
        let queued = self.pool.try_hash(source, password, done);
        self.queued(&claim, queued.is_ok())?;
        match self.outcome(claim).await {
            Outcome::Hashed(Hashed::Phc(phc)) => Ok(phc),
            Outcome::Hashed(Hashed::Refused) => Err(Refusal::Busy.into()),
            _ => Err(Refusal::Internal.into()),
        }
    }

    async fn verify(&self, source: Source, password: String, phc: Option<String>) -> Result<bool> {
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.pool.dummy_phc().to_string());
        let claim = self.claim();
        let done = self.hashed_to(claim.ticket);
        let done = Box::new(move |matches: std::result::Result<bool, password::Full>| {
            done(matches.map_or(Hashed::Refused, Hashed::Matches))
        });
        let queued = self.pool.try_verify(source, password, phc, done);
        self.queued(&claim, queued.is_ok())?;
        match self.outcome(claim).await {
            Outcome::Hashed(Hashed::Matches(matches)) => Ok(matches && known),
            Outcome::Hashed(Hashed::Refused) => Err(Refusal::Busy.into()),
            _ => Err(Refusal::Internal.into()),
        }
    }

    fn sync(&self) -> u64 {
        if self.port.borrow().has_deliveries() {
            self.turn();
            return monotonic_ns();
        }
        let (now, now_ns) = Turn::now_with_ns();
        self.state.set_now(now);
        now_ns
    }

    fn handled(&self, request_id: u64, route: &'static str, begun_ns: u64) {
        self.watch.handled(request_id, route, begun_ns, monotonic_ns());
    }

    fn upgrade(&self, fd: OwnedFd, upgrade: Upgrade) {
        let raw = fd.as_raw_fd();
        let _ = set_option(raw, libc::SOL_SOCKET, libc::SO_SNDBUF, self.send_buffer_len);
        let facts = Facts {
            host: upgrade.host.into(),
            secure: upgrade.is_https,
            ip: upgrade.ip,
            version_unknown: !version_is_known(&upgrade.query),
            ticket: upgrade.admitted.keep(),
        };
        let mut leftover = upgrade.leftover;
        self.with_cx(|cx, hub| {
            let id = hub.open(cx, fd.into_raw_fd(), facts);
            let generation = hub.generation(id).expect("the connection was just opened");
            self.ring.borrow_mut().watch(raw, id, generation);
            if !leftover.is_empty() {
                hub.receive(cx, id, &mut leftover);
            }
        });
        // HELLO goes out with the next turn, together with those of other upgrades.
        self.wake.signal();
    }
}

/// `v` of the gateway's query: absent or a number from 1 to 10 (gateway §1).
fn version_is_known(query: &str) -> bool {
    match crate::wire::http::Query(query).get("v") {
        Ok(None) => true,
        Ok(Some(text)) => matches!(crate::id::parse_id(&text), Some(1..=10)),
        Err(_) => false,
    }
}

/// Waits on the core's wake without blocking the thread.
pub struct Sleep {
    stream: monoio::net::UnixStream,
}

impl Sleep {
    /// # Errors
    /// When the descriptor cannot be duplicated or registered.
    pub fn new(wake: &Wake) -> std::io::Result<Sleep> {
        let fd = wake.as_fd().try_clone_to_owned()?;
        let stream = std::os::unix::net::UnixStream::from(fd);
        Ok(Sleep { stream: monoio::net::UnixStream::from_std(stream)? })
    }

    /// Until the core is signalled, or the gateway's ring has something.
    pub async fn sleep(&self) {
        // An error would mean that the eventfd is closed; the caller's loop then spins visibly, never hangs.
        let _ = self.stream.readable(false).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rate_limit::new_limiter;
    use crate::id::TokenId;

    /// How many of 1,000 IDENTIFYs with one token, all in the same millisecond, may go on.
    fn admitted(burst: u64, interval_ms: u64) -> usize {
        let config = Config {
            websocket_identify_burst: burst,
            websocket_identify_interval_ms: interval_ms,
            ..Config::default()
        };
        let now = Turn::at(1_700_000_000_000, 1_000);
        let allowance = Allowance::new(new_limiter(&config, 1 << 12, now), &config);
        (0..1_000).filter(|_| allowance.ask(now, Ask::Identify(TokenId(1)))).count()
    }

    #[test]
    fn identifies_in_a_row_are_limited_unless_either_number_is_0() {
        assert_eq!(admitted(5, 5_000), 5);
        assert_eq!(admitted(1, 5_000), 1);
        assert_eq!(admitted(0, 5_000), 1_000);
        assert_eq!(admitted(5, 0), 1_000);
    }
}
