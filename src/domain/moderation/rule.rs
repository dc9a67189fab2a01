//! Rules of automod: making, changing, deleting, listing.
//!
//! What a rule looks for is JSON that was read and compiled before the command: here it is bytes with a weight.
//! Invariant: `AUTOMODS` counts the rules of its server and adds up their weights, and has another version after each
//! change of one.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::asking::Asking;
use crate::domain::community::server::{ServerCreate, server_create};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::domain::permission::SERVER_AUTOMOD;
use crate::id::{ChannelId, RoleId, RuleId, ServerId, UserId};
use crate::limits::{PATTERNS_COMPILED_LEN_MAX, PATTERNS_COST_MAX, RULE_COUNT_MAX, RULES_LEN_MAX};
use crate::store::Read;
use crate::store::records::{
    ArchivedAutomodAction, ArchivedAutomodRule, Automod, AutomodAction, AutomodRule, RuleWeight,
    automod_action, automod_rule,
};
use crate::store::tables::{AUTOMOD_RULES, AUTOMODS, SERVERS};
use crate::wire::json::Array;
use crate::wire::json::shape::{Kind, Slot, shape};

/// A rule as it is asked for.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct NewRule {
    pub name: String,
    /// An [`automod_rule`] code.
    pub kind: u8,
    pub looks_for: LooksFor,
    pub actions: Vec<AutomodAction>,
    pub applied_roles: Vec<RoleId>,
    pub exempt_roles: Vec<RoleId>,
    pub exempt_channels: Vec<ChannelId>,
    pub priority: i64,
    pub check_all: bool,
    pub enabled: bool,
}

/// What a rule looks for.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct LooksFor {
    /// A JSON object, compact and checked.
    pub config: String,
    /// What its patterns weigh; see [`RuleWeight`].
    pub pattern_len: u64,
    pub pattern_cost: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AutomodRuleCreate {
    pub server_id: ServerId,
    pub rule: Box<NewRule>,
}

/// `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct AutomodRuleEdit {
    pub server_id: ServerId,
    pub rule_id: RuleId,
    pub name: Option<String>,
    pub looks_for: Option<Box<LooksFor>>,
    pub actions: Option<Vec<AutomodAction>>,
    pub applied_roles: Option<Vec<RoleId>>,
    pub exempt_roles: Option<Vec<RoleId>>,
    pub exempt_channels: Option<Vec<ChannelId>>,
    pub priority: Option<i64>,
    pub check_all: Option<bool>,
    pub enabled: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AutomodRuleDelete {
    pub server_id: ServerId,
    pub rule_id: RuleId,
}

/// Makes a server that has rules from the beginning.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ServerFound {
    pub create: ServerCreate,
    pub rules: Vec<NewRule>,
}

// ------------------------------------------------------------------------------------------- checks

/// Whether the actor may see and change the rules of a server.
///
/// # Errors
/// 404 server; 403 not a member, without permission.
pub fn check_manage(asking: Asking<'_>, server_id: ServerId) -> Result<()> {
    asking.server(server_id)?.require(SERVER_AUTOMOD)
}

/// A rule that the actor may change.
///
/// # Errors
/// Those of [`check_manage`]; 404 for the rule.
pub fn manageable(asking: Asking<'_>, server_id: ServerId, rule_id: RuleId) -> Result<&ArchivedAutomodRule> {
    check_manage(asking, server_id)?;
    asking.read.get(AUTOMOD_RULES, (server_id, rule_id)).ok_or_else(|| Refusal::RuleNotFound.into())
}

/// # Errors
/// 400 when a server cannot have all of that.
fn check_room(automod: &Automod) -> Result<()> {
    let too_many = |what: &str, max: u64| {
        let text = format!("The rules of a server may have at most {max} {what}: delete or shorten some");
        Err(Error::bad_request(text))
    };
    let RuleWeight { len, pattern_len, pattern_cost } = automod.weight;
    if automod.count > RULE_COUNT_MAX as u64 {
        return Err(Error::bad_request(format!(
            "A server has at most {RULE_COUNT_MAX} rules: delete one first"
        )));
    }
    if len > RULES_LEN_MAX {
        return too_many("bytes in all", RULES_LEN_MAX);
    }
    if pattern_len > PATTERNS_COMPILED_LEN_MAX {
        return too_many("bytes of compiled patterns", PATTERNS_COMPILED_LEN_MAX);
    }
    if pattern_cost > PATTERNS_COST_MAX {
        return too_many("characters and classes in their patterns, repetitions counted", PATTERNS_COST_MAX);
    }
    Ok(())
}

/// Whether the actor may change the rules of a server: an administrator may, wherever it is.
fn check_change(machine: &Machine<'_, '_>, actor: UserId, server_id: ServerId) -> Result<()> {
    match machine.admin() {
        None => check_manage(machine.asking(actor), server_id),
        Some(_) if machine.read().contains(SERVERS, server_id) => Ok(()),
        Some(_) => Err(Refusal::ServerNotFound.into()),
    }
}

