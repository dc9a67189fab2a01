//! Rate limits (contract README §6), exact across cores.
//!
//! Owns: how often each caller has asked. One [`Limiter`] is shared by all core threads; its [`table`] is
//! lock-free, so a core never waits for another one. [`algorithm`] is the arithmetic, [`rules`] the table of
//! buckets, [`headers`] what the client sees.
//!
//! Invariants:
//! - A request asks global, then user (or address when anonymous), then its route's bucket, after the wider one if
//!   that stands within one; each with its hourly and daily caps. The first that is empty refuses, and then the others
//!   have lost nothing.
//! - Across all cores a bucket never admits more than its limit (while its set in the table is not
//!   overfull). While one request is being refused, another of the same caller in the same microsecond may
//!   see what the first had taken and is about to give back: refused too early, never admitted too much.
//! - Time is passed in. Counting uses the monotonic clock, only `X-RateLimit-Reset` the wall clock.
//! - An IPv6 caller is counted by each of its [`networks`], of which the wider have more room.

pub mod algorithm;
pub mod headers;
pub mod rules;
pub mod table;

use std::net::IpAddr;

use smallvec::{SmallVec, smallvec};

use crate::config::{Algorithm, BucketSpec};
use crate::runtime::clock::Turn;
use crate::runtime::network::{NETWORK_COUNT_MAX, Network, networks};
pub use algorithm::{Decision, Quota};
pub use headers::Numbers;
pub use rules::{KeyKind, RuleId, RuleSpecs};
use table::Table;

/// Entries of the table unless the caller knows better: 32 MiB of address space. A busy user has about ten
/// (global, user and its two caps, and one per route or channel), so 26,000 busy users keep it an eighth full.
pub const ENTRY_COUNT: usize = 1 << 21;

const MINUTE_MS: u32 = 60_000;
/// Namespaces below this are the rules' own.
const NAMESPACE_VERIFY: u8 = 64;
/// The first namespace free for [`Limiter::key_of_id`] and [`Limiter::take_of_ip`].
pub const NAMESPACE_FREE: u8 = 128;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    User {
        id: u64,
        /// The tier's multiplier × 100: standard 100, alpha 200, premium 300, staff 1,000.
        tier_percent: u32,
        is_bot: bool,
    },
    /// Counted by itself and its channel where a rule is by webhook, else by address.
    Webhook { id: u64, channel_id: u64 },
    /// Counted by address.
    Anonymous,
}

/// One request, as far as its limits go.
#[derive(Clone, Copy, Debug)]
pub struct LimitRequest {
    pub principal: Principal,
    /// The caller's address: the peer's, or the one a trusted proxy names.
    pub ip: IpAddr,
    pub rule: RuleId,
    /// For rules by user and channel: the channel's id. Else ignored.
    pub resource: u64,
    /// For the default rule: a number that method and route (its pattern) determine. Else ignored.
    pub route: u64,
}

/// What the limits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Limits are off: no headers.
    Unlimited,
    /// Go on; the headers show the most specific bucket.
    Allowed(Numbers),
    /// 429 with the numbers of the bucket that refused.
    Refused(Numbers),
}

/// Shared by all cores behind an `Arc`.
pub struct Limiter {
    table: Table,
    specs: RuleSpecs,
    verify: BucketSpec,
    /// Against keys chosen to fall into one set.
    seeds: [u64; 3],
    /// The table's time starts here at 1 (0 is "never").
    origin_ms: u64,
}

/// Where a request is counted: keys, and the percentage of the limit it gets there.
type Keys = SmallVec<[(u64, u32); NETWORK_COUNT_MAX]>;
/// What was taken, to be given back: key of the table and limit.
type Taken = SmallVec<[(u64, Quota); 9]>;

