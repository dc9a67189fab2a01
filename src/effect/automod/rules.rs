//! The rules of a server, ready to judge texts.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use regex::Regex;

use super::config::{self, Ai, LooksFor};
use super::counts::{Letters, Rows, Signs};
use super::keywords::{Found, Keywords, Word};
use super::patterns;
use super::spam::{self, Compared, Recent, Spam, excerpt};
use crate::id::{ChannelId, RoleId, RuleId, ServerId};
use crate::limits::VIOLATION_MATCH_LEN_MAX;
use crate::store::Read;
use crate::store::records::ArchivedAutomodRule;
use crate::store::tables::{AUTOMOD_RULES, AUTOMODS};
use crate::text::fold::{self, Case};
use crate::text::links::{self, Link};
use crate::wire::json::parse;

/// A text, and what its judgement depends on beside it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub channel_id: ChannelId,
    /// Those of the author, @everyone among them.
    pub roles: Vec<RoleId>,
    /// Whether a member says it himself: no role speaks for a webhook.
    pub is_own: bool,
    pub content: String,
    /// What is said beside it, such as in embeds.
    pub beside: Vec<String>,
    pub mentions: Mentioned,
    /// What the author wrote before in the server, the newest first: as far back as [`Rules::look_back`] asks for.
    pub recent: Vec<Recent>,
    /// Codes of invites to the server, of those that the text has.
    pub own_invites: Vec<String>,
}

/// How many a text mentions, and how many of them once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mentioned {
    pub users: u64,
    pub roles: u64,
    pub unique_users: u64,
    pub unique_roles: u64,
    /// Or everybody who is there.
    pub everyone: bool,
}

/// What the rules find in a text.
#[derive(Debug, Default)]
pub struct Finding {
    /// In the order of the rules.
    pub hits: Vec<Hit>,
    /// What others are to be asked about it once it is said.
    pub asks: Vec<(RuleId, Arc<Ai>)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub rule_id: RuleId,
    /// An [`automod_rule`](crate::store::records::automod_rule) code.
    pub kind: u8,
    /// A [`crate::store::records::severity`] code.
    pub severity: u8,
    pub matched: String,
}

/// All rules of a server that are on, as they were at a version.
pub struct Rules {
    pub server_id: ServerId,
    pub version: u64,
    /// In the order in which they are looked at.
    entries: Vec<Entry>,
    keywords: Keywords,
    look_back: Option<u64>,
    wants_invites: bool,
    pattern_cost: u64,
    /// Bytes that they take, about.
    pub len: usize,
    /// When they were last used.
    pub used_ms: AtomicU64,
}

struct Entry {
    rule_id: RuleId,
    kind: u8,
    check_all: bool,
    applied_roles: Vec<RoleId>,
    exempt_roles: Vec<RoleId>,
    exempt_channels: Vec<ChannelId>,
    looks_for: Ready,
}

/// What a rule looks for, compiled.
enum Ready {
    /// The words of all rules are found at once.
    Keywords,
    /// Each with its severity.
    Patterns(Vec<(Regex, u8)>),
    Invites(config::Invites, Option<Regex>),
    /// Hosts instead of entries.
    Links(config::Links),
    Ai(Arc<Ai>),
    /// Nothing is to be compiled.
    Plain(LooksFor),
}

/// What there is of a rule when it is compiled.
#[derive(Default)]
struct Parts {
    words: Vec<Word>,
    weight: Weight,
}

/// What patterns weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    pub pattern_len: u64,
    pub pattern_cost: u64,
}

/// What an idle rule takes, about.
const ENTRY_LEN: usize = 512;

