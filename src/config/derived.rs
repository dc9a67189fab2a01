//! What follows from options: addresses as the system takes them, and what an empty one stands for.

use super::options::Config;
use super::value::parse_address;

impl Config {
    /// Where REST and gateway listen.
    #[must_use]
    pub fn http_address(&self) -> std::net::SocketAddr {
        address(&self.server.host, self.server.port)
    }

    /// Where `/metrics` listens, unless it is off.
    #[must_use]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        let on = self.metrics.enabled && self.metrics.port != 0;
        on.then(|| address(&self.metrics.host, self.metrics.port))
    }

    /// `versioning.min_supported_version`, or the own version when that is empty.
    #[must_use]
    pub fn min_supported_version(&self) -> &str {
        match self.versioning.min_supported_version.as_str() {
            "" => &self.application.version,
            version => version,
        }
    }

    /// `websocket.heartbeat_timeout_ms`, or twice the interval when that is 0 (gateway.md §7).
    #[must_use]
    pub fn heartbeat_timeout_ms(&self) -> u64 {
        match self.websocket.heartbeat_timeout_ms {
            0 => 2 * self.websocket.heartbeat_interval_ms,
            timeout_ms => timeout_ms,
        }
    }
}

fn address(host: &str, port: u64) -> std::net::SocketAddr {
    let host = parse_address(host).expect("Rule::Address let it in");
    std::net::SocketAddr::new(host, u16::try_from(port).expect("the range ends at 65535"))
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn empty_means_derived() {
        let config = Config::default();
        assert_eq!(config.min_supported_version(), "a.1.0-49");
        assert_eq!(config.heartbeat_timeout_ms(), 90_000);
        assert_eq!(config.http_address().to_string(), "127.0.0.1:8000");
        assert_eq!(config.metrics_address().map(|a| a.to_string()).as_deref(), Some("127.0.0.1:9600"));
        assert_eq!(
            Config { metrics: Metrics { port: 0, ..config.metrics }, ..config }.metrics_address(),
            None
        );
    }
}
