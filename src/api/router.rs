//! From method and path to a route: a trie over path segments, fixed words before parameters.
//!
//! Invariant: where words lead to a path that the contract knows, built or not, no id takes their place, whatever the
//! method. Parameters that may be any word (a setting's key) take what the words' own path has no method for.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::routes::{ROUTES, Route};
use crate::wire::http::{Method, Target, header_slots, parse_head};

/// Values of the parameters of a path, in order.
pub struct Params<'r> {
    names: &'static [&'static str],
    values: SmallVec<[Cow<'r, str>; 3]>,
}

impl<'r> Params<'r> {
    /// # Panics
    /// When the route has no such parameter: a mistake in the table that its first test shows.
    pub fn get(&self, name: &str) -> Cow<'r, str> {
        let index =
            self.names.iter().position(|known| *known == name).expect("the route's path has this parameter");
        self.values[index].clone()
    }
}

/// What a path leads to.
pub enum Found<'r> {
    Route(&'static Route, Params<'r>),
    /// The path exists with other methods; the value of `Allow`.
    OtherMethods(String),
    Nothing,
}

#[derive(Default)]
struct Node {
    words: Vec<(&'static str, Node)>,
    parameter: Option<Box<Node>>,
    routes: Vec<(Method, &'static Route, &'static [&'static str])>,
    /// The parameter is no id.
    takes_words: bool,
}

impl Node {
    /// The node of a path, and the names of its parameters.
    fn grow(&mut self, segments: impl Iterator<Item = &'static str>) -> (&mut Node, Vec<&'static str>) {
        let (mut node, mut names) = (self, Vec::new());
        for segment in segments {
            node = match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) => {
                    names.push(name);
                    node.takes_words |= !name.ends_with("_id");
                    node.parameter.get_or_insert_default()
                }
                None => child(&mut node.words, segment),
            };
        }
        (node, names)
    }
}

/// Where the pages of the documentation are in the table of routes; `docs.path` says where they really are.
pub const PORTAL: &str = "/docs/api";

/// Where the console is in the table of routes; `admin_ui.path` says where it really is.
pub const CONSOLE: &str = "/admin";

/// Compiled once per process.
pub struct Router {
    root: Node,
    /// Words of `api.api_prefix`.
    prefix: Vec<&'static str>,
    /// Words of `admin_ui.path`.
    admin: Vec<&'static str>,
}

impl Router {
    /// `prefix` is `api.api_prefix`, `admin` is `admin_ui.path`.
    pub fn new(prefix: &str, admin: &str) -> Router {
        Router::with_portal(prefix, admin, PORTAL)
    }

    /// `portal` is `docs.path`.
    pub fn with_portal(prefix: &str, admin: &str, portal: &str) -> Router {
        let (prefix, admin, portal) = (words(prefix), words(admin), words(portal));
        let mut root = Node::default();
        let whole = |path: &'static str, is_root: bool| {
            let (below, path) = match (path.strip_prefix(PORTAL), path.strip_prefix(CONSOLE)) {
                (Some(rest), _) if is_root => (&portal[..], rest),
                (_, Some(rest)) if is_root => (&admin[..], rest),
                _ if is_root => (&[][..], path),
                _ => (&prefix[..], path),
            };
            below.iter().copied().chain(path.split('/').filter(|part| !part.is_empty()))
        };
        for route in ROUTES {
            let (node, names) = root.grow(whole(route.path, route.root));
            node.routes.push((route.method, route, Vec::leak(names)));
            if route.is_admin() && !admin.iter().eq(prefix.iter().chain(&["admin"])) {
                let below = route.path.split('/').filter(|part| !part.is_empty()).skip(1);
                let (node, names) = root.grow(admin.iter().copied().chain(below));
                node.routes.push((route.method, route, Vec::leak(names)));
            }
        }
        Router { root, prefix, admin }
    }

