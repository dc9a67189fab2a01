//! What anybody may ask: banners, health, version, status, help pages.

use crate::support::{Value, json};
use crate::world::{World, shape};

cases![
    root,
    health,
    health_live,
    health_ready,
    api_root,
    version,
    version_negotiate,
    status,
    capabilities,
    help_security_logout,
    help_access_blocked,
    robots
];

const VERSION: &str = "stage: str, major: int, minor: int, build: int, string: str";

fn root(w: &World) {
    let body = w.root("GET", "/").want(200);
    shape(&body, "name: str, version: str, docs: str, api: str, api_docs: str?");
    assert_eq!((&body["version"], &body["api"]), (&json!("a.1.0-49"), &json!("/api/v1")));
}

fn health(w: &World) {
    let body = w.root("GET", "/health").want(200);
    shape(&body, "status: str, version: str");
    assert_eq!(body["status"], "healthy");
    assert_eq!(w.anyone("GET /health", Value::Null).want(200), body);
}

fn health_live(w: &World) {
    let body = w.root("GET", "/health/live").want(200);
    assert_eq!(body, json!({"status": "live"}));
}

fn health_ready(w: &World) {
    let body = w.root("GET", "/health/ready").want(200);
    assert_eq!(body, json!({"status": "ready", "reason": null, "message": null}));
}

fn api_root(w: &World) {
    let body = w.anyone("GET /", Value::Null).want(200);
    shape(&body, "version: str, status: str, message: str");
    assert_eq!((&body["version"], &body["status"]), (&json!("v1"), &json!("online")));
}

fn version(w: &World) {
    let body = w.anyone("GET /version", Value::Null).want(200);
    shape(&body, "version: object, min_supported_version: object?, api_version: str");
    shape(&body["version"], VERSION);
    assert_eq!(body["version"]["string"], "a.1.0-49");
    assert_eq!(body["version"]["build"], 49);
}

fn version_negotiate(w: &World) {
    let ask = |version: Value| w.anyone("POST /version/negotiate", json!({"client_version": version}));
    for (version, recommended) in [("a.1.0-49", false), ("a.1.0-50", false), ("b.0.0-0", false)] {
        let body = ask(json!(version)).want(200);
        shape(
            &body,
            "compatible: bool, server_version: object, client_version: object, \
             min_supported_version: object?, update_required: bool, update_recommended: bool, message: str?, \
             update_url: str?",
        );
        assert_eq!(body["compatible"], true);
        assert_eq!(body["update_recommended"], recommended, "{version}");
        shape(&body["client_version"], VERSION);
    }
    for old in ["a.1.0-48", "a.0.9-99"] {
        let error = ask(json!(old)).want(426)["error"].clone();
        assert_eq!(error["code"], "VERSION_OUTDATED");
        assert_eq!(error["client_version"], old);
        assert_eq!(error["server_version"], "a.1.0-49");
        assert!(error["min_version"].is_string() && error.get("update_url").is_some(), "{error}");
    }
    for bad in ["", "1.0", "x.1.0-49", "a.1.0", "a.1.0-49 "] {
        let answer = ask(json!(bad));
        assert_eq!(answer.status, 400, "{bad:?}");
    }
    assert_eq!(ask(json!("nonsense")).want(400)["error"]["code"], "INVALID_VERSION_FORMAT");
    ask(Value::Null).want(400);
    ask(json!(49)).want(400);
}

fn status(w: &World) {
    let body = w.anyone("GET /status", Value::Null).want(200);
    shape(
        &body,
        "state: str, version: object, uptime_seconds: int?, maintenance_message: str?, \
         estimated_downtime_seconds: int?, restart_at: str?",
    );
    assert_eq!(body["state"], "running");
}

fn capabilities(w: &World) {
    let body = w.anyone("GET /capabilities", Value::Null).want(200);
    shape(&body, "avatars: object, access_token_required: bool");
    shape(&body["avatars"], "default_colors: list, max_size: int, max_file_size: int, allowed_types: list");
    assert_eq!(body["access_token_required"], false);
}

fn help_security_logout(w: &World) {
    page(w, "GET /help/security-logout");
}

fn help_access_blocked(w: &World) {
    page(w, "GET /help/access-blocked");
}

fn robots(w: &World) {
    for answer in [w.root("GET", "/robots.txt"), w.anyone("GET /robots.txt", Value::Null)] {
        assert_eq!((answer.status, answer.text().as_str()), (200, "User-agent: *\nDisallow: /\n"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}

fn page(w: &World, line: &str) {
    let answer = w.anyone(line, Value::Null);
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(answer.text().contains("</html>"));
}
