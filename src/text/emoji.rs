//! Emoji: one spelling for all variants of one.

use std::borrow::Cow;
use std::ops::Range;

use icu_properties::CodePointSetData;
use icu_properties::props::{Emoji, EmojiModifier, EmojiPresentation, RegionalIndicator};
use memchr::memchr_iter;

use crate::limits::{EMOJI_ELEMENT_COUNT_MAX, EMOJI_LEN_MAX, EMOJI_NAME_LEN_MAX};

/// Elements of a joined sequence that is in no table: vendors have some of their own. The longest in Unicode has four.
const ELEMENTS_MAX: usize = EMOJI_ELEMENT_COUNT_MAX;
/// Tags of a flag of a region: `gbeng` and the end.
const TAGS_MAX: usize = 8;
/// Bytes of a text that is looked at. The longest emoji of the table has under 50.
const LEN_MAX: usize = EMOJI_LEN_MAX;
/// Bytes of an emoji of a server between its brackets: `a:`, name, `:`, and an id of 20 digits.
const CUSTOM_LEN_MAX: usize = EMOJI_NAME_LEN_MAX + 24;

const TEXT_STYLE: char = '\u{fe0e}';
const EMOJI_STYLE: char = '\u{fe0f}';
const JOINER: char = '\u{200d}';
const KEYCAP: char = '\u{20e3}';

/// The one spelling of an emoji: fully qualified Unicode. Takes what a keyboard can send, with or without variation
/// selectors, also the parts of emoji that stand alone (🇦, 🏽) and sequences that only some vendors draw (UTS #51
/// ED-17); and names of the table in any case, as `thumbsup` and as `:thumbsup:`. `None` for anything else.
pub fn normalise(text: &str) -> Option<Cow<'static, str>> {
    if text.is_empty() || text.len() > LEN_MAX {
        return None;
    }
    if let Some(emoji) = emojis::get(text) {
        return Some(Cow::Borrowed(emoji.as_str()));
    }
    if text.is_ascii() {
        return named(text).map(Cow::Borrowed);
    }
    let bare: String = text.chars().filter(|&c| c != TEXT_STYLE && c != EMOJI_STYLE).collect();
    match emojis::get(&bare) {
        Some(emoji) => Some(Cow::Borrowed(emoji.as_str())),
        None => qualified(&bare).map(Cow::Owned),
    }
}

/// An emoji of a server, as it stands in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    /// Where it stands, brackets and all.
    pub place: Range<usize>,
    /// Where its name does.
    pub name: Range<usize>,
    pub id: u64,
}

/// The id of an emoji of a server, as a client names it: `<:name:id>`, `<a:name:id>`, `name:id`, or the id alone.
pub fn custom(text: &str) -> Option<u64> {
    if text.starts_with('<') {
        return customs(text).next().filter(|found| found.place == (0..text.len())).map(|found| found.id);
    }
    match text.split_once(':') {
        Some((name, id)) if is_custom_name(name) => id_of(id),
        Some(_) => None,
        None => id_of(text),
    }
}

/// The emojis of servers in a text: `<:name:id>` and `<a:name:id>`, in order. It costs a look for `<` where there are
/// none.
pub fn customs(text: &str) -> impl Iterator<Item = Custom> {
    memchr_iter(b'<', text.as_bytes()).filter_map(|at| {
        let inner = &text[at + 1..];
        let marks = if inner.starts_with("a:") { 2 } else { usize::from(inner.starts_with(':')) };
        let end = inner.bytes().take(CUSTOM_LEN_MAX).position(|byte| byte == b'>').filter(|_| marks > 0)?;
        let (name, id) = inner[marks..end].split_once(':')?;
        let begin = at + 1 + marks;
        let id = id_of(id).filter(|_| is_custom_name(name))?;
        Some(Custom { place: at..at + end + 2, name: begin..begin + name.len(), id })
    })
}

fn is_custom_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= EMOJI_NAME_LEN_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn id_of(text: &str) -> Option<u64> {
    let is_id = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_id)
}

/// The emoji of a short name.
fn named(text: &str) -> Option<&'static str> {
    let code = text.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).unwrap_or(text);
    emojis::get_by_shortcode(&code.to_ascii_lowercase()).map(|emoji| emoji.as_str())
}

/// An emoji that no table has, from its spelling without variation selectors.
fn qualified(bare: &str) -> Option<String> {
    let modifies = CodePointSetData::new::<EmojiModifier>();
    let regional = CodePointSetData::new::<RegionalIndicator>();
    let mut chars = bare.chars().peekable();
    let mut out = String::with_capacity(bare.len() + 12);
    for _ in 0..ELEMENTS_MAX {
        let base = chars.next()?;
        out.push(base);
        if !CodePointSetData::new::<Emoji>().contains(base) {
            return None;
        }
        if regional.contains(base) {
            out.extend(chars.next_if(|&c| regional.contains(c)));
        } else if base.is_ascii() {
            // Digits, # and * have the property for the sake of their keycaps.
            out.extend([EMOJI_STYLE, chars.next_if_eq(&KEYCAP)?]);
        } else if let Some(modifier) = chars.next_if(|&c| modifies.contains(c)) {
            out.push(modifier);
        } else if !CodePointSetData::new::<EmojiPresentation>().contains(base) {
            out.push(EMOJI_STYLE);
        }
        tags(&mut chars, &mut out)?;
        match chars.next() {
            None => return Some(out),
            Some(JOINER) => out.push(JOINER),
            Some(_) => return None,
        }
    }
    None
}

