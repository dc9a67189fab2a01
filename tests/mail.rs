//! Mail through a mail server that others have written (`aiosmtpd`): encrypted, logged in, refused, put off, away; and
//! what becomes of it when the server is killed before it has left.
//!
//! It comes from PyPI (`pip install aiosmtpd`); `.ci/run` installs it.

mod support;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use support::{PASSWORD, PATIENCE, Server, Value, json};

/// Set where the tools must be there.
const REQUIRED: &str = "PLEXICHAT_SCHEMA_TOOLS";
/// A mail that is put off comes after a pause.
const PAUSE: Duration = Duration::from_secs(5);
const NEW: &str = "Brand-New-Secret-8";

struct MailServer {
    child: Child,
    port: u16,
    mails: Receiver<Value>,
    _input: ChildStdin,
}

impl MailServer {
    /// `None` where there is none to start.
    fn start(port: u16, args: &[&str]) -> Option<MailServer> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/mail_server.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(port.to_string()).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let started = command.spawn().map(|mut child| {
            let input = child.stdin.take().expect("it is a pipe");
            let lines = BufReader::new(child.stdout.take().expect("it is a pipe")).lines();
            let (told, mails) = channel();
            std::thread::spawn(move || {
                for line in lines.map_while(Result::ok) {
                    let _ = told.send(serde_json::from_str::<Value>(&line).expect("it says JSON"));
                }
            });
            let port = mails.recv_timeout(PATIENCE).ok().and_then(|port| port.as_u64());
            port.map(|port| MailServer { child, port: port as u16, mails, _input: input })
        });
        let started = started.ok().flatten();
        if started.is_none() {
            // Where nobody reads what is printed, a test that does not run must not pass.
            assert!(std::env::var_os(REQUIRED).is_none(), "there is no python3 with aiosmtpd");
            println!("skipped: there is no python3 with aiosmtpd; pip install aiosmtpd");
        }
        started
    }

    #[track_caller]
    fn mail(&self) -> Value {
        self.mails.recv_timeout(PATIENCE + PAUSE).expect("a mail comes")
    }

    #[track_caller]
    fn nothing(&self) {
        let mail = self.mails.recv_timeout(Duration::from_millis(1_500));
        assert!(mail.is_err(), "{mail:?}");
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An authority, and what it vouches for; as files.
struct Certificates {
    authority: PathBuf,
    certificate: String,
    key: String,
}

fn certificates(folder: &Path) -> Certificates {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let text = |path: PathBuf| path.to_str().unwrap().to_owned();
    Certificates {
        authority: write("authority.pem", &authority.pem()),
        certificate: text(write("certificate.pem", &certificate.pem())),
        key: text(write("key.pem", &key.serialize_pem())),
    }
}

fn options(port: u16, use_tls: bool, more: &[&str]) -> Vec<String> {
    let own = [
        "email.smtp_host=localhost".to_owned(),
        format!("email.smtp_port={port}"),
        format!("email.use_tls={use_tls}"),
        "email.from_email=noreply@chat.example".to_owned(),
    ];
    own.into_iter().chain(more.iter().map(|option| (*option).to_owned())).collect()
}

fn start(folder: &Path, options: &[String], environment: &[(&str, &OsStr)]) -> Server {
    std::fs::create_dir_all(folder).unwrap();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Server::try_start_with(folder, &options, environment)
        .unwrap_or_else(|(_, log)| panic!("no start:\n{log}"))
}

/// Registers somebody whose name is part of his address, and asks for a new password.
fn ask(server: &Server, local: &str) {
    let name = local.replace('.', "_");
    let body = json!({"username": name, "email": format!("{local}@example.org"), "password": PASSWORD});
    server.http().post("/api/v1/auth/register", None, &body).want(200);
    ask_again(server, local);
}

fn ask_again(server: &Server, local: &str) {
    let body = json!({"email": format!("{local}@example.org")});
    server.http().post("/api/v1/auth/password-reset/request", None, &body).want(200);
}

fn token(mail: &Value) -> String {
    let text = mail["text"].as_str().expect("a text");
    let line = text.lines().find(|line| line.starts_with("email."));
    line.unwrap_or_else(|| panic!("no token in {text}")).to_owned()
}

fn choose(server: &Server, token: &str) {
    let body = json!({"token": token, "new_password": NEW});
    server.http().post("/api/v1/auth/password-reset/confirm", None, &body).want(200);
}

/// A port where nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn mail_goes_encrypted_and_logged_in() {
    let folder = support::temporary_folder();
    let Certificates { authority, certificate, key } = certificates(folder.path());
    let Some(mails) = MailServer::start(0, &[&certificate, &key, "chat", "correct horse"]) else { return };
    let more = ["email.smtp_user=chat", "application.name=Caf\u{e9} \"Z\"", "logging.level=DEBUG"];
    let options = options(mails.port, true, &more);
    let data = folder.path().join("data");
    let password = ("PLEXICHAT_SMTP_PASSWORD", OsStr::new("correct horse"));
    let server = start(&data, &options, &[password, ("SSL_CERT_FILE", authority.as_os_str())]);
    ask(&server, "grace");
    let mail = mails.mail();
    assert_eq!((&mail["encrypted"], &mail["authenticated"]), (&json!(true), &json!(true)), "{mail}");
    assert_eq!((&mail["from"], &mail["to"]), (&json!("noreply@chat.example"), &json!("grace@example.org")));
    assert_eq!(mail["defects"], json!([]), "{mail}");
    let headers = &mail["headers"];
    assert_eq!(headers["From"], "\"Caf\u{e9} \\\"Z\\\"\" <noreply@chat.example>");
    assert_eq!(
        (&headers["To"], &headers["Auto-Submitted"]),
        (&json!("grace@example.org"), &json!("auto-generated"))
    );
    assert_eq!(headers["Subject"], "Caf\u{e9} \"Z\": Reset your password");
    assert!(
        headers["Date"].is_string() && headers["Message-ID"].as_str().unwrap().ends_with("@chat.example>")
    );
    let token = token(&mail);
    assert!(mail["html"].as_str().unwrap().contains(&format!("<p>{token}</p>")), "{mail}");
    choose(&server, &token);
    assert_eq!(mails.mail()["headers"]["Subject"], "Caf\u{e9} \"Z\": Your password was changed");
    let log = server.log_with("a mail was sent");
    for secret in [&token, &token[token.len() - 43..], "grace@example.org", "correct horse"] {
        assert!(!log.contains(secret), "{secret} stands in the log:\n{log}");
    }
}

