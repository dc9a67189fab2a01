//! The gate in front of the API: what it stands before, for requests, for webhooks and for the gateway.

use std::path::Path;
use std::time::{Duration, Instant};

use plexichat::api::routes::{Auth, ROUTES};

use crate::support::websocket::Socket;
use crate::support::{Value, command, json};
use crate::world::{World, text};

/// Runs a command; what it printed.
#[track_caller]
fn done(folder: &Path, line: &str) -> String {
    let output = command(folder).args(line.split(' ')).output().expect("it starts");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Makes a token: its id and its value.
#[track_caller]
fn create(folder: &Path, more: &str) -> (String, String) {
    let said = done(folder, format!("access-token create {more}").trim_end());
    let mut lines = said.lines().rev();
    let value = lines.next().expect("the value").to_owned();
    let id = lines.next().and_then(|line| line.split([' ', ',']).nth(2)).expect("its id").to_owned();
    (id, value)
}

const HEADER: &str = "X-API-Access-Token";

#[test]
fn nobody_gets_in_without_a_token() {
    let w = World::new(&[]);
    let folder = w.server.folder();
    let user = w.user();
    assert_eq!(done(folder, "access-token list"), "There are no access tokens: the API is open.\n");
    let (id, value) = create(folder, "--name desktop");
    let authorization = format!("Bearer {}", user.token);
    let me = |shown: &[(&str, &str)]| {
        let headers = [&[("Authorization", &*authorization)], shown].concat();
        w.headed("GET", "/users/@me", &headers, b"")
    };
    let refused = me(&[]).want(401);
    assert_eq!(refused["error"]["message"], "API access token required");
    assert_eq!(me(&[(HEADER, &value)]).want(200)["id"], *user.id);
    me(&[(HEADER, &"0".repeat(32))]).want(401);
    me(&[(HEADER, &value), (HEADER, &value)]).want(401);
    assert_eq!(w.anyone("GET /capabilities", Value::Null).want(200)["access_token_required"], true);
    // Every row, by what it says of itself.
    for route in ROUTES.iter().filter(|route| !route.root && !route.is_admin()) {
        let path: Vec<&str> =
            route.path.split('/').map(|part| if part.starts_with('{') { "7" } else { part }).collect();
        let status = w.headed(route.method.as_str(), &path.join("/"), &[], b"").status;
        if route.ungated {
            let wanted = route.auth == Auth::Webhook || route.name.starts_with("avatar") || status < 500;
            assert!(wanted && (status != 401 || route.auth == Auth::Webhook), "{}: {status}", route.name);
        } else {
            assert_eq!(status, 401, "{}", route.name);
        }
    }
    for path in ["/", "/health", "/openapi.json"] {
        assert_eq!(w.root("GET", path).status, 200, "{path}");
    }
    // A page asks first whether it may.
    let origin = [
        ("Origin", "http://localhost:5000"),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "x-api-access-token"),
    ];
    assert_eq!(w.headed("OPTIONS", "/users/@me", &origin, b"").status, 200);
    assert_eq!(done(folder, &format!("access-token revoke {id}")).matches("the API is open").count(), 1);
    me(&[]).want(200);
    assert_eq!(w.anyone("GET /capabilities", Value::Null).want(200)["access_token_required"], false);
}

#[test]
fn webhooks_are_called_from_elsewhere() {
    let w = World::new(&[]);
    let place = w.place();
    let body = json!({"channel_id": place.channel, "name": "ci"});
    let webhook = w.ok(&place.owner, "POST /webhooks", body);
    let (id, token) = (text(&webhook["id"]), text(&webhook["token"]));
    create(w.server.folder(), "");
    w.anyone(&format!("POST /webhooks/{id}/{token}"), json!({"content": "built"})).want(200);
    w.anyone(&format!("POST /webhooks/{id}/{token}/slack"), json!({"text": "built"}));
    w.anyone(&format!("GET /webhooks/{id}"), Value::Null).want(401);
}

#[test]
fn the_gateway_has_the_same_gate() {
    let w = World::new(&[]);
    let user = w.user();
    let address = w.server.address();
    let connect = |path: &str, headers: &[(&str, &str)]| Socket::try_connect(address, path, headers);
    let mut early = connect("/gateway", &[]).expect("it is open");
    let (id, value) = create(w.server.folder(), "");
    for (path, headers) in [
        ("/gateway".to_owned(), vec![]),
        ("/gateway".to_owned(), vec![(HEADER, "wrong")]),
        ("/gateway?api_access_token=wrong".to_owned(), vec![]),
        (format!("/gateway?api_access_token={value}"), vec![(HEADER, "wrong")]),
    ] {
        let refused = connect(&path, &headers).err().expect("refused");
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.want(401)["error"]["message"].as_str().is_some());
    }
    assert_eq!(connect("/nowhere", &[]).err().expect("refused").status, 403);
    let mut by_header = connect("/gateway", &[(HEADER, &value)]).expect("let in");
    let mut by_query = connect(&format!("/gateway?v=10&api_access_token={value}"), &[]).expect("let in");
    // Who was in before stays.
    for socket in [&mut early, &mut by_header, &mut by_query] {
        assert_eq!(socket.json()["op"], 10);
        socket.send(&json!({"op": 2, "d": {"token": user.token}}));
        assert_eq!(socket.json()["t"], "READY");
    }
    done(w.server.folder(), &format!("access-token revoke {id}"));
    assert!(connect("/gateway", &[]).is_ok());
}

#[test]
fn the_operator_sees_what_they_are_used_for() {
    let w = World::new(&[]);
    let folder = w.server.folder();
    let user = w.user();
    let (id, value) = create(folder, "--name ci --scope 127.0.0.1,10.0.0.0/8 --days 30");
    let authorization = format!("Bearer {}", user.token);
    let shown = [("Authorization", &*authorization), (HEADER, &*value)];
    (0..3).for_each(|_| drop(w.headed("GET", "/users/@me", &shown, b"").want(200)));
    let began = Instant::now();
    let line = loop {
        let list = done(folder, "access-token list");
        let line = list.lines().find(|line| line.starts_with(&id)).expect("it is listed").to_owned();
        assert!(!list.contains(&value), "never shown again");
        if !line.contains("never") {
            break line;
        }
        assert!(began.elapsed() < Duration::from_secs(3), "noted within three seconds: {list}");
    };
    let words: Vec<&str> = line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect();
    assert_eq!(
        (words[1], words[2], words[4], words[5]),
        ("ci", "active", "127.0.0.1,10.0.0.0/8", "3"),
        "{line}"
    );
    let (_, elsewhere) = create(folder, "--scope 10.0.0.0/8");
    w.headed("GET", "/users/@me", &[("Authorization", &*authorization), (HEADER, &*elsewhere)], b"")
        .want(403);
    let (_, watched) = create(folder, "--scope 10.0.0.0/8 --mode monitor");
    w.headed("GET", "/users/@me", &[("Authorization", &*authorization), (HEADER, &*watched)], b"").want(200);
}
