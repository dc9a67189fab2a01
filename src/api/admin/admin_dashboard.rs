//! How the server is: what waits for administrators, how many people there are, how the machine and the store are.
//!
//! Everything is counted elsewhere, or put together on a lane.

use super::admin_telemetry::{Row, TelemetryEndpointStat, rows, write_rows};
use crate::api::ctx::{Ctx, Step};
use crate::domain::Result;
use crate::domain::contact::tally::TICKET_QUEUE;
use crate::domain::contact::telemetry::Measured;
use crate::domain::contact::times::Past;
use crate::log::Trouble;
use crate::observe::{Figures, Registry};
use crate::store::records::ticket_status;
use crate::store::tables::{BOTS, DELETIONS, USER_NAMES};
use crate::store::{Disk, Read, ReaderCounts, Store};
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object, write_u64};

/// How many operations are shown, and of how many hours.
const TOP_COUNT: usize = 10;
const TOP_HOURS: u64 = 24;
/// A snapshot that is open for so long keeps the data file from being used again.
const OLD_MS: u64 = 60_000;
/// Part of the room for snapshots, in percent, from which on it is about to be short.
const CROWDED_PERCENT: u64 = 90;
const MIB: u64 = 1 << 20;
const SOUND: &str = "healthy";

shape! {
    /// How the machine is.
    pub SystemMetrics(figures: Figures, disk: Disk, uptime_ms: u64) {
        /// Of all processors, since somebody has looked before.
        cpu_percent: (Slot::of(Kind::Number)) = tenths(figures.cpu_per_mille),
        memory_percent: (Slot::of(Kind::Number)) = tenths(per_mille(figures.memory_used_len, figures.memory_len)),
        memory_used_mb: (Slot::of(Kind::Number)) = tenths(mebibytes(figures.memory_used_len)),
        memory_total_mb: (Slot::of(Kind::Number)) = tenths(mebibytes(figures.memory_len)),
        /// Of the disk that the store is on.
        disk_percent: (Slot::of(Kind::Number)) = tenths(per_mille(disk.size.saturating_sub(disk.free), disk.size)),
        process_memory_mb: (Slot::of(Kind::Number)) = tenths(mebibytes(figures.process_len)),
        /// Of the server.
        thread_count: u64 = figures.thread_count,
        /// The same.
        uptime_seconds: (Slot::of(Kind::Number)) = tenths(uptime_ms / 100),
    }
}

shape! {
    /// What there is to be seen at a glance.
    pub AdminDashboardResponse(seen: &Seen, trouble: Option<Trouble>, people: (u64, u64, u64), uptime_ms: u64, version: &str) {
        /// How many are in each state.
        tickets: (Slot::map(&Kind::Count)) = |out: &mut Vec<u8>| {
            let mut object = Object::new(out);
            for (status, count) in &seen.tickets {
                object.u64(status, *count);
            }
        },
        /// The operations that were asked for most often in a day.
        telemetry: (Slot::list(&Kind::Object(TelemetryEndpointStat::SHAPE))) = |out: &mut Vec<u8>| write_rows(out, &seen.top),
        /// Who has a session of the gateway, also one that waits for its client to come back.
        active_users: u64 = people.0,
        /// Accounts of people.
        total_users: u64 = people.1,
        scheduled_deletions: u64 = people.2,
        /// `healthy`, or why no changes are taken.
        db_status: str = trouble.map_or(SOUND, Trouble::name),
        system: (Slot::of(Kind::OrNull(&Kind::Object(SystemMetrics::SHAPE)))) = |out: &mut Vec<u8>| match seen.system {
            Some(figures) => SystemMetrics::write(out, figures, seen.disk, uptime_ms),
            None => out.extend_from_slice(b"null"),
        },
        server_version: str = version,
    }
}

