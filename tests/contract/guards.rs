//! What holds for every route, read from the table of routes: credentials, ids, membership, bodies, methods, headers.

use std::cell::OnceCell;
use std::rc::Rc;

use plexichat::api::routes::{Answer as Shown, Auth, BodyRule, ROUTES, Route};
use plexichat::api::site::Site;
use plexichat::config::Config;
use plexichat::docs::assets;

use image::ImageFormat;

use crate::emojis::form;
use crate::pictures::encoded;
use crate::support::admin::log_in;
use crate::support::{Answer, Http, PASSWORD, User, Value, json};
use crate::world::{Place, World};

/// Operations that take a JSON body: the least that passes, and whether it may be left out.
pub fn body_of(name: &str, x: &Fixture) -> Option<(Value, bool)> {
    let needed = |body: Value| Some((body, false));
    let optional = || Some((json!({}), true));
    match name {
        "version_negotiate" => needed(json!({"client_version": "a.1.0-49"})),
        "register" => needed(json!({"username": "x", "email": "x", "password": "x"})),
        "admin_user_tier_set" => needed(json!({"tier": "alpha"})),
        "admin_user_features_set" => needed(json!({"rate_limit_tier": "alpha"})),
        "admin_user_notes_set" => needed(json!({"notes": "x"})),
        "admin_username_force" | "admin_access_token_rotate" => optional(),
        "admin_user_lock" | "admin_user_unlock" | "admin_user_log_out" => needed(json!({"user_id": "999"})),
        "admin_address_block" => needed(json!({"ip_address": "203.0.113.7"})),
        "admin_name_ban_create" => needed(json!({"pattern": "nobody_has_it"})),
        "admin_access_token_create" => needed(json!({"token": "short"})),
        "admin_access_token_edit" => needed(json!({"name": "x"})),
        "admin_access_scope_add" => needed(json!({"scope_type": "ip", "value": "203.0.113.7"})),
        "admin_message_report_review" | "admin_user_report_review" => needed(json!({"action": "review"})),
        "admin_disconnect" => needed(json!({"user_id": "999"})),
        "admin_hash_report_review" => needed(json!({"action": "clear"})),
        "admin_hash_block" => needed(json!({"hash_value": "f".repeat(64), "reason": "x"})),
        "admin_user_block" => needed(json!({"user_id": "999", "reason": "x"})),
        "admin_rule_create" => needed(json!({
            "server_id": x.place.id, "name": "two", "rule_type": "keyword", "config": {"keywords": ["forbidden"]},
            "actions": [{"action_type": "log_only"}],
        })),
        "admin_rule_edit" => needed(json!({"name": "other"})),
        "admin_automod_config_set" => needed(json!({"enabled": true})),
        "admin_ticket_status_set" => needed(json!({"status": "open"})),
        "admin_ticket_note_add" => needed(json!({"content": "x"})),
        "admin_log_level_set" => needed(json!({"level": "INFO"})),
        "admin_drain_set" | "admin_maintenance_set" => needed(json!({"enabled": false})),
        "admin_login" => needed(json!({"username": "nobody", "password": "x"})),
        "admin_verify_otp" => {
            needed(json!({"admin_id": "1", "code": "000000", "challenge_token": "0123456789"}))
        }
        "admin_password_change" => needed(json!({"current_password": "x", "new_password": PASSWORD})),
        "admin_otp_begin" | "admin_codes_renew" => needed(json!({"current_password": "x"})),
        "admin_otp_disable" => needed(json!({"current_password": "x", "code": "000000"})),
        "login" => needed(json!({"username": "nobody_here", "password": PASSWORD})),
        "password_reset_request" | "email_verification_resend" => {
            needed(json!({"email": "nobody@example.org"}))
        }
        "password_reset_confirm" => needed(json!({"token": "x", "new_password": PASSWORD})),
        "passkey_register_begin" | "passkey_login_begin" => optional(),
        "passkey_register_finish" => {
            needed(json!({"state": "1.x", "name": "x", "client_data": "x", "attestation_object": "x"}))
        }
        "passkey_rename" => needed(json!({"name": "x"})),
        "passkey_login_finish" => needed(json!({
            "state": "1.x", "credential_id": "eA", "client_data": "x", "authenticator_data": "x", "signature": "x",
        })),
        "oauth_callback" => needed(json!({"code": "x", "state": "x", "redirect_uri": "x"})),
        "email_verify" => needed(json!({"token": "x"})),
        "session_revoke_all" | "ban_create" | "invite_create" => optional(),
        "me_delete" => needed(json!({"password": "Wrong-password-1"})),
        "dm_open" => needed(json!({"recipient_id": x.outsider.id})),
        "friend_request" | "block" => needed(json!({"user_id": "999"})),
        "setting_put" => needed(json!({"value": "x"})),
        "presence_set" => needed(json!({"status": "online"})),
        "server_create" => needed(json!({"name": "Another"})),
        "channel_create" => needed(json!({"name": "another"})),
        "message_create" | "message_edit" | "webhook_execute" => needed(json!({"content": "x"})),
        "group_open" => needed(json!({"user_ids": [x.member.id]})),
        "group_edit" => needed(json!({})),
        "message_bulk_delete" => needed(json!({"message_ids": [x.message]})),
        "poll_create" => needed(json!({"question": "q", "options": ["a", "b"], "message_id": x.message})),
        "poll_vote" => needed(json!({"option_ids": [x.poll["options"][0]["id"]]})),
        "webhook_create" => needed(json!({"channel_id": x.place.channel, "name": "another"})),
        "me_edit" | "messaging_edit" | "setting_put_bulk" | "server_edit" | "role_create" | "role_edit"
        | "channel_edit" | "channel_ack_bulk" | "webhook_edit" | "automod_rule_edit" => needed(json!({})),
        "member_edit" => needed(json!({"nickname": "x"})),
        "server_owner_set" => needed(json!({"user_id": x.member.id})),
        "channel_arrange" => needed(json!({"channels": [{"id": x.place.channel, "position": 0}]})),
        "override_put" => needed(json!({"type": "role", "permissions": {"channels.view": true}})),
        "two_factor_login" => needed(json!({"challenge_token": "x", "code": "000000"})),
        "two_factor_enable" => needed(json!({"password": "Wrong-password-1"})),
        "two_factor_confirm" => needed(json!({"code": "000000"})),
        "two_factor_disable" => needed(json!({"password": "Wrong-password-1", "code": "000000"})),
        "automod_rule_create" => needed(json!({
            "name": "x", "rule_type": "keyword", "config": {"keywords": ["x"]}, "actions": [{"action_type": "log_only"}],
        })),
        "message_report" => needed(json!({
            "channel_id": x.place.channel, "message_id": x.message, "reason": "x", "category": "spam",
        })),
        "user_report" => needed(json!({"user_id": x.outsider.id, "reason": "x", "category": "spam"})),
        "hash_report" => needed(json!({"hash_value": "f".repeat(64), "reason": "x"})),
        "response_times" => needed(json!({"entries": []})),
        "emoji_edit" => needed(json!({"name": "another"})),
        "upload_open" => needed(json!({"filename": "a.txt", "content_type": "text/plain", "total_size": 1})),
        "feedback_send" => needed(json!({"content": "It is good."})),
        _ => None,
    }
}

