//! Webhooks: make, show, change, delete, and post by them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{github, slack};
use crate::api::address::TrustedProxies;
use crate::api::authenticate::hash_secret;
use crate::api::chat::embeds;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Address, Chars, Flag, Id, Line, List, Name, Needed, Or, Text, fields};
use crate::api::moderation::judging::{self, Speech, Spoken, Whence};
use crate::domain::hooks::execution::{WebhookExecute, WebhookMessageResponse};
use crate::domain::hooks::webhook::{
    self, TOKEN_PREFIX, WebhookCreate, WebhookDelete, WebhookEdit, WebhookResponse, WebhookTokenReplace,
    check_edit, manageable, manageable_channel,
};
use crate::domain::identity::credential::Secret;
use crate::domain::{Error, Refusal, Result};
use crate::id::{ChannelId, MessageId, UserId, WebhookId};
use crate::limits::{WEBHOOK_ADDRESS_LEN_MAX, WEBHOOK_CONTENT_CHARS_MAX, WEBHOOK_NAME_LEN_MAX};
use crate::runtime::random;
use crate::store::tables::{MESSAGES, WEBHOOKS};
use crate::text;

/// Bytes of randomness in a token: 64 characters of base64.
const SECRET_LEN: usize = 48;
/// Who submits what somebody says who has a token and no account.
const SERVER: UserId = UserId(0);
const NAME: Name = Name(Chars::Configured(|_| 1..=WEBHOOK_NAME_LEN_MAX));

fields! {
    /// A new webhook.
    pub WEBHOOK_CREATE: WebhookCreateRequest {
        channel_id: Needed<Id> = Needed(Id),
        name: Needed<Name> = Needed(NAME),
        avatar_url: Address = Address(WEBHOOK_ADDRESS_LEN_MAX),
    }
}

fields! {
    /// What is to be new of a webhook.
    pub WEBHOOK_EDIT: WebhookUpdateRequest {
        name: Name = NAME,
        /// An empty one takes it away.
        avatar_url: Address = Address(WEBHOOK_ADDRESS_LEN_MAX),
        /// Of the same server.
        channel_id: Id = Id,
    }
}

fields! {
    /// What a webhook says: content, embeds, or both.
    pub WEBHOOK_EXECUTE: WebhookExecuteRequest {
        content: Text = Text(Chars::UpTo(WEBHOOK_CONTENT_CHARS_MAX)),
        /// Instead of the webhook's name.
        username: Line = Line(WEBHOOK_NAME_LEN_MAX),
        /// Instead of the webhook's picture.
        avatar_url: Address = Address(WEBHOOK_ADDRESS_LEN_MAX),
        embeds: List = List(embeds::COUNT_MAX, "object"),
        /// Not available on this server.
        thread_id: Id = Id,
    }
}

fields! {
    /// What the answer to a message of a webhook is.
    pub EXECUTE_QUERY: WebhookExecuteQuery {
        /// The message instead of `{"success": true}`.
        wait: Or<Flag, bool> = Or(Flag, false),
        /// Not available on this server.
        thread_id: Id = Id,
    }
}

fields! {
    /// Of calls in the forms of others.
    pub FOREIGN_QUERY: WebhookForeignQuery {
        /// Not available on this server.
        thread_id: Id = Id,
    }
}

// ------------------------------------------------------------------------------------------- managing

pub fn webhook_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let channel_id = ChannelId(WEBHOOK_CREATE.channel_id.read(&body)?);
    manageable_channel(ctx.asking(&ctx.snapshot()), channel_id)?;
    let config = &ctx.state.config;
    let (secret, secret_hash) = new_secret();
    let op = WebhookCreate {
        channel_id,
        name: WEBHOOK_CREATE.name.read(&body, config)?,
        avatar_url: WEBHOOK_CREATE.avatar_url.read(&body)?.flatten(),
        secret_hash,
        channel_count_max: config.webhooks.max_per_channel,
        server_count_max: config.webhooks.max_per_server,
    };
    ctx.submit(op, move |ctx, webhook_id| answer(ctx, webhook_id, Some(&secret)))
}

