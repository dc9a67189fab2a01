//! The counters as OpenMetrics text, which Prometheus reads. The tables here are the list of metrics.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{self, Unit};

use super::by_name;
use super::logs::dropped_lines;
use super::metrics::{
    CoreMetrics, Histogram, LaneMetrics, Registry, SearchMetrics, StoreMetrics, WriterMetrics,
};
use super::process_numbers::ProcessCollector;
use super::thread::Times;
use super::turn::Phase;

/// Of what [`encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Of what [`classic`] returns.
pub const CONTENT_TYPE_CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) const NANOSECONDS: f64 = 1e-9;

/// A number of one core; the encoder adds `_total` to counters, and the unit to every name.
type CoreNumber = (&'static str, &'static str, Option<Unit>, MetricType, fn(&CoreMetrics) -> u64);

const CORE_NUMBERS: &[CoreNumber] = &[
    ("http_connections", "Open HTTP connections", None, MetricType::Gauge, |core| {
        core.http_connections.value()
    }),
    ("gateway_connections", "Open gateway connections", None, MetricType::Gauge, |core| {
        core.gateway_connections.value()
    }),
    (
        "gateway_polls",
        "Gateway sockets that the kernel watches; above the connections for long: closed ones are held",
        None,
        MetricType::Gauge,
        |core| core.gateway_polls.value(),
    ),
    ("gateway_sessions", "Gateway sessions, live and detached", None, MetricType::Gauge, |core| {
        core.gateway_sessions.value()
    }),
    (
        "gateway_sessions_detached",
        "Gateway sessions without a connection, which wait for RESUME",
        None,
        MetricType::Gauge,
        |core| core.gateway_detached.value(),
    ),
    ("voice_callers", "People in voice channels", None, MetricType::Gauge, |core| core.voice_callers.value()),
    (
        "gateway_state",
        "Connections, sessions and who is in which server, as the gateway counts it",
        Some(Unit::Bytes),
        MetricType::Gauge,
        |core| core.gateway_state_len.value(),
    ),
    (
        "gateway_session",
        "gateway_state_bytes by session; 0 without sessions",
        Some(Unit::Bytes),
        MetricType::Gauge,
        |core| core.gateway_state_len.value().checked_div(core.gateway_sessions.value()).unwrap_or(0),
    ),
    ("gateway_replay", "Events kept for RESUME", Some(Unit::Bytes), MetricType::Gauge, |core| {
        core.gateway_replay_len.value()
    }),
    ("gateway_identifies", "Gateway sessions begun", None, MetricType::Counter, |core| {
        core.identifies.value()
    }),
    ("gateway_resumes", "Gateway sessions resumed", None, MetricType::Counter, |core| core.resumes.value()),
    ("gateway_frames_in", "Messages received from gateway clients", None, MetricType::Counter, |core| {
        core.gateway_frames_in.value()
    }),
    ("events", "Events that had a recipient on the core", None, MetricType::Counter, |core| {
        core.events.value()
    }),
    ("dispatches_out", "Dispatches given to sessions", None, MetricType::Counter, |core| {
        core.dispatches_out.value()
    }),
    (
        "sends_out",
        "Sends to gateway clients; send_frames has those with dispatches",
        None,
        MetricType::Counter,
        |core| core.sends_out.value(),
    ),
    ("in", "Read from clients", Some(Unit::Bytes), MetricType::Counter, |core| core.bytes_in.value()),
    ("out", "Written to clients", Some(Unit::Bytes), MetricType::Counter, |core| core.bytes_out.value()),
    (
        "slow_consumer_closes",
        "Sessions closed because their client did not read",
        None,
        MetricType::Counter,
        |core| core.slow_consumer_closes.value(),
    ),
    ("rate_limited", "Requests and connections refused for their rate", None, MetricType::Counter, |core| {
        core.rate_limited.value()
    }),
    (
        "gate_refused",
        "Requests and connections refused for want of a good access token",
        None,
        MetricType::Counter,
        |core| core.gate_refused.value(),
    ),
    (
        "login_failures",
        "Wrong passwords and codes, of administrators too",
        None,
        MetricType::Counter,
        |core| core.login_failures.value(),
    ),
    (
        "connections_refused",
        "Connections turned away as there were too many, of all or of an address",
        None,
        MetricType::Counter,
        |core| core.connections_refused.value(),
    ),
    ("turns", "Turns of the core loop", None, MetricType::Counter, |core| core.turn_count.value()),
    ("slow_turns", "Turns longer than logging.slow_turn_ms", None, MetricType::Counter, |core| {
        core.slow_turns.value()
    }),
    (
        "slow_handlers",
        "Request handlers that held up the core longer than logging.slow_turn_ms",
        None,
        MetricType::Counter,
        |core| core.slow_handlers.value(),
    ),
    (
        "errands",
        "What changes have left to do and is due, such as telling all whom a message mentions; 1000 = that or more",
        None,
        MetricType::Gauge,
        |core| core.errands.value(),
    ),
    ("texts_blocked", "Texts refused by the rules of their server", None, MetricType::Counter, |core| {
        core.texts_blocked.value()
    }),
    (
        "texts_asked",
        "Texts that other services were asked to judge, by rules with ai_moderation",
        None,
        MetricType::Counter,
        |core| core.texts_asked.value(),
    ),
    (
        "texts_unanswered",
        "Those of them that no answer came for: they stay",
        None,
        MetricType::Counter,
        |core| core.texts_unanswered.value(),
    ),
    ("mails", "Mails that have not left", None, MetricType::Gauge, |core| core.mails.value()),
    ("mails_sent", "Mails that the mail server has taken", None, MetricType::Counter, |core| {
        core.mails_sent.value()
    }),
    ("mail_failures", "Tries in vain to send a mail", None, MetricType::Counter, |core| {
        core.mail_failures.value()
    }),
    (
        "mails_given_up",
        "Mails that were refused, or not taken for a day",
        None,
        MetricType::Counter,
        |core| core.mails_given_up.value(),
    ),
    (
        "mail_backlog",
        "Letters that wait because the ring to another core is full",
        None,
        MetricType::Gauge,
        |core| core.mail_backlog.value(),
    ),
];

