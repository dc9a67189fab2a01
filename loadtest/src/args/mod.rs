//! The command line.
//!
//! Owns: names, defaults and ranges of all options.

mod scenarios;
mod target;

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory, Parser, Subcommand};

pub use self::scenarios::*;
pub use self::target::Target;
use crate::peer::Peer;
use crate::report::SECRETS;
use crate::schedule::Arrivals;

/// Measures a running chat server from outside.
///
/// First `seed` a fresh server with users and servers, then run scenarios against it. The server's
/// rate limits must be off (or --bypass given), or it is the limits that are measured.
#[derive(Parser, Debug)]
#[command(name = "plexichat-loadtest", version)]
pub struct Cli {
    #[command(subcommand)]
    pub task: Task,
}

/// To load a server, or to look at what came of it.
#[derive(Subcommand, Debug)]
pub enum Task {
    #[command(flatten)]
    Load(Command),
    /// Draw the page of an earlier run from its JSON
    Report(ReportArgs),
    /// Put two runs of one scenario side by side: A is the base, B what is judged
    Compare(CompareArgs),
}

#[derive(Args, Debug)]
pub struct ReportArgs {
    /// File written with --json
    pub file: PathBuf,
    /// Write the page to this file [default: print the summary]
    #[arg(long)]
    pub html: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct CompareArgs {
    /// File written with --json
    pub a: PathBuf,
    /// File written with --json
    pub b: PathBuf,
    /// Write a page with the plots of both to this file
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Exit with 1 when B is worse than A by more than so many percent in any figure
    #[arg(long, value_name = "PCT", value_parser = percent)]
    pub tolerance: Option<f64>,
    /// Look only at figures whose line contains one of these, such as "per second,p99" [default: all]
    #[arg(long, value_name = "TEXT", value_delimiter = ',')]
    pub only: Vec<String>,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Register users, create servers, let the users join; write DIR/tokens.txt and DIR/seed.json
    Seed(SeedArgs),
    /// Open gateway sessions, hold them, report rates and memory per session
    Idle(IdleArgs),
    /// Open sessions as fast as they go or at a rate; then, with --churn, keep dropping and replacing them
    ConnectStorm(ConnectStormArgs),
    /// Post messages to one server and time their arrival in all its sessions
    Fanout(FanoutArgs),
    /// Open-loop mix of posts, history reads, typing, reactions, presence and reads of the own profile
    Chat(ChatArgs),
    /// Message posts over keep-alive connections, closed loop or at a rate
    Posts(PostsArgs),
    /// Reads over keep-alive connections, closed loop or at a rate
    Gets(GetsArgs),
    /// Drop and resume sessions under load; fails unless each sees every event exactly once
    Resume(ResumeArgs),
    /// Drop all sessions at once and resume them together; fails unless each sees every event exactly once
    ResumeStorm(ResumeStormArgs),
    /// Let some sessions stop reading; fails when the others lose an event
    SlowReaders(SlowReadersArgs),
    /// Time the heartbeats of idle sessions while the server is busy with something else
    Heartbeat(HeartbeatArgs),
    /// Measure what `plexichat check --plan` reckons with: many servers, few posts
    Calibrate(CalibrateArgs),
    /// Chat beside one attack after the other; fails when anybody else notices
    Hostile(HostileArgs),
    /// One process of a scenario; started by the tool itself
    #[command(hide = true)]
    Worker(WorkerArgs),
}

#[derive(Args, Debug)]
pub struct SeedArgs {
    /// Server, such as http://127.0.0.1:8000
    #[arg(long)]
    pub base: String,
    /// Users to register
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub users: u32,
    /// Servers to create; server i belongs to user i*N/M
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub servers: u32,
    /// Folder for tokens.txt and seed.json
    #[arg(long)]
    pub out: PathBuf,
    /// Replace tokens.txt and seed.json of an earlier seed in that folder
    #[arg(long)]
    pub overwrite: bool,
    /// Members of each server, owner included [default: every user joins server i % M]
    #[arg(long)]
    pub members_per_server: Option<u32>,
    /// Text channels of each server
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub channels: u32,
    /// Messages to post to the first channel of each server
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub messages: u32,
    /// Characters of a message
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(36..=4000))]
    pub content_len: u32,
    /// Requests under way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub concurrency: u32,
    /// Password of every user
    #[arg(long, default_value = "Load-Test-Passw0rd!")]
    pub password: String,
    /// Refuse plans in which a user is in more servers than this
    #[arg(long, default_value_t = 100)]
    pub max_servers_per_user: u32,
    /// Secret for X-RateLimit-Bypass
    #[arg(long)]
    pub bypass: Option<String>,
    /// Allow a target that is not this machine
    #[arg(long)]
    pub allow_remote: bool,
}

