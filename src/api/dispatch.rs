//! From an admitted request to the first step of its handler, and from an answer to its bytes.

use std::rc::Rc;

use super::admit::{Admission, Admitted, admit};
use super::conditional::select;
use super::content::Content;
use super::cors::CorsLines;
use super::ctx::{Ctx, Desk, Request, Response, Step};
use super::limiter::Numbers;
use super::router::{Params, Router};
use super::routes::Route;
use super::state::State;
use crate::domain::{Error, Refusal, Result};
use crate::runtime::wipe::wiping;
use crate::store::take_damage;
use crate::wire::http::{HttpError, ResponseHead, ResponseOptions};

/// What a request leads to.
pub enum Dispatched<'r> {
    /// A handler ran; carry out its step, then `finish`.
    Handler(Box<Ctx<'r>>, Result<Step>),
    /// Answered before any handler; `None` when it leads to no route.
    Answered(Response, Option<&'static Route>),
}

/// Admits a request that is there with its body, and runs the handler up to its first step.
pub fn dispatch<'r>(
    state: &'r State,
    desk: &'r dyn Desk,
    router: &Router,
    mut request: Request<'r>,
) -> Dispatched<'r> {
    let body = std::mem::take(&mut request.body);
    match admit(state, router, &request) {
        Admission::Answered(response, route) => Dispatched::Answered(response, route),
        Admission::Admitted(admitted, params) => {
            let (ctx, step) = run(state, desk, Request { body, ..request }, admitted, params);
            Dispatched::Handler(ctx, step)
        }
    }
}

/// Runs the handler of an admitted request up to its first step.
pub fn run<'r>(
    state: &'r State,
    desk: &'r dyn Desk,
    request: Request<'r>,
    admitted: Admitted,
    params: Params<'r>,
) -> (Box<Ctx<'r>>, Result<Step>) {
    let Admitted { route, caller, .. } = admitted;
    let account = caller.principal().map_or(0, |principal| principal.user_id.0);
    let response = admitted.response();
    let pieces = route.body.is_stream().then(Rc::default);
    let mut ctx = Box::new(Ctx { state, desk, request, route, params, caller, account, response, pieces });
    let step = whole(|| wiping(route.secret, || (route.handler)(&mut ctx)));
    (ctx, step)
}

/// Runs a part of a handler. What was put together while a record was found damaged is no answer.
///
/// # Errors
/// Those of the part, or that a record is damaged.
pub fn whole<T>(part: impl FnOnce() -> Result<T>) -> Result<T> {
    take_damage();
    let outcome = part();
    undamaged().and(outcome)
}

/// # Errors
/// A record was found damaged since the part of a handler that runs has begun.
pub fn undamaged() -> Result<()> {
    if take_damage() { Err(Refusal::StoreDamaged.into()) } else { Ok(()) }
}

/// The answer of a handler that is done or has refused.
pub fn finish(ctx: &mut Ctx<'_>, result: Result<()>) -> Response {
    let response = std::mem::take(&mut ctx.response);
    match result {
        Ok(()) => select(ctx, response),
        Err(error) => refuse(error, response),
    }
}

/// Turns a refusal into its envelope; headers that were set stay.
pub fn refuse(error: Error, mut response: Response) -> Response {
    response.status = error.status;
    response.content_type = "application/json";
    response.content = None;
    response.body.clear();
    error.write(&mut response.body);
    if let Some(ms) = error.retry_after_ms {
        response.headers.push(("retry-after", ms.div_ceil(1_000).max(1).to_string()));
    }
    response
}

/// A request that could not be read, in the same envelope.
pub fn refuse_unread(error: HttpError) -> Response {
    let mut response = refuse(Error::new(error.status(), error.message()), Response::default());
    let headers = error.headers().iter();
    response.headers.extend(headers.map(|(name, value)| (*name, (*value).to_string())));
    response
}

#[cold]
pub(super) fn too_many(numbers: Numbers, mut response: Response) -> Response {
    response.status = 429;
    numbers.write_body(&mut response.body);
    response.limits = Some(numbers);
    response
}

