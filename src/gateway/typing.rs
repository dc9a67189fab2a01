//! Op 40 and 41: who is typing where.
//!
//! Invariant: only sessions with a connection are in the list; one that loses it is told of as having stopped.

use rustc_hash::FxHashMap;

use super::connection::{Ms, since};
use super::connections::ConnectionId;
use super::hub::{Cx, Hub};
use super::protocol::Outcome;
use super::session::Slot;
use super::survey::map_len;
use crate::domain::chat::typing::{start_event, stop_event};
use crate::id::ChannelId;
use crate::wire::json::Value;

/// Where sessions were last typing, and when.
#[derive(Default)]
pub struct Typing {
    places: FxHashMap<Slot, (ChannelId, Ms)>,
}

impl Typing {
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Bytes of the table.
    pub fn heap_len(&self) -> usize {
        map_len::<Slot, (ChannelId, Ms)>(self.places.capacity())
    }
}

impl Hub {
    pub(super) fn typing_start(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let slot = self.connections[id].session;
        let channel_id = d.get("channel_id").and_then(Value::as_id).map(ChannelId);
        let asking = cx.asking(self.sessions.user_of(slot));
        let event = |channel_id| start_event(asking, channel_id).ok()?;
        if let Some(channel_id) = channel_id
            && let Some(event) = event(channel_id)
        {
            self.typing.places.insert(slot, (channel_id, cx.ms()));
            self.broadcast(cx, event.into());
        }
        Ok(None)
    }

    pub(super) fn typing_stop(&mut self, cx: &Cx<'_>, id: ConnectionId, d: &Value<'_>) -> Outcome {
        let slot = self.connections[id].session;
        let channel_id = d.get("channel_id").and_then(Value::as_id).map(ChannelId);
        let asking = cx.asking(self.sessions.user_of(slot));
        let event = |channel_id| stop_event(asking, channel_id).ok()?;
        if let Some(event) = channel_id.and_then(event) {
            self.typing.places.remove(&slot);
            self.broadcast(cx, event.into());
        }
        Ok(None)
    }

    /// A session lost its connection, perhaps while it was typing.
    pub(super) fn stop_typing(&mut self, cx: &Cx<'_>, slot: Slot) {
        let Some((channel_id, begun)) = self.typing.places.remove(&slot) else { return };
        if u64::from(since(begun, cx.ms())) >= self.config.presence.typing_timeout_ms {
            return;
        }
        if let Ok(Some(event)) = stop_event(cx.asking(self.sessions.user_of(slot)), channel_id) {
            self.broadcast(cx, event.into());
        }
    }
}
