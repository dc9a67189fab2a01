//! What a target address may be.
//!
//! Invariant: nothing is connected to here; a target outside this machine is refused unless asked for.

use std::net::{SocketAddr, SocketAddrV4, ToSocketAddrs};

/// Where the server listens.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub address: SocketAddrV4,
    /// `Host` header.
    pub host: String,
}

impl Target {
    /// Reads `http://host[:port][/]`. Names are looked up; only IPv4 is spoken.
    pub fn parse(base: &str, allow_remote: bool) -> Result<Target, String> {
        if base.starts_with("https://") {
            return Err(format!("{base}: TLS is not spoken here; give the server's plain port."));
        }
        let rest = base.strip_prefix("http://").unwrap_or(base);
        let host = rest.strip_suffix('/').unwrap_or(rest);
        if host.is_empty() || host.contains('/') {
            return Err(format!("{base}: give an address such as http://127.0.0.1:8000, without a path."));
        }
        let with_port = if host.contains(':') { host.to_string() } else { format!("{host}:80") };
        let found = with_port.to_socket_addrs().map_err(|e| format!("{base}: {e}; check the address."))?;
        let address = found
            .filter_map(|a| match a {
                SocketAddr::V4(v4) => Some(v4),
                SocketAddr::V6(_) => None,
            })
            .next()
            .ok_or_else(|| format!("{base}: no IPv4 address; only IPv4 is spoken."))?;
        if !address.ip().is_loopback() && !allow_remote {
            return Err(format!(
                "{base} is not this machine; add --allow-remote if that server is yours to load."
            ));
        }
        Ok(Target { address, host: host.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for (base, remote, want) in [
            ("http://127.0.0.1:8000", false, Some("127.0.0.1:8000")),
            ("http://127.0.0.9:8000/", false, Some("127.0.0.9:8000")),
            ("127.0.0.1", false, Some("127.0.0.1:80")),
            ("http://10.0.0.1:80", false, None),
            ("http://10.0.0.1:80", true, Some("10.0.0.1:80")),
            ("https://127.0.0.1", false, None),
            ("http://127.0.0.1:8000/api", false, None),
            ("http://", false, None),
            ("http://127.0.0.1:x", false, None),
        ] {
            let got = Target::parse(base, remote).ok().map(|t| t.address.to_string());
            assert_eq!(got.as_deref(), want, "{base}");
        }
    }
}
