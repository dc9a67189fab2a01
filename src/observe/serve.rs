//! `GET /metrics` on a thread of its own, with plain blocking sockets: a scraper comes once in ten seconds, and must
//! be answered even when every core is stuck.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::exposition::{CONTENT_TYPE, CONTENT_TYPE_CLASSIC, classic, encode};
use super::metrics::Registry;
use crate::limits::KIB;

const REQUEST_LEN_MAX: usize = 8 * KIB;
/// For the whole request, however slowly its bytes come: connections are served one after the other.
const READ_TIMEOUT: Duration = Duration::from_secs(2);
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// After a failed accept (out of descriptors), so that the thread does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on `address` and serves until the process ends. Returns the address in use, which has the port when 0 was
/// asked for.
///
/// # Errors
/// The address cannot be bound, or no thread can be started.
pub fn serve_metrics(address: SocketAddr, registry: Arc<Registry>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    let spare = || File::open("/dev/null").ok();
    let mut reserve = spare();
    let serve = move || {
        loop {
            match listener.accept() {
                // A scraper that went away is no concern of ours.
                Ok((connection, _)) => {
                    let _ = answer(connection, &registry);
                    reserve = reserve.take().or_else(spare);
                }
                // Out of descriptors: the scraper gets the one that is kept for him.
                Err(_) if reserve.take().is_some() => {}
                Err(_) => {
                    std::thread::sleep(ACCEPT_PAUSE);
                    reserve = spare();
                }
            }
        }
    };
    std::thread::Builder::new().name("metrics".to_owned()).spawn(serve)?;
    Ok(bound)
}

fn answer(mut connection: TcpStream, registry: &Arc<Registry>) -> io::Result<()> {
    connection.set_write_timeout(Some(WRITE_TIMEOUT))?;
    let mut buffer = [0; REQUEST_LEN_MAX];
    let length = read_head(&mut connection, &mut buffer)?;
    let (status, content_type, body) = respond(&buffer[..length], registry);
    let is_head = buffer.starts_with(b"HEAD ");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    if !is_head {
        connection.write_all(body.as_bytes())?;
    }
    connection.shutdown(std::net::Shutdown::Write)
}

/// Reads until the empty line, the end, or a full buffer.
fn read_head(connection: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let deadline = Instant::now() + READ_TIMEOUT;
    let mut length = 0;
    while length < buffer.len() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        connection.set_read_timeout(Some(left))?;
        match connection.read(&mut buffer[length..])? {
            0 => break,
            received => length += received,
        }
        if memchr::memmem::find(&buffer[..length], b"\r\n\r\n").is_some() {
            break;
        }
    }
    Ok(length)
}

/// Status line, content type, body.
fn respond(request: &[u8], registry: &Arc<Registry>) -> (&'static str, &'static str, String) {
    const TEXT: &str = "text/plain; charset=utf-8";
    if memchr::memmem::find(request, b"\r\n\r\n").is_none() {
        return ("400 Bad Request", TEXT, "Bad request\n".to_owned());
    }
    let line = request.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|&byte| byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    match (method, path) {
        (b"GET" | b"HEAD", b"/metrics") if wants_classic(request) => {
            ("200 OK", CONTENT_TYPE_CLASSIC, classic(&encode(registry)))
        }
        (b"GET" | b"HEAD", b"/metrics") => ("200 OK", CONTENT_TYPE, encode(registry)),
        _ => ("404 Not Found", TEXT, "Only GET /metrics is here\n".to_owned()),
    }
}

/// The head prefers `text/plain` to OpenMetrics, by what it names (RFC 9110 §12.5.1). Who names neither gets the latter.
fn wants_classic(request: &[u8]) -> bool {
    let head = String::from_utf8_lossy(request);
    let is_accept = |name: &str| name.eq_ignore_ascii_case("accept");
    let accept = head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| is_accept(name));
    let accept = accept.map_or("", |(_, value)| value);
    let (mut classic, mut open) = (0.0_f32, 0.0_f32);
    for item in accept.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if name.eq_ignore_ascii_case("text/plain") || name.eq_ignore_ascii_case("text/*") {
            classic = classic.max(quality);
        } else if name.eq_ignore_ascii_case("application/openmetrics-text") {
            open = open.max(quality);
        }
    }
    classic > open
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Names;

    fn exchange(address: SocketAddr, request: &[u8]) -> String {
        let mut connection = TcpStream::connect(address).unwrap();
        connection.write_all(request).unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn serves_metrics_and_nothing_else() {
        let registry = Arc::new(Registry::new(1, Names::default()));
        registry.cores[0].turn_count.add(5);
        let address = serve_metrics("127.0.0.1:0".parse().unwrap(), registry).unwrap();
        let accepting = |accept: &str| {
            let request = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n");
            let answer = exchange(address, request.as_bytes());
            assert!(answer.contains("plexichat_turns_total{core=\"0\"} 5\n"), "{answer}");
            let is_classic = answer.contains("\r\nContent-Type: text/plain; version=0.0.4");
            let is_open = answer.ends_with("# EOF\n") && answer.contains("application/openmetrics-text");
            assert_ne!(is_classic, is_open, "{answer}");
            is_classic
        };
        for accept in ["text/plain", "text/plain;version=0.0.4, */*;q=0.1", "Text/*"] {
            assert!(accepting(accept), "{accept}");
        }
        let scraper =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3";
        for accept in ["*/*", "text/html", "text/plain;q=0", scraper] {
            assert!(!accepting(accept), "{accept}");
        }
        for (request, want) in [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
            ("GET /metrics?x=1 HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
            ("HEAD /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
            ("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
            ("\r\n\r\n", "HTTP/1.1 404 Not Found\r\n"),
            ("GET /metrics", "HTTP/1.1 400 Bad Request\r\n"),
            ("", "HTTP/1.1 400 Bad Request\r\n"),
        ] {
            let answer = exchange(address, request.as_bytes());
            assert!(answer.starts_with(want), "{request:?}: {answer}");
            let has_body = answer.contains("plexichat_turns_total{core=\"0\"} 5\n");
            assert_eq!(has_body, request.starts_with("GET /m") && want.contains("200"), "{request:?}");
        }
    }
}
