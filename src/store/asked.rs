//! What is asked of records where they lie, without a copy of them; and records that are nothing but an id.

use super::records::*;
use crate::id::{ChannelId, MessageId, RoleId, ServerId, UserId};

macro_rules! refs {
    ($($record:ident of $id:ident;)*) => {$(
        impl From<$id> for $record {
            fn from(id: $id) -> $record {
                $record { id }
            }
        }
    )*};
}

refs! {
    ServerRef of ServerId;
    UserRef of UserId;
    ChannelRef of ChannelId;
    MessageRef of MessageId;
}

impl ArchivedUser {
    /// Who answers for it, if it is a bot.
    pub fn owner(&self) -> Option<UserId> {
        self.owner_id.as_ref().map(|id| UserId::from(&**id))
    }

    pub fn is_bot(&self) -> bool {
        self.owner_id.is_some()
    }
}

impl ArchivedMember {
    /// His roles, without @everyone.
    pub fn role_ids(&self) -> impl Iterator<Item = RoleId> + '_ {
        self.roles.iter().map(RoleId::from)
    }
}

impl ArchivedChannel {
    pub fn participant_ids(&self) -> impl Iterator<Item = UserId> + '_ {
        self.participants.iter().map(UserId::from)
    }

    /// The server; `None` for direct messages, groups and notes.
    pub fn server(&self) -> Option<ServerId> {
        let id = ServerId::from(&self.server_id);
        (id.0 != 0).then_some(id)
    }

    pub fn is_private(&self) -> bool {
        matches!(self.kind, channel_kind::DM | channel_kind::NOTES | channel_kind::GROUP)
    }
}
