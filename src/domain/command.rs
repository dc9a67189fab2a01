//! The table of commands: every change of the state, its code and the function that applies it.
//!
//! Codes are promises: append, never reuse. `isolated` commands change what roles or overrides give; they get a
//! batch of their own, so that every event of a batch is judged by the permissions that held for all of it.

use super::error::Result;
use super::machine::{Machine, Reply};
use crate::id::UserId;

/// A change that is asked for. `apply` decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Which log it belongs to; one machine has the one log 0.
    pub partition: u32,
    /// Who asks; `UserId(0)` is the server itself.
    pub actor: UserId,
    pub op: Op,
}

impl Command {
    pub fn new(actor: UserId, op: Op) -> Command {
        Command { partition: 0, actor, op }
    }
}

macro_rules! commands {
    ($($code:literal $name:ident($area:ident::$module:ident::$type:ident) => $apply:ident $(, $isolated:ident)?;)*) => {
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $($name(super::$area::$module::$type)),* }

        /// Code and name of every command, and whether it is isolated; for the golden file.
        pub const CODES: &[(u16, &str, bool)] =
            &[$(($code, stringify!($name), commands!(@isolated $($isolated)?))),*];

        impl Op {
            pub fn code(&self) -> u16 {
                match self { $(Op::$name(_) => $code),* }
            }

            pub fn isolated(&self) -> bool {
                match self { $(Op::$name(_) => commands!(@isolated $($isolated)?)),* }
            }
        }

        $(impl From<super::$area::$module::$type> for Op {
            fn from(op: super::$area::$module::$type) -> Op {
                Op::$name(op)
            }
        })*

        /// Runs one command. Everything is checked before the first write, so a refusal leaves no trace.
        pub(super) fn dispatch(machine: &mut Machine<'_, '_>, actor: UserId, op: &Op) -> Result<Reply> {
            match op { $(Op::$name(op) => super::$area::$module::$apply(machine, actor, op)),* }
        }
    };
    (@isolated isolated) => { true };
    (@isolated) => { false };
}

commands! {
    // 1–39 accounts: account.rs token.rs setting.rs relationship.rs presence.rs dm.rs
    1 Register(identity::account::Register) => register;
    2 ProfileEdit(identity::account::ProfileEdit) => profile_edit;
    3 AccountDelete(identity::account::AccountDelete) => account_delete;
    4 LoginFailed(identity::account::LoginFailed) => login_failed;
    5 TokenCreate(identity::token::TokenCreate) => token_create;
    6 TokenTouch(identity::token::TokenTouch) => token_touch;
    7 TokenRevoke(identity::token::TokenRevoke) => token_revoke;
    8 TokenRevokeAll(identity::token::TokenRevokeAll) => token_revoke_all;
    9 SettingsPut(social::setting::SettingsPut) => settings_put;
    10 SettingDelete(social::setting::SettingDelete) => setting_delete;
    11 MessagingEdit(social::setting::MessagingEdit) => messaging_edit;
    12 FriendRequest(social::relationship::FriendRequest) => friend_request;
    13 FriendAccept(social::relationship::FriendAccept) => friend_accept;
    14 RelationshipRemove(social::relationship::RelationshipRemove) => relationship_remove;
    15 Block(social::relationship::Block) => block;
    16 PresenceSet(social::presence::PresenceSet) => presence_set;
    17 DmOpen(social::dm::DmOpen) => dm_open;
    18 NotesOpen(social::dm::NotesOpen) => notes_open;

    // 40–79 servers: server.rs member.rs role.rs ban.rs channel.rs invite.rs
    40 ServerCreate(community::server::ServerCreate) => server_create;
    41 ServerEdit(community::server::ServerEdit) => server_edit;
    42 ServerDelete(community::server::ServerDelete) => server_delete, isolated;
    43 MemberLeave(community::member::MemberLeave) => member_leave;
    44 MemberKick(community::member::MemberKick) => member_kick;
    45 MemberExpire(community::member::MemberExpire) => member_expire;
    46 MemberRoleAdd(community::member::MemberRoleAdd) => member_role_add, isolated;
    47 MemberRoleRemove(community::member::MemberRoleRemove) => member_role_remove, isolated;
    48 RoleCreate(community::role::RoleCreate) => role_create;
    49 RoleEdit(community::role::RoleEdit) => role_edit, isolated;
    50 RoleDelete(community::role::RoleDelete) => role_delete, isolated;
    51 BanCreate(community::ban::BanCreate) => ban_create;
    52 BanDelete(community::ban::BanDelete) => ban_delete;
    53 BanMessagesDelete(community::ban::BanMessagesDelete) => ban_messages_delete;
    54 ChannelCreate(community::channel::ChannelCreate) => channel_create;
    55 ChannelEdit(community::channel::ChannelEdit) => channel_edit;
    56 ChannelDelete(community::channel::ChannelDelete) => channel_delete;
    57 InviteCreate(community::invite::InviteCreate) => invite_create;
    58 InviteUse(community::invite::InviteUse) => invite_use;
    59 InviteDelete(community::invite::InviteDelete) => invite_delete;

    // 80–119 messages: message.rs reaction.rs pin.rs read_mark.rs
    80 MessageCreate(chat::message::MessageCreate) => message_create;
    81 MessageEdit(chat::message::MessageEdit) => message_edit;
    82 MessageDelete(chat::message::MessageDelete) => message_delete;
    85 ReactionAdd(chat::reaction::ReactionAdd) => reaction_add;
    86 ReactionRemove(chat::reaction::ReactionRemove) => reaction_remove;
    90 MessagePin(chat::pin::MessagePin) => message_pin;
    91 MessageUnpin(chat::pin::MessageUnpin) => message_unpin;
    95 ChannelAck(chat::read_mark::ChannelAck) => channel_ack;
    96 ChannelsAck(chat::read_mark::ChannelsAck) => channels_ack;

    // 120– housekeeping: sweep.rs
    120 Sweep(housekeeping::sweep::Sweep) => sweep, isolated;
}

