//! Rules of automod: compiled, kept ready, and held against texts.
//!
//! Owns: what a rule's configuration means, and what a text comes to by the rules of its server.
//! Invariant: the same rules and the same text give the same finding, wherever it is made. Compiling is done on this lane
//! alone; judging on a core where that takes no longer than a few look-ups, else here, where those who have costly rules
//! wait for one another.

pub mod ai;
pub mod cache;
pub mod config;
mod counts;
mod keywords;
mod patterns;
pub mod rules;
pub mod spam;

use std::sync::Arc;

pub use cache::{Known, Shared};
pub use rules::{Finding, Hit, Mentioned, Rules, Said, Weight};

use super::lane::{Effect, Row};
use crate::id::ServerId;
use crate::store::tables::AUTOMODS;
use crate::store::{Store, take_damage};

pub static LANE: Row = Row {
    name: "automod",
    // More would only take turns on the processors that the cores leave.
    threads: |_| 2,
    // Each is a message that waits; at 5 ms for a costly one, 2 s.
    queue_len_max: |_| 512,
    // Texts wait for it, but a core that wakes goes first.
    niceness: 10,
    full: "Too many messages are being judged; try again in a moment",
};

/// Steps up to which a text is judged where it is: under half a millisecond at the very worst, some 10 µs as a rule.
pub const COST_ON_CORE_MAX: u64 = 20_000;

/// Reads what a rule looks for, and compiles it once.
pub struct Weigh {
    pub kind: u8,
    pub config: String,
}

impl Effect for Weigh {
    /// Or what is wrong with it.
    type Answer = Result<Weight, String>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        rules::weigh(self.kind, &self.config)
    }
}

/// Makes the rules of a server ready.
pub struct Prepare {
    pub shared: Arc<Shared>,
    pub store: Arc<Store>,
    pub server_id: ServerId,
}

/// A record of a rule is damaged: without it nothing can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged;

impl Effect for Prepare {
    /// `None` when no rule is on any more.
    type Answer = Result<Option<Arc<Rules>>, Damaged>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let Prepare { shared, store, server_id } = self;
        take_damage();
        let snapshot = store.snapshot();
        let read = snapshot.read();
        let version = read.get(AUTOMODS, server_id).map_or(0, |automod| automod.version.to_native());
        if let Some(rules) = shared.get(server_id, version) {
            return Ok(Some(rules));
        }
        let rules = Rules::of(read, server_id).map(Arc::new);
        if take_damage() {
            return Err(Damaged);
        }
        rules.iter().for_each(|rules| shared.keep(rules));
        Ok(rules)
    }
}

/// Holds rules against a text, where that may take milliseconds.
pub struct Judge {
    pub rules: Arc<Rules>,
    pub said: Said,
}

impl Effect for Judge {
    type Answer = Finding;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Finding {
        self.rules.judge(&self.said)
    }
}
