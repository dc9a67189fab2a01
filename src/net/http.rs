//! One task per HTTP connection: bytes in, requests to the handlers, answers out.
//!
//! Invariants: requests of a connection are answered in their order, and all that are ready leave in one write. A
//! read is never dropped while the kernel may still fill its buffer. When nobody can tell where the next request
//! begins, the connection ends with the answer, and the client gets to see it (lingering close).
//!
//! The core behind is a [`Backend`], so that tests run without one.

use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use monoio::net::TcpStream;

use super::admission::{Admitted, TurnedAway};
use super::connections::{Connections, Phase};
use super::ring::receive;
use super::socket::{Form, Socket};
use super::upgrade::Facts;
pub use super::upgrade::Upgrade;
use crate::api::dispatch::{
    Ahead, Dispatched, NO_ROUTE, dispatch, finish, look_ahead, refuse, refuse_unread, whole,
};
use crate::api::router::Router;
use crate::api::touch::touch;
use crate::api::{Ctx, Request, Response, State, Step};
use crate::domain::{Command, Error, Refusal, Reply, Result};
use crate::effect::password::Source;
use crate::limits::{
    BODY_READ_LEN_MAX, BODY_UNKNOWN_LEN_MAX, PIPELINE_LEN_MAX, PIPELINE_READ_LEN_MAX, READ_LEN,
    TURNED_AWAY_COUNT_MAX,
};
use crate::observe::{log_request, logs_requests};
use crate::runtime::clock::monotonic_ns;
use crate::runtime::wipe::{wipe, wipe_spare, wiping};
use crate::wire::http::{
    BodyDecoder, BodyKind, CONTINUE, Framing, Head, HttpError, Method, header_slots, parse_head,
};

/// For the request of a connection that is turned away: as a rule it is there already.
const TURN_AWAY_WAIT: Duration = Duration::from_millis(100);

/// What a connection needs of its core.
pub trait Backend: 'static {
    fn state(&self) -> &State;
    fn router(&self) -> &Router;
    /// Has the log decide a command. It is in the log's order when this returns, not only when it is awaited.
    fn submit(&self, command: Command) -> impl Future<Output = Result<Reply>>;
    /// The same without waiting for the outcome; dropped when the log has no room.
    fn submit_and_forget(&self, command: Command);
    /// The PHC string of a password.
    fn hash(&self, source: Source, password: String) -> impl Future<Output = Result<String>>;
    /// Whether a password matches a PHC string.
    fn verify(
        &self,
        source: Source,
        password: String,
        phc: Option<String>,
    ) -> impl Future<Output = Result<bool>>;
    /// Brings the core's clock and snapshot up to date; called before each request. Gives the monotonic time, in
    /// nanoseconds: the clock is read for both anyway.
    fn sync(&self) -> u64;
    /// A handler, or its part after a wait, has run since `begun_ns` on the monotonic clock, and held up the core.
    fn handled(&self, request_id: u64, route: &'static str, begun_ns: u64);
    /// Takes over a socket that has become a WebSocket. The 101 has been sent.
    fn upgrade(&self, fd: OwnedFd, upgrade: Upgrade);
}

/// Serves a connection to its end.
pub async fn serve<B: Backend>(
    stream: TcpStream,
    peer: SocketAddr,
    backend: Rc<B>,
    connections: Rc<Connections>,
) {
    // Answers are written whole; waiting for more would only delay them. On error they are a little slower.
    let _ = stream.set_nodelay(true);
    let peer = peer.ip().to_canonical();
    let is_proxy = backend.state().proxies.contains(peer);
    let admitted = connections.admission.admit(peer, is_proxy);
    let registration = connections.register(stream.as_raw_fd());
    let mut socket = Socket::new(registration, stream, peer);
    let admitted = match admitted {
        Ok(admitted) => admitted,
        // On the heap: room that others need not hold.
        Err(reason) => return Box::pin(turn_away(&*backend, &mut socket, reason)).await,
    };
    let mut connection = Connection {
        backend,
        socket,
        peer,
        input: Vec::new(),
        at: 0,
        room: READ_LEN,
        is_used: false,
        is_pipelining: false,
    };
    // Errors are those of a socket whose client is gone; there is nobody to tell.
    match connection.run().await {
        Ok(Some(facts)) => connection.hand_over(*facts, admitted),
        _ => wipe(&mut connection.input),
    }
}

