//! What comes in: bytes to messages, each client's allowance, how much of it one turn handles, and how much may wait.
//!
//! A message costs what its receivers cost, so a turn counts that, not bytes: what is beyond waits with its connection,
//! whose socket is not read meanwhile, and connections that wait take turns.

use super::client::Resume;
use super::connection::{Connection, State, Unread};
use super::connections::{ConnectionId, ConnectionRef};
use super::hub::{Action, Cx, Hub};
use super::protocol::{Close, MESSAGE_EFFORT};
use crate::limits::UNKNOWN_INPUT_CORE_LEN_MAX;
use crate::wire::websocket::{Decoder, Message, write_pong};

/// What the messages of one turn may cost together, in dispatches of 30 ns: 3 ms, and one message more. A message
/// that everybody of a large server gets costs a dispatch for each of them.
const EFFORT_PER_TURN: u64 = if cfg!(test) { 6_000 } else { 100_000 };
/// What is left from the turn before has this much of it: others are heard in every turn, however many are behind.
const EFFORT_OF_UNREAD: u64 = EFFORT_PER_TURN / 2;
/// What one connection has of it. One that floods costs the others 200 µs a turn.
const EFFORT_PER_CONNECTION: u64 = EFFORT_PER_TURN / 16;
/// What a frame costs that nobody looks at, and what a server costs that READY lists. What an opcode costs is in its
/// row.
const FRAME_EFFORT: u64 = 1;
pub(super) const SERVER_EFFORT: u64 = 16;

/// Whether a socket is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayRead {
    Yes,
    /// In another turn.
    Later,
    /// What it still brings matters to nobody.
    Never,
}

impl Hub {
    /// Bytes have arrived; they are overwritten (unmasked in place).
    pub fn receive(&mut self, cx: &Cx<'_>, id: ConnectionId, bytes: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let before = connection.unknown_len();
        if let Some(unread) = connection.unread() {
            unread.bytes.extend_from_slice(bytes);
        } else {
            let left = self.handle(cx, id, bytes);
            if left > 0 {
                self.put_off(id, Unread { bytes: bytes[bytes.len() - left..].to_vec(), at: 0 });
            }
        }
        self.count_unknown(id, before);
    }

    /// Handles input as far as a connection may cost in a turn; how many bytes of it are left.
    fn handle(&mut self, cx: &Cx<'_>, id: ConnectionId, bytes: &mut [u8]) -> usize {
        let Some(connection) = self.connections.get_mut(id) else { return 0 };
        if connection.state.is_closing() {
            connection.count_late(bytes.len());
        }
        let mut decoder = connection.take_decoder();
        let effort_max = self.intake.effort() + EFFORT_PER_CONNECTION;
        let (mut input, mut left) = (bytes, 0);
        // Messages are handled one by one; a message that hands over ends the loop.
        loop {
            self.charge_fragments(cx, id, &mut decoder);
            let Some(connection) = self.connections.get(id) else { return 0 };
            if connection.state == State::Closed || connection.is_deaf() {
                decoder = Decoder::new();
                break;
            }
            // What still comes from a client that was sent away is little.
            if self.intake.effort() >= effort_max && !input.is_empty() && !connection.state.is_closing() {
                left = input.len();
                break;
            }
            match decoder.next_message(&mut input, self.config.websocket.max_message_size as usize) {
                Ok(Some(message)) => {
                    if let Some(resume) = self.on_message(cx, id, message) {
                        self.hand_over(id, resume, input);
                        return 0;
                    }
                }
                Ok(None) => {
                    self.charge_fragments(cx, id, &mut decoder);
                    break;
                }
                // Where the next frame begins nobody knows; the client's answer to our close frame, which it has not
                // seen yet, begins another read.
                Err(error) => {
                    self.close(cx, id, close_for(error.code()));
                    decoder = Decoder::new();
                    break;
                }
            }
        }
        if let Some(connection) = self.connections.get_mut(id) {
            connection.put_decoder(decoder);
        }
        left
    }

    /// Pieces of messages count like messages.
    fn charge_fragments(&mut self, cx: &Cx<'_>, id: ConnectionId, decoder: &mut Decoder) {
        let count = decoder.take_fragment_count();
        self.intake.spend(u64::from(count) * FRAME_EFFORT);
        if count > 0 && self.is_speaking(id) {
            self.charge(cx, id, count);
        }
    }

    /// Whether what a client says still matters.
    fn is_speaking(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(|connection| !connection.state.is_closing())
    }

    /// Takes from a client's allowance; when it is used up, the connection is closed.
    fn charge(&mut self, cx: &Cx<'_>, id: ConnectionId, count: u32) -> bool {
        let per_minute = self.config.websocket.rate_limit_per_minute;
        let allowed = self.connections[id].allow_messages(cx.ms(), per_minute, count);
        if !allowed {
            self.close(cx, id, &Close::RATE_LIMITED);
        }
        allowed
    }

