//! Voice: where one may talk, what is told of who does, and how media find their way.
//!
//! Who talks where is no part of the state: it is as old as a session, and stands in the gateway.

pub mod channel;
pub mod ice;
