//! What administrators do to the process that serves: nothing of it is kept but the line of the audit log, and that
//! every core hears of it.
//!
//! A server that has started anew takes sessions, whatever was said to the one before.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::{Refusal, Result};
use crate::domain::event::Change;
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::{TokenId, UserId};
use crate::store::tables::{TOKENS, USERS};

/// What is done beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub enum Deed {
    LogLevelSet,
    ConfigurationReload,
    Backup,
    Verify,
    Reindex,
    KeyRotate,
}

impl Deed {
    pub const ALL: [Deed; 6] = [
        Deed::LogLevelSet,
        Deed::ConfigurationReload,
        Deed::Backup,
        Deed::Verify,
        Deed::Reindex,
        Deed::KeyRotate,
    ];

    /// What it is about, in the audit log.
    pub fn text(self) -> &'static str {
        match self {
            Deed::LogLevelSet => "log_level",
            Deed::ConfigurationReload => "configuration",
            Deed::Backup => "backup",
            Deed::Verify => "verify",
            Deed::Reindex => "reindex",
            Deed::KeyRotate => "key_rotation",
        }
    }
}

/// Writes down that an administrator does something which is no change of the state.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Operate {
    pub deed: Deed,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Closes the gateway connections of an account, or of one of its login sessions; they may come back.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Disconnect {
    pub user_id: UserId,
    pub token_id: Option<TokenId>,
}

/// Sends everybody away from this server, and takes nobody in; or ends that.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct DrainSet {
    /// Over how long they are sent away. `None` ends it.
    pub spread_ms: Option<u64>,
}

pub(in crate::domain) fn operate(machine: &mut Machine<'_, '_>, _: UserId, op: &Operate) -> Result<()> {
    machine.require_admin()?;
    let Operate { deed, before, after } = op.clone();
    machine.note(Note { target: Some(deed.text().to_string()), before, after });
    Ok(())
}

pub(in crate::domain) fn disconnect(machine: &mut Machine<'_, '_>, _: UserId, op: &Disconnect) -> Result<()> {
    machine.require_admin()?;
    let Disconnect { user_id, token_id } = *op;
    if !machine.read().contains(USERS, user_id) {
        return Err(Refusal::UserNotFound.into());
    }
    let note = match token_id {
        None => Note::of(user_id.0),
        Some(token_id) => {
            let token = machine.read().get(TOKENS, token_id);
            if token.is_none_or(|token| token.user_id.0.to_native() != user_id.0) {
                return Err(Refusal::SessionNotFound.into());
            }
            Note::of(user_id.0).after(format_args!("session {}", token_id.0))
        }
    };
    machine.change(Change::Disconnected { user_id, token_id });
    machine.note(note);
    Ok(())
}

pub(in crate::domain) fn drain_set(machine: &mut Machine<'_, '_>, _: UserId, op: &DrainSet) -> Result<()> {
    machine.require_admin()?;
    let note = Note::of("server");
    match op.spread_ms {
        Some(spread_ms) => {
            machine.change(Change::DrainBegun { spread_ms });
            machine.note(note.after(format_args!("on, over {} s", spread_ms / 1_000)));
        }
        None => {
            machine.change(Change::DrainOver);
            machine.note(note.after("off"));
        }
    }
    Ok(())
}
