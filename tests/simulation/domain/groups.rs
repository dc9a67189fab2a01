//! Groups: random commands, what they must be answered, and who is in them.

use std::collections::BTreeSet;

use plexichat::domain::social::group::{GroupAdd, GroupEdit, GroupOpen, GroupRemove};
use plexichat::domain::{Op, Reply, social};
use plexichat::id::{ChannelId, UserId};
use plexichat::store::Read;
use plexichat::store::records::channel_kind;
use plexichat::store::tables::{CHANNELS, USER_GROUPS};

use super::generate::Generator;
use super::model::*;

impl Generator<'_> {
    pub fn group_command(&mut self, model: &Model) -> (u64, Op) {
        let groups = model.channels.iter().filter(|(_, channel)| channel.kind == channel_kind::GROUP);
        let found = self.pick(groups.map(|(id, channel)| (*id, channel.participants.clone())));
        let participants_max = if self.chance(10) { self.random.u64(..4) } else { 100 };
        let found = found.filter(|_| self.random.u32(..6) != 0);
        let Some((id, participants)) = found else {
            let count = self.random.usize(..4);
            let user_ids = (0..count).map(|_| UserId(self.user(model))).collect();
            let name = if self.random.bool() { self.name() } else { String::new() };
            return (self.actor(model), GroupOpen { name, user_ids, participants_max }.into());
        };
        let channel_id = ChannelId(if self.chance(4) { self.id(model.channels.keys().copied()) } else { id });
        let actor = match self.random.u8(..10) {
            0 => self.actor(model),
            1..4 => participants[0],
            _ => self.id(participants.iter().copied()),
        };
        let other =
            UserId(if self.random.bool() { self.user(model) } else { self.id(participants.into_iter()) });
        let op: Op = match self.random.u8(..6) {
            0..3 => GroupAdd { channel_id, user_id: other, participants_max }.into(),
            3 => GroupEdit {
                channel_id,
                name: self.maybe(50, |g| g.name()),
                owner_id: self.maybe(40, |_| other),
            }
            .into(),
            4 => GroupRemove { channel_id, user_id: other }.into(),
            _ => GroupRemove { channel_id, user_id: UserId(actor) }.into(),
        };
        (actor, op)
    }
}

impl Model {
    fn group(&self, actor: u64, id: ChannelId) -> Result<&Channel, Refused> {
        let channel = self.channels.get(&id.0).filter(|channel| channel.kind == channel_kind::GROUP);
        let channel = some(channel, MISSING)?;
        unless(!channel.participants.contains(&actor), FORBIDDEN)?;
        Ok(channel)
    }

    fn may_join(&self, actor: u64, user: u64, others: &[u64]) -> Result<(), Refused> {
        self.existing(user)?;
        self.reaches(actor, user)?;
        unless(others.iter().any(|other| self.blocked(user, *other)), FORBIDDEN)
    }

    pub fn judge_group(&self, actor: u64, op: &social::Op) -> Result<Want, Refused> {
        match op {
            social::Op::GroupOpen(op) => {
                self.existing(actor)?;
                let users = self.opened(actor, op);
                unless(users.len() as u64 > op.participants_max, BAD)?;
                unless(users.len() < 2, BAD)?;
                for index in 1..users.len() {
                    self.may_join(actor, users[index], &users[1..index])?;
                }
                Ok(Want::NewChannel)
            }
            social::Op::GroupEdit(op) => {
                let group = self.group(actor, op.channel_id)?;
                let owner = group.participants[0];
                if let Some(new) = op.owner_id {
                    unless(owner != actor, FORBIDDEN)?;
                    unless(!group.participants.contains(&new.0), BAD)?;
                }
                let is_same = op.name.as_ref().is_none_or(|name| *name == group.name)
                    && op.owner_id.is_none_or(|new| new.0 == owner);
                Ok(Want::Changed(!is_same))
            }
            social::Op::GroupAdd(op) => {
                let group = self.group(actor, op.channel_id)?;
                if group.participants.contains(&op.user_id.0) {
                    return Ok(Want::Changed(false));
                }
                unless(group.participants.len() as u64 + 1 > op.participants_max, BAD)?;
                self.may_join(actor, op.user_id.0, &group.participants)?;
                Ok(Want::Changed(true))
            }
            social::Op::GroupRemove(op) => {
                let group = self.group(actor, op.channel_id)?;
                if op.user_id.0 != actor {
                    unless(group.participants[0] != actor, FORBIDDEN)?;
                    unless(!group.participants.contains(&op.user_id.0), MISSING)?;
                }
                Ok(Want::Done)
            }
            other => panic!("{other:?} is about no group"),
        }
    }

    /// Who is to be in it.
    fn opened(&self, actor: u64, op: &GroupOpen) -> Vec<u64> {
        let mut users = vec![actor];
        for user in op.user_ids.iter().map(|id| id.0) {
            if !users.contains(&user) {
                users.push(user);
            }
        }
        users
    }

    pub fn take_group(&mut self, actor: u64, op: &social::Op, reply: &Reply) {
        match (op, reply) {
            (social::Op::GroupOpen(op), Reply::Channel(id)) => {
                let participants = self.opened(actor, op);
                let (name, kind) = (op.name.clone(), channel_kind::GROUP);
                self.channels.insert(id.0, Channel { kind, participants, name, ..Channel::default() });
            }
            (social::Op::GroupEdit(op), _) => {
                let group = self.channels.get_mut(&op.channel_id.0).expect("judge found it");
                group.name = op.name.clone().unwrap_or(std::mem::take(&mut group.name));
                if let Some(owner) = op.owner_id {
                    group.participants.retain(|id| *id != owner.0);
                    group.participants.insert(0, owner.0);
                }
            }
            (social::Op::GroupAdd(op), _) => {
                self.channels
                    .get_mut(&op.channel_id.0)
                    .expect("judge found it")
                    .participants
                    .push(op.user_id.0);
            }
            (social::Op::GroupRemove(op), _) => self.part(op.channel_id.0, op.user_id.0),
            (op, reply) => unreachable!("{reply:?} to {op:?}"),
        }
    }

    fn part(&mut self, group: u64, user: u64) {
        let channel = self.channels.get_mut(&group).expect("it is there");
        channel.participants.retain(|id| *id != user);
        if channel.participants.is_empty() {
            self.channels.remove(&group);
        }
    }

    pub fn leave_groups(&mut self, user: u64) {
        let own = self.channels.iter().filter(|(_, channel)| {
            channel.kind == channel_kind::GROUP && channel.participants.contains(&user)
        });
        let own: Vec<u64> = own.map(|(id, _)| *id).collect();
        own.into_iter().for_each(|group| self.part(group, user));
    }

    pub fn compare_groups(&self, read: Read<'_>) {
        let mut index = BTreeSet::new();
        for (id, channel) in self.channels.iter().filter(|(_, channel)| channel.kind == channel_kind::GROUP) {
            let record = read.get(CHANNELS, ChannelId(*id)).expect("the group is stored");
            assert!(
                record.participant_ids().map(|id| id.0).eq(channel.participants.iter().copied()),
                "of {id}"
            );
            assert_eq!(record.name.as_str(), channel.name);
            index.extend(channel.participants.iter().map(|user| (*user, *id)));
        }
        let stored = read.scan(USER_GROUPS, ()).map(|((user, id), _)| (user.0, id.0));
        assert!(stored.eq(index), "groups of users");
    }
}
