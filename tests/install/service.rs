//! Under a service manager: what it is told, what it hands over, and the units of `tuning/`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use plexichat::config::OptionRow;

use crate::support::{self, PATIENCE, Server, temporary_folder};

/// What a server says to its manager.
struct Manager {
    socket: UnixDatagram,
    folder: tempfile::TempDir,
}

impl Manager {
    fn new() -> Manager {
        let folder = temporary_folder();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Manager { socket, folder }
    }

    fn start(&self, environment: &[(&str, &str)]) -> Server {
        let path = self.folder.path().join("notify");
        let mut all = vec![("NOTIFY_SOCKET", path.as_os_str())];
        all.extend(environment.iter().map(|(name, value)| (*name, (*value).as_ref())));
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data).unwrap();
        Server::try_start_with(&data, &[], &all).unwrap_or_else(|(_, log)| panic!("no start:\n{log}"))
    }

    /// The next that is no sign of life.
    fn hears(&self) -> String {
        loop {
            let heard = self.hears_anything();
            if heard != "WATCHDOG=1" {
                return heard;
            }
        }
    }

    fn hears_anything(&self) -> String {
        let mut buffer = [0; 4096];
        let len = self.socket.recv(&mut buffer).expect("the server says something");
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }
}

#[test]
fn the_manager_hears_of_start_reload_life_and_stop() {
    let manager = Manager::new();
    let server = manager.start(&[("WATCHDOG_USEC", "600000")]);
    let ready = manager.hears();
    let at = server.address();
    assert_eq!(ready, format!("READY=1\nSTATUS=Serves at {at}"));
    for _ in 0..3 {
        let begun = Instant::now();
        assert_eq!(manager.hears_anything(), "WATCHDOG=1");
        assert!(begun.elapsed() < Duration::from_millis(500), "in time: {:?}", begun.elapsed());
    }
    server.signal(libc::SIGHUP);
    let reloads = manager.hears();
    let time = reloads.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap_or_else(|| panic!("{reloads}"));
    assert!(time.parse::<u64>().unwrap() > 0, "{reloads}");
    assert_eq!(manager.hears(), ready);
    assert!(server.stop().success());
    assert!(manager.hears().starts_with("STOPPING=1"));
}

#[test]
fn a_server_that_stands_gives_no_sign_of_life() {
    let manager = Manager::new();
    let server = manager.start(&[("WATCHDOG_USEC", "300000")]);
    assert!(manager.hears().starts_with("READY=1"));
    assert_eq!(manager.hears_anything(), "WATCHDOG=1");
    // A core alone: its thread is kept busy by nobody, so it is stopped by a debugger's means.
    let core = thread_of(server.pid(), "core-0");
    let stopped = Stopped::new(core);
    let deadline = Instant::now() + Duration::from_secs(2);
    manager.socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    let mut quiet = false;
    while !quiet && Instant::now() < deadline {
        quiet = manager.socket.recv(&mut [0; 64]).is_err();
    }
    assert!(quiet, "no sign for longer than the watchdog waits");
    drop(stopped);
    manager.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(manager.hears_anything(), "WATCHDOG=1");
    assert!(server.log_with("a core does not turn").contains("core=0"));
}

fn thread_of(pid: u32, name: &str) -> i32 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let named = tasks.filter_map(|task| {
        let task = task.ok()?;
        let of = std::fs::read_to_string(task.path().join("comm")).ok()?;
        (of.trim() == name).then(|| task.file_name().to_str().unwrap().parse().unwrap())
    });
    named.into_iter().next().expect("a thread of that name")
}

/// A thread that the kernel holds until this is dropped. All calls come from the thread that began it.
struct Stopped(i32);

impl Stopped {
    fn new(thread: i32) -> Stopped {
        // SAFETY: system calls about another process, which write to nothing here.
        unsafe {
            let none = std::ptr::null_mut::<libc::c_void>();
            assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, thread, none, none), 0, "it lets debuggers in");
            assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, thread, none, none), 0);
            assert_eq!(libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL), thread);
        }
        Stopped(thread)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}

/// A server that was handed sockets as descriptors 3 and following.
struct Activated(Child);

impl Activated {
    fn start(folder: &Path, sockets: &[&TcpListener], more: &[&str]) -> Activated {
        let inner = support::command(folder);
        // Its number is known only once it runs.
        let mut command = Command::new("sh");
        command
            .args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""])
            .arg(inner.get_program())
            .args(inner.get_args());
        command.env("LISTEN_FDS", sockets.len().to_string()).env("HOME", folder).current_dir(folder);
        for option in
            ["metrics.port=0", "runtime.pin=false", "runtime.cores=2", "server.port=1"].iter().chain(more)
        {
            command.args(["--set", option]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let descriptors: Vec<i32> = sockets.iter().map(|socket| socket.as_raw_fd()).collect();
        // SAFETY: dup2 is async-signal-safe. Out of the way first, as one of them may be 3 itself.
        unsafe {
            use std::os::unix::process::CommandExt;
            command.pre_exec(move || {
                for (index, fd) in descriptors.iter().enumerate() {
                    libc::dup2(*fd, 100 + index as i32);
                }
                for index in 0..descriptors.len() as i32 {
                    libc::dup2(100 + index, 3 + index);
                    libc::close(100 + index);
                }
                Ok(())
            });
        }
        Activated(support::spawn(command))
    }
}

