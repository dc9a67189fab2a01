//! Line plots as inline SVG.
//!
//! Owns: where ticks stand, how values become coordinates, what is drawn.
//! Invariant: labels of an axis never overlap, whatever the size: fewer ticks are taken instead. Text is escaped;
//! colours come from the page's style (`.c0` and up).

use std::fmt::Write;

/// How a value becomes a place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// From 0 on.
    Linear,
    Log,
    /// Percentiles spread the way HDR plots do: 90, 99, 99.9 are equally far apart.
    Percentile,
}

/// One axis.
pub struct Axis {
    pub label: String,
    pub scale: Scale,
    pub min: f64,
    pub max: f64,
    /// Writes a tick, with its unit.
    pub format: fn(f64) -> String,
}

/// One line.
pub struct Line {
    pub label: String,
    /// Index of its colour.
    pub color: usize,
    pub dashed: bool,
    /// The area below it is tinted.
    pub filled: bool,
    pub points: Vec<(f64, f64)>,
}

/// One plot, before its size is known.
pub struct Plot {
    pub title: String,
    /// One sentence about what is seen.
    pub note: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    /// Moments worth a vertical line.
    pub marks: Vec<(f64, String)>,
}

/// Pixels; text is 12 of them high at either size.
#[derive(Clone, Copy)]
pub struct Size {
    pub width: f64,
    pub height: f64,
    /// Class of the `<svg>`: the page shows one of both.
    pub class: &'static str,
}

pub const SIZES: [Size; 2] = [
    Size { width: 900.0, height: 300.0, class: "wide" },
    Size { width: 360.0, height: 250.0, class: "narrow" },
];

/// Width of a character of the labels; digits of most fonts are narrower.
const CHAR_WIDTH: f64 = 7.0;
const TICK_GAP: f64 = 14.0;
/// Between two ticks of a vertical axis.
const TICK_HEIGHT: f64 = 36.0;

impl Axis {
    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let (min, max) = (self.scale.along(self.min), self.scale.along(self.max));
        if max <= min { 0.0 } else { ((self.scale.along(value) - min) / (max - min)).clamp(0.0, 1.0) }
    }

    /// At most `count` ticks within the axis, evenly spread for its scale.
    fn candidates(&self, count: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => linear_ticks(self.max, count),
            Scale::Log => log_ticks(self.min, self.max, count),
            Scale::Percentile => percentile_ticks(self.max, count),
        }
    }

    /// The most ticks whose labels fit side by side (`horizontal`) or above each other.
    fn ticks(&self, len: f64, horizontal: bool) -> Vec<(f64, String)> {
        let room = match (horizontal, self.scale) {
            (true, _) => 70.0,
            (false, Scale::Log) => 20.0,
            (false, _) => TICK_HEIGHT,
        };
        let mut count = (len / room) as usize;
        loop {
            let ticks: Vec<(f64, String)> = self
                .candidates(count.max(1))
                .into_iter()
                .map(|v| (self.place(v), (self.format)(v)))
                .collect();
            let size =
                |label: &String| if horizontal { label.chars().count() as f64 * CHAR_WIDTH } else { 12.0 };
            let fits = ticks.windows(2).all(|pair| {
                let gap = (pair[1].0 - pair[0].0) * len - (size(&pair[0].1) + size(&pair[1].1)) / 2.0;
                gap >= if horizontal { TICK_GAP } else { 4.0 }
            });
            if fits {
                return ticks;
            }
            // A single label always fits.
            if count <= 1 {
                return ticks.into_iter().rev().take(1).collect();
            }
            count -= 1;
        }
    }

    /// Ends a linear axis at a tick, so that the highest point has a label above it.
    fn rounded(&self, len: f64) -> f64 {
        match self.scale {
            Scale::Linear => {
                let step = linear_step(self.max, (len / TICK_HEIGHT) as usize);
                (self.max / step - 1e-9).ceil() * step
            }
            Scale::Log | Scale::Percentile => self.max,
        }
    }
}

impl Scale {
    fn along(self, value: f64) -> f64 {
        match self {
            Scale::Linear => value,
            Scale::Log => value.max(1e-9).log10(),
            Scale::Percentile => -((100.0 - value.clamp(0.0, 100.0 - 1e-9)) / 100.0).log10(),
        }
    }
}

