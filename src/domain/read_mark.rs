//! Read marks: up to which message a user has acknowledged a channel, and what is unread after it.
//!
//! Invariant: a mark never goes back, and never stands beyond the newest message there was when it was set; both
//! tables hold the same mark. Counting is bounded: it runs on core threads and on the writer.

use super::error::Result;
use super::event::{Audience, Event, EventName, intent};
use super::machine::{Machine, Reply};
use super::message::Scope;
use super::permission::{CHANNELS_VIEW, MESSAGES_READ, access, channel_permissions, standing};
use super::writing::Writing;
use crate::id::{ChannelId, MessageId, UserId};
use crate::store::Read;
use crate::store::tables::{
    CHANNEL_READERS, MESSAGES, MESSAGING, READ_MARKS, SERVER_CHANNELS, USER_DMS, USER_SERVERS,
};
use crate::wire::json::Object;

/// Messages looked at to count what is unread in a channel (about 100 µs): counts end here.
pub const UNREAD_SCAN_MAX: usize = 1_000;
/// Channels in one bulk acknowledgement.
pub const BULK_MAX: usize = 500;
/// Messages looked at per channel of a bulk acknowledgement: only whether any was marked is of interest.
const BULK_SCAN_MAX: usize = 100;
/// Channels looked at for the counts of all conversations, half of them direct messages at most.
const CHANNELS_MAX: usize = 2_000;
/// Messages looked at for the counts of all conversations; beyond that a channel gets [`SCAN_MIN`].
const TOTAL_SCAN_MAX: usize = 10_000;
/// Enough to tell that something is unread.
const SCAN_MIN: usize = 10;

/// Acknowledges a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelAck {
    pub channel_id: ChannelId,
    /// Up to and including this one; `None` for everything.
    pub message_id: Option<MessageId>,
}

/// Acknowledges several channels; those the user cannot read are skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelsAck {
    /// At most [`BULK_MAX`].
    pub marks: Vec<(ChannelId, Option<MessageId>)>,
}

pub(super) fn channel_ack(machine: &mut Machine<'_, '_>, actor: UserId, op: &ChannelAck) -> Result<Reply> {
    advance(machine, actor, op.channel_id, op.message_id, UNREAD_SCAN_MAX).map(Reply::Count)
}

pub(super) fn channels_ack(machine: &mut Machine<'_, '_>, actor: UserId, op: &ChannelsAck) -> Result<Reply> {
    for &(channel_id, message_id) in op.marks.iter().take(BULK_MAX) {
        // Entries that do not resolve are skipped (contract).
        let _skipped = advance(machine, actor, channel_id, message_id, BULK_SCAN_MAX);
    }
    Ok(Reply::Done)
}

/// Moves a mark forward and tells it; gives how many messages of others were newly marked, up to `scan_max`.
fn advance(
    machine: &mut Machine<'_, '_>,
    user_id: UserId,
    channel_id: ChannelId,
    wanted: Option<MessageId>,
    scan_max: usize,
) -> Result<u64> {
    let read = machine.read();
    let access = access(read, channel_id, user_id, machine.at)?;
    Writing::Receipt.require(read, &access, machine.at)?;
    let Some(((_, last), _)) = read.scan_rev(MESSAGES, channel_id).next() else { return Ok(0) };
    let before = mark(read, user_id, channel_id);
    let target = wanted.unwrap_or(last).min(last);
    if target <= before {
        return Ok(0);
    }
    let tally = tally(read, user_id, channel_id, before, target, scan_max);
    let receipts = access.channel.read_receipts_enabled && receipts_enabled(read, user_id);
    let scope = Scope::heard_of(read, &access);

    machine.tx.put(READ_MARKS, (user_id, channel_id), &target.into());
    machine.tx.put(CHANNEL_READERS, (channel_id, user_id), &target.into());
    // Where the scan ended early, some message of others is taken to be among the rest.
    if tally.count > 0 || !tally.complete {
        let mut payload = Vec::with_capacity(128);
        Object::new(&mut payload)
            .id("channel_id", channel_id.0)
            .id("user_id", user_id.0)
            .opt_id("message_id", wanted.map(|_| target.0));
        let audience = if receipts { scope.readers } else { Audience::user(user_id) };
        machine.emit(Event::new(EventName::MessageAck, intent::NONE, audience, payload));
    }
    Ok(tally.count)
}

