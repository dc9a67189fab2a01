//! Gateway sessions of the engine: open, identify or resume, count, beat, drop.
//!
//! Owns: the client's half of the gateway protocol.
//! Invariant: every dispatch is checked to be the successor of the one before, across resumes too.

use std::cmp::Reverse;

use crate::engine::{Driver, Engine, Event};
use crate::gateway;
use crate::link::Link;
use crate::net;
use crate::peer::Peer;
use crate::system::now_ns;
use crate::ws;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum State {
    #[default]
    Closed,
    /// Waiting for the TCP handshake.
    Connecting,
    /// Waiting for the 101.
    Upgrading,
    /// Waiting for HELLO. A plain peer sends none: its sessions are live at the 101.
    Greeting,
    /// Waiting for READY or RESUMED.
    Joining,
    Live,
}

/// One client. About 140 bytes, so that tens of thousands fit a process.
#[derive(Default)]
pub struct Session {
    pub link: Link,
    pub state: State,
    /// RESUME instead of IDENTIFY at the next HELLO.
    resuming: bool,
    pub user: u32,
    heartbeat_ms: u32,
    /// Number of the last event.
    pub seq: u64,
    /// When it was due to be opened.
    due_ns: u64,
    /// When the oldest unanswered heartbeat was due; 0: none.
    beat_ns: u64,
    /// The unanswered heartbeat is a probe of the driver.
    probing: bool,
    /// Does not read.
    muted: bool,
    /// Posts to a plain peer and receives nothing. Its handshake is not measured.
    publisher: bool,
    /// Its end is no error.
    may_end: bool,
    /// Bytes of its receive buffer; 0: the kernel's choice.
    receive_buffer: u32,
    id: Box<str>,
}

/// Ways for a client to leave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Leave {
    /// TCP reset.
    Reset,
    /// TCP end without a close frame.
    End,
    /// Close frame 4000, as a client that means to come back sends, then TCP end.
    CloseFrame,
    /// Close frame 1000, then TCP end.
    Close,
    /// Stays connected, but never reads again: the server must cope with a resume on a second connection.
    Abandon,
}

impl Engine {
    /// Adds a closed session of a user; gives its index.
    pub fn add_session(&mut self, user: u32) -> u32 {
        self.sessions.push(Session { user, ..Session::default() });
        self.sessions.len() as u32 - 1
    }

    /// Adds a closed session that posts with [`Engine::send_text`]; gives its index.
    pub fn add_publisher(&mut self) -> u32 {
        self.sessions.push(Session { publisher: true, ..Session::default() });
        self.sessions.len() as u32 - 1
    }

    pub fn state(&self, session: u32) -> State {
        self.sessions[session as usize].state
    }

    /// Connects a closed session; with `resume` it goes on where it was. Its latencies count from `due_ns`.
    pub fn open_session(&mut self, session: u32, resume: bool, due_ns: u64) {
        let source = self.next_source();
        let s = &mut self.sessions[session as usize];
        assert_eq!(s.state, State::Closed, "a session has one connection");
        (s.state, s.resuming, s.due_ns) = (State::Connecting, resume, due_ns);
        (s.beat_ns, s.probing, s.muted) = (0, false, false);
        let token = u64::from(s.link.generation) << 32 | u64::from(session);
        let buffer = Some(s.receive_buffer).filter(|len| *len > 0);
        let opened = net::connect(self.settings.address, source, buffer)
            .and_then(|stream| s.link.open(stream, &self.poll, token));
        match opened {
            Ok(()) => {
                let path = self.settings.peer.session_path(s.publisher);
                s.link.send(|out| ws::write_upgrade(out, path, &self.settings.origin.host));
            }
            Err(e) => {
                s.state = State::Closed;
                s.link.close();
                self.results.error(&format!("connect: {}", e.kind()), 1);
                self.stillborn.push(session);
            }
        }
    }

    /// Leaves without the driver being told. The session can be opened again.
    pub fn leave(&mut self, session: u32, how: Leave) {
        let now = self.now;
        let s = &mut self.sessions[session as usize];
        s.state = State::Closed;
        let code = match how {
            Leave::CloseFrame => Some(4000u16),
            Leave::Close => Some(1000),
            Leave::Reset | Leave::End | Leave::Abandon => None,
        };
        if let Some(code) = code {
            s.link.send(|out| ws::write_frame(out, ws::CLOSE, &code.to_be_bytes()));
        }
        match (s.link.close(), how) {
            (Some(stream), Leave::Abandon) => self.abandoned.push_back((now, stream)),
            (Some(stream), Leave::Reset) => net::close_by_reset(&stream),
            _ => {}
        }
    }

    /// Closes abandoned connections after five seconds.
    pub(crate) fn close_abandoned(&mut self) {
        while self.abandoned.front().is_some_and(|(at, _)| at + 5_000_000_000 < self.now) {
            self.abandoned.pop_front();
        }
    }

