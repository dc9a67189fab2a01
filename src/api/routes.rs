//! The table of routes: method, path, handler, who may call it, which bucket limits it.
//!
//! Router, rate limits, metric labels, the route list and the coverage test of the contract tests read this table.
//! Paths are below `api.api_prefix`, except `root` rows. A handler's name is its operation id.

use super::ctx::Handler;
use super::system;
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
}