/// A server with something of everything, seen by its owner, a member and somebody else.
pub struct Fixture {
    pub world: Rc<World>,
    pub place: Place,
    pub outsider: User,
    pub message: String,
    pub role: String,
    pub member: User,
    pub code: String,
    /// With its token.
    pub webhook: Value,
    /// A channel to talk in.
    pub voice: String,
    /// Of automod; it does nothing.
    pub rule: String,
    /// As its owner sees it.
    pub poll: Value,
    /// Of the owner and the member.
    pub group: String,
    /// Made when somebody asks about them: each has a process that looks at its picture.
    emoji: OnceCell<String>,
    sticker: OnceCell<String>,
    /// A session of an administrator.
    admin: OnceCell<String>,
    /// A file of the documentation, and one of the console.
    asset: String,
    console_asset: String,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::of(Rc::new(World::new(&[])))
    }

    pub fn of(world: Rc<World>) -> Fixture {
        let place = world.place();
        let (member, outsider) = (world.member(&place), world.user());
        let message = world.message(&place.owner, &place.channel, "one");
        let role = world.grant(&place, &member, &[]);
        let line = format!("POST /channels/{}/invites", place.channel);
        let code = world.ok(&place.owner, &line, Value::Null);
        let code = crate::world::text(&code["code"]);
        let webhook = json!({"channel_id": place.channel, "name": "one"});
        let webhook = world.ok(&place.owner, "POST /webhooks", webhook);
        let rule = json!({
            "name": "one", "rule_type": "keyword", "config": {"keywords": ["forbidden"]},
            "actions": [{"action_type": "log_only"}],
        });
        let rule = world.ok(&place.owner, &format!("POST /servers/{}/automod/rules", place.id), rule);
        let rule = crate::world::text(&rule["id"]);
        let asks = json!({"poll": {"question": "q", "options": ["a", "b"]}});
        let asked = world.ok(&place.owner, &format!("POST /channels/{}/messages", place.channel), asks);
        let poll = asked["poll"].clone();
        let group = world.ok(&place.owner, "POST /users/@me/groups", json!({"user_ids": [member.id]}));
        let group = crate::world::text(&group["id"]);
        let voice = json!({"name": "talk", "channel_type": "voice"});
        let voice = world.ok(&place.owner, &format!("POST /servers/{}/channels", place.id), voice);
        let voice = crate::world::text(&voice["id"]);
        let (emoji, sticker, admin) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        Fixture {
            world,
            place,
            outsider,
            message,
            role,
            member,
            code,
            webhook,
            voice,
            rule,
            poll,
            group,
            emoji,
            sticker,
            admin,
            console_asset: {
                let site = Site::of_api(&Config::default());
                site.console.paths.icon.rsplit('/').next().expect("a last part").to_owned()
            },
            asset: assets::own().path("icon.svg").split_off("/docs/assets/".len()),
        }
    }

    /// The path of a row, with `replaced` in the place of one parameter.
    pub fn path(&self, route: &Route, replaced: Option<(&str, &str)>) -> String {
        let mut path = if route.root { String::new() } else { "/api/v1".to_owned() };
        for segment in route.path.split('/').skip(1) {
            path.push('/');
            let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
                path.push_str(segment);
                continue;
            };
            path.push_str(match (name, replaced) {
                (_, Some((parameter, value))) if parameter == name => value,
                ("server_id", _) => &self.place.id,
                ("channel_id", _) if route.group == "calls" => &self.voice,
                ("channel_id", _) => &self.place.channel,
                ("message_id", _) => &self.message,
                ("role_id" | "target_id", _) => &self.role,
                ("member_id" | "user_id", _) => &self.member.id,
                ("rule_id", _) => &self.rule,
                ("session_id" | "passkey_id" | "notification_id", _) => "1",
                ("invite_code", _) => &self.code,
                ("webhook_id", _) => self.webhook["id"].as_str().expect("an id"),
                ("group_id", _) => &self.group,
                ("poll_id", _) => self.poll["id"].as_str().expect("an id"),
                ("hash_value", _) => "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
                ("token_id" | "scope_id" | "report_id" | "ticket_id", _) => "1",
                ("ip_address", _) => "203.0.113.7",
                ("pattern_id", _) => "1",
                ("badge", _) => "verified",
                ("token", _) => self.webhook["token"].as_str().expect("a token"),
                ("provider", _) => "google",
                ("key", _) => "theme",
                ("emoji_id", _) => self.emoji(),
                ("sticker_id", _) => self.sticker.get_or_init(|| self.made("stickers")),
                ("emoji", _) => "%F0%9F%91%8D",
                ("filename", _) if route.group == "admin_logs" => "plexichat.log",
                ("filename", _) => "0123456789abcdef.txt",
                ("page", _) if route.is_console() => "users",
                ("item", _) => "1",
                ("name", _) if route.is_console() => &self.console_asset,
                ("page", _) => "messages",
                ("name", _) => &self.asset,
                (other, _) => panic!("what is {other}?"),
            });
        }
        path
    }

    /// Somebody's token, or where a row asks for an administrator, one of his.
    fn token(&self, route: &Route, token: &str) -> String {
        if route.auth != Auth::Admin || token == "nonsense" {
            return token.to_owned();
        }
        let server = &self.world.server;
        self.admin.get_or_init(|| log_in(&mut server.http(), server.folder()).0).clone()
    }

    pub fn emoji(&self) -> &str {
        self.emoji.get_or_init(|| self.made("emojis"))
    }

    /// The id of an emoji or a sticker that the server is given.
    fn made(&self, what: &str) -> String {
        let (path, picture) = (format!("/servers/{}/{what}", self.place.id), encoded(2, 2, ImageFormat::Png));
        let made = form(&self.world, Some(&self.place.owner), &path, &[("name", "one")], Some(&picture));
        crate::world::text(&made.want(200)["id"])
    }

    pub fn call(&self, route: &Route, replaced: Option<(&str, &str)>, token: Option<&str>) -> Answer {
        let body = body_of(route.name, self).map(|(body, _)| body);
        let path = self.path(route, replaced);
        let token = token.map(|token| self.token(route, token));
        self.world.server.http().call(route.method.as_str(), &path, token.as_deref(), body.as_ref())
    }
}

