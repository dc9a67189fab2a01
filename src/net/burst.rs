//! Requests that a client sends in one go without waiting for answers (RFC 9112 §9.3.2).
//!
//! Commands of `pipelined` routes are all submitted before the first answer is waited for: they share a batch, and
//! so one fsync, and their events one send per session. Answers keep the order of the requests. Any other request
//! ends the burst and is answered alone, after the ones before it.

use std::io;
use std::time::Instant;

use memchr::memmem;

use super::http::{Backend, Connection, whole_len};
use super::request::{Begun, begin};
use super::socket::Form;
use crate::api::Request;
use crate::api::admit::admit;
use crate::api::router::Found;
use crate::limits::{BODY_UNKNOWN_LEN_MAX, PIPELINE_LEN_MAX};
use crate::observe::logs_requests;
use crate::runtime::clock::monotonic_ns;
use crate::wire::http::{Head, HeaderSlots, header_slots, parse_head};

/// Requests looked at together: as many as a client that pipelines has under way. Their messages share a batch, and a
/// send for each session. Bounds time, some 200 µs, and memory: 2 KiB and one body each.
const BURST_COUNT_MAX: usize = 64;

/// A request that was taken into the burst.
struct Taken<'r, F> {
    form: Form,
    len: usize,
    begun_ns: u64,
    begun: Begun<'r, F>,
}

impl<B: Backend> Connection<B> {
    /// Answers the requests at the front of the input as one burst; whether the connection goes on. `None` when
    /// the first of them is not of a pipelined route.
    pub(super) async fn burst(&mut self) -> io::Result<Option<bool>> {
        if self.is_pipelining {
            self.take_what_is_there();
        }
        self.backend.sync();
        let started = logs_requests().then(Instant::now);
        let (backend, input, socket) = (self.backend.clone(), &self.input, &mut self.socket);
        let mut at = self.at;
        // There are no more heads than ends of one; most bursts are of two or three requests.
        let count = memmem::find_iter(&input[at..], b"\r\n\r\n").take(BURST_COUNT_MAX).count();
        let mut slots: Vec<HeaderSlots<'_>> = (0..count).map(|_| header_slots()).collect();
        let mut bodies: Vec<Vec<u8>> = vec![Vec::new(); count];
        let mut burst = Vec::new();
        for (slots, body) in slots.iter_mut().zip(bodies.iter_mut()) {
            let Some((head, len)) = whole_request(&input[at..], slots) else { break };
            let state = backend.state();
            // A long body has a turn of its own, and too long a one is refused, where requests are answered one by one.
            let body_len_max = state.config.api.max_body_size.min(BODY_UNKNOWN_LEN_MAX as u64);
            if (len - head.framing.head_len) as u64 > body_len_max {
                break;
            }
            let found = backend.router().find(head.method, &head.target);
            if !matches!(found, Found::Route(route, _) if route.pipelined) {
                break;
            }
            body.extend_from_slice(&input[at + head.framing.head_len..at + len]);
            let form = socket.form(state, &head);
            let ip = state.proxies.client(self.peer, &head);
            let request = Request { head, body, ip, id: form.request_id };
            let begun_ns = monotonic_ns();
            let admission = admit(state, backend.router(), &request);
            let begun = begin(&*backend, request, admission, begun_ns);
            at += len;
            let keep_alive = form.keep_alive;
            burst.push(Taken { form, len, begun_ns, begun });
            if !keep_alive {
                break;
            }
        }
        if burst.is_empty() {
            return Ok(None);
        }
        self.is_pipelining |= burst.len() > 1;
        let mut keep_alive = true;
        for Taken { form, len, begun_ns, begun } in burst {
            if let Some(work) = socket.conclude(&*backend, begun, form, "POST", (begun_ns, started)) {
                work.await?;
            }
            if socket.output.len() > PIPELINE_LEN_MAX {
                socket.flush(backend.state()).await?;
            }
            self.at += len;
            keep_alive = form.keep_alive;
        }
        Ok(Some(keep_alive))
    }
}

/// The request at the front of the input and its length, when all of it is there and its body needs no decoding.
fn whole_request<'h, 'b: 'h>(input: &'b [u8], slots: &'h mut HeaderSlots<'b>) -> Option<(Head<'h>, usize)> {
    if input.is_empty() {
        return None;
    }
    let head = parse_head(input, slots).ok().flatten()?;
    let len = whole_len(head.framing, input.len())?;
    (!head.websocket).then_some((head, len))
}
