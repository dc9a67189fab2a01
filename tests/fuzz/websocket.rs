//! The WebSocket codec: random conversations, random damage, random splits.

use std::time::{Duration, Instant};

use plexichat::wire::websocket::{
    CloseError, Control, Data, Decoder, DeflateStream, Deflater, Inflater, Message, OpCode, apply_mask,
    is_zlib, write_frame,
};
use tungstenite::protocol::frame::FrameHeader;

const MESSAGE_LEN_MAX: usize = 2_000;
/// Of each test, in wall-clock time; the seeds run in order from 0.
const BUDGET: Duration = Duration::from_millis(500);

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const CONTINUE: OpCode = OpCode::Data(Data::Continue);

/// A message that can be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Got {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Error(CloseError),
}

impl Got {
    fn keep(message: Message<'_>) -> Self {
        match message {
            Message::Text(bytes) => Self::Text(bytes.to_vec()),
            Message::Binary(bytes) => Self::Binary(bytes.to_vec()),
            Message::Ping(bytes) => Self::Ping(bytes.to_vec()),
            Message::Pong(bytes) => Self::Pong(bytes.to_vec()),
            Message::Close { code, reason } => Self::Close(code, reason.to_owned()),
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Close(..) | Self::Error(_))
    }
}

/// Runs `test` with seeds 0, 1, 2 … until the budget is used; names the seed that fails.
fn for_seeds(test: impl Fn(&mut fastrand::Rng)) {
    struct Name(u64);
    impl Drop for Name {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failing seed: {}", self.0);
            }
        }
    }
    let started = Instant::now();
    for seed in 0.. {
        let _name = Name(seed);
        test(&mut fastrand::Rng::with_seed(seed));
        if started.elapsed() > BUDGET {
            break;
        }
    }
}

fn bytes(random: &mut fastrand::Rng, len_max: usize) -> Vec<u8> {
    let len = random.usize(..=len_max);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

fn text(random: &mut fastrand::Rng, len_max: usize) -> Vec<u8> {
    let mut text = String::new();
    let len = random.usize(..=len_max);
    loop {
        let next = if random.u8(..8) == 0 { random.char(..) } else { random.alphanumeric() };
        if text.len() + next.len_utf8() > len {
            return text.into_bytes();
        }
        text.push(next);
    }
}

/// A frame as a client sends it; the header comes from tungstenite, masking is the formula.
fn client_frame(
    random: &mut fastrand::Rng,
    out: &mut Vec<u8>,
    opcode: OpCode,
    is_final: bool,
    payload: &[u8],
) {
    let mask = random.u32(..).to_ne_bytes();
    let header = FrameHeader { is_final, opcode, mask: Some(mask), ..FrameHeader::default() };
    header.format(payload.len() as u64, out).unwrap();
    out.extend(payload.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]));
}

fn control(random: &mut fastrand::Rng, out: &mut Vec<u8>, want: &mut Vec<Got>) {
    let payload = bytes(random, 125);
    let is_ping = random.bool();
    let opcode = OpCode::Control(if is_ping { Control::Ping } else { Control::Pong });
    client_frame(random, out, opcode, true, &payload);
    want.push(if is_ping { Got::Ping(payload) } else { Got::Pong(payload) });
}

/// A message in one or more frames, control frames between them.
fn message(random: &mut fastrand::Rng, out: &mut Vec<u8>, want: &mut Vec<Got>) {
    let len_max = if random.u8(..4) == 0 { MESSAGE_LEN_MAX } else { 150 };
    let is_text = random.bool();
    let payload = if is_text { text(random, len_max) } else { bytes(random, len_max) };
    let mut opcode = if is_text { TEXT } else { BINARY };
    let mut rest = payload.as_slice();
    while random.u8(..3) == 0 {
        let (piece, after) = rest.split_at(random.usize(..=rest.len()));
        client_frame(random, out, opcode, false, piece);
        (opcode, rest) = (CONTINUE, after);
        while random.u8(..3) == 0 {
            control(random, out, want);
        }
    }
    client_frame(random, out, opcode, true, rest);
    want.push(if is_text { Got::Text(payload) } else { Got::Binary(payload) });
}

fn conversation(random: &mut fastrand::Rng) -> (Vec<u8>, Vec<Got>) {
    let (mut stream, mut want) = (Vec::new(), Vec::new());
    for _ in 0..random.usize(1..8) {
        if random.u8(..4) == 0 {
            control(random, &mut stream, &mut want);
        } else {
            message(random, &mut stream, &mut want);
        }
    }
    if random.bool() {
        let (code, reason) = (random.u16(3000..5000), text(random, 123));
        let payload = [&code.to_be_bytes(), reason.as_slice()].concat();
        client_frame(random, &mut stream, OpCode::Control(Control::Close), true, &payload);
        want.push(Got::Close(Some(code), String::from_utf8(reason).unwrap()));
    }
    (stream, want)
}

/// Decodes `stream` in pieces of the lengths `piece_len` gives out.
fn decode(stream: &[u8], mut piece_len: impl FnMut() -> usize) -> (Vec<Got>, Decoder) {
    let mut stream = stream.to_vec();
    let mut rest = stream.as_mut_slice();
    let mut decoder = Decoder::new();
    let mut got = Vec::new();
    while !rest.is_empty() {
        let (mut input, after) = rest.split_at_mut(piece_len().min(rest.len()));
        rest = after;
        loop {
            let next = match decoder.next_message(&mut input, MESSAGE_LEN_MAX) {
                Ok(None) => break,
                Ok(Some(message)) => Got::keep(message),
                Err(error) => Got::Error(error),
            };
            let is_last = next.is_last();
            got.push(next);
            if is_last {
                assert_eq!(decoder.next_message(&mut input, MESSAGE_LEN_MAX), Ok(None));
                assert!(decoder.is_idle());
                return (got, decoder);
            }
        }
        assert!(input.is_empty());
    }
    (got, decoder)
}

