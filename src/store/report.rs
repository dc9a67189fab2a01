//! What a walk over a data file finds.

use std::collections::BTreeMap;

use super::blobs::Hash;
use super::key::key_text;
use super::position::{Outrun, Position};

/// Damages that are kept; more are counted.
pub const DAMAGES_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub page: u64,
    /// The table and the key, where they are known.
    pub place: Option<(&'static str, Vec<u8>)>,
    pub what: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "page {}", self.page)?;
        match &self.place {
            Some((table, key)) if key.is_empty() => write!(f, ", table {table}")?,
            Some((table, key)) => write!(f, ", table {table}, key {}", key_text(key))?,
            None => {}
        }
        write!(f, ": {}", self.what)
    }
}
/// What a walk over a data file found.
#[derive(Debug, Default)]
pub struct Report {
    /// Records of each table, in the order of `ROWS`.
    pub records: Vec<u64>,
    /// Records that carry no checksum: they were written by an earlier version.
    pub plain: u64,
    /// The store's format, if it says one.
    pub format: Option<u64>,
    /// The numbers of [`META`](super::tables::META) by name.
    pub numbers: BTreeMap<Vec<u8>, u64>,
    /// The blobs that records name.
    pub blobs: Vec<Hash>,
    pub pages: u64,
    /// The first of what is wrong.
    pub damages: Vec<Damage>,
    pub damage_count: u64,
}

impl Report {
    pub fn count(&self) -> u64 {
        self.records.iter().sum()
    }

    /// Where in its log the state stands.
    ///
    /// # Errors
    /// When the state is not the one that the position was written with.
    pub fn position(&self) -> Result<Position, Outrun> {
        Position::of(|name| self.numbers.get(name.as_bytes()).copied())
    }

    pub fn is_sound(&self) -> bool {
        self.damage_count == 0
    }

    /// The first few damages in one line.
    pub fn summary(&self) -> String {
        const SHOWN: usize = 3;
        let shown: Vec<String> = self.damages.iter().take(SHOWN).map(Damage::to_string).collect();
        let more = self.damage_count.saturating_sub(shown.len() as u64);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        format!("{}{more}", shown.join("; "))
    }
}
