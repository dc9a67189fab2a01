//! REST: the table of routes, and one file per group of endpoints.
//!
//! Owns: what a request must look like, who may ask, and how an answer is spelled.
//! Invariant: no socket, no await. A handler is a plain function from a request to a [`Step`]: it reads the core's
//! snapshot, answers, or names what has to happen first (a command, a password hash) and goes on from there.

pub mod authenticate;
pub mod bans;
pub mod body;
pub mod channels;
pub mod ctx;
pub mod dispatch;
#[cfg(test)]
mod fixture;
pub mod invites;
pub mod members;
pub mod roles;
pub mod router;
pub mod routes;
pub mod servers;
pub mod state;
pub mod system;
#[cfg(test)]
pub mod testing;

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
