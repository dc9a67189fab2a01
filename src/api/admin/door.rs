//! Who gets to the administrators' API: from which address, with which session, how often.
//!
//! Order: whether there is one at all (404), the address (403), the session (401); then input and what it is about. A
//! user's token is none here: it has another form, and another table.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::api::authenticate::{bearer, hash_secret};
use crate::api::ctx::{AdminCaller, Caller, Request};
use crate::api::limiter::NAMESPACE_FREE;
use crate::api::state::State;
use crate::config::{Algorithm, BucketSpec, Cap, Config};
use crate::domain::admin::session;
use crate::domain::{Error, Refusal, Result};
use crate::wire::http::Method;

/// Where changes by an administrator are counted; those below are the gateway's.
const NAMESPACE: u8 = NAMESPACE_FREE + 16;
const MINUTE_MS: u32 = 60_000;
const HOUR_S: u32 = 3_600;
/// How long such a session is, as a token: that of no user is.
const TOKEN_LEN: usize = 43;

/// What a core knows of the door.
pub struct Door {
    /// Where administrators may come from; empty: everywhere.
    sources: Vec<IpNet>,
    /// What one of them may change.
    changes: BucketSpec,
}

impl Door {
    pub fn new(config: &Config) -> Door {
        let listed = config.admin_ui_host_restriction.allowed_hosts.iter();
        let listed = listed.filter(|_| config.admin_ui_host_restriction.enabled);
        let fit = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let per_minute = config.user_features_admin_rate_limit.max_per_minute;
        let per_hour = config.user_features_admin_rate_limit.max_per_hour;
        let cap = Cap { requests: fit(per_hour), window_s: HOUR_S };
        // Either may be 0, which is without bound: that of an hour alone is the bucket's own.
        let (requests, window_ms, caps) = match (per_minute, per_hour) {
            (0, hour) => (fit(hour), HOUR_S * 1_000, Vec::new()),
            (minute, 0) => (fit(minute), MINUTE_MS, Vec::new()),
            (minute, _) => (fit(minute), MINUTE_MS, vec![cap]),
        };
        Door {
            sources: listed.flat_map(|text| networks(text)).collect(),
            changes: BucketSpec {
                algorithm: Algorithm::SlidingWindow,
                requests: if config.rate_limiting.enabled { requests } else { 0 },
                burst: 0,
                window_ms,
                caps: caps.into_iter().collect(),
            },
        }
    }

    fn lets_in(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.sources.is_empty() || self.sources.iter().any(|network| network.contains(&ip))
    }
}

/// What a line of `allowed_hosts` means; the configuration has looked at it.
fn networks(text: &str) -> Vec<IpNet> {
    if text == "localhost" {
        return vec![IpAddr::from(Ipv4Addr::LOCALHOST).into(), IpAddr::from(Ipv6Addr::LOCALHOST).into()];
    }
    text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)).into_iter().collect()
}

/// Whether a request to one of its paths goes any further.
///
/// # Errors
/// 404 when there is no such API, 403 from where it is not to be used.
pub fn pass(state: &State, ip: IpAddr) -> Result<()> {
    if !state.config.admin_ui.enabled {
        return Err(Refusal::RouteNotFound.into());
    }
    if !state.door.lets_in(ip) {
        return Err(Error::forbidden(
            "This address may not administer the server: see admin_ui.host_restriction",
        ));
    }
    Ok(())
}

/// The administrator whose session the request shows.
///
/// # Errors
/// 401.
pub fn authenticate(state: &State, request: &Request<'_>) -> Result<Caller> {
    let session = shown(request)?;
    let snapshot = state.snapshot();
    let (admin_id, _) = session::live(snapshot.read(), &session, state.now_ms())?;
    Ok(Caller::Admin(AdminCaller { admin_id, session }))
}

/// The hash of the session that a request shows.
///
/// # Errors
/// 401 when it shows none.
pub fn shown(request: &Request<'_>) -> Result<[u8; 32]> {
    let token = bearer(&request.head)?;
    if token.len() != TOKEN_LEN { Err(Refusal::TokenInvalid.into()) } else { Ok(hash_secret(token)) }
}

/// Counts a change by an administrator; looking at things is free, so that a console may poll.
///
/// # Errors
/// 429 when there were too many.
pub fn count(state: &State, method: Method, caller: Caller) -> Result<()> {
    let Caller::Admin(AdminCaller { admin_id, .. }) = caller else { return Ok(()) };
    if matches!(method, Method::Get | Method::Head) {
        return Ok(());
    }
    let decision =
        state.limiter.take(state.now(), state.limiter.key_of_id(NAMESPACE, admin_id.0), &state.door.changes);
    match decision.allowed {
        true => Ok(()),
        false => {
            let wait = decision.retry_after_ms;
            Err(Error::too_many(
                "Too many changes by one administrator: see user_features.admin_rate_limit",
                wait,
            ))
        }
    }
}

/// What failures from an address are counted by: an IPv6 caller has more addresses than one can count.
pub fn source(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            IpNet::new(ip.into(), 64).map_or(ip.to_string(), |network| network.trunc().to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Harness;
    use crate::id::AdminId;

    #[test]
    fn changes_are_bounded_by_minute_and_by_hour() {
        // Of a minute, of an hour: how many go at once.
        for (minute, hour, want) in [(3, 0, 3), (3, 2, 2), (2, 3, 2), (0, 2, 2), (0, 0, 20)] {
            let mut config = Config::default();
            config.user_features_admin_rate_limit.max_per_minute = minute;
            config.user_features_admin_rate_limit.max_per_hour = hour;
            let harness = Harness::limited(config);
            let caller = Caller::Admin(AdminCaller { admin_id: AdminId(1), session: [0; 32] });
            let passed = (0..20).filter(|_| count(&harness.state, Method::Post, caller).is_ok()).count();
            assert_eq!(passed, want, "{minute} {hour}");
        }
    }
}
