//! One task per HTTP connection: bytes in, requests to the handlers, answers out.
//!
//! Invariants: requests of a connection are answered in their order, and all that are ready leave in one write. A
//! read is never dropped while the kernel may still fill its buffer. When nobody can tell where the next request
//! begins, the connection ends with the answer, and the client gets to see it (lingering close).
//!
//! The core behind is a [`Backend`], so that tests run without one.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use monoio::net::TcpStream;

use super::admission::{Admitted as Place, TurnedAway};
use super::connections::{Connections, Phase};
use super::incoming::Incoming;
use super::request::{BodyIs, TakenUp};
use super::ring::receive;
use super::socket::{Form, Socket};
use super::upgrade::Facts;
pub use super::upgrade::Upgrade;
use crate::api::admit::{Admitted, NO_ROUTE};
use crate::api::ctx::Desk;
use crate::api::dispatch::{refuse, refuse_unread};
use crate::api::{Request, Response, State};
use crate::domain::{Command, Error, Refusal, Reply, Result};
use crate::limits::{
    BODY_IGNORED_LEN_MAX, BODY_READ_LEN_MAX, BODY_UNKNOWN_LEN_MAX, PIPELINE_LEN_MAX, PIPELINE_READ_LEN_MAX,
    READ_LEN, TURNED_AWAY_COUNT_MAX,
};
use crate::observe::log_request;
use crate::runtime::wipe::{wipe, wipe_spare};
use crate::wire::http::{
    BodyDecoder, BodyKind, CONTINUE, Framing, Head, HttpError, Method, header_slots, parse_head, proxy_header,
};

/// For the request of a connection that is turned away: as a rule it is there already.
const TURN_AWAY_WAIT: Duration = Duration::from_millis(100);

/// What a connection needs of its core.
pub trait Backend: Desk + Sized + 'static {
    fn state(&self) -> &State;
    /// Has the log decide a command. It is in the log's order when this returns, not only when it is awaited.
    fn submit(&self, command: Command) -> impl Future<Output = Result<Reply>>;
    /// The same without waiting for the outcome; dropped when the log has no room.
    fn submit_and_forget(&self, command: Command);
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
    let state = backend.state();
    let is_introduced = state.introducers.contains(peer);
    let admitted = connections.admission.admit(peer, is_introduced || state.proxies.contains(peer));
    let registration = connections.register(stream.as_raw_fd());
    let mut socket = Socket::new(registration, stream, peer);
    let mut admitted = match admitted {
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
    if is_introduced {
        // On the heap, as above.
        match Box::pin(connection.introduce(admitted)).await {
            Some(place) => admitted = place,
            None => return wipe(&mut connection.input),
        }
    }
    // Errors are those of a socket whose client is gone; there is nobody to tell.
    match connection.run().await {
        Ok(Some(facts)) => connection.hand_over(*facts, admitted),
        _ => wipe(&mut connection.input),
    }
}

/// One answer, then the end. When many are being turned away, without a word.
async fn turn_away<B: Backend>(backend: &B, socket: &mut Socket, reason: TurnedAway) {
    backend.state().metrics.connections_refused.increment();
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
    let _ = socket.append(state, &mut refuse(error, Response::default()), &form);
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
    /// An admitted head whose body is still missing; true: the client waits to be asked for it.
    Body(Framing, Box<Admitted>, bool),
    /// A request of this length, whether it is all here or not, was answered; false: the connection ends.
    Answered(usize, bool),
    /// Several requests may be here: look at them together.
    Burst,
    /// A request of this length became a WebSocket.
    Upgraded(usize, Box<Facts>),
    Unreadable(HttpError),
}

