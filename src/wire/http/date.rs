//! Unix seconds as an IMF-fixdate (RFC 9110 §5.6.7). The caller keeps the clock and the cached result.

pub const DATE_LEN: usize = 29;

const DAYS: &[u8; 21] = b"ThuFriSatSunMonTueWed"; // 1970-01-01 was a Thursday
const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
/// 9999-12-31T23:59:59Z: the format has four digits of year.
const SECONDS_MAX: u64 = 253_402_300_799;

/// `Sun, 06 Nov 1994 08:49:37 GMT`. Times past the year 9999 give its last second.
pub fn http_date(unix_seconds: u64) -> [u8; DATE_LEN] {
    let seconds = unix_seconds.min(SECONDS_MAX);
    let days = seconds / 86_400;
    let (year, month, day) = civil(days);
    let weekday = (days % 7) as usize * 3;
    let month = (month - 1) as usize * 3;

    let mut date = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    date[0..3].copy_from_slice(&DAYS[weekday..weekday + 3]);
    two_digits(&mut date, 5, day);
    date[8..11].copy_from_slice(&MONTHS[month..month + 3]);
    two_digits(&mut date, 12, year / 100);
    two_digits(&mut date, 14, year % 100);
    two_digits(&mut date, 17, seconds / 3_600 % 24);
    two_digits(&mut date, 20, seconds / 60 % 60);
    two_digits(&mut date, 23, seconds % 60);
    date
}

/// `20261127T210405Z` (ISO 8601, basic format): for names that sort by time.
pub fn basic_date(unix_seconds: u64) -> String {
    let seconds = unix_seconds.min(SECONDS_MAX);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

fn two_digits(date: &mut [u8; DATE_LEN], at: usize, value: u64) {
    date[at] = b'0' + (value / 10) as u8;
    date[at + 1] = b'0' + (value % 10) as u8;
}

/// Days since 1970-01-01 as (year, month 1..=12, day 1..=31). Years are counted from March, so that the leap
/// day is the last of its year (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days / 146_097; // 400 years
    let day_of_era = days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for (seconds, want) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_704_067_199, "Sun, 31 Dec 2023 23:59:59 GMT"),
            (1_704_067_200, "Mon, 01 Jan 2024 00:00:00 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (SECONDS_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(std::str::from_utf8(&http_date(seconds)).unwrap(), want);
        }
        assert_eq!(basic_date(951_782_400 + 3_661), "20000229T010101Z");
    }
}
