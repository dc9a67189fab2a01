//! Reading that may take milliseconds: scans and histories, in a snapshot that the job opens for itself.

use super::lane::{Effect, Row};

pub static LANE: Row = Row {
    name: "read",
    // The store is in memory as a rule: more would only take turns on the processors that the cores leave.
    threads: |_| 2,
    // At 60 ms for the longest: 8 s, which nobody waits for any more.
    queue_len_max: |_| 256,
    // A core that wakes goes first, as beside hashing.
    niceness: 19,
    full: "Too many long lists are being put together; try again in a moment",
};

/// Whatever is to be read; it has what it reads from.
pub struct Read<F>(pub F);

impl<T: Send + 'static, F: FnOnce() -> T + Send + 'static> Effect for Read<F> {
    type Answer = T;
    const LANE: &'static Row = &LANE;

    fn run(self) -> T {
        (self.0)()
    }
}
