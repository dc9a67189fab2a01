//! What may be done later, and is done by the server itself.

pub mod sweep;
