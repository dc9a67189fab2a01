//! From text to a [`Value`] (RFC 8259): what [`super::fast`] does not take is read here, in one pass, and refused with
//! words and a place. Strings are unescaped where they stand, nothing else is copied.
//!
//! Decided where the RFC leaves it open (§6, §8, §9): a byte order mark is skipped in bodies, not in messages; numbers
//! of any size are read, those beyond `i128` and `f64` as they are spelled; a surrogate without its other half becomes
//! U+FFFD, as in browsers; nesting ends at [`DEPTH_MAX`], names and values at [`JSON_COUNT_MAX`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use memchr::memchr2;

use super::{Value, fast};
use crate::limits::JSON_COUNT_MAX;

/// Deeper nesting than this is refused: no message of the contract needs more than about eight levels.
pub(super) const DEPTH_MAX: usize = 64;

/// Why a text is no acceptable JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    what: &'static str,
    /// Bytes before the place, of the text as it came.
    at: usize,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what, self.at)
    }
}

const ENDS: &str = "the text ends early,";
const VALUE: &str = "a value is expected";
const COUNT: &str = "more names and values than anything here needs";

const MARK: &[u8] = b"\xef\xbb\xbf";

/// Parses one JSON text. The buffer is overwritten: strings are unescaped in place.
///
/// # Errors
/// Malformed, truncated or trailing text, invalid UTF-8, nesting beyond 64 levels, too many values; with the place, counted from 0.
pub fn parse(text: &mut [u8]) -> Result<Value<'_>, ParseError> {
    match fast::read(text) {
        Ok(value) => Ok(value),
        Err(text) => parse_slowly(text),
    }
}

/// The same without the fast way.
pub(super) fn parse_slowly(text: &mut [u8]) -> Result<Value<'_>, ParseError> {
    parse_from(text, 0, JSON_COUNT_MAX)
}

/// The same for what this program has written itself, however much is in it: its own description has more than any
/// request.
///
/// # Errors
/// As there.
pub fn parse_own(text: &mut [u8]) -> Result<Value<'_>, ParseError> {
    parse_from(text, 0, usize::MAX)
}

/// The same for a text that may begin with a byte order mark, as files of some systems do.
///
/// # Errors
/// As there.
pub fn parse_marked(text: &mut [u8]) -> Result<Value<'_>, ParseError> {
    if text.starts_with(MARK) { parse_from(text, MARK.len(), JSON_COUNT_MAX) } else { parse(text) }
}

fn parse_from(text: &mut [u8], begin: usize, count_max: usize) -> Result<Value<'_>, ParseError> {
    let foreign = match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("the text is UTF-16 instead of UTF-8"),
        [0x1f, 0x8b, ..] => Some("the text is compressed"),
        _ => None,
    };
    if let Some(what) = foreign {
        return Err(ParseError { what, at: 0 });
    }
    let mut parser = Parser { rest: text, base: 0, at: begin, count: 0, count_max };
    parser.skip_blanks();
    if parser.peek().is_none() {
        return Err(ParseError { what: "the text is empty", at: parser.at });
    }
    let value = parser.value(0)?;
    parser.skip_blanks();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.error("nothing may follow the value")),
    }
}

struct Parser<'b> {
    /// From the end of the last string on.
    rest: &'b mut [u8],
    /// What stands before `rest`.
    base: usize,
    /// Within `rest`.
    at: usize,
    /// Names and values so far.
    count: usize,
    count_max: usize,
}

