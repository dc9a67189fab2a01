//! The table of routes: method, path, handler, who may call it, which bucket limits it.
//!
//! Router, rate limits, metric labels, the route list and the coverage test of the contract tests read this table.
//! Paths are below `api.api_prefix`, except `root` rows. A handler's name is its operation id.

use super::ctx::Handler;
use super::system;
use super::{bans, channels, invites, members, roles, servers};
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
    pub handler: Handler,
    pub auth: Auth,
    pub bucket: Bucket,
    pub doc: &'static str,
}

macro_rules! routes {
    ($($(#[doc = $doc:literal])+ $method:ident $($root:ident)? $path:literal => $group:ident::$handler:ident, $auth:ident, $bucket:ident;)*) => {
        pub const ROUTES: &[Route] = &[$(Route {
            method: Method::$method,
            path: $path,
            root: routes!(@root $($root)?),
            name: stringify!($handler),
            group: stringify!($group),
            handler: $group::$handler,
            auth: Auth::$auth,
            bucket: Bucket::$bucket,
            doc: concat!($($doc),+),
        }),*];
    };
    (@root root) => { true };
    (@root) => { false };
}

routes! {
    /// Service banner.
    Get root "/" => system::root, Public, Exempt;
    /// Liveness and readiness.
    Get root "/health" => system::health, Public, Exempt;
    /// API banner.
    Get "/" => system::api_root, Public, Default;
    /// Liveness and readiness.
    Get "/health" => system::health, Public, Exempt;
    /// Server version and oldest accepted client.
    Get "/version" => system::version, Public, Default;
    /// Whether a client version is acceptable.
    Post "/version/negotiate" => system::version_negotiate, Public, Default;
    /// Run state and uptime.
    Get "/status" => system::status, Public, Exempt;
    /// Public constants for clients.
    Get "/capabilities" => system::capabilities, Public, Default;

    // auth, users, settings, relationships, presence, direct messages

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
}
