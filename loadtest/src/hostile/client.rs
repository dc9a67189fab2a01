//! A client that waits for its answers, one thread each: enough for attackers, who are few and need not be measured.
//!
//! Invariant: nothing waits for ever; whoever is cut off gets an error and may connect again.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::Duration;

use crate::http::{self, Origin};
use crate::{gateway, net, ws};

/// Intents that clients have by default.
pub const INTENTS: u32 = 32_509;
/// Longest wait for room or for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest answer kept.
const ANSWER_LEN_MAX: usize = 64 << 20;

/// Where the server is, and how to ask it.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddrV4,
    /// Without the secret that lifts the limits.
    pub stranger: Origin,
    /// With it.
    pub friend: Origin,
}

/// The address that others see of this machine.
fn own_address() -> io::Result<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Sends nothing; it asks for the route to an address that is nobody's (RFC 5737).
    socket.connect((Ipv4Addr::new(198, 51, 100, 1), 9))?;
    match socket.local_addr()?.ip() {
        IpAddr::V4(own) if !own.is_loopback() && !own.is_unspecified() => Ok(own),
        _ => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

/// One connection.
pub struct Line {
    stream: TcpStream,
    input: Vec<u8>,
}

pub struct Reply {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self, key: &str) -> String {
        gateway::string_of(&self.body, key.as_bytes()).unwrap_or_default().to_string()
    }
}

impl Line {
    /// Connects from 127.0.0.`source`. A `window` of some bytes is what the server may send unread.
    pub fn open(target: &Target, source: u8, window: Option<u32>) -> io::Result<Line> {
        let from = Ipv4Addr::new(127, 0, 0, source);
        Line::on(net::connect(target.address, Some(from), window)?)
    }

    /// Connects from an address of this machine that is not loopback, to the same one: no packet leaves the machine.
    pub fn open_as_a_stranger(target: &Target) -> io::Result<Line> {
        let own = own_address()?;
        Line::on(net::connect(SocketAddrV4::new(own, target.address.port()), Some(own), None)?)
    }

    fn on(stream: TcpStream) -> io::Result<Line> {
        // A write to a socket that still connects waits for it.
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Line { stream, input: Vec::new() })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Up to a dozen bytes that wait to be read, without waiting for them; none when the server has ended it.
    pub fn peek(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; 12];
        self.stream.set_nonblocking(true)?;
        let len = self.stream.peek(&mut bytes);
        self.stream.set_nonblocking(false)?;
        bytes.truncate(len?);
        Ok(bytes)
    }

    /// Whether the server has neither said anything more nor ended it.
    pub fn is_silent(&self) -> bool {
        self.input.is_empty() && self.peek().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
    }

    /// Reads and forgets.
    pub fn discard(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 64 << 10];
        match self.stream.read(&mut chunk)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => Ok(len),
        }
    }

    /// Ends the connection for its reader, too.
    pub fn end(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    /// How long a write or a read may take from now on.
    pub fn stream_timeout(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))
    }

    pub fn reader(&self) -> io::Result<Line> {
        Ok(Line { stream: self.stream.try_clone()?, input: Vec::new() })
    }

    /// One request and its answer. `token` may be empty.
    pub fn call(
        &mut self,
        origin: &Origin,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
    ) -> io::Result<Reply> {
        let mut out = Vec::with_capacity(body.len() + 256);
        origin.write_request(&mut out, method, path, token, body.as_bytes());
        self.write(&out)?;
        loop {
            let answer = http::read_response(&self.input).map_err(io::Error::other)?;
            if let Some(answer) = answer {
                let (len, reply) =
                    (answer.len, Reply { status: answer.status, body: answer.body.into_owned() });
                self.input.drain(..len);
                return Ok(reply);
            }
            self.read_more()?;
        }
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        let len = self.stream.read(&mut chunk)?;
        if len == 0 || self.input.len() > ANSWER_LEN_MAX {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&chunk[..len]);
        Ok(())
    }

    /// Becomes a WebSocket.
    pub fn upgrade(&mut self, target: &Target) -> io::Result<()> {
        let mut out = Vec::new();
        ws::write_upgrade(&mut out, "/gateway", &target.stranger.host);
        self.write(&out)?;
        loop {
            if let Some(len) = ws::read_upgrade(&self.input).map_err(io::Error::other)? {
                self.input.drain(..len);
                return Ok(());
            }
            self.read_more()?;
        }
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        let mut out = Vec::with_capacity(text.len() + 16);
        ws::write_frame(&mut out, ws::TEXT, text.as_bytes());
        self.write(&out)
    }

    /// The next text message. An error when the server closes.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match ws::next_frame(&self.input).map_err(io::Error::other)? {
                Some(frame) => {
                    let payload = self.input[frame.payload.clone()].to_vec();
                    self.input.drain(..frame.len);
                    match frame.opcode {
                        ws::TEXT | ws::BINARY => return Ok(payload),
                        ws::CLOSE => return Err(io::ErrorKind::ConnectionAborted.into()),
                        _ => {}
                    }
                }
                None => self.read_more()?,
            }
        }
    }

    /// Identifies; gives READY.
    pub fn identify(&mut self, token: &str, intents: u32) -> io::Result<Vec<u8>> {
        let mut message = Vec::new();
        gateway::identify(&mut message, token, intents);
        self.send(&String::from_utf8_lossy(&message))?;
        loop {
            let text = self.receive()?;
            match gateway::head(&text) {
                Some(head) if head.op == 0 => return Ok(text),
                Some(head) if head.op == 9 => return Err(io::ErrorKind::PermissionDenied.into()),
                _ => {}
            }
        }
    }

    /// Connects, upgrades and identifies.
    pub fn session(target: &Target, source: u8, token: &str, intents: u32) -> io::Result<(Line, Vec<u8>)> {
        let mut line = Line::open(target, source, None)?;
        line.upgrade(target)?;
        let ready = line.identify(token, intents)?;
        Ok((line, ready))
    }
}
