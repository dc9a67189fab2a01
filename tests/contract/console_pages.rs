//! Pages of the console, and what is done on them.

use std::time::{SystemTime, UNIX_EPOCH};

use plexichat::console::actions::ACTIONS;
use plexichat::console::list::PAGES;

use crate::console_login::guarded;
use crate::support::console::{Console, FORM, between, encoded, plain};
use crate::support::{Value, json};
use crate::world::{World, text};

cases![
    console_home,
    console_dashboard,
    console_live,
    console_asset,
    console_export,
    console_page,
    console_act,
    console_item,
    console_item_act,
];

/// One-time codes are another group's; changes are many here.
pub const OPTIONS: &[&str] = &["admin_ui.require_otp=false"];

/// Something that does what it says where it is not escaped.
const SCRIPT: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}";

fn console(w: &World) -> Console {
    let mut console = Console::new(w.server.http(), w.server.address());
    let (username, password) = crate::support::admin::credentials(w.server.folder());
    console.page("/admin/login");
    let answer = console.post("/admin/ui/login", &[("username", &username), ("password", &password)]);
    assert_eq!(answer.status, 303, "{}", answer.text());
    console
}

/// Nothing of [`SCRIPT`] is a tag, and all of it is there to be read.
#[track_caller]
fn escaped(page: &str) {
    assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{page}");
    assert!(plain(page).contains(SCRIPT), "{page}");
}

fn console_home(w: &World) {
    let mut console = console(w);
    let answer = console.get("/admin/ui");
    assert_eq!(answer.status, 200);
    guarded(&answer);
    let text = answer.text();
    for part in ["Sessions", "Deliveries per second", "Turn", "Commit", "Memory", "Store", ">admin</a>", "Log out"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // Every page is there, and says who is looking.
    for page in PAGES.iter().filter(|page| page.item.is_empty()) {
        let answer = console.get(&format!("/admin/ui/{}", page.name));
        assert_eq!(answer.status, 200, "{} {}", page.name, answer.text());
        guarded(&answer);
        assert!(answer.text().contains(&format!("<h1>{}</h1>", page.title)), "{}", page.name);
    }
    for path in ["/admin/ui/nothing", "/admin/ui/user", "/admin/ui/users/7", "/admin/ui/nothing/7"] {
        let answer = console.get(path);
        assert_eq!(answer.status, 404, "{path}");
        guarded(&answer);
    }
    // A user's token is none here, nor is the session one of the API's headers or the other way round.
    let user = w.user();
    console.cookie = user.token.clone();
    assert_eq!(console.get("/admin/ui").status, 307);
    console.cookie = "A".repeat(43);
    assert_eq!(console.get("/admin/ui").status, 307);
    w.note_page("GET", "/admin/ui");
}

fn console_dashboard(w: &World) {
    let mut console = console(w);
    assert!(console.page("/admin/ui-dashboard").contains("<h1>Dashboard</h1>"));
    w.note_page("GET", "/admin/ui-dashboard");
}

fn console_live(w: &World) {
    let mut console = console(w);
    assert_eq!(Console::new(w.server.http(), w.server.address()).get("/admin/ui/live").status, 307);
    let mut next = "/admin/ui/live".to_owned();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let part = console.page(&next);
        assert!(part.trim_start().starts_with("<div class=\"tiles\""), "{part}");
        next = between(&part, "data-next=\"", "\"").expect("where to look next").to_owned();
        let requests = part.split("Requests per second").nth(1).expect("a tile");
        let so_far = between(requests, "<p class=\"quiet\">", " so far").expect("a count");
        seen.push(so_far.replace(',', "").parse::<u64>().expect("a number"));
        let memory = part.split("<h3>Memory</h3>").nth(1).expect("a tile");
        assert!(between(memory, "<p class=\"figure\">", "</p>").is_some_and(|text| text.ends_with("MiB")), "{part}");
    }
    assert!(seen[0] < seen[1] && seen[1] < seen[2], "it moves: {seen:?}");
    // Whatever the address brings along is no more than numbers.
    let part = console.page("/admin/ui/live?since=%22%3E%3Cscript%3E1");
    assert!(!part.contains("<script"), "{part}");
    w.note_page("GET", "/admin/ui/live");
}

