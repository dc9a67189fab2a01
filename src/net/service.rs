//! What a service manager hands over and is told: sockets that listen already (sd_listen_fds(3)), and that the server is up,
//! reloads, stops and lives (sd_notify(3)).
//!
//! Owns: their variables in the environment.
//! Invariant: without those nothing is taken and nothing said; a word that cannot be said stops nobody.

use std::io;
use std::net::TcpListener;
use std::os::fd::{FromRawFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::listen::listen_well;
use crate::observe::Registry;
use crate::runtime::clock::monotonic_ns;

/// Where sockets that are handed over begin.
const FIRST: RawFd = 3;
/// More than anybody has cores for.
const COUNT_MAX: usize = 1_024;
/// Signs of life in the time after which the manager takes the server for dead.
const SIGNS: u32 = 3;

/// The sockets that were handed over, ready to accept. Call it once: they are owned by who gets them.
///
/// # Errors
/// One sentence about a socket that is none to listen on for TCP.
pub fn sockets() -> Result<Vec<TcpListener>, String> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    let count = match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() => count as usize,
        // For somebody else.
        _ => return Ok(Vec::new()),
    };
    if count > COUNT_MAX {
        return Err(format!("LISTEN_FDS is {count}: at most {COUNT_MAX} sockets can be taken over"));
    }
    (FIRST..).take(count).map(|fd| take(fd).map_err(|why| refused(fd, &why))).collect()
}

fn refused(fd: RawFd, why: &str) -> String {
    format!(
        "descriptor {fd}, which was handed over (LISTEN_FDS), {why}: the socket unit needs ListenStream=[ADDRESS:]PORT, and Accept=no"
    )
}

fn take(fd: RawFd) -> Result<TcpListener, String> {
    if !is_listening(fd) {
        return Err("does not listen".to_owned());
    }
    // SAFETY: it is open, and the manager has opened it for nobody but this process, which takes it once.
    let listener = unsafe { TcpListener::from_raw_fd(fd) };
    // Fails for families that have no such addresses.
    listener.local_addr().map_err(|_| "is no TCP socket".to_owned())?;
    listen_well(&listener).map_err(|error| format!("cannot be used: {error}"))?;
    Ok(listener)
}

fn is_listening(fd: RawFd) -> bool {
    let (mut value, mut len) = (0i32, 4u32);
    // SAFETY: the kernel writes at most four bytes; of a number that is no socket it says so.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN, (&raw mut value).cast(), &raw mut len)
    };
    result == 0 && value == 1
}

/// What a core accepts from.
pub struct Doors {
    pub sockets: Vec<TcpListener>,
    /// They listen on when this process has ended: who comes while it stops is left to the next.
    pub outlive: bool,
}

/// Gives each core what it accepts from: every socket is somebody's, and cores beyond their number share.
///
/// # Errors
/// No more descriptors.
pub fn spread(sockets: &[TcpListener], core_count: usize) -> io::Result<Vec<Doors>> {
    let of_core = |core: usize| {
        let indexes = (core..sockets.len().max(core + 1)).step_by(core_count);
        let sockets = indexes.map(|index| sockets[index % sockets.len()].try_clone());
        Ok(Doors { sockets: sockets.collect::<io::Result<_>>()?, outlive: true })
    };
    (0..core_count).map(of_core).collect()
}

/// The manager that is told, if there is one.
pub struct Service {
    told: Option<(UnixDatagram, SocketAddr)>,
    /// After so long without a sign of life the manager ends the server.
    watchdog: Option<Duration>,
    /// Turns of the cores at the last sign.
    turns: Vec<u64>,
}

impl Service {
    pub fn of_environment() -> Service {
        let told = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let address = match name.as_bytes() {
                [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
                [b'/', ..] => SocketAddr::from_pathname(&name),
                _ => return None,
            };
            Some((UnixDatagram::unbound().ok()?, address.ok()?))
        });
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_ours && told.is_some());
        let watchdog = watchdog.filter(|usec| *usec > 0).map(Duration::from_micros);
        Service { told, watchdog, turns: Vec::new() }
    }

    fn tell(&self, words: &str) {
        if let Some((socket, address)) = &self.told {
            let _ = socket.send_to_addr(words.as_bytes(), address);
        }
    }

    /// It serves. `status` is for people.
    pub fn is_ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    /// It reads its configuration again, until it is ready once more.
    pub fn reloads(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_ns() / 1_000));
    }

    pub fn stops(&self) {
        self.tell("STOPPING=1\nSTATUS=Connections are being closed");
    }

    /// Between two signs of life; `None`: nobody waits for any.
    pub fn pause(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / SIGNS)
    }

    /// Says that the server lives if every core has turned since the last time: they do so several times a second.
    pub fn sign_of_life(&mut self, registry: &Registry) {
        let turns: Vec<u64> = registry.cores.iter().map(|core| core.turn_count.value()).collect();
        match standing(&self.turns, &turns) {
            None => self.tell("WATCHDOG=1"),
            Some(core) => {
                tracing::error!(core, "a core does not turn: the service manager will end the server")
            }
        }
        self.turns = turns;
    }

    /// The same while it stops, when cores end one by one; how long that takes is bounded otherwise.
    pub fn still_stops(&self) {
        self.tell("WATCHDOG=1");
    }
}

/// A core that has not turned.
fn standing(before: &[u64], now: &[u64]) -> Option<usize> {
    before.iter().zip(now).position(|(before, now)| before == now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_socket_has_a_core_and_every_core_a_socket() {
        let sockets = |count: usize| -> Vec<TcpListener> {
            (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect()
        };
        for (count, core_count, want) in [
            (1, 3, vec![vec![0], vec![0], vec![0]]),
            (2, 3, vec![vec![0], vec![1], vec![0]]),
            (3, 2, vec![vec![0, 2], vec![1]]),
        ] {
            let sockets = sockets(count);
            let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
            let of = |socket: &TcpListener| {
                let port = socket.local_addr().unwrap().port();
                ports.iter().position(|own| *own == port).unwrap()
            };
            let spread = spread(&sockets, core_count).unwrap();
            let got: Vec<Vec<usize>> =
                spread.iter().map(|core| core.sockets.iter().map(of).collect()).collect();
            assert_eq!(got, want, "{count} sockets, {core_count} cores");
        }
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        use std::os::fd::AsRawFd;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(is_listening(listener.as_raw_fd()));
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(!is_listening(datagrams.as_raw_fd()) && !is_listening(-1));
        assert_eq!(take(datagrams.as_raw_fd()).unwrap_err(), "does not listen");
    }

    #[test]
    fn a_core_that_stands_is_found() {
        assert_eq!(standing(&[], &[1, 2]), None);
        assert_eq!(standing(&[1, 2], &[2, 3]), None);
        assert_eq!(standing(&[1, 2], &[2, 2]), Some(1));
    }
}
