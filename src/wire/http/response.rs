//! Answers, appended straight to a connection's output buffer.
//!
//! Invariant: every answer carries the headers the contract asks of all of them (§8) and exactly the length of
//! its body; 204 and 304 have none. No value holds a line end or another control character.

use std::ops::{Deref, DerefMut};

use super::DATE_LEN;

/// The interim answer to `Expect: 100-continue`.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// From the end of the status line to the value of `date`: one copy per answer.
macro_rules! common {
    ($referrer_policy:literal) => {
        concat!(
            "\r\nserver: plexichat/",
            env!("CARGO_PKG_VERSION"),
            "\r\nx-content-type-options: nosniff\
             \r\nx-xss-protection: 1; mode=block\
             \r\nreferrer-policy: ",
            $referrer_policy,
            "\r\nx-permitted-cross-domain-policies: none\
             \r\ndate: "
        )
    };
}

const COMMON: &str = common!("strict-origin-when-cross-origin");
/// Of pages whose addresses are nobody else's business. Not `no-referrer`: forms would then come from the origin `null`.
const PRIVATE: &str = common!("same-origin");

/// Digits of a length that is filled in later. The room before them is blanks, which a reader must skip
/// (RFC 9112 §5). A body in memory stays far below 10^10 bytes.
const LENGTH_DIGITS: usize = 10;
const LENGTH_BLANK: &[u8; LENGTH_DIGITS] = &[b' '; LENGTH_DIGITS];

/// What the connection and the request say about the form of an answer.
#[derive(Debug, Clone, Copy)]
pub struct ResponseOptions<'a> {
    /// From `http_date`, cached by the caller.
    pub date: &'a [u8; DATE_LEN],
    /// False: say that the connection closes after this answer.
    pub keep_alive: bool,
    /// Of the request. HTTP/1.0 has to be told that the connection stays open.
    pub version_minor: u8,
    /// The request was HEAD: the length of the body, but not the body.
    pub head_only: bool,
    /// `x-frame-options: SAMEORIGIN`; media go without.
    pub frame_options: bool,
    /// A page that no other may frame or learn the address of: `x-frame-options: DENY`, `referrer-policy: same-origin`.
    pub private: bool,
    /// The connection is TLS: `strict-transport-security`.
    pub tls: bool,
}

impl<'a> ResponseOptions<'a> {
    /// For HTTP/1.1 without TLS on a connection that stays open.
    pub fn new(date: &'a [u8; DATE_LEN]) -> Self {
        ResponseOptions {
            date,
            keep_alive: true,
            version_minor: 1,
            head_only: false,
            frame_options: true,
            private: false,
            tls: false,
        }
    }
}

/// Status line and headers. Ends with one of `body`, `open_body`, `announce` and `empty`.
#[must_use = "an answer without its end breaks the connection's framing"]
pub struct ResponseHead<'o> {
    out: &'o mut Vec<u8>,
    status: u16,
    head_only: bool,
}

