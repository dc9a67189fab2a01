//! People who may read and log in, but bring nothing before others any more.
//!
//! Commands that do are marked (`speaks`), and asked for it in one place: [`check`], in apply, so that it holds with the
//! answer of the administrator's request. A bot is silenced with its owner.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::domain::time::Offset;
use crate::domain::view::{existing, username};
use crate::id::UserId;
use crate::store::Read;
use crate::store::records::UserRef;
use crate::store::records::{ArchivedUser, ArchivedUserBlock, UserBlock as Block};
use crate::store::tables::{USER_BLOCK_ORDER, USER_BLOCKS, USERS};
use crate::wire::json::shape::shape;

/// Silences somebody.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserSilence {
    pub user_id: UserId,
    pub reason: String,
    /// For how long; `None`: until somebody takes it back.
    pub life_ms: Option<u64>,
}

/// Takes it back.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UserUnsilence {
    pub user_id: UserId,
}

fn is_over(block: &ArchivedUserBlock, at: u64) -> bool {
    block.until.as_ref().is_some_and(|until| until.to_native() <= at)
}

/// # Errors
/// 403 with the reason for whoever may bring nothing before others.
pub fn check(read: Read<'_>, user_id: UserId, at: u64) -> Result<()> {
    // Mostly there is nobody.
    if read.len(USER_BLOCKS) == 0 {
        return Ok(());
    }
    let owner = read.get(USERS, user_id).and_then(ArchivedUser::owner);
    let blocks = [Some(user_id), owner].into_iter().flatten().filter_map(|id| read.get(USER_BLOCKS, id));
    match blocks.into_iter().find(|block| !is_over(block, at)) {
        Some(block) => Err(Error::from(Refusal::UserSilenced).with_reason(&block.reason)),
        None => Ok(()),
    }
}

/// Those who are, the latest first.
pub fn all(read: Read<'_>, at: u64) -> impl Iterator<Item = (UserId, &ArchivedUserBlock)> {
    let ids = read.scan_rev(USER_BLOCK_ORDER, ()).map(|(_, user)| UserId::from(&user.id));
    let blocks = ids.filter_map(move |id| Some((id, read.get(USER_BLOCKS, id)?)));
    blocks.filter(move |(_, block)| !is_over(block, at))
}

pub(super) fn put(machine: &mut Machine<'_, '_>, user_id: UserId, reason: &str, life_ms: Option<u64>) {
    remove(machine, user_id);
    let block = Block {
        reason: reason.to_string(),
        blocked_at: machine.unix_ms,
        blocked_by: machine.admin().map(|admin| admin.0),
        until: life_ms.map(|life_ms| machine.at.saturating_add(life_ms)),
        order: machine.next_id(),
    };
    machine.tx.put(USER_BLOCKS, user_id, &block);
    machine.tx.put(USER_BLOCK_ORDER, block.order, &UserRef { id: user_id });
}

fn remove(machine: &mut Machine<'_, '_>, user_id: UserId) -> bool {
    let order = machine.tx.get(USER_BLOCKS, user_id).map(|block| block.order.to_native());
    if let Some(order) = order {
        machine.tx.delete(USER_BLOCKS, user_id);
        machine.tx.delete(USER_BLOCK_ORDER, order);
    }
    order.is_some()
}

pub(in crate::domain) fn user_silence(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &UserSilence,
) -> Result<()> {
    let note = Note::of(&*existing(machine.read(), op.user_id)?.username).after(&op.reason);
    put(machine, op.user_id, &op.reason, op.life_ms);
    machine.note(note);
    Ok(())
}

/// Replies whether he was.
pub(in crate::domain) fn user_unsilence(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &UserUnsilence,
) -> Result<bool> {
    let note = Note::of(username(machine.read(), op.user_id)).before("blocked");
    let was_one = remove(machine, op.user_id);
    machine.note(note);
    Ok(was_one)
}

shape! {
    /// Somebody who may bring nothing before others.
    pub BlockedUserResponse(read: Read<'_>, user_id: UserId, block: &ArchivedUserBlock, offset: Offset) {
        user_id: id = user_id.0,
        username: opt_str = Some(username(read, user_id)),
        reason: str = &block.reason,
        blocked_at: time = block.blocked_at.to_native(),
        blocked_by: opt_id = block.blocked_by.as_ref().map(|id| id.to_native()),
        expires_at: opt_time = block.until.as_ref().map(|until| offset.shown(until.to_native())),
    }
}

shape! {
    /// Somebody has been silenced.
    pub BlockUserResponse(user_id: UserId) {
        success: bool = true,
        user_id: id = user_id.0,
    }
}
