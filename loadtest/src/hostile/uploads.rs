//! Files that are long and come slowly, many at once: what the server holds of them.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::attacks::Found;
use super::client::Line;
use super::stage::{Stage, source};

const COUNT: usize = 200;
/// Threads that write: each has its share of the uploads.
const THREADS: usize = 8;
const FILE_LEN: usize = 100_000_000;
/// Bytes of each upload per second.
const RATE: usize = 1_000_000;
const PAUSE: Duration = Duration::from_millis(50);
/// Begins like a video: nobody else may send as much.
const PART: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n\
    Content-Type: video/mp4\r\n\r\n\0\0\0\x20ftypisom";
/// One in so many stops on the way, when it has sent for so long.
const STOPPING: usize = 4;
const STOPS_AFTER: Duration = Duration::from_secs(5);
const END: &str = "\r\n--b--\r\n";
/// What the server may hold of an upload.
const HELD_KIB_MAX: f64 = 256.0;

/// Gives attackers a tier that may send so much.
pub fn let_upload(stage: &Stage<'_>) -> io::Result<()> {
    stage.attackers.iter().try_for_each(|(_, name)| stage.server.operate(&["user", "tier", name, "premium"]))
}

pub fn uploads(stage: &Stage<'_>) -> Found {
    let before = stage.server.anon_kib();
    let (sent, grown) = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|index| scope.spawn(move || write(stage, index))).collect();
        let mut peak = before;
        while !stage.stopped() {
            peak = peak.max(stage.server.anon_kib());
            thread::sleep(Duration::from_millis(200));
        }
        let sent: usize = threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum();
        (sent, peak - before)
    });
    let held = grown as f64 / COUNT as f64;
    // As fast as they were meant to be, or the others had it easy.
    let going = COUNT - COUNT / STOPPING;
    let lacking = 100.0 - 100.0 * sent as f64 / (going * RATE) as f64;
    vec![("KiB held of each upload", held, HELD_KIB_MAX), ("% of their bytes lacking", lacking, 10.0)]
}

/// Sends this thread's share of all uploads; bytes per second.
fn write(stage: &Stage<'_>, thread_index: usize) -> usize {
    let piece = vec![0x55; RATE * PAUSE.as_millis() as usize / 1_000];
    let mut lines: Vec<Line> = Vec::new();
    for index in (thread_index..COUNT).step_by(THREADS) {
        let token = &stage.attackers[index % stage.attackers.len()].0;
        lines.extend(begin(stage, index, token));
    }
    let (begun, mut sent) = (Instant::now(), 0);
    let mut due = begun;
    let (mut acted, mut stopped) = (false, false);
    while !stage.stopped() {
        // One after the other: bytes of many clients do not come all at once.
        let gap = PAUSE / lines.len().max(1) as u32;
        lines.retain_mut(|line| {
            due += gap;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            line.write(&piece).is_ok()
        });
        sent += lines.len() * piece.len();
        // Whoever has had so much taken is listened to.
        if !acted && begun.elapsed() > Duration::from_secs(2) {
            acted = true;
            stage.acts.fetch_add(lines.iter().filter(|line| line.is_silent()).count() as u64, Relaxed);
        }
        if !stopped && begun.elapsed() > STOPS_AFTER {
            stopped = true;
            lines.truncate(lines.len() - lines.len() / STOPPING);
        }
        if lines.is_empty() {
            break;
        }
    }
    (sent as f64 / begun.elapsed().as_secs_f64()) as usize
}

/// A request whose file is still to come.
fn begin(stage: &Stage<'_>, index: usize, token: &str) -> io::Result<Line> {
    let mut line = Line::open(stage.target, source(index), None)?;
    let head = format!(
        "POST /api/v1/channels/{}/attachments HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\n\r\n{PART}",
        stage.channel,
        stage.target.stranger.host,
        PART.len() + FILE_LEN + END.len()
    );
    line.write(head.as_bytes())?;
    Ok(line)
}
