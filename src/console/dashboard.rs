//! The figures that move: what the counters said at a moment, and what has come since an earlier one.
//!
//! Invariant: nothing is kept between two looks. Whoever looks brings along what he saw the last time, as numbers in the
//! address that he was given then.

/// What the counters said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub totals: Totals,
    /// Gateway sessions, and those of them that wait to be resumed.
    pub sessions: u64,
    pub detached: u64,
    pub http_connections: u64,
    pub gateway_connections: u64,
    pub voice_callers: u64,
    /// What 99 of 100 turns and commits stay under, since the start; `None`: beyond what is told apart.
    pub turn_p99_ns: Option<u64>,
    pub commit_p99_ns: Option<u64>,
    pub memory_len: u64,
    pub store_used_len: u64,
    pub store_map_len: u64,
    pub store_file_len: u64,
    pub disk_free_len: u64,
    /// Commands that wait for the writer.
    pub queue_len: u64,
    pub errands: u64,
    pub mails: u64,
    pub uptime_s: u64,
    pub cores: Vec<Core>,
    pub lanes: Vec<Lane>,
}

/// What only goes up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Steady time.
    pub at_ms: u64,
    pub requests: u64,
    pub failures: u64,
    pub dispatches: u64,
    pub commands: u64,
    pub turns: u64,
    pub turn_ns: u64,
    pub commits: u64,
    pub commit_ns: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Core {
    pub sessions: u64,
    pub connections: u64,
    /// Letters to other cores that wait.
    pub mail_backlog: u64,
    pub slow_turns: u64,
    pub turn_p99_ns: Option<u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    pub name: &'static str,
    pub waiting: u64,
    pub done: u64,
    pub refused: u64,
}

impl Totals {
    const COUNT: usize = 9;

    fn numbers(&self) -> [u64; Totals::COUNT] {
        let Totals { at_ms, requests, failures, dispatches, commands, turns, turn_ns, commits, commit_ns } =
            *self;
        [at_ms, requests, failures, dispatches, commands, turns, turn_ns, commits, commit_ns]
    }

    /// As it stands in an address.
    pub fn text(&self) -> String {
        self.numbers().map(|number| number.to_string()).join("-")
    }

    /// `None` for what is no such text.
    pub fn read(text: &str) -> Option<Totals> {
        let numbers: Vec<u64> = text
            .split('-')
            .take(Totals::COUNT + 1)
            .map(|part| if part.len() <= 20 { part.parse().ok() } else { None })
            .collect::<Option<_>>()?;
        let [at_ms, requests, failures, dispatches, commands, turns, turn_ns, commits, commit_ns] =
            numbers.try_into().ok()?;
        Some(Totals { at_ms, requests, failures, dispatches, commands, turns, turn_ns, commits, commit_ns })
    }

    /// What has come since; what has not gone up was of another run, and all of it has come since.
    pub fn since(&self, earlier: &Totals) -> Totals {
        let (now, then) = (self.numbers(), earlier.numbers());
        if now.iter().zip(then).any(|(now, then)| *now < then) || self.at_ms == earlier.at_ms {
            return *self;
        }
        let mut gone = [0; Totals::COUNT];
        gone.iter_mut().zip(now.iter().zip(then)).for_each(|(gone, (now, then))| *gone = now - then);
        let [at_ms, requests, failures, dispatches, commands, turns, turn_ns, commits, commit_ns] = gone;
        Totals { at_ms, requests, failures, dispatches, commands, turns, turn_ns, commits, commit_ns }
    }
}

/// A figure as it is shown.
#[derive(Debug, PartialEq, Eq)]
pub struct Tile {
    pub label: &'static str,
    pub value: String,
    pub note: String,
    /// For the line that is drawn of it.
    pub number: u64,
}

