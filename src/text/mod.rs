//! Text as it is kept: what counts as visible, as printable, as the same.
//!
//! Owns: the rules for every text that people type. They depend on the Unicode tables of the build, so handlers
//! apply them before a command; apply compares bytes.
//!
//! | text | rule |
//! |---|---|
//! | blank | no visible character: blanks, controls, default-ignorables and fillers alone ([`is_blank`]) |
//! | unprintable | controls, bidirectional embeddings, overrides and isolates, annotation anchors, noncharacters ([`is_unprintable`]) |
//! | one line: names, nicknames, custom status | unprintables go, line breaks and tabs are one blank, NFC, trimmed ([`line`]) |
//! | text-like channel names | [`name::slug`] of that |
//! | many lines: topics, descriptions, reasons, notes to friends | unprintables go except line feed and tab; blank is empty ([`prose`]) |
//! | content of messages | as typed, but never blank |
//! | passwords | [`password::normalise`]: RFC 8265 OpaqueString |
//! | e-mail addresses | [`email::normalise`]: NFC, the domain by UTS #46 |
//! | emoji | [`emoji::normalise`]: one spelling for all variants |
//! | names of files | [`file_name::clean`]: without folders, one line |
//! | what rules look for words in | [`fold::fold`]: as it reads, whatever it is spelled with |
//!
//! Invariants: every rule is idempotent, so what was stored can be sent back; lengths are counted after it. A text
//! without anything to change is not copied.

pub mod email;
pub mod emoji;
pub mod file_name;
pub mod fold;
pub mod links;
pub mod name;
pub mod password;
pub mod words;

use std::borrow::Cow;

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, GeneralCategoryGroup};
use icu_properties::{CodePointMapData, CodePointSetData};

/// The text in Normalization Form C: `e` and U+0301 become `é`.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() { Cow::Borrowed(text) } else { ComposingNormalizerBorrowed::new_nfc().normalize(text) }
}

/// The text in Normalization Form D, as some keyboards send it.
pub fn nfd(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        Cow::Borrowed(text)
    } else {
        DecomposingNormalizerBorrowed::new_nfd().normalize(text)
    }
}

/// Whether there is nothing to see in a text.
pub fn is_blank(text: &str) -> bool {
    // Most texts begin with a character that can be seen: one step.
    text.chars().all(is_invisible)
}

/// Blanks, controls, what Unicode calls default-ignorable (zero-width characters, variation selectors, tags, Hangul
/// fillers), and two characters that are drawn as nothing although their properties do not say so.
pub fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_graphic();
    }
    let empty_glyph = matches!(c, '\u{2800}' | '\u{1d159}');
    c.is_whitespace()
        || c.is_control()
        || empty_glyph
        || is_unprintable(c)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
}

/// What no text but the content of messages keeps. Line feed and tab count too: [`prose`] excepts them.
pub fn is_unprintable(c: char) -> bool {
    match c {
        // Embeddings, overrides, isolates: they turn the text around that stands beside them. The marks
        // (U+200E, U+200F, U+061C) do not, and right-to-left scripts need them.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Deprecated format characters, anchors of interlinear annotation.
        '\u{206a}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' => true,
        // Noncharacters.
        '\u{fdd0}'..='\u{fdef}' => true,
        _ if c as u32 & 0xfffe == 0xfffe => true,
        // Line and paragraph separator break lines as controls do.
        '\u{2028}' | '\u{2029}' => true,
        _ => c.is_control(),
    }
}

/// Whether a text is an address of the web: `http://` or `https://`, a host, and nothing that stands in no address.
pub fn is_http_address(text: &str) -> bool {
    let rest = |scheme: &str| {
        let (head, rest) = text.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    };
    let Some(rest) = rest("http://").or_else(|| rest("https://")) else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let fits =
        |c: char| !c.is_whitespace() && !is_unprintable(c) && !matches!(c, '<' | '>' | '"' | '\\' | '`');
    host.starts_with(|c: char| c.is_alphanumeric() || c == '[') && rest.chars().all(fits)
}

