//! `seed`: registers users, creates servers, lets the users join, fills channels with messages.
//!
//! Owns: the plan (who owns and who joins what) and the queue of requests that carries it out.
//! Invariant: a request is repeated only when the server asked for it (429, 503) or its answer was lost;
//! any other refusal ends the run with the server's own words.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::args::{SeedArgs, Target};
use crate::dataset::{Dataset, Server, User};
use crate::engine::{Answer, Driver, Engine, Event, Settings};
use crate::gateway::string_of;
use crate::http::{self, Origin};
use crate::marker::{Marker, post_body};
use crate::net::CONNECTIONS_PER_SOURCE;
use crate::peer::Peer;
use crate::schedule::Random;
use crate::stats::quote;
use crate::system::now_ns;

/// Attempts of one request before the run is given up.
const ATTEMPTS_MAX: u8 = 50;
/// Messages of a seed: each waits in the queue with 16 bytes.
const MESSAGES_MAX: u64 = 20_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Register(u32),
    CreateServer(u32),
    /// Server, and the number of the channel: 1 and up, as 0 comes with the server.
    CreateChannel(u32, u32),
    Invite(u32),
    /// Server, user.
    Join(u32, u32),
    /// Server, number of the message.
    Post(u32, u32),
}

/// Owner and members of each server.
fn plan(args: &SeedArgs) -> Result<Vec<Server>, String> {
    let (users, servers) = (u64::from(args.users), u64::from(args.servers));
    let mut plan: Vec<Server> = (0..servers)
        .map(|i| {
            let owner = (i * users / servers) as u32;
            Server { owner, members: vec![owner], ..Server::default() }
        })
        .collect();
    match args.members_per_server {
        None => {
            for user in 0..args.users {
                let server = &mut plan[(user % args.servers) as usize];
                if server.owner != user {
                    server.members.push(user);
                }
            }
        }
        Some(count) if count == 0 || count > args.users => {
            return Err(format!("--members-per-server must be 1 to {}, the number of users.", args.users));
        }
        Some(count) => {
            for server in &mut plan {
                let owner = u64::from(server.owner);
                server.members.extend((1..u64::from(count)).map(|k| ((owner + k) % users) as u32));
            }
        }
    }
    let mut per_user = vec![0u32; args.users as usize];
    plan.iter().flat_map(|s| &s.members).for_each(|&user| per_user[user as usize] += 1);
    let most = per_user.into_iter().max().unwrap_or(0);
    if most > args.max_servers_per_user {
        return Err(format!(
            "A user would be in {most} servers, above --max-servers-per-user {}; take fewer servers, fewer members or more users.",
            args.max_servers_per_user
        ));
    }
    Ok(plan)
}

struct Seeder<'a> {
    args: &'a SeedArgs,
    data: Dataset,
    prefix: String,
    invites: Vec<String>,
    queue: VecDeque<(Task, u8)>,
    /// Tasks to be repeated: when, what, how often tried.
    later: BinaryHeap<Reverse<(u64, Task, u8)>>,
    idle: Vec<u32>,
    /// What each connection is busy with.
    current: Vec<Option<(Task, u8)>>,
    /// The name that each connection registered last.
    names: Vec<String>,
    stage: usize,
    stage_total: usize,
    done: usize,
    waits: u64,
    /// The advice about rate limits was given.
    advised: bool,
    started_ns: u64,
    reported_ns: u64,
    reported_done: usize,
    problem: Option<String>,
}

const STAGES: [&str; 5] = ["users", "servers", "channels and invites", "memberships", "messages"];

