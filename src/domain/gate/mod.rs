//! The gate in front of the API: tokens that a client shows to be let in at all, beside whatever login it has.
//!
//! Invariant: the gate is closed as long as one token is neither revoked nor has run out. `ACCESS_HASHES` leads from
//! what is shown to every token, those that have ended included; `ACCESS_LAPSES` names those that are not revoked.

pub mod address;
pub mod change;
pub mod closure;
pub mod token;
pub mod usage;
pub mod view;

use super::command::commands;
use crate::id::{AccessScopeId, AccessTokenId};

commands! { Gate:
    380 AccessTokenCreate(token::AccessTokenCreate) => access_token_create -> AccessTokenId, system;
    381 AccessTokenRevoke(token::AccessTokenRevoke) => access_token_revoke -> bool, frees_room, system;
    382 AccessNote(usage::AccessNote) => access_note -> (), system;
    570 AccessTokenEdit(change::AccessTokenEdit) => access_token_edit -> (), system;
    571 AccessTokenRotate(change::AccessTokenRotate) => access_token_rotate -> (), system;
    572 AccessScopeAdd(change::AccessScopeAdd) => access_scope_add -> AccessScopeId, system;
    573 AccessScopeRemove(change::AccessScopeRemove) => access_scope_remove -> (), frees_room, system;
    574 AddressBlock(address::AddressBlock) => address_block -> (), frees_room, system;
    575 AddressUnblock(address::AddressUnblock) => address_unblock -> bool, frees_room, system;
    576 MaintenanceSet(closure::MaintenanceSet) => maintenance_set -> (), frees_room, system;
    577 EverybodyLogOut(closure::EverybodyLogOut) => everybody_log_out -> (), frees_room, system;
}
