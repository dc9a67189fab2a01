//! The `plexichat` binary: the allocator, and which functions the commands call.

use std::path::Path;
use std::process::ExitCode;

use plexichat::cli::{self, Hooks};
use plexichat::config::Loaded;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main(Hooks { serve, backup, restore, routes })
}

/// Prepares the process: limits, logs, what the machine must offer.
fn serve(loaded: Loaded) -> Result<(), String> {
    cli::check::essentials()?;
    if let Err(error) = cli::check::raise_open_files() {
        eprintln!("warning: the limit of open files stays as it is: {error}");
    }
    let _guard = plexichat::observe::init_logs(&loaded.config);
    Err("this build serves nothing yet".to_owned())
}

fn backup(_: &Loaded, _: &Path) -> Result<(), String> {
    Err("this build has no database yet".to_owned())
}

fn restore(_: &Loaded, _: &Path) -> Result<(), String> {
    Err("this build has no database yet".to_owned())
}

fn routes() -> String {
    String::new()
}
