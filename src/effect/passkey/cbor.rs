//! CBOR as authenticators write it (RFC 8949; CTAP2 §6): enough of it to find a key.
//!
//! Invariant: any bytes are read in one pass, without recursion deeper than [`DEPTH_MAX`], and nothing is allocated
//! that is longer than what was given.

const DEPTH_MAX: usize = 4;

/// An item. What authenticators say besides is read past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Text(&'a [u8]),
    /// So many items follow, for a map twice as many.
    Array(u64),
    Map(u64),
    /// A truth value, null, a float.
    Simple,
}

/// What is in a map, in its order.
pub type Members<'a> = Vec<(Item<'a>, Item<'a>)>;

/// Reads from the front; the rest stays in `bytes`.
fn item<'a>(bytes: &mut &'a [u8]) -> Option<Item<'a>> {
    let first = *bytes.split_off_first()?;
    let (major, info) = (first >> 5, first & 0x1f);
    let value = match info {
        0..=23 => u64::from(info),
        24 => u64::from(*bytes.split_off_first()?),
        25 => u64::from(u16::from_be_bytes(*take::<2>(bytes)?)),
        26 => u64::from(u32::from_be_bytes(*take::<4>(bytes)?)),
        27 => u64::from_be_bytes(*take::<8>(bytes)?),
        // Lengths that are not told beforehand are not canonical.
        _ => return None,
    };
    let mut text = || bytes.split_off(..usize::try_from(value).ok()?);
    match major {
        0 => i64::try_from(value).ok().map(Item::Int),
        1 => i64::try_from(value).ok().map(|value| Item::Int(-1 - value)),
        2 => text().map(Item::Bytes),
        3 => text().map(Item::Text),
        4 => Some(Item::Array(value)),
        5 => Some(Item::Map(value)),
        7 => Some(Item::Simple),
        _ => None,
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(head)
}

/// Reads past what an item has in it.
fn skip(bytes: &mut &[u8], item: Item<'_>, depth: usize) -> Option<()> {
    let count = match item {
        Item::Array(count) => count,
        Item::Map(count) => count.checked_mul(2)?,
        _ => return Some(()),
    };
    if depth == 0 {
        return None;
    }
    // Each takes a byte at least: a count that lies ends with the bytes.
    for _ in 0..count {
        let inner = self::item(bytes)?;
        skip(bytes, inner, depth - 1)?;
    }
    Some(())
}

/// The members of a map at the front, and what follows it. `None` for anything else.
pub fn map(mut bytes: &[u8]) -> Option<(Members<'_>, &[u8])> {
    let Item::Map(count) = item(&mut bytes)? else { return None };
    let mut members = Vec::new();
    for _ in 0..count {
        let key = item(&mut bytes)?;
        skip(&mut bytes, key, DEPTH_MAX)?;
        let value = item(&mut bytes)?;
        skip(&mut bytes, value, DEPTH_MAX)?;
        members.push((key, value));
    }
    Some((members, bytes))
}

/// The value of a key.
pub fn get<'a>(members: &[(Item<'a>, Item<'a>)], key: Item<'_>) -> Option<Item<'a>> {
    members.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_and_what_follows_stays() {
        let bytes =
            [0xa3, 0x01, 0x02, 0x63, b'f', b'm', b't', 0x64, b'n', b'o', b'n', b'e', 0x20, 0xa0, 0xff];
        let (members, rest) = map(&bytes).unwrap();
        assert_eq!(get(&members, Item::Int(1)), Some(Item::Int(2)));
        assert_eq!(get(&members, Item::Text(b"fmt")), Some(Item::Text(b"none")));
        assert_eq!(get(&members, Item::Int(-1)), Some(Item::Map(0)));
        assert_eq!((get(&members, Item::Int(3)), rest), (None, &[0xff][..]));
    }

    #[test]
    fn any_bytes_come_to_an_end() {
        for bytes in [
            &[][..],
            &[0xa1],
            &[0xbf, 0xff],
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xa1, 0x01, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xa1, 0x01, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xa1, 0x01, 0xc0],
            &[&[0xa1, 0x01][..], &[0x81; 100_000]].concat(),
        ] {
            assert_eq!(map(bytes), None);
        }
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            let _ = map(&bytes);
        }
    }
}
