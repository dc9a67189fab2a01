//! Rules that count in a text: capitals, emoji, repetitions.

use unicode_segmentation::UnicodeSegmentation;

use super::config::{Capitals, Emoji, Repeats};
use crate::text::emoji::normalise;
use crate::text::nfc;

/// How bots are called.
const COMMANDS: [char; 3] = ['/', '!', '.'];
const EMOJI_STYLE: char = '\u{fe0f}';

/// The letters of a text, for all rules about capitals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letters {
    length: u64,
    letters: u64,
    capitals: u64,
    is_command: bool,
}

impl Letters {
    pub fn of(text: &str) -> Letters {
        let text = text.trim();
        let (mut length, mut letters, mut capitals) = (0, 0, 0);
        for c in text.chars() {
            let is_capital = c.is_uppercase();
            length += 1;
            capitals += u64::from(is_capital);
            letters += u64::from(is_capital || c.is_lowercase());
        }
        Letters { length, letters, capitals, is_command: text.starts_with(COMMANDS) }
    }

    /// Whether too many of them are capitals. A text with few letters among figures and signs shouts at nobody.
    pub fn shout(self, rule: &Capitals) -> bool {
        let is_meant = !(rule.ignore_commands && self.is_command) && self.length >= rule.length_min;
        is_meant
            && self.letters * 2 >= rule.length_min
            && is_above(self.capitals, self.letters, rule.percent_max)
    }
}

/// The signs of a text, for all rules about emoji. Joined ones and those of a server are one sign each, as they are seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    length: u64,
    /// Without blanks.
    shown: u64,
    /// Emoji of servers, and those of Unicode.
    custom: u64,
    unicode: u64,
}

impl Signs {
    pub fn of(text: &str) -> Signs {
        let mut signs = Signs::default();
        let mut rest = text;
        while !rest.is_empty() {
            let sign = match coded(rest) {
                Some((code, is_custom)) => {
                    signs.custom += u64::from(is_custom);
                    signs.unicode += u64::from(!is_custom);
                    code
                }
                None => {
                    let sign = first_sign(rest);
                    signs.unicode += u64::from(is_pictured(sign));
                    sign
                }
            };
            signs.length += 1;
            signs.shown += u64::from(!sign.chars().all(char::is_whitespace));
            rest = &rest[sign.len()..];
        }
        signs
    }

    /// Whether too many of them are emoji.
    pub fn have_many_emoji(self, rule: &Emoji) -> bool {
        let emoji = self.custom * u64::from(rule.custom) + self.unicode * u64::from(rule.unicode);
        self.length >= rule.length_min
            && (emoji > rule.count_max || is_above(emoji, self.shown, rule.percent_max))
    }
}

/// What is seen as one sign at the beginning of a text that has one.
fn first_sign(text: &str) -> &str {
    match text.as_bytes() {
        // Nothing joins two ASCII characters but the end of a line.
        [first, second, ..] if first.is_ascii() && second.is_ascii() && *first != b'\r' => &text[..1],
        _ => text.graphemes(true).next().unwrap_or(text),
    }
}

/// An emoji in writing at the beginning of a text: `<:name:id>`, `<a:name:id>`, or `:name:` of a known one. Whether it is
/// one of a server.
fn coded(text: &str) -> Option<(&str, bool)> {
    /// Longer ones are none.
    const LEN_MAX: usize = 100;
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+');
    if let Some(inner) = text.strip_prefix('<') {
        let end = inner.as_bytes().iter().take(LEN_MAX).position(|byte| *byte == b'>')?;
        let (name, id) = inner[..end].trim_start_matches('a').strip_prefix(':')?.split_once(':')?;
        let is_code = !name.is_empty() && name.chars().all(is_of_name);
        let is_code = is_code && !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        return is_code.then(|| (&text[..end + 2], true));
    }
    let inner = text.strip_prefix(':')?;
    let end = inner.as_bytes().iter().take(LEN_MAX).position(|byte| *byte == b':')?;
    let is_name = end > 0 && inner[..end].chars().all(is_of_name);
    let code = &text[..end + 2];
    (is_name && normalise(code).is_some()).then_some((code, false))
}