shape! {
    /// A snapshot that keeps the data file from being used again.
    pub OldSnapshot(process: u32, behind: u64, age_ms: u64) {
        process_id: u64 = process.into(),
        /// Changes that were committed since, in batches.
        transactions_behind: u64 = behind,
        age_seconds: (Slot::of(Kind::Number)) = tenths(age_ms / 100),
    }
}

shape! {
    /// Who reads the store. There are no connections to it: each reader has a snapshot, for which nobody waits, and there is
    /// one writer.
    pub AdminStoreHealthResponse(health: &StoreHealth, now_ms: u64) {
        /// Snapshots that are open.
        active_connections: u64 = health.readers.open,
        /// Places for snapshots that were used and are free again.
        idle_connections: u64 = health.total() - health.readers.open,
        total_connections: u64 = health.total(),
        /// Snapshots that may be open at once.
        max_connections: u64 = health.readers.max,
        /// Snapshots that are always open: one for each core.
        min_connections: u64 = health.core_count,
        utilization_percent: (Slot::of(Kind::Number)) = tenths(per_mille(health.readers.open, health.readers.max)),
        /// Milliseconds; a snapshot is there at once, and nobody measures it.
        avg_acquisition_time: (Slot::of(Kind::OrNull(&Kind::Number))) = null,
        max_acquisition_time: (Slot::of(Kind::OrNull(&Kind::Number))) = null,
        /// Milliseconds from handing a change to the writer to having its outcome.
        avg_pool_wait_time: (Slot::of(Kind::OrNull(&Kind::Number))) = |out: &mut Vec<u8>| match health.wait_us {
            Some(us) => tenths(us / 100)(out),
            None => null(out),
        },
        /// Batches of changes, and long lists that were read, since the server was started.
        total_acquisitions: u64 = health.acquisitions,
        /// Changes that waited for the writer since then.
        total_pool_waits: u64 = health.waits,
        /// Snapshots that are open for more than a minute while changes were committed.
        old_connections: (Slot::list(&Kind::Object(OldSnapshot::SHAPE))) = |out: &mut Vec<u8>| {
            let mut list = Array::new(out);
            if let Some((process, behind, age_ms)) = health.old {
                OldSnapshot::write(list.item(), process, behind, age_ms);
            }
        },
        /// `healthy`, `crowded` when there is hardly room for another snapshot, or why no changes are taken.
        status: str = health.status(),
        database_type: str = "lmdb",
        timestamp: time = now_ms,
    }
}

/// A number of tenths.
fn tenths(tenths: u64) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        write_u64(out, tenths / 10);
        out.push(b'.');
        write_u64(out, tenths % 10);
    }
}

fn null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

fn per_mille(part: u64, whole: u64) -> u64 {
    (part.saturating_mul(1_000)).checked_div(whole).unwrap_or(0)
}

/// In tenths.
fn mebibytes(len: u64) -> u64 {
    len.saturating_mul(10) / MIB
}

/// What a lane has put together.
pub struct Seen {
    tickets: Vec<(&'static str, u64)>,
    top: Vec<Row>,
    system: Option<Figures>,
    disk: Disk,
}

/// How the store is.
pub struct StoreHealth {
    readers: ReaderCounts,
    core_count: u64,
    /// Process, how far behind, how old.
    old: Option<(u32, u64, u64)>,
    wait_us: Option<u64>,
    waits: u64,
    acquisitions: u64,
    trouble: Option<Trouble>,
}

impl StoreHealth {
    fn total(&self) -> u64 {
        self.readers.most.max(self.readers.open)
    }

    fn status(&self) -> &'static str {
        let is_crowded = self.readers.open * 100 >= self.readers.max * CROWDED_PERCENT;
        match self.trouble {
            Some(trouble) => trouble.name(),
            None if is_crowded => "crowded",
            None => SOUND,
        }
    }

