//! How a task gets the pieces of a body that is a stream.
//!
//! A task cannot read a socket. It leaves word that it waits for a piece ([`Pieces::next`]); whoever runs it sees that
//! ([`Pieces::is_asked`]), gets the piece, puts it here, and lets the task go on.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::Poll;

use crate::domain::Result;

/// A piece, or `None` at the end of the body.
pub type Piece = Result<Option<Vec<u8>>>;

/// Between a task and whoever runs it.
#[derive(Default)]
pub struct Pieces(RefCell<Exchange>);

#[derive(Default)]
enum Exchange {
    #[default]
    Idle,
    Asked,
    Given(Piece),
}

impl Pieces {
    /// Waits for the next piece.
    pub async fn next(&self) -> Piece {
        poll_fn(|_| match self.0.take() {
            Exchange::Given(piece) => Poll::Ready(piece),
            Exchange::Idle | Exchange::Asked => {
                self.0.replace(Exchange::Asked);
                Poll::Pending
            }
        })
        .await
    }

    /// The task waits for a piece.
    pub fn is_asked(&self) -> bool {
        matches!(*self.0.borrow(), Exchange::Asked)
    }

    pub fn give(&self, piece: Piece) {
        self.0.replace(Exchange::Given(piece));
    }
}
