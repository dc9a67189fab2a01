//! How fast the server is by its own clock, what is kept of response times, whoever has measured, and its end.
//!
//! Invariants: a core adds up what it measures, and hands it over once in a span; there is a row for an operation and a
//! span, never one for a request. What a core has measured before everything was forgotten is not added after it.

use std::collections::BTreeMap;

use rkyv::{Archive, Deserialize, Serialize};

use super::telemetry::{
    COUNTS_FROM, FINE_KEPT_MS, Measured, SPANS_MS, Timing, add_all, class_end, counts_from, is_over, merged,
    tier,
};
use crate::domain::error::Result;
use crate::domain::machine::Machine;
use crate::domain::noted::Note;
use crate::id::UserId;
use crate::store::Read;
use crate::store::records::{ArchivedResponseTimes, Meta, ResponseTimes};
use crate::store::tables::{META, RESPONSE_TIMES};

/// Behind the last operation of a span.
const LAST: &str = "\u{10ffff}";
/// How often all was forgotten.
const RESETS: &str = "telemetry_resets";

const FINE_MS: u64 = SPANS_MS[0];
const COARSE_MS: u64 = SPANS_MS[1];

/// Classes of the server's own times: one for each microsecond below four, then four for each doubling; the last one is
/// from 67 s on. Finer than those of clients, whose times begin where these are slow.
pub const CLASS_COUNT: usize = 101;
const CLASS_LAST_US: u64 = 1 << 26;

/// The class of a time of the server's own.
pub fn class(time_us: u64) -> usize {
    let time_us = time_us.min(CLASS_LAST_US);
    match time_us {
        0..4 => time_us as usize,
        _ => {
            let bits = time_us.ilog2();
            4 * (bits as usize - 1) + (time_us >> (bits - 2) & 3) as usize
        }
    }
}

/// Where its times end.
fn end_of(class: u8) -> u64 {
    match u64::from(class) {
        class @ 0..4 => class + 1,
        class => (5 + class % 4) << (class / 4 - 1),
    }
}

/// Adds what a core has measured itself. Only the server itself submits it.
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct ServerTimesNote {
    /// Each operation once, with the classes of [`class`].
    pub timings: Vec<Timing>,
    /// When the core began to measure them, by the clock: what span they are of.
    pub begun_ms: u64,
    /// How often all was forgotten when it began.
    pub resets: u64,
    /// How long it is kept.
    pub retention_ms: u64,
}

/// Forgets all response times: at once as far as anybody sees, and from the store step by step (see
/// [`super::telemetry::expire`]).
#[derive(Clone, Debug, Default, PartialEq, Archive, Deserialize, Serialize)]
pub struct TelemetryReset {}

/// Rows that the command itself removes, at most: those of spans that are not over. There is one for each operation that
/// somebody has used, in four spans.
const RESET_ROWS_MAX: usize = 2_000;

pub(in crate::domain) fn server_times_note(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    op: &ServerTimesNote,
) -> Result<()> {
    if op.resets == resets(machine.read()) {
        add_all(machine, Measured::ByServer, op.begun_ms, &op.timings, op.retention_ms);
    }
    Ok(())
}

pub(in crate::domain) fn telemetry_reset(
    machine: &mut Machine<'_, '_>,
    _: UserId,
    _: &TelemetryReset,
) -> Result<()> {
    let now_ms = machine.unix_ms;
    let mut left = RESET_ROWS_MAX;
    // Nothing but their absence tells that they do not count: their span goes on, or is one of a clock that was ahead.
    for tier in 0..2 * SPANS_MS.len() as u8 {
        let current = now_ms / SPANS_MS[usize::from(tier) % SPANS_MS.len()];
        let keys = machine.read().scan_rev(RESPONSE_TIMES, tier).keys();
        let keys: Vec<(u8, u64, String)> =
            keys.take_while(|(_, slot, _)| *slot >= current).take(left).collect();
        left -= keys.len();
        for (tier, slot, operation) in keys {
            machine.tx.delete(RESPONSE_TIMES, (tier, slot, &*operation));
        }
    }
    let count = resets(machine.read()) + 1;
    machine.tx.put(META, COUNTS_FROM, &Meta { value: now_ms });
    machine.tx.put(META, RESETS, &Meta { value: count });
    machine.note(Note::of("response times"));
    Ok(())
}

/// How often all was forgotten.
pub fn resets(read: Read<'_>) -> u64 {
    read.get(META, RESETS).map_or(0, |meta| meta.value.to_native())
}

/// How many rows count. Goes through their keys: not for a core.
pub fn row_count(read: Read<'_>) -> u64 {
    let from_ms = counts_from(read);
    let count = |tier: u8| {
        let first = from_ms / SPANS_MS[usize::from(tier) % SPANS_MS.len()];
        let keys = match first.checked_sub(1) {
            None => read.scan(RESPONSE_TIMES, tier),
            Some(before) => read.scan_after(RESPONSE_TIMES, tier, (tier, before, LAST)),
        };
        keys.keys().count() as u64
    };
    (0..2 * SPANS_MS.len() as u8).map(count).sum()
}

