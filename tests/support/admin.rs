//! Logging in as the administrator that the first start has made.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use totp_rs::Totp;

use super::{Http, Value};

/// Name and password, as they stand in the file of the first start.
#[must_use]
pub fn credentials(folder: &Path) -> (String, String) {
    let text =
        std::fs::read_to_string(folder.join(".plexichat/admin_credentials.txt")).expect("it is written");
    let line = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("it is a line of the file");
        line.to_owned()
    };
    (line("Username: "), line("Password: "))
}

/// The code of now, or of so many steps away.
#[must_use]
pub fn code(totp: &Totp, steps: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    totp.generate(now.strict_add_signed(steps * 30)).to_string()
}

/// A session of the first administrator, who has not set up one-time codes before; with what makes his codes. The code
/// of now is used up.
pub fn log_in(http: &mut Http, folder: &Path) -> (String, Totp) {
    let (username, password) = credentials(folder);
    let login = json!({"username": username, "password": password});
    let asked = http.call("POST", "/api/v1/admin/login", None, Some(&login)).want(200);
    assert_eq!(asked["status"], "otp_setup_required");
    let totp =
        Totp::from_url(asked["otp_qr_uri"].as_str().expect("an address")).expect("of an authenticator");
    let shown = json!({
        "admin_id": asked["admin_id"],
        "challenge_token": asked["challenge_token"],
        "is_setup": true,
        "code": code(&totp, 0),
    });
    let done: Value = http.call("POST", "/api/v1/admin/verify-otp", None, Some(&shown)).want(200);
    (done["token"].as_str().expect("a token").to_owned(), totp)
}
