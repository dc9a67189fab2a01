//! One gateway session: identity, numbering, and what a RESUME needs.

use super::connections::ConnectionId;
use super::replay::{Handle, Replay};
use super::trail::{Handles, Trail};
use crate::domain::intent;
use crate::id::{TokenId, UserId};
use crate::runtime::paged::PagedSlab;

/// Names a session of this core by its place. It is given again when the session is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

impl Slot {
    /// No session.
    pub const NONE: Slot = Slot(u32::MAX);
}

/// Unguessable, and says which core and slot the session lives in, so that finding it needs no map.
///
/// Four bytes hold core and slot, scrambled with a process secret; twelve are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// `core` < 256, `slot` < 2²⁴ (16 million sessions per core).
    pub fn new(random: [u8; 12], core: usize, slot: Slot, secret: u32) -> SessionId {
        assert!(core < 256 && slot.0 < 1 << 24);
        let salt = u32::from_le_bytes([random[0], random[1], random[2], random[3]]).wrapping_mul(0x9e37_79b9);
        let place = ((core as u32) << 24 | slot.0) ^ secret ^ salt;
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&place.to_le_bytes());
        bytes[4..].copy_from_slice(&random);
        SessionId(bytes)
    }

    /// Core and slot it was made for; nonsense for an id that was made up.
    pub fn place(&self, secret: u32) -> (usize, Slot) {
        let word = |at: usize| u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes"));
        let place = word(0) ^ secret ^ word(4).wrapping_mul(0x9e37_79b9);
        ((place >> 24) as usize, Slot(place & 0xff_ffff))
    }

    /// 32 lower-case hex digits.
    pub fn text(&self) -> String {
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
        let mut text = String::with_capacity(2 * self.0.len());
        text.extend(self.0.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]));
        text
    }

    pub fn parse(text: &str) -> Option<SessionId> {
        let mut bytes = [0; 16];
        let valid = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !valid {
            return None;
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
        }
        Some(SessionId(bytes))
    }
}

/// Live (with a connection) or detached (waiting for RESUME).
// In this order: what a delivery touches comes first.
#[repr(C)]
pub struct Session {
    /// The events from `first` to `seq`.
    pub trail: Trail,
    /// Last number given out; READY had 1.
    pub seq: u32,
    /// Last number that was written towards the client.
    pub sent: u32,
    /// Number of the oldest event that is kept.
    pub first: u32,
    /// Its connection; none while detached.
    pub connection: ConnectionId,
    /// On the list of sessions with something to send.
    pub dirty: bool,
    /// He has blocked somebody, now or once: whether he gets a presence takes a look.
    pub blocks: bool,
    pub intents: u16,
    /// While it has a connection: numbers up to here are a replay and do not count as backlog. While it has none:
    /// when it lost it, core milliseconds.
    pub replay_until_or_detached_ms: u32,
    /// Neighbours in the list of its user's sessions on this core, see [`super::sessions`].
    pub previous_of_user: Slot,
    pub next_of_user: Slot,
    pub user_id: UserId,
    pub token_id: TokenId,
    pub id: SessionId,
}

/// Handles kept although the client has confirmed them with a heartbeat: it may still resume a little earlier.
const CONFIRMED_KEPT: u32 = 128;

impl Session {
    pub fn new(
        id: SessionId,
        user_id: UserId,
        token_id: TokenId,
        intents: u16,
        connection: ConnectionId,
    ) -> Session {
        Session {
            id,
            user_id,
            token_id,
            previous_of_user: Slot::NONE,
            next_of_user: Slot::NONE,
            connection,
            replay_until_or_detached_ms: 0,
            blocks: false,
            seq: 1,
            sent: 1,
            first: 2,
            trail: Trail::default(),
            intents,
            dirty: false,
        }
    }

    /// Of a bot that did not ask for what is in messages.
    pub fn is_veiled(&self) -> bool {
        self.intents & intent::MESSAGE_CONTENT == 0
    }

    /// Bytes it holds on the heap.
    pub fn heap_len(&self) -> usize {
        self.trail.heap_len()
    }

    /// Gives `count` events in a row the next numbers. Hot: once per delivery.
    ///
    /// A live session keeps what it has not sent even beyond `count_max`: there the bounds of the backlog decide.
    pub fn push(&mut self, first: Handle, count: u32, count_max: usize) {
        self.seq += count;
        self.trail.push(first);
        if count > 1 {
            self.trail.push_next(count - 1);
        }
        while self.kept() as usize > count_max
            && (self.first <= self.sent || self.connection == ConnectionId::NONE)
        {
            self.trail.pop_front();
            self.first += 1;
        }
    }

