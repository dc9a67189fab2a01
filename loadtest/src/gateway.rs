//! What the gateway's messages look like, as far as a load generator cares.
//!
//! Owns: the head of an inbound message (`op`, `t`, `s`) and the client messages.
//! Invariant: scanning allocates nothing and reads no further than it must.

use std::io::Write;

/// The outer keys of one gateway message.
#[derive(Debug, Default, PartialEq)]
pub struct Head<'a> {
    pub op: u64,
    /// Event name of a dispatch, else empty.
    pub t: &'a [u8],
    /// Sequence number of a dispatch.
    pub s: Option<u64>,
}

/// Reads `op`, `t` and `s` whatever their order; `None` when `text` is not an object with an integer `op`.
pub fn head(text: &[u8]) -> Option<Head<'_>> {
    let mut head = Head::default();
    let mut op = None;
    for_each_key(text, |key, value| {
        match key {
            b"op" => op = integer(value),
            b"t" => head.t = unquote(value),
            b"s" => head.s = integer(value),
            _ => {}
        }
        // A dispatch needs all three; any other op has nothing else of interest.
        let done = op.is_some_and(|op| op != 0) || (op.is_some() && head.s.is_some() && !head.t.is_empty());
        !done
    })?;
    head.op = op?;
    Some(head)
}

/// The raw value of a top-level key, or `None`.
pub fn value_of<'a>(text: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut found = None;
    for_each_key(text, |key, value| {
        if key == wanted {
            found = Some(value);
        }
        found.is_none()
    })?;
    found
}

/// The text of a top-level string key without escapes (ids, tokens, names), or `None`.
pub fn string_of<'a>(text: &'a [u8], wanted: &[u8]) -> Option<&'a str> {
    let value = value_of(text, wanted)?;
    (value.first() == Some(&b'"')).then(|| std::str::from_utf8(unquote(value)).ok())?
}

pub fn integer(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => &[],
    }
}

/// Calls `visit` with each top-level key and its raw value until it answers false.
/// `None` when the bytes run out or are no object before that.
fn for_each_key<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8]) -> bool) -> Option<()> {
    let mut at = skip_space(text, 0);
    if *text.get(at)? != b'{' {
        return None;
    }
    at = skip_space(text, at + 1);
    while *text.get(at)? != b'}' {
        let key_end = skip_value(text, at)?;
        let key = unquote(&text[at..key_end]);
        at = skip_space(text, key_end);
        if *text.get(at)? != b':' {
            return None;
        }
        at = skip_space(text, at + 1);
        let end = skip_value(text, at)?;
        if !visit(key, &text[at..end]) {
            return Some(());
        }
        at = skip_space(text, end);
        if *text.get(at)? == b',' {
            at = skip_space(text, at + 1);
        }
    }
    Some(())
}

