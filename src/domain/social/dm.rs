//! Direct messages and notes: channels of two participants, or of one.
//!
//! Invariant: a pair has at most one channel, whoever opened it; the notes of a user are the pair with himself.

use rkyv::{Archive, Deserialize, Serialize};

use super::{relationship, setting};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent};
use crate::domain::machine::Machine;
use crate::domain::permission::Access;
use crate::domain::view;
use crate::id::{ChannelId, MessageId, UserId};
use crate::limits::DM_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedMessage, Channel, ChannelRef, UserRef, channel_kind, dm_policy};
use crate::store::tables::{CHANNELS, DM_PAIRS, MESSAGES, USER_DMS};
use crate::wire::json::shape::{Slot, shape};
use crate::wire::json::{Array, Object};

/// Opens the direct message with another user, or finds it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct DmOpen {
    pub recipient_id: UserId,
}

/// Opens the acting user's notes, or finds them.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NotesOpen {}

fn pair(a: UserId, b: UserId) -> (UserId, UserId) {
    let pair = (a.min(b), a.max(b));
    assert!(pair.0 != UserId(0), "the server itself writes nobody");
    pair
}

/// The channel of a pair, if it was ever opened.
pub fn channel_of(read: Read<'_>, a: UserId, b: UserId) -> Option<ChannelId> {
    read.get(DM_PAIRS, pair(a, b)).map(|found| ChannelId::from(&found.id))
}

/// Whether `recipient` may get direct messages from `author`.
///
/// # Errors
/// 403 when one has blocked the other, or the recipient takes them from friends only, or from nobody.
pub fn admits(read: Read<'_>, author: UserId, recipient: UserId) -> Result<()> {
    if relationship::blocked(read, author, recipient) {
        return Err(Refusal::Blocked.into());
    }
    match setting::messaging(read, recipient).allow_dms_from {
        dm_policy::NONE => Err(Refusal::DmRefused.into()),
        dm_policy::FRIENDS if !relationship::are_friends(read, author, recipient) => {
            Err(Refusal::DmFriendsOnly.into())
        }
        _ => Ok(()),
    }
}

/// Whether what a user does in a channel may reach the other side of a direct message: messages, reactions, typing.
/// Always so elsewhere.
///
/// # Errors
/// 403 as [`admits`], and when the other account is gone.
pub fn require_reachable(access: &Access<'_>) -> Result<()> {
    if access.channel.kind != channel_kind::DM {
        return Ok(());
    }
    let Asking { read, who, .. } = access.asking;
    let recipient = access.recipient().ok_or(Refusal::NotParticipant)?;
    view::existing(read, recipient).map_err(|_| Refusal::DmRefused)?;
    admits(read, who, recipient)
}

/// Whether the channel is a direct message in which one side has blocked the other: nothing of one reaches the other.
pub fn is_cut(access: &Access<'_>) -> bool {
    let Asking { read, who, .. } = access.asking;
    let recipient = || access.recipient().filter(|_| access.channel.kind == channel_kind::DM);
    recipient().is_some_and(|recipient| relationship::blocked(read, who, recipient))
}

/// The newest message of a channel.
pub fn last_message(read: Read<'_>, channel_id: ChannelId) -> Option<(MessageId, &ArchivedMessage)> {
    read.scan_rev(MESSAGES, channel_id).next().map(|((_, id), message)| (id, message))
}

shape! {
    /// The other one of a direct message.
    pub DMRecipient(read: Read<'_>, recipient: UserId) {
        id: id = recipient.0,
        username: str = view::username(read, recipient),
    }
}

shape! {
    /// A direct message, whichever kind.
    pub DMHead(channel_id: ChannelId) {
        id: id = channel_id.0,
        type: str = "dm",
        channel_type: str = "dm",
    }
}

shape! {
    /// With whom, and up to which message.
    pub DMTail(read: Read<'_>, channel_id: ChannelId, recipient: UserId) {
        recipient_id: id = recipient.0,
        recipient: (Slot::object(DMRecipient::SHAPE)) = |out: &mut Vec<u8>| DMRecipient::write(out, read, recipient),
        last_message_id: opt_id = last_message(read, channel_id).map(|(id, _)| id.0),
    }
}

shape! {
    /// A direct message as one of the two sees it.
    pub DMChannelResponse(read: Read<'_>, channel_id: ChannelId, recipient: UserId): DMHead(channel_id), DMTail(read, channel_id, recipient) {
    }
}

