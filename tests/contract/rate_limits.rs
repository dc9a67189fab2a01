//! Rate limits with the numbers of the contract (README §6), on servers of their own.

use std::time::Instant;

use crate::support::{Answer, Http, PASSWORD, Server, User, Value, json};

const SECRET: &str = "bypass-0123456789";

/// Limits on; users without the multiplier of a tier.
fn start(options: &[&str]) -> Server {
    let mut all = vec![
        "rate_limiting.enabled=true",
        "rate_limiting.bypass_secret=bypass-0123456789",
        "user_features.alpha_registration_enabled=false",
    ];
    all.extend(options);
    Server::start(&all)
}

fn bypassing(http: &mut Http, method: &str, path: &str, token: Option<&str>, body: &Value) -> Value {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("X-RateLimit-Bypass", SECRET), ("Content-Type", "application/json")];
    headers.extend(bearer.as_deref().map(|value| ("Authorization", value)));
    let answer = http.request(method, path, &headers, Some(body.to_string().as_bytes()));
    for (name, _) in &answer.headers {
        assert!(!name.starts_with("x-ratelimit"), "{name}");
    }
    answer.want(200)
}

fn user(server: &Server, name: &str) -> User {
    let body = json!({"username": name, "email": format!("{name}@example.org"), "password": PASSWORD});
    let answer = bypassing(&mut server.http(), "POST", "/api/v1/auth/register", None, &body);
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    User { id: text(&answer["user"]["id"]), name: name.to_owned(), token: text(&answer["token"]) }
}

/// `X-RateLimit-<name>` as a number.
fn number(answer: &Answer, name: &str) -> f64 {
    let value = answer.header(&format!("x-ratelimit-{name}"));
    let value = value.unwrap_or_else(|| panic!("{}: no {name} in {:?}", answer.request, answer.headers));
    value.parse().unwrap_or_else(|_| panic!("{name}: {value}"))
}

fn check_headers(answer: &Answer) {
    for name in ["reset", "reset-after"] {
        number(answer, name);
        let value = answer.header(&format!("x-ratelimit-{name}")).expect("checked");
        assert_eq!(value.split_once('.').map(|(_, decimals)| decimals.len()), Some(3), "{name}: {value}");
    }
    let bucket = answer.header("x-ratelimit-bucket").expect("a bucket");
    assert!(bucket.len() == 16 && bucket.bytes().all(|byte| byte.is_ascii_hexdigit()), "{bucket}");
    assert!(answer.header("x-ratelimit-scope").is_some());
}

/// Checks a 429 whole; `scope` is what refused.
fn check_refusal(answer: &Answer, scope: &str) {
    let body = answer.want(429);
    check_headers(answer);
    assert_eq!(number(answer, "remaining"), 0.0);
    assert_eq!(answer.header("x-ratelimit-scope"), Some(scope));
    let retry_after = body["retry_after"].as_f64().expect("a number");
    assert!(retry_after > 0.0, "{body}");
    assert_eq!(answer.header("retry-after"), Some((retry_after.ceil() as u64).to_string().as_str()));
    assert_eq!(body["message"], "You are being rate limited.");
    assert_eq!((&body["scope"], &body["global"]), (&json!(scope), &json!(scope == "global")));
    assert_eq!(body["error"]["retry_after"], body["retry_after"]);
    assert_eq!(answer.header("x-ratelimit-global"), (scope == "global").then_some("true"));
}

/// Calls until the refusal and checks that `limit` calls went through before.
fn exhaust(limit: u32, scope: &str, mut call: impl FnMut(u32) -> Answer) {
    for count in 0..limit {
        let answer = call(count);
        assert_ne!(answer.status, 429, "{count} of {limit}: {} {}", answer.request, answer.text());
        check_headers(&answer);
        assert_eq!(number(&answer, "limit"), f64::from(limit));
        assert_eq!(number(&answer, "remaining"), f64::from(limit - count - 1));
    }
    check_refusal(&call(limit), scope);
}

