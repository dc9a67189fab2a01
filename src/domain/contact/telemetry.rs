//! How fast the server is, for its clients, as they say, and by its own clock, and what browsers refuse to load.
//!
//! Invariant: what a client sends becomes a part of rows that are there anyway. Of response times there is one row for
//! an operation and a span of time: of five minutes for two days, of an hour for as long as is configured. Of reports
//! there is one for a rule of the policy and a day. Operations and rules are ours: what is called otherwise shares one.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::error::Result;
use crate::domain::machine::Machine;
use crate::id::UserId;
use crate::store::Read;
use crate::store::records::{CspReport, Meta, ResponseTimes, TimeCount};
use crate::store::tables::{CSP_REPORTS, META, RESPONSE_TIMES};

/// What all that is none of ours is called.
pub const OTHER: &str = "other";

/// Spans of time, by the number that stands in keys: first of what clients have measured, then of the server's own.
pub(super) const SPANS_MS: [u64; 2] = [5 * MINUTE_MS, 60 * MINUTE_MS];
const MINUTE_MS: u64 = 60_000;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;
/// For how long it is told by five minutes.
pub(super) const FINE_KEPT_MS: u64 = 2 * DAY_MS;

/// From which moment on rows count, by the clock.
pub(super) const COUNTS_FROM: &str = "telemetry_counts_from";

/// A longer one counts as this: a client that slept.
const TIME_US_MAX: u64 = 24 * 3_600_000_000;
/// Classes of the times of clients: two for each doubling, from 256 µs on, the last one from 67 s on.
const CLASS_FIRST_BITS: u32 = 8;
const CLASS_LAST_BITS: u32 = 26;

/// Adds what a client has measured. Only the server itself submits it.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct TelemetryNote {
    /// Each operation once.
    pub timings: Vec<Timing>,
    /// How long it is kept.
    pub retention_ms: u64,
}

/// How fast one operation was.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct Timing {
    /// As `GET /users/@me`, or [`OTHER`].
    pub operation: String,
    pub count: u64,
    pub error_count: u64,
    pub total_us: u64,
    pub min_us: u64,
    pub max_us: u64,
    /// What the client was told of the server's own work.
    pub query_count: u64,
    pub query_us: u64,
    /// How many were of each class, by class; which classes those are, whoever has measured says.
    pub classes: Vec<ClassCount>,
}

/// How many times were of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub struct ClassCount {
    pub class: u8,
    pub count: u32,
}

impl Timing {
    pub fn new(operation: String) -> Timing {
        Timing { operation, min_us: u64::MAX, ..Timing::default() }
    }

    /// One more of a client's, and what he was told of the server's work on it.
    pub fn add(&mut self, time_us: u64, is_error: bool, queries: (u64, u64)) {
        let time_us = time_us.min(TIME_US_MAX);
        self.count += 1;
        self.error_count += u64::from(is_error);
        self.total_us += time_us;
        self.min_us = self.min_us.min(time_us);
        self.max_us = self.max_us.max(time_us);
        self.query_count = self.query_count.saturating_add(queries.0);
        self.query_us = self.query_us.saturating_add(queries.1.min(TIME_US_MAX));
        let class = class(time_us);
        let place = self.classes.binary_search_by_key(&class, |known| known.class);
        match place {
            Ok(index) => self.classes[index].count += 1,
            Err(index) => self.classes.insert(index, ClassCount { class, count: 1 }),
        }
    }
}

impl From<&ResponseTimes> for Timing {
    fn from(row: &ResponseTimes) -> Timing {
        let classes = row.classes.iter().map(|&TimeCount { class, count }| ClassCount { class, count });
        Timing {
            operation: String::new(),
            count: row.count,
            error_count: row.error_count,
            total_us: row.total_us,
            min_us: row.min_us,
            max_us: row.max_us,
            query_count: row.query_count,
            query_us: row.query_us,
            classes: classes.collect(),
        }
    }
}

