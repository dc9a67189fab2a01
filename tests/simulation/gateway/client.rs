//! A client that speaks bytes: masked frames out, frames in, zlib-stream.

use flate2::{Decompress, FlushDecompress};

/// What a client is there for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Reads at once, never leaves: gets everything, is never shown offline.
    Steady,
    /// Drops its connection and resumes within the grace: gets everything, is never shown offline.
    Flapper,
    /// Anything.
    Wild,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    Offline,
    /// HELLO has not come yet.
    Opening,
    /// IDENTIFY is under way.
    Identifying,
    /// RESUME is under way.
    Resuming,
    Ready,
}

pub struct Client {
    pub kind: Kind,
    /// Index of the user.
    pub user: usize,
    pub intents: u16,
    pub state: State,
    pub socket: usize,
    /// Key of the session it has or had, and the last number it saw.
    pub session: Option<(String, u32)>,
    pub compress: bool,
    pub beat_at: u64,
    /// Comes back at that time at the latest.
    pub back_at: u64,
    /// HELLO has come.
    pub greeted: bool,
    /// Reads nothing until then.
    pub asleep_until: u64,
    inflate: Option<Decompress>,
    input: Vec<u8>,
}

pub enum Frame {
    Text(String),
    Ping,
    Close(Option<u16>, String),
}

impl Client {
    pub fn new(kind: Kind, user: usize, intents: u16) -> Client {
        Client {
            kind,
            user,
            intents,
            state: State::Offline,
            socket: usize::MAX,
            session: None,
            compress: false,
            beat_at: 0,
            back_at: 0,
            greeted: false,
            asleep_until: 0,
            inflate: None,
            input: Vec::new(),
        }
    }

    pub fn opened(&mut self, socket: usize) {
        self.socket = socket;
        self.state = State::Opening;
        self.input.clear();
        self.greeted = false;
        self.inflate = None;
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    pub fn next_frame(&mut self) -> Option<Frame> {
        let [first, second, ..] = *self.input.as_slice() else { return None };
        assert!(first & 0xf0 == 0x80 && second & 0x80 == 0, "server frames are final and unmasked");
        let number =
            |bytes: Option<&[u8]>| Some(bytes?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)));
        let (head, len) = match second {
            126 => (4, number(self.input.get(2..4))?),
            127 => (10, number(self.input.get(2..10))?),
            len => (2, usize::from(len)),
        };
        if self.input.len() < head + len {
            return None;
        }
        let payload: Vec<u8> = self.input.drain(..head + len).skip(head).collect();
        Some(match first & 0xf {
            1 => {
                assert!(self.inflate.is_none(), "a text frame within a compressed stream");
                Frame::Text(String::from_utf8(payload).unwrap())
            }
            2 => {
                assert!(self.compress);
                Frame::Text(self.inflate(&payload))
            }
            8 if payload.is_empty() => Frame::Close(None, String::new()),
            8 => {
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                Frame::Close(Some(code), String::from_utf8(payload[2..].to_vec()).unwrap())
            }
            9 => Frame::Ping,
            opcode => panic!("unexpected frame {opcode}"),
        })
    }

    fn inflate(&mut self, payload: &[u8]) -> String {
        assert!(payload.ends_with(&[0, 0, 0xff, 0xff]));
        let state = self.inflate.get_or_insert_with(|| Decompress::new(true));
        let (mut text, before) = (Vec::with_capacity(1 << 20), state.total_in());
        state.decompress_vec(payload, &mut text, FlushDecompress::Sync).unwrap();
        assert_eq!(state.total_in() - before, payload.len() as u64);
        String::from_utf8(text).unwrap()
    }
}

/// A masked frame.
pub fn frame(opcode: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut out = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len => {
            out.push(0xfe);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    out
}
