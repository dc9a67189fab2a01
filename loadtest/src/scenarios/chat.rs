//! `chat`: an open-loop mix of what people do, at a fixed rate.
//!
//! Every operation has a time at which it is due, whether or not earlier ones were answered, and its
//! latency counts from that time: a server that stalls is charged for everyone who waited.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::tally::Tally;
use super::{Window, add_cpu_per, check_answer, check_page, check_profile, count_refusal, fate, nothing};
use crate::args::ChatArgs;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::gateway::{presence, string_of};
use crate::marker::{Marker, post_body};
use crate::schedule::{Schedule, Zipf, weighted};
use crate::stats::{Latency, Results};
use crate::worker::{Context, Opener};

/// Operations in the order of --mix.
const KINDS: [&str; 7] = ["post", "history", "typing", "reaction", "presence", "unreaction", "me"];
const POST: usize = 0;
const HISTORY: usize = 1;
const TYPING: usize = 2;
const REACTION: usize = 3;
const PRESENCE: usize = 4;
const UNREACTION: usize = 5;
const ME: usize = 6;
/// Sessions that are asked for a free one when a presence update is due.
const TRIES_MAX: usize = 8;

/// 👍 ❤ 😂 🎉 👀, percent-encoded.
const EMOJIS: [&str; 5] =
    ["%F0%9F%91%8D", "%E2%9D%A4%EF%B8%8F", "%F0%9F%98%82", "%F0%9F%8E%89", "%F0%9F%91%80"];
const STATUSES: [&str; 3] = ["online", "idle", "dnd"];

/// Messages of a server that may get reactions, and reactions that may be taken back.
const RECENT_MAX: usize = 16;
/// Operations waiting for a free connection, in seconds of the rate; beyond, the server has lost the race.
const BACKLOG_S: f64 = 10.0;
const DRAIN_NS: u64 = 10_000_000_000;
/// What sessions lack after this long without any delivery never comes.
const STALL_NS: u64 = 5_000_000_000;
/// Looking at all servers of all sessions takes its time.
const CHECK_INTERVAL_NS: u64 = 50_000_000;

#[derive(Clone, Copy, Default)]
struct Operation {
    kind: usize,
    server: usize,
    channel: usize,
    /// When it was due.
    at_ns: u64,
    user: u32,
    /// Number of a post.
    seq: u32,
}

/// A reaction that somebody made: user, channel index, message id, emoji.
type Reaction = (u32, usize, Box<str>, &'static str);

struct Chat<'a> {
    args: &'a ChatArgs,
    weights: [u32; KINDS.len()],
    window: Window,
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
    reactions: Vec<VecDeque<Reaction>>,
    latencies: [Latency; KINDS.len()],
    /// Presence updates that went through a session.
    presence_gateway: Latency,
    delivery: Latency,
    counts: Counts,
    tally: Tally,
    catch_up: CatchUp,
    /// The heartbeats are those of the measured seconds.
    beating: bool,
    body: Vec<u8>,
}

/// After the last answer: until every session has every post, but not for ever.
#[derive(Default)]
struct CatchUp {
    /// Everything of this process was answered, or given up.
    begun: bool,
    checked_ns: u64,
    /// Deliveries at the last look, and when there were fewer.
    deliveries: u64,
    moved_ns: u64,
}

#[derive(Default)]
struct Counts {
    answers: u64,
    deliveries: u64,
    /// Those before and after the measured seconds too.
    received: u64,
    unsent: u64,
}

pub fn size(args: &ChatArgs) -> Result<(u32, u32), String> {
    parse_mix(&args.mix)?;
    if !(0.0..=10.0).contains(&args.zipf) {
        return Err("--zipf must be 0 to 10.".into());
    }
    Ok((args.sessions, args.load.connections))
}

