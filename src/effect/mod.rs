//! The outside world and slow work: plain threads with bounded queues, a message in and a message out.
//!
//! Owns: everything that may block or burn a core for milliseconds.
//! Invariant: handing work over never blocks the caller; a full queue is an answer.

pub mod password;
