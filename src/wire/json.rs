//! JSON in and out.
//!
//! Out: values are appended to a `Vec<u8>` by hand; objects and arrays close themselves. In: a small tree
//! that borrows from the request buffer. Depth is bounded, nothing panics.
//!
//! The unit of times is a setting of the process; why, and why nothing depends on it that is stored, says
//! `domain/view.rs`.

mod fast;
mod parse;
pub mod shape;

pub use parse::{ParseError, parse, parse_marked, parse_own};

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::PAGE_LEN_MAX;

/// Milliseconds per unit of the times in JSON: 1,000 for seconds (default), 1 for milliseconds.
static TIME_UNIT_MS: AtomicU64 = AtomicU64::new(1_000);

/// Chooses the unit of every time in answers, events and requests (`api.timestamp_unit`). Called once at start.
pub fn set_time_unit_ms(unit_ms: u64) {
    assert!(unit_ms == 1 || unit_ms == 1_000);
    TIME_UNIT_MS.store(unit_ms, Ordering::Relaxed);
}

/// A number that a client gives as a time, as Unix milliseconds.
pub fn from_wire_time(time: u64) -> u64 {
    time.saturating_mul(TIME_UNIT_MS.load(Ordering::Relaxed))
}

/// Unix milliseconds as the number that clients see.
pub fn to_wire_time(unix_ms: u64) -> u64 {
    unix_ms / TIME_UNIT_MS.load(Ordering::Relaxed)
}

// ---------------------------------------------------------------------------------------------- out

/// Appends `{…}`; the brace closes when the value is dropped.
pub struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, empty: true }
    }

    /// Appends the name and hands out the buffer for the value.
    pub fn key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// Like [`Object::key`], for names that come from outside and may need escapes.
    pub fn dynamic_key(&mut self, key: &str) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        write_str(self.out, key);
        self.out.push(b':');
        self.out
    }

    pub fn str(&mut self, key: &str, value: &str) -> &mut Self {
        write_str(self.key(key), value);
        self
    }

    pub fn opt_str(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.str(key, value),
            None => self.null(key),
        }
    }

    /// An id: decimal, in quotes.
    pub fn id(&mut self, key: &str, id: u64) -> &mut Self {
        write_id(self.key(key), id);
        self
    }

    /// Left out when there is none.
    pub fn some_id(&mut self, key: &str, id: Option<u64>) -> &mut Self {
        match id {
            Some(id) => self.id(key, id),
            None => self,
        }
    }

    /// Left out when there is none.
    pub fn some_str(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.str(key, value),
            None => self,
        }
    }

    pub fn opt_id(&mut self, key: &str, id: Option<u64>) -> &mut Self {
        match id {
            Some(id) => self.id(key, id),
            None => self.null(key),
        }
    }

    pub fn u64(&mut self, key: &str, value: u64) -> &mut Self {
        write_u64(self.key(key), value);
        self
    }

    pub fn opt_u64(&mut self, key: &str, value: Option<u64>) -> &mut Self {
        match value {
            Some(value) => self.u64(key, value),
            None => self.null(key),
        }
    }

    pub fn i64(&mut self, key: &str, value: i64) -> &mut Self {
        let mut digits = itoa::Buffer::new();
        self.key(key).extend_from_slice(digits.format(value).as_bytes());
        self
    }

    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { b"true" } else { b"false" })
    }

    pub fn null(&mut self, key: &str) -> &mut Self {
        self.raw(key, b"null")
    }

    /// A value that is JSON already.
    pub fn raw(&mut self, key: &str, json: &[u8]) -> &mut Self {
        self.key(key).extend_from_slice(json);
        self
    }

    /// Unix milliseconds, in the configured unit.
    pub fn time(&mut self, key: &str, unix_ms: u64) -> &mut Self {
        self.u64(key, to_wire_time(unix_ms))
    }

    pub fn opt_time(&mut self, key: &str, unix_ms: Option<u64>) -> &mut Self {
        self.opt_u64(key, unix_ms.map(to_wire_time))
    }

    pub fn object(&mut self, key: &str) -> Object<'_> {
        Object::new(self.key(key))
    }

    pub fn array(&mut self, key: &str) -> Array<'_> {
        Array::new(self.key(key))
    }
}

impl Drop for Object<'_> {
    fn drop(&mut self) {
        self.out.push(b'}');
    }
}

