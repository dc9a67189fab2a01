//! The limiter as a whole: order of buckets, keys, multipliers, giving back, several threads.

use super::*;
use crate::config::Cap;
use std::sync::atomic::{AtomicU32, Ordering};

const START: Turn = Turn::at(1_800_000_000_000, 77_000);
const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn bucket(algorithm: Algorithm, requests: u32, burst: u32, window_ms: u32) -> BucketSpec {
    BucketSpec { algorithm, requests, burst, window_ms, caps: Vec::new() }
}

/// All buckets off but those given.
fn limiter(buckets: &[(RuleId, BucketSpec)]) -> Limiter {
    let off = bucket(Algorithm::FixedWindow, 0, 0, 1);
    let mut specs = RuleSpecs {
        enabled: true,
        bot_multiplier_percent: 150,
        webhook_multiplier_percent: 100,
        token_verify_rate_limit: 3,
        buckets: std::array::from_fn(|_| off.clone()),
    };
    for (rule, spec) in buckets {
        specs.buckets[*rule as usize] = spec.clone();
    }
    Limiter::new(specs, 1 << 12, START, 42)
}

fn user(rule: RuleId, id: u64) -> LimitRequest {
    let principal = Principal::User { id, tier_percent: 100, is_bot: false };
    LimitRequest { principal, ip: IP, rule, resource: 0, route: 0 }
}

fn anonymous(rule: RuleId, ip: &str) -> LimitRequest {
    LimitRequest { principal: Principal::Anonymous, ip: ip.parse().unwrap(), rule, resource: 0, route: 0 }
}

/// `+` allowed, with limit and remaining of the bucket shown; `-` refused, with its retry.
fn say(verdict: Verdict) -> String {
    match verdict {
        Verdict::Unlimited => "unlimited".into(),
        Verdict::Allowed(n) => format!("+{} {}/{}", n.rule.rule().name, n.remaining, n.limit),
        Verdict::Refused(n) => format!("-{} {}", n.rule.rule().name, n.retry_after_ms),
    }
}

fn check(limiter: &Limiter, after_ms: u64, request: LimitRequest, want: &str) {
    assert_eq!(say(limiter.check(START.after(after_ms), &request)), want);
}

#[test]
fn refused_by_the_first_empty_and_taken_from_none() {
    let fixed = |requests| bucket(Algorithm::FixedWindow, requests, 0, 60_000);
    let limiter = limiter(&[
        (RuleId::Global, bucket(Algorithm::TokenBucket, 4, 0, 60_000)),
        (RuleId::User, bucket(Algorithm::SlidingWindow, 3, 0, 60_000)),
        (RuleId::ServersDelete, fixed(1)),
        (RuleId::UsersMeGet, fixed(10)),
    ]);
    check(&limiter, 0, user(RuleId::ServersDelete, 1), "+servers_delete 0/1");
    for _ in 0..20 {
        check(&limiter, 0, user(RuleId::ServersDelete, 1), "-servers_delete 60000");
    }
    // Twenty refusals took nothing from user (2 left) and global (3 left).
    check(&limiter, 0, user(RuleId::UsersMeGet, 1), "+users_me_get 9/10");
    check(&limiter, 0, user(RuleId::UsersMeGet, 1), "+users_me_get 8/10");
    let refused = say(limiter.check(START, &user(RuleId::UsersMeGet, 1)));
    assert!(refused.starts_with("-user "), "{refused}");
    // Refused by user: global and route kept theirs. Another user has buckets of its own.
    check(&limiter, 0, user(RuleId::UsersMeGet, 2), "+users_me_get 9/10");
    check(&limiter, 120_000, user(RuleId::UsersMeGet, 1), "+users_me_get 9/10");
}

#[test]
fn a_refused_request_begins_no_window() {
    let capped = BucketSpec {
        caps: vec![Cap { requests: 5, window_s: 3600 }],
        ..bucket(Algorithm::FixedWindow, 1, 0, 1_000)
    };
    let limiter =
        limiter(&[(RuleId::User, capped), (RuleId::AuthLogin, bucket(Algorithm::FixedWindow, 1, 0, 500))]);
    check(&limiter, 0, user(RuleId::AuthLogin, 1), "+auth_login 0/1");
    // User 2 from the same address is refused by the login bucket; its own window does not begin.
    check(&limiter, 400, user(RuleId::AuthLogin, 2), "-auth_login 100");
    check(&limiter, 500, user(RuleId::AuthLogin, 2), "+auth_login 0/1");
    check(&limiter, 1_400, user(RuleId::AuthLogin, 2), "-user 100");
    check(&limiter, 1_500, user(RuleId::AuthLogin, 2), "+auth_login 0/1");
}

