//! The clocks, read once per turn.
//!
//! Owns: what "now" means.
//! - Wall time goes into what people see (`created_at`, headers, the milliseconds of ids). It steps, both ways,
//!   whenever somebody sets it.
//! - Steady time is what pauses and lives are measured and stored in: sessions, locks, slowmode, invites, deletions.
//!   While the process runs it takes part in no step of more than [`STEP_MIN_MS`]. At a start it goes on where the
//!   store has left it, and adds what wall time says has passed since. So it is the wall time of a machine whose clock
//!   was never set. What is stored in it is shown with the difference of the two.
//! - Monotonic time measures within the process (deadlines, rate limits).
//!
//! Invariant: code that handles a request or an event takes a [`Turn`] and asks no clock itself, so one
//! turn sees one time and tests pass in any time they like.

use std::mem;
use std::sync::atomic::{AtomicI64, Ordering};

/// A difference between the clocks that counts as a step. Larger than what passes between two readings in a row,
/// smaller than what anybody notices; NTP slews both clocks alike.
const STEP_MIN_MS: u64 = 10;
const NS_PER_MS: i64 = 1_000_000;

/// Steady minus monotonic time, in milliseconds; as [`start`] has found it.
static STEADY_BASE_MS: AtomicI64 = AtomicI64::new(0);
/// Wall minus steady time, in milliseconds; as the last look of a [`StepWatch`] has found it.
static OFFSET_MS: AtomicI64 = AtomicI64::new(0);

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

/// One reading of the clocks: "now" for everything a core does in one turn of its loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Milliseconds since 1970 by the wall clock.
    pub unix_ms: u64,
    /// Milliseconds of steady time.
    pub steady_ms: u64,
    /// Milliseconds of [`monotonic_ms`].
    pub monotonic_ms: u64,
}

impl Turn {
    /// Reads both clocks (two vDSO calls, about 40 ns).
    pub fn now() -> Self {
        Self::now_with_ns().0
    }

    /// The same, and the monotonic reading in nanoseconds, which costs nothing more.
    pub fn now_with_ns() -> (Self, u64) {
        let nanoseconds = monotonic_ns();
        let (unix_ms, monotonic_ms) = (now_unix_ms(), nanoseconds / 1_000_000);
        let (base_ms, offset_ms) =
            (STEADY_BASE_MS.load(Ordering::Relaxed), OFFSET_MS.load(Ordering::Relaxed));
        let steady_ms = steady(unix_ms, monotonic_ms, base_ms, offset_ms);
        (Self { unix_ms, steady_ms, monotonic_ms }, nanoseconds)
    }

    /// A moment of a machine whose clock was never set, for tests and simulations.
    pub const fn at(unix_ms: u64, monotonic_ms: u64) -> Self {
        Self { unix_ms, steady_ms: unix_ms, monotonic_ms }
    }

    /// The turn `ms` later, for tests and simulations.
    #[must_use]
    pub fn after(self, ms: u64) -> Self {
        Self {
            unix_ms: self.unix_ms + ms,
            steady_ms: self.steady_ms + ms,
            monotonic_ms: self.monotonic_ms + ms,
        }
    }
}

/// Steady time. Between two steps it differs from wall time by the same amount to the millisecond, though the clocks
/// are read one after the other: what lives for an hour is shown to live for an hour.
fn steady(unix_ms: u64, monotonic_ms: u64, base_ms: i64, offset_ms: i64) -> u64 {
    let exact = monotonic_ms.saturating_add_signed(base_ms);
    let even = unix_ms.saturating_add_signed(-offset_ms);
    if even.abs_diff(exact) <= STEP_MIN_MS { even } else { exact }
}

/// Lets steady time begin at `steady_ms`. Called once, before anything asks for a [`Turn`] that matters.
pub fn start(steady_ms: u64) {
    let (before, unix, _) = closest();
    let ms = |ns: i64| (ns / NS_PER_MS).cast_unsigned();
    let (unix_ms, monotonic_ms) = (ms(unix), ms(before));
    STEADY_BASE_MS.store(steady_ms.wrapping_sub(monotonic_ms).cast_signed(), Ordering::Relaxed);
    OFFSET_MS.store(unix_ms.wrapping_sub(steady_ms).cast_signed(), Ordering::Relaxed);
}

/// Steady time when a process starts at `now_ms` of the wall clock on a store that was last changed at `last`, steady
/// and wall time. A clock that was set back meanwhile costs the time between, one that was set forwards its step.
pub fn steady_at_start(now_ms: u64, last: Option<(u64, u64)>) -> u64 {
    match last {
        Some((steady_ms, unix_ms)) => steady_ms.saturating_add(now_ms.saturating_sub(unix_ms)),
        None => now_ms,
    }
}

/// Notices when the wall clock is set. One thread looks.
pub struct StepWatch {
    /// Wall minus monotonic time, in nanoseconds.
    offset_ns: i64,
}

