//! Names that nobody may take: whole ones, and patterns.
//!
//! Who has such a name keeps it. Patterns are compiled where they are looked at, outside: here they are text.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{NameBanId, UserId};
use crate::limits::NAME_BAN_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedNameBan, Meta, NameBan};
use crate::store::tables::{META, NAME_BANS};
use crate::wire::json::shape::shape;

/// By what cores see that there are other ones.
const VERSION: &str = "name_bans";

/// Bans a name.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NameBanCreate {
    pub pattern: String,
    pub is_regex: bool,
    pub reason: Option<String>,
}

/// Lifts a ban.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NameBanRemove {
    pub ban_id: NameBanId,
}

/// Another number whenever a ban was added or lifted.
pub fn version(read: Read<'_>) -> u64 {
    read.get(META, VERSION).map_or(0, |meta| meta.value.to_native())
}

/// All bans, the latest first.
pub fn all(read: Read<'_>) -> impl Iterator<Item = (NameBanId, &ArchivedNameBan)> {
    read.scan_rev(NAME_BANS, ()).take(NAME_BAN_COUNT_MAX)
}

/// # Errors
/// 400 when there are as many as may be.
pub fn require_room(read: Read<'_>) -> Result<()> {
    match read.len(NAME_BANS) < NAME_BAN_COUNT_MAX as u64 {
        true => Ok(()),
        false => Err(Error::bad_request(format!(
            "There can be at most {NAME_BAN_COUNT_MAX} banned names: lift one first, or join some in a pattern"
        ))),
    }
}

pub(in crate::domain) fn name_ban_create(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &NameBanCreate,
) -> Result<NameBanId> {
    require_room(machine.read())?;
    machine.note(Note::of(&op.pattern).after(op.reason.as_deref().unwrap_or_default()));
    Ok(put(machine, &op.pattern, op.is_regex, op.reason.as_deref()))
}

pub(super) fn put(
    machine: &mut Machine<'_, '_>,
    pattern: &str,
    is_regex: bool,
    reason: Option<&str>,
) -> NameBanId {
    let ban_id = NameBanId(machine.next_id());
    let ban = NameBan {
        pattern: pattern.to_string(),
        is_regex,
        reason: reason.map(str::to_string),
        created_at: machine.unix_ms,
    };
    machine.tx.put(NAME_BANS, ban_id, &ban);
    machine.tx.put(META, VERSION, &Meta { value: ban_id.0 });
    ban_id
}

pub(in crate::domain) fn name_ban_remove(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &NameBanRemove,
) -> Result<()> {
    let ban = machine.tx.get(NAME_BANS, op.ban_id).ok_or(Refusal::NameBanNotFound)?;
    let note = Note::of(&*ban.pattern).before("banned");
    machine.tx.delete(NAME_BANS, op.ban_id);
    let version = machine.next_id();
    machine.tx.put(META, VERSION, &Meta { value: version });
    machine.note(note);
    Ok(())
}

shape! {
    /// A name that nobody may take.
    pub BannedUsernameResponse(ban_id: NameBanId, ban: &ArchivedNameBan) {
        id: id = ban_id.0,
        pattern: str = &ban.pattern,
        is_regex: bool = ban.is_regex,
        reason: opt_str = ban.reason.as_deref(),
        created_at: time = ban.created_at.to_native(),
    }
}
