//! A small blocking WebSocket client for the gateway, able to send what no good client sends.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::http::{open, read_answer};
use super::{Answer, PATIENCE, Value, json};

/// What came from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// Code (1005 = none was given) and reason.
    Close(u16, String),
    /// The connection ended without a close frame.
    End,
}

/// An open connection.
pub struct Socket {
    stream: BufReader<TcpStream>,
    inflate: Option<flate2::Decompress>,
    /// The last message as it came.
    last_text: String,
    /// The last `s`.
    pub sequence: u64,
}

impl Socket {
    /// Opens `/gateway`.
    #[must_use]
    pub fn connect(address: SocketAddr) -> Socket {
        let opened = Socket::try_connect(address, "/gateway", &[]);
        opened.unwrap_or_else(|answer| panic!("no upgrade: {} {}", answer.status, answer.text()))
    }

    /// Asks for an upgrade; gives the answer when it is refused.
    pub fn try_connect(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Socket, Answer> {
        let mut request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = open(address);
        stream.write_all((request + "\r\n").as_bytes()).expect("an open socket");
        let mut stream = BufReader::new(stream);
        let answer = read_answer(&mut stream, false).expect("an answer");
        if answer.status != 101 {
            return Err(answer);
        }
        // The answer that RFC 6455 §1.3 computes for this key.
        assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
        Ok(Socket { stream, inflate: None, last_text: String::new(), sequence: 0 })
    }

    /// Sends a JSON text.
    pub fn send(&mut self, message: &Value) {
        self.send_frame(0x81, message.to_string().as_bytes());
    }

    /// Sends one masked frame; `first` is FIN, RSV and opcode.
    pub fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.try_send(&frame(first, payload, Some([0x37, 0xfa, 0x21, 0x3d]))).expect("an open socket");
    }

    /// Sends bytes as they are.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next frame, whatever it is.
    pub fn frame(&mut self) -> Frame {
        self.try_frame().unwrap_or(Frame::End)
    }

    fn try_frame(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 2];
        self.stream.read_exact(&mut head)?;
        assert_eq!(head[1] & 0x80, 0, "a server never masks");
        let len = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.bytes()?)),
            127 => u64::from_be_bytes(self.bytes()?),
            len => u64::from(len),
        };
        let mut payload = vec![0; usize::try_from(len).expect("fits")];
        self.stream.read_exact(&mut payload)?;
        let text = |bytes| String::from_utf8(bytes).expect("text is UTF-8");
        Ok(match head[0] {
            0x81 => Frame::Text(text(payload)),
            0x82 => Frame::Binary(payload),
            0x88 if payload.len() < 2 => Frame::Close(1005, String::new()),
            0x88 => Frame::Close(u16::from_be_bytes([payload[0], payload[1]]), text(payload.split_off(2))),
            0x89 => Frame::Ping(payload),
            0x8a => Frame::Pong(payload),
            first => panic!("a frame that begins with {first:#x}"),
        })
    }

    fn bytes<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The next frame that is no ping; pings are answered.
    pub fn message(&mut self) -> Frame {
        loop {
            match self.frame() {
                Frame::Ping(payload) => self.send_frame(0x8a, &payload),
                frame => return frame,
            }
        }
    }

    /// The next message, which must be JSON.
    #[track_caller]
    pub fn json(&mut self) -> Value {
        let text = match self.message() {
            Frame::Text(text) => text,
            Frame::Binary(bytes) => self.inflated(&bytes),
            other => panic!("{other:?} instead of a message"),
        };
        let value: Value = serde_json::from_str(&text).expect("JSON");
        check_event(&value, &text);
        self.last_text = text;
        if let Some(sequence) = value["s"].as_u64().filter(|_| value["t"] != "RESUMED") {
            assert_eq!(sequence, self.sequence + 1, "the count has a gap: {value}");
            self.sequence = sequence;
        }
        value
    }

    /// The last message as it came.
    pub fn last_text(&self) -> &str {
        &self.last_text
    }

    fn inflated(&mut self, bytes: &[u8]) -> String {
        assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]), "every frame ends with a sync flush");
        let inflate = self.inflate.get_or_insert_with(|| flate2::Decompress::new(true));
        let mut text = Vec::with_capacity(1 << 20);
        inflate.decompress_vec(bytes, &mut text, flate2::FlushDecompress::Sync).expect("a zlib stream");
        String::from_utf8(text).expect("UTF-8")
    }

    /// Identifies with these intents; the `d` of READY.
    #[track_caller]
    pub fn identify_with(&mut self, d: Value) -> Value {
        self.send(&json!({"op": 2, "d": d}));
        let ready = self.json();
        assert_eq!((&ready["op"], &ready["t"], &ready["s"]), (&json!(0), &json!("READY"), &json!(1)));
        ready["d"].clone()
    }

    /// Identifies with every intent; the `d` of READY.
    #[track_caller]
    pub fn identify(&mut self, token: &str) -> Value {
        self.identify_with(json!({"token": token, "intents": 65535}))
    }

    /// The `d` of the next dispatch of that name; others before it are skipped.
    #[track_caller]
    pub fn event(&mut self, name: &str) -> Value {
        let mut skipped = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let message = self.json();
            if message["t"] == name {
                return message["d"].clone();
            }
            skipped.push(message["t"].clone());
        }
        panic!("no {name}, only {skipped:?}")
    }

    /// Everything that was sent before the answer to a heartbeat: names of the dispatches.
    #[track_caller]
    pub fn events_until_now(&mut self) -> Vec<Value> {
        self.send(&json!({"op": 1, "d": null}));
        let mut events = Vec::new();
        loop {
            let message = self.json();
            if message["op"] == 11 {
                return events;
            }
            events.push(message);
        }
    }

    /// Reads up to the close frame, answers it and gives its code and reason.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            match self.message() {
                Frame::Close(code, reason) => {
                    // After an answer of our own the server may be gone already.
                    let _ = self.try_send(&frame(0x88, &code.to_be_bytes(), Some([0; 4])));
                    return (code, reason);
                }
                Frame::End => panic!("the connection ended without a close frame"),
                _ => {}
            }
        }
        panic!("the connection is not closed")
    }

    /// Whether the connection ends, after frames that are still under way.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        self.stream.get_ref().set_read_timeout(Some(patience)).expect("an open socket");
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).is_ok()
    }

    /// The socket itself.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        self.stream.get_ref()
    }
}

/// The bytes of a frame; `first` is FIN, RSV and opcode.
#[must_use]
pub fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = vec![first];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        len @ 0..126 => bytes.push(bit | len as u8),
        len @ 126..65_536 => {
            bytes.push(bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(bit | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|mask| bytes.extend(mask)).unwrap_or_default();
    bytes.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ mask[index % 4]));
    bytes
}

/// Every event is what its row in the documentation says.
fn check_event(value: &Value, text: &str) {
    let Some(name) = value["t"].as_str() else { return };
    let mut data = value["d"].to_string().into_bytes();
    let data = plexichat::wire::json::parse_own(&mut data).expect("JSON");
    assert_eq!(plexichat::docs::events::check(name, &data), Ok(()), "{text}");
}
