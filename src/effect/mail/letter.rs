//! What a mail says.
//!
//! Owns: all texts that leave by mail, each as plain text and as HTML of the same words. Invariants: a token stands on a
//! line of its own; nothing that a stranger has chosen stands in a text but the address he came from.

use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};

use super::{Settings, address};
use crate::store::records::mail_kind;
use crate::wire::http::http_date;

const MINUTE_MS: u64 = 60_000;

/// A mail before it has words.
#[derive(Clone)]
pub struct Letter {
    /// A [`mail_kind`] code.
    pub kind: u8,
    /// The same for each try, so that a mail that arrives twice can be known as one.
    pub id: u64,
    pub to: String,
    /// What the account is called.
    pub username: String,
    /// When it was caused, Unix milliseconds.
    pub created_at: u64,
    /// For how long the token is good, or when what it tells of happens: milliseconds from then.
    pub term_ms: u64,
    pub token: String,
    /// Where somebody came from.
    pub source: String,
}

/// What is said of a kind. `{account}`, `{when}`, `{then}`, `{term}` and `{source}` stand for those of the letter; a
/// paragraph that is the token is nothing else.
struct Words {
    kind: u8,
    subject: &'static str,
    paragraphs: &'static [&'static str],
}

const TOKEN: &str = "{token}";
const STOLEN: &str = "If it was not you, reset your password: that ends all sessions.";
const KEEP: &str = "If you want to keep it, tell whoever runs this server.";
/// Under each.
const FOOT: &str = "This mail was written by {server}. Answers to it are not read.";

const TEXTS: &[Words] = &[
    Words {
        kind: mail_kind::PASSWORD_RESET,
        subject: "Reset your password",
        paragraphs: &[
            "Somebody has asked to choose a new password for your account {account}. If it was you, this token lets you \
             do so. It works once, within {term}:",
            TOKEN,
            "If it was not you, do nothing: your password stays as it is.",
        ],
    },
    Words {
        kind: mail_kind::EMAIL_CONFIRMATION,
        subject: "Confirm your e-mail address",
        paragraphs: &[
            "This token confirms that the account {account} has this e-mail address. It works once, within {term}:",
            TOKEN,
            "If it is not your account, do nothing.",
        ],
    },
    Words {
        kind: mail_kind::NEW_SIGN_IN,
        subject: "New sign-in",
        paragraphs: &[
            "On {when} somebody has signed in to your account {account} from {source}, for the first time from there.",
            STOLEN,
        ],
    },
    Words {
        kind: mail_kind::PASSWORD_CHANGED,
        subject: "Your password was changed",
        paragraphs: &["On {when} the password of your account {account} was changed.", STOLEN],
    },
    Words {
        kind: mail_kind::TWO_FACTOR_ON,
        subject: "Two-factor login is on",
        paragraphs: &[
            "On {when} two-factor login was switched on for your account {account}: to log in takes a code from now on.",
            STOLEN,
        ],
    },
    Words {
        kind: mail_kind::TWO_FACTOR_OFF,
        subject: "Two-factor login is off",
        paragraphs: &[
            "On {when} two-factor login was switched off for your account {account}: to log in takes no code any more.",
            STOLEN,
        ],
    },
    Words {
        kind: mail_kind::EMAIL_CHANGED,
        subject: "Your e-mail address was changed",
        paragraphs: &[
            "On {when} your account {account} was given another e-mail address. This is the last mail to this one.",
            "If it was not you, tell whoever runs this server.",
        ],
    },
    Words {
        kind: mail_kind::PASSKEY_ADDED,
        subject: "New passkey",
        paragraphs: &[
            "On {when} a passkey was added to your account {account}. From now on it is a way in to your account.",
            "If it was not you, delete it there, and reset your password: that ends all sessions.",
        ],
    },
    Words {
        kind: mail_kind::PROVIDER_LINKED,
        subject: "New way to sign in",
        paragraphs: &[
            "On {when} somebody has signed in to your account {account} with {source}, where the same e-mail address was \
             confirmed. From now on that is a way in to your account.",
            "If it was not you, look after your account there, and reset your password here: that ends all sessions.",
        ],
    },
    Words {
        kind: mail_kind::DELETION_SCHEDULED,
        subject: "Your account will be deleted",
        paragraphs: &[
            "On {when} it was asked to delete your account {account}. That will be done on {then}; until then it cannot be \
             used.",
            KEEP,
        ],
    },
    Words {
        kind: mail_kind::DELETION_REMINDER,
        subject: "Your account is about to be deleted",
        paragraphs: &["Your account {account} will be deleted on {then}, for good.", KEEP],
    },
];

