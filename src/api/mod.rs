//! REST: the table of routes, and one file per group of endpoints.
//!
//! Owns: what a request must look like, who may ask, and how an answer is spelled.
//! Invariant: no socket, no await. A handler is a plain function from a request to a [`Step`]: it reads the core's
//! snapshot, answers, or names what has to happen first (a command, a password hash) and goes on from there.

pub mod address;
pub mod auth;
pub mod authenticate;
pub mod bans;
pub mod body;
pub mod channels;
pub mod cors;
pub mod ctx;
pub mod dispatch;
pub mod dms;
pub mod invites;
pub mod limiter;
pub mod members;
pub mod messages;
pub mod pins;
pub mod presence;
pub mod rate_limit;
pub mod reactions;
pub mod read_marks;
pub mod relationships;
pub mod roles;
pub mod router;
pub mod routes;
pub mod rules;
pub mod servers;
pub mod settings;
pub mod state;
pub mod system;
pub mod typing;
pub mod users;

#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod server_world;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod world;

pub use body::Body;
pub use ctx::{Ctx, Principal, Request, Response, Step};
pub use state::State;

#[cfg(test)]
mod tests {
    use super::testing::Harness;

    #[test]
    fn unknown_paths_and_methods() {
        let harness = Harness::default();
        assert_eq!(harness.request("GET", "/nothing", None, None).0, 404);
        assert_eq!(harness.request("POST", "!/health", None, None).0, 405);
        assert_eq!(harness.request("HEAD", "!/health/", None, None).0, 200);
    }
}