impl<'b> Parser<'b> {
    fn peek(&self) -> Option<u8> {
        self.rest.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// At the byte that is next; the end of the text speaks for itself.
    #[cold]
    fn error(&self, what: &'static str) -> ParseError {
        let what = if self.peek().is_none() { ENDS } else { what };
        ParseError { what, at: self.base + self.at }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'b>, ParseError> {
        if depth > DEPTH_MAX {
            return Err(self.error("too deeply nested"));
        }
        self.count()?;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                self.string().map(Value::Str)
            }
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Value::Bool(true)),
            Some(b'f') => self.word(b"false", Value::Bool(false)),
            Some(b'n') => self.word(b"null", Value::Null),
            _ => Err(self.error(VALUE)),
        }
    }

    fn count(&mut self) -> Result<(), ParseError> {
        self.count += 1;
        if self.count <= self.count_max { Ok(()) } else { Err(self.error(COUNT)) }
    }

    fn word(&mut self, word: &[u8], value: Value<'b>) -> Result<Value<'b>, ParseError> {
        let same = self.rest[self.at..].iter().zip(word).take_while(|(got, want)| got == want).count();
        if same < word.len() {
            // A beginning that goes wrong is no value; one that stops is a text that ends early.
            self.at += if self.rest.len() == self.at + same { same } else { 0 };
            return Err(self.error(VALUE));
        }
        self.at += word.len();
        Ok(value)
    }

    fn object(&mut self, depth: usize) -> Result<Value<'b>, ParseError> {
        let mut members = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.error("a name in quotes is expected"));
            }
            self.count()?;
            self.at += 1;
            let name = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(b':') {
                return Err(self.error("':' is expected"));
            }
            self.at += 1;
            self.skip_blanks();
            members.push((name, self.value(depth + 1)?));
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    keep_last(&mut members);
                    return Ok(Value::Object(members));
                }
                _ => return Err(self.error("',' or '}' is expected")),
            }
            self.skip_blanks();
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value<'b>, ParseError> {
        let mut items = Vec::new();
        self.at += 1;
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.error("',' or ']' is expected")),
            }
            self.skip_blanks();
        }
    }

    /// Makes `rest` begin `len` bytes on, and gives away what stood before.
    fn cut(&mut self, len: usize) -> &'b mut [u8] {
        let (taken, rest) = std::mem::take(&mut self.rest).split_at_mut(len);
        self.rest = rest;
        self.base += len;
        self.at = 0;
        taken
    }

    /// A string whose opening quote has been read.
    fn string(&mut self) -> Result<&'b str, ParseError> {
        self.cut(self.at);
        let Some(len) = memchr2(b'"', b'\\', self.rest) else { return Err(self.unclosed()) };
        if self.rest[len] == b'\\' {
            return self.escaped_string(len);
        }
        self.check(0, len)?;
        let text: &'b [u8] = self.cut(len);
        self.at = 1;
        Ok(text_of(text))
    }

    /// The same with escapes, the first of them at `len`.
    #[cold]
    fn escaped_string(&mut self, mut len: usize) -> Result<&'b str, ParseError> {
        let (mut read, mut written) = (0, 0);
        loop {
            self.check(read, len)?;
            self.rest.copy_within(read..read + len, written);
            (read, written) = (read + len, written + len);
            if self.rest[read] == b'"' {
                let text: &'b [u8] = self.cut(read);
                self.at = 1;
                return Ok(text_of(&text[..written]));
            }
            let (character, taken) = self.escape(read)?;
            written += character.encode_utf8(&mut self.rest[written..]).len();
            read += taken;
            len = match memchr2(b'"', b'\\', &self.rest[read..]) {
                Some(len) => len,
                None => {
                    self.at = read;
                    return Err(self.unclosed());
                }
            };
        }
    }

    /// What the escape at `at` stands for, and its length: never shorter than the character in UTF-8.
    fn escape(&mut self, at: usize) -> Result<(char, usize), ParseError> {
        let character = match self.rest.get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(at),
            other => {
                self.at = if other.is_none() { at + 1 } else { at };
                return Err(self.error("an unknown escape stands"));
            }
        };
        Ok((character, 2))
    }

    fn unicode(&mut self, at: usize) -> Result<(char, usize), ParseError> {
        let Some(unit) = self.hex(at + 2) else {
            self.at = if self.rest.len() < at + 6 { self.rest.len() } else { at };
            return Err(self.error("\\u needs four hexadecimal digits,"));
        };
        if let Some(character) = char::from_u32(unit) {
            return Ok((character, 6));
        }
        // Half of a pair: the high one comes first.
        let low = match self.rest.get(at + 6..at + 8) {
            Some(b"\\u") if unit < 0xdc00 => self.hex(at + 8).filter(|low| (0xdc00..0xe000).contains(low)),
            _ => None,
        };
        let pair = low.and_then(|low| char::from_u32(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)));
        Ok(pair.map_or((char::REPLACEMENT_CHARACTER, 6), |character| (character, 12)))
    }

    fn hex(&self, at: usize) -> Option<u32> {
        let digits = self.rest.get(at..at + 4)?;
        digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
    }

    /// So many bytes of a string as they came: UTF-8 without control characters.
    fn check(&mut self, start: usize, len: usize) -> Result<(), ParseError> {
        let bytes = &self.rest[start..start + len];
        if !bytes.iter().any(|byte| *byte < 0x20) && std::str::from_utf8(bytes).is_ok() {
            return Ok(());
        }
        let control = bytes.iter().position(|byte| *byte < 0x20).unwrap_or(len);
        let (what, at) = match std::str::from_utf8(&bytes[..control]) {
            Ok(_) => ("a control character is not escaped", control),
            Err(error) => ("the text is not UTF-8", error.valid_up_to()),
        };
        self.at = start + at;
        Err(self.error(what))
    }

    /// What is wrong with a string that has no end, from `at` on: something in it, or just that.
    #[cold]
    fn unclosed(&mut self) -> ParseError {
        let start = self.at;
        let len = self.rest.len() - start;
        // A character that is cut by the end is only missing the rest.
        let cut = std::str::from_utf8(&self.rest[start..]).err().filter(|error| error.error_len().is_none());
        let whole = cut.map_or(len, |error| error.valid_up_to());
        match self.check(start, whole) {
            Err(error) => error,
            Ok(()) => {
                self.at = self.rest.len();
                self.error(ENDS)
            }
        }
    }

    /// `-? (0 | 1-9 digits) (. digits)? (e digits)?`
    fn number(&mut self) -> Result<Value<'b>, ParseError> {
        const DIGIT: &str = "a digit is expected";
        let start = self.at;
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let first = self.peek();
        let digits = self.digits();
        if digits == 0 {
            return Err(self.error(DIGIT));
        }
        if first == Some(b'0') && digits > 1 {
            self.at -= digits - 1;
            return Err(self.error("a number may not begin with 0 here,"));
        }
        let mut is_whole = true;
        if self.peek() == Some(b'.') {
            (self.at, is_whole) = (self.at + 1, false);
            if self.digits() == 0 {
                return Err(self.error(DIGIT));
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            (self.at, is_whole) = (self.at + 1, false);
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.error(DIGIT));
            }
        }
        if is_whole && digits <= 18 {
            let digits = &self.rest[start + usize::from(is_negative)..self.at];
            let value = digits.iter().fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
            return Ok(Value::Int(if is_negative { -value } else { value }.into()));
        }
        Ok(self.long_number(start, is_whole))
    }

    fn digits(&mut self) -> usize {
        let count = self.rest[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        count
    }

    /// Fractions, exponents, and whole numbers of more digits than `i64` holds for certain.
    fn long_number(&mut self, start: usize, is_whole: bool) -> Value<'b> {
        let end = self.at;
        let text: &'b [u8] = self.cut(end);
        let text = text_of(&text[start..]);
        if is_whole {
            return text.parse().map_or(Value::Long(text), Value::Int);
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Value::Float(value),
            _ => Value::Long(text),
        }
    }
}

