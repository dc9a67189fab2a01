//! One WebSocket connection: what has arrived in part, what waits to be sent, when it must have said something.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::RawFd;
use std::sync::Arc;

use super::session::Slot;
use crate::limits::LATE_LEN_MAX;
use crate::runtime::paged::PagedSlab;
use crate::wire::websocket::{Data, Decoder, DeflateStream, OpCode, write_frame};

/// Core time in milliseconds, wrapping after 49 days; only differences of up to 24 days are taken.
pub type Ms = u32;

/// `later - earlier`, 0 when it is not later.
pub fn since(earlier: Ms, later: Ms) -> u32 {
    (later.wrapping_sub(earlier) as i32).max(0) as u32
}

/// What the upgrade request said. What IDENTIFY needs of it is kept as long as the connection: one whose session was
/// dropped may identify again.
pub struct Facts {
    pub host: Box<str>,
    /// TLS, or a trusted proxy says so.
    pub secure: bool,
    pub ip: IpAddr,
    /// The `v` of the query is none that is spoken here: the connection closes 4012 instead of HELLO.
    pub version_unknown: bool,
    /// Counted among the connections of `ip`, until [`Action::Shut`].
    ///
    /// [`Action::Shut`]: super::Action::Shut
    pub is_counted: bool,
}

/// How clients reach the server: what READY's `resume_gateway_url` is made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    pub text: Box<str>,
    pub secure: bool,
}

/// The hosts that were named last. There are few, so the connections of one share its text.
#[derive(Default)]
pub struct Hosts {
    recent: Vec<Arc<Host>>,
}

/// A server has a handful of names. Clients that make up more have their text to themselves.
const HOST_COUNT_MAX: usize = 8;

impl Hosts {
    pub fn share(&mut self, text: Box<str>, secure: bool) -> Arc<Host> {
        let host = Host { text, secure };
        if let Some(known) = self.recent.iter().find(|known| ***known == host) {
            return known.clone();
        }
        let host = Arc::new(host);
        self.recent.truncate(HOST_COUNT_MAX - 1);
        self.recent.insert(0, host.clone());
        host
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// HELLO is out; IDENTIFY or RESUME may come.
    Connected,
    /// Has a session.
    Ready,
    /// Our close frame is queued or sent; of what still comes only the client's matters.
    Closing,
    /// Both sides have closed: what comes is discarded, and our side of the socket ends with the last byte.
    Closed,
}

impl State {
    pub fn is_closing(self) -> bool {
        matches!(self, State::Closing | State::Closed)
    }
}

/// Most of the time a client is silent and has been sent everything: then this and its [`Session`] are all there is
/// of it. What it has in flight is in `busy`.
///
/// [`Session`]: super::session::Session
// In this order: what a delivery touches comes first.
#[repr(C)]
pub struct Connection {
    pub busy: Option<Box<Busy>>,
    pub fd: RawFd,
    pub session: Slot,
    /// Tells this connection from an earlier one in the same slot.
    pub generation: u32,
    pub state: State,
    /// On the list of connections with something to send.
    pub dirty: bool,
    /// The kernel took less than it was given; waits for the socket to become writable.
    pub blocked: bool,
    pub compress: bool,
    pub host: Arc<Host>,
    pub opened_ms: Ms,
    /// Last op 1, or when it was opened.
    pub beat_ms: Ms,
    /// Last protocol ping, or when it was opened.
    pub ping_ms: Ms,
    /// Theoretical arrival time of the next allowed message (GCRA).
    pub allowed_ms: Ms,
    /// As in [`Facts`].
    pub is_counted: bool,
    /// A protocol ping is unanswered.
    pub pinged: bool,
    /// The client's, v4 as mapped.
    pub ipv6: Ipv6Addr,
}

/// What a connection has in flight.
#[derive(Default)]
pub struct Busy {
    /// Framed bytes that go before any further dispatch.
    pub out: Vec<u8>,
    /// A message that has arrived in part.
    pub decoder: Decoder,
    /// What has arrived and waits for a turn that has time for it.
    pub unread: Option<Unread>,
    /// Bytes that have come since our close frame.
    pub late_len: usize,
    /// The compressed stream, if it is one.
    pub deflate: DeflateStream,
    /// When `blocked` began.
    pub blocked_ms: Ms,
    /// Unsent bytes of dispatches behind a blocked socket, counted up to `backlog_seq`.
    pub backlog_len: u32,
    pub backlog_seq: u32,
    /// Since when the backlog is beyond its bounds.
    pub over_since: Option<Ms>,
}

/// Input that waits.
pub struct Unread {
    pub bytes: Vec<u8>,
    /// Where it begins: what is before was handled.
    pub at: usize,
}

impl Busy {
    fn input_len(&self) -> usize {
        self.decoder.heap_len() + self.unread.as_ref().map_or(0, |unread| unread.bytes.capacity())
    }
}

// Paid by every idle session.
const _: () = assert!(PagedSlab::<Connection>::ENTRY_LEN <= 72);

impl Connection {
    /// `host` is that of `facts`, shared.
    pub fn new(fd: RawFd, facts: &Facts, host: Arc<Host>, now: Ms) -> Connection {
        let ip = match facts.ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Connection {
            busy: None,
            host,
            fd,
            generation: 0,
            session: Slot::NONE,
            opened_ms: now,
            beat_ms: now,
            ping_ms: now,
            allowed_ms: now,
            is_counted: facts.is_counted,
            ipv6: ip,
            state: State::Connected,
            dirty: false,
            blocked: false,
            pinged: false,
            compress: false,
        }
    }

