//! Webhooks: making, changing, deleting, the token.
//!
//! Invariant: `WEBHOOKS`, `SERVER_WEBHOOKS` and `CHANNEL_WEBHOOKS` name the same webhooks, and each stands in a channel
//! that is there: it goes with that in one command, and so with the server.
//!
//! A webhook is the server's, not its creator's: it goes on when he leaves, is kicked or loses his rights. What must
//! not outlast a ban is what the banned one knows, which is the token, so that goes with the one who was shown it last
//! ([`require_holder`]): while he is banned from the server, or his account is suspended, it posts nothing. Whoever
//! manages webhooks there can have the token replaced, and is its holder from then on.

use rkyv::{Archive, Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::domain::asking::Asking;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::event::{Audience, Event, EventName, intent, payload};
use crate::domain::identity::credential::{Secret, hash_secret, parts};
use crate::domain::machine::Machine;
use crate::domain::permission::{Access, CHANNELS_VIEW, Standing, WEBHOOKS_MANAGE};
use crate::id::{ChannelId, ServerId, UserId, WebhookId};
use crate::limits::WEBHOOK_COUNT_MAX;
use crate::store::Read;
use crate::store::records::{ArchivedWebhook, Webhook, account};
use crate::store::tables::{BANS, CHANNEL_WEBHOOKS, SERVER_WEBHOOKS, USERS, WEBHOOKS};
use crate::wire::json::Array;
use crate::wire::json::shape::shape;

/// What tokens of webhooks begin with; `<id>.<secret>` follows.
pub const TOKEN_PREFIX: &str = "webhook.";

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct WebhookCreate {
    pub channel_id: ChannelId,
    /// As it is stored.
    pub name: String,
    pub avatar_url: Option<String>,
    /// SHA-256 of the secret part of its token.
    pub secret_hash: Secret<[u8; 32]>,
    /// Webhooks that the channel, and the server, may have.
    pub channel_count_max: u64,
    pub server_count_max: u64,
}

/// `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct WebhookEdit {
    pub webhook_id: WebhookId,
    /// As it is stored.
    pub name: Option<String>,
    pub avatar_url: Option<Option<String>>,
    /// Of the same server.
    pub channel_id: Option<ChannelId>,
    /// Webhooks that the channel may have.
    pub channel_count_max: u64,
}

#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct WebhookDelete {
    pub webhook_id: WebhookId,
}

/// Makes the token void, and another one its token.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct WebhookTokenReplace {
    pub webhook_id: WebhookId,
    pub secret_hash: Secret<[u8; 32]>,
}

// ------------------------------------------------------------------------------------------- checks

/// # Errors
/// 404 when there is none.
pub fn find(read: Read<'_>, webhook_id: WebhookId) -> Result<&ArchivedWebhook> {
    read.get(WEBHOOKS, webhook_id).ok_or_else(|| Refusal::WebhookNotFound.into())
}

/// A channel whose webhooks the asking user may manage, and its server.
///
/// # Errors
/// 404 unknown; 403 not his to view, without `webhooks.manage`, a direct message or notes.
pub fn manageable_channel(asking: Asking<'_>, channel_id: ChannelId) -> Result<(ServerId, Access<'_>)> {
    let access = asking.channel(channel_id)?;
    let private = || Error::forbidden("Direct messages and notes have no webhooks");
    let server_id = access.channel.server().ok_or_else(private)?;
    access.require(WEBHOOKS_MANAGE)?;
    Ok((server_id, access))
}

/// A webhook that the asking user may manage.
///
/// # Errors
/// 404 unknown; 403 as [`manageable_channel`].
pub fn manageable(asking: Asking<'_>, webhook_id: WebhookId) -> Result<&ArchivedWebhook> {
    let webhook = find(asking.read, webhook_id)?;
    manageable_channel(asking, ChannelId::from(&webhook.channel_id))?;
    Ok(webhook)
}

