//! Bodies that follow the head of their answer: shared bytes, pieces.
//!
//! Invariant: of what a client is sent a connection holds one piece, counted as the client's; the next is made when he
//! has taken it.

use std::io;
use std::os::fd::AsRawFd;

use bytes::Bytes;

use super::connections::{Phase, shutdown};
use super::socket::{Form, Socket};
use crate::api::State;
use crate::api::content::{Content, Pieces};
use crate::api::ctx::Desk;
use crate::limits::WRITE_PROGRESS_LEN;

impl Socket {
    /// Sends the body of an answer whose head was appended.
    ///
    /// # Errors
    /// The client is gone, or the rest of the body cannot be had: the connection ends, so that nobody takes the part
    /// for the whole.
    pub(super) async fn send(
        &mut self,
        state: &State,
        desk: &dyn Desk,
        content: Content,
        form: Form,
    ) -> io::Result<()> {
        self.flush(state).await?;
        match content {
            // They cost nobody's memory.
            Content::Shared(bytes) => self.write_bytes(state, bytes).await,
            Content::File(mut part) => self.send_pieces(state, desk, &mut part, false).await,
            Content::Stream(pieces) => self.send_stream(state, desk, pieces, form).await,
        }
    }

    async fn send_stream(
        &mut self,
        state: &State,
        desk: &dyn Desk,
        mut pieces: Box<dyn Pieces>,
        form: Form,
    ) -> io::Result<()> {
        let is_chunked = form.takes_chunks();
        self.send_pieces(state, desk, &mut *pieces, is_chunked).await?;
        if is_chunked {
            self.room().extend_from_slice(b"0\r\n\r\n");
            return Ok(());
        }
        // HTTP/1.0: the end of the connection is the end of the body.
        shutdown(self.stream.as_raw_fd(), libc::SHUT_WR);
        Err(io::ErrorKind::ConnectionAborted.into())
    }

    async fn send_pieces(
        &mut self,
        state: &State,
        desk: &dyn Desk,
        pieces: &mut dyn Pieces,
        is_chunked: bool,
    ) -> io::Result<()> {
        loop {
            self.registration.begin(Phase::Work);
            let piece = pieces.next(desk).await.map_err(|error| io::Error::other(error.message))?;
            let Some(piece) = piece else { return Ok(()) };
            if is_chunked {
                self.room().extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                self.flush(state).await?;
            }
            let charge = self.registration.charge(state, self.payer(), piece.len());
            self.write_bytes(state, piece).await?;
            drop(charge);
            if is_chunked {
                self.room().extend_from_slice(b"\r\n");
            }
        }
    }

    /// Each portion that the client takes gives it new time for the next.
    async fn write_bytes(&mut self, state: &State, mut bytes: Bytes) -> io::Result<()> {
        self.bound_kernel();
        let mut renewed = usize::MAX;
        while !bytes.is_empty() {
            if renewed >= WRITE_PROGRESS_LEN {
                renewed = 0;
                self.registration.begin(Phase::Write);
            }
            let count = self.write_some(state, bytes.slice(..bytes.len().min(WRITE_PROGRESS_LEN))).await?;
            renewed += count;
            bytes = bytes.slice(count..);
        }
        Ok(())
    }
}
