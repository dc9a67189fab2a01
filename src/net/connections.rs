//! A core's open HTTP connections: what each waits for, since when, and the buffers they share.
//!
//! Owns: deadlines. There is no timer per connection: [`Connections::sweep`] looks at all of them about twice a
//! second. A deadline begins with the first sweep that sees the wait, so it passes up to a second late, never early,
//! and setting one costs two stores and no look at a clock.
//! Invariant: a late connection is only shut down, which completes its pending read or write; its task ends it. An
//! entry lives no longer than its descriptor.

use std::cell::{Cell, RefCell};
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;

use slab::Slab;

use super::admission::Admission;
use super::pace::Share;
use crate::api::cors::CorsLines;
use crate::api::dispatch::{refuse, write};
use crate::api::unsent::{Charge, Payer};
use crate::api::{Response, State};
use crate::config::Http;
use crate::domain::Error;
use crate::limits::{
    DRAIN_LEN_MAX, INPUT_CORE_LEN_MAX, LINGER_STALL_MS, POOLED_COUNT_MAX, POOLED_LEN_MAX, READ_LEN,
};
use crate::observe::CoreMetrics;
use crate::wire::http::{DATE_LEN, ResponseOptions, http_date};

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first byte of a request.
    Idle,
    /// The rest of a head.
    Head,
    /// The rest of a body.
    Body,
    /// Us: a commit, a password hash. Has its limits elsewhere.
    Work,
    /// The client to take what we write.
    Write,
    /// The client to close, after the last answer.
    Linger,
    /// The client to notice that it took too long: it has been told.
    Refused,
    /// The end of its task: it has been shut down.
    Ended,
}

struct Entry {
    fd: RawFd,
    /// Bytes of the answer that is being written, or of the request that is being read.
    held_len: u32,
    phase: Phase,
    /// For the page that sent as much of a request as has been read.
    lines: CorsLines,
    /// On the sweep's clock; 0 until the first sweep of this phase.
    deadline_ms: u64,
}

const _: () = assert!(size_of::<Entry>() <= 24);

/// One per core.
pub struct Connections {
    entries: RefCell<Slab<Entry>>,
    /// By [`Phase`], 0: none.
    timeouts_ms: [u64; 8],
    buffers: RefCell<Vec<Vec<u8>>>,
    next_request_id: Cell<u64>,
    /// Bytes that may be read in vain until the next sweep.
    drain_left: Cell<usize>,
    date: Cell<(u64, [u8; DATE_LEN])>,
    /// Connections that are being told that there are too many.
    pub(super) turned_away_count: Cell<usize>,
    pub(super) admission: Arc<Admission>,
    /// What they may do until the core's runtime parks.
    pub(super) share: Rc<Share>,
    metrics: Arc<CoreMetrics>,
}

impl Connections {
    /// `core_index` and `started_ms` (Unix) keep request ids apart from those of other cores and earlier runs.
    pub fn new(
        core_index: usize,
        started_ms: u64,
        http: &Http,
        admission: Arc<Admission>,
        metrics: Arc<CoreMetrics>,
        share: Rc<Share>,
    ) -> Rc<Connections> {
        let (head_ms, body_ms) = (http.header_timeout_ms, http.body_timeout_ms);
        // 8 bits of core, 31 bits of seconds, 24 bits of requests: a core would need 16 million requests in every
        // second of its life to meet the ids of its next start. Stays below 2^63.
        let first_id = ((core_index as u64 & 0xff) << 55) | (((started_ms / 1_000) & 0x7fff_ffff) << 24);
        Rc::new(Connections {
            entries: RefCell::default(),
            timeouts_ms: [
                http.idle_timeout_ms,
                head_ms,
                body_ms,
                0,
                body_ms,
                LINGER_STALL_MS,
                LINGER_STALL_MS,
                0,
            ],
            drain_left: Cell::new(DRAIN_LEN_MAX),
            buffers: RefCell::default(),
            next_request_id: Cell::new(first_id),
            date: Cell::new((0, http_date(0))),
            turned_away_count: Cell::new(0),
            admission,
            share,
            metrics,
        })
    }

