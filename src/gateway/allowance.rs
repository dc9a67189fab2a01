//! What clients may ask of the gateway, counted for all cores together: attempts to log in, sessions begun.
//!
//! The rules are here; the counts are kept by whoever answers [`Cx::allow`], who shares them with other limits.
//!
//! [`Cx::allow`]: super::Cx::allow

use std::net::IpAddr;

use crate::config::{Algorithm, BucketSpec, Websocket};
use crate::id::TokenId;

/// What the gateway may ask of limits that all cores share.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    /// An IDENTIFY or RESUME from this address.
    Attempt(IpAddr),
    /// A successful IDENTIFY with this token.
    Identify(TokenId),
    /// A token from this address was no good; the answer does not matter.
    Failed(IpAddr),
}

/// What an [`Ask`] counts against. `namespace` tells the gateway's counts from those of routes.
#[derive(Clone, Copy, Debug)]
pub enum Counted<'a> {
    OfIp {
        namespace: u8,
        ip: IpAddr,
        bucket: &'a BucketSpec,
    },
    OfId {
        namespace: u8,
        id: u64,
        bucket: &'a BucketSpec,
    },
    /// A verification that failed, as one of a request counts.
    Failure(IpAddr),
}

/// The buckets, as configured.
pub struct Allowance {
    attempt: BucketSpec,
    identify: BucketSpec,
}

const NAMESPACE_ATTEMPT: u8 = 128;
const NAMESPACE_IDENTIFY: u8 = 129;

impl Allowance {
    pub fn new(websocket: &Websocket) -> Allowance {
        let bucket = |algorithm, requests: u64, burst: u64, window_ms: u64| BucketSpec {
            algorithm,
            requests: requests as u32,
            burst: burst as u32,
            window_ms: window_ms as u32,
            caps: Vec::new(),
        };
        let attempts = websocket.identify_per_ip_per_minute;
        let (burst, interval_ms) = (websocket.identify_burst, websocket.identify_interval_ms);
        Allowance {
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

    pub fn counted(&self, ask: Ask) -> Counted<'_> {
        match ask {
            Ask::Attempt(ip) => Counted::OfIp { namespace: NAMESPACE_ATTEMPT, ip, bucket: &self.attempt },
            Ask::Identify(token) => {
                Counted::OfId { namespace: NAMESPACE_IDENTIFY, id: token.0, bucket: &self.identify }
            }
            Ask::Failed(ip) => Counted::Failure(ip),
        }
    }
}
