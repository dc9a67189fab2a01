//! What the headers of a request say about its body and its connection (RFC 9112 §6, §9).
//! Tested through `parse_head`, in its file.
//!
//! Invariant: one length or one `chunked`, never both, never twice. Every other shape is an error, also where the
//! RFC would allow a repair: a proxy in front may have repaired it differently.

use httparse::Header;

use super::HttpError;
use super::target::is_authority;

/// Where the body is. Copy, so that it outlives the borrow of the buffer while more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// From the start of the buffer to the first byte of the body, skipped empty lines included.
    pub head_len: usize,
    pub body: BodyKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Neither Content-Length nor Transfer-Encoding.
    None,
    Sized(u64),
    Chunked,
}

/// What one pass over the headers finds.
pub(super) struct Facts {
    pub(super) body: BodyKind,
    host_seen: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) connection_upgrade: bool,
    pub(super) upgrade_websocket: bool,
    pub(super) expect_continue: bool,
    pub(super) forwarded: bool,
    pub(super) packed: bool,
}

impl Facts {
    pub(super) fn read(headers: &[Header<'_>], version_minor: u8) -> Result<Self, HttpError> {
        let mut facts = Facts {
            body: BodyKind::None,
            host_seen: false,
            close: false,
            keep_alive: false,
            connection_upgrade: false,
            upgrade_websocket: false,
            expect_continue: false,
            forwarded: false,
            packed: false,
        };
        for header in headers {
            facts.take(header, version_minor)?;
        }
        if version_minor == 1 && !facts.host_seen {
            return Err(HttpError::Host);
        }
        Ok(facts)
    }

    fn take(&mut self, header: &Header<'_>, version_minor: u8) -> Result<(), HttpError> {
        let (name, value) = (header.name, header.value);
        // The length rules out nearly every header with one comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case("host") => {
                if self.host_seen || !is_authority(value) {
                    return Err(HttpError::Host);
                }
                self.host_seen = true;
            }
            6 if name.eq_ignore_ascii_case("expect") && version_minor == 1 => {
                if !value.eq_ignore_ascii_case(b"100-continue") {
                    return Err(HttpError::Expectation);
                }
                self.expect_continue = true;
            }
            7 if name.eq_ignore_ascii_case("upgrade") => {
                self.upgrade_websocket |= list_contains(value, "websocket");
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                self.close |= list_contains(value, "close");
                self.keep_alive |= list_contains(value, "keep-alive");
                self.connection_upgrade |= list_contains(value, "upgrade");
            }
            14 if name.eq_ignore_ascii_case("content-length") => self.content_length(value)?,
            15 if name.eq_ignore_ascii_case("x-forwarded-for") => self.forwarded = true,
            16 if name.eq_ignore_ascii_case("content-encoding") => {
                self.packed |= !value.is_empty() && !value.eq_ignore_ascii_case(b"identity");
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                self.transfer_encoding(value, version_minor)?
            }
            _ => {}
        }
        Ok(())
    }

    /// RFC 9112 §6.3 lets equal repetitions be merged. No client needs that, every smuggler does.
    fn content_length(&mut self, value: &[u8]) -> Result<(), HttpError> {
        self.body = match self.body {
            BodyKind::None => BodyKind::Sized(decimal(value).ok_or(HttpError::ContentLength)?),
            BodyKind::Sized(_) => return Err(HttpError::ContentLength),
            BodyKind::Chunked => return Err(HttpError::LengthConflict),
        };
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8], version_minor: u8) -> Result<(), HttpError> {
        match self.body {
            BodyKind::None if version_minor == 1 => {}
            BodyKind::Sized(_) => return Err(HttpError::LengthConflict),
            _ => return Err(HttpError::TransferEncoding),
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            let chunked_count = list(value).filter(|item| item.eq_ignore_ascii_case(b"chunked")).count();
            let malformed = chunked_count > 1 || list(value).any(<[u8]>::is_empty) || only_chunked(value);
            return Err(if malformed { HttpError::TransferEncoding } else { HttpError::CodingUnknown });
        }
        self.body = BodyKind::Chunked;
        Ok(())
    }
}

/// `chunked` in a disguise (parameters, quotes): not an unknown coding, but one that others might decode.
fn only_chunked(value: &[u8]) -> bool {
    let word = value.split(|b| !b.is_ascii_alphanumeric()).find(|word| !word.is_empty());
    word.is_some_and(|word| word.eq_ignore_ascii_case(b"chunked"))
}

/// `1*DIGIT` that fits.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// A comma list holds this token, without regard to case.
pub fn list_contains(value: &[u8], token: &str) -> bool {
    list(value).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
}

pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}
