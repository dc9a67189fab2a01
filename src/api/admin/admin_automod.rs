//! Rules of automod of any server, and the switch of them all.

use crate::api::ctx::{Ctx, Step};
use crate::api::dispatch::whole;
use crate::api::fields::{Chars, Flag, Id, Ids, List, Map, Name, Needed, Or, Signed, Word, fields, object};
use crate::api::moderation::automod::{PRIORITY_MAX, name_range, read_edit, read_new, weigh};
use crate::domain::moderation::rule::{
    AutomodRuleAction, AutomodRuleCreate, AutomodRuleDelete, AutomodRuleEdit, ids, ordered, server_of,
};
use crate::domain::moderation::switch::{AutomodConfigResponse, AutomodSwitchSet};
use crate::domain::verdict::switch;
use crate::domain::{Error, Refusal, Result};
use crate::effect::search::Search;
use crate::id::{ChannelId, RoleId, RuleId, ServerId, UserId, parse_id};
use crate::limits::{KIB, RULE_ACTION_COUNT_MAX, RULE_ID_COUNT_MAX};
use crate::store::records::{ArchivedAutomodRule, automod_rule};
use crate::store::tables::{AUTOMOD_RULES, SERVERS};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// Bytes of JSON.
const AI_LEN_MAX: usize = 16 * KIB;

fields! {
    /// Of which server.
    pub LIST_QUERY: AdminAutomodRuleQuery {
        server_id: Needed<Id> = Needed(Id),
    }
}

fields! {
    /// A new rule of a server.
    pub RULE_CREATE: AdminAutomodRuleCreateRequest {
        server_id: Needed<Id> = Needed(Id),
        name: Needed<Name> = Needed(Name(Chars::Configured(name_range))),
        rule_type: Needed<Word> = Needed(Word(automod_rule::WORDS)),
        config: Needed<Map> = Needed(Map("")),
        actions: List = List(RULE_ACTION_COUNT_MAX, "object"),
        exempt_roles: Ids = Ids(RULE_ID_COUNT_MAX),
        exempt_channels: Ids = Ids(RULE_ID_COUNT_MAX),
        priority: Signed = Signed(-PRIORITY_MAX..=PRIORITY_MAX),
        check_all: Or<Flag, bool> = Or(Flag, false),
        enabled: Or<Flag, bool> = Or(Flag, true),
    }
}

fields! {
    /// Whether rules act, and settings for judging by a model.
    pub CONFIG: AutomodConfigUpdateRequest {
        enabled: Flag = Flag,
        /// Kept as it is given.
        ai: Map = Map(""),
    }
}

shape! {
    /// A rule of automod, as administrators see it.
    pub AdminAutomodRuleResponse(server_id: ServerId, id: RuleId, rule: &ArchivedAutomodRule) {
        id: id = id.0,
        server_id: id = server_id.0,
        name: str = &rule.name,
        rule_type: (Slot::word(automod_rule::WORDS)) = automod_rule::text(rule.kind),
        enabled: bool = rule.enabled,
        config: (Slot::map(&Kind::Any)) = |out: &mut Vec<u8>| out.extend_from_slice(rule.config.as_bytes()),
        actions: (Slot::list(&Kind::Object(AutomodRuleAction::SHAPE))) = |out: &mut Vec<u8>| {
            let mut actions = Array::new(out);
            rule.actions.iter().for_each(|action| AutomodRuleAction::write(actions.item(), action));
        },
        exempt_roles: (Slot::list(&Kind::Id)) = ids(rule.exempt_roles.iter().map(|id| RoleId::from(id).0)),
        exempt_channels: (Slot::list(&Kind::Id)) = ids(rule.exempt_channels.iter().map(|id| ChannelId::from(id).0)),
        priority: i64 = rule.priority.to_native(),
        check_all: bool = rule.check_all,
        created_at: time = rule.created_at.to_native(),
        updated_at: time = rule.updated_at.to_native(),
        created_by: id = UserId::from(&rule.created_by).0,
    }
}

