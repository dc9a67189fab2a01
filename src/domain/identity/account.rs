//! Accounts: registration, failed logins, profile, deletion.
//!
//! Invariant: a lower-case name and the key of an e-mail address lead to at most one account each, and every account
//! that is not purged has both entries and a credential; a bot has a name alone. A locked log-in looks the same whether or not anybody has
//! the name: what is typed is counted by itself, beside the account that it may mean.

use rkyv::{Archive, Deserialize, Serialize};
use smallvec::SmallVec;

use super::bot;
use super::credential::Secret;
use super::custody;
use super::mail::{self, NewMailToken};
use super::right::Right;
use super::token::{self, NewToken};
use super::two_factor;
use crate::domain::community::{member, server};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, Revocation, intent};
use crate::domain::machine::Machine;
use crate::domain::social::relationship;
use crate::domain::view;
use crate::id::{ServerId, TokenId, UserId};
use crate::limits::{
    EMAIL_LEN_MAX, RELATIONSHIP_COUNT_MAX, REMINDER_COUNT_MAX, SERVER_COUNT_MAX, USERNAME_LEN_MAX,
};
use crate::store::Read;
use crate::store::records::{
    ArchivedCredential, ArchivedUser, Credential, LoginName, Meta, Nil, User, UserRef, account, mail_kind,
};
use crate::store::tables::{
    CREDENTIALS, LOGIN_LAPSES, LOGIN_NAMES, REMINDERS, USER_EMAILS, USER_NAMES, USERS,
};
use crate::wire::json::Object;

/// Names under which failures are counted. A failure costs a password hash, of which a thread makes some 15 a second:
/// 13,500 in the 15 minutes of a lock. About 80 bytes each on disk, 6 MB.
pub const LOGIN_NAME_COUNT_MAX: u64 = 65_536;
/// More than one, so that a heap of lapsed names shrinks.
const LAPSED_PER_FAILURE: usize = 2;

/// An e-mail address, and by what it is looked up: which letters are one in lower case differs from build to build, so
/// commands carry the key and accounts keep it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Email {
    pub address: String,
    pub key: String,
}

/// A new account, and its first login session or how to come to one. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Register {
    pub username: String,
    /// Boxed: this is the largest command, and all are moved as far as it goes.
    pub email: Box<Email>,
    /// PHC string of the password hash.
    pub phc: Secret<String>,
    pub age_verified: bool,
    /// A [`crate::store::records::tier`] code.
    pub tier: u8,
    /// [`crate::store::records::badge`] codes.
    pub badges: Vec<u8>,
    pub entry: Entry,
}

/// What a new account begins with.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub enum Entry {
    Session(NewToken),
    /// Its address is to be confirmed before anybody logs in.
    Confirmation(NewMailToken),
}

/// Changes of the acting user's own account; `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct ProfileEdit {
    pub username: Option<String>,
    pub email: Option<Email>,
    pub password: Option<PasswordChange>,
    /// The PHC string that the given password matched, if one was asked for; it must still be in force.
    pub verified: Option<Secret<String>>,
    /// Where another address is to be confirmed. Boxed, as the address of [`Register`] is.
    pub confirmation: Option<Box<NewMailToken>>,
}

/// Needs `ProfileEdit::verified`. Ends the other sessions of the account.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PasswordChange {
    /// The new PHC string.
    pub phc: Secret<String>,
    /// The session that goes on.
    pub token_id: TokenId,
}

/// Freezes the acting user's account; after the grace it is purged.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AccountDelete {
    /// The PHC string that the given password matched.
    pub phc: Secret<String>,
    pub grace_ms: u64,
    /// How long before the end of the grace he is reminded.
    pub reminders_ms: Vec<u64>,
}

/// A wrong password, wherever one is asked for, or a log-in under a name that nobody has: as user 0. Both take the
/// same time and count alike. Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct LoginFailed {
    pub user_id: UserId,
    /// Key of the name in a login form, made by the API.
    pub name: Option<u64>,
    pub failures_max: u64,
    pub lockout_ms: u64,
}

/// Whom a name means, in any case.
pub fn by_name(read: Read<'_>, name: &str) -> Option<UserId> {
    if name.is_empty() || name.len() > USERNAME_LEN_MAX {
        return None;
    }
    read.get(USER_NAMES, name.to_ascii_lowercase().as_str()).map(|found| UserId::from(&found.id))
}

/// Whom an e-mail address means, by its key.
pub fn by_email(read: Read<'_>, key: &str) -> Option<UserId> {
    if key.is_empty() || key.len() > EMAIL_LEN_MAX {
        return None;
    }
    read.get(USER_EMAILS, key).map(|found| UserId::from(&found.id))
}

