//! The server behind the proxies of `tuning/proxy/`, each as its file says but for names, ports and certificates: what
//! clients do gets through, and `plexichat check --url` says so, or what is in the way.
//!
//! They come from the system's packages (`apt-get install caddy nginx-light haproxy`); `.ci/run` installs them.
//! `PROXY_SECONDS=300` has the gateway held for five minutes, with the heartbeats that clients have.

use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tungstenite::{Message, WebSocket};

use crate::support::http::read_answer;
use crate::support::{self, Answer, PASSWORD, PATIENCE, Server, Value, json};

/// Set where the tools must be there.
const REQUIRED: &str = "PLEXICHAT_SCHEMA_TOOLS";
/// Where the client comes from: an address of this machine that no proxy has.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);
/// A file with a heavier body than proxies take by default.
const FILE_LEN: usize = 5 * 1024 * 1024;

/// How long the gateway is held.
fn hold() -> Option<Duration> {
    let seconds = std::env::var("PROXY_SECONDS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("PROXY_SECONDS is a number")))
}

/// Certificate and key of `localhost`, and the authority that vouches for it.
struct Certificates {
    authority: PathBuf,
    certificate: String,
    key: String,
}

fn certificates(folder: &Path) -> Certificates {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    // HAProxy wants both in one file.
    write("both.pem", &format!("{certificate}{key}"));
    Certificates {
        authority: write("authority.pem", &authority.pem()),
        certificate: write("certificate.pem", &certificate).to_str().unwrap().to_owned(),
        key: write("key.pem", &key).to_str().unwrap().to_owned(),
    }
}

/// A proxy of the kit.
struct Kind {
    program: &'static str,
    file: &'static str,
    /// What the server has to be told, as the head of the file says.
    options: &'static [&'static str],
    arguments: &'static [&'static str],
    /// The same with what only looks at the configuration.
    test: &'static [&'static str],
}

const BY_HEADER: &[&str] = &["api.trusted_proxies=127.0.0.1", "api.trust_x_forwarded_for=true"];

const CADDY: Kind = Kind {
    program: "caddy",
    file: "Caddyfile",
    options: BY_HEADER,
    arguments: &["run", "--adapter", "caddyfile", "--config", "FILE"],
    test: &["validate", "--adapter", "caddyfile", "--config", "FILE"],
};

const NGINX: Kind = Kind {
    program: "nginx",
    file: "nginx.conf",
    options: BY_HEADER,
    arguments: &["-p", "FOLDER", "-e", "stderr", "-c", "FILE"],
    test: &["-p", "FOLDER", "-e", "stderr", "-t", "-c", "FILE"],
};

const HAPROXY: Kind = Kind {
    program: "haproxy",
    file: "haproxy.cfg",
    options: BY_HEADER,
    arguments: &["-db", "-f", "FILE"],
    test: &["-c", "-f", "FILE"],
};

/// The server is told of clients by the PROXY protocol, and by its options of TLS.
const HAPROXY_TCP: Kind =
    Kind { file: "haproxy-tcp.cfg", options: &["http.proxy_protocol_from=127.0.0.1"], ..HAPROXY };

/// A proxy in front of a server, on a port of its own.
struct Proxy {
    child: Child,
    port: u16,
    /// Where http is led to https.
    plain_port: u16,
    config: Arc<ClientConfig>,
    authority: PathBuf,
    folder: tempfile::TempDir,
}

