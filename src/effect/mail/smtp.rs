//! One conversation with a mail server, from its greeting to QUIT.
//!
//! The words are lettre's; the connection is ours, as the time that lettre's may take begins anew with each piece that
//! arrives. Invariants: all of a conversation has one end in time, its answers have a length; after STARTTLS nothing
//! counts that was said before it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Rset, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter, ServerInfo};
use lettre::transport::smtp::response::Response;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::Settings;
use crate::effect::tls;
use crate::limits::KIB;

/// An answer, all lines of it. RFC 5321 §4.5.3.1.5 allows lines of 512 bytes; nobody has 30 of them.
const ANSWER_LEN_MAX: usize = 16 * KIB;
/// Connecting to one address of the mail server.
const CONNECT: Duration = Duration::from_secs(10);
/// TLS from the first byte (RFC 8314), without STARTTLS.
const SUBMISSIONS_PORT: u16 = 465;
/// Rounds of a log-in; the longest that is known has two.
const CHALLENGE_COUNT_MAX: usize = 4;

/// Why a conversation, or a mail in it, came to nothing.
#[derive(Debug)]
pub(super) enum Error {
    /// The mail server said no.
    No { code: u16, text: String },
    /// It said so to this mail, and for good.
    Refused(String),
    /// What is needed is none of what the mail server can do.
    Unfit(&'static str),
    /// There is no conversation any more; what was being done, and why.
    Lost(&'static str, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::No { text, .. } | Error::Refused(text) => f.write_str(text),
            Error::Unfit(why) => f.write_str(why),
            Error::Lost(doing, error) => write!(f, "{doing}: {error}"),
        }
    }
}

pub(super) struct Connection {
    stream: Stream,
    /// Read and not yet looked at.
    unread: Vec<u8>,
    can: ServerInfo,
    /// The stream can still be spoken on.
    is_open: bool,
}

enum Stream {
    Plain(Timed),
    Encrypted(Box<StreamOwned<ClientConnection, Timed>>),
    /// Between the two.
    Nothing,
}

impl Connection {
    /// Connects, encrypts and logs in, as the settings say.
    pub(super) fn open(settings: &Settings, until: Instant) -> Result<Connection, Error> {
        let socket = connect(settings, until).map_err(|error| Error::Lost("cannot connect", error))?;
        let stream = Stream::Plain(Timed { socket, until, answer: settings.answer });
        let (unread, can) = (Vec::new(), ServerInfo::default());
        let mut connection = Connection { stream, unread, can, is_open: true };
        let is_encrypted_at_once = settings.use_tls && settings.port == SUBMISSIONS_PORT;
        if is_encrypted_at_once {
            connection.encrypt(settings)?;
        }
        connection.hear("no greeting")?;
        connection.greet(settings)?;
        if settings.use_tls && !is_encrypted_at_once {
            if !connection.can.supports_feature(Extension::StartTls) {
                return Err(Error::Unfit("it offers no STARTTLS, which email.use_tls asks for"));
            }
            connection.say(Starttls)?;
            // What came with the answer came in the clear, from whomever.
            if !connection.unread.is_empty() {
                return Err(lost("STARTTLS", "it goes on in the clear"));
            }
            connection.encrypt(settings)?;
            connection.greet(settings)?;
        }
        if let Some((user, password)) = &settings.login {
            connection.log_in(Credentials::new(user.clone(), password.clone()))?;
        }
        Ok(connection)
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Says goodbye; whether that is heard does not matter.
    pub(super) fn close(mut self) {
        if self.is_open {
            let _ = self.say(Quit);
        }
    }

    /// Hands one mail over.
    pub(super) fn send(&mut self, envelope: &Envelope, message: &[u8]) -> Result<(), Error> {
        let mut parameters = Vec::new();
        let is_ascii = |address: &lettre::Address| AsRef::<str>::as_ref(address).is_ascii();
        if !envelope.to().iter().chain(envelope.from()).all(is_ascii) {
            if !self.can.supports_feature(Extension::SmtpUtfEight) {
                return Err(Error::Unfit("the mail server takes no address with such letters"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !message.is_ascii() {
            if !self.can.supports_feature(Extension::EightBitMime) {
                return Err(Error::Unfit("the mail server takes no such letters"));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let sent = self.transact(envelope, parameters, message);
        // A mail that was refused leaves the conversation to the next one.
        if let (Err(Error::No { .. } | Error::Refused(_)), true) = (&sent, self.is_open) {
            self.is_open = self.say(Rset).is_ok();
        }
        sent
    }

    fn transact(
        &mut self,
        envelope: &Envelope,
        parameters: Vec<MailParameter>,
        message: &[u8],
    ) -> Result<(), Error> {
        self.say(Mail::new(envelope.from().cloned(), parameters))?;
        for to in envelope.to() {
            self.say(Rcpt::new(to.clone(), Vec::new())).map_err(of_this_mail)?;
        }
        self.say(Data)?;
        self.write(&transparent(message))?;
        self.hear("no answer to the mail").map_err(of_this_mail)?;
        Ok(())
    }

    fn greet(&mut self, settings: &Settings) -> Result<(), Error> {
        let heard = self.say(Ehlo::new(ClientId::Domain(settings.domain().to_owned())))?;
        self.can = ServerInfo::from_response(&heard).map_err(|error| lost("EHLO", &error.to_string()))?;
        Ok(())
    }

    fn encrypt(&mut self, settings: &Settings) -> Result<(), Error> {
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::Nothing) else {
            unreachable!("it is encrypted once");
        };
        let name = ServerName::try_from(settings.host.clone());
        let name = name.map_err(|error| lost("email.smtp_host", &error.to_string()))?;
        let client = ClientConnection::new(tls::client(), name);
        let client = client.map_err(|error| lost("TLS", &error.to_string()))?;
        let mut stream = StreamOwned::new(client, stream);
        // Now and not with the first word, so that what fails is called by its name.
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|error| Error::Lost("TLS", error))?;
        }
        self.stream = Stream::Encrypted(Box::new(stream));
        Ok(())
    }

    fn log_in(&mut self, credentials: Credentials) -> Result<(), Error> {
        let offered = self.can.get_auth_mechanism(&[Mechanism::Plain, Mechanism::Login]);
        let mechanism = offered.ok_or(Error::Unfit("it takes no log-in with a password"))?;
        let strange = |error: lettre::transport::smtp::Error| lost("AUTH", &error.to_string());
        let mut heard = self.say(Auth::new(mechanism, credentials.clone(), None).map_err(strange)?)?;
        for _ in 0..CHALLENGE_COUNT_MAX {
            if !heard.has_code(334) {
                return Ok(());
            }
            let next = Auth::new_from_response(mechanism, credentials.clone(), &heard).map_err(strange)?;
            heard = self.say(next)?;
        }
        Err(lost("AUTH", "it asks without end"))
    }

    fn say(&mut self, command: impl fmt::Display) -> Result<Response, Error> {
        self.write(command.to_string().as_bytes())?;
        self.hear("no answer")
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let stream = self.stream.as_io();
        stream.write_all(bytes).and_then(|()| stream.flush()).map_err(|error| {
            self.is_open = false;
            Error::Lost("cannot write", error)
        })
    }

    /// The next answer, unless it is a no.
    fn hear(&mut self, doing: &'static str) -> Result<Response, Error> {
        let answer = self.answer().and_then(|text| text.parse::<Response>().map_err(|_| strange()));
        let answer = answer.map_err(|error| {
            self.is_open = false;
            Error::Lost(doing, error)
        })?;
        if answer.is_positive() {
            return Ok(answer);
        }
        // 421: it is about to hang up.
        self.is_open &= !answer.has_code(421);
        let code = answer.code().into();
        Err(Error::No { code, text: format!("it says {code} {}", tellable(answer.first_line())) })
    }

    /// The text of the next answer: lines up to one with a blank behind its code.
    fn answer(&mut self) -> io::Result<String> {
        let mut looked_at = 0;
        loop {
            while let Some(len) = self.unread[looked_at..].iter().position(|byte| *byte == b'\n') {
                let line = &self.unread[looked_at..=looked_at + len];
                looked_at += line.len();
                if line.len() < 3 || !line[..3].iter().all(u8::is_ascii_digit) {
                    return Err(strange());
                }
                if line.get(3) != Some(&b'-') {
                    let answer: Vec<u8> = self.unread.drain(..looked_at).collect();
                    return Ok(String::from_utf8_lossy(&answer).into_owned());
                }
            }
            if self.unread.len() > ANSWER_LEN_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "its answer is too long"));
            }
            let mut piece = [0; 4 * KIB];
            match self.stream.as_io().read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.unread.extend_from_slice(&piece[..count]),
            }
        }
    }
}

