//! What of an answer is sent: all of it, a part, or nothing because the client has it (RFC 9110 §13 and §14).
//!
//! Holds for every answer with an `etag`, whatever its body comes from: one that names it in `If-None-Match` gets a
//! 304, and a part of it can be asked for with `Range`. All tags here are strong.

use super::ctx::{Ctx, Response};
use super::dispatch::refuse;
use crate::domain::Error;
use crate::wire::http::{Head, Method};

/// What of a body of some length a `Range` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Nothing that is understood here, or several parts: everything is an answer to that.
    All,
    Part {
        start: u64,
        len: u64,
    },
    /// It begins behind the end.
    Nothing,
}

/// The answer as it is sent to who asked like this.
pub fn select(ctx: &Ctx<'_>, mut response: Response) -> Response {
    let head = &ctx.request.head;
    let Some(etag) = response.header("etag").map(str::to_string) else { return response };
    if is_known(head, &etag) {
        response.status = 304;
        response.body.clear();
        response.content = None;
        return response;
    }
    if response.status != 200 {
        return response;
    }
    let Some(len) = response.body_len() else { return response };
    response.headers.push(("accept-ranges", "bytes".to_string()));
    match wanted_of(head, etag.as_bytes(), len) {
        Wanted::All => response,
        Wanted::Part { start, len: part } => {
            response.status = 206;
            response.headers.push(("content-range", format!("bytes {start}-{}/{len}", start + part - 1)));
            response.narrow(start, part);
            response
        }
        Wanted::Nothing => {
            // Of the refusal itself neither is true.
            response.headers.retain(|(name, _)| !["etag", "cache-control"].contains(name));
            response.headers.push(("content-range", format!("bytes */{len}")));
            refuse(Error::new(416, format!("The range begins behind the end of {len} bytes")), response)
        }
    }
}

/// Whether who asks has what has this tag.
pub fn is_known(head: &Head<'_>, etag: &str) -> bool {
    head.header_all("if-none-match").any(|value| names(value, etag.as_bytes()))
}

/// Whether a list of entity tags names this one, weakly compared (RFC 9110 §13.1.2).
fn names(list: &[u8], etag: &[u8]) -> bool {
    let mut tags = list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    tags.any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag)
}

fn wanted_of(head: &Head<'_>, etag: &[u8], len: u64) -> Wanted {
    // A date never matches: nothing here says when it was changed. Neither does a weak tag (§13.1.5).
    let is_stale = head.header("if-range").is_some_and(|validator| validator != etag);
    let mut ranges = head.header_all("range");
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if head.method == Method::Get && !is_stale => wanted(range, len),
        _ => Wanted::All,
    }
}

/// One `Range` of a body (§14.1.2). Anything that is no such thing is as if it were not there.
fn wanted(range: &[u8], len: u64) -> Wanted {
    let part = std::str::from_utf8(range).ok().and_then(|text| {
        let (unit, range) = text.split_once('=')?;
        let (first, last) = range.trim().split_once('-')?;
        unit.eq_ignore_ascii_case("bytes").then_some((first, last))
    });
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // So many digits are behind any end.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match part {
        Some(("", last)) => match number(last) {
            Some(0) => Wanted::Nothing,
            Some(_) if len == 0 => Wanted::Nothing,
            Some(count) => Wanted::Part { start: len.saturating_sub(count), len: count.min(len) },
            None => Wanted::All,
        },
        Some((first, last)) => {
            let end = if last.is_empty() { Some(u64::MAX) } else { number(last) };
            match (number(first), end) {
                (Some(start), Some(end)) if end < start => Wanted::All,
                (Some(start), Some(_)) if start >= len => Wanted::Nothing,
                (Some(start), Some(end)) => Wanted::Part { start, len: end.min(len - 1) - start + 1 },
                _ => Wanted::All,
            }
        }
        None => Wanted::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Harness;

    #[test]
    fn ranges() {
        let part = |start, len| Wanted::Part { start, len };
        for (range, want) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-9", part(0, 10)),
            ("bytes=2-4", part(2, 3)),
            ("Bytes=9-", part(9, 1)),
            ("bytes= 3-100 ", part(3, 7)),
            ("bytes=3-99999999999999999999999", part(3, 7)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-100", part(0, 10)),
            ("bytes=10-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=10-20", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=5-4", Wanted::All),
            ("bytes=0-1,3-4", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("bytes=1", Wanted::All),
            ("bytes", Wanted::All),
            ("lines=0-1", Wanted::All),
            ("", Wanted::All),
        ] {
            assert_eq!(wanted(range.as_bytes(), 10), want, "{range}");
        }
        assert_eq!(wanted(b"bytes=0-", 0), Wanted::Nothing);
        assert_eq!(wanted(b"bytes=-1", 0), Wanted::Nothing);
    }

    /// Whatever the body comes from: written, shared.
    #[test]
    fn parts_of_answers() {
        let harness = Harness::default();
        for path in ["/api/v1/avatars/users/0", "/openapi.json"] {
            let ask = |method: &str, headers: &str| {
                harness.respond(&format!("{method} {path} HTTP/1.1\r\nhost: h\r\n{headers}\r\n"), "")
            };
            let whole = ask("GET", "");
            let etag = whole.header("etag").unwrap().to_string();
            let (bytes, len) = (whole.bytes(), whole.body_len().unwrap());
            assert_eq!((whole.status, whole.header("accept-ranges")), (200, Some("bytes")));

            let part = ask("GET", "Range: bytes=10-19\r\n");
            assert_eq!((part.status, part.bytes().as_slice()), (206, &bytes[10..20]));
            assert_eq!(part.header("content-range"), Some(format!("bytes 10-19/{len}").as_str()));
            assert_eq!(part.header("etag"), Some(etag.as_str()));
            assert_eq!(ask("GET", "Range: bytes=-5\r\n").bytes(), bytes[bytes.len() - 5..]);

            let status = |headers: &str| ask("GET", headers).status;
            assert_eq!(status(&format!("Range: bytes=0-1\r\nIf-Range: {etag}\r\n")), 206);
            for validator in ["\"x\"", &format!("W/{etag}"), "Thu, 26 Nov 2026 00:00:00 GMT"] {
                assert_eq!(status(&format!("Range: bytes=0-1\r\nIf-Range: {validator}\r\n")), 200);
            }
            assert_eq!(status(&format!("Range: bytes=0-1\r\nIf-None-Match: {etag}\r\n")), 304);
            assert_eq!(status("Range: bytes=0-1\r\nRange: bytes=0-1\r\n"), 200);
            let head = ask("HEAD", "Range: bytes=0-1\r\n");
            assert_eq!((head.status, head.body_len()), (200, Some(len)));

            let behind = ask("GET", &format!("Range: bytes={len}-\r\n"));
            assert_eq!((behind.status, behind.content_type), (416, "application/json"));
            assert_eq!(behind.header("content-range"), Some(format!("bytes */{len}").as_str()));
            assert_eq!((behind.header("etag"), behind.header("cache-control")), (None, None));
        }
        let plain = harness.respond("GET /health HTTP/1.1\r\nhost: h\r\nRange: bytes=0-1\r\n\r\n", "");
        assert_eq!((plain.status, plain.header("accept-ranges")), (200, None), "it has no tag");
    }
}
