//! The log-in of the console: its cookie, its forms, and what others cannot do with them.

use crate::support::admin::{code, credentials};
use crate::support::console::{Console, FORM, encoded, hidden, set_up};
use crate::support::{Answer, PASSWORD, Server, json};
use crate::world::World;

cases![console_root, console_login, console_sign_in, console_verify, console_sign_out];

fn console(server: &Server) -> Console {
    Console::new(server.http(), server.address())
}

/// What every answer of the console says of itself.
#[track_caller]
pub fn guarded(answer: &Answer) {
    let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
    assert_eq!(header("x-frame-options"), "DENY", "{}", answer.request);
    assert_eq!(header("cache-control"), "no-store", "{}", answer.request);
    assert_eq!(header("referrer-policy"), "same-origin", "{}", answer.request);
    assert_eq!(header("x-content-type-options"), "nosniff", "{}", answer.request);
    for name in ["x-frame-options", "referrer-policy"] {
        assert_eq!(answer.headers.iter().filter(|(known, _)| known == name).count(), 1, "{name}");
    }
    if answer.status < 300 || answer.status >= 400 {
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none';") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && !policy.contains("data:"), "{policy}");
        let text = answer.text();
        assert!(header("content-type").starts_with("text/html") && text.starts_with("<!doctype html>"), "{text}");
        for inline in ["<style", " style=", " onclick=", "javascript:", "<script>"] {
            assert!(!text.contains(inline), "{}: {inline}", answer.request);
        }
    }
}

fn console_root(w: &World) {
    let mut console = console(&w.server);
    for path in ["/admin", "/admin/", "/admin/ui", "/admin/ui/", "/admin/ui-dashboard", "/admin/ui/users", "/admin/ui/user/7"] {
        let answer = console.get(path);
        assert_eq!((answer.status, answer.header("location")), (307, Some("/admin/login")), "{path}");
        guarded(&answer);
        assert!(answer.body.is_empty());
    }
    w.note_page("GET", "/admin");
}

fn console_login(w: &World) {
    let mut console = console(&w.server);
    let answer = console.get("/admin/login");
    assert_eq!(answer.status, 200);
    guarded(&answer);
    let cookie = answer.header("set-cookie").expect("forms need one").to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/admin;", "; Max-Age=28800"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "there is no TLS: {cookie}");
    assert!(!cookie.contains(&console.form_token), "{cookie}");
    // It is kept, and serves as no session.
    let again = console.get("/admin/login");
    assert_eq!((again.status, again.header("set-cookie")), (200, None));
    assert_eq!(console.get("/admin/ui").status, 307);
    let bearer = format!("Bearer {}", console.cookie);
    w.server.http().request("GET", "/admin/audit-log", &[("Authorization", &bearer)], None).want(401);
    // Behind a proxy that speaks TLS.
    let mut fresh = self::console(&w.server);
    let answer = fresh.send("GET", "/admin/login", &[("X-Forwarded-Proto", "https")], None);
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.ends_with("; Secure")), "{answer:?}");
    w.note_page("GET", "/admin/login");
}

