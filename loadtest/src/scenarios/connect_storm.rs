//! `connect-storm`: connect, upgrade, IDENTIFY, READY, as fast as it goes or at a rate. With --churn, sessions are
//! then dropped (gracefully, by TCP end, by reset), something is posted while they are away, and they come back by
//! RESUME or as new sessions; the server's memory is watched meanwhile.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::tally::Tally;
use super::trend::Trend;
use super::{check_answer, count_refusal, fate, faults, nothing};
use crate::args::ConnectStormArgs;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::marker::{Marker, post_body};
use crate::peer::Peer;
use crate::schedule::{Arrivals, Schedule};
use crate::session::{Leave, State};
use crate::stats::{Latency, Results};
use crate::worker::{Context, Opener, Stretch};

/// Connections of a process that post.
const CONNECTIONS: u32 = 8;
/// Posts waiting for a connection; one more is dropped and counted.
const POSTS_MAX: usize = 10_000;
/// How long everybody may take to be back at the end.
const DRAIN_NS: u64 = 10_000_000_000;
const CONTENT_LEN: usize = 60;
/// How often the server's memory is looked at: forty times, but not more often than each 50 ms nor less than each second.
fn sample_ns(seconds: u32) -> u64 {
    (u64::from(seconds) * 1_000_000_000 / 40).clamp(50_000_000, 1_000_000_000)
}

const LEAVES: [Leave; 4] = [Leave::Close, Leave::Reset, Leave::End, Leave::Reset];

struct Storm<'a> {
    args: &'a ConnectStormArgs,
    context: Context,
    opener: Opener,
    users: Vec<u32>,
    stretch: Option<Stretch>,
    measured: bool,
    churn: Option<Churn>,
}

/// The second part of the run.
struct Churn {
    per_s: f64,
    schedule: Option<Schedule>,
    /// Sessions in the order in which they are dropped, over and over: nobody identifies twice in a row.
    order: Vec<u32>,
    turn: usize,
    /// Sessions that are away: when they come back, and whether by RESUME.
    away: BinaryHeap<Reverse<(u64, u32, bool)>>,
    /// A server of each session's user.
    homes: Vec<Option<usize>>,
    idle: Vec<u32>,
    /// The post on each connection: when it was due, its number and server.
    current: Vec<(u64, u32, u32)>,
    tally: Tally,
    posts: VecDeque<(u64, u32)>,
    post: Latency,
    trend: Trend,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    dropped: u64,
    resumed: u64,
    identified: u64,
    posted: u64,
    unposted: u64,
}

pub fn size(args: &ConnectStormArgs) -> Result<(u32, u32), String> {
    if args.common.peer == Peer::Plain && args.churn.is_some() {
        return Err("--churn resumes sessions, which --peer plain cannot; leave it out.".into());
    }
    Ok((args.sessions, if args.churn.is_some() { CONNECTIONS } else { 0 }))
}

pub fn work(args: &ConnectStormArgs, mut context: Context, mut engine: Engine) -> Results {
    let users: Vec<u32> = context.share(args.sessions).map(|i| i % context.users).collect();
    let mut opener = Opener::new(&mut engine, &context, users.iter().copied(), args.common.concurrency);
    if let Some(rate) = args.rate {
        opener.pace(rate / f64::from(context.count), args.arrivals, &mut context.random);
    }
    let churn = args.churn.map(|per_s| Churn::new(per_s, args.seconds, &users, &mut context, &mut engine));
    let mut storm = Storm { args, context, opener, users, stretch: None, measured: false, churn };
    engine.run(&mut storm);
    storm.opener.report(&mut engine.results);
    if let Some(churn) = storm.churn {
        churn.report(&storm.context, &mut engine);
    }
    engine.finish()
}

