//! Texts as they read, for finding words in them: however their letters are spelled, one spelling.
//!
//! Compatibility forms (NFKC), case, letters of other alphabets that look like ours (UTS #39), characters that cannot be
//! seen and marks that are heaped up are taken away. An accent that makes another letter (`ñ`, `ö`) stays: `año` is not
//! `ano`. A text and a word that is looked for in it are folded alike, so it is no matter into which of two letters that
//! look the same.
//!
//! Invariant: folding what was folded changes nothing.

use std::sync::LazyLock;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::Script;
use rustc_hash::FxHashMap;
use unicode_security::confusable_detection::skeleton;

use super::{is_invisible, nfd};

/// Whether capitals are told from small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    Kept,
    Folded,
}

/// What is taken away may show what else is to go; twice is what it takes at most.
const ROUNDS_MAX: usize = 8;

/// The text as it reads.
pub fn fold(text: &str, case: Case) -> String {
    if text.is_ascii() {
        let shown = text.chars().filter(|c| c.is_ascii_graphic() || c.is_ascii_whitespace());
        return match case {
            Case::Kept => shown.collect(),
            Case::Folded => shown.map(|c| c.to_ascii_lowercase()).collect(),
        };
    }
    let mut folded = fold_once(text, case);
    for _ in 1..ROUNDS_MAX {
        let again = fold_once(&folded, case);
        if again == folded {
            break;
        }
        folded = again;
    }
    folded
}

fn fold_once(text: &str, case: Case) -> String {
    let text = ComposingNormalizerBorrowed::new_nfkc().normalize(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if c.is_whitespace() => out.push(if c.is_ascii() { c } else { ' ' }),
            _ if is_invisible(c) => {}
            _ if is_heaped(c) => strip_last(&mut out),
            _ if case == Case::Kept => push_alike(&mut out, c),
            // Full folding but for the letters of Turkish, which lose their dots: ß is ss, ς is σ.
            _ => c.to_uppercase().flat_map(char::to_lowercase).for_each(|c| match is_heaped(c) {
                true => strip_last(&mut out),
                false => push_alike(&mut out, c),
            }),
        }
    }
    out
}

/// Marks of no script that found no letter to make another one with: written over and around others.
fn is_heaped(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
}

/// The letter that marks were heaped upon loses those that it had made another letter with.
fn strip_last(out: &mut String) {
    let Some(last) = out.chars().next_back().filter(|c| c.is_alphabetic()) else { return };
    let mut bytes = [0; 4];
    let letter = nfd(last.encode_utf8(&mut bytes)).chars().next();
    out.pop();
    out.extend(letter);
}

fn push_alike(out: &mut String, c: char) {
    match alike(c) {
        None => out.push(c),
        Some(letters) => out.push_str(letters),
    }
}

// --------------------------------------------------------------------------------------------- letters

/// The letters of ours that a letter of another alphabet looks like.
fn alike(c: char) -> Option<&'static str> {
    if c.is_ascii() { None } else { ALIKE.get(&c).map(String::as_str) }
}

/// Alphabets whose letters are written for ours. Scripts that are drawn in another way, or from the right, have signs
/// that look like `l` or `o` too, but nobody writes with them.
const ALPHABETS: [Script; 9] = [
    Script::Latin,
    Script::Greek,
    Script::Cyrillic,
    Script::Armenian,
    Script::Cherokee,
    Script::Coptic,
    Script::Lisu,
    Script::Deseret,
    Script::Osage,
];

/// Where the letters of these alphabets stand.
const LETTERS: [std::ops::RangeInclusive<char>; 3] =
    ['\u{80}'..='\u{2fff}', '\u{a4d0}'..='\u{abff}', '\u{10400}'..='\u{104ff}'];

/// Small capitals, which fonts have made a second alphabet, and those of them in UTS #39 are few.
const SMALL_CAPITALS: &str = "ᴀaʙbᴄcᴅdᴇeꜰfɢgʜhɪiᴊjᴋkʟlᴍmɴnᴏoᴘpꞯqʀrꜱsᴛtᴜuᴠvᴡwʏyᴢz";

/// Letters on a ground of their own (🅰, 🅐): the first of 26 each.
const ON_GROUND: [u32; 2] = [0x1f150, 0x1f170];

