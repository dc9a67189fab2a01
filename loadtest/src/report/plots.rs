//! Which plots a report has, for one run or for two.
//!
//! Invariant: what was not recorded is said in words where its plot would be.

use super::figures;
use super::svg::{Axis, Line, Plot, Scale};
use super::{Distribution, Report};

/// A latency whose largest value is so many times its median needs a logarithmic axis.
const LINEAR_MAX: f64 = 8.0;
/// Lines a plot may have before it is hard to read; as many colours exist.
const LINES_MAX: usize = 6;

const UNNAMED: &str = "The server was not recorded: none of its processes was named with --pid.";

/// A plot, or why there is none.
pub enum Figure {
    Plot(Plot),
    Missing { title: String, why: String },
}

/// Columns of a plot over time.
struct Timeline {
    title: &'static str,
    note: &'static str,
    unit: &'static str,
    columns: &'static [(&'static str, &'static str)],
    /// What a value is divided by, so that ticks are round in the unit.
    divisor: f64,
    /// Needs --pid.
    server: bool,
}

const TIMELINES: [Timeline; 5] = [
    Timeline {
        title: "Deliveries over time",
        note: "Events that sessions received.",
        unit: "deliveries per second",
        columns: &[("deliveries_per_s", "deliveries")],
        divisor: 1.0,
        server: false,
    },
    Timeline {
        title: "Answers and errors over time",
        note: "Requests that the server answered with success, and errors of any kind.",
        unit: "per second",
        columns: &[("answers_per_s", "answers"), ("errors_per_s", "errors")],
        divisor: 1.0,
        server: false,
    },
    Timeline {
        title: "CPU over time",
        note: "Cores in use. A load generator near one core per process limits the figures.",
        unit: "cores",
        columns: &[
            ("server_cpu_cores", "server"),
            ("server_cpu_system_cores", "server, in the kernel"),
            ("client_cpu_cores", "load generator"),
        ],
        divisor: 1.0,
        server: true,
    },
    Timeline {
        title: "Server memory over time",
        note: "Resident memory. Anonymous memory is the server's own; mapped files may be taken back by the kernel.",
        unit: "MiB",
        columns: &[("server_anon_kib", "anonymous"), ("server_file_kib", "files and shared")],
        divisor: 1024.0,
        server: true,
    },
    Timeline {
        title: "Sessions over time",
        note: "Gateway sessions that are READY.",
        unit: "sessions",
        columns: &[("sessions", "sessions")],
        divisor: 1.0,
        server: false,
    },
];

/// All plots of one run.
pub fn of(report: &Report) -> Vec<Figure> {
    let mut plots = Vec::new();
    let (of_sessions, of_load): (Vec<_>, Vec<_>) = figures::ranked_latencies(report.latencies.iter())
        .into_iter()
        .map(|(name, d)| (name.clone(), d))
        .partition(|(name, _)| figures::SESSION_LATENCIES.contains(&name.as_str()));
    for (title, group) in [("", of_load), (" of opening and keeping sessions", of_sessions)] {
        for lines in group.chunks(LINES_MAX) {
            plots.push(Figure::Plot(by_percentile(format!("Latency{title} by percentile"), lines)));
            plots.push(Figure::Plot(histogram(format!("Histogram of latency{title}"), lines)));
        }
    }
    if plots.is_empty() {
        let why = "No latency was measured.".into();
        plots.push(Figure::Missing { title: "Latency by percentile".into(), why });
    }
    plots.extend(TIMELINES.iter().filter_map(|timeline| over_time(timeline, report)));
    plots
}

/// The plots of two runs, one above the other.
pub fn of_both(a: &Report, b: &Report) -> Vec<Figure> {
    let mut plots = Vec::new();
    for (name, of_a) in figures::ranked_latencies(a.latencies.iter()) {
        if let Some(of_b) = b.latencies.get(name) {
            let lines = [("A".to_string(), of_a), ("B".to_string(), of_b)];
            let mut plot = by_percentile(format!("Latency of {name} by percentile"), &lines);
            plot.lines[1].dashed = true;
            plots.push(Figure::Plot(plot));
        }
    }
    for timeline in &TIMELINES {
        for (column, label) in timeline.columns {
            plots.extend(column_of_both(timeline, column, label, a, b));
        }
    }
    plots
}

