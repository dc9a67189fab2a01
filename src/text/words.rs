//! Words of texts, for finding texts by them.
//!
//! A word is a run of letters and digits of any script with the marks on them. Scripts that put no blanks between words
//! (Chinese, Japanese, Thai and their like), and Korean, whose words grow particles, are taken sign by sign: a run of
//! signs is found wherever it stands in another. What is neither is a symbol, and counts only where a phrase has it.
//!
//! Texts are compared in NFKC and without case, letter by letter as Unicode's simple folding does: `ß` is not `ss`, an
//! accent is another letter, `ς` is `σ`. The dotted capital of Turkish is a plain `i`, the dotless small one stays itself.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::CodePointMapData;
use icu_properties::props::Script;

use super::{is_invisible, is_mark};

/// What a text is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Word,
    /// One of a script without blanks. `glued`: right behind another one.
    Sign {
        glued: bool,
    },
    Symbol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'t> {
    pub text: &'t str,
    pub kind: Kind,
}

/// The text as it is compared.
pub fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    let normal = ComposingNormalizerBorrowed::new_nfkc().normalize(text);
    let shown = normal.chars().filter(|c| c.is_ascii() || c.is_whitespace() || !is_invisible(*c));
    Cow::Owned(shown.map(fold_char).collect())
}

fn fold_char(c: char) -> char {
    match c {
        _ if c.is_ascii() => c.to_ascii_lowercase(),
        'ı' => c,
        'İ' => 'i',
        _ => {
            let upper = alone(c.to_uppercase()).unwrap_or(c);
            alone(upper.to_lowercase()).unwrap_or(upper)
        }
    }
}

fn alone(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next();
    if chars.next().is_none() { first } else { None }
}

/// The tokens of a text that was folded, in order. Blanks are none.
pub fn tokens(folded: &str) -> Tokens<'_> {
    Tokens { rest: folded, behind_sign: false }
}

pub struct Tokens<'t> {
    rest: &'t str,
    behind_sign: bool,
}

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        let trimmed = self.rest.trim_start();
        let glued = self.behind_sign && trimmed.len() == self.rest.len();
        let first = trimmed.chars().next()?;
        let (kind, len) = match first {
            _ if is_sign(first) => {
                (Kind::Sign { glued }, first.len_utf8() + marks_len(&trimmed[first.len_utf8()..]))
            }
            _ if first.is_alphanumeric() => (Kind::Word, word_len(trimmed)),
            _ => (Kind::Symbol, first.len_utf8() + marks_len(&trimmed[first.len_utf8()..])),
        };
        self.behind_sign = matches!(kind, Kind::Sign { .. });
        let (text, rest) = trimmed.split_at(len);
        self.rest = rest;
        Some(Token { text, kind })
    }
}

fn word_len(text: &str) -> usize {
    let is_of_word = |c: char| {
        c.is_ascii_alphanumeric() || (!c.is_ascii() && (c.is_alphanumeric() || is_mark(c)) && !is_sign(c))
    };
    text.find(|c: char| !is_of_word(c)).unwrap_or(text.len())
}

fn marks_len(text: &str) -> usize {
    // A vowel of Thai may be a letter that is also a mark of its base: what has the property of a mark goes with it.
    text.find(|c: char| c.is_ascii() || !is_mark(c)).unwrap_or(text.len())
}

/// Whether a letter is of a script whose words are not told apart by blanks.
fn is_sign(c: char) -> bool {
    // No such script begins before Thai.
    if c < '\u{e00}' || !c.is_alphanumeric() {
        return false;
    }
    // The marks of length of Japanese are of no one script.
    if matches!(c, '\u{30fc}' | '\u{3031}'..='\u{3035}') {
        return true;
    }
    matches!(
        CodePointMapData::<Script>::new().get(c),
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Hangul
            | Script::Bopomofo
            | Script::Yi
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
            | Script::Tibetan
    )
}

/// A token that outlives its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub text: String,
    pub kind: Kind,
}

impl Part {
    fn is(&self, token: &Token<'_>) -> bool {
        let glued = |kind: Kind| kind == Kind::Sign { glued: true };
        self.text == token.text && (!glued(self.kind) || glued(token.kind))
    }
}

