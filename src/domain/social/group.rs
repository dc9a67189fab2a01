//! Groups: private channels of several people, of whom one owns it.
//!
//! Invariants: the owner stands first among the participants, the others behind him by when they came, so whoever has
//! been there longest follows an owner who leaves. `USER_GROUPS` names the groups of each participant. A group that the
//! last one has left is gone.
//! Nobody is brought together with somebody over a block, and nobody with people from whom he takes no direct messages;
//! what changes between them later is theirs to settle by leaving.

use rkyv::{Archive, Deserialize, Serialize};

use super::{dm, relationship};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::view;
use crate::id::{ChannelId, UserId};
use crate::limits::{GROUP_COUNT_MAX, GROUP_PARTICIPANT_COUNT_MAX};
use crate::store::Read;
use crate::store::records::{ArchivedChannel, Channel, Nil, channel_kind};
use crate::store::tables::{CHANNELS, USER_GROUPS};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

/// Rows of a group that go at once when the last one leaves; the rest is left to housekeeping.
const ROWS_AT_ONCE_MAX: usize = 1_000;

/// Opens a group of the actor and others.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct GroupOpen {
    /// Empty: it has none.
    pub name: String,
    pub user_ids: Vec<UserId>,
    /// How many it may have, the actor among them.
    pub participants_max: u64,
}

/// Names a group, or hands it to another participant. `None` leaves it as it is.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct GroupEdit {
    pub channel_id: ChannelId,
    /// An empty one takes it away.
    pub name: Option<String>,
    pub owner_id: Option<UserId>,
}

/// Brings somebody into a group.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct GroupAdd {
    pub channel_id: ChannelId,
    pub user_id: UserId,
    pub participants_max: u64,
}

/// Takes somebody out of a group; the actor himself: he leaves.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct GroupRemove {
    pub channel_id: ChannelId,
    pub user_id: UserId,
}

// ------------------------------------------------------------------------------------------- checks

/// A group that the user is in.
///
/// # Errors
/// 404 when there is none, 403 when he is not in it.
pub fn find(asking: Asking<'_>, channel_id: ChannelId) -> Result<&ArchivedChannel> {
    let found = asking.read.get(CHANNELS, channel_id);
    found.filter(|channel| channel.kind == channel_kind::GROUP).ok_or(Refusal::GroupNotFound)?;
    Ok(asking.channel(channel_id)?.channel)
}

/// Who owns it.
pub fn owner(channel: &ArchivedChannel) -> UserId {
    channel.participant_ids().next().expect("a group has a participant")
}

fn is_in(channel: &ArchivedChannel, user_id: UserId) -> bool {
    channel.participant_ids().any(|id| id == user_id)
}

fn require_owner(channel: &ArchivedChannel, user_id: UserId) -> Result<()> {
    if owner(channel) == user_id { Ok(()) } else { Err(Refusal::NotGroupOwner.into()) }
}

/// Whether the actor may bring somebody into a group with these others.
///
/// # Errors
/// 404 when there is no such user; 403 when he takes no direct messages from the actor, or over a block between him
/// and one of the others; 400 when he is in too many groups.
pub fn check_add(
    asking: Asking<'_>,
    user_id: UserId,
    mut others: impl Iterator<Item = UserId>,
) -> Result<()> {
    let Asking { read, who, .. } = asking;
    view::existing(read, user_id)?;
    dm::admits(read, who, user_id)?;
    if others.any(|other| relationship::blocked(read, user_id, other)) {
        return Err(Refusal::GroupBlocked.into());
    }
    require_room(read, user_id)
}

/// # Errors
/// 400 when he is in as many groups as one can be.
fn require_room(read: Read<'_>, user_id: UserId) -> Result<()> {
    if read.scan(USER_GROUPS, user_id).take(GROUP_COUNT_MAX).count() < GROUP_COUNT_MAX {
        return Ok(());
    }
    let name = view::username(read, user_id);
    Err(Error::bad_request(format!(
        "{name} is in {GROUP_COUNT_MAX} groups, which is as many as one can be in"
    )))
}

/// # Errors
/// 400 when so many are too many.
fn require_size(count: usize, participants_max: u64) -> Result<()> {
    let max = participants_max.min(GROUP_PARTICIPANT_COUNT_MAX as u64);
    if count as u64 <= max {
        return Ok(());
    }
    Err(Error::bad_request(format!("A group can have at most {max} participants")))
}

// ------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn group_open(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &GroupOpen,
) -> Result<ChannelId> {
    let (read, asking) = (machine.read(), machine.asking(actor));
    view::existing(read, actor)?;
    let mut participants = vec![actor];
    for &user_id in &op.user_ids {
        require_size(participants.len(), op.participants_max)?;
        if !participants.contains(&user_id) {
            participants.push(user_id);
        }
    }
    require_size(participants.len(), op.participants_max)?;
    if participants.len() < 2 {
        return Err(Error::invalid("user_ids", "name at least one other user"));
    }
    require_room(read, actor)?;
    for (index, user_id) in participants.iter().enumerate().skip(1) {
        check_add(asking, *user_id, participants[1..index].iter().copied())?;
    }
    let channel_id = ChannelId(machine.next_id());
    let channel = Channel {
        kind: channel_kind::GROUP,
        name: op.name.clone(),
        read_receipts_enabled: true,
        created_at: machine.unix_ms,
        participants,
        ..Channel::default()
    };
    machine.tx.put(CHANNELS, channel_id, &channel);
    for user_id in &channel.participants {
        machine.tx.put(USER_GROUPS, (*user_id, channel_id), &Nil {});
    }
    tell(machine, EventName::ChannelCreate, channel_id, &channel.participants);
    Ok(channel_id)
}

