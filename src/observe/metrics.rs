//! The counters. Each core and the writer thread own a set that nobody else writes, so counting is a load and a
//! store without a locked instruction; a scrape reads them from outside and may see them a moment apart.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::process::Process;
use super::system::System;
use super::thread::ThreadFile;

/// Only goes up. One thread writes; any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// Not atomic as a whole: a second writer would lose counts.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// For the few counters that several threads write.
    #[inline]
    pub fn add_shared(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Goes up and down. One thread writes; any may read.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    #[inline]
    pub fn increment(&self) {
        self.set(self.value().saturating_add(1));
    }

    #[inline]
    pub fn decrement(&self) {
        self.set(self.value().saturating_sub(1));
    }

    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Counts by size. Bucket `k` of `BUCKETS` holds values up to `FIRST << k`, both powers of two apart; one more
/// bucket holds the rest. Finding the bucket is a shift and a count of zeros.
#[derive(Debug)]
pub struct Histogram<const FIRST: u64, const BUCKETS: usize> {
    counts: [Counter; BUCKETS],
    beyond: Counter,
    sum: Counter,
}

impl<const FIRST: u64, const BUCKETS: usize> Default for Histogram<FIRST, BUCKETS> {
    fn default() -> Self {
        const { assert!(FIRST.is_power_of_two() && BUCKETS < 64) };
        Histogram {
            counts: [const { Counter(AtomicU64::new(0)) }; BUCKETS],
            beyond: Counter::default(),
            sum: Counter::default(),
        }
    }
}

impl<const FIRST: u64, const BUCKETS: usize> Histogram<FIRST, BUCKETS> {
    #[inline]
    pub fn record(&self, value: u64) {
        self.bucket(value).increment();
        self.sum.add(value);
    }

    /// For the few histograms that several threads write.
    pub fn record_shared(&self, value: u64) {
        self.bucket(value).add_shared(1);
        self.sum.add_shared(value);
    }

    #[inline]
    fn bucket(&self, value: u64) -> &Counter {
        // The least k with value <= FIRST << k is the bit length of (value - 1) / FIRST.
        let above = value.saturating_sub(1) / FIRST;
        let index = (u64::BITS - above.leading_zeros()) as usize;
        self.counts.get(index).unwrap_or(&self.beyond)
    }

    /// Adds what another has counted.
    pub fn add(&self, other: &Self) {
        self.counts.iter().zip(&other.counts).for_each(|(count, other)| count.add(other.value()));
        self.beyond.add(other.beyond.value());
        self.sum.add(other.sum());
    }

    /// (upper bound, values in this bucket alone); the last bound is infinite, `None`.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let counts = self.counts.iter().enumerate().map(|(k, count)| (Some(FIRST << k), count.value()));
        counts.chain(std::iter::once((None, self.beyond.value())))
    }

    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.value()
    }
}

/// 131 µs doubling to 1.07 s.
pub type OperationHistogram = Histogram<131_072, 14>;
/// 1.024 µs doubling to 134 ms.
pub type TurnHistogram = Histogram<1024, 18>;
/// 65.5 µs doubling to 8.6 s.
pub type CommitHistogram = Histogram<65_536, 18>;
/// 1 doubling to 65,536 commands.
pub type BatchHistogram = Histogram<1, 17>;
/// 1 doubling to 1,024 frames, or whatever waited together.
pub type CoalescingHistogram = Histogram<1, 11>;

