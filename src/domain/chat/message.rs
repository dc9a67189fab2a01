//! Messages: posting, editing, deleting, pages of history.
//!
//! Invariant: a message, its entry in the index of its author, its place in the ledgers, its pin and its reactions
//! come and go together.
//! What a refusal is and in which order refusals stand is decided here, for handlers and apply alike.

use rkyv::{Archive, Deserialize, Serialize};

use super::attachment::{self, Attached, FilesPost};
use super::message_view::{Viewer, Writer};
use super::notification::{Calls, FanOut};
use super::poll::{self, NewPoll};
use super::writing::Writing;
use super::{ledger, mention, notification, pin};
use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::machine::Machine;
use crate::domain::permission::{
    Access, CHANNELS_VIEW, MESSAGES_ATTACH_FILES, MESSAGES_BYPASS_SLOWMODE, MESSAGES_EMBED_LINKS,
    MESSAGES_READ,
};
use crate::domain::social::dm;
use crate::domain::touched;
use crate::domain::verdict::{self, Passed};
use crate::id::{ChannelId, MessageId, ServerId, UserId};
use crate::limits::MESSAGE_DELETE_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedChannel, ArchivedMessage, Message, Meta, WebhookAuthor};
use crate::store::tables::{AUTHOR_MESSAGES, MESSAGES, PINS, SLOWMODE};
use crate::wire::json::Object;

/// Rows that go at once with a message: it, its index entry, its reactions, three rows each.
pub(in crate::domain) const REMOVED_AT_ONCE_MAX: usize = 3_000;

/// Posts a message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessageCreate {
    pub channel_id: ChannelId,
    pub content: String,
    pub reply_to_id: Option<MessageId>,
    /// A JSON list, compact and checked; empty text when there are none.
    pub embeds: String,
    /// Characters that the content may have.
    pub length_max: u64,
}

/// Changes the text of a message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessageEdit {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    pub content: String,
    /// Characters that the content may have.
    pub length_max: u64,
}

/// Deletes a message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessageDelete {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
}

/// Deletes messages of one channel.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct MessagesDelete {
    pub channel_id: ChannelId,
    /// At most [`MESSAGE_DELETE_COUNT_MAX`]; those that are not there are skipped.
    pub message_ids: Vec<MessageId>,
}

// ------------------------------------------------------------------------------------------- checks

/// A user's access to a channel he wants to write to.
///
/// # Errors
/// 404 and 403 of [`Asking::channel`]; as [`Writing::Text`]; 400 in channels that hold no messages.
pub fn posting_access(asking: Asking<'_>, channel_id: ChannelId) -> Result<Access<'_>> {
    let access = asking.channel(channel_id)?;
    Writing::Text.require(&access)?;
    access.require_messages()?;
    Ok(access)
}

/// Whether the user has to pause between texts in that channel.
fn is_slowed(access: &Access<'_>) -> bool {
    access.channel.slowmode_seconds != 0 && !access.has(MESSAGES_BYPASS_SLOWMODE)
}

/// # Errors
/// 429 with the time to wait, when the channel is slow and the user has written too recently.
pub fn check_slowmode(access: &Access<'_>) -> Result<()> {
    let Asking { read, at, who } = access.asking;
    if !is_slowed(access) {
        return Ok(());
    }
    let pause_ms = access.channel.slowmode_seconds.to_native().saturating_mul(1_000);
    let last = read.get(SLOWMODE, (access.channel_id, who));
    let next_at = last.map_or(0, |last| last.value.to_native().saturating_add(pause_ms));
    if next_at <= at {
        return Ok(());
    }
    let seconds = pause_ms / 1_000;
    Err(Error::too_many(
        format!("Slow mode is on: one message per {seconds} seconds in this channel"),
        next_at - at,
    ))
}

/// # Errors
/// 400 when the text is too long, or blank with nothing beside it.
pub fn check_content(content: &str, has_more: bool, length_max: u64) -> Result<()> {
    // A text has at most as many characters as bytes: most need no counting.
    if content.len() as u64 > length_max {
        let count = content.chars().count() as u64;
        if count > length_max {
            return Err(Error::invalid(
                "content",
                format_args!("must be at most {length_max} characters, not {count}"),
            ));
        }
    }
    // U+200B is what clients put where there is no text.
    let blank = content.chars().all(|char| char.is_whitespace() || char == '\u{200b}');
    if blank && !has_more {
        return Err(Error::invalid("content", "a message must not be blank"));
    }
    Ok(())
}

/// A message of the channel.
///
/// # Errors
/// 404 when it is in another channel, deleted or never was.
pub fn find<'a>(read: Read<'a>, channel_id: ChannelId, message_id: MessageId) -> Result<&'a ArchivedMessage> {
    read.get(MESSAGES, (channel_id, message_id)).ok_or(Refusal::MessageNotFound.into())
}

