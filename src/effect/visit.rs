//! A client that comes to a server from outside, through whatever stands in front: for `plexichat check --url`.
//!
//! Owns: connections with and without TLS, single requests, WebSockets, and what may go wrong on the way, in words.
//! Invariant: certificates are always checked, nothing waits longer than [`PATIENCE`] for a byte, and no answer takes more
//! than [`ANSWER_LEN_MAX`]. Blocks: for the command line, never for a core.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConnection, StreamOwned};
use tungstenite::client::IntoClientRequest;
use tungstenite::{HandshakeError, Message};

use super::tls;

pub const PATIENCE: Duration = Duration::from_secs(15);
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// Of a body before which it is looked whether the head was enough for an answer, and for how long.
const LONG_LEN: usize = 64 * 1024;
const EARLY_PATIENCE: Duration = Duration::from_millis(500);
const ANSWER_LEN_MAX: usize = 1024 * 1024;
const HEADER_COUNT_MAX: usize = 100;

/// Where a server is: the front of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub is_tls: bool,
    /// Without brackets.
    pub host: String,
    pub port: u16,
}

impl Place {
    /// Of `https://host[:port][/…]`, or with `http`, `wss`, `ws`.
    #[must_use]
    pub fn parse(url: &str) -> Option<Place> {
        let (scheme, rest) = url.split_once("://")?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, port) = v6.split_once(']')?;
                (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
            }
            None => {
                authority.split_once(':').map_or((authority, Some("")), |(host, port)| (host, Some(port)))
            }
        };
        let port = match port? {
            "" if is_tls => 443,
            "" => 80,
            port => port.parse().ok()?,
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        (!host.is_empty() && host.bytes().all(is_name)).then(|| Place { is_tls, host: host.to_owned(), port })
    }

    /// What a `Host` header names it by: without a port that goes without saying.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.is_tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

/// Why a visit ended, and what to do.
#[derive(Debug)]
pub struct Trouble {
    pub what: String,
    pub remedy: String,
}

impl Trouble {
    fn new(what: impl Into<String>, remedy: impl Into<String>) -> Trouble {
        Trouble { what: what.into(), remedy: remedy.into() }
    }

    fn of(error: &io::Error) -> Trouble {
        let what = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("no answer within {} s", PATIENCE.as_secs())
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "the connection was closed".to_owned()
            }
            _ => error.to_string(),
        };
        Trouble::new(what, "the log of the proxy says why")
    }
}

/// An open connection.
pub enum Line {
    Plain(TcpStream),
    Encrypted(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Line {
    /// Connects, to the first address of the name that takes the connection.
    ///
    /// # Errors
    /// Name, address, certificate: what is in the way.
    pub fn open(place: &Place) -> Result<Line, Trouble> {
        let addresses = (place.host.as_str(), place.port).to_socket_addrs().map_err(|error| {
            Trouble::new(
                format!("{} has no address: {error}", place.host),
                "the name needs an A or AAAA record",
            )
        })?;
        let mut refused = None;
        for address in addresses {
            match TcpStream::connect_timeout(&address, CONNECT_PATIENCE) {
                Ok(stream) => return Line::begin(place, stream).map_err(|error| tls_trouble(place, &error)),
                Err(error) => refused = Some((address, error)),
            }
        }
        let what = match refused {
            Some((address, error)) => format!("{address}: {error}"),
            None => format!("{} has no address", place.host),
        };
        Err(Trouble::new(
            what,
            "nothing listens there, or a firewall is in the way: is the proxy running, and does it listen on this port?",
        ))
    }

    fn begin(place: &Place, mut stream: TcpStream) -> io::Result<Line> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        if !place.is_tls {
            return Ok(Line::Plain(stream));
        }
        let name = ServerName::try_from(place.host.clone()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(tls::client(), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Line::Encrypted(Box::new(StreamOwned::new(tls, stream))))
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Line::Plain(stream) => stream,
            Line::Encrypted(stream) => &stream.sock,
        }
    }

    /// Our address and that of the other end, unless the connection is gone.
    #[must_use]
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((self.stream().local_addr().ok()?, self.stream().peer_addr().ok()?))
    }

