//! A session with its connection as bytes: for a hub that takes over from another, in a process that follows this one.
//!
//! The descriptor goes its own way (it is a number of its process), and both hubs must stand at the same place: same
//! core, count of cores and secret, as a session id says where its session is, and the same position in the log. The
//! bytes hold what a client could notice: numbers and the events a RESUME may ask for, what is on its way in either
//! direction, the state of a compressed stream, ages. They do not hold what is found out anew (whether the socket
//! takes bytes, how far behind it is), and of lists of members that are being made there are no bytes: such a
//! connection is packed when they are through.
//!
//! The take-over between cores at a RESUME does not use them: there the session stays where it is and a connection
//! moves, which is one pointer in a letter. As bytes it would be a copy of all it has in flight, and a checksum.
//!
//! Whoever takes the bytes in counts the connection among those of its address, when it was counted before.
//!
//! Form, little endian: version (2), connection, session if there is one, CRC-32C (4). Lists have their length before
//! them (4). A connection that is closing is not packed; its client comes again.

use std::net::Ipv6Addr;
use std::os::fd::RawFd;

use super::connection::{Busy, Connection, Facts, Ms, State, Unread, since};
use super::connections::ConnectionId;
use super::expiry::LOOK_MS;
use super::hub::{Cx, Hub, Mail};
use super::session::{Session, SessionId, Slot};
use super::veil::intents_known;
use crate::domain::EventName;
use crate::id::{TokenId, UserId};
use crate::limits::{HANDOVER_LEN_MAX, HANDOVER_SLOT_GAP_MAX};
use crate::wire::websocket::{Decoder, DeflateStream};

const VERSION: u16 = 1;

/// Why a connection has no bytes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpackable {
    /// It is gone or closing.
    Closing,
    /// Lists of members are being made for it.
    Busy,
    /// It has more in flight than [`HANDOVER_LEN_MAX`], or what it is to be sent is no longer kept.
    TooFarBehind,
}

/// Why bytes are not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Cut, changed, or not of this form.
    Damaged,
    /// Of a version that is not known here.
    Version(u16),
    /// The session is not of this core, or its slot is taken. Sessions come in rising order of their slots.
    Place,
    /// Its login has ended meanwhile.
    Ended,
}

/// What the bytes say. Times are of the reader's clock.
struct Packed {
    connection: Connection,
    /// Input that a decoder had begun with, and what it had not seen.
    begun: Vec<u8>,
    unread: Vec<u8>,
    session: Option<PackedSession>,
}

struct PackedSession {
    id: SessionId,
    user_id: UserId,
    token_id: TokenId,
    intents: u16,
    blocks: bool,
    sent: u32,
    /// Number of the first event.
    first: u32,
    replay_until: u32,
    events: Vec<PackedEvent>,
}

struct PackedEvent {
    name: EventName,
    /// The session has caused it for itself alone.
    is_private: bool,
    payload: Vec<u8>,
}

impl Hub {
    /// Writes a connection with its session. Both stay as they are.
    ///
    /// # Errors
    /// It has no bytes now.
    pub fn pack(&self, cx: &Cx<'_>, id: ConnectionId) -> Result<Vec<u8>, Unpackable> {
        let connection = self.connections.get(id).filter(|connection| !connection.state.is_closing());
        let connection = connection.ok_or(Unpackable::Closing)?;
        let mut out = Writer(VERSION.to_le_bytes().to_vec());
        write_connection(&mut out, connection, cx.ms());
        match self.sessions.get(connection.session) {
            None => out.0.push(0),
            Some(_) if self.jobs.count_of(connection.session) > 0 => return Err(Unpackable::Busy),
            Some(session) => {
                out.0.push(1);
                self.write_session(&mut out, connection.session, session)?;
            }
        }
        let sum = crc32c::crc32c(&out.0);
        out.u32(sum);
        if out.0.len() > HANDOVER_LEN_MAX { Err(Unpackable::TooFarBehind) } else { Ok(out.0) }
    }

