//! Where sockets meet protocols.
//!
//! Owns: connections, their buffers and their deadlines.
//! Invariant: every wait for a client has a deadline, every buffer a bound; a connection that waits for nothing holds
//! no more than one small read buffer. No rule of the domain is here.

pub mod admission;
pub mod connections;
pub mod http;
