//! What the names of figures mean: the unit, how a person reads it, and whether less or more of it is better.
//!
//! Figures are named by scenarios, with the unit at the end (`posts_per_s`, `server_cpu_us_per_post`). Everything here
//! follows from the name, so that a scenario may add a figure without a row here.

use super::Report;

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    Count,
    PerSecond,
    Seconds,
    Microseconds,
    Milliseconds,
    Bytes,
    Kib,
    Cores,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Better {
    Less,
    More,
    /// Says something about the run, not about the server.
    Neither,
}

/// Words of a name that are a unit.
const UNITS: [(&str, Unit); 7] = [
    ("s", Unit::Seconds),
    ("ms", Unit::Milliseconds),
    ("us", Unit::Microseconds),
    ("bytes", Unit::Bytes),
    ("kib", Unit::Kib),
    ("cores", Unit::Cores),
    ("count", Unit::Count),
];

/// Counts of what should not happen have one of these in their name.
const FAULTS: [&str; 9] = [
    "failed",
    "sessions_dropped",
    "unanswered",
    "unsent",
    "lost",
    "missing",
    "repeated",
    "refused",
    "invalid",
];

/// The figures worth the most, best first; a name may be the beginning of several.
const RANKS: [&str; 12] = [
    "deliveries_per_s",
    "operations_per_s",
    "requests_per_s",
    "posts_per_s",
    "resumes_per_s",
    "server_cpu_s_per_",
    "server_cpu_us_per_",
    "server_total_bytes_per_session",
    "server_anon_bytes_per_session",
    "sessions_opened_per_s",
    "server_cpu_",
    "server_",
];

/// The latencies worth the most.
const LATENCY_RANKS: [&str; 5] = ["delivery", "delivery_to_all", "delivery_during", "caught_up", "post"];

/// Latencies of the gateway itself: they come last and are drawn apart, because they say little about the load.
pub const SESSION_LATENCIES: [&str; 6] = ["heartbeat", "resumed", "ready", "hello", "upgrade", "connect"];

/// The unit of a figure.
pub fn unit(name: &str) -> Unit {
    if name.ends_with("_per_s") {
        return Unit::PerSecond;
    }
    // In `a_us_per_b` the unit stands before the `per`.
    let of_what = name.split_once("_per_").map_or(name, |(unit, _)| unit);
    let words = of_what.split('_');
    let known = |word: &str| UNITS.iter().find(|(unit, _)| *unit == word).map(|(_, unit)| *unit);
    words.rev().find_map(known).unwrap_or(Unit::Count)
}

/// `server_cpu_us_per_post` → `server CPU per post`.
pub fn label(name: &str) -> String {
    let unit = unit(name);
    let is_unit =
        |word: &str| unit != Unit::PerSecond && UNITS.iter().any(|(u, of)| *u == word && *of == unit);
    let words = name.split('_').filter_map(|word| match word {
        "bytes" if name.starts_with("received_") => Some("bytes"),
        word if is_unit(word) => matches!(unit, Unit::Bytes | Unit::Kib).then_some("memory"),
        "cpu" if unit == Unit::Seconds && !name.contains("_per_") => Some("CPU time"),
        "cpu" => Some("CPU"),
        "anon" => Some("anonymous"),
        "rss" => Some("resident"),
        "shmem" => Some("shared"),
        word => Some(word),
    });
    let label = words.collect::<Vec<_>>().join(" ");
    // CPU time without further words is that of the measured part; opening and load as a whole are phases.
    if ["server_cpu_s", "server_cpu_cores", "client_cpu_cores"].contains(&name) {
        return label + " while measured";
    }
    match label.strip_suffix(" per s") {
        Some(rate) => format!("{rate} per second"),
        None => label,
    }
}

/// Which of two runs has done better. CPU time as such follows the load, so it says something only where no figure
/// per unit of work does (`per_work`).
pub fn better(name: &str, per_work: bool) -> Better {
    let faulty = FAULTS.iter().any(|fault| name.contains(fault));
    match unit(name) {
        _ if name.starts_with("client_") || name.starts_with("phase_") || name.ends_with("_before") => {
            Better::Neither
        }
        Unit::PerSecond if faulty => Better::Less,
        Unit::PerSecond => Better::More,
        Unit::Count if faulty => Better::Less,
        Unit::Count => Better::Neither,
        Unit::Seconds | Unit::Cores if name.starts_with("server_cpu") => {
            match name.contains("_per_") || !per_work {
                true => Better::Less,
                false => Better::Neither,
            }
        }
        Unit::Seconds if name == "measured_s" => Better::Neither,
        Unit::Bytes if name == "received_bytes" => Better::Neither,
        _ => Better::Less,
    }
}

