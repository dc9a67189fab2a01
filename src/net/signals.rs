//! Signals that end the server or have it read its configuration again, taken in one place.
//!
//! Invariant: no thread but the one that waits for them gets any.

use std::io;
use std::time::Duration;

use super::service::Service;

/// SIGTERM, SIGINT and SIGHUP, taken by the main thread instead of ending the process.
pub(super) struct Signals(libc::sigset_t);

/// Holds SIGTERM, SIGINT and SIGHUP back until the server waits for them. Call it before any thread is started, the log's
/// included: threads inherit the mask, and a signal that finds one thread without it ends the process on the spot.
pub fn hold_signals() {
    let _ = Signals::block();
}

impl Signals {
    pub(super) fn block() -> Signals {
        // SAFETY: plain system calls on a set of our own.
        unsafe {
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGTERM);
            libc::sigaddset(&mut set, libc::SIGINT);
            libc::sigaddset(&mut set, libc::SIGHUP);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
            Signals(set)
        }
    }

    /// The next of them; `None` when none comes within that time.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Option<libc::c_int> {
        let time = patience.map(|patience| libc::timespec {
            tv_sec: patience.as_secs() as libc::time_t,
            tv_nsec: i64::from(patience.subsec_nanos()),
        });
        let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        loop {
            // SAFETY: the set is initialised, the signals are blocked, the time is live or there is none.
            let signal = unsafe { libc::sigtimedwait(&self.0, std::ptr::null_mut(), time) };
            match io::Error::last_os_error().raw_os_error() {
                _ if signal > 0 => return Some(signal),
                // Stopped and continued.
                Some(libc::EINTR) if patience.is_none() => {}
                _ => return None,
            }
        }
    }

    /// A second signal skips the grace.
    pub(super) fn exit_on_next(self, service: Service) {
        let wait = move || {
            loop {
                match self.wait(service.pause()) {
                    None => service.still_stops(),
                    Some(libc::SIGHUP) => {}
                    Some(_) => break,
                }
            }
            tracing::warn!("stopping at once");
            std::process::exit(130);
        };
        // Without a thread for it there is the grace, and SIGKILL.
        let _ = std::thread::Builder::new().spawn(wait);
    }
}
