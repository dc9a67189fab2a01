//! The command line.
//!
//! Owns: names, defaults and ranges of all options, and what a target address may be.
//! Invariant: nothing is connected to here; a target outside this machine is refused unless asked for.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, CommandFactory, Parser, Subcommand};

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
pub struct IdleArgs {
    #[command(flatten)]
    pub common: Common,
    /// Sessions to open; more than users: several per user
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: u32,
    /// Seconds to hold them
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub hold: u32,
}

#[derive(Args, Debug)]
pub struct ConnectStormArgs {
    #[command(flatten)]
    pub common: Common,
    /// Sessions to open; more than users: several per user
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: u32,
    /// Sessions per second, whether or not earlier ones are READY [default: --concurrency under way]
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,
    /// Gaps between what happens at a rate
    #[arg(long, value_enum, default_value = "even")]
    pub arrivals: Arrivals,
    /// Then drop and replace so many sessions per second
    #[arg(long, value_parser = positive)]
    pub churn: Option<f64>,
    /// Seconds of --churn
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Share of the dropped sessions that RESUME; the others IDENTIFY anew
    #[arg(long, default_value_t = 0.5, value_parser = share)]
    pub resumes: f64,
    /// Longest time a dropped session stays away, in milliseconds
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=55_000))]
    pub away_ms: u32,
    /// Fail when the server's memory has grown by more than this share of itself from the first to the last quarter
    #[arg(long, value_parser = positive)]
    pub drift_max: Option<f64>,
}

#[derive(Args, Debug)]
pub struct FanoutArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub audience: Audience,
    /// Posts under way: the next one waits until an earlier one has reached every session
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub in_flight: u32,
    /// Stop after this many measured posts
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    pub posts: Option<u32>,
    /// Stop after this many seconds [default: 10 without --posts]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: Option<u32>,
    /// Posts before the measurement
    #[arg(long, default_value_t = 10)]
    pub warmup: u32,
    /// Characters of a message, at most 4000; with --peer plain the bytes of the whole message, at least 37
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(36..=65_536))]
    pub content_len: u32,
}

#[derive(Args, Debug)]
pub struct ChatArgs {
    #[command(flatten)]
    pub common: Common,
    /// Operations per second, over all processes
    #[arg(long, value_parser = positive)]
    pub rate: f64,
    /// Gateway sessions that listen meanwhile; presence updates go through them, if there are any
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub sessions: u32,
    /// Weights: kind=weight,… of post, history, typing, reaction, presence, unreaction, me; or numbers in this order
    #[arg(long, default_value = "30,30,20,8,4,4,4")]
    pub mix: String,
    /// Milliseconds between the heartbeats of a session [default: as the server says]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=600_000))]
    pub beat_ms: Option<u32>,
    /// Exponent of the Zipf choice of the server (0: even)
    #[arg(long, default_value_t = 1.0)]
    pub zipf: f64,
    /// Characters of a message
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(36..=4000))]
    pub content_len: u32,
    #[command(flatten)]
    pub load: Load,
}

#[derive(Args, Debug)]
pub struct PostsArgs {
    #[command(flatten)]
    pub common: Common,
    /// Posts per second, over all processes [default: closed loop]
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,
    /// Characters of a message
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(36..=4000))]
    pub content_len: u32,
    #[command(flatten)]
    pub load: Load,
}

#[derive(Args, Debug)]
pub struct GetsArgs {
    #[command(flatten)]
    pub common: Common,
    /// Requests per second, over all processes [default: closed loop]
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,
    /// Paths below /api/v1, taken in turn; {server} and {channel} stand for seeded ones
    #[arg(long, value_delimiter = ',', default_value = "/users/@me,/channels/{channel}/messages?limit=50")]
    pub paths: Vec<String>,
    #[command(flatten)]
    pub load: Load,
}

#[derive(Args, Debug)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub audience: Audience,
    /// Messages per second
    #[arg(long, default_value_t = 100.0, value_parser = positive)]
    pub rate: f64,
    /// Sessions dropped per second, over all processes [default: a tenth of them]
    #[arg(long, value_parser = positive)]
    pub drops: Option<f64>,
    /// Longest time a dropped session stays away, in milliseconds
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(0..=55_000))]
    pub away_ms: u32,
    /// Seconds of posting
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Seconds that sessions may take to catch up after the last post
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub catch_up: u32,
    /// Characters of a message
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(36..=4000))]
    pub content_len: u32,
}

