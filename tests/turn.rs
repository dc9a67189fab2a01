//! Credentials for TURN servers, tried on coturn: it lets in whom the server has given some, for as long as they last.
//!
//! It comes from the system's packages (`apt-get install coturn`); `.ci/run` installs it.

mod support;

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{PATIENCE, Server};

/// Set where the tools must be there.
const REQUIRED: &str = "PLEXICHAT_SCHEMA_TOOLS";
const SECRET: &str = "a secret that both know";

struct Turn {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Turn {
    /// `None` where there is none to start.
    fn start() -> Option<Turn> {
        let folder = support::temporary_folder();
        let port = free_port();
        let file = |name: &str| folder.path().join(name).display().to_string();
        let mut command = Command::new("turnserver");
        command.args([
            "-n",
            "--use-auth-secret",
            "--realm=plexichat.example",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
        ]);
        command.args(["--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", "--allow-loopback-peers"]);
        command.args(["--static-auth-secret", SECRET, "--listening-port", &port.to_string()]);
        command.args(["--userdb", &file("db"), "--pidfile", &file("pid"), "--log-file", &file("log")]);
        command.current_dir(folder.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        match command.spawn() {
            Ok(child) => {
                let turn = Turn { child, port, _folder: folder };
                turn.wait();
                Some(turn)
            }
            Err(error) => {
                // Where nobody reads what is printed, a test that does not run must not pass.
                assert!(std::env::var_os(REQUIRED).is_none(), "turnserver: {error}");
                println!("skipped: there is no turnserver ({error}); apt-get install coturn");
                None
            }
        }
    }

    fn wait(&self) {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "turnserver does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it gives somebody a relay: coturn's own client asks it over TCP, and sends itself a packet through it.
    fn lets_in(&self, username: &str, credential: &str) -> bool {
        let mut command = Command::new("turnutils_uclient");
        command.args(["-t", "-y", "-n", "1", "-m", "1", "-c", "-u", username, "-w", credential]);
        command.args(["-p", &self.port.to_string(), "127.0.0.1"]);
        let output = command.stdin(Stdio::null()).output().expect("it comes with turnserver");
        output.status.success()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free for both.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

#[test]
fn a_turn_server_lets_in_whom_we_have_given_credentials() {
    let Some(turn) = Turn::start() else { return };
    let secret = format!("voice.turn_secret={SECRET}");
    let urls = format!("voice.turn_urls=turn:127.0.0.1:{}?transport=tcp", turn.port);
    let server = Server::start(&[&secret, &urls, "voice.stun_urls="]);
    let user = server.register("ada");
    let body = server.http().get("/api/v1/voice/ice-servers", Some(&user.token)).want(200);
    let told = &body["ice_servers"][0];
    let text = |name: &str| told[name].as_str().expect("a text").to_owned();
    let (username, credential) = (text("username"), text("credential"));
    assert!(turn.lets_in(&username, &credential), "{username}");
    assert!(!turn.lets_in(&username, "wrong"), "with another password");
    // Whoever makes it last longer has another name, and not the password for it.
    let (until, whose) = username.split_once(':').expect("when it ends and whose it is");
    let longer = format!("{}:{whose}", until.parse::<u64>().expect("a time") + 60);
    assert!(!turn.lets_in(&longer, &credential), "with another name");
}
