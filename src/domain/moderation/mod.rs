//! Automod: rules of a server, what they do about texts, and what was written against them.

pub mod judged;
pub mod rule;
pub mod switch;
pub mod violation;

use super::command::commands;
use super::reply::Judgement;
use crate::id::{RuleId, ServerId};

commands! { Moderation:
    280 AutomodRuleCreate(rule::AutomodRuleCreate) => rule_create -> RuleId;
    281 AutomodRuleEdit(rule::AutomodRuleEdit) => rule_edit -> bool;
    282 AutomodRuleDelete(rule::AutomodRuleDelete) => rule_delete -> (), frees_room;
    283 Judged(judged::Judged) => judged -> Judgement;
    284 MessageCondemn(judged::MessageCondemn) => message_condemn -> bool, system;
    285 ServerFound(rule::ServerFound) => server_found -> ServerId;
    527 AutomodSwitchSet(switch::AutomodSwitchSet) => automod_switch_set -> (), frees_room, system;
}
