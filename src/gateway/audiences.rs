//! Which sessions of a core an event is for.
//!
//! Owns: who is in which server with which intents and roles ([`Interest`]), and the marks that tell whom a scattered
//! audience has met. Knows sessions by slot; whose they are is asked.
//! Invariant: a session is in each server of its user that its core's snapshot knows, and, while a batch is applied,
//! in those that the batch takes away.

use std::collections::VecDeque;

use super::hub::Cx;
use super::interest::{Filter, Interest};
use super::session::Slot;
use super::sessions::Sessions;
use crate::domain::permission::CHANNELS_VIEW;
use crate::domain::social::relationship;
use crate::domain::{Audience, Change, Event, Output, intent};
use crate::id::{ChannelId, ServerId, UserId};
use crate::store::Read;
use crate::store::records::relation;
use crate::store::tables::USER_SERVERS;

/// A letter between cores takes less than a turn.
const GONE_CHANNEL_KEPT_MS: u64 = 1_000;

#[derive(Default)]
pub struct Audiences {
    pub interest: Interest,
    /// Memberships that end with the batch that is being applied (`None`: everybody's): the snapshot no longer has
    /// them, the index may still.
    leaving: Vec<(ServerId, Option<UserId>)>,
    /// Marks sessions that a scattered audience has met already, by slot.
    marks: Vec<u32>,
    mark: u32,
    /// Kept for its memory.
    recipients: Vec<Slot>,
    /// Channels that are gone, and when it is forgotten who saw them: it is still to be told who has left them.
    gone_channels: VecDeque<(u64, ServerId, ChannelId)>,
}

impl Audiences {
    /// A batch is about to be applied; the snapshot is already the one behind it.
    pub fn begin_batch(&mut self, outputs: &[Output]) {
        self.leaving.extend(outputs.iter().filter_map(|output| match output {
            Output::Change(Change::MemberRemoved { server_id, user_id }) => {
                Some((*server_id, Some(*user_id)))
            }
            Output::Change(Change::ServerRemoved { server_id }) => Some((*server_id, None)),
            _ => None,
        }));
    }

    /// A channel is gone; who saw it is known for a little longer, until all cores have said what they have to.
    pub fn forget_channel_later(&mut self, mono_ms: u64, server_id: ServerId, channel_id: ChannelId) {
        self.gone_channels.push_back((mono_ms + GONE_CHANNEL_KEPT_MS, server_id, channel_id));
    }

    pub fn forget_gone_channels(&mut self, mono_ms: u64) {
        while let Some((_, server_id, channel_id)) =
            self.gone_channels.pop_front_if(|(due, ..)| *due <= mono_ms)
        {
            self.interest.forget_channel(server_id, channel_id);
        }
    }

    /// Appends the sessions that see a channel and asked for `gate`.
    pub fn collect_viewers(
        &mut self,
        cx: &Cx<'_>,
        (server_id, channel_id): (ServerId, ChannelId),
        gate: u16,
        sessions: &Sessions,
        out: &mut Vec<Slot>,
    ) {
        let filter = Filter::Channel(channel_id, CHANNELS_VIEW);
        self.interest.collect(cx.read, server_id, filter, gate, |slot| sessions.user_of(slot), out);
    }

    pub fn end_batch(&mut self) {
        self.leaving.clear();
    }

    /// A session of a user is in all his servers.
    pub fn enter_all(&mut self, read: Read<'_>, user_id: UserId, slot: Slot, intents: u16) {
        for ((_, server_id), _) in read.scan(USER_SERVERS, user_id) {
            self.interest.add(read, server_id, user_id, slot, intents);
        }
    }

    /// A session ends: it is in no server any more. Returns in how many it was.
    pub fn leave_all(&mut self, read: Read<'_>, user_id: UserId, slot: Slot) -> usize {
        let mut server_count = 0;
        for ((_, server_id), _) in read.scan(USER_SERVERS, user_id) {
            self.interest.remove(server_id, slot);
            server_count += 1;
        }
        for (server_id, whose) in &self.leaving {
            if whose.is_none_or(|whose| whose == user_id) {
                self.interest.remove(*server_id, slot);
            }
        }
        server_count
    }