/// Filled when the first rules are made, which no core thread does.
static ALIKE: LazyLock<FxHashMap<char, String>> = LazyLock::new(|| {
    let script = CodePointMapData::<Script>::new();
    let of_alphabets = LETTERS.into_iter().flatten().filter(|c| c.is_alphabetic());
    let of_alphabets = of_alphabets.filter(|c| ALPHABETS.contains(&script.get(*c)));
    let mut alike: FxHashMap<char, String> = of_alphabets.filter_map(|c| Some((c, looks_like(c)?))).collect();
    let small: Vec<char> = SMALL_CAPITALS.chars().collect();
    alike.extend(small.chunks_exact(2).map(|pair| (pair[0], pair[1].to_string())));
    for first in ON_GROUND {
        let letters = (first..first + 26).zip('A'..='Z');
        alike.extend(letters.filter_map(|(c, letter)| Some((char::from_u32(c)?, letter.to_string()))));
    }
    alike
});

/// By UTS #39, which takes `I` for `l`: a capital is looked up by its small letter.
fn looks_like(c: char) -> Option<String> {
    let small: String = c.to_lowercase().collect();
    let letters: String = skeleton(&small).collect();
    let fits = !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_alphabetic());
    let letters = letters.to_ascii_lowercase();
    fits.then(|| if c.is_uppercase() { letters.to_ascii_uppercase() } else { letters })
}

// ---------------------------------------------------------------------------------------- second looks

/// The text with figures and signs that stand for letters (`sh1t`, `a$$`) read as those, in words that have letters
/// beside them; `None` when there are none. Of a folded text.
pub fn figures_as_letters(text: &str) -> Option<String> {
    let is_figure = |byte: u8| letter_of(byte).is_some();
    if !text.bytes().any(is_figure) {
        return None;
    }
    let is_of_word = |c: char| c.is_alphanumeric() || matches!(c, '@' | '$' | '!');
    let mut out = String::with_capacity(text.len());
    let mut changed = false;
    let mut rest = text;
    while let Some(begin) = rest.find(is_of_word) {
        out.push_str(&rest[..begin]);
        rest = &rest[begin..];
        let (word, after) = rest.split_at(rest.find(|c| !is_of_word(c)).unwrap_or(rest.len()));
        rest = after;
        // An exclamation mark at the end is one.
        let spelled = word.trim_end_matches('!');
        let fits = spelled.contains(char::is_alphabetic) && spelled.bytes().any(is_figure);
        changed |= fits;
        match fits {
            true => {
                out.extend(spelled.chars().map(|c| u8::try_from(c).ok().and_then(letter_of).unwrap_or(c)))
            }
            false => out.push_str(spelled),
        }
        out.push_str(&word[spelled.len()..]);
    }
    out.push_str(rest);
    changed.then_some(out)
}

fn letter_of(byte: u8) -> Option<char> {
    Some(match byte {
        b'0' => 'o',
        b'1' | b'!' => 'i',
        b'3' => 'e',
        b'4' | b'@' => 'a',
        b'5' | b'$' => 's',
        b'7' => 't',
        _ => return None,
    })
}

