//! The thread that follows the log: it takes new and changed messages into memory, and hands them over to be written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Search;
use super::block::Posting;
use super::fresh::{Fresh, Position};
use super::terms::{TermKey, mark};
use crate::domain::machine::last_id;
use crate::domain::touched::{Touched, changes_after, last_change};
use crate::id::{ChannelId, MessageId};
use crate::log::Touches;
use crate::store::records::ArchivedMessage;
use crate::store::tables::{CHANNELS, MESSAGES};
use crate::store::{Read, take_damage};

/// How often it looks whether something is to be handed over.
const TICK: Duration = Duration::from_millis(250);
/// Messages that were missed and are taken into memory; of more the store is walked through.
const MISSED_MAX: usize = 100_000;
/// Messages in memory with which it pauses until those before are written: an index that cannot be written must not
/// fill the memory. What comes meanwhile is found in the store later.
const FRESH_MAX: usize = 400_000;

pub(super) fn run(search: &Search, touches: &Touches, position: Position) {
    let mut follower = Follower { search, position, since: None, behind: true };
    touches.follow();
    while !search.is_stopping() {
        if follower.is_full() {
            follower.behind = true;
        } else if follower.behind {
            follower.behind = false;
            follower.catch_up();
        }
        let told = touches.wait(TICK);
        follower.behind |= told.lost;
        if !follower.behind {
            follower.take(&told.touched);
        }
        follower.hand_over();
    }
}

/// A message as it is taken in.
pub(super) type Taken = (Vec<TermKey>, Posting);

struct Follower<'s> {
    search: &'s Search,
    /// Of what it has taken.
    position: Position,
    /// When the oldest in memory was taken.
    since: Option<Instant>,
    /// Something was missed.
    behind: bool,
}

impl Follower<'_> {
    fn is_full(&self) -> bool {
        self.search.read().active.message_count >= FRESH_MAX
    }

    fn take(&mut self, touched: &[Touched]) {
        if touched.is_empty() {
            return;
        }
        let snapshot = self.search.store.snapshot();
        let read = snapshot.read();
        let taken: Vec<Taken> =
            touched.iter().filter_map(|it| take(self.search, read, it.channel_id, it.message_id)).collect();
        let new = touched.iter().filter(|touched| touched.change == 0);
        let id = new.map(|touched| touched.message_id.0).max().unwrap_or(0);
        let change = touched.iter().map(|touched| touched.change).max().unwrap_or(0);
        self.keep(&taken, Position { id, change });
        take_damage();
    }

    fn keep(&mut self, taken: &[Taken], position: Position) {
        self.position = self.position.max(position);
        let mut shared = self.search.write();
        taken.iter().for_each(|(terms, posting)| shared.active.insert(terms, *posting));
        shared.active.position = self.position;
        self.search.metrics.messages.add_shared(taken.len() as u64);
        self.search.metrics.fresh.set(shared.active.message_count as u64);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Takes in what has happened since its position.
    fn catch_up(&mut self) {
        let snapshot = self.search.store.snapshot();
        let read = snapshot.read();
        let last = Position { id: last_id(read), change: last_change(read) };
        let Some(changes) = changes_after(read, self.position.change) else {
            self.position = last;
            return self.search.renew("it has not followed the changes of messages for too long");
        };
        let mut missed: Vec<(ChannelId, MessageId)> =
            changes.iter().map(|change| (change.channel_id, change.message_id)).collect();
        if last.id > self.position.id {
            missed.extend(newer(read, self.position.id).take(MISSED_MAX + 1));
        }
        if missed.len() > MISSED_MAX {
            let after = self.position.id;
            self.search.want(|wanted| {
                wanted.missed_after = Some(wanted.missed_after.map_or(after, |known| known.min(after)));
            });
            missed.truncate(changes.len());
        }
        let taken: Vec<Taken> = missed
            .into_iter()
            .filter_map(|(channel_id, message_id)| take(self.search, read, channel_id, message_id))
            .collect();
        self.keep(&taken, last);
        take_damage();
    }

    /// Has what is in memory written, when it is much or old and that before is written.
    fn hand_over(&mut self) {
        let settings = self.search.settings;
        let is_old = self.since.is_some_and(|since| since.elapsed() >= settings.fresh_age);
        let mut shared = self.search.write();
        let is_due = is_old || shared.active.message_count >= settings.fresh_count;
        if !is_due || shared.frozen.is_some() || shared.active.message_count == 0 {
            return;
        }
        let position = shared.active.position;
        let full = std::mem::replace(&mut shared.active, Fresh::at(position));
        shared.frozen = Some(Arc::new(full));
        self.since = None;
        drop(shared);
        self.search.changed.notify_all();
    }
}

/// The messages of all channels with a greater id.
fn newer(read: Read<'_>, id: u64) -> impl Iterator<Item = (ChannelId, MessageId)> {
    let channels = read.scan(CHANNELS, ()).keys();
    channels
        .flat_map(move |channel_id| read.scan_after(MESSAGES, channel_id, (channel_id, MessageId(id))).keys())
}

/// A message with its terms; none when it, or its channel, is gone.
fn take(search: &Search, read: Read<'_>, channel_id: ChannelId, message_id: MessageId) -> Option<Taken> {
    let message = read.get(MESSAGES, (channel_id, message_id))?;
    let place = place_of(read, channel_id)?;
    Some(taken(search, place, channel_id, message_id, message))
}

/// Where the messages of a channel stand in the index: under its server, or itself.
pub(super) fn place_of(read: Read<'_>, channel_id: ChannelId) -> Option<u64> {
    let channel = read.get(CHANNELS, channel_id)?;
    Some(channel.server().map_or(channel_id.0, |server_id| server_id.0))
}

pub(super) fn taken(
    search: &Search,
    place: u64,
    channel_id: ChannelId,
    message_id: MessageId,
    message: &ArchivedMessage,
) -> Taken {
    let terms = search.keys.of(search.keys.place(place), message);
    (terms, Posting { id: message_id.0, mark: mark(channel_id) })
}
