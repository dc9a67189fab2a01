//! The rules: what exists, who may change it, what a change makes known.
//!
//! Per noun one file: its commands, how they apply, its queries and its JSON.
//! Invariant: state changes only through [`Machine::apply`], which is deterministic: no clock, no randomness, no
//! iteration over hash maps, no floats, no configuration, no I/O. Limits that a command depends on stand in it.

pub mod admin;
pub mod asking;
pub mod blob;
pub mod chat;
pub mod command;
pub mod community;
pub mod contact;
pub mod custom_emoji;
pub mod errand;
pub mod error;
pub mod event;
pub mod expression;
pub mod files;
pub mod gate;
pub mod hooks;
pub mod housekeeping;
pub mod identity;
pub mod machine;
pub mod media;
pub mod moderation;
pub mod noted;
pub mod ordering;
pub mod permission;
pub mod reply;
pub mod social;
pub mod time;
pub mod touched;
pub mod verdict;
pub mod version;
pub mod view;
pub mod voice;

pub use asking::Asking;
pub use command::{Command, Op, Operation};
pub use error::{Error, Refusal, Result};
pub use event::{Audience, Change, Event, EventName, Output, Revocation, intent};
pub use machine::Machine;
pub use reply::{Admitted, Answer, Reply};
pub use time::{Now, Offset};
pub use touched::Touched;
