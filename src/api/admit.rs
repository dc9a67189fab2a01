//! From the head of a request to its admission, or to the answer that it goes no further with.
//!
//! Order: preflight, access token, route, length, credentials, rate limits, account state, kind of account, coding. Limits come after the credentials,
//! since they count by user, and before the refusal of bad ones, so that guessing is limited too.
//!
//! Invariant: nothing of the body is needed. Whoever is refused has it left where it is; whoever is admitted has it
//! read up to the limit of the route's row, is counted once, and is asked for his login again when that took a while.

use super::admin::door;
use super::authenticate::{bearer, bearer_or_cookie, require_present, require_usable, verify};
use super::ctx::{Caller, Principal, Request, Response};
use super::dispatch::{refuse, refuse_unread, too_many};
use super::gate;
use super::limiter::Numbers;
use super::media::signature;
use super::rate_limit::{self, Asked};
use super::router::{Found, Params, Router};
use super::routes::{Auth, BodyRule, Route};
use super::state::State;
use super::unsent::Payer;
use crate::domain::hooks::webhook;
use crate::domain::{Error, Refusal, Result};
use crate::id::{WebhookId, parse_id};
use crate::store::take_damage;
use crate::wire::http::{BodyKind, Head, HttpError, Method};

/// The only path that becomes a WebSocket.
pub const GATEWAY_PATH: &str = "/gateway";

/// The operation in the log when there is none.
pub const NO_ROUTE: &str = "-";

/// What a token that does not verify is answered with.
const UNAUTHORIZED: u16 = 401;

/// Of the name of a coding that is repeated in an answer.
const CODING_LEN_SHOWN: usize = 40;

/// What the head of a request leads to.
pub enum Admission<'r> {
    /// Have the body read, then [`super::dispatch::run`] it.
    Admitted(Admitted, Params<'r>),
    /// Answered whatever the body is; `None` when it leads to no route.
    Answered(Response, Option<&'static Route>),
}

/// A request that may have its handler run. Nothing of its head is in here: that may move while the body is read.
#[derive(Clone, Copy)]
pub struct Admitted {
    pub route: &'static Route,
    /// What the route asks for, never less.
    pub caller: Caller,
    /// Bytes of body that are read.
    pub body_len_max: usize,
    pub payer: Payer,
    pub limits: Option<Numbers>,
}

impl Admitted {
    /// The handler takes the body in pieces.
    pub fn is_stream(&self) -> bool {
        self.route.body.is_stream()
    }

    /// The answer as far as it is known.
    pub fn response(&self) -> Response {
        Response { payer: Some(self.payer), limits: self.limits, ..Response::default() }
    }
}

/// Finds the route, authenticates, counts. Its body is not looked at.
pub fn admit<'r>(state: &State, router: &Router, request: &Request<'r>) -> Admission<'r> {
    let response = Response { payer: Some(Payer::new(None, request.ip)), ..Response::default() };
    if let Err(error) = state.blocked.check(state, request.ip) {
        return Admission::Answered(refuse(error, response), None);
    }
    if request.head.method == Method::Options {
        return Admission::Answered(options(state, router, request, response), None);
    }
    let found = router.find(request.head.method, &request.head.target);
    let is_admins = match found {
        Found::Route(route, _) => route.is_admin() || route.is_console(),
        _ => router.is_admin(&request.head.target),
    };
    if let Some(error) = is_admins.then(|| door::pass(state, request.ip).err()).flatten() {
        return Admission::Answered(nothing(state, request, error, Caller::Nobody, response), None);
    }
    if let Err(error) = gate::pass(state, router, request, &found, false) {
        return Admission::Answered(nothing(state, request, error, Caller::Nobody, response), None);
    }
    if let Err(error) = state.closure.pass(state, &found) {
        return Admission::Answered(nothing(state, request, error, Caller::Nobody, response), None);
    }
    match found {
        Found::Route(route, params) => admit_to(state, route, params, request, response),
        Found::Nothing if request.head.target.path == GATEWAY_PATH => {
            let mut response = nothing_there(state, request, Refusal::UpgradeRequired, response);
            let headers = HttpError::WebSocketVersion.headers().iter();
            response.headers.extend(headers.map(|(name, value)| (*name, (*value).to_string())));
            Admission::Answered(response, None)
        }
        Found::Nothing => {
            Admission::Answered(nothing_there(state, request, Refusal::RouteNotFound, response), None)
        }
        Found::OtherMethods(allow) => {
            let mut response = nothing_there(state, request, Refusal::MethodNotAllowed, response);
            response.headers.push(("allow", allow));
            Admission::Answered(response, None)
        }
    }
}

