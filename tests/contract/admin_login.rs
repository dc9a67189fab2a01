//! Log-in of administrators: where from, with which codes, and how often wrong.

use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::admin::{code, credentials, log_in};
use crate::support::http::{open, read_answer};
use crate::support::{Answer, PASSWORD, Server, Value, command, json};
use crate::world::{World, success, text};

cases![admin_login, admin_verify_otp, admin_logout];

/// Guesses are tried where they are no matter.
pub const OPTIONS: &[&str] = &["admin_ui.rate_limit.max_attempts=1000"];

/// Accounts begin with the standard tier.
pub const STANDARD: &[&str] = &["user_features.alpha_registration_enabled=false"];

/// A session of the world's administrator.
pub fn session(w: &World) -> String {
    w.admin.get_or_init(|| log_in(&mut w.server.http(), w.server.folder()).0).clone()
}

const OUTCOME: &str = "status: str, token: str?, admin_id: id?, otp_secret: str?, otp_qr_uri: str?, \
    message: str?, challenge_token: str?";

fn login(w: &World, username: &str, password: &str) -> Answer {
    w.anyone("POST /admin/login", json!({"username": username, "password": password}))
}

fn verify(w: &World, challenge: &Value, code: &str, is_setup: bool) -> Answer {
    let body = json!({
        "admin_id": challenge["admin_id"],
        "challenge_token": challenge["challenge_token"],
        "code": code,
        "is_setup": is_setup,
    });
    w.anyone("POST /admin/verify-otp", body)
}

fn admin_login(w: &World) {
    let file = w.server.folder().join(".plexichat/admin_credentials.txt");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    let (username, password) = credentials(w.server.folder());
    assert_eq!((username.as_str(), password.len()), ("admin", 24));
    assert!(!w.server.log().contains(&password), "a password is logged");
    let first = login(w, &username, &password).want(200);
    crate::world::shape(&first, OUTCOME);
    assert_eq!((&first["status"], &first["token"]), (&json!("otp_setup_required"), &Value::Null));
    let second = login(w, "ADMIN", &password).want(200);
    assert_ne!(second["otp_secret"], first["otp_secret"], "the set-up begins anew");
    let totp = totp_rs::Totp::from_url(text(&first["otp_qr_uri"])).unwrap();
    verify(w, &first, &code(&totp, 0), true).want(401);
    for body in [
        json!({}),
        json!({"username": username}),
        json!({"username": "", "password": "x"}),
        json!({"username": username, "password": "x".repeat(201)}),
        json!({"username": "x".repeat(101), "password": "x"}),
        json!({"username": 7, "password": "x"}),
    ] {
        w.anyone("POST /admin/login", body).want(400);
    }
    login(w, &username, "wrong").want(401);
    login(w, "nobody", &password).want(401);
    // Users are none, and no user is called like one.
    let user = w.user();
    login(w, &user.name, PASSWORD).want(401);
    for line in ["GET /admin/auth/security-status", "POST /admin/logout", "GET /admin/audit-log"] {
        w.call(Some(&user.token), line, Value::Null).want(401);
        w.call(Some(&text(&second["challenge_token"])), line, Value::Null).want(401);
        w.call(None, line, Value::Null).want(401);
    }
    let register = json!({"username": "admin", "email": "a@example.com", "password": PASSWORD});
    w.anyone("POST /auth/register", register).want(400);
}

fn admin_verify_otp(w: &World) {
    let (username, password) = credentials(w.server.folder());
    let begun = login(w, &username, &password).want(200);
    let totp = totp_rs::Totp::from_url(text(&begun["otp_qr_uri"])).unwrap();
    let before = code(&totp, -1);
    for bad in ["12345", "12345678901234567", ""] {
        verify(w, &begun, bad, true).want(400);
    }
    let malformed = json!({"admin_id": "+7", "challenge_token": begun["challenge_token"], "code": before});
    w.anyone("POST /admin/verify-otp", malformed).want(400);
    verify(w, &begun, &before, false).want(401);
    verify(w, &begun, &code(&totp, -5), true).want(401);
    let done = verify(w, &begun, &before, true).want(200);
    crate::world::shape(&done, OUTCOME);
    assert_eq!((&done["status"], &done["otp_secret"]), (&json!("success"), &Value::Null));
    assert_eq!(text(&done["token"]).len(), 43);
    verify(w, &begun, &code(&totp, 0), true).want(401);
    let status = w.call(Some(&text(&done["token"])), "GET /admin/auth/security-status", Value::Null).want(200);
    assert_eq!((&status["otp_enabled"], &status["must_setup_otp"]), (&json!(true), &json!(false)));
    // From now on a code is asked for, and each serves once.
    let asked = login(w, &username, &password).want(200);
    assert_eq!((&asked["status"], &asked["otp_secret"]), (&json!("otp_required"), &Value::Null));
    let now = code(&totp, 0);
    verify(w, &asked, &now, false).want(200);
    let asked = login(w, &username, &password).want(200);
    verify(w, &asked, &now, false).want(401);
    w.call(Some(&text(&done["token"])), "GET /users/@me", Value::Null).want(401);
}

