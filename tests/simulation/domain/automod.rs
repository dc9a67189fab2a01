//! Automod: random rules and verdicts, what they must be answered, and what becomes of them.

use std::collections::BTreeMap;

use plexichat::domain::chat::attachment::FilesPost;
use plexichat::domain::chat::message::{MessageCreate, MessageEdit};
use plexichat::domain::chat::poll::{PollCreate, PollPost};
use plexichat::domain::hooks::execution::WebhookExecute;
use plexichat::domain::moderation::judged::{Judged, MessageCondemn};
use plexichat::domain::moderation::rule::*;
use plexichat::domain::permission::*;
use plexichat::domain::verdict::{Hit, Verdict, refuses};
use plexichat::domain::{Op, Reply, chat, hooks, moderation};
use plexichat::id::{ChannelId, MessageId, RuleId, ServerId, UserId};
use plexichat::limits::{PATTERNS_COST_MAX, RULE_COUNT_MAX};
use plexichat::store::Read;
use plexichat::store::records::{AutomodAction, automod_action, automod_rule, severity};
use plexichat::store::tables::{AUTOMOD_RULES, AUTOMODS, VIOLATIONS};

use super::generate::Generator;
use super::model::*;

/// What automod is of a server.
#[derive(Clone, Debug, Default)]
pub struct Automod {
    version: u64,
    rules: BTreeMap<u64, Rule>,
    /// The oldest first.
    violations: Vec<Violation>,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    new: NewRule,
    created_by: u64,
}

#[derive(Clone, Debug, PartialEq)]
struct Violation {
    user: u64,
    rule: u64,
    actions: Vec<u8>,
    lapses_at: u64,
}

/// Of a text that is to be judged by other rules.
pub const UNJUDGED: Refused = &[503];

impl Automod {
    fn is_on(&self) -> bool {
        self.rules.values().any(|rule| rule.new.enabled)
    }

    fn cost(&self) -> u64 {
        self.rules.values().map(|rule| rule.new.looks_for.pattern_cost).sum()
    }

    fn refuses(&self, verdict: &Verdict) -> bool {
        let rules = verdict.hits.iter().filter_map(|hit| self.rules.get(&hit.rule_id.0));
        rules.flat_map(|rule| &rule.new.actions).any(|action| refuses(action.kind))
    }
}

impl Generator<'_> {
    fn new_rule(&mut self) -> NewRule {
        let count = self.random.usize(1..3);
        let action = |g: &mut Self| AutomodAction {
            kind: g.random.u8(automod_action::DELETE_MESSAGE..=automod_action::LOG_ONLY),
            duration_seconds: g.maybe(70, |g| g.random.u64(1..600)),
            reason: g.maybe(50, |_| "because".into()),
            notify_user: true,
            metadata: "{}".into(),
        };
        NewRule {
            name: "rule".into(),
            kind: automod_rule::KEYWORD,
            looks_for: LooksFor {
                config: r#"{"keywords":["x"]}"#.into(),
                pattern_len: 0,
                pattern_cost: if self.chance(30) { self.random.u64(..1_500) } else { 0 },
            },
            actions: (0..count).map(|_| action(self)).collect(),
            priority: self.random.i64(-2..3),
            check_all: self.random.bool(),
            enabled: self.chance(60),
            ..NewRule::default()
        }
    }

    /// A server, mostly one with rules.
    fn ruled(&mut self, model: &Model) -> u64 {
        let ruled = model.servers.iter().filter(|(_, server)| !server.automod.rules.is_empty());
        let ruled = self.pick(ruled.map(|(id, _)| *id)).filter(|_| self.random.u32(..4) != 0);
        ruled.unwrap_or_else(|| self.server(model))
    }

    pub fn automod_command(&mut self, model: &Model) -> (u64, Op) {
        let id = self.ruled(model);
        let (server_id, server) = (ServerId(id), model.servers.get(&id));
        let rules = server.into_iter().flat_map(|server| server.automod.rules.keys().copied());
        let rule_id = RuleId(self.id(rules));
        let actor = self.insider(model, server);
        let new = self.new_rule();
        let op: Op = match self.random.u32(..10) {
            0..3 => AutomodRuleCreate { server_id, rule: Box::new(new) }.into(),
            3..6 => AutomodRuleEdit {
                server_id,
                rule_id,
                name: self.maybe(20, |_| "other".into()),
                looks_for: self.maybe(20, |_| Box::new(new.looks_for.clone())),
                actions: self.maybe(20, |_| new.actions.clone()),
                priority: self.maybe(20, |_| new.priority),
                check_all: self.maybe(10, |_| new.check_all),
                enabled: self.maybe(40, |_| new.enabled),
                ..AutomodRuleEdit::default()
            }
            .into(),
            6 | 7 => AutomodRuleDelete { server_id, rule_id }.into(),
            8 if self.chance(40) => {
                let server_count_max = if self.chance(40) { self.random.u64(..4) } else { 100 };
                let create = plexichat::domain::community::server::ServerCreate {
                    name: "ruled".into(),
                    description: None,
                    server_count_max,
                };
                return (self.actor(model), ServerFound { create, rules: vec![new] }.into());
            }
            _ => {
                let (_, channel_id, message_id) = self.spot(model);
                let found = model.channels.get(&channel_id.0);
                let message = found.and_then(|channel| channel.messages.get(&message_id.0));
                let content = message.map(|message| message.content.clone()).unwrap_or_default();
                let content = if self.chance(10) { "changed".into() } else { content };
                let verdict = self.verdict(model, channel_id.0);
                return (
                    self.system(model),
                    MessageCondemn { channel_id, message_id, content, verdict }.into(),
                );
            }
        };
        (actor, op)
    }

    fn verdict(&mut self, model: &Model, channel: u64) -> Verdict {
        let server = model.channels.get(&channel).and_then(|channel| model.servers.get(&channel.server?));
        let automod = server.map(|server| server.automod.clone()).unwrap_or_default();
        let count = if self.chance(40) { self.random.usize(1..3) } else { 0 };
        let hit = |g: &mut Self| Hit {
            rule_id: RuleId(g.id(automod.rules.keys().copied())),
            severity: severity::LOW,
            matched: "x".into(),
        };
        Verdict {
            version: if self.chance(90) { automod.version } else { self.junk() },
            latest: self.maybe(5, |_| MessageId(1)),
            hits: (0..count).map(|_| hit(self)).collect(),
            excerpt: "text".into(),
            is_own: self.chance(80),
            keep_ms: self.random.u64(1..7_200_000),
            keep_count: if self.chance(30) { self.random.u64(..4) } else { 100 },
        }
    }

    /// A text, as a rule judged where there are rules.
    pub fn text_command(&mut self, model: &Model, channel: u64, op: impl Into<Op>) -> Op {
        let server = model.channels.get(&channel).and_then(|channel| model.servers.get(&channel.server?));
        let is_judged = if server.is_some_and(|server| server.automod.is_on()) { 85 } else { 4 };
        match self.chance(is_judged) {
            true => Judged::new(self.verdict(model, channel), &op.into()).into(),
            false => op.into(),
        }
    }
}

