//! The index of messages: which have a word, an author, a picture, by server or private channel, newest first.
//!
//! What a search in a chat asks for is the newest messages that have all of some words, out of those that somebody may
//! read: nothing is ranked. So a list per term that begins with its newest message, walked together with those of the
//! other terms, ends as soon as a page is full, and whoever is found is looked at in the store before he is shown: is he
//! there, does he say that, may it be read. Nothing has to be told to the index when a message is deleted, a member
//! thrown out, a role changed; of a message that is edited the new words are added, and the old ones do no harm.
//!
//! Owns: a folder `search` in the data folder, with an environment of its own; the messages that have come since it was
//! written last, in memory; the thread that follows the log (`follow`) and the one that writes the index (`build`).
//! Invariants:
//! - It is derived: whatever is missing, damaged, of another store or made with another key is made anew out of the store
//!   while the server serves. [`Look::is_built`] says which channels are not in it yet: those are read in the store.
//! - Every message up to the position that is written with it is in it. What came after is found again at the next
//!   start: new messages by their ids, changes by their numbers ([`crate::domain::touched`]).
//! - A message that was committed is found as soon as the thread that follows has had its turn, within a moment, also
//!   while the index is written: memory and index are read together, and what is in both counts once.
//! - No word is written to disk, only numbers that are made of words with a key of the server.
//! - It knows nothing of who may read what.

mod block;
mod build;
mod follow;
mod fresh;
mod index;
mod state;
pub mod terms;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::Duration;

pub use block::Posting;
pub use build::build_alone;
use fresh::Fresh;
pub use index::{Common, Next};
use terms::{Keys, Place, Term, TermKey};

use crate::id::ChannelId;
use crate::log::Touches;
use crate::observe::SearchMetrics;
use crate::store::Store;
pub use crate::store::side::FOLDER;
use crate::store::side::{Damaged, Side, SideRead};

/// Threads that may read at once: those of the lane, with room.
const READERS_MAX: u32 = 64;

/// How the index is kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes that it may grow to, of addresses.
    pub map_size: usize,
    /// Messages in memory with which it is written, and how long the first of them waits for that.
    pub fresh_count: usize,
    pub fresh_age: Duration,
    /// Terms of messages of the store that are written at once while it is made.
    pub walk_count: usize,
}

impl Settings {
    /// Each time it is written most of its pages are touched that belong to words which are used: so not too often.
    /// 50,000 messages are 25 s of 2,000 a second.
    pub fn new(map_size: usize) -> Settings {
        let (fresh_count, walk_count) = (50_000, 1_000_000);
        Settings { map_size, fresh_count, fresh_age: Duration::from_secs(15), walk_count }
    }
}

/// Which channels are in the index, those that are newer than the walk aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Built {
    All,
    /// The walk has come to this one, which is not done.
    Before(ChannelId),
}

struct Shared {
    /// None while it is opened or made anew.
    side: Option<Arc<Side>>,
    active: Fresh,
    /// On its way to the index.
    frozen: Option<Arc<Fresh>>,
    built: Built,
    /// Stands for `frozen` when that is none.
    empty: Fresh,
}

/// What the threads are asked to do.
#[derive(Default)]
struct Wanted {
    /// Make the index anew, and why.
    anew: Option<String>,
    /// Messages newer than this have been missed: walk.
    missed_after: Option<u64>,
    stop: bool,
}

/// The index, for whoever looks into it and for the threads that keep it.
pub struct Search {
    store: Arc<Store>,
    keys: Keys,
    settings: Settings,
    shared: RwLock<Shared>,
    wanted: Mutex<Wanted>,
    changed: Condvar,
    stop: AtomicBool,
    /// It is to be made anew, and what there is counts no more.
    is_old: AtomicBool,
    /// Nothing is written any more, as if the process had been killed.
    #[cfg(test)]
    killed: AtomicBool,
    metrics: Arc<SearchMetrics>,
}

