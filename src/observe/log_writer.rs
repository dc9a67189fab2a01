//! Writing log files: a queue, and the thread behind it.
//!
//! Invariants:
//! - Whoever logs never waits: a line that finds the queue full is dropped and counted, and the file tells how many
//!   those were.
//! - Nothing fails for want of log files. That they cannot be written is told once on stderr, and again when they can.
//! - Whenever the process is killed, every file is whole: one that is full gets its name in one step, and is removed
//!   only once its packed copy has its own. What was half done is done at the next start.
//! - One server writes in a folder: the lock on [`LOCK`] says which.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use tracing_subscriber::fmt::MakeWriter;

use super::log_files::{CURRENT, Full, open_to_append, tame};

/// Lines that may wait, and their bytes: of a second in which a slow disk takes nothing.
const QUEUE_COUNT_MAX: usize = 16 * 1024;
const QUEUE_LEN_MAX: usize = 4 * 1024 * 1024;
/// Bytes that are written at once.
const WRITE_LEN_MAX: usize = 32 * 1024;
/// Bytes that are packed before it is looked again whether lines wait.
const PACK_LEN: usize = 64 * 1024;
/// How often a folder that could not be written is tried again, and it is looked whether somebody has moved the file.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How long the end of the process waits for what is queued.
const END_PATIENCE: Duration = Duration::from_secs(1);

const LOCK: &str = "plexichat-log.lock";

/// How files are written: the options `logging.*`.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub folder: PathBuf,
    pub len_max: u64,
    pub kept: usize,
    pub rotates: bool,
    pub packs: bool,
}

enum Item {
    Line(Vec<u8>),
    End(SyncSender<()>),
}

/// Where lines go in.
#[derive(Clone)]
pub(super) struct Queue {
    items: SyncSender<Item>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that wait.
    len: AtomicUsize,
    /// Lines that are in no file.
    lost: AtomicU64,
}

impl Queue {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start(settings: Settings) -> io::Result<Queue> {
        let (items, waiting) = sync_channel(QUEUE_COUNT_MAX);
        let state = Arc::<State>::default();
        let own = state.clone();
        let work = move || run(&waiting, &own, Files::new(settings));
        thread::Builder::new().name("log-files".to_string()).spawn(work)?;
        Ok(Queue { items, state })
    }

