//! Stickers of servers, in one pack each.
//!
//! Invariants: a server has its pack from its first sticker on. A deleted sticker keeps its picture as an emoji does.
//! A message counts once for each sticker that it was sent with.

use rkyv::{Archive, Deserialize, Serialize};

use super::emoji::managing;
use crate::domain::asking::Asking;
use crate::domain::blob;
use crate::domain::community::audit::{self, Action, Target};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::MESSAGES_READ;
use crate::domain::view::{Shown, media_url};
use crate::id::{ChannelId, MessageId, ServerId, StickerId, UserId};
use crate::limits::{
    CHANNEL_COUNT_MAX, DELETED_COUNT_MAX, STICKER_COUNT_MAX, STICKER_STORED_COUNT_MAX,
    STICKERS_OF_MESSAGE_MAX,
};
use crate::store::Read;
use crate::store::records::{ArchivedSticker, Meta, Nil, Picture, Sticker, picture};
use crate::store::tables::{
    AUTHOR_MESSAGES, MESSAGES, SERVER_CHANNELS, STICKER_PACKS, STICKER_SERVERS, STICKER_USES, STICKERS,
};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// What the pack of a server is called, and of what kind it is.
const PACK_NAME: &str = "Server Stickers";
const PACK_TYPE: &str = "server";

/// Makes a sticker. Its file is there already.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct StickerCreate {
    pub server_id: ServerId,
    /// As they are stored.
    pub name: String,
    pub tags: Vec<String>,
    pub picture: Picture,
    /// Pixels of the picture.
    pub width: u32,
    pub height: u32,
    /// Stickers that the server may have.
    pub count_max: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct StickerDelete {
    pub sticker_id: StickerId,
}

/// Counts a use.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct StickerSend {
    pub sticker_id: StickerId,
    pub channel_id: ChannelId,
    pub message_id: MessageId,
}

// ------------------------------------------------------------------------------------------- checks

/// A sticker and its server, though it may have been deleted.
fn stored(read: Read<'_>, sticker_id: StickerId) -> Option<(ServerId, &ArchivedSticker)> {
    let server_id = ServerId::from(&read.get(STICKER_SERVERS, sticker_id)?.id);
    Some((server_id, read.get(STICKERS, (server_id, sticker_id))?))
}

/// The same when it can be used.
pub fn find(read: Read<'_>, sticker_id: StickerId) -> Option<(ServerId, &ArchivedSticker)> {
    stored(read, sticker_id).filter(|(_, sticker)| !sticker.deleted)
}

/// The stickers of a server, oldest first.
pub fn all(read: Read<'_>, server_id: ServerId) -> impl Iterator<Item = (StickerId, &ArchivedSticker)> {
    let stored = read.scan(STICKERS, server_id).take(STICKER_STORED_COUNT_MAX);
    stored.filter(|(_, sticker)| !sticker.deleted).map(|((_, id), sticker)| (id, sticker))
}

/// A sticker that the asking user may delete, with its server.
///
/// # Errors
/// 404 sticker; 403 not a member of its server, without permission.
pub fn manageable(asking: Asking<'_>, sticker_id: StickerId) -> Result<(ServerId, &ArchivedSticker)> {
    let (server_id, sticker) = find(asking.read, sticker_id).ok_or(Refusal::StickerNotFound)?;
    managing(asking, server_id)?;
    Ok((server_id, sticker))
}

/// Where a message is that the asking user may have sent with a sticker of that server: one of his own, wherever, or
/// one that he may read there.
pub fn place_of(asking: Asking<'_>, server_id: ServerId, message_id: MessageId) -> Option<ChannelId> {
    let read = asking.read;
    if let Some(channel) = read.get(AUTHOR_MESSAGES, (asking.who, message_id)) {
        return Some(ChannelId::from(&channel.id));
    }
    let channels = read.scan(SERVER_CHANNELS, server_id).take(CHANNEL_COUNT_MAX).map(|((_, id), _)| id);
    let mut places = channels.filter(|channel_id| read.contains(MESSAGES, (*channel_id, message_id)));
    places.next().filter(|channel_id| may_read(asking, *channel_id))
}

fn may_read(asking: Asking<'_>, channel_id: ChannelId) -> bool {
    asking.channel(channel_id).is_ok_and(|access| access.has(MESSAGES_READ))
}

// -------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn sticker_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &StickerCreate,
) -> Result<StickerId> {
    managing(machine.asking(actor), op.server_id)?;
    let count_max = usize::try_from(op.count_max).unwrap_or(usize::MAX).min(STICKER_COUNT_MAX);
    if all(machine.read(), op.server_id).count() >= count_max {
        let full = format!("This server can have at most {count_max} stickers: delete one first");
        return Err(Error::bad_request(full));
    }
    if !machine.read().contains(STICKER_PACKS, op.server_id) {
        let pack_id = machine.next_id();
        machine.tx.put(STICKER_PACKS, op.server_id, &Meta { value: pack_id });
    }
    let sticker_id = StickerId(machine.next_id());
    let sticker = Sticker {
        name: op.name.clone(),
        tags: op.tags.clone(),
        picture: op.picture.clone(),
        width: op.width,
        height: op.height,
        created_by: actor,
        created_at: machine.unix_ms,
        uses: 0,
        deleted: false,
    };
    blob::hold(machine, &sticker.picture.hash);
    machine.tx.put(STICKERS, (op.server_id, sticker_id), &sticker);
    machine.tx.put(STICKER_SERVERS, sticker_id, &op.server_id.into());
    let target = Target::sticker(sticker_id, &sticker.name);
    audit::record(machine, op.server_id, actor, Action::StickerCreate, target, None, None);
    emit(machine, op.server_id);
    Ok(sticker_id)
}