/// Weights by kind: `post=3,me=1`, or numbers in the order of [`KINDS`], of which later ones may be left out.
fn parse_mix(mix: &str) -> Result<[u32; KINDS.len()], String> {
    let problem = || {
        format!("--mix {mix}: give kind=weight,… or up to {} weights, of {}.", KINDS.len(), KINDS.join(","))
    };
    let mut weights = [0; KINDS.len()];
    for (i, part) in mix.split(',').enumerate() {
        let (kind, weight) = match part.split_once('=') {
            Some((name, weight)) => (KINDS.iter().position(|kind| *kind == name), weight),
            None => (Some(i), part),
        };
        let weight = weight.parse().ok().filter(|weight| *weight <= 1_000_000).ok_or_else(problem)?;
        *kind.and_then(|kind| weights.get_mut(kind)).ok_or_else(problem)? = weight;
    }
    if weights.iter().sum::<u32>() == 0 {
        return Err(problem());
    }
    Ok(weights)
}

pub fn work(args: &ChatArgs, mut context: Context, mut engine: Engine) -> Results {
    engine.settings.beat_ms = args.beat_ms.unwrap_or(0);
    let users: Vec<u32> = context.share(args.sessions).map(|i| i % context.users).collect();
    let opener = Opener::new(&mut engine, &context, users.iter().copied(), args.common.concurrency);
    let connections = context.share(args.load.connections).len().max(1);
    // Rank and position differ: otherwise the busiest servers would all have the earliest owners.
    shuffle(&mut context);
    let tally = Tally::new(&engine, &context, &users);
    let mut chat = Chat {
        args,
        // Checked by `size`.
        weights: parse_mix(&args.mix).unwrap_or([1; KINDS.len()]),
        window: Window::new(&args.load),
        opener,
        schedule: None,
        zipf: Zipf::new(context.servers.len(), args.zipf),
        idle: engine.add_connections(connections as u32).collect(),
        connections,
        current: vec![Operation::default(); connections],
        backlog: VecDeque::new(),
        recent: vec![VecDeque::new(); context.servers.len()],
        reactions: vec![VecDeque::new(); context.servers.len()],
        latencies: std::array::from_fn(|_| Latency::shown()),
        presence_gateway: Latency::new(),
        delivery: Latency::new(),
        counts: Counts::default(),
        tally,
        catch_up: CatchUp::default(),
        beating: false,
        body: Vec::new(),
        context,
    };
    engine.run(&mut chat);
    chat.window.finish(&mut engine, &chat.context);
    let measured_s = chat.window.measured_s(engine.now, &chat.context);
    let results = &mut engine.results;
    chat.tally.report(&chat.context, results);
    chat.opener.report(results);
    let requests: u64 = chat.latencies.iter().map(Latency::count).sum();
    let answered = requests + chat.presence_gateway.count();
    results.count("operations", answered);
    results.count("operations_unsent", chat.counts.unsent);
    results.count("deliveries", chat.counts.deliveries);
    results.gauge("operations_per_s", answered as f64 / measured_s);
    for (name, latency) in KINDS.into_iter().zip(chat.latencies) {
        results.latency(name, latency);
    }
    results.latency("presence_gateway", chat.presence_gateway);
    results.latency("delivery", chat.delivery);
    engine.finish()
}

/// The same order in every process, so that ranks agree.
fn shuffle(context: &mut Context) {
    crate::schedule::Random::new(u64::from(context.run)).shuffle(&mut context.servers);
}

pub fn conclude(results: &mut Results) -> Option<String> {
    add_cpu_per(results, "operations", "server_cpu_us_per_operation");
    if results.counter("operations_unsent") > 0 {
        return Some("The server fell behind the rate by more than 10 s; take a lower --rate.".into());
    }
    nothing(results, "operations", "No operation succeeded; see the errors above.")
}

