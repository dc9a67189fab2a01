//! What messages are searched for, as it is typed: words, `"exact phrases"`, `from:name`, `in:channel`,
//! `mentions:name`, `has:link`, `before:` and `after:` a day, `pinned:true`, and `-` in front of what must not be.
//!
//! Owns: the language, and nothing of what it means for a message. A word before a colon that is none of these is a word
//! like others (`https://example.org`), and so is one of them with nothing behind it.

use super::dates;
use crate::domain::{Error, Result};
use crate::limits::{SEARCH_CONDITION_COUNT_MAX, SEARCH_LEN_MAX};
use crate::search::terms::Has;
use crate::text::words::{Kind, Part, parts};

/// Something that must be so of a message, or must not.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    pub negated: bool,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// These parts stand in it one after the other: a word, a run of signs, a phrase.
    Says(Vec<Part>),
    From(String),
    In(String),
    Mentions(String),
    Has(Has),
    Pinned,
    /// It came at that moment or later, Unix milliseconds.
    Since(u64),
}

/// Reads a query; empty when it asks for nothing.
///
/// # Errors
/// 400 when it is too long, asks for too much, or has a filter with something behind it that it does not take.
pub fn parse(name: &str, text: &str, now_ms: u64) -> Result<Vec<Condition>> {
    let count = text.chars().take(SEARCH_LEN_MAX + 1).count();
    if count > SEARCH_LEN_MAX {
        return Err(Error::invalid(name, format_args!("must be at most {SEARCH_LEN_MAX} characters")));
    }
    let mut conditions = Vec::new();
    let mut rest = text;
    while let Some(chunk) = next_chunk(&mut rest) {
        read(name, &chunk, now_ms, &mut conditions)?;
        if conditions.len() > SEARCH_CONDITION_COUNT_MAX {
            let message = format_args!("must have at most {SEARCH_CONDITION_COUNT_MAX} words and filters");
            return Err(Error::invalid(name, message));
        }
    }
    Ok(conditions)
}

/// What stands between blanks, or in quotes.
#[derive(Debug, PartialEq)]
struct Chunk<'t> {
    negated: bool,
    /// What stands before a colon, in front of quotes too.
    key: Option<&'t str>,
    text: &'t str,
    quoted: bool,
}

/// Quotes as keyboards have them.
const QUOTES: [char; 3] = ['"', '\u{201c}', '\u{201d}'];

fn next_chunk<'t>(rest: &mut &'t str) -> Option<Chunk<'t>> {
    let mut text = rest.trim_start();
    if text.is_empty() {
        return None;
    }
    let positive = text.strip_prefix('-');
    let negated = positive.is_some();
    text = positive.unwrap_or(text);
    let end = text.find(|c: char| c.is_whitespace() || QUOTES.contains(&c)).unwrap_or(text.len());
    let (before, behind) = text.split_at(end);
    let (key, value) = match before.split_once(':') {
        Some((key, value)) if is_key(key) => (Some(key), value),
        _ => (None, before),
    };
    if let Some(inside) = value.is_empty().then(|| behind.strip_prefix(QUOTES)).flatten() {
        let end = inside.find(QUOTES).unwrap_or(inside.len());
        let (text, behind) = inside.split_at(end);
        *rest = behind.strip_prefix(QUOTES).unwrap_or(behind);
        return Some(Chunk { negated, key, text, quoted: true });
    }
    *rest = behind;
    match value {
        // A filter with nothing behind it.
        "" => Some(Chunk { negated, key: None, text: before, quoted: false }),
        text => Some(Chunk { negated, key, text, quoted: false }),
    }
}

const KEYS: [&str; 7] = ["from", "in", "mentions", "has", "before", "after", "pinned"];

fn is_key(text: &str) -> bool {
    KEYS.iter().any(|key| key.eq_ignore_ascii_case(text))
}

fn read(name: &str, chunk: &Chunk<'_>, now_ms: u64, out: &mut Vec<Condition>) -> Result<()> {
    let Chunk { negated, text, quoted, .. } = *chunk;
    let mut add = |negated: bool, what: What| out.push(Condition { negated, what });
    let Some(key) = chunk.key else {
        says(chunk, |parts| add(negated, What::Says(parts)));
        return Ok(());
    };
    let wrong = |takes: &str| Error::invalid(name, format_args!("{key}: takes {takes}, not {text}"));
    let bare = |mark: char| text.strip_prefix(mark).filter(|_| !quoted).unwrap_or(text).trim().to_owned();
    match key.to_ascii_lowercase().as_str() {
        "from" => add(negated, What::From(bare('@'))),
        "in" => add(negated, What::In(bare('#'))),
        "mentions" => add(negated, What::Mentions(bare('@'))),
        "has" => {
            let has = match text.to_ascii_lowercase().as_str() {
                "link" => Has::Link,
                "embed" => Has::Embed,
                "file" | "attachment" => Has::Attachment,
                "image" => Has::Image,
                "video" => Has::Video,
                "audio" => Has::Audio,
                _ => return Err(wrong("link, image, file, embed, video, audio or attachment")),
            };
            add(negated, What::Has(has));
        }
        "pinned" => match text.to_ascii_lowercase().as_str() {
            "true" => add(negated, What::Pinned),
            "false" => add(!negated, What::Pinned),
            _ => return Err(wrong("true or false")),
        },
        key => {
            let takes = "a day (2024-12-31) or a span before now (3d, 2w, 1m, 1y)";
            let moment = dates::parse(text.trim(), now_ms).ok_or_else(|| wrong(takes))?;
            add(negated != (key == "before"), What::Since(moment));
        }
    }
    Ok(())
}

