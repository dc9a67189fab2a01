//! `plexichat check --url`: goes the way of a client through the proxy, and says what the proxy breaks.
//!
//! Invariant: what it leaves behind is a login session, which it ends again; each step says what to change, and those that
//! cannot be tried are said to be untried.

use std::io::{self, BufRead, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::{Finding, Verdict};
use crate::api::address::Networks;
use crate::config::Config;
use crate::effect::visit::{Answer, Gateway, Line, NoGateway, PATIENCE, Place, Trouble};
use crate::wire::json::{Object, Value, parse_own};

/// A body that proxies refuse who were not told better: the default of nginx is 1 MB.
const BODY_LEN: usize = 5 * 1024 * 1024;
/// Where everybody's sockets are.
const GATEWAY_PATH: &str = "/gateway";

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    pub place: Place,
    /// Whom to log in as.
    pub user: Option<String>,
    /// How long the gateway connection is held at least.
    pub hold: Duration,
}

/// Everything that was found, in the order of the way.
#[must_use]
pub fn look(config: &Config, asked: &Outside, password: &str) -> Vec<Finding> {
    let mut walk =
        Walk { config, asked, password, prefix: &config.api.api_prefix, token: None, findings: Vec::new() };
    // What comes after a step that fails would only say the same again.
    let _ = walk.go();
    walk.log_out();
    walk.findings
}

/// The findings as a table with a sum at the end.
#[must_use]
pub fn table(asked: &Outside, findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|finding| finding.verdict == Verdict::Error).count();
    let warnings = findings.iter().filter(|finding| finding.verdict == Verdict::Warning).count();
    let place = asked.place.authority();
    let sum = match (errors, warnings) {
        (0, 0) => format!("Clients get through to {place}."),
        (0, warnings) => format!("Clients get through to {place}; {warnings} thing(s) should be mended."),
        (errors, _) => format!("{errors} thing(s) keep clients of {place} from working."),
    };
    format!("{}\n{sum}\n", super::rows(findings))
}

/// Whether the server that this configuration starts answers.
///
/// # Errors
/// It does not.
pub fn health(config: &Config) -> Result<String, String> {
    let mut address = config.http_address();
    if address.ip().is_unspecified() {
        let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        address.set_ip(loopback[usize::from(address.is_ipv6())]);
    }
    let place = Place { is_tls: false, host: address.ip().to_string(), port: address.port() };
    let why = |trouble: Trouble| format!("{address}: {}", trouble.what);
    let mut line = Line::open(&place).map_err(why)?;
    // Where proxies introduce their clients: a connection of our own.
    if !config.http.proxy_protocol_from.is_empty() {
        let from = Networks::new(&config.http.proxy_protocol_from);
        if line.ends().is_some_and(|(ours, _)| from.contains(ours.ip().to_canonical())) {
            let _ = line.write_all(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0");
        }
    }
    let answer = line.ask(&place, "GET", "/health/live", "Connection: close\r\n", b"").map_err(why)?;
    match answer.status {
        200 => Ok("It answers.\n".to_owned()),
        status => Err(format!("{address} answers {status}")),
    }
}

/// The password, from the first line of standard input.
///
/// # Errors
/// There is none.
pub fn read_password(user: &str) -> Result<String, String> {
    let input = io::stdin();
    let hidden = input.is_terminal().then(Hidden::new);
    if hidden.is_some() {
        crate::cli::print::err(&format!("Password of {user}: "));
    }
    let mut line = String::new();
    let read = input.lock().read_line(&mut line);
    drop(hidden);
    let password = line.trim_end_matches(['\r', '\n']);
    match read {
        Ok(_) if !password.is_empty() => Ok(password.to_owned()),
        Ok(_) => Err(format!("the password of {user} is read from standard input, and none is there")),
        Err(error) => Err(format!("the password of {user} is read from standard input: {error}")),
    }
}

/// As long as it lives the terminal does not show what is typed.
struct Hidden(Option<libc::termios>);

impl Hidden {
    fn new() -> Hidden {
        // SAFETY: zero is a value of each of its fields, and the calls write and read a live one.
        unsafe {
            let mut before: libc::termios = std::mem::zeroed();
            if libc::tcgetattr(libc::STDIN_FILENO, &raw mut before) != 0 {
                return Hidden(None);
            }
            let silent = libc::termios { c_lflag: before.c_lflag & !libc::ECHO | libc::ECHONL, ..before };
            libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, &raw const silent);
            Hidden(Some(before))
        }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // SAFETY: the pointer is to a live value that the terminal had before.
            unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, before) };
        }
    }
}

