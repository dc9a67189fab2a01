//! A report as one page: no script, no font, nothing from elsewhere.
//!
//! Invariant: every text that comes from a run passes through [`escape`]; a server may send anything as an error.

use std::fmt::Write;

use super::figures::{self, Unit};
use super::plots::{self, Figure};
use super::svg::{self, Line, SIZES, escape};
use super::{Report, text};

const STYLE: &str = include_str!("style.css");
/// Figures shown large.
const TILES_MAX: usize = 6;
const OPENING: &str = "sessions_opened";

/// The page of one run.
pub fn page(report: &Report) -> String {
    let e = &report.environment;
    let mut body = format!("<h1>{}</h1>\n", escape(&report.title()));
    let _ = writeln!(
        body,
        "<p class=\"dim\">{} · {} · {}</p>",
        escape(&e.started_at.replace('T', " ").replace('Z', " UTC")),
        escape(&e.target),
        escape(&figures::duration(e.duration_s * 1e6))
    );
    if let Some(problem) = &report.problem {
        let _ = writeln!(body, "<p class=\"box bad\"><b>The run failed.</b> {}</p>", escape(problem));
    }
    tiles(&mut body, report);
    figures_section(&mut body, plots::of(report));
    latencies(&mut body, report);
    all_figures(&mut body, report);
    errors(&mut body, report);
    environment(&mut body, report);
    let title = format!("{} – plexichat-loadtest", report.title());
    document(&title, &body)
}