/// The threads. They end, and what is in memory is written, when it is dropped.
pub struct Running {
    search: Arc<Search>,
    touches: Arc<Touches>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.search.stop.store(true, Ordering::Release);
        self.search.want(|wanted| wanted.stop = true);
        self.touches.nudge();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Search {
    /// An index of nothing that nobody keeps: everything is read in the store.
    pub fn new(
        store: Arc<Store>,
        key: &[u8; 32],
        settings: Settings,
        metrics: Arc<SearchMetrics>,
    ) -> Arc<Search> {
        let shared = Shared {
            side: None,
            active: Fresh::default(),
            frozen: None,
            built: Built::Before(ChannelId::MIN),
            empty: Fresh::default(),
        };
        Arc::new(Search {
            store,
            keys: Keys::new(key),
            settings,
            shared: RwLock::new(shared),
            wanted: Mutex::default(),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            is_old: AtomicBool::new(false),
            #[cfg(test)]
            killed: AtomicBool::new(false),
            metrics,
        })
    }

    /// Starts the threads that keep it.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(self: &Arc<Self>, touches: Arc<Touches>) -> std::io::Result<Running> {
        let mut running = Running { search: self.clone(), touches: touches.clone(), threads: Vec::new() };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run)
        };
        let (opened, open) = std::sync::mpsc::channel();
        let search = self.clone();
        running.threads.push(spawn("search-write", Box::new(move || build::run(&search, &opened)))?);
        let search = self.clone();
        let follow = move || {
            if let Ok(position) = open.recv() {
                follow::run(&search, &touches, position);
            }
        };
        running.threads.push(spawn("search-follow", Box::new(follow))?);
        Ok(running)
    }

    /// Looks into it. Do so off the cores: it may wait for a moment, and reads from the disk.
    pub fn look(&self) -> Look<'_> {
        let shared = self.read();
        let read = match shared.side.as_ref().map(|side| side.read()) {
            Some(Ok(read)) => Some(read),
            Some(Err(damaged)) => {
                self.damaged(damaged);
                None
            }
            None => None,
        };
        Look { read, shared, keys: &self.keys }
    }

    /// Has it made anew, out of the store; it takes what time it takes.
    pub fn renew(&self, why: &str) {
        self.is_old.store(true, Ordering::Release);
        self.want(|wanted| wanted.anew = wanted.anew.take().or_else(|| Some(why.to_owned())));
    }

    /// Messages that are not in it yet, about; `None` when it is complete.
    pub fn left(&self) -> Option<u64> {
        if self.is_old.load(Ordering::Acquire) || self.lock_wanted().anew.is_some() {
            return Some(self.message_count());
        }
        let is_complete = {
            let shared = self.read();
            shared.side.is_some() && shared.built == Built::All
        };
        (!is_complete).then(|| self.metrics.left.value())
    }

    /// Has it made anew as it cannot be read.
    pub fn damaged(&self, damaged: Damaged) {
        self.renew(&format!("it is damaged: {}", damaged.0));
    }

    /// Messages of which an index is made when it is made anew.
    pub fn message_count(&self) -> u64 {
        self.store.snapshot().read().len(crate::store::tables::MESSAGES)
    }

    fn folder(&self) -> PathBuf {
        self.store.path().join(FOLDER)
    }

    fn want(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut self.lock_wanted());
        self.changed.notify_all();
    }

    fn lock_wanted(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().expect("nothing panics while the lock is held")
    }

    /// Wait for nothing while you keep it: who waits to write holds up who wants to read.
    fn read(&self) -> RwLockReadGuard<'_, Shared> {
        self.shared.read().expect("nothing panics while the lock is held")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().expect("nothing panics while the lock is held")
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Waits until something is wanted or handed over, or for that long.
    fn wait(&self, timeout: Duration) {
        let wanted = self.lock_wanted();
        let is_idle = wanted.anew.is_none() && wanted.missed_after.is_none() && !wanted.stop;
        if is_idle && self.read().frozen.is_none() {
            drop(self.changed.wait_timeout(wanted, timeout).expect("nothing panics while the lock is held"));
        }
    }
}

/// The index at one moment. Nothing is written to memory while there is one: keep it for milliseconds.
pub struct Look<'s> {
    /// Ends before the lock is given back.
    read: Option<SideRead>,
    shared: RwLockReadGuard<'s, Shared>,
    keys: &'s Keys,
}

impl Look<'_> {
    /// Whether all messages of all channels can be found.
    pub fn is_complete(&self) -> bool {
        self.read.is_some() && self.shared.built == Built::All
    }

    /// Whether all messages of a channel can be found. Where not, they are to be read in the store.
    pub fn is_built(&self, channel_id: ChannelId) -> bool {
        self.read.is_some()
            && match self.shared.built {
                Built::All => true,
                Built::Before(at) => channel_id < at,
            }
    }

    /// The messages of a server, or of a private channel, that have all of these terms; none when there is no index.
    pub fn common(&self, place: Place, terms: &[Term<'_>]) -> Option<Common<'_>> {
        let key = |term: &Term<'_>| -> (TermKey, bool) {
            (self.keys.key(place, *term), matches!(term, Term::Word(_) | Term::Pair(..)))
        };
        let terms: Vec<_> = terms.iter().map(key).collect();
        let fresh = [&self.shared.active, self.shared.frozen.as_deref().unwrap_or(&self.shared.empty)];
        let long = self.keys.key(place, Term::Long);
        Some(Common::new(self.read.as_ref()?, fresh, &terms, long))
    }

    pub fn place(&self, id: u64) -> Place {
        self.keys.place(id)
    }
}
