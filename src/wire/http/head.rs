//! Request heads: one pass of httparse over a complete head, then one over its headers (RFC 9112 §2–§5).
//!
//! Invariant: a `Head` has exactly one reading of where its body ends. Nothing is parsed before the whole head is
//! here, so an answer never depends on how it was cut.

use std::mem::MaybeUninit;

use httparse::{Header, Request};
use memchr::{memchr, memchr_iter};

use super::HttpError;
use super::framing::{BodyKind, Facts, Framing};
use super::proxy;
use super::target::Target;
use crate::limits::{EMPTY_LINE_COUNT_MAX, HEAD_LEN_MAX, HEADER_COUNT_MAX};

/// Methods a router may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Trace,
    /// Any other: no path has it. `CONNECT`, which is for proxies, is `HttpError::MethodUnknown` (501).
    Other,
}

impl Method {
    /// Those that are known.
    pub const ALL: [Method; 8] = [
        Method::Get,
        Method::Head,
        Method::Post,
        Method::Put,
        Method::Patch,
        Method::Delete,
        Method::Options,
        Method::Trace,
    ];

    /// Case matters (RFC 9110 §9.1).
    pub fn parse(name: &str) -> Option<Self> {
        Method::ALL.into_iter().find(|method| method.as_str() == name)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Trace => "TRACE",
            Method::Other => "-",
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    pub method: Method,
    pub target: Target<'a>,
    /// 0 or 1, of HTTP/1.
    pub version_minor: u8,
    pub framing: Framing,
    /// The client lets the connection stay open after the answer.
    pub keep_alive: bool,
    /// The client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// Asks to become a WebSocket; `websocket_key` says whether it may.
    pub websocket: bool,
    /// A proxy names the client it passes on.
    pub forwarded: bool,
    /// The body is packed in something: `content-encoding` other than `identity`.
    pub packed: bool,
    headers: &'a [Header<'a>],
}

impl<'a> Head<'a> {
    /// First value of a header, without surrounding white space. Names compare without regard to case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
    }

    /// Every value of a header, in order: for those that must not be given twice.
    pub fn header_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.headers
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            .map(|header| header.value)
    }

    /// All headers as (name as sent, value).
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&'a str, &'a [u8])> + use<'a> {
        self.headers.iter().map(|header| (header.name, header.value))
    }

    pub fn content_length(&self) -> Option<u64> {
        match self.framing.body {
            BodyKind::Sized(len) => Some(len),
            BodyKind::None | BodyKind::Chunked => None,
        }
    }
}

/// Room for the headers of one head, uninitialised: 2 KiB of the caller's stack that nothing has to clear.
/// Make new ones for each call: they hold on to the buffer for as long as they live.
pub type HeaderSlots<'b> = [MaybeUninit<Header<'b>>; HEADER_COUNT_MAX];

pub const fn header_slots<'b>() -> HeaderSlots<'b> {
    [const { MaybeUninit::uninit() }; HEADER_COUNT_MAX]
}

/// Reads the head at the front of a growing buffer. `None`: not all of it is here. No allocation.
///
/// It starts over with each call: a head of `HEAD_LEN_MAX` that comes byte by byte costs less than the system
/// calls that bring it.
pub fn parse_head<'h, 'b: 'h>(
    buf: &'b [u8],
    slots: &'h mut HeaderSlots<'b>,
) -> Result<Option<Head<'h>>, HttpError> {
    let window = &buf[..buf.len().min(HEAD_LEN_MAX)];
    let Some(start) = skip_empty_lines(window)? else { return Ok(None) };
    let Some(head_len) = find_end(window, start)? else { return Ok(None) };

    let mut request = Request::new(&mut []);
    match request.parse_with_uninit_headers(&window[start..head_len], slots) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(HttpError::RequestLine),
        Err(error) => return Err(syntax_error(error, &window[start..head_len])),
    }
    let (Some(method), Some(target), Some(version_minor)) = (request.method, request.path, request.version)
    else {
        return Err(HttpError::RequestLine);
    };
    let method = match Method::parse(method) {
        Some(method) => method,
        None if method == "CONNECT" => return Err(HttpError::MethodUnknown),
        None => Method::Other,
    };
    let target = Target::parse(target, method)?;
    let headers: &'h [Header<'h>] = request.headers;
    let facts = Facts::read(headers, version_minor)?;

    Ok(Some(Head {
        method,
        target,
        version_minor,
        framing: Framing { head_len, body: facts.body },
        keep_alive: !facts.close && (version_minor == 1 || facts.keep_alive),
        expect_continue: facts.expect_continue,
        websocket: version_minor == 1 && facts.upgrade_websocket && facts.connection_upgrade,
        forwarded: facts.forwarded,
        packed: facts.packed,
        headers,
    }))
}

