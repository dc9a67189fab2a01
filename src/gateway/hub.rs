//! All gateway state of one core, and the life of a connection.

use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use super::allowance::Ask;
use super::audiences::Audiences;
use super::client::Resume;
use super::compression::Compression;
use super::connection::{Connection, Facts, Ms, State};
use super::connections::{ConnectionId, ConnectionRef, Connections};
use super::cores::Cores;
use super::counters::Counters;
use super::deadlines::Deadlines;
use super::drain::{Drain, RECONNECT};
use super::expiry::{LOOK_MS, Walk};
use super::farewell::Farewells;
use super::home::{Effects, Home, Ref};
use super::intake::Intake;
use super::members::Jobs;
use super::outbox::Outbox;
use super::protocol::Close;
use super::session::Slot;
use super::sessions::Sessions;
use super::survey::Survey;
use super::typing::Typing;
use super::voice::{Letter, Voice};
use crate::config::Config;
use crate::domain::version::Versions;
use crate::domain::{Asking, Command, Event, Now};
use crate::id::UserId;
use crate::runtime::shared_map::Writer;
use crate::store::Read;
use crate::wire::websocket::{Control, OpCode, write_close, write_frame};

/// The moment in which something happens: the core's snapshot and clock.
pub struct Cx<'a> {
    pub read: Read<'a>,
    /// Wall time in milliseconds: for what is compared with times of the wall.
    pub unix_ms: u64,
    /// Steady time in milliseconds.
    pub steady_ms: u64,
    /// Monotonic milliseconds, the same on all cores.
    pub mono_ms: u64,
    pub allow: &'a dyn Fn(Ask) -> bool,
    /// Twelve random bytes for a session id.
    pub random: &'a dyn Fn() -> [u8; 12],
    /// Whether a user is there, from any core's point of view.
    pub live: &'a super::home::Liveboard,
}

impl Cx<'_> {
    pub fn ms(&self) -> Ms {
        self.mono_ms as Ms
    }

    /// The state of now, asked by the user of a session.
    pub fn asking(&self, who: UserId) -> Asking<'_> {
        Asking { read: self.read, at: self.steady_ms, who }
    }

    pub fn now(&self) -> Now {
        Now { unix_ms: self.unix_ms, steady_ms: self.steady_ms }
    }
}

/// From core to core.
pub enum Mail {
    /// An event that is not part of the log.
    Event(Arc<Event>),
    /// A session is live; `new` by IDENTIFY, else by RESUME.
    Up { user_id: UserId, session: Ref, new: bool },
    /// A session is live that began in a hub that is no more.
    TakenOver { user_id: UserId, session: Ref },
    /// A session has lost its connection.
    Down { user_id: UserId, session: Ref },
    /// A session can no longer be resumed.
    Ended { user_id: UserId, session: Option<Ref> },
    /// The user has too many connections: close this one.
    Evict(Ref),
    /// A connection that wants to resume a session of the receiving core.
    Adopt(Box<Adopted>),
    /// Of voice: what is asked, and what has become of it. It is about the state that its sender has seen.
    Voice(Box<Letter>),
}

/// A connection on its way to the core that holds its session.
pub struct Adopted {
    connection: Connection,
    resume: Resume,
    /// Input behind the RESUME.
    rest: Vec<u8>,
}

impl Adopted {
    pub fn fd(&self) -> RawFd {
        self.connection.fd
    }
}

/// What the socket layer has to do.
pub enum Action {
    /// Close the socket; the slot is free again.
    Shut {
        id: ConnectionId,
        generation: u32,
        fd: RawFd,
        /// Among whose connections it is counted.
        counted: Option<IpAddr>,
    },
    /// Both close frames are there and ours is out: shut the writing side, go on reading.
    ShutWrite {
        fd: RawFd,
    },
    /// Forget the socket without closing it; another core has it now.
    Release {
        id: ConnectionId,
        generation: u32,
    },
    Submit(Command),
    Mail {
        to: usize,
        mail: Mail,
    },
}

/// The parts of a core's gateway, each with its own invariants in its file, and what they do together.
pub struct Hub {
    pub(super) cores: Cores,
    pub(super) config: Arc<Config>,
    /// Which clients are too old.
    pub(super) versions: Versions,
    pub(super) connections: Connections,
    pub(super) sessions: Sessions,
    pub(super) audiences: Audiences,
    pub(super) outbox: Outbox,
    pub(super) intake: Intake,
    pub(super) deadlines: Deadlines,
    /// Who was told to go.
    pub(super) farewells: Farewells,
    /// While everybody is sent away.
    pub(super) drain: Option<Drain>,
    pub(super) compression: Compression,
    pub(super) home: Home,
    pub(super) jobs: Jobs,
    pub(super) typing: Typing,
    pub(super) voice: Voice,
    pub(super) walk: Walk,
    pub(super) actions: Vec<Action>,
    pub(super) survey: Survey,
    /// For metrics and the log.
    pub counters: Counters,
}

