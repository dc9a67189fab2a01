//! The documentation: pages, viewers, their files and the two descriptions. What the pages say is tried in `portal.rs`.

use flate2::read::GzDecoder;
use std::io::Read as _;

use crate::support::{Answer, Http, Server, Value, json};
use crate::world::World;

cases![openapi, asyncapi, docs_viewer, docs_reader, docs_index, docs_page, docs_asset];

/// A page with its policy, as it is and compressed; gives its text.
fn page(w: &World, path: &str) -> String {
    let answer = w.root("GET", path);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")), "{path}");
    let policy = answer.header("content-security-policy").expect("a page says what it loads");
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{path}: {policy}");
    assert!(!policy.contains("http") && !policy.contains("unsafe-eval"), "{path}: {policy}");
    for name in ["x-content-type-options", "referrer-policy", "x-frame-options"] {
        assert!(answer.header(name).is_some(), "{path}: {name}");
    }
    assert_eq!(answer.header("cache-control"), Some("no-cache"));
    let mut http = w.server.http();
    let mut ask = |method: &str, headers: &[(&str, &str)]| http.request(method, path, headers, None);
    let gzip = ask("GET", &[("Accept-Encoding", "gzip, br")]);
    assert_eq!(gzip.header("content-encoding"), Some("gzip"), "{path}");
    assert_eq!(inflated(&gzip), answer.body, "{path}");
    assert!(gzip.body.len() < answer.body.len());
    assert_ne!(gzip.header("etag"), answer.header("etag"));
    for (known, headers) in [(&answer, &[][..]), (&gzip, &[("Accept-Encoding", "gzip")][..])] {
        assert!(known.header("vary").is_some(), "{path}");
        let etag = known.header("etag").expect("a page has a tag");
        let headers: Vec<_> = headers.iter().copied().chain([("If-None-Match", etag)]).collect();
        assert_eq!(ask("GET", &headers).status, 304, "{path}");
    }
    let head = ask("HEAD", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
    assert_eq!(head.header("content-length"), Some(answer.body.len().to_string().as_str()));
    // A bad token does not matter here.
    assert_eq!(ask("GET", &[("Authorization", "Bearer nonsense")]).status, 200, "{path}");
    assert_eq!(ask("POST", &[]).status, 405, "{path}");
    answer.text()
}

fn inflated(answer: &Answer) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(&answer.body[..]).read_to_end(&mut plain).expect("gzip");
    plain
}

fn openapi(w: &World) {
    let body = w.root("GET", "/openapi.json").want(200);
    assert!(body["openapi"].as_str().unwrap().starts_with("3.1."));
    assert_eq!(body["paths"]["/api/v1/users/@me"]["get"]["operationId"], "me_get");
    let origin = [("Origin", "http://localhost:8000")];
    let answer = w.server.http().request("GET", "/openapi.json", &origin, None);
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://localhost:8000"));
}

fn asyncapi(w: &World) {
    let body = w.root("GET", "/asyncapi.json").want(200);
    assert_eq!(body["asyncapi"], "3.0.0");
    let message = &body["components"]["messages"]["IDENTIFY"]["payload"];
    assert_eq!(message["properties"]["op"]["const"], 2);
    let event = &body["components"]["messages"]["EVENT_TYPING_START"]["payload"]["properties"];
    assert_eq!(event["d"]["$ref"], "#/components/schemas/TypingStart");
    assert_eq!(body["x-close-codes"][0]["code"], 4000);
}

fn docs_viewer(w: &World) {
    let text = page(w, "/docs");
    assert!(text.contains("/openapi.json") && text.contains("swagger-ui-bundle-"), "{text}");
    assert_eq!(w.root("GET", "/docs/").status, 200);
}

fn docs_reader(w: &World) {
    let text = page(w, "/redoc");
    assert!(text.contains("spec-url=\"/openapi.json\""), "{text}");
}

fn docs_index(w: &World) {
    let text = page(w, "/docs/api");
    assert!(text.contains("href=\"/docs/api/getting-started\""), "{text}");
    assert_eq!(w.root("GET", "/docs/api/").text(), text);
    let banner = w.root("GET", "/").want(200);
    assert_eq!((&banner["docs"], &banner["api_docs"]), (&json!("/docs"), &json!("/docs/api")));
}

fn docs_page(w: &World) {
    for name in plexichat::docs::pages::PAGES.iter().map(|page| page.name) {
        page(w, &format!("/docs/api/{name}"));
    }
    for path in ["/docs/api/no-such-page", "/docs/api/..", "/docs/api/%00", "/docs/api/Messages"] {
        let browser = [("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
        let answer = w.server.http().request("GET", path, &browser, None);
        assert_eq!((answer.status, answer.header("content-type")), (404, Some("text/html; charset=utf-8")), "{path}");
        assert!(answer.text().contains("There is no such page") && answer.header("etag").is_none(), "{path}");
        assert_eq!(w.root("GET", path).want(404)["error"]["code"], 404, "a program reads {path}");
    }
    assert_eq!(w.root("GET", "/docs/api/messages/more").want(404)["error"]["code"], 404);
}

fn docs_asset(w: &World) {
    let mut names: Vec<String> = Vec::new();
    for path in ["/docs", "/redoc", "/docs/api"] {
        let text = w.root("GET", path).text();
        names.extend(text.split('"').filter(|part| part.starts_with("/docs/assets/")).map(str::to_string));
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 10, "{names:?}");
    for name in names {
        let plain = w.root("GET", &name);
        assert_eq!(plain.status, 200, "{name}");
        assert_eq!(plain.header("cache-control"), Some("public, max-age=31536000, immutable"), "{name}");
        assert_eq!(plain.header("x-content-type-options"), Some("nosniff"), "{name}");
        let kind = plain.header("content-type").expect("a type");
        let want = match name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("json") => "application/json",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        assert_eq!(kind, want, "{name}");
        let gzip = w.server.http().request("GET", &name, &[("Accept-Encoding", "gzip")], None);
        assert!(inflated(&gzip) == plain.body, "{name}");
        // Again, now that it is at hand as it is.
        assert!(w.root("GET", &name).body == plain.body, "{name}");
    }
    assert_eq!(w.root("GET", "/docs/assets/portal.js").want(404)["error"]["code"], 404);
}

#[test]
fn switched_off_nothing_is_documented() {
    let server = Server::start(&["docs.enabled=false"]);
    let mut http: Http = server.http();
    for path in ["/docs", "/docs/", "/docs/api", "/docs/api/messages", "/docs/assets/x", "/redoc", "/openapi.json", "/asyncapi.json"] {
        http.get(path, None).want(404);
    }
    let banner = http.get("/", None).want(200);
    assert_eq!(banner["api_docs"], Value::Null);
    assert_eq!(http.get("/api/v1/auth/password-requirements", None).want(200)["docs_enabled"], false);
    assert!(!server.log().contains("/docs\n"), "{}", server.log());
}

#[test]
fn pages_may_be_elsewhere() {
    let server = Server::start(&["docs.path=/help", "api.api_prefix=/v9"]);
    let mut http = server.http();
    let text = http.get("/help/messages", None).text();
    assert!(text.contains("POST /v9/channels/{channel_id}/messages") && !text.contains("/api/v1"), "{text}");
    assert!(text.contains("href=\"/help/servers\""));
    assert_eq!(http.get("/", None).want(200)["api_docs"], "/help");
    http.get("/docs/api", None).want(404);
    let paths = http.get("/openapi.json", None).want(200)["paths"].clone();
    assert!(paths["/help/{page}"].is_object() && paths["/docs"].is_object() && paths["/docs/api"].is_null());
}
