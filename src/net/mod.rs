//! Where sockets meet protocols: one thread per core, HTTP on monoio, gateway sockets on a ring of their own.
//!
//! Owns: connections, their buffers and deadlines, the turn of a core, starting and stopping threads.
//! Invariant: no business rules. Every wait for a client has a deadline, every buffer a bound. Nothing here blocks a
//! core thread: no fsync, no hashing, no lock, no unbounded loop.

pub mod admission;
mod allowance;
mod alone;
mod burst;
mod clock;
pub mod connections;
pub mod control;
mod core;
pub mod http;
mod incoming;
mod listen;
mod mail;
mod outbox;
mod outgoing;
mod pace;
mod ready;
mod request;
mod rewrap;
mod ring;
pub mod rings;
mod server;
mod service;
mod signals;
mod socket;
mod upgrade;
mod waiting;

#[cfg(test)]
mod file_tests;
#[cfg(test)]
mod stream_tests;

pub use alone::operate;
pub use server::{Started, serve, store_options};
pub use signals::hold_signals;