    /// Ends what has waited too long, and who holds too much. Call it about every 100 ms with any clock that never
    /// goes back. Cost: one pass over all connections, 24 bytes each.
    pub fn sweep(&self, state: &State, now_ms: u64) {
        self.drain_left.set(DRAIN_LEN_MAX);
        let mut input_len = 0;
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            if is_reading(entry) {
                input_len += entry.held_len as usize;
            }
            let timeout_ms = self.timeouts_ms[entry.phase as usize];
            if timeout_ms == 0 {
                continue;
            }
            if entry.deadline_ms == 0 {
                entry.deadline_ms = now_ms.saturating_add(timeout_ms).max(1);
            } else if now_ms >= entry.deadline_ms {
                self.end(state, entry);
            }
        }
        if input_len > INPUT_CORE_LEN_MAX {
            self.end_largest(state, input_len - INPUT_CORE_LEN_MAX / 2);
        }
    }

    /// Ends those that hold the most of a request, until so many bytes are free.
    #[cold]
    fn end_largest(&self, state: &State, excess: usize) {
        let mut entries = self.entries.borrow_mut();
        let mut largest: Vec<(u32, usize)> = entries
            .iter()
            .filter(|(_, entry)| is_reading(entry))
            .map(|(index, entry)| (entry.held_len, index))
            .collect();
        largest.sort_unstable();
        let mut freed = 0;
        while let Some((len, index)) = largest.pop().filter(|_| freed < excess) {
            freed += len as usize;
            self.end(state, &mut entries[index]);
        }
    }

    /// Ends connections between two requests: the first step of a shutdown. Others close after their answer.
    pub fn close_idle(&self, state: &State) {
        let mut entries = self.entries.borrow_mut();
        let idle = entries.iter_mut().filter(|(_, entry)| entry.phase == Phase::Idle);
        idle.for_each(|(_, entry)| self.end(state, entry));
    }

    /// Whether a request is being worked on, or its answer written. Looks at all connections.
    pub fn is_busy(&self) -> bool {
        self.entries.borrow().iter().any(|(_, entry)| matches!(entry.phase, Phase::Work | Phase::Write))
    }

    /// So many bytes came from a client.
    pub fn count_in(&self, len: usize) {
        self.metrics.bytes_in.add(len as u64);
    }

    /// Open HTTP connections of this core.
    pub fn count(&self) -> usize {
        self.entries.borrow().len()
    }

    #[cold]
    fn end(&self, state: &State, entry: &mut Entry) {
        match entry.phase {
            Phase::Head | Phase::Body => {
                send_now(entry.fd, &self.timeout_answer(state, entry.lines));
                shutdown(entry.fd, libc::SHUT_WR);
                // Its task reads on until the client has noticed.
                (entry.phase, entry.deadline_ms) = (Phase::Refused, 0);
                return;
            }
            // Nothing more is going to be read: the kernel need not keep what is unsent.
            Phase::Write => discard_unsent_on_close(entry.fd),
            _ => {}
        }
        shutdown(entry.fd, libc::SHUT_RDWR);
        entry.phase = Phase::Ended;
    }

    fn timeout_answer(&self, state: &State, lines: CorsLines) -> Vec<u8> {
        let mut out = Vec::new();
        let response = refuse(Error::new(408, "The request took too long to arrive"), Response::default());
        let date = self.date.get().1;
        let options = ResponseOptions { keep_alive: false, ..ResponseOptions::new(&date) };
        write(state, &response, None, lines, self.next_request_id(), options, &mut out);
        out
    }

    /// Whether so many bytes may be read in vain now.
    pub(super) fn may_drain(&self, len: usize) -> bool {
        let left = self.drain_left.get().checked_sub(len);
        left.inspect(|left| self.drain_left.set(*left)).is_some()
    }

    pub(super) fn register(self: &Rc<Self>, fd: RawFd) -> Registration {
        let entry =
            Entry { fd, held_len: 0, phase: Phase::Idle, lines: CorsLines::default(), deadline_ms: 0 };
        let index = self.entries.borrow_mut().insert(entry);
        self.metrics.http_connections.increment();
        Registration { connections: self.clone(), index }
    }

    /// Never given before in this process.
    pub(super) fn next_request_id(&self) -> u64 {
        let id = self.next_request_id.get();
        self.next_request_id.set(id + 1);
        id
    }

    /// The `date` header, formatted once per second.
    pub(super) fn date(&self, unix_ms: u64) -> [u8; DATE_LEN] {
        let unix_s = unix_ms / 1_000;
        let (known_s, date) = self.date.get();
        if known_s == unix_s {
            return date;
        }
        let date = http_date(unix_s);
        self.date.set((unix_s, date));
        date
    }

    /// An empty buffer with room for a usual answer.
    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(READ_LEN))
    }

    pub(super) fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if (READ_LEN..=POOLED_LEN_MAX).contains(&buffer.capacity()) && buffers.len() < POOLED_COUNT_MAX {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

/// Holds a part of a request.
fn is_reading(entry: &Entry) -> bool {
    matches!(entry.phase, Phase::Head | Phase::Body)
}

/// A connection's entry. Drop it before the socket: the descriptor's number is given to somebody else then.
pub(super) struct Registration {
    pub(super) connections: Rc<Connections>,
    index: usize,
}

impl Registration {
    /// Begins a wait. A connection that was shut down stays so.
    pub(super) fn begin(&self, phase: Phase) {
        let mut entries = self.connections.entries.borrow_mut();
        let entry = &mut entries[self.index];
        let stays = match entry.phase {
            Phase::Ended => true,
            Phase::Refused => phase != Phase::Linger,
            _ => false,
        };
        if !stays {
            entry.phase = phase;
            entry.deadline_ms = 0;
        }
    }

    /// The client took too long and has been told so.
    pub(super) fn is_refused(&self) -> bool {
        self.connections.entries.borrow()[self.index].phase == Phase::Refused
    }

    /// So many bytes of a request are in memory.
    pub(super) fn hold(&self, len: usize) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.connections.entries.borrow_mut()[self.index].held_len = len;
    }

    /// Begins a wait with so many bytes of the client's in memory meanwhile.
    pub(super) fn begin_holding(&self, phase: Phase, len: usize) {
        self.begin(phase);
        self.hold(len);
    }

    /// Counts what is about to be written, and ends whose answers there is no more room for; perhaps this one.
    pub(super) fn charge<'u>(&self, state: &'u State, payer: Payer, len: usize) -> Charge<'u> {
        let charge = state.unsent.charge(payer, self.index, len);
        for index in state.unsent.take_excess() {
            self.connections.end(state, &mut self.connections.entries.borrow_mut()[index]);
        }
        charge
    }

    /// What a refusal of the request that is being read carries.
    pub(super) fn set_lines(&self, lines: CorsLines) {
        self.connections.entries.borrow_mut()[self.index].lines = lines;
    }

    /// Like `begin`, but goes on with a wait of the same kind.
    pub(super) fn continue_in(&self, phase: Phase) {
        if self.connections.entries.borrow()[self.index].phase != phase {
            self.begin(phase);
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.entries.borrow_mut().remove(self.index);
        self.connections.metrics.http_connections.decrement();
    }
}

/// Sends what the socket takes at once.
pub(super) fn send_now(fd: RawFd, bytes: &[u8]) {
    // SAFETY: `bytes` is readable for its length; the caller's entry keeps the descriptor open. Errors are the
    // client's loss: it is being sent away.
    unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
}

pub(super) fn shutdown(fd: RawFd, how: libc::c_int) {
    // SAFETY: takes numbers only. An error means that the peer was faster.
    unsafe { libc::shutdown(fd, how) };
}

fn discard_unsent_on_close(fd: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let len = size_of::<libc::linger>() as libc::socklen_t;
    // SAFETY: `linger` is readable for `len`. Without it the close is only slower.
    unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), len) };
}
