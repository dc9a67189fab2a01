//! Random commands: mostly such that could succeed, some that cannot.

use plexichat::domain::identity::credential::Secret;
use plexichat::domain::identity::token::NewToken;
use plexichat::domain::permission::NAMES;
use plexichat::domain::{Command, Op, Revocation};
use plexichat::domain::{chat::*, community::*, housekeeping::*, identity::*, media::*, social::*};
use plexichat::id::*;
use plexichat::store::records::{
    Grant, Picture, account as state, badge, channel_kind, dm_policy, picture as format, status, tier,
};

use super::model::{Channel, Model, Server};

pub const USERS_MAX: usize = 14;
const SERVERS_MAX: usize = 8;
const EMOJI: [&str; 5] = ["👍", "❤\u{fe0f}", "🎉", "👀", "🚀"];
const WORDS: [&str; 8] = ["red", "green", "blue", "Ümlaut", "tea", "stone", "river", "x"];
/// Grants that roles are made of; the first ones often.
const GRANTS: [&str; 14] = [
    "messages.manage",
    "roles.manage",
    "channels.manage",
    "members.kick",
    "members.ban",
    "members.manage_roles",
    "server.manage",
    "invites.manage",
    "messages.bypass_slowmode",
    "messages.*",
    "*",
    "administrator",
    "no.such",
    "chan*",
];

pub struct Generator<'r> {
    pub random: &'r mut fastrand::Rng,
    pub count: u64,
}