fn existing(ctx: &Ctx<'_>, server_id: u64) -> Result<ServerId> {
    let server_id = ServerId(server_id);
    match ctx.snapshot().read().contains(SERVERS, server_id) {
        true => Ok(server_id),
        false => Err(Refusal::ServerNotFound.into()),
    }
}

/// The rule that the path names, and its server. All rules may have to be gone through: that is the lane's work.
async fn named(ctx: &Ctx<'_>) -> Result<(ServerId, RuleId)> {
    let rule_id = parse_id(&ctx.param("rule_id")).map(RuleId).ok_or_else(|| Error::invalid_id("rule"))?;
    let store = ctx.state.store.clone();
    let look = move || {
        let snapshot = store.snapshot();
        whole(|| Ok(server_of(snapshot.read(), rule_id)))
    };
    let found: Option<ServerId> = ctx.effect(Search(look)).await??;
    Ok((found.ok_or(Refusal::RuleNotFound)?, rule_id))
}

fn answer(ctx: &mut Ctx<'_>, server_id: ServerId, rule_id: RuleId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let rule = snapshot.read().get(AUTOMOD_RULES, (server_id, rule_id)).ok_or(Refusal::RuleNotFound)?;
    ctx.json(|out| AdminAutomodRuleResponse::write(out, server_id, rule_id, rule))
}

pub fn admin_rule_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = existing(ctx, LIST_QUERY.server_id.query(ctx)?)?;
    let snapshot = ctx.snapshot();
    ctx.json(|out| {
        let mut list = Array::new(out);
        for (rule_id, rule) in ordered(snapshot.read(), server_id) {
            AdminAutomodRuleResponse::write(list.item(), server_id, rule_id, rule);
        }
    })
}

pub async fn admin_rule_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, mut rule, config) = {
        let body = ctx.body()?;
        let server_id = RULE_CREATE.server_id.read(&body)?;
        let (rule, config) = read_new(&body, &ctx.state.config)?;
        (server_id, rule, config)
    };
    let server_id = existing(ctx, server_id)?;
    rule.looks_for = weigh(ctx, rule.kind, config).await?;
    let rule_id = ctx.act(AutomodRuleCreate { server_id, rule: Box::new(rule) }).await?;
    answer(ctx, server_id, rule_id)
}

pub async fn admin_rule_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, rule_id) = named(ctx).await?;
    let (kind, stored) = {
        let snapshot = ctx.snapshot();
        let rule = snapshot.read().get(AUTOMOD_RULES, (server_id, rule_id)).ok_or(Refusal::RuleNotFound)?;
        (rule.kind, rule.name.to_string())
    };
    let (mut op, config) = {
        let body = ctx.body()?;
        read_edit(&body, &ctx.state.config, &stored, (server_id, rule_id))?
    };
    if let Some(config) = config {
        op.looks_for = Some(Box::new(weigh(ctx, kind, config).await?));
    }
    ctx.act::<AutomodRuleEdit>(op).await?;
    answer(ctx, server_id, rule_id)
}

pub async fn admin_rule_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, rule_id) = named(ctx).await?;
    ctx.act(AutomodRuleDelete { server_id, rule_id }).await?;
    ctx.success()
}

pub fn admin_automod_config_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    ctx.json(|out| AutomodConfigResponse::write(out, switch(snapshot.read())))
}

pub async fn admin_automod_config_set(ctx: &mut Ctx<'_>) -> Result<Step> {
    let op = {
        let body = ctx.body()?;
        let ai = CONFIG
            .ai
            .read(&body)
            .map(|value| object("ai", value).map(|value| value.to_json()))
            .transpose()?;
        if ai.as_ref().is_some_and(|ai| ai.len() > AI_LEN_MAX) {
            let problem = format_args!("must be at most {AI_LEN_MAX} bytes of JSON");
            return Err(Error::invalid("ai", problem));
        }
        AutomodSwitchSet { enabled: CONFIG.enabled.read(&body)?, ai }
    };
    ctx.act(op).await?;
    admin_automod_config_get(ctx)
}