/// Options of every scenario.
#[derive(Args, Debug)]
pub struct Common {
    /// Folder written by `seed`; not read with --peer plain
    #[arg(required_unless_present = "peer")]
    pub dir: Option<PathBuf>,
    /// Server [default: the one that was seeded]
    #[arg(long)]
    pub base: Option<String>,
    /// What the server speaks; plain is for fanout, idle, connect-storm and gets, and needs --base
    #[arg(long, value_enum, default_value = "plexichat")]
    pub peer: Peer,
    /// Process ids whose CPU time and memory count as the server's (add ksoftirqd/0 to be fair)
    #[arg(long, value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// Write the results to this file as JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the results to this file as a page with plots
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// Processes [default: one per 15,000 sessions]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub processes: Option<u32>,
    /// Handshakes under way at once, over all processes
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub concurrency: u32,
    /// Gateway intents of the sessions
    #[arg(long, default_value_t = 32509, value_parser = clap::value_parser!(u32).range(0..=65535))]
    pub intents: u32,
    /// Source addresses 127.0.0.x [default: one per 20,000 connections]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=250))]
    pub sources: Option<u32>,
    /// Give up when nothing moves for this many seconds
    #[arg(long, default_value_t = 30)]
    pub patience: u32,
    /// Fail when more requests and sessions than this failed: a number, or a share such as 0.1%
    #[arg(long, default_value = "1%", value_name = "N|PCT%")]
    pub errors_max: ErrorsMax,
    /// Secret for X-RateLimit-Bypass
    #[arg(long)]
    pub bypass: Option<String>,
    /// Allow a target that is not this machine
    #[arg(long)]
    pub allow_remote: bool,
}

/// How many errors a run may have. A broken promise is no such error: it fails any run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ErrorsMax {
    Count(u64),
    /// Of the requests and sessions that were tried.
    Share(f64),
}

impl FromStr for ErrorsMax {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<ErrorsMax, Self::Err> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent
                .parse()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))
                .map(|percent: f64| ErrorsMax::Share(percent / 100.0)),
            None => text.parse().ok().map(ErrorsMax::Count),
        };
        parsed.ok_or("give a number such as 0, or a share such as 0.1%")
    }
}

impl Display for ErrorsMax {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ErrorsMax::Count(n) => write!(out, "{n}"),
            ErrorsMax::Share(share) => write!(out, "{}%", share * 100.0),
        }
    }
}

/// Sessions of one server.
#[derive(Args, Debug)]
pub struct Audience {
    /// Sessions in the server [default: one per member]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: Option<u32>,
    /// Index of the server in seed.json
    #[arg(long, default_value_t = 0)]
    pub server: usize,
}

/// Requests over keep-alive connections, for some time.
#[derive(Args, Debug)]
pub struct Load {
    /// Keep-alive connections, each with one request under way, over all processes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=16384))]
    pub connections: u32,
    /// Measured seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Seconds before the measurement
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub warmup: u32,
    /// Gaps between what happens at a rate
    #[arg(long, value_enum, default_value = "poisson")]
    pub arrivals: Arrivals,
}

#[derive(Args, Debug)]
pub struct CalibrateArgs {
    /// Folder written by `seed`: as many users, and as large servers, as are planned for
    pub dir: PathBuf,
    /// Server [default: the one that was seeded]
    #[arg(long)]
    pub base: Option<String>,
    /// Process ids whose CPU time is the server's (add ksoftirqd/0 to be fair)
    #[arg(long, value_delimiter = ',', required = true)]
    pub pid: Vec<u32>,
    /// Sessions [default: one per user]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: Option<u32>,
    /// Posts per second, into all servers in turn
    #[arg(long, default_value_t = 20.0, value_parser = positive)]
    pub rate: f64,
    /// Measured seconds
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
}

