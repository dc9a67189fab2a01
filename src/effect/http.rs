//! Requests to other servers.
//!
//! Owns: what goes out by HTTP. Invariants:
//! - Nothing is followed: an answer that leads elsewhere is an answer.
//! - Whoever has chosen an address decides where it may lead: those of others than the operator's lead to public
//!   addresses alone, by TLS. It is the looked-up address that is judged, and that one is connected to.
//! - Every call ends in time, and with no more bytes than it said.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use ureq::config::{Config, ConfigBuilder};
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error, Timeout};

use super::lane::{Effect, Row};
use super::tls;
use crate::limits::KIB;

pub static LANE: Row = Row {
    name: "http",
    // They wait for others and cost nothing meanwhile.
    threads: |_| 8,
    // At ten seconds for the longest: more than half a minute nobody waits.
    queue_len_max: |_| 32,
    // As beside hashing; a handshake is a millisecond of processor time.
    niceness: 19,
    full: "Too many other servers are being asked; try again in a moment",
};

/// The heads of an answer, all of them.
const HEAD_LEN_MAX: usize = 32 * KIB;

/// Who has chosen the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// It may be anywhere, and be spoken to in the clear.
    Operator,
    /// A user, another server, or this program.
    Others,
}

/// A request.
pub struct Call {
    /// `http://…` or `https://…`.
    pub url: String,
    pub chosen_by: ChosenBy,
    /// Beside those that go without saying.
    pub headers: Vec<(&'static str, String)>,
    /// Its type and its bytes: a POST. Without one it is a GET.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// Bytes of the answer's body.
    pub len_max: usize,
    /// From looking the name up to the last byte of the answer.
    pub within: Duration,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Why nothing did.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// It leads to where it must not.
    Forbidden,
    /// It took too long.
    Late,
    /// The answer is longer than is taken.
    TooLong,
    /// Anything else, for the log.
    Unreachable(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Forbidden => f.write_str("its address is not public"),
            Failure::Late => f.write_str("it took too long to answer"),
            Failure::TooLong => f.write_str("its answer is too long"),
            Failure::Unreachable(why) => f.write_str(why),
        }
    }
}

impl Effect for Call {
    type Answer = Result<Answered, Failure>;
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        self.ask().map_err(|error| match error {
            Error::Timeout(Timeout::Resolve) => Failure::Unreachable("its name is not answered for".into()),
            Error::Timeout(_) => Failure::Late,
            Error::BodyExceedsLimit(_) => Failure::TooLong,
            Error::Other(error) if error.is::<NotPublic>() => Failure::Forbidden,
            error => Failure::Unreachable(error.to_string()),
        })
    }
}

impl Call {
    fn ask(self) -> Result<Answered, Error> {
        let agent = agent(self.chosen_by, self.within);
        let mut response = match self.body {
            Some((content_type, body)) => {
                let request = agent.post(&self.url).content_type(content_type);
                self.headers
                    .iter()
                    .fold(request, |request, (name, value)| request.header(*name, value))
                    .send(body)
            }
            None => {
                let request = agent.get(&self.url);
                self.headers
                    .iter()
                    .fold(request, |request, (name, value)| request.header(*name, value))
                    .call()
            }
        }?;
        let body = response.body_mut().with_config().limit(self.len_max as u64).read_to_vec()?;
        Ok(Answered { status: response.status().as_u16(), body })
    }
}

/// Calls of the operator's choosing, over connections that stay open: those of object storage, many in a row.
pub(super) fn agent_of_operator() -> Agent {
    const IDLE_COUNT_MAX: usize = 16;
    let config = config(ChosenBy::Operator)
        .max_idle_connections(IDLE_COUNT_MAX)
        .max_idle_connections_per_host(IDLE_COUNT_MAX)
        .timeout_connect(Some(Duration::from_secs(3)))
        .build();
    with_guard(config, ChosenBy::Operator)
}

/// One for each call: nothing is kept open, so nothing is stale.
fn agent(chosen_by: ChosenBy, within: Duration) -> Agent {
    let config = config(chosen_by).max_idle_connections(0).timeout_global(Some(within)).build();
    with_guard(config, chosen_by)
}

fn config(chosen_by: ChosenBy) -> ConfigBuilder<AgentScope> {
    let authorities = tls::authorities().iter().map(|der| Certificate::from_der(der).to_owned());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(authorities.collect())))
        .unversioned_rustls_crypto_provider(tls::provider())
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .https_only(chosen_by == ChosenBy::Others)
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .max_response_header_size(HEAD_LEN_MAX)
        .user_agent(concat!("plexichat/", env!("CARGO_PKG_VERSION")))
}

fn with_guard(config: Config, chosen_by: ChosenBy) -> Agent {
    let guard = Guard { chosen_by, names: DefaultResolver::default() };
    Agent::with_parts(config, DefaultConnector::default(), guard)
}

/// Looks names up, and refuses what must not be connected to.
#[derive(Debug)]
struct Guard {
    chosen_by: ChosenBy,
    names: DefaultResolver,
}

/// A name leads to an address that is not public.
#[derive(Debug)]
struct NotPublic;

impl std::fmt::Display for NotPublic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the address is not public")
    }
}

impl std::error::Error for NotPublic {}

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.names.resolve(uri, config, timeout)?;
        // All of them: which one is connected to is for the network to say.
        if self.chosen_by == ChosenBy::Others && !found.iter().all(|address| is_public(address.ip())) {
            return Err(Error::Other(Box::new(NotPublic)));
        }
        Ok(found)
    }
}

