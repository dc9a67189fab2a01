//! What a run found out: counters, gauges, errors by text, latency histograms.
//!
//! Owns: merging the results of several processes, and the lines in which they travel.
//! Invariant: times are nanoseconds; `report` converts them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::BufRead;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use hdrhistogram::Histogram;

use crate::shared::Times;

/// Longest time told apart: ten minutes. Longer ones count as that.
const TIME_NS_MAX: u64 = 600_000_000_000;
/// Times are told apart to three digits, and from one microsecond on.
const TIME_NS_MIN: u64 = 1_000;

/// Where this process shows the latency its scenario is about. One per process, as its results are.
static SHOWN: OnceLock<&'static Times> = OnceLock::new();

/// From now on, latencies made with [`Latency::shown`] are seen by the process that reports progress.
pub fn show_times(times: &'static Times) {
    let _ = SHOWN.set(times);
}

/// A histogram of nanoseconds.
#[derive(Clone, Debug)]
pub struct Latency {
    histogram: Histogram<u64>,
    /// Also counted here, while the run is on.
    times: Option<&'static Times>,
}

impl Latency {
    pub fn new() -> Latency {
        let histogram = Histogram::new_with_bounds(TIME_NS_MIN, TIME_NS_MAX, 3).expect("bounds are in range");
        Latency { histogram, times: None }
    }

    /// A latency that the scenario is about: people see it grow.
    pub fn shown() -> Latency {
        Latency { times: SHOWN.get().copied(), ..Latency::new() }
    }

    pub fn record(&mut self, ns: u64) {
        self.histogram.saturating_record(ns.max(1));
        if let Some(times) = self.times {
            times.record(ns);
        }
    }

    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// Values and counts as text, for the pipe between processes.
    fn write(&self, out: &mut String) {
        for step in self.histogram.iter_recorded() {
            let _ = write!(out, " {}:{}", step.value_iterated_to(), step.count_at_value());
        }
    }

    fn add(&mut self, text: &str) -> Option<()> {
        for pair in text.split_ascii_whitespace() {
            let (value, count) = pair.split_once(':')?;
            self.histogram.saturating_record_n(value.parse().ok()?, count.parse().ok()?);
        }
        Some(())
    }

    /// Nanoseconds that so many percent of the values do not exceed.
    pub fn at(&self, percentile: f64) -> u64 {
        self.histogram.value_at_percentile(percentile).min(self.histogram.max())
    }

    pub fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }
}

/// All figures of a run, by name. Names end in their unit.
#[derive(Default, Debug)]
pub struct Results {
    pub counters: BTreeMap<String, u64>,
    pub gauges: BTreeMap<String, f64>,
    pub errors: BTreeMap<String, u64>,
    pub latencies: BTreeMap<String, Latency>,
    /// Where others see the number of errors grow.
    error_total: Option<&'static AtomicU64>,
}

impl Results {
    /// Lets other processes see how many errors there are so far.
    pub fn show_errors(&mut self, total: &'static AtomicU64) {
        self.error_total = Some(total);
    }

    pub fn count(&mut self, name: &str, n: u64) {
        *self.counters.entry(name.to_string()).or_default() += n;
    }

    pub fn gauge(&mut self, name: &str, value: f64) {
        *self.gauges.entry(name.to_string()).or_default() += value;
    }

    pub fn error(&mut self, text: &str, n: u64) {
        *self.errors.entry(text.to_string()).or_default() += n;
        if let Some(total) = self.error_total {
            total.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Keeps a histogram that holds anything.
    pub fn latency(&mut self, name: &str, latency: Latency) {
        if latency.count() > 0 {
            self.latencies.insert(name.to_string(), latency);
        }
    }

    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// One line per figure; the last line is `end`.
    pub fn to_lines(&self) -> String {
        let mut out = String::new();
        for (name, n) in &self.counters {
            let _ = writeln!(out, "counter {n} {name}");
        }
        for (name, value) in &self.gauges {
            let _ = writeln!(out, "gauge {value} {name}");
        }
        for (text, n) in &self.errors {
            let _ = writeln!(out, "error {n} {}", text.replace(['\r', '\n'], " "));
        }
        for (name, latency) in &self.latencies {
            let _ = write!(out, "latency {name}");
            latency.write(&mut out);
            out.push('\n');
        }
        out.push_str("end\n");
        out
    }

    /// Adds the lines of another process; an error when they are damaged or stop short.
    pub fn add_lines(&mut self, lines: impl BufRead) -> Result<(), String> {
        for line in lines.lines() {
            let line = line.map_err(|e| e.to_string())?;
            if line == "end" {
                return Ok(());
            }
            self.add_line(&line).ok_or_else(|| format!("damaged result line {line:.80?}"))?;
        }
        Err("a process ended without its results".into())
    }

    fn add_line(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        let (first, last) = rest.split_once(' ').unwrap_or((rest, ""));
        match kind {
            "counter" => self.count(last, first.parse().ok()?),
            "gauge" => self.gauge(last, first.parse().ok()?),
            "error" => self.error(last, first.parse().ok()?),
            "latency" => self.latencies.entry(first.to_string()).or_insert_with(Latency::new).add(last)?,
            _ => return None,
        }
        Some(())
    }
}

/// A JSON string.
pub fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Results {
        let mut results = Results::default();
        results.count("posts", 3);
        results.gauge("posts_per_s", 1.5);
        results.error("HTTP 500: \"oops\"\n", 2);
        let mut latency = Latency::new();
        (1..=1000).for_each(|ms| latency.record(ms * 1_000_000));
        results.latency("post", latency);
        results.latency("nothing", Latency::new());
        results
    }

    #[test]
    fn results_of_two_processes_add_up() {
        let lines = sample().to_lines();
        let mut sum = Results::default();
        sum.add_lines(lines.as_bytes()).unwrap();
        sum.add_lines(lines.as_bytes()).unwrap();
        assert_eq!(sum.counter("posts"), 6);
        assert_eq!(sum.errors.values().sum::<u64>(), 4);
        let post = &sum.latencies["post"];
        assert_eq!(post.count(), 2000);
        for (percentile, want_ms) in [(50.0, 500.0), (99.0, 990.0), (100.0, 1000.0)] {
            let got = post.at(percentile) as f64 / 1e6;
            assert!((got - want_ms).abs() / want_ms < 0.002, "{percentile}: {got}");
        }
        assert!(!sum.latencies.contains_key("nothing"));
    }

    #[test]
    fn damaged_lines_are_refused() {
        for bad in
            ["", "counter x posts\nend\n", "latency post 1;2\nend\n", "what 1 2\nend\n", "counter 1 a\n"]
        {
            assert!(Results::default().add_lines(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn errors_are_seen_as_they_happen() {
        static TOTAL: AtomicU64 = AtomicU64::new(0);
        let mut results = Results::default();
        results.error("before", 5);
        results.show_errors(&TOTAL);
        results.error("a", 2);
        results.error("b", 1);
        assert_eq!(TOTAL.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn quotes_are_json() {
        for text in ["", "a\"b\\c", "\u{1}\n", "é👍</script>"] {
            let value = simd_json::to_owned_value(&mut quote(text).into_bytes()).unwrap();
            assert_eq!(value, simd_json::OwnedValue::from(text));
        }
    }
}
