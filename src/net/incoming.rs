//! A body on its way to a handler that takes it in pieces.
//!
//! Invariant: a connection holds one piece that is coming, and no more: the socket is not read while its handler is at
//! work on another.

use std::io;

use super::connections::Phase;
use super::socket::Socket;
use crate::api::State;
use crate::limits::{PIECE_LEN, READ_LEN};
use crate::wire::http::{BodyDecoder, CONTINUE, Framing, HttpError};

pub(super) struct Incoming {
    decoder: BodyDecoder,
    /// Received, not taken.
    buffer: Vec<u8>,
    /// The client waits to be asked for it.
    asks: bool,
}

impl Incoming {
    /// `received`: what has come behind the head.
    ///
    /// # Errors
    /// The body is announced to be longer than `len_max`.
    pub(super) fn new(
        framing: Framing,
        len_max: usize,
        received: &[u8],
        asks: bool,
    ) -> Result<Incoming, HttpError> {
        let decoder = BodyDecoder::new(Framing { head_len: 0, ..framing }, len_max)?;
        Ok(Incoming { decoder, buffer: with_room(received), asks: asks && received.is_empty() })
    }

    /// All of it was taken.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// What follows a body that is done.
    pub(super) fn into_rest(self) -> Vec<u8> {
        self.buffer
    }
}

/// A piece, and the framing around it.
fn with_room(received: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(PIECE_LEN + READ_LEN);
    buffer.extend_from_slice(received);
    buffer
}

impl Socket {
    /// The next piece of the body, `None` at its end: a whole one, unless it is the last. Each has the time-out of a
    /// body.
    ///
    /// # Errors
    /// Outside: the client is gone. Inside: what it sends is no body.
    pub(super) async fn receive_piece(
        &mut self,
        state: &State,
    ) -> io::Result<Result<Option<Vec<u8>>, HttpError>> {
        let Some(mut incoming) = self.incoming.take() else { return Ok(Ok(None)) };
        let piece = self.fill(state, &mut incoming).await;
        self.incoming = Some(incoming);
        piece
    }

    async fn fill(
        &mut self,
        state: &State,
        incoming: &mut Incoming,
    ) -> io::Result<Result<Option<Vec<u8>>, HttpError>> {
        let Incoming { decoder, buffer, asks } = incoming;
        if std::mem::take(asks) && !decoder.is_done() {
            self.room().extend_from_slice(CONTINUE);
        }
        self.flush(state).await?;
        self.registration.begin_holding(Phase::Body, PIECE_LEN);
        while !decoder.is_done() {
            let whole = match decoder.decode(buffer) {
                Ok(end) => end.is_some(),
                Err(error) => return Ok(Err(error)),
            };
            if whole || decoder.here(buffer) >= PIECE_LEN {
                let piece = decoder.take(buffer);
                *buffer = with_room(buffer);
                return Ok(Ok(Some(piece)));
            }
            let room = (PIECE_LEN + READ_LEN - buffer.len()).min(PIECE_LEN);
            if self.read(buffer, room).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Ok(None))
    }
}
