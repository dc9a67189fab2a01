//! `slow-readers`: some sessions stop reading while messages are posted to all. First a phase with everybody
//! reading, then one with the slow ones not reading, then they read what is left and resume.
//!
//! What counts is what the healthy ones notice of it: their latencies in both phases, and that they lose nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::followers::{Followers, News};
use super::trend::Trend;
use super::{audience_len, faults, nothing, poster};
use crate::args::SlowReadersArgs;
use crate::dataset::Dataset;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::marker::Marker;
use crate::session::Leave;
use crate::stats::{Latency, Results};
use crate::worker::Context;

/// When a session comes back after its connection ended.
const RETRY_NS: u64 = 100_000_000;
/// How often the server's memory is looked at.
const SAMPLE_NS: u64 = 100_000_000;

#[derive(Clone, Copy, PartialEq, PartialOrd)]
enum Phase {
    Before,
    During,
    After,
}

struct Slow<'a> {
    args: &'a SlowReadersArgs,
    followers: Followers,
    /// Sessions below this index are healthy, the others slow.
    healthy: u32,
    phase: Phase,
    away: BinaryHeap<Reverse<(u64, u32)>>,
    before: Latency,
    during: Latency,
    resumed: u64,
    refused: u64,
    trend: Trend,
}

pub fn size(args: &SlowReadersArgs, data: &Dataset) -> Result<(u32, u32), String> {
    poster::check(args.rate, 2.0 * f64::from(args.seconds))?;
    let sessions = audience_len(&args.audience, data)?;
    if (f64::from(sessions) * args.slow) < 1.0 || args.slow >= 1.0 {
        return Err(format!("--slow {} of {sessions} sessions must leave both kinds of them.", args.slow));
    }
    Ok((sessions, poster::CONNECTIONS))
}

pub fn work(args: &SlowReadersArgs, context: Context, mut engine: Engine) -> Results {
    let concurrency = args.common.concurrency;
    let followers =
        Followers::new(&mut engine, context, &args.audience, concurrency, args.rate, args.content_len);
    let sessions = followers.len();
    let healthy = sessions - (f64::from(sessions) * args.slow).ceil() as u32;
    for session in healthy..sessions {
        engine.set_receive_buffer(session, args.receive_buffer);
    }
    // Only the first process looks at the server's memory.
    let context = &followers.context;
    let pids = if context.index == 0 { &context.pids[..] } else { &[] };
    let trend = Trend::new(pids, SAMPLE_NS);
    let mut slow = Slow {
        args,
        followers,
        healthy,
        phase: Phase::Before,
        away: BinaryHeap::new(),
        before: Latency::shown(),
        during: Latency::shown(),
        resumed: 0,
        refused: 0,
        trend,
    };
    engine.run(&mut slow);
    slow.report(&mut engine);
    engine.finish()
}

pub fn conclude(results: &mut Results) -> Option<String> {
    if results.counter("healthy_sessions_closed") > 0 {
        return Some("The server closed sessions that read everything; see the errors above.".into());
    }
    if faults::count(results) > 0 {
        return Some("A session lost, repeated or reordered events; see the errors above.".into());
    }
    if results.counter("sessions_failed") > 0 {
        return Some("Not all sessions became READY, so not all were tested; see the errors above.".into());
    }
    nothing(results, "messages_stored", "No message was stored; see the errors above.")
}

impl Slow<'_> {
    fn phase_end(&self, phases: u32) -> u64 {
        self.followers.context.run_time_ns(self.args.seconds * phases)
    }

    fn is_slow(&self, session: u32) -> bool {
        session >= self.healthy
    }

    fn slow_ones(&self) -> std::ops::Range<u32> {
        self.healthy..self.followers.len()
    }

    fn change_phase(&mut self, engine: &mut Engine) {
        if self.phase == Phase::Before && engine.now >= self.phase_end(1) {
            self.phase = Phase::During;
            for session in self.slow_ones() {
                engine.expect_end(session);
                engine.mute(session, true);
            }
        }
        if self.phase == Phase::During && engine.now >= self.phase_end(2) {
            self.phase = Phase::After;
            for session in self.slow_ones() {
                engine.mute(session, false);
            }
        }
    }

    fn received(&mut self, engine: &Engine, session: u32, marker: Marker) {
        if self.is_slow(session) {
            return;
        }
        let age = engine.now.saturating_sub(marker.at_ns);
        match marker.at_ns < self.phase_end(1) {
            true => self.before.record(age),
            false => self.during.record(age),
        }
    }

    fn cut(&mut self, engine: &mut Engine, session: u32, why: &str) {
        let kind = if self.is_slow(session) { "slow" } else { "healthy" };
        engine.results.count(&format!("{kind}_sessions_closed"), 1);
        if self.is_slow(session) {
            engine.results.count(&format!("slow sessions: {why}"), 1);
        }
        if self.followers.may_return(session) {
            self.away.push(Reverse((engine.now + RETRY_NS, session)));
        }
    }

    /// A slow session that missed more than the server keeps has to start anew: no fault. It is not tested further.
    fn refused(&mut self, engine: &mut Engine, session: u32) {
        if !self.is_slow(session) {
            return self.followers.lose(engine, session);
        }
        engine.leave(session, Leave::Reset);
        self.refused += 1;
        self.followers.tracks.sessions[session as usize].lost = true;
    }

    fn bring_back(&mut self, engine: &mut Engine) {
        while let Some(&Reverse((at, session))) = self.away.peek() {
            if at > engine.now {
                return;
            }
            self.away.pop();
            engine.open_session(session, true, at);
        }
    }

    fn report(self, engine: &mut Engine) {
        self.trend.report_peak(&mut engine.results);
        let results = &mut engine.results;
        results.count("healthy_sessions", u64::from(self.healthy));
        results.count("slow_sessions", self.slow_ones().len() as u64);
        results.count("slow_sessions_resumed", self.resumed);
        results.count("slow_sessions_refused", self.refused);
        results.latency("delivery_before", self.before);
        results.latency("delivery_during", self.during);
        self.followers.report(engine);
    }
}

impl Driver for Slow<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        self.followers.answered(engine, connection, &answer);
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match self.followers.session(engine, session, event) {
            Some(News::Post(marker)) => self.received(engine, session, marker),
            Some(News::Resumed) => self.resumed += u64::from(self.is_slow(session)),
            Some(News::Refused) => self.refused(engine, session),
            Some(News::Cut(why)) => self.cut(engine, session, why),
            None => {}
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        if !self.followers.turn(engine) {
            return None;
        }
        if self.followers.context.running() {
            self.trend.sample(engine.now);
            self.change_phase(engine);
            self.followers.post(engine, self.phase_end(2));
            self.bring_back(engine);
            if self.phase == Phase::After && self.followers.is_posted() {
                self.followers.catch_up(engine, self.args.catch_up);
            }
        }
        Some(self.followers.next_ns(engine.now, 10_000_000))
    }
}