    /// TLS 1.3, or none.
    #[must_use]
    pub fn encryption(&self) -> &'static str {
        match self {
            Line::Plain(_) => "no TLS",
            Line::Encrypted(stream) => match stream.conn.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
                _ => "TLS 1.2",
            },
        }
    }

    /// Waits no longer than that for a byte.
    pub fn set_patience(&self, patience: Duration) {
        // Zero would be for ever.
        let _ = self.stream().set_read_timeout(Some(patience.max(Duration::from_millis(1))));
    }

    /// Sends a request and reads the answer, also to one that is cut short by it. `headers` are lines with their ends.
    ///
    /// # Errors
    /// No answer came, or none that can be read.
    pub fn ask(
        &mut self,
        place: &Place,
        method: &str,
        path: &str,
        headers: &str,
        body: &[u8],
    ) -> Result<Answer, Trouble> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: plexichat-check\r\nAccept: application/json\r\n{headers}",
            place.authority()
        );
        if !body.is_empty() || method == "POST" {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        request += "\r\n";
        self.exchange(request.as_bytes(), body).map_err(|error| Trouble::of(&error))
    }

    fn exchange(&mut self, head: &[u8], body: &[u8]) -> io::Result<Answer> {
        self.write_all(head)?;
        self.flush()?;
        let mut early = Vec::new();
        if body.len() > LONG_LEN {
            // Refused by its head, the rest would meet a closed connection, which takes the answer with it.
            self.set_patience(EARLY_PATIENCE);
            let read = self.read_more(&mut early, true);
            self.set_patience(PATIENCE);
            match read {
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                read => read?,
            }
        }
        let sent = if early.is_empty() { self.write_all(body).and_then(|()| self.flush()) } else { Ok(()) };
        // Who refuses a body need not read it to its end, and answers all the same.
        self.read_answer(early).map_err(|error| sent.err().unwrap_or(error))
    }

    fn read_answer(&mut self, mut bytes: Vec<u8>) -> io::Result<Answer> {
        loop {
            let mut slots = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
            let mut response = httparse::Response::new(&mut slots);
            match response.parse(&bytes).map_err(io::Error::other)? {
                httparse::Status::Complete(len) => {
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    let headers = response.headers.iter();
                    let headers = headers.map(|line| (line.name.to_ascii_lowercase(), text(line.value)));
                    let answer = Answer {
                        status: response.code.unwrap_or_default(),
                        headers: headers.collect(),
                        body: Vec::new(),
                    };
                    bytes.drain(..len);
                    if answer.status >= 200 {
                        return self.read_body(answer, bytes);
                    }
                }
                httparse::Status::Partial => self.read_more(&mut bytes, true)?,
            }
        }
    }

    fn read_body(&mut self, mut answer: Answer, mut bytes: Vec<u8>) -> io::Result<Answer> {
        if matches!(answer.status, 204 | 304) {
            return Ok(answer);
        }
        let chunked = answer.header("transfer-encoding").is_some_and(|coding| coding.contains("chunked"));
        if chunked {
            return self.read_chunks(answer, bytes);
        }
        let len = answer.header("content-length").and_then(|len| len.parse::<usize>().ok());
        while len.is_none_or(|len| bytes.len() < len) {
            let before = bytes.len();
            self.read_more(&mut bytes, len.is_some())?;
            if bytes.len() == before {
                break;
            }
        }
        bytes.truncate(len.unwrap_or(bytes.len()));
        answer.body = bytes;
        Ok(answer)
    }

    fn read_chunks(&mut self, mut answer: Answer, mut bytes: Vec<u8>) -> io::Result<Answer> {
        loop {
            match chunk(&bytes)? {
                Some((start, len)) if bytes.len() >= start + len + 2 => {
                    answer.body.extend_from_slice(&bytes[start..start + len]);
                    bytes.drain(..start + len + 2);
                    if len == 0 {
                        return Ok(answer);
                    }
                }
                _ => self.read_more(&mut bytes, true)?,
            }
        }
    }

    fn read_more(&mut self, bytes: &mut Vec<u8>, is_needed: bool) -> io::Result<()> {
        if bytes.len() > ANSWER_LEN_MAX {
            return Err(io::Error::other("an answer without end"));
        }
        let mut piece = [0; 16 * 1024];
        let count = self.read(&mut piece)?;
        if count == 0 && is_needed {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&piece[..count]);
        Ok(())
    }
}

