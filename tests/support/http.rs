//! A small blocking HTTP/1.1 client that keeps its connection and shows everything that came back.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::LazyLock;

use plexichat::api::router::Router;

use super::{PATIENCE, Value};

/// What the server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `GET /path`, for messages.
    pub request: String,
    pub status: u16,
    /// Names in lower case, in the order of the answer.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, which must be JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|e| panic!("{}: {e} in {:?}", self.request, self.text()))
    }

    /// Checks the status and, above 399, the error envelope; gives the body.
    #[track_caller]
    pub fn want(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{} answered {}", self.request, self.text());
        if self.body.is_empty() {
            return Value::Null;
        }
        let body = self.json();
        if status >= 400 {
            let error = &body["error"];
            let code = &error["code"];
            assert!(*code == status || code.is_string(), "{}: {body}", self.request);
            let message = error["message"].as_str().unwrap_or_default();
            assert!(!message.trim().is_empty(), "{} has no message: {body}", self.request);
        }
        body
    }
}

/// One connection, opened when it is needed and again when the server closed it.
pub struct Http {
    address: SocketAddr,
    /// From where, if that matters.
    source: Option<IpAddr>,
    stream: Option<BufReader<TcpStream>>,
}

impl Http {
    #[must_use]
    pub fn new(address: SocketAddr) -> Http {
        Http { address, source: None, stream: None }
    }

    /// From another address of this machine.
    #[must_use]
    pub fn from(address: SocketAddr, source: IpAddr) -> Http {
        Http { source: Some(source), ..Http::new(address) }
    }

    #[track_caller]
    pub fn get(&mut self, path: &str, token: Option<&str>) -> Answer {
        self.call("GET", path, token, None)
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        self.call("POST", path, token, Some(body))
    }

    /// A request with a JSON body or none.
    #[track_caller]
    pub fn call(&mut self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let authorization = token.map(|token| format!("Bearer {token}"));
        let mut headers = Vec::new();
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let body = body.map(ToString::to_string);
        headers.extend(body.as_ref().map(|_| ("Content-Type", "application/json")));
        self.request(method, path, &headers, body.as_deref().map(str::as_bytes))
    }

    /// A request with exactly these headers, besides `Host` and `Content-Length`.
    #[track_caller]
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Answer {
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        for (name, value) in headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            bytes.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let mut bytes = (bytes + "\r\n").into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        let name = format!("{method} {path}");
        // A kept connection may have been closed meanwhile; nothing was read from it then.
        if let Some(stream) = self.stream.as_mut() {
            let sent = stream.get_mut().write_all(&bytes);
            if sent.is_ok() && stream.fill_buf().is_ok_and(|bytes| !bytes.is_empty()) {
                return self.read(name, method);
            }
        }
        let stream = open_from(self.address, self.source);
        (&stream).write_all(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        self.stream = Some(BufReader::new(stream));
        self.read(name, method)
    }

    fn read(&mut self, name: String, method: &str) -> Answer {
        let stream = self.stream.as_mut().expect("just opened");
        let answer = read_answer(stream, method == "HEAD");
        let mut answer = answer.unwrap_or_else(|e| panic!("{name}: {e}"));
        answer.request = name;
        check_shape(method, &answer);
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.stream = None;
        }
        answer
    }
}

/// Every answer with status 200 is what its row says.
fn check_shape(method: &str, answer: &Answer) {
    static ROUTER: LazyLock<Router> = LazyLock::new(|| Router::new("/api/v1", "/admin"));
    let target = answer.request.split_once(' ').map_or("", |(_, target)| target);
    // Servers of other prefixes are not looked at.
    let is_plain = answer.header("content-encoding").is_none();
    let row =
        (answer.status == 200 && method != "HEAD" && is_plain).then(|| ROUTER.row(method, target)).flatten();
    let checked = row.map_or(Ok(()), |row| row.answer.check(&answer.body));
    assert_eq!(checked, Ok(()), "{}: {}", answer.request, answer.text());
}

/// A connection whose reads fail instead of waiting for ever.
#[must_use]
pub fn open(address: SocketAddr) -> TcpStream {
    open_from(address, None)
}

fn open_from(address: SocketAddr, source: Option<IpAddr>) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)
        .expect("there are sockets");
    if let Some(source) = source {
        socket.bind(&SocketAddr::new(source, 0).into()).expect("it is an address of this machine");
    }
    socket.connect(&address.into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true).expect("an open socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("an open socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("an open socket");
    stream
}

/// Reads one answer; interim ones (1xx, but 101) are skipped.
pub fn read_answer(stream: &mut impl BufRead, is_head: bool) -> Result<Answer, String> {
    loop {
        let answer = read_one(stream, is_head)?;
        if answer.status == 101 || answer.status >= 200 {
            return Ok(answer);
        }
    }
}

fn read_one(stream: &mut impl BufRead, is_head: bool) -> Result<Answer, String> {
    let mut line = || {
        let mut line = String::new();
        let count = stream.read_line(&mut line).map_err(|e| format!("no answer: {e}"))?;
        if count == 0 { Err("the server closed the connection".to_owned()) } else { Ok(line) }
    };
    let start = line()?;
    let status = start.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let status: u16 = status.ok_or_else(|| format!("no status line: {start:?}"))?;
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let line = line.strip_suffix("\r\n").ok_or_else(|| format!("a line without CRLF: {line:?}"))?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("no header: {line:?}"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut answer = Answer { request: String::new(), status, headers, body: Vec::new() };
    if is_head || status < 200 || status == 204 || status == 304 {
        return Ok(answer);
    }
    let len = answer.header("content-length").ok_or("no content-length")?;
    answer.body = vec![0; len.parse().map_err(|_| format!("content-length {len:?}"))?];
    stream.read_exact(&mut answer.body).map_err(|e| format!("a short body: {e}"))?;
    Ok(answer)
}
