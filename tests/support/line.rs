//! One keep-alive connection that never repeats a request: what it has no answer for may or may not have happened.

#![allow(dead_code, reason = "every test binary uses another part")]

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use crate::support::http::read_answer;
use crate::support::{Answer, PATIENCE, Value};

/// What every request shows at the gate, once there is one.
pub static ACCESS: OnceLock<String> = OnceLock::new();

pub struct Line {
    stream: BufReader<TcpStream>,
    /// What it shows there instead.
    pub access: Option<String>,
}

impl Line {
    /// Connects.
    pub fn open(address: SocketAddr) -> Result<Line, String> {
        let stream = TcpStream::connect(address).map_err(|e| format!("no connection: {e}"))?;
        stream.set_nodelay(true).expect("an open socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("an open socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("an open socket");
        Ok(Line { stream: BufReader::new(stream), access: None })
    }

    pub fn get(&mut self, path: &str, token: &str) -> Result<Answer, String> {
        self.call("GET", path, Some(token), None)
    }

    pub fn post(&mut self, path: &str, token: &str, body: &Value) -> Result<Answer, String> {
        self.call("POST", path, Some(token), Some(body))
    }

    /// One request under `/api/v1`, and its answer whatever the status.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        let body = body.map(ToString::to_string);
        self.send(method, path, token, body.as_ref().map(|body| ("application/json", body.as_bytes())))
    }

    /// The same with a body of any type.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<(&str, &[u8])>,
    ) -> Result<Answer, String> {
        let mut request = format!("{method} /api/v1{path} HTTP/1.1\r\nHost: test\r\n");
        if let Some(token) = token {
            request.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if let Some(access) = self.access.as_ref().or(ACCESS.get()) {
            request.push_str(&format!("X-API-Access-Token: {access}\r\n"));
        }
        if let Some((kind, body)) = body {
            request.push_str(&format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let bytes = [request.as_bytes(), body.map_or(&[][..], |(_, body)| body)].concat();
        self.stream.get_mut().write_all(&bytes).map_err(|e| format!("not sent: {e}"))?;
        let mut answer = read_answer(&mut self.stream, false)?;
        answer.request = format!("{method} {path}");
        Ok(answer)
    }
}

/// Has the connection end with RST when it is closed.
pub fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (value, len) = ((&raw const linger).cast(), size_of::<libc::linger>() as u32);
    // SAFETY: the option is readable for its length and the socket is open.
    let set = unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, len) };
    assert_eq!(set, 0);
}
