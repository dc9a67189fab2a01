//! People among themselves: relationships, presence, direct messages, settings.

pub mod dms;
pub mod presence;
pub mod relationships;
pub mod settings;

use super::routes::{json, routes};
use crate::limits::{FORM_LEN_MAX, JSON_LEN_MAX};

routes! {
    /// Get or create the private notes channel.
    Get "/users/@me/notes" => dms::notes_get, User, Default;
    /// Direct messages, latest message first.
    Get "/users/@me/channels" => dms::dm_list, User, Default;
    /// Open or find a direct message.
    Post "/users/@me/channels" => dms::dm_open, User, Default { body: json(FORM_LEN_MAX) };

    /// Own messaging preferences.
    Get "/users/@me/messaging-settings" => settings::messaging_get, User, Default;
    /// Change messaging preferences.
    Patch "/users/@me/messaging-settings" => settings::messaging_edit, User, Default { body: json(FORM_LEN_MAX) };
    /// All client settings.
    Get "/users/@me/settings" => settings::setting_list, User, Default;
    /// Set many client settings, all or none.
    Put "/users/@me/settings/bulk" => settings::setting_put_bulk, User, Default { body: json(JSON_LEN_MAX) };
    /// One client setting.
    Get "/users/@me/settings/{key}" => settings::setting_get, User, Default;
    /// Set one client setting.
    Put "/users/@me/settings/{key}" => settings::setting_put, User, Default { body: json(JSON_LEN_MAX) };
    /// Delete one client setting.
    Delete "/users/@me/settings/{key}" => settings::setting_delete, User, Default;

    /// Friends, requests and blocks.
    Get "/relationships/@me" => relationships::relationship_list, User, RelationshipsList;
    /// Send a friend request.
    Post "/relationships" => relationships::friend_request, User, RelationshipsCreate { body: json(FORM_LEN_MAX) };
    /// Block a user.
    Post "/relationships/block" => relationships::block, User, RelationshipsBlock { body: json(FORM_LEN_MAX) };
    /// Accept a friend request.
    Put "/relationships/{user_id}/accept" => relationships::friend_accept, User, Default;
    /// Unfriend, decline, cancel or unblock.
    Delete "/relationships/{user_id}" => relationships::relationship_delete, User, Default;

    /// Set own presence.
    Put "/users/@me/presence" => presence::presence_set, User, Default { body: json(FORM_LEN_MAX) };
    /// Presence of a user.
    Get "/users/{user_id}/presence" => presence::presence_get, User, Default;
}
