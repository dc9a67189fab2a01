//! From a parsed request to the first step of its handler, or to the refusal.

use super::authenticate::{bearer, require_usable, verify};
use super::ctx::{Ctx, Request, Response, Step};
use super::router::{Found, Router};
use super::routes::Auth;
use super::state::State;
use crate::domain::{Error, Refusal, Result};

/// What a request leads to.
pub enum Dispatched<'r> {
    /// A handler ran; carry out its step, then `finish`.
    Handler(Box<Ctx<'r>>, Result<Step>),
    /// Refused before any handler.
    Refused(Response),
}

/// Finds the route, authenticates, runs the handler up to its first step.
pub fn dispatch<'r>(state: &'r State, router: &Router, request: Request<'r>) -> Dispatched<'r> {
    let (route, params) = match router.find(request.head.method, &request.head.target) {
        Found::Route(route, params) => (route, params),
        Found::Nothing => {
            return Dispatched::Refused(refuse(Refusal::RouteNotFound.into(), Response::default()));
        }
        Found::OtherMethods(allow) => {
            let mut response = refuse(Refusal::MethodNotAllowed.into(), Response::default());
            response.headers.push(("allow", allow));
            return Dispatched::Refused(response);
        }
    };
    let response = Response::default();
    let mut ctx = Box::new(Ctx { state, request, route, params, principal: None, response });
    let step = authenticate(&mut ctx).and_then(|()| (route.handler)(&mut ctx));
    Dispatched::Handler(ctx, step)
}

fn authenticate(ctx: &mut Ctx<'_>) -> Result<()> {
    if ctx.route.auth == Auth::Public {
        return Ok(());
    }
    let snapshot = ctx.snapshot();
    let (principal, user) = verify(snapshot.read(), bearer(&ctx.request.head)?, ctx.now_ms())?;
    if ctx.route.auth == Auth::User {
        require_usable(user)?;
    }
    ctx.principal = Some(principal);
    Ok(())
}

/// The answer of a handler that is done or has refused.
pub fn finish(ctx: &mut Ctx<'_>, result: Result<()>) -> Response {
    let response = std::mem::take(&mut ctx.response);
    match result {
        Ok(()) => response,
        Err(error) => refuse(error, response),
    }
}

/// Turns a refusal into its envelope; headers that were set stay.
pub fn refuse(error: Error, mut response: Response) -> Response {
    response.status = error.status;
    response.content_type = "application/json";
    response.body.clear();
    error.write(&mut response.body);
    if let Some(ms) = error.retry_after_ms {
        response.headers.push(("retry-after", ms.div_ceil(1_000).max(1).to_string()));
    }
    response
}
