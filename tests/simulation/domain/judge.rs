//! What a command must be answered.

use std::collections::BTreeSet;

use plexichat::domain::permission::*;
use plexichat::domain::{Op, chat, community, housekeeping, identity, media, social};
use plexichat::id::ChannelId;
use plexichat::store::records::{account, channel_kind, relation};

use super::model::*;

impl Model {
    /// What the command must be answered at `self.at`.
    pub fn judge(&self, actor: u64, op: &Op) -> Result<Want, Refused> {
        let system = || unless(actor != 0, FORBIDDEN);
        unless(op.row().marks.speaks && self.is_silenced(actor), FORBIDDEN)?;
        if let Op::Identity(op) = op
            && let Some(verdict) = self
                .judge_second_factor(actor, op)
                .or_else(|| self.judge_bot(actor, op))
                .or_else(|| self.judge_features(actor, op))
        {
            return verdict;
        }
        if let Op::Identity(op) = op
            && let Some(verdict) = self
                .judge_mail(actor, op)
                .or_else(|| self.judge_elsewhere(actor, op))
                .or_else(|| self.judge_passkey(actor, op))
        {
            return verdict;
        }
        if let Op::Chat(op) = op
            && let Some(verdict) = self.judge_poll(actor, op)
        {
            return verdict;
        }
        if let Op::Community(op) = op
            && let Some(verdict) = self.judge_place(actor, op)
        {
            return verdict;
        }
        match op {
            Op::Identity(identity::Op::Register(op)) => {
                system()?;
                self.free(Some(&op.username), Some(&op.email.address), 0)?;
                Ok(Want::Account)
            }
            Op::Identity(identity::Op::ProfileEdit(op)) => {
                let user = some(self.users.get(&actor), UNKNOWN_TOKEN)?;
                unless(user.state != account::ACTIVE, UNKNOWN_TOKEN)?;
                let other = op.username.as_ref().filter(|name| !name.eq_ignore_ascii_case(&user.name));
                unless(user.renaming && other.is_none(), FORBIDDEN)?;
                if let Some(verified) = &op.verified {
                    unless(user.locked_until > self.at || user.phc != verified.0, FORBIDDEN)?;
                }
                unless(op.password.is_some() && op.verified.is_none(), FORBIDDEN)?;
                let email = op.email.as_ref().map(|email| &*email.address);
                self.free(op.username.as_deref(), email, actor)?;
                Ok(Want::User)
            }
            Op::Identity(identity::Op::AccountDelete(op)) => {
                let user = some(self.users.get(&actor), UNKNOWN_TOKEN)?;
                unless(user.state != account::ACTIVE, UNKNOWN_TOKEN)?;
                unless(user.locked_until > self.at, FORBIDDEN)?;
                unless(user.phc != op.phc.0, BAD)?;
                Ok(Want::Done)
            }
            Op::Identity(identity::Op::LoginFailed(op)) => {
                system()?;
                let failed = |(failures, locked_until): (u32, u64)| {
                    let failures = if locked_until != 0 { 0 } else { failures };
                    locked_until > self.at || u64::from(failures) + 1 >= op.failures_max
                };
                let name_locked = op.name.is_some_and(|name| failed(self.login_name(name)));
                let Ok(user) = self.existing(op.user_id.0) else { return Ok(Want::Changed(name_locked)) };
                if user.owner.is_some() {
                    return Ok(Want::Changed(name_locked));
                }
                Ok(Want::Changed(name_locked || failed((user.failures, user.locked_until))))
            }
            Op::Identity(identity::Op::TokenCreate(op)) => {
                system()?;
                let user = some(self.users.get(&op.user_id.0), UNKNOWN_TOKEN)?;
                unless(user.state != account::ACTIVE, UNKNOWN_TOKEN)?;
                unless(user.locked_until > self.at, FORBIDDEN)?;
                unless(user.phc != op.phc.0, UNKNOWN_TOKEN)?;
                unless(self.asks_for_more(op.user_id.0), UNKNOWN_TOKEN)?;
                Ok(Want::Token)
            }
            Op::Identity(identity::Op::TokenTouch(op)) => {
                let token = some(self.live_token(actor, op.token_id.0), UNKNOWN_TOKEN)?;
                let extend = token.expires_at - self.at < op.threshold_ms;
                Ok(Want::Changed(extend || self.at >= token.last_activity + 60_000))
            }
            Op::Identity(identity::Op::TokenRevoke(op)) => {
                some(self.live_token(actor, op.token_id.0), MISSING)?;
                Ok(Want::Done)
            }
            Op::Identity(identity::Op::TokenRevokeAll(op)) => {
                let tokens = self.users[&actor].tokens.keys();
                let live = tokens.filter(|id| self.live_token(actor, **id).is_some());
                Ok(Want::Count(
                    live.filter(|id| op.except.map(|except| except.0) != Some(**id)).count() as u64
                ))
            }
            Op::Social(social::Op::SettingsPut(op)) => {
                let settings = &self.users[&actor].settings;
                let mut after: BTreeSet<&str> = settings.keys().map(String::as_str).collect();
                after.extend(op.entries.iter().map(|(key, _)| key.as_str()));
                unless(after.len() > 100 && after.len() > settings.len(), BAD)?;
                Ok(Want::Done)
            }
            Op::Social(social::Op::SettingDelete(op)) => {
                some(self.users[&actor].settings.get(&op.key), MISSING)?;
                Ok(Want::Done)
            }
            Op::Social(social::Op::MessagingEdit(_)) => Ok(Want::Done),
            Op::Social(social::Op::FriendRequest(op)) => {
                let other = op.user_id.0;
                unless(actor == other, BAD)?;
                self.existing(other)?;
                unless(self.blocked(actor, other), FORBIDDEN)?;
                let taken = [relation::FRIEND, relation::PENDING_OUTGOING];
                unless(
                    self.relations.get(&(actor, other)).is_some_and(|kind| taken.contains(kind)),
                    CONFLICT,
                )?;
                Ok(Want::Done)
            }
            Op::Social(social::Op::FriendAccept(op)) => {
                let kind = self.relations.get(&(actor, op.user_id.0));
                unless(kind != Some(&relation::PENDING_INCOMING), MISSING)?;
                Ok(Want::Done)
            }
            Op::Social(social::Op::RelationshipRemove(op)) => {
                some(self.relations.get(&(actor, op.user_id.0)), MISSING)?;
                Ok(Want::Done)
            }
            Op::Social(social::Op::Block(op)) => {
                unless(actor == op.user_id.0, BAD)?;
                self.existing(op.user_id.0)?;
                unless(self.relations.get(&(actor, op.user_id.0)) == Some(&relation::BLOCKED), CONFLICT)?;
                Ok(Want::Done)
            }
            Op::Social(social::Op::PresenceSet(op)) => {
                let user = some(self.users.get(&actor), MISSING)?;
                unless(user.state != account::ACTIVE, MISSING)?;
                let (status, text, emoji, rest_at) = &user.presence;
                let same = op.status.is_none_or(|new| new == *status)
                    && op.custom_status.as_ref().is_none_or(|new| new == text)
                    && op.custom_emoji.as_ref().is_none_or(|new| new == emoji)
                    && (!op.by_rest || *rest_at == self.at);
                Ok(Want::Changed(!same))
            }
            Op::Social(social::Op::DmOpen(op)) => {
                let other = op.recipient_id.0;
                unless(actor == other, BAD)?;
                self.existing(other)?;
                self.reaches(actor, other)?;
                Ok(self.pairs.get(&pair(actor, other)).map_or(Want::NewChannel, |id| Want::Channel(*id)))
            }
            Op::Social(social::Op::NotesOpen(_)) => {
                self.existing(actor)?;
                Ok(self.pairs.get(&(actor, actor)).map_or(Want::NewChannel, |id| Want::Channel(*id)))
            }
            Op::Social(op) => self.judge_group(actor, op),
            Op::Community(community::Op::ServerCreate(op)) => {
                self.room(actor, op.server_count_max)?;
                Ok(Want::Server)
            }
            Op::Community(community::Op::ServerEdit(op)) => {
                let server = self.standing(actor, op.server_id.0)?;
                server.require(actor, SERVER_MANAGE)?;
                if let Some(channel) = op.default_channel_id {
                    let channel = some(self.channels.get(&channel.0), BAD)?;
                    let fits = channel.server == Some(op.server_id.0) && channel.kind == channel_kind::TEXT;
                    unless(!fits, BAD)?;
                }
                let same = op.name.as_ref().is_none_or(|name| *name == server.name)
                    && op.description.as_ref().is_none_or(|text| Some(text) == server.description.as_ref())
                    && op.default_channel_id.is_none_or(|id| Some(id.0) == server.default_channel);
                Ok(Want::Changed(!same))
            }
            Op::Community(community::Op::ServerDelete(op)) => {
                unless(self.standing(actor, op.server_id.0)?.owner != actor, FORBIDDEN)?;
                Ok(Want::Done)
            }
            Op::Community(community::Op::MemberLeave(op)) => {
                unless(self.standing(actor, op.server_id.0)?.owner == actor, FORBIDDEN)?;
                Ok(Want::Done)
            }
            Op::Community(community::Op::MemberKick(op)) => {
                let server = self.kick(actor, op.server_id.0, op.user_id.0, MEMBERS_KICK)?;
                unless(actor == op.user_id.0, FORBIDDEN)?;
                server.require_above(actor, op.user_id.0)?;
                Ok(Want::Done)
            }
            Op::Community(community::Op::MemberExpire(op)) => {
                system()?;
                let server = self.servers.get(&op.server_id.0);
                let server = server.filter(|server| server.owner != op.user_id.0);
                let member = server.and_then(|server| server.members.get(&op.user_id.0));
                Ok(Want::Changed(member.is_some_and(|member| member.temporary && member.roles.is_empty())))
            }
            Op::Community(community::Op::MemberRoleAdd(op)) => {
                Ok(Want::Changed(!self.role_change(actor, op.server_id.0, op.user_id.0, op.role_id.0)?))
            }
            Op::Community(community::Op::MemberRoleRemove(op)) => {
                Ok(Want::Changed(self.role_change(actor, op.server_id.0, op.user_id.0, op.role_id.0)?))
            }
            Op::Community(community::Op::RoleCreate(op)) => {
                let server = self.standing(actor, op.server_id.0)?;
                server.require(actor, ROLES_MANAGE)?;
                server.require(actor, bits(&op.permissions))?;
                Ok(Want::Role)
            }
            Op::Community(community::Op::RoleEdit(op)) => {
                let (server, old) = self.manageable_role(actor, op.server_id.0, op.role_id.0)?;
                if let Some(new) = &op.permissions {
                    server.require(actor, bits(new) & !bits(&old.permissions))?;
                }
                let is_default = op.role_id.0 == server.everyone;
                let old_position = server.position(op.role_id.0);
                let mut position = op.position.unwrap_or(old_position);
                if !is_default {
                    position = position.clamp(1, server.order.len() as u64);
                }
                unless(op.position.is_some() && position >= server.top(actor), FORBIDDEN)?;
                let new = edited(old, op);
                let (mut rest, same) = (new.clone(), new == *old && position == old_position);
                rest.permissions.clone_from(&old.permissions);
                unless(is_default && (rest != *old || position != 0), BAD)?;
                Ok(Want::Changed(!same))
            }
            Op::Community(community::Op::RoleDelete(op)) => {
                let (server, _) = self.manageable_role(actor, op.server_id.0, op.role_id.0)?;
                unless(op.role_id.0 == server.everyone, FORBIDDEN)?;
                Ok(Want::Done)
            }
            Op::Community(community::Op::BanCreate(op)) => {
                let server = self.standing(actor, op.server_id.0)?;
                self.existing(op.user_id.0)?;
                server.require(actor, MEMBERS_BAN)?;
                if server.members.contains_key(&op.user_id.0) {
                    server.require_above(actor, op.user_id.0)?;
                }
                unless(server.bans.contains(&op.user_id.0), CONFLICT)?;
                Ok(Want::Count(0))
            }
            Op::Community(community::Op::BanDelete(op)) => {
                let server = self.standing(actor, op.server_id.0)?;
                server.require(actor, MEMBERS_BAN)?;
                unless(!server.bans.contains(&op.user_id.0), MISSING)?;
                Ok(Want::Done)
            }
            Op::Community(community::Op::BanMessagesDelete(op)) => {
                let server = self.standing(actor, op.server_id.0)?;
                server.require(actor, MEMBERS_BAN)?;
                unless(!server.bans.contains(&op.user_id.0), MISSING)?;
                Ok(Want::Count(0))
            }
            Op::Community(community::Op::ChannelCreate(op)) => {
                self.standing(actor, op.server_id.0)?.require(actor, CHANNELS_MANAGE)?;
                if let Some(category) = op.category_id {
                    unless(op.kind == channel_kind::CATEGORY, BAD)?;
                    let category = some(self.channels.get(&category.0), BAD)?;
                    let fits =
                        category.kind == channel_kind::CATEGORY && category.server == Some(op.server_id.0);
                    unless(!fits, BAD)?;
                }
                Ok(Want::NewChannel)
            }
            Op::Community(community::Op::ChannelEdit(op)) => {
                let (server, channel) = self.manageable_channel(actor, op.channel_id.0)?;
                let same = op.name.as_ref().is_none_or(|name| *name == channel.name)
                    && op.topic.as_ref().is_none_or(|topic| Some(topic) == channel.topic.as_ref())
                    && op.slowmode_seconds.is_none_or(|seconds| seconds == channel.slowmode)
                    && self.moved(server, channel, op.position).is_none();
                Ok(Want::Changed(!same))
            }
            Op::Community(community::Op::ChannelDelete(op)) => {
                self.manageable_channel(actor, op.channel_id.0)?;
                Ok(Want::Done)
            }
            Op::Community(community::Op::InviteCreate(op)) => {
                let (_, have) = self.access(actor, op.channel_id.0)?;
                require(have, INVITES_CREATE)?;
                Ok(Want::Changed(!self.invites.contains_key(&op.code)))
            }
            Op::Community(community::Op::InviteUse(op)) => {
                let invite = some(self.invites.get(&op.code), MISSING)?;
                let server = &self.servers[&invite.server];
                let works = invite.works(self.at);
                // One that works no longer may have been cleared away.
                unless(server.members.contains_key(&actor), if works { CONFLICT } else { &[404, 409] })?;
                unless(!works, MISSING)?;
                unless(server.bans.contains(&actor), FORBIDDEN)?;
                self.room(actor, op.server_count_max)?;
                Ok(Want::Server)
            }
            Op::Community(community::Op::InviteDelete(op)) => {
                let invite =
                    some(self.invites.get(&op.code).filter(|invite| invite.works(self.at)), MISSING)?;
                if invite.inviter != actor {
                    let have = self.standing(actor, invite.server)?.bits(actor);
                    unless(have & (INVITES_MANAGE | SERVER_MANAGE) == 0, FORBIDDEN)?;
                }
                Ok(Want::Done)
            }
            Op::Chat(chat::Op::MessageCreate(op)) => self.judge_text(actor, op, None, None),
            Op::Chat(chat::Op::FilesPost(op)) => {
                self.judge_text(actor, &op.message, op.poll.as_deref(), Some(op))
            }
            Op::Chat(chat::Op::MessageEdit(op)) => {
                let (channel, have) = self.access(actor, op.channel_id.0)?;
                require(have, MESSAGES_SEND)?;
                self.reachable(channel, actor)?;
                let message = self.message(channel, op.message_id.0)?;
                unless(message.author != actor, FORBIDDEN)?;
                if message.embeds {
                    require(have, MESSAGES_EMBED_LINKS)?;
                }
                self.pause(channel, actor, have)?;
                let has_more = message.embeds || message.poll.is_some() || !message.files.is_empty();
                Model::content(&op.content, has_more, op.length_max)?;
                self.pass(channel.server)?;
                Ok(Want::Message)
            }
            Op::Chat(chat::Op::MessageDelete(op)) => {
                let (channel, have) = self.access(actor, op.channel_id.0)?;
                if self.message(channel, op.message_id.0)?.author != actor {
                    require(have, MESSAGES_MANAGE)?;
                    self.unless_silenced(actor, channel)?;
                }
                Ok(Want::Done)
            }
            Op::Chat(chat::Op::MessagesDelete(op)) => self.judge_bulk(actor, op),
            Op::Chat(chat::Op::ReactionsClear(op)) => {
                let (channel, have) = self.access(actor, op.channel_id.0)?;
                match channel.server {
                    Some(_) => {
                        require(have, MESSAGES_MANAGE)?;
                        self.unless_silenced(actor, channel)?;
                    }
                    None => self.reachable(channel, actor)?,
                }
                let message = self.message(channel, op.message_id.0)?;
                unless(channel.server.is_none() && message.author != actor, FORBIDDEN)?;
                let mut goes = message
                    .reactions
                    .iter()
                    .filter(|(emoji, _)| op.emoji.as_ref().is_none_or(|it| it == emoji));
                Ok(Want::Changed(goes.next().is_some()))
            }
            Op::Chat(chat::Op::ReactionAdd(op)) => {
                let (channel, have) = self.access(actor, op.channel_id.0)?;
                require(have, MESSAGES_READ)?;
                let message = self.message(channel, op.message_id.0)?;
                require(have, MESSAGES_ADD_REACTIONS)?;
                self.reachable(channel, actor)?;
                let there = message.reactions.iter().find(|(emoji, _)| *emoji == op.emoji);
                if there.is_some_and(|(_, users)| users.contains(&actor)) {
                    return Ok(Want::Changed(false));
                }
                self.may_use_emoji(channel, have, &op.emoji, there.is_some())?;
                match there {
                    Some(_) => Ok(Want::Changed(true)),
                    None => {
                        unless(message.reactions.len() as u64 >= op.kinds_max, BAD)?;
                        Ok(Want::Changed(true))
                    }
                }
            }
            Op::Chat(chat::Op::ReactionRemove(op)) => {
                let (channel, _) = self.access(actor, op.channel_id.0)?;
                let reactions = self.message(channel, op.message_id.0)?.reactions;
                let mut own =
                    reactions.iter().filter(|(emoji, users)| *emoji == op.emoji && users.contains(&actor));
                Ok(Want::Changed(own.next().is_some()))
            }
            Op::Chat(chat::Op::MessagePin(op)) => {
                let channel = self.pin_access(actor, op.channel_id)?;
                self.message(channel, op.message_id.0)?;
                let pinned = channel.pins.contains(&op.message_id.0);
                unless(!pinned && channel.pins.len() as u64 >= op.pins_max, BAD)?;
                Ok(Want::Changed(!pinned))
            }
            Op::Chat(chat::Op::MessageUnpin(op)) => {
                let channel = self.pin_access(actor, op.channel_id)?;
                self.message(channel, op.message_id.0)?;
                Ok(Want::Changed(channel.pins.contains(&op.message_id.0)))
            }
            Op::Chat(chat::Op::ChannelAck(op)) => {
                let moved = self.ack(actor, op.channel_id.0, op.message_id.map(|id| id.0))?;
                Ok(Want::Count(moved.map_or(0, |(_, count)| count)))
            }
            Op::Chat(chat::Op::ChannelsAck(_) | chat::Op::NotificationsRead(_)) => Ok(Want::Done),
            Op::Chat(chat::Op::NotificationRead(op)) => {
                unless(!self.is_told(actor, op.message_id.0), MISSING)?;
                Ok(Want::Done)
            }
            Op::Media(op) => self.judge_picture(actor, op),
            Op::Files(op) => self.judge_upload(actor, op),
            Op::Hooks(op) => self.judge_webhook(actor, op),
            Op::Contact(op) => self.judge_contact(actor, op),
            Op::Gate(op) => self.judge_gate(actor, op),
            Op::Admin(op) => self.judge_admin(actor, op),
            Op::Expression(op) => self.judge_expression(actor, op),
            Op::Moderation(op) => self.judge_automod(actor, op),
            Op::Housekeeping(housekeeping::Op::Reseal(_) | housekeeping::Op::FilesRewrapped(_)) => {
                system()?;
                Ok(Want::Done)
            }
            Op::Housekeeping(housekeeping::Op::Sweep(_) | housekeeping::Op::OutboxStep(_)) => {
                system()?;
                Ok(Want::Any)
            }
            #[allow(unreachable_patterns, reason = "a command that is new may not be modelled yet")]
            other => panic!("the model does not know command {}", other.row().code),
        }
    }