pub(in crate::domain) fn sticker_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &StickerDelete,
) -> Result<()> {
    let (server_id, sticker) = manageable(machine.asking(actor), op.sticker_id)?;
    let sticker = Sticker { deleted: true, ..Sticker::from(sticker) };
    machine.tx.put(STICKERS, (server_id, op.sticker_id), &sticker);
    forget_oldest(machine, server_id);
    let target = Target::sticker(op.sticker_id, &sticker.name);
    audit::record(machine, server_id, actor, Action::StickerDelete, target, None, None);
    emit(machine, server_id);
    Ok(())
}

/// False when there is no such sticker or message.
pub(in crate::domain) fn sticker_send(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &StickerSend,
) -> Result<bool> {
    let asking = machine.asking(actor);
    let Some((server_id, sticker)) = find(asking.read, op.sticker_id) else { return Ok(false) };
    asking.server(server_id)?;
    let is_there = asking.read.contains(MESSAGES, (op.channel_id, op.message_id));
    if !is_there || !may_read(asking, op.channel_id) {
        return Ok(false);
    }
    let key = (op.message_id, op.sticker_id);
    if asking.read.contains(STICKER_USES, key) {
        return Ok(true);
    }
    if asking.read.scan(STICKER_USES, op.message_id).count() >= STICKERS_OF_MESSAGE_MAX {
        let full = format!("A message is sent with at most {STICKERS_OF_MESSAGE_MAX} stickers");
        return Err(Error::bad_request(full));
    }
    let mut sticker = Sticker::from(sticker);
    sticker.uses += 1;
    machine.tx.put(STICKERS, (server_id, op.sticker_id), &sticker);
    machine.tx.put(STICKER_USES, key, &Nil {});
    Ok(true)
}

/// Removes the oldest of too many that were deleted.
fn forget_oldest(machine: &mut Machine<'_, '_>, server_id: ServerId) {
    let stored = machine.read().scan(STICKERS, server_id).filter(|(_, sticker)| sticker.deleted);
    let deleted: Vec<_> = stored.map(|(key, _)| key).collect();
    for key in &deleted[..deleted.len().saturating_sub(DELETED_COUNT_MAX)] {
        machine.tx.remove(STICKERS, *key);
    }
}

/// Tells the members which stickers the server has.
fn emit(machine: &mut Machine<'_, '_>, server_id: ServerId) {
    let read = machine.read();
    let payload = payload(|object| {
        object.id("guild_id", server_id.0);
        write_packs(object.key("sticker_packs"), read, server_id);
    });
    let audience = Audience::members(server_id);
    machine.emit(Event::new(EventName::GuildStickersUpdate, intent::GUILD_EMOJIS, audience, payload));
}

// ------------------------------------------------------------------------------------------ queries

/// The last part of the media type of its picture.
fn format_of(sticker: &ArchivedSticker) -> &'static str {
    picture::text(sticker.picture.format).rsplit('/').next().unwrap_or_default()
}

fn tags(sticker: &ArchivedSticker) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        let mut list = Array::new(out);
        sticker.tags.iter().for_each(|tag| list.str(tag));
    }
}

shape! {
    /// A sticker.
    pub StickerResponse(read: Read<'_>, server_id: ServerId, id: StickerId, sticker: &ArchivedSticker) {
        id: id = id.0,
        pack_id: opt_id = pack_of(read, server_id),
        name: str = &sticker.name,
        format: str = format_of(sticker),
        tags: (Slot::list(&Kind::Text)) = tags(sticker),
        related_emoji: opt_str = None,
        /// Where anybody can see it.
        url: (Slot::str) = media_url(Shown::Sticker(id)),
        width: opt_u64 = Some(sticker.width.to_native().into()),
        height: opt_u64 = Some(sticker.height.to_native().into()),
        available: bool = !sticker.deleted,
    }
}

shape! {
    /// The stickers of a server.
    pub StickerPackResponse(read: Read<'_>, server_id: ServerId, pack_id: u64) {
        id: opt_id = Some(pack_id),
        name: str = PACK_NAME,
        description: opt_str = None,
        pack_type: str = PACK_TYPE,
        server_id: opt_id = Some(server_id.0),
        sticker_count: u64 = all(read, server_id).count() as u64,
        stickers: (Slot::list(&Kind::Object(StickerResponse::SHAPE))) = |out: &mut Vec<u8>| write_list(out, read, server_id),
    }
}

fn pack_of(read: Read<'_>, server_id: ServerId) -> Option<u64> {
    read.get(STICKER_PACKS, server_id).map(|meta| meta.value.to_native())
}

fn write_list(out: &mut Vec<u8>, read: Read<'_>, server_id: ServerId) {
    let mut list = Array::new(out);
    for (id, sticker) in all(read, server_id) {
        StickerResponse::write(list.item(), read, server_id, id, sticker);
    }
}

/// The packs of a server as a JSON list: one, or none before its first sticker.
pub fn write_packs(out: &mut Vec<u8>, read: Read<'_>, server_id: ServerId) {
    let mut list = Array::new(out);
    if let Some(pack_id) = pack_of(read, server_id) {
        StickerPackResponse::write(list.item(), read, server_id, pack_id);
    }
}

/// The picture of a sticker, though it may have been deleted.
///
/// # Errors
/// 404 when there is none of that id.
pub fn picture(read: Read<'_>, sticker_id: StickerId) -> Result<Picture> {
    let (_, sticker) = stored(read, sticker_id).ok_or(Refusal::StickerNotFound)?;
    Ok(Picture::from(&sticker.picture))
}
