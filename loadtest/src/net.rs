//! Non-blocking sockets and epoll.
//!
//! Owns: the only system calls about sockets that the standard library does not wrap.
//! Invariant: every socket here is edge-triggered, so a reader reads until the kernel has no more.

use std::io;
use std::mem::size_of_val;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Connections from one source address to one port; the kernel has 28,232 ports for them by default.
pub const CONNECTIONS_PER_SOURCE: u32 = 20_000;

/// The source address of connection `index`, or `None` to let the kernel choose.
pub fn source_of(index: u32, sources: u32) -> Option<Ipv4Addr> {
    (sources > 1).then(|| Ipv4Addr::new(127, 0, 0, (1 + index % sources) as u8))
}

/// Starts to connect. The socket becomes writable when that is done. A `receive_buffer` of some bytes (the kernel
/// doubles it, and has a minimum of about 2 KiB) is set before, since it decides the window that the peer is offered.
pub fn connect(
    target: SocketAddrV4,
    source: Option<Ipv4Addr>,
    receive_buffer: Option<u32>,
) -> io::Result<TcpStream> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain integers in; the descriptor is checked and then owned by the stream.
    let stream = unsafe {
        let fd = libc::socket(libc::AF_INET, kind, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        TcpStream::from_raw_fd(fd)
    };
    stream.set_nodelay(true)?;
    let fd = stream.as_raw_fd();
    if let Some(len) = receive_buffer {
        set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &len)?;
    }
    if let Some(source) = source {
        // The port is chosen when connecting: 28,000 per target instead of 28,000 in all.
        set_option(fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1i32)?;
        let address = socket_address(SocketAddrV4::new(source, 0));
        // SAFETY: the address outlives the call and its size is given.
        check(unsafe { libc::bind(fd, (&raw const address).cast(), size_of_val(&address) as u32) })?;
    }
    let address = socket_address(target);
    // SAFETY: as above.
    match check(unsafe { libc::connect(fd, (&raw const address).cast(), size_of_val(&address) as u32) }) {
        Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => Err(e),
        _ => Ok(stream),
    }
}

/// Makes closing the socket send a reset: the peer notices at once and no port is left waiting.
pub fn close_by_reset(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // A socket that refuses the option is closed the ordinary way.
    let _ = set_option(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &linger);
}

fn socket_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
}

fn set_option<T>(fd: RawFd, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the value outlives the call and its size is given.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const *value).cast(), size_of_val(value) as u32) })
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An epoll instance and the events of its last wait.
pub struct Poll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What a socket is ready for.
#[derive(Clone, Copy)]
pub struct Ready {
    pub token: u64,
    pub writable: bool,
    /// The peer has ended its side, or there is an error: nothing further wakes the poll, so read up to that.
    pub ended: bool,
}

impl Poll {
    pub fn new() -> io::Result<Poll> {
        // SAFETY: plain integer in; the descriptor is checked and then owned.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        check(fd)?;
        // SAFETY: `fd` is a fresh descriptor owned by nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Poll { fd, events: Vec::with_capacity(1024) })
    }

    /// Watches `fd` for both directions until it is closed.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` is valid for the call.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })
    }

    /// Waits up to `timeout_ns`; gives the number of events to ask [`Poll::event`] for.
    pub fn wait(&mut self, timeout_ns: u64) -> usize {
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as i64,
            tv_nsec: (timeout_ns % 1_000_000_000) as i64,
        };
        // SAFETY: the buffer has room for `capacity` events, and the kernel says how many it wrote.
        unsafe {
            let n = libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.capacity() as i32,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            );
            self.events.set_len(n.max(0) as usize);
        }
        self.events.len()
    }

    pub fn event(&self, index: usize) -> Ready {
        let event = self.events[index];
        // A socket with an error counts as readable only: the read says what is wrong.
        let writable = event.events & (libc::EPOLLOUT | libc::EPOLLERR) as u32 == libc::EPOLLOUT as u32;
        let ended = event.events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0;
        Ready { token: event.u64, writable, ended }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};

    use super::*;

    #[test]
    fn sources_rotate() {
        assert_eq!(source_of(5, 1), None);
        assert_eq!(source_of(0, 3), Some(Ipv4Addr::new(127, 0, 0, 1)));
        assert_eq!(source_of(5, 3), Some(Ipv4Addr::new(127, 0, 0, 3)));
    }

    #[test]
    fn a_socket_connects_from_its_source_and_wakes_the_poll() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let SocketAddr::V4(target) = listener.local_addr().unwrap() else { panic!() };
        let mut stream = connect(target, source_of(1, 2), None).unwrap();
        let mut poll = Poll::new().unwrap();
        poll.add(stream.as_raw_fd(), 7).unwrap();
        let (mut peer, from) = listener.accept().unwrap();
        assert_eq!(from.ip(), Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(poll.wait(1_000_000_000), 1);
        assert!(poll.event(0).writable && poll.event(0).token == 7 && !poll.event(0).ended);
        peer.write_all(b"x").unwrap();
        assert_eq!(poll.wait(1_000_000_000), 1);
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 1);
        assert_eq!(poll.wait(1_000), 0);
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(poll.wait(1_000_000_000), 1);
        assert!(poll.event(0).ended);
        close_by_reset(&stream);
        drop(stream);
        assert!(peer.read(&mut [0; 8]).is_err(), "a reset is an error for the peer");
    }
}
