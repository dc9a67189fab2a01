//! Days and spans, as they are typed after `before:` and `after:`.

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// The moment that a text means, in Unix milliseconds: the beginning of a day, a month or a year in UTC, a minute of a
/// day, or a span before now. A month is 30 days, a year 365. `None` when it is none.
pub fn parse(text: &str, now_ms: u64) -> Option<u64> {
    match text.to_ascii_lowercase().as_str() {
        "now" => Some(now_ms),
        "today" => Some(now_ms / DAY_MS * DAY_MS),
        "yesterday" => Some((now_ms / DAY_MS).saturating_sub(1) * DAY_MS),
        text => span(text).map(|span| now_ms.saturating_sub(span)).or_else(|| moment(text)),
    }
}

/// `3d`, `2w`, `1m`, `1y`, `12h`.
fn span(text: &str) -> Option<u64> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_ms = match unit {
        "h" => HOUR_MS,
        "d" => DAY_MS,
        "w" => 7 * DAY_MS,
        "m" => 30 * DAY_MS,
        "y" => 365 * DAY_MS,
        _ => return None,
    };
    Some(number(count, 1..=6)?.saturating_mul(unit_ms))
}

fn moment(text: &str) -> Option<u64> {
    let (day, time) = match text.split_once('t') {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let time_ms = match time {
        Some(time) => clock(time.strip_suffix('z').unwrap_or(time))?,
        None => 0,
    };
    Some(day_ms(day, time.is_some())? + time_ms)
}

/// `18:30`, `18:30:15`.
fn clock(text: &str) -> Option<u64> {
    let mut parts = text.split(':');
    let mut part = |max: u64| number(parts.next()?, 1..=2).filter(|part| *part <= max);
    let (hour, minute) = (part(23)?, part(59)?);
    let second = match parts.next() {
        Some(second) => number(second, 1..=2).filter(|second| *second <= 59)?,
        None => 0,
    };
    parts.next().is_none().then_some(hour * HOUR_MS + minute * MINUTE_MS + second * 1_000)
}

/// `2024-06-01`, `2024/6/1`, `2024.06.01`, `20240601`, `1.6.2024`, and unless a time follows `2024-06` and `2024`.
fn day_ms(text: &str, is_whole: bool) -> Option<u64> {
    if text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return civil(number(&text[..4], 4..=4)?, number(&text[4..6], 2..=2)?, number(&text[6..], 2..=2)?);
    }
    let separator = text.find(['-', '/', '.']).map_or('-', |at| text.as_bytes()[at] as char);
    let parts: Vec<&str> = text.splitn(4, separator).collect();
    let two = |part: &str| number(part, 1..=2);
    match parts[..] {
        [day, month, year] if separator == '.' && year.len() == 4 => {
            civil(number(year, 4..=4)?, two(month)?, two(day)?)
        }
        [year, month, day] => civil(number(year, 4..=4)?, two(month)?, two(day)?),
        [year, month] if !is_whole => civil(number(year, 4..=4)?, two(month)?, 1),
        [year] if !is_whole => civil(number(year, 4..=4)?, 1, 1),
        _ => None,
    }
}

fn number(text: &str, lens: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let is_number = lens.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// When a day of the Gregorian calendar begins; what is before 1970 counts as that.
fn civil(year: u64, month: u64, day: u64) -> Option<u64> {
    const LENS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let len = |month: u64| LENS[month as usize - 1] + u64::from(month == 2 && is_leap);
    if year == 0 || !(1..=12).contains(&month) || !(1..=len(month)).contains(&day) {
        return None;
    }
    let before = year - 1;
    let days = before * 365 + before / 4 - before / 100 + before / 400;
    let days = days + (1..month).map(len).sum::<u64>() + day - 1;
    // Days from the first of the year 1 to 1970.
    Some(days.saturating_sub(719_162) * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T12:00:00Z.
    const NOW_MS: u64 = 1_767_225_600_000 + 12 * HOUR_MS;

    #[test]
    fn days_and_spans() {
        let check = |text: &str, want: Option<u64>| assert_eq!(parse(text, NOW_MS), want, "{text}");
        let june = Some(1_717_200_000_000);
        for text in ["2024-06-01", "2024-6-1", "2024/06/01", "2024.6.1", "20240601", "1.6.2024", "2024-06"] {
            check(text, june);
        }
        check("2024", Some(1_704_067_200_000));
        check("2024-02-29", Some(1_709_164_800_000));
        check("2024-06-01T18:30", june.map(|ms| ms + 18 * HOUR_MS + 30 * MINUTE_MS));
        check("2024-06-01t01:02:03Z", june.map(|ms| ms + HOUR_MS + 2 * MINUTE_MS + 3_000));
        check("1d", Some(NOW_MS - DAY_MS));
        check("2W", Some(NOW_MS - 14 * DAY_MS));
        check("1m", Some(NOW_MS - 30 * DAY_MS));
        check("1y", Some(NOW_MS - 365 * DAY_MS));
        check("6h", Some(NOW_MS - 6 * HOUR_MS));
        check("999999y", Some(0));
        check("today", Some(1_767_225_600_000));
        check("Yesterday", Some(1_767_225_600_000 - DAY_MS));
        check("1950-05-05", Some(0));
        check("9999-12-31", Some(253_402_214_400_000));
        for text in [
            "",
            "d",
            "3",
            "-1d",
            "1.5d",
            "3x",
            "soon",
            "2023-02-29",
            "2024-13-01",
            "2024-00-01",
            "2024-06-31",
            "2024-06-00",
            "0000-01-01",
            "24-06-01",
            "2024-06-01T",
            "2024-06-01T24:00",
            "2024-06-01T1:60",
            "2024T10:00",
            "2024-06-01-01",
            "2024-6",
            "１d",
            "1234567d",
        ] {
            if text != "2024-6" {
                check(text, None);
            }
        }
    }
}
