//! The process that reads what others have made: `plexichat worker image SIDE` makes a picture anew, `plexichat worker
//! file SIDES QUALITY` says what a file is and makes small pictures of it, `plexichat worker frame DEMUXER PROGRAM` becomes
//! a program that knows films. File in, answer out.
//!
//! Invariants: it is confined before it reads a byte ([`confine`]). The file's own words are judged before a decoder
//! sees them ([`Header::check`](crate::wire::picture::Header::check)): some make room for what a file announces,
//! whatever limit they were given. What is made is encoded anew from pixels, so that nothing else of the file is in it:
//! no place, no camera, no script.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::process::ExitCode;

use super::{Failure, convert, examine, frame};
use crate::limits::MIB;

/// What the process may have: 64 million pixels in two copies, and the decoder's own.
/// The allocator has reserved its first gigabyte before that is asked for, so this is what there is to take from. Beside it
/// stand the program and the tables by which the allocator finds its own: how many parts of those it needs depends on
/// where the kernel has put the gigabyte.
const ADDRESS_SPACE_MAX: u64 = (1024 + 256) * MIB as u64;
const PROCESSOR_SECONDS_MAX: u64 = 10;
const NICENESS: libc::c_int = 19;

/// First byte of an answer.
pub(super) const DONE: u8 = 0;
const REFUSED: u8 = 1;

/// What a worker is started for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// A picture anew, of at most so many pixels on either side.
    Convert {
        side_max: u32,
    },
    Examine(examine::Wanted),
    /// The first picture of a film, by another program.
    Frame {
        demuxer: String,
        program: String,
    },
}

/// Reads a file from standard input and writes an answer to standard output.
#[must_use]
pub fn run(job: &Job) -> ExitCode {
    // A program of others opens its libraries.
    confine(if matches!(job, Job::Frame { .. }) { 16 } else { 4 });
    let input = io::stdin();
    let answer = match job {
        Job::Convert { side_max } => read_all(input.as_fd())
            .map(|bytes| convert::convert(&bytes, *side_max).map(|converted| convert::answer_of(&converted))),
        Job::Examine(wanted) => examine_file(input.as_fd(), wanted),
        Job::Frame { demuxer, program } => return frame::become_program(demuxer, program),
    };
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(reason)) => [&[REFUSED], reason.as_bytes()].concat(),
        Err(_) => return ExitCode::FAILURE,
    };
    match io::stdout().lock().write_all(&answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn read_all(input: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::from(input.try_clone_to_owned()?).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn examine_file(input: BorrowedFd<'_>, wanted: &examine::Wanted) -> io::Result<Result<Vec<u8>, String>> {
    let file = File::from(input.try_clone_to_owned()?);
    let examined = examine::examine(&file, wanted)?;
    Ok(examined.map(|examined| examine::answer_of(&examined)))
}

/// Takes everything from this process that it does not need. What the kernel does not know it does not take.
fn confine(files_max: u64) {
    let limit = |which, max| {
        let limit = libc::rlimit { rlim_cur: max, rlim_max: max };
        // SAFETY: a live rlimit; only this process is concerned.
        unsafe { libc::setrlimit(which, &raw const limit) };
    };
    limit(libc::RLIMIT_AS, ADDRESS_SPACE_MAX);
    limit(libc::RLIMIT_CPU, PROCESSOR_SECONDS_MAX);
    // No file can be written, and of ours none opened but those that are and one more name for the first.
    limit(libc::RLIMIT_FSIZE, 0);
    limit(libc::RLIMIT_NOFILE, files_max);
    limit(libc::RLIMIT_NPROC, 0);
    limit(libc::RLIMIT_CORE, 0);
    // SAFETY: numbers only. Descriptors above standard error are nobody's here.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
        libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS);
        // It gains no right by any program, nobody debugs it, and it ends with the thread that waits for it.
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
    }
}

/// Why a worker has refused a file; `None` when its answer says something else.
pub(super) fn refusal(mut answer: Vec<u8>) -> Option<Failure> {
    let is_one = answer.first() == Some(&REFUSED);
    is_one.then(|| String::from_utf8(answer.split_off(1)).ok().map(Failure::Refused)).flatten()
}
