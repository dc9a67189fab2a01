//! Channels of servers: making, changing, moving, deleting; and how a channel of any kind is shown.
//!
//! Invariant: a category stands in no category, and `category_id` names a category of the same server that exists.
//! Positions of a server's channels are 0..n (see [`ordering`]).
//! A deleted channel has no record any more; its messages and overrides stay until `CHANNEL_GARBAGE` is swept, so
//! who could view it can still be told for the events that were caused before.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{self, Action, Changes, Target};
use super::{invite, server};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::ordering;
use crate::domain::ordering::Order;
use crate::domain::permission::{Access, CHANNELS_MANAGE, CHANNELS_VIEW, Standing};
use crate::domain::view::{UserPublicResponse, user_or_null, username};
use crate::id::{ChannelId, ServerId, UserId};
use crate::limits::{CHANNEL_COUNT_MAX, WEBHOOK_COUNT_MAX};
use crate::store::Read;
use crate::store::records::{ArchivedChannel, Channel, Nil, Server, channel_kind};
use crate::store::tables::{CHANNEL_WEBHOOKS, CHANNELS, OVERRIDES, SERVER_CHANNELS, SERVERS};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

/// Channels of a server, categories included.
pub const COUNT_MAX: usize = CHANNEL_COUNT_MAX;

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChannelCreate {
    pub server_id: ServerId,
    /// As it is stored.
    pub name: String,
    /// A [`channel_kind`] code of a server channel.
    pub kind: u8,
    pub topic: Option<String>,
    pub category_id: Option<ChannelId>,
    pub nsfw: bool,
    pub slowmode_seconds: u64,
    pub read_receipts_enabled: bool,
}

/// `None` leaves a field as it is.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChannelEdit {
    pub channel_id: ChannelId,
    /// As it is stored.
    pub name: Option<String>,
    pub topic: Option<String>,
    /// Where the one stands whose place it takes; behind the last: to the end.
    pub position: Option<u64>,
    pub nsfw: Option<bool>,
    pub slowmode_seconds: Option<u64>,
    pub read_receipts_enabled: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChannelDelete {
    pub channel_id: ChannelId,
}

pub(in crate::domain) fn channel_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ChannelCreate,
) -> Result<ChannelId> {
    let read = machine.read();
    machine.asking(actor).server(op.server_id)?.require(CHANNELS_MANAGE)?;
    if let Some(category_id) = op.category_id {
        let is_category = |channel: &ArchivedChannel| {
            channel.kind == channel_kind::CATEGORY && channel.server() == Some(op.server_id)
        };
        if op.kind == channel_kind::CATEGORY {
            return Err(Error::invalid("category_id", "a category cannot stand in a category"));
        }
        if !read.get(CHANNELS, category_id).is_some_and(is_category) {
            return Err(Error::invalid("category_id", "must be a category of this server"));
        }
    }
    let order = order(read, op.server_id);
    if order.len() >= COUNT_MAX {
        let text = format!("A server can have at most {COUNT_MAX} channels: delete one first");
        return Err(Error::bad_request(text));
    }
    let channel_id = ChannelId(machine.next_id());
    let channel = Channel {
        server_id: op.server_id,
        kind: op.kind,
        name: op.name.clone(),
        topic: op.topic.clone(),
        position: order.last().map_or(0, |(position, _)| position + 1),
        category_id: op.category_id,
        nsfw: op.nsfw,
        slowmode_seconds: op.slowmode_seconds,
        read_receipts_enabled: op.read_receipts_enabled,
        created_at: machine.unix_ms,
        participants: Vec::new(),
    };
    machine.tx.put(CHANNELS, channel_id, &channel);
    machine.tx.put(SERVER_CHANNELS, (op.server_id, channel_id), &Nil {});
    emit(machine, EventName::ChannelCreate, op.server_id, channel_id);
    let target = Target::channel(channel_id, &op.name);
    audit::record(machine, op.server_id, actor, Action::ChannelCreate, target, None, None);
    Ok(channel_id)
}

