//! What is stored: one struct per record, each with its version.
//!
//! Times are milliseconds since 1970: by the wall clock where they say what was, in steady time (see
//! `domain::time`) where something is measured from or until them. Enumerations are numbers that are never reused. A
//! change of a struct is a new version: `v 2 from 1 User1` says what the one before is called in `earlier.rs`;
//! `tests/golden/records.txt` holds one encoded example of each version.

use super::earlier::{Message1, Message2, Server1, User1, User2, User3};
use super::table::Record;
use super::upgrade::upgrade;
use crate::id::{ChannelId, MessageId, PasskeyId, PollId, RoleId, RuleId, ServerId, UserId, WebhookId};

pub use super::admins::*;
pub use super::codes::*;
pub use super::hashes::*;
pub use super::running::*;
pub use super::uploads::*;

macro_rules! records {
    ($($(#[$doc:meta])* $name:ident v $version:literal $(from $($old_version:literal $old:ident)+)? {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, Default, PartialEq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
            pub struct $name { $($(#[$field_doc])* pub $field: $type,)* }

            impl Record for $name {
                const VERSION: u8 = $version;
                $(
                    fn upgrade(version: u8, body: &[u8]) -> Option<$name> {
                        match version {
                            $($old_version => upgrade::<$old, $name>(body),)+
                            _ => None,
                        }
                    }
                )?
            }

            impl From<&rkyv::Archived<$name>> for $name {
                /// An owned copy, for changing it.
                fn from(archived: &rkyv::Archived<$name>) -> $name {
                    rkyv::deserialize::<$name, rkyv::rancor::Error>(archived)
                        .expect("records hold nothing whose deserialisation can fail")
                }
            }
        )*
        /// Names of all records, for the golden file.
        pub const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}
pub(super) use records;

records! {
    /// Present or not; there is nothing more to say.
    Nil v 1 {}

    /// One number.
    Meta v 1 { value: u64, }

    UserRef v 1 { id: UserId, }
    ServerRef v 1 { id: ServerId, }
    ChannelRef v 1 { id: ChannelId, }
    MessageRef v 1 { id: MessageId, }

    User v 4 from 1 User1 2 User2 3 User3 {
        username: String,
        email: String,
        created_at: u64,
        email_verified: bool,
        age_verified: bool,
        /// [`badge`] codes in grant order.
        badges: Vec<u8>,
        /// A [`tier`] code.
        tier: u8,
        /// A [`account`] code.
        state: u8,
        /// When a frozen account is purged, in steady time.
        deletion_at: Option<u64>,
        /// Boxed: it costs five bytes where there is none.
        avatar: Option<Box<Picture>>,
        /// By what the address is looked up: lower case as the build knew it that took the address.
        email_key: String,
        /// Of a bot: who answers for it. Boxed as above.
        owner_id: Option<Box<UserId>>,
        /// Until when the tier is his, in steady time; then the default one is. Boxed as above.
        tier_until: Option<Box<u64>>,
    }

    /// An avatar or an icon that was uploaded.
    Picture v 1 {
        /// SHA-256 of the stored file: its name and its ETag.
        hash: [u8; 32],
        /// A [`picture`] code.
        format: u8,
        /// Whether it has more than one frame.
        animated: bool,
    }

    Credential v 1 {
        /// PHC string of the password hash.
        phc: String,
        /// Failed log-ins since the last success.
        failures: u32,
        /// In steady time.
        locked_until: u64,
    }

    /// Its times are steady.
    Token v 1 {
        user_id: UserId,
        /// SHA-256 of the secret part.
        secret_hash: [u8; 32],
        created_at: u64,
        expires_at: u64,
        last_activity: u64,
        ip_address: String,
        user_agent: Option<String>,
    }

    Setting v 1 { value: String, created_at: u64, updated_at: u64, }

    Messaging v 1 {
        read_receipts_enabled: bool,
        typing_indicators_enabled: bool,
        compact_messages_enabled: bool,
        /// A [`dm_policy`] code.
        allow_dms_from: u8,
        auto_create_dms: bool,
        max_message_length: Option<u64>,
        max_attachment_size: Option<u64>,
        max_attachments_per_message: Option<u64>,
    }

    Relationship v 1 {
        /// A [`relation`] code.
        kind: u8,
        created_at: u64,
        message: Option<String>,
    }

    /// Its times are steady.
    Presence v 1 {
        /// A [`status`] code.
        status: u8,
        custom_status: Option<String>,
        custom_emoji: Option<String>,
        /// When the user was last seen doing something that shows in presence.
        last_seen: u64,
        /// When the status was last set over REST; for a while that counts as being there without a gateway session.
        rest_at: u64,
    }

    Server v 2 from 1 Server1 {
        name: String,
        description: Option<String>,
        icon: Option<Box<Picture>>,
        owner_id: UserId,
        member_count: u64,
        default_channel_id: Option<ChannelId>,
        everyone_role_id: RoleId,
        created_at: u64,
    }

    Member v 1 {
        nickname: Option<String>,
        joined_at: u64,
        /// Without @everyone, in the order given.
        roles: Vec<RoleId>,
        /// In steady time.
        timeout_until: Option<u64>,
        timeout_reason: Option<String>,
        /// Came by a temporary invite: removed when his last session is gone, unless he got a role.
        temporary: bool,
    }

    Channel v 1 {
        /// 0 for direct messages, groups and notes.
        server_id: ServerId,
        /// A [`channel_kind`] code.
        kind: u8,
        name: String,
        topic: Option<String>,
        position: u64,
        category_id: Option<ChannelId>,
        nsfw: bool,
        slowmode_seconds: u64,
        read_receipts_enabled: bool,
        created_at: u64,
        /// Direct messages: both sides; groups: the owner, then the others; notes: the owner; else empty.
        participants: Vec<UserId>,
    }

    /// Bits of [`crate::domain::permission`].
    Override v 1 { allow: u64, deny: u64, }

    Role v 1 {
        name: String,
        color: Option<String>,
        position: u64,
        /// As given by clients, unknown names included.
        permissions: Vec<Grant>,
        /// The same as bits, wildcards resolved.
        bits: u64,
        hoist: bool,
        mentionable: bool,
        is_default: bool,
        created_at: u64,
    }

    /// One entry of a role's permissions.
    Grant v 1 { name: String, allowed: bool, }

    Ban v 1 {
        reason: Option<String>,
        banned_by: UserId,
        banned_at: u64,
        /// Its place in `BAN_ORDER`.
        order: u64,
    }

    Invite v 1 {
        /// Orders the invites of a server.
        id: u64,
        server_id: ServerId,
        channel_id: ChannelId,
        inviter_id: UserId,
        uses: u64,
        /// 0 = unlimited.
        max_uses: u64,
        /// Seconds; 0 = never expires.
        max_age: u64,
        temporary: bool,
        /// In steady time, since its life is measured from here.
        created_at: u64,
    }

    Audit v 1 {
        user_id: UserId,
        /// An action code of `domain::audit`.
        action: u8,
        /// A target code of `domain::audit`; 0 = none.
        target_type: u8,
        target_id: u64,
        target_name: Option<String>,
        /// A JSON object `{field: {old, new}}`.
        changes: Option<String>,
        reason: Option<String>,
        created_at: u64,
    }

    Message v 3 from 1 Message1 2 Message2 {
        author_id: UserId,
        content: String,
        created_at: u64,
        edited_at: Option<u64>,
        reply_to_id: Option<MessageId>,
        /// A JSON list, compact; empty text when there are none.
        embeds: String,
        /// Key of the message in the pins of its channel; 0 = not pinned.
        pin: u64,
        /// Whether `REACTION_SETS` has an entry.
        reacted: bool,
        /// In the order given.
        attachments: Vec<Attachment>,
        /// Id of its poll; 0 = none.
        poll: u64,
        /// As whom a webhook said it. Boxed and with a niche: it costs four bytes where there is none.
        #[rkyv(with = rkyv::with::Niche)]
        webhook: Option<Box<WebhookAuthor>>,
    }

    /// What a message of a webhook shows as its author, whatever becomes of the webhook.
    WebhookAuthor v 1 {
        webhook_id: WebhookId,
        name: String,
        avatar_url: Option<String>,
    }

    /// A file that a message shows, as it was when it was sent.
    Attachment v 1 {
        id: u64,
        /// As the uploader called it, without folders.
        filename: String,
        content_type: String,
        /// Bytes.
        size: u64,
        /// The last part of its URL: 16 hexadecimal digits and an extension.
        file: String,
        /// SHA-256 of the file.
        hash: [u8; 32],
    }

    ReactionSet v 1 {
        /// In order of first use; entries that fell to zero are gone.
        entries: Vec<ReactionEntry>,
    }

    /// `index` names the emoji in the other tables; the one of an entry that is gone is used again.
    ReactionEntry v 1 { emoji: String, index: u16, count: u64, }

    Reaction v 1 {
        at: u64,
        /// Position in `REACTION_ORDER`.
        order: u64,
    }

    /// Failed log-ins under one name, whether or not anybody has it. Its times are steady.
    LoginName v 1 {
        failures: u32,
        locked_until: u64,
        /// When the failures are forgotten; its place in `LOGIN_LAPSES`.
        lapses_at: u64,
    }

    /// What a change has left to do.
    Errand v 1 {
        /// A code of `domain::housekeeping::outbox`.
        kind: u8,
        /// The bytes of a struct of that kind.
        what: Vec<u8>,
    }

    Notification v 1 {
        /// A [`mention_reason`] code.
        reason: u8,
        read: bool,
        /// An id that was given out when it was made.
        order: u64,
    }

    /// What a message tells those whom it mentions.
    Notice v 1 {
        /// 0 in direct messages.
        server_id: ServerId,
        channel_id: ChannelId,
        sender_id: UserId,
        created_at: u64,
        /// The beginning of the message as it was sent.
        preview: String,
    }

    Inbox v 1 {
        /// No more notifications are stored than this.
        count: u64,
        /// Those whose `order` is no greater are read.
        read_up_to: u64,
    }

    /// What a login asks for beside the password. Its times are steady.
    TwoFactor v 1 {
        /// Confirmed; until then nobody is asked.
        enabled: bool,
        /// The secret of the one-time codes, under the server's key.
        sealed: Vec<u8>,
        /// Sums of the backup codes that are left, under the server's key.
        codes: Vec<[u8; 32]>,
        /// The step of time of the last code that was taken: none of it or before is taken again.
        last_step: u64,
        /// Wrong codes since the last right one, outside of challenges.
        failures: u32,
        locked_until: u64,
    }

    /// A login between password and code. Its time is steady.
    Challenge v 1 {
        user_id: UserId,
        /// SHA-256 of the secret part.
        secret_hash: [u8; 32],
        expires_at: u64,
        failures: u32,
    }

    Webhook v 1 {
        server_id: ServerId,
        channel_id: ChannelId,
        creator_id: UserId,
        name: String,
        avatar_url: Option<String>,
        /// SHA-256 of the secret part of its token.
        secret_hash: [u8; 32],
        /// Who was shown that token: the creator, or whoever has replaced it last.
        holder_id: UserId,
        created_at: u64,
    }

    /// What automod is of a server.
    Automod v 1 {
        /// Another one after each change of a rule: by it a text is known to be judged by the rules that are in force.
        version: u64,
        /// Rules, and those of them that are on.
        count: u64,
        active: u64,
        /// What all of them weigh together.
        weight: RuleWeight,
        /// Violations that are stored.
        violations: u64,
    }

    /// What a rule takes.
    RuleWeight v 1 {
        /// Bytes of it.
        len: u64,
        /// Bytes of its patterns when they are compiled, about.
        pattern_len: u64,
        /// Places in its patterns at which a text can be at once, and so steps per character.
        pattern_cost: u64,
    }

    AutomodRule v 1 {
        name: String,
        /// An [`automod_rule`] code.
        kind: u8,
        enabled: bool,
        /// A JSON object, compact and checked.
        config: String,
        /// At least one.
        actions: Vec<AutomodAction>,
        /// Whom it is for; empty: for everybody.
        applied_roles: Vec<RoleId>,
        exempt_roles: Vec<RoleId>,
        exempt_channels: Vec<ChannelId>,
        /// The greatest is first.
        priority: i64,
        /// Rules after it are looked at although it was hit.
        check_all: bool,
        created_at: u64,
        updated_at: u64,
        created_by: UserId,
        weight: RuleWeight,
    }

    AutomodAction v 1 {
        /// An [`automod_action`] code.
        kind: u8,
        duration_seconds: Option<u64>,
        reason: Option<String>,
        notify_user: bool,
        /// A JSON object, compact.
        metadata: String,
    }

    Violation v 1 {
        user_id: UserId,
        channel_id: ChannelId,
        rule_id: RuleId,
        /// An [`automod_rule`] code.
        kind: u8,
        /// What hit the rule.
        matched: String,
        /// A [`severity`] code.
        severity: u8,
        /// [`automod_action`] codes.
        actions: Vec<u8>,
        created_at: u64,
        /// In steady time.
        lapses_at: u64,
        /// A JSON object, compact.
        metadata: String,
    }
    /// A token that was sent by mail. Its times are steady.
    MailToken v 1 {
        /// SHA-256 of the secret part.
        secret_hash: [u8; 32],
        expires_at: u64,
        /// The mail that brings it.
        mail_id: u64,
        /// How many were sent since then, for at most an hour.
        since: u64,
        count: u32,
    }

    /// A mail that has not left.
    Mail v 1 {
        /// A [`mail_kind`] code.
        kind: u8,
        to: String,
        /// The secret part of the token that it brings, under the server's key.
        sealed: Vec<u8>,
        /// Where somebody came from.
        source: String,
        /// How long the token is good, or when what it tells of happens: from when it was made.
        term_ms: u64,
        created_at: u64,
        /// The same in steady time, and when it is tried next.
        made_at: u64,
        due: u64,
        /// How often it was tried in vain.
        tries: u32,
    }

    /// From where somebody has signed in, the newest last.
    SignIns v 1 { sources: Vec<String>, }

    /// A message that was reported, as it was then.
    MessageReport v 1 {
        message_id: MessageId,
        channel_id: ChannelId,
        server_id: Option<ServerId>,
        reporter_id: UserId,
        /// Who wrote it, and what everybody saw as his name.
        author_id: UserId,
        author_name: String,
        content: String,
        reason: String,
        category: String,
        details: Option<String>,
        /// A [`report_status`] code.
        status: u8,
        reported_at: u64,
        /// The last one. Boxed: it costs five bytes where there is none.
        review: Option<Box<Review>>,
    }

    /// Somebody who was reported.
    UserReport v 1 {
        user_id: UserId,
        /// What he was called then.
        username: String,
        reporter_id: UserId,
        reason: String,
        category: String,
        details: Option<String>,
        /// As the reporter says; nobody has looked at them.
        evidence: Vec<MessageId>,
        /// A [`report_status`] code.
        status: u8,
        reported_at: u64,
        /// As in [`MessageReport`].
        review: Option<Box<Review>>,
    }

    /// What an administrator made of a report.
    Review v 1 {
        /// The administrator's id.
        by: u64,
        at: u64,
        notes: Option<String>,
        /// What was done, by its name.
        action: Option<String>,
    }

    /// What somebody wrote to those who run the server.
    Ticket v 1 {
        user_id: UserId,
        /// What he was called then.
        username: String,
        content: String,
        category: Option<String>,
        /// 1 to 5.
        rating: Option<u8>,
        /// A [`ticket_status`] code.
        status: u8,
        created_at: u64,
        resolved_at: Option<u64>,
        /// The administrator's id.
        resolved_by: Option<u64>,
    }

    /// What a user has sent since his hour and his day began, in steady time.
    FeedbackCount v 1 { hour_from: u64, hour_count: u64, day_from: u64, day_count: u64, }

    /// What a message asks.
    Poll v 1 {
        id: PollId,
        creator_id: UserId,
        question: String,
        options: Vec<PollOption>,
        created_at: u64,
        /// In steady time, since how long it runs is measured.
        ends_at: Option<u64>,
        /// It is over since then, by the clock.
        ended_at: Option<u64>,
        allow_multiple_choice: bool,
        /// A [`poll_visibility`] code.
        results_visibility: u8,
        /// When its readers were told of the votes, in steady time.
        told_at: u64,
        /// There are votes of which they were not; an errand stands for it.
        untold: bool,
    }

    PollOption v 1 {
        id: u64,
        text: String,
        votes: u64,
    }

    PollPlace v 1 { channel_id: ChannelId, message_id: MessageId, }

    /// A sign-in at another provider that has not led back. Its time is steady.
    ProviderSignIn v 1 {
        /// A [`provider`] code.
        provider: u8,
        /// SHA-256 of the secret part of the state.
        secret_hash: [u8; 32],
        /// SHA-256 of the address to which it leads back.
        redirect_hash: [u8; 32],
        /// SHA-256 of the verifier, where one is asked for (RFC 7636).
        challenge: Option<[u8; 32]>,
        /// Stands for where it was begun.
        source: u64,
        expires_at: u64,
    }

    /// What somebody is at a provider.
    ProviderLink v 1 {
        /// The provider's own id of him.
        subject: String,
        created_at: u64,
    }

    /// An emoji of a server.
    Emoji v 1 {
        name: String,
        picture: Picture,
        created_by: UserId,
        created_at: u64,
        /// It is kept for what was said with it.
        deleted: bool,
    }

    /// A sticker of a server.
    Sticker v 1 {
        name: String,
        tags: Vec<String>,
        picture: Picture,
        /// Pixels of the picture.
        width: u32,
        height: u32,
        created_by: UserId,
        created_at: u64,
        /// Messages that it was sent with.
        uses: u64,
        /// As of an [`Emoji`].
        deleted: bool,
    }

    /// A key that somebody has on a device of his.
    Passkey v 1 {
        name: String,
        credential_id: Vec<u8>,
        /// SHA-256 of that.
        credential_hash: [u8; 32],
        /// A [`passkey_algorithm`] code.
        algorithm: u8,
        /// The public half: a point, or the modulus of RSA.
        key: Vec<u8>,
        /// Of RSA.
        exponent: Vec<u8>,
        /// Of its uses, as far as it counts them.
        counter: u32,
        created_at: u64,
        /// In steady time.
        last_used_at: Option<u64>,
    }

    PasskeyPlace v 1 { user_id: UserId, passkey_id: PasskeyId, }

    /// That what can be looked for in a message was changed.
    MessageChange v 1 {
        /// Counts all such changes, from 1.
        number: u64,
        channel_id: ChannelId,
        message_id: MessageId,
    }
}