    /// The sessions that an event is for. Give the list back with [`Audiences::put_recipients`].
    pub fn take_recipients(&mut self, cx: &Cx<'_>, event: &Event, sessions: &Sessions) -> Vec<Slot> {
        let mut out = std::mem::take(&mut self.recipients);
        out.clear();
        self.collect(cx, event, sessions, &mut out);
        if let Some(except) = event.except {
            out.retain(|slot| sessions.user_of(*slot) != except);
        }
        out
    }

    pub fn put_recipients(&mut self, recipients: Vec<Slot>) {
        self.recipients = recipients;
    }

    fn collect(&mut self, cx: &Cx<'_>, event: &Event, sessions: &Sessions, out: &mut Vec<Slot>) {
        let gate = event.intent;
        let user_of = |slot: Slot| sessions.user_of(slot);
        match &event.audience {
            Audience::Users(users) => {
                users.iter().for_each(|user_id| collect_user(sessions, *user_id, gate, out));
            }
            Audience::Server { server_id, any_of } => {
                self.interest.collect(cx.read, *server_id, Filter::Server(*any_of), gate, user_of, out);
            }
            Audience::Channel { server_id, channel_id, all_of } => {
                let filter = Filter::Channel(*channel_id, *all_of);
                self.interest.collect(cx.read, *server_id, filter, gate, user_of, out);
            }
            Audience::Acquaintances(user_id) => {
                self.collect_acquaintances(cx, *user_id, gate, true, sessions, out);
            }
            Audience::Neighbours(user_id) => {
                self.collect_acquaintances(cx, *user_id, gate, false, sessions, out);
            }
        }
    }

    /// Friends and members of shared servers, once each, without blocked pairs (§6.5).
    ///
    /// Grows with the friends of the user plus the sessions on this core in his servers; of those each is looked at
    /// once, and in each further server a mark of four bytes. One look-up per recipient who has blocked somebody.
    /// Friends and servers are bounded by [`RELATIONSHIP_COUNT_MAX`] and [`SERVER_COUNT_MAX`].
    ///
    /// [`RELATIONSHIP_COUNT_MAX`]: crate::limits::RELATIONSHIP_COUNT_MAX
    /// [`SERVER_COUNT_MAX`]: crate::limits::SERVER_COUNT_MAX
    fn collect_acquaintances(
        &mut self,
        cx: &Cx<'_>,
        user_id: UserId,
        gate: u16,
        with_friends: bool,
        sessions: &Sessions,
        out: &mut Vec<Slot>,
    ) {
        if sessions.is_empty() {
            return;
        }
        // What he thinks of others is read once; what each of them thinks of him is looked up.
        let own = relationship::kinds(cx.read, user_id);
        self.mark = self.mark.wrapping_add(1);
        let mark = self.mark;
        self.marks.resize(sessions.slot_end().max(self.marks.len()), mark.wrapping_sub(1));
        for (other, _) in own.iter().filter(|(_, kind)| with_friends && *kind == relation::FRIEND) {
            collect_user(sessions, *other, gate, out);
        }
        out.iter().for_each(|slot| self.marks[slot.0 as usize] = mark);
        for ((_, server_id), _) in cx.read.scan(USER_SERVERS, user_id) {
            self.interest.collect_new(server_id, gate, &mut self.marks, mark, out);
        }
        out.retain(|&slot| {
            let session = &sessions[slot];
            let other = session.user_id;
            let known = own.binary_search_by_key(&other, |(other, _)| *other);
            let excluded = known.is_ok_and(|index| {
                let kind = own[index].1;
                kind == relation::BLOCKED || (kind == relation::FRIEND && !with_friends)
            });
            // Few have blocked anybody; for the others there is nothing to look up.
            let blocked = || session.blocks && relationship::has_blocked(cx.read, other, user_id);
            other != user_id && !excluded && !blocked()
        });
    }

    /// Bytes of the tables.
    pub fn heap_len(&self) -> usize {
        self.interest.state_len() + (self.marks.capacity() + self.recipients.capacity()) * size_of::<u32>()
    }
}

fn collect_user(sessions: &Sessions, user_id: UserId, gate: u16, out: &mut Vec<Slot>) {
    for slot in sessions.of_user(user_id) {
        if gate == intent::NONE || sessions[slot].intents & gate != 0 {
            out.push(slot);
        }
    }
}