/// Which part of the past somebody asks for.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    pub now_ms: u64,
    pub hours: u64,
}

impl Past {
    fn begin_ms(self) -> u64 {
        self.now_ms.saturating_sub(self.hours * COARSE_MS)
    }

    /// Whether there are rows of five minutes of all of it.
    fn is_fine(self) -> bool {
        self.hours * COARSE_MS <= FINE_KEPT_MS
    }
}

/// How fast each operation was. Reads a row for each operation and hour: not for a core.
pub fn sums(read: Read<'_>, measured: Measured, past: Past) -> BTreeMap<String, Sum> {
    let (from_ms, forgotten_ms) = (past.begin_ms(), counts_from(read));
    let mut sums = BTreeMap::new();
    let mut add = |span: usize, slots: std::ops::Range<u64>| {
        let tier = tier(measured, span);
        let rows = read.scan_after(RESPONSE_TIMES, tier, (tier, slots.start.saturating_sub(1), LAST));
        for ((_, slot, operation), row) in rows {
            if slot >= slots.end {
                break;
            }
            if !is_over(slot, SPANS_MS[span], forgotten_ms) {
                sums.entry(operation).or_insert_with(|| Sum::new(measured)).add_row(row);
            }
        }
    };
    // By the hour; the part of an hour that it begins with by five minutes, as long as there are rows of them.
    let first = if past.is_fine() { from_ms.div_ceil(COARSE_MS) } else { from_ms / COARSE_MS };
    add(0, from_ms / FINE_MS..first * COARSE_MS / FINE_MS);
    add(1, first..past.now_ms / COARSE_MS + 1);
    sums
}

/// How fast an operation was in each bucket in which there was anything, by when it begins. Looks for a row in each span:
/// not for a core.
pub fn history(
    read: Read<'_>,
    (measured, operation): (Measured, &str),
    past: Past,
    bucket_ms: u64,
) -> BTreeMap<u64, Sum> {
    let span = usize::from(!past.is_fine() || bucket_ms.is_multiple_of(COARSE_MS));
    let (tier, span_ms, forgotten_ms) = (tier(measured, span), SPANS_MS[span], counts_from(read));
    let mut buckets = BTreeMap::new();
    for slot in past.begin_ms() / span_ms..=past.now_ms / span_ms {
        let row = read.get(RESPONSE_TIMES, (tier, slot, operation));
        if let Some(row) = row.filter(|_| !is_over(slot, span_ms, forgotten_ms)) {
            let begin = bucket_of(slot * span_ms, past, bucket_ms);
            buckets.entry(begin).or_insert_with(|| Sum::new(measured)).add_row(row);
        }
    }
    buckets
}

/// Where the bucket of a moment begins: none is shorter than the spans that there are rows of.
pub fn bucket_of(moment_ms: u64, past: Past, bucket_ms: u64) -> u64 {
    let bucket_ms = bucket_ms.max(if past.is_fine() { FINE_MS } else { COARSE_MS });
    moment_ms / bucket_ms * bucket_ms
}

/// Figures of one operation, added up.
#[derive(Clone, Debug)]
pub struct Sum {
    measured: Measured,
    figures: ResponseTimes,
}

impl Sum {
    pub fn new(measured: Measured) -> Sum {
        Sum { measured, figures: ResponseTimes::default() }
    }

    fn add_row(&mut self, row: &ArchivedResponseTimes) {
        self.add(&Timing::from(&ResponseTimes::from(row)));
    }

    /// Of the same classes.
    pub fn add(&mut self, timing: &Timing) {
        self.figures = merged(std::mem::take(&mut self.figures), timing, 0);
    }

    pub fn count(&self) -> u64 {
        self.figures.count
    }

    pub fn error_count(&self) -> u64 {
        self.figures.error_count
    }

    pub fn min_us(&self) -> u64 {
        self.figures.min_us
    }

    pub fn max_us(&self) -> u64 {
        self.figures.max_us
    }

    pub fn mean_us(&self) -> u64 {
        self.figures.total_us / self.figures.count.max(1)
    }

    /// What clients were told of the server's work: how many queries, and how long they took; `None` for what the server
    /// has measured.
    pub fn queries(&self) -> Option<(u64, u64)> {
        (self.measured == Measured::ByClients).then_some((self.figures.query_count, self.figures.query_us))
    }

