//! Recent events of a core, shared by all its sessions; and those that a session has caused for itself alone.
//!
//! A session keeps a handle per event it was sent (see [`super::trail`]); the bytes are here once. When the ring is over its bound
//! the oldest events go; a session that would need them cannot resume (§4), which is correct, only slower.
//!
//! Lists of members are as long as a client asks for. They have a bound of their own, in all and for each session, and
//! those of the session with the most go first: whoever asks for many pushes out nothing but his own.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::session::Slot;
use crate::domain::EventName;
use crate::limits::{PRIVATE_REPLAY_PART, PRIVATE_REPLAY_SESSION_PART};
use crate::wire::websocket::{Data, OpCode, write_frame_header};

/// Names an event of this core; wraps around after 2³² events.
pub type Handle = u32;

/// What is the same for everybody who gets an event.
pub struct Entry {
    pub name: EventName,
    /// Empty when it is no longer kept; no event is.
    pub payload: Arc<[u8]>,
}

pub struct Replay {
    entries: VecDeque<Entry>,
    base: Handle,
    /// Of what is shared.
    len: usize,
    len_max: usize,
    /// By the slot of their session, oldest first.
    private: FxHashMap<Slot, Private>,
    /// The private ones of all sessions, oldest first. The first is still kept, some behind it are gone already.
    private_order: VecDeque<(Handle, Slot)>,
    private_len: usize,
    private_max: usize,
}

/// What one session has caused for itself.
#[derive(Default)]
struct Private {
    handles: VecDeque<Handle>,
    len: usize,
}

/// Bookkeeping per event besides its payload, bytes: entry, reference counts, the allocator's rounding.
const ENTRY_LEN: usize = 64;

impl Replay {
    /// Keeps at most `len_max` bytes.
    pub fn new(len_max: usize) -> Replay {
        let private_max = len_max / PRIVATE_REPLAY_PART;
        Replay {
            entries: VecDeque::new(),
            base: 0,
            len: 0,
            len_max: len_max - private_max,
            private: FxHashMap::default(),
            private_order: VecDeque::new(),
            private_len: 0,
            private_max,
        }
    }

    /// Bytes it holds, with the bookkeeping; at most what it may, and an event of each kind.
    pub fn len(&self) -> usize {
        self.len + self.private_len
    }

    pub fn push(&mut self, name: EventName, payload: Arc<[u8]>) -> Handle {
        self.len += payload.len();
        self.append(name, payload)
    }

    /// Keeps an event of one session alone; `slot` is its place.
    pub fn push_private(&mut self, slot: Slot, name: EventName, payload: Arc<[u8]>) -> Handle {
        let own_max = self.private_max / PRIVATE_REPLAY_SESSION_PART;
        let len = payload.len();
        let handle = self.append(name, payload);
        self.private_len += len;
        self.private_order.push_back((handle, slot));
        let own = self.private.entry(slot).or_default();
        own.len += len;
        own.handles.push_back(handle);
        while self.private.get(&slot).is_some_and(|own| own.len > own_max && own.handles.len() > 1) {
            self.drop_oldest(slot);
        }
        while self.private_len > self.private_max {
            match self.with_most() {
                Some(slot) if self.private[&slot].handles[0] != handle => self.drop_oldest(slot),
                // It is alone more than all may be, and is still to be sent.
                _ => break,
            }
        }
        handle
    }

    /// Whether an event that is kept is one of that session's own.
    pub fn is_private(&self, slot: Slot, handle: Handle) -> bool {
        self.private.get(&slot).is_some_and(|own| own.handles.contains(&handle))
    }

    /// The session with the most of its own; of several the one with the oldest.
    fn with_most(&self) -> Option<Slot> {
        let age = |own: &Private| Reverse(own.handles[0].wrapping_sub(self.base));
        let most = self.private.iter().max_by_key(|(_, own)| (own.len, age(own)));
        most.map(|(slot, _)| *slot)
    }

    /// A session has ended: nobody needs what was for it alone.
    pub fn forget(&mut self, slot: Slot) {
        while self.private.contains_key(&slot) {
            self.drop_oldest(slot);
        }
    }

