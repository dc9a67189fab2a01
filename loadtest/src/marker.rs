//! What a measured message says of itself, so that whoever receives it knows which it is and whether it is whole.
//!
//! Owns: the marker at the beginning of a message's text, the filler behind it, and the check over both.
//! Invariant: a text in which any byte was changed, added or left out is not taken for whole (but once in 2^35).

use memchr::{memchr, memmem};

/// Says which post of which run a message is, and when it was sent:
/// `~RRRRRRRSSSSSSSTTTTTTTTTTTTTCCCCCCC~`, digits to the base 32. It begins the message's text and comes back in each
/// MESSAGE_CREATE. C is a check over the whole text but itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Marker {
    pub run: u32,
    pub seq: u32,
    /// Monotonic nanoseconds, comparable between processes of one machine.
    pub at_ns: u64,
}

/// A marker in some text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    pub marker: Marker,
    /// Marker and filler are as they were written, and nothing stands before them.
    pub whole: bool,
    /// Where it begins.
    pub at: usize,
}

const DIGITS: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";
/// Where the check stands within the marker.
const CHECK: std::ops::Range<usize> = 28..35;
const FILLER: &[u8] = b" the quick brown fox jumps over the lazy dog";

impl Marker {
    pub const LEN: usize = 36;

    /// Finds a marker in a message. `hint` remembers where the last one stood: messages of a run look alike.
    pub fn find(text: &[u8], hint: &mut usize) -> Option<Found> {
        let at = match text.get(*hint..*hint + Self::LEN).and_then(Self::read) {
            Some(_) => *hint,
            None => Self::search(text, 0)?,
        };
        *hint = at;
        Some(Self::look(text, at))
    }

    /// All markers of a page of messages.
    pub fn all(page: &[u8]) -> impl Iterator<Item = Found> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let at = Self::search(page, from)?;
            from = at + Self::LEN;
            Some(Self::look(page, at))
        })
    }

    /// Where the first marker from `from` on begins.
    fn search(text: &[u8], mut from: usize) -> Option<usize> {
        while let Some(i) = memchr(b'~', text.get(from..)?) {
            from += i;
            if text.get(from..from + Self::LEN).and_then(Self::read).is_some() {
                return Some(from);
            }
            from += 1;
        }
        None
    }

    /// Reads the marker that begins at `at`. Its text goes on to the end of the JSON string, or of everything.
    fn look(text: &[u8], at: usize) -> Found {
        let marker = Self::read(&text[at..at + Self::LEN]).expect("a marker begins here");
        let rest = &text[at..];
        let content = &rest[..memchr(b'"', rest).unwrap_or(rest.len())];
        let begins = matches!(text[..at], [.., b'"'] | [b'P'] | []);
        let whole = begins && number(&content[CHECK]) == Some(check(content));
        Found { marker, whole, at }
    }

    fn read(text: &[u8]) -> Option<Marker> {
        if text[0] != b'~' || text[Self::LEN - 1] != b'~' {
            return None;
        }
        number(&text[CHECK])?;
        let small = |digits: &[u8]| number(digits).and_then(|n| u32::try_from(n).ok());
        Some(Marker { run: small(&text[1..8])?, seq: small(&text[8..15])?, at_ns: number(&text[15..28])? })
    }
}

/// The number that the digits are, if they are digits and it fits.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |n, &byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'v' => byte - b'a' + 10,
            _ => return None,
        };
        (n >> 59 == 0).then_some(n << 5 | u64::from(digit))
    })
}

fn write_digits(out: &mut Vec<u8>, n: u64, count: u32) {
    out.extend((0..count).rev().map(|i| DIGITS[(n >> (5 * i)) as usize & 31]));
}

/// 35 bits over the text without its check. Each step is a bijection of the state, so that no single change is lost.
fn check(text: &[u8]) -> u64 {
    let mut state = text.len() as u64;
    for part in [&text[..CHECK.start], &text[CHECK.end..]] {
        let mut words = part.chunks_exact(8);
        let last = |rest: &[u8]| rest.iter().fold(1u64, |word, &byte| word << 8 | u64::from(byte));
        let mut take = |word: u64| {
            state = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        };
        words.by_ref().for_each(|word| take(u64::from_le_bytes(word.try_into().expect("eight bytes"))));
        take(last(words.remainder()));
    }
    (state ^ state >> 32) & ((1 << 35) - 1)
}