#[derive(Args, Debug)]
pub struct ResumeStormArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub audience: Audience,
    /// Messages per second, from a second before the loss of connections to a second after the storm begins
    #[arg(long, default_value_t = 50.0, value_parser = positive)]
    pub rate: f64,
    /// Milliseconds from the loss of all connections to the storm
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(0..=55_000))]
    pub away_ms: u32,
    /// RESUMEs per second, over all processes [default: all want to be back at once, --concurrency under way]
    #[arg(long, value_parser = positive)]
    pub resume_rate: Option<f64>,
    /// Seconds that sessions may take to catch up after the last post
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub catch_up: u32,
    /// Characters of a message
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(36..=4000))]
    pub content_len: u32,
}

#[derive(Args, Debug)]
pub struct SlowReadersArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub audience: Audience,
    /// Share of the sessions that stop reading
    #[arg(long, default_value_t = 0.1, value_parser = share)]
    pub slow: f64,
    /// Messages per second; times --seconds times the size of an event must exceed what the server keeps for a session
    #[arg(long, default_value_t = 150.0, value_parser = positive)]
    pub rate: f64,
    /// Seconds with all sessions reading, and again with the slow ones not reading
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// Receive buffer of the slow sessions, in bytes
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1024..=16_777_216))]
    pub receive_buffer: u32,
    /// Seconds in which the slow ones resume and everybody catches up
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub catch_up: u32,
    /// Characters of a message
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(36..=4000))]
    pub content_len: u32,
}

/// What the server does while heartbeats are timed.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum During {
    None,
    /// POST /auth/login with the right password; the users that have no session here take turns
    LoginStorm,
    /// GET of whole channels page by page, oldest first
    HistoryScan,
}

#[derive(Args, Debug)]
pub struct HeartbeatArgs {
    #[command(flatten)]
    pub common: Common,
    /// Idle sessions that beat
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub sessions: u32,
    /// What happens meanwhile
    #[arg(long, value_enum, default_value = "none")]
    pub during: During,
    /// Requests of it per second, over all processes [default: closed loop]
    #[arg(long, value_parser = positive)]
    pub rate: Option<f64>,
    /// Milliseconds between the heartbeats of a session
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=600_000))]
    pub beat_ms: u32,
    /// Fail when the 99th percentile of the round trips is above so many milliseconds
    #[arg(long, value_parser = positive)]
    pub p99_max_ms: Option<f64>,
    #[command(flatten)]
    pub load: Load,
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

/// Where the server listens.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub address: SocketAddrV4,
    /// `Host` header.
    pub host: String,
}

impl Target {
    /// Reads `http://host[:port][/]`. Names are looked up; only IPv4 is spoken.
    pub fn parse(base: &str, allow_remote: bool) -> Result<Target, String> {
        if base.starts_with("https://") {
            return Err(format!("{base}: TLS is not spoken here; give the server's plain port."));
        }
        let rest = base.strip_prefix("http://").unwrap_or(base);
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.is_empty() || host.contains('/') {
            return Err(format!("{base}: give an address such as http://127.0.0.1:8000, without a path."));
        }
        let with_port = if host.contains(':') { host.to_string() } else { format!("{host}:80") };
        let found = with_port.to_socket_addrs().map_err(|e| format!("{base}: {e}; check the address."))?;
        let address = found
            .filter_map(|a| match a {
                SocketAddr::V4(v4) => Some(v4),
                SocketAddr::V6(_) => None,
            })
            .next()
            .ok_or_else(|| format!("{base}: no IPv4 address; only IPv4 is spoken."))?;
        if !address.ip().is_loopback() && !allow_remote {
            return Err(format!(
                "{base} is not this machine; add --allow-remote if that server is yours to load."
            ));
        }
        Ok(Target { address, host: host.to_string() })
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
    fn targets() {
        for (base, remote, want) in [
            ("http://127.0.0.1:8000", false, Some("127.0.0.1:8000")),
            ("http://127.0.0.9:8000/", false, Some("127.0.0.9:8000")),
            ("127.0.0.1", false, Some("127.0.0.1:80")),
            ("http://10.0.0.1:80", false, None),
            ("http://10.0.0.1:80", true, Some("10.0.0.1:80")),
            ("https://127.0.0.1", false, None),
            ("http://127.0.0.1:8000/api", false, None),
            ("http://", false, None),
            ("http://127.0.0.1:x", false, None),
        ] {
            let got = Target::parse(base, remote).ok().map(|t| t.address.to_string());
            assert_eq!(got.as_deref(), want, "{base}");
        }
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