/// A text of one line: without unprintables, line breaks and tabs as one blank, NFC, trimmed. Blank becomes empty.
pub fn line(text: &str) -> Cow<'_, str> {
    let clean: Cow<'_, str> = if text.chars().any(is_unprintable) {
        let mut clean = String::with_capacity(text.len());
        for c in text.chars() {
            if !is_unprintable(c) {
                clean.push(c);
            } else if c.is_whitespace() && !clean.ends_with(' ') {
                clean.push(' ');
            }
        }
        Cow::Owned(clean)
    } else {
        Cow::Borrowed(text)
    };
    match clean {
        Cow::Borrowed(text) => match nfc(text) {
            Cow::Borrowed(text) => Cow::Borrowed(trim(text)),
            Cow::Owned(text) => Cow::Owned(trim(&text).to_string()),
        },
        Cow::Owned(text) => Cow::Owned(trim(&nfc(&text)).to_string()),
    }
}

/// A text of many lines: without unprintables other than line feed and tab; a blank one becomes empty.
pub fn prose(text: &str) -> Cow<'_, str> {
    let goes = |c: char| is_unprintable(c) && c != '\n' && c != '\t';
    if is_blank(text) {
        return Cow::Borrowed("");
    }
    if !text.chars().any(goes) {
        return Cow::Borrowed(text);
    }
    let text = text.replace("\r\n", "\n").replace(['\r', '\u{85}', '\u{2028}', '\u{2029}'], "\n");
    Cow::Owned(text.chars().filter(|&c| !goes(c)).collect())
}

/// Without what cannot be seen at either end. Marks (variation selectors among them) and tags belong to the character
/// before them and stay; so does a joiner that shapes it.
fn trim(text: &str) -> &str {
    let text = text.trim_start_matches(is_invisible);
    let mut end = text.len();
    for (start, c) in text.char_indices().rev() {
        let attached = is_mark(c) || matches!(c, '\u{e0020}'..='\u{e007f}');
        let shapes = || name::joins(text[..start].chars().next_back(), c, None);
        if !is_invisible(c) || attached || shapes() {
            break;
        }
        end = start;
    }
    &text[..end]
}

/// Combining marks of every kind.
pub fn is_mark(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    !c.is_ascii() && GeneralCategoryGroup::Mark.contains(category)
}

#[cfg(test)]
pub(super) mod testing {
    /// Characters that rules treat in different ways, for random texts.
    pub const SAMPLE: &[char] = &[
        'a',
        'Z',
        '7',
        '_',
        '-',
        ' ',
        '!',
        'ß',
        'İ',
        'Σ',
        'J',
        'é',
        '\u{301}',
        '\u{30c}',
        '\u{307}',
        '\u{323}',
        'ᄀ',
        'ᅡ',
        'ᆨ',
        '가',
        '\u{115f}',
        '\u{3164}',
        'क',
        '\u{94d}',
        '\u{93f}',
        '\u{200c}',
        '\u{200d}',
        'م',
        'د',
        '\u{64e}',
        'ท',
        '\u{e35}',
        '❤',
        '\u{fe0f}',
        '\u{fe0e}',
        '👩',
        '🏽',
        '🏴',
        '\u{e0067}',
        '\u{e007f}',
        '葛',
        '\u{e0100}',
        '\u{200b}',
        '\u{ad}',
        '\u{2060}',
        '\u{feff}',
        '\u{200f}',
        '\u{202e}',
        '\u{2066}',
        '\0',
        '\n',
        '\t',
        '\r',
        '\u{1b}',
        '\u{85}',
        '\u{2028}',
        '\u{a0}',
        '\u{3000}',
        '\u{2800}',
        '\u{ffff}',
        '·',
        '་',
        'ǅ',
        '\u{1f80}',
        '\u{345}',
        'K',
        '\u{17b4}',
        '\u{34f}',
        '\u{180b}',
        'ᠠ',
        '①',
        '½',
        '𞤀',
    ];

    pub fn random(seed: u64, len_max: usize) -> impl FnMut() -> String {
        let mut random = fastrand::Rng::with_seed(seed);
        move || (0..random.usize(0..=len_max)).map(|_| SAMPLE[random.usize(..SAMPLE.len())]).collect()
    }