fn console_sign_in(w: &World) {
    let mut console = console(&w.server);
    let (username, password) = credentials(w.server.folder());
    let right = [("username", username.as_str()), ("password", password.as_str())];
    console.page("/admin/login");
    for (fields, status, why) in [
        ([("username", "admin"), ("password", "wrong")], 401, "role=\"alert\""),
        ([("username", "<b>nobody</b>"), ("password", &password)], 401, "role=\"alert\""),
        ([("username", ""), ("password", &password)], 400, "username"),
        ([("username", "admin"), ("password", "")], 400, "password"),
        ([("username", "admin"), ("other", "x")], 400, "password"),
    ] {
        let answer = console.post("/admin/ui/login", &fields);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert!(answer.text().contains(why), "{}", answer.text());
        assert!(!answer.text().contains("<b>nobody"), "{}", answer.text());
        guarded(&answer);
    }
    // Users are no administrators.
    let user = w.user();
    let answer = console.post("/admin/ui/login", &[("username", &user.name), ("password", PASSWORD)]);
    assert_eq!(answer.status, 401);
    // Forms that were not made for this browser, or that others have sent.
    let (origin, token) = (format!("http://{}", w.server.address()), console.form_token.clone());
    let with = |cookie: &str, token: &str, headers: &[(&str, &str)]| {
        let mut other = self::console(&w.server);
        other.cookie = cookie.to_owned();
        let fields: Vec<(&str, &str)> = [("form_token", token)].into_iter().chain(right).collect();
        let headers: Vec<(&str, &str)> = headers.iter().copied().chain([FORM]).collect();
        other.send("POST", "/admin/ui/login", &headers, Some(&encoded(&fields)))
    };
    let (cookie, own) = (console.cookie.clone(), [("Origin", origin.as_str())]);
    let other = token.replace(['0', '1', '2', '3'], "4");
    let host = w.server.address().to_string().replace("127.0.0.1", "localhost");
    let near = format!("http://{host}");
    for (cookie, token, headers) in [
        ("", token.as_str(), &own[..]),
        (&cookie, "", &own[..]),
        (&cookie, &other, &own[..]),
        (&cookie, &token[1..], &own[..]),
        (&"A".repeat(43), &token, &own[..]),
        (&cookie, &token, &[("Origin", "http://evil.example")][..]),
        (&cookie, &token, &[("Origin", "null")][..]),
        (&cookie, &token, &[("Origin", near.as_str())][..]),
        (&cookie, &token, &[("Origin", origin.as_str()), ("Sec-Fetch-Site", "cross-site")][..]),
        (&cookie, &token, &[("Sec-Fetch-Site", "same-site")][..]),
    ] {
        let answer = with(cookie, token, headers);
        assert_eq!(answer.status, 403, "{cookie} {token} {headers:?} {}", answer.text());
        guarded(&answer);
    }
    let answer = with(&cookie, &token, &[("Origin", origin.as_str()), ("Sec-Fetch-Site", "same-origin")]);
    set_up(&answer);
    guarded(&answer);
    let text = answer.text();
    assert!(text.contains("<svg class=\"qr\"") && text.contains("<path fill=\"#000\" d=\"M"), "{text}");
    assert!(!text.contains(&password));
    // What is no form at all.
    let headers = [("Origin", origin.as_str()), ("Content-Type", "application/json")];
    console.send("POST", "/admin/ui/login", &headers, Some("{}")).want(400);
    w.note_page("POST", "/admin/ui/login");
}

fn console_verify(w: &World) {
    let mut console = console(&w.server);
    let (username, password) = credentials(w.server.folder());
    let right = [("username", username.as_str()), ("password", password.as_str())];
    console.page("/admin/login");
    let (fields, totp) = set_up(&console.post("/admin/ui/login", &right));
    let before = console.cookie.clone();
    // The page comes again, with the same secret to be set up.
    let wrong = console.verify(&fields, &code(&totp, -9));
    assert_eq!(wrong.status, 401);
    guarded(&wrong);
    assert_eq!(hidden(&wrong.text()), fields);
    // An address that is not the page's own shows nothing.
    let mut foreign = fields.clone();
    foreign.iter_mut().filter(|(name, _)| name == "otp_qr_uri").for_each(|(_, uri)| *uri = "https://evil.example/\"><b>".into());
    let answer = console.verify(&foreign, &code(&totp, -9));
    assert!(!answer.text().contains("evil.example"), "{}", answer.text());
    let now = code(&totp, 0);
    let spaced = format!("{} {}", &now[..3], &now[3..]);
    let done = console.verify(&fields, &spaced);
    assert_eq!((done.status, done.header("location")), (303, Some("/admin/ui/account?done=set-up")));
    guarded(&done);
    assert_ne!(console.cookie, before, "a session has a secret of its own");
    let page = console.page("/admin/ui/account?done=set-up");
    assert!(page.contains("One-time codes are set up"), "{page}");
    // The token of before is of no more use.
    let old = console.form_token.clone();
    let session = console.cookie.clone();
    console.cookie = before;
    console.page("/admin/login");
    let stale = console.form_token.clone();
    console.cookie = session.clone();
    console.form_token = stale;
    assert_eq!(console.post("/admin/ui/logout", &[]).status, 403);
    console.form_token = old;
    // Whoever is logged in need not do so again.
    let answer = console.get("/admin/login");
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin/ui")));
    // A code serves once; a backup code instead of it, once as well.
    console.page("/admin/ui/account");
    let answer = console.post("/admin/ui/account", &[("operation", "admin_codes_renew"), ("current_password", &password)]);
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let codes: Vec<&str> = text.split("<li><code>").skip(1).filter_map(|rest| rest.split("</code>").next()).collect();
    assert_eq!(codes.len(), 10, "{text}");
    let mut other = self::console(&w.server);
    for (code, status) in [(now.as_str(), 401), (codes[0], 303), (codes[0], 401), (&codes[1].to_uppercase(), 303)] {
        other.cookie.clear();
        other.page("/admin/login");
        let asked = other.post("/admin/ui/login", &right);
        assert_eq!(asked.status, 200);
        assert!(!asked.text().contains("otp_qr_uri"), "it is set up");
        let fields = hidden(&asked.text());
        let answer = other.verify(&fields, code);
        assert_eq!(answer.status, status, "{code}: {}", answer.text());
    }
    w.note_page("POST", "/admin/ui/verify");
}

