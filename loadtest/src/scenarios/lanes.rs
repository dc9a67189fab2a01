//! Keep-alive connections with one request under way each: a closed loop, or requests at a rate.
//!
//! Invariant: at a rate, each due time is given out once, however late, so that latency counted from it includes
//! what a stalled server made others wait.

use std::collections::VecDeque;
use std::ops::Range;

use crate::args::Load;
use crate::engine::Engine;
use crate::schedule::{Arrivals, Schedule};
use crate::worker::Context;

/// A lane that was refused pauses, so that errors do not spin.
const PAUSE_NS: u64 = 10_000_000;
/// Requests waiting for a free lane, in seconds of the rate; beyond, the server has lost the race.
const BACKLOG_S: f64 = 10.0;
/// How long answers are waited for at the end.
pub const DRAIN_NS: u64 = 10_000_000_000;

pub struct Lanes {
    /// Requests per second of this process; `None`: each lane asks again when it was answered.
    rate: Option<f64>,
    arrivals: Arrivals,
    schedule: Option<Schedule>,
    backlog: VecDeque<u64>,
    /// Lanes without a request, and when they may have one.
    waiting: VecDeque<(u64, u32)>,
    /// When each lane's request was due.
    due_ns: Vec<u64>,
    /// Requests given up because the backlog was full.
    pub unsent: u64,
}

impl Lanes {
    /// This process's share of the connections and of a rate. They must be the engine's first connections.
    pub fn new(engine: &mut Engine, context: &Context, load: &Load, rate: Option<f64>) -> Lanes {
        let count = context.share(load.connections).len().max(1) as u32;
        let Range { start, end } = engine.add_connections(count);
        assert_eq!(start, 0, "lanes are numbered like connections");
        Lanes {
            rate: rate.map(|rate| rate / f64::from(context.count)),
            arrivals: load.arrivals,
            schedule: None,
            backlog: VecDeque::new(),
            waiting: (start..end).map(|lane| (0, lane)).collect(),
            due_ns: vec![0; count as usize],
            unsent: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.due_ns.len()
    }

    pub fn is_closed_loop(&self) -> bool {
        self.rate.is_none()
    }

    /// Collects what has become due before `end`. Where these requests are what is measured, call it after the end, too:
    /// this process may have stood still, and what was due meanwhile counts like everything else.
    pub fn fill(&mut self, now: u64, end: u64, context: &mut Context) {
        let Some(rate) = self.rate else { return };
        let start = context.run_time_ns(0);
        let random = &mut context.random;
        let schedule = self.schedule.get_or_insert_with(|| Schedule::new(start, rate, self.arrivals, random));
        while let Some(at_ns) = schedule.due(now.min(end - 1), random) {
            match (self.backlog.len() as f64) < rate * BACKLOG_S + 100.0 {
                true => self.backlog.push_back(at_ns),
                false => self.unsent += 1,
            }
        }
    }

    /// A lane and the time its request is due. The caller sends at once.
    pub fn next(&mut self, now: u64) -> Option<(u32, u64)> {
        let &(_, lane) = self.waiting.front().filter(|(at, _)| *at <= now)?;
        let due_ns = match self.rate {
            Some(_) => self.backlog.pop_front()?,
            None => now,
        };
        self.waiting.pop_front();
        self.due_ns[lane as usize] = due_ns;
        Some((lane, due_ns))
    }

    /// Takes a lane back after its answer; gives the time at which the request was due.
    pub fn answered(&mut self, lane: u32, now: u64, ok: bool) -> u64 {
        if ok {
            self.waiting.push_front((0, lane));
        } else {
            self.waiting.push_back((now + PAUSE_NS, lane));
        }
        self.due_ns[lane as usize]
    }

    /// Requests under way.
    pub fn busy(&self) -> usize {
        self.due_ns.len() - self.waiting.len()
    }

    /// Requests under way or waiting for a lane.
    pub fn open(&self) -> usize {
        self.busy() + self.backlog.len()
    }

    /// When to look again.
    pub fn next_ns(&self) -> u64 {
        let lane = self.waiting.front().map_or(u64::MAX, |(at, _)| *at);
        match &self.schedule {
            Some(schedule) if self.backlog.is_empty() => schedule.next_ns().max(lane),
            _ => lane,
        }
    }
}
