//! What a run looked like over time.
//!
//! Owns: when to sample, how many points are kept, and how counts become rates.
//! Invariant: at most [`POINTS_MAX`] points however long a run is, and no event is lost between two of them: samples
//! hold totals, so dropping one leaves the rate over both intervals.

use std::collections::BTreeMap;

use crate::usage::Usage;

/// Enough for a plot: about one per pixel column of a phone, and a file of some tens of kilobytes.
pub const POINTS_MAX: usize = 600;
/// The first distance between samples; it doubles whenever there are too many.
const INTERVAL_NS: u64 = 250_000_000;

/// Totals since the start, and levels, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Since the start of the run.
    pub at_ns: u64,
    pub deliveries: u64,
    pub answers: u64,
    pub errors: u64,
    pub sessions: u64,
    /// Of the server's processes; `None` when none was named.
    pub server: Option<Usage>,
    /// Of all processes of the load generator.
    pub client: Usage,
}

impl Sample {
    /// One sample for two: totals are the later ones, memory is the larger.
    fn then(&self, later: &Sample) -> Sample {
        Sample { server: later.server.zip(self.server).map(|(b, a)| b.with_peak(&a)), ..*later }
    }
}

/// Collects samples during a run.
pub struct Recorder {
    interval_ns: u64,
    samples: Vec<Sample>,
    load_start_ns: Option<u64>,
}

impl Recorder {
    pub fn new(first: Sample) -> Recorder {
        Recorder { interval_ns: INTERVAL_NS, samples: vec![first], load_start_ns: None }
    }

    /// Whether it is time for another sample, `at_ns` after the start.
    pub fn due(&self, at_ns: u64) -> bool {
        self.samples.last().is_none_or(|last| at_ns >= last.at_ns + self.interval_ns)
    }

    pub fn add(&mut self, sample: Sample) {
        self.samples.push(sample);
        // The first sample is where the first interval begins: it makes no point.
        if self.samples.len() > POINTS_MAX + 1 {
            self.thin();
        }
    }

    /// Opening is over.
    pub fn load_starts(&mut self, at_ns: u64) {
        self.load_start_ns = Some(at_ns);
    }

    /// Makes one interval of each two.
    fn thin(&mut self) {
        self.interval_ns *= 2;
        let first = self.samples[0];
        let pairs = self.samples[1..].chunks(2).map(|pair| match pair {
            [a, b] => a.then(b),
            pair => pair[0],
        });
        self.samples = std::iter::once(first).chain(pairs).collect();
    }

    /// Ends the recording with a last sample.
    pub fn finish(mut self, last: Sample) -> Series {
        let short = |s: &Sample| last.at_ns < s.at_ns + self.interval_ns / 2;
        // A very short interval would turn one tick of CPU time into a peak: the one before takes it in.
        match self.samples.pop_if(|s| short(s)) {
            None => self.add(last),
            Some(first) if self.samples.is_empty() => self.add(first),
            Some(before) => self.add(before.then(&last)),
        }
        Series::from_samples(&self.samples, self.interval_ns, self.load_start_ns)
    }
}

/// Points over time. All columns are as long as `t_s`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Seconds between two points, about.
    pub interval_s: f64,
    /// When opening was over and the load began, in seconds since the start.
    pub load_start_s: Option<f64>,
    /// Where the interval of each point ends, in seconds since the start.
    pub t_s: Vec<f64>,
    /// By name; names end in their unit.
    pub columns: BTreeMap<String, Vec<f64>>,
}

impl Series {
    fn from_samples(samples: &[Sample], interval_ns: u64, load_start_ns: Option<u64>) -> Series {
        let mut series = Series {
            interval_s: interval_ns as f64 / 1e9,
            load_start_s: load_start_ns.map(|ns| ns as f64 / 1e9),
            ..Series::default()
        };
        for pair in samples.windows(2).filter(|pair| pair[1].at_ns > pair[0].at_ns) {
            series.add_point(&pair[0], &pair[1]);
        }
        series
    }

