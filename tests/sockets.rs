//! Every connection that has ended is gone from the kernel, however it ended.
//!
//! The sockets of a network are counted by the kernel (`sockets: used` in /proc/net/sockstat), so this runs in a
//! network of its own. `PLEXICHAT_ENDINGS` says how many endings of each kind there are.

#[path = "support/line.rs"]
mod line;
mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use line::reset_on_close;
use support::websocket::frame;
use support::{Frame, PATIENCE, Server, Socket, json};

/// Endings of each kind in a usual run: with one leak in 400, as there was, five are to be expected.
const ENDING_COUNT: usize = 2_000;
/// Connections that end at the same time.
const TOGETHER: usize = 50;
/// Set in the process that runs in a network of its own.
const INSIDE: &str = "PLEXICHAT_TEST_INSIDE";

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

#[test]
fn a_connection_that_has_ended_leaves_no_socket() {
    if std::env::var_os(INSIDE).is_some() {
        bring_up_loopback();
        return count_endings();
    }
    let program = std::env::current_exe().expect("this test has a file");
    for how in [&["--net"][..], &["--net", "--user", "--map-root-user"]] {
        if !Command::new("unshare").args(how).arg("true").status().is_ok_and(|status| status.success()) {
            continue;
        }
        let mut command = Command::new("unshare");
        command.args(how).arg(program).args(["--exact", "a_connection_that_has_ended_leaves_no_socket"]);
        let status = command.arg("--nocapture").env(INSIDE, "1").status().expect("unshare has just run");
        return assert!(status.success(), "see above");
    }
    // Where nobody reads what is printed, a test that does not run must not pass.
    assert!(
        std::env::var_os("CI").is_none(),
        "there can be no network of its own here: is `unshare` forbidden?"
    );
    println!("skipped: there can be no network of its own here");
}

type Ending = (&'static str, fn(&Server, Vec<Socket>));

/// How a connection ends; each closes all it is given.
const ENDINGS: &[Ending] = &[
    ("close frame", |_, sockets| {
        each(sockets, |mut socket| {
            let _ = socket.try_send(&frame(0x88, &1_000u16.to_be_bytes(), MASK));
            socket
        })
        .into_iter()
        .for_each(ends);
    }),
    ("close()", |_, sockets| drop(sockets)),
    ("close() with a message under way", |_, sockets| {
        each(sockets, |mut socket| {
            let _ = socket.try_send(&frame(0x81, b"{\"op\":1}", MASK));
            socket
        });
    }),
    ("reset", |_, sockets| {
        each(sockets, |socket| {
            reset_on_close(socket.stream());
            socket
        });
    }),
    ("reset with a message under way", |_, sockets| {
        each(sockets, |mut socket| {
            let _ = socket.try_send(&frame(0x81, b"{\"op\":1}", MASK));
            reset_on_close(socket.stream());
            socket
        });
    }),
    ("half-close", |_, sockets| {
        each(sockets, |socket| {
            let _ = socket.stream().shutdown(Shutdown::Write);
            socket
        })
        .into_iter()
        .for_each(ends);
    }),
    ("closed by the server", |_, sockets| {
        each(sockets, |mut socket| {
            let _ = socket.try_send(&frame(0x81, b"{\"op\":99}", MASK));
            socket
        })
        .into_iter()
        .for_each(|mut socket| {
            assert!(matches!(socket.frame(), Frame::Close(4001, _)));
            let _ = socket.try_send(&frame(0x88, &4_001u16.to_be_bytes(), MASK));
            ends(socket);
        });
    }),
    ("resumed elsewhere", |server, sockets| resume_on_each(server, sockets)),
];

fn each(sockets: Vec<Socket>, end: impl FnMut(Socket) -> Socket) -> Vec<Socket> {
    sockets.into_iter().map(end).collect()
}

/// A client that waits for the server's FIN gets it.
fn ends(mut socket: Socket) {
    assert!(socket.ends_within(PATIENCE), "no FIN came");
}

/// One session goes from connection to connection, and so from core to core.
fn resume_on_each(server: &Server, sockets: Vec<Socket>) {
    let name = format!("r{}", fastrand::u64(..));
    let user = server.register(&name[..name.len().min(20)]);
    let mut sockets = sockets.into_iter();
    let mut last = sockets.next().expect("there are some");
    let id = last.identify(&user.token)["session_id"].clone();
    for mut socket in sockets {
        socket.send(&json!({"op": 6, "d": {"token": user.token, "session_id": id, "seq": 1}}));
        assert_eq!(socket.json()["t"], "RESUMED");
        let (code, _) = std::mem::replace(&mut last, socket).closed();
        assert_eq!(code, 4009);
    }
}

fn count_endings() {
    let count = std::env::var("PLEXICHAT_ENDINGS").ok().and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(ENDING_COUNT);
    // No other server is in this network.
    let server = Server::start(&["metrics.port=9600", "websocket.identify_burst=0"]);
    let mut left = Vec::new();
    for (name, end) in ENDINGS {
        let before = settled(&server);
        for _ in 0..count.div_ceil(TOGETHER) {
            end(&server, (0..TOGETHER).map(|_| server.gateway()).collect());
        }
        let after = settled(&server);
        println!("{count} times {name}: {before} sockets before, {after} after");
        if after != before {
            left.push(format!("{name}: {before} sockets before, {after} after"));
        }
        assert_eq!(gauge("plexichat_gateway_polls"), 0, "{name}");
    }
    assert!(left.is_empty(), "{left:?}");
}

/// Sockets of this network when no connection is open any more and their number rests.
fn settled(server: &Server) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    let open = || gauge("plexichat_gateway_connections") + gauge("plexichat_http_connections");
    while open() > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(open(), 0, "connections stay open:\n{}", server.log());
    let mut counts = [0, 1, 2, 3];
    while counts.iter().any(|count| *count != counts[0]) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        counts.rotate_left(1);
        counts[3] = sockets_used();
    }
    counts[3]
}

fn sockets_used() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/net/sockstat").expect("Linux tells");
    let used = stat.lines().find_map(|line| line.strip_prefix("sockets: used "));
    used.and_then(|used| used.trim().parse().ok()).expect("a number")
}

/// A gauge of /metrics, summed over the cores.
fn gauge(name: &str) -> u64 {
    let mut stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], 9600))).expect("metrics are on");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .expect("an open socket");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    let samples = text.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let values: Vec<f64> = samples.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    assert!(!values.is_empty(), "no {name} in {text}");
    values.iter().sum::<f64>() as u64
}

fn bring_up_loopback() {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // SAFETY: zeroes are a valid request.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[..2].copy_from_slice(&[b'l' as libc::c_char, b'o' as libc::c_char]);
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: the request is readable, the socket open.
    let set = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    assert_eq!(set, 0, "the loopback device comes up");
}