pub fn parameters(route: &Route) -> impl Iterator<Item = &'static str> {
    route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// Collects what went wrong, so that one run shows all rows.
#[derive(Default)]
pub struct Findings(Vec<String>);

impl Findings {
    pub fn status(&mut self, answer: &Answer, want: u16, about: &str) {
        let envelope = || {
            let error = &serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["error"];
            let code = error["code"] == want || error["code"].is_string();
            let json = answer.header("content-type") == Some("application/json");
            code && json && error["message"].as_str().is_some_and(|message| !message.trim().is_empty())
        };
        let matches = answer.status == want && (want < 400 || envelope());
        self.check(matches, || format!("{about}: {} {} {}", answer.request, answer.status, answer.text()));
    }

    pub fn check(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.0.push(finding());
        }
    }
}

impl Drop for Findings {
    fn drop(&mut self) {
        assert!(
            self.0.is_empty() || std::thread::panicking(),
            "{} findings:\n{}",
            self.0.len(),
            self.0.join("\n")
        );
    }
}

#[test]
fn credentials() {
    let x = Fixture::new();
    let mut findings = Findings::default();
    let token = &x.place.owner.token;
    let (id, secret) = token.split_once('.').expect("two parts");
    let wrong_secret = format!("{id}.{}", "A".repeat(secret.len()));
    let unknown = format!("1.{secret}");
    for route in ROUTES.iter().filter(|route| route.auth.is_login()) {
        findings.status(&x.call(route, None, None), 401, "no token");
        findings.status(&x.call(route, None, Some("nonsense")), 401, "bad token");
    }
    for route in ROUTES.iter().filter(|route| route.auth == Auth::Admin) {
        let (method, path) = (route.method.as_str(), x.path(route, None));
        for token in [None, Some("nonsense"), Some(token)] {
            findings.status(&x.world.server.http().call(method, &path, token, None), 401, "no administrator");
        }
    }
    for route in ROUTES.iter().filter(|route| route.auth == Auth::Webhook) {
        for bad in ["nonsense", &unknown, token] {
            let answer = x.call(route, Some(("token", bad)), Some(token));
            findings.status(&answer, 401, "the token of another kind");
        }
    }
    // The forms of a header, on one route.
    let mut http = x.world.server.http();
    let mut with = |headers: &[(&str, &str)]| http.request("GET", "/api/v1/users/@me", headers, None);
    let bearer = format!("Bearer {token}");
    findings.status(&with(&[("Authorization", &bearer)]), 200, "a good token");
    findings.status(&with(&[("authorization", &format!("bearer {token}"))]), 200, "any case");
    let bad = [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        token.clone(),
        format!("Basic {token}"),
        format!("Bearer {token}, Bearer {token}"),
        format!("Bearer {token} x"),
        format!("Bearer {wrong_secret}"),
        format!("Bearer {unknown}"),
        format!("Bearer {token}x"),
        format!("Bearer {}", "x".repeat(4_000)),
        "Bearer \u{ff}\u{fe}".to_owned(),
    ];
    for value in &bad {
        findings.status(&with(&[("Authorization", value)]), 401, value);
    }
    let twice = [("Authorization", bearer.as_str()), ("Authorization", bearer.as_str())];
    findings.status(&with(&twice), 401, "two headers");
    // Public routes do not care.
    let answer = x.world.server.http().get("/api/v1/version", Some("nonsense"));
    findings.status(&answer, 200, "public with a bad token");
}