    /// Every code point alone, inside a word, and at the end of one. Of the planes without characters and of those
    /// for private use one in 4,095: they have the same properties throughout.
    pub fn every_code_point() -> impl Iterator<Item = String> {
        let empty = |c: &char| !matches!(*c as u32 >> 16, 0..=3 | 14) && !(*c as u32).is_multiple_of(4_095);
        let points = ('\0'..=char::MAX).filter(move |c| !empty(c));
        points.flat_map(|c| [c.to_string(), format!("a{c}س{c}")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_web() {
        for url in [
            "http://x",
            "https://x/y",
            "HTTPS://x:8000/y?z#w",
            "https://[::1]/",
            "https://\u{fc}.example/\u{fc}",
            "http://u@h/",
        ] {
            assert!(is_http_address(url), "{url}");
        }
        for url in [
            "",
            "x",
            "http:/x",
            "http://",
            "https:///x",
            "https://?x",
            "ftp://x",
            "//x",
            "javascript:x",
            "https://x y",
            "https://x\n",
            "https://x\"",
            "https://x<",
            "https://x\\y",
            "https://x/\u{202e}y",
            "https://.x",
            " https://x",
            "httpß://x",
        ] {
            assert!(!is_http_address(url), "{url}");
        }
    }

    #[test]
    fn blank_has_nothing_to_see() {
        for text in [
            "",
            " ",
            "\n\t",
            "\0",
            "\u{1b}",
            "\u{7f}",
            "\u{ad}",
            "\u{34f}",
            "\u{61c}",
            "\u{115f}\u{1160}",
            "\u{17b4}",
            "\u{180e}",
            "\u{200b}\u{200c}\u{200d}\u{200e}\u{200f}",
            "\u{202e}",
            "\u{2060}",
            "\u{2064}",
            "\u{2800}",
            "\u{3000}",
            "\u{3164}",
            "\u{fe0f}",
            "\u{feff}",
            "\u{ffa0}",
            "\u{fff9}",
            "\u{1d159}",
            "\u{1d173}",
            "\u{e0001}",
            "\u{e0041}",
            "\u{e0100}",
            "\u{ffff}",
            "\u{fdd0}",
            " \u{3164} \u{2060}\n",
        ] {
            assert!(is_blank(text), "{text:?}");
        }
        for text in
            ["x", ".", "\u{2060}x", "ü", "❤\u{fe0f}", "\u{301}", "ㄱ", "\u{fffd}", "\u{e000}", "🇦", "\u{600}"]
        {
            assert!(!is_blank(text), "{text:?}");
        }
    }

    #[test]
    fn lines_are_clean_and_trimmed() {
        let check = |text: &str, want: &str| assert_eq!(line(text), want, "{text:?}");
        check("  Ada \t", "Ada");
        check("a\nb\r\nc\td", "a b c d");
        check("a\0b\u{1b}[31mc\u{7f}", "ab[31mc");
        check("abc\u{202e}fed\u{2066}x\u{2069}", "abcfedx");
        check("\u{200b}\u{2060}name\u{3164}\u{feff}", "name");
        check("gro\u{308}ße", "größe");
        check("e\0\u{301}", "é");
        check("\u{3164}\u{200b}", "");
        // What scripts and emoji need stays, also at the end.
        check("می\u{200c}خواهم", "می\u{200c}خواهم");
        check("ه\u{200d}", "ه\u{200d}");
        check("I ❤\u{fe0f}", "I ❤\u{fe0f}");
        check("👩\u{200d}👧", "👩\u{200d}👧");
        check("🏴\u{e0067}\u{e0062}\u{e007f}", "🏴\u{e0067}\u{e0062}\u{e007f}");
        check("\u{200f}שלום", "שלום");
        check("א\u{200f}ב", "א\u{200f}ב");
        assert!(matches!(line(" Plain name "), Cow::Borrowed("Plain name")));
    }

    #[test]
    fn prose_keeps_its_lines() {
        let check = |text: &str, want: &str| assert_eq!(prose(text), want, "{text:?}");
        check(" as typed \n\tindented\n", " as typed \n\tindented\n");
        check("a\r\nb\rc\u{2028}d", "a\nb\nc\nd");
        check("a\0b\u{1b}c\u{202e}d", "abcd");
        check(" \u{3164}\n", "");
        check("gro\u{308}ße", "gro\u{308}ße");
        assert!(matches!(prose("one\ntwo"), Cow::Borrowed(_)));
    }

    #[test]
    fn rules_are_idempotent() {
        let check = |text: &str| {
            let once = line(text);
            assert_eq!(line(&once), once, "line of {text:?}");
            assert!(!once.chars().any(is_unprintable), "{text:?}");
            assert_eq!(nfc(&once), once, "{text:?}");
            assert_eq!(once.is_empty(), is_blank(&once), "{text:?}");
            let once = prose(text);
            assert_eq!(prose(&once), once, "prose of {text:?}");
        };
        testing::every_code_point().for_each(|text| check(&text));
        let mut random = testing::random(1, 12);
        (0..30_000).for_each(|_| check(&random()));
    }
}
