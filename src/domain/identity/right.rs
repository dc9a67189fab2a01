//! What an account may do by its kind, wherever it is: a fixed set for people, and a smaller one for bots (contract §5).
//!
//! The kind of an account never changes, so it is asked for once, where a request is admitted: rows of the table of
//! routes name the right that they need.

use crate::domain::error::{Error, Result};

macro_rules! rights {
    ($($right:ident = $name:literal $(for $kind:ident $(and $other:ident)?)?;)*) => {
        /// One of them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Right { $($right),* }

        impl Right {
            pub const ALL: &[Right] = &[$(Right::$right),*];

            /// As the contract calls it.
            pub fn name(self) -> &'static str {
                match self { $(Right::$right => $name),* }
            }

            /// Whose it is.
            fn holders(self) -> &'static [Kind] {
                match self { $(Right::$right => &[$(Kind::$kind $(, Kind::$other)?)?]),* }
            }
        }
    };
}

/// What an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Somebody who logs in.
    Person,
    /// A program that somebody answers for.
    Bot,
}

rights! {
    MessagesSend = "messages.send" for Person and Bot;
    MessagesRead = "messages.read" for Person and Bot;
    MessagesEdit = "messages.edit" for Person and Bot;
    MessagesDelete = "messages.delete" for Person and Bot;
    MessagesReact = "messages.react" for Person and Bot;
    ConversationsCreate = "conversations.create" for Person;
    ConversationsJoin = "conversations.join" for Person and Bot;
    ConversationsLeave = "conversations.leave" for Person and Bot;
    ConversationsInvite = "conversations.invite" for Person;
    ServersCreate = "servers.create" for Person;
    ServersJoin = "servers.join" for Person;
    ServersLeave = "servers.leave" for Person;
    VoiceJoin = "voice.join" for Person;
    VoiceSpeak = "voice.speak" for Person;
    VoiceInitiate = "voice.initiate" for Person;
    VideoJoin = "video.join" for Person;
    VideoStream = "video.stream" for Person;
    VideoInitiate = "video.initiate" for Person;
    AccountEditProfile = "account.edit_profile" for Person;
    AccountDelete = "account.delete" for Person;
    AccountViewOthers = "account.view_others" for Person and Bot;
    BotsCreate = "bots.create" for Person;
    BotsManage = "bots.manage" for Person;
    AdminUsers = "admin.users";
    AdminServers = "admin.servers";
    AdminSystem = "admin.system";
}

impl Kind {
    pub fn has(self, right: Right) -> bool {
        right.holders().contains(&self)
    }

    /// # Errors
    /// 403 naming the right.
    pub fn require(self, right: Right) -> Result<()> {
        if self.has(right) { Ok(()) } else { Err(Error::missing_permission(right.name())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: Kind) -> Vec<&'static str> {
        Right::ALL.iter().filter(|right| kind.has(**right)).map(|right| right.name()).collect()
    }

    #[test]
    fn the_sets_are_the_contracts() {
        let bots = [
            "messages.send",
            "messages.read",
            "messages.edit",
            "messages.delete",
            "messages.react",
            "conversations.join",
            "conversations.leave",
            "account.view_others",
        ];
        assert_eq!(names(Kind::Bot), bots);
        let people = names(Kind::Person);
        assert_eq!(people.len(), 23);
        assert!(bots.iter().all(|name| people.contains(name)), "people may do what bots may");
        assert!(
            people.iter().all(|name| !name.starts_with("admin.")),
            "nobody is an administrator by his kind"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(Kind::Person.require(Right::ServersCreate), Ok(()));
        let refused = Kind::Bot.require(Right::ServersCreate).unwrap_err();
        assert_eq!((refused.status, &*refused.message), (403, "Missing required permission: servers.create"));
    }
}
