//! Log lines on stderr, written by a thread of their own. When stderr cannot keep up, is full, or nobody reads it any
//! more, lines are dropped and counted; a core never waits for a terminal, and nothing ends for want of one.

use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

use crate::config::{Config, Logging};

/// Lines waiting for the writer thread; at 200 bytes each about 3 MiB.
const LINES_LEN_MAX: usize = 16 * 1024;

/// Lines that could not be written.
static FAILED: AtomicU64 = AtomicU64::new(0);
/// Lines that found the queue full.
static OVERFLOWN: OnceLock<ErrorCounter> = OnceLock::new();

/// Lines of this process that were lost: the queue was full, or stderr took nothing.
#[must_use]
pub fn dropped_lines() -> u64 {
    let overflown = OVERFLOWN.get().map_or(0, |counter| counter.dropped_lines() as u64);
    overflown + FAILED.load(Ordering::Relaxed)
}

/// Keeps the log thread alive; dropping it writes out what is queued.
pub struct Guard {
    _worker: WorkerGuard,
    overflown: ErrorCounter,
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

/// Starts logging as `logging.level` and `logging.format` say. Hold the guard until the process ends.
/// A second call changes nothing: the first subscriber stays.
#[must_use]
pub fn init_logs(config: &Config) -> Guard {
    let ansi = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let guard = start(&config.logging, io::stderr(), ansi, |dispatch| {
        // Fails only when there is a subscriber already, which then stays.
        let _ = tracing::dispatcher::set_global_default(dispatch);
    });
    let _ = OVERFLOWN.set(guard.overflown.clone());
    guard
}

fn start(
    logging: &Logging,
    out: impl Write + Send + 'static,
    ansi: bool,
    install: impl FnOnce(tracing::Dispatch),
) -> Guard {
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_LEN_MAX)
        .thread_name("logs")
        .finish(Lossy(out));
    let overflown = writer.error_counter();
    let builder = tracing_subscriber::fmt().with_max_level(level(&logging.level)).with_writer(writer);
    install(match logging.format.as_str() {
        "json" => builder.json().flatten_event(true).into(),
        _ => builder.with_ansi(ansi).into(),
    });
    Guard { _worker: worker, overflown }
}

/// The rule of the option lets in no other names.
fn level(name: &str) -> LevelFilter {
    match name {
        "TRACE" => LevelFilter::TRACE,
        "DEBUG" => LevelFilter::DEBUG,
        "WARN" | "WARNING" => LevelFilter::WARN,
        "ERROR" => LevelFilter::ERROR,
        _ => LevelFilter::INFO,
    }
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
        let guard = start(&config.logging, lines.clone(), false, |made| dispatch = Some(made));
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