impl Rules {
    /// The rules of a server; `None` when none is on.
    pub fn of(read: Read<'_>, server_id: ServerId) -> Option<Rules> {
        let automod = read.get(AUTOMODS, server_id).filter(|automod| automod.active != 0)?;
        let rules = read.scan(AUTOMOD_RULES, server_id).map(|((_, rule_id), rule)| (rule_id, rule));
        let mut rules: Vec<_> = rules.filter(|(_, rule)| rule.enabled).collect();
        rules.sort_by_key(|(rule_id, rule)| (Reverse(rule.priority.to_native()), *rule_id));
        let (mut parts, mut entries, mut len) = (Parts::default(), Vec::new(), 0);
        for (rule_id, rule) in rules {
            match Entry::of(rule_id, rule, entries.len(), &mut parts) {
                Ok(entry) => entries.push(entry),
                // It was looked at when it was made, by whichever version of the server that was.
                Err(problem) => {
                    parts.words.retain(|word| word.rule < entries.len());
                    tracing::error!(
                        server_id = server_id.0,
                        rule_id = rule_id.0,
                        problem,
                        "a rule does not apply"
                    );
                }
            }
            len += ENTRY_LEN + rule.config.len();
        }
        let keywords = Keywords::build(parts.words).unwrap_or_else(|problem| {
            tracing::error!(server_id = server_id.0, problem, "no words are looked for");
            Keywords::default()
        });
        let windows = entries.iter().filter_map(|entry| match &entry.looks_for {
            Ready::Plain(LooksFor::Messages(rule)) => Some(rule.window_ms),
            _ => None,
        });
        Some(Rules {
            server_id,
            version: automod.version.to_native(),
            look_back: windows.max(),
            wants_invites: entries.iter().any(|entry| matches!(entry.looks_for, Ready::Invites(..))),
            pattern_cost: parts.weight.pattern_cost,
            len: len + keywords.len() + parts.weight.pattern_len as usize,
            entries,
            keywords,
            used_ms: AtomicU64::new(0),
        })
    }

    /// For how long back messages of the author count, milliseconds; `None` when they do not.
    pub fn look_back(&self) -> Option<u64> {
        self.look_back
    }

    /// Whether it is of account to which server invites lead.
    pub fn wants_invites(&self) -> bool {
        self.wants_invites
    }

    /// Steps that judging a text takes at most, about: some 20 ns each.
    pub fn cost(&self, said: &Said) -> u64 {
        let texts = [&said.content].into_iter().chain(&said.beside);
        let len: usize = texts.map(|text| if text.is_ascii() { text.len() } else { 2 * text.len() }).sum();
        let compared: usize = said.recent.iter().map(|recent| recent.content.len()).sum();
        len as u64 * (self.pattern_cost + 8) + compared as u64 * 8
    }

    /// Judges a text: the first rule that it hits is the last, unless that says otherwise.
    pub fn judge(&self, said: &Said) -> Finding {
        let texts = Texts::new(&self.keywords, said, self.entries.len());
        let mut finding = Finding::default();
        for (index, entry) in self.entries.iter().enumerate() {
            if !entry.applies(said) {
                continue;
            }
            if let Ready::Ai(ai) = &entry.looks_for {
                finding.asks.push((entry.rule_id, ai.clone()));
                continue;
            }
            let Some((severity, matched)) = entry.looks_for.find(index, said, &texts) else { continue };
            let matched = excerpt(&matched, VIOLATION_MATCH_LEN_MAX).into_owned();
            finding.hits.push(Hit { rule_id: entry.rule_id, kind: entry.kind, severity, matched });
            if !entry.check_all {
                break;
            }
        }
        finding
    }
}

/// What a rule looks for, read and compiled to see what it weighs.
///
/// # Errors
/// What is wrong with it.
pub fn weigh(kind: u8, config: &str) -> Result<Weight, String> {
    let mut parts = Parts::default();
    Ready::of(read_config(kind, config)?, 0, &mut parts)?;
    Keywords::build(parts.words)?;
    Ok(parts.weight)
}

fn read_config(kind: u8, config: &str) -> Result<LooksFor, String> {
    let mut bytes = config.as_bytes().to_vec();
    let config = parse(&mut bytes).map_err(|error| error.to_string())?;
    LooksFor::read(kind, &config)
}

impl Entry {
    fn of(
        rule_id: RuleId,
        rule: &ArchivedAutomodRule,
        index: usize,
        parts: &mut Parts,
    ) -> Result<Entry, String> {
        Ok(Entry {
            rule_id,
            kind: rule.kind,
            check_all: rule.check_all,
            applied_roles: rule.applied_roles.iter().map(RoleId::from).collect(),
            exempt_roles: rule.exempt_roles.iter().map(RoleId::from).collect(),
            exempt_channels: rule.exempt_channels.iter().map(ChannelId::from).collect(),
            looks_for: Ready::of(read_config(rule.kind, &rule.config)?, index, parts)?,
        })
    }