/// Whether a report has CPU time per unit of work.
pub fn has_per_work(report: &Report) -> bool {
    report.gauges.keys().any(|name| name.starts_with("server_cpu_") && name.contains("_per_"))
}

/// Names in the order people want to see them.
pub fn ranked<'a, T>(names: impl Iterator<Item = (&'a String, T)>) -> Vec<(&'a String, T)> {
    let mut all: Vec<(&String, T)> = names.collect();
    all.sort_by_key(|(name, _)| RANKS.iter().position(|rank| name.starts_with(rank)).unwrap_or(RANKS.len()));
    all
}

/// Latencies in the order people want to see them.
pub fn ranked_latencies<'a, T>(names: impl Iterator<Item = (&'a String, T)>) -> Vec<(&'a String, T)> {
    let place = |list: &[&str], name: &str| list.iter().position(|known| *known == name);
    let mut all: Vec<(&String, T)> = names.collect();
    all.sort_by_key(|(name, _)| match place(&SESSION_LATENCIES, name) {
        Some(place) => LATENCY_RANKS.len() + 1 + place,
        None => place(&LATENCY_RANKS, name).unwrap_or(LATENCY_RANKS.len()),
    });
    all
}

/// A value with the unit and prefix that suit it.
pub fn value(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Count => count(value),
        Unit::PerSecond => format!("{}/s", si(value)),
        Unit::Seconds => duration(value * 1e6),
        Unit::Milliseconds => duration(value * 1e3),
        Unit::Microseconds => duration(value),
        Unit::Bytes => bytes(value),
        Unit::Kib => bytes(value * 1024.0),
        Unit::Cores => format!("{} cores", digits(value)),
    }
}

/// Microseconds as µs, ms or s.
pub fn duration(us: f64) -> String {
    match us.abs() {
        a if a < 999.5 => format!("{} µs", digits(us)),
        a if a < 999_500.0 => format!("{} ms", digits(us / 1e3)),
        _ => format!("{} s", digits(us / 1e6)),
    }
}

/// Bytes with binary prefixes.
pub fn bytes(bytes: f64) -> String {
    const PREFIXES: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes;
    let mut prefix = 0;
    while value.abs() >= 1023.5 && prefix + 1 < PREFIXES.len() {
        value /= 1024.0;
        prefix += 1;
    }
    format!("{} {}", digits(value), PREFIXES[prefix])
}

/// A number with a decimal prefix: `12.3 k`.
pub fn si(value: f64) -> String {
    match value.abs() {
        a if a < 999.5 => digits(value),
        a if a < 9_999.5 => count(value.round()),
        a if a < 999_500.0 => format!("{} k", digits(value / 1e3)),
        a if a < 999.5e6 => format!("{} M", digits(value / 1e6)),
        _ => format!("{} G", digits(value / 1e9)),
    }
}

/// The same for an axis: the prefix begins at 1 k, so that neighbours have the same.
pub fn tick(value: f64) -> String {
    if (1e3..1e4).contains(&value.abs()) { format!("{} k", digits(value / 1e3)) } else { si(value) }
}

/// Whole numbers in groups of three, others with three digits.
pub fn count(value: f64) -> String {
    if value.fract() != 0.0 || value.abs() >= 1e15 {
        return digits(value);
    }
    let text = format!("{:.0}", value.abs());
    let groups: Vec<&str> = text
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits are ASCII"))
        .collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
}