/// A server channel that the actor may change.
///
/// # Errors
/// 404 unknown; 403 not his to view, a direct message or notes, without `channels.manage`.
pub fn manageable(asking: Asking<'_>, channel_id: ChannelId) -> Result<(ServerId, Access<'_>)> {
    let access = asking.channel(channel_id)?;
    let private = || Error::forbidden("Direct messages and notes cannot be changed or deleted");
    let server_id = access.channel.server().ok_or_else(private)?;
    access.require(CHANNELS_MANAGE)?;
    Ok((server_id, access))
}

pub(in crate::domain) fn channel_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ChannelEdit,
) -> Result<bool> {
    let (server_id, access) = manageable(machine.asking(actor), op.channel_id)?;
    let old = Channel::from(access.channel);
    let mut order = order(machine.read(), server_id);
    let mut new = old.clone();
    new.name = op.name.clone().unwrap_or(new.name);
    new.topic = op.topic.clone().or(new.topic);
    new.nsfw = op.nsfw.unwrap_or(new.nsfw);
    new.slowmode_seconds = op.slowmode_seconds.unwrap_or(new.slowmode_seconds);
    new.read_receipts_enabled = op.read_receipts_enabled.unwrap_or(new.read_receipts_enabled);
    if let Some(position) = op.position.filter(|&position| position != old.position) {
        new.position = ordering::place(&mut order, op.channel_id, position) as u64;
    }
    let mut changes = Changes::default();
    changes.text("name", Some(&old.name), Some(&new.name));
    changes.text("topic", old.topic.as_deref(), new.topic.as_deref());
    changes.u64("position", old.position, new.position);
    changes.bool("nsfw", old.nsfw, new.nsfw);
    changes.u64("slowmode_seconds", old.slowmode_seconds, new.slowmode_seconds);
    changes.bool("read_receipts_enabled", old.read_receipts_enabled, new.read_receipts_enabled);
    if changes.is_empty() {
        return Ok(false);
    }
    machine.tx.put(CHANNELS, op.channel_id, &new);
    let mut changed = vec![op.channel_id];
    if new.position != old.position {
        let moved = arrange(machine, &order).into_iter().map(|(_, id)| id);
        changed.extend(moved.filter(|id| *id != op.channel_id));
    }
    tell(machine, server_id, changed.into_iter());
    let target = Target::channel(op.channel_id, &new.name);
    audit::record(machine, server_id, actor, Action::ChannelUpdate, target, changes.finish(), None);
    Ok(true)
}

pub(in crate::domain) fn channel_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ChannelDelete,
) -> Result<()> {
    let channel_id = op.channel_id;
    let (server_id, access) = manageable(machine.asking(actor), channel_id)?;
    let (name, kind) = (access.channel.name.to_string(), access.channel.kind);
    remove_record(machine, server_id, channel_id);
    let payload = payload(|object| {
        object.id("id", channel_id.0).id("server_id", server_id.0);
    });
    machine.emit(Event::new(
        EventName::ChannelDelete,
        intent::GUILDS,
        viewers(server_id, channel_id),
        payload,
    ));
    invite::remove_of_channel(machine, server_id, channel_id);
    let order = order(machine.read(), server_id);
    let mut changed = arrange(machine, &order);
    if kind == channel_kind::CATEGORY {
        changed.extend(empty(machine, &order, channel_id));
    }
    changed.sort_unstable();
    changed.dedup();
    tell(machine, server_id, changed.into_iter().map(|(_, id)| id));
    let stored = machine.read().get(SERVERS, server_id).expect("the actor has a standing in it");
    let mut server = Server::from(stored);
    if server.default_channel_id == Some(channel_id) {
        server.default_channel_id = None;
        machine.tx.put(SERVERS, server_id, &server);
        server::emit_update(machine, server_id);
    }
    let target = Target::channel(channel_id, &name);
    audit::record(machine, server_id, actor, Action::ChannelDelete, target, None, None);
    Ok(())
}

/// Removes the channel and its webhooks, which can be found without it; what was written in it goes later.
pub(in crate::domain) fn remove_record(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    channel_id: ChannelId,
) {
    machine.tx.remove_prefix(CHANNEL_WEBHOOKS, channel_id, WEBHOOK_COUNT_MAX);
    machine.tx.remove(SERVER_CHANNELS, (server_id, channel_id));
}