/// 1, 2 or 5 times a power of ten, at most `count` steps up to `max`.
fn linear_step(max: f64, count: usize) -> f64 {
    let rough = max.max(1e-9) / count.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor =
        [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

/// From 0 to `max` in steps that people count in.
pub fn linear_ticks(max: f64, count: usize) -> Vec<f64> {
    let step = linear_step(max, count);
    let last = (max / step + 1e-9).floor() as usize;
    (0..=last).map(|i| i as f64 * step).collect()
}

/// Powers of ten, with 2 and 5 between them if there is room for at most `count`.
pub fn log_ticks(min: f64, max: f64, count: usize) -> Vec<f64> {
    let (first, last) = (min.max(1e-9).log10().floor() as i32, max.max(1e-9).log10().ceil() as i32);
    let of = |factors: &[f64], every: i32| -> Vec<f64> {
        (first..=last)
            .filter(|power| power.rem_euclid(every) == 0)
            .flat_map(|power| factors.iter().map(move |f| f * 10f64.powi(power)).collect::<Vec<_>>())
            .filter(|v| (min * (1.0 - 1e-9)..=max * (1.0 + 1e-9)).contains(v))
            .collect()
    };
    let choices = [of(&[1.0, 2.0, 5.0], 1), of(&[1.0, 3.0], 1), of(&[1.0], 1), of(&[1.0], 2), of(&[1.0], 3)];
    choices.iter().find(|ticks| ticks.len() <= count).unwrap_or(&choices[4]).clone()
}

/// 90, 99, 99.9, … up to `max`, at most `count` of them; with 50 and 0 if there is room.
pub fn percentile_ticks(max: f64, count: usize) -> Vec<f64> {
    let nines = (1..=9).map(|n| 100.0 - 100.0 / 10f64.powi(n)).take_while(|p| *p <= max + 1e-9);
    let all: Vec<f64> = [0.0, 50.0].into_iter().chain(nines).collect();
    match all.len() {
        n if n <= count => all,
        n if n == count + 1 => all[1..].to_vec(),
        n => {
            let every = (n - 2).div_ceil(count.max(1)).max(1);
            all[2..].iter().copied().step_by(every).collect()
        }
    }
}

/// Text for HTML and SVG, in elements and attributes alike.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Not allowed in HTML, and never meant to be seen.
            c if c.is_control() && c != '\n' && c != '\t' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Where the area of the plot is within its picture.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

/// Draws a plot at one size.
pub fn draw(plot: &Plot, size: Size) -> String {
    let (top, bottom) = (if plot.marks.is_empty() { 26.0 } else { 40.0 }, 42.0);
    let height = size.height - top - bottom;
    let y = Axis { label: String::new(), max: plot.y.rounded(height), ..plot.y };
    let y_ticks = y.ticks(height, false);
    let longest = y_ticks.iter().map(|(_, label)| label.chars().count()).max().unwrap_or(0);
    let left = longest as f64 * CHAR_WIDTH + 10.0;
    // Half of the last label stands beyond the end.
    let frame = Frame { left, top, width: size.width - left - 26.0, height };
    let mut out = format!(
        "<svg class=\"plot {}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
        size.class,
        size.width,
        size.height,
        escape(&plot.title)
    );
    grid(&mut out, plot, &frame, &y_ticks);
    for (x, label) in &plot.marks {
        mark(&mut out, plot, &frame, *x, label);
    }
    for line in plot.lines.iter().filter(|line| !line.points.is_empty()) {
        path(&mut out, plot, &y, &frame, line);
    }
    out.push_str("</svg>\n");
    out
}

fn grid(out: &mut String, plot: &Plot, f: &Frame, y_ticks: &[(f64, String)]) {
    let (right, bottom) = (f.left + f.width, f.top + f.height);
    for (place, label) in y_ticks {
        let y = bottom - place * f.height;
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{:.1} {y:.1}H{right:.1}\"/>", f.left);
        let _ = writeln!(
            out,
            "<text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            f.left - 6.0,
            y + 4.0,
            escape(label)
        );
    }
    for (place, label) in plot.x.ticks(f.width, true) {
        let x = f.left + place * f.width;
        let _ = writeln!(out, "<path class=\"grid\" d=\"M{x:.1} {:.1}V{bottom:.1}\"/>", f.top);
        let _ = writeln!(
            out,
            "<text class=\"mid\" x=\"{x:.1}\" y=\"{:.1}\">{}</text>",
            bottom + 16.0,
            escape(&label)
        );
    }
    let _ = writeln!(out, "<path class=\"axis\" d=\"M{:.1} {:.1}V{bottom:.1}H{right:.1}\"/>", f.left, f.top);
    let _ = writeln!(out, "<text class=\"name\" x=\"2\" y=\"12\">{}</text>", escape(&plot.y.label));
    let middle = f.left + f.width / 2.0;
    let _ = writeln!(
        out,
        "<text class=\"name mid\" x=\"{middle:.1}\" y=\"{:.1}\">{}</text>",
        bottom + 36.0,
        escape(&plot.x.label)
    );
}

fn mark(out: &mut String, plot: &Plot, f: &Frame, x: f64, label: &str) {
    let place = plot.x.place(x);
    let at = f.left + place * f.width;
    // The label stands on the side that has room.
    let (class, shift) = if place < 0.5 { ("name", 4.0) } else { ("name end", -4.0) };
    let _ =
        writeln!(out, "<path class=\"mark\" d=\"M{at:.1} {:.1}V{:.1}\"/>", f.top - 12.0, f.top + f.height);
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        at + shift,
        f.top - 4.0,
        escape(label)
    );
}

