//! The server under attack: a process of its own, on a folder of its own.
//!
//! Invariant: it ends with its handle, and at the latest with this process.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use super::client::Target;
use crate::http::Origin;
use crate::system;

/// Lifts the limits for those who are to be served well.
pub const BYPASS: &str = "hostile-hour-friends-only";

/// What differs from the defaults: ports, a folder, short memories so that what a run leaves behind is gone soon, and a
/// secret for friends. Limits are as they are by default.
const OPTIONS: [&str; 7] = [
    "server.port=0",
    "metrics.port=0",
    "runtime.pin=false",
    "server.shutdown_grace_ms=300",
    "websocket.session_timeout_ms=15000",
    "websocket.replay_bytes=4194304",
    "logging.level=ERROR",
];

pub struct Server {
    child: Child,
    pub target: Target,
    pub folder: PathBuf,
    binary: PathBuf,
}

impl Server {
    /// Starts it; `options` are `key=value`, later ones win.
    pub fn start(binary: &Path, folder: &Path, options: &[String]) -> Result<Server, String> {
        let mut command = Command::new(binary);
        command.args(["--set", &format!("store.path={}", folder.display())]);
        command.args(["--set", &format!("rate_limiting.bypass_secret={BYPASS}")]);
        for option in OPTIONS.iter().copied().chain(options.iter().map(String::as_str)) {
            command.args(["--set", option]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // SAFETY: prctl is async-signal-safe and touches only the new process.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", binary.display()))?;
        let stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let (sender, receiver) = channel();
        let log = folder.with_extension("log");
        thread::spawn(move || {
            let mut file = fs::File::create(log).ok();
            let mut lines = stderr.lines().map_while(Result::ok);
            for line in lines.by_ref() {
                if let Some(url) = line.strip_prefix("  REST     http://") {
                    let _ = sender.send(url.split('/').next().unwrap_or_default().to_string());
                }
                if let Some(file) = &mut file {
                    let _ = writeln!(file, "{line}");
                }
            }
            let _ = lines.count();
        });
        let host = receiver.recv_timeout(Duration::from_secs(30)).map_err(|_| {
            let _ = child.kill();
            let mut why = String::new();
            let _ = fs::File::open(folder.with_extension("log")).and_then(|mut f| f.read_to_string(&mut why));
            format!("The server does not start: {why}")
        })?;
        let address = host.parse().map_err(|e| format!("{host}: {e}"))?;
        let stranger = Origin { host: host.clone(), bypass: None };
        let friend = Origin { host, bypass: Some(BYPASS.into()) };
        let target = Target { address, stranger, friend };
        Ok(Server { child, target, folder: folder.into(), binary: binary.into() })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn anon_kib(&self) -> u64 {
        system::memory(&[self.pid()]).anon_kib
    }

    /// Bytes of the store as it lies on disk.
    pub fn store_len(&self) -> u64 {
        fs::metadata(self.folder.join("data.mdb")).map_or(0, |file| file.len())
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Has the operator ask for something.
    pub fn operate(&self, arguments: &[&str]) -> std::io::Result<()> {
        let mut command = Command::new(&self.binary);
        command.args(["--set", &format!("store.path={}", self.folder.display())]).args(arguments);
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if status.success() { Ok(()) } else { Err(std::io::Error::other(arguments.join(" "))) }
    }

    /// Starts `plexichat backup` into a new folder.
    pub fn backup(&self, to: &Path) -> std::io::Result<Child> {
        Command::new(&self.binary)
            .args(["--set", &format!("store.path={}", self.folder.display()), "backup"])
            .arg(to)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: takes numbers only; the child is not reaped yet.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        for _ in 0..100 {
            if self.has_ended() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