/// Whether a sign is drawn as a picture. Those that are drawn as text unless asked for otherwise (©) are not.
fn is_pictured(sign: &str) -> bool {
    if sign.is_ascii() || normalise(sign).is_none() {
        return false;
    }
    let first = sign.chars().next().unwrap_or_default();
    first as u32 >= 0x2300 && !matches!(first, '\u{3030}'..='\u{32ff}') || sign.contains(EMOJI_STYLE)
}

/// Where one and the same sign stands several times in a row, for all rules about that. Capitals count as their small
/// letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows(Vec<Row>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    count: u64,
    is_blank: bool,
    is_digit: bool,
}

impl Rows {
    pub fn of(text: &str) -> Rows {
        let text = nfc(text);
        let mut rows: Vec<Row> = Vec::new();
        let (mut rest, mut last, mut count) = (&*text, "", 0);
        loop {
            let sign = if rest.is_empty() { "" } else { first_sign(rest) };
            if !sign.is_empty() && is_same(last, sign) {
                count += 1;
            } else {
                if count > 1 {
                    let is_blank = last.chars().all(char::is_whitespace);
                    rows.push(Row { count, is_blank, is_digit: last.chars().all(char::is_numeric) });
                }
                (last, count) = (sign, 1);
            }
            if sign.is_empty() {
                return Rows(rows);
            }
            rest = &rest[sign.len()..];
        }
    }

    /// Whether there are too many that are too long.
    pub fn repeat(&self, rule: &Repeats) -> bool {
        let is_ignored = |row: &Row| rule.ignore_blanks && row.is_blank || rule.ignore_digits && row.is_digit;
        let long = self.0.iter().filter(|row| row.count > rule.repeats_max && !is_ignored(row));
        long.count() as u64 >= rule.occurrences_min
    }
}

fn is_same(a: &str, b: &str) -> bool {
    a == b
        || !a.is_empty() && a.chars().flat_map(char::to_lowercase).eq(b.chars().flat_map(char::to_lowercase))
}

