//! From method and path to a route: a trie over path segments, fixed words before parameters.

use std::borrow::Cow;

use smallvec::SmallVec;

use super::routes::{ROUTES, Route};
use crate::wire::http::{Method, Target};

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
}

/// Compiled once per process.
pub struct Router {
    root: Node,
}

impl Router {
    /// `prefix` is `api.api_prefix`.
    pub fn new(prefix: &str) -> Router {
        // Paths are looked at for every request: segments live as long as the process.
        let prefix: Vec<&'static str> = prefix
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| &*String::leak(part.to_string()))
            .collect();
        let mut root = Node::default();
        for route in ROUTES {
            let below = if route.root { &[][..] } else { &prefix[..] };
            let segments = below.iter().copied().chain(route.path.split('/').filter(|part| !part.is_empty()));
            let mut node = &mut root;
            let mut names = Vec::new();
            for segment in segments {
                node = match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                    Some(name) => {
                        names.push(name);
                        node.parameter.get_or_insert_default()
                    }
                    None => child(&mut node.words, segment),
                };
            }
            node.routes.push((route.method, route, Vec::leak(names)));
        }
        Router { root }
    }

    /// HEAD is answered like GET.
    pub fn find<'r>(&self, method: Method, target: &Target<'r>) -> Found<'r> {
        let wanted = if method == Method::Head { Method::Get } else { method };
        let segments: SmallVec<[Cow<'r, str>; 8]> = target.segments().take(SEGMENT_COUNT_MAX + 1).collect();
        if segments.len() > SEGMENT_COUNT_MAX {
            return Found::Nothing;
        }
        let mut allowed: Vec<Method> = Vec::new();
        let mut values = SmallVec::new();
        match walk(&self.root, &segments, wanted, &mut values, &mut allowed) {
            Some((route, names)) => Found::Route(route, Params { names, values }),
            None if allowed.is_empty() => Found::Nothing,
            None => Found::OtherMethods(allow_text(allowed)),
        }
    }
}

/// The longest path of the contract has seven segments.
const SEGMENT_COUNT_MAX: usize = 8;

fn child<'n>(words: &'n mut Vec<(&'static str, Node)>, word: &'static str) -> &'n mut Node {
    let index = words.iter().position(|(known, _)| *known == word).unwrap_or_else(|| {
        words.push((word, Node::default()));
        words.len() - 1
    });
    &mut words[index].1
}

type Match = (&'static Route, &'static [&'static str]);

fn walk<'r>(
    node: &Node,
    segments: &[Cow<'r, str>],
    method: Method,
    values: &mut SmallVec<[Cow<'r, str>; 3]>,
    allowed: &mut Vec<Method>,
) -> Option<Match> {
    let Some((segment, rest)) = segments.split_first() else {
        let exact = node.routes.iter().find(|(known, ..)| *known == method);
        if exact.is_none() {
            allowed.extend(node.routes.iter().map(|(known, ..)| *known));
        }
        return exact.map(|&(_, route, names)| (route, names));
    };
    let word = node.words.iter().find(|(word, _)| *word == *segment);
    if let Some(found) = word.and_then(|(_, next)| walk(next, rest, method, values, allowed)) {
        return Some(found);
    }
    let next = node.parameter.as_deref().filter(|_| !segment.is_empty())?;
    values.push(segment.clone());
    let found = walk(next, rest, method, values, allowed);
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
