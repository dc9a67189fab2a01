//! The table of tables: name on disk, key, record, on what its rows hang. Names and keys are promises; append, never
//! change. A row that hangs on nothing says so: `[root]`, or `[due]` where it goes by itself. `sealed`: what people
//! have written, and addresses of mails, which nobody reads who has the file alone.

use super::blobs::Hash;
use super::key::encode;
use super::owners::{Along, Hangs, Owner, of_parts, of_row, on, on_after};
use super::records::*;
use super::table::{Table, check, seed};
use crate::id::{
    AccessScopeId, AccessTokenId, AdminId, AttachmentId, AuditId, ChallengeId, ChannelId, EmojiId, MessageId,
    NameBanId, PasskeyId, PollId, ReportId, RoleId, RuleId, ServerId, SignInId, StickerId, TicketId, TokenId,
    UserId, ViolationId, WebhookId,
};

/// What `ROWS` says of one table.
pub struct Row {
    pub name: &'static str,
    /// Types of the key and the record, as they stand in the source.
    pub key: &'static str,
    pub record: &'static str,
    pub doc: &'static str,
    /// Where its checksums begin.
    pub(super) seed: u32,
    /// Whether key and value are a record of this table, and whether a checksum says so; else what is wrong.
    pub check: fn(&[u8], &[u8]) -> Result<bool, &'static str>,
    pub hangs: Hangs,
    /// Its records lie sealed: see `sealing.rs`.
    pub sealed: bool,
    /// Tables whose rows go with its own, by their places in `ROWS`.
    pub takes: &'static [usize],
    /// What goes with one of its rows.
    pub along: fn(&[u8], &[u8]) -> Along,
}

/// Short for keys that end in a text: the lifetime of the text is the caller's.
type Text = &'static str;

/// Whether each table that hangs with another is among those whose rows that one takes.
const fn all_taken() -> bool {
    let mut index = 0;
    while index < ROWS.len() {
        if let Hangs::With(parent) = ROWS[index].hangs {
            let (takes, mut at) = (ROWS[parent].takes, 0);
            while at < takes.len() && takes[at] != index {
                at += 1;
            }
            if at == takes.len() {
                return false;
            }
        }
        index += 1;
    }
    true
}

macro_rules! sealed {
    (sealed $($rest:tt)*) => {
        true
    };
    ($($rest:tt)*) => {
        false
    };
}

macro_rules! hangs {
    ($key:ty, sealed $($rest:tt)+) => {
        hangs!($key, $($rest)+)
    };
    ($key:ty, root) => {
        Hangs::Root
    };
    ($key:ty, due) => {
        Hangs::Due
    };
    ($key:ty, with $table:ident) => {
        Hangs::With($table.index)
    };
    ($key:ty, on $id:ident) => {
        on::<$key, $id>()
    };
    ($key:ty, on $id:ident after $tag:literal) => {
        on_after::<$id>($tag)
    };
}

macro_rules! along {
    ($key:ty, $record:ty;) => {
        |_, _| Along::default()
    };
    ($key:ty, $record:ty;
        $(takes $other:ident(|$taking:pat_param, $taken:pat_param| $made:expr))*
        $(ends(|$ending:pat_param, $end:pat_param| $ended:expr))?
        $(names(|$naming:pat_param| $named:expr))?
    ) => {
        |key, value| {
            let along = of_row::<$key, $record, _>(key, value, |key, record| {
                #[allow(unused_mut)]
                let mut along = Along::default();
                $(along.keys.push(($other.index, of_parts(&key, &record, |$taking, $taken| encode($made))));)*
                $(along.ended = Some(of_parts(&key, &record, |$ending, $end| Owner::from($ended)));)?
                $(along.blobs.extend(of_parts(&key, &record, |_, $naming| -> Vec<Hash> {
                    $named.into_iter().collect()
                }));)?
                along
            });
            along.unwrap_or_default()
        }
    };
}