/// Replaces what is there exactly so often.
fn replaced(text: &str, pairs: &[(String, String, usize)]) -> String {
    pairs.iter().fold(text.to_owned(), |text, (from, to, count)| {
        assert_eq!(text.matches(from).count(), *count, "{from:?} in\n{text}");
        text.replace(from, to)
    })
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

impl Kind {
    /// `None` where there is none to start. `spoil`: what is changed in its file, each part once.
    fn start(&self, upstream: u16, port: u16, spoil: &[(&str, &str)]) -> Option<Proxy> {
        let folder = support::temporary_folder();
        let certificates = certificates(folder.path());
        let plain_port = free_port();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning/proxy").join(self.file);
        let spoil = spoil.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned(), 1));
        let text = replaced(&std::fs::read_to_string(path).unwrap(), &spoil.collect::<Vec<_>>());
        let file = folder.path().join(self.file);
        std::fs::write(&file, self.fitted(&text, &certificates, folder.path(), (upstream, port, plain_port)))
            .unwrap();
        let run = |arguments: &[&str]| {
            let mut command = Command::new(self.program);
            for argument in arguments {
                match *argument {
                    "FILE" => command.arg(&file),
                    "FOLDER" => command.arg(folder.path()),
                    other => command.arg(other),
                };
            }
            command.current_dir(folder.path()).env("HOME", folder.path()).stdin(Stdio::null());
            command.env("XDG_DATA_HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
            command
        };
        match run(self.test).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                // Where nobody reads what is printed, a test that does not run must not pass.
                assert!(std::env::var_os(REQUIRED).is_none(), "{}: {error}", self.program);
                println!("skipped: there is no {} ({error})", self.program);
                return None;
            }
        }
        let mut command = run(self.arguments);
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let child = support::spawn(command);
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&certificates.authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let proxy = Proxy { child, port, plain_port, config, authority: certificates.authority, folder };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "{} does not listen", self.program);
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(proxy)
    }

    /// The file with the names, ports and certificates of here.
    fn fitted(&self, text: &str, own: &Certificates, folder: &Path, ports: (u16, u16, u16)) -> String {
        let (upstream, port, plain) = ports;
        // What stands at the head is for people.
        let body = text.find("\n\n").expect("a head");
        let text = &text[body..];
        let pair = |from: &str, to: String, count| (from.to_owned(), to, count);
        let server = pair("127.0.0.1:8000", format!("127.0.0.1:{upstream}"), 1);
        let both = folder.join("both.pem").display().to_string();
        // Half of them for clients: a test may not open so many files.
        let few = pair("maxconn 50000", "maxconn 500".into(), 1);
        let both = pair("/etc/haproxy/certs/chat.example.pem", both, 1);
        let listens = pair("bind :443 ", format!("bind 127.0.0.1:{port} "), 1);
        match self.file {
            "Caddyfile" => {
                let tls = format!("https://localhost:{port} {{\n\ttls {} {}\n", own.certificate, own.key);
                let pairs = [
                    pair(
                        "{\n\tservers",
                        "{\n\tadmin off\n\tauto_https disable_redirects\n\tservers".into(),
                        1,
                    ),
                    pair("chat.example {\n", tls, 1),
                    server,
                ];
                replaced(text, &pairs)
            }
            "nginx.conf" => {
                let live = "/etc/letsencrypt/live/chat.example";
                let pairs = [
                    pair(&format!("{live}/fullchain.pem"), own.certificate.clone(), 1),
                    pair(&format!("{live}/privkey.pem"), own.key.clone(), 1),
                    server,
                    pair("listen 80;", format!("listen 127.0.0.1:{plain};"), 1),
                    pair("listen [::]:80;", String::new(), 1),
                    pair("listen 443 ", format!("listen 127.0.0.1:{port} "), 1),
                    pair("listen [::]:443 ssl http2;", String::new(), 1),
                    pair("server_name chat.example;", "server_name localhost;".into(), 2),
                ];
                // Who is no root cannot choose, and need not.
                // SAFETY: a plain system call.
                let user = if unsafe { libc::geteuid() } == 0 { "user root;" } else { "" };
                let places = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
                let places: String =
                    places.iter().map(|name| format!("{name}_temp_path {name};\n")).collect();
                let text = replaced(text, &pairs);
                format!(
                    "daemon off; master_process off; pid pid; {user}\nevents {{}}\nhttp {{\naccess_log off;\n{places}{text}\n}}\n"
                )
            }
            "haproxy.cfg" => {
                let plain = pair("bind :80\n", format!("bind 127.0.0.1:{plain}\n"), 1);
                replaced(text, &[server, both, listens, few, plain])
            }
            _ => replaced(text, &[server, both, listens, few]),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            eprintln!("--- log of the proxy ---\n{log}");
        }
    }
}

type Line = StreamOwned<ClientConnection, TcpStream>;

