//! Bans: who may not come back, and cleaning up after him.
//!
//! Invariant: `BANS` and `BAN_ORDER` name the same bans, and a banned user is no member.

use rkyv::{Archive, Deserialize, Serialize};

use std::collections::BTreeMap;

use super::audit::{self, Action, Target};
use super::member;
use crate::domain::asking::Asking;
use crate::domain::chat::message::{self, Scope};
use crate::domain::errand::{self, Errand, Work};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::{BANS_VIEW, MEMBERS_BAN};
use crate::domain::view::username;
use crate::id::{ChannelId, MessageId, ServerId, UserId, first_id_at};
use crate::store::Read;
use crate::store::records::{ArchivedBan, Ban, UserRef, account};
use crate::store::tables::{AUTHOR_MESSAGES, BAN_ORDER, BANS, CHANNELS, MEMBERS, MESSAGES, USERS};
use crate::wire::json::Array;
use crate::wire::json::shape::shape;

/// Bans in one answer: the newest.
pub const LIST_MAX: usize = 1_000;
/// Messages that go with the ban itself, and entries of the author's messages that are looked at to find them (he may
/// write elsewhere too); the others go after it, as an errand. 1,000 removals are about 3,000 deletions, 10 ms of the
/// writer.
const AT_ONCE: Extent = Extent { removed: 1_000, scanned: 5_000 };
/// What a message that is removed costs of an errand's step.
const REMOVAL_LOOKS: usize = 12;
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct BanCreate {
    pub server_id: ServerId,
    pub user_id: UserId,
    pub reason: Option<String>,
    /// His messages of so many days before the ban go.
    pub delete_message_days: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct BanDelete {
    pub server_id: ServerId,
    pub user_id: UserId,
}

/// Goes on removing the messages of a banned user where the last command stopped. No longer submitted: see [`CleanUp`].
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct BanMessagesDelete {
    pub server_id: ServerId,
    pub user_id: UserId,
    /// Only messages after this one…
    pub after: MessageId,
    /// …that were sent at this time or later, Unix milliseconds: after the clock was set back ids are ahead of it.
    pub since_ms: u64,
}

/// Removes the messages of a banned user that did not go with the ban. An unban does not stop it, and what he writes
/// after one is not touched.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct CleanUp {
    pub server_id: ServerId,
    pub user_id: UserId,
    /// Only messages after this one…
    pub after: MessageId,
    /// …that were sent at this time or later, Unix milliseconds: after the clock was set back ids are ahead of it…
    pub since_ms: u64,
    /// …and none from after the ban.
    pub before: MessageId,
}

impl Errand for CleanUp {
    const KIND: u8 = 1;
    const NAME: &'static str = "ban clean-up";

    fn step(self, machine: &mut Machine<'_, '_>, work: &mut Work<'_>) -> Option<CleanUp> {
        let extent = Extent { removed: (work.left / REMOVAL_LOOKS).max(1), scanned: work.left };
        let removed = remove_messages(machine, self, extent);
        work.take(removed.cost);
        removed.left
    }
}

/// How much may be done at once.
#[derive(Clone, Copy)]
struct Extent {
    removed: usize,
    scanned: usize,
}

struct Removed {
    left: Option<CleanUp>,
    cost: usize,
}

/// Replies 0: what is left to do of it is an errand. Logs of earlier versions may have other numbers here.
pub(in crate::domain) fn ban_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &BanCreate,
) -> Result<u64> {
    let (server_id, user_id) = (op.server_id, op.user_id);
    check_ban(machine.asking(actor), server_id, user_id)?;
    if machine.read().contains(BANS, (server_id, user_id)) {
        return Err(Refusal::AlreadyBanned.into());
    }
    let order = put(machine, server_id, actor, user_id, op.reason.as_deref());
    if op.delete_message_days == 0 {
        return Ok(0);
    }
    let since_ms = since_ms(machine.unix_ms, op.delete_message_days);
    let after = MessageId(first_id_at(since_ms).saturating_sub(1));
    let clean_up = CleanUp { server_id, user_id, after, since_ms, before: MessageId(order) };
    if let Some(left) = remove_messages(machine, clean_up, AT_ONCE).left {
        errand::leave(machine, &left);
    }
    Ok(0)
}

