//! What needs a real browser: Chromium, driven over its DevTools protocol. Passkeys are made and used with the
//! authenticator that it has for tests; the console is looked at and used in `browser/console.rs`, the documentation in
//! `browser/docs.rs`.
//!
//! It comes from the system's packages (`apt-get install chromium`); `.ci/run` installs it.

#[path = "browser/console.rs"]
mod console;
#[path = "browser/docs.rs"]
mod docs;
mod support;
#[path = "browser/visit.rs"]
mod visit;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::websocket::Socket;
use support::{PATIENCE, Server, Value, json};

/// Set where the tools must be there.
const REQUIRED: &str = "PLEXICHAT_SCHEMA_TOOLS";

/// What the page of a client has: bytes as they stand in JSON, and calls.
const HELPERS: &str = r#"
const text = bytes => btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const bytes = text => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), c => c.charCodeAt(0));
const call = async (path, body, token) => {
    const headers = {'Content-Type': 'application/json', ...(token ? {Authorization: 'Bearer ' + token} : {})};
    const answer = await fetch('/api/v1/auth/passkeys/' + path, {method: 'POST', headers, body: JSON.stringify(body)});
    if (!answer.ok) throw new Error(path + ': ' + answer.status + ' ' + await answer.text());
    return answer.json();
};
const named = list => (list ?? []).map(known => ({...known, id: bytes(known.id)}));
const make = async token => {
    const {state, public_key} = await call('register/begin', {}, token);
    const user = {...public_key.user, id: bytes(public_key.user.id)};
    const excludeCredentials = named(public_key.excludeCredentials);
    const challenge = bytes(public_key.challenge);
    const made = await navigator.credentials.create({publicKey: {...public_key, challenge, user, excludeCredentials}});
    return call('register/finish', {
        state, name: 'browser', client_data: text(made.response.clientDataJSON),
        attestation_object: text(made.response.attestationObject),
    }, token);
};
const login = async body => {
    const {state, public_key} = await call('login/begin', body);
    const allowCredentials = named(public_key.allowCredentials);
    const challenge = bytes(public_key.challenge);
    const signed = await navigator.credentials.get({publicKey: {...public_key, challenge, allowCredentials}});
    return call('login/finish', {
        state, credential_id: text(signed.rawId), client_data: text(signed.response.clientDataJSON),
        authenticator_data: text(signed.response.authenticatorData), signature: text(signed.response.signature),
    });
};
"#;

struct Browser {
    child: Child,
    socket: Socket,
    /// Of the page that commands are for.
    session: Option<String>,
    count: u64,
    /// What it has told of unasked.
    told: Vec<Value>,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// `None` where there is none to start.
    fn start() -> Option<Browser> {
        let folder = support::temporary_folder();
        let mut command = Command::new("chromium");
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--disable-dev-shm-usage", "--remote-debugging-port=0"]);
        command.arg(format!("--user-data-dir={}", folder.path().display())).arg("about:blank");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                // Where nobody reads what is printed, a test that does not run must not pass.
                assert!(std::env::var_os(REQUIRED).is_none(), "chromium: {error}");
                println!("skipped: there is no chromium ({error}); apt-get install chromium");
                return None;
            }
        };
        let (port, path) = address(folder.path());
        let socket = Socket::try_connect(([127, 0, 0, 1], port).into(), &path, &[]);
        let socket = socket.unwrap_or_else(|answer| panic!("no upgrade: {}", answer.text()));
        Some(Browser { child, socket, session: None, count: 0, told: Vec::new(), _folder: folder })
    }

    /// What comes of a command.
    #[track_caller]
    fn command(&mut self, method: &str, params: Value) -> Value {
        self.ask(method, params).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The same, or why it was not carried out.
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.count += 1;
        let mut command = json!({"id": self.count, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.socket.send(&command);
        loop {
            let mut said = self.socket.json();
            if said["id"] == self.count {
                return if said["error"].is_null() { Ok(said["result"].take()) } else { Err(said) };
            }
            if said["method"].is_string() {
                self.told.push(said);
            }
        }
    }

    /// Opens a page.
    fn open(&mut self, url: &str) {
        let page = self.command("Target.createTarget", json!({"url": url}));
        let target = json!({"targetId": page["targetId"], "flatten": true});
        let session = self.command("Target.attachToTarget", target);
        self.session = session["sessionId"].as_str().map(str::to_owned);
        let began = Instant::now();
        while self.evaluate("document.readyState + location.protocol") != "completehttp:" {
            assert!(began.elapsed() < PATIENCE, "{url} does not load");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Gives it an authenticator that makes sure who uses it, and keeps passkeys.
    fn add_authenticator(&mut self) {
        self.command("WebAuthn.enable", json!({}));
        let options = json!({
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": true,
            "hasUserVerification": true, "isUserVerified": true,
        });
        self.command("WebAuthn.addVirtualAuthenticator", json!({"options": options}));
    }

    /// The value of an expression, waited for.
    #[track_caller]
    fn evaluate(&mut self, expression: &str) -> Value {
        self.try_evaluate(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    /// The same, or what the browser says when there is no page to ask: one is left for another.
    fn try_evaluate(&mut self, expression: &str) -> Result<Value, Value> {
        let params = json!({
            "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true,
        });
        let mut said = self.ask("Runtime.evaluate", params)?;
        assert!(said["exceptionDetails"].is_null(), "{expression}: {said}");
        Ok(said["result"]["value"].take())
    }

    fn run(&mut self, call: &str) -> Value {
        self.evaluate(&format!("(async () => {{ {HELPERS} return await {call}; }})()"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Port and path of the DevTools, which it writes into its folder.
fn address(folder: &Path) -> (u16, String) {
    let began = Instant::now();
    loop {
        let written = std::fs::read_to_string(folder.join("DevToolsActivePort")).unwrap_or_default();
        if let Some((port, path)) = written.split_once('\n') {
            return (port.parse().expect("a port"), path.trim().to_owned());
        }
        assert!(began.elapsed() < PATIENCE, "chromium does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_browser_makes_passkeys_and_logs_in_with_them() {
    let Some(mut browser) = Browser::start() else { return };
    let server = Server::start(&[]);
    let user = server.register("ada");
    browser.open(&format!("http://localhost:{}/api/v1/version", server.address().port()));
    browser.add_authenticator();
    let kept = browser.run(&format!("make('{}')", user.token));
    assert_eq!(kept["name"], "browser");
    let mut http = server.http();
    let list = http.get("/api/v1/auth/passkeys", Some(&user.token)).want(200);
    assert_eq!(list, json!([kept]));
    // Without a user name, and with one.
    for body in ["{}", "{username: 'ada'}"] {
        let login = browser.run(&format!("login({body})"));
        assert_eq!((&login["status"], &login["user"]["id"]), (&json!("success"), &json!(user.id)));
        let token = login["token"].as_str().expect("a token");
        assert_eq!(http.get("/api/v1/users/@me", Some(token)).want(200)["username"], "ada");
    }
    // The authenticator has one of this account already.
    let again = browser.run(&format!("make('{}').then(() => 'made', error => error.name)", user.token));
    assert_eq!(again, "InvalidStateError");
}
