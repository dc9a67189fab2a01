//! What can be measured. Each scenario says how large it is (`size`), does a process's share (`work`),
//! and judges the whole (`conclude`).

pub mod chat;
pub mod connect_storm;
pub mod fanout;
pub mod heartbeat;
pub mod idle;
pub mod requests;
pub mod resume;
pub mod resume_storm;
pub mod slow_readers;

pub mod faults;
mod followers;
mod lanes;
mod poster;
mod tally;
mod track;
mod trend;

use crate::args::{Audience, Load};
use crate::dataset::{Dataset, Server};
use crate::engine::{Answer, Engine};
use crate::gateway::string_of;
use crate::marker::Marker;
use crate::shared::Fate;
use crate::stats::Results;
use crate::worker::{Context, Stretch};

/// Live sessions a user may have by default; a further one closes the oldest.
const SESSIONS_PER_USER: u32 = 5;

/// The server that --server names.
fn server(data: &Dataset, index: usize) -> Result<&Server, String> {
    let count = data.servers.len();
    data.servers.get(index).ok_or_else(|| format!("--server {index}: only 0 to {} were seeded.", count - 1))
}

/// Sessions that an audience asks for, over all processes.
fn audience_len(audience: &Audience, data: &Dataset) -> Result<u32, String> {
    let members = server(data, audience.server)?.members.len() as u32;
    let sessions = audience.sessions.unwrap_or(members);
    if sessions > members.saturating_mul(SESSIONS_PER_USER) {
        return Err(format!(
            "Server {} has {members} members, enough for {} sessions; seed with more --members-per-server.",
            audience.server,
            members * SESSIONS_PER_USER
        ));
    }
    Ok(sessions)
}

/// The users of this process's share of an audience, one per session.
fn audience_users(audience: &Audience, context: &Context) -> Vec<u32> {
    let members = &context.servers[audience.server].members;
    let sessions = audience.sessions.unwrap_or(members.len() as u32);
    context.share(sessions).map(|i| members[i as usize % members.len()]).collect()
}

/// Counts a refused request under its status.
fn count_refusal(engine: &mut Engine, what: &str, status: u16) {
    engine.results.error(&format!("{what}: HTTP {status}"), 1);
}

/// What an answer says of a post. A refusal promises that nothing was stored; a server error promises nothing.
fn fate(answer: &Answer<'_>) -> Fate {
    match answer {
        Answer::Reply { status: 200, .. } => Fate::Stored,
        Answer::Reply { status: ..500, .. } => Fate::None,
        Answer::Reply { .. } | Answer::Lost => Fate::Unknown,
    }
}

/// The answer to a post holds the message as it was sent.
fn check_answer(engine: &mut Engine, body: &[u8], run: u32, seq: u32) {
    let found = Marker::find(body, &mut 0);
    if !found.is_some_and(|found| found.whole && found.marker.run == run && found.marker.seq == seq) {
        engine.results.error(faults::WRONG_ANSWERS, 1);
    }
}

/// A page of messages holds them as they were sent, those of other runs too.
fn check_page(engine: &mut Engine, page: &[u8]) {
    let altered = Marker::all(page).filter(|found| !found.whole).count() as u64;
    if altered > 0 {
        engine.results.error(faults::WRONG_ANSWERS, altered);
    }
}

/// The own profile is that of who asked.
fn check_profile(engine: &mut Engine, body: &[u8], id: &str) {
    if string_of(body, b"id") != Some(id) {
        engine.results.error(faults::WRONG_ANSWERS, 1);
    }
}

/// A sentence when a scenario measured nothing at all.
fn nothing(results: &Results, counter: &str, sentence: &str) -> Option<String> {
    (results.counter(counter) == 0).then(|| sentence.to_string())
}

/// Adds the server's CPU time per measured thing, in microseconds.
fn add_cpu_per(results: &mut Results, counter: &str, gauge: &str) {
    let n = results.counter(counter);
    if let Some(cpu) = results.gauges.get("server_cpu_s").copied().filter(|_| n > 0) {
        results.gauge(gauge, cpu * 1e6 / n as f64);
    }
}

/// The measured seconds of a run. The first process takes the server's CPU time over them.
struct Window {
    warmup_s: u32,
    seconds: u32,
    stretch: Option<Stretch>,
    ended: bool,
}

impl Window {
    fn new(load: &Load) -> Window {
        Window { warmup_s: load.warmup, seconds: load.seconds, stretch: None, ended: false }
    }

    /// Start and end. Only known once the run has begun.
    fn bounds(&self, context: &Context) -> (u64, u64) {
        (context.run_time_ns(self.warmup_s), context.run_time_ns(self.warmup_s + self.seconds))
    }

    /// How many of them have passed: all, unless the run was broken off.
    fn measured_s(&self, now: u64, context: &Context) -> f64 {
        let (start, end) = self.bounds(context);
        now.clamp(start, end).saturating_sub(start).max(1) as f64 / 1e9
    }

    /// Takes the CPU time of a run that was broken off.
    fn finish(&mut self, engine: &mut Engine, context: &Context) {
        if let (Some(stretch), false) = (&self.stretch, self.ended) {
            stretch.end(engine.now, context, &mut engine.results);
        }
        self.ended = true;
    }

    fn measure(&mut self, engine: &mut Engine, context: &Context) {
        let (start, end) = self.bounds(context);
        if context.index > 0 || engine.now < start || self.ended {
            return;
        }
        let stretch = self.stretch.get_or_insert_with(|| Stretch::start(engine.now, context));
        if engine.now >= end {
            self.ended = true;
            stretch.end(engine.now, context, &mut engine.results);
        }
    }
}