    fn add_point(&mut self, before: &Sample, after: &Sample) {
        let seconds = (after.at_ns - before.at_ns) as f64 / 1e9;
        let rate = |after: u64, before: u64| after.saturating_sub(before) as f64 / seconds;
        self.t_s.push(after.at_ns as f64 / 1e9);
        self.push("deliveries_per_s", rate(after.deliveries, before.deliveries));
        self.push("answers_per_s", rate(after.answers, before.answers));
        self.push("errors_per_s", rate(after.errors, before.errors));
        self.push("sessions", after.sessions as f64);
        let cores = |after: f64, before: f64| (after - before).max(0.0) / seconds;
        self.push("client_cpu_cores", cores(after.client.cpu_s(), before.client.cpu_s()));
        if let (Some(b), Some(a)) = (before.server, after.server) {
            self.push("server_cpu_cores", cores(a.cpu_s(), b.cpu_s()));
            self.push("server_cpu_user_cores", cores(a.user_s, b.user_s));
            self.push("server_cpu_system_cores", cores(a.system_s, b.system_s));
            self.push("server_anon_kib", a.anon_kib as f64);
            self.push("server_file_kib", a.file_kib as f64);
        }
    }

    fn push(&mut self, name: &str, value: f64) {
        match self.columns.get_mut(name) {
            Some(column) => column.push(value),
            None => drop(self.columns.insert(name.to_string(), vec![value])),
        }
    }

    /// The points of a column; `None` when it was not recorded, or nothing was.
    pub fn points(&self, name: &str) -> Option<Vec<(f64, f64)>> {
        let column = self.columns.get(name).filter(|column| !column.is_empty())?;
        Some(self.t_s.iter().copied().zip(column.iter().copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of `count` intervals: 100 deliveries and 0.1 s of CPU time in each.
    fn run(count: u64) -> Series {
        let sample = |i: u64| Sample {
            at_ns: i * INTERVAL_NS,
            deliveries: i * 100,
            sessions: 5,
            server: Some(Usage {
                user_s: i as f64 * 0.1,
                anon_kib: if i == 7 { 900 } else { 100 },
                ..Usage::default()
            }),
            ..Sample::default()
        };
        let mut recorder = Recorder::new(sample(0));
        for i in 1..count {
            if recorder.due(i * INTERVAL_NS) {
                recorder.add(sample(i));
            }
        }
        recorder.load_starts(INTERVAL_NS);
        recorder.finish(sample(count))
    }

    #[test]
    fn long_runs_keep_few_points_and_every_event() {
        for count in [1, 2, 10, 599, 600, 601, 1200, 1201, 5000, 40_000] {
            let series = run(count);
            let points = series.t_s.len();
            assert!(
                points <= POINTS_MAX && points as u64 >= count.min(POINTS_MAX as u64 / 2),
                "{count}: {points}"
            );
            let deliveries = series.points("deliveries_per_s").unwrap();
            let mut last = 0.0;
            let mut sum = 0.0;
            for (t, rate) in deliveries {
                assert!(t > last, "time goes forward");
                assert!((rate - 400.0).abs() < 1e-6, "{count}: {rate} at {t}");
                sum += rate * (t - last);
                last = t;
            }
            assert!((sum - count as f64 * 100.0).abs() < 1e-3, "{count}: {sum}");
            assert_eq!(series.load_start_s, Some(0.25));
        }
        let peak = run(5000).points("server_anon_kib").unwrap().iter().fold(0.0f64, |m, (_, v)| m.max(*v));
        assert_eq!(peak, 900.0, "a peak of memory survives thinning");
    }

    #[test]
    fn a_short_end_belongs_to_the_interval_before() {
        let at = |ms: u64| Sample { at_ns: ms * 1_000_000, answers: ms, ..Sample::default() };
        let ends = |end_ms: u64| {
            let mut recorder = Recorder::new(at(0));
            recorder.add(at(250));
            recorder.add(at(500));
            recorder.finish(at(end_ms)).t_s
        };
        assert_eq!(ends(600), [0.25, 0.6]);
        assert_eq!(ends(625), [0.25, 0.5, 0.625]);
    }

    #[test]
    fn what_was_not_recorded_is_missing() {
        let recorder = Recorder::new(Sample::default());
        let series = recorder.finish(Sample { at_ns: INTERVAL_NS, answers: 10, ..Sample::default() });
        assert_eq!(series.points("answers_per_s"), Some(vec![(0.25, 40.0)]));
        assert_eq!(series.points("server_cpu_cores"), None);
        let nothing = Recorder::new(Sample::default()).finish(Sample { at_ns: 5, ..Sample::default() });
        assert!(nothing.t_s.is_empty() && nothing.points("answers_per_s").is_none());
    }
}
