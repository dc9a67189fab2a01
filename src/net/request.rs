//! One request from its admission to its answer: begun, waited for, written.
//!
//! A burst begins several before it waits for the first; apart from that there is one way through here.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use super::connections::Phase;
use super::http::Backend;
use super::socket::{Form, Socket};
use crate::api::admit::{Admission, Admitted, admit, admit_again, name_of};
use crate::api::ctx::{AfterCommand, Task};
use crate::api::dispatch::{self, finish, whole};
use crate::api::routes::Route;
use crate::api::touch::touch;
use crate::api::{Ctx, Request, Response, Step};
use crate::domain::{Command, Error, Reply, Result};
use crate::observe::{log_request, logs_requests};
use crate::runtime::clock::monotonic_ns;
use crate::runtime::wipe::wiping;
use crate::wire::http::HttpError;

/// How far a request has come without waiting.
pub(super) enum Begun<'r, F> {
    /// The answer, and the operation, if there is one.
    Answered(Response, Option<&'static Route>),
    /// Its command is in the log's order.
    Submitted(Box<Ctx<'r>>, Pin<Box<F>>, AfterCommand),
    /// A handler that has answered, refused, or wants something else first.
    Stepped(Box<Ctx<'r>>, Result<Step>),
}

/// What is left to do until an answer is appended; an error of a socket whose client is gone. On the heap: steps and
/// commands would otherwise be room that every idle connection holds.
pub(super) type Work<'a> = Pin<Box<dyn Future<Output = io::Result<()>> + 'a>>;

/// What one request has come to at once. True: the connection goes on.
pub(super) enum TakenUp<'a> {
    /// It is admitted; first have its body read, or on its way.
    Body(Box<Admitted>),
    Answered(bool),
    Waiting(Work<'a>, bool),
}

/// Where the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyIs {
    /// All of it, or there is none.
    Here,
    /// It is short, and comes without being asked for: the answer to it needs the connection no less than the next
    /// request does.
    ToCome,
    /// It may be long, or never come.
    Uncertain,
}

const TOO_LARGE: u16 = HttpError::PayloadTooLarge.status();

/// Runs the handler of a request that was taken up at `begun_ns` if it was admitted, and has the use of its session
/// noted beside it.
pub(super) fn begin<'r, B: Backend>(
    backend: &'r B,
    request: Request<'r>,
    admission: Admission<'r>,
    begun_ns: u64,
) -> Begun<'r, impl Future<Output = Result<Reply>> + use<'r, B>> {
    let (state, request_id) = (backend.state(), request.id);
    let (admitted, params) = match admission {
        Admission::Admitted(admitted, params) => (admitted, params),
        Admission::Answered(response, route) => {
            backend.handled(request_id, name_of(route), begun_ns);
            return Begun::Answered(response, route);
        }
    };
    let (ctx, step) = dispatch::run(state, backend, request, admitted, params);
    backend.handled(request_id, ctx.route.name, begun_ns);
    if let Some(principal) = ctx.caller.principal().filter(|principal| principal.touch_due)
        && let Some(command) = touch(state, principal)
    {
        backend.submit_and_forget(command);
    }
    match step {
        Ok(Step::Submit(command, then)) => Begun::Submitted(ctx, submit(backend, command), then),
        step => Begun::Stepped(ctx, step),
    }
}

fn submit<B: Backend>(
    backend: &B,
    command: Command,
) -> Pin<Box<impl Future<Output = Result<Reply>> + use<'_, B>>> {
    Box::pin(backend.submit(command))
}

/// Runs the part of a handler that follows a wait.
fn resume<'r, B: Backend>(
    backend: &B,
    ctx: &mut Ctx<'r>,
    part: impl FnOnce(&mut Ctx<'r>) -> Result<Step>,
) -> Result<Step> {
    let begun_ns = monotonic_ns();
    let step = whole(|| wiping(ctx.route.secret, || part(ctx)));
    backend.handled(ctx.request.id, ctx.route.name, begun_ns);
    step
}

