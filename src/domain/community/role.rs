//! Roles: named sets of permissions in an order.
//!
//! Invariant: @everyone has position 0, the others have 1..n without gap or repeat (see [`ordering`]). Who changes a role stands
//! above it, before and after, and grants nothing that he does not have himself.

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{self, Action, Changes, Target};
use super::channel;
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Change, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::ordering;
use crate::domain::ordering::Order;
use crate::domain::permission::{ROLES_MANAGE, Standing, bits_of, name};
use crate::id::{RoleId, ServerId, UserId};
use crate::limits::ROLE_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedRole, Grant, Role, override_kind};
use crate::store::tables::{OVERRIDES, ROLES};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

/// Roles of a server, @everyone apart.
pub const COUNT_MAX: usize = ROLE_COUNT_MAX;

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct RoleCreate {
    pub server_id: ServerId,
    pub name: String,
    pub color: Option<String>,
    /// Each name once.
    pub permissions: Vec<Grant>,
    pub hoist: bool,
    pub mentionable: bool,
}

/// `None` leaves a field as it is.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct RoleEdit {
    pub server_id: ServerId,
    pub role_id: RoleId,
    pub name: Option<String>,
    pub color: Option<String>,
    /// The whole new set, each name once.
    pub permissions: Option<Vec<Grant>>,
    pub hoist: Option<bool>,
    pub mentionable: Option<bool>,
    /// Moved into 1..n.
    pub position: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct RoleDelete {
    pub server_id: ServerId,
    pub role_id: RoleId,
}

pub(in crate::domain) fn role_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &RoleCreate,
) -> Result<RoleId> {
    let read = machine.read();
    let standing = machine.asking(actor).server(op.server_id)?;
    standing.require(ROLES_MANAGE)?;
    let bits = bits_of(&op.permissions);
    require_grantable(&standing, bits)?;
    let mut order = order(read, op.server_id);
    if order.len() >= COUNT_MAX {
        return Err(Error::bad_request(format!(
            "A server can have at most {COUNT_MAX} roles: delete one first"
        )));
    }
    // Highest of all for the owner; for others right below their own highest role.
    let top = standing.top_position();
    let index = order.iter().filter(|(position, _)| *position < top).count();
    let role_id = RoleId(machine.next_id());
    let role = Role {
        name: op.name.clone(),
        color: op.color.clone(),
        position: index as u64 + 1,
        permissions: op.permissions.clone(),
        bits,
        hoist: op.hoist,
        mentionable: op.mentionable,
        is_default: false,
        created_at: machine.unix_ms,
    };
    machine.tx.put(ROLES, (op.server_id, role_id), &role);
    emit(machine, EventName::GuildRoleCreate, op.server_id, role_id);
    order.insert(index, (role.position, role_id));
    let moved = arrange(machine, op.server_id, &order);
    tell(machine, op.server_id, &moved);
    let target = Target::role(role_id, &op.name);
    audit::record(machine, op.server_id, actor, Action::RoleCreate, target, None, None);
    Ok(role_id)
}

/// Whether the actor may change or delete this role.
///
/// # Errors
/// 404 server or role; 403 not a member, without permission, role order.
pub fn manageable(
    asking: Asking<'_>,
    server_id: ServerId,
    role_id: RoleId,
) -> Result<(Standing<'_>, &ArchivedRole)> {
    let standing = asking.server(server_id)?;
    let role = asking.read.get(ROLES, (server_id, role_id)).ok_or(Refusal::RoleNotFound)?;
    standing.require(ROLES_MANAGE)?;
    if role.position.to_native() >= standing.top_position() {
        return Err(Refusal::RoleTooHigh.into());
    }
    Ok((standing, role))
}

