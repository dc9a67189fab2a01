//! The fast way: simd-json reads what nearly every client sends.
//!
//! It refuses more than the RFC does (numbers beyond 64 bits, lone surrogates), explains itself in words of its own,
//! and leaves the text half unescaped; so whatever it refuses is put back and read by [`super::parse`].

use std::cell::RefCell;

use simd_json::{Node, StaticNode};

use super::Value;
use super::parse::{DEPTH_MAX, keep_last};
use crate::limits::POOLED_LEN_MAX;

thread_local! {
    /// The text as it came: simd-json writes into it even when it refuses it in the end.
    static ORIGINAL: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The value of a text that simd-json takes.
///
/// # Errors
/// Gives the text back as it was.
pub(super) fn read(text: &mut [u8]) -> Result<Value<'_>, &mut [u8]> {
    ORIGINAL.with_borrow_mut(|original| {
        original.clear();
        original.extend_from_slice(text);
    });
    let place: *mut [u8] = text;
    // SAFETY: `place` is the exclusive borrow that this function was given, and nothing uses it beside the tape. A
    // value that borrows from the tape is returned at once.
    let tape = simd_json::to_tape(unsafe { &mut *place });
    let value = tape.ok().and_then(|tape| next(&mut tape.0.into_iter(), 0));
    let result = value.ok_or_else(|| {
        // SAFETY: without a value nothing borrows from the text any more: the tape is gone.
        let text = unsafe { &mut *place };
        ORIGINAL.with_borrow(|original| text.copy_from_slice(original));
        text
    });
    // It may have held a password, which is nobody's to find in memory.
    ORIGINAL.with_borrow_mut(|original| {
        original.fill(0);
        original.shrink_to(POOLED_LEN_MAX);
    });
    result
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
}
