//! The socket in the data folder over which commands such as `plexichat bot create` reach a server that runs.
//!
//! Owns: `server.sock`, and how a request goes over it: JSON up to the end of what is sent, JSON back.
//! Invariant: whoever can open the socket can read the store: its mode is that of the files beside it. Requests are
//! carried out one after the other, and a client that says nothing holds up others like it for [`PATIENCE`] only.

use std::fs::Permissions;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream as BlockingStream};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use monoio::io::AsyncWriteRentExt as _;
use monoio::net::UnixStream;

use super::core::Core;
use super::http::Backend;
use super::ring::receive;
use crate::api::ctx::Desk as _;
use crate::api::operator::{Place, REQUEST_LEN_MAX, SAID_LEN_MAX, carry_out, index};
use crate::config::Config;
use crate::domain::{Command, Error, Now, Refusal, Reply, Result};
use crate::effect::credentials::Credentials;
use crate::effect::disk::Rotate;
use crate::effect::{Job, Source};
use crate::limits::KIB;
use crate::store::Snapshot;
use crate::store::keyring::{KeyInfo, Keyring};
use crate::wire::json::{Object, parse};

pub const SOCKET_FILE: &str = "server.sock";
const SOCKET_MODE: u32 = 0o600;
/// How often it is looked whether somebody asks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// For the next bytes of a request, or for the client to take its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// For all of it: the log may be full, and a sync may take its time.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
const READ_LEN: usize = 4 * KIB;

/// What the server has said to a request: a text to print, or why not.
pub type Answer = std::result::Result<String, String>;

impl Place for Core {
    fn config(&self) -> &Config {
        &self.state.config
    }

    fn snapshot(&self) -> Rc<Snapshot> {
        self.state.snapshot()
    }

    fn moment(&self) -> Now {
        self.state.moment()
    }

    fn decide(&self, command: Command) -> Pin<Box<dyn Future<Output = Result<Reply>> + '_>> {
        Box::pin(self.submit(command))
    }

    fn keys(&self) -> &Keyring {
        &self.state.keys
    }

    fn rotate(&self) -> Pin<Box<dyn Future<Output = Result<KeyInfo>> + '_>> {
        let rotate = Rotate { store: self.state.store.clone(), keys: self.state.keys.clone() };
        Box::pin(async move {
            let answer = self.effect(Job::new(Source::new(Ipv4Addr::LOCALHOST.into(), 0), rotate)).await?;
            let made =
                *answer.downcast::<std::result::Result<KeyInfo, String>>().expect("it is what it does");
            made.map_err(|why| Error::new(503, why))
        })
    }

    fn renew_index(&self) -> Result<String> {
        self.state.search.renew("the operator has asked for it");
        Ok(index::begun(self.state.search.message_count()))
    }

    fn credentials(&self, work: Credentials) -> Pin<Box<dyn Future<Output = Result<String>> + '_>> {
        Box::pin(async move {
            let answer = self.effect(Job::new(Source::new(Ipv4Addr::LOCALHOST.into(), 0), work)).await?;
            let made = *answer.downcast::<std::result::Result<String, String>>().expect("it is what it does");
            made.map_err(|why| Error::new(503, why))
        })
    }
}

/// Opens the socket. Without it the server goes on: such commands need it stopped then.
pub(super) fn listen(folder: &Path) -> Option<UnixListener> {
    let path = folder.join(SOCKET_FILE);
    // Of a server that was killed: the lock on the store says that there is no other.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).and_then(|listener| {
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(&path, Permissions::from_mode(SOCKET_MODE))?;
        Ok(listener)
    });
    let told = |error: &io::Error| {
        let path = path.display();
        tracing::warn!(%error, "commands such as `plexichat bot` need the server stopped: no socket at {path}");
    };
    listener.inspect_err(told).ok()
}

