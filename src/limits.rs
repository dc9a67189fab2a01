//! Every bound of the server that is not an operator's option, with the relations between them.

pub const KIB: usize = 1024;
pub const MIB: usize = 1024 * KIB;

/// Request line and headers together. Browsers stay under 8 KiB; cookies of proxies add some.
pub const HEAD_LEN_MAX: usize = 16 * KIB;
/// Headers in one request.
pub const HEADER_COUNT_MAX: usize = 64;
/// Path and query together.
pub const TARGET_LEN_MAX: usize = 8 * KIB;
/// Empty lines before a request line that are skipped (RFC 9112 §2.2): old clients add one after a body.
pub const EMPTY_LINE_COUNT_MAX: usize = 4;
/// One chunk-size line with its extensions, line end included. 16 digits of size leave 238 for extensions.
pub const CHUNK_LINE_LEN_MAX: usize = 256;
/// Chunk extensions of a whole body: nobody reads them, so they must not cost more than a head.
pub const CHUNK_EXTENSIONS_LEN_MAX: usize = 4 * KIB;
/// Trailer section of a chunked body.
pub const TRAILER_LEN_MAX: usize = 4 * KIB;
/// WebSocket frame as announced in its header; above it the connection closes 1009 unread (gateway.md §1).
pub const FRAME_LEN_MAX: usize = 16 * MIB;

const _: () = assert!(TARGET_LEN_MAX < HEAD_LEN_MAX);
const _: () = assert!(CHUNK_LINE_LEN_MAX < CHUNK_EXTENSIONS_LEN_MAX);