impl Drop for Activated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn live(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn sockets_are_taken_over() {
    let folder = temporary_folder();
    let sockets: Vec<TcpListener> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let addresses: Vec<SocketAddr> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
    // Who connects before the server is there waits.
    let early = std::thread::spawn({
        let address = addresses[0];
        move || live(address)
    });
    // Fewer than cores, and more.
    for taken in [&sockets[..1], &sockets[..]] {
        let server = Activated::start(folder.path(), &taken.iter().collect::<Vec<_>>(), &[]);
        for address in &addresses[..taken.len()] {
            for _ in 0..8 {
                assert!(live(*address).starts_with("HTTP/1.1 200 "), "{address}");
            }
        }
        drop(server);
    }
    assert!(early.join().unwrap().starts_with("HTTP/1.1 200 "));
}

#[test]
fn what_cannot_be_listened_on_is_named() {
    let folder = temporary_folder();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // SAFETY: the descriptor is another name of the client's, for the time of the test.
    let wrong = unsafe {
        use std::os::fd::FromRawFd;
        TcpListener::from_raw_fd(libc::dup(client.as_raw_fd()))
    };
    let mut server = Activated::start(folder.path(), &[&wrong], &[]);
    let stderr = BufReader::new(server.0.stderr.take().unwrap());
    let said: Vec<String> = stderr.lines().map_while(Result::ok).collect();
    let said = said.join("\n");
    assert!(said.contains("descriptor 3") && said.contains("does not listen"), "{said}");
    assert!(said.contains("Accept=no"), "{said}");
    assert_eq!(server.0.wait().unwrap().code(), Some(1));
}

#[test]
fn health_is_asked_of_the_server_of_the_configuration() {
    let folder = temporary_folder();
    let run = |options: &[&str]| {
        let mut command = support::command(folder.path());
        for option in options {
            command.args(["--set", option]);
        }
        command.arg("health").output().unwrap()
    };
    for more in ["http.proxy_protocol_from=", "http.proxy_protocol_from=127.0.0.0/8"] {
        let server = Server::start(&[more]);
        let port = format!("server.port={}", server.address().port());
        let output = run(&[&port, more, "server.host=0.0.0.0"]);
        assert!(output.status.success(), "{more}: {}", String::from_utf8_lossy(&output.stderr));
        drop(server);
        let output = run(&[&port, more]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("refused"), "{output:?}");
    }
}

fn tuning(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn units_are_what_their_own_tool_takes() {
    let folder = temporary_folder();
    let program = env!("CARGO_BIN_EXE_plexichat");
    let unit = tuning("plexichat.service").replace("ExecStart=plexichat ", &format!("ExecStart={program} "));
    assert!(unit.contains(program));
    std::fs::write(folder.path().join("plexichat.service"), &unit).unwrap();
    std::fs::write(folder.path().join("plexichat.socket"), tuning("plexichat.socket")).unwrap();
    let verify = |name: &str| {
        let mut command = Command::new("systemd-analyze");
        command.args(["verify", "--man=no"]).arg(folder.path().join(name));
        command.output()
    };
    for name in ["plexichat.service", "plexichat.socket"] {
        match verify(name) {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                let ours: Vec<&str> = said.lines().filter(|line| line.contains("plexichat")).collect();
                assert!(output.status.success() && ours.is_empty(), "{name}: {said}");
            }
            Err(error) => {
                assert!(std::env::var_os("PLEXICHAT_SCHEMA_TOOLS").is_none(), "systemd-analyze: {error}");
                println!("skipped: there is no systemd-analyze ({error})");
            }
        }
    }
    // It does find what is wrong.
    std::fs::write(folder.path().join("plexichat.service"), unit.replace("[Service]", "[Service]\nNoSuch=1"))
        .unwrap();
    if let Ok(output) = verify("plexichat.service") {
        assert!(String::from_utf8_lossy(&output.stderr).contains("NoSuch"), "{output:?}");
    }
}

/// The unit speaks of the same limits as the server.
#[test]
fn the_unit_fits_the_server() {
    let unit = tuning("plexichat.service");
    for line in
        ["Type=notify", "StartLimitIntervalSec=0", "LimitMEMLOCK=infinity", "RestartPreventExitStatus=2"]
    {
        assert!(unit.lines().any(|own| own == line), "{line}");
    }
    let number = |key: &str| -> u64 {
        let value =
            unit.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).expect("a setting");
        value.parse().expect("a number")
    };
    let default = |key: &str| -> u64 {
        let row = OptionRow::find(key).expect("an option");
        row.shown(&plexichat::config::Config::default()).parse().expect("a number")
    };
    assert!(number("TimeoutStopSec") * 1_000 > 5 * default("server.shutdown_grace_ms"));
    assert!(number("LimitNOFILE") > default("http.connections_max") + 256);
    assert!(number("WatchdogSec") >= 10, "a machine that is busy is not dead");
    // The server's own ports are kept from connections that go out.
    let ports = format!("{},{}", default("server.port"), default("metrics.port"));
    for file in ["99-plexichat.conf", "package/plexichat.sysctl"] {
        let line = format!("net.ipv4.ip_local_reserved_ports = {ports}");
        assert!(tuning(file).lines().any(|own| own == line), "{file}: {line}");
    }
    assert!(
        tuning("plexichat.socket").contains(&format!("ListenStream=127.0.0.1:{}\n", default("server.port")))
    );
}
