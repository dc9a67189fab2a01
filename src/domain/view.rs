//! JSON of things that several nouns show: users in their three forms.
//!
//! The prefix of addresses is a setting of the process, as the unit of times is (`wire/json.rs`). Some 80 functions
//! that write JSON are given a buffer and the record and nothing else; a spelling that went with the buffer would be a
//! third argument of all of them for the sake of two. What makes it harmless is that nothing that is stored is spelled:
//! it reaches events and answers only (`tests/spelling.rs`).

use std::sync::OnceLock;

use super::error::{Refusal, Result};
use super::time::Offset;
use crate::id::{EPOCH_MS, EmojiId, ServerId, StickerId, UserId};
use crate::store::Read;
use crate::store::records::{ArchivedServer, ArchivedUser, account, badge, status};
use crate::store::tables::USERS;
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, write_str, write_u64};

/// `api.api_prefix`, once it was set.
static API_PREFIX: OnceLock<String> = OnceLock::new();

/// Chooses what every URL of the API in answers and events begins with (`api.api_prefix`). Called once at start,
/// before anything is encoded; the prefix needs no JSON escapes.
pub fn set_api_prefix(prefix: &str) {
    let set = API_PREFIX.set(prefix.to_string());
    assert!(set.is_ok(), "the prefix is set once");
}

/// Whether an account in this state has log-ins: who has to choose another name is as good as others.
pub fn may_log_in(state: u8) -> bool {
    matches!(state, account::ACTIVE | account::RENAMING)
}

/// What every URL of the API begins with.
pub fn api_prefix() -> &'static str {
    API_PREFIX.get().map_or("/api/v1", String::as_str)
}

/// Where a user's avatar is served: `<prefix>/avatars/users/<id>`.
pub fn write_avatar_url(out: &mut Vec<u8>, user_id: UserId) {
    out.push(b'"');
    out.extend_from_slice(api_prefix().as_bytes());
    out.extend_from_slice(b"/avatars/users/");
    write_u64(out, user_id.0);
    out.push(b'"');
}

/// Where a server's icon is served, if it has one of its own: `<prefix>/avatars/servers/<id>`.
pub fn icon_url(server_id: ServerId, server: &ArchivedServer) -> Option<String> {
    server.icon.is_some().then(|| icon_path(server_id))
}

/// The same whether it has one or not.
pub fn icon_path(server_id: ServerId) -> String {
    let prefix = API_PREFIX.get().map_or("/api/v1", String::as_str);
    format!("{prefix}/avatars/servers/{server_id}")
}

/// Where the picture of an emoji or a sticker is served, for anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Emoji(EmojiId),
    Sticker(StickerId),
}

/// `<prefix>/media/emojis/<id>`, `<prefix>/media/stickers/<id>`.
pub fn write_media_url(out: &mut Vec<u8>, shown: Shown) {
    let (folder, id): (&[u8], u64) = match shown {
        Shown::Emoji(id) => (b"/media/emojis/", id.0),
        Shown::Sticker(id) => (b"/media/stickers/", id.0),
    };
    let prefix = API_PREFIX.get().map_or("/api/v1", String::as_str);
    out.push(b'"');
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(folder);
    write_u64(out, id);
    out.push(b'"');
}

pub fn media_url(shown: Shown) -> impl FnOnce(&mut Vec<u8>) {
    move |out| write_media_url(out, shown)
}

/// Where a file of a message is served: `<prefix>/media/attachments/<name>`.
pub fn write_file_url(out: &mut Vec<u8>, name: &str) {
    write_str(out, &file_url(name));
}

/// The same as a text.
pub fn file_url(name: &str) -> String {
    let prefix = API_PREFIX.get().map_or("/api/v1", String::as_str);
    format!("{prefix}/media/attachments/{name}")
}

pub fn write_badges(out: &mut Vec<u8>, user: &ArchivedUser) {
    let mut badges = Array::new(out);
    for code in user.badges.iter() {
        badges.str(badge::text(*code));
    }
}

pub fn avatar_url(user_id: UserId) -> impl FnOnce(&mut Vec<u8>) {
    move |out| write_avatar_url(out, user_id)
}

pub fn badges(user: Option<&ArchivedUser>) -> impl FnOnce(&mut Vec<u8>) {
    move |out| match user {
        Some(user) => write_badges(out, user),
        None => out.extend_from_slice(b"[]"),
    }
}

shape! {
    /// What everybody sees of a user.
    // Without an account: the built-in author.
    pub UserPublicResponse(id: UserId, user: Option<&ArchivedUser>) {
        id: id = id.0,
        username: str = user.map_or("System", |user| &user.username),
        avatar_url: (Slot::str) = avatar_url(id),
        created_at: time = user.map_or(EPOCH_MS, |user| user.created_at.to_native()),
        badges: (Slot::list(&Kind::Text)) = badges(user),
    }
}

/// What everybody sees of a user; null where there is none, or he is gone.
pub fn user_or_null(read: Read<'_>, id: Option<UserId>) -> impl FnOnce(&mut Vec<u8>) {
    move |out| match id.and_then(|id| read.get(USERS, id).map(|user| (id, user))) {
        Some((id, user)) => UserPublicResponse::write(out, id, Some(user)),
        None => out.extend_from_slice(b"null"),
    }
}

shape! {
    /// What only the user himself sees.
    pub UserResponse(id: UserId, user: &ArchivedUser, totp: bool, offset: Offset) {
        id: id = id.0,
        username: str = &user.username,
        // A bot has none.
        email: opt_str = Some(&*user.email).filter(|email| !email.is_empty()),
        avatar_url: (Slot::str) = avatar_url(id),
        created_at: time = user.created_at.to_native(),
        email_verified: bool = user.email_verified,
        totp_enabled: bool = totp,
        age_verified: bool = user.age_verified,
        badges: (Slot::list(&Kind::Text)) = badges(Some(user)),
        /// `frozen` while the account waits for its deletion.
        deletion_status: (Slot::word(&["active", "frozen"])) = if user.state == account::FROZEN { "frozen" } else { "active" },
        deletion_at: opt_time = user.deletion_at.as_ref().map(|at| offset.shown(at.to_native())),
    }
}

shape! {
    /// The user of member events.
    pub BriefUser(read: Read<'_>, id: UserId) {
        id: id = id.0,
        username: str = username(read, id),
        avatar_url: (Slot::str) = avatar_url(id),
    }
}

shape! {
    /// A status.
    pub PresenceStatus(shown_status: u8) {
        status: (Slot::word(status::WORDS)) = status::text(shown_status),
    }
}

/// His name; "System" for the built-in author 0.
pub fn username(read: Read<'_>, id: UserId) -> &str {
    if id == UserId(0) {
        return "System";
    }
    read.get(USERS, id).map_or("Deleted User", |user| user.username.as_str())
}

/// The account, unless it never existed or was purged.
///
/// # Errors
/// 404 in those cases.
pub fn existing(read: Read<'_>, id: UserId) -> Result<&ArchivedUser> {
    let user = read.get(USERS, id).filter(|user| user.state != account::PURGED);
    user.ok_or_else(|| Refusal::UserNotFound.into())
}
