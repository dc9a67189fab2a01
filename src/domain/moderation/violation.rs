//! Violations: what was written against the rules of a server.
//!
//! Invariant: `USER_VIOLATIONS` and `VIOLATION_LAPSES` name the same ones as `VIOLATIONS`, and `AUTOMODS` counts those of
//! its server.

use super::rule;
use crate::domain::asking::Asking;
use crate::domain::error::Result;
use crate::domain::machine::Machine;
use crate::domain::verdict::{Hit, Place, Verdict};
use crate::id::{ChannelId, MessageId, RuleId, ServerId, UserId, ViolationId};
use crate::store::Read;
use crate::store::records::{
    ArchivedViolation, Automod, AutomodRule, Nil, Violation, automod_action, automod_rule, severity,
};
use crate::store::tables::{AUTOMODS, USER_VIOLATIONS, VIOLATION_LAPSES, VIOLATIONS};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

/// Violations that make room for a new one: one, or more when fewer are kept from now on.
const MADE_ROOM_MAX: usize = 3;

/// Writes down that a text has hit a rule; `message_id` of one that was let go.
pub(super) fn record(
    machine: &mut Machine<'_, '_>,
    place: Place,
    verdict: &Verdict,
    hit: &Hit,
    rule: &AutomodRule,
    actions: Vec<u8>,
    message_id: Option<MessageId>,
) {
    let Place { server_id, channel_id, author } = place;
    let Some(mut automod) = machine.read().get(AUTOMODS, server_id).map(Automod::from) else { return };
    let mut metadata = Vec::new();
    {
        let mut object = Object::new(&mut metadata);
        object.str("rule_name", &rule.name).str("content", &verdict.excerpt);
        object.some_id("message_id", message_id.map(|id| id.0));
        if !verdict.is_own {
            object.bool("webhook", true);
        }
    }
    let violation = Violation {
        user_id: author,
        channel_id,
        rule_id: hit.rule_id,
        kind: rule.kind,
        matched: hit.matched.clone(),
        severity: hit.severity,
        actions,
        created_at: machine.unix_ms,
        lapses_at: machine.at.saturating_add(verdict.keep_ms),
        metadata: String::from_utf8(metadata).expect("made of strings and ASCII"),
    };
    let id = ViolationId(machine.next_id());
    machine.tx.put(VIOLATIONS, (server_id, id), &violation);
    machine.tx.put(USER_VIOLATIONS, (server_id, author, id), &Nil {});
    machine.tx.put(VIOLATION_LAPSES, (violation.lapses_at, server_id, id), &Nil {});
    automod.violations += 1;
    let surplus = automod.violations.saturating_sub(verdict.keep_count.max(1)) as usize;
    let oldest = machine.read().scan(VIOLATIONS, server_id).take(surplus.min(MADE_ROOM_MAX));
    for id in oldest.map(|((_, id), _)| id).collect::<Vec<_>>() {
        automod.violations -= u64::from(machine.tx.remove(VIOLATIONS, (server_id, id)));
    }
    machine.tx.put(AUTOMODS, server_id, &automod);
}

/// The violation that lapsed first.
fn first_due(machine: &Machine<'_, '_>) -> Option<(ServerId, ViolationId)> {
    let ((lapses_at, server_id, id), _) = machine.read().scan(VIOLATION_LAPSES, ()).next()?;
    (lapses_at <= machine.at).then_some((server_id, id))
}

/// Whether any has lapsed.
pub(in crate::domain) fn is_due(machine: &Machine<'_, '_>) -> bool {
    first_due(machine).is_some()
}

/// Removes the violation that lapsed first; false when none has. Those of a server that ended go with it.
pub(in crate::domain) fn expire(machine: &mut Machine<'_, '_>) -> bool {
    let Some((server_id, id)) = first_due(machine) else { return false };
    machine.tx.remove(VIOLATIONS, (server_id, id));
    if let Some(mut automod) = machine.read().get(AUTOMODS, server_id).map(Automod::from) {
        automod.violations -= 1;
        machine.tx.put(AUTOMODS, server_id, &automod);
    }
    true
}

// ------------------------------------------------------------------------------------------ queries

/// Which violations of a server.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    pub user_id: Option<UserId>,
    /// Only older ones.
    pub before: Option<ViolationId>,
    pub limit: usize,
}

/// Whether the actor may see what was written against the rules.
///
/// # Errors
/// 404 server; 403 not a member, without permission.
pub fn check_list(asking: Asking<'_>, server_id: ServerId) -> Result<()> {
    rule::check_manage(asking, server_id)
}

/// A page of violations, newest first, as a JSON list.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, server_id: ServerId, page: Page) {
    let before = page.before.unwrap_or(ViolationId::MAX);
    let mut list = Array::new(out);
    let mut write = |id: ViolationId, violation: &ArchivedViolation| {
        AutomodViolationResponse::write(list.item(), id, violation);
    };
    match page.user_id {
        None => {
            let found = read.scan_rev_before(VIOLATIONS, server_id, (server_id, before));
            found.take(page.limit).for_each(|((_, id), violation)| write(id, violation));
        }
        Some(user_id) => {
            let prefix = (server_id, user_id);
            let found = read.scan_rev_before(USER_VIOLATIONS, prefix, (server_id, user_id, before));
            for ((_, _, id), _) in found.take(page.limit) {
                if let Some(violation) = read.get(VIOLATIONS, (server_id, id)) {
                    write(id, violation);
                }
            }
        }
    }
}

shape! {
    /// What was written against a rule, and what was done about it.
    pub AutomodViolationResponse(id: ViolationId, violation: &ArchivedViolation) {
        id: id = id.0,
        user_id: id = UserId::from(&violation.user_id).0,
        channel_id: id = ChannelId::from(&violation.channel_id).0,
        rule_id: id = RuleId::from(&violation.rule_id).0,
        rule_type: (Slot::word(automod_rule::WORDS)) = automod_rule::text(violation.kind),
        matched_content: str = &violation.matched,
        severity: (Slot::word(severity::WORDS)) = severity::text(violation.severity),
        actions_taken: (Slot::list(&Kind::Word(automod_action::WORDS))) = |out: &mut Vec<u8>| {
            let mut actions = Array::new(out);
            violation.actions.iter().for_each(|action| actions.str(automod_action::text(*action)));
        },
        created_at: time = violation.created_at.to_native(),
        /// The name of the rule, the beginning of the text, and the message if it was let go.
        metadata: (Slot::map(&Kind::Any)) = |out: &mut Vec<u8>| out.extend_from_slice(violation.metadata.as_bytes()),
    }
}
