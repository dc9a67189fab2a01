//! Rules: commands applied to a transaction of 256 that is not committed, time per command; and the check of a
//! permission, which every request to a channel makes twice.
//!
//! Reference: the writer commits 62,000 messages/s in batches of 256 to disk and 285,000–458,000/s without sync, so
//! 16 and 3 µs per message are there for all of it; applying a message should stay below those 3 µs.
//!
//! What sealing takes (AES-256-GCM and an HMAC per record, messages of 300 bytes): one run on two cores of an EPYC that
//! others were using too, pinned and at real-time priority, on 2026-11-27: a message 4.0 µs plain and 5.3 sealed, a page
//! of 50 from the store to JSON 38.8 and 42.8 µs.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use plexichat::domain::Asking;
use plexichat::domain::chat::reaction::ReactionAdd;
use plexichat::domain::{Command, Op};
use plexichat::id::UserId;

#[allow(dead_code, reason = "each bench uses its part")]
mod world;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 256;

fn apply(criterion: &mut Criterion) {
    let world = world::World::new(1_000, 10_000);
    let sealed = world::World::sealed(1_000, 10_000);
    let command = |index: usize, op: Op| Command::new(world.users[index % world.users.len()], op);
    let messages = (0..BATCH).map(|index| command(index, world::message(world.channel_id).into()));
    let registers =
        (0..BATCH).map(|index| Command::new(UserId(0), world::register(1_000_000 + index).into()));
    let reactions = (0..BATCH).map(|index| {
        let message_id = world.messages[world.messages.len() - 1 - index];
        let emoji = "👍".to_string();
        command(index, ReactionAdd { channel_id: world.channel_id, message_id, emoji, kinds_max: 20 }.into())
    });
    let cases: [(&str, Vec<Command>); 3] = [
        ("message create", messages.collect()),
        ("register", registers.collect()),
        ("reaction add", reactions.collect()),
    ];
    let mut group = criterion.benchmark_group("apply");
    for (name, commands) in cases {
        group.bench_function(name, |bencher| {
            world::per_part(bencher, BATCH, || world.time_apply(&commands));
        });
    }
    // The same in a store that seals what people write.
    let messages = (0..BATCH).map(|index| {
        let author = sealed.users[index % sealed.users.len()];
        Command::new(author, world::message(sealed.channel_id).into())
    });
    let messages: Vec<Command> = messages.collect();
    group.bench_function("message create, sealed", |bencher| {
        world::per_part(bencher, BATCH, || sealed.time_apply(&messages));
    });
    group.finish();
}

/// A page of history as it is answered, from the store to JSON, as records lie and sealed.
fn page(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("page of 50");
    for (name, world) in [("plain", world::World::new(8, 60)), ("sealed", world::World::sealed(8, 60))] {
        let mut out = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                world.write_page(&mut out);
            });
        });
    }
    group.finish();
}

fn permission(criterion: &mut Criterion) {
    let world = world::World::new(1_000, 0);
    let snapshot = world.store.snapshot();
    let mut group = criterion.benchmark_group("permission");
    for (name, index) in [("access of the owner", 0), ("access of a member", 500)] {
        let user_id = world.users[index];
        group.bench_function(name, |bencher| {
            let read = snapshot.read();
            let asking = Asking { read, at: world::START_MS, who: user_id };
            bencher.iter(|| asking.channel(black_box(world.channel_id)).is_ok());
        });
    }
    group.finish();
}

criterion_group! { name = benches; config = world::config(); targets = apply, page, permission }
criterion_main!(benches);