impl Chat<'_> {
    /// Turns due times before `end` into operations, also when this process comes to it later.
    fn fill_backlog(&mut self, now: u64, end: u64) {
        let random = &mut self.context.random;
        let rate = self.args.rate / f64::from(self.context.count);
        let start = self.context.shared.run_start_ns.load(Relaxed);
        let schedule =
            self.schedule.get_or_insert_with(|| Schedule::new(start, rate, self.args.load.arrivals, random));
        while let Some(at_ns) = schedule.due(now.min(end - 1), random) {
            if self.backlog.len() as f64 > rate * BACKLOG_S + 100.0 {
                self.counts.unsent += 1;
                continue;
            }
            let server = self.zipf.pick(random);
            let channel = random.below(self.context.servers[server].channels.len());
            let kind = weighted(&self.weights, random);
            self.backlog.push_back(Operation { kind, server, channel, at_ns, ..Operation::default() });
        }
    }

    /// Sends what waits. Presence updates need no connection of their own when there are sessions.
    fn send_due(&mut self, engine: &mut Engine) {
        while let Some(&operation) = self.backlog.front() {
            if operation.kind == PRESENCE && self.presence(engine, operation.at_ns) {
                self.backlog.pop_front();
                continue;
            }
            let Some(connection) = self.idle.pop() else { return };
            self.backlog.pop_front();
            self.send(engine, connection, operation);
        }
    }

    fn send(&mut self, engine: &mut Engine, connection: u32, mut operation: Operation) {
        let random = &mut self.context.random;
        let server = &self.context.servers[operation.server];
        let mut user = server.members[random.below(server.members.len())];
        self.body.clear();
        let channel = &server.channels[operation.channel];
        let recent = &self.recent[operation.server];
        let (method, path) = match operation.kind {
            REACTION if !recent.is_empty() => {
                let (channel, message) = &recent[random.below(recent.len())];
                let emoji = EMOJIS[random.below(EMOJIS.len())];
                let made = &mut self.reactions[operation.server];
                made.truncate(RECENT_MAX - 1);
                made.push_front((user, *channel, message.clone(), emoji));
                ("PUT", reaction_path(&server.channels[*channel], message, emoji))
            }
            UNREACTION if !self.reactions[operation.server].is_empty() => {
                let made = self.reactions[operation.server].pop_back();
                let (who, channel, message, emoji) = made.expect("not empty");
                user = who;
                ("DELETE", reaction_path(&server.channels[channel], &message, emoji))
            }
            POST => {
                operation.seq = self.context.shared.send_post(operation.server as u32);
                let marker = Marker { run: self.context.run, seq: operation.seq, at_ns: operation.at_ns };
                post_body(&mut self.body, marker, self.args.content_len as usize);
                ("POST", format!("/api/v1/channels/{channel}/messages"))
            }
            TYPING => ("POST", format!("/api/v1/channels/{channel}/typing")),
            PRESENCE => {
                let status = STATUSES[random.below(STATUSES.len())];
                self.body.extend_from_slice(format!(r#"{{"status":"{status}"}}"#).as_bytes());
                ("PUT", "/api/v1/users/@me/presence".to_string())
            }
            ME => ("GET", "/api/v1/users/@me".to_string()),
            // A read, or a reaction where there is nothing to react to or to take back yet.
            _ => {
                operation.kind = HISTORY;
                ("GET", format!("/api/v1/channels/{channel}/messages?limit=50"))
            }
        };
        operation.user = user;
        self.current[connection as usize] = operation;
        engine.request_as(user, connection, method, &path, &self.body);
    }

    /// Updates the presence through a session that waits for nothing. False when none was found.
    fn presence(&mut self, engine: &mut Engine, at_ns: u64) -> bool {
        let sessions = self.context.share(self.args.sessions).len();
        let random = &mut self.context.random;
        self.body.clear();
        presence(&mut self.body, STATUSES[random.below(STATUSES.len())]);
        let tries = if sessions > 0 { TRIES_MAX } else { 0 };
        (0..tries).any(|_| engine.probe(random.below(sessions) as u32, at_ns, &self.body))
    }

    /// Whether an answer holds what was asked for.
    fn check(&self, engine: &mut Engine, operation: Operation, body: &[u8]) {
        match operation.kind {
            POST => check_answer(engine, body, self.context.run, operation.seq),
            HISTORY => check_page(engine, body),
            ME => check_profile(engine, body, &self.context.ids[operation.user as usize]),
            _ => {}
        }
    }

    fn drain(&mut self, engine: &mut Engine, end: u64) {
        let open = self.connections - self.idle.len() + self.backlog.len();
        let over = open == 0 || engine.now > end + DRAIN_NS;
        if over && !self.catch_up.begun {
            (self.catch_up.begun, self.catch_up.moved_ns) = (true, engine.now);
            self.context.shared.posting_done.fetch_add(1, AcqRel);
            if open > 0 {
                engine.results.error("operation: no answer within 10 s", open as u64);
            }
        }
        if self.catch_up.begun && self.caught_up(engine.now) {
            self.context.me().finished.store(1, Release);
        }
    }

    /// Whether all processes have posted, and all sessions of this one have what there is or do not get it any more.
    fn caught_up(&mut self, now: u64) -> bool {
        let CatchUp { checked_ns, deliveries, moved_ns, .. } = &mut self.catch_up;
        if std::mem::replace(deliveries, self.counts.received) != self.counts.received {
            *moved_ns = now;
        }
        let posted = self.context.shared.posting_done.load(Acquire) == self.context.count;
        if !posted || now < *checked_ns + CHECK_INTERVAL_NS {
            return false;
        }
        *checked_ns = now;
        now > *moved_ns + STALL_NS || self.tally.is_complete(&self.context)
    }

    fn received(&mut self, engine: &Engine, session: u32, text: &[u8]) {
        let (start, end) = self.window.bounds(&self.context);
        self.counts.received += 1;
        let marker = self.tally.received(&self.context, session, text);
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
        let (start, end) = self.window.bounds(&self.context);
        if operation.kind == POST {
            self.context.shared.settle_post(operation.server as u32, fate(&answer));
        }
        match answer {
            Answer::Reply { status: 200, body, .. } => {
                self.check(engine, operation, body);
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
        self.send_due(engine);
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match event {
            Event::Dispatch { t: b"MESSAGE_CREATE", text } => self.received(engine, session, text),
            Event::Ready => {
                self.tally.begin(session);
                self.opener.joined(engine, session, self.context.me());
            }
            Event::Closed(_) => {
                self.tally.end(session);
                self.opener.closed(session, self.context.me());
            }
            Event::Acknowledged(due_ns) => {
                let (start, end) = self.window.bounds(&self.context);
                if (start..end).contains(&due_ns) {
                    self.presence_gateway.record(engine.now.saturating_sub(due_ns));
                }
            }
            Event::Dispatch { .. } | Event::Resumed | Event::Refused => {}
        }
    }

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        self.opener.turn(engine, me, &mut self.context.random);
        if self.context.stopping() {
            return None;
        }
        if !self.context.running() {
            return Some(engine.now + 1_000_000);
        }
        self.window.measure(engine, &self.context);
        let (start, end) = self.window.bounds(&self.context);
        // Beats from before, when everybody came at once, are not what is measured.
        if engine.now >= start && !std::mem::replace(&mut self.beating, true) {
            engine.heartbeat = Latency::new();
        }
        self.fill_backlog(engine.now, end);
        if engine.now >= end {
            self.drain(engine, end);
        }
        self.send_due(engine);
        let next = self.schedule.as_ref().map_or(u64::MAX, Schedule::next_ns);
        Some(if engine.now < end { next } else { engine.now + CHECK_INTERVAL_NS })
    }
}

fn reaction_path(channel: &str, message: &str, emoji: &str) -> String {
    format!("/api/v1/channels/{channel}/messages/{message}/reactions/{emoji}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixes() {
        for (mix, want) in [
            ("1,2,3,4,5,6,7", Some([1, 2, 3, 4, 5, 6, 7])),
            ("30,30,20,15,5", Some([30, 30, 20, 15, 5, 0, 0])),
            ("me=2,post=1", Some([1, 0, 0, 0, 0, 0, 2])),
            ("0,0", None),
            ("1,2,3,4,5,6,7,8", None),
            ("post=-1", None),
            ("dance=1", None),
            ("", None),
        ] {
            assert_eq!(parse_mix(mix).ok(), want, "{mix}");
        }
    }
}