/// A server of which the asking user may list the webhooks.
///
/// # Errors
/// 404 server; 403 not a member, without permission.
pub fn listable(asking: Asking<'_>, server_id: ServerId) -> Result<Standing<'_>> {
    let standing = asking.server(server_id)?;
    standing.require(WEBHOOKS_MANAGE)?;
    Ok(standing)
}

/// A channel to which the asking user may add a webhook.
///
/// # Errors
/// As [`manageable_channel`]; 400 when it holds no messages, or has as many as it may.
fn require_place(asking: Asking<'_>, channel_id: ChannelId, count_max: u64) -> Result<ServerId> {
    let (server_id, access) = manageable_channel(asking, channel_id)?;
    access.require_messages()?;
    require_room(asking.read.scan(CHANNEL_WEBHOOKS, channel_id), count_max, "A channel")?;
    Ok(server_id)
}

/// As `count_max` says, or as many as go at once with what they stand in.
fn require_room<T>(webhooks: impl Iterator<Item = T>, count_max: u64, of: &str) -> Result<()> {
    let count_max = usize::try_from(count_max).unwrap_or(usize::MAX).min(WEBHOOK_COUNT_MAX);
    if webhooks.take(count_max).count() < count_max {
        return Ok(());
    }
    Err(Error::bad_request(format!("{of} can have at most {count_max} webhooks: delete one first")))
}

/// The same for making a webhook there.
///
/// # Errors
/// As [`require_place`]; 400 when the server has as many as it may.
pub fn check_create(asking: Asking<'_>, op: &WebhookCreate) -> Result<ServerId> {
    let server_id = require_place(asking, op.channel_id, op.channel_count_max)?;
    require_room(asking.read.scan(SERVER_WEBHOOKS, server_id), op.server_count_max, "A server")?;
    Ok(server_id)
}

/// A webhook that the asking user may change as he wants to.
///
/// # Errors
/// As [`manageable`]; of the channel that it moves to, as [`require_place`], 400 when it is of another server.
pub fn check_edit<'a>(asking: Asking<'a>, op: &WebhookEdit) -> Result<&'a ArchivedWebhook> {
    let webhook = manageable(asking, op.webhook_id)?;
    let channel_id = op.channel_id.filter(|id| *id != ChannelId::from(&webhook.channel_id));
    let Some(channel_id) = channel_id else { return Ok(webhook) };
    let channel = asking.channel(channel_id)?.channel;
    if channel.server() != Some(ServerId::from(&webhook.server_id)) {
        return Err(Error::invalid("channel_id", "a webhook cannot be moved to another server"));
    }
    require_place(asking, channel_id, op.channel_count_max)?;
    Ok(webhook)
}

// ------------------------------------------------------------------------------------------- token

/// A webhook as its token speaks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bearer {
    pub webhook_id: WebhookId,
    /// Where it posts, as whose author.
    pub channel_id: ChannelId,
    pub creator_id: UserId,
    /// Of the secret that was shown, so that the log can decide whether it is still the one.
    pub secret_hash: Secret<[u8; 32]>,
}

/// The webhook of that id, when this is its token and may be used.
///
/// # Errors
/// 404 when there is none; 401 when the token is wrong or void; 403 as [`require_holder`].
pub fn verify(read: Read<'_>, webhook_id: WebhookId, token: &str) -> Result<Bearer> {
    let webhook = find(read, webhook_id)?;
    let known = token.strip_prefix(TOKEN_PREFIX).and_then(parts).filter(|(id, _)| *id == webhook_id.0);
    let (_, secret) = known.ok_or(Refusal::WebhookTokenInvalid)?;
    let secret_hash = Secret(hash_secret(secret));
    require_token(read, webhook, &secret_hash)?;
    let (channel_id, creator_id) = (ChannelId::from(&webhook.channel_id), UserId::from(&webhook.creator_id));
    Ok(Bearer { webhook_id, channel_id, creator_id, secret_hash })
}

/// # Errors
/// 401 when the secret is another one; 403 as [`require_holder`].
pub(super) fn require_token(
    read: Read<'_>,
    webhook: &ArchivedWebhook,
    secret_hash: &Secret<[u8; 32]>,
) -> Result<()> {
    if !bool::from(webhook.secret_hash.ct_eq(&secret_hash.0)) {
        return Err(Refusal::WebhookTokenInvalid.into());
    }
    require_holder(read, webhook)
}

/// # Errors
/// 403 while the one who was shown the token is banned from the server, or suspended.
fn require_holder(read: Read<'_>, webhook: &ArchivedWebhook) -> Result<()> {
    let (server_id, holder_id) = (ServerId::from(&webhook.server_id), UserId::from(&webhook.holder_id));
    let is_suspended = read.get(USERS, holder_id).is_some_and(|user| user.state == account::LOCKED);
    if is_suspended || read.contains(BANS, (server_id, holder_id)) {
        return Err(Refusal::WebhookHolderBanned.into());
    }
    Ok(())
}

// ------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn webhook_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &WebhookCreate,
) -> Result<WebhookId> {
    let server_id = check_create(machine.asking(actor), op)?;
    let webhook_id = WebhookId(machine.next_id());
    let webhook = Webhook {
        server_id,
        channel_id: op.channel_id,
        creator_id: actor,
        name: op.name.clone(),
        avatar_url: op.avatar_url.clone(),
        secret_hash: op.secret_hash.0,
        holder_id: actor,
        created_at: machine.unix_ms,
    };
    machine.tx.put(WEBHOOKS, webhook_id, &webhook);
    enter(machine, webhook_id, &webhook);
    emit(machine, server_id, op.channel_id);
    Ok(webhook_id)
}

/// Replies whether anything changed.
pub(in crate::domain) fn webhook_edit(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &WebhookEdit,
) -> Result<bool> {
    let old = Webhook::from(check_edit(machine.asking(actor), op)?);
    let mut new = old.clone();
    new.name = op.name.clone().unwrap_or(new.name);
    new.avatar_url = op.avatar_url.clone().unwrap_or(new.avatar_url);
    new.channel_id = op.channel_id.unwrap_or(new.channel_id);
    if new == old {
        return Ok(false);
    }
    machine.tx.put(WEBHOOKS, op.webhook_id, &new);
    if new.channel_id != old.channel_id {
        machine.tx.delete(CHANNEL_WEBHOOKS, (old.channel_id, op.webhook_id));
        enter(machine, op.webhook_id, &new);
    }
    emit(machine, new.server_id, new.channel_id);
    if new.channel_id != old.channel_id {
        emit(machine, new.server_id, old.channel_id);
    }
    Ok(true)
}