    /// Of a new session, before its first event: that one gets the number `first`, at least 2.
    pub fn begin_at(&mut self, first: u32) {
        (self.first, self.seq, self.sent) = (first, first - 1, first - 1);
    }

    /// When it lost its connection, core milliseconds.
    pub fn detached_ms(&self) -> u32 {
        debug_assert_eq!(self.connection, ConnectionId::NONE);
        self.replay_until_or_detached_ms
    }

    /// Numbers up to here are a replay and do not count as backlog.
    pub fn replay_until(&self) -> u32 {
        debug_assert_ne!(self.connection, ConnectionId::NONE);
        self.replay_until_or_detached_ms
    }

    /// How many events are kept.
    fn kept(&self) -> u32 {
        self.seq + 1 - self.first
    }

    /// The events after number `seq`, oldest first; none when some of them are no longer kept.
    pub fn after(&self, seq: u32) -> Handles<'_> {
        let count = self.seq.saturating_sub(seq);
        self.trail.newest(if count <= self.kept() { count } else { 0 })
    }

    /// How many of the newest events are to be sent; 0 when one of them is no longer kept.
    pub fn unsent_kept(&self) -> u32 {
        if self.first <= self.sent + 1 { self.seq - self.sent } else { 0 }
    }

    /// Whether every event after `seq` is still there, no more than `count_max` and within `len_max` bytes.
    pub fn can_replay(&self, replay: &Replay, seq: u32, count_max: usize, len_max: usize) -> bool {
        // READY has number 1 and is never replayed.
        let seq = seq.max(1);
        let count = (self.seq - seq) as usize;
        let mut len = 0;
        count <= count_max
            && self.first <= seq + 1
            && self.after(seq).all(|handle| {
                let entry = replay.get(handle);
                len += entry.map_or(0, |entry| entry.payload.len());
                entry.is_some() && len <= len_max
            })
    }

    /// The client says it has received everything up to `seq`.
    pub fn confirm(&mut self, seq: u32) {
        if seq > self.sent {
            return;
        }
        let keep_from = seq.saturating_sub(CONFIRMED_KEPT);
        while self.first <= keep_from && self.kept() > 0 {
            self.trail.pop_front();
            self.first += 1;
        }
        self.trail.shrink();
    }
}

// Paid by every session.
const _: () = assert!(PagedSlab::<Session>::ENTRY_LEN <= 96);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_find_their_place_and_parse_strictly() {
        let id = SessionId::new([7; 12], 200, Slot(123_456), 0xdead_beef);
        assert_eq!(id.place(0xdead_beef), (200, Slot(123_456)));
        assert_eq!(SessionId::parse(&id.text()), Some(id));
        for text in ["", "0", &id.text().to_uppercase(), &(id.text() + "0"), &"é".repeat(16), &"g".repeat(32)]
        {
            assert_eq!(SessionId::parse(text), None, "{text}");
        }
    }

    /// The event with number `seq`, if it is kept.
    fn handle(session: &Session, seq: u32) -> Option<Handle> {
        session.after(seq - 1).next()
    }

    #[test]
    fn numbering_and_trimming() {
        let mut session = Session::new(SessionId([0; 16]), UserId(1), TokenId(1), 0, ConnectionId(0));
        for handle in 0..300 {
            session.push(handle, 1, 1_000);
        }
        assert_eq!(session.seq, 301);
        assert_eq!(handle(&session, 2), Some(0));
        assert_eq!(handle(&session, 1), None);
        session.sent = 301;
        session.confirm(301);
        assert_eq!(handle(&session, 173), None);
        assert_eq!(handle(&session, 174), Some(172));
        for handle in 300..2_000 {
            session.sent = session.seq;
            session.push(handle, 1, 1_000);
        }
        assert_eq!(handle(&session, session.seq), Some(1_999));
        assert_eq!(handle(&session, session.seq - 1_000), None);
        // Unsent ones stay while there is a connection to send them on.
        session.sent = session.seq;
        (0..5).for_each(|handle| session.push(handle, 1, 2));
        assert_eq!(handle(&session, session.sent + 1), Some(0));
        session.connection = ConnectionId::NONE;
        session.push(5, 1, 2);
        assert_eq!((handle(&session, session.seq - 2), handle(&session, session.seq - 1)), (None, Some(4)));
    }
}