/// Whether anybody may be sent there: what is routed on the internet (the registries of special purposes, IANA). An
/// address that carries another one is judged by that.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let is_special = match address.octets() {
        [0 | 10 | 127, ..] | [240..=255, ..] => true,
        [100, second, ..] => second & 0b1100_0000 == 64,
        [169, 254, ..] | [192, 168, ..] => true,
        [172, second, ..] => second & 0b1111_0000 == 16,
        [192, 0, 0, _] | [192, 0, 2, _] | [192, 88, 99, _] => true,
        [198, 18 | 19, ..] | [198, 51, 100, _] | [203, 0, 113, _] => true,
        _ => false,
    };
    !is_special && !address.is_multicast()
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let carried = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        // NAT64, and 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(carried(high, low)),
        [0x2002, high, low, ..] => is_public_v4(carried(high, low)),
        // Protocols and benchmarks, documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// A server that reads a request to its blank line, sends each piece after a pause, and tells what it has read.
    fn serve(pieces: Vec<(u64, String)>) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/path?q=1", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut piece = [0; 4_096];
            while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
                match socket.read(&mut piece).unwrap() {
                    0 => break,
                    count => seen.extend_from_slice(&piece[..count]),
                }
            }
            for (pause_ms, text) in pieces {
                thread::sleep(Duration::from_millis(pause_ms));
                if socket.write_all(text.as_bytes()).is_err() {
                    break;
                }
            }
            String::from_utf8(seen).unwrap()
        });
        (url, server)
    }

    fn call(url: &str) -> Call {
        Call {
            url: url.into(),
            chosen_by: ChosenBy::Operator,
            headers: vec![("accept", "application/json".into())],
            body: None,
            len_max: 100,
            within: Duration::from_secs(20),
        }
    }

    fn answer(head: &str, body: &str) -> String {
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn an_answer_comes_whole_whatever_its_status() {
        for status in [200, 404, 500] {
            let (url, server) = serve(vec![(0, answer(&format!("{status} x"), "{}"))]);
            assert_eq!(call(&url).run(), Ok(Answered { status, body: b"{}".to_vec() }));
            let seen = server.join().unwrap();
            assert!(seen.starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{seen}");
            assert!(seen.contains("accept: application/json\r\n") && seen.contains("plexichat/"), "{seen}");
        }
    }

    #[test]
    fn a_body_is_posted() {
        let (url, server) = serve(vec![(0, answer("200 OK", "ok"))]);
        let body = Some(("application/x-www-form-urlencoded", b"a=b".to_vec()));
        assert_eq!(Call { body, ..call(&url) }.run().unwrap().body, b"ok");
        let seen = server.join().unwrap();
        assert!(seen.starts_with("POST /path?q=1 HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains("content-type: application/x-www-form-urlencoded\r\n"), "{seen}");
        assert!(seen.contains("content-length: 3\r\n"), "{seen}");
    }

    #[test]
    fn nothing_is_followed() {
        let (url, server) = serve(vec![(0, answer("302 x\r\nlocation: http://127.0.0.1:1/", ""))]);
        assert_eq!(call(&url).run().unwrap().status, 302);
        server.join().unwrap();
    }

    #[test]
    fn too_much_or_too_late_is_nothing() {
        let (url, server) = serve(vec![(0, answer("200 OK", &"x".repeat(101)))]);
        assert_eq!(call(&url).run(), Err(Failure::TooLong));
        server.join().unwrap();
        // A byte now and then is no progress.
        let drops = (0..100).map(|_| (50, "x".to_string()));
        let head = (0, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n".to_string());
        let (url, server) = serve([head].into_iter().chain(drops).collect());
        let begun = Instant::now();
        assert_eq!(Call { within: Duration::from_millis(400), ..call(&url) }.run(), Err(Failure::Late));
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        server.join().unwrap();
    }

    #[test]
    fn others_lead_to_public_addresses_by_tls_alone() {
        let others = |url: &str| Call { chosen_by: ChosenBy::Others, ..call(url) }.run();
        for url in
            ["https://127.0.0.1:1/", "https://[::1]:1/", "https://localhost:1/", "https://[::ffff:10.0.0.1]/"]
        {
            assert_eq!(others(url), Err(Failure::Forbidden), "{url}");
        }
        assert!(matches!(others("http://127.0.0.1:1/"), Err(Failure::Unreachable(_))));
        assert!(matches!(call("http://127.0.0.1:1/").run(), Err(Failure::Unreachable(_))));
        assert!(matches!(call("nonsense").run(), Err(Failure::Unreachable(_))));
    }

    #[test]
    fn what_is_public() {
        let judged = |texts: &[&str], want: bool| {
            for text in texts {
                assert_eq!(is_public(text.parse().unwrap()), want, "{text}");
            }
        };
        judged(&["8.8.8.8", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "198.17.0.1"], true);
        judged(&["2606:4700::1111", "2001:4860::8888", "64:ff9b::808:808", "2002:808:808::1"], true);
        judged(&["0.0.0.0", "10.1.2.3", "127.9.9.9", "100.64.0.1", "169.254.169.254", "172.16.0.1"], false);
        judged(
            &["172.31.255.255", "192.168.0.1", "192.0.0.8", "192.0.2.1", "198.18.0.1", "198.19.0.1"],
            false,
        );
        judged(&["198.51.100.7", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255"], false);
        judged(&["::", "::1", "fe80::1", "fc00::1", "fd00::1", "ff02::1", "2001:db8::1", "2001::1"], false);
        judged(&["::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "64:ff9b:1::1", "::8.8.8.8"], false);
    }
}
