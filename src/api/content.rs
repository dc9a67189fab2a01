//! Bodies of answers that their handler has not written into memory of its own.
//!
//! Invariant: a connection holds one piece of such a body, and the client's reading of it is what gets the next.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use super::ctx::Desk;
use crate::domain::{Refusal, Result};
use crate::effect::disk::ReadAt;
use crate::effect::{Job, Source};
use crate::limits::PIECE_LEN;
use crate::store::blobs::Blob;

/// Where the body of an answer comes from.
pub enum Content {
    /// Bytes that are the same for everybody, or part of them.
    Shared(Bytes),
    /// A file, or part of one: read by the lane of the disk, as the client takes it.
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
}

impl Pieces for Part {
    fn next<'d>(&'d mut self, desk: &'d dyn Desk) -> NextPiece<'d> {
        let len = self.left.min(PIECE_LEN as u64);
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

impl Content {
    /// Bytes of the whole body, if that is known.
    pub fn known_len(&self) -> Option<u64> {
        match self {
            Content::Shared(bytes) => Some(bytes.len() as u64),
            Content::File(part) => Some(part.left),
            Content::Stream(_) => None,
        }
    }

    /// Leaves so many bytes from `start` on, both within its length.
    pub fn narrow(&mut self, start: u64, len: u64) {
        match self {
            Content::Shared(bytes) => *bytes = bytes.slice(start as usize..(start + len) as usize),
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