impl<B: Backend> Connection<B> {
    /// Learns from a balancer for whom it has connected, and takes the place of that one instead of the balancer's.
    /// `None`: the connection is over.
    async fn introduce(&mut self, of_balancer: Place) -> Option<Place> {
        self.socket.registration.begin(Phase::Head);
        let header = loop {
            match proxy_header(&self.input) {
                Ok(Some(header)) => break header,
                Ok(None) => {}
                Err(error) => {
                    self.refuse(error);
                    self.socket.flush(self.backend.state()).await.ok()?;
                    self.socket.linger().await;
                    return None;
                }
            }
            self.socket.registration.hold(self.input.capacity());
            if self.socket.read(&mut self.input, READ_LEN).await.ok()? == 0 {
                return None;
            }
        };
        self.at = header.len;
        let Some(client) = header.client else { return Some(of_balancer) };
        self.peer = client;
        self.socket.set_client(client);
        let connections = self.socket.registration.connections.clone();
        drop(of_balancer);
        match connections.admission.admit(client, self.backend.state().proxies.contains(client)) {
            Ok(place) => Some(place),
            Err(reason) => {
                turn_away(&*self.backend, &mut self.socket, reason).await;
                None
            }
        }
    }

    /// To the end of the connection, or until it has become a WebSocket.
    async fn run(&mut self) -> io::Result<Option<Box<Facts>>> {
        // A request at the front whose body has been waited for: its length, and what its head has come to.
        let mut whole = None;
        // Of an answered request: bytes that are still to come.
        let mut unread = 0;
        let mut one_by_one = false;
        loop {
            if unread > 0 {
                unread = self.skip(unread);
                if unread > 0 && !self.read_head().await? {
                    return Ok(None);
                }
                continue;
            }
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
                // On the heap, as above.
                Front::Body(framing, admitted, asks) if admitted.is_stream() => {
                    if !Box::pin(self.answer_stream(framing, *admitted, asks)).await? {
                        break;
                    }
                    self.is_used = true;
                }
                Front::Body(framing, admitted, asks) => {
                    match self.read_body(framing, admitted.body_len_max, asks).await? {
                        Ok(Some(len)) => whole = Some((len, admitted)),
                        Ok(None) => return Ok(None),
                        Err(error) => {
                            self.refuse(error);
                            break;
                        }
                    }
                }
                Front::Answered(len, keep_alive) => {
                    unread = self.skip(len);
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

    /// Looks at the input and answers the request there once it is whole, or refused by its head. `whole`: its body has
    /// been waited for.
    async fn front(&mut self, whole: Option<(usize, Box<Admitted>)>, one_by_one: bool) -> io::Result<Front> {
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
        let len = whole.as_ref().map(|(len, _)| *len).or_else(|| whole_len(framing, input.len()));
        let here = len.unwrap_or(framing.head_len);
        // A decoded body no longer looks as it came: such a request is answered right here.
        let more = whole.is_none() && len.is_some() && (self.is_pipelining || input.len() > here);
        if more && !one_by_one && head.method == Method::Post {
            return Ok(Front::Burst);
        }
        let body = &input[framing.head_len..here];
        if body.len() > BODY_UNKNOWN_LEN_MAX {
            self.socket.registration.connections.share.take_alone().await;
        }
        let begun_ns = self.backend.sync();
        let (backend, state) = (&*self.backend, self.backend.state());
        if head.websocket {
            return Ok(match self.socket.upgrade(state, &head, self.peer) {
                Some(facts) => Front::Upgraded(here, facts),
                None => Front::Answered(here, false),
            });
        }
        // JSON is parsed in place, and the head stays where it is: the body needs a place of its own.
        let connections = self.socket.registration.connections.clone();
        let mut scratch = Vec::new();
        if !body.is_empty() {
            scratch = connections.take_buffer();
            scratch.extend_from_slice(body);
        }
        let form = self.socket.form(state, &head);
        let ip = state.proxies.client(self.peer, &head);
        let request = Request { head, body: &mut scratch, ip, id: form.request_id };
        let admitted = whole.map(|(_, admitted)| *admitted);
        // Refused by its head, the body stays where it is, unless it is short and certain to come.
        let (body_is, answered_len) = match (len, short_len(&head)) {
            (Some(len), _) => (BodyIs::Here, len),
            (None, Some(len)) => (BodyIs::ToCome, len),
            (None, None) => (BodyIs::Uncertain, framing.head_len),
        };
        let keep_alive = match self.socket.take_up(backend, request, form, admitted, body_is, begun_ns) {
            TakenUp::Body(admitted) => return Ok(Front::Body(framing, admitted, head.expect_continue)),
            TakenUp::Answered(keep_alive) => keep_alive,
            TakenUp::Waiting(work, keep_alive) => {
                work.await?;
                keep_alive
            }
        };
        wipe(&mut scratch);
        connections.give_buffer(scratch);
        Ok(Front::Answered(answered_len, keep_alive))
    }

    /// Goes past so many bytes of the input; how many of them are still to come.
    fn skip(&mut self, len: usize) -> usize {
        let here = len.min(self.input.len() - self.at);
        self.at += here;
        len - here
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

    /// Answers the request at the front while its body comes; whether the connection goes on.
    async fn answer_stream(&mut self, framing: Framing, admitted: Admitted, asks: bool) -> io::Result<bool> {
        self.forget_answered();
        let received = self.input.split_off(framing.head_len);
        let incoming = Incoming::new(framing, admitted.body_len_max, &received, asks);
        drop(received);
        // Its announced length has been looked at.
        let Ok(incoming) = incoming else { return Ok(false) };
        self.socket.incoming = Some(Box::new(incoming));
        let (backend, state) = (&*self.backend, self.backend.state());
        let mut slots = header_slots();
        let Ok(Some(head)) = parse_head(&self.input, &mut slots) else { return Ok(false) };
        let form = self.socket.form(state, &head);
        let ip = state.proxies.client(self.peer, &head);
        let request = Request { head, body: &mut [], ip, id: form.request_id };
        let begun_ns = backend.sync();
        let keep_alive =
            match self.socket.take_up(backend, request, form, Some(admitted), BodyIs::Here, begun_ns) {
                TakenUp::Body(_) => unreachable!("it is on its way"),
                TakenUp::Answered(keep_alive) => keep_alive,
                TakenUp::Waiting(work, keep_alive) => {
                    work.await?;
                    keep_alive
                }
            };
        let incoming = self.socket.incoming.take().filter(|incoming| keep_alive && incoming.is_done());
        let Some(incoming) = incoming else { return Ok(false) };
        self.at = framing.head_len;
        self.input.extend_from_slice(&incoming.into_rest());
        Ok(true)
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
        let _ = self.socket.append(state, &mut refuse_unread(error), &form);
        log_request(request_id, NO_ROUTE, NO_ROUTE, error.status(), 0);
    }

    /// Gives the socket away; the 101 has gone out.
    fn hand_over(self, facts: Facts, admitted: Place) {
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

/// Where a request ends whose body is all here, as it came: of the first `input_len` bytes.
pub(super) fn whole_len(framing: Framing, input_len: usize) -> Option<usize> {
    match framing.body {
        BodyKind::None => Some(framing.head_len),
        // Any number may be announced: compared before it is added.
        BodyKind::Sized(len) if len <= (input_len - framing.head_len) as u64 => {
            Some(framing.head_len + len as usize)
        }
        BodyKind::Sized(_) | BodyKind::Chunked => None,
    }
}

/// The length of a request whose body is short, and comes without being asked for.
fn short_len(head: &Head<'_>) -> Option<usize> {
    let len = match head.framing.body {
        BodyKind::None => 0,
        BodyKind::Sized(len) if len <= BODY_IGNORED_LEN_MAX as u64 && !head.expect_continue => len as usize,
        BodyKind::Sized(_) | BodyKind::Chunked => return None,
    };
    Some(head.framing.head_len + len)
}

#[cfg(test)]
#[path = "http_tests.rs"]
pub(super) mod tests;
