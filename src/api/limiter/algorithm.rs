//! Token bucket, sliding window and fixed window as pure steps on one 64-bit state.
//!
//! Owns: the arithmetic of a limit. Invariant: no clock, no memory, no floats; the same state and time
//! give the same answer. Times are ms, rise from 1, and may be a turn older than another core's: a state
//! that is ahead of `now` counts as it stands.
//!
//! | algorithm | `until` of the state | rest of the state |
//! |---|---|---|
//! | token bucket (GCRA) | when the bucket will be full again, ms | fraction of that, 2⁻²⁶ ms |
//! | sliding window | end of the window after the current one | previous count, current count (13 bits each) |
//! | fixed window | end of the window | count |

use super::table::{REST_MAX, UNTIL_MAX, pack, rest, until};
use crate::config::{Algorithm, BucketSpec, Cap};

/// Requests per window above this fit no sliding window's state; they are counted in fixed windows, which
/// at that size differ by a burst at the seam only.
const SLIDING_LIMIT_MAX: u64 = (1 << COUNT_BITS) - 1;
const COUNT_BITS: u32 = 13;
const FRACTION_BITS: u32 = 26;

/// What a bucket says about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub allowed: bool,
    /// Requests plus burst, multiplied for the tier.
    pub limit: u32,
    /// How many more would be admitted now, at once.
    pub remaining: u32,
    /// ms until the bucket is full (token bucket) or its window ends; never before `retry_after_ms`.
    pub reset_after_ms: u64,
    /// 0 when allowed, else ms until a request would be admitted, if nobody else asks; ≥ 1.
    pub retry_after_ms: u64,
}

/// One limit, ready to count with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    kind: Kind,
    limit: u64,
    window_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One token comes back every `interval` (2⁻²⁶ ms).
    Token {
        interval: u64,
    },
    Sliding,
    Fixed,
}

impl Quota {
    /// The main limit of a bucket, `percent` of it (tier and bot multipliers; 100 = as written).
    /// At least one request is admitted: a bucket is switched off by not asking it.
    pub fn new(spec: &BucketSpec, percent: u32) -> Self {
        let limit = scale(u64::from(spec.requests) + u64::from(spec.burst), percent);
        let window_ms = u64::from(spec.window_ms).max(1);
        let kind = match spec.algorithm {
            Algorithm::TokenBucket => {
                // window / (requests × percent / 100), in one division.
                let window = (window_ms as u128 * 100) << FRACTION_BITS;
                let refill = u128::from(spec.requests).max(1) * u128::from(percent.max(1));
                Kind::Token { interval: u64::try_from(window / refill).unwrap_or(u64::MAX).max(1) }
            }
            Algorithm::SlidingWindow if limit <= SLIDING_LIMIT_MAX => Kind::Sliding,
            Algorithm::SlidingWindow | Algorithm::FixedWindow => Kind::Fixed,
        };
        Self { kind, limit, window_ms }
    }

    /// An additional ceiling of a bucket: a fixed window.
    pub fn cap(cap: &Cap, percent: u32) -> Self {
        let window_ms = (u64::from(cap.window_s) * 1000).max(1);
        Self { kind: Kind::Fixed, limit: scale(u64::from(cap.requests), percent), window_ms }
    }

    /// Different for each way of reading a state; goes into the key, so that a user whose tier changes
    /// the way starts a new entry.
    pub fn salt(&self) -> u64 {
        match self.kind {
            Kind::Token { .. } => 0,
            Kind::Sliding => 1,
            Kind::Fixed => 2,
        }
    }

    /// Takes one request at `now` out of `state` (until 0: none so far). The new state, if allowed.
    pub fn take(&self, state: u64, now: u64) -> (Option<u64>, Decision) {
        match self.kind {
            Kind::Token { interval } => self.take_token(interval, state, now),
            Kind::Sliding => self.take_sliding(state, now),
            Kind::Fixed => self.take_fixed(state, now),
        }
    }

    /// Undoes one request taken at `now`; `None` when the state no longer holds it. A state with until 0
    /// means that none are left.
    pub fn give_back(&self, state: u64, now: u64) -> Option<u64> {
        match self.kind {
            Kind::Token { interval } => {
                // A request leaves at least its own time plus one interval; less was not ours.
                state.checked_sub(interval).filter(|&full_at| until(full_at) >= 1)
            }
            Kind::Sliding => self.give_back_sliding(state, now),
            Kind::Fixed => {
                // A window that began later ends later: it does not hold our request.
                let ours = until(state) > now && until(state) <= now + self.window_ms;
                match rest(state) {
                    count @ 2.. if ours => Some(pack(until(state), count - 1)),
                    1 if ours => Some(0),
                    _ => None,
                }
            }
        }
    }

