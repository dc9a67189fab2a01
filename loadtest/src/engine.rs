//! The loop of one process: an epoll, HTTP connections, gateway sessions, heartbeats.
//!
//! Owns: the life of every connection, from connect to close, and the protocol both ends speak on it.
//! Invariant: single-threaded; a driver is told about each request exactly once (answered or lost) and
//! about each end of a session exactly once. A driver is never called from inside a call it made.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::net::{SocketAddrV4, TcpStream};

use crate::http::{self, Origin};
use crate::link::{Link, Received};
use crate::net::{self, Poll};
use crate::peer::Peer;
use crate::schedule::Random;
use crate::session::Session;
use crate::stats::{Latency, Results};
use crate::system::now_ns;

const HTTP_BIT: u64 = 1 << 63;
const WAKE_TOKEN: u64 = u64::MAX;
/// The longest the loop sleeps: how late it notices what other processes have changed.
const SLEEP_NS_MAX: u64 = 20_000_000;
/// Receive buffer of the process: a full socket buffer usually fits, so one read suffices.
const BUFFER_LEN: usize = 256 << 10;

/// How a request ended.
#[derive(Debug)]
pub enum Answer<'a> {
    Reply {
        status: u16,
        retry_after_s: Option<u32>,
        body: &'a [u8],
    },
    /// The connection ended first; the server may or may not have acted. The reason is counted as an error.
    Lost,
}

/// What happened to a session.
#[derive(Debug)]
pub enum Event<'a> {
    Ready,
    Resumed,
    /// RESUME was refused (op 9); the driver decides what to do with the open connection.
    Refused,
    /// A numbered event: its name and the whole message. From a plain peer any message, without number and name.
    Dispatch {
        t: &'a [u8],
        text: &'a [u8],
    },
    /// A probe was answered; it was due at this time.
    Acknowledged(u64),
    /// The connection is gone and not by the driver's wish, for this reason. It is counted as an error, unless
    /// the driver has said that this session may end ([`Engine::expect_end`]).
    Closed(&'a str),
}

/// A scenario, as the engine sees it.
pub trait Driver {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>);
    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>);
    /// Called every turn. Gives the time of the next wanted turn, or `None` to end.
    fn turn(&mut self, engine: &mut Engine) -> Option<u64>;
}

/// A keep-alive connection with at most one request under way.
#[derive(Default)]
struct Connection {
    link: Link,
    busy: bool,
}

pub struct Settings {
    pub address: SocketAddrV4,
    pub origin: Origin,
    /// How many source addresses take turns.
    pub sources: u32,
    pub peer: Peer,
    pub intents: u32,
    /// Heartbeat interval in place of the one in HELLO, in milliseconds; 0: the server's.
    pub beat_ms: u32,
    /// Session tokens by user index.
    pub tokens: Vec<String>,
    /// Readable when another process wants this one to look (an eventfd), or -1.
    pub wake_fd: i32,
    pub random: Random,
}

pub struct Engine {
    pub settings: Settings,
    /// Monotonic time of the latest read or turn.
    pub now: u64,
    pub results: Results,
    /// Events out of sequence, over all sessions.
    pub sequence_faults: u64,
    pub bytes_received: u64,
    requests_sent: u64,
    pub(crate) poll: Poll,
    pub(crate) sessions: Vec<Session>,
    /// Next heartbeats: time, session, generation.
    pub(crate) beats: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// Stages of a handshake, each counted from when the session was due to be opened.
    pub(crate) connect: Latency,
    pub(crate) upgrade: Latency,
    pub(crate) hello: Latency,
    pub(crate) ready: Latency,
    pub(crate) resumed: Latency,
    /// Heartbeat to acknowledgement, counted from when the beat was due.
    pub(crate) heartbeat: Latency,
    /// Connections taken over elsewhere, kept open so that it is the server who must end them.
    pub(crate) abandoned: VecDeque<(u64, TcpStream)>,
    /// Sessions that could not even start to connect; told to the driver by the loop.
    pub(crate) stillborn: Vec<u32>,
    /// Sessions that read again: what came meanwhile does not wake the epoll.
    pub(crate) unmuted: Vec<u32>,
    connections: Vec<Connection>,
    unsendable: Vec<u32>,
    opened: u32,
    buffer: Vec<u8>,
}