/// A histogram of one core, by the unit its values are in.
type CoreHistogram =
    (&'static str, &'static str, Option<Unit>, fn(&CoreMetrics, MetricEncoder<'_>) -> fmt::Result);

const CORE_HISTOGRAMS: &[CoreHistogram] = &[
    ("turn", "Time of a turn of the core loop, without waiting", Some(Unit::Seconds), |core, encoder| {
        histogram(encoder, &core.turn_ns, NANOSECONDS)
    }),
    (
        "http_handler",
        "Time of a request handler, or of its part after a wait",
        Some(Unit::Seconds),
        |core, encoder| histogram(encoder, &core.handler_ns, NANOSECONDS),
    ),
    (
        "command",
        "From handing a command to the writer to having its answer",
        Some(Unit::Seconds),
        |core, encoder| histogram(encoder, &core.command_ns, NANOSECONDS),
    ),
    ("send_frames", "Frames that left in one send", None, |core, encoder| {
        histogram(encoder, &core.frames_per_send, 1.0)
    }),
    (
        "turn_batches",
        "Committed batches in the ring to the core, when there were any",
        None,
        |core, encoder| histogram(encoder, &core.turn_batches, 1.0),
    ),
    ("turn_letters", "Letters in the rings from other cores, when there were any", None, |core, encoder| {
        histogram(encoder, &core.turn_letters, 1.0)
    }),
];

/// Nanoseconds of a core's thread, as the kernel counts them.
type ThreadTime = (&'static str, &'static str, fn(Times) -> u64);

const THREAD_TIMES: &[ThreadTime] = &[
    ("core_busy", "Time of the core's thread on a processor", |times| times.busy_ns),
    ("core_queued", "Time of the core's thread waiting for a processor", |times| times.queued_ns),
];

type Number<T> = (&'static str, &'static str, MetricType, fn(&T) -> u64);

const WRITER_NUMBERS: &[Number<WriterMetrics>] = &[
    ("writer_batches", "Transactions committed", MetricType::Counter, |writer| writer.batches.value()),
    ("writer_commands", "Commands committed", MetricType::Counter, |writer| writer.commands.value()),
    ("writer_refused", "Commands that apply refused", MetricType::Counter, |writer| writer.refused.value()),
    ("writer_failures", "Transactions that could not be committed", MetricType::Counter, |writer| {
        writer.failures.value()
    }),
    ("writer_queue", "Commands waiting when the last batch was taken", MetricType::Gauge, |writer| {
        writer.queue_len.value()
    }),
    (
        "writer_delivery_backlog",
        "Batches that wait because the ring to some core is full",
        MetricType::Gauge,
        |writer| writer.delivery_backlog.value(),
    ),
];

/// Bytes and times of the store.
type StoreNumber = (&'static str, &'static str, Option<Unit>, MetricType, fn(&StoreMetrics) -> u64);

const STORE_NUMBERS: &[StoreNumber] = &[
    ("store", "Length of the data file", Some(Unit::Bytes), MetricType::Gauge, |store| {
        store.file_len.value()
    }),
    (
        "store_map_used",
        "What counts towards store.map_size: the data file, less what can be used again when it is that long",
        Some(Unit::Bytes),
        MetricType::Gauge,
        |store| store.used_len.value(),
    ),
    ("store_map_size", "store.map_size", Some(Unit::Bytes), MetricType::Gauge, |store| store.map_len.value()),
    (
        "store_disk_free",
        "What may still be written to the disk of the store",
        Some(Unit::Bytes),
        MetricType::Gauge,
        |store| store.disk_free_len.value(),
    ),
    (
        "store_stale_snapshots",
        "Snapshots of killed processes that were freed",
        None,
        MetricType::Counter,
        |store| store.stale_snapshots.value(),
    ),
    (
        "store_refuses",
        "0 while changes are taken; 1 the disk is full, 2 store.map_size is reached, 3 a snapshot is held, 4 writing fails",
        None,
        MetricType::Gauge,
        |store| store.refusing.value(),
    ),
];

/// A histogram of the writer.
type WriterHistogram =
    (&'static str, &'static str, Option<Unit>, fn(&WriterMetrics, MetricEncoder<'_>) -> fmt::Result);

const WRITER_HISTOGRAMS: &[WriterHistogram] = &[
    ("writer_batch_commands", "Commands in one transaction", None, |writer, encoder| {
        histogram(encoder, &writer.batch_len, 1.0)
    }),
    ("writer_queue_commands", "Commands waiting when a batch was taken", None, |writer, encoder| {
        histogram(encoder, &writer.queue_lens, 1.0)
    }),
    ("writer_apply", "Applying the commands of a transaction", Some(Unit::Seconds), |writer, encoder| {
        histogram(encoder, &writer.apply_ns, NANOSECONDS)
    }),
    ("writer_commit", "Commit of a transaction with its sync", Some(Unit::Seconds), |writer, encoder| {
        histogram(encoder, &writer.commit_ns, NANOSECONDS)
    }),
    (
        "writer_sync",
        "Sync on its own, with store.sync = \"interval\"",
        Some(Unit::Seconds),
        |writer, encoder| histogram(encoder, &writer.sync_ns, NANOSECONDS),
    ),
];

/// The lane of passwords, from before there were others; their names are a promise.
const PASSWORD_NUMBERS: &[Number<LaneMetrics>] = &[
    ("password_hashes", "Passwords hashed", MetricType::Counter, |lane| lane.done.value()),
    ("password_hashes_refused", "Logins turned away because too many waited", MetricType::Counter, |lane| {
        lane.refused.value()
    }),
    ("password_hash_queue", "Passwords waiting to be hashed or being hashed", MetricType::Gauge, |lane| {
        lane.waiting()
    }),
];

const LANE_NUMBERS: &[Number<LaneMetrics>] = &[
    ("effect_queued", "Jobs waiting for a lane of slow work, or at work there", MetricType::Gauge, |lane| {
        lane.waiting()
    }),
    ("effect_refused", "Jobs turned away because too many waited", MetricType::Counter, |lane| {
        lane.refused.value()
    }),
    ("effect_panicked", "Jobs that ended in a panic; please report it", MetricType::Counter, |lane| {
        lane.panicked.value()
    }),
];

/// All metrics as text, with those of the process.
#[must_use]
pub fn encode(metrics: &Arc<Registry>) -> String {
    let mut registry = registry::Registry::with_prefix("plexichat");
    registry.register_collector(Box::new(ServerCollector(Arc::clone(metrics))));
    let mut process = registry::Registry::with_prefix("process");
    process.register_collector(Box::new(ProcessCollector(Arc::clone(metrics))));
    let mut out = String::with_capacity(16 * 1024);
    text::encode_registry(&mut out, &registry).expect("writing to a String does not fail");
    text::encode_registry(&mut out, &process).expect("writing to a String does not fail");
    text::encode_eof(&mut out).expect("writing to a String does not fail");
    out
}

#[derive(Debug)]
struct ServerCollector(Arc<Registry>);

impl Collector for ServerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.core_numbers(&mut encoder)?;
        self.http_requests(&mut encoder)?;
        by_name::encode(&self.0, &mut encoder)?;
        self.core_histograms(&mut encoder)?;
        self.turn_phases(&mut encoder)?;
        self.thread_times(&mut encoder)?;
        let writer = &self.0.writer;
        numbers(&mut encoder, WRITER_NUMBERS, writer)?;
        for (name, help, unit, encode) in WRITER_HISTOGRAMS {
            encode(writer, encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?)?;
        }
        store_numbers(&mut encoder, &writer.store)?;
        search_numbers(&mut encoder, &self.0.search)?;
        let help = "Log lines that were lost: too many at once, or stderr or a file took nothing";
        let lines = encoder.encode_descriptor("log_lines_dropped", help, None, MetricType::Counter)?;
        number(lines, MetricType::Counter, dropped_lines())?;
        for lane in self.0.lanes.iter().filter(|lane| lane.name == "password") {
            numbers(&mut encoder, PASSWORD_NUMBERS, lane)?;
        }
        self.lanes(&mut encoder)
    }
}

impl ServerCollector {
    /// Each core with the label value that names it.
    fn cores(&self) -> impl Iterator<Item = (String, &CoreMetrics)> {
        self.0.cores.iter().enumerate().map(|(index, core)| (index.to_string(), core.as_ref()))
    }

    fn core_numbers(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, unit, kind, value) in CORE_NUMBERS {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?;
            for (index, core) in self.cores() {
                let labels = [("core", index.as_str())];
                number(family.encode_family(&labels)?, *kind, value(core))?;
            }
        }
        Ok(())
    }

    fn http_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Answered requests by status class";
        let mut family = encoder.encode_descriptor("http_requests", help, None, MetricType::Counter)?;
        for (index, core) in self.cores() {
            for (class, counter) in ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().zip(&core.http_requests) {
                let labels = [("core", index.as_str()), ("class", class)];
                number(family.encode_family(&labels)?, MetricType::Counter, counter.value())?;
            }
        }
        Ok(())
    }

    fn core_histograms(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, unit, encode) in CORE_HISTOGRAMS {
            let mut family = encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
            for (index, core) in self.cores() {
                encode(core, family.encode_family(&[("core", index.as_str())])?)?;
            }
        }
        Ok(())
    }

    fn turn_phases(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time of turns by what the core did";
        let mut family =
            encoder.encode_descriptor("turn_phase", help, Some(&Unit::Seconds), MetricType::Counter)?;
        for (index, core) in self.cores() {
            for (phase, counter) in Phase::ALL.iter().zip(&core.phase_ns) {
                let labels = [("core", index.as_str()), ("phase", phase.text())];
                seconds(family.encode_family(&labels)?, counter.value())?;
            }
        }
        Ok(())
    }

    fn lanes(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for (name, help, kind, value) in LANE_NUMBERS {
            let mut family = encoder.encode_descriptor(name, help, None, *kind)?;
            for lane in &self.0.lanes {
                number(family.encode_family(&[("lane", lane.name)])?, *kind, value(lane))?;
            }
        }
        let help = "From handing a job to a lane to its end";
        let unit = Some(&Unit::Seconds);
        let mut family = encoder.encode_descriptor("effect", help, unit, MetricType::Histogram)?;
        for lane in &self.0.lanes {
            histogram(family.encode_family(&[("lane", lane.name)])?, &lane.took_ns, NANOSECONDS)?;
        }
        Ok(())
    }

    /// Busy time over wall time is the utilisation of the core's loop.
    fn thread_times(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let cores = self.cores().map(|(index, core)| (index, core.thread.times()));
        let cores: Vec<(String, Option<Times>)> = cores.collect();
        for (name, help, value) in THREAD_TIMES {
            let mut family =
                encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Counter)?;
            for (index, times) in &cores {
                let Some(times) = times else { continue };
                seconds(family.encode_family(&[("core", index.as_str())])?, value(*times))?;
            }
        }
        Ok(())
    }
}