/// A step that ends the way; its finding is noted already.
struct Over;

struct Walk<'a> {
    config: &'a Config,
    asked: &'a Outside,
    password: &'a str,
    prefix: &'a str,
    token: Option<String>,
    findings: Vec<Finding>,
}

/// What a session is resumed by.
struct Session {
    id: String,
    place: Place,
    path: String,
}

impl Walk<'_> {
    fn go(&mut self) -> Result<(), Over> {
        let mut line = self.connect()?;
        self.server(&mut line)?;
        self.log_in();
        self.upload();
        self.address();
        let (mut gateway, interval) = self.gateway()?;
        self.heartbeat(&mut gateway)?;
        let session = self.identify(&mut gateway)?;
        self.hold(&mut gateway, interval)?;
        gateway.drop_connection();
        self.resume(session)
    }

    fn ok(&mut self, name: &'static str, current: impl Into<String>) {
        self.findings.push(Finding::new(name, Verdict::Ok, current));
    }

    fn bad(
        &mut self,
        name: &'static str,
        verdict: Verdict,
        trouble: Trouble,
        wanted: &str,
        why: &'static str,
    ) {
        let finding = Finding::new(name, verdict, trouble.what).wanted(wanted).why(why);
        self.findings.push(finding.remedy(trouble.remedy));
    }

    fn over(&mut self, name: &'static str, trouble: Trouble, wanted: &str, why: &'static str) -> Over {
        self.bad(name, Verdict::Error, trouble, wanted, why);
        Over
    }

    // ---------------------------------------------------------------------------------------- REST

    fn connect(&mut self) -> Result<Line, Over> {
        const WHY: &str = "Without it nobody gets here.";
        let place = &self.asked.place;
        let line =
            Line::open(place).map_err(|trouble| self.over("connection", trouble, "TLS that holds", WHY))?;
        let to = line.ends().map_or(String::new(), |(_, peer)| format!(", {peer}"));
        let is_local = line.ends().is_some_and(|(_, peer)| peer.ip().is_loopback());
        let current = format!("{}{to}", line.encryption());
        if place.is_tls || is_local {
            self.ok("connection", current);
        } else {
            let trouble = Trouble {
                what: current,
                remedy: "have the proxy do TLS, and give its https:// address".into(),
            };
            self.bad(
                "connection",
                Verdict::Warning,
                trouble,
                "TLS",
                "Passwords and messages can be read on the way.",
            );
        }
        Ok(line)
    }

    fn server(&mut self, line: &mut Line) -> Result<(), Over> {
        const WHY: &str = "The proxy has to pass on every path, unchanged, to where the server listens.";
        let path = format!("{}/version", self.prefix);
        let answer = line.ask(&self.asked.place, "GET", &path, "", b"");
        let answer = answer.map_err(|trouble| self.over("server", trouble, "an answer of plexichat", WHY))?;
        let version =
            text_of(&answer.body, |value| Some(value.get("version")?.get("string")?.as_str()?.to_owned()));
        match version {
            Some(version) if answer.status == 200 => {
                self.ok("server", format!("answers, version {version}"));
                Ok(())
            }
            _ => Err(self.over("server", self.foreign(&answer), "an answer of plexichat", WHY)),
        }
    }

    /// What an answer means that was not to be expected here.
    fn foreign(&self, answer: &Answer) -> Trouble {
        if let Some(message) = message_of(answer) {
            let what = format!("{}: {message}", answer.status);
            return Trouble { what, remedy: "the server says this itself; its log has the request".into() };
        }
        let remedy = match answer.status {
            301 | 302 | 307 | 308 => match answer.header("location") {
                Some(to) => format!("the proxy leads to {to}: give that with --url"),
                None => "the proxy leads elsewhere".to_owned(),
            },
            401 | 403 => "the proxy asks for credentials, or forbids, by itself: let it pass everything on".to_owned(),
            404 | 405 => format!(
                "something else answers: does this name lead to plexichat, for all paths, and is api.api_prefix {}?",
                self.prefix
            ),
            502..=504 => "the proxy does not reach the server: is plexichat running (`systemctl status plexichat`), and \
                          where the proxy looks for it (`ss -ltn`, server.host, server.port)?"
                .to_owned(),
            _ => "this is the proxy's own answer; its log says why".to_owned(),
        };
        let text = String::from_utf8_lossy(&answer.body);
        let first: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect();
        Trouble { what: format!("{} {first}", answer.status).trim_end().to_owned(), remedy }
    }

    fn upload(&mut self) {
        const WHY: &str =
            "Pictures and files are that large; the server has limits of its own for each kind.";
        let wanted = "the server decides";
        let remedy = "nginx: client_max_body_size 0; Caddy: no request_body; others: their limit of bodies";
        let place = &self.asked.place;
        let path = format!("{}/users/@me/avatar", self.prefix);
        // No picture, so the server refuses it: once it has it, or at once for want of a token.
        let mut headers = "Content-Type: multipart/form-data; boundary=x\r\nConnection: close\r\n".to_owned();
        if let Some(token) = &self.token {
            headers += &format!("Authorization: Bearer {token}\r\n");
        }
        let asked = Line::open(place)
            .and_then(|mut line| line.ask(place, "POST", &path, &headers, &vec![0; BODY_LEN]));
        match asked {
            Ok(answer) if message_of(&answer).is_some() => {
                self.ok("a body of 5 MB", format!("gets through ({} as it should be)", answer.status));
            }
            Ok(answer) => {
                let trouble = self.foreign(&answer);
                let remedy = if answer.status == 413 { remedy.to_owned() } else { trouble.remedy };
                self.bad(
                    "a body of 5 MB",
                    Verdict::Error,
                    Trouble { what: trouble.what, remedy },
                    wanted,
                    WHY,
                );
            }
            Err(trouble) => {
                let trouble = Trouble { what: trouble.what, remedy: remedy.to_owned() };
                self.bad("a body of 5 MB", Verdict::Error, trouble, wanted, WHY);
            }
        }
    }

    /// An exchange with JSON.
    fn call(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Trouble> {
        let mut headers = "Connection: close\r\n".to_owned();
        if !body.is_empty() {
            headers += "Content-Type: application/json\r\n";
        }
        if let Some(token) = &self.token {
            headers += &format!("Authorization: Bearer {token}\r\n");
        }
        let place = &self.asked.place;
        Line::open(place)?.ask(place, method, &format!("{}{path}", self.prefix), &headers, body)
    }

    fn log_in(&mut self) {
        const WHY: &str = "Everything else needs it.";
        let mut body = Vec::new();
        let user = self.asked.user.as_deref();
        let password = if user.is_some() { self.password } else { "none" };
        Object::new(&mut body).str("username", user.unwrap_or("plexichat_check")).str("password", password);
        let answer = match self.call("POST", "/auth/login", &body) {
            Ok(answer) => answer,
            Err(trouble) => return self.bad("login", Verdict::Error, trouble, "an answer", WHY),
        };
        let token = text_of(&answer.body, |value| Some(value.get("token")?.as_str()?.to_owned()));
        match (user, answer.status, message_of(&answer)) {
            (Some(user), 200, _) if token.is_some() => {
                self.token = token;
                self.ok("login", format!("{user} is in"));
            }
            (Some(user), 200, _) => {
                let what = format!("{user} has a second factor");
                let remedy = "take an account without one, for the rest of the way".to_owned();
                self.bad("login", Verdict::Warning, Trouble { what, remedy }, "a token", WHY);
            }
            (None, 401, Some(_)) => self.ok("login", "is refused to nobody, as it should be"),
            (None, 429, Some(_)) => self.ok("login", "answers (too many tries from here)"),
            (Some(_), 401, Some(message)) => {
                let trouble = Trouble { what: message, remedy: "is that the name and its password?".into() };
                self.bad("login", Verdict::Error, trouble, "a token", WHY);
            }
            _ => {
                let trouble = self.foreign(&answer);
                self.bad("login", Verdict::Error, trouble, "a token", WHY);
            }
        }
    }

    /// How the server sees us.
    fn address(&mut self) {
        const WHY: &str = "Limits, bans and lockouts go by it: all clients of a proxy would count as one.";
        const WANTED: &str = "the client's own";
        let Some(_) = self.token else { return self.untried("client address", WHY) };
        let seen = self.call("GET", "/auth/sessions", b"").ok().and_then(|answer| {
            text_of(&answer.body, |value| {
                let is_ours =
                    |session: &&Value<'_>| session.get("current").and_then(Value::as_bool) == Some(true);
                Some(value.as_array()?.iter().find(is_ours)?.get("ip_address")?.as_str()?.to_owned())
            })
        });
        let Some(seen) = seen.and_then(|seen| seen.parse::<IpAddr>().ok()) else {
            let what = "the server does not tell".to_owned();
            let trouble = Trouble { what, remedy: "see ip_address in GET /auth/sessions".into() };
            return self.bad("client address", Verdict::Warning, trouble, WANTED, WHY);
        };
        let ends = Line::open(&self.asked.place).ok().and_then(|line| line.ends());
        match ends.map(|(ours, peer)| (ours.ip().to_canonical(), peer.ip().to_canonical())) {
            Some((ours, _)) if ours == seen => self.ok("client address", seen.to_string()),
            // From another network, only an address of some network can be right.
            Some((ours, peer)) if peer.is_loopback() == ours.is_loopback() && !is_inner(seen, peer) => {
                self.ok("client address", format!("{seen} (here {ours})"));
            }
            _ => {
                let remedy = format!(
                    "the server takes the proxy for the client: api.trusted_proxies = [\"{seen}\"] and \
                     api.trust_x_forwarded_for = true, and have the proxy send X-Forwarded-For; or \
                     http.proxy_protocol_from, if it speaks the PROXY protocol"
                );
                let trouble = Trouble { what: seen.to_string(), remedy };
                self.bad("client address", Verdict::Error, trouble, WANTED, WHY);
            }
        }
    }

    fn untried(&mut self, name: &'static str, why: &'static str) {
        let remedy = "give an account with --user NAME; its password is read from standard input".to_owned();
        let trouble = Trouble { what: "not tried".into(), remedy };
        self.bad(name, Verdict::Hint, trouble, "a login", why);
    }

    // ------------------------------------------------------------------------------------- gateway

    fn gateway(&mut self) -> Result<(Gateway, Duration), Over> {
        const WHY: &str = "Everything that happens is told by it.";
        const WANTED: &str = "a WebSocket";
        let mut gateway = match Gateway::open(&self.asked.place, GATEWAY_PATH) {
            Ok(gateway) => gateway,
            Err(NoGateway::Trouble(trouble)) => return Err(self.over("gateway", trouble, WANTED, WHY)),
            Err(NoGateway::Refused(answer)) => {
                let trouble = self.foreign(&answer);
                let remedy = match answer.status {
                    403 | 429 | 502..=504 => trouble.remedy,
                    _ => "have the proxy pass on Upgrade and Connection for /gateway, by HTTP/1.1 (nginx: \
                          proxy_http_version 1.1, proxy_set_header Upgrade $http_upgrade, proxy_set_header Connection \
                          \"upgrade\")"
                        .to_owned(),
                };
                return Err(self.over("gateway", Trouble { what: trouble.what, remedy }, WANTED, WHY));
            }
        };
        let interval = self.hear("gateway", &mut gateway, |value| {
            let interval = value.get("d")?.get("heartbeat_interval")?.as_int()?;
            (op(value) == Some(10)).then_some(interval)
        })?;
        let interval = Duration::from_millis(u64::try_from(interval).unwrap_or(1_000).clamp(100, 3_600_000));
        self.ok("gateway", format!("HELLO, a heartbeat every {} ms", interval.as_millis()));
        Ok((gateway, interval))
    }

    /// The next message of which `pick` makes something.
    fn hear<T>(
        &mut self,
        name: &'static str,
        gateway: &mut Gateway,
        pick: impl Fn(&Value<'_>) -> Option<T>,
    ) -> Result<T, Over> {
        const WHY: &str = "What one side sends has to reach the other as it is sent.";
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match gateway.hear(left) {
                Ok(Some(mut text)) => match parse_own(&mut text).ok().and_then(|value| pick(&value)) {
                    Some(picked) => return Ok(picked),
                    None if left.is_zero() => {}
                    None => continue,
                },
                Ok(None) => {}
                Err(trouble) => return Err(self.over(name, trouble, "an answer", WHY)),
            }
            let what = format!("no answer within {} s", PATIENCE.as_secs());
            let remedy = "have the proxy send on what it gets at once, without buffering".to_owned();
            return Err(self.over(name, Trouble { what, remedy }, "an answer", WHY));
        }
    }

    fn say(&mut self, name: &'static str, gateway: &mut Gateway, text: &[u8]) -> Result<(), Over> {
        const WHY: &str = "What one side sends has to reach the other as it is sent.";
        gateway.say(text).map_err(|trouble| self.over(name, trouble, "an open connection", WHY))
    }

    fn heartbeat(&mut self, gateway: &mut Gateway) -> Result<(), Over> {
        let begun = Instant::now();
        self.say("heartbeat", gateway, br#"{"op":1,"d":null}"#)?;
        self.hear("heartbeat", gateway, |value| (op(value) == Some(11)).then_some(()))?;
        self.ok("heartbeat", format!("answered within {} ms", begun.elapsed().as_millis().max(1)));
        Ok(())
    }

    /// Begins a session, and looks at where it is to be resumed.
    fn identify(&mut self, gateway: &mut Gateway) -> Result<Option<Session>, Over> {
        const WHY: &str =
            "Clients resume where READY tells them to; a page that came by https may go to no ws:// address.";
        let Some(token) = self.token.clone() else {
            self.untried("resume address", WHY);
            return Ok(None);
        };
        let mut text = br#"{"op":2,"d":"#.to_vec();
        Object::new(&mut text).str("token", &token).u64("intents", 0);
        text.push(b'}');
        self.say("identify", gateway, &text)?;
        let (id, url) = self.hear("identify", gateway, |value| {
            let d = value.get("d")?;
            let text = |key| Some(d.get(key)?.as_str()?.to_owned());
            Some((text("session_id")?, text("resume_gateway_url")?))
        })?;
        self.ok("identify", "READY");
        let place = &self.asked.place;
        let want =
            format!("{}://{}{GATEWAY_PATH}", if place.is_tls { "wss" } else { "ws" }, place.authority());
        if url == want {
            self.ok("resume address", url.clone());
        } else {
            let is_own = !self.config.websocket.public_url.is_empty();
            let remedy = match Place::parse(&url) {
                Some(told) if told.authority() == place.authority() || told.host == place.host => {
                    "have the proxy send X-Forwarded-Proto: https, and Host with its port; or set websocket.public_url"
                }
                _ if is_own => "websocket.public_url says so: is it right?",
                _ => "have the proxy pass on Host as it came; or set websocket.public_url",
            };
            let trouble = Trouble { what: url.clone(), remedy: remedy.to_owned() };
            // By another name it may work as well; the resume that follows tells.
            let is_same_kind = Place::parse(&url).is_some_and(|told| told.is_tls == place.is_tls);
            let verdict = if is_same_kind { Verdict::Warning } else { Verdict::Error };
            self.bad("resume address", verdict, trouble, &want, WHY);
        }
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| rest[at..].to_owned()));
        Ok(Place::parse(&url).map(|place| Session { id, place, path: path.unwrap_or("/".into()) }))
    }

    /// Keeps the connection with nothing but heartbeats.
    fn hold(&mut self, gateway: &mut Gateway, interval: Duration) -> Result<(), Over> {
        const WHY: &str = "Connections that say something every heartbeat must stay, however long.";
        let begun = Instant::now();
        if self.asked.hold.is_zero() {
            return Ok(());
        }
        while begun.elapsed() < self.asked.hold {
            let next = Instant::now() + interval.min(self.asked.hold.saturating_sub(begun.elapsed()));
            while let Some(left) = next.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
            {
                if let Err(trouble) = gateway.hear(left) {
                    let what = format!("after {} s: {}", begun.elapsed().as_secs(), trouble.what);
                    let remedy = format!(
                        "the proxy's time-out for a connection without bytes must be longer than {} s (nginx: \
                         proxy_read_timeout for /gateway; HAProxy: timeout tunnel)",
                        interval.as_secs_f32()
                    );
                    return Err(self.over("held", Trouble { what, remedy }, "an open connection", WHY));
                }
            }
            self.say("held", gateway, br#"{"op":1,"d":null}"#)?;
            self.hear("held", gateway, |value| (op(value) == Some(11)).then_some(()))?;
        }
        self.ok("held", format!("for {} s, with heartbeats", begun.elapsed().as_secs()));
        Ok(())
    }

    fn resume(&mut self, session: Option<Session>) -> Result<(), Over> {
        const WHY: &str = "A client whose network was gone for a moment goes on where it was.";
        let (Some(session), Some(token)) = (session, self.token.clone()) else {
            if self.token.is_none() {
                self.untried("resume", WHY);
            }
            return Ok(());
        };
        let mut gateway = match Gateway::open(&session.place, &session.path) {
            Ok(gateway) => gateway,
            Err(NoGateway::Trouble(trouble)) => return Err(self.over("resume", trouble, "a WebSocket", WHY)),
            Err(NoGateway::Refused(answer)) => {
                return Err(self.over("resume", self.foreign(&answer), "a WebSocket", WHY));
            }
        };
        let mut text = br#"{"op":6,"d":"#.to_vec();
        Object::new(&mut text).str("token", &token).str("session_id", &session.id).u64("seq", 1);
        text.push(b'}');
        self.say("resume", &mut gateway, &text)?;
        let is_resumed = self.hear("resume", &mut gateway, |value| match op(value)? {
            0 if value.get("t")?.as_str()? == "RESUMED" => Some(true),
            9 => Some(false),
            _ => None,
        })?;
        if is_resumed {
            self.ok("resume", "RESUMED");
            return Ok(());
        }
        let what = "INVALID_SESSION".to_owned();
        let remedy =
            "does the name lead to several servers? Clients of one must come back to the same".to_owned();
        Err(self.over("resume", Trouble { what, remedy }, "RESUMED", WHY))
    }

    fn log_out(&mut self) {
        if self.token.is_some() {
            // What is left of it ends by itself.
            let _ = self.call("POST", "/auth/logout", b"");
        }
    }
}

fn op(value: &Value<'_>) -> Option<i128> {
    value.get("op")?.as_int()
}

/// What `pick` makes of a body that is JSON.
fn text_of(body: &[u8], pick: impl Fn(&Value<'_>) -> Option<String>) -> Option<String> {
    pick(&parse_own(&mut body.to_vec()).ok()?)
}

/// What the server says of an error; `None` when somebody else says it.
fn message_of(answer: &Answer) -> Option<String> {
    text_of(&answer.body, |value| {
        let error = value.get("error")?;
        error.get("code")?;
        Some(error.get("message")?.as_str()?.to_owned())
    })
}

/// Of this machine or its own network, when the place that was visited is not.
fn is_inner(seen: IpAddr, peer: IpAddr) -> bool {
    let is_private = |address: IpAddr| match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback(),
    };
    seen.is_loopback() || (is_private(seen) && !is_private(peer))
}
