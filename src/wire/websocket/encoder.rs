//! Frames to the client: final, unmasked, with the shortest length (RFC 6455 §5.2).
//!
//! Invariant: no message is fragmented; what goes out is one header and one payload.

use super::{CLOSE_REASON_LEN_MAX, CONTROL_LEN_MAX, Control, OpCode};

/// Longest header of an unmasked frame: 2 bytes and 8 of length.
pub const HEADER_LEN_MAX: usize = 10;

/// Bytes of header in front of a payload of this many bytes: 2, 4 or 10.
pub const fn header_len(payload_len: usize) -> usize {
    match payload_len {
        0..=125 => 2,
        126..=65_535 => 4,
        _ => 10,
    }
}

/// Appends the header; the caller appends `payload_len` bytes of payload.
pub fn write_frame_header(out: &mut Vec<u8>, opcode: OpCode, payload_len: usize) {
    let (header, len) = header(opcode, payload_len);
    out.extend_from_slice(&header[..len]);
}

/// Makes `out[payload_at..]` the payload of a frame: moves it up and writes the header before it.
/// For payloads whose length is known only when they are written.
pub fn insert_frame_header(out: &mut Vec<u8>, payload_at: usize, opcode: OpCode) {
    let end = out.len();
    let (header, len) = header(opcode, end - payload_at);
    out.resize(end + len, 0);
    out.copy_within(payload_at..end, payload_at + len);
    out[payload_at..payload_at + len].copy_from_slice(&header[..len]);
}

/// Appends a whole frame.
pub fn write_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    out.reserve(header_len(payload.len()) + payload.len());
    write_frame_header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

/// Appends a close frame. `reason` is cut to 123 bytes at a character boundary.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let reason = &reason[..reason.floor_char_boundary(CLOSE_REASON_LEN_MAX)];
    write_frame_header(out, OpCode::Control(Control::Close), 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

/// Appends a ping. `payload` ≤ 125 bytes.
pub fn write_ping(out: &mut Vec<u8>, payload: &[u8]) {
    assert!(payload.len() <= CONTROL_LEN_MAX);
    write_frame(out, OpCode::Control(Control::Ping), payload);
}

/// Appends a pong. `payload` is that of the ping it answers, ≤ 125 bytes.
pub fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    assert!(payload.len() <= CONTROL_LEN_MAX);
    write_frame(out, OpCode::Control(Control::Pong), payload);
}

fn header(opcode: OpCode, payload_len: usize) -> ([u8; HEADER_LEN_MAX], usize) {
    let mut header = [0; HEADER_LEN_MAX];
    let len = header_len(payload_len);
    header[0] = 0x80 | u8::from(opcode);
    match len {
        2 => header[1] = payload_len as u8,
        4 => {
            header[1] = 126;
            header[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
        }
        _ => {
            header[1] = 127;
            header[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
        }
    }
    (header, len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::websocket::Data;

    const TEXT: OpCode = OpCode::Data(Data::Text);
    const BINARY: OpCode = OpCode::Data(Data::Binary);

    #[test]
    fn headers() {
        let check = |opcode, payload_len, want: &[u8]| {
            let mut out = b"before".to_vec();
            write_frame_header(&mut out, opcode, payload_len);
            assert_eq!(&out[6..], want, "{payload_len}");
            assert_eq!(header_len(payload_len), want.len());
        };
        check(TEXT, 0, &[0x81, 0]);
        check(TEXT, 125, &[0x81, 125]);
        check(BINARY, 126, &[0x82, 126, 0, 126]);
        check(BINARY, 65_535, &[0x82, 126, 0xff, 0xff]);
        check(TEXT, 65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        check(OpCode::Control(Control::Ping), 3, &[0x89, 3]);
    }

    #[test]
    fn header_in_front_of_a_written_payload() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; len];
            let mut want = b"before".to_vec();
            write_frame(&mut want, TEXT, &payload);
            let mut got = [b"before".as_slice(), &payload].concat();
            insert_frame_header(&mut got, 6, TEXT);
            assert!(got == want, "{len}");
        }
    }

    #[test]
    fn control_frames() {
        let check = |write: &dyn Fn(&mut Vec<u8>), want: &[u8]| {
            let mut out = Vec::new();
            write(&mut out);
            assert_eq!(out, want);
        };
        check(&|out| write_ping(out, b""), b"\x89\x00");
        check(&|out| write_pong(out, b"abc"), b"\x8a\x03abc");
        check(&|out| write_close(out, 4008, "Slow consumer"), b"\x88\x0f\x0f\xa8Slow consumer");
        check(&|out| write_close(out, 1000, ""), b"\x88\x02\x03\xe8");
    }

    #[test]
    fn close_reason_is_cut_between_characters() {
        let check = |reason: &str, want_len: usize| {
            let mut out = Vec::new();
            write_close(&mut out, 1000, reason);
            assert_eq!(usize::from(out[1]), 2 + want_len);
            assert_eq!(str::from_utf8(&out[4..]).unwrap(), &reason[..want_len]);
        };
        check(&"a".repeat(123), 123);
        check(&"a".repeat(124), 123);
        check(&"ü".repeat(100), 122);
        check(&"👍".repeat(40), 120);
    }
}
