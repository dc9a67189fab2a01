//! `resume-storm`: all sessions lose their connection at once, miss some events, and want to be back together,
//! as after a network cut. Each must then have seen every event exactly once and in order.
//!
//! Every latency counts from the moment a session wanted to be back, whether or not the load generator or the
//! server let it wait.

use std::collections::VecDeque;

use super::followers::{Followers, News};
use super::{audience_len, faults, nothing, poster};
use crate::args::ResumeStormArgs;
use crate::dataset::Dataset;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::marker::Marker;
use crate::schedule::{Arrivals, Schedule};
use crate::session::{Leave, State};
use crate::stats::{Latency, Results};
use crate::worker::Context;

/// A failed attempt is repeated after this long.
const RETRY_NS: u64 = 200_000_000;
const SECOND_NS: u64 = 1_000_000_000;

/// What is known of a session after the cut.
#[derive(Clone, Copy, Default)]
struct Return {
    /// When it wanted to be back.
    due_ns: u64,
    resumed_ns: u64,
    /// When the last event it had missed arrived.
    caught_up_ns: u64,
}

struct Storm<'a> {
    args: &'a ResumeStormArgs,
    followers: Followers,
    returns: Vec<Return>,
    /// Sessions to open: not before, and which.
    queue: VecDeque<(u64, u32)>,
    cut: bool,
    /// Handshakes under way, and how many may be.
    pending: u32,
    window: u32,
    /// At a rate: when the sessions want to be back.
    schedule: Option<Schedule>,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    lost_connection: u64,
    resumed: u64,
    last_resumed_ns: u64,
    replayed: u64,
    invalid: u64,
}

pub fn size(args: &ResumeStormArgs, data: &Dataset) -> Result<(u32, u32), String> {
    poster::check(args.rate, f64::from(args.away_ms) / 1000.0 + 2.0)?;
    Ok((audience_len(&args.audience, data)?, poster::CONNECTIONS))
}

pub fn work(args: &ResumeStormArgs, context: Context, mut engine: Engine) -> Results {
    let concurrency = args.common.concurrency;
    let window = concurrency.div_ceil(context.count);
    let followers =
        Followers::new(&mut engine, context, &args.audience, concurrency, args.rate, args.content_len);
    let mut storm = Storm {
        args,
        returns: vec![Return::default(); followers.len() as usize],
        followers,
        queue: VecDeque::new(),
        cut: false,
        pending: 0,
        window,
        schedule: None,
        counts: Counts::default(),
    };
    engine.run(&mut storm);
    storm.report(&mut engine);
    engine.finish()
}

pub fn conclude(results: &mut Results) -> Option<String> {
    if faults::count(results) > 0 {
        return Some(
            "The server lost, repeated or reordered events, or refused to resume. (A refusal is legitimate when \
             --rate times --away-ms exceeds its resume buffer of 1,000 events.)"
                .into(),
        );
    }
    if results.counter("sessions_failed") > 0 {
        return Some("Not all sessions became READY, so not all were tested; see the errors above.".into());
    }
    nothing(results, "sessions_resumed", "No session was resumed; see the errors above.").or_else(|| {
        nothing(results, "events_replayed", "No event was missed; take a higher --rate or --away-ms.")
    })
}

