//! What the rules of a server say of a text, and how a command carries it.
//!
//! Rules are compiled, and texts judged by them, before a command: that takes what no transaction has time for, and depends
//! on tables of Unicode. The command brings what was found ([`Verdict`]) with the version of the rules that found it.
//! Invariant: every command that lets others read a new text asks [`pass`] when all its other checks are done, so whatever
//! was found before, no text is stored but by the rules that are in force then. What is done about a text that was
//! refused stands in [`super::moderation`].

use std::cell::Cell;

use rkyv::{Archive, Deserialize, Serialize};

use super::error::{Refusal, Result};
use super::machine::Machine;
use crate::id::{ChannelId, MessageId, RuleId, ServerId, UserId};
use crate::store::Read;
use crate::store::records::{ArchivedAutomod, ArchivedAutomodRule, ArchivedAutomodSwitch, automod_action};
use crate::store::tables::{AUTHOR_MESSAGES, AUTOMOD_RULES, AUTOMOD_SWITCH, AUTOMODS};

/// What was found of a text.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct Verdict {
    /// The version of the rules.
    pub version: u64,
    /// The newest message of the author then, 0 without one; `None` where no rule looks at what he wrote before.
    pub latest: Option<MessageId>,
    /// From the rule that was first.
    pub hits: Vec<Hit>,
    /// The beginning of the text.
    pub excerpt: String,
    /// Whether somebody wrote it himself: nobody is punished for what a webhook says.
    pub is_own: bool,
    /// For how long violations are kept, and how many.
    pub keep_ms: u64,
    pub keep_count: u64,
}

/// A rule that a text has hit.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Hit {
    pub rule_id: RuleId,
    /// A [`crate::store::records::severity`] code.
    pub severity: u8,
    /// What hit it.
    pub matched: String,
}

/// Where a text is said, and by whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub server_id: ServerId,
    pub channel_id: ChannelId,
    pub author: UserId,
}

/// What has become of a verdict.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// Nobody has asked, or there are no rules there.
    Unused,
    Passed(Place),
    Refused(Place),
}

/// A verdict while the command runs that it is about.
pub(super) struct Judging {
    pub verdict: Verdict,
    pub outcome: Cell<Outcome>,
}

/// That a text was let go: who stores one has to have asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed(());

/// Whether the author's text may be let go there.
///
/// # Errors
/// `Unjudged` when it has to be judged by the rules that are in force; `TextRefused` when they refuse it. Neither is an
/// answer to a client.
pub(super) fn pass(
    machine: &Machine<'_, '_>,
    server_id: Option<ServerId>,
    channel_id: ChannelId,
    author: UserId,
) -> Result<Passed> {
    let read = machine.read();
    let Some(server_id) = server_id else { return Ok(Passed(())) };
    let Some(automod) = in_force(read, server_id) else { return Ok(Passed(())) };
    let judging = machine.judging().ok_or(Refusal::Unjudged)?;
    let verdict = &judging.verdict;
    let wrote_since = |latest| latest != latest_of(read, author);
    if automod.version != verdict.version || verdict.latest.is_some_and(wrote_since) {
        return Err(Refusal::Unjudged.into());
    }
    let place = Place { server_id, channel_id, author };
    let rule_refuses = |hit: &Hit| {
        let rule = read.get(AUTOMOD_RULES, (server_id, hit.rule_id));
        rule.is_some_and(|rule| action_codes(rule).any(refuses))
    };
    if verdict.hits.iter().any(rule_refuses) {
        judging.outcome.set(Outcome::Refused(place));
        return Err(Refusal::TextRefused.into());
    }
    judging.outcome.set(Outcome::Passed(place));
    Ok(Passed(()))
}

/// The one row of the table of the switch.
pub const SWITCH_ROW: u8 = 0;

/// The switch of all rules, when it was ever turned.
pub fn switch(read: Read<'_>) -> Option<&ArchivedAutomodSwitch> {
    read.get(AUTOMOD_SWITCH, SWITCH_ROW)
}

/// The rules of a server, when there are any that are on.
pub fn in_force(read: Read<'_>, server_id: ServerId) -> Option<&ArchivedAutomod> {
    let automod = read.get(AUTOMODS, server_id).filter(|automod| automod.active != 0)?;
    // Asked last: most servers have no rules.
    let is_on = switch(read).is_none_or(|switch| switch.enabled);
    is_on.then_some(automod)
}

/// The newest message of somebody, wherever he wrote it; 0 when there is none.
pub fn latest_of(read: Read<'_>, author: UserId) -> MessageId {
    let newest = read.scan_rev(AUTHOR_MESSAGES, author).next();
    newest.map_or(MessageId(0), |((_, message_id), _)| message_id)
}

pub(super) fn action_codes(rule: &ArchivedAutomodRule) -> impl Iterator<Item = u8> + '_ {
    rule.actions.iter().map(|action| action.kind)
}

/// Whether a text that is answered with this is not stored. Whoever is silenced, removed or banned for a text has not
/// said it.
pub fn refuses(action: u8) -> bool {
    !matches!(action, automod_action::ALERT_MODERATORS | automod_action::LOG_ONLY)
}
