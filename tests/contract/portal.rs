//! What the pages of the documentation show is what happens: every example of every page is carried out on a real
//! server, in the order of its page, and what it shows is compared by its shape.
//!
//! Blocks of code say by their info string what they are:
//!
//! | info | is |
//! |---|---|
//! | `http request name=path …` | sent; what stands at the paths of the answer is kept under the names |
//! | `json answer 404` | the answer to the request before it: its status (200 without it) and the shape of its body |
//! | `json send` | sent over the gateway, to which the page connects at its first such block |
//! | `json receive NAME name=path …` | what comes: the next event of that name, or the next message that is no event |
//! | `json reconnect` | not shown: closes the gateway connection, so that the next block opens another |
//! | `toml` | a configuration that the program takes |
//! | `sh` | commands of the program that there are |
//! | `text` | anything that is no request |
//!
//! `UPDATE_DOCS=1 cargo test --test contract -- portal` writes the answers into the pages. Review the diff.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::{self, Http, Server, Socket, Value, json};

/// Servers of pages that show what is not usual.
const OPTIONS: &[(&str, &[&str])] =
    &[("rate-limits", &["rate_limiting.enabled=true", "rate_limiting.buckets.default=1/60s fixed"])];

/// These begin with nobody.
const EMPTY: &[&str] = &["getting-started", "operating"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/docs/pages")).join(format!("{name}.md"))
}

/// A page in pieces: text as it is, and blocks of code.
enum Piece {
    Text(String),
    Block { info: String, code: String },
}

fn pieces(text: &str) -> Vec<Piece> {
    let mut out = vec![Piece::Text(String::new())];
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix("```"), out.last_mut().expect("there is one")) {
            (Some(_), _) if inside => {
                inside = false;
                out.push(Piece::Text(String::new()));
            }
            (Some(info), _) => {
                inside = true;
                out.push(Piece::Block { info: info.trim().to_string(), code: String::new() });
            }
            (None, Piece::Text(text) | Piece::Block { code: text, .. }) => text.push_str(line),
        }
    }
    assert!(!inside, "a block does not end");
    out
}

fn whole(pieces: &[Piece]) -> String {
    let text = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Block { info, code } => format!("```{info}\n{code}```\n"),
    };
    pieces.iter().map(text).collect()
}

/// What happens on a page.
struct Walk {
    server: Server,
    http: Http,
    socket: Option<Socket>,
    known: HashMap<String, String>,
    /// What the request before was, and its status and body.
    last: Option<(String, u16, String)>,
    /// Writes instead of comparing.
    updates: bool,
    count: usize,
}

impl Walk {
    fn new(name: &str, updates: bool) -> Walk {
        let options = OPTIONS.iter().find(|(page, _)| *page == name).map_or(&[][..], |(_, options)| options);
        let server = Server::start(options);
        let http = server.http();
        let mut walk =
            Walk { server, http, socket: None, known: HashMap::new(), last: None, updates, count: 0 };
        if !EMPTY.contains(&name) {
            walk.furnish();
        }
        walk
    }

