//! Reactions that are cleared from a message, by whoever manages it.
//!
//! Invariant: what is cleared is shown no more at once, however many have reacted; the rows of it go in steps, and while
//! one is left no other emoji takes its index.

use rkyv::{Archive, Deserialize, Serialize};

use super::message::{Scope, find};
use super::reaction::same;
use super::writing::Writing;
use crate::domain::asking::Asking;
use crate::domain::errand::{Errand, Work, leave};
use crate::domain::error::{Error, Result};
use crate::domain::event::{EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::Access;
use crate::id::{ChannelId, MessageId, UserId};
use crate::store::records::{ArchivedMessage, Message, ReactionSet};
use crate::store::tables::{MESSAGES, REACTION_ORDER, REACTION_PLACES, REACTION_SETS, REACTIONS};

/// Takes the emojis of everybody from a message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ReactionsClear {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    /// This one, in its one spelling; `None`: all of them.
    pub emoji: Option<String>,
    /// Rows of each table that go at once.
    pub rows_max: u64,
}

/// A message of which the user may clear the reactions: of any in a server, of his own elsewhere.
///
/// # Errors
/// 404 and 403 of [`Asking::channel`]; as [`Writing::Moderation`]; 404 for the message.
fn clearing_access(
    asking: Asking<'_>,
    channel_id: ChannelId,
    message_id: MessageId,
) -> Result<(Access<'_>, &ArchivedMessage)> {
    let access = asking.channel(channel_id)?;
    Writing::Moderation.require(&access)?;
    let message = find(asking.read, channel_id, message_id)?;
    if access.channel.is_private() && UserId::from(&message.author_id) != asking.who {
        return Err(Error::forbidden("Only the author of a message can clear its reactions here"));
    }
    Ok((access, message))
}

/// Replies whether there were any.
pub(in crate::domain) fn reactions_clear(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ReactionsClear,
) -> Result<bool> {
    let (access, message) = clearing_access(machine.asking(actor), op.channel_id, op.message_id)?;
    let Some(mut set) = machine.read().get(REACTION_SETS, op.message_id).map(ReactionSet::from) else {
        return Ok(false);
    };
    let goes = |stored: &str| op.emoji.as_deref().is_none_or(|emoji| same(stored, emoji));
    let (gone, stays) = set.entries.drain(..).partition::<Vec<_>, _>(|entry| goes(&entry.emoji));
    let Some(first) = gone.first() else { return Ok(false) };
    // As it is stored, which is how it has been told.
    let emoji = op.emoji.as_ref().map(|_| first.emoji.clone());
    set.entries = stays;
    let scope = Scope::of(op.channel_id, access.channel);
    let bare = set.entries.is_empty().then(|| Message { reacted: false, ..Message::from(message) });
    match bare {
        None => machine.tx.put(REACTION_SETS, op.message_id, &set),
        Some(message) => {
            machine.tx.delete(REACTION_SETS, op.message_id);
            machine.tx.put(MESSAGES, (op.channel_id, op.message_id), &message);
        }
    }
    let indexes = gone.iter().map(|entry| entry.index).collect();
    let rows_max = usize::try_from(op.rows_max).unwrap_or(usize::MAX);
    if let Some(left) = remove_rows(machine, Clear { message_id: op.message_id, indexes }, rows_max).1 {
        leave(machine, &left);
    }
    emit(machine, &scope, op.message_id, emoji.as_deref());
    Ok(true)
}

fn emit(machine: &mut Machine<'_, '_>, scope: &Scope, message_id: MessageId, emoji: Option<&str>) {
    let payload = payload(|object| {
        object.id("channel_id", scope.channel_id.0).id("message_id", message_id.0);
        object.opt_id("guild_id", scope.server_id.map(|id| id.0));
        if let Some(emoji) = emoji {
            object.str("emoji", emoji);
        }
    });
    let name = match emoji {
        None => EventName::MessageReactionRemoveAll,
        Some(_) => EventName::MessageReactionRemoveEmoji,
    };
    let (in_server, in_dm) = (intent::GUILD_MESSAGE_REACTIONS, intent::DIRECT_MESSAGE_REACTIONS);
    machine.emit(scope.event(name, in_server, in_dm, payload));
}

/// Removes what is left of emojis that were cleared.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Clear {
    pub message_id: MessageId,
    /// The last is next.
    pub indexes: Vec<u16>,
}

/// Removes about so many rows of each table; gives how many went, and what is left. An index that has none any more is
/// done with: somebody else may have it.
fn remove_rows(machine: &mut Machine<'_, '_>, mut clear: Clear, rows_max: usize) -> (usize, Option<Clear>) {
    let mut count = 0;
    while let Some(&index) = clear.indexes.last() {
        let prefix = (clear.message_id, index);
        count += machine.tx.delete_prefix(REACTION_PLACES, prefix, rows_max.saturating_sub(count));
        // Last: by these it is known that the index is taken.
        let left = rows_max.saturating_sub(count);
        machine.tx.delete_prefix(REACTION_ORDER, prefix, left);
        count += machine.tx.delete_prefix(REACTIONS, prefix, left);
        if machine.read().scan(REACTIONS, prefix).next().is_some() {
            return (count, Some(clear));
        }
        clear.indexes.pop();
    }
    (count, None)
}

impl Errand for Clear {
    const KIND: u8 = 11;
    const NAME: &'static str = "reactions";

    fn step(self, machine: &mut Machine<'_, '_>, work: &mut Work<'_>) -> Option<Clear> {
        /// A row of each table.
        const LOOKS: usize = 12;
        let (count, left) = remove_rows(machine, self, (work.left / LOOKS).max(1));
        work.take(LOOKS * count.max(1));
        left
    }
}
