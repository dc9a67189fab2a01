//! What is said in channels: messages, reactions, pins, polls, read marks, typing.

pub mod attachments;
#[cfg(test)]
mod clearing_tests;
pub mod custom_emojis;
pub mod embeds;
pub mod messages;
pub mod notifications;
pub mod pins;
pub mod polls;
#[cfg(test)]
mod polls_tests;
pub mod reactions;
pub mod read_marks;
pub mod typing;
#[cfg(test)]
mod writing_tests;

use super::routes::Answer::{List, One};
use super::routes::{json, routes};
use crate::domain::chat::message_view::MESSAGE;
use crate::domain::chat::notification::NotificationsResponse;
use crate::domain::chat::poll_view::{PollResponse, PollResultsResponse};
use crate::domain::chat::reaction::{REACTION, ReactionUserResponse};
use crate::domain::identity::right::Right;
use crate::limits::{FORM_LEN_MAX, JSON_LEN_MAX};

routes! {
    /// A page of messages, newest first.
    Get "/channels/{channel_id}/messages" => messages::message_list, User, MessagesList {
        right: Some(Right::MessagesRead),
        query: Some(&messages::MESSAGE_LIST),
        answer: List(MESSAGE),
    };
    /// Send a message to a channel.
    Post pipelined "/channels/{channel_id}/messages" => messages::message_create, User, MessagesCreate {
        right: Some(Right::MessagesSend),
        body: json(JSON_LEN_MAX),
        form: Some(&messages::MESSAGE_CREATE),
        answer: One(MESSAGE),
    };
    /// One message.
    Get "/channels/{channel_id}/messages/{message_id}" => messages::message_get, User, Default {
        right: Some(Right::MessagesRead),
        answer: One(MESSAGE),
    };
    /// Change the text of an own message.
    Patch "/channels/{channel_id}/messages/{message_id}" => messages::message_edit, User, MessagesEdit {
        right: Some(Right::MessagesEdit),
        body: json(JSON_LEN_MAX),
        form: Some(&messages::MESSAGE_EDIT),
        answer: One(MESSAGE),
    };
    /// Delete a message.
    Delete "/channels/{channel_id}/messages/{message_id}" => messages::message_delete, User, MessagesEdit {
        right: Some(Right::MessagesDelete),
    };
    /// An extension: delete several messages of a channel at once.
    Post "/channels/{channel_id}/messages/bulk-delete" => messages::message_bulk_delete, User, MessagesEdit {
        right: Some(Right::MessagesDelete),
        body: json(FORM_LEN_MAX),
        form: Some(&messages::MESSAGES_DELETE),
        answer: One(messages::MessageBulkDeleteResponse::SHAPE),
    };

    /// How many messages of a channel are unread.
    Get "/channels/{channel_id}/messages/unread" => read_marks::unread_get, User, Default {
        right: Some(Right::MessagesRead),
        answer: One(read_marks::UnreadCountResponse::SHAPE),
    };
    /// Unread counts of all channels that have unread messages.
    Get "/users/@me/unread" => read_marks::unread_list, User, Default {
        right: Some(Right::MessagesRead),
        answer: One(read_marks::AllUnreadCountsResponse::SHAPE),
    };
    /// Mark a channel read, up to a message or whole.
    Post "/channels/{channel_id}/messages/ack" => read_marks::channel_ack, User, Default {
        right: Some(Right::MessagesRead),
        query: Some(&read_marks::CHANNEL_ACK),
        answer: One(read_marks::AckResponse::SHAPE),
    };
    /// Mark several channels read.
    Post "/channels/ack/bulk" => read_marks::channel_ack_bulk, User, Default {
        right: Some(Right::MessagesRead),
        body: json(JSON_LEN_MAX),
    };

    /// Notifications, newest first.
    Get "/users/@me/notifications" => notifications::notification_list, User, Default {
        query: Some(&notifications::NOTIFICATION_LIST),
        answer: One(NotificationsResponse::SHAPE),
    };
    /// Mark all notifications read.
    Put "/users/@me/notifications/read-all" => notifications::notification_read_all, User, Default;
    /// Mark a notification read.
    Put "/users/@me/notifications/{notification_id}/read" => notifications::notification_read, User, Default;

    /// Pinned messages, newest pin first.
    Get "/channels/{channel_id}/pins" => pins::pin_list, User, Default {
        right: Some(Right::MessagesRead),
        answer: List(MESSAGE),
    };
    /// Pin a message.
    Put "/channels/{channel_id}/pins/{message_id}" => pins::pin_create, User, Default;
    /// Unpin a message.
    Delete "/channels/{channel_id}/pins/{message_id}" => pins::pin_delete, User, Default;

    /// Reactions of a message with their counts.
    Get "/channels/{channel_id}/messages/{message_id}/reactions" => reactions::reaction_list, User, Default {
        right: Some(Right::MessagesRead),
        answer: List(REACTION),
    };
    /// Who reacted with an emoji.
    Get "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}" => reactions::reaction_user_list, User, Default {
        right: Some(Right::MessagesRead),
        query: Some(&reactions::REACTION_USERS),
        answer: List(ReactionUserResponse::SHAPE),
    };
    /// React to a message.
    Put "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}" => reactions::reaction_create, User, Reactions {
        right: Some(Right::MessagesReact),
    };
    /// Take an own reaction back.
    Delete "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}" => reactions::reaction_delete, User, Reactions {
        right: Some(Right::MessagesReact),
    };
    /// An extension: take all reactions from a message.
    Delete "/channels/{channel_id}/messages/{message_id}/reactions" => reactions::reaction_clear, User, Default {
        right: Some(Right::MessagesDelete),
    };
    /// An extension: take one emoji from a message, whoever has reacted with it.
    Delete "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}/all" => reactions::reaction_clear_emoji, User, Default {
        right: Some(Right::MessagesDelete),
    };

    /// Put a poll into an own message.
    Post "/polls" => polls::poll_create.await, User, Default {
        right: Some(Right::MessagesSend),
        body: json(FORM_LEN_MAX),
        form: Some(&polls::POLL_CREATE),
        answer: One(PollResponse::SHAPE),
    };
    /// One poll.
    Get "/polls/{poll_id}" => polls::poll_get, User, Default {
        right: Some(Right::MessagesRead),
        answer: One(PollResponse::SHAPE),
    };
    /// What was chosen in a poll, and by the caller.
    Get "/polls/{poll_id}/results" => polls::poll_results, User, Default {
        right: Some(Right::MessagesRead),
        answer: One(PollResultsResponse::SHAPE),
    };
    /// Vote, instead of how one did before.
    Post pipelined "/polls/{poll_id}/vote" => polls::poll_vote, User, Default {
        right: Some(Right::MessagesRead),
        body: json(FORM_LEN_MAX),
        form: Some(&polls::POLL_VOTE),
        answer: One(PollResultsResponse::SHAPE),
    };
    /// End a poll now.
    Post "/polls/{poll_id}/close" => polls::poll_close, User, Default {
        right: Some(Right::MessagesRead),
        answer: One(PollResponse::SHAPE),
    };
    /// Take a poll out of its message.
    Delete "/polls/{poll_id}" => polls::poll_delete, User, Default { right: Some(Right::MessagesRead) };

    /// Tell the others that one is typing.
    Post "/channels/{channel_id}/typing" => typing::typing_start, User, Default { right: Some(Right::MessagesSend) };
}
