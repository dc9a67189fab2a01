//! What those who run the server do to accounts: locks, names that have to be changed, the time of a deletion, notes.
//!
//! Invariants: an account is locked exactly while `USER_LOCKS` has its row; one that has to change its name has its row
//! in `FORCED_NAMES`, whatever else it is. Both keep the sessions, which are refused meanwhile.

use rkyv::{Archive, Deserialize, Serialize};

use super::{account, banned_name, bot, token};
use crate::domain::error::{Error, Result};
use crate::domain::event::Revocation;
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::domain::view::existing;
use crate::id::UserId;
use crate::store::Read;
use crate::store::records::{
    ArchivedUser, Credential, ForcedName, Meta, Nil, User, UserLock as Lock, UserNote, account as state,
};
use crate::store::tables::{
    CREDENTIALS, DELETION_TIMES, DELETIONS, FORCED_NAMES, USER_LOCK_LAPSES, USER_LOCKS, USER_NOTES, USERS,
};

/// Locks an account.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserLock {
    pub user_id: UserId,
    /// For how long; `None`: until it is unlocked.
    pub life_ms: Option<u64>,
}

/// Unlocks it, and forgets passwords that were wrong.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserUnlock {
    pub user_id: UserId,
    /// Keys of what he logs in with, made by the API.
    pub names: Vec<u64>,
}

/// Ends all his sessions.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserLogOut {
    pub user_id: UserId,
}

/// He has to choose another name.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UsernameForce {
    pub user_id: UserId,
    pub reason: String,
    /// The name he has is nobody's from now on.
    pub ban_current: bool,
}

/// His account is not deleted after all.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct DeletionCancel {
    pub user_id: UserId,
}

/// His account is deleted at another time.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct DeletionDelay {
    pub user_id: UserId,
    /// From now on.
    pub in_ms: u64,
}

/// His account is deleted now.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserPurge {
    pub user_id: UserId,
}

/// What administrators keep in mind about somebody.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserNoteSet {
    pub user_id: UserId,
    pub notes: String,
}

/// The state of an account when nobody has locked it.
fn unlocked(read: Read<'_>, user_id: UserId, user: &ArchivedUser) -> u8 {
    match () {
        () if user.state == state::PURGED => state::PURGED,
        () if user.deletion_at.is_some() => state::FROZEN,
        () if read.contains(FORCED_NAMES, user_id) => state::RENAMING,
        () => state::ACTIVE,
    }
}

/// Puts an account into the state that is its own.
fn settle(machine: &mut Machine<'_, '_>, user_id: UserId) {
    let Some(user) = machine.tx.get(USERS, user_id) else { return };
    let is_locked = machine.read().contains(USER_LOCKS, user_id) && user.state != state::PURGED;
    let state = if is_locked { state::LOCKED } else { unlocked(machine.read(), user_id, user) };
    if user.state != state {
        let user = User { state, ..User::from(user) };
        machine.tx.put(USERS, user_id, &user);
    }
}

/// Why somebody has to change his name.
pub fn forced_reason(read: Read<'_>, user_id: UserId) -> Option<&str> {
    read.get(FORCED_NAMES, user_id).map(|forced| forced.reason.as_str())
}

/// Until when an account is locked, in steady time: `Some(None)` is until somebody unlocks it.
pub fn locked_until(read: Read<'_>, user_id: UserId) -> Option<Option<u64>> {
    read.get(USER_LOCKS, user_id).map(|lock| lock.until.as_ref().map(|until| until.to_native()))
}

/// Whether a lock is over at this moment that nobody has taken away yet.
pub fn is_lock_due(read: Read<'_>, at: u64) -> bool {
    read.scan(USER_LOCK_LAPSES, ()).keys().next().is_some_and(|(until, _)| until <= at)
}

