//! The gateway: WebSocket sessions of one core, without sockets.
//!
//! Owns: connections as protocol state, sessions with their sequence numbers and replay, who gets which event,
//! presence. The contract is in the section numbers of the gateway specification.
//! Invariant: no I/O, no clock. The socket layer feeds bytes and time in, and takes bytes out with
//! [`Hub::fill`]; everything that concerns other cores goes through [`Mail`].
//!
//! Cost of an event: encoded once per process; per core one pass over the sessions of its audience (8 bytes each)
//! and about a byte per recipient; its frame is written into the core's send buffer right before the one send that a
//! session gets per turn.

mod allowance;
mod audiences;
mod by_user;
mod client;
mod compression;
mod connection;
mod connections;
mod cores;
mod counters;
mod deadlines;
mod deliver;
mod drain;
mod entries;
mod expiry;
mod farewell;
mod handover;
mod home;
mod hub;
mod input;
mod intake;
mod interest;
mod members;
mod outbox;
pub mod protocol;
mod replay;
mod send;
mod session;
mod sessions;
mod survey;
#[cfg(test)]
mod tests;
mod timers;
mod trail;
mod typing;
mod veil;
mod voice;

pub use allowance::{Allowance, Ask, Counted};
pub use connection::Facts;
pub use connections::ConnectionId;
pub use handover::{Unpackable, Unusable};
pub use home::Liveboard;
pub use hub::{Action, Adopted, Cx, Hub, Mail};
pub use input::MayRead;
pub use send::{FILL_LEN_MAX, Filled};
