//! When things happen and to whom: the open-loop schedule, the Zipf choice, and the random numbers both use.
//!
//! Invariant: all of it is a pure function of a seed, so that a run can be repeated.

/// SplitMix64 (Steele, Lea, Flood 2014): eight bytes of state, good enough to spread load.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Even in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Even in 0..bound; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next_u64()) * bound as u128) >> 64) as usize
    }

    /// Every order is equally likely (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// Chooses an index with a probability proportional to 1 / (index + 1)^exponent.
pub struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// `count` must be at least 1; an exponent of 0 is an even choice.
    pub fn new(count: usize, exponent: f64) -> Zipf {
        assert!(count > 0, "a choice needs something to choose from");
        let mut sum = 0.0;
        let cumulative = (1..=count)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        Zipf { cumulative }
    }

    pub fn pick(&self, random: &mut Random) -> usize {
        let total = self.cumulative[self.cumulative.len() - 1];
        let x = random.unit() * total;
        self.cumulative.partition_point(|&c| c <= x).min(self.cumulative.len() - 1)
    }
}

/// Spacing of an open-loop schedule.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Arrivals {
    /// Exponential gaps: independent users.
    Poisson,
    /// Equal gaps.
    Even,
}

/// Times at which operations are due, whether or not earlier ones were answered. Latency counted from
/// these times includes what a stalled server makes others wait (no coordinated omission).
pub struct Schedule {
    next_ns: f64,
    gap_ns: f64,
    arrivals: Arrivals,
}

impl Schedule {
    /// `rate` in operations per second, above 0; the first is due within one gap of `start_ns`.
    pub fn new(start_ns: u64, rate: f64, arrivals: Arrivals, random: &mut Random) -> Schedule {
        assert!(rate > 0.0, "a schedule needs a rate");
        let gap_ns = 1e9 / rate;
        Schedule { next_ns: start_ns as f64 + gap_ns * random.unit(), gap_ns, arrivals }
    }

    /// The next due time if it is not after `now_ns`; each time is given out once.
    pub fn due(&mut self, now_ns: u64, random: &mut Random) -> Option<u64> {
        if self.next_ns > now_ns as f64 {
            return None;
        }
        let at = self.next_ns as u64;
        self.next_ns += match self.arrivals {
            Arrivals::Even => self.gap_ns,
            Arrivals::Poisson => -self.gap_ns * (1.0 - random.unit()).ln(),
        };
        Some(at)
    }

    pub fn next_ns(&self) -> u64 {
        self.next_ns as u64
    }
}

/// Chooses an index with a probability proportional to its weight.
pub fn weighted(weights: &[u32], random: &mut Random) -> usize {
    let total: u32 = weights.iter().sum();
    let mut x = random.below(total as usize) as u32;
    weights
        .iter()
        .position(|&w| {
            if x < w {
                true
            } else {
                x -= w;
                false
            }
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zipf_follows_its_law() {
        let (count, draws) = (100, 200_000);
        for exponent in [0.0, 1.0, 1.5] {
            let zipf = Zipf::new(count, exponent);
            let mut random = Random::new(1);
            let mut seen = vec![0u32; count];
            for _ in 0..draws {
                seen[zipf.pick(&mut random)] += 1;
            }
            let norm: f64 = (1..=count).map(|r| (r as f64).powf(-exponent)).sum();
            for rank in [1, 2, 10] {
                let want = (rank as f64).powf(-exponent) / norm * draws as f64;
                let got = f64::from(seen[rank - 1]);
                assert!(
                    (got - want).abs() < want * 0.1 + 30.0,
                    "exponent {exponent} rank {rank}: {got} for {want}"
                );
            }
            // Pearson's chi-square over all ranks: 99 degrees of freedom exceed 148.2 once in a thousand times.
            let chi_square: f64 = (1..=count)
                .map(|rank| {
                    let want = (rank as f64).powf(-exponent) / norm * draws as f64;
                    (f64::from(seen[rank - 1]) - want).powi(2) / want
                })
                .sum();
            assert!(chi_square < 148.2, "exponent {exponent}: {chi_square}");
        }
        assert_eq!(Zipf::new(1, 1.0).pick(&mut Random::new(5)), 0);
    }

    #[test]
    fn schedules_keep_their_rate() {
        for arrivals in [Arrivals::Even, Arrivals::Poisson] {
            let mut random = Random::new(2);
            let mut schedule = Schedule::new(5_000, 10_000.0, arrivals, &mut random);
            let mut last = 0;
            let mut count = 0;
            while let Some(at) = schedule.due(1_000_005_000, &mut random) {
                assert!(at >= last, "times go forward");
                last = at;
                count += 1;
            }
            assert!((9_700..=10_300).contains(&count), "{arrivals:?}: {count} in a second");
            assert!(schedule.next_ns() > 1_000_005_000);
        }
    }

    #[test]
    fn a_late_caller_gets_every_missed_time() {
        let mut random = Random::new(3);
        let mut schedule = Schedule::new(0, 1000.0, Arrivals::Even, &mut random);
        let first = schedule.due(50_000_000, &mut random).unwrap();
        let rest = std::iter::from_fn(|| schedule.due(50_000_000, &mut random)).count();
        assert!(first < 1_000_000);
        assert!((48..=50).contains(&rest), "{rest}");
    }

    #[test]
    fn weights() {
        let mut random = Random::new(4);
        let mut seen = [0u32; 4];
        for _ in 0..10_000 {
            seen[weighted(&[1, 0, 3, 0], &mut random)] += 1;
        }
        assert_eq!((seen[1], seen[3]), (0, 0));
        assert!((2200..2800).contains(&seen[0]), "{seen:?}");
    }

    #[test]
    fn random_stays_below_its_bound() {
        let mut random = Random::new(6);
        assert!((0..1000).all(|_| random.below(3) < 3));
        assert_eq!(random.below(0), 0);
        let mut items: Vec<u32> = (0..100).collect();
        random.shuffle(&mut items);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<u32>>());
        assert!((0..1000).all(|_| (0.0..1.0).contains(&random.unit())));
    }
}
