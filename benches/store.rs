//! The store alone: commits of messages of 300 bytes with the index of their author, time per message; reading a
//! page; opening a snapshot.
//!
//! Reference, prototype on another disk: with a sync per commit 3,500 messages/s in batches of 1 (286 µs each),
//! 10,000 in 16 (100 µs), 62,000 in 256 (16 µs), 78,000 in 1024 (13 µs); without sync 285,000–458,000 (2–4 µs).
//! A page of 50 read in place: 3.7 µs. What the disk does decides, so `TMPDIR` should point to the one in question.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plexichat::id::{ChannelId, MessageId, UserId};
use plexichat::store::records::Message;
use plexichat::store::tables::{AUTHOR_MESSAGES, MESSAGES};
use plexichat::store::{Store, Sync};

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Commits one batch; 64 channels and 1,024 authors in turn.
fn time_batch(store: &Store, record: &mut Message, next_id: &mut u64, count: usize) -> Duration {
    let begun = Instant::now();
    let mut tx = store.begin().expect("nobody else writes");
    for _ in 0..count {
        *next_id += 1;
        let (channel_id, message_id) = (ChannelId(1 + *next_id % 64), MessageId(*next_id));
        record.author_id = UserId(1 + *next_id % 1024);
        tx.put(MESSAGES, (channel_id, message_id), record);
        tx.put(AUTHOR_MESSAGES, (record.author_id, message_id), &channel_id.into());
    }
    tx.commit().expect("there is room");
    begun.elapsed()
}

fn commit(criterion: &mut Criterion) {
    let mut record = Message { content: world::text(), created_at: world::START_MS, ..Message::default() };
    for (name, sync) in [("commit, sync always", Sync::Always), ("commit, sync interval", Sync::Interval)] {
        let (_folder, store) = world::temporary_store(sync);
        let mut next_id = 0;
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        for count in [1, 16, 256, 1024] {
            group.bench_function(format!("batch of {count}"), |bencher| {
                world::per_part(bencher, count, || time_batch(&store, &mut record, &mut next_id, count));
            });
        }
        group.finish();
    }
}

fn read(criterion: &mut Criterion) {
    let world = world::World::new(8, 10_000);
    let snapshot = world.store.snapshot();
    let mut group = criterion.benchmark_group("read");
    group.bench_function("page of 50 in place", |bencher| {
        bencher.iter(|| {
            let page = snapshot.read().scan_rev(MESSAGES, black_box(world.channel_id)).take(50);
            page.map(|((_, id), message)| id.0 ^ message.content.len() as u64).sum::<u64>()
        });
    });
    group.bench_function("message by id", |bencher| {
        let key = (world.channel_id, world.messages[5_000]);
        bencher.iter(|| snapshot.read().get(MESSAGES, black_box(key)).is_some());
    });
    group.bench_function("snapshot open and drop", |bencher| bencher.iter(|| drop(world.store.snapshot())));
    group.finish();
}

criterion_group! { name = benches; config = world::config(); targets = commit, read }
criterion_main!(benches);
