//! The summary of a run as text: figures, latencies, counts, and errors last, where they are seen.

use std::fmt::Write;

use super::Report;
use super::figures::{self, Unit};

/// The percentiles of the latency table.
pub const COLUMNS: [&str; 7] = ["mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"];

/// Parameters that say how large a run was.
const SIZES: [(&str, &str); 4] =
    [("session", "sessions"), ("user", "users"), ("server", "servers"), ("process", "processes")];

pub fn summary(report: &Report) -> String {
    let mut out = String::new();
    let size: Vec<String> = SIZES.iter().filter_map(|(one, many)| size(report, one, many)).collect();
    let _ = writeln!(out, "{} on {}: {}", report.title(), report.environment.target, size.join(", "));
    section(
        &mut out,
        figures::ranked(report.gauges.iter())
            .into_iter()
            .map(|(name, v)| vec![figures::label(name), figures::value(figures::unit(name), *v)]),
    );
    latencies(&mut out, report);
    section(
        &mut out,
        report
            .counters
            .iter()
            .map(|(name, n)| vec![figures::label(name), figures::value(Unit::Count, *n as f64)]),
    );
    section(
        &mut out,
        report
            .errors
            .iter()
            .map(|(text, n)| vec![format!("error: {}", one_line(text)), figures::count(*n as f64)]),
    );
    out
}

/// `1 user`, `5 users`; nothing for none.
fn size(report: &Report, one: &str, many: &str) -> Option<String> {
    match report.parameters.get(many)?.as_str() {
        "0" => None,
        "1" => Some(format!("1 {one}")),
        n => Some(format!("{} {many}", figures::count(n.parse().ok()?))),
    }
}

fn latencies(out: &mut String, report: &Report) {
    if report.latencies.is_empty() {
        return;
    }
    let head = ["latency", "count"].into_iter().chain(COLUMNS).map(String::from).collect();
    let rows = figures::ranked_latencies(report.latencies.iter()).into_iter().map(|(name, d)| {
        let times = COLUMNS.iter().map(|column| figures::duration(d.named(column).unwrap_or_default()));
        [name.clone(), figures::count(d.count as f64)].into_iter().chain(times).collect()
    });
    section(out, std::iter::once(head).chain(rows));
}

/// A blank line and a table, or nothing at all.
fn section(out: &mut String, rows: impl Iterator<Item = Vec<String>>) {
    let rows: Vec<Vec<String>> = rows.collect();
    if !rows.is_empty() {
        out.push('\n');
        out.push_str(&table(&rows));
    }
}

/// Aligned columns: the first to the left, the others to the right.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell_len = |row: &Vec<String>, i: usize| row.get(i).map_or(0, |cell| cell.chars().count());
    let widths: Vec<usize> =
        (0..columns).map(|i| rows.iter().map(|row| cell_len(row, i)).max().unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = match i {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Text from a server on a terminal: no line breaks, no escape sequences.
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [vec!["a".into(), "1".into()], vec!["bcd".into(), "µs".into(), "22".into()]];
        assert_eq!(table(&rows), "  a     1\n  bcd  µs  22\n");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn a_summary_says_the_important_things_first() {
        let text = sample().to_text();
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("no {needle} in {text}"));
        let order = [
            "fanout on http",
            "deliveries per second",
            "server CPU per million",
            "p99.9",
            "posts",
            "error: ",
        ];
        assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{text}");
        assert!(!text.contains('\u{1}'), "no control characters reach the terminal");
        assert!(text.contains("1,501/s"), "{text}");
    }
}