/// One answer, then the end. When many are being turned away, without a word.
async fn turn_away<B: Backend>(backend: &B, socket: &mut Socket, reason: TurnedAway) {
    let connections = socket.registration.connections.clone();
    let count = connections.turned_away_count.get();
    if count >= TURNED_AWAY_COUNT_MAX {
        return;
    }
    connections.turned_away_count.set(count + 1);
    let error: Error = match reason {
        TurnedAway::Full => Refusal::Busy.into(),
        TurnedAway::TooManyOfAddress => Error::too_many("Too many connections from this address", 1_000),
    };
    // A page may read the answer only when it names the page's origin.
    let mut request = [0; READ_LEN];
    socket.registration.begin(Phase::Work);
    let _ = monoio::time::timeout(TURN_AWAY_WAIT, socket.stream.readable(false)).await;
    let len = receive(socket.stream.as_raw_fd(), &mut request).unwrap_or(0);
    let state = backend.state();
    let form = Form::last(connections.next_request_id(), state.cors.lines_for_raw(&request[..len]));
    socket.append(state, &refuse(error, Response::default()), &form);
    if socket.flush(state).await.is_ok() {
        socket.linger().await;
    }
    connections.turned_away_count.set(connections.turned_away_count.get() - 1);
}

pub(super) struct Connection<B> {
    pub(super) backend: Rc<B>,
    pub(super) socket: Socket,
    pub(super) peer: IpAddr,
    /// Everything received that is not answered, from `at` on.
    pub(super) input: Vec<u8>,
    pub(super) at: usize,
    /// What the next read for a head asks for; grows with clients that pipeline.
    room: usize,
    /// Has had an answer.
    is_used: bool,
    /// Has sent several requests in one go before.
    pub(super) is_pipelining: bool,
}

/// What the front of the input is.
enum Front {
    /// Not a whole head yet.
    Incomplete,
    /// A head whose body is still missing, and the most that is read of it; true: the client waits to be asked for it.
    Body(Framing, usize, bool),
    /// A request of this length was answered; false: the connection ends.
    Answered(usize, bool),
    /// Several requests may be here: look at them together.
    Burst,
    /// A request of this length became a WebSocket.
    Upgraded(usize, Box<Facts>),
    Unreadable(HttpError),
}

/// Dispatches a request that was taken up at `begun_ns`, and has the use of its session noted beside it.
pub(super) fn begin<'r, B: Backend>(backend: &'r B, request: Request<'r>, begun_ns: u64) -> Dispatched<'r> {
    let state = backend.state();
    let request_id = request.id;
    let dispatched = dispatch(state, backend.router(), request);
    let route = match &dispatched {
        Dispatched::Answered(_, route) => route,
        Dispatched::Handler(ctx, _) => ctx.route.name,
    };
    backend.handled(request_id, route, begun_ns);
    if let Dispatched::Handler(ctx, _) = &dispatched
        && let Some(principal) = ctx.principal.filter(|principal| principal.touch_due)
        && let Some(command) = touch(state, principal)
    {
        backend.submit_and_forget(command);
    }
    dispatched
}

/// Runs the part of a handler that follows a wait.
pub(super) fn resume<'r, B: Backend>(
    backend: &B,
    ctx: &mut Ctx<'r>,
    part: impl FnOnce(&mut Ctx<'r>) -> Result<Step>,
) -> Result<Step> {
    let begun_ns = monotonic_ns();
    let step = whole(|| wiping(ctx.route.secret, || part(ctx)));
    backend.handled(ctx.request.id, ctx.route.name, begun_ns);
    step
}