    pub(crate) fn send_beats(&mut self) {
        while let Some(&Reverse((at, index, generation))) = self.beats.peek() {
            if at > self.now {
                return;
            }
            self.beats.pop();
            let s = &mut self.sessions[index as usize];
            if s.link.generation != generation {
                continue;
            }
            self.beats.push(Reverse((at + u64::from(s.heartbeat_ms) * 1_000_000, index, generation)));
            if s.probing {
                // A probe is a heartbeat, and acknowledgements carry no number: one at a time.
                continue;
            }
            // The oldest one counts: a server that stalls is charged from the first beat it missed.
            if s.beat_ns != 0 {
                self.results.count("heartbeats_unanswered", 1);
            } else if !s.muted {
                s.beat_ns = at;
            }
            let mut text = Vec::with_capacity(40);
            gateway::heartbeat(&mut text, s.seq);
            s.link.send(|out| ws::write_frame(out, ws::TEXT, &text));
        }
    }

    /// A beat that never was answered has waited at least until now.
    pub(crate) fn record_unanswered_beats(&mut self) {
        for s in &self.sessions {
            if s.state == State::Live && s.beat_ns != 0 && !s.probing && !s.muted {
                self.heartbeat.record(self.now.saturating_sub(s.beat_ns));
            }
        }
    }

    /// Sends a message and a heartbeat after it; the driver is told when that is acknowledged. The server takes both
    /// in order, so the time is an upper bound for the message. False when the session is not live or already
    /// waits for an acknowledgement: nothing was sent.
    pub fn probe(&mut self, session: u32, due_ns: u64, message: &[u8]) -> bool {
        let s = &mut self.sessions[session as usize];
        if s.state != State::Live || s.beat_ns != 0 || s.muted {
            return false;
        }
        (s.beat_ns, s.probing) = (due_ns, true);
        let mut beat = Vec::with_capacity(40);
        gateway::heartbeat(&mut beat, s.seq);
        s.link.send(|out| {
            ws::write_frame(out, ws::TEXT, message);
            ws::write_frame(out, ws::TEXT, &beat);
        });
        true
    }

    /// Sends a message. False when the session is not live: nothing was sent.
    pub fn send_text(&mut self, session: u32, text: &[u8]) -> bool {
        let s = &mut self.sessions[session as usize];
        let live = s.state == State::Live;
        if live {
            s.link.send(|out| ws::write_frame(out, ws::TEXT, text));
        }
        live
    }

    /// Says that this session's end is no error.
    pub fn expect_end(&mut self, session: u32) {
        self.sessions[session as usize].may_end = true;
    }

    /// Bytes of the session's receive buffer from its next connection on.
    pub fn set_receive_buffer(&mut self, session: u32, len: u32) {
        self.sessions[session as usize].receive_buffer = len;
    }

    /// Makes a session stop reading, or read again. It goes on sending heartbeats.
    pub fn mute(&mut self, session: u32, muted: bool) {
        let s = &mut self.sessions[session as usize];
        (s.muted, s.beat_ns, s.probing) = (muted, 0, false);
        if !muted {
            self.unmuted.push(session);
        }
    }

    /// Takes note that a session's socket has something to say; false when it does not read now.
    pub(crate) fn may_read(&mut self, index: u32, writable: bool) -> bool {
        let s = &mut self.sessions[index as usize];
        if writable && s.state == State::Connecting {
            s.state = State::Upgrading;
            if !s.publisher {
                // The turn began before the wait.
                self.connect.record(now_ns().saturating_sub(s.due_ns));
            }
        }
        !s.muted
    }

    pub(crate) fn session_bytes(&mut self, driver: &mut impl Driver, index: u32, data: &[u8]) {
        let link = &mut self.sessions[index as usize].link;
        let generation = link.generation;
        let joined = link.join(data);
        let bytes = joined.as_deref().unwrap_or(data);
        let mut at = 0;
        if matches!(self.sessions[index as usize].state, State::Connecting | State::Upgrading) {
            match ws::read_upgrade(bytes) {
                Ok(Some(len)) => at = len,
                Ok(None) => return self.sessions[index as usize].link.keep(joined, data, 0),
                Err(why) => return self.session_failed(driver, index, &why),
            }
            self.upgraded(driver, index);
        }
        loop {
            if self.sessions[index as usize].link.generation != generation {
                return;
            }
            match ws::next_frame(&bytes[at..]) {
                Ok(Some(frame)) => {
                    let payload = &bytes[at + frame.payload.start..at + frame.payload.end];
                    at += frame.len;
                    self.frame(driver, index, frame.opcode, frame.fin, payload);
                }
                Ok(None) => break,
                Err(why) => return self.session_failed(driver, index, why),
            }
        }
        if at < bytes.len() {
            self.sessions[index as usize].link.keep(joined, data, at);
        }
    }

    fn upgraded(&mut self, driver: &mut impl Driver, index: u32) {
        let s = &mut self.sessions[index as usize];
        let age = self.now.saturating_sub(s.due_ns);
        if !s.publisher {
            self.upgrade.record(age);
        }
        match self.settings.peer {
            Peer::Plexichat => s.state = State::Greeting,
            Peer::Plain => {
                s.state = State::Live;
                if !s.publisher {
                    self.ready.record(age);
                }
                driver.session(self, index, Event::Ready);
            }
        }
    }

