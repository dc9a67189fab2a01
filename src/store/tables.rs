//! The table of tables: name on disk, key, record. Names and keys are promises; append, never change.

use super::records::*;
use super::table::{Table, check, seed};
use crate::id::{AuditId, ChannelId, MessageId, RoleId, ServerId, TokenId, UserId};

/// What `ROWS` says of one table.
pub struct Row {
    pub name: &'static str,
    /// Types of the key and the record, as they stand in the source.
    pub key: &'static str,
    pub record: &'static str,
    pub doc: &'static str,
    /// Whether key and value are a record of this table, and whether a checksum says so; else what is wrong.
    pub check: fn(&[u8], &[u8]) -> Result<bool, &'static str>,
}

/// Short for keys that end in a text: the lifetime of the text is the caller's.
type Text = &'static str;

macro_rules! tables {
    ($($(#[doc = $doc:literal])+ $table:ident $name:literal: $key:ty => $record:ty;)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $($table),* }
        $($(#[doc = $doc])+ pub const $table: Table<$key, $record> =
            Table::new(Index::$table as usize, seed($name));)*
        pub const ROWS: &[Row] = &[$(Row {
            name: $name,
            key: stringify!($key),
            record: stringify!($record),
            doc: concat!($($doc),+),
            check: |key, value| check::<$key, $record>(seed($name), key, value),
        }),*];
        pub const TABLE_COUNT: usize = ROWS.len();
    };
}

tables! {
    /// Format version, last id given out, times of the last batch, commands applied, position in the log.
    META "meta": Text => Meta;
    /// Accounts.
    USERS "users": UserId => User;
    /// Lower-case user name to account.
    USER_NAMES "user_names": Text => UserRef;
    /// Lower-case e-mail address to account.
    USER_EMAILS "user_emails": Text => UserRef;
    /// Password hash and failed attempts, apart from the account because every request reads that.
    CREDENTIALS "credentials": UserId => Credential;
    /// Login sessions.
    TOKENS "tokens": TokenId => Token;
    /// Login sessions of a user.
    USER_TOKENS "user_tokens": (UserId, TokenId) => Nil;
    /// Accounts to purge, by due time in milliseconds of steady time.
    DELETIONS "deletions": (u64, UserId) => Nil;
    /// Key-value settings of clients.
    SETTINGS "settings": (UserId, Text) => Setting;
    /// Messaging preferences; absent means the defaults.
    MESSAGING "messaging": UserId => Messaging;
    /// Relationship as the first user sees it.
    RELATIONSHIPS "relationships": (UserId, UserId) => Relationship;
    /// Stored presence; absent means never set.
    PRESENCES "presences": UserId => Presence;
    /// Servers.
    SERVERS "servers": ServerId => Server;
    /// Members of a server.
    MEMBERS "members": (ServerId, UserId) => Member;
    /// Servers of a user.
    USER_SERVERS "user_servers": (UserId, ServerId) => Nil;
    /// Channels of all kinds.
    CHANNELS "channels": ChannelId => Channel;
    /// Channels of a server.
    SERVER_CHANNELS "server_channels": (ServerId, ChannelId) => Nil;
    /// Permission overrides: channel, 0 for a role or 1 for a member, its id.
    OVERRIDES "overrides": (ChannelId, u8, u64) => Override;
    /// Roles of a server; @everyone is one of them.
    ROLES "roles": (ServerId, RoleId) => Role;
    /// Bans of a server.
    BANS "bans": (ServerId, UserId) => Ban;
    /// Invites by code.
    INVITES "invites": Text => Invite;
    /// Invites of a server by code.
    SERVER_INVITES "server_invites": (ServerId, Text) => Nil;
    /// Audit log of a server.
    AUDIT "audit": (ServerId, AuditId) => Audit;
    /// Direct-message channel of a pair (smaller id first); the notes channel of a user is the pair with himself.
    DM_PAIRS "dm_pairs": (UserId, UserId) => ChannelRef;
    /// Direct-message channels of a user, with the other side.
    USER_DMS "user_dms": (UserId, ChannelId) => UserRef;
    /// Messages of a channel in order.
    MESSAGES "messages": (ChannelId, MessageId) => Message;
    /// Messages of an author, with their channel: for ban clean-up, purge and slowmode.
    AUTHOR_MESSAGES "author_messages": (UserId, MessageId) => ChannelRef;
    /// Pins of a channel by the id that orders them (newest pin greatest).
    PINS "pins": (ChannelId, u64) => MessageRef;
    /// Emoji of a message with their counts, in order of first use.
    REACTION_SETS "reaction_sets": MessageId => ReactionSet;
    /// Whether a user reacted: message, index of the emoji in its set, user.
    REACTIONS "reactions": (MessageId, u16, UserId) => Reaction;
    /// Who reacted in order of time: message, emoji index, position, user.
    REACTION_ORDER "reaction_order": (MessageId, u16, u64, UserId) => Nil;
    /// Up to which message a user has acknowledged a channel.
    READ_MARKS "read_marks": (UserId, ChannelId) => MessageRef;
    /// The same by channel, for the list of readers.
    CHANNEL_READERS "channel_readers": (ChannelId, UserId) => MessageRef;
    /// When a user last wrote to a channel with slowmode, in steady time.
    SLOWMODE "slowmode": (ChannelId, UserId) => Meta;
    /// Channels that are gone and whose messages are still to be removed.
    CHANNEL_GARBAGE "channel_garbage": ChannelId => Nil;
    /// Bans of a server by the id that orders them.
    BAN_ORDER "ban_order": (ServerId, u64) => UserRef;
    /// Servers that are gone and of which members, bans or audit entries are still to be removed.
    SERVER_GARBAGE "server_garbage": ServerId => Nil;
    /// Failed log-ins by the key of the name that was typed.
    LOGIN_NAMES "login_names": u64 => LoginName;
    /// The same by the time when they are forgotten.
    LOGIN_LAPSES "login_lapses": (u64, u64) => Nil;
    /// Where users stood in the order of an emoji when they took it back: message, emoji index, user.
    REACTION_PLACES "reaction_places": (MessageId, u16, UserId) => Meta;
    /// Temporary memberships, by their user: they end when he has no session any more.
    TEMPORARY_MEMBERS "temporary_members": (UserId, ServerId) => Nil;
    /// Windows of a ledger by the message before which the former one ended: 0 and channel or 1 and author, message.
    LEDGER_WINDOWS "ledger_windows": (u8, u64, u64) => Meta;
    /// Messages in windows that ended, added up: channel, author or 0 for all, window.
    LEDGER_COUNTS "ledger_counts": (ChannelId, u64, u64) => Meta;
    /// Messages deleted from such windows: channel, author or 0 for all, node of the tree over the windows.
    LEDGER_GONE "ledger_gone": (ChannelId, u64, u64) => Meta;
}