/// What one tick ends: sessions, and places of them in servers, counted together. 10,000 take about 4 ms. A mass
/// disconnect of 60,000 sessions in 200 servers each would otherwise hold up everybody for five seconds.
pub(super) const ENDED_PER_TICK: usize = if cfg!(test) { 20 } else { 10_000 };
impl Hub {
    /// `secret` is the same for all cores of the process; `live` is this core's part of the live map.
    pub fn new(
        core: usize,
        core_count: usize,
        config: &Arc<Config>,
        live: Writer,
        secret: u32,
        mono_ms: u64,
    ) -> Hub {
        let websocket = &config.websocket;
        let versions = Versions::new(
            &config.application.version,
            &config.versioning.min_supported_version,
            &config.versioning.update_url,
        );
        let home = Home::new(
            live,
            config.presence.offline_grace_ms,
            config.presence.timeout_ms,
            websocket.max_connections_per_user as usize,
        );
        Hub {
            cores: Cores::new(core, core_count, secret),
            config: config.clone(),
            versions,
            connections: Connections::default(),
            sessions: Sessions::new(websocket.replay_bytes as usize),
            audiences: Audiences::default(),
            outbox: Outbox::default(),
            intake: Intake::default(),
            deadlines: Deadlines::new(mono_ms),
            farewells: Farewells::new(),
            drain: None,
            compression: Compression::default(),
            home,
            jobs: Jobs::default(),
            typing: Typing::default(),
            voice: Voice::default(),
            walk: Walk::after_start(mono_ms, websocket.session_timeout_ms),
            actions: Vec::new(),
            survey: Survey::default(),
            counters: Counters::default(),
        }
    }

    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Sessions that wait for RESUME.
    pub fn detached_count(&self) -> usize {
        self.sessions.detached_count()
    }

    /// People with a session, live or waiting for RESUME, of whom this core keeps who is there.
    pub fn present_count(&self) -> usize {
        self.home.present_count()
    }

    /// People in voice channels; 0 on cores that do not decide who is.
    pub fn caller_count(&self) -> usize {
        self.voice.caller_count()
    }

    /// What is kept for sessions besides the sessions; 0 when there are none. Tests look for leaks with it.
    pub fn residue(&self) -> usize {
        self.audiences.interest.entry_count()
            + self.sessions.user_count()
            + self.typing.len()
            + self.voice.len()
            + self.jobs.len()
    }

    /// Generation of a connection, so that the socket layer recognises late completions.
    pub fn generation(&self, id: ConnectionId) -> Option<u32> {
        self.connections.get(id).map(|connection| connection.generation)
    }

    pub fn fd(&self, id: ConnectionId) -> Option<RawFd> {
        self.connections.get(id).map(|connection| connection.fd)
    }

    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    // ------------------------------------------------------------------------------------- connections

    /// A socket was upgraded: HELLO goes out. Returns the connection's id.
    pub fn open(&mut self, cx: &Cx<'_>, fd: RawFd, mut facts: Facts) -> ConnectionId {
        let version_unknown = facts.version_unknown;
        let host = self.connections.share_host(std::mem::take(&mut facts.host), facts.secure);
        let id = self.insert(cx, Connection::new(fd, &facts, host, cx.ms()));
        if version_unknown {
            self.close(cx, id, &Close::INVALID_VERSION);
            return id;
        }
        let interval = self.config.websocket.heartbeat_interval_ms;
        let hello = format!("{{\"op\":10,\"d\":{{\"heartbeat_interval\":{interval}}}}}");
        self.send_text(id, hello.as_bytes());
        id
    }

    pub(super) fn insert(&mut self, cx: &Cx<'_>, connection: Connection) -> ConnectionId {
        let meant = self.connections.insert(connection);
        self.counters.work.opened += 1;
        let websocket = &self.config.websocket;
        let heartbeat_timeout_ms = self.config.heartbeat_timeout_ms();
        let timeouts = [websocket.ping_interval_ms, heartbeat_timeout_ms, websocket.identify_timeout_ms];
        // An adopted connection is older than now; its first look comes a little late, never early.
        let first = timeouts.into_iter().filter(|timeout| *timeout > 0).fold(LOOK_MS, u64::min);
        self.deadlines.look_at(cx.mono_ms + first, meant);
        meant.id
    }

