//! How long requests take, as the cores see it: added up by route, and handed to the log once in a span of time.
//!
//! Owns: what was measured and is not handed over yet. From when a request is taken up until its answer is there, without
//! the wait for a body that the client still sends; of a body that a handler takes in pieces that wait is a part.
//!
//! Invariants: only a core itself changes its figures, with plain loads and stores; other threads may read them, a moment
//! apart. Measuring reads no clock: the readings are there, as handlers are measured with them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use super::routes::{ROUTES, Route};
use crate::domain::contact::telemetry::{ClassCount, OTHER, Timing};
use crate::domain::contact::times::{CLASS_COUNT, ServerTimesNote, class};

/// From here on a status is an error.
const ERROR_STATUS: u16 = 400;
/// The span that figures are of, in milliseconds.
const SPAN_MS: u64 = 5 * 60_000;

/// Of all cores.
pub struct Times(Box<[CoreTimes]>);

/// What one core has measured since it last handed it over.
pub struct CoreTimes {
    /// Since when, by the clock.
    begun_ms: AtomicU64,
    /// How often all was forgotten by then, as the store has it.
    resets: AtomicU64,
    /// What leads to no route, then each route; made when it is first asked for.
    routes: Box<[OnceLock<Box<Figures>>]>,
}

/// Of one route.
struct Figures {
    classes: [AtomicU32; CLASS_COUNT],
    error_count: AtomicU64,
    total_us: AtomicU64,
    min_us: AtomicU64,
    max_us: AtomicU64,
}

impl Default for Figures {
    fn default() -> Figures {
        Figures {
            classes: [const { AtomicU32::new(0) }; CLASS_COUNT],
            error_count: AtomicU64::new(0),
            total_us: AtomicU64::new(0),
            min_us: AtomicU64::new(u64::MAX),
            max_us: AtomicU64::new(0),
        }
    }
}

impl Figures {
    #[inline]
    fn add(&self, time_us: u64, is_error: bool) {
        let count = &self.classes[class(time_us)];
        count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        let add = |sum: &AtomicU64, more: u64| sum.store(sum.load(Relaxed).wrapping_add(more), Relaxed);
        add(&self.error_count, u64::from(is_error));
        add(&self.total_us, time_us);
        self.min_us.store(self.min_us.load(Relaxed).min(time_us), Relaxed);
        self.max_us.store(self.max_us.load(Relaxed).max(time_us), Relaxed);
    }

    /// `None` when nobody has asked.
    fn timing(&self, place: usize) -> Option<Timing> {
        let mut timing = Timing::new(operation(place));
        for (class, count) in (0..).zip(&self.classes) {
            let count = count.load(Relaxed);
            if count > 0 {
                timing.count += u64::from(count);
                timing.classes.push(ClassCount { class, count });
            }
        }
        timing.error_count = self.error_count.load(Relaxed);
        timing.total_us = self.total_us.load(Relaxed);
        timing.min_us = self.min_us.load(Relaxed);
        timing.max_us = self.max_us.load(Relaxed);
        (timing.count > 0).then_some(timing)
    }

    fn clear(&self) {
        let Figures { classes, error_count, total_us, min_us, max_us } = self;
        classes.iter().for_each(|count| count.store(0, Relaxed));
        [error_count, total_us, max_us].into_iter().for_each(|figure| figure.store(0, Relaxed));
        min_us.store(u64::MAX, Relaxed);
    }
}

/// Every row that requests are counted under: what leads to no route, then each route.
pub fn operations() -> Vec<String> {
    (0..=ROUTES.len()).map(operation).collect()
}

/// The row of a route.
pub fn row_of(route: Option<&Route>) -> usize {
    route.map_or(0, |route| usize::from(route.index) + 1)
}

/// What is called so in rows: as the table of routes has it.
fn operation(place: usize) -> String {
    match place.checked_sub(1).map(|index| &ROUTES[index]) {
        Some(route) => format!("{} {}", route.method.as_str(), route.path),
        None => OTHER.to_string(),
    }
}

impl Times {
    /// `now_ms` is the time by the clock; `resets`, how often all was forgotten.
    pub fn new(core_count: usize, now_ms: u64, resets: u64) -> Times {
        let core = |_| CoreTimes {
            begun_ms: AtomicU64::new(now_ms),
            resets: AtomicU64::new(resets),
            routes: (0..=ROUTES.len()).map(|_| OnceLock::new()).collect(),
        };
        Times((0..core_count).map(core).collect())
    }

    pub fn of(&self, core: usize) -> &CoreTimes {
        &self.0[core]
    }

