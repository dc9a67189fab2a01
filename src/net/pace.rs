//! How the thread of a core is shared: a turn of the gateway, then a round of HTTP, then timers, over and over.
//!
//! monoio polls its main future again as long as that is awake, without looking at its tasks; it runs its tasks as
//! long as there are some, without looking at its timers and, under DEFER_TASKRUN, without getting to know what the
//! kernel has done: both only come when it *parks*. So whoever never waits is alone on the core. Three rules:
//!
//! - Between two turns the core's loop goes once through monoio's ring ([`Relay::pass`]), however much it has to do.
//! - Until the runtime has parked, HTTP may do so much ([`Share`]), by the time it takes; a connection that wants more
//!   waits, so that in the end there are no tasks to run.
//! - The loop sees to it that it parks: when something waits for that, and when HTTP has done part of its share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Poll, Waker};

use monoio::net::UnixStream;

use crate::runtime::wake::Wake;

/// What all HTTP connections of a core may do until its runtime parks, in parts: one to three milliseconds.
const PART_COUNT_MAX: u32 = 64;
/// After so many a busy core parks: 3 µs for what took 200.
const PART_COUNT_PARK: u32 = 16;
/// A part: a read, or a request as most are, 10 to 50 µs each. A handler that takes longer has used as many more.
const PART_NS: u64 = 25_000;

const _: () = assert!(PART_COUNT_PARK < PART_COUNT_MAX);

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
    /// Who wants a part, first come first.
    waiting: RefCell<VecDeque<Weak<Place>>>,
    /// Who wants all of it, likewise.
    waiting_alone: RefCell<VecDeque<Weak<Place>>>,
    /// It went to one of those the last time.
    was_alone: Cell<bool>,
    /// Of the core whose loop calls [`Relay::pass`].
    wake: Option<Arc<Wake>>,
}

/// Of somebody who waits.
struct Place {
    waker: RefCell<Waker>,
    /// All of it is his.
    has_all: Cell<bool>,
}

impl Share {
    pub fn new(wake: Arc<Wake>) -> Share {
        Share { wake: Some(wake), used_max: PART_COUNT_MAX, ..Share::unlimited() }
    }

    /// Where no core's loop is there to renew it.
    pub fn unlimited() -> Share {
        Share {
            used: Cell::new(0),
            used_max: u32::MAX,
            waiting: RefCell::default(),
            waiting_alone: RefCell::default(),
            was_alone: Cell::new(false),
            wake: None,
        }
    }

