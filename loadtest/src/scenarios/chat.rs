//! `chat`: an open-loop mix of what people do, at a fixed rate.
//!
//! Every operation has a time at which it is due, whether or not earlier ones were answered, and its
//! latency counts from that time: a server that stalls is charged for everyone who waited.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::{count_refusal, nothing};
use crate::args::ChatArgs;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::gateway::{Marker, post_body, string_of};
use crate::schedule::{Schedule, Zipf, weighted};
use crate::stats::{Latency, Results};
use crate::worker::{Context, Opener, Stretch};

/// Operations in the order of --mix.
const KINDS: [&str; 5] = ["post", "history", "typing", "reaction", "presence"];
const POST: usize = 0;
const HISTORY: usize = 1;
const TYPING: usize = 2;
const REACTION: usize = 3;
const PRESENCE: usize = 4;

/// 👍 ❤ 😂 🎉 👀, percent-encoded.
const EMOJIS: [&str; 5] =
    ["%F0%9F%91%8D", "%E2%9D%A4%EF%B8%8F", "%F0%9F%98%82", "%F0%9F%8E%89", "%F0%9F%91%80"];
const STATUSES: [&str; 3] = ["online", "idle", "dnd"];

/// Messages of a server that may get reactions.
const RECENT_MAX: usize = 16;
/// Operations waiting for a free connection, in seconds of the rate; beyond, the server has lost the race.
const BACKLOG_S: f64 = 10.0;
const DRAIN_NS: u64 = 10_000_000_000;

#[derive(Clone, Copy, Default)]
struct Operation {
    kind: usize,
    server: usize,
    channel: usize,
    /// When it was due.
    at_ns: u64,
}

struct Chat<'a> {
    args: &'a ChatArgs,
    context: Context,
    opener: Opener,
    schedule: Option<Schedule>,
    zipf: Zipf,
    idle: Vec<u32>,
    connections: usize,
    current: Vec<Operation>,
    backlog: VecDeque<Operation>,
    /// Latest messages of each server: channel index and id.
    recent: Vec<VecDeque<(usize, Box<str>)>>,
    latencies: [Latency; KINDS.len()],
    delivery: Latency,
    counts: Counts,
    hint: usize,
    stretch: Option<Stretch>,
    measured: bool,
    body: Vec<u8>,
}

#[derive(Default)]
struct Counts {
    seq: u32,
    answers: u64,
    deliveries: u64,
    unsent: u64,
}

pub fn size(args: &ChatArgs) -> Result<(u32, u32), String> {
    if args.mix.len() != KINDS.len() || args.mix.iter().sum::<u32>() == 0 {
        return Err(format!("--mix takes {} weights, for {}.", KINDS.len(), KINDS.join(",")));
    }
    if !(args.rate > 0.0 && args.rate <= 1e7 && (0.0..=10.0).contains(&args.zipf)) {
        return Err("--rate must be above 0 and --zipf 0 to 10.".into());
    }
    Ok((args.sessions, args.connections))
}

pub fn work(args: &ChatArgs, mut context: Context, mut engine: Engine) -> Results {
    let users = context.share(args.sessions).map(|i| i % context.users);
    let opener = Opener::new(&mut engine, &context, users, args.common.concurrency);
    let connections = context.share(args.connections).len().max(1);
    // Rank and position differ: otherwise the busiest servers would all have the earliest owners.
    shuffle(&mut context);
    let mut chat = Chat {
        args,
        opener,
        schedule: None,
        zipf: Zipf::new(context.servers.len(), args.zipf),
        idle: engine.add_connections(connections as u32).collect(),
        connections,
        current: vec![Operation::default(); connections],
        backlog: VecDeque::new(),
        recent: vec![VecDeque::new(); context.servers.len()],
        latencies: std::array::from_fn(|_| Latency::shown()),
        delivery: Latency::new(),
        counts: Counts::default(),
        hint: 0,
        stretch: None,
        measured: false,
        body: Vec::new(),
        context,
    };
    engine.run(&mut chat);
    let results = &mut engine.results;
    chat.opener.report(results);
    let answered: u64 = chat.latencies.iter().map(Latency::count).sum();
    results.count("operations", answered);
    results.count("operations_unsent", chat.counts.unsent);
    results.count("deliveries", chat.counts.deliveries);
    results.gauge("operations_per_s", answered as f64 / f64::from(args.seconds.max(1)));
    for (name, latency) in KINDS.into_iter().zip(chat.latencies) {
        results.latency(name, latency);
    }
    results.latency("delivery", chat.delivery);
    engine.finish()
}

/// The same order in every process, so that ranks agree.
fn shuffle(context: &mut Context) {
    let mut random = crate::schedule::Random::new(u64::from(context.run));
    for i in (1..context.servers.len()).rev() {
        context.servers.swap(i, random.below(i + 1));
    }
}

pub fn conclude(results: &mut Results) -> Option<String> {
    let operations = results.counter("operations");
    if let Some(cpu) = results.gauges.get("server_cpu_s").copied().filter(|_| operations > 0) {
        results.gauge("server_cpu_us_per_operation", cpu * 1e6 / operations as f64);
    }
    if results.counter("operations_unsent") > 0 {
        return Some("The server fell behind the rate by more than 10 s; take a lower --rate.".into());
    }
    nothing(results, "operations", "No operation succeeded; see the errors above.")
}

