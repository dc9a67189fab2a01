//! The socket of an HTTP connection: reading, writing answers within the budgets, and the orderly end.
//!
//! Invariants: every answer gets here what every answer has ([`Socket::append`]). A client that does not read holds
//! what it was sent, counted as its own, and only for as long as it takes some of it in each time-out.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use monoio::buf::{IoBuf, IoBufMut};
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::TcpStream;

use super::connections::{Phase, Registration, shutdown};
use super::incoming::Incoming;
use super::listen::set_option;
use crate::api::content::Content;
use crate::api::cors::CorsLines;
use crate::api::dispatch::write;
use crate::api::unsent::Payer;
use crate::api::{Response, State};
use crate::limits::{
    KIB, LINGER_MS, LINGER_PROGRESS_LEN, PIPELINE_READ_LEN_MAX, READ_LEN, UNSENT_FREE_LEN, WRITE_PROGRESS_LEN,
};
use crate::runtime::wipe::wiping;
use crate::wire::http::{DATE_LEN, Head, Method, ResponseOptions};

/// Bytes that the kernel keeps of an answer beyond what is on its way: the rest waits here, where it is counted.
const KERNEL_UNSENT_LEN: i32 = 128 * KIB as i32;
/// Between two looks at whether there is again room to drain.
const DRAIN_PAUSE: Duration = Duration::from_millis(20);

/// Socket and output of a connection. Fields drop in this order: the entry before the descriptor.
pub(super) struct Socket {
    pub(super) registration: Registration,
    pub(super) stream: TcpStream,
    /// Answers not written yet. Without capacity between requests.
    pub(super) output: Vec<u8>,
    /// The body of the request at work, when its handler takes it in pieces.
    pub(super) incoming: Option<Box<Incoming>>,
    /// Who asked last: they are counted as his.
    payer: Payer,
    /// The kernel was told how much to keep.
    is_bounded: bool,
}

/// How an answer is to be written.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) request_id: u64,
    pub(super) keep_alive: bool,
    version_minor: u8,
    head_only: bool,
    /// For the origin that asks.
    lines: CorsLines,
}

impl Form {
    /// The same for an answer that ends the connection.
    pub(super) fn closing(self) -> Form {
        Form { keep_alive: false, ..self }
    }

    /// HTTP/1.0 knows no chunks.
    pub(super) fn takes_chunks(self) -> bool {
        self.version_minor > 0
    }

    /// The connection ends with it; the request was perhaps not understood.
    pub(super) fn last(request_id: u64, lines: CorsLines) -> Form {
        Form { request_id, keep_alive: false, version_minor: 1, head_only: false, lines }
    }
}

impl Socket {
    pub(super) fn new(registration: Registration, stream: TcpStream, peer: IpAddr) -> Socket {
        let payer = Payer::new(None, peer);
        Socket { registration, stream, output: Vec::new(), incoming: None, payer, is_bounded: false }
    }

    /// Somebody else is at the other end than was thought.
    pub(super) fn set_client(&mut self, client: IpAddr) {
        self.payer = Payer::new(None, client);
    }

    /// How the answer to a request is to be written.
    pub(super) fn form(&self, state: &State, head: &Head<'_>) -> Form {
        Form {
            request_id: self.registration.connections.next_request_id(),
            keep_alive: head.keep_alive && !state.run.is_shutting_down(),
            version_minor: head.version_minor,
            head_only: head.method == Method::Head,
            lines: state.cors.lines_for(head),
        }
    }

