//! Mail, handed to the mail server of the operator.
//!
//! Owns: how a mail leaves. Invariants:
//! - A batch has one connection and one end in time, whatever the mail server does.
//! - With `email.use_tls` nothing but the wish for TLS goes out in the clear.
//! - What is told of an address is told with most of it hidden ([`masked`]); of tokens nothing is told.

pub mod letter;
mod smtp;

use std::time::{Duration, Instant};

use letter::Letter;
use smtp::{Connection, Error};

use super::lane::{Effect, Row};
use crate::config::Config;
use crate::text::email;

pub static LANE: Row = Row {
    name: "mail",
    // One conversation after the other: mail servers count connections.
    threads: |_| 1,
    // The server asks for one batch at a time.
    queue_len_max: |_| 4,
    // As beside hashing.
    niceness: 19,
    full: "Too much mail is on its way; try again in a moment",
};

/// For all of a batch; what is not reached by then is for the next one.
const BATCH: Duration = Duration::from_secs(90);
/// For one answer of the mail server. Some look into a mail before they take it.
const ANSWER: Duration = Duration::from_secs(30);

/// The environment variable with the password, which is no option: it stands in no file.
pub const PASSWORD_VARIABLE: &str = "PLEXICHAT_SMTP_PASSWORD";

/// Where mail goes, and from whom it is.
#[derive(Clone)]
pub struct Settings {
    host: String,
    port: u16,
    /// Whom we log in as, and with what.
    login: Option<(String, String)>,
    from: String,
    /// What readers see as the sender, and the server is called in texts.
    name: String,
    use_tls: bool,
    batch: Duration,
    answer: Duration,
}

impl Settings {
    /// `None` when mail is off.
    pub fn of(config: &Config, password: Option<String>) -> Option<Settings> {
        let email = &config.email;
        let login = password.filter(|_| !email.smtp_user.is_empty());
        let settings = Settings {
            host: email.smtp_host.clone(),
            port: email.smtp_port as u16,
            login: login.map(|password| (email.smtp_user.clone(), password)),
            from: email.from_email.clone(),
            name: config.application.name.clone(),
            use_tls: email.use_tls,
            batch: BATCH,
            answer: ANSWER,
        };
        (!settings.host.is_empty()).then_some(settings)
    }

    /// The part of the sender's address behind the `@`: for names that are ours.
    fn domain(&self) -> &str {
        self.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain)
    }
}

/// Hands mails over, as many of them as there is time for.
pub struct Send {
    pub settings: Settings,
    pub letters: Vec<Letter>,
}

/// What became of a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The mail server has taken it.
    Sent,
    /// It will never be taken; why.
    Refused(String),
    /// It was not taken now; why.
    Later(String),
    /// There was no time for it, or the connection was lost before it.
    Untried,
}

impl Effect for Send {
    /// By letter; and why none of them could be handed over, when that is so.
    type Answer = (Vec<Outcome>, Option<String>);
    const LANE: &'static Row = &LANE;

    fn run(self) -> Self::Answer {
        let Send { settings, letters } = self;
        let mut connection = match Connection::open(&settings, Instant::now() + settings.batch) {
            Ok(connection) => connection,
            Err(error) => {
                let why = error.to_string();
                return (vec![Outcome::Later(why.clone()); letters.len()], Some(why));
            }
        };
        let mut outcomes = Vec::with_capacity(letters.len());
        for letter in &letters {
            let outcome = match connection.is_open() {
                true => hand_over(&mut connection, letter, &settings),
                false => Outcome::Untried,
            };
            outcomes.push(outcome);
        }
        connection.close();
        (outcomes, None)
    }
}

fn hand_over(connection: &mut Connection, letter: &Letter, settings: &Settings) -> Outcome {
    let Some(message) = letter.compose(settings) else {
        return Outcome::Refused("no mail can be sent to such an address".into());
    };
    match connection.send(message.envelope(), &message.formatted()) {
        Ok(()) => Outcome::Sent,
        Err(error @ (Error::Refused(_) | Error::Unfit(_))) => Outcome::Refused(error.to_string()),
        Err(error) => Outcome::Later(error.to_string()),
    }
}