impl Engine {
    pub fn new(settings: Settings) -> Result<Engine, String> {
        let poll = Poll::new().map_err(|e| format!("epoll: {e}"))?;
        if settings.wake_fd >= 0 {
            poll.add(settings.wake_fd, WAKE_TOKEN).map_err(|e| format!("epoll: {e}"))?;
        }
        Ok(Engine {
            settings,
            now: now_ns(),
            results: Results::default(),
            sequence_faults: 0,
            bytes_received: 0,
            requests_sent: 0,
            poll,
            sessions: Vec::new(),
            beats: BinaryHeap::new(),
            connect: Latency::new(),
            upgrade: Latency::new(),
            hello: Latency::new(),
            ready: Latency::new(),
            resumed: Latency::new(),
            heartbeat: Latency::new(),
            abandoned: VecDeque::new(),
            stillborn: Vec::new(),
            unmuted: Vec::new(),
            connections: Vec::new(),
            unsendable: Vec::new(),
            opened: 0,
            buffer: vec![0; BUFFER_LEN],
        })
    }

    /// Makes room for `count` HTTP connections; they connect when first used.
    pub fn add_connections(&mut self, count: u32) -> std::ops::Range<u32> {
        let start = self.connections.len() as u32;
        self.connections.resize_with(self.connections.len() + count as usize, Connection::default);
        start..start + count
    }

    /// Sends a request over an idle connection; the driver gets its answer. `token` is empty or a session token.
    pub fn request(&mut self, connection: u32, method: &str, path: &str, token: &str, body: &[u8]) {
        let slot = &mut self.connections[connection as usize];
        assert!(!slot.busy, "one request at a time on a connection");
        slot.busy = true;
        self.requests_sent += 1;
        if !slot.link.is_open() {
            let token = HTTP_BIT | u64::from(slot.link.generation) << 32 | u64::from(connection);
            let source = net::source_of(self.opened, self.settings.sources);
            self.opened += 1;
            let opened = net::connect(self.settings.address, source, None)
                .and_then(|s| slot.link.open(s, &self.poll, token));
            if let Err(e) = opened {
                self.results.error(&format!("connect: {}", e.kind()), 1);
                self.unsendable.push(connection);
                return;
            }
        }
        let origin = &self.settings.origin;
        slot.link.send(|out| origin.write_request(out, method, path, token, body));
    }

    /// As [`Engine::request`], with the token of a user.
    pub fn request_as(&mut self, user: u32, connection: u32, method: &str, path: &str, body: &[u8]) {
        let token = mem::take(&mut self.settings.tokens[user as usize]);
        self.request(connection, method, path, &token, body);
        self.settings.tokens[user as usize] = token;
    }

    pub(crate) fn next_source(&mut self) -> Option<std::net::Ipv4Addr> {
        self.opened += 1;
        net::source_of(self.opened - 1, self.settings.sources)
    }

    /// Turns until the driver ends it.
    pub fn run(&mut self, driver: &mut impl Driver) {
        loop {
            self.now = now_ns();
            self.report_failed(driver);
            self.send_beats();
            self.close_abandoned();
            let Some(wanted) = driver.turn(self) else { return };
            let beat = self.beats.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            let sleep =
                match self.unsendable.is_empty() && self.stillborn.is_empty() && self.unmuted.is_empty() {
                    true => wanted.min(beat).saturating_sub(self.now).min(SLEEP_NS_MAX),
                    false => 0,
                };
            for i in 0..self.poll.wait(sleep) {
                self.handle(driver, self.poll.event(i));
            }
        }
    }

    fn report_failed(&mut self, driver: &mut impl Driver) {
        for connection in mem::take(&mut self.unsendable) {
            self.connections[connection as usize].busy = false;
            driver.answered(self, connection, Answer::Lost);
        }
        for session in mem::take(&mut self.stillborn) {
            driver.session(self, session, Event::Closed("connect"));
        }
        for session in mem::take(&mut self.unmuted) {
            let generation = self.sessions[session as usize].link.generation;
            let token = u64::from(generation) << 32 | u64::from(session);
            self.handle(driver, net::Ready { token, writable: true, ended: true });
        }
    }

