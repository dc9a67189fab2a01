//! Pins of a channel.
//!
//! Invariant: `PINS[(channel, n)]` names a message exactly when that message says `pin == n`. The numbers come
//! from the one generator of ids, so the newest pin is the greatest.

use rkyv::{Archive, Deserialize, Serialize};

use super::message::{Scope, emit_message, find};
use super::message_view::{Viewer, Writer};
use super::writing::Writing;
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Result};
use crate::domain::event::{EventName, intent};
use crate::domain::machine::Machine;
use crate::domain::permission::Access;
use crate::domain::touched;
use crate::id::{ChannelId, MessageId, UserId};
use crate::limits::PIN_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedMessage, Message};
use crate::store::tables::{MESSAGES, PINS};
use crate::wire::json::Object;

/// Pins of one channel, whatever the tier says: the list is sent whole, in answers and events.
pub const PINS_MAX: u64 = PIN_COUNT_MAX as u64;

/// Pins a message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessagePin {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    /// Pins that the channel may have.
    pub pins_max: u64,
}

/// Takes a message from the pins.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessageUnpin {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
}

/// # Errors
/// 404 and 403 of [`Asking::channel`], as [`Writing::Moderation`].
fn pin_access(asking: Asking<'_>, channel_id: ChannelId) -> Result<Access<'_>> {
    let access = asking.channel(channel_id)?;
    Writing::Moderation.require(&access)?;
    Ok(access)
}

pub(in crate::domain) fn message_pin(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MessagePin,
) -> Result<bool> {
    let read = machine.read();
    let access = pin_access(machine.asking(actor), op.channel_id)?;
    let message = find(read, op.channel_id, op.message_id)?;
    if message.pin != 0 {
        return Ok(false);
    }
    let limit = op.pins_max.min(PINS_MAX) as usize;
    if read.scan(PINS, op.channel_id).take(limit).count() >= limit {
        return Err(Error::bad_request(format!("A channel can have at most {limit} pinned messages")));
    }
    let scope = Scope::of(op.channel_id, access.channel);
    let message = Message::from(message);
    let pin = machine.next_id();
    let is_newest =
        |read: Read<'_>| read.scan_rev(PINS, op.channel_id).next().is_none_or(|((_, last), _)| last < pin);
    machine.ensure(is_newest, "the newest pin is the greatest");
    machine.tx.put(PINS, (op.channel_id, pin), &op.message_id.into());
    store(machine, scope, op.message_id, Message { pin, ..message });
    Ok(true)
}

pub(in crate::domain) fn message_unpin(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MessageUnpin,
) -> Result<bool> {
    let read = machine.read();
    let access = pin_access(machine.asking(actor), op.channel_id)?;
    let message = find(read, op.channel_id, op.message_id)?;
    if message.pin == 0 {
        return Ok(false);
    }
    let scope = Scope::of(op.channel_id, access.channel);
    let message = Message::from(message);
    machine.tx.delete(PINS, (op.channel_id, message.pin));
    store(machine, scope, op.message_id, Message { pin: 0, ..message });
    Ok(true)
}

/// Stores a message whose pin changed and tells both: the message, and the list.
fn store(machine: &mut Machine<'_, '_>, scope: Scope, message_id: MessageId, message: Message) {
    machine.tx.put(MESSAGES, (scope.channel_id, message_id), &message);
    touched::changed(machine, scope.channel_id, message_id);
    emit_message(machine, EventName::MessageUpdate, scope.clone(), message_id, &message);
    emit_update(machine, &scope);
}

/// Tells the readers of a channel what is pinned now.
pub(in crate::domain) fn emit_update(machine: &mut Machine<'_, '_>, scope: &Scope) {
    let mut payload = Vec::with_capacity(128);
    {
        let mut object = Object::new(&mut payload);
        object.id("channel_id", scope.channel_id.0);
        object.opt_id("guild_id", scope.server_id.map(|id| id.0));
        let mut ids = object.array("pinned_message_ids");
        for (message_id, _) in pinned(machine.read(), scope.channel_id) {
            ids.id(message_id.0);
        }
    }
    machine.emit(scope.event(EventName::ChannelPinsUpdate, intent::GUILDS, intent::NONE, payload));
}

/// The pinned messages, newest pin first.
fn pinned(read: Read<'_>, channel_id: ChannelId) -> impl Iterator<Item = (MessageId, &ArchivedMessage)> {
    read.scan_rev(PINS, channel_id).take(PINS_MAX as usize).filter_map(move |(_, pin)| {
        let message_id = MessageId::from(&pin.id);
        Some((message_id, read.get(MESSAGES, (channel_id, message_id))?))
    })
}

/// Appends the pinned messages of a channel, newest pin first.
pub fn write_list(out: &mut Vec<u8>, access: &Access<'_>) {
    let read = access.asking.read;
    Writer::new(out, read, access.channel_id, Viewer::user(access)).list(pinned(read, access.channel_id));
}