#[test]
fn ids() {
    let x = Fixture::new();
    let mut findings = Findings::default();
    let token = Some(x.place.owner.token.as_str());
    for route in ROUTES {
        for name in parameters(route).filter(|name| route.takes_id(name)) {
            for bad in ["abc", "-1", "1.5", "123456789012345678901", "%20", "1%00", "0x1", "%F0%9F%A6%80"] {
                findings.status(&x.call(route, Some((name, bad)), token), 400, route.name);
            }
            // As long as an id may be, but more than 64 bits: it cannot exist.
            let answer = x.call(route, Some((name, "99999999999999999999")), token);
            findings.check(answer.status < 500, || format!("{} {}", answer.request, answer.status));
        }
    }
    // The fixture is as it was: no row with a malformed id did anything.
    let answer =
        x.world.get(&x.place.owner, &format!("/channels/{}/messages/{}", x.place.channel, x.message));
    assert_eq!(answer["content"], "one");
}

#[test]
fn members_only() {
    let x = Fixture::new();
    let mut findings = Findings::default();
    let (owner, outsider) = (Some(x.place.owner.token.as_str()), Some(x.outsider.token.as_str()));
    for route in ROUTES {
        let names: Vec<&str> = parameters(route).collect();
        let Some(first) = names.first().filter(|name| ["server_id", "channel_id"].contains(name)) else {
            continue;
        };
        findings.status(&x.call(route, Some((first, "999")), owner), 404, route.name);
        // What needs no account is nobody's in particular.
        let status = if route.auth == Auth::Public { 200 } else { 403 };
        findings.status(&x.call(route, None, outsider), status, route.name);
        for name in names.iter().skip(1).filter(|name| ["message_id", "role_id"].contains(name)) {
            findings.status(&x.call(route, Some((name, "999")), owner), 404, route.name);
        }
    }
    let unknown = x.world.call(outsider, "GET /channels/invites/nosuchcode12", Value::Null);
    findings.status(&unknown, 404, "invite");
}