    /// Returns a RESUME that another core must decide.
    fn on_message(&mut self, cx: &Cx<'_>, id: ConnectionId, message: Message<'_>) -> Option<Resume> {
        self.counters.work.messages += 1;
        self.intake.spend(FRAME_EFFORT);
        // Answered with the same code, or without one (§1).
        if let Message::Close { code, .. } = message {
            self.drain(id);
            self.close_now(cx, id, code, "");
            self.peer_closed(id);
            return None;
        }
        if !self.is_speaking(id) || !self.charge(cx, id, 1) {
            return None;
        }
        match message {
            Message::Text(text) => return self.on_payload(cx, id, text, false),
            Message::Binary(bytes) => return self.on_payload(cx, id, bytes, true),
            Message::Ping(payload) => {
                self.intake.spend(MESSAGE_EFFORT);
                write_pong(self.connections[id].out(), payload);
                self.mark_dirty(id);
            }
            Message::Pong(_) => {
                self.intake.spend(MESSAGE_EFFORT);
                self.connections[id].pinged = false;
            }
            Message::Close { .. } => unreachable!("handled above"),
        }
        None
    }

    /// Both close frames are there: our side of the socket ends, after what is still to be sent.
    fn peer_closed(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.state = State::Closed;
        let is_sent = connection.in_flight().is_none_or(|busy| busy.out.is_empty());
        if is_sent && !connection.blocked {
            self.actions.push(Action::ShutWrite { fd: connection.fd });
        }
    }

    /// A turn of reading begins: first what the turn before has left.
    pub fn begin_reading(&mut self, cx: &Cx<'_>) {
        self.intake.begin_turn();
        if self.intake.unknown_len() > UNKNOWN_INPUT_CORE_LEN_MAX {
            self.shed_unknown(cx);
        }
        for _ in 0..self.intake.waiting_count() {
            if self.intake.effort() >= EFFORT_OF_UNREAD {
                return;
            }
            let Some(meant) = self.intake.next_waiting() else { return };
            if self.connections.find(meant).is_none() {
                continue;
            }
            let id = meant.id;
            let before = self.connections[id].unknown_len();
            // Whoever was sent away meanwhile has none any more.
            let Some(mut unread) = self.connections[id].take_unread() else { continue };
            let left = self.handle(cx, id, &mut unread.bytes[unread.at..]);
            if left > 0 {
                unread.at = unread.bytes.len() - left;
                self.put_off(id, unread);
            }
            self.count_unknown(id, before);
        }
    }

    /// What the messages of this turn have cost.
    pub fn effort(&self) -> u64 {
        self.intake.effort()
    }

    /// Whether they have cost what they may.
    pub fn is_spent(&self) -> bool {
        self.intake.effort() >= EFFORT_PER_TURN
    }

    /// Whether a socket is to be read, of whose input this turn has handled some since its messages had cost `effort`.
    pub fn may_read(&self, id: ConnectionId, effort: u64) -> MayRead {
        let Some(connection) = self.connections.get(id) else { return MayRead::Never };
        if connection.is_deaf() {
            MayRead::Never
        } else if self.has_unread(id) || self.intake.effort() >= effort + EFFORT_PER_CONNECTION {
            MayRead::Later
        } else {
            MayRead::Yes
        }
    }

    /// Whether input of this connection waits: what is behind it stays in the socket.
    pub fn has_unread(&self, id: ConnectionId) -> bool {
        let busy = self.connections.get(id).and_then(Connection::in_flight);
        busy.is_some_and(|busy| busy.unread.is_some())
    }

    pub(super) fn put_off(&mut self, id: ConnectionId, unread: Unread) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.busy().unread = Some(unread);
        self.intake.wait(ConnectionRef { id, generation: connection.generation });
    }

    // -------------------------------------------------------------------------- input from nobody known

    /// Counts what a connection without a session holds more of than before.
    fn count_unknown(&mut self, id: ConnectionId, before: usize) {
        let Some(connection) = self.connections.get(id) else { return };
        self.intake.add_unknown(connection.unknown_len().saturating_sub(before));
    }

    /// Looks at what is really held, and ends those with the most until half of what may be is left: as much must come
    /// again before the next look.
    #[cold]
    fn shed_unknown(&mut self, cx: &Cx<'_>) {
        let held = self.connections.iter().map(|(id, connection)| (connection.unknown_len(), id));
        let mut held: Vec<(usize, ConnectionId)> = held.filter(|(len, _)| *len > 0).collect();
        held.sort_unstable_by(|one, other| other.cmp(one));
        let mut left: usize = held.iter().map(|(len, _)| len).sum();
        for (len, id) in held {
            if left <= UNKNOWN_INPUT_CORE_LEN_MAX / 2 {
                break;
            }
            self.close(cx, id, &Close::RATE_LIMITED);
            self.connections[id].forget_input();
            left -= len;
        }
        self.intake.set_unknown(left);
    }
}

fn close_for(code: u16) -> &'static Close {
    match code {
        1002 => &Close::PROTOCOL_ERROR,
        1007 => &Close::INVALID_UTF8,
        1009 => &Close::TOO_BIG,
        _ => &Close::DECODE_ERROR,
    }
}
