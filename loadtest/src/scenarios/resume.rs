//! `resume`: a correctness test under load. Sessions are dropped at random while messages are posted, and
//! resumed; at the end each must have seen every stored message exactly once, in one order, with event
//! numbers that have no gap and no repeat.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::{count_refusal, nothing};
use crate::args::ResumeArgs;
use crate::dataset::Dataset;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::gateway::{Marker, post_body, string_of, value_of};
use crate::schedule::{Arrivals, Schedule};
use crate::session::{Leave, State};
use crate::shared::{FATES, Fate};
use crate::stats::{Latency, Results};
use crate::worker::{Context, Opener};

/// How long answers to posts are waited for at the end.
const DRAIN_NS: u64 = 10_000_000_000;
/// Failed attempts to come back before a session counts as lost.
const ATTEMPTS_MAX: u32 = 50;
/// Connections that post.
const CONNECTIONS: u32 = 16;
const LEAVES: [Leave; 4] = [Leave::Reset, Leave::End, Leave::CloseFrame, Leave::Abandon];

/// What one session has seen.
#[derive(Default)]
struct Track {
    /// A bit per post.
    seen: Vec<u64>,
    last_id: u64,
    attempts: u32,
    /// Could not be resumed: what it missed is lost.
    lost: bool,
}

impl Track {
    /// Notes a post; false when it had been seen before.
    fn note(&mut self, seq: u32) -> bool {
        let word = seq as usize / 64;
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (seq % 64);
        let fresh = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        fresh
    }

    fn has(&self, seq: u32) -> bool {
        self.seen.get(seq as usize / 64).is_some_and(|word| word & (1 << (seq % 64)) != 0)
    }
}

#[derive(Default)]
struct Faults {
    repeated: u64,
    unordered: u64,
    refused: u64,
}

struct Resume<'a> {
    args: &'a ResumeArgs,
    context: Context,
    opener: Opener,
    tracks: Vec<Track>,
    /// Sessions that are away: when they come back.
    away: BinaryHeap<Reverse<(u64, u32)>>,
    drops: Option<Schedule>,
    drops_per_s: f64,
    dropped: u64,
    resumed: u64,
    deliveries: u64,
    delivery: Latency,
    faults: Faults,
    hint: usize,
    done_ns: u64,
    checked_ns: u64,
    poster: Option<Poster>,
}

/// The posting half, in the first process only.
struct Poster {
    path: String,
    members: Vec<u32>,
    schedule: Option<Schedule>,
    idle: Vec<u32>,
    current: Vec<(u32, u64)>,
    next_seq: u32,
    stored: u64,
    post: Latency,
}

pub fn size(args: &ResumeArgs, data: &Dataset) -> Result<(u32, u32), String> {
    let members = super::server(data, args.server)?.members.len() as u32;
    if !(args.rate > 0.0 && args.rate * f64::from(args.seconds) < FATES as f64) {
        return Err(format!("--rate times --seconds must be above 0 and below {FATES}."));
    }
    Ok((args.sessions.unwrap_or(members), CONNECTIONS))
}

pub fn work(args: &ResumeArgs, context: Context, mut engine: Engine) -> Results {
    let server = context.servers[args.server].clone();
    let sessions = args.sessions.unwrap_or(server.members.len() as u32);
    let share = context.share(sessions);
    let users = share.clone().map(|i| server.members[i as usize % server.members.len()]);
    let opener = Opener::new(&mut engine, &context, users, args.common.concurrency);
    let poster = (context.index == 0).then(|| Poster {
        path: format!("/api/v1/channels/{}/messages", server.channels[0]),
        members: server.members,
        schedule: None,
        idle: engine.add_connections(CONNECTIONS).collect(),
        current: vec![(0, 0); CONNECTIONS as usize],
        next_seq: 0,
        stored: 0,
        post: Latency::new(),
    });
    let drops = args.drops.unwrap_or(f64::from(sessions) / 10.0) / f64::from(context.count);
    let mut resume = Resume {
        args,
        context,
        opener,
        tracks: share.map(|_| Track::default()).collect(),
        away: BinaryHeap::new(),
        drops: None,
        drops_per_s: drops,
        dropped: 0,
        resumed: 0,
        deliveries: 0,
        delivery: Latency::shown(),
        faults: Faults::default(),
        hint: 0,
        done_ns: 0,
        checked_ns: 0,
        poster,
    };
    engine.run(&mut resume);
    resume.report(&mut engine);
    engine.finish()
}