    fn take_token(&self, interval: u64, state: u64, now: u64) -> (Option<u64>, Decision) {
        let now = now << FRACTION_BITS;
        let full_at = state.max(now);
        let room = u128::from(self.limit) * u128::from(interval);
        let level = u128::from(full_at - now) + u128::from(interval);
        let next = full_at.saturating_add(interval).min(pack(UNTIL_MAX, REST_MAX));
        if level <= room {
            let remaining = (room - level) / u128::from(interval);
            return (Some(next), self.allow(remaining as u64, ms_ceil(level)));
        }
        (None, self.refuse(ms_ceil(u128::from(full_at - now)), ms_ceil(level - room)))
    }

    fn take_fixed(&self, state: u64, now: u64) -> (Option<u64>, Decision) {
        let (end, count) = match until(state) > now {
            true => (until(state), rest(state)),
            false => (now + self.window_ms, 0),
        };
        if count < self.limit {
            return (Some(pack(end, count + 1)), self.allow(self.limit - count - 1, end - now));
        }
        (None, self.refuse(end - now, end - now))
    }

    /// Estimate = previous × (part of its window still inside the last window) + current.
    fn take_sliding(&self, state: u64, now: u64) -> (Option<u64>, Decision) {
        let (window, limit) = (self.window_ms, self.limit);
        let (index, previous, current) = self.slide(state, now);
        let elapsed = now.saturating_sub(index * window).min(window - 1);
        let left = window - elapsed;
        // Everything × window, so that no division rounds.
        let used = previous * left + (current + 1) * window;
        if used <= limit * window {
            let next = pack((index + 2) * window, previous << COUNT_BITS | (current + 1));
            return (Some(next), self.allow((limit * window - used) / window, left));
        }
        let retry = if current < limit {
            // The previous window must shrink to the room beside the current count.
            (elapsed_needed(previous, limit - 1 - current, window)).saturating_sub(elapsed)
        } else {
            // Not in this window; in the next one, where the current count is the previous one.
            left + elapsed_needed(current, limit - 1, window)
        };
        (None, self.refuse(left, retry))
    }

    /// The state as seen at `now`: index of the window, count of the one before, count so far.
    fn slide(&self, state: u64, now: u64) -> (u64, u64, u64) {
        let index = now / self.window_ms;
        let (previous, current) = (rest(state) >> COUNT_BITS, rest(state) & SLIDING_LIMIT_MAX);
        match (until(state) / self.window_ms).checked_sub(2) {
            Some(last) if last >= index => (last, previous, current),
            Some(last) if last + 1 == index => (index, current, 0),
            _ => (index, 0, 0),
        }
    }

    fn give_back_sliding(&self, state: u64, now: u64) -> Option<u64> {
        let index = now / self.window_ms;
        let (last, previous, current) = self.slide(state, now);
        let (previous, current) = match last - index {
            0 => (previous, current.checked_sub(1)?),
            // Another core has moved on since; what we took counts as the previous window's.
            1 => (previous.checked_sub(1)?, current),
            _ => return None,
        };
        match previous | current {
            0 => Some(0),
            _ => Some(pack((last + 2) * self.window_ms, previous << COUNT_BITS | current)),
        }
    }

    fn allow(&self, remaining: u64, reset_after_ms: u64) -> Decision {
        let (limit, remaining) = (self.limit as u32, remaining as u32);
        Decision { allowed: true, limit, remaining, reset_after_ms, retry_after_ms: 0 }
    }

    fn refuse(&self, reset_after_ms: u64, retry_after_ms: u64) -> Decision {
        let retry_after_ms = retry_after_ms.max(1);
        let reset_after_ms = reset_after_ms.max(retry_after_ms);
        Decision { allowed: false, limit: self.limit as u32, remaining: 0, reset_after_ms, retry_after_ms }
    }
}

/// How far a window must have got for `count` of the one before to weigh at most `room`.
fn elapsed_needed(count: u64, room: u64, window: u64) -> u64 {
    match count {
        0 => 0,
        _ => window.saturating_sub(room * window / count),
    }
}

/// Between 1 and what a state can count.
fn scale(requests: u64, percent: u32) -> u64 {
    (requests * u64::from(percent) / 100).clamp(1, REST_MAX)
}