impl Limiter {
    /// `entry_count` is as a rule [`ENTRY_COUNT`]. `seed` is random, so that no client can aim at a set.
    pub fn new(specs: RuleSpecs, entry_count: usize, now: Turn, seed: u64) -> Self {
        let verify = BucketSpec {
            algorithm: Algorithm::SlidingWindow,
            requests: specs.token_verify_rate_limit,
            burst: 0,
            window_ms: MINUTE_MS,
            caps: Vec::new(),
        };
        let seeds = [1, 3, 5].map(|odd: u64| fold(seed ^ PRIME_A, odd.wrapping_mul(PRIME_B)));
        let origin_ms = now.monotonic_ms.saturating_sub(1);
        Self { table: Table::new(entry_count), specs, verify, seeds, origin_ms }
    }

    /// Takes one request out of every bucket it falls into, or out of none.
    pub fn check(&self, now: Turn, request: &LimitRequest) -> Verdict {
        if !self.specs.enabled {
            return Verdict::Unlimited;
        }
        let caller = match request.principal {
            Principal::User { .. } => RuleId::User,
            Principal::Webhook { .. } | Principal::Anonymous => RuleId::Ip,
        };
        let mut taken = Taken::new();
        let mut verdict = Verdict::Unlimited;
        let within = request.rule.rule().within;
        for rule in [RuleId::Global, caller].into_iter().chain(within).chain([request.rule]) {
            let spec = &self.specs.buckets[rule as usize];
            if spec.requests == 0 {
                continue;
            }
            let decision = self.take_all(now, &self.keys(rule, request), spec, &mut taken);
            let numbers = numbers(rule, decision, now);
            if !decision.allowed {
                self.give_back(now, &taken);
                return Verdict::Refused(numbers);
            }
            verdict = Verdict::Allowed(numbers);
        }
        verdict
    }

    /// One request out of a bucket outside the table of rules, such as the gateway's IDENTIFY limits.
    /// `requests == 0` in `spec` is off: allowed, with limit 0.
    pub fn take(&self, now: Turn, key: u64, spec: &BucketSpec) -> Decision {
        self.take_or_none(now, &[(key, 100)], spec)
    }

    /// The same for an address, in a namespace from [`NAMESPACE_FREE`] on: out of the bucket of each of its networks.
    pub fn take_of_ip(&self, now: Turn, namespace: u8, ip: IpAddr, spec: &BucketSpec) -> Decision {
        self.take_or_none(now, &self.keys_of_ip(namespace, ip, 0), spec)
    }

    fn take_or_none(&self, now: Turn, keys: &[(u64, u32)], spec: &BucketSpec) -> Decision {
        if spec.requests == 0 {
            return Decision { allowed: true, limit: 0, remaining: 0, reset_after_ms: 0, retry_after_ms: 0 };
        }
        let mut taken = Taken::new();
        let decision = self.take_all(now, keys, spec, &mut taken);
        if !decision.allowed {
            self.give_back(now, &taken);
        }
        decision
    }

    /// A token was presented that does not verify.
    pub fn failed_verification(&self, now: Turn, ip: IpAddr) {
        self.take_of_ip(now, NAMESPACE_VERIFY, ip, &self.verify);
    }

    /// Whether this address has failed so often that its tokens are not looked at (answer 401).
    pub fn verification_blocked(&self, now: Turn, ip: IpAddr) -> bool {
        if self.verify.requests == 0 {
            return false;
        }
        self.keys_of_ip(NAMESPACE_VERIFY, ip, 0).into_iter().any(|(key, percent)| {
            let quota = Quota::new(&self.verify, percent);
            let state = self.table.get(key ^ salt(&quota, 0));
            state.is_some_and(|state| !quota.take(state, self.time(now)).1.allowed)
        })
    }

    /// The key of a user, session or token in a namespace of its own, from [`NAMESPACE_FREE`] on.
    pub fn key_of_id(&self, namespace: u8, id: u64) -> u64 {
        self.key(namespace, SUBJECT_ID, id, 0)
    }

    fn keys_of_ip(&self, namespace: u8, ip: IpAddr, part: u64) -> Keys {
        let key = |network: Network| self.key(namespace, network.len, network.bits, part);
        networks(ip).map(|network| (key(network), 100 * network.factor)).collect()
    }

