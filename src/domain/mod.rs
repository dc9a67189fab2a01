//! The rules: what exists, who may change it, what a change makes known.
//!
//! Per noun one file: its commands, how they apply, its queries and its JSON.
//! Invariant: state changes only through [`Machine::apply`], which is deterministic: no clock, no randomness, no
//! iteration over hash maps, no floats, no configuration, no I/O. Limits that a command depends on stand in it.

pub mod account;
pub mod audit;
pub mod ban;
pub mod channel;
pub mod command;
pub mod credential;
pub mod dm;
pub mod error;
pub mod event;
pub mod invite;
pub mod ledger;
pub mod machine;
pub mod member;
pub mod message;
pub mod message_view;
pub mod ordering;
pub mod permission;
pub mod pin;
pub mod presence;
pub mod reaction;
pub mod read_mark;
pub mod relationship;
pub mod role;
pub mod server;
pub mod setting;
pub mod sweep;
pub mod tier;
pub mod time;
pub mod token;
pub mod typing;
pub mod version;
pub mod view;
pub mod writing;

pub use command::{Command, Op};
pub use error::{Error, Refusal, Result};
pub use event::{Audience, Change, Event, EventName, Output, Revocation, intent};
pub use machine::{Machine, Reply};
pub use time::{Now, Offset};