/// Numbers the channels 0..n in this order; returns place and id of those that moved.
pub(super) fn arrange(machine: &mut Machine<'_, '_>, order: &[(u64, ChannelId)]) -> Order<ChannelId> {
    let moved: Vec<_> = ordering::renumbered(order, 0).collect();
    for &(position, channel_id) in &moved {
        let stored = machine.read().get(CHANNELS, channel_id).expect("the order names stored channels");
        let channel = Channel { position, ..Channel::from(stored) };
        machine.tx.put(CHANNELS, channel_id, &channel);
    }
    moved
}

/// Takes the channels out of a category that is gone; returns place and id of those that were in it.
fn empty(
    machine: &mut Machine<'_, '_>,
    order: &[(u64, ChannelId)],
    category_id: ChannelId,
) -> Order<ChannelId> {
    let mut left = Vec::new();
    for (position, &(_, channel_id)) in (0..).zip(order) {
        let stored = machine.read().get(CHANNELS, channel_id).expect("the order names stored channels");
        if stored.category_id.as_ref().map(ChannelId::from) == Some(category_id) {
            let channel = Channel { category_id: None, ..Channel::from(stored) };
            machine.tx.put(CHANNELS, channel_id, &channel);
            left.push((position, channel_id));
        }
    }
    left
}

/// Overrides of a channel: kind, id, allowed, denied.
type Overrides = Vec<(u8, u64, u64, u64)>;

fn overrides(read: Read<'_>, channel_id: ChannelId) -> Overrides {
    let rows = read.scan(OVERRIDES, channel_id);
    rows.map(|((_, kind, id), bits)| (kind, id, bits.allow.to_native(), bits.deny.to_native())).collect()
}

/// Makes changed channels known: one CHANNEL_UPDATE each, or where there are many, one for all that have the same
/// overrides, so the same viewers. That one shows the first of them and adds `channels`, what is new of each.
///
/// Of channels with more kinds of overrides than [`ordering::EVENTS_MAX`], those of the rarest are not told of: who
/// views them sees their new places in the next list.
pub(super) fn tell(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    changed: impl ExactSizeIterator<Item = ChannelId>,
) {
    if changed.len() <= ordering::EVENTS_MAX {
        changed.for_each(|id| emit(machine, EventName::ChannelUpdate, server_id, id));
        return;
    }
    let mut groups: BTreeMap<Overrides, Vec<ChannelId>> = BTreeMap::new();
    for id in changed {
        groups.entry(overrides(machine.read(), id)).or_default().push(id);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    for group in groups.iter().take(ordering::EVENTS_MAX) {
        emit_together(machine, server_id, group);
    }
}

/// One event for channels with the same viewers.
fn emit_together(machine: &mut Machine<'_, '_>, server_id: ServerId, group: &[ChannelId]) {
    let [first, others @ ..] = group else { return };
    if others.is_empty() {
        return emit(machine, EventName::ChannelUpdate, server_id, *first);
    }
    let (read, mut payload) = (machine.read(), Vec::new());
    let channel = |id| read.get(CHANNELS, id).expect("the channel was just written");
    {
        let mut object = Object::new(&mut payload);
        ChannelResponse::write_fields(&mut object, read, *first, channel(*first), UserId(0));
        let mut list = object.array("channels");
        for &id in group {
            let category_id = channel(id).category_id.as_ref().map(|id| ChannelId::from(id).0);
            let mut item = list.object();
            item.id("id", id.0).u64("position", channel(id).position.to_native());
            item.opt_id("category_id", category_id);
        }
    }
    machine.emit(Event::new(EventName::ChannelUpdate, intent::GUILDS, viewers(server_id, *first), payload));
}

fn viewers(server_id: ServerId, channel_id: ChannelId) -> Audience {
    Audience::Channel { server_id, channel_id, all_of: CHANNELS_VIEW }
}

fn emit(machine: &mut Machine<'_, '_>, event: EventName, server_id: ServerId, channel_id: ChannelId) {
    let mut payload = Vec::new();
    let channel = machine.read().get(CHANNELS, channel_id).expect("the channel was just written");
    ChannelResponse::write(&mut payload, machine.read(), channel_id, channel, UserId(0));
    machine.emit(Event::new(event, intent::GUILDS, viewers(server_id, channel_id), payload));
}

/// The channels of a server, oldest first.
pub fn ids(read: Read<'_>, server_id: ServerId) -> Vec<ChannelId> {
    read.scan(SERVER_CHANNELS, server_id).take(COUNT_MAX).map(|((_, channel_id), _)| channel_id).collect()
}

/// Whether it is a text channel of this server.
pub fn is_text_of(channel: &ArchivedChannel, server_id: ServerId) -> bool {
    channel.kind == channel_kind::TEXT && channel.server() == Some(server_id)
}

/// Position and id of every channel, first one first.
pub(super) fn order(read: Read<'_>, server_id: ServerId) -> Order<ChannelId> {
    let ids = ids(read, server_id).into_iter();
    let position = |id| read.get(CHANNELS, id).map(|channel| (channel.position.to_native(), id));
    let mut order: Vec<_> = ids.filter_map(position).collect();
    order.sort_unstable();
    order
}

/// The channels a member may view, in their order.
pub fn visible<'a>(standing: &Standing<'a>) -> impl Iterator<Item = (ChannelId, &'a ArchivedChannel)> {
    let read = standing.asking.read;
    let views = move |id| standing.permissions_in(id) & CHANNELS_VIEW != 0;
    order(read, standing.server_id)
        .into_iter()
        .filter_map(move |(_, id)| read.get(CHANNELS, id).filter(|_| views(id)).map(|channel| (id, channel)))
}