    /// Where a request is counted in `rule`.
    fn keys(&self, rule: RuleId, request: &LimitRequest) -> Keys {
        let row = rule.rule();
        let part = match row.key {
            KeyKind::UserChannel => request.resource,
            KeyKind::UserRoute => request.route,
            _ => 0,
        };
        match request.principal {
            Principal::User { id, tier_percent, is_bot } if row.key != KeyKind::Ip => {
                let bot = if is_bot && row.bot { self.specs.bot_multiplier_percent } else { 100 };
                let percent = u64::from(tier_percent) * u64::from(bot) / 100;
                let percent = u32::try_from(percent).unwrap_or(u32::MAX);
                smallvec![(self.key(rule as u8, SUBJECT_ID, id, part), percent)]
            }
            Principal::Webhook { id, .. } if row.key == KeyKind::Webhook => {
                smallvec![(self.key(rule as u8, SUBJECT_ID, id, 0), self.specs.webhook_multiplier_percent)]
            }
            Principal::Webhook { channel_id, .. } if row.key == KeyKind::WebhookChannel => {
                let key = self.key(rule as u8, SUBJECT_ID, channel_id, 0);
                smallvec![(key, self.specs.webhook_multiplier_percent)]
            }
            _ => self.keys_of_ip(rule as u8, request.ip, part),
        }
    }

    /// Takes out of the main limit and every cap, under each key. The decision is the refusing one's, else that of the
    /// first key's main limit.
    fn take_all(&self, now: Turn, keys: &[(u64, u32)], spec: &BucketSpec, taken: &mut Taken) -> Decision {
        let now = self.time(now);
        let mut shown = None;
        for &(key, percent) in keys {
            let main = Quota::new(spec, percent);
            let quotas = std::iter::once(main).chain(spec.caps.iter().map(|cap| Quota::cap(cap, percent)));
            for (index, quota) in quotas.enumerate() {
                let key = key ^ salt(&quota, index);
                let decision = self.table.update(key, now, |state| quota.take(state, now));
                if !decision.allowed {
                    return decision;
                }
                taken.push((key, quota));
                shown.get_or_insert(decision);
            }
        }
        shown.expect("there is a key, and its main limit was asked")
    }

    fn give_back(&self, now: Turn, taken: &Taken) {
        let now = self.time(now);
        for (key, quota) in taken {
            // An entry that was forgotten meanwhile has until 0 and holds nothing of ours.
            self.table.update(*key, now, |state| match table::until(state) {
                0 => (None, ()),
                _ => (quota.give_back(state, now), ()),
            });
        }
    }

    fn time(&self, now: Turn) -> u64 {
        now.monotonic_ms.saturating_sub(self.origin_ms).clamp(1, table::UNTIL_MAX)
    }

    /// 64 well-mixed bits: low ones choose the set, high ones are the fingerprint.
    fn key(&self, namespace: u8, kind: u8, id: u64, part: u64) -> u64 {
        let [first, second, third] = self.seeds;
        let head = u64::from(namespace) << 8 | u64::from(kind);
        fold(fold(id ^ first, head ^ second) ^ part, third)
    }
}

/// The kind of an id among keys; that of a network is the length of its prefix.
const SUBJECT_ID: u8 = 1;

/// Separates the main limit, each cap, and ways of reading a state that share one key. Odd multiples of a
/// prime change high and low bits alike.
fn salt(quota: &Quota, index: usize) -> u64 {
    (index as u64 * 4 + quota.salt()).wrapping_mul(PRIME_A)
}

const PRIME_A: u64 = 0x9E37_79B9_7F4A_7C15;
const PRIME_B: u64 = 0xD6E8_FEB8_6659_FD93;

/// Both halves of a 128-bit product, folded: every input bit reaches every output bit.
fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

fn numbers(rule: RuleId, decision: Decision, now: Turn) -> Numbers {
    let Decision { limit, remaining, reset_after_ms, retry_after_ms, .. } = decision;
    let reset_unix_ms = now.unix_ms + reset_after_ms;
    Numbers { rule, limit, remaining, reset_unix_ms, reset_after_ms, retry_after_ms }
}

#[cfg(test)]
mod tests;