#[derive(Args, Debug)]
pub struct HostileArgs {
    /// The server's program: it is started anew for each attack, in a temporary folder
    pub server: PathBuf,
    /// Only these attacks [default: all]
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Seconds of each attack
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(8..=3600))]
    pub seconds: u32,
    /// Sessions of the crowd, all in one server
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sessions: u32,
    /// Operations of the crowd per second
    #[arg(long, default_value_t = 60.0, value_parser = positive)]
    pub rate: f64,
    /// Option of the server, as key=value; may be given several times
    #[arg(long)]
    pub set: Vec<String>,
    /// Leave stores and logs of the servers behind
    #[arg(long)]
    pub keep: bool,
}

#[derive(Args, Debug)]
pub struct WorkerArgs {
    #[arg(long)]
    pub index: u32,
    #[arg(long)]
    pub count: u32,
    #[arg(long)]
    pub shared_fd: i32,
    #[arg(long)]
    pub wake_fd: i32,
    #[arg(long)]
    pub run: u32,
    /// The command line of the scenario
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// A number above 0 and at most ten million.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if n > 0.0 && n <= 1e7 => Ok(n),
        _ => Err("give a number above 0, at most 10000000".into()),
    }
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (0.0..=1.0).contains(&n) => Ok(n),
        _ => Err("give a share from 0 to 1".into()),
    }
}

/// A number of percent.
fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(n) if (0.0..=1e6).contains(&n) => Ok(n),
        _ => Err("give a number of percent from 0 on".into()),
    }
}

/// Options that say nothing about the load, or are shown elsewhere. Secrets are left out too.
const NO_PARAMETERS: [&str; 7] = ["dir", "base", "pid", "json", "html", "allow-remote", "help"];

/// The options of a scenario as they are in effect, defaults included, by their names.
pub fn parameters(arguments: &[String]) -> BTreeMap<String, String> {
    let mut cli = Cli::command();
    let line = std::iter::once("plexichat-loadtest").chain(arguments.iter().map(String::as_str));
    let Ok(matches) = cli.try_get_matches_from_mut(line) else { return BTreeMap::new() };
    let Some((name, given)) = matches.subcommand() else { return BTreeMap::new() };
    let mut out = BTreeMap::new();
    for argument in cli.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments) {
        let id = argument.get_id().as_str();
        let name = argument.get_long().unwrap_or(id);
        if NO_PARAMETERS.contains(&name) || SECRETS.contains(&name) {
            continue;
        }
        if let Ok(Some(values)) = given.try_get_raw(id) {
            let values: Vec<String> = values.map(|value| value.to_string_lossy().into_owned()).collect();
            out.insert(name.to_string(), values.join(","));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn lists_and_limits() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.task);
        let Task::Load(Command::Idle(idle)) = parse("x idle dir --sessions 5 --pid 1,2").unwrap() else {
            panic!()
        };
        assert_eq!((idle.common.pid, idle.sessions), (vec![1, 2], 5));
        let Task::Load(Command::Chat(chat)) = parse("x chat dir --rate 10 --mix 1,2,3,4,5").unwrap() else {
            panic!()
        };
        assert_eq!(chat.mix, "1,2,3,4,5");
        for bad in [
            "x idle dir",
            "x idle dir --sessions 0",
            "x fanout dir --content-len 3",
            "x seed",
            "x chat dir --rate 0",
            "x posts dir --rate inf",
            "x slow-readers dir --slow 1.5",
            "x heartbeat dir --during nothing",
            "x idle dir --sessions 1 --errors-max 101%",
            "x idle dir --sessions 1 --errors-max some",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
    #[test]
    fn results_have_options_of_their_own() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let Task::Compare(compare) = parse("x compare a b --tolerance 7.5").unwrap().task else { panic!() };
        assert_eq!((compare.tolerance, compare.html), (Some(7.5), None));
        for bad in
            ["x compare a", "x compare a b --tolerance -1", "x compare a b --tolerance NaN", "x report"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn parameters_hold_defaults_and_no_secret() {
        let line = "fanout dir --posts 5 --pid 1 --bypass s3cret --json f --html g --sources 2";
        let got = parameters(&line.split(' ').map(String::from).collect::<Vec<_>>());
        for (name, want) in [("posts", "5"), ("in-flight", "1"), ("sources", "2"), ("content-len", "100")] {
            assert_eq!(got.get(name).map(String::as_str), Some(want), "{name} in {got:?}");
        }
        for name in ["dir", "pid", "json", "html", "bypass", "base", "help", "seconds"] {
            assert!(!got.contains_key(name), "{name} in {got:?}");
        }
        assert!(!format!("{got:?}").contains("s3cret"));
        assert!(parameters(&["nothing".into()]).is_empty());
    }
}
