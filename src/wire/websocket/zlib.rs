//! zlib, both ways: zlib-stream to the client (gateway.md §1.3), single zlib messages from it (§1.1).
//!
//! Owns: one working state per core and direction, and 2 KiB of history per compressed connection.
//! Invariant: what a client inflates is one zlib stream per connection; that the server
//! keeps no deflate context for it cannot be seen from outside.
//!
//! A deflate context is 131,072 bytes of hash heads + 114,688 of buffers + 4 × window
//! (zlib-rs; 265 KiB with a 4 KiB window), all of which would lie idle and cold per
//! connection. But after a sync flush a context holds nothing that matters except the bytes
//! sent last, so those are kept and given to one shared state as its dictionary. Frames of
//! 376 bytes on average (messages, typing, presence), release build, one core:
//!
//! | | output/input | per frame | per connection |
//! |---|---|---|---|
//! | own context, level 4, 4 KiB window, 1,000 connections in turn | 0.15 | 18.3 µs | 265 KiB |
//! | shared, no history, level 1 | 0.73 | 4.7 µs | 0 |
//! | shared, 1 KiB, level 1 | 0.20 | 5.4 µs | 1 KiB |
//! | **shared, 2 KiB, level 1** | **0.18** | **5.6 µs** | **2 KiB** |
//! | shared, 2 KiB, level 4 | 0.15 | 9.6 µs | 2 KiB |
//! | shared, 8 KiB, level 1 | 0.16 | 10.4 µs | 8 KiB |

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Header of a zlib stream: deflate, 32 KiB window, fastest (RFC 1950 §2.2).
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// The headers that mark a binary message as compressed (gateway.md §1.1).
const ZLIB_HEADERS: [[u8; 2]; 4] = [ZLIB_HEADER, [0x78, 0x5e], [0x78, 0x9c], [0x78, 0xda]];

/// Plain bytes kept per connection. With the length before them 2,048 bytes, one size class.
const HISTORY_LEN_MAX: usize = 2046;
const _: () = assert!(size_of::<History>() == 2048);
const _: () = assert!(size_of::<DeflateStream>() == 8);

/// The zlib stream of one connection; empty until its first frame.
#[derive(Default)]
pub struct DeflateStream {
    history: Option<Box<History>>,
}

impl DeflateStream {
    /// No frame was written yet: the stream holds nothing.
    pub fn is_unused(&self) -> bool {
        self.history.is_none()
    }

    /// All there is of it: the plain bytes that the next frame may refer to. `None` before the first frame.
    pub fn history(&self) -> Option<&[u8]> {
        self.history.as_ref().map(|history| history.as_slice())
    }

    /// A stream that goes on behind [`DeflateStream::history`]; `None` when that is longer than any.
    pub fn from_history(plain: &[u8]) -> Option<DeflateStream> {
        let mut history = History::new();
        history.push(plain);
        (plain.len() <= HISTORY_LEN_MAX).then_some(DeflateStream { history: Some(history) })
    }

    /// Bytes it holds on the heap.
    pub fn heap_len(&self) -> usize {
        self.history.as_ref().map_or(0, |_| size_of::<History>())
    }
}

/// The last plain bytes of a stream.
struct History {
    len: u16,
    bytes: [u8; HISTORY_LEN_MAX],
}

/// Compresses frames of any number of streams; one per core, about 380 KiB.
pub struct Deflater {
    state: Compress,
}

impl Default for Deflater {
    fn default() -> Self {
        // Raw deflate: the zlib header is written by hand, the checksum at the end never comes.
        Self { state: Compress::new(Compression::fast(), false) }
    }
}

impl Deflater {
    /// Appends the next frame of `stream` to `out`: `payload` compressed, sync flushed, so the
    /// output ends with `00 00 ff ff` and is inflated without waiting for more.
    ///
    /// Frames of a stream must reach the client in the order of these calls, all of them.
    pub fn write_frame(&mut self, stream: &mut DeflateStream, payload: &[u8], out: &mut Vec<u8>) {
        self.state.reset();
        match &stream.history {
            None => out.extend_from_slice(&ZLIB_HEADER),
            Some(history) => {
                self.state
                    .set_dictionary(history.as_slice())
                    .expect("a raw stream just reset takes any dictionary");
            }
        }
        self.compress(payload, out);
        stream.history.get_or_insert_with(History::new).push(payload);
    }

