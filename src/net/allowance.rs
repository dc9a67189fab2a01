//! Counts what the gateway asks of limits among the requests.

use crate::api::limiter::Limiter;
use crate::gateway::Counted;
use crate::runtime::clock::Turn;

/// Whether there was room for it; it is counted then.
pub(super) fn allow(limiter: &Limiter, now: Turn, counted: Counted<'_>) -> bool {
    match counted {
        Counted::OfIp { namespace, ip, bucket } => limiter.take_of_ip(now, namespace, ip, bucket).allowed,
        Counted::OfId { namespace, id, bucket } => {
            limiter.take(now, limiter.key_of_id(namespace, id), bucket).allowed
        }
        Counted::Failure(ip) => {
            limiter.failed_verification(now, ip);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::rate_limit::new_limiter;
    use crate::config::Config;
    use crate::config::Websocket;
    use crate::gateway::{Allowance, Ask};
    use crate::id::TokenId;

    /// How many of 1,000 IDENTIFYs with one token, all in the same millisecond, may go on.
    fn admitted(burst: u64, interval_ms: u64) -> usize {
        let config = Config {
            websocket: Websocket {
                identify_burst: burst,
                identify_interval_ms: interval_ms,
                ..Websocket::default()
            },
            ..Config::default()
        };
        let now = Turn::at(1_700_000_000_000, 1_000);
        let (limiter, allowance) = (new_limiter(&config, 1 << 12, now), Allowance::new(&config.websocket));
        (0..1_000).filter(|_| allow(&limiter, now, allowance.counted(Ask::Identify(TokenId(1))))).count()
    }

    #[test]
    fn identifies_in_a_row_are_limited_unless_either_number_is_0() {
        assert_eq!(admitted(5, 5_000), 5);
        assert_eq!(admitted(1, 5_000), 1);
        assert_eq!(admitted(0, 5_000), 1_000);
        assert_eq!(admitted(5, 0), 1_000);
    }
}
