//! The thread that writes the index: what was handed over by the one that follows, and, where something is missing, what
//! it finds on a walk through the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::block::Posting;
use super::follow::{place_of, taken};
use super::fresh::{Fresh, Position};
use super::index::merge;
use super::state::{STATE_KEY, State, Walk};
use super::terms::TermKey;
use super::{Built, READERS_MAX, Search, Settings};
use crate::domain::machine::last_id;
use crate::domain::touched::{changes_after, last_change};
use crate::id::{ChannelId, MessageId};
use crate::store::keyring::{Keyring, Purpose};
use crate::store::side::{self, Damaged, Side};
use crate::store::tables::{MESSAGES, USERS};
use crate::store::{Read, Store, WriteError, take_damage};

const IDLE: Duration = Duration::from_secs(3);
/// After the index could not be written.
const RETRY: Duration = Duration::from_secs(2);
/// Messages that are read in one snapshot of the store: some 30 ms.
const READ_AT_ONCE: usize = 2_000;
/// How often the log tells how far a walk has come.
const TOLD_INTERVAL: Duration = Duration::from_secs(10);
/// Cores that wake go first; but who asks for the end of the server waits for it.
const NICENESS: libc::c_int = 10;
/// Messages in memory that are written when the server ends: a moment's work. More are taken in again at the next start.
const LAST_COUNT_MAX: usize = 2_000;

/// Makes the index of a store that no server has open, from the beginning to the end; says what it did.
///
/// # Errors
/// When it cannot be written.
pub fn build_alone(store: Arc<Store>, keys: &Keyring, settings: Settings) -> Result<String, String> {
    let key = keys.derive(Purpose::SearchTerms);
    let search = Search::new(store, &key, settings, Arc::default());
    let mut writer = Writer::new(&search);
    writer.make_anew("it was asked for");
    let count = writer.left;
    while let Some(walk) = writer.state.walk {
        writer.walk(walk).map_err(|error| format!("the index cannot be written: {error}"))?;
    }
    let len = writer.len();
    drop(search.write().side.take());
    Ok(format!("The index of {count} messages is made: {len} bytes.\n"))
}

pub(super) fn run(search: &Search, opened: &Sender<Position>) {
    // SAFETY: takes no pointers; id 0 is the calling thread (on Linux, priorities are per thread).
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
    let mut writer = Writer::new(search);
    writer.open();
    let _ = opened.send(writer.state.position);
    while !search.is_stopping() {
        if let Err(error) = writer.step() {
            writer.failed(&error);
        }
    }
    writer.end();
}

struct Writer<'s> {
    search: &'s Search,
    /// As it is written.
    state: State,
    /// Messages that the walk has not come to, about.
    left: u64,
    told: Instant,
    /// The log says that it cannot be written.
    is_failing: bool,
}

