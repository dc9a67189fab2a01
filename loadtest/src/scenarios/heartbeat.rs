//! `heartbeat`: idle sessions whose heartbeats are timed while the server is busy with something that is none of
//! their business: logins, or reads of old history.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::lanes::{DRAIN_NS, Lanes};
use super::{Window, check_page, count_refusal, nothing};
use crate::args::{During, HeartbeatArgs};
use crate::dataset::Dataset;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::gateway::{elements, string_of};
use crate::stats::{Latency, Results, quote};
use crate::worker::{Context, Opener};

/// Messages of a history page: the most that may be asked for.
const PAGE_LEN: usize = 100;

/// Where a reader of history is.
struct Reader {
    server: usize,
    channel: usize,
    /// Id of the last message read; 0: none.
    after: u64,
}

struct Heartbeat<'a> {
    args: &'a HeartbeatArgs,
    context: Context,
    opener: Opener,
    window: Window,
    /// What goes on meanwhile, if anything does.
    lanes: Option<Lanes>,
    readers: Vec<Reader>,
    logins: u32,
    answers: u64,
    measured: u64,
    messages: u64,
    background: Latency,
    /// Those before the window are thrown away, those of it are kept here.
    beats: Option<Latency>,
    begun: bool,
}

pub fn size(args: &HeartbeatArgs, data: &Dataset) -> Result<(u32, u32), String> {
    if args.during == During::LoginStorm {
        if args.sessions as usize >= data.users.len() {
            return Err(format!(
                "{} sessions leave none of the {} users to log in (a login may end the user's other logins); take \
                 fewer --sessions.",
                args.sessions,
                data.users.len()
            ));
        }
        if data.password.is_empty() || data.users.iter().any(|u| u.name.is_empty()) {
            return Err("The seed knows no names and passwords to log in with; seed again.".into());
        }
    }
    Ok((args.sessions, if args.during == During::None { 0 } else { args.load.connections }))
}

pub fn work(args: &HeartbeatArgs, context: Context, mut engine: Engine) -> Results {
    engine.settings.beat_ms = args.beat_ms;
    let lanes =
        (args.during != During::None).then(|| Lanes::new(&mut engine, &context, &args.load, args.rate));
    let users = context.share(args.sessions).map(|i| i % context.users);
    let opener = Opener::new(&mut engine, &context, users, args.common.concurrency);
    let first = context.share(args.load.connections).start as usize;
    let readers = (0..lanes.as_ref().map_or(0, Lanes::len))
        .map(|i| Reader { server: (first + i) % context.servers.len(), channel: 0, after: 0 })
        .collect();
    let mut heartbeat = Heartbeat {
        args,
        opener,
        window: Window::new(&args.load),
        lanes,
        readers,
        logins: context.index,
        context,
        answers: 0,
        measured: 0,
        messages: 0,
        background: Latency::new(),
        beats: None,
        begun: false,
    };
    engine.run(&mut heartbeat);
    heartbeat.window.finish(&mut engine, &heartbeat.context);
    heartbeat.report(&mut engine);
    engine.finish()
}

pub fn conclude(args: &HeartbeatArgs, results: &mut Results) -> Option<String> {
    let beats = results.latencies.get("heartbeat");
    let Some(p99_ms) = beats.map(|beats| beats.at(99.0) as f64 / 1e6) else {
        return Some("No heartbeat was acknowledged; take more --seconds or a shorter --beat-ms.".into());
    };
    if args.during != During::None
        && let Some(why) = nothing(results, "requests", "No request succeeded; see the errors above.")
    {
        return Some(why);
    }
    match args.p99_max_ms {
        Some(max) if p99_ms > max => Some(format!(
            "The 99th percentile of the heartbeats is {p99_ms:.2} ms, above --p99-max-ms {max}."
        )),
        _ => None,
    }
}

