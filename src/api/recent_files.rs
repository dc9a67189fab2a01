//! Files that a core has sent lately: short ones whole, of others the descriptor, so that nothing waits for a lane that
//! was asked for a moment ago.
//!
//! Nothing here is ever out of date: what is in a file is what its name says. A file that no record names any more is
//! asked for by nobody, so it goes from here [`IDLE_MS`] later, wherever it was removed from meanwhile.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use crate::effect::disk::Opened;
use crate::limits::{RECENT_FILE_COUNT_MAX, RECENT_FILE_WEIGHT_MIN, RECENT_FILES_LEN_MAX};
use crate::store::blobs::{Blob, Hash};

/// For so long nobody has asked for it.
const IDLE_MS: u64 = 60_000;

/// One per core.
pub struct RecentFiles {
    short: RefCell<Recent<Bytes>>,
    long: RefCell<Recent<Arc<dyn Blob>>>,
}

impl Default for RecentFiles {
    fn default() -> RecentFiles {
        RecentFiles {
            short: RefCell::new(Recent::new(RECENT_FILES_LEN_MAX)),
            long: RefCell::new(Recent::new(RECENT_FILE_COUNT_MAX)),
        }
    }
}

impl RecentFiles {
    /// The file, if it is here. `now_ms`: of any clock that never goes back.
    pub fn get(&self, hash: &Hash, now_ms: u64) -> Option<Opened> {
        let short = self.short.borrow_mut().get(hash, now_ms).map(Opened::Short);
        short.or_else(|| self.long.borrow_mut().get(hash, now_ms).map(Opened::Long))
    }

    /// Has others make room for it.
    pub fn keep(&self, hash: &Hash, file: &Opened, now_ms: u64) {
        match file {
            Opened::Short(bytes) => {
                let weight = bytes.len().max(RECENT_FILE_WEIGHT_MIN);
                self.short.borrow_mut().keep(*hash, bytes.clone(), weight, now_ms);
            }
            Opened::Long(blob) => self.long.borrow_mut().keep(*hash, blob.clone(), 1, now_ms),
        }
    }

    /// Gives back what nobody asks for. Looks at all of them.
    pub fn forget_idle(&self, now_ms: u64) {
        let since_ms = now_ms.saturating_sub(IDLE_MS);
        self.short.borrow_mut().forget_unused_since(since_ms);
        self.long.borrow_mut().forget_unused_since(since_ms);
    }
}

/// The values asked for lately, as many as weigh so much together.
struct Recent<V> {
    entries: HashMap<Hash, Entry<V>>,
    /// The next one to make room stands first, unless it was asked for meanwhile.
    order: VecDeque<Hash>,
    weight: usize,
    weight_max: usize,
}

struct Entry<V> {
    value: V,
    weight: usize,
    used_ms: u64,
    /// Asked for since it was put into the order.
    is_used: bool,
}

impl<V: Clone> Recent<V> {
    fn new(weight_max: usize) -> Recent<V> {
        Recent { entries: HashMap::new(), order: VecDeque::new(), weight: 0, weight_max }
    }

    fn get(&mut self, hash: &Hash, now_ms: u64) -> Option<V> {
        let entry = self.entries.get_mut(hash)?;
        (entry.used_ms, entry.is_used) = (now_ms, true);
        Some(entry.value.clone())
    }

    fn keep(&mut self, hash: Hash, value: V, weight: usize, now_ms: u64) {
        // Two requests may have waited for the same file.
        if weight > self.weight_max || self.entries.contains_key(&hash) {
            return;
        }
        self.weight += weight;
        while self.weight > self.weight_max {
            self.make_room();
        }
        self.entries.insert(hash, Entry { value, weight, used_ms: now_ms, is_used: false });
        self.order.push_back(hash);
    }

    /// Forgets the first that was not asked for, or gives it another round.
    fn make_room(&mut self) {
        let hash = self.order.pop_front().expect("what has weight stands in the order");
        let entry = self.entries.get_mut(&hash).expect("what stands in the order is there");
        if std::mem::take(&mut entry.is_used) {
            return self.order.push_back(hash);
        }
        self.weight -= entry.weight;
        self.entries.remove(&hash);
    }

    fn forget_unused_since(&mut self, since_ms: u64) {
        let Recent { entries, order, weight, .. } = self;
        entries.retain(|_, entry| {
            let stays = entry.used_ms >= since_ms;
            if !stays {
                *weight -= entry.weight;
            }
            stays
        });
        if entries.len() < order.len() {
            order.retain(|hash| entries.contains_key(hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: usize) -> Hash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    fn is_whole<V: Clone>(recent: &Recent<V>) -> bool {
        let weight: usize = recent.entries.values().map(|entry| entry.weight).sum();
        let is_listed = recent.order.iter().all(|hash| recent.entries.contains_key(hash));
        weight == recent.weight
            && weight <= recent.weight_max
            && is_listed
            && recent.order.len() == recent.entries.len()
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_makes_room() {
        let mut recent = Recent::new(10);
        for number in 0..5 {
            recent.keep(hash(number), number, 2, 0);
        }
        assert_eq!(recent.get(&hash(0), 1), Some(0));
        recent.keep(hash(5), 5, 3, 1);
        let there: Vec<usize> = (0..6).filter(|number| recent.entries.contains_key(&hash(*number))).collect();
        assert_eq!(there, [0, 3, 4, 5], "the first was asked for");
        assert_eq!(recent.get(&hash(1), 1), None);
        recent.keep(hash(5), 55, 3, 1);
        recent.keep(hash(6), 6, 11, 1);
        assert_eq!(
            (recent.get(&hash(5), 1), recent.get(&hash(6), 1)),
            (Some(5), None),
            "once, and not too large"
        );
        assert!(is_whole(&recent));
    }

    #[test]
    fn what_is_idle_is_forgotten() {
        let files = RecentFiles::default();
        files.keep(&hash(1), &Opened::Short(Bytes::from_static(b"a")), 0);
        files.keep(&hash(2), &Opened::Short(Bytes::from_static(b"b")), 0);
        assert!(files.get(&hash(1), IDLE_MS).is_some());
        files.forget_idle(IDLE_MS);
        assert!(files.get(&hash(2), IDLE_MS).is_some(), "for just so long");
        files.forget_idle(2 * IDLE_MS + 1);
        assert!(files.get(&hash(1), 0).is_none() && files.get(&hash(2), 0).is_none());
        assert!(is_whole(&files.short.borrow()));
    }

    #[test]
    fn random_use_keeps_the_bounds() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut recent = Recent::new(100);
        for now_ms in 0..10_000 {
            let number = random.usize(..60);
            match random.u8(..10) {
                0 => recent.forget_unused_since(now_ms - random.u64(..200).min(now_ms)),
                1..6 => recent.keep(hash(number), number, 1 + random.usize(..20), now_ms),
                _ => assert!(recent.get(&hash(number), now_ms).is_none_or(|value| value == number)),
            }
            assert!(is_whole(&recent));
        }
    }
}
