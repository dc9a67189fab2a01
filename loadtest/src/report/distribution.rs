//! A latency distribution as reports keep it: named percentiles, a curve of them, and buckets.
//!
//! Invariant: microseconds; a curve never falls, and buckets hold every sample once.

use crate::stats::Latency;

/// The percentiles that have a name in results, and how many percent each is.
pub const NAMED: [(&str, f64); 7] = [
    ("p50", 50.0),
    ("p75", 75.0),
    ("p90", 90.0),
    ("p95", 95.0),
    ("p99", 99.0),
    ("p99.9", 99.9),
    ("p99.99", 99.99),
];

/// Buckets per factor of ten: a bucket is 12 % wide, so that two peaks a quarter apart are told apart.
const BUCKETS_PER_DECADE: f64 = 20.0;
/// Points of the curve each time the distance to 100 % halves: a million samples give about 100.
const POINTS_PER_HALVING: u32 = 5;

/// Times in microseconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    pub count: u64,
    pub mean: f64,
    pub min: f64,
    pub max: f64,
    /// In the order of [`NAMED`].
    pub named: [f64; NAMED.len()],
    /// Percentile 0 to 100 and the time that so many percent of the samples do not exceed; both only grow.
    pub curve: Vec<(f64, f64)>,
    /// Upper bound of each bucket that holds anything, and how many samples it holds. Bounds are
    /// powers of 10^(1/20) microseconds; a bucket begins where the power before it ends.
    pub buckets: Vec<(f64, u64)>,
}

impl From<&Latency> for Distribution {
    fn from(latency: &Latency) -> Distribution {
        let histogram = latency.histogram();
        let us = |ns: u64| ns.min(histogram.max()) as f64 / 1e3;
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for step in histogram.iter_recorded() {
            let bound = bucket_bound(us(step.value_iterated_to()));
            match buckets.last_mut() {
                Some((last, count)) if *last == bound => *count += step.count_at_value(),
                _ => buckets.push((bound, step.count_at_value())),
            }
        }
        let curve = histogram.iter_quantiles(POINTS_PER_HALVING);
        Distribution {
            count: histogram.len(),
            mean: histogram.mean() / 1e3,
            min: us(histogram.min()),
            max: us(histogram.max()),
            named: NAMED.map(|(_, percentile)| us(latency.at(percentile))),
            curve: curve
                .map(|step| (step.quantile_iterated_to() * 100.0, us(step.value_iterated_to())))
                .collect(),
            buckets,
        }
    }
}

impl Distribution {
    /// A named percentile: `p50`, `p99.9`, `max`, `mean`.
    pub fn named(&self, name: &str) -> Option<f64> {
        match name {
            "max" => Some(self.max),
            "mean" => Some(self.mean),
            _ => NAMED.iter().position(|(known, _)| *known == name).map(|i| self.named[i]),
        }
    }

    /// Samples beyond a percentile: with fewer than ten, one more slow answer moves it.
    pub fn beyond(&self, percentile: f64) -> f64 {
        self.count as f64 * (1.0 - percentile / 100.0)
    }
}

/// The bucket a time falls into, by its upper bound.
fn bucket_bound(us: f64) -> f64 {
    let power = (us.max(1.0).log10() * BUCKETS_PER_DECADE - 1e-9).ceil();
    10f64.powf(power / BUCKETS_PER_DECADE)
}

/// Where the bucket with this upper bound begins.
pub fn bucket_start(bound: f64) -> f64 {
    bound / 10f64.powf(1.0 / BUCKETS_PER_DECADE)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Samples of 1 to `count` milliseconds.
    pub fn even(count: u64) -> Distribution {
        let mut latency = Latency::new();
        (1..=count).for_each(|ms| latency.record(ms * 1_000_000));
        Distribution::from(&latency)
    }

    #[test]
    fn a_distribution_holds_every_sample() {
        let d = even(1000);
        assert_eq!((d.count, d.buckets.iter().map(|(_, n)| n).sum::<u64>()), (1000, 1000));
        assert!((d.max - 1e6).abs() < 1e3 && (d.min - 1e3).abs() < 10.0, "{} {}", d.min, d.max);
        for (name, want) in [("p50", 500e3), ("p99", 990e3), ("p99.99", 1e6), ("max", 1e6), ("mean", 500.5e3)]
        {
            let got = d.named(name).unwrap();
            assert!((got - want).abs() / want < 0.002, "{name}: {got}");
        }
        assert_eq!(d.named("p12"), None);
        assert!(d.curve.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 <= w[1].1), "{:?}", d.curve);
        assert_eq!(d.curve.last().unwrap().0, 100.0);
        assert!((40..200).contains(&d.curve.len()), "{}", d.curve.len());
    }

    #[test]
    fn buckets_are_even_on_a_log_scale() {
        for (us, bound) in
            [(0.5, 1.0), (1.0, 1.0), (1.01, 1.122), (10.0, 10.0), (99.0, 100.0), (1000.0, 1000.0)]
        {
            assert!((bucket_bound(us) - bound).abs() < bound * 1e-3, "{us}: {}", bucket_bound(us));
        }
        assert!((bucket_start(bucket_bound(50.0)) / 44.668 - 1.0).abs() < 1e-3);
    }
}