/// What a text asks for: in quotes all of it in a row, else each word and each run of signs by itself. Symbols ask for
/// nothing alone, nor around a word. A negated text of several words is negated as a whole.
fn says(chunk: &Chunk<'_>, mut add: impl FnMut(Vec<Part>)) {
    let mut parts = parts(chunk.text);
    if !chunk.quoted {
        let end = parts.iter().rposition(|part| part.kind != Kind::Symbol).map_or(0, |at| at + 1);
        parts.truncate(end);
        let begin = parts.iter().position(|part| part.kind != Kind::Symbol).unwrap_or(0);
        parts.drain(..begin);
    }
    let says_something = |parts: &[Part]| parts.iter().any(|part| part.kind != Kind::Symbol);
    if !says_something(&parts) {
        return;
    }
    if chunk.quoted || chunk.negated {
        return add(parts);
    }
    let goes_on = |_: &Part, next: &Part| next.kind == Kind::Sign { glued: true };
    parts.chunk_by(goes_on).filter(|parts| says_something(parts)).for_each(|parts| add(parts.to_vec()));
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_767_225_600_000;

    fn spelled(condition: &Condition) -> String {
        let sign = if condition.negated { "-" } else { "" };
        let what = match &condition.what {
            What::Says(parts) => parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join("+"),
            What::Since(at) => format!("since {}", at / 1_000),
            what => format!("{what:?}").replace('"', ""),
        };
        format!("{sign}{what}")
    }

    fn read(text: &str) -> String {
        match parse("query", text, NOW_MS) {
            Ok(conditions) => conditions.iter().map(spelled).collect::<Vec<_>>().join(" "),
            Err(error) => error.message.into_owned(),
        }
    }

    #[test]
    fn queries_are_read() {
        let check = |text: &str, want: &str| assert_eq!(read(text), want, "{text}");
        check("", "");
        check("  \t ", "");
        check("Report READY", "report ready");
        check("\"Report is\" x", "report+is x");
        check("\"report is", "report+is");
        check("\u{201c}report is\u{201d} x", "report+is x");
        check("a\"b c\"d", "a b+c d");
        check("-fine report", "-fine report");
        check("-\"is fine\"", "-is+fine");
        check("--x - -c++", "-x -c");
        check("e-mail foo_bar don't", "e mail foo bar don t");
        check("-e-mail", "-e+-+mail");
        check("from:Ada FROM:@ada from:\"Ada L\"", "From(Ada) From(ada) From(Ada L)");
        check("in:general -in:#off", "In(general) -In(off)");
        check("mentions:ada", "Mentions(ada)");
        check(
            "has:link -has:Image has:file has:attachment",
            "Has(Link) -Has(Image) Has(Attachment) Has(Attachment)",
        );
        check("pinned:true pinned:FALSE -pinned:true -pinned:false", "Pinned -Pinned -Pinned Pinned");
        check("before:2024-01-01 after:1d", "-since 1704067200 since 1767139200");
        check("-before:2024-01-01 -after:2024-01-01", "since 1704067200 -since 1704067200");
        check("https://example.org/page note:this", "https example org page note this");
        check("from: has:", "from has");
        check("東京都 x東京", "東+京+都 x 東+京");
        check("\"東京 x\"", "東+京+x");
        check("😀 !!! \"++\" c++", "c");
        check("\"c++\"", "c++++");
    }

    #[test]
    fn what_a_filter_does_not_take_is_told() {
        let check =
            |text: &str, want: &str| assert_eq!(read(text), format!("Invalid query: {want}"), "{text}");
        check("has:cats", "has: takes link, image, file, embed, video, audio or attachment, not cats");
        check("pinned:maybe", "pinned: takes true or false, not maybe");
        check(
            "before:soon",
            "before: takes a day (2024-12-31) or a span before now (3d, 2w, 1m, 1y), not soon",
        );
        check(&"x".repeat(SEARCH_LEN_MAX + 1), "must be at most 512 characters");
        check(&"x ".repeat(33), "must have at most 32 words and filters");
        assert_eq!(read(&"x ".repeat(32)).len(), 63);
        assert_eq!(read(&"ü".repeat(SEARCH_LEN_MAX)).chars().count(), SEARCH_LEN_MAX);
    }
}
