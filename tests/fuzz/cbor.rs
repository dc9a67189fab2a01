//! CBOR of authenticators under random mutation: it comes to an end, and what is cut off is not made up.

use fastrand::Rng;
use plexichat::effect::passkey::cbor::{Item, get, map};

use super::http::with_seeds;

/// An item as it is written, with what is in it, and the item itself.
fn write(rng: &mut Rng, out: &mut Vec<u8>, depth: usize) {
    let count = rng.usize(..4);
    let head = |out: &mut Vec<u8>, rng: &mut Rng, major: u8, value: u64| match (value, rng.u8(..3)) {
        (0..=23, 0 | 1) => out.push(major << 5 | value as u8),
        (0..=255, _) => out.extend([major << 5 | 24, value as u8]),
        _ => {
            out.push(major << 5 | 25);
            out.extend((value as u16).to_be_bytes());
        }
    };
    match rng.u8(..if depth == 0 { 5 } else { 7 }) {
        major @ (0 | 1) => {
            let value = rng.u64(..1_000);
            head(out, rng, major, value);
        }
        major @ (2 | 3) => {
            let len = rng.usize(..300);
            head(out, rng, major, len as u64);
            out.extend((0..len).map(|_| rng.u8(..)));
        }
        4 => out.push(0xf4 + rng.u8(..4)),
        5 => {
            head(out, rng, 4, count as u64);
            (0..count).for_each(|_| write(rng, out, depth - 1));
        }
        _ => {
            head(out, rng, 5, count as u64);
            (0..2 * count).for_each(|_| write(rng, out, depth - 1));
        }
    }
}

/// A map, and how many members it has.
fn written(rng: &mut Rng) -> (Vec<u8>, usize) {
    let count = rng.usize(..6);
    let mut out = vec![0xa0 | count as u8];
    (0..2 * count).for_each(|_| write(rng, &mut out, 3));
    (out, count)
}

#[test]
fn what_is_written_is_read_and_what_follows_stays() {
    with_seeds(0.3, |rng| {
        let (mut bytes, count) = written(rng);
        let len = bytes.len();
        bytes.extend((0..rng.usize(..9)).map(|_| rng.u8(..)));
        let (members, rest) = map(&bytes).unwrap_or_else(|| panic!("{}", bytes.escape_ascii()));
        assert_eq!((members.len(), rest), (count, &bytes[len..]));
        for (key, _) in &members {
            assert!(get(&members, *key).is_some());
        }
        // Of what was cut nothing is read.
        assert_eq!(map(&bytes[..rng.usize(..len)]), None);
    });
}

#[test]
fn any_bytes_come_to_an_end() {
    with_seeds(0.3, |rng| {
        let (mut bytes, _) = written(rng);
        for _ in 0..rng.usize(1..6) {
            let at = rng.usize(..bytes.len());
            let end = rng.usize(at..=bytes.len().min(at + 4));
            let spice = [
                &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
                &[0xbf],
                &[0x81; 40],
                &[0x5a],
                &[0],
            ];
            bytes.splice(at..end, spice[rng.usize(..spice.len())].iter().copied());
            if bytes.is_empty() {
                bytes.push(rng.u8(..));
            }
        }
        let Some((members, rest)) = map(&bytes) else { return };
        assert!(bytes.ends_with(rest));
        for (key, value) in members {
            for item in [key, value] {
                if let Item::Bytes(text) | Item::Text(text) = item {
                    assert!(text.len() < bytes.len(), "nothing is longer than what was given");
                }
            }
        }
    });
}