/// A user's access to a message he wants to read or do something with.
///
/// # Errors
/// 404 and 403 of [`Asking::channel`], 403 without `messages.read`, 404 for the message.
pub fn message_access(
    asking: Asking<'_>,
    channel_id: ChannelId,
    message_id: MessageId,
) -> Result<(Access<'_>, &ArchivedMessage)> {
    let access = asking.channel(channel_id)?;
    access.require(MESSAGES_READ)?;
    Ok((access, find(asking.read, channel_id, message_id)?))
}

/// A message that the user wrote himself.
///
/// # Errors
/// 404 and 403 of [`Asking::channel`], 404 for the message, 403 for that of another author.
pub fn own_message(
    asking: Asking<'_>,
    channel_id: ChannelId,
    message_id: MessageId,
) -> Result<(Access<'_>, &ArchivedMessage)> {
    let access = asking.channel(channel_id)?;
    let message = find_own(&access, message_id)?;
    Ok((access, message))
}

pub(super) fn find_own<'a>(access: &Access<'a>, message_id: MessageId) -> Result<&'a ArchivedMessage> {
    let message = find(access.asking.read, access.channel_id, message_id)?;
    if UserId::from(&message.author_id) != access.asking.who {
        return Err(Error::forbidden("Only the author can edit a message"));
    }
    Ok(message)
}

/// A message of his own that the user wants to edit: a new text, so he must be able to send one there now.
///
/// # Errors
/// 404 and 403 of [`Asking::channel`]; as [`Writing::Text`]; 404 for the message, 403 for that of another author; 403
/// when it has embeds and he may not embed any more; as [`check_slowmode`].
pub fn editing_access(
    asking: Asking<'_>,
    channel_id: ChannelId,
    message_id: MessageId,
) -> Result<(Access<'_>, &ArchivedMessage)> {
    let access = asking.channel(channel_id)?;
    Writing::Text.require(&access)?;
    let message = find_own(&access, message_id)?;
    if !message.embeds.is_empty() {
        access.require(MESSAGES_EMBED_LINKS)?;
    }
    check_slowmode(&access)?;
    Ok((access, message))
}

// ------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn message_create(
    machine: &mut Machine<'_, '_>,
    author: UserId,
    op: &MessageCreate,
) -> Result<(ChannelId, MessageId)> {
    create(machine, author, op, None, None)
}

/// The same with what it asks, and with files.
pub(super) fn create(
    machine: &mut Machine<'_, '_>,
    author: UserId,
    op: &MessageCreate,
    poll: Option<&NewPoll>,
    files: Option<&FilesPost>,
) -> Result<(ChannelId, MessageId)> {
    let (read, at) = (machine.read(), machine.at);
    let access = posting_access(machine.asking(author), op.channel_id)?;
    let (has_embeds, has_files) = (!op.embeds.is_empty(), files.is_some_and(|op| !op.files.is_empty()));
    if has_files {
        access.require(MESSAGES_ATTACH_FILES)?;
    }
    if has_embeds {
        access.require(MESSAGES_EMBED_LINKS)?;
    }
    check_slowmode(&access)?;
    check_content(&op.content, has_embeds || has_files || poll.is_some(), op.length_max)?;
    poll.map_or(Ok(()), poll::check)?;
    let files = match files {
        Some(op) => attachment::resolve(machine.asking(author), &op.files, op.count_max)?,
        None => Vec::new(),
    };
    if let Some(reply_to_id) = op.reply_to_id
        && !read.contains(MESSAGES, (op.channel_id, reply_to_id))
    {
        return Err(Refusal::ReplyNotFound.into());
    }
    let passed = verdict::pass(machine, access.channel.server(), op.channel_id, author)?;
    let scope = Scope::of(op.channel_id, access.channel);
    let slow = is_slowed(&access);
    let fan_out = notification::call(mention::find(&op.content), || Calls::of(&access));
    if slow {
        machine.tx.put(SLOWMODE, (op.channel_id, author), &Meta { value: at });
    }
    let draft = Draft {
        author_id: author,
        content: op.content.clone(),
        reply_to_id: op.reply_to_id,
        embeds: op.embeds.clone(),
        webhook: None,
        poll: poll.cloned(),
        files,
    };
    Ok((op.channel_id, post(machine, scope, draft, fan_out, passed)))
}

