//! What comes in: bytes to messages, each client's allowance, and how much of it one turn handles.
//!
//! A message costs what its receivers cost, so a turn counts that, not bytes: what is beyond waits with its connection,
//! whose socket is not read meanwhile, and connections that wait take turns.

use super::client::Resume;
use super::connection::{Connection, State};
use super::hub::{Action, Cx, Hub};
use super::protocol::Close;
use crate::wire::websocket::{Decoder, Message, write_pong};

/// What the messages of one turn may cost together, in dispatches of 30 ns: 3 ms, and one message more. A message
/// that everybody of a large server gets costs a dispatch for each of them.
const EFFORT_PER_TURN: u64 = if cfg!(test) { 6_000 } else { 100_000 };
/// What a message costs whatever it says, what a frame costs that nobody looks at, and what a server costs that READY
/// lists.
const MESSAGE_EFFORT: u64 = 64;
const FRAME_EFFORT: u64 = 1;
pub(super) const SERVER_EFFORT: u64 = 16;

impl Hub {
    /// Bytes have arrived; they are overwritten (unmasked in place).
    pub fn receive(&mut self, cx: &Cx<'_>, id: u32, bytes: &mut [u8]) {
        let is_behind = self.has_unread(id);
        let Some(connection) = self.connections.get_mut(id as usize) else { return };
        if is_behind {
            return connection.busy().input.extend_from_slice(bytes);
        }
        let mut decoder = connection.take_decoder();
        let mut input = bytes;
        // Messages are handled one by one; a message that hands over ends the loop.
        loop {
            self.charge_fragments(cx, id, &mut decoder);
            if self.is_spent() && !input.is_empty() {
                self.put_off(id, input);
                break;
            }
            match self.connections.get(id as usize).map(|connection| connection.state) {
                None | Some(State::Closed) => return,
                Some(_) => {}
            }
            match decoder.next_message(&mut input, self.settings.message_len_max) {
                Ok(Some(message)) => {
                    if let Some(resume) = self.on_message(cx, id, message) {
                        return self.hand_over(id, resume, input);
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
        if let Some(connection) = self.connections.get_mut(id as usize) {
            connection.put_decoder(decoder);
        }
    }

    /// Pieces of messages count like messages.
    fn charge_fragments(&mut self, cx: &Cx<'_>, id: u32, decoder: &mut Decoder) {
        let count = decoder.take_fragment_count();
        self.effort += u64::from(count) * FRAME_EFFORT;
        if count > 0 && self.is_speaking(id) {
            self.charge(cx, id, count);
        }
    }

    /// Whether what a client says still matters.
    fn is_speaking(&self, id: u32) -> bool {
        self.connections.get(id as usize).is_some_and(|connection| !connection.state.is_closing())
    }

    /// Takes from a client's allowance; when it is used up, the connection is closed.
    fn charge(&mut self, cx: &Cx<'_>, id: u32, count: u32) -> bool {
        let per_minute = self.settings.messages_per_minute;
        let allowed = self.connections[id as usize].allow_messages(cx.ms(), per_minute, count);
        if !allowed {
            self.close(cx, id, &Close::RATE_LIMITED);
        }
        allowed
    }

    /// Returns a RESUME that another core must decide.
    fn on_message(&mut self, cx: &Cx<'_>, id: u32, message: Message<'_>) -> Option<Resume> {
        self.work.messages += 1;
        self.effort += FRAME_EFFORT;
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
        self.effort += MESSAGE_EFFORT;
        match message {
            Message::Text(text) => return self.on_payload(cx, id, text, false),
            Message::Binary(bytes) => return self.on_payload(cx, id, bytes, true),
            Message::Ping(payload) => {
                write_pong(self.connections[id as usize].out(), payload);
                self.mark_dirty(id);
            }
            Message::Pong(_) => self.connections[id as usize].pinged = false,
            Message::Close { .. } => unreachable!("handled above"),
        }
        None
    }

    /// Both close frames are there: our side of the socket ends, after what is still to be sent.
    fn peer_closed(&mut self, id: u32) {
        let Some(connection) = self.connections.get_mut(id as usize) else { return };
        connection.state = State::Closed;
        let is_sent = connection.in_flight().is_none_or(|busy| busy.out.is_empty());
        if is_sent && !connection.blocked {
            self.actions.push(Action::ShutWrite { fd: connection.fd });
        }
    }

    /// A turn of reading begins: first what the turn before has left.
    pub fn begin_reading(&mut self, cx: &Cx<'_>) {
        self.effort = 0;
        for _ in 0..self.unread.len() {
            if self.is_spent() {
                return;
            }
            let Some((id, generation)) = self.unread.pop_front() else { return };
            if self.generation(id) == Some(generation) {
                let mut input = std::mem::take(&mut self.connections[id as usize].busy().input);
                self.receive(cx, id, &mut input);
            }
        }
    }

    /// Whether the messages of this turn have cost what they may.
    pub fn is_spent(&self) -> bool {
        self.effort >= EFFORT_PER_TURN
    }

    /// Whether input of this connection waits: what is behind it stays in the socket.
    pub fn has_unread(&self, id: u32) -> bool {
        let busy = self.connections.get(id as usize).and_then(Connection::in_flight);
        busy.is_some_and(|busy| !busy.input.is_empty())
    }

    fn put_off(&mut self, id: u32, input: &[u8]) {
        let Some(connection) = self.connections.get_mut(id as usize) else { return };
        connection.busy().input = input.to_vec();
        self.unread.push_back((id, connection.generation));
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