/// The class of a client's time.
fn class(time_us: u64) -> u8 {
    let bits = time_us.max(1).ilog2();
    match bits {
        ..CLASS_FIRST_BITS => 0,
        CLASS_LAST_BITS.. => (2 * (CLASS_LAST_BITS - CLASS_FIRST_BITS) + 1) as u8,
        bits => {
            let half = time_us >> (bits - 1) & 1;
            (2 * (bits - CLASS_FIRST_BITS)) as u8 + 1 + half as u8
        }
    }
}

/// Where the times of a class end.
pub(super) fn class_end(class: u8) -> u64 {
    let halves = u64::from(class) + 2;
    // 2/2, 3/2, 4/2, … of the first.
    (2 + halves % 2) << (u64::from(CLASS_FIRST_BITS) + halves / 2 - 2)
}

/// Who has measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measured {
    ByClients = 0,
    ByServer = 1,
}

/// The number in keys of a span of time, of those who have measured.
pub(super) fn tier(measured: Measured, span: usize) -> u8 {
    (SPANS_MS.len() * measured as usize + span) as u8
}

pub(in crate::domain) fn telemetry_note(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &TelemetryNote,
) -> Result<()> {
    add_all(machine, Measured::ByClients, machine.unix_ms, &op.timings, op.retention_ms);
    Ok(())
}

/// Adds what was measured in a span of time, which `begun_ms` is in.
pub(super) fn add_all(
    machine: &mut Machine<'_, '_>,
    measured: Measured,
    begun_ms: u64,
    timings: &[Timing],
    retention_ms: u64,
) {
    // All was forgotten later than now: the clock was set back, and what comes counts nonetheless.
    if begun_ms < counts_from(machine.read()) {
        machine.tx.put(META, COUNTS_FROM, &Meta { value: begun_ms });
    }
    for (span, span_ms) in SPANS_MS.into_iter().enumerate() {
        let slot = begun_ms / span_ms;
        let kept_ms = if span == 0 { retention_ms.min(FINE_KEPT_MS) } else { retention_ms };
        let lapses_at = machine.at.saturating_add(span_ms).saturating_add(kept_ms);
        for timing in timings {
            let key = (tier(measured, span), slot, &*timing.operation);
            let known = machine.read().get(RESPONSE_TIMES, key).map(ResponseTimes::from);
            let row = merged(known.unwrap_or_default(), timing, lapses_at);
            machine.tx.put(RESPONSE_TIMES, key, &row);
        }
    }
}

/// From which moment on rows count, by the clock: those of spans that were over by then are forgotten.
pub(super) fn counts_from(read: Read<'_>) -> u64 {
    read.get(META, COUNTS_FROM).map_or(0, |meta| meta.value.to_native())
}

/// Whether a span was over at that moment.
pub(super) fn is_over(slot: u64, span_ms: u64, moment_ms: u64) -> bool {
    slot.saturating_add(1).saturating_mul(span_ms) <= moment_ms
}

pub(super) fn merged(mut row: ResponseTimes, timing: &Timing, lapses_at: u64) -> ResponseTimes {
    row.min_us = if row.count == 0 { timing.min_us } else { row.min_us.min(timing.min_us) };
    row.max_us = row.max_us.max(timing.max_us);
    row.count += timing.count;
    row.error_count += timing.error_count;
    row.total_us = row.total_us.saturating_add(timing.total_us);
    row.query_count = row.query_count.saturating_add(timing.query_count);
    row.query_us = row.query_us.saturating_add(timing.query_us);
    // The first one says how long it is kept: those behind it are no older.
    if row.lapses_at == 0 {
        row.lapses_at = lapses_at;
    }
    for ClassCount { class, count } in timing.classes.iter().copied() {
        match row.classes.binary_search_by_key(&class, |known| known.class) {
            Ok(index) => row.classes[index].count = row.classes[index].count.saturating_add(count),
            Err(index) => row.classes.insert(index, TimeCount { class, count }),
        }
    }
    row
}

/// Adds what a browser has refused to load. Only the server itself submits it.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct CspReportNote {
    /// The rule that refused it, or [`OTHER`].
    pub directive: String,
    /// What was refused, on which page, and what asked for it.
    pub blocked: String,
    pub document: String,
    pub source: Option<String>,
    pub retention_ms: u64,
}