impl Seeder<'_> {
    fn stage_tasks(&self, stage: usize) -> VecDeque<(Task, u8)> {
        let servers = 0..self.data.servers.len() as u32;
        let tasks: Vec<Task> = match stage {
            0 => (0..self.args.users).map(Task::Register).collect(),
            1 => servers.map(Task::CreateServer).collect(),
            2 => servers
                .flat_map(|s| {
                    (1..self.args.channels).map(move |c| Task::CreateChannel(s, c)).chain([Task::Invite(s)])
                })
                .collect(),
            // Member k of every server before member k + 1 of any: joins of one server do not all meet at once.
            3 => {
                let longest = self.data.servers.iter().map(|s| s.members.len()).max().unwrap_or(0);
                let joins = (1..longest).flat_map(|k| {
                    servers.clone().filter_map(move |s| {
                        self.data.servers[s as usize].members.get(k).map(|&user| Task::Join(s, user))
                    })
                });
                joins.collect()
            }
            _ => {
                (0..self.args.messages).flat_map(|n| servers.clone().map(move |s| Task::Post(s, n))).collect()
            }
        };
        tasks.into_iter().map(|task| (task, 0)).collect()
    }

    fn send(&mut self, engine: &mut Engine, connection: u32, task: Task, attempt: u8) {
        self.current[connection as usize] = Some((task, attempt));
        let server = |s: u32| &self.data.servers[s as usize];
        let (user, path, body) = match task {
            Task::Post(s, n) => {
                let members = &server(s).members;
                let mut body = Vec::with_capacity(self.args.content_len as usize + 16);
                // Run 0: no scenario takes these for its own.
                post_body(&mut body, Marker { run: 0, seq: n, at_ns: 0 }, self.args.content_len as usize);
                let user = members[n as usize % members.len()];
                let path = format!("/api/v1/channels/{}/messages", server(s).channels[0]);
                (Some(user), path, String::from_utf8_lossy(&body).into_owned())
            }
            Task::Register(user) => {
                // A lost answer leaves the name taken, so each attempt has its own.
                let name = format!("{}{user}_{attempt}", self.prefix);
                self.names[connection as usize].clone_from(&name);
                let body = format!(
                    r#"{{"username":"{name}","email":"{name}@load.example.com","password":{}}}"#,
                    quote(&self.args.password)
                );
                (None, "/api/v1/auth/register".to_string(), body)
            }
            Task::CreateServer(s) => {
                (Some(server(s).owner), "/api/v1/servers".into(), format!(r#"{{"name":"load {s}"}}"#))
            }
            Task::CreateChannel(s, c) => (
                Some(server(s).owner),
                format!("/api/v1/servers/{}/channels", server(s).id),
                format!(r#"{{"name":"load-{c}","channel_type":"text"}}"#),
            ),
            Task::Invite(s) => (
                Some(server(s).owner),
                format!("/api/v1/channels/{}/invites", server(s).channels[0]),
                r#"{"max_age":0,"max_uses":0}"#.into(),
            ),
            Task::Join(s, user) => {
                (Some(user), format!("/api/v1/channels/invites/{}", self.invites[s as usize]), "{}".into())
            }
        };
        let token = user.map_or("", |u| &*self.data.users[u as usize].token);
        engine.request(connection, "POST", &path, token, body.as_bytes());
    }

    /// Takes over what a successful answer says; `None` when it lacks what it should have.
    fn accept(&mut self, connection: u32, task: Task, body: &[u8]) -> Option<()> {
        let text = |key: &[u8]| string_of(body, key).map(String::from);
        match task {
            Task::Register(user) => {
                let id = string_of(crate::gateway::value_of(body, b"user")?, b"id")?.to_string();
                let name = self.names[connection as usize].clone();
                self.data.users[user as usize] = User { id, token: text(b"token")?, name };
            }
            Task::CreateServer(s) => {
                let server = &mut self.data.servers[s as usize];
                server.id = text(b"id")?;
                server.channels.push(text(b"default_channel_id")?);
            }
            Task::CreateChannel(s, _) => self.data.servers[s as usize].channels.push(text(b"id")?),
            Task::Invite(s) => self.invites[s as usize] = text(b"code")?,
            Task::Join(..) | Task::Post(..) => {}
        }
        Some(())
    }

    fn repeat(&mut self, at_ns: u64, task: Task, attempt: u8, why: &str) {
        if attempt >= ATTEMPTS_MAX {
            self.problem = Some(format!("{task:?} failed {ATTEMPTS_MAX} times, last: {why}."));
        }
        self.waits += 1;
        self.later.push(Reverse((at_ns, task, attempt + 1)));
    }

    /// Says what slows the seed down, as soon as it does.
    fn advise(&mut self, status: u16) {
        if status == 429 && !std::mem::replace(&mut self.advised, true) {
            eprintln!(
                "HTTP 429: the server's rate limits slow the seed down. Start it with rate_limiting.enabled = false, \
                 or give --bypass with its rate_limiting.bypass_secret; until then it goes on as they allow."
            );
        }
    }

    fn report(&mut self, now: u64) {
        if now < self.reported_ns + 1_000_000_000 {
            return;
        }
        let rate = (self.done - self.reported_done) as f64 / ((now - self.reported_ns) as f64 / 1e9);
        let left = (self.stage_total - self.done) as f64 / rate.max(0.001);
        let waits = if self.waits > 0 { format!(", {} repeats", self.waits) } else { String::new() };
        eprintln!(
            "{}: {}/{} ({rate:.0}/s, {left:.0} s to go{waits})",
            STAGES[self.stage], self.done, self.stage_total
        );
        (self.reported_ns, self.reported_done) = (now, self.done);
    }

    fn next_stage(&mut self, now: u64) -> bool {
        if self.stage_total > 0 {
            let seconds = (now - self.started_ns) as f64 / 1e9;
            let rate = self.stage_total as f64 / seconds.max(1e-9);
            eprintln!("{} {} in {seconds:.1} s ({rate:.0}/s)", self.stage_total, STAGES[self.stage]);
            self.stage += 1;
        }
        while self.stage < STAGES.len() {
            self.queue = self.stage_tasks(self.stage);
            self.stage_total = self.queue.len();
            (self.done, self.reported_done, self.started_ns, self.reported_ns) = (0, 0, now, now);
            if self.stage_total > 0 {
                return true;
            }
            self.stage += 1;
        }
        false
    }
}

impl Driver for Seeder<'_> {
    fn answered(&mut self, engine: &mut Engine, connection: u32, answer: Answer<'_>) {
        self.idle.push(connection);
        let Some((task, attempt)) = self.current[connection as usize].take() else { return };
        match answer {
            Answer::Reply { status: 200..300, body, .. } => match self.accept(connection, task, body) {
                Some(()) => self.done += 1,
                None => self.problem = Some(format!("{task:?}: the answer lacks a field: {}", excerpt(body))),
            },
            // A join whose answer was lost has happened all the same.
            Answer::Reply { status: 409, .. } if matches!(task, Task::Join(..)) => self.done += 1,
            Answer::Reply { status: status @ (429 | 503), retry_after_s, body } => {
                self.advise(status);
                let delay_ns = (http::retry_delay_s(body, retry_after_s) * 1e9) as u64;
                let hint = if status == 429 { "; switch rate limits off" } else { "" };
                self.repeat(engine.now + delay_ns, task, attempt, &format!("HTTP {status}{hint}"));
            }
            Answer::Reply { status, body, .. } => {
                self.problem = Some(format!("{task:?} was refused: HTTP {status} {}", excerpt(body)));
            }
            Answer::Lost => {
                let reasons: Vec<&str> = engine.results.errors.keys().map(String::as_str).collect();
                self.repeat(engine.now + 100_000_000, task, attempt, &reasons.join(", "));
            }
        }
    }

    fn session(&mut self, _: &mut Engine, _: u32, _: Event<'_>) {}

    fn turn(&mut self, engine: &mut Engine) -> Option<u64> {
        if self.problem.is_some() {
            return None;
        }
        if self.done == self.stage_total && !self.next_stage(engine.now) {
            return None;
        }
        while let Some(&Reverse((at, task, attempt))) = self.later.peek() {
            if at > engine.now {
                break;
            }
            self.later.pop();
            self.queue.push_front((task, attempt));
        }
        while let Some(&connection) = self.idle.last() {
            let Some((task, attempt)) = self.queue.pop_front() else { break };
            self.idle.pop();
            self.send(engine, connection, task, attempt);
        }
        self.report(engine.now);
        Some(self.later.peek().map_or(u64::MAX, |Reverse((at, ..))| *at))
    }
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned()
}

/// A few characters that differ from run to run, so that a server can be seeded again.
fn run_prefix(run: u32) -> String {
    let digits = b"abcdefghijklmnopqrstuvwxyz";
    let mut rest = run;
    let mut prefix = String::from("l");
    for _ in 0..6 {
        prefix.push(digits[(rest % 26) as usize] as char);
        rest /= 26;
    }
    prefix + "_"
}

/// Runs the command.
pub fn run(args: &SeedArgs, run: u32) -> Result<(), String> {
    let target = Target::parse(&args.base, args.allow_remote)?;
    if !args.overwrite {
        Dataset::refuse_earlier(&args.out)?;
    }
    let servers = plan(args)?;
    let messages = u64::from(args.messages) * u64::from(args.servers);
    if messages > MESSAGES_MAX {
        return Err(format!(
            "{messages} messages in all are more than {MESSAGES_MAX}; take fewer --messages."
        ));
    }
    let connections = args.concurrency.min(args.users.max(args.servers));
    let mut engine = Engine::new(Settings {
        address: target.address,
        origin: Origin { host: target.host, bypass: args.bypass.clone() },
        sources: connections.div_ceil(CONNECTIONS_PER_SOURCE),
        peer: Peer::Plexichat,
        intents: 0,
        beat_ms: 0,
        tokens: Vec::new(),
        wake_fd: -1,
        random: Random::new(u64::from(run)),
    })?;
    let data = Dataset {
        base: args.base.clone(),
        password: args.password.clone(),
        users: vec![User::default(); args.users as usize],
        servers,
    };
    let now = now_ns();
    let mut seeder = Seeder {
        args,
        prefix: run_prefix(run),
        invites: vec![String::new(); data.servers.len()],
        data,
        queue: VecDeque::new(),
        later: BinaryHeap::new(),
        idle: engine.add_connections(connections).collect(),
        current: vec![None; connections as usize],
        names: vec![String::new(); connections as usize],
        stage: 0,
        stage_total: 0,
        done: 0,
        waits: 0,
        advised: false,
        started_ns: now,
        reported_ns: now,
        reported_done: 0,
        problem: None,
    };
    engine.run(&mut seeder);
    match seeder.problem {
        Some(problem) => Err(problem),
        None => seeder.data.save(&args.out),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command, Task};

    fn args(line: &str) -> SeedArgs {
        let line = format!("x seed --base http://127.0.0.1 --out /tmp {line}");
        let Task::Load(Command::Seed(args)) = Cli::try_parse_from(line.split(' ')).unwrap().task else {
            panic!()
        };
        args
    }

    #[test]
    fn plans() {
        let members =
            |line: &str| plan(&args(line)).unwrap().into_iter().map(|s| s.members).collect::<Vec<_>>();
        assert_eq!(members("--users 6 --servers 2"), [vec![0, 2, 4], vec![3, 1, 5]]);
        assert_eq!(members("--users 4 --servers 2 --members-per-server 3"), [vec![0, 1, 2], vec![2, 3, 0]]);
        assert_eq!(members("--users 2 --servers 3"), [vec![0], vec![0, 1], vec![1]]);
        assert_eq!(members("--users 1 --servers 1"), [vec![0]]);
    }

    #[test]
    fn impossible_plans() {
        for line in [
            "--users 2 --servers 2 --members-per-server 3",
            "--users 2 --servers 2 --members-per-server 0",
            "--users 2 --servers 500",
        ] {
            assert!(plan(&args(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn prefixes_differ_and_are_names() {
        assert_ne!(run_prefix(1), run_prefix(2));
        assert!(run_prefix(u32::MAX).len() + "1000000_50".len() <= 32);
    }
}
