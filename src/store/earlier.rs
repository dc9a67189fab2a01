//! Records as earlier versions stored them, and the way from each to the newest.
//!
//! Pure and for good: a store may hold records of any version that was ever released. The next version of a record
//! moves its struct here under its number, and a `From` says what becomes of each field.

use super::records::{Attachment, Message, Picture, Server, StoredFile, Thumbnail, Upload, User, records};
use super::table::Record;
use crate::id::{ChannelId, MessageId, RoleId, UserId};

records! {
    User1 v 1 {
        username: String,
        email: String,
        created_at: u64,
        email_verified: bool,
        age_verified: bool,
        badges: Vec<u8>,
        tier: u8,
        state: u8,
        deletion_at: Option<u64>,
    }

    User2 v 2 {
        username: String,
        email: String,
        created_at: u64,
        email_verified: bool,
        age_verified: bool,
        badges: Vec<u8>,
        tier: u8,
        state: u8,
        deletion_at: Option<u64>,
        avatar: Option<Box<Picture>>,
    }

    User3 v 3 {
        username: String,
        email: String,
        created_at: u64,
        email_verified: bool,
        age_verified: bool,
        badges: Vec<u8>,
        tier: u8,
        state: u8,
        deletion_at: Option<u64>,
        avatar: Option<Box<Picture>>,
        email_key: String,
    }

    Server1 v 1 {
        name: String,
        description: Option<String>,
        /// Never set: no version that wrote this took one.
        icon_url: Option<String>,
        owner_id: UserId,
        member_count: u64,
        default_channel_id: Option<ChannelId>,
        everyone_role_id: RoleId,
        created_at: u64,
    }

    Message1 v 1 {
        author_id: UserId,
        content: String,
        created_at: u64,
        edited_at: Option<u64>,
        reply_to_id: Option<MessageId>,
        embeds: String,
        pin: u64,
        reacted: bool,
    }

    Message2 v 2 {
        author_id: UserId,
        content: String,
        created_at: u64,
        edited_at: Option<u64>,
        reply_to_id: Option<MessageId>,
        embeds: String,
        pin: u64,
        reacted: bool,
        attachments: Vec<Attachment>,
        poll: u64,
    }

    StoredFile1 v 1 {
        key: u64,
        filename: String,
        content_type: String,
        size: u64,
        hash: [u8; 32],
        /// Never set, as the next one and thumbnails: no version that wrote this looked at pictures.
        width: u32,
        height: u32,
        thumbnails: Vec<Thumbnail>,
    }

    Upload1 v 1 {
        file: StoredFile1,
        created_at: u64,
        lapses_at: u64,
    }
}

impl From<User1> for User {
    fn from(old: User1) -> User {
        User::from(User2 {
            username: old.username,
            email: old.email,
            created_at: old.created_at,
            email_verified: old.email_verified,
            age_verified: old.age_verified,
            badges: old.badges,
            tier: old.tier,
            state: old.state,
            deletion_at: old.deletion_at,
            avatar: None,
        })
    }
}

impl From<User2> for User {
    fn from(old: User2) -> User {
        User::from(User3 {
            // What those versions looked accounts up by. Letters that Unicode has had since then keep their small form.
            email_key: old.email.to_lowercase(),
            username: old.username,
            email: old.email,
            created_at: old.created_at,
            email_verified: old.email_verified,
            age_verified: old.age_verified,
            badges: old.badges,
            tier: old.tier,
            state: old.state,
            deletion_at: old.deletion_at,
            avatar: old.avatar,
        })
    }
}

impl From<User3> for User {
    fn from(old: User3) -> User {
        User {
            username: old.username,
            email: old.email,
            created_at: old.created_at,
            email_verified: old.email_verified,
            age_verified: old.age_verified,
            badges: old.badges,
            tier: old.tier,
            state: old.state,
            deletion_at: old.deletion_at,
            avatar: old.avatar,
            email_key: old.email_key,
            owner_id: None,
            tier_until: None,
        }
    }
}

impl From<Server1> for Server {
    fn from(old: Server1) -> Server {
        Server {
            name: old.name,
            description: old.description,
            icon: None,
            owner_id: old.owner_id,
            member_count: old.member_count,
            default_channel_id: old.default_channel_id,
            everyone_role_id: old.everyone_role_id,
            created_at: old.created_at,
        }
    }
}

impl From<Message1> for Message {
    fn from(old: Message1) -> Message {
        Message::from(Message2 {
            author_id: old.author_id,
            content: old.content,
            created_at: old.created_at,
            edited_at: old.edited_at,
            reply_to_id: old.reply_to_id,
            embeds: old.embeds,
            pin: old.pin,
            reacted: old.reacted,
            attachments: Vec::new(),
            poll: 0,
        })
    }
}

impl From<Message2> for Message {
    fn from(old: Message2) -> Message {
        Message {
            author_id: old.author_id,
            content: old.content,
            created_at: old.created_at,
            edited_at: old.edited_at,
            reply_to_id: old.reply_to_id,
            embeds: old.embeds,
            pin: old.pin,
            reacted: old.reacted,
            attachments: old.attachments,
            poll: old.poll,
            webhook: None,
        }
    }
}

impl From<StoredFile1> for StoredFile {
    fn from(old: StoredFile1) -> StoredFile {
        StoredFile {
            key: old.key,
            filename: old.filename,
            content_type: old.content_type,
            size: old.size,
            hash: old.hash,
            width: old.width,
            height: old.height,
            thumbnails: old.thumbnails,
            duration_ms: None,
            look: None,
        }
    }
}

impl From<Upload1> for Upload {
    fn from(old: Upload1) -> Upload {
        Upload { file: old.file.into(), created_at: old.created_at, lapses_at: old.lapses_at }
    }
}
