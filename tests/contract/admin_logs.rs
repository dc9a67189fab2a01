//! The server's log files: which there are, what is in them, and what is not.

use std::time::Instant;

use crate::admin_login::session;
use crate::support::{Answer, PASSWORD, PATIENCE, Value, json};
use crate::world::{World, shape, text};

cases![admin_log_list, admin_log_get];

/// Whatever is logged at all, in short files.
pub const OPTIONS: &[&str] =
    &["logging.level=TRACE", "logging.max_bytes=65536", "logging.backup_count=2", "api.timestamp_unit=ms"];

const LINE: &str = "timestamp: str, level: str, message: str, raw: str";

fn list(w: &World) -> Value {
    w.call(Some(&session(w)), "GET /admin/logs", Value::Null).want(200)
}

fn view(w: &World, path: &str) -> Answer {
    w.call(Some(&session(w)), &format!("GET /admin/logs/{path}"), Value::Null)
}

/// Looks again until it holds: what is logged is written a moment later.
#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn admin_log_list(w: &World) {
    for (token, statuses) in [(None, &[401][..]), (Some(w.user().token), &[401, 403])] {
        let answer = w.call(token.as_deref(), "GET /admin/logs", Value::Null);
        assert!(statuses.contains(&answer.status), "{answer:?}");
        let answer = w.call(token.as_deref(), "GET /admin/logs/plexichat.log", Value::Null);
        assert!(statuses.contains(&answer.status), "{answer:?}");
    }
    let first = list(w);
    shape(&first[0], "filename: str, size: int, modified: int, is_zipped: bool");
    assert_eq!((&first[0]["filename"], &first[0]["is_zipped"]), (&json!("plexichat.log"), &json!(false)));
    let modified = first[0]["modified"].as_u64().unwrap();
    assert!(modified > 1_700_000_000_000, "in the unit of all times: {modified}");
    // Filled up, so that they are rotated, packed and removed.
    let user = w.user();
    let is_packed = |file: &Value| file["is_zipped"] == true;
    eventually("two files are packed, and no more are kept", || {
        (0..100).for_each(|_| drop(w.get(&user, "/users/@me")));
        list(w).as_array().unwrap().iter().filter(|file| is_packed(file)).count() == 2
    });
    let all = list(w);
    let times: Vec<u64> = all.as_array().unwrap().iter().map(|file| file["modified"].as_u64().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "the latest first: {all}");
    assert!(all.as_array().unwrap().iter().all(|file| file["size"].as_u64().unwrap() <= 65_536), "{all}");
    let packed = text(&all.as_array().unwrap().iter().find(|file| is_packed(file)).unwrap()["filename"]);
    let found = view(w, &format!("{packed}?search=ME_GET&limit=3&level=debug")).want(200);
    assert_eq!(found["lines"].as_array().unwrap().len(), 3);
    assert!(text(&found["lines"][0]["message"]).contains("me_get"), "{found}");
    // Beside the database, for nobody but the server's user.
    let folder = w.server.folder().join("logs");
    use std::os::unix::fs::PermissionsExt as _;
    for path in [&folder, &folder.join("plexichat.log"), &folder.join(&packed)] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o077, 0, "{path:?}");
    }
}

