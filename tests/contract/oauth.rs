//! Signing in with an account elsewhere, at a provider that checks what it is sent as providers do.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use totp_rs::Totp;

use crate::support::provider::{CLIENT_SECRET, Provider, REDIRECTS};
use crate::support::{Answer, PASSWORD, Value, json};
use crate::world::{USER, World, shape, success, text};

cases![oauth_login, oauth_callback];

static PROVIDER: LazyLock<Provider> = LazyLock::new(Provider::start);
pub static OPTIONS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let mut options = PROVIDER.options(&["google", "github", "microsoft", "gitlab"]);
    options.extend(["oauth.max_states_per_ip=1000".into(), "oauth.timeout_ms=1500".into()]);
    options.into_iter().map(|option| &*option.leak()).collect()
});

const CB: &str = REDIRECTS[0];
const LOGIN: &str = "status: str, token: str?, user: object?, challenge_token: str?, methods: list?, \
    expires_in: int?";

/// Somebody on his way.
struct Begun {
    provider: &'static str,
    url: String,
    state: String,
    verifier: Value,
}

fn begin_at(w: &World, provider: &str, redirect_uri: &str) -> Answer {
    let uri = redirect_uri.replace('%', "%25").replace('&', "%26").replace('#', "%23").replace(' ', "%20");
    w.anyone(&format!("GET /auth/oauth/{provider}/login?redirect_uri={uri}"), Value::Null)
}

fn begin(w: &World, provider: &'static str) -> Begun {
    let begun = begin_at(w, provider, CB).want(200);
    Begun { provider, url: text(&begun["url"]), state: text(&begun["state"]), verifier: begun["code_verifier"].clone() }
}

fn callback(w: &World, begun: &Begun, code: &str) -> Answer {
    let body = json!({
        "code": code, "state": begun.state, "redirect_uri": CB, "code_verifier": begun.verifier,
    });
    w.anyone(&format!("POST /auth/oauth/{}/callback", begun.provider), body)
}

/// There and back as somebody.
fn sign_in(w: &World, provider: &'static str, profile: &Value) -> Answer {
    let begun = begin(w, provider);
    let (code, state) = PROVIDER.agree(&begun.url, profile);
    assert_eq!(state, begun.state);
    callback(w, &begun, &code)
}

/// There and back, and in.
fn user_of(w: &World, provider: &'static str, profile: &Value) -> Value {
    let answer = sign_in(w, provider, profile).want(200);
    shape(&answer, LOGIN);
    assert_eq!(answer["status"], "success", "{answer}");
    shape(&answer["user"], USER);
    let me = w.call(answer["token"].as_str(), "GET /users/@me", Value::Null).want(200);
    assert_eq!(me["id"], answer["user"]["id"]);
    answer["user"].clone()
}

fn google(sub: &str, email: &str, is_verified: bool) -> Value {
    json!({"sub": sub, "email": email, "email_verified": is_verified, "name": format!("Google {sub}")})
}

fn oauth_login(w: &World) {
    let answer = begin_at(w, "google", CB);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let begun = answer.want(200);
    shape(&begun, "url: str, state: str, code_verifier: str?");
    assert!((43..=128).contains(&text(&begun["code_verifier"]).len()));
    assert_ne!(begun["state"], begin_at(w, "google", CB).want(200)["state"]);
    for unknown in ["myspace", "GOOGLE", "1", "%00"] {
        begin_at(w, unknown, CB).want(400);
        w.anyone(&format!("POST /auth/oauth/{unknown}/callback"), json!({"code": "x"})).want(400);
    }
    w.anyone("GET /auth/oauth/google/login", Value::Null).want(400);
    for bad in ["", "cb", "/cb", "javascript:alert(1)", "http://localhost:5000/cb#x", &format!("http://{}", "x".repeat(2_100))] {
        begin_at(w, "google", bad).want(400);
    }
    begin_at(w, "google", "org.example.chat:/cb").want(200);
    a_server_that_is_not_set_up();
}

/// With limits as they are by default.
fn a_server_that_is_not_set_up() {
    let options = PROVIDER.options(&["google"]);
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.push("oauth.pkce_enabled=false");
    let w = World::new(&options);
    begin_at(&w, "microsoft", CB).want(503);
    let begun: Vec<Begun> = (0..10).map(|_| begin(&w, "google")).collect();
    assert_eq!(begun[0].verifier, Value::Null);
    let refused = begin_at(&w, "google", CB);
    assert!(refused.header("retry-after").is_some());
    assert!(refused.want(429)["error"]["retry_after"].as_f64().is_some_and(|seconds| seconds > 1.0));
    let (code, _) = PROVIDER.agree(&begun[0].url, &google("plain", "plain@example.com", true));
    callback(&w, &begun[0], &code).want(200);
    assert_eq!(PROVIDER.last_exchange().get("code_verifier"), None);
    begin(&w, "google");
    begin_at(&w, "google", CB).want(429);
}

