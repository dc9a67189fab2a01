//! What a change makes known: events for clients, and changes of who belongs where.
//!
//! An event is encoded once, inside the transaction that causes it, so it shows exactly the state it speaks of.
//! Outputs of one batch are kept in order: a removal that stands before an event is in force for it.

use std::sync::Arc;

use rkyv::{Archive, Deserialize, Serialize};
use smallvec::SmallVec;

use crate::id::{ChannelId, ServerId, TokenId, UserId};
use crate::wire::json::Object;

macro_rules! event_names {
    ($($name:ident = $text:literal;)*) => {
        /// The `t` of a dispatch.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EventName { $($name),* }

        impl EventName {
            pub const ALL: &[EventName] = &[$(EventName::$name),*];

            pub fn text(self) -> &'static str {
                match self { $(EventName::$name => $text),* }
            }
        }
    };
}

event_names! {
    Ready = "READY";
    Resumed = "RESUMED";
    MessageCreate = "MESSAGE_CREATE";
    MessageUpdate = "MESSAGE_UPDATE";
    MessageDelete = "MESSAGE_DELETE";
    MessageDeleteBulk = "MESSAGE_DELETE_BULK";
    MessageAck = "MESSAGE_ACK";
    MessageReactionAdd = "MESSAGE_REACTION_ADD";
    MessageReactionRemove = "MESSAGE_REACTION_REMOVE";
    MessageReactionRemoveAll = "MESSAGE_REACTION_REMOVE_ALL";
    MessageReactionRemoveEmoji = "MESSAGE_REACTION_REMOVE_EMOJI";
    ChannelPinsUpdate = "CHANNEL_PINS_UPDATE";
    TypingStart = "TYPING_START";
    TypingStop = "TYPING_STOP";
    GuildCreate = "GUILD_CREATE";
    GuildUpdate = "GUILD_UPDATE";
    GuildDelete = "GUILD_DELETE";
    ChannelCreate = "CHANNEL_CREATE";
    ChannelUpdate = "CHANNEL_UPDATE";
    ChannelDelete = "CHANNEL_DELETE";
    GuildRoleCreate = "GUILD_ROLE_CREATE";
    GuildRoleUpdate = "GUILD_ROLE_UPDATE";
    GuildRoleDelete = "GUILD_ROLE_DELETE";
    GuildMemberAdd = "GUILD_MEMBER_ADD";
    GuildMemberRemove = "GUILD_MEMBER_REMOVE";
    GuildMemberUpdate = "GUILD_MEMBER_UPDATE";
    GuildMembersChunk = "GUILD_MEMBERS_CHUNK";
    GuildBanAdd = "GUILD_BAN_ADD";
    GuildBanRemove = "GUILD_BAN_REMOVE";
    InviteCreate = "INVITE_CREATE";
    InviteDelete = "INVITE_DELETE";
    PresenceUpdate = "PRESENCE_UPDATE";
    UserUpdate = "USER_UPDATE";
    RelationshipAdd = "RELATIONSHIP_ADD";
    RelationshipRemove = "RELATIONSHIP_REMOVE";
    SecurityLogout = "SECURITY_LOGOUT";
    NotificationCreate = "NOTIFICATION_CREATE";
    NotificationUpdate = "NOTIFICATION_UPDATE";
    NotificationDelete = "NOTIFICATION_DELETE";
    WebhooksUpdate = "WEBHOOKS_UPDATE";
    VoiceStateUpdate = "VOICE_STATE_UPDATE";
    VoiceServerUpdate = "VOICE_SERVER_UPDATE";
    GuildEmojisUpdate = "GUILD_EMOJIS_UPDATE";
    GuildStickersUpdate = "GUILD_STICKERS_UPDATE";
}

/// Intent bits (gateway.md §6.1). An event with `NONE` goes to every session.
pub mod intent {
    pub const NONE: u16 = 0;
    pub const GUILDS: u16 = 1 << 0;
    pub const GUILD_MEMBERS: u16 = 1 << 1;
    pub const GUILD_BANS: u16 = 1 << 2;
    pub const GUILD_EMOJIS: u16 = 1 << 3;
    pub const GUILD_WEBHOOKS: u16 = 1 << 5;
    pub const GUILD_INVITES: u16 = 1 << 6;
    pub const GUILD_VOICE_STATES: u16 = 1 << 7;
    pub const GUILD_PRESENCES: u16 = 1 << 8;
    pub const GUILD_MESSAGES: u16 = 1 << 9;
    pub const GUILD_MESSAGE_REACTIONS: u16 = 1 << 10;
    pub const GUILD_MESSAGE_TYPING: u16 = 1 << 11;
    pub const DIRECT_MESSAGES: u16 = 1 << 12;
    pub const DIRECT_MESSAGE_REACTIONS: u16 = 1 << 13;
    pub const DIRECT_MESSAGE_TYPING: u16 = 1 << 14;
    /// What is in messages: bots alone have to ask for it.
    pub const MESSAGE_CONTENT: u16 = 1 << 15;
    /// All but members, presences and message content.
    pub const DEFAULT: u16 = 32_509;
}

