//! Whose a server is, and how it becomes another's.

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{self, Action, Changes, Target};
use super::member::target_standing;
use super::server::{emit_update, require_owner};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Result};
use crate::domain::event::Change;
use crate::domain::machine::Machine;
use crate::domain::view::may_log_in;
use crate::id::{ServerId, UserId};
use crate::store::records::{Member, Server};
use crate::store::tables::{MEMBERS, SERVERS, TEMPORARY_MEMBERS, USERS};

/// Hands a server over to one of its members. Who had it stays a member with the roles that he has.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct OwnerSet {
    pub server_id: ServerId,
    pub user_id: UserId,
}

/// Whether the actor may hand the server over to him.
///
/// # Errors
/// 404 server or member; 403 not a member, not the owner; 400 for a bot, and for an account that cannot be used.
pub fn check_set(asking: Asking<'_>, op: &OwnerSet) -> Result<()> {
    require_owner(&asking.server(op.server_id)?)?;
    target_standing(asking, op.server_id, op.user_id)?;
    let user = asking.read.get(USERS, op.user_id);
    if !user.is_some_and(|user| may_log_in(user.state) && !user.is_bot()) {
        return Err(Error::invalid("user_id", "must be a person whose account can be used"));
    }
    Ok(())
}

/// Replies whether anything changed.
pub(in crate::domain) fn owner_set(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &OwnerSet,
) -> Result<bool> {
    check_set(machine.asking(actor), op)?;
    if op.user_id == actor {
        return Ok(false);
    }
    let server_id = op.server_id;
    let stored = machine.read().get(SERVERS, server_id).map(Server::from).expect("checked above");
    let server = Server { owner_id: op.user_id, ..stored };
    machine.tx.put(SERVERS, server_id, &server);
    stay(machine, server_id, op.user_id);
    for user_id in [actor, op.user_id] {
        machine.change(Change::MemberRolesChanged { server_id, user_id });
    }
    emit_update(machine, server_id);
    let mut changes = Changes::default();
    changes.id("owner_id", Some(actor.0), Some(op.user_id.0));
    let target = Target::server(server_id, &server.name);
    audit::record(machine, server_id, actor, Action::ServerUpdate, target, changes.finish(), None);
    Ok(true)
}

/// Whoever was given a server does not go by himself any more, also when he has handed it on.
fn stay(machine: &mut Machine<'_, '_>, server_id: ServerId, user_id: UserId) {
    let member = machine.read().get(MEMBERS, (server_id, user_id)).map(Member::from);
    if let Some(member) = member.filter(|member| member.temporary) {
        machine.tx.put(MEMBERS, (server_id, user_id), &Member { temporary: false, ..member });
        machine.tx.remove(TEMPORARY_MEMBERS, (user_id, server_id));
    }
}