impl Storm<'_> {
    fn cut_ns(&self) -> u64 {
        self.followers.context.run_time_ns(1)
    }

    fn storm_ns(&self) -> u64 {
        self.cut_ns() + u64::from(self.args.away_ms) * 1_000_000
    }

    /// All connections end at once. The sessions queue up in random order.
    fn cut_all(&mut self, engine: &mut Engine) {
        self.cut = true;
        let mut sessions: Vec<u32> =
            (0..self.returns.len() as u32).filter(|&s| engine.state(s) == State::Live).collect();
        self.followers.context.random.shuffle(&mut sessions);
        let storm_ns = self.storm_ns();
        if let Some(rate) = self.args.resume_rate {
            let share = rate / f64::from(self.followers.context.count);
            self.schedule =
                Some(Schedule::new(storm_ns, share, Arrivals::Even, &mut self.followers.context.random));
        }
        for session in sessions {
            engine.leave(session, Leave::Reset);
            self.counts.lost_connection += 1;
            self.queue.push_back((storm_ns, session));
        }
    }

    /// Opens what may be opened now: at a rate whatever is under way, else so many at a time.
    fn bring_back(&mut self, engine: &mut Engine) {
        while let Some(&(not_before, session)) = self.queue.front().filter(|(at, _)| *at <= engine.now) {
            let first = self.returns[session as usize].due_ns == 0;
            let due_ns = match &mut self.schedule {
                Some(schedule) if first => schedule.due(engine.now, &mut self.followers.context.random),
                _ => (self.pending < self.window).then_some(not_before),
            };
            let Some(due_ns) = due_ns else { return };
            self.queue.pop_front();
            let back = &mut self.returns[session as usize];
            if first {
                back.due_ns = due_ns;
            }
            self.pending += 1;
            engine.open_session(session, true, back.due_ns);
        }
    }

    fn received(&mut self, engine: &Engine, session: u32, marker: Marker) {
        let back = &mut self.returns[session as usize];
        if back.resumed_ns > 0 && marker.at_ns < back.resumed_ns {
            self.counts.replayed += 1;
            back.caught_up_ns = engine.now;
        }
    }

    fn resumed(&mut self, engine: &Engine, session: u32) {
        self.pending = self.pending.saturating_sub(1);
        let back = &mut self.returns[session as usize];
        if back.resumed_ns == 0 {
            (back.resumed_ns, back.caught_up_ns) = (engine.now, engine.now);
            self.counts.resumed += 1;
            self.counts.last_resumed_ns = engine.now;
        }
    }

    /// A connection ended by itself before or after RESUMED, or a resume was refused.
    fn ended(&mut self, engine: &mut Engine, session: u32, refused: bool) {
        if self.returns[session as usize].resumed_ns == 0 && self.cut {
            self.pending = self.pending.saturating_sub(1);
        }
        if refused {
            self.counts.invalid += 1;
            self.followers.lose(engine, session);
        } else if self.followers.may_return(session) {
            self.queue.push_back((engine.now + RETRY_NS, session));
        }
    }

    fn report(self, engine: &mut Engine) {
        let seconds = self.counts.last_resumed_ns.saturating_sub(self.storm_ns()) as f64 / 1e9;
        let mut caught_up = Latency::shown();
        for back in self.returns.iter().filter(|back| back.resumed_ns > 0) {
            caught_up.record(back.caught_up_ns.saturating_sub(back.due_ns));
        }
        let results = &mut engine.results;
        results.count("sessions_left", self.counts.lost_connection);
        results.count("sessions_resumed", self.counts.resumed);
        results.count("events_replayed", self.counts.replayed);
        results.count("invalid_sessions", self.counts.invalid);
        if seconds > 0.0 {
            results.gauge("resumes_per_s", self.counts.resumed as f64 / seconds);
        }
        results.latency("caught_up", caught_up);
        self.followers.report(engine);
    }
}

impl Driver for Storm<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        self.followers.answered(engine, connection, &answer);
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match self.followers.session(engine, session, event) {
            Some(News::Post(marker)) => self.received(engine, session, marker),
            Some(News::Resumed) => self.resumed(engine, session),
            Some(News::Refused) => self.ended(engine, session, true),
            Some(News::Cut(_)) => self.ended(engine, session, false),
            None => {}
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        if !self.followers.turn(engine) {
            return None;
        }
        if self.followers.context.running() {
            if !self.cut && engine.now >= self.cut_ns() {
                self.cut_all(engine);
            }
            self.followers.post(engine, self.storm_ns() + SECOND_NS);
            self.bring_back(engine);
            if self.cut && self.followers.is_posted() {
                self.followers.catch_up(engine, self.args.catch_up);
            }
        }
        Some(self.followers.next_ns(engine.now, 1_000_000))
    }
}