/// Appends `[…]`; the bracket closes when the value is dropped.
pub struct Array<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
    begin: usize,
}

impl<'a> Array<'a> {
    pub fn new(out: &'a mut Vec<u8>) -> Array<'a> {
        out.push(b'[');
        Array { begin: out.len(), out, empty: true }
    }

    /// A list that goes on in another page must end here: rows are no measure of bytes.
    pub fn is_full(&self) -> bool {
        self.out.len() - self.begin >= PAGE_LEN_MAX
    }

    /// Hands out the buffer for the next item.
    pub fn item(&mut self) -> &mut Vec<u8> {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out
    }

    pub fn object(&mut self) -> Object<'_> {
        Object::new(self.item())
    }

    pub fn str(&mut self, value: &str) {
        write_str(self.item(), value);
    }

    pub fn id(&mut self, id: u64) {
        write_id(self.item(), id);
    }
}

impl Drop for Array<'_> {
    fn drop(&mut self) {
        self.out.push(b']');
    }
}

pub fn write_u64(out: &mut Vec<u8>, value: u64) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(digits.format(value).as_bytes());
}

pub fn write_id(out: &mut Vec<u8>, id: u64) {
    out.push(b'"');
    write_u64(out, id);
    out.push(b'"');
}

/// Appends a quoted string. Only `"`, `\` and control characters are escaped (RFC 8259 §7).
///
/// Cost: a dozen operations for eight bytes, and one copy per run without escapes.
pub fn write_str(out: &mut Vec<u8>, text: &str) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len() + 2);
    out.push(b'"');
    while let Some(at) = first_escaped(rest) {
        out.extend_from_slice(&rest[..at]);
        write_escape(out, rest[at]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Where the first byte is that has to be escaped.
fn first_escaped(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        if let Some(at) = escaped_in(*word) {
            return Some(8 * index + at);
        }
    }
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    escaped_in(last).map(|at| 8 * words.len() + at)
}

/// The same of eight bytes, looked at together. What a subtraction borrows reaches greater bytes alone, so the least
/// that is marked is right.
fn escaped_in(word: [u8; 8]) -> Option<usize> {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    // Marks bytes below a limit, of those that are ASCII.
    let below = |word: u64, limit: u64| word.wrapping_sub(limit * EACH) & !word & HIGH;
    let word = u64::from_le_bytes(word);
    let is = |byte: u8| below(word ^ (u64::from(byte) * EACH), 1);
    let marked = below(word, 0x20) | is(b'"') | is(b'\\');
    (marked != 0).then(|| marked.trailing_zeros() as usize / 8)
}

#[cold]
fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            let digits = [HEX[(byte >> 4) as usize], HEX[(byte & 15) as usize]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        }
    }
}

// ----------------------------------------------------------------------------------------------- in

