//! Accounts.

use super::error::Result;
use super::machine::{Machine, Reply};
use crate::id::UserId;

#[derive(Clone, Debug, PartialEq)]
pub struct Register {}

pub(super) fn register(_machine: &mut Machine<'_, '_>, _actor: UserId, _op: &Register) -> Result<Reply> {
    Ok(Reply::Done)
}
