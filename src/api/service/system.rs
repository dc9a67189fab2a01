//! Service banner, health, versions, status, capabilities, help pages.
//!
//! What never changes while the process runs is spelled once, in [`Pages`].

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Formed, List, Needed, Text, fields};
use crate::api::pages::Pages;
use crate::api::state::State;
use crate::domain::gate::closure::maintenance;
use crate::domain::version::{VersionInfo, VersionNegotiateResponse, negotiate};
use crate::domain::{Error, Result};
use crate::store::records::ArchivedMaintenance;
use crate::wire::json::shape::{Slot, shape};

const HTML: &str = "text/html; charset=utf-8";
/// More than any version is long; longer ones are refused before they are repeated in an answer.
const VERSION_LEN_MAX: usize = 64;

/// How versions are written.
const VERSION: &str = "^[abcr]\\.[0-9]{1,9}\\.[0-9]{1,9}-[0-9]{1,9}$";

fields! {
    /// The version of a client.
    pub VERSION_NEGOTIATE: VersionNegotiateRequest {
        client_version: Needed<Formed> = Needed(Formed(Text(Chars::UpTo(VERSION_LEN_MAX)), VERSION)),
        supported_versions: List = List(usize::MAX, "string"),
    }
}

fn fixed(ctx: &mut Ctx<'_>, page: fn(&Pages) -> &[u8]) -> Result<Step> {
    ctx.response.body.extend_from_slice(page(&ctx.state.pages));
    Ok(Step::Done)
}

pub fn root(ctx: &mut Ctx<'_>) -> Result<Step> {
    fixed(ctx, |pages| &pages.root)
}

/// Liveness: 200 as long as this process answers, as starting it anew would mend nothing. `degraded` while changes
/// are refused. 503 only when the server is shutting down, for balancers that ask nothing else.
pub fn health(ctx: &mut Ctx<'_>) -> Result<Step> {
    if ctx.state.run.is_shutting_down() {
        ctx.response.status = 503;
        return fixed(ctx, |pages| &pages.shutting_down);
    }
    match ctx.state.run.health().trouble() {
        Some(_) => fixed(ctx, |pages| &pages.degraded),
        None => fixed(ctx, |pages| &pages.healthy),
    }
}

/// 200, whatever else is the matter.
pub fn health_live(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.json(LiveResponse::write)
}

/// Whether to send clients here: 503 with the reason while changes are refused or the server is shutting down.
pub fn health_ready(ctx: &mut Ctx<'_>) -> Result<Step> {
    let run = &ctx.state.run;
    let (status, reason, message) = match run.health().trouble() {
        _ if run.is_shutting_down() => (503, Some("shutting_down"), Some("The server is shutting down")),
        Some(trouble) => (503, Some(trouble.name()), Some(trouble.text())),
        None if run.is_draining() => {
            (503, Some("draining"), Some("An administrator is sending everybody away from this server"))
        }
        None => (200, None, None),
    };
    ctx.response.status = status;
    ctx.json(|out| ReadyResponse::write(out, status == 200, reason, message))
}

shape! {
    /// The process answers.
    pub LiveResponse() {
        status: (Slot::word(&["live"])) = "live",
    }
}

shape! {
    /// Whether clients may be sent here, and if not, why.
    pub ReadyResponse(is_ready: bool, reason: Option<&str>, message: Option<&str>) {
        status: (Slot::word(&["ready", "not_ready"])) = if is_ready { "ready" } else { "not_ready" },
        reason: opt_str = reason,
        message: opt_str = message,
    }
}

pub fn api_root(ctx: &mut Ctx<'_>) -> Result<Step> {
    fixed(ctx, |pages| &pages.api_root)
}

pub fn version(ctx: &mut Ctx<'_>) -> Result<Step> {
    fixed(ctx, |pages| &pages.version)
}

pub fn version_negotiate(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let versions = &VERSION_NEGOTIATE.supported_versions;
    let is_list = body.value(versions.name).is_none_or(|value| value.as_array().is_some());
    if !is_list || !versions.read(&body)?.iter().all(|item| item.as_str().is_some()) {
        return Err(Error::invalid(versions.name, "must be a list of strings"));
    }
    let state = ctx.state;
    let outcome = negotiate(&state.versions, VERSION_NEGOTIATE.client_version.read(&body)?)?;
    if !outcome.compatible() {
        return Err(outcome.refusal());
    }
    ctx.json(|out| VersionNegotiateResponse::write(out, &outcome))
}

pub fn status(ctx: &mut Ctx<'_>) -> Result<Step> {
    let state = ctx.state;
    let uptime_s = (state.now().monotonic_ms - state.started.monotonic_ms) / 1_000;
    let trouble = state.run.health().trouble().map(|trouble| trouble.text());
    let snapshot = ctx.snapshot();
    let notice = maintenance(snapshot.read());
    ctx.json(|out| ServerStatusResponse::write(out, state, uptime_s, notice, trouble))
}

