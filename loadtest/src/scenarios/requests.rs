//! `posts` and `gets`: one kind of request, in a closed loop or at a rate.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::lanes::{DRAIN_NS, Lanes};
use super::{Window, add_cpu_per, check_answer, check_page, check_profile, count_refusal, nothing};
use crate::args::{GetsArgs, Load, PostsArgs};
use crate::engine::{Answer, Driver, Engine, Event};
use crate::marker::{Marker, post_body};
use crate::peer::Peer;
use crate::stats::{Latency, Results};
use crate::worker::Context;

/// What is asked for.
enum Kind<'a> {
    Post { content_len: usize },
    Get { paths: &'a [String] },
}

/// Who asks over a lane, and where.
struct Line {
    user: u32,
    server: usize,
    channel: usize,
    /// Which of the kind's paths is under way.
    path: usize,
    /// Number of the request under way.
    seq: u32,
}

struct Requests<'a> {
    kind: Kind<'a>,
    context: Context,
    window: Window,
    lanes: Lanes,
    lines: Vec<Line>,
    /// Per path; a post has one.
    latencies: Vec<Latency>,
    answers: u64,
    seq: u32,
    body: Vec<u8>,
}

pub fn posts_size(args: &PostsArgs) -> Result<(u32, u32), String> {
    Ok((0, args.load.connections))
}

pub fn gets_size(args: &GetsArgs) -> Result<(u32, u32), String> {
    if args.common.peer == Peer::Plain && args.paths.iter().any(|path| path.contains('{')) {
        return Err("--peer plain has no servers and channels: give --paths without {…}, such as /.".into());
    }
    let bad = |path: &&String| !path.starts_with('/') || !path.bytes().all(|b| b.is_ascii_graphic());
    match args.paths.iter().find(bad) {
        Some(path) => Err(format!("--paths: {path:?} does not begin with / or holds more than plain ASCII.")),
        None => Ok((0, args.load.connections)),
    }
}

pub fn posts_work(args: &PostsArgs, context: Context, engine: Engine) -> Results {
    let kind = Kind::Post { content_len: args.content_len as usize };
    run(kind, &args.load, args.rate, context, engine)
}

pub fn gets_work(args: &GetsArgs, context: Context, engine: Engine) -> Results {
    run(Kind::Get { paths: &args.paths }, &args.load, args.rate, context, engine)
}

fn run(kind: Kind<'_>, load: &Load, rate: Option<f64>, context: Context, mut engine: Engine) -> Results {
    let lanes = Lanes::new(&mut engine, &context, load, rate);
    let first = context.share(load.connections).start;
    let paths = match &kind {
        Kind::Post { .. } => 1,
        Kind::Get { paths } => paths.len(),
    };
    let mut requests = Requests {
        lines: (0..lanes.len() as u32).map(|i| line(&context, first + i)).collect(),
        kind,
        context,
        window: Window::new(load),
        lanes,
        latencies: vec![Latency::shown(); paths],
        answers: 0,
        seq: 0,
        body: Vec::new(),
    };
    engine.run(&mut requests);
    requests.window.finish(&mut engine, &requests.context);
    let measured_s = requests.window.measured_s(engine.now, &requests.context);
    let (name, gauge) = match requests.kind {
        Kind::Post { .. } => ("posts", "posts_per_s"),
        Kind::Get { .. } => ("gets", "gets_per_s"),
    };
    let answered: u64 = requests.latencies.iter().map(Latency::count).sum();
    engine.results.count(name, answered);
    engine.results.count("requests_unsent", requests.lanes.unsent);
    engine.results.gauge(gauge, answered as f64 / measured_s);
    for (path, latency) in requests.latencies.into_iter().enumerate() {
        match &requests.kind {
            Kind::Post { .. } => engine.results.latency("post", latency),
            Kind::Get { paths } => engine.results.latency(&paths[path], latency),
        }
    }
    engine.finish()
}

/// Connection `i` belongs to server i % servers, so that load is even over servers.
fn line(context: &Context, i: u32) -> Line {
    let servers = context.servers.len();
    let server = &context.servers[i as usize % servers];
    let turn = i as usize / servers;
    Line {
        user: server.members[turn % server.members.len()],
        server: i as usize % servers,
        channel: turn % server.channels.len(),
        path: 0,
        seq: 0,
    }
}

pub fn posts_conclude(results: &mut Results) -> Option<String> {
    add_cpu_per(results, "posts", "server_cpu_us_per_post");
    behind(results).or_else(|| nothing(results, "posts", "No post was accepted; see the errors above."))
}