impl Model {
    /// What a text comes to that nobody has judged.
    pub fn pass(&self, server: Option<u64>) -> Result<(), Refused> {
        let automod = server.and_then(|id| self.servers.get(&id)).map(|server| &server.automod);
        unless(!self.automod_off && automod.is_some_and(Automod::is_on), UNJUDGED)
    }

    fn latest(&self, author: u64) -> u64 {
        let messages = self.channels.values().flat_map(|channel| &channel.messages);
        messages.filter(|(_, message)| message.author == author).map(|(id, _)| *id).max().unwrap_or(0)
    }

    pub fn judge_automod(&self, actor: u64, op: &moderation::Op) -> Result<Want, Refused> {
        let manage = |id: ServerId| {
            let server = self.standing(actor, id.0)?;
            server.require(actor, SERVER_AUTOMOD)?;
            Ok(&server.automod)
        };
        match op {
            moderation::Op::AutomodRuleCreate(op) => {
                let automod = manage(op.server_id)?;
                unless(automod.rules.len() >= RULE_COUNT_MAX, BAD)?;
                unless(automod.cost() + op.rule.looks_for.pattern_cost > PATTERNS_COST_MAX, BAD)?;
                Ok(Want::Any)
            }
            moderation::Op::AutomodRuleEdit(op) => {
                let automod = manage(op.server_id)?;
                let old = some(automod.rules.get(&op.rule_id.0), MISSING)?;
                let new = edited_rule(old, op);
                if new == *old {
                    return Ok(Want::Changed(false));
                }
                let cost = automod.cost() - old.new.looks_for.pattern_cost + new.new.looks_for.pattern_cost;
                unless(cost > PATTERNS_COST_MAX, BAD)?;
                Ok(Want::Changed(true))
            }
            moderation::Op::AutomodRuleDelete(op) => {
                some(manage(op.server_id)?.rules.get(&op.rule_id.0), MISSING)?;
                Ok(Want::Done)
            }
            moderation::Op::ServerFound(op) => self.judge(actor, &op.create.clone().into()),
            moderation::Op::Judged(op) => {
                let inner = Op::decode(op.code, &op.bytes).expect("a text");
                let found = self.judge(actor, &inner);
                if found != Err(UNJUDGED) {
                    return found;
                }
                let (channel, author) = self.text_place(actor, &inner);
                let (automod, _) = self.automod_of(channel).expect("it has rules");
                unless(automod.version != op.verdict.version, UNJUDGED)?;
                let overtaken = op.verdict.latest.is_some_and(|latest| latest.0 != self.latest(author));
                unless(overtaken, UNJUDGED)?;
                Ok(if automod.refuses(&op.verdict) { Want::Refused } else { Want::Message })
            }
            moderation::Op::AutomodSwitchSet(_) => unreachable!("it is tried in tests/contract"),
            moderation::Op::MessageCondemn(op) => {
                unless(actor != 0, FORBIDDEN)?;
                let message = self.channels.get(&op.channel_id.0);
                let message = message.and_then(|channel| channel.messages.get(&op.message_id.0));
                let is_same = message.is_some_and(|message| message.content == op.content);
                let automod = self.automod_of(op.channel_id).map(|(automod, _)| automod);
                let is_current = !self.automod_off
                    && automod
                        .is_some_and(|automod| automod.is_on() && automod.version == op.verdict.version);
                Ok(Want::Changed(is_same && is_current))
            }
        }
    }