    /// Forgets the payload of a session's oldest private event.
    fn drop_oldest(&mut self, slot: Slot) {
        let Some(own) = self.private.get_mut(&slot) else { return };
        if let Some(handle) = own.handles.pop_front() {
            let entry = &mut self.entries[handle.wrapping_sub(self.base) as usize];
            own.len -= entry.payload.len();
            self.private_len -= entry.payload.len();
            entry.payload = Arc::from([]);
        }
        if own.handles.is_empty() {
            self.private.remove(&slot);
        }
        while let Some((oldest, _)) = self.private_order.front()
            && self.get(*oldest).is_none()
        {
            self.private_order.pop_front();
        }
    }

    fn append(&mut self, name: EventName, payload: Arc<[u8]>) -> Handle {
        self.len += ENTRY_LEN;
        self.entries.push_back(Entry { name, payload });
        while self.len > self.len_max && self.entries.len() > 1 {
            self.drop_front();
        }
        self.base.wrapping_add(self.entries.len() as u32 - 1)
    }

    fn drop_front(&mut self) {
        // A private one is the oldest of all and of its session: these are in the order of their coming.
        if let Some(&(handle, slot)) = self.private_order.front()
            && handle == self.base
        {
            self.drop_oldest(slot);
        }
        let gone = self.entries.pop_front().expect("there are two");
        self.len -= gone.payload.len() + ENTRY_LEN;
        self.base = self.base.wrapping_add(1);
    }

    /// `None` when it is no longer kept.
    pub fn get(&self, handle: Handle) -> Option<&Entry> {
        let entry = self.entries.get(handle.wrapping_sub(self.base) as usize);
        entry.filter(|entry| !entry.payload.is_empty())
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
        let mut replay = Replay::new(4 * (10 + ENTRY_LEN) * PRIVATE_REPLAY_PART / (PRIVATE_REPLAY_PART - 1));
        let payload: Arc<[u8]> = Arc::from(&b"0123456789"[..]);
        let handles: Vec<Handle> =
            (0..6).map(|_| replay.push(EventName::TypingStart, payload.clone())).collect();
        assert!(replay.get(handles[0]).is_none());
        assert!(replay.get(handles[1]).is_none());
        assert!(handles[2..].iter().all(|&handle| replay.get(handle).is_some()));
        assert!(replay.get(handles[5].wrapping_add(1)).is_none());
    }

    #[test]
    fn what_one_session_asks_for_pushes_out_only_its_own() {
        let mut replay = Replay::new(1 << 20);
        let own_max = (1 << 20) / PRIVATE_REPLAY_PART / PRIVATE_REPLAY_SESSION_PART;
        let list: Arc<[u8]> = vec![b'x'; 10_000].into();
        let shared = replay.push(EventName::TypingStart, list.clone());
        let others = replay.push_private(Slot(7), EventName::GuildMembersChunk, list.clone());
        let lists: Vec<Handle> = (0..1_000)
            .map(|_| replay.push_private(Slot(1), EventName::GuildMembersChunk, list.clone()))
            .collect();
        assert!(replay.get(shared).is_some() && replay.get(others).is_some());
        let kept = lists.iter().filter(|&&handle| replay.get(handle).is_some()).count();
        assert_eq!(kept, own_max / 10_000);
        assert!(lists[1_000 - kept..].iter().all(|&handle| replay.get(handle).is_some()));
        replay.forget(Slot(1));
        assert_eq!(replay.private_len, 10_000);
        // Many sessions together keep to their bound as well; of as long lists the oldest go first.
        let lists: Vec<Handle> = (10..110)
            .map(|slot| replay.push_private(Slot(slot), EventName::GuildMembersChunk, list.clone()))
            .collect();
        assert!(replay.private_len <= (1 << 20) / PRIVATE_REPLAY_PART);
        assert!(replay.get(shared).is_some() && replay.get(others).is_none());
        assert!(replay.get(lists[0]).is_none() && replay.get(lists[99]).is_some());
        // However many those are who ask for much: whoever has little keeps it.
        let little = replay.push_private(Slot(7), EventName::GuildMembersChunk, list.clone());
        for turn in 0..2_000 {
            replay.push_private(Slot(1_000 + turn % 20), EventName::GuildMembersChunk, list.clone());
        }
        assert!(replay.private_len <= (1 << 20) / PRIVATE_REPLAY_PART);
        assert!(replay.get(little).is_some());
        // The ring pushes them out like everything else.
        for _ in 0..2_000 {
            replay.push(EventName::TypingStart, list.clone());
        }
        assert!(replay.private.is_empty() && replay.private_order.is_empty());
        assert_eq!(replay.private_len, 0);
    }
}
