//! Tier and badges of an account, as those who run the server give them.

use rkyv::{Archive, Deserialize, Serialize};

use super::account::emit_user_update;
use crate::domain::error::{Error, Result};
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::domain::view;
use crate::id::UserId;
use crate::store::records::{User, badge, tier};
use crate::store::tables::USERS;

/// Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct TierSet {
    pub user_id: UserId,
    /// A [`tier`] code.
    pub tier: u8,
    /// For how long; then he has the default one. `None`: for good.
    pub life_ms: Option<u64>,
}

/// Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct BadgeGrant {
    pub user_id: UserId,
    /// A [`badge`] code.
    pub badge: u8,
}

/// Only the server itself submits it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct BadgeRevoke {
    pub user_id: UserId,
    /// A [`badge`] code.
    pub badge: u8,
}

/// False when he has it already, for as long.
pub(in crate::domain) fn tier_set(machine: &mut Machine<'_, '_>, _: UserId, op: &TierSet) -> Result<bool> {
    if tier::code(tier::text(op.tier)) != Some(op.tier) {
        return Err(Error::invalid("tier", "there is no such tier"));
    }
    let tier_until = op.life_ms.map(|life_ms| Box::new(machine.at.saturating_add(life_ms)));
    let old = User::from(view::existing(machine.read(), op.user_id)?);
    let new = User { tier: op.tier, tier_until, ..old.clone() };
    if new == old {
        return Ok(false);
    }
    machine.tx.put(USERS, op.user_id, &new);
    machine.note(Note::of(&old.username).before(tier::text(old.tier)).after(tier::text(new.tier)));
    Ok(true)
}

/// False when he has it already.
pub(in crate::domain) fn badge_grant(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &BadgeGrant,
) -> Result<bool> {
    if badge::code(badge::text(op.badge)) != Some(op.badge) {
        return Err(Error::invalid("badge", "there is no such badge"));
    }
    let mut user = User::from(view::existing(machine.read(), op.user_id)?);
    if user.badges.contains(&op.badge) {
        return Ok(false);
    }
    user.badges.push(op.badge);
    machine.tx.put(USERS, op.user_id, &user);
    machine.note(Note::of(&user.username).after(badge::text(op.badge)));
    emit_user_update(machine, op.user_id);
    Ok(true)
}

/// False when he does not have it.
pub(in crate::domain) fn badge_revoke(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &BadgeRevoke,
) -> Result<bool> {
    let mut user = User::from(view::existing(machine.read(), op.user_id)?);
    let count = user.badges.len();
    user.badges.retain(|badge| *badge != op.badge);
    if user.badges.len() == count {
        return Ok(false);
    }
    machine.tx.put(USERS, op.user_id, &user);
    machine.note(Note::of(&user.username).before(badge::text(op.badge)));
    emit_user_update(machine, op.user_id);
    Ok(true)
}
