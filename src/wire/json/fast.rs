//! The fast way: simd-json reads what nearly every client sends.
//!
//! It refuses more than the RFC does (numbers beyond 64 bits, lone surrogates), explains itself in words of its own,
//! and leaves the text half unescaped; so whatever it refuses is put back and read by [`super::parse`].

use memchr::{memchr, memchr2_iter};
use simd_json::{Node, StaticNode};

use super::Value;
use super::parse::{DEPTH_MAX, keep_last};
use crate::limits::JSON_COUNT_MAX;

/// The value of a text that simd-json takes.
///
/// # Errors
/// Gives the text back as it was.
pub(super) fn read(text: &mut [u8]) -> Result<Value<'_>, &mut [u8]> {
    if may_be_too_many(text) {
        return Err(text);
    }
    // simd-json writes into the text from its first escape on, even when it refuses it in the end.
    let begin = memchr(b'\\', text).unwrap_or(text.len());
    let mut original = text[begin..].to_vec();
    let place: *mut [u8] = text;
    // SAFETY: `place` is the exclusive borrow that this function was given, and nothing uses it beside the tape. A
    // value that borrows from the tape is returned at once.
    let tape = simd_json::to_tape(unsafe { &mut *place });
    let tape = tape.ok().filter(|tape| tape.0.len() <= JSON_COUNT_MAX);
    let value = tape.and_then(|tape| next(&mut tape.0.into_iter(), 0));
    let result = value.ok_or_else(|| {
        // SAFETY: without a value nothing borrows from the text any more: the tape is gone.
        let text = unsafe { &mut *place };
        text[begin..].copy_from_slice(&original);
        text
    });
    // It may have held a password, which is nobody's to find in memory. Seen, the zeros cannot be left out.
    original.fill(0);
    std::hint::black_box(&original);
    result
}

/// Whether there may be more names and values than are read: simd-json would make a node of each, the slow way stops at
/// the one that is too many. Each takes two bytes, the shortest number and what parts it from the next.
fn may_be_too_many(text: &[u8]) -> bool {
    text.len() > 2 * JSON_COUNT_MAX && memchr2_iter(b',', b':', text).nth(JSON_COUNT_MAX).is_some()
}

