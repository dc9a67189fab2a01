//! What a webhook says: a message like any other, under the webhook's name.
//!
//! Its author is the webhook's creator, whether or not he is still there, and whoever he is to its readers: who has
//! blocked him is not told of mentions, he is not told of his own, and a ban that takes his messages along takes these
//! too. `@everyone` calls upon everybody as far as he may do that there now. Slowmode is for people.

use rkyv::{Archive, Deserialize, Serialize};

use super::webhook::{find, require_token};
use crate::domain::chat::mention;
use crate::domain::chat::message::{self, Draft, Scope, check_content};
use crate::domain::chat::notification::{self, Calls};
use crate::domain::contact::silenced;
use crate::domain::error::{Refusal, Result};
use crate::domain::identity::credential::Secret;
use crate::domain::machine::Machine;
use crate::domain::permission::MESSAGES_MENTION_EVERYONE;
use crate::domain::verdict;
use crate::id::{ChannelId, MessageId, RoleId, ServerId, UserId, WebhookId};
use crate::store::records::{ArchivedMessage, ArchivedWebhookAuthor, Webhook, WebhookAuthor};
use crate::store::tables::{CHANNELS, SERVERS};
use crate::wire::json::shape::shape;

/// Posts a message by a webhook. The server itself submits it, for whoever has shown the token.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct WebhookExecute {
    pub webhook_id: WebhookId,
    /// Of the secret that was shown.
    pub secret_hash: Secret<[u8; 32]>,
    pub content: String,
    /// A JSON list, compact and checked; empty text when there are none.
    pub embeds: String,
    /// Instead of the webhook's.
    pub username: Option<String>,
    pub avatar_url: Option<String>,
    /// Characters that the content may have.
    pub length_max: u64,
}

pub(in crate::domain) fn webhook_execute(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &WebhookExecute,
) -> Result<(ChannelId, MessageId)> {
    let read = machine.read();
    let webhook = find(read, op.webhook_id)?;
    require_token(read, webhook, &op.secret_hash)?;
    let Webhook { server_id, channel_id, creator_id, holder_id, name, avatar_url, .. } =
        Webhook::from(webhook);
    // Whoever has the secret says what its holder may.
    silenced::check(read, holder_id, machine.at)?;
    let channel = read.get(CHANNELS, channel_id).ok_or(Refusal::WebhookNotFound)?;
    check_content(&op.content, !op.embeds.is_empty(), op.length_max)?;
    let passed = verdict::pass(machine, Some(server_id), channel_id, creator_id)?;
    let webhook = WebhookAuthor {
        webhook_id: op.webhook_id,
        name: op.username.clone().unwrap_or(name),
        avatar_url: op.avatar_url.clone().or(avatar_url),
    };
    let draft = Draft {
        author_id: creator_id,
        content: op.content.clone(),
        reply_to_id: None,
        embeds: op.embeds.clone(),
        webhook: Some(Box::new(webhook)),
        poll: None,
        files: Vec::new(),
    };
    let scope = Scope::of(channel_id, channel);
    let fan_out =
        notification::call(mention::find(&op.content), || calls(machine, server_id, channel_id, creator_id));
    Ok((channel_id, message::post(machine, scope, draft, fan_out, passed)))
}

/// Upon whom a webhook may call there.
fn calls(machine: &Machine<'_, '_>, server_id: ServerId, channel_id: ChannelId, creator_id: UserId) -> Calls {
    let access = machine.asking(creator_id).channel(channel_id);
    let everyone = access.is_ok_and(|access| access.has(MESSAGES_MENTION_EVERYONE));
    let server = machine.read().get(SERVERS, server_id);
    Calls { default_role: server.map(|server| RoleId::from(&server.everyone_role_id)), everyone }
}

shape! {
    /// What a webhook has said.
    pub WebhookMessageResponse(channel_id: ChannelId, id: MessageId, message: &ArchivedMessage, webhook: &ArchivedWebhookAuthor) {
        id: id = id.0,
        webhook_id: id = WebhookId::from(&webhook.webhook_id).0,
        channel_id: id = channel_id.0,
        content: str = &message.content,
        username: str = &webhook.name,
        avatar_url: opt_str = webhook.avatar_url.as_deref(),
        created_at: time = message.created_at.to_native(),
    }
}