    /// What no core has handed over yet, with when it began to measure it; `resets` is how often all was forgotten. What a
    /// core has just handed over is missing until it is committed.
    pub fn pending(&self, resets: u64) -> Vec<(u64, Timing)> {
        let cores = self.0.iter().filter(|core| core.resets.load(Relaxed) == resets);
        cores
            .flat_map(|core| core.timings().into_iter().map(|timing| (core.begun_ms.load(Relaxed), timing)))
            .collect()
    }
}

impl CoreTimes {
    /// A request has been answered. Only on the core's thread, as all that changes something.
    #[inline]
    pub fn record(&self, route: Option<&Route>, status: u16, took_ns: u64) {
        self.routes[row_of(route)].get_or_init(Box::default).add(took_ns / 1_000, status >= ERROR_STATUS);
    }

    fn timings(&self) -> Vec<Timing> {
        let routes = self.routes.iter().enumerate();
        routes.filter_map(|(place, figures)| figures.get()?.timing(place)).collect()
    }

    /// Takes what is to be handed over, if anything: when the span is over, or `is_end` says that everything is. What is
    /// of before a reset that the core hears of only now is thrown away.
    pub fn take_note(
        &self,
        now_ms: u64,
        resets: u64,
        is_end: bool,
        retention_ms: u64,
    ) -> Option<ServerTimesNote> {
        let (begun_ms, known) = (self.begun_ms.load(Relaxed), self.resets.load(Relaxed));
        let is_forgotten = known != resets;
        if !is_forgotten && !is_end && begun_ms / SPAN_MS == now_ms / SPAN_MS {
            return None;
        }
        let timings = if is_forgotten { Vec::new() } else { self.timings() };
        self.routes.iter().filter_map(OnceLock::get).for_each(|figures| figures.clear());
        self.begun_ms.store(now_ms, Relaxed);
        self.resets.store(resets, Relaxed);
        (!timings.is_empty()).then_some(ServerTimesNote { timings, begun_ms, resets, retention_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000 * SPAN_MS + 5;

    #[test]
    fn what_was_measured_is_handed_over_once() {
        let times = Times::new(2, NOW, 0);
        let core = times.of(1);
        let route = &ROUTES[3];
        for (status, us) in [(200, 40), (404, 3), (200, 1_000), (200, 41)] {
            core.record(Some(route), status, us * 1_000 + 999);
        }
        core.record(None, 404, 7_000);
        assert_eq!(core.take_note(NOW + 1, 0, false, 9), None, "the span goes on");
        assert_eq!(
            times.pending(0).iter().map(|(begun_ms, timing)| (*begun_ms, timing.count)).collect::<Vec<_>>(),
            [(NOW, 1), (NOW, 4)]
        );
        assert!(times.pending(1).is_empty(), "of before a reset");
        let note = core.take_note(NOW + SPAN_MS, 0, false, 9).expect("the span is over");
        assert_eq!((note.begun_ms, note.resets, note.retention_ms), (NOW, 0, 9));
        let [other, timing] = &note.timings[..] else { panic!("{note:?}") };
        assert_eq!((&*other.operation, other.count, other.error_count), (OTHER, 1, 1));
        assert_eq!(timing.operation, format!("{} {}", route.method.as_str(), route.path));
        assert_eq!((timing.count, timing.error_count, timing.total_us), (4, 1, 1_084));
        assert_eq!((timing.min_us, timing.max_us), (3, 1_000));
        let classes: Vec<(usize, u32)> =
            timing.classes.iter().map(|class| (class.class.into(), class.count)).collect();
        assert_eq!(classes, [(class(3), 1), (class(40), 2), (class(1_000), 1)]);
        assert_eq!(core.take_note(NOW + SPAN_MS + 1, 0, true, 9), None, "it is handed over");
    }

    #[test]
    fn what_is_of_before_a_reset_is_thrown_away() {
        let times = Times::new(1, NOW, 0);
        let core = times.of(0);
        core.record(None, 200, 1_000);
        assert_eq!(core.take_note(NOW + 5, 1, true, 9), None);
        core.record(None, 200, 2_000);
        let note = core.take_note(NOW + 9, 1, true, 9).expect("something was measured since");
        assert_eq!((note.begun_ms, note.resets, note.timings[0].count), (NOW + 5, 1, 1));
    }

    #[test]
    fn every_route_has_its_place() {
        for (index, route) in ROUTES.iter().enumerate() {
            assert_eq!(usize::from(route.index), index);
            assert!(operation(index + 1).ends_with(route.path));
        }
        assert_eq!(operation(0), OTHER);
    }
}
