//! `fanout`: posts to one server, timed until they arrive in each of its sessions.
//!
//! The first process posts; all of them receive. A post is under way until every session that was READY
//! when it was sent has it, which is what --in-flight counts. A plain peer is posted to by text frames over one more
//! WebSocket, which receives nothing.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::tally::Tally;
use super::{audience_len, audience_users, check_answer, count_refusal, fate, faults, nothing, server};
use crate::args::FanoutArgs;
use crate::dataset::Dataset;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::marker::Marker;
use crate::peer::Peer;
use crate::session::State;
use crate::shared::{Fate, SLOTS};
use crate::stats::{Latency, Results};
use crate::worker::{Context, Opener, Stretch};

/// A post that has not reached everyone after this long without any progress never will.
const STALL_NS: u64 = 5_000_000_000;

struct Fanout<'a> {
    args: &'a FanoutArgs,
    context: Context,
    opener: Opener,
    tally: Tally,
    deliveries: u64,
    measured: u64,
    /// Bytes of the messages of measured deliveries, without frame headers.
    received_bytes: u64,
    delivery: Latency,
    all: Latency,
    poster: Option<Poster>,
}

/// The posting half, in the first process only.
struct Poster {
    way: Way,
    next_seq: u32,
    abandoned: u64,
    answers: u64,
    post: Latency,
    stretch: Option<Stretch>,
    ended: bool,
    progress: (u64, u64),
    moved_ns: u64,
    body: Vec<u8>,
}

/// How a post gets to the server.
enum Way {
    /// As a request over an idle connection.
    Requests {
        path: String,
        members: Vec<u32>,
        idle: Vec<u32>,
        /// What each connection posted last: number and time.
        sent: Vec<(u32, u64)>,
    },
    /// As a text frame of this session. Nothing answers it.
    Frames { publisher: u32 },
}

pub fn size(args: &FanoutArgs, data: &Dataset) -> Result<(u32, u32), String> {
    let len = args.common.peer.content_len();
    if !len.contains(&args.content_len) {
        return Err(format!("--content-len: from {} to {} with this --peer.", len.start(), len.end()));
    }
    server(data, args.audience.server)?;
    match (args.common.peer, args.audience.sessions) {
        (Peer::Plexichat, _) => Ok((audience_len(&args.audience, data)?, args.in_flight)),
        (Peer::Plain, Some(sessions)) => Ok((sessions, 1)),
        (Peer::Plain, None) => Err("--peer plain has no members to count: give --sessions.".into()),
    }
}

pub fn work(args: &FanoutArgs, context: Context, mut engine: Engine) -> Results {
    let users = audience_users(&args.audience, &context);
    let tally = Tally::new(&engine, &context, &users);
    let opener = Opener::new(&mut engine, &context, users.into_iter(), args.common.concurrency);
    let poster = (context.index == 0).then(|| Poster {
        way: Way::new(args, &context, &mut engine),
        next_seq: 0,
        abandoned: 0,
        answers: 0,
        post: Latency::new(),
        stretch: None,
        ended: false,
        progress: (0, 0),
        moved_ns: 0,
        body: Vec::new(),
    });
    if poster.is_some() {
        context.shared.first_measured.store(u32::MAX, Release);
    }
    let (delivery, all) = (Latency::shown(), Latency::new());
    let mut fanout = Fanout {
        args,
        context,
        opener,
        tally,
        deliveries: 0,
        measured: 0,
        received_bytes: 0,
        delivery,
        all,
        poster,
    };
    engine.run(&mut fanout);
    fanout.tally.report(&fanout.context, &mut engine.results);
    fanout.opener.report(&mut engine.results);
    engine.results.count("deliveries", fanout.measured);
    engine.results.count("received_bytes", fanout.received_bytes);
    engine.results.latency("delivery", fanout.delivery);
    engine.results.latency("delivery_to_all", fanout.all);
    if let Some(mut poster) = fanout.poster {
        // Broken off.
        if !poster.ended {
            poster.end(&fanout.context, &mut engine);
        }
        engine.results.latency("post", poster.post);
    }
    engine.finish()
}

pub fn conclude(results: &mut Results) -> Option<String> {
    let deliveries = results.counter("deliveries") as f64;
    let gauge = |name: &str| results.gauges.get(name).copied();
    let (seconds, cpu) = (gauge("measured_s"), gauge("server_cpu_s"));
    if let Some(seconds) = seconds.filter(|s| *s > 0.0) {
        results.gauge("deliveries_per_s", deliveries / seconds);
        results.gauge("posts_per_s", results.counter("posts") as f64 / seconds);
    }
    if let Some(cpu) = cpu.filter(|_| deliveries > 0.0) {
        results.gauge("server_cpu_s_per_million_deliveries", cpu * 1e6 / deliveries);
    }
    if deliveries > 0.0 {
        let received = results.counter("received_bytes") as f64;
        results.gauge("received_bytes_per_delivery", received / deliveries);
    }
    nothing(results, "deliveries", "No message reached a session; see the errors above.")
}