/// The channels a member may view as a JSON list.
pub fn write_list(out: &mut Vec<u8>, standing: &Standing<'_>) {
    let Asking { read, who, .. } = standing.asking;
    let mut list = Array::new(out);
    for (channel_id, channel) in visible(standing) {
        ChannelResponse::write(list.item(), read, channel_id, channel, who);
    }
}

/// The other one of a direct message.
fn recipient_id(channel: &ArchivedChannel, viewer: UserId) -> Option<UserId> {
    channel.participant_ids().find(|&id| channel.kind == channel_kind::DM && id != viewer)
}

fn shown_name<'a>(read: Read<'a>, channel: &'a ArchivedChannel, viewer: UserId) -> &'a str {
    match (channel.name.as_str(), recipient_id(channel, viewer)) {
        ("", Some(recipient_id)) => username(read, recipient_id),
        ("", None) if channel.kind == channel_kind::GROUP => "Group",
        ("", None) => channel_kind::text(channel.kind),
        (name, _) => name,
    }
}

shape! {
    /// A channel of any kind. Direct messages, groups and notes have server_id "0"; `viewer` decides who is the recipient of a
    /// direct message.
    pub ChannelResponse(read: Read<'_>, channel_id: ChannelId, channel: &ArchivedChannel, viewer: UserId) {
        id: id = channel_id.0,
        server_id: id = ServerId::from(&channel.server_id).0,
        name: str = shown_name(read, channel, viewer),
        channel_type: (Slot::word(channel_kind::WORDS)) = channel_kind::text(channel.kind),
        topic: opt_str = channel.topic.as_deref(),
        position: u64 = channel.position.to_native(),
        category_id: opt_id = channel.category_id.as_ref().map(|id| ChannelId::from(id).0),
        nsfw: bool = channel.nsfw,
        slowmode_seconds: u64 = channel.slowmode_seconds.to_native(),
        read_receipts_enabled: bool = channel.read_receipts_enabled,
        created_at: time = channel.created_at.to_native(),
        recipient_id: opt_id = recipient_id(channel, viewer).map(|id| id.0),
        recipient: (Slot::of(Kind::OrNull(&Kind::Object(UserPublicResponse::SHAPE)))) =
            user_or_null(read, recipient_id(channel, viewer)),
    }
}
