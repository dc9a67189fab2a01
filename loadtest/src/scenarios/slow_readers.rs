//! `slow-readers`: some sessions stop reading while messages are posted to all. First a phase with everybody
//! reading, then one with the slow ones not reading, then they read what is left and resume.
//!
//! What counts is what the healthy ones notice of it: their latencies in both phases, and that they lose nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::poster::{self, Poster};
use super::track::{self, CatchUp, Tracks};
use super::trend::Trend;
use super::{audience_len, audience_users, nothing};
use crate::args::SlowReadersArgs;
use crate::dataset::Dataset;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::session::Leave;
use crate::stats::{Latency, Results};
use crate::worker::{Context, Opener};

/// Failed attempts to come back before a session counts as lost.
const ATTEMPTS_MAX: u32 = 50;
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
    context: Context,
    opener: Opener,
    tracks: Tracks,
    /// Sessions below this index are healthy, the others slow.
    healthy: u32,
    phase: Phase,
    away: BinaryHeap<Reverse<(u64, u32)>>,
    before: Latency,
    during: Latency,
    resumed: u64,
    refused: u64,
    catch_up: CatchUp,
    trend: Trend,
    poster: Option<Poster>,
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
    let users = audience_users(&args.audience, &context);
    let server = &context.servers[args.audience.server];
    let poster = Poster::new(&mut engine, &context, server, args.rate, args.content_len);
    let sessions = users.len() as u32;
    let opener = Opener::new(&mut engine, &context, users.into_iter(), args.common.concurrency);
    let healthy = sessions - (f64::from(sessions) * args.slow).ceil() as u32;
    for session in healthy..sessions {
        engine.set_receive_buffer(session, args.receive_buffer);
    }
    // Only the first process looks at the server's memory.
    let pids = if context.index == 0 { &context.pids[..] } else { &[] };
    let mut slow = Slow {
        args,
        opener,
        tracks: Tracks::new(sessions as usize),
        healthy,
        phase: Phase::Before,
        away: BinaryHeap::new(),
        before: Latency::shown(),
        during: Latency::shown(),
        resumed: 0,
        refused: 0,
        catch_up: CatchUp::default(),
        trend: Trend::new(pids, SAMPLE_NS),
        poster,
        context,
    };
    engine.run(&mut slow);
    slow.report(&mut engine);
    engine.finish()
}

pub fn conclude(results: &mut Results) -> Option<String> {
    if results.counter("healthy_sessions_closed") > 0 {
        return Some("The server closed sessions that read everything; see the errors above.".into());
    }
    if track::faults(results) > 0 {
        return Some("A session lost, repeated or reordered events; see the errors above.".into());
    }
    if results.counter("sessions_failed") > 0 {
        return Some("Not all sessions became READY, so not all were tested; see the errors above.".into());
    }
    nothing(results, "messages_stored", "No message was stored; see the errors above.")
}

impl Slow<'_> {
    fn phase_end(&self, phases: u32) -> u64 {
        self.context.run_time_ns(self.args.seconds * phases)
    }

    fn is_slow(&self, session: u32) -> bool {
        session >= self.healthy
    }

    fn slow_ones(&self) -> std::ops::Range<u32> {
        self.healthy..self.tracks.sessions.len() as u32
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

    fn received(&mut self, engine: &Engine, session: u32, text: &[u8]) {
        let Some(marker) = self.tracks.received(&self.context, session, text) else { return };
        if self.is_slow(session) {
            return;
        }
        let age = engine.now.saturating_sub(marker.at_ns);
        match marker.at_ns < self.phase_end(1) {
            true => self.before.record(age),
            false => self.during.record(age),
        }
    }

    fn closed(&mut self, engine: &mut Engine, session: u32, why: &str) {
        if !self.opener.was_ready(session) {
            self.opener.closed(session, self.context.me());
            self.tracks.sessions[session as usize].lost = true;
            return;
        }
        let kind = if self.is_slow(session) { "slow" } else { "healthy" };
        engine.results.count(&format!("{kind}_sessions_closed"), 1);
        if self.is_slow(session) {
            engine.results.count(&format!("slow sessions: {why}"), 1);
        }
        let track = &mut self.tracks.sessions[session as usize];
        track.attempts += 1;
        if track.attempts > ATTEMPTS_MAX {
            return self.tracks.lose(session);
        }
        self.away.push(Reverse((engine.now + 100_000_000, session)));
    }

    /// A slow session that missed more than the server keeps has to start anew: no fault. It is not tested further.
    fn refused(&mut self, engine: &mut Engine, session: u32) {
        engine.leave(session, Leave::Reset);
        match self.is_slow(session) {
            true => {
                self.refused += 1;
                self.tracks.sessions[session as usize].lost = true;
            }
            false => self.tracks.lose(session),
        }
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

    fn catch_up(&mut self, engine: &Engine) {
        if self.catch_up.is_over(engine, &self.tracks, &self.context, self.args.catch_up) {
            self.context.me().finished.store(1, Release);
        }
    }

    fn report(self, engine: &mut Engine) {
        self.opener.report(&mut engine.results);
        self.tracks.report(&self.context, engine);
        self.trend.report_peak(&mut engine.results);
        let results = &mut engine.results;
        results.count("healthy_sessions", u64::from(self.healthy));
        results.count("slow_sessions", self.slow_ones().len() as u64);
        results.count("slow_sessions_resumed", self.resumed);
        results.count("slow_sessions_refused", self.refused);
        results.latency("delivery_before", self.before);
        results.latency("delivery_during", self.during);
        if let Some(poster) = self.poster {
            poster.report(engine);
        }
    }
}

impl Driver for Slow<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        if let Some(poster) = &mut self.poster {
            poster.answered(&self.context, engine, connection, &answer);
        }
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match event {
            Event::Dispatch { t: b"MESSAGE_CREATE", text } => self.received(engine, session, text),
            Event::Dispatch { .. } | Event::Acknowledged(_) => {}
            Event::Ready => self.opener.joined(engine, session, self.context.me()),
            Event::Resumed => {
                self.resumed += u64::from(self.is_slow(session));
                self.tracks.sessions[session as usize].attempts = 0;
            }
            Event::Refused => self.refused(engine, session),
            Event::Closed(why) => self.closed(engine, session, why),
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        self.opener.turn(engine, me, &mut self.context.random);
        if self.context.stopping() {
            return None;
        }
        if self.context.running() {
            self.trend.sample(engine.now);
            self.change_phase(engine);
            let end = self.phase_end(2);
            if let Some(poster) = &mut self.poster {
                poster.turn(end, &mut self.context, engine);
            }
            self.bring_back(engine);
            if self.phase == Phase::After && self.context.shared.posting_done.load(Acquire) == 1 {
                self.catch_up(engine);
            }
        }
        let post = self.poster.as_ref().map_or(u64::MAX, Poster::next_ns);
        Some(post.clamp(engine.now, engine.now + 10_000_000))
    }
}