impl Fanout<'_> {
    fn received(&mut self, engine: &mut Engine, session: u32, t: &[u8], text: &[u8]) {
        if t != self.args.common.peer.post_event() {
            return;
        }
        let Some(marker) = self.tally.received(&self.context, session, text) else { return };
        let age = engine.now.saturating_sub(marker.at_ns);
        let measured = marker.seq >= self.context.shared.first_measured.load(Relaxed);
        self.deliveries += 1;
        self.context.me().deliveries.store(self.deliveries, Relaxed);
        if measured {
            self.measured += 1;
            self.received_bytes += text.len() as u64;
            self.delivery.record(age);
        }
        if self.context.shared.delivered(marker.seq, engine.now) {
            if measured {
                self.all.record(age);
            }
            self.context.wake_first();
        }
    }
}

impl Way {
    fn new(args: &FanoutArgs, context: &Context, engine: &mut Engine) -> Way {
        match args.common.peer {
            Peer::Plexichat => {
                let server = &context.servers[args.audience.server];
                Way::Requests {
                    path: format!("/api/v1/channels/{}/messages", server.channels[0]),
                    members: server.members.clone(),
                    idle: engine.add_connections(args.in_flight).collect(),
                    sent: vec![(0, 0); args.in_flight as usize],
                }
            }
            Peer::Plain => {
                let publisher = engine.add_publisher();
                engine.open_session(publisher, false, engine.now);
                Way::Frames { publisher }
            }
        }
    }

    /// Whether this session is the way, and no receiver.
    fn is(&self, session: u32) -> bool {
        matches!(self, Way::Frames { publisher } if *publisher == session)
    }

    /// Not while the WebSocket to post over is being opened.
    fn settled(&self, engine: &Engine) -> bool {
        match self {
            Way::Requests { .. } => true,
            Way::Frames { publisher } => matches!(engine.state(*publisher), State::Live | State::Closed),
        }
    }

    /// Whether a post could be sent now.
    fn free(&self, engine: &Engine) -> bool {
        match self {
            Way::Requests { idle, .. } => !idle.is_empty(),
            Way::Frames { publisher } => engine.state(*publisher) == State::Live,
        }
    }

    /// Whether every post was answered, if posts are.
    fn quiet(&self) -> bool {
        match self {
            Way::Requests { idle, sent, .. } => idle.len() == sent.len(),
            Way::Frames { .. } => true,
        }
    }

    /// Sends a post; only when the way is free.
    fn send(&mut self, engine: &mut Engine, seq: u32, at_ns: u64, body: &[u8]) {
        match self {
            Way::Requests { path, members, idle, sent } => {
                let connection = idle.pop().expect("the way is free");
                sent[connection as usize] = (seq, at_ns);
                let author = members[seq as usize % members.len()];
                engine.request_as(author, connection, "POST", path, body);
            }
            Way::Frames { publisher } => assert!(engine.send_text(*publisher, body), "the way is free"),
        }
    }
}

impl Poster {
    fn turn(&mut self, args: &FanoutArgs, context: &Context, engine: &mut Engine) {
        let shared = context.shared;
        self.give_up_on_stall(context, engine);
        let in_flight =
            |poster: &Poster| u64::from(poster.next_seq) - shared.completed.load(Acquire) - poster.abandoned;
        while self.next_seq < args.warmup && in_flight(self) < u64::from(args.in_flight) {
            if !self.post(args, context, engine) {
                return;
            }
        }
        if self.stretch.is_none() {
            // The warm-up must be over everywhere before anything is measured.
            if in_flight(self) > 0 || !self.way.quiet() {
                return;
            }
            shared.first_measured.store(self.next_seq, Release);
            self.stretch = Some(Stretch::start(engine.now, context));
        }
        let start_ns = self.stretch.as_ref().map_or(0, |s| s.start_ns);
        let seconds = args.seconds.unwrap_or(if args.posts.is_some() { u32::MAX } else { 10 });
        let over = engine.now >= start_ns.saturating_add(u64::from(seconds) * 1_000_000_000)
            || args.posts.is_some_and(|posts| self.measured_posts(context) >= posts)
            || context.live_sessions() == 0;
        if !over {
            while in_flight(self) < u64::from(args.in_flight)
                && args.posts.is_none_or(|posts| self.measured_posts(context) < posts)
            {
                if !self.post(args, context, engine) {
                    return;
                }
            }
        } else if !self.ended && in_flight(self) == 0 && self.way.quiet() {
            self.end(context, engine);
        }
    }

