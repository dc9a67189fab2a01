//! Servers.

use super::error::Result;
use super::machine::{Machine, Reply};
use crate::id::UserId;

#[derive(Clone, Debug, PartialEq)]
pub struct ServerCreate {}

pub(super) fn server_create(
    _machine: &mut Machine<'_, '_>,
    _actor: UserId,
    _op: &ServerCreate,
) -> Result<Reply> {
    Ok(Reply::Done)
}