#[test]
fn by_address() {
    let server = start(&[]);
    let mut http = server.http();
    let login = json!({"username": "nobody_here", "password": PASSWORD});
    exhaust(5, "route", |_| http.post("/api/v1/auth/login", None, &login));
    exhaust(3, "route", |count| {
        let body = json!({"username": format!("new_{count}"), "email": "bad", "password": PASSWORD});
        http.post("/api/v1/auth/register", None, &body)
    });
    // Another connection is the same address.
    assert_eq!(server.http().post("/api/v1/auth/login", None, &login).status, 429);
    exhaust(35, "route", |_| http.get("/api/v1/version", None));
    assert_eq!(http.get("/api/v1/capabilities", None).status, 200, "another route");
    exhaust(25, "route", |_| http.get("/api/v1/qr?data=x", None));
}

#[test]
fn what_programs_tell_by_themselves() {
    let server = start(&[]);
    let mut http = server.http();
    let times = json!({"entries": []});
    exhaust(35, "route", |_| http.post("/api/v1/telemetry/response-times", None, &times));
    assert_eq!(http.post("/api/v1/telemetry/csp-report", None, &times).status, 429, "the same bucket");
}

#[test]
fn by_user() {
    let server = start(&[]);
    let mut http = server.http();
    let (one, other) = (user(&server, "one"), user(&server, "other"));
    let token = Some(one.token.as_str());
    exhaust(2, "route", |_| http.call("PATCH", "/api/v1/users/@me", token, Some(&json!({}))));
    exhaust(40, "route", |_| http.get("/api/v1/users/@me", token));
    assert_eq!(http.get("/api/v1/users/@me", Some(&other.token)).status, 200, "another user");
    exhaust(35, "route", |_| http.get("/api/v1/users/@me/settings", token));
    exhaust(12, "route", |count| http.post("/api/v1/servers", token, &json!({"name": format!("s{count}")})));
    let third = user(&server, "third");
    exhaust(7, "route", |_| {
        http.post("/api/v1/relationships", Some(&third.token), &json!({"user_id": "999"}))
    });
    exhaust(15, "route", |_| {
        http.post("/api/v1/relationships/block", Some(&third.token), &json!({"user_id": "999"}))
    });
    exhaust(5, "route", |_| http.post("/api/v1/feedback", Some(&third.token), &json!({})));
    exhaust(1, "route", |_| http.call("DELETE", "/api/v1/servers/999", Some(&third.token), None));
    exhaust(30, "route", |_| http.get("/api/v1/servers/999", Some(&third.token)));
}

#[test]
fn by_channel() {
    let server = start(&[]);
    let mut http = server.http();
    let one = user(&server, "one");
    let token = Some(one.token.as_str());
    let place = bypassing(&mut http, "POST", "/api/v1/servers", token, &json!({"name": "place"}));
    let path = format!("/api/v1/servers/{}/channels", place["id"].as_str().expect("an id"));
    let channels = ["a", "b"].map(|name| {
        let channel = bypassing(&mut http, "POST", &path, token, &json!({"name": name}));
        format!("/api/v1/channels/{}/messages", channel["id"].as_str().expect("an id"))
    });
    // A token bucket gives one back each 5 / 5 s meanwhile.
    let started = Instant::now();
    let mut count = 0;
    let refused = loop {
        let answer = http.post(&channels[0], token, &json!({"content": "x"}));
        if answer.status != 200 {
            break answer;
        }
        assert_eq!(number(&answer, "limit"), 8.0);
        count += 1;
    };
    check_refusal(&refused, "resource");
    let most = 8 + started.elapsed().as_secs() + 1;
    assert!((8..=most).contains(&count), "{count} of {most}");
    assert_eq!(http.post(&channels[1], token, &json!({"content": "x"})).status, 200, "another channel");
    exhaust(15, "resource", |_| http.get(&channels[0], token));
    let edit = |http: &mut Http| {
        http.call("PATCH", &format!("{}/999", channels[0]), token, Some(&json!({"content": "x"})))
    };
    exhaust(7, "resource", |_| edit(&mut http));
}

