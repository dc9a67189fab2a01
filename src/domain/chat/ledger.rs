//! Ledgers: how many messages stand after a place, in a channel or of one author in it, without walking over them.
//!
//! A ledger keeps the messages of one owner, a channel or an author, in windows of about 64. A window ends before a
//! message whose id falls on a boundary, which no counter has to tell, so posting usually writes nothing here. When
//! one ends, what stood in it is counted once and added up; what is deleted from it later is taken off in a tree over
//! the windows. A count then walks over what is left of the first window and over the last, and adds two differences.
//!
//! Invariant: a window that has ended counts each message that was in it then. Boundaries are places: their messages
//! may be deleted. Messages of earlier versions come into the ledgers in bounded steps: by housekeeping ([`build`]),
//! and whenever somebody posts a message that is a boundary. Until all are in, a count walks over what is not,
//! [`WALK_MAX`] messages at most.

use crate::domain::machine::Machine;
use crate::id::{ChannelId, MessageId, UserId};
use crate::store::Read;
use crate::store::records::{ArchivedMeta, Meta};
use crate::store::tables::{AUTHOR_MESSAGES, LEDGER_COUNTS, LEDGER_GONE, LEDGER_WINDOWS, MESSAGES, META};

/// Messages of one owner that a count looks at one by one. Windows that have ended are some 64 long, none is longer
/// than [`WINDOW_LEN_MAX`], and the last one goes on to the next boundary, so only what is not in a ledger yet can
/// reach it: about 1 ms.
pub const WALK_MAX: usize = 10_000;
/// A window that has ended is no longer. Of 10^6 windows one is longer than 880 by itself.
const WINDOW_LEN_MAX: usize = 1_000;
/// Messages that a command which posts brings into each ledger at most.
const STEP_MAX: usize = 2 * WINDOW_LEN_MAX;
/// One id of so many is a boundary.
const BOUNDARY_BITS: u32 = 6;
/// A node of the tree stands for 512 of the level below; there are three levels: 64, 32,768 and 16.8 million messages.
const FANOUT_BITS: u32 = 9;
const LEVEL_MAX: u64 = 2;

/// Whose messages a ledger keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Channel(ChannelId),
    /// All messages of an author, counted by channel.
    Author(UserId),
}

impl Owner {
    /// The key of his windows. Ids of both come from one generator, but tests and imports may not.
    fn key(self) -> (u8, u64) {
        match self {
            Owner::Channel(id) => (0, id.0),
            Owner::Author(id) => (1, id.0),
        }
    }

    /// The part of a key that comes after the channel, by which all that is counted of it can go at once.
    fn author(self) -> u64 {
        match self {
            Owner::Channel(_) => 0,
            Owner::Author(id) => id.0,
        }
    }

    /// Whether a window of this owner ends before that message. Both owners of a message have boundaries of their own.
    ///
    /// Ids of a quiet channel differ in their time only, and often by the same step. One product would follow such ids
    /// in steps of its own, with long runs that miss every boundary; the second one makes them independent.
    fn is_boundary(self, message_id: MessageId) -> bool {
        const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
        let mixed = (message_id.0 ^ message_id.0 >> 32).wrapping_mul(FACTORS[usize::from(self.key().0)]);
        (mixed ^ mixed >> 29).wrapping_mul(FACTORS[0]) >> (64 - BOUNDARY_BITS) == 0
    }

    /// His messages after one, with their channel. Those of a channel are counted by their keys: a damaged one is to
    /// fail who reads it, not who posts after it.
    fn messages_after(
        self,
        read: Read<'_>,
        after: MessageId,
    ) -> impl Iterator<Item = (MessageId, ChannelId)> {
        let (in_channel, of_author) = match self {
            Owner::Channel(id) => (Some(read.scan_after(MESSAGES, id, (id, after)).keys()), None),
            Owner::Author(id) => (None, Some(read.scan_after(AUTHOR_MESSAGES, id, (id, after)))),
        };
        let in_channel = in_channel.into_iter().flatten().map(|(channel_id, id)| (id, channel_id));
        let of_author = of_author.into_iter().flatten().map(|((_, id), at)| (id, ChannelId::from(&at.id)));
        in_channel.chain(of_author)
    }
}

/// A window: its number, and after which message it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Window {
    number: u64,
    after: MessageId,
}

const FIRST: Window = Window { number: 0, after: MessageId(0) };