shape! {
    /// How the server does.
    pub ServerStatusResponse(state: &State, uptime_s: u64, notice: Option<&ArchivedMaintenance>, trouble: Option<&str>) {
        state: str = if notice.is_some() && !state.run.is_shutting_down() { "maintenance" } else { state.run.text() },
        version: (Slot::object(VersionInfo::SHAPE)) = |out: &mut Vec<u8>| out.extend_from_slice(&state.pages.version_info),
        uptime_seconds: u64 = uptime_s,
        maintenance_message: opt_str = notice.and_then(|notice| notice.message.as_deref()).or(trouble),
        estimated_downtime_seconds: opt_u64 =
            notice.and_then(|notice| notice.estimated_seconds.as_ref()).map(|seconds| seconds.to_native()),
        restart_at: opt_time = None,
    }
}

pub fn capabilities(ctx: &mut Ctx<'_>) -> Result<Step> {
    let [open, closed] = &ctx.state.pages.capabilities;
    let page = if ctx.state.gate.is_closed(ctx.state) { closed } else { open };
    ctx.response.body.extend_from_slice(page);
    Ok(Step::Done)
}

/// No crawler is to look at anything (RFC 9309).
pub const ROBOTS: &str = "User-agent: *\nDisallow: /\n";

pub fn robots(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.response.content_type = "text/plain; charset=utf-8";
    ctx.response.body.extend_from_slice(ROBOTS.as_bytes());
    Ok(Step::Done)
}

pub fn help_security_logout(ctx: &mut Ctx<'_>) -> Result<Step> {
    html(ctx, SECURITY_LOGOUT)
}

pub fn help_access_blocked(ctx: &mut Ctx<'_>) -> Result<Step> {
    html(ctx, ACCESS_BLOCKED)
}

fn html(ctx: &mut Ctx<'_>, page: &str) -> Result<Step> {
    ctx.response.content_type = HTML;
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ctx.response.headers.push(("content-security-policy", policy.to_string()));
    ctx.response.body.extend_from_slice(page.as_bytes());
    Ok(Step::Done)
}

macro_rules! page {
    ($title:literal, $($paragraph:literal),+) => {
        concat!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>", $title, "</title>",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">",
            "<style>body{font-family:sans-serif;max-width:40em;margin:3em auto;padding:0 1em;line-height:1.5}",
            "</style></head><body><h1>", $title, "</h1>", $("<p>", $paragraph, "</p>",)+ "</body></html>\n"
        )
    };
}

const SECURITY_LOGOUT: &str = page!(
    "You were logged out",
    "This login was ended for the security of your account: it was revoked from another device, its password was \
     changed, or an administrator ended it.",
    "Log in again. If you did not expect this, change your password and end the logins you do not know in your \
     settings."
);

const ACCESS_BLOCKED: &str = page!(
    "Access blocked",
    "This server does not accept connections from your network at the moment.",
    "If you use a VPN or a proxy, switch it off and try again. Otherwise ask the operator of this server."
);

#[cfg(test)]
mod tests {
    use crate::api::testing::Harness;
    use crate::config::Config;
    use crate::config::Versioning;

    const VERSION: &str = r#"{"stage":"a","major":1,"minor":0,"build":49,"string":"a.1.0-49"}"#;

