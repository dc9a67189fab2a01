//! One core: its state, its rings, and what it does in a turn.
//!
//! A turn: take what the writer and other cores have sent, what sockets have received and what is due by time; then
//! give every session that has something one send. Requests run between turns on the same thread; before each one
//! the core takes waiting batches first ([`Core::sync`]), so an answer never shows less than an event before it.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use super::admission::Admission;
use super::allowance::allow;
use super::http::{Backend, Upgrade};
use super::listen::set_option;
use super::pace::Share;
use super::ready::ReadyQueue;
use super::ring::{self, Read, Ready, Ring};
use super::waiting::Waiting;
use crate::api::State;
use crate::api::ctx::{Awaited, Desk};
use crate::api::router::Router;
use crate::domain::{Command, Refusal, Reply, Result};
use crate::effect::{Answer, Job, Lanes};
use crate::gateway::protocol::{self, Close};
use crate::gateway::{
    Action, Allowance, Ask, ConnectionId, Cx, FILL_LEN_MAX, Facts, Filled, Hub, Liveboard, Mail, MayRead,
};
use crate::log::{NO_REPLY, Port};
use crate::observe::{self, CoreMetrics, Phase, Watch, Work};
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
/// Reads per turn, of all sockets; at 3 to 8 µs each a turn stays near a millisecond when everybody beats at once.
const READ_COUNT_MAX: u64 = 256;
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
    pub lanes: Arc<Lanes>,
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
    board: Liveboard,
    admission: Arc<Admission>,
    allowance: Allowance,
    random: RefCell<Random>,
    waiting: Waiting,
    buffers: RefCell<Buffers>,
    shutdown: Cell<Shutdown>,
    metrics: Arc<CoreMetrics>,
    watch: Watch,
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

struct Buffers {
    receive: Vec<u8>,
    send: Vec<u8>,
    /// Sockets that wait to be read.
    ready: ReadyQueue,
    dirty: Vec<ConnectionId>,
}

impl Core {
    pub fn new(parts: Parts) -> Core {
        let config = parts.state.config.clone();
        Core {
            allowance: Allowance::new(&config.websocket),
            metrics: parts.state.metrics.clone(),
            watch: Watch::new(parts.index, config.logging.slow_turn_ms, parts.state.metrics.clone()),
            waiting: Waiting::new(parts.lanes, parts.wake.clone(), parts.state.metrics.clone()),
            state: parts.state,
            router: parts.router,
            hub: RefCell::new(parts.hub),
            ring: RefCell::new(parts.ring),
            port: RefCell::new(parts.port),
            mailbox: RefCell::new(parts.mailbox),
            share: Rc::new(Share::new(parts.wake.clone())),
            wake: parts.wake,
            board: parts.board,
            admission: parts.admission,
            random: RefCell::default(),
            buffers: RefCell::new(Buffers {
                receive: vec![0; RECEIVE_LEN],
                send: Vec::with_capacity(64 * 1024),
                ready: ReadyQueue::default(),
                dirty: Vec::new(),
            }),
            shutdown: Cell::new(Shutdown::No),
            send_buffer_len: config.websocket.socket_send_buffer as i32,
        }
    }

