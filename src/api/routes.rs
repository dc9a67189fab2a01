//! The table of routes: method, path, handler, who may call it, which bucket limits it, what body it takes.
//!
//! Router, admission, rate limits, metric labels, the route list and the coverage test of the contract tests read this
//! table. Paths are below `api.api_prefix`, except those of `root` rows. What `pipelined` and `secret` say stands at
//! [`Route::pipelined`] and [`Route::secret`]. A handler's name is its operation id.
//!
//! What not every row has to say stands behind it in braces, by the name of its field in [`Route`]:
//!
//! ```text
//! /// Create a role.
//! Post "/servers/{server_id}/roles" => roles::role_create, User, Default { body: json(FORM_LEN_MAX) };
//! ```
//!
//! A handler that waits more than once is an `async fn`, and its name has `.await` behind it.

use super::ctx::{Handler, Step};
use super::fields::Fields;
use super::limiter::RuleId;
use super::router::CONSOLE;
use super::{
    admin, chat, community, console, contact, expression, hooks, identity, media, moderation, searching,
    service, social, voice,
};
use crate::config::Config;
use crate::domain::identity::right::{Kind as AccountKind, Right};
use crate::domain::{Error, Result};
use crate::limits::{BODY_IGNORED_LEN_MAX, FORM_LEN_MAX, PART_OVERHEAD_LEN_MAX};
use crate::wire::http::Method;
use crate::wire::json::shape::{Kind, Shape};
use crate::wire::json::{Value, parse_own};
use crate::wire::picture::{Header, Refused};

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Anybody; a bad token is ignored.
    Public,
    /// A live login session of an account that is not locked, or the token of a bot.
    User,
    /// Like `User`, without bots.
    Person,
    /// Like `User`, also for accounts that have to choose another name before anything else.
    Restricted,
    /// Whoever has the token of the webhook that the path names: `{webhook_id}` and `{token}`.
    Webhook,
    /// Like `User`, for what pages show: the token may stand in a cookie, and who has none may have a signature in the
    /// query, which the handler looks at.
    Media,
    /// A session of an administrator.
    Admin,
}

impl Auth {
    /// Whether a login session is asked for.
    pub fn is_login(self) -> bool {
        !matches!(self, Auth::Public | Auth::Webhook | Auth::Admin)
    }
}

/// What a request brings behind its head.
#[derive(Clone, Copy, Debug)]
pub enum BodyRule {
    /// Nothing that is looked at: a short body is read past.
    None,
    /// A JSON object of at most so many bytes, and of at most `api.max_body_size`.
    Json(usize),
    /// The same, or nothing, or `null`, which stand for an empty one.
    OptionalJson(usize),
    /// The same as [`BodyRule::Json`], or `application/x-www-form-urlencoded` with it in the field `payload`.
    JsonOrForm(usize),
    /// Some short fields in at most so many bytes, in either form that pages send.
    Form(usize),
    /// At most so many bytes of anything. The handler runs before they come, and takes them piece by piece
    /// ([`Step::Receive`]); it may take its time, nothing is read meanwhile.
    Stream(usize),
    /// `multipart/form-data` with one file of at most so many bytes and some short fields; a stream that the handler
    /// reads as a [`super::forms::Form`].
    Multipart(FileLen),
}

/// How long a file may be, by the configuration.
pub type FileLen = fn(&Config) -> u64;

/// A body of JSON, in bytes.
pub const fn json(len_max: usize) -> BodyRule {
    BodyRule::Json(len_max)
}

/// A body of JSON that may be left out, in bytes.
pub const fn optional_json(len_max: usize) -> BodyRule {
    BodyRule::OptionalJson(len_max)
}

/// A body of JSON, as it is or in a form, in bytes.
pub const fn json_or_form(len_max: usize) -> BodyRule {
    BodyRule::JsonOrForm(len_max)
}

/// A form without a file, in bytes.
pub const fn form(len_max: usize) -> BodyRule {
    BodyRule::Form(len_max)
}

/// A form with a file, in bytes of that.
pub const fn multipart(file_len_max: FileLen) -> BodyRule {
    BodyRule::Multipart(file_len_max)
}