#[test]
fn caps_refuse_with_their_own_numbers() {
    let spec = BucketSpec {
        caps: vec![Cap { requests: 3, window_s: 3600 }, Cap { requests: 100, window_s: 86_400 }],
        ..bucket(Algorithm::FixedWindow, 2, 0, 1_000)
    };
    let limiter = limiter(&[(RuleId::UsersMeEdit, spec)]);
    check(&limiter, 0, user(RuleId::UsersMeEdit, 1), "+users_me_edit 1/2");
    check(&limiter, 0, user(RuleId::UsersMeEdit, 1), "+users_me_edit 0/2");
    check(&limiter, 0, user(RuleId::UsersMeEdit, 1), "-users_me_edit 1000");
    check(&limiter, 1_000, user(RuleId::UsersMeEdit, 1), "+users_me_edit 1/2");
    check(&limiter, 1_000, user(RuleId::UsersMeEdit, 1), "-users_me_edit 3599000");
    // The capped refusal gave the minute's request back.
    check(&limiter, 3_600_000, user(RuleId::UsersMeEdit, 1), "+users_me_edit 1/2");
}

#[test]
fn multipliers_scale_what_is_counted_by_user() {
    let limiter = limiter(&[
        (RuleId::MessagesCreate, bucket(Algorithm::TokenBucket, 5, 3, 5_000)),
        (RuleId::UsersMeGet, bucket(Algorithm::SlidingWindow, 30, 10, 60_000)),
        (RuleId::AuthLogin, bucket(Algorithm::FixedWindow, 5, 0, 60_000)),
    ]);
    let ask = |id, rule, tier_percent, is_bot, want| {
        let principal = Principal::User { id, tier_percent, is_bot };
        check(&limiter, 0, LimitRequest { principal, ..user(rule, id) }, want);
    };
    ask(1, RuleId::MessagesCreate, 200, false, "+messages_create 15/16");
    ask(2, RuleId::MessagesCreate, 100, true, "+messages_create 11/12");
    ask(3, RuleId::MessagesCreate, 1_000, true, "+messages_create 119/120");
    ask(4, RuleId::UsersMeGet, 200, true, "+users_me_get 79/80");
    ask(5, RuleId::AuthLogin, 1_000, true, "+auth_login 4/5");
}

#[test]
fn keys_separate_what_the_table_says() {
    let one = || bucket(Algorithm::FixedWindow, 1, 0, 1_000);
    let limiter = limiter(&[
        (RuleId::MessagesCreate, one()),
        (RuleId::MessagesEdit, one()),
        (RuleId::Default, one()),
        (RuleId::AuthLogin, one()),
    ]);
    let in_channel = |id, resource| LimitRequest { resource, ..user(RuleId::MessagesCreate, id) };
    let on_route = |id, route| LimitRequest { route, resource: route, ..user(RuleId::Default, id) };
    for request in [
        in_channel(1, 10),
        in_channel(1, 11),
        in_channel(2, 10),
        LimitRequest { rule: RuleId::MessagesEdit, ..in_channel(1, 10) },
        on_route(1, 10),
        on_route(1, 11),
        on_route(2, 10),
        LimitRequest { route: 10, ..anonymous(RuleId::Default, "192.0.2.1") },
        anonymous(RuleId::AuthLogin, "192.0.2.1"),
        anonymous(RuleId::AuthLogin, "192.0.2.2"),
        anonymous(RuleId::AuthLogin, "2001:db8:1:2::1"),
        anonymous(RuleId::AuthLogin, "2001:db8:1:3::1"),
    ] {
        check(&limiter, 0, request, &format!("+{} 0/1", request.rule.rule().name));
        check(&limiter, 0, request, &format!("-{} 1000", request.rule.rule().name));
    }
    for same in ["::ffff:192.0.2.1", "2001:db8:1:2:ffff::9"] {
        check(&limiter, 0, anonymous(RuleId::AuthLogin, same), "-auth_login 1000");
    }
    check(&limiter, 0, user(RuleId::AuthLogin, 9), "-auth_login 1000");
}