pub(in crate::domain) fn csp_report_note(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &CspReportNote,
) -> Result<()> {
    let key = (machine.unix_ms / DAY_MS, &*op.directive);
    let known = machine.read().get(CSP_REPORTS, key).map(CspReport::from);
    let lapses_at = machine.at.saturating_add(DAY_MS).saturating_add(op.retention_ms);
    let report = CspReport {
        count: known.as_ref().map_or(0, |known| known.count) + 1,
        last_at: machine.unix_ms,
        blocked: op.blocked.clone(),
        document: op.document.clone(),
        source: op.source.clone(),
        lapses_at: known.map_or(lapses_at, |known| known.lapses_at),
    };
    machine.tx.put(CSP_REPORTS, key, &report);
    Ok(())
}

/// The oldest row that has lapsed, or that is forgotten.
fn lapsed_times(read: Read<'_>, at: u64) -> Option<(u8, u64, String)> {
    let forgotten_ms = counts_from(read);
    (0..2 * SPANS_MS.len() as u8).find_map(|tier| {
        let (key, row) = read.scan(RESPONSE_TIMES, tier).next()?;
        let span_ms = SPANS_MS[usize::from(tier) % SPANS_MS.len()];
        (row.lapses_at <= at || is_over(key.1, span_ms, forgotten_ms)).then_some(key)
    })
}

fn lapsed_report(read: Read<'_>, at: u64) -> Option<(u64, String)> {
    let (key, row) = read.scan(CSP_REPORTS, ()).next()?;
    (row.lapses_at <= at).then_some(key)
}

/// Removes a row or two that have lapsed; false when there was none.
pub(in crate::domain) fn expire(machine: &mut Machine<'_, '_>) -> bool {
    let times = lapsed_times(machine.read(), machine.at);
    let report = lapsed_report(machine.read(), machine.at);
    if let Some((tier, slot, operation)) = &times {
        machine.tx.delete(RESPONSE_TIMES, (*tier, *slot, &**operation));
    }
    if let Some((day, directive)) = &report {
        machine.tx.delete(CSP_REPORTS, (*day, &**directive));
    }
    times.is_some() || report.is_some()
}

/// Whether something has lapsed.
pub(in crate::domain) fn is_due(machine: &Machine<'_, '_>) -> bool {
    let (read, at) = (machine.read(), machine.at);
    lapsed_times(read, at).is_some() || lapsed_report(read, at).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_in_order_and_end_where_the_next_begins() {
        let mut last = 0;
        for time_us in (0..40).flat_map(|bits| [1u64 << bits, (1 << bits) + (1 << bits) / 2]) {
            let class = class(time_us);
            assert!(class == last || class == last + 1, "{time_us}: {class} after {last}");
            last = class;
            let is_last = time_us >= 1 << CLASS_LAST_BITS;
            assert!(is_last || time_us < class_end(class), "{time_us} of {class}: {}", class_end(class));
            assert!(class == 0 || is_last || time_us >= class_end(class - 1), "{time_us} of {class}");
        }
        assert_eq!(last, 37);
        assert_eq!((class_end(0), class_end(1), class_end(2)), (256, 384, 512));
    }

    #[test]
    fn what_is_told_twice_counts_twice() {
        let mut timing = Timing::new("GET /users/@me".into());
        (1..=1_000u64).for_each(|n| timing.add(n * 1_000, n % 10 == 0, (2, 30)));
        assert_eq!(
            (timing.count, timing.error_count, timing.min_us, timing.max_us),
            (1_000, 100, 1_000, 1_000_000)
        );
        assert_eq!((timing.total_us, timing.query_count, timing.query_us), (500_500_000, 2_000, 30_000));
        let row = merged(ResponseTimes::default(), &timing, 7);
        assert_eq!(merged(ResponseTimes::default(), &Timing::from(&row), 7), row);
        let twice = merged(row.clone(), &timing, 9);
        assert_eq!((twice.count, twice.lapses_at), (2_000, 7));
        assert_eq!(twice.classes.len(), row.classes.len());
    }
}
