//! From received bytes to messages.
//!
//! Owns: frames that did not arrive whole and messages in fragments.
//! Invariant: [`Decoder`] is one pointer, null unless such a frame or message is under
//! way. A frame that lies whole in the input is unmasked there and lent out from there.

use std::mem;

use super::encoder::write_frame_header;
use super::frame::{CLIENT_HEADER_LEN_MAX, CloseError, Expect, Header};
use super::mask::apply_mask;
use super::{CloseCode, Control, Data, OpCode};
use crate::limits::FRAME_LEN_MAX;

const CLOSE: OpCode = OpCode::Control(Control::Close);

/// A message from the client, valid until the next call of the decoder.
#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Checked to be UTF-8. Bytes, and mutable, because the JSON parser works in place.
    Text(&'a mut [u8]),
    Binary(&'a mut [u8]),
    /// To be answered by a pong with the same payload, ≤ 125 bytes.
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    /// `code` is one a peer may send (RFC 6455 §7.4), absent when the frame was empty.
    Close {
        code: Option<u16>,
        reason: &'a str,
    },
}

/// The receiving half of one connection.
///
/// ```
/// # use plexichat::wire::websocket::{CloseError, Decoder, Message};
/// # fn receive(decoder: &mut Decoder, received: &mut [u8]) -> Result<(), CloseError> {
/// let mut input = received;
/// while let Some(message) = decoder.next_message(&mut input, 65_536)? {
///     // act on the message
/// }
/// # Ok(()) }
/// ```
///
/// Drain to `None` before the input's buffer is reused: that call stores an unfinished
/// frame and frees a finished one. `Message::Close` and errors use up the input; feed nothing
/// after them.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

// Paid by every idle session.
const _: () = assert!(size_of::<Decoder>() == 8);

/// What is kept between reads: about 100 bytes and the payload received so far, unmasked, at
/// most `message_len_max` + 125 bytes (the vector may hold twice that). What a header only
/// announces takes no room.
#[derive(Debug, Default)]
struct Partial {
    /// Start of a header that is not whole yet.
    header_bytes: [u8; CLIENT_HEADER_LEN_MAX],
    header_len: u8,
    /// `bytes` from `message_len` on was lent out by the last call (all of it for a data message).
    lent: Option<OpCode>,
    /// The frame under way and how much of its payload is in `bytes`.
    frame: Option<(Header, u32)>,
    /// Type of the fragmented message under way.
    open: Option<OpCode>,
    /// The message under way, then the payload of an interleaved control frame under way.
    bytes: Vec<u8>,
    /// Bytes of `bytes` that are finished frames of the message.
    message_len: usize,
    /// Finished frames that another one follows, since they were last asked for.
    fragment_count: u32,
}

/// Where the next message lies.
enum Step<'i> {
    NeedMore,
    InPlace(OpCode, &'i mut [u8]),
    /// At the end of `Partial::bytes`, as `Partial::lent` says.
    Assembled,
}

impl Decoder {
    pub const fn new() -> Self {
        Self { partial: None }
    }

    /// True between messages: nothing is stored.
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Bytes on the heap.
    pub fn heap_len(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| size_of::<Partial>() + partial.bytes.capacity())
    }

    /// Frames that ended no message, since the last call. Ask before and after the input is drained: a client that
    /// sends nothing but pieces is heard of no other way.
    pub fn take_fragment_count(&mut self) -> u32 {
        self.partial.as_mut().map_or(0, |partial| mem::take(&mut partial.fragment_count))
    }

    /// Appends input that brings a new decoder to where this one is, but for the count of fragments. Ask between two
    /// messages.
    pub fn write_unfinished(&self, out: &mut Vec<u8>) {
        let Some(partial) = self.partial.as_deref() else { return };
        debug_assert!(partial.lent.is_none());
        let (message, rest) = partial.bytes.split_at(partial.message_len);
        if let Some(opcode) = partial.open {
            // In one frame after the other, masked with zeros.
            let (first, others) = message.split_at(message.len().min(FRAME_LEN_MAX));
            write_piece(out, opcode, first);
            others
                .chunks(FRAME_LEN_MAX)
                .for_each(|piece| write_piece(out, OpCode::Data(Data::Continue), piece));
        }
        if let Some((header, _)) = partial.frame {
            let at = out.len();
            write_frame_header(out, header.opcode, header.payload_len as usize);
            out[at] &= if header.is_final { 0xff } else { 0x7f };
            out[at + 1] |= 0x80;
            out.extend_from_slice(&header.mask);
            let at = out.len();
            out.extend_from_slice(rest);
            apply_mask(&mut out[at..], header.mask, 0);
        }
        out.extend_from_slice(&partial.header_bytes[..usize::from(partial.header_len)]);
    }

    /// Takes the next message off the front of `input`; `None` when all of it is used up.
    /// `message_len_max` bounds text and binary messages, in bytes.
    ///
    /// `input` is unmasked in place, so it is garbage afterwards.
    pub fn next_message<'m, 'i: 'm>(
        &'m mut self,
        input: &mut &'i mut [u8],
        message_len_max: usize,
    ) -> Result<Option<Message<'m>>, CloseError> {
        self.free_lent();
        let step = match self.advance(input, message_len_max) {
            Ok(step) => step,
            Err(error) => {
                self.partial = None;
                *input = &mut [];
                return Err(error);
            }
        };
        let (opcode, payload): (OpCode, &'m mut [u8]) = match step {
            Step::NeedMore => return Ok(None),
            Step::InPlace(opcode, payload) => (opcode, payload),
            Step::Assembled => self.partial.as_deref_mut().expect("assembled in the partial").lend(),
        };
        Ok(Some(match opcode {
            OpCode::Data(Data::Text) => Message::Text(payload),
            OpCode::Data(_) => Message::Binary(payload),
            OpCode::Control(Control::Ping) => Message::Ping(payload),
            OpCode::Control(Control::Close) => {
                *input = &mut [];
                let (code, reason) = parse_close(payload).expect("checked by check_payload");
                Message::Close { code, reason }
            }
            OpCode::Control(_) => Message::Pong(payload),
        }))
    }

    /// Finds the next message and checks it, without lending it out.
    fn advance<'i>(&mut self, input: &mut &'i mut [u8], max: usize) -> Result<Step<'i>, CloseError> {
        loop {
            let (header, got) = match self.partial.as_mut().and_then(|p| p.frame.take()) {
                Some(frame) => frame,
                None => match self.take_header(input, max)? {
                    Some(header) => (header, 0),
                    None => return Ok(Step::NeedMore),
                },
            };

            let missing = header.payload_len - got;
            let is_here = input.len() >= missing as usize;
            let is_control = matches!(header.opcode, OpCode::Control(_));
            let is_continue = header.opcode == OpCode::Data(Data::Continue);
            if is_here && got == 0 && (is_control || (header.is_final && !is_continue)) {
                let payload = take_front(input, missing as usize);
                apply_mask(payload, header.mask, 0);
                check_payload(header.opcode, payload)?;
                if header.opcode == CLOSE || self.partial.as_ref().is_some_and(|p| p.open.is_none()) {
                    self.partial = None; // an open message that will not end, or the header only
                }
                return Ok(Step::InPlace(header.opcode, payload));
            }

            let piece = take_front(input, (missing as usize).min(input.len()));
            apply_mask(piece, header.mask, got as usize);
            let partial = self.partial.get_or_insert_default();
            partial.bytes.extend_from_slice(piece);
            if !is_here {
                partial.frame = Some((header, got + piece.len() as u32));
                return Ok(Step::NeedMore);
            }
            if partial.finish_frame(header) {
                let (opcode, payload) = partial.lend();
                check_payload(opcode, payload)?;
                return Ok(Step::Assembled);
            }
        }
    }

    /// Takes a header off `input`, or stores what there is of it.
    fn take_header(&mut self, input: &mut &mut [u8], max: usize) -> Result<Option<Header>, CloseError> {
        let open_len = self.partial.as_ref().and_then(|p| p.open.map(|_| p.message_len));
        let expect = Expect { open_len, message_len_max: max };

        let stored = self.partial.as_ref().map_or(0, |p| usize::from(p.header_len));
        if stored == 0 {
            let header = Header::parse(input, expect)?;
            if let Some(header) = header {
                take_front(input, usize::from(header.header_len));
                return Ok(Some(header));
            }
            if input.is_empty() {
                return Ok(None);
            }
        }

        // Cold: at most 14 turns, once per header that a read cut in two.
        let partial = self.partial.get_or_insert_default();
        while let [byte] = *take_front(input, input.len().min(1)) {
            partial.header_bytes[usize::from(partial.header_len)] = byte;
            partial.header_len += 1;
            let so_far = &partial.header_bytes[..usize::from(partial.header_len)];
            if let Some(header) = Header::parse(so_far, expect)? {
                partial.header_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Frees what the last call lent out.
    fn free_lent(&mut self) {
        let Some(partial) = &mut self.partial else { return };
        match partial.lent.take() {
            None => {}
            Some(OpCode::Control(Control::Ping | Control::Pong)) if partial.open.is_some() => {
                partial.bytes.truncate(partial.message_len);
            }
            Some(_) => self.partial = None,
        }
    }
}

impl Partial {
    /// Books a frame whose payload is now in `bytes`. True: it completes a message.
    fn finish_frame(&mut self, header: Header) -> bool {
        let opcode = match header.opcode {
            OpCode::Control(_) => {
                self.lent = Some(header.opcode);
                return true;
            }
            OpCode::Data(Data::Continue) => self.open.expect("checked by the header"),
            OpCode::Data(_) => header.opcode,
        };
        self.fragment_count += u32::from(!header.is_final);
        self.open = (!header.is_final).then_some(opcode);
        self.lent = header.is_final.then_some(opcode);
        self.message_len = if header.is_final { 0 } else { self.bytes.len() };
        header.is_final
    }

    fn lend(&mut self) -> (OpCode, &mut [u8]) {
        (self.lent.expect("set by finish_frame"), &mut self.bytes[self.message_len..])
    }
}

/// A frame of a message that goes on.
fn write_piece(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let at = out.len();
    write_frame_header(out, opcode, payload.len());
    out[at] &= 0x7f;
    out[at + 1] |= 0x80;
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

fn take_front<'i>(input: &mut &'i mut [u8], len: usize) -> &'i mut [u8] {
    let (front, rest) = mem::take(input).split_at_mut(len);
    *input = rest;
    front
}

fn check_payload(opcode: OpCode, payload: &[u8]) -> Result<(), CloseError> {
    match opcode {
        OpCode::Data(Data::Text) => check_utf8(payload).map(drop),
        OpCode::Control(Control::Close) => parse_close(payload).map(drop),
        _ => Ok(()),
    }
}

fn check_utf8(bytes: &[u8]) -> Result<&str, CloseError> {
    str::from_utf8(bytes).map_err(|_| CloseError::InvalidUtf8)
}

fn parse_close(payload: &[u8]) -> Result<(Option<u16>, &str), CloseError> {
    let (code, reason) = match payload {
        [] => return Ok((None, "")),
        [_] => return Err(CloseError::Protocol("Close payload of one byte")),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    // 1014 (bad gateway) was registered after RFC 6455; the crate's table does not know it.
    if !CloseCode::from(code).is_allowed() && code != 1014 {
        return Err(CloseError::Protocol("Invalid close code"));
    }
    Ok((Some(code), check_utf8(reason)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 65_536;
    const KEY: [u8; 4] = [0xa1, 0x02, 0xf3, 0x44];

    /// A masked frame as a client sends it. `first` is FIN, RSV and opcode.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..=125 => bytes.push(0x80 | len as u8),
            len @ 126..=65_535 => bytes.extend([&[0xfe], (len as u16).to_be_bytes().as_slice()].concat()),
            len => bytes.extend([&[0xff], (len as u64).to_be_bytes().as_slice()].concat()),
        }
        bytes.extend(KEY);
        bytes.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ KEY[i % 4]));
        bytes
    }

    fn frames(list: &[(u8, &[u8])]) -> Vec<u8> {
        list.iter().flat_map(|(first, payload)| frame(*first, payload)).collect()
    }

    fn show(message: Message<'_>) -> String {
        let text = |bytes: &[u8]| match bytes.len() {
            0..=40 => String::from_utf8_lossy(bytes).into_owned(),
            len => format!("[{len}]"),
        };
        match message {
            Message::Text(bytes) => format!("text {}", text(bytes)),
            Message::Binary(bytes) => format!("binary {}", text(bytes)),
            Message::Ping(bytes) => format!("ping {}", text(bytes)),
            Message::Pong(bytes) => format!("pong {}", text(bytes)),
            Message::Close { code, reason } => format!("close {code:?} {reason}"),
        }
    }

    #[test]
    fn frames_that_end_no_message_are_counted() {
        let mut decoder = Decoder::new();
        let mut stream =
            frames(&[(0x01, b"a"), (0x00, b""), (0x89, b"p"), (0x00, b"b"), (0x80, b"c"), (0x81, b"d")]);
        let mut input = &mut stream[..];
        assert_eq!(decoder.next_message(&mut input, MAX).unwrap().map(show), Some("ping p".into()));
        assert_eq!(decoder.take_fragment_count(), 2);
        assert_eq!(decoder.next_message(&mut input, MAX).unwrap().map(show), Some("text abc".into()));
        assert_eq!(decoder.take_fragment_count(), 1);
        assert_eq!(decoder.next_message(&mut input, MAX).unwrap().map(show), Some("text d".into()));
        assert_eq!(decoder.take_fragment_count(), 0);
        // Pieces without an end.
        let mut stream = [frame(0x01, b""), frame(0x00, b"").repeat(999)].concat();
        let mut input = &mut stream[..];
        assert_eq!(decoder.next_message(&mut input, MAX), Ok(None));
        assert_eq!(decoder.take_fragment_count(), 1_000);
    }

    fn decode(stream: &[u8], piece_len: usize) -> (Vec<String>, Decoder) {
        let mut decoder = Decoder::new();
        let mut out = Vec::new();
        for piece in stream.to_vec().chunks_mut(piece_len) {
            let mut input = piece;
            loop {
                match decoder.next_message(&mut input, MAX) {
                    Ok(Some(message)) => {
                        let is_close = matches!(message, Message::Close { .. });
                        out.push(show(message));
                        if is_close {
                            assert_eq!(decoder.next_message(&mut input, MAX), Ok(None));
                            assert!(decoder.is_idle());
                            return (out, decoder);
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        out.push(format!("{} {}", error.code(), error.reason()));
                        assert!(decoder.is_idle());
                        return (out, decoder);
                    }
                }
            }
            assert!(input.is_empty());
        }
        (out, decoder)
    }

    fn check(stream: &[u8], want: &[&str]) {
        for piece_len in [stream.len().max(1), 1, 2, 3, 5, 7, 13, 64] {
            assert_eq!(decode(stream, piece_len).0, want, "in pieces of {piece_len}");
        }
    }

    /// Cut anywhere, what is unfinished brings another decoder to the same point.
    #[test]
    fn another_decoder_goes_on_where_one_stopped() {
        let stream = frames(&[
            (0x01, b"he"),
            (0x89, b"ping"),
            (0x00, &[b'l'; 300]),
            (0x80, b"o"),
            (0x82, &[7; 60_000]),
            (0x02, b""),
            (0x80, b"x"),
        ]);
        let (want, _) = decode(&stream, stream.len());
        let cuts = (0..450).chain([10_000, 55_000]).chain(stream.len() - 20..=stream.len());
        for cut in cuts {
            let (mut told, decoder) = decode(&stream[..cut], stream.len());
            let mut input = Vec::new();
            decoder.write_unfinished(&mut input);
            assert_eq!(input.is_empty(), decoder.is_idle(), "{cut}");
            input.extend_from_slice(&stream[cut..]);
            told.extend(decode(&input, input.len().max(1)).0);
            assert_eq!(told, want, "{cut}");
        }
    }

    #[test]
    fn whole_messages() {
        check(&[], &[]);
        check(&frame(0x81, b""), &["text "]);
        check(&frame(0x81, "grüße".as_bytes()), &["text grüße"]);
        check(&frame(0x82, b"\x00\x01"), &["binary \0\u{1}"]);
        check(&frame(0x82, &[7; 200]), &["binary [200]"]);
        check(&frame(0x89, b"are you there"), &["ping are you there"]);
        check(&frame(0x8a, b""), &["pong "]);
        check(&frame(0x8a, &[b'a'; 125]), &["pong [125]"]);
        check(&frames(&[(0x81, b"a"), (0x82, b"b"), (0x89, b"c")]), &["text a", "binary b", "ping c"]);
    }

    #[test]
    fn fragments_with_control_frames_between() {
        check(&frames(&[(0x01, b"he"), (0x00, b""), (0x80, b"llo")]), &["text hello"]);
        check(&frames(&[(0x02, b"he"), (0x80, b"llo"), (0x81, b"x")]), &["binary hello", "text x"]);
        check(&frames(&[(0x01, b""), (0x80, b""), (0x81, b"x")]), &["text ", "text x"]);
        check(
            &frames(&[(0x01, b"a"), (0x89, b"1"), (0x00, b"b"), (0x8a, b"2"), (0x89, b""), (0x80, b"c")]),
            &["ping 1", "pong 2", "ping ", "text abc"],
        );
        check(&frames(&[(0x01, b"a"), (0x88, b""), (0x80, b"c")]), &["close None "]);
        // A character cut in two by the fragments.
        check(&frames(&[(0x01, b"\xf0\x9f"), (0x89, b"x"), (0x80, b"\x91\x8d")]), &["ping x", "text 👍"]);
    }

    #[test]
    fn message_size() {
        let limit = vec![b'a'; MAX];
        check(&frame(0x81, &limit), &["text [65536]"]);
        check(&frames(&[(0x01, &limit[1..]), (0x89, b""), (0x80, b"a")]), &["ping ", "text [65536]"]);
        check(&frames(&[(0x01, &limit), (0x80, b"")]), &["text [65536]"]);
        check(&frames(&[(0x01, &limit), (0x80, b"a")]), &["4002 Message too large"]);
        check(&frames(&[(0x89, b"x"), (0x82, &[0; MAX + 1])]), &["ping x", "4002 Message too large"]);
        // The header alone is enough, and nothing was stored.
        check(&frame(0x82, &[0; MAX + 1])[..10], &["4002 Message too large"]);
        let announced = (16u64 << 20) + 1;
        check(&[[0x81, 0xff].as_slice(), &announced.to_be_bytes()].concat(), &["1009 Frame too large"]);
    }

    #[test]
    fn broken_framing_after_a_good_message() {
        let refused = |bytes: &[u8], want: &str| {
            let stream = [frame(0x81, b"ok"), bytes.to_vec(), frame(0x81, b"never")].concat();
            check(&stream, &["text ok", want]);
        };
        refused(b"\x81\x02hi", "1002 Frame is not masked");
        refused(&frame(0xc1, b""), "1002 Reserved bit set");
        refused(&frame(0x83, b""), "1002 Unknown frame opcode");
        refused(&frame(0x8b, b""), "1002 Unknown frame opcode");
        refused(&frame(0x80, b""), "1002 Continuation without a message");
        refused(&frames(&[(0x01, b"a"), (0x81, b"b")]), "1002 New message inside a fragmented one");
        refused(&frame(0x09, b""), "1002 Fragmented control frame");
        refused(&frame(0x89, &[0; 126]), "1002 Control frame too long");
        refused(b"GET / HTTP/1.1\r\n\r\n", "1002 Reserved bit set");
    }

    #[test]
    fn text_must_be_utf8() {
        for bad in [b"\xff".as_slice(), b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe2\x82"] {
            check(&frame(0x81, bad), &["1007 Text is not valid UTF-8"]);
            check(&frames(&[(0x01, bad), (0x80, b"")]), &["1007 Text is not valid UTF-8"]);
            check(&frames(&[(0x01, &bad[..1]), (0x80, &bad[1..])]), &["1007 Text is not valid UTF-8"]);
            let binary = format!("binary {}", String::from_utf8_lossy(bad));
            check(&frames(&[(0x82, bad), (0x89, b"x")]), &[&binary, "ping x"]);
        }
    }

    #[test]
    fn close_frames() {
        let close = |code: u16, reason: &[u8]| frame(0x88, &[&code.to_be_bytes(), reason].concat());
        check(&frame(0x88, b""), &["close None "]);
        check(&close(1000, b""), &["close Some(1000) "]);
        check(
            &[close(4009, "tschüß".as_bytes()), frame(0x81, b"after")].concat(),
            &["close Some(4009) tschüß"],
        );
        check(&frame(0x88, b"\x03"), &["1002 Close payload of one byte"]);
        check(&close(1000, b"\xff"), &["1007 Text is not valid UTF-8"]);
        check(&close(1000, &[b'a'; 124]), &["1002 Control frame too long"]);
        for code in 0..=u16::MAX {
            let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(parse_close(&code.to_be_bytes()).is_ok(), may_be_sent, "{code}");
        }
    }

    #[test]
    fn owns_nothing_between_messages() {
        let stream = frames(&[(0x01, b"ab"), (0x89, b"p"), (0x80, b"cd"), (0x81, b"ef")]);
        for piece_len in 1..=stream.len() {
            let (messages, decoder) = decode(&stream, piece_len);
            assert_eq!(messages, ["ping p", "text abcd", "text ef"]);
            assert!(decoder.is_idle(), "in pieces of {piece_len}");
        }
        let (messages, decoder) = decode(&frame(0x81, b"abc")[..8], 100);
        assert!(messages.is_empty());
        assert!(!decoder.is_idle());
    }

    #[test]
    fn whole_frames_are_lent_from_the_input() {
        let mut stream = frame(0x81, b"hello");
        let range = stream.as_ptr_range();
        let mut decoder = Decoder::new();
        let mut input = stream.as_mut_slice();
        let Ok(Some(Message::Text(bytes))) = decoder.next_message(&mut input, MAX) else { panic!() };
        assert!(range.contains(&bytes.as_ptr()));
        assert!(decoder.is_idle());
    }
}
