//! Object storage that does not do as it should. What it signs and stores is tried on one of others, `tests/s3.rs`.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;

use super::*;

#[derive(Clone)]
enum Answer {
    Text(&'static str, String),
    /// Nothing, for as long as the client waits.
    Nothing,
    /// Ends before the body that is announced.
    Broken,
}

fn status(line: &'static str) -> Answer {
    Answer::Text(line, String::new())
}

struct StandIn {
    endpoint: String,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<String>>>,
    /// Connections that wait go with it.
    _open: mpsc::Sender<()>,
}

impl StandIn {
    fn new() -> StandIn {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let answers: Arc<Mutex<VecDeque<Answer>>> = Arc::default();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let (_open, end) = mpsc::channel();
        let end = Arc::new(Mutex::new(end));
        let (given, told) = (answers.clone(), seen.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (given, told, end) = (given.clone(), told.clone(), end.clone());
                thread::spawn(move || serve(stream, &given, &told, &end));
            }
        });
        StandIn { endpoint, answers, seen, _open }
    }

    fn will(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.answers.lock().unwrap() = answers.into_iter().collect();
    }

    /// Lines of the requests since the last call, without what signs them.
    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

fn serve(
    stream: TcpStream,
    answers: &Mutex<VecDeque<Answer>>,
    seen: &Mutex<Vec<String>>,
    end: &Mutex<mpsc::Receiver<()>>,
) {
    let mut reader = BufReader::new(&stream);
    loop {
        let (mut line, mut len) = (String::new(), 0);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            if header == "\r\n" {
                break;
            }
            if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().unwrap();
            }
        }
        io::copy(&mut reader.by_ref().take(len), &mut io::sink()).unwrap();
        let path = line.split(['?', ' ']).take(2).collect::<Vec<_>>().join(" ");
        let marks = ["uploads", "partNumber=1", "partNumber=2", "uploadId"].into_iter();
        let marks: Vec<&str> = marks.filter(|mark| line.contains(mark)).collect();
        seen.lock().unwrap().push(format!("{path} {}", marks.join(" ")).trim().to_string());
        let answer = answers.lock().unwrap().pop_front().unwrap_or(status("500 unexpected"));
        let text = match answer {
            Answer::Text(status, body) => {
                let len = body.len();
                format!("HTTP/1.1 {status}\r\netag: \"e\"\r\ncontent-length: {len}\r\n\r\n{body}")
            }
            Answer::Broken => {
                let head = "HTTP/1.1 206 x\r\ncontent-range: bytes 0-9/10\r\ncontent-length: 10\r\n\r\nhalf";
                let _ = (&stream).write_all(head.as_bytes());
                return;
            }
            Answer::Nothing => {
                let _ = end.lock().unwrap().recv();
                return;
            }
        };
        if (&stream).write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

const SECRET: &str = "a-secret-that-nobody-is-told";

fn open(stand_in: &StandIn, place: &Path) -> S3 {
    let options = MediaS3 {
        endpoint: stand_in.endpoint.clone(),
        bucket: "b".into(),
        access_key: "who".into(),
        secret_key: SECRET.into(),
        ..MediaS3::default()
    };
    // At its start it looks whether it is let in.
    stand_in.will([Answer::Text(
        "200 OK",
        "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>".into(),
    )]);
    let s3 = S3::open(&options, place, Arc::new(Keyring::new()), false).unwrap();
    assert_eq!(stand_in.seen(), ["GET /b/"]);
    let mut client = Client::new(&options).unwrap();
    client.within = Duration::from_millis(700);
    S3 { part_len: 10, client: Arc::new(client), ..s3 }
}

fn part(body: &str) -> Answer {
    let len = body.len();
    Answer::Text(
        Box::leak(format!("206 x\r\ncontent-range: bytes 0-{}/{len}", len - 1).into_boxed_str()),
        body.into(),
    )
}

fn refusal(status: &'static str, code: &str) -> Answer {
    Answer::Text(status, format!("<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>"))
}

#[test]
fn who_is_told_to_come_again_does() {
    let (stand_in, place) = (StandIn::new(), tempfile::tempdir().unwrap());
    let s3 = open(&stand_in, place.path());
    for fault in [status("503 Slow Down"), status("500 x"), Answer::Broken] {
        stand_in.will([fault, part("hello")]);
        let blob = s3.open(&[7; 32]).unwrap();
        let mut text = [0; 5];
        blob.read_exact_at(&mut text, 0).unwrap();
        assert_eq!(
            (&text, blob.len(), stand_in.seen().len()),
            (b"hello", 5, 2),
            "short ones are had at once"
        );
    }
    stand_in.will([status("503 Slow Down"), status("200 OK")]);
    s3.put(&mut &b"short"[..]).unwrap();
    assert_eq!(stand_in.seen().len(), 2);
}