fn oauth_callback(w: &World) {
    newcomers(w);
    what_does_not_fit(w);
    accounts_that_are_there(w);
    who_is_not_let_in(w);
    other_providers(w);
    second_factor(w);
    without_a_password(w);
    providers_that_are_not_well(w);
    let log = w.server.log();
    for secret in [CLIENT_SECRET, "s3cret", "code/", "token/"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

fn newcomers(w: &World) {
    let profile = json!({"sub": "new", "email": "Gwen@Example.com", "email_verified": true, "name": "Gwen Smith-Jones"});
    let user = user_of(w, "google", &profile);
    assert_eq!((&user["username"], &user["email"]), (&json!("Gwen_Smith_Jones"), &json!("Gwen@Example.com")));
    assert_eq!((&user["email_verified"], &user["totp_enabled"]), (&json!(true), &json!(false)));
    assert_eq!(user["badges"], json!(["alpha_tester"]));
    let sent = PROVIDER.last_exchange();
    assert_eq!((&*sent["redirect_uri"], &*sent["grant_type"]), (CB, "authorization_code"));
    assert!(sent.contains_key("code_verifier"));
    // Whatever his address is by now, and whether or not it is confirmed.
    let moved = json!({"sub": "new", "email": "other@example.com", "email_verified": false, "name": "X"});
    assert_eq!(user_of(w, "google", &moved)["id"], user["id"]);
    // The same name twice, a short one, and none.
    let again = json!({"sub": "new2", "email": "g2@example.com", "email_verified": true, "name": "gwen smith jones"});
    assert_eq!(user_of(w, "google", &again)["username"], "gwen_smith_jones2");
    for (sub, name) in [("new3", "Al"), ("new4", "\u{738b}"), ("new5", "admin")] {
        let profile = json!({"sub": sub, "email": format!("{sub}@example.com"), "email_verified": true, "name": name});
        let user = user_of(w, "google", &profile);
        let chosen = text(&user["username"]);
        assert!(chosen.len() >= 3 && chosen != "admin" && chosen.is_ascii(), "{chosen}");
    }
}

fn what_does_not_fit(w: &World) {
    let profile = google("fit", "fit@example.com", true);
    let agreed = |begun: &Begun| PROVIDER.agree(&begun.url, &profile).0;
    let line = "POST /auth/oauth/google/callback";
    for body in [json!({}), json!({"code": "x"}), json!({"code": 1, "state": "s", "redirect_uri": CB})] {
        w.anyone(line, body).want(400);
    }
    for state in ["s", "", "1.x", &format!("1.{}", "s".repeat(43)), &"s".repeat(4_000)] {
        w.anyone(line, json!({"code": "c", "state": state, "redirect_uri": "r"})).want(400);
    }
    // Each uses its sign-in up: what would have fitted comes too late.
    let wrong: [(&str, &str, Value); 5] = [
        (line, "code_verifier", Value::Null),
        (line, "code_verifier", json!("v".repeat(64))),
        (line, "redirect_uri", json!("http://localhost:5000/else")),
        (line, "redirect_uri", json!("http://localhost:5000/cb/")),
        ("POST /auth/oauth/github/callback", "code", json!("x")),
    ];
    for (line, field, value) in wrong {
        let begun = begin(w, "google");
        let code = agreed(&begun);
        let mut body = json!({"code": code, "state": begun.state, "redirect_uri": CB, "code_verifier": begun.verifier});
        body[field] = value;
        w.anyone(line, body).want(400);
        callback(w, &begun, &code).want(400);
    }
    let begun = begin(w, "google");
    callback(w, &begun, "made-up").want(401);
    callback(w, &begun, &agreed(&begun)).want(400);
    let begun = begin(w, "google");
    let code = agreed(&begun);
    let (server, path) = (&w.server, "/api/v1/auth/oauth/google/callback");
    let body = json!({"code": code, "state": begun.state, "redirect_uri": CB, "code_verifier": begun.verifier});
    let states: Vec<u16> = std::thread::scope(|scope| {
        let call = || server.http().post(path, None, &body).status;
        let calls: Vec<_> = (0..6).map(|_| scope.spawn(call)).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert_eq!(states.iter().filter(|status| **status == 200).count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|status| **status == 400).count(), 5, "{states:?}");
}

fn accounts_that_are_there(w: &World) {
    let user = w.user();
    let address = format!("{}@example.org", user.name);
    // Only who has the address at the provider too, and has shown it there.
    sign_in(w, "google", &google("thief", &address, false)).want(400);
    let linked = user_of(w, "google", &google("owner", &address.to_uppercase(), true));
    assert_eq!((&linked["id"], &linked["username"]), (&json!(user.id), &json!(user.name)));
    let notice = w.mail.mail(&address);
    assert_eq!(notice.header("Subject"), Some("Plexichat: New way to sign in"));
    assert!(notice.text.contains("google"), "{}", notice.text);
    // From now on by the provider's id, and the password goes on.
    assert_eq!(user_of(w, "google", &google("owner", "new@example.com", false))["id"], *user.id);
    let login = json!({"username": user.name, "password": PASSWORD});
    w.anyone("POST /auth/login", login).want(200);
    w.get(&user, "/users/@me");
    // Another way in beside it.
    let gitlab = json!({"id": 5, "username": "x", "email": address, "confirmed_at": "2024-01-01"});
    assert_eq!(user_of(w, "gitlab", &gitlab)["id"], *user.id);
    // An id of one provider is nothing at another, and nothing of what it is at the beginning of.
    let other = json!({"id": "owner", "login": "o", "email": null, "emails": []});
    sign_in(w, "github", &other).want(400);
    sign_in(w, "google", &google("owne", "x@example.com", false)).want(400);
}

fn who_is_not_let_in(w: &World) {
    let user = w.user();
    let address = format!("{}@example.org", user.name);
    user_of(w, "google", &google("frozen", &address, true));
    w.ok(&user, "DELETE /users/@me", json!({"password": PASSWORD}));
    let refused = sign_in(w, "google", &google("frozen", &address, true)).want(403);
    assert_eq!(refused["error"]["reason"], "frozen");
    for bad in ["no address", "a@b", "", "a@@b.example"] {
        sign_in(w, "google", &google("bad", bad, true)).want(400);
    }
    let options = PROVIDER.options(&["google"]);
    let mut options: Vec<&str> = options.iter().map(String::as_str).collect();
    options.extend(["authentication.accounts.require_email_verification=true", "oauth.max_states_per_ip=100"]);
    let strict = World::new(&options);
    // Whoever has made this account has not shown that he has the address: he is not let in by who has it, nor he by him.
    let body = json!({"username": "early", "email": "late@example.com", "password": PASSWORD});
    strict.anyone("POST /auth/register", body).want(200);
    let refused = sign_in(&strict, "google", &google("late", "late@example.com", true)).want(403);
    assert_eq!(refused["error"]["reason"], "email_not_verified");
    let token = strict.mail.mail("late@example.com").token();
    success(&strict.anyone("POST /auth/verify-email", json!({"token": token})).want(200));
    assert_eq!(user_of(&strict, "google", &google("late", "late@example.com", true))["username"], "early");
    // Who comes by a provider has nothing to confirm.
    assert_eq!(user_of(&strict, "google", &google("n", "n@example.com", true))["email_verified"], true);
    options.push("authentication.accounts.allow_registration=false");
    let closed = World::new(&options);
    sign_in(&closed, "google", &google("n", "n@example.com", true)).want(403);
}

fn other_providers(w: &World) {
    let email = |email: &str, primary: bool, verified: bool| json!({"email": email, "primary": primary, "verified": verified});
    let mut github = json!({"id": 4711, "login": "lena-hub", "name": "Lena", "email": "public@example.com"});
    github["emails"] = json!([email("public@example.com", true, false), email("second@example.com", false, true)]);
    sign_in(w, "github", &github).want(400);
    github["emails"] = json!([email("second@example.com", false, true), email("first@example.com", true, true)]);
    let user = user_of(w, "github", &github);
    assert_eq!((&user["username"], &user["email"]), (&json!("lena_hub"), &json!("first@example.com")));
    let mut gitlab = json!({"id": 4711, "username": "lab", "email": "lab@example.com", "confirmed_at": null});
    sign_in(w, "gitlab", &gitlab).want(400);
    gitlab["confirmed_at"] = json!("2024-01-01T00:00:00Z");
    assert_eq!(user_of(w, "gitlab", &gitlab)["username"], "lab");
    // Of Microsoft, whoever runs a directory types what he likes into it.
    let mut microsoft = json!({"id": "6f", "displayName": "Mi So", "mail": "first@example.com", "userPrincipalName": "m@example.com"});
    sign_in(w, "microsoft", &microsoft).want(400);
    microsoft["claims"] = json!({"email": "first@example.com", "xms_edov": false});
    sign_in(w, "microsoft", &microsoft).want(400);
    microsoft["claims"] = json!({"email": "ms@example.com", "xms_edov": true});
    let known = user_of(w, "microsoft", &microsoft);
    assert_eq!((&known["username"], &known["email"]), (&json!("Mi_So"), &json!("ms@example.com")));
    assert_eq!(user_of(w, "microsoft", &json!({"id": "6f"}))["id"], known["id"]);
    for nobody in [json!({}), json!({"id": null}), json!({"id": {}}), json!({"id": "x".repeat(256)})] {
        sign_in(w, "gitlab", &nobody).want(503);
    }
}

fn second_factor(w: &World) {
    let user = w.user();
    let address = format!("{}@example.org", user.name);
    let made = w.ok(&user, "POST /auth/2fa/enable", json!({"password": PASSWORD}));
    let totp = Totp::from_url(text(&made["qr_uri"])).expect("an otpauth address");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    success(&w.ok(&user, "POST /auth/2fa/confirm", json!({"code": totp.generate(now).to_string()})));
    for _ in 0..2 {
        let answer = sign_in(w, "google", &google("second", &address, true)).want(200);
        shape(&answer, LOGIN);
        assert_eq!((&answer["status"], &answer["token"]), (&json!("two_factor_required"), &Value::Null));
        assert_eq!((&answer["user"], &answer["methods"]), (&Value::Null, &json!(["totp", "backup_code"])));
        let code = |code: &Value| json!({"challenge_token": answer["challenge_token"], "code": code});
        w.anyone("POST /auth/2fa", code(&json!("000000"))).want(401);
        let index = w.get(&user, "/auth/2fa/status")["backup_codes_remaining"].as_u64().unwrap() as usize - 1;
        let done = w.anyone("POST /auth/2fa", code(&made["backup_codes"][index])).want(200);
        assert_eq!(done["user"]["id"], *user.id);
    }
}

fn without_a_password(w: &World) {
    let profile = google("bare", "bare@example.com", true);
    let answer = sign_in(w, "google", &profile).want(200);
    let (token, name) = (text(&answer["token"]), text(&answer["user"]["username"]));
    for password in [PASSWORD, "", "x"] {
        let body = json!({"username": name, "password": password});
        let refused = w.anyone("POST /auth/login", body).want(401);
        let unknown = w.anyone("POST /auth/login", json!({"username": "nobody_at_all", "password": "x"})).want(401);
        assert_eq!(refused["error"], unknown["error"], "told as to who does not exist");
    }
    for (line, body) in [
        ("POST /auth/2fa/enable", json!({"password": ""})),
        ("DELETE /users/@me", json!({"password": PASSWORD})),
        ("PATCH /users/@me", json!({"password": "Brand-New-Secret-8", "current_password": ""})),
    ] {
        w.call(Some(&token), line, body).want(400);
    }
    w.anyone("POST /auth/password-reset/request", json!({"email": "bare@example.com"})).want(200);
    let mail = w.mail.mail("bare@example.com").token();
    let body = json!({"token": mail, "new_password": "Brand-New-Secret-8"});
    success(&w.anyone("POST /auth/password-reset/confirm", body).want(200));
    w.anyone("POST /auth/login", json!({"username": name, "password": "Brand-New-Secret-8"})).want(200);
    assert_eq!(user_of(w, "google", &profile)["id"], answer["user"]["id"]);
}

fn providers_that_are_not_well(w: &World) {
    for fault in ["down", "moved", "html", "header", "cut", "endless", "stranger"] {
        let since = Instant::now();
        let begun = begin(w, "google");
        let refused = callback(w, &begun, fault).want(503);
        assert!(since.elapsed() < Duration::from_secs(5), "{fault}: {:?}", since.elapsed());
        let message = text(&refused["error"]["message"]);
        assert!(message.contains("provider"), "{fault}: {message}");
        callback(w, &begun, fault).want(400);
    }
    assert!(w.server.log_with("client_secret").contains("invalid_client"), "the operator is told");
    // One that says nothing costs nobody else anything.
    let begun: Vec<Begun> = (0..6).map(|_| begin(w, "google")).collect();
    std::thread::scope(|scope| {
        for begun in &begun {
            let body = json!({"code": "silent", "state": begun.state, "redirect_uri": CB, "code_verifier": begun.verifier});
            let mut http = w.server.http();
            scope.spawn(move || {
                http.post("/api/v1/auth/oauth/google/callback", None, &body).want(503);
            });
        }
        std::thread::sleep(Duration::from_millis(200));
        let since = Instant::now();
        let mut http = w.server.http();
        (0..20).for_each(|_| drop(http.get("/api/v1/version", None).want(200)));
        assert!(since.elapsed() < Duration::from_millis(900), "{:?}", since.elapsed());
    });
}
