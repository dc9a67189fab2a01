//! Answers that requests wait for: the writer's to a command, the pool's to a password.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::task::{Poll, Waker};

use slab::Slab;

use crate::domain::{Refusal, Reply, Result};
use crate::effect::password::{self, PasswordPool, Source};
use crate::log::Ticket;
use crate::observe::{CoreMetrics, HashMetrics};
use crate::runtime::clock::monotonic_ns;
use crate::runtime::wake::Wake;

/// What the requests of a core wait for.
pub struct Waiting {
    places: RefCell<Slab<Place>>,
    hashed: Receiver<(Ticket, Hashed)>,
    hashed_sender: Sender<(Ticket, Hashed)>,
    pool: Arc<PasswordPool>,
    /// Of the core.
    wake: Arc<Wake>,
    hashing: Arc<HashMetrics>,
    metrics: Arc<CoreMetrics>,
}

#[derive(Default)]
struct Place {
    /// When it was handed over.
    begun_ns: u64,
    waker: Option<Waker>,
    outcome: Option<Outcome>,
    /// Whoever asked is gone.
    abandoned: bool,
}

/// Somebody waits for a ticket; when he stops waiting, its place is freed at once or when the answer comes.
pub struct Claim<'c> {
    places: &'c RefCell<Slab<Place>>,
    pub ticket: Ticket,
    /// The answer was taken: the place may be somebody else's by now.
    is_settled: Cell<bool>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.is_settled.get() {
            return;
        }
        let mut places = self.places.borrow_mut();
        let place = &mut places[self.ticket as usize];
        if place.outcome.is_some() {
            drop(places.remove(self.ticket as usize))
        } else {
            place.abandoned = true
        }
    }
}

enum Outcome {
    Reply(Result<Reply>),
    Hashed(Hashed),
}

enum Hashed {
    Phc(String),
    Matches(bool),
    /// It had to make room for others.
    Refused,
    Failed,
}

impl Waiting {
    pub fn new(
        pool: Arc<PasswordPool>,
        wake: Arc<Wake>,
        hashing: Arc<HashMetrics>,
        metrics: Arc<CoreMetrics>,
    ) -> Waiting {
        let (hashed_sender, hashed) = std::sync::mpsc::channel();
        Waiting { places: RefCell::default(), hashed, hashed_sender, pool, wake, hashing, metrics }
    }

    // ----------------------------------------------------------------------------------------- answers

    /// The writer's answers of one batch.
    pub fn take_replies(&self, replies: Vec<(Ticket, Result<Reply>)>) {
        if !replies.is_empty() {
            self.measure_replies(&replies);
        }
        for (ticket, reply) in replies {
            self.complete(ticket, Outcome::Reply(reply));
        }
    }

    /// What the pool has done since the last call.
    pub fn take_hashed(&self) {
        while let Ok((ticket, hashed)) = self.hashed.try_recv() {
            self.complete(ticket, Outcome::Hashed(hashed));
        }
    }

    fn complete(&self, ticket: Ticket, outcome: Outcome) {
        let mut places = self.places.borrow_mut();
        let place = places.get_mut(ticket as usize).expect("a ticket is answered once");
        if place.abandoned {
            places.remove(ticket as usize);
            return;
        }
        place.outcome = Some(outcome);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }

    /// How long commands took, from the ring to the writer to their answer here. One look at the clock per batch.
    fn measure_replies(&self, replies: &[(Ticket, Result<Reply>)]) {
        let (now_ns, places) = (monotonic_ns(), self.places.borrow());
        for (ticket, _) in replies {
            let begun_ns = places[*ticket as usize].begun_ns;
            self.metrics.command_ns.record(now_ns.saturating_sub(begun_ns));
        }
    }

    // ----------------------------------------------------------------------------------------- waiting

