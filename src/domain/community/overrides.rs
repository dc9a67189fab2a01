//! What a channel allows and denies to a role or a member, beside what they may in its server.
//!
//! Invariants: an override says something: one that neither allows nor denies is none. Nobody gives, takes or lifts by
//! one what he may not do there himself, nor of whom he does not stand above.

use rkyv::{Archive, Deserialize, Serialize};

use super::audit::{self, Action, Changes, Target};
use super::channel::{manageable, tell};
use super::member::target_standing;
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::Change;
use crate::domain::machine::Machine;
use crate::domain::permission::{self, NAMES, OVERRIDABLE};
use crate::id::{ChannelId, RoleId, ServerId, UserId};
use crate::limits::OVERRIDE_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedOverride, Override, override_kind};
use crate::store::tables::{CHANNELS, OVERRIDES, ROLES};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

/// Whom an override is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub enum Subject {
    Role(RoleId),
    Member(UserId),
}

impl Subject {
    /// As it stands in keys.
    fn key(self) -> (u8, u64) {
        match self {
            Subject::Role(id) => (override_kind::ROLE, id.0),
            Subject::Member(id) => (override_kind::MEMBER, id.0),
        }
    }
}

/// Replaces what a channel allows and denies to somebody. Both empty: it says nothing of him any more.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct OverridePut {
    pub channel_id: ChannelId,
    pub subject: Subject,
    /// Bits of [`OVERRIDABLE`]. What stands in both is allowed.
    pub allow: u64,
    pub deny: u64,
}

/// Bits of names, of which each is allowed or denied.
///
/// # Errors
/// 400 for a name that stands for nothing that a channel decides.
pub fn bits_of<'a>(names: impl Iterator<Item = (&'a str, bool)>) -> Result<(u64, u64)> {
    let (mut allow, mut deny) = (0, 0);
    for (name, allowed) in names {
        let bits = permission::bits_of_name(name) & OVERRIDABLE;
        if bits == 0 {
            let problem = format_args!("{name:?} is no permission that a channel decides");
            return Err(Error::invalid("permissions", problem));
        }
        if allowed {
            allow |= bits;
        } else {
            deny |= bits;
        }
    }
    Ok((allow, deny & !allow))
}

/// What a channel says of somebody, when the actor may change that.
///
/// # Errors
/// As [`manageable`]; 404 for a role or member that is not there; 403 role order.
pub fn check_subject<'a>(
    asking: Asking<'a>,
    channel_id: ChannelId,
    subject: Subject,
) -> Result<(ServerId, Option<&'a ArchivedOverride>)> {
    let (server_id, access) = manageable(asking, channel_id)?;
    let standing = access.standing.expect("a channel of a server");
    match subject {
        Subject::Role(role_id) => {
            let role = asking.read.get(ROLES, (server_id, role_id)).ok_or(Refusal::RoleNotFound)?;
            // @everyone stands below all, also below those who have no role.
            if !role.is_default && role.position.to_native() >= standing.top_position() {
                return Err(Refusal::RoleTooHigh.into());
            }
        }
        Subject::Member(user_id) => {
            let target = target_standing(asking, server_id, user_id)?;
            if user_id != asking.who {
                standing.require_above(&target)?;
            }
        }
    }
    let (kind, id) = subject.key();
    Ok((server_id, asking.read.get(OVERRIDES, (channel_id, kind, id))))
}

/// Whether the actor may have the channel say this.
///
/// # Errors
/// Those of [`check_subject`]; 403 for what he may not do there himself; 400 when the channel has as many as it may.
pub fn check_put(asking: Asking<'_>, op: &OverridePut) -> Result<(ServerId, (u64, u64))> {
    let (server_id, known) = check_subject(asking, op.channel_id, op.subject)?;
    let old = known.map_or((0, 0), |known| (known.allow.to_native(), known.deny.to_native()));
    let changed = (old.0 ^ op.allow) | (old.1 ^ op.deny);
    let own = asking.channel(op.channel_id)?.permissions;
    if changed & !own != 0 {
        let name = permission::name(1 << (changed & !own).trailing_zeros());
        let text = format!("You cannot allow or deny a permission that you do not have here: {name}");
        return Err(Error::forbidden(text));
    }
    let is_new = known.is_none() && (op.allow | op.deny) != 0;
    if is_new
        && asking.read.scan(OVERRIDES, op.channel_id).take(OVERRIDE_COUNT_MAX).count() == OVERRIDE_COUNT_MAX
    {
        let text = format!("A channel can have at most {OVERRIDE_COUNT_MAX} overrides: delete one first");
        return Err(Error::bad_request(text));
    }
    Ok((server_id, old))
}

/// Replies whether anything changed.
pub(in crate::domain) fn override_put(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &OverridePut,
) -> Result<bool> {
    if (op.allow | op.deny) & !OVERRIDABLE != 0 {
        return Err(Error::invalid("permissions", "a channel does not decide all of them"));
    }
    let (server_id, old) = check_put(machine.asking(actor), op)?;
    let new = (op.allow, op.deny & !op.allow);
    if new == old {
        return Ok(false);
    }
    let (kind, id) = op.subject.key();
    let key = (op.channel_id, kind, id);
    let action = match (old, new) {
        (_, (0, 0)) => Action::OverrideDelete,
        ((0, 0), _) => Action::OverrideCreate,
        _ => Action::OverrideUpdate,
    };
    match new {
        (0, 0) => drop(machine.tx.delete(OVERRIDES, key)),
        (allow, deny) => machine.tx.put(OVERRIDES, key, &Override { allow, deny }),
    }
    machine.change(Change::PermissionsChanged { server_id });
    tell(machine, server_id, std::iter::once(op.channel_id));
    let mut changes = Changes::default();
    changes.id(if kind == override_kind::ROLE { "role_id" } else { "user_id" }, None, Some(id));
    changes.raw("permissions", &json(old), &json(new));
    let channel = machine.read().get(CHANNELS, op.channel_id).expect("the actor has access to it");
    let name = channel.name.to_string();
    let target = Target::channel(op.channel_id, &name);
    audit::record(machine, server_id, actor, action, target, changes.finish(), None);
    Ok(true)
}

/// Names with whether they are allowed or denied.
fn write_names(out: &mut Vec<u8>, (allow, deny): (u64, u64)) {
    let mut object = Object::new(out);
    for (bit, name) in NAMES.iter().enumerate().filter(|(bit, _)| (allow | deny) >> bit & 1 != 0) {
        object.bool(name, allow >> bit & 1 != 0);
    }
}

fn json(bits: (u64, u64)) -> Vec<u8> {
    let mut out = Vec::new();
    write_names(&mut out, bits);
    out
}

shape! {
    /// What a channel allows and denies to a role or a member.
    pub OverrideResponse(kind: u8, id: u64, bits: (u64, u64)) {
        /// Of the role or the user.
        id: id = id,
        type: (Slot::word(override_kind::WORDS)) = override_kind::text(kind),
        /// True allows, false denies; what is not named is as in the server.
        permissions: (Slot::map(&Kind::Bool)) = |out: &mut Vec<u8>| write_names(out, bits),
    }
}

/// The overrides of a channel as a JSON list: those of roles first.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, channel_id: ChannelId) {
    let mut list = Array::new(out);
    for ((_, kind, id), known) in read.scan(OVERRIDES, channel_id).take(OVERRIDE_COUNT_MAX) {
        OverrideResponse::write(list.item(), kind, id, (known.allow.to_native(), known.deny.to_native()));
    }
}
