//! Bodies that follow the head of their answer: shared bytes, files, pieces.
//!
//! Invariant: of what a client is sent a connection holds one piece, counted as the client's; the next is made when he
//! has taken it. What of a file is in memory the kernel sends by itself, and no piece is made; nothing here waits for a
//! disk.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use bytes::Bytes;

use super::connections::{Phase, shutdown};
use super::socket::{Form, Socket};
use crate::api::State;
use crate::api::content::{Content, Part, Pieces};
use crate::api::ctx::Desk;
use crate::limits::{SENDFILE_LEN_MAX, WRITE_PROGRESS_LEN};
use crate::runtime::clock::monotonic_ns;

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
            Content::Short(bytes) => {
                let _charge = self.registration.charge(state, self.payer(), bytes.len());
                self.write_bytes(state, bytes).await
            }
            Content::File(part) => self.send_file(state, desk, part).await,
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
        while let Some(piece) = self.next_piece(desk, pieces).await? {
            if is_chunked {
                self.room().extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                self.flush(state).await?;
            }
            self.write_piece(state, piece).await?;
            if is_chunked {
                self.room().extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    async fn next_piece(&mut self, desk: &dyn Desk, pieces: &mut dyn Pieces) -> io::Result<Option<Bytes>> {
        self.registration.begin(Phase::Work);
        pieces.next(desk).await.map_err(|error| io::Error::other(error.message))
    }

    async fn write_piece(&mut self, state: &State, piece: Bytes) -> io::Result<()> {
        let _charge = self.registration.charge(state, self.payer(), piece.len());
        self.write_bytes(state, piece).await
    }

    /// From the file to the socket, without a copy of ours, in portions after each of which others have their turn.
    async fn send_file(&mut self, state: &State, desk: &dyn Desk, mut part: Part) -> io::Result<()> {
        self.bound_kernel();
        self.never_block();
        let (socket, mut renewed) = (self.stream.as_raw_fd(), usize::MAX);
        while !part.is_sent() {
            if renewed >= WRITE_PROGRESS_LEN {
                renewed = 0;
                self.registration.begin(Phase::Write);
            }
            self.registration.connections.share.take().await;
            let begun_ns = monotonic_ns();
            let Some((file, at, len)) = part.in_memory(SENDFILE_LEN_MAX) else {
                // The disk has to be waited for, which is for its lane.
                let Some(piece) = self.next_piece(desk, &mut part).await? else { return Ok(()) };
                self.write_piece(state, piece).await?;
                renewed = usize::MAX;
                continue;
            };
            let taken = sendfile(socket, file, at, len);
            self.registration.connections.share.charge(monotonic_ns().saturating_sub(begun_ns));
            match taken {
                Ok(0) => return Err(cut()),
                Ok(count) => {
                    state.metrics.bytes_out.add(count as u64);
                    part.sent(count);
                    renewed = renewed.saturating_add(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable(false).await?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
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

/// Has the kernel send so many bytes of a file from `at` on; how many it took, 0 when the file ends before them.
///
/// # Errors
/// `WouldBlock` when it takes nothing of them now.
fn sendfile(socket: RawFd, file: BorrowedFd<'_>, at: u64, len: usize) -> io::Result<usize> {
    let mut at = libc::off_t::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: both descriptors are open, and the kernel writes to `at` alone.
    let count = unsafe { libc::sendfile(socket, file.as_raw_fd(), &raw mut at, len) };
    match usize::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Err(io::ErrorKind::WouldBlock.into()),
            error => Err(error),
        },
    }
}

/// Somebody has cut a file that is being sent.
#[cold]
fn cut() -> io::Error {
    tracing::error!("a file of a client is shorter than when it was opened: see `plexichat verify`");
    io::ErrorKind::UnexpectedEof.into()
}
