//! The header of a client's frame (RFC 6455 §5.2) and the ways to break the protocol.
//!
//! Invariant: what is refused depends on the bytes before it only. A rule fires on the
//! first byte that breaks it and in one fixed order, so the split of the stream into
//! reads never changes the outcome.

use super::{CONTROL_LEN_MAX, CloseCode, Control, Data, OpCode};
use crate::limits::FRAME_LEN_MAX;

/// Longest header of a masked frame: 2 bytes, 8 of length, 4 of mask.
pub(super) const CLIENT_HEADER_LEN_MAX: usize = 14;

/// Why a connection must be closed. Everything before it was delivered; nothing after it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseError {
    /// Close 1002. The text names the rule.
    Protocol(&'static str),
    /// Text or a close reason that is not UTF-8: close 1007.
    InvalidUtf8,
    /// A frame announced above [`FRAME_LEN_MAX`]: close 1009.
    FrameTooLarge,
    /// A message above the caller's maximum, whole or summed over its fragments: the
    /// gateway's "decode error", close 4002 (gateway.md §1.1).
    MessageTooLarge,
}

impl CloseError {
    /// Code to put into the close frame.
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol(_) => CloseCode::Protocol.into(),
            Self::InvalidUtf8 => CloseCode::Invalid.into(),
            Self::FrameTooLarge => CloseCode::Size.into(),
            Self::MessageTooLarge => 4002,
        }
    }

    /// Reason to put into the close frame; short, never empty.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Protocol(rule) => rule,
            Self::InvalidUtf8 => "Text is not valid UTF-8",
            Self::FrameTooLarge => "Frame too large",
            Self::MessageTooLarge => "Message too large",
        }
    }
}

/// What the frames before this one allow it to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expect {
    /// Bytes already assembled of an unfinished fragmented message.
    pub open_len: Option<usize>,
    /// Largest text or binary message, in bytes.
    pub message_len_max: usize,
}

/// A header that broke no rule. The payload fits `FRAME_LEN_MAX`, hence u32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub opcode: OpCode,
    pub is_final: bool,
    pub mask: [u8; 4],
    pub header_len: u8,
    pub payload_len: u32,
}

const _: () = assert!(FRAME_LEN_MAX <= u32::MAX as usize);

impl Header {
    /// Reads a header at the start of `bytes`. `None`: more bytes are needed.
    pub fn parse(bytes: &[u8], expect: Expect) -> Result<Option<Self>, CloseError> {
        let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
        let is_final = first & 0x80 != 0;
        let opcode = OpCode::from(first & 0x0f);
        let short_len = second & 0x7f;
        check_first_bytes(first, second, opcode, expect.open_len.is_some())?;

        let len_len = match short_len {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((len_bytes, rest)) = rest.split_at_checked(len_len) else { return Ok(None) };
        let len = match len_len {
            0 => u64::from(short_len),
            _ => len_bytes.iter().fold(0, |len, &byte| len << 8 | u64::from(byte)),
        };
        let payload_len = check_len(len, len_len, opcode, expect)?;

        let Some(&mask) = rest.first_chunk() else { return Ok(None) };
        let header_len = (2 + len_len + mask.len()) as u8;
        Ok(Some(Self { opcode, is_final, mask, header_len, payload_len }))
    }
}

fn check_first_bytes(first: u8, second: u8, opcode: OpCode, is_open: bool) -> Result<(), CloseError> {
    if first & 0x70 != 0 {
        return Err(CloseError::Protocol("Reserved bit set"));
    }
    match opcode {
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
            return Err(CloseError::Protocol("Unknown frame opcode"));
        }
        OpCode::Data(Data::Continue) if !is_open => {
            return Err(CloseError::Protocol("Continuation without a message"));
        }
        OpCode::Data(Data::Text | Data::Binary) if is_open => {
            return Err(CloseError::Protocol("New message inside a fragmented one"));
        }
        OpCode::Control(_) if first & 0x80 == 0 => {
            return Err(CloseError::Protocol("Fragmented control frame"));
        }
        OpCode::Control(_) if usize::from(second & 0x7f) > CONTROL_LEN_MAX => {
            return Err(CloseError::Protocol("Control frame too long"));
        }
        OpCode::Data(_) | OpCode::Control(_) => {}
    }
    if second & 0x80 == 0 {
        return Err(CloseError::Protocol("Frame is not masked"));
    }
    Ok(())
}