    pub(super) fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }

    /// Waits until what is queued is written, for a moment.
    pub(super) fn end(&self) {
        let deadline = Instant::now() + END_PATIENCE;
        let (done, is_done) = sync_channel(1);
        while self.items.try_send(Item::End(done.clone())).is_err() {
            if Instant::now() > deadline {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = is_done.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

impl io::Write for Queue {
    /// One record.
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let line = tame(record);
        let len = line.len();
        let waiting = self.state.len.fetch_add(len, Ordering::Relaxed);
        if waiting + len > QUEUE_LEN_MAX || self.items.try_send(Item::Line(line)).is_err() {
            self.state.len.fetch_sub(len, Ordering::Relaxed);
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = Queue;

    fn make_writer(&'a self) -> Queue {
        self.clone()
    }
}

fn run(waiting: &Receiver<Item>, state: &State, mut files: Files) {
    let mut lines = Vec::with_capacity(WRITE_LEN_MAX);
    let mut told = 0;
    files.begin();
    loop {
        // What is to be packed is packed while nobody logs, or a piece after each write.
        let patience = if files.packing.is_some() { Duration::ZERO } else { LOOK_INTERVAL };
        let first = match waiting.recv_timeout(patience) {
            Ok(item) => Some(item),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let (count, end) = gather(first, waiting, &mut lines);
        state.len.fetch_sub(lines.len(), Ordering::Relaxed);
        let lost = state.lost.load(Ordering::Relaxed);
        if lost > told && !lines.is_empty() {
            lines.extend_from_slice(&loss(lost - told));
        }
        match files.write(&lines) {
            Ok(()) if !lines.is_empty() => told = lost,
            Ok(()) => {}
            Err(()) => drop(state.lost.fetch_add(count, Ordering::Relaxed)),
        }
        lines.clear();
        files.pack();
        if let Some(done) = end {
            let _ = done.try_send(());
        }
    }
}

/// Takes what waits, as much as is written at once; how many lines those are.
fn gather(
    first: Option<Item>,
    waiting: &Receiver<Item>,
    lines: &mut Vec<u8>,
) -> (u64, Option<SyncSender<()>>) {
    let mut count = 0;
    let mut next = first;
    while let Some(item) = next {
        match item {
            Item::Line(line) => lines.extend_from_slice(&line),
            Item::End(done) => return (count, Some(done)),
        }
        count += 1;
        next = match waiting.try_recv() {
            _ if lines.len() >= WRITE_LEN_MAX => return (count, None),
            Ok(item) => Some(item),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        };
    }
    (count, None)
}

/// A record that says how many are missing before it.
fn loss(count: u64) -> Vec<u8> {
    use tracing_subscriber::fmt::format::Writer;
    use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
    let mut text = String::new();
    // Only a writer that fails could fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text += &format!(" WARN plexichat::observe: {count} lines before this one are missing\n");
    text.into_bytes()
}

/// The files, as the thread writes them.
struct Files {
    settings: Settings,
    open: Option<Open>,
    looked: Option<Instant>,
    /// When the disk has taken nothing.
    failed: Option<Instant>,
    is_told: bool,
    packing: Option<Packing>,
    /// Those that are full and wait to be packed.
    unpacked: Vec<u64>,
}

struct Open {
    file: File,
    len: u64,
    _lock: File,
}

impl Files {
    fn new(settings: Settings) -> Files {
        Files {
            settings,
            open: None,
            looked: None,
            failed: None,
            is_told: false,
            packing: None,
            unpacked: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.settings.folder.join(name)
    }

    /// Appends records.
    ///
    /// # Errors
    /// They are in no file. Why was told.
    fn write(&mut self, lines: &[u8]) -> Result<(), ()> {
        self.open_if_due();
        if lines.is_empty() {
            return Ok(());
        }
        let Some(open) = &self.open else { return Err(()) };
        if let Some(failed) = self.failed {
            // A short line may fit where the next does not: only with room for many it is over.
            if failed.elapsed() < LOOK_INTERVAL || !open.has_room() {
                if failed.elapsed() >= LOOK_INTERVAL {
                    self.failed = Some(Instant::now());
                }
                return Err(());
            }
            self.failed = None;
        }
        let is_full = open.len > 0 && open.len + lines.len() as u64 > self.settings.len_max;
        if is_full && self.settings.rotates {
            let rotated = self.rotate();
            self.tell(rotated)?;
        }
        let Some(open) = &mut self.open else { return Err(()) };
        let written = open.append(lines);
        self.failed = written.is_err().then(Instant::now);
        self.tell(written)
    }

    /// Opens what is written, if that can be done. Why not is said with the first line: by then somebody hears it.
    fn begin(&mut self) {
        if let Ok(open) = Open::new(&self.settings.folder) {
            (self.open, self.looked) = (Some(open), Some(Instant::now()));
            self.clean_up();
        }
    }

    /// Opens what is written, also when somebody else has moved it away.
    fn open_if_due(&mut self) {
        let now = Instant::now();
        if self.looked.is_some_and(|looked| now < looked + LOOK_INTERVAL) {
            return;
        }
        self.looked = Some(now);
        if let Some(open) = &self.open
            && open.is_at(&self.path(CURRENT))
        {
            return;
        }
        let is_first = self.open.is_none();
        // With the lock, which is of the folder that may be gone.
        self.open = None;
        match Open::new(&self.settings.folder) {
            Ok(open) => self.open = Some(open),
            Err(error) => {
                let _ = self.tell(Err(error));
                return;
            }
        }
        if is_first {
            self.clean_up();
        }
    }

    /// Says once that files cannot be written, and once that they can again.
    fn tell(&mut self, outcome: io::Result<()>) -> Result<(), ()> {
        let folder = self.settings.folder.display();
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut self.is_told) {
                    tracing::warn!(%folder, "log files are written again");
                }
                Ok(())
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    tracing::warn!(
                        %folder, %error,
                        "log files cannot be written (logging.folder), lines go to stderr alone; it is tried again"
                    );
                }
                Err(())
            }
        }
    }

    /// Gives the file that is full its own name, and begins the next.
    fn rotate(&mut self) -> io::Result<()> {
        let number = self.full()?.iter().map(|full| full.number).max().unwrap_or(0) + 1;
        let full = Full { number, is_packed: false };
        fs::rename(self.path(CURRENT), self.path(&full.name()))?;
        self.open = None;
        self.open = Some(Open::new(&self.settings.folder)?);
        self.clean_up();
        Ok(())
    }

    fn full(&self) -> io::Result<Vec<Full>> {
        let entries = fs::read_dir(&self.settings.folder)?;
        Ok(entries.flatten().filter_map(|entry| Full::of(entry.file_name().to_str()?)).collect())
    }

    /// Removes what is too old or was left half done, and finds what is to be packed.
    fn clean_up(&mut self) {
        let Ok(mut full) = self.full() else { return };
        full.sort_unstable_by(|a, b| b.cmp(a));
        let mut numbers: Vec<u64> = full.iter().map(|full| full.number).collect();
        numbers.dedup();
        let oldest = numbers.get(self.settings.kept.wrapping_sub(1)).copied();
        let is_kept = |number: u64| self.settings.kept > 0 && oldest.is_none_or(|oldest| number >= oldest);
        self.unpacked.clear();
        for (index, file) in full.iter().enumerate() {
            // A packed copy got its name when it was whole: then the other goes. It stands before it.
            let has_copy = !file.is_packed && index > 0 && full[index - 1].number == file.number;
            if !is_kept(file.number) || has_copy {
                let _ = fs::remove_file(self.path(&file.name()));
            } else if !file.is_packed && self.settings.packs {
                self.unpacked.push(file.number);
            }
        }
        if self.packing.as_ref().is_some_and(|packing| !self.unpacked.contains(&packing.number)) {
            self.packing = None;
        }
        let under_way = self.packing.as_ref().map(|packing| packing.number);
        let Ok(entries) = fs::read_dir(&self.settings.folder) else { return };
        for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            let part = name.strip_suffix(PART).and_then(Full::of);
            if part.is_some_and(|part| under_way != Some(part.number)) {
                let _ = fs::remove_file(self.path(&name));
            }
        }
        self.pack_next();
    }

    fn pack_next(&mut self) {
        while self.packing.is_none()
            && let Some(number) = self.unpacked.pop()
        {
            // Without room for it the file stays as it is, until the next start.
            self.packing = Packing::begin(&self.settings.folder, number).ok();
        }
    }

    /// Packs a piece.
    fn pack(&mut self) {
        let Some(packing) = &mut self.packing else { return };
        match packing.step() {
            Ok(true) => return,
            Ok(false) => {}
            Err(_) => drop(fs::remove_file(&packing.part)),
        }
        self.packing = None;
        self.pack_next();
    }
}

impl Open {
    fn new(folder: &Path) -> io::Result<Open> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let lock = open_to_append(&folder.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::other("another server writes there"),
            fs::TryLockError::Error(error) => error,
        })?;
        let file = open_to_append(&folder.join(CURRENT))?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("there is no file, but something else of that name"));
        }
        let mut open = Open { file, len: metadata.len(), _lock: lock };
        open.end_line()?;
        Ok(open)
    }

    /// Whether the disk has room for some more lines. Of one that cannot say so that is found out by writing.
    fn has_room(&self) -> bool {
        let (at, len) = (self.len.cast_signed(), (2 * WRITE_LEN_MAX) as i64);
        // SAFETY: a descriptor that we own; the length of the file stays.
        let taken = unsafe { libc::fallocate(self.file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, at, len) };
        taken == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::EOPNOTSUPP)
    }

    /// Ends a line that a crash has cut off, so that the next is one of its own.
    fn end_line(&mut self) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let mut last = [b'\n'];
        if self.len > 0 {
            self.file.read_exact_at(&mut last, self.len - 1)?;
        }
        if last == [b'\n'] { Ok(()) } else { self.append(b"\n") }
    }

    /// All of it, or nothing.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(bytes) {
            // What has gone out would be half a line.
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Whether the file still has its name.
    fn is_at(&self, path: &Path) -> bool {
        let Ok(own) = self.file.metadata() else { return false };
        fs::symlink_metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()))
    }
}