/// An answer and its operation for the log; an error of a socket whose client is gone.
type Answer = io::Result<(Response, &'static str)>;

/// What a handler's step has come to at once.
pub(super) enum Begun<'a> {
    /// The answer, and the operation for the log.
    Answered(Response, &'static str),
    /// The same later.
    Waiting(Pin<Box<dyn Future<Output = Answer> + 'a>>),
}

impl Begun<'_> {
    pub(super) async fn outcome(self) -> Answer {
        match self {
            Begun::Answered(response, route) => Ok((response, route)),
            Begun::Waiting(work) => work.await,
        }
    }
}

impl<B: Backend> Connection<B> {
    /// To the end of the connection, or until it has become a WebSocket.
    async fn run(&mut self) -> io::Result<Option<Box<Facts>>> {
        // The length of a request at the front whose body has been decoded.
        let mut whole = None;
        let mut one_by_one = false;
        loop {
            match self.front(whole.take(), std::mem::take(&mut one_by_one)).await? {
                // On the heap, like everything that only a request at work needs.
                Front::Burst => match Box::pin(self.burst()).await? {
                    Some(keep_alive) => {
                        self.is_used = true;
                        if !keep_alive {
                            break;
                        }
                        self.socket.registration.connections.share.take().await;
                    }
                    None => one_by_one = true,
                },
                Front::Incomplete => {
                    if !self.read_head().await? {
                        return Ok(None);
                    }
                }
                Front::Body(framing, len_max, asks) => match self.read_body(framing, len_max, asks).await? {
                    Ok(Some(len)) => whole = Some(len),
                    Ok(None) => return Ok(None),
                    Err(error) => {
                        self.refuse(error);
                        break;
                    }
                },
                Front::Answered(len, keep_alive) => {
                    self.at += len;
                    self.is_used = true;
                    if !keep_alive {
                        break;
                    }
                    if self.socket.output.len() > PIPELINE_LEN_MAX {
                        self.socket.flush(self.backend.state()).await?;
                    }
                    // Hundreds of requests may have come in one read.
                    if self.at < self.input.len() {
                        self.socket.registration.connections.share.take().await;
                    }
                }
                Front::Upgraded(len, facts) => {
                    self.at += len;
                    self.socket.flush(self.backend.state()).await?;
                    return Ok(Some(facts));
                }
                Front::Unreadable(error) => {
                    self.refuse(error);
                    break;
                }
            }
        }
        self.socket.flush(self.backend.state()).await?;
        self.socket.linger().await;
        Ok(None)
    }

    /// Looks at the input and answers the request there when it is whole. `whole`: its length is known.
    async fn front(&mut self, whole: Option<usize>, one_by_one: bool) -> io::Result<Front> {
        let input = &self.input[self.at..];
        if input.is_empty() {
            return Ok(Front::Incomplete);
        }
        // On the heap, not in the task: 2 KiB that an idle connection does not hold.
        let mut slots = Box::new(header_slots());
        let head = match parse_head(input, &mut slots) {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Front::Incomplete),
            Err(error) => return Ok(Front::Unreadable(error)),
        };
        let framing = head.framing;
        let state = self.backend.state();
        let len = match (whole, framing.body) {
            (Some(len), _) => Some(len),
            (None, BodyKind::None) => Some(framing.head_len),
            (None, BodyKind::Sized(len)) if len <= (input.len() - framing.head_len) as u64 => {
                Some(framing.head_len + len as usize)
            }
            (None, _) => match self.look_ahead(&head) {
                Ahead::Body(len_max) => return Ok(Front::Body(framing, len_max, head.expect_continue)),
                Ahead::Refused => None,
            },
        };
        // Refused by its head: the body stays where it is.
        let is_ahead = len.is_none();
        let len = len.unwrap_or(framing.head_len);
        let body = &input[framing.head_len..len];
        if body.len() as u64 > state.config.api_max_body_size {
            return Ok(Front::Unreadable(HttpError::PayloadTooLarge));
        }
        // A decoded body no longer looks as it came: such a request is answered right here.
        let more = whole.is_none() && !is_ahead && (self.is_pipelining || input.len() > len);
        if more && !one_by_one && head.method == Method::Post {
            return Ok(Front::Burst);
        }
        if body.len() > BODY_UNKNOWN_LEN_MAX {
            self.socket.registration.connections.share.take_alone().await;
        }
        let begun_ns = self.backend.sync();
        if head.websocket {
            return Ok(match self.socket.upgrade(state, &head, self.peer) {
                Some(facts) => Front::Upgraded(len, facts),
                None => Front::Answered(len, false),
            });
        }
        let mut form = self.socket.form(state, &head);
        form.keep_alive &= !is_ahead;
        self.socket.answer(&*self.backend, &head, body, &form, self.peer, begun_ns).await?;
        Ok(Front::Answered(len, form.keep_alive))
    }

    /// What a body that is still to come leads to. Short ones are read without a look: their answer needs the
    /// connection no less than it does.
    fn look_ahead(&self, head: &Head<'_>) -> Ahead {
        let state = self.backend.state();
        let len_max = usize::try_from(state.config.api_max_body_size).unwrap_or(usize::MAX);
        let len = head.content_length();
        let is_short = len.is_some_and(|len| len <= BODY_UNKNOWN_LEN_MAX as u64) && !head.expect_continue;
        // What is too long for anybody is refused as such, whoever asks.
        if head.websocket || is_short || len.is_some_and(|len| len > len_max as u64) {
            return Ahead::Body(len_max);
        }
        self.backend.sync();
        look_ahead(state, self.backend.router(), head)
    }

    /// Drops what is answered from the front of the input, and overwrites it: it may hold a password or a token.
    fn forget_answered(&mut self) {
        let (len, at) = (self.input.len(), std::mem::take(&mut self.at));
        self.input.copy_within(at.., 0);
        wipe(&mut self.input[len - at..]);
        self.input.truncate(len - at);
    }

    /// Takes what has arrived meanwhile, without waiting: no read is pending here.
    pub(super) fn take_what_is_there(&mut self) {
        self.forget_answered();
        let start = self.input.len();
        self.input.resize(start + PIPELINE_READ_LEN_MAX, 0);
        let count = receive(self.socket.stream.as_raw_fd(), &mut self.input[start..]).unwrap_or(0);
        self.input.truncate(start + count);
        self.socket.registration.connections.count_in(count);
    }

    /// Waits for more of a head, after everything that is ready has gone out. False: the connection is at its end.
    async fn read_head(&mut self) -> io::Result<bool> {
        self.socket.flush(self.backend.state()).await?;
        self.forget_answered();
        if self.input.is_empty() {
            // A new connection is read even then: it may be a balancer that asks how we are.
            if self.is_used && self.backend.state().run.is_shutting_down() {
                self.socket.linger().await;
                return Ok(false);
            }
            self.socket.registration.begin(Phase::Idle);
            if self.input.capacity() > self.room {
                self.input = Vec::new();
            }
        } else {
            self.socket.registration.continue_in(Phase::Head);
            self.socket.registration.hold(self.input.capacity());
            self.socket.registration.set_lines(self.backend.state().cors.lines_for_raw(&self.input));
        }
        let count = self.socket.read(&mut self.input, self.room).await?;
        // Hundreds may have waited for their clients, and have been given something at once.
        self.socket.registration.connections.share.take().await;
        self.room = match count {
            _ if count >= self.room => (self.room * 2).min(PIPELINE_READ_LEN_MAX),
            _ if count < self.room / 4 => READ_LEN,
            _ => self.room,
        };
        Ok(count > 0)
    }

    /// Reads until the body is whole. Its end, or `None` when the client has closed.
    async fn read_body(
        &mut self,
        framing: Framing,
        len_max: usize,
        asks: bool,
    ) -> io::Result<std::result::Result<Option<usize>, HttpError>> {
        self.forget_answered();
        let mut decoder = match BodyDecoder::new(framing, len_max) {
            Ok(decoder) => decoder,
            Err(error) => return Ok(Err(error)),
        };
        if asks && self.input.len() == framing.head_len {
            self.socket.output.extend_from_slice(CONTINUE);
        }
        self.socket.flush(self.backend.state()).await?;
        self.socket.registration.begin(Phase::Body);
        self.socket.registration.set_lines(self.backend.state().cors.lines_for_raw(&self.input));
        loop {
            match decoder.decode(&mut self.input) {
                Ok(None) => {}
                done => {
                    // Taking the chunks together has left some of them behind.
                    if framing.body == BodyKind::Chunked {
                        wipe_spare(&mut self.input);
                    }
                    return Ok(done);
                }
            }
            self.socket.registration.hold(self.input.capacity());
            let room = decoder.missing(&self.input).clamp(READ_LEN, BODY_READ_LEN_MAX);
            if self.socket.read(&mut self.input, room).await? == 0 {
                return Ok(Ok(None));
            }
            self.socket.registration.connections.share.take().await;
        }
    }

    /// The last answer, to a request that cannot be read.
    fn refuse(&mut self, error: HttpError) {
        self.backend.sync();
        let request_id = self.socket.registration.connections.next_request_id();
        let state = self.backend.state();
        let form = Form::last(request_id, state.cors.lines_for_raw(&self.input[self.at..]));
        self.socket.append(state, &refuse_unread(error), &form);
        log_request(request_id, NO_ROUTE, NO_ROUTE, error.status(), 0);
    }

    /// Gives the socket away; the 101 has gone out.
    fn hand_over(self, facts: Facts, admitted: Admitted) {
        let Connection { backend, socket, mut input, at, .. } = self;
        let leftover = input.split_off(at);
        let Socket { registration, stream, .. } = socket;
        drop(registration);
        // No operation is pending, so the stream is the only owner of its descriptor.
        let fd = stream.into_raw_fd();
        // SAFETY: `into_raw_fd` gave up the open descriptor; nobody else closes it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        backend.upgrade(fd, Upgrade { facts, leftover, admitted });
    }
}