    pub fn ip(&self) -> IpAddr {
        self.ipv6.to_canonical()
    }

    /// What it has in flight, to be added to.
    pub fn busy(&mut self) -> &mut Busy {
        self.busy.get_or_insert_default()
    }

    /// What it has in flight, if anything.
    pub fn in_flight(&self) -> Option<&Busy> {
        self.busy.as_deref()
    }

    /// Framed bytes that go before any further dispatch, to be added to.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.busy().out
    }

    /// Takes the framed bytes out.
    pub fn take_out(&mut self) -> Vec<u8> {
        let Some(busy) = &mut self.busy else { return Vec::new() };
        let out = std::mem::take(&mut busy.out);
        self.settle();
        out
    }

    /// Takes the decoder; give it back with [`Connection::put_decoder`].
    pub fn take_decoder(&mut self) -> Decoder {
        self.busy.as_mut().map_or_else(Decoder::new, |busy| std::mem::take(&mut busy.decoder))
    }

    pub fn put_decoder(&mut self, decoder: Decoder) {
        if !decoder.is_idle() {
            self.busy().decoder = decoder;
        } else {
            self.settle();
        }
    }

    /// Input that waits, if there is some.
    pub fn unread(&mut self) -> Option<&mut Unread> {
        self.busy.as_mut()?.unread.as_mut()
    }

    pub fn take_unread(&mut self) -> Option<Unread> {
        self.busy.as_mut()?.unread.take()
    }

    /// Drops what waits, and with it the place in the stream: what comes next begins anew.
    pub fn drop_unread(&mut self) {
        if self.take_unread().is_some() {
            self.forget_input();
        }
    }

    /// Drops what has come in part.
    pub fn forget_input(&mut self) {
        if let Some(busy) = &mut self.busy {
            (busy.unread, busy.decoder) = (None, Decoder::new());
        }
        self.settle();
    }

    /// So many bytes came although it is being closed.
    pub fn count_late(&mut self, len: usize) {
        self.busy().late_len += len;
    }

    /// Has been closed and has sent on for long: the rest stays in its socket, which holds it up.
    pub fn is_deaf(&self) -> bool {
        self.in_flight().is_some_and(|busy| busy.late_len > LATE_LEN_MAX)
    }

