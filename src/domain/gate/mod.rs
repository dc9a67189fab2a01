//! The gate in front of the API: tokens that a client shows to be let in at all, beside whatever login it has.
//!
//! Invariant: the gate is closed as long as one token is neither revoked nor has run out. `ACCESS_HASHES` leads from
//! what is shown to every token, those that have ended included; `ACCESS_LAPSES` names those that are not revoked.

pub mod token;
pub mod usage;

use super::command::commands;
use crate::id::AccessTokenId;

commands! { Gate:
    380 AccessTokenCreate(token::AccessTokenCreate) => access_token_create -> AccessTokenId, system;
    381 AccessTokenRevoke(token::AccessTokenRevoke) => access_token_revoke -> bool, frees_room, system;
    382 AccessNote(usage::AccessNote) => access_note -> (), system;
}