    /// Ada's server, with Babbage in it and Hopper outside, something said, a bot.
    fn furnish(&mut self) {
        for (key, name) in [("", "ada"), ("other_", "babbage"), ("third_", "hopper")] {
            let user = self.server.register(name);
            let id = if key.is_empty() { "user_id".to_string() } else { format!("{key}id") };
            self.known.insert(id, user.id.clone());
            self.known.insert(format!("{key}token"), user.token.clone());
        }
        let token = self.known["token"].clone();
        let mut call = |method: &str, path: &str, token: &str, body: Value| {
            let body = Some(&body).filter(|body| !body.is_null());
            self.http.call(method, &format!("/api/v1{path}"), Some(token), body).want(200)
        };
        let server = call("POST", "/servers", &token, json!({"name": "Analytical Engine"}));
        let id = server["id"].as_str().expect("an id").to_string();
        let channels = call("GET", &format!("/servers/{id}/channels"), &token, Value::Null);
        let roles = call("GET", &format!("/servers/{id}/roles"), &token, Value::Null);
        let everyone = roles.as_array().and_then(|list| list.iter().find(|role| role["name"] == "@everyone"));
        let everyone = everyone.expect("there is one")["id"].as_str().expect("an id").to_string();
        let channel = channels[0]["id"].as_str().expect("an id").to_string();
        let voice = json!({"name": "Parlour", "channel_type": "voice"});
        let voice = call("POST", &format!("/servers/{id}/channels"), &token, voice)["id"].clone();
        let invite = call("POST", &format!("/channels/{channel}/invites"), &token, json!({}))["code"].clone();
        let code = invite.as_str().expect("a code");
        call("POST", &format!("/channels/invites/{code}"), &self.known["other_token"], Value::Null);
        let content = json!({"content": format!("Hello <@{}>", self.known["other_id"])});
        let message = call("POST", &format!("/channels/{channel}/messages"), &token, content)["id"].clone();
        let ada = support::User { id: self.known["user_id"].clone(), name: "ada".into(), token };
        let bot = self.server.bot(&ada, "rosie");
        for (name, value) in [
            ("server_id", id),
            ("everyone_id", everyone),
            ("channel_id", channel),
            ("voice_channel_id", voice.as_str().expect("an id").to_string()),
            ("message_id", message.as_str().expect("an id").to_string()),
            ("bot_token", bot.token),
        ] {
            self.known.insert(name.to_string(), value);
        }
    }

