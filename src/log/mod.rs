//! The order of all changes: commands in, one transaction per batch, replies and events out.
//!
//! Owns: the one writer thread and the rings between it and the cores, and what is told of the store's room.
//! Invariant: what was answered with success is committed, and synced when `store.sync = "always"`; every core gets
//! every batch, in one order, together with the snapshot that the batch has left behind. A core therefore never
//! judges an event by a state that is older or newer than the event.
//!
//! Nothing blocks a core: a full submission ring is answered with 503, a core that does not take its deliveries
//! makes the writer wait (and so, in the end, its submitters get 503), never another core.

pub mod apply;
mod cores;
pub mod entry;
mod health;
mod local;
mod port;
mod touches;
mod watch;

use std::sync::Arc;

pub use cores::SNAPSHOTS_PER_CORE;
pub use health::{Health, Trouble};
pub use local::{Options, Writer, start};
pub use port::Port;
pub use touches::{Told, Touches};

use crate::domain::{Command, Output, Reply, Result};
use crate::store::Snapshot;

/// Names a waiting reply on its core; [`NO_REPLY`] when nobody waits.
pub type Ticket = u32;
pub const NO_REPLY: Ticket = u32::MAX;

/// A command on its way to the writer.
struct Submission {
    command: Command,
    ticket: Ticket,
}

/// A committed batch on its way to a core.
pub struct Delivery {
    /// What the batch makes known, in order; shared by all cores.
    pub outputs: Arc<Vec<Output>>,
    /// The state right after the batch.
    pub snapshot: Snapshot,
    /// Answers to this core's commands.
    pub replies: Vec<(Ticket, Result<Reply>)>,
}
