//! The index on disk: adding postings to it, and walking over the lists of several terms at once.

use super::block::{self, Posting, decode, encode, first_of, key};
use super::fresh::Fresh;
use super::terms::TermKey;
use crate::store::WriteError;
use crate::store::side::{Damaged, SideRead, SideTx};

/// Adds postings of a term, which ascend; those that are there already are left as they are.
///
/// # Errors
/// When the index cannot be written, or is damaged.
pub fn merge(tx: &mut SideTx<'_>, term: &TermKey, new: &[Posting]) -> Result<(), WriteError> {
    let (mut present, mut merged, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = new;
    while let Some(newest) = rest.last() {
        // The block into which the newest belongs, and with it all that are not older than its first.
        let row = tx.seek(&key(term, newest.id))?;
        let found = row.and_then(|(key, value)| Some((first_of(term, key)?, value)));
        let older = match found {
            Some((first, value)) => {
                decode(first, value, &mut present)
                    .ok_or_else(|| WriteError::Failed("a block of the index is damaged".into()))?;
                rest.partition_point(|posting| posting.id < first)
            }
            None => {
                present.clear();
                0
            }
        };
        let part = &rest[older..];
        rest = &rest[..older];
        let is_append = present.last().is_none_or(|last| *last < part[0]);
        if !unite(&present, part, &mut merged) {
            continue;
        }
        write(tx, term, &merged, is_append, &mut bytes)?;
    }
    Ok(())
}

/// Both lists in one; false when the second adds nothing.
fn unite(present: &[Posting], new: &[Posting], out: &mut Vec<Posting>) -> bool {
    out.clear();
    out.extend_from_slice(present);
    let is_new = |posting: &&Posting| present.binary_search_by_key(&posting.id, |known| known.id).is_err();
    out.extend(new.iter().filter(is_new));
    // Two runs that ascend: this merges them.
    out.sort();
    out.len() > present.len()
}

/// Writes a block anew, as several when it is too long: full ones where it grows at its end, halves in the middle.
fn write(
    tx: &mut SideTx<'_>,
    term: &TermKey,
    postings: &[Posting],
    is_append: bool,
    bytes: &mut Vec<u8>,
) -> Result<(), WriteError> {
    let fitting = encode(postings, bytes);
    if fitting == postings.len() || is_append {
        tx.put(&key(term, postings[0].id), bytes)?;
        let rest = &postings[fitting..];
        return if rest.is_empty() { Ok(()) } else { write(tx, term, rest, is_append, bytes) };
    }
    let (older, newer) = postings.split_at(postings.len() / 2);
    write(tx, term, older, false, bytes)?;
    write(tx, term, newer, false, bytes)
}

/// The list of one term, from the newest on.
struct Cursor<'l> {
    term: TermKey,
    /// What is in memory, and what is on its way to the disk.
    fresh: [&'l [Posting]; 2],
    read: &'l SideRead,
    /// The block of the index that was looked at last.
    block: Vec<Posting>,
    /// No older one is in the index.
    ended: bool,
}

impl Cursor<'_> {
    /// The newest that is not newer than that. Ask for ever older ones.
    fn at_most(&mut self, id: u64) -> Result<Option<Posting>, Damaged> {
        let newest = |list: &[Posting]| {
            let count = list.partition_point(|posting| posting.id <= id);
            count.checked_sub(1).map(|at| list[at])
        };
        if !self.ended && self.block.first().is_none_or(|first| first.id > id) {
            self.seek(id)?;
        }
        let known = newest(&self.block).filter(|_| !self.ended);
        Ok(known.max(newest(self.fresh[0])).max(newest(self.fresh[1])))
    }

    fn seek(&mut self, id: u64) -> Result<(), Damaged> {
        let row = self.read.seek(&key(&self.term, id))?;
        match row.and_then(|(key, value)| Some((first_of(&self.term, key)?, value))) {
            Some((first, value)) => {
                block::decode(first, value, &mut self.block).ok_or_else(|| Damaged("a block is none".into()))
            }
            None => {
                self.ended = true;
                Ok(())
            }
        }
    }
}

/// What comes next in [`Common`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Found(Posting),
    /// None that is newer than this; ask again, for this one.
    NotAbove(u64),
    End,
}

/// Messages of one place that have all of some terms, from the newest on.
pub struct Common<'l> {
    /// Of each term: its list, and of a word the messages that may have any.
    lists: Vec<(Cursor<'l>, Option<Cursor<'l>>)>,
}

