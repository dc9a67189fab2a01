//! People among themselves: relationships, presence, direct messages, groups, settings.

pub mod dms;
pub mod groups;
#[cfg(test)]
mod groups_tests;
pub mod presence;
pub mod relationships;
pub mod settings;

use super::routes::Answer::{List, One};
use super::routes::{json, routes};
use crate::domain::identity::right::Right;
use crate::domain::social::dm::{DMChannelResponse, NotesChannelResponse};
use crate::domain::social::group::GroupResponse;
use crate::domain::social::presence::PresenceResponse;
use crate::domain::social::relationship::{DetailedRelationshipInfo, RelationshipResponse};
use crate::domain::social::setting::{MessagingSettingsResponse, SettingResponse, SettingsResponse};
use crate::limits::{FORM_LEN_MAX, JSON_LEN_MAX};

routes! {
    /// Get or create the private notes channel.
    Get "/users/@me/notes" => dms::notes_get, User, Default {
        right: Some(Right::ConversationsCreate),
        answer: One(NotesChannelResponse::SHAPE),
    };
    /// Direct messages, latest message first.
    Get "/users/@me/channels" => dms::dm_list, User, Default { answer: List(DMChannelResponse::SHAPE) };
    /// Open or find a direct message.
    Post "/users/@me/channels" => dms::dm_open, User, Default {
        right: Some(Right::ConversationsCreate),
        body: json(FORM_LEN_MAX),
        form: Some(&dms::DM_OPEN),
        answer: One(DMChannelResponse::SHAPE),
    };
    /// An extension: groups, latest message first.
    Get "/users/@me/groups" => groups::group_list, User, Default { answer: List(GroupResponse::SHAPE) };
    /// An extension: open a group with others. Its messages are those of the channel with its id.
    Post "/users/@me/groups" => groups::group_open, User, Default {
        right: Some(Right::ConversationsCreate),
        body: json(FORM_LEN_MAX),
        form: Some(&groups::GROUP_OPEN),
        answer: One(GroupResponse::SHAPE),
    };
    /// An extension: one group.
    Get "/groups/{group_id}" => groups::group_get, User, Default { answer: One(GroupResponse::SHAPE) };
    /// An extension: name a group, or hand it to another participant.
    Patch "/groups/{group_id}" => groups::group_edit, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&groups::GROUP_EDIT),
        answer: One(GroupResponse::SHAPE),
    };
    /// An extension: bring somebody into a group.
    Put "/groups/{group_id}/participants/{user_id}" => groups::group_add, User, Default {
        right: Some(Right::ConversationsInvite),
        answer: One(GroupResponse::SHAPE),
    };
    /// An extension: take somebody out of a group.
    Delete "/groups/{group_id}/participants/{user_id}" => groups::group_remove, User, Default {
        right: Some(Right::ConversationsLeave),
    };
    /// An extension: leave a group. Who has been in it longest follows an owner.
    Post "/groups/{group_id}/leave" => groups::group_leave, User, Default {
        right: Some(Right::ConversationsLeave),
    };

    /// Own messaging preferences.
    Get "/users/@me/messaging-settings" => settings::messaging_get, User, Default {
        answer: One(MessagingSettingsResponse::SHAPE),
    };
    /// Change messaging preferences.
    Patch "/users/@me/messaging-settings" => settings::messaging_edit, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&settings::MESSAGING),
        answer: One(MessagingSettingsResponse::SHAPE),
    };
    /// All client settings.
    Get "/users/@me/settings" => settings::setting_list, User, Default { answer: One(SettingsResponse::SHAPE) };
    /// Set many client settings, all or none.
    Put "/users/@me/settings/bulk" => settings::setting_put_bulk, User, Default { body: json(JSON_LEN_MAX) };
    /// One client setting.
    Get "/users/@me/settings/{key}" => settings::setting_get, User, Default { answer: One(SettingResponse::SHAPE) };
    /// Set one client setting.
    Put "/users/@me/settings/{key}" => settings::setting_put, User, Default {
        body: json(JSON_LEN_MAX),
        form: Some(&settings::SETTING),
        answer: One(SettingResponse::SHAPE),
    };
    /// Delete one client setting.
    Delete "/users/@me/settings/{key}" => settings::setting_delete, User, Default;

    /// Friends, requests and blocks.
    Get "/relationships/@me" => relationships::relationship_list, User, RelationshipsList {
        answer: List(DetailedRelationshipInfo::SHAPE),
    };
    /// Send a friend request.
    Post "/relationships" => relationships::friend_request, User, RelationshipsCreate {
        body: json(FORM_LEN_MAX),
        form: Some(&relationships::FRIEND_REQUEST),
        answer: One(RelationshipResponse::SHAPE),
    };
    /// Block a user.
    Post "/relationships/block" => relationships::block, User, RelationshipsBlock {
        body: json(FORM_LEN_MAX),
        form: Some(&relationships::BLOCK),
        answer: One(RelationshipResponse::SHAPE),
    };
    /// Accept a friend request.
    Put "/relationships/{user_id}/accept" => relationships::friend_accept, User, Default;
    /// Unfriend, decline, cancel or unblock.
    Delete "/relationships/{user_id}" => relationships::relationship_delete, User, Default;

    /// Set own presence.
    Put "/users/@me/presence" => presence::presence_set, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&presence::PRESENCE),
        answer: One(PresenceResponse::SHAPE),
    };
    /// Presence of a user.
    Get "/users/{user_id}/presence" => presence::presence_get, User, Default { answer: One(PresenceResponse::SHAPE) };
}
