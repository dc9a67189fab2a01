//! Who is in which voice channel, as the core knows it that decides it.
//!
//! Invariants: somebody is in one channel at most. The sets by channel and by server name whoever is there.

use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;

use rustc_hash::FxHashMap;

use crate::domain::voice::channel::Flags;
use crate::gateway::session::SessionId;
use crate::gateway::survey::map_len;
use crate::id::{ChannelId, ServerId, UserId};

/// Callers that are looked at in one turn after the rights of a server have changed. Each costs about a microsecond,
/// and those who see it are told of each who is moved.
const LOOKED_AT_ONCE_MAX: usize = if cfg!(test) { 2 } else { 256 };

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
    /// That session has lost its connection: when he has to go.
    pub lost: Option<u64>,
}

#[derive(Default)]
pub struct Callers {
    callers: FxHashMap<UserId, Caller>,
    channels: FxHashMap<ChannelId, BTreeSet<UserId>>,
    servers: FxHashMap<ServerId, BTreeSet<UserId>>,
    /// Who may have to go, and when: each loss adds one, and the one that is still in force decides.
    lost: VecDeque<(u64, UserId)>,
    /// Whose rights may have changed.
    doubtful: BTreeSet<UserId>,
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
            + map_len::<ChannelId, BTreeSet<UserId>>(self.channels.capacity())
            + map_len::<ServerId, BTreeSet<UserId>>(self.servers.capacity())
            // Nodes of a B-tree are at least half full.
            + 2 * (2 * self.callers.len() + self.doubtful.len()) * size_of::<UserId>()
            + self.lost.capacity() * size_of::<(u64, UserId)>()
    }

    pub fn get(&self, user_id: UserId) -> Option<Caller> {
        self.callers.get(&user_id).copied()
    }

    pub fn count_of_channel(&self, channel_id: ChannelId) -> usize {
        self.channels.get(&channel_id).map_or(0, BTreeSet::len)
    }

    pub fn of_channel(&self, channel_id: ChannelId) -> Vec<UserId> {
        self.channels.get(&channel_id).into_iter().flatten().copied().collect()
    }

    pub fn of_server(&self, server_id: ServerId) -> Vec<UserId> {
        self.servers.get(&server_id).into_iter().flatten().copied().collect()
    }

    /// Somebody is there now, as this says.
    pub fn put(&mut self, user_id: UserId, caller: Caller) {
        let before = self.callers.insert(user_id, caller).map(|before| before.place);
        if before == Some(caller.place) {
            return;
        }
        if let Some(before) = before {
            self.take_out(user_id, before);
        }
        self.channels.entry(caller.place.channel_id).or_default().insert(user_id);
        self.servers.entry(caller.place.server_id).or_default().insert(user_id);
    }

    /// Somebody is nowhere any more; as what he was there, if he was.
    pub fn remove(&mut self, user_id: UserId) -> Option<Caller> {
        let caller = self.callers.remove(&user_id)?;
        self.take_out(user_id, caller.place);
        Some(caller)
    }

    fn take_out(&mut self, user_id: UserId, place: Place) {
        take_out(&mut self.channels, place.channel_id, user_id);
        take_out(&mut self.servers, place.server_id, user_id);
    }

    /// His session has lost its connection, or has one again. `due`: when he has to go, never before those of others
    /// that were said earlier.
    pub fn set_lost(&mut self, user_id: UserId, session: SessionId, due: Option<u64>) {
        let Some(caller) = self.callers.get_mut(&user_id).filter(|caller| caller.session == session) else {
            return;
        };
        caller.lost = due;
        if let Some(due) = due {
            self.lost.push_back((due, user_id));
        }
    }

    /// The next one whose time is over.
    pub fn next_gone(&mut self, now_ms: u64) -> Option<UserId> {
        while let Some((due, user_id)) = self.lost.pop_front_if(|(due, _)| *due <= now_ms) {
            if self.callers.get(&user_id).is_some_and(|caller| caller.lost == Some(due)) {
                return Some(user_id);
            }
        }
        None
    }

    /// The rights of those in a server may have changed.
    pub fn doubt_server(&mut self, server_id: ServerId) {
        self.doubtful.extend(self.servers.get(&server_id).into_iter().flatten());
    }

    /// Those who are to be looked at now; the others have their turn later.
    pub fn take_doubtful(&mut self) -> Vec<UserId> {
        std::iter::from_fn(|| self.doubtful.pop_first()).take(LOOKED_AT_ONCE_MAX).collect()
    }

    pub fn has_doubtful(&self) -> bool {
        !self.doubtful.is_empty()
    }
}

