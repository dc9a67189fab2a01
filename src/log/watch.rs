//! A look at the store once a second, beside the writer: how full, how much disk, who reads for how long.
//!
//! Owns: clearing the snapshots of processes that were killed, and the warnings before something is full. What is
//! written in the log is a change, never a state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::observe::WriterMetrics;
use crate::store::{Reader, Store};

const INTERVAL: Duration = Duration::from_secs(1);
/// Parts of a hundred: a warning from here on, and again only when it was below that in between.
const WARN_FROM: u64 = 90;
const WARN_AGAIN_BELOW: u64 = 88;
/// A snapshot of so long is told of: no request and no fan-out takes so long, a backup of a large store does.
const OLD: Duration = Duration::from_secs(600);

/// The running thread. It ends when it is told to.
pub struct Watch {
    thread: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    /// # Errors
    /// When no thread can be started.
    pub fn start(store: Arc<Store>, metrics: Arc<WriterMetrics>) -> std::io::Result<Watch> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut look = Look::new(store, metrics);
        look.look(Instant::now());
        let ending = stop.clone();
        let thread = std::thread::Builder::new().name("store-watch".into()).spawn(move || {
            while !ending.load(Ordering::Acquire) {
                std::thread::park_timeout(INTERVAL);
                look.look(Instant::now());
            }
        })?;
        Ok(Watch { thread: Some(thread), stop })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            thread.join().expect("the watch ends without panicking");
        }
    }
}

struct Look {
    store: Arc<Store>,
    metrics: Arc<WriterMetrics>,
    map_is_warned: bool,
    disk_is_warned: bool,
    /// The oldest snapshot at the last look, since when it is that, and whether the log says so.
    oldest: Option<(Reader, Instant, bool)>,
}

impl Look {
    fn new(store: Arc<Store>, metrics: Arc<WriterMetrics>) -> Look {
        Look { store, metrics, map_is_warned: false, disk_is_warned: false, oldest: None }
    }

    fn look(&mut self, now: Instant) {
        let cleared = self.store.clear_stale_readers();
        if cleared > 0 {
            tracing::info!(
                cleared,
                "freed the snapshots of a process that was killed while it read the store"
            );
        }
        let metrics = &self.metrics.store;
        metrics.stale_snapshots.add(cleared as u64);
        let (file, size) = self.store.usage();
        let used = if file < size { file } else { self.store.used() };
        let disk = self.store.disk();
        metrics.file_len.set(file);
        metrics.used_len.set(used);
        metrics.map_len.set(size);
        metrics.disk_free_len.set(disk.free);
        if crosses(&mut self.map_is_warned, used, size) {
            tracing::warn!(
                used,
                size,
                "the store is nearly as large as store.map_size: raise it, or delete something"
            );
        }
        if crosses(&mut self.disk_is_warned, disk.size - disk.free.min(disk.size), disk.size) {
            let path = self.store.path().display();
            tracing::warn!(free = disk.free, size = disk.size, %path, "the disk of the store is nearly full");
        }
        self.look_at_readers(now);
    }

    /// How long the oldest snapshot has been held, as far as it was seen.
    fn look_at_readers(&mut self, now: Instant) {
        let oldest = self.store.oldest_reader();
        self.oldest = match (oldest, self.oldest) {
            (Some(reader), Some((same, since, told))) if reader == same => Some((reader, since, told)),
            (Some(reader), _) => Some((reader, now, false)),
            (None, _) => None,
        };
        let age = self.oldest.map_or(Duration::ZERO, |(_, since, _)| now.saturating_duration_since(since));
        self.metrics.store.oldest_snapshot_ms.set(age.as_millis() as u64);
        if let Some((reader, _, told)) = &mut self.oldest
            && age >= OLD
            && !std::mem::replace(told, true)
        {
            let process = reader.process;
            tracing::warn!(
                process,
                "a snapshot is held for ten minutes: until it ends the store's file only grows"
            );
        }
    }
}

/// Whether a share goes up past the mark for the first time since it was well below it.
fn crosses(is_warned: &mut bool, used: u64, size: u64) -> bool {
    let percent = (u128::from(used) * 100).checked_div(u128::from(size)).unwrap_or(0) as u64;
    let was_warned = *is_warned;
    *is_warned = percent >= if was_warned { WARN_AGAIN_BELOW } else { WARN_FROM };
    *is_warned && !was_warned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::Meta;
    use crate::store::tables::META;
    use crate::store::tests::temporary;

    #[test]
    fn a_mark_is_crossed_once() {
        let mut is_warned = false;
        let crossed: Vec<bool> =
            [10, 89, 90, 95, 89, 91, 87, 89, 90].map(|used| crosses(&mut is_warned, used, 100)).into();
        assert_eq!(crossed, [false, false, true, false, false, false, false, false, true]);
        assert!(!crosses(&mut false, 5, 0), "nobody knows the size");
    }

    #[test]
    fn metrics_tell_of_the_store() {
        let (_folder, store) = temporary(1 << 24);
        let (store, metrics) = (Arc::new(store), Arc::new(WriterMetrics::default()));
        let mut look = Look::new(store.clone(), metrics.clone());
        let begun = Instant::now();
        look.look(begun);
        let told = &metrics.store;
        assert_eq!((told.map_len.value(), told.oldest_snapshot_ms.value()), (1 << 24, 0));
        assert!(told.file_len.value() > 4_096 && told.used_len.value() <= told.file_len.value());
        assert!(told.disk_free_len.value() > 0);
        let snapshot = store.snapshot();
        let mut tx = store.begin().unwrap();
        tx.put(META, "x", &Meta { value: 1 });
        tx.commit().unwrap();
        look.look(begun + Duration::from_secs(1));
        look.look(begun + Duration::from_secs(4));
        assert_eq!(told.oldest_snapshot_ms.value(), 3_000);
        drop(snapshot);
        // The state of the last sync is a snapshot too.
        store.sync().unwrap();
        look.look(begun + Duration::from_secs(5));
        assert_eq!(told.oldest_snapshot_ms.value(), 0);
    }
}