/// Words whose letters stand apart (`w o r d`, `w.o.r.d`), put together, each on a line; `None` when there are none.
pub fn spelled_apart(text: &str) -> Option<String> {
    /// Of fewer letters, words are written like that: `a b`, `e.g.`
    const LETTERS_MIN: usize = 3;
    /// Bytes between two letters.
    const GAP_LEN_MAX: usize = 5;
    let (mut words, mut word) = (Vec::new(), String::new());
    // Where the last letters end, and what stands between those of the word.
    let (mut end, mut gap) = (0, "");
    let mut rest = text;
    while let Some(begin) = rest.find(char::is_alphanumeric) {
        let letters = &rest[begin..];
        let letters = &letters[..letters.find(|c: char| !c.is_alphanumeric()).unwrap_or(letters.len())];
        let at = text.len() - rest.len() + begin;
        let between = &text[end..at];
        let is_single = letters.chars().nth(1).is_none();
        let is_second = word.chars().nth(1).is_none();
        let fits = is_single && !word.is_empty() && between.len() <= GAP_LEN_MAX && !between.contains('\n');
        if !fits || !is_second && between != gap {
            words.push(std::mem::take(&mut word));
        }
        if is_single {
            word.push_str(letters);
        }
        gap = between;
        end = at + letters.len();
        rest = &text[end..];
    }
    words.push(word);
    words.retain(|word| word.chars().count() >= LETTERS_MIN);
    (!words.is_empty()).then(|| words.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn folded(text: &str) -> String {
        fold(text, Case::Folded)
    }

    #[test]
    fn words_read_the_same_however_they_are_spelled() {
        let check = |text: &str, want: &str| assert_eq!(folded(text), want, "{text:?}");
        for text in [
            "Badger",
            "BADGER",
            "ｂａｄｇｅｒ",
            "𝐛𝐚𝐝𝐠𝐞𝐫",
            "𝔹𝔸𝔻𝔾𝔼ℝ",
            "ⓑⓐⓓⓖⓔⓡ",
            "🅑🅐🅓🅖🅔🅡",
            "🅱🅰🅳🅶🅴🆁",
            "ʙᴀᴅɢᴇʀ",
            "bаdgеr",
            "b\u{200b}a\u{200d}d\u{ad}g\u{2060}er",
            "b\u{336}a\u{336}d\u{336}g\u{336}e\u{336}r\u{336}",
            "b\u{301}\u{302}\u{31b}a\u{308}\u{316}d\u{363}g\u{33f}e\u{301}\u{489}r\u{20dd}",
            "ba\u{202e}dger",
        ] {
            check(text, "badger");
        }
        check("Straße", "strasse");
        check("ΣΊΣΥΦΟΣ", &folded("Σίσυφος"));
        check("İstanbul ISPARTA ısparta", "istanbul isparta isparta");
        check("line\nand\ttab\u{a0}end", "line\nand\ttab end");
        check("bell\u{7}", "bell");
        assert_eq!(fold("ＣａtСat", Case::Kept), "CatCat");
        assert_eq!(fold("Іvan", Case::Kept), "Ivan");
    }

    #[test]
    fn letters_with_an_accent_are_others() {
        let check = |text: &str, want: &str| assert_eq!(folded(text), want, "{text:?}");
        check("AÑO", "año");
        check("an\u{303}o", "año");
        check("Schön", "schön");
        check("tiếng Việt", "tiếng việt");
        check("Ørsted Łódź", "ørsted łódź");
        // Vowels of scripts that write them as marks stay.
        check("हिन्दी", "हिन्दी");
        check("ภาษาไทย", &folded("ภาษาไทย"));
        check("مَدْرَسَة", "مَدْرَسَة");
    }

    #[test]
    fn figures_stand_for_letters_in_words() {
        let check = |text: &str, want: Option<&str>| {
            assert_eq!(figures_as_letters(text).as_deref(), want, "{text:?}")
        };
        check("sh1t and a$$", Some("shit and ass"));
        check("b4dg3r!", Some("badger!"));
        check("b@dger", Some("badger"));
        check("sh!t!!", Some("shit!!"));
        for text in ["100 and 101", "plain words", "<@123>", "yes!", "5 $", ""] {
            check(text, None);
        }
    }

    #[test]
    fn letters_that_stand_apart_make_words() {
        let check =
            |text: &str, want: Option<&str>| assert_eq!(spelled_apart(text).as_deref(), want, "{text:?}");
        check("b a d g e r", Some("badger"));
        check("you b.a.d.g.e.r, you", Some("badger"));
        check("b - a - d\nx_y_z", Some("bad\nxyz"));
        for text in ["a b", "e.g. i am", "one two three", "a      b      c", ""] {
            check(text, None);
        }
        check("is a b c d", Some("abcd"));
    }

    #[test]
    fn folding_is_idempotent_and_takes_any_text() {
        let check = |text: &str, case: Case| {
            let once = fold(text, case);
            assert_eq!(fold(&once, case), once, "{case:?} of {text:?}");
            let _ = (figures_as_letters(&once), spelled_apart(&once));
        };
        testing::every_code_point().step_by(2).for_each(|c| check(&c, Case::Folded));
        let mut random = testing::random(3, 12);
        (0..5_000).map(|_| random()).for_each(|text| {
            check(&text, Case::Kept);
            check(&text, Case::Folded);
        });
    }
}
