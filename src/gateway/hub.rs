//! All gateway state of one core, and the life of a connection.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::allowance::Ask;
use super::by_user::ByUser;
use super::client::Resume;
use super::connection::{Connection, Facts, Hosts, Ms, State};
use super::expiry::{LOOK_MS, Walk};
use super::home::{Effects, Home, Ref};
use super::interest::Interest;
use super::members::Job;
use super::protocol::Close;
use super::replay::Replay;
use super::session::{NONE, Session, SessionId};
use super::settings::Settings;
use super::survey::Survey;
use crate::config::Config;
use crate::domain::version::Versions;
use crate::domain::{Command, Event, Now};
use crate::id::{ChannelId, ServerId, UserId};
use crate::observe::HubWork;
use crate::runtime::paged::PagedSlab;
use crate::runtime::shared_map::Writer;
use crate::runtime::wheel::Wheel;
use crate::store::Read;
use crate::store::tables::USER_SERVERS;
use crate::wire::websocket::{Control, Deflater, Inflater, OpCode, write_close, write_frame};

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
    /// A session has lost its connection.
    Down { user_id: UserId, session: Ref },
    /// A session can no longer be resumed.
    Ended { user_id: UserId, session: Option<Ref> },
    /// The user has too many connections: close this one.
    Evict(Ref),
    /// A connection that wants to resume a session of the receiving core.
    Adopt(Box<Adopted>),
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
        id: u32,
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
        id: u32,
        generation: u32,
    },
    Submit(Command),
    Mail {
        to: usize,
        mail: Mail,
    },
}

pub struct Hub {
    pub(super) core: usize,
    pub(super) core_count: usize,
    pub(super) versions: Versions,
    pub(super) settings: Settings,
    pub(super) connections: PagedSlab<Connection>,
    pub(super) sessions: PagedSlab<Session>,
    hosts: Hosts,
    /// First session of a user on this core; the others follow by `next_of_user`.
    pub(super) users: ByUser,
    pub(super) interest: Interest,
    pub(super) replay: Replay,
    pub(super) home: Home,
    pub(super) jobs: VecDeque<Job>,
    /// Where a session was last typing, for TYPING_STOP on disconnect.
    pub(super) typing: FxHashMap<u32, (ChannelId, Ms)>,
    pub(super) actions: Vec<Action>,
    pub(super) secret: u32,
    pub(super) inflater: Inflater,
    pub(super) inflated: Vec<u8>,
    pub(super) deflater: Deflater,
    pub(super) recipients: Vec<u32>,
    /// Marks sessions that a scattered audience has met already.
    pub(super) marks: Vec<u32>,
    pub(super) mark: u32,
    /// Longest waiting first.
    pub(super) dirty_sessions: VecDeque<u32>,
    pub(super) dirty_connections: Vec<u32>,
    /// One entry per connection: heartbeat, identify, ping.
    pub(super) wheel: Wheel,
    pub(super) due: Vec<(u32, u32)>,
    /// Memberships that end with the batch that is being applied (`None`: everybody's): the snapshot no longer has
    /// them, the index may still.
    pub(super) leaving: Vec<(ServerId, Option<UserId>)>,
    pub(super) closing: VecDeque<(Ms, u32, u32)>,
    pub(super) stalled: VecDeque<(Ms, u32, u32)>,
    pub(super) expiring: VecDeque<(Ms, u32, SessionId)>,
    /// Ends of tokens that come before the next look at their connection: core time, connection, generation.
    pub(super) expiries: BinaryHeap<Reverse<(u64, u32, u32)>>,
    pub(super) walk: Walk,
    /// Connections with input that waits for a turn that has time for it.
    pub(super) unread: VecDeque<(u32, u32)>,
    /// What reading has cost in this turn, in dispatches.
    pub(super) effort: u64,
    /// Bytes of input that connections without a session hold, at most: what is given back is not counted down.
    pub(super) unknown_len: usize,
    /// The last tick left due work for the next one.
    pub(super) overdue: bool,
    next_generation: u32,
    pub(super) plain: Vec<u8>,
    /// Dispatches given out, for metrics.
    pub dispatch_count: u64,
    pub slow_consumer_count: u64,
    /// What was done since the socket layer last took it, for metrics and the log.
    pub work: HubWork,
    /// Frames of dispatches written by `fill`.
    pub frame_count: u64,
    /// Sessions without a connection.
    pub(super) detached_count: usize,
    pub(super) survey: Survey,
}

const WHEEL_GRANULARITY_MS: u64 = 250;
const WHEEL_SLOTS: usize = 512;