#[test]
fn off_and_empty() {
    let mut nothing = limiter(&[]);
    check(&nothing, 0, user(RuleId::Default, 1), "unlimited");
    nothing.specs.buckets[RuleId::Global as usize] = bucket(Algorithm::TokenBucket, 2, 1, 1_000);
    check(&nothing, 0, user(RuleId::Default, 1), "+global 2/3");
    check(&nothing, 0, anonymous(RuleId::Default, "192.0.2.1"), "+global 2/3");
    nothing.specs.enabled = false;
    check(&nothing, 0, user(RuleId::Default, 1), "unlimited");
    let off = bucket(Algorithm::TokenBucket, 0, 5, 1_000);
    assert!(nothing.take(START, 1, &off).allowed);
}

#[test]
fn failed_verifications_block_the_address() {
    let limiter = limiter(&[]);
    let other: IpAddr = "192.0.2.9".parse().unwrap();
    for failures in 0..5 {
        assert_eq!(limiter.verification_blocked(START, IP), failures >= 3, "asking counts nothing");
        limiter.failed_verification(START, IP);
    }
    assert!(!limiter.verification_blocked(START, other));
    assert!(!limiter.verification_blocked(START.after(120_000), IP));
}

/// From a /48 with a /64 for each request comes 16 times what one client may, from a /56 of it 4 times.
#[test]
fn networks_of_many_clients_have_more_room_each() {
    let one = bucket(Algorithm::FixedWindow, 5, 0, 60_000);
    let limiter = limiter(&[(RuleId::AuthLogin, one.clone())]);
    let admitted = |addresses: &mut dyn Iterator<Item = String>| {
        let requests = addresses.map(|address| limiter.check(START, &anonymous(RuleId::AuthLogin, &address)));
        requests.filter(|verdict| matches!(verdict, Verdict::Allowed(_))).count()
    };
    assert_eq!(admitted(&mut (0..10).map(|host| format!("2001:db8:1:2::{host}"))), 5);
    assert_eq!(admitted(&mut (0x00..0xff).map(|net| format!("2001:db8:1:{net:x}::1"))), 20 - 5);
    assert_eq!(admitted(&mut (0x100..0xfff).map(|net| format!("2001:db8:1:{net:x}::1"))), 80 - 20);
    assert_eq!(admitted(&mut (0..10).map(|host| format!("2001:db8:2:2::{host}"))), 5, "another customer");
    assert_eq!(admitted(&mut (0..10).map(|host| format!("192.0.2.{host}"))), 10, "v4 addresses are apart");
    // Refused by the wide network, the narrow one keeps its own: nothing was taken.
    let ask = |net: u32| {
        let ip = format!("2001:db8:3:{net:x}::1").parse().unwrap();
        limiter.take_of_ip(START, NAMESPACE_FREE, ip, &one).allowed
    };
    assert_eq!((0..100).filter(|net| ask(*net)).count(), 20);
    let failing = |net: u32| -> IpAddr { format!("2001:db8:4:{net:x}::1").parse().unwrap() };
    (0..12).for_each(|net| limiter.failed_verification(START, failing(net)));
    assert!(limiter.verification_blocked(START, failing(99)), "4 x 3 in one /56");
    assert!(!limiter.verification_blocked(START, failing(0x100)));
}

#[test]
fn gateway_limits_use_the_same_table() {
    let limiter = limiter(&[]);
    let identify = bucket(Algorithm::TokenBucket, 1, 4, 5_000);
    let key = limiter.key_of_id(NAMESPACE_FREE, 7);
    let allowed = |after_ms| limiter.take(START.after(after_ms), key, &identify).allowed;
    assert_eq!([0; 6].map(allowed), [true, true, true, true, true, false]);
    assert_eq!([4_999, 5_000, 5_000, 10_000].map(allowed), [false, true, false, true]);
    assert_ne!(key, limiter.key_of_id(NAMESPACE_FREE + 1, 7));
    let of_ip = || limiter.take_of_ip(START, NAMESPACE_FREE, IP, &identify).allowed;
    assert_eq!([(); 6].map(|()| of_ip()), [true, true, true, true, true, false], "not the id's bucket");
}

