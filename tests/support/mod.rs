//! The real server in a process of its own, and clients that talk to it over real sockets.
//!
//! Invariant: nothing here is shared between servers: every one has a folder and a port of its own, so tests may run
//! side by side. A server dies with its handle and, at the latest, with the test process.

#![allow(dead_code, unused_imports, reason = "every test binary uses another part")]

pub mod admin;
pub mod authenticator;
pub mod console;
pub mod http;
pub mod provider;
pub mod sink;
pub mod websocket;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

pub use http::{Answer, Http};
pub use serde_json::{Value, json};
pub use sink::Sink;
pub use websocket::{Frame, Socket};

/// Longer than anything takes on a busy machine; only failures wait for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A password that keeps the rules.
pub const PASSWORD: &str = "Lovelace-1815!";

/// What differs from the defaults in every test: cheap hashing, no limits, a free port.
const OPTIONS: &[&str] = &[
    "server.port=0",
    "metrics.port=0",
    "runtime.pin=false",
    "runtime.cores=2",
    "store.map_size=1073741824",
    "encryption.argon2.time_cost=1",
    "encryption.argon2.memory_kib=64",
    "encryption.argon2.parallelism=1",
    "rate_limiting.enabled=false",
    "authentication.security.token_verify_rate_limit=0",
    "websocket.identify_per_ip_per_minute=0",
    "server.shutdown_grace_ms=300",
];

/// A running server.
pub struct Server {
    child: Child,
    address: SocketAddr,
    folder: PathBuf,
    log: Arc<Mutex<String>>,
    /// Removed with the server, unless the folder was given.
    _temporary: Option<tempfile::TempDir>,
}

impl Server {
    /// Starts a server with a new, empty data folder. `options` are `key=value`, later ones win.
    #[must_use]
    pub fn start(options: &[&str]) -> Server {
        let temporary = temporary_folder();
        let mut server = Server::start_in(temporary.path(), options);
        server._temporary = Some(temporary);
        server
    }

    /// Starts a server on a data folder, which stays when the server is gone.
    #[must_use]
    pub fn start_in(folder: &Path, options: &[&str]) -> Server {
        Server::try_start_in(folder, options).unwrap_or_else(|(_, log)| panic!("no start:\n{log}"))
    }

    /// Like [`Server::start_in`]; gives exit status and log when the server ends instead of listening.
    pub fn try_start_in(folder: &Path, options: &[&str]) -> Result<Server, (ExitStatus, String)> {
        Server::try_start_with(folder, options, &[])
    }

