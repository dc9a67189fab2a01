//! What the contract documents and this server does not have.
//!
//! Owns: that such a request is told so, instead of being taken for its neighbour: without its row, a word in
//! the place of an id would be taken for that. A route that is built takes its row out of here.

use crate::wire::http::Method::{self, Get};

/// Paths below `api.api_prefix` with their methods.
#[rustfmt::skip]
pub const ABSENT: &[(&str, &[Method])] = &[
];

/// The same beside the prefix.
pub const ABSENT_ROOT: &[(&str, &[Method])] = &[];

#[cfg(test)]
mod tests {
    use super::super::routes::ROUTES;
    use super::super::testing::Harness;
    use super::*;

    /// A path without the names of its parameters.
    fn shape(path: &str) -> String {
        let segments = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        segments.collect::<Vec<_>>().join("/")
    }

    #[test]
    fn nothing_that_is_there_is_called_absent() {
        for (rows, root) in [(ABSENT, false), (ABSENT_ROOT, true)] {
            for (path, methods) in rows {
                for route in ROUTES.iter().filter(|route| route.root == root) {
                    let same = shape(route.path) == shape(path) && methods.contains(&route.method);
                    assert!(!same, "{} is built: take it out of absent.rs", route.name);
                }
            }
        }
    }

    #[test]
    fn each_is_told_so_whoever_asks() {
        let harness = Harness::default();
        for (rows, root) in [(ABSENT, ""), (ABSENT_ROOT, "!")] {
            for (path, methods) in rows {
                let path = path.replace(['{', '}'], "");
                for method in *methods {
                    let (status, body) =
                        harness.request(method.as_str(), &format!("{root}{path}"), None, None);
                    assert_eq!(status, 404, "{method:?} {path}");
                    assert!(body.contains("not available on this server"), "{method:?} {path}: {body}");
                }
            }
        }
    }
}