/// How a packed file is called while it is made.
const PART: &str = ".part";

/// A file that is being packed.
struct Packing {
    number: u64,
    from: File,
    to: GzEncoder<File>,
    plain: PathBuf,
    part: PathBuf,
    packed: PathBuf,
}

impl Packing {
    fn begin(folder: &Path, number: u64) -> io::Result<Packing> {
        let plain = folder.join(Full { number, is_packed: false }.name());
        let name = Full { number, is_packed: true }.name();
        let (part, packed) = (folder.join(name.clone() + PART), folder.join(name));
        let to = open_to_append(&part)?;
        to.set_len(0)?;
        let to = GzEncoder::new(to, Compression::default());
        Ok(Packing { number, from: File::open(&plain)?, to, plain, part, packed })
    }

    /// Packs a piece; false when all is done.
    fn step(&mut self) -> io::Result<bool> {
        let mut piece = Vec::with_capacity(PACK_LEN);
        (&mut self.from).take(PACK_LEN as u64).read_to_end(&mut piece)?;
        if !piece.is_empty() {
            self.to.write_all(&piece)?;
            return Ok(true);
        }
        self.to.try_finish()?;
        let to = self.to.get_ref();
        // It is listed by when its last line was written.
        to.set_modified(self.from.metadata()?.modified()?)?;
        to.sync_all()?;
        fs::rename(&self.part, &self.packed)?;
        fs::remove_file(&self.plain)?;
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::log_files::{Wanted, list, view};
    use super::*;

    const LEN_MAX: u64 = 64 * 1024;

    fn settings(folder: &Path) -> Settings {
        Settings { folder: folder.to_owned(), len_max: LEN_MAX, kept: 3, rotates: true, packs: true }
    }

    fn line(index: usize) -> Vec<u8> {
        format!("2026-11-27T21:04:05.{index:06}Z INFO line {index} {}\n", "x".repeat(200)).into_bytes()
    }

    fn pack_all(files: &mut Files) {
        while files.packing.is_some() {
            files.pack();
        }
    }

    fn write_lines(files: &mut Files, indexes: std::ops::Range<usize>) {
        for index in indexes {
            files.write(&line(index)).unwrap();
            files.pack();
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The numbers of all lines in all files, in the order in which they were written.
    fn numbers(folder: &Path) -> Vec<usize> {
        let number = |name: &str| Full::of(name).map_or(u64::MAX, |full| full.number);
        let mut files: Vec<_> = list(folder).into_iter().map(|file| file.name).collect();
        files.sort_by_key(|name| number(name));
        let all = Wanted { limit: 1_000_000, ..Wanted::default() };
        let lines = files.iter().flat_map(|name| view(folder, name, &all).unwrap().unwrap().lines);
        lines.map(|line| line.message.split(' ').nth(1).unwrap().parse().unwrap()).collect()
    }

    #[test]
    fn files_are_rotated_packed_and_in_the_end_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(settings(folder.path()));
        write_lines(&mut files, 0..2_000);
        pack_all(&mut files);
        let packed = |number| Full { number, is_packed: true }.name();
        let got = names(folder.path());
        let newest = got.iter().filter_map(|name| Full::of(name)).map(|full| full.number).max().unwrap();
        assert!(newest > 4, "{got:?}");
        let want = [packed(newest - 2), packed(newest - 1), packed(newest), LOCK.into(), CURRENT.into()];
        assert!(want.iter().all(|name| got.contains(name)) && got.len() == 5, "{got:?}");
        let kept = numbers(folder.path());
        assert_eq!(kept, (kept[0]..2_000).collect::<Vec<_>>(), "without a gap");
        assert!(list(folder.path()).iter().all(|file| file.len <= LEN_MAX));
        // Packed later than it was written.
        assert_eq!(list(folder.path())[0].name, CURRENT);
    }

    #[test]
    fn nothing_is_rotated_packed_or_kept_that_is_not_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(Settings { packs: false, ..settings(folder.path()) });
        write_lines(&mut files, 0..1_000);
        assert!(list(folder.path()).len() > 2 && list(folder.path()).iter().all(|file| !file.is_packed));
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(Settings { rotates: false, ..settings(folder.path()) });
        write_lines(&mut files, 0..1_000);
        assert_eq!(names(folder.path()), [LOCK, CURRENT]);
        assert!(list(folder.path())[0].len > 2 * LEN_MAX);
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(Settings { kept: 0, ..settings(folder.path()) });
        write_lines(&mut files, 0..1_000);
        assert_eq!(names(folder.path()), [LOCK, CURRENT]);
        assert!(list(folder.path())[0].len <= LEN_MAX);
    }

    #[test]
    fn whatever_a_kill_leaves_is_put_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let lines = |indexes: std::ops::Range<usize>| indexes.flat_map(line).collect::<Vec<u8>>();
        // Killed after the name of the full file, in the middle of packing it, and of a line; and the one before was
        // packed, but not removed.
        fs::write(path("plexichat.3.log"), lines(0..100)).unwrap();
        let mut packed =
            GzEncoder::new(File::create(path("plexichat.3.log.gz")).unwrap(), Compression::fast());
        packed.write_all(&lines(0..100)).unwrap();
        packed.finish().unwrap();
        fs::write(path("plexichat.4.log"), lines(100..200)).unwrap();
        fs::write(path("plexichat.4.log.gz.part"), b"half").unwrap();
        fs::write(
            path(CURRENT),
            [&lines(200..210)[..], b"2026-11-27T21:04:05.000210Z INFO line 210 cut"].concat(),
        )
        .unwrap();
        let mut files = Files::new(settings(folder.path()));
        write_lines(&mut files, 211..220);
        pack_all(&mut files);
        assert_eq!(names(folder.path()), [LOCK, "plexichat.3.log.gz", "plexichat.4.log.gz", CURRENT]);
        assert_eq!(numbers(folder.path()), (0..220).collect::<Vec<_>>());
    }