#[test]
fn storage_that_is_away_is_given_up_in_time_and_left_alone_for_a_moment() {
    for fault in [status("503 x"), Answer::Nothing] {
        let (stand_in, place) = (StandIn::new(), tempfile::tempdir().unwrap());
        let s3 = open(&stand_in, place.path());
        stand_in.will(vec![fault; 5]);
        let error = s3.open(&[7; 32]).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let text = error.to_string();
        assert!(!text.contains("127.0.0.1") && !text.contains("Signature"), "{text}");
        assert!((1..=3).contains(&stand_in.seen().len()));
        // Others do not wait for it too.
        let kinds = [s3.open(&[8; 32]).err().unwrap().kind(), s3.put(&mut &b"x"[..]).unwrap_err().kind()];
        assert_eq!((kinds, stand_in.seen().len()), ([io::ErrorKind::TimedOut; 2], 0));
    }
}

#[test]
fn refusals_are_not_tried_again_and_tell_no_secret() {
    let (stand_in, place) = (StandIn::new(), tempfile::tempdir().unwrap());
    let s3 = open(&stand_in, place.path());
    stand_in.will([refusal("403 x", "SignatureDoesNotMatch")]);
    let error = s3.put(&mut &b"short"[..]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(error.to_string(), "the storage answers 403 SignatureDoesNotMatch");
    stand_in.will([refusal("404 x", "NoSuchKey")]);
    assert_eq!(s3.open(&[7; 32]).err().unwrap().kind(), io::ErrorKind::NotFound);
    stand_in.will([refusal("400 x", "<script>")]);
    assert_eq!(s3.open(&[7; 32]).err().unwrap().to_string(), "the storage answers 400 ");
    assert_eq!(stand_in.seen().len(), 3);
}

#[test]
fn a_file_that_cannot_be_sent_whole_is_given_up_now_or_at_the_next_start() {
    const BEGUN: &str = "<InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
        <Bucket>b</Bucket><Key>k</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>";
    let begun = || Answer::Text("200 OK", BEGUN.into());
    let done = || {
        Answer::Text(
            "200 OK",
            "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>".into(),
        )
    };
    let (stand_in, place) = (StandIn::new(), tempfile::tempdir().unwrap());
    let s3 = open(&stand_in, place.path());
    let put = || s3.put(&mut &b"two parts of it"[..]);
    let notes = || s3.folder.notes().unwrap().len();
    let steps = |seen: &[String]| -> Vec<String> {
        seen.iter()
            .map(|line| format!("{} {}", &line[..3], line.splitn(3, ' ').nth(2).unwrap_or_default()))
            .collect()
    };
    stand_in.will([begun(), status("200 OK"), status("200 OK"), done()]);
    put().unwrap();
    let whole = ["POS uploads", "PUT partNumber=1 uploadId", "PUT partNumber=2 uploadId", "POS uploadId"];
    assert_eq!((steps(&stand_in.seen()), notes()), (whole.map(String::from).to_vec(), 0));
    // A part is refused; the parts cannot be put together, which it tells late.
    stand_in.will([begun(), status("200 OK"), refusal("403 x", "AccessDenied"), status("204 x")]);
    assert_eq!(put().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert_eq!((steps(&stand_in.seen()).last().unwrap().as_str(), notes()), ("DEL uploadId", 0));
    stand_in.will([
        begun(),
        status("200 OK"),
        status("200 OK"),
        refusal("200 OK", "InternalError"),
        status("204 x"),
    ]);
    assert!(put().unwrap_err().to_string().contains("InternalError"));
    assert_eq!((steps(&stand_in.seen()).last().unwrap().as_str(), notes()), ("DEL uploadId", 0));
    // It is away before it could be told.
    stand_in.will([begun(), refusal("403 x", "AccessDenied"), refusal("403 x", "AccessDenied")]);
    assert!(put().is_err() && notes() == 1);
    stand_in.seen();
    stand_in.will([status("204 x")]);
    s3.clear().unwrap();
    assert_eq!((steps(&stand_in.seen()), notes()), (vec!["DEL uploadId".to_string()], 0));
}

#[test]
fn times_are_spelled_as_listings_do() {
    for (seconds, want) in [
        (0, "1970-01-01T00:00:00"),
        (951_782_399, "2000-02-28T23:59:59"),
        (951_782_400, "2000-02-29T00:00:00"),
        (1_798_761_599, "2026-12-31T23:59:59"),
        (4_107_542_400, "2100-03-01T00:00:00"),
    ] {
        assert_eq!(spelled(UNIX_EPOCH + Duration::from_secs(seconds)), want);
    }
}