/// Where the chunk at the front begins, and its length; `None` while its line is not here. The last one has no bytes.
fn chunk(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((start, len))) if len <= ANSWER_LEN_MAX as u64 => {
            Ok(Some((start, len as usize)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        _ => Err(io::Error::other("a malformed chunk")),
    }
}

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Plain(stream) => stream.read(buffer),
            Line::Encrypted(stream) => match stream.read(buffer) {
                // Without the goodbye of TLS: many leave so, and lengths say whether anything is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
        }
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Line::Plain(stream) => stream.write(bytes),
            Line::Encrypted(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Line::Plain(stream) => stream.flush(),
            Line::Encrypted(stream) => stream.flush(),
        }
    }
}

/// What is wrong with the TLS of a place.
fn tls_trouble(place: &Place, error: &io::Error) -> Trouble {
    let known = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let host = &place.host;
    match known {
        Some(rustls::Error::InvalidCertificate(certificate)) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Trouble::new("the certificate has expired", "have it renewed, and the proxy reload it")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Trouble::new(
                    format!("the certificate is not for {host}"),
                    format!("get one for {host}, or give the name it is for with --url"),
                )
            }
            CertificateError::UnknownIssuer => Trouble::new(
                "nobody whom this machine trusts has signed the certificate",
                "have the proxy send the whole chain (fullchain.pem); for an authority of your own let SSL_CERT_FILE \
                 name its certificate",
            ),
            other => Trouble::new(format!("the certificate is refused: {other}"), "get another one"),
        },
        Some(rustls::Error::InvalidMessage(_)) => Trouble::new(
            "no TLS is spoken on this port",
            "have the proxy do TLS here (`ssl`, a certificate), or look at another port, or http://",
        ),
        Some(rustls::Error::AlertReceived(alert)) => Trouble::new(
            format!("the proxy ends TLS: {alert:?}"),
            format!("does it have a certificate for {host}? its log says more"),
        ),
        Some(other) => Trouble::new(format!("TLS fails: {other}"), "the log of the proxy says why"),
        None => Trouble::of(error),
    }
}

/// An open WebSocket.
pub struct Gateway(tungstenite::WebSocket<Line>);

/// Why there is none.
pub enum NoGateway {
    Refused(Answer),
    Trouble(Trouble),
}

impl Gateway {
    /// Asks for one.
    ///
    /// # Errors
    /// The answer when it is none.
    pub fn open(place: &Place, path: &str) -> Result<Gateway, NoGateway> {
        let line = Line::open(place).map_err(NoGateway::Trouble)?;
        let scheme = if place.is_tls { "wss" } else { "ws" };
        let trouble = |what: String| NoGateway::Trouble(Trouble::new(what, "the log of the proxy says why"));
        let request = format!("{scheme}://{}{path}", place.authority());
        let request = request.into_client_request().map_err(|error| trouble(error.to_string()))?;
        match tungstenite::client::client(request, line) {
            Ok((socket, _)) => Ok(Gateway(socket)),
            Err(HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                let text = |value: &tungstenite::http::HeaderValue| {
                    String::from_utf8_lossy(value.as_bytes()).into_owned()
                };
                Err(NoGateway::Refused(Answer {
                    status: response.status().as_u16(),
                    headers: response
                        .headers()
                        .iter()
                        .map(|(name, value)| (name.to_string(), text(value)))
                        .collect(),
                    body: response.body().clone().unwrap_or_default(),
                }))
            }
            Err(HandshakeError::Failure(tungstenite::Error::Io(error))) => {
                Err(NoGateway::Trouble(Trouble::of(&error)))
            }
            Err(HandshakeError::Failure(error)) => Err(trouble(error.to_string())),
            Err(HandshakeError::Interrupted(_)) => {
                Err(trouble(format!("no answer within {} s", PATIENCE.as_secs())))
            }
        }
    }