/// # Errors
/// 403 while too many log-ins have failed under a name.
pub fn require_name_unlocked(read: Read<'_>, name: u64, at: u64) -> Result<()> {
    let locked = read.get(LOGIN_NAMES, name).is_some_and(|known| known.locked_until.to_native() > at);
    if locked { Err(Refusal::AccountLocked.into()) } else { Ok(()) }
}

/// # Errors
/// 403 while too many passwords for an account were wrong.
pub fn require_unlocked(credential: &ArchivedCredential, at: u64) -> Result<()> {
    let locked = credential.locked_until.to_native() > at;
    if locked { Err(Refusal::AccountLocked.into()) } else { Ok(()) }
}

/// Refuses names and keys of addresses that somebody other than `but` has.
///
/// # Errors
/// 409.
pub fn require_free(
    read: Read<'_>,
    username: Option<&str>,
    email_key: Option<&str>,
    but: Option<UserId>,
) -> Result<()> {
    let taken = |found: Option<UserId>| found.is_some() && found != but;
    if username.is_some_and(|name| taken(by_name(read, name))) {
        return Err(Refusal::UsernameTaken.into());
    }
    if email_key.is_some_and(|key| taken(by_email(read, key))) {
        return Err(Refusal::EmailTaken.into());
    }
    Ok(())
}

/// `UserPublicResponse` of anybody, the built-in author 0 included.
///
/// # Errors
/// 404 for ids that never were.
pub fn write_profile(out: &mut Vec<u8>, read: Read<'_>, id: UserId) -> Result<()> {
    let user = match id {
        UserId(0) => None,
        id => Some(read.get(USERS, id).ok_or(Refusal::UserNotFound)?),
    };
    view::UserPublicResponse::write(out, id, user);
    Ok(())
}

pub(in crate::domain) fn register(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &Register,
) -> Result<(UserId, Option<TokenId>)> {
    require_free(machine.read(), Some(&op.username), Some(&op.email.key), None)?;
    let user = User {
        username: op.username.clone(),
        email: op.email.address.clone(),
        email_key: op.email.key.clone(),
        created_at: machine.unix_ms,
        // Where nobody asks for it there is nothing that could still have to be confirmed.
        email_verified: matches!(op.entry, Entry::Session(_)),
        age_verified: op.age_verified,
        badges: op.badges.clone(),
        tier: op.tier,
        state: account::ACTIVE,
        deletion_at: None,
        avatar: None,
        owner_id: None,
        tier_until: None,
    };
    let user_id = open(machine, &user, &op.phc.0);
    let token_id = match &op.entry {
        Entry::Session(new) => Some(token::grant(machine, user_id, new)),
        Entry::Confirmation(new) => {
            mail::send_token(machine, user_id, &user, mail_kind::EMAIL_CONFIRMATION, new);
            None
        }
    };
    Ok((user_id, token_id))
}

/// A new account under a name and an address that are free. Without a PHC string it has no password: none matches.
pub(super) fn open(machine: &mut Machine<'_, '_>, user: &User, phc: &str) -> UserId {
    let user_id = UserId(machine.next_id());
    let tx = &mut *machine.tx;
    tx.put(USERS, user_id, user);
    tx.put(USER_NAMES, user.username.to_ascii_lowercase().as_str(), &UserRef::from(user_id));
    tx.put(USER_EMAILS, user.email_key.as_str(), &UserRef::from(user_id));
    tx.put(CREDENTIALS, user_id, &Credential { phc: phc.to_owned(), ..Credential::default() });
    machine.ensure(|read| by_name(read, &user.username) == Some(user_id), "the name leads to the account");
    machine
        .ensure(|read| by_email(read, &user.email_key) == Some(user_id), "the address leads to the account");
    user_id
}

