//! One WebSocket connection: what has arrived in part, what waits to be sent, when it must have said something.

use std::any::Any;
use std::net::IpAddr;
use std::os::fd::RawFd;

use super::session::NONE;
use crate::wire::websocket::{Data, Decoder, DeflateStream, OpCode, write_frame};

/// Core time in milliseconds, wrapping after 49 days; only differences of up to 24 days are taken.
pub type Ms = u32;

/// `later - earlier`, 0 when it is not later.
pub fn since(earlier: Ms, later: Ms) -> u32 {
    (later.wrapping_sub(earlier) as i32).max(0) as u32
}

/// What the upgrade request said. Kept for the whole life: a connection whose session was dropped may identify again.
pub struct Facts {
    pub host: Box<str>,
    /// TLS, or a trusted proxy says so.
    pub secure: bool,
    pub ip: IpAddr,
    /// The `v` of the query is none that is spoken here: the connection closes 4012 instead of HELLO.
    pub version_unknown: bool,
    /// Dropped with the connection: the socket layer's, such as a place in one of its limits.
    pub luggage: Box<dyn Any + Send>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// HELLO is out; IDENTIFY or RESUME may come.
    Connected,
    /// Has a session.
    Ready,
    /// A close frame is queued or sent; input is discarded.
    Closing,
}

pub struct Connection {
    pub fd: RawFd,
    /// Tells this connection from an earlier one in the same slot.
    pub generation: u32,
    pub session: u32,
    pub state: State,
    /// On the list of connections with something to send.
    pub dirty: bool,
    /// The kernel took less than it was given; waits for the socket to become writable.
    pub blocked: bool,
    /// A protocol ping is unanswered.
    pub pinged: bool,
    /// A close frame is in `out` or sent.
    pub close_written: bool,
    pub compress: bool,
    pub decoder: Decoder,
    pub deflate: DeflateStream,
    /// Framed bytes that go before any further dispatch.
    pub out: Vec<u8>,
    pub facts: Box<Facts>,
    pub opened_ms: Ms,
    /// Last op 1, or when it was opened.
    pub beat_ms: Ms,
    /// Last protocol ping, or when it was opened.
    pub ping_ms: Ms,
    /// When `blocked` began, or when `Closing` began.
    pub waiting_ms: Ms,
    /// Theoretical arrival time of the next allowed message (GCRA).
    pub allowed_ms: Ms,
    /// Unsent bytes of dispatches behind a blocked socket, counted up to `backlog_seq`.
    pub backlog_len: u32,
    pub backlog_seq: u32,
}

const _: () = assert!(size_of::<Connection>() <= 120);

impl Connection {
    pub fn new(fd: RawFd, generation: u32, facts: Facts, now: Ms) -> Connection {
        Connection {
            fd,
            generation,
            session: NONE,
            state: State::Connected,
            dirty: false,
            blocked: false,
            pinged: false,
            close_written: false,
            compress: false,
            decoder: Decoder::new(),
            deflate: DeflateStream::default(),
            out: Vec::new(),
            facts: Box::new(facts),
            opened_ms: now,
            beat_ms: now,
            ping_ms: now,
            waiting_ms: now,
            allowed_ms: now,
            backlog_len: 0,
            backlog_seq: 0,
        }
    }

    /// Bytes it holds on the heap, without the luggage and what the codec keeps of a message that is not whole.
    pub fn heap_len(&self) -> usize {
        self.out.capacity() + size_of::<Facts>() + self.facts.host.len() + self.deflate.heap_len()
    }

    /// Takes one message from the inbound allowance: `per_minute` messages at once, refilled evenly; 0 = no limit.
    pub fn allow_message(&mut self, now: Ms, per_minute: u32) -> bool {
        if per_minute == 0 {
            return true;
        }
        // Emission interval in whole milliseconds: 120 per minute are 500 ms each.
        let interval = (60_000 / per_minute).max(1);
        let start = if (self.allowed_ms.wrapping_sub(now) as i32) < 0 { now } else { self.allowed_ms };
        if start.wrapping_sub(now) > interval * (per_minute - 1) {
            return false;
        }
        self.allowed_ms = start.wrapping_add(interval);
        true
    }

    /// Appends a text frame that is sent before further dispatches.
    pub fn push_text(&mut self, text: &[u8]) {
        write_frame(&mut self.out, OpCode::Data(Data::Text), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let facts =
            Facts { host: "x".into(), secure: false, ip, version_unknown: false, luggage: Box::new(()) };
        Connection::new(-1, 0, facts, u32::MAX - 1_000)
    }

    #[test]
    fn inbound_allowance_is_a_bucket_that_refills() {
        let mut connection = connection();
        let mut now = u32::MAX - 1_000;
        assert!((0..120).all(|_| connection.allow_message(now, 120)));
        assert!(!connection.allow_message(now, 120));
        now = now.wrapping_add(1_000);
        assert!(connection.allow_message(now, 120));
        assert!(connection.allow_message(now, 120));
        assert!(!connection.allow_message(now, 120));
        now = now.wrapping_add(600_000);
        assert!((0..120).all(|_| connection.allow_message(now, 120)));
        assert!(!connection.allow_message(now, 120));
        assert!(connection.allow_message(now, 0));
    }

    #[test]
    fn time_wraps() {
        assert_eq!(since(u32::MAX - 5, 4), 10);
        assert_eq!(since(10, 5), 0);
    }
}
