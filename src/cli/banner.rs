//! What the operator sees when the server is up: one screen, on stderr like the logs.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::print;
use crate::config::API_LEVEL;
use crate::net::Started;

/// Prints [`text`] on stderr.
pub fn print(info: &Started<'_>) {
    print::err(&text(info));
}

/// The banner, with a command to try.
#[must_use]
pub fn text(info: &Started<'_>) -> String {
    let mut out = String::new();
    let host = reachable(info.http);
    let base = format!("http://{host}{}", info.api_prefix);
    let cores = if info.core_count == 1 { "1 core" } else { &format!("{} cores", info.core_count) };
    let pinned = if info.pinned { ", pinned" } else { "" };
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name:<9}{value}");
    };
    line("REST", &base);
    line("gateway", &format!("ws://{host}/gateway"));
    if info.docs {
        line("docs", &format!("http://{host}/docs"));
    }
    match info.metrics {
        Some(address) => line("metrics", &format!("http://{}/metrics", reachable(address))),
        None => line("metrics", "off"),
    }
    line("runs on", &format!("{cores}{pinned}, io_uring {}", info.ring_features.join(" ")));
    line("data", &format!("{} (sync {})", info.data.display(), info.sync));
    let sample = r#"{"username":"ada","email":"ada@example.org","password":"Lovelace-1815!"}"#;
    format!(
        "\nplexichat {}, API level {API_LEVEL}, {}\n\n{out}\nTry it:\n  \
         curl {base}/auth/register -H 'Content-Type: application/json' \\\n    -d '{sample}'\n\n",
        env!("CARGO_PKG_VERSION"),
        info.environment,
    )
}

/// `0.0.0.0` is where we listen, not where a client on this machine connects to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let mut reachable = address;
    if address.ip().is_unspecified() {
        let loopback = match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        };
        reachable.set_ip(loopback);
    }
    reachable
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn info() -> Started<'static> {
        Started {
            environment: "development",
            http: "0.0.0.0:8000".parse().unwrap(),
            api_prefix: "/api/v1",
            docs: true,
            metrics: Some("127.0.0.1:9600".parse().unwrap()),
            core_count: 2,
            pinned: true,
            ring_features: &["SINGLE_ISSUER", "DEFER_TASKRUN"],
            data: Path::new("/var/lib/plexichat"),
            sync: "always",
        }
    }

    #[test]
    fn says_where_and_what() {
        let text = text(&info());
        for part in [
            "API level a.1.0-49, development\n",
            "REST     http://127.0.0.1:8000/api/v1\n",
            "gateway  ws://127.0.0.1:8000/gateway\n",
            "docs     http://127.0.0.1:8000/docs\n",
            "metrics  http://127.0.0.1:9600/metrics\n",
            "runs on  2 cores, pinned, io_uring SINGLE_ISSUER DEFER_TASKRUN\n",
            "data     /var/lib/plexichat (sync always)\n",
            "curl http://127.0.0.1:8000/api/v1/auth/register ",
        ] {
            assert!(text.contains(part), "{part}\nis missing in\n{text}");
        }
        assert!(text.lines().count() <= 24 && text.lines().all(|line| line.len() <= 100), "{text}");
    }

    #[test]
    fn other_machines() {
        let http = "[::]:80".parse().unwrap();
        let text =
            text(&Started { http, docs: false, metrics: None, core_count: 1, pinned: false, ..info() });
        assert!(text.contains("ws://[::1]:80/gateway\n") && text.contains("metrics  off\n"), "{text}");
        assert!(text.contains("1 core, io_uring") && !text.contains("docs"), "{text}");
    }
}