/// Replies whether the account or the name is locked now.
pub(in crate::domain) fn login_failed(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &LoginFailed,
) -> Result<bool> {
    let name_locked = op.name.is_some_and(|name| name_failed(machine, name, op));
    let Some(record) = machine.tx.get(CREDENTIALS, op.user_id) else {
        return Ok(name_locked);
    };
    let mut credential = Credential::from(record);
    if credential.locked_until > machine.at {
        return Ok(true);
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
    Ok(locked || name_locked)
}

/// Counts a failed log-in under a name; whether it is locked now.
fn name_failed(machine: &mut Machine<'_, '_>, name: u64, op: &LoginFailed) -> bool {
    forget_lapsed_names(machine);
    let at = machine.at;
    let mut known = machine.tx.get(LOGIN_NAMES, name).map(LoginName::from).unwrap_or_default();
    if known.locked_until > at {
        return true;
    }
    forget_name(machine, name);
    if known.locked_until != 0 || known.lapses_at <= at {
        known = LoginName::default();
    }
    known.failures = known.failures.saturating_add(1);
    let locked = u64::from(known.failures) >= op.failures_max;
    known.lapses_at = at + op.lockout_ms;
    if locked {
        known.locked_until = known.lapses_at;
    }
    machine.tx.put(LOGIN_NAMES, name, &known);
    machine.tx.put(LOGIN_LAPSES, (known.lapses_at, name), &Nil {});
    locked
}

/// Removes some names whose time is over, and the one that is next when there are too many.
fn forget_lapsed_names(machine: &mut Machine<'_, '_>) {
    for _ in 0..LAPSED_PER_FAILURE {
        let first = machine.read().scan(LOGIN_LAPSES, ()).next().map(|(key, _)| key);
        let Some((lapses_at, name)) = first else { return };
        if lapses_at > machine.at && machine.read().len(LOGIN_NAMES) < LOGIN_NAME_COUNT_MAX {
            return;
        }
        forget_name(machine, name);
    }
}

/// Forgets failures under a name.
pub(in crate::domain) fn forget_name(machine: &mut Machine<'_, '_>, name: u64) {
    let Some(known) = machine.tx.get(LOGIN_NAMES, name) else { return };
    let lapses_at = known.lapses_at.to_native();
    machine.tx.delete(LOGIN_NAMES, name);
    machine.tx.delete(LOGIN_LAPSES, (lapses_at, name));
}

/// The account, if it may do something.
///
/// # Errors
/// 401.
pub(in crate::domain) fn acting_user(machine: &Machine<'_, '_>, actor: UserId) -> Result<User> {
    require_active(machine, actor).map(User::from)
}

/// The same as it is stored. Who has to change his name is told so before he asks for anything else; here he is as good
/// as others.
///
/// # Errors
/// 401.
pub(in crate::domain) fn require_active<'m>(
    machine: &'m Machine<'_, '_>,
    user_id: UserId,
) -> Result<&'m ArchivedUser> {
    let user = machine.tx.get(USERS, user_id).filter(|user| view::may_log_in(user.state));
    Ok(user.ok_or(Refusal::TokenInvalid)?)
}

/// The credential, if the password that was checked before is still the one in force, with no failures left.
fn unchanged_credential(machine: &Machine<'_, '_>, actor: UserId, phc: &str) -> Result<Credential> {
    let credential = machine.tx.get(CREDENTIALS, actor).ok_or(Refusal::PasswordWrong)?;
    // It may have been locked while this password was being compared.
    require_unlocked(credential, machine.at)?;
    if credential.phc != phc {
        return Err(Refusal::PasswordWrong.into());
    }
    Ok(Credential { failures: 0, locked_until: 0, ..Credential::from(credential) })
}

pub(in crate::domain) fn profile_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ProfileEdit,
) -> Result<UserId> {
    let mut user = acting_user(machine, actor)?;
    let is_other = |name: &String| !name.eq_ignore_ascii_case(&user.username);
    if user.state == account::RENAMING && !op.username.as_ref().is_some_and(is_other) {
        let reason = custody::forced_reason(machine.read(), actor).unwrap_or_default();
        return Err(Error::from(Refusal::NameForced).with_reason(reason));
    }
    if user.owner_id.is_some() {
        return Err(Error::missing_permission(Right::AccountEditProfile.name()));
    }
    let mut credential = match &op.verified {
        Some(phc) => Some(unchanged_credential(machine, actor, &phc.0)?),
        None => None,
    };
    if let Some(change) = &op.password {
        credential.as_mut().ok_or(Refusal::PasswordWrong)?.phc.clone_from(&change.phc.0);
    }
    let email_key = op.email.as_ref().map(|email| email.key.as_str());
    require_free(machine.read(), op.username.as_deref(), email_key, Some(actor))?;

    let renamed = op.username.as_ref().is_some_and(|username| *username != user.username);
    if let Some(username) = &op.username {
        machine.tx.delete(USER_NAMES, user.username.to_ascii_lowercase().as_str());
        machine.tx.put(USER_NAMES, username.to_ascii_lowercase().as_str(), &UserRef::from(actor));
        user.username.clone_from(username);
    }
    if let Some(email) = &op.email {
        move_to(machine, actor, &mut user, email, op.confirmation.is_some());
    }
    if let Some(credential) = credential {
        machine.tx.put(CREDENTIALS, actor, &credential);
    }
    machine.tx.put(USERS, actor, &user);
    if renamed {
        custody::name_changed(machine, actor);
    }
    let leads = |found: Option<UserId>| found == Some(actor);
    let named = |read: Read<'_>| op.username.as_ref().is_none_or(|name| leads(by_name(read, name)));
    machine.ensure(named, "the name leads to the account");
    let addressed = |read: Read<'_>| op.email.as_ref().is_none_or(|email| leads(by_email(read, &email.key)));
    machine.ensure(addressed, "the address leads to the account");
    if let Some(confirmation) = op.confirmation.as_ref().filter(|_| !user.email_verified) {
        mail::send_token(machine, actor, &user, mail_kind::EMAIL_CONFIRMATION, confirmation);
    }
    if let Some(change) = &op.password {
        token::revoke_all(machine, actor, Revocation::Security, Some(change.token_id));
        two_factor::forget_challenges(machine, actor);
        mail::void(machine, actor, mail_kind::PASSWORD_RESET);
        mail::tell(machine, actor, mail_kind::PASSWORD_CHANGED, "", 0);
    }
    if renamed {
        emit_user_update(machine, actor);
        let servers: Vec<ServerId> = server::ids_of(machine.read(), actor).take(SERVER_COUNT_MAX).collect();
        for server_id in servers {
            member::emit_update(machine, server_id, actor);
        }
    }
    Ok(actor)
}