/// The rule, if the actor may change it.
fn changeable(
    machine: &Machine<'_, '_>,
    actor: UserId,
    server_id: ServerId,
    rule_id: RuleId,
) -> Result<AutomodRule> {
    check_change(machine, actor, server_id)?;
    let rule = machine.tx.get(AUTOMOD_RULES, (server_id, rule_id));
    Ok(rule.map(AutomodRule::from).ok_or(Refusal::RuleNotFound)?)
}

// ------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn rule_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &AutomodRuleCreate,
) -> Result<RuleId> {
    check_change(machine, actor, op.server_id)?;
    let rule = of_new(machine, actor, &op.rule);
    let automod = changed(machine.read(), op.server_id, None, Some(&rule));
    check_room(&automod)?;
    machine.note(Note::of(format_args!("server {}", op.server_id)).after(&op.rule.name));
    Ok(put(machine, op.server_id, automod, rule))
}

pub(in crate::domain) fn server_found(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ServerFound,
) -> Result<ServerId> {
    let server_id = server_create(machine, actor, &op.create)?;
    for new in &op.rules {
        let rule = of_new(machine, actor, new);
        let automod = changed(machine.read(), server_id, None, Some(&rule));
        put(machine, server_id, automod, rule);
    }
    Ok(server_id)
}

pub(in crate::domain) fn rule_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &AutomodRuleEdit,
) -> Result<bool> {
    let old = changeable(machine, actor, op.server_id, op.rule_id)?;
    let mut new = old.clone();
    let edit = op.clone();
    new.name = edit.name.unwrap_or(new.name);
    new.actions = edit.actions.unwrap_or(new.actions);
    new.applied_roles = edit.applied_roles.unwrap_or(new.applied_roles);
    new.exempt_roles = edit.exempt_roles.unwrap_or(new.exempt_roles);
    new.exempt_channels = edit.exempt_channels.unwrap_or(new.exempt_channels);
    new.priority = edit.priority.unwrap_or(new.priority);
    new.check_all = edit.check_all.unwrap_or(new.check_all);
    new.enabled = edit.enabled.unwrap_or(new.enabled);
    if let Some(looks_for) = edit.looks_for {
        set_looks_for(&mut new, *looks_for);
    }
    new.weight.len = len(&new);
    if new == old {
        return Ok(false);
    }
    new.updated_at = machine.unix_ms;
    let automod = changed(machine.read(), op.server_id, Some(&old), Some(&new));
    check_room(&automod)?;
    keep(machine, op.server_id, automod);
    machine.tx.put(AUTOMOD_RULES, (op.server_id, op.rule_id), &new);
    let word = |rule: &AutomodRule| format!("{}, {}", rule.name, if rule.enabled { "on" } else { "off" });
    machine.note(Note::of(format_args!("server {}", op.server_id)).before(word(&old)).after(word(&new)));
    Ok(true)
}

pub(in crate::domain) fn rule_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &AutomodRuleDelete,
) -> Result<()> {
    let old = changeable(machine, actor, op.server_id, op.rule_id)?;
    let automod = changed(machine.read(), op.server_id, Some(&old), None);
    keep(machine, op.server_id, automod);
    machine.tx.delete(AUTOMOD_RULES, (op.server_id, op.rule_id));
    machine.note(Note::of(format_args!("server {}", op.server_id)).before(&old.name));
    Ok(())
}

fn of_new(machine: &Machine<'_, '_>, actor: UserId, new: &NewRule) -> AutomodRule {
    let new = new.clone();
    let mut rule = AutomodRule {
        name: new.name,
        kind: new.kind,
        enabled: new.enabled,
        actions: new.actions,
        applied_roles: new.applied_roles,
        exempt_roles: new.exempt_roles,
        exempt_channels: new.exempt_channels,
        priority: new.priority,
        check_all: new.check_all,
        created_at: machine.unix_ms,
        updated_at: machine.unix_ms,
        created_by: actor,
        ..AutomodRule::default()
    };
    set_looks_for(&mut rule, new.looks_for);
    rule.weight.len = len(&rule);
    rule
}

fn set_looks_for(rule: &mut AutomodRule, looks_for: LooksFor) {
    let LooksFor { config, pattern_len, pattern_cost } = looks_for;
    rule.config = config;
    rule.weight = RuleWeight { pattern_len, pattern_cost, ..rule.weight };
}

/// Bytes of what differs between rules, about as clients see them.
fn len(rule: &AutomodRule) -> u64 {
    const ID_LEN: usize = 23;
    let of_actions = rule
        .actions
        .iter()
        .map(|action| action.metadata.len() + action.reason.as_deref().map_or(0, str::len));
    let ids = rule.applied_roles.len() + rule.exempt_roles.len() + rule.exempt_channels.len();
    (rule.name.len() + rule.config.len() + ids * ID_LEN + of_actions.sum::<usize>()) as u64
}

