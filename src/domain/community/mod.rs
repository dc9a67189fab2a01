//! Servers with all that makes them: members, roles, channels, bans, invites, the audit log.

pub mod audit;
pub mod ban;
pub mod channel;
pub mod invite;
pub mod member;
pub mod role;
pub mod server;