pub fn conclude(args: &ConnectStormArgs, results: &mut Results) -> Option<String> {
    super::add_cpu_per(results, "sessions_ready", "server_cpu_us_per_session");
    if results.counter("sessions_failed") > 0 {
        return Some("Not all sessions became READY; see the errors above.".into());
    }
    if let Some(why) = nothing(results, "sessions_ready", "No session became READY; see the errors above.") {
        return Some(why);
    }
    args.churn?;
    if let Some(why) =
        nothing(results, "churn_dropped", "No session was dropped; take more --seconds or --churn.")
    {
        return Some(why);
    }
    if results.counter("churn_posts_unsent") > 0 {
        return Some("The server fell behind the posts; take a lower --churn or smaller servers.".into());
    }
    let drift = results.gauges.get("server_anon_drift").copied();
    match (args.drift_max, drift) {
        (Some(max), Some(drift)) if drift > max => {
            Some(format!("The server's memory grew by {drift:.3} of itself, more than --drift-max {max}."))
        }
        (Some(_), None) => Some("--drift-max needs --pid.".into()),
        _ => None,
    }
}

impl Churn {
    fn new(per_s: f64, seconds: u32, users: &[u32], context: &mut Context, engine: &mut Engine) -> Churn {
        let mut order: Vec<u32> = (0..users.len() as u32).collect();
        context.random.shuffle(&mut order);
        let mut home_of = vec![None; context.users as usize];
        for (index, server) in context.servers.iter().enumerate().rev() {
            server.members.iter().for_each(|&user| home_of[user as usize] = Some(index));
        }
        // Only the first process looks at the server's memory.
        let pids = if context.index == 0 { &context.pids[..] } else { &[] };
        Churn {
            per_s: per_s / f64::from(context.count),
            schedule: None,
            order,
            turn: 0,
            away: BinaryHeap::new(),
            homes: users.iter().map(|&user| home_of[user as usize]).collect(),
            idle: engine.add_connections(CONNECTIONS).collect(),
            current: vec![(0, 0, 0); CONNECTIONS as usize],
            tally: Tally::new(engine, context, users),
            posts: VecDeque::new(),
            post: Latency::new(),
            trend: Trend::new(pids, sample_ns(seconds)),
            counts: Counts::default(),
        }
    }

    /// Drops live sessions that are due to be dropped.
    fn drop_some(&mut self, args: &ConnectStormArgs, context: &mut Context, engine: &mut Engine) {
        let start = context.run_time_ns(0);
        if self.order.is_empty() {
            return;
        }
        let (per_s, random) = (self.per_s, &mut context.random);
        let schedule =
            self.schedule.get_or_insert_with(|| Schedule::new(start, per_s, Arrivals::Poisson, random));
        while schedule.due(engine.now, random).is_some() {
            let session = self.order[self.turn % self.order.len()];
            self.turn += 1;
            if engine.state(session) != State::Live {
                continue;
            }
            engine.leave(session, LEAVES[random.below(LEAVES.len())]);
            self.counts.dropped += 1;
            let away_ns = random.below(args.away_ms as usize * 1_000_000 + 1) as u64;
            let resume = random.unit() < args.resumes;
            self.away.push(Reverse((engine.now + away_ns, session, resume)));
            match self.posts.len() < POSTS_MAX {
                true => self.posts.push_back((engine.now, session)),
                false => self.counts.unposted += 1,
            }
        }
    }

    fn bring_back(&mut self, engine: &mut Engine) {
        while let Some(&Reverse((at, session, resume))) = self.away.peek() {
            if at > engine.now {
                return;
            }
            self.away.pop();
            engine.open_session(session, resume, at);
        }
    }

    fn post(&mut self, users: &[u32], context: &Context, engine: &mut Engine) {
        while let Some(&connection) = self.idle.last() {
            let Some((due_ns, session)) = self.posts.pop_front() else { return };
            let Some(home) = self.homes[session as usize] else { continue };
            self.idle.pop();
            let seq = context.shared.send_post(home as u32);
            self.current[connection as usize] = (due_ns, seq, home as u32);
            let marker = Marker { run: context.run, seq, at_ns: due_ns };
            let mut body = Vec::with_capacity(CONTENT_LEN + 16);
            post_body(&mut body, marker, CONTENT_LEN);
            let path = format!("/api/v1/channels/{}/messages", context.servers[home].channels[0]);
            engine.request_as(users[session as usize], connection, "POST", &path, &body);
        }
    }

