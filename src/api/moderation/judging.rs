//! The way of a text past the rules of its server: every command that lets others read a new text is submitted here.
//!
//! A text is judged before its command, by the rules that this core knows of; apply takes the verdict only if it is by
//! the rules that are in force then ([`crate::domain::verdict`]), else the text is judged again. So no text slips past a
//! rule, whichever core has judged it and however long that took. Where there are no rules, that is two look-ups.

use std::sync::Arc;

use crate::api::ctx::{Ctx, Step};
use crate::api::state::{Afterwork, State};
use crate::config::Automod;
use crate::domain::chat::mention::{self, Mention};
use crate::domain::moderation::judged::{Judged, MessageCondemn};
use crate::domain::permission::ADMINISTRATOR;
use crate::domain::verdict::{self, Hit, Verdict};
use crate::domain::{Answer as _, Asking, Command, Error, Op, Operation, Refusal, Reply, Result};
use crate::effect::automod::ai;
use crate::effect::automod::config::Ai;
use crate::effect::automod::spam::{COMPARED_LEN_MAX, RECENT_COUNT_MAX, Recent, cut, excerpt};
use crate::effect::automod::{COST_ON_CORE_MAX, Damaged, Finding, Judge, Mentioned, Prepare, Rules, Said};
use crate::effect::http::Call;
use crate::effect::{self, Effect, Job};
use crate::id::{ChannelId, MessageId, RoleId, RuleId, ServerId, UserId, WebhookId};
use crate::limits::VIOLATION_EXCERPT_LEN_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedMessage, automod_rule};
use crate::store::tables::{AUTHOR_MESSAGES, CHANNELS, INVITES, MESSAGES};
use crate::text::links;
use crate::wire::json::{Value, parse, write_str};

/// How often a text is judged that others overtake: those of its own author, and changes of the rules.
const ROUNDS_MAX: usize = 16;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Whose text it is, and where it is said.
#[derive(Clone, Copy, Debug)]
pub struct Whence {
    pub channel_id: ChannelId,
    pub author: UserId,
    /// Which webhook says it in his name: for it no role speaks, and nobody is punished.
    pub webhook: Option<WebhookId>,
    /// The message that is to say so; `None` when it is a new one.
    pub edits: Option<MessageId>,
}

/// What is said.
#[derive(Clone, Debug, Default)]
pub struct Speech<'o> {
    pub content: &'o str,
    /// As they are stored: JSON, or empty.
    pub embeds: &'o str,
    /// What else others read of it.
    pub beside: Vec<&'o str>,
}

/// A command that lets others read a new text.
pub trait Spoken: Operation + Clone + 'static {
    fn speech(&self) -> Speech<'_>;
}

/// What was found of a text.
struct Judgment {
    verdict: Verdict,
    /// Types of the rules that were hit.
    kinds: Vec<u8>,
    /// Whom to ask about it once it is said.
    asks: Vec<(RuleId, Arc<Ai>)>,
}

impl Judgment {
    /// Nothing was looked for, at that version of the rules.
    fn free(version: u64) -> Judgment {
        let verdict = Verdict { version, ..Verdict::default() };
        Judgment { verdict, kinds: Vec::new(), asks: Vec::new() }
    }
}

/// How far a text has come on this core alone.
enum Looked {
    /// There are no rules.
    Free,
    Judged(Box<Judgment>),
    /// The rules are to be made ready first.
    Unprepared(ServerId),
    /// Judging takes long.
    Costly(Arc<Rules>, Box<Said>, Option<MessageId>),
}

/// Submits a command of `actor`; `then` answers when it was applied.
///
/// # Errors
/// Later those of apply; 400 `MESSAGE_BLOCKED` when the rules refuse the text.
pub fn submit<C: Spoken>(
    ctx: &mut Ctx<'_>,
    actor: UserId,
    whence: Whence,
    op: C,
    then: impl FnOnce(&mut Ctx<'_>, C::Reply) -> Result<Step> + 'static,
) -> Result<Step> {
    let (command, judgment) = match look(ctx, whence, &op.speech(), None) {
        Looked::Free => (Command::new(actor, op.clone().into()), None),
        Looked::Judged(judgment) => {
            let judged = Judged::new(judgment.verdict.clone(), &op.clone().into());
            (Command::new(actor, judged.into()), Some(judgment))
        }
        Looked::Unprepared(_) | Looked::Costly(..) => return Ok(again(actor, whence, op, then)),
    };
    let after = move |ctx: &mut Ctx<'_>, reply: Result<Reply>| match reply {
        Err(error) if error == Refusal::Unjudged.into() => Ok(again(actor, whence, op, then)),
        Err(error) => Err(error),
        Ok(reply) => {
            let reply = settle(ctx, reply, &op.speech(), judgment.map(|judgment| *judgment))?;
            then(ctx, C::Reply::take(reply))
        }
    };
    Ok(Step::Submit(command, Box::new(after)))
}

