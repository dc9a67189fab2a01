//! People among themselves: relationships, presence, direct messages, and how they want to be reached.

pub mod dm;
pub mod presence;
pub mod relationship;
pub mod setting;