    fn measured_posts(&self, context: &Context) -> u32 {
        self.next_seq.saturating_sub(context.shared.first_measured.load(Relaxed))
    }

    /// Posts; false when it cannot now.
    fn post(&mut self, args: &FanoutArgs, context: &Context, engine: &mut Engine) -> bool {
        if !self.way.free(engine) {
            return false;
        }
        let server = args.audience.server as u32;
        let seq = context.shared.send_post(server);
        self.next_seq = seq + 1;
        if args.common.peer == Peer::Plain {
            // Nothing will say so later.
            context.shared.settle_post(server, Fate::Stored);
        }
        if context.shared.begin_post(seq, context.live_sessions()) {
            self.abandoned += 1;
        }
        let at_ns = crate::system::now_ns();
        self.body.clear();
        let marker = Marker { run: context.run, seq, at_ns };
        args.common.peer.write_post(&mut self.body, marker, args.content_len as usize);
        self.way.send(engine, seq, at_ns, &self.body);
        true
    }

    fn answered(
        &mut self,
        server: u32,
        context: &Context,
        engine: &mut Engine,
        connection: u32,
        answer: Answer<'_>,
    ) {
        let Way::Requests { idle, sent, .. } = &mut self.way else { return };
        idle.push(connection);
        let (seq, at_ns) = sent[connection as usize];
        context.shared.settle_post(server, fate(&answer));
        if let Answer::Reply { status: 200, body, .. } = answer {
            check_answer(engine, body, context.run, seq);
            self.answers += 1;
            context.me().answers.store(self.answers, Relaxed);
            if seq >= context.shared.first_measured.load(Relaxed) {
                self.post.record(engine.now - at_ns);
            }
            return;
        }
        if let Answer::Reply { status, .. } = answer {
            count_refusal(engine, "post", status);
        }
        if context.shared.abandon_post(seq) {
            self.abandoned += 1;
        }
    }

    /// Frees the posts that stopped arriving, and says how many there were.
    fn give_up_on_stall(&mut self, context: &Context, engine: &mut Engine) {
        let delivered =
            context.shared.workers(context.count).iter().map(|w| w.deliveries.load(Relaxed)).sum();
        let progress = (delivered, self.answers);
        if progress != self.progress || self.moved_ns == 0 {
            (self.progress, self.moved_ns) = (progress, engine.now);
        }
        if engine.now - self.moved_ns < STALL_NS {
            return;
        }
        self.moved_ns = engine.now;
        let from = self.next_seq.saturating_sub(SLOTS as u32);
        let lost = (from..self.next_seq).filter(|&seq| context.shared.abandon_post(seq)).count() as u64;
        if lost > 0 {
            self.abandoned += lost;
            engine.results.error(faults::STALLED, lost);
        }
    }

    fn end(&mut self, context: &Context, engine: &mut Engine) {
        self.ended = true;
        context.shared.posting_done.store(1, Release);
        let Some(stretch) = &self.stretch else { return };
        let until_now = stretch.end(engine.now, context, &mut engine.results);
        let last_ns = context.shared.last_completion_ns.load(Acquire);
        let seconds = last_ns.checked_sub(stretch.start_ns).map_or(until_now, |ns| ns as f64 / 1e9);
        engine.results.gauge("measured_s", seconds);
        engine.results.count("posts", u64::from(self.measured_posts(context)));
    }
}

impl Driver for Fanout<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        if let Some(poster) = &mut self.poster {
            let server = self.args.audience.server as u32;
            poster.answered(server, &self.context, engine, connection, answer);
        }
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        if let Some(poster) = self.poster.as_mut().filter(|poster| poster.way.is(session)) {
            // Nothing more can be posted.
            if matches!(event, Event::Closed(_)) && !poster.ended {
                poster.end(&self.context, engine);
            }
            return;
        }
        match event {
            Event::Dispatch { t, text } => self.received(engine, session, t, text),
            Event::Ready => {
                self.tally.begin(session);
                self.opener.joined(engine, session, self.context.me());
            }
            Event::Closed(_) => {
                self.tally.end(session);
                self.opener.closed(session, self.context.me());
            }
            Event::Acknowledged(_) | Event::Resumed | Event::Refused => {}
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        if self.context.stopping() {
            return None;
        }
        // Whoever waits for sessions to open waits for the way to post too.
        if self.poster.as_ref().is_none_or(|poster| poster.way.settled(engine)) {
            self.opener.turn(engine, me, &mut self.context.random);
        }
        if self.context.running() {
            if let Some(poster) = self.poster.as_mut().filter(|p| !p.ended) {
                poster.turn(self.args, &self.context, engine);
            }
            if self.context.shared.posting_done.load(Acquire) == 1 {
                me.finished.store(1, Release);
            }
        }
        Some(engine.now + if self.context.running() { 20_000_000 } else { 1_000_000 })
    }
}
