//! What an administrator does, and the log of it.
//!
//! Invariants: nothing an administrator asks for happens without a live session of his, and what has happened stands in
//! `ADMIN_AUDIT`, written in the same transaction. The commands inside say what was before and after
//! ([`Machine::note`]); submitted by the operator on the command line they say it to nobody.

use rkyv::{Archive, Deserialize, Serialize};

use super::session::live;
use crate::domain::Op;
use crate::domain::command::dispatch;
use crate::domain::error::{Refusal, Result};
use crate::domain::identity::credential::Secret;
use crate::domain::machine::Machine;
use crate::domain::noted::{Acting, Note};
use crate::domain::reply::Reply;
use crate::id::{AdminId, AuditId, UserId};
use crate::limits::{ADMIN_AUDIT_KEPT_MAX, ADMIN_NOTE_CHARS_MAX};
use crate::store::blobs::Hash;
use crate::store::records::{AdminAudit, ArchivedAdminAudit};
use crate::store::tables::{ADMIN_AUDIT, ADMINS};
use crate::wire::json::shape::shape;

/// A command in the name of an administrator: its bytes, so that there is one way for all.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AdminAct {
    /// SHA-256 of the token of his session.
    pub session: Secret<Hash>,
    pub ip_address: String,
    pub code: u16,
    pub bytes: Secret<Vec<u8>>,
}

impl AdminAct {
    pub fn new(session: Hash, ip_address: String, op: &Op) -> AdminAct {
        AdminAct {
            session: Secret(session),
            ip_address,
            code: op.row().code,
            bytes: Secret(op.encode(Vec::new())),
        }
    }
}

/// Replies as the command that it brings.
pub(in crate::domain) fn admin_act(machine: &mut Machine<'_, '_>, _: UserId, op: &AdminAct) -> Result<Reply> {
    let inner = Op::decode(op.code, &op.bytes.0).map_err(|_| Refusal::Internal)?;
    if matches!(inner, Op::Admin(super::Op::AdminAct(_))) {
        return Err(Refusal::Internal.into());
    }
    let (admin_id, _) = live(machine.read(), &op.session.0, machine.at)?;
    machine.acting = Some(Acting { admin_id, notes: Vec::new() });
    let reply = dispatch(machine, UserId(0), &inner);
    let notes = machine.acting.take().map(|acting| acting.notes).unwrap_or_default();
    let reply = reply?;
    let notes = if notes.is_empty() { vec![Note::default()] } else { notes };
    for note in notes {
        record(machine, admin_id, &op.ip_address, inner.row().name, note);
    }
    Ok(reply)
}

/// Writes a line of the audit log.
pub(super) fn record(
    machine: &mut Machine<'_, '_>,
    admin_id: AdminId,
    ip_address: &str,
    command: &str,
    note: Note,
) {
    let admin_name = machine.tx.get(ADMINS, admin_id).map(|admin| admin.username.to_string());
    let short = |text: String| text.chars().take(ADMIN_NOTE_CHARS_MAX).collect::<String>();
    let entry = AdminAudit {
        admin_id,
        admin_name: admin_name.unwrap_or_default(),
        action: words(command),
        target: note.target.map(short),
        before: note.before.map(short),
        after: note.after.map(short),
        ip_address: ip_address.to_string(),
        at: machine.unix_ms,
    };
    let audit_id = machine.next_audit_id();
    machine.tx.put(ADMIN_AUDIT, audit_id, &entry);
    if machine.read().len(ADMIN_AUDIT) > ADMIN_AUDIT_KEPT_MAX {
        let oldest = machine.read().scan(ADMIN_AUDIT, ()).keys().next();
        if let Some(oldest) = oldest {
            machine.tx.delete(ADMIN_AUDIT, oldest);
        }
    }
}

/// `UserLock` as `user_lock`.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for char in name.chars() {
        if char.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(char.to_ascii_lowercase());
    }
    text
}

shape! {
    /// A line of the audit log.
    pub AdminAuditEntry(audit_id: AuditId, entry: &ArchivedAdminAudit) {
        id: id = audit_id.0,
        admin_id: id = entry.admin_id.0.to_native(),
        /// As he was called then.
        admin_username: str = &entry.admin_name,
        action: str = &entry.action,
        /// Whom or what it was about.
        target: opt_str = entry.target.as_deref(),
        before: opt_str = entry.before.as_deref(),
        after: opt_str = entry.after.as_deref(),
        ip_address: str = &entry.ip_address,
        created_at: time = entry.at.to_native(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_called_as_their_commands() {
        assert_eq!(words("UserLock"), "user_lock");
        assert_eq!(words("AdminOtpDisable"), "admin_otp_disable");
        assert_eq!(words(""), "");
    }
}