impl Heartbeat<'_> {
    fn send_due(&mut self, engine: &mut Engine) {
        let (_, end) = self.window.bounds(&self.context);
        let Some(lanes) = self.lanes.as_mut().filter(|_| engine.now < end) else { return };
        lanes.fill(engine.now, end, &mut self.context);
        while let Some((lane, _)) = lanes.next(engine.now) {
            match self.args.during {
                During::HistoryScan => {
                    let reader = &self.readers[lane as usize];
                    let server = &self.context.servers[reader.server];
                    let path = format!(
                        "/api/v1/channels/{}/messages?limit={PAGE_LEN}&after={}",
                        server.channels[reader.channel], reader.after
                    );
                    engine.request_as(server.owner, lane, "GET", &path, b"");
                }
                During::LoginStorm | During::None => {
                    let spare = self.context.users - self.args.sessions;
                    let user = self.args.sessions + self.logins % spare;
                    self.logins = self.logins.wrapping_add(self.context.count);
                    let body = format!(
                        r#"{{"username":{},"password":{}}}"#,
                        quote(&self.context.names[user as usize]),
                        quote(&self.context.password)
                    );
                    engine.request(lane, "POST", "/api/v1/auth/login", "", body.as_bytes());
                }
            }
        }
    }

    /// Goes on after a page; a short one is the last of its channel.
    fn read(&mut self, lane: u32, page: &[u8]) {
        let (count, last) = elements(page);
        self.messages += count as u64;
        let reader = &mut self.readers[lane as usize];
        let id = last.and_then(|message| string_of(message, b"id")).and_then(|id| id.parse().ok());
        if let Some(id) = id.filter(|_| count == PAGE_LEN) {
            reader.after = id;
            return;
        }
        reader.after = 0;
        reader.channel += 1;
        if reader.channel == self.context.servers[reader.server].channels.len() {
            reader.channel = 0;
            reader.server = (reader.server + 1) % self.context.servers.len();
        }
    }

    /// Keeps the heartbeats of the measured seconds apart from the others.
    fn separate(&mut self, engine: &mut Engine) {
        let (start, end) = self.window.bounds(&self.context);
        if engine.now >= start && !self.begun {
            self.begun = true;
            engine.heartbeat = Latency::shown();
        }
        if engine.now >= end && self.beats.is_none() {
            self.beats = Some(std::mem::replace(&mut engine.heartbeat, Latency::new()));
        }
    }

    fn report(self, engine: &mut Engine) {
        self.opener.report(&mut engine.results);
        if let Some(beats) = self.beats {
            engine.heartbeat = beats;
        }
        let measured_s = self.window.measured_s(engine.now, &self.context);
        let results = &mut engine.results;
        let Some(lanes) = self.lanes else { return };
        results.count("requests", self.measured);
        results.count("requests_unsent", lanes.unsent);
        results.gauge("requests_per_s", self.measured as f64 / measured_s);
        let name = match self.args.during {
            During::HistoryScan => {
                results.count("messages_read", self.messages);
                "history_page"
            }
            During::LoginStorm | During::None => "login",
        };
        results.latency(name, self.background);
    }
}

impl Driver for Heartbeat<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        let (start, end) = self.window.bounds(&self.context);
        let ok = matches!(answer, Answer::Reply { status: 200, .. });
        let Some(lanes) = &mut self.lanes else { return };
        let due_ns = lanes.answered(connection, engine.now, ok);
        match answer {
            Answer::Reply { status: 200, body, .. } => {
                if (start..end).contains(&due_ns) {
                    self.background.record(engine.now.saturating_sub(due_ns));
                    self.measured += 1;
                }
                self.answers += 1;
                self.context.me().answers.store(self.answers, Relaxed);
                if self.args.during == During::HistoryScan {
                    check_page(engine, body);
                    self.read(connection, body);
                }
            }
            Answer::Reply { status, .. } => count_refusal(engine, "request", status),
            Answer::Lost => {}
        }
        self.send_due(engine);
    }

    fn session(&mut self, engine: &mut Engine, session: u32, event: Event<'_>) {
        match event {
            Event::Ready => self.opener.joined(engine, session, self.context.me()),
            Event::Closed(_) => self.opener.closed(session, self.context.me()),
            Event::Dispatch { .. } | Event::Acknowledged(_) | Event::Resumed | Event::Refused => {}
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
        self.separate(engine);
        self.send_due(engine);
        let (_, end) = self.window.bounds(&self.context);
        if engine.now < end {
            return Some(self.lanes.as_ref().map_or(end, Lanes::next_ns).min(end));
        }
        let busy = self.lanes.as_ref().map_or(0, Lanes::busy);
        if busy == 0 || engine.now > end + DRAIN_NS {
            me.finished.store(1, Release);
        }
        Some(engine.now + 1_000_000)
    }
}