impl Socket {
    /// Takes up one request: it is admitted by its head, and its handler runs once the body is here. `admitted`: its
    /// head has been looked at before.
    pub(super) fn take_up<'a, B: Backend>(
        &'a mut self,
        backend: &'a B,
        request: Request<'a>,
        form: Form,
        admitted: Option<Admitted>,
        body_is: BodyIs,
        begun_ns: u64,
    ) -> TakenUp<'a> {
        let (state, router) = (backend.state(), backend.router());
        let (started, method) = (logs_requests().then(Instant::now), request.head.method.as_str());
        let is_new = admitted.is_none();
        let admission = match admitted {
            Some(admitted) => admit_again(state, router, admitted, &request),
            None => admit(state, router, &request),
        };
        let form = match &admission {
            Admission::Admitted(admitted, _) if body_is != BodyIs::Here || is_new && admitted.is_stream() => {
                return TakenUp::Body(Box::new(*admitted));
            }
            // Who sends too much is not listened to any longer.
            Admission::Answered(response, _)
                if response.status == TOO_LARGE || body_is == BodyIs::Uncertain =>
            {
                form.closing()
            }
            _ => form,
        };
        let begun = begin(backend, request, admission, begun_ns);
        match self.conclude(backend, begun, form, method, (begun_ns, started)) {
            None => TakenUp::Answered(form.keep_alive),
            Some(work) => TakenUp::Waiting(work, form.keep_alive),
        }
    }

    /// Appends the answer of a request that was begun, at once or at the end of the work it returns. When it was, by the
    /// monotonic clock, and by another where requests are logged.
    pub(super) fn conclude<'a, 'r: 'a, B: Backend>(
        &'a mut self,
        backend: &'r B,
        begun: Begun<'r, impl Future<Output = Result<Reply>> + 'a>,
        form: Form,
        method: &'static str,
        (begun_ns, started): (u64, Option<Instant>),
    ) -> Option<Work<'a>> {
        let write = move |socket: &mut Socket, mut response: Response, route: Option<&'static Route>| {
            let state = backend.state();
            let rest = socket.append(state, &mut response, &form);
            state.answered(route, response.status, begun_ns);
            if let Some(started) = started {
                let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
                log_request(form.request_id, method, name_of(route), response.status, micros);
            }
            rest
        };
        let (mut ctx, result) = match begun {
            Begun::Answered(response, route) => {
                let rest = write(self, response, route)?;
                return Some(Box::pin(self.send(backend.state(), backend, rest, form)));
            }
            Begun::Stepped(ctx, Err(error)) => (ctx, Err(error)),
            Begun::Stepped(ctx, Ok(Step::Done)) => (ctx, Ok(())),
            Begun::Stepped(mut ctx, Ok(step)) => {
                return Some(Box::pin(async move {
                    let result = self.perform(backend, &mut ctx, step).await?;
                    match write(self, finish(&mut ctx, result), Some(ctx.route)) {
                        Some(rest) => self.send(backend.state(), backend, rest, form).await,
                        None => Ok(()),
                    }
                }));
            }
            Begun::Submitted(mut ctx, reply, then) => {
                return Some(Box::pin(async move {
                    let reply = self.wait(backend, reply).await?;
                    let result = match resume(backend, &mut ctx, |ctx| then(ctx, reply)) {
                        Ok(Step::Done) => Ok(()),
                        Err(error) => Err(error),
                        Ok(step) => Box::pin(self.perform(backend, &mut ctx, step)).await?,
                    };
                    match write(self, finish(&mut ctx, result), Some(ctx.route)) {
                        Some(rest) => self.send(backend.state(), backend, rest, form).await,
                        None => Ok(()),
                    }
                }));
            }
        };
        let rest = write(self, finish(&mut ctx, result), Some(ctx.route))?;
        Some(Box::pin(self.send(backend.state(), backend, rest, form)))
    }

    /// Waits for the log's answer to a command that was submitted. Earlier answers do not wait for it.
    async fn wait<B: Backend>(
        &mut self,
        backend: &B,
        mut reply: Pin<Box<impl Future<Output = Result<Reply>>>>,
    ) -> io::Result<Result<Reply>> {
        // Often it is there already: the commands of a burst share a batch.
        let ready = poll_fn(|task| {
            Poll::Ready(match reply.as_mut().poll(task) {
                Poll::Ready(reply) => Some(reply),
                Poll::Pending => None,
            })
        });
        if let Some(reply) = ready.await {
            return Ok(reply);
        }
        self.flush(backend.state()).await?;
        self.registration.begin(Phase::Work);
        Ok(reply.await)
    }

    /// Runs a handler that waits more than once. What lies between two waits is a part like any other.
    async fn run<B: Backend>(
        &mut self,
        backend: &B,
        ctx: &mut Ctx<'_>,
        task: Task,
    ) -> io::Result<Result<Step>> {
        let (request_id, route, pieces) = (ctx.request.id, ctx.route, ctx.pieces.clone());
        let mut steps = task(ctx);
        loop {
            // `None`: it wants a piece of the body first.
            let step = poll_fn(|waker| {
                let begun_ns = monotonic_ns();
                let polled = whole(|| wiping(route.secret, || Ok(steps.as_mut().poll(waker))));
                backend.handled(request_id, route.name, begun_ns);
                match polled {
                    Err(error) => Poll::Ready(Some(Err(error))),
                    Ok(Poll::Ready(step)) => Poll::Ready(Some(step)),
                    Ok(Poll::Pending) if pieces.as_ref().is_some_and(|pieces| pieces.is_asked()) => {
                        Poll::Ready(None)
                    }
                    Ok(Poll::Pending) => Poll::Pending,
                }
            });
            if let Some(step) = step.await {
                wiping(route.secret, || drop(steps));
                return Ok(step);
            }
            let piece = self.receive_piece(backend.state()).await?;
            self.registration.begin(Phase::Work);
            let piece = piece.map_err(|error| Error::new(error.status(), error.message()));
            pieces.as_ref().expect("it was asked for one").give(piece);
        }
    }

    /// Carries out what a handler asks for, until it is done.
    pub(super) async fn perform<B: Backend>(
        &mut self,
        backend: &B,
        ctx: &mut Ctx<'_>,
        mut step: Step,
    ) -> io::Result<Result<()>> {
        // Earlier answers do not wait for this one.
        self.flush(backend.state()).await?;
        self.registration.begin(Phase::Work);
        loop {
            let next = match step {
                Step::Done => return Ok(Ok(())),
                Step::Submit(command, then) => {
                    let reply = backend.submit(command).await;
                    resume(backend, ctx, |ctx| then(ctx, reply))
                }
                Step::Receive(then) => match self.receive_piece(backend.state()).await? {
                    Ok(piece) => {
                        self.registration.begin(Phase::Work);
                        resume(backend, ctx, |ctx| then(ctx, piece))
                    }
                    Err(error) => Err(Error::new(error.status(), error.message())),
                },
                Step::Task(task) => self.run(backend, ctx, task).await?,
            };
            step = match next {
                Ok(next) => next,
                Err(error) => return Ok(Err(error)),
            };
        }
    }
}
