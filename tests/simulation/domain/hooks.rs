//! Webhooks: random commands, what they must be answered, and what becomes of them.

use plexichat::domain::hooks::execution::WebhookExecute;
use plexichat::domain::hooks::webhook::{WebhookCreate, WebhookDelete, WebhookEdit, WebhookTokenReplace};
use plexichat::domain::identity::credential::Secret;
use plexichat::domain::permission::WEBHOOKS_MANAGE;
use plexichat::domain::{Op, Reply, hooks};
use plexichat::id::{ChannelId, ServerId, UserId, WebhookId};
use plexichat::store::Read;
use plexichat::store::records::{Webhook as Record, account, channel_kind};
use plexichat::store::tables::{CHANNEL_WEBHOOKS, SERVER_WEBHOOKS, WEBHOOKS};

use super::generate::Generator;
use super::model::*;

/// Webhooks of a channel and of a server that commands allow.
const CHANNEL_COUNT_MAX: u64 = 2;
const SERVER_COUNT_MAX: u64 = 3;

#[derive(Clone, Debug, PartialEq)]
pub struct Webhook {
    pub server: u64,
    pub channel: u64,
    pub creator: u64,
    holder: u64,
    name: String,
    avatar_url: Option<String>,
    secret: u8,
}

impl Generator<'_> {
    pub fn webhook_command(&mut self, model: &Model) -> (u64, Op) {
        let secret_hash = Secret([self.random.u8(..4); 32]);
        let picked = self.pick(model.webhooks.iter().map(|(id, hook)| (*id, hook.clone())));
        let Some((id, hook)) = picked.filter(|_| self.random.u32(..5) != 0) else {
            let (actor, channel) = self.place(model);
            let op = WebhookCreate {
                channel_id: ChannelId(channel),
                name: self.name(),
                avatar_url: self.maybe(30, |_| "https://x/y".to_string()),
                secret_hash,
                channel_count_max: CHANNEL_COUNT_MAX,
                server_count_max: SERVER_COUNT_MAX,
            };
            return (actor, op.into());
        };
        let webhook_id = WebhookId(if self.chance(5) { self.junk() } else { id });
        let actor = self.insider(model, model.servers.get(&hook.server));
        let op: Op = match self.random.u32(..10) {
            0 | 1 => WebhookEdit {
                webhook_id,
                name: self.maybe(40, |g| g.name()),
                avatar_url: self.maybe(30, |g| g.maybe(50, |_| "https://x/z".to_string())),
                channel_id: self.maybe(60, |g| ChannelId(g.place(model).1)),
                channel_count_max: CHANNEL_COUNT_MAX,
            }
            .into(),
            2 => WebhookTokenReplace { webhook_id, secret_hash }.into(),
            3 => WebhookDelete { webhook_id }.into(),
            _ => {
                let channel = model.channels.get(&hook.channel);
                let op = WebhookExecute {
                    webhook_id,
                    secret_hash: if self.chance(10) { secret_hash } else { Secret([hook.secret; 32]) },
                    content: self.addressed(model, channel),
                    embeds: if self.chance(20) { "[{\"title\":\"t\"}]".into() } else { String::new() },
                    username: self.maybe(30, |g| g.name()),
                    avatar_url: None,
                    length_max: if self.chance(10) { self.random.u64(..12) } else { 2_000 },
                };
                return (self.system(model), self.text_command(model, hook.channel, op));
            }
        };
        (actor, op)
    }
}

impl Model {
    fn webhook(&self, id: WebhookId) -> Result<&Webhook, Refused> {
        some(self.webhooks.get(&id.0), MISSING)
    }

    fn manages_webhooks(&self, actor: u64, channel: u64) -> Result<(u64, &Channel), Refused> {
        let (channel, have) = self.access(actor, channel)?;
        let server = some(channel.server, FORBIDDEN)?;
        require(have, WEBHOOKS_MANAGE)?;
        Ok((server, channel))
    }

    fn has_room_for_webhook(&self, actor: u64, channel: u64, count_max: u64) -> Result<u64, Refused> {
        let (server, found) = self.manages_webhooks(actor, channel)?;
        let silent = [channel_kind::VOICE, channel_kind::STAGE, channel_kind::CATEGORY];
        unless(silent.contains(&found.kind), BAD)?;
        let count = self.webhooks.values().filter(|hook| hook.channel == channel).count() as u64;
        unless(count >= count_max, BAD)?;
        Ok(server)
    }