/// Gives an account another address. What was sent to the one before is good no more, and it is told so.
fn move_to(
    machine: &mut Machine<'_, '_>,
    user_id: UserId,
    user: &mut User,
    email: &Email,
    is_to_be_confirmed: bool,
) {
    machine.tx.delete(USER_EMAILS, user.email_key.as_str());
    machine.tx.put(USER_EMAILS, email.key.as_str(), &UserRef::from(user_id));
    // The same mailbox in other letters is the same mailbox.
    if user.email_key != email.key {
        mail::tell(machine, user_id, mail_kind::EMAIL_CHANGED, "", 0);
        mail::void(machine, user_id, mail_kind::PASSWORD_RESET);
        mail::void(machine, user_id, mail_kind::EMAIL_CONFIRMATION);
        user.email_verified = !is_to_be_confirmed;
    }
    (user.email, user.email_key) = (email.address.clone(), email.key.clone());
}

/// Tells himself, his friends and the members of his servers, each once.
pub(in crate::domain) fn emit_user_update(machine: &mut Machine<'_, '_>, user_id: UserId) {
    let mut payload = Vec::new();
    let mut friends = SmallVec::from_slice(&[user_id]);
    {
        let read = machine.read();
        let mut object = Object::new(&mut payload);
        let Some(user) = read.get(USERS, user_id) else { return };
        view::UserPublicResponse::write(object.key("user"), user_id, Some(user));
        friends.extend(relationship::friends(read, user_id).take(RELATIONSHIP_COUNT_MAX));
    }
    let event = Event::new(EventName::UserUpdate, intent::NONE, Audience::Users(friends), payload);
    let neighbours =
        Event { intent: intent::GUILD_MEMBERS, audience: Audience::Neighbours(user_id), ..event.clone() };
    machine.emit(event);
    machine.emit(neighbours);
}

pub(in crate::domain) fn account_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &AccountDelete,
) -> Result<()> {
    let mut user = acting_user(machine, actor)?;
    unchanged_credential(machine, actor, &op.phc.0).map_err(|error| match error {
        error if error == Refusal::PasswordWrong.into() => {
            Error::invalid("password", "the password is wrong")
        }
        error => error,
    })?;
    let due = machine.at + op.grace_ms;
    user.state = account::FROZEN;
    user.deletion_at = Some(due);
    machine.tx.put(USERS, actor, &user);
    custody::deletion_scheduled(machine, actor, due);
    token::revoke_all(machine, actor, Revocation::Security, None);
    bot::disconnect_all(machine, actor, Revocation::Security);
    mail::void(machine, actor, mail_kind::PASSWORD_RESET);
    mail::void(machine, actor, mail_kind::EMAIL_CONFIRMATION);
    mail::tell(machine, actor, mail_kind::DELETION_SCHEDULED, "", op.grace_ms);
    let reminders = op.reminders_ms.iter().filter(|before| **before < op.grace_ms);
    for before in reminders.take(REMINDER_COUNT_MAX) {
        machine.tx.put(REMINDERS, (due - before, actor), &Meta { value: due });
    }
    Ok(())
}

/// Reminds somebody of the deletion of his account, unless it is at another time by now, or off.
pub(in crate::domain) fn remind(machine: &mut Machine<'_, '_>, at: u64, user_id: UserId) {
    let due = machine.tx.get(REMINDERS, (at, user_id)).map(|meta| meta.value.to_native());
    machine.tx.delete(REMINDERS, (at, user_id));
    let user = machine.tx.get(USERS, user_id).filter(|user| user.state == account::FROZEN);
    let is_due = user.and_then(|user| user.deletion_at.as_ref()).map(|due| due.to_native()) == due;
    if let (true, Some(due)) = (is_due, due.filter(|due| *due > machine.at)) {
        mail::tell(machine, user_id, mail_kind::DELETION_REMINDER, "", due - machine.at);
    }
}