impl<'l> Common<'l> {
    /// `terms`: each with whether long messages may have it too, whose term is `long`.
    pub(super) fn new(
        read: &'l SideRead,
        fresh: [&'l Fresh; 2],
        terms: &[(TermKey, bool)],
        long: TermKey,
    ) -> Common<'l> {
        let cursor = |term: TermKey| Cursor {
            term,
            fresh: fresh.map(|fresh| fresh.list(&term)),
            read,
            block: Vec::new(),
            ended: false,
        };
        let lists = terms.iter().map(|(term, is_word)| (cursor(*term), is_word.then(|| cursor(long))));
        Common { lists: lists.collect() }
    }

    /// The newest that is not newer than that and has all terms, looked for in so many steps. Ask for ever older ones.
    ///
    /// # Errors
    /// When the index is damaged.
    pub fn at_most(&mut self, mut id: u64, steps: usize) -> Result<Next, Damaged> {
        let (mut agreed, mut at) = (0, 0);
        for _ in 0..steps.max(self.lists.len()) {
            let (list, long) = &mut self.lists[at];
            let mut newest = list.at_most(id)?;
            if let Some(long) = long {
                newest = newest.max(long.at_most(id)?);
            }
            let Some(posting) = newest else { return Ok(Next::End) };
            agreed = if posting.id == id { agreed + 1 } else { 1 };
            if agreed == self.lists.len() {
                return Ok(Next::Found(posting));
            }
            id = posting.id;
            at = (at + 1) % self.lists.len();
        }
        Ok(Next::NotAbove(id))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::side::Side;

    const TERMS: usize = 5;

    fn term(index: usize) -> TermKey {
        [index as u8; 10]
    }

    #[test]
    fn lists_are_those_of_a_plain_map() {
        let folder = tempfile::tempdir().unwrap();
        let side = Side::open(&folder.path().join("side"), 1 << 28, 8).unwrap();
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        // Which terms each has; the last one stands for long messages.
        let mut model: BTreeMap<u64, u8> = BTreeMap::new();
        let (mut fresh, empty, mut clock) = (Fresh::default(), Fresh::default(), 1_u64 << 50);
        for _ in 0..60 {
            for _ in 0..random.usize(..600) {
                clock += 1 << random.u32(..34);
                let id = if random.u8(..4) > 0 { clock } else { random.u64((1 << 50)..=clock) };
                let terms = random.u8(1..1 << TERMS) & random.u8(..);
                let known = model.entry(id).or_default();
                *known |= terms;
                let keys: Vec<TermKey> = (0..TERMS).filter(|at| terms >> at & 1 == 1).map(term).collect();
                fresh.insert(&keys, Posting { id, mark: id as u8 });
            }
            if random.bool() {
                let mut tx = side.begin().unwrap();
                for (term, list) in fresh.sorted() {
                    merge(&mut tx, &term, list).unwrap();
                }
                tx.commit().unwrap();
                // Now and then both have it.
                if random.bool() {
                    fresh = Fresh::default();
                }
            }
            let read = side.read().unwrap();
            for wanted in 1..1_u8 << (TERMS - 1) {
                let terms: Vec<(TermKey, bool)> = (0..TERMS - 1)
                    .filter(|at| wanted >> at & 1 == 1)
                    .map(|at| (term(at), at % 2 == 0))
                    .collect();
                // Those terms count as words.
                let is_long = |terms: u8| if terms >> (TERMS - 1) & 1 == 1 { 0b0101 } else { 0 };
                let mut common = Common::new(&read, [&fresh, &empty], &terms, term(TERMS - 1));
                let mut at_most = u64::MAX;
                let mut next = |mut id: u64| loop {
                    match common.at_most(id, 3).unwrap() {
                        Next::Found(posting) => return Some(posting),
                        Next::NotAbove(below) => id = below,
                        Next::End => return None,
                    }
                };
                let has = |(_, terms): &(&u64, &u8)| (**terms | is_long(**terms)) & wanted == wanted;
                for (id, _) in model.iter().rev().filter(has).step_by(1 + random.usize(..3)).take(200) {
                    let below = next(at_most).unwrap();
                    assert!(below.id >= *id && below.mark == below.id as u8);
                    assert_eq!(next(*id).map(|posting| posting.id), Some(*id));
                    at_most = id - 1;
                }
                let left = model.range(..=at_most).rev().find(has).map(|(id, _)| *id);
                assert_eq!(next(at_most).map(|posting| posting.id), left);
            }
        }
    }
}