impl BodyRule {
    /// The longest body that is read.
    pub fn len_max(self, config: &Config) -> usize {
        let json_len_max = usize::try_from(config.api.max_body_size).unwrap_or(usize::MAX);
        match self {
            BodyRule::None => json_len_max.min(BODY_IGNORED_LEN_MAX),
            BodyRule::Json(len_max)
            | BodyRule::OptionalJson(len_max)
            | BodyRule::JsonOrForm(len_max)
            | BodyRule::Form(len_max) => json_len_max.min(len_max),
            BodyRule::Stream(len_max) => len_max,
            BodyRule::Multipart(_) => self.file_len_max(config) as usize + PART_OVERHEAD_LEN_MAX,
        }
    }

    /// The longest file of a form.
    pub fn file_len_max(self, config: &Config) -> u64 {
        if let BodyRule::Multipart(len_max) = self { len_max(config) } else { 0 }
    }

    /// The handler takes it in pieces.
    pub fn is_stream(self) -> bool {
        matches!(self, BodyRule::Stream(_) | BodyRule::Multipart(_))
    }
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
    /// What the kind of the account must have a right to.
    pub right: Option<Right>,
    /// What limits it besides the global and the user or address bucket; `None`: it is not limited at all.
    pub bucket: Option<RuleId>,
    pub body: BodyRule,
    /// What its body has in it; `None` when the keys are data.
    pub form: Option<&'static dyn Fields>,
    pub query: Option<&'static dyn Fields>,
    /// Asks for no access token while the gate is closed (see [`super::gate`]). Those at the root never do.
    pub ungated: bool,
    pub answer: Answer,
    pub doc: &'static str,
    /// Its place in [`ROUTES`].
    pub index: u16,
}