/// The tags after a flag, up to the one that ends them.
fn tags(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) -> Option<()> {
    let mut count = 0;
    while let Some(tag) = chars.next_if(|c| matches!(c, '\u{e0020}'..='\u{e007f}')) {
        count += 1;
        out.push(tag);
        if tag == '\u{e007f}' {
            return (count > 1).then_some(());
        }
        if count == TAGS_MAX {
            return None;
        }
    }
    (count == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Option<&str>) {
        assert_eq!(normalise(text).as_deref(), want, "{text:?}");
    }

    #[test]
    fn one_spelling_per_emoji() {
        check("👍", Some("👍"));
        check("👍\u{fe0f}", Some("👍"));
        check("👍🏽", Some("👍🏽"));
        check("❤", Some("❤\u{fe0f}"));
        check("❤\u{fe0f}", Some("❤\u{fe0f}"));
        check("❤\u{fe0e}", Some("❤\u{fe0f}"));
        check("☝\u{fe0f}🏽", Some("☝🏽"));
        check("👩\u{200d}👩\u{200d}👧", Some("👩\u{200d}👩\u{200d}👧"));
        check("❤\u{200d}🔥", Some("❤\u{fe0f}\u{200d}🔥"));
        check("🇩🇪", Some("🇩🇪"));
        check("#\u{fe0f}\u{20e3}", Some("#\u{fe0f}\u{20e3}"));
        check("7\u{20e3}", Some("7\u{fe0f}\u{20e3}"));
        check("©", Some("©\u{fe0f}"));
    }

    #[test]
    fn names_of_the_table() {
        for name in [":+1:", ":thumbsup:", "thumbsup", "ThumbsUp", ":THUMBSUP:", "+1"] {
            check(name, Some("👍"));
        }
        check(":Heart:", Some("❤\u{fe0f}"));
        check("100", Some("💯"));
        for emoji in emojis::iter() {
            for name in emoji.shortcodes() {
                check(name, Some(emoji.as_str()));
                check(&format!(":{}:", name.to_ascii_uppercase()), Some(emoji.as_str()));
            }
        }
    }

    #[test]
    fn what_only_a_keyboard_has() {
        for c in '🇦'..='🇿' {
            check(&c.to_string(), Some(&c.to_string()));
        }
        for c in ('🏻'..='🏿').chain('🦰'..='🦳') {
            check(&c.to_string(), Some(&c.to_string()));
        }
        let texas = "🏴\u{e0075}\u{e0073}\u{e0074}\u{e0078}\u{e007f}";
        for vendor in ["🐱\u{200d}👤", "👪🏽", "🇦🇦", texas] {
            check(vendor, Some(vendor));
            check(&format!("{vendor}\u{fe0f}"), Some(vendor));
        }
        check("🐱\u{200d}❤", Some("🐱\u{200d}❤\u{fe0f}"));
    }

    #[test]
    fn what_is_no_emoji() {
        for text in [
            "",
            ":",
            "::",
            "nope",
            "5",
            "#",
            "x\u{20e3}",
            ":no_such_code:",
            "<:n:1>",
            "<a:n:1>",
            "n:1",
            "123",
            "👍👍",
            "👍 ",
            "👍\u{200d}",
            "\u{200d}👍",
            "🇩🇪🇩",
            "ü",
            "한",
            "\u{20e3}",
            "\u{e0067}\u{e007f}",
            "🏴\u{e0067}",
            "🏴\u{e007f}",
            "👍\u{301}",
        ] {
            check(text, None);
        }
        check(&"\u{fe0f}".repeat(5_000), None);
        check(&["👍"; 9].join("\u{200d}"), None);
        check(&format!("🏴{}", "\u{e0067}".repeat(60)), None);
    }

    #[test]
    fn emojis_of_servers() {
        for text in ["<:wave:77>", "<a:wave:77>", "wave:77", "Wave_2:77", "custom:77", "77"] {
            assert_eq!(custom(text), Some(77), "{text}");
        }
        let long = format!("<:{}:77>", "n".repeat(33));
        for text in [
            "",
            ":",
            "<",
            "<:>",
            "<::77>",
            "<:wave:>",
            "<:wave:77",
            "<b:wave:77>",
            "<:wave:77> ",
            " 77",
            "+77",
            "wave:+7",
            ":77",
            "wäve:77",
            "<:wave:77><:wave:77>",
            "99999999999999999999",
            "<@77>",
            &long,
        ] {
            assert_eq!(custom(text), None, "{text}");
        }
        let text = "é <:a:1><a:b:2> <@3> <:c:x> <<:d:4>";
        let found: Vec<_> =
            customs(text).map(|found| (&text[found.place], &text[found.name], found.id)).collect();
        assert_eq!(found, [("<:a:1>", "a", 1), ("<a:b:2>", "b", 2), ("<:d:4>", "d", 4)]);
    }

    #[test]
    fn variation_selectors_do_not_matter() {
        for emoji in emojis::iter() {
            let bare: String =
                emoji.as_str().chars().filter(|&c| c != TEXT_STYLE && c != EMOJI_STYLE).collect();
            check(emoji.as_str(), Some(emoji.as_str()));
            check(&bare, Some(emoji.as_str()));
            // What no table has is spelled as the table would.
            assert_eq!(qualified(&bare).as_deref(), Some(emoji.as_str()), "{bare:?}");
        }
    }

    #[test]
    fn normalising_is_idempotent() {
        let mut random = super::super::testing::random(4, 5);
        for text in super::super::testing::every_code_point().chain((0..30_000).map(|_| random())) {
            if let Some(once) = normalise(&text) {
                check(&once, Some(&once));
            }
        }
    }
}