/// The JSON body of a measured post: the marker, then filler up to `content_len` characters.
pub fn post_body(out: &mut Vec<u8>, marker: Marker, content_len: usize) {
    out.extend_from_slice(br#"{"content":""#);
    marked_text(out, marker, content_len);
    out.extend_from_slice(br#""}"#);
}

/// The marker, then filler up to `len` characters.
pub fn marked_text(out: &mut Vec<u8>, marker: Marker, len: usize) {
    let start = out.len();
    out.push(b'~');
    write_digits(out, u64::from(marker.run), 7);
    write_digits(out, u64::from(marker.seq), 7);
    write_digits(out, marker.at_ns, 13);
    write_digits(out, 0, 7);
    out.push(b'~');
    out.extend(FILLER.iter().cycle().take(len.saturating_sub(Marker::LEN)));
    // A blank at the end might be trimmed by a server; the text must come back as sent.
    if out.last() == Some(&b' ') {
        *out.last_mut().expect("just written") = b'.';
    }
    let mut digits = Vec::with_capacity(7);
    write_digits(&mut digits, check(&out[start..]), 7);
    out[start + CHECK.start..start + CHECK.end].copy_from_slice(&digits);
}

/// The id of the message of a MESSAGE_CREATE; 0 when there is none.
pub fn message_id(text: &[u8]) -> u64 {
    // The id comes first in what plexichat sends; others may have it anywhere.
    const FIRST: &[u8] = br#""d":{"id":""#;
    let head = &text[..text.len().min(128)];
    let digits = memmem::find(head, FIRST).map(|i| &text[i + FIRST.len()..]);
    let quick = digits.and_then(|digits| {
        let digits = &digits[..memchr(b'"', &digits[..digits.len().min(24)])?];
        std::str::from_utf8(digits).ok()?.parse().ok()
    });
    let slow = || {
        let d = crate::gateway::value_of(text, b"d")?;
        crate::gateway::string_of(d, b"id")?.parse().ok()
    };
    quick.or_else(slow).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = Marker { run: 0xdead_beef, seq: 7, at_ns: u64::MAX - 1 };

    #[test]
    fn markers_come_back() {
        let mut body = Vec::new();
        post_body(&mut body, MARKER, 100);
        assert_eq!(body.len(), r#"{"content":""}"#.len() + 100);
        let mut hint = 0;
        let found = |at| Some(Found { marker: MARKER, whole: true, at });
        assert_eq!(Marker::find(&body, &mut hint), found(12));
        assert_eq!(hint, 12);
        assert_eq!(Marker::find(&body, &mut hint), found(12));
        let mut shifted = b"~~ ~x".to_vec();
        shifted.extend_from_slice(&body);
        assert_eq!(Marker::find(&shifted, &mut hint), found(17));
        for text in ["", "~", "no marker here", "~w000000000000000000000000000000000~"] {
            assert_eq!(Marker::find(text.as_bytes(), &mut 0), None, "{text}");
        }
        let page = [&body[..], b",", &body, b"]"].concat();
        assert_eq!(Marker::all(&page).filter(|found| found.whole).count(), 2);
    }

    #[test]
    fn no_change_of_a_text_goes_unnoticed() {
        for len in [36, 37, 100, 4000] {
            let mut body = Vec::new();
            post_body(&mut body, MARKER, len);
            let whole = |text: &[u8]| Marker::find(text, &mut 0).is_some_and(|found| found.whole);
            assert!(whole(&body), "{len}");
            let end = body.len() - 2;
            for i in 12..end {
                for bit in 0..7 {
                    let mut changed = body.clone();
                    changed[i] ^= 1 << bit;
                    assert!(!whole(&changed), "{len}: bit {bit} of byte {i}");
                }
                let mut shorter = body.clone();
                shorter.remove(i);
                assert!(!whole(&shorter), "{len}: without byte {i}");
                let mut longer = body.clone();
                longer.insert(i, b'x');
                assert!(!whole(&longer), "{len}: one more before byte {i}");
            }
            body.insert(end, b'!');
            assert!(!whole(&body), "{len}: one more at the end");
        }
    }

    #[test]
    fn ids_of_messages() {
        for (text, want) in [
            (r#"{"op":0,"t":"MESSAGE_CREATE","s":12,"d":{"id":"77","content":""}}"#, 77),
            (r#"{"op":0,"t":"MESSAGE_CREATE","s":12,"d":{"content":"","id":"78"}}"#, 78),
            (r#"{"d":{"id":"x"}}"#, 0),
            (r#"{"d":{"id":""#, 0),
            ("", 0),
        ] {
            assert_eq!(message_id(text.as_bytes()), want, "{text}");
        }
    }
}
