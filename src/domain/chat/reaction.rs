//! Reactions: who answered a message with which emoji.
//!
//! Invariant: an entry of a set has as many `REACTIONS` and `REACTION_ORDER` rows as its count says, and at least
//! one. Once no row is left of an entry that is gone, a later entry may take its index. `REACTION_PLACES` says where
//! those stood who took theirs back, as long as the entry is there: a page goes on after them.

use rkyv::{Archive, Deserialize, Serialize};

use super::message::{Scope, find, message_access};
use super::writing::Writing;
use crate::domain::asking::Asking;
use crate::domain::custom_emoji;
use crate::domain::error::{Error, Result};
use crate::domain::event::{EventName, intent};
use crate::domain::machine::Machine;
use crate::domain::permission::Access;
use crate::domain::view::{Shown, write_media_url};
use crate::id::{ChannelId, MessageId, UserId};
use crate::limits::REACTION_KIND_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedMessage, Message, Meta, Nil, Reaction, ReactionEntry, ReactionSet};
use crate::store::tables::{MESSAGES, REACTION_ORDER, REACTION_PLACES, REACTION_SETS, REACTIONS};
use crate::wire::json::shape::{Field, Shape, Slot, shape};
use crate::wire::json::{Array, Object, write_id, write_str, write_u64};

/// Different emojis on one message, whatever the tier says: the set is read with every page.
pub const KINDS_MAX: u64 = REACTION_KIND_COUNT_MAX as u64;

/// Former places that go with an emoji's last reaction.
const CLEARED_MAX: usize = 1_000;

/// Puts an emoji on a message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ReactionAdd {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    /// In its one spelling: the rule is `text::emoji::normalise`; [`custom_emoji::spelled`] that of a server.
    pub emoji: String,
    /// Different emojis that the message may have.
    pub kinds_max: u64,
}

/// Takes one's own emoji from a message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ReactionRemove {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    /// In its one spelling: the rule is `text::emoji::normalise`.
    pub emoji: String,
}

/// Whether two spellings are one emoji: the same but for variation selectors. What is stored may have been spelled
/// by other tables than those of today.
pub(super) fn same(stored: &str, emoji: &str) -> bool {
    fn bare(text: &str) -> impl Iterator<Item = char> {
        text.chars().filter(|c| !matches!(c, '\u{fe0e}' | '\u{fe0f}'))
    }
    stored == emoji || (!stored.is_ascii() && bare(stored).eq(bare(emoji)))
}

/// A user's access to a message he wants to react to.
///
/// # Errors
/// 404 and 403 of [`message_access`], as [`Writing::Reaction`].
pub fn adding_access(
    asking: Asking<'_>,
    channel_id: ChannelId,
    message_id: MessageId,
) -> Result<(Access<'_>, &ArchivedMessage)> {
    let (access, message) = message_access(asking, channel_id, message_id)?;
    Writing::Reaction.require(&access)?;
    Ok((access, message))
}

pub(in crate::domain) fn reaction_add(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ReactionAdd,
) -> Result<bool> {
    let (read, now) = (machine.read(), machine.unix_ms);
    let (access, message) = adding_access(machine.asking(actor), op.channel_id, op.message_id)?;
    let mut set = read.get(REACTION_SETS, op.message_id).map(ReactionSet::from).unwrap_or_default();
    let position = set.entries.iter().position(|entry| same(&entry.emoji, &op.emoji));
    let index = match position {
        Some(position) => set.entries[position].index,
        None => free_index(&set, |index| read.scan(REACTIONS, (op.message_id, index)).next().is_none()),
    };
    if position.is_some() && read.contains(REACTIONS, (op.message_id, index, actor)) {
        return Ok(false);
    }
    if let Some(emoji_id) = custom_emoji::named(&op.emoji) {
        custom_emoji::require_usable(&access, emoji_id, position.is_some())?;
    }
    if position.is_none() && set.entries.len() as u64 >= op.kinds_max.min(KINDS_MAX) {
        let limit = op.kinds_max.min(KINDS_MAX);
        return Err(Error::bad_request(format!("A message can have at most {limit} different reactions")));
    }
    let scope = Scope::of(op.channel_id, access.channel);
    let first = (!message.reacted).then(|| Message { reacted: true, ..Message::from(message) });

    match position {
        Some(position) => {
            let entry = &mut set.entries[position];
            entry.count += 1;
            // The spelling of the event, should the stored one be older.
            entry.emoji.clone_from(&op.emoji);
        }
        None => set.entries.push(ReactionEntry { emoji: op.emoji.clone(), index, count: 1 }),
    }
    let order = machine.next_id();
    machine.tx.put(REACTION_SETS, op.message_id, &set);
    machine.tx.put(REACTIONS, (op.message_id, index, actor), &Reaction { at: now, order });
    machine.tx.put(REACTION_ORDER, (op.message_id, index, order, actor), &Nil {});
    machine.tx.delete(REACTION_PLACES, (op.message_id, index, actor));
    if let Some(message) = first {
        machine.tx.put(MESSAGES, (op.channel_id, op.message_id), &message);
    }
    emit(machine, EventName::MessageReactionAdd, &scope, actor, op.message_id, &op.emoji);
    Ok(true)
}

