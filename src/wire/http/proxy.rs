//! The PROXY protocol, version 2 (HAProxy, "The PROXY protocol", §2.2): what a balancer writes in front of everything
//! else, so that the server learns for whom it has connected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::HttpError;

/// How it begins, in its binary and its text form.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
pub(super) const TEXT: &[u8] = b"PROXY ";

/// Signature, version and command, family and transport, length of what follows.
const FIXED_LEN: usize = 16;
/// What every receiver must take (§2.2), with room for the extensions in use: of certificates come names, not the whole.
const LEN_MAX: usize = 536;

/// What stands in front of the first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Bytes, extensions included.
    pub len: usize,
    /// For whom the connection is; `None`: for the balancer itself (a health check), or of a family without addresses.
    pub client: Option<IpAddr>,
}

/// Reads the header at the front of a growing buffer. `None`: not all of it is here. Extensions are stepped over.
///
/// # Errors
/// As soon as the bytes cannot become one, or one that is too long.
pub fn proxy_header(input: &[u8]) -> Result<Option<ProxyHeader>, HttpError> {
    let begun = input.len().min(SIGNATURE.len());
    if input[..begun] != SIGNATURE[..begun] {
        return Err(HttpError::ProxyMissing);
    }
    let Some(fixed) = input.first_chunk::<FIXED_LEN>() else { return Ok(None) };
    let [.., command, family, len_high, len_low] = *fixed;
    let len = FIXED_LEN + usize::from(u16::from_be_bytes([len_high, len_low]));
    if len > LEN_MAX {
        return Err(HttpError::ProxyMalformed);
    }
    let address_len = match (command, family) {
        // LOCAL: whatever follows counts for nothing.
        (0x20, _) => 0,
        // PROXY, of an unknown family, over TCP by IPv4 and IPv6, from a Unix socket.
        (0x21, 0x00) => 0,
        (0x21, 0x11) => 12,
        (0x21, 0x21) => 36,
        (0x21, 0x31) => 216,
        _ => return Err(HttpError::ProxyMalformed),
    };
    if len < FIXED_LEN + address_len {
        return Err(HttpError::ProxyMalformed);
    }
    let Some(addresses) = input.get(FIXED_LEN..len) else { return Ok(None) };
    let client = match address_len {
        12 => addresses.first_chunk().map(|octets: &[u8; 4]| IpAddr::from(Ipv4Addr::from(*octets))),
        36 => addresses.first_chunk().map(|octets: &[u8; 16]| IpAddr::from(Ipv6Addr::from(*octets))),
        _ => None,
    };
    Ok(Some(ProxyHeader { len, client: client.map(|address| address.to_canonical()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &[u8] = b"\xc0\x00\x02\x07\x7f\0\0\x01\xdb\x1c\x01\xbb";

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, rest].concat()
    }

    /// The same from every split; nothing of what follows is looked at.
    fn check(bytes: &[u8], want: Result<Option<&str>, HttpError>) {
        let show = |got: ProxyHeader| {
            assert_eq!(got.len, bytes.len());
            got.client.map_or("none".to_owned(), |client| client.to_string())
        };
        let got = proxy_header(bytes).map(|header| header.map(show));
        assert_eq!(got, want.map(|want| want.map(str::to_owned)), "{}", bytes.escape_ascii());
        for len in 0..bytes.len() {
            match proxy_header(&bytes[..len]) {
                Ok(None) => {}
                early => assert_eq!(early.map(|header| header.map(show)), got, "cut at {len}"),
            }
        }
        let more = [bytes, b"GET / HTTP/1.1\r\n"].concat();
        if matches!(got, Ok(Some(_))) {
            assert_eq!(proxy_header(&more), proxy_header(bytes));
        }
    }

    #[test]
    fn clients_are_named() {
        check(&header(0x21, 0x11, V4), Ok(Some("192.0.2.7")));
        let v6 = [&Ipv6Addr::LOCALHOST.octets()[..], &[0; 20]].concat();
        check(&header(0x21, 0x21, &v6), Ok(Some("::1")));
        let mapped = [&Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped().octets()[..], &[0; 20]].concat();
        check(&header(0x21, 0x21, &mapped), Ok(Some("192.0.2.9")));
        // An authority (0x02) and a checksum (0x03) behind it.
        let extended = [V4, b"\x02\0\x04chat", b"\x03\0\x04\0\0\0\0"].concat();
        check(&header(0x21, 0x11, &extended), Ok(Some("192.0.2.7")));
        check(&header(0x21, 0x11, &[V4, &[0; 508]].concat()), Ok(Some("192.0.2.7")));
    }

    #[test]
    fn some_are_nobody_else() {
        check(&header(0x20, 0x00, b""), Ok(Some("none")));
        check(&header(0x20, 0x11, V4), Ok(Some("none")));
        check(&header(0x20, 0xff, b"anything"), Ok(Some("none")));
        check(&header(0x21, 0x00, b"anything"), Ok(Some("none")));
        check(&header(0x21, 0x31, &[0; 216]), Ok(Some("none")));
    }

    #[test]
    fn what_is_none_is_refused_at_its_first_wrong_byte() {
        check(b"G", Err(HttpError::ProxyMissing));
        check(b"\r\n\r\n\0\r\nQUIX", Err(HttpError::ProxyMissing));
        check(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Err(HttpError::ProxyMissing));
        check(b"\r\n\r\n\0\r\nQUIT\n\x21", Ok(None));
        for (command, family, rest) in [
            // Versions, commands, families and transports that are not.
            (0x11, 0x11, V4),
            (0x22, 0x11, V4),
            (0x21, 0x41, V4),
            (0x21, 0x12, V4),
            (0x21, 0x01, V4),
            // Too short for its addresses, too long for anybody.
            (0x21, 0x11, &V4[..11]),
            (0x21, 0x21, V4),
            (0x21, 0x31, &[0; 215]),
            (0x21, 0x11, &[0; 521]),
            (0x20, 0x00, &[0; 521]),
        ] {
            check(&header(command, family, rest), Err(HttpError::ProxyMalformed));
        }
    }
}
