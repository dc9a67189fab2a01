//! What the dashboard shows of the counters.

use std::sync::Arc;

use crate::api::ctx::Ctx;
use crate::console::dashboard::{Core, Figures, Lane, Totals};
use crate::domain::Result;
use crate::effect::read::Read;
use crate::observe::{Histogram, Registry};

/// Of a hundred.
const MOST: u64 = 99;

/// The figures of now. They are gathered off the core thread, as the kernel is asked for some.
///
/// # Errors
/// Those of [`Ctx::effect`].
pub(super) async fn figures(ctx: &Ctx<'_>) -> Result<Figures> {
    let (at_ms, registry) = (ctx.now_ms(), ctx.state.registry.clone());
    let uptime_s = ctx.state.now().steady_ms.saturating_sub(ctx.state.started.steady_ms) / 1_000;
    let gathered = ctx.effect(Read(move || gather(&registry))).await?;
    Ok(Figures { uptime_s, totals: Totals { at_ms, ..gathered.totals }, ..gathered })
}

fn gather(registry: &Arc<Registry>) -> Figures {
    let (cores, writer) = (&registry.cores, &registry.writer);
    let sum = |of: fn(&crate::observe::CoreMetrics) -> u64| cores.iter().map(|core| of(core)).sum::<u64>();
    let turns = cores.iter().map(|core| buckets(&core.turn_ns));
    let store = &writer.store;
    Figures {
        totals: Totals {
            at_ms: 0,
            requests: sum(|core| core.http_requests.iter().map(|count| count.value()).sum()),
            failures: sum(|core| core.http_requests[4].value()),
            dispatches: sum(|core| core.dispatches_out.value()),
            commands: writer.commands.value(),
            turns: sum(|core| core.turn_count.value()),
            turn_ns: sum(|core| core.turn_ns.sum()),
            commits: writer.batches.value(),
            commit_ns: writer.commit_ns.sum(),
        },
        sessions: sum(|core| core.gateway_sessions.value()),
        detached: sum(|core| core.gateway_detached.value()),
        http_connections: sum(|core| core.http_connections.value()),
        gateway_connections: sum(|core| core.gateway_connections.value()),
        voice_callers: sum(|core| core.voice_callers.value()),
        turn_p99_ns: bound(&turns.reduce(added).unwrap_or_default()),
        commit_p99_ns: bound(&buckets(&writer.commit_ns)),
        memory_len: registry.process.resident_bytes().unwrap_or(0),
        store_used_len: store.used_len.value(),
        store_map_len: store.map_len.value(),
        store_file_len: store.file_len.value(),
        disk_free_len: store.disk_free_len.value(),
        queue_len: writer.queue_len.value(),
        errands: sum(|core| core.errands.value()),
        mails: sum(|core| core.mails.value()),
        uptime_s: 0,
        cores: cores.iter().map(|core| of_core(core)).collect(),
        lanes: registry.lanes.iter().map(|lane| of_lane(lane)).collect(),
    }
}

fn of_core(core: &crate::observe::CoreMetrics) -> Core {
    Core {
        sessions: core.gateway_sessions.value(),
        connections: core.http_connections.value() + core.gateway_connections.value(),
        mail_backlog: core.mail_backlog.value(),
        slow_turns: core.slow_turns.value(),
        turn_p99_ns: bound(&buckets(&core.turn_ns)),
    }
}

fn of_lane(lane: &crate::observe::LaneMetrics) -> Lane {
    Lane { name: lane.name, waiting: lane.waiting(), done: lane.done.value(), refused: lane.refused.value() }
}

/// Upper bounds and counts.
type Buckets = Vec<(Option<u64>, u64)>;

fn buckets<const FIRST: u64, const COUNT: usize>(histogram: &Histogram<FIRST, COUNT>) -> Buckets {
    histogram.buckets().collect()
}

fn added(one: Buckets, other: Buckets) -> Buckets {
    one.into_iter().zip(other).map(|((bound, count), (_, more))| (bound, count + more)).collect()
}

/// What [`MOST`] of a hundred stay under; 0 when there are none, `None` when that is beyond what is told apart.
fn bound(buckets: &Buckets) -> Option<u64> {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let mut seen = 0;
    let found = buckets.iter().find(|(_, count)| {
        seen += count;
        seen * 100 >= total * MOST
    });
    if total == 0 { Some(0) } else { found.and_then(|(bound, _)| *bound) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Names;

    #[test]
    fn most_stay_under_a_bound() {
        let of = |counts: [u64; 3]| vec![(Some(10), counts[0]), (Some(20), counts[1]), (None, counts[2])];
        for (counts, want) in [
            ([0, 0, 0], Some(0)),
            ([99, 1, 0], Some(10)),
            ([98, 2, 0], Some(20)),
            ([98, 1, 1], Some(20)),
            ([90, 1, 9], None),
        ] {
            assert_eq!(bound(&of(counts)), want, "{counts:?}");
        }
        assert_eq!(bound(&added(of([99, 0, 0]), of([0, 99, 0]))), Some(20));
    }

    #[test]
    fn figures_are_those_of_all_cores() {
        let registry = Arc::new(Registry::new(2, Names { lanes: vec!["x"], ..Names::default() }));
        registry.cores[0].gateway_sessions.set(3);
        registry.cores[1].gateway_sessions.set(4);
        registry.cores[1].http_request(500);
        let figures = gather(&registry);
        assert_eq!((figures.sessions, figures.cores.len(), figures.lanes[0].name), (7, 2, "x"));
        assert_eq!((figures.totals.requests, figures.totals.failures), (1, 1));
        assert!(figures.memory_len > 0);
    }
}
