//! What becomes of a command that was accepted.

use std::collections::BTreeMap;

use plexichat::domain::permission::{self, *};
use plexichat::domain::{Op, Reply, chat, community, housekeeping, identity, media, social};
use plexichat::id::{ChannelId, MessageId, UserId};
use plexichat::store::Read;
use plexichat::store::records::{Grant, account, channel_kind, dm_policy, mail_kind, relation};
use plexichat::store::tables::SERVERS;

use super::features::Features;
use super::model::*;

impl Model {
    /// Makes the change of a command that was answered with `reply`.
    pub fn take(&mut self, actor: u64, op: &Op, reply: &Reply, read: Read<'_>) {
        self.change(actor, op, reply, read);
        self.note_mails(read);
    }

    fn change(&mut self, actor: u64, op: &Op, reply: &Reply, read: Read<'_>) {
        let at = self.at;
        if let Op::Identity(op) = op
            && (self.take_second_factor(actor, op, reply)
                || self.take_bot(actor, op, reply)
                || self.take_features(op)
                || self.take_mail(op)
                || self.take_elsewhere(op, reply)
                || self.take_passkey(actor, op, reply))
        {
            return;
        }
        if let Op::Chat(op) = op
            && self.take_poll(actor, op, reply, read)
        {
            return;
        }
        // What an administrator tried in vain stands in his log nonetheless.
        let leaves_something = matches!(op, Op::Identity(identity::Op::LoginFailed(_)) | Op::Admin(_));
        if *reply == Reply::Changed(false) && !leaves_something {
            return;
        }
        if let Op::Community(op) = op
            && self.take_place(op)
        {
            return;
        }
        match op {
            Op::Identity(identity::Op::Register(op)) => {
                let Reply::Account(user_id, _) = reply else { unreachable!() };
                let user = User {
                    name: op.username.clone(),
                    email: op.email.address.clone(),
                    verified: true,
                    phc: op.phc.0.clone(),
                    dm_policy: dm_policy::EVERYONE,
                    features: Features { tier: op.tier, until: None, badges: op.badges.clone() },
                    ..User::default()
                };
                self.users.insert(user_id.0, user);
                self.enter(reply, &op.entry);
            }
            Op::Identity(identity::Op::ProfileEdit(op)) => {
                let user = self.user(actor);
                user.renaming &= op.username.as_ref().is_none_or(|name| *name == user.name);
                user.name = op.username.clone().unwrap_or(std::mem::take(&mut user.name));
                if let Some(email) = &op.email {
                    self.move_to(actor, &email.address, op.confirmation.is_some());
                }
                if let Some(new) = op.confirmation.as_ref().filter(|_| !self.users[&actor].verified) {
                    self.send_token(actor, mail_kind::EMAIL_CONFIRMATION, new);
                }
                let user = self.user(actor);
                if op.verified.is_some() {
                    (user.failures, user.locked_until) = (0, 0);
                }
                if let Some(change) = &op.password {
                    user.phc.clone_from(&change.phc.0);
                    user.tokens.retain(|id, _| *id == change.token_id.0);
                    self.challenges.retain(|_, found| !found.is_of(actor));
                    self.void(actor, mail_kind::PASSWORD_RESET);
                    self.tell(actor, mail_kind::PASSWORD_CHANGED);
                }
            }
            Op::Identity(identity::Op::AccountDelete(op)) => {
                let (user, due) = (self.user(actor), at + op.grace_ms);
                (user.state, user.deletion_at) = (account::FROZEN, due);
                user.tokens.clear();
                self.void(actor, mail_kind::PASSWORD_RESET);
                self.void(actor, mail_kind::EMAIL_CONFIRMATION);
                self.tell(actor, mail_kind::DELETION_SCHEDULED);
                self.schedule_reminders(actor, due, &op.reminders_ms, op.grace_ms);
            }
            Op::Identity(identity::Op::LoginFailed(op)) => {
                if let Some(name) = op.name {
                    let (failures, locked_until) = self.login_name(name);
                    if locked_until <= at {
                        let failures = if locked_until != 0 { 1 } else { failures + 1 };
                        let locked = u64::from(failures) >= op.failures_max;
                        let until = at + op.lockout_ms;
                        self.login_names.insert(name, (failures, if locked { until } else { 0 }, until));
                    }
                }
                let Some(user) = self.users.get_mut(&op.user_id.0) else { return };
                if user.state == account::PURGED || user.locked_until > at || user.owner.is_some() {
                    return;
                }
                user.failures = if user.locked_until != 0 { 1 } else { user.failures + 1 };
                let locked = u64::from(user.failures) >= op.failures_max;
                user.locked_until = if locked { at + op.lockout_ms } else { 0 };
            }
            Op::Identity(identity::Op::TokenCreate(op)) => {
                let Reply::Token(user_id, token_id) = reply else { unreachable!() };
                assert_eq!(*user_id, op.user_id);
                self.login_names.remove(&op.name);
                let user = self.user(op.user_id.0);
                (user.failures, user.locked_until) = (0, 0);
                self.grant(user_id.0, token_id.0, &op.token);
            }
            Op::Identity(identity::Op::TokenTouch(op)) => {
                let token = self.user(actor).tokens.get_mut(&op.token_id.0).unwrap();
                if token.expires_at - at < op.threshold_ms {
                    token.expires_at = token.expires_at.max(at + op.life_ms);
                }
                token.last_activity = at;
            }
            Op::Identity(identity::Op::TokenRevoke(op)) => {
                self.user(actor).tokens.remove(&op.token_id.0);
            }
            Op::Identity(identity::Op::TokenRevokeAll(op)) => {
                let except = op.except.map(|id| id.0);
                self.user(actor).tokens.retain(|id, _| Some(*id) == except);
            }
            Op::Social(social::Op::SettingsPut(op)) => {
                self.user(actor).settings.extend(op.entries.iter().cloned())
            }
            Op::Social(social::Op::SettingDelete(op)) => drop(self.user(actor).settings.remove(&op.key)),
            Op::Social(social::Op::MessagingEdit(op)) => {
                let user = self.user(actor);
                user.dm_policy = op.allow_dms_from.unwrap_or(user.dm_policy);
            }
            Op::Social(social::Op::FriendRequest(op)) => {
                let other = op.user_id.0;
                let kinds = match self.relations.get(&(actor, other)) {
                    Some(_) => (relation::FRIEND, relation::FRIEND),
                    None => (relation::PENDING_OUTGOING, relation::PENDING_INCOMING),
                };
                self.relations.insert((actor, other), kinds.0);
                self.relations.insert((other, actor), kinds.1);
            }
            Op::Social(social::Op::FriendAccept(op)) => {
                self.relations.insert((actor, op.user_id.0), relation::FRIEND);
                self.relations.insert((op.user_id.0, actor), relation::FRIEND);
            }
            Op::Social(social::Op::RelationshipRemove(op)) => {
                let kind = self.relations.remove(&(actor, op.user_id.0));
                if kind != Some(relation::BLOCKED) {
                    self.relations.remove(&(op.user_id.0, actor));
                }
            }
            Op::Social(social::Op::Block(op)) => {
                let facing = (op.user_id.0, actor);
                if self.relations.get(&facing) != Some(&relation::BLOCKED) {
                    self.relations.remove(&facing);
                }
                self.relations.insert((actor, op.user_id.0), relation::BLOCKED);
            }
            Op::Social(social::Op::PresenceSet(op)) => {
                let presence = &mut self.user(actor).presence;
                presence.0 = op.status.unwrap_or(presence.0);
                presence.1 = op.custom_status.clone().unwrap_or(presence.1.take());
                presence.2 = op.custom_emoji.clone().unwrap_or(presence.2.take());
                presence.3 = if op.by_rest { at } else { presence.3 };
            }
            Op::Social(social::Op::DmOpen(op)) => {
                self.open(reply, channel_kind::DM, actor, op.recipient_id.0);
            }
            Op::Social(social::Op::NotesOpen(_)) => self.open(reply, channel_kind::NOTES, actor, actor),
            Op::Social(op) => self.take_group(actor, op, reply),
            Op::Community(community::Op::ServerCreate(op)) => {
                let Reply::Server(server_id) = reply else { unreachable!() };
                let record = read.get(SERVERS, *server_id).expect("the server that was just made");
                let everyone = record.everyone_role_id.0.to_native();
                let general = record.default_channel_id.as_ref().map(|id| id.0.to_native());
                let names = permission::NAMES.iter().enumerate();
                let given = names.filter(|(bit, _)| EVERYONE_DEFAULT >> bit & 1 != 0);
                let permissions =
                    given.map(|(_, name)| Grant { name: name.to_string(), allowed: true }).collect();
                let role = Role { name: "@everyone".into(), permissions, ..Role::default() };
                let server = Server {
                    name: op.name.clone(),
                    description: op.description.clone(),
                    owner: actor,
                    everyone,
                    default_channel: general,
                    roles: BTreeMap::from([(everyone, role)]),
                    members: BTreeMap::from([(actor, Member::default())]),
                    at,
                    ..Server::default()
                };
                self.servers.insert(server_id.0, server);
                let channel = Channel {
                    server: Some(server_id.0),
                    kind: channel_kind::TEXT,
                    name: "general".into(),
                    ..Channel::default()
                };
                self.channels.insert(general.expect("a new server has a channel"), channel);
            }
            Op::Community(community::Op::ServerEdit(op)) => {
                let server = self.server(op.server_id.0);
                server.name = op.name.clone().unwrap_or(std::mem::take(&mut server.name));
                server.description = op.description.clone().or(server.description.take());
                server.default_channel = op.default_channel_id.map(|id| id.0).or(server.default_channel);
            }
            Op::Community(community::Op::ServerDelete(op)) => self.remove_server(op.server_id.0),
            Op::Community(community::Op::MemberLeave(op)) => {
                drop(self.server(op.server_id.0).members.remove(&actor))
            }
            Op::Community(community::Op::MemberKick(op)) => {
                drop(self.server(op.server_id.0).members.remove(&op.user_id.0))
            }
            Op::Community(community::Op::MemberExpire(op)) => {
                drop(self.server(op.server_id.0).members.remove(&op.user_id.0))
            }
            Op::Community(community::Op::MemberRoleAdd(op)) => {
                let members = &mut self.server(op.server_id.0).members;
                members.get_mut(&op.user_id.0).unwrap().roles.insert(op.role_id.0);
            }
            Op::Community(community::Op::MemberRoleRemove(op)) => {
                let members = &mut self.server(op.server_id.0).members;
                members.get_mut(&op.user_id.0).unwrap().roles.remove(&op.role_id.0);
            }
            Op::Community(community::Op::RoleCreate(op)) => {
                let Reply::Role(role_id) = reply else { unreachable!() };
                let server = self.server(op.server_id.0);
                // Under his own highest role: he is moved up. The owner stands above all.
                let index = (server.top(actor).saturating_sub(1)).min(server.order.len() as u64) as usize;
                server.order.insert(index, role_id.0);
                let role = Role {
                    name: op.name.clone(),
                    color: op.color.clone(),
                    permissions: op.permissions.clone(),
                    hoist: op.hoist,
                    mentionable: op.mentionable,
                };
                server.roles.insert(role_id.0, role);
            }
            Op::Community(community::Op::RoleEdit(op)) => {
                let server = self.server(op.server_id.0);
                let role = server.roles.get_mut(&op.role_id.0).unwrap();
                *role = edited(role, op);
                if let Some(position) = op.position
                    && op.role_id.0 != server.everyone
                {
                    let index = position.clamp(1, server.order.len() as u64) as usize - 1;
                    server.order.retain(|id| *id != op.role_id.0);
                    server.order.insert(index, op.role_id.0);
                }
            }
            Op::Community(community::Op::RoleDelete(op)) => {
                let server = self.server(op.server_id.0);
                server.roles.remove(&op.role_id.0);
                server.order.retain(|id| *id != op.role_id.0);
                for member in server.members.values_mut() {
                    member.roles.remove(&op.role_id.0);
                }
                let of_server = Some(op.server_id.0);
                for channel in self.channels.values_mut().filter(|channel| channel.server == of_server) {
                    channel.overrides.remove(&(0, op.role_id.0));
                }
            }
            Op::Community(community::Op::BanCreate(op)) => {
                let server = self.server(op.server_id.0);
                server.bans.insert(op.user_id.0);
                server.members.remove(&op.user_id.0);
                let days_ms = op.delete_message_days.saturating_mul(86_400_000);
                let since_ms = self.unix_ms.saturating_sub(days_ms);
                if op.delete_message_days != 0 {
                    self.remove_messages(op.server_id.0, op.user_id.0, 0, since_ms);
                }
            }
            Op::Community(community::Op::BanDelete(op)) => {
                self.server(op.server_id.0).bans.remove(&op.user_id.0);
            }
            Op::Community(community::Op::BanMessagesDelete(op)) => {
                if let Some(first) = op.after.0.checked_add(1) {
                    self.remove_messages(op.server_id.0, op.user_id.0, first, op.since_ms);
                }
            }
            Op::Community(community::Op::ChannelCreate(op)) => {
                let Reply::Channel(channel_id) = reply else { unreachable!() };
                let last = self.channels_of(op.server_id.0).map(|(_, channel)| channel.position).max();
                let channel = Channel {
                    server: Some(op.server_id.0),
                    kind: op.kind,
                    name: op.name.clone(),
                    topic: op.topic.clone(),
                    position: last.map_or(0, |last| last + 1),
                    category: op.category_id.map(|id| id.0),
                    slowmode: op.slowmode_seconds,
                    ..Channel::default()
                };
                self.channels.insert(channel_id.0, channel);
            }
            Op::Community(community::Op::ChannelEdit(op)) => {
                let server = self.channels[&op.channel_id.0].server.unwrap();
                let moved = self.moved(server, &self.channels[&op.channel_id.0], op.position);
                let channel = self.channel(op.channel_id);
                channel.name = op.name.clone().unwrap_or(std::mem::take(&mut channel.name));
                channel.topic = op.topic.clone().or(channel.topic.take());
                channel.slowmode = op.slowmode_seconds.unwrap_or(channel.slowmode);
                if let Some(position) = moved {
                    let mut order = self.channel_order(server);
                    order.retain(|id| *id != op.channel_id.0);
                    order.insert(position as usize, op.channel_id.0);
                    for (position, id) in order.into_iter().enumerate() {
                        self.channel(ChannelId(id)).position = position as u64;
                    }
                }
            }
            Op::Community(community::Op::ChannelDelete(op)) => {
                let gone = self.channels.remove(&op.channel_id.0).unwrap();
                self.invites.retain(|_, invite| invite.channel != op.channel_id.0);
                self.remove_homeless_webhooks();
                for channel in self.channels.values_mut().filter(|c| c.category == Some(op.channel_id.0)) {
                    channel.category = None;
                }
                for (position, id) in self.channel_order(gone.server.unwrap()).into_iter().enumerate() {
                    self.channel(ChannelId(id)).position = position as u64;
                }
                let server = self.server(gone.server.unwrap());
                server.default_channel = server.default_channel.filter(|id| *id != op.channel_id.0);
            }
            Op::Community(community::Op::InviteCreate(op)) => {
                let channel = op.channel_id.0;
                let invite = Invite {
                    server: self.channels[&channel].server.unwrap(),
                    channel,
                    inviter: actor,
                    uses: 0,
                    max_uses: op.max_uses,
                    expires_at: (op.max_age != 0).then(|| at + op.max_age * 1_000),
                    temporary: op.temporary,
                };
                self.invites.insert(op.code.clone(), invite);
            }
            Op::Community(community::Op::InviteUse(op)) => {
                let invite = self.invites.get_mut(&op.code).unwrap();
                invite.uses += 1;
                let (server, temporary) = (invite.server, invite.temporary);
                self.server(server).members.insert(actor, Member { temporary, ..Member::default() });
            }
            Op::Community(community::Op::InviteDelete(op)) => drop(self.invites.remove(&op.code)),
            Op::Chat(chat::Op::MessageCreate(op)) => {
                let Reply::Message(channel_id, message_id) = reply else { unreachable!() };
                assert_eq!(*channel_id, op.channel_id);
                self.take_text(actor, op, *message_id);
            }
            Op::Chat(chat::Op::FilesPost(op)) => {
                let Reply::Message(channel_id, message_id) = reply else { unreachable!() };
                self.take_text(actor, &op.message, *message_id);
                self.take_files(actor, op, *message_id);
                if let Some(poll) = &op.poll {
                    self.ask(actor, (*channel_id, *message_id), poll, read);
                }
            }
            Op::Chat(chat::Op::NotificationRead(op)) => self.read_notification(actor, op.message_id.0),
            Op::Chat(chat::Op::NotificationsRead(_)) => self.read_notifications(actor),
            Op::Chat(chat::Op::MessageEdit(op)) => {
                let slowed = self.is_slowed(actor, op.channel_id);
                let channel = self.channel(op.channel_id);
                channel.messages.get_mut(&op.message_id.0).unwrap().content.clone_from(&op.content);
                if slowed {
                    channel.last_post.insert(actor, at);
                }
            }
            Op::Chat(chat::Op::MessageDelete(op)) => self.remove_message(op.channel_id.0, op.message_id.0),
            Op::Chat(chat::Op::MessagesDelete(op)) => {
                op.message_ids.iter().for_each(|id| self.remove_message(op.channel_id.0, id.0))
            }
            Op::Chat(chat::Op::ReactionsClear(op)) => {
                let message = self.channel(op.channel_id).messages.get_mut(&op.message_id.0).unwrap();
                message.reactions.retain(|(emoji, _)| op.emoji.as_ref().is_some_and(|it| it != emoji));
            }
            Op::Chat(chat::Op::ReactionAdd(op)) => {
                let message = self.channel(op.channel_id).messages.get_mut(&op.message_id.0).unwrap();
                match message.reactions.iter_mut().find(|(emoji, _)| *emoji == op.emoji) {
                    Some((_, users)) => users.push(actor),
                    None => message.reactions.push((op.emoji.clone(), vec![actor])),
                }
            }
            Op::Chat(chat::Op::ReactionRemove(op)) => {
                let message = self.channel(op.channel_id).messages.get_mut(&op.message_id.0).unwrap();
                let own = message.reactions.iter_mut().find(|(emoji, _)| *emoji == op.emoji).unwrap();
                own.1.retain(|user| *user != actor);
                message.reactions.retain(|(_, users)| !users.is_empty());
            }
            Op::Chat(chat::Op::MessagePin(op)) => self.channel(op.channel_id).pins.push(op.message_id.0),
            Op::Chat(chat::Op::MessageUnpin(op)) => {
                self.channel(op.channel_id).pins.retain(|id| *id != op.message_id.0)
            }
            Op::Chat(chat::Op::ChannelAck(op)) => {
                self.mark(actor, op.channel_id, op.message_id.map(|id| id.0))
            }
            Op::Chat(chat::Op::ChannelsAck(op)) => {
                for (channel_id, message_id) in &op.marks {
                    self.mark(actor, *channel_id, message_id.map(|id| id.0));
                }
            }
            Op::Media(media::Op::AvatarSet(op)) => {
                self.user(actor).avatar = op.picture.as_ref().map(|picture| picture.hash[0]);
            }
            Op::Media(media::Op::IconSet(op)) => {
                self.server(op.server_id.0).icon = op.picture.as_ref().map(|picture| picture.hash[0]);
            }
            Op::Files(op) => self.take_upload(actor, op, reply),
            Op::Hooks(op) => self.take_webhook(actor, op, reply),
            Op::Contact(op) => self.take_contact(actor, op, reply),
            Op::Gate(op) => self.take_gate(op, reply),
            Op::Admin(op) => self.take_admin(op, reply),
            Op::Expression(op) => self.take_expression(op, reply),
            Op::Moderation(op) => self.take_automod(actor, op, reply, read),
            Op::Housekeeping(housekeeping::Op::Sweep(_)) => {
                self.remind(read);
                self.purge_due();
                self.expire_violations(read);
                self.expire_telemetry(read);
                self.expire_uploads(read);
            }
            Op::Housekeeping(housekeeping::Op::OutboxStep(_)) => self.carry_out_requests(read),
            #[allow(unreachable_patterns, reason = "see judge")]
            _ => {}
        }
    }

