//! Messages.

use super::error::Result;
use super::machine::{Machine, Reply};
use crate::id::UserId;

#[derive(Clone, Debug, PartialEq)]
pub struct MessageCreate {}

pub(super) fn message_create(
    _machine: &mut Machine<'_, '_>,
    _actor: UserId,
    _op: &MessageCreate,
) -> Result<Reply> {
    Ok(Reply::Done)
}