pub fn gets_conclude(results: &mut Results) -> Option<String> {
    add_cpu_per(results, "gets", "server_cpu_us_per_get");
    behind(results).or_else(|| nothing(results, "gets", "No request succeeded; see the errors above."))
}

fn behind(results: &Results) -> Option<String> {
    (results.counter("requests_unsent") > 0)
        .then(|| "The server fell behind the rate by more than 10 s; take a lower --rate.".into())
}

impl Requests<'_> {
    fn send(&mut self, engine: &mut Engine, lane: u32, due_ns: u64) {
        self.body.clear();
        let line = &mut self.lines[lane as usize];
        let server = &self.context.servers[line.server];
        let channel = &server.channels[line.channel];
        line.seq = self.seq;
        match &self.kind {
            Kind::Post { content_len } => {
                let marker = Marker { run: self.context.run, seq: self.seq, at_ns: due_ns };
                post_body(&mut self.body, marker, *content_len);
                let path = format!("/api/v1/channels/{channel}/messages");
                engine.request_as(line.user, lane, "POST", &path, &self.body);
            }
            Kind::Get { paths } => {
                line.path = self.seq as usize % paths.len();
                let path = paths[line.path].replace("{channel}", channel).replace("{server}", &server.id);
                let path = format!("{}{path}", engine.settings.peer.api_prefix());
                engine.request_as(line.user, lane, "GET", &path, b"");
            }
        }
        self.seq = self.seq.wrapping_add(1);
    }

    /// Whether an answer holds what was asked for.
    fn check(&self, engine: &mut Engine, lane: u32, body: &[u8]) {
        let line = &self.lines[lane as usize];
        match &self.kind {
            Kind::Post { .. } => check_answer(engine, body, self.context.run, line.seq),
            Kind::Get { .. } if engine.settings.peer == Peer::Plain => {}
            Kind::Get { paths } if paths[line.path] == "/users/@me" => {
                check_profile(engine, body, &self.context.ids[line.user as usize]);
            }
            Kind::Get { .. } => check_page(engine, body),
        }
    }

    /// Sends what is due. After the end only what was due before it.
    fn send_due(&mut self, engine: &mut Engine) {
        let (_, end) = self.window.bounds(&self.context);
        if engine.now >= end && self.lanes.is_closed_loop() {
            return;
        }
        self.lanes.fill(engine.now, end, &mut self.context);
        while let Some((lane, due_ns)) = self.lanes.next(engine.now) {
            self.send(engine, lane, due_ns);
        }
    }
}

impl Driver for Requests<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        let (start, end) = self.window.bounds(&self.context);
        let ok = matches!(answer, Answer::Reply { status: 200, .. });
        let due_ns = self.lanes.answered(connection, engine.now, ok);
        // In a closed loop what ends after the end would have been answered later at any other end, too.
        let counts = (start..end).contains(&due_ns) && (engine.now <= end || !self.lanes.is_closed_loop());
        if let Answer::Reply { status: 200, body, .. } = answer {
            self.check(engine, connection, body);
        }
        if ok {
            if counts {
                let path = self.lines[connection as usize].path;
                self.latencies[path].record(engine.now.saturating_sub(due_ns));
            }
            self.answers += 1;
            self.context.me().answers.store(self.answers, Relaxed);
        } else if let Answer::Reply { status, .. } = answer {
            let what = if matches!(self.kind, Kind::Post { .. }) { "post" } else { "get" };
            count_refusal(engine, what, status);
        }
        self.send_due(engine);
    }

    fn session(&mut self, _: &mut Engine, _: u32, _: Event<'_>) {}

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        let me = self.context.me();
        me.opened.store(1, Release);
        if self.context.stopping() {
            return None;
        }
        if !self.context.running() {
            return Some(engine.now + 1_000_000);
        }
        self.window.measure(engine, &self.context);
        self.send_due(engine);
        let (start, end) = self.window.bounds(&self.context);
        if engine.now < end {
            let bound = if engine.now < start { start } else { end };
            return Some(self.lanes.next_ns().min(bound));
        }
        let open = self.lanes.open() as u64;
        let over = open == 0 || engine.now > end + DRAIN_NS;
        if over && me.finished.swap(1, Release) == 0 && open > 0 {
            engine.results.error("request: no answer within 10 s", open);
        }
        Some(u64::MAX)
    }
}