    /// A connection arrives from another core to resume a session of this one. Returns its id.
    pub fn adopt(&mut self, cx: &Cx<'_>, adopted: Adopted) -> ConnectionId {
        let mut connection = adopted.connection;
        // What it had to send goes with it; whether the socket takes bytes is found out anew.
        connection.dirty = false;
        connection.unblock();
        let id = self.insert(cx, connection);
        self.mark_dirty(id);
        self.take_in_adopted(cx, id, &adopted.resume);
        let mut rest = adopted.rest;
        self.receive(cx, id, &mut rest);
        id
    }

    pub(super) fn hand_over(&mut self, id: ConnectionId, resume: Resume, rest: &[u8]) {
        let (to, _) = self.cores.place_of(resume.session_id);
        let connection = self.connections.remove(id);
        self.counters.work.closed += 1;
        self.actions.push(Action::Release { id, generation: connection.generation });
        let adopted = Box::new(Adopted { connection, resume, rest: rest.to_vec() });
        self.actions.push(Action::Mail { to, mail: Mail::Adopt(adopted) });
    }

    /// The socket is gone.
    pub fn lost(&mut self, cx: &Cx<'_>, id: ConnectionId) {
        if !self.connections.contains(id) {
            return;
        }
        self.detach(cx, id);
        let connection = self.connections.remove(id);
        self.counters.work.closed += 1;
        let Connection { generation, fd, is_counted, .. } = connection;
        let counted = is_counted.then(|| connection.ip());
        self.actions.push(Action::Shut { id, generation, fd, counted });
    }

    /// Closes with a reason after everything queued. The session, if any, is detached.
    pub(super) fn close(&mut self, cx: &Cx<'_>, id: ConnectionId, close: &'static Close) {
        self.counters.work.rate_limited += u64::from(close.reason == Close::RATE_LIMITED.reason);
        self.drain(id);
        self.close_now(cx, id, Some(close.code), close.reason);
    }

    /// Closes without sending dispatches that wait: for slow consumers and sessions that were taken over.
    pub(super) fn close_now(&mut self, cx: &Cx<'_>, id: ConnectionId, code: Option<u16>, reason: &str) {
        self.detach(cx, id);
        let Some(connection) = self.connections.get_mut(id) else { return };
        if connection.state.is_closing() {
            return;
        }
        match code {
            Some(code) => {
                self.counters.closed_for(code, reason);
                write_close(connection.out(), code, reason);
            }
            None => write_frame(connection.out(), OpCode::Control(Control::Close), b""),
        }
        connection.state = State::Closing;
        connection.drop_unread();
        // What it has of a message is nobody's now.
        self.intake.add_unknown(connection.unknown_len());
        let meant = ConnectionRef { id, generation: connection.generation };
        self.deadlines.closing_since(cx.ms(), meant);
        self.outbox.mark(id, connection);
    }

    /// Moves all dispatches that wait into the connection's own bytes.
    pub(super) fn drain(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let mut out = connection.take_out();
        self.fill_dispatches(id, &mut out, usize::MAX);
        if !out.is_empty() {
            *self.connections[id].out() = out;
        }
    }

    // ---------------------------------------------------------------------------------------- sessions

    pub(super) fn session_ref(&self, slot: Slot) -> Ref {
        self.cores.name(slot, &self.sessions[slot])
    }

    /// Tells the home core of a user, which may be this one.
    pub(super) fn tell_home(&mut self, cx: &Cx<'_>, user_id: UserId, mail: Mail) {
        let to = self.cores.home_of(user_id);
        if to == self.cores.own {
            self.on_mail(cx, mail)
        } else {
            self.actions.push(Action::Mail { to, mail })
        }
    }

    /// Separates a session from its connection; it goes on collecting events (§3).
    pub(super) fn detach(&mut self, cx: &Cx<'_>, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let slot = std::mem::replace(&mut connection.session, Slot::NONE);
        let Some(session) = self.sessions.get(slot) else { return };
        let (user_id, session_id) = (session.user_id, session.id);
        self.deadlines.detached_since(cx.ms(), slot, session_id);
        self.stop_typing(cx, slot);
        let one_too_many = self.sessions.detach(slot, cx.ms());
        let session = self.session_ref(slot);
        self.tell_home(cx, user_id, Mail::Down { user_id, session });
        self.voice_attached(cx, slot, false);
        if let Some(oldest) = one_too_many {
            self.end_session(cx, oldest);
        }
    }

    /// Ends a session for good and closes its connection, if it has one.
    pub(super) fn end_and_close(&mut self, cx: &Cx<'_>, slot: Slot, close: &'static Close) {
        let id = self.sessions[slot].connection;
        self.end_session(cx, slot);
        if id != ConnectionId::NONE {
            self.close(cx, id, close);
        }
    }

