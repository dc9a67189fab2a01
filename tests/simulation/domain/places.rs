//! The model of what is changed of members, channels and owners beside the usual: nicknames and timeouts, overrides,
//! hand-overs, channels in other places.

use plexichat::domain::Op;
use plexichat::domain::community::arrangement::{ChannelsArrange, Place};
use plexichat::domain::community::member_edit::MemberEdit;
use plexichat::domain::community::overrides::{OverridePut, Subject};
use plexichat::domain::community::owner::OwnerSet;
use plexichat::domain::community::{self};
use plexichat::domain::permission::*;
use plexichat::id::{ChannelId, RoleId, ServerId, UserId};
use plexichat::store::records::{account, channel_kind};

use super::generate::Generator;
use super::model::*;

/// Kind and id in keys.
fn key(subject: Subject) -> (u8, u64) {
    match subject {
        Subject::Role(id) => (0, id.0),
        Subject::Member(id) => (1, id.0),
    }
}

impl Generator<'_> {
    pub fn place_command(&mut self, model: &Model) -> (u64, Op) {
        let id = self.server(model);
        let server = model.servers.get(&id);
        let actor = self.insider(model, server);
        let (server_id, user_id) = (ServerId(id), UserId(self.member(model, id)));
        match self.random.u32(..10) {
            0..=2 => {
                let user_id = if self.chance(30) { UserId(actor) } else { user_id };
                let op = MemberEdit {
                    server_id,
                    user_id,
                    nickname: self.maybe(60, |g| g.maybe(70, |g| g.name())),
                    timeout_seconds: self.maybe(50, |g| [0, 1, 60, 3_600][g.random.usize(..4)]),
                    timeout_reason: self.maybe(30, |g| g.text()),
                };
                (actor, op.into())
            }
            3..=6 => self.override_command(model),
            // Seldom: each server would be somebody else's all the time.
            7 if self.chance(30) => (actor, OwnerSet { server_id, user_id }.into()),
            _ => {
                let channels: Vec<u64> = model.channels_of(id).map(|(id, _)| id).collect();
                let categories = model.channels.iter().filter(|(_, c)| c.kind == channel_kind::CATEGORY);
                let categories: Vec<u64> = categories.map(|(id, _)| *id).collect();
                let mut places: Vec<Place> = Vec::new();
                for _ in 0..self.random.usize(1..4) {
                    let channel_id = ChannelId(self.id(channels.iter().copied()));
                    if places.iter().any(|place| place.channel_id == channel_id) {
                        continue;
                    }
                    let position = self.maybe(80, |g| if g.chance(5) { g.junk() } else { g.random.u64(..8) });
                    let category_id = self.maybe(30, |g| {
                        let category = g.pick(categories.iter().copied());
                        category.filter(|_| g.chance(60)).map(ChannelId)
                    });
                    places.push(Place { channel_id, position, category_id });
                }
                (actor, ChannelsArrange { server_id, places }.into())
            }
        }
    }

    fn override_command(&mut self, model: &Model) -> (u64, Op) {
        let (actor, channel) = self.place(model);
        let server = model.channels.get(&channel).and_then(|channel| channel.server).unwrap_or(0);
        let subject = match self.chance(50) {
            true => Subject::Role(RoleId(self.role(model, server))),
            false => Subject::Member(UserId(self.member(model, server))),
        };
        let mut bits = |percent: u32| {
            let bits = (0..NAMES.len()).filter(|_| self.random.u32(..100) < percent).map(|bit| 1 << bit);
            bits.sum::<u64>() & OVERRIDABLE
        };
        let (allow, deny) = (bits(8), bits(5));
        let none = self.chance(30);
        let (allow, deny) = if none { (0, 0) } else { (allow, deny) };
        (actor, OverridePut { channel_id: ChannelId(channel), subject, allow, deny }.into())
    }
}

impl Model {
    /// `None` when it is about something else.
    pub fn judge_place(&self, actor: u64, op: &community::Op) -> Option<Result<Want, Refused>> {
        Some(match op {
            community::Op::MemberEdit(op) => self.judge_member_edit(actor, op),
            community::Op::OverridePut(op) => self.judge_override(actor, op),
            community::Op::OwnerSet(op) => self.judge_owner(actor, op),
            community::Op::ChannelsArrange(op) => self.judge_arrange(actor, op),
            _ => return None,
        })
    }

    fn judge_member_edit(&self, actor: u64, op: &MemberEdit) -> Result<Want, Refused> {
        let server = self.standing(actor, op.server_id.0)?;
        let member = some(server.members.get(&op.user_id.0), MISSING)?;
        let is_own = actor == op.user_id.0;
        if op.nickname.is_some() && !is_own {
            server.require(actor, MEMBERS_MANAGE_NICKNAMES)?;
            server.require_above(actor, op.user_id.0)?;
        }
        if let Some(seconds) = op.timeout_seconds {
            server.require(actor, MEMBERS_KICK)?;
            unless(is_own, FORBIDDEN)?;
            server.require_above(actor, op.user_id.0)?;
            unless(seconds != 0 && server.bits(op.user_id.0) & ADMINISTRATOR != 0, FORBIDDEN)?;
        }
        let edited = self.edited_member(member, op);
        let same = (&edited.nickname, edited.timeout_until, &edited.timeout_reason)
            == (&member.nickname, member.timeout_until, &member.timeout_reason);
        Ok(Want::Changed(!same))
    }

