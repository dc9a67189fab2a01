//! The outside world and slow work: plain threads with bounded queues, a message in and a message out.
//!
//! Owns: everything that may block or burn a core for milliseconds.
//! Invariant: handing work over never blocks the caller; a full queue is an answer.
//!
//! A new effect is a file here, with what it does (an [`Effect`]) and the row of its lane, and a line in [`LANES`]. A
//! handler asks for it with `ctx.effect(…).await`.

pub mod automod;
pub mod backup;
pub mod credentials;
pub mod disk;
pub mod http;
pub mod image;
pub mod jobs;
pub mod lane;
pub mod mail;
pub mod oauth;
pub mod passkey;
pub mod password;
pub mod qr;
pub mod read;
pub mod reload;
pub mod s3;
pub mod search;
mod tls;
mod turns;
pub mod visit;

pub use lane::{Answer, Effect, Job, Lanes, Row, Unanswered, run_alone};
pub use turns::Source;

/// The lanes there are, in the order of their metrics.
pub static LANES: &[&Row] = &[
    &password::LANE,
    &read::LANE,
    &disk::LANE,
    &image::LANE,
    &http::LANE,
    &automod::LANE,
    &qr::LANE,
    &mail::LANE,
    &passkey::LANE,
    &search::LANE,
];