/// Appends the answer as it goes over the wire, and counts it: the one place every answer of the API comes through.
/// `rest`: a body that is going to be sent behind it. `lines`: what the page that asks may see.
pub fn write(
    state: &State,
    response: &Response,
    rest: Option<&Content>,
    lines: CorsLines,
    request_id: u64,
    options: ResponseOptions<'_>,
    out: &mut Vec<u8>,
) {
    state.metrics.http_request(response.status);
    if response.limits.is_some_and(|numbers| numbers.is_refusal()) {
        state.metrics.rate_limited.increment();
    }
    // Media may stand in frames of others.
    let is_framed = response.is_framed || response.content_type.starts_with("image/");
    let frame_options = options.frame_options && !is_framed;
    let options = ResponseOptions { frame_options, private: response.is_private, ..options };
    let mut head = ResponseHead::new(out, response.status, options)
        .header_number("x-request-id", request_id)
        .lines(|out| out.extend_from_slice(state.cors.text(lines, response.sharing)));
    if let Some(numbers) = response.limits {
        head = head.lines(|out| numbers.write_headers(out));
    }
    for (name, value) in &response.headers {
        head = head.header(name, value);
    }
    let content_type = response.content_type;
    match (rest.or(response.content.as_ref()), response.body.as_slice()) {
        (Some(content), _) => match (content.bytes().filter(|_| rest.is_none()), content.known_len()) {
            (Some(bytes), _) => head.body(content_type, bytes),
            (None, Some(len)) => head.announce(content_type, len),
            (None, None) => head.announce_chunks(content_type, options.version_minor > 0),
        },
        (None, []) => head.empty(),
        (None, body) => head.body(content_type, body),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Harness;
    use super::super::unsent::Payer;
    use super::*;
    use crate::config::RateLimiting;
    use crate::config::{BucketSpec, Config};

    fn get(harness: &Harness, path: &str, headers: &str) -> String {
        harness.exchange(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n{headers}\r\n"), "")
    }

    fn spec(text: &str) -> BucketSpec {
        text.parse().unwrap()
    }

    fn limited() -> Harness {
        Harness::limited(Config {
            rate_limiting: RateLimiting {
                ip: spec("3/60s fixed"),
                bypass_secret: "0123456789abcdef".into(),
                ..RateLimiting::default()
            },
            ..Config::default()
        })
    }

    #[test]
    fn every_answer_carries_its_id_and_security_headers() {
        let harness = Harness::default();
        for answer in [get(&harness, "/health", ""), get(&harness, "/nope", "")] {
            assert!(answer.contains("\r\nx-request-id: 1\r\n"), "{answer}");
            assert!(answer.contains("\r\nx-content-type-options: nosniff\r\n"), "{answer}");
            assert!(answer.contains("\r\nx-frame-options: SAMEORIGIN\r\n"), "{answer}");
            assert!(answer.contains("\r\nvary: Origin\r\n"), "{answer}");
            assert!(!answer.contains("X-RateLimit"), "{answer}");
        }
        let gateway = get(&harness, "/gateway", "");
        assert!(gateway.starts_with("HTTP/1.1 426 "), "{gateway}");
        assert!(gateway.contains("\r\nupgrade: websocket\r\n"), "{gateway}");
        assert!(gateway.contains("connect with a WebSocket client"), "{gateway}");
    }

    #[test]
    fn origins_are_told_on_errors_too() {
        let harness = Harness::default();
        let allowed = "access-control-allow-origin: http://localhost:5000\r\naccess-control-allow-credentials: true\r\n";
        let origin = "Origin: http://localhost:5000\r\n";
        for path in ["/health", "/nope", "/api/v1/version/negotiate"] {
            let answer = get(&harness, path, origin);
            assert!(answer.contains(allowed), "{answer}");
            assert!(!get(&harness, path, "Origin: https://evil.example\r\n").contains("access-control"));
        }
    }

    #[test]
    fn options_requests() {
        let harness = limited();
        let ask = |path: &str, headers: &str| {
            harness.exchange(&format!("OPTIONS {path} HTTP/1.1\r\nhost: h\r\n{headers}\r\n"), "")
        };
        for _ in 0..5 {
            let plain = ask("/health", "");
            assert!(plain.starts_with("HTTP/1.1 204 "), "{plain}");
            assert!(plain.contains("\r\nallow: GET, HEAD, OPTIONS\r\n"), "{plain}");
        }
        assert!(ask("*", "").starts_with("HTTP/1.1 204 "));
        assert!(ask("/nope", "").starts_with("HTTP/1.1 404 "));
        let preflight = ask(
            "/api/v1/users/@me",
            "Origin: http://localhost:5000\r\nAccess-Control-Request-Method: PATCH\r\n",
        );
        assert!(preflight.starts_with("HTTP/1.1 200 OK\r\n"), "{preflight}");
        assert!(preflight.contains("access-control-max-age: 600\r\n"), "{preflight}");
        assert!(preflight.contains("content-type: text/plain"), "{preflight}");
        assert!(preflight.ends_with("\r\n\r\nOK"), "{preflight}");
    }

    #[test]
    fn limits_refuse_and_show() {
        let harness = limited();
        let first = get(&harness, "/api/v1/version", "");
        assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
        for line in ["X-RateLimit-Limit: 35", "X-RateLimit-Remaining: 34", "X-RateLimit-Scope: route"] {
            assert!(first.contains(line), "{line}: {first}");
        }
        assert!(get(&harness, "/nope", "").starts_with("HTTP/1.1 404 "));
        assert!(get(&harness, "/nope", "X-Forwarded-For: 9.9.9.9\r\n").starts_with("HTTP/1.1 404 "));
        let refused = get(&harness, "/nope", "Origin: http://localhost:5000\r\n");
        assert!(refused.starts_with("HTTP/1.1 429 "), "{refused}");
        for part in [
            "Retry-After: 60\r\n",
            "X-RateLimit-Scope: ip\r\n",
            "access-control-allow-origin",
            "\"code\":429",
        ] {
            assert!(refused.contains(part), "{part}: {refused}");
        }
        assert!(get(&harness, "/nope", "X-RateLimit-Bypass: guess\r\n").starts_with("HTTP/1.1 429 "));
        let bypassed = get(&harness, "/nope", "X-RateLimit-Bypass: 0123456789abcdef\r\n");
        assert!(bypassed.starts_with("HTTP/1.1 404 ") && !bypassed.contains("X-RateLimit"), "{bypassed}");
        let exempt = get(&harness, "/api/v1/health", "");
        assert!(exempt.starts_with("HTTP/1.1 200 ") && !exempt.contains("X-RateLimit"), "{exempt}");
        harness.advance(60_001);
        assert!(get(&harness, "/nope", "").starts_with("HTTP/1.1 404 "));
        assert_eq!(harness.state.metrics.rate_limited.value(), 2);
    }

    #[test]
    fn every_answer_is_somebodys() {
        let harness = limited();
        let address = Payer::new(None, std::net::Ipv4Addr::LOCALHOST.into());
        for line in ["GET /health", "GET /nope", "OPTIONS /health", "PUT /health", "GET /nope", "GET /nope"] {
            let response = harness.respond(&format!("{line} HTTP/1.1\r\nhost: h\r\n\r\n"), "");
            assert_eq!(response.payer, Some(address), "{line}: {}", response.status);
        }
        let harness = Harness::default();
        let alice = super::super::testing::fixture::register(&harness, "alice");
        let head = format!(
            "GET /api/v1/users/@me HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {}\r\n\r\n",
            alice.token
        );
        let payer = harness.respond(&head, "").payer;
        assert!(payer.is_some_and(|payer| payer != address), "the account's");
    }

    #[test]
    fn unreadable_requests_get_the_envelope() {
        let response = refuse_unread(HttpError::WebSocketVersion);
        assert_eq!(response.status, 426);
        assert_eq!(response.headers[0], ("sec-websocket-version", "13".to_string()));
        let body = String::from_utf8(response.body).unwrap();
        assert_eq!(body, r#"{"error":{"code":426,"message":"WebSocket version 13 required"}}"#);
    }
}