pub(in crate::domain) fn webhook_delete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &WebhookDelete,
) -> Result<()> {
    let webhook = manageable(machine.asking(actor), op.webhook_id)?;
    let (server_id, channel_id) = (ServerId::from(&webhook.server_id), ChannelId::from(&webhook.channel_id));
    machine.tx.remove(SERVER_WEBHOOKS, (server_id, op.webhook_id));
    machine.ensure(|read| !read.contains(WEBHOOKS, op.webhook_id), "no token outlives its webhook");
    emit(machine, server_id, channel_id);
    Ok(())
}

pub(in crate::domain) fn webhook_token_replace(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &WebhookTokenReplace,
) -> Result<()> {
    let webhook = Webhook::from(manageable(machine.asking(actor), op.webhook_id)?);
    let webhook = Webhook { secret_hash: op.secret_hash.0, holder_id: actor, ..webhook };
    machine.tx.put(WEBHOOKS, op.webhook_id, &webhook);
    Ok(())
}

/// Lists it where it stands.
fn enter(machine: &mut Machine<'_, '_>, webhook_id: WebhookId, webhook: &Webhook) {
    let Webhook { server_id, channel_id, .. } = *webhook;
    machine.tx.put(SERVER_WEBHOOKS, (server_id, webhook_id), &channel_id.into());
    machine.tx.put(CHANNEL_WEBHOOKS, (channel_id, webhook_id), &server_id.into());
}

/// Tells those who may manage them that something of the webhooks of a channel is new.
fn emit(machine: &mut Machine<'_, '_>, server_id: ServerId, channel_id: ChannelId) {
    let payload = payload(|object| {
        object.id("guild_id", server_id.0).id("channel_id", channel_id.0);
    });
    let audience = Audience::Channel { server_id, channel_id, all_of: CHANNELS_VIEW | WEBHOOKS_MANAGE };
    machine.emit(Event::new(EventName::WebhooksUpdate, intent::GUILD_WEBHOOKS, audience, payload));
}

// ------------------------------------------------------------------------------------------- queries

shape! {
    /// A webhook. Its token is shown when it was made or replaced, and never again.
    pub WebhookResponse(id: WebhookId, webhook: &ArchivedWebhook, token: Option<&str>, url: Option<&str>) {
        id: id = id.0,
        channel_id: id = ChannelId::from(&webhook.channel_id).0,
        server_id: id = ServerId::from(&webhook.server_id).0,
        creator_id: id = UserId::from(&webhook.creator_id).0,
        name: str = &webhook.name,
        avatar_url: opt_str = webhook.avatar_url.as_deref(),
        token: opt_str = token,
        /// Where to post, with the token in it.
        url: opt_str = url,
        created_at: time = webhook.created_at.to_native(),
    }
}

shape! {
    /// A webhook in a list.
    pub WebhookListItemResponse(id: WebhookId, webhook: &ArchivedWebhook) {
        id: id = id.0,
        channel_id: id = ChannelId::from(&webhook.channel_id).0,
        server_id: id = ServerId::from(&webhook.server_id).0,
        creator_id: opt_id = Some(UserId::from(&webhook.creator_id).0),
        name: str = &webhook.name,
        avatar_url: opt_str = webhook.avatar_url.as_deref(),
        created_at: time = webhook.created_at.to_native(),
    }
}

/// The webhooks of a server as a JSON list, oldest first: those of channels where he who asks may manage them.
pub fn write_list(out: &mut Vec<u8>, standing: &Standing<'_>) {
    const NEEDED: u64 = CHANNELS_VIEW | WEBHOOKS_MANAGE;
    let read = standing.asking.read;
    let all = read.scan(SERVER_WEBHOOKS, standing.server_id);
    let manages = |channel_id| standing.permissions_in(channel_id) & NEEDED == NEEDED;
    let ids = all.filter(|(_, channel)| manages(ChannelId::from(&channel.id))).map(|((_, id), _)| id);
    write_items(out, read, ids);
}

/// The webhooks of a channel as a JSON list, oldest first.
pub fn write_list_of_channel(out: &mut Vec<u8>, read: Read<'_>, channel_id: ChannelId) {
    write_items(out, read, read.scan(CHANNEL_WEBHOOKS, channel_id).map(|((_, id), _)| id));
}

fn write_items(out: &mut Vec<u8>, read: Read<'_>, ids: impl Iterator<Item = WebhookId>) {
    let mut list = Array::new(out);
    for id in ids.take(WEBHOOK_COUNT_MAX) {
        if let Some(webhook) = read.get(WEBHOOKS, id) {
            WebhookListItemResponse::write(list.item(), id, webhook);
        }
    }
}