fn again<C: Spoken>(
    actor: UserId,
    whence: Whence,
    op: C,
    then: impl FnOnce(&mut Ctx<'_>, C::Reply) -> Result<Step> + 'static,
) -> Step {
    Step::task(move |ctx| {
        Box::pin(async move {
            let reply = decide(ctx, actor, whence, op).await?;
            then(ctx, reply)
        })
    })
}

/// Has the log decide a command of `actor`, and waits for it: for tasks.
///
/// # Errors
/// Those of apply; 400 `MESSAGE_BLOCKED` when the rules refuse the text; 503 when they, or what its author writes,
/// change faster than it can be judged.
pub async fn decide<C: Spoken>(ctx: &mut Ctx<'_>, actor: UserId, whence: Whence, op: C) -> Result<C::Reply> {
    let bare: Op = op.clone().into();
    for _ in 0..ROUNDS_MAX {
        let judgment = judge(ctx, whence, &op.speech()).await?;
        let judged = Judged::new(judgment.verdict.clone(), &bare);
        match ctx.decide(actor, judged).await {
            Err(error) if error == Refusal::Unjudged.into() => {}
            Err(error) => return Err(error),
            Ok(judgement) => {
                let reply = settle(ctx, judgement.into(), &op.speech(), Some(judgment))?;
                return Ok(C::Reply::take(reply));
            }
        }
    }
    Err(Refusal::Unjudged.into())
}

async fn judge(ctx: &mut Ctx<'_>, whence: Whence, speech: &Speech<'_>) -> Result<Judgment> {
    let mut prepared = None;
    loop {
        match look(ctx, whence, speech, prepared.take()) {
            Looked::Free => return Ok(Judgment::free(0)),
            Looked::Judged(judgment) => return Ok(*judgment),
            Looked::Unprepared(server_id) => {
                let (shared, store) = (ctx.state.automod.shared.clone(), ctx.state.store.clone());
                match ctx.effect(Prepare { shared, store, server_id }).await? {
                    Err(Damaged) => return Err(Refusal::StoreDamaged.into()),
                    // None is on any more.
                    Ok(None) => return Ok(Judgment::free(0)),
                    Ok(Some(rules)) => {
                        ctx.state.automod.learn(&rules, ctx.now_ms());
                        prepared = Some(rules);
                    }
                }
            }
            Looked::Costly(rules, said, latest) => {
                let excerpt = excerpt(&said.content, VIOLATION_EXCERPT_LEN_MAX).into_owned();
                let (is_own, judging) = (said.is_own, Judge { rules: rules.clone(), said: *said });
                let finding = ctx.effect(judging).await?;
                return Ok(judgment(ctx, &rules, finding, latest, excerpt, is_own));
            }
        }
    }
}

/// Judges a text here, if that can be done at once. `prepared`: rules that have just been made ready.
fn look(ctx: &Ctx<'_>, whence: Whence, speech: &Speech<'_>, prepared: Option<Arc<Rules>>) -> Looked {
    let (state, snapshot) = (ctx.state, ctx.snapshot());
    let read = snapshot.read();
    let channel = read.get(CHANNELS, whence.channel_id);
    let Some(server_id) = channel.and_then(|channel| channel.server()) else { return Looked::Free };
    let Some(automod) = verdict::in_force(read, server_id) else { return Looked::Free };
    let version = automod.version.to_native();
    let Some(roles) = judged_roles(ctx, read, server_id, whence) else {
        return Looked::Judged(Box::new(Judgment::free(version)));
    };
    let known = || state.automod.get(server_id, version, ctx.now_ms());
    let prepared = prepared.filter(|rules| rules.server_id == server_id && rules.version >= version);
    let Some(rules) = prepared.or_else(known) else { return Looked::Unprepared(server_id) };
    let said = gather(ctx, read, &rules, (whence, roles), speech);
    let latest = rules.look_back().map(|_| verdict::latest_of(read, whence.author));
    if rules.cost(&said) > COST_ON_CORE_MAX {
        return Looked::Costly(rules, Box::new(said), latest);
    }
    let excerpt = excerpt(&said.content, VIOLATION_EXCERPT_LEN_MAX).into_owned();
    Looked::Judged(Box::new(judgment(ctx, &rules, rules.judge(&said), latest, excerpt, said.is_own)))
}

/// The roles by which somebody is judged; `None`: he is not.
fn judged_roles(ctx: &Ctx<'_>, read: Read<'_>, server_id: ServerId, whence: Whence) -> Option<Vec<RoleId>> {
    let automod = &ctx.state.config.automod;
    if !automod.enabled {
        return None;
    }
    if whence.webhook.is_some() {
        return Some(Vec::new());
    }
    // Who is no member is refused whatever he says.
    let standing = Asking { read, at: ctx.now_ms(), who: whence.author }.server(server_id).ok()?;
    let is_exempt = match standing.is_owner() {
        true => automod.exempt_owners,
        false => automod.exempt_admins && standing.has(ADMINISTRATOR),
    };
    let everyone = RoleId::from(&standing.server.everyone_role_id);
    (!is_exempt).then(|| standing.member.role_ids().chain([everyone]).collect())
}

fn judgment(
    ctx: &Ctx<'_>,
    rules: &Rules,
    finding: Finding,
    latest: Option<MessageId>,
    excerpt: String,
    is_own: bool,
) -> Judgment {
    let config: &Automod = &ctx.state.config.automod;
    let Finding { hits, asks } = finding;
    Judgment {
        kinds: hits.iter().map(|hit| hit.kind).collect(),
        verdict: Verdict {
            version: rules.version,
            latest,
            excerpt: if hits.is_empty() { String::new() } else { excerpt },
            hits: hits
                .into_iter()
                .map(|hit| Hit { rule_id: hit.rule_id, severity: hit.severity, matched: hit.matched })
                .collect(),
            is_own,
            keep_ms: config.violation_days * DAY_MS,
            keep_count: config.violations_max,
        },
        asks,
    }
}

/// The reply of the command, or that the text was refused. Of one that was let go others are asked, who may take longer.
fn settle(ctx: &mut Ctx<'_>, reply: Reply, speech: &Speech<'_>, judgment: Option<Judgment>) -> Result<Reply> {
    if reply == Reply::TextRefused {
        ctx.state.metrics.texts_blocked.increment();
        return Err(blocked(&judgment.map(|judgment| judgment.kinds).unwrap_or_default()));
    }
    if let (Reply::Message(channel_id, message_id), Some(judgment)) = (&reply, judgment) {
        let Judgment { verdict, asks, .. } = judgment;
        for (rule_id, ai) in asks {
            ask(ctx, (*channel_id, *message_id), speech, verdict.clone(), rule_id, ai);
        }
    }
    Ok(reply)
}

/// Has a service judge a message that is stored, and the message taken back if that finds something in it.
fn ask(
    ctx: &Ctx<'_>,
    (channel_id, message_id): (ChannelId, MessageId),
    speech: &Speech<'_>,
    verdict: Verdict,
    rule_id: RuleId,
    ai: Arc<Ai>,
) {
    let texts = [vec![speech.content.to_string()], beside(speech)].concat();
    let metrics = &ctx.state.metrics;
    metrics.texts_asked.increment();
    let Some(call) = ai::call(&ctx.state.config.automod_ai, &ai, &texts.join("\n")) else {
        return metrics.texts_unanswered.increment();
    };
    let content = speech.content.to_string();
    let then = move |state: &State, answer: Result<effect::Answer>| {
        let answer = answer.map_err(|error| error.message.into_owned());
        let answered = answer.and_then(|answer| {
            let answered = *answer.downcast::<<Call as Effect>::Answer>().expect("what a call answers with");
            ai::found(&ai, &mut answered.map_err(|failure| failure.to_string())?)
        });
        let matched = answered.unwrap_or_else(|why| {
            tracing::debug!(why, "a service for ai_moderation has judged nothing");
            state.metrics.texts_unanswered.increment();
            None
        })?;
        let hit = Hit { rule_id, severity: ai.severity, matched };
        let excerpt = excerpt(&content, VIOLATION_EXCERPT_LEN_MAX).into_owned();
        let verdict = Verdict { hits: vec![hit], excerpt, ..verdict };
        let op = MessageCondemn { channel_id, message_id, content, verdict };
        Some(Command::new(UserId(0), op.into()))
    };
    ctx.state.leave(Afterwork { job: Job::new(ctx.source(), call), then: Box::new(then) });
}

/// 400 `MESSAGE_BLOCKED` with the types of the rules.
fn blocked(kinds: &[u8]) -> Error {
    let mut list = Vec::from(b"[");
    for (index, kind) in kinds.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        write_str(&mut list, automod_rule::text(*kind));
    }
    list.push(b']');
    let list = String::from_utf8(list).expect("words are ASCII");
    Error {
        code: Some("MESSAGE_BLOCKED"),
        extra: vec![("violations", crate::domain::error::Extra::Raw(list))],
        ..Refusal::TextRefused.into()
    }
}