/// Up to where a user has read a channel; `MessageId(0)` when he never said so.
pub fn mark(read: Read<'_>, user_id: UserId, channel_id: ChannelId) -> MessageId {
    read.get(READ_MARKS, (user_id, channel_id)).map_or(MessageId(0), |mark| MessageId::from(&mark.id))
}

/// Whether others may know what the user has read. The default is yes.
pub fn receipts_enabled(read: Read<'_>, user_id: UserId) -> bool {
    read.get(MESSAGING, user_id).is_none_or(|settings| settings.read_receipts_enabled)
}

struct Tally {
    /// Messages by others.
    count: u64,
    /// Messages looked at.
    scanned: usize,
    /// False when there were more messages than could be looked at.
    complete: bool,
}

/// Counts messages by others after `after`, up to and including `up_to`.
fn tally(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    after: MessageId,
    up_to: MessageId,
    scan_max: usize,
) -> Tally {
    let mut tally = Tally { count: 0, scanned: 0, complete: true };
    for ((_, message_id), message) in read.scan_after(MESSAGES, channel_id, (channel_id, after)) {
        if message_id > up_to {
            break;
        }
        if tally.scanned == scan_max {
            tally.complete = false;
            break;
        }
        tally.scanned += 1;
        tally.count += u64::from(UserId::from(&message.author_id) != user_id);
    }
    tally
}

/// Messages by others after the user's mark, as far as [`UNREAD_SCAN_MAX`] messages reach.
pub fn unread_count(read: Read<'_>, user_id: UserId, channel_id: ChannelId) -> u64 {
    let mark = mark(read, user_id, channel_id);
    tally(read, user_id, channel_id, mark, MessageId::MAX, UNREAD_SCAN_MAX).count
}

/// Appends `{"<channel id>": count, …}` of all channels with something unread that the user can read.
///
/// Newest direct messages first, then servers. Looks at [`CHANNELS_MAX`] channels and counts about
/// [`TOTAL_SCAN_MAX`] messages; channels beyond the first are left out, counts beyond the second are small.
pub fn write_unread_counts(out: &mut Vec<u8>, read: Read<'_>, user_id: UserId, at: u64) {
    let mut counts = Object::new(out);
    let mut scan_left = TOTAL_SCAN_MAX;
    let mut unread = |channel_id: ChannelId| {
        let scan_max = UNREAD_SCAN_MAX.min(scan_left).max(SCAN_MIN);
        let mark = mark(read, user_id, channel_id);
        let tally = tally(read, user_id, channel_id, mark, MessageId::MAX, scan_max);
        scan_left = scan_left.saturating_sub(tally.scanned);
        tally.count
    };
    let mut write = |channel_id: ChannelId, count: u64| {
        let mut digits = itoa::Buffer::new();
        counts.u64(digits.format(channel_id.0), count);
    };
    let mut channels_left = CHANNELS_MAX;
    for ((_, channel_id), _) in read.scan_rev(USER_DMS, user_id).take(CHANNELS_MAX / 2) {
        channels_left -= 1;
        match unread(channel_id) {
            0 => {}
            count => write(channel_id, count),
        }
    }
    for ((_, server_id), _) in read.scan(USER_SERVERS, user_id).take(CHANNELS_MAX) {
        let Ok(standing) = standing(read, server_id, user_id, at) else { continue };
        for ((_, channel_id), _) in read.scan(SERVER_CHANNELS, server_id) {
            if channels_left == 0 {
                return;
            }
            channels_left -= 1;
            let count = unread(channel_id);
            const READABLE: u64 = CHANNELS_VIEW | MESSAGES_READ;
            if count > 0 && channel_permissions(read, channel_id, &standing, at) & READABLE == READABLE {
                write(channel_id, count);
            }
        }
    }
}