    /// The same with more in the environment of the program.
    pub fn try_start_with(
        folder: &Path,
        options: &[&str],
        environment: &[(&str, &OsStr)],
    ) -> Result<Server, (ExitStatus, String)> {
        let mut command = command(folder);
        command.envs(environment.iter().copied());
        for option in OPTIONS.iter().chain(options) {
            command.args(["--set", option]);
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(command);
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, bound) = channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let reader = std::thread::spawn({
            let log = log.clone();
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    if let Some(url) = line.strip_prefix("  REST     http://") {
                        let _ = sender.send(url.split('/').next().unwrap_or_default().to_owned());
                    }
                    let mut log = log.lock().expect("no panic while held");
                    log.push_str(&line);
                    log.push('\n');
                }
            }
        });
        match bound.recv_timeout(PATIENCE) {
            Ok(address) => Ok(Server {
                child,
                address: address.parse().expect("the banner prints an address"),
                folder: folder.to_owned(),
                log,
                _temporary: None,
            }),
            Err(_) => {
                let status = match child.try_wait().expect("our child") {
                    Some(status) => status,
                    None => wait_or_kill(&mut child, Duration::from_millis(500)),
                };
                let _ = reader.join();
                let log = log.lock().expect("no panic while held").clone();
                Err((status, log))
            }
        }
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `store.path`
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What the server wrote on stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic while held").clone()
    }

    /// The log once this is in it: an answer may be here before the line about it.
    ///
    /// # Panics
    /// When it does not come.
    pub fn log_with(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < deadline, "the log never tells of \"{text}\":\n{log}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A connection for REST calls.
    #[must_use]
    pub fn http(&self) -> Http {
        Http::new(self.address)
    }

    /// The same from another address of this machine.
    #[must_use]
    pub fn http_from(&self, source: &str) -> Http {
        Http::from(self.address, source.parse().expect("an address"))
    }

    /// A gateway connection, after HELLO.
    #[must_use]
    pub fn gateway(&self) -> Socket {
        let mut socket = Socket::connect(self.address);
        let hello = socket.json();
        assert_eq!(hello["op"], 10, "{hello}");
        socket
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: a plain system call; the process is our child and not yet reaped.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Waits for the end of the process, which must come by itself.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Asks for an orderly end and waits for it.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait()
    }

    /// Ends the process without warning (SIGKILL), as a crash does.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Has the server carry out a request of its operator, as `plexichat bot` and the like do.
    ///
    /// # Errors
    /// Why it was refused, or not heard.
    pub fn operate(&self, request: &Value) -> Result<String, String> {
        let asked = plexichat::net::control::ask(&self.folder, &request.to_string())?;
        asked.unwrap_or_else(|| Err("nobody listens".to_owned()))
    }

    /// Makes a bot of somebody.
    pub fn bot(&self, owner: &User, name: &str) -> User {
        let said = self.operate(&json!({"do": "bot_create", "name": name, "owner": owner.id}));
        let said = said.expect("the bot is made");
        // `rosie is bot 7 of …`, and the token on the last line.
        let id = said.split(' ').nth(3).expect("an id").to_owned();
        let token = said.lines().last().expect("a token").to_owned();
        User { id, name: name.to_owned(), token }
    }

    /// Creates an account and returns it with its token.
    pub fn register(&self, name: &str) -> User {
        register(&mut self.http(), name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the server on {} ---\n{}", self.address, self.log());
        }
    }
}

/// An account of a test.
#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    pub name: String,
    pub token: String,
}

/// Creates an account with [`PASSWORD`].
pub fn register(http: &mut Http, name: &str) -> User {
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let answer = http.post("/api/v1/auth/register", None, &body).want(200);
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    User { id: text(&answer["user"]["id"]), name: name.to_owned(), token: text(&answer["token"]) }
}

/// A folder that is gone at the end.
#[must_use]
pub fn temporary_folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("plexichat-").tempdir().expect("a temporary folder")
}

/// Names another build of the program that is to be tested, such as one as it is released.
pub const BINARY: &str = "TEST_BINARY";

/// The program with its data folder, untouched by the settings of whoever runs the tests.
#[must_use]
pub fn command(folder: &Path) -> Command {
    let built = || env!("CARGO_BIN_EXE_plexichat").into();
    let mut command = Command::new(std::env::var_os(BINARY).unwrap_or_else(built));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLEXICHAT") {
            command.env_remove(name);
        }
    }
    command.env("HOME", folder).current_dir(folder).stdin(Stdio::null());
    command.arg("--set").arg(format!("store.path={}", folder.display()));
    command
}

fn wait_or_kill(child: &mut Child, patience: Duration) -> ExitStatus {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("our child") {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait().expect("our child")
}

/// Starts a process that the kernel ends when the test process ends, however that happens.
///
/// The kernel counts the starting *thread* as the parent, and a test's thread ends with the test; so one thread that
/// stays starts them all.
pub fn spawn(mut command: Command) -> Child {
    type Orders = Sender<(Command, Sender<Child>)>;
    static STARTER: LazyLock<Mutex<Orders>> = LazyLock::new(|| {
        let (sender, receiver) = channel::<(Command, Sender<Child>)>();
        std::thread::spawn(move || {
            for (mut command, reply) in receiver {
                let _ = reply.send(command.spawn().expect("the program starts"));
            }
        });
        Mutex::new(sender)
    });
    // SAFETY: prctl is async-signal-safe and touches only the new process.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let (reply, child) = channel();
    STARTER.lock().expect("no panic while held").send((command, reply)).expect("the thread stays");
    child.recv().expect("the program starts")
}
