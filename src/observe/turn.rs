//! What a turn of a core did and how long each part of it took; the log line of one that took too long.
//!
//! Owns: the two log lines a core writes about its own time, and how often it may. Times come in as readings of the
//! monotonic clock, so tests use numbers.
//! Invariant: measuring costs the same however much a turn does. The clock is read once per part, never per event.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::metrics::CoreMetrics;
use super::thread::Usage;

/// The parts of a turn, in the order they come; `Act` comes a second time at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Committed batches: events to sessions, answers to requests.
    Apply,
    /// Letters of other cores, events that are not in the log, finished password hashes.
    Mail,
    /// Gateway sockets: what they received, parsed and answered; IDENTIFY and RESUME are here.
    Sockets,
    /// What is due by time: heartbeats, resume windows, presence, member lists.
    Tick,
    /// What the gateway asked of the outside: closed sockets, commands, letters, the ring's system call.
    Act,
    /// Frames written into the send buffer, and the sends.
    Send,
}

impl Phase {
    pub const ALL: [Phase; 6] =
        [Phase::Apply, Phase::Mail, Phase::Sockets, Phase::Tick, Phase::Act, Phase::Send];

    /// The metric's label, and with `_us` the field in the log.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Phase::Apply => "apply",
            Phase::Mail => "mail",
            Phase::Sockets => "sockets",
            Phase::Tick => "tick",
            Phase::Act => "act",
            Phase::Send => "send",
        }
    }
}

/// What a turn did. Connections, sessions and requests also count what happened since the turn before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    /// Committed batches taken from the writer's ring.
    pub batches: u64,
    /// Answers of the writer to requests of this core.
    pub replies: u64,
    /// Letters taken from the rings of other cores.
    pub letters: u64,
    /// Reads of gateway sockets that gave bytes.
    pub reads: u64,
    pub bytes_in: u64,
    pub sends: u64,
    pub bytes_out: u64,
    pub hub: HubWork,
}

/// The gateway's part of it, counted by the gateway.
#[derive(Clone, Copy, Debug, Default)]
pub struct HubWork {
    /// Events that had a recipient on this core.
    pub events: u64,
    /// Events times recipients.
    pub dispatches: u64,
    /// Messages from clients.
    pub messages: u64,
    pub opened: u64,
    pub closed: u64,
    pub identifies: u64,
    pub resumes: u64,
    pub slow_consumers: u64,
    /// Connections closed for their rate.
    pub rate_limited: u64,
    /// The event with the most recipients.
    pub largest: Largest,
}

/// The event that went to the most sessions.
#[derive(Clone, Copy, Debug, Default)]
pub struct Largest {
    /// The `t` of its dispatch; empty when there was none.
    pub name: &'static str,
    /// Its server; 0 when it belongs to none.
    pub server_id: u64,
    pub recipients: usize,
}

impl Largest {
    /// Keeps the larger of the two.
    #[inline]
    pub fn offer(&mut self, name: &'static str, server_id: impl FnOnce() -> u64, recipients: usize) {
        if recipients > self.recipients {
            *self = Largest { name, server_id: server_id(), recipients };
        }
    }
}

/// A turn under way. Lives on the stack.
#[derive(Debug)]
pub struct Turn {
    begun_ns: u64,
    lapped_ns: u64,
    phases_ns: [u64; Phase::ALL.len()],
    /// A few times per second: figures that cost something are taken in this turn.
    pub samples: bool,
    pub work: Work,
}

impl Turn {
    /// A part of the turn has ended.
    #[inline]
    pub fn lap(&mut self, phase: Phase, now_ns: u64) {
        self.phases_ns[phase as usize] += now_ns.saturating_sub(self.lapped_ns);
        self.lapped_ns = now_ns;
    }
}

/// How often figures are taken that cost a system call or a look at many sessions.
const SAMPLE_INTERVAL_NS: u64 = 100_000_000;
/// Lines of one kind and core per second; the rest is counted in the next line.
const LINES_PER_SECOND: u32 = 4;

/// Lines of one kind.
#[derive(Debug, Default)]
struct Pace {
    window_ns: u64,
    count: u32,
    suppressed: u64,
}