/// Whose sessions get an event. Every live or detached session of those users that asked for the intent.
#[derive(Clone, Debug, PartialEq)]
pub enum Audience {
    /// These users, each once.
    Users(SmallVec<[UserId; 2]>),
    /// Members of the server; with `any_of != 0` only those who have one of these permissions server-wide.
    Server { server_id: ServerId, any_of: u64 },
    /// Members who have all the permissions in that channel at the moment of the event.
    Channel { server_id: ServerId, channel_id: ChannelId, all_of: u64 },
    /// Friends of the user and members of servers he is in, minus himself and blocked pairs, each once.
    Acquaintances(UserId),
    /// Members of servers he is in, minus himself, his friends and blocked pairs, each once.
    Neighbours(UserId),
}

impl Audience {
    pub fn user(id: UserId) -> Audience {
        Audience::Users(SmallVec::from_slice(&[id]))
    }

    pub fn members(server_id: ServerId) -> Audience {
        Audience::Server { server_id, any_of: 0 }
    }
}

/// One dispatch, the same for everybody who gets it but for the sequence number.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: EventName,
    /// One bit of [`intent`], or `NONE`.
    pub intent: u16,
    pub audience: Audience,
    /// A user who gets nothing although he belongs to the audience.
    pub except: Option<UserId>,
    /// JSON of `d`.
    pub payload: Arc<[u8]>,
    /// `d` gains `"presence":{"status":…}` of this user, as visible when the event is delivered: whether he is
    /// there is not part of the stored state.
    pub presence_of: Option<UserId>,
}

impl Event {
    pub fn new(name: EventName, intent: u16, audience: Audience, payload: Vec<u8>) -> Event {
        assert_eq!(payload.first(), Some(&b'{'), "the payload of an event is an object");
        assert_eq!(payload.last(), Some(&b'}'), "the payload of an event is whole");
        assert!(intent.count_ones() <= 1, "an event has one intent at most");
        debug_assert!(payload.len() <= crate::limits::EVENT_LEN_MAX, "{} bytes", payload.len());
        Event { name, intent, audience, except: None, payload: payload.into(), presence_of: None }
    }

    pub fn except(mut self, user_id: UserId) -> Event {
        self.except = Some(user_id);
        self
    }
}

/// JSON of an event's `d`.
pub(super) fn payload(write: impl FnOnce(&mut Object<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Object::new(&mut out));
    out
}

/// How a login token ended; decides what its gateway sessions are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub enum Revocation {
    /// `POST /auth/logout`: close 4004 "Logged out", nothing before it.
    LoggedOut,
    /// Ended from elsewhere: SECURITY_LOGOUT, then 4004 "Security logout".
    Security,
    /// The account was locked: SECURITY_LOGOUT, then 4004 "Account suspended".
    Suspended,
}

/// A change of who belongs where, for the indexes of the cores.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    MemberAdded {
        server_id: ServerId,
        user_id: UserId,
    },
    MemberRemoved {
        server_id: ServerId,
        user_id: UserId,
    },
    /// All members go at once.
    ServerRemoved {
        server_id: ServerId,
    },
    /// Roles or overrides of the server give other permissions than before.
    PermissionsChanged {
        server_id: ServerId,
    },
    /// A member has other roles than before.
    MemberRolesChanged {
        server_id: ServerId,
        user_id: UserId,
    },
    /// The login token is no longer valid.
    TokenRevoked {
        token_id: TokenId,
        user_id: UserId,
        how: Revocation,
    },
    /// There is maintenance, or something else is said of it.
    MaintenanceBegun,
    /// All login tokens up to this one are no longer valid.
    EverybodyLoggedOut {
        up_to: TokenId,
    },
    /// Everybody is sent away from this server, over that time.
    DrainBegun {
        spread_ms: u64,
    },
    /// They are not, any more.
    DrainOver,
    /// The connections of an account are closed, or those of one of its login sessions.
    Disconnected {
        user_id: UserId,
        token_id: Option<TokenId>,
    },
    /// The stored presence of a user changed.
    PresenceStored {
        user_id: UserId,
    },
}

/// What apply hands to the cores, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Event(Event),
    Change(Change),
}
