//! Typing: events that are never stored. One place for the REST route and the gateway opcodes.

use super::message::Scope;
use super::writing::Writing;
use crate::domain::asking::Asking;
use crate::domain::error::Result;
use crate::domain::event::{Audience, Event, EventName, intent};
use crate::domain::social::relationship;
use crate::domain::view;
use crate::id::ChannelId;
use crate::store::records::channel_kind;
use crate::store::tables::MESSAGING;
use crate::wire::json::Object;

/// TYPING_START to the other readers; `None` when the user does not want it shown, or could not send the other side
/// of a direct message anything.
///
/// # Errors
/// 404 and 403 of [`Asking::channel`]; 403 without `messages.send`.
pub fn start_event(asking: Asking<'_>, channel_id: ChannelId) -> Result<Option<Event>> {
    event(asking, channel_id, EventName::TypingStart)
}

/// TYPING_STOP to the same readers under the same conditions.
///
/// # Errors
/// As [`start_event`].
pub fn stop_event(asking: Asking<'_>, channel_id: ChannelId) -> Result<Option<Event>> {
    event(asking, channel_id, EventName::TypingStop)
}

fn event(asking: Asking<'_>, channel_id: ChannelId, name: EventName) -> Result<Option<Event>> {
    let (read, user_id) = (asking.read, asking.who);
    let access = asking.channel(channel_id)?;
    let allowed = Writing::Text.require(&access);
    if access.channel.is_private() && allowed.is_err() {
        return Ok(None);
    }
    allowed?;
    if read.get(MESSAGING, user_id).is_some_and(|settings| !settings.typing_indicators_enabled) {
        return Ok(None);
    }
    let mut payload = Vec::with_capacity(128);
    {
        let mut object = Object::new(&mut payload);
        object.id("channel_id", channel_id.0).id("user_id", user_id.0);
        if name == EventName::TypingStart {
            object.str("username", view::username(read, user_id));
        }
    }
    let mut scope = Scope::of(channel_id, access.channel);
    if let Audience::Users(users) = &mut scope.readers
        && access.channel.kind == channel_kind::GROUP
    {
        // In a group, over a block, nobody learns of that.
        users.retain(|other| !relationship::blocked(read, user_id, *other));
    }
    let (in_server, in_dm) = (intent::GUILD_MESSAGE_TYPING, intent::DIRECT_MESSAGE_TYPING);
    Ok(Some(scope.event(name, in_server, in_dm, payload).except(user_id)))
}