    fn with_cx<T>(&self, work: impl FnOnce(&Cx<'_>, &mut Hub) -> T) -> T {
        let snapshot: Rc<Snapshot> = self.state.snapshot();
        let now = self.state.now();
        let allow = |ask: Ask| allow(&self.state.limiter, now, self.allowance.counted(ask));
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
        self.waiting.take_answers();
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
            self.waiting.take_replies(delivery.replies);
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
            || !self.buffers.borrow().ready.is_empty()
            || !self.mailbox.borrow_mut().is_idle()
            || self.ring.borrow_mut().has_completions()
            || self.share.is_waited_for()
    }

    // ----------------------------------------------------------------------------------------- sockets

    fn read_sockets(&self, work: &mut Work) {
        let mut buffers = self.buffers.borrow_mut();
        let Buffers { receive, ready, .. } = &mut *buffers;
        self.reap(ready);
        self.with_cx(|cx, hub| hub.begin_reading(cx));
        let mut count = 0;
        for _ in 0..ready.len() {
            // One at least: even beside a client that costs all there is others are heard.
            let is_enough = count >= READ_COUNT_MAX || work.bytes_in >= READ_LEN_MAX;
            if count > 0 && (is_enough || self.hub.borrow().is_spent()) {
                break;
            }
            let Some((read, goes_on)) = ready.pop() else { break };
            if self.read_socket(read, receive, work, &mut count) {
                ready.push(read, true);
            }
            if let (false, Some((fd, generation))) = (goes_on, self.current(read.id, read.generation)) {
                self.ring.borrow_mut().watch(fd, read.id, generation);
            }
        }
    }

    /// Takes what sockets have told. Those that take bytes again never wait for those that bring some.
    fn reap(&self, ready: &mut ReadyQueue) {
        let mut ring = self.ring.borrow_mut();
        ring.submit();
        ring.reap(|event, goes_on| match event {
            Ready::Read(read) => ready.push(read, goes_on),
            Ready::Write { id, generation } => {
                if self.current(id, generation).is_some() {
                    self.hub.borrow_mut().writable(id);
                }
            }
        });
    }

    /// Descriptor and full generation, when the completion is not of an earlier connection in the slot.
    fn current(&self, id: ConnectionId, generation: u32) -> Option<(RawFd, u32)> {
        let hub = self.hub.borrow();
        let full = hub.generation(id).filter(|full| full & ring::GENERATION_MASK == generation)?;
        Some((hub.fd(id)?, full))
    }

    /// Reads what is there; true when more may wait. A peer that has ended its side is read to the end: nothing
    /// further would tell of it. `count`: how often sockets were read in this turn.
    fn read_socket(&self, read: Read, buffer: &mut [u8], work: &mut Work, count: &mut u64) -> bool {
        let Read { id, generation, ended } = read;
        let effort = self.hub.borrow().effort();
        for _ in 0..RECEIVE_COUNT_MAX {
            let Some((fd, _)) = self.current(id, generation) else { return false };
            let may_read = self.hub.borrow().may_read(id, effort);
            match may_read {
                MayRead::Yes => {}
                MayRead::Later => return true,
                MayRead::Never => {
                    if ended {
                        self.with_cx(|cx, hub| hub.lost(cx, id));
                    }
                    return false;
                }
            }
            *count += 1;
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
        id: ConnectionId,
        buffer: &mut Vec<u8>,
        sends: &mut u64,
        bytes: &mut u64,
    ) {
        loop {
            buffer.clear();
            let filled = hub.fill(id, buffer, FILL_LEN_MAX);
            let frames = std::mem::take(&mut hub.counters.frame_count);
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
                Action::Shut { id, fd, generation, counted } => {
                    self.ring.borrow_mut().unwatch(id, generation);
                    self.admission.leave(counted);
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
                let due = now + self.state.config.server.shutdown_grace_ms;
                self.shutdown.set(Shutdown::Announced(due));
            }
            Shutdown::Announced(due) if now >= due => {
                self.with_cx(|cx, hub| hub.close_all(cx, &Close::SERVER_SHUTDOWN));
                let due = now + self.state.config.websocket.close_timeout_ms;
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
        metrics.present_users.set(hub.present_count() as u64);
        metrics.voice_callers.set(hub.caller_count() as u64);
        metrics.gateway_replay_len.set(hub.replay_len() as u64);
        metrics.gateway_polls.set(self.ring.borrow().armed_count() as u64);
        if turn.samples {
            metrics.gateway_state_len.set(hub.state_len() as u64);
        }
        turn.work.hub = hub.counters.take_work();
        // Only when some may have changed: there are dozens, and a turn is short.
        if turn.work.hub.closed > 0 {
            for (counter, count) in metrics.closes.iter().zip(&hub.counters.closes) {
                counter.add(count - counter.value());
            }
        }
        self.watch.end(turn);
    }
}

impl Desk for Core {
    fn decide(&self, command: Command) -> Awaited<'_, Reply> {
        Box::pin(self.submit(command))
    }

    fn effect(&self, job: Job) -> Awaited<'_, Answer> {
        Box::pin(self.waiting.effect(job))
    }

    fn router(&self) -> &Router {
        &self.router
    }
}

impl Backend for Core {
    fn state(&self) -> &State {
        &self.state
    }

    /// The command is in the ring when this returns; the writer is woken when the answer is first waited for, so
    /// that commands submitted together are taken together.
    fn submit(&self, command: Command) -> impl Future<Output = Result<Reply>> {
        let claim = self.waiting.claim();
        let queued = self.port.borrow_mut().submit(command, claim.ticket).is_ok();
        if !queued {
            self.waiting.give_up(&claim);
        }
        async move {
            if !queued {
                return Err(Refusal::Busy.into());
            }
            self.port.borrow_mut().flush();
            self.waiting.reply(claim).await
        }
    }

    fn submit_and_forget(&self, command: Command) {
        let mut port = self.port.borrow_mut();
        if port.submit(command, NO_REPLY).is_err() {
            tracing::warn!("what the server was to note for itself is lost: the log is full");
        }
        port.flush();
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
        let now_ns = monotonic_ns();
        self.share.charge(now_ns.saturating_sub(begun_ns));
        self.state.set_handled(now_ns);
        self.watch.handled(request_id, route, begun_ns, now_ns);
    }

    fn upgrade(&self, fd: OwnedFd, upgrade: Upgrade) {
        let raw = fd.as_raw_fd();
        let _ = set_option(raw, libc::SOL_SOCKET, libc::SO_SNDBUF, self.send_buffer_len);
        let Upgrade { facts, mut leftover, admitted } = upgrade;
        let facts = Facts {
            host: facts.host.into(),
            secure: facts.is_https,
            ip: facts.ip,
            version_unknown: !protocol::version_is_known(&facts.query),
            is_counted: admitted.keep(),
        };
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