/// A message that was found good, before it is stored.
pub(in crate::domain) struct Draft {
    pub author_id: UserId,
    pub content: String,
    pub reply_to_id: Option<MessageId>,
    pub embeds: String,
    /// As whom a webhook says it.
    pub webhook: Option<Box<WebhookAuthor>>,
    pub poll: Option<NewPoll>,
    pub files: Vec<Attached>,
}

/// Stores a message that the rules of its server let go, makes it known, and tells those whom it mentions: the one way
/// by which messages come into being.
pub(in crate::domain) fn post(
    machine: &mut Machine<'_, '_>,
    scope: Scope,
    draft: Draft,
    fan_out: Option<FanOut>,
    _: Passed,
) -> MessageId {
    let (server_id, channel_id, author) = (scope.server_id, scope.channel_id, draft.author_id);
    let message_id = MessageId(machine.next_id());
    let poll = draft.poll.map(|new| poll::open(machine, (channel_id, message_id), author, &new));
    let message = Message {
        author_id: author,
        content: draft.content,
        created_at: machine.unix_ms,
        reply_to_id: draft.reply_to_id,
        embeds: draft.embeds,
        webhook: draft.webhook,
        poll: poll.map_or(0, |id| id.0),
        attachments: attachment::attach(machine, channel_id, message_id, draft.files),
        ..Message::default()
    };
    machine.tx.put(MESSAGES, (channel_id, message_id), &message);
    machine.tx.put(AUTHOR_MESSAGES, (author, message_id), &channel_id.into());
    ledger::added(machine, channel_id, author, message_id);
    touched::made(machine, channel_id, message_id);
    emit_message(machine, EventName::MessageCreate, scope, message_id, &message);
    if let Some(fan_out) = fan_out {
        notification::send(machine, fan_out, (server_id, channel_id, message_id), &message);
    }
    message_id
}

pub(in crate::domain) fn message_edit(
    machine: &mut Machine<'_, '_>,
    author: UserId,
    op: &MessageEdit,
) -> Result<(ChannelId, MessageId)> {
    let at = machine.at;
    let (access, message) = editing_access(machine.asking(author), op.channel_id, op.message_id)?;
    let has_more = !message.embeds.is_empty() || !message.attachments.is_empty() || message.poll != 0;
    check_content(&op.content, has_more, op.length_max)?;
    verdict::pass(machine, access.channel.server(), op.channel_id, author)?;
    let (scope, slow) = (Scope::of(op.channel_id, access.channel), is_slowed(&access));
    let mut message = Message::from(message);
    message.content.clone_from(&op.content);
    message.edited_at = Some(machine.unix_ms);
    machine.tx.put(MESSAGES, (op.channel_id, op.message_id), &message);
    touched::changed(machine, op.channel_id, op.message_id);
    if slow {
        machine.tx.put(SLOWMODE, (op.channel_id, author), &Meta { value: at });
    }
    emit_message(machine, EventName::MessageUpdate, scope, op.message_id, &message);
    Ok((op.channel_id, op.message_id))
}

pub(in crate::domain) fn message_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MessageDelete,
) -> Result<()> {
    let access = machine.asking(actor).channel(op.channel_id)?;
    let message = find(machine.read(), op.channel_id, op.message_id)?;
    let own = UserId::from(&message.author_id) == actor;
    if !own && access.channel.is_private() {
        return Err(Error::forbidden("Only the author can delete a message here"));
    }
    let writing = if own { Writing::Withdrawal } else { Writing::Moderation };
    writing.require(&access)?;
    withdraw(machine, &Scope::heard_of(&access), op.message_id, false);
    Ok(())
}

