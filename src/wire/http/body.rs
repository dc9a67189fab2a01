//! Request bodies, sized and chunked, made contiguous inside the connection's own buffer (RFC 9112 §6, §7).
//!
//! Invariant: bytes before the body (the head) never move, and after `decode` the framing of every complete
//! chunk is gone: `[head][body so far][not yet decoded]`. Both kinds of body therefore end up the same way.

use memchr::memchr;

use super::HttpError;
use super::framing::{BodyKind, Framing};
use crate::limits::{CHUNK_EXTENSIONS_LEN_MAX, CHUNK_LINE_LEN_MAX, TRAILER_LEN_MAX};

#[derive(Debug, Clone)]
pub struct BodyDecoder {
    start: usize,
    /// Sized: announced. Chunked: decoded so far.
    len: usize,
    len_max: usize,
    state: State,
    extensions_len: usize,
    trailer_len: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sized,
    ChunkLine,
    ChunkData(usize),
    ChunkEnd,
    Trailer,
    Done,
}

impl BodyDecoder {
    /// `len_max` in bytes of decoded body. A larger announced length is refused here, before it is read.
    pub fn new(framing: Framing, len_max: usize) -> Result<Self, HttpError> {
        let (len, state) = match framing.body {
            BodyKind::None => (0, State::Sized),
            BodyKind::Sized(len) => match usize::try_from(len) {
                Ok(len) if len <= len_max => (len, State::Sized),
                _ => return Err(HttpError::PayloadTooLarge),
            },
            BodyKind::Chunked => (0, State::ChunkLine),
        };
        let start = framing.head_len;
        Ok(BodyDecoder { start, len, len_max, state, extensions_len: 0, trailer_len: 0 })
    }

    /// Takes what has arrived: `buf` begins with the request head and new bytes are appended to it between
    /// calls. `Some(end)` once the body is whole: it is `buf[head_len..end]`, and `buf[end..]` belongs to the
    /// next request. After an error the content of `buf` is of no use.
    pub fn decode(&mut self, buf: &mut Vec<u8>) -> Result<Option<usize>, HttpError> {
        if self.state == State::Sized {
            let end = self.start + self.len;
            return Ok((buf.len() >= end).then_some(end));
        }
        let mut read = self.start + self.len;
        while self.state != State::Done {
            match self.step(buf, read)? {
                0 => break,
                taken => read += taken,
            }
        }
        let end = self.start + self.len;
        buf.drain(end..read);
        Ok((self.state == State::Done).then_some(end))
    }

    /// Takes out of `buf` what has been decoded, for bodies that nobody keeps whole: what is left there is not yet
    /// decoded, or the next request. Empty: more has to be read first, or the body [is done](Self::is_done).
    ///
    /// # Panics
    /// When the body is not at the front of `buf`.
    pub fn take(&mut self, buf: &mut Vec<u8>) -> Vec<u8> {
        assert_eq!(self.start, 0, "a body that is taken in pieces has left its head");
        let here = self.here(buf);
        let rest = buf.split_off(here);
        self.len -= here;
        self.len_max -= here;
        std::mem::replace(buf, rest)
    }

    /// Bytes of the body that are in `buf`, decoded.
    pub fn here(&self, buf: &[u8]) -> usize {
        if self.state == State::Sized { self.len.min(buf.len() - self.start) } else { self.len }
    }

    /// All of the body has been taken.
    pub fn is_done(&self) -> bool {
        self.len == 0 && matches!(self.state, State::Sized | State::Done)
    }

    /// Bytes that are certainly still to come, for sizing the next read: exact for a sized body, for a chunked
    /// one the rest of the current chunk. At most `len_max`.
    pub fn missing(&self, buf: &[u8]) -> usize {
        let end = match self.state {
            State::Sized => self.start + self.len,
            State::ChunkData(left) => self.start + self.len + left,
            _ => 0,
        };
        end.saturating_sub(buf.len())
    }

    /// Consumes one element at `read` and returns its length, 0 when it has not arrived whole.
    fn step(&mut self, buf: &mut [u8], read: usize) -> Result<usize, HttpError> {
        let rest = &buf[read..];
        match self.state {
            State::ChunkLine => {
                let Some(text) = line(rest, CHUNK_LINE_LEN_MAX).ok_or(HttpError::Chunk)? else {
                    return Ok(0);
                };
                let taken = text.len() + 2;
                self.chunk_line(text)?;
                Ok(taken)
            }
            State::ChunkData(left) => {
                let taken = left.min(rest.len());
                buf.copy_within(read..read + taken, self.start + self.len);
                self.len += taken;
                self.state = if taken == left { State::ChunkEnd } else { State::ChunkData(left - taken) };
                Ok(taken)
            }
            State::ChunkEnd => match rest {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkLine;
                    Ok(2)
                }
                [] | [b'\r'] => Ok(0),
                _ => Err(HttpError::Chunk),
            },
            State::Trailer => {
                let Some(text) = line(rest, TRAILER_LEN_MAX).ok_or(HttpError::Chunk)? else { return Ok(0) };
                self.trailer_len += text.len() + 2;
                if self.trailer_len > TRAILER_LEN_MAX {
                    return Err(HttpError::Chunk);
                }
                if text.is_empty() {
                    self.state = State::Done;
                }
                Ok(text.len() + 2)
            }
            State::Sized | State::Done => Ok(0),
        }
    }

    fn chunk_line(&mut self, text: &[u8]) -> Result<(), HttpError> {
        let (size, extensions_len) = chunk_size(text).ok_or(HttpError::Chunk)?;
        self.extensions_len += extensions_len;
        if self.extensions_len > CHUNK_EXTENSIONS_LEN_MAX {
            return Err(HttpError::Chunk);
        }
        // `len` never exceeds `len_max`, so this also keeps every later sum in range.
        if size > (self.len_max - self.len) as u64 {
            return Err(HttpError::PayloadTooLarge);
        }
        self.state = if size == 0 { State::Trailer } else { State::ChunkData(size as usize) };
        Ok(())
    }
}