    fn compress(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        // Fixed codes take at most 9 bits a byte; 64 covers block ends and the flush.
        out.reserve(payload.len() + payload.len() / 8 + 64);
        loop {
            let used = self.state.total_in() as usize;
            self.state
                .compress_vec(&payload[used..], out, FlushCompress::Sync)
                .expect("deflate takes any bytes");
            if out.len() < out.capacity() {
                break;
            }
            out.reserve(64); // full to the last byte: there may be more
        }
        assert_eq!(self.state.total_in(), payload.len() as u64);
        debug_assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
    }
}

impl History {
    fn new() -> Box<Self> {
        Box::new(Self { len: 0, bytes: [0; HISTORY_LEN_MAX] })
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn push(&mut self, payload: &[u8]) {
        let payload = &payload[payload.len().saturating_sub(HISTORY_LEN_MAX)..];
        let len = usize::from(self.len);
        let keep = len.min(HISTORY_LEN_MAX - payload.len());
        self.bytes.copy_within(len - keep..len, 0);
        self.bytes[keep..keep + payload.len()].copy_from_slice(payload);
        self.len = (keep + payload.len()) as u16;
    }
}

/// Why a compressed message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InflateError {
    /// Not a zlib stream, or its checksum is wrong.
    Corrupt,
    /// The stream does not end within the message.
    Truncated,
    /// Bytes after the end of the stream.
    TrailingBytes,
    /// More plain bytes than the caller's maximum.
    TooLarge,
}

/// Inflates single messages; one per core, about 48 KiB.
pub struct Inflater {
    state: Decompress,
}

impl Default for Inflater {
    fn default() -> Self {
        Self { state: Decompress::new(true) }
    }
}