impl Default for StepWatch {
    fn default() -> StepWatch {
        let (before, unix, _) = closest();
        StepWatch { offset_ns: unix - before }
    }
}

impl StepWatch {
    /// By how many milliseconds the clock was set since the last look: forwards, or backwards when negative.
    pub fn look(&mut self) -> Option<i64> {
        let (before, unix, after) = between();
        let step_ms = self.judge(before, unix, after)?;
        OFFSET_MS.fetch_add(step_ms, Ordering::Relaxed);
        Some(step_ms)
    }

    /// The wall clock was read between two readings of the other: a thread that did not run for a while is no step.
    fn judge(&mut self, before: i64, unix: i64, after: i64) -> Option<i64> {
        let since = |monotonic: i64| unix.saturating_sub(monotonic).saturating_sub(self.offset_ns);
        let (low, high) = (since(after), since(before));
        let nearest = if low > 0 { low } else { high.min(0) };
        if nearest.unsigned_abs() <= STEP_MIN_MS * NS_PER_MS.unsigned_abs() {
            return None;
        }
        let step_ms = nearest.saturating_add(nearest.signum() * NS_PER_MS / 2) / NS_PER_MS;
        self.offset_ns += step_ms * NS_PER_MS;
        Some(step_ms)
    }
}

/// The wall clock between two readings of the monotonic one, in nanoseconds.
fn between() -> (i64, i64, i64) {
    let before = monotonic_ns().cast_signed();
    let unix = unix_ns();
    (before, unix, monotonic_ns().cast_signed())
}

/// The same, of several tries the one that was interrupted least.
fn closest() -> (i64, i64, i64) {
    let tries = std::iter::repeat_with(between).take(10);
    tries.min_by_key(|(before, _, after)| after - before).expect("there are ten")
}

/// Ends in the year 2262, should anybody set a clock so far.
fn unix_ns() -> i64 {
    let (seconds, nanoseconds) = read(libc::CLOCK_REALTIME);
    i64::try_from(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)).unwrap_or(i64::MAX)
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
        let later = first.after(5);
        assert_eq!(later.unix_ms, first.unix_ms + 5);
        assert_eq!(later.steady_ms, first.steady_ms + 5);
        assert_eq!(later.monotonic_ms, first.monotonic_ms + 5);
    }

    #[test]
    fn steady_time_takes_part_in_no_step() {
        const DAY: u64 = 86_400_000;
        // The machine is up for 1,000 ms; the clocks agree.
        let at = |unix_ms, monotonic_ms, offset_ms| steady(unix_ms, monotonic_ms, 9_000, offset_ms);
        assert_eq!(at(10_000, 1_000, 0), 10_000);
        // Read a moment apart: the wall clock counts, so that the difference stays what it is.
        assert_eq!(at(10_501, 1_500, 0), 10_501);
        // Set forwards, noticed or not.
        assert_eq!(at(10_600 + DAY, 1_600, 0), 10_600);
        assert_eq!(at(10_700 + DAY, 1_700, DAY as i64), 10_700);
        // And back, below where it was.
        assert_eq!(at(5_800, 1_800, DAY as i64), 10_800);
        assert_eq!(at(5_900, 1_900, -5_000), 10_900);
        assert_eq!(at(0, 1_900, 0), 10_900, "before 1970");
    }

    #[test]
    fn a_start_goes_on_where_the_store_was_left() {
        assert_eq!(steady_at_start(1_000, None), 1_000);
        assert_eq!(steady_at_start(1_000, Some((400, 400))), 1_000, "600 ms down");
        assert_eq!(
            steady_at_start(1_000, Some((400, 900))),
            500,
            "the clock was 500 ms ahead of it all the time"
        );
        assert_eq!(steady_at_start(1_000, Some((9_000, 9_000))), 9_000, "set back: it does not go backwards");
    }

    #[test]
    fn steps_are_told_from_pauses_of_the_thread() {
        const S: i64 = 1_000_000_000;
        let mut watch = StepWatch { offset_ns: 100 * S };
        assert_eq!(watch.judge(S, 101 * S, S), None);
        assert_eq!(watch.judge(2 * S, 105 * S, 9 * S), None, "the thread slept between two readings");
        assert_eq!(watch.judge(3 * S, 103 * S + 9_000_000, 3 * S), None, "9 ms");
        assert_eq!(watch.judge(4 * S, 104 * S + 86_400 * S, 4 * S), Some(86_400_000));
        assert_eq!(watch.judge(5 * S, 105 * S + 86_400 * S, 5 * S), None, "told once");
        assert_eq!(watch.judge(6 * S, 106 * S, 6 * S), Some(-86_400_000));
        assert_eq!(watch.judge(7 * S, 106 * S + S / 2, 7 * S), Some(-500));
        assert_eq!(watch.judge(8 * S, 107 * S + S / 2, 8 * S), None);
    }
}
