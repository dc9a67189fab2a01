//! Log lines on stderr and in files, each written by a thread of its own. When stderr cannot keep up, is full, or nobody
//! reads it any more, lines are dropped and counted; a core never waits for a terminal, and nothing ends for want of one.
//! The same holds for files ([`super::log_writer`]).
//!
//! The level is one number that can be changed while the server runs ([`set_level`]).

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::log_files::LEVELS;
use super::log_writer::{Queue, Settings};
use crate::config::Config;

/// Lines waiting for the writer thread; at 200 bytes each about 3 MiB.
const LINES_LEN_MAX: usize = 16 * 1024;

/// Lines that could not be written.
static FAILED: AtomicU64 = AtomicU64::new(0);
/// Lines that found the queue full.
static OVERFLOWN: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines that wait for the files.
static FILES: OnceLock<Queue> = OnceLock::new();
/// The level that is logged.
static LEVEL: OnceLock<Arc<Gate>> = OnceLock::new();

/// Lines of this process that were lost: a queue was full, or stderr or a file took nothing.
#[must_use]
pub fn dropped_lines() -> u64 {
    let overflown = OVERFLOWN.get().map_or(0, |counter| counter.dropped_lines() as u64);
    overflown + FAILED.load(Ordering::Relaxed) + FILES.get().map_or(0, Queue::lost)
}

/// Keeps the log threads alive; dropping it writes out what is queued.
pub struct Guard {
    _worker: WorkerGuard,
    overflown: ErrorCounter,
    files: Option<Queue>,
    level: Arc<Gate>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(files) = &self.files {
            files.end();
        }
    }
}

/// Counts what `out` does not take, instead of failing.
struct Lossy<W>(W);

impl<W: Write> Write for Lossy<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.write_all(line)?;
        Ok(line.len())
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        if self.0.write_all(line).is_err() {
            FAILED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        // What it is for is counted where it was written.
        let _ = self.0.flush();
        Ok(())
    }
}

/// Starts logging as the options `logging.*` say. Hold the guard until the process ends.
/// A second call changes nothing: the first subscriber stays.
#[must_use]
pub fn init_logs(config: &Config) -> Guard {
    let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let files = files_of(config).map(Queue::start).transpose();
    let without = files.as_ref().err().map(ToString::to_string);
    let guard = start(config, io::stderr(), files.ok().flatten(), ansi, |dispatch| {
        // Fails only when there is a subscriber already, which then stays.
        let _ = tracing::dispatcher::set_global_default(dispatch);
    });
    let _ = OVERFLOWN.set(guard.overflown.clone());
    let _ = LEVEL.set(guard.level.clone());
    if let Some(files) = &guard.files {
        let _ = FILES.set(files.clone());
    }
    if let Some(error) = without {
        tracing::warn!(error, "no log files are written: there is no thread for them");
    }
    guard
}

fn files_of(config: &Config) -> Option<Settings> {
    config.logging.files.then(|| Settings {
        folder: config.logging.folder.clone().into(),
        len_max: config.logging.max_bytes,
        kept: config.logging.backup_count as usize,
        rotates: config.logging.rotate,
        packs: config.logging.zip_logs,
    })
}

/// The level that is logged now; as configured before logging has started.
#[must_use]
pub fn log_level() -> &'static str {
    LEVEL.get().map_or("INFO", |gate| gate.level().into_level().map_or("OFF", |level| level.as_str()))
}

/// Logs from a level on, from now on. One that there is none of changes nothing.
pub fn set_level(name: &str) {
    if let (Some(gate), Some(level)) = (LEVEL.get(), super::log_files::level(name)) {
        gate.0.store(place(level), Ordering::Relaxed);
        // Each place that logs is asked anew, so that one that is silent costs nothing.
        tracing::callsite::rebuild_interest_cache();
    }
}

fn place(level: &str) -> usize {
    LEVELS.iter().position(|known| *known == level).unwrap_or(2)
}

/// Lets through what is severe enough: the place of a level among [`LEVELS`].
struct Gate(AtomicUsize);

impl Gate {
    fn level(&self) -> LevelFilter {
        match self.0.load(Ordering::Relaxed) {
            0 => LevelFilter::TRACE,
            1 => LevelFilter::DEBUG,
            3 => LevelFilter::WARN,
            4 => LevelFilter::ERROR,
            _ => LevelFilter::INFO,
        }
    }
}

