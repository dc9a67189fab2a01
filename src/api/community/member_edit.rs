//! A member's nickname and timeout.

use super::members::answer;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Int, Line, fields};
use crate::domain::community::member::target_standing;
use crate::domain::community::member_edit::{MemberEdit, check_edit};
use crate::domain::{Error, Result};
use crate::limits::{NICKNAME_LEN_MAX, TIMEOUT_REASON_LEN_MAX, TIMEOUT_SECONDS_MAX};

fields! {
    /// What changes of a member; the rest stays.
    pub MEMBER_EDIT: MemberUpdateRequest {
        /// What he is called in this server. A blank one takes it away.
        nickname: Line = Line(NICKNAME_LEN_MAX),
        /// How long he is silenced from now on; 0 ends it.
        timeout_seconds: Int = Int(0..=TIMEOUT_SECONDS_MAX),
        /// Of the timeout.
        timeout_reason: Line = Line(TIMEOUT_REASON_LEN_MAX),
    }
}

pub fn member_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, user_id) = (ctx.path_server()?, ctx.path_member()?);
    let snapshot = ctx.snapshot();
    let asking = ctx.asking(&snapshot);
    asking.server(server_id)?;
    target_standing(asking, server_id, user_id)?;
    let body = ctx.body()?;
    let op = MemberEdit {
        server_id,
        user_id,
        nickname: MEMBER_EDIT.nickname.read(&body)?,
        timeout_seconds: MEMBER_EDIT.timeout_seconds.read(&body)?,
        timeout_reason: MEMBER_EDIT.timeout_reason.read(&body)?.flatten(),
    };
    if op.timeout_reason.is_some() && op.timeout_seconds.is_none_or(|seconds| seconds == 0) {
        return Err(Error::invalid("timeout_reason", "a reason needs timeout_seconds"));
    }
    check_edit(ctx.asking(&snapshot), &op)?;
    ctx.submit(op, move |ctx, _| answer(ctx, server_id, user_id))
}
