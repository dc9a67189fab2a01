//! What is changed of a member beside his roles: nickname and timeout.

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{Action, Changes};
use super::member::{emit_update, record, target_standing};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Result};
use crate::domain::machine::Machine;
use crate::domain::permission::{ADMINISTRATOR, MEMBERS_KICK, MEMBERS_MANAGE_NICKNAMES};
use crate::id::{ServerId, UserId};
use crate::store::records::Member;
use crate::store::tables::MEMBERS;

/// `None` leaves a part as it is.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct MemberEdit {
    pub server_id: ServerId,
    pub user_id: UserId,
    pub nickname: Option<Option<String>>,
    /// From now on; 0 ends it.
    pub timeout_seconds: Option<u64>,
    /// Of the timeout.
    pub timeout_reason: Option<String>,
}

/// Whether the actor may change this of a member. A nickname of one's own is everybody's; whoever may remove a member
/// may silence him.
///
/// # Errors
/// 404 server or member; 403 not a member, without permission, role order, owner, his own timeout, an administrator's.
pub fn check_edit(asking: Asking<'_>, op: &MemberEdit) -> Result<()> {
    let actor = asking.server(op.server_id)?;
    let target = target_standing(asking, op.server_id, op.user_id)?;
    let is_own = asking.who == op.user_id;
    if op.nickname.is_some() && !is_own {
        actor.require(MEMBERS_MANAGE_NICKNAMES)?;
        actor.require_above(&target)?;
    }
    let Some(seconds) = op.timeout_seconds else { return Ok(()) };
    actor.require(MEMBERS_KICK)?;
    if is_own && !target.is_owner() {
        return Err(Error::forbidden("You cannot change your own timeout"));
    }
    actor.require_above(&target)?;
    if seconds != 0 && target.has(ADMINISTRATOR) {
        return Err(Error::forbidden("Administrators cannot be silenced"));
    }
    Ok(())
}

/// Replies whether anything changed.
pub(in crate::domain) fn member_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MemberEdit,
) -> Result<bool> {
    check_edit(machine.asking(actor), op)?;
    let key = (op.server_id, op.user_id);
    let old = machine.read().get(MEMBERS, key).map(Member::from).expect("checked above");
    let mut new = old.clone();
    let mut changes = Changes::default();
    if let Some(nickname) = &op.nickname {
        changes.text("nickname", old.nickname.as_deref(), nickname.as_deref());
        new.nickname.clone_from(nickname);
    }
    match op.timeout_seconds {
        Some(0) => (new.timeout_until, new.timeout_reason) = (None, None),
        Some(seconds) => set_timeout(&mut new, machine.at, seconds, op.timeout_reason.as_deref()),
        None => {}
    }
    if new == old {
        return Ok(false);
    }
    if new.timeout_until != old.timeout_until {
        note_timeout(&mut changes, op.timeout_seconds.unwrap_or(0));
    }
    machine.tx.put(MEMBERS, key, &new);
    emit_update(machine, op.server_id, op.user_id);
    let reason = op.timeout_reason.as_deref().filter(|_| op.timeout_seconds.is_some());
    record(machine, op.server_id, actor, Action::MemberUpdate, op.user_id, changes.finish(), reason);
    Ok(true)
}

/// Silences a member for so long from now on; a timeout that ends later stays. Whoever calls has checked that it may be
/// done.
pub(in crate::domain) fn time_out(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    actor: UserId,
    user_id: UserId,
    seconds: u64,
    reason: Option<&str>,
) {
    let key = (server_id, user_id);
    let Some(mut member) = machine.read().get(MEMBERS, key).map(Member::from) else { return };
    let known = member.timeout_until;
    set_timeout(&mut member, machine.at, seconds, reason);
    if known >= member.timeout_until {
        return;
    }
    machine.tx.put(MEMBERS, key, &member);
    emit_update(machine, server_id, user_id);
    let mut changes = Changes::default();
    note_timeout(&mut changes, seconds);
    record(machine, server_id, actor, Action::MemberUpdate, user_id, changes.finish(), reason);
}

fn set_timeout(member: &mut Member, at: u64, seconds: u64, reason: Option<&str>) {
    member.timeout_until = Some(at.saturating_add(seconds.saturating_mul(1_000)));
    member.timeout_reason = reason.map(str::to_string);
}

/// What is stored of times is in no client's unit: its length says it as well. 0: it was ended.
fn note_timeout(changes: &mut Changes, seconds: u64) {
    changes.raw("timeout_seconds", b"null", seconds.to_string().as_bytes());
}