/// The figures that are shown large.
pub fn tiles(figures: &Figures, earlier: Option<&Totals>) -> Vec<Tile> {
    let totals = &figures.totals;
    let gone = earlier.map_or(*totals, |earlier| totals.since(earlier));
    let per_second = |count: u64| count.saturating_mul(1_000).checked_div(gone.at_ms).unwrap_or(0);
    let mean = |sum: u64, count: u64| sum.checked_div(count).unwrap_or(0);
    let below = |bound: Option<u64>| {
        bound.map_or("99 % of any length".into(), |ns| format!("99 % below {}", duration(ns)))
    };
    // Nothing takes no time: there was none.
    let took = |ns: u64| if ns == 0 { "–".to_string() } else { duration(ns) };
    let tile = |label, value: String, note: String, number| Tile { label, value, note, number };
    let (dispatches, requests, commands) =
        (per_second(gone.dispatches), per_second(gone.requests), per_second(gone.commands));
    let (turn, commit) = (mean(gone.turn_ns, gone.turns), mean(gone.commit_ns, gone.commits));
    vec![
        tile(
            "Sessions",
            grouped(figures.sessions),
            format!("{} wait to resume", grouped(figures.detached)),
            figures.sessions,
        ),
        tile(
            "Deliveries per second",
            grouped(dispatches),
            format!("{} so far", grouped(totals.dispatches)),
            dispatches,
        ),
        tile(
            "Requests per second",
            grouped(requests),
            format!("{} so far, {} failed", grouped(totals.requests), grouped(totals.failures)),
            requests,
        ),
        tile("Turn", took(turn), below(figures.turn_p99_ns), turn),
        tile("Commit", took(commit), below(figures.commit_p99_ns), commit),
        tile(
            "Commands per second",
            grouped(commands),
            format!("{} wait", grouped(figures.queue_len)),
            commands,
        ),
        tile("Memory", bytes(figures.memory_len), String::new(), figures.memory_len),
        tile(
            "Store",
            bytes(figures.store_used_len),
            format!("of {}; {} free on the disk", bytes(figures.store_map_len), bytes(figures.disk_free_len)),
            figures.store_used_len,
        ),
    ]
}

/// `12,345`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1.5 ms`
pub fn duration(ns: u64) -> String {
    scaled(ns, &[(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs"), (1, "ns")])
}

/// `5.0 MiB`
pub fn bytes(len: u64) -> String {
    scaled(len, &[(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")])
}

/// `3 d 4 h`
pub fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

fn scaled(value: u64, units: &[(u64, &str)]) -> String {
    let (unit, name) =
        units.iter().copied().find(|(unit, _)| value >= *unit).unwrap_or((1, units[units.len() - 1].1));
    let (whole, rest) = (value / unit, value % unit);
    match unit {
        1 => format!("{whole} {name}"),
        // One more digit where there are few.
        _ if whole < 100 => format!("{whole}.{} {name}", (u128::from(rest) * 10) / u128::from(unit)),
        _ => format!("{whole} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0, 999, 1_500, 250_000, 2_000_000_000].map(duration),
            ["0 ns", "999 ns", "1.5 µs", "250 µs", "2.0 s"]
        );
        assert_eq!(
            [0, 1_023, 1_536, 5 << 20, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "16777215 TiB"]
        );
        assert_eq!([59, 3_600, 90_000].map(uptime), ["0 min 59 s", "1 h 0 min", "1 d 1 h"]);
    }

    #[test]
    fn what_was_seen_before_comes_back_in_the_address() {
        let totals = Totals { at_ms: 1, requests: 2, commit_ns: u64::MAX, ..Totals::default() };
        assert_eq!(Totals::read(&totals.text()), Some(totals));
        for text in ["", "1-2", "1-2-3-4-5-6-7-8-x", "1-2-3-4-5-6-7-8-9-10", "-1-2-3-4-5-6-7-8-9"] {
            assert_eq!(Totals::read(text), None, "{text}");
        }
    }

    #[test]
    fn rates_are_of_the_time_between_two_looks() {
        let totals =
            Totals { at_ms: 10_000, dispatches: 5_000, turns: 100, turn_ns: 100_000, ..Totals::default() };
        let figures = Figures { totals, ..Figures::default() };
        let value = |label: &str, earlier: Option<&Totals>| {
            tiles(&figures, earlier).into_iter().find(|tile| tile.label == label).unwrap().value
        };
        assert_eq!(value("Deliveries per second", None), "500");
        let earlier =
            Totals { at_ms: 8_000, dispatches: 1_000, turns: 98, turn_ns: 96_000, ..Totals::default() };
        assert_eq!(value("Deliveries per second", Some(&earlier)), "2,000");
        assert_eq!(value("Turn", Some(&earlier)), "2.0 µs");
        // Of another run of the server, or at the same moment: since the start.
        for earlier in [Totals { dispatches: 9_000, ..earlier }, totals] {
            assert_eq!(value("Deliveries per second", Some(&earlier)), "500");
        }
    }
}