impl Chat<'_> {
    fn window(&self) -> (u64, u64) {
        let start = self.context.run_time_ns(self.args.warmup);
        (start, self.context.run_time_ns(self.args.warmup + self.args.seconds))
    }

    /// Turns due times into operations.
    fn fill_backlog(&mut self, now: u64) {
        let random = &mut self.context.random;
        let rate = self.args.rate / f64::from(self.context.count);
        let start = self.context.shared.run_start_ns.load(Relaxed);
        let schedule =
            self.schedule.get_or_insert_with(|| Schedule::new(start, rate, self.args.arrivals, random));
        while let Some(at_ns) = schedule.due(now, random) {
            if self.backlog.len() as f64 > rate * BACKLOG_S + 100.0 {
                self.counts.unsent += 1;
                continue;
            }
            let server = self.zipf.pick(random);
            let channel = random.below(self.context.servers[server].channels.len());
            let kind = weighted(&self.args.mix, random);
            self.backlog.push_back(Operation { kind, server, channel, at_ns });
        }
    }

    fn send(&mut self, engine: &mut Engine, connection: u32, mut operation: Operation) {
        let random = &mut self.context.random;
        let server = &self.context.servers[operation.server];
        let user = server.members[random.below(server.members.len())];
        self.body.clear();
        let target = match self.recent[operation.server].len() {
            _ if operation.kind != REACTION => None,
            // Nothing to react to yet: read instead.
            0 => {
                operation.kind = HISTORY;
                None
            }
            n => Some(&self.recent[operation.server][random.below(n)]),
        };
        let channel = &server.channels[operation.channel];
        let (method, path) = match (operation.kind, target) {
            (REACTION, Some((channel, message))) => {
                let channel = &server.channels[*channel];
                let emoji = EMOJIS[random.below(EMOJIS.len())];
                ("PUT", format!("/api/v1/channels/{channel}/messages/{message}/reactions/{emoji}"))
            }
            (POST, _) => {
                let marker = Marker { run: self.context.run, seq: self.counts.seq, at_ns: operation.at_ns };
                self.counts.seq += 1;
                post_body(&mut self.body, marker, self.args.content_len as usize);
                ("POST", format!("/api/v1/channels/{channel}/messages"))
            }
            (TYPING, _) => ("POST", format!("/api/v1/channels/{channel}/typing")),
            (PRESENCE, _) => {
                let status = STATUSES[random.below(STATUSES.len())];
                self.body.extend_from_slice(format!(r#"{{"status":"{status}"}}"#).as_bytes());
                ("PUT", "/api/v1/users/@me/presence".to_string())
            }
            _ => ("GET", format!("/api/v1/channels/{channel}/messages?limit=50")),
        };
        self.current[connection as usize] = operation;
        engine.request_as(user, connection, method, &path, &self.body);
    }

    /// The first process measures the server's CPU time over the measured seconds.
    fn measure(&mut self, engine: &mut Engine, start: u64, end: u64) {
        if self.context.index > 0 || engine.now < start {
            return;
        }
        let stretch = self.stretch.get_or_insert_with(|| Stretch::start(engine.now, &self.context));
        if engine.now >= end && !self.measured {
            self.measured = true;
            stretch.end(engine.now, &self.context, &mut engine.results);
        }
    }

    fn drain(&mut self, engine: &mut Engine, end: u64) {
        let open = self.connections - self.idle.len() + self.backlog.len();
        let over = open == 0 || engine.now > end + DRAIN_NS;
        if over && self.context.me().finished.swap(1, Release) == 0 && open > 0 {
            engine.results.error("operation: no answer within 10 s", open as u64);
        }
    }

    fn received(&mut self, engine: &Engine, text: &[u8]) {
        let (start, end) = self.window();
        let marker = Marker::find(text, &mut self.hint).filter(|m| m.run == self.context.run);
        if let Some(marker) = marker.filter(|m| (start..end).contains(&m.at_ns)) {
            self.delivery.record(engine.now.saturating_sub(marker.at_ns));
            self.counts.deliveries += 1;
            self.context.me().deliveries.store(self.counts.deliveries, Relaxed);
        }
    }
}

impl Driver for Chat<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        self.idle.push(connection);
        let operation = self.current[connection as usize];
        let (start, end) = self.window();
        match answer {
            Answer::Reply { status: 200, body, .. } => {
                if (start..end).contains(&operation.at_ns) {
                    self.latencies[operation.kind].record(engine.now.saturating_sub(operation.at_ns));
                }
                self.counts.answers += 1;
                self.context.me().answers.store(self.counts.answers, Relaxed);
                if let Some(id) = string_of(body, b"id").filter(|_| operation.kind == POST) {
                    let recent = &mut self.recent[operation.server];
                    recent.truncate(RECENT_MAX - 1);
                    recent.push_front((operation.channel, id.into()));
                }
            }
            Answer::Reply { status, .. } => count_refusal(engine, KINDS[operation.kind], status),
            Answer::Lost => {}
        }
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match event {
            Event::Dispatch { t: b"MESSAGE_CREATE", text } => self.received(engine, text),
            Event::Ready => self.opener.joined(engine, session, self.context.me()),
            Event::Closed => self.opener.closed(session, self.context.me()),
            Event::Dispatch { .. } | Event::Resumed | Event::Refused => {}
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        self.opener.turn(engine, me);
        if self.context.stopping() {
            return None;
        }
        if !self.context.running() {
            return Some(engine.now + 1_000_000);
        }
        let (start, end) = self.window();
        self.measure(engine, start, end);
        if engine.now < end {
            self.fill_backlog(engine.now);
        } else {
            self.drain(engine, end);
        }
        while let Some(&connection) = self.idle.last() {
            let Some(operation) = self.backlog.pop_front() else { break };
            self.idle.pop();
            self.send(engine, connection, operation);
        }
        let next = self.schedule.as_ref().map_or(u64::MAX, Schedule::next_ns);
        Some(if engine.now < end { next } else { u64::MAX })
    }
}
