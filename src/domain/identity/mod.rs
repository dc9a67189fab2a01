//! Accounts: who somebody is, how he proves it, what his tier allows.

pub mod account;
pub mod credential;
pub mod tier;
pub mod token;

use super::command::commands;
use crate::id::{TokenId, UserId};

commands! { Identity:
    3 AccountDelete(account::AccountDelete) => account_delete -> (), frees_room;
    4 LoginFailed(account::LoginFailed) => login_failed -> bool, frees_room, system;
    5 TokenCreate(token::TokenCreate) => token_create -> (UserId, TokenId), system;
    6 TokenTouch(token::TokenTouch) => token_touch -> bool, frees_room;
    7 TokenRevoke(token::TokenRevoke) => token_revoke -> (), frees_room;
    8 TokenRevokeAll(token::TokenRevokeAll) => token_revoke_all -> u64, frees_room;
    30 Register(account::Register) => register -> (UserId, TokenId), system;
    31 ProfileEdit(account::ProfileEdit) => profile_edit -> UserId;
}