fn console_asset(w: &World) {
    let mut console = Console::new(w.server.http(), w.server.address());
    let page = console.page("/admin/login");
    for (mark, kind) in [("<link rel=\"stylesheet\" href=\"", "text/css"), ("<script src=\"", "text/javascript")] {
        let path = between(&page, mark, "\"").expect("a file").to_owned();
        let answer = console.get(&path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").is_some_and(|value| value.starts_with(kind)));
        assert!(answer.header("cache-control").is_some_and(|value| value.contains("immutable")));
        let etag = answer.header("etag").expect("one").to_owned();
        assert_eq!(console.send("GET", &path, &[("If-None-Match", &etag)], None).status, 304);
        let packed = console.send("GET", &path, &[("Accept-Encoding", "gzip")], None);
        assert!(packed.body.len() < answer.body.len());
    }
    assert_eq!(console.get("/admin/ui/assets/none.css").status, 404);
    w.note_page("GET", "/admin/ui/assets/x");
}

fn console_export(w: &World) {
    let mut console = console(w);
    console.act("/admin/ui/names", "admin_name_ban_create", &[("pattern", "exported_name")]);
    let answer = console.get("/admin/ui/export/audit-log");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|value| value.starts_with("text/csv")));
    assert!(answer.header("content-disposition").is_some_and(|value| value.starts_with("attachment")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.text().starts_with("time,administrator,"), "{}", answer.text());
    assert_eq!(console.get("/admin/ui/export/users").status, 404);
    let times = console.get("/admin/ui/export/telemetry");
    assert!(times.text().starts_with("endpoint,method,count,"), "{}", times.text());
    let mut nobody = Console::new(w.server.http(), w.server.address());
    assert_eq!(nobody.get("/admin/ui/export/audit-log").status, 307);
    w.note_page("GET", "/admin/ui/export/audit-log");
}

fn console_page(w: &World) {
    let mut console = console(w);
    // Lists are cut, and what is looked for stays so from part to part.
    for number in 0..30 {
        let pattern = format!("banned_{number:02}");
        let ban = json!({"pattern": pattern, "reason": SCRIPT});
        let bearer = format!("Bearer {}", console.cookie);
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        let path = "/admin/security/banned-usernames";
        w.server.http().request("POST", path, &headers, Some(ban.to_string().as_bytes()));
    }
    let first = console.page("/admin/ui/names");
    escaped(&first);
    assert_eq!(first.matches("admin_name_ban_remove").count(), 25);
    let more = plain(between(&first, "<a class=\"button\" href=\"", "\">More").expect("there are more"));
    let second = console.page(&more);
    assert!(second.contains(">Back</a>") && !second.contains(">More</a>"), "{second}");
    assert!(!second.contains("banned_29") && second.contains("banned_00"), "{second}");
    // Users by a part of their names.
    for _ in 0..27 {
        w.user();
    }
    let found = console.page("/admin/ui/users?q=User_");
    assert_eq!(found.matches("/admin/ui/user/").count(), 25);
    let more = plain(between(&found, "<a class=\"button\" href=\"", "\">More").expect("there are more"));
    assert!(more.contains("q=User") && more.contains("from=25"), "{more}");
    assert!(console.page(&more).contains(">Back</a>"));
    let none = console.page(&format!("/admin/ui/users?q={}", encoded(&[("", SCRIPT)]).trim_start_matches('=')));
    escaped(&none);
    assert!(console.page("/admin/ui/users").contains("Say first what to look for"));
    for path in ["/admin/ui/users?q=%zz", "/admin/ui/names?from=-1", "/admin/ui/message-reports?status_filter=x"] {
        let answer = console.get(path);
        assert!(answer.status < 500, "{path}: {}", answer.text());
    }
    // What is configured, and what must not be seen of it.
    let settings = console.page("/admin/ui/settings");
    assert!(settings.contains("admin_ui.require_otp") && settings.contains("flag --set"), "{settings}");
    assert!(settings.contains("media.signing_key"), "{settings}");
    // What has changed while the server runs.
    let level = |page: &str| plain(between(page, "logging.level", "</tr>").expect("it has a row"));
    assert!(!level(&settings).contains("since the start"), "{settings}");
    let (username, password) = crate::support::admin::credentials(w.server.folder());
    let login = json!({"username": username, "password": password});
    let token = text(&w.anyone("POST /admin/login", login).want(200)["token"]);
    let set = |level| {
        let asked = json!({"level": level});
        w.call(Some(&token), "PUT /admin/operations/log-level", asked).want(200);
    };
    set("WARN");
    let changed = level(&console.page("/admin/ui/settings"));
    assert!(changed.contains("WARN") && changed.contains("changed since the start"), "{changed}");
    set("INFO");
    w.note_page("GET", "/admin/ui/users");
}

