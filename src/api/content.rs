//! Bodies of answers that their handler has not written into memory of its own.
//!
//! Invariant: a connection holds one piece of such a body, and the client's reading of it is what gets the next.

use std::pin::Pin;

use bytes::Bytes;

use super::ctx::Desk;
use crate::domain::Result;

/// Where the body of an answer comes from.
pub enum Content {
    /// Bytes that are the same for everybody, or part of them.
    Shared(Bytes),
    /// Pieces of which nobody knows how many come. Has no ranges, and no length for HEAD.
    Stream(Box<dyn Pieces>),
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
            Content::Stream(_) => None,
        }
    }

    /// Leaves so many bytes from `start` on, both within its length.
    pub fn narrow(&mut self, start: u64, len: u64) {
        match self {
            Content::Shared(bytes) => *bytes = bytes.slice(start as usize..(start + len) as usize),
            Content::Stream(_) => unreachable!("only what has a length has parts"),
        }
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({:?})", self.known_len())
    }
}
