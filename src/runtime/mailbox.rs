//! Messages between cores: one bounded single-producer ring per pair (sender, receiver).
//!
//! Owns: n × n rings (`rtrb`), the sender's backlog behind each, and who must be woken.
//! Invariants:
//! - Messages of one sender reach one receiver in the order sent, none lost, none twice. Between
//!   different senders there is no order.
//! - Nothing blocks. A full ring hands the message back ([`Endpoint::send`]) or lets it wait on the
//!   sender's side up to a declared bound ([`Endpoint::send_or_queue`]).
//! - A receiver is woken at most once per [`Endpoint::flush`], a sender whose backlog waits for room is
//!   woken when the receiver made some (same Dekker handshake as in [`super::wake`]).
//!
//! Memory: n² × capacity × size of T; 64 cores, 1,024 slots of 32 bytes: 128 MiB. Box what is large.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

use rtrb::{Consumer, Producer, PushError, RingBuffer};

use super::wake::Wake;

/// One core's mailbox and its way to all others (itself included).
pub struct Endpoint<T> {
    me: usize,
    outs: Vec<Out<T>>,
    ins: Vec<In<T>>,
    wakes: Vec<Arc<Wake>>,
    backlog_count_max: usize,
}

/// The sending half towards one core.
struct Out<T> {
    ring: Producer<T>,
    /// Older than anything sent from now on; younger than everything in the ring.
    backlog: VecDeque<T>,
    /// Set by the sender before it sleeps with a backlog, cleared by the receiver who then wakes it.
    stalled: Arc<AtomicBool>,
    /// Something was pushed since the last flush.
    dirty: bool,
}

/// The receiving half from one core.
struct In<T> {
    ring: Consumer<T>,
    stalled: Arc<AtomicBool>,
}

/// Endpoints of `count` cores with a new [`Wake`] each. `capacity` is messages per ring.
pub fn mesh<T: Send>(count: usize, capacity: usize) -> io::Result<Vec<Endpoint<T>>> {
    let wakes: Vec<_> = (0..count).map(|_| Wake::new().map(Arc::new)).collect::<io::Result<_>>()?;
    Ok(mesh_on(&wakes, capacity))
}

/// As [`mesh`], over wakes that exist: a core with several mailboxes sleeps on one descriptor.
pub fn mesh_on<T: Send>(wakes: &[Arc<Wake>], capacity: usize) -> Vec<Endpoint<T>> {
    assert!(capacity > 0, "a ring holds at least one message");
    let mut endpoints: Vec<_> = (0..wakes.len())
        .map(|me| Endpoint {
            me,
            outs: Vec::with_capacity(wakes.len()),
            ins: Vec::with_capacity(wakes.len()),
            wakes: wakes.to_vec(),
            backlog_count_max: usize::MAX,
        })
        .collect();
    for from in 0..wakes.len() {
        for to in 0..wakes.len() {
            let (producer, consumer) = RingBuffer::new(capacity);
            let stalled = Arc::new(AtomicBool::new(false));
            endpoints[to].ins.push(In { ring: consumer, stalled: stalled.clone() });
            endpoints[from].outs.push(Out {
                ring: producer,
                backlog: VecDeque::new(),
                stalled,
                dirty: false,
            });
        }
    }
    endpoints
}

impl<T: Send> Endpoint<T> {
    /// This core's number, `0..count`.
    pub fn me(&self) -> usize {
        self.me
    }

    /// Cores in the mesh.
    pub fn count(&self) -> usize {
        self.outs.len()
    }

    /// What this core sleeps on; clone it for other threads that have something for this core.
    pub fn wake(&self) -> &Arc<Wake> {
        &self.wakes[self.me]
    }

    /// Bounds what [`Self::send_or_queue`] lets wait per receiver. Unbounded unless called.
    pub fn set_backlog_count_max(&mut self, count_max: usize) {
        self.backlog_count_max = count_max;
    }

    /// Puts `message` into the ring to core `to`, seen by it after [`Self::flush`] at the latest.
    /// A full ring, or one with an older message still waiting for it, gives the message back.
    pub fn send(&mut self, to: usize, message: T) -> Result<(), T> {
        let out = &mut self.outs[to];
        if !out.push_backlog() {
            return Err(message);
        }
        out.push(message)
    }

    /// As [`Self::send`], but a message that finds no room waits here, in order, for the next flush.
    /// Given back only when the backlog has reached its bound.
    pub fn send_or_queue(&mut self, to: usize, message: T) -> Result<(), T> {
        let out = &mut self.outs[to];
        let message = match out.push_backlog() {
            true => match out.push(message) {
                Ok(()) => return Ok(()),
                Err(message) => message,
            },
            false => message,
        };
        if out.backlog.len() >= self.backlog_count_max {
            return Err(message);
        }
        out.backlog.push_back(message);
        Ok(())
    }

    /// Once per turn, after the last send: pushes what waits and wakes every receiver that got something.
    /// Returns how many messages still wait.
    pub fn flush(&mut self) -> usize {
        let mut waiting = 0;
        for (to, out) in self.outs.iter_mut().enumerate() {
            out.push_backlog();
            waiting += out.backlog.len();
            // Its own messages are found by the look before sleeping.
            if std::mem::take(&mut out.dirty) && to != self.me {
                self.wakes[to].signal();
            }
        }
        waiting
    }