fn path(out: &mut String, plot: &Plot, y: &Axis, f: &Frame, line: &Line) {
    let bottom = f.top + f.height;
    let place =
        |&(px, py): &(f64, f64)| (f.left + plot.x.place(px) * f.width, bottom - y.place(py) * f.height);
    let mut d = String::new();
    for (i, point) in line.points.iter().enumerate() {
        let (px, py) = place(point);
        let _ = write!(d, "{}{px:.1} {py:.1}", if i == 0 { "M" } else { "L" });
    }
    let (first, last) = (place(&line.points[0]).0, place(&line.points[line.points.len() - 1]).0);
    if line.filled {
        let _ = writeln!(out, "<path class=\"area c{}\" d=\"{d}V{bottom:.1}H{first:.1}Z\"/>", line.color);
    }
    let dashed = if line.dashed { " dashed" } else { "" };
    let _ = writeln!(
        out,
        "<path class=\"line c{}{dashed}\" d=\"{d}\"><title>{}</title></path>",
        line.color,
        escape(&line.label)
    );
    // A line of one point has no length.
    if first == last {
        let (px, py) = place(&line.points[0]);
        let _ =
            writeln!(out, "<circle class=\"dot c{}\" cx=\"{px:.1}\" cy=\"{py:.1}\" r=\"3\"/>", line.color);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_ticks_are_round() {
        for (max, count, want) in [
            (10.0, 5, vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0]),
            (1.0, 4, vec![0.0, 0.5, 1.0]),
            (137.0, 4, vec![0.0, 50.0, 100.0]),
            (0.003, 3, vec![0.0, 0.001, 0.002, 0.003]),
            (0.0, 3, vec![0.0]),
        ] {
            let got = linear_ticks(max, count);
            assert_eq!(got.len(), want.len(), "{max}: {got:?}");
            assert!(got.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-9), "{max}: {got:?}");
        }
    }

    #[test]
    fn log_and_percentile_ticks() {
        assert_eq!(log_ticks(1.0, 100.0, 10), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        assert_eq!(log_ticks(1.0, 1e4, 6), [1.0, 10.0, 100.0, 1e3, 1e4]);
        assert_eq!(log_ticks(30.0, 40.0, 5), [] as [f64; 0]);
        assert_eq!(percentile_ticks(99.95, 9), [0.0, 50.0, 90.0, 99.0, 99.9]);
        assert_eq!(percentile_ticks(99.95, 4), [50.0, 90.0, 99.0, 99.9]);
        assert_eq!(percentile_ticks(99.95, 3), [90.0, 99.0, 99.9]);
        assert_eq!(percentile_ticks(99.95, 2), [90.0, 99.9]);
        assert_eq!(percentile_ticks(20.0, 1), [50.0]);
    }

    fn axis(scale: Scale, min: f64, max: f64) -> Axis {
        Axis { label: "x".into(), scale, min, max, format: |v| format!("{v} units") }
    }

    #[test]
    fn labels_do_not_overlap() {
        for (scale, min) in [(Scale::Linear, 0.0), (Scale::Log, 0.5), (Scale::Percentile, 0.0)] {
            for max in [0.7, 3.0, 99.99, 99.9999, 12_345.0, 1e9] {
                let max = if scale == Scale::Percentile { f64::min(max, 99.9999) } else { max };
                for len in [60.0, 200.0, 300.0, 800.0] {
                    let ticks = axis(scale, min, max).ticks(len, true);
                    for pair in ticks.windows(2) {
                        let gap = (pair[1].0 - pair[0].0) * len;
                        let text = (pair[0].1.len() + pair[1].1.len()) as f64 / 2.0 * CHAR_WIDTH;
                        assert!(gap > text, "{scale:?} to {max} on {len}: {ticks:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn percentiles_spread() {
        let axis = axis(Scale::Percentile, 0.0, 99.99);
        for (percentile, want) in [(0.0, 0.0), (90.0, 0.25), (99.0, 0.5), (99.99, 1.0), (100.0, 1.0)] {
            assert!((axis.place(percentile) - want).abs() < 1e-6, "{percentile}");
        }
    }

    #[test]
    fn plots_escape_their_text() {
        let points = vec![(1.0, 1.0)];
        let line = Line { label: "<b>&\"".into(), color: 0, dashed: true, filled: true, points };
        let empty = Line { label: String::new(), color: 1, dashed: false, filled: false, points: Vec::new() };
        let plot = Plot {
            title: "<i>".into(),
            note: String::new(),
            x: axis(Scale::Linear, 0.0, 10.0),
            y: axis(Scale::Log, 1.0, 100.0),
            lines: vec![line, empty],
            marks: vec![(5.0, "</svg>".into())],
        };
        for size in SIZES {
            let svg = draw(&plot, size);
            assert!(
                !svg.contains("<b>") && !svg.contains("<i>") && svg.matches("</svg>").count() == 1,
                "{svg}"
            );
            assert!(svg.contains("&lt;b&gt;&amp;&quot;") && !svg.contains("NaN"), "{svg}");
        }
        assert_eq!(escape("a'\u{1b}\n"), "a&#39;\u{fffd}\n");
    }
}