    fn applies(&self, said: &Said) -> bool {
        let has_one = |roles: &[RoleId]| roles.iter().any(|role| said.roles.contains(role));
        let is_exempt = said.is_own && has_one(&self.exempt_roles);
        let is_meant = !said.is_own || self.applied_roles.is_empty() || has_one(&self.applied_roles);
        is_meant && !is_exempt && !self.exempt_channels.contains(&said.channel_id)
    }
}

impl Ready {
    /// `index`: the place of the rule.
    fn of(looks_for: LooksFor, index: usize, parts: &mut Parts) -> Result<Ready, String> {
        let mut compile = |pattern: &config::Pattern| {
            let compiled = patterns::compile(pattern)?;
            parts.weight.pattern_len += compiled.len;
            parts.weight.pattern_cost += compiled.cost;
            Ok::<_, String>(compiled.regex)
        };
        Ok(match looks_for {
            LooksFor::Keyword(rule) => {
                parts.words.extend(rule.words.into_iter().map(|(text, severity)| Word {
                    rule: index,
                    text,
                    severity,
                    whole_word: rule.whole_word,
                    case_sensitive: rule.case_sensitive,
                }));
                Ready::Keywords
            }
            LooksFor::Regex(patterns) => {
                let compiled = patterns.iter().map(|pattern| Ok((compile(pattern)?, pattern.severity)));
                Ready::Patterns(compiled.collect::<Result<_, String>>()?)
            }
            LooksFor::Invites(rule) => {
                let pattern = rule.pattern.as_ref().map(|pattern| config::Pattern {
                    name: "pattern".into(),
                    pattern: pattern.clone(),
                    case_sensitive: false,
                    multiline: false,
                    severity: rule.severity,
                });
                let regex = pattern.as_ref().map(&mut compile).transpose()?;
                Ready::Invites(rule, regex)
            }
            LooksFor::Links(rule) => {
                let hosts = |entries: &[String]| {
                    let host = |entry: &String| {
                        links::listed(entry).ok_or_else(|| format!("{entry:?} is no name of a host"))
                    };
                    entries.iter().map(host).collect::<Result<Vec<_>, _>>()
                };
                let (whitelist, blacklist) = (hosts(&rule.whitelist)?, hosts(&rule.blacklist)?);
                Ready::Links(config::Links { whitelist, blacklist, ..rule })
            }
            LooksFor::Ai(ai) => Ready::Ai(Arc::new(ai)),
            plain => Ready::Plain(plain),
        })
    }

    /// The severity, and what in the text hits the rule.
    fn find(&self, index: usize, said: &Said, texts: &Texts<'_>) -> Option<(u8, String)> {
        let whole = |is_hit: bool, severity: u8| is_hit.then(|| (severity, said.content.clone()));
        match self {
            Ready::Keywords => texts.found()[index].map(|word| (word.severity, word.text.clone())),
            Ready::Patterns(patterns) => {
                let hits = patterns.iter().filter_map(|(regex, severity)| {
                    let hit = texts.as_they_read().find_map(|text| regex.find(text))?;
                    Some((*severity, hit.as_str().to_string()))
                });
                hits.max_by_key(|(severity, _)| *severity)
            }
            Ready::Invites(rule, regex) => invite(rule, regex.as_ref(), said, texts),
            Ready::Links(rule) => link(rule, texts),
            Ready::Plain(LooksFor::Mentions(rule)) => {
                whole(mentions_many(said.mentions, rule), rule.severity)
            }
            Ready::Plain(LooksFor::Messages(rule)) => {
                let spam = spam::is_spam(&said.recent, rule, || texts.compared())?;
                let count = said.recent.len() + 1;
                Some((
                    rule.severity,
                    match spam {
                        Spam::Messages => format!("{count} messages in {} s", rule.window_ms / 1_000),
                        Spam::Alike => said.content.clone(),
                    },
                ))
            }
            Ready::Plain(LooksFor::Emoji(rule)) => whole(texts.signs().have_many_emoji(rule), rule.severity),
            Ready::Plain(LooksFor::Capitals(rule)) => whole(texts.letters().shout(rule), rule.severity),
            Ready::Plain(LooksFor::Repeats(rule)) => whole(texts.rows().repeat(rule), rule.severity),
            Ready::Plain(_) | Ready::Ai(_) => None,
        }
    }
}

