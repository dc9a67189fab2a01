//! A panic is a broken invariant: it ends the process before the next commit, whichever thread it is on. Threads that
//! decide nothing and hold nothing others see may say that theirs end only what they are at ([`survive`]).

use std::cell::Cell;
use std::panic::{PanicHookInfo, set_hook, take_hook};

thread_local! {
    static SURVIVES: Cell<bool> = const { Cell::new(false) };
}

/// From here on panics of this thread unwind: whoever runs on it catches them.
pub fn survive() {
    SURVIVES.set(true);
}

/// Has every panic end the process, but on threads that [`survive`]: those have a line in the log.
pub fn end_the_process() {
    let tell = take_hook();
    set_hook(Box::new(move |panic| {
        if SURVIVES.try_with(Cell::get).unwrap_or(false) {
            return log(panic);
        }
        tell(panic);
        std::process::abort();
    }));
}

fn log(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = panic.location().map_or_else(|| "nowhere".to_string(), ToString::to_string);
    // A text that was put together may hold what clients wrote.
    let message = panic.payload().downcast_ref::<&'static str>().unwrap_or(&"(not a fixed text)");
    tracing::error!(
        thread = thread.name(),
        location,
        message,
        "a job panicked: whoever waited for it gets a 500, everything else goes on; please report it"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;
    use std::panic::catch_unwind;
    use std::process::{Command, Output};
    use std::thread;

    /// Set in a process that a test has started to see how it ends.
    const CHILD: &str = "PLEXICHAT_TEST_CHILD";

    /// Runs a test of this file in a process of its own.
    fn child(test: &str) -> Output {
        let name = format!("runtime::panics::tests::{test}");
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", &name]).env(CHILD, "1").output().unwrap()
    }

    fn is_child() -> bool {
        std::env::var_os(CHILD).is_some()
    }

    #[test]
    fn child_that_panics() {
        if !is_child() {
            return;
        }
        end_the_process();
        let _ = thread::spawn(|| catch_unwind(|| panic!("an invariant is broken"))).join();
        std::process::exit(3);
    }

    #[test]
    fn child_that_survives() {
        if !is_child() {
            return;
        }
        end_the_process();
        let outcome = thread::spawn(|| {
            survive();
            catch_unwind(|| panic!("a job went wrong")).is_err()
        });
        std::process::exit(if outcome.join().unwrap() { 7 } else { 3 });
    }

    #[test]
    fn a_panic_ends_the_process_even_where_it_would_be_caught() {
        let output = child("child_that_panics");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
        assert!(text.contains("an invariant is broken"), "{text}");
    }

    #[test]
    fn a_thread_that_survives_goes_on() {
        let output = child("child_that_survives");
        assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
