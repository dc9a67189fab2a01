//! The command line: what the operator types and what is printed back.
//!
//! Owns: commands, flags, exit codes, the banner and the machine check.
//! Invariant: nothing here starts a core or opens the store; that is what the [`Hooks`] are for.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong command line or configuration.

mod args;
pub mod banner;
pub mod check;
mod man;
mod operate;
pub mod print;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use crate::config::{self, API_LEVEL, Loaded};
use crate::effect::image::worker::Job;

/// What the commands do that reaches into the rest of the server. `main` fills this in.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Runs until the server has shut down.
    pub serve: fn(Loaded) -> Result<(), String>,
    /// Copies the live database into a folder that does not exist yet or is empty; says what it did.
    pub backup: fn(&Loaded, &Path) -> Result<String, String>,
    /// Puts a backup into the place of the database, which is kept; says what it did.
    pub restore: fn(&Loaded, &Path) -> Result<String, String>,
    /// Looks at all of a database or backup, without a folder at the one of the configuration; says what it found.
    pub verify: fn(&Loaded, Option<&Path>) -> Result<String, String>,
    /// Has the server carry out a request, or does so while none runs; gives what is to be printed.
    pub operate: fn(&Loaded, &str) -> Result<String, String>,
    /// Does a job with what comes on standard input, in a process that does nothing else.
    pub worker: fn(&Job) -> ExitCode,
    /// The table of routes, one line each.
    pub routes: fn() -> String,
    /// What the API says of itself.
    pub openapi: fn(&Loaded) -> Vec<u8>,
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
    /// `check --url`: whether clients get through from outside.
    Outside(check::outside::Outside),
    /// `check --plan`: what a load needs.
    Plan(check::Plan),
    Backup {
        folder: PathBuf,
    },
    Restore {
        folder: PathBuf,
    },
    Verify {
        folder: Option<PathBuf>,
    },
    Routes,
    OpenApi,
    /// For service managers of containers.
    Health,
    Man,
    Completions(clap_complete::Shell),
    /// What needs the store open, as JSON for the one who has it.
    Operate {
        request: String,
    },
    /// What this program starts itself as.
    Worker(Job),
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
        // Also the way help and version take.
        Err(error) => print::usage(&error),
    }
}

fn run(parsed: args::Parsed, hooks: Hooks) -> ExitCode {
    match parsed.command {
        Command::Routes => return print::out(&(hooks.routes)()),
        Command::Worker(job) => return (hooks.worker)(&job),
        Command::Man => return print::out(&man::page(&args::command_line(), args::EXAMPLES)),
        Command::Completions(shell) => return print::out(&man::completions(args::command_line(), shell)),
        Command::Config { sample: true } => return print::out(&config::sample()),
        _ => {}
    }
    let loaded = match config::load(&parsed.inputs) {
        Ok(loaded) => loaded,
        Err(problems) => {
            print::err(&format!("{problems}\n"));
            return ExitCode::from(2);
        }
    };
    for warning in &loaded.warnings {
        print::err(&format!("warning: {warning}\n"));
    }
    let result = match parsed.command {
        Command::Check { commands } => return run_check(&loaded, commands),
        Command::Outside(asked) => return run_outside(&loaded, &asked),
        Command::Plan(plan) => return print::out(&plan.text(&loaded.config)),
        Command::Config { .. } => return print::out(&config::effective(&loaded)),
        Command::Serve => (hooks.serve)(loaded).map(|()| String::new()),
        Command::Backup { folder } => (hooks.backup)(&loaded, &folder),
        Command::Restore { folder } => (hooks.restore)(&loaded, &folder),
        Command::Verify { folder } => (hooks.verify)(&loaded, folder.as_deref()),
        Command::Operate { request } => (hooks.operate)(&loaded, &request),
        Command::OpenApi => Ok(String::from_utf8((hooks.openapi)(&loaded)).expect("JSON is UTF-8") + "\n"),
        Command::Health => check::outside::health(&loaded.config),
        Command::Routes | Command::Worker(_) | Command::Man | Command::Completions(_) => {
            unreachable!("answered above")
        }
    };
    match result {
        Ok(done) => print::out(&done),
        Err(message) => {
            print::err(&format!("plexichat: {message}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run_check(loaded: &Loaded, commands: bool) -> ExitCode {
    let findings = check::run(&loaded.config);
    let code = print::out(&if commands { check::commands(&findings) } else { check::table(&findings) });
    let failed = findings.iter().any(|finding| finding.verdict == check::Verdict::Error);
    if failed { ExitCode::FAILURE } else { code }
}

fn run_outside(loaded: &Loaded, asked: &check::outside::Outside) -> ExitCode {
    let password = match &asked.user {
        Some(user) => match check::outside::read_password(user) {
            Ok(password) => password,
            Err(message) => {
                print::err(&format!("plexichat: {message}\n"));
                return ExitCode::FAILURE;
            }
        },
        None => String::new(),
    };
    let findings = check::outside::look(&loaded.config, asked, &password);
    let code = print::out(&check::outside::table(asked, &findings));
    let failed = findings.iter().any(|finding| finding.verdict == check::Verdict::Error);
    if failed { ExitCode::FAILURE } else { code }
}
