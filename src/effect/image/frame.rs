//! The first picture of a film, by a program of others: `ffmpeg`, where the operator has named it (`media.thumbnailer`).
//!
//! Owns: how that program meets the bytes of a client. It runs in a process that was confined before it became that
//! program ([`worker`](super::worker)), so its memory, its time and its processes are bounded as those of our own workers.
//! It is told what kind of file it has and which decoders it may use: by itself it would take a text that begins like a list of
//! addresses for a film, and ask for them. What it makes is a foreign picture like any other, and goes the way of those.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use super::super::lane::{Effect, Row};
use super::{Examine, Examined, Failure, LANE, PATIENCE, SELF, Wanted, ask};
use crate::wire::picture::Format;

/// What our name of a type is called there.
const DEMUXERS: [(&str, &str); 3] =
    [("video/mp4", "mov"), ("video/quicktime", "mov"), ("video/webm", "matroska")];
/// What is in such files today. Names are those of decoders; one that the program lacks is no matter.
const DECODERS: &str = "h264,hevc,mpeg4,mjpeg,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,libaom-av1";

/// Where a program is looked for by its name.
const FOLDERS: &str = "/usr/local/bin:/usr/bin:/bin";

/// Small pictures of the first picture of a film.
pub struct FirstFrame {
    /// At any position.
    pub file: File,
    pub demuxer: &'static str,
    /// Name or path of the program.
    pub program: String,
    pub wanted: Wanted,
}

/// What the program calls a film of this type; `None` when it is not asked about those.
pub fn demuxer(content_type: &str) -> Option<&'static str> {
    DEMUXERS.iter().find(|(name, _)| *name == content_type).map(|(_, demuxer)| *demuxer)
}

/// Says so when that program is not there: films are taken all the same.
pub fn warn_if_missing(program: &str) {
    let is_there = match program.contains('/') {
        true => Path::new(program).exists(),
        false => FOLDERS.split(':').any(|folder| Path::new(folder).join(program).exists()),
    };
    if !program.is_empty() && !is_there {
        tracing::warn!(program, "media.thumbnailer is not there: videos have no small pictures");
    }
}

impl Effect for FirstFrame {
    type Answer = Result<Examined, Failure>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let args = ["frame", self.demuxer, &self.program];
        let picture = ask(SELF, &args, self.file, PATIENCE, read_picture)?;
        let file = in_memory(&picture).map_err(Failure::Worker)?;
        Examine { file, wanted: self.wanted }.run()
    }
}

/// The program ends without a word when it finds no picture.
fn read_picture(bytes: Vec<u8>) -> Option<Result<Vec<u8>, Failure>> {
    Format::of(&bytes).is_some().then_some(Ok(bytes))
}

/// A file that is on no disk.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let name = CString::new("picture").expect("it has no NUL");
    // SAFETY: the name lives as long as the call, which makes a descriptor that is nobody's yet.
    let file = unsafe {
        match libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) {
            -1 => return Err(io::Error::last_os_error()),
            descriptor => File::from(OwnedFd::from_raw_fd(descriptor)),
        }
    };
    (&file).write_all(bytes)?;
    Ok(file)
}

/// Becomes the program: film from standard input, one PNG to standard output.
pub(super) fn become_program(demuxer: &str, program: &str) -> ExitCode {
    // A process starts with no environment at all.
    let error = Command::new(program)
        .env("PATH", FOLDERS)
        .args(["-v", "quiet", "-nostdin", "-threads", "1", "-filter_threads", "1"])
        .args(["-protocol_whitelist", "file", "-codec_whitelist", DECODERS, "-max_pixels", "64000000"])
        // Standard input by its name can be read at any place, as films are.
        .args(["-f", demuxer, "-i", "file:/dev/stdin"])
        .args([
            "-map",
            "0:v:0",
            "-frames:v",
            "1",
            "-threads",
            "1",
            "-c:v",
            "png",
            "-f",
            "image2pipe",
            "pipe:1",
        ])
        .exec();
    drop(error);
    ExitCode::FAILURE
}