impl Op {
    /// Whether it is allowed in a full store: it removes more than it writes, or guards an account.
    pub fn makes_room(&self) -> bool {
        matches!(
            self,
            Op::LoginFailed(_)
                | Op::TokenTouch(_)
                | Op::TokenRevoke(_)
                | Op::TokenRevokeAll(_)
                | Op::AccountDelete(_)
                | Op::SettingDelete(_)
                | Op::RelationshipRemove(_)
                | Op::ServerDelete(_)
                | Op::MemberLeave(_)
                | Op::MemberKick(_)
                | Op::MemberExpire(_)
                | Op::MemberRoleRemove(_)
                | Op::RoleDelete(_)
                | Op::BanDelete(_)
                | Op::BanMessagesDelete(_)
                | Op::ChannelDelete(_)
                | Op::InviteDelete(_)
                | Op::MessageDelete(_)
                | Op::ReactionRemove(_)
                | Op::MessageUnpin(_)
                | Op::Sweep(_)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::identity::account::{AccountDelete, PasswordChange, ProfileEdit};
    use super::super::identity::credential::Secret;
    use super::super::identity::token::{NewToken, TokenCreate};
    use super::*;
    use crate::id::TokenId;

    #[test]
    fn secrets_are_not_printed() {
        let phc = || Secret("$argon2id$".to_string());
        let token = NewToken {
            secret_hash: Secret([77; 32]),
            ip_address: String::new(),
            user_agent: None,
            life_ms: 1,
            count_max: 1,
        };
        let ops: [Op; 3] = [
            TokenCreate { user_id: UserId(1), name: 1, phc: phc(), token }.into(),
            AccountDelete { phc: phc(), grace_ms: 1 }.into(),
            ProfileEdit {
                password: Some(PasswordChange { phc: phc(), token_id: TokenId(1) }),
                verified: Some(phc()),
                ..ProfileEdit::default()
            }
            .into(),
        ];
        for op in ops {
            let text = format!("{:?}", Command::new(UserId(0), op));
            assert!(!text.contains("argon2") && !text.contains("77"), "{text}");
        }
    }

    #[test]
    fn codes_are_unique_and_ascending() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0), "{CODES:?}");
    }
}
