//! The table of routes: method, path, handler, who may call it, which bucket limits it.
//!
//! Router, rate limits, metric labels, the route list and the coverage test of the contract tests read this table.
//! Paths are below `api.api_prefix`, except those of `root` rows. What `pipelined` and `secret` say stands at
//! [`Route::pipelined`] and [`Route::secret`]. A handler's name is its operation id.

use super::ctx::Handler;
use super::{
    auth, avatars, bans, channels, dms, invites, members, messages, pins, presence, reactions, read_marks,
    relationships, roles, servers, settings, system, typing, users,
};
use crate::wire::http::Method;

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody; a bad token is ignored.
    Public,
    /// A live login session of an account that is not locked.
    User,
    /// Like `User`, also for accounts that are frozen or must change something first.
    Restricted,
}

/// What limits a route besides the global and the user or address bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// Not limited at all.
    Exempt,
    /// One bucket per caller, method and route.
    Default,
    AuthLogin,
    AuthRegister,
    MessagesCreate,
    MessagesEdit,
    Reactions,
    MessagesList,
    UsersMeGet,
    UsersMeEdit,
    ServersCreate,
    ServersDelete,
    ServersGet,
    ServersChannelsList,
    RelationshipsList,
    RelationshipsCreate,
    RelationshipsBlock,
}

/// One endpoint.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    /// Not below `api.api_prefix`.
    pub root: bool,
    /// Operation id: the name of the handler.
    pub name: &'static str,
    /// The file it lives in.
    pub group: &'static str,
    /// What it does before the log needs no outcome of an earlier request: of several that come in one go, each may
    /// be submitted before those before it are answered. The log keeps their order, and decides.
    pub pipelined: bool,
    /// Its body holds a password: memory that is given back while it is at work is overwritten.
    pub secret: bool,
    pub handler: Handler,
    pub auth: Auth,
    pub bucket: Bucket,
    pub doc: &'static str,
}

macro_rules! routes {
    ($($(#[doc = $doc:literal])+ $method:ident $($mark:ident)? $path:literal => $group:ident::$handler:ident, $auth:ident, $bucket:ident;)*) => {
        pub const ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            root: routes!(@root $($mark)?),
            pipelined: routes!(@pipelined $($mark)?),
            secret: routes!(@secret $($mark)?),
            name: stringify!($handler),
            group: stringify!($group),
            handler: $group::$handler,
            auth: Auth::$auth,
            bucket: Bucket::$bucket,
            doc: concat!($($doc),+),
        }),*];
    };
    (@root root) => { true };
    (@root $($other:ident)?) => { false };
    (@pipelined pipelined) => { true };
    (@pipelined $($other:ident)?) => { false };
    (@secret secret) => { true };
    (@secret $($other:ident)?) => { false };
}