/// The parts of a text that has not been folded.
pub fn parts(text: &str) -> Vec<Part> {
    tokens(&fold(text)).map(|token| Part { text: token.text.to_owned(), kind: token.kind }).collect()
}

/// Whether these parts stand in a text one after the other. Symbols that the parts do not have may be between them.
pub fn has_phrase(tokens: &[Token<'_>], parts: &[Part]) -> bool {
    let Some(first) = parts.first() else { return true };
    let begins = |at: &usize| first.text == tokens[*at].text;
    (0..tokens.len()).filter(begins).any(|at| {
        let mut rest = tokens[at + 1..].iter();
        parts[1..].iter().all(|part| {
            rest.by_ref()
                .find(|token| part.is(token) || token.kind != Kind::Symbol)
                .is_some_and(|token| part.is(token))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> String {
        let folded = fold(text);
        let spelled = tokens(&folded).map(|token| match token.kind {
            Kind::Word => token.text.to_string(),
            Kind::Sign { glued: true } => format!("+{}", token.text),
            Kind::Sign { glued: false } => format!("={}", token.text),
            Kind::Symbol => format!("!{}", token.text),
        });
        spelled.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn texts_of_many_scripts_are_split() {
        let check = |text: &str, want: &str| assert_eq!(split(text), want, "{text}");
        check("Hello, WORLD 42x", "hello !, world 42x");
        check("don't foo_bar e-mail", "don !' t foo !_ bar e !- mail");
        check("Straße STRASSE", "straße strasse");
        check("ΟΔΟΣ οδος", "οδοσ οδοσ");
        check("É e\u{301} e", "é é e");
        check("Привет МИР", "привет мир");
        check("İstanbul ISPARTA ısparta", "istanbul isparta ısparta");
        check("हिन्दी भाषा", "हिन्दी भाषा");
        check("مرحبا بالعالم", "مرحبا بالعالم");
        check("שלום", "שלום");
        check("می\u{200c}خواهم", "میخواهم");
        check("東京都へ", "=東 +京 +都 +へ");
        check("コーヒー ｺｰﾋｰ", "=コ +ー +ヒ +ー =コ +ー +ヒ +ー");
        check("iPhone使う2台", "iphone =使 +う 2 =台");
        check("학교에서", "=학 +교 +에 +서");
        check("ที่นี่", "=ที่ +นี่");
        check("ＡＢＣ １２３", "abc 123");
        check("Tiếng Việt", "tiếng việt");
        check("😀 ok 👍🏽", "!😀 ok !👍 !🏽");
        check("  \n", "");
    }

    #[test]
    fn folding_what_was_folded_changes_nothing() {
        for text in crate::text::testing::every_code_point() {
            let folded = fold(&text).into_owned();
            assert_eq!(fold(&folded), folded, "{text:?}");
        }
    }

    #[test]
    fn every_text_is_split_whole() {
        let mut random = crate::text::testing::random(7, 40);
        for _ in 0..2_000 {
            let folded = fold(&random()).into_owned();
            let shown: String = folded.split_whitespace().collect();
            assert_eq!(tokens(&folded).map(|token| token.text).collect::<String>(), shown, "{folded:?}");
        }
    }

    #[test]
    fn phrases() {
        let check = |text: &str, phrase: &str, want: bool| {
            let folded = fold(text);
            let tokens: Vec<_> = tokens(&folded).collect();
            assert_eq!(has_phrase(&tokens, &parts(phrase)), want, "{phrase} in {text}");
        };
        check("Quarterly report is ready", "REPORT is", true);
        check("Quarterly report is ready", "is report", false);
        check("Quarterly report is ready", "port is", false);
        check("Quarterly report is ready", "report ready", false);
        check("a report a report is", "report is", true);
        check("Hello, world", "hello world", true);
        check("hello world", "hello, world", false);
        check("I like C++ and C", "c++", true);
        check("I like C#", "c++", false);
        check("東京都に行く", "京都", true);
        check("東京に行く", "京都", false);
        check("東 京", "東京", false);
        check("東京", "東 京", true);
        check("", "x", false);
        check("x", "", true);
    }
}
