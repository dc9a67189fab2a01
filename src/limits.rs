//! Every bound of the server that is not an operator's option, with the relations between them.

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

/// Request line and headers together. Browsers stay under 8 KiB; cookies of proxies add some.
pub const HEAD_LEN_MAX: usize = 16 * KIB;
/// Headers in one request.
pub const HEADER_COUNT_MAX: usize = 64;
/// Path and query together.
pub const TARGET_LEN_MAX: usize = 8 * KIB;
/// WebSocket frame as announced in its header; above it the connection closes 1009 unread (gateway.md §1).
pub const FRAME_LEN_MAX: usize = 16 * MIB;

const _: () = assert!(TARGET_LEN_MAX < HEAD_LEN_MAX);
