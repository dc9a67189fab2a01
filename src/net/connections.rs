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
use crate::config::Config;
use crate::domain::Error;
use crate::limits::{LINGER_MS, POOLED_COUNT_MAX, POOLED_LEN_MAX, READ_LEN};
use crate::observe::CoreMetrics;
use crate::wire::http::{DATE_LEN, ResponseHead, ResponseOptions, http_date};

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
    /// The end of its task: it has been shut down.
    Ended,
}

struct Entry {
    fd: RawFd,
    phase: Phase,
    /// On the sweep's clock; 0 until the first sweep of this phase.
    deadline_ms: u64,
}

/// One per core.
pub struct Connections {
    entries: RefCell<Slab<Entry>>,
    /// By [`Phase`], 0: none.
    timeouts_ms: [u64; 7],
    buffers: RefCell<Vec<Vec<u8>>>,
    next_request_id: Cell<u64>,
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
        config: &Config,
        admission: Arc<Admission>,
        metrics: Arc<CoreMetrics>,
        share: Rc<Share>,
    ) -> Rc<Connections> {
        let (head_ms, body_ms) = (config.http_header_timeout_ms, config.http_body_timeout_ms);
        // 8 bits of core, 31 bits of seconds, 24 bits of requests: a core would need 16 million requests in every
        // second of its life to meet the ids of its next start. Stays below 2^63.
        let first_id = ((core_index as u64 & 0xff) << 55) | (((started_ms / 1_000) & 0x7fff_ffff) << 24);
        Rc::new(Connections {
            entries: RefCell::default(),
            timeouts_ms: [config.http_idle_timeout_ms, head_ms, body_ms, 0, body_ms, LINGER_MS, 0],
            buffers: RefCell::default(),
            next_request_id: Cell::new(first_id),
            date: Cell::new((0, http_date(0))),
            turned_away_count: Cell::new(0),
            admission,
            share,
            metrics,
        })
    }

    /// Ends what has waited too long. Call it about every 500 ms with any clock that never goes back.
    /// Cost: one pass over all connections, 24 bytes each.
    pub fn sweep(&self, now_ms: u64) {
        for (_, entry) in self.entries.borrow_mut().iter_mut() {
            let timeout_ms = self.timeouts_ms[entry.phase as usize];
            if timeout_ms == 0 {
                continue;
            }
            if entry.deadline_ms == 0 {
                entry.deadline_ms = now_ms.saturating_add(timeout_ms).max(1);
            } else if now_ms >= entry.deadline_ms {
                self.end(entry);
            }
        }
    }

    /// Ends connections between two requests: the first step of a shutdown. Others close after their answer.
    pub fn close_idle(&self) {
        let mut entries = self.entries.borrow_mut();
        let idle = entries.iter_mut().filter(|(_, entry)| entry.phase == Phase::Idle);
        idle.for_each(|(_, entry)| self.end(entry));
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
    fn end(&self, entry: &mut Entry) {
        match entry.phase {
            Phase::Head | Phase::Body => {
                self.metrics.http_request(408);
                send_now(entry.fd, &self.timeout_answer());
            }
            // Nothing more is going to be read: the kernel need not keep what is unsent.
            Phase::Write => discard_unsent_on_close(entry.fd),
            _ => {}
        }
        shutdown(entry.fd, libc::SHUT_RDWR);
        entry.phase = Phase::Ended;
    }

    fn timeout_answer(&self) -> Vec<u8> {
        let (mut out, mut body) = (Vec::new(), Vec::new());
        Error::new(408, "The request took too long to arrive").write(&mut body);
        let date = self.date.get().1;
        let options = ResponseOptions { keep_alive: false, ..ResponseOptions::new(&date) };
        let head = ResponseHead::new(&mut out, 408, options);
        head.header_number("x-request-id", self.next_request_id()).body("application/json", &body);
        out
    }

    pub(super) fn register(self: &Rc<Self>, fd: RawFd) -> Registration {
        let entry = Entry { fd, phase: Phase::Idle, deadline_ms: 0 };
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
        if entry.phase != Phase::Ended {
            entry.phase = phase;
            entry.deadline_ms = 0;
        }
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
