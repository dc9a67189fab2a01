//! The table of options.

pub mod bucket;
pub use bucket::{Algorithm, BucketSpec, Cap};
