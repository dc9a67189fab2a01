//! Who is at the other end: the peer of the socket, or what a trusted proxy says of it.
//!
//! Invariant: without `api.trust_x_forwarded_for`, and from peers outside `api.trusted_proxies`, the headers count
//! for nothing; a client behind a proxy cannot choose its own address, since what it sent stands further left.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::config::Config;
use crate::wire::http::Head;

/// Proxies whose word is taken. Empty when `api.trust_x_forwarded_for` is off.
#[derive(Debug)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    pub fn new(config: &Config) -> TrustedProxies {
        let given = config.api_trusted_proxies.iter().filter(|_| config.api_trust_x_forwarded_for);
        let parse = |text: &String| {
            text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        TrustedProxies(given.filter_map(parse).collect())
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The rightmost hop that is no trusted proxy. A hop that is no address ends the search at the one before it.
    pub fn client(&self, peer: IpAddr, head: &Head<'_>) -> IpAddr {
        let mut client = peer.to_canonical();
        if self.0.is_empty() {
            return client;
        }
        let values: Vec<&[u8]> = head.header_all("x-forwarded-for").collect();
        let hops = values.iter().rev().flat_map(|value| value.rsplit(|&byte| byte == b','));
        for hop in hops {
            if !self.contains(client) {
                break;
            }
            let Some(address) = parse_hop(hop) else { break };
            client = address;
        }
        client
    }

    /// Whether the client speaks TLS to the proxy that passed the request on.
    pub fn is_https(&self, peer: IpAddr, head: &Head<'_>) -> bool {
        let proto = head.header("x-forwarded-proto").filter(|_| self.contains(peer.to_canonical()));
        proto.and_then(|value| value.rsplit(|&byte| byte == b',').next()).is_some_and(|last| {
            let last = last.trim_ascii();
            last.eq_ignore_ascii_case(b"https") || last.eq_ignore_ascii_case(b"wss")
        })
    }
}

/// An address, with or without brackets and port.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    bare.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::{header_slots, parse_head};

    fn check(trust: bool, peer: &str, headers: &str, want: &str) {
        let config = Config {
            api_trust_x_forwarded_for: trust,
            api_trusted_proxies: vec!["10.0.0.0/8".into(), "fd00::1".into()],
            ..Config::default()
        };
        let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
        let proxies = TrustedProxies::new(&config);
        assert_eq!(proxies.client(peer.parse().unwrap(), &head).to_string(), want, "{headers}");
    }

    #[test]
    fn rightmost_untrusted_hop() {
        check(false, "10.0.0.1", "X-Forwarded-For: 9.9.9.9\r\n", "10.0.0.1");
        check(true, "8.8.8.8", "X-Forwarded-For: 9.9.9.9\r\n", "8.8.8.8");
        check(true, "10.0.0.1", "", "10.0.0.1");
        check(true, "10.0.0.1", "X-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9");
        check(true, "::ffff:10.0.0.1", "X-Forwarded-For: 9.9.9.9:1234\r\n", "9.9.9.9");
        check(true, "fd00::1", "X-Forwarded-For: [2001:db8::1]:80\r\n", "2001:db8::1");
        check(true, "10.0.0.1", "X-Forwarded-For: 1.1.1.1, 9.9.9.9 , 10.2.3.4\r\n", "9.9.9.9");
        check(true, "10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 9.9.9.9\r\n", "9.9.9.9");
        check(true, "10.0.0.1", "X-Forwarded-For: 9.9.9.9, nonsense, 10.0.0.2\r\n", "10.0.0.2");
        check(true, "10.0.0.1", "X-Forwarded-For: 10.0.0.3\r\n", "10.0.0.3");
    }
}