fn store_numbers(encoder: &mut DescriptorEncoder<'_>, store: &StoreMetrics) -> fmt::Result {
    for (name, help, unit, kind, value) in STORE_NUMBERS {
        number(encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?, *kind, value(store))?;
    }
    let help = "Since when the oldest snapshot keeps pages of the store from being used again";
    let unit = Some(&Unit::Seconds);
    let mut gauge = encoder.encode_descriptor("store_oldest_snapshot", help, unit, MetricType::Gauge)?;
    gauge.encode_gauge(&Duration::from_millis(store.oldest_snapshot_ms.value()).as_secs_f64())
}

/// Numbers of the index of messages.
type SearchNumber = (&'static str, &'static str, Option<Unit>, MetricType, fn(&SearchMetrics) -> u64);

const SEARCH_NUMBERS: &[SearchNumber] = &[
    (
        "search_messages",
        "Messages looked at for the index: new, changed, or because it is made",
        None,
        MetricType::Counter,
        |search| search.messages.value(),
    ),
    (
        "search_fresh",
        "Messages that are found but not yet written to the index",
        None,
        MetricType::Gauge,
        |search| search.fresh.value(),
    ),
    ("search_index", "Length of the index", Some(Unit::Bytes), MetricType::Gauge, |search| {
        search.file_len.value()
    }),
    (
        "search_left",
        "Messages to look at until the index is complete; above 0 searches read the store",
        None,
        MetricType::Gauge,
        |search| search.left.value(),
    ),
    ("search_rebuilds", "Times that the index was made anew", None, MetricType::Counter, |search| {
        search.rebuilds.value()
    }),
    ("search_failures", "Times that the index could not be written", None, MetricType::Counter, |search| {
        search.failures.value()
    }),
];

