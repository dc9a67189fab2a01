//! How a request falls under the rate limits: the route's bucket, the caller, the numbers of the configuration.
//! The counting is [`super::limiter`]'s.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::ctx::{Caller, Request};
use super::limiter::{
    KeyKind, LimitRequest, Limiter, Numbers, RuleId, RuleSpecs, Verdict, rules::RULE_COUNT,
};
use super::router::Params;
use super::routes::Route;
use super::state::State;
use crate::config::{BucketSpec, Config};
use crate::domain::identity::tier;
use crate::id::parse_id;
use crate::runtime::clock::Turn;

/// One per process. `entry_count` is as a rule [`super::limiter::ENTRY_COUNT`].
///
/// # Panics
/// When the kernel gives no random bytes.
pub fn new_limiter(config: &Config, entry_count: usize, now: Turn) -> Arc<Limiter> {
    let seed = getrandom::u64().expect("the kernel gives random bytes");
    Arc::new(Limiter::new(rule_specs(config), entry_count, now, seed))
}

fn rule_specs(config: &Config) -> RuleSpecs {
    let buckets: [BucketSpec; RULE_COUNT] = RuleId::ALL.map(|rule| (rule.rule().spec)(config).clone());
    let fit = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    RuleSpecs {
        enabled: config.rate_limiting.enabled,
        bot_multiplier_percent: fit(config.rate_limiting.bot_multiplier_percent),
        webhook_multiplier_percent: fit(config.rate_limiting.webhook_multiplier_percent),
        token_verify_rate_limit: fit(config.authentication_security.token_verify_rate_limit),
        buckets,
    }
}

/// What is asked for.
pub enum Asked<'a, 'r> {
    Route(&'static Route, &'a Params<'r>),
    /// No such path, or not with this method: counted too, since looking for paths costs as much.
    Nothing,
}

impl Asked<'_, '_> {
    fn rule(&self) -> Option<RuleId> {
        match self {
            Asked::Route(route, _) => route.bucket,
            Asked::Nothing => Some(RuleId::Default),
        }
    }

    /// A channel's id where the rule counts by channel; nonsense counts as one channel.
    fn resource(&self, rule: RuleId) -> u64 {
        match self {
            Asked::Route(_, params) if rule.rule().key == KeyKind::UserChannel => {
                parse_id(&params.get("channel_id")).unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Its address tells a route from all others for as long as the process lives.
    fn number(&self) -> u64 {
        match self {
            Asked::Route(route, _) => std::ptr::from_ref::<Route>(route) as u64,
            Asked::Nothing => 0,
        }
    }
}

/// Takes the request out of its buckets, or says which of them is empty. `None`: not limited, no headers.
///
/// # Errors
/// The numbers of the 429.
pub fn check(
    state: &State,
    request: &Request<'_>,
    asked: &Asked<'_, '_>,
    caller: Caller,
) -> Result<Option<Numbers>, Numbers> {
    let Some(rule) = asked.rule().filter(|_| is_limited(state, request)) else { return Ok(None) };
    let principal = match caller {
        Caller::User(principal) => super::limiter::Principal::User {
            id: principal.user_id.0,
            tier_percent: tier::rate_percent(principal.tier),
            is_bot: principal.is_bot(),
        },
        Caller::Webhook(bearer) => {
            super::limiter::Principal::Webhook { id: bearer.webhook_id.0, channel_id: bearer.channel_id.0 }
        }
        Caller::Nobody | Caller::Admin(_) => super::limiter::Principal::Anonymous,
    };
    let (resource, route) = (asked.resource(rule), asked.number());
    let limits = LimitRequest { principal, ip: request.ip, rule, resource, route };
    match state.limiter.check(state.now(), &limits) {
        Verdict::Unlimited => Ok(None),
        Verdict::Allowed(numbers) => Ok(Some(numbers)),
        Verdict::Refused(numbers) => Err(numbers),
    }
}

/// Limits are on and the request does not carry the bypass secret.
fn is_limited(state: &State, request: &Request<'_>) -> bool {
    let config = &state.config;
    let secret = config.rate_limiting.bypass_secret.as_bytes();
    let given = || request.head.header("x-ratelimit-bypass").unwrap_or_default();
    config.rate_limiting.enabled && (secret.is_empty() || !bool::from(secret.ct_eq(given())))
}

#[cfg(test)]
mod tests {
    use super::super::operator::tests::ask;
    use super::super::routes::ROUTES;
    use super::super::testing::Harness;
    use super::super::testing::fixture::register;
    use super::*;
    use crate::config::UserFeatures;

    #[test]
    fn routes_limited_by_channel_name_it() {
        for route in ROUTES {
            let by_channel = route.bucket.is_some_and(|rule| rule.rule().key == KeyKind::UserChannel);
            assert!(!by_channel || route.path.contains("{channel_id}"), "{}", route.name);
        }
    }

    #[test]
    fn bots_have_more_room_where_the_contract_says_so() {
        let harness = Harness::limited(Config {
            user_features: UserFeatures { alpha_registration_enabled: false, ..UserFeatures::default() },
            ..Config::default()
        });
        let ada = register(&harness, "ada");
        let said = ask(&harness, r#"{"do":"bot_create","name":"rosie","owner":"ada"}"#).unwrap();
        let limit = |path: &str, token: &str| {
            let head = format!("GET {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bot {token}\r\n\r\n");
            harness.respond(&head, "").limits.unwrap().limit
        };
        let limits =
            |token: &str| [limit("/api/v1/channels/7/messages", token), limit("/api/v1/users/@me", token)];
        assert_eq!(limits(&ada.token), [15, 40]);
        assert_eq!(limits(said.lines().last().unwrap()), [22, 40]);
    }
}