    pub fn take_text(&mut self, actor: u64, op: &chat::message::MessageCreate, message_id: MessageId) {
        let slowed = self.is_slowed(actor, op.channel_id);
        let (at, created_at) = (self.at, self.unix_ms);
        let channel = self.channel(op.channel_id);
        let message = Message {
            created_at,
            author: actor,
            content: op.content.clone(),
            embeds: !op.embeds.is_empty(),
            ..Message::default()
        };
        channel.messages.insert(message_id.0, message);
        if slowed {
            channel.last_post.insert(actor, at);
        }
        self.notify(actor, op.channel_id.0, message_id.0, &op.content);
    }

    pub fn user(&mut self, id: u64) -> &mut User {
        self.users.get_mut(&id).expect("judge found the user")
    }

    pub fn server(&mut self, id: u64) -> &mut Server {
        self.servers.get_mut(&id).expect("judge found the server")
    }

    fn channel(&mut self, id: ChannelId) -> &mut Channel {
        self.channels.get_mut(&id.0).expect("judge found the channel")
    }

    /// Whether he has to pause between two texts there.
    fn is_slowed(&self, actor: u64, channel: ChannelId) -> bool {
        let (channel, have) = self.access(actor, channel.0).expect("judge found the channel");
        channel.slowmode != 0 && have & MESSAGES_BYPASS_SLOWMODE == 0
    }