    /// HEAD is answered like GET.
    /// The row of a request, from its method and target as they stand in the request line.
    pub fn row(&self, method: &str, target: &str) -> Option<&'static Route> {
        let text = format!("{method} {target} HTTP/1.1\r\nhost: x\r\n\r\n");
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).ok()??;
        match self.find(head.method, &head.target) {
            Found::Route(route, _) => Some(route),
            _ => None,
        }
    }

    /// Whether a path that leads nowhere is none of the API's: not below the prefix, or an administrator's.
    pub fn is_outside(&self, target: &Target<'_>) -> bool {
        let mut segments = target.segments();
        let is_below = self.prefix.iter().all(|word| segments.next().is_some_and(|segment| segment == *word));
        !is_below || segments.next().is_some_and(|segment| segment == "admin")
    }

    /// Whether a path is of the administrators' API, whether it leads anywhere or not.
    pub fn is_admin(&self, target: &Target<'_>) -> bool {
        let begins = |words: &[&str], then: Option<&str>| {
            let mut segments = target.segments();
            let mut words = words.iter().copied().chain(then);
            words.all(|word| segments.next().is_some_and(|segment| segment == word))
        };
        begins(&self.admin, None) || begins(&self.prefix, Some("admin"))
    }

    pub fn find<'r>(&self, method: Method, target: &Target<'r>) -> Found<'r> {
        let wanted = if method == Method::Head { Method::Get } else { method };
        let segments: SmallVec<[Cow<'r, str>; 8]> = target.segments().take(SEGMENT_COUNT_MAX + 1).collect();
        if segments.len() > SEGMENT_COUNT_MAX {
            return Found::Nothing;
        }
        let (mut values, mut passed) = (SmallVec::new(), Vec::new());
        match walk(&self.root, &segments, wanted, &mut values, &mut passed) {
            Some((route, names)) => Found::Route(route, Params { names, values }),
            None if passed.is_empty() => Found::Nothing,
            None => Found::OtherMethods(allow_text(passed)),
        }
    }
}

/// Longer paths are none: the longest row has seven segments, and stands below those of `api.api_prefix`.
const SEGMENT_COUNT_MAX: usize = 16;

/// The segments of a path that the configuration names. Paths are looked at for every request: they live as long as the
/// process.
fn words(path: &str) -> Vec<&'static str> {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.map(|part| &*String::leak(part.to_string())).collect()
}

fn child<'n>(words: &'n mut Vec<(&'static str, Node)>, word: &'static str) -> &'n mut Node {
    let index = words.iter().position(|(known, _)| *known == word).unwrap_or_else(|| {
        words.push((word, Node::default()));
        words.len() - 1
    });
    &mut words[index].1
}

