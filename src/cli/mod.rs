//! The command line: what the operator types and what is printed back.
//!
//! Owns: commands, flags, exit codes, the banner and the machine check.
//! Invariant: nothing here starts a core or opens the store; that is what the [`Hooks`] are for.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong command line or configuration.

mod args;
pub mod banner;
pub mod check;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use crate::config::{self, API_LEVEL, Loaded};

/// What the commands do that reaches into the rest of the server. `main` fills this in.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Runs until the server has shut down.
    pub serve: fn(Loaded) -> Result<(), String>,
    /// Copies the live database into a folder that does not exist yet or is empty.
    pub backup: fn(&Loaded, &Path) -> Result<(), String>,
    /// Puts a backup into the place of a database that is not there.
    pub restore: fn(&Loaded, &Path) -> Result<(), String>,
    /// The table of routes, one line each.
    pub routes: fn() -> String,
}

/// A command with its arguments.
#[derive(Debug, PartialEq)]
pub enum Command {
    Serve,
    Config {
        sample: bool,
    },
    /// `commands`: print what to type instead of a table.
    Check {
        commands: bool,
    },
    /// `check --plan`: what a load needs.
    Plan(check::Plan),
    Backup {
        folder: PathBuf,
    },
    Restore {
        folder: PathBuf,
    },
    Routes,
}

/// The version of this program, with the API level it speaks.
#[must_use]
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> =
        LazyLock::new(|| format!("{} (API level {API_LEVEL})", env!("CARGO_PKG_VERSION")));
    &VERSION
}

/// Parses the command line of this process and does what it says.
#[must_use]
pub fn main(hooks: Hooks) -> ExitCode {
    match args::parse(std::env::args_os()) {
        Ok(parsed) => run(parsed, hooks),
        Err(error) => {
            // Also the way help and version take; a closed pipe is no reason to complain.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
        }
    }
}

fn run(parsed: args::Parsed, hooks: Hooks) -> ExitCode {
    match parsed.command {
        Command::Routes => return print(&(hooks.routes)()),
        Command::Config { sample: true } => return print(&config::sample()),
        _ => {}
    }
    let loaded = match config::load(&parsed.inputs) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return ExitCode::from(2);
        }
    };
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    let result = match parsed.command {
        Command::Check { commands } => return run_check(&loaded, commands),
        Command::Plan(plan) => return print(&plan.text(&loaded.config)),
        Command::Config { .. } => return print(&config::effective(&loaded)),
        Command::Serve => (hooks.serve)(loaded),
        Command::Backup { folder } => (hooks.backup)(&loaded, &folder),
        Command::Restore { folder } => (hooks.restore)(&loaded, &folder),
        Command::Routes => unreachable!("answered above"),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("plexichat: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run_check(loaded: &Loaded, commands: bool) -> ExitCode {
    let findings = check::run(&loaded.config);
    let code = print(&if commands { check::commands(&findings) } else { check::table(&findings) });
    let failed = findings.iter().any(|finding| finding.verdict == check::Verdict::Error);
    if failed { ExitCode::FAILURE } else { code }
}

/// To stdout; `plexichat config | head` closes the pipe, which is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