    /// The time below which so many of a thousand were: within its class, times are taken to be spread evenly.
    pub fn quantile_us(&self, per_mille: u64) -> u64 {
        let Sum { measured, figures } = self;
        let end_of = match measured {
            Measured::ByClients => class_end,
            Measured::ByServer => end_of,
        };
        let total: u64 = figures.classes.iter().map(|class| u64::from(class.count)).sum();
        let wanted = (total * per_mille).div_ceil(1_000).max(1);
        let mut below = 0;
        for class in &figures.classes {
            let count = u64::from(class.count);
            if below + count < wanted {
                below += count;
                continue;
            }
            let begin = if class.class == 0 { 0 } else { end_of(class.class - 1) }.max(figures.min_us);
            // The last one that there is anything in may have no end.
            let is_last = below + count == total;
            let end =
                if is_last { figures.max_us } else { end_of(class.class).min(figures.max_us) }.max(begin);
            let part = u128::from(end - begin) * u128::from(wanted - below) / u128::from(count.max(1));
            return begin + part as u64;
        }
        figures.max_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::encode_record;
    use crate::store::records::TimeCount;

    #[test]
    fn classes_are_in_order_and_end_where_the_next_begins() {
        let mut last = 0;
        for time_us in (0..2_000).chain((11..40).flat_map(|bits| (4..8).map(move |part| part << (bits - 2))))
        {
            let class = class(time_us);
            assert!(class == last || class == last + 1, "{time_us}: {class} after {last}");
            last = class;
            let is_last = time_us >= CLASS_LAST_US;
            assert!(is_last || time_us < end_of(class as u8), "{time_us} of {class}");
            assert!(class == 0 || time_us >= end_of(class as u8 - 1), "{time_us} of {class}");
        }
        assert_eq!(last, CLASS_COUNT - 1);
    }

    fn sum(measured: Measured, times: impl Iterator<Item = u64>) -> Sum {
        let mut sum = Sum::new(measured);
        for time_us in times {
            let mut timing = Timing::new(String::new());
            timing.add(time_us, time_us % 10 == 0, (2, 30));
            if measured == Measured::ByServer {
                timing.classes[0].class = class(time_us) as u8;
            }
            sum.add(&timing);
        }
        sum
    }

    #[test]
    fn quantiles_are_near_what_they_were() {
        for (measured, scale) in [(Measured::ByClients, 1_000), (Measured::ByServer, 7)] {
            let sum = sum(measured, (1..=1_000u64).map(|n| n * scale));
            assert_eq!((sum.count(), sum.min_us(), sum.max_us()), (1_000, scale, 1_000 * scale));
            assert_eq!(sum.mean_us(), 500_500 * scale / 1_000);
            assert_eq!(sum.queries().is_some(), measured == Measured::ByClients);
            for per_mille in [10, 50, 500, 900, 950, 990, 1_000] {
                let (got, want) = (sum.quantile_us(per_mille) as f64, (per_mille * scale) as f64);
                assert!((got / want - 1.0).abs() < 0.05, "{measured:?} {per_mille}: {got} for {want}");
            }
        }
        // One, and one that has slept for long.
        let one = sum(Measured::ByServer, [37].into_iter());
        assert_eq!((one.quantile_us(500), one.quantile_us(999)), (37, 37));
        let slow = sum(Measured::ByServer, [5, 300_000_000].into_iter());
        // To its class: from 5 on, and below 6.
        assert!((5..=6).contains(&slow.quantile_us(500)), "{}", slow.quantile_us(500));
        assert_eq!(slow.quantile_us(990), 300_000_000);
        let none = Sum { measured: Measured::ByClients, figures: ResponseTimes::default() };
        assert_eq!(none.quantile_us(500), 0);
        assert_eq!(TimeCount::default().count, 0);
    }

    /// 400 operations for two days by five minutes, and for a month by the hour, are 519,000 rows: of the size that
    /// operations have that nobody finds slow some 80 MB.
    #[test]
    fn a_row_has_five_bytes_for_each_class_it_needs() {
        let len = |sum: &Sum| encode_record(&sum.figures, Vec::new()).len();
        let usual = sum(Measured::ByServer, (0..500).map(|n| 40 + n % 60));
        assert_eq!((usual.figures.classes.len(), len(&usual)), (6, LEN_WITHOUT_CLASSES + 6 * 5));
        let all =
            sum(Measured::ByServer, (0..27).flat_map(|bits| [4, 5, 6, 7].map(|part| part << bits >> 2)));
        assert_eq!(len(&all), LEN_WITHOUT_CLASSES + all.figures.classes.len() * 5);
    }

    const LEN_WITHOUT_CLASSES: usize = 73;

    #[test]
    fn buckets_are_no_shorter_than_spans() {
        let past = Past { now_ms: 100 * COARSE_MS + 7, hours: 24 };
        assert_eq!(bucket_of(123 * 60_000, past, 60_000), 120 * 60_000);
        assert_eq!(bucket_of(123 * 60_000, past, 15 * 60_000), 120 * 60_000);
        assert_eq!(bucket_of(123 * 60_000, Past { hours: 49, ..past }, 60_000), 120 * 60_000);
        assert_eq!(past.begin_ms(), 76 * COARSE_MS + 7);
    }
}