fn admit_to<'r>(
    state: &State,
    route: &'static Route,
    params: Params<'r>,
    request: &Request<'r>,
    response: Response,
) -> Admission<'r> {
    let body_len_max = route.body.len_max(&state.config);
    // What is too long for anybody is refused as such, whoever asks, and counted nowhere: it ends the connection.
    if request.head.content_length().is_some_and(|len| len > body_len_max as u64) {
        let refused = refuse_unread(HttpError::PayloadTooLarge);
        return Admission::Answered(Response { payer: response.payer, ..refused }, Some(route));
    }
    take_damage();
    let Identity { caller, refusal } = identify(state, route, &params, request);
    // Whose login is damaged is not told that it is none.
    let refusal = if take_damage() { Some(Refusal::StoreDamaged.into()) } else { refusal };
    let refusal = refusal.or_else(|| door::count(state, route.method, caller).err());
    let limits = match rate_limit::check(state, request, &Asked::Route(route, &params), caller) {
        Ok(limits) => limits,
        Err(numbers) => return Admission::Answered(too_many(numbers, response), Some(route)),
    };
    let payer = Payer::new(caller.principal(), request.ip);
    let caller = if route.auth == Auth::Public { Caller::Nobody } else { caller };
    let admitted = Admitted { route, caller, body_len_max, payer, limits };
    if let Some(error) = refusal.or_else(|| state.unsent.refusal(payer)) {
        return Admission::Answered(refuse(error, admitted.response()), Some(route));
    }
    let is_read = !matches!(route.body, BodyRule::None | BodyRule::Stream(_));
    if request.head.packed && is_read && has_body(&request.head) {
        return Admission::Answered(refuse_coding(&request.head, admitted.response()), Some(route));
    }
    Admission::Admitted(admitted, params)
}

/// After the body of an admitted request has been waited for: its login may have ended meanwhile. Counts nothing but
/// that.
pub fn admit_again<'r>(
    state: &State,
    router: &Router,
    admitted: Admitted,
    request: &Request<'r>,
) -> Admission<'r> {
    let route = admitted.route;
    let found = router.find(request.head.method, &request.head.target);
    let passed = gate::pass(state, router, request, &found, true);
    let Found::Route(_, params) = found else {
        unreachable!("the table of routes does not change, nor does the head");
    };
    if let Err(error) = passed {
        return Admission::Answered(refuse(error, admitted.response()), Some(route));
    }
    take_damage();
    let refusal = match route.auth {
        Auth::Public => None,
        Auth::User | Auth::Person | Auth::Restricted | Auth::Webhook | Auth::Media | Auth::Admin => {
            identify(state, route, &params, request).refusal
        }
    };
    let refusal = if take_damage() { Some(Refusal::StoreDamaged.into()) } else { refusal };
    match refusal {
        Some(error) => Admission::Answered(refuse(error, admitted.response()), Some(route)),
        None => Admission::Admitted(admitted, params),
    }
}

