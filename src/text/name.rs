//! Names of text and announcement channels.

use icu_properties::CodePointMapData;
use icu_properties::props::JoiningType;

use super::{is_mark, line, nfc};

/// The name of a text-like channel: lower case, runs of blanks and hyphens as one hyphen, other symbols but `_` go.
///
/// Letters and digits keep their marks: a mark stays when what it stands on has stayed. A joiner (U+200C, U+200D)
/// stays where it shapes a letter ([`joins`]), word punctuation between letters. Empty when nothing is left.
pub fn slug(text: &str) -> String {
    let text = line(text);
    if text.is_ascii() {
        return ascii_slug(&text);
    }
    // Lower case first: `J̌` has no letter of its own, `ǰ` has one, and the rules below ask for marks.
    let lower = nfc(&text).to_lowercase();
    let chars: Vec<char> = nfc(&lower).chars().collect();
    let mut slug = String::with_capacity(lower.len());
    // Whether a mark that comes now stands on something that is in the slug.
    let mut carries = false;
    for (index, &c) in chars.iter().enumerate() {
        let next = chars.get(index + 1).copied().filter(|&next| is_word(next) || is_mark(next));
        let last = slug.chars().next_back().filter(|_| carries);
        let blank = c.is_whitespace() || c == '-' || matches!(c, '\u{3164}' | '\u{ffa0}' | '\u{2800}');
        if blank {
            if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
            carries = false;
            continue;
        }
        carries = if is_mark(c) {
            carries
        } else if matches!(c, '\u{200c}' | '\u{200d}') {
            joins(last, c, next)
        } else if is_word_punctuation(c) {
            last.is_some_and(|last| !is_word_punctuation(last)) && next.is_some_and(char::is_alphanumeric)
        } else {
            is_word(c)
        };
        if carries {
            slug.push(c);
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    // Jamo may have come together.
    let slug = nfc(&slug).into_owned();
    if super::is_blank(&slug) { String::new() } else { slug }
}

fn ascii_slug(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for c in text.chars() {
        if c == ' ' || c == '-' {
            if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        } else if c.is_ascii_alphanumeric() || c == '_' {
            slug.push(c.to_ascii_lowercase());
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// A letter, a digit or `_`. Letters that are drawn as nothing (Hangul fillers) are none.
fn is_word(c: char) -> bool {
    (c.is_alphanumeric() && !super::is_invisible(c)) || c == '_'
}

/// Punctuation that is a part of words: Catalan `l·l`, Hebrew geresh and gershayim, Tibetan tsheg between syllables,
/// the Katakana middle dot between words.
fn is_word_punctuation(c: char) -> bool {
    matches!(c, '\u{b7}' | '\u{5f3}' | '\u{5f4}' | '\u{f0b}' | '\u{30fb}')
}

/// Whether a joiner is needed between two characters: beside a mark (half forms, chillus, reph of Indic scripts) or
/// after a letter of a script whose letters join (Arabic, Syriac, Mongolian, …). A non-joiner needs something after it.
pub(super) fn joins(last: Option<char>, joiner: char, next: Option<char>) -> bool {
    let Some(last) = last.filter(|last| !matches!(last, '\u{200c}' | '\u{200d}')) else { return false };
    let shapes = is_mark(last) || next.is_some_and(is_mark) || {
        let joining = CodePointMapData::<JoiningType>::new().get(last);
        !matches!(joining, JoiningType::NonJoining | JoiningType::Transparent)
    };
    shapes && (joiner == '\u{200d}' || joiner == '\u{200c}' && next.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{every_code_point, random};
    use super::*;

    fn check(text: &str, want: &str) {
        assert_eq!(slug(text), want, "{text:?}");
    }

    #[test]
    fn symbols_go_and_blanks_are_hyphens() {
        check("With Spaces & CAPS", "with-spaces-caps");
        check("  -a--b_c! ", "a-b_c");
        check("ÄRGER Straße 日本", "ärger-straße-日本");
        check("snake_case", "snake_case");
        check("!!!", "");
        check("a\nb\0c\u{202e}d", "a-bcd");
        check("🎉 party ❤\u{fe0f}", "party");
        check("a❤\u{fe0f}b", "ab");
        check("\u{3164}general\u{3164}chat\u{3164}", "general-chat");
        check("ad\u{200b}m\u{ad}in", "admin");
        check("\u{3164}", "");
        check("\u{301}", "");
    }

    #[test]
    fn scripts_keep_what_they_need() {
        for name in [
            "हिन्दी",
            "ที่นี่",
            "größe",
            "தமிழ்",
            "বাংলা",
            "र\u{94d}\u{200d}य",
            "র\u{200d}\u{9cd}য",
            "ශ\u{dca}\u{200d}රී",
            "ക\u{d4d}\u{200d}",
            "می\u{200c}خواهم",
            "ه\u{200d}",
            "עִבְרִית",
            "עַרְבִית",
            "العَرَبِيَّة",
            "ខ្មែរ",
            "བོད་ཡིག",
            "မြန်မာ",
            "한국어",
            "日本語",
            "葛\u{e0100}城",
            "スター・ウォーズ",
            "col·lecció",
            "x\u{302}\u{323}",
            "ᠮᠣᠩᠭᠣᠯ",
            "ទី\u{17b4}",
        ] {
            let name = nfc(name).into_owned();
            check(&name, &name);
        }
        check("GRO\u{308}SSE", "grösse");
        check("ΟΔΟΣ", "οδο\u{3c2}");
        check("İ", "i\u{307}");
        check("ge\u{200d}neral\u{200c}", "general");
        check("می\u{200c} ما", "می-ما");
        check("a··b·", "ab");
    }

    #[test]
    fn a_mark_stays_on_its_letter() {
        for c in ('\0'..=char::MAX).filter(|&c| is_mark(c)) {
            let name = nfc(&format!("\u{915}{c}")).into_owned();
            check(&name, &name);
        }
    }

    #[test]
    fn slugs_are_idempotent() {
        let check = |text: &str| {
            let once = slug(text);
            assert_eq!(slug(&once), once, "{text:?} {once:?}");
            assert_eq!(line(&once), once, "{text:?} {once:?}");
        };
        every_code_point().for_each(|text| check(&text));
        let mut random = random(2, 10);
        (0..60_000).for_each(|_| check(&random()));
    }
}
