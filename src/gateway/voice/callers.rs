//! Who is in which voice channel, as the core knows it that decides it.
//!
//! Invariants: somebody is in one channel at most. The lists by channel and by server name whoever is there, once.

use std::collections::VecDeque;
use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::domain::voice::channel::Flags;
use crate::gateway::session::SessionId;
use crate::gateway::survey::map_len;
use crate::id::{ChannelId, ServerId, UserId};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub server_id: ServerId,
    pub channel_id: ChannelId,
}

/// Somebody in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    pub place: Place,
    /// The session that he is there with: with it he goes.
    pub session: SessionId,
    /// Names his stay.
    pub call: [u8; 16],
    pub flags: Flags,
    /// He may not be heard.
    pub suppress: bool,
    /// That session has lost its connection.
    pub is_lost: bool,
}

#[derive(Default)]
pub struct Callers {
    callers: FxHashMap<UserId, Caller>,
    channels: FxHashMap<ChannelId, Vec<UserId>>,
    servers: FxHashMap<ServerId, Vec<UserId>>,
    /// Who may have to go, and when: each loss adds one, and only one that still holds decides.
    lost: VecDeque<(u64, UserId, SessionId)>,
}

impl Callers {
    pub fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    pub fn len(&self) -> usize {
        self.callers.len()
    }

    /// Bytes of the tables.
    pub fn heap_len(&self) -> usize {
        map_len::<UserId, Caller>(self.callers.capacity())
            + map_len::<ChannelId, Vec<UserId>>(self.channels.capacity())
            + map_len::<ServerId, Vec<UserId>>(self.servers.capacity())
            + 2 * self.callers.len() * size_of::<UserId>()
            + self.lost.capacity() * size_of::<(u64, UserId, SessionId)>()
    }

    pub fn get(&self, user_id: UserId) -> Option<Caller> {
        self.callers.get(&user_id).copied()
    }

    pub fn of_channel(&self, channel_id: ChannelId) -> &[UserId] {
        self.channels.get(&channel_id).map_or(&[], Vec::as_slice)
    }

    pub fn of_server(&self, server_id: ServerId) -> &[UserId] {
        self.servers.get(&server_id).map_or(&[], Vec::as_slice)
    }

    /// Somebody is there now, as this says.
    pub fn put(&mut self, user_id: UserId, caller: Caller) {
        self.remove(user_id);
        self.callers.insert(user_id, caller);
        self.channels.entry(caller.place.channel_id).or_default().push(user_id);
        self.servers.entry(caller.place.server_id).or_default().push(user_id);
    }

    /// Somebody is nowhere any more; as what he was there, if he was.
    pub fn remove(&mut self, user_id: UserId) -> Option<Caller> {
        let caller = self.callers.remove(&user_id)?;
        take_out(&mut self.channels, caller.place.channel_id, user_id);
        take_out(&mut self.servers, caller.place.server_id, user_id);
        Some(caller)
    }

    /// His session has lost its connection, or has one again. `due`: when he has to go.
    pub fn set_lost(&mut self, user_id: UserId, session: SessionId, due: Option<u64>) {
        let Some(caller) = self.callers.get_mut(&user_id).filter(|caller| caller.session == session) else {
            return;
        };
        caller.is_lost = due.is_some();
        if let Some(due) = due {
            self.lost.push_back((due, user_id, session));
        }
    }

    /// The next one whose time is over.
    pub fn next_gone(&mut self, now_ms: u64) -> Option<UserId> {
        loop {
            let (due, user_id, session) = self.lost.pop_front_if(|(due, ..)| *due <= now_ms)?;
            // A later loss has an entry of its own.
            let is_later = self.lost.iter().any(|(_, user, lost)| (*user, *lost) == (user_id, session));
            let caller = self.callers.get(&user_id).filter(|caller| caller.session == session);
            debug_assert!(due <= now_ms);
            if caller.is_some_and(|caller| caller.is_lost) && !is_later {
                return Some(user_id);
            }
        }
    }
}

fn take_out<K: Hash + Eq>(lists: &mut FxHashMap<K, Vec<UserId>>, key: K, user_id: UserId) {
    let Some(list) = lists.get_mut(&key) else { return };
    list.retain(|other| *other != user_id);
    if list.is_empty() {
        lists.remove(&key);
    }
}
