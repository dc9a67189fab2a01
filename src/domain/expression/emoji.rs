//! Emojis of servers.
//!
//! Invariants: those of a server that are not deleted have different names, and of either kind there are no more than
//! their command allowed. A deleted one keeps its picture, so that what was said with it stays readable; the oldest go
//! when there are too many. Each names one blob.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::asking::Asking;
use crate::domain::blob;
use crate::domain::community::audit::{self, Action, Changes, Target};
use crate::domain::custom_emoji;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::{EMOJIS_MANAGE, SERVER_MANAGE, Standing};
use crate::domain::view::{self, Shown, media_url};
use crate::id::{EmojiId, ServerId, UserId};
use crate::limits::{DELETED_COUNT_MAX, EMOJI_COUNT_MAX, EMOJI_STORED_COUNT_MAX};
use crate::store::Read;
use crate::store::records::{ArchivedEmoji, Emoji, Picture};
use crate::store::tables::{EMOJI_SERVERS, EMOJIS};
use crate::wire::json::Array;
use crate::wire::json::shape::{Slot, shape};

/// Makes an emoji. Its file is there already.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct EmojiCreate {
    pub server_id: ServerId,
    /// As it is stored.
    pub name: String,
    pub picture: Picture,
    /// Emojis of its kind that the server may have.
    pub count_max: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct EmojiRename {
    pub server_id: ServerId,
    pub emoji_id: EmojiId,
    /// As it is stored.
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct EmojiDelete {
    pub server_id: ServerId,
    pub emoji_id: EmojiId,
}

// ------------------------------------------------------------------------------------------- checks

/// A server whose emojis and stickers the asking user may change.
///
/// # Errors
/// 404 server; 403 not a member, without permission.
pub fn managing(asking: Asking<'_>, server_id: ServerId) -> Result<Standing<'_>> {
    let standing = asking.server(server_id)?;
    standing.require_any(&[EMOJIS_MANAGE, SERVER_MANAGE])?;
    Ok(standing)
}

/// An emoji of a server.
///
/// # Errors
/// 404 when it has none of that id, or no longer.
pub fn find(read: Read<'_>, server_id: ServerId, emoji_id: EmojiId) -> Result<&ArchivedEmoji> {
    let emoji = read.get(EMOJIS, (server_id, emoji_id)).filter(|emoji| !emoji.deleted);
    emoji.ok_or_else(|| Refusal::EmojiNotFound.into())
}

/// The emojis of a server, oldest first.
pub fn all(read: Read<'_>, server_id: ServerId) -> impl Iterator<Item = (EmojiId, &ArchivedEmoji)> {
    let stored = read.scan(EMOJIS, server_id).take(EMOJI_STORED_COUNT_MAX);
    stored.filter(|(_, emoji)| !emoji.deleted).map(|((_, id), emoji)| (id, emoji))
}

/// # Errors
/// 409 when another emoji of the server has the name.
pub fn require_free(read: Read<'_>, server_id: ServerId, name: &str, but: Option<EmojiId>) -> Result<()> {
    let is_taken = all(read, server_id).any(|(id, emoji)| emoji.name == name && Some(id) != but);
    if is_taken { Err(Refusal::EmojiNameTaken.into()) } else { Ok(()) }
}

/// How many a server has that stand still, and that move.
pub fn counts(read: Read<'_>, server_id: ServerId) -> [u64; 2] {
    all(read, server_id).fold([0; 2], |mut counts, (_, emoji)| {
        counts[usize::from(emoji.picture.animated)] += 1;
        counts
    })
}

// -------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn emoji_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &EmojiCreate,
) -> Result<EmojiId> {
    managing(machine.asking(actor), op.server_id)?;
    require_free(machine.read(), op.server_id, &op.name, None)?;
    let count_max = op.count_max.min(EMOJI_COUNT_MAX as u64);
    if counts(machine.read(), op.server_id)[usize::from(op.picture.animated)] >= count_max {
        let kind = if op.picture.animated { "animated" } else { "static" };
        let full = format!("This server can have at most {count_max} {kind} emojis: delete one first");
        return Err(Error::bad_request(full));
    }
    let emoji_id = EmojiId(machine.next_id());
    let emoji = Emoji {
        name: op.name.clone(),
        picture: op.picture.clone(),
        created_by: actor,
        created_at: machine.unix_ms,
        deleted: false,
    };
    blob::hold(machine, &emoji.picture.hash);
    machine.tx.put(EMOJIS, (op.server_id, emoji_id), &emoji);
    machine.tx.put(EMOJI_SERVERS, emoji_id, &op.server_id.into());
    let target = Target::emoji(emoji_id, &emoji.name);
    audit::record(machine, op.server_id, actor, Action::EmojiCreate, target, None, None);
    emit(machine, op.server_id);
    Ok(emoji_id)
}

/// False when it is called that already.
pub(in crate::domain) fn emoji_rename(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &EmojiRename,
) -> Result<bool> {
    managing(machine.asking(actor), op.server_id)?;
    let old = Emoji::from(find(machine.read(), op.server_id, op.emoji_id)?);
    if old.name == op.name {
        return Ok(false);
    }
    require_free(machine.read(), op.server_id, &op.name, Some(op.emoji_id))?;
    let mut changes = Changes::default();
    changes.text("name", Some(&old.name), Some(&op.name));
    machine.tx.put(EMOJIS, (op.server_id, op.emoji_id), &Emoji { name: op.name.clone(), ..old });
    let target = Target::emoji(op.emoji_id, &op.name);
    audit::record(machine, op.server_id, actor, Action::EmojiUpdate, target, changes.finish(), None);
    emit(machine, op.server_id);
    Ok(true)
}

pub(in crate::domain) fn emoji_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &EmojiDelete,
) -> Result<()> {
    managing(machine.asking(actor), op.server_id)?;
    let emoji = Emoji::from(find(machine.read(), op.server_id, op.emoji_id)?);
    let emoji = Emoji { deleted: true, ..emoji };
    machine.tx.put(EMOJIS, (op.server_id, op.emoji_id), &emoji);
    forget_oldest(machine, op.server_id);
    let target = Target::emoji(op.emoji_id, &emoji.name);
    audit::record(machine, op.server_id, actor, Action::EmojiDelete, target, None, None);
    emit(machine, op.server_id);
    Ok(())
}

