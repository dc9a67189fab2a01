//! One rate-limit bucket as the operator writes it: `"5+3/5s token; 20/h"`.
//!
//! ```text
//! bucket    = "off" | limit algorithm *( ";" cap )
//! limit     = REQUESTS [ "+" BURST ] "/" window
//! cap       = REQUESTS "/" window            whole seconds
//! algorithm = "token" | "sliding" | "fixed"
//! window    = [COUNT] unit | COUNT           "60s", "250ms", "h", and "60" for seconds
//! unit      = "ms" | "s" | "m" | "h" | "d"
//! ```

use std::fmt;
use std::str::FromStr;

/// How a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `requests` tokens are refilled per window; the bucket holds `requests + burst`.
    TokenBucket,
    /// At most `requests + burst` in any window, estimated from two adjacent fixed windows.
    SlidingWindow,
    /// At most `requests + burst` per window that begins with the first request.
    FixedWindow,
}

/// An additional fixed-window ceiling, such as 20 per hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub requests: u32,
    pub window_s: u32,
}

/// The limits of one bucket. `requests == 0` switches the bucket off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSpec {
    pub algorithm: Algorithm,
    pub requests: u32,
    pub burst: u32,
    pub window_ms: u32,
    pub caps: Vec<Cap>,
}

/// Requests of one limit. `requests + burst` and their product with a tier's multiplier stay within `u32`.
pub const REQUESTS_MAX: u32 = 10_000_000;
/// The longest window: 7 days, 604,800,000 ms.
pub const WINDOW_MS_MAX: u32 = 7 * 24 * 3600 * 1000;
/// Ceilings beside the limit itself: minute, hour, day, week.
pub const CAP_COUNT_MAX: usize = 4;

const _: () = assert!((REQUESTS_MAX as u64) * 2 * 100 < u32::MAX as u64);

/// Longest unit first, so that the first that divides is the one to print.
const UNITS: [(&str, u32); 5] =
    [("d", 24 * 3600 * 1000), ("h", 3600 * 1000), ("m", 60 * 1000), ("s", 1000), ("ms", 1)];

const ALGORITHMS: [(&str, Algorithm); 3] = [
    ("token", Algorithm::TokenBucket),
    ("sliding", Algorithm::SlidingWindow),
    ("fixed", Algorithm::FixedWindow),
];

impl BucketSpec {
    /// A bucket that never refuses.
    pub const OFF: BucketSpec = BucketSpec {
        algorithm: Algorithm::TokenBucket,
        requests: 0,
        burst: 0,
        window_ms: 1000,
        caps: Vec::new(),
    };

    #[must_use]
    pub fn is_off(&self) -> bool {
        self.requests == 0
    }
}

impl FromStr for BucketSpec {
    type Err = String;

    /// # Errors
    /// One sentence that names the part which does not fit the grammar.
    fn from_str(text: &str) -> Result<BucketSpec, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("off") {
            return Ok(BucketSpec::OFF);
        }
        let mut parts = text.split(';').map(str::trim);
        let first = parts.next().expect("split gives at least one part");
        let (limit, algorithm) = first
            .rsplit_once(char::is_whitespace)
            .ok_or_else(|| format!("`{first}` needs an algorithm after it: token, sliding or fixed"))?;
        let algorithm = parse_algorithm(algorithm)?;
        let (count, window) = split_limit(limit.trim())?;
        let (requests, burst) = match count.split_once('+') {
            Some((requests, burst)) => (parse_requests(requests)?, parse_burst(burst)?),
            None => (parse_requests(count)?, 0),
        };
        let caps = parts.map(parse_cap).collect::<Result<Vec<Cap>, String>>()?;
        if caps.len() > CAP_COUNT_MAX {
            return Err(format!("{} further limits, at most {CAP_COUNT_MAX} are possible", caps.len()));
        }
        Ok(BucketSpec { algorithm, requests, burst, window_ms: parse_window(window)?, caps })
    }
}

fn split_limit(text: &str) -> Result<(&str, &str), String> {
    text.split_once('/').ok_or_else(|| format!("`{text}` is not REQUESTS/WINDOW, such as 5/60s"))
}

fn parse_algorithm(text: &str) -> Result<Algorithm, String> {
    ALGORITHMS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text))
        .map(|(_, algorithm)| *algorithm)
        .ok_or_else(|| format!("`{text}` is not an algorithm: token, sliding or fixed"))
}

fn parse_requests(text: &str) -> Result<u32, String> {
    match text.trim().parse::<u32>() {
        Ok(0) => Err("0 requests: write \"off\" for no limit".to_owned()),
        Ok(requests) if requests <= REQUESTS_MAX => Ok(requests),
        _ => Err(format!("`{}` is not a number of requests, 1..{REQUESTS_MAX}", text.trim())),
    }
}

fn parse_burst(text: &str) -> Result<u32, String> {
    match text.trim().parse::<u32>() {
        Ok(burst) if burst <= REQUESTS_MAX => Ok(burst),
        _ => Err(format!("`{}` is not a burst, 0..{REQUESTS_MAX}", text.trim())),
    }
}