    /// Hands over what has arrived, `(from, message)`; at most one ring full per sender, so a fast
    /// sender cannot hold the core. Returns how many.
    pub fn drain(&mut self, mut receive: impl FnMut(usize, T)) -> usize {
        let mut received = 0;
        for (from, input) in self.ins.iter_mut().enumerate() {
            let arrived = input.ring.slots();
            for _ in 0..arrived {
                let Ok(message) = input.ring.pop() else { break };
                receive(from, message);
            }
            received += arrived;
            if arrived > 0 {
                fence(Ordering::SeqCst);
                if input.stalled.load(Ordering::Relaxed) && input.stalled.swap(false, Ordering::Relaxed) {
                    self.wakes[from].signal();
                }
            }
        }
        received
    }

    /// Whether this core may sleep as far as this mailbox goes: nothing has arrived, and every backlog
    /// faces a full ring, whose receiver will wake this core once it has made room.
    ///
    /// It is the look between [`Wake::arm`] and the wait, and only correct there: a receiver's signal
    /// between the last flush and `arm` went to an awake core, so the rings are looked at again.
    pub fn is_idle(&mut self) -> bool {
        for out in self.outs.iter_mut().filter(|out| !out.backlog.is_empty()) {
            // The receiver pops, then reads the flag; we set the flag, then look for room.
            out.stalled.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if !out.ring.is_full() {
                return false;
            }
        }
        self.ins.iter().all(|input| input.ring.is_empty())
    }
}

impl<T> Out<T> {
    /// Moves the backlog into the ring as far as it goes; true when none is left.
    fn push_backlog(&mut self) -> bool {
        while let Some(message) = self.backlog.pop_front() {
            if let Err(message) = self.push(message) {
                self.backlog.push_front(message);
                return false;
            }
        }
        true
    }

    fn push(&mut self, message: T) -> Result<(), T> {
        match self.ring.push(message) {
            Ok(()) => {
                self.dirty = true;
                Ok(())
            }
            Err(PushError::Full(message)) => Err(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::{AsFd, AsRawFd};

    fn collect(endpoint: &mut Endpoint<u32>) -> Vec<(usize, u32)> {
        let mut got = Vec::new();
        endpoint.drain(|from, message| got.push((from, message)));
        got
    }

    #[test]
    fn a_full_ring_gives_back_and_keeps_order() {
        let mut mesh = mesh::<u32>(2, 2).unwrap();
        let (mut b, mut a) = (mesh.pop().unwrap(), mesh.pop().unwrap());
        assert_eq!((a.me(), b.me(), a.count()), (0, 1, 2));
        assert_eq!(a.send(1, 1), Ok(()));
        assert_eq!(a.send(1, 2), Ok(()));
        assert_eq!(a.send(1, 3), Err(3));
        a.set_backlog_count_max(2);
        assert_eq!(a.send_or_queue(1, 3), Ok(()));
        assert_eq!(a.send_or_queue(1, 4), Ok(()));
        assert_eq!(a.send_or_queue(1, 5), Err(5));
        assert_eq!(a.flush(), 2);
        assert_eq!(collect(&mut b), [(0, 1), (0, 2)]);
        // Room for two, and two older ones wait for it.
        assert_eq!(a.send(1, 6), Err(6));
        assert_eq!(a.flush(), 0);
        assert_eq!(collect(&mut b), [(0, 3), (0, 4)]);
        assert!(a.is_idle());
        assert!(b.is_idle());
    }

    #[test]
    fn a_core_may_write_to_itself() {
        let mut one = mesh::<u32>(1, 4).unwrap().pop().unwrap();
        one.send(0, 7).unwrap();
        one.flush();
        assert!(!one.is_idle());
        assert_eq!(collect(&mut one), [(0, 7)]);
    }

    fn sleep(endpoint: &mut Endpoint<u32>) {
        let wake = endpoint.wake().clone();
        wake.arm();
        if endpoint.is_idle() {
            let mut poll = libc::pollfd { fd: wake.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd, writable.
            assert_eq!(unsafe { libc::poll(&mut poll, 1, 10_000) }, 1, "core {} never woke", endpoint.me);
        }
        wake.disarm();
    }

    /// Three cores send to each other through tiny rings and sleep whenever they have nothing to do:
    /// every message arrives, in order, and nobody sleeps for ever with a backlog.
    #[test]
    fn all_to_all_with_sleeping() {
        const MESSAGES: u32 = 5_000;
        let threads: Vec<_> = mesh::<u32>(3, 4)
            .unwrap()
            .into_iter()
            .map(|mut endpoint| {
                std::thread::spawn(move || {
                    let mut random = fastrand::Rng::with_seed(endpoint.me() as u64);
                    let (mut next, mut expected) = (0, [0u32; 3]);
                    loop {
                        endpoint.drain(|from, message| {
                            assert_eq!(message, expected[from]);
                            expected[from] += 1;
                        });
                        for _ in 0..random.u32(0..12) {
                            if next < MESSAGES {
                                (0..3).for_each(|to| endpoint.send_or_queue(to, next).unwrap());
                                next += 1;
                            }
                        }
                        let waiting = endpoint.flush();
                        if next == MESSAGES && waiting == 0 && expected == [MESSAGES; 3] {
                            return;
                        }
                        if next == MESSAGES || waiting > 0 {
                            sleep(&mut endpoint);
                        }
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
