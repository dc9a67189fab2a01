//! Listening sockets: one per core on the same port, so that the kernel spreads connections.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::{Duration, Instant};

/// Connections the kernel may hold ready for accept; it is cut to `net.core.somaxconn`.
const BACKLOG: i32 = 16_384;

/// How long a taken port is asked for again. The kernel takes the rings of a process that has ended apart beside its
/// end; with thousands of connections its listeners live some 100 ms longer, and a restart would find the port taken.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// Opens one listener per core on the same port; with port 0, on one port that the system chooses.
///
/// # Errors
/// When the address is taken, also by a server that would share it, or not ours.
pub fn listeners(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() != 0 {
        // Shared ports are shared with any process of the same user; only a socket that does not share finds out.
        drop(patiently(|| listener(address, false))?);
    }
    let first = listener(address, true)?;
    let address = first.local_addr()?;
    let rest = (1..count).map(|_| listener(address, true));
    std::iter::once(Ok(first)).chain(rest).collect()
}

/// Has a socket that somebody else has opened listen as ours do.
///
/// # Errors
/// What the kernel says.
pub fn listen_well(listener: &TcpListener) -> io::Result<()> {
    let fd = listener.as_raw_fd();
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    // SAFETY: plain system calls on a descriptor that is open as long as its listener.
    let result = unsafe {
        libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::listen(fd, BACKLOG)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Why an address cannot be listened on, and what to do about it; `host` and `port` are the options that choose it.
pub fn explain(address: SocketAddr, host: &str, port: &str, error: &io::Error) -> String {
    let number = address.port();
    let what_to_do = match error.raw_os_error() {
        Some(libc::EADDRINUSE) => {
            format!(
                "`ss -ltnp 'sport = :{number}'` names what listens there; stop it, or choose another {port}"
            )
        }
        Some(libc::EACCES | libc::EPERM) => format!(
            "ports below `sysctl net.ipv4.ip_unprivileged_port_start` need the right CAP_NET_BIND_SERVICE: \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, `setcap cap_net_bind_service=+ep` on the \
             binary, or a proxy there and another {port}, such as 8000"
        ),
        Some(libc::EADDRNOTAVAIL) => format!(
            "{} is no address of this machine, `ip -brief address` lists them: choose one of them for {host}, or \
             0.0.0.0 or :: for all",
            address.ip()
        ),
        Some(libc::EAFNOSUPPORT) => {
            format!(
                "this machine has no {}: choose another {host}",
                if address.is_ipv6() { "IPv6" } else { "IPv4" }
            )
        }
        Some(libc::EINVAL) if address.is_ipv6() => {
            format!("an address of one link only cannot be chosen: choose another {host}, or :: for all")
        }
        Some(libc::EMFILE | libc::ENFILE) => {
            "the limit of open files is reached: `plexichat check` says how to raise it".to_owned()
        }
        _ => format!("choose another {host} or {port}"),
    };
    format!("cannot listen on {address}: {error}; {what_to_do}")
}

/// Asks again while the address is in use, for [`PATIENCE`]. Blocks: for the main thread, before the cores start.
fn patiently(open: impl Fn() -> io::Result<TcpListener>) -> io::Result<TcpListener> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < PATIENCE => {
                std::thread::sleep(RETRY_INTERVAL);
            }
            result => return result,
        }
    }
}

fn listener(address: SocketAddr, is_shared: bool) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: plain system calls; the descriptor is owned by the listener from the first line on.
    unsafe {
        let fd = libc::socket(domain, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let listener = TcpListener::from_raw_fd(fd);
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, i32::from(is_shared))?;
        // Accepted sockets inherit it.
        set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
        let bound = match address {
            SocketAddr::V4(v4) => {
                let mut raw: libc::sockaddr_in = std::mem::zeroed();
                raw.sin_family = libc::AF_INET as u16;
                raw.sin_port = v4.port().to_be();
                raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                libc::bind(fd, (&raw const raw).cast(), size_of_val(&raw) as u32)
            }
            SocketAddr::V6(v6) => {
                let mut raw: libc::sockaddr_in6 = std::mem::zeroed();
                raw.sin6_family = libc::AF_INET6 as u16;
                raw.sin6_port = v6.port().to_be();
                raw.sin6_addr.s6_addr = v6.ip().octets();
                raw.sin6_scope_id = v6.scope_id();
                libc::bind(fd, (&raw const raw).cast(), size_of_val(&raw) as u32)
            }
        };
        if bound != 0 || libc::listen(fd, BACKLOG) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(listener)
    }
}

/// Sets a socket option to a number.
///
/// # Errors
/// What the kernel says.
pub fn set_option(fd: i32, level: i32, option: i32, value: i32) -> io::Result<()> {
    // SAFETY: the kernel copies four bytes.
    let result = unsafe { libc::setsockopt(fd, level, option, (&raw const value).cast(), 4) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_share_a_port_and_servers_do_not() {
        let listening = listeners("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let addresses: Vec<SocketAddr> = listening.iter().map(|l| l.local_addr().unwrap()).collect();
        assert!(addresses[0].port() != 0 && addresses.iter().all(|address| *address == addresses[0]));
        let error = listeners(addresses[0], 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listening);
        assert_eq!(listeners(addresses[0], 2).unwrap().len(), 2);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let busy = listener("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let taken = busy.local_addr().unwrap();
        let error = listener(taken, false).unwrap_err();
        let text = explain(taken, "--host", "--port", &error);
        assert!(text.contains(&format!("'sport = :{}'", taken.port())) && text.contains("--port"), "{text}");
        // RFC 5737: an address for documentation, so nobody's.
        let foreign: SocketAddr = "192.0.2.1:8000".parse().unwrap();
        let text = explain(foreign, "--host", "--port", &listener(foreign, true).unwrap_err());
        assert!(
            text.contains("192.0.2.1 is no address of this machine") && text.contains("--host"),
            "{text}"
        );
        let privileged = "127.0.0.1:80".parse().unwrap();
        let text = explain(privileged, "--host", "--port", &io::Error::from_raw_os_error(libc::EACCES));
        assert!(text.contains("CAP_NET_BIND_SERVICE") && !text.contains("stop it"), "{text}");
    }

    #[test]
    fn a_port_that_becomes_free_is_waited_for() {
        let before = listener("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let address = before.local_addr().unwrap();
        let ends = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(before);
        });
        assert_eq!(listeners(address, 2).unwrap()[1].local_addr().unwrap(), address);
        ends.join().unwrap();
    }
}
