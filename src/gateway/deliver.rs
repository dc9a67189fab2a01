//! What batches and other cores make known, to this core's sessions.

use super::hub::{Cx, Hub};
use super::interest::Filter;
use super::protocol::Close;
use super::replay::Handle;
use super::session::NONE;
use crate::domain::social::presence::visible_status;
use crate::domain::social::relationship;
use crate::domain::{Audience, Change, Event, EventName, Output, Revocation, intent};
use crate::id::{ServerId, TokenId, UserId};
use crate::store::records::{relation, status};
use crate::store::tables::{PRESENCES, USER_SERVERS};
use crate::wire::json::Object;

impl Hub {
    /// The outputs of one batch. `cx.read` is the state right after it.
    pub fn apply(&mut self, cx: &Cx<'_>, outputs: &[Output]) {
        self.leaving.extend(outputs.iter().filter_map(|output| match output {
            Output::Change(Change::MemberRemoved { server_id, user_id }) => {
                Some((*server_id, Some(*user_id)))
            }
            Output::Change(Change::ServerRemoved { server_id }) => Some((*server_id, None)),
            _ => None,
        }));
        let mut rest = outputs;
        while let [first, behind @ ..] = rest {
            rest = match first {
                Output::Change(change) => {
                    self.change(cx, change);
                    behind
                }
                Output::Event(event) => {
                    let more =
                        behind.iter().map_while(|output| event_of(output).filter(|next| is_row(event, next)));
                    let count = more.clone().count();
                    self.deliver(cx, event, more);
                    &behind[count..]
                }
            };
        }
        self.leaving.clear();
    }

    fn change(&mut self, cx: &Cx<'_>, change: &Change) {
        match *change {
            Change::MemberAdded { server_id, user_id } => {
                for slot in self.slots_of(user_id) {
                    let intents = self.sessions[slot as usize].intents;
                    self.interest.add(cx.read, server_id, user_id, slot, intents);
                }
            }
            Change::MemberRemoved { server_id, user_id } => {
                for slot in self.slots_of(user_id) {
                    self.interest.remove(server_id, slot);
                }
            }
            Change::ServerRemoved { server_id } => self.interest.remove_server(server_id),
            Change::PermissionsChanged { server_id } => self.interest.permissions_changed(server_id),
            Change::MemberRolesChanged { server_id, user_id } => {
                let slots = self.slots_of(user_id);
                self.interest.member_changed(cx.read, server_id, user_id, &slots);
            }
            Change::TokenRevoked { token_id, user_id, how } => self.revoke(cx, token_id, user_id, how),
            Change::PresenceStored { user_id } => {
                if self.home_of(user_id) == self.core {
                    let effects = self.home.stored(cx.read, cx.steady_ms, user_id);
                    self.carry_out(cx, effects);
                }
            }
        }
    }

    /// Ends the sessions of a login token: SECURITY_LOGOUT, then close 4004 as the next frame (D14).
    fn revoke(&mut self, cx: &Cx<'_>, token_id: TokenId, user_id: UserId, how: Revocation) {
        let (close, message) = match how {
            Revocation::LoggedOut => (&Close::LOGGED_OUT, None),
            Revocation::Security => (
                &Close::SECURITY_LOGOUT,
                Some("Your session was ended for security reasons. Please log in again."),
            ),
            Revocation::Suspended => (&Close::ACCOUNT_SUSPENDED, Some("Your account has been suspended.")),
        };
        for slot in self.slots_of(user_id) {
            if self.sessions[slot as usize].token_id != token_id {
                continue;
            }
            if let Some(message) = message {
                let mut payload = Vec::new();
                Object::new(&mut payload).id("user_id", user_id.0).str("message", message);
                self.deliver_to(&[slot], EventName::SecurityLogout, payload.into());
            }
            self.end_and_close(cx, slot, close);
        }
    }

