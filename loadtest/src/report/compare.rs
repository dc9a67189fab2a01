//! Two runs side by side: what changed, and whether for the better.
//!
//! Owns: which figures are judged, and how.
//! Invariant: nothing is judged that chance decides: a percentile counts when both runs have ten samples beyond it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::distribution::NAMED;
use super::figures::{self, Better, Unit};
use super::svg::escape;
use super::text::{one_line, table};
use super::{Report, html, plots};

/// Samples beyond a percentile below which it is shown, but not judged.
const BEYOND_MIN: f64 = 10.0;

const FAILED: &str = "failed runs";

/// Figures shown large.
const TILES_MAX: usize = 6;

/// What became of a figure from A to B.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    Better,
    Worse,
    Same,
    /// Not judged.
    Unjudged,
}

/// A figure that both runs have.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub label: String,
    pub unit: Unit,
    pub a: f64,
    pub b: f64,
    pub better: Better,
}

impl Row {
    /// B / A; `None` when A is zero and B is not.
    fn ratio(&self) -> Option<f64> {
        match (self.a, self.b) {
            (a, b) if a == b => Some(1.0),
            (0.0, _) => None,
            (a, b) => Some(b / a),
        }
    }

    /// How much worse B is, as a share of A; negative when it is better.
    fn loss(&self) -> Option<f64> {
        let sign = match self.better {
            Better::Less => 1.0,
            Better::More => -1.0,
            Better::Neither => return None,
        };
        // From nothing to something is endless, whichever way.
        let change = if self.a == self.b { 0.0 } else { (self.b - self.a) / self.a.abs() };
        Some(sign * change)
    }

    pub fn change(&self) -> Change {
        match self.loss() {
            None => Change::Unjudged,
            Some(0.0) => Change::Same,
            Some(loss) if loss > 0.0 => Change::Worse,
            Some(_) => Change::Better,
        }
    }

    /// Worse by more than a share of A.
    fn exceeds(&self, tolerance: f64) -> bool {
        self.loss().is_some_and(|loss| loss > tolerance)
    }

    fn cells(&self) -> Vec<String> {
        let ratio = self.ratio().map_or("new".into(), |ratio| format!("{ratio:.3}"));
        let change = match self.change() {
            Change::Better => "better",
            Change::Worse => "worse",
            Change::Same => "same",
            Change::Unjudged => "",
        };
        let value = |v| figures::value(self.unit, v);
        vec![self.label.clone(), value(self.a), value(self.b), ratio, change.into()]
    }
}

/// Two runs of one scenario.
#[derive(Debug)]
pub struct Comparison {
    pub rows: Vec<Row>,
    /// Why the figures may differ for other reasons than the server.
    pub warnings: Vec<String>,
}

impl Comparison {
    /// Of the figures whose label contains one of `only`, or all if that is empty. The error is a sentence: other
    /// scenarios have other figures.
    pub fn new(a: &Report, b: &Report, only: &[String]) -> Result<Comparison, String> {
        if a.scenario != b.scenario {
            return Err(format!(
                "A is a run of `{}`, B of `{}`; compare runs of one scenario.",
                one_line(&a.scenario),
                one_line(&b.scenario)
            ));
        }
        let mut rows = rows(a, b);
        let wanted = |label: &str| only.is_empty() || only.iter().any(|text| label.contains(text.as_str()));
        // A run that failed has failed, whichever figures are looked at.
        rows.retain(|row| wanted(&row.label) || row.label == FAILED);
        if !rows.iter().any(|row| wanted(&row.label)) {
            return Err(format!("No figure of both runs contains {only:?}; take words of the table."));
        }
        Ok(Comparison { rows, warnings: warnings(a, b) })
    }

