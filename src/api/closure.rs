//! Whether the server is closed for maintenance, and which sessions are over: asked of each request, looked up once a
//! snapshot.

use std::cell::Cell;

use super::router::Found;
use super::state::State;
use crate::domain::gate::closure::{maintenance, void_up_to};
use crate::domain::{Error, Result};
use crate::id::TokenId;

/// Operations that are served meanwhile, beside those at the root and the administrators'.
const FREE: &[&str] = &[
    "api_root",
    "health",
    "version",
    "version_negotiate",
    "status",
    "capabilities",
    "help_security_logout",
    "help_access_blocked",
    "password_requirements",
];
/// When to come back, if nobody has said.
const RETRY_S: u64 = 60;

/// What a core knows of it, by its snapshot.
#[derive(Default)]
pub struct Closure {
    is_on: Cell<Option<bool>>,
    void_up_to: Cell<Option<TokenId>>,
}

impl Closure {
    /// The core has another snapshot.
    pub fn forget(&self) {
        self.is_on.set(None);
        self.void_up_to.set(None);
    }

    /// As [`void_up_to`].
    pub fn void_up_to(&self, state: &State) -> TokenId {
        self.void_up_to.get().unwrap_or_else(|| {
            let up_to = void_up_to(state.snapshot().read());
            self.void_up_to.set(Some(up_to));
            up_to
        })
    }

    /// Whether a request is served.
    ///
    /// # Errors
    /// 503 during maintenance.
    pub fn pass(&self, state: &State, found: &Found<'_>) -> Result<()> {
        let is_on = self.is_on.get().unwrap_or_else(|| {
            let is_on = maintenance(state.snapshot().read()).is_some();
            self.is_on.set(Some(is_on));
            is_on
        });
        match found {
            Found::Route(route, _)
                if is_on && !route.root && !route.is_admin() && !FREE.contains(&route.name) =>
            {
                Err(refusal(state))
            }
            _ => Ok(()),
        }
    }
}

#[cold]
fn refusal(state: &State) -> Error {
    let snapshot = state.snapshot();
    let notice = maintenance(snapshot.read());
    let said = notice.and_then(|notice| notice.message.as_deref()).filter(|said| !said.is_empty());
    let seconds =
        notice.and_then(|notice| notice.estimated_seconds.as_ref()).map(|seconds| seconds.to_native());
    let message = said.unwrap_or("The server is being worked on; try again later").to_string();
    let mut error = Error::new(503, message);
    error.retry_after_ms =
        Some(seconds.filter(|seconds| *seconds > 0).unwrap_or(RETRY_S).saturating_mul(1_000));
    error
}

#[cfg(test)]
mod tests {
    use super::super::routes::ROUTES;
    use super::*;

    #[test]
    fn what_is_served_meanwhile_is_there() {
        for name in FREE {
            assert!(ROUTES.iter().any(|route| route.name == *name), "{name}");
        }
    }
}
