//! What shuts everybody out: maintenance, and the end of all sessions at once.
//!
//! Invariant: neither costs more the more users there are. That there is maintenance is one record; which sessions are
//! over is one number: all whose id is not greater.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::Result;
use crate::domain::event::Change;
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{TokenId, UserId};
use crate::store::Read;
use crate::store::records::{ArchivedMaintenance, Maintenance, Meta};
use crate::store::tables::{MAINTENANCE, META};
use crate::wire::json::shape::shape;

/// Up to which session all are over.
const VOID_UP_TO: &str = "sessions_void_up_to";
/// The one row of its table.
const ROW: u8 = 0;

/// Begins maintenance, changes what is said of it, or ends it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MaintenanceSet {
    /// `None` ends it.
    pub notice: Option<MaintenanceNotice>,
}

/// What users are told.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MaintenanceNotice {
    pub message: Option<String>,
    pub estimated_seconds: Option<u64>,
}

/// Ends all sessions of users.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct EverybodyLogOut {}

/// What there is to be said of the maintenance, if there is any.
pub fn maintenance(read: Read<'_>) -> Option<&ArchivedMaintenance> {
    read.get(MAINTENANCE, ROW)
}

/// The last session of those that are over, whatever they say themselves.
pub fn void_up_to(read: Read<'_>) -> TokenId {
    TokenId(read.get(META, VOID_UP_TO).map_or(0, |meta| meta.value.to_native()))
}

pub(in crate::domain) fn maintenance_set(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &MaintenanceSet,
) -> Result<()> {
    let was_on = maintenance(machine.read()).is_some();
    let word = |is_on: bool| if is_on { "on" } else { "off" };
    match &op.notice {
        Some(notice) => {
            let MaintenanceNotice { message, estimated_seconds } = notice.clone();
            let since = machine.unix_ms;
            machine.tx.put(MAINTENANCE, ROW, &Maintenance { message, estimated_seconds, since });
            machine.change(Change::MaintenanceBegun);
        }
        None => drop(machine.tx.delete(MAINTENANCE, ROW)),
    }
    let after = op.notice.as_ref().and_then(|notice| notice.message.clone());
    let after = after.unwrap_or_else(|| word(op.notice.is_some()).to_string());
    machine.note(Note::of("maintenance").before(word(was_on)).after(after));
    Ok(())
}

pub(in crate::domain) fn everybody_log_out(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    _: &EverybodyLogOut,
) -> Result<()> {
    let last = machine.next_id();
    machine.tx.put(META, VOID_UP_TO, &Meta { value: last });
    machine.change(Change::EverybodyLoggedOut { up_to: TokenId(last) });
    machine.note(Note::of("all users"));
    Ok(())
}

shape! {
    /// Whether there is maintenance, and what is said of it.
    pub MaintenanceResponse(notice: Option<&ArchivedMaintenance>) {
        enabled: bool = notice.is_some(),
        message: opt_str = notice.and_then(|notice| notice.message.as_deref()),
        estimated_downtime_seconds: opt_u64 =
            notice.and_then(|notice| notice.estimated_seconds.as_ref()).map(|seconds| seconds.to_native()),
    }
}