    /// Figures in which B is worse than A by more than `tolerance` (a share, 0.1 for 10 %), and a B that failed.
    pub fn regressions(&self, tolerance: f64) -> Vec<String> {
        let worse = self.rows.iter().filter(|row| row.exceeds(tolerance));
        worse
            .map(|row| match row.ratio() {
                Some(ratio) => format!("{}: {ratio:.3} times A", row.label),
                None => format!("{}: {}, and none in A", row.label, figures::value(row.unit, row.b)),
            })
            .collect()
    }

    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for warning in &self.warnings {
            let _ = writeln!(out, "warning: {warning}");
        }
        if !self.warnings.is_empty() {
            out.push('\n');
        }
        let head = ["", "A", "B", "B/A", ""].map(String::from).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(self.rows.iter().map(Row::cells)).collect();
        out + &table(&rows)
    }
}

/// The page of both runs.
pub fn page(comparison: &Comparison, a: &Report, b: &Report) -> String {
    let mut body = format!("<h1>{}: A and B</h1>\n", escape(&a.scenario));
    for (name, report) in [("A", a), ("B", b)] {
        let e = &report.environment;
        let verdict = report.problem.as_ref().map_or(String::new(), |p| format!(" · failed: {p}"));
        let line = format!("{name}: {} · {} · {}{verdict}", e.started_at, e.target, e.command);
        let _ = writeln!(body, "<p class=\"dim\">{}</p>", escape(&line));
    }
    if !comparison.warnings.is_empty() {
        let warnings = escape(&comparison.warnings.join("\n"));
        let _ = writeln!(body, "<p class=\"box bad\"><b>The runs differ:</b>\n{warnings}</p>");
    }
    tiles(&mut body, &comparison.rows);
    html::figures_section(&mut body, plots::of_both(a, b));
    body.push_str("<h2>Figures</h2>\n<p class=\"note\">Percentiles with fewer than ten samples beyond them are not judged.</p>\n");
    body.push_str(
        "<div class=\"scroll\"><table>\n<tr><th></th><th>A</th><th>B</th><th>B/A</th><th></th></tr>\n",
    );
    for row in &comparison.rows {
        let class = class(row.change());
        let mut cells = row.cells();
        let last = cells.pop().unwrap_or_default();
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", escape(cell))).collect();
        let _ = writeln!(body, "<tr>{cells}<td class=\"{class}\">{last}</td></tr>");
    }
    body.push_str("</table></div>\n");
    html::document(&format!("{}: A and B – plexichat-loadtest", a.scenario), &body)
}

/// The figures that matter most, and what became of them.
fn tiles(body: &mut String, rows: &[Row]) {
    body.push_str("<ul class=\"tiles\">\n");
    // Of latencies, the median and the 99th percentile.
    let worth = |row: &&Row| match row.unit {
        _ if row.better == Better::Neither || row.label.starts_with("sessions opened") => false,
        Unit::Microseconds => {
            [" p50", " p99"].iter().any(|p| row.label.ends_with(p)) || row.label.contains(" per ")
        }
        _ => true,
    };
    for row in rows.iter().filter(worth).take(TILES_MAX) {
        let value = |v| escape(&figures::value(row.unit, v));
        let percent = row.ratio().map_or("new".into(), |ratio| format!("{:+.1} %", (ratio - 1.0) * 100.0));
        let _ = writeln!(
            body,
            "<li><b class=\"{}\">{percent}</b><span>{}</span><span>{} → {}</span></li>",
            class(row.change()),
            escape(&row.label),
            value(row.a),
            value(row.b)
        );
    }
    body.push_str("</ul>\n");
}

fn class(change: Change) -> &'static str {
    match change {
        Change::Better => "good",
        Change::Worse => "bad",
        Change::Same | Change::Unjudged => "",
    }
}

