//! Which clock the server starts with, and whether to believe it.

use crate::domain::machine::{last_id_ms, last_moment};
use crate::runtime::clock::{now_unix_ms, start, steady_at_start};
use crate::store::Store;
use crate::wire::http::http_date;

/// The day on which this version was made: no clock that is right shows an earlier one. 2026-01-01T00:00:00Z.
const MADE_MS: u64 = 1_767_225_600_000;
const YEAR_MS: u64 = 365 * 86_400_000;
/// A store that has not been used for longer is an archive, or the clock is wrong.
const IDLE_YEARS_MAX: u64 = 2;
/// A version that old should have been replaced, or the clock is wrong.
const AGE_YEARS_MAX: u64 = 10;
/// From when on it is told that ids are ahead of the clock: bursts make them so by milliseconds.
const IDS_AHEAD_TOLD_MS: u64 = 1_000;

/// Lets steady time go on where the store has left it.
///
/// # Errors
/// One sentence, when the clock is not to be believed and `any_clock` does not say otherwise.
pub fn start_clock(store: &Store, any_clock: bool) -> Result<(), String> {
    let snapshot = store.snapshot();
    let (now_ms, last) = (now_unix_ms(), last_moment(snapshot.read()));
    let last_unix_ms = last.map(|last| last.unix_ms);
    if let Err(problem) = check(now_ms, last_unix_ms) {
        if !any_clock {
            return Err(format!(
                "{problem}: set the clock (`timedatectl`), or start with --any-clock if it is right"
            ));
        }
        tracing::warn!("{problem}; started all the same, as --any-clock says");
    }
    start(steady_at_start(now_ms, last.map(|last| (last.steady_ms, last.unix_ms))));
    let behind_ms = last_unix_ms.unwrap_or(0).saturating_sub(now_ms);
    if behind_ms > 0 {
        tracing::warn!(
            behind_ms,
            "the system clock is behind the last change of the store: it was set backwards"
        );
    }
    let ids_ahead_ms = last_id_ms(snapshot.read()).unwrap_or(0).saturating_sub(now_ms);
    if ids_ahead_ms > IDS_AHEAD_TOLD_MS {
        tracing::warn!(ids_ahead_ms, "IDs are ahead of the system clock and stay so until it catches up");
    }
    Ok(())
}

/// Whether a clock can be right, on a store that was last changed at `last_unix_ms`.
fn check(now_ms: u64, last_unix_ms: Option<u64>) -> Result<(), String> {
    let day = |unix_ms: u64| String::from_utf8_lossy(&http_date(unix_ms / 1_000)).into_owned();
    let reason = match last_unix_ms {
        _ if now_ms < MADE_MS => "before this version was made".to_string(),
        Some(last_ms) if now_ms > last_ms.max(MADE_MS) + IDLE_YEARS_MAX * YEAR_MS => {
            format!("more than {IDLE_YEARS_MAX} years after the last change of the store, {}", day(last_ms))
        }
        None if now_ms > MADE_MS + AGE_YEARS_MAX * YEAR_MS => {
            format!("more than {AGE_YEARS_MAX} years after this version was made")
        }
        _ => return Ok(()),
    };
    Err(format!("the system clock shows {}, {reason}", day(now_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_clocks_are_refused_with_what_they_show() {
        let problem = |now_ms, last| check(now_ms, last).err().unwrap_or_default();
        let made = "the system clock shows Thu, 01 Jan 1970 00:00:00 GMT, before this version was made";
        assert_eq!(problem(0, None), made);
        assert_eq!(problem(0, Some(MADE_MS)), made);
        assert!(problem(MADE_MS - 1, None).contains("31 Dec 2025 23:59:59"));
        let later = MADE_MS + 20 * YEAR_MS;
        assert!(problem(later, None).ends_with("more than 10 years after this version was made"));
        let stored = problem(later, Some(MADE_MS + YEAR_MS));
        assert!(
            stored.ends_with("2 years after the last change of the store, Fri, 01 Jan 2027 00:00:00 GMT")
        );
    }

    #[test]
    fn others_are_not() {
        for (now_ms, last) in [
            (MADE_MS, None),
            (MADE_MS + 9 * YEAR_MS, None),
            (MADE_MS + 2 * YEAR_MS, Some(MADE_MS)),
            // Days ahead and behind; pauses and lives bear that.
            (MADE_MS + 31 * 86_400_000, Some(MADE_MS)),
            (MADE_MS, Some(MADE_MS + 86_400_000)),
            // What a clock that was years ahead has left behind.
            (MADE_MS + YEAR_MS, Some(MADE_MS + 20 * YEAR_MS)),
            // A store of before.
            (MADE_MS + YEAR_MS, Some(1)),
        ] {
            assert_eq!(check(now_ms, last), Ok(()), "{now_ms} {last:?}");
        }
    }
}