    #[test]
    fn fixed_answers() {
        let harness = Harness::default();
        let check = |path: &str, want: &str| {
            assert_eq!(harness.request("GET", path, None, None), (200, want.to_string()), "{path}");
        };
        let healthy = r#"{"status":"healthy","version":"a.1.0-49"}"#;
        check("!/health", healthy);
        check("/health", healthy);
        check(
            "!/",
            r#"{"name":"Plexichat","version":"a.1.0-49","docs":"/docs","api":"/api/v1","api_docs":"/docs/api"}"#,
        );
        check("/", r#"{"version":"v1","status":"online","message":"Plexichat API"}"#);
        check(
            "/version",
            &format!(r#"{{"version":{VERSION},"min_supported_version":{VERSION},"api_version":"v1"}}"#),
        );
        check("/version/", &harness.request("GET", "/version", None, None).1);
        let capabilities = harness.request("GET", "/capabilities", None, None).1;
        assert!(capabilities.starts_with(r##"{"avatars":{"default_colors":["#5865f2","##), "{capabilities}");
        let tail = r#""max_size":512,"max_file_size":5242880,"allowed_types":["image/jpeg","image/png","image/gif","image/webp"]},"access_token_required":false}"#;
        assert!(capabilities.ends_with(tail), "{capabilities}");
    }

    #[test]
    fn status_counts_seconds() {
        let harness = Harness::default();
        harness.advance(2_999);
        let want = format!(
            r#"{{"state":"running","version":{VERSION},"uptime_seconds":2,"maintenance_message":null,"estimated_downtime_seconds":null,"restart_at":null}}"#
        );
        assert_eq!(harness.request("GET", "/status", None, None), (200, want));
    }

    #[test]
    fn shutting_down_shows() {
        let harness = Harness::default();
        harness.state.run.begin_shutdown();
        let want = r#"{"status":"shutting_down","version":"a.1.0-49"}"#;
        assert_eq!(harness.request("GET", "!/health", None, None), (503, want.to_string()));
        assert!(harness.request("GET", "/status", None, None).1.contains(r#""state":"shutting_down""#));
    }

    #[test]
    fn trouble_shows_without_taking_the_server_for_dead() {
        use crate::log::Trouble;

        let harness = Harness::default();
        let get = |path: &str| harness.request("GET", path, None, None);
        let ready = r#"{"status":"ready","reason":null,"message":null}"#;
        assert_eq!(get("!/health/ready"), (200, ready.to_string()));
        let health = harness.state.run.health();
        health.set(Some(Trouble::DiskFull));
        let (status, body) = get("!/health/ready");
        assert_eq!(status, 503);
        assert!(
            body.starts_with(r#"{"status":"not_ready","reason":"disk_full","message":"The disk of"#),
            "{body}"
        );
        assert_eq!(get("!/health"), (200, r#"{"status":"degraded","version":"a.1.0-49"}"#.to_string()));
        assert_eq!(get("!/health/live"), (200, r#"{"status":"live"}"#.to_string()));
        let status = get("/status").1;
        assert!(status.contains(r#""state":"running""#), "{status}");
        assert!(status.contains(r#""maintenance_message":"The disk of the store is full;"#), "{status}");
        health.set(None);
        assert_eq!(get("!/health/ready").0, 200);
        harness.state.run.begin_shutdown();
        assert!(get("!/health/ready").1.contains(r#""reason":"shutting_down""#));
        assert_eq!(get("!/health/live").0, 200);
    }

    #[test]
    fn negotiation() {
        let config = Config {
            versioning: Versioning { update_url: "https://x.y".into(), ..Versioning::default() },
            ..Config::default()
        };
        let harness = Harness::with_config(config);
        let check = |json: &str, status: u16, want: &str| {
            let (got, body) = harness.request("POST", "/version/negotiate", None, Some(json));
            assert_eq!(got, status, "{json}: {body}");
            assert!(body.contains(want), "{json}: {body}");
        };
        check(r#"{"client_version":"a.1.0-49"}"#, 200, r#""compatible":true"#);
        check(
            r#"{"client_version":"r.9.0-1","supported_versions":["v1"]}"#,
            200,
            r#""update_required":false"#,
        );
        check(
            r#"{"client_version":"a.1.0-1"}"#,
            426,
            r#""code":"VERSION_OUTDATED","message":"Version a.1.0-1 is no longer supported; update to a.1.0-49 or newer","client_version":"a.1.0-1","min_version":"a.1.0-49","server_version":"a.1.0-49","update_url":"https://x.y"}}"#,
        );
        check(r#"{"client_version":"1.2.3"}"#, 400, r#""code":"INVALID_VERSION_FORMAT""#);
        check(r#"{"client_version":"1.2.3"}"#, 400, r#""client_version":"1.2.3""#);
        check(r#"{"client_version":""}"#, 400, "INVALID_VERSION_FORMAT");
        check("{}", 400, r#""message":"Invalid client_version: this field is required""#);
        check(r#"{"client_version":5}"#, 400, r#""code":400"#);
        for versions in ["5", "\"v1\"", "{}", "[1]", "[null]"] {
            let body = format!(r#"{{"client_version":"a.1.0-49","supported_versions":{versions}}}"#);
            check(&body, 400, "Invalid supported_versions");
        }
        let body =
            r#"{"client_version":"a.1.0-49","supported_versions":null,"x":1e400,"y":99999999999999999999}"#;
        check(body, 200, r#""compatible":true"#);
        check("[]", 400, "must be a JSON object");
    }

    #[test]
    fn help_pages_are_html() {
        let harness = Harness::default();
        for path in ["/help/security-logout", "/help/access-blocked"] {
            let answer = harness.exchange(&format!("GET /api/v1{path} HTTP/1.1\r\nhost: h\r\n\r\n"), "");
            assert!(answer.contains("content-type: text/html; charset=utf-8\r\n"), "{answer}");
            assert!(answer.contains("<!doctype html>"), "{answer}");
        }
    }
}
