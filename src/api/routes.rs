//! The table of routes: method, path, handler, who may call it, which bucket limits it.
//!
//! Router, rate limits, metric labels, the route list and the coverage test of the contract tests read this table.
//! Paths are below `api.api_prefix`, except those of `root` rows. What `pipelined` and `secret` say stands at
//! [`Route::pipelined`] and [`Route::secret`]. A handler's name is its operation id.

use super::ctx::Handler;
use super::{chat, community, identity, media, service, social};
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
#[derive(Clone, Copy)]
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
        pub const ROUTES: &[$crate::api::routes::Route] = &[$($crate::api::routes::Route {
            method: $crate::wire::http::Method::$method,
            path: $path,
            root: $crate::api::routes::routes!(@root $($mark)?),
            pipelined: $crate::api::routes::routes!(@pipelined $($mark)?),
            secret: $crate::api::routes::routes!(@secret $($mark)?),
            name: stringify!($handler),
            group: stringify!($group),
            handler: $group::$handler,
            auth: $crate::api::routes::Auth::$auth,
            bucket: $crate::api::routes::Bucket::$bucket,
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

pub(crate) use routes;

/// The rows of each area, in the order in which they are listed.
const AREAS: &[&[Route]] =
    &[service::ROUTES, identity::ROUTES, media::ROUTES, social::ROUTES, community::ROUTES, chat::ROUTES];

const COUNT: usize = {
    let (mut area, mut count) = (0, 0);
    while area < AREAS.len() {
        count += AREAS[area].len();
        area += 1;
    }
    count
};

pub const ROUTES: &[Route] = &{
    let mut all = [AREAS[0][0]; COUNT];
    let (mut area, mut count) = (0, 0);
    while area < AREAS.len() {
        let mut row = 0;
        while row < AREAS[area].len() {
            all[count] = AREAS[area][row];
            (count, row) = (count + 1, row + 1);
        }
        area += 1;
    }
    all
};

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