    /// Bytes of input that it holds while nobody knows whose it is.
    pub fn unknown_len(&self) -> usize {
        if self.session == Slot::NONE { self.in_flight().map_or(0, Busy::input_len) } else { 0 }
    }

    /// Gives back what holds nothing any more.
    pub fn settle(&mut self) {
        let is_over = |busy: &Busy| {
            busy.out.is_empty()
                && busy.decoder.is_idle()
                && busy.unread.is_none()
                && busy.late_len == 0
                && busy.deflate.is_unused()
                && busy.over_since.is_none()
        };
        if !self.blocked && self.busy.as_deref().is_some_and(is_over) {
            self.busy = None;
        }
    }

    /// The socket takes no more.
    pub fn block(&mut self, now: Ms) {
        self.blocked = true;
        let busy = self.busy();
        (busy.blocked_ms, busy.backlog_len, busy.backlog_seq) = (now, 0, 0);
    }

    /// The socket takes bytes again.
    pub fn unblock(&mut self) {
        self.blocked = false;
        self.settle();
    }

    /// Bytes it holds on the heap.
    pub fn heap_len(&self) -> usize {
        let of = |busy: &Busy| {
            size_of::<Busy>() + busy.out.capacity() + busy.input_len() + busy.deflate.heap_len()
        };
        self.in_flight().map_or(0, of)
    }

    /// Takes messages from the inbound allowance: `per_minute` messages at once, refilled evenly; 0 = no limit.
    pub fn allow_messages(&mut self, now: Ms, per_minute: u64, count: u32) -> bool {
        let per_minute = u32::try_from(per_minute).unwrap_or(u32::MAX);
        let count = count.min(per_minute.saturating_add(1));
        per_minute == 0 || (0..count).all(|_| self.allow_message(now, per_minute))
    }

    fn allow_message(&mut self, now: Ms, per_minute: u32) -> bool {
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
        write_frame(self.out(), OpCode::Data(Data::Text), text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let ip = std::net::Ipv4Addr::LOCALHOST.into();
        let facts = Facts { host: "x".into(), secure: false, ip, version_unknown: false, is_counted: false };
        let host = Hosts::default().share(facts.host.clone(), facts.secure);
        Connection::new(-1, &facts, host, u32::MAX - 1_000)
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
        assert!(connection.allow_messages(now, 120, 120));
        assert!(!connection.allow_messages(now, 120, 1));
        assert!(!connection.allow_messages(now, 120, u32::MAX));
        assert!(connection.allow_messages(now, 0, u32::MAX));
    }

    #[test]
    fn hosts_are_shared_and_few_are_remembered() {
        let mut hosts = Hosts::default();
        let first = hosts.share("a".into(), true);
        assert!(Arc::ptr_eq(&first, &hosts.share("a".into(), true)));
        assert!(!hosts.share("a".into(), false).secure);
        for index in 0..2 * HOST_COUNT_MAX {
            assert_eq!(*hosts.share(index.to_string().into(), true).text, *index.to_string());
        }
        assert_eq!(hosts.recent.len(), HOST_COUNT_MAX);
        assert_eq!(&*first.text, "a");
    }

    #[test]
    fn what_is_in_flight_is_gone_when_it_is_over() {
        let mut connection = connection();
        connection.push_text(b"x");
        connection.block(7);
        assert_eq!(connection.take_out().len(), 3);
        assert_eq!(connection.in_flight().map(|busy| busy.blocked_ms), Some(7));
        connection.unblock();
        assert!(connection.in_flight().is_none());
        let mut decoder = connection.take_decoder();
        assert!(decoder.next_message(&mut &mut [0x81][..], 100).unwrap().is_none());
        connection.put_decoder(decoder);
        assert!(connection.take_out().is_empty());
        assert!(connection.in_flight().is_some() && !connection.take_decoder().is_idle());
    }

    #[test]
    fn time_wraps() {
        assert_eq!(since(u32::MAX - 5, 4), 10);
        assert_eq!(since(10, 5), 0);
    }
}