impl Letter {
    /// `None` when no mail can be sent to such an address, and for a kind that this version does not know.
    pub(super) fn compose(&self, settings: &Settings) -> Option<Message> {
        let words = TEXTS.iter().find(|words| words.kind == self.kind)?;
        let paragraphs = words.paragraphs.iter().chain([&FOOT]);
        let paragraphs: Vec<String> = paragraphs.map(|text| self.filled(text, settings)).collect();
        let (from, to) = (address(&settings.from)?, address(&self.to)?);
        let envelope = Envelope::new(Some(from.clone()), vec![to.clone()]).ok()?;
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let message = Message::builder()
            // Else it would be read from the head again, where not every address comes back from.
            .envelope(envelope)
            .from(Mailbox::new(Some(settings.name.clone()), from))
            .to(Mailbox::new(None, to))
            .subject(format!("{}: {}", settings.name, words.subject))
            .date(UNIX_EPOCH + Duration::from_millis(self.created_at))
            .message_id(Some(format!("<{}.{}@{}>", self.id, self.kind, settings.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".into()))
            .multipart(MultiPart::alternative_plain_html(plain(&paragraphs), html(&paragraphs)));
        message.ok()
    }

    /// In one pass: what is filled in is not looked at again.
    fn filled(&self, text: &str, settings: &Settings) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, (name, after))) =
            rest.split_once('{').and_then(|(before, after)| Some((before, after.split_once('}')?)))
        {
            out += before;
            out += &match name {
                "account" => self.username.clone(),
                "when" => date(self.created_at),
                "then" => date(self.created_at + self.term_ms),
                "term" => term(self.term_ms),
                "source" => self.source.clone(),
                "token" => self.token.clone(),
                "server" => settings.name.clone(),
                _ => unreachable!("a test fills each text"),
            };
            rest = after;
        }
        out + rest
    }
}

fn date(unix_ms: u64) -> String {
    let date = http_date(unix_ms / 1_000);
    String::from_utf8_lossy(&date).replace("GMT", "UTC")
}

fn term(ms: u64) -> String {
    match ms / MINUTE_MS {
        minutes if minutes >= 120 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}

fn plain(paragraphs: &[String]) -> String {
    paragraphs.join("\r\n\r\n") + "\r\n"
}

fn html(paragraphs: &[String]) -> String {
    let mut out = "<!doctype html>\r\n<html><body>\r\n".to_owned();
    for text in paragraphs {
        let text =
            text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        out += &format!("<p>{text}</p>\r\n");
    }
    out + "</body></html>\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Application, Config, Email};

    fn letter(kind: u8) -> Letter {
        Letter {
            kind,
            id: 77,
            to: "Ada@b\u{fc}cher.example".into(),
            username: "ada".into(),
            created_at: 1_767_225_600_000,
            term_ms: 60 * MINUTE_MS,
            token: format!("email.18446744073709551615.{}", "a".repeat(43)),
            source: "2001:db8::1".into(),
        }
    }

    fn settings(name: &str) -> Settings {
        let application = Application { name: name.into(), ..Application::default() };
        let email = Email { from_email: "noreply@chat.example".into(), ..Email::default() };
        Settings::of(&Config { application, email, ..Config::default() }, None).unwrap()
    }

    fn composed(letter: &Letter, name: &str) -> String {
        String::from_utf8(letter.compose(&settings(name)).unwrap().formatted()).unwrap()
    }

    #[test]
    fn a_mail_has_what_a_mail_needs() {
        let text = composed(&letter(mail_kind::PASSWORD_RESET), "Plexichat");
        for line in [
            "From: Plexichat <noreply@chat.example>",
            "To: Ada@xn--bcher-kva.example",
            "Subject: Plexichat: Reset your password",
            "Date: Thu, 01 Jan 2026 00:00:00 +0000",
            "Message-ID: <77.1@chat.example>",
            "Auto-Submitted: auto-generated",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Type: text/html; charset=utf-8",
            &letter(1).token,
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\nis missing in\n{text}");
        }
        assert!(text.contains("60 minutes"), "{text}");
        assert!(text.contains(&format!("<p>{}<", letter(1).token)), "{text}");
    }

    #[test]
    fn each_kind_has_words_and_all_of_them_are_filled() {
        for kind in (0..=u8::MAX).filter(|kind| mail_kind::text(*kind) != "unknown") {
            let words = TEXTS.iter().filter(|words| words.kind == kind).collect::<Vec<_>>();
            assert_eq!(words.len(), 1, "{}", mail_kind::text(kind));
            let letter = letter(kind);
            for text in words[0].paragraphs {
                let filled = letter.filled(text, &settings("x"));
                assert!(!filled.contains(['{', '}']), "{filled}");
            }
            assert!(letter.compose(&settings("x")).is_some());
        }
        assert!(letter(200).compose(&settings("x")).is_none());
    }

    #[test]
    fn nothing_gets_into_the_head_of_a_mail() {
        let name = "Ch\u{e4}t, <x@y.example>\" ; \u{1f600}";
        let text = composed(&letter(mail_kind::NEW_SIGN_IN), name);
        let head = text.split("\r\n\r\n").next().unwrap();
        assert!(head.is_ascii(), "{head}");
        assert_eq!(head.matches("\nFrom:").count() + usize::from(head.starts_with("From:")), 1, "{head}");
        let from = head.lines().find(|line| line.starts_with("From:")).unwrap();
        assert!(from.ends_with("?= <noreply@chat.example>") && from.matches('<').count() == 1, "{head}");
        for to in [
            "a\r\nBcc: b@x.example",
            "a@x.example\r\nBcc: b@x.example",
            "a b@x.example",
            "a@",
            "x",
            "a@@b.example",
        ] {
            let letter = Letter { to: to.into(), ..letter(1) };
            assert!(letter.compose(&settings("x")).is_none(), "{to:?}");
        }
    }

    #[test]
    fn odd_addresses_are_sent_to_as_they_are() {
        for (to, header) in [
            ("o'brien+x=y@example.org", "To: o'brien+x=y@example.org"),
            ("\"two words\"@example.org", "To: \"two words\"@example.org"),
            ("a@xn--bcher-kva.example", "To: a@xn--bcher-kva.example"),
        ] {
            let text = composed(&Letter { to: to.into(), ..letter(1) }, "x");
            assert!(text.lines().any(|line| line == header), "{text}");
        }
    }
}
