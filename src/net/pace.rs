//! How the thread of a core is shared: a turn of the gateway, then a round of HTTP, then timers, over and over.
//!
//! monoio polls its main future again as long as that is awake, without looking at its tasks; it runs its tasks as
//! long as there are some, without looking at its timers and, under DEFER_TASKRUN, without getting to know what the
//! kernel has done: both only come when it *parks*. So whoever never waits is alone on the core. Three rules:
//!
//! - Between two turns the core's loop goes once through monoio's ring ([`Relay::pass`]), however much it has to do.
//! - Until the runtime has parked, HTTP may do a bounded number of things ([`Share`]); a connection that wants more
//!   waits, so that in the end there are no tasks to run.
//! - The loop sees to it that it parks: when something waits for that, and when HTTP has done part of its share.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Waker};

use monoio::net::UnixStream;

use crate::runtime::wake::Wake;

/// Reads and requests of all HTTP connections of a core until its runtime parks: at 10 to 50 µs each, one to three
/// milliseconds.
const HTTP_COUNT_MAX: u32 = 64;
/// After so many a busy core parks: 3 µs for what took 200.
const HTTP_COUNT_PARK: u32 = 16;

const _: () = assert!(HTTP_COUNT_PARK < HTTP_COUNT_MAX);

/// Lets everybody else of the core's thread have a turn.
pub struct Relay {
    /// Can always be read from.
    always: UnixStream,
    /// Can be read from once `signal` was written to.
    later: UnixStream,
    signal: File,
}

impl Relay {
    /// # Errors
    /// When there is no descriptor left.
    pub fn new() -> io::Result<Relay> {
        let signal = eventfd(0)?;
        Ok(Relay { always: stream(eventfd(1)?)?, later: stream(signal.try_clone()?)?, signal: signal.into() })
    }

    /// Once through the ring: completions are reaped, their tasks run, timers that are due fire.
    pub async fn pass(&self, share: &Share) {
        if !share.is_due() {
            // Done as it is submitted. That is enough where no task keeps the runtime from parking.
            // An error would mean that the eventfd is closed; the caller's loop goes on all the same.
            let _ = self.always.readable(false).await;
            return;
        }
        self.park().await;
        share.renew();
    }

    /// Until the runtime has parked. A poll that is armed before its event comes tells of it only then.
    async fn park(&self) {
        let mut later = pin!(self.later.readable(false));
        let begun = poll_fn(|task| Poll::Ready(later.as_mut().poll(task))).await;
        // Submitted in their order: when this one is done, the one before it is armed.
        let _ = self.always.readable(false).await;
        let _ = (&self.signal).write(&1u64.to_ne_bytes());
        if begun.is_pending() {
            let _ = later.await;
        }
        let _ = (&self.signal).read(&mut [0; 8]);
    }
}

