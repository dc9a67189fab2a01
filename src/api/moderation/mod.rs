//! Automod: the rules of a server, what was written against them, and the way of every text past them.

pub mod automod;
pub mod default_rules;
pub mod judging;
#[cfg(test)]
mod judging_tests;

use super::routes::Answer::{List, One};
use super::routes::{json, routes};
use crate::domain::moderation::rule::AutomodRuleResponse;
use crate::domain::moderation::violation::AutomodViolationResponse;
use crate::limits::RULE_BODY_LEN_MAX;

routes! {
    /// Rules of automod, in the order in which they are looked at.
    Get "/servers/{server_id}/automod/rules" => automod::automod_rule_list, User, Default {
        answer: List(AutomodRuleResponse::SHAPE),
    };
    /// Make a rule for what is written in a server.
    Post "/servers/{server_id}/automod/rules" => automod::automod_rule_create.await, User, Default {
        body: json(RULE_BODY_LEN_MAX),
        form: Some(&automod::AUTOMOD_RULE_CREATE),
        answer: One(AutomodRuleResponse::SHAPE),
    };
    /// Change a rule.
    Patch "/servers/{server_id}/automod/rules/{rule_id}" => automod::automod_rule_edit.await, User, Default {
        body: json(RULE_BODY_LEN_MAX),
        form: Some(&automod::AUTOMOD_RULE_EDIT),
        answer: One(AutomodRuleResponse::SHAPE),
    };
    /// Delete a rule; what was written against it stays known.
    Delete "/servers/{server_id}/automod/rules/{rule_id}" => automod::automod_rule_delete, User, Default;
    /// What was written against the rules, newest first.
    Get "/servers/{server_id}/automod/violations" => automod::automod_violation_list, User, Default {
        query: Some(&automod::AUTOMOD_VIOLATIONS),
        answer: List(AutomodViolationResponse::SHAPE),
    };
}
