//! Housekeeping.

use super::error::Result;
use super::machine::{Machine, Reply};
use crate::id::UserId;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sweep {}

pub(super) fn sweep(_machine: &mut Machine<'_, '_>, _actor: UserId, _op: &Sweep) -> Result<Reply> {
    Ok(Reply::Done)
}
