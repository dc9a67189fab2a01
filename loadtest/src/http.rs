//! HTTP/1.1 from the client's side: requests out, whole responses in.
//!
//! Owns: the text of a request and where a response ends.
//! Invariant: no socket and no clock here; a response is handed out only when its body is complete.

use std::borrow::Cow;
use std::io::Write;

/// Longest response kept. A history page of 100 messages is about 100 KB.
pub const RESPONSE_LEN_MAX: usize = 16 << 20;

/// What every request of a run has in common.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `Host` header.
    pub host: String,
    /// Secret for `X-RateLimit-Bypass`, if the server's operator gave one.
    pub bypass: Option<String>,
}

impl Origin {
    /// Appends a request. `token` is a session token (empty: none), `body` JSON (empty: none).
    pub fn write_request(&self, out: &mut Vec<u8>, method: &str, path: &str, token: &str, body: &[u8]) {
        // Writing into a Vec cannot fail.
        let _ = write!(out, "{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if !token.is_empty() {
            let _ = write!(out, "Authorization: Bearer {token}\r\n");
        }
        if let Some(secret) = &self.bypass {
            let _ = write!(out, "X-RateLimit-Bypass: {secret}\r\n");
        }
        if !body.is_empty() {
            out.extend_from_slice(b"Content-Type: application/json\r\n");
        }
        if !body.is_empty() || method != "GET" {
            let _ = write!(out, "Content-Length: {}\r\n", body.len());
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body);
    }
}

/// A whole response at the start of the bytes given to [`read_response`].
#[derive(Debug, PartialEq)]
pub struct Response<'a> {
    pub status: u16,
    pub body: Cow<'a, [u8]>,
    /// The server will close the connection after this response.
    pub closes: bool,
    /// `Retry-After` in seconds, if sent.
    pub retry_after_s: Option<u32>,
    /// Bytes of head and body together.
    pub len: usize,
}

/// The response at the start of `input`, or `None` while it is incomplete.
pub fn read_response(input: &[u8]) -> Result<Option<Response<'_>>, &'static str> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(input) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if input.len() > 64 << 10 => return Err("endless response head"),
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("response is not HTTP"),
    };
    let status = response.code.unwrap_or(0);
    let (mut body_len, mut chunked, mut closes, mut retry_after_s) = (None, false, false, None);
    for h in response.headers.iter() {
        if h.name.eq_ignore_ascii_case("content-length") {
            body_len = Some(number(h.value).ok_or("bad Content-Length")?);
        } else if h.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = h.value.eq_ignore_ascii_case(b"chunked");
        } else if h.name.eq_ignore_ascii_case("connection") {
            closes = h.value.eq_ignore_ascii_case(b"close");
        } else if h.name.eq_ignore_ascii_case("retry-after") {
            retry_after_s = number(h.value).map(|n| n as u32);
        }
    }
    let (body, len) = if chunked {
        match read_chunks(&input[head..])? {
            Some((body, len)) => (Cow::Owned(body), head + len),
            None => return Ok(None),
        }
    } else {
        let body_len = match body_len {
            Some(n) => n,
            None if status == 204 || status == 304 => 0,
            None => return Err("response without Content-Length"),
        };
        if body_len > RESPONSE_LEN_MAX {
            return Err("response above 16 MiB");
        }
        match input.get(head..head + body_len) {
            Some(body) => (Cow::Borrowed(body), head + body_len),
            None => return Ok(None),
        }
    };
    Ok(Some(Response { status, body, closes, retry_after_s, len }))
}

/// Joins the chunks of a body (RFC 9112 §7.1); gives the body and the bytes it took.
fn read_chunks(input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, &'static str> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let (start, size) = match httparse::parse_chunk_size(&input[at..]) {
            Ok(httparse::Status::Complete((n, size))) => (at + n, size),
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err("bad chunk size"),
        };
        if size > RESPONSE_LEN_MAX as u64 || body.len() + size as usize > RESPONSE_LEN_MAX {
            return Err("response above 16 MiB");
        }
        let end = start + size as usize;
        // Every chunk, the last (empty) one too, ends with CRLF. Trailers are not sent by any server we load.
        let Some(chunk) = input.get(start..end + 2) else { return Ok(None) };
        body.extend_from_slice(&chunk[..size as usize]);
        at = end + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

fn number(value: &[u8]) -> Option<usize> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Seconds to wait before asking again after a 429 or 503: the body's exact `retry_after`, else the
/// header, else one second; never more than a minute.
pub fn retry_delay_s(body: &[u8], header_s: Option<u32>) -> f64 {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]);
    let exact = text.find("\"retry_after\":").and_then(|i| {
        let digits = text[i + 14..].trim_start();
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        digits[..end].parse::<f64>().ok()
    });
    exact.or(header_s.map(f64::from)).unwrap_or(1.0).clamp(0.01, 60.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests() {
        let origin = Origin { host: "h:1".into(), bypass: Some("s".into()) };
        let mut out = Vec::new();
        origin.write_request(&mut out, "POST", "/p", "t", b"{}");
        let want = "POST /p HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer t\r\nX-RateLimit-Bypass: s\r\n\
                    Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(out).unwrap(), want);
        let mut out = Vec::new();
        Origin { host: "h".into(), bypass: None }.write_request(&mut out, "GET", "/", "", b"");
        assert_eq!(out, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn responses_are_whole_or_nothing() {
        for (input, status, body) in [
            ("HTTP/1.1 200 OK\r\ncontent-LENGTH: 3\r\n\r\nabc", 200, "abc"),
            ("HTTP/1.1 204 No\r\n\r\n", 204, ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                200,
                "abcde",
            ),
        ] {
            let whole = input.as_bytes();
            for cut in 0..whole.len() {
                assert_eq!(read_response(&whole[..cut]), Ok(None), "{input:?} cut at {cut}");
            }
            let mut twice = whole.to_vec();
            twice.extend_from_slice(whole);
            let got = read_response(&twice).unwrap().unwrap();
            assert_eq!((got.status, &*got.body, got.len), (status, body.as_bytes(), whole.len()));
        }
    }

    #[test]
    fn response_headers_that_matter() {
        let input = b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nConnection: Close\r\nContent-Length: 0\r\n\r\n";
        let got = read_response(input).unwrap().unwrap();
        assert_eq!((got.closes, got.retry_after_s), (true, Some(7)));
    }

    #[test]
    fn bad_responses() {
        for (input, want) in [
            ("nonsense\r\n\r\n", "response is not HTTP"),
            ("HTTP/1.1 200 OK\r\n\r\n", "response without Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "bad Content-Length"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", "response above 16 MiB"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "bad chunk size"),
        ] {
            assert_eq!(read_response(input.as_bytes()), Err(want), "{input:?}");
        }
    }

    #[test]
    fn retry_delays() {
        for (body, header, want) in [
            (r#"{"error":{"retry_after":1.5}}"#, Some(2), 1.5),
            (r#"{"retry_after": 3,"x":1}"#, None, 3.0),
            ("", Some(4), 4.0),
            ("{}", None, 1.0),
            (r#"{"retry_after":99999}"#, None, 60.0),
        ] {
            assert_eq!(retry_delay_s(body.as_bytes(), header), want, "{body}");
        }
    }
}