    pub fn judge_text(
        &self,
        actor: u64,
        op: &chat::message::MessageCreate,
        poll: Option<&chat::poll::NewPoll>,
        files: Option<&chat::attachment::FilesPost>,
    ) -> Result<Want, Refused> {
        let (channel, have) = self.access(actor, op.channel_id.0)?;
        require(have, MESSAGES_SEND)?;
        self.reachable(channel, actor)?;
        let silent = [channel_kind::VOICE, channel_kind::STAGE, channel_kind::CATEGORY];
        unless(silent.contains(&channel.kind), BAD)?;
        let has_files = files.is_some_and(|op| !op.files.is_empty());
        if has_files {
            require(have, MESSAGES_ATTACH_FILES)?;
        }
        if !op.embeds.is_empty() {
            require(have, MESSAGES_EMBED_LINKS)?;
        }
        self.pause(channel, actor, have)?;
        Model::content(&op.content, !op.embeds.is_empty() || has_files || poll.is_some(), op.length_max)?;
        self.judge_new_poll(poll)?;
        self.judge_wanted(actor, files)?;
        if let Some(reply) = op.reply_to_id {
            self.message(channel, reply.0)?;
        }
        self.pass(channel.server)?;
        Ok(Want::Message)
    }

    fn judge_bulk(&self, actor: u64, op: &chat::message::MessagesDelete) -> Result<Want, Refused> {
        let (channel, have) = self.access(actor, op.channel_id.0)?;
        if channel.server.is_some() {
            require(have, MESSAGES_MANAGE)?;
            self.unless_silenced(actor, channel)?;
        }
        unless(op.message_ids.is_empty(), BAD)?;
        let there: BTreeSet<u64> = op.message_ids.iter().map(|id| id.0).collect();
        let there: Vec<&Message> = there.iter().filter_map(|id| channel.messages.get(id)).collect();
        let others = there.iter().any(|message| message.author != actor);
        unless(channel.server.is_none() && others, FORBIDDEN)?;
        Ok(Want::Count(there.len() as u64))
    }