impl Pace {
    /// Whether a line may be written, and then how many were not since the last.
    fn admit(&mut self, now_ns: u64) -> Option<u64> {
        if now_ns.saturating_sub(self.window_ns) >= 1_000_000_000 {
            *self = Pace { window_ns: now_ns, count: 0, ..*self };
        }
        self.count += 1;
        if self.count > LINES_PER_SECOND {
            self.suppressed += 1;
            return None;
        }
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// Watches one core: turns and request handlers.
#[derive(Debug)]
pub struct Watch {
    core: usize,
    slow_ns: u64,
    metrics: Arc<CoreMetrics>,
    sampled_ns: Cell<u64>,
    /// The thread's page faults and preemptions, at most 100 ms older than the turn that begins.
    usage: Cell<Usage>,
    turn_pace: RefCell<Pace>,
    handler_pace: RefCell<Pace>,
    /// Since the last turn.
    handlers: Cell<(u64, u64)>,
}

impl Watch {
    /// `slow_ms`: from how long on a turn or a handler is logged; 0 = never. Call it on the core's thread.
    #[must_use]
    pub fn new(core: usize, slow_ms: u64, metrics: Arc<CoreMetrics>) -> Watch {
        Watch {
            core,
            slow_ns: if slow_ms == 0 { u64::MAX } else { slow_ms.saturating_mul(1_000_000) },
            metrics,
            sampled_ns: Cell::new(0),
            usage: Cell::new(Usage::of_this_thread()),
            turn_pace: RefCell::default(),
            handler_pace: RefCell::default(),
            handlers: Cell::default(),
        }
    }

    /// A turn begins.
    #[inline]
    pub fn begin(&self, now_ns: u64) -> Turn {
        let samples = now_ns.saturating_sub(self.sampled_ns.get()) >= SAMPLE_INTERVAL_NS;
        if samples {
            self.sampled_ns.set(now_ns);
            self.usage.set(Usage::of_this_thread());
        }
        Turn {
            begun_ns: now_ns,
            lapped_ns: now_ns,
            phases_ns: [0; Phase::ALL.len()],
            samples,
            work: Work::default(),
        }
    }

    /// A turn has ended with its last lap: counts it, and logs it when it was slow.
    #[inline]
    pub fn end(&self, turn: &Turn) {
        let (metrics, work) = (&self.metrics, &turn.work);
        let took_ns = turn.lapped_ns.saturating_sub(turn.begun_ns);
        metrics.turn_count.increment();
        metrics.turn_ns.record(took_ns);
        for (counter, took_ns) in metrics.phase_ns.iter().zip(turn.phases_ns) {
            counter.add(took_ns);
        }
        if work.batches > 0 {
            metrics.turn_batches.record(work.batches);
        }
        if work.letters > 0 {
            metrics.turn_letters.record(work.letters);
        }
        metrics.bytes_in.add(work.bytes_in);
        metrics.sends_out.add(work.sends);
        metrics.bytes_out.add(work.bytes_out);
        metrics.gateway_frames_in.add(work.hub.messages);
        metrics.events.add(work.hub.events);
        metrics.dispatches_out.add(work.hub.dispatches);
        metrics.identifies.add(work.hub.identifies);
        metrics.resumes.add(work.hub.resumes);
        metrics.slow_consumer_closes.add(work.hub.slow_consumers);
        metrics.rate_limited.add(work.hub.rate_limited);
        if took_ns >= self.slow_ns {
            self.log_turn(turn, took_ns);
        }
        self.handlers.set((0, 0));
    }

    /// A request handler, or its part after a wait, has run between two turns: it held up the core as a turn does.
    #[inline]
    pub fn handled(&self, request_id: u64, route: &'static str, begun_ns: u64, now_ns: u64) {
        let took_ns = now_ns.saturating_sub(begun_ns);
        self.metrics.handler_ns.record(took_ns);
        let (count, sum_ns) = self.handlers.get();
        self.handlers.set((count + 1, sum_ns + took_ns));
        if took_ns >= self.slow_ns {
            self.log_handler(request_id, route, took_ns, now_ns);
        }
    }

    #[cold]
    fn log_turn(&self, turn: &Turn, took_ns: u64) {
        self.metrics.slow_turns.increment();
        let Some(suppressed) = self.turn_pace.borrow_mut().admit(turn.lapped_ns) else { return };
        let usage = self.usage_since();
        let us = |phase: Phase| turn.phases_ns[phase as usize] / 1_000;
        let (work, hub) = (&turn.work, &turn.work.hub);
        let (handlers, handlers_ns) = self.handlers.get();
        // tracing allows 32 fields.
        tracing::warn!(
            core = self.core,
            took_ms = ms(took_ns),
            apply_us = us(Phase::Apply),
            mail_us = us(Phase::Mail),
            sockets_us = us(Phase::Sockets),
            tick_us = us(Phase::Tick),
            act_us = us(Phase::Act),
            send_us = us(Phase::Send),
            batches = work.batches,
            events = hub.events,
            dispatches = hub.dispatches,
            replies = work.replies,
            letters = work.letters,
            reads = work.reads,
            bytes_in = work.bytes_in,
            sends = work.sends,
            bytes_out = work.bytes_out,
            opened = hub.opened,
            closed = hub.closed,
            identifies = hub.identifies,
            resumes = hub.resumes,
            largest_event = hub.largest.name,
            largest_server = hub.largest.server_id,
            largest_recipients = hub.largest.recipients,
            handlers,
            handlers_us = handlers_ns / 1_000,
            major_faults = usage.major_faults,
            minor_faults = usage.minor_faults,
            preemptions = usage.preemptions,
            suppressed,
            "slow turn"
        );
    }

    #[cold]
    fn log_handler(&self, request_id: u64, route: &'static str, took_ns: u64, now_ns: u64) {
        self.metrics.slow_handlers.increment();
        let Some(suppressed) = self.handler_pace.borrow_mut().admit(now_ns) else { return };
        let usage = self.usage_since();
        tracing::warn!(
            core = self.core,
            took_ms = ms(took_ns),
            route,
            request_id,
            major_faults = usage.major_faults,
            minor_faults = usage.minor_faults,
            preemptions = usage.preemptions,
            suppressed,
            "slow request handler"
        );
    }

    /// What the thread met with since the last look, and looks.
    fn usage_since(&self) -> Usage {
        let now = Usage::of_this_thread();
        now.since(self.usage.replace(now))
    }
}

/// Milliseconds with three decimals.
#[expect(clippy::cast_precision_loss, reason = "2^53 µs are 285 years")]
fn ms(took_ns: u64) -> f64 {
    (took_ns / 1_000) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::super::logs::tests::captured;
    use super::*;

    const MS: u64 = 1_000_000;

    fn watch(slow_ms: u64) -> Watch {
        Watch::new(3, slow_ms, Arc::default())
    }

    /// A turn that begins at `begun_ns` and takes this long in sockets and sends.
    fn run(watch: &Watch, begun_ns: u64, sockets_ns: u64, send_ns: u64, work: Work) {
        let mut turn = watch.begin(begun_ns);
        turn.lap(Phase::Sockets, begun_ns + sockets_ns);
        turn.lap(Phase::Send, begun_ns + sockets_ns + send_ns);
        turn.work = work;
        watch.end(&turn);
    }

    #[test]
    fn a_turn_at_the_threshold_is_logged_with_what_it_did() {
        let mut hub = HubWork { events: 2, dispatches: 44, identifies: 5, ..HubWork::default() };
        hub.largest.offer("TYPING_START", || 0, 4);
        hub.largest.offer("MESSAGE_CREATE", || 77, 40);
        hub.largest.offer("TYPING_STOP", || unreachable!("it has as many"), 40);
        let work = Work { batches: 1, sends: 41, bytes_out: 9_000, hub, ..Work::default() };
        let watch = watch(50);
        let text = captured("json", || {
            run(&watch, 7 * MS, 20 * MS, 30 * MS - 1, work);
            watch.handled(12, "message_list", 60 * MS, 61 * MS);
            run(&watch, 70 * MS, 20 * MS, 30 * MS + 123_456, work);
            run(&watch, 130 * MS, 20 * MS, 30 * MS, Work::default());
        });
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "the first took a nanosecond less: {text}");
        for (field, want) in [
            ("level", serde_json::json!("WARN")),
            ("message", serde_json::json!("slow turn")),
            ("core", serde_json::json!(3)),
            ("took_ms", serde_json::json!(50.123)),
            ("sockets_us", serde_json::json!(20_000)),
            ("send_us", serde_json::json!(30_123)),
            ("apply_us", serde_json::json!(0)),
            ("batches", serde_json::json!(1)),
            ("events", serde_json::json!(2)),
            ("dispatches", serde_json::json!(44)),
            ("sends", serde_json::json!(41)),
            ("bytes_out", serde_json::json!(9_000)),
            ("identifies", serde_json::json!(5)),
            ("largest_event", serde_json::json!("MESSAGE_CREATE")),
            ("largest_server", serde_json::json!(77)),
            ("largest_recipients", serde_json::json!(40)),
            ("handlers", serde_json::json!(1)),
            ("handlers_us", serde_json::json!(1_000)),
            ("suppressed", serde_json::json!(0)),
        ] {
            assert_eq!(lines[0][field], want, "{field}: {text}");
        }
        assert_eq!(lines[1]["handlers"], 0, "handlers belong to one turn");
        for phase in Phase::ALL {
            assert!(lines[0][format!("{}_us", phase.text())].is_u64(), "{phase:?}");
        }
        for field in ["major_faults", "minor_faults", "preemptions"] {
            assert!(lines[0][field].is_u64(), "{field}");
        }
        let metrics = &watch.metrics;
        assert_eq!((metrics.turn_count.value(), metrics.slow_turns.value()), (3, 2));
        assert_eq!(metrics.turn_ns.sum(), 150 * MS - 1 + 123_456);
        assert_eq!(metrics.phase_ns[Phase::Sockets as usize].value(), 60 * MS);
        assert_eq!((metrics.dispatches_out.value(), metrics.identifies.value()), (88, 10));
        assert_eq!(metrics.turn_batches.sum(), 2, "turns without a batch are not in it");
    }

    #[test]
    fn lines_are_few_and_the_next_counts_those_left_out() {
        let watch = watch(1);
        let text = captured("text", || {
            for index in 0..10 {
                run(&watch, index * 10 * MS, 0, MS, Work::default());
            }
            // The handlers' lines are counted apart.
            watch.handled(1, "message_list", 100 * MS, 101 * MS);
            run(&watch, 1_200 * MS, 0, MS, Work::default());
        });
        let turns: Vec<&str> = text.lines().filter(|line| line.contains("slow turn")).collect();
        assert_eq!(turns.len(), LINES_PER_SECOND as usize + 1, "{text}");
        assert!(turns[..4].iter().all(|line| line.contains("suppressed=0")), "{text}");
        assert!(turns[4].contains("suppressed=6"), "{text}");
        assert!(text.contains("slow request handler"), "{text}");
        assert_eq!(watch.metrics.slow_turns.value(), 11);
    }

    #[test]
    fn a_slow_handler_is_logged_by_its_route() {
        let watch = watch(2);
        let text = captured("text", || {
            watch.handled(8, "message_list", 0, 2 * MS - 1);
            watch.handled(9, "message_list", 5 * MS, 7 * MS + 1_999);
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("took_ms=2.001 route=\"message_list\" request_id=9"), "{text}");
        assert_eq!(
            (watch.metrics.slow_handlers.value(), watch.metrics.handler_ns.sum()),
            (1, 4 * MS + 1_998)
        );
    }

    #[test]
    fn zero_turns_the_lines_off() {
        let watch = watch(0);
        let text = captured("text", || {
            run(&watch, 0, 100_000 * MS, 0, Work::default());
            watch.handled(9, "message_list", 0, 100_000 * MS);
        });
        assert_eq!(text, "");
        assert_eq!(watch.metrics.slow_turns.value(), 0);
    }

    #[test]
    fn costly_figures_are_taken_ten_times_a_second() {
        let watch = watch(0);
        let samples: Vec<bool> =
            [200, 299, 300, 301, 1_000].into_iter().map(|at| watch.begin(at * MS).samples).collect();
        assert_eq!(samples, [true, false, true, false, true]);
    }
}
