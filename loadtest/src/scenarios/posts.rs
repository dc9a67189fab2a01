//! `posts`: a closed loop of message posts, one under way on each connection.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, Release};

use super::{count_refusal, nothing};
use crate::args::PostsArgs;
use crate::engine::{Answer, Driver, Engine, Event};
use crate::gateway::{Marker, post_body};
use crate::stats::{Latency, Results};
use crate::worker::{Context, Stretch};

/// A line that was refused pauses, so that errors do not spin.
const PAUSE_NS: u64 = 10_000_000;
/// How long answers are waited for at the end.
const DRAIN_NS: u64 = 5_000_000_000;

/// What a connection posts, and when it last did.
struct Line {
    user: u32,
    path: String,
    sent_ns: u64,
}

struct Posts<'a> {
    args: &'a PostsArgs,
    context: Context,
    lines: Vec<Line>,
    /// Lines without a request under way, and when they may post next.
    waiting: VecDeque<(u64, u32)>,
    latency: Latency,
    answers: u64,
    seq: u32,
    stretch: Option<Stretch>,
    measured: bool,
    body: Vec<u8>,
}

pub fn size(args: &PostsArgs) -> Result<(u32, u32), String> {
    Ok((0, args.connections))
}

pub fn work(args: &PostsArgs, context: Context, mut engine: Engine) -> Results {
    let share = context.share(args.connections);
    let lines = share.map(|i| line(&context, i)).collect::<Vec<_>>();
    engine.add_connections(lines.len() as u32);
    let mut posts = Posts {
        args,
        context,
        waiting: (0..lines.len() as u32).map(|line| (0, line)).collect(),
        lines,
        latency: Latency::shown(),
        answers: 0,
        seq: 0,
        stretch: None,
        measured: false,
        body: Vec::new(),
    };
    engine.run(&mut posts);
    engine.results.count("posts", posts.latency.count());
    engine.results.gauge("posts_per_s", posts.latency.count() as f64 / f64::from(args.seconds.max(1)));
    engine.results.latency("post", posts.latency);
    engine.finish()
}

/// Connection `i` belongs to server i % servers, so that load is even over servers.
fn line(context: &Context, i: u32) -> Line {
    let servers = context.servers.len();
    let server = &context.servers[i as usize % servers];
    let turn = i as usize / servers;
    let user = server.members[turn % server.members.len()];
    let channel = &server.channels[turn % server.channels.len()];
    Line { user, path: format!("/api/v1/channels/{channel}/messages"), sent_ns: 0 }
}

pub fn conclude(results: &mut Results) -> Option<String> {
    let posts = results.counter("posts");
    if let Some(cpu) = results.gauges.get("server_cpu_s").copied().filter(|_| posts > 0) {
        results.gauge("server_cpu_us_per_post", cpu * 1e6 / posts as f64);
    }
    nothing(results, "posts", "No post was accepted; see the errors above.")
}

impl Posts<'_> {
    fn window(&self) -> (u64, u64) {
        let start = self.context.run_time_ns(self.args.warmup);
        (start, self.context.run_time_ns(self.args.warmup + self.args.seconds))
    }

    fn post(&mut self, engine: &mut Engine, connection: u32) {
        let marker = Marker { run: self.context.run, seq: self.seq, at_ns: engine.now };
        self.seq += 1;
        self.body.clear();
        post_body(&mut self.body, marker, self.args.content_len as usize);
        let line = &mut self.lines[connection as usize];
        line.sent_ns = engine.now;
        engine.request_as(line.user, connection, "POST", &line.path, &self.body);
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
}

impl Driver for Posts<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        let (start, end) = self.window();
        let line = &self.lines[connection as usize];
        match answer {
            Answer::Reply { status: 200, .. } => {
                if line.sent_ns >= start && engine.now <= end {
                    self.latency.record(engine.now - line.sent_ns);
                }
                self.answers += 1;
                self.context.me().answers.store(self.answers, Relaxed);
                if engine.now < end {
                    return self.post(engine, connection);
                }
            }
            Answer::Reply { status, .. } => count_refusal(engine, "post", status),
            Answer::Lost => {}
        }
        self.waiting.push_back((engine.now + PAUSE_NS, connection));
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
        let (start, end) = self.window();
        self.measure(engine, start, end);
        if engine.now < end {
            while let Some(&(_, connection)) = self.waiting.front().filter(|(at, _)| *at <= engine.now) {
                self.waiting.pop_front();
                self.post(engine, connection);
            }
            let bound = if engine.now < start { start } else { end };
            return Some(self.waiting.front().map_or(bound, |(at, _)| bound.min(*at)));
        }
        let busy = (self.lines.len() - self.waiting.len()) as u64;
        if (busy == 0 || engine.now > end + DRAIN_NS) && me.finished.swap(1, Release) == 0 && busy > 0 {
            engine.results.error("post: no answer within 5 s", busy);
        }
        Some(u64::MAX)
    }
}
