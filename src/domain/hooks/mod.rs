//! Webhooks: addresses with a token, by which programs post into a channel.

pub mod execution;
pub mod webhook;

use super::command::commands;
use crate::id::{ChannelId, MessageId, WebhookId};

commands! { Hooks:
    220 WebhookCreate(webhook::WebhookCreate) => webhook_create -> WebhookId;
    221 WebhookEdit(webhook::WebhookEdit) => webhook_edit -> bool;
    222 WebhookDelete(webhook::WebhookDelete) => webhook_delete -> (), frees_room;
    223 WebhookTokenReplace(webhook::WebhookTokenReplace) => webhook_token_replace -> ();
    224 WebhookExecute(execution::WebhookExecute) => webhook_execute -> (ChannelId, MessageId), system;
}
