//! Emoji: one spelling for all variants of one.

use std::borrow::Cow;

use icu_properties::CodePointSetData;
use icu_properties::props::{Emoji, EmojiModifier, EmojiPresentation, RegionalIndicator};

use crate::limits::{EMOJI_ELEMENT_COUNT_MAX, EMOJI_LEN_MAX};

/// Elements of a joined sequence that is in no table: vendors have some of their own. The longest in Unicode has four.
const ELEMENTS_MAX: usize = EMOJI_ELEMENT_COUNT_MAX;
/// Tags of a flag of a region: `gbeng` and the end.
const TAGS_MAX: usize = 8;
/// Bytes of a text that is looked at. The longest emoji of the table has under 50.
const LEN_MAX: usize = EMOJI_LEN_MAX;

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
