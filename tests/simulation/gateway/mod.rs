//! Sessions, cores and mailboxes under simulated time.
//!
//! Several [`Hub`](plexichat::gateway::Hub)s, joined by mailboxes that delay, get batches of a real store and serve
//! clients that speak bytes: split input, sockets that take little or nothing, drops, resumes, slow readers. What a
//! session must receive is computed apart from the index under test, from the permission rules and the state right
//! after each batch.
//!
//! `PLEXICHAT_SIMULATION_SEEDS=from..to` runs other seeds than the usual few.

mod client;
mod model;
mod world;

use world::{Counts, World};

/// What must happen in every few runs, or they test less than they claim.
const COVERED: &[&str] = &[
    "READY",
    "RESUMED",
    "op 9",
    "hand-over",
    "partial send",
    "GUILD_CREATE",
    "GUILD_DELETE",
    "GUILD_MEMBERS_CHUNK",
    "TYPING_START",
    "TYPING_STOP",
    "PRESENCE_UPDATE",
    "SECURITY_LOGOUT",
    "close Some(4004) Logged out",
    "close Some(4007) Invalid seq",
    "close Some(4008) Slow consumer",
    "close Some(4008) Too many connections",
    "taken over",
];

fn seeds() -> std::ops::Range<u64> {
    let text = std::env::var("PLEXICHAT_SIMULATION_SEEDS").unwrap_or_else(|_| "0..40".into());
    let (from, to) = text.split_once("..").expect("PLEXICHAT_SIMULATION_SEEDS is from..to");
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn sessions_get_exactly_what_they_may_see() {
    let mut counts = Counts::new();
    for seed in seeds() {
        let run = std::panic::catch_unwind(|| World::new(seed).run());
        match run {
            Ok(some) => some.into_iter().for_each(|(name, count)| *counts.entry(name).or_default() += count),
            Err(panic) => {
                eprintln!("failing seed: PLEXICHAT_SIMULATION_SEEDS={seed}..{}", seed + 1);
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{counts:#?}");
    if seeds().count() > 12 {
        for name in COVERED {
            assert!(counts.contains_key(*name), "never happened: {name}");
        }
    }
}