pub fn webhook_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let webhook_id = ctx.path_webhook()?;
    manageable(ctx.asking(&ctx.snapshot()), webhook_id)?;
    answer(ctx, webhook_id, None)
}

pub fn webhook_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let webhook_id = ctx.path_webhook()?;
    let snapshot = ctx.snapshot();
    let stored = manageable(ctx.asking(&snapshot), webhook_id)?;
    let body = ctx.body()?;
    let config = &ctx.state.config;
    let op = WebhookEdit {
        webhook_id,
        name: WEBHOOK_EDIT.name.read(&body, config, Some(&stored.name))?,
        avatar_url: WEBHOOK_EDIT.avatar_url.read(&body)?,
        channel_id: WEBHOOK_EDIT.channel_id.read(&body)?.map(ChannelId),
        channel_count_max: config.webhooks.max_per_channel,
    };
    check_edit(ctx.asking(&snapshot), &op)?;
    ctx.submit(op, move |ctx, _| answer(ctx, webhook_id, None))
}

pub fn webhook_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let webhook_id = ctx.path_webhook()?;
    ctx.submit_success(WebhookDelete { webhook_id })
}

pub fn webhook_token_regenerate(ctx: &mut Ctx<'_>) -> Result<Step> {
    let webhook_id = ctx.path_webhook()?;
    let (secret, secret_hash) = new_secret();
    let op = WebhookTokenReplace { webhook_id, secret_hash };
    ctx.submit(op, move |ctx, ()| answer(ctx, webhook_id, Some(&secret)))
}

pub fn webhook_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    let standing = webhook::listable(ctx.asking(&snapshot), server_id)?;
    ctx.json(|out| webhook::write_list(out, &standing))
}

pub fn channel_webhook_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let snapshot = ctx.snapshot();
    manageable_channel(ctx.asking(&snapshot), channel_id)?;
    ctx.json(|out| webhook::write_list_of_channel(out, snapshot.read(), channel_id))
}

/// The secret part of a token, and what is kept of it.
fn new_secret() -> (String, Secret<[u8; 32]>) {
    let secret = URL_SAFE_NO_PAD.encode(random::bytes::<SECRET_LEN>());
    let hash = hash_secret(&secret);
    (secret, Secret(hash))
}

/// The webhook; with its token when that is new.
fn answer(ctx: &mut Ctx<'_>, webhook_id: WebhookId, secret: Option<&str>) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let webhook = snapshot.read().get(WEBHOOKS, webhook_id).ok_or(Refusal::WebhookNotFound)?;
    let token = secret.map(|secret| format!("{TOKEN_PREFIX}{webhook_id}.{secret}"));
    let url = token.as_ref().map(|token| format!("{}/webhooks/{webhook_id}/{token}", base(ctx)));
    ctx.json(|out| WebhookResponse::write(out, webhook_id, webhook, token.as_deref(), url.as_deref()))
}

/// What addresses of the API begin with for whoever asks: `api.public_url`, else as he has got here.
fn base(ctx: &Ctx<'_>) -> String {
    let (api, head) = (&ctx.state.config.api, &ctx.request.head);
    let host = head.header("host").map(String::from_utf8_lossy).filter(|host| !host.is_empty());
    let origin = match (api.public_url.trim_end_matches('/'), host) {
        ("", Some(host)) => {
            let scheme = if TrustedProxies::is_https(head) { "https" } else { "http" };
            format!("{scheme}://{host}")
        }
        (url, _) => url.to_string(),
    };
    origin + &api.api_prefix
}

// ------------------------------------------------------------------------------------------- posting

/// What is to be said, whatever the form in which it came.
#[derive(Debug, Default, PartialEq)]
pub struct Said {
    pub content: String,
    /// A JSON list, checked; empty text when there are none.
    pub embeds: String,
    pub username: Option<String>,
    pub avatar_url: Option<String>,
}