/// The first value of a header in bytes that are no request that can be read, or not yet one: for its refusal alone.
pub fn raw_header<'a>(input: &'a [u8], name: &str) -> Option<&'a [u8]> {
    // The last piece is no whole line.
    let lines = input.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"));
    // The request line, after empty lines, and then headers up to the next empty line.
    let lines = lines.map(<[u8]>::trim_ascii_end).skip_while(|line| line.is_empty()).skip(1);
    lines.take_while(|line| !line.is_empty()).find_map(|line| {
        let colon = memchr(b':', line)?;
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| line[colon + 1..].trim_ascii())
    })
}

/// Where the request line starts. `None`: nothing but empty lines so far.
fn skip_empty_lines(window: &[u8]) -> Result<Option<usize>, HttpError> {
    for start in (0..=2 * EMPTY_LINE_COUNT_MAX).step_by(2) {
        match &window[start..] {
            [b'\r', b'\n', ..] => {}
            [] | [b'\r'] => return Ok(None),
            // A method starts with a letter; TLS and other protocols on this port are told so at once.
            [first, ..] if first.is_ascii_alphabetic() => return Ok(Some(start)),
            _ if window.starts_with(proxy::SIGNATURE) => return Err(HttpError::ProxyProtocol),
            _ if proxy::SIGNATURE.starts_with(window) => return Ok(None),
            _ => return Err(HttpError::RequestLine),
        }
    }
    Err(HttpError::RequestLine)
}

/// Where the body starts. httparse takes a bare LF for a line end, other servers do not: here every LF has its CR.
fn find_end(window: &[u8], start: usize) -> Result<Option<usize>, HttpError> {
    let mut line_start = start;
    for lf in memchr_iter(b'\n', &window[start..]).map(|offset| start + offset) {
        if lf == line_start || window[lf - 1] != b'\r' {
            return Err(HttpError::LineEnd);
        }
        if lf == line_start + 1 {
            return Ok(Some(lf + 1));
        }
        line_start = lf + 1;
    }
    match (window.len() == HEAD_LEN_MAX, line_start == start) {
        (false, _) => Ok(None),
        (true, true) => Err(HttpError::TargetTooLong),
        (true, false) => Err(HttpError::HeadTooLarge),
    }
}

#[cold]
fn syntax_error(error: httparse::Error, head: &[u8]) -> HttpError {
    match error {
        httparse::Error::TooManyHeaders => HttpError::HeadTooLarge,
        httparse::Error::HeaderName | httparse::Error::HeaderValue => HttpError::HeaderSyntax,
        httparse::Error::Version if is_other_version(head) => HttpError::Version,
        _ if head.starts_with(proxy::TEXT) => HttpError::ProxyProtocol,
        _ => HttpError::RequestLine,
    }
}

/// The request line is sound but for `HTTP/<digit>.<digit>` at its end; the preface of HTTP/2 is of this shape.
fn is_other_version(head: &[u8]) -> bool {
    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&b| b == b' ').skip(2);
    let (version, more) = (parts.next().unwrap_or_default(), parts.next());
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] = version else { return false };
    major.is_ascii_digit() && minor.is_ascii_digit() && more.is_none()
}

#[cfg(test)]
mod tests {
    use super::super::list_contains;
    use super::*;

    fn check(request: impl AsRef<[u8]>, want: Result<Option<&str>, HttpError>) {
        let request = request.as_ref();
        let mut slots = header_slots();
        let got = parse_head(request, &mut slots).map(|head| head.map(|head| show(&head)));
        assert_eq!(got, want.map(|want| want.map(String::from)), "{}", request.escape_ascii());
        // However it is cut, the answer comes no later and is the same.
        for len in 0..request.len() {
            let mut slots = header_slots();
            match parse_head(&request[..len], &mut slots) {
                Ok(None) => {}
                early => assert_eq!(early.map(|head| head.map(|head| show(&head))), got, "cut at {len}"),
            }
        }
    }