/// What automod is of a server when one rule has become another.
fn changed(
    read: Read<'_>,
    server_id: ServerId,
    old: Option<&AutomodRule>,
    new: Option<&AutomodRule>,
) -> Automod {
    let mut automod = read.get(AUTOMODS, server_id).map(Automod::from).unwrap_or_default();
    let take = |from: &mut u64, of: fn(&AutomodRule) -> u64| {
        *from = *from - old.map_or(0, of) + new.map_or(0, of);
    };
    take(&mut automod.count, |_| 1);
    take(&mut automod.active, |rule| rule.enabled.into());
    take(&mut automod.weight.len, |rule| rule.weight.len);
    take(&mut automod.weight.pattern_len, |rule| rule.weight.pattern_len);
    take(&mut automod.weight.pattern_cost, |rule| rule.weight.pattern_cost);
    automod
}

fn put(machine: &mut Machine<'_, '_>, server_id: ServerId, automod: Automod, rule: AutomodRule) -> RuleId {
    keep(machine, server_id, automod);
    let rule_id = RuleId(machine.next_id());
    machine.tx.put(AUTOMOD_RULES, (server_id, rule_id), &rule);
    rule_id
}

/// Stores it under the next version, which is an id: no rules that a server had before had it.
fn keep(machine: &mut Machine<'_, '_>, server_id: ServerId, automod: Automod) {
    let version = machine.next_id();
    machine.tx.put(AUTOMODS, server_id, &Automod { version, ..automod });
}

// ------------------------------------------------------------------------------------------ queries

/// The rules of a server in the order in which they are looked at: the greatest priority first, of equal ones the oldest.
pub fn ordered(read: Read<'_>, server_id: ServerId) -> Vec<(RuleId, &ArchivedAutomodRule)> {
    let rules = read.scan(AUTOMOD_RULES, server_id).map(|((_, rule_id), rule)| (rule_id, rule));
    let mut rules: Vec<_> = rules.take(RULE_COUNT_MAX).collect();
    rules.sort_by_key(|(rule_id, rule)| (std::cmp::Reverse(rule.priority.to_native()), *rule_id));
    rules
}

/// Of which server a rule is: all rules are gone through, as nobody but an administrator asks.
pub fn server_of(read: Read<'_>, rule_id: RuleId) -> Option<ServerId> {
    read.scan(AUTOMOD_RULES, ()).keys().find(|(_, id)| *id == rule_id).map(|(server_id, _)| server_id)
}

/// The rules as a JSON list.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, server_id: ServerId) {
    let mut list = Array::new(out);
    for (rule_id, rule) in ordered(read, server_id) {
        AutomodRuleResponse::write(list.item(), server_id, rule_id, rule);
    }
}

shape! {
    /// A rule of automod.
    pub AutomodRuleResponse(server_id: ServerId, id: RuleId, rule: &ArchivedAutomodRule) {
        id: id = id.0,
        server_id: id = server_id.0,
        name: str = &rule.name,
        rule_type: (Slot::word(automod_rule::WORDS)) = automod_rule::text(rule.kind),
        enabled: bool = rule.enabled,
        /// As it was given; what keys there are depends on the type.
        config: (Slot::map(&Kind::Any)) = |out: &mut Vec<u8>| out.extend_from_slice(rule.config.as_bytes()),
        actions: (Slot::list(&Kind::Object(AutomodRuleAction::SHAPE))) = |out: &mut Vec<u8>| {
            let mut actions = Array::new(out);
            rule.actions.iter().for_each(|action| AutomodRuleAction::write(actions.item(), action));
        },
        /// Whom it is for; empty: everybody.
        applied_roles: (Slot::list(&Kind::Id)) = ids(rule.applied_roles.iter().map(|id| RoleId::from(id).0)),
        exempt_roles: (Slot::list(&Kind::Id)) = ids(rule.exempt_roles.iter().map(|id| RoleId::from(id).0)),
        exempt_channels: (Slot::list(&Kind::Id)) = ids(rule.exempt_channels.iter().map(|id| ChannelId::from(id).0)),
        /// The greatest is looked at first.
        priority: i64 = rule.priority.to_native(),
        /// Whether rules after it are looked at although it was hit.
        check_all: bool = rule.check_all,
        created_at: time = rule.created_at.to_native(),
        updated_at: time = rule.updated_at.to_native(),
        created_by: id = UserId::from(&rule.created_by).0,
    }
}

shape! {
    /// What is done about a text that hits a rule.
    pub AutomodRuleAction(action: &ArchivedAutomodAction) {
        action_type: (Slot::word(automod_action::WORDS)) = automod_action::text(action.kind),
        /// Of a timeout.
        duration_seconds: opt_u64 = action.duration_seconds.as_ref().map(|seconds| seconds.to_native()),
        reason: opt_str = action.reason.as_deref(),
        notify_user: bool = action.notify_user,
        metadata: (Slot::map(&Kind::Any)) = |out: &mut Vec<u8>| out.extend_from_slice(action.metadata.as_bytes()),
    }
}

/// Writes a list of them.
pub fn ids(ids: impl Iterator<Item = u64>) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        let mut list = Array::new(out);
        ids.for_each(|id| list.id(id));
    }
}
