//! Searching, in slices that the search bounds by itself.

use super::lane::{Effect, Row};

pub static LANE: Row = Row {
    name: "search",
    // As of long reads, and not theirs: a page of results is to come within milliseconds.
    threads: |_| 2,
    // At 50 ms for the longest slice: 6 s, which nobody waits for any more.
    queue_len_max: |_| 256,
    // A core that wakes goes first, but whoever hashes or makes the index waits.
    niceness: 5,
    full: "Too many searches are going on; try again in a moment",
};

/// Whatever is to be looked for; it has where it looks.
pub struct Search<F>(pub F);

impl<T: Send + 'static, F: FnOnce() -> T + Send + 'static> Effect for Search<F> {
    type Answer = T;
    const LANE: &'static Row = &LANE;

    fn run(self) -> T {
        (self.0)()
    }
}