/// Takes away some locks that are over; how many.
pub(in crate::domain) fn end_locks(machine: &mut Machine<'_, '_>, count_max: usize) -> usize {
    let at = machine.at;
    let due = machine.read().scan(USER_LOCK_LAPSES, ()).keys().take_while(|(until, _)| *until <= at);
    let due: Vec<UserId> = due.take(count_max).map(|(_, user_id)| user_id).collect();
    due.iter().for_each(|user_id| release(machine, *user_id));
    due.len()
}

/// Forgets the lock of an account.
fn release(machine: &mut Machine<'_, '_>, user_id: UserId) {
    let Some(until) = locked_until(machine.read(), user_id) else { return };
    machine.tx.delete(USER_LOCKS, user_id);
    if let Some(until) = until {
        machine.tx.delete(USER_LOCK_LAPSES, (until, user_id));
    }
    settle(machine, user_id);
}

pub(in crate::domain) fn user_lock(machine: &mut Machine<'_, '_>, _: UserId, op: &UserLock) -> Result<()> {
    let user_id = op.user_id;
    let user = existing(machine.read(), user_id)?;
    let note = Note::of(&*user.username).before(state::text(user.state));
    if let Some(Some(until)) = locked_until(machine.read(), user_id) {
        machine.tx.delete(USER_LOCK_LAPSES, (until, user_id));
    }
    let until = op.life_ms.map(|life_ms| machine.at.saturating_add(life_ms));
    let lock = Lock { until, locked_at: machine.unix_ms, locked_by: machine.admin().map(|admin| admin.0) };
    machine.tx.put(USER_LOCKS, user_id, &lock);
    if let Some(until) = until {
        machine.tx.put(USER_LOCK_LAPSES, (until, user_id), &Nil {});
    }
    settle(machine, user_id);
    token::disconnect_all(machine, user_id, Revocation::Suspended);
    bot::disconnect_all(machine, user_id, Revocation::Suspended);
    let long = op.life_ms.map_or("for good".to_string(), |life_ms| format!("for {} s", life_ms / 1_000));
    machine.note(note.after(format_args!("locked {long}")));
    Ok(())
}

pub(in crate::domain) fn user_unlock(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &UserUnlock,
) -> Result<()> {
    let user = existing(machine.read(), op.user_id)?;
    let note = Note::of(&*user.username).before(state::text(user.state));
    release(machine, op.user_id);
    for name in &op.names {
        account::forget_name(machine, *name);
    }
    let record = machine.tx.get(CREDENTIALS, op.user_id);
    if let Some(record) = record.filter(|record| record.failures != 0 || record.locked_until != 0) {
        let credential = Credential { failures: 0, locked_until: 0, ..Credential::from(record) };
        machine.tx.put(CREDENTIALS, op.user_id, &credential);
    }
    let after = machine.tx.get(USERS, op.user_id).map_or(state::ACTIVE, |user| user.state);
    machine.note(note.after(state::text(after)));
    Ok(())
}

/// Replies how many sessions ended.
pub(in crate::domain) fn user_log_out(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &UserLogOut,
) -> Result<u64> {
    let note = Note::of(&*existing(machine.read(), op.user_id)?.username);
    let count = token::revoke_all(machine, op.user_id, Revocation::Security, None);
    bot::disconnect_all(machine, op.user_id, Revocation::Security);
    machine.note(note.after(format_args!("{count} sessions ended")));
    Ok(count)
}

pub(in crate::domain) fn username_force(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &UsernameForce,
) -> Result<()> {
    let user = existing(machine.read(), op.user_id)?;
    let name = user.username.to_string();
    if user.is_bot() {
        return Err(Error::invalid("user_id", "a bot is renamed by its owner"));
    }
    if op.ban_current {
        banned_name::require_room(machine.read())?;
    }
    let forced = ForcedName { reason: op.reason.clone(), forced_at: machine.unix_ms };
    machine.tx.put(FORCED_NAMES, op.user_id, &forced);
    settle(machine, op.user_id);
    if op.ban_current {
        banned_name::put(machine, &name, false, Some(&op.reason));
    }
    machine.note(Note::of(name).after(&op.reason));
    Ok(())
}

