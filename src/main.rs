//! The plexichat server.

use std::path::Path;
use std::process::ExitCode;

use plexichat::cli::{self, Hooks};
use plexichat::config::Loaded;
use plexichat::net;
use plexichat::runtime::panics;
use plexichat::runtime::wipe::Wiping;
use plexichat::store::{self, Store};

#[global_allocator]
static ALLOCATOR: Wiping<mimalloc::MiMalloc> = Wiping(mimalloc::MiMalloc);

fn main() -> ExitCode {
    panics::end_the_process();
    keep_pages_small();
    keep_files_private();
    survive_limits_of_files();
    let routes = plexichat::api::routes::listing;
    let openapi = |loaded: &Loaded| plexichat::api::openapi::document(&loaded.config);
    let worker = plexichat::effect::image::worker::run;
    cli::main(Hooks { serve, backup, restore, verify, operate: net::operate, worker, routes, openapi })
}

fn serve(mut loaded: Loaded) -> Result<(), String> {
    if !loaded.config.server.core_dumps {
        keep_memory_private();
    }
    cli::check::essentials(&loaded.config)?;
    if let Err(error) = cli::check::raise_open_files() {
        cli::print::err(&format!("warning: the limit of open files stays as it is: {error}\n"));
    }
    if let Some(note) = cli::check::fit_connections(&mut loaded.config) {
        cli::print::err(&format!("warning: {note}\n"));
    }
    net::hold_signals();
    let _logs = plexichat::observe::init_logs(&loaded.config);
    net::serve(loaded, cli::banner::print)
}

fn backup(loaded: &Loaded, folder: &Path) -> Result<String, String> {
    let options = net::store_options(&loaded.config.store, 1);
    let store = Store::open_to_read(&options).map_err(|error| error.to_string())?;
    let len = store.backup(folder).map_err(|error| error.to_string())?;
    Ok(format!("Backed up {} to {}: {len} bytes, verified.\n", store.path().display(), folder.display()))
}

fn restore(loaded: &Loaded, folder: &Path) -> Result<String, String> {
    let options = net::store_options(&loaded.config.store, 1);
    let restored = store::restore(folder, &options).map_err(|error| error.to_string())?;
    let mut said =
        format!("Restored {} records to {}, verified.\n", restored.records, options.path.display());
    if !restored.compared {
        said += "No data.mdb.sha256 was beside the backup: an earlier version wrote it, or it was moved.\n";
    }
    for missing in &restored.missing {
        said += &format!("A picture cannot be shown: {missing}\n");
    }
    if let Some(previous) = restored.previous {
        let previous = previous.display();
        said += &format!("The store that was there is kept as {previous}; remove it when all is well.\n");
    }
    Ok(said)
}

/// Has a write beyond the limit of file lengths (`ulimit -f`) fail, like one to a full disk, instead of ending the
/// process: be it the log or the database.
fn survive_limits_of_files() {
    // SAFETY: no handler of ours is installed, the signal is ignored.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}

/// No core dump of this process, and no debugger of another user's or this user's: its memory holds what clients
/// write to each other, and for moments their passwords.
fn keep_memory_private() {
    // SAFETY: a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
}

fn verify(loaded: &Loaded, folder: Option<&Path>) -> Result<String, String> {
    let folder = folder.unwrap_or(Path::new(&loaded.config.store.path));
    let verified = store::verify(folder).map_err(|error| error.to_string())?;
    if verified.is_sound() { Ok(verified.to_string()) } else { Err(format!("damage found\n{verified}")) }
}

/// Whatever this process creates is for its user alone: the store, its copies, logs.
fn keep_files_private() {
    // SAFETY: a number of this process; nothing else runs yet.
    unsafe { libc::umask(0o077) };
}

/// Keeps the kernel from backing the heap with 2 MiB pages, which the allocator asks for.
///
/// Sessions are small and come and go; a huge page stays resident for one of them. Measured with 15,000 idle
/// sessions: 23 MB before the first and 1,260 bytes each with huge pages, 2.7 MB and 910 bytes without.
fn keep_pages_small() {
    // SAFETY: a flag of this process; when the kernel does not know it, nothing changes.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}
