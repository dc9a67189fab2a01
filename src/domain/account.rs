//! Accounts: registration, failed logins, profile, deletion.
//!
//! Invariant: a lower-case name and a lower-case e-mail address lead to at most one account each, and every account
//! that is not purged has both entries and a credential.

use smallvec::SmallVec;

use super::credential::Secret;
use super::error::{Error, Refusal, Result};
use super::event::{Audience, Event, EventName, Revocation, intent};
use super::machine::{Machine, Reply, require_system};
use super::token::{self, NewToken};
use super::{member, relationship, server, view};
use crate::id::{EPOCH_MS, ServerId, UserId};
use crate::limits::{EMAIL_LEN_MAX, RELATIONSHIP_COUNT_MAX, USERNAME_LEN_MAX};
use crate::store::Read;
use crate::store::records::{ArchivedUser, Credential, Nil, User, UserRef, account};
use crate::store::tables::{CREDENTIALS, DELETIONS, USER_EMAILS, USER_NAMES, USERS};
use crate::wire::json::Object;

/// Servers of one user that hear of a new name: all that he can be in.
const SERVER_COUNT_MAX: usize = super::tier::SERVER_COUNT_MAX as usize;

/// A new account and its first login session. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    pub username: String,
    pub email: String,
    /// PHC string of the password hash.
    pub phc: Secret<String>,
    pub age_verified: bool,
    /// A [`crate::store::records::tier`] code.
    pub tier: u8,
    /// [`crate::store::records::badge`] codes.
    pub badges: Vec<u8>,
    pub token: NewToken,
}

/// Changes of the acting user's own account; `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileEdit {
    pub username: Option<String>,
    pub email: Option<String>,
    pub password: Option<PasswordChange>,
}

/// From one PHC string to another; the first must still be in force.
#[derive(Clone, Debug, PartialEq)]
pub struct PasswordChange {
    pub before: Secret<String>,
    pub after: Secret<String>,
}

/// Freezes the acting user's account; after the grace it is purged.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountDelete {
    /// The PHC string that the given password matched.
    pub phc: Secret<String>,
    pub grace_ms: u64,
}

/// A wrong password, or a name that nobody has: that is submitted too, as user 0, so that both take the same time.
/// Only the server itself submits it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoginFailed {
    pub user_id: UserId,
    pub failures_max: u64,
    pub lockout_ms: u64,
}

/// The account, unless it never existed or was purged.
///
/// # Errors
/// 404 in those cases.
pub fn existing(read: Read<'_>, id: UserId) -> Result<&ArchivedUser> {
    let user = read.get(USERS, id).filter(|user| user.state != account::PURGED);
    user.ok_or_else(|| Refusal::UserNotFound.into())
}

/// Whom a name means, in any case.
pub fn by_name(read: Read<'_>, name: &str) -> Option<UserId> {
    if name.is_empty() || name.len() > USERNAME_LEN_MAX {
        return None;
    }
    read.get(USER_NAMES, name.to_ascii_lowercase().as_str()).map(|found| UserId::from(&found.id))
}

/// Whom an e-mail address means, in any case.
pub fn by_email(read: Read<'_>, email: &str) -> Option<UserId> {
    let key = email.to_lowercase();
    if key.is_empty() || key.len() > EMAIL_LEN_MAX {
        return None;
    }
    read.get(USER_EMAILS, key.as_str()).map(|found| UserId::from(&found.id))
}

/// Whom the name of a login form means: names never contain an `@`, addresses always do.
pub fn by_login(read: Read<'_>, text: &str) -> Option<UserId> {
    if text.contains('@') { by_email(read, text) } else { by_name(read, text) }
}

/// Refuses names and addresses that somebody other than `but` has.
///
/// # Errors
/// 409.
pub fn require_free(
    read: Read<'_>,
    username: Option<&str>,
    email: Option<&str>,
    but: Option<UserId>,
) -> Result<()> {
    let taken = |found: Option<UserId>| found.is_some() && found != but;
    if username.is_some_and(|name| taken(by_name(read, name))) {
        return Err(Refusal::UsernameTaken.into());
    }
    if email.is_some_and(|email| taken(by_email(read, email))) {
        return Err(Refusal::EmailTaken.into());
    }
    Ok(())
}

/// `UserPublicResponse` of anybody, the built-in author 0 included.
///
/// # Errors
/// 404 for ids that never were.
pub fn write_profile(out: &mut Vec<u8>, read: Read<'_>, id: UserId) -> Result<()> {
    if id == UserId(0) {
        let mut object = Object::new(out);
        object.id("id", 0).str("username", view::username(read, id));
        view::write_avatar_url(object.key("avatar_url"), id);
        object.time("created_at", EPOCH_MS).raw("badges", b"[]");
        return Ok(());
    }
    let user = read.get(USERS, id).ok_or(Refusal::UserNotFound)?;
    view::write_public_user(out, id, user);
    Ok(())
}

