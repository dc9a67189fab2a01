//! Writing into channels: what each way of making something known there asks for, now.
//!
//! Invariant: every command, handler and gateway opcode that lets others know of something in a channel asks here, so
//! a right that is gone, a timeout and a block bind all of them alike.

use crate::domain::error::{Error, Result};
use crate::domain::permission::{
    Access, MESSAGES_ADD_REACTIONS, MESSAGES_MANAGE, MESSAGES_READ, MESSAGES_SEND, name,
};
use crate::domain::social::dm;

/// A way of making something known in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// Posting, editing, typing.
    Text,
    /// Putting a reaction on a message.
    Reaction,
    /// Pinning, unpinning, deleting what others wrote.
    Moderation,
    /// Deleting one's own message, taking back one's own reaction: says nothing, so it asks for nothing.
    Withdrawal,
    /// Moving one's read mark.
    Receipt,
    /// Voting in a poll.
    Vote,
}

impl Writing {
    /// What it asks for in a server, whose timeouts have been applied.
    const fn permission(self) -> u64 {
        match self {
            Writing::Text => MESSAGES_SEND,
            Writing::Reaction => MESSAGES_ADD_REACTIONS,
            Writing::Moderation => MESSAGES_MANAGE,
            Writing::Withdrawal => 0,
            Writing::Receipt | Writing::Vote => MESSAGES_READ,
        }
    }

    /// Whether it is done, but not told, where the other side of a direct message is blocked; the rest is refused.
    const fn goes_unheard(self) -> bool {
        matches!(self, Writing::Withdrawal | Writing::Receipt)
    }

    /// Whether the user may do it there at this moment.
    ///
    /// # Errors
    /// 403 without the permission or in a timeout; as [`dm::require_reachable`], unless it just goes unheard.
    pub fn require(self, access: &Access<'_>) -> Result<()> {
        let private = access.channel.is_private();
        if self != Writing::Moderation || !private {
            access.require(self.permission())?;
        }
        // The other permissions are among those that a timeout takes.
        if self == Writing::Moderation && access.is_silenced() {
            return Err(Error::missing_permission(name(MESSAGES_SEND)));
        }
        if self.goes_unheard() { Ok(()) } else { dm::require_reachable(access) }
    }
}
