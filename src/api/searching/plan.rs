//! What a query means for messages: which lists of the index to walk over, and what each message has to be like.

use smallvec::SmallVec;

use super::query::{Condition, What};
use crate::domain::chat::mention::{Mention, each};
use crate::domain::identity::account;
use crate::id::{ChannelId, MessageId, ServerId, UserId, first_id_at};
use crate::limits::SEARCH_LIST_COUNT_MAX;
use crate::search::terms::{Has, Term, content};
use crate::store::Read;
use crate::store::records::{ArchivedChannel, ArchivedMessage};
use crate::text::words::{Kind, Part, fold, has_phrase, tokens};

/// What is searched for, as it was asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub conditions: Vec<Condition>,
    pub channel_id: Option<ChannelId>,
    pub server_id: Option<ServerId>,
    pub author_id: Option<UserId>,
    /// Only older messages: where the page before has ended.
    pub before: Option<MessageId>,
}

/// Something that is so of a message, or not.
enum Check {
    Says(Vec<Part>),
    Author(UserId),
    Mentions(UserId),
    Has(Has),
    Pinned,
}

/// The same of whatever messages there are.
pub struct Plan {
    checks: Vec<(bool, Check)>,
    /// Names of channels, folded.
    channels: Vec<(bool, String)>,
    /// Not newer, not older.
    pub at_most: u64,
    pub at_least: u64,
}

impl Plan {
    /// `None` when nothing can be like that.
    pub fn new(read: Read<'_>, request: &Request) -> Option<Plan> {
        let mut plan = Plan { checks: Vec::new(), channels: Vec::new(), at_most: u64::MAX, at_least: 0 };
        if let Some(before) = request.before {
            plan.at_most = before.0.checked_sub(1)?;
        }
        if let Some(author) = request.author_id {
            plan.checks.push((true, Check::Author(author)));
        }
        for Condition { negated, what } in &request.conditions {
            let wanted = !negated;
            let user = |name: &str| account::by_name(read, name);
            let check = match what {
                What::Says(parts) => Check::Says(parts.clone()),
                What::Has(has) => Check::Has(*has),
                What::Pinned => Check::Pinned,
                What::From(name) | What::Mentions(name) => match user(name) {
                    Some(id) if matches!(what, What::From(_)) => Check::Author(id),
                    Some(id) => Check::Mentions(id),
                    // Nobody is called that: nothing is by him, and everything is not.
                    None if wanted => return None,
                    None => continue,
                },
                What::In(name) => {
                    plan.channels.push((wanted, fold(name).into_owned()));
                    continue;
                }
                What::Since(at_ms) => {
                    let first = first_id_at(*at_ms);
                    match wanted {
                        true => plan.at_least = plan.at_least.max(first),
                        false => plan.at_most = plan.at_most.min(first.checked_sub(1)?),
                    }
                    continue;
                }
            };
            plan.checks.push((wanted, check));
        }
        (plan.at_least <= plan.at_most).then_some(plan)
    }

    /// Whether only channels of some name are wanted.
    pub fn names_channels(&self) -> bool {
        self.channels.iter().any(|(wanted, _)| *wanted)
    }

    /// Whether messages of a channel may be shown.
    pub fn takes_channel(&self, channel: &ArchivedChannel) -> bool {
        if self.channels.is_empty() {
            return true;
        }
        let name = fold(&channel.name);
        self.channels.iter().all(|(wanted, of)| (*of == name) == *wanted)
    }

    /// Whether a message is like that.
    pub fn takes(&self, message: &ArchivedMessage) -> bool {
        let content = content(message);
        let folded = fold(&content);
        let mut text: Option<Vec<_>> = None;
        self.checks.iter().all(|(wanted, check)| {
            let holds = match check {
                Check::Says(parts) => {
                    has_phrase(text.get_or_insert_with(|| tokens(&folded).collect()), parts)
                }
                Check::Author(id) => UserId::from(&message.author_id) == *id,
                Check::Mentions(id) => each(&content).any(|mention| mention == Mention::User(*id)),
                Check::Has(has) => has.is_in(message, &content),
                Check::Pinned => message.pin != 0,
            };
            holds == *wanted
        })
    }

    /// The lists in which every message stands that is like that.
    pub fn terms<'p>(&'p self) -> SmallVec<[Term<'p>; SEARCH_LIST_COUNT_MAX]> {
        let mut terms: SmallVec<[Term<'p>; SEARCH_LIST_COUNT_MAX]> = SmallVec::new();
        let mut add = |term: Term<'p>| {
            if terms.len() < SEARCH_LIST_COUNT_MAX && !terms.contains(&term) {
                terms.push(term);
            }
        };
        for (_, check) in self.checks.iter().filter(|(wanted, _)| *wanted) {
            match check {
                Check::Says(parts) => terms_of(parts, &mut add),
                Check::Author(id) => add(Term::Author(*id)),
                Check::Mentions(id) => add(Term::Mention(*id)),
                Check::Has(has) => add(Term::Has(*has)),
                Check::Pinned => add(Term::Pinned),
            }
        }
        if terms.is_empty() {
            terms.push(Term::Any);
        }
        terms
    }
}

fn terms_of<'p>(parts: &'p [Part], add: &mut impl FnMut(Term<'p>)) {
    let glued = |part: Option<&Part>| part.is_some_and(|part| part.kind == Kind::Sign { glued: true });
    for (at, part) in parts.iter().enumerate() {
        match part.kind {
            Kind::Symbol => {}
            Kind::Sign { glued: true } if at > 0 => add(Term::Pair(&parts[at - 1].text, &part.text)),
            // The pair with the next one says more.
            Kind::Sign { .. } if glued(parts.get(at + 1)) => {}
            Kind::Sign { .. } | Kind::Word => add(Term::Word(&part.text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::words::parts;

    #[test]
    fn phrases_are_looked_for_by_words_and_pairs() {
        let check = |phrase: &str, want: &[Term<'_>]| {
            let parts = parts(phrase);
            let mut terms = Vec::new();
            terms_of(&parts, &mut |term| terms.push(term));
            assert_eq!(terms, want, "{phrase}");
        };
        check("a, b", &[Term::Word("a"), Term::Word("b")]);
        check("東", &[Term::Word("東")]);
        check("東京都", &[Term::Pair("東", "京"), Term::Pair("京", "都")]);
        check("東 京x都", &[Term::Word("東"), Term::Word("京"), Term::Word("x"), Term::Word("都")]);
    }
}