    /// An event to every session of this core that is meant, and those `more` that [`is_row`] puts in a row with it.
    pub(super) fn deliver<'e>(
        &mut self,
        cx: &Cx<'_>,
        event: &'e Event,
        more: impl Iterator<Item = &'e Event>,
    ) {
        if event.name == EventName::RelationshipAdd {
            self.note_blocks(cx, event);
        }
        let mut recipients = std::mem::take(&mut self.recipients);
        recipients.clear();
        self.collect(cx, event, &mut recipients);
        if let Some(except) = event.except {
            recipients.retain(|slot| self.sessions[*slot as usize].user_id != except);
        }
        if !recipients.is_empty() {
            let payload = match event.presence_of {
                Some(user_id) => self.with_presence(cx, &event.payload, user_id).into(),
                None => event.payload.clone(),
            };
            let first = self.replay.push(event.name, payload);
            let more = more.map(|event| self.replay.push(event.name, event.payload.clone())).count() as u32;
            self.hand_out(&recipients, first, 1 + more);
            let server_id = || server_of(&event.audience).map_or(0, |server_id| server_id.0);
            self.work.largest.offer(event.name.text(), server_id, recipients.len());
        }
        self.recipients = recipients;
        if let (EventName::ChannelDelete, Audience::Channel { server_id, channel_id, .. }) =
            (event.name, &event.audience)
        {
            self.interest.forget_channel(*server_id, *channel_id);
        }
    }

    /// Somebody has a new relationship: if it is a block, presences to him take a look from now on.
    fn note_blocks(&mut self, cx: &Cx<'_>, event: &Event) {
        let Audience::Users(users) = &event.audience else { return };
        for user_id in users {
            let slots = self.slots_of(*user_id);
            if !slots.is_empty() && relationship::blocks_any(cx.read, *user_id) {
                slots.into_iter().for_each(|slot| self.sessions[slot as usize].blocks = true);
            }
        }
    }

    /// An event that a session has caused for itself alone: what it takes of the memory for RESUME is its own.
    pub(super) fn deliver_private(&mut self, slot: u32, name: EventName, payload: std::sync::Arc<[u8]>) {
        let handle = self.replay.push_private(slot, name, payload);
        self.hand_out(&[slot], handle, 1);
    }

    /// One event to sessions that are known.
    pub(super) fn deliver_to(&mut self, slots: &[u32], name: EventName, payload: std::sync::Arc<[u8]>) {
        let handle = self.replay.push(name, payload);
        self.hand_out(slots, handle, 1);
    }

    /// Hot: gives `count` events in a row to sessions. About a byte per session and event, and once per turn a place on
    /// the list of dirty sessions.
    fn hand_out(&mut self, slots: &[u32], first: Handle, count: u32) {
        let count_max = self.settings.resume_events_max;
        for &slot in slots {
            let session = &mut self.sessions[slot as usize];
            session.push(first, count, count_max);
            if !session.dirty && session.connection != NONE {
                session.dirty = true;
                self.dirty_sessions.push_back(slot);
            }
        }
        self.effort += u64::from(count) * slots.len() as u64;
        self.work.events += u64::from(count);
        self.dispatch_count += u64::from(count) * slots.len() as u64;
    }

    fn collect(&mut self, cx: &Cx<'_>, event: &Event, out: &mut Vec<u32>) {
        let gate = event.intent;
        match &event.audience {
            Audience::Users(users) => {
                for user_id in users {
                    self.collect_user(*user_id, gate, out);
                }
            }
            Audience::Server { server_id, any_of } => {
                let sessions = &self.sessions;
                let user_of = |slot: u32| sessions[slot as usize].user_id;
                self.interest.collect(cx.read, *server_id, Filter::Server(*any_of), gate, user_of, out);
            }
            Audience::Channel { server_id, channel_id, all_of } => {
                let sessions = &self.sessions;
                let user_of = |slot: u32| sessions[slot as usize].user_id;
                let filter = Filter::Channel(*channel_id, *all_of);
                self.interest.collect(cx.read, *server_id, filter, gate, user_of, out);
            }
            Audience::Acquaintances(user_id) => self.collect_acquaintances(cx, *user_id, gate, true, out),
            Audience::Neighbours(user_id) => self.collect_acquaintances(cx, *user_id, gate, false, out),
        }
    }

    fn collect_user(&self, user_id: UserId, gate: u16, out: &mut Vec<u32>) {
        for slot in self.slots_of(user_id) {
            if gate == intent::NONE || self.sessions[slot as usize].intents & gate != 0 {
                out.push(slot);
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
        out: &mut Vec<u32>,
    ) {
        if self.sessions.is_empty() {
            return;
        }
        // What he thinks of others is read once; what each of them thinks of him is looked up.
        let own = relationship::kinds(cx.read, user_id);
        self.mark = self.mark.wrapping_add(1);
        self.marks.resize(self.sessions.index_end().max(self.marks.len()), self.mark.wrapping_sub(1));
        for (other, _) in own.iter().filter(|(_, kind)| with_friends && *kind == relation::FRIEND) {
            self.collect_user(*other, gate, out);
        }
        let (marks, mark) = (&mut self.marks, self.mark);
        out.iter().for_each(|&slot| marks[slot as usize] = mark);
        for ((_, server_id), _) in cx.read.scan(USER_SERVERS, user_id) {
            self.interest.collect_new(server_id, gate, &mut self.marks, mark, out);
        }
        let sessions = &self.sessions;
        out.retain(|&slot| {
            let session = &sessions[slot as usize];
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

    fn with_presence(&self, cx: &Cx<'_>, payload: &[u8], user_id: UserId) -> Vec<u8> {
        let stored = cx.read.get(PRESENCES, user_id);
        let shown = visible_status(stored, cx.live.get(user_id), cx.steady_ms, self.home.rest_timeout_ms());
        let mut out = payload[..payload.len() - 1].to_vec();
        out.extend_from_slice(b",\"presence\":{\"status\":\"");
        out.extend_from_slice(status::text(shown).as_bytes());
        out.extend_from_slice(b"\"}}");
        out
    }
}

fn event_of(output: &Output) -> Option<&Event> {
    match output {
        Output::Event(event) => Some(event),
        Output::Change(_) => None,
    }
}

/// Whether two events, one right behind the other in a batch, go to the same sessions: then who gets them is found
/// out once, and each session is looked at once. A batch of 256 messages to a channel that 15,000 see would otherwise
/// keep all others of the core waiting for 28 ms (`cargo bench --bench growth`).
fn is_row(event: &Event, next: &Event) -> bool {
    // A channel that is gone is forgotten after its event, a presence is looked up for each, and a block is noted.
    let alone = |event: &Event| {
        matches!(event.name, EventName::ChannelDelete | EventName::RelationshipAdd)
            || event.presence_of.is_some()
    };
    event.audience == next.audience
        && (event.intent, event.except) == (next.intent, next.except)
        && !alone(event)
        && !alone(next)
}

fn server_of(audience: &Audience) -> Option<ServerId> {
    match audience {
        Audience::Server { server_id, .. } | Audience::Channel { server_id, .. } => Some(*server_id),
        Audience::Users(_) | Audience::Acquaintances(_) | Audience::Neighbours(_) => None,
    }
}