macro_rules! tables {
    ($(
        $(#[doc = $doc:literal])+
        $table:ident $name:literal: $key:ty => $record:ty [$($hangs:tt)+]
        $(takes $other:ident(|$taking:pat_param, $taken:pat_param| $made:expr))*
        $(ends(|$ending:pat_param, $end:pat_param| $ended:expr))?
        $(names(|$naming:pat_param| $named:expr))?;
    )*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Index { $($table),* }
        $($(#[doc = $doc])+ pub const $table: Table<$key, $record> =
            Table::new(Index::$table as usize, seed($name));)*
        pub const ROWS: &[Row] = &[$(Row {
            name: $name,
            key: stringify!($key),
            record: stringify!($record),
            doc: concat!($($doc),+),
            seed: seed($name),
            check: |key, value| check::<$key, $record>(seed($name), key, value),
            hangs: hangs!($key, $($hangs)+),
            sealed: sealed!($($hangs)+),
            takes: &[$($other.index),*],
            along: along!($key, $record;
                $(takes $other(|$taking, $taken| $made))* $(ends(|$ending, $end| $ended))?
                $(names(|$naming| $named))?),
        }),*];
        pub const TABLE_COUNT: usize = ROWS.len();
        const _: () = assert!(all_taken(), "a table hangs with another that does not take its rows");
    };
}

tables! {
    /// Format version, last id given out, times of the last batch, commands applied, position in the log.
    META "meta": Text => Meta [root];
    /// Accounts.
    USERS "users": UserId => User [root]
        takes USER_NAMES(|_, user| user.username.to_ascii_lowercase().as_str())
        takes USER_EMAILS(|_, user| user.email_key.as_str());
    /// Lower-case user name to account.
    USER_NAMES "user_names": Text => UserRef [with USERS];
    /// Key of an e-mail address to account.
    USER_EMAILS "user_emails": Text => UserRef [with USERS];
    /// Password hash and failed attempts, apart from the account because every request reads that.
    CREDENTIALS "credentials": UserId => Credential [on UserId];
    /// Login sessions.
    TOKENS "tokens": TokenId => Token [with USER_TOKENS];
    /// Login sessions of a user.
    USER_TOKENS "user_tokens": (UserId, TokenId) => Nil [on UserId]
        takes TOKENS(|(_, token_id), _| token_id);
    /// Accounts to purge, by due time in milliseconds of steady time.
    DELETIONS "deletions": (u64, UserId) => Nil [due];
    /// Key-value settings of clients.
    SETTINGS "settings": (UserId, Text) => Setting [on UserId];
    /// Messaging preferences; absent means the defaults.
    MESSAGING "messaging": UserId => Messaging [on UserId];
    /// Relationship as the first user sees it.
    RELATIONSHIPS "relationships": (UserId, UserId) => Relationship [on UserId];
    /// Stored presence; absent means never set.
    PRESENCES "presences": UserId => Presence [on UserId];
    /// Servers.
    SERVERS "servers": ServerId => Server [root];
    /// Members of a server.
    MEMBERS "members": (ServerId, UserId) => Member [on ServerId]
        takes USER_SERVERS(|(server_id, user_id), _| (user_id, server_id))
        takes TEMPORARY_MEMBERS(|(server_id, user_id), _| (user_id, server_id));
    /// Servers of a user.
    USER_SERVERS "user_servers": (UserId, ServerId) => Nil [on UserId]
        takes MEMBERS(|(user_id, server_id), _| (server_id, user_id))
        takes TEMPORARY_MEMBERS(|key, _| key);
    /// Channels of all kinds. Direct messages stay as long as one of the two may come back to them.
    CHANNELS "channels": ChannelId => Channel [root];
    /// Channels of a server.
    SERVER_CHANNELS "server_channels": (ServerId, ChannelId) => Nil [on ServerId]
        takes CHANNELS(|(_, channel_id), _| channel_id)
        ends(|(_, channel_id), _| channel_id);
    /// Permission overrides: channel, 0 for a role or 1 for a member, its id.
    OVERRIDES "overrides": (ChannelId, u8, u64) => Override [on ChannelId];
    /// Roles of a server; @everyone is one of them.
    ROLES "roles": (ServerId, RoleId) => Role [on ServerId];
    /// Bans of a server.
    BANS "bans": (ServerId, UserId) => Ban [on ServerId]
        takes BAN_ORDER(|(server_id, _), ban| (server_id, ban.order));
    /// Invites by code.
    INVITES "invites": Text => Invite [with SERVER_INVITES]
        takes SERVER_INVITES(|code, invite| (invite.server_id, code.as_str()));
    /// Invites of a server by code.
    SERVER_INVITES "server_invites": (ServerId, Text) => Nil [on ServerId]
        takes INVITES(|(_, code), _| code.as_str());
    /// Audit log of a server.
    AUDIT "audit": (ServerId, AuditId) => Audit [on ServerId];
    /// Direct-message channel of a pair (smaller id first); the notes channel of a user is the pair with himself.
    DM_PAIRS "dm_pairs": (UserId, UserId) => ChannelRef [root]
        takes CHANNELS(|_, channel| channel.id)
        ends(|_, channel| channel.id);
    /// Direct-message channels of a user, with the other side.
    USER_DMS "user_dms": (UserId, ChannelId) => UserRef [root];
    /// Messages of a channel in order.
    MESSAGES "messages": (ChannelId, MessageId) => Message [sealed on ChannelId]
        takes AUTHOR_MESSAGES(|(_, message_id), message| (message.author_id, message_id))
        ends(|(_, message_id), _| message_id);
    /// Messages of an author, with their channel: for ban clean-up, purge and slowmode.
    AUTHOR_MESSAGES "author_messages": (UserId, MessageId) => ChannelRef [with MESSAGES];
    /// Pins of a channel by the id that orders them (newest pin greatest).
    PINS "pins": (ChannelId, u64) => MessageRef [on ChannelId];
    /// Emoji of a message with their counts, in order of first use.
    REACTION_SETS "reaction_sets": MessageId => ReactionSet [on MessageId];
    /// Whether a user reacted: message, index of the emoji in its set, user.
    REACTIONS "reactions": (MessageId, u16, UserId) => Reaction [on MessageId];
    /// Who reacted in order of time: message, emoji index, position, user.
    REACTION_ORDER "reaction_order": (MessageId, u16, u64, UserId) => Nil [on MessageId];
    /// Up to which message a user has acknowledged a channel.
    READ_MARKS "read_marks": (UserId, ChannelId) => MessageRef [on UserId]
        takes CHANNEL_READERS(|(user_id, channel_id), _| (channel_id, user_id));
    /// The same by channel, for the list of readers.
    CHANNEL_READERS "channel_readers": (ChannelId, UserId) => MessageRef [on ChannelId]
        takes READ_MARKS(|(channel_id, user_id), _| (user_id, channel_id));
    /// When a user last wrote to a channel with slowmode, in steady time.
    SLOWMODE "slowmode": (ChannelId, UserId) => Meta [on ChannelId];
    /// Channels that are gone and of which messages and more are still to be removed.
    CHANNEL_GARBAGE "channel_garbage": ChannelId => Nil [due];
    /// Bans of a server by the id that orders them.
    BAN_ORDER "ban_order": (ServerId, u64) => UserRef [with BANS];
    /// Servers that are gone and of which members, bans or audit entries are still to be removed.
    SERVER_GARBAGE "server_garbage": ServerId => Nil [due];
    /// Failed log-ins by the key of the name that was typed.
    LOGIN_NAMES "login_names": u64 => LoginName [due];
    /// The same by the time when they are forgotten.
    LOGIN_LAPSES "login_lapses": (u64, u64) => Nil [due];
    /// Where users stood in the order of an emoji when they took it back: message, emoji index, user.
    REACTION_PLACES "reaction_places": (MessageId, u16, UserId) => Meta [on MessageId];
    /// Temporary memberships, by their user: they end when he has no session any more.
    TEMPORARY_MEMBERS "temporary_members": (UserId, ServerId) => Nil [with MEMBERS];
    /// Windows of a ledger by the message before which the former one ended: 0 and channel or 1 and author, message.
    /// Those of an author stay, as what he wrote does.
    LEDGER_WINDOWS "ledger_windows": (u8, u64, u64) => Meta [on ChannelId after 0];
    /// Messages in windows that ended, added up: channel, author or 0 for all, window.
    LEDGER_COUNTS "ledger_counts": (ChannelId, u64, u64) => Meta [on ChannelId];
    /// Messages deleted from such windows: channel, author or 0 for all, node of the tree over the windows.
    LEDGER_GONE "ledger_gone": (ChannelId, u64, u64) => Meta [on ChannelId];
    /// Messages that are gone and of which reactions are still to be removed.
    MESSAGE_GARBAGE "message_garbage": MessageId => Nil [due];
    /// What changes have left to do: when it is due in steady time, and an id.
    OUTBOX "outbox": (u64, u64) => Errand [due];
    /// How many records name a blob, by the SHA-256 of what is in it.
    BLOBS "blobs": Hash => Meta [root];
    /// What pictures look like that have a row there, where somebody has looked. They go with that.
    BLOB_LOOKS "blob_looks": Hash => Meta [root];
    /// Notifications of a user by the message that mentions him.
    NOTIFICATIONS "notifications": (UserId, MessageId) => Notification [on UserId]
        takes NOTIFIED(|(user_id, message_id), _| (message_id, user_id));
    /// Whom a message has told.
    NOTIFIED "notified": (MessageId, UserId) => Nil [on MessageId]
        takes NOTIFICATIONS(|(message_id, user_id), _| (user_id, message_id));
    /// What those whom a message has told are shown of it.
    NOTICES "notices": MessageId => Notice [sealed on MessageId];
    /// What is known of the notifications of a user as a whole.
    INBOXES "inboxes": UserId => Inbox [on UserId];
    /// Second factors; absent means never begun.
    TWO_FACTORS "two_factors": UserId => TwoFactor [on UserId];
    /// Logins between password and code.
    CHALLENGES "challenges": ChallengeId => Challenge [with USER_CHALLENGES];
    /// The same by user.
    USER_CHALLENGES "user_challenges": (UserId, ChallengeId) => Nil [on UserId]
        takes CHALLENGES(|(_, challenge_id), _| challenge_id);
    /// Webhooks.
    WEBHOOKS "webhooks": WebhookId => Webhook [with SERVER_WEBHOOKS];
    /// Webhooks of a server, with their channel.
    SERVER_WEBHOOKS "server_webhooks": (ServerId, WebhookId) => ChannelRef [on ServerId]
        takes WEBHOOKS(|(_, webhook_id), _| webhook_id)
        takes CHANNEL_WEBHOOKS(|(_, webhook_id), channel| (channel.id, webhook_id));
    /// Webhooks of a channel, with its server.
    CHANNEL_WEBHOOKS "channel_webhooks": (ChannelId, WebhookId) => ServerRef [on ChannelId]
        takes WEBHOOKS(|(_, webhook_id), _| webhook_id)
        takes SERVER_WEBHOOKS(|(_, webhook_id), server| (server.id, webhook_id));
    /// Bots of an owner.
    BOTS "bots": (UserId, UserId) => Nil [on UserId];
    /// What automod is of a server; absent means that it never had a rule.
    AUTOMODS "automods": ServerId => Automod [on ServerId];
    /// Rules of automod.
    AUTOMOD_RULES "automod_rules": (ServerId, RuleId) => AutomodRule [on ServerId];
    /// What was written against them. They outlive their rule and their author.
    VIOLATIONS "violations": (ServerId, ViolationId) => Violation [sealed on ServerId]
        takes USER_VIOLATIONS(|(server_id, id), violation| (server_id, violation.user_id, id))
        takes VIOLATION_LAPSES(|(server_id, id), violation| (violation.lapses_at, server_id, id));
    /// The same by author.
    USER_VIOLATIONS "user_violations": (ServerId, UserId, ViolationId) => Nil [with VIOLATIONS];
    /// The same by the time when they are forgotten.
    VIOLATION_LAPSES "violation_lapses": (u64, ServerId, ViolationId) => Nil [with VIOLATIONS];
    /// Tokens that were sent by mail, one of a kind: user, kind of the mail.
    MAIL_TOKENS "mail_tokens": (UserId, u8) => MailToken [on UserId];
    /// Mails that have not left, by their user and an id.
    MAILS "mails": (UserId, u64) => Mail [sealed on UserId]
        takes MAIL_TIMES(|(user_id, mail_id), mail| (mail.due, user_id, mail_id));
    /// The same by when they are tried next.
    MAIL_TIMES "mail_times": (u64, UserId, u64) => Nil [with MAILS];
    /// From where somebody has signed in.
    SIGN_INS "sign_ins": UserId => SignIns [on UserId];
    /// Whom to remind of his deletion: when, and when that is.
    REMINDERS "reminders": (u64, UserId) => Meta [due];
    /// Reports of messages. They stay when what they are about is gone.
    MESSAGE_REPORTS "message_reports": ReportId => MessageReport [sealed root]
        takes MESSAGE_REPORT_STATES(|report_id, report| (report.status, report_id));
    /// The same by state.
    MESSAGE_REPORT_STATES "message_report_states": (u8, ReportId) => Nil [with MESSAGE_REPORTS];
    /// Reports of people. They stay when accounts are gone.
    USER_REPORTS "user_reports": ReportId => UserReport [sealed root]
        takes USER_REPORT_STATES(|report_id, report| (report.status, report_id));
    /// The same by state.
    USER_REPORT_STATES "user_report_states": (u8, ReportId) => Nil [with USER_REPORTS];
    /// What users wrote to those who run the server.
    TICKETS "tickets": TicketId => Ticket [sealed root]
        takes TICKET_STATES(|ticket_id, ticket| (ticket.status, ticket_id));
    /// The same by state.
    TICKET_STATES "ticket_states": (u8, TicketId) => Nil [with TICKETS];
    /// How many reports of messages (0) and people (1) and tickets (2) and files (3) are in a state.
    TALLIES "tallies": (u8, u8) => Meta [root];
    /// What a user has sent of the feedback that he may.
    FEEDBACK_COUNTS "feedback_counts": UserId => FeedbackCount [on UserId];
    /// Access tokens, those that have ended included.
    ACCESS_TOKENS "access_tokens": AccessTokenId => AccessToken [root]
        takes ACCESS_HASHES(|_, token| token.secret_hash)
        takes ACCESS_LAPSES(|token_id, token| (token.expires_at.unwrap_or(u64::MAX), token_id));
    /// The same by the SHA-256 of what is shown.
    ACCESS_HASHES "access_hashes": Hash => AccessRef [with ACCESS_TOKENS];
    /// Those that are not revoked by when they run out, in steady time.
    ACCESS_LAPSES "access_lapses": (u64, AccessTokenId) => Nil [with ACCESS_TOKENS];
    /// Addresses and networks that may use an access token.
    ACCESS_SCOPES "access_scopes": (AccessTokenId, AccessScopeId) => AccessScope [root];
    /// What is known of the use of an access token.
    ACCESS_USES "access_uses": AccessTokenId => AccessUse [root];
    /// The same by address.
    ACCESS_ADDRESSES "access_addresses": (AccessTokenId, Text) => AccessCount [root];
    /// The same by operation.
    ACCESS_PATHS "access_paths": (AccessTokenId, Text) => AccessCount [root];
    /// Some of the last uses, by an id.
    ACCESS_EVENTS "access_events": (AccessTokenId, u64) => AccessEvent [root];
    /// Polls by the message that asks.
    POLLS "polls": MessageId => Poll [sealed on MessageId]
        takes POLL_PLACES(|_, poll| poll.id)
        ends(|_, poll| poll.id);
    /// In which message a poll is.
    POLL_PLACES "poll_places": PollId => PollPlace [with POLLS];
    /// What a user chose: a bit for each option, the first one lowest.
    POLL_VOTES "poll_votes": (PollId, UserId) => Meta [on PollId];
    /// Polls that are gone and of which votes are still to be removed.
    POLL_GARBAGE "poll_garbage": PollId => Nil [due];
    /// Sign-ins at other providers that have not led back.
    PROVIDER_SIGN_INS "provider_sign_ins": SignInId => ProviderSignIn [due]
        takes PROVIDER_SIGN_IN_LAPSES(|id, sign_in| (sign_in.expires_at, id))
        takes PROVIDER_SIGN_IN_SOURCES(|id, sign_in| (sign_in.source, id));
    /// The same by the time when they are over.
    PROVIDER_SIGN_IN_LAPSES "provider_sign_in_lapses": (u64, SignInId) => Nil [with PROVIDER_SIGN_INS];
    /// The same by where they were begun.
    PROVIDER_SIGN_IN_SOURCES "provider_sign_in_sources": (u64, SignInId) => Nil [with PROVIDER_SIGN_INS];
    /// What a user is at a provider, one of each.
    PROVIDER_LINKS "provider_links": (UserId, u8) => ProviderLink [on UserId]
        takes PROVIDER_SUBJECTS(|(_, provider), link| (provider, link.subject.as_str()));
    /// Whom a provider means by its own id.
    PROVIDER_SUBJECTS "provider_subjects": (u8, Text) => UserRef [with PROVIDER_LINKS];
    /// How fast operations were: 0 for spans of five minutes and 1 for hours, as clients say, 2 and 3 by our own clock; which
    /// one since 1970, operation.
    RESPONSE_TIMES "response_times": (u8, u64, Text) => ResponseTimes [root];
    /// What browsers have refused to load: which day since 1970, rule of the policy.
    CSP_REPORTS "csp_reports": (u64, Text) => CspReport [root];
    /// Groups of a user.
    USER_GROUPS "user_groups": (UserId, ChannelId) => Nil [on UserId];
    /// Emojis of a server, some that were deleted among them.
    EMOJIS "emojis": (ServerId, EmojiId) => Emoji [on ServerId]
        takes EMOJI_SERVERS(|(_, emoji_id), _| emoji_id)
        names(|emoji| [emoji.picture.hash]);
    /// Of which server an emoji is.
    EMOJI_SERVERS "emoji_servers": EmojiId => ServerRef [with EMOJIS];
    /// Stickers of a server, some that were deleted among them.
    STICKERS "stickers": (ServerId, StickerId) => Sticker [on ServerId]
        takes STICKER_SERVERS(|(_, sticker_id), _| sticker_id)
        names(|sticker| [sticker.picture.hash]);
    /// Of which server a sticker is.
    STICKER_SERVERS "sticker_servers": StickerId => ServerRef [with STICKERS];
    /// The id of the pack that has the stickers of a server.
    STICKER_PACKS "sticker_packs": ServerId => Meta [on ServerId];
    /// Which stickers were sent with a message.
    STICKER_USES "sticker_uses": (MessageId, StickerId) => Nil [on MessageId];
    /// Passkeys of a user.
    PASSKEYS "passkeys": (UserId, PasskeyId) => Passkey [on UserId]
        takes PASSKEY_PLACES(|_, passkey| passkey.credential_hash);
    /// Whose a credential is, by the SHA-256 of its id.
    PASSKEY_PLACES "passkey_places": Hash => PasskeyPlace [with PASSKEYS];
    /// Reports of files. They stay when accounts are gone.
    HASH_REPORTS "hash_reports": ReportId => HashReport [sealed root]
        takes HASH_REPORT_STATES(|report_id, report| (report.status, report_id))
        takes HASH_REPORTERS(|_, report| (report.person_id, report.hash_value.as_str()));
    /// The same by state.
    HASH_REPORT_STATES "hash_report_states": (u8, ReportId) => Nil [with HASH_REPORTS];
    /// The report of a file by whom he counts who made it: there is one of each.
    HASH_REPORTERS "hash_reporters": (UserId, Text) => Meta [with HASH_REPORTS];
    /// How many people have reported a file since it was last decided on.
    HASH_COUNTS "hash_counts": Text => Meta [root];
    /// Reports of files by somebody that wait to be looked at.
    HASH_PENDING_COUNTS "hash_pending_counts": UserId => Meta [on UserId];
    /// Files that are not taken, by their hash in lower case.
    BLOCKED_HASHES "blocked_hashes": Text => BlockedHash [root]
        takes BLOCKED_HASH_ORDER(|_, blocked| blocked.order)
        takes BLOCKED_LOOKS(|_, blocked| (blocked.look.unwrap_or_default(), blocked.order));
    /// The same by an id, in the order in which they were blocked.
    BLOCKED_HASH_ORDER "blocked_hash_order": u64 => HashRef [with BLOCKED_HASHES];
    /// What pictures look like that are not taken, with the same ids. Those of no known look have no row.
    BLOCKED_LOOKS "blocked_looks": (u64, u64) => Nil [with BLOCKED_HASHES];
    /// Files that a user can put into messages.
    UPLOADS "uploads": (UserId, AttachmentId) => Upload [sealed on UserId]
        takes UPLOAD_KEYS(|_, upload| upload.file.key)
        takes UPLOAD_LAPSES(|(user_id, id), upload| (upload.lapses_at, user_id, id))
        names(|upload| upload.file.blobs());
    /// Whose a file is, by its address.
    UPLOAD_KEYS "upload_keys": u64 => UploadRef [with UPLOADS];
    /// Such files by when they can be put into messages no more.
    UPLOAD_LAPSES "upload_lapses": (u64, UserId, AttachmentId) => Nil [with UPLOADS];
    /// Files of a message.
    MESSAGE_FILES "message_files": (MessageId, AttachmentId) => StoredFile [sealed on MessageId]
        takes FILE_USES(|(message_id, _), file| (file.key, message_id))
        names(|file| file.blobs());
    /// Messages that have a file, by its address.
    FILE_USES "file_uses": (u64, MessageId) => FileUse [with MESSAGE_FILES];
    /// What a user has uploaded of what he may.
    UPLOAD_COUNTS "upload_counts": UserId => UploadCount [on UserId];
    /// Files that come in chunks, by what their uploader knows them by.
    UPLOAD_SESSIONS "upload_sessions": (UserId, Hash) => UploadSession [sealed on UserId]
        takes UPLOAD_SESSION_LAPSES(|(user_id, key), session| (session.expires_at, user_id, key));
    /// The same by the time when they are given up.
    UPLOAD_SESSION_LAPSES "upload_session_lapses": (u64, UserId, Hash) => Nil [with UPLOAD_SESSIONS];
    /// Chunks that are there: user, session, which one.
    UPLOAD_CHUNKS "upload_chunks": (UserId, Hash, u16) => UploadChunk [on UserId]
        names(|chunk| [chunk.hash]);
    /// The last changes of messages, each in the place of its number in a ring; what they were about may be gone.
    MESSAGE_CHANGES "message_changes": u64 => MessageChange [root];
    /// Those who run the server.
    ADMINS "admins": AdminId => Admin [root]
        takes ADMIN_NAMES(|_, admin| admin.username.to_ascii_lowercase().as_str());
    /// Lower-case name of an administrator to his account.
    ADMIN_NAMES "admin_names": Text => AdminRef [with ADMINS];
    /// Log-ins of administrators by the SHA-256 of their token.
    ADMIN_SESSIONS "admin_sessions": Hash => AdminSession [due];
    /// The same between password and code.
    ADMIN_CHALLENGES "admin_challenges": Hash => AdminChallenge [due];
    /// Wrong passwords and codes of administrators by the address they came from.
    ADMIN_FAILURES "admin_failures": Text => AdminFailures [due];
    /// The same by the time when they are forgotten.
    ADMIN_FAILURE_LAPSES "admin_failure_lapses": (u64, Text) => Nil [due];
    /// What administrators have done.
    ADMIN_AUDIT "admin_audit": AuditId => AdminAudit [sealed root];
    /// Accounts that administrators have locked.
    USER_LOCKS "user_locks": UserId => UserLock [on UserId]
        takes USER_LOCK_LAPSES(|user_id, lock| (lock.until.unwrap_or(u64::MAX), user_id));
    /// The same by the time when they are unlocked.
    USER_LOCK_LAPSES "user_lock_lapses": (u64, UserId) => Nil [with USER_LOCKS];
    /// Who has to choose another name.
    FORCED_NAMES "forced_names": UserId => ForcedName [on UserId];
    /// What administrators keep in mind about somebody.
    USER_NOTES "user_notes": UserId => UserNote [sealed on UserId];
    /// Since when an account is to be deleted.
    DELETION_TIMES "deletion_times": UserId => Meta [on UserId];
    /// Names that nobody may take.
    NAME_BANS "name_bans": NameBanId => NameBan [root];
    /// People who may bring nothing before others.
    USER_BLOCKS "user_blocks": UserId => UserBlock [on UserId]
        takes USER_BLOCK_ORDER(|_, block| block.order);
    /// The same by an id, in the order in which they were blocked.
    USER_BLOCK_ORDER "user_block_order": u64 => UserRef [with USER_BLOCKS];
    /// What administrators keep in mind about a ticket.
    TICKET_NOTES "ticket_notes": (TicketId, u64) => TicketNote [sealed root];
    /// The switch of automod, once it was turned: one row.
    AUTOMOD_SWITCH "automod_switch": u8 => AutomodSwitch [root];
    /// What is said of maintenance, while there is any: one row.
    MAINTENANCE "maintenance": u8 => Maintenance [root];
    /// Addresses and networks that are not served.
    ADDRESS_BLOCKS "address_blocks": Text => BlockedNet [root];
}