pub(super) fn register(machine: &mut Machine<'_, '_>, actor: UserId, op: &Register) -> Result<Reply> {
    require_system(actor)?;
    require_free(machine.read(), Some(&op.username), Some(&op.email), None)?;
    let user_id = UserId(machine.next_id());
    let user = User {
        username: op.username.clone(),
        email: op.email.clone(),
        created_at: machine.at,
        // Without mail there is nothing that could still have to be verified.
        email_verified: true,
        age_verified: op.age_verified,
        badges: op.badges.clone(),
        tier: op.tier,
        state: account::ACTIVE,
        deletion_at: None,
    };
    let tx = &mut *machine.tx;
    tx.put(USERS, user_id, &user);
    tx.put(USER_NAMES, op.username.to_ascii_lowercase().as_str(), &UserRef::from(user_id));
    tx.put(USER_EMAILS, op.email.to_lowercase().as_str(), &UserRef::from(user_id));
    tx.put(CREDENTIALS, user_id, &Credential { phc: op.phc.0.clone(), ..Credential::default() });
    let token_id = token::grant(machine, user_id, &op.token);
    Ok(Reply::Token(user_id, token_id))
}

/// Replies whether the account is locked now.
pub(super) fn login_failed(machine: &mut Machine<'_, '_>, actor: UserId, op: &LoginFailed) -> Result<Reply> {
    require_system(actor)?;
    let Some(record) = machine.tx.get(CREDENTIALS, op.user_id) else { return Ok(Reply::Changed(false)) };
    let mut credential = Credential::from(record);
    if credential.locked_until > machine.at {
        return Ok(Reply::Changed(true));
    }
    if credential.locked_until != 0 {
        // A lock that has run out: counting starts anew.
        credential.failures = 0;
        credential.locked_until = 0;
    }
    credential.failures = credential.failures.saturating_add(1);
    let locked = u64::from(credential.failures) >= op.failures_max;
    if locked {
        credential.locked_until = machine.at + op.lockout_ms;
    }
    machine.tx.put(CREDENTIALS, op.user_id, &credential);
    Ok(Reply::Changed(locked))
}

fn acting_user(machine: &Machine<'_, '_>, actor: UserId) -> Result<User> {
    let user = machine.tx.get(USERS, actor).ok_or(Refusal::TokenInvalid)?;
    if user.state != account::ACTIVE {
        return Err(Refusal::TokenInvalid.into());
    }
    Ok(User::from(user))
}

/// The credential, if the password that was checked before is still the one in force.
fn unchanged_credential(machine: &Machine<'_, '_>, actor: UserId, phc: &str) -> Result<Credential> {
    let credential = machine.tx.get(CREDENTIALS, actor).filter(|credential| credential.phc == phc);
    credential.map(Credential::from).ok_or_else(|| Refusal::PasswordWrong.into())
}

pub(super) fn profile_edit(machine: &mut Machine<'_, '_>, actor: UserId, op: &ProfileEdit) -> Result<Reply> {
    let mut user = acting_user(machine, actor)?;
    let credential = match &op.password {
        Some(change) => Some(Credential {
            phc: change.after.0.clone(),
            ..unchanged_credential(machine, actor, &change.before.0)?
        }),
        None => None,
    };
    require_free(machine.read(), op.username.as_deref(), op.email.as_deref(), Some(actor))?;

    let renamed = op.username.as_ref().is_some_and(|username| *username != user.username);
    if let Some(username) = &op.username {
        machine.tx.delete(USER_NAMES, user.username.to_ascii_lowercase().as_str());
        machine.tx.put(USER_NAMES, username.to_ascii_lowercase().as_str(), &UserRef::from(actor));
        user.username.clone_from(username);
    }
    if let Some(email) = &op.email {
        machine.tx.delete(USER_EMAILS, user.email.to_lowercase().as_str());
        machine.tx.put(USER_EMAILS, email.to_lowercase().as_str(), &UserRef::from(actor));
        user.email.clone_from(email);
    }
    if let Some(credential) = credential {
        machine.tx.put(CREDENTIALS, actor, &credential);
    }
    machine.tx.put(USERS, actor, &user);
    if renamed {
        emit_user_update(machine, actor);
        let servers: Vec<ServerId> = server::ids_of(machine.read(), actor).take(SERVER_COUNT_MAX).collect();
        for server_id in servers {
            member::emit_update(machine, server_id, actor);
        }
    }
    Ok(Reply::User(actor))
}

/// Tells himself, his friends and the members of his servers, each once.
pub(super) fn emit_user_update(machine: &mut Machine<'_, '_>, user_id: UserId) {
    let mut payload = Vec::new();
    let mut friends = SmallVec::from_slice(&[user_id]);
    {
        let read = machine.read();
        let mut object = Object::new(&mut payload);
        let Some(user) = read.get(USERS, user_id) else { return };
        view::write_public_user(object.key("user"), user_id, user);
        friends.extend(relationship::friends(read, user_id).take(RELATIONSHIP_COUNT_MAX));
    }
    let event = Event::new(EventName::UserUpdate, intent::NONE, Audience::Users(friends), payload);
    let neighbours =
        Event { intent: intent::GUILD_MEMBERS, audience: Audience::Neighbours(user_id), ..event.clone() };
    machine.emit(event);
    machine.emit(neighbours);
}

pub(super) fn account_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &AccountDelete,
) -> Result<Reply> {
    let mut user = acting_user(machine, actor)?;
    unchanged_credential(machine, actor, &op.phc.0)
        .map_err(|_| Error::invalid("password", "the password is wrong"))?;
    let due = machine.at + op.grace_ms;
    user.state = account::FROZEN;
    user.deletion_at = Some(due);
    machine.tx.put(USERS, actor, &user);
    machine.tx.put(DELETIONS, (due, actor), &Nil {});
    token::revoke_all(machine, actor, Revocation::Security, None);
    Ok(Reply::Done)
}
