//! Those who run the server: their accounts, sessions and second factors, and what they have done.
//!
//! Administrators are no users: they have tables, ids and sessions of their own. Whatever one of them changes goes
//! through [`act::AdminAct`], which asks for a live session and writes the audit log.

pub mod account;
pub mod act;
pub mod guessing;
pub mod operation;
pub mod session;

use super::command::commands;
use super::reply::Reply;
use crate::id::AdminId;

commands! { Admin:
    500 AdminCreate(account::AdminCreate) => admin_create -> AdminId, system;
    501 AdminReset(account::AdminReset) => admin_reset -> (), frees_room, system;
    502 AdminFailed(guessing::AdminFailed) => admin_failed -> bool, frees_room, system;
    503 AdminChallengeCreate(session::AdminChallengeCreate) => challenge_create -> (), system;
    504 AdminChallengePass(session::AdminChallengePass) => challenge_pass -> AdminId, system;
    505 AdminSignIn(session::AdminSignIn) => sign_in -> AdminId, system;
    506 AdminSignOut(session::AdminSignOut) => sign_out -> (), frees_room, system;
    507 AdminAct(act::AdminAct) => admin_act -> Reply, isolated, frees_room, system;
    508 AdminPasswordChange(account::AdminPasswordChange) => password_change -> (), system;
    509 AdminOtpDisable(account::AdminOtpDisable) => otp_disable -> (), system;
    510 AdminCodesRenew(account::AdminCodesRenew) => codes_renew -> (), system;
    512 Operate(operation::Operate) => operate -> (), system;
    513 Disconnect(operation::Disconnect) => disconnect -> (), system;
    514 DrainSet(operation::DrainSet) => drain_set -> (), system;
}