    pub fn grant(&mut self, user: u64, token: u64, new: &plexichat::domain::identity::token::NewToken) {
        let at = self.at;
        let tokens = &mut self.user(user).tokens;
        tokens.retain(|_, token| token.expires_at > at);
        while tokens.len() as u64 >= new.count_max.max(1) {
            let (_, oldest) = tokens.iter().map(|(id, token)| (token.last_activity, *id)).min().unwrap();
            tokens.remove(&oldest);
        }
        tokens.insert(token, Token { expires_at: at + new.life_ms, last_activity: at });
        self.sign_in(user, &new.ip_address);
    }

    fn move_to(&mut self, user: u64, address: &str, is_to_be_confirmed: bool) {
        if self.users[&user].email.to_lowercase() != address.to_lowercase() {
            self.tell(user, mail_kind::EMAIL_CHANGED);
            self.void(user, mail_kind::PASSWORD_RESET);
            self.void(user, mail_kind::EMAIL_CONFIRMATION);
            self.user(user).verified = !is_to_be_confirmed;
        }
        self.user(user).email = address.into();
    }

    fn open(&mut self, reply: &Reply, kind: u8, a: u64, b: u64) {
        let Reply::Channel(channel_id) = reply else { unreachable!() };
        let participants = if a == b { vec![a] } else { vec![a, b] };
        self.pairs.insert(pair(a, b), channel_id.0);
        self.channels.entry(channel_id.0).or_insert(Channel { kind, participants, ..Channel::default() });
    }