#[test]
fn by_webhook() {
    let server = start(&["rate_limiting.buckets.webhooks_execute=3/60s fixed", "rate_limiting.ip=off"]);
    let mut http = server.http();
    let one = user(&server, "one");
    let token = Some(one.token.as_str());
    let place = bypassing(&mut http, "POST", "/api/v1/servers", token, &json!({"name": "place"}));
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let channel = text(&place["default_channel_id"]);
    let create = json!({"channel_id": channel, "name": "x"});
    let mut hooks: Vec<String> = Vec::new();
    exhaust(7, "route", |_| {
        let answer = http.post("/api/v1/webhooks", token, &create);
        if answer.status == 200 {
            let made = answer.json();
            hooks.push(format!("/api/v1/webhooks/{}/{}", text(&made["id"]), text(&made["token"])));
        }
        answer
    });
    let mut say = |path: &str| http.post(path, None, &json!({"content": "x"}));
    // Whichever form it comes in, and whatever is asked for.
    let forms = ["", "?wait=true", "/slack"];
    exhaust(3, "webhook", |count| match forms.get(count as usize) {
        Some(&"/slack") => http_slack(&server, &hooks[0]),
        Some(form) => say(&format!("{}{form}", hooks[0])),
        None => say(&hooks[0]),
    });
    assert_eq!(say(&hooks[1]).status, 200, "another webhook");
    // Who guesses tokens uses up nobody's bucket but that of his address.
    let guess = format!("{}x", hooks[2]);
    (0..3).for_each(|_| drop(say(&guess).want(401)));
    check_refusal(&say(&guess), "webhook");
    assert_eq!(say(&hooks[2]).status, 200);
}

fn http_slack(server: &Server, hook: &str) -> Answer {
    server.http().post(&format!("{hook}/slack"), None, &json!({"text": "x"}))
}

#[test]
fn webhooks_of_a_channel_share_its_bucket() {
    let server = start(&["rate_limiting.buckets.webhooks_channel=3/60s fixed"]);
    let mut http = server.http();
    let one = user(&server, "one");
    let token = Some(one.token.as_str());
    let place = bypassing(&mut http, "POST", "/api/v1/servers", token, &json!({"name": "place"}));
    let mut hook = || {
        let body = json!({"channel_id": place["default_channel_id"], "name": "x"});
        let made = bypassing(&mut http, "POST", "/api/v1/webhooks", token, &body);
        let text = |value: &Value| value.as_str().expect("a string").to_owned();
        format!("/api/v1/webhooks/{}/{}", text(&made["id"]), text(&made["token"]))
    };
    let hooks = [hook(), hook()];
    for count in 0..3 {
        let answer = http.post(&hooks[count % 2], None, &json!({"content": "x"}));
        assert_eq!((answer.status, number(&answer, "limit")), (200, 10.0), "its own bucket is shown");
    }
    for hook in &hooks {
        check_refusal(&http.post(hook, None, &json!({"content": "x"})), "webhook");
    }
}

#[test]
fn by_everything() {
    let server = start(&["rate_limiting.global=4/60s fixed"]);
    let mut http = server.http();
    let paths = ["version", "capabilities", "nothing", "auth/password-requirements", "version"];
    for path in &paths[..4] {
        assert_ne!(http.get(&format!("/api/v1/{path}"), None).status, 429);
    }
    check_refusal(&http.get("/api/v1/version", None), "global");
    // The user has a bucket of his own, behind the same address.
    let one = user(&server, "one");
    assert_eq!(http.get("/api/v1/users/@me", Some(&one.token)).status, 200);
}

