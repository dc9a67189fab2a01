//! A provider that vouches for people, over HTTP of its own: what it is sent it checks as providers do.
//!
//! Whoever comes to `/<name>/authorize` with a profile in `X-Profile` has agreed and is led back. Some codes are of a
//! provider that is not well: [`FAULTS`].

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Http;

pub const CLIENT_ID: &str = "the client";
pub const CLIENT_SECRET: &str = "s3cret&of=client";
/// The only addresses that it leads back to.
pub const REDIRECTS: [&str; 2] = ["http://localhost:5000/cb", "http://localhost:5000/other?x=1&y=2"];

/// Codes for which the token address answers like this, whoever asks.
const FAULTS: &[(&str, &str)] = &[
    ("down", "HTTP/1.1 503 x\r\ncontent-length: 4\r\n\r\ndown"),
    ("moved", "HTTP/1.1 302 x\r\nlocation: /google/token\r\ncontent-length: 0\r\n\r\n"),
    ("html", "HTTP/1.1 200 x\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>"),
    ("header", "HTTP/1.1 200 x\r\ncontent-length: 29\r\n\r\n{\"access_token\":\"a\\r\\nb: c d\"}"),
    ("cut", "HTTP/1.1 200 x\r\ncontent-length: 900\r\n\r\n{"),
    ("endless", "HTTP/1.1 200 x\r\ncontent-length: 100000000\r\n\r\n"),
    ("stranger", "HTTP/1.1 401 x\r\ncontent-length: 26\r\n\r\n{\"error\":\"invalid_client\"}"),
];
/// One for which it says nothing.
const SILENT: &str = "silent";

/// What was agreed to.
#[derive(Clone, Default)]
struct Grant {
    name: String,
    redirect_uri: String,
    challenge: Option<String>,
    profile: Value,
}

#[derive(Default)]
struct Known {
    codes: HashMap<String, Grant>,
    tokens: HashMap<String, Grant>,
    /// What was sent to token addresses.
    exchanges: Vec<HashMap<String, String>>,
    count: u64,
}

/// It goes on until the test process ends.
pub struct Provider {
    address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

impl Provider {
    #[must_use]
    pub fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an open socket");
        let known = Arc::new(Mutex::new(Known::default()));
        let shared = known.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let known = shared.clone();
                std::thread::spawn(move || drop(serve(&stream, &known)));
            }
        });
        Provider { address, known }
    }

    /// Options of a server at which people sign in with this provider under some names.
    #[must_use]
    pub fn options(&self, names: &[&str]) -> Vec<String> {
        let mut options = Vec::new();
        for name in names {
            let mut set = |key: &str, value: &str| options.push(format!("oauth.{name}.{key}={value}"));
            set("client_id", CLIENT_ID);
            set("client_secret", CLIENT_SECRET);
            let at = |what: &str| format!("http://{}/{name}/{what}", self.address);
            set("auth_url", &at("authorize?of=this"));
            set("token_url", &at("token"));
            set("user_info_url", &at("user"));
            if *name == "github" {
                set("emails_url", &at("emails"));
            }
        }
        options
    }

    /// Goes where a server has sent somebody and agrees; the code and the state with which he is led back.
    #[track_caller]
    pub fn agree(&self, url: &str, profile: &Value) -> (String, String) {
        let path =
            url.strip_prefix(&format!("http://{}", self.address)).expect("an address of this provider");
        let headers = [("X-Profile", &*profile.to_string())];
        let answer = Http::new(self.address).request("GET", path, &headers, None);
        assert_eq!(answer.status, 302, "{url}: {}", answer.text());
        let back = fields(answer.header("location").expect("somewhere").rsplit_once('?').expect("a query").1);
        (back["code"].clone(), back["state"].clone())
    }

    /// What was sent with the last code.
    #[must_use]
    pub fn last_exchange(&self) -> HashMap<String, String> {
        self.known.lock().expect("no panic while held").exchanges.last().cloned().unwrap_or_default()
    }
}

