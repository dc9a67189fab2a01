//! What measuring costs a turn of a core: as much for a turn that does nothing as for one that serves thousands.
//!
//! Reference: the cheapest turn there is enters the kernel twice for the gateway's ring, about 1 µs. Measuring should
//! stay below a fifth of a microsecond more than the two looks at the clock that any turn takes.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use plexichat::observe::{CoreMetrics, HubWork, Phase, Watch, Work};
use plexichat::runtime::clock::{Turn, monotonic_ns};
use plexichat::runtime::random::Random;

/// As in `net/core.rs`.
const LAPS: [Phase; 7] =
    [Phase::Apply, Phase::Mail, Phase::Sockets, Phase::Tick, Phase::Act, Phase::Send, Phase::Act];

fn turn(c: &mut Criterion) {
    let metrics = Arc::<CoreMetrics>::default();
    let watch = Watch::new(0, 50, metrics.clone());
    let hub = HubWork { events: 1, dispatches: 100, ..HubWork::default() };
    let work = Work { batches: 1, replies: 1, sends: 100, bytes_out: 30_000, hub, ..Work::default() };
    let mut group = c.benchmark_group("turn");
    group.bench_function("clocks read at both ends, two counters", |b| {
        b.iter(|| {
            let begun = black_box(Turn::now());
            let took_ms = Turn::now().monotonic_ms - begun.monotonic_ms;
            metrics.turn_count.increment();
            metrics.turn_ns.record(black_box(took_ms) * 1_000_000);
        });
    });
    group.bench_function("measured", |b| {
        b.iter(|| {
            let (begun, begun_ns) = Turn::now_with_ns();
            black_box(begun);
            let mut turn = watch.begin(begun_ns);
            LAPS.iter().for_each(|phase| turn.lap(*phase, monotonic_ns()));
            turn.work = black_box(work);
            watch.end(&turn);
        });
    });
    group.bench_function("a request handler, measured", |b| {
        b.iter(|| {
            let begun_ns = monotonic_ns();
            watch.handled(black_box(1), "message_list", begun_ns, monotonic_ns());
        });
    });
    group.finish();
}

/// Against one call of the kernel for each id.
fn random(c: &mut Criterion) {
    let mut group = c.benchmark_group("session id");
    let mut pool = Random::default();
    group.bench_function("from the pool", |b| b.iter(|| pool.piece()));
    group.bench_function("from the kernel", |b| {
        b.iter(|| {
            let mut bytes = [0; 12];
            getrandom::fill(&mut bytes).expect("the kernel has random bytes");
            bytes
        });
    });
    group.finish();
}

criterion_group!(benches, turn, random);
criterion_main!(benches);
