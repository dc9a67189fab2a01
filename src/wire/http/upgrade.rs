//! The opening handshake of a WebSocket, server side (RFC 6455 §4.2).

use tungstenite::handshake::derive_accept_key;

use super::framing::{BodyKind, list};
use super::head::{Head, Method};
use super::{DATE_LEN, HttpError};

/// The client's key when `head` is a sound upgrade request. Ask `head.websocket` first whether it wants to be one.
/// Errors: `WebSocketVersion` (426) for a version other than 13, else `Handshake` (400).
pub fn websocket_key<'a>(head: &Head<'a>) -> Result<&'a [u8], HttpError> {
    if head.method != Method::Get
        || !head.websocket
        || !matches!(head.framing.body, BodyKind::None | BodyKind::Sized(0))
    {
        return Err(HttpError::Handshake);
    }
    if only(head, "sec-websocket-version")? != b"13" {
        return Err(HttpError::WebSocketVersion);
    }
    let key = only(head, "sec-websocket-key")?;
    // 16 bytes in base64 are 22 characters and two of padding. The four unused bits of the last character are
    // not looked at: some clients draw the characters themselves.
    let sound = key.len() == 24
        && key.ends_with(b"==")
        && key[..22].iter().all(|&b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    if sound { Ok(key) } else { Err(HttpError::Handshake) }
}

fn only<'a>(head: &Head<'a>, name: &str) -> Result<&'a [u8], HttpError> {
    let mut values = head.header_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(HttpError::Handshake),
    }
}

/// `Sec-WebSocket-Accept` for a key.
pub fn accept_key(key: &[u8]) -> String {
    derive_accept_key(key)
}

/// What a client may ask for beside the WebSocket itself (RFC 6455 §1.9); both mean what is spoken here anyway.
const SUBPROTOCOLS: &[&str] = &["plexichat", "json"];

/// The first subprotocol a client offers that is ours. A client that offers others only is answered without: whether
/// it goes on is up to it (RFC 6455 §4.2.2).
pub fn subprotocol(head: &Head<'_>) -> Option<&'static str> {
    let mut offered = head.header_all("sec-websocket-protocol").flat_map(list);
    offered.find_map(|offer| SUBPROTOCOLS.iter().find(|ours| ours.as_bytes() == offer).copied())
}

/// Appends the 101 answer.
pub fn switching_protocols(
    out: &mut Vec<u8>,
    key: &[u8],
    date: &[u8; DATE_LEN],
    subprotocol: Option<&'static str>,
) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\ndate: ",
    );
    out.extend_from_slice(date);
    out.extend_from_slice(b"\r\nsec-websocket-accept: ");
    out.extend_from_slice(accept_key(key).as_bytes());
    if let Some(subprotocol) = subprotocol {
        out.extend_from_slice(b"\r\nsec-websocket-protocol: ");
        out.extend_from_slice(subprotocol.as_bytes());
    }
    out.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::{header_slots, http_date, parse_head};
    use super::*;

    const SOUND: &str = "GET /gateway HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    fn check(from: &str, to: &str, want: Result<&str, HttpError>) {
        assert!(SOUND.contains(from), "{from}");
        let request = SOUND.replacen(from, to, 1);
        let mut slots = header_slots();
        let head = parse_head(request.as_bytes(), &mut slots).unwrap().unwrap();
        assert_eq!(websocket_key(&head), want.map(str::as_bytes), "{to}");
    }

    #[test]
    fn sound_requests() {
        let key = Ok("dGhlIHNhbXBsZSBub25jZQ==");
        check("", "", key);
        check("websocket", "h2c, WebSocket", key);
        check("Upgrade\r\nSec", "UPGRADE\r\nConnection: x\r\nSec", key);
        check("Host: h", "Host: h\r\nContent-Length: 0", key);
        check("ZQ==", "ZR==", Ok("dGhlIHNhbXBsZSBub25jZR=="));
    }

    #[test]
    fn unsound_requests() {
        for (from, to) in [
            ("GET", "POST"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("websocket", "web"),
            ("websocket", "websockets"),
            ("Connection: keep-alive, Upgrade", "Connection: keep-alive"),
            ("Host: h", "Host: h\r\nContent-Length: 1"),
            ("Host: h", "Host: h\r\nTransfer-Encoding: chunked"),
            ("Sec-WebSocket-Version: 13\r\n", ""),
            ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13"),
            ("Sec-WebSocket-Key", "X"),
            ("ZQ==", "ZQ="),
            ("ZQ==", "ZQAA"),
            ("dGhl", "dG-l"),
            ("Host: h", "Host: h\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
        ] {
            check(from, to, Err(HttpError::Handshake));
        }
        check("13", "8", Err(HttpError::WebSocketVersion));
        assert_eq!(HttpError::WebSocketVersion.headers()[0], ("sec-websocket-version", "13"));
    }

    #[test]
    fn a_subprotocol_of_ours_is_chosen() {
        for (headers, want) in [
            ("", None),
            ("Sec-WebSocket-Protocol: chat, x\r\n", None),
            ("Sec-WebSocket-Protocol: chat, json\r\n", Some("json")),
            ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: plexichat,json\r\n", Some("plexichat")),
        ] {
            let request = SOUND.replacen("Host: h\r\n", &format!("Host: h\r\n{headers}"), 1);
            let mut slots = header_slots();
            let head = parse_head(request.as_bytes(), &mut slots).unwrap().unwrap();
            assert_eq!(subprotocol(&head), want, "{headers}");
        }
    }

    #[test]
    fn answer() {
        let mut out = Vec::new();
        switching_protocols(&mut out, b"dGhlIHNhbXBsZSBub25jZQ==", &http_date(0), Some("json"));
        let want = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            date: Thu, 01 Jan 1970 00:00:00 GMT\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
            sec-websocket-protocol: json\r\n\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