/// What one tick ends: sessions, and places of them in servers, counted together. 10,000 take about 4 ms. A mass
/// disconnect of 60,000 sessions in 200 servers each would otherwise hold up everybody for five seconds.
pub(super) const ENDED_PER_TICK: usize = if cfg!(test) { 20 } else { 10_000 };
impl Hub {
    /// `secret` is the same for all cores of the process; `live` is this core's part of the live map.
    pub fn new(
        core: usize,
        core_count: usize,
        config: &Config,
        live: Writer,
        secret: u32,
        mono_ms: u64,
    ) -> Hub {
        let settings = Settings::of(config);
        let home = Home::new(
            live,
            config.presence_offline_grace_ms,
            config.presence_timeout_ms,
            config.websocket_max_connections_per_user as usize,
        );
        let versions = Versions::new(
            &config.application_version,
            &config.versioning_min_supported_version,
            &config.versioning_update_url,
        );
        let session_timeout_ms = settings.session_timeout_ms;
        Hub {
            core,
            core_count,
            versions,
            replay: Replay::new(settings.replay_len_max),
            settings,
            connections: PagedSlab::default(),
            sessions: PagedSlab::default(),
            hosts: Hosts::default(),
            users: ByUser::default(),
            interest: Interest::default(),
            home,
            expiries: BinaryHeap::new(),
            walk: Walk::after_start(mono_ms, session_timeout_ms),
            unread: VecDeque::new(),
            effort: 0,
            unknown_len: 0,
            jobs: VecDeque::new(),
            typing: FxHashMap::default(),
            actions: Vec::new(),
            secret,
            inflater: Inflater::default(),
            inflated: Vec::new(),
            deflater: Deflater::default(),
            recipients: Vec::new(),
            marks: Vec::new(),
            mark: 0,
            dirty_sessions: VecDeque::new(),
            dirty_connections: Vec::new(),
            wheel: Wheel::new(mono_ms, WHEEL_GRANULARITY_MS, WHEEL_SLOTS),
            due: Vec::new(),
            leaving: Vec::new(),
            closing: VecDeque::new(),
            stalled: VecDeque::new(),
            expiring: VecDeque::new(),
            overdue: false,
            next_generation: 0,
            plain: Vec::new(),
            dispatch_count: 0,
            slow_consumer_count: 0,
            work: HubWork::default(),
            frame_count: 0,
            detached_count: 0,
            survey: Survey::default(),
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
        self.detached_count
    }

    /// What is kept for sessions besides the sessions; 0 when there are none. Tests look for leaks with it.
    pub fn residue(&self) -> usize {
        self.interest.entry_count() + self.users.len() + self.typing.len() + self.jobs.len()
    }

    /// Generation of a connection, so that the socket layer recognises late completions.
    pub fn generation(&self, id: u32) -> Option<u32> {
        self.connections.get(id as usize).map(|connection| connection.generation)
    }

    pub fn fd(&self, id: u32) -> Option<RawFd> {
        self.connections.get(id as usize).map(|connection| connection.fd)
    }

    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    // ------------------------------------------------------------------------------------- connections

    /// A socket was upgraded: HELLO goes out. Returns the connection's id.
    pub fn open(&mut self, cx: &Cx<'_>, fd: RawFd, mut facts: Facts) -> u32 {
        let version_unknown = facts.version_unknown;
        let host = self.hosts.share(std::mem::take(&mut facts.host), facts.secure);
        let id = self.insert(cx, Connection::new(fd, &facts, host, cx.ms()));
        if version_unknown {
            self.close(cx, id, &Close::INVALID_VERSION);
            return id;
        }
        let interval = self.settings.heartbeat_interval_ms;
        let hello = format!("{{\"op\":10,\"d\":{{\"heartbeat_interval\":{interval}}}}}");
        self.send_text(id, hello.as_bytes());
        id
    }

    fn insert(&mut self, cx: &Cx<'_>, mut connection: Connection) -> u32 {
        self.next_generation = self.next_generation.wrapping_add(1);
        let generation = self.next_generation;
        connection.generation = generation;
        let id = self.connections.insert(connection) as u32;
        self.work.opened += 1;
        let settings = &self.settings;
        let timeouts =
            [settings.ping_interval_ms, settings.heartbeat_timeout_ms, settings.identify_timeout_ms];
        // An adopted connection is older than now; its first look comes a little late, never early.
        let first = timeouts.into_iter().filter(|timeout| *timeout > 0).fold(LOOK_MS, u32::min);
        self.wheel.insert(cx.mono_ms + u64::from(first), id, generation);
        id
    }

    /// A connection arrives from another core to resume a session of this one. Returns its id.
    pub fn adopt(&mut self, cx: &Cx<'_>, adopted: Adopted) -> u32 {
        let mut connection = adopted.connection;
        // What it had to send goes with it; whether the socket takes bytes is found out anew.
        connection.dirty = false;
        connection.unblock();
        let id = self.insert(cx, connection);
        self.mark_dirty(id);
        self.resume_adopted(cx, id, &adopted.resume);
        let mut rest = adopted.rest;
        self.receive(cx, id, &mut rest);
        id
    }

    pub(super) fn hand_over(&mut self, id: u32, resume: Resume, rest: &[u8]) {
        let (to, _) = resume.session_id.place(self.secret);
        let connection = self.connections.remove(id as usize);
        self.work.closed += 1;
        self.actions.push(Action::Release { id, generation: connection.generation });
        let adopted = Box::new(Adopted { connection, resume, rest: rest.to_vec() });
        self.actions.push(Action::Mail { to, mail: Mail::Adopt(adopted) });
    }

    /// The socket is gone.
    pub fn lost(&mut self, cx: &Cx<'_>, id: u32) {
        if !self.connections.contains(id as usize) {
            return;
        }
        self.detach(cx, id);
        let connection = self.connections.remove(id as usize);
        self.work.closed += 1;
        let Connection { generation, fd, is_counted, .. } = connection;
        let counted = is_counted.then(|| connection.ip());
        self.actions.push(Action::Shut { id, generation, fd, counted });
    }

    /// Closes with a reason after everything queued. The session, if any, is detached.
    pub(super) fn close(&mut self, cx: &Cx<'_>, id: u32, close: &'static Close) {
        self.work.rate_limited += u64::from(close.reason == Close::RATE_LIMITED.reason);
        self.drain(id);
        self.close_now(cx, id, Some(close.code), close.reason);
    }

    /// Closes without sending dispatches that wait: for slow consumers and sessions that were taken over.
    pub(super) fn close_now(&mut self, cx: &Cx<'_>, id: u32, code: Option<u16>, reason: &str) {
        self.detach(cx, id);
        let Some(connection) = self.connections.get_mut(id as usize) else { return };
        if connection.state.is_closing() {
            return;
        }
        match code {
            Some(code) => write_close(connection.out(), code, reason),
            None => write_frame(connection.out(), OpCode::Control(Control::Close), b""),
        }
        connection.state = State::Closing;
        connection.drop_unread();
        // What it has of a message is nobody's now.
        self.unknown_len += connection.unknown_len();
        self.closing.push_back((cx.ms(), id, connection.generation));
        self.mark_dirty(id);
    }

    /// Moves all dispatches that wait into the connection's own bytes.
    pub(super) fn drain(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(id as usize) else { return };
        let mut out = connection.take_out();
        self.fill_dispatches(id, &mut out, usize::MAX);
        if !out.is_empty() {
            *self.connections[id as usize].out() = out;
        }
    }

    // ---------------------------------------------------------------------------------------- sessions

    /// Home core of a user.
    pub(super) fn home_of(&self, user_id: UserId) -> usize {
        (user_id.0 % self.core_count as u64) as usize
    }

    pub(super) fn session_ref(&self, slot: u32) -> Ref {
        // Three bytes of the random part tell sessions apart that used the same slot one after the other.
        let id = self.sessions[slot as usize].id.0;
        Ref { core: self.core as u16, slot, generation: u16::from_le_bytes([id[8], id[9]]) }
    }

    /// Tells the home core of a user, which may be this one.
    pub(super) fn tell_home(&mut self, cx: &Cx<'_>, user_id: UserId, mail: Mail) {
        let to = self.home_of(user_id);
        if to == self.core { self.on_mail(cx, mail) } else { self.actions.push(Action::Mail { to, mail }) }
    }

    /// Separates a session from its connection; it goes on collecting events (§3).
    pub(super) fn detach(&mut self, cx: &Cx<'_>, id: u32) {
        let Some(connection) = self.connections.get_mut(id as usize) else { return };
        let slot = std::mem::replace(&mut connection.session, NONE);
        if slot == NONE {
            return;
        }
        let session = &mut self.sessions[slot as usize];
        session.connection = NONE;
        session.replay_until_or_detached_ms = cx.ms();
        self.detached_count += 1;
        let (user_id, session_id) = (session.user_id, session.id);
        self.expiring.push_back((cx.ms(), slot, session_id));
        self.stop_typing(cx, slot);
        self.unlink(slot);
        let one_too_many = self.link_detached(slot);
        let session = self.session_ref(slot);
        self.tell_home(cx, user_id, Mail::Down { user_id, session });
        if let Some(oldest) = one_too_many {
            self.end_session(cx, oldest);
        }
    }

    /// Ends a session for good and closes its connection, if it has one.
    pub(super) fn end_and_close(&mut self, cx: &Cx<'_>, slot: u32, close: &'static Close) {
        let id = self.sessions[slot as usize].connection;
        self.end_session(cx, slot);
        if id != NONE {
            self.close(cx, id, close);
        }
    }

    /// Ends a session for good. Its connection, if it has one, is left without a session: the caller closes it or
    /// lets it identify again. Returns in how many servers it was.
    pub(super) fn end_session(&mut self, cx: &Cx<'_>, slot: u32) -> usize {
        let session = self.session_ref(slot);
        let (user_id, id) = {
            let session = &self.sessions[slot as usize];
            (session.user_id, session.connection)
        };
        if id != NONE {
            self.drain(id);
            self.connections[id as usize].session = NONE;
            self.stop_typing(cx, slot);
        } else {
            self.detached_count -= 1;
        }
        let mut server_count = 0;
        for ((_, server_id), _) in cx.read.scan(USER_SERVERS, user_id) {
            self.interest.remove(server_id, slot);
            server_count += 1;
        }
        for (server_id, whose) in &self.leaving {
            if whose.is_none_or(|whose| whose == user_id) {
                self.interest.remove(*server_id, slot);
            }
        }
        self.jobs.retain(|job| job.slot != slot);
        self.unlink(slot);
        self.replay.forget(slot);
        self.sessions.remove(slot as usize);
        let live = (id != NONE).then_some(session);
        self.tell_home(cx, user_id, Mail::Ended { user_id, session: live });
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
            Mail::Down { user_id, session } => self.home.down(cx.steady_ms, user_id, session),
            Mail::Ended { user_id, session } => {
                let effects = self.home.ended(cx.steady_ms, user_id, session);
                self.carry_out(cx, effects);
            }
            Mail::Evict(session) => self.evict(cx, session),
            Mail::Adopt(_) => unreachable!("the socket layer registers the socket and calls `adopt`"),
        }
    }

