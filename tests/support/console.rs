//! A browser without a screen: it keeps the cookie of the console, and sends forms as they stand in pages.

use std::net::SocketAddr;
use std::path::Path;

use totp_rs::Totp;

use super::admin::{code, credentials};
use super::{Answer, Http};

pub struct Console {
    http: Http,
    origin: String,
    /// The cookie's value; empty: none.
    pub cookie: String,
    /// Of the page that came last.
    pub form_token: String,
}

impl Console {
    #[must_use]
    pub fn new(http: Http, address: SocketAddr) -> Console {
        Console {
            http,
            origin: format!("http://{address}"),
            cookie: String::new(),
            form_token: String::new(),
        }
    }

    /// Sends exactly this, besides the cookie.
    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&str>) -> Answer {
        let cookie = format!("plexichat_admin={}", self.cookie);
        let mut all = headers.to_vec();
        if !self.cookie.is_empty() {
            all.push(("Cookie", &cookie));
        }
        let answer = self.http.request(method, path, &all, body.map(str::as_bytes));
        if let Some(line) = answer.header("set-cookie") {
            let value = line.strip_prefix("plexichat_admin=").expect("there is no other cookie");
            self.cookie = value.split(';').next().unwrap_or_default().to_owned();
        }
        if let Some(token) = between(&answer.text(), "name=\"form_token\" value=\"", "\"") {
            self.form_token = token.to_owned();
        }
        answer
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], None)
    }

    /// The text of a page.
    #[track_caller]
    pub fn page(&mut self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {:?} {}", answer.headers, answer.text());
        answer.text()
    }

    /// Sends a form of the page that came last.
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form_token.clone();
        let fields: Vec<(&str, &str)> =
            [("form_token", token.as_str())].into_iter().chain(fields.iter().copied()).collect();
        let origin = self.origin.clone();
        self.send("POST", path, &[("Origin", &origin), FORM], Some(&encoded(&fields)))
    }

    /// Does something on a page, which leads back to it; the page as it is then.
    #[track_caller]
    pub fn act(&mut self, path: &str, action: &str, fields: &[(&str, &str)]) -> String {
        self.page(path);
        let fields: Vec<(&str, &str)> =
            [("operation", action)].into_iter().chain(fields.iter().copied()).collect();
        let answer = self.post(path, &fields);
        assert_eq!(answer.status, 303, "{path} {action}: {}", answer.text());
        let to = answer.header("location").expect("it leads somewhere").to_owned();
        assert!(to.contains(&format!("done={}", action.replace('_', "%5F"))), "{to}");
        self.page(&to)
    }

    /// Logs in as the first administrator, who has not set up one-time codes before.
    #[track_caller]
    pub fn log_in(&mut self, folder: &Path) -> Totp {
        let (username, password) = credentials(folder);
        self.page("/admin/login");
        let asked = self.post("/admin/ui/login", &[("username", &username), ("password", &password)]);
        let (fields, totp) = set_up(&asked);
        let answer = self.verify(&fields, &code(&totp, 0));
        assert_eq!(answer.status, 303, "{}", answer.text());
        totp
    }

    /// Sends a code with what the page that asks for it has in hidden fields.
    pub fn verify(&mut self, fields: &[(String, String)], code: &str) -> Answer {
        let mut fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.push(("code", code));
        self.post("/admin/ui/verify", &fields)
    }
}

pub const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// What a page that sets up one-time codes has in its form, and what makes them.
#[track_caller]
pub fn set_up(answer: &Answer) -> (Vec<(String, String)>, Totp) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let fields = hidden(&answer.text());
    let uri = &fields.iter().find(|(name, _)| name == "otp_qr_uri").expect("codes are to be set up").1;
    let totp = Totp::from_url(uri).expect("of an authenticator");
    (fields, totp)
}

/// Names and values of the hidden fields of a page, without the token of forms.
#[must_use]
pub fn hidden(page: &str) -> Vec<(String, String)> {
    let inputs = page.split("<input type=\"hidden\"").skip(1);
    let fields = inputs.map(|input| {
        let text =
            |name: &str| between(input, &format!("{name}=\""), "\"").expect("a field has it").to_owned();
        (text("name"), plain(&text("value")))
    });
    fields.filter(|(name, _)| name != "form_token").collect()
}

/// Text without what stands for signs of HTML.
#[must_use]
pub fn plain(text: &str) -> String {
    let signs =
        [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&"), ("&amp;", "&")];
    signs.iter().fold(text.to_owned(), |text, (code, sign)| text.replace(code, sign))
}

#[must_use]
pub fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let from = text.find(before)? + before.len();
    let len = text[from..].find(after)?;
    Some(&text[from..from + len])
}

/// A form as browsers spell it.
#[must_use]
pub fn encoded(fields: &[(&str, &str)]) -> String {
    let text = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
                b' ' => "+".to_owned(),
                _ => format!("%{byte:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
    pairs.join("&")
}