fn console_sign_out(w: &World) {
    let server = Server::start(&[]);
    let mut console = console(&server);
    console.log_in(server.folder());
    console.page("/admin/ui/users");
    let session = console.cookie.clone();
    let answer = console.post("/admin/ui/logout", &[]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin/login")));
    let cookie = answer.header("set-cookie").expect("it is taken away");
    assert!(cookie.starts_with("plexichat_admin=;") && cookie.contains("Max-Age=0"), "{cookie}");
    // Not only forgotten, but over.
    console.cookie = session;
    assert_eq!(console.get("/admin/ui").status, 307);
    w.note_page("POST", "/admin/ui/logout");
}

#[test]
fn who_guesses_in_the_console_is_locked_out_of_everything() {
    let hosts = "admin_ui.host_restriction.allowed_hosts=127.0.0.1,127.0.0.9";
    let server = Server::start(&[hosts]);
    let mut guesser = Console::new(server.http_from("127.0.0.9"), server.address());
    guesser.page("/admin/login");
    let mut statuses = Vec::new();
    for guess in 0..6 {
        let answer = guesser.post("/admin/ui/login", &[("username", "admin"), ("password", &format!("guess-{guess}"))]);
        statuses.push(answer.status);
    }
    assert_eq!(statuses[..4], [401; 4], "{statuses:?}");
    assert_eq!(statuses[5], 429, "{statuses:?}");
    let (username, password) = credentials(server.folder());
    let answer = guesser.post("/admin/ui/login", &[("username", &username), ("password", &password)]);
    assert_eq!(answer.status, 429);
    assert!(answer.header("retry-after").is_some());
    guarded(&answer);
    let login = json!({"username": username, "password": password});
    server.http_from("127.0.0.9").post("/admin/login", None, &login).want(429);
    // Others are not concerned.
    console(&server).log_in(server.folder());
}

#[test]
fn strangers_find_no_console() {
    let mut server = Server::start(&[]);
    for path in ["/admin", "/admin/login", "/admin/ui", "/admin/ui/users", "/admin/ui/live", "/admin/ui/assets/x.css"] {
        server.http_from("127.0.0.8").get(path, None).want(403);
        let headers = [("X-Forwarded-For", "127.0.0.1")];
        server.http_from("127.0.0.8").request("GET", path, &headers, None).want(403);
    }
    server.http_from("127.0.0.8").request("POST", "/admin/ui/login", &[FORM], Some(b"x=1")).want(403);
    server.kill();
    let off = Server::start(&["admin_ui.enabled=false"]);
    for path in ["/admin", "/admin/login", "/admin/ui", "/admin/ui/users"] {
        off.http().get(path, None).want(404);
    }
}

#[test]
fn the_console_may_be_elsewhere() {
    let server = Server::start(&["admin_ui.path=/staff/room"]);
    let mut console = console(&server);
    assert_eq!(console.get("/staff/room/").header("location"), Some("/staff/room/login"));
    let answer = console.get("/staff/room/login");
    assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.contains("; Path=/staff/room;")));
    assert!(answer.text().contains("action=\"/staff/room/ui/login\""), "{}", answer.text());
    console.get("/admin/login").want(404);
}

#[test]
fn without_codes_the_password_is_enough_where_it_may() {
    let server = Server::start(&["admin_ui.require_otp=false"]);
    let mut console = console(&server);
    let (username, password) = credentials(server.folder());
    console.page("/admin/login");
    let answer = console.post("/admin/ui/login", &[("username", &username), ("password", &password)]);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/admin/ui")));
    assert!(console.page("/admin/ui").contains("Dashboard"));
}