/// One core's counters, written by that core only.
#[derive(Debug, Default)]
#[repr(align(128))] // two cache lines: the prefetcher pulls pairs
pub struct CoreMetrics {
    /// Answered requests by status class: 1xx at index 0.
    pub http_requests: [Counter; 5],
    /// Time of requests from the head to the answer, by row of [`Names::operations`]; made when first asked for.
    pub operations: Box<[OnceLock<Box<OperationHistogram>>]>,
    /// Gateway connections that the server has closed, by row of [`Names::closes`].
    pub closes: Box<[Counter]>,
    /// Wrong passwords and codes.
    pub login_failures: Counter,
    /// Connections that were turned away as there were too many.
    pub connections_refused: Counter,
    /// What the kernel tells of the core's thread.
    pub thread: ThreadFile,
    /// Time of a request handler, or of its part after a wait.
    pub handler_ns: TurnHistogram,
    /// Parts of handlers above `logging.slow_turn_ms`.
    pub slow_handlers: Counter,
    /// From handing a command to the writer to having its answer.
    pub command_ns: CommitHistogram,
    /// Open connections that speak HTTP.
    pub http_connections: Gauge,
    /// Open gateway connections.
    pub gateway_connections: Gauge,
    /// Polls that the kernel has armed for gateway sockets; each keeps its socket.
    pub gateway_polls: Gauge,
    /// Gateway sessions, live and detached.
    pub gateway_sessions: Gauge,
    /// Those of them without a connection, which wait for RESUME.
    pub gateway_detached: Gauge,
    /// People with a session, of whom this core keeps who is there.
    pub present_users: Gauge,
    /// People in voice channels, on the core that decides who is.
    pub voice_callers: Gauge,
    /// Connections, sessions and who is where: bytes as the gateway counts them.
    pub gateway_state_len: Gauge,
    /// Events kept for RESUME, bytes.
    pub gateway_replay_len: Gauge,
    /// Sessions begun and resumed.
    pub identifies: Counter,
    pub resumes: Counter,
    /// Messages received from gateway clients.
    pub gateway_frames_in: Counter,
    /// Events that had a recipient on this core.
    pub events: Counter,
    /// Dispatches given to sessions.
    pub dispatches_out: Counter,
    /// `send` calls that carried them; dispatches over sends is the coalescing factor.
    pub sends_out: Counter,
    /// Frames in one send.
    pub frames_per_send: CoalescingHistogram,
    /// Bytes read from clients, HTTP and gateway.
    pub bytes_in: Counter,
    /// Bytes written to clients, HTTP and gateway.
    pub bytes_out: Counter,
    /// Sessions closed 4008 because their client did not read.
    pub slow_consumer_closes: Counter,
    /// Requests refused with 429 and gateway connections closed 4008 for their rate.
    pub rate_limited: Counter,
    /// Requests and connections that the gate did not let in.
    pub gate_refused: Counter,
    /// Turns of the loop.
    pub turn_count: Counter,
    /// Time of a turn without the wait for events.
    pub turn_ns: TurnHistogram,
    /// The same by part of the turn, in the order of `Phase::ALL`.
    pub phase_ns: [Counter; 6],
    /// Batches that waited when a turn took them; turns that found none do not count.
    pub turn_batches: CoalescingHistogram,
    /// Letters of other cores that waited; turns that found none do not count.
    pub turn_letters: BatchHistogram,
    /// Letters that found the ring to another core full.
    pub mail_backlog: Gauge,
    /// Turns above `logging.slow_turn_ms`.
    pub slow_turns: Counter,
    /// What changes have left to do; of the core that sees to it.
    pub errands: Gauge,
    /// Texts refused by rules of automod.
    pub texts_blocked: Counter,
    /// Texts that other services were asked about, and those of them that got no answer.
    pub texts_asked: Counter,
    pub texts_unanswered: Counter,
    /// Mails that wait, that were sent, that were tried in vain, and that will never be sent; of the same core.
    pub mails: Gauge,
    pub mails_sent: Counter,
    pub mail_failures: Counter,
    pub mails_given_up: Counter,
}

impl CoreMetrics {
    /// A request to the route of that row was answered.
    #[inline]
    pub fn operation(&self, row: usize, took_ns: u64) {
        if let Some(times) = self.operations.get(row) {
            times.get_or_init(Box::default).record(took_ns);
        }
    }

    /// Counts an answered request. A status outside 100..=599 counts as 5xx.
    #[inline]
    pub fn http_request(&self, status: u16) {
        let class = (usize::from(status) / 100).wrapping_sub(1);
        self.http_requests.get(class).unwrap_or(&self.http_requests[4]).increment();
    }
}

/// The writer thread's counters.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WriterMetrics {
    /// Transactions committed.
    pub batches: Counter,
    /// Commands in them.
    pub commands: Counter,
    /// Commands that were refused by apply and rolled back alone.
    pub refused: Counter,
    /// Transactions that could not be committed.
    pub failures: Counter,
    /// Commands in one batch.
    pub batch_len: BatchHistogram,
    /// Time to apply the commands of one batch.
    pub apply_ns: CommitHistogram,
    /// Commit with its sync.
    pub commit_ns: CommitHistogram,
    /// Sync on its own, when commits are not synced one by one.
    pub sync_ns: CommitHistogram,
    /// Commands waiting when the last batch was taken.
    pub queue_len: Gauge,
    /// The same of all batches.
    pub queue_lens: BatchHistogram,
    /// Batches that found the ring to some core full.
    pub delivery_backlog: Gauge,
    pub store: StoreMetrics,
}

/// The store and its disk; written by the thread that watches them, `refusing` by the writer.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// Bytes of the data file.
    pub file_len: Gauge,
    /// Bytes of it that count towards `store.map_size`.
    pub used_len: Gauge,
    /// `store.map_size`
    pub map_len: Gauge,
    /// Bytes that may still be written to the disk.
    pub disk_free_len: Gauge,
    /// Since when the oldest snapshot keeps pages from being used again.
    pub oldest_snapshot_ms: Gauge,
    /// Snapshots of killed processes that were freed.
    pub stale_snapshots: Counter,
    /// 0 while changes are taken, else the code of the reason.
    pub refusing: Gauge,
}

