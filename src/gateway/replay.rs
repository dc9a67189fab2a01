//! Recent events of a core, shared by all its sessions.
//!
//! A session keeps a handle per event it was sent (see [`super::trail`]); the bytes are here once. When the ring is over its bound
//! the oldest events go; a session that would need them cannot resume (§4), which is correct, only slower.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::EventName;
use crate::wire::websocket::{Data, OpCode, write_frame_header};

/// Names an event of this core; wraps around after 2³² events.
pub type Handle = u32;

/// What is the same for everybody who gets an event.
pub struct Entry {
    pub name: EventName,
    pub payload: Arc<[u8]>,
}

pub struct Replay {
    entries: VecDeque<Entry>,
    base: Handle,
    len: usize,
    len_max: usize,
}

/// Bookkeeping per event besides its payload, bytes: entry, reference counts, the allocator's rounding.
const ENTRY_LEN: usize = 64;

impl Replay {
    /// Keeps at most `len_max` bytes.
    pub fn new(len_max: usize) -> Replay {
        Replay { entries: VecDeque::new(), base: 0, len: 0, len_max }
    }

    /// Bytes it holds, with the bookkeeping; at most `len_max` and one event.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn push(&mut self, name: EventName, payload: Arc<[u8]>) -> Handle {
        self.len += payload.len() + ENTRY_LEN;
        self.entries.push_back(Entry { name, payload });
        while self.len > self.len_max && self.entries.len() > 1 {
            let gone = self.entries.pop_front().expect("there are two");
            self.len -= gone.payload.len() + ENTRY_LEN;
            self.base = self.base.wrapping_add(1);
        }
        self.base.wrapping_add(self.entries.len() as u32 - 1)
    }

    /// `None` when it is no longer kept.
    pub fn get(&self, handle: Handle) -> Option<&Entry> {
        self.entries.get(handle.wrapping_sub(self.base) as usize)
    }
}

/// Appends the JSON text of a dispatch: `{"op":0,"t":NAME,"s":SEQ,"d":PAYLOAD}`.
pub fn write_dispatch_text(out: &mut Vec<u8>, name: EventName, seq: u32, payload: &[u8]) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(b"{\"op\":0,\"t\":\"");
    out.extend_from_slice(name.text().as_bytes());
    out.extend_from_slice(b"\",\"s\":");
    out.extend_from_slice(digits.format(seq).as_bytes());
    out.extend_from_slice(b",\"d\":");
    out.extend_from_slice(payload);
    out.push(b'}');
}

/// Appends a whole text frame with a dispatch.
///
/// Hot: once per delivery. The length is known before the text is written, so nothing is moved afterwards.
pub fn write_dispatch_frame(out: &mut Vec<u8>, name: EventName, seq: u32, payload: &[u8]) {
    const FIXED: usize = "{\"op\":0,\"t\":\"\",\"s\":,\"d\":}".len();
    let len = FIXED + name.text().len() + digit_count(seq) + payload.len();
    out.reserve(len + 10);
    write_frame_header(out, OpCode::Data(Data::Text), len);
    let start = out.len();
    write_dispatch_text(out, name, seq, payload);
    debug_assert_eq!(out.len() - start, len);
}

fn digit_count(value: u32) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_length_is_exact() {
        for seq in [0, 1, 9, 10, 99, 100, 4_294_967_295] {
            let mut frame = Vec::new();
            write_dispatch_frame(&mut frame, EventName::TypingStop, seq, b"{}");
            let text = format!("{{\"op\":0,\"t\":\"TYPING_STOP\",\"s\":{seq},\"d\":{{}}}}");
            assert_eq!(frame[1] as usize, text.len());
            assert_eq!(&frame[2..], text.as_bytes());
        }
    }

    #[test]
    fn the_oldest_go_first_and_handles_stay() {
        let mut replay = Replay::new(4 * (10 + ENTRY_LEN));
        let payload: Arc<[u8]> = Arc::from(&b"0123456789"[..]);
        let handles: Vec<Handle> =
            (0..6).map(|_| replay.push(EventName::TypingStart, payload.clone())).collect();
        assert!(replay.get(handles[0]).is_none());
        assert!(replay.get(handles[1]).is_none());
        assert!(handles[2..].iter().all(|&handle| replay.get(handle).is_some()));
        assert!(replay.get(handles[5].wrapping_add(1)).is_none());
    }
}
