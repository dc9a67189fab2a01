//! What a run found out: counters, gauges, errors by text, latency histograms.
//!
//! Owns: merging the results of several processes, and their two forms: text for people, JSON for tools.
//! Invariant: times are nanoseconds inside; only printing converts them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::BufRead;

use hdrhistogram::Histogram;

/// Longest time told apart: ten minutes. Longer ones count as that.
const TIME_NS_MAX: u64 = 600_000_000_000;
/// Times are told apart to three digits, and from one microsecond on.
const TIME_NS_MIN: u64 = 1_000;

const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p99.9", 99.9)];

/// A histogram of nanoseconds.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Latency {
    pub fn new() -> Latency {
        Latency(Histogram::new_with_bounds(TIME_NS_MIN, TIME_NS_MAX, 3).expect("bounds are in range"))
    }

    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns.max(1));
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Values and counts as text, for the pipe between processes.
    fn write(&self, out: &mut String) {
        for step in self.0.iter_recorded() {
            let _ = write!(out, " {}:{}", step.value_iterated_to(), step.count_at_value());
        }
    }

    fn add(&mut self, text: &str) -> Option<()> {
        for pair in text.split_ascii_whitespace() {
            let (value, count) = pair.split_once(':')?;
            self.0.saturating_record_n(value.parse().ok()?, count.parse().ok()?);
        }
        Some(())
    }

    /// Nanoseconds that so many percent of the values do not exceed.
    pub fn at(&self, percentile: f64) -> u64 {
        self.0.value_at_percentile(percentile).min(self.0.max())
    }
}

/// All figures of a run, by name. Names end in their unit.
#[derive(Default, Debug)]
pub struct Results {
    pub counters: BTreeMap<String, u64>,
    pub gauges: BTreeMap<String, f64>,
    pub errors: BTreeMap<String, u64>,
    pub latencies: BTreeMap<String, Latency>,
}

impl Results {
    pub fn count(&mut self, name: &str, n: u64) {
        *self.counters.entry(name.to_string()).or_default() += n;
    }

    pub fn gauge(&mut self, name: &str, value: f64) {
        *self.gauges.entry(name.to_string()).or_default() += value;
    }

    pub fn error(&mut self, text: &str, n: u64) {
        *self.errors.entry(text.to_string()).or_default() += n;
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

    /// The summary for people.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for (name, n) in &self.counters {
            let _ = writeln!(out, "  {name:<34} {n}");
        }
        for (name, value) in &self.gauges {
            let _ = writeln!(out, "  {name:<34} {}", round(*value));
        }
        for (name, latency) in &self.latencies {
            let _ = write!(out, "  {name:<20} n={:<9}", latency.count());
            for (label, percentile) in PERCENTILES {
                let _ = write!(out, " {label} {:<8}", duration(latency.at(percentile)));
            }
            let _ = writeln!(out, " max {}", duration(latency.0.max()));
        }
        for (text, n) in &self.errors {
            let _ = writeln!(out, "  error: {text}: {n}");
        }
        out
    }

    /// The results as one JSON object; latencies in microseconds.
    pub fn to_json(&self, scenario: &str, arguments: &[String], problem: Option<&str>) -> String {
        let mut out = String::from("{\n");
        let _ = writeln!(out, "\"scenario\":{},", quote(scenario));
        let _ = writeln!(out, "\"version\":{},", quote(env!("CARGO_PKG_VERSION")));
        let _ = writeln!(out, "\"arguments\":{},", quote(&arguments.join(" ")));
        let _ = writeln!(out, "\"ok\":{},", problem.is_none());
        let _ = writeln!(out, "\"problem\":{},", problem.map_or("null".into(), quote));
        object(&mut out, "counters", self.counters.iter().map(|(k, n)| (k, n.to_string())));
        object(&mut out, "gauges", self.gauges.iter().map(|(k, v)| (k, json_number(*v))));
        object(&mut out, "errors", self.errors.iter().map(|(k, n)| (k, n.to_string())));
        object(&mut out, "latencies_us", self.latencies.iter().map(|(k, l)| (k, latency_json(l))));
        out.truncate(out.trim_end_matches(",\n").len());
        out.push_str("\n}\n");
        out
    }
}

fn object<'a>(out: &mut String, name: &str, fields: impl Iterator<Item = (&'a String, String)>) {
    let fields: Vec<String> = fields.map(|(key, value)| format!("{}:{value}", quote(key))).collect();
    let _ = writeln!(out, "{}:{{{}}},", quote(name), fields.join(","));
}

fn latency_json(latency: &Latency) -> String {
    let us = |ns: u64| json_number(ns as f64 / 1e3);
    let mut fields = vec![
        format!("\"count\":{}", latency.count()),
        format!("\"mean\":{}", json_number(latency.0.mean() / 1e3)),
    ];
    fields.extend(PERCENTILES.iter().map(|&(label, p)| format!("{}:{}", quote(label), us(latency.at(p)))));
    fields.push(format!("\"max\":{}", us(latency.0.max())));
    format!("{{{}}}", fields.join(","))
}

/// JSON has no NaN and no infinity.
fn json_number(value: f64) -> String {
    if value.is_finite() { format!("{}", (value * 1e3).round() / 1e3) } else { "null".into() }
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

fn round(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// Nanoseconds with the unit that suits them.
fn duration(ns: u64) -> String {
    match ns {
        0..1_000_000 => format!("{:.0}us", ns as f64 / 1e3),
        1_000_000..10_000_000_000 => format!("{:.2}ms", ns as f64 / 1e6),
        _ => format!("{:.1}s", ns as f64 / 1e9),
    }
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
    fn json_is_json() {
        for (results, problem) in [(sample(), Some("a \"b\"")), (Results::default(), None)] {
            let json = results.to_json("posts", &["posts".into(), "dir".into()], problem);
            simd_json::to_owned_value(&mut json.clone().into_bytes())
                .unwrap_or_else(|e| panic!("{e}: {json}"));
        }
        assert_eq!(json_number(f64::NAN), "null");
    }

    #[test]
    fn durations() {
        for (ns, want) in [(1_500, "2us"), (2_500_000, "2.50ms"), (12_000_000_000, "12.0s")] {
            assert_eq!(duration(ns), want);
        }
        assert!(sample().to_text().contains("p99.9"));
    }
}