fn is_above(part: u64, whole: u64, percent_max: f64) -> bool {
    whole > 0 && part as f64 * 100.0 > whole as f64 * percent_max
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shouts(text: &str, rule: &Capitals) -> bool {
        Letters::of(text).shout(rule)
    }

    fn has_many_emoji(text: &str, rule: &Emoji) -> bool {
        Signs::of(text).have_many_emoji(rule)
    }

    fn repeats(text: &str, rule: &Repeats) -> bool {
        Rows::of(text).repeat(rule)
    }

    #[test]
    fn signs_are_those_of_the_whole_text() {
        for text in [
            "a\r\nb",
            "\r\n",
            "\r",
            "ab\u{301}c",
            "e\u{301}",
            "a\u{200d}b",
            "🇩🇪x",
            "1\u{fe0f}\u{20e3}",
            "\n\n\r\n",
        ] {
            let (mut rest, mut signs) = (text, Vec::new());
            while !rest.is_empty() {
                signs.push(first_sign(rest));
                rest = &rest[signs.last().unwrap().len()..];
            }
            assert_eq!(signs, text.graphemes(true).collect::<Vec<_>>(), "{text:?}");
        }
    }

    #[test]
    fn capitals() {
        let rule = Capitals { percent_max: 70.0, length_min: 10, ignore_commands: true, severity: 1 };
        for text in ["WHY ARE YOU SHOUTING", "STOP IT NOW", "ПОЧЕМУ ТЫ КРИЧИШЬ", "WHY ARE YOU SHOUting"]
        {
            assert!(shouts(text, &rule), "{text}");
        }
        for text in [
            "WHY",
            "Why are you shouting",
            "OK 1234567890",
            "!WHY ARE YOU SHOUTING",
            "日本語日本語日本語日本語",
            "",
        ] {
            assert!(!shouts(text, &rule), "{text}");
        }
        let strict = Capitals { percent_max: 50.0, length_min: 1, ignore_commands: false, severity: 1 };
        assert!(shouts("WHY", &strict) && shouts("!WHY", &strict) && !shouts("Ab", &strict));
    }

    #[test]
    fn emoji() {
        let rule = |count_max, percent_max, length_min| Emoji {
            count_max,
            percent_max,
            custom: true,
            unicode: true,
            length_min,
            severity: 1,
        };
        let three = rule(3, 100.0, 1);
        for text in [
            "😀😀😀😀😀",
            "<:wave:1><a:wave:2><:x:3> <:y:4>",
            ":thumbsup: :thumbsup: :tada: :+1:",
            "1️⃣2️⃣3️⃣4️⃣",
            "🇩🇪🇫🇷🇮🇹🇪🇸",
        ] {
            assert!(has_many_emoji(text, &three), "{text}");
        }
        for text in
            ["nice 😀", "👨‍👩‍👧‍👦👨‍👩‍👧‍👦👨‍👩‍👧‍👦", "© ™ ® ©", "1 2 3 4 5", "<@1><@2><@3><@4>", "12:30:45:50", "a : b : c : d"]
        {
            assert!(!has_many_emoji(text, &three), "{text}");
        }
        let half = rule(10, 50.0, 5);
        assert!(has_many_emoji("hi 😀😀😀", &half));
        for text in ["😀", "👨‍👩‍👧‍👦", "nice one 😀", "😀 ok"] {
            assert!(!has_many_emoji(text, &half), "{text}");
        }
        let text = "😀😀😀😀😀 <:a:1><:a:1><:a:1><:a:1>";
        assert!(has_many_emoji(text, &Emoji { unicode: false, ..three.clone() }));
        assert!(has_many_emoji(text, &Emoji { custom: false, ..three.clone() }));
        assert!(!has_many_emoji(text, &Emoji { custom: false, unicode: false, ..three }));
    }

    #[test]
    fn repetitions() {
        let rule = |repeats_max, occurrences_min| Repeats {
            repeats_max,
            occurrences_min,
            ignore_blanks: true,
            ignore_digits: false,
            severity: 1,
        };
        for text in
            ["noooooooooooo", "NoOoOoOoOo", "!!!!!!", "😂😂😂😂😂😂", "e\u{301}e\u{301}ééé\u{e9}\u{e9}"]
        {
            assert!(repeats(text, &rule(5, 1)), "{text}");
        }
        for text in ["nooo", "ooooo", "a      b", "abababababab", ""] {
            assert!(!repeats(text, &rule(5, 1)), "{text}");
        }
        assert!(repeats("aaa bbb ccc", &rule(2, 3)) && !repeats("aaaaaaaaa bbb", &rule(2, 3)));
        let loose = Repeats { ignore_blanks: false, ..rule(5, 1) };
        assert!(repeats("a      b", &loose) && repeats("1000000", &loose));
        assert!(!repeats("1000000", &Repeats { ignore_digits: true, ..loose }));
    }

    #[test]
    fn any_text_is_taken() {
        const PIECES: [&str; 10] = ["<", ":", ">", "a", "😀", "\u{200d}", "\u{301}", "1", " ", "\u{fe0f}"];
        let mut random = fastrand::Rng::with_seed(9);
        for _ in 0..5_000 {
            let text: String =
                (0..random.usize(..12)).map(|_| PIECES[random.usize(..PIECES.len())]).collect();
            let emoji = Emoji {
                count_max: 2,
                percent_max: 50.0,
                custom: true,
                unicode: true,
                length_min: 0,
                severity: 1,
            };
            has_many_emoji(&text, &emoji);
            shouts(&text, &Capitals { percent_max: 0.0, length_min: 0, ignore_commands: false, severity: 1 });
        }
    }
}
