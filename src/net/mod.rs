//! Where sockets meet protocols: one thread per core, HTTP on monoio, gateway sockets on a ring of their own.
//!
//! Owns: sockets, the turn of a core, starting and stopping threads.
//! Invariant: no business rules. Nothing here blocks a core thread: no fsync, no hashing, no lock, no unbounded
//! loop.

mod core;
mod listen;
mod ring;
mod server;

pub use server::serve;