fn by_percentile(title: String, distributions: &[(String, &Distribution)]) -> Plot {
    let most = distributions.iter().map(|(_, d)| d.count).max().unwrap_or(1).max(10);
    let (y, log) = latency_axis(distributions);
    let lines = distributions.iter().enumerate().map(|(i, (label, d))| {
        // 100 % would be infinitely far: the largest sample stands where the last one's share begins.
        let end = 100.0 - 100.0 / (d.count.max(2) as f64);
        let mut points: Vec<(f64, f64)> = d.curve.iter().copied().filter(|(p, _)| *p < end).collect();
        points.push((end, d.max));
        line(label, i, points)
    });
    Plot {
        title,
        note: format!(
            "How long the given share of samples took at most{}.",
            if log { "; both axes are logarithmic" } else { "" }
        ),
        x: Axis {
            label: "percentile".into(),
            scale: Scale::Percentile,
            min: 0.0,
            max: 100.0 - 100.0 / most as f64,
            format: |p| format!("{}%", (p * 1e7).round() / 1e7),
        },
        y,
        lines: lines.collect(),
        marks: Vec::new(),
    }
}

/// Linear from 0 while every line can be read that way, otherwise logarithmic.
fn latency_axis(distributions: &[(String, &Distribution)]) -> (Axis, bool) {
    let max = distributions.iter().map(|(_, d)| d.max).fold(1.0, f64::max);
    let median = distributions.iter().map(|(_, d)| d.named[0].max(1.0)).fold(f64::INFINITY, f64::min);
    let min = distributions.iter().map(|(_, d)| d.min.max(1.0)).fold(f64::INFINITY, f64::min);
    let log = max > median * LINEAR_MAX;
    let axis = Axis {
        label: "latency".into(),
        scale: if log { Scale::Log } else { Scale::Linear },
        min: if log { step_down(min) } else { 0.0 },
        max: if log { step_up(max) } else { max },
        format: figures::duration,
    };
    (axis, log)
}

/// The next of 1, 2, 5, 10, … below, or above.
fn step_down(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0].into_iter().map(|f| f * power).find(|v| *v <= value * (1.0 + 1e-9)).unwrap_or(power)
}

fn step_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|f| f * power)
        .find(|v| *v >= value * (1.0 - 1e-9))
        .unwrap_or(power * 10.0)
}

/// The share of samples in each bucket, as steps.
fn histogram(title: String, distributions: &[(String, &Distribution)]) -> Plot {
    let (min, max) = distributions.iter().fold((f64::INFINITY, 1.0f64), |(min, max), (_, d)| {
        (min.min(d.min.max(1.0)), max.max(d.max.max(1.0)))
    });
    let mut highest: f64 = 0.0;
    let mut lines = Vec::new();
    for (i, (label, d)) in distributions.iter().enumerate() {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (bound, count) in &d.buckets {
            let (start, share) =
                (super::distribution::bucket_start(*bound), *count as f64 * 100.0 / d.count.max(1) as f64);
            highest = highest.max(share);
            // Empty buckets between two others are a line at zero.
            if points.last().is_none_or(|(end, _)| *end < start * 0.999) {
                points.extend(points.last().map(|(end, _)| (*end, 0.0)));
                points.push((start, 0.0));
            }
            points.extend([(start, share), (*bound, share)]);
        }
        points.extend(points.last().map(|(end, _)| (*end, 0.0)));
        lines.push(Line { filled: true, ..line(label, i, points) });
    }
    Plot {
        title,
        note: "Share of samples by latency, in steps of 12 %.".into(),
        x: Axis {
            label: "latency".into(),
            scale: Scale::Log,
            min: step_down(min),
            max: step_up(max),
            format: figures::duration,
        },
        y: Axis {
            label: "share of samples".into(),
            scale: Scale::Linear,
            min: 0.0,
            max: highest.max(1e-3),
            format: |share| format!("{}%", (share * 1e3).round() / 1e3),
        },
        lines,
        marks: Vec::new(),
    }
}

fn line(label: &str, color: usize, points: Vec<(f64, f64)>) -> Line {
    Line { label: label.to_string(), color, dashed: false, filled: false, points }
}

fn over_time(timeline: &Timeline, report: &Report) -> Option<Figure> {
    let missing = |why: &str| Some(Figure::Missing { title: timeline.title.into(), why: why.into() });
    if report.series.t_s.is_empty() {
        return missing("The run ended before anything was recorded.");
    }
    let lines: Vec<Line> = timeline
        .columns
        .iter()
        .enumerate()
        .filter_map(|(i, (column, label))| Some(line(label, i, report.series.points(column)?)))
        .filter(|line| line.points.iter().any(|(_, value)| *value > 0.0))
        .collect();
    let unnamed = timeline.server && report.environment.server_processes.is_empty();
    // A scenario without sessions has nothing to say about them.
    if lines.is_empty() {
        return unnamed.then(|| missing(UNNAMED)).flatten();
    }
    let mut plot = plot_over_time(timeline, timeline.title.into(), lines, report.series.load_start_s);
    if unnamed {
        plot.note = UNNAMED.into();
    }
    Some(Figure::Plot(plot))
}