fn fields(text: &str) -> HashMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// One request a connection.
fn serve(mut stream: &TcpStream, known: &Mutex<Known>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut headers) = (String::new(), HashMap::new());
    reader.read_line(&mut line)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let len: usize = headers.get("content-length").and_then(|len| len.parse().ok()).unwrap_or(0);
    let mut body = vec![0; len];
    reader.read_exact(&mut body)?;
    let target = line.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (name, what) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let form = fields(&String::from_utf8_lossy(&body));
    if what == "token" {
        let code = form.get("code").map_or("", String::as_str);
        if code == SILENT {
            std::thread::sleep(Duration::from_secs(30));
        }
        if let Some((_, answer)) = FAULTS.iter().find(|(fault, _)| *fault == code) {
            stream.write_all(answer.as_bytes())?;
            if code == "endless" {
                // As fast as it is read, until it is not any more.
                loop {
                    stream.write_all(&[b' '; 4_096])?;
                }
            }
            return Ok(());
        }
    }
    let mut known = known.lock().expect("no panic while held");
    let (status, location, answer) = match what {
        "authorize" => known.authorize(name, &fields(query), headers.get("x-profile")),
        "token" => known.exchange(name, form, &headers),
        _ => known.tell(name, what, &headers),
    };
    drop(known);
    let answer = answer.to_string();
    let location = location.map(|location| format!("location: {location}\r\n")).unwrap_or_default();
    let head = format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\n{location}");
    write!(stream, "{head}connection: close\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
}

type Told = (u16, Option<String>, Value);

impl Known {
    fn fresh(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}/{}+{}", self.count, fastrand::u64(..))
    }

    fn authorize(&mut self, name: &str, query: &HashMap<String, String>, profile: Option<&String>) -> Told {
        let has = |key: &str, want: &str| query.get(key).is_some_and(|value| value == want);
        let redirect_uri = query.get("redirect_uri").cloned().unwrap_or_default();
        let is_asked_well = has("response_type", "code")
            && has("client_id", CLIENT_ID)
            && has("of", "this")
            && query.contains_key("state")
            && query.get("scope").is_some_and(|scope| !scope.is_empty())
            && REDIRECTS.contains(&&*redirect_uri)
            && (!query.contains_key("code_challenge") || has("code_challenge_method", "S256"));
        if !is_asked_well {
            return (400, None, json!({"error": "invalid_request"}));
        }
        let profile = profile.and_then(|profile| serde_json::from_str(profile).ok()).unwrap_or_default();
        let code = self.fresh("code");
        let challenge = query.get("code_challenge").cloned();
        let mark = if redirect_uri.contains('?') { '&' } else { '?' };
        let state = &query["state"];
        let encoded = code.replace('/', "%2F").replace('+', "%2B");
        let location = format!("{redirect_uri}{mark}code={encoded}&state={state}");
        self.codes.insert(code, Grant { name: name.into(), redirect_uri, challenge, profile });
        (302, Some(location), Value::Null)
    }

    /// A code serves once, whatever comes of it.
    fn exchange(
        &mut self,
        name: &str,
        form: HashMap<String, String>,
        headers: &HashMap<String, String>,
    ) -> Told {
        let get = |key: &str| form.get(key).map_or("", String::as_str);
        let grant = self.codes.remove(get("code"));
        let shown = URL_SAFE_NO_PAD.encode(Sha256::digest(get("code_verifier")));
        let is_form =
            headers.get("content-type").is_some_and(|kind| kind == "application/x-www-form-urlencoded");
        let fits = |grant: &Grant| {
            grant.name == name
                && grant.redirect_uri == get("redirect_uri")
                && grant.challenge.as_ref().is_none_or(|challenge| *challenge == shown)
        };
        let error = if (get("client_id"), get("client_secret")) != (CLIENT_ID, CLIENT_SECRET) {
            Some("invalid_client")
        } else if get("grant_type") != "authorization_code" || !is_form {
            Some("invalid_request")
        } else if !grant.as_ref().is_some_and(fits) {
            Some("invalid_grant")
        } else {
            None
        };
        self.exchanges.push(form.clone());
        if let Some(error) = error {
            // GitHub says so with a 200.
            let (status, error) =
                if name == "github" { (200, "bad_verification_code") } else { (400, error) };
            return (status, None, json!({"error": error, "error_description": "no"}));
        }
        let (token, grant) = (self.fresh("token"), grant.unwrap_or_default());
        let mut answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
        if let Some(claims) = grant.profile.get("claims") {
            let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
            answer["id_token"] = format!("e30.{claims}.signature").into();
        }
        self.tokens.insert(token, grant);
        (200, None, answer)
    }

    fn tell(&self, name: &str, what: &str, headers: &HashMap<String, String>) -> Told {
        let token = headers.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let grant = token.and_then(|token| self.tokens.get(token)).filter(|grant| grant.name == name);
        let Some(Grant { profile, .. }) = grant else { return (401, None, json!({"message": "bad token"})) };
        match what {
            "emails" => (200, None, profile.get("emails").cloned().unwrap_or_else(|| json!([]))),
            "user" => {
                let mut profile = profile.clone();
                let object = profile.as_object_mut().expect("a profile is an object");
                object.remove("emails");
                object.remove("claims");
                (200, None, profile)
            }
            _ => (404, None, json!({"message": "not here"})),
        }
    }
}