/// Bans somebody who is not banned, member or not, but no owner; its place in the order of bans. Whoever calls has checked
/// that it may be done.
pub(in crate::domain) fn put(
    machine: &mut Machine<'_, '_>,
    server_id: ServerId,
    actor: UserId,
    user_id: UserId,
    reason: Option<&str>,
) -> u64 {
    let order = machine.next_id();
    let ban = Ban { reason: reason.map(str::to_string), banned_by: actor, banned_at: machine.unix_ms, order };
    machine.tx.put(BANS, (server_id, user_id), &ban);
    machine.tx.put(BAN_ORDER, (server_id, order), &UserRef { id: user_id });
    if machine.read().contains(MEMBERS, (server_id, user_id)) {
        member::remove(machine, server_id, user_id);
    }
    machine.ensure(|read| !read.contains(MEMBERS, (server_id, user_id)), "who is banned is no member");
    emit(machine, EventName::GuildBanAdd, server_id, user_id, Some(reason));
    let name = username(machine.read(), user_id).to_string();
    let target = Target::user(user_id, &name);
    audit::record(machine, server_id, actor, Action::MemberBan, target, None, reason);
    order
}

/// Since when messages go that were sent in the last `days`.
fn since_ms(unix_ms: u64, days: u64) -> u64 {
    unix_ms.saturating_sub(days.saturating_mul(DAY_MS))
}

/// Whether the actor may ban this user, member or not.
///
/// # Errors
/// 404 server or user; 403 not a member, without permission, role order, owner.
pub fn check_ban(asking: Asking<'_>, server_id: ServerId, user_id: UserId) -> Result<()> {
    let (read, actor) = (asking.read, asking.server(server_id)?);
    let user = read.get(USERS, user_id).filter(|user| user.state != account::PURGED);
    user.ok_or(Refusal::UserNotFound)?;
    actor.require(MEMBERS_BAN)?;
    if !read.contains(MEMBERS, (server_id, user_id)) {
        return Ok(());
    }
    actor.require_above(&asking.of(user_id).server(server_id)?)
}

pub(in crate::domain) fn ban_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &BanDelete,
) -> Result<()> {
    let (server_id, user_id) = (op.server_id, op.user_id);
    check_unban(machine.asking(actor), server_id, user_id)?;
    machine.tx.remove(BANS, (server_id, user_id));
    emit(machine, EventName::GuildBanRemove, server_id, user_id, None);
    let name = username(machine.read(), user_id).to_string();
    let target = Target::user(user_id, &name);
    audit::record(machine, server_id, actor, Action::MemberUnban, target, None, None);
    Ok(())
}

/// The ban that the actor may lift. Who may not is not told whether there is one.
///
/// # Errors
/// 404 server; 403 not a member, without permission; 404 not banned.
pub fn check_unban(asking: Asking<'_>, server_id: ServerId, user_id: UserId) -> Result<&ArchivedBan> {
    asking.server(server_id)?.require(MEMBERS_BAN)?;
    asking.read.get(BANS, (server_id, user_id)).ok_or_else(|| Refusal::BanNotFound.into())
}

/// Replies with the message after which the next one goes on; 0 when none remains.
pub(in crate::domain) fn ban_messages_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &BanMessagesDelete,
) -> Result<u64> {
    let BanMessagesDelete { server_id, user_id, after, since_ms } = *op;
    check_unban(machine.asking(actor), server_id, user_id)?;
    let clean_up = CleanUp { server_id, user_id, after, since_ms, before: MessageId::MAX };
    Ok(remove_messages(machine, clean_up, AT_ONCE).left.map_or(0, |left| left.after.0))
}