#[test]
fn reset_is_wall_clock_and_consistent() {
    let limiter = limiter(&[(RuleId::UsersMeEdit, bucket(Algorithm::FixedWindow, 1, 0, 60_000))]);
    let Verdict::Allowed(first) = limiter.check(START, &user(RuleId::UsersMeEdit, 1)) else { panic!() };
    assert_eq!((first.reset_after_ms, first.reset_unix_ms), (60_000, START.unix_ms + 60_000));
    let stepped = Turn { unix_ms: 5, ..START.after(1_000) };
    let Verdict::Refused(second) = limiter.check(stepped, &user(RuleId::UsersMeEdit, 1)) else { panic!() };
    assert_eq!((second.retry_after_ms, second.reset_unix_ms), (59_000, 59_005), "the wall clock may step");
}

/// Threads on one user's buckets while the route refuses most and gives back: the route admits exactly its
/// limit, and afterwards global and user have lost exactly that many.
#[test]
fn threads_never_admit_more_than_the_limit() {
    for (seed, algorithm) in
        [Algorithm::TokenBucket, Algorithm::SlidingWindow, Algorithm::FixedWindow].into_iter().enumerate()
    {
        let wide = |algorithm| bucket(algorithm, 1_000, 0, 3_600_000);
        let limiter = limiter(&[
            (RuleId::Global, wide(Algorithm::TokenBucket)),
            (
                RuleId::User,
                BucketSpec { caps: vec![Cap { requests: 1_000, window_s: 3600 }], ..wide(algorithm) },
            ),
            (RuleId::MessagesCreate, bucket(algorithm, 90, 10, 3_600_000)),
        ]);
        let admitted = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Verdict::Allowed(_) = limiter.check(START, &user(RuleId::MessagesCreate, 1)) {
                            admitted.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(admitted.load(Ordering::Relaxed), 100, "seed {seed}");
        let rest = (0..2_000)
            .filter(|_| matches!(limiter.check(START, &user(RuleId::Default, 1)), Verdict::Allowed(_)))
            .count();
        assert_eq!(rest, 900, "{algorithm:?}");
    }
}

#[test]
fn a_webhook_is_counted_by_itself_within_its_channel() {
    let fixed = |requests| bucket(Algorithm::FixedWindow, requests, 0, 60_000);
    let limiter = limiter(&[
        (RuleId::Ip, fixed(100)),
        (RuleId::WebhooksChannel, fixed(3)),
        (RuleId::WebhooksExecute, fixed(2)),
    ]);
    let hook = |id, channel_id| {
        let principal = Principal::Webhook { id, channel_id };
        LimitRequest { principal, ..anonymous(RuleId::WebhooksExecute, "192.0.2.1") }
    };
    check(&limiter, 0, hook(1, 7), "+webhooks_execute 1/2");
    check(&limiter, 0, hook(1, 7), "+webhooks_execute 0/2");
    check(&limiter, 0, hook(1, 7), "-webhooks_execute 60000");
    // The refusal took nothing from the channel.
    check(&limiter, 0, hook(2, 7), "+webhooks_execute 1/2");
    check(&limiter, 0, hook(2, 7), "-webhooks_channel 60000");
    check(&limiter, 0, hook(2, 8), "+webhooks_execute 0/2");
    // Who has no token has neither of them.
    for address in ["192.0.2.1", "192.0.2.2"] {
        check(&limiter, 0, anonymous(RuleId::WebhooksExecute, address), "+webhooks_execute 1/2");
    }
}

#[test]
fn webhooks_have_a_multiplier_of_their_own() {
    let off = bucket(Algorithm::FixedWindow, 0, 0, 1);
    let mut buckets: [BucketSpec; rules::RULE_COUNT] = std::array::from_fn(|_| off.clone());
    buckets[RuleId::WebhooksExecute as usize] = bucket(Algorithm::TokenBucket, 5, 5, 2_000);
    let specs = RuleSpecs {
        enabled: true,
        bot_multiplier_percent: 150,
        webhook_multiplier_percent: 250,
        token_verify_rate_limit: 3,
        buckets,
    };
    let limiter = Limiter::new(specs, 1 << 12, START, 42);
    let principal = Principal::Webhook { id: 1, channel_id: 7 };
    let request = LimitRequest { principal, ..anonymous(RuleId::WebhooksExecute, "192.0.2.1") };
    check(&limiter, 0, request, "+webhooks_execute 24/25");
}
