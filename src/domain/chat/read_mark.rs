//! Read marks: up to which message a user has acknowledged a channel, and what is unread after it.
//!
//! Invariant: a mark never goes back, and never stands beyond the newest message there was when it was set; both
//! tables hold the same mark. Counts come from the ledgers (see [`ledger`]): they run on core threads and on the writer.

use rkyv::{Archive, Deserialize, Serialize};

use super::ledger::{self, Count, Owner, WALK_MAX, count_after};
use super::message::Scope;
use super::writing::Writing;
use crate::domain::asking::Asking;
use crate::domain::error::Result;
use crate::domain::event::{Audience, Event, EventName, intent};
use crate::domain::machine::Machine;
use crate::domain::permission::{CHANNELS_VIEW, MESSAGES_READ};
use crate::id::{ChannelId, MessageId, UserId};
use crate::limits::{BULK_ACK_COUNT_MAX, GROUP_COUNT_MAX, OVERVIEW_CHANNEL_COUNT_MAX, OVERVIEW_DM_COUNT_MAX};
use crate::store::Read;
use crate::store::tables::{
    CHANNEL_READERS, MESSAGES, MESSAGING, READ_MARKS, SERVER_CHANNELS, USER_DMS, USER_GROUPS, USER_SERVERS,
};
use crate::wire::json::Object;

/// Channels in one bulk acknowledgement.
pub const BULK_MAX: usize = BULK_ACK_COUNT_MAX;
/// Messages looked at per channel of a bulk acknowledgement before counting: only whether any was marked is of interest.
const BULK_SCAN_MAX: usize = 100;
/// Single messages that each count for a bulk acknowledgement looks at: some 64, and more where ledgers are not built.
const BULK_WALK_MAX: usize = 1_000;
/// Channels looked at for the counts of all conversations, a fifth of them direct messages at most.
const CHANNELS_MAX: usize = OVERVIEW_CHANNEL_COUNT_MAX;
/// What these counts may cost, in looks at single messages: 60 ms of a thread, measured with 300 unread messages in
/// each of 5,000 channels.
pub const OVERVIEW_COST_MAX: usize = 200_000;
/// The same on a core thread: a millisecond. Some 90 channels.
pub const OVERVIEW_ON_CORE_COST_MAX: usize = 3_000;
/// What a channel costs of it besides messages that are looked at, and a server besides its channels.
const VISIT_COST: usize = 32;
/// Single messages looked at for them while the ledgers are not built; beyond that a channel gets [`WALK_MIN`].
const UNBUILT_WALK_MAX: usize = 50_000;
const WALK_MIN: usize = 10;

/// Acknowledges a channel.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChannelAck {
    pub channel_id: ChannelId,
    /// Up to and including this one; `None` for everything.
    pub message_id: Option<MessageId>,
}

/// Acknowledges several channels; those the user cannot read are skipped.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChannelsAck {
    /// At most [`BULK_MAX`].
    pub marks: Vec<(ChannelId, Option<MessageId>)>,
}

pub(in crate::domain) fn channel_ack(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ChannelAck,
) -> Result<u64> {
    advance(machine, actor, op.channel_id, op.message_id, marked)
}

pub(in crate::domain) fn channels_ack(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ChannelsAck,
) -> Result<()> {
    for &(channel_id, message_id) in op.marks.iter().take(BULK_MAX) {
        // Entries that do not resolve are skipped (contract).
        let _skipped = advance(machine, actor, channel_id, message_id, any_marked);
    }
    Ok(())
}