/// Takes requests for as long as the core runs.
///
/// Nothing of the listener is left to io_uring: what waits there outlives a process that is killed for a moment, in
/// which others would find somebody listening.
pub(super) async fn run(core: Rc<Core>, listener: UnixListener) {
    loop {
        match listener.accept() {
            // Errors are those of a client that is gone.
            Ok((stream, _)) => drop(answer(&core, stream).await),
            Err(_) => monoio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

/// Removes the socket of a server that has ended.
pub(super) fn remove(folder: &Path) {
    let _ = std::fs::remove_file(folder.join(SOCKET_FILE));
}

async fn answer(core: &Core, stream: BlockingStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
    let said = match request(&stream).await? {
        Some(mut request) => {
            core.sync();
            carry_out(core, &mut request).await
        }
        None => Err(Refusal::BodyTooLarge.into()),
    };
    let (written, _) = monoio::time::timeout(PATIENCE, stream.write_all(spelled(said))).await?;
    written.map(drop)
}

/// The request, to its end; `None` when it is too long.
async fn request(stream: &UnixStream) -> io::Result<Option<Vec<u8>>> {
    let (mut request, mut piece) = (Vec::new(), vec![0; READ_LEN]);
    loop {
        monoio::time::timeout(PATIENCE, stream.readable(false)).await??;
        match receive(stream.as_raw_fd(), &mut piece) {
            Ok(0) => return Ok(Some(request)),
            Ok(len) => request.extend_from_slice(&piece[..len]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if request.len() > REQUEST_LEN_MAX {
            return Ok(None);
        }
    }
}

fn spelled(said: Result<String>) -> Vec<u8> {
    let mut out = Vec::new();
    match said {
        Ok(text) => drop(Object::new(&mut out).str("said", &text)),
        Err(Error { message, .. }) => drop(Object::new(&mut out).str("refused", &message)),
    }
    out
}

/// Has the server that runs on a data folder carry out a request. `None` when none listens there.
///
/// # Errors
/// When it does not answer as it should.
pub fn ask(folder: &Path, request: &str) -> std::result::Result<Option<Answer>, String> {
    let path = folder.join(SOCKET_FILE);
    if request.len() > REQUEST_LEN_MAX {
        return Err("the request is too large".to_string());
    }
    let fail = |error: io::Error| format!("the server at {} does not answer: {error}", path.display());
    let mut stream = match BlockingStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        // A path that is longer than the address of a socket may be: no server listens there either.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    stream.set_read_timeout(Some(ANSWER_PATIENCE)).map_err(fail)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(fail)?;
    let mut answer = Vec::new();
    let asked = stream.write_all(request.as_bytes()).and_then(|()| stream.shutdown(Shutdown::Write));
    asked.and_then(|()| stream.take(SAID_LEN_MAX as u64).read_to_end(&mut answer)).map_err(fail)?;
    read(&mut answer)
        .map(Some)
        .ok_or_else(|| format!("the server at {} has said nothing that can be understood", path.display()))
}

fn read(answer: &mut [u8]) -> Option<Answer> {
    let answer = parse(answer).ok()?;
    let text = |name: &str| answer.get(name).and_then(|value| value.as_str()).map(str::to_string);
    text("said").map(Ok).or_else(|| text("refused").map(Err))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_comes_back() {
        assert_eq!(read(&mut spelled(Ok("\"é\"\n".into()))), Some(Ok("\"é\"\n".into())));
        let refused = Refusal::UserNotFound.into();
        assert_eq!(read(&mut spelled(Err(refused))), Some(Err("User not found".into())));
        for other in ["", "{}", "[]", r#"{"said":7}"#] {
            assert_eq!(read(&mut other.as_bytes().to_vec()), None, "{other}");
        }
    }

    #[test]
    fn nobody_listens_where_no_server_runs() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(ask(folder.path(), "{}"), Ok(None));
        // One that was killed has left its socket.
        drop(UnixListener::bind(folder.path().join(SOCKET_FILE)).unwrap());
        assert_eq!(ask(folder.path(), "{}"), Ok(None));
        assert_eq!(ask(&folder.path().join("x".repeat(200)), "{}"), Ok(None));
    }

    #[test]
    fn an_answer_that_breaks_off_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET_FILE)).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = String::new();
                stream.read_to_string(&mut request).unwrap();
                stream.write_all(b"{\"said\":\"half").unwrap();
            });
            let error = ask(folder.path(), "{}").unwrap_err();
            assert!(error.contains("nothing that can be understood"), "{error}");
        });
    }
}