/// Windows are stored under the message before which the one before them ended.
fn window(((_, _, begins), number): ((u8, u64, u64), &ArchivedMeta)) -> Window {
    Window { number: number.value.to_native(), after: MessageId(begins - 1) }
}

fn last_window(read: Read<'_>, owner: Owner) -> Window {
    read.scan_rev(LEDGER_WINDOWS, owner.key()).next().map_or(FIRST, window)
}

/// The window that a message is, was, or would be in.
fn window_of(read: Read<'_>, owner: Owner, message_id: MessageId) -> Window {
    let (kind, id) = owner.key();
    let next = (kind, id, message_id.0.saturating_add(1));
    read.scan_rev_before(LEDGER_WINDOWS, (kind, id), next).next().map_or(FIRST, window)
}

/// The first window that begins after a message.
fn window_after(read: Read<'_>, owner: Owner, message_id: MessageId) -> Option<Window> {
    let (kind, id) = owner.key();
    read.scan_after(LEDGER_WINDOWS, (kind, id), (kind, id, message_id.0)).next().map(window)
}

// -------------------------------------------------------------------------------------------- count

/// How many messages there are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Count {
    pub count: u64,
    /// Messages looked at.
    pub walked: usize,
    /// False when the walk had to end early: then there are at least so many.
    pub complete: bool,
}

/// Messages of an owner in a channel after one, by at most `walk_max` looks at single messages.
pub fn count_after(
    read: Read<'_>,
    owner: Owner,
    channel_id: ChannelId,
    after: MessageId,
    walk_max: usize,
) -> Count {
    let mut count = Count { count: 0, walked: 0, complete: true };
    // All windows end after the beginning, and the first one begins there.
    let next = if after == FIRST.after { Some(FIRST) } else { window_after(read, owner, after) };
    let Some(next) = next else {
        count.walk(read, owner, channel_id, (after, MessageId::MAX), walk_max);
        return count;
    };
    let last = last_window(read, owner);
    count.walk(read, owner, channel_id, (after, next.after), walk_max);
    count.walk(read, owner, channel_id, (last.after, MessageId::MAX), walk_max);
    let ended = counted_before(read, owner, channel_id, last.number)
        - counted_before(read, owner, channel_id, next.number);
    let gone = gone(read, owner, channel_id, next.number, last.number);
    debug_assert!(gone <= ended, "what was deleted had been counted: {gone} of {ended}");
    count.count += ended.saturating_sub(gone);
    count
}

impl Count {
    /// Adds those after the first and up to the second.
    fn walk(
        &mut self,
        read: Read<'_>,
        owner: Owner,
        channel_id: ChannelId,
        (after, up_to): (MessageId, MessageId),
        walk_max: usize,
    ) {
        for (message_id, at) in owner.messages_after(read, after) {
            if message_id > up_to {
                return;
            }
            if self.walked == walk_max {
                self.complete = false;
                return;
            }
            self.walked += 1;
            self.count += u64::from(at == channel_id);
        }
    }
}

/// Messages of the owner in the channel that were counted when the windows before that one ended.
fn counted_before(read: Read<'_>, owner: Owner, channel_id: ChannelId, window: u64) -> u64 {
    let id = owner.author();
    let before = read.scan_rev_before(LEDGER_COUNTS, (channel_id, id), (channel_id, id, window));
    before.map(|(_, sum)| sum.value.to_native()).next().unwrap_or(0)
}

/// Of those, the ones deleted since from the windows `from..to`.
fn gone(read: Read<'_>, owner: Owner, channel_id: ChannelId, mut from: u64, mut to: u64) -> u64 {
    let id = owner.author();
    let sum = |level: u64, from: u64, to: u64| -> u64 {
        if from >= to {
            return 0;
        }
        let prefix = (channel_id, id);
        let nodes = match node(level, from) {
            0 => read.scan(LEDGER_GONE, prefix),
            first => read.scan_after(LEDGER_GONE, prefix, (channel_id, id, first - 1)),
        };
        let nodes = nodes.take_while(|((_, _, at), _)| *at < node(level, to));
        nodes.map(|(_, gone)| gone.value.to_native()).sum()
    };
    let mut total = 0;
    for level in 0..=LEVEL_MAX {
        let (whole_from, whole_to) = (from.div_ceil(1 << FANOUT_BITS), to >> FANOUT_BITS);
        if level == LEVEL_MAX || whole_from >= whole_to {
            return total + sum(level, from, to);
        }
        total += sum(level, from, whole_from << FANOUT_BITS) + sum(level, whole_to << FANOUT_BITS, to);
        (from, to) = (whole_from, whole_to);
    }
    total
}