    #[test]
    fn files_go_on_where_somebody_has_moved_or_removed_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Files::new(Settings { rotates: false, ..settings(folder.path()) });
        write_lines(&mut files, 0..10);
        fs::rename(folder.path().join(CURRENT), folder.path().join("moved")).unwrap();
        files.looked = None;
        write_lines(&mut files, 10..20);
        assert_eq!(numbers(folder.path()), (10..20).collect::<Vec<_>>());
        fs::remove_dir_all(folder.path()).unwrap();
        files.looked = None;
        write_lines(&mut files, 20..30);
        assert_eq!(numbers(folder.path()), (20..30).collect::<Vec<_>>());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_once_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("logs");
        fs::write(&inside, b"a file").unwrap();
        let mut files = Files::new(settings(&inside));
        let log = super::super::logs::tests::captured("text", || {
            for index in 0..5 {
                files.looked = None;
                assert_eq!(files.write(&line(index)), Err(()));
            }
            fs::remove_file(&inside).unwrap();
            files.looked = None;
            write_lines(&mut files, 5..10);
        });
        assert_eq!(
            (log.matches("cannot be written").count(), log.matches("written again").count()),
            (1, 1),
            "{log}"
        );
        assert_eq!(numbers(&inside), (5..10).collect::<Vec<_>>());
        // Another server of the same folder.
        let mut other = Files::new(settings(&inside));
        let log = super::super::logs::tests::captured("text", || assert_eq!(other.write(&line(0)), Err(())));
        assert!(log.contains("another server writes there"), "{log}");
    }

    #[test]
    fn lines_that_find_no_room_are_counted_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let (items, waiting) = sync_channel(2);
        let state = Arc::<State>::default();
        let mut queue = Queue { items, state: state.clone() };
        (0..5).for_each(|index| queue.write_all(&line(index)).unwrap());
        assert_eq!(queue.lost(), 3);
        let files = Files::new(settings(folder.path()));
        let thread = thread::spawn(move || run(&waiting, &state, files));
        queue.end();
        assert_eq!((queue.lost(), queue.state.len.load(Ordering::Relaxed)), (3, 0));
        drop(queue);
        thread.join().unwrap();
        let text = fs::read_to_string(folder.path().join(CURRENT)).unwrap();
        assert!(
            text.lines().count() == 3 && text.ends_with(": 3 lines before this one are missing\n"),
            "{text}"
        );
        let found =
            view(folder.path(), CURRENT, &Wanted { limit: 9, level: Some("WARN"), ..Wanted::default() });
        assert_eq!(found.unwrap().unwrap().count, 1, "a record as others are");
    }

    #[test]
    fn a_long_queue_is_bounded_in_bytes() {
        let (items, _waiting) = sync_channel(QUEUE_COUNT_MAX);
        let mut queue = Queue { items, state: Arc::default() };
        let long = [b'x'; 15_000];
        (0..1_000).for_each(|_| queue.write_all(&long).unwrap());
        assert!(queue.state.len.load(Ordering::Relaxed) <= QUEUE_LEN_MAX && queue.lost() > 700);
    }
}