fn skip_space(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The end of the JSON value that starts at `at`. Nesting is counted, not checked for matching kinds.
fn skip_value(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match *text.get(at)? {
            b'"' => {
                at += 1;
                loop {
                    match *text.get(at)? {
                        b'\\' => at += 2,
                        b'"' => break,
                        _ => at += 1,
                    }
                }
                at += 1;
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            _ if depth == 0 => {
                let start = at;
                while text
                    .get(at)
                    .is_some_and(|b| !matches!(b, b',' | b'}' | b']') && !b.is_ascii_whitespace())
                {
                    at += 1;
                }
                if at == start {
                    return None;
                }
            }
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// How many elements a JSON array has, and the last one. What is no array has none.
pub fn elements(text: &[u8]) -> (usize, Option<&[u8]>) {
    let mut at = skip_space(text, 0);
    let (mut count, mut last) = (0, None);
    if text.get(at) != Some(&b'[') {
        return (0, None);
    }
    at = skip_space(text, at + 1);
    while let Some(end) = skip_value(text, at) {
        count += 1;
        last = Some(&text[at..end]);
        at = skip_space(text, end);
        if text.get(at) != Some(&b',') {
            break;
        }
        at = skip_space(text, at + 1);
    }
    (count, last)
}

/// PRESENCE_UPDATE (op 3) to a status.
pub fn presence(out: &mut Vec<u8>, status: &str) {
    let _ = write!(out, r#"{{"op":3,"d":{{"status":"{status}"}}}}"#);
}

/// IDENTIFY with the token and intents of a session.
pub fn identify(out: &mut Vec<u8>, token: &str, intents: u32) {
    let _ = write!(
        out,
        r#"{{"op":2,"d":{{"token":"{token}","intents":{intents},"properties":{{"os":"linux","browser":"loadtest","device":"loadtest"}}}}}}"#
    );
}

/// RESUME after event `seq` of `session_id`.
pub fn resume(out: &mut Vec<u8>, token: &str, session_id: &str, seq: u64) {
    let _ = write!(out, r#"{{"op":6,"d":{{"token":"{token}","session_id":"{session_id}","seq":{seq}}}}}"#);
}

pub fn heartbeat(out: &mut Vec<u8>, seq: u64) {
    let _ = write!(out, r#"{{"op":1,"d":{seq}}}"#);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marker::{Marker, post_body};

    #[test]
    fn heads() {
        for (text, want) in [
            (r#"{"op":0,"t":"READY","s":1,"d":{"op":5}}"#, Some((0, "READY", Some(1)))),
            (r#" { "d" : {"s":9,"t":["x\"}",{}]}, "s" : 22 , "op":0, "t":"A"}"#, Some((0, "A", Some(22)))),
            (r#"{"op":11}"#, Some((11, "", None))),
            (r#"{"op":9,"d":false}"#, Some((9, "", None))),
            (r#"{"op":10,"d":{"heartbeat_interval":45000}}"#, Some((10, "", None))),
            (r#"{"d":null}"#, None),
            (r#"{"op":"x"}"#, None),
            (r#"{"op":0"#, None),
            (r#"{"op"}"#, None),
            ("[]", None),
            ("", None),
            ("{,}", None),
            (r#"{"d":"unfinished \"#, None),
        ] {
            let got = head(text.as_bytes());
            let got = got.map(|h| (h.op, std::str::from_utf8(h.t).unwrap().to_string(), h.s));
            assert_eq!(got, want.map(|(op, t, s)| (op, t.to_string(), s)), "{text}");
        }
    }

    #[test]
    fn values_of_keys() {
        let text = br#"{"a":{"id":"1"},"id":"22","n":null,"l":[1,2]}"#;
        assert_eq!(string_of(text, b"id"), Some("22"));
        assert_eq!(string_of(text, b"l"), None);
        assert_eq!(value_of(text, b"a"), Some(&br#"{"id":"1"}"#[..]));
        assert_eq!(value_of(text, b"n"), Some(&b"null"[..]));
        assert_eq!(value_of(text, b"zz"), None);
    }

    #[test]
    fn elements_of_arrays() {
        for (text, want) in [
            ("[]", (0, None)),
            (" [ 1 , {\"a\":[2,3]} ]", (2, Some("{\"a\":[2,3]}"))),
            ("[\"x,y\"]", (1, Some("\"x,y\""))),
            ("{\"a\":1}", (0, None)),
            ("", (0, None)),
        ] {
            let (count, last) = elements(text.as_bytes());
            assert_eq!((count, last.map(|l| std::str::from_utf8(l).unwrap())), want, "{text}");
        }
    }

    #[test]
    fn client_messages_are_json() {
        let mut out = Vec::new();
        for write in [
            |out: &mut Vec<u8>| identify(out, "1.abc", 513),
            |out: &mut Vec<u8>| resume(out, "1.abc", "00ff", 9),
            |out: &mut Vec<u8>| heartbeat(out, 3),
            |out: &mut Vec<u8>| presence(out, "idle"),
            |out: &mut Vec<u8>| post_body(out, Marker { run: 1, seq: 2, at_ns: 3 }, 36 + 11),
        ] {
            out.clear();
            write(&mut out);
            simd_json::to_owned_value(&mut out.clone()).unwrap();
        }
    }
}
