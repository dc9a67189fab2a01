//! The server's memory over the time of a run.

use crate::stats::Results;
use crate::system;

/// Longest series: a day of seconds.
const SAMPLES_MAX: usize = 86_400;

/// Memory of the server's processes in KiB, sampled at a fixed interval.
pub struct Trend {
    pids: Vec<u32>,
    interval_ns: u64,
    next_ns: u64,
    anon: Vec<f64>,
    rss: Vec<f64>,
}

impl Trend {
    pub fn new(pids: &[u32], interval_ns: u64) -> Trend {
        Trend { pids: pids.to_vec(), interval_ns, next_ns: 0, anon: Vec::new(), rss: Vec::new() }
    }

    /// Takes a sample when one is due.
    pub fn sample(&mut self, now: u64) {
        if now < self.next_ns || self.pids.is_empty() || self.anon.len() == SAMPLES_MAX {
            return;
        }
        self.next_ns = now + self.interval_ns;
        let memory = system::memory(&self.pids);
        self.anon.push(memory.anon_kib as f64);
        self.rss.push(memory.rss_kib() as f64);
    }

    /// The highest resident size against the first sample.
    pub fn report_peak(&self, results: &mut Results) {
        let Some(&first) = self.rss.first() else { return };
        results.gauge("server_rss_kib_before", first);
        results.gauge("server_rss_kib_peak", self.rss.iter().copied().fold(first, f64::max));
    }

    /// Means of the first and the last quarter, and by which share of the first the last is above it.
    pub fn report_drift(&self, results: &mut Results) {
        for (name, samples) in [("anon", &self.anon), ("rss", &self.rss)] {
            let Some((first, last)) = quarters(samples) else { continue };
            results.gauge(&format!("server_{name}_kib_first_quarter"), first);
            results.gauge(&format!("server_{name}_kib_last_quarter"), last);
            results.gauge(&format!("server_{name}_drift"), (last - first) / first.max(1.0));
        }
    }
}

/// Means of the first and the last quarter of at least four samples.
fn quarters(samples: &[f64]) -> Option<(f64, f64)> {
    let len = samples.len() / 4;
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    (len > 0).then(|| (mean(&samples[..len]), mean(&samples[samples.len() - len..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quarters_of_a_series() {
        assert_eq!(quarters(&[1.0, 2.0, 3.0]), None);
        assert_eq!(quarters(&[1.0, 9.0, 9.0, 5.0]), Some((1.0, 5.0)));
        let series: Vec<f64> = (0..11).map(f64::from).collect();
        assert_eq!(quarters(&series), Some((0.5, 9.5)));
    }

    #[test]
    fn a_growing_server_drifts_and_peaks() {
        let trend = Trend {
            pids: vec![1],
            interval_ns: 1,
            next_ns: 0,
            anon: vec![100.0, 100.0, 150.0, 110.0],
            rss: vec![200.0, 300.0, 250.0, 200.0],
        };
        let mut results = Results::default();
        trend.report_drift(&mut results);
        trend.report_peak(&mut results);
        assert!((results.gauges["server_anon_drift"] - 0.1).abs() < 1e-9);
        assert_eq!(results.gauges["server_rss_drift"], 0.0);
        assert_eq!(results.gauges["server_rss_kib_peak"], 300.0);
    }
}