fn console_act(w: &World) {
    let mut console = console(w);
    // What a page does not offer cannot be done on it, and a form that others send is none.
    console.page("/admin/ui/names");
    for (path, action) in [
        ("/admin/ui/names", "admin_everybody_log_out"),
        ("/admin/ui/names", "admin_login"),
        ("/admin/ui/names", "user_search"),
        ("/admin/ui/nothing", "admin_name_ban_create"),
    ] {
        let answer = console.post(path, &[("operation", action), ("sure", "true"), ("pattern", "x")]);
        assert_eq!(answer.status, 404, "{path} {action}");
        guarded(&answer);
    }
    let (token, cookie) = (console.form_token.clone(), console.cookie.clone());
    let ban = |token: &str| encoded(&[("form_token", token), ("operation", "admin_name_ban_create"), ("pattern", "csrf")]);
    for (origin, token) in [("http://evil.example", token.as_str()), ("null", &token), ("", "x"), ("", "")] {
        let headers = [FORM, ("Origin", origin)];
        let headers = if origin.is_empty() { &headers[..1] } else { &headers[..] };
        let answer = console.send("POST", "/admin/ui/names", headers, Some(&ban(token)));
        assert_eq!(answer.status, 403, "{origin} {token}");
    }
    console.cookie.clear();
    assert_eq!(console.send("POST", "/admin/ui/names", &[FORM], Some(&ban(&token))).status, 403);
    console.cookie = cookie;
    assert!(!console.page("/admin/ui/names").contains("csrf"));
    // What is refused is said where it was asked, with what was put in.
    let answer = console.post(
        "/admin/ui/names",
        &[("operation", "admin_name_ban_create"), ("pattern", "("), ("reason", SCRIPT), ("is_regex", "true")],
    );
    assert_eq!(answer.status, 400);
    guarded(&answer);
    escaped(&answer.text());
    assert!(answer.text().contains("role=\"alert\"") && answer.text().contains("<details class=\"act\" open>"));
    let answer = console.post("/admin/ui/addresses", &[("operation", "admin_address_block"), ("ip_address", "127.0.0.1")]);
    assert_eq!(answer.status, 400, "nobody locks himself out");
    // There and back.
    let page = console.act("/admin/ui/addresses", "admin_address_block", &[("ip_address", "203.0.113.0/24"), ("reason", SCRIPT)]);
    escaped(&page);
    assert!(page.contains("The address is blocked.") && page.contains("203.0.113.0/24"), "{page}");
    let page = console.act("/admin/ui/addresses", "admin_address_unblock", &[("ip_address", "203.0.113.0/24")]);
    assert!(page.contains("No address is blocked."), "{page}");
    let page = console.act("/admin/ui/automod", "admin_automod_config_set", &[]);
    assert!(page.contains("state-no"), "{page}");
    console.act("/admin/ui/automod", "admin_automod_config_set", &[("enabled", "true")]);
    // A token's value is shown where it is made, and nowhere after.
    console.page("/admin/ui/access-tokens");
    let answer = console.post(
        "/admin/ui/access-tokens",
        &[("operation", "admin_access_token_create"), ("name", SCRIPT), ("scope_mode", "none")],
    );
    assert_eq!(answer.status, 200);
    escaped(&answer.text());
    let value = between(&answer.text(), "<li><code>", "</code>").expect("its value").to_owned();
    assert_eq!(value.len(), 32);
    w.call(None, "GET /users/@me", Value::Null).want(401);
    let list = console.page("/admin/ui/access-tokens");
    assert!(!list.contains(&value), "{list}");
    let token = between(&list, "/admin/ui/access-token/", "\"").expect("a link").to_owned();
    let at = format!("/admin/ui/access-token/{token}");
    console.act(&at, "admin_access_scope_add", &[("token_id", &token), ("scope_type", "ip"), ("value", "127.0.0.1")]);
    let refused = console.post(&at, &[("operation", "admin_access_token_revoke"), ("token_id", &token)]);
    assert_eq!(refused.status, 400, "it has to be meant");
    let page = console.act(&at, "admin_access_token_revoke", &[("token_id", &token), ("sure", "true")]);
    assert!(page.contains("The token is void."), "{page}");
    // What was done is written down, whoever looks.
    let log = console.page("/admin/ui/audit-log");
    for action in ["address_block", "access_token_revoke"] {
        assert!(log.to_lowercase().replace([' ', '.'], "_").contains(action), "{action}: {log}");
    }
    w.note_page("POST", "/admin/ui/names");
}