// ------------------------------------------------------------------------------------------- gathering

fn gather(
    ctx: &Ctx<'_>,
    read: Read<'_>,
    rules: &Rules,
    (whence, roles): (Whence, Vec<RoleId>),
    speech: &Speech<'_>,
) -> Said {
    let beside = beside(speech);
    let own_invites = match rules.wants_invites() {
        true => own_invites(
            read,
            rules.server_id,
            [speech.content].into_iter().chain(beside.iter().map(String::as_str)),
        ),
        false => Vec::new(),
    };
    let recent = rules
        .look_back()
        .map(|window_ms| recent(read, rules.server_id, whence, (ctx.now().unix_ms, window_ms)));
    Said {
        channel_id: whence.channel_id,
        roles,
        is_own: whence.webhook.is_none(),
        content: speech.content.to_string(),
        beside,
        mentions: mentioned(speech.content),
        recent: recent.unwrap_or_default(),
        own_invites,
    }
}

/// All that is said beside the content.
fn beside(speech: &Speech<'_>) -> Vec<String> {
    let mut texts = speech.beside.iter().map(|text| (*text).to_string()).collect();
    texts_of(speech.embeds, &mut texts);
    texts
}

/// All texts in a JSON value.
fn texts_of(json: &str, out: &mut Vec<String>) {
    fn collect(value: &Value<'_>, out: &mut Vec<String>) {
        match value {
            Value::Str(text) if !text.is_empty() => out.push((*text).to_string()),
            Value::Array(items) => items.iter().for_each(|item| collect(item, out)),
            Value::Object(members) => members.iter().for_each(|(_, value)| collect(value, out)),
            _ => {}
        }
    }
    if !json.is_empty() {
        let mut bytes = json.as_bytes().to_vec();
        collect(&parse(&mut bytes).expect("embeds are stored as JSON of our own writing"), out);
    }
}

