//! Text for the operator. Printing never ends the program: a full disk or a reader that went away is an answer.
//!
//! The macros of the standard library panic when their output cannot be written, which ends the server.

use std::io::{self, Write as _};
use std::process::ExitCode;

/// To stdout. Fails when it cannot be written, unless the reader has closed the pipe: `plexichat config | head`.
#[must_use]
pub fn out(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    outcome(out.write_all(text.as_bytes()).and_then(|()| out.flush()), ExitCode::SUCCESS)
}

/// To stderr, as one write. When that is impossible there is nobody to tell.
pub fn err(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Help, version, or what is wrong with the command line, with their exit code.
#[must_use]
pub fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| io::stdout().flush());
    outcome(printed, ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)))
}

fn outcome(printed: io::Result<()>, done: ExitCode) -> ExitCode {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            err(&format!("plexichat: cannot write the output: {error}\n"));
            ExitCode::FAILURE
        }
        _ => done,
    }
}
