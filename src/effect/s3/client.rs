//! Requests to object storage: signed, bounded in time, asked again where that is safe.
//!
//! Invariants: no error names an address, since that carries the signature. A request whose outcome is not known fails;
//! the ones that are asked again do the same when they are done twice.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rusty_s3::actions::{CreateMultipartUpload, ListObjectsV2, ListObjectsV2Response};
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use ureq::http::Response;
use ureq::{Agent, Body, SendBody};

use crate::config::MediaS3;
use crate::effect::http;
use crate::limits::{KIB, MIB};

/// For so long a signature is good.
const SIGNED_FOR: Duration = Duration::from_secs(600);
/// From the first try to the last byte of an answer that is short, or of a part that is read.
const WITHIN: Duration = Duration::from_secs(10);
/// What is sent has so much more time: 300 KB/s, a minute for the longest part.
const SENT_PER_SECOND: u64 = 300_000;
/// To put parts together may take as long as to send so much.
const COMPLETED_LEN: u64 = 16 * MIB as u64;
/// Tries, and the pause after the first; the next is four times as long.
const TRY_COUNT: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// After a request that nobody answered, so long nobody is kept waiting for another.
const REST: Duration = Duration::from_secs(3);
/// An answer that is read whole: a page of 1,000 names is some 400 KiB.
const ANSWER_LEN_MAX: u64 = 4 * MIB as u64;
/// What is read of a refusal, for its code.
const REFUSAL_LEN_MAX: u64 = 4 * KIB as u64;

pub struct Client {
    bucket: Bucket,
    credentials: Credentials,
    agent: Agent,
    /// For a short request.
    pub within: Duration,
    /// Until then it is taken to be away.
    resting: Mutex<Option<Instant>>,
}

/// Part of an object.
pub struct Part {
    pub bytes: Vec<u8>,
    /// Of the whole object.
    pub len: u64,
}

/// Bytes of a file that are sent.
#[derive(Clone, Copy)]
pub struct Piece<'f> {
    pub file: &'f File,
    pub at: u64,
    pub len: u64,
}

impl Read for Piece<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let room = out.len().min(usize::try_from(self.len).unwrap_or(usize::MAX));
        let count = self.file.read_at(&mut out[..room], self.at)?;
        (self.at, self.len) = (self.at + count as u64, self.len - count as u64);
        Ok(count)
    }
}

/// One try.
enum Tried<T> {
    Done(T),
    /// It may do better in a moment.
    Again(io::Error),
    Refused(io::Error),
}

type Answer = Result<Response<Body>, ureq::Error>;