fn rows(a: &Report, b: &Report) -> Vec<Row> {
    let per_work = figures::has_per_work(a) && figures::has_per_work(b);
    let mut rows = Vec::new();
    for (name, of_a) in figures::ranked(a.gauges.iter()) {
        if let Some(of_b) = b.gauges.get(name) {
            let (unit, better) = (figures::unit(name), figures::better(name, per_work));
            rows.push(Row { label: figures::label(name), unit, a: *of_a, b: *of_b, better });
        }
    }
    for (name, _) in figures::ranked_latencies(a.latencies.iter()) {
        rows.extend(latency_rows(name, a, b));
    }
    let sum = |report: &Report| report.errors.values().sum::<u64>() as f64;
    let count =
        |label: &str, a: f64, b: f64, better| Row { label: label.into(), unit: Unit::Count, a, b, better };
    for (name, of_a) in &a.counters {
        if let Some(of_b) = b.counters.get(name) {
            rows.push(count(
                &figures::label(name),
                *of_a as f64,
                *of_b as f64,
                figures::better(name, per_work),
            ));
        }
    }
    rows.push(count("errors", sum(a), sum(b), Better::Less));
    let failed = |report: &Report| f64::from(u8::from(report.problem.is_some()));
    rows.push(count(FAILED, failed(a), failed(b), Better::Less));
    rows
}

fn latency_rows(name: &str, a: &Report, b: &Report) -> Vec<Row> {
    let (Some(of_a), Some(of_b)) = (a.latencies.get(name), b.latencies.get(name)) else { return Vec::new() };
    let row = |which: &str, judged: bool| Row {
        label: format!("{name} {which}"),
        unit: Unit::Microseconds,
        a: of_a.named(which).unwrap_or_default(),
        b: of_b.named(which).unwrap_or_default(),
        better: if judged { Better::Less } else { Better::Neither },
    };
    let enough = |percentile: f64| of_a.beyond(percentile).min(of_b.beyond(percentile)) >= BEYOND_MIN - 1e-6;
    let mut rows = vec![row("mean", enough(50.0))];
    rows.extend(NAMED.iter().map(|(which, percentile)| row(which, enough(*percentile))));
    // One sample decides it.
    rows.push(row("max", false));
    rows
}

