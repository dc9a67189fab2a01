//! Polls: random commands, what they must be answered, and what is kept.

use std::collections::BTreeMap;

use plexichat::domain::chat::message::MessageCreate;
use plexichat::domain::chat::poll::{NewPoll, PollClose, PollCreate, PollDelete, PollPost, PollVote};
use plexichat::domain::permission::*;
use plexichat::domain::{Op, Reply, chat};
use plexichat::id::{ChannelId, MessageId, PollId};
use plexichat::store::Read;
use plexichat::store::records::Poll as Record;
use plexichat::store::tables::{POLL_VOTES, POLLS};

use super::generate::Generator;
use super::model::*;

/// What a message asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Poll {
    id: u64,
    creator: u64,
    texts: Vec<String>,
    options: Vec<u64>,
    is_multiple: bool,
    ends_at: Option<u64>,
    is_closed: bool,
    /// By user: bits of what he chose.
    votes: BTreeMap<u64, u64>,
}

impl Poll {
    fn is_over(&self, at: u64) -> bool {
        self.is_closed || self.ends_at.is_some_and(|ends_at| ends_at <= at)
    }

    fn bits(&self, ids: &[u64]) -> Option<u64> {
        let bit = |id: &u64| self.options.iter().position(|option| option == id).map(|index| 1 << index);
        ids.iter().map(bit).try_fold(0, |bits, bit| Some(bits | bit?))
    }
}

impl Generator<'_> {
    pub fn new_poll(&mut self) -> NewPoll {
        let count = if self.chance(8) { [0, 1, 21][self.random.usize(..3)] } else { self.random.usize(2..5) };
        NewPoll {
            question: self.name(),
            options: (0..count).map(|_| self.name()).collect(),
            duration_ms: self.maybe(60, |g| [1, 60_000, 3_600_000][g.random.usize(..3)]),
            allow_multiple_choice: self.random.bool(),
            results_visibility: if self.chance(4) { 9 } else { self.random.u8(..3) },
        }
    }

    /// The message, perhaps with a poll in it.
    pub fn post(&mut self, model: &Model, channel: u64, message: MessageCreate) -> Op {
        match self.chance(20) {
            true => {
                let poll = self.new_poll();
                self.text_command(model, channel, PollPost { message, poll })
            }
            false => self.text_command(model, channel, message),
        }
    }

    /// A poll that is there, mostly, with its options, and somebody who can probably see it.
    fn poll(&mut self, model: &Model) -> (u64, PollId, Vec<u64>) {
        let all = model.polls().map(|(channel, _, poll)| (channel, poll.clone()));
        let Some((channel, poll)) = self.pick(all).filter(|_| self.random.u32(..20) != 0) else {
            return (self.actor(model), PollId(self.junk()), vec![self.junk()]);
        };
        let visitor = self.visitor(model, model.channels.get(&channel));
        (if self.chance(25) { poll.creator } else { visitor }, PollId(poll.id), poll.options)
    }

    pub fn poll_command(&mut self, model: &Model) -> (u64, Op) {
        if self.chance(20) {
            let (actor, channel_id, message_id) = self.spot(model);
            let message = model.channels.get(&channel_id.0).and_then(|c| c.messages.get(&message_id.0));
            let author = message.map(|message| message.author).filter(|id| model.existing(*id).is_ok());
            let actor = author.filter(|_| self.random.u32(..5) != 0).unwrap_or(actor);
            let poll = self.new_poll();
            return (
                actor,
                self.text_command(model, channel_id.0, PollCreate { channel_id, message_id, poll }),
            );
        }
        let (actor, poll_id, options) = self.poll(model);
        let op: Op = match self.random.u32(..10) {
            0 => PollClose { poll_id }.into(),
            1 => PollDelete { poll_id }.into(),
            _ => {
                let count = [0, 1, 1, 1, 1, 2, 3][self.random.usize(..7)];
                let option_ids = (0..count).map(|_| self.id(options.iter().copied())).collect();
                PollVote { poll_id, option_ids }.into()
            }
        };
        (actor, op)
    }
}

fn check(new: &NewPoll) -> Result<(), Refused> {
    unless(!(2..=20).contains(&new.options.len()) || new.results_visibility > 2, BAD)
}

impl Model {
    fn polls(&self) -> impl Iterator<Item = (u64, u64, &Poll)> {
        let messages = self
            .channels
            .iter()
            .flat_map(|(id, channel)| channel.messages.iter().map(move |(at, m)| (*id, *at, m)));
        messages.filter_map(|(channel, id, message)| Some((channel, id, message.poll.as_ref()?)))
    }

    /// A poll that the actor may read, with its channel and what he may do there.
    fn find_poll(&self, actor: u64, id: PollId) -> Result<(&Channel, u64, &Poll), Refused> {
        let (channel, _, poll) = some(self.polls().find(|(.., poll)| poll.id == id.0), MISSING)?;
        let (channel, have) = self.access(actor, channel).map_err(|_| MISSING)?;
        unless(have & MESSAGES_READ == 0, MISSING)?;
        Ok((channel, have, poll))
    }

    fn managed_poll(&self, actor: u64, id: PollId) -> Result<&Poll, Refused> {
        let (channel, have, poll) = self.find_poll(actor, id)?;
        if poll.creator != actor {
            unless(channel.server.is_none(), FORBIDDEN)?;
            require(have, MESSAGES_MANAGE)?;
            self.unless_silenced(actor, channel)?;
        }
        Ok(poll)
    }

