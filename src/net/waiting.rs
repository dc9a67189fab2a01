//! Answers that requests wait for: the writer's to a command, a lane's to a job.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::task::{Poll, Waker};

use slab::Slab;

use crate::domain::{Error, Refusal, Reply, Result};
use crate::effect::lane::{Answer, Done, Job, Lanes, Row, Unanswered};
use crate::log::Ticket;
use crate::observe::CoreMetrics;
use crate::runtime::clock::monotonic_ns;
use crate::runtime::wake::Wake;

/// What the requests of a core wait for.
pub struct Waiting {
    places: RefCell<Slab<Place>>,
    answers: Receiver<(Ticket, Ended)>,
    answers_sender: Sender<(Ticket, Ended)>,
    lanes: Arc<Lanes>,
    /// Of the core.
    wake: Arc<Wake>,
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
    Done(Ended),
}

/// How a job has ended.
type Ended = std::result::Result<Answer, Unanswered>;

impl Waiting {
    pub fn new(lanes: Arc<Lanes>, wake: Arc<Wake>, metrics: Arc<CoreMetrics>) -> Waiting {
        let (answers_sender, answers) = std::sync::mpsc::channel();
        Waiting { places: RefCell::default(), answers, answers_sender, lanes, wake, metrics }
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

    /// What lanes have done since the last call.
    pub fn take_answers(&self) {
        while let Ok((ticket, ended)) = self.answers.try_recv() {
            self.complete(ticket, Outcome::Done(ended));
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
            Outcome::Done(_) => unreachable!("the writer answers with a reply"),
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

    // ----------------------------------------------------------------------------------------- effects

    /// Has a lane do a job.
    pub async fn effect(&self, job: Job) -> Result<Answer> {
        let (claim, lane) = (self.claim(), job.lane());
        if self.lanes.submit(job, self.answered_to(claim.ticket)).is_err() {
            self.give_up(&claim);
            return Err(full(lane));
        }
        match self.outcome(claim).await {
            Outcome::Done(Ok(answer)) => Ok(answer),
            Outcome::Done(Err(Unanswered::Full)) => Err(full(lane)),
            Outcome::Done(Err(Unanswered::Panicked)) => Err(Refusal::Internal.into()),
            Outcome::Reply(_) => unreachable!("a lane answers with what was done"),
        }
    }

    /// Sends an outcome from a lane's thread back to this core.
    fn answered_to(&self, ticket: Ticket) -> Done {
        let (sender, wake) = (self.answers_sender.clone(), self.wake.clone());
        Box::new(move |outcome| {
            // A core that has ended no longer listens.
            let _ = sender.send((ticket, outcome));
            wake.signal();
        })
    }
}

/// No room in a lane.
fn full(lane: &Row) -> Error {
    Error { retry_after_ms: Some(1_000), ..Error::new(503, lane.full) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::effect::{Effect, LANES, Source, password};
    use crate::observe::LaneMetrics;
    use std::pin::pin;
    use std::task::Context;
    use std::time::{Duration, Instant};

    struct Call(fn() -> u8);

    impl Effect for Call {
        type Answer = u8;
        const LANE: &'static Row = &password::LANE;

        fn run(self) -> u8 {
            (self.0)()
        }
    }

    fn waiting() -> Waiting {
        let metrics: Vec<_> = LANES.iter().map(|row| Arc::new(LaneMetrics::new(row.name))).collect();
        let lanes = Lanes::start(&Config::default(), &metrics).unwrap();
        Waiting::new(Arc::new(lanes), Arc::new(Wake::new().unwrap()), Arc::default())
    }

    fn outcome(waiting: &Waiting, call: fn() -> u8) -> Result<u8> {
        let job = Job::new(Source::new([127, 0, 0, 1].into(), 1), Call(call));
        let mut effect = pin!(waiting.effect(job));
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            waiting.take_answers();
            match effect.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => return answer.map(|answer| *answer.downcast().unwrap()),
                Poll::Pending => std::thread::yield_now(),
            }
        }
        panic!("no answer");
    }

    #[test]
    fn a_job_that_panics_is_an_answer_of_its_own() {
        let waiting = waiting();
        assert_eq!(outcome(&waiting, || 3), Ok(3));
        let refused = outcome(&waiting, || panic!("as this test wants it"));
        assert_eq!(refused, Err(Refusal::Internal.into()));
        assert_eq!(outcome(&waiting, || 4), Ok(4));
        assert!(waiting.places.borrow().is_empty());
    }

    #[test]
    fn who_stops_waiting_leaves_nothing_behind() {
        let waiting = waiting();
        let job = Job::new(Source::new([127, 0, 0, 1].into(), 1), Call(|| 3));
        {
            let mut effect = pin!(waiting.effect(job));
            let polled = effect.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
        }
        let begun = Instant::now();
        while !waiting.places.borrow().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(20), "its answer never came");
            waiting.take_answers();
            std::thread::yield_now();
        }
    }
}