pub(in crate::domain) fn role_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &RoleEdit,
) -> Result<bool> {
    let read = machine.read();
    let (standing, stored) = manageable(machine.asking(actor), op.server_id, op.role_id)?;
    let old = Role::from(stored);
    let mut new = old.clone();
    new.name = op.name.clone().unwrap_or(new.name);
    new.color = op.color.clone().or(new.color);
    new.hoist = op.hoist.unwrap_or(new.hoist);
    new.mentionable = op.mentionable.unwrap_or(new.mentionable);
    if let Some(permissions) = &op.permissions {
        new.permissions.clone_from(permissions);
        new.bits = bits_of(permissions);
        require_grantable(&standing, new.bits & !old.bits)?;
    }
    let mut order = order(read, op.server_id);
    if let Some(position) = op.position {
        new.position = match old.is_default {
            true => position,
            false => ordering::place(&mut order, op.role_id, position.max(1)) as u64 + 1,
        };
        if new.position >= standing.top_position() {
            return Err(Refusal::RoleTooHigh.into());
        }
    }
    let fixed = Role { permissions: old.permissions.clone(), bits: old.bits, ..new.clone() };
    if old.is_default && fixed != old {
        return Err(Error::bad_request("Only the permissions of @everyone can be changed"));
    }
    let changes = differences(&old, &new);
    if changes.is_empty() {
        return Ok(false);
    }
    machine.tx.put(ROLES, (op.server_id, op.role_id), &new);
    if new.bits != old.bits {
        machine.change(Change::PermissionsChanged { server_id: op.server_id });
    }
    let mut changed = vec![op.role_id];
    changed.extend(arrange(machine, op.server_id, &order).into_iter().filter(|id| *id != op.role_id));
    tell(machine, op.server_id, &changed);
    let target = Target::role(op.role_id, &new.name);
    audit::record(machine, op.server_id, actor, Action::RoleUpdate, target, changes.finish(), None);
    Ok(true)
}

fn differences(old: &Role, new: &Role) -> Changes {
    let mut changes = Changes::default();
    changes.text("name", Some(&old.name), Some(&new.name));
    changes.text("color", old.color.as_deref(), new.color.as_deref());
    let json = |role: &Role| {
        let mut out = Vec::new();
        write_grants(&mut out, role.permissions.iter().map(|grant| (&*grant.name, grant.allowed)));
        out
    };
    changes.raw("permissions", &json(old), &json(new));
    changes.bool("hoist", old.hoist, new.hoist);
    changes.bool("mentionable", old.mentionable, new.mentionable);
    changes.u64("position", old.position, new.position);
    changes
}

/// Holders keep the id of the role in their record; see `member.rs`.
pub(in crate::domain) fn role_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &RoleDelete,
) -> Result<()> {
    let (server_id, role_id) = (op.server_id, op.role_id);
    let name = check_delete(machine.asking(actor), server_id, role_id)?.name.to_string();
    machine.tx.delete(ROLES, (server_id, role_id));
    for channel_id in channel::ids(machine.read(), server_id) {
        machine.tx.delete(OVERRIDES, (channel_id, override_kind::ROLE, role_id.0));
    }
    machine.change(Change::PermissionsChanged { server_id });
    let payload = payload(|object| {
        object.id("guild_id", server_id.0).id("role_id", role_id.0);
    });
    let audience = Audience::members(server_id);
    machine.emit(Event::new(EventName::GuildRoleDelete, intent::GUILDS, audience, payload));
    let order = order(machine.read(), server_id);
    let moved = arrange(machine, server_id, &order);
    tell(machine, server_id, &moved);
    audit::record(machine, server_id, actor, Action::RoleDelete, Target::role(role_id, &name), None, None);
    Ok(())
}

/// Whether the actor may delete this role.
///
/// # Errors
/// As [`manageable`]; 403 for @everyone.
pub fn check_delete(asking: Asking<'_>, server_id: ServerId, role_id: RoleId) -> Result<&ArchivedRole> {
    let (_, role) = manageable(asking, server_id, role_id)?;
    if role.is_default {
        return Err(Error::forbidden("@everyone cannot be deleted"));
    }
    Ok(role)
}

/// # Errors
/// 403 naming the first permission that he would grant without having it.
fn require_grantable(standing: &Standing<'_>, bits: u64) -> Result<()> {
    match bits & !standing.permissions {
        0 => Ok(()),
        lacking => {
            let name = name(1 << lacking.trailing_zeros());
            Err(Error::forbidden(format!("You cannot grant a permission that you do not have: {name}")))
        }
    }
}