    /// The output, with capacity.
    pub(super) fn room(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = self.registration.connections.take_buffer();
        }
        &mut self.output
    }

    pub(super) fn date(&self, state: &State) -> [u8; DATE_LEN] {
        self.registration.connections.date(state.now().unix_ms)
    }

    /// Whether the handler left a part of the body where it is: nobody knows where the next request begins.
    fn has_left_a_body(&self) -> bool {
        self.incoming.as_ref().is_some_and(|incoming| !incoming.is_done())
    }

    /// Appends an answer. What it gives back, if anything, is the body: to be sent behind that.
    #[must_use = "the body has been announced"]
    pub(super) fn append(&mut self, state: &State, response: &mut Response, form: &Form) -> Option<Content> {
        let rest = if form.head_only { None } else { response.take_long_content() };
        let is_endless = rest.as_ref().is_some_and(|rest| rest.known_len().is_none()) && !form.takes_chunks();
        let date = self.date(state);
        let options = ResponseOptions {
            keep_alive: form.keep_alive && !self.has_left_a_body() && !is_endless,
            version_minor: form.version_minor,
            head_only: form.head_only,
            ..ResponseOptions::new(&date)
        };
        self.payer = response.payer.unwrap_or(self.payer);
        write(state, response, rest.as_ref(), form.lines, form.request_id, options, self.room());
        rest
    }

    pub(super) fn payer(&self) -> Payer {
        self.payer
    }

    /// Writes everything.
    pub(super) async fn flush(&mut self, state: &State) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        if self.output.len() > UNSENT_FREE_LEN {
            // On the heap: what only long answers need, others need not hold.
            return Box::pin(self.flush_counted(state)).await;
        }
        self.registration.begin_holding(Phase::Write, self.output.len());
        self.write_all(state).await
    }

    /// The same within the budgets.
    async fn flush_counted(&mut self, state: &State) -> io::Result<()> {
        self.bound_kernel();
        self.registration.begin_holding(Phase::Write, self.output.len());
        let _charge = self.registration.charge(state, self.payer, self.output.capacity());
        self.write_all(state).await
    }

    /// Each portion that the client takes gives it new time for the next.
    async fn write_all(&mut self, state: &State) -> io::Result<()> {
        let mut output = std::mem::take(&mut self.output);
        let (mut written, mut renewed) = (0, 0);
        while written < output.len() {
            if written - renewed >= WRITE_PROGRESS_LEN {
                renewed = written;
                self.registration.begin(Phase::Write);
            }
            let (result, slice) = self.stream.write(output.slice(written..)).await;
            output = slice.into_inner();
            match result? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => written += count,
            }
        }
        state.metrics.bytes_out.add(written as u64);
        self.registration.connections.give_buffer(output);
        Ok(())
    }

    /// Writes as much as the socket takes, at least a byte.
    pub(super) async fn write_some(&mut self, state: &State, bytes: Bytes) -> io::Result<usize> {
        let (result, _) = self.stream.write(bytes).await;
        match result? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            count => {
                state.metrics.bytes_out.add(count as u64);
                Ok(count)
            }
        }
    }

    /// Has the kernel take little more than the client reads. On error it takes more.
    pub(super) fn bound_kernel(&mut self) {
        if !self.is_bounded {
            self.is_bounded = true;
            let fd = self.stream.as_raw_fd();
            let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, KERNEL_UNSENT_LEN);
        }
    }

    /// Has calls that would wait for the client say so instead. The ring does not wait either way.
    pub(super) fn never_block(&self) {
        let fd = self.stream.as_raw_fd();
        // SAFETY: takes numbers only. On error the flags are those there were, and `sendfile` might wait: there is none
        // for an open socket.
        unsafe { libc::fcntl(fd, libc::F_SETFL, libc::fcntl(fd, libc::F_GETFL) | libc::O_NONBLOCK) };
    }

    /// Appends up to `room` bytes to `input`; 0 at the end of the stream, or when the client took too long and has
    /// been told so.
    pub(super) async fn read(&mut self, input: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        let result = self.receive(input, room).await;
        if self.registration.is_refused() {
            Box::pin(self.drain()).await;
            return Ok(0);
        }
        result
    }

    async fn receive(&mut self, input: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        self.registration.connections.share.take().await;
        let mut buffer = std::mem::take(input);
        if buffer.capacity() - buffer.len() < room {
            // Half a body may move.
            wiping(!buffer.is_empty(), || buffer.reserve(room));
        }
        let (start, end) = (buffer.len(), buffer.capacity());
        let (result, slice) = self.stream.read(buffer.slice_mut(start..end)).await;
        *input = slice.into_inner();
        self.registration.connections.count_in(*result.as_ref().unwrap_or(&0));
        result
    }

    /// Closes such that the client can read what was sent: a close with unread bytes in the socket would be a
    /// reset, which takes the answer with it.
    pub(super) async fn linger(&mut self) {
        shutdown(self.stream.as_raw_fd(), libc::SHUT_WR);
        Box::pin(self.drain()).await;
    }

    /// Reads and throws away what the client still sends, until it has noticed: many send all of a body before they
    /// look for the answer. Bounded in time, by how slowly it may come, and by what a core reads in vain in a second.
    async fn drain(&mut self) {
        let connections = self.registration.connections.clone();
        let mut buffer = connections.take_buffer();
        let (begun, mut room, mut progress) = (Instant::now(), READ_LEN, 0);
        self.registration.begin(Phase::Linger);
        while begun.elapsed() < Duration::from_millis(LINGER_MS) {
            if !connections.may_drain(room) {
                monoio::time::sleep(DRAIN_PAUSE).await;
                continue;
            }
            let Ok(count @ 1..) = self.receive(&mut buffer, room).await else { break };
            buffer.clear();
            progress += count;
            if progress >= LINGER_PROGRESS_LEN {
                progress = 0;
                self.registration.begin(Phase::Linger);
            }
            if count >= room {
                room = PIPELINE_READ_LEN_MAX;
            }
        }
        connections.give_buffer(buffer);
    }
}
