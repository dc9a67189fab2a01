//! The two clocks, read once per turn.
//!
//! Owns: what "now" means. Wall time goes into what people see (timestamps, headers, ids), monotonic
//! time into everything that measures (deadlines, rate limits): it never steps when the wall clock is set.
//! Invariant: code that handles a request or an event takes a [`Turn`] and asks no clock itself, so one
//! turn sees one time and tests pass in any time they like.

use std::mem;

/// Milliseconds since 1970-01-01T00:00:00Z. May step, both ways, when the clock is set.
pub fn now_unix_ms() -> u64 {
    read_ms(libc::CLOCK_REALTIME)
}

/// Milliseconds since an arbitrary point (boot). Never goes backwards, the same on every core.
pub fn monotonic_ms() -> u64 {
    read_ms(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds on the clock of [`monotonic_ms`]: for measuring how long something took. One vDSO call.
pub fn monotonic_ns() -> u64 {
    let (seconds, nanoseconds) = read(libc::CLOCK_MONOTONIC);
    seconds * 1_000_000_000 + nanoseconds
}

fn read_ms(clock: libc::clockid_t) -> u64 {
    let (seconds, nanoseconds) = read(clock);
    seconds * 1000 + nanoseconds / 1_000_000
}

/// Seconds, and the nanoseconds of the second.
fn read(clock: libc::clockid_t) -> (u64, u64) {
    // SAFETY: timespec is two integers, for which zero is a value.
    let mut time: libc::timespec = unsafe { mem::zeroed() };
    // SAFETY: `time` is writable; both clocks exist on every Linux, so the call cannot fail.
    let status = unsafe { libc::clock_gettime(clock, &mut time) };
    debug_assert_eq!(status, 0, "clock_gettime");
    // A wall clock before 1970 reads as 0: wrong either way, but without a panic.
    (u64::try_from(time.tv_sec).unwrap_or(0), time.tv_nsec as u64)
}

/// One reading of both clocks: "now" for everything a core does in one turn of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Milliseconds since 1970.
    pub unix_ms: u64,
    /// Milliseconds of [`monotonic_ms`].
    pub monotonic_ms: u64,
}

impl Turn {
    /// Reads both clocks (two vDSO calls, about 40 ns).
    pub fn now() -> Self {
        Self { unix_ms: now_unix_ms(), monotonic_ms: monotonic_ms() }
    }

    /// The same, and the monotonic reading in nanoseconds, which costs nothing more.
    pub fn now_with_ns() -> (Self, u64) {
        let nanoseconds = monotonic_ns();
        (Self { unix_ms: now_unix_ms(), monotonic_ms: nanoseconds / 1_000_000 }, nanoseconds)
    }

    /// The turn `ms` later, for tests and simulations.
    #[must_use]
    pub fn after(self, ms: u64) -> Self {
        Self { unix_ms: self.unix_ms + ms, monotonic_ms: self.monotonic_ms + ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_plausible_and_ordered() {
        let first = Turn::now();
        let second = Turn::now();
        assert!(first.unix_ms > 1_700_000_000_000, "later than 2023");
        assert!(second.monotonic_ms >= first.monotonic_ms);
        let (third, nanoseconds) = Turn::now_with_ns();
        assert!(third.monotonic_ms >= second.monotonic_ms);
        assert_eq!(third.monotonic_ms, nanoseconds / 1_000_000);
        assert!(monotonic_ns() >= nanoseconds);
        assert_eq!(first.after(5).unix_ms, first.unix_ms + 5);
        assert_eq!(first.after(5).monotonic_ms, first.monotonic_ms + 5);
    }
}
