//! Cross-origin rules (contract README §8): which web pages may read answers.
//!
//! Owns: the header lines of each allowed origin, spelled once at start. Invariant: an origin that is not in
//! `api.cors_origins` is never echoed.

use super::ctx::Response;
use crate::config::{Api, Config};
use crate::wire::http::{Head, raw_header};

/// Any name, in the options. With credentials the header itself may not say so: names are repeated instead.
const ANY: &str = "*";
/// Beyond `api.cors_allow_headers`, those a page may always send (Fetch, "CORS-safelisted request-header").
const HEADERS_SAFE: &[&str] = &["accept-language", "content-language", "range"];
/// With credentials, `*` would mean a header of that name: each has to be listed.
const EXPOSED: &str = "Content-Range, Accept-Ranges, Content-Length, ETag, Retry-After, X-Request-Id, \
    X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, X-RateLimit-Reset-After, \
    X-RateLimit-Bucket, X-RateLimit-Scope, X-RateLimit-Global";

/// Names the lines of one answer; the default is those for no or a foreign origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CorsLines(u16);

/// With whom an answer is shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// With the origin that asks, if it is one of ours.
    #[default]
    Origin,
    /// The same; it lets a preflight through.
    Preflight,
    /// With all: the answer says so itself.
    All,
}

/// The precomputed header lines.
#[derive(Debug)]
pub struct Cors {
    origins: Vec<String>,
    methods: Vec<String>,
    headers: Vec<String>,
    /// Index 0: foreign origins. Then for each origin those of an answer and those of a preflight.
    lines: Vec<Vec<u8>>,
}

impl Cors {
    pub fn new(api: &Api) -> Cors {
        let origins = api.cors_origins.clone();
        let (mut methods, headers) = (api.cors_allow_methods.clone(), api.cors_allow_headers.clone());
        if methods.iter().any(|method| method == ANY) {
            methods = Config::default().api.cors_allow_methods;
        }
        let allow_headers = match headers.iter().any(|header| header == ANY) {
            true => String::new(),
            false => format!("access-control-allow-headers: {}\r\n", headers.join(", ")),
        };
        let allow_methods = methods.join(", ");
        // Also without an Origin: a cache must not give that answer to a page.
        let vary = if origins.is_empty() { "" } else { "vary: Origin\r\n" };
        let credentials = match api.cors_allow_credentials {
            true => "access-control-allow-credentials: true\r\n",
            false => "",
        };
        let mut lines = vec![vary.as_bytes().to_vec()];
        for origin in &origins {
            let shared = format!("{vary}access-control-allow-origin: {origin}\r\n{credentials}");
            let answer = format!("{shared}access-control-expose-headers: {EXPOSED}\r\n");
            let preflight = format!(
                "{shared}access-control-allow-methods: {allow_methods}\r\n{allow_headers}\
                 access-control-max-age: 600\r\n"
            );
            lines.extend([answer.into_bytes(), preflight.into_bytes()]);
        }
        Cors { origins, methods, headers, lines }
    }

    /// What the answer to this request carries.
    pub fn lines_for(&self, head: &Head<'_>) -> CorsLines {
        let Some(origin) = head.header("origin") else { return CorsLines::default() };
        self.find(origin).map_or(CorsLines::default(), |index| CorsLines(1 + 2 * index))
    }

    /// The same for what could not be read as a request: the first `Origin` among the lines at its front.
    pub fn lines_for_raw(&self, input: &[u8]) -> CorsLines {
        let origin = raw_header(input, "origin").and_then(|origin| self.find(origin));
        origin.map_or(CorsLines::default(), |index| CorsLines(1 + 2 * index))
    }

    /// Header lines, each with its line end.
    pub fn text(&self, lines: CorsLines, sharing: Sharing) -> &[u8] {
        let index = match (lines.0, sharing) {
            (0, _) | (_, Sharing::All) => 0,
            (index, Sharing::Origin) => index,
            (index, Sharing::Preflight) => index + 1,
        };
        &self.lines[usize::from(index)]
    }

