//! A report as JSON; the README describes the shape.
//!
//! Invariant: what [`super::json`] reads of it is the same report, to a thousandth of each unit.

use std::fmt::Write;

use super::distribution::NAMED;
use super::json::SCHEMA;
use super::{Distribution, Environment, Report, Series};
use crate::stats::quote;

/// One JSON object, a line per key.
pub fn json(report: &Report) -> String {
    let e = &report.environment;
    let arguments = e.command.strip_prefix("plexichat-loadtest ").unwrap_or_default();
    let lines = [
        format!("\"schema\":{SCHEMA}"),
        format!("\"scenario\":{}", quote(&report.scenario)),
        format!("\"version\":{}", quote(&e.version)),
        format!("\"arguments\":{}", quote(arguments)),
        format!("\"ok\":{}", report.problem.is_none()),
        format!("\"problem\":{}", report.problem.as_deref().map_or("null".into(), quote)),
        format!("\"environment\":{}", environment(e)),
        format!("\"parameters\":{}", object(report.parameters.iter().map(|(k, v)| (k, quote(v))))),
        format!("\"counters\":{}", object(report.counters.iter().map(|(k, n)| (k, n.to_string())))),
        format!("\"gauges\":{}", object(report.gauges.iter().map(|(k, v)| (k, number(*v))))),
        format!("\"errors\":{}", object(report.errors.iter().map(|(k, n)| (k, n.to_string())))),
        format!("\"latencies_us\":{}", object(report.latencies.iter().map(|(k, l)| (k, latency(l))))),
        format!("\"series\":{}", series(&report.series)),
    ];
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn object<'a>(fields: impl Iterator<Item = (&'a String, String)>) -> String {
    let fields: Vec<String> = fields.map(|(key, value)| format!("{}:{value}", quote(key))).collect();
    format!("{{{}}}", fields.join(","))
}

fn environment(e: &Environment) -> String {
    let process = |(pid, name): &(u64, String)| format!("{{\"pid\":{pid},\"name\":{}}}", quote(name));
    let processes: Vec<String> = e.server_processes.iter().map(process).collect();
    let mut out = String::from("{");
    for (key, value) in [
        ("started_at", &e.started_at),
        ("command", &e.command),
        ("target", &e.target),
        ("kernel", &e.kernel),
        ("cpu_model", &e.cpu_model),
    ] {
        let _ = write!(out, "\"{key}\":{},", quote(value));
    }
    let _ = write!(
        out,
        "\"cores\":{},\"memory_kib\":{},\"duration_s\":{},\"server_processes\":[{}]}}",
        e.cores,
        e.memory_kib,
        number(e.duration_s),
        processes.join(",")
    );
    out
}

fn latency(d: &Distribution) -> String {
    let mut fields = vec![
        format!("\"count\":{}", d.count),
        format!("\"mean\":{}", number(d.mean)),
        format!("\"min\":{}", number(d.min)),
    ];
    fields.extend(NAMED.iter().zip(d.named).map(|((name, _), us)| format!("\"{name}\":{}", number(us))));
    fields.push(format!("\"max\":{}", number(d.max)));
    // 99.9999 % and 100 % are far apart here.
    let curve = list(d.curve.iter().map(|(p, us)| format!("[{},{}]", (p * 1e7).round() / 1e7, number(*us))));
    let buckets = list(d.buckets.iter().map(|(bound, n)| format!("[{},{n}]", number(*bound))));
    fields.extend([format!("\"percentiles\":{curve}"), format!("\"buckets\":{buckets}")]);
    format!("{{{}}}", fields.join(","))
}

fn series(s: &Series) -> String {
    let numbers = |column: &[f64]| list(column.iter().map(|v| number(*v)));
    let mut fields = vec![
        format!("\"interval_s\":{}", number(s.interval_s)),
        format!("\"load_start_s\":{}", s.load_start_s.map_or("null".into(), number)),
        format!("\"t_s\":{}", numbers(&s.t_s)),
    ];
    fields.extend(s.columns.iter().map(|(name, column)| format!("{}:{}", quote(name), numbers(column))));
    format!("{{{}}}", fields.join(","))
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

/// JSON has no NaN and no infinity.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{}", (value * 1e3).round() / 1e3) } else { "null".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_json() {
        for (value, want) in
            [(1.0, "1"), (1.23456, "1.235"), (f64::NAN, "null"), (f64::INFINITY, "null"), (-0.5, "-0.5")]
        {
            assert_eq!(number(value), want);
        }
    }
}