/// Position and id of every role but @everyone, lowest first.
fn order(read: Read<'_>, server_id: ServerId) -> Order<RoleId> {
    let roles = read.scan(ROLES, server_id).take(COUNT_MAX + 1).filter(|(_, role)| !role.is_default);
    let mut order: Vec<_> = roles.map(|((_, id), role)| (role.position.to_native(), id)).collect();
    order.sort_unstable();
    order
}

/// Numbers the roles 1..n in this order; returns those that moved.
fn arrange(machine: &mut Machine<'_, '_>, server_id: ServerId, order: &[(u64, RoleId)]) -> Vec<RoleId> {
    let mut moved = Vec::new();
    for (position, role_id) in ordering::renumbered(order, 1) {
        let stored = machine.read().get(ROLES, (server_id, role_id)).expect("the order names stored roles");
        let role = Role { position, ..Role::from(stored) };
        machine.tx.put(ROLES, (server_id, role_id), &role);
        moved.push(role_id);
    }
    moved
}

/// Makes changed roles known: one GUILD_ROLE_UPDATE each, or where there are many, one that shows the first and adds
/// `roles`, the position of each.
fn tell(machine: &mut Machine<'_, '_>, server_id: ServerId, changed: &[RoleId]) {
    if changed.len() <= ordering::EVENTS_MAX {
        return changed.iter().for_each(|id| emit(machine, EventName::GuildRoleUpdate, server_id, *id));
    }
    let read = machine.read();
    let role = |id| read.get(ROLES, (server_id, id)).expect("the role was just written");
    let payload = payload(|object| {
        object.id("guild_id", server_id.0);
        RoleResponse::write(object.key("role"), server_id, changed[0], role(changed[0]));
        let mut list = object.array("roles");
        for &id in changed {
            list.object().id("id", id.0).u64("position", role(id).position.to_native());
        }
    });
    let audience = Audience::members(server_id);
    machine.emit(Event::new(EventName::GuildRoleUpdate, intent::GUILDS, audience, payload));
}

fn emit(machine: &mut Machine<'_, '_>, event: EventName, server_id: ServerId, role_id: RoleId) {
    let role = machine.read().get(ROLES, (server_id, role_id)).expect("the role was just written");
    let payload = payload(|object| {
        object.id("guild_id", server_id.0);
        RoleResponse::write(object.key("role"), server_id, role_id, role);
    });
    machine.emit(Event::new(event, intent::GUILDS, Audience::members(server_id), payload));
}

/// All roles, highest first, @everyone last.
pub fn list(read: Read<'_>, server_id: ServerId) -> Vec<(RoleId, &ArchivedRole)> {
    let roles = read.scan(ROLES, server_id).take(COUNT_MAX + 1);
    let mut list: Vec<_> = roles.map(|((_, id), role)| (id, role)).collect();
    list.sort_by_key(|(id, role)| (std::cmp::Reverse(role.position.to_native()), *id));
    list
}

pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, server_id: ServerId) {
    let mut roles = Array::new(out);
    for (role_id, role) in list(read, server_id) {
        RoleResponse::write(roles.item(), server_id, role_id, role);
    }
}

/// What a role grants and denies, by name.
fn grants(role: &ArchivedRole) -> impl FnOnce(&mut Vec<u8>) {
    let grants = role.permissions.iter().map(|grant| (grant.name.as_str(), grant.allowed));
    move |out| write_grants(out, grants)
}

shape! {
    /// A role of a server.
    pub RoleResponse(server_id: ServerId, role_id: RoleId, role: &ArchivedRole) {
        id: id = role_id.0,
        server_id: id = server_id.0,
        name: str = &role.name,
        color: opt_str = role.color.as_deref(),
        position: u64 = role.position.to_native(),
        /// True grants, false denies.
        permissions: (Slot::map(&Kind::Bool)) = grants(role),
        hoist: bool = role.hoist,
        mentionable: bool = role.mentionable,
        /// Whether it is @everyone.
        is_default: bool = role.is_default,
    }
}

fn write_grants<'a>(out: &mut Vec<u8>, grants: impl Iterator<Item = (&'a str, bool)>) {
    let mut object = Object::new(out);
    for (name, allowed) in grants {
        object.dynamic_key(name).extend_from_slice(if allowed { b"true" } else { b"false" });
    }
}
