//! A simple model of the state: what the contract says becomes of a command, in plain maps.
//!
//! `judge.rs` says what a command must be answered, `take.rs` makes the change. Neither asks the domain for anything
//! but its tables of names and numbers.

use std::collections::{BTreeMap, BTreeSet};

use super::admin::Admins;
use super::automod::Automod;
use super::contact::Heard;
use super::custody::Custody;
use super::elsewhere::Elsewhere;
use super::expression::Expressions;
use super::features::Features;
use super::gate::Gate;
use super::hashes::Files;
use super::hooks::Webhook;
use super::mail::Post;
use super::notify::Notifications;
use super::passkeys::Passkey;
use super::polls::Poll;
use super::reviews::Reviews;
use super::uploads::{Shown, Uploads};
use plexichat::domain::Reply;
use plexichat::domain::permission::{self, *};
use plexichat::store::records::{Grant, account, channel_kind, dm_policy, relation};

use super::second_factor::{Challenge, TwoFactor};

/// Statuses of which one must be answered.
pub type Refused = &'static [u16];

/// What must be answered. Ids of new things are not known beforehand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Want {
    Done,
    Changed(bool),
    Count(u64),
    User,
    Token,
    Account,
    Server,
    NewChannel,
    Channel(u64),
    Role,
    Message,
    Webhook,
    Report,
    /// One that is there already.
    KnownReport(u64),
    Ticket,
    AccessToken,
    Emoji,
    Sticker,
    Attachment,
    /// The rules of the server refuse the text.
    Refused,
    Any,
}

impl Want {
    pub fn fits(self, reply: &Reply) -> bool {
        match (self, reply) {
            (Want::Any, _) | (Want::Done, Reply::Done) | (Want::User, Reply::User(_)) => true,
            (Want::Changed(want), Reply::Changed(got)) => want == *got,
            (Want::Count(want), Reply::Count(got)) => want == *got,
            (Want::Channel(want), Reply::Channel(got)) => want == got.0,
            (Want::Account, Reply::Account(..)) => true,
            (Want::Token, Reply::Token(..)) | (Want::Server, Reply::Server(_)) => true,
            (Want::NewChannel, Reply::Channel(_)) | (Want::Role, Reply::Role(_)) => true,
            (Want::Message, Reply::Message(..)) | (Want::Webhook, Reply::Webhook(_)) => true,
            (Want::Refused, Reply::TextRefused) | (Want::AccessToken, Reply::AccessToken(_)) => true,
            (Want::Emoji, Reply::Emoji(_)) | (Want::Sticker, Reply::Sticker(_)) => true,
            (Want::KnownReport(want), Reply::Report(got)) => want == got.0,
            (Want::Attachment, Reply::Attachment(_)) => true,
            (Want::Report, Reply::Report(_)) | (Want::Ticket, Reply::Ticket(_)) => true,
            _ => false,
        }
    }
}

pub const BAD: Refused = &[400];
pub const UNKNOWN_TOKEN: Refused = &[401];
pub const FORBIDDEN: Refused = &[403];
pub const MISSING: Refused = &[404];
pub const CONFLICT: Refused = &[409];
pub const SLOW: Refused = &[429];

#[derive(Clone, Debug, Default)]
pub struct User {
    pub name: String,
    pub email: String,
    /// Its address is confirmed, or nobody asks for that.
    pub verified: bool,
    pub phc: String,
    pub state: u8,
    pub failures: u32,
    pub locked_until: u64,
    pub deletion_at: u64,
    pub tokens: BTreeMap<u64, Token>,
    pub settings: BTreeMap<String, String>,
    pub two_factor: Option<TwoFactor>,
    pub dm_policy: u8,
    /// Status, text, emoji, when over REST.
    pub presence: (u8, Option<String>, Option<String>, u64),
    /// First byte of the picture's hash.
    pub avatar: Option<u8>,
    /// Of a bot.
    pub owner: Option<u64>,
    pub features: Features,
    /// Has to choose another name.
    pub renaming: bool,
}