fn search_numbers(encoder: &mut DescriptorEncoder<'_>, search: &SearchMetrics) -> fmt::Result {
    for (name, help, unit, kind, value) in SEARCH_NUMBERS {
        number(encoder.encode_descriptor(name, help, unit.as_ref(), *kind)?, *kind, value(search))?;
    }
    Ok(())
}

/// OpenMetrics text in the format before it (Prometheus, "Exposition formats"): no units, no end mark, and counters are
/// described under the name of their sample.
pub fn classic(text: &str) -> String {
    let counters: HashSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut out = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let described = ["# HELP ", "# TYPE "].into_iter().find_map(|mark| {
            let (name, rest) = line.strip_prefix(mark)?.split_once(' ')?;
            counters.contains(name).then(|| format!("{mark}{name}_total {rest}"))
        });
        out.push_str(described.as_deref().unwrap_or(line));
        out.push('\n');
    }
    out
}

fn numbers<T>(encoder: &mut DescriptorEncoder<'_>, rows: &[Number<T>], metrics: &T) -> fmt::Result {
    for (name, help, kind, value) in rows {
        number(encoder.encode_descriptor(name, help, None, *kind)?, *kind, value(metrics))?;
    }
    Ok(())
}

pub(super) fn number(mut encoder: MetricEncoder<'_>, kind: MetricType, value: u64) -> fmt::Result {
    match kind {
        MetricType::Counter => encoder.encode_counter::<[(&str, &str); 0], _, u64>(&value, None),
        _ => encoder.encode_gauge(&value),
    }
}