    fn handle(&mut self, driver: &mut impl Driver, ready: net::Ready) {
        if ready.token == WAKE_TOKEN {
            drain_wake(self.settings.wake_fd);
            return;
        }
        let index = ready.token as u32;
        let generation = (ready.token >> 32) as u32 & 0x7fff_ffff;
        let is_http = ready.token & HTTP_BIT != 0;
        if !is_http && !self.may_read(index, ready.writable) {
            return;
        }
        let mut buffer = mem::take(&mut self.buffer);
        if ready.writable {
            self.link(is_http, index).flush();
        }
        while self.link(is_http, index).generation == generation {
            match self.link(is_http, index).receive(&mut buffer) {
                Received::Bytes { len, more } => {
                    self.now = now_ns();
                    self.bytes_received += len as u64;
                    match is_http {
                        true => self.response_bytes(driver, index, &buffer[..len]),
                        false => self.session_bytes(driver, index, &buffer[..len]),
                    }
                    if !more && !ready.ended {
                        break;
                    }
                }
                Received::Nothing => break,
                Received::End => self.fail(driver, is_http, index, "connection ended by the server"),
                Received::Failed(why) => self.fail(driver, is_http, index, &why),
            }
        }
        self.buffer = buffer;
    }

    fn link(&mut self, is_http: bool, index: u32) -> &mut Link {
        match is_http {
            true => &mut self.connections[index as usize].link,
            false => &mut self.sessions[index as usize].link,
        }
    }

    fn fail(&mut self, driver: &mut impl Driver, is_http: bool, index: u32, why: &str) {
        match is_http {
            true => self.request_failed(driver, index, why),
            false => self.session_failed(driver, index, why),
        }
    }

    fn response_bytes(&mut self, driver: &mut impl Driver, index: u32, data: &[u8]) {
        let slot = &mut self.connections[index as usize];
        let joined = slot.link.join(data);
        let bytes = joined.as_deref().unwrap_or(data);
        match http::read_response(bytes) {
            Ok(Some(response)) if slot.busy && response.len == bytes.len() => {
                slot.busy = false;
                if response.closes {
                    slot.link.close();
                }
                let (status, retry_after_s) = (response.status, response.retry_after_s);
                driver.answered(self, index, Answer::Reply { status, retry_after_s, body: &response.body });
            }
            Ok(Some(_)) => self.request_failed(driver, index, "answer without a request"),
            Ok(None) => slot.link.keep(joined, data, 0),
            Err(why) => self.request_failed(driver, index, why),
        }
    }

    fn request_failed(&mut self, driver: &mut impl Driver, index: u32, why: &str) {
        let slot = &mut self.connections[index as usize];
        slot.link.close();
        // A server may end an idle connection; the next request opens another.
        if mem::take(&mut slot.busy) {
            self.results.error(&format!("request lost: {why}"), 1);
            driver.answered(self, index, Answer::Lost);
        }
    }

    /// Ends everything at once and hands over the figures.
    pub fn finish(mut self) -> Results {
        self.record_unanswered_beats();
        for session in &mut self.sessions {
            if let Some(stream) = session.link.close() {
                net::close_by_reset(&stream);
            }
        }
        let mut results = self.results;
        if self.requests_sent > 0 {
            results.count("requests_sent", self.requests_sent);
        }
        results.latency("connect", self.connect);
        results.latency("upgrade", self.upgrade);
        results.latency("hello", self.hello);
        results.latency("ready", self.ready);
        results.latency("resumed", self.resumed);
        results.latency("heartbeat", self.heartbeat);
        if self.sequence_faults > 0 {
            results.error("event numbers with a gap or repeat", self.sequence_faults);
        }
        results
    }
}

/// Empties an eventfd so that it can wake again.
fn drain_wake(fd: i32) {
    let mut count = 0u64;
    // SAFETY: an eventfd gives eight bytes, and `count` has room for them.
    unsafe { libc::read(fd, (&raw mut count).cast(), 8) };
}
