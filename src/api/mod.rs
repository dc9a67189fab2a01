//! REST: the table of routes, and one file per group of endpoints.
//!
//! Owns: what a request must look like, who may ask, and how an answer is spelled.
//! Invariant: no socket. A handler is a plain function from a request to a [`Step`]: it reads the core's snapshot and
//! answers, or names the command that comes first. One that waits more than once is an `async fn`, which asks its core
//! through a [`ctx::Desk`].

pub mod address;
pub mod admin;
pub mod admit;
pub mod authenticate;
pub mod blocked;
pub mod body;
pub mod chat;
pub mod closure;
pub mod community;
pub mod conditional;
pub mod console;
pub mod contact;
pub mod content;
pub mod cors;
pub mod ctx;
pub mod dispatch;
pub mod expression;
pub mod fields;
pub mod forms;
pub mod gate;
pub mod hooks;
pub mod identity;
pub mod limiter;
pub mod media;
pub mod moderation;
pub mod new_names;
pub mod openapi;
pub mod operator;
pub mod pages;
pub mod pieces;
pub mod rate_limit;
pub mod recent_files;
pub mod router;
pub mod routes;
pub mod searching;
pub mod service;
pub mod site;
pub mod social;
pub mod state;
pub mod texts;
pub mod times;
pub mod touch;
pub mod unsent;
pub mod voice;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
pub mod testing;

pub use body::Body;
pub use ctx::{Ctx, Principal, Request, Response, Step};
pub use state::State;

#[cfg(test)]
mod tests {
    use super::routes::ROUTES;
    use super::testing::Harness;
    use super::testing::fixture::register;

    /// Texts nobody means, longer than any key of the store among them.
    fn hostile() -> Vec<String> {
        let texts = ["0", "-1", "%00", "%20", "%C3%BC", "18446744073709551615", "18446744073709551616"];
        let long = [1, 64, 65, 100, 101, 320, 321, 512, 4_000].map(|len| "x".repeat(len));
        let wide = [25, 64, 100, 128, 511].map(|len| "%F0%9F%91%8D".repeat(len));
        texts.map(str::to_string).into_iter().chain(long).chain(wide).collect()
    }

    #[test]
    fn no_parameter_brings_a_handler_down() {
        let harness = Harness::default();
        let account = register(&harness, "alice");
        let check = |method: &str, path: &str, body: Option<&str>| {
            let (status, text) = harness.request(method, path, Some(&account.token), body);
            assert!(status < 500, "{method} {path} {body:?}: {status} {text}");
        };
        for route in ROUTES.iter().filter(|route| !["logout", "session_revoke_all"].contains(&route.name)) {
            for text in hostile() {
                let names = ["limit", "before", "after", "username", "message_id", "content"];
                let query: Vec<String> = names.iter().map(|name| format!("{name}={text}")).collect();
                let words = route.path.split('/');
                let path: Vec<&str> =
                    words.map(|word| if word.starts_with('{') { &text } else { word }).collect();
                let root = if route.root { "!" } else { "" };
                // A query of its own each, so that one refusal does not hide the next.
                for query in [""].into_iter().chain(query.iter().map(String::as_str)) {
                    let path = format!("{root}{}?{query}", path.join("/"));
                    if path.len() <= crate::limits::TARGET_LEN_MAX - 16 {
                        check(route.method.as_str(), &path, None);
                    }
                }
                for field in
                    ["username", "email", "name", "key", "value", "user_id", "recipient_id", "content"]
                {
                    let path = format!("{root}{}", path.join("/"));
                    let body = format!(r#"{{"{field}":"{}"}}"#, text.replace("%00", "\\u0000"));
                    if path.len() <= crate::limits::TARGET_LEN_MAX - 16 {
                        check(route.method.as_str(), &path, Some(&body));
                    }
                }
            }
        }
        assert_eq!(harness.request("GET", "/users/@me", Some(&account.token), None).0, 200);
    }

    #[test]
    fn unknown_paths_and_methods() {
        let harness = Harness::default();
        assert_eq!(harness.request("GET", "/nothing", None, None).0, 404);
        assert_eq!(harness.request("POST", "!/health", None, None).0, 405);
        assert_eq!(harness.request("HEAD", "!/health/", None, None).0, 200);
    }
}
