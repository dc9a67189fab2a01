//! What a core's gateway counts of its work, until the socket layer takes it.

use super::protocol::CLOSES;
use crate::observe::HubWork;

#[derive(Default)]
pub struct Counters {
    /// Connections that were closed, ever, by row of [`CLOSES`].
    pub closes: [u64; CLOSES.len()],
    /// Dispatches given out.
    pub dispatch_count: u64,
    pub slow_consumer_count: u64,
    /// Frames of dispatches written by [`Hub::fill`](super::Hub::fill).
    pub frame_count: u64,
    pub work: HubWork,
}

impl Counters {
    /// A connection is closed with that. What answers the close of a client has no row: it was not the server's.
    pub fn closed_for(&mut self, code: u16, reason: &str) {
        let row = CLOSES.iter().position(|(_, close)| (close.code, close.reason) == (code, reason));
        if let Some(row) = row {
            self.closes[row] += 1;
        }
    }

    /// What was done since it was last asked, but for the frames.
    pub fn take_work(&mut self) -> HubWork {
        HubWork {
            dispatches: std::mem::take(&mut self.dispatch_count),
            slow_consumers: std::mem::take(&mut self.slow_consumer_count),
            ..std::mem::take(&mut self.work)
        }
    }
}