/// One lane of slow work; cores and its threads all write, with [`Counter::add_shared`].
#[derive(Debug)]
pub struct LaneMetrics {
    pub name: &'static str,
    /// Jobs that ended, panicked ones among them.
    pub done: Counter,
    /// Turned away because too many waited.
    pub refused: Counter,
    /// Of these, the ones that had been queued.
    pub evicted: Counter,
    /// Jobs ever queued.
    pub queued: Counter,
    pub panicked: Counter,
    /// From handing a job over to its end.
    pub took_ns: CommitHistogram,
}

impl LaneMetrics {
    #[must_use]
    pub fn new(name: &'static str) -> LaneMetrics {
        LaneMetrics {
            name,
            done: Counter::default(),
            refused: Counter::default(),
            evicted: Counter::default(),
            queued: Counter::default(),
            panicked: Counter::default(),
            took_ns: CommitHistogram::default(),
        }
    }

    /// Jobs that wait or are at work.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.queued.value().saturating_sub(self.done.value() + self.evicted.value())
    }
}

/// The index of messages, written by the threads that keep it.
#[derive(Debug, Default)]
pub struct SearchMetrics {
    /// Messages looked at: new, changed, or because the index is made.
    pub messages: Counter,
    /// Those in memory that are not written yet.
    pub fresh: Gauge,
    /// Bytes of the index.
    pub file_len: Gauge,
    /// Messages that are still to be looked at until it is complete, about.
    pub left: Gauge,
    /// How often it was made anew.
    pub rebuilds: Counter,
    /// How often it could not be written.
    pub failures: Counter,
}

/// Everything a scrape reads.
#[derive(Debug)]
pub struct Registry {
    names: Names,
    pub cores: Vec<Arc<CoreMetrics>>,
    pub writer: Arc<WriterMetrics>,
    pub lanes: Vec<Arc<LaneMetrics>>,
    pub search: Arc<SearchMetrics>,
    pub process: Process,
    /// For the administrators' console.
    pub system: System,
}

/// What counters are kept for, by the tables of others.
#[derive(Debug, Default)]
pub struct Names {
    pub lanes: Vec<&'static str>,
    /// Method and path of each route, what leads to none first.
    pub operations: Vec<String>,
    /// Code and reason of each close of the gateway.
    pub closes: Vec<(u16, &'static str)>,
}

impl Registry {
    /// One set of counters for each of `core_count` cores and for each lane. Make it before there are many files: it
    /// keeps some open.
    #[must_use]
    pub fn new(core_count: usize, names: Names) -> Registry {
        let core = |_| {
            Arc::new(CoreMetrics {
                operations: names.operations.iter().map(|_| OnceLock::new()).collect(),
                closes: names.closes.iter().map(|_| Counter::default()).collect(),
                ..CoreMetrics::default()
            })
        };
        Registry {
            cores: (0..core_count).map(core).collect(),
            writer: Arc::new(WriterMetrics::default()),
            lanes: names.lanes.iter().map(|name| Arc::new(LaneMetrics::new(name))).collect(),
            search: Arc::default(),
            process: Process::open(),
            system: System::default(),
            names,
        }
    }

    /// What the counters are kept for.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_bounds_include_their_value() {
        let bucket_of = |value: u64| {
            let histogram = Histogram::<4, 3>::default(); // 4, 8, 16, beyond
            histogram.record(value);
            assert_eq!(histogram.sum(), value);
            histogram.buckets().find(|(_, count)| *count == 1).expect("one bucket counted").0
        };
        for (value, want) in [
            (0, Some(4)),
            (1, Some(4)),
            (4, Some(4)),
            (5, Some(8)),
            (8, Some(8)),
            (9, Some(16)),
            (16, Some(16)),
            (17, None),
            (u64::MAX, None),
        ] {
            assert_eq!(bucket_of(value), want, "{value}");
        }
    }

    #[test]
    fn status_classes() {
        let core = CoreMetrics::default();
        for status in [101, 200, 204, 404, 429, 500, 599, 0, 600, 65_535] {
            core.http_request(status);
        }
        let counts: Vec<u64> = core.http_requests.iter().map(Counter::value).collect();
        assert_eq!(counts, [1, 2, 0, 2, 5]);
    }

    #[test]
    fn gauges_do_not_wrap() {
        let gauge = Gauge::default();
        gauge.decrement();
        assert_eq!(gauge.value(), 0);
        gauge.increment();
        assert_eq!(gauge.value(), 1);
    }
}
