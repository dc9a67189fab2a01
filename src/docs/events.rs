//! The events of the gateway: when they come, to whom, under which intent, and what stands in their `d`.
//!
//! Invariant: one row for each [`EventName`], in their order. That events really have these shapes is checked by every
//! test that reads a gateway connection (`tests/support/websocket.rs`).

use crate::domain::chat::message_view::MESSAGE;
use crate::domain::chat::notification::NotificationInfo;
use crate::domain::community::channel::ChannelResponse;
use crate::domain::community::invite::InviteResponse;
use crate::domain::community::member::ChunkMember;
use crate::domain::community::role::RoleResponse;
use crate::domain::community::server::{ServerHead, ServerResponse};
use crate::domain::expression::emoji::EmojiResponse;
use crate::domain::expression::sticker::StickerPackResponse;
use crate::domain::intent::*;
use crate::domain::social::dm::{DMHead, DMTail};
use crate::domain::social::group::GroupResponse;
use crate::domain::view::{BriefUser, PresenceStatus, UserPublicResponse};
use crate::domain::voice::ice::ICEServerConfig;
use crate::domain::{EventName, EventName as E};
use crate::store::records::{channel_kind, relation, status};
use crate::wire::json::Value;
use crate::wire::json::shape::{Field, Kind, Shape, Slot};

/// An event.
pub struct EventRow {
    pub name: EventName,
    /// What has happened.
    pub when: &'static str,
    /// Whose sessions get it.
    pub who: &'static str,
    /// Intents of which a session needs one: in servers, in private channels. `NONE` needs none.
    pub in_server: u16,
    pub in_private: u16,
    /// What `d` may be: one of these.
    pub data: &'static [&'static Shape],
}

impl EventRow {
    /// The intents by name, for people; empty when it needs none.
    pub fn intents(&self) -> Vec<&'static str> {
        let known = super::words::INTENTS.iter();
        known
            .filter(|(_, bit)| *bit == self.in_server || *bit == self.in_private)
            .map(|(name, _)| *name)
            .collect()
    }
}

/// The row of an event.
pub fn row(name: &str) -> Option<&'static EventRow> {
    EVENTS.iter().find(|row| row.name.text() == name)
}

/// Whether the `d` of an event is what its row says.
///
/// # Errors
/// Where it is not, for each shape that it might have.
pub fn check(name: &str, data: &Value<'_>) -> Result<(), String> {
    let row = row(name).ok_or_else(|| format!("no event is called {name}"))?;
    let wrong: Vec<String> =
        row.data.iter().filter_map(|shape| Kind::Object(shape).check(data).err()).collect();
    if wrong.len() < row.data.len() { Ok(()) } else { Err(format!("{name}: {}", wrong.join("; "))) }
}

macro_rules! data {
    ($($constant:ident = $name:literal $doc:literal $([$($head:expr),+])? { $($field:literal: $slot:expr),* $(,)? })*) => {
        $(const $constant: &Shape = &Shape {
            name: $name,
            doc: $doc,
            heads: &[$($($head),+)?],
            fields: &[$(Field::new($field, "", $slot)),*],
        };)*
    };
}

const fn object(shape: &'static Shape) -> Slot {
    Slot::object(shape)
}

const IDS: Slot = Slot::list(&Kind::Id);
const POSITION: &Kind = &Kind::Object(POSITION_SHAPE);
const PLACE: &Kind = &Kind::Object(PLACE_SHAPE);

