//! What batches and other cores make known, to this core's sessions.

use super::hub::{Cx, Hub};
use super::protocol::Close;
use super::replay::Handle;
use super::session::Slot;
use crate::config::or_unlimited;
use crate::domain::social::presence::visible_status;
use crate::domain::social::relationship;
use crate::domain::{Audience, Change, Event, EventName, Output, Revocation};
use crate::id::{ServerId, TokenId, UserId};
use crate::store::records::status;
use crate::store::tables::PRESENCES;
use crate::wire::json::Object;

impl Hub {
    /// The outputs of one batch. `cx.read` is the state right after it.
    pub fn apply(&mut self, cx: &Cx<'_>, outputs: &[Output]) {
        self.audiences.begin_batch(outputs);
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
        self.greet_joiners(cx, outputs);
        self.follow_voice(cx, outputs);
        self.audiences.end_batch();
    }

    fn change(&mut self, cx: &Cx<'_>, change: &Change) {
        match *change {
            Change::MemberAdded { server_id, user_id } => {
                for slot in self.sessions.of_user(user_id) {
                    let intents = self.sessions[slot].intents;
                    self.audiences.interest.add(cx.read, server_id, user_id, slot, intents);
                }
            }
            Change::MemberRemoved { server_id, user_id } => {
                for slot in self.sessions.of_user(user_id) {
                    self.audiences.interest.remove(server_id, slot);
                }
            }
            Change::ServerRemoved { server_id } => self.audiences.interest.remove_server(server_id),
            Change::PermissionsChanged { server_id } => {
                self.audiences.interest.permissions_changed(server_id)
            }
            Change::MemberRolesChanged { server_id, user_id } => {
                let slots = self.sessions.of_user(user_id);
                self.audiences.interest.member_changed(cx.read, server_id, user_id, &slots);
            }
            Change::TokenRevoked { token_id, user_id, how } => self.revoke(cx, token_id, user_id, how),
            Change::MaintenanceBegun => self.maintenance_begun(cx),
            Change::EverybodyLoggedOut { up_to } => self.everybody_logged_out(cx, up_to),
            Change::DrainBegun { spread_ms } => self.drain_begun(cx, spread_ms),
            Change::DrainOver => self.drain_over(),
            Change::Disconnected { user_id, token_id } => self.disconnected(cx, user_id, token_id),
            Change::PresenceStored { user_id } => {
                if self.cores.is_home(user_id) {
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
        for slot in self.sessions.of_user(user_id) {
            if self.sessions[slot].token_id != token_id {
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
        more: impl Iterator<Item = &'e Event> + Clone,
    ) {
        if event.name == EventName::RelationshipAdd {
            self.note_blocks(cx, event);
        }
        let mut recipients = self.audiences.take_recipients(cx, event, &self.sessions);
        let count = recipients.len();
        let veiled = self.take_veiled(event, &mut recipients);
        if !veiled.is_empty() {
            self.hand_out_veiled(&veiled, event, more.clone());
        }
        if count > 0 {
            let payload = match event.presence_of {
                Some(user_id) => self.with_presence(cx, &event.payload, user_id).into(),
                None => event.payload.clone(),
            };
            let first = self.sessions.replay.push(event.name, payload);
            let more =
                more.map(|event| self.sessions.replay.push(event.name, event.payload.clone())).count() as u32;
            self.hand_out(&recipients, first, 1 + more);
            let server_id = || server_of(&event.audience).map_or(0, |server_id| server_id.0);
            self.counters.work.largest.offer(event.name.text(), server_id, count);
        }
        self.audiences.put_recipients(recipients);
        if let (EventName::ChannelDelete, Audience::Channel { server_id, channel_id, .. }) =
            (event.name, &event.audience)
        {
            self.audiences.forget_channel_later(cx.mono_ms, *server_id, *channel_id);
        }
    }

    /// Somebody has a new relationship: if it is a block, presences to him take a look from now on.
    fn note_blocks(&mut self, cx: &Cx<'_>, event: &Event) {
        let Audience::Users(users) = &event.audience else { return };
        for user_id in users {
            let slots = self.sessions.of_user(*user_id);
            if !slots.is_empty() && relationship::blocks_any(cx.read, *user_id) {
                slots.into_iter().for_each(|slot| self.sessions[slot].blocks = true);
            }
        }
    }

    /// An event that a session has caused for itself alone: what it takes of the memory for RESUME is its own.
    pub(super) fn deliver_private(&mut self, slot: Slot, name: EventName, payload: std::sync::Arc<[u8]>) {
        let handle = self.sessions.replay.push_private(slot, name, payload);
        self.hand_out(&[slot], handle, 1);
    }

    /// One event to sessions that are known.
    pub(super) fn deliver_to(&mut self, slots: &[Slot], name: EventName, payload: std::sync::Arc<[u8]>) {
        let handle = self.sessions.replay.push(name, payload);
        self.hand_out(slots, handle, 1);
    }

    /// Hot: gives `count` events in a row to sessions. About a byte per session and event, and once per turn a place on
    /// the list of dirty sessions.
    pub(super) fn hand_out(&mut self, slots: &[Slot], first: Handle, count: u32) {
        let count_max = or_unlimited(self.config.websocket.resume_buffer_events);
        for &slot in slots {
            let session = &mut self.sessions[slot];
            session.push(first, count, count_max);
            self.outbox.mark_session(slot, session);
        }
        self.intake.spend(u64::from(count) * slots.len() as u64);
        self.counters.work.events += u64::from(count);
        self.counters.dispatch_count += u64::from(count) * slots.len() as u64;
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