/// About three digits, and no more places than they need.
fn digits(value: f64) -> String {
    let places = match value.abs() {
        a if a >= 99.95 || a == 0.0 => 0,
        a if a >= 9.995 => 1,
        a if a >= 0.9995 => 2,
        a => (2 - a.log10().floor() as i32).clamp(2, 6) as usize,
    };
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_they_are() {
        for (name, want_unit, want_label, want_better) in [
            ("posts_per_s", Unit::PerSecond, "posts per second", Better::More),
            ("server_cpu_us_per_post", Unit::Microseconds, "server CPU per post", Better::Less),
            (
                "server_cpu_s_per_million_deliveries",
                Unit::Seconds,
                "server CPU per million deliveries",
                Better::Less,
            ),
            ("server_cpu_s", Unit::Seconds, "server CPU time while measured", Better::Less),
            ("server_cpu_cores", Unit::Cores, "server CPU while measured", Better::Less),
            ("client_cpu_cores", Unit::Cores, "client CPU while measured", Better::Neither),
            ("phase_opening_server_cpu_cores", Unit::Cores, "phase opening server CPU", Better::Neither),
            ("phase_load_s", Unit::Seconds, "phase load", Better::Neither),
            (
                "server_anon_bytes_per_session",
                Unit::Bytes,
                "server anonymous memory per session",
                Better::Less,
            ),
            ("server_anon_kib_finished", Unit::Kib, "server anonymous memory finished", Better::Less),
            ("server_anon_kib_before", Unit::Kib, "server anonymous memory before", Better::Neither),
            ("received_bytes_per_delivery", Unit::Bytes, "received bytes per delivery", Better::Less),
            ("received_bytes", Unit::Bytes, "received bytes", Better::Neither),
            ("machine_bytes_per_session", Unit::Bytes, "machine memory per session", Better::Less),
            ("churn_dropped", Unit::Count, "churn dropped", Better::Neither),
            ("measured_s", Unit::Seconds, "measured", Better::Neither),
            ("posts", Unit::Count, "posts", Better::Neither),
            ("sessions_failed", Unit::Count, "sessions failed", Better::Less),
            ("heartbeats_unanswered", Unit::Count, "heartbeats unanswered", Better::Less),
        ] {
            assert_eq!(
                (unit(name), label(name).as_str(), better(name, false)),
                (want_unit, want_label, want_better)
            );
        }
        assert_eq!(better("server_cpu_cores", true), Better::Neither);
        assert_eq!(better("server_cpu_us_per_post", true), Better::Less);
    }

    #[test]
    fn values_are_short() {
        for (unit, number, want) in [
            (Unit::Microseconds, 0.0, "0 µs"),
            (Unit::Microseconds, 12.34, "12.3 µs"),
            (Unit::Microseconds, 999.9, "1 ms"),
            (Unit::Microseconds, 25_000.0, "25 ms"),
            (Unit::Seconds, 1.5, "1.5 s"),
            (Unit::Seconds, 75.0, "75 s"),
            (Unit::Milliseconds, 0.25, "250 µs"),
            (Unit::PerSecond, 123_456.0, "123 k/s"),
            (Unit::PerSecond, 9_876.0, "9,876/s"),
            (Unit::PerSecond, 2_500_000.0, "2.5 M/s"),
            (Unit::Bytes, 113.4, "113 B"),
            (Unit::Bytes, -2048.0, "-2 KiB"),
            (Unit::Kib, 1536.0, "1.5 MiB"),
            (Unit::Kib, 1023.9 * 1024.0, "1 GiB"),
            (Unit::Count, 1_234_567.0, "1,234,567"),
            (Unit::Count, -1000.0, "-1,000"),
            (Unit::Count, 12.0, "12"),
            (Unit::Count, 0.01234, "0.0123"),
            (Unit::Cores, 1.999, "2 cores"),
        ] {
            assert_eq!(value(unit, number), want);
        }
    }

    #[test]
    fn ticks_of_an_axis_have_one_prefix() {
        let ticks = [0.0, 500.0, 1500.0, 5000.0, 10_000.0].map(tick);
        assert_eq!(ticks, ["0", "500", "1.5 k", "5 k", "10 k"]);
    }

    #[test]
    fn the_most_important_comes_first() {
        let names = ["client_cpu_cores", "server_cpu_s", "server_cpu_us_per_post", "deliveries_per_s"]
            .map(String::from);
        let order: Vec<&str> =
            ranked(names.iter().map(|n| (n, ()))).into_iter().map(|(n, ())| n.as_str()).collect();
        assert_eq!(order, ["deliveries_per_s", "server_cpu_us_per_post", "server_cpu_s", "client_cpu_cores"]);
        let names = ["upgrade", "ready", "history", "delivery"].map(String::from);
        let order: Vec<&str> =
            ranked_latencies(names.iter().map(|n| (n, ()))).into_iter().map(|(n, ())| n.as_str()).collect();
        assert_eq!(order, ["delivery", "history", "ready", "upgrade"]);
    }
}