fn mentioned(text: &str) -> Mentioned {
    let unique = mention::find(text);
    let count = |is: fn(&Mention) -> bool| mention::each(text).filter(is).count() as u64;
    Mentioned {
        users: count(|mention| matches!(mention, Mention::User(_))),
        roles: count(|mention| matches!(mention, Mention::Role(_))),
        unique_users: unique.users.len() as u64,
        unique_roles: unique.roles.len() as u64,
        everyone: unique.everyone || unique.here,
    }
}

fn own_invites<'t>(read: Read<'_>, server_id: ServerId, texts: impl Iterator<Item = &'t str>) -> Vec<String> {
    let is_own = |code: &String| {
        let invite = read.get(INVITES, code.as_str());
        invite.is_some_and(|invite| ServerId::from(&invite.server_id) == server_id)
    };
    texts.flat_map(links::invites).filter(is_own).collect()
}

/// What somebody, or a webhook, has written in a server, the newest first, without what is being changed.
fn recent(
    read: Read<'_>,
    server_id: ServerId,
    whence: Whence,
    (unix_ms, window_ms): (u64, u64),
) -> Vec<Recent> {
    let newest = read.scan_rev(AUTHOR_MESSAGES, whence.author).take(RECENT_COUNT_MAX);
    let newest = newest.map(|((_, message_id), channel)| (message_id, ChannelId::from(&channel.id)));
    // Ids go with the clock, or are ahead of it after it was set back.
    let since = unix_ms.saturating_sub(window_ms);
    let within = newest.take_while(|(message_id, _)| message_id.created_ms() >= since);
    let here = within.filter(|(message_id, channel_id)| {
        let server = read.get(CHANNELS, *channel_id).and_then(|channel| channel.server());
        server == Some(server_id) && whence.edits != Some(*message_id)
    });
    let messages = here.filter_map(|(message_id, channel_id)| read.get(MESSAGES, (channel_id, message_id)));
    let said_so = |message: &&ArchivedMessage| {
        let webhook = message.webhook.as_ref().map(|webhook| WebhookId::from(&webhook.webhook_id));
        webhook == whence.webhook
    };
    let messages = messages.filter(said_so).filter_map(|message| {
        let age_ms = unix_ms.checked_sub(message.created_at.to_native())?;
        Some(Recent { age_ms, content: cut(&message.content, COMPARED_LEN_MAX).to_string() })
    });
    messages.collect()
}