impl<'o> ResponseHead<'o> {
    /// `status` is final (200..=599).
    pub fn new(out: &'o mut Vec<u8>, status: u16, options: ResponseOptions<'_>) -> Self {
        debug_assert!((200..600).contains(&status), "{status} is not a final status");
        out.reserve(512);
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, u64::from(status));
        out.push(b' ');
        out.extend_from_slice(reason(status).as_bytes());
        let common = if options.private { PRIVATE } else { COMMON };
        out.extend_from_slice(common.as_bytes());
        out.extend_from_slice(options.date);
        out.extend_from_slice(b"\r\n");
        if options.private {
            out.extend_from_slice(b"x-frame-options: DENY\r\n");
        } else if options.frame_options {
            out.extend_from_slice(b"x-frame-options: SAMEORIGIN\r\n");
        }
        if options.tls {
            out.extend_from_slice(b"strict-transport-security: max-age=31536000\r\n");
        }
        match (options.keep_alive, options.version_minor) {
            (false, _) => out.extend_from_slice(b"connection: close\r\n"),
            (true, 0) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            (true, _) => {}
        }
        ResponseHead { out, status, head_only: options.head_only }
    }

    /// `name` is lower case and not one that this type writes itself. Control characters in the value are dropped.
    pub fn header(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        debug_assert!(is_plain_name(name), "{name}");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b": ");
        push_value(self.out, value.as_ref());
        self.out.extend_from_slice(b"\r\n");
        self
    }

    pub fn header_number(self, name: &'static str, value: u64) -> Self {
        self.header(name, itoa::Buffer::new().format(value))
    }

    /// Headers from a table.
    pub fn headers(self, pairs: &[(&'static str, &str)]) -> Self {
        pairs.iter().fold(self, |head, (name, value)| head.header(name, value))
    }

    /// Whole header lines that were spelled elsewhere, each ending in CR LF. Nothing of a request may be in them.
    pub fn lines(self, write: impl FnOnce(&mut Vec<u8>)) -> Self {
        write(self.out);
        debug_assert!(self.out.ends_with(b"\r\n"), "a header line ends in CR LF");
        self
    }

    /// With a body that is already there.
    pub fn body(self, content_type: &str, body: &[u8]) {
        let keep_body = !self.head_only && has_body(self.status);
        let out = self.announce_in(content_type, body.len() as u64);
        if keep_body {
            out.extend_from_slice(body);
        }
    }

    /// With a body that the caller appends to what this returns; `finish` fills in its length.
    pub fn open_body(self, content_type: &str) -> OpenBody<'o> {
        let keep_body = !self.head_only && has_body(self.status);
        let mut length_at = None;
        if has_body(self.status) {
            push_content_type(self.out, content_type);
            self.out.extend_from_slice(b"content-length: ");
            length_at = Some(self.out.len());
            self.out.extend_from_slice(LENGTH_BLANK);
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
        let body_at = self.out.len();
        OpenBody { out: self.out, length_at, body_at, keep_body }
    }

    /// With a body that the caller sends after this, `len` bytes of it: files. Nothing for HEAD, 204 and 304.
    pub fn announce(self, content_type: &str, len: u64) {
        self.announce_in(content_type, len);
    }

    /// With a body of unknown length that the caller sends after this: in chunks (RFC 9112 §7.1), or, to who does not
    /// know those, up to the end of the connection.
    pub fn announce_chunks(self, content_type: &str, knows_chunks: bool) {
        if has_body(self.status) {
            push_content_type(self.out, content_type);
            if knows_chunks {
                self.out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Without a body.
    pub fn empty(self) {
        if has_body(self.status) {
            self.out.extend_from_slice(b"content-length: 0\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
    }

    fn announce_in(self, content_type: &str, len: u64) -> &'o mut Vec<u8> {
        if has_body(self.status) {
            push_content_type(self.out, content_type);
            self.out.extend_from_slice(b"content-length: ");
            push_number(self.out, len);
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(b"\r\n");
        self.out
    }
}

/// The output buffer, positioned behind a head. Only append to it.
#[must_use = "the length of the body is not known before `finish`"]
pub struct OpenBody<'o> {
    out: &'o mut Vec<u8>,
    length_at: Option<usize>,
    body_at: usize,
    keep_body: bool,
}

impl OpenBody<'_> {
    pub fn finish(self) {
        assert!(self.out.len() >= self.body_at, "a body writer removed its own head");
        if let Some(at) = self.length_at {
            let mut digits = itoa::Buffer::new();
            let digits = digits.format(self.out.len() - self.body_at).as_bytes();
            assert!(digits.len() <= LENGTH_DIGITS, "a body in memory is below 10 GB");
            let end = at + LENGTH_DIGITS;
            self.out[end - digits.len()..end].copy_from_slice(digits);
        }
        if !self.keep_body {
            self.out.truncate(self.body_at);
        }
    }
}

impl Deref for OpenBody<'_> {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        self.out
    }
}

impl DerefMut for OpenBody<'_> {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        self.out
    }
}