/// The key of a node: levels one after the other, in each the numbers in order.
fn node(level: u64, number: u64) -> u64 {
    level << 56 | number
}

// --------------------------------------------------------------------------------------------- keep

/// Takes note of a message that was just stored, the newest of both its owners.
pub(in crate::domain) fn added(
    machine: &mut Machine<'_, '_>,
    channel_id: ChannelId,
    author: UserId,
    id: MessageId,
) {
    for owner in [Owner::Channel(channel_id), Owner::Author(author)] {
        if owner.is_boundary(id) {
            advance(machine, owner, STEP_MAX);
        }
    }
}

/// Takes note of a message that was just deleted.
pub(in crate::domain) fn removed(
    machine: &mut Machine<'_, '_>,
    channel_id: ChannelId,
    author: UserId,
    id: MessageId,
) {
    for owner in [Owner::Channel(channel_id), Owner::Author(author)] {
        let read = machine.read();
        let window = window_of(read, owner, id).number;
        if window == last_window(read, owner).number {
            continue;
        }
        for level in 0..=LEVEL_MAX {
            let key = (channel_id, owner.author(), node(level, window >> (level as u32 * FANOUT_BITS)));
            let value = machine.tx.get(LEDGER_GONE, key).map_or(0, |gone| gone.value.to_native()) + 1;
            machine.tx.put(LEDGER_GONE, key, &Meta { value });
        }
    }
}

/// Ends the windows that are complete, looking at no more than `walk_max` messages; returns how many it looked at.
pub(in crate::domain) fn advance(machine: &mut Machine<'_, '_>, owner: Owner, walk_max: usize) -> usize {
    let read = machine.read();
    let mut window = last_window(read, owner);
    // Where windows end, and per channel how many messages each has.
    let mut ended: Vec<(u64, MessageId)> = Vec::new();
    let mut counts: Vec<(ChannelId, u64, u64)> = Vec::new();
    let (mut open, mut len, mut walked): (Vec<(ChannelId, u64)>, usize, usize) = (Vec::new(), 0, 0);
    for (id, channel_id) in owner.messages_after(read, window.after).take(walk_max) {
        walked += 1;
        if len > 0 && (owner.is_boundary(id) || len == WINDOW_LEN_MAX) {
            counts.extend(open.drain(..).map(|(channel_id, count)| (channel_id, window.number, count)));
            window.number += 1;
            ended.push((window.number, id));
            len = 0;
        }
        len += 1;
        assert!(len <= WINDOW_LEN_MAX, "a window ends when it is full");
        match open.iter_mut().find(|(at, _)| *at == channel_id) {
            Some((_, count)) => *count += 1,
            None => open.push((channel_id, 1)),
        }
    }
    for (channel_id, window, count) in counts {
        let value = counted_before(machine.read(), owner, channel_id, window) + count;
        machine.tx.put(LEDGER_COUNTS, (channel_id, owner.author(), window), &Meta { value });
    }
    let (kind, owner_id) = owner.key();
    for (number, begins) in ended {
        machine.tx.put(LEDGER_WINDOWS, (kind, owner_id, begins.0), &Meta { value: number });
    }
    walked
}

// -------------------------------------------------------------------------------------------- build

/// That all messages are in the ledgers.
const BUILT: &str = "ledgers_built";
/// Up to which channel and which author they are.
const CURSORS: [&str; 2] = ["ledger_channel", "ledger_author"];

/// Whether all messages are in the ledgers: then each count is complete.
pub fn is_built(read: Read<'_>) -> bool {
    read.contains(META, BUILT)
}

/// Brings messages of earlier versions into the ledgers, about `walk_max` of them, at least [`STEP_MAX`]; returns how
/// many it looked at and whether all are in.
pub(in crate::domain) fn build(machine: &mut Machine<'_, '_>, walk_max: usize) -> (usize, bool) {
    if is_built(machine.read()) {
        return (0, true);
    }
    let mut walked = 0;
    for cursor in CURSORS {
        while let Some(owner) = next_owner(machine.read(), cursor) {
            if walked >= walk_max.max(STEP_MAX) {
                return (walked, false);
            }
            // As many as make sure that a window ends.
            let count = advance(machine, owner, STEP_MAX);
            walked += count.max(1);
            if count < STEP_MAX {
                machine.tx.put(META, cursor, &Meta { value: owner.key().1 });
            }
        }
    }
    machine.tx.put(META, BUILT, &Meta { value: 1 });
    (walked, true)
}

