//! Texts that were judged by the rules of their server: let go, or refused with what follows.

use rkyv::{Archive, Deserialize, Serialize};

use super::violation;
use crate::domain::Op;
use crate::domain::chat::message::{self, Scope};
use crate::domain::command::{Marks, dispatch};
use crate::domain::community::{ban, member, member_edit};
use crate::domain::error::{Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::permission::ADMINISTRATOR;
use crate::domain::reply::{Judgement, Reply, TextRefused};
use crate::domain::verdict::{Outcome, Place, Verdict, action_codes, in_force, refuses};
use crate::id::{ChannelId, MessageId, UserId};
use crate::store::records::{AutomodAction, AutomodRule, automod_action};
use crate::store::tables::{AUTOMOD_RULES, CHANNELS, MESSAGES};

/// How long a timeout is that does not say so.
const TIMEOUT_SECONDS: u64 = 600;

/// A command that lets others read a new text, with what was found of that. Whichever command it is: its bytes, so that
/// there is one way for all.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Judged {
    pub verdict: Verdict,
    pub code: u16,
    pub bytes: Vec<u8>,
}

impl Judged {
    pub fn new(verdict: Verdict, op: &Op) -> Judged {
        Judged { verdict, code: op.row().code, bytes: op.encode(Vec::new()) }
    }
}

/// Something was found of a message that is stored already.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessageCondemn {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    /// What it said then: of another text it says nothing.
    pub content: String,
    pub verdict: Verdict,
}

/// Replies as the command that it brings, or that the rules refuse the text: then that command has left nothing, and
/// its author is dealt with.
pub(in crate::domain) fn judged(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &Judged,
) -> Result<Judgement> {
    let inner = Op::decode(op.code, &op.bytes).map_err(|_| Refusal::Internal)?;
    // What it may be is up to the actor, as ever; but it is no batch of its own, and needs room.
    let Marks { isolated, frees_room, .. } = inner.row().marks;
    if isolated || frees_room || matches!(inner, Op::Moderation(super::Op::Judged(_))) {
        return Err(Refusal::Internal.into());
    }
    let (reply, verdict, outcome) =
        machine.with_verdict(op.verdict.clone(), |machine| dispatch(machine, actor, &inner));
    match (reply, outcome) {
        (Err(_), Outcome::Refused(place)) => {
            deal_with(machine, place, &verdict, None);
            Ok(Err(TextRefused))
        }
        (Ok(reply), Outcome::Passed(place)) => {
            let message_id = if let Reply::Message(_, id) = reply { Some(id) } else { None };
            deal_with(machine, place, &verdict, message_id);
            Ok(Ok(reply))
        }
        (reply, _) => reply.map(Ok),
    }
}

/// Replies whether it was done: not when the message, or a rule of its server, has changed since.
pub(in crate::domain) fn message_condemn(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &MessageCondemn,
) -> Result<bool> {
    let read = machine.read();
    let message = read.get(MESSAGES, (op.channel_id, op.message_id));
    let Some(message) = message.filter(|message| message.content == op.content.as_str()) else {
        return Ok(false);
    };
    let channel = read.get(CHANNELS, op.channel_id);
    let Some((channel, server_id)) = channel.and_then(|channel| Some((channel, channel.server()?))) else {
        return Ok(false);
    };
    if in_force(read, server_id).is_none_or(|automod| automod.version != op.verdict.version) {
        return Ok(false);
    }
    let place = Place { server_id, channel_id: op.channel_id, author: UserId::from(&message.author_id) };
    let rules = op.verdict.hits.iter().filter_map(|hit| read.get(AUTOMOD_RULES, (server_id, hit.rule_id)));
    let stays = !rules.flat_map(action_codes).any(refuses);
    if !stays {
        let scope = Scope::of(op.channel_id, channel);
        message::withdraw(machine, &scope, op.message_id, true);
    }
    deal_with(machine, place, &op.verdict, stays.then_some(op.message_id));
    Ok(true)
}

/// Writes down what was hit, and carries out what the rules say of the author.
fn deal_with(machine: &mut Machine<'_, '_>, place: Place, verdict: &Verdict, message_id: Option<MessageId>) {
    for hit in &verdict.hits {
        let rule = machine.read().get(AUTOMOD_RULES, (place.server_id, hit.rule_id));
        let Some(rule) = rule.map(AutomodRule::from) else { continue };
        let reach = Reach::of(machine, place, verdict);
        let taken: Vec<&AutomodAction> =
            rule.actions.iter().filter(|action| reach.covers(action.kind)).collect();
        let codes = taken.iter().map(|action| action.kind).collect();
        violation::record(machine, place, verdict, hit, &rule, codes, message_id);
        // Who is banned is removed with that, and who is removed need not be silenced.
        let hardest = taken.iter().filter(|action| action.kind != automod_action::DELETE_MESSAGE);
        let hardest = hardest.max_by_key(|action| (hardness(action.kind), action.duration_seconds));
        if let Some(action) = hardest {
            punish(machine, place, &rule, action);
        }
    }
}

/// Whom actions can be about.
#[derive(Clone, Copy)]
struct Reach {
    is_member: bool,
    is_above_timeouts: bool,
}

impl Reach {
    fn of(machine: &Machine<'_, '_>, place: Place, verdict: &Verdict) -> Reach {
        let standing = machine.asking(place.author).server(place.server_id);
        let standing = standing.ok().filter(|standing| verdict.is_own && !standing.is_owner());
        Reach {
            is_member: standing.is_some(),
            is_above_timeouts: standing.is_some_and(|standing| standing.has(ADMINISTRATOR)),
        }
    }

    fn covers(self, action: u8) -> bool {
        match action {
            automod_action::TIMEOUT_USER => self.is_member && !self.is_above_timeouts,
            automod_action::KICK_USER | automod_action::BAN_USER => self.is_member,
            _ => true,
        }
    }
}

fn hardness(action: u8) -> u8 {
    match action {
        automod_action::BAN_USER => 3,
        automod_action::KICK_USER => 2,
        automod_action::TIMEOUT_USER => 1,
        _ => 0,
    }
}

/// In the name of whoever made the rule.
fn punish(machine: &mut Machine<'_, '_>, place: Place, rule: &AutomodRule, action: &AutomodAction) {
    let Place { server_id, author, .. } = place;
    let reason = action.reason.clone().unwrap_or_else(|| format!("Automod: {}", rule.name));
    let (actor, reason) = (rule.created_by, Some(reason.as_str()));
    match action.kind {
        automod_action::TIMEOUT_USER => {
            let seconds = action.duration_seconds.unwrap_or(TIMEOUT_SECONDS);
            member_edit::time_out(machine, server_id, actor, author, seconds, reason);
        }
        automod_action::KICK_USER => member::kick(machine, server_id, actor, author, reason),
        automod_action::BAN_USER => drop(ban::put(machine, server_id, actor, author, reason)),
        _ => {}
    }
}
