//! A mail server that takes everything and keeps it, for tests that wait for a token.
//!
//! What a mail server may do otherwise is tried with one that others have written (`tests/mail.rs`).

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::PATIENCE;

/// A mail that was taken.
#[derive(Clone, Debug)]
pub struct Mail {
    pub to: String,
    /// As it came, lines end with `\n`.
    pub text: String,
}

impl Mail {
    /// The token, on its line.
    #[must_use]
    pub fn token(&self) -> String {
        let line = self.text.lines().find(|line| line.starts_with("email."));
        line.unwrap_or_else(|| panic!("no token in {}", self.text)).to_owned()
    }

    /// A header line, without its name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let head = self.text.split("\n\n").next().unwrap_or_default();
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

type Taken = Arc<(Mutex<Vec<Mail>>, Condvar)>;

/// It goes on until the test process ends.
pub struct Sink {
    port: u16,
    taken: Taken,
}

impl Sink {
    #[must_use]
    pub fn start() -> Sink {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an open socket").port();
        let taken = Taken::default();
        let shared = taken.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = shared.clone();
                std::thread::spawn(move || drop(take(&stream, &taken)));
            }
        });
        Sink { port, taken }
    }

    /// Options of a server that sends its mail here.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        vec![
            "email.smtp_host=127.0.0.1".into(),
            format!("email.smtp_port={}", self.port),
            "email.use_tls=false".into(),
        ]
    }

    /// Takes the oldest mail to somebody, waited for.
    #[track_caller]
    pub fn mail(&self, to: &str) -> Mail {
        self.mail_within(to, PATIENCE).unwrap_or_else(|| panic!("no mail to {to}"))
    }

    /// The same, if one comes in time.
    pub fn mail_within(&self, to: &str, patience: Duration) -> Option<Mail> {
        let deadline = Instant::now() + patience;
        let (mails, news) = &*self.taken;
        let mut mails = mails.lock().expect("no panic while held");
        loop {
            if let Some(index) = mails.iter().position(|mail| mail.to.eq_ignore_ascii_case(to)) {
                return Some(mails.remove(index));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            mails = news.wait_timeout(mails, left).expect("no panic while held").0;
        }
    }
}

fn take(stream: &TcpStream, taken: &Taken) -> std::io::Result<()> {
    let mut out = stream;
    let mut lines = BufReader::new(stream).lines();
    out.write_all(b"220 sink\r\n")?;
    let mut to = Vec::new();
    while let Some(line) = lines.next().transpose()? {
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-sink\r\n250 8BITMIME\r\n",
            "MAIL" => {
                to.clear();
                "250 ok\r\n"
            }
            "RCPT" => {
                to.push(line.trim_start_matches("RCPT TO:<").trim_end_matches('>').to_owned());
                "250 ok\r\n"
            }
            "DATA" => {
                out.write_all(b"354 go on\r\n")?;
                let mut text = String::new();
                for line in lines.by_ref() {
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    text += line.strip_prefix('.').unwrap_or(&line);
                    text.push('\n');
                }
                let (mails, news) = &**taken;
                let new = to.iter().map(|to| Mail { to: to.clone(), text: text.clone() });
                mails.lock().expect("no panic while held").extend(new);
                news.notify_all();
                "250 taken\r\n"
            }
            "QUIT" => return out.write_all(b"221 bye\r\n"),
            _ => "250 ok\r\n",
        };
        out.write_all(answer.as_bytes())?;
    }
    Ok(())
}
