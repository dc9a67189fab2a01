//! Read marks: up to which message a user has acknowledged a channel, and what is unread after it.
//!
//! Invariant: a mark never goes back, and never stands beyond the newest message there was when it was set; both
//! tables hold the same mark. Counts come from the ledgers (see [`ledger`]): they run on core threads and on the writer.

use super::error::Result;
use super::event::{Audience, Event, EventName, intent};
use super::ledger::{Count, Owner, WALK_MAX, count_after};
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

/// Channels in one bulk acknowledgement.
pub const BULK_MAX: usize = 500;
/// Messages looked at per channel of a bulk acknowledgement before counting: only whether any was marked is of interest.
const BULK_SCAN_MAX: usize = 100;
/// Channels looked at for the counts of all conversations, a fifth of them direct messages at most.
const CHANNELS_MAX: usize = 5_000;
/// Single messages looked at for them where the ledgers are not complete yet; beyond that a channel gets [`WALK_MIN`].
const TOTAL_WALK_MAX: usize = 50_000;
/// Enough for every count from a complete ledger.
const WALK_MIN: usize = 2_100;

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
    advance(machine, actor, op.channel_id, op.message_id, marked).map(Reply::Count)
}

pub(super) fn channels_ack(machine: &mut Machine<'_, '_>, actor: UserId, op: &ChannelsAck) -> Result<Reply> {
    for &(channel_id, message_id) in op.marks.iter().take(BULK_MAX) {
        // Entries that do not resolve are skipped (contract).
        let _skipped = advance(machine, actor, channel_id, message_id, any_marked);
    }
    Ok(Reply::Done)
}

/// Messages of others that moving a mark from one place to another marks.
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
    let access = access(read, channel_id, user_id, machine.at)?;
    Writing::Receipt.require(read, &access, machine.at)?;
    let Some(((_, last), _)) = read.scan_rev(MESSAGES, channel_id).next() else { return Ok(0) };
    let before = mark(read, user_id, channel_id);
    let target = wanted.unwrap_or(last).min(last);
    if target <= before {
        return Ok(0);
    }
    let count = marked(read, user_id, channel_id, before, target);
    let receipts = access.channel.read_receipts_enabled && receipts_enabled(read, user_id);
    let scope = Scope::heard_of(read, &access);

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

/// Messages by others after one.
fn unread_after(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    after: MessageId,
    walk_max: usize,
) -> Count {
    let mut all = count_after(read, Owner::Channel(channel_id), channel_id, after, walk_max);
    if all.count > 0 {
        let own = count_after(read, Owner::Author(user_id), channel_id, after, walk_max);
        all.count = all.count.saturating_sub(own.count);
        all.walked += own.walked;
    }
    all
}

fn marked(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    before: MessageId,
    target: MessageId,
) -> u64 {
    let after = |place| unread_after(read, user_id, channel_id, place, WALK_MAX).count;
    after(before).saturating_sub(after(target))
}

/// As [`marked`], but any number stands for more than none.
fn any_marked(
    read: Read<'_>,
    user_id: UserId,
    channel_id: ChannelId,
    before: MessageId,
    target: MessageId,
) -> u64 {
    let scan = read.scan_after(MESSAGES, channel_id, (channel_id, before));
    let mut messages = scan.take_while(|((_, id), _)| *id <= target);
    let first = messages.by_ref().take(BULK_SCAN_MAX);
    let authors = first.map(|(_, message)| UserId::from(&message.author_id));
    let mut count = 0;
    for author in authors {
        if author != user_id {
            return 1;
        }
        count += 1;
    }
    if count < BULK_SCAN_MAX { 0 } else { marked(read, user_id, channel_id, before, target) }
}

/// Messages by others after the user's mark.
pub fn unread_count(read: Read<'_>, user_id: UserId, channel_id: ChannelId) -> u64 {
    unread_after(read, user_id, channel_id, mark(read, user_id, channel_id), WALK_MAX).count
}

/// Appends `{"<channel id>": count, …}` of all channels with something unread that the user can read.
///
/// Newest direct messages first, then servers; channels beyond [`CHANNELS_MAX`] are left out.
pub fn write_unread_counts(out: &mut Vec<u8>, read: Read<'_>, user_id: UserId, at: u64) {
    let mut counts = Object::new(out);
    let mut walk_left = TOTAL_WALK_MAX;
    let mut unread = |channel_id: ChannelId| {
        let walk_max = WALK_MAX.min(walk_left).max(WALK_MIN);
        let count = unread_after(read, user_id, channel_id, mark(read, user_id, channel_id), walk_max);
        walk_left = walk_left.saturating_sub(count.walked);
        count.count
    };
    let mut write = |channel_id: ChannelId, count: u64| {
        let mut digits = itoa::Buffer::new();
        counts.u64(digits.format(channel_id.0), count);
    };
    let mut channels_left = CHANNELS_MAX;
    for ((_, channel_id), _) in read.scan_rev(USER_DMS, user_id).take(CHANNELS_MAX / 5) {
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
