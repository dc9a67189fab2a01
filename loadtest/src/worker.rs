//! One process of a scenario.
//!
//! Owns: what it knows about itself and the others, and its share of the work.
//! Invariant: shares of all processes are disjoint and add up to the whole.

use std::ops::Range;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::args::{Common, Target, WorkerArgs};
use crate::dataset::{Dataset, Server, User};
use crate::engine::{Engine, Settings};
use crate::http::Origin;
use crate::net::CONNECTIONS_PER_SOURCE;
use crate::peer::Peer;
use crate::schedule::{Arrivals, Random, Schedule};
use crate::shared::{RUNNING, STOPPING, Shared, Worker};
use crate::stats::{self, Results};
use crate::system;

/// The users and servers of a run.
pub fn dataset(common: &Common) -> Result<Dataset, String> {
    match (common.peer, &common.dir, &common.base) {
        (Peer::Plexichat, Some(dir), _) => Dataset::load(dir),
        (Peer::Plexichat, None, _) => Err("Give the folder that `plexichat-loadtest seed` wrote.".into()),
        (Peer::Plain, _, Some(base)) => Ok(Dataset::plain(base)),
        (Peer::Plain, _, None) => Err("--peer plain needs --base, such as http://127.0.0.1:9001.".into()),
    }
}

/// What a scenario knows about its process.
pub struct Context {
    pub index: u32,
    pub count: u32,
    /// Number of the run, so that messages of an earlier one are not taken for this one's.
    pub run: u32,
    pub shared: &'static Shared,
    pub servers: Vec<Server>,
    pub users: u32,
    /// Names of the users by index, and the password of all; empty when the seed has none.
    pub names: Vec<String>,
    /// Ids of the users by index.
    pub ids: Vec<String>,
    pub password: String,
    pub random: Random,
    /// Processes whose CPU time is the server's.
    pub pids: Vec<u32>,
    wake_fd: i32,
}

impl Context {
    /// Sets up the process and its engine. `total` is the number of connections over all processes.
    pub fn new(args: &WorkerArgs, common: &Common, total: u32) -> Result<(Context, Engine), String> {
        system::set_up_worker();
        system::raise_file_limit();
        let data = dataset(common)?;
        let target = Target::parse(common.base.as_deref().unwrap_or(&data.base), common.allow_remote)?;
        let random = Random::new(u64::from(args.run) << 8 | u64::from(args.index));
        let mut engine = Engine::new(Settings {
            address: target.address,
            origin: Origin { host: target.host, bypass: common.bypass.clone() },
            sources: common.sources.unwrap_or(total.div_ceil(CONNECTIONS_PER_SOURCE)),
            peer: common.peer,
            intents: common.intents,
            beat_ms: 0,
            tokens: data.users.iter().map(|User { token, .. }| token.clone()).collect(),
            // Only the first process waits for the others.
            wake_fd: if args.index == 0 { args.wake_fd } else { -1 },
            random: random.clone(),
        })?;
        let shared = Shared::map(args.shared_fd).map_err(|e| format!("shared memory: {e}"))?;
        let me = &shared.workers(args.count)[args.index as usize];
        me.pid.store(std::process::id(), Relaxed);
        engine.results.show_errors(&me.errors);
        stats::show_times(&me.times);
        let context = Context {
            index: args.index,
            count: args.count,
            run: args.run,
            shared,
            servers: data.servers,
            users: data.users.len() as u32,
            ids: data.users.iter().map(|user| user.id.clone()).collect(),
            names: data.users.into_iter().map(|user| user.name).collect(),
            password: data.password,
            random,
            pids: common.pid.clone(),
            wake_fd: args.wake_fd,
        };
        Ok((context, engine))
    }

    pub fn me(&self) -> &'static Worker {
        &self.shared.workers(self.count)[self.index as usize]
    }

    /// Whether this process's part of the load is over: it was not broken off.
    pub fn is_finished(&self) -> bool {
        self.me().finished.load(Acquire) == 1
    }

    /// All processes of the load generator that send or receive.
    fn client_pids(&self) -> Vec<u32> {
        self.shared.workers(self.count).iter().map(|w| w.pid.load(Relaxed)).collect()
    }

    pub fn running(&self) -> bool {
        self.shared.phase() == RUNNING
    }

    pub fn stopping(&self) -> bool {
        self.shared.phase() == STOPPING
    }

    /// When the load began, plus so many seconds.
    pub fn run_time_ns(&self, seconds: u32) -> u64 {
        self.shared.run_start_ns.load(Relaxed) + u64::from(seconds) * 1_000_000_000
    }

    /// Sessions that are READY now, in all processes.
    pub fn live_sessions(&self) -> u32 {
        self.shared.workers(self.count).iter().map(|w| w.ready.load(Relaxed)).sum::<u64>() as u32
    }

    /// This process's part of `total` things.
    pub fn share(&self, total: u32) -> Range<u32> {
        share(total, self.index, self.count)
    }

    /// Makes the first process look at the shared memory now.
    pub fn wake_first(&self) {
        if self.index > 0 {
            let one = 1u64;
            // SAFETY: an eventfd takes eight bytes.
            unsafe { libc::write(self.wake_fd, (&raw const one).cast(), 8) };
        }
    }
}

fn share(total: u32, index: u32, count: u32) -> Range<u32> {
    let bound = |i: u32| (u64::from(total) * u64::from(i) / u64::from(count)) as u32;
    bound(index)..bound(index + 1)
}