/// Replies how many there were.
pub(in crate::domain) fn messages_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &MessagesDelete,
) -> Result<u64> {
    let access = check_delete_all(machine.asking(actor), op.channel_id)?;
    if !(1..=MESSAGE_DELETE_COUNT_MAX).contains(&op.message_ids.len()) {
        return Err(Error::invalid("message_ids", format_args!("must be 1 to {MESSAGE_DELETE_COUNT_MAX}")));
    }
    let found = |id: &MessageId| machine.read().get(MESSAGES, (op.channel_id, *id));
    let mut ids: Vec<MessageId> = op.message_ids.iter().copied().filter(|id| found(id).is_some()).collect();
    ids.sort_unstable();
    ids.dedup();
    let is_others = |id: &MessageId| found(id).is_some_and(|it| UserId::from(&it.author_id) != actor);
    if access.channel.is_private() && ids.iter().any(is_others) {
        return Err(Error::forbidden("Only the author can delete a message here"));
    }
    let at_once_max = REMOVED_AT_ONCE_MAX / ids.len().max(1);
    withdraw_all(machine, &Scope::heard_of(&access), &ids, at_once_max);
    Ok(ids.len() as u64)
}

/// A user's access to a channel where he wants to delete several messages: of others in a server, his own elsewhere.
///
/// # Errors
/// 404 and 403 of [`Asking::channel`]; as [`Writing::Moderation`] in a server.
pub fn check_delete_all(asking: Asking<'_>, channel_id: ChannelId) -> Result<Access<'_>> {
    let access = asking.channel(channel_id)?;
    let writing = if access.channel.is_private() { Writing::Withdrawal } else { Writing::Moderation };
    writing.require(&access)?;
    Ok(access)
}

/// Removes messages of the scope's channel, with about so many rows of what hangs on each at once, and tells of all of
/// them together.
pub(in crate::domain) fn withdraw_all(
    machine: &mut Machine<'_, '_>,
    scope: &Scope,
    ids: &[MessageId],
    at_once_max: usize,
) {
    if ids.is_empty() {
        return;
    }
    let mut pins_changed = false;
    for &message_id in ids {
        let removed = remove_within(machine, scope.channel_id, message_id, at_once_max);
        pins_changed |= removed.is_some_and(|removed| removed.pinned);
    }
    let payload = payload(|object| {
        object.id("channel_id", scope.channel_id.0).opt_id("guild_id", scope.server_id.map(|id| id.0));
        let mut list = object.array("message_ids");
        ids.iter().for_each(|id| list.id(id.0));
    });
    machine.emit(scope.message_event(EventName::MessageDeleteBulk, payload));
    if pins_changed {
        pin::emit_update(machine, scope);
    }
}

/// Removes a message of the scope's channel, and tells of it; who reads that is told when it was automod.
pub(in crate::domain) fn withdraw(
    machine: &mut Machine<'_, '_>,
    scope: &Scope,
    message_id: MessageId,
    by_automod: bool,
) {
    let removed = remove(machine, scope.channel_id, message_id);
    let mut payload = Vec::with_capacity(128);
    {
        let mut object = Object::new(&mut payload);
        object.id("id", message_id.0).id("channel_id", scope.channel_id.0);
        object.opt_id("server_id", scope.server_id.map(|id| id.0));
        if by_automod {
            object.bool("automod", true);
        }
    }
    machine.emit(scope.message_event(EventName::MessageDelete, payload));
    if removed.is_some_and(|removed| removed.pinned) {
        pin::emit_update(machine, scope);
    }
}

/// What went with a message.
pub(in crate::domain) struct Removed {
    /// The list of pins is shorter now: tell with [`pin::emit_update`], after the event of the deletion.
    pub pinned: bool,
}

/// Removes a message with all that belongs to it; `None` when it is not there. Emits nothing.
///
/// Bounded: of a message with very many reactions most rows are left to housekeeping.
pub(in crate::domain) fn remove(
    machine: &mut Machine<'_, '_>,
    channel_id: ChannelId,
    message_id: MessageId,
) -> Option<Removed> {
    remove_within(machine, channel_id, message_id, REMOVED_AT_ONCE_MAX)
}

/// As [`remove`], with about so many rows of what hangs on it at once.
fn remove_within(
    machine: &mut Machine<'_, '_>,
    channel_id: ChannelId,
    message_id: MessageId,
    at_once_max: usize,
) -> Option<Removed> {
    let message = machine.tx.get(MESSAGES, (channel_id, message_id))?;
    let author = UserId::from(&message.author_id);
    let pin = message.pin.to_native();
    notification::take_back(machine, channel_id, message_id);
    machine.tx.remove_within(MESSAGES, (channel_id, message_id), at_once_max);
    ledger::removed(machine, channel_id, author, message_id);
    if pin != 0 {
        machine.tx.delete(PINS, (channel_id, pin));
    }
    Some(Removed { pinned: pin != 0 })
}

// ------------------------------------------------------------------------------------------- events

/// A channel as far as its events need it, free of borrows.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    pub channel_id: ChannelId,
    /// `None` for direct messages and notes.
    pub server_id: Option<ServerId>,
    /// Who may read the channel: all with `channels.view` and `messages.read`, or the participants.
    pub readers: Audience,
}

