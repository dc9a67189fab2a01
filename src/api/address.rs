//! Who is at the other end: the peer of the socket, or what a trusted proxy says of it.
//!
//! Invariant: without `api.trust_x_forwarded_for`, and from peers outside `api.trusted_proxies`, the headers count
//! for nothing; a client behind a proxy cannot choose its own address, since what it sent stands further left.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use ipnet::IpNet;

use crate::config::Api;
use crate::wire::http::Head;

/// Addresses and networks, as an option lists them.
#[derive(Debug)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t String>) -> Networks {
        let parse = |text: &String| {
            text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        };
        Networks(texts.into_iter().filter_map(parse).collect())
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// Proxies whose word is taken. Empty when `api.trust_x_forwarded_for` is off.
#[derive(Debug)]
pub struct TrustedProxies(Networks);

impl TrustedProxies {
    pub fn new(api: &Api) -> TrustedProxies {
        TrustedProxies(Networks::new(api.trusted_proxies.iter().filter(|_| api.trust_x_forwarded_for)))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(address)
    }

    /// The rightmost hop that is no trusted proxy. A hop that is no address ends the search at the one before it.
    pub fn client(&self, peer: IpAddr, head: &Head<'_>) -> IpAddr {
        let mut client = peer.to_canonical();
        if !head.forwarded {
            return client;
        }
        if !self.contains(client) {
            warn_untrusted(client);
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

    /// Whether the client speaks TLS to a proxy in front. Decides nothing but the scheme of the address that the client
    /// itself is told, so it needs no trust: a proxy's word, or a page of this very host that was itself got by TLS,
    /// from where a browser connects in no other way.
    pub fn is_https(head: &Head<'_>) -> bool {
        let proto =
            head.header("x-forwarded-proto").and_then(|value| value.rsplit(|&byte| byte == b',').next());
        if let Some(last) = proto.map(<[u8]>::trim_ascii) {
            return last.eq_ignore_ascii_case(b"https") || last.eq_ignore_ascii_case(b"wss");
        }
        let origin = head.header("origin").and_then(|origin| origin.strip_prefix(b"https://"));
        origin.is_some_and(|host| head.header("host").is_some_and(|own| own.eq_ignore_ascii_case(host)))
    }
}

/// Tells the operator, once, that a whole site may be counted as one address.
#[cold]
fn warn_untrusted(peer: IpAddr) {
    static IS_TOLD: AtomicBool = AtomicBool::new(false);
    if !IS_TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            %peer,
            "X-Forwarded-For comes from an address that is not trusted, so all clients behind it count as one for \
             limits and lockouts; if it is your proxy, set api.trusted_proxies to it and \
             api.trust_x_forwarded_for = true"
        );
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
    use crate::config::Api;
    use crate::config::Config;
    use crate::wire::http::{header_slots, parse_head};

    fn check(trust: bool, peer: &str, headers: &str, want: &str) {
        let config = Config {
            api: Api {
                trust_x_forwarded_for: trust,
                trusted_proxies: vec!["10.0.0.0/8".into(), "fd00::1".into()],
                ..Api::default()
            },
            ..Config::default()
        };
        let text = format!("GET / HTTP/1.1\r\nhost: h\r\n{headers}\r\n");
        let mut slots = header_slots();
        let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
        let proxies = TrustedProxies::new(&config.api);
        assert_eq!(proxies.client(peer.parse().unwrap(), &head).to_string(), want, "{headers}");
    }

    #[test]
    fn tls_in_front_is_seen() {
        let check = |headers: &str, want: bool| {
            let text = format!("GET / HTTP/1.1\r\nHost: chat.example\r\n{headers}\r\n");
            let mut slots = header_slots();
            let head = parse_head(text.as_bytes(), &mut slots).unwrap().unwrap();
            assert_eq!(TrustedProxies::is_https(&head), want, "{headers}");
        };
        check("", false);
        check("X-Forwarded-Proto: https\r\n", true);
        check("X-Forwarded-Proto: http, wss\r\n", true);
        check("X-Forwarded-Proto: https, http\r\n", false);
        check("Origin: https://chat.example\r\n", true);
        check("Origin: https://CHAT.example\r\nX-Forwarded-Proto: http\r\n", false);
        check("Origin: http://chat.example\r\n", false);
        check("Origin: https://app.example\r\n", false);
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