fn warnings(a: &Report, b: &Report) -> Vec<String> {
    let mut out = Vec::new();
    let names: BTreeSet<&String> = a.parameters.keys().chain(b.parameters.keys()).collect();
    let of =
        |report: &Report, name: &String| report.parameters.get(name).map_or("unset".into(), |v| one_line(v));
    for name in names {
        let (of_a, of_b) = (of(a, name), of(b, name));
        if of_a != of_b {
            out.push(format!("parameter {}: {of_a} in A, {of_b} in B", one_line(name)));
        }
    }
    let (ea, eb) = (&a.environment, &b.environment);
    let memory = |report: &Report| figures::value(Unit::Kib, report.environment.memory_kib as f64);
    for (what, of_a, of_b) in [
        ("machine", ea.cpu_model.clone(), eb.cpu_model.clone()),
        ("cores", ea.cores.to_string(), eb.cores.to_string()),
        ("memory", memory(a), memory(b)),
        ("kernel", ea.kernel.clone(), eb.kernel.clone()),
        ("version of this tool", ea.version.clone(), eb.version.clone()),
    ] {
        if of_a != of_b {
            out.push(format!("{what}: {} in A, {} in B", one_line(&of_a), one_line(&of_b)));
        }
    }
    if ea.server_processes.is_empty() != eb.server_processes.is_empty() {
        out.push("only one of both runs had --pid: the server's CPU and memory cannot be compared".into());
    }
    for (name, report) in [("A", a), ("B", b)] {
        if let Some(problem) = &report.problem {
            out.push(format!("{name} failed: {}", one_line(problem)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::distribution::tests::even;
    use super::super::tests::sample;
    use super::*;

    fn row(better: Better, a: f64, b: f64) -> Row {
        Row { label: "x".into(), unit: Unit::Count, a, b, better }
    }

    #[test]
    fn judgement_follows_the_direction() {
        for (better, a, b, want, exceeds_a_tenth) in [
            (Better::Less, 100.0, 105.0, Change::Worse, false),
            (Better::Less, 100.0, 111.0, Change::Worse, true),
            (Better::Less, 100.0, 50.0, Change::Better, false),
            (Better::More, 100.0, 89.0, Change::Worse, true),
            (Better::More, 100.0, 95.0, Change::Worse, false),
            (Better::More, 100.0, 200.0, Change::Better, false),
            (Better::Less, 0.0, 1.0, Change::Worse, true),
            (Better::More, 0.0, 1.0, Change::Better, false),
            (Better::Less, 0.0, 0.0, Change::Same, false),
            (Better::Less, -10.0, 10.0, Change::Worse, true),
            (Better::Neither, 1.0, 100.0, Change::Unjudged, false),
        ] {
            let row = row(better, a, b);
            assert_eq!((row.change(), row.exceeds(0.1)), (want, exceeds_a_tenth), "{row:?}");
        }
    }

    #[test]
    fn the_same_run_is_no_regression() {
        let comparison = Comparison::new(&sample(), &sample(), &[]).unwrap();
        assert!(comparison.warnings.is_empty(), "{:?}", comparison.warnings);
        assert!(comparison.regressions(0.0).is_empty());
        assert!(comparison.to_text().contains("deliveries per second"));
        let some = Comparison::new(&sample(), &sample(), &["p99".into()]).unwrap();
        assert_eq!(some.rows.len(), 4, "p99, p99.9, p99.99, and whether a run failed");
        assert!(some.rows.iter().all(|row| row.label == FAILED || row.label.contains("p99")));
        assert!(Comparison::new(&sample(), &sample(), &["nothing".into()]).is_err());
    }

    #[test]
    fn regressions_are_found_and_explained() {
        let mut b = sample();
        b.gauges.insert("deliveries_per_s".into(), 1000.0);
        b.gauges.insert("server_cpu_s_per_million_deliveries".into(), 2.0);
        b.errors.clear();
        b.problem = Some("it broke".into());
        b.parameters.insert("in-flight".into(), "8".into());
        b.environment.cores = 4;
        b.environment.server_processes.clear();
        let comparison = Comparison::new(&sample(), &b, &[]).unwrap();
        let regressions = comparison.regressions(0.1).join("; ");
        assert!(
            regressions.contains("deliveries per second: 0.666") && regressions.contains("failed runs"),
            "{regressions}"
        );
        assert!(!regressions.contains("CPU") && !regressions.contains("errors"), "{regressions}");
        assert!(comparison.regressions(0.5).len() == 1, "a failed run is beyond any tolerance");
        let warnings = comparison.warnings.join("; ");
        for want in ["in-flight: 1 in A, 8 in B", "cores: 2 in A, 4 in B", "--pid", "B failed: it broke"] {
            assert!(warnings.contains(want), "{want}: {warnings}");
        }
    }

    #[test]
    fn rare_percentiles_are_not_judged() {
        let with = |count: u64| {
            let mut report = sample();
            report.latencies.insert("delivery".into(), even(count));
            report
        };
        let judged = |count: u64| {
            let comparison = Comparison::new(&with(count), &with(count * 2), &[]).unwrap();
            let rows = comparison.rows.into_iter().filter(|row| row.better == Better::Less);
            rows.filter_map(|row| row.label.strip_prefix("delivery ").map(String::from)).collect::<Vec<_>>()
        };
        assert_eq!(judged(1000), ["mean", "p50", "p75", "p90", "p95", "p99"]);
        assert_eq!(judged(20), ["mean", "p50"]);
        assert!(judged(10).is_empty());
    }

    #[test]
    fn other_scenarios_are_refused_and_pages_escaped() {
        let other = Report { scenario: "chat".into(), ..sample() };
        assert!(Comparison::new(&sample(), &other, &[]).unwrap_err().contains("one scenario"));
        let mut bad = sample();
        bad.problem = Some("<script>".into());
        bad.parameters.insert("<script>".into(), "<script>".into());
        bad.environment.command = "<script>".into();
        let page = page(&Comparison::new(&sample(), &bad, &[]).unwrap(), &sample(), &bad);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && page.contains("<svg"));
    }
}