fn console_item(w: &World) {
    let mut console = console(w);
    let user = w.user();
    let page = console.page(&format!("/admin/ui/user/{}", user.id));
    assert!(page.contains(&user.name) && page.contains("Lock account"), "{page}");
    for (path, status) in [("user/999", 404), ("user/x", 400), ("user/%3Cscript%3E", 400), ("ticket/9", 404), ("access-token/9", 404)] {
        let answer = console.get(&format!("/admin/ui/{path}"));
        assert_eq!(answer.status, status, "{path}");
        guarded(&answer);
        assert!(!answer.text().contains("<script>"), "{path}");
    }
    // What users have written.
    w.ok(&user, "POST /feedback", json!({"content": SCRIPT}));
    let list = console.page("/admin/ui/tickets");
    escaped(&list);
    let ticket = between(&list, "/admin/ui/ticket/", "\"").expect("a link").to_owned();
    escaped(&console.page(&format!("/admin/ui/ticket/{ticket}")));
    let place = w.place();
    let message = w.message(&place.owner, &place.channel, SCRIPT);
    w.join(&place, &user);
    let report = json!({"channel_id": place.channel, "message_id": message, "reason": SCRIPT, "category": "spam"});
    w.ok(&user, "POST /reports/messages", report);
    let page = console.page("/admin/ui/message-reports");
    escaped(&page);
    let report = between(&page, "name=\"report_id\" value=\"", "\"").expect("a report").to_owned();
    let page = console.act(
        "/admin/ui/message-reports?status_filter=pending",
        "admin_message_report_review",
        &[("report_id", &report), ("action", "review"), ("notes", "seen")],
    );
    assert!(page.contains("There are no such reports.") && page.contains("decided"), "{page}");
    w.note_page("GET", "/admin/ui/user/7");
}