fn eventfd(count: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let raw = unsafe { libc::eventfd(count, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `raw` was just created and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn stream(fd: OwnedFd) -> io::Result<UnixStream> {
    UnixStream::from_std(std::os::unix::net::UnixStream::from(fd))
}

/// Waits on the core's wake without blocking the thread.
pub struct Sleep {
    stream: monoio::net::UnixStream,
}

impl Sleep {
    /// # Errors
    /// When the descriptor cannot be duplicated or registered.
    pub fn new(wake: &Wake) -> std::io::Result<Sleep> {
        let fd = wake.as_fd().try_clone_to_owned()?;
        let stream = std::os::unix::net::UnixStream::from(fd);
        Ok(Sleep { stream: monoio::net::UnixStream::from_std(stream)? })
    }

    /// Until the core is signalled, or the gateway's ring has something.
    pub async fn sleep(&self) {
        // An error would mean that the eventfd is closed; the caller's loop then spins visibly, never hangs.
        let _ = self.stream.readable(false).await;
    }
}

/// What HTTP may do until the runtime parks.
pub struct Share {
    used: Cell<u32>,
    used_max: u32,
    /// Who wants more, first come first.
    waiting: RefCell<Vec<Waker>>,
    /// Of the core whose loop calls [`Relay::pass`].
    wake: Option<Arc<Wake>>,
}

impl Share {
    pub fn new(wake: Arc<Wake>) -> Share {
        Share { wake: Some(wake), used_max: HTTP_COUNT_MAX, ..Share::unlimited() }
    }

    /// Where no core's loop is there to renew it.
    pub fn unlimited() -> Share {
        Share { used: Cell::new(0), used_max: u32::MAX, waiting: RefCell::default(), wake: None }
    }

    /// Counts a read or a request, after the runtime has parked if there is no room for it before.
    pub async fn take(&self) {
        poll_fn(|task| {
            if self.used.get() < self.used_max {
                self.used.set(self.used.get() + 1);
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(task.waker().clone());
            if let Some(wake) = &self.wake {
                wake.signal();
            }
            Poll::Pending
        })
        .await;
    }

    /// Whether somebody waits for the runtime to park: the core must not sleep.
    pub fn is_waited_for(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    fn is_due(&self) -> bool {
        self.used.get() >= HTTP_COUNT_PARK || self.is_waited_for()
    }

    fn renew(&self) {
        self.used.set(0);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream as Blocking;
    use std::rc::Rc;
    use std::time::{Duration, Instant};

    use monoio::io::{AsyncReadRent, AsyncWriteRentExt};

    use crate::net::server::new_runtime;

    /// Turns after which who waits has got his, when nobody else wants one.
    const TURN_COUNT_MAX: u32 = 4;

    /// A socket whose peer sends back what it is sent, as a task of the runtime.
    fn echo(share: Option<Rc<Share>>) -> Blocking {
        let (near, far) = Blocking::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut far = UnixStream::from_std(far).unwrap();
        monoio::spawn(async move {
            let mut buffer = vec![0u8; 1];
            loop {
                if let Some(share) = &share {
                    share.take().await;
                }
                let (result, back) = far.read(buffer).await;
                if result.unwrap_or(0) == 0 {
                    return;
                }
                let (result, back) = far.write_all(back).await;
                result.unwrap();
                buffer = back;
            }
        });
        near
    }

    /// In how many turns of a loop that always has work an answer is there.
    async fn turns_until_echo(mut near: &Blocking, relay: &Relay, share: &Share) -> u32 {
        near.write_all(b"x").unwrap();
        for turn in 1..=1_000 {
            relay.pass(share).await;
            if near.read(&mut [0; 1]).is_ok() {
                return turn;
            }
        }
        panic!("no answer in 1,000 turns");
    }

    #[test]
    fn a_task_has_its_turn_beside_a_loop_that_never_sleeps() {
        new_runtime().unwrap().block_on(async {
            let (relay, share) = (Relay::new().unwrap(), Share::unlimited());
            let near = echo(None);
            for _ in 0..50 {
                let turns = turns_until_echo(&near, &relay, &share).await;
                assert!(turns <= TURN_COUNT_MAX, "{turns} turns");
            }
        });
    }

    #[test]
    fn a_timer_has_its_turn_beside_a_loop_that_never_sleeps() {
        new_runtime().unwrap().block_on(async {
            let (relay, share) = (Relay::new().unwrap(), Share::unlimited());
            let fired = Rc::new(Cell::new(false));
            let due = Instant::now() + Duration::from_millis(5);
            monoio::spawn({
                let fired = fired.clone();
                async move {
                    monoio::time::sleep_until(due.into()).await;
                    fired.set(true);
                }
            });
            // The wheel has a granularity of a millisecond.
            while Instant::now() < due + Duration::from_millis(2) {
                relay.pass(&share).await;
            }
            for _ in 0..TURN_COUNT_MAX {
                relay.pass(&share).await;
            }
            assert!(fired.get());
        });
    }

    /// A task whose reads and writes are all done at once keeps neither other tasks nor the loop from their turns.
    #[test]
    fn a_task_that_never_waits_leaves_turns_to_the_others() {
        new_runtime().unwrap().block_on(async {
            let (relay, share) = (Relay::new().unwrap(), Rc::new(Share::new(Arc::new(Wake::new().unwrap()))));
            let near = echo(Some(share.clone()));
            let round_count = Rc::new(Cell::new(0u32));
            monoio::spawn({
                let (share, round_count) = (share.clone(), round_count.clone());
                // To itself: what it has written is there when it reads.
                let (left, right) = Blocking::pair().unwrap();
                let mut left = UnixStream::from_std(left).unwrap();
                let mut right = UnixStream::from_std(right).unwrap();
                async move {
                    let mut buffer = vec![0u8; 1];
                    loop {
                        share.take().await;
                        let (result, back) = left.write_all(buffer).await;
                        result.unwrap();
                        let (result, back) = right.read(back).await;
                        result.unwrap();
                        buffer = back;
                        round_count.set(round_count.get() + 1);
                    }
                }
            });
            for _ in 0..50 {
                let turns = turns_until_echo(&near, &relay, &share).await;
                // A turn for each thing that the other does until it must wait, twice, and the answer's own.
                assert!(turns <= 2 * HTTP_COUNT_MAX + TURN_COUNT_MAX, "{turns} turns");
            }
            // And it has had turns itself.
            assert!(round_count.get() >= 50, "{}", round_count.get());
        });
    }
}
