//! Postings: which messages have a term, and how they are spelled in the index.
//!
//! A block is a row: its key ends with the first of its messages, turned over so that the newest block comes first; its
//! value has the mark of that one's channel and then of each further one how many milliseconds later it was, the rest
//! of its id where that differs, and the mark. A message a minute costs four bytes.
//!
//! Invariant: whatever bytes a block is of, reading it ends, in a list that ascends or in an error.

use super::terms::TermKey;

/// Bytes of a block: three and more fit into a page of the index.
pub const BLOCK_LEN_MAX: usize = 1_000;

/// A message that has a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Posting {
    pub id: u64,
    /// Of its channel.
    pub mark: u8,
}

/// An id is a time and the rest.
const REST_BITS: u32 = 22;
const REST_MASK: u64 = (1 << REST_BITS) - 1;
/// The most that one posting takes: a time of 42 bits and a flag are seven bytes, then the rest and the mark.
const POSTING_LEN_MAX: usize = 7 + 3 + 1;

/// Of the key of a row.
pub const KEY_LEN: usize = size_of::<TermKey>() + 8;

/// The key of a block, or where to look for the one that may have a message.
pub fn key(term: &TermKey, id: u64) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    key[..10].copy_from_slice(term);
    key[10..].copy_from_slice(&(!id).to_be_bytes());
    key
}

/// The first message of the block with this key, if it is one of the term.
pub fn first_of(term: &TermKey, key: &[u8]) -> Option<u64> {
    let turned = key.strip_prefix(term)?;
    turned.try_into().ok().map(|bytes| !u64::from_be_bytes(bytes))
}

/// Spells postings that ascend, as many as fit; returns how many those are.
pub fn encode(postings: &[Posting], out: &mut Vec<u8>) -> usize {
    out.clear();
    let Some(first) = postings.first() else { return 0 };
    out.push(first.mark);
    let mut before = first.id;
    for (index, posting) in postings.iter().enumerate().skip(1) {
        if out.len() + POSTING_LEN_MAX > BLOCK_LEN_MAX {
            return index;
        }
        let later = (posting.id >> REST_BITS) - (before >> REST_BITS);
        let differs = posting.id & REST_MASK != before & REST_MASK;
        write_number(out, later << 1 | u64::from(differs));
        if differs {
            out.extend_from_slice(&((posting.id & REST_MASK) as u32).to_le_bytes()[..3]);
        }
        out.push(posting.mark);
        before = posting.id;
    }
    postings.len()
}

/// The postings of a block; `None` when it is none.
pub fn decode(first: u64, bytes: &[u8], out: &mut Vec<Posting>) -> Option<()> {
    out.clear();
    let (mark, mut rest) = bytes.split_first()?;
    out.push(Posting { id: first, mark: *mark });
    let mut before = first;
    while !rest.is_empty() {
        let number = read_number(&mut rest)?;
        let time =
            (before >> REST_BITS).checked_add(number >> 1).filter(|time| *time <= u64::MAX >> REST_BITS)?;
        let mut low = before & REST_MASK;
        if number & 1 == 1 {
            let bytes = rest.split_off(..3)?;
            low = u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0])) & REST_MASK;
        }
        let id = time << REST_BITS | low;
        if id <= before {
            return None;
        }
        out.push(Posting { id, mark: *rest.split_off_first()? });
        before = id;
    }
    Some(())
}

/// Seven bits a byte, the lowest first.
fn write_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postings_come_back() {
        let mut random = fastrand::Rng::with_seed(5);
        let (mut bytes, mut read) = (Vec::new(), Vec::new());
        for _ in 0..500 {
            let mut ids: Vec<u64> = (0..random.usize(1..400))
                .map(|_| match random.u8(..4) {
                    0 => random.u64(..),
                    1 => 7 << 50 | random.u64(..5_000),
                    _ => (1 << 58) + (random.u64(..1 << 40) << REST_BITS),
                })
                .collect();
            ids.sort_unstable();
            ids.dedup();
            let postings: Vec<Posting> = ids.iter().map(|&id| Posting { id, mark: random.u8(..) }).collect();
            let mut rest = &postings[..];
            while !rest.is_empty() {
                let count = encode(rest, &mut bytes);
                assert!(count > 0 && bytes.len() <= BLOCK_LEN_MAX);
                decode(rest[0].id, &bytes, &mut read).unwrap();
                assert_eq!(read, rest[..count]);
                rest = &rest[count..];
            }
        }
    }

    #[test]
    fn a_message_a_minute_costs_four_bytes() {
        let postings: Vec<Posting> = (0..100)
            .map(|minute| Posting { id: (1 << 58) + ((minute * 60_000) << REST_BITS), mark: 1 })
            .collect();
        let mut bytes = Vec::new();
        assert_eq!(encode(&postings, &mut bytes), 100);
        assert_eq!(bytes.len(), 1 + 99 * 4);
    }

    #[test]
    fn whatever_bytes_there_are_reading_ends() {
        let mut random = fastrand::Rng::with_seed(6);
        let mut read = Vec::new();
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..random.usize(..40)).map(|_| random.u8(..)).collect();
            if decode(random.u64(..), &bytes, &mut read).is_some() {
                assert!(read.is_sorted());
            }
        }
    }

    #[test]
    fn newer_blocks_come_first() {
        let term = [3; 10];
        assert!(key(&term, 9) < key(&term, 8));
        assert_eq!(first_of(&term, &key(&term, 8)), Some(8));
        assert_eq!(first_of(&[4; 10], &key(&term, 8)), None);
        assert_eq!(first_of(&term, b"s"), None);
    }
}