impl Client {
    /// # Errors
    /// In words: the options name no bucket.
    pub fn new(options: &MediaS3) -> Result<Client, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("media.s3.endpoint and media.s3.bucket: {error}");
        let style = if options.path_style { UrlStyle::Path } else { UrlStyle::VirtualHost };
        let endpoint = options.endpoint.parse().map_err(|error| wrong(&error))?;
        let bucket = Bucket::new(endpoint, style, options.bucket.clone(), options.region.clone());
        Ok(Client {
            bucket: bucket.map_err(|error| wrong(&error))?,
            credentials: Credentials::new(options.access_key.as_str(), options.secret_key.as_str()),
            agent: http::agent_of_operator(),
            within: WITHIN,
            resting: Mutex::default(),
        })
    }

    /// So many bytes from `at` on, or fewer where the object ends.
    ///
    /// # Errors
    /// `NotFound`; `TimedOut` when the storage is away.
    pub fn get(&self, key: &str, at: u64, len: usize) -> io::Result<Part> {
        let range = format!("bytes={at}-{}", at + len as u64 - 1);
        let ask = || {
            let url = self.bucket.get_object(Some(&self.credentials), key).sign(SIGNED_FOR);
            let request = self.agent.get(url.as_str()).header("range", &range);
            self.within(request, self.within).call()
        };
        self.until(self.within, || match outcome(ask(), &[206, 200, 416]) {
            Tried::Done(response) => read_part(response, at, len),
            Tried::Again(error) => Tried::Again(error),
            Tried::Refused(error) => Tried::Refused(error),
        })
    }

    /// # Errors
    /// `TimedOut` when the storage is away; what it says otherwise.
    pub fn put(&self, key: &str, piece: Piece<'_>) -> io::Result<()> {
        let send = || {
            let url = self.bucket.put_object(Some(&self.credentials), key).sign(SIGNED_FOR);
            self.send(url.as_str(), piece)
        };
        self.until(self.time_for(piece.len), || outcome(send(), &[200])).and_then(drained).map(drop)
    }

    /// Begins an object that comes in parts; what names it.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub fn begin(&self, key: &str) -> io::Result<String> {
        let ask = || {
            let url = self.bucket.create_multipart_upload(Some(&self.credentials), key).sign(SIGNED_FOR);
            self.within(self.agent.post(url.as_str()), self.within).send_empty()
        };
        // Twice it would be two, of which one is nobody's: not asked again.
        let text = self.once(|| outcome(ask(), &[200])).and_then(drained)?;
        let begun = CreateMultipartUpload::parse_response(&text).map_err(io::Error::other)?;
        Ok(begun.upload_id().to_string())
    }

    /// A part of it, the first has number 1; what names that.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub fn send_part(&self, key: &str, upload: &str, number: u16, piece: Piece<'_>) -> io::Result<String> {
        let send = || {
            let part = self.bucket.upload_part(Some(&self.credentials), key, number, upload);
            self.send(part.sign(SIGNED_FOR).as_str(), piece)
        };
        let response = self.until(self.time_for(piece.len), || outcome(send(), &[200]))?;
        let etag = response.headers().get("etag").and_then(|etag| etag.to_str().ok()).map(str::to_string);
        drained(response)?;
        etag.ok_or_else(|| io::Error::other("the storage does not name a part that it took"))
    }

    /// All parts are there: the object is.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub fn complete(&self, key: &str, upload: &str, parts: &[String]) -> io::Result<()> {
        let etags = parts.iter().map(String::as_str);
        let action = self.bucket.complete_multipart_upload(Some(&self.credentials), key, upload, etags);
        let url = action.sign(SIGNED_FOR);
        let body = action.body();
        let ask =
            || self.within(self.agent.post(url.as_str()), self.time_for(COMPLETED_LEN)).send(body.as_str());
        // Done twice, the second time there is no such upload: whoever asks looks whether the object is there.
        let text = self.once(|| outcome(ask(), &[200])).and_then(drained)?;
        // It may begin to answer before it knows.
        if text.contains("<CompleteMultipartUploadResult") {
            Ok(())
        } else {
            Err(io::Error::other(format!("the storage did not put the parts together: {}", code_in(&text))))
        }
    }

    /// Gives up an object that came in part.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub fn abort(&self, key: &str, upload: &str) -> io::Result<()> {
        let ask = || {
            let action = self.bucket.abort_multipart_upload(Some(&self.credentials), key, upload);
            self.within(self.agent.delete(action.sign(SIGNED_FOR).as_str()), self.within).call()
        };
        self.until(self.within, || outcome(ask(), &[204, 200, 404])).and_then(drained).map(drop)
    }

    /// # Errors
    /// As [`Client::put`].
    pub fn delete(&self, key: &str) -> io::Result<()> {
        let ask = || {
            let url = self.bucket.delete_object(Some(&self.credentials), key).sign(SIGNED_FOR);
            self.within(self.agent.delete(url.as_str()), self.within).call()
        };
        self.until(self.within, || outcome(ask(), &[204, 200, 404])).and_then(drained).map(drop)
    }

    /// A page of the objects whose names begin so, behind `after`.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        count_max: usize,
    ) -> io::Result<ListObjectsV2Response> {
        let ask = || {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            action.with_prefix(prefix);
            action.with_max_keys(count_max);
            after.into_iter().for_each(|after| action.with_start_after(after.to_string()));
            self.within(self.agent.get(action.sign(SIGNED_FOR).as_str()), self.within).call()
        };
        let text = self.until(self.within, || outcome(ask(), &[200])).and_then(drained)?;
        ListObjectsV2::parse_response(&text).map_err(io::Error::other)
    }

    fn send(&self, url: &str, mut piece: Piece<'_>) -> Answer {
        let request = self.agent.put(url).header("content-length", piece.len.to_string());
        self.within(request, self.time_for(piece.len)).send(SendBody::from_reader(&mut piece))
    }

    fn time_for(&self, len: u64) -> Duration {
        self.within + Duration::from_secs(len / SENT_PER_SECOND)
    }

    fn within<T>(&self, request: ureq::RequestBuilder<T>, time: Duration) -> ureq::RequestBuilder<T> {
        request.config().timeout_global(Some(time)).build()
    }

    fn once<T>(&self, attempt: impl FnOnce() -> Tried<T>) -> io::Result<T> {
        self.check_rest()?;
        match attempt() {
            Tried::Done(done) => Ok(done),
            Tried::Again(error) => Err(self.rest(error)),
            Tried::Refused(error) => Err(error),
        }
    }

    /// Tries until it is done, refused, or too late.
    fn until<T>(&self, time: Duration, mut attempt: impl FnMut() -> Tried<T>) -> io::Result<T> {
        self.check_rest()?;
        let (begun, mut pause) = (Instant::now(), PAUSE);
        for count in 1.. {
            match attempt() {
                Tried::Done(done) => return Ok(done),
                Tried::Refused(error) => return Err(error),
                Tried::Again(error) if count == TRY_COUNT || begun.elapsed() + pause >= time => {
                    return Err(self.rest(error));
                }
                Tried::Again(_) => thread::sleep(pause),
            }
            pause *= 4;
        }
        unreachable!("counting does not end")
    }

    fn check_rest(&self) -> io::Result<()> {
        let resting = self.resting.lock().expect("nothing panics while it is held");
        if resting.is_some_and(|until| Instant::now() < until) {
            Err(away("a moment ago it did not answer"))
        } else {
            Ok(())
        }
    }

    /// It did not answer: others need not wait for that now.
    fn rest(&self, error: io::Error) -> io::Error {
        *self.resting.lock().expect("nothing panics while it is held") = Some(Instant::now() + REST);
        tracing::warn!(%error, "the object storage does not answer as it should");
        error
    }
}