pub fn webhook_execute(ctx: &mut Ctx<'_>) -> Result<Step> {
    let wait = EXECUTE_QUERY.wait.query(ctx)?;
    refuse_thread(EXECUTE_QUERY.thread_id.query(ctx)?)?;
    let body = ctx.body()?;
    let content = WEBHOOK_EXECUTE.content.read_up_to(&body, length_max(ctx) as usize)?.unwrap_or_default();
    let said = Said {
        content: content.to_string(),
        embeds: embeds::read(WEBHOOK_EXECUTE.embeds.read(&body)?)?,
        username: WEBHOOK_EXECUTE.username.read(&body)?.flatten(),
        avatar_url: WEBHOOK_EXECUTE.avatar_url.read(&body)?.flatten(),
    };
    refuse_thread(WEBHOOK_EXECUTE.thread_id.read(&body)?)?;
    say(ctx, said, move |ctx, message| if wait { answer_said(ctx, message) } else { ctx.success() })
}

pub fn webhook_execute_github(ctx: &mut Ctx<'_>) -> Result<Step> {
    refuse_thread(FOREIGN_QUERY.thread_id.query(ctx)?)?;
    let event = ctx.request.head.header("x-github-event").map(<[u8]>::trim_ascii);
    let event = event.and_then(|event| std::str::from_utf8(event).ok()).filter(|event| !event.is_empty());
    let event = event.ok_or_else(|| Error::bad_request("The header X-GitHub-Event must name the event"))?;
    let body = ctx.body()?;
    match github::translate(event, body.root())? {
        Some(embeds) => say(ctx, Said { embeds, ..Said::default() }, |ctx, _| ctx.success()),
        None => ctx.success(),
    }
}

pub fn webhook_execute_slack(ctx: &mut Ctx<'_>) -> Result<Step> {
    refuse_thread(FOREIGN_QUERY.thread_id.query(ctx)?)?;
    let body = ctx.body()?;
    let said = slack::translate(&body, length_max(ctx) as usize)?;
    say(ctx, said, |ctx, _| {
        ctx.response.content_type = "text/plain; charset=utf-8";
        ctx.response.body.extend_from_slice(b"ok");
        Ok(Step::Done)
    })
}

/// # Errors
/// 400 when a thread is named.
fn refuse_thread(thread_id: Option<u64>) -> Result<()> {
    match thread_id {
        None => Ok(()),
        Some(_) => Err(Error::bad_request("Threads are not available on this server: leave thread_id out")),
    }
}

/// Characters of one message of a webhook.
fn length_max(ctx: &Ctx<'_>) -> u64 {
    ctx.state.config.messaging.max_message_length.min(WEBHOOK_CONTENT_CHARS_MAX as u64)
}

/// The one way by which a webhook says something.
fn say(
    ctx: &mut Ctx<'_>,
    said: Said,
    then: impl FnOnce(&mut Ctx<'_>, (ChannelId, MessageId)) -> Result<Step> + 'static,
) -> Result<Step> {
    let bearer = ctx.webhook();
    let Said { content, embeds, username, avatar_url } = said;
    let op = WebhookExecute {
        webhook_id: bearer.webhook_id,
        secret_hash: bearer.secret_hash,
        // Invisible characters alone are no text; apply says whether there may be none.
        content: if text::is_blank(&content) { String::new() } else { content },
        embeds,
        username,
        avatar_url,
        length_max: length_max(ctx),
    };
    let (channel_id, author, webhook) = (bearer.channel_id, bearer.creator_id, Some(bearer.webhook_id));
    judging::submit(ctx, SERVER, Whence { channel_id, author, webhook, edits: None }, op, then)
}

impl Spoken for WebhookExecute {
    fn speech(&self) -> Speech<'_> {
        let beside = self.username.as_deref().into_iter().collect();
        Speech { content: &self.content, embeds: &self.embeds, beside }
    }
}

fn answer_said(ctx: &mut Ctx<'_>, (channel_id, message_id): (ChannelId, MessageId)) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let message = snapshot.read().get(MESSAGES, (channel_id, message_id)).ok_or(Refusal::MessageNotFound)?;
    let webhook = message.webhook.as_ref().expect("a webhook has said it");
    ctx.json(|out| WebhookMessageResponse::write(out, channel_id, message_id, message, webhook))
}

#[cfg(test)]
#[path = "webhooks_tests.rs"]
mod tests;
