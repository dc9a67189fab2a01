//! Posts to one server at a rate, whose fate all processes know. Only the first process has one.

use std::sync::atomic::Ordering::{Relaxed, Release};

use super::{check_answer, count_refusal, fate};
use crate::dataset::Server;
use crate::engine::{Answer, Engine};
use crate::marker::{Marker, post_body};
use crate::schedule::{Arrivals, Schedule};
use crate::shared::{FATES, Fate};
use crate::stats::Latency;
use crate::worker::Context;

/// How long answers to posts are waited for at the end.
const DRAIN_NS: u64 = 10_000_000_000;
/// Connections that post.
pub const CONNECTIONS: u32 = 16;

pub struct Poster {
    path: String,
    members: Vec<u32>,
    rate: f64,
    content_len: usize,
    schedule: Option<Schedule>,
    idle: Vec<u32>,
    /// What each connection posted last: number, and when it was due.
    current: Vec<(u32, u64)>,
    next_seq: u32,
    stored: u64,
    post: Latency,
}

/// Whether the fates of so many posts can be remembered.
pub fn check(rate: f64, seconds: f64) -> Result<(), String> {
    match rate * seconds < FATES as f64 {
        true => Ok(()),
        false => Err(format!(
            "{rate} posts per second for {seconds} s are more than {FATES}; take a lower --rate or fewer seconds."
        )),
    }
}

impl Poster {
    /// The first process's poster to the first channel of `server`; `None` in the others.
    pub fn new(
        engine: &mut Engine,
        context: &Context,
        server: &Server,
        rate: f64,
        content_len: u32,
    ) -> Option<Poster> {
        (context.index == 0).then(|| Poster {
            path: format!("/api/v1/channels/{}/messages", server.channels[0]),
            members: server.members.clone(),
            rate,
            content_len: content_len as usize,
            schedule: None,
            idle: engine.add_connections(CONNECTIONS).collect(),
            current: vec![(0, 0); CONNECTIONS as usize],
            next_seq: 0,
            stored: 0,
            post: Latency::new(),
        })
    }

    /// Posts what is due before `end`; afterwards waits for answers and then says that posting is done.
    pub fn turn(&mut self, end: u64, context: &mut Context, engine: &mut Engine) {
        let start = context.run_time_ns(0);
        let (rate, random) = (self.rate, &mut context.random);
        let schedule =
            self.schedule.get_or_insert_with(|| Schedule::new(start, rate, Arrivals::Even, random));
        while let Some(&connection) = self.idle.last() {
            if schedule.next_ns() >= end || self.next_seq as usize >= FATES {
                break;
            }
            let Some(due_ns) = schedule.due(engine.now, random) else { return };
            self.idle.pop();
            let seq = self.next_seq;
            self.next_seq += 1;
            context.shared.set_fate(seq, Fate::Unknown);
            context.shared.posted.store(self.next_seq, Release);
            self.current[connection as usize] = (seq, due_ns);
            let mut body = Vec::with_capacity(self.content_len + 16);
            let marker = Marker { run: context.run, seq, at_ns: due_ns };
            post_body(&mut body, marker, self.content_len);
            let author = self.members[seq as usize % self.members.len()];
            engine.request_as(author, connection, "POST", &self.path, &body);
        }
        let answered = self.idle.len() == self.current.len();
        if engine.now >= end && (answered || engine.now > end + DRAIN_NS) {
            context.shared.posting_done.store(1, Release);
        }
    }

    pub fn answered(&mut self, context: &Context, engine: &mut Engine, connection: u32, answer: &Answer<'_>) {
        self.idle.push(connection);
        let (seq, due_ns) = self.current[connection as usize];
        context.shared.set_fate(seq, fate(answer));
        match *answer {
            Answer::Reply { status: 200, body, .. } => {
                check_answer(engine, body, context.run, seq);
                self.stored += 1;
                context.me().answers.store(self.stored, Relaxed);
                self.post.record(engine.now.saturating_sub(due_ns));
            }
            Answer::Reply { status, .. } => count_refusal(engine, "post", status),
            Answer::Lost => {}
        }
    }

    /// When the next post is due.
    pub fn next_ns(&self) -> u64 {
        self.schedule.as_ref().map_or(u64::MAX, Schedule::next_ns)
    }

    pub fn report(self, engine: &mut Engine) {
        engine.results.count("messages_stored", self.stored);
        engine.results.latency("post", self.post);
    }
}