#[test]
fn bodies() {
    let x = Fixture::new();
    let mut findings = Findings::default();
    let json_type = ("Content-Type", "application/json");
    let mut http = x.world.server.http();
    for route in ROUTES {
        let bearer = format!("Bearer {}", x.token(route, &x.place.owner.token));
        let Some((body, is_optional)) = body_of(route.name, &x) else {
            let takes_json = matches!(route.body, BodyRule::Json(_) | BodyRule::OptionalJson(_));
            findings.check(!takes_json, || format!("no body is known for {}", route.name));
            continue;
        };
        let mut send = |content_type: Option<&str>, body: Option<&[u8]>| {
            let mut headers = vec![("Authorization", bearer.as_str())];
            headers.extend(content_type.map(|value| ("Content-Type", value)));
            http.request(route.method.as_str(), &x.path(route, None), &headers, body)
        };
        let broken: &[&[u8]] = &[
            b"{",
            b"{\"a\":",
            b"[]",
            b"\"x\"",
            b"1",
            b"true",
            b"{} {}",
            b"{'a': 1}",
            b"\xff\xfe",
            b"{\"a\": \"\xff\"}",
            b"{\"a\": \"\\ud800\"}x",
            b"\xef\xbb\xbf{",
            b"nul",
        ];
        for bad in broken {
            let about = String::from_utf8_lossy(bad).into_owned();
            findings.status(&send(Some(json_type.1), Some(bad)), 400, &about);
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let answer = send(Some(json_type.1), Some(deep.as_bytes()));
        findings.check(answer.status < 500, || format!("deep: {} {}", answer.request, answer.status));
        if !is_optional {
            findings.status(&send(Some(json_type.1), None), 400, "no body");
            findings.status(&send(Some(json_type.1), Some(b"")), 400, "empty body");
        }
        let good = body.to_string();
        for wrong in
            [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/jsonx")]
        {
            findings.status(&send(wrong, Some(good.as_bytes())), 400, wrong.unwrap_or("no content type"));
        }
    }
    // What is JSON, too.
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"] {
        let headers = [("Content-Type", kind)];
        let body = Some(b"{\"client_version\": \"a.1.0-49\"}".as_slice());
        findings.status(&http.request("POST", "/api/v1/version/negotiate", &headers, body), 200, kind);
    }
}

#[test]
fn methods() {
    let x = Fixture::new();
    let mut findings = Findings::default();
    let bearer = format!("Bearer {}", x.place.owner.token);
    let headers = [("Authorization", bearer.as_str())];
    let mut http = x.world.server.http();
    for route in ROUTES {
        let path = x.path(route, None);
        let same = |other: &&Route| other.root == route.root && other.path == route.path;
        let there: Vec<&str> = ROUTES.iter().filter(same).map(|other| other.method.as_str()).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "TRACE", "BREW"] {
            let head_of_get = method == "HEAD" && there.contains(&"GET");
            // A fixed path may stand on the place of a parameter with other methods.
            if there.contains(&method) || head_of_get || is_shadow(&path, route, method) {
                continue;
            }
            let answer = http.request(method, &path, &headers, None);
            if ["TRACE", "BREW"].contains(&method) {
                let refused = [405, 501].contains(&answer.status);
                findings.check(refused, || format!("{} {}", answer.request, answer.status));
                continue;
            }
            if method == "HEAD" {
                findings.check(answer.status == 405 && answer.body.is_empty(), || answer.request.clone());
            } else {
                findings.status(&answer, 405, "method");
            }
            let allow: Vec<&str> = answer.header("allow").unwrap_or_default().split(", ").collect();
            let all = there.iter().all(|method| allow.contains(method));
            findings.check(all, || format!("{}: allow {allow:?}, there are {there:?}", answer.request));
        }
    }
    findings.status(&http.get("/api/v1/nothing/here", None), 404, "unknown path");
    findings.status(&http.get("/nothing", None), 404, "unknown path");
    findings.status(&http.get("/gateway", None), 426, "gateway without upgrade");
}