fn strange() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "that is no answer of a mail server")
}

fn lost(doing: &'static str, why: &str) -> Error {
    Error::Lost(doing, io::Error::other(why.to_owned()))
}

/// A line of the mail server as it may be logged: without the address that it may repeat.
fn tellable(line: Option<&str>) -> String {
    let words = line.unwrap_or_default().split_whitespace();
    let words =
        words.map(|word| if word.contains('@') { "…".to_owned() } else { word.escape_debug().to_string() });
    words.collect::<Vec<_>>().join(" ")
}

/// A no where it is about one mail; 530 is about whoever sends them.
fn of_this_mail(error: Error) -> Error {
    match error {
        Error::No { code: 500..=529 | 531..=599, text } => Error::Refused(text),
        other => other,
    }
}

/// A mail as it goes over the wire: a dot in front of each line that begins with one, and a line of one at the end (RFC
/// 5321 §4.5.2).
fn transparent(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 64);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.first() == Some(&b'.') {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl Stream {
    fn as_io(&mut self) -> &mut dyn ReadWrite {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Encrypted(stream) => &mut **stream,
            Stream::Nothing => unreachable!("a stream that could not be encrypted is dropped"),
        }
    }
}

/// To whichever of its addresses answers first in their order.
fn connect(settings: &Settings, until: Instant) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("its name leads to no address");
    for address in (settings.host.as_str(), settings.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, left(until)?.min(CONNECT)) {
            Ok(socket) => {
                // Words are short, and each waits for its answer.
                let _ = socket.set_nodelay(true);
                return Ok(socket);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// A socket on which nothing is waited for beyond some moment, nor longer than for one answer.
struct Timed {
    socket: TcpStream,
    until: Instant,
    answer: Duration,
}

impl Timed {
    fn wait(&self) -> io::Result<Option<Duration>> {
        Ok(Some(left(self.until)?.min(self.answer)))
    }
}

/// The kernel calls a wait that is over `EAGAIN`.
fn late(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { io::ErrorKind::TimedOut.into() } else { error }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.wait()?)?;
        self.socket.read(buffer).map_err(late)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.wait()?)?;
        self.socket.write(bytes).map_err(late)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_cannot_end_itself() {
        let check = |mail: &str, want: &str| {
            assert_eq!(String::from_utf8(transparent(mail.as_bytes())).unwrap(), want, "{mail:?}");
        };
        check("a\r\n.\r\nb", "a\r\n..\r\nb\r\n.\r\n");
        check(".a\r\n", "..a\r\n.\r\n");
        check("", "\r\n.\r\n");
        check("a.\r\n..", "a.\r\n...\r\n.\r\n");
    }
}