    fn report(self, context: &Context, engine: &mut Engine) {
        self.tally.report(context, &mut engine.results);
        let results = &mut engine.results;
        results.count("churn_dropped", self.counts.dropped);
        results.count("churn_resumed", self.counts.resumed);
        results.count("churn_identified", self.counts.identified);
        results.count("churn_posts", self.counts.posted);
        if self.counts.unposted > 0 {
            results.count("churn_posts_unsent", self.counts.unposted);
        }
        self.trend.report_drift(results);
        results.latency("post", self.post);
    }
}

impl Storm<'_> {
    /// The first process takes the server's CPU time over the storm itself.
    fn measure(&mut self, engine: &mut Engine) {
        if self.context.index > 0 {
            return;
        }
        let stretch = self.stretch.get_or_insert_with(|| Stretch::start(engine.now, &self.context));
        if self.context.running() && !self.measured {
            self.measured = true;
            stretch.end(engine.now, &self.context, &mut engine.results);
        }
    }

    fn churn(&mut self, engine: &mut Engine) -> u64 {
        let me = self.context.me();
        let end = self.context.run_time_ns(self.args.seconds);
        let Some(churn) = &mut self.churn else {
            me.finished.store(1, Release);
            return u64::MAX;
        };
        if engine.now < end {
            churn.trend.sample(engine.now);
            churn.drop_some(self.args, &mut self.context, engine);
        }
        churn.bring_back(engine);
        churn.post(&self.users, &self.context, engine);
        let back = churn.away.is_empty() && churn.posts.is_empty() && churn.idle.len() == churn.current.len();
        let settled =
            (0..churn.homes.len() as u32).all(|s| matches!(engine.state(s), State::Live | State::Closed));
        if engine.now >= end && ((back && settled) || engine.now > end + DRAIN_NS) {
            me.finished.store(1, Release);
        }
        engine.now + 1_000_000
    }
}

impl Driver for Storm<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        let Some(churn) = &mut self.churn else { return };
        churn.idle.push(connection);
        let (due_ns, seq, home) = churn.current[connection as usize];
        self.context.shared.settle_post(home, fate(&answer));
        match answer {
            Answer::Reply { status: 200, body, .. } => {
                check_answer(engine, body, self.context.run, seq);
                churn.post.record(engine.now.saturating_sub(due_ns));
                churn.counts.posted += 1;
                self.context.me().answers.store(churn.counts.posted, Relaxed);
            }
            Answer::Reply { status, .. } => count_refusal(engine, "post", status),
            Answer::Lost => {}
        }
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        let me = self.context.me();
        match (event, &mut self.churn) {
            (Event::Ready, Some(churn)) if self.opener.was_ready(session) => {
                churn.tally.end(session);
                churn.counts.identified += 1;
            }
            (Event::Ready, churn) => {
                if let Some(churn) = churn {
                    churn.tally.begin(session);
                }
                self.opener.joined(engine, session, me);
            }
            (Event::Dispatch { t: b"MESSAGE_CREATE", text }, Some(churn)) => {
                let _ = churn.tally.received(&self.context, session, text);
            }
            (Event::Resumed, Some(churn)) => churn.counts.resumed += 1,
            // It may IDENTIFY instead, which is no use to a client that has missed something.
            (Event::Refused, Some(churn)) => {
                engine.results.error(faults::REFUSED, 1);
                churn.tally.end(session);
                engine.leave(session, Leave::Close);
                churn.away.push(Reverse((engine.now, session, false)));
            }
            (Event::Closed(_), churn) => {
                if let Some(churn) = churn {
                    churn.tally.end(session);
                }
                self.opener.closed(session, me);
            }
            (Event::Dispatch { .. } | Event::Acknowledged(_) | Event::Resumed | Event::Refused, _) => {}
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        self.measure(engine);
        let next = self.opener.turn(engine, me, &mut self.context.random);
        if self.context.stopping() {
            return None;
        }
        match self.context.running() {
            true => Some(self.churn(engine)),
            false => Some(next.min(engine.now + 1_000_000)),
        }
    }
}