/// Opens sessions, a bounded number at a time. They are the engine's sessions 0 and up.
pub struct Opener {
    next: u32,
    total: u32,
    pending: u32,
    window: u32,
    settled: Vec<bool>,
    was_ready: Vec<bool>,
    /// When sessions are due, if they do not wait for one another.
    pace: Option<Schedule>,
    first_ns: u64,
    last_ns: u64,
    pub ready: u64,
    failed: u64,
    dropped: u64,
}

impl Opener {
    /// One session per user given, `concurrency` handshakes at a time over all processes.
    pub fn new(
        engine: &mut Engine,
        context: &Context,
        users: impl Iterator<Item = u32>,
        concurrency: u32,
    ) -> Opener {
        let total = users.map(|user| engine.add_session(user)).count();
        Opener {
            next: 0,
            total: total as u32,
            pending: 0,
            window: concurrency.div_ceil(context.count),
            settled: vec![false; total],
            was_ready: vec![false; total],
            pace: None,
            first_ns: engine.now,
            last_ns: engine.now,
            ready: 0,
            failed: 0,
            dropped: 0,
        }
    }

    /// Makes it open sessions at a rate, in sessions per second of this process, however many are under way.
    pub fn pace(&mut self, rate: f64, arrivals: Arrivals, random: &mut Random) {
        self.pace = Some(Schedule::new(self.first_ns, rate, arrivals, random));
    }

    /// When the next session is due: now, unless there is a pace.
    fn due(&mut self, engine: &Engine, random: &mut Random) -> Option<u64> {
        match &mut self.pace {
            Some(schedule) => schedule.due(engine.now, random),
            None => (self.pending < self.window).then_some(engine.now),
        }
    }

    /// Opens what may be opened now; says so in the shared memory when all are settled. Gives the time of the next
    /// wanted turn.
    pub fn turn(&mut self, engine: &mut Engine, me: &Worker, random: &mut Random) -> u64 {
        while self.next < self.total {
            let Some(due_ns) = self.due(engine, random) else {
                return self.pace.as_ref().map_or(u64::MAX, Schedule::next_ns);
            };
            self.pending += 1;
            self.next += 1;
            engine.open_session(self.next - 1, false, due_ns);
        }
        if self.next == self.total && self.pending == 0 {
            me.opened.store(1, Release);
        }
        u64::MAX
    }

    pub fn joined(&mut self, engine: &Engine, session: u32, me: &Worker) {
        if !std::mem::replace(&mut self.settled[session as usize], true) {
            self.pending -= 1;
            self.last_ns = engine.now;
        }
        self.was_ready[session as usize] = true;
        self.ready += 1;
        me.ready.store(self.ready, Relaxed);
    }

    pub fn was_ready(&self, session: u32) -> bool {
        self.was_ready[session as usize]
    }

    /// A session ended, before or after it was READY. Call it only for connections that had begun.
    pub fn closed(&mut self, session: u32, me: &Worker) {
        if !std::mem::replace(&mut self.settled[session as usize], true) {
            self.pending -= 1;
            self.failed += 1;
            me.failed.store(self.failed, Relaxed);
        } else {
            self.ready -= 1;
            self.dropped += 1;
            me.ready.store(self.ready, Relaxed);
        }
    }

    pub fn report(&self, results: &mut Results) {
        if self.total == 0 {
            return;
        }
        results.count("sessions_wanted", u64::from(self.total));
        results.count("sessions_ready", self.ready + self.dropped);
        results.count("sessions_failed", self.failed);
        results.count("sessions_dropped", self.dropped);
        let seconds = (self.last_ns - self.first_ns) as f64 / 1e9;
        if seconds > 0.0 {
            results.gauge("sessions_opened_per_s", (self.ready + self.dropped) as f64 / seconds);
        }
    }
}

/// Measures a stretch of the run: wall time, the server's CPU time, the load generator's own.
pub struct Stretch {
    pub start_ns: u64,
    server_cpu: f64,
    client_cpu: f64,
}

impl Stretch {
    pub fn start(now: u64, context: &Context) -> Stretch {
        Stretch {
            start_ns: now,
            server_cpu: system::cpu_seconds(&context.pids),
            client_cpu: system::cpu_seconds(&context.client_pids()),
        }
    }

    /// Ends at `now`; gives seconds of wall time. Reports CPU time in seconds and in cores: a load
    /// generator that uses a whole core per process is itself what limits the figures.
    pub fn end(&self, now: u64, context: &Context, results: &mut Results) -> f64 {
        let seconds = (now - self.start_ns) as f64 / 1e9;
        let client = system::cpu_seconds(&context.client_pids()) - self.client_cpu;
        results.gauge("client_cpu_cores", client / seconds.max(1e-9));
        // What has ended took its CPU time with it.
        if !context.pids.is_empty() && system::missing(&context.pids).is_empty() {
            let server = system::cpu_seconds(&context.pids) - self.server_cpu;
            results.gauge("server_cpu_s", server);
            results.gauge("server_cpu_cores", server / seconds.max(1e-9));
        }
        seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_disjoint_and_complete() {
        for (total, count) in [(0, 1), (10, 3), (2, 5), (u32::MAX, 64)] {
            let mut next = 0;
            for index in 0..count {
                let range = share(total, index, count);
                assert_eq!(range.start, next);
                next = range.end;
            }
            assert_eq!(next, total);
        }
    }
}