    /// A place for an answer. Dropped before the answer came, it is freed when it comes.
    pub fn claim(&self) -> Claim<'_> {
        let place = Place { begun_ns: monotonic_ns(), ..Place::default() };
        let ticket = self.places.borrow_mut().insert(place) as Ticket;
        Claim { places: &self.places, ticket, is_settled: Cell::new(false) }
    }

    /// The writer's answer to the command of a claimed ticket.
    pub async fn reply(&self, claim: Claim<'_>) -> Result<Reply> {
        match self.outcome(claim).await {
            Outcome::Reply(reply) => reply,
            Outcome::Hashed(_) => unreachable!("the writer answers with a reply"),
        }
    }

    /// The answer to a claimed ticket; its place is free afterwards.
    async fn outcome(&self, claim: Claim<'_>) -> Outcome {
        poll_fn(|task| {
            let mut places = self.places.borrow_mut();
            let place = &mut places[claim.ticket as usize];
            match place.outcome.take() {
                Some(outcome) => {
                    places.remove(claim.ticket as usize);
                    claim.is_settled.set(true);
                    Poll::Ready(outcome)
                }
                None => {
                    place.waker = Some(task.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Nobody will answer: nothing was submitted.
    pub fn give_up(&self, claim: &Claim<'_>) {
        self.places.borrow_mut().remove(claim.ticket as usize);
        claim.is_settled.set(true);
    }

    // --------------------------------------------------------------------------------------- passwords

    /// The PHC string of a password.
    pub async fn hash(&self, source: Source, password: String) -> Result<String> {
        let claim = self.claim();
        let done = self.hashed_to(claim.ticket);
        let done = Box::new(move |phc: std::result::Result<String, password::Error>| {
            done(match phc {
                Ok(phc) => Hashed::Phc(phc),
                Err(password::Error::Full) => Hashed::Refused,
                Err(_) => Hashed::Failed,
            })
        });
        let queued = self.pool.try_hash(source, password, done);
        self.queued(&claim, queued.is_ok())?;
        match self.outcome(claim).await {
            Outcome::Hashed(Hashed::Phc(phc)) => Ok(phc),
            Outcome::Hashed(Hashed::Refused) => Err(Refusal::Busy.into()),
            _ => Err(Refusal::Internal.into()),
        }
    }

    /// Whether a password matches a PHC string; without one it takes as long.
    pub async fn verify(&self, source: Source, password: String, phc: Option<String>) -> Result<bool> {
        let known = phc.is_some();
        let phc = phc.unwrap_or_else(|| self.pool.dummy_phc().to_string());
        let claim = self.claim();
        let done = self.hashed_to(claim.ticket);
        let done = Box::new(move |matches: std::result::Result<bool, password::Full>| {
            done(matches.map_or(Hashed::Refused, Hashed::Matches))
        });
        let queued = self.pool.try_verify(source, password, phc, done);
        self.queued(&claim, queued.is_ok())?;
        match self.outcome(claim).await {
            Outcome::Hashed(Hashed::Matches(matches)) => Ok(matches && known),
            Outcome::Hashed(Hashed::Refused) => Err(Refusal::Busy.into()),
            _ => Err(Refusal::Internal.into()),
        }
    }

    /// Whether the pool has taken a password.
    fn queued(&self, claim: &Claim<'_>, is_queued: bool) -> Result<()> {
        if is_queued {
            self.hashing.queued.add_shared(1);
            return Ok(());
        }
        self.hashing.refused.add_shared(1);
        self.give_up(claim);
        Err(Refusal::Busy.into())
    }

    /// Sends a result from a pool thread back to this core.
    fn hashed_to(&self, ticket: Ticket) -> impl FnOnce(Hashed) + Send + use<> {
        let (sender, wake, hashing) = (self.hashed_sender.clone(), self.wake.clone(), self.hashing.clone());
        move |hashed| {
            if matches!(hashed, Hashed::Refused) {
                hashing.refused.add_shared(1);
                hashing.evicted.add_shared(1);
            } else {
                hashing.done.add_shared(1);
            }
            // A core that has ended no longer listens.
            let _ = sender.send((ticket, hashed));
            wake.signal();
        }
    }
}
