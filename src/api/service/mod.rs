//! The server about itself: banner, health, versions, help pages.

pub mod system;

use super::routes::{json, routes};
use crate::limits::FORM_LEN_MAX;

routes! {
    /// Service banner.
    Get root "/" => system::root, Public, Exempt;
    /// Whether the server runs: `healthy`, or `degraded` while it refuses changes.
    Get root "/health" => system::health, Public, Exempt;
    /// Liveness alone.
    Get root "/health/live" => system::health_live, Public, Exempt;
    /// Readiness: 503 with the reason while changes are refused.
    Get root "/health/ready" => system::health_ready, Public, Exempt;
    /// This description of the API.
    Get root "/openapi.json" => system::openapi, Public, Exempt;
    /// API banner.
    Get "/" => system::api_root, Public, Default;
    /// Whether the server runs.
    Get "/health" => system::health, Public, Exempt;
    /// Server version and oldest accepted client.
    Get "/version" => system::version, Public, Default;
    /// Whether a client version is acceptable.
    Post "/version/negotiate" => system::version_negotiate, Public, Default { body: json(FORM_LEN_MAX) };
    /// Run state and uptime.
    Get "/status" => system::status, Public, Exempt;
    /// Public constants for clients.
    Get "/capabilities" => system::capabilities, Public, Default;
    /// For people who were logged out for security.
    Get "/help/security-logout" => system::help_security_logout, Public, Default;
    /// For people whose address is blocked.
    Get "/help/access-blocked" => system::help_access_blocked, Public, Default;
}
