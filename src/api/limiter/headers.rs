//! How a limit is told to the client: header lines and the body of a 429 (contract README §6).
//!
//! Owns: their spelling. Times in headers are Unix seconds with 3 decimals, whatever `api.timestamp_unit`
//! says. Invariant: appends to the caller's buffer, nothing else.

use super::RuleId;

/// The message of a rate limit's 429; slowmode and quotas may have their own.
pub const MESSAGE: &str = "You are being rate limited.";

/// The numbers of the bucket that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    pub rule: RuleId,
    pub limit: u32,
    pub remaining: u32,
    /// Unix time in ms.
    pub reset_unix_ms: u64,
    pub reset_after_ms: u64,
    /// 0 on an allowed answer, ≥ 1 on a refusal.
    pub retry_after_ms: u64,
}

impl Numbers {
    /// Whether these belong to a 429.
    pub fn is_refusal(&self) -> bool {
        self.retry_after_ms > 0
    }

    /// Appends the header lines, each ending in CRLF; about 220 bytes.
    pub fn write_headers(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-RateLimit-Limit: ");
        integer(out, u64::from(self.limit));
        out.extend_from_slice(b"\r\nX-RateLimit-Remaining: ");
        integer(out, u64::from(self.remaining));
        out.extend_from_slice(b"\r\nX-RateLimit-Reset: ");
        seconds(out, self.reset_unix_ms);
        out.extend_from_slice(b"\r\nX-RateLimit-Reset-After: ");
        seconds(out, self.reset_after_ms);
        out.extend_from_slice(b"\r\nX-RateLimit-Bucket: ");
        hex16(out, self.rule.bucket_hash());
        out.extend_from_slice(b"\r\nX-RateLimit-Scope: ");
        out.extend_from_slice(self.rule.rule().scope.as_bytes());
        out.extend_from_slice(b"\r\n");
        if self.is_refusal() {
            write_retry_after(out, self.retry_after_ms);
            if self.rule == RuleId::Global {
                out.extend_from_slice(b"X-RateLimit-Global: true\r\n");
            }
        }
    }

    /// Appends the body of the 429.
    pub fn write_body(&self, out: &mut Vec<u8>) {
        let global = self.rule == RuleId::Global;
        write_refusal_body(out, MESSAGE, self.retry_after_ms, global, self.rule.rule().scope);
    }
}

/// `Retry-After` in whole seconds, rounded up, at least 1; for 429s of other origin too (slowmode, quotas).
pub fn write_retry_after(out: &mut Vec<u8>, retry_after_ms: u64) {
    out.extend_from_slice(b"Retry-After: ");
    integer(out, retry_after_ms.div_ceil(1000).max(1));
    out.extend_from_slice(b"\r\n");
}

/// The body of any 429. `message` and `scope` are ours and need no JSON escapes.
pub fn write_refusal_body(
    out: &mut Vec<u8>,
    message: &'static str,
    retry_after_ms: u64,
    global: bool,
    scope: &'static str,
) {
    debug_assert!(!message.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\'));
    out.extend_from_slice(b"{\"error\":{\"code\":429,\"message\":\"");
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(b"\",\"retry_after\":");
    number(out, retry_after_ms);
    out.extend_from_slice(b"},\"message\":\"");
    out.extend_from_slice(message.as_bytes());
    out.extend_from_slice(b"\",\"retry_after\":");
    number(out, retry_after_ms);
    out.extend_from_slice(b",\"global\":");
    out.extend_from_slice(if global { b"true" } else { b"false" });
    out.extend_from_slice(b",\"scope\":\"");
    out.extend_from_slice(scope.as_bytes());
    out.extend_from_slice(b"\"}");
}

fn integer(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Milliseconds as seconds with 3 decimals.
fn seconds(out: &mut Vec<u8>, ms: u64) {
    integer(out, ms / 1000);
    out.push(b'.');
    out.extend([ms / 100, ms / 10, ms].map(|digits| b'0' + (digits % 10) as u8));
}

/// The same as a JSON number: one decimal at least, so that typed clients always see a fraction.
fn number(out: &mut Vec<u8>, ms: u64) {
    seconds(out, ms);
    for _ in 0..2 {
        if out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

fn hex16(out: &mut Vec<u8>, value: u64) {
    out.extend((0..16).rev().map(|digit| b"0123456789abcdef"[(value >> (4 * digit)) as usize & 15]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    const ALLOWED: Numbers = Numbers {
        rule: RuleId::MessagesCreate,
        limit: 8,
        remaining: 7,
        reset_unix_ms: 1_700_000_001_005,
        reset_after_ms: 1_000,
        retry_after_ms: 0,
    };

    #[test]
    fn headers_of_an_allowed_answer() {
        assert_eq!(
            text(|out| ALLOWED.write_headers(out)),
            format!(
                "X-RateLimit-Limit: 8\r\nX-RateLimit-Remaining: 7\r\nX-RateLimit-Reset: 1700000001.005\r\n\
                 X-RateLimit-Reset-After: 1.000\r\nX-RateLimit-Bucket: {:016x}\r\nX-RateLimit-Scope: resource\r\n",
                RuleId::MessagesCreate.bucket_hash()
            )
        );
    }

    #[test]
    fn a_refusal_says_when_to_come_back() {
        let route = Numbers { remaining: 0, retry_after_ms: 1_500, ..ALLOWED };
        let headers = text(|out| route.write_headers(out));
        assert!(headers.ends_with("X-RateLimit-Scope: resource\r\nRetry-After: 2\r\n"), "{headers}");
        assert_eq!(
            text(|out| route.write_body(out)),
            r#"{"error":{"code":429,"message":"You are being rate limited.","retry_after":1.5},"message":"You are being rate limited.","retry_after":1.5,"global":false,"scope":"resource"}"#
        );
        let global = Numbers { rule: RuleId::Global, ..route };
        let headers = text(|out| global.write_headers(out));
        assert!(
            headers.ends_with("X-RateLimit-Scope: global\r\nRetry-After: 2\r\nX-RateLimit-Global: true\r\n")
        );
        assert!(text(|out| global.write_body(out)).ends_with(r#""global":true,"scope":"global"}"#));
    }

    #[test]
    fn numbers() {
        let check = |ms, want_number: &str, want_retry: &str| {
            assert_eq!(text(|out| number(out, ms)), want_number);
            assert_eq!(text(|out| write_retry_after(out, ms)), format!("Retry-After: {want_retry}\r\n"));
        };
        check(0, "0.0", "1");
        check(1, "0.001", "1");
        check(250, "0.25", "1");
        check(1_000, "1.0", "1");
        check(1_001, "1.001", "2");
        check(3_600_000, "3600.0", "3600");
    }
}