/// Removes his next messages in the server.
fn remove_messages(machine: &mut Machine<'_, '_>, clean_up: CleanUp, extent: Extent) -> Removed {
    let CleanUp { server_id, user_id, after, since_ms, before } = clean_up;
    let read = machine.read();
    // Per channel whether it is of this server, and what to remove there.
    let mut channels: BTreeMap<u64, (bool, Vec<MessageId>)> = BTreeMap::new();
    let (mut scanned, mut found, mut last) = (0, 0, after);
    let mut done = true;
    for ((_, message_id), channel) in read.scan_after(AUTHOR_MESSAGES, user_id, (user_id, after)) {
        if message_id >= before {
            break;
        }
        if scanned == extent.scanned || found == extent.removed {
            done = false;
            break;
        }
        (scanned, last) = (scanned + 1, message_id);
        let channel_id = ChannelId::from(&channel.id);
        let (ours, messages) = channels.entry(channel_id.0).or_insert_with(|| {
            let server = read.get(CHANNELS, channel_id).and_then(|channel| channel.server());
            (server == Some(server_id), Vec::new())
        });
        let created_at =
            || read.get(MESSAGES, (channel_id, message_id)).map(|message| message.created_at.to_native());
        if *ours && created_at().is_none_or(|created_at| created_at >= since_ms) {
            messages.push(message_id);
            found += 1;
        }
    }
    for (channel_id, (_, messages)) in channels {
        let channel = machine.read().get(CHANNELS, ChannelId(channel_id));
        if let Some(scope) = channel.map(|channel| Scope::of(ChannelId(channel_id), channel)) {
            message::withdraw_all(machine, &scope, &messages, message::REMOVED_AT_ONCE_MAX);
        }
    }
    let left = (!done).then_some(CleanUp { after: last, ..clean_up });
    Removed { left, cost: scanned + found * REMOVAL_LOOKS }
}

/// To members who may see bans; `reason` is left out of GUILD_BAN_REMOVE.
fn emit(
    machine: &mut Machine<'_, '_>,
    event: EventName,
    server_id: ServerId,
    user_id: UserId,
    reason: Option<Option<&str>>,
) {
    let payload = payload(|object| {
        object.id("guild_id", server_id.0).id("user_id", user_id.0);
        if let Some(reason) = reason {
            object.opt_str("reason", reason);
        }
    });
    let audience = Audience::Server { server_id, any_of: BANS_VIEW | MEMBERS_BAN };
    machine.emit(Event::new(event, intent::GUILD_BANS, audience, payload));
}

/// Who may look at the bans.
///
/// # Errors
/// 404 server; 403 not a member, without permission.
pub fn check_list(asking: Asking<'_>, server_id: ServerId) -> Result<()> {
    asking.server(server_id)?.require_any(&[MEMBERS_BAN, BANS_VIEW])
}

/// The newest [`LIST_MAX`] bans, newest first, as a JSON list.
pub fn write_list(out: &mut Vec<u8>, read: Read<'_>, server_id: ServerId) {
    let mut list = Array::new(out);
    for (_, user) in read.scan_rev(BAN_ORDER, server_id).take(LIST_MAX) {
        let user_id = UserId::from(&user.id);
        if let Some(ban) = read.get(BANS, (server_id, user_id)) {
            BanResponse::write(list.item(), user_id, ban);
        }
    }
}

shape! {
    /// Who is banned, by whom, and why.
    pub BanResponse(user_id: UserId, ban: &ArchivedBan) {
        user_id: id = user_id.0,
        reason: opt_str = ban.reason.as_deref(),
        banned_by: id = UserId::from(&ban.banned_by).0,
        banned_at: time = ban.banned_at.to_native(),
    }
}

/// # Errors
/// 403 when he is banned.
pub(in crate::domain) fn require_not_banned(
    read: Read<'_>,
    server_id: ServerId,
    user_id: UserId,
) -> Result<()> {
    if read.contains(BANS, (server_id, user_id)) { Err(Error::from(Refusal::Banned)) } else { Ok(()) }
}