    /// Where a text is said, and in whose name.
    fn text_place(&self, actor: u64, op: &Op) -> (ChannelId, u64) {
        match op {
            Op::Chat(chat::Op::MessageCreate(MessageCreate { channel_id, .. })) => (*channel_id, actor),
            Op::Chat(chat::Op::MessageEdit(MessageEdit { channel_id, .. })) => (*channel_id, actor),
            Op::Chat(chat::Op::PollPost(PollPost { message, .. })) => (message.channel_id, actor),
            Op::Chat(chat::Op::FilesPost(FilesPost { message, .. })) => (message.channel_id, actor),
            Op::Chat(chat::Op::PollCreate(PollCreate { channel_id, .. })) => (*channel_id, actor),
            Op::Hooks(hooks::Op::WebhookExecute(WebhookExecute { webhook_id, .. })) => {
                let hook = &self.webhooks[&webhook_id.0];
                (ChannelId(hook.channel), hook.creator)
            }
            other => panic!("{other:?} is no text"),
        }
    }

    fn automod_of(&self, channel: ChannelId) -> Option<(&Automod, u64)> {
        let id = self.channels.get(&channel.0)?.server?;
        Some((&self.servers.get(&id)?.automod, id))
    }

    pub fn take_automod(&mut self, actor: u64, op: &moderation::Op, reply: &Reply, read: Read<'_>) {
        match op {
            moderation::Op::AutomodRuleCreate(op) => {
                let Reply::AutomodRule(rule_id) = reply else { unreachable!() };
                let rule = Rule { new: (*op.rule).clone(), created_by: actor };
                self.server(op.server_id.0).automod.rules.insert(rule_id.0, rule);
                self.take_version(op.server_id, read);
            }
            moderation::Op::AutomodRuleEdit(op) => {
                let rules = &mut self.server(op.server_id.0).automod.rules;
                let rule = rules.get_mut(&op.rule_id.0).unwrap();
                *rule = edited_rule(rule, op);
                self.take_version(op.server_id, read);
            }
            moderation::Op::AutomodRuleDelete(op) => {
                self.server(op.server_id.0).automod.rules.remove(&op.rule_id.0);
                self.take_version(op.server_id, read);
            }
            moderation::Op::ServerFound(op) => {
                self.take(actor, &op.create.clone().into(), reply, read);
                let Reply::Server(server_id) = reply else { unreachable!() };
                let made = read.scan(AUTOMOD_RULES, *server_id).map(|((_, rule_id), _)| rule_id.0);
                let rules =
                    made.zip(&op.rules).map(|(id, new)| (id, Rule { new: new.clone(), created_by: actor }));
                self.server(server_id.0).automod.rules = rules.collect();
                assert_eq!(self.servers[&server_id.0].automod.rules.len(), op.rules.len());
                self.take_version(*server_id, read);
            }
            moderation::Op::Judged(op) => {
                let inner = Op::decode(op.code, &op.bytes).expect("a text");
                let (channel, author) = self.text_place(actor, &inner);
                let place =
                    self.automod_of(channel).map(|(automod, id)| (automod.is_on() && !self.automod_off, id));
                if *reply != Reply::TextRefused {
                    self.take(actor, &inner, reply, read);
                }
                if let Some((true, server)) = place {
                    self.deal_with(server, author, &op.verdict);
                }
            }
            moderation::Op::AutomodSwitchSet(_) => unreachable!("judge has none"),
            moderation::Op::MessageCondemn(op) => {
                let (automod, server) = self.automod_of(op.channel_id).expect("judge found it");
                let goes = automod.refuses(&op.verdict);
                let author = self.channels[&op.channel_id.0].messages[&op.message_id.0].author;
                if goes {
                    self.remove_message(op.channel_id.0, op.message_id.0);
                }
                self.deal_with(server, author, &op.verdict);
            }
        }
    }

