//! `resume`: a correctness test under load. Sessions are dropped at random while messages are posted, and
//! resumed; at the end each must have seen every stored message exactly once, in one order, with event
//! numbers that have no gap and no repeat.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::poster::{self, Poster};
use super::track::{self, CatchUp, Tracks};
use super::{audience_len, audience_users, nothing};
use crate::args::ResumeArgs;
use crate::dataset::Dataset;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::schedule::{Arrivals, Schedule};
use crate::session::{Leave, State};
use crate::stats::{Latency, Results};
use crate::worker::{Context, Opener};

/// Failed attempts to come back before a session counts as lost.
const ATTEMPTS_MAX: u32 = 50;
const LEAVES: [Leave; 4] = [Leave::Reset, Leave::End, Leave::CloseFrame, Leave::Abandon];

struct Resume<'a> {
    args: &'a ResumeArgs,
    context: Context,
    opener: Opener,
    tracks: Tracks,
    /// Sessions that are away: when they come back.
    away: BinaryHeap<Reverse<(u64, u32)>>,
    drops: Option<Schedule>,
    drops_per_s: f64,
    dropped: u64,
    resumed: u64,
    delivery: Latency,
    catch_up: CatchUp,
    poster: Option<Poster>,
}

pub fn size(args: &ResumeArgs, data: &Dataset) -> Result<(u32, u32), String> {
    poster::check(args.rate, f64::from(args.seconds))?;
    Ok((audience_len(&args.audience, data)?, poster::CONNECTIONS))
}

pub fn work(args: &ResumeArgs, context: Context, mut engine: Engine) -> Results {
    let users = audience_users(&args.audience, &context);
    let server = &context.servers[args.audience.server];
    let sessions = args.audience.sessions.unwrap_or(server.members.len() as u32);
    let poster = Poster::new(&mut engine, &context, server, args.rate, args.content_len);
    let tracks = Tracks::new(users.len());
    let opener = Opener::new(&mut engine, &context, users.into_iter(), args.common.concurrency);
    let drops = args.drops.unwrap_or(f64::from(sessions) / 10.0) / f64::from(context.count);
    let mut resume = Resume {
        args,
        context,
        opener,
        tracks,
        away: BinaryHeap::new(),
        drops: None,
        drops_per_s: drops,
        dropped: 0,
        resumed: 0,
        delivery: Latency::shown(),
        catch_up: CatchUp::default(),
        poster,
    };
    engine.run(&mut resume);
    resume.report(&mut engine);
    engine.finish()
}

pub fn conclude(results: &mut Results) -> Option<String> {
    if track::faults(results) > 0 {
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
        let sessions = self.tracks.sessions.len();
        if self.drops_per_s <= 0.0 || sessions == 0 {
            return;
        }
        let start = self.context.run_time_ns(0);
        let random = &mut self.context.random;
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

    /// A connection ended by itself, or a resume was refused.
    fn ended(&mut self, engine: &mut Engine, session: u32, refused: bool) {
        let track = &mut self.tracks.sessions[session as usize];
        track.attempts += 1;
        if refused || track.attempts > ATTEMPTS_MAX {
            if refused {
                engine.leave(session, Leave::Reset);
            }
            self.tracks.lose(session);
            return;
        }
        self.away.push(Reverse((engine.now + 200_000_000, session)));
    }

    /// After the last post: waits until everyone is back and has everything, but not for ever.
    fn catch_up(&mut self, engine: &Engine) {
        if self.catch_up.is_over(engine, &self.tracks, &self.context, self.args.catch_up) {
            self.context.me().finished.store(1, Release);
        }
    }

    fn report(self, engine: &mut Engine) {
        self.opener.report(&mut engine.results);
        self.tracks.report(&self.context, engine);
        engine.results.count("sessions_left", self.dropped);
        engine.results.count("sessions_resumed", self.resumed);
        engine.results.latency("delivery_replay_included", self.delivery);
        if let Some(poster) = self.poster {
            poster.report(engine);
        }
    }
}

impl Driver for Resume<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        if let Some(poster) = &mut self.poster {
            poster.answered(&self.context, engine, connection, &answer);
        }
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match event {
            Event::Dispatch { t: b"MESSAGE_CREATE", text } => {
                if let Some(marker) = self.tracks.received(&self.context, session, text) {
                    self.delivery.record(engine.now.saturating_sub(marker.at_ns));
                }
            }
            Event::Dispatch { .. } | Event::Acknowledged(_) => {}
            Event::Ready => self.opener.joined(engine, session, self.context.me()),
            Event::Resumed => {
                self.resumed += 1;
                self.tracks.sessions[session as usize].attempts = 0;
            }
            Event::Refused => self.ended(engine, session, true),
            // One that never was READY has nothing to resume.
            Event::Closed(_) if !self.opener.was_ready(session) => {
                self.opener.closed(session, self.context.me());
                self.tracks.sessions[session as usize].lost = true;
            }
            Event::Closed(_) => self.ended(engine, session, false),
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        self.opener.turn(engine, me, &mut self.context.random);
        if self.context.stopping() {
            return None;
        }
        if self.context.running() {
            let end = self.context.run_time_ns(self.args.seconds);
            if let Some(poster) = &mut self.poster {
                poster.turn(end, &mut self.context, engine);
            }
            match self.context.shared.posting_done.load(Acquire) {
                0 => self.drop_some(engine),
                _ => self.catch_up(engine),
            }
        }
        self.bring_back(engine);
        let post = self.poster.as_ref().map_or(u64::MAX, Poster::next_ns);
        Some(post.clamp(engine.now, engine.now + 1_000_000))
    }
}
