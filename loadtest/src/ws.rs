//! WebSocket from the client's side: upgrade request, masked frames out, frames in.
//!
//! Owns: where one frame ends and the next begins.
//! Invariant: no socket and no clock here; a frame is only handed out whole, and a length is checked
//! before anything of that length is kept.

use std::ops::Range;

use tungstenite::handshake::derive_accept_key;

/// Longest frame accepted from a server. A READY of a user in 200 servers is about 20 KB; 16 MiB is
/// the limit servers themselves use for what they accept.
pub const FRAME_LEN_MAX: usize = 16 << 20;

/// The upgrade key. It proves nothing about the client (RFC 6455 §1.3), so one key serves all sessions.
const KEY: &str = "cGxleGljaGF0LWxvYWQtMQ==";

/// Masking hides nothing on a loopback; a fixed mask saves a random number per frame.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// One whole frame inside the bytes given to [`next_frame`].
#[derive(Debug, PartialEq)]
pub struct Frame {
    pub opcode: u8,
    pub fin: bool,
    /// Where the payload lies in the input.
    pub payload: Range<usize>,
    /// Header and payload together: how many bytes to consume.
    pub len: usize,
}

/// Appends the request that opens `path` as a WebSocket.
pub fn write_upgrade(out: &mut Vec<u8>, path: &str, host: &str) {
    out.extend_from_slice(
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nUser-Agent: plexichat-loadtest\r\n\r\n"
        )
        .as_bytes(),
    );
}

/// Reads the answer to an upgrade: `None` while it is incomplete, else the length of its head.
pub fn read_upgrade(input: &[u8]) -> Result<Option<usize>, String> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(input) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if input.len() > 64 << 10 => return Err("upgrade: endless head".into()),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(e) => return Err(format!("upgrade: not HTTP ({e})")),
    };
    let status = response.code.unwrap_or(0);
    if status != 101 {
        return Err(format!("upgrade answered HTTP {status}"));
    }
    let accept = response.headers.iter().find(|h| h.name.eq_ignore_ascii_case("sec-websocket-accept"));
    match accept {
        Some(h) if h.value == derive_accept_key(KEY.as_bytes()).as_bytes() => Ok(Some(len)),
        _ => Err("upgrade: wrong Sec-WebSocket-Accept".into()),
    }
}

/// Appends one whole masked frame.
pub fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    out.push(0x80 | opcode);
    match payload.len() {
        n @ 0..126 => out.push(0x80 | n as u8),
        n @ 126..65536 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
    let start = out.len();
    out.extend_from_slice(payload);
    for (i, byte) in out[start..].iter_mut().enumerate() {
        *byte ^= MASK[i & 3];
    }
}

/// The first frame of `input`, or `None` while it is incomplete.
///
/// Errors: a masked frame (servers must not mask), reserved bits, a frame above [`FRAME_LEN_MAX`].
pub fn next_frame(input: &[u8]) -> Result<Option<Frame>, &'static str> {
    let [first, second, ..] = *input else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("frame with reserved bits");
    }
    if second & 0x80 != 0 {
        return Err("masked frame from the server");
    }
    let (start, len) = match second & 0x7f {
        126 => match input.get(2..4) {
            Some(&[a, b]) => (4, u16::from_be_bytes([a, b]) as u64),
            _ => return Ok(None),
        },
        127 => match input.get(2..10).and_then(|b| <[u8; 8]>::try_from(b).ok()) {
            Some(bytes) => (10, u64::from_be_bytes(bytes)),
            None => return Ok(None),
        },
        n => (2, u64::from(n)),
    };
    if len > FRAME_LEN_MAX as u64 {
        return Err("frame above 16 MiB");
    }
    let end = start + len as usize;
    if input.len() < end {
        return Ok(None);
    }
    Ok(Some(Frame { opcode: first & 15, fin: first & 0x80 != 0, payload: start..end, len: end }))
}

/// Code and reason of a close frame's payload; 1005 when it carries none (RFC 6455 §7.1.5).
pub fn close_reason(payload: &[u8]) -> (u16, String) {
    match payload {
        [a, b, text @ ..] => (u16::from_be_bytes([*a, *b]), String::from_utf8_lossy(text).into_owned()),
        _ => (1005, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tungstenite::protocol::frame::FrameHeader;

    use super::*;

    #[test]
    fn frames_out_are_read_by_tungstenite() {
        for len in [0, 1, 125, 126, 65535, 65536, 70000] {
            let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut out = Vec::new();
            write_frame(&mut out, TEXT, &payload);
            let mut cursor = Cursor::new(&out);
            let (header, n) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            assert_eq!((n as usize, header.is_final, header.mask), (len, true, Some(MASK)));
            let start = cursor.position() as usize;
            let got: Vec<u8> = out[start..].iter().enumerate().map(|(i, b)| b ^ MASK[i & 3]).collect();
            assert_eq!(got, payload);
        }
    }

    #[test]
    fn frames_in_are_whole_or_nothing() {
        for len in [0usize, 5, 125, 126, 300, 65535, 65536] {
            let mut input = Vec::new();
            FrameHeader::default().format(len as u64, &mut input).unwrap();
            let start = input.len();
            input.resize(start + len, b'x');
            let want = Frame { opcode: 0, fin: true, payload: start..start + len, len: start + len };
            for cut in [0, 1, start.saturating_sub(1), start, input.len().saturating_sub(1)] {
                if cut < input.len() {
                    assert_eq!(next_frame(&input[..cut]), Ok(None), "{len} cut at {cut}");
                }
            }
            let got = next_frame(&input).unwrap().unwrap();
            assert_eq!((got.fin, &got.payload, got.len), (want.fin, &want.payload, want.len));
        }
    }

    #[test]
    fn bad_frames_are_refused() {
        for (input, want) in [
            (&[0x81u8, 0x80, 0, 0, 0, 0][..], "masked frame from the server"),
            (&[0xc1, 0], "frame with reserved bits"),
            (&[0x81, 127, 0, 0, 0, 0, 1, 0, 0, 1], "frame above 16 MiB"),
        ] {
            assert_eq!(next_frame(input), Err(want));
        }
    }

    #[test]
    fn upgrade_answers() {
        let good =
            format!("HTTP/1.1 101 Go\r\nsec-websocket-ACCEPT: {}\r\n\r\n", derive_accept_key(KEY.as_bytes()));
        assert_eq!(read_upgrade(good.as_bytes()), Ok(Some(good.len())));
        assert_eq!(read_upgrade(&good.as_bytes()[..good.len() - 1]), Ok(None));
        for (input, want) in [
            ("HTTP/1.1 503 No\r\n\r\n", "upgrade answered HTTP 503"),
            ("HTTP/1.1 101 Go\r\n\r\n", "upgrade: wrong Sec-WebSocket-Accept"),
        ] {
            assert_eq!(read_upgrade(input.as_bytes()), Err(want.to_string()));
        }
    }

    #[test]
    fn close_reasons() {
        assert_eq!(close_reason(b"\x0f\xa8Rate limited"), (4008, "Rate limited".into()));
        assert_eq!(close_reason(b""), (1005, String::new()));
    }
}