/// The next value of a tape; `None` when it is nested too deeply.
fn next<'a>(nodes: &mut impl Iterator<Item = Node<'a>>, depth: usize) -> Option<Value<'a>> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match nodes.next()? {
        Node::String(text) => Value::Str(text),
        Node::Static(StaticNode::Null) => Value::Null,
        Node::Static(StaticNode::Bool(value)) => Value::Bool(value),
        Node::Static(StaticNode::I64(value)) => Value::Int(value.into()),
        Node::Static(StaticNode::U64(value)) => Value::Int(value.into()),
        Node::Static(StaticNode::F64(value)) => Value::Float(value),
        Node::Array { len, .. } => {
            let mut items = Vec::with_capacity(len);
            for _ in 0..len {
                items.push(next(nodes, depth + 1)?);
            }
            Value::Array(items)
        }
        Node::Object { len, .. } => {
            let mut members = Vec::with_capacity(len);
            for _ in 0..len {
                let Some(Node::String(name)) = nodes.next() else { return None };
                members.push((name, next(nodes, depth + 1)?));
            }
            keep_last(&mut members);
            Value::Object(members)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::parse::{parse, parse_slowly};
    use super::*;

    /// Texts of the grammar and just beside it.
    fn text(random: &mut fastrand::Rng, depth: usize) -> String {
        const ATOMS: &[&str] = &[
            "0",
            "-0",
            "1",
            "-17",
            "1.5",
            "-2e3",
            "1E-7",
            "0.1",
            "123456789012345678",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "1e308",
            "1e400",
            "01",
            "1.",
            "true",
            "false",
            "null",
            "nul",
            "\"\"",
            "\"a\\u00e4\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "\"\\x\"",
            "\"ü\"",
            " ",
            // simd-json looks at 32 bytes at a time.
            "\"more than thirty-two bytes of text before any \\\"escape\\\" of it\"",
            "\"thirty-two bytes and no escape...\"",
            "\"\\u00fc and then more than thirty-two bytes of text, and at its end \\ud800\"",
            "\"more than thirty-two bytes of text before what is \\x no escape\"",
        ];
        let many = |random: &mut fastrand::Rng| random.usize(0..4);
        match random.usize(0..8) {
            0 if depth < 6 => {
                let count = many(random);
                let items: Vec<String> = (0..count).map(|_| text(random, depth + 1)).collect();
                format!("[{}]", items.join(","))
            }
            1 if depth < 6 => {
                let count = many(random);
                let item = |random: &mut fastrand::Rng| {
                    let name = random.choice(["\"a\"", "\"b\"", "\"\\u0061\""]).unwrap_or_default();
                    format!("{name} : {}", text(random, depth + 1))
                };
                let items: Vec<String> = (0..count).map(|_| item(random)).collect();
                format!("{{{}}}", items.join(" ,"))
            }
            _ => ATOMS[random.usize(0..ATOMS.len())].to_string(),
        }
    }

    #[test]
    fn both_ways_read_the_same() {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut fast, mut slow) = (0, 0);
        for _ in 0..40_000 {
            let text = text(&mut random, 0);
            let (mut first, mut second, mut third) =
                (text.clone().into_bytes(), text.clone().into_bytes(), text.clone().into_bytes());
            let want = parse_slowly(&mut second);
            match read(&mut first) {
                Ok(value) => {
                    assert_eq!(Ok(value), want, "{text}");
                    fast += 1;
                }
                Err(back) => {
                    assert_eq!(back, text.as_bytes());
                    slow += 1;
                }
            }
            assert_eq!(parse(&mut third), want, "{text}");
        }
        assert!(fast > 5_000, "{fast} texts went the fast way");
        assert!(slow > 5_000, "{slow} texts went the slow way");
    }
    /// What [`read`] puts back is what it takes to have been written to.
    #[test]
    fn nothing_is_written_before_the_first_escape() {
        for len in [0, 1, 30, 31, 32, 33, 63, 64, 65, 300, 5_000] {
            let plain = format!("[\"{}\",1.5,{{\"a\":\"{}\"}}", "x".repeat(len), "y".repeat(len));
            for end in ["]", "", ",\"\\n\"]", ",\"\\x\"]", ",\"\\ud800\"]", ",1e400]", ",\"\\n\",01]"] {
                let text = format!("{plain}{end}");
                let mut bytes = text.clone().into_bytes();
                drop(simd_json::to_tape(&mut bytes));
                let begin = memchr(b'\\', text.as_bytes()).unwrap_or(text.len());
                assert_eq!(bytes[..begin], text.as_bytes()[..begin], "{text}");
                let mut bytes = text.clone().into_bytes();
                if let Err(back) = read(&mut bytes) {
                    assert_eq!(back, text.as_bytes());
                }
            }
        }
    }

    #[test]
    fn more_names_and_values_than_any_body_has_are_refused_either_way() {
        let list = |count: usize| format!("[{}]", vec!["0"; count].join(","));
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|index| format!("\"{index}\":[]")).collect();
            format!("{{{}}}", members.join(","))
        };
        let check = |text: String, is_taken: bool| {
            assert_eq!(read(&mut text.clone().into_bytes()).is_ok(), is_taken);
            let slow = parse_slowly(&mut text.clone().into_bytes()).map(drop);
            let error = slow.err().map(|error| error.to_string());
            assert_eq!(error.is_none(), is_taken);
            assert!(error.is_none_or(|error| error.starts_with("more names and values than ")), "{text}");
        };
        check(list(JSON_COUNT_MAX - 1), true);
        check(list(JSON_COUNT_MAX), false);
        check(object((JSON_COUNT_MAX - 1) / 2), true);
        check(object((JSON_COUNT_MAX - 1) / 2 + 1), false);
        check(format!("[{}", list(70_000)), false);
        // What only looks like too many is read all the same.
        let text = format!("[\"{}\"]", ",:".repeat(JSON_COUNT_MAX));
        let want = parse_slowly(&mut text.clone().into_bytes()).unwrap().to_json();
        assert_eq!(parse(&mut text.into_bytes()).unwrap().to_json(), want);
    }
}