/// The gate in front of what writes.
struct Gated(Arc<Gate>);

impl<S: Subscriber> Layer<S> for Gated {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if *metadata.level() <= self.0.level() { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= self.0.level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.level())
    }
}

/// A line of a file, as [`super::log_files`] reads it.
struct FileLine;

impl<S, N> FormatEvent<S, N> for FileLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        SystemTime.format_time(&mut writer)?;
        write!(writer, " {} {}: ", event.metadata().level(), event.metadata().target())?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

type Gatekept = tracing_subscriber::layer::Layered<Gated, Registry>;
type Output = Box<dyn Layer<Gatekept> + Send + Sync>;

fn start(
    config: &Config,
    out: impl Write + Send + 'static,
    files: Option<Queue>,
    ansi: bool,
    install: impl FnOnce(tracing::Dispatch),
) -> Guard {
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_LEN_MAX)
        .thread_name("logs")
        .finish(Lossy(out));
    let overflown = writer.error_counter();
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let stderr: Output = match config.logging.format.as_str() {
        "json" => lines.json().flatten_event(true).boxed(),
        _ => lines.with_ansi(ansi).boxed(),
    };
    let mut outputs = vec![stderr];
    if let Some(files) = files.clone() {
        let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(files);
        outputs.push(lines.event_format(FileLine).boxed());
    }
    // The rule of the option lets in no other names.
    let level = super::log_files::level(&config.logging.level).map_or(2, place);
    let level = Arc::new(Gate(AtomicUsize::new(level)));
    install(tracing_subscriber::registry().with(Gated(level.clone())).with(outputs).into());
    Guard { _worker: worker, overflown, files, level }
}

/// Whether [`log_request`] writes anything: only then is it worth asking the clock.
#[inline]
#[must_use]
pub fn logs_requests() -> bool {
    tracing::enabled!(target: "plexichat::request", tracing::Level::DEBUG)
}

/// One answered request, at DEBUG. `route` is the operation (`message_create`), never the path with its ids or
/// query, which may hold a token.
#[inline]
pub fn log_request(request_id: u64, method: &str, route: &str, status: u16, micros: u64) {
    tracing::debug!(target: "plexichat::request", request_id, method, route, status, micros, "answered");
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Logging;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What `work` logs on this thread, WARN and above.
    pub fn captured(format: &str, work: impl FnOnce()) -> String {
        written("WARN", format, work)
    }

    fn logged(level: &str, format: &str) -> String {
        written(level, format, || {
            log_request(7, "GET", "message_list", 200, 41);
            tracing::warn!("odd");
        })
    }

    fn written(level: &str, format: &str, work: impl FnOnce()) -> String {
        let config = Config {
            logging: Logging { level: level.into(), format: format.into(), ..Logging::default() },
            ..Config::default()
        };
        let lines = Lines::default();
        let mut dispatch = None;
        let guard = start(&config, lines.clone(), None, false, |made| dispatch = Some(made));
        tracing::dispatcher::with_default(&dispatch.unwrap(), work);
        assert_eq!(guard.overflown.dropped_lines(), 0);
        drop(guard);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn requests_are_logged_at_debug_with_their_fields() {
        let text = logged("DEBUG", "text");
        assert!(
            text.contains("request_id=7 method=\"GET\" route=\"message_list\" status=200 micros=41"),
            "{text}"
        );
        let json = logged("DEBUG", "json");
        assert!(json.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{json}");
        assert!(json.contains("\"route\":\"message_list\",\"status\":200,\"micros\":41"), "{json}");
    }

    #[test]
    fn the_level_holds() {
        let text = logged("WARNING", "text");
        assert!(text.contains("odd") && !text.contains("message_list"), "{text}");
        assert_eq!(logged("ERROR", "text"), "");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_nothing_fails() {
        struct Full;

        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }

        let before = dropped_lines();
        let mut out = Lossy(Full);
        out.write_all(b"a line").unwrap();
        assert_eq!(out.write(b"another").unwrap(), 7);
        out.flush().unwrap();
        assert_eq!(dropped_lines(), before + 2);
    }
}