    pub fn judge_webhook(&self, actor: u64, op: &hooks::Op) -> Result<Want, Refused> {
        match op {
            hooks::Op::WebhookCreate(op) => {
                let server = self.has_room_for_webhook(actor, op.channel_id.0, op.channel_count_max)?;
                let count = self.webhooks.values().filter(|hook| hook.server == server).count() as u64;
                unless(count >= op.server_count_max, BAD)?;
                Ok(Want::Webhook)
            }
            hooks::Op::WebhookEdit(op) => {
                let hook = self.webhook(op.webhook_id)?;
                self.manages_webhooks(actor, hook.channel)?;
                let moved = op.channel_id.filter(|id| id.0 != hook.channel);
                if let Some(id) = moved {
                    unless(self.access(actor, id.0)?.0.server != Some(hook.server), BAD)?;
                    self.has_room_for_webhook(actor, id.0, op.channel_count_max)?;
                }
                let same = moved.is_none()
                    && op.name.as_ref().is_none_or(|name| *name == hook.name)
                    && op.avatar_url.as_ref().is_none_or(|url| *url == hook.avatar_url);
                Ok(Want::Changed(!same))
            }
            hooks::Op::WebhookDelete(hooks::webhook::WebhookDelete { webhook_id })
            | hooks::Op::WebhookTokenReplace(hooks::webhook::WebhookTokenReplace { webhook_id, .. }) => {
                self.manages_webhooks(actor, self.webhook(*webhook_id)?.channel)?;
                Ok(Want::Done)
            }
            hooks::Op::WebhookExecute(op) => {
                unless(actor != 0, FORBIDDEN)?;
                let hook = self.webhook(op.webhook_id)?;
                unless(op.secret_hash.0 != [hook.secret; 32], UNKNOWN_TOKEN)?;
                let suspended =
                    self.users.get(&hook.holder).is_some_and(|user| user.state == account::LOCKED);
                unless(suspended || self.servers[&hook.server].bans.contains(&hook.holder), FORBIDDEN)?;
                unless(self.is_silenced(hook.holder), FORBIDDEN)?;
                Model::content(&op.content, !op.embeds.is_empty(), op.length_max)?;
                self.pass(Some(hook.server))?;
                Ok(Want::Message)
            }
        }
    }

    pub fn take_webhook(&mut self, actor: u64, op: &hooks::Op, reply: &Reply) {
        match op {
            hooks::Op::WebhookCreate(op) => {
                let Reply::Webhook(id) = reply else { unreachable!() };
                let webhook = Webhook {
                    server: self.channels[&op.channel_id.0].server.unwrap(),
                    channel: op.channel_id.0,
                    creator: actor,
                    holder: actor,
                    name: op.name.clone(),
                    avatar_url: op.avatar_url.clone(),
                    secret: op.secret_hash.0[0],
                };
                assert!(self.webhooks.insert(id.0, webhook).is_none());
            }
            hooks::Op::WebhookEdit(op) => {
                let hook = self.webhooks.get_mut(&op.webhook_id.0).unwrap();
                hook.name = op.name.clone().unwrap_or(std::mem::take(&mut hook.name));
                hook.avatar_url = op.avatar_url.clone().unwrap_or(hook.avatar_url.take());
                hook.channel = op.channel_id.map_or(hook.channel, |id| id.0);
            }
            hooks::Op::WebhookDelete(op) => drop(self.webhooks.remove(&op.webhook_id.0)),
            hooks::Op::WebhookTokenReplace(op) => {
                let hook = self.webhooks.get_mut(&op.webhook_id.0).unwrap();
                (hook.secret, hook.holder) = (op.secret_hash.0[0], actor);
            }
            hooks::Op::WebhookExecute(op) => {
                let Reply::Message(channel_id, message_id) = reply else { unreachable!() };
                let hook = self.webhooks[&op.webhook_id.0].clone();
                assert_eq!(channel_id.0, hook.channel);
                let message = Message {
                    created_at: self.unix_ms,
                    author: hook.creator,
                    content: op.content.clone(),
                    embeds: !op.embeds.is_empty(),
                    webhook: Some(op.username.clone().unwrap_or(hook.name)),
                    ..Message::default()
                };
                self.channels.get_mut(&hook.channel).unwrap().messages.insert(message_id.0, message);
                self.notify(hook.creator, hook.channel, message_id.0, &op.content);
            }
        }
    }

    /// Webhooks go with their channel, and so with its server.
    pub fn remove_homeless_webhooks(&mut self) {
        self.webhooks.retain(|_, hook| self.channels.contains_key(&hook.channel));
    }

    pub fn compare_webhooks(&self, read: Read<'_>) {
        let stored = read.scan(WEBHOOKS, ()).map(|(id, record)| {
            let Record {
                server_id, channel_id, creator_id, holder_id, name, avatar_url, secret_hash, ..
            } = Record::from(record);
            let UserId(creator) = creator_id;
            let secret = secret_hash[0];
            let (server, channel, holder) = (server_id.0, channel_id.0, holder_id.0);
            (id.0, Webhook { server, channel, creator, holder, name, avatar_url, secret })
        });
        assert!(stored.eq(self.webhooks.clone()), "webhooks");
        let by_server = read.scan(SERVER_WEBHOOKS, ()).map(|((ServerId(server), id), channel)| {
            assert_eq!(channel.id.0.to_native(), self.webhooks[&id.0].channel);
            (server, id.0)
        });
        let mut want: Vec<_> = self.webhooks.iter().map(|(id, hook)| (hook.server, *id)).collect();
        want.sort_unstable();
        assert!(by_server.eq(want), "SERVER_WEBHOOKS is the index of WEBHOOKS");
        let by_channel = read.scan(CHANNEL_WEBHOOKS, ()).map(|((ChannelId(channel), id), server)| {
            assert_eq!(server.id.0.to_native(), self.webhooks[&id.0].server);
            (channel, id.0)
        });
        let mut want: Vec<_> = self.webhooks.iter().map(|(id, hook)| (hook.channel, *id)).collect();
        want.sort_unstable();
        assert!(by_channel.eq(want), "CHANNEL_WEBHOOKS is the index of WEBHOOKS");
    }
}