/// A counter of nanoseconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 ns are 104 days; beyond it only the last digits are lost"
)]
pub(super) fn seconds(mut encoder: MetricEncoder<'_>, value_ns: u64) -> fmt::Result {
    encoder.encode_counter::<[(&str, &str); 0], _, u64>(&(value_ns as f64 * NANOSECONDS), None)
}

/// `scale` turns the histogram's unit into the metric's base unit. The labels are already in the encoder.
#[expect(clippy::cast_precision_loss, reason = "metrics are floats; 2^53 ns are 104 days")]
pub(super) fn histogram<const FIRST: u64, const BUCKETS: usize>(
    mut encoder: MetricEncoder<'_>,
    histogram: &Histogram<FIRST, BUCKETS>,
    scale: f64,
) -> fmt::Result {
    let bound = |bound: Option<u64>| bound.map_or(f64::INFINITY, |bound| bound as f64 * scale);
    let buckets: Vec<(f64, u64)> = histogram.buckets().map(|(upper, count)| (bound(upper), count)).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<[(&str, &str); 0]>(histogram.sum() as f64 * scale, count, &buckets, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Names;

    fn text_of(fill: impl Fn(&Registry)) -> String {
        let registry =
            Arc::new(Registry::new(2, Names { lanes: vec!["password", "other"], ..Names::default() }));
        fill(&registry);
        encode(&registry)
    }

    #[test]
    fn numbers_carry_their_labels() {
        let text = text_of(|registry| {
            registry.cores[1].http_request(204);
            registry.cores[0].gateway_sessions.set(7);
            registry.cores[0].bytes_out.add(4096);
            registry.writer.commands.add(3);
            registry.lanes[0].queued.add_shared(2);
            registry.lanes[0].done.add_shared(1);
            registry.lanes[1].refused.add_shared(1);
        });
        for line in [
            "# HELP plexichat_http_requests Answered requests by status class",
            "# TYPE plexichat_http_requests counter",
            "plexichat_http_requests_total{core=\"1\",class=\"2xx\"} 1",
            "plexichat_http_requests_total{core=\"0\",class=\"2xx\"} 0",
            "plexichat_gateway_sessions{core=\"0\"} 7",
            "# UNIT plexichat_out_bytes bytes",
            "plexichat_out_bytes_total{core=\"0\"} 4096",
            "plexichat_writer_commands_total 3",
            "plexichat_password_hash_queue 1",
            "plexichat_effect_queued{lane=\"password\"} 1",
            "plexichat_effect_refused_total{lane=\"other\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\nis missing in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn histograms_are_cumulative_and_in_base_units() {
        let text = text_of(|registry| {
            registry.cores[0].turn_ns.record(1000);
            registry.cores[0].turn_ns.record(3000);
            registry.cores[0].turn_ns.record(u64::from(u32::MAX));
            registry.writer.batch_len.record(2);
            registry.lanes[1].took_ns.record_shared(3_000_000_000);
        });
        for line in [
            "plexichat_turn_seconds_bucket{le=\"0.000001024\",core=\"0\"} 1",
            "plexichat_turn_seconds_bucket{le=\"0.000004096\",core=\"0\"} 2",
            "plexichat_turn_seconds_bucket{le=\"+Inf\",core=\"0\"} 3",
            "plexichat_turn_seconds_count{core=\"0\"} 3",
            "plexichat_writer_batch_commands_bucket{le=\"1.0\"} 0",
            "plexichat_writer_batch_commands_bucket{le=\"2.0\"} 1",
            "plexichat_writer_batch_commands_sum 2.0",
            "plexichat_effect_seconds_count{lane=\"other\"} 1",
            "plexichat_effect_seconds_sum{lane=\"other\"} 3.0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\nis missing in\n{text}");
        }
    }

    #[test]
    fn the_classic_format_names_counters_by_their_samples() {
        let text = classic(&text_of(|registry| registry.cores[0].bytes_out.add(4096)));
        for line in [
            "# HELP plexichat_out_bytes_total Written to clients",
            "# TYPE plexichat_out_bytes_total counter",
            "plexichat_out_bytes_total{core=\"0\"} 4096",
            "# TYPE plexichat_gateway_sessions gauge",
            "# TYPE plexichat_turn_seconds histogram",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\nis missing in\n{text}");
        }
        assert!(!text.contains("# UNIT") && !text.contains("# EOF"), "{text}");
    }

    #[test]
    fn process_figures_are_plausible() {
        let text = text_of(|_| ());
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|line| line.starts_with(name)).expect("is listed");
            line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
        };
        assert!(value("process_resident_memory_bytes") > 1e6);
        assert!(value("process_open_fds") >= 3.0);
        assert!(value("process_start_time_seconds") > 1.7e9);
    }

    #[test]
    fn names_are_listed_once() {
        let text = text_of(|_| ());
        let mut names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