fn parse_cap(text: &str) -> Result<Cap, String> {
    let (count, window) = split_limit(text)?;
    let window_ms = parse_window(window)?;
    if !window_ms.is_multiple_of(1000) {
        return Err(format!("`{text}`: a further limit counts whole seconds"));
    }
    Ok(Cap { requests: parse_requests(count)?, window_s: window_ms / 1000 })
}

/// A window in ms, 1..=[`WINDOW_MS_MAX`].
fn parse_window(text: &str) -> Result<u32, String> {
    let text = text.trim();
    let wrong = || format!("`{text}` is not a window, such as 250ms, 60s, h or 7d (7 days at most)");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let unit = unit.trim();
    let unit_ms = match UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
        Some((_, unit_ms)) => *unit_ms,
        None if unit.is_empty() && digits > 0 => 1000,
        None => return Err(wrong()),
    };
    let count = if count.is_empty() { 1 } else { count.parse::<u32>().map_err(|_| wrong())? };
    match count.checked_mul(unit_ms) {
        Some(window_ms @ 1..=WINDOW_MS_MAX) => Ok(window_ms),
        _ => Err(wrong()),
    }
}

/// Seconds up to ten minutes stay seconds (`60s`), because that is how limits are spoken of.
fn write_window(f: &mut fmt::Formatter<'_>, window_ms: u32) -> fmt::Result {
    let (unit, unit_ms) = UNITS
        .into_iter()
        .find(|(unit, unit_ms)| {
            window_ms.is_multiple_of(*unit_ms) && !(*unit == "m" && window_ms <= 10 * 60 * 1000)
        })
        .expect("every number is a multiple of 1 ms");
    match window_ms / unit_ms {
        1 if unit == "h" || unit == "d" => write!(f, "{unit}"),
        count => write!(f, "{count}{unit}"),
    }
}

impl fmt::Display for BucketSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_off() {
            return f.write_str("off");
        }
        write!(f, "{}", self.requests)?;
        if self.burst > 0 {
            write!(f, "+{}", self.burst)?;
        }
        f.write_str("/")?;
        write_window(f, self.window_ms)?;
        let name = ALGORITHMS.iter().find(|(_, algorithm)| *algorithm == self.algorithm);
        write!(f, " {}", name.expect("all three are listed").0)?;
        for cap in &self.caps {
            write!(f, "; {}/", cap.requests)?;
            write_window(f, cap.window_s * 1000)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, want: &str) {
        let got = match input.parse::<BucketSpec>() {
            Ok(spec) => {
                assert_eq!(spec.to_string().parse(), Ok(spec.clone()), "{input} does not survive printing");
                spec.to_string()
            }
            Err(error) => format!("Err({error})"),
        };
        assert_eq!(got, want, "{input}");
    }

    #[test]
    fn accepts_the_grammar() {
        for same in
            ["100+50/60s token", "5/60s fixed; 20/h", "1+1/250ms token", "3/60s fixed; 10/h; 20/d", "off"]
        {
            check(same, same);
        }
        check(" 5+3 / 5  token ;20/1h;  7/2m", "5+3/5s token; 20/h; 7/120s");
        check("5+0/3600s SLIDING", "5/h sliding");
        check("9/m fixed", "9/60s fixed");
        check("9/90m fixed", "9/90m fixed");
        check("9/7d fixed", "9/7d fixed");
        check("OFF", "off");
    }

    #[test]
    fn parts_mean_what_they_say() {
        let want = BucketSpec {
            algorithm: Algorithm::SlidingWindow,
            requests: 120,
            burst: 20,
            window_ms: 60_000,
            caps: vec![Cap { requests: 3600, window_s: 3600 }, Cap { requests: 50_000, window_s: 86_400 }],
        };
        assert_eq!("120+20/60s sliding; 3600/h; 50000/d".parse(), Ok(want));
    }

    #[test]
    fn refuses_the_rest() {
        check("", "Err(`` needs an algorithm after it: token, sliding or fixed)");
        check("5/60s", "Err(`5/60s` needs an algorithm after it: token, sliding or fixed)");
        check("5/60s leaky", "Err(`leaky` is not an algorithm: token, sliding or fixed)");
        check("5 token", "Err(`5` is not REQUESTS/WINDOW, such as 5/60s)");
        check("0/60s token", "Err(0 requests: write \"off\" for no limit)");
        check("-1/60s token", "Err(`-1` is not a number of requests, 1..10000000)");
        check("99999999999/60s token", "Err(`99999999999` is not a number of requests, 1..10000000)");
        check("5+x/60s token", "Err(`x` is not a burst, 0..10000000)");
        let window = |text: &str| {
            format!("Err(`{text}` is not a window, such as 250ms, 60s, h or 7d (7 days at most))")
        };
        check("5/0s token", &window("0s"));
        check("5/8d token", &window("8d"));
        check("5/9999999d token", &window("9999999d"));
        check("5/1w token", &window("1w"));
        check("5/ token", &window(""));
        check("5/60s token; 20/250ms", "Err(`20/250ms`: a further limit counts whole seconds)");
        check("5/60s token;", "Err(`` is not REQUESTS/WINDOW, such as 5/60s)");
        check("5/60s token; 1/h; 1/h; 1/h; 1/h; 1/h", "Err(5 further limits, at most 4 are possible)");
    }
}