/// The owner after the one at which a cursor stands.
fn next_owner(read: Read<'_>, cursor: &'static str) -> Option<Owner> {
    let after = read.get(META, cursor).map_or(0, |meta| meta.value.to_native());
    match cursor == CURSORS[0] {
        true => read.scan_after(MESSAGES, (), after).keys().next().map(|(id, _)| Owner::Channel(id)),
        false => read.scan_after(AUTHOR_MESSAGES, (), after).keys().next().map(|(id, _)| Owner::Author(id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::first_id_at;
    use crate::store::records::Message;
    use crate::store::{Options, Store, Sync};

    const AT: u64 = 1_767_225_600_000;
    const CHANNELS: [ChannelId; 3] = [ChannelId(1), ChannelId(2), ChannelId(3)];
    const AUTHORS: [UserId; 3] = [UserId(1), UserId(2), UserId(3)];

    fn with_machine(test: impl FnOnce(&mut Machine<'_, '_>)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_path_buf();
        let options = Options { path, map_size: 1 << 28, sync: Sync::Interval, readers_max: 8 };
        let store = Store::open(&options).unwrap();
        let mut tx = store.begin().unwrap();
        test(&mut Machine::begin(&mut tx, crate::domain::Now::at(AT), 0));
    }

    fn put(machine: &mut Machine<'_, '_>, channel_id: ChannelId, author_id: UserId) -> MessageId {
        let id = MessageId(machine.next_id());
        machine.tx.put(MESSAGES, (channel_id, id), &Message { author_id, ..Message::default() });
        machine.tx.put(AUTHOR_MESSAGES, (author_id, id), &channel_id.into());
        id
    }

    /// Posts and deletes at random: most in one channel, most by one author.
    fn step(machine: &mut Machine<'_, '_>, random: &mut fastrand::Rng, ids: &mut Vec<MessageId>) {
        let pick = |random: &mut fastrand::Rng| [0, 0, 0, 0, 0, 0, 1, 2][random.usize(..8)];
        if random.u8(..4) > 0 || ids.is_empty() {
            let (channel_id, author) = (CHANNELS[pick(random)], AUTHORS[pick(random)]);
            let id = put(machine, channel_id, author);
            added(machine, channel_id, author, id);
            ids.push(id);
            return;
        }
        // New ones, and any.
        let newest = ids.len() - ids.len().min(80);
        let index = if random.bool() { random.usize(newest..ids.len()) } else { random.usize(..ids.len()) };
        let id = ids[index];
        let read = machine.read();
        let found = CHANNELS.iter().find_map(|&at| Some((at, read.get(MESSAGES, (at, id))?)));
        let Some((channel_id, message)) = found else { return };
        let author = UserId::from(&message.author_id);
        machine.tx.delete(MESSAGES, (channel_id, id));
        machine.tx.delete(AUTHOR_MESSAGES, (author, id));
        removed(machine, channel_id, author, id);
    }

    /// Holds counts after random places against counting one by one; returns the longest walk.
    fn check(read: Read<'_>, random: &mut fastrand::Rng, ids: &[MessageId]) -> usize {
        let mut longest = 0;
        for _ in 0..20 {
            let (channel_id, author) = (CHANNELS[random.usize(..3)], AUTHORS[random.usize(..3)]);
            let after = match random.u8(..8) {
                0 => MessageId(0),
                1 => MessageId::MAX,
                2 => MessageId(ids[random.usize(..ids.len())].0 + 1),
                _ => ids[random.usize(..ids.len())],
            };
            let all = || read.scan_after(MESSAGES, channel_id, (channel_id, after));
            let own = all().filter(|(_, message)| UserId::from(&message.author_id) == author);
            for (owner, want) in
                [(Owner::Channel(channel_id), all().count()), (Owner::Author(author), own.count())]
            {
                let got = count_after(read, owner, channel_id, after, WALK_MAX);
                assert_eq!(
                    (got.count, got.complete),
                    (want as u64, true),
                    "{owner:?} in {channel_id} after {after}"
                );
                longest = longest.max(got.walked);
            }
        }
        longest
    }

    #[test]
    fn counts_are_those_of_walking() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        with_machine(|machine| {
            let (mut ids, mut longest) = (Vec::new(), 0);
            for _ in 0..60 {
                (0..150).for_each(|_| step(machine, &mut random, &mut ids));
                longest = longest.max(check(machine.read(), &mut random, &ids));
            }
            assert!(machine.read().len(LEDGER_WINDOWS) > 50 && machine.read().len(LEDGER_GONE) > 50);
            assert!(longest <= 2 * WINDOW_LEN_MAX, "two windows at most, not {longest}");
        });
    }

    #[test]
    fn stores_of_earlier_versions_are_taken_in_step_by_step() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        with_machine(|machine| {
            let mut ids: Vec<MessageId> =
                (0..9_000).map(|index| put(machine, CHANNELS[index % 7 / 3], AUTHORS[index % 3])).collect();
            assert_eq!(machine.read().len(LEDGER_WINDOWS), 0);
            let mut steps = 0;
            loop {
                // Right from the beginning, as long as a walk can be.
                check(machine.read(), &mut random, &ids);
                let (walked, built) = build(machine, 1_000);
                assert!(walked <= 2 * STEP_MAX, "{walked}");
                (0..20).for_each(|_| step(machine, &mut random, &mut ids));
                steps += 1;
                if built {
                    break;
                }
            }
            assert!(steps > 4, "{steps}");
            let longest = check(machine.read(), &mut random, &ids);
            assert!(longest <= 2 * WINDOW_LEN_MAX, "{longest}");
            assert_eq!(build(machine, 1_000), (0, true));
        });
    }

    #[test]
    fn posting_takes_in_what_came_before() {
        with_machine(|machine| {
            let (channel_id, author) = (CHANNELS[0], AUTHORS[0]);
            for _ in 0..2 * WALK_MAX {
                put(machine, channel_id, author);
            }
            let count = |machine: &Machine<'_, '_>| {
                count_after(machine.read(), Owner::Channel(channel_id), channel_id, MessageId(0), WALK_MAX)
            };
            assert_eq!(count(machine), Count { count: WALK_MAX as u64, walked: WALK_MAX, complete: false });
            for _ in 0..3_000 {
                let id = put(machine, channel_id, author);
                added(machine, channel_id, author, id);
            }
            let count = count(machine);
            assert_eq!((count.count, count.complete), (2 * WALK_MAX as u64 + 3_000, true));
            assert!(count.walked <= 2 * WINDOW_LEN_MAX, "{}", count.walked);
        });
    }

    #[test]
    fn a_tree_of_windows_adds_up() {
        with_machine(|machine| {
            let (owner, channel_id) = (Owner::Channel(CHANNELS[0]), CHANNELS[0]);
            let windows = [0, 1, 511, 512, 513, 1_024, 262_143, 262_144, 262_145, 600_000];
            for window in windows {
                for level in 0..=LEVEL_MAX {
                    let key = (channel_id, 0, node(level, window >> (level as u32 * FANOUT_BITS)));
                    let value = machine.tx.get(LEDGER_GONE, key).map_or(0, |gone| gone.value.to_native()) + 1;
                    machine.tx.put(LEDGER_GONE, key, &Meta { value });
                }
            }
            let mut places = vec![2, 700_000];
            places.extend(windows.iter().flat_map(|&window| [window, window + 1]));
            for &from in &places {
                for &to in places.iter().filter(|to| **to >= from) {
                    let want = windows.iter().filter(|window| (from..to).contains(window)).count() as u64;
                    assert_eq!(gone(machine.read(), owner, channel_id, from, to), want, "{from}..{to}");
                }
            }
        });
    }

    #[test]
    fn boundaries_are_spread_over_ids_of_every_kind() {
        for owner in [Owner::Channel(CHANNELS[0]), Owner::Author(AUTHORS[0])] {
            for step_ms in [1, 2, 3, 10, 16, 128, 333, 1_000, 1_024, 5_000, 60_000, 65_536, 3_600_000] {
                let is_boundary = |n: &u64| owner.is_boundary(MessageId(first_id_at(AT + n * step_ms)));
                let boundaries: Vec<u64> = (0..100_000).filter(is_boundary).collect();
                let longest = boundaries.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
                assert!((1_400..1_700).contains(&boundaries.len()), "{owner:?}, {step_ms}");
                assert!(
                    longest < WINDOW_LEN_MAX as u64,
                    "{owner:?}, {step_ms} ms: {longest} messages without a boundary"
                );
            }
        }
    }
}
