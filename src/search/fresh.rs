//! The newest messages, in memory until they are written to the index.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::block::Posting;
use super::terms::TermKey;

/// Up to where messages were taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// No newer message.
    pub id: u64,
    /// The number of the last change.
    pub change: u64,
}

impl Position {
    /// The later of both, each part by itself.
    pub fn max(self, other: Position) -> Position {
        Position { id: self.id.max(other.id), change: self.change.max(other.change) }
    }
}

#[derive(Default)]
pub struct Fresh {
    lists: FxHashMap<TermKey, SmallVec<[Posting; 1]>>,
    /// Messages, those that were changed among them.
    pub message_count: usize,
    /// With what is in here.
    pub position: Position,
}

impl Fresh {
    /// Nothing, since that moment.
    pub fn at(position: Position) -> Fresh {
        Fresh { position, ..Fresh::default() }
    }

    /// Those who have a term, ascending.
    pub fn list(&self, term: &TermKey) -> &[Posting] {
        self.lists.get(term).map_or(&[], |list| list)
    }

    pub fn insert(&mut self, terms: &[TermKey], posting: Posting) {
        self.message_count += 1;
        for term in terms {
            let list = self.lists.entry(*term).or_default();
            match list.last() {
                Some(last) if last.id >= posting.id => {
                    if let Err(at) = list.binary_search_by_key(&posting.id, |known| known.id) {
                        list.insert(at, posting);
                    }
                }
                _ => list.push(posting),
            }
        }
    }

    /// Every term with its list, in the order of terms.
    pub fn sorted(&self) -> Vec<(TermKey, &[Posting])> {
        let mut all: Vec<(TermKey, &[Posting])> =
            self.lists.iter().map(|(term, list)| (*term, &list[..])).collect();
        all.sort_unstable_by_key(|(term, _)| *term);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_ascend_and_have_each_once() {
        let mut fresh = Fresh::default();
        for id in [5, 9, 3, 9, 5, 12] {
            fresh.insert(&[[1; 10], [2; 10]], Posting { id, mark: 0 });
        }
        let ids: Vec<u64> = fresh.list(&[1; 10]).iter().map(|posting| posting.id).collect();
        assert_eq!(ids, [3, 5, 9, 12]);
        assert!(fresh.list(&[3; 10]).is_empty());
        assert_eq!(fresh.sorted().iter().map(|(term, _)| term[0]).collect::<Vec<_>>(), [1, 2]);
    }
}