impl Inflater {
    /// Appends the plain bytes of `message`, one complete zlib stream, to `out`; at most `len_max`
    /// of them. On error `out` is as it was.
    pub fn inflate_message(
        &mut self,
        message: &[u8],
        len_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), InflateError> {
        let start = out.len();
        self.state.reset(true);
        let result = self.inflate(message, start + len_max, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn inflate(&mut self, message: &[u8], end_max: usize, out: &mut Vec<u8>) -> Result<(), InflateError> {
        // JSON shrinks to about a quarter. One byte above the maximum is how "too large" shows.
        let mut room = (4 * message.len()).max(256);
        loop {
            out.reserve(room.min(end_max + 1 - out.len()));
            let used = self.state.total_in() as usize;
            let status = self
                .state
                .decompress_vec(&message[used..], out, FlushDecompress::None)
                .map_err(|_| InflateError::Corrupt)?;
            if out.len() > end_max {
                return Err(InflateError::TooLarge);
            }
            match status {
                Status::StreamEnd if self.state.total_in() < message.len() as u64 => {
                    return Err(InflateError::TrailingBytes);
                }
                Status::StreamEnd => return Ok(()),
                // There was room for more output, so it is input that is missing.
                _ if out.len() < out.capacity() => return Err(InflateError::Truncated),
                _ => room *= 2,
            }
        }
    }
}

/// Whether a binary message is compressed. JSON cannot begin with `x`.
pub fn is_zlib(message: &[u8]) -> bool {
    message.first_chunk().is_some_and(|start| ZLIB_HEADERS.contains(start))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::ZlibEncoder;

    use super::*;

    fn zlib(plain: &[u8], level: u32) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// Frames through one client-side context: each must come out whole, at once.
    fn check_stream(payloads: &[&[u8]]) -> usize {
        let mut deflater = Deflater::default();
        let mut stream = DeflateStream::default();
        let mut other = DeflateStream::default();
        let mut client = Decompress::new(true);
        let mut sent = 0;
        for (i, payload) in payloads.iter().enumerate() {
            let mut frame = b"before".to_vec();
            deflater.write_frame(&mut stream, payload, &mut frame);
            let frame = &frame[6..];
            assert_eq!(frame.starts_with(&ZLIB_HEADER), i == 0);
            assert!(frame.ends_with(&[0, 0, 0xff, 0xff]));
            sent += frame.len();

            let mut plain = Vec::with_capacity(payload.len() + 1);
            client.decompress_vec(frame, &mut plain, FlushDecompress::Sync).unwrap();
            assert!(plain == *payload, "frame {i}");
            // Another connection of the same core leaves this stream alone.
            deflater.write_frame(&mut other, b"something else", &mut Vec::new());
        }
        sent
    }

    #[test]
    fn streams() {
        check_stream(&[b"{\"op\":11}"]);
        check_stream(&[b"", b"a", b"", b"", b"a"]);
        let long: Vec<u8> = (0..100_000u32).flat_map(|i| i.wrapping_mul(i).to_le_bytes()).collect();
        check_stream(&[&long, b"short", &long, &long[..HISTORY_LEN_MAX], &long[..HISTORY_LEN_MAX + 1]]);
        check_stream(&[
            &long[..1000],
            &long[..1000],
            &long[..1000],
            b"x",
            &long[..HISTORY_LEN_MAX - 1],
            b"yz",
        ]);
    }

    #[test]
    fn incompressible_payloads_fit() {
        // 144 and above are the bytes with nine-bit codes.
        let mut random = fastrand::Rng::with_seed(7);
        let noise = |len| std::iter::repeat_with(|| random.u8(144..)).take(len).collect();
        let payloads: Vec<Vec<u8>> = (0..64).map(|i| i * i * 20).chain([1_000_000]).map(noise).collect();
        check_stream(&payloads.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    #[test]
    fn little_room_in_the_output() {
        let mut deflater = Deflater::default();
        for room in 0..200 {
            let mut out = Vec::with_capacity(room);
            deflater.compress(&[b'a'; 40], &mut out);
            deflater.state.reset();
            let mut plain = Vec::with_capacity(100);
            Decompress::new(false).decompress_vec(&out, &mut plain, FlushDecompress::Sync).unwrap();
            assert_eq!(plain, [b'a'; 40], "{room}");
        }
    }

    #[test]
    fn history_shrinks_what_repeats() {
        let payload =
            br#"{"op":0,"t":"TYPING_START","s":2,"d":{"channel_id":"71","user_id":"72","username":"ada"}}"#;
        let sent = check_stream(&[payload.as_slice(); 50]);
        assert!(sent < 50 * payload.len() / 5, "{sent}");
    }

    #[test]
    fn single_messages() {
        let mut inflater = Inflater::default();
        let mut check = |message: &[u8], len_max: usize, want: Result<&[u8], InflateError>| {
            let mut out = b"before".to_vec();
            let got = inflater.inflate_message(message, len_max, &mut out);
            assert_eq!(&out[..6], b"before");
            assert!(got.map(|()| &out[6..]) == want, "{got:?}");
            assert!(got.is_ok() || out.len() == 6);
        };
        let plain = br#"{"op":1,"d":null}"#;
        for level in 0..=9 {
            let message = zlib(plain, level);
            assert!(is_zlib(&message));
            check(&message, 17, Ok(plain));
            check(&message, 16, Err(InflateError::TooLarge));
            check(&message, 0, Err(InflateError::TooLarge));
            check(&[&message, b"x".as_slice()].concat(), 17, Err(InflateError::TrailingBytes));
            for cut in 0..message.len() {
                check(&message[..cut], 17, Err(InflateError::Truncated));
            }
            let mut wrong_checksum = message;
            *wrong_checksum.last_mut().unwrap() ^= 1;
            check(&wrong_checksum, 17, Err(InflateError::Corrupt));
        }
        check(&zlib(b"", 6), 0, Ok(b""));
        check(b"x\x9cgarbage", 100, Err(InflateError::Corrupt));
        check(b"{}", 100, Err(InflateError::Corrupt));
        // Preset dictionary asked for.
        check(&[0x78, 0xbb, 0, 0, 0, 1, 0x03, 0], 100, Err(InflateError::Corrupt));
    }

    #[test]
    fn bombs_stop_at_the_maximum() {
        const MAX: usize = 262_144;
        let mut inflater = Inflater::default();
        let mut check = |len: usize, want: Result<(), InflateError>| {
            let mut out = Vec::new();
            assert_eq!(inflater.inflate_message(&zlib(&vec![0; len], 9), MAX, &mut out), want, "{len}");
            assert!(out.capacity() <= 2 * MAX);
        };
        check(MAX, Ok(()));
        check(MAX + 1, Err(InflateError::TooLarge));
        check(50_000_000, Err(InflateError::TooLarge));
    }

    #[test]
    fn zlib_headers() {
        let check = |message: &[u8], want| assert_eq!(is_zlib(message), want, "{message:02x?}");
        for second in [0x01, 0x5e, 0x9c, 0xda] {
            check(&[0x78, second], true);
            check(&[0x78, second, 0], true);
        }
        check(b"", false);
        check(b"x", false);
        check(b"{}", false);
        check(&[0x78, 0x02], false);
        check(&[0x48, 0x89], false);
    }
}
