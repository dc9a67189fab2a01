//! Whether a request goes any further: who asks, and what those are told whom no route is there for.

use super::authenticate::{bearer, require_usable, verify};
use super::ctx::{Principal, Request, Response};
use super::dispatch::{refuse, too_many};
use super::rate_limit::{self, Asked};
use super::router::{Found, Router};
use super::routes::{Auth, Bucket, Route};
use super::state::State;
use crate::domain::{Error, Refusal, Result};
use crate::wire::http::Method;

/// Never limited. Without `Origin` a plain question: which methods are there.
pub(super) fn options(
    state: &State,
    router: &Router,
    request: &Request<'_>,
    mut response: Response,
) -> Response {
    if let Some(preflight) = state.cors.preflight(&request.head) {
        return preflight;
    }
    let allow = match router.find(Method::Options, &request.head.target) {
        _ if request.head.target.path == "*" => "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT".to_string(),
        Found::OtherMethods(allow) => allow,
        Found::Absent => return refuse(Refusal::NotAvailable.into(), response),
        Found::Route(..) | Found::Nothing => return refuse(Refusal::RouteNotFound.into(), response),
    };
    response.status = 204;
    response.headers.push(("allow", allow));
    response
}

pub(super) fn nothing(
    state: &State,
    request: &Request<'_>,
    refusal: Refusal,
    response: Response,
) -> Response {
    match rate_limit::check(state, request, &Asked::Nothing, known_caller(state, request)) {
        Ok(limits) => refuse(refusal.into(), Response { limits, ..response }),
        Err(numbers) => too_many(numbers, response),
    }
}

pub(super) struct Identity {
    /// Whom the request is counted for; nobody known: the address.
    pub(super) principal: Option<Principal>,
    /// Why it goes no further, should the limits let it.
    pub(super) refusal: Option<Error>,
}

pub(super) fn identify(state: &State, route: &Route, request: &Request<'_>) -> Identity {
    if route.auth == Auth::Public {
        let counted = route.bucket != Bucket::Exempt;
        let principal = if counted { known_caller(state, request) } else { None };
        return Identity { principal, refusal: None };
    }
    match authenticate(state, request) {
        Ok((principal, unusable)) => {
            let refusal = unusable.filter(|_| route.auth == Auth::User);
            Identity { principal: Some(principal), refusal }
        }
        Err(error) => Identity { principal: None, refusal: Some(error) },
    }
}

/// Who asks where nobody has to say so. Costs nothing without rate limits.
fn known_caller(state: &State, request: &Request<'_>) -> Option<Principal> {
    let asked = state.config.rate_limiting_enabled && request.head.header("authorization").is_some();
    let known = asked.then(|| authenticate(state, request).ok()).flatten();
    known.map(|(principal, _)| principal)
}

/// The principal, and why his account may not be used, if so.
fn authenticate(state: &State, request: &Request<'_>) -> Result<(Principal, Option<Error>)> {
    let token = bearer(&request.head)?;
    let now = state.now();
    let snapshot = state.snapshot();
    match verify(snapshot.read(), token, now.steady_ms) {
        Ok((principal, user)) => Ok((principal, require_usable(user).err())),
        // Only who fails is limited: behind one address may be many, and they have done nothing.
        Err(_) if state.limiter.verification_blocked(now, request.ip) => {
            Err(Refusal::TooManyFailedVerifications.into())
        }
        Err(error) => {
            state.limiter.failed_verification(now, request.ip);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Harness;
    use super::*;
    use crate::config::Config;

    #[test]
    fn failed_verifications_are_counted_by_address() {
        let config = Config { authentication_security_token_verify_rate_limit: 2, ..Config::default() };
        let harness = Harness::with_config(config);
        let state = &harness.state;
        let try_token = |token: &str| {
            let text = format!("GET / HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\r\n");
            let mut slots = crate::wire::http::header_slots();
            let head = crate::wire::http::parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
            let ip = std::net::Ipv4Addr::LOCALHOST.into();
            let request = Request { head, body: &mut [], ip, id: 1 };
            authenticate(state, &request).unwrap_err().message.into_owned()
        };
        assert_eq!(try_token("1.x"), "Invalid or expired token");
        assert_eq!(try_token("nonsense"), "Invalid or expired token");
        assert!(try_token("1.x").starts_with("Too many failed"));
        harness.advance(120_000);
        assert_eq!(try_token("1.x"), "Invalid or expired token");
    }
}
