//! What a channel allows and denies to a role or a member.

use super::roles::grants;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Map, Needed, Word, fields};
use crate::domain::community::channel::manageable;
use crate::domain::community::overrides::{
    self, OverridePut, OverrideResponse, Subject, bits_of, check_put, check_subject,
};
use crate::domain::{Error, Refusal, Result};
use crate::id::{RoleId, UserId};
use crate::store::records::override_kind;
use crate::store::tables::OVERRIDES;

fields! {
    /// What a channel allows and denies.
    pub OVERRIDE_PUT: OverridePutRequest {
        /// Whether the id is of a role or of a member.
        r#type: Needed<Word> = Needed(Word(override_kind::WORDS)),
        /// True allows, false denies; what is not named is as in the server.
        permissions: Map = Map("boolean"),
    }
}

pub fn override_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let snapshot = ctx.snapshot();
    manageable(ctx.asking(&snapshot), channel_id)?;
    ctx.json(|out| overrides::write_list(out, snapshot.read(), channel_id))
}

pub fn override_put(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, id) = (ctx.path_channel()?, ctx.path_target()?);
    let snapshot = ctx.snapshot();
    manageable(ctx.asking(&snapshot), channel_id)?;
    let body = ctx.body()?;
    let kind = override_kind::code(OVERRIDE_PUT.r#type.read(&body)?).expect("one of its words");
    let subject =
        if kind == override_kind::ROLE { Subject::Role(RoleId(id)) } else { Subject::Member(UserId(id)) };
    let names = grants(OVERRIDE_PUT.permissions.read(&body))?;
    let names = names.ok_or_else(|| Error::invalid("permissions", "this field is required"))?;
    let (allow, deny) = bits_of(names.iter().map(|grant| (grant.name.as_str(), grant.allowed)))?;
    if allow | deny == 0 {
        return Err(Error::invalid(
            "permissions",
            "must allow or deny something; DELETE takes an override away",
        ));
    }
    let op = OverridePut { channel_id, subject, allow, deny };
    check_put(ctx.asking(&snapshot), &op)?;
    ctx.submit(op, move |ctx, _| ctx.json(|out| OverrideResponse::write(out, kind, id, (allow, deny))))
}

pub fn override_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, id) = (ctx.path_channel()?, ctx.path_target()?);
    let snapshot = ctx.snapshot();
    manageable(ctx.asking(&snapshot), channel_id)?;
    // No role has the id of a user.
    let kinds = [
        (override_kind::ROLE, Subject::Role(RoleId(id))),
        (override_kind::MEMBER, Subject::Member(UserId(id))),
    ];
    let known =
        kinds.into_iter().find(|(kind, _)| snapshot.read().contains(OVERRIDES, (channel_id, *kind, id)));
    let (_, subject) = known.ok_or(Refusal::OverrideNotFound)?;
    check_subject(ctx.asking(&snapshot), channel_id, subject)?;
    let op = OverridePut { channel_id, subject, allow: 0, deny: 0 };
    check_put(ctx.asking(&snapshot), &op)?;
    ctx.submit_success(op)
}