/// The same result whole, byte by byte and cut at random.
fn decode_in_any_split(random: &mut fastrand::Rng, stream: &[u8]) -> (Vec<Got>, Decoder) {
    let (want, decoder) = decode(stream, || usize::MAX);
    let (bytewise, by_bytes) = decode(stream, || 1);
    assert_eq!(bytewise, want);
    assert_eq!(by_bytes.is_idle(), decoder.is_idle());
    let piece_len_max = random.usize(2..200);
    let (cut, by_cuts) = decode(stream, || random.usize(1..=piece_len_max));
    assert_eq!(cut, want);
    assert_eq!(by_cuts.is_idle(), decoder.is_idle());
    (want, decoder)
}

#[test]
fn conversations_come_out_as_they_went_in() {
    for_seeds(|random| {
        let (stream, want) = conversation(random);
        let (got, decoder) = decode_in_any_split(random, &stream);
        assert_eq!(got, want);
        assert!(decoder.is_idle());
    });
}

#[test]
fn damaged_conversations() {
    for_seeds(|random| {
        let (mut stream, want) = conversation(random);
        // Bits of headers are few among bytes of payload: damage often.
        for _ in 0..random.usize(1..10) {
            let at = random.usize(..stream.len());
            match random.u8(..4) {
                0 => stream[at] = random.u8(..),
                1 => stream[at] ^= 1 << random.u8(..8),
                2 => drop(stream.remove(at)),
                _ => stream.insert(at, random.u8(..)),
            }
            if stream.is_empty() {
                return;
            }
        }
        let (got, _) = decode_in_any_split(random, &stream);
        assert!(got.len() <= want.len() + stream.len());
    });
}

#[test]
fn random_bytes() {
    for_seeds(|random| {
        let mut stream = bytes(random, 300);
        // Mostly a plausible start, else nearly all end at the first two bytes.
        if let [first, second, ..] = stream.as_mut_slice()
            && random.u8(..4) != 0
        {
            *first &= 0x8f;
            *second |= 0x80;
        }
        decode_in_any_split(random, &stream);
    });
}

#[test]
fn frames_to_the_client() {
    for_seeds(|random| {
        let len_max = if random.u8(..20) == 0 { 70_000 } else { 300 };
        let payload = bytes(random, len_max);
        let opcode = if random.bool() { TEXT } else { BINARY };
        let mut out = Vec::new();
        write_frame(&mut out, opcode, &payload);
        let mut cursor = std::io::Cursor::new(&out);
        let (header, len) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        let want = FrameHeader { opcode, ..FrameHeader::default() };
        assert_eq!((header, len), (want, payload.len() as u64));
        assert!(out[cursor.position() as usize..] == payload);
    });
}

#[test]
fn masking_twice_in_pieces_is_the_identity() {
    for_seeds(|random| {
        let plain = bytes(random, 300);
        let key = random.u32(..).to_ne_bytes();
        let mut masked = plain.clone();
        apply_mask(&mut masked, key, 0);
        let mut offset = 0;
        while offset < masked.len() {
            let end = random.usize(offset + 1..=masked.len());
            apply_mask(&mut masked[offset..end], key, offset);
            offset = end;
        }
        assert_eq!(masked, plain);
    });
}

#[test]
fn compressed_streams() {
    let deflater = std::cell::RefCell::new(Deflater::default());
    for_seeds(|random| {
        let mut stream = DeflateStream::default();
        let mut client = flate2::Decompress::new(true);
        for _ in 0..random.usize(1..12) {
            let len_max = if random.u8(..8) == 0 { 40_000 } else { 1_000 };
            let payload = if random.bool() { text(random, len_max) } else { bytes(random, len_max) };
            let mut frame = Vec::new();
            deflater.borrow_mut().write_frame(&mut stream, &payload, &mut frame);
            assert!(frame.ends_with(&[0, 0, 0xff, 0xff]));
            let mut plain = Vec::with_capacity(payload.len() + 1);
            client.decompress_vec(&frame, &mut plain, flate2::FlushDecompress::Sync).unwrap();
            assert!(plain == payload);
        }
    });
}

#[test]
fn compressed_messages() {
    let inflater = std::cell::RefCell::new(Inflater::default());
    for_seeds(|random| {
        let plain =
            if random.bool() { text(random, 3_000) } else { vec![random.u8(..); random.usize(..9_000)] };
        let len_max = random.usize(..6_000);
        let mut zlib = Vec::with_capacity(plain.len() + 200);
        let level = flate2::Compression::new(random.u32(..=9));
        flate2::Compress::new(level, true)
            .compress_vec(&plain, &mut zlib, flate2::FlushCompress::Finish)
            .unwrap();
        assert!(is_zlib(&zlib));

        let mut out = Vec::new();
        let result = inflater.borrow_mut().inflate_message(&zlib, len_max, &mut out);
        assert_eq!(result.is_ok(), plain.len() <= len_max);
        assert!(out == if result.is_ok() { plain.as_slice() } else { &[] });

        for _ in 0..random.usize(1..4) {
            let at = random.usize(..zlib.len());
            zlib[at] = random.u8(..);
        }
        zlib.truncate(random.usize(..=zlib.len()));
        out.clear();
        let _ = inflater.borrow_mut().inflate_message(&zlib, len_max, &mut out);
        assert!(out.len() <= len_max);
    });
}
