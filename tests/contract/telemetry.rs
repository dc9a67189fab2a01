//! What clients and browsers tell by themselves: taken from anybody, added up, and kept within bounds.

use plexichat::store::records::{CspReport, ResponseTimes};
use plexichat::store::tables::{CSP_REPORTS, RESPONSE_TIMES};
use plexichat::store::{Options, Store, Sync};

use crate::support::{Server, Value, json, temporary_folder};
use crate::world::{World, shape};

cases![response_times, csp_report];

fn entry(endpoint: &str, ms: Value, status: Value) -> Value {
    json!({"endpoint": endpoint, "method": "GET", "response_time_ms": ms, "status_code": status})
}

fn response_times(w: &World) {
    let user = w.user();
    let send = |entries: Value| w.anyone("POST /telemetry/response-times", json!({"entries": entries}));
    let taken = send(json!([entry("/x", json!(12.5), json!(200))])).want(200);
    shape(&taken, "accepted: int, message: str");
    assert_eq!(taken["accepted"], 1);
    assert_eq!(send(json!([])).want(200)["accepted"], 0);
    let many: Vec<Value> = (0..100).map(|n| entry("/api/v1/users/@me", json!(n), json!("timeout"))).collect();
    let body = json!({"entries": many});
    assert_eq!(w.ok(&user, "POST /telemetry/response-times", body)["accepted"], 100);
    let more = json!({"endpoint": "", "method": "", "response_time_ms": 0, "status_code": -1, "db_queries": 3,
        "db_time_ms": 0.25, "timestamp": 1_700_000_000, "other": {}});
    assert_eq!(send(json!([more])).want(200)["accepted"], 1);
    let with = |key: &str, value: Value| {
        let mut entry = entry("/x", json!(1), json!(200));
        entry[key] = value;
        json!([entry])
    };
    for bad in [
        json!({}),
        json!([7]),
        json!((0..101).map(|_| entry("/x", json!(1), json!(200))).collect::<Vec<_>>()),
        with("endpoint", json!("x".repeat(256))),
        with("endpoint", Value::Null),
        with("method", json!("x".repeat(11))),
        with("response_time_ms", json!(-1)),
        with("response_time_ms", json!("5")),
        with("status_code", Value::Null),
        with("status_code", json!(2.5)),
        with("db_queries", json!(-1)),
        with("db_time_ms", json!("x")),
        with("timestamp", json!("now")),
    ] {
        let refused = send(bad.clone()).want(400);
        assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("entries")), "{bad}");
    }
    w.anyone("POST /telemetry/response-times", json!({})).want(400);
    let off = World::new(&["telemetry.enabled=false"]);
    off.anyone("POST /telemetry/response-times", json!({"entries": []})).want(503);
    assert_eq!(off.anyone("POST /telemetry/csp-report", json!({"csp-report": {}})).status, 204);
}

fn csp_report(w: &World) {
    let report = json!({"csp-report": {"violated-directive": "img-src", "blocked-uri": "inline"}}).to_string();
    let long = format!("{{\"csp-report\":\"{}\"}}", "x".repeat(200_000));
    for (kind, body) in [
        ("application/csp-report", &*report),
        ("application/reports+json", "[{\"body\":{\"effectiveDirective\":\"img-src\"}}]"),
        ("application/json", "{\"csp-report\":{}}"),
        ("text/plain", "nonsense"),
        ("application/csp-report", "{"),
        ("application/csp-report", ""),
        ("application/csp-report", &long),
    ] {
        let answer = w.headed("POST", "/telemetry/csp-report", &[("Content-Type", kind)], body.as_bytes());
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{kind}");
    }
    // Without a type, and with a login that is none.
    assert_eq!(w.headed("POST", "/telemetry/csp-report", &[("Authorization", "Bearer 1.x")], b"{}").status, 204);
}

/// However many names clients make up, what is kept is as much as the table of routes is long.
#[test]
fn what_clients_tell_is_added_up() {
    let folder = temporary_folder();
    let server = Server::start_in(folder.path(), &["rate_limiting.enabled=false"]);
    let mut http = server.http();
    for round in 0..20 {
        let made_up = |n: usize| entry(&format!("/api/v1/made-up/{round}/{n}"), json!(1), json!(200));
        let known = |n: usize| entry(&format!("/api/v1/servers/{round}{n}"), json!(2), json!(500));
        let entries: Vec<Value> = (0..50).flat_map(|n| [made_up(n), known(n)]).collect();
        let taken = http.post("/api/v1/telemetry/response-times", None, &json!({"entries": entries}));
        assert_eq!(taken.want(200)["accepted"], 100);
        let report = json!({"csp-report": {"violated-directive": format!("rule-{round}"), "blocked-uri": "x"}});
        assert_eq!(http.post("/api/v1/telemetry/csp-report", None, &report).status, 204);
    }
    assert_eq!(server.stop().code(), Some(0));
    let options =
        Options { path: folder.path().into(), map_size: 1 << 30, sync: Sync::Always, readers_max: 8 };
    let store = Store::open(&options).expect("it is closed");
    let snapshot = store.snapshot();
    let rows = snapshot.read().scan(RESPONSE_TIMES, 1u8).map(|((.., name), row)| (name, ResponseTimes::from(row)));
    let mut sums = std::collections::BTreeMap::new();
    for (name, row) in rows {
        let sum = sums.entry(name).or_insert((0, 0, 0));
        *sum = (sum.0 + row.count, sum.1 + row.error_count, sum.2 + row.total_us);
    }
    let want = [("GET /servers/{server_id}", (1_000, 1_000, 2_000_000)), ("other", (1_000, 0, 1_000_000))];
    assert_eq!(sums.into_iter().collect::<Vec<_>>(), want.map(|(name, sum)| (name.to_string(), sum)));
    let reports = snapshot.read().scan(CSP_REPORTS, ()).map(|((_, name), row)| (name, CspReport::from(row).count));
    let (names, counts): (Vec<_>, Vec<_>) = reports.unzip();
    assert!(names.iter().all(|name| name == "other"), "{names:?}");
    assert_eq!(counts.iter().sum::<u64>(), 20);
}
