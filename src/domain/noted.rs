//! What a command has changed, said for the audit log of the administrators.
//!
//! Commands say it whoever asked ([`Machine::note`]); it is kept when that was an administrator, and lost when it was
//! the operator on the command line, or the server itself.

use super::error::{Error, Result};
use super::machine::Machine;
use crate::id::AdminId;

/// Who acts, and what there is to be said of it.
#[derive(Clone, Debug)]
pub struct Acting {
    pub admin_id: AdminId,
    pub notes: Vec<Note>,
}

/// What a command has changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Note {
    pub target: Option<String>,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Note {
    /// About somebody or something.
    pub fn of(target: impl ToString) -> Note {
        Note { target: Some(target.to_string()), ..Note::default() }
    }

    pub fn before(self, before: impl ToString) -> Note {
        Note { before: Some(before.to_string()), ..self }
    }

    pub fn after(self, after: impl ToString) -> Note {
        Note { after: Some(after.to_string()), ..self }
    }
}

impl Machine<'_, '_> {
    /// Says what a command changes.
    pub(in crate::domain) fn note(&mut self, note: Note) {
        if let Some(acting) = &mut self.acting {
            acting.notes.push(note);
        }
    }

    /// The administrator who acts; `None`: the operator, on the command line, or the server itself.
    pub(in crate::domain) fn admin(&self) -> Option<AdminId> {
        self.acting.as_ref().map(|acting| acting.admin_id)
    }

    /// # Errors
    /// 403 for a command that is no administrator's.
    pub(in crate::domain) fn require_admin(&self) -> Result<AdminId> {
        self.admin().ok_or_else(|| Error::forbidden("Only an administrator can do this"))
    }
}
