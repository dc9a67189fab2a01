//! Options of one scenario each.

use clap::Args;

use super::{Audience, Common, Load, positive, share};
use crate::schedule::Arrivals;

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