pub(in crate::domain) fn reaction_remove(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ReactionRemove,
) -> Result<bool> {
    let read = machine.read();
    let access = machine.asking(actor).channel(op.channel_id)?;
    Writing::Withdrawal.require(&access)?;
    let message = find(read, op.channel_id, op.message_id)?;
    let Some(mut set) = read.get(REACTION_SETS, op.message_id).map(ReactionSet::from) else {
        return Ok(false);
    };
    let Some(position) = set.entries.iter().position(|entry| same(&entry.emoji, &op.emoji)) else {
        return Ok(false);
    };
    let index = set.entries[position].index;
    let Some(reaction) = read.get(REACTIONS, (op.message_id, index, actor)) else {
        return Ok(false);
    };
    let order = reaction.order.to_native();
    let scope = Scope::heard_of(&access);
    assert!(set.entries[position].count > 0, "an entry counts its rows, of which one is here");
    set.entries[position].count -= 1;
    set.entries[position].emoji.clone_from(&op.emoji);
    let entry_ends = set.entries[position].count == 0;
    if entry_ends {
        set.entries.remove(position);
    }
    let last = set.entries.is_empty().then(|| Message { reacted: false, ..Message::from(message) });

    machine.tx.delete(REACTIONS, (op.message_id, index, actor));
    machine.tx.delete(REACTION_ORDER, (op.message_id, index, order, actor));
    match entry_ends {
        // What is beyond the limit stands before everything that may come: the worst is a page from the beginning.
        true => drop(machine.tx.delete_prefix(REACTION_PLACES, (op.message_id, index), CLEARED_MAX)),
        false => machine.tx.put(REACTION_PLACES, (op.message_id, index, actor), &Meta { value: order }),
    }
    match last {
        None => machine.tx.put(REACTION_SETS, op.message_id, &set),
        Some(message) => {
            machine.tx.delete(REACTION_SETS, op.message_id);
            machine.tx.put(MESSAGES, (op.channel_id, op.message_id), &message);
        }
    }
    emit(machine, EventName::MessageReactionRemove, &scope, actor, op.message_id, &op.emoji);
    Ok(true)
}

/// The smallest index that no entry has, and of which nothing is left. There are at most [`KINDS_MAX`] entries.
fn free_index(set: &ReactionSet, is_bare: impl Fn(u16) -> bool) -> u16 {
    (0..=u16::MAX)
        .find(|index| set.entries.iter().all(|entry| entry.index != *index) && is_bare(*index))
        .expect("a set has fewer entries than there are indexes")
}

fn emit(
    machine: &mut Machine<'_, '_>,
    name: EventName,
    scope: &Scope,
    user_id: UserId,
    message_id: MessageId,
    emoji: &str,
) {
    let mut payload = Vec::with_capacity(192);
    {
        let mut object = Object::new(&mut payload);
        object.id("user_id", user_id.0).id("message_id", message_id.0);
        object.id("channel_id", scope.channel_id.0).str("emoji", emoji);
        object.opt_id("guild_id", scope.server_id.map(|id| id.0));
    }
    machine.emit(scope.event(
        name,
        intent::GUILD_MESSAGE_REACTIONS,
        intent::DIRECT_MESSAGE_REACTIONS,
        payload,
    ));
}