fn admin_log_get(w: &World) {
    eventually("the requests so far are written", || {
        view(w, "plexichat.log?search=admin_log_get").want(200)["total_lines"] != 0
    });
    let whole = view(w, "plexichat.log?limit=10000").want(200);
    shape(&whole, "filename: str, total_lines: int, lines: list, limit: int, offset: int");
    let lines = whole["lines"].as_array().unwrap();
    lines.iter().for_each(|line| shape(line, LINE));
    assert_eq!(whole["total_lines"], lines.len());
    let line = &lines[0];
    let (time, level) = (text(&line["timestamp"]), text(&line["level"]));
    assert!(time.len() == 27 && time.ends_with('Z'), "{line}");
    assert_eq!(text(&line["raw"]), format!("{time} {level} {}", text(&line["message"])));
    let part = view(w, "plexichat.log?limit=2&offset=1").want(200);
    assert_eq!((&part["lines"], &part["limit"], &part["offset"]), (&json!(lines[1..3]), &json!(2), &json!(1)));
    let plain = view(w, "plexichat.log").want(200);
    assert_eq!((&plain["limit"], &plain["offset"]), (&json!(1_000), &json!(0)));
    assert_eq!(view(w, "plexichat.log?level=ERROR").want(200)["total_lines"], 0);
    let behind = view(w, "plexichat.log?offset=18446744073709551615").want(200);
    assert_eq!(behind["lines"], json!([]));
    for bad in [
        "limit=0", "limit=10001", "limit=x", "limit=-1", "offset=-1", "offset=x", "level=loud", "search=%FF",
        &format!("search={}", "x".repeat(257)),
    ] {
        view(w, &format!("plexichat.log?{bad}")).want(400);
    }
    // Nothing but what is listed, and no way out.
    std::fs::write(w.server.folder().join("logs/other.log"), "secret").unwrap();
    std::os::unix::fs::symlink("../data.mdb", w.server.folder().join("logs/plexichat.77.log")).unwrap();
    for absent in ["absent.log", "other.log", "plexichat-log.lock", "plexichat.77.log", "plexichat.99.log.gz", "PLEXICHAT.LOG"] {
        view(w, absent).want(404);
    }
    assert!(!list(w).to_string().contains("77"));
    for trick in [
        "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd", "..%5Cdata.mdb", "..", "%2e%2e", "plexichat.log%00", ".hidden",
        "logs%2Fplexichat.log", "a%0Ab", &"x".repeat(300),
    ] {
        view(w, trick).want(400);
    }
    view(w, "..%2Fdata.mdb").want(400);
    assert_eq!(view(w, "../data.mdb").status, 404);
    nothing_secret_is_logged(w);
}

/// What people type and what they are given stays out of the files, at whatever level.
fn nothing_secret_is_logged(w: &World) {
    let place = w.place();
    let user = &place.owner;
    let login = json!({"username": user.name, "password": "Wrong-pass-8472!x"});
    w.anyone("POST /auth/login", login).want(401);
    let again = w.anyone("POST /auth/login", json!({"username": user.name, "password": PASSWORD})).want(200);
    w.message(user, &place.channel, "a most private matter");
    let hook = w.ok(user, "POST /webhooks", json!({"channel_id": place.channel, "name": "one"}));
    let line = format!("POST /webhooks/{}/{}", text(&hook["id"]), text(&hook["token"]));
    w.anyone(&line, json!({"content": "a most private matter"}));
    w.anyone(&format!("GET /users/@me?token={}", user.token), Value::Null).want(401);
    w.call(Some("nonsense-token-99"), "GET /users/@me", Value::Null).want(401);
    w.headed("GET", "/users/@me", &[("Cookie", "session=cookie-monster-1"), ("X-API-Access-Token", "gate-key-77")], b"");
    w.anyone("POST /auth/password-reset/request", json!({"email": format!("{}@example.org", user.name)}));
    let mut socket = w.server.gateway();
    socket.identify(&user.token);
    let (_, admin_password) = crate::support::admin::credentials(w.server.folder());
    w.anyone("POST /admin/login", json!({"username": "admin", "password": admin_password}));
    // Whatever was logged up to here is written when this is, in whichever file it is by then.
    w.call(Some(&session(w)), "GET /admin/tickets", Value::Null).want(200);
    let mut all = String::new();
    eventually("it is written", || {
        all.clear();
        for file in list(w).as_array().unwrap() {
            let page = view(w, &format!("{}?limit=10000", text(&file["filename"])));
            // One that was packed since it was listed has another name now.
            let lines = if page.status == 200 { page.want(200)["lines"].clone() } else { json!([]) };
            lines.as_array().unwrap().iter().for_each(|line| all += &(text(&line["raw"]) + "\n"));
        }
        all.contains("admin_ticket_list")
    });
    assert!(all.contains("login") && all.contains("webhook_execute"));
    for secret in [
        PASSWORD, "Wrong-pass-8472!x", &text(&again["token"]), &user.token, "private matter", &text(&hook["token"]),
        "nonsense-token-99", "cookie-monster-1", "gate-key-77", &admin_password, &session(w), "example.org",
    ] {
        assert!(!all.contains(secret), "{secret} is logged");
    }
}