fn column_of_both(timeline: &Timeline, column: &str, label: &str, a: &Report, b: &Report) -> Option<Figure> {
    // Runs are laid over each other where their load begins.
    let shifted = |report: &Report| {
        let start = report.series.load_start_s.unwrap_or(0.0);
        let points = report.series.points(column)?;
        Some(points.into_iter().map(|(t, v)| (t - start, v)).filter(|(t, _)| *t > 0.0).collect::<Vec<_>>())
    };
    let (of_a, of_b) = (shifted(a)?, shifted(b)?);
    if of_a.iter().chain(&of_b).all(|(_, value)| *value == 0.0) {
        return None;
    }
    let lines = vec![line("A", 0, of_a), Line { dashed: true, ..line("B", 1, of_b) }];
    let title = format!("{}: {label}", timeline.title);
    Some(Figure::Plot(plot_over_time(timeline, title, lines, None)))
}

fn plot_over_time(
    timeline: &Timeline,
    title: String,
    mut lines: Vec<Line>,
    load_start_s: Option<f64>,
) -> Plot {
    let points = lines.iter().flat_map(|line| &line.points);
    let (end_s, highest) = points.fold((0.0f64, 0.0f64), |(t, v), point| (t.max(point.0), v.max(point.1)));
    let minutes = end_s > 300.0;
    let scale = if minutes { 60.0 } else { 1.0 };
    for point in lines.iter_mut().flat_map(|line| &mut line.points) {
        *point = (point.0 / scale, point.1 / timeline.divisor);
    }
    // At the very left it would say nothing.
    let mark = load_start_s
        .filter(|start| *start > end_s * 0.03)
        .map(|start| (start / scale, "load begins".to_string()));
    Plot {
        title,
        note: timeline.note.into(),
        x: Axis {
            label: if minutes { "minutes" } else { "seconds" }.into(),
            scale: Scale::Linear,
            min: 0.0,
            max: end_s / scale,
            format: figures::tick,
        },
        y: Axis {
            label: timeline.unit.into(),
            scale: Scale::Linear,
            min: 0.0,
            max: (highest / timeline.divisor).max(1e-6),
            format: figures::tick,
        },
        lines,
        marks: mark.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::svg::{SIZES, draw};
    use super::super::tests::sample;
    use super::*;

    fn titles(plots: &[Figure]) -> Vec<(&str, bool)> {
        plots
            .iter()
            .map(|plot| match plot {
                Figure::Plot(plot) => (plot.title.as_str(), true),
                Figure::Missing { title, .. } => (title.as_str(), false),
            })
            .collect()
    }

    #[test]
    fn every_plot_is_there_or_missed() {
        let full = of(&sample());
        assert_eq!(titles(&full)[0], ("Latency by percentile", true));
        assert!(titles(&full).contains(&("CPU over time", true)), "{:?}", titles(&full));
        for plot in &full {
            if let Figure::Plot(plot) = plot {
                SIZES.iter().for_each(|size| assert!(!draw(plot, *size).contains("NaN"), "{}", plot.title));
            }
        }
        let empty = of(&Report::default());
        assert!(empty.len() >= 4 && titles(&empty).iter().all(|(_, drawn)| !drawn), "{:?}", titles(&empty));
        let mut without_pid = sample();
        without_pid.series.columns.retain(|name, _| !name.starts_with("server_"));
        without_pid.environment.server_processes.clear();
        let drawn = of(&without_pid);
        assert!(titles(&drawn).contains(&("Server memory over time", false)), "{:?}", titles(&drawn));
    }

    #[test]
    fn steps_are_round() {
        for (value, down, up) in
            [(1.0, 1.0, 1.0), (3.0, 2.0, 5.0), (70.0, 50.0, 100.0), (1000.0, 1000.0, 1000.0)]
        {
            assert!((step_down(value) - down).abs() < 1e-6, "{value}: {}", step_down(value));
            assert!((step_up(value) - up).abs() < 1e-6, "{value}: {}", step_up(value));
        }
    }

    #[test]
    fn two_runs_share_their_plots() {
        let plots = of_both(&sample(), &sample());
        assert!(
            titles(&plots).contains(&("Latency of delivery by percentile", true)),
            "{:?}",
            titles(&plots)
        );
        for plot in &plots {
            let Figure::Plot(plot) = plot else { panic!("nothing is missing") };
            assert_eq!(plot.lines.iter().map(|l| l.label.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        }
        assert!(of_both(&sample(), &Report::default()).is_empty());
    }
}
