//! Polls: what a message asks, who chose what, and when it is over.
//!
//! Invariants: a poll and its message name each other, and go together. Each option counts the votes that have its bit.
//! A poll that ends by itself has an errand for that moment, so it ends whoever is there then, and after a start too.
//! Readers are told of votes with the whole message, at most once in [`POLL_TELL_INTERVAL_MS`]: a vote that comes sooner
//! leaves an errand, and what that tells is the state of then, so the last one is told however many there were.

use rkyv::{Archive, Deserialize, Serialize};

use super::message::{self, MessageCreate, Scope, emit_message, find_own};
use super::writing::Writing;
use crate::domain::asking::Asking;
use crate::domain::errand::{Errand, Work, leave_until};
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::EventName;
use crate::domain::machine::Machine;
use crate::domain::permission::{Access, CHANNELS_VIEW, MESSAGES_READ};
use crate::domain::verdict;
use crate::id::{ChannelId, MessageId, PollId, UserId};
use crate::limits::{
    OVERVIEW_CHANNEL_COUNT_MAX, OVERVIEW_DM_COUNT_MAX, POLL_OPTION_COUNT_MAX, POLL_TELL_INTERVAL_MS,
};
use crate::store::Read;
use crate::store::records::{ArchivedPoll, Message, Meta, Poll, PollOption, PollPlace, poll_visibility};
use crate::store::tables::{
    AUTHOR_MESSAGES, CHANNELS, MESSAGES, POLL_PLACES, POLL_VOTES, POLLS, SERVER_CHANNELS, USER_DMS,
    USER_GROUPS, USER_SERVERS,
};

/// Votes that go at once with a poll; the rest is left to housekeeping.
const VOTES_AT_ONCE_MAX: usize = 1_000;

/// What is to be asked.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct NewPoll {
    pub question: String,
    /// In their order; their texts need not differ.
    pub options: Vec<String>,
    /// `None`: it runs until somebody ends it.
    pub duration_ms: Option<u64>,
    pub allow_multiple_choice: bool,
    /// A [`poll_visibility`] code.
    pub results_visibility: u8,
}

/// Posts a message with a poll in it.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PollPost {
    pub message: MessageCreate,
    pub poll: NewPoll,
}

/// Puts a poll into an own message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PollCreate {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    pub poll: NewPoll,
}

/// Chooses; what was chosen before counts no longer.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PollVote {
    pub poll_id: PollId,
    pub option_ids: Vec<u64>,
}

/// Ends a poll now.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PollClose {
    pub poll_id: PollId,
}

/// Takes a poll out of its message.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct PollDelete {
    pub poll_id: PollId,
}

/// A poll as somebody found it who may read its message.
pub struct Found<'a> {
    pub access: Access<'a>,
    pub message_id: MessageId,
    pub poll: &'a ArchivedPoll,
}

// ------------------------------------------------------------------------------------------- checks

/// # Errors
/// 400 when it is none: too few options or too many, or nobody is to see the results.
pub fn check(new: &NewPoll) -> Result<()> {
    let count = new.options.len();
    if !(2..=POLL_OPTION_COUNT_MAX).contains(&count) {
        return Err(Error::invalid(
            "options",
            format_args!("must be 2 to {POLL_OPTION_COUNT_MAX}, not {count}"),
        ));
    }
    if !poll_visibility::WORDS.contains(&poll_visibility::text(new.results_visibility)) {
        return Err(Error::invalid("results_visibility", "no such visibility"));
    }
    Ok(())
}

