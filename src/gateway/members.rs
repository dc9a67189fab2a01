//! REQUEST_GUILD_MEMBERS (op 8): member lists in chunks, a slice per turn, so that a large server holds up nobody.

use super::hub::{Cx, Hub};
use super::session::SessionId;
use crate::id::{ServerId, UserId};
use crate::wire::json::Value;

/// A list that is being sent.
pub struct Job {
    pub slot: u32,
    pub session_id: SessionId,
    pub server_id: ServerId,
    pub user_id: UserId,
}

impl Hub {
    pub(super) fn request_members(&mut self, _cx: &Cx<'_>, _id: u32, _d: &Value<'_>) {}

    pub(super) fn run_job(&mut self, _cx: &Cx<'_>) {
        self.jobs.pop_front();
    }

    pub(super) fn expire_memberships(&mut self, _cx: &Cx<'_>, _user_id: UserId) {}
}
