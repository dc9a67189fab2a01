//! Cross-origin rules (contract README §8): which web pages may read answers.
//!
//! Owns: the header lines of each allowed origin, spelled once at start. Invariant: an origin that is not in
//! `api.cors_origins` is never echoed.

use super::ctx::Response;
use crate::config::Config;
use crate::wire::http::Head;

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE, OPTIONS, HEAD";
const HEADERS: &str = "Authorization, Content-Type, X-Requested-With, Accept, Origin, X-API-Access-Token";
/// Beyond `HEADERS`, those a page may always send (Fetch, "CORS-safelisted request-header").
const HEADERS_SAFE: &[&str] = &["accept-language", "content-language", "range"];
/// With credentials, `*` would mean a header of that name: each has to be listed.
const EXPOSED: &str = "Content-Range, Accept-Ranges, Content-Length, ETag, Retry-After, X-Request-Id, \
    X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-RateLimit-Reset-After, \
    X-RateLimit-Bucket, X-RateLimit-Scope, X-RateLimit-Global";

/// Names the lines of one answer; the default is those for no or a foreign origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CorsLines(u16);

/// The precomputed header lines.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<String>,
    /// Index 0: foreign origins. Then for each origin those of an answer and those of a preflight.
    lines: Vec<Vec<u8>>,
}

impl Cors {
    pub fn new(config: &Config) -> Cors {
        let origins = config.api_cors_origins.clone();
        // Also without an Origin: a cache must not give that answer to a page.
        let vary = if origins.is_empty() { "" } else { "vary: Origin\r\n" };
        let credentials = match config.api_cors_allow_credentials {
            true => "access-control-allow-credentials: true\r\n",
            false => "",
        };
        let mut lines = vec![vary.as_bytes().to_vec()];
        for origin in &origins {
            let shared = format!("{vary}access-control-allow-origin: {origin}\r\n{credentials}");
            let answer = format!("{shared}access-control-expose-headers: {EXPOSED}\r\n");
            let preflight = format!(
                "{shared}access-control-allow-methods: {METHODS}\r\n\
                 access-control-allow-headers: {HEADERS}\r\naccess-control-max-age: 600\r\n"
            );
            lines.extend([answer.into_bytes(), preflight.into_bytes()]);
        }
        Cors { origins, lines }
    }

    /// What the answer to this request carries.
    pub fn lines_for(&self, head: &Head<'_>) -> CorsLines {
        let Some(origin) = head.header("origin") else { return CorsLines::default() };
        self.find(origin).map_or(CorsLines::default(), |index| CorsLines(1 + 2 * index))
    }

    /// Header lines, each with its line end.
    pub fn text(&self, lines: CorsLines) -> &[u8] {
        &self.lines[usize::from(lines.0)]
    }

    /// The answer to a preflight; `None` when the request is none.
    pub fn preflight(&self, head: &Head<'_>) -> Option<Response> {
        let origin = head.header("origin")?;
        let method = head.header("access-control-request-method")?;
        let plain = |status: u16, text: &str, lines: CorsLines| {
            let body = text.as_bytes().to_vec();
            Some(Response {
                status,
                content_type: "text/plain; charset=utf-8",
                body,
                lines,
                ..Response::default()
            })
        };
        let Some(index) = self.find(origin) else {
            return plain(400, "Disallowed CORS origin", CorsLines::default());
        };
        let refused = CorsLines(1 + 2 * index);
        if !list(METHODS.as_bytes()).any(|known| known == method) {
            return plain(400, "Disallowed CORS method", refused);
        }
        let wanted = head.header_all("access-control-request-headers");
        if !wanted.flat_map(list).all(is_allowed_header) {
            return plain(400, "Disallowed CORS headers", refused);
        }
        plain(200, "OK", CorsLines(2 + 2 * index))
    }

    /// The options' bound of 1,000 origins fits.
    fn find(&self, origin: &[u8]) -> Option<u16> {
        let index = self.origins.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(origin));
        index.and_then(|index| u16::try_from(index).ok())
    }
}

fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty())
}

fn is_allowed_header(name: &[u8]) -> bool {
    let safe = HEADERS_SAFE.iter().map(|safe| safe.as_bytes());
    list(HEADERS.as_bytes()).chain(safe).any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{header_slots, parse_head};

    fn with<T>(headers: &str, check: impl FnOnce(&Cors, &Head<'_>) -> T) -> T {
        let config = Config { api_cors_origins: vec!["https://a.b".into()], ..Config::default() };
        let text = format!("OPTIONS /x HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
        check(&Cors::new(&config), &head)
    }

    #[test]
    fn preflights() {
        let check = |headers: &str, want: Option<(u16, &str)>| {
            let got = with(headers, |cors, head| {
                let response = cors.preflight(head)?;
                Some((response.status, String::from_utf8(response.body).unwrap()))
            });
            assert_eq!(got.as_ref().map(|(status, body)| (*status, body.as_str())), want, "{headers}");
        };
        let origin = "Origin: https://a.b\r\n";
        let method = "Access-Control-Request-Method: PATCH\r\n";
        let headers = "Access-Control-Request-Headers:";
        check("", None);
        check(origin, None);
        check(method, None);
        check(&format!("{origin}{method}"), Some((200, "OK")));
        check(&format!("{origin}{method}{headers} authorization,content-type\r\n"), Some((200, "OK")));
        check(&format!("{origin}{method}{headers} X-API-Access-Token, Accept\r\n"), Some((200, "OK")));
        check(&format!("{origin}{method}{headers} x-evil\r\n"), Some((400, "Disallowed CORS headers")));
        check(
            &format!("{origin}Access-Control-Request-Method: TRACE\r\n"),
            Some((400, "Disallowed CORS method")),
        );
        check(&format!("Origin: https://a.b.c\r\n{method}"), Some((400, "Disallowed CORS origin")));
        check(&format!("Origin: null\r\n{method}"), Some((400, "Disallowed CORS origin")));
    }

    #[test]
    fn lines() {
        let check = |headers: &str, want: &str| {
            let got = with(headers, |cors, head| {
                String::from_utf8(cors.text(cors.lines_for(head)).to_vec()).unwrap()
            });
            assert!(got.starts_with(want) && got.len() >= want.len(), "{headers}: {got}");
            assert_eq!(got.contains("allow-origin"), want.contains("allow-origin"));
        };
        check("", "vary: Origin\r\n");
        check("Origin: https://evil\r\n", "vary: Origin\r\n");
        check(
            "Origin: https://a.b\r\n",
            "vary: Origin\r\naccess-control-allow-origin: https://a.b\r\naccess-control-allow-credentials: true\r\naccess-control-expose-headers: Content-Range",
        );
    }
}