    /// Text with what is known in the place of names in braces.
    fn told(&self, text: &str) -> String {
        self.known
            .iter()
            .fold(text.to_string(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    fn keep(&mut self, wishes: &[&str], value: &Value) {
        for wish in wishes {
            let (name, path) = wish.split_once('=').unwrap_or_else(|| panic!("{wish} is no name=path"));
            let found = path.split('.').fold(value, |value, key| match key.parse::<usize>() {
                Ok(index) => &value[index],
                Err(_) => &value[key],
            });
            let found = found.as_str().unwrap_or_else(|| panic!("no text at {path} of {value}"));
            self.known.insert(name.to_string(), found.to_string());
        }
    }

    fn block(&mut self, info: &str, code: &mut String) {
        let words: Vec<&str> = info.split_whitespace().collect();
        self.count += 1;
        match words[..] {
            ["http", "request", ref wishes @ ..] => self.request(code, wishes),
            ["json", "answer", ref status @ ..] => self.answer(status.first().copied(), code),
            ["json", "send"] => {
                let message = self.told(code);
                let message: Value =
                    serde_json::from_str(&message).unwrap_or_else(|error| panic!("{error}: {message}"));
                self.socket().send(&message);
            }
            ["json", "receive", ref wishes @ ..] => self.receive(wishes, code),
            ["json", "reconnect"] => self.socket = None,
            ["toml"] => self.configuration(code),
            ["sh"] => self.commands(code),
            // A whole client, which tests/clients.rs runs as it stands in its file: nothing else is shown of these.
            ["python" | "js" | "html" | "bash"] => {
                let file = code.trim().strip_prefix("{{client:").and_then(|rest| rest.strip_suffix("}}"));
                let file = file.unwrap_or_else(|| panic!("no client: {code}"));
                assert!(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients")).join(file).exists());
            }
            ["text"] => {
                let methods = ["GET /", "POST /", "PUT /", "PATCH /", "DELETE /"];
                let request = code.lines().find(|line| methods.iter().any(|method| line.starts_with(method)));
                assert_eq!(request, None, "a request that is not carried out");
            }
            _ => panic!("nobody knows what to do with a block of {info:?}"),
        }
    }

    fn request(&mut self, code: &str, wishes: &[&str]) {
        self.done();
        let text = self.told(code);
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let mut lines = head.lines();
        let first = lines.next().expect("a request has a first line");
        let (method, path) = first.split_once(' ').expect("METHOD path");
        assert!(!first.contains('{') && !head.contains("{t"), "a name that stands for nothing: {head}");
        let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").expect("a header")).collect();
        let is_form = headers.iter().any(|(_, value)| value.starts_with("multipart/"));
        let body = if is_form { body.replace('\n', "\r\n") } else { body.trim_end().to_string() };
        let body = Some(body.as_bytes()).filter(|body| !body.is_empty());
        let needs = wishes.iter().any(|wish| wish.contains('='));
        let answer = self.http.request(method, path, &headers, body);
        if needs {
            let value = answer.want(200);
            self.keep(wishes, &value);
        }
        self.last = Some((text.clone(), answer.status, answer.text()));
    }

    /// What was not shown has succeeded all the same.
    fn done(&mut self) {
        if let Some((request, status, body)) = self.last.take() {
            assert!((200..300).contains(&status), "{request}\nis answered with {status}: {body}");
        }
    }

    fn answer(&mut self, status: Option<&str>, code: &mut String) {
        let status: u16 = status.unwrap_or("200").parse().expect("a status is a number");
        let (request, got, body) = self.last.take().expect("an answer stands behind its request");
        assert_eq!(got, status, "{request}\nis answered with {body}");
        self.compare(&request, &body, code);
    }

    fn compare(&self, what: &str, body: &str, code: &mut String) {
        let body = body.replace(&self.server.address().to_string(), "127.0.0.1:8000");
        if self.updates {
            *code = format!("{}\n", pretty(&body));
            return;
        }
        let read = |text: &str| serde_json::from_str::<Value>(text);
        let shown = read(code).unwrap_or_else(|error| panic!("{error}: behind {what} is shown\n{code}"));
        let got = read(&body).expect("an answer is JSON");
        if let Err(wrong) = same_shape(&shown, &got, "$") {
            panic!("{what}\nis shown with\n{code}\nand answered with\n{body}\n{wrong}");
        }
    }

    fn socket(&mut self) -> &mut Socket {
        let address = self.server.address();
        self.socket.get_or_insert_with(|| Socket::connect(address))
    }

    fn receive(&mut self, wishes: &[&str], code: &mut String) {
        self.done();
        let (name, wishes) = match wishes.split_first() {
            Some((name, rest)) if !name.contains('=') => (Some(*name), rest),
            _ => (None, wishes),
        };
        let deadline = Instant::now() + support::PATIENCE;
        let message = loop {
            let message = self.socket().json();
            match name {
                Some(name) if message["t"] == name => break message,
                None if message["op"] != 0 => break message,
                _ => assert!(Instant::now() < deadline, "no {name:?}, but {message}"),
            }
        };
        self.keep(wishes, &message);
        let text = self.socket().last_text().to_string();
        self.compare(name.unwrap_or("the next message"), &text, code);
    }

    fn configuration(&self, code: &str) {
        let folder = support::temporary_folder();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, code).expect("a folder of ours");
        let ran = support::command(folder.path()).arg("--config").arg(&file).arg("config").output();
        let ran = ran.expect("the program runs");
        assert!(ran.status.success(), "{code}\n{}", String::from_utf8_lossy(&ran.stderr));
    }

    fn commands(&self, code: &str) {
        let folder = support::temporary_folder();
        for line in code.lines() {
            let (_, arguments) =
                line.split_once("plexichat").unwrap_or_else(|| panic!("{line} is not of this program"));
            let names: Vec<&str> = arguments
                .split_whitespace()
                .take_while(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
                .collect();
            let is_command = |word: &&str| !word.starts_with('-');
            let known = names.iter().take_while(|word| is_command(word));
            let two =
                names.first().is_some_and(|name| ["bot", "access-token", "user", "keys"].contains(name));
            let known: Vec<&str> = known.take(if two { 2 } else { 1 }).copied().collect();
            let ran = support::command(folder.path())
                .args(&known)
                .arg("--help")
                .output()
                .expect("the program runs");
            assert!(ran.status.success(), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
            let help = String::from_utf8_lossy(&ran.stdout).into_owned();
            for flag in arguments.split_whitespace().filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().expect("a first part");
                assert!(help.contains(flag), "{line}: no {flag} in\n{help}");
            }
        }
    }
}

/// Whether an answer has what is shown, everywhere and of the same kinds, and nothing else. Lists are compared by their
/// first items; null stands for anything.
fn same_shape(shown: &Value, got: &Value, at: &str) -> Result<(), String> {
    match (shown, got) {
        (Value::Object(shown), Value::Object(got)) if is_by_id(shown) && is_by_id(got) => {
            let first = |object: &serde_json::Map<String, Value>| object.values().next().cloned();
            same_shape(&json!([first(shown)]), &json!([first(got)]), at)
        }
        (Value::Object(shown), Value::Object(got)) => {
            if let Some(key) = shown.keys().find(|key| !got.contains_key(*key)) {
                return Err(format!("{at}.{key} is shown only"));
            }
            if let Some(key) = got.keys().find(|key| !shown.contains_key(*key)) {
                return Err(format!("{at}.{key} is not shown"));
            }
            shown.iter().try_for_each(|(key, value)| same_shape(value, &got[key], &format!("{at}.{key}")))
        }
        (Value::Array(shown), Value::Array(got)) => match (shown.first(), got.first()) {
            (Some(shown), Some(got)) => same_shape(shown, got, &format!("{at}[0]")),
            (None, None) => Ok(()),
            (Some(_), None) => Err(format!("{at} is empty")),
            (None, Some(_)) => Err(format!("{at} is not empty")),
        },
        (Value::Null, _) | (_, Value::Null) => Ok(()),
        _ if std::mem::discriminant(shown) == std::mem::discriminant(got) => Ok(()),
        _ => Err(format!("{at} is {shown}, and {got}")),
    }
}

/// Whether the keys of an object are ids.
fn is_by_id(object: &serde_json::Map<String, Value>) -> bool {
    !object.is_empty() && object.keys().all(|key| key.bytes().all(|byte| byte.is_ascii_digit()))
}

/// JSON with line ends, in the order in which it came; what is short stays on its line.
fn pretty(text: &str) -> String {
    let (mut out, mut depth, mut quoted, mut escaped) = (String::new(), 0usize, false, false);
    let mut rest = text.char_indices();
    while let Some((at, c)) = rest.next() {
        if quoted {
            out.push(c);
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => {
                let inside = &text[at..=closing(text, at)];
                if inside.len() <= 60 || depth >= 3 {
                    out.push_str(&inline(inside));
                    rest.nth(inside.chars().count() - 2);
                    continue;
                }
                depth += 1;
                out.push(c);
                out.push_str(&format!("\n{}", "  ".repeat(depth)));
            }
            '}' | ']' => {
                depth -= 1;
                out.push_str(&format!("\n{}", "  ".repeat(depth)));
                out.push(c);
            }
            ',' => out.push_str(&format!(",\n{}", "  ".repeat(depth))),
            ':' => out.push_str(": "),
            c => {
                quoted = c == '"';
                out.push(c);
            }
        }
    }
    out
}

/// Where the bracket at `from` is closed.
fn closing(text: &str, from: usize) -> usize {
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    for (at, c) in text[from..].char_indices() {
        match c {
            _ if quoted => {
                quoted = escaped || c != '"';
                escaped = c == '\\' && !escaped;
            }
            '"' => quoted = true,
            '{' | '[' => depth += 1,
            '}' | ']' if depth == 1 => return from + at,
            '}' | ']' => depth -= 1,
            _ => {}
        }
    }
    panic!("brackets are closed in {text}")
}

fn inline(text: &str) -> String {
    let (mut out, mut quoted, mut escaped) = (String::new(), false, false);
    for c in text.chars() {
        out.push(c);
        if quoted {
            quoted = escaped || c != '"';
            escaped = c == '\\' && !escaped;
        } else if c == '"' {
            quoted = true;
        } else if c == ',' || c == ':' {
            out.push(' ');
        }
    }
    out
}

fn walk(name: &str, text: &str, updates: bool) -> (String, usize) {
    let mut pieces = pieces(text);
    let blocks = pieces.iter().filter(|piece| matches!(piece, Piece::Block { .. })).count();
    if blocks == 0 {
        return (text.to_string(), 0);
    }
    let mut walk = Walk::new(name, updates);
    if name == "search" {
        // What was just said is found within two seconds.
        std::thread::sleep(Duration::from_millis(2_500));
    }
    for piece in &mut pieces {
        if let Piece::Block { info, code } = piece {
            walk.block(&info.clone(), code);
        }
    }
    walk.done();
    assert_eq!(walk.count, blocks, "{name}: every block is carried out");
    (whole(&pieces), blocks)
}

#[test]
fn every_example_of_every_page_is_carried_out() {
    let updates = std::env::var_os("UPDATE_DOCS").is_some();
    let mut count = 0;
    let mut failed = Vec::new();
    let pages = plexichat::docs::pages::PAGES.iter().map(|page| page.name).chain(["index"]);
    for name in pages {
        let text = std::fs::read_to_string(path(name)).expect("the page is there");
        match std::panic::catch_unwind(|| walk(name, &text, updates)) {
            Ok((walked, blocks)) => {
                count += blocks;
                if updates {
                    std::fs::write(path(name), walked).expect("pages can be written");
                }
            }
            Err(_) => failed.push(name),
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
    assert!(count > 100, "{count} examples");
}

#[test]
fn what_differs_is_found() {
    let check = |shown: Value, got: Value| same_shape(&shown, &got, "$");
    assert_eq!(
        check(json!({"a": 1, "b": [{"c": "x"}]}), json!({"a": 2, "b": [{"c": "y"}, {"c": 1}]})),
        Ok(())
    );
    assert_eq!(check(json!({"a": null}), json!({"a": "x"})), Ok(()));
    assert!(check(json!({"a": 1}), json!({"a": 1, "b": 2})).is_err());
    assert!(check(json!({"a": 1, "b": 2}), json!({"a": 1})).is_err());
    assert!(check(json!({"a": 1}), json!({"a": "1"})).is_err());
    assert!(check(json!([1]), json!([])).is_err());
    for text in [
        "```json\n{}\n```\n",
        "```text\nGET /api/v1/users/@me\n```\n",
        "```json answer\n{}\n```\n",
        "```http request\nGET /api/v1/version\n```\n```json answer 404\n{}\n```\n",
        "```http request\nGET /api/v1/version\n```\n```json answer\n{}\n```\n",
        "```http request\nGET /api/v1/users/@me\n```\n",
        "```sh\nplexichat dance\n```\n",
        "```sh\ncurl http://127.0.0.1:8000/\n```\n",
        "```toml\nserver.prot = 1\n```\n",
    ] {
        let walked = std::panic::catch_unwind(|| walk("getting-started", text, false));
        assert!(walked.is_err(), "{text}");
    }
}

#[test]
fn json_is_shown_as_it_came() {
    let text = r#"{"id":"1","long":["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","bbbbbbbbbbbbbbbbbbbbbbbbbb, :"],"x":{"y":"\"{"}}"#;
    let want = "{\n  \"id\": \"1\",\n  \"long\": [\n    \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\n    \"bbbbbbbbbbbbbbbbbbbbbbbbbb, :\"\n  ],\n  \"x\": {\"y\": \"\\\"{\"}\n}";
    assert_eq!(pretty(text), want);
    let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(read(&pretty(text)), read(text));
}
