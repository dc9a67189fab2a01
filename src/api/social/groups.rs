//! Groups: opening and listing them, who is in them, what they are called.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Id, Ids, Line, Needed, fields};
use crate::domain::Result;
use crate::domain::social::group::{self, GroupAdd, GroupEdit, GroupOpen, GroupRemove, GroupResponse};
use crate::id::{ChannelId, UserId};
use crate::limits::GROUP_PARTICIPANT_COUNT_MAX;

/// Characters of a group's name.
const NAME_LEN_MAX: usize = 100;

fields! {
    /// With whom, and under which name.
    pub GROUP_OPEN: GroupCreateRequest {
        user_ids: Needed<Ids> = Needed(Ids(GROUP_PARTICIPANT_COUNT_MAX)),
        name: Line = Line(NAME_LEN_MAX),
    }
}

fields! {
    /// What changes of a group; the rest stays.
    pub GROUP_EDIT: GroupUpdateRequest {
        /// A blank one takes it away.
        name: Line = Line(NAME_LEN_MAX),
        /// Another participant, who owns it from then on.
        owner_id: Id = Id,
    }
}

fn participants_max(ctx: &Ctx<'_>) -> u64 {
    ctx.state.config.messaging.max_group_participants
}

fn answer(ctx: &mut Ctx<'_>, channel_id: ChannelId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let channel = group::find(ctx.asking(&snapshot), channel_id)?;
    ctx.json(|out| GroupResponse::write(out, snapshot.read(), channel_id, channel))
}

pub fn group_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    ctx.json(|out| group::write_list(out, snapshot.read(), user_id))
}

pub fn group_open(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let user_ids = GROUP_OPEN.user_ids.read(&body)?.into_iter().map(UserId).collect();
    let name = GROUP_OPEN.name.read(&body)?.flatten().unwrap_or_default();
    ctx.submit(GroupOpen { name, user_ids, participants_max: participants_max(ctx) }, answer)
}

pub fn group_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_group()?;
    answer(ctx, channel_id)
}

pub fn group_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_group()?;
    group::find(ctx.asking(&ctx.snapshot()), channel_id)?;
    let body = ctx.body()?;
    let op = GroupEdit {
        channel_id,
        name: GROUP_EDIT.name.read(&body)?.map(Option::unwrap_or_default),
        owner_id: GROUP_EDIT.owner_id.read(&body)?.map(UserId),
    };
    ctx.submit(op, move |ctx, _| answer(ctx, channel_id))
}

pub fn group_add(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, user_id) = (ctx.path_group()?, ctx.path_user()?);
    let op = GroupAdd { channel_id, user_id, participants_max: participants_max(ctx) };
    ctx.submit(op, move |ctx, _| answer(ctx, channel_id))
}

pub fn group_remove(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, user_id) = (ctx.path_group()?, ctx.path_user()?);
    ctx.submit_success(GroupRemove { channel_id, user_id })
}

pub fn group_leave(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, user_id) = (ctx.path_group()?, ctx.user_id());
    ctx.submit_success(GroupRemove { channel_id, user_id })
}
