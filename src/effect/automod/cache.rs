//! Rules that are ready: shared by all cores, as many as there is memory for.
//!
//! Lanes keep them and cores only look at them: what a core knows by heart it does not hold on to, so what was given up
//! is freed at once, and no core waits for a lock.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use rustc_hash::FxHashMap;

use super::rules::Rules;
use crate::id::ServerId;

/// Servers whose rules a core knows by heart: 64 bytes each.
const KNOWN_MAX: usize = 4_096;

/// All rules that are ready. Only lanes look in here.
pub struct Shared {
    kept: Mutex<Kept>,
    len_max: usize,
}

#[derive(Default)]
struct Kept {
    rules: HashMap<ServerId, Arc<Rules>>,
    len: usize,
}

impl Shared {
    /// `len_max`: bytes that rules may take together, about.
    pub fn new(len_max: usize) -> Arc<Shared> {
        Arc::new(Shared { kept: Mutex::default(), len_max })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("nothing panics while it is held")
    }

    /// The rules of a server, if they are those of that version or a later one.
    pub fn get(&self, server_id: ServerId, version: u64) -> Option<Arc<Rules>> {
        self.lock().rules.get(&server_id).filter(|rules| rules.version >= version).cloned()
    }

    /// Keeps rules instead of those that the server had before; others that were not used for the longest time make room.
    pub fn keep(&self, rules: &Arc<Rules>) {
        let mut kept = self.lock();
        let before = kept.rules.get(&rules.server_id);
        if before.is_some_and(|before| before.version > rules.version) {
            return;
        }
        let before = kept.rules.insert(rules.server_id, rules.clone());
        kept.len = kept.len - before.map_or(0, |before| before.len) + rules.len;
        while kept.len > self.len_max && kept.rules.len() > 1 {
            let others = kept.rules.values().filter(|other| other.server_id != rules.server_id);
            let oldest = others.min_by_key(|other| other.used_ms.load(Relaxed)).map(|other| other.server_id);
            let gone = oldest.and_then(|server_id| kept.rules.remove(&server_id));
            kept.len -= gone.map_or(0, |gone| gone.len);
        }
    }
}

/// What one core knows of them.
pub struct Known {
    pub shared: Arc<Shared>,
    by_heart: RefCell<FxHashMap<ServerId, Weak<Rules>>>,
}

impl Known {
    pub fn new(shared: Arc<Shared>) -> Known {
        Known { shared, by_heart: RefCell::default() }
    }

    /// The rules of a server, if they are those of that version or a later one, and still kept.
    pub fn get(&self, server_id: ServerId, version: u64, now_ms: u64) -> Option<Arc<Rules>> {
        let rules = self.by_heart.borrow().get(&server_id).and_then(Weak::upgrade);
        let rules = rules.filter(|rules| rules.version >= version)?;
        rules.used_ms.store(now_ms, Relaxed);
        Some(rules)
    }

    pub fn learn(&self, rules: &Arc<Rules>, now_ms: u64) {
        rules.used_ms.store(now_ms, Relaxed);
        let mut by_heart = self.by_heart.borrow_mut();
        if by_heart.len() >= KNOWN_MAX {
            by_heart.retain(|_, rules| rules.strong_count() > 0);
        }
        if by_heart.len() >= KNOWN_MAX {
            by_heart.clear();
        }
        by_heart.insert(rules.server_id, Arc::downgrade(rules));
    }
}