#[test]
fn a_refused_request_consumes_nothing_else() {
    let server = start(&[
        "rate_limiting.user=6/60s fixed",
        "rate_limiting.buckets.default=2/60s fixed",
        "rate_limiting.global=1000/60s fixed",
    ]);
    let one = user(&server, "one");
    let mut http = server.http();
    let mut get = |path: &str| http.get(&format!("/api/v1/users/@me/{path}"), Some(&one.token));
    for path in ["settings", "channels", "unread"] {
        for _ in 0..2 {
            assert_eq!(get(path).status, 200);
        }
        if path != "unread" {
            for _ in 0..5 {
                check_refusal(&get(path), "route");
            }
        }
    }
    check_refusal(&get("features"), "user");
}

#[test]
fn tiers_multiply_what_is_counted_by_user() {
    let server = start(&["user_features.alpha_registration_enabled=true"]);
    let one = user(&server, "one");
    let mut http = server.http();
    exhaust(4, "route", |_| http.call("PATCH", "/api/v1/users/@me", Some(&one.token), Some(&json!({}))));
}

#[test]
fn exempt() {
    let server = start(&["rate_limiting.ip=1/60s fixed"]);
    let mut http = server.http();
    assert_eq!(http.get("/api/v1/version", None).status, 200);
    check_refusal(&http.get("/api/v1/version", None), "ip");
    for path in ["/", "/health", "/api/v1/health", "/api/v1/status"] {
        for _ in 0..5 {
            let answer = http.get(path, None);
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("x-ratelimit")), "{path}");
        }
    }
    let origin = [("Origin", "http://localhost:5000"), ("Access-Control-Request-Method", "GET")];
    for _ in 0..5 {
        assert_eq!(http.request("OPTIONS", "/api/v1/version", &origin, None).status, 200);
        bypassing(&mut http, "GET", "/api/v1/version", None, &json!({}));
    }
    let wrong = [("X-RateLimit-Bypass", "bypass-0123456788")];
    check_refusal(&http.request("GET", "/api/v1/version", &wrong, None), "ip");
    // A page of an allowed origin may read the refusal.
    let refused = http.request("GET", "/api/v1/version", &origin[..1], None);
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (429, Some(origin[0].1)));
}

#[test]
fn the_address_is_the_forwarded_one_only_from_a_trusted_proxy() {
    // Another name each time: five failures lock one.
    let names = std::cell::Cell::new(0);
    let from = |http: &mut Http, address: &str| {
        names.set(names.get() + 1);
        let login = json!({"username": format!("nobody_{}", names.get()), "password": PASSWORD}).to_string();
        let headers = [("X-Forwarded-For", address), ("Content-Type", "application/json")];
        http.request("POST", "/api/v1/auth/login", &headers, Some(login.as_bytes())).status
    };
    let trusting = start(&["api.trusted_proxies=127.0.0.1", "api.trust_x_forwarded_for=true"]);
    let mut http = trusting.http();
    for _ in 0..5 {
        assert_eq!(from(&mut http, "192.0.2.1"), 401);
    }
    assert_eq!(from(&mut http, "192.0.2.1"), 429);
    assert_eq!(from(&mut http, "192.0.2.2"), 401);
    let plain = start(&[]);
    let mut http = plain.http();
    for index in 0..5 {
        assert_eq!(from(&mut http, &format!("192.0.2.{index}")), 401);
    }
    assert_eq!(from(&mut http, "192.0.2.9"), 429);
}

#[test]
fn guessing_tokens_is_limited() {
    let server = start(&["authentication.security.token_verify_rate_limit=3"]);
    let one = user(&server, "one");
    let mut http = server.http();
    for _ in 0..3 {
        assert_eq!(http.get("/api/v1/users/@me", Some(&one.token)).status, 200);
        http.get("/api/v1/users/@me", Some("1.nonsense")).want(401);
    }
    let refused = http.get("/api/v1/users/@me", Some("1.nonsense")).want(401);
    let message = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("Too many failed"), "{refused}");
    // Who has a good token is not the one who guesses, also behind the same address.
    assert_eq!(http.get("/api/v1/users/@me", Some(&one.token)).status, 200);
}