    /// Takes a part, for a read or a request: after the runtime has parked if there is no room for it before.
    pub async fn take(&self) {
        let mut place: Option<Rc<Place>> = None;
        poll_fn(|task| {
            let is_next = place.is_some() || self.waiting.borrow().is_empty();
            if !is_next || self.used.get() >= self.used_max {
                return self.wait(&self.waiting, &mut place, task.waker());
            }
            self.used.set(self.used.get() + 1);
            if let Some(place) = place.take() {
                leave(&mut self.waiting.borrow_mut(), &place);
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Takes all of it, for a request that is known to be long: nothing else is done until the runtime parks. Those
    /// who do take turns with those who want a part.
    pub async fn take_alone(&self) {
        let mut place: Option<Rc<Place>> = None;
        poll_fn(|task| {
            let is_free = self.used.get() == 0 && place.is_none() && !self.is_waited_for();
            if is_free && self.wake.is_some() {
                self.used.set(self.used_max);
                self.was_alone.set(true);
            }
            if is_free || self.wake.is_none() || place.as_ref().is_some_and(|place| place.has_all.get()) {
                return Poll::Ready(());
            }
            self.wait(&self.waiting_alone, &mut place, task.waker())
        })
        .await;
    }

    fn wait(
        &self,
        line: &RefCell<VecDeque<Weak<Place>>>,
        place: &mut Option<Rc<Place>>,
        waker: &Waker,
    ) -> Poll<()> {
        match place {
            Some(place) => *place.waker.borrow_mut() = waker.clone(),
            None => {
                let new = Place { waker: RefCell::new(waker.clone()), has_all: Cell::new(false) };
                line.borrow_mut().push_back(Rc::downgrade(place.insert(Rc::new(new))));
                if let Some(wake) = &self.wake {
                    wake.signal();
                }
            }
        }
        Poll::Pending
    }

    /// A handler took so long: what is beyond a part, others have less.
    pub fn charge(&self, ns: u64) {
        let parts = u32::try_from(ns / PART_NS).unwrap_or(u32::MAX);
        self.used.set(self.used.get().saturating_add(parts).min(self.used_max));
    }

    /// Whether somebody waits for the runtime to park: the core must not sleep.
    pub fn is_waited_for(&self) -> bool {
        !self.waiting.borrow().is_empty() || !self.waiting_alone.borrow().is_empty()
    }

    fn is_due(&self) -> bool {
        self.used.get() >= PART_COUNT_PARK || self.is_waited_for()
    }

    /// The runtime has parked. Who is woken takes his part when his turn comes, if those before him have left it:
    /// until then he keeps his place.
    fn renew(&self) {
        self.used.set(0);
        let mut waiting = self.waiting.borrow_mut();
        while waiting.pop_front_if(|place| place.strong_count() == 0).is_some() {}
        let alone = match self.was_alone.replace(false) && !waiting.is_empty() {
            true => None,
            false => first(&mut self.waiting_alone.borrow_mut()),
        };
        if let Some(place) = alone {
            self.used.set(self.used_max);
            self.was_alone.set(true);
            place.has_all.set(true);
            return place.waker.borrow().wake_by_ref();
        }
        for place in waiting.iter().filter_map(Weak::upgrade).take(self.used_max as usize) {
            place.waker.borrow().wake_by_ref();
        }
    }
}

/// Takes somebody who was woken, one of the first, out of a line.
fn leave(line: &mut VecDeque<Weak<Place>>, place: &Rc<Place>) {
    let at = line.iter().position(|other| other.as_ptr() == Rc::as_ptr(place));
    at.map(|at| line.remove(at));
}

/// Takes the first who still waits out of a line.
fn first(line: &mut VecDeque<Weak<Place>>) -> Option<Rc<Place>> {
    while let Some(place) = line.pop_front() {
        if let Some(place) = place.upgrade() {
            return Some(place);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream as Blocking;
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;
    use std::task::Context;
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
                assert!(turns <= 2 * PART_COUNT_MAX + TURN_COUNT_MAX, "{turns} turns");
            }
            // And it has had turns itself.
            assert!(round_count.get() >= 50, "{}", round_count.get());
        });
    }

    /// Waits for its share without a runtime; counts how often it is woken.
    struct Waiter<'s> {
        future: Pin<Box<dyn Future<Output = ()> + 's>>,
        woken: Arc<Woken>,
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    impl<'s> Waiter<'s> {
        /// Not woken yet, but polled once, as every task.
        fn new(future: impl Future<Output = ()> + 's) -> Waiter<'s> {
            Waiter { future: Box::pin(future), woken: Arc::default() }
        }

        fn has_it(&mut self) -> bool {
            let waker = self.woken.clone().into();
            self.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready()
        }

        fn is_woken(&self) -> bool {
            self.woken.0.swap(0, Relaxed) > 0
        }
    }

    fn limited() -> Share {
        Share::new(Arc::new(Wake::new().unwrap()))
    }

    /// Polls those who were woken; which of them have it.
    fn served(waiters: &mut [Waiter<'_>], mut handle: impl FnMut()) -> Vec<usize> {
        let mut served = Vec::new();
        for (index, waiter) in waiters.iter_mut().enumerate() {
            if waiter.is_woken() && waiter.has_it() {
                handle();
                served.push(index);
            }
        }
        served
    }

    #[test]
    fn as_many_are_woken_as_there_is_room_for_in_their_order() {
        let share = limited();
        let mut waiters: Vec<Waiter<'_>> = (0..200).map(|_| Waiter::new(share.take())).collect();
        let at_once = waiters.iter_mut().filter_map(|waiter| waiter.has_it().then_some(())).count();
        assert_eq!(at_once, PART_COUNT_MAX as usize);
        waiters.drain(..at_once);
        // Somebody who goes away before his turn is no loss to the others.
        waiters.remove(0);
        for _ in 0..2 {
            share.renew();
            let woken = waiters.iter().filter(|waiter| waiter.woken.0.load(Relaxed) > 0).count();
            assert_eq!(woken, PART_COUNT_MAX as usize);
            assert_eq!(served(&mut waiters, || ()), (0..woken).collect::<Vec<_>>());
            waiters.drain(..woken);
            // Whoever comes now is behind those who wait.
            assert!(!Waiter::new(share.take()).has_it());
        }
        share.renew();
        assert_eq!(served(&mut waiters, || ()).len(), 200 - 1 - 3 * PART_COUNT_MAX as usize);
        share.renew();
        assert!(!share.is_waited_for());
    }

    /// However many have slow handlers: what they take counts, not that there are so many.
    #[test]
    fn slow_handlers_have_one_turn_each() {
        let share = limited();
        let mut waiters: Vec<Waiter<'_>> = (0..64).map(|_| Waiter::new(share.take())).collect();
        share.charge(10_000_000);
        assert!(waiters.iter_mut().all(|waiter| !waiter.has_it()));
        for _ in 0..64 {
            share.renew();
            assert_eq!(served(&mut waiters, || share.charge(10_000_000)), [0]);
            waiters.remove(0);
        }
        // A quarter of it each: four.
        let mut waiters: Vec<Waiter<'_>> = (0..64).map(|_| Waiter::new(share.take())).collect();
        assert!(waiters.iter_mut().all(|waiter| !waiter.has_it()));
        share.renew();
        let quarter_ns = u64::from(PART_COUNT_MAX / 4) * PART_NS;
        assert_eq!(served(&mut waiters, || share.charge(quarter_ns)), [0, 1, 2, 3]);
    }

    #[test]
    fn long_requests_have_turns_of_their_own_between_those_of_the_others() {
        let share = limited();
        let mut long: Vec<Waiter<'_>> = (0..8).map(|_| Waiter::new(share.take_alone())).collect();
        assert!(long[0].has_it());
        assert!(long[1..].iter_mut().all(|waiter| !waiter.has_it()));
        let mut short: Vec<Waiter<'_>> = (0..3).map(|_| Waiter::new(share.take())).collect();
        assert!(short.iter_mut().all(|waiter| !waiter.has_it()));
        share.renew();
        assert_eq!((served(&mut short, || ()).len(), served(&mut long, || ()).len()), (3, 0));
        share.renew();
        assert_eq!(served(&mut long, || ()), [1]);
        assert!(!Waiter::new(share.take()).has_it());
        // Alone they follow one another, and who goes away takes nobody's turn.
        long.truncate(4);
        drop(long.remove(2));
        share.renew();
        assert_eq!(served(&mut long, || ()), [2]);
        share.renew();
        assert!(!share.is_waited_for());
        assert!(Waiter::new(Share::unlimited().take_alone()).has_it());
    }
}
