//! The gateway of one core without sockets: sessions of one server that all get one message; time per delivery, from
//! the event to the frame in the send buffer. And the memory of identified sessions, printed before the times.
//!
//! Reference: a delivery costs 3.8 µs in the kernel; what is measured here should stay below a tenth of that also
//! when the sessions no longer fit the caches. Memory: below 400 bytes beside the 4 KiB of the kernel for a socket.
//!
//! `PLEXICHAT_BENCH_SESSIONS=1000000` measures the memory of so many sessions instead of 100,000, and their fan-out.

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use mimalloc::MiMalloc;
use plexichat::id::ServerId;
use world::gateway::{Gateway, Shape, message, small_event};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

/// Counts the bytes that are in use, as asked for (without the allocator's rounding).
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to mimalloc as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        IN_USE.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { MiMalloc.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        IN_USE.fetch_add(len, Relaxed);
        IN_USE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise.
        unsafe { MiMalloc.realloc(start, layout, len) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn fanout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out, per delivery");
    let counts: &[u64] = if world::is_test() { &[1_000] } else { &[1_000, 10_000, 100_000] };
    for count in counts.iter().copied().chain(asked().filter(|count| *count > 100_000)) {
        let mut gateway = Gateway::new(Shape::one(count), |_| ());
        (1..=count).for_each(|user| gateway.identify(user));
        let output = message();
        group.bench_function(format!("{count} sessions"), |bencher| {
            world::per_part(bencher, count as usize, || gateway.time_event(&output));
        });
    }
    group.finish();
}

/// Anonymous resident memory; the store's pages are not part of it.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}

/// How many sessions the environment asks for.
fn asked() -> Option<u64> {
    std::env::var("PLEXICHAT_BENCH_SESSIONS").ok()?.parse().ok()
}

fn memory(_: &mut Criterion) {
    let count: u64 = asked().unwrap_or(if world::is_test() { 1_000 } else { 100_000 });
    const MEMBERS: u64 = 1_000;
    const HANDLES: usize = 128;
    let mut gateway = Gateway::new(Shape::new(count, MEMBERS), |_| ());
    gateway.ids.reserve(count as usize);
    let before = (IN_USE.load(Relaxed), resident());
    let begun = Instant::now();
    (1..=count).for_each(|user| gateway.identify(user));
    let each = begun.elapsed() / count as u32;
    assert_eq!(gateway.hub.session_count() as u64, count);
    let report = |what: &str| {
        let in_use = (IN_USE.load(Relaxed) - before.0) as u64 / count;
        let resident = resident().saturating_sub(before.1) as u64 / count;
        println!("{what}: {in_use} bytes each allocated, {resident} resident");
    };
    println!("{count} sessions in servers of {MEMBERS}, {each:?} per IDENTIFY");
    report("identified");
    // With audiences, and as many handles for RESUME as a client leaves unconfirmed.
    for _ in 0..HANDLES {
        for first in (0..count).step_by(MEMBERS as usize) {
            gateway.apply(&[small_event(ServerId((1 << 40) + first / MEMBERS))]);
        }
        gateway.flush();
    }
    report("after 128 dispatches");
    println!();
}

criterion_group! { name = benches; config = world::config(); targets = memory, fanout }
criterion_main!(benches);