fn check_len(len: u64, len_len: usize, opcode: OpCode, expect: Expect) -> Result<u32, CloseError> {
    if len >> 63 != 0 {
        return Err(CloseError::Protocol("Frame length out of range"));
    }
    let is_minimal = match len_len {
        0 => true,
        2 => len > 125,
        _ => len > u64::from(u16::MAX),
    };
    if !is_minimal {
        return Err(CloseError::Protocol("Frame length not in its shortest form"));
    }
    if len > FRAME_LEN_MAX as u64 {
        return Err(CloseError::FrameTooLarge);
    }
    let is_data = matches!(opcode, OpCode::Data(_));
    if is_data && expect.open_len.unwrap_or(0) + len as usize > expect.message_len_max {
        return Err(CloseError::MessageTooLarge);
    }
    Ok(len as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use CloseError::*;

    const MAX: usize = 65_536;

    fn parse(bytes: &[u8], open_len: Option<usize>) -> Result<Option<Header>, CloseError> {
        Header::parse(bytes, Expect { open_len, message_len_max: MAX })
    }

    /// Also: no shorter prefix says something else than "more" or the same.
    fn check(bytes: &[u8], open_len: Option<usize>, want: Result<Option<(u8, u32)>, CloseError>) {
        let summary = |got: Result<Option<Header>, _>| got.map(|h| h.map(|h| (h.header_len, h.payload_len)));
        assert_eq!(summary(parse(bytes, open_len)), want, "{bytes:02x?}");
        for cut in 0..bytes.len() {
            let got = summary(parse(&bytes[..cut], open_len));
            assert!(got == Ok(None) || got == want, "{:02x?}: {got:?}", &bytes[..cut]);
        }
    }

    #[test]
    fn accepted_headers() {
        check(&[0x81, 0x80, 1, 2, 3, 4], None, Ok(Some((6, 0))));
        check(&[0x01, 0xfd, 1, 2, 3, 4], None, Ok(Some((6, 125))));
        check(&[0x82, 0xfe, 0, 126, 1, 2, 3, 4], None, Ok(Some((8, 126))));
        check(&[0x82, 0xfe, 0xff, 0xff, 1, 2, 3, 4], None, Ok(Some((8, 65_535))));
        check(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], None, Ok(Some((14, 65_536))));
        check(&[0x80, 0x81, 1, 2, 3, 4], Some(MAX - 1), Ok(Some((6, 1))));
        check(&[0x00, 0x80, 1, 2, 3, 4], Some(MAX), Ok(Some((6, 0))));
        for control in [0x88, 0x89, 0x8a] {
            check(&[control, 0xfd, 1, 2, 3, 4], None, Ok(Some((6, 125))));
            check(&[control, 0x80, 1, 2, 3, 4], Some(MAX), Ok(Some((6, 0))));
        }
    }

    #[test]
    fn first_two_bytes_are_enough_to_refuse() {
        for rsv in [0x40, 0x20, 0x10, 0x70] {
            check(&[0x81 | rsv, 0x80], None, Err(Protocol("Reserved bit set")));
            check(&[0x89 | rsv, 0x80], None, Err(Protocol("Reserved bit set")));
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[0x80 | opcode, 0x80], None, Err(Protocol("Unknown frame opcode")));
        }
        for opcode in [0x81, 0x82, 0x88, 0x89, 0x8a, 0x01, 0x02] {
            check(&[opcode, 0x00], None, Err(Protocol("Frame is not masked")));
        }
        check(&[0x80, 0x80], None, Err(Protocol("Continuation without a message")));
        check(&[0x00, 0x80], None, Err(Protocol("Continuation without a message")));
        for opcode in [0x81, 0x82, 0x01, 0x02] {
            check(&[opcode, 0x80], Some(0), Err(Protocol("New message inside a fragmented one")));
        }
        for opcode in [8, 9, 10] {
            check(&[opcode, 0x80], None, Err(Protocol("Fragmented control frame")));
            check(&[0x80 | opcode, 0xfe], None, Err(Protocol("Control frame too long")));
            check(&[0x80 | opcode, 0xff], None, Err(Protocol("Control frame too long")));
        }
    }

    #[test]
    fn lengths_are_refused_before_the_mask_arrives() {
        let long = |len: u64| [[0x82, 0xff].as_slice(), &len.to_be_bytes()].concat();
        let not_shortest = Err(Protocol("Frame length not in its shortest form"));
        check(&[0x82, 0xfe, 0, 0], None, not_shortest);
        check(&[0x82, 0xfe, 0, 125], None, not_shortest);
        check(&long(0), None, not_shortest);
        check(&long(65_535), None, not_shortest);
        check(&long(1 << 63), None, Err(Protocol("Frame length out of range")));
        check(&long(u64::MAX), None, Err(Protocol("Frame length out of range")));
        check(&long(u64::MAX >> 1), None, Err(FrameTooLarge));
        check(&long(FRAME_LEN_MAX as u64 + 1), None, Err(FrameTooLarge));
        check(&long(FRAME_LEN_MAX as u64), None, Err(MessageTooLarge));
        check(&long(MAX as u64 + 1), None, Err(MessageTooLarge));
        check(&[0x80, 0x81], Some(MAX), Err(MessageTooLarge));
        check(&[0x00, 0xfe, 0xff, 0xff], Some(2), Err(MessageTooLarge));
    }

    #[test]
    fn codes_of_the_contract() {
        let codes = [Protocol("x"), InvalidUtf8, FrameTooLarge, MessageTooLarge].map(CloseError::code);
        assert_eq!(codes, [1002, 1007, 1009, 4002]);
    }
}