fn ms_ceil(fraction: u128) -> u64 {
    fraction.div_ceil(1 << FRACTION_BITS) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    const ALGORITHMS: [Algorithm; 3] =
        [Algorithm::TokenBucket, Algorithm::SlidingWindow, Algorithm::FixedWindow];

    fn spec(algorithm: Algorithm, requests: u32, burst: u32, window_ms: u32) -> BucketSpec {
        BucketSpec { algorithm, requests, burst, window_ms, caps: Vec::new() }
    }

    /// Asks at each time; `+remaining` when allowed, `-retry` when refused.
    fn check(quota: Quota, times: &[u64], want: &[i64]) {
        let mut state = 0;
        let got: Vec<i64> = times
            .iter()
            .map(|&now| {
                let (next, decision) = quota.take(state, now);
                assert_eq!(next.is_some(), decision.allowed);
                state = next.unwrap_or(state);
                match decision.allowed {
                    true => i64::from(decision.remaining),
                    false => -(decision.retry_after_ms as i64),
                }
            })
            .collect();
        assert_eq!(got, want);
    }

    #[test]
    fn by_hand() {
        // 5+3 per 5 s: eight at once, then one each second.
        let bucket = Quota::new(&spec(Algorithm::TokenBucket, 5, 3, 5_000), 100);
        let times = [1, 1, 1, 1, 1, 1, 1, 1, 1, 500, 1_001, 1_001, 9_001];
        check(bucket, &times, &[7, 6, 5, 4, 3, 2, 1, 0, -1_000, -501, 0, -1_000, 7]);
        // A window that begins with the first request.
        let fixed = Quota::new(&spec(Algorithm::FixedWindow, 2, 0, 1_000), 100);
        check(fixed, &[700, 1_600, 1_699, 1_700, 1_701], &[1, 0, -1, 1, 0]);
        // Windows at multiples of 1,000; two before the seam weigh less and less after it.
        let sliding = Quota::new(&spec(Algorithm::SlidingWindow, 1, 1, 1_000), 100);
        check(sliding, &[900, 900, 950, 1_000, 1_499, 1_500, 1_999], &[1, 0, -550, -500, -1, 0, -1]);
        // The tier scales requests and burst; half of a bot's request is no request.
        assert_eq!(Quota::new(&spec(Algorithm::TokenBucket, 5, 3, 5_000), 200).take(0, 1).1.limit, 16);
        assert_eq!(Quota::new(&spec(Algorithm::SlidingWindow, 10, 5, 10_000), 150).take(0, 1).1.limit, 22);
        // Three tokens a second at 150 %.
        let bot = Quota::new(&spec(Algorithm::TokenBucket, 2, 0, 1_000), 150);
        check(bot, &[1, 1, 1, 1, 334, 335], &[2, 1, 0, -334, -1, 0]);
    }

    /// Straightforward models: a list of request times, or a count of tokens as a fraction.
    enum Model {
        Token { tokens: f64, at: u64 },
        Fixed { end: u64, count: u64 },
        Sliding { times: VecDeque<u64> },
    }

    impl Model {
        fn new(spec: &BucketSpec) -> Self {
            match spec.algorithm {
                Algorithm::TokenBucket => Model::Token { tokens: (spec.requests + spec.burst) as f64, at: 0 },
                Algorithm::FixedWindow => Model::Fixed { end: 0, count: 0 },
                Algorithm::SlidingWindow => Model::Sliding { times: VecDeque::new() },
            }
        }

        fn take(&mut self, spec: &BucketSpec, now: u64) -> bool {
            let (limit, window) = (u64::from(spec.requests + spec.burst), u64::from(spec.window_ms));
            match self {
                Model::Token { tokens, at } => {
                    let gained = (now - *at) as f64 * f64::from(spec.requests) / window as f64;
                    (*tokens, *at) = ((*tokens + gained).min(limit as f64), now);
                    let allowed = *tokens >= 1.0 - 1e-6;
                    *tokens -= if allowed { 1.0 } else { 0.0 };
                    allowed
                }
                Model::Fixed { end, count } => {
                    if *end <= now {
                        (*end, *count) = (now + window, 0);
                    }
                    let allowed = *count < limit;
                    *count += u64::from(allowed);
                    allowed
                }
                Model::Sliding { times } => {
                    let count = |index| times.iter().filter(|&&time| time / window == index).count() as u64;
                    let index = now / window;
                    let previous = if index == 0 { 0 } else { count(index - 1) };
                    let used = previous * (window - now % window) + (count(index) + 1) * window;
                    let allowed = used <= limit * window;
                    if allowed {
                        times.push_back(now);
                    }
                    allowed
                }
            }
        }
    }

    #[test]
    fn agrees_with_models_under_simulated_time() {
        for seed in 0..600 {
            let mut random = fastrand::Rng::with_seed(seed);
            let algorithm = ALGORITHMS[seed as usize % 3];
            let spec = spec(algorithm, random.u32(1..40), random.u32(0..10), random.u32(1..3_000));
            let quota = Quota::new(&spec, 100);
            let (mut model, mut state, mut now) = (Model::new(&spec), 0, random.u64(1..100_000));
            let pace = 1 + 2 * u64::from(spec.window_ms) / u64::from(spec.requests);
            for _ in 0..300 {
                now += if random.u32(0..30) == 0 { random.u64(0..10_000) } else { random.u64(0..pace) };
                let (next, decision) = quota.take(state, now);
                assert_eq!(decision.allowed, model.take(&spec, now), "seed {seed} at {now}");
                assert!(decision.reset_after_ms >= decision.retry_after_ms);
                check_promises(&quota, state, next, decision, now, seed);
                state = next.unwrap_or(state);
            }
        }
    }

    /// `remaining` more are admitted at once and not one beyond; a refusal ends exactly when announced;
    /// what is given back can be taken again.
    fn check_promises(q: &Quota, state: u64, next: Option<u64>, decision: Decision, now: u64, seed: u64) {
        let Some(taken) = next else {
            let retry_at = now + decision.retry_after_ms;
            assert!(q.take(state, retry_at).1.allowed, "seed {seed}: refused when promised");
            assert!(!q.take(state, retry_at - 1).1.allowed, "seed {seed}: promised too late");
            return;
        };
        let mut state_at_once = taken;
        for _ in 0..decision.remaining {
            state_at_once = q.take(state_at_once, now).0.expect("remaining was promised");
        }
        assert!(!q.take(state_at_once, now).1.allowed, "seed {seed}");
        let back = q.give_back(taken, now).expect("just taken");
        assert_eq!(q.take(back, now), (Some(taken), decision), "seed {seed}: give_back is the inverse");
    }

    #[test]
    fn giving_back_touches_only_ones_own_window() {
        let fixed = Quota::new(&spec(Algorithm::FixedWindow, 2, 0, 100), 100);
        assert_eq!(fixed.give_back(pack(150, 1), 50), Some(0));
        assert_eq!(fixed.give_back(pack(151, 1), 50), None, "began after we took");
        assert_eq!(fixed.give_back(pack(50, 1), 50), None, "over");
        let sliding = Quota::new(&spec(Algorithm::SlidingWindow, 9, 0, 100), 100);
        let both = |last: u64, previous: u64, current: u64| pack((last + 2) * 100, previous << 13 | current);
        assert_eq!(sliding.give_back(both(3, 2, 2), 350), Some(both(3, 2, 1)));
        assert_eq!(sliding.give_back(both(4, 2, 2), 350), Some(both(4, 1, 2)));
        assert_eq!(sliding.give_back(both(5, 2, 2), 350), None);
        assert_eq!(sliding.give_back(both(3, 0, 1), 350), Some(0));
        assert_eq!(sliding.give_back(0, 350), None);
        let bucket = Quota::new(&spec(Algorithm::TokenBucket, 9, 0, 100), 100);
        assert_eq!(bucket.give_back(0, 350), None);
    }

    /// Any bits at any time under any limit: no overflow, no panic.
    #[test]
    fn extreme_values_do_not_overflow() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20_000 {
            let wild = |random: &mut fastrand::Rng| random.u32(..) >> random.u32(0..32);
            let algorithm = ALGORITHMS[random.usize(0..3)];
            let spec = spec(algorithm, wild(&mut random), wild(&mut random) / 2, wild(&mut random));
            let quota = match random.u32(0..5) {
                0 => Quota::cap(&Cap { requests: spec.requests, window_s: spec.window_ms }, 1000),
                _ => Quota::new(&spec, random.u32(0..2_000)),
            };
            let state = random.u64(..).min(pack(UNTIL_MAX, REST_MAX));
            let now = random.u64(1..1 << 37);
            if let Some(next) = quota.take(state, now).0 {
                assert!(until(next) <= UNTIL_MAX);
            }
            quota.give_back(state, now);
        }
    }
}