/// What the operation is called in the log.
pub fn name_of(route: Option<&'static Route>) -> &'static str {
    route.map_or(NO_ROUTE, |route| route.name)
}

fn has_body(head: &Head<'_>) -> bool {
    !matches!(head.framing.body, BodyKind::None | BodyKind::Sized(0))
}

/// RFC 9110 §15.5.16 and §12.5.3: 415, and what would do instead.
#[cold]
fn refuse_coding(head: &Head<'_>, mut response: Response) -> Response {
    let coding = head.header("content-encoding").unwrap_or_default();
    response.headers.push(("accept-encoding", "identity".to_string()));
    let shown = String::from_utf8_lossy(&coding[..coding.len().min(CODING_LEN_SHOWN)]);
    refuse(
        Error::new(415, format!("Content-Encoding {shown} is not supported: send the body as it is")),
        response,
    )
}

/// Never limited. Without `Origin` a plain question: which methods are there.
fn options(state: &State, router: &Router, request: &Request<'_>, mut response: Response) -> Response {
    if let Some(preflight) = state.cors.preflight(&request.head) {
        return preflight;
    }
    let found = router.find(Method::Options, &request.head.target);
    if let Err(error) = gate::pass(state, router, request, &found, false) {
        return refuse(error, response);
    }
    let allow = match found {
        _ if request.head.target.path == "*" => "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT".to_string(),
        Found::OtherMethods(allow) => allow,
        Found::Route(..) | Found::Nothing => return refuse(Refusal::RouteNotFound.into(), response),
    };
    response.status = 204;
    response.headers.push(("allow", allow));
    response
}

fn nothing_there(state: &State, request: &Request<'_>, refusal: Refusal, response: Response) -> Response {
    nothing(state, request, refusal.into(), known_caller(state, request), response)
}

/// A refusal of what leads to no row, or not yet; counted like one that does.
fn nothing(
    state: &State,
    request: &Request<'_>,
    error: Error,
    caller: Caller,
    response: Response,
) -> Response {
    match rate_limit::check(state, request, &Asked::Nothing, caller) {
        Ok(limits) => refuse(error, Response { limits, ..response }),
        Err(numbers) => too_many(numbers, response),
    }
}

struct Identity {
    /// Whom the request is counted for; nobody known: the address.
    caller: Caller,
    /// Why it goes no further, should the limits let it.
    refusal: Option<Error>,
}

fn identify(state: &State, route: &Route, params: &Params<'_>, request: &Request<'_>) -> Identity {
    let identified = match route.auth {
        Auth::Public => {
            let counted = route.bucket.is_some();
            let caller = if counted { known_caller(state, request) } else { Caller::Nobody };
            Ok((caller, None))
        }
        Auth::User | Auth::Person | Auth::Restricted => {
            authenticate(state, request, bearer(&request.head), route.auth).map(|(principal, unusable)| {
                let refusal = unusable.or_else(|| route.require_kind(principal.kind).err());
                (Caller::User(principal), refusal)
            })
        }
        Auth::Media => match authenticate(state, request, bearer_or_cookie(&request.head), route.auth) {
            Ok((principal, unusable)) => {
                let refusal = unusable.or_else(|| route.require_kind(principal.kind).err());
                Ok((Caller::User(principal), refusal))
            }
            Err(_) if signature::is_there(request) => Ok((Caller::Nobody, None)),
            Err(error) => Err(error),
        },
        Auth::Webhook => webhook_bearer(state, params, request).map(|caller| (caller, None)),
        Auth::Admin => door::authenticate(state, request).map(|caller| (caller, None)),
    };
    let (caller, refusal) = identified.unwrap_or_else(|error| (Caller::Nobody, Some(error)));
    Identity { caller, refusal }
}

/// Who asks where nobody has to say so. Costs nothing without rate limits.
fn known_caller(state: &State, request: &Request<'_>) -> Caller {
    let asked = state.config.rate_limiting.enabled && request.head.header("authorization").is_some();
    let known =
        asked.then(|| authenticate(state, request, bearer(&request.head), Auth::Public).ok()).flatten();
    known.map_or(Caller::Nobody, |(principal, _)| Caller::User(principal))
}

/// The webhook of a path that has its token in it.
fn webhook_bearer(state: &State, params: &Params<'_>, request: &Request<'_>) -> Result<Caller> {
    let webhook_id = parse_id(&params.get("webhook_id")).ok_or_else(|| Error::invalid_id("webhook"))?;
    let token = params.get("token");
    let snapshot = state.snapshot();
    let verified = webhook::verify(snapshot.read(), WebhookId(webhook_id), &token);
    counting_failures(state, request, verified).map(Caller::Webhook)
}

/// The principal, and why his account may not be used, if so.
fn authenticate(
    state: &State,
    request: &Request<'_>,
    token: Result<&str>,
    auth: Auth,
) -> Result<(Principal, Option<Error>)> {
    let token = token?;
    let now = state.now();
    let (snapshot, void_up_to) = (state.snapshot(), state.closure.void_up_to(state));
    let verified = counting_failures(
        state,
        request,
        verify(snapshot.read(), token, now.steady_ms, void_up_to, &state.config),
    );
    verified.map(|(principal, user)| {
        let usable = match auth {
            Auth::Restricted => require_present(snapshot.read(), user),
            _ => require_usable(snapshot.read(), principal.user_id, user),
        };
        (principal, usable.err())
    })
}

/// What came of looking at a token. Only who fails is limited: behind one address may be many, and they have done
/// nothing.
fn counting_failures<T>(state: &State, request: &Request<'_>, verified: Result<T>) -> Result<T> {
    let now = state.now();
    match verified {
        Err(error) if error.status == UNAUTHORIZED => {
            if state.limiter.verification_blocked(now, request.ip) {
                return Err(Refusal::TooManyFailedVerifications.into());
            }
            state.limiter.failed_verification(now, request.ip);
            Err(error)
        }
        verified => verified,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Harness;
    use super::*;
    use crate::config::AuthenticationSecurity;
    use crate::config::Config;

    #[test]
    fn failed_verifications_are_counted_by_address() {
        let config = Config {
            authentication_security: AuthenticationSecurity {
                token_verify_rate_limit: 2,
                ..AuthenticationSecurity::default()
            },
            ..Config::default()
        };
        let harness = Harness::with_config(config);
        let state = &harness.state;
        let try_token = |token: &str| {
            let text = format!("GET / HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\r\n");
            let mut slots = crate::wire::http::header_slots();
            let head = crate::wire::http::parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
            let ip = std::net::Ipv4Addr::LOCALHOST.into();
            let request = Request { head, body: &mut [], ip, id: 1 };
            authenticate(state, &request, bearer(&request.head), Auth::User).unwrap_err().message.into_owned()
        };
        assert_eq!(try_token("1.x"), "Invalid or expired token");
        assert_eq!(try_token("nonsense"), "Invalid or expired token");
        assert!(try_token("1.x").starts_with("Too many failed"));
        harness.advance(120_000);
        assert_eq!(try_token("1.x"), "Invalid or expired token");
    }
}