    /// Ends a session for good. Its connection, if it has one, is left without a session: the caller closes it or
    /// lets it identify again. Returns in how many servers it was.
    pub(super) fn end_session(&mut self, cx: &Cx<'_>, slot: Slot) -> usize {
        let session = self.session_ref(slot);
        let (user_id, id) = {
            let session = &self.sessions[slot];
            (session.user_id, session.connection)
        };
        let is_live = id != ConnectionId::NONE;
        if is_live {
            self.drain(id);
            self.connections[id].session = Slot::NONE;
            self.stop_typing(cx, slot);
        }
        self.voice_ended(cx, slot);
        let server_count = self.audiences.leave_all(cx.read, user_id, slot);
        self.jobs.forget(slot);
        self.sessions.end(slot);
        self.tell_home(cx, user_id, Mail::Ended { user_id, session: is_live.then_some(session) });
        server_count
    }

    // -------------------------------------------------------------------------------------------- mail

    /// Something from another core, or from this one to itself.
    pub fn on_mail(&mut self, cx: &Cx<'_>, mail: Mail) {
        match mail {
            Mail::Event(event) => self.deliver(cx, &event, std::iter::empty()),
            Mail::Up { user_id, session, new } => {
                let effects = self.home.up(cx.read, cx.steady_ms, user_id, session, new);
                self.carry_out(cx, effects);
            }
            Mail::TakenOver { user_id, session } => {
                self.home.taken_over(cx.read, cx.steady_ms, user_id, session);
            }
            Mail::Down { user_id, session } => self.home.down(cx.steady_ms, user_id, session),
            Mail::Ended { user_id, session } => {
                let effects = self.home.ended(cx.steady_ms, user_id, session);
                self.carry_out(cx, effects);
            }
            Mail::Evict(session) => self.evict(cx, session),
            Mail::Voice(letter) => self.on_voice(cx, *letter),
            Mail::Adopt(_) => unreachable!("the socket layer registers the socket and calls `adopt`"),
        }
    }

    fn evict(&mut self, cx: &Cx<'_>, evicted: Ref) {
        let there = self.sessions.get(evicted.slot).map(|session| self.cores.name(evicted.slot, session));
        if there == Some(evicted) {
            self.end_and_close(cx, evicted.slot, &Close::TOO_MANY_CONNECTIONS);
        }
    }

    pub(super) fn carry_out(&mut self, cx: &Cx<'_>, effects: Effects) {
        for event in effects.events {
            self.broadcast(cx, event);
        }
        for session in effects.evicted {
            let to = usize::from(session.core);
            if to == self.cores.own {
                self.evict(cx, session);
            } else {
                self.actions.push(Action::Mail { to, mail: Mail::Evict(session) });
            }
        }
        if let Some(user_id) = effects.came_back {
            self.come_back(user_id);
        }
        for user_id in effects.gone {
            self.expire_memberships(cx, user_id);
        }
    }

    /// Delivers an event that is not part of the log to the sessions of all cores.
    pub fn broadcast(&mut self, cx: &Cx<'_>, event: Arc<Event>) {
        for to in self.cores.others() {
            self.actions.push(Action::Mail { to, mail: Mail::Event(event.clone()) });
        }
        self.deliver(cx, &event, std::iter::empty());
    }

    /// Whether work waits that needs no input: the core must not sleep.
    pub fn has_work(&self) -> bool {
        self.deadlines.overdue
            || self.intake.waiting_count() > 0
            || self.voice.has_work()
            || self.jobs.runnable(&self.sessions, &self.connections).is_some()
            || self.has_dirty()
    }

    /// Whether something waits to be sent.
    pub fn has_dirty(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub fn close_slow(&mut self, cx: &Cx<'_>, id: ConnectionId) {
        self.counters.slow_consumer_count += 1;
        // What was queued ahead of the dispatches may be half a frame: its rest must go first.
        self.close_now(cx, id, Some(Close::SLOW_CONSUMER.code), Close::SLOW_CONSUMER.reason);
    }

    // ---------------------------------------------------------------------------------------- shutdown

    /// Tells every connection that the server goes (§8); `close_all` follows after the grace.
    pub fn announce_shutdown(&mut self) {
        let status = self.status("shutting_down", |d| {
            d.str("message", "The server is shutting down").null("restart_at");
        });
        for id in self.connections.ids() {
            self.send_text(id, status.as_bytes());
            self.send_text(id, RECONNECT);
        }
    }

    pub fn close_all(&mut self, cx: &Cx<'_>, close: &'static Close) {
        for id in self.connections.ids() {
            self.close(cx, id, close);
        }
    }
}
