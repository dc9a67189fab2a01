//! What ends at a time of its own: sessions whose token expires, memberships that no session keeps up any more.
//!
//! A token's end is a deadline only while it is near: a connection is looked at every [`LOOK_MS`] at most, and what
//! ends before the next look is put on a heap. So an idle session pays nothing for it.

use super::connections::{ConnectionId, ConnectionRef};
use super::hub::{Action, Cx, ENDED_PER_TICK, Hub};
use super::protocol::Close;
use crate::domain::Command;
use crate::domain::community::member::{MemberExpire, role_ids};
use crate::id::{ServerId, UserId};
use crate::store::tables::{MEMBERS, TEMPORARY_MEMBERS, TOKENS};

/// Longest time between two looks at a connection.
pub(super) const LOOK_MS: u64 = 60_000;
/// The wheel that brings the looks is this late at most, a turn that takes long included.
const LOOK_LATE_MS: u64 = 1_000;

/// Memberships that one tick looks at.
const WALK_PER_TICK: usize = if cfg!(test) { 2 } else { 256 };

/// A walk over the temporary memberships from before the start: the sessions that kept them up ended with the server.
pub(super) struct Walk {
    started_ms: u64,
    /// The same by the wall clock, taken when it is first looked at: the clock may be set before the walk begins.
    started_at: Option<u64>,
    /// When it begins, core milliseconds; `None` when it is over.
    due_ms: Option<u64>,
    after: (UserId, ServerId),
}

impl Walk {
    /// Begins when nobody could resume a session of before the start any more.
    pub fn after_start(started_ms: u64, session_timeout_ms: u64) -> Walk {
        let due_ms = Some(started_ms + session_timeout_ms + LOOK_LATE_MS);
        Walk { started_ms, started_at: None, due_ms, after: (UserId(0), ServerId(0)) }
    }
}

impl Hub {
    /// Remembers the end of a session's token when it comes before the next look at its connection, `wait` from now.
    pub(super) fn watch_expiry(&mut self, cx: &Cx<'_>, id: ConnectionId, wait: u64) {
        let Some(connection) = self.connections.get(id) else { return };
        let Some(session) = self.sessions.get(connection.session) else { return };
        // A token that is gone was revoked: the batch that did it ends the session.
        let Some(token) = cx.read.get(TOKENS, session.token_id) else { return };
        let left = token.expires_at.to_native().saturating_sub(cx.steady_ms);
        if left <= wait + LOOK_LATE_MS {
            let meant = ConnectionRef { id, generation: connection.generation };
            self.deadlines.token_ends_at(cx.mono_ms + left, meant);
        }
    }

    /// Ends sessions whose token has expired, as many as a tick may; whether some are left.
    pub(super) fn end_expired_tokens(&mut self, cx: &Cx<'_>) -> bool {
        let mut budget = ENDED_PER_TICK;
        while self.deadlines.has_token_end(cx.mono_ms) {
            if budget == 0 {
                return true;
            }
            let Some(meant) = self.deadlines.next_token_end() else { break };
            budget -= 1;
            let id = meant.id;
            if self.connections.find(meant).is_none() {
                continue;
            }
            let slot = self.connections[id].session;
            let Some(session) = self.sessions.get(slot) else { continue };
            let token = cx.read.get(TOKENS, session.token_id);
            if token.is_some_and(|token| token.expires_at.to_native() > cx.steady_ms) {
                // Its use has made it last longer, or the clock was set back.
                self.watch_expiry(cx, id, LOOK_MS);
                continue;
            }
            budget = budget.saturating_sub(self.end_session(cx, slot));
            self.close(cx, id, &Close::AUTHENTICATION_FAILED);
        }
        false
    }

    /// A user's last session is gone: memberships that were to last as long end (§6.4).
    pub(super) fn expire_memberships(&mut self, cx: &Cx<'_>, user_id: UserId) {
        for ((_, server_id), _) in cx.read.scan(TEMPORARY_MEMBERS, user_id) {
            self.expire_membership(cx, user_id, server_id);
        }
    }

    fn expire_membership(&mut self, cx: &Cx<'_>, user_id: UserId, server_id: ServerId) {
        let Some(member) = cx.read.get(MEMBERS, (server_id, user_id)) else { return };
        if role_ids(cx.read, server_id, member).next().is_none() {
            let op = MemberExpire { server_id, user_id };
            self.actions.push(Action::Submit(Command::new(UserId(0), op.into())));
        }
    }

    /// Goes on with the walk over temporary memberships, when it is time: ends those of users whom this core knows to
    /// have no session. Who has joined since the start has not lost one yet.
    pub(super) fn walk_memberships(&mut self, cx: &Cx<'_>) {
        let running_ms = cx.mono_ms - self.walk.started_ms;
        let started_at = *self.walk.started_at.get_or_insert(cx.unix_ms.saturating_sub(running_ms));
        if self.walk.due_ms.is_none_or(|due_ms| cx.mono_ms < due_ms) {
            return;
        }
        let mut count = 0;
        for (key, _) in cx.read.scan_after(TEMPORARY_MEMBERS, (), self.walk.after).take(WALK_PER_TICK) {
            let (user_id, server_id) = key;
            count += 1;
            self.walk.after = key;
            let member = cx.read.get(MEMBERS, (server_id, user_id));
            let is_old = member.is_some_and(|member| member.joined_at.to_native() <= started_at);
            if is_old && self.cores.is_home(user_id) && !self.home.has_session(user_id) {
                self.expire_membership(cx, user_id, server_id);
            }
        }
        if count < WALK_PER_TICK {
            self.walk.due_ms = None;
        }
    }
}