    fn mark(&mut self, actor: u64, channel: ChannelId, message: Option<u64>) {
        if let Ok(Some((target, _))) = self.ack(actor, channel.0, message) {
            self.channel(channel).marks.insert(actor, target);
        }
    }

    pub fn remove_message(&mut self, channel: u64, message: u64) {
        let channel = self.channel(ChannelId(channel));
        channel.messages.remove(&message);
        channel.pins.retain(|id| *id != message);
    }

    fn remove_messages(&mut self, server: u64, author: u64, first: u64, since_ms: u64) {
        let stays = |id: u64, message: &Message| {
            id < first || message.author != author || message.created_at < since_ms
        };
        for channel in self.channels.values_mut().filter(|channel| channel.server == Some(server)) {
            channel.messages.retain(|id, message| stays(*id, message));
            let messages = &channel.messages;
            channel.pins.retain(|id| messages.contains_key(id));
        }
    }

    fn remove_server(&mut self, server: u64) {
        self.servers.remove(&server);
        self.channels.retain(|_, channel| channel.server != Some(server));
        self.invites.retain(|_, invite| invite.server != server);
        self.remove_homeless_webhooks();
        self.remove_homeless_expressions();
    }

    /// What is left of accounts whose grace has run out.
    fn purge_due(&mut self) {
        let at = self.at;
        let due =
            self.users.iter().filter(|(_, user)| user.state == account::FROZEN && user.deletion_at <= at);
        let due: Vec<u64> = due.map(|(id, _)| *id).collect();
        for &id in &due {
            self.end_bots(id);
            let servers: Vec<u64> = self.servers_of(id).collect();
            for server in servers {
                if self.servers[&server].owner == id {
                    self.remove_server(server);
                } else {
                    self.server(server).members.remove(&id);
                }
            }
            self.leave_groups(id);
            // What others hold against him without an answer stays theirs: blocks.
            let others: Vec<u64> = self.relations.keys().filter(|(a, _)| *a == id).map(|(_, b)| *b).collect();
            for other in others {
                self.relations.remove(&(id, other));
                self.relations.remove(&(other, id));
            }
            for channel in self.channels.values_mut() {
                channel.marks.remove(&id);
            }
            if let Some(notes) = self.pairs.remove(&(id, id)) {
                self.channels.remove(&notes);
            }
            self.notifications.retain(|(user, _), _| *user != id);
            self.forget_post(id);
            self.forget_elsewhere(id);
            self.forget_passkeys(id);
            self.forget_counts(id);
            self.forget_waiting_reports(id);
            self.custody.silenced.remove(&id);
            let name = format!("deleted_{}", UserId(id));
            self.users.insert(id, User { name, state: account::PURGED, ..User::default() });
        }
        if !due.is_empty() {
            self.purge_due();
        }
    }
}