fn take_out<K: Hash + Eq>(sets: &mut FxHashMap<K, BTreeSet<UserId>>, key: K, user_id: UserId) {
    let Some(set) = sets.get_mut(&key) else { return };
    set.remove(&user_id);
    if set.is_empty() {
        sets.remove(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Place = Place { server_id: ServerId(1), channel_id: ChannelId(10) };
    const TWO: Place = Place { server_id: ServerId(1), channel_id: ChannelId(20) };
    const HERE: SessionId = SessionId([1; 16]);

    fn caller(place: Place) -> Caller {
        Caller { place, session: HERE, call: [0; 16], flags: Flags::default(), suppress: false, lost: None }
    }

    #[test]
    fn a_loss_counts_until_he_is_back() {
        let (mut callers, ann) = (Callers::default(), UserId(1));
        callers.put(ann, caller(ONE));
        callers.set_lost(ann, SessionId([2; 16]), Some(1));
        assert_eq!(callers.next_gone(9), None, "it was another session");
        callers.set_lost(ann, HERE, Some(10));
        callers.set_lost(ann, HERE, None);
        assert_eq!(callers.next_gone(10), None, "he is back");
        callers.set_lost(ann, HERE, Some(20));
        callers.set_lost(ann, HERE, None);
        callers.set_lost(ann, HERE, Some(25));
        assert_eq!(callers.next_gone(20), None, "the first loss is over, the second one is not due");
        assert_eq!(callers.next_gone(24), None);
        assert_eq!(callers.next_gone(25), Some(ann));
        callers.remove(ann);
        // Who comes anew owes nothing of before.
        callers.put(ann, caller(TWO));
        callers.set_lost(ann, HERE, Some(30));
        callers.put(ann, caller(ONE));
        assert_eq!(callers.next_gone(30), None);
    }

    #[test]
    fn each_loss_is_looked_at_once() {
        const COUNT: u64 = 1_000;
        let mut callers = Callers::default();
        for id in 0..COUNT {
            callers.put(UserId(id), caller(ONE));
            for due in [5, 7] {
                callers.set_lost(UserId(id), HERE, Some(due + id / 500));
            }
        }
        assert_eq!(callers.lost.len() as u64, 2 * COUNT);
        let mut gone = 0;
        while let Some(user_id) = callers.next_gone(100) {
            // What is left shows how far it has looked: nothing behind him was.
            gone += 1;
            assert!(callers.lost.len() as u64 <= 2 * COUNT - gone);
            callers.remove(user_id);
        }
        assert_eq!((gone, callers.lost.len(), callers.len()), (COUNT, 0, 0));
        assert!(callers.channels.is_empty() && callers.servers.is_empty());
    }

    #[test]
    fn sets_follow_who_moves_and_switches() {
        let (mut callers, ann, bob) = (Callers::default(), UserId(1), UserId(2));
        callers.put(ann, caller(ONE));
        callers.put(bob, caller(ONE));
        callers.put(ann, Caller { suppress: true, ..caller(ONE) });
        assert_eq!(
            (callers.of_channel(ONE.channel_id), callers.count_of_channel(ONE.channel_id)),
            (vec![ann, bob], 2)
        );
        callers.put(ann, caller(TWO));
        assert_eq!(
            (callers.of_channel(ONE.channel_id), callers.of_channel(TWO.channel_id)),
            (vec![bob], vec![ann])
        );
        assert_eq!(callers.of_server(ONE.server_id), [ann, bob]);
        callers.remove(bob);
        assert_eq!(
            (callers.of_channel(ONE.channel_id), callers.of_server(ONE.server_id)),
            (vec![], vec![ann])
        );
    }

    #[test]
    fn a_server_is_looked_through_in_pieces() {
        let mut callers = Callers::default();
        (0..5).for_each(|id| callers.put(UserId(id), caller(ONE)));
        callers.doubt_server(ONE.server_id);
        callers.doubt_server(ONE.server_id);
        let pieces: Vec<usize> = std::iter::repeat_with(|| callers.take_doubtful().len()).take(4).collect();
        assert_eq!((pieces, callers.has_doubtful()), (vec![2, 2, 1, 0], false));
    }
}