pub fn conclude(results: &mut Results) -> Option<String> {
    const FAULTS: [&str; 6] = [
        "messages missing",
        "messages repeated",
        "messages out of order",
        "messages seen though refused",
        "resumes refused or sessions lost",
        "event numbers with a gap or repeat",
    ];
    let faults: u64 = FAULTS.iter().filter_map(|name| results.errors.get(*name)).sum();
    if faults > 0 {
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
    fn received(&mut self, engine: &Engine, session: u32, text: &[u8]) {
        let Some(marker) = Marker::find(text, &mut self.hint).filter(|m| m.run == self.context.run) else {
            return;
        };
        self.deliveries += 1;
        self.context.me().deliveries.store(self.deliveries, Relaxed);
        self.delivery.record(engine.now.saturating_sub(marker.at_ns));
        let track = &mut self.tracks[session as usize];
        if marker.seq as usize >= FATES || !track.note(marker.seq) {
            self.faults.repeated += 1;
        }
        let id = value_of(text, b"d").and_then(|d| string_of(d, b"id")).and_then(|id| id.parse().ok());
        let id: u64 = id.unwrap_or(0);
        if id <= track.last_id {
            self.faults.unordered += 1;
        }
        track.last_id = id;
    }

    /// Drops sessions that are live, in one of the ways in which connections end.
    fn drop_some(&mut self, engine: &mut Engine) {
        if self.drops_per_s <= 0.0 || self.tracks.is_empty() {
            return;
        }
        let random = &mut self.context.random;
        let start = self.context.shared.run_start_ns.load(Relaxed);
        let rate = self.drops_per_s;
        let drops = self.drops.get_or_insert_with(|| Schedule::new(start, rate, Arrivals::Poisson, random));
        while drops.due(engine.now, random).is_some() {
            let session = random.below(self.tracks.len()) as u32;
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
            engine.open_session(session, true);
        }
    }

    /// A connection ended by itself, or a resume was refused.
    fn ended(&mut self, engine: &mut Engine, session: u32, refused: bool) {
        let track = &mut self.tracks[session as usize];
        track.attempts += 1;
        if refused || track.attempts > ATTEMPTS_MAX {
            if refused {
                engine.leave(session, Leave::Reset);
            }
            track.lost = true;
            self.faults.refused += 1;
            return;
        }
        self.away.push(Reverse((engine.now + 200_000_000, session)));
    }

    /// Stored messages that sessions lack.
    fn missing(&self) -> u64 {
        let posted = self.context.shared.posted.load(Acquire);
        let stored: Vec<u32> =
            (0..posted).filter(|&seq| self.context.shared.fate(seq) == Fate::Stored).collect();
        let lacks = |track: &Track| stored.iter().filter(|&&seq| !track.has(seq)).count() as u64;
        self.tracks.iter().filter(|t| !t.lost).map(lacks).sum()
    }

    /// After the last post: waits until everyone is back and has everything, but not for ever.
    fn catch_up(&mut self, engine: &Engine) {
        if self.done_ns == 0 {
            self.done_ns = engine.now;
        }
        if engine.now < self.checked_ns + 200_000_000 {
            return;
        }
        self.checked_ns = engine.now;
        let back = (0..self.tracks.len() as u32)
            .all(|s| engine.state(s) == State::Live || self.tracks[s as usize].lost);
        if (back && self.missing() == 0)
            || engine.now > self.done_ns + u64::from(self.args.catch_up) * 1_000_000_000
        {
            self.context.me().finished.store(1, Release);
        }
    }

    fn report(self, engine: &mut Engine) {
        let missing = self.missing();
        let posted = self.context.shared.posted.load(Acquire);
        let refused_posts: Vec<u32> =
            (0..posted).filter(|&seq| self.context.shared.fate(seq) == Fate::None).collect();
        let phantoms: usize =
            self.tracks.iter().map(|t| refused_posts.iter().filter(|&&seq| t.has(seq)).count()).sum();
        let results = &mut engine.results;
        self.opener.report(results);
        results.count("sessions_left", self.dropped);
        results.count("sessions_resumed", self.resumed);
        results.count("deliveries", self.deliveries);
        for (name, n) in [
            ("messages missing", missing),
            ("messages repeated", self.faults.repeated),
            ("messages out of order", self.faults.unordered),
            ("messages seen though refused", phantoms as u64),
            ("resumes refused or sessions lost", self.faults.refused),
        ] {
            if n > 0 {
                results.error(name, n);
            }
        }
        results.latency("delivery_replay_included", self.delivery);
        if let Some(poster) = self.poster {
            results.count("messages_stored", poster.stored);
            results.latency("post", poster.post);
        }
    }
}

impl Poster {
    fn turn(&mut self, args: &ResumeArgs, context: &mut Context, engine: &mut Engine) {
        let end = context.run_time_ns(args.seconds);
        if engine.now >= end {
            let answered = self.idle.len() == self.current.len();
            if answered || engine.now > end + DRAIN_NS {
                context.shared.posting_done.store(1, Release);
            }
            return;
        }
        let start = context.shared.run_start_ns.load(Relaxed);
        let random = &mut context.random;
        let schedule =
            self.schedule.get_or_insert_with(|| Schedule::new(start, args.rate, Arrivals::Even, random));
        while let Some(&connection) = self.idle.last() {
            if schedule.due(engine.now, random).is_none() || self.next_seq as usize >= FATES {
                return;
            }
            self.idle.pop();
            let seq = self.next_seq;
            self.next_seq += 1;
            context.shared.set_fate(seq, Fate::Unknown);
            context.shared.posted.store(self.next_seq, Release);
            self.current[connection as usize] = (seq, engine.now);
            let mut body = Vec::with_capacity(args.content_len as usize + 16);
            let marker = Marker { run: context.run, seq, at_ns: engine.now };
            post_body(&mut body, marker, args.content_len as usize);
            let author = self.members[seq as usize % self.members.len()];
            engine.request_as(author, connection, "POST", &self.path, &body);
        }
    }

    fn answered(&mut self, context: &Context, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        self.idle.push(connection);
        let (seq, at_ns) = self.current[connection as usize];
        match answer {
            Answer::Reply { status: 200, .. } => {
                context.shared.set_fate(seq, Fate::Stored);
                self.stored += 1;
                context.me().answers.store(self.stored, Relaxed);
                self.post.record(engine.now - at_ns);
            }
            // A refusal promises that nothing was stored; a server error promises nothing.
            Answer::Reply { status, .. } => {
                if status < 500 {
                    context.shared.set_fate(seq, Fate::None);
                }
                count_refusal(engine, "post", status);
            }
            Answer::Lost => {}
        }
    }
}

impl Driver for Resume<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        if let Some(poster) = &mut self.poster {
            poster.answered(&self.context, engine, connection, answer);
        }
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match event {
            Event::Dispatch { t: b"MESSAGE_CREATE", text } => self.received(engine, session, text),
            Event::Dispatch { .. } => {}
            Event::Ready => self.opener.joined(engine, session, self.context.me()),
            Event::Resumed => {
                self.resumed += 1;
                self.tracks[session as usize].attempts = 0;
            }
            Event::Refused => self.ended(engine, session, true),
            // One that never was READY has nothing to resume.
            Event::Closed if !self.opener.was_ready(session) => {
                self.opener.closed(session, self.context.me());
                self.tracks[session as usize].lost = true;
            }
            Event::Closed => self.ended(engine, session, false),
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        self.opener.turn(engine, me);
        if self.context.stopping() {
            return None;
        }
        if self.context.running() {
            if let Some(poster) = &mut self.poster {
                poster.turn(self.args, &mut self.context, engine);
            }
            match self.context.shared.posting_done.load(Acquire) {
                0 => self.drop_some(engine),
                _ => self.catch_up(engine),
            }
        }
        self.bring_back(engine);
        Some(engine.now + 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tracks_note_each_post_once() {
        let mut track = Track::default();
        for seq in [0, 63, 64, 1000] {
            assert!(!track.has(seq));
            assert!(track.note(seq));
            assert!(track.has(seq));
            assert!(!track.note(seq), "a repeat");
        }
        assert!(!track.has(999) && !track.has(100_000));
    }
}