    fn evict(&mut self, cx: &Cx<'_>, evicted: Ref) {
        let same = self.sessions.contains(evicted.slot as usize) && self.session_ref(evicted.slot) == evicted;
        if same {
            self.end_and_close(cx, evicted.slot, &Close::TOO_MANY_CONNECTIONS);
        }
    }

    pub(super) fn carry_out(&mut self, cx: &Cx<'_>, effects: Effects) {
        for event in effects.events {
            self.broadcast(cx, event);
        }
        for session in effects.evicted {
            let to = usize::from(session.core);
            if to == self.core {
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
        for to in (0..self.core_count).filter(|to| *to != self.core) {
            self.actions.push(Action::Mail { to, mail: Mail::Event(event.clone()) });
        }
        self.deliver(cx, &event, std::iter::empty());
    }

    /// Whether work waits that needs no input: the core must not sleep.
    pub fn has_work(&self) -> bool {
        self.overdue || !self.unread.is_empty() || self.has_runnable_job() || self.has_dirty()
    }

    /// Whether something waits to be sent.
    pub fn has_dirty(&self) -> bool {
        !self.dirty_sessions.is_empty() || !self.dirty_connections.is_empty()
    }

    pub fn close_slow(&mut self, cx: &Cx<'_>, id: u32) {
        self.slow_consumer_count += 1;
        // What was queued ahead of the dispatches may be half a frame: its rest must go first.
        self.close_now(cx, id, Some(Close::SLOW_CONSUMER.code), Close::SLOW_CONSUMER.reason);
    }

    // ---------------------------------------------------------------------------------------- shutdown

    /// Tells every connection that the server goes (§8); `close_all` follows after the grace.
    pub fn announce_shutdown(&mut self) {
        let seconds = crate::domain::error::seconds_text(self.settings.shutdown_grace_ms);
        let status = format!(
            "{{\"op\":12,\"d\":{{\"state\":\"shutting_down\",\"message\":\"The server is shutting down\",\
             \"restart_at\":null,\"closing_in_seconds\":{seconds}}}}}"
        );
        let ids: Vec<u32> = self.connections.iter().map(|(id, _)| id as u32).collect();
        for id in ids {
            self.send_text(id, status.as_bytes());
            self.send_text(id, b"{\"op\":7,\"d\":null}");
        }
    }

    pub fn close_all(&mut self, cx: &Cx<'_>, close: &'static Close) {
        let ids: Vec<u32> = self.connections.iter().map(|(id, _)| id as u32).collect();
        for id in ids {
            self.close(cx, id, close);
        }
    }
}