data! {
    READY_USER = "ReadyUser" "Who the session is of." {
        "id": Slot::id, "username": Slot::str, "discriminator": Slot::str, "avatar": Slot::opt_str,
        "avatar_url": Slot::str, "bot": Slot::bool,
    }
    READY_SERVER = "ReadyServer" "A server of the user; the rest comes by REST." {
        "id": Slot::id, "name": Slot::str, "unavailable": Slot::bool,
    }
    APPLICATION = "ReadyApplication" "The program, as far as it has an account." { "id": Slot::id, "flags": Slot::u64 }
    OWN_PRESENCE = "OwnPresence" "The status that is stored." {
        "status": Slot::word(status::WORDS), "custom_status": Slot::opt_str, "custom_emoji": Slot::opt_str,
    }
    READY = "Ready" "The session has begun." {
        "v": Slot::u64, "user": object(READY_USER), "guilds": Slot::list(&Kind::Object(READY_SERVER)),
        "session_id": Slot::str, "resume_gateway_url": Slot::str, "application": object(APPLICATION),
        "presence": object(OWN_PRESENCE),
    }
    NOTHING = "Nothing" "Nothing." {}
    MESSAGE_EVENT = "MessageEvent" "A message as nobody in particular sees it: not read, no vote of the own." [MESSAGE] {
        "server_id": Slot::opt_id,
    }
    MESSAGE_GONE = "MessageDelete" "Which message is gone." {
        "id": Slot::id, "channel_id": Slot::id, "server_id": Slot::opt_id, "automod": Slot::bool.sometimes(),
    }
    MESSAGES_GONE = "MessageDeleteBulk" "Which messages are gone." {
        "channel_id": Slot::id, "guild_id": Slot::opt_id, "message_ids": IDS,
    }
    ACK = "MessageAck" "Up to which message somebody has read; null means all." {
        "channel_id": Slot::id, "user_id": Slot::id, "message_id": Slot::opt_id,
    }
    REACTION_EVENT = "MessageReaction" "Who has put or taken which emoji." {
        "user_id": Slot::id, "message_id": Slot::id, "channel_id": Slot::id, "emoji": Slot::str,
        "guild_id": Slot::opt_id,
    }
    REACTIONS_GONE = "MessageReactionRemoveAll" "Whose reactions are gone." {
        "channel_id": Slot::id, "message_id": Slot::id, "guild_id": Slot::opt_id,
    }
    REACTIONS_OF_EMOJI_GONE = "MessageReactionRemoveEmoji" "Whose reactions with which emoji are gone." [REACTIONS_GONE] {
        "emoji": Slot::str,
    }
    PINS = "ChannelPinsUpdate" "All that is pinned now, newest pin first." {
        "channel_id": Slot::id, "guild_id": Slot::opt_id, "pinned_message_ids": IDS,
    }
    TYPING_STOP = "TypingStop" "Who writes no more." { "channel_id": Slot::id, "user_id": Slot::id }
    TYPING_START = "TypingStart" "Who writes." [TYPING_STOP] { "username": Slot::str }
    GUILD_CHANNEL = "GuildCreateChannel" "A channel in short." {
        "id": Slot::id, "name": Slot::str, "type": Slot::word(channel_kind::WORDS), "position": Slot::u64,
    }
    GUILD_ROLE = "GuildCreateRole" "A role in short." {
        "id": Slot::id, "name": Slot::str, "color": Slot::opt_str, "hoist": Slot::bool, "position": Slot::u64,
    }
    GUILD_CREATE = "GuildCreate" "A server that you are in now, with the channels that you may see." [ServerHead::SHAPE] {
        "channels": Slot::list(&Kind::Object(GUILD_CHANNEL)), "roles": Slot::list(&Kind::Object(GUILD_ROLE)),
        "members": Slot::list(&Kind::Any),
    }
    GUILD_DELETE = "GuildDelete" "A server that you are in no more, or that is gone." {
        "id": Slot::id, "unavailable": Slot::bool,
    }
    PLACE_SHAPE = "ChannelPlace" "Where a channel stands." {
        "id": Slot::id, "position": Slot::u64, "category_id": Slot::opt_id,
    }
    CHANNEL_ORDER = "ChannelEvent" "A channel; when many have moved at once, where each stands." [ChannelResponse::SHAPE] {
        "channels": Slot::list(PLACE).sometimes(),
    }
    DM_EVENT = "DmChannelEvent" "A direct message, as the one who gets the event sees it." [DMHead::SHAPE, DMTail::SHAPE] {
        "server_id": Slot::of(Kind::Null),
    }
    GROUP_EVENT = "GroupChannelEvent" "A group." [GroupResponse::SHAPE] { "server_id": Slot::of(Kind::Null) }
    CHANNEL_GONE = "ChannelDelete" "A channel that is gone, or that you may see no more." {
        "id": Slot::id, "server_id": Slot::opt_id,
    }
    POSITION_SHAPE = "RolePosition" "Where a role stands." { "id": Slot::id, "position": Slot::u64 }
    ROLE_EVENT = "GuildRole" "A role; when many have moved at once, where each stands." {
        "guild_id": Slot::id, "role": object(RoleResponse::SHAPE), "roles": Slot::list(POSITION).sometimes(),
    }
    ROLE_GONE = "GuildRoleDelete" "Which role is gone." { "guild_id": Slot::id, "role_id": Slot::id }
    MEMBER_GONE = "GuildMemberRemove" "Who is in the server no more." {
        "guild_id": Slot::id, "user": object(BriefUser::SHAPE),
    }
    MEMBER_ADD = "GuildMemberAdd" "Who has come." [MEMBER_GONE] { "roles": IDS, "joined_at": Slot::time }
    MEMBER_UPDATE = "GuildMemberUpdate" "A member whose roles, nickname or timeout have changed." [MEMBER_GONE] {
        "nickname": Slot::opt_str, "roles": IDS, "joined_at": Slot::time, "timeout_until": Slot::time.sometimes(),
    }
    MEMBERS_CHUNK = "GuildMembersChunk" "A part of the members that were asked for." {
        "guild_id": Slot::id, "members": Slot::list(&Kind::Object(ChunkMember::SHAPE)), "chunk_index": Slot::u64,
        "chunk_count": Slot::u64, "not_found": IDS, "nonce": Slot::some_str,
    }
    BAN = "GuildBan" "Who is banned, or no more." {
        "guild_id": Slot::id, "user_id": Slot::id, "reason": Slot::opt_str.sometimes(),
    }
    INVITE = "InviteCreate" "An invite." { "guild_id": Slot::id, "invite": object(InviteResponse::SHAPE) }
    INVITE_GONE = "InviteDelete" "Which invite is gone." { "guild_id": Slot::id, "code": Slot::str }
    PRESENCE = "PresenceUpdate" "How somebody is there, as you may see it." {
        "user_id": Slot::id, "status": Slot::word(status::WORDS), "custom_status": Slot::opt_str,
        "custom_emoji": Slot::opt_str,
    }
    USER = "UserUpdate" "A profile that has changed." { "user": object(UserPublicResponse::SHAPE) }
    RELATIONSHIP = "RelationshipAdd" "How you stand to somebody now." {
        "user_id": Slot::id, "username": Slot::str, "status": Slot::word(relation::WORDS), "created_at": Slot::time,
        "message": Slot::opt_str.sometimes(), "presence": object(PresenceStatus::SHAPE).sometimes(),
    }
    RELATIONSHIP_GONE = "RelationshipRemove" "With whom there is nothing any more." { "user_id": Slot::id }
    LOGOUT = "SecurityLogout" "Why this login has ended." { "user_id": Slot::id, "message": Slot::str }
    NOTIFICATION_READ = "NotificationUpdate" "Which notification is read; or that all are." {
        "id": Slot::some_id, "read": Slot::bool.sometimes(), "all_read": Slot::bool.sometimes(),
    }
    NOTIFICATION_GONE = "NotificationDelete" "Which notification is gone." { "id": Slot::id }
    WEBHOOKS = "WebhooksUpdate" "Of which channel the webhooks have changed." { "guild_id": Slot::id, "channel_id": Slot::id }
    VOICE_STATE = "VoiceStateUpdate" "Who is in which voice channel, and how; null: in none." {
        "user_id": Slot::id, "channel_id": Slot::opt_id, "guild_id": Slot::id, "self_mute": Slot::bool,
        "self_deaf": Slot::bool, "mute": Slot::bool, "deaf": Slot::bool, "suppress": Slot::bool,
        "self_video": Slot::bool, "self_stream": Slot::bool,
    }
    VOICE_SERVER = "VoiceServerUpdate" "How to connect to the call." {
        "endpoint": Slot::opt_str, "token": Slot::str,
        "ice_servers": Slot::list(&Kind::Object(ICEServerConfig::SHAPE)), "session_id": Slot::str,
        "channel_id": Slot::id, "user_id": Slot::id, "bitrate": Slot::u64,
    }
    EMOJIS = "GuildEmojisUpdate" "All emojis of a server." {
        "guild_id": Slot::id, "server_id": Slot::id, "emojis": Slot::list(&Kind::Object(EmojiResponse::SHAPE)),
    }
    STICKERS = "GuildStickersUpdate" "All stickers of a server." {
        "guild_id": Slot::id, "sticker_packs": Slot::list(&Kind::Object(StickerPackResponse::SHAPE)),
    }
}