fn console_item_act(w: &World) {
    let mut console = console(w);
    let user = w.user();
    let at = format!("/admin/ui/user/{}", user.id);
    let id = [("user_id", user.id.as_str())];
    let with = |fields: &[(&'static str, &'static str)]| -> Vec<(&str, &str)> {
        id.iter().copied().chain(fields.iter().copied()).collect()
    };
    let page = console.act(&at, "admin_user_notes_set", &with(&[("notes", SCRIPT)]));
    escaped(&page);
    console.act(&at, "admin_user_tier_set", &with(&[("tier", "premium")]));
    let page = console.act(&at, "admin_badge_grant", &with(&[("badge", "verified")]));
    assert!(page.contains("state-premium") && page.contains(">verified<"), "{page}");
    console.act(&at, "admin_badge_revoke", &with(&[("badge", "verified")]));
    console.act(&at, "admin_user_lock", &with(&[("duration_seconds", "600")]));
    w.call(Some(&user.token), "GET /users/@me", Value::Null).want(403);
    console.act(&at, "admin_user_unlock", &with(&[]));
    let answer = console.post(&at, &[("operation", "admin_user_lock"), ("user_id", &user.id), ("duration_seconds", "an hour")]);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("value=\"an hour\""), "{}", answer.text());
    console.act(&at, "admin_user_block", &with(&[("reason", "loud")]));
    let page = console.page("/admin/ui/silenced");
    assert!(page.contains(&user.name), "{page}");
    console.act("/admin/ui/silenced", "admin_user_unblock", &id);
    let login = w.anyone("POST /auth/login", json!({"username": user.name, "password": crate::support::PASSWORD}));
    let token = text(&login.want(200)["token"]);
    console.act(&at, "admin_username_force", &with(&[("reason", "rude"), ("ban_current", "true")]));
    w.call(Some(&token), "GET /users/@me/channels", Value::Null).want(403);
    // To be deleted, later, not at all.
    let leaving = w.user();
    w.ok(&leaving, "DELETE /users/@me", json!({"password": crate::support::PASSWORD}));
    let at = format!("/admin/ui/user/{}", leaving.id);
    assert!(console.page("/admin/ui/deletions").contains(&leaving.id));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let year = 1970 + now / 31_556_952 + 1;
    let when = format!("{year}-03-01T12:00");
    let page = console.act(&at, "admin_deletion_delay", &[("user_id", &leaving.id), ("deletion_at", &when)]);
    assert!(page.contains(&format!("{year}-03-01 12:00 UTC")), "{page}");
    console.act("/admin/ui/deletions", "admin_deletion_cancel", &[("user_id", &leaving.id)]);
    let answer = console.post(&at, &[("operation", "admin_deletion_cancel"), ("user_id", &leaving.id)]);
    assert_eq!(answer.status, 409, "it is not to be deleted any more");
    let answer = console.post(&at, &[("operation", "admin_user_purge"), ("user_id", &leaving.id)]);
    assert_eq!(answer.status, 400, "it has to be meant");
    let page = console.act(&at, "admin_user_purge", &[("user_id", &leaving.id), ("sure", "true")]);
    assert!(page.contains("<h1>Users</h1>") && page.contains("The account is deleted."), "{page}");
    // Another's session does nothing.
    let at = format!("/admin/ui/user/{}", user.id);
    console.page(&at);
    console.cookie = "B".repeat(43);
    let answer = console.post(&at, &[("operation", "admin_user_lock"), ("user_id", &user.id)]);
    assert_eq!(answer.status, 403);
    assert!(ACTIONS.len() > 30);
    w.note_page("POST", "/admin/ui/user/7");
}

#[test]
fn changes_are_counted_like_those_of_the_api() {
    let options = ["admin_ui.require_otp=false", "rate_limiting.enabled=true", "user_features.admin_rate_limit.max_per_minute=2"];
    let w = World::new(&options);
    let mut console = console(&w);
    console.act("/admin/ui/automod", "admin_automod_config_set", &[("enabled", "true")]);
    console.act("/admin/ui/automod", "admin_automod_config_set", &[("enabled", "true")]);
    let answer = console.post("/admin/ui/automod", &[("operation", "admin_automod_config_set")]);
    assert_eq!(answer.status, 429, "{}", answer.text());
    guarded(&answer);
    for _ in 0..40 {
        console.page("/admin/ui/automod");
    }
}

#[test]
fn secrets_are_not_among_the_settings() {
    let options = ["admin_ui.require_otp=false", "media.signing_key=correct-horse-battery-staple-0123456789"];
    let w = World::new(&options);
    let settings = console(&w).page("/admin/ui/settings");
    assert!(settings.contains("***") && !settings.contains("correct-horse"), "{settings}");
}