/// A JSON value that borrows from the buffer it was parsed from.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// An integer without fraction or exponent.
    Int(i128),
    Float(f64),
    /// A number that fits neither, as it is spelled.
    Long(&'a str),
    Str(&'a str),
    Array(Vec<Value<'a>>),
    /// Members in the order given, each name once: of several with one name the last counts.
    Object(Vec<(&'a str, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// The member of that name; `None` when absent or when this is no object.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        match self {
            Value::Object(members) => members.iter().find(|(name, _)| *name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An integer; `1.0` counts, `1.5` and `"1"` do not.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Value::Int(value) => Some(*value),
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i128),
            // Beyond every range that is asked for.
            Value::Long(text) if !text.contains(['.', 'e', 'E']) => {
                Some(if text.starts_with('-') { i128::MIN } else { i128::MAX })
            }
            _ => None,
        }
    }

    /// An id: a decimal string or a non-negative integer.
    pub fn as_id(&self) -> Option<u64> {
        match self {
            Value::Str(text) => crate::id::parse_id(text),
            Value::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn as_object(&self) -> Option<&[(&'a str, Value<'a>)]> {
        match self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// What a person would call this value, for error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) | Value::Long(_) => "a number",
            Value::Str(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// Appends the value as compact JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Int(value) => {
                let mut digits = itoa::Buffer::new();
                out.extend_from_slice(digits.format(*value).as_bytes());
            }
            // Finite by construction: JSON has no spelling for the others. `{:?}` keeps the ".0".
            Value::Float(value) => out.extend_from_slice(format!("{value:?}").as_bytes()),
            Value::Long(text) => out.extend_from_slice(text.as_bytes()),
            Value::Str(text) => write_str(out, text),
            Value::Array(items) => {
                let mut array = Array::new(out);
                for item in items {
                    item.write(array.item());
                }
            }
            Value::Object(members) => {
                let mut object = Object::new(out);
                for (key, value) in members {
                    value.write(object.dynamic_key(key));
                }
            }
        }
    }

    /// The value as a compact JSON string.
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).expect("strings in a Value are UTF-8 and all else is ASCII")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(input: &str) -> Result<String, ParseError> {
        let mut bytes = input.as_bytes().to_vec();
        parse(&mut bytes).map(|value| value.to_json())
    }

    #[test]
    fn last_member_of_a_name_counts() {
        let mut bytes = br#"{"op":99,"op":1}"#.to_vec();
        assert_eq!(parse(&mut bytes).unwrap().get("op").unwrap().as_int(), Some(1));
        let check = |input: &str, want: &str| assert_eq!(round(input).as_deref(), Ok(want), "{input}");
        check(r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#);
        check(r#"{"a":1,"\u0061":2}"#, r#"{"a":2}"#);
        check(r#"[{"x":{"a":1,"a":{"b":1,"b":2}}}]"#, r#"[{"x":{"a":{"b":2}}}]"#);
        let many: Vec<String> = (0..40).map(|index| format!("\"k{}\":{index}", index % 20)).collect();
        let last: Vec<&str> = many[20..].iter().map(String::as_str).collect();
        check(&format!("{{{}}}", many.join(",")), &format!("{{{}}}", last.join(",")));
    }

    #[test]
    fn integers_and_ids_by_their_spelling() {
        let check = |input: &str, int: Option<i128>, id: Option<u64>| {
            let mut bytes = input.as_bytes().to_vec();
            let value = parse(&mut bytes).unwrap();
            assert_eq!((value.as_int(), value.as_id()), (int, id), "{input}");
        };
        check("1", Some(1), Some(1));
        check("1.0", Some(1), None);
        check("1.5", None, None);
        check("18446744073709551616", Some(1 << 64), None);
        check(&"9".repeat(50), Some(i128::MAX), None);
        check(&format!("-{}", "9".repeat(50)), Some(i128::MIN), None);
        check("1e400", None, None);
        check("-1", Some(-1), None);
        check("\"12\"", None, Some(12));
        check("\"x\"", None, None);
        check("true", None, None);
    }

    #[test]
    fn every_escape_is_found_wherever_it_stands() {
        let by_byte = |text: &str| {
            let mut out = vec![b'"'];
            for &byte in text.as_bytes() {
                match byte {
                    b'"' | b'\\' | ..0x20 => write_escape(&mut out, byte),
                    _ => out.push(byte),
                }
            }
            out.push(b'"');
            out
        };
        let mut random = fastrand::Rng::with_seed(7);
        let mut texts: Vec<String> = Vec::new();
        for sign in (0..0x80).map(char::from) {
            texts.extend((0..20).map(|at| format!("{}{sign}{}", "é".repeat(at), "!".repeat(20 - at))));
        }
        // Few signs, at the borders of what is looked for, so that many stand side by side.
        let signs = ['\0', '\x1f', ' ', '!', '"', '#', '[', '\\', ']', '\x7f', '\u{80}', '\u{a2}', '東'];
        texts.extend(
            (0..5_000).map(|_| (0..random.usize(..40)).map(|_| signs[random.usize(..signs.len())]).collect()),
        );
        for text in texts {
            let mut out = Vec::new();
            write_str(&mut out, &text);
            assert_eq!(out, by_byte(&text), "{text:?}");
        }
    }

    #[test]
    fn writes_objects_with_escapes() {
        let mut out = Vec::new();
        {
            let mut object = Object::new(&mut out);
            object.str("a", "q\"\\\u{1}\n").id("b", 7).opt_str("c", None).bool("d", true);
            object.array("e").str("x");
            object.object("f").time("t", 1_700_000_000_999);
        }
        let want = r#"{"a":"q\"\\\u0001\n","b":"7","c":null,"d":true,"e":["x"],"f":{"t":1700000000}}"#;
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