/// Removes the oldest of too many that were deleted.
fn forget_oldest(machine: &mut Machine<'_, '_>, server_id: ServerId) {
    let stored = machine.read().scan(EMOJIS, server_id).filter(|(_, emoji)| emoji.deleted);
    let deleted: Vec<_> = stored.map(|(key, _)| key).collect();
    for key in &deleted[..deleted.len().saturating_sub(DELETED_COUNT_MAX)] {
        machine.tx.remove(EMOJIS, *key);
    }
}

/// Tells the members which emojis the server has.
fn emit(machine: &mut Machine<'_, '_>, server_id: ServerId) {
    let read = machine.read();
    let payload = payload(|object| {
        object.id("guild_id", server_id.0).id("server_id", server_id.0);
        write_list(object.key("emojis"), read, server_id);
    });
    let audience = Audience::members(server_id);
    machine.emit(Event::new(EventName::GuildEmojisUpdate, intent::GUILD_EMOJIS, audience, payload));
}

// ------------------------------------------------------------------------------------------ queries

shape! {
    /// An emoji of a server.
    pub EmojiResponse(read: Read<'_>, server_id: ServerId, id: EmojiId, emoji: &ArchivedEmoji) {
        id: id = id.0,
        server_id: id = server_id.0,
        name: str = &emoji.name,
        /// Whether its picture moves.
        animated: bool = emoji.picture.animated,
        /// Where anybody can see it.
        url: (Slot::str) = media_url(Shown::Emoji(id)),
        available: bool = !emoji.deleted,
        created_by: opt_id = Some(UserId::from(&emoji.created_by).0),
        uploader_username: opt_str = Some(view::username(read, UserId::from(&emoji.created_by))),
        created_at: time = emoji.created_at.to_native(),
    }
}

shape! {
    /// How many emojis a server has and may have; the tier of its owner is in that.
    pub EmojiCountsResponse(counts: [u64; 2], maxima: [u64; 2]) {
        r#static: u64 = counts[0],
        animated: u64 = counts[1],
        max_static: u64 = maxima[0],
        max_animated: u64 = maxima[1],
    }
}

/// The emojis of a server as a JSON list, oldest first.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, server_id: ServerId) {
    let mut list = Array::new(out);
    for (id, emoji) in all(read, server_id) {
        EmojiResponse::write(list.item(), read, server_id, id, emoji);
    }
}

/// The picture of an emoji, though it may have been deleted.
///
/// # Errors
/// 404 when there is none of that id.
pub fn picture(read: Read<'_>, emoji_id: EmojiId) -> Result<Picture> {
    let (_, emoji) = custom_emoji::find(read, emoji_id).ok_or(Refusal::EmojiNotFound)?;
    Ok(Picture::from(&emoji.picture))
}