#[derive(Clone, Debug)]
pub struct Token {
    pub expires_at: u64,
    pub last_activity: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Server {
    pub name: String,
    pub description: Option<String>,
    pub owner: u64,
    pub everyone: u64,
    pub default_channel: Option<u64>,
    /// All roles by id; `order` has all but @everyone, lowest first.
    pub roles: BTreeMap<u64, Role>,
    pub order: Vec<u64>,
    pub members: BTreeMap<u64, Member>,
    pub bans: BTreeSet<u64>,
    pub icon: Option<u8>,
    pub automod: Automod,
    /// Steady time: timeouts end with it.
    pub at: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Role {
    pub name: String,
    pub color: Option<String>,
    pub permissions: Vec<Grant>,
    pub hoist: bool,
    pub mentionable: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Member {
    pub roles: BTreeSet<u64>,
    pub temporary: bool,
    pub timeout_until: u64,
    pub timeout_reason: Option<String>,
    pub nickname: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Channel {
    pub server: Option<u64>,
    pub kind: u8,
    pub participants: Vec<u64>,
    pub name: String,
    pub topic: Option<String>,
    pub position: u64,
    pub category: Option<u64>,
    pub slowmode: u64,
    pub messages: BTreeMap<u64, Message>,
    /// Pinned messages, oldest pin first.
    pub pins: Vec<u64>,
    pub marks: BTreeMap<u64, u64>,
    pub last_post: BTreeMap<u64, u64>,
    /// Allowed and denied: 0 and a role, or 1 and a member.
    pub overrides: BTreeMap<(u8, u64), (u64, u64)>,
}

#[derive(Clone, Debug, Default)]
pub struct Message {
    pub author: u64,
    pub created_at: u64,
    pub content: String,
    pub embeds: bool,
    /// In order of first use; who, in order of time.
    pub reactions: Vec<(String, Vec<u64>)>,
    /// The name under which a webhook has said it.
    pub webhook: Option<String>,
    pub poll: Option<Poll>,
    pub files: Vec<Shown>,
}

#[derive(Clone, Debug)]
pub struct Invite {
    pub server: u64,
    pub channel: u64,
    pub inviter: u64,
    pub uses: u64,
    pub max_uses: u64,
    pub expires_at: Option<u64>,
    pub temporary: bool,
}

impl Invite {
    pub fn works(&self, at: u64) -> bool {
        self.expires_at.is_none_or(|expires_at| at < expires_at)
            && (self.max_uses == 0 || self.uses < self.max_uses)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    /// Steady time, and the time of the wall clock.
    pub at: u64,
    pub unix_ms: u64,
    pub users: BTreeMap<u64, User>,
    pub relations: BTreeMap<(u64, u64), u8>,
    pub servers: BTreeMap<u64, Server>,
    pub channels: BTreeMap<u64, Channel>,
    /// Direct messages by their pair, smaller id first; notes by the pair of a user with himself.
    pub pairs: BTreeMap<(u64, u64), u64>,
    pub invites: BTreeMap<String, Invite>,
    /// By the name that was typed: failures, locked until, forgotten at.
    pub login_names: BTreeMap<u64, (u32, u64, u64)>,
    pub notifications: Notifications,
    pub challenges: BTreeMap<u64, Challenge>,
    pub webhooks: BTreeMap<u64, Webhook>,
    pub post: Post,
    pub heard: Heard,
    pub files: Files,
    pub gate: Gate,
    pub admins: Admins,
    pub custody: Custody,
    pub reviews: Reviews,
    /// The switch of all rules is off.
    pub automod_off: bool,
    pub elsewhere: Elsewhere,
    pub expressions: Expressions,
    pub uploads: Uploads,
    pub passkeys: BTreeMap<u64, Passkey>,
}

/// What a timeout takes.
const SILENCED: u64 = MESSAGES_SEND
    | MESSAGES_ADD_REACTIONS
    | MESSAGES_ATTACH_FILES
    | MESSAGES_EMBED_LINKS
    | VOICE_SPEAK
    | VOICE_CONNECT;

pub fn bits(grants: &[Grant]) -> u64 {
    let mut bits = 0;
    for grant in grants.iter().filter(|grant| grant.allowed) {
        for (bit, name) in permission::NAMES.iter().enumerate() {
            let family = grant
                .name
                .strip_suffix(".*")
                .is_some_and(|family| name.strip_prefix(family).is_some_and(|rest| rest.starts_with('.')));
            if grant.name == "*" || grant.name == *name || family {
                bits |= 1 << bit;
            }
        }
    }
    bits
}

impl Server {
    pub fn bits(&self, user: u64) -> u64 {
        if self.owner == user {
            return ALL;
        }
        let held = self.members[&user].roles.iter().chain([&self.everyone]);
        let bits =
            held.filter_map(|role| self.roles.get(role)).fold(0, |all, role| all | bits(&role.permissions));
        match bits {
            _ if bits & ADMINISTRATOR != 0 => ALL,
            _ if self.members[&user].timeout_until > self.at => bits & !SILENCED,
            _ => bits,
        }
    }

    /// What a member may in a channel.
    pub fn bits_in(&self, channel: &Channel, user: u64) -> u64 {
        let have = self.bits(user);
        if have & ADMINISTRATOR != 0 {
            return have;
        }
        let member = &self.members[&user];
        let all = |kind: u8, is_meant: &dyn Fn(u64) -> bool| {
            let meant = channel.overrides.iter().filter(|((known, id), _)| *known == kind && is_meant(*id));
            meant.fold((0, 0), |(allow, deny), (_, bits)| (allow | bits.0, deny | bits.1))
        };
        let of_roles = all(0, &|id| id == self.everyone || member.roles.contains(&id));
        let of_member = all(1, &|id| id == user);
        let have = (have & !of_roles.1 | of_roles.0) & !of_member.1 | of_member.0;
        if member.timeout_until > self.at { have & !SILENCED } else { have }
    }

    /// Whether a timeout keeps him from speaking.
    pub fn silences(&self, user: u64) -> bool {
        self.members.get(&user).is_some_and(|member| member.timeout_until > self.at)
            && self.bits(user) & ADMINISTRATOR == 0
    }

    pub fn position(&self, role: u64) -> u64 {
        self.order.iter().position(|&id| id == role).map_or(0, |index| index as u64 + 1)
    }

    pub fn top(&self, user: u64) -> u64 {
        if self.owner == user {
            return u64::MAX;
        }
        self.members[&user].roles.iter().map(|&role| self.position(role)).max().unwrap_or(0)
    }

    pub fn require(&self, user: u64, permission: u64) -> Result<(), Refused> {
        require(self.bits(user), permission)
    }

    pub fn require_above(&self, actor: u64, target: u64) -> Result<(), Refused> {
        if target != self.owner && self.top(actor) > self.top(target) { Ok(()) } else { Err(FORBIDDEN) }
    }
}

pub fn require(have: u64, permission: u64) -> Result<(), Refused> {
    if have & permission == permission { Ok(()) } else { Err(FORBIDDEN) }
}

pub fn some<T>(value: Option<T>, refused: Refused) -> Result<T, Refused> {
    value.ok_or(refused)
}

pub fn unless(condition: bool, refused: Refused) -> Result<(), Refused> {
    if condition { Err(refused) } else { Ok(()) }
}

pub fn pair(a: u64, b: u64) -> (u64, u64) {
    (a.min(b), a.max(b))
}

impl Model {
    pub fn set_time(&mut self, at: u64) {
        self.at = at;
        self.servers.values_mut().for_each(|server| server.at = at);
    }

    /// Whether a timeout keeps him from moderating there.
    pub fn unless_silenced(&self, actor: u64, channel: &Channel) -> Result<(), Refused> {
        let server = channel.server.and_then(|id| self.servers.get(&id));
        unless(server.is_some_and(|server| server.silences(actor)), FORBIDDEN)
    }

    pub fn standing(&self, actor: u64, server: u64) -> Result<&Server, Refused> {
        let server = some(self.servers.get(&server), MISSING)?;
        unless(!server.members.contains_key(&actor), FORBIDDEN)?;
        Ok(server)
    }

    /// The channel and what the actor may do in it; in private channels everything that does not need a server.
    pub fn access(&self, actor: u64, channel: u64) -> Result<(&Channel, u64), Refused> {
        let channel = some(self.channels.get(&channel), MISSING)?;
        let Some(server) = channel.server else {
            unless(!channel.participants.contains(&actor), FORBIDDEN)?;
            let participant =
                EVERYONE_DEFAULT & !(VOICE_CONNECT | VOICE_SPEAK | INVITES_CREATE | EVENTS_VIEW);
            return Ok((channel, participant | MESSAGES_USE_EXTERNAL_EMOJIS | MESSAGES_BYPASS_SLOWMODE));
        };
        let have = self.standing(actor, server)?.bits_in(channel, actor);
        require(have, CHANNELS_VIEW)?;
        Ok((channel, have))
    }

    /// Failures under a name that still count, and until when it is or was locked.
    pub fn login_name(&self, name: u64) -> (u32, u64) {
        match self.login_names.get(&name) {
            Some((failures, locked_until, lapses_at)) if *lapses_at > self.at => (*failures, *locked_until),
            _ => (0, 0),
        }
    }

    pub fn blocked(&self, a: u64, b: u64) -> bool {
        let blocks = |from, to| self.relations.get(&(from, to)) == Some(&relation::BLOCKED);
        blocks(a, b) || blocks(b, a)
    }

    /// Whether a direct message from one would be taken by the other.
    pub fn reaches(&self, actor: u64, other: u64) -> Result<(), Refused> {
        unless(self.blocked(actor, other), FORBIDDEN)?;
        let user = self.users.get(&other).filter(|user| user.state != account::PURGED);
        let policy = user.map_or(dm_policy::NONE, |user| user.dm_policy);
        let friends = self.relations.get(&(actor, other)) == Some(&relation::FRIEND);
        unless(policy == dm_policy::NONE || policy == dm_policy::FRIENDS && !friends, FORBIDDEN)
    }

    pub fn reachable(&self, channel: &Channel, actor: u64) -> Result<(), Refused> {
        let is_group = channel.kind == channel_kind::GROUP;
        let other = channel.participants.iter().find(|&&user| user != actor && !is_group);
        other.map_or(Ok(()), |&other| self.reaches(actor, other))
    }

    /// Not purged.
    pub fn existing(&self, user: u64) -> Result<&User, Refused> {
        some(self.users.get(&user).filter(|user| user.state != account::PURGED), MISSING)
    }

    pub fn free(&self, name: Option<&str>, email: Option<&str>, but: u64) -> Result<(), Refused> {
        let others = || {
            self.users
                .iter()
                .filter(|(id, user)| **id != but && user.state != account::PURGED)
                .map(|(_, user)| user)
        };
        let same = |a: &str, b: &str| a.to_lowercase() == b.to_lowercase();
        unless(name.is_some_and(|name| others().any(|user| same(&user.name, name))), CONFLICT)?;
        unless(email.is_some_and(|email| others().any(|user| same(&user.email, email))), CONFLICT)
    }

    pub fn room(&self, user: u64, count_max: u64) -> Result<(), Refused> {
        unless(self.servers_of(user).count() as u64 >= count_max, BAD)
    }

    pub fn servers_of(&self, user: u64) -> impl Iterator<Item = u64> {
        self.servers.iter().filter(move |(_, server)| server.members.contains_key(&user)).map(|(id, _)| *id)
    }

    pub fn channels_of(&self, server: u64) -> impl Iterator<Item = (u64, &Channel)> {
        self.channels
            .iter()
            .filter(move |(_, channel)| channel.server == Some(server))
            .map(|(id, c)| (*id, c))
    }

    /// A message under an access that is enough to see that it is there.
    pub fn message(&self, channel: &Channel, message: u64) -> Result<Message, Refused> {
        some(channel.messages.get(&message).cloned(), MISSING)
    }

    pub fn content(content: &str, embeds: bool, length_max: u64) -> Result<(), Refused> {
        unless(content.chars().count() as u64 > length_max, BAD)?;
        unless(content.trim().is_empty() && !embeds, BAD)
    }

    pub fn live_token(&self, user: u64, token: u64) -> Option<&Token> {
        self.users.get(&user)?.tokens.get(&token).filter(|token| token.expires_at > self.at)
    }

    /// Messages of others in `(mark, up_to]`.
    pub fn unread(&self, channel: &Channel, user: u64, up_to: u64) -> u64 {
        let mark = channel.marks.get(&user).copied().unwrap_or(0);
        let unread = channel
            .messages
            .iter()
            .filter(|(id, message)| **id > mark && **id <= up_to && message.author != user);
        unread.count() as u64
    }

    pub fn ack(&self, actor: u64, channel: u64, message: Option<u64>) -> Result<Option<(u64, u64)>, Refused> {
        let (channel, have) = self.access(actor, channel)?;
        require(have, MESSAGES_READ)?;
        let Some((&last, _)) = channel.messages.last_key_value() else { return Ok(None) };
        let target = message.unwrap_or(last).min(last);
        let before = channel.marks.get(&actor).copied().unwrap_or(0);
        Ok((target > before).then(|| (target, self.unread(channel, actor, target))))
    }

    pub fn kick(&self, actor: u64, server: u64, target: u64, permission: u64) -> Result<&Server, Refused> {
        let server = self.standing(actor, server)?;
        unless(!server.members.contains_key(&target), MISSING)?;
        server.require(actor, permission)?;
        Ok(server)
    }

    pub fn role_change(&self, actor: u64, server: u64, user: u64, role: u64) -> Result<bool, Refused> {
        let server = self.standing(actor, server)?;
        let member = some(server.members.get(&user), MISSING)?;
        unless(!server.roles.contains_key(&role), MISSING)?;
        server.require(actor, MEMBERS_MANAGE_ROLES)?;
        unless(role == server.everyone || server.position(role) >= server.top(actor), FORBIDDEN)?;
        if actor != user {
            server.require_above(actor, user)?;
        }
        Ok(member.roles.contains(&role))
    }

    pub fn manageable_role(&self, actor: u64, server: u64, role: u64) -> Result<(&Server, &Role), Refused> {
        let server = self.standing(actor, server)?;
        let found = some(server.roles.get(&role), MISSING)?;
        server.require(actor, ROLES_MANAGE)?;
        unless(server.position(role) >= server.top(actor), FORBIDDEN)?;
        Ok((server, found))
    }

    pub fn manageable_channel(&self, actor: u64, channel: u64) -> Result<(u64, &Channel), Refused> {
        let (channel, have) = self.access(actor, channel)?;
        let server = some(channel.server, FORBIDDEN)?;
        require(have, CHANNELS_MANAGE)?;
        Ok((server, channel))
    }

    /// The channels of a server as they stand, first one first.
    pub fn channel_order(&self, server: u64) -> Vec<u64> {
        let mut order: Vec<_> =
            self.channels_of(server).map(|(id, channel)| (channel.position, id)).collect();
        order.sort_unstable();
        order.into_iter().map(|(_, id)| id).collect()
    }

    pub fn due_deletions(&self) -> bool {
        self.users.values().any(|user| user.state == account::FROZEN && user.deletion_at <= self.at)
    }
}

pub fn edited(old: &Role, op: &plexichat::domain::community::role::RoleEdit) -> Role {
    Role {
        name: op.name.clone().unwrap_or(old.name.clone()),
        color: op.color.clone().or(old.color.clone()),
        permissions: op.permissions.clone().unwrap_or(old.permissions.clone()),
        hoist: op.hoist.unwrap_or(old.hoist),
        mentionable: op.mentionable.unwrap_or(old.mentionable),
    }
}
