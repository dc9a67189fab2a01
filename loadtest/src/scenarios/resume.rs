//! `resume`: a correctness test under load. Sessions are dropped at random while messages are posted, and
//! resumed; at the end each must have seen every stored message exactly once, in one order, with event
//! numbers that have no gap and no repeat.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::followers::{Followers, News};
use super::{audience_len, faults, nothing, poster};
use crate::args::ResumeArgs;
use crate::dataset::Dataset;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::schedule::{Arrivals, Schedule};
use crate::session::{Leave, State};
use crate::stats::{Latency, Results};
use crate::worker::Context;

/// A failed attempt to come back is repeated after this long.
const RETRY_NS: u64 = 200_000_000;
const LEAVES: [Leave; 4] = [Leave::Reset, Leave::End, Leave::CloseFrame, Leave::Abandon];

struct Resume<'a> {
    args: &'a ResumeArgs,
    followers: Followers,
    /// Sessions that are away: when they come back.
    away: BinaryHeap<Reverse<(u64, u32)>>,
    drops: Option<Schedule>,
    drops_per_s: f64,
    dropped: u64,
    resumed: u64,
    delivery: Latency,
}

pub fn size(args: &ResumeArgs, data: &Dataset) -> Result<(u32, u32), String> {
    poster::check(args.rate, f64::from(args.seconds))?;
    Ok((audience_len(&args.audience, data)?, poster::CONNECTIONS))
}

pub fn work(args: &ResumeArgs, context: Context, mut engine: Engine) -> Results {
    let server = &context.servers[args.audience.server];
    let sessions = args.audience.sessions.unwrap_or(server.members.len() as u32);
    let drops = args.drops.unwrap_or(f64::from(sessions) / 10.0) / f64::from(context.count);
    let concurrency = args.common.concurrency;
    let mut resume = Resume {
        args,
        followers: Followers::new(
            &mut engine,
            context,
            &args.audience,
            concurrency,
            args.rate,
            args.content_len,
        ),
        away: BinaryHeap::new(),
        drops: None,
        drops_per_s: drops,
        dropped: 0,
        resumed: 0,
        delivery: Latency::shown(),
    };
    engine.run(&mut resume);
    resume.report(&mut engine);
    engine.finish()
}

pub fn conclude(results: &mut Results) -> Option<String> {
    if faults::count(results) > 0 {
        return Some(
            "The server lost, repeated or reordered events. (A refused resume is legitimate when --rate times \
             --away-ms exceeds its resume buffer of 1,000 events.)"
                .into(),
        );
    }
    if results.counter("sessions_failed") > 0 {
        return Some("Not all sessions became READY, so not all were tested; see the errors above.".into());
    }
    nothing(results, "messages_stored", "No message was stored; see the errors above.").or_else(|| {
        nothing(results, "sessions_resumed", "No session was resumed; take more --seconds or --drops.")
    })
}

impl Resume<'_> {
    /// Drops sessions that are live, in one of the ways in which connections end.
    fn drop_some(&mut self, engine: &mut Engine) {
        let sessions = self.followers.len() as usize;
        if self.drops_per_s <= 0.0 || sessions == 0 {
            return;
        }
        let start = self.followers.context.run_time_ns(0);
        let random = &mut self.followers.context.random;
        let rate = self.drops_per_s;
        let drops = self.drops.get_or_insert_with(|| Schedule::new(start, rate, Arrivals::Poisson, random));
        while drops.due(engine.now, random).is_some() {
            let session = random.below(sessions) as u32;
            if engine.state(session) != State::Live {
                continue;
            }
            let how = LEAVES[random.below(LEAVES.len())];
            engine.leave(session, how);
            self.dropped += 1;
            let away_ns = random.below(self.args.away_ms as usize * 1_000_000 + 1) as u64;
            // A session taken over is not away: both connections exist for a moment.
            let away_ns = if how == Leave::Abandon { 0 } else { away_ns };
            self.away.push(Reverse((engine.now + away_ns, session)));
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

    fn report(self, engine: &mut Engine) {
        engine.results.count("sessions_left", self.dropped);
        engine.results.count("sessions_resumed", self.resumed);
        engine.results.latency("delivery_replay_included", self.delivery);
        self.followers.report(engine);
    }
}

impl Driver for Resume<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        self.followers.answered(engine, connection, &answer);
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match self.followers.session(engine, session, event) {
            Some(News::Post(marker)) => self.delivery.record(engine.now.saturating_sub(marker.at_ns)),
            Some(News::Resumed) => self.resumed += 1,
            Some(News::Refused) => self.followers.lose(engine, session),
            Some(News::Cut(_)) if self.followers.may_return(session) => {
                self.away.push(Reverse((engine.now + RETRY_NS, session)));
            }
            Some(News::Cut(_)) | None => {}
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        if !self.followers.turn(engine) {
            return None;
        }
        if self.followers.context.running() {
            let end = self.followers.context.run_time_ns(self.args.seconds);
            self.followers.post(engine, end);
            match self.followers.is_posted() {
                false => self.drop_some(engine),
                true => self.followers.catch_up(engine, self.args.catch_up),
            }
        }
        self.bring_back(engine);
        Some(self.followers.next_ns(engine.now, 1_000_000))
    }
}