    fn write_session(&self, out: &mut Writer, slot: Slot, session: &Session) -> Result<(), Unpackable> {
        let Session {
            trail: _,
            seq,
            sent,
            first,
            connection: _,
            dirty: _,
            blocks,
            intents,
            replay_until_or_detached_ms: replay_until,
            previous_of_user: _,
            next_of_user: _,
            user_id,
            token_id,
            id,
        } = session;
        let replay = &self.sessions.replay;
        // Some may have left the ring: those behind the last of them are kept.
        let handles: Vec<_> = session.after(first - 1).collect();
        let lost = handles.iter().rposition(|handle| replay.get(*handle).is_none());
        let kept = &handles[lost.map_or(0, |index| index + 1)..];
        let first = seq + 1 - kept.len() as u32;
        if first > sent + 1 {
            return Err(Unpackable::TooFarBehind);
        }
        out.0.extend_from_slice(&id.0);
        out.u64(user_id.0);
        out.u64(token_id.0);
        out.u16(*intents);
        out.0.push((*blocks).into());
        [*sent, first, *replay_until].into_iter().for_each(|number| out.u32(number));
        out.u32(kept.len() as u32);
        for handle in kept {
            let entry = replay.get(*handle).expect("looked at above");
            out.bytes(entry.name.text().as_bytes());
            out.0.push(replay.is_private(slot, *handle).into());
            out.bytes(&entry.payload);
        }
        Ok(())
    }

    /// Takes in what [`Hub::pack`] has written, with the descriptor that belongs to it, which is the caller's again on
    /// error. The session is in the servers that the snapshot says, and goes on with its numbers.
    ///
    /// # Errors
    /// The bytes are of no use here; nothing has changed.
    pub fn unpack(&mut self, cx: &Cx<'_>, fd: RawFd, bytes: &[u8]) -> Result<ConnectionId, Unusable> {
        let Packed { mut connection, begun, unread, session } = read(bytes, cx.ms(), fd)?;
        let mut begun = begun;
        let mut decoder = Decoder::new();
        let len_max = self.config.websocket.max_message_size as usize;
        if !matches!(decoder.next_message(&mut begun.as_mut_slice(), len_max), Ok(None)) {
            return Err(Unusable::Damaged);
        }
        // Its pieces were counted when they came.
        decoder.take_fragment_count();
        connection.put_decoder(decoder);
        if let Some(packed) = &session {
            let (core, slot) = self.cores.place_of(packed.id);
            let end = self.sessions.slot_end();
            let near = (end..=end + HANDOVER_SLOT_GAP_MAX).contains(&(slot.0 as usize));
            if core != self.cores.own || !near {
                return Err(Unusable::Place);
            }
            if !super::client::still_valid(cx, packed.token_id, packed.user_id) {
                return Err(Unusable::Ended);
            }
        }
        let host = self.connections.share_host(connection.host.text.clone(), connection.host.secure);
        connection.host = host;
        let id = self.insert(cx, connection);
        if !unread.is_empty() {
            self.put_off(id, Unread { bytes: unread, at: 0 });
        }
        if let Some(packed) = session {
            self.take_in_session(cx, id, packed);
        }
        self.mark_dirty(id);
        Ok(id)
    }

    fn take_in_session(&mut self, cx: &Cx<'_>, id: ConnectionId, packed: PackedSession) {
        let (_, slot) = self.cores.place_of(packed.id);
        let PackedSession { user_id, token_id, intents, .. } = packed;
        let intents = intents_known(cx.read, user_id, intents);
        let mut session = Session::new(packed.id, user_id, token_id, intents, id);
        session.blocks = packed.blocks;
        session.begin_at(packed.first);
        for event in packed.events {
            let payload = event.payload.into();
            let handle = match event.is_private {
                true => self.sessions.replay.push_private(slot, event.name, payload),
                false => self.sessions.replay.push(event.name, payload),
            };
            session.push(handle, 1, usize::MAX);
        }
        session.sent = packed.sent;
        session.replay_until_or_detached_ms = packed.replay_until;
        self.sessions.begin_at(slot, session);
        let session = &mut self.sessions[slot];
        self.outbox.mark_session(slot, session);
        self.connections[id].session = slot;
        self.audiences.enter_all(cx.read, user_id, slot, intents);
        self.watch_expiry(cx, id, LOOK_MS);
        let session = self.session_ref(slot);
        self.tell_home(cx, user_id, Mail::TakenOver { user_id, session });
    }
}

/// Every field is named, so that a new one is either written or left out on purpose.
fn write_connection(out: &mut Writer, connection: &Connection, now: Ms) {
    let Connection {
        busy,
        fd: _,
        session: _,
        generation: _,
        state,
        dirty: _,
        blocked: _,
        compress,
        host,
        opened_ms,
        beat_ms,
        ping_ms,
        allowed_ms,
        is_counted,
        pinged,
        ipv6,
    } = connection;
    let flags = [*state == State::Ready, *compress, *is_counted, *pinged, host.secure];
    out.0.extend(flags.map(u8::from));
    out.bytes(host.text.as_bytes());
    out.0.extend_from_slice(&ipv6.octets());
    for then in [opened_ms, beat_ms, ping_ms] {
        out.u32(since(*then, now));
    }
    // It lies ahead.
    out.u32(since(now, *allowed_ms));
    write_busy(out, busy.as_deref().unwrap_or(&Busy::default()));
}