    fn frame(&mut self, driver: &mut impl Driver, index: u32, opcode: u8, fin: bool, payload: &[u8]) {
        match opcode {
            _ if !fin => self.session_failed(driver, index, "fragmented message"),
            ws::TEXT | ws::BINARY => self.message(driver, index, payload),
            ws::PING => {
                self.sessions[index as usize].link.send(|out| ws::write_frame(out, ws::PONG, payload));
            }
            ws::PONG => {}
            ws::CLOSE => {
                let (code, reason) = ws::close_reason(payload);
                let code_bytes = &payload[..payload.len().min(2)];
                self.sessions[index as usize].link.send(|out| ws::write_frame(out, ws::CLOSE, code_bytes));
                self.session_failed(driver, index, &format!("closed by the server, {code} {reason}"));
            }
            _ => self.session_failed(driver, index, "unknown frame"),
        }
    }

    fn message(&mut self, driver: &mut impl Driver, index: u32, text: &[u8]) {
        if self.settings.peer == Peer::Plain {
            return driver.session(self, index, Event::Dispatch { t: b"", text });
        }
        let Some(head) = gateway::head(text) else {
            return self.session_failed(driver, index, "message that is no gateway object");
        };
        match head.op {
            0 => self.dispatch(driver, index, head.t, head.s.unwrap_or(0), text),
            10 => self.hello(driver, index, text),
            11 => {
                let s = &mut self.sessions[index as usize];
                let due_ns = std::mem::take(&mut s.beat_ns);
                if std::mem::take(&mut s.probing) {
                    driver.session(self, index, Event::Acknowledged(due_ns));
                } else if due_ns != 0 {
                    self.heartbeat.record(self.now.saturating_sub(due_ns));
                }
            }
            9 => driver.session(self, index, Event::Refused),
            op => self.results.count(&format!("messages_op_{op}"), 1),
        }
    }

    fn hello(&mut self, driver: &mut impl Driver, index: u32, text: &[u8]) {
        let interval = gateway::value_of(text, b"d")
            .and_then(|d| gateway::value_of(d, b"heartbeat_interval"))
            .and_then(gateway::integer)
            .filter(|ms| (1..=u64::from(u32::MAX)).contains(ms));
        let Some(interval_ms) = interval else {
            return self.session_failed(driver, index, "HELLO without heartbeat_interval");
        };
        let interval_ms = match self.settings.beat_ms {
            0 => interval_ms,
            ms => u64::from(ms),
        };
        // A first beat at a random point keeps the beats of many sessions apart.
        let first = self.now + (self.settings.random.unit() * interval_ms as f64 * 1e6) as u64;
        let s = &mut self.sessions[index as usize];
        (s.state, s.heartbeat_ms) = (State::Joining, interval_ms as u32);
        self.hello.record(self.now.saturating_sub(s.due_ns));
        let token = &self.settings.tokens[s.user as usize];
        let mut message = Vec::with_capacity(200);
        match s.resuming {
            true => gateway::resume(&mut message, token, &s.id, s.seq),
            false => gateway::identify(&mut message, token, self.settings.intents),
        }
        s.link.send(|out| ws::write_frame(out, ws::TEXT, &message));
        self.beats.push(Reverse((first, index, s.link.generation)));
    }

    fn dispatch(&mut self, driver: &mut impl Driver, index: u32, t: &[u8], seq: u64, text: &[u8]) {
        let now = self.now;
        let s = &mut self.sessions[index as usize];
        let joining = s.state == State::Joining;
        let (expected, event) = match t {
            b"READY" if joining => {
                let id = gateway::value_of(text, b"d").and_then(|d| gateway::string_of(d, b"session_id"));
                s.id = id.unwrap_or_default().into();
                self.ready.record(now.saturating_sub(s.due_ns));
                (1, Event::Ready)
            }
            b"RESUMED" if joining => {
                self.resumed.record(now.saturating_sub(s.due_ns));
                (s.seq, Event::Resumed)
            }
            _ => (s.seq + 1, Event::Dispatch { t, text }),
        };
        if joining {
            s.state = State::Live;
        }
        s.seq = seq;
        if seq != expected {
            self.sequence_faults += 1;
        }
        driver.session(self, index, event);
    }

    pub(crate) fn session_failed(&mut self, driver: &mut impl Driver, index: u32, why: &str) {
        let s = &mut self.sessions[index as usize];
        let when = match s.state {
            State::Closed => return,
            State::Connecting | State::Upgrading | State::Greeting | State::Joining => "before READY",
            State::Live => "session",
        };
        s.state = State::Closed;
        s.link.close();
        if !s.may_end {
            self.results.error(&format!("{when}: {why}"), 1);
        }
        driver.session(self, index, Event::Closed(why));
    }
}