routes! {
    /// Service banner.
    Get root "/" => system::root, Public, Exempt;
    /// Whether the server runs: `healthy`, or `degraded` while it refuses changes.
    Get root "/health" => system::health, Public, Exempt;
    /// Liveness alone.
    Get root "/health/live" => system::health_live, Public, Exempt;
    /// Readiness: 503 with the reason while changes are refused.
    Get root "/health/ready" => system::health_ready, Public, Exempt;
    /// This description of the API.
    Get root "/openapi.json" => system::openapi, Public, Exempt;
    /// API banner.
    Get "/" => system::api_root, Public, Default;
    /// Whether the server runs.
    Get "/health" => system::health, Public, Exempt;
    /// Server version and oldest accepted client.
    Get "/version" => system::version, Public, Default;
    /// Whether a client version is acceptable.
    Post "/version/negotiate" => system::version_negotiate, Public, Default;
    /// Run state and uptime.
    Get "/status" => system::status, Public, Exempt;
    /// Public constants for clients.
    Get "/capabilities" => system::capabilities, Public, Default;
    /// For people who were logged out for security.
    Get "/help/security-logout" => system::help_security_logout, Public, Default;
    /// For people whose address is blocked.
    Get "/help/access-blocked" => system::help_access_blocked, Public, Default;

    // auth, users, settings, relationships, presence, direct messages
    /// Create an account and log in.
    Post secret "/auth/register" => auth::register, Public, AuthRegister;
    /// Log in with name or e-mail and password.
    Post secret "/auth/login" => auth::login, Public, AuthLogin;
    /// End the calling session.
    Post "/auth/logout" => auth::logout, User, Default;
    /// Extend the calling session.
    Post "/auth/refresh" => auth::refresh, User, Default;
    /// Own live sessions.
    Get "/auth/sessions" => auth::session_list, User, Default;
    /// End one session.
    Delete "/auth/sessions/{session_id}" => auth::session_delete, User, Default;
    /// End all other sessions, or all.
    Post "/auth/sessions/revoke-all" => auth::session_revoke_all, User, Default;
    /// Password and age-gate policy.
    Get "/auth/password-requirements" => auth::password_requirements, Public, Default;
    /// Own profile.
    Get "/users/@me" => users::me_get, User, UsersMeGet;
    /// Change user name, e-mail or password.
    Patch secret "/users/@me" => users::me_edit, User, UsersMeEdit;
    /// Schedule the deletion of the account.
    Delete secret "/users/@me" => users::me_delete, User, Default;
    /// Own tier, badges and limits.
    Get "/users/@me/features" => users::features_get, User, Default;
    /// One user by exact name.
    Get "/users/search" => users::user_search, User, Default;
    /// Generated picture of a user.
    Get "/avatars/users/{user_id}" => avatars::avatar_user_get, Public, Exempt;
    /// Generated picture of a server.
    Get "/avatars/servers/{server_id}" => avatars::avatar_server_get, Public, Exempt;
    /// Public profile.
    Get "/users/{user_id}" => users::user_get, User, Default;
    /// Get or create the private notes channel.
    Get "/users/@me/notes" => dms::notes_get, User, Default;
    /// Direct messages, latest message first.
    Get "/users/@me/channels" => dms::dm_list, User, Default;
    /// Open or find a direct message.
    Post "/users/@me/channels" => dms::dm_open, User, Default;
    /// Own messaging preferences.
    Get "/users/@me/messaging-settings" => settings::messaging_get, User, Default;
    /// Change messaging preferences.
    Patch "/users/@me/messaging-settings" => settings::messaging_edit, User, Default;
    /// All client settings.
    Get "/users/@me/settings" => settings::setting_list, User, Default;
    /// Set many client settings, all or none.
    Put "/users/@me/settings/bulk" => settings::setting_put_bulk, User, Default;
    /// One client setting.
    Get "/users/@me/settings/{key}" => settings::setting_get, User, Default;
    /// Set one client setting.
    Put "/users/@me/settings/{key}" => settings::setting_put, User, Default;
    /// Delete one client setting.
    Delete "/users/@me/settings/{key}" => settings::setting_delete, User, Default;
    /// Friends, requests and blocks.
    Get "/relationships/@me" => relationships::relationship_list, User, RelationshipsList;
    /// Send a friend request.
    Post "/relationships" => relationships::friend_request, User, RelationshipsCreate;
    /// Block a user.
    Post "/relationships/block" => relationships::block, User, RelationshipsBlock;
    /// Accept a friend request.
    Put "/relationships/{user_id}/accept" => relationships::friend_accept, User, Default;
    /// Unfriend, decline, cancel or unblock.
    Delete "/relationships/{user_id}" => relationships::relationship_delete, User, Default;
    /// Set own presence.
    Put "/users/@me/presence" => presence::presence_set, User, Default;
    /// Presence of a user.
    Get "/users/{user_id}/presence" => presence::presence_get, User, Default;

    // servers, members, bans, roles, channels, invites
    /// Servers the caller is a member of.
    Get "/servers" => servers::server_list, User, Default;
    /// Create a server, with a channel "general" and the role @everyone.
    Post "/servers" => servers::server_create, User, ServersCreate;
    /// One server.
    Get "/servers/{server_id}" => servers::server_get, User, ServersGet;
    /// Change name, description or default channel.
    Patch "/servers/{server_id}" => servers::server_edit, User, Default;
    /// Delete a server with all that is in it.
    Delete "/servers/{server_id}" => servers::server_delete, User, ServersDelete;
    /// The caller's permissions.
    Get "/servers/{server_id}/permissions" => servers::server_permissions, User, Default;
    /// Who changed what, newest first.
    Get "/servers/{server_id}/audit-logs" => servers::server_audit_log, User, Default;
    /// Leave a server.
    Post "/servers/{server_id}/leave" => servers::server_leave, User, Default;
    /// Members by user id.
    Get "/servers/{server_id}/members" => members::member_list, User, Default;
    /// Kick a member.
    Delete "/servers/{server_id}/members/{member_id}" => members::member_kick, User, Default;
    /// Give a role to a member.
    Put "/servers/{server_id}/members/{member_id}/roles/{role_id}" => members::member_role_add, User, Default;
    /// Take a role from a member.
    Delete "/servers/{server_id}/members/{member_id}/roles/{role_id}" => members::member_role_remove, User, Default;
    /// Bans, newest first.
    Get "/servers/{server_id}/bans" => bans::ban_list, User, Default;
    /// Ban a user, member or not.
    Put "/servers/{server_id}/bans/{user_id}" => bans::ban_create, User, Default;
    /// Lift a ban.
    Delete "/servers/{server_id}/bans/{user_id}" => bans::ban_delete, User, Default;
    /// Roles, highest first.
    Get "/servers/{server_id}/roles" => roles::role_list, User, Default;
    /// Create a role.
    Post "/servers/{server_id}/roles" => roles::role_create, User, Default;
    /// Change or move a role.
    Patch "/servers/{server_id}/roles/{role_id}" => roles::role_edit, User, Default;
    /// Delete a role.
    Delete "/servers/{server_id}/roles/{role_id}" => roles::role_delete, User, Default;
    /// Channels the caller may view, in their order.
    Get "/servers/{server_id}/channels" => channels::channel_list, User, ServersChannelsList;
    /// Create a channel.
    Post "/servers/{server_id}/channels" => channels::channel_create, User, Default;
    /// One channel of any kind.
    Get "/channels/{channel_id}" => channels::channel_get, User, Default;
    /// Change or move a channel.
    Patch "/channels/{channel_id}" => channels::channel_edit, User, Default;
    /// Delete a channel.
    Delete "/channels/{channel_id}" => channels::channel_delete, User, Default;
    /// Create an invite.
    Post "/channels/{channel_id}/invites" => invites::invite_create, User, Default;
    /// Look at an invite.
    Get "/channels/invites/{invite_code}" => invites::invite_get, User, Default;
    /// Join by an invite.
    Post "/channels/invites/{invite_code}" => invites::invite_use, User, Default;
    /// Revoke an invite.
    Delete "/channels/invites/{invite_code}" => invites::invite_delete, User, Default;
    /// Invites that still work, newest first.
    Get "/servers/{server_id}/invites" => invites::invite_list, User, Default;

    // messages, pins, read marks, reactions, typing
    /// A page of messages, newest first.
    Get "/channels/{channel_id}/messages" => messages::message_list, User, MessagesList;
    /// Send a message to a channel.
    Post pipelined "/channels/{channel_id}/messages" => messages::message_create, User, MessagesCreate;
    /// One message.
    Get "/channels/{channel_id}/messages/{message_id}" => messages::message_get, User, Default;
    /// Change the text of an own message.
    Patch "/channels/{channel_id}/messages/{message_id}" => messages::message_edit, User, MessagesEdit;
    /// Delete a message.
    Delete "/channels/{channel_id}/messages/{message_id}" => messages::message_delete, User, MessagesEdit;
    /// How many messages of a channel are unread.
    Get "/channels/{channel_id}/messages/unread" => read_marks::unread_get, User, Default;
    /// Unread counts of all channels that have unread messages.
    Get "/users/@me/unread" => read_marks::unread_list, User, Default;
    /// Mark a channel read, up to a message or whole.
    Post "/channels/{channel_id}/messages/ack" => read_marks::channel_ack, User, Default;
    /// Mark several channels read.
    Post "/channels/ack/bulk" => read_marks::channel_ack_bulk, User, Default;
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

/// The list of routes as `plexichat routes` prints it.
pub fn listing() -> String {
    let mut text = String::new();
    for route in ROUTES {
        let prefix = if route.root { "" } else { "<prefix>" };
        let path = format!("{prefix}{}", route.path);
        let limit = format!("{:?}", route.bucket);
        let line = format!(
            "{:<7} {path:<75} {:<26} {:<11} {limit}",
            route.method.as_str(),
            route.name,
            format!("{:?}", route.auth)
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