impl Proxy {
    /// A connection from [`CLIENT`].
    fn line(&self) -> Line {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&std::net::SocketAddr::from((CLIENT, 0)).into()).unwrap();
        socket.connect(&std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)).into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        StreamOwned::new(
            ClientConnection::new(self.config.clone(), "localhost".try_into().unwrap()).unwrap(),
            stream,
        )
    }

    fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<(&str, &[u8])>) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nX-Forwarded-For: 203.0.113.99\r\nX-Real-IP: 203.0.113.98\r\n\
             Forwarded: for=203.0.113.97\r\nConnection: close\r\n",
            self.port
        );
        if let Some(token) = token {
            request += &format!("Authorization: Bearer {token}\r\n");
        }
        let (kind, body) = body.unwrap_or_default();
        if !kind.is_empty() {
            request += &format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        }
        let mut line = BufReader::new(self.line());
        line.get_mut().write_all(&[request.as_bytes(), b"\r\n", body].concat()).unwrap();
        let answer = read_answer(&mut line, false).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        Answer { request: format!("{method} {path}"), ..answer }
    }

    fn json(&self, method: &str, path: &str, token: Option<&str>, body: &Value) -> Value {
        let body = body.to_string();
        self.call(method, &format!("/api/v1{path}"), token, Some(("application/json", body.as_bytes())))
            .want(200)
    }

    fn gateway(&self, url: &str) -> WebSocket<Line> {
        let (mut socket, answer) = tungstenite::client(url, self.line()).expect("a WebSocket");
        assert_eq!(answer.status(), 101);
        assert_eq!(next(&mut socket)["op"], 10);
        socket
    }

    /// `plexichat check --url`, which trusts the authority of this proxy.
    fn check(&self, url: &str, more: &[&str], password: &str) -> Output {
        let mut command = support::command(self.folder.path());
        command.args(["check", "--url", url]).args(more).env("SSL_CERT_FILE", &self.authority);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        writeln!(child.stdin.take().expect("a pipe"), "{password}").unwrap();
        child.wait_with_output().expect("our child")
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn say(socket: &mut WebSocket<Line>, message: &Value) {
    socket.send(Message::text(message.to_string())).expect("an open connection");
}

fn next(socket: &mut WebSocket<Line>) -> Value {
    loop {
        match socket.read().expect("an open connection") {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

/// The next dispatch of that name.
fn event(socket: &mut WebSocket<Line>, name: &str) -> Value {
    loop {
        let message = next(socket);
        if message["t"] == name {
            return message;
        }
    }
}

/// Server and proxy, each told of the other.
fn pair(kind: &Kind, spoil: &[(&str, &str)], more: &[&str]) -> Option<(Server, Proxy)> {
    let port = free_port();
    let interval = if hold().is_some() { 45_000 } else { 1_000 };
    let mut options = vec![format!("websocket.heartbeat_interval_ms={interval}")];
    options.extend(kind.options.iter().chain(more).map(|option| (*option).to_owned()));
    if kind.file == HAPROXY_TCP.file {
        options.push(format!("websocket.public_url=wss://localhost:{port}/gateway"));
    }
    let server = Server::start(&options.iter().map(String::as_str).collect::<Vec<_>>());
    let proxy = kind.start(server.address().port(), port, spoil)?;
    Some((server, proxy))
}

fn clients_get_through(kind: &Kind) {
    let Some((_server, proxy)) = pair(kind, &[], &[]) else { return };
    // Registration and login, and where they are seen to come from.
    let account = json!({"username": "ada", "email": "ada@example.org", "password": PASSWORD});
    proxy.json("POST", "/auth/register", None, &account);
    let answer = proxy.json("POST", "/auth/login", None, &json!({"username": "ada", "password": PASSWORD}));
    let token = text(&answer["token"]);
    let ada = Some(token.as_str());
    let sessions = proxy.call("GET", "/api/v1/auth/sessions", ada, None).want(200);
    let addresses: Vec<String> =
        sessions.as_array().unwrap().iter().map(|row| text(&row["ip_address"])).collect();
    assert_eq!(addresses, [CLIENT.to_string(), CLIENT.to_string()]);
    // A file comes back as it went.
    let channel = text(&proxy.json("POST", "/servers", ada, &json!({"name": "proxy"}))["default_channel_id"]);
    let messages = format!("/channels/{channel}/messages");
    let mut random = fastrand::Rng::with_seed(5);
    let file: Vec<u8> = std::iter::repeat_with(|| random.alphanumeric() as u8).take(FILE_LEN).collect();
    let head = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n";
    let form = [&head[..], &file, b"\r\n--xyz--\r\n"].concat();
    let form = ("multipart/form-data; boundary=xyz", form.as_slice());
    let path = format!("/api/v1/channels/{channel}/attachments");
    let attachment = proxy.call("POST", &path, ada, Some(form)).want(200);
    let url = text(&attachment["url"]);
    let path = url.split_once("://").map_or(url.as_str(), |(_, rest)| &rest[rest.find('/').unwrap()..]);
    let back = proxy.call("GET", path, ada, None);
    assert!(back.status == 200 && back.body == file, "{} {} bytes", back.status, back.body.len());
    // The gateway, for a while.
    let url = format!("wss://localhost:{}/gateway", proxy.port);
    let mut socket = proxy.gateway(&url);
    say(&mut socket, &json!({"op": 2, "d": {"token": token, "intents": 65535}}));
    let ready = event(&mut socket, "READY");
    assert_eq!(ready["d"]["resume_gateway_url"], url.as_str());
    hold_gateway(&mut socket);
    proxy.json("POST", &messages, ada, &json!({"content": "before"}));
    let seen = event(&mut socket, "MESSAGE_CREATE");
    assert_eq!(seen["d"]["content"], "before");
    // It breaks, something happens, and the session goes on where it was told to.
    socket.get_ref().sock.shutdown(std::net::Shutdown::Both).unwrap();
    proxy.json("POST", &messages, ada, &json!({"content": "meanwhile"}));
    let mut socket = proxy.gateway(ready["d"]["resume_gateway_url"].as_str().unwrap());
    let resume = json!({"token": token, "session_id": ready["d"]["session_id"], "seq": seen["s"]});
    say(&mut socket, &json!({"op": 6, "d": resume}));
    event(&mut socket, "RESUMED");
    assert_eq!(event(&mut socket, "MESSAGE_CREATE")["d"]["content"], "meanwhile");
    // So says the program itself.
    let output = proxy.check(&proxy.url(), &["--user", "ada", "--hold", "2"], PASSWORD);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains("\nClients get through to localhost:"), "{said}");
    for step in [
        "connection",
        "server",
        "a body of 5 MB",
        "login",
        "client address",
        "gateway",
        "heartbeat",
        "held",
        "resume",
    ] {
        assert!(said.lines().any(|line| line.starts_with(&format!("ok      {step} "))), "{step} in\n{said}");
    }
    let sessions = proxy.call("GET", "/api/v1/auth/sessions", ada, None).want(200);
    assert_eq!(sessions.as_array().unwrap().len(), 2, "the session of the check is over");
}

/// Nothing but heartbeats, each of which is answered.
fn hold_gateway(socket: &mut WebSocket<Line>) {
    let (pause, count) = match hold() {
        Some(hold) => (Duration::from_secs(45), hold.as_secs().div_ceil(45)),
        None => (Duration::from_secs(1), 3),
    };
    for _ in 0..count {
        // Whoever does not read answers no ping, and is closed.
        let until = Instant::now() + pause;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.get_ref().sock.set_read_timeout(Some(left)).unwrap();
            match socket.read() {
                Ok(Message::Close(frame)) => panic!("closed: {frame:?}"),
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                read => drop(read.expect("an open connection")),
            }
        }
        socket.get_ref().sock.set_read_timeout(Some(PATIENCE)).unwrap();
        say(socket, &json!({"op": 1, "d": null}));
        while next(socket)["op"] != 11 {}
    }
}

#[test]
fn caddy() {
    clients_get_through(&CADDY);
}

#[test]
fn nginx() {
    clients_get_through(&NGINX);
}

#[test]
fn haproxy() {
    clients_get_through(&HAPROXY);
}

#[test]
fn haproxy_with_the_proxy_protocol() {
    clients_get_through(&HAPROXY_TCP);
}

/// What `check --url` says of an nginx that is set up so.
fn check_says(spoil: &[(&str, &str)], more: &[&str], want: &[&str]) {
    let Some((server, proxy)) = pair(&NGINX, spoil, &[]) else { return };
    server.register("ada");
    let output = proxy.check(&proxy.url(), &[&["--user", "ada"], more].concat(), PASSWORD);
    let said = String::from_utf8(output.stdout).unwrap();
    for part in want {
        assert!(said.contains(part), "{part:?} for {spoil:?} in\n{said}");
    }
    let fails = want.iter().any(|part| part.starts_with("ERROR"));
    assert_eq!(output.status.code(), Some(i32::from(fails)), "{said}");
}

#[test]
fn the_check_says_what_is_wrong_in_a_proxy() {
    check_says(
        &[("        proxy_set_header Upgrade $http_upgrade;\n", "")],
        &[],
        &["ERROR   gateway ", "proxy_set_header Upgrade $http_upgrade"],
    );
    check_says(
        &[("client_max_body_size 0;", "client_max_body_size 1m;")],
        &[],
        &["ERROR   a body of 5 MB", "413", "client_max_body_size 0", "ok      resume "],
    );
    check_says(
        &[(
            "proxy_set_header X-Forwarded-Proto $scheme;\n        proxy_set_header X-Forwarded-For \
             $proxy_add_x_forwarded_for;\n        proxy_set_header Upgrade",
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n        proxy_set_header Upgrade",
        )],
        &[],
        &["ERROR   resume address", "ws://localhost:", "X-Forwarded-Proto: https"],
    );
    check_says(
        &[(
            "proxy_set_header Connection \"upgrade\";\n        proxy_set_header Host $http_host;",
            "proxy_set_header Connection \"upgrade\";\n        proxy_set_header Host elsewhere.example;",
        )],
        &[],
        &["warning resume address", "wss://elsewhere.example/gateway", "ERROR   resume "],
    );
    check_says(
        &[("proxy_set_header Connection \"\";", "proxy_set_header Connection \"\"; proxy_bind 127.0.0.5;")],
        &[],
        &["ERROR   client address", "127.0.0.5", "api.trusted_proxies = [\"127.0.0.5\"]"],
    );
    check_says(
        &[("proxy_read_timeout 180s;", "proxy_read_timeout 400ms;")],
        &["--hold", "3"],
        &["ERROR   held", "proxy_read_timeout"],
    );
    check_says(&[("location / {", "location /other {")], &[], &["ERROR   server", "404", "api.api_prefix"]);
}

#[test]
fn the_check_says_what_is_wrong_before_and_behind_a_proxy() {
    let Some((mut server, proxy)) = pair(&NGINX, &[], &[]) else { return };
    let says = |url: &str, more: &[&str], password: &str, code: i32, want: &[&str]| {
        let output = proxy.check(url, more, password);
        let said = String::from_utf8(output.stdout).unwrap();
        for part in want {
            assert!(said.contains(part), "{part:?} for {url} in\n{said}");
        }
        assert_eq!(output.status.code(), Some(code), "{said}");
    };
    server.register("ada");
    let url = proxy.url();
    // Without an account everything is tried that needs none.
    says(&url, &[], "", 0, &["ok      gateway", "hint    client address", "hint    resume ", "--user NAME"]);
    says(&url, &["--user", "ada"], "wrong", 1, &["ERROR   login", "ok      gateway"]);
    let other = format!("https://127.0.0.1:{}", proxy.port);
    says(&other, &[], "", 1, &["the certificate is not for 127.0.0.1"]);
    says(&format!("https://localhost:{}", proxy.plain_port), &[], "", 1, &["no TLS is spoken on this port"]);
    let plain = format!("http://localhost:{}", proxy.plain_port);
    says(&plain, &[], "", 1, &["ERROR   server", "308", "give that with --url"]);
    says(
        &format!("https://localhost:{}", free_port()),
        &[],
        "",
        1,
        &["ERROR   connection", "nothing listens there"],
    );
    says("https://no.such.invalid", &[], "", 1, &["no.such.invalid has no address"]);
    let mut stranger = support::command(proxy.folder.path());
    stranger.args(["check", "--url", &url]).env("SSL_CERT_FILE", "/etc/hostname");
    let said = String::from_utf8(stranger.output().unwrap().stdout).unwrap();
    assert!(said.contains("nobody whom this machine trusts"), "{said}");
    server.kill();
    says(&url, &[], "", 1, &["ERROR   server", "502", "does not reach the server"]);
}