    /// The answer to a preflight; `None` when the request is none.
    pub fn preflight(&self, head: &Head<'_>) -> Option<Response> {
        let origin = head.header("origin")?;
        let method = head.header("access-control-request-method")?;
        let wanted: Vec<&[u8]> = head.header_all("access-control-request-headers").flat_map(list).collect();
        let takes_any = self.headers.iter().any(|known| known == ANY);
        let refusal = if self.find(origin).is_none() {
            Some("Disallowed CORS origin")
        } else if !self.methods.iter().any(|known| known.as_bytes() == method) {
            Some("Disallowed CORS method")
        } else if !takes_any && !wanted.iter().all(|name| self.allows_header(name)) {
            Some("Disallowed CORS headers")
        } else {
            None
        };
        let mut response = Response {
            content_type: "text/plain; charset=utf-8",
            body: refusal.unwrap_or("OK").into(),
            ..Response::default()
        };
        if refusal.is_some() {
            response.status = 400;
            return Some(response);
        }
        response.sharing = Sharing::Preflight;
        if takes_any {
            let names = String::from_utf8_lossy(&wanted.join(&b", "[..])).into_owned();
            response.headers.push(("access-control-allow-headers", names));
        }
        Some(response)
    }

    fn allows_header(&self, name: &[u8]) -> bool {
        let known = self.headers.iter().map(String::as_str).chain(HEADERS_SAFE.iter().copied());
        known.into_iter().any(|known| known.as_bytes().eq_ignore_ascii_case(name))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Api;
    use crate::wire::http::{header_slots, parse_head};

    fn with<T>(headers: &str, check: impl FnOnce(&Cors, &Head<'_>) -> T) -> T {
        with_config(Config::default(), headers, check)
    }

    fn with_config<T>(config: Config, headers: &str, check: impl FnOnce(&Cors, &Head<'_>) -> T) -> T {
        let config = Config { api: Api { cors_origins: vec!["https://a.b".into()], ..config.api }, ..config };
        let text = format!("OPTIONS /x HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
        check(&Cors::new(&config.api), &head)
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
    fn methods_and_headers_are_options() {
        let ask = |methods: &[&str], headers: &[&str], method: &str, names: &str| {
            let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_string()).collect();
            let config = Config {
                api: Api {
                    cors_allow_methods: strings(methods),
                    cors_allow_headers: strings(headers),
                    ..Api::default()
                },
                ..Config::default()
            };
            let asked = format!(
                "Origin: https://a.b\r\nAccess-Control-Request-Method: {method}\r\n\
                 Access-Control-Request-Headers: {names}\r\n"
            );
            with_config(config, &asked, |cors, head| {
                let response = cors.preflight(head).unwrap();
                let lines = cors.text(cors.lines_for(head), response.sharing);
                (response.status, String::from_utf8_lossy(lines).into_owned(), response.headers)
            })
        };
        let (status, lines, _) = ask(&["GET", "PUT"], &["X-Own"], "PUT", "x-own, range");
        assert_eq!(status, 200);
        assert!(lines.contains("access-control-allow-methods: GET, PUT\r\n"), "{lines}");
        assert!(lines.contains("access-control-allow-headers: X-Own\r\n"), "{lines}");
        assert_eq!(ask(&["GET", "PUT"], &["X-Own"], "POST", "").0, 400);
        assert_eq!(ask(&["GET", "PUT"], &["X-Own"], "PUT", "authorization").0, 400);
        let (status, lines, headers) = ask(&["*"], &["*"], "DELETE", "x-one,X-Two");
        assert_eq!(status, 200);
        assert!(
            lines.contains("GET, POST, PUT, PATCH, DELETE") && !lines.contains("allow-headers"),
            "{lines}"
        );
        assert_eq!(headers, [("access-control-allow-headers", "x-one, X-Two".to_string())]);
    }

    #[test]
    fn lines() {
        let check = |headers: &str, want: &str| {
            let got = with(headers, |cors, head| {
                String::from_utf8(cors.text(cors.lines_for(head), Sharing::Origin).to_vec()).unwrap()
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
