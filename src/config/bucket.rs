//! One rate-limit bucket as the operator writes it: `"5+3/5s token; 20/h"`.

/// How a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// `requests` tokens are refilled per window; the bucket holds `requests + burst`.
    TokenBucket,
    /// At most `requests + burst` in any window, estimated from two adjacent fixed windows.
    SlidingWindow,
    /// At most `requests + burst` per window that begins with the first request.
    FixedWindow,
}

/// An additional fixed-window ceiling, such as 20 per hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    pub requests: u32,
    pub window_s: u32,
}

/// The limits of one bucket. `requests == 0` switches the bucket off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketSpec {
    pub algorithm: Algorithm,
    pub requests: u32,
    pub burst: u32,
    pub window_ms: u32,
    pub caps: Vec<Cap>,
}