/// An address for the log: `a***@example.com`. Of a domain that is one person's own that is enough to find him, and no
/// more than a mail server's log says.
pub fn masked(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((local, domain)) => {
            let first = local.chars().next().filter(|char| char.is_alphanumeric()).unwrap_or('*');
            format!("{first}***@{domain}")
        }
        None => "***".into(),
    }
}

/// The address as mail servers know it, with its domain in ASCII; `None` for what is none.
fn address(text: &str) -> Option<lettre::Address> {
    let (local, domain) = email::parts_for_sending(text)?;
    // Nothing of it may end the word, or the line, that it stands in.
    let is_harmless = |char: char| !char.is_control() && !matches!(char, '<' | '>' | '\\');
    let is_safe =
        text.chars().all(is_harmless) && (local.starts_with('"') || !text.contains(char::is_whitespace));
    lettre::Address::new(local, domain).ok().filter(|_| is_safe)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc;
    use std::thread;

    use super::*;
    use crate::config::{Application, Email};
    use crate::store::records::mail_kind;

    const PATIENCE: Duration = Duration::from_secs(20);
    /// What is answered to a line; `None`: what is usual.
    type Answers = fn(&str) -> Option<&'static str>;

    /// A mail server for one conversation; what it has heard.
    fn serve(answers: Answers) -> (u16, mpsc::Receiver<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (told, heard) = mpsc::channel();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let lines = BufReader::new(socket.try_clone().unwrap()).lines().map_while(Result::ok);
            let (mut heard, mut in_mail) = (Vec::new(), false);
            let _ = socket.write_all(answers("").unwrap_or("220 here\r\n").as_bytes());
            for line in lines {
                heard.push(line.clone());
                let usual = match line.split(' ').next().unwrap_or_default() {
                    _ if in_mail && line != "." => continue,
                    "DATA" => "354 go on\r\n",
                    "EHLO" => "250-here\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n",
                    "AUTH" => "235 welcome\r\n",
                    _ => "250 ok\r\n",
                };
                let answer = answers(&line).unwrap_or(usual);
                in_mail = line == "DATA" && answer.starts_with("354");
                if socket.write_all(answer.as_bytes()).is_err() || answer.contains("bye") {
                    break;
                }
            }
            told.send(heard).unwrap();
        });
        (port, heard)
    }

    fn settings(port: u16) -> Settings {
        let application = Application { name: "Chat".into(), ..Application::default() };
        let email = Email {
            smtp_host: "127.0.0.1".into(),
            smtp_port: port.into(),
            from_email: "noreply@chat.example".into(),
            use_tls: false,
            ..Email::default()
        };
        Settings::of(&Config { application, email, ..Config::default() }, None).unwrap()
    }

    fn letter(to: &str) -> Letter {
        Letter {
            kind: mail_kind::PASSWORD_RESET,
            id: 5,
            to: to.into(),
            username: "ada".into(),
            created_at: 0,
            term_ms: 3_600_000,
            token: "email.1.x".into(),
            source: String::new(),
        }
    }

    /// What becomes of letters to these addresses, and what the mail server has heard of them.
    fn send(
        settings: Settings,
        to: &[&str],
        heard: &mpsc::Receiver<Vec<String>>,
    ) -> (Vec<Outcome>, Vec<String>) {
        let letters = to.iter().map(|to| letter(to)).collect();
        let (outcomes, trouble) = Send { settings, letters }.run();
        assert_eq!(trouble, None);
        (outcomes, heard.recv_timeout(PATIENCE).unwrap())
    }

    /// Why no mail could be sent at all, and what the mail server has heard.
    fn trouble(settings: Settings, heard: &mpsc::Receiver<Vec<String>>) -> (String, Vec<String>) {
        let (outcomes, trouble) = Send { settings, letters: vec![letter("a@x.example")] }.run();
        let why = trouble.expect("no mail was sent");
        assert_eq!(outcomes, [Outcome::Later(why.clone())]);
        (why, heard.recv_timeout(PATIENCE).unwrap())
    }

    fn words(heard: &[String]) -> Vec<&str> {
        let is_word = |line: &&String| {
            ["EHLO", "AUTH", "MAIL", "RCPT", "DATA", "RSET", "QUIT", "."]
                .iter()
                .any(|word| line.starts_with(word))
        };
        heard.iter().filter(is_word).map(String::as_str).collect()
    }

    #[test]
    fn a_batch_is_one_conversation() {
        let (port, heard) = serve(|_| None);
        let (outcomes, heard) = send(settings(port), &["a@x.example", "b@x.example"], &heard);
        assert_eq!(outcomes, [Outcome::Sent, Outcome::Sent]);
        let mail = |to| {
            [
                "MAIL FROM:<noreply@chat.example>".to_string(),
                format!("RCPT TO:<{to}>"),
                "DATA".into(),
                ".".into(),
            ]
        };
        let want = [
            &["EHLO chat.example".to_string()][..],
            &mail("a@x.example"),
            &mail("b@x.example"),
            &["QUIT".into()],
        ];
        assert_eq!(words(&heard), want.concat());
        assert_eq!(heard.iter().filter(|line| *line == "email.1.x").count(), 2, "{heard:?}");
    }

    #[test]
    fn who_is_refused_holds_up_nobody() {
        let (port, heard) = serve(|line| match line {
            "RCPT TO:<a@x.example>" => Some("550 5.1.1 <a@x.example>: no such mailbox\r\n"),
            "RCPT TO:<b@x.example>" => Some("450 later, \u{7}b@x.example\r\n"),
            "RCPT TO:<c@x.example>" => Some("530 log in first\r\n"),
            _ => None,
        });
        let to = ["a@x.example", "b@x.example", "c@x.example", "no mailbox", "d@x.example"];
        let (outcomes, heard) = send(settings(port), &to, &heard);
        let want = [
            Outcome::Refused("it says 550 5.1.1 … no such mailbox".into()),
            Outcome::Later("it says 450 later, …".into()),
            Outcome::Later("it says 530 log in first".into()),
            Outcome::Refused("no mail can be sent to such an address".into()),
            Outcome::Sent,
        ];
        assert_eq!(outcomes, want);
        assert_eq!(words(&heard).iter().filter(|word| **word == "RSET").count(), 3);
    }

    #[test]
    fn a_mail_that_is_not_liked_is_refused_and_a_sender_is_not() {
        let (port, heard) = serve(|line| (line == ".").then_some("554 spam\r\n"));
        let (outcomes, _) = send(settings(port), &["a@x.example"], &heard);
        assert_eq!(outcomes, [Outcome::Refused("it says 554 spam".into())]);
        let (port, heard) = serve(|line| line.starts_with("MAIL").then_some("550 not you\r\n"));
        let (outcomes, _) = send(settings(port), &["a@x.example"], &heard);
        assert_eq!(outcomes, [Outcome::Later("it says 550 not you".into())]);
    }

    #[test]
    fn what_comes_after_a_lost_connection_was_not_tried() {
        let (port, heard) = serve(|line| line.starts_with("RCPT TO:<b").then_some("421 bye\r\n"));
        let (outcomes, _) = send(settings(port), &["a@x.example", "b@x.example", "c@x.example"], &heard);
        assert_eq!(outcomes, [Outcome::Sent, Outcome::Later("it says 421 bye".into()), Outcome::Untried]);
    }

    #[test]
    fn without_tls_nothing_is_sent_where_it_is_asked_for() {
        let encrypted = |port| Settings { use_tls: true, ..settings(port) };
        let (port, heard) = serve(|_| None);
        let (why, heard) = trouble(encrypted(port), &heard);
        assert!(why.contains("STARTTLS"), "{why}");
        assert_eq!(words(&heard), ["EHLO chat.example"]);
        // Somebody in between would like his words to be taken for those of the mail server.
        let (port, heard) = serve(|line| match line {
            "STARTTLS" => Some("220 go on\r\n250-here\r\n250 AUTH PLAIN\r\n"),
            _ if line.starts_with("EHLO") => Some("250-here\r\n250 STARTTLS\r\n"),
            _ => None,
        });
        let (why, heard) = trouble(encrypted(port), &heard);
        assert!(why.contains("in the clear"), "{why}");
        assert_eq!(heard, ["EHLO chat.example", "STARTTLS"]);
        let (port, heard) = serve(|line| match line {
            "STARTTLS" => Some("220 bye\r\n"),
            _ if line.starts_with("EHLO") => Some("250-here\r\n250 STARTTLS\r\n"),
            _ => None,
        });
        let (why, _) = trouble(encrypted(port), &heard);
        assert!(why.starts_with("TLS: "), "{why}");
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let begun = Instant::now();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                thread::spawn(move || {
                    while connection.write_all(b"2").is_ok() {
                        thread::sleep(Duration::from_millis(20));
                    }
                });
            }
        });
        let all = Settings { batch: Duration::from_millis(500), ..settings(port) };
        let (_, why) = Send { settings: all, letters: vec![letter("a@x.example")] }.run();
        assert_eq!(why.unwrap(), "no greeting: timed out");
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let one = Settings { answer: Duration::from_millis(200), ..settings(port) };
        let (_, why) = Send { settings: one, letters: vec![letter("a@x.example")] }.run();
        assert_eq!(why.unwrap(), "no greeting: timed out");
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
        drop(silent);
        let (_, why) = Send { settings: settings(port), letters: vec![letter("a@x.example")] }.run();
        assert!(why.unwrap().starts_with("cannot connect: "));
    }

    #[test]
    fn an_answer_has_an_end() {
        let (port, heard) = serve(|line| {
            let long: &'static str = Box::leak("250-x\r\n".repeat(4_000).into_boxed_str());
            line.starts_with("EHLO").then_some(long)
        });
        let (why, _) = trouble(settings(port), &heard);
        assert_eq!(why, "no answer: its answer is too long");
        let (port, heard) = serve(|line| line.is_empty().then_some("SSH-2.0-x\r\n"));
        assert_eq!(trouble(settings(port), &heard).0, "no greeting: that is no answer of a mail server");
    }

    #[test]
    fn logging_in_is_done_as_the_mail_server_can() {
        let known = |port| Settings { login: Some(("ada".into(), "secret".into())), ..settings(port) };
        let (port, heard) = serve(|_| None);
        let (outcomes, heard) = send(known(port), &["a@x.example"], &heard);
        assert_eq!(outcomes, [Outcome::Sent]);
        assert_eq!(words(&heard)[1], "AUTH PLAIN AGFkYQBzZWNyZXQ=");
        let (port, heard) = serve(|line| match line {
            _ if line.starts_with("EHLO") => Some("250-here\r\n250 AUTH LOGIN\r\n"),
            "AUTH LOGIN" => Some("334 VXNlcm5hbWU6\r\n"),
            "YWRh" => Some("334 UGFzc3dvcmQ6\r\n"),
            "c2VjcmV0" => Some("235 welcome\r\n"),
            _ => None,
        });
        assert_eq!(send(known(port), &["a@x.example"], &heard).0, [Outcome::Sent]);
        let (port, heard) = serve(|line| line.starts_with("AUTH").then_some("535 wrong\r\n"));
        assert_eq!(trouble(known(port), &heard).0, "it says 535 wrong");
        let (port, heard) = serve(|line| line.starts_with("EHLO").then_some("250 here\r\n"));
        assert_eq!(trouble(known(port), &heard).0, "it takes no log-in with a password");
    }

    #[test]
    fn letters_of_other_scripts_need_a_mail_server_that_takes_them() {
        let (port, heard) = serve(|_| None);
        let (outcomes, _) = send(settings(port), &["j\u{f6}@x.example", "a@b\u{fc}cher.example"], &heard);
        let why = "the mail server takes no address with such letters";
        assert_eq!(outcomes, [Outcome::Refused(why.into()), Outcome::Sent]);
        let (port, heard) =
            serve(|line| line.starts_with("EHLO").then_some("250-here\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"));
        let (outcomes, heard) = send(settings(port), &["j\u{f6}@x.example"], &heard);
        assert_eq!(outcomes, [Outcome::Sent]);
        assert_eq!(words(&heard)[1], "MAIL FROM:<noreply@chat.example> SMTPUTF8 BODY=8BITMIME");
    }

    #[test]
    fn addresses_are_told_in_part() {
        for (address, want) in [
            ("alice@example.com", "a***@example.com"),
            ("\u{fc}@x.example", "\u{fc}***@x.example"),
            ("\"a b\"@x.example", "****@x.example"),
            ("nothing", "***"),
        ] {
            assert_eq!(masked(address), want);
        }
    }
}