type Match = (&'static Route, &'static [&'static str]);

/// Words first, also where the rest of the path only fits the parameter. `passed`: methods of ends of the path that have
/// not this one.
fn walk<'r>(
    node: &Node,
    segments: &[Cow<'r, str>],
    method: Method,
    values: &mut SmallVec<[Cow<'r, str>; 3]>,
    passed: &mut Vec<Method>,
) -> Option<Match> {
    let Some((segment, rest)) = segments.split_first() else {
        let exact = node.routes.iter().find(|(known, ..)| *known == method);
        if exact.is_none() {
            passed.extend(node.routes.iter().map(|(known, ..)| *known));
        }
        return exact.map(|&(_, route, names)| (route, names));
    };
    let text: &str = segment;
    let word = node.words.iter().find(|(word, _)| *word == text);
    if let Some(found) = word.and_then(|(_, next)| walk(next, rest, method, values, passed)) {
        return Some(found);
    }
    let may_be_parameter = !segment.is_empty() && (node.takes_words || passed.is_empty());
    let next = node.parameter.as_deref().filter(|_| may_be_parameter)?;
    values.push(segment.clone());
    let found = walk(next, rest, method, values, passed);
    if found.is_none() {
        values.pop();
    }
    found
}

fn allow_text(mut methods: Vec<Method>) -> String {
    if methods.contains(&Method::Get) {
        methods.push(Method::Head);
    }
    methods.push(Method::Options);
    let mut names: Vec<&str> = methods.into_iter().map(Method::as_str).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{header_slots, parse_head};

    fn check(line: &str, want: &str) {
        let text = format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
        let got = match Router::new("/api/v1", "/admin").find(head.method, &head.target) {
            Found::Route(route, params) => format!("{} {}", route.name, params.values.join(" ")),
            Found::OtherMethods(allow) => allow,
            Found::Nothing => "nothing".into(),
        };
        assert_eq!(got.trim_end(), want, "{line}");
    }

    #[test]
    fn words_win_over_parameters() {
        check("GET /api/v1/channels/7/messages/9", "message_get 7 9");
        check("GET /api/v1/channels/7/messages/unread", "unread_get 7");
        check("GET /api/v1/channels/7/messages/search", "message_search 7");
        check("DELETE /api/v1/channels/7/messages/search", "GET, HEAD, OPTIONS");
        check("GET /api/v1/admin/dashboard", "admin_dashboard_get");
        check("GET /api/v1/users/search", "user_search");
        check("GET /api/v1/users/7", "user_get 7");
        check("GET /api/v1/channels/invites/messages", "invite_get messages");
        // No word leads there: the parameter does.
        check("GET /api/v1/channels/invites/pins", "invite_get pins");
        check("GET /api/v1/channels/ack/pins", "pin_list ack");
        check("GET /api/v1/nothing", "nothing");
        check("GET /api/v1//", "nothing");
    }

    #[test]
    fn the_portal_may_be_elsewhere() {
        let router = Router::with_portal("/api/v1", "/admin", "/help/of/api");
        let name = |path: &str| router.row("GET", path).map(|route| route.name);
        assert_eq!(name("/help/of/api"), Some("docs_index"));
        assert_eq!(name("/help/of/api/messages"), Some("docs_page"));
        assert_eq!(name("/docs"), Some("docs_viewer"));
        assert_eq!(name("/docs/assets/x.js"), Some("docs_asset"));
        assert_eq!(name("/docs/api"), None);
        assert_eq!(
            Router::new("/api/v1", "/admin").row("GET", "/docs/api/").map(|route| route.name),
            Some("docs_index")
        );
    }

    #[test]
    fn the_console_is_where_the_administrators_api_is() {
        let router = Router::new("/api/v1", "/staff/room");
        let name = |method: &str, path: &str| router.row(method, path).map(|route| route.name);
        assert_eq!(name("GET", "/staff/room/"), Some("console_root"));
        assert_eq!(name("GET", "/staff/room/login"), Some("console_login"));
        assert_eq!(name("POST", "/staff/room/login"), Some("admin_login"));
        assert_eq!(name("GET", "/staff/room/ui/users"), Some("console_page"));
        assert_eq!(name("GET", "/staff/room/ui/live"), Some("console_live"));
        assert_eq!(name("POST", "/staff/room/ui/login"), Some("console_sign_in"));
        assert_eq!(name("GET", "/staff/room/users/7"), Some("admin_user_get"));
        for path in ["/admin", "/admin/ui", "/api/v1/admin/ui", "/api/v1/admin/login"] {
            assert_eq!(name("GET", path), None, "{path}");
        }
    }

    #[test]
    fn methods_are_those_of_the_path() {
        check("POST /api/v1/users/search", "GET, HEAD, OPTIONS");
        check("DELETE /api/v1/channels/7/messages/unread", "GET, HEAD, OPTIONS");
        check("GET /api/v1/channels/7/messages/ack", "OPTIONS, POST");
        check("POST /api/v1/users/@me/features", "GET, HEAD, OPTIONS");
        // `bulk` may also be a setting's name.
        check("GET /api/v1/users/@me/settings/bulk", "setting_get bulk");
        check("POST /api/v1/users/@me/settings/bulk", "DELETE, GET, HEAD, OPTIONS, PUT");
        check("BREW /health", "GET, HEAD, OPTIONS");
        check("TRACE /api/v1/channels/7/messages", "GET, HEAD, OPTIONS, POST");
    }
}