const READERS: &str = "who may read the channel";
const VIEWERS: &str = "who may see the channel";
const MEMBERS: &str = "members";
const SELF: &str = "you";
const OTHERS: &str = "who may read the channel, without the one who writes";
const BANS: &str = "members with `bans.view` or `members.ban`";
const INVITERS: &str = "members with `invites.manage`, and who has made it";

const fn event(
    name: EventName,
    when: &'static str,
    who: &'static str,
    in_server: u16,
    in_private: u16,
    data: &'static [&'static Shape],
) -> EventRow {
    EventRow { name, when, who, in_server, in_private, data }
}

/// All of them.
#[rustfmt::skip]
pub const EVENTS: &[EventRow] = &[
    event(E::Ready, "IDENTIFY was accepted", "this session", NONE, NONE, &[READY]),
    event(E::Resumed, "RESUME was accepted; what was missed follows", "this session", NONE, NONE, &[NOTHING]),
    event(E::MessageCreate, "a message was posted", READERS, GUILD_MESSAGES, DIRECT_MESSAGES, &[MESSAGE_EVENT]),
    event(E::MessageUpdate, "a message was edited, pinned, unpinned, voted on", READERS, GUILD_MESSAGES, DIRECT_MESSAGES, &[MESSAGE_EVENT]),
    event(E::MessageDelete, "a message was deleted; by automod: `automod` is true", READERS, GUILD_MESSAGES, DIRECT_MESSAGES, &[MESSAGE_GONE]),
    event(E::MessageDeleteBulk, "many messages were deleted at once", READERS, GUILD_MESSAGES, DIRECT_MESSAGES, &[MESSAGES_GONE]),
    event(E::MessageAck, "somebody has marked messages as read", "all sessions of the one who has; other readers, if he and the channel let them know", NONE, NONE, &[ACK]),
    event(E::MessageReactionAdd, "a reaction was put", READERS, GUILD_MESSAGE_REACTIONS, DIRECT_MESSAGE_REACTIONS, &[REACTION_EVENT]),
    event(E::MessageReactionRemove, "a reaction was taken back", READERS, GUILD_MESSAGE_REACTIONS, DIRECT_MESSAGE_REACTIONS, &[REACTION_EVENT]),
    event(E::MessageReactionRemoveAll, "all reactions of a message were cleared", READERS, GUILD_MESSAGE_REACTIONS, DIRECT_MESSAGE_REACTIONS, &[REACTIONS_GONE]),
    event(E::MessageReactionRemoveEmoji, "those with one emoji were", READERS, GUILD_MESSAGE_REACTIONS, DIRECT_MESSAGE_REACTIONS, &[REACTIONS_OF_EMOJI_GONE]),
    event(E::ChannelPinsUpdate, "what is pinned has changed", READERS, GUILDS, NONE, &[PINS]),
    event(E::TypingStart, "somebody writes; it lapses by itself", OTHERS, GUILD_MESSAGE_TYPING, DIRECT_MESSAGE_TYPING, &[TYPING_START]),
    event(E::TypingStop, "somebody writes no more", OTHERS, GUILD_MESSAGE_TYPING, DIRECT_MESSAGE_TYPING, &[TYPING_STOP]),
    event(E::GuildCreate, "you have joined or created a server", SELF, GUILDS, GUILDS, &[GUILD_CREATE]),
    event(E::GuildUpdate, "a server has changed", MEMBERS, GUILDS, GUILDS, &[ServerResponse::SHAPE]),
    event(E::GuildDelete, "a server was deleted, or you are in it no more", "members; or you", GUILDS, GUILDS, &[GUILD_DELETE]),
    event(E::ChannelCreate, "a channel was created, or you may see it now; a direct message or group was begun", VIEWERS, GUILDS, NONE, &[ChannelResponse::SHAPE, DM_EVENT, GROUP_EVENT]),
    event(E::ChannelUpdate, "a channel has changed", VIEWERS, GUILDS, NONE, &[CHANNEL_ORDER, GROUP_EVENT]),
    event(E::ChannelDelete, "a channel was deleted, or you may see it no more", VIEWERS, GUILDS, NONE, &[CHANNEL_GONE]),
    event(E::GuildRoleCreate, "a role was created", MEMBERS, GUILDS, GUILDS, &[ROLE_EVENT]),
    event(E::GuildRoleUpdate, "a role has changed, or roles have moved", MEMBERS, GUILDS, GUILDS, &[ROLE_EVENT]),
    event(E::GuildRoleDelete, "a role was deleted", MEMBERS, GUILDS, GUILDS, &[ROLE_GONE]),
    event(E::GuildMemberAdd, "somebody has joined", "the other members", GUILD_MEMBERS, GUILD_MEMBERS, &[MEMBER_ADD]),
    event(E::GuildMemberRemove, "somebody has left, or was removed", "the remaining members", GUILD_MEMBERS, GUILD_MEMBERS, &[MEMBER_GONE]),
    event(E::GuildMemberUpdate, "roles, nickname, timeout of a member have changed", "members; the member himself whatever his intents", GUILD_MEMBERS, GUILD_MEMBERS, &[MEMBER_UPDATE]),
    event(E::GuildMembersChunk, "REQUEST_GUILD_MEMBERS is answered", "this session", GUILD_MEMBERS, GUILD_MEMBERS, &[MEMBERS_CHUNK]),
    event(E::GuildBanAdd, "somebody was banned", BANS, GUILD_BANS, GUILD_BANS, &[BAN]),
    event(E::GuildBanRemove, "a ban was lifted", BANS, GUILD_BANS, GUILD_BANS, &[BAN]),
    event(E::InviteCreate, "an invite was made", INVITERS, GUILD_INVITES, GUILD_INVITES, &[INVITE]),
    event(E::InviteDelete, "an invite was deleted, or is used up", INVITERS, GUILD_INVITES, GUILD_INVITES, &[INVITE_GONE]),
    event(E::PresenceUpdate, "somebody's visible status has changed", "his friends, and members of his servers", GUILD_PRESENCES, GUILD_PRESENCES, &[PRESENCE]),
    event(E::UserUpdate, "name, picture or badges have changed", "he and his friends; members of his servers with GUILD_MEMBERS", NONE, NONE, &[USER]),
    event(E::RelationshipAdd, "a request, a friendship, a block", SELF, NONE, NONE, &[RELATIONSHIP]),
    event(E::RelationshipRemove, "one of them has ended", SELF, NONE, NONE, &[RELATIONSHIP_GONE]),
    event(E::SecurityLogout, "this login was ended from elsewhere; the connection closes with 4004", "sessions of that login", NONE, NONE, &[LOGOUT]),
    event(E::NotificationCreate, "a message mentions you", SELF, NONE, NONE, &[NotificationInfo::SHAPE]),
    event(E::NotificationUpdate, "you have read one or all", SELF, NONE, NONE, &[NOTIFICATION_READ]),
    event(E::NotificationDelete, "one is gone, mostly with its message", SELF, NONE, NONE, &[NOTIFICATION_GONE]),
    event(E::WebhooksUpdate, "webhooks of a channel have changed", "who sees the channel and has `webhooks.manage`", GUILD_WEBHOOKS, GUILD_WEBHOOKS, &[WEBHOOKS]),
    event(E::VoiceStateUpdate, "somebody joins, changes, moves or leaves", VIEWERS, GUILD_VOICE_STATES, GUILD_VOICE_STATES, &[VOICE_STATE]),
    event(E::VoiceServerUpdate, "you have joined a voice channel", "this session", NONE, NONE, &[VOICE_SERVER]),
    event(E::GuildEmojisUpdate, "emojis of a server have changed", MEMBERS, GUILD_EMOJIS, GUILD_EMOJIS, &[EMOJIS]),
    event(E::GuildStickersUpdate, "stickers of a server have changed", MEMBERS, GUILD_EMOJIS, GUILD_EMOJIS, &[STICKERS]),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::json::parse;

    #[test]
    fn one_row_for_each_event() {
        let names: Vec<EventName> = EVENTS.iter().map(|row| row.name).collect();
        assert_eq!(names, EventName::ALL);
        assert!(EVENTS.iter().all(|row| row.in_server == NONE || !row.intents().is_empty()));
    }

    #[test]
    fn what_is_not_declared_is_found() {
        let check = |name: &str, json: &str| check(name, &parse(&mut json.as_bytes().to_vec()).unwrap());
        assert_eq!(check("TYPING_STOP", r#"{"channel_id":"1","user_id":"2"}"#), Ok(()));
        assert!(check("TYPING_STOP", r#"{"channel_id":1,"user_id":"2"}"#).is_err());
        assert!(check("TYPING_START", r#"{"channel_id":"1","user_id":"2"}"#).is_err());
        assert!(check("NO_SUCH_EVENT", "{}").is_err());
        assert_eq!(check("CHANNEL_DELETE", r#"{"id":"1","server_id":null}"#), Ok(()));
    }
}