/// Whether a path is one of a row's, whose parameters stand in braces.
fn fits(path: &str, row: &str) -> bool {
    row.split('/').count() == path.split('/').count()
        && row.split('/').zip(path.split('/')).all(|(want, got)| want.starts_with('{') || want == got)
}

/// Whether another row answers this path with this method.
fn is_shadow(path: &str, route: &Route, method: &str) -> bool {
    ROUTES.iter().any(|other| {
        let with_prefix = if other.root { other.path.to_owned() } else { format!("/api/v1{}", other.path) };
        // The administrators' API is in the place of the console, too.
        let fits = fits(path, &with_prefix) || other.is_admin() && fits(path, other.path);
        let method_fits =
            other.method.as_str() == method || method == "HEAD" && other.method.as_str() == "GET";
        fits && (other.root, other.path) != (route.root, route.path) && method_fits
    })
}

/// What tells figures that each request changes.
const LIVE: &[&str] =
    &["admin_dashboard_get", "admin_store_health_get", "admin_telemetry_export", "admin_telemetry_stats"];

#[test]
fn head_and_trailing_slash() {
    let x = Fixture::new();
    let mut findings = Findings::default();
    let mut http = x.world.server.http();
    for route in ROUTES.iter().filter(|route| route.method.as_str() == "GET") {
        let bearer = format!("Bearer {}", x.token(route, &x.place.owner.token));
        let headers = [("Authorization", bearer.as_str())];
        let path = x.path(route, None);
        let get = http.request("GET", &path, &headers, None);
        let head = http.request("HEAD", &path, &headers, None);
        let names = |answer: &Answer| -> Vec<(String, String)> {
            let own = if LIVE.contains(&route.name) { "content-length" } else { "" };
            let varying = ["date", "x-request-id", "set-cookie", own];
            answer.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str())).cloned().collect()
        };
        let same = head.status == get.status && names(&head) == names(&get) && head.body.is_empty();
        findings.check(same, || format!("{}: {head:?}\ninstead of\n{get:?}", head.request));
        if path != "/" && path != "/api/v1/" {
            let slash = http.request("GET", &format!("{path}/"), &headers, None);
            findings.check(slash.status == get.status, || format!("{} {}", slash.request, slash.status));
        }
    }
    findings.check(http.get("/api/v1", None).status == 200, || "/api/v1 without slash".to_owned());
}

