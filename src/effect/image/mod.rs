//! Pictures of clients, made anew by a process of their own, and what other files of theirs say of themselves.
//!
//! Owns: foreign bytes never meet a decoder in the server's process. A job starts this program once more as a
//! [`worker`], which confines itself, reads the file, and writes what is to be kept; whatever happens to it there, the
//! job has an answer in time. Invariants:
//! - The file is handed over as its open descriptor: it is on disk already, and costs no memory on the way.
//! - Processes are made by `posix_spawn`, which copies no page tables: a fork of a server with gigabytes mapped would
//!   hold up its cores. That is why the worker sets its limits itself, before it has read a byte.
//! - What comes back is bounded, in length and in time.

pub mod convert;
pub mod examine;
pub mod frame;
mod look;
mod pixels;
pub mod worker;

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::fd::AsRawFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use super::lane::{Effect, Row};
use crate::wire::picture::Format;
pub use examine::{Examined, Wanted};

pub static LANE: Row = Row {
    name: "image",
    // Each has a process with up to 1 GiB; a photo takes it 100 ms.
    threads: |_| 2,
    // Files that wait are on disk.
    queue_len_max: |_| 64,
    // As beside hashing.
    niceness: 19,
    full: "Too many pictures are being looked at; try again in a moment",
};

/// From the start of the worker to the end of its answer. It has 10 s of processor time, and is the last to get any.
const PATIENCE: Duration = Duration::from_secs(30);
/// A picture as it is kept: 4096 × 4096 pixels that cannot be compressed, or as many in frames; or all small ones. What is
/// to be kept in place of a file is about as long as that.
const PICTURE_LEN_MAX: usize = 64 * crate::limits::MIB;

/// This program, whatever has become of its file.
const SELF: &str = "/proc/self/exe";

/// Makes a picture that fits into a square anew, without anything that is not picture.
pub struct Convert {
    /// At any position.
    pub file: File,
    /// Pixels of the square's side.
    pub side_max: u32,
}

/// A picture as it is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Converted {
    pub format: Format,
    pub width: u32,
    pub height: u32,
    pub is_animated: bool,
    /// What it looks like; of an animation its first frame.
    pub look: Option<u64>,
    pub bytes: Vec<u8>,
}

#[derive(Debug)]
pub enum Failure {
    /// The file is no picture that is taken; why, for who sent it.
    Refused(String),
    /// The worker could not be started or heard, or the machine was too busy for it.
    Worker(io::Error),
}

/// Says what a file is, and makes small pictures of it if it is one.
pub struct Examine {
    /// At any position.
    pub file: File,
    pub wanted: Wanted,
}

impl Effect for Convert {
    type Answer = Result<Converted, Failure>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        self.run_by(SELF, PATIENCE)
    }
}

impl Convert {
    fn run_by(self, program: &str, patience: Duration) -> Result<Converted, Failure> {
        let args = ["image", &self.side_max.to_string()];
        ask(program, &args, self.file, patience, convert::read_answer)
    }
}

impl Effect for Examine {
    type Answer = Result<Examined, Failure>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let Wanted { sides, quality } = &self.wanted;
        // An argument cannot be empty; no picture is so small.
        let sides: Vec<String> = sides.iter().chain(&[0]).map(u32::to_string).collect();
        let args = ["file", &sides.join(","), &quality.to_string()];
        ask(SELF, &args, self.file, PATIENCE, examine::read_answer)
    }
}

/// Starts a worker and reads its answer; `None` of what reads it: that is none.
fn ask<T>(
    program: &str,
    args: &[&str],
    mut file: File,
    patience: Duration,
    read: fn(Vec<u8>) -> Option<Result<T, Failure>>,
) -> Result<T, Failure> {
    file.rewind().map_err(Failure::Worker)?;
    let len = file.metadata().map_err(Failure::Worker)?.len();
    let len_max = PICTURE_LEN_MAX.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
    let mut child = start(program, args, file).map_err(Failure::Worker)?;
    let output = child.stdout.take().expect("it is a pipe");
    let heard = hear(output, len_max, Instant::now() + patience);
    // It may have answered, and still be ending; nothing of it is waited for.
    let _ = child.kill();
    let ended = child.wait().map_err(Failure::Worker)?;
    match heard.map_err(Failure::Worker)? {
        Some(bytes) => read(bytes).unwrap_or_else(|| {
            tracing::info!(%ended, "a picture ended its worker: refused");
            Err(Failure::Refused("The picture is damaged, or needs too much to be read".into()))
        }),
        None => {
            tracing::info!("a picture became too long: refused");
            Err(Failure::Refused("The picture is too large to be kept".into()))
        }
    }
}

fn start(program: &str, args: &[&str], file: File) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.arg("worker").args(args);
    command.env_clear().current_dir("/");
    command.stdin(file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

/// All that the worker writes; `None` when that is too much. One that takes too long has not had its share of the
/// processors: more than that is not what it waits for, so the file is not to blame.
fn hear(mut output: ChildStdout, len_max: usize, until: Instant) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if bytes.len() > len_max {
            return Ok(None);
        }
        if wait_readable(&output, left)? && read_some(&mut output, &mut bytes)? == 0 {
            return Ok(Some(bytes));
        }
    }
}

fn read_some(output: &mut ChildStdout, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; 16 * crate::limits::KIB];
    let count = output.read(&mut piece)?;
    bytes.extend_from_slice(&piece[..count]);
    Ok(count)
}

fn wait_readable(output: &ChildStdout, left: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: output.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let timeout_ms = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: one live pollfd; the descriptor is open as long as `output`.
    match unsafe { libc::poll(&raw mut poll, 1, timeout_ms) } {
        -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => Ok(false),
        -1 => Err(io::Error::last_os_error()),
        count => Ok(count > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// What comes of a worker that is this script.
    fn run(script: &str, patience: Duration) -> String {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("worker");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o700)).unwrap();
        loop {
            let convert = Convert { file: tempfile::tempfile().unwrap(), side_max: 512 };
            return match convert.run_by(program.to_str().unwrap(), patience) {
                Ok(converted) => format!("{converted:?}"),
                Err(Failure::Refused(reason)) => reason,
                // Another test starts a process while the script is still open for writing.
                Err(Failure::Worker(error)) if error.kind() == io::ErrorKind::ExecutableFileBusy => continue,
                Err(Failure::Worker(error)) => format!("worker: {error}"),
            };
        }
    }

    #[test]
    fn a_worker_that_does_not_answer_is_not_waited_for() {
        let begun = Instant::now();
        assert_eq!(run("exec sleep 60", Duration::from_millis(300)), "worker: timed out");
        assert_eq!(run("exec yes", PATIENCE), "The picture is too large to be kept");
        assert!(begun.elapsed() < 2 * PATIENCE, "{:?}", begun.elapsed());
    }

    #[test]
    fn a_worker_that_ends_without_an_answer_has_met_a_bad_picture() {
        let bad = "The picture is damaged, or needs too much to be read";
        for script in ["exit 0", "exit 3", "kill -9 $$", "printf 9", "printf '\\000\\001'"] {
            assert_eq!(run(script, PATIENCE), bad, "{script}");
        }
        assert_eq!(run("printf '\\001why'", PATIENCE), "why");
        let convert = Convert { file: tempfile::tempfile().unwrap(), side_max: 512 };
        assert!(matches!(convert.run_by("/nothing/there", PATIENCE), Err(Failure::Worker(_))));
    }
}
