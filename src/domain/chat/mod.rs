//! What is said in channels: messages, reactions, pins, polls, read marks, typing.

pub mod attachment;
pub mod clearing;
pub mod ledger;
pub mod mention;
pub mod message;
pub mod message_view;
pub mod notification;
pub mod pin;
pub mod poll;
pub mod poll_view;
pub mod reaction;
pub mod read_mark;
pub mod typing;
pub mod writing;

use super::command::commands;
use crate::id::{ChannelId, MessageId};

commands! { Chat:
    80 MessageCreate(message::MessageCreate) => message_create -> (ChannelId, MessageId), speaks;
    81 MessageEdit(message::MessageEdit) => message_edit -> (ChannelId, MessageId), speaks;
    82 MessageDelete(message::MessageDelete) => message_delete -> (), frees_room;
    85 ReactionAdd(reaction::ReactionAdd) => reaction_add -> bool, speaks;
    86 ReactionRemove(reaction::ReactionRemove) => reaction_remove -> bool, frees_room;
    90 MessagePin(pin::MessagePin) => message_pin -> bool;
    91 MessageUnpin(pin::MessageUnpin) => message_unpin -> bool, frees_room;
    95 ChannelAck(read_mark::ChannelAck) => channel_ack -> u64;
    96 ChannelsAck(read_mark::ChannelsAck) => channels_ack -> ();
    97 NotificationRead(notification::NotificationRead) => notification_read -> ();
    98 NotificationsRead(notification::NotificationsRead) => notifications_read -> ();
    200 PollPost(poll::PollPost) => poll_post -> (ChannelId, MessageId), speaks;
    201 PollCreate(poll::PollCreate) => poll_create -> (ChannelId, MessageId), speaks;
    202 PollVote(poll::PollVote) => poll_vote -> (ChannelId, MessageId);
    203 PollClose(poll::PollClose) => poll_close -> (ChannelId, MessageId);
    204 PollDelete(poll::PollDelete) => poll_delete -> (), frees_room;
    430 MessagesDelete(message::MessagesDelete) => messages_delete -> u64, frees_room;
    431 ReactionsClear(clearing::ReactionsClear) => reactions_clear -> bool, frees_room;
    441 FilesPost(attachment::FilesPost) => files_post -> (ChannelId, MessageId), speaks;
}