/// A whole document around a body.
pub fn document(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

/// The plots, each with its legend.
pub fn figures_section(body: &mut String, figures: Vec<Figure>) {
    for figure in figures {
        match figure {
            Figure::Missing { title, why } => {
                let _ =
                    writeln!(body, "<h2>{}</h2>\n<p class=\"box dim\">{}</p>", escape(&title), escape(&why));
            }
            Figure::Plot(plot) => {
                let _ = writeln!(
                    body,
                    "<figure>\n<h2>{}</h2>\n<p class=\"note\">{}</p>",
                    escape(&plot.title),
                    escape(&plot.note)
                );
                legend(body, &plot.lines);
                SIZES.iter().for_each(|size| body.push_str(&svg::draw(&plot, *size)));
                body.push_str("</figure>\n");
            }
        }
    }
}

fn legend(body: &mut String, lines: &[Line]) {
    body.push_str("<ul class=\"legend\">");
    for line in lines {
        let _ = write!(
            body,
            "<li><svg viewBox=\"0 0 22 8\" aria-hidden=\"true\"><path class=\"line c{}{}\" d=\"M0 4H22\"/></svg>{}</li>",
            line.color,
            if line.dashed { " dashed" } else { "" },
            escape(&line.label)
        );
    }
    body.push_str("</ul>\n");
}

/// The few figures that matter most for this kind of run.
fn tiles(body: &mut String, report: &Report) {
    let judged = |name: &str| figures::better(name, true) != figures::Better::Neither;
    let worth: Vec<(&String, &f64)> =
        figures::ranked(report.gauges.iter()).into_iter().filter(|(name, _)| judged(name)).collect();
    // How sessions were opened is the subject only where there is no other.
    let opening = worth.iter().all(|(name, _)| !name.ends_with("_per_s") || name.starts_with(OPENING));
    let mut tiles: Vec<(String, String)> = worth
        .into_iter()
        .filter(|(name, _)| opening || !name.starts_with(OPENING))
        .map(|(name, v)| (figures::label(name), figures::value(figures::unit(name), *v)))
        .take(TILES_MAX - 3)
        .collect();
    for (name, d) in figures::ranked_latencies(report.latencies.iter()).into_iter().take(2) {
        let shown = |percentile: &str| figures::duration(d.named(percentile).unwrap_or_default());
        tiles.push((format!("{name}, median"), shown("p50")));
        tiles.push((format!("{name}, 99th percentile"), shown("p99")));
    }
    tiles.truncate(TILES_MAX - 1);
    tiles.push(("errors".into(), figures::count(report.errors.values().sum::<u64>() as f64)));
    body.push_str("<ul class=\"tiles\">\n");
    for (label, value) in tiles {
        let _ = writeln!(body, "<li><b>{}</b><span>{}</span></li>", escape(&value), escape(&label));
    }
    body.push_str("</ul>\n");
}

fn latencies(body: &mut String, report: &Report) {
    if report.latencies.is_empty() {
        return;
    }
    let head = ["", "count"].into_iter().chain(text::COLUMNS).map(String::from).collect();
    let rows = figures::ranked_latencies(report.latencies.iter()).into_iter().map(|(name, d)| {
        let times = text::COLUMNS.iter().map(|column| figures::duration(d.named(column).unwrap_or_default()));
        [name.clone(), figures::count(d.count as f64)].into_iter().chain(times).collect()
    });
    body.push_str("<h2>Latencies</h2>\n");
    table(body, "", Some(head), rows);
}

fn all_figures(body: &mut String, report: &Report) {
    let gauges = figures::ranked(report.gauges.iter()).into_iter().map(|(name, v)| (name, *v));
    let counters = report.counters.iter().map(|(name, n)| (name, *n as f64));
    let rows: Vec<Vec<String>> = gauges
        .chain(counters)
        .map(|(name, v)| {
            let unit = if report.gauges.contains_key(name) { figures::unit(name) } else { Unit::Count };
            vec![figures::label(name), figures::value(unit, v)]
        })
        .collect();
    if !rows.is_empty() {
        body.push_str("<h2>All figures</h2>\n");
        table(body, "", None, rows.into_iter());
    }
}

fn errors(body: &mut String, report: &Report) {
    body.push_str("<h2>Errors</h2>\n");
    if report.errors.is_empty() {
        return body.push_str("<p class=\"box dim\">None.</p>\n");
    }
    let rows = report.errors.iter().map(|(text, n)| vec![text.clone(), figures::count(*n as f64)]);
    table(body, "errors", None, rows);
    if let Some(advice) = crate::coordinator::advice(&report.errors) {
        let _ = writeln!(body, "<p class=\"box\">{}</p>", escape(advice));
    }
}

fn environment(body: &mut String, report: &Report) {
    let e = &report.environment;
    let processes: Vec<String> =
        e.server_processes.iter().map(|(pid, name)| format!("{name} ({pid})")).collect();
    let processes = if processes.is_empty() { "not named".into() } else { processes.join(", ") };
    let rows = [
        ("target", e.target.clone()),
        ("server processes", processes),
        ("started", e.started_at.clone()),
        ("CPU", e.cpu_model.clone()),
        ("cores", e.cores.to_string()),
        ("memory", figures::value(Unit::Kib, e.memory_kib as f64)),
        ("kernel", e.kernel.clone()),
        ("plexichat-loadtest", e.version.clone()),
    ];
    body.push_str("<h2>Environment</h2>\n");
    table(body, "pairs", None, rows.into_iter().map(|(name, value)| vec![name.to_string(), value]));
    body.push_str("<h2>Parameters</h2>\n");
    table(
        body,
        "pairs",
        None,
        report.parameters.iter().map(|(name, value)| vec![name.clone(), value.clone()]),
    );
    let _ = writeln!(body, "<h2>Command</h2>\n<pre>{}</pre>", escape(&e.command));
}

/// A table; the first column is text, the others are numbers. Wide ones scroll by themselves.
pub fn table(
    body: &mut String,
    class: &str,
    head: Option<Vec<String>>,
    rows: impl Iterator<Item = Vec<String>>,
) {
    let _ = writeln!(body, "<div class=\"scroll\"><table class=\"{class}\">");
    let cells = |tag: &str, row: Vec<String>| -> String {
        row.iter().map(|cell| format!("<{tag}>{}</{tag}>", escape(cell))).collect()
    };
    if let Some(head) = head {
        let _ = writeln!(body, "<tr>{}</tr>", cells("th", head));
    }
    for row in rows {
        let _ = writeln!(body, "<tr>{}</tr>", cells("td", row));
    }
    body.push_str("</table></div>\n");
}

#[cfg(test)]
mod tests {
    use super::super::tests::sample;
    use super::*;

    /// Nothing is fetched, and nothing runs.
    pub fn check_self_contained(html: &str) {
        for word in ["<script", "src=", "href=", "url(", "@import", "onload", "<img", "<link"] {
            assert!(!html.contains(word), "{word}");
        }
        assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    }

    #[test]
    fn a_page_escapes_what_a_run_brought_in() {
        let mut report = sample();
        let bad = "<script>alert(\"1\")</script>";
        report.problem = Some(bad.into());
        report.scenario = bad.into();
        report.environment.command = bad.into();
        report.environment.server_processes = vec![(1, bad.into())];
        report.parameters.insert(bad.into(), bad.into());
        report.gauges.insert(bad.into(), 1.0);
        let latency = report.latencies["delivery"].clone();
        report.latencies.insert(bad.into(), latency);
        let html = report.to_html();
        check_self_contained(&html);
        assert!(html.matches("&lt;script&gt;").count() >= 10);
        assert!(!html.contains('\u{1}'), "control characters are replaced");
    }

    #[test]
    fn a_page_of_nothing_says_so() {
        let html = Report::default().to_html();
        check_self_contained(&html);
        for text in ["No latency was measured", "ended before anything was recorded", "None."] {
            assert!(html.contains(text), "{text}");
        }
    }

    #[test]
    fn errors_come_with_advice() {
        let mut report = sample();
        report.errors.insert("post: HTTP 429".into(), 7);
        assert!(report.to_html().contains("--bypass"));
    }
}
