//! The table of routes: method, path, handler, who may call it, which bucket limits it.
//!
//! Router, rate limits, metric labels, the route list and the coverage test of the contract tests read this table.
//! Paths are below `api.api_prefix`, except `root` rows. A handler's name is its operation id.

use super::ctx::Handler;
use super::system;
use super::{messages, pins, reactions, read_marks, typing};
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
    /// For people who were logged out for security.
    Get "/help/security-logout" => system::help_security_logout, Public, Default;
    /// For people whose address is blocked.
    Get "/help/access-blocked" => system::help_access_blocked, Public, Default;

    // auth, users, settings, relationships, presence, direct messages

    // servers, members, bans, roles, channels, invites

    // messages, pins, read marks, reactions, typing
    /// A page of messages, newest first.
    Get "/channels/{channel_id}/messages" => messages::message_list, User, MessagesList;
    /// Send a message to a channel.
    Post "/channels/{channel_id}/messages" => messages::message_create, User, MessagesCreate;
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
