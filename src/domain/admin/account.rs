//! Accounts of administrators: made, and changed by those they belong to.

use rkyv::{Archive, Deserialize, Serialize};

use super::session::{end_all, spend, verified};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::identity::credential::Secret;
use crate::domain::identity::two_factor::Proof;
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{AdminId, UserId};
use crate::store::Read;
use crate::store::blobs::Hash;
use crate::store::records::{Admin, AdminRef, ArchivedAdmin};
use crate::store::tables::{ADMIN_NAMES, ADMINS};
use crate::wire::json::shape::shape;

/// Makes an administrator.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminCreate {
    pub username: String,
    /// PHC string of the password hash.
    pub phc: Secret<String>,
}

/// The operator has lost a password or a device: another password, no one-time codes, no session.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminReset {
    pub admin_id: AdminId,
    pub phc: Secret<String>,
}

/// Changes the password of the administrator who acts. His other sessions end.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminPasswordChange {
    /// The PHC string that the given password matched.
    pub verified: Secret<String>,
    pub phc: Secret<String>,
    /// The session that goes on.
    pub session: Secret<Hash>,
}

/// Switches off his one-time codes.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminOtpDisable {
    pub verified: Secret<String>,
    pub proof: Proof,
}

/// Gives him other backup codes; those he had are void.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminCodesRenew {
    pub verified: Secret<String>,
    /// Their sums.
    pub codes: Secret<Vec<[u8; 32]>>,
}

/// Which administrator a name means, in any case.
pub fn by_name(read: Read<'_>, name: &str) -> Option<AdminId> {
    if name.is_empty() || name.len() > crate::limits::USERNAME_LEN_MAX {
        return None;
    }
    read.get(ADMIN_NAMES, name.to_ascii_lowercase().as_str()).map(|found| AdminId::from(&found.id))
}

/// Whether there is an administrator.
pub fn is_one(read: Read<'_>) -> bool {
    read.scan(ADMINS, ()).next().is_some()
}

pub(in crate::domain) fn admin_create(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminCreate,
) -> Result<AdminId> {
    if by_name(machine.read(), &op.username).is_some() {
        return Err(Error::new(409, "There is an administrator of this name"));
    }
    let admin = Admin {
        username: op.username.clone(),
        phc: op.phc.0.clone(),
        created_at: machine.unix_ms,
        ..Admin::default()
    };
    let admin_id = AdminId(machine.next_id());
    machine.tx.put(ADMINS, admin_id, &admin);
    machine.tx.put(ADMIN_NAMES, op.username.to_ascii_lowercase().as_str(), &AdminRef { id: admin_id });
    Ok(admin_id)
}

pub(in crate::domain) fn admin_reset(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminReset,
) -> Result<()> {
    let admin = machine.tx.get(ADMINS, op.admin_id).map(Admin::from);
    let admin = admin.ok_or_else(|| Error::new(404, "There is no such administrator"))?;
    let phc = op.phc.0.clone();
    let admin = Admin { phc, sealed: Vec::new(), codes: Vec::new(), last_step: 0, ..admin };
    machine.tx.put(ADMINS, op.admin_id, &admin);
    end_all(machine, op.admin_id, None);
    Ok(())
}

pub(in crate::domain) fn password_change(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminPasswordChange,
) -> Result<()> {
    let admin_id = machine.require_admin()?;
    let admin = verified(machine, admin_id, &op.verified)?;
    machine.note(Note::of(&admin.username));
    machine.tx.put(ADMINS, admin_id, &Admin { phc: op.phc.0.clone(), ..admin });
    end_all(machine, admin_id, Some(&op.session.0));
    Ok(())
}

pub(in crate::domain) fn otp_disable(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminOtpDisable,
) -> Result<()> {
    let admin_id = machine.require_admin()?;
    let mut admin = verified(machine, admin_id, &op.verified)?;
    if admin.sealed.is_empty() {
        return Err(Refusal::TwoFactorOff.into());
    }
    spend(&mut admin, &op.proof)?;
    machine.note(Note::of(&admin.username));
    machine.tx.put(ADMINS, admin_id, &Admin { sealed: Vec::new(), codes: Vec::new(), ..admin });
    Ok(())
}

pub(in crate::domain) fn codes_renew(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &AdminCodesRenew,
) -> Result<()> {
    let admin_id = machine.require_admin()?;
    let admin = verified(machine, admin_id, &op.verified)?;
    if admin.sealed.is_empty() {
        return Err(Refusal::TwoFactorOff.into());
    }
    machine.note(Note::of(&admin.username));
    machine.tx.put(ADMINS, admin_id, &Admin { codes: op.codes.0.clone(), ..admin });
    Ok(())
}

shape! {
    /// How an administrator's own account is guarded.
    pub AdminSecurityStatusResponse(admin_id: AdminId, admin: &ArchivedAdmin, is_otp_required: bool) {
        admin_id: id = admin_id.0,
        username: str = &admin.username,
        email: opt_str = admin.email.as_deref(),
        created_at: time = admin.created_at.to_native(),
        last_login: opt_time = admin.last_login.as_ref().map(|at| at.to_native()),
        otp_required: bool = is_otp_required,
        otp_enabled: bool = !admin.sealed.is_empty(),
        must_setup_otp: bool = is_otp_required && admin.sealed.is_empty(),
        backup_codes_remaining: u64 = admin.codes.len() as u64,
    }
}