impl Socket {
    /// Has a request answered.
    async fn answer<B: Backend>(
        &mut self,
        backend: &B,
        head: &Head<'_>,
        body: &[u8],
        form: &Form,
        peer: IpAddr,
        begun_ns: u64,
    ) -> io::Result<()> {
        let state = backend.state();
        let connections = self.registration.connections.clone();
        let started = logs_requests().then(Instant::now);
        // JSON is parsed in place, and the head stays where it is: the body needs a place of its own.
        let mut scratch = Vec::new();
        if !body.is_empty() {
            scratch = connections.take_buffer();
            scratch.extend_from_slice(body);
        }
        let ip = state.proxies.client(peer, head);
        let request = Request { head: *head, body: &mut scratch, ip, id: form.request_id };
        let (response, route) = match self.begin(backend, request, begun_ns) {
            Begun::Answered(response, route) => (response, route),
            Begun::Waiting(work) => work.await?,
        };
        wipe(&mut scratch);
        connections.give_buffer(scratch);
        self.append(state, &response, form);
        if let Some(started) = started {
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            log_request(form.request_id, head.method.as_str(), route, response.status, micros);
        }
        Ok(())
    }

    /// Waits for the log's answer to a command that was submitted. Earlier answers do not wait for it.
    pub(super) async fn wait<B: Backend>(
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

    /// Runs a request up to its answer, or to the first thing that takes time.
    fn begin<'a, B: Backend>(&'a mut self, backend: &'a B, request: Request<'a>, begun_ns: u64) -> Begun<'a> {
        match begin(backend, request, begun_ns) {
            Dispatched::Answered(response, route) => Begun::Answered(response, route),
            Dispatched::Handler(ctx, step) => self.complete(backend, ctx, step),
        }
    }

    /// Goes on from a handler's step to its end.
    ///
    /// No part of the task: a step and its command would otherwise be room that every idle connection holds.
    pub(super) fn complete<'a, 'r: 'a, B: Backend>(
        &'a mut self,
        backend: &'a B,
        mut ctx: Box<Ctx<'r>>,
        step: Result<Step>,
    ) -> Begun<'a> {
        let result = match step {
            Ok(Step::Done) => Ok(()),
            Err(error) => Err(error),
            Ok(step) => return Begun::Waiting(Box::pin(self.perform(backend, ctx, step))),
        };
        Begun::Answered(finish(&mut ctx, result), ctx.route.name)
    }

    /// Carries out what a handler asks for, until it is done.
    async fn perform<B: Backend>(&mut self, backend: &B, mut ctx: Box<Ctx<'_>>, mut step: Step) -> Answer {
        // Earlier answers do not wait for this one.
        self.flush(backend.state()).await?;
        self.registration.begin(Phase::Work);
        let result = loop {
            let next = match step {
                Step::Done => break Ok(()),
                Step::Submit(command, then) => {
                    let reply = backend.submit(command).await;
                    resume(backend, &mut ctx, |ctx| then(ctx, reply))
                }
                Step::Hash(password, then) => {
                    let phc = backend.hash(ctx.password_source(), password).await;
                    phc.and_then(|phc| resume(backend, &mut ctx, |ctx| then(ctx, phc)))
                }
                Step::Verify(password, phc, then) => {
                    let matches = backend.verify(ctx.password_source(), password, phc).await;
                    matches.and_then(|matches| resume(backend, &mut ctx, |ctx| then(ctx, matches)))
                }
            };
            step = match next {
                Ok(next) => next,
                Err(error) => break Err(error),
            };
        };
        Ok((finish(&mut ctx, result), ctx.route.name))
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