/// Messages of others after one place and up to another, which is not beyond the newest.
type Marked = fn(Read<'_>, UserId, ChannelId, MessageId, MessageId) -> u64;

/// Moves a mark forward and tells it; gives how many messages of others that has marked, as `marked` counts them.
fn advance(
    machine: &mut Machine<'_, '_>,
    user_id: UserId,
    channel_id: ChannelId,
    wanted: Option<MessageId>,
    marked: Marked,
) -> Result<u64> {
    let read = machine.read();
    let access = machine.asking(user_id).channel(channel_id)?;
    Writing::Receipt.require(&access)?;
    let Some(((_, last), _)) = read.scan_rev(MESSAGES, channel_id).next() else { return Ok(0) };
    let before = mark(read, user_id, channel_id);
    let target = wanted.unwrap_or(last).min(last);
    if target <= before {
        return Ok(0);
    }
    let count = marked(read, user_id, channel_id, before, target);
    let receipts = access.channel.read_receipts_enabled && receipts_enabled(read, user_id);
    let scope = Scope::heard_of(&access);

    machine.tx.put(READ_MARKS, (user_id, channel_id), &target.into());
    machine.tx.put(CHANNEL_READERS, (channel_id, user_id), &target.into());
    if count > 0 {
        let mut payload = Vec::with_capacity(128);
        Object::new(&mut payload)
            .id("channel_id", channel_id.0)
            .id("user_id", user_id.0)
            .opt_id("message_id", wanted.map(|_| target.0));
        let audience = if receipts { scope.readers } else { Audience::user(user_id) };
        machine.emit(Event::new(EventName::MessageAck, intent::NONE, audience, payload));
    }
    Ok(count)
}

/// Up to where a user has read a channel; `MessageId(0)` when he never said so.
pub fn mark(read: Read<'_>, user_id: UserId, channel_id: ChannelId) -> MessageId {
    read.get(READ_MARKS, (user_id, channel_id)).map_or(MessageId(0), |mark| MessageId::from(&mark.id))
}

/// Whether others may know what the user has read. The default is yes.
pub fn receipts_enabled(read: Read<'_>, user_id: UserId) -> bool {
    read.get(MESSAGING, user_id).is_none_or(|settings| settings.read_receipts_enabled)
}

/// For each message after one place and up to another, whether somebody else wrote it.
fn are_of_others(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    (after, up_to): (MessageId, MessageId),
) -> impl Iterator<Item = bool> {
    let messages = read.scan_after(MESSAGES, channel_id, (channel_id, after));
    let messages = messages.take_while(move |((_, id), _)| *id <= up_to);
    messages.map(move |(_, message)| UserId::from(&message.author_id) != user_id)
}

/// The same, counted one by one.
fn count_others(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    places: (MessageId, MessageId),
    walk_max: usize,
) -> Count {
    let mut count = Count { count: 0, walked: 0, complete: true };
    for other in are_of_others(read, user_id, channel_id, places) {
        if count.walked == walk_max {
            count.complete = false;
            break;
        }
        count.walked += 1;
        count.count += u64::from(other);
    }
    count
}

/// Messages by others after a place, as far as the ledgers tell: nothing, where the walks had to end early. A
/// difference of two numbers that are only at least so many would say nothing.
fn ledger_count(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    after: MessageId,
    walk_max: usize,
) -> Count {
    let all = count_after(read, Owner::Channel(channel_id), channel_id, after, walk_max);
    if !all.complete || all.count == 0 {
        return Count { count: 0, ..all };
    }
    let own = count_after(read, Owner::Author(user_id), channel_id, after, walk_max);
    let count = if own.complete { all.count.saturating_sub(own.count) } else { 0 };
    Count { count, walked: all.walked + own.walked, complete: own.complete }
}

/// Messages by others after a place: at least so many, where the count is not complete.
fn unread_after(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    after: MessageId,
    walk_max: usize,
) -> Count {
    let count = ledger_count(read, user_id, channel_id, after, walk_max);
    if count.complete {
        return count;
    }
    let single = count_others(read, user_id, channel_id, (after, MessageId::MAX), walk_max);
    Count { walked: count.walked + single.walked, ..single }
}

/// [`Marked`] by the ledgers; `None` where they cannot tell.
fn ledger_marked(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    (before, target): (MessageId, MessageId),
    walk_max: usize,
) -> Option<u64> {
    let after = |place| {
        let count = ledger_count(read, user_id, channel_id, place, walk_max);
        count.complete.then_some(count.count)
    };
    Some(after(before)?.saturating_sub(after(target)?))
}

/// Where there are more than can be looked at, at least so many and never none.
fn marked(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    before: MessageId,
    target: MessageId,
) -> u64 {
    let places = (before, target);
    if let Some(count) = ledger_marked(read, user_id, channel_id, places, WALK_MAX) {
        return count;
    }
    let single = count_others(read, user_id, channel_id, places, WALK_MAX);
    single.count.max(u64::from(!single.complete))
}

/// As [`marked`], but any number stands for more than none.
fn any_marked(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    before: MessageId,
    target: MessageId,
) -> u64 {
    let places = (before, target);
    let mut own = 0;
    for other in are_of_others(read, user_id, channel_id, places).take(BULK_SCAN_MAX) {
        if other {
            return 1;
        }
        own += 1;
    }
    if own < BULK_SCAN_MAX {
        return 0;
    }
    ledger_marked(read, user_id, channel_id, places, BULK_WALK_MAX).unwrap_or(1)
}

/// Messages by others after the user's mark.
pub fn unread_count(read: Read<'_>, user_id: UserId, channel_id: ChannelId) -> u64 {
    unread_after(read, user_id, channel_id, mark(read, user_id, channel_id), WALK_MAX).count
}

/// What the counts of all conversations may still cost.
struct Overview<'a> {
    read: Read<'a>,
    user_id: UserId,
    channels_left: usize,
    cost_left: usize,
    /// `None` when the ledgers are built.
    unbuilt_left: Option<usize>,
}

