//! Webhooks: managing them, and what programs post with their token in the path, in our own form and in those of
//! GitHub and Slack.

pub mod embed;
pub mod github;
pub mod slack;
pub mod webhooks;

use super::routes::Answer::{List, One, OneOrSuccess, Text};
use super::routes::{json, json_or_form, routes};
use crate::domain::hooks::execution::WebhookMessageResponse;
use crate::domain::hooks::webhook::{WebhookListItemResponse, WebhookResponse};
use crate::limits::{FORM_LEN_MAX, JSON_LEN_MAX};

routes! {
    /// Make a webhook. Its token is in the answer, and only there.
    Post "/webhooks" => webhooks::webhook_create, User, WebhooksCreate {
        body: json(FORM_LEN_MAX),
        form: Some(&webhooks::WEBHOOK_CREATE),
        answer: One(WebhookResponse::SHAPE),
    };
    /// One webhook, without its token.
    Get "/webhooks/{webhook_id}" => webhooks::webhook_get, User, Default { answer: One(WebhookResponse::SHAPE) };
    /// Change name, picture or channel.
    Patch "/webhooks/{webhook_id}" => webhooks::webhook_edit, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&webhooks::WEBHOOK_EDIT),
        answer: One(WebhookResponse::SHAPE),
    };
    /// Delete a webhook.
    Delete "/webhooks/{webhook_id}" => webhooks::webhook_delete, User, Default;
    /// Make the token void and get another one.
    Post "/webhooks/{webhook_id}/regenerate-token" => webhooks::webhook_token_regenerate, User, Default {
        answer: One(WebhookResponse::SHAPE),
    };
    /// Webhooks of a server.
    Get "/servers/{server_id}/webhooks" => webhooks::webhook_list, User, Default {
        answer: List(WebhookListItemResponse::SHAPE),
    };
    /// Webhooks of a channel.
    Get "/channels/{channel_id}/webhooks" => webhooks::channel_webhook_list, User, Default {
        answer: List(WebhookListItemResponse::SHAPE),
    };

    /// Post a message as the webhook. With `wait` the answer is the message. Programs elsewhere call it, which know its
    /// address alone: no access token.
    Post pipelined "/webhooks/{webhook_id}/{token}" => webhooks::webhook_execute, Webhook, WebhooksExecute {
        ungated: true,
        body: json(JSON_LEN_MAX),
        query: Some(&webhooks::EXECUTE_QUERY),
        form: Some(&webhooks::WEBHOOK_EXECUTE),
        answer: OneOrSuccess(WebhookMessageResponse::SHAPE),
    };
    /// An extension: takes what GitHub sends to a webhook of a repository, and posts an embed. Events that say nothing
    /// here are accepted. GitHub has no header to give: no access token.
    Post pipelined "/webhooks/{webhook_id}/{token}/github" => webhooks::webhook_execute_github, Webhook, WebhooksExecute {
        ungated: true,
        body: json_or_form(JSON_LEN_MAX),
        query: Some(&webhooks::FOREIGN_QUERY),
    };
    /// An extension: takes what is sent to an incoming webhook of Slack. No access token, as with the one before.
    Post pipelined "/webhooks/{webhook_id}/{token}/slack" => webhooks::webhook_execute_slack, Webhook, WebhooksExecute {
        ungated: true,
        body: json_or_form(JSON_LEN_MAX),
        query: Some(&webhooks::FOREIGN_QUERY),
        form: Some(&slack::SLACK_MESSAGE),
        answer: Text("ok"),
    };
}
