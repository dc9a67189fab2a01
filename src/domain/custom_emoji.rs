//! Emojis of servers as reactions name them: `custom:<id>`, in the store and in events.
//!
//! Of the server in whose channel it is used an emoji may be used by every member, those of others by whom the
//! permission `messages.use_external_emojis` allows it there.

use super::error::{Error, Result};
use super::permission::{Access, MESSAGES_USE_EXTERNAL_EMOJIS};
use crate::id::{EmojiId, ServerId};
use crate::store::Read;
use crate::store::records::ArchivedEmoji;
use crate::store::tables::{EMOJI_SERVERS, EMOJIS};

const PREFIX: &str = "custom:";

/// As a reaction names it.
pub fn spelled(id: EmojiId) -> String {
    format!("{PREFIX}{id}")
}

/// Which one a reaction names; `None` for an emoji of Unicode.
pub fn named(emoji: &str) -> Option<EmojiId> {
    emoji.strip_prefix(PREFIX).and_then(EmojiId::parse)
}

/// An emoji and its server, though it may have been deleted.
pub fn find(read: Read<'_>, id: EmojiId) -> Option<(ServerId, &ArchivedEmoji)> {
    let server_id = ServerId::from(&read.get(EMOJI_SERVERS, id)?.id);
    Some((server_id, read.get(EMOJIS, (server_id, id))?))
}

/// Of which server one is that can be used.
pub fn server_of(read: Read<'_>, id: EmojiId) -> Option<ServerId> {
    find(read, id).filter(|(_, emoji)| !emoji.deleted).map(|(server_id, _)| server_id)
}

/// Whether somebody may use the emojis of that server there.
pub fn may_use(access: &Access<'_>, server_id: ServerId) -> bool {
    access.channel.server() == Some(server_id) || access.has(MESSAGES_USE_EXTERNAL_EMOJIS)
}

/// Whether somebody may react with an emoji; `is_there`: others have, so that it may have been deleted since.
///
/// # Errors
/// 400 when there is none of that id; 403 when it is of another server, without permission.
pub fn require_usable(access: &Access<'_>, id: EmojiId, is_there: bool) -> Result<()> {
    let found = find(access.asking.read, id).filter(|(_, emoji)| is_there || !emoji.deleted);
    match found {
        // Its server is gone, or it was deleted long ago: nobody can say whose it was.
        None if is_there => Ok(()),
        None => Err(Error::invalid("emoji", "not an emoji: no server has one of this id")),
        Some((server_id, _)) if may_use(access, server_id) => Ok(()),
        Some(_) => access.require(MESSAGES_USE_EXTERNAL_EMOJIS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_reactions() {
        assert_eq!(named(&spelled(EmojiId(77))), Some(EmojiId(77)));
        for text in ["custom:", "custom:x", "custom:1 ", "77", "👍", "Custom:1"] {
            assert_eq!(named(text), None, "{text}");
        }
    }
}