fn admin_logout(w: &World) {
    let server = Server::start(&[]);
    let (token, totp) = log_in(&mut server.http(), server.folder());
    let mut http = server.http();
    let mut call = |method: &str, path: &str, token: Option<&str>| http.call(method, path, token, None);
    call("GET", "/admin/auth/security-status", Some(&token)).want(200);
    call("GET", "/api/v1/admin/auth/security-status", Some(&token)).want(200);
    call("GET", "/administration/auth/security-status", Some(&token)).want(404);
    success(&call("POST", "/admin/logout", Some(&token)).want(200));
    for (method, path) in [("POST", "/admin/logout"), ("GET", "/admin/auth/security-status")] {
        call(method, path, Some(&token)).want(401);
    }
    drop(totp);
    // The operator helps who has lost his password or his device.
    let said = command(server.folder()).args(["admin", "reset-password"]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(!String::from_utf8_lossy(&said.stdout).contains(&credentials(server.folder()).1));
    let (again, _) = log_in(&mut server.http(), server.folder());
    let mut http = server.http();
    http.call("GET", "/admin/auth/security-status", Some(&again), None).want(200);
    let wrong = command(server.folder()).args(["admin", "reset-password", "--name", "nobody"]).output().unwrap();
    assert!(!wrong.status.success());
    // The case is this world's, too.
    let (username, password) = credentials(w.server.folder());
    login(w, &username, &password).want(200);
    let folder = w.server.folder();
    assert!(command(folder).args(["admin", "reset-password"]).output().unwrap().status.success());
    let (token, _) = log_in(&mut w.server.http(), folder);
    success(&w.call(Some(&token), "POST /admin/logout", Value::Null).want(200));
}

#[test]
fn who_guesses_is_locked_out_by_his_address() {
    let hosts = "admin_ui.host_restriction.allowed_hosts=127.0.0.1,127.0.0.9";
    let mut server = Server::start(&[hosts, "admin_ui.rate_limit.lockout_seconds=3"]);
    let (username, password) = credentials(server.folder());
    let right = json!({"username": username, "password": password});
    let wrong = json!({"username": username, "password": "wrong"});
    let from = |server: &Server, address: &str, body: &Value| {
        server.http_from(address).call("POST", "/admin/login", None, Some(body))
    };
    from(&server, "127.0.0.8", &right).want(403);
    for _ in 0..4 {
        from(&server, "127.0.0.9", &wrong).want(401);
    }
    // A success clears the count.
    from(&server, "127.0.0.1", &right).want(200);
    from(&server, "127.0.0.9", &json!({"username": "nobody", "password": "x"})).want(401);
    let refused = from(&server, "127.0.0.9", &right);
    assert!(refused.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok()));
    refused.want(429);
    from(&server, "127.0.0.1", &right).want(200);
    server.kill();
    let server = Server::start_in(server.folder(), &[hosts]);
    from(&server, "127.0.0.9", &right).want(429);
    std::thread::sleep(std::time::Duration::from_secs(3));
    from(&server, "127.0.0.9", &right).want(200);
}

/// What so many at the same time are answered, in order.
fn at_once(count: usize, ask: impl Fn() -> u16 + Sync) -> Vec<u16> {
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..count).map(|_| scope.spawn(&ask)).collect();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    statuses
}

/// The right password, once too many wrong ones were shown: also when it came before they had been looked at.
#[test]
fn guesses_at_the_same_time_are_counted() {
    // As slow to look at as passwords are.
    let server = Server::start(&["encryption.argon2.memory_kib=19456", "encryption.argon2.time_cost=2"]);
    let (username, password) = credentials(server.folder());
    // All are sent before the right one is, and a core takes them in their order, however busy the machine is.
    let send = |password: &str| {
        let body = json!({"username": username, "password": password}).to_string();
        let mut socket = open(server.address());
        let head = "POST /api/v1/admin/login HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length:";
        write!(socket, "{head} {}\r\n\r\n{body}", body.len()).unwrap();
        socket
    };
    let wrong: Vec<TcpStream> = (0..40).map(|_| send("wrong")).collect();
    let right = send(&password);
    let status = |socket| read_answer(&mut BufReader::new(socket), false).unwrap().status;
    assert_eq!(status(right), 429);
    let statuses: Vec<u16> = wrong.into_iter().map(status).collect();
    let told = statuses.iter().filter(|status| **status == 401).count();
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert_eq!(told, 5, "{statuses:?}");
}

/// Codes are looked at in no time: each is counted before.
#[test]
fn codes_at_the_same_time_are_counted() {
    let server = Server::start(&[]);
    let (username, password) = credentials(server.folder());
    let login = json!({"username": username, "password": password});
    let asked = server.http().call("POST", "/admin/login", None, Some(&login)).want(200);
    let guess = json!({
        "admin_id": asked["admin_id"],
        "challenge_token": asked["challenge_token"],
        "code": "000000",
        "is_setup": true,
    });
    let statuses = at_once(24, || {
        server.http().call("POST", "/admin/verify-otp", None, Some(&guess)).status
    });
    assert_eq!(statuses, [vec![401; 5], vec![429; 19]].concat());
}

#[test]
fn without_an_api_there_is_none() {
    let server = Server::start(&["admin_ui.enabled=false"]);
    let mut http = server.http();
    for path in ["/admin/login", "/api/v1/admin/login"] {
        http.call("POST", path, None, Some(&json!({"username": "admin", "password": "x"}))).want(404);
    }
    assert!(!server.folder().join(".plexichat").exists());
    let server = Server::start(&["admin_ui.path=/console", "admin_ui.require_otp=false"]);
    let (username, password) = credentials(server.folder());
    let login = json!({"username": username, "password": password});
    let mut http = server.http();
    http.call("POST", "/admin/login", None, Some(&login)).want(404);
    let done = http.call("POST", "/console/login", None, Some(&login)).want(200);
    assert_eq!(done["status"], "success");
    let token = text(&done["token"]);
    http.call("GET", "/api/v1/admin/auth/security-status", Some(&token), None).want(200);
}