impl Overview<'_> {
    fn new(read: Read<'_>, user_id: UserId, cost_max: usize) -> Overview<'_> {
        let unbuilt_left = (!ledger::is_built(read)).then_some(UNBUILT_WALK_MAX);
        Overview { read, user_id, channels_left: CHANNELS_MAX, cost_left: cost_max, unbuilt_left }
    }

    fn charge(&mut self, cost: usize) {
        self.cost_left = self.cost_left.saturating_sub(cost);
    }

    fn is_spent(&self) -> bool {
        self.cost_left == 0 || self.channels_left == 0
    }

    fn unread(&mut self, channel_id: ChannelId) -> u64 {
        let walk_max = self.unbuilt_left.map_or(WALK_MAX, |left| left.clamp(WALK_MIN, WALK_MAX));
        let after = mark(self.read, self.user_id, channel_id);
        let count = unread_after(self.read, self.user_id, channel_id, after, walk_max);
        self.channels_left -= 1;
        self.charge(count.walked + VISIT_COST);
        self.unbuilt_left = self.unbuilt_left.map(|left| left.saturating_sub(count.walked));
        count.count
    }
}

/// Appends `{"<channel id>": count, …}` of all channels with something unread that the user can read.
///
/// Newest direct messages first, then groups, then servers; what is beyond [`CHANNELS_MAX`] or `cost_max` (see
/// [`OVERVIEW_COST_MAX`]) is left out. True when it did not cost too much.
pub fn write_unread_counts(out: &mut Vec<u8>, asking: Asking<'_>, cost_max: usize) -> bool {
    let Asking { read, who: user_id, .. } = asking;
    let mut counts = Object::new(out);
    let mut write = |channel_id: ChannelId, count: u64| {
        let mut digits = itoa::Buffer::new();
        counts.u64(digits.format(channel_id.0), count);
    };
    let mut overview = Overview::new(read, user_id, cost_max);
    let dms = read.scan_rev(USER_DMS, user_id).take(OVERVIEW_DM_COUNT_MAX).map(|((_, id), _)| id);
    let groups = read.scan_rev(USER_GROUPS, user_id).take(GROUP_COUNT_MAX).map(|((_, id), _)| id);
    for channel_id in dms.chain(groups) {
        if overview.is_spent() {
            break;
        }
        match overview.unread(channel_id) {
            0 => {}
            count => write(channel_id, count),
        }
    }
    for ((_, server_id), _) in read.scan(USER_SERVERS, user_id) {
        if overview.is_spent() {
            break;
        }
        overview.charge(VISIT_COST);
        let Ok(standing) = asking.server(server_id) else { continue };
        for ((_, channel_id), _) in read.scan(SERVER_CHANNELS, server_id) {
            if overview.is_spent() {
                break;
            }
            let count = overview.unread(channel_id);
            const READABLE: u64 = CHANNELS_VIEW | MESSAGES_READ;
            if count > 0 && standing.permissions_in(channel_id) & READABLE == READABLE {
                write(channel_id, count);
            }
        }
    }
    overview.cost_left > 0
}