/// The direct messages of a user, latest message first; those without one count by when they were opened.
pub fn write_dms(out: &mut Vec<u8>, read: Read<'_>, user_id: UserId) {
    let channels = read.scan_rev(USER_DMS, user_id).take(DM_COUNT_MAX);
    let mut channels: Vec<(u64, ChannelId, UserId)> = channels
        .map(|((_, channel_id), recipient)| {
            // Ids of all kinds rise with time, so a message and a channel can be compared.
            let latest = last_message(read, channel_id).map_or(channel_id.0, |(id, _)| id.0);
            (latest, channel_id, UserId::from(&recipient.id))
        })
        .collect();
    channels.sort_unstable_by(|a, b| b.cmp(a));
    let mut list = Array::new(out);
    for (_, channel_id, recipient) in channels {
        DMChannelResponse::write(list.item(), read, channel_id, recipient);
    }
}

/// The notes of a user.
pub fn write_notes(out: &mut Vec<u8>, read: Read<'_>, channel_id: ChannelId) {
    let last = last_message(read, channel_id);
    let name = read.get(CHANNELS, channel_id).map_or(NOTES_NAME, |channel| channel.name.as_str());
    NotesChannelResponse::write(out, channel_id, name, last);
}

shape! {
    /// Where a user writes to himself.
    pub NotesChannelResponse(channel_id: ChannelId, name: &str, last: Option<(MessageId, &ArchivedMessage)>) {
        id: id = channel_id.0,
        type: str = "notes",
        channel_type: str = "notes",
        name: str = name,
        last_message_id: opt_id = last.map(|(id, _)| id.0),
        last_message_at: opt_time = last.map(|(_, message)| message.created_at.to_native()),
    }
}

const NOTES_NAME: &str = "Personal Notes";
const DM_NAME: &str = "Direct Message";

/// # Errors
/// What `dm_open` refuses; the same on the snapshot and in the log.
pub fn check_open(read: Read<'_>, user_id: UserId, recipient: UserId) -> Result<()> {
    if user_id == recipient {
        return Err(Error::invalid("recipient_id", "must be somebody else"));
    }
    view::existing(read, recipient)?;
    admits(read, user_id, recipient)
}

fn create(machine: &mut Machine<'_, '_>, kind: u8, name: &str, participants: &[UserId]) -> ChannelId {
    let channel_id = ChannelId(machine.next_id());
    let channel = Channel {
        kind,
        name: name.to_string(),
        read_receipts_enabled: true,
        created_at: machine.unix_ms,
        participants: participants.to_vec(),
        ..Channel::default()
    };
    machine.tx.put(CHANNELS, channel_id, &channel);
    let (first, last) = (participants[0], participants[participants.len() - 1]);
    machine.tx.put(DM_PAIRS, pair(first, last), &ChannelRef::from(channel_id));
    channel_id
}

pub(in crate::domain) fn dm_open(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &DmOpen,
) -> Result<ChannelId> {
    check_open(machine.read(), actor, op.recipient_id)?;
    if let Some(channel_id) = channel_of(machine.read(), actor, op.recipient_id) {
        return Ok(channel_id);
    }
    let channel_id = create(machine, channel_kind::DM, DM_NAME, &[actor, op.recipient_id]);
    for (user_id, other) in [(actor, op.recipient_id), (op.recipient_id, actor)] {
        machine.tx.put(USER_DMS, (user_id, channel_id), &UserRef::from(other));
        let mut payload = Vec::new();
        {
            let mut object = Object::new(&mut payload);
            DMHead::write_fields(&mut object, channel_id);
            DMTail::write_fields(object.null("server_id"), machine.read(), channel_id, other);
        }
        let audience = Audience::user(user_id);
        machine.emit(Event::new(EventName::ChannelCreate, intent::NONE, audience, payload));
    }
    Ok(channel_id)
}

pub(in crate::domain) fn notes_open(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    _op: &NotesOpen,
) -> Result<ChannelId> {
    view::existing(machine.read(), actor)?;
    if let Some(channel_id) = channel_of(machine.read(), actor, actor) {
        return Ok(channel_id);
    }
    Ok(create(machine, channel_kind::NOTES, NOTES_NAME, &[actor]))
}