impl Scope {
    pub fn of(channel_id: ChannelId, channel: &ArchivedChannel) -> Scope {
        let server_id = channel.server();
        let readers = match server_id {
            Some(server_id) => {
                Audience::Channel { server_id, channel_id, all_of: CHANNELS_VIEW | MESSAGES_READ }
            }
            None => Audience::Users(channel.participant_ids().collect()),
        };
        Scope { channel_id, server_id, readers }
    }

    /// The channel of what a user does there without asking for more than to be left alone: over a block nobody but
    /// himself hears of it.
    pub(in crate::domain) fn heard_of(access: &Access<'_>) -> Scope {
        let scope = Scope::of(access.channel_id, access.channel);
        match dm::is_cut(access) {
            true => Scope { readers: Audience::user(access.asking.who), ..scope },
            false => scope,
        }
    }

    /// An event to the readers, with one intent in servers and another in direct messages.
    pub fn event(&self, name: EventName, in_server: u16, in_dm: u16, payload: Vec<u8>) -> Event {
        let intent = if self.server_id.is_some() { in_server } else { in_dm };
        Event::new(name, intent, self.readers.clone(), payload)
    }

    pub(in crate::domain) fn message_event(&self, name: EventName, payload: Vec<u8>) -> Event {
        self.event(name, intent::GUILD_MESSAGES, intent::DIRECT_MESSAGES, payload)
    }
}

/// Emits a message event with the whole message as everybody sees it.
pub(in crate::domain) fn emit_message(
    machine: &mut Machine<'_, '_>,
    name: EventName,
    scope: Scope,
    message_id: MessageId,
    message: &Message,
) {
    let mut payload = Vec::new();
    let viewer = Viewer::Everyone { server_id: scope.server_id, offset: machine.offset() };
    Writer::new(&mut payload, machine.read(), scope.channel_id, viewer).message(message_id, message);
    machine.emit(scope.message_event(name, payload));
}

// ------------------------------------------------------------------------------------------- queries

/// Which part of the history. `before` wins over `after`; both are exclusive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Page {
    pub before: Option<MessageId>,
    pub after: Option<MessageId>,
    pub limit: usize,
}

/// Appends a page of messages: newest first, with `after` alone oldest first.
pub fn write_page(out: &mut Vec<u8>, access: &Access<'_>, page: Page) {
    let (read, channel_id) = (access.asking.read, access.channel_id);
    let scan = match (page.before, page.after) {
        (Some(before), _) => read.scan_rev_before(MESSAGES, channel_id, (channel_id, before)),
        (None, Some(after)) => read.scan_after(MESSAGES, channel_id, (channel_id, after)),
        (None, None) => read.scan_rev(MESSAGES, channel_id),
    };
    // A short message is about 600 bytes of JSON: one allocation for a usual page.
    out.reserve(page.limit * 640);
    let mut writer = Writer::new(out, read, channel_id, Viewer::user(access));
    writer.list(scan.take(page.limit).map(|((_, message_id), message)| (message_id, message)));
}

/// Appends one message as the user sees it.
pub fn write_one(out: &mut Vec<u8>, access: &Access<'_>, message_id: MessageId, message: &ArchivedMessage) {
    Writer::new(out, access.asking.read, access.channel_id, Viewer::user(access))
        .message(message_id, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_by_characters_and_never_blank() {
        let check = |content: &str, has_embeds: bool, want: Option<&str>| {
            let got = check_content(content, has_embeds, 4).err().map(|error| error.message.into_owned());
            assert_eq!(got.as_deref(), want, "{content:?}");
        };
        let blank = Some("Invalid content: a message must not be blank");
        check("äöüß", false, None);
        check("😀😀😀😀", false, None);
        check("äöüßx", false, Some("Invalid content: must be at most 4 characters, not 5"));
        check("", false, blank);
        check(" \n\t", false, blank);
        check("\u{2003}\u{200b}", false, blank);
        check("", true, None);
        check("\u{200b}", true, None);
        check("äöüßx", true, Some("Invalid content: must be at most 4 characters, not 5"));
    }
}