/// RFC 9110 §6.4.1. For a 304 the length would be that of the 200, which nobody has computed.
fn has_body(status: u16) -> bool {
    status != 204 && status != 304
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

fn push_content_type(out: &mut Vec<u8>, content_type: &str) {
    out.extend_from_slice(b"content-type: ");
    push_value(out, content_type.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A value cannot end its line: control characters are left out.
fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let forbidden = |&b: &u8| b.is_ascii_control() && b != b'\t';
    if value.iter().any(forbidden) {
        out.extend(value.iter().filter(|b| !forbidden(b)));
    } else {
        out.extend_from_slice(value);
    }
}

fn is_plain_name(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty()
        && name.bytes().all(token)
        && !matches!(name, "content-length" | "content-type" | "transfer-encoding")
}

/// Reason phrase (RFC 9110 §15). Clients ignore it; a status without one here gets an empty phrase.
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        422 => "Unprocessable Content",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::super::http_date;
    use super::*;

    const DATE: &[u8; DATE_LEN] = b"Thu, 01 Jan 1970 00:00:00 GMT";

    fn write(status: u16, options: ResponseOptions<'_>, end: impl FnOnce(ResponseHead<'_>)) -> String {
        let mut out = b"before|".to_vec();
        end(ResponseHead::new(&mut out, status, options));
        String::from_utf8(out).unwrap().strip_prefix("before|").unwrap().to_string()
    }

    /// What differs from answer to answer: the status line, and all after the fixed headers.
    fn check(
        status: u16,
        options: ResponseOptions<'_>,
        end: impl FnOnce(ResponseHead<'_>),
        line: &str,
        rest: &str,
    ) {
        let common = COMMON.to_string() + "Thu, 01 Jan 1970 00:00:00 GMT\r\n";
        assert_eq!(write(status, options, end), format!("{line}{common}{rest}"));
    }

    fn bare() -> ResponseOptions<'static> {
        ResponseOptions { frame_options: false, ..ResponseOptions::new(DATE) }
    }

    #[test]
    fn whole_answer() {
        let want = concat!(
            "HTTP/1.1 200 OK\r\nserver: plexichat/",
            env!("CARGO_PKG_VERSION"),
            "\r\nx-content-type-options: nosniff\r\nx-xss-protection: 1; mode=block\r\n\
             referrer-policy: strict-origin-when-cross-origin\r\nx-permitted-cross-domain-policies: none\r\n\
             date: Thu, 01 Jan 1970 00:00:00 GMT\r\nx-frame-options: SAMEORIGIN\r\nvary: Origin\r\nretry-after: 7\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        );
        let got = write(200, ResponseOptions::new(&http_date(0)), |head| {
            head.header("vary", "Origin").header_number("retry-after", 7).body("application/json", b"{}");
        });
        assert_eq!(got, want);
    }

    #[test]
    fn ends() {
        let empty = |head: ResponseHead<'_>| head.empty();
        let body = |head: ResponseHead<'_>| head.body("a/b", b"12345");
        let announce = |head: ResponseHead<'_>| head.announce("a/b", 1 << 40);
        let open = |head: ResponseHead<'_>| {
            let mut body = head.open_body("a/b");
            body.extend_from_slice(b"12345");
            body.finish();
        };
        let head_only = ResponseOptions { head_only: true, ..bare() };
        check(200, bare(), empty, "HTTP/1.1 200 OK", "content-length: 0\r\n\r\n");
        check(204, bare(), empty, "HTTP/1.1 204 No Content", "\r\n");
        check(304, bare(), empty, "HTTP/1.1 304 Not Modified", "\r\n");
        check(204, bare(), body, "HTTP/1.1 204 No Content", "\r\n");
        check(304, bare(), open, "HTTP/1.1 304 Not Modified", "\r\n");
        check(
            404,
            bare(),
            body,
            "HTTP/1.1 404 Not Found",
            "content-type: a/b\r\ncontent-length: 5\r\n\r\n12345",
        );
        check(
            404,
            bare(),
            open,
            "HTTP/1.1 404 Not Found",
            "content-type: a/b\r\ncontent-length:          5\r\n\r\n12345",
        );
        check(200, head_only, body, "HTTP/1.1 200 OK", "content-type: a/b\r\ncontent-length: 5\r\n\r\n");
        check(
            200,
            head_only,
            open,
            "HTTP/1.1 200 OK",
            "content-type: a/b\r\ncontent-length:          5\r\n\r\n",
        );
        check(
            206,
            bare(),
            announce,
            "HTTP/1.1 206 Partial Content",
            "content-type: a/b\r\ncontent-length: 1099511627776\r\n\r\n",
        );
    }

    #[test]
    fn connection_and_tls() {
        let empty = |head: ResponseHead<'_>| head.empty();
        for (keep_alive, version_minor, tls, want) in [
            (true, 1, false, ""),
            (true, 0, false, "connection: keep-alive\r\n"),
            (false, 1, false, "connection: close\r\n"),
            (false, 0, false, "connection: close\r\n"),
            (true, 1, true, "strict-transport-security: max-age=31536000\r\n"),
        ] {
            let options = ResponseOptions { keep_alive, version_minor, tls, ..bare() };
            check(200, options, empty, "HTTP/1.1 200 OK", &format!("{want}content-length: 0\r\n\r\n"));
        }
    }

    #[test]
    fn values_cannot_end_their_line() {
        let evil = "a\r\nset-cookie: x\n\0b\tc\u{7f}é";
        let end = |head: ResponseHead<'_>| head.header("location", evil).body(evil, b"");
        let value = "aset-cookie: xb\tcé";
        let want = format!("location: {value}\r\ncontent-type: {value}\r\ncontent-length: 0\r\n\r\n");
        check(307, bare(), end, "HTTP/1.1 307 Temporary Redirect", &want);
    }

    #[test]
    fn reasons() {
        let used = [
            100, 101, 200, 204, 206, 304, 307, 400, 401, 403, 404, 405, 409, 413, 414, 416, 417, 426, 429,
            431, 500, 501, 503, 505,
        ];
        assert!(used.into_iter().all(|status| !reason(status).is_empty()));
        assert_eq!(reason(299), "");
    }
}