/// Of several members with one name the last value stays, in the place of the first; so nothing that is checked can
/// hide another behind it.
pub(super) fn keep_last<'a>(members: &mut Vec<(&'a str, Value<'a>)>) {
    /// Up to so many members comparing each with each is cheaper than a map.
    const FEW: usize = 16;
    let repeats = |index: usize| members[..index].iter().any(|(name, _)| *name == members[index].0);
    if members.len() <= FEW && !(1..members.len()).any(repeats) {
        return;
    }
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(members.len());
    let mut kept: Vec<(&'a str, Value<'a>)> = Vec::with_capacity(members.len());
    for (name, value) in members.drain(..) {
        match places.entry(name) {
            Entry::Occupied(place) => kept[*place.get()].1 = value,
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push((name, value));
            }
        }
    }
    *members = kept;
}

/// Bytes that were checked piece by piece.
fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("pieces that end at ASCII were UTF-8 each")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(input: impl AsRef<[u8]>) -> Result<String, String> {
        let mut bytes = input.as_ref().to_vec();
        parse_marked(&mut bytes).map(|value| value.to_json()).map_err(|error| error.to_string())
    }

    fn reads(input: impl AsRef<[u8]>, want: &str) {
        assert_eq!(round(&input).as_deref(), Ok(want), "{}", input.as_ref().escape_ascii());
    }

    fn refuses(input: impl AsRef<[u8]>, want: &str) {
        assert_eq!(round(&input), Err(want.to_string()), "{}", input.as_ref().escape_ascii());
    }

    #[test]
    fn values() {
        reads(" { \"a\" : [ 1 , -2, 1.5, true, null ] } ", "{\"a\":[1,-2,1.5,true,null]}");
        reads("\t[\r\n]\n", "[]");
        reads(r#""\u00fc\n\ud83d\uDE00\/\b\f\r\t\"\\ü""#, "\"ü\\n😀/\\u0008\\u000c\\r\\t\\\"\\\\ü\"");
        reads(r#"{"\u0061b":"c","":{}}"#, r#"{"ab":"c","":{}}"#);
        reads("false", "false");
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        reads("\u{feff}{\"a\":1}", "{\"a\":1}");
        refuses("\u{feff}{\"a\" 1}", "':' is expected at byte 8");
        refuses("\u{feff}", "the text is empty at byte 3");
        assert!(parse(&mut "\u{feff}{}".to_string().into_bytes()).is_err());
        refuses("{\u{feff}}", "a name in quotes is expected at byte 1");
    }

    #[test]
    fn numbers_of_any_size() {
        for same in [
            "0",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "-18446744073709551616",
            "170141183460469231731687303715884105727",
            "170141183460469231731687303715884105728",
            "123456789012345678901234567890123456789012345678901234567890",
            "-123456789012345678901234567890123456789012345678901234567890",
            "1e400",
            "-1.5E+999",
        ] {
            reads(same, same);
        }
        reads("-0", "0");
        reads("1e2", "100.0");
        reads("1e-400", "0.0");
        reads("[1e400,1]", "[1e400,1]");
        for (bad, at) in [("-", 1), ("1.", 2), ("1e", 2), ("1e+", 3)] {
            refuses(bad, &format!("the text ends early, at byte {at}"));
            refuses(format!("{bad} "), &format!("a digit is expected at byte {at}"));
        }
        refuses("-x", "a digit is expected at byte 1");
        refuses("01", "a number may not begin with 0 here, at byte 1");
        refuses(".5", "a value is expected at byte 0");
        refuses("+1", "a value is expected at byte 0");
        refuses("0x1", "nothing may follow the value at byte 1");
    }

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        reads(r#""\ud800""#, "\"\u{fffd}\"");
        reads(r#""a\udc00b""#, "\"a\u{fffd}b\"");
        reads(r#""\ud800\ud83d\ude00""#, "\"\u{fffd}😀\"");
        reads(r#""\ude00\ud83d""#, "\"\u{fffd}\u{fffd}\"");
        reads(r#""\ud83dx\ude00\n""#, "\"\u{fffd}x\u{fffd}\\n\"");
        reads(r#"{"\ud800":1}"#, "{\"\u{fffd}\":1}");
    }

    #[test]
    fn errors_name_the_place() {
        refuses("", "the text is empty at byte 0");
        refuses(" \n ", "the text is empty at byte 3");
        refuses("{\"a\":1,}", "a name in quotes is expected at byte 7");
        refuses("{\"a\":1 \"b\":2}", "',' or '}' is expected at byte 7");
        refuses("{\"ü\":x}", "a value is expected at byte 6");
        refuses(r#"{"\u0061\n":x}"#, "a value is expected at byte 12");
        refuses("[1,]", "a value is expected at byte 3");
        refuses("[1 2]", "',' or ']' is expected at byte 3");
        refuses("{'a':1}", "a name in quotes is expected at byte 1");
        refuses("{\"a\":1} x", "nothing may follow the value at byte 8");
        refuses("nul", "the text ends early, at byte 3");
        refuses("nulx", "a value is expected at byte 0");
        refuses("[tru]", "a value is expected at byte 1");
        refuses("NaN", "a value is expected at byte 0");
        refuses("{\"a\"", "the text ends early, at byte 4");
        refuses("[\"a", "the text ends early, at byte 3");
        refuses("[\"\\", "the text ends early, at byte 3");
        refuses("[\"\\u00", "the text ends early, at byte 6");
        refuses("[\"\\u00zz\"", "\\u needs four hexadecimal digits, at byte 2");
        refuses("[\"ab\\x\"]", "an unknown escape stands at byte 4");
        refuses("[\"a\nb\"]", "a control character is not escaped at byte 3");
        refuses("[\"\\n\0\"]", "a control character is not escaped at byte 4");
        refuses("[\"a\n", "a control character is not escaped at byte 3");
        refuses(b"[\"a\xff\"]", "the text is not UTF-8 at byte 3");
        refuses(b"[\"\\n\xc3\"]", "the text is not UTF-8 at byte 4");
        refuses(b"[\"a\xff", "the text is not UTF-8 at byte 3");
        refuses(b"[\"a\xc3", "the text ends early, at byte 4");
        refuses(b"\xff\xfe{\0", "the text is UTF-16 instead of UTF-8 at byte 0");
        refuses(b"\x1f\x8b\x08", "the text is compressed at byte 0");
        refuses("[".repeat(100), "too deeply nested at byte 65");
        refuses("{\"\":".repeat(70), "too deeply nested at byte 260");
        reads("[".repeat(65) + &"]".repeat(65), &("[".repeat(65) + &"]".repeat(65)));
    }
}