impl Generator<'_> {
    pub fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    pub fn maybe<T>(&mut self, percent: u32, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| make(self))
    }

    pub fn junk(&mut self) -> u64 {
        [0, 1, u64::MAX, u64::MAX - 1, self.random.u64(..)][self.random.usize(..5)]
    }

    pub fn pick<T>(&mut self, items: impl Iterator<Item = T>) -> Option<T> {
        let items: Vec<T> = items.collect();
        let index = self.random.usize(..items.len().max(1));
        items.into_iter().nth(index)
    }

    /// One of the ids; now and then, or when there is none, something else.
    pub fn id(&mut self, ids: impl Iterator<Item = u64>) -> u64 {
        if self.chance(3) {
            return self.junk();
        }
        self.pick(ids).unwrap_or(0)
    }

    pub fn text(&mut self) -> String {
        let count = self.random.usize(..4);
        (0..count).map(|_| WORDS[self.random.usize(..WORDS.len())]).collect::<Vec<_>>().join(" ")
    }

    /// A text that may mention somebody.
    pub fn addressed(&mut self, model: &Model, channel: Option<&Channel>) -> String {
        let text = self.text();
        if self.chance(60) {
            return text;
        }
        let server = channel.and_then(|channel| model.servers.get(&channel.server?));
        let mut words = vec![text];
        for _ in 0..self.random.usize(1..4) {
            let role = server.map(|server| self.id(server.roles.keys().copied()));
            words.push(match self.random.u8(..10) {
                0 => "@everyone".to_string(),
                1..=3 if role.is_some() => format!("<@&{}>", role.unwrap_or_default()),
                _ => format!("<@{}>", self.user(model)),
            });
        }
        words.join(" ")
    }

    pub fn name(&mut self) -> String {
        format!("{}{}", WORDS[self.random.usize(..WORDS.len())], self.random.u32(..20))
    }

    pub fn email(&mut self) -> account::Email {
        let name = self.name();
        let address = if self.chance(30) {
            format!("{}@EXAMPLE.com", name.to_uppercase())
        } else {
            format!("{name}@example.com")
        };
        account::Email { key: address.to_lowercase(), address }
    }

    pub fn username(&mut self) -> String {
        let word = ["Alpha", "beta", "gamma", "delta", "eps"][self.random.usize(..5)];
        format!("{word}{}", self.random.u32(..12))
    }

    /// One of a few, so that several have the same.
    fn picture(&mut self) -> Option<Picture> {
        let hash = [self.random.u8(..6); 32];
        self.maybe(70, |g| Picture { hash, format: format::PNG, animated: g.random.bool() })
    }

    pub fn user(&mut self, model: &Model) -> u64 {
        self.id(model.users.keys().copied())
    }

    /// Somebody who can act: his account is there.
    pub fn actor(&mut self, model: &Model) -> u64 {
        let here = |code: u8| move |user: &(&u64, &super::model::User)| user.1.state == code;
        let frozen = self.chance(4);
        let found = frozen.then(|| self.pick(model.users.iter().filter(here(state::FROZEN)))).flatten();
        let found = found.or_else(|| self.pick(model.users.iter().filter(here(state::ACTIVE))));
        found.map_or(0, |(id, _)| *id)
    }

    /// Mostly a member of the server, often its owner.
    pub fn insider(&mut self, model: &Model, server: Option<&Server>) -> u64 {
        let roll = self.random.u32(..100);
        match server {
            Some(server) if roll < 35 => server.owner,
            Some(server) if roll < 90 => self.pick(server.members.keys().copied()).unwrap_or(0),
            _ => self.actor(model),
        }
    }

    pub fn server(&mut self, model: &Model) -> u64 {
        self.id(model.servers.keys().copied())
    }

    pub fn member(&mut self, model: &Model, server: u64) -> u64 {
        let members = model.servers.get(&server).map(|server| &server.members);
        if self.chance(10) {
            return self.user(model);
        }
        self.id(members.into_iter().flat_map(|members| members.keys().copied()))
    }

    pub fn role(&mut self, model: &Model, server: u64) -> u64 {
        let roles = model.servers.get(&server).map(|server| &server.roles);
        if self.chance(4) {
            let all = model.servers.values().flat_map(|server| server.roles.keys().copied());
            return self.id(all);
        }
        self.id(roles.into_iter().flat_map(|roles| roles.keys().copied()))
    }

    fn channel(&mut self, model: &Model) -> u64 {
        self.id(model.channels.keys().copied())
    }

    /// A channel, and somebody who can probably see it.
    pub fn place(&mut self, model: &Model) -> (u64, u64) {
        let id = if self.chance(70) {
            self.id(model.channels.iter().filter(|(_, c)| c.kind == channel_kind::TEXT).map(|(id, _)| *id))
        } else {
            self.channel(model)
        };
        (self.visitor(model, model.channels.get(&id)), id)
    }

    pub fn visitor(&mut self, model: &Model, channel: Option<&Channel>) -> u64 {
        match channel {
            Some(channel) if channel.server.is_none() && self.chance(90) => {
                let alive = |id: &&u64| model.existing(**id).is_ok();
                self.pick(channel.participants.iter().filter(alive)).copied().unwrap_or(0)
            }
            Some(Channel { server: Some(server), .. }) => self.insider(model, model.servers.get(server)),
            _ => self.actor(model),
        }
    }

    /// A channel, a message of it, and somebody who can probably see it.
    pub fn spot(&mut self, model: &Model) -> (u64, ChannelId, MessageId) {
        let with_messages = model.channels.iter().filter(|(_, channel)| !channel.messages.is_empty());
        let channel = self.id(with_messages.map(|(id, _)| *id));
        let found = model.channels.get(&channel);
        let message = self.id(found.into_iter().flat_map(|channel| channel.messages.keys().copied()));
        let author = found.and_then(|channel| channel.messages.get(&message)).map(|message| message.author);
        let author = author.filter(|id| model.existing(*id).is_ok() && self.random.u32(..3) == 0);
        let actor = author.unwrap_or_else(|| self.visitor(model, found));
        (actor, ChannelId(channel), MessageId(message))
    }

    fn grants(&mut self) -> Vec<Grant> {
        let mut grants: Vec<Grant> = Vec::new();
        for _ in 0..self.random.usize(..5) {
            let name = match self.chance(60) {
                true => GRANTS[self.random.usize(..GRANTS.len())],
                false => NAMES[self.random.usize(..NAMES.len())],
            };
            if grants.iter().all(|grant| grant.name != name) {
                grants.push(Grant { name: name.to_string(), allowed: self.chance(85) });
            }
        }
        grants
    }

    pub fn token(&mut self) -> NewToken {
        NewToken {
            secret_hash: Secret([self.random.u8(..); 32]),
            ip_address: format!("192.0.2.{}", if self.chance(80) { 1 } else { self.random.u8(1..40) }),
            user_agent: self.maybe(50, |g| g.text()),
            life_ms: [60_000, 3_600_000, 86_400_000 * 7][self.random.usize(..3)],
            count_max: self.random.u64(..6),
        }
    }

    pub fn phc(&mut self, model: &Model, user: u64) -> String {
        let person = model.users.get(&user).filter(|user| user.owner.is_none());
        let real = person.filter(|_| self.random.u32(..5) != 0);
        real.map_or("wrong".into(), |user| user.phc.clone())
    }

    fn invite(&mut self, model: &Model) -> String {
        if self.chance(4) {
            return ["", "none", &"x".repeat(600)][self.random.usize(..3)].to_string();
        }
        self.pick(model.invites.keys().cloned()).unwrap_or_default()
    }

    /// Who asks for what.
    pub fn command(&mut self, model: &Model) -> Command {
        self.count += 1;
        let active = model.users.values().filter(|user| user.state == state::ACTIVE).count();
        let few_users = active < 4 || (active < USERS_MAX && self.chance(4));
        let roll = if few_users { 0 } else { self.random.u32(1..100) };
        let (actor, op) = match roll {
            1..30 if self.chance(20) => self.second_factor_command(model),
            1..30 if self.chance(12) => self.bot_command(model),
            1..30 if self.chance(12) => self.group_command(model),
            1..30 if self.chance(6) => self.feature_command(model),
            1..30 if self.chance(20) => self.mail_command(model),
            1..30 if self.chance(6) => self.gate_command(model),
            1..30 if self.chance(12) => self.admin_command(model),
            1..30 if self.chance(22) => self.custody_command(model),
            1..30 if self.chance(12) => self.elsewhere_command(model),
            1..30 if self.chance(18) => self.passkey_command(model),
            30..60 if self.chance(20) => self.automod_command(model),
            0..30 => self.account_command(model, roll),
            30..60 if self.chance(12) => self.webhook_command(model),
            30..60 if self.chance(6) => self.contact_command(model),
            30..60 if self.chance(12) => self.place_command(model),
            30..60 if self.chance(15) => self.expression_command(model),
            30..60 if self.chance(15) => self.upload_command(model),
            30..60 => self.server_command(model, roll),
            60.. if self.chance(10) => self.poll_command(model),
            _ => self.message_command(model, roll),
        };
        Command::new(UserId(actor), op)
    }

    pub fn system(&mut self, model: &Model) -> u64 {
        if self.chance(10) { self.actor(model) } else { 0 }
    }

    fn account_command(&mut self, model: &Model, roll: u32) -> (u64, Op) {
        let actor = self.actor(model);
        let other = self.user(model);
        let user_id = UserId(other);
        let op: Op = match roll {
            0 => {
                let op = account::Register {
                    username: self.username(),
                    email: Box::new(self.email()),
                    phc: Secret(format!("phc{}", self.count)),
                    age_verified: self.random.bool(),
                    tier: tier::STANDARD,
                    badges: if self.random.bool() { vec![badge::STAFF] } else { Vec::new() },
                    entry: match self.chance(70) {
                        true => account::Entry::Session(self.token()),
                        false => account::Entry::Confirmation(self.mail_token()),
                    },
                };
                return (self.system(model), op.into());
            }
            2 if self.chance(40) => {
                // Somebody who is gone, if there is one.
                let gone = model.users.iter().filter(|(_, user)| user.state != state::ACTIVE);
                let gone = self.pick(gone.map(|(id, _)| *id)).unwrap_or(other);
                let who = if self.chance(20) { gone } else { actor };
                return (who, picture::AvatarSet { picture: self.picture() }.into());
            }
            1 | 2 => {
                let verified = self.phc(model, actor);
                let phc = format!("phc{}", self.count);
                let own = model.users.get(&actor).map_or(Vec::new(), |u| u.tokens.keys().copied().collect());
                let token_id = TokenId(self.id(own.into_iter()));
                account::ProfileEdit {
                    username: self.maybe(60, |g| g.username()),
                    email: self.maybe(30, |g| g.email()),
                    password: self.maybe(30, |_| account::PasswordChange { phc: Secret(phc), token_id }),
                    verified: self.maybe(60, |_| Secret(verified)),
                    confirmation: self.maybe(40, |g| Box::new(g.mail_token())),
                }
                .into()
            }
            3 if self.random.u32(..3) == 0 => account::AccountDelete {
                phc: Secret(self.phc(model, actor)),
                grace_ms: self.random.u64(..86_400_000 * 14),
                reminders_ms: (0..self.random.usize(..3))
                    .map(|_| self.random.u64(1..86_400_000 * 8))
                    .collect(),
            }
            .into(),
            3 | 4 => {
                let name = self.maybe(70, |g| g.random.u64(..8));
                let lockout_ms = self.random.u64(..90_000);
                let op = account::LoginFailed { user_id, name, failures_max: 3, lockout_ms };
                return (self.system(model), op.into());
            }
            5 | 6 => {
                let (name, phc) = (self.random.u64(..8), Secret(self.phc(model, other)));
                let op = token::TokenCreate { user_id, name, phc, token: self.token() };
                return (self.system(model), op.into());
            }
            7..=10 => {
                let own: Vec<u64> =
                    model.users.get(&actor).map_or(Vec::new(), |u| u.tokens.keys().copied().collect());
                let token_id = TokenId(if self.chance(10) {
                    self.id(model.users.values().flat_map(|user| user.tokens.keys().copied()))
                } else {
                    self.id(own.into_iter())
                });
                match roll {
                    7 | 8 => token::TokenTouch {
                        token_id,
                        life_ms: 3_600_000,
                        threshold_ms: [0, 600_000][self.random.usize(..2)],
                    }
                    .into(),
                    9 => {
                        let how =
                            if self.random.bool() { Revocation::LoggedOut } else { Revocation::Security };
                        token::TokenRevoke { token_id, how }.into()
                    }
                    _ => token::TokenRevokeAll { except: self.maybe(70, |_| token_id) }.into(),
                }
            }
            11 | 12 => {
                let count = if self.chance(30) { 110 } else { self.random.usize(1..4) };
                let key = |g: &mut Self| (format!("key{}", g.random.u32(..140)), g.text());
                setting::SettingsPut { entries: (0..count).map(|_| key(self)).collect() }.into()
            }
            13 => {
                let stored = model.users.get(&actor).map(|user| user.settings.keys().cloned());
                let key = self.pick(stored.into_iter().flatten()).filter(|_| self.random.u32(..5) != 0);
                setting::SettingDelete { key: key.unwrap_or("nothing".into()) }.into()
            }
            14 => setting::MessagingEdit {
                allow_dms_from: self.maybe(70, |g| {
                    if g.random.bool() {
                        dm_policy::EVERYONE
                    } else {
                        g.random.u8(dm_policy::FRIENDS..=dm_policy::NONE)
                    }
                }),
                read_receipts_enabled: self.maybe(40, |g| g.random.bool()),
                typing_indicators_enabled: self.maybe(20, |g| g.random.bool()),
                max_message_length: self.maybe(20, |g| g.random.u64(..9_000)),
                ..setting::MessagingEdit::default()
            }
            .into(),
            15..=17 => relationship::FriendRequest { user_id, message: self.maybe(50, |g| g.text()) }.into(),
            18 | 19 => {
                // Those who asked.
                let asked = model.relations.iter().filter(|((of, _), kind)| *of == actor && **kind == 2);
                let user_id = UserId(self.id(asked.map(|((_, to), _)| *to)));
                relationship::FriendAccept { user_id }.into()
            }
            20 => {
                let known = model.relations.keys().filter(|(of, _)| *of == actor).map(|(_, to)| *to);
                relationship::RelationshipRemove { user_id: UserId(self.id(known)) }.into()
            }
            21 => relationship::Block { user_id }.into(),
            22..=24 => presence::PresenceSet {
                status: self.maybe(60, |g| g.random.u8(status::ONLINE..=status::OFFLINE)),
                custom_status: self.maybe(30, |g| g.maybe(70, |g| g.text())),
                custom_emoji: self.maybe(20, |g| g.maybe(70, |_| "👍".to_string())),
                by_rest: self.random.bool(),
            }
            .into(),
            25..=27 => dm::DmOpen { recipient_id: user_id }.into(),
            28 => dm::NotesOpen {}.into(),
            _ if self.chance(10) => {
                let actor = if self.chance(40) { self.actor(model) } else { 0 };
                let mark = self.random.u64(..3);
                let op = match self.chance(50) {
                    true => reseal::Reseal { mark }.into(),
                    false => rewrap::FilesRewrapped { mark, shelf: self.random.u64(..257) }.into(),
                };
                return (actor, op);
            }
            _ if self.chance(50) => {
                let looks_max = [1, 10, 1_000][self.random.usize(..3)];
                let op = outbox::OutboxStep { looks_max, present: None };
                return (self.system(model), op.into());
            }
            _ => {
                let op = sweep::Sweep { records_max: [1, 3, 10, 100, 10_000][self.random.usize(..5)] };
                let actor = if self.chance(15) { self.actor(model) } else { 0 };
                return (actor, op.into());
            }
        };
        (actor, op)
    }

    fn server_command(&mut self, model: &Model, roll: u32) -> (u64, Op) {
        let id = self.server(model);
        let server = model.servers.get(&id);
        let mut actor = self.insider(model, server);
        let server_id = ServerId(id);
        let user_id = UserId(self.member(model, id));
        let role_id = RoleId(self.role(model, id));
        let op: Op = match roll {
            30 | 31 if model.servers.len() < SERVERS_MAX || self.chance(10) => {
                let server_count_max = if self.chance(20) { self.random.u64(..4) } else { 100 };
                let op = server::ServerCreate {
                    name: self.name(),
                    description: self.maybe(50, |g| g.text()),
                    server_count_max,
                };
                return (self.actor(model), op.into());
            }
            32 if self.chance(50) => picture::IconSet { server_id, picture: self.picture() }.into(),
            30..=32 => server::ServerEdit {
                server_id,
                name: self.maybe(40, |g| g.name()),
                description: self.maybe(30, |g| g.text()),
                default_channel_id: self.maybe(30, |g| ChannelId(g.channel(model))),
            }
            .into(),
            33 if self.chance(30) => server::ServerDelete { server_id }.into(),
            33 => member::MemberLeave { server_id }.into(),
            34 => member::MemberKick { server_id, user_id }.into(),
            35 => return (self.system(model), member::MemberExpire { server_id, user_id }.into()),
            36..=38 => member::MemberRoleAdd { server_id, user_id, role_id }.into(),
            39 => member::MemberRoleRemove { server_id, user_id, role_id }.into(),
            40 | 41 => role::RoleCreate {
                server_id,
                name: self.name(),
                color: self.maybe(30, |_| "#112233".to_string()),
                permissions: self.grants(),
                hoist: self.random.bool(),
                mentionable: self.random.bool(),
            }
            .into(),
            42 | 43 => {
                let everyone = server.is_some_and(|server| server.everyone == role_id.0);
                // Without what @everyone had, little happens any more.
                let kept = server
                    .filter(|_| everyone)
                    .map(|server| server.roles[&server.everyone].permissions.clone());
                role::RoleEdit {
                    server_id,
                    role_id,
                    name: self.maybe(20, |g| g.name()),
                    color: self.maybe(10, |_| "#445566".to_string()),
                    permissions: self.maybe(50, |g| {
                        let mut grants = g.grants();
                        if g.random.u32(..8) != 0 {
                            let kept = kept.unwrap_or_default();
                            grants.retain(|grant| kept.iter().all(|kept| kept.name != grant.name));
                            grants.extend(kept);
                        }
                        grants
                    }),
                    hoist: self.maybe(10, |g| g.random.bool()),
                    mentionable: self.maybe(10, |g| g.random.bool()),
                    position: self.maybe(50, |g| if g.chance(5) { g.junk() } else { g.random.u64(..8) }),
                }
                .into()
            }
            44 => role::RoleDelete { server_id, role_id }.into(),
            45 => ban::BanCreate {
                server_id,
                user_id,
                reason: self.maybe(50, |g| g.text()),
                delete_message_days: [0, 1, 7, u64::MAX][self.random.usize(..4)],
            }
            .into(),
            46 | 47 => {
                // Few have banned anybody: as a rule one of them, by its owner.
                let have_banned = model.servers.iter().filter(|(_, server)| !server.bans.is_empty());
                let have_banned = self.pick(have_banned.map(|(id, _)| *id)).filter(|_| self.chance(70));
                let server = have_banned.map_or(server, |id| model.servers.get(&id));
                let server_id = have_banned.map_or(server_id, ServerId);
                if let (Some(_), Some(server)) = (have_banned, server) {
                    actor = server.owner;
                }
                let banned = server.into_iter().flat_map(|server| server.bans.iter().copied());
                let user_id = UserId(self.id(banned));
                match self.chance(60) {
                    true => ban::BanDelete { server_id, user_id }.into(),
                    false => {
                        let after = MessageId(if self.chance(20) { self.junk() } else { 0 });
                        let since_ms = if self.random.bool() { 0 } else { model.unix_ms - 3_600_000 };
                        ban::BanMessagesDelete { server_id, user_id, after, since_ms }.into()
                    }
                }
            }
            48 | 49 => {
                let categories = model.channels.iter().filter(|(_, c)| c.kind == channel_kind::CATEGORY);
                let category_id =
                    self.pick(categories.map(|(id, _)| *id)).filter(|_| self.random.u32(..2) == 0);
                let text = self.random.bool();
                channel::ChannelCreate {
                    server_id,
                    name: self.name(),
                    kind: if text { channel_kind::TEXT } else { self.random.u8(..=channel_kind::STAGE) },
                    topic: self.maybe(30, |g| g.text()),
                    category_id: category_id.or_else(|| self.maybe(3, |g| g.junk())).map(ChannelId),
                    nsfw: self.random.bool(),
                    slowmode_seconds: if self.chance(30) { self.random.u64(1..20) } else { 0 },
                    read_receipts_enabled: self.random.bool(),
                }
                .into()
            }
            50..=52 => {
                let channel = self.channel(model);
                let actor = self.visitor(model, model.channels.get(&channel));
                let channel_id = ChannelId(channel);
                if roll == 52 && self.chance(40) {
                    return (actor, channel::ChannelDelete { channel_id }.into());
                }
                let op = channel::ChannelEdit {
                    channel_id,
                    name: self.maybe(30, |g| g.name()),
                    topic: self.maybe(20, |g| g.text()),
                    position: self.maybe(60, |g| if g.chance(5) { g.junk() } else { g.random.u64(..8) }),
                    nsfw: None,
                    slowmode_seconds: self.maybe(20, |g| g.random.u64(..10)),
                    read_receipts_enabled: None,
                };
                return (actor, op.into());
            }
            53..=55 => {
                let (actor, channel) = self.place(model);
                // A code that is taken by an invite that still works.
                let taken = model
                    .invites
                    .iter()
                    .filter(|(_, invite)| invite.max_uses == 0 && invite.expires_at.is_none());
                let code =
                    self.pick(taken.map(|(code, _)| code.clone())).filter(|_| self.random.u32(..20) == 0);
                let op = invite::InviteCreate {
                    channel_id: ChannelId(channel),
                    code: code.unwrap_or_else(|| format!("code{}-{}", self.random.u32(..), self.count)),
                    max_age: if self.random.bool() { 0 } else { self.random.u64(1..7_200) },
                    max_uses: if self.random.bool() { 0 } else { self.random.u64(1..4) },
                    temporary: self.chance(30),
                };
                return (actor, op.into());
            }
            56..=58 => {
                let server_count_max = if self.chance(5) { self.random.u64(..3) } else { 100 };
                let op = invite::InviteUse { code: self.invite(model), server_count_max };
                return (self.actor(model), op.into());
            }
            _ => invite::InviteDelete { code: self.invite(model) }.into(),
        };
        (actor, op)
    }

    fn message_command(&mut self, model: &Model, roll: u32) -> (u64, Op) {
        let (actor, channel_id, message_id) = self.spot(model);
        let emoji = match self.chance(25) {
            true => self.custom_emoji(model),
            false => EMOJI[self.random.usize(..EMOJI.len())].to_string(),
        };
        let op: Op = match roll {
            60..=74 => {
                let (actor, channel) = self.place(model);
                let embeds = self.chance(10);
                let found = model.channels.get(&channel);
                let reply =
                    self.maybe(20, |g| g.id(found.into_iter().flat_map(|c| c.messages.keys().copied())));
                let op = message::MessageCreate {
                    channel_id: ChannelId(channel),
                    content: self.addressed(model, found),
                    reply_to_id: reply.map(MessageId),
                    embeds: if embeds { "[{\"title\":\"t\"}]".into() } else { String::new() },
                    length_max: if self.chance(10) { self.random.u64(..12) } else { 2_000 },
                };
                return (actor, self.post(model, channel, op));
            }
            75..=77 => {
                let op =
                    message::MessageEdit { channel_id, message_id, content: self.text(), length_max: 14 };
                return (actor, self.text_command(model, channel_id.0, op));
            }
            80 if self.chance(40) => {
                let found = model.channels.get(&channel_id.0);
                let ids: Vec<u64> = found.into_iter().flat_map(|c| c.messages.keys().copied()).collect();
                let count = self.random.usize(..4);
                let message_ids = (0..count).map(|_| MessageId(self.id(ids.iter().copied()))).collect();
                message::MessagesDelete { channel_id, message_ids }.into()
            }
            78..=80 => message::MessageDelete { channel_id, message_id }.into(),
            81..=85 => {
                let kinds_max = if self.chance(20) { self.random.u64(..3) } else { 20 };
                reaction::ReactionAdd { channel_id, message_id, emoji, kinds_max }.into()
            }
            88 if self.chance(60) => {
                let reacted = model.channels.iter().flat_map(|(id, channel)| {
                    let reacted =
                        channel.messages.iter().filter(|(_, message)| !message.reactions.is_empty());
                    reacted.map(move |(message, _)| (*id, *message))
                });
                let spot = self.pick(reacted).filter(|_| self.random.u32(..4) != 0);
                let (channel, message_id) = spot.unwrap_or((channel_id.0, message_id.0));
                let actor = self.visitor(model, model.channels.get(&channel));
                let (channel_id, message_id) = (ChannelId(channel), MessageId(message_id));
                let rows_max = [0, 1, 2, 100][self.random.usize(..4)];
                let emoji = self.maybe(50, |_| emoji);
                return (actor, clearing::ReactionsClear { channel_id, message_id, emoji, rows_max }.into());
            }
            86..=88 => reaction::ReactionRemove { channel_id, message_id, emoji }.into(),
            89..=91 => {
                let pins_max = if self.chance(20) { self.random.u64(..3) } else { 50 };
                pin::MessagePin { channel_id, message_id, pins_max }.into()
            }
            92 => pin::MessageUnpin { channel_id, message_id }.into(),
            93 if self.random.bool() => {
                let own = model.notifications.keys().filter(|(user, _)| *user == actor);
                let message_id = MessageId(self.id(own.map(|(_, message)| *message)));
                notification::NotificationRead { message_id }.into()
            }
            94 if self.chance(20) => notification::NotificationsRead {}.into(),
            93..=97 => {
                read_mark::ChannelAck { channel_id, message_id: self.maybe(70, |_| message_id) }.into()
            }
            _ => {
                let count = self.random.usize(..5);
                let mark = |g: &mut Self| {
                    let (_, channel_id, message_id) = g.spot(model);
                    (channel_id, g.maybe(60, |_| message_id))
                };
                read_mark::ChannelsAck { marks: (0..count).map(|_| mark(self)).collect() }.into()
            }
        };
        (actor, op)
    }
}
