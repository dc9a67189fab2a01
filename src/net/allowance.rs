//! What clients may ask of the gateway, counted for all cores together: attempts to log in, sessions begun.

use std::sync::Arc;

use crate::api::limiter::Limiter;
use crate::config::{Algorithm, BucketSpec, Config};
use crate::gateway::Ask;
use crate::runtime::clock::Turn;

/// The gateway's limits that all cores share.
pub struct Allowance {
    limiter: Arc<Limiter>,
    attempt: BucketSpec,
    identify: BucketSpec,
}

const NAMESPACE_ATTEMPT: u8 = 128;
const NAMESPACE_IDENTIFY: u8 = 129;

impl Allowance {
    pub fn new(limiter: Arc<Limiter>, config: &Config) -> Allowance {
        let bucket = |algorithm, requests: u64, burst: u64, window_ms: u64| BucketSpec {
            algorithm,
            requests: requests as u32,
            burst: burst as u32,
            window_ms: window_ms as u32,
            caps: Vec::new(),
        };
        let attempts = config.websocket_identify_per_ip_per_minute;
        let (burst, interval_ms) = (config.websocket_identify_burst, config.websocket_identify_interval_ms);
        Allowance {
            limiter,
            attempt: bucket(Algorithm::SlidingWindow, attempts, 0, 60_000),
            // One more each interval; the bucket holds the burst. Either at 0 turns it off.
            identify: bucket(
                Algorithm::TokenBucket,
                burst.min(interval_ms).min(1),
                burst.saturating_sub(1),
                interval_ms,
            ),
        }
    }

    pub fn ask(&self, now: Turn, ask: Ask) -> bool {
        match ask {
            Ask::Attempt(ip) => self.limiter.take_of_ip(now, NAMESPACE_ATTEMPT, ip, &self.attempt).allowed,
            Ask::Identify(token) => {
                let key = self.limiter.key_of_id(NAMESPACE_IDENTIFY, token.0);
                self.limiter.take(now, key, &self.identify).allowed
            }
            Ask::Failed(ip) => {
                self.limiter.failed_verification(now, ip);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rate_limit::new_limiter;
    use crate::id::TokenId;

    /// How many of 1,000 IDENTIFYs with one token, all in the same millisecond, may go on.
    fn admitted(burst: u64, interval_ms: u64) -> usize {
        let config = Config {
            websocket_identify_burst: burst,
            websocket_identify_interval_ms: interval_ms,
            ..Config::default()
        };
        let now = Turn::at(1_700_000_000_000, 1_000);
        let allowance = Allowance::new(new_limiter(&config, 1 << 12, now), &config);
        (0..1_000).filter(|_| allowance.ask(now, Ask::Identify(TokenId(1)))).count()
    }

    #[test]
    fn identifies_in_a_row_are_limited_unless_either_number_is_0() {
        assert_eq!(admitted(5, 5_000), 5);
        assert_eq!(admitted(1, 5_000), 1);
        assert_eq!(admitted(0, 5_000), 1_000);
        assert_eq!(admitted(5, 0), 1_000);
    }
}
