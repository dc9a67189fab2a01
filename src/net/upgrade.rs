//! From a request to a WebSocket: who may, and what the gateway learns of it.

use std::net::IpAddr;

use super::admission::Admitted;
use super::socket::Socket;
use crate::api::address::TrustedProxies;
use crate::api::admit::GATEWAY_PATH;
use crate::api::dispatch::{refuse, refuse_unread};
use crate::api::gate::pass_upgrade;
use crate::api::{Response, State};
use crate::domain::{Error, Refusal};
use crate::observe::log_request;
use crate::wire::http::{Head, subprotocol, switching_protocols, websocket_key};

/// What the gateway takes over.
#[derive(Debug)]
pub struct Upgrade {
    pub facts: Facts,
    /// What followed the request in the same read.
    pub leftover: Vec<u8>,
    /// Keep it as long as the connection: it holds its place in `http.connections_max`.
    pub admitted: Admitted,
}

/// What it learns from the request that opened a connection.
#[derive(Debug)]
pub struct Facts {
    /// The client's address, by the rules for proxies.
    pub ip: IpAddr,
    /// As sent; empty when there was none.
    pub host: String,
    /// The client speaks TLS to a proxy.
    pub is_https: bool,
    /// Undecoded, without the `?`.
    pub query: String,
}

impl Socket {
    /// Accepts a WebSocket, or answers why not.
    pub(super) fn upgrade(&mut self, state: &State, head: &Head<'_>, peer: IpAddr) -> Option<Box<Facts>> {
        let form = self.form(state, head).closing();
        let ip = state.proxies.client(peer, head);
        let (status, facts) = match check_upgrade(state, head, ip) {
            Ok(key) => {
                let date = self.date(state);
                switching_protocols(self.room(), key, &date, subprotocol(head));
                state.metrics.http_request(101);
                let host = head.header("host").unwrap_or_default();
                let facts = Facts {
                    ip,
                    host: String::from_utf8_lossy(host).into_owned(),
                    is_https: TrustedProxies::is_https(head),
                    query: head.target.query.0.to_string(),
                };
                (101, Some(Box::new(facts)))
            }
            Err(mut response) => {
                let _ = self.append(state, &mut response, &form);
                (response.status, None)
            }
        };
        log_request(form.request_id, head.method.as_str(), "gateway", status, 0);
        facts
    }
}

/// The client's key, or the refusal (gateway contract §1).
fn check_upgrade<'r>(state: &State, head: &Head<'r>, ip: IpAddr) -> Result<&'r [u8], Box<Response>> {
    let refused = |error: Error| Box::new(refuse(error, Response::default()));
    if head.target.path != GATEWAY_PATH {
        return Err(refused(Error::forbidden("WebSocket connections are accepted at /gateway only")));
    }
    state.blocked.check(state, ip).map_err(refused)?;
    if state.run.is_shutting_down() {
        return Err(refused(Refusal::ShuttingDown.into()));
    }
    let allowed = &state.config.websocket.allowed_origins;
    let foreign = |origin: &[u8]| !allowed.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin));
    // Programs that are no browsers send none.
    if !allowed.is_empty() && head.header("origin").is_some_and(foreign) {
        return Err(refused(Error::forbidden("This origin may not connect")));
    }
    pass_upgrade(state, head, ip, GATEWAY_PATH).map_err(refused)?;
    websocket_key(head).map_err(|error| Box::new(refuse_unread(error)))
}