/// What stands in an answer with status 200.
#[derive(Clone, Copy)]
pub enum Answer {
    /// `{"success": true}`.
    Success,
    One(&'static Shape),
    /// Either, as the query says.
    OneOrSuccess(&'static Shape),
    List(&'static Shape),
    /// An object whose keys are data.
    Map(&'static Kind),
    Html,
    /// Of whatever format.
    Picture,
    /// Whatever somebody has uploaded.
    File,
    /// What administrators take with them, as a file: JSON, a table of comma-separated values, or text.
    Export,
    /// This, as plain text.
    Text(&'static str),
    /// Any JSON.
    Json,
    /// No body, with status 204.
    Nothing,
}

impl Route {
    /// What rows are that do not say more.
    pub const PLAIN: Route = Route {
        method: Method::Get,
        path: "",
        root: false,
        name: "",
        group: "",
        pipelined: false,
        secret: false,
        handler: |_| Ok(Step::Done),
        auth: Auth::User,
        right: None,
        bucket: Some(RuleId::Default),
        body: BodyRule::None,
        form: None,
        query: None,
        ungated: false,
        answer: Answer::Success,
        doc: "",
        index: 0,
    };

    /// Whether it is one of the administrators' API: served in two places, and guarded by address.
    pub fn is_admin(&self) -> bool {
        !self.root && self.path.starts_with("/admin/")
    }

    /// Whether it is one of the administrators' console: pages below `admin_ui.path`, no part of the API.
    pub fn is_console(&self) -> bool {
        self.root && self.path.starts_with(CONSOLE)
    }

    /// Whether a parameter of its path is an id. What an upload in chunks is called is none: nobody is to guess it.
    pub fn takes_id(&self, parameter: &str) -> bool {
        parameter.ends_with("_id") && !self.path.starts_with("/media/upload/")
    }

    /// # Errors
    /// 403 when accounts of this kind may not do it.
    pub fn require_kind(&self, kind: AccountKind) -> Result<()> {
        if self.auth == Auth::Person && kind == AccountKind::Bot {
            return Err(Error::forbidden("A bot has no login session, and cannot do this"));
        }
        self.right.map_or(Ok(()), |right| kind.require(right))
    }
}

impl Answer {
    /// Whether the body of an answer with status 200 is what the row says.
    ///
    /// # Errors
    /// The first place where it is not, and why.
    pub fn check(self, body: &[u8]) -> std::result::Result<(), String> {
        match (self, body) {
            (Answer::Success | Answer::OneOrSuccess(_), br#"{"success":true}"#) => Ok(()),
            (Answer::Text(text), _) if text.as_bytes() == body => Ok(()),
            (Answer::Text(_), _) => Err("it is another text".into()),
            (Answer::Nothing, []) | (Answer::File | Answer::Export, _) => Ok(()),
            (Answer::Nothing, _) => Err("there is a body".into()),
            (Answer::Success, _) => Err("it does not say that it succeeded".into()),
            // Longer than what is read of strangers: the document of the API.
            (Answer::Json, [b'{', .., b'}']) if body.len() > FORM_LEN_MAX => Ok(()),
            (Answer::Html | Answer::Picture, [b'<', ..]) => Ok(()),
            (Answer::Picture, _) => Header::read(body).map(drop).map_err(|Refused(reason)| reason.into()),
            (Answer::Html, _) => Err("it begins with no tag".into()),
            _ => self.check_json(&parse_own(&mut body.to_vec()).map_err(|error| error.to_string())?),
        }
    }

    fn check_json(self, value: &Value<'_>) -> std::result::Result<(), String> {
        match self {
            Answer::One(shape) | Answer::OneOrSuccess(shape) => Kind::Object(shape).check(value),
            Answer::List(shape) => {
                let items = value.as_array().ok_or("it is no list")?;
                items.iter().try_for_each(|item| Kind::Object(shape).check(item))
            }
            Answer::Map(kind) => Kind::Map(kind).check(value),
            Answer::Success
            | Answer::Nothing
            | Answer::Html
            | Answer::Picture
            | Answer::File
            | Answer::Export
            | Answer::Text(_)
            | Answer::Json => Ok(()),
        }
    }
}

macro_rules! routes {
    (@handler $handler:path) => { $handler };
    (@handler $handler:path, await) => {
        |_| Ok($crate::api::ctx::Step::task(|ctx| Box::pin($handler(ctx))))
    };
    ($($(#[doc = $doc:literal])+ $method:ident $($mark:ident)? $path:literal => $group:ident::$handler:ident $(.$await:ident)?, $auth:ident, $bucket:ident $({ $($section:ident: $value:expr),+ $(,)? })?;)*) => {
        pub const ROUTES: &[$crate::api::routes::Route] = &[$($crate::api::routes::Route {
            method: $crate::wire::http::Method::$method,
            path: $path,
            name: stringify!($handler),
            group: stringify!($group),
            handler: $crate::api::routes::routes!(@handler $group::$handler $(, $await)?),
            auth: $crate::api::routes::Auth::$auth,
            bucket: $crate::api::routes::routes!(@bucket $bucket),
            doc: concat!($($doc),+),
            $($mark: true,)?
            $($($section: $value,)+)?
            ..$crate::api::routes::Route::PLAIN
        }),*];
    };
    (@bucket Exempt) => { None };
    (@bucket $bucket:ident) => { Some($crate::api::limiter::RuleId::$bucket) };
}

pub(crate) use routes;

/// The rows of each area, in the order in which they are listed.
const AREAS: &[&[Route]] = &[
    service::ROUTES,
    identity::ROUTES,
    media::ROUTES,
    social::ROUTES,
    community::ROUTES,
    chat::ROUTES,
    hooks::ROUTES,
    moderation::ROUTES,
    #[cfg(test)]
    super::testing::ROUTES,
    contact::ROUTES,
    voice::ROUTES,
    expression::ROUTES,
    searching::ROUTES,
    admin::ROUTES,
    console::ROUTES,
];

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
            all[count].index = count as u16;
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
        let limit = route.bucket.map_or("Exempt".to_string(), |bucket| format!("{bucket:?}"));
        let line = format!(
            "{:<7} {path:<75} {:<26} {:<11} {limit:<19} {}{}",
            route.method.as_str(),
            route.name,
            format!("{:?}", route.auth),
            route.right.map_or("", Right::name),
            if route.ungated { "Ungated" } else { "" }
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::community::ban::BanResponse;

    #[test]
    fn an_answer_that_is_not_what_its_row_says_is_found() {
        let ban = r#"{"user_id":"4","reason":null,"banned_by":"1","banned_at":7}"#;
        let list = format!("[{ban}]");
        assert_eq!(Answer::One(BanResponse::SHAPE).check(ban.as_bytes()), Ok(()));
        assert_eq!(Answer::List(BanResponse::SHAPE).check(list.as_bytes()), Ok(()));
        for (answer, body) in [
            (Answer::Success, ban),
            (Answer::One(BanResponse::SHAPE), &list),
            (Answer::List(BanResponse::SHAPE), ban),
            (Answer::List(BanResponse::SHAPE), r#"[{"user_id":"4"}]"#),
            (Answer::Map(&Kind::Bool), r#"{"x":1}"#),
            (Answer::Html, "{}"),
            (Answer::Json, "{"),
        ] {
            assert!(answer.check(body.as_bytes()).is_err(), "{body}");
        }
    }
}