fn mentions_many(mentions: Mentioned, rule: &config::Mentions) -> bool {
    let (users, roles) = match rule.unique {
        true => (mentions.unique_users, mentions.unique_roles),
        false => (mentions.users, mentions.roles),
    };
    users > rule.users_max
        || roles > rule.roles_max
        || users + roles > rule.total_max
        || rule.everyone && mentions.everyone
}

fn invite(
    rule: &config::Invites,
    regex: Option<&Regex>,
    said: &Said,
    texts: &Texts<'_>,
) -> Option<(u8, String)> {
    let is_hit =
        |code: &String| !rule.allowed.contains(code) && (rule.all || !said.own_invites.contains(code));
    let usual = texts.invites().iter().cloned();
    let others = regex.into_iter().flat_map(|regex| {
        let codes = texts.as_they_read().flat_map(move |text| regex.captures_iter(text));
        codes.filter_map(|hit| hit.get(1).or(hit.get(0)).map(|code| code.as_str().to_string()))
    });
    usual.chain(others).find(is_hit).map(|code| (rule.severity, code))
}

fn link(rule: &config::Links, texts: &Texts<'_>) -> Option<(u8, String)> {
    let is_in = |list: &[String], host: &str| list.iter().any(|entry| links::is_within(host, entry));
    let is_hit = |link: &links::Link| match (rule.all, rule.is_whitelist) {
        (true, _) => link.is_address,
        (false, true) => link.is_address && !is_in(&rule.whitelist, &link.host),
        // A name that is listed leads there whether or not it is made a link.
        (false, false) => is_in(&rule.blacklist, &link.host) && !is_in(&rule.whitelist, &link.host),
    };
    texts.links().iter().find(|link| is_hit(link)).map(|link| (rule.severity, link.host.clone()))
}

/// A text in the forms that rules look at, each made when first asked for: how many rules there are of a kind adds next to
/// nothing.
struct Texts<'t> {
    keywords: &'t Keywords,
    said: &'t Said,
    count: usize,
    found: OnceCell<Found<'t>>,
    folded: OnceCell<Vec<String>>,
    letters: OnceCell<Letters>,
    signs: OnceCell<Signs>,
    rows: OnceCell<Rows>,
    compared: OnceCell<Compared>,
    links: OnceCell<Vec<Link>>,
    invites: OnceCell<Vec<String>>,
}

impl<'t> Texts<'t> {
    fn new(keywords: &'t Keywords, said: &'t Said, count: usize) -> Texts<'t> {
        Texts {
            keywords,
            said,
            count,
            found: OnceCell::new(),
            folded: OnceCell::new(),
            letters: OnceCell::new(),
            signs: OnceCell::new(),
            rows: OnceCell::new(),
            compared: OnceCell::new(),
            links: OnceCell::new(),
            invites: OnceCell::new(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        [&self.said.content].into_iter().chain(&self.said.beside).map(String::as_str)
    }

    /// As they are, and where they look otherwise, as they read.
    fn as_they_read(&self) -> impl Iterator<Item = &str> {
        let fold = |text: &str| (!text.is_ascii()).then(|| fold::fold(text, Case::Kept));
        let folded = self.folded.get_or_init(|| self.all().filter_map(fold).collect());
        self.all().chain(folded.iter().map(String::as_str))
    }

    /// The word that was found of each rule.
    fn found(&self) -> &Found<'t> {
        self.found.get_or_init(|| {
            let mut found = vec![None; self.count];
            self.all().for_each(|text| self.keywords.search(text, &mut found));
            found
        })
    }

    fn letters(&self) -> Letters {
        *self.letters.get_or_init(|| Letters::of(&self.said.content))
    }

    fn signs(&self) -> Signs {
        *self.signs.get_or_init(|| Signs::of(&self.said.content))
    }

    fn rows(&self) -> &Rows {
        self.rows.get_or_init(|| Rows::of(&self.said.content))
    }

    fn compared(&self) -> &Compared {
        self.compared.get_or_init(|| Compared::of(&self.said.content, &self.said.recent))
    }

    fn links(&self) -> &[Link] {
        self.links.get_or_init(|| self.all().flat_map(links::find).collect())
    }

    fn invites(&self) -> &[String] {
        self.invites.get_or_init(|| self.all().flat_map(links::invites).collect())
    }
}