    fn judge_picture(&self, actor: u64, op: &media::Op) -> Result<Want, Refused> {
        let (old, new) = match op {
            media::Op::AvatarSet(op) => {
                let user = some(self.users.get(&actor), UNKNOWN_TOKEN)?;
                unless(user.state != account::ACTIVE, UNKNOWN_TOKEN)?;
                (user.avatar, &op.picture)
            }
            media::Op::IconSet(op) => {
                let server = self.standing(actor, op.server_id.0)?;
                server.require(actor, SERVER_MANAGE)?;
                (server.icon, &op.picture)
            }
        };
        Ok(Want::Changed(old.is_some() || new.is_some()))
    }

    fn pin_access(&self, actor: u64, channel: ChannelId) -> Result<&Channel, Refused> {
        let (channel, have) = self.access(actor, channel.0)?;
        match channel.server {
            Some(_) => {
                require(have, MESSAGES_MANAGE)?;
                self.unless_silenced(actor, channel)?;
            }
            None => self.reachable(channel, actor)?,
        }
        Ok(channel)
    }

    /// The pause between two texts of one author in a channel with slowmode.
    fn pause(&self, channel: &Channel, actor: u64, have: u64) -> Result<(), Refused> {
        let last = channel.last_post.get(&actor).filter(|_| have & MESSAGES_BYPASS_SLOWMODE == 0);
        unless(last.is_some_and(|last| last + channel.slowmode * 1_000 > self.at), SLOW)
    }

    /// Where a channel goes when it is asked to move; `None` when it stays.
    pub fn moved(&self, server: u64, channel: &Channel, wanted: Option<u64>) -> Option<u64> {
        let wanted = wanted.filter(|&wanted| wanted != channel.position)?;
        let position = wanted.min(self.channels_of(server).count() as u64 - 1);
        (position != channel.position).then_some(position)
    }
}