/// Replies whether anything is another than before.
pub(in crate::domain) fn group_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &GroupEdit,
) -> Result<bool> {
    let channel = find(machine.asking(actor), op.channel_id)?;
    if let Some(owner_id) = op.owner_id {
        require_owner(channel, actor)?;
        if !is_in(channel, owner_id) {
            return Err(Error::invalid("owner_id", "must be a participant of the group"));
        }
    }
    let old = Channel::from(channel);
    let mut new = old.clone();
    new.name = op.name.clone().unwrap_or(new.name);
    if let Some(owner_id) = op.owner_id {
        new.participants.retain(|id| *id != owner_id);
        new.participants.insert(0, owner_id);
    }
    if new == old {
        return Ok(false);
    }
    machine.tx.put(CHANNELS, op.channel_id, &new);
    tell(machine, EventName::ChannelUpdate, op.channel_id, &new.participants);
    Ok(true)
}

/// Replies whether he was not there before.
pub(in crate::domain) fn group_add(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &GroupAdd,
) -> Result<bool> {
    let asking = machine.asking(actor);
    let channel = find(asking, op.channel_id)?;
    if is_in(channel, op.user_id) {
        return Ok(false);
    }
    require_size(channel.participants.len() + 1, op.participants_max)?;
    check_add(asking, op.user_id, channel.participant_ids())?;
    let mut channel = Channel::from(channel);
    let before = channel.participants.clone();
    channel.participants.push(op.user_id);
    machine.tx.put(CHANNELS, op.channel_id, &channel);
    machine.tx.put(USER_GROUPS, (op.user_id, op.channel_id), &Nil {});
    tell(machine, EventName::ChannelCreate, op.channel_id, &[op.user_id]);
    tell(machine, EventName::ChannelUpdate, op.channel_id, &before);
    Ok(true)
}

pub(in crate::domain) fn group_remove(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &GroupRemove,
) -> Result<()> {
    let channel = find(machine.asking(actor), op.channel_id)?;
    if op.user_id != actor {
        require_owner(channel, actor)?;
        if !is_in(channel, op.user_id) {
            return Err(Refusal::ParticipantNotFound.into());
        }
    }
    part(machine, op.channel_id, op.user_id);
    Ok(())
}

/// Takes a participant out of a group, and the group away when he was the last.
pub(in crate::domain) fn part(machine: &mut Machine<'_, '_>, channel_id: ChannelId, user_id: UserId) {
    machine.tx.delete(USER_GROUPS, (user_id, channel_id));
    let Some(mut channel) = machine.read().get(CHANNELS, channel_id).map(Channel::from) else { return };
    channel.participants.retain(|id| *id != user_id);
    if channel.participants.is_empty() {
        machine.tx.delete(CHANNELS, channel_id);
        machine.tx.end(channel_id, ROWS_AT_ONCE_MAX);
    } else {
        machine.tx.put(CHANNELS, channel_id, &channel);
    }
    let gone = payload(|object| {
        object.id("id", channel_id.0).null("server_id");
    });
    let audience = Audience::user(user_id);
    machine.emit(Event::new(EventName::ChannelDelete, intent::NONE, audience, gone));
    if !channel.participants.is_empty() {
        tell(machine, EventName::ChannelUpdate, channel_id, &channel.participants);
    }
}

/// Tells some of what a group is now.
fn tell(machine: &mut Machine<'_, '_>, name: EventName, channel_id: ChannelId, users: &[UserId]) {
    let read = machine.read();
    let Some(channel) = read.get(CHANNELS, channel_id) else { return };
    let payload = payload(|object| {
        GroupResponse::write_fields(object, read, channel_id, channel);
        object.null("server_id");
    });
    let audience = Audience::Users(users.iter().copied().collect());
    machine.emit(Event::new(name, intent::NONE, audience, payload));
}

// ------------------------------------------------------------------------------------------- queries

fn write_participants(out: &mut Vec<u8>, read: Read<'_>, channel: &ArchivedChannel) {
    let mut list = Array::new(out);
    for user_id in channel.participant_ids() {
        view::BriefUser::write_fields(&mut Object::new(list.item()), read, user_id);
    }
}

shape! {
    /// A group.
    pub GroupResponse(read: Read<'_>, channel_id: ChannelId, channel: &ArchivedChannel) {
        id: id = channel_id.0,
        type: str = channel_kind::text(channel.kind),
        channel_type: str = channel_kind::text(channel.kind),
        /// Null when it has none.
        name: opt_str = Some(&*channel.name).filter(|name| !name.is_empty()),
        owner_id: id = owner(channel).0,
        /// The owner first, then by when they came.
        participants: (Slot::list(&Kind::Object(view::BriefUser::SHAPE))) = |out: &mut Vec<u8>| write_participants(out, read, channel),
        created_at: time = channel.created_at.to_native(),
        last_message_id: opt_id = dm::last_message(read, channel_id).map(|(id, _)| id.0),
    }
}

/// The groups of a user, latest message first; those without one count by when they were opened.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, user_id: UserId) {
    let mut groups: Vec<(u64, ChannelId)> = read
        .scan(USER_GROUPS, user_id)
        .take(GROUP_COUNT_MAX)
        .map(|((_, channel_id), _)| {
            // Ids of all kinds rise with time, so a message and a channel can be compared.
            (dm::last_message(read, channel_id).map_or(channel_id.0, |(id, _)| id.0), channel_id)
        })
        .collect();
    groups.sort_unstable_by(|a, b| b.cmp(a));
    let mut list = Array::new(out);
    for (_, channel_id) in groups {
        if let Some(channel) = read.get(CHANNELS, channel_id) {
            GroupResponse::write(list.item(), read, channel_id, channel);
        }
    }
}