/// The line at the front without its CR LF. `Some(None)`: not all of it is here. `None`: longer than `len_max`,
/// ended by a bare LF, or holding a control character.
fn line(rest: &[u8], len_max: usize) -> Option<Option<&[u8]>> {
    let window = &rest[..rest.len().min(len_max)];
    let Some(lf) = memchr(b'\n', window) else {
        return (rest.len() < len_max).then_some(None);
    };
    let text = window[..lf].strip_suffix(b"\r")?;
    let clean = text.iter().all(|&b| b == b'\t' || !b.is_ascii_control());
    clean.then_some(Some(text))
}

/// `1*HEXDIG [ chunk-ext ]` as (size, bytes after the size). 16 digits are 64 bits: more is refused even
/// when they are zeros, so nothing can overflow.
fn chunk_size(text: &[u8]) -> Option<(u64, usize)> {
    let digits = text.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 {
        return None;
    }
    let hex = std::str::from_utf8(&text[..digits]).ok()?;
    let size = u64::from_str_radix(hex, 16).ok()?;
    let rest = &text[digits..];
    is_extensions(rest).then_some((size, rest.len()))
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )` (RFC 9112 §7.1.1). What they say is not looked
/// at, but a line that only nearly is one may be read otherwise elsewhere.
fn is_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = rest.trim_ascii_start().strip_prefix(b";") else { return false };
        let Some(after) = after_token(after.trim_ascii_start()) else { return false };
        rest = match after.trim_ascii_start().strip_prefix(b"=") {
            None => after,
            Some(value) => {
                let value = value.trim_ascii_start();
                let Some(after) = after_token(value).or_else(|| after_quoted(value)) else { return false };
                after
            }
        };
    }
    true
}

fn after_token(text: &[u8]) -> Option<&[u8]> {
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    let len = text.iter().take_while(|b| is_token(b)).count();
    (len > 0).then(|| &text[len..])
}

fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
            [] => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HEAD";
    const MAX: usize = 20;

    /// (body, what follows it), `None` when incomplete.
    type Decoded = Result<Option<(Vec<u8>, Vec<u8>)>, HttpError>;

    /// Fed whole and byte by byte.
    fn decode(body: BodyKind, wire: &[u8]) -> Decoded {
        let framing = Framing { head_len: HEAD.len(), body };
        let whole = feed(framing, wire, wire.len().max(1));
        assert_eq!(whole, feed(framing, wire, 1), "{}", wire.escape_ascii());
        whole
    }

    fn feed(framing: Framing, wire: &[u8], step: usize) -> Decoded {
        let mut decoder = BodyDecoder::new(framing, MAX)?;
        let mut buf = HEAD.to_vec();
        let mut end = decoder.decode(&mut buf)?;
        for part in wire.chunks(step) {
            buf.extend_from_slice(part);
            end = decoder.decode(&mut buf)?;
            assert_eq!(&buf[..HEAD.len()], HEAD);
        }
        Ok(end.map(|end| (buf[HEAD.len()..end].to_vec(), buf[end..].to_vec())))
    }

    /// Taken out after every read of `step` bytes.
    fn in_pieces(body: BodyKind, wire: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), HttpError> {
        let mut decoder = BodyDecoder::new(Framing { head_len: 0, body }, MAX)?;
        let (mut buf, mut got) = (Vec::new(), Vec::new());
        for part in wire.chunks(step) {
            buf.extend_from_slice(part);
            if !decoder.is_done() {
                decoder.decode(&mut buf)?;
                got.extend(decoder.take(&mut buf));
            }
        }
        assert!(decoder.is_done());
        Ok((got, buf))
    }

    #[test]
    fn pieces_are_the_whole() {
        let chunks: &[u8] = b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nA: b\r\n\r\nGET /";
        for step in 1..=chunks.len() {
            let want = (b"01234567890123456789".to_vec(), b"GET /".to_vec());
            assert_eq!(in_pieces(BodyKind::Chunked, chunks, step), Ok(want), "{step}");
            let want = (b"01234".to_vec(), b"GET".to_vec());
            assert_eq!(in_pieces(BodyKind::Sized(5), b"01234GET", step), Ok(want), "{step}");
            // What has been taken counts.
            let long = b"A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n";
            assert_eq!(in_pieces(BodyKind::Chunked, long, step), Err(HttpError::PayloadTooLarge), "{step}");
        }
        assert_eq!(in_pieces(BodyKind::None, b"", 1), Ok((vec![], vec![])));
    }

    fn chunked(wire: &str, want: &str) {
        let got = match decode(BodyKind::Chunked, wire.as_bytes()) {
            Ok(Some((body, rest))) => format!("{}|{}", body.escape_ascii(), rest.escape_ascii()),
            Ok(None) => "incomplete".into(),
            Err(error) => format!("{error:?}"),
        };
        assert_eq!(got, want, "{wire:?}");
    }

    #[test]
    fn sized() {
        let some = |body: &[u8], rest: &[u8]| Ok(Some((body.to_vec(), rest.to_vec())));
        assert_eq!(decode(BodyKind::None, b"GET"), some(b"", b"GET"));
        assert_eq!(decode(BodyKind::Sized(0), b""), some(b"", b""));
        assert_eq!(decode(BodyKind::Sized(3), b"abcGET"), some(b"abc", b"GET"));
        assert_eq!(decode(BodyKind::Sized(4), b"abc"), Ok(None));
        assert_eq!(decode(BodyKind::Sized(20), &[7; 20]), some(&[7; 20], b""));
        for len in [21, u64::MAX] {
            assert_eq!(decode(BodyKind::Sized(len), b""), Err(HttpError::PayloadTooLarge));
        }
    }

    #[test]
    fn chunks() {
        chunked("0\r\n\r\n", "|");
        chunked("3\r\nabc\r\n0\r\n\r\n", "abc|");
        chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nGET /", "abcde|GET /");
        chunked("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789|");
        chunked("0000000000000003\r\n\r\n\x00\r\n000\r\n\r\n", "\\r\\n\\x00|");
        chunked("1;a=b\r\nx\r\n1 ;a\r\ny\r\n0;q=\"a;\\\"\" \t; b = c\r\n\r\n", "xy|");
        chunked("1\r\nx\r\n0\r\nA: b\r\nC: d\r\n\r\nrest", "x|rest");
    }

    #[test]
    fn incomplete_chunks() {
        for wire in [
            "",
            "3",
            "3\r",
            "3\r\n",
            "3\r\nab",
            "3\r\nabc",
            "3\r\nabc\r",
            "3\r\nabc\r\n0\r\n",
            "0\r\nA: b\r\n\r",
        ] {
            chunked(wire, "incomplete");
        }
    }

    #[test]
    fn bad_chunks() {
        for wire in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1 x\r\n",
            ";a\r\n",
            "2;\r\n",
            "2;;a\r\n",
            "2;a;\r\n",
            "2;a \r\n",
            "2;\"a\"\r\n",
            "2;a=\r\n",
            "2;a=\"b\r\n",
            "2;a=b=c\r\n",
            "2;a(b)\r\n",
            "2 a\r\n",
            "1\n",
            "1\rx\n",
            "1;a\rb\r\n",
            "1;a\x00\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1\r\na\rx",
            "0\r\n\n",
            "0\r\nA: b\n\r\n",
            "10000000000000000\r\n",
            "00000000000000001\r\n",
        ] {
            chunked(wire, "Chunk");
        }
    }

    #[test]
    fn bounds() {
        for wire in ["15\r\n", "ffffffffffffffff\r\n", "14\r\n01234567890123456789\r\n1\r\n"] {
            chunked(wire, "PayloadTooLarge");
        }
        chunked(&format!("1;{}\r\nx", "a".repeat(CHUNK_LINE_LEN_MAX - 4)), "incomplete");
        chunked(&format!("1;{}", "a".repeat(CHUNK_LINE_LEN_MAX - 2)), "Chunk");
        let line = format!("1;{}\r\nx\r\n", "a".repeat(CHUNK_LINE_LEN_MAX - 4));
        chunked(&line.repeat(16), "incomplete");
        chunked(&line.repeat(17), "Chunk");
        chunked(&format!("0\r\nA: {}\r\n\r\n", "b".repeat(TRAILER_LEN_MAX - 7)), "|");
        chunked(&format!("0\r\nA: {}\r\n\r\n", "b".repeat(TRAILER_LEN_MAX - 6)), "Chunk");
        chunked(&format!("0\r\n{}", "b".repeat(TRAILER_LEN_MAX)), "Chunk");
    }

    #[test]
    fn missing_bytes() {
        let mut buf = b"HEADab".to_vec();
        let decoder = BodyDecoder::new(Framing { head_len: 4, body: BodyKind::Sized(5) }, MAX).unwrap();
        assert_eq!(decoder.missing(&buf), 3);
        let mut decoder = BodyDecoder::new(Framing { head_len: 4, body: BodyKind::Chunked }, MAX).unwrap();
        buf.splice(4.., *b"5\r\nab");
        assert_eq!(decoder.decode(&mut buf), Ok(None));
        assert_eq!(decoder.missing(&buf), 3);
        assert_eq!(buf, b"HEADab");
    }
}
