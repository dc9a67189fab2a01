//! Moments as pages show them and as their fields take them: in UTC, to the minute.

const DAY_MS: u64 = 86_400_000;
/// The last second of the year 9999: what lies behind it is no date.
const UNIX_MS_MAX: u64 = 253_402_300_799_999;

/// `2026-11-27T23:25:07Z`, for programs.
pub fn exact(unix_ms: u64) -> String {
    let (year, month, day, second) = civil(unix_ms);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `2026-11-27 23:25 UTC`, for people.
pub fn readable(unix_ms: u64) -> String {
    let text = exact(unix_ms);
    format!("{} {} UTC", &text[..10], &text[11..16])
}

/// What a field of a form holds: `2026-11-27T23:25`, with or without seconds.
pub fn read(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next().unwrap_or(Some(0))?);
    let is_time = hour < 24 && minute < 60 && second < 60;
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || day == 0 || !is_time {
        return None;
    }
    let unix_ms = days_before(year, month, day) * DAY_MS + (hour * 3_600 + minute * 60 + second) * 1_000;
    // A day that the month does not have is one of the next.
    let (_, same_month, same_day, _) = civil(unix_ms);
    ((same_month, same_day) == (month, day)).then_some(unix_ms)
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.len() <= 4 && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a date, by years that begin in March (Howard Hinnant, "chrono-compatible low-level date
/// algorithms", `days_from_civil`).
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month, day and second of the day (the same, `civil_from_days`).
fn civil(unix_ms: u64) -> (u64, u64, u64, u64) {
    let unix_ms = unix_ms.min(UNIX_MS_MAX);
    let days = unix_ms / DAY_MS + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day, unix_ms % DAY_MS / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_as_they_are_shown() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (1_767_225_599_000, "2025-12-31T23:59:59Z"),
            (1_767_225_600_000, "2026-01-01T00:00:00Z"),
            (253_402_300_799_000, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(exact(unix_ms), text);
            assert_eq!(read(text.trim_end_matches('Z')), Some(unix_ms), "{text}");
        }
        assert_eq!(readable(1_767_225_600_000), "2026-01-01 00:00 UTC");
        assert_eq!(exact(u64::MAX), "9999-12-31T23:59:59Z");
        assert_eq!(read("2026-01-01T00:00"), Some(1_767_225_600_000));
        // Each day of some years, there and back.
        for day in 0..40_000 {
            let text = exact(day * DAY_MS);
            assert_eq!(read(&text[..19]), Some(day * DAY_MS), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment() {
        for text in [
            "",
            "2026-01-01",
            "2026-02-29T00:00",
            "2026-13-01T00:00",
            "2026-00-01T00:00",
            "2026-01-00T00:00",
            "2026-01-01T24:00",
            "2026-01-01T00:60",
            "1969-12-31T23:59",
            "+026-01-01T00:00",
            "20261-01-01T00:00",
            "2026-01-01T",
            "T00:00",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