/// A poll of a message that the user may read.
///
/// # Errors
/// 404 for everything else, so that nobody learns of what he may not read.
pub fn find(asking: Asking<'_>, poll_id: PollId) -> Result<Found<'_>> {
    let found = asking.read.get(POLL_PLACES, poll_id).and_then(|place| {
        let access = asking.channel(ChannelId::from(&place.channel_id)).ok()?;
        access.require(MESSAGES_READ).ok()?;
        let message_id = MessageId::from(&place.message_id);
        Some(Found { access, message_id, poll: asking.read.get(POLLS, message_id)? })
    });
    found.ok_or(Refusal::PollNotFound.into())
}

/// A poll that the user may end: his own. Who moderates can remove it, but not speak for whoever has asked.
///
/// # Errors
/// As [`find`]; 403 when he may not.
fn find_closable(asking: Asking<'_>, poll_id: PollId) -> Result<Found<'_>> {
    let found = find(asking, poll_id)?;
    if UserId::from(&found.poll.creator_id) == asking.who {
        return Ok(found);
    }
    Err(Error::forbidden("Only who has asked can end a poll"))
}

/// A poll that the user may remove: his own, or one in a server where he manages messages.
///
/// # Errors
/// As [`find`]; 403 when he may not.
fn find_managed(asking: Asking<'_>, poll_id: PollId) -> Result<Found<'_>> {
    let found = find(asking, poll_id)?;
    if UserId::from(&found.poll.creator_id) == asking.who {
        return Ok(found);
    }
    if found.access.channel.is_private() {
        return Err(Error::forbidden("Only who has asked can remove a poll here"));
    }
    Writing::Moderation.require(&found.access)?;
    Ok(found)
}

/// Where a message of the user's own is.
pub fn own_place(read: Read<'_>, author: UserId, message_id: MessageId) -> Option<ChannelId> {
    read.get(AUTHOR_MESSAGES, (author, message_id)).map(|channel| ChannelId::from(&channel.id))
}

/// Why a message that is not the user's own takes no poll of his. It is looked for in each channel that he can read, so
/// this is for lanes.
pub fn refusal_of_others(asking: Asking<'_>, message_id: MessageId) -> Error {
    let Asking { read, who, .. } = asking;
    let is_in = |channel_id| read.contains(MESSAGES, (channel_id, message_id));
    let dms = read.scan_rev(USER_DMS, who).take(OVERVIEW_DM_COUNT_MAX).map(|((_, channel_id), _)| channel_id);
    let groups = read.scan(USER_GROUPS, who).map(|((_, channel_id), _)| channel_id);
    let servers = read.scan(USER_SERVERS, who).keys().map(|(_, server_id)| server_id);
    let channels = servers.flat_map(|id| read.scan(SERVER_CHANNELS, id).keys().map(move |(_, at)| (id, at)));
    let mut channels = channels.take(OVERVIEW_CHANNEL_COUNT_MAX).filter(|(_, channel_id)| is_in(*channel_id));
    let is_readable = |(server_id, channel_id)| {
        const READABLE: u64 = CHANNELS_VIEW | MESSAGES_READ;
        let standing = asking.server(server_id);
        standing.is_ok_and(|standing| standing.permissions_in(channel_id) & READABLE == READABLE)
    };
    match dms.chain(groups).any(is_in) || channels.any(is_readable) {
        true => Error::forbidden("Only the author of a message can put a poll into it"),
        false => Refusal::MessageNotFound.into(),
    }
}

/// Whether it is over at that moment of steady time, whoever has ended it.
pub fn is_over(poll: &ArchivedPoll, at: u64) -> bool {
    poll.ended_at.is_some() || poll.ends_at.as_ref().is_some_and(|ends_at| ends_at.to_native() <= at)
}

/// The bits of what is chosen.
fn bits(poll: &ArchivedPoll, option_ids: &[u64]) -> Result<u64> {
    let mut bits = 0;
    for id in option_ids {
        let index = poll.options.iter().position(|option| option.id == *id);
        bits |= 1 << index.ok_or_else(|| Error::invalid("option_ids", "not an option of this poll"))?;
    }
    match u64::count_ones(bits) {
        0 => Err(Error::invalid("option_ids", "choose at least one option")),
        2.. if !poll.allow_multiple_choice => {
            Err(Error::invalid("option_ids", "this poll takes one option only"))
        }
        _ => Ok(bits),
    }
}

// -------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn poll_post(
    machine: &mut Machine<'_, '_>,
    author: UserId,
    op: &PollPost,
) -> Result<(ChannelId, MessageId)> {
    message::create(machine, author, &op.message, Some(&op.poll), None)
}

/// Stores a poll that was found good. Its message is told of by whoever calls.
pub(super) fn open(
    machine: &mut Machine<'_, '_>,
    (channel_id, message_id): (ChannelId, MessageId),
    creator_id: UserId,
    new: &NewPoll,
) -> PollId {
    let id = PollId(machine.next_id());
    let options =
        new.options.iter().map(|text| PollOption { id: machine.next_id(), text: text.clone(), votes: 0 });
    let poll = Poll {
        options: options.collect(),
        id,
        creator_id,
        question: new.question.clone(),
        created_at: machine.unix_ms,
        ends_at: new.duration_ms.map(|duration_ms| machine.at.saturating_add(duration_ms)),
        allow_multiple_choice: new.allow_multiple_choice,
        results_visibility: new.results_visibility,
        told_at: machine.at,
        ..Poll::default()
    };
    machine.tx.put(POLLS, message_id, &poll);
    machine.tx.put(POLL_PLACES, id, &PollPlace { channel_id, message_id });
    if let Some(ends_at) = poll.ends_at {
        leave_until(machine, ends_at, &Look { channel_id, message_id, poll_id: id });
    }
    id
}

pub(in crate::domain) fn poll_create(
    machine: &mut Machine<'_, '_>,
    author: UserId,
    op: &PollCreate,
) -> Result<(ChannelId, MessageId)> {
    let access = machine.asking(author).channel(op.channel_id)?;
    Writing::Text.require(&access)?;
    let message = find_own(&access, op.message_id)?;
    if message.poll != 0 {
        return Err(Refusal::PollTaken.into());
    }
    check(&op.poll)?;
    let (scope, message) = (Scope::of(op.channel_id, access.channel), Message::from(message));
    verdict::pass(machine, scope.server_id, op.channel_id, author)?;
    let poll_id = open(machine, (op.channel_id, op.message_id), author, &op.poll);
    put_message(machine, scope, op.message_id, Message { poll: poll_id.0, ..message });
    Ok((op.channel_id, op.message_id))
}

fn put_message(machine: &mut Machine<'_, '_>, scope: Scope, message_id: MessageId, message: Message) {
    machine.tx.put(MESSAGES, (scope.channel_id, message_id), &message);
    emit_message(machine, EventName::MessageUpdate, scope, message_id, &message);
}

pub(in crate::domain) fn poll_vote(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &PollVote,
) -> Result<(ChannelId, MessageId)> {
    let Found { access, message_id, poll } = find(machine.asking(actor), op.poll_id)?;
    Writing::Vote.require(&access)?;
    if is_over(poll, machine.at) {
        return Err(Refusal::PollEnded.into());
    }
    let (channel_id, now) = (access.channel_id, bits(poll, &op.option_ids)?);
    let before = vote(machine.read(), op.poll_id, actor);
    if now == before {
        return Ok((channel_id, message_id));
    }
    let (scope, mut poll) = (Scope::of(channel_id, access.channel), Poll::from(poll));
    for (index, option) in poll.options.iter_mut().enumerate() {
        let chosen = |bits: u64| bits >> index & 1;
        assert!(option.votes >= chosen(before), "an option counts the votes that have its bit");
        option.votes = option.votes - chosen(before) + chosen(now);
    }
    machine.tx.put(POLL_VOTES, (op.poll_id, actor), &Meta { value: now });
    tell_soon(machine, scope, message_id, poll);
    Ok((channel_id, message_id))
}

/// What a user chose, by bits.
pub fn vote(read: Read<'_>, poll_id: PollId, user_id: UserId) -> u64 {
    read.get(POLL_VOTES, (poll_id, user_id)).map_or(0, |vote| vote.value.to_native())
}

pub(in crate::domain) fn poll_close(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &PollClose,
) -> Result<(ChannelId, MessageId)> {
    let Found { access, message_id, poll } = find_closable(machine.asking(actor), op.poll_id)?;
    if is_over(poll, machine.at) {
        return Err(Refusal::PollEnded.into());
    }
    let (channel_id, scope) = (access.channel_id, Scope::heard_of(&access));
    let poll = Poll { ended_at: Some(machine.unix_ms), ..Poll::from(poll) };
    tell(machine, scope, message_id, poll);
    Ok((channel_id, message_id))
}

pub(in crate::domain) fn poll_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &PollDelete,
) -> Result<()> {
    let Found { access, message_id, .. } = find_managed(machine.asking(actor), op.poll_id)?;
    let scope = Scope::heard_of(&access);
    let message = Message::from(message::find(machine.read(), access.channel_id, message_id)?);
    machine.tx.remove_within(POLLS, message_id, VOTES_AT_ONCE_MAX);
    put_message(machine, scope, message_id, Message { poll: 0, ..message });
    Ok(())
}

// ------------------------------------------------------------------------------------------ telling

/// Stores a poll and tells of it, now or in a moment.
fn tell_soon(machine: &mut Machine<'_, '_>, scope: Scope, message_id: MessageId, mut poll: Poll) {
    let due = poll.told_at.saturating_add(POLL_TELL_INTERVAL_MS);
    if due <= machine.at {
        return tell(machine, scope, message_id, poll);
    }
    if !std::mem::replace(&mut poll.untold, true) {
        leave_until(machine, due, &Look { channel_id: scope.channel_id, message_id, poll_id: poll.id });
    }
    machine.tx.put(POLLS, message_id, &poll);
}

/// Stores a poll and tells of it now.
fn tell(machine: &mut Machine<'_, '_>, scope: Scope, message_id: MessageId, poll: Poll) {
    let poll = Poll { told_at: machine.at, untold: false, ..poll };
    machine.tx.put(POLLS, message_id, &poll);
    let message = machine.read().get(MESSAGES, (scope.channel_id, message_id)).map(Message::from);
    if let Some(message) = message {
        emit_message(machine, EventName::MessageUpdate, scope, message_id, &message);
    }
}

/// Looks what a poll has due: its end, or votes that its readers were not told of.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct Look {
    pub channel_id: ChannelId,
    pub message_id: MessageId,
    pub poll_id: PollId,
}

impl Errand for Look {
    const KIND: u8 = 10;
    const NAME: &'static str = "Poll";

    fn step(self, machine: &mut Machine<'_, '_>, work: &mut Work<'_>) -> Option<Look> {
        /// A message is read, and the poll written.
        const LOOKS: usize = 8;
        work.take(LOOKS);
        let (read, at) = (machine.read(), machine.at);
        let poll = read.get(POLLS, self.message_id).map(Poll::from);
        let mut poll = poll.filter(|poll| poll.id == self.poll_id)?;
        let scope = Scope::of(self.channel_id, read.get(CHANNELS, self.channel_id)?);
        let end = poll.ends_at.filter(|ends_at| *ends_at <= at && poll.ended_at.is_none());
        // An errand may be left of votes that were told of since: another one stands for those that were not.
        let is_due = poll.untold && poll.told_at.saturating_add(POLL_TELL_INTERVAL_MS) <= at;
        if end.is_some() {
            poll.ended_at = end.map(|ends_at| machine.offset().shown(ends_at));
        } else if !is_due {
            return None;
        }
        tell(machine, scope, self.message_id, poll);
        None
    }
}