/// Who has chosen another name need not any more.
pub(super) fn name_changed(machine: &mut Machine<'_, '_>, user_id: UserId) {
    if machine.read().contains(FORCED_NAMES, user_id) {
        machine.tx.delete(FORCED_NAMES, user_id);
        settle(machine, user_id);
    }
}

/// When the account of somebody is deleted, in steady time.
///
/// # Errors
/// 404 for who is not there, 409 when it is not.
fn deletion(machine: &Machine<'_, '_>, user_id: UserId) -> Result<(User, u64)> {
    let user = User::from(existing(machine.read(), user_id)?);
    match user.deletion_at {
        Some(due) => Ok((user, due)),
        None => Err(Error::new(409, "This account is not scheduled for deletion")),
    }
}

/// Notes that an account is to be deleted, and since when that is so.
pub(super) fn deletion_scheduled(machine: &mut Machine<'_, '_>, user_id: UserId, due: u64) {
    machine.tx.put(DELETIONS, (due, user_id), &Nil {});
    machine.tx.put(DELETION_TIMES, user_id, &Meta { value: machine.unix_ms });
}

pub(in crate::domain) fn deletion_cancel(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &DeletionCancel,
) -> Result<()> {
    let (user, due) = deletion(machine, op.user_id)?;
    if user.owner_id.is_some() {
        return Err(Error::new(409, "A bot that was deleted does not come back"));
    }
    machine.tx.delete(DELETIONS, (due, op.user_id));
    machine.tx.delete(DELETION_TIMES, op.user_id);
    let note = Note::of(&user.username);
    machine.tx.put(USERS, op.user_id, &User { deletion_at: None, ..user });
    settle(machine, op.user_id);
    machine.note(note.after("not to be deleted"));
    Ok(())
}

pub(in crate::domain) fn deletion_delay(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &DeletionDelay,
) -> Result<()> {
    let (user, due) = deletion(machine, op.user_id)?;
    let later = machine.at.saturating_add(op.in_ms);
    machine.tx.delete(DELETIONS, (due, op.user_id));
    machine.tx.put(DELETIONS, (later, op.user_id), &Nil {});
    let shown = |at: u64| machine.offset().shown(at);
    let note = Note::of(&user.username).before(shown(due)).after(shown(later));
    machine.tx.put(USERS, op.user_id, &User { deletion_at: Some(later), ..user });
    machine.note(note);
    Ok(())
}

/// Nobody can use the account from now on, and its name and address are free; what is left goes in steps.
pub(in crate::domain) fn user_purge(machine: &mut Machine<'_, '_>, _: UserId, op: &UserPurge) -> Result<()> {
    let user = User::from(existing(machine.read(), op.user_id)?);
    machine.note(Note::of(&user.username).after("deleted"));
    if user.owner_id.is_some() {
        bot::end(machine, op.user_id);
        return Ok(());
    }
    if let Some(due) = user.deletion_at {
        machine.tx.delete(DELETIONS, (due, op.user_id));
    }
    let due = machine.at;
    machine.tx.put(USERS, op.user_id, &User { deletion_at: Some(due), ..user });
    deletion_scheduled(machine, op.user_id, due);
    settle(machine, op.user_id);
    token::revoke_all(machine, op.user_id, Revocation::Security, None);
    bot::disconnect_all(machine, op.user_id, Revocation::Security);
    Ok(())
}

pub(in crate::domain) fn user_note_set(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &UserNoteSet,
) -> Result<()> {
    let note = Note::of(&*existing(machine.read(), op.user_id)?.username);
    let before = machine.tx.get(USER_NOTES, op.user_id).map(|known| known.text.to_string());
    match op.notes.is_empty() {
        true => drop(machine.tx.delete(USER_NOTES, op.user_id)),
        false => machine.tx.put(USER_NOTES, op.user_id, &UserNote { text: op.notes.clone() }),
    }
    machine.note(note.before(before.unwrap_or_default()).after(&op.notes));
    Ok(())
}