impl<'s> Writer<'s> {
    fn new(search: &'s Search) -> Writer<'s> {
        let state = State { store: 0, keys: search.keys.check(), position: Position::default(), walk: None };
        Writer { search, state, left: 0, told: Instant::now(), is_failing: false }
    }

    /// Opens the index, or makes another one.
    fn open(&mut self) {
        let present = self.open_present();
        match present {
            Ok(state) => {
                self.state = state;
                if let Some(walk) = state.walk {
                    self.left = self.search.message_count();
                    tracing::info!(at = %walk.at.0, "the index of messages was not complete: it goes on being made");
                }
                self.publish();
            }
            Err(why) => self.make_anew(&why),
        }
    }

    fn open_present(&mut self) -> Result<State, String> {
        let folder = self.search.folder();
        if !folder.exists() {
            return Err("there is none".into());
        }
        let damaged = |damaged: Damaged| format!("it is damaged: {}", damaged.0);
        let side = Side::open(&folder, self.search.settings.map_size, READERS_MAX).map_err(damaged)?;
        let read = side.read().map_err(damaged)?;
        let state = read.get(STATE_KEY).map_err(damaged)?.and_then(State::decode);
        let state = state.ok_or("it is of another version")?;
        let snapshot = self.search.store.snapshot();
        self.check(snapshot.read(), &state)?;
        drop(read);
        self.search.write().side = Some(Arc::new(side));
        Ok(state)
    }

    /// Whether an index is of the store as it is now.
    fn check(&self, read: Read<'_>, state: &State) -> Result<(), String> {
        if state.keys != self.search.keys.check() {
            return Err("it was made with another key".into());
        }
        if state.store != identity(read) || state.position.id > last_id(read) {
            return Err("it is of another store".into());
        }
        match changes_after(read, state.position.change) {
            Some(_) => Ok(()),
            None => Err("it has missed changes of messages".into()),
        }
    }

    /// Lets go of the index, and begins with an empty one. Until it is made the store is read where it is missing.
    fn make_anew(&mut self, why: &str) {
        {
            // Who looks has a lock: nobody has anything of it open now.
            let mut shared = self.search.write();
            shared.side = None;
            shared.built = Built::Before(ChannelId::MIN);
        }
        let folder = self.search.folder();
        let made = side::remove(&folder).map_err(|error| Damaged(error.to_string()));
        let made = made.and_then(|()| Side::open(&folder, self.search.settings.map_size, READERS_MAX));
        let snapshot = self.search.store.snapshot();
        let read = snapshot.read();
        let position = Position { id: last_id(read), change: last_change(read) };
        let walk = Walk { after: 0, up_to: position.id, at: (ChannelId::MIN, MessageId::MIN) };
        self.state =
            State { store: identity(read), keys: self.search.keys.check(), position, walk: Some(walk) };
        self.left = read.len(MESSAGES);
        self.search.metrics.rebuilds.add(1);
        match made {
            Ok(side) => {
                if self.left > 0 {
                    tracing::info!(why, messages = self.left, "the index of messages is made anew");
                }
                self.search.write().side = Some(Arc::new(side));
                if let Err(error) = self.write(&[]) {
                    self.failed(&error);
                }
            }
            Err(damaged) => self.failed(&WriteError::Failed(damaged.0)),
        }
        self.publish();
        self.search.is_old.store(false, Ordering::Release);
    }

    /// One thing that there is to do; waits when there is none.
    fn step(&mut self) -> Result<(), WriteError> {
        // First: what was missed before this was handed over is noted before this is written.
        let frozen = self.search.read().frozen.clone();
        let (anew, missed_after) = {
            let mut wanted = self.search.lock_wanted();
            (wanted.anew.take(), wanted.missed_after.take())
        };
        if let Some(why) = anew {
            self.make_anew(&why);
        } else if let Some(after) = missed_after {
            let up_to = last_id(self.search.store.snapshot().read());
            let after = self.state.walk.map_or(after, |walk| walk.after.min(after));
            self.state.walk = Some(Walk { after, up_to, at: (ChannelId::MIN, MessageId::MIN) });
            self.left = self.search.message_count();
            self.write(&[])?;
            self.publish();
        }
        if self.search.read().side.is_none() {
            self.make_anew("it cannot be opened");
            return Ok(());
        }
        match (frozen, self.state.walk) {
            (Some(frozen), _) => self.flush(&frozen)?,
            (None, Some(walk)) => self.walk(walk)?,
            (None, None) => {
                self.idle();
                self.search.wait(IDLE);
            }
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("the index of messages can be written again");
        }
        Ok(())
    }

    /// Writes what was handed over.
    fn flush(&mut self, frozen: &Fresh) -> Result<(), WriteError> {
        self.state.position = self.state.position.max(frozen.position);
        self.state.store = identity(self.search.store.snapshot().read());
        self.write(&frozen.sorted())?;
        self.search.write().frozen = None;
        Ok(())
    }

    /// Takes in the next messages of a walk.
    fn walk(&mut self, walk: Walk) -> Result<(), WriteError> {
        let (mut postings, mut at, mut is_done) = (Vec::new(), walk.at, false);
        while postings.len() < self.search.settings.walk_count && !is_done && !self.search.is_stopping() {
            let count;
            (count, is_done) = self.read_some(walk, &mut at, &mut postings);
            self.left = self.left.saturating_sub(count);
        }
        self.state.walk = (!is_done).then_some(Walk { at, ..walk });
        postings.sort_unstable();
        let mut lists: Vec<(TermKey, &[Posting])> = Vec::new();
        let plain: Vec<Posting> = postings.iter().map(|(_, posting)| *posting).collect();
        let mut begin = 0;
        for chunk in postings.chunk_by(|(a, _), (b, _)| a == b) {
            lists.push((chunk[0].0, &plain[begin..begin + chunk.len()]));
            begin += chunk.len();
        }
        self.write(&lists)?;
        self.publish();
        if is_done {
            let len = self.len();
            tracing::info!(len, "the index of messages is complete");
        } else if self.told.elapsed() >= TOLD_INTERVAL {
            self.told = Instant::now();
            tracing::info!(left = self.left, "the index of messages is being made");
        }
        Ok(())
    }

    /// Reads messages from the place of the walk on, in one snapshot; returns how many it looked at, and whether those
    /// were the last.
    fn read_some(
        &self,
        walk: Walk,
        at: &mut (ChannelId, MessageId),
        postings: &mut Vec<(TermKey, Posting)>,
    ) -> (u64, bool) {
        let snapshot = self.search.store.snapshot();
        let read = snapshot.read();
        let mut count = 0;
        let mut place: Option<(ChannelId, Option<u64>)> = None;
        for ((channel_id, message_id), message) in read.scan_after(MESSAGES, (), *at).take(READ_AT_ONCE) {
            *at = (channel_id, message_id);
            count += 1;
            if place.is_none_or(|(known, _)| known != channel_id) {
                place = Some((channel_id, place_of(read, channel_id)));
            }
            let Some((_, Some(place))) = place else { continue };
            if message_id.0 > walk.after && message_id.0 <= walk.up_to {
                let (terms, posting) = taken(self.search, place, channel_id, message_id, message);
                postings.extend(terms.into_iter().map(|term| (term, posting)));
            }
        }
        self.search.metrics.messages.add_shared(count);
        // A record that is damaged is told of in the log, and not found.
        take_damage();
        (count, (count as usize) < READ_AT_ONCE)
    }

    /// Writes postings and the state in one transaction.
    fn write(&mut self, lists: &[(TermKey, &[Posting])]) -> Result<(), WriteError> {
        let Some(side) = self.search.read().side.clone() else { return Ok(()) };
        #[cfg(test)]
        if self.search.killed.load(std::sync::atomic::Ordering::Acquire) {
            return Ok(());
        }
        let mut tx = side.begin()?;
        for (term, list) in lists {
            merge(&mut tx, term, list)?;
        }
        tx.put(STATE_KEY, &self.state.encode())?;
        tx.commit()?;
        self.search.metrics.file_len.set(side.len());
        Ok(())
    }

    /// Makes known how far it has come.
    fn publish(&self) {
        let built = self.state.walk.map_or(Built::All, |walk| Built::Before(walk.at.0));
        self.search.write().built = built;
        self.search.metrics.left.set(if self.state.walk.is_some() { self.left } else { 0 });
    }

    fn idle(&self) {
        if let Some(side) = &self.search.read().side {
            side.release();
        }
    }

    fn len(&self) -> u64 {
        self.search.read().side.as_ref().map_or(0, |side| side.len())
    }

    /// It is tried again; what waits stays in memory as long as there is room.
    fn failed(&mut self, error: &WriteError) {
        self.search.metrics.failures.add(1);
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::error!(%error, "the index of messages cannot be written: searches find what is in memory and read the rest");
        }
        // A full disk mends itself, a damaged index does not.
        if !matches!(error, WriteError::Full) {
            self.search.renew(&format!("it is damaged: {error}"));
        }
        std::thread::sleep(RETRY);
    }

    /// Writes what is in memory, as far as that can be done, before the process ends.
    fn end(&mut self) {
        let (frozen, active) = {
            let mut shared = self.search.write();
            (shared.frozen.clone(), std::mem::take(&mut shared.active))
        };
        let missed = self.search.lock_wanted().missed_after.is_some();
        let last = [frozen, Some(Arc::new(active))].into_iter().flatten();
        let mut last = last.filter(|fresh| fresh.message_count > 0 && !missed);
        let flushed = last.try_for_each(|fresh| match fresh.message_count > LAST_COUNT_MAX {
            true => Err(WriteError::Failed("there is too much of it".into())),
            false => self.flush(&fresh),
        });
        if let Err(error) = flushed {
            tracing::info!(%error, "what is in memory of the index of messages is not written: it catches up at the next start");
        }
        drop(self.search.write().side.take());
    }
}

/// Stands for a store: the id of its oldest account.
fn identity(read: Read<'_>) -> u64 {
    read.scan(USERS, ()).keys().next().map_or(0, |user_id| user_id.0)
}