    fn show(head: &Head<'_>) -> String {
        let mut text = format!("{} {}", head.method.as_str(), head.target.path);
        for (word, set) in [
            ("close", !head.keep_alive),
            ("continue", head.expect_continue),
            ("websocket", head.websocket),
            ("chunked", head.framing.body == BodyKind::Chunked),
        ] {
            if set {
                text += " ";
                text += word;
            }
        }
        head.content_length().map_or(text.clone(), |len| format!("{text} len={len}"))
    }

    fn ok(headers: &str, want: &str) {
        check(format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"), Ok(Some(&format!("POST /{want}"))));
    }

    fn bad(headers: &str, want: HttpError) {
        check(format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n"), Err(want));
    }

    #[test]
    fn request_lines() {
        check("GET / HTTP/1.1\r\nHost: h\r\n\r\n", Ok(Some("GET /")));
        check("\r\n\r\n\r\n\r\nGET /x HTTP/1.1\r\nhOST:\r\n\r\n", Ok(Some("GET /x")));
        check("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", Ok(Some("OPTIONS *")));
        check("GET http://x/y?z HTTP/1.1\r\nHost: h\r\n\r\n", Ok(Some("GET /y")));
        for method in Method::ALL {
            let want = format!("{} /", method.as_str());
            check(format!("{want} HTTP/1.1\r\nHost: h\r\n\r\n"), Ok(Some(&want)));
        }
        for line in ["BREW /", "get /", "PROXY /"] {
            let path = "- /";
            check(format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"), Ok(Some(path)));
        }
        for incomplete in ["", "\r", "\r\n", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: h\r\n\r"] {
            check(incomplete, Ok(None));
        }
    }

    #[test]
    fn bad_request_lines() {
        for line in [
            "GET /",
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / http/1.1",
            "GET / HTTP/1",
            "GET",
            "GET / HTTP/x.1",
            "GET / HTTP/1.10",
            " GET / HTTP/1.1",
            "GE(T / HTTP/1.1",
            "GET /\x00 HTTP/1.1",
            "GET /\t HTTP/1.1",
            "GET / HTTP/1.1\r",
            "\n",
            "\x16\x03\x01",
        ] {
            check(format!("{line}\r\nHost: h\r\n\r\n"), Err(HttpError::RequestLine));
        }
        check(
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\x12\x34\0\x50",
            Err(HttpError::ProxyProtocol),
        );
        check(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", Err(HttpError::RequestLine));
        check("\r\n".repeat(5), Err(HttpError::RequestLine));
        check("\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", Err(HttpError::RequestLine));
        for (line, want) in [
            ("PRI * HTTP/2.0", HttpError::Version),
            ("GET / HTTP/1.2", HttpError::Version),
            ("GET / HTTP/0.9", HttpError::Version),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 5000 80", HttpError::ProxyProtocol),
            ("PROXY UNKNOWN", HttpError::ProxyProtocol),
            ("CONNECT h:443 HTTP/1.1", HttpError::MethodUnknown),
            ("GET * HTTP/1.1", HttpError::Target),
            ("GET h:443 HTTP/1.1", HttpError::Target),
            ("GET /%x HTTP/1.1", HttpError::Escape),
        ] {
            check(format!("{line}\r\nHost: h\r\n\r\n"), Err(want));
        }
    }

    #[test]
    fn line_ends() {
        for request in [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "GET / HTTP/1.1\r\n\nHost: h\r\n\r\n",
            "\r\nG\n",
        ] {
            check(request, Err(HttpError::LineEnd));
        }
        bad("a: b\rc: d\r\n", HttpError::HeaderSyntax);
        bad("a: b\r\r\n", HttpError::HeaderSyntax);
    }

    #[test]
    fn header_syntax() {
        ok("a:b\r\nc:\r\nd: \t e\t \r\nf: \u{e9}\r\n", "");
        for line in [
            "a : b",
            "a\t: b",
            ": b",
            "a",
            "a b: c",
            " a: b",
            "\ta: b",
            "x: y\r\n z",
            "x: y\r\n\tz",
            "a: \x00",
            "a: b\x01c",
            "a: \x7f",
            "\u{e9}: b",
            "a\x00: b",
            "(a): b",
        ] {
            bad(&format!("{line}\r\n"), HttpError::HeaderSyntax);
        }
    }

    #[test]
    fn hosts() {
        for host in ["", "h", "h:80", "[::1]:80", "a-b.c_d", "%41"] {
            check(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Ok(Some("GET /")));
        }
        for host in ["a b", "a,b", "a/b", "u@h", "h?", "h#", "a\\b", "\u{e9}"] {
            check(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), Err(HttpError::Host));
        }
        check("GET / HTTP/1.1\r\n\r\n", Err(HttpError::Host));
        check("GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", Err(HttpError::Host));
        check("GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", Err(HttpError::Host));
        check("GET http://h/ HTTP/1.1\r\n\r\n", Err(HttpError::Host));
        check("GET / HTTP/1.0\r\n\r\n", Ok(Some("GET / close")));
    }

    #[test]
    fn content_lengths() {
        ok("Content-Length: 0\r\n", " len=0");
        ok("content-length:007\r\n", " len=7");
        ok("Content-Length: 18446744073709551615\r\n", " len=18446744073709551615");
        for value in [
            "",
            "+5",
            "-1",
            "5 5",
            "5x",
            "x",
            "0x5",
            "5,5",
            "5, 5",
            "5;",
            "1e3",
            "18446744073709551616",
            "99999999999999999999999",
            "\u{665}",
        ] {
            bad(&format!("Content-Length: {value}\r\n"), HttpError::ContentLength);
        }
        bad("Content-Length: 5\r\nContent-Length: 5\r\n", HttpError::ContentLength);
        bad("Content-Length: 5\r\nContent-Length: 6\r\n", HttpError::ContentLength);
    }

    #[test]
    fn transfer_encodings() {
        ok("Transfer-Encoding: chunked\r\n", " chunked");
        ok("transfer-encoding:CHUNKED \r\n", " chunked");
        for value in ["gzip", "identity", "gzip, chunked", "chunked2", "x"] {
            bad(&format!("Transfer-Encoding: {value}\r\n"), HttpError::CodingUnknown);
        }
        for value in [
            "",
            "chunked, chunked",
            "chunked,",
            ",chunked",
            "chunked;a=b",
            "\"chunked\"",
            "chunked, gzip",
            "chunked chunked",
        ] {
            bad(&format!("Transfer-Encoding: {value}\r\n"), HttpError::TransferEncoding);
        }
        bad("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HttpError::TransferEncoding);
        bad("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n", HttpError::TransferEncoding);
        bad("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", HttpError::LengthConflict);
        bad("Content-Length: 5\r\nTransfer-Encoding: x\r\n", HttpError::LengthConflict);
        bad("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", HttpError::LengthConflict);
        bad("Transfer-Encoding : chunked\r\n", HttpError::HeaderSyntax);
        check("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Err(HttpError::TransferEncoding));
    }

    #[test]
    fn connections() {
        ok("Connection: close\r\n", " close");
        ok("Connection: x, Close\r\n", " close");
        ok("Connection: keep-alive\r\nConnection: close\r\n", " close");
        ok("Connection: closed\r\n", "");
        ok("Connection: Upgrade\r\nUpgrade: WebSocket\r\n", " websocket");
        ok("Connection: keep-alive, upgrade\r\nUpgrade: h2c\r\nUpgrade: x, websocket\r\n", " websocket");
        ok("Upgrade: websocket\r\n", "");
        ok("Connection: upgrade\r\nUpgrade: h2c\r\n", "");
        for (headers, want) in [
            ("", " close"),
            ("Connection: Keep-Alive\r\n", ""),
            ("Connection: keep-alive, close\r\n", " close"),
            ("Connection: upgrade\r\nUpgrade: websocket\r\n", " close"),
            ("Expect: 100-continue\r\n", " close"),
            ("Expect: x\r\n", " close"),
        ] {
            check(format!("GET / HTTP/1.0\r\n{headers}\r\n"), Ok(Some(&format!("GET /{want}"))));
        }
    }

    #[test]
    fn expectations() {
        ok("Expect: 100-Continue\r\nContent-Length: 5\r\n", " continue len=5");
        bad("Expect: 200-ok\r\n", HttpError::Expectation);
        bad("Expect: 100-continue, x\r\n", HttpError::Expectation);
        bad("Expect:\r\n", HttpError::Expectation);
    }

    #[test]
    fn what_the_headers_say_of_body_and_proxies() {
        let check = |headers: &str, forwarded: bool, packed: bool| {
            let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n");
            let mut slots = header_slots();
            let head = parse_head(request.as_bytes(), &mut slots).unwrap().unwrap();
            assert_eq!((head.forwarded, head.packed), (forwarded, packed), "{headers}");
        };
        check("Accept-Encoding: gzip\r\nAccept-Language: x\r\n", false, false);
        check("x-forwarded-FOR: 1.2.3.4\r\n", true, false);
        check("Content-Encoding: gzip\r\n", false, true);
        check("content-encoding: Identity\r\n", false, false);
        check("Content-Encoding:\r\n", false, false);
        check("Content-Encoding: br\r\nContent-Encoding: identity\r\n", false, true);
    }

    #[test]
    fn lookups() {
        let request = b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: a\r\nX: \r\nauthorization: b\r\n\r\nBODY";
        let mut slots = header_slots();
        let head = parse_head(request, &mut slots).unwrap().unwrap();
        assert_eq!(head.header("AUTHORIZATION"), Some(&b"a"[..]));
        assert_eq!(head.header_all("authorization").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(head.header("x"), Some(&b""[..]));
        assert_eq!(head.header("y"), None);
        assert_eq!(head.headers().len(), 4);
        assert_eq!(head.headers().next(), Some(("Host", &b"h"[..])));
        assert_eq!(&request[head.framing.head_len..], b"BODY");
        assert!(list_contains(b"gzip, br", "BR"));
        assert!(!list_contains(b"gzip;q=1", "gzip"));
    }

    #[test]
    fn headers_of_what_is_no_request() {
        let check = |input: &str, want: Option<&str>| {
            assert_eq!(raw_header(input.as_bytes(), "origin"), want.map(str::as_bytes), "{input:?}");
        };
        check("", None);
        check("Origin: a\r\n", None);
        check("GET / HTTP/9.9\r\nOrigin: a\r\n", Some("a"));
        check("\r\nGET / HTTP/9.9\r\nX: y\r\nORIGIN:a \r\nOrigin: b\r\n\r\n", Some("a"));
        check("x\ny\norigin: a\nz", Some("a"));
        check("GET / HTTP/1.1\r\nOrigin: a", None);
        check("GET / HTTP/1.1\r\n\r\nOrigin: a\r\n", None);
        check("GET / HTTP/1.1\r\nOrigin\r\n : a\r\n", None);
    }

    #[test]
    fn bounds() {
        let mut slots = header_slots();
        let fit = |len: usize| format!("GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n", "a".repeat(len - 32));
        let request = fit(HEAD_LEN_MAX) + "tail";
        assert_eq!(request.len(), HEAD_LEN_MAX + 4);
        assert!(matches!(parse_head(request.as_bytes(), &mut slots), Ok(Some(_))));
        for len in [HEAD_LEN_MAX, HEAD_LEN_MAX + 1] {
            let mut slots = header_slots();
            let request = fit(HEAD_LEN_MAX + 1);
            assert_eq!(
                parse_head(&request.as_bytes()[..len], &mut slots).err(),
                Some(HttpError::HeadTooLarge)
            );
        }
        let mut slots = header_slots();
        let line = format!("GET /{}", "a".repeat(HEAD_LEN_MAX));
        assert_eq!(parse_head(line.as_bytes(), &mut slots).err(), Some(HttpError::TargetTooLong));
        ok(&"A: b\r\n".repeat(HEADER_COUNT_MAX - 1), "");
        bad(&"A: b\r\n".repeat(HEADER_COUNT_MAX), HttpError::HeadTooLarge);
    }
}
