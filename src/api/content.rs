//! Bodies of answers that their handler has not written into memory of its own.
//!
//! Invariant: a connection holds one piece of such a body, and the client's reading of it is what gets the next.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::ctx::Desk;
use crate::domain::{Error, Refusal, Result};
use crate::effect::disk::{Opened, ReadAt};
use crate::effect::{Job, Source};
use crate::limits::PIECE_LEN;
use crate::store::blobs::Blob;

/// Where the body of an answer comes from.
pub enum Content {
    /// Bytes that are the same for everybody, or part of them.
    Shared(Bytes),
    /// A short file, or part of one. Whoever it is kept for may forget it before it is sent: it counts as the client's.
    Short(Bytes),
    /// A file, or part of one: sent by the kernel as far as it is in memory, read by the lane of the disk as far as it
    /// is not, as the client takes it.
    File(Part),
    /// Pieces of which nobody knows how many come. Has no ranges, and no length for HEAD.
    Stream(Box<dyn Pieces>),
}

/// What is left to send of a file.
pub struct Part {
    blob: Arc<dyn Blob>,
    at: u64,
    left: u64,
    /// For whom it is read.
    source: Source,
}

impl Part {
    pub fn whole(blob: Arc<dyn Blob>, source: Source) -> Part {
        let left = blob.len();
        Part { blob, at: 0, left, source }
    }

    pub fn is_sent(&self) -> bool {
        self.left == 0
    }

    /// What the kernel can send of it without waiting for a disk: the file, where it goes on, and how much of it, of
    /// `len_max` at most. `None` when that is nothing.
    pub fn in_memory(&self, len_max: usize) -> Option<(BorrowedFd<'_>, u64, usize)> {
        let file = self.blob.plain_file()?;
        let len = file.len_in_memory(self.at, usize::try_from(self.left).unwrap_or(usize::MAX).min(len_max));
        (len > 0).then(|| (file.as_fd(), self.at, len))
    }

    /// So much of it has been sent.
    pub fn sent(&mut self, len: usize) {
        (self.at, self.left) = (self.at + len as u64, self.left - len as u64);
    }
}

impl Pieces for Part {
    fn next<'d>(&'d mut self, desk: &'d dyn Desk) -> NextPiece<'d> {
        // Up to the end of a segment, where it is sealed: none is opened twice.
        let len = self.left.min(PIECE_LEN as u64 - self.at % PIECE_LEN as u64);
        let job = ReadAt { blob: self.blob.clone(), at: self.at, len: len as usize };
        (self.at, self.left) = (self.at + len, self.left - len);
        Box::pin(async move {
            if len == 0 {
                return Ok(None);
            }
            let answer = desk.effect(Job::new(self.source, job)).await?;
            let read: io::Result<Bytes> =
                *answer.downcast().expect("a job answers with what its effect does");
            read.map(Some).map_err(|error| {
                tracing::error!(%error, "a file of a client cannot be read: see `plexichat verify`");
                Refusal::StoreDamaged.into()
            })
        })
    }
}

/// A piece, `None` after the last.
pub type NextPiece<'d> = Pin<Box<dyn Future<Output = Result<Option<Bytes>>> + 'd>>;

/// Where a stream comes from.
pub trait Pieces {
    /// The next piece: at most [`crate::limits::PIECE_LEN`] bytes, and not none. After an error the connection ends,
    /// as the client has the head already.
    fn next<'d>(&'d mut self, desk: &'d dyn Desk) -> NextPiece<'d>;
}

/// What is answered when files of clients cannot be had for a while; `None` when it is the file's fault.
pub fn refused_for_now(error: &io::Error) -> Option<Error> {
    let why = "Files are not available at the moment; try again in a few seconds";
    let is_away = error.kind() == io::ErrorKind::TimedOut;
    is_away.then(|| Error { retry_after_ms: Some(5_000), ..Error::new(503, why) })
}

impl Content {
    /// A file that was opened.
    pub fn file(opened: Opened, source: Source) -> Content {
        match opened {
            Opened::Short(bytes) => Content::Short(bytes),
            Opened::Long(blob) => Content::File(Part::whole(blob, source)),
        }
    }

    /// The bytes, if they are here.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Content::Shared(bytes) | Content::Short(bytes) => Some(bytes),
            Content::File(_) | Content::Stream(_) => None,
        }
    }

    /// Bytes of the whole body, if that is known.
    pub fn known_len(&self) -> Option<u64> {
        match self {
            Content::Shared(bytes) | Content::Short(bytes) => Some(bytes.len() as u64),
            Content::File(part) => Some(part.left),
            Content::Stream(_) => None,
        }
    }

    /// Leaves so many bytes from `start` on, both within its length.
    pub fn narrow(&mut self, start: u64, len: u64) {
        match self {
            Content::Shared(bytes) | Content::Short(bytes) => {
                *bytes = bytes.slice(start as usize..(start + len) as usize)
            }
            Content::File(part) => (part.at, part.left) = (part.at + start, len),
            Content::Stream(_) => unreachable!("only what has a length has parts"),
        }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({:?})", self.known_len())
    }
}