    fn edited_member(&self, member: &Member, op: &MemberEdit) -> Member {
        let mut member = member.clone();
        member.nickname = op.nickname.clone().unwrap_or(member.nickname);
        match op.timeout_seconds {
            Some(0) => (member.timeout_until, member.timeout_reason) = (0, None),
            Some(seconds) => {
                member.timeout_until = self.at + seconds * 1_000;
                member.timeout_reason.clone_from(&op.timeout_reason);
            }
            None => {}
        }
        member
    }

    fn judge_override(&self, actor: u64, op: &OverridePut) -> Result<Want, Refused> {
        let (server, channel) = self.manageable_channel(actor, op.channel_id.0)?;
        let found = &self.servers[&server];
        match op.subject {
            Subject::Role(role) => {
                unless(!found.roles.contains_key(&role.0), MISSING)?;
                let is_above = role.0 == found.everyone || found.position(role.0) < found.top(actor);
                unless(!is_above, FORBIDDEN)?;
            }
            Subject::Member(user) => {
                unless(!found.members.contains_key(&user.0), MISSING)?;
                if user.0 != actor {
                    found.require_above(actor, user.0)?;
                }
            }
        }
        let old = channel.overrides.get(&key(op.subject)).copied().unwrap_or_default();
        let (_, have) = self.access(actor, op.channel_id.0)?;
        unless(((old.0 ^ op.allow) | (old.1 ^ op.deny)) & !have != 0, FORBIDDEN)?;
        Ok(Want::Changed(old != (op.allow, op.deny & !op.allow)))
    }

    fn judge_owner(&self, actor: u64, op: &OwnerSet) -> Result<Want, Refused> {
        let server = self.standing(actor, op.server_id.0)?;
        unless(server.owner != actor, FORBIDDEN)?;
        unless(!server.members.contains_key(&op.user_id.0), MISSING)?;
        let user = &self.users[&op.user_id.0];
        unless(user.state != account::ACTIVE || user.owner.is_some(), BAD)?;
        Ok(Want::Changed(actor != op.user_id.0))
    }

    fn judge_arrange(&self, actor: u64, op: &ChannelsArrange) -> Result<Want, Refused> {
        self.standing(actor, op.server_id.0)?.require(actor, CHANNELS_MANAGE)?;
        for place in &op.places {
            let channel = some(self.channels.get(&place.channel_id.0), MISSING)?;
            unless(channel.server != Some(op.server_id.0), MISSING)?;
            self.manageable_channel(actor, place.channel_id.0)?;
            let Some(Some(category)) = place.category_id else { continue };
            unless(channel.kind == channel_kind::CATEGORY, BAD)?;
            let category = some(self.channels.get(&category.0), BAD)?;
            let fits = category.kind == channel_kind::CATEGORY && category.server == Some(op.server_id.0);
            unless(!fits, BAD)?;
        }
        let (order, categories) = self.arranged(op);
        let same_order = order == self.channel_order(op.server_id.0);
        let same = categories.iter().all(|(id, category)| self.channels[id].category == *category);
        Ok(Want::Changed(!(same_order && same)))
    }

    /// The channels in their new order, and the categories of those that are given one.
    fn arranged(&self, op: &ChannelsArrange) -> (Vec<u64>, Vec<(u64, Option<u64>)>) {
        let mut wanted: Vec<(u64, u64)> =
            op.places.iter().filter_map(|place| Some((place.position?, place.channel_id.0))).collect();
        wanted.sort_by_key(|(position, _)| *position);
        let mut order = self.channel_order(op.server_id.0);
        order.retain(|id| wanted.iter().all(|(_, moved)| moved != id));
        for (position, id) in wanted {
            order.insert((position as usize).min(order.len()), id);
        }
        let categories = op
            .places
            .iter()
            .filter_map(|place| Some((place.channel_id.0, place.category_id?.map(|category| category.0))));
        (order, categories.collect())
    }

    /// Does what was not refused; false when it is about something else.
    pub fn take_place(&mut self, op: &community::Op) -> bool {
        match op {
            community::Op::MemberEdit(op) => {
                let edited = self.edited_member(&self.servers[&op.server_id.0].members[&op.user_id.0], op);
                self.server(op.server_id.0).members.insert(op.user_id.0, edited);
            }
            community::Op::OverridePut(op) => {
                let overrides =
                    &mut self.channels.get_mut(&op.channel_id.0).expect("judge found it").overrides;
                match (op.allow, op.deny & !op.allow) {
                    (0, 0) => drop(overrides.remove(&key(op.subject))),
                    bits => drop(overrides.insert(key(op.subject), bits)),
                }
            }
            community::Op::OwnerSet(op) => {
                let server = self.server(op.server_id.0);
                server.owner = op.user_id.0;
                server.members.get_mut(&op.user_id.0).expect("judge found him").temporary = false;
            }
            community::Op::ChannelsArrange(op) => {
                let (order, categories) = self.arranged(op);
                for (id, category) in categories {
                    self.channels.get_mut(&id).expect("judge found it").category = category;
                }
                for (position, id) in (0..).zip(order) {
                    self.channels.get_mut(&id).expect("it is in the order").position = position;
                }
            }
            _ => return false,
        }
        true
    }
}