#[test]
fn headers_of_every_answer() {
    let x = Fixture::new();
    let mut findings = Findings::default();
    let mut ids = Vec::new();
    // Those of the console are its own, and looked at there.
    for route in ROUTES.iter().filter(|route| !route.is_console()) {
        for token in [None, Some(x.outsider.token.as_str())] {
            if route.name == "logout" || route.name == "session_revoke_all" {
                continue;
            }
            let answer = x.call(route, None, token);
            // Pictures may stand in frames of other sites.
            let is_get = route.method.as_str() == "GET";
            let is_shown = matches!(route.answer, Shown::Picture | Shown::File);
            let is_picture = is_get && is_shown && answer.status == 200;
            for (name, value) in [
                ("x-content-type-options", Some("nosniff")),
                ("x-xss-protection", Some("1; mode=block")),
                ("referrer-policy", Some("strict-origin-when-cross-origin")),
                ("x-permitted-cross-domain-policies", Some("none")),
                ("x-frame-options", (!is_picture).then_some("SAMEORIGIN")),
            ] {
                let got = answer.header(name);
                findings.check(got == value, || format!("{}: {name} {got:?}", answer.request));
            }
            for name in ["link", "x-powered-by", "location"] {
                findings.check(answer.header(name).is_none(), || format!("{}: {name}", answer.request));
            }
            findings.check(answer.header("date").is_some(), || format!("{}: no date", answer.request));
            ids.push(answer.header("x-request-id").unwrap_or_default().to_owned());
        }
    }
    let count = ids.len();
    ids.sort();
    ids.dedup();
    findings.check(ids.len() == count && !ids.contains(&String::new()), || "request ids repeat".to_owned());
}

#[test]
fn cross_origin() {
    let x = Fixture::new();
    let mut http = x.world.server.http();
    let good = "http://localhost:5000";
    for (path, status) in [("/api/v1/version", 200), ("/api/v1/users/@me", 401), ("/api/v1/none", 404)] {
        let answer = http.request("GET", path, &[("Origin", good)], None);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(good));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("vary"), Some("Origin"));
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default().to_lowercase();
        for name in
            ["content-range", "accept-ranges", "content-length", "etag", "retry-after", "x-ratelimit-limit"]
        {
            assert!(exposed.contains(name), "{name} in {exposed}");
        }
        for bad in ["http://evil.example", "null", "http://localhost:5000.evil.example", ""] {
            let answer = http.request("GET", path, &[("Origin", bad)], None);
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("access-control-allow-origin"), None, "{bad}");
        }
    }
    preflight(&mut http, good);
}

fn preflight(http: &mut Http, good: &str) {
    let mut ask = |origin: &str, method: &str, wanted: Option<&str>| {
        let mut headers = vec![("Origin", origin), ("Access-Control-Request-Method", method)];
        headers.extend(wanted.map(|wanted| ("Access-Control-Request-Headers", wanted)));
        http.request("OPTIONS", "/api/v1/users/@me", &headers, None)
    };
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] {
        let answer = ask(good, method, Some("authorization, Content-Type,X-API-Access-Token"));
        assert_eq!((answer.status, answer.text().as_str()), (200, "OK"));
        assert_eq!(answer.header("access-control-allow-origin"), Some(good));
        assert_eq!(answer.header("access-control-max-age"), Some("600"));
        let methods = answer.header("access-control-allow-methods").unwrap_or_default();
        assert!(methods.contains(method), "{methods}");
        let names = answer.header("access-control-allow-headers").unwrap_or_default();
        for name in
            ["Authorization", "Content-Type", "X-Requested-With", "Accept", "Origin", "X-API-Access-Token"]
        {
            assert!(names.contains(name), "{names}");
        }
    }
    let refused = ask("http://evil.example", "GET", None);
    assert_eq!((refused.status, refused.text().as_str()), (400, "Disallowed CORS origin"));
    assert_eq!(refused.header("access-control-allow-origin"), None);
    let refused = ask(good, "GET", Some("X-Own"));
    assert_eq!((refused.status, refused.text().as_str()), (400, "Disallowed CORS headers"));
    assert_eq!(ask(good, "BREW", None).status, 400);
}
