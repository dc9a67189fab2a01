//! The server about itself: banner, health, versions, help pages, documentation; and what it draws for anybody.

pub mod docs;
pub mod qr;
pub mod system;

use super::routes::Answer::{File, Html, Json, One, Picture, Text};
use super::routes::{json, routes};
use crate::api::pages::{
    ApiRootResponse, ApiStatusResponse, HealthResponse, ServerCapabilitiesResponse, ServerVersionResponse,
};
use crate::domain::version::VersionNegotiateResponse;
use crate::limits::FORM_LEN_MAX;

routes! {
    /// Service banner.
    Get root "/" => system::root, Public, Exempt { answer: One(ApiRootResponse::SHAPE) };
    /// Whether the server runs: `healthy`, or `degraded` while it refuses changes.
    Get root "/health" => system::health, Public, Exempt { answer: One(HealthResponse::SHAPE) };
    /// Liveness alone.
    Get root "/health/live" => system::health_live, Public, Exempt { answer: One(system::LiveResponse::SHAPE) };
    /// Readiness: 503 with the reason while changes are refused.
    Get root "/health/ready" => system::health_ready, Public, Exempt { answer: One(system::ReadyResponse::SHAPE) };
    /// This description of the API.
    Get root "/openapi.json" => docs::openapi, Public, Exempt { answer: Json };
    /// The same of the gateway, as an AsyncAPI document.
    Get root "/asyncapi.json" => docs::asyncapi, Public, Exempt { answer: Json };
    /// Operations to be tried out.
    Get root "/docs" => docs::docs_viewer, Public, Exempt { answer: Html };
    /// Operations to be read.
    Get root "/redoc" => docs::docs_reader, Public, Exempt { answer: Html };
    /// The first page of the documentation.
    Get root "/docs/api" => docs::docs_index, Public, Exempt { answer: Html };
    /// A page of the documentation.
    Get root "/docs/api/{page}" => docs::docs_page, Public, Exempt { answer: Html };
    /// A script or a style of these pages.
    Get root "/docs/assets/{name}" => docs::docs_asset.await, Public, Exempt { answer: File };
    /// Nothing here is for search engines.
    Get root "/robots.txt" => system::robots, Public, Exempt { answer: Text(system::ROBOTS) };
    /// The same below the API, where they may have followed a link to.
    Get "/robots.txt" => system::robots, Public, Exempt { ungated: true, answer: Text(system::ROBOTS) };
    /// API banner.
    Get "/" => system::api_root, Public, Default { answer: One(ApiStatusResponse::SHAPE) };
    /// Whether the server runs. Balancers and monitors ask, who have no access token.
    Get "/health" => system::health, Public, Exempt { ungated: true, answer: One(HealthResponse::SHAPE) };
    /// Server version and oldest accepted client. A client asks before it knows whether it needs an access token.
    Get "/version" => system::version, Public, Default { ungated: true, answer: One(ServerVersionResponse::SHAPE) };
    /// Whether a client version is acceptable. Asked as early as the version.
    Post "/version/negotiate" => system::version_negotiate, Public, Default {
        ungated: true,
        body: json(FORM_LEN_MAX),
        form: Some(&system::VERSION_NEGOTIATE),
        answer: One(VersionNegotiateResponse::SHAPE),
    };
    /// Run state and uptime. Monitors ask, who have no access token.
    Get "/status" => system::status, Public, Exempt { ungated: true, answer: One(system::ServerStatusResponse::SHAPE) };
    /// Public constants for clients. It tells them whether they need an access token.
    Get "/capabilities" => system::capabilities, Public, Default { ungated: true, answer: One(ServerCapabilitiesResponse::SHAPE) };
    /// For people who were logged out for security.
    Get "/help/security-logout" => system::help_security_logout, Public, Default { answer: Html };
    /// For people whose address is blocked.
    Get "/help/access-blocked" => system::help_access_blocked, Public, Default { answer: Html };
    /// A QR code of a text. Any page may show it.
    Get "/qr" => qr::qr.await, Public, Qr { query: Some(&qr::QR), answer: Picture };
}