    /// Versions are ids: what the store has given out.
    fn take_version(&mut self, server_id: ServerId, read: Read<'_>) {
        let version = read.get(AUTOMODS, server_id).expect("it has rules").version.to_native();
        let automod = &mut self.server(server_id.0).automod;
        assert_ne!(automod.version, version, "each change has a version of its own");
        automod.version = version;
    }

    fn deal_with(&mut self, server: u64, author: u64, verdict: &Verdict) {
        let at = self.at;
        for hit in &verdict.hits {
            let found = self.server(server);
            let Some(rule) = found.automod.rules.get(&hit.rule_id.0).cloned() else { continue };
            let is_member = verdict.is_own && found.members.contains_key(&author) && found.owner != author;
            let is_above = is_member && found.bits(author) & ADMINISTRATOR != 0;
            let taken = |action: &&AutomodAction| match action.kind {
                automod_action::TIMEOUT_USER => is_member && !is_above,
                automod_action::KICK_USER | automod_action::BAN_USER => is_member,
                _ => true,
            };
            let taken: Vec<&AutomodAction> = rule.new.actions.iter().filter(taken).collect();
            let has = |kind: u8| taken.iter().any(|action| action.kind == kind);
            let violation = Violation {
                user: author,
                rule: hit.rule_id.0,
                actions: taken.iter().map(|action| action.kind).collect(),
                lapses_at: at + verdict.keep_ms,
            };
            let violations = &mut found.automod.violations;
            violations.push(violation);
            let surplus = (violations.len() as u64).saturating_sub(verdict.keep_count.max(1));
            violations.drain(..surplus.min(3) as usize);
            if has(automod_action::BAN_USER) {
                found.bans.insert(author);
                found.members.remove(&author);
            } else if has(automod_action::KICK_USER) {
                found.members.remove(&author);
            } else if has(automod_action::TIMEOUT_USER) {
                let timeouts = taken.iter().filter(|action| action.kind == automod_action::TIMEOUT_USER);
                let action = timeouts.max_by_key(|action| action.duration_seconds).unwrap();
                let until = at + action.duration_seconds.unwrap_or(600) * 1_000;
                let reason = action.reason.clone().unwrap_or_else(|| format!("Automod: {}", rule.new.name));
                let member = found.members.get_mut(&author).unwrap();
                if until > member.timeout_until {
                    (member.timeout_until, member.timeout_reason) = (until, Some(reason));
                }
            }
        }
    }

    /// What has lapsed goes when housekeeping gets to it; nothing else does.
    pub fn expire_violations(&mut self, read: Read<'_>) {
        let at = self.at;
        for (server, found) in &mut self.servers {
            let stored = stored_violations(read, ServerId(*server));
            let mut left = stored.iter().peekable();
            for violation in &found.automod.violations {
                let is_there = left.next_if(|stored| *stored == violation).is_some();
                assert!(is_there || violation.lapses_at <= at, "a violation went before its time");
            }
            assert_eq!(left.next(), None, "violations of {server}");
            found.automod.violations = stored;
        }
    }

    pub fn compare_automod(&self, read: Read<'_>, id: ServerId, server: &Server) {
        let rules = read.scan(AUTOMOD_RULES, id).map(|((_, rule_id), rule)| {
            (rule_id.0, rule.enabled, rule.name.to_string(), rule.created_by.0.to_native())
        });
        let want = server.automod.rules.iter();
        let want = want.map(|(id, rule)| (*id, rule.new.enabled, rule.new.name.clone(), rule.created_by));
        assert!(rules.eq(want), "rules of {id}");
        assert_eq!(stored_violations(read, id), server.automod.violations, "violations of {id}");
    }
}

fn stored_violations(read: Read<'_>, id: ServerId) -> Vec<Violation> {
    let stored = read.scan(VIOLATIONS, id).map(|(_, violation)| Violation {
        user: UserId::from(&violation.user_id).0,
        rule: RuleId::from(&violation.rule_id).0,
        actions: violation.actions.to_vec(),
        lapses_at: violation.lapses_at.to_native(),
    });
    stored.collect()
}

fn edited_rule(old: &Rule, op: &AutomodRuleEdit) -> Rule {
    let mut new = old.clone();
    let rule = &mut new.new;
    rule.name = op.name.clone().unwrap_or(rule.name.clone());
    rule.looks_for = op.looks_for.as_deref().cloned().unwrap_or(rule.looks_for.clone());
    rule.actions = op.actions.clone().unwrap_or(rule.actions.clone());
    rule.priority = op.priority.unwrap_or(rule.priority);
    rule.check_all = op.check_all.unwrap_or(rule.check_all);
    rule.enabled = op.enabled.unwrap_or(rule.enabled);
    new
}
