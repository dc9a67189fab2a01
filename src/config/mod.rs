//! Options of the operator: one table, four sources, every problem told at once.
//!
//! Owns: what can be configured, how values are spelled, and where each came from.
//! Invariant: a `Config` that [`load`] returned is within every bound and relation;
//! nothing here touches the store, a socket or a running server.

pub mod bucket;
pub(crate) mod buckets;
mod derived;
mod lists;
mod load;
mod options;
mod relations;
mod render;
mod value;

pub use bucket::{Algorithm, BucketSpec, Cap};
pub use load::{Inputs, Loaded, Origin, Problems, Source, load};
pub use options::*;
pub use render::{effective, listing, sample};
pub use value::Rule;

/// Of an option whose 0 says that nothing bounds it.
pub const fn or_unlimited(value: u64) -> usize {
    if value == 0 { usize::MAX } else { value as usize }
}

/// The public API this server speaks; clients compare it with their own version.
pub const API_LEVEL: &str = "a.1.0-49";