/// What an answer means, when one with these statuses is wanted.
fn outcome(answer: Answer, wanted: &[u16]) -> Tried<Response<Body>> {
    let mut response = match answer {
        Ok(response) => response,
        Err(error) => return Tried::Again(away(reason(&error))),
    };
    let status = response.status().as_u16();
    if wanted.contains(&status) {
        return Tried::Done(response);
    }
    let text = response.body_mut().with_config().limit(REFUSAL_LEN_MAX).read_to_string().unwrap_or_default();
    let what = format!("the storage answers {status} {}", code_in(&text));
    match status {
        404 => Tried::Refused(io::Error::new(io::ErrorKind::NotFound, what)),
        // Too fast, or not now.
        408 | 429 | 500..=599 => Tried::Again(away(&what)),
        401 | 403 => Tried::Refused(io::Error::new(io::ErrorKind::PermissionDenied, what)),
        _ => Tried::Refused(io::Error::other(what)),
    }
}

/// The part of an object that an answer brings.
fn read_part(mut response: Response<Body>, at: u64, len: usize) -> Tried<Part> {
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let total = match response.status().as_u16() {
        // An object without bytes has no part.
        416 => Some(0),
        206 => header("content-range").and_then(|range| range.rsplit_once('/')?.1.parse().ok()),
        _ => header("content-length").and_then(|len| len.parse().ok()).filter(|_| at == 0),
    };
    let Some(total): Option<u64> = total else {
        return Tried::Refused(io::Error::other("the storage does not say which part of an object it sends"));
    };
    let wanted = usize::try_from(total.saturating_sub(at)).unwrap_or(usize::MAX).min(len);
    let mut bytes = vec![0; wanted];
    let mut reader = response.body_mut().as_reader();
    match reader.read_exact(&mut bytes) {
        Ok(()) => {
            // Its end has to be seen for the connection to be used again.
            let _ = reader.read(&mut [0]);
            Tried::Done(Part { bytes, len: total })
        }
        Err(_) => Tried::Again(away("it broke off")),
    }
}

/// The text of an answer, so that its connection can be used again.
fn drained(mut response: Response<Body>) -> io::Result<String> {
    let text = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_string();
    text.map_err(|error| away(reason(&error)))
}

/// The code in a refusal (`SignatureDoesNotMatch`); nothing else of it is taken into a log.
fn code_in(text: &str) -> &str {
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    code.map_or("", |(code, _)| code).get(..).filter(|code| is_code(code)).unwrap_or_default()
}

fn is_code(code: &str) -> bool {
    code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Why there was no answer, without the address that was asked.
fn reason(error: &ureq::Error) -> &'static str {
    match error {
        ureq::Error::Timeout(_) => "it took too long",
        ureq::Error::HostNotFound => "its name is not known",
        ureq::Error::ConnectionFailed => "it cannot be connected to",
        ureq::Error::Io(_) => "the connection broke off",
        ureq::Error::Rustls(_) => "its certificate is not good",
        _ => "it does not speak as it should",
    }
}

/// The storage cannot be had now: who asks may come again.
fn away(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("the object storage is not available: {why}"))
}
