//! Rules that count what somebody has written before.

use std::borrow::Cow;

use super::config::Messages;
use crate::text::fold::{Case, fold};

/// Messages of somebody that are looked back at, the newest; and those of them that are compared with the new one.
pub const RECENT_COUNT_MAX: usize = 100;
const COMPARED_COUNT_MAX: usize = 20;
/// Bytes of a text that are compared.
pub const COMPARED_LEN_MAX: usize = 1_000;

/// A message that somebody wrote before in the same server.
#[derive(Clone, Debug, PartialEq)]
pub struct Recent {
    pub age_ms: u64,
    pub content: String,
}

/// What is too much about one more message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spam {
    Messages,
    Alike,
}

/// A text and those before it, made comparable once for all rules that compare them.
pub struct Compared {
    text: String,
    pairs: Pairs,
    /// The newest first.
    recent: Vec<(String, Pairs)>,
}

impl Compared {
    pub fn of(text: &str, recent: &[Recent]) -> Compared {
        let with_pairs = |text: &str| {
            let text = comparable(text);
            let pairs = Pairs::of(&text);
            (text, pairs)
        };
        let (text, pairs) = with_pairs(text);
        let recent = recent.iter().take(COMPARED_COUNT_MAX).map(|recent| with_pairs(&recent.content));
        Compared { text, pairs, recent: recent.collect() }
    }
}

/// Whether one more message is too many, after those, the newest first.
pub fn is_spam<'c>(
    recent: &[Recent],
    rule: &Messages,
    compared: impl FnOnce() -> &'c Compared,
) -> Option<Spam> {
    let within = recent.iter().take_while(|recent| recent.age_ms < rule.window_ms).count();
    if within as u64 + 1 > rule.count_max {
        return Some(Spam::Messages);
    }
    // As many as are compared at most.
    let alike_max = within.min(COMPARED_COUNT_MAX) as u64 + 1;
    if alike_max < rule.alike_min {
        return None;
    }
    let Compared { text, pairs, recent } = compared();
    // Texts without words, such as pictures, are no repetition.
    if text.is_empty() {
        return None;
    }
    let is_alike = |(other, others): &&(String, Pairs)| {
        other == text || pairs.similarity(others, rule.similarity) >= rule.similarity
    };
    let alike = recent.iter().take(within).filter(is_alike).count() as u64;
    (alike + 1 >= rule.alike_min).then_some(Spam::Alike)
}

/// The beginning of a text as it reads, without what is between words.
fn comparable(text: &str) -> String {
    let text = cut(text, COMPARED_LEN_MAX);
    fold(text, Case::Folded).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// At most so many bytes of a text.
pub fn cut(text: &str, len_max: usize) -> &str {
    &text[..text.floor_char_boundary(len_max)]
}

/// The pairs of characters that stand next to one another in a text, sorted.
struct Pairs(Vec<u64>);

impl Pairs {
    fn of(text: &str) -> Pairs {
        let seconds = text.chars().skip(1);
        let pair = |(a, b): (char, char)| u64::from(a as u32) << 32 | u64::from(b as u32);
        let mut pairs: Vec<u64> = text.chars().zip(seconds).map(pair).collect();
        pairs.sort_unstable();
        Pairs(pairs)
    }

    /// The share of pairs that two texts have in common (Dice). Below `min` only that it is below.
    fn similarity(&self, other: &Pairs, min: f64) -> f64 {
        let (a, b) = (&self.0, &other.0);
        let share = |common: usize| 2.0 * common as f64 / (a.len() + b.len()).max(1) as f64;
        let at_best = share(a.len().min(b.len()));
        if at_best < min {
            return at_best;
        }
        let (mut at, mut common) = (0, 0);
        for pair in a {
            while at < b.len() && b[at] < *pair {
                at += 1;
            }
            if at < b.len() && b[at] == *pair {
                (at, common) = (at + 1, common + 1);
            }
        }
        share(common)
    }
}

/// What is shown of a text, by characters.
pub fn excerpt(text: &str, chars_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(chars_max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(texts: &[&str]) -> Vec<Recent> {
        let ages = (0..).map(|index| index * 1_000);
        texts.iter().zip(ages).map(|(text, age_ms)| Recent { age_ms, content: (*text).into() }).collect()
    }

    fn rule(count_max: u64, alike_min: u64) -> Messages {
        Messages { count_max, window_ms: 5_000, alike_min, similarity: 0.9, severity: 1 }
    }

    #[test]
    fn one_more_than_may_be() {
        let texts = ["one", "two", "three", "four", "five", "six", "seven"];
        let is_spam = |recent: &[Recent], rule: &Messages| {
            let compared = Compared::of("other", recent);
            super::is_spam(recent, rule, || &compared)
        };
        let check = |count: usize, want: Option<Spam>| {
            assert_eq!(is_spam(&recent(&texts[..count]), &rule(5, 3)), want, "{count}");
        };
        check(4, None);
        check(5, Some(Spam::Messages));
        // The sixth before it is six seconds old.
        check(7, Some(Spam::Messages));
        assert_eq!(is_spam(&recent(&texts), &rule(6, 3)), None);
    }

    #[test]
    fn the_same_again_and_again() {
        let check = |before: &[&str], text: &str, want: Option<Spam>| {
            let recent = recent(before);
            let compared = Compared::of(text, &recent);
            assert_eq!(is_spam(&recent, &rule(50, 3), || &compared), want, "{before:?} {text}");
        };
        check(&["same text"], "same text", None);
        check(&["same text", "same text"], "same text", Some(Spam::Alike));
        check(&["SAME  text", "sаme text"], "same text", Some(Spam::Alike));
        let long = "a rather long advertisement for something nobody wants";
        check(&[&format!("{long} 1"), &format!("{long} 2")], &format!("{long} 3"), Some(Spam::Alike));
        check(&["good morning", "good evening"], "good night", None);
        check(&["", ""], "", None);
        check(&["x", "y"], "x", None);
        check(&["x", "x"], "x", Some(Spam::Alike));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "ä");
        assert_eq!(excerpt("äöü", 2), "äö…");
        assert_eq!(excerpt("äöü", 3), "äöü");
    }
}
