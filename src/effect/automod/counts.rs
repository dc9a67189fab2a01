//! Rules that count in a text: capitals, emoji, repetitions.

use unicode_segmentation::UnicodeSegmentation;

use super::config::{Capitals, Emoji, Repeats};
use crate::text::emoji::normalise;
use crate::text::nfc;

/// How bots are called.
const COMMANDS: [char; 3] = ['/', '!', '.'];
const EMOJI_STYLE: char = '\u{fe0f}';

/// Whether too many of a text's letters are capitals. A text with few letters among figures and signs shouts at nobody.
pub fn shouts(text: &str, rule: &Capitals) -> bool {
    let text = text.trim();
    if rule.ignore_commands && text.starts_with(COMMANDS) {
        return false;
    }
    let length = text.chars().count() as u64;
    if length < rule.length_min {
        return false;
    }
    let capitals = text.chars().filter(|c| c.is_uppercase()).count() as u64;
    let letters = capitals + text.chars().filter(|c| c.is_lowercase()).count() as u64;
    letters * 2 >= rule.length_min && is_above(capitals, letters, rule.percent_max)
}

/// Whether a text has too many emoji. Joined ones and those of a server are one sign each, as they are seen.
pub fn has_many_emoji(text: &str, rule: &Emoji) -> bool {
    let (mut emoji, mut signs, mut length) = (0, 0, 0);
    let mut rest = text;
    while !rest.is_empty() {
        let (sign, is_emoji) = match coded(rest) {
            Some((code, is_custom)) => (code, if is_custom { rule.custom } else { rule.unicode }),
            None => {
                let sign = rest.graphemes(true).next().unwrap_or(rest);
                (sign, rule.unicode && is_pictured(sign))
            }
        };
        length += 1;
        signs += u64::from(!sign.chars().all(char::is_whitespace));
        emoji += u64::from(is_emoji);
        rest = &rest[sign.len()..];
    }
    length >= rule.length_min && (emoji > rule.count_max || is_above(emoji, signs, rule.percent_max))
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

/// Whether one and the same sign stands too often in a row, at so many places. Capitals count as their small letters.
pub fn repeats(text: &str, rule: &Repeats) -> bool {
    let text = nfc(text);
    let (mut places, mut run, mut last) = (0, 0, "");
    for sign in text.graphemes(true) {
        run = if is_same(last, sign) { run + 1 } else { 1 };
        last = sign;
        let ignored = rule.ignore_blanks && sign.chars().all(char::is_whitespace)
            || rule.ignore_digits && sign.chars().all(char::is_numeric);
        // Each row once, when it becomes too long.
        places += u64::from(!ignored && run == rule.repeats_max + 1);
        if places >= rule.occurrences_min {
            return true;
        }
    }
    false
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
