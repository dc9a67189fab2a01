//! What every request passes before its handler: route, rate limit, token.
//!
//! Reference: a whole keep-alive request costs 5.6 µs of CPU; the three together should stay below a tenth of it.
//! The token is the dear part, because SHA-256 of its secret is in it.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{Criterion, criterion_group, criterion_main};
use plexichat::api::limiter::{LimitRequest, Principal, RuleId, Verdict};
use plexichat::api::rate_limit::new_limiter;
use plexichat::api::router::{Found, Router};
use plexichat::config::Config;
use plexichat::domain::identity::credential::verify;
use plexichat::id::TokenId;
use plexichat::runtime::clock::Turn;
use plexichat::wire::http::{Method, Query, Target};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn router(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("router");
    let router = Router::new("/api/v1", "/admin");
    let cases = [
        ("users/@me", "/api/v1/users/@me", true),
        (
            "channels/{id}/messages/{id}",
            "/api/v1/channels/123456789012345678/messages/123456789012345679",
            true,
        ),
        ("unknown", "/api/v1/nothing/here", false),
    ];
    for (name, path, known) in cases {
        let target = Target { path, query: Query("") };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let found = router.find(Method::Get, black_box(&target));
                assert_eq!(!matches!(found, Found::Nothing), known);
            });
        });
    }
    group.finish();
}

/// Default limits; 16,384 users in turn, so that entries come from memory rather than from the nearest cache, and
/// none of them is ever refused.
fn limiter(criterion: &mut Criterion) {
    const USER_COUNT: u64 = 1 << 14;
    let now = Turn::at(world::START_MS, 1_000_000);
    let limiter = new_limiter(&Config::default(), 1 << 21, now);
    let mut count = 0;
    criterion.bench_function("limiter check", |bencher| {
        bencher.iter(|| {
            count += 1;
            let principal = Principal::User { id: count % USER_COUNT, tier_percent: 100, is_bot: false };
            let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let request = LimitRequest { principal, ip, rule: RuleId::MessagesCreate, resource: 7, route: 0 };
            // One request of a user every 2 s: above the daily limit of nobody.
            let verdict = limiter.check(now.after(count / 8), black_box(&request));
            assert!(matches!(verdict, Verdict::Allowed(_)));
        });
    });
}

fn token(criterion: &mut Criterion) {
    let world = world::World::new(1_000, 0);
    let snapshot = world.store.snapshot();
    criterion.bench_function("token verify", |bencher| {
        bencher.iter(|| {
            verify(snapshot.read(), black_box(&world.tokens[0]), world::START_MS, TokenId(0)).is_ok()
        });
    });
}

criterion_group! { name = benches; config = world::config(); targets = router, limiter, token }
criterion_main!(benches);
