//! What is said in channels: messages, reactions, pins, read marks, typing.

pub mod embeds;
pub mod messages;
pub mod pins;
pub mod reactions;
pub mod read_marks;
pub mod typing;
#[cfg(test)]
mod writing_tests;

use super::routes::{json, routes};
use crate::limits::JSON_LEN_MAX;

routes! {
    /// A page of messages, newest first.
    Get "/channels/{channel_id}/messages" => messages::message_list, User, MessagesList;
    /// Send a message to a channel.
    Post pipelined "/channels/{channel_id}/messages" => messages::message_create, User, MessagesCreate { body: json(JSON_LEN_MAX) };
    /// One message.
    Get "/channels/{channel_id}/messages/{message_id}" => messages::message_get, User, Default;
    /// Change the text of an own message.
    Patch "/channels/{channel_id}/messages/{message_id}" => messages::message_edit, User, MessagesEdit { body: json(JSON_LEN_MAX) };
    /// Delete a message.
    Delete "/channels/{channel_id}/messages/{message_id}" => messages::message_delete, User, MessagesEdit;

    /// How many messages of a channel are unread.
    Get "/channels/{channel_id}/messages/unread" => read_marks::unread_get, User, Default;
    /// Unread counts of all channels that have unread messages.
    Get "/users/@me/unread" => read_marks::unread_list, User, Default;
    /// Mark a channel read, up to a message or whole.
    Post "/channels/{channel_id}/messages/ack" => read_marks::channel_ack, User, Default;
    /// Mark several channels read.
    Post "/channels/ack/bulk" => read_marks::channel_ack_bulk, User, Default { body: json(JSON_LEN_MAX) };

    /// Pinned messages, newest pin first.
    Get "/channels/{channel_id}/pins" => pins::pin_list, User, Default;
    /// Pin a message.
    Put "/channels/{channel_id}/pins/{message_id}" => pins::pin_create, User, Default;
    /// Unpin a message.
    Delete "/channels/{channel_id}/pins/{message_id}" => pins::pin_delete, User, Default;

    /// Reactions of a message with their counts.
    Get "/channels/{channel_id}/messages/{message_id}/reactions" => reactions::reaction_list, User, Default;
    /// Who reacted with an emoji.
    Get "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}" => reactions::reaction_user_list, User, Default;
    /// React to a message.
    Put "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}" => reactions::reaction_create, User, Reactions;
    /// Take an own reaction back.
    Delete "/channels/{channel_id}/messages/{message_id}/reactions/{emoji}" => reactions::reaction_delete, User, Reactions;

    /// Tell the others that one is typing.
    Post "/channels/{channel_id}/typing" => typing::typing_start, User, Default;
}