    /// Not for a core.
    fn of(store: &Store, registry: &Registry, trouble: Option<Trouble>) -> StoreHealth {
        let age_ms = registry.writer.store.oldest_snapshot_ms.value();
        let old = store.oldest_reader().filter(|_| age_ms >= OLD_MS);
        let (mut waits, mut waited_ns) = (0, 0u64);
        for core in &registry.cores {
            waits += core.command_ns.buckets().map(|(_, count)| count).sum::<u64>();
            waited_ns = waited_ns.saturating_add(core.command_ns.sum());
        }
        let reads: u64 =
            registry.lanes.iter().filter(|lane| lane.name == "read").map(|lane| lane.done.value()).sum();
        StoreHealth {
            readers: store.reader_counts(),
            core_count: registry.cores.len() as u64,
            old: old.map(|old| (old.process, store.last_transaction().saturating_sub(old.seen), age_ms)),
            wait_us: (waited_ns / 1_000).checked_div(waits),
            waits,
            acquisitions: registry.writer.batches.value() + reads,
            trouble,
        }
    }
}

fn tickets(read: Read<'_>) -> Vec<(&'static str, u64)> {
    let of = |word: &&'static str| {
        let status = ticket_status::code(word).expect("it is one of the words");
        (*word, TICKET_QUEUE.count(read, status))
    };
    ticket_status::WORDS.iter().map(of).collect()
}

pub async fn admin_dashboard_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let past = Past { now_ms: ctx.now().unix_ms, hours: TOP_HOURS };
    let (store, registry, times) =
        (ctx.state.store.clone(), ctx.state.registry.clone(), ctx.state.times.clone());
    let prefix = ctx.state.config.api.api_prefix.clone();
    let look = move |read: Read<'_>| {
        let mut top = rows(read, &times, (Measured::ByServer, past), &prefix, |_| true);
        top.truncate(TOP_COUNT);
        Ok(Seen { tickets: tickets(read), top, system: registry.system.figures(), disk: store.disk() })
    };
    let seen = ctx.read_store(look).await?;
    let snapshot = ctx.snapshot();
    let read = snapshot.read();
    let active = ctx.state.registry.cores.iter().map(|core| core.present_users.value()).sum();
    let total = read.len(USER_NAMES).saturating_sub(read.len(BOTS));
    let people = (active, total, read.len(DELETIONS));
    let uptime_ms = ctx.state.now().monotonic_ms.saturating_sub(ctx.state.started.monotonic_ms);
    let (trouble, version) = (ctx.state.run.health().trouble(), &ctx.state.config.application.version);
    ctx.response.body.reserve(4_096);
    AdminDashboardResponse::write(&mut ctx.response.body, &seen, trouble, people, uptime_ms, version);
    Ok(Step::Done)
}

pub async fn admin_store_health_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (store, registry) = (ctx.state.store.clone(), ctx.state.registry.clone());
    let trouble = ctx.state.run.health().trouble();
    let health = ctx.read_store(move |_| Ok(StoreHealth::of(&store, &registry, trouble))).await?;
    let now_ms = ctx.now().unix_ms;
    ctx.json(|out| AdminStoreHealthResponse::write(out, &health, now_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_as_sound_as_its_worst() {
        let health = |open, trouble| StoreHealth {
            readers: ReaderCounts { open, most: 3, max: 100 },
            core_count: 2,
            old: None,
            wait_us: None,
            waits: 0,
            acquisitions: 0,
            trouble,
        };
        assert_eq!((health(89, None).status(), health(89, None).total()), (SOUND, 89));
        assert_eq!((health(90, None).status(), health(2, None).total()), ("crowded", 3));
        assert_eq!(health(90, Some(Trouble::DiskFull)).status(), "disk_full");
    }

    #[test]
    fn parts_of_nothing_are_none() {
        assert_eq!((per_mille(1, 0), per_mille(1, 4), mebibytes(3 << 19)), (0, 250, 15));
        let mut out = Vec::new();
        tenths(123)(&mut out);
        assert_eq!(out, b"12.3");
    }
}
