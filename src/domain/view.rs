//! JSON of things that several nouns show: users in their three forms.

use std::sync::OnceLock;

use super::error::{Refusal, Result};
use super::time::Offset;
use crate::id::UserId;
use crate::store::Read;
use crate::store::records::{ArchivedUser, account, badge};
use crate::store::tables::USERS;
use crate::wire::json::{Array, Object, write_u64};

/// `api.api_prefix`, once it was set.
static API_PREFIX: OnceLock<String> = OnceLock::new();

/// Chooses what every URL of the API in answers and events begins with (`api.api_prefix`). Called once at start,
/// before anything is encoded; the prefix needs no JSON escapes.
pub fn set_api_prefix(prefix: &str) {
    let set = API_PREFIX.set(prefix.to_string());
    assert!(set.is_ok(), "the prefix is set once");
}

/// Where a user's avatar is served: `<prefix>/avatars/users/<id>`.
pub fn write_avatar_url(out: &mut Vec<u8>, user_id: UserId) {
    let prefix = API_PREFIX.get().map_or("/api/v1", String::as_str);
    out.push(b'"');
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(b"/avatars/users/");
    write_u64(out, user_id.0);
    out.push(b'"');
}

pub fn write_badges(out: &mut Vec<u8>, user: &ArchivedUser) {
    let mut badges = Array::new(out);
    for code in user.badges.iter() {
        badges.str(badge::text(*code));
    }
}

/// `UserPublicResponse`: id, username, avatar_url, created_at, badges.
pub fn write_public_user(out: &mut Vec<u8>, id: UserId, user: &ArchivedUser) {
    let mut object = Object::new(out);
    object.id("id", id.0).str("username", &user.username);
    write_avatar_url(object.key("avatar_url"), id);
    object.time("created_at", user.created_at.to_native());
    write_badges(object.key("badges"), user);
}

/// `UserResponse`: what only the user himself sees.
pub fn write_private_user(out: &mut Vec<u8>, id: UserId, user: &ArchivedUser, offset: Offset) {
    let mut object = Object::new(out);
    object.id("id", id.0).str("username", &user.username).str("email", &user.email);
    write_avatar_url(object.key("avatar_url"), id);
    object.time("created_at", user.created_at.to_native());
    object.bool("email_verified", user.email_verified).bool("totp_enabled", false);
    object.bool("age_verified", user.age_verified);
    write_badges(object.key("badges"), user);
    let frozen = user.state == account::FROZEN;
    object.str("deletion_status", if frozen { "frozen" } else { "active" });
    object.opt_time("deletion_at", user.deletion_at.as_ref().map(|at| offset.shown(at.to_native())));
}

/// The user of member events: id, username, avatar_url.
pub fn write_brief_user(out: &mut Vec<u8>, read: Read<'_>, id: UserId) {
    let mut object = Object::new(out);
    object.id("id", id.0).str("username", username(read, id));
    write_avatar_url(object.key("avatar_url"), id);
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