#[test]
fn who_is_not_vouched_for_gets_no_mail() {
    let (folder, other) = (support::temporary_folder(), support::temporary_folder());
    let Certificates { certificate, key, authority } = certificates(folder.path());
    let stranger = certificates_of(other.path());
    let Some(mails) = MailServer::start(0, &[&certificate, &key, "chat", "correct horse"]) else { return };
    let options = options(mails.port, true, &["email.smtp_user=chat"]);
    let cases = [
        ("stranger", &stranger, "correct horse", "no mail is taken by the mail server"),
        ("wrong", &authority, "wrong horse", "it says 535"),
    ];
    for (name, authority, password, told) in cases {
        let password = ("PLEXICHAT_SMTP_PASSWORD", OsStr::new(password));
        let trusted = ("SSL_CERT_FILE", authority.as_os_str());
        let server = start(&folder.path().join(name), &options, &[password, trusted]);
        ask(&server, name);
        server.log_with(told);
        mails.nothing();
    }
}

fn certificates_of(folder: &Path) -> PathBuf {
    certificates(folder).authority
}

#[test]
fn what_is_refused_is_given_up_and_what_is_put_off_comes_later() {
    let Some(mails) = MailServer::start(0, &[]) else { return };
    let folder = support::temporary_folder();
    let server = start(folder.path(), &options(mails.port, false, &[]), &[]);
    for local in ["refused.bob", "spam.cyn", "later.dan", "eve"] {
        ask(&server, local);
    }
    let first = mails.mail();
    assert_eq!((&first["to"], &first["encrypted"]), (&json!("eve@example.org"), &json!(false)));
    let later = mails.mail();
    assert_eq!(later["to"], "later.dan@example.org");
    choose(&server, &token(&later));
    mails.mail();
    mails.nothing();
    let log = server.log_with("we do not like it");
    assert!(log.contains("550 5.1.1 … no such mailbox") && log.contains("r***@example.org"), "{log}");
    assert!(!log.contains("bob@example.org") && !log.contains("email."), "{log}");
}

#[test]
fn a_mail_server_that_comes_back_gets_what_has_waited() {
    let port = free_port();
    let folder = support::temporary_folder();
    let server = start(folder.path(), &options(port, false, &[]), &[]);
    ask(&server, "ada");
    server.log_with("no mail is taken by the mail server");
    let Some(mails) = MailServer::start(port, &[]) else { return };
    choose(&server, &token(&mails.mail()));
    server.log_with("mail is taken again");
}

#[test]
fn a_mail_outlives_the_server() {
    let port = free_port();
    let folder = support::temporary_folder();
    let options = options(port, false, &[]);
    let mut server = start(folder.path(), &options, &[]);
    ask(&server, "ada");
    ask(&server, "bob");
    ask_again(&server, "bob");
    server.kill();
    let Some(mails) = MailServer::start(port, &[]) else { return };
    let server = start(folder.path(), &options, &[]);
    let mut got = [mails.mail(), mails.mail()];
    got.sort_by_key(|mail| mail["to"].to_string());
    assert_eq!([&got[0]["to"], &got[1]["to"]], [&json!("ada@example.org"), &json!("bob@example.org")]);
    got.iter().for_each(|mail| choose(&server, &token(mail)));
}

#[test]
fn without_a_mail_server_it_is_told_what_does_not_work() {
    let folder = support::temporary_folder();
    let more = ["email.smtp_host=", "authentication.accounts.require_email_verification=true"];
    let server = start(folder.path(), &options(25, false, &more), &[]);
    let log = server.log_with("no mail is sent");
    assert!(log.contains("new accounts cannot log in"), "{log}");
    ask(&server, "ada");
}