    /// `None`: it is about something else.
    pub fn judge_poll(&self, actor: u64, op: &chat::Op) -> Option<Result<Want, Refused>> {
        Some(match op {
            chat::Op::PollPost(op) => self.judge_text(actor, &op.message, Some(&op.poll), None),
            chat::Op::PollCreate(op) => self.judge_poll_create(actor, op),
            chat::Op::PollVote(op) => self.judge_vote(actor, op),
            chat::Op::PollClose(op) => self.find_poll(actor, op.poll_id).and_then(|(_, _, poll)| {
                unless(poll.creator != actor, FORBIDDEN)?;
                unless(poll.is_over(self.at), BAD)?;
                Ok(Want::Message)
            }),
            chat::Op::PollDelete(op) => self.managed_poll(actor, op.poll_id).map(|_| Want::Done),
            _ => return None,
        })
    }

    pub fn judge_new_poll(&self, poll: Option<&NewPoll>) -> Result<(), Refused> {
        poll.map_or(Ok(()), check)
    }

    fn judge_poll_create(&self, actor: u64, op: &PollCreate) -> Result<Want, Refused> {
        let (channel, have) = self.access(actor, op.channel_id.0)?;
        require(have, MESSAGES_SEND)?;
        self.reachable(channel, actor)?;
        let message = self.message(channel, op.message_id.0)?;
        unless(message.author != actor, FORBIDDEN)?;
        unless(message.poll.is_some(), CONFLICT)?;
        check(&op.poll)?;
        self.pass(channel.server)?;
        Ok(Want::Message)
    }

    fn judge_vote(&self, actor: u64, op: &PollVote) -> Result<Want, Refused> {
        let (channel, _, poll) = self.find_poll(actor, op.poll_id)?;
        self.reachable(channel, actor)?;
        unless(poll.is_over(self.at), BAD)?;
        let bits = some(poll.bits(&op.option_ids), BAD)?;
        unless(bits == 0 || bits.count_ones() > 1 && !poll.is_multiple, BAD)?;
        Ok(Want::Message)
    }

    /// False: it is about something else.
    pub fn take_poll(&mut self, actor: u64, op: &chat::Op, reply: &Reply, read: Read<'_>) -> bool {
        match (op, reply) {
            (chat::Op::PollPost(op), Reply::Message(channel_id, message_id)) => {
                self.take_text(actor, &op.message, *message_id);
                self.ask(actor, (*channel_id, *message_id), &op.poll, read);
            }
            (chat::Op::PollCreate(op), Reply::Message(channel_id, message_id)) => {
                self.ask(actor, (*channel_id, *message_id), &op.poll, read);
            }
            (chat::Op::PollVote(op), Reply::Message(channel_id, message_id)) => {
                let poll = self.poll_of(*channel_id, *message_id);
                let bits = poll.bits(&op.option_ids).expect("judge found the options");
                poll.votes.insert(actor, bits);
            }
            (chat::Op::PollClose(_), Reply::Message(channel_id, message_id)) => {
                self.poll_of(*channel_id, *message_id).is_closed = true;
            }
            (chat::Op::PollDelete(op), Reply::Done) => {
                let messages = self.channels.values_mut().flat_map(|channel| channel.messages.values_mut());
                let is_it =
                    |message: &&mut Message| message.poll.as_ref().is_some_and(|p| p.id == op.poll_id.0);
                messages.into_iter().find(is_it).expect("judge found the poll").poll = None;
            }
            _ => return false,
        }
        true
    }

    fn poll_of(&mut self, channel_id: ChannelId, message_id: MessageId) -> &mut Poll {
        let channel = self.channels.get_mut(&channel_id.0).expect("judge found the channel");
        let message = channel.messages.get_mut(&message_id.0).expect("judge found the message");
        message.poll.as_mut().expect("judge found the poll")
    }

    pub fn ask(
        &mut self,
        actor: u64,
        (channel, message): (ChannelId, MessageId),
        new: &NewPoll,
        read: Read<'_>,
    ) {
        let record = read.get(POLLS, message).map(Record::from).expect("the poll that was just made");
        let poll = Poll {
            id: record.id.0,
            creator: actor,
            texts: [vec![new.question.clone()], new.options.clone()].concat(),
            options: record.options.iter().map(|option| option.id).collect(),
            is_multiple: new.allow_multiple_choice,
            ends_at: new.duration_ms.map(|duration_ms| self.at + duration_ms),
            ..Poll::default()
        };
        let channel = self.channels.get_mut(&channel.0).expect("judge found the channel");
        channel.messages.get_mut(&message.0).expect("it is there").poll = Some(poll);
    }

    pub fn compare_polls(&self, read: Read<'_>) {
        for (_, message_id, poll) in self.polls() {
            let record =
                read.get(POLLS, MessageId(message_id)).map(Record::from).expect("the poll is stored");
            let texts =
                [&record.question].into_iter().chain(record.options.iter().map(|option| &option.text));
            assert!(texts.eq(&poll.texts), "texts of poll {}", poll.id);
            assert_eq!(
                (record.id.0, record.creator_id.0, record.ends_at),
                (poll.id, poll.creator, poll.ends_at)
            );
            let is_over = poll.is_over(self.at);
            assert!(record.ended_at.is_none() || is_over, "poll {} ends on time", poll.id);
            assert!(record.ended_at.is_some() || !poll.is_closed, "poll {} has ended", poll.id);
            let votes = read
                .scan(POLL_VOTES, PollId(poll.id))
                .map(|((_, user), vote)| (user.0, vote.value.to_native()));
            assert!(votes.eq(poll.votes.clone()), "votes of poll {}", poll.id);
            for (index, option) in record.options.iter().enumerate() {
                let count = poll.votes.values().filter(|bits| *bits >> index & 1 == 1).count();
                assert_eq!(option.votes, count as u64, "an option counts its votes");
            }
        }
    }
}