/// What [`write_list`] appends for each emoji.
pub const REACTION: &Shape = &Shape {
    name: "ReactionResponse",
    doc: "An emoji on a message.",
    heads: &[],
    fields: &[
        Field::new("emoji", "In Unicode; `custom:<id>` for one of a server.", Slot::str),
        Field::new("count", "", Slot::u64),
        Field::new("me", "Whether the caller is one of them.", Slot::bool),
        Field::new("url", "Where anybody can see one of a server.", Slot::opt_str),
        Field::new("is_custom", "", Slot::bool),
        Field::new("custom_emoji_id", "", Slot::opt_id),
    ],
};

/// Appends the reactions of a message in order of first use; `me` is the viewer's own.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, message_id: MessageId, viewer: Option<UserId>) {
    let mut array = Array::new(out);
    let Some(set) = read.get(REACTION_SETS, message_id) else { return };
    for entry in set.entries.iter() {
        let index = entry.index.to_native();
        let me = viewer.is_some_and(|user_id| read.contains(REACTIONS, (message_id, index, user_id)));
        let out = array.item();
        out.extend_from_slice(b"{\"emoji\":");
        write_str(out, &entry.emoji);
        out.extend_from_slice(b",\"count\":");
        write_u64(out, entry.count.to_native());
        out.extend_from_slice(if me { b",\"me\":true" } else { b",\"me\":false" });
        let Some(emoji_id) = custom_emoji::named(&entry.emoji) else {
            out.extend_from_slice(b",\"url\":null,\"is_custom\":false,\"custom_emoji_id\":null}");
            continue;
        };
        out.extend_from_slice(b",\"url\":");
        write_media_url(out, Shown::Emoji(emoji_id));
        out.extend_from_slice(b",\"is_custom\":true,\"custom_emoji_id\":");
        write_id(out, emoji_id.0);
        out.push(b'}');
    }
}

/// Appends who reacted with an emoji, earliest first, after where a user stands or last stood in that list. Nobody
/// when he never did: there is no place to go on from.
pub fn write_users(
    out: &mut Vec<u8>,
    read: Read<'_>,
    message_id: MessageId,
    emoji: &str,
    after: Option<UserId>,
    limit: usize,
) {
    let mut array = Array::new(out);
    let set = read.get(REACTION_SETS, message_id);
    let Some(entry) = set.and_then(|set| set.entries.iter().find(|entry| same(&entry.emoji, emoji))) else {
        return;
    };
    let index = entry.index.to_native();
    let scan = match after {
        None => read.scan(REACTION_ORDER, (message_id, index)),
        Some(user_id) => {
            let Some(order) = place(read, message_id, index, user_id) else { return };
            read.scan_after(REACTION_ORDER, (message_id, index), (message_id, index, order))
        }
    };
    for ((_, _, _, user_id), _) in scan.take(limit) {
        let at = read.get(REACTIONS, (message_id, index, user_id)).map_or(0, |item| item.at.to_native());
        ReactionUserResponse::write(array.item(), user_id, at);
    }
}

shape! {
    /// Who reacted, and when.
    pub ReactionUserResponse(user_id: UserId, at: u64) {
        user_id: id = user_id.0,
        reacted_at: time = at,
    }
}

/// Where a user stands in the order of an emoji, or stood when he took it back.
fn place(read: Read<'_>, message_id: MessageId, index: u16, user_id: UserId) -> Option<u64> {
    let key = (message_id, index, user_id);
    let there = read.get(REACTIONS, key).map(|reaction| reaction.order.to_native());
    there.or_else(|| read.get(REACTION_PLACES, key).map(|place| place.value.to_native()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_spellings_are_the_same_emoji() {
        assert!(same("❤", "❤\u{fe0f}"));
        assert!(same("❤\u{fe0f}", "❤\u{fe0e}"));
        assert!(same("👍", "👍"));
        assert!(!same("👍", "👍🏽"));
        assert!(!same("👍", ""));
        assert!(!same("", "👍"));
    }

    #[test]
    fn indexes_are_used_again() {
        let set = |indexes: &[u16]| ReactionSet {
            entries: indexes
                .iter()
                .map(|&index| ReactionEntry { emoji: String::new(), index, count: 1 })
                .collect(),
        };
        let check = |indexes: &[u16], left: &[u16], want: u16| {
            assert_eq!(free_index(&set(indexes), |index| !left.contains(&index)), want, "{indexes:?}");
        };
        check(&[], &[], 0);
        check(&[0, 2], &[], 1);
        check(&[1, 0], &[], 2);
        check(&[1], &[0, 2], 3);
    }
}