fn write_busy(out: &mut Writer, busy: &Busy) {
    let Busy {
        out: unsent,
        decoder,
        unread,
        late_len: _,
        deflate,
        blocked_ms: _,
        backlog_len: _,
        backlog_seq: _,
        over_since: _,
    } = busy;
    out.bytes(unsent);
    let mut begun = Vec::new();
    decoder.write_unfinished(&mut begun);
    out.bytes(&begun);
    out.bytes(unread.as_ref().map_or(&[], |unread| &unread.bytes[unread.at..]));
    // Never empty once it has begun.
    out.bytes(deflate.history().unwrap_or_default());
}

fn read(bytes: &[u8], now: Ms, fd: RawFd) -> Result<Packed, Unusable> {
    let body = bytes.split_last_chunk::<4>().filter(|_| bytes.len() <= HANDOVER_LEN_MAX);
    let (body, sum) = body.ok_or(Unusable::Damaged)?;
    if crc32c::crc32c(body) != u32::from_le_bytes(*sum) {
        return Err(Unusable::Damaged);
    }
    let mut reader = Reader(body);
    match reader.u16().ok_or(Unusable::Damaged)? {
        VERSION => {}
        other => return Err(Unusable::Version(other)),
    }
    let packed = read_body(&mut reader, now, fd).filter(|_| reader.0.is_empty());
    packed.ok_or(Unusable::Damaged)
}

fn read_body(reader: &mut Reader<'_>, now: Ms, fd: RawFd) -> Option<Packed> {
    let mut flag = || reader.flag();
    let (is_ready, compress, is_counted, pinged, secure) = (flag()?, flag()?, flag()?, flag()?, flag()?);
    let host: Box<str> = std::str::from_utf8(reader.bytes()?).ok()?.into();
    let ip = Ipv6Addr::from(*reader.array::<16>()?).to_canonical();
    let facts = Facts { host: host.clone(), secure, ip, version_unknown: false, is_counted };
    let host = super::connection::Host { text: host, secure };
    let mut connection = Connection::new(fd, &facts, host.into(), now);
    (connection.compress, connection.pinged) = (compress, pinged);
    connection.state = if is_ready { State::Ready } else { State::Connected };
    connection.opened_ms = now.wrapping_sub(reader.u32()?);
    connection.beat_ms = now.wrapping_sub(reader.u32()?);
    connection.ping_ms = now.wrapping_sub(reader.u32()?);
    connection.allowed_ms = now.wrapping_add(reader.u32()?);
    let out = reader.bytes()?;
    if !out.is_empty() {
        *connection.out() = out.to_vec();
    }
    let (begun, unread) = (reader.bytes()?.to_vec(), reader.bytes()?.to_vec());
    let history = reader.bytes()?;
    if !history.is_empty() {
        connection.busy().deflate = DeflateStream::from_history(history)?;
    }
    let session = if reader.flag()? { Some(read_session(reader)?) } else { None };
    (is_ready == session.is_some()).then_some(Packed { connection, begun, unread, session })
}

fn read_session(reader: &mut Reader<'_>) -> Option<PackedSession> {
    let mut packed = PackedSession {
        id: SessionId(*reader.array()?),
        user_id: UserId(reader.u64()?),
        token_id: TokenId(reader.u64()?),
        intents: reader.u16()?,
        blocks: reader.flag()?,
        sent: reader.u32()?,
        first: reader.u32()?,
        replay_until: reader.u32()?,
        events: Vec::new(),
    };
    for _ in 0..reader.u32()? {
        let text = reader.bytes()?;
        let name = *EventName::ALL.iter().find(|name| name.text().as_bytes() == text)?;
        let (is_private, payload) = (reader.flag()?, reader.bytes()?.to_vec());
        // One without a payload is one that is no longer kept.
        packed.events.push((!payload.is_empty()).then_some(PackedEvent { name, is_private, payload })?);
    }
    let seq = packed.first.checked_add(packed.events.len() as u32)?.checked_sub(1)?;
    // READY had number 1 and is no event.
    let is_true =
        packed.first >= 2 && (packed.first - 1..=seq).contains(&packed.sent) && packed.replay_until <= seq;
    is_true.then_some(packed)
}

struct Writer(Vec<u8>);

impl Writer {
    fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, value: &[u8]) {
        self.u32(value.len() as u32);
        self.0.extend_from_slice(value);
    }
}

/// What is left to read.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn array<const LEN: usize>(&mut self) -> Option<&'b [u8; LEN]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(first)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.array()? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().copied().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().copied().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().copied().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<&'b [u8]> {
        let len = self.u32()? as usize;
        let (first, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(first)
    }
}