    /// Sends a text.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn say(&mut self, text: &[u8]) -> Result<(), Trouble> {
        let text = String::from_utf8_lossy(text).into_owned();
        self.0.send(Message::text(text)).map_err(|error| closed(&error))
    }

    /// The next text; `None` when none has come in time.
    ///
    /// # Errors
    /// The connection is closed.
    pub fn hear(&mut self, patience: Duration) -> Result<Option<Vec<u8>>, Trouble> {
        self.0.get_ref().set_patience(patience);
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Ok(Some(text.as_bytes().to_vec())),
                Ok(Message::Close(frame)) => {
                    let why = frame.map_or("without a word".to_owned(), |frame| {
                        format!("with code {} {}", u16::from(frame.code), frame.reason)
                    });
                    return Err(Trouble::new(
                        format!("the server closed it {why}"),
                        "the log of the server says why",
                    ));
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error))
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    return Ok(None);
                }
                Err(error) => return Err(closed(&error)),
            }
        }
    }

    /// Ends the connection without a word, as a network does.
    pub fn drop_connection(self) {
        let _ = self.0.get_ref().stream().shutdown(std::net::Shutdown::Both);
    }
}

fn closed(error: &tungstenite::Error) -> Trouble {
    match error {
        tungstenite::Error::Io(error) => Trouble::of(error),
        other => Trouble::new(format!("the connection was closed: {other}"), "the log of the proxy says why"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn places() {
        let check = |url: &str, want: Option<(&str, u16, &str)>| {
            let place = Place::parse(url);
            let authority = place.as_ref().map(Place::authority).unwrap_or_default();
            let got = place.as_ref().map(|place| (place.host.as_str(), place.port, authority.as_str()));
            assert_eq!(got, want, "{url}");
        };
        check("https://chat.example", Some(("chat.example", 443, "chat.example")));
        check("HTTPS://chat.example:8443/x?y", Some(("chat.example", 8443, "chat.example:8443")));
        check("wss://chat.example/gateway", Some(("chat.example", 443, "chat.example")));
        check("http://127.0.0.1:80", Some(("127.0.0.1", 80, "127.0.0.1")));
        check("ws://[::1]:9/", Some(("::1", 9, "[::1]:9")));
        check("https://[::1]", Some(("::1", 443, "[::1]")));
        for none in [
            "chat.example",
            "ftp://h",
            "https://",
            "https://h:x",
            "https://[::1",
            "https://[::1]9",
            "https://a b",
        ] {
            check(none, None);
        }
    }

    /// What is made of these bytes of a server.
    fn answer(bytes: &'static [u8]) -> Result<Answer, Trouble> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            for piece in bytes.chunks(3) {
                stream.write_all(piece).unwrap();
                stream.flush().unwrap();
            }
        });
        let place = Place { is_tls: false, host: "127.0.0.1".into(), port };
        let answer = Line::open(&place)?.ask(&place, "GET", "/", "", b"");
        server.join().unwrap();
        answer
    }

    #[test]
    fn bodies_end_in_three_ways() {
        let check = |bytes: &'static [u8], want: &str| {
            let got = answer(bytes).map_err(|trouble| trouble.what);
            let got =
                got.map(|answer| format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body)));
            assert_eq!(got.unwrap_or_else(|what| what), want);
        };
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello world", "200 hello");
        check(b"HTTP/1.1 502 Bad\r\n\r\nuntil the end", "502 until the end");
        check(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x\r\n world\r\n0\r\n\r\n",
            "200 hello world",
        );
        check(b"HTTP/1.1 204 No\r\n\r\n", "204 ");
        check(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", "the connection was closed");
        check(b"", "the connection was closed");
        check(b"SSH-2.0-OpenSSH\r\n", "invalid HTTP version");
    }
}
