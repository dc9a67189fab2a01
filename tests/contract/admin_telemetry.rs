//! How long requests take, as the server and as its clients say; what is kept of it, and that it is forgotten.

use plexichat::store::records::ResponseTimes;
use plexichat::store::tables::RESPONSE_TIMES;
use plexichat::store::{Options, Store, Sync};

use crate::admin_login::session;
use crate::support::{Answer, Server, Value, json, temporary_folder};
use crate::world::{World, eventually, shape, text};

cases![admin_telemetry_stats, admin_telemetry_history, admin_telemetry_reset, admin_telemetry_export];

const STAT: &str = "endpoint: str, method: str, count: int, avg_ms: num, min_ms: num?, max_ms: num?, p50_ms: num?, \
    p95_ms: num, p99_ms: num?, error_rate: num, error_count: int, avg_queries: num?, avg_query_time_ms: num?";

fn call(w: &World, line: &str) -> Answer {
    let (method, rest) = line.split_once(' ').expect("method and path");
    w.call(Some(&session(w)), &format!("{method} /admin/telemetry{rest}"), Value::Null)
}

fn stats(w: &World, query: &str) -> Vec<Value> {
    let answer = call(w, &format!("GET /stats?{query}")).want(200);
    shape(&answer, "stats: list, source: str");
    answer["stats"].as_array().unwrap().clone()
}

fn count(w: &World, query: &str) -> u64 {
    stats(w, query).iter().map(|stat| stat["count"].as_u64().unwrap()).sum()
}

/// Two timings of an operation, as a client tells them.
fn tell(w: &World, endpoint: &str, method: &str) {
    let entry = |ms: f64, status: u16, queries: u64| {
        json!({"endpoint": endpoint, "method": method, "response_time_ms": ms, "status_code": status,
            "db_queries": queries, "db_time_ms": 0.5})
    };
    let body = json!({"entries": [entry(12.5, 200, 3), entry(30.0, 500, 0)]});
    assert_eq!(w.anyone("POST /telemetry/response-times", body).want(200)["accepted"], 2);
}

fn admin_telemetry_stats(w: &World) {
    let user = w.user();
    let of = "endpoint=/api/v1/users/@me/features";
    assert!(stats(w, of).is_empty(), "nobody has asked");
    for _ in 0..7 {
        w.get(&user, "/users/@me/features");
    }
    for _ in 0..3 {
        w.anyone("GET /users/@me/features", Value::Null).want(401);
    }
    let all = stats(w, of);
    let [stat] = &all[..] else { panic!("{all:?}") };
    shape(stat, STAT);
    assert_eq!((&stat["endpoint"], &stat["method"]), (&json!("/api/v1/users/@me/features"), &json!("GET")));
    assert_eq!((&stat["count"], &stat["error_count"], &stat["error_rate"]), (&json!(10), &json!(3), &json!(0.3)));
    let ms = |name: &str| stat[name].as_f64().unwrap();
    let order = ["min_ms", "p50_ms", "p95_ms", "p99_ms", "max_ms"].map(ms);
    assert!(order.is_sorted() && order[0] < ms("avg_ms") && ms("avg_ms") < order[4], "{stat}");
    assert!(order[0] > 0.0 && order[4] < 10_000.0, "{stat}");
    assert_eq!(stat["avg_queries"], Value::Null);
    // By its path, with ids, and without the prefix.
    w.refused(&user, "GET /servers/7", Value::Null, 404);
    for path in ["/api/v1/servers/99", "/servers/{server_id}", "/api/v1/servers/{id}"] {
        assert_eq!(stats(w, &format!("endpoint={path}"))[0]["endpoint"], "/api/v1/servers/{server_id}", "{path}");
    }
    w.anyone("GET /no/such/path", Value::Null).want(404);
    assert!(stats(w, "endpoint=other").iter().any(|stat| stat["method"] == "*"));
    assert!(stats(w, "endpoint=/no/such/path").is_empty());
    let everything = stats(w, "hours=1&source=server");
    assert!(everything.iter().any(|stat| stat == &stats(w, of)[0]));
    let counts: Vec<u64> = everything.iter().map(|stat| stat["count"].as_u64().unwrap()).collect();
    assert!(counts.is_sorted_by(|one, next| one >= next), "the most used first: {counts:?}");
    // What clients say is another matter.
    tell(w, "/api/v1/users/@me/features", "GET");
    let told = stats(w, &format!("source=client&{of}"));
    let want = json!([{
        "endpoint": "/api/v1/users/@me/features", "method": "GET", "count": 2, "avg_ms": 21.25, "min_ms": 12.5,
        "max_ms": 30, "p50_ms": told[0]["p50_ms"], "p95_ms": 30, "p99_ms": 30, "error_rate": 0.5, "error_count": 1,
        "avg_queries": 1.5, "avg_query_time_ms": 0.5,
    }]);
    assert_eq!(json!(told), want);
    assert!((12.5..=16.4).contains(&told[0]["p50_ms"].as_f64().unwrap()), "{told:?}");
    assert_eq!(call(w, "GET /stats?source=client").want(200)["source"], "client");
    assert_eq!(call(w, "GET /stats").want(200)["source"], "server");
    for bad in ["hours=day", "hours=0", "hours=8761", "hours=-1", "hours=", "source=both", "endpoint="] {
        call(w, &format!("GET /stats?{bad}")).want(400);
    }
    call(w, &format!("GET /stats?endpoint=/{}", "x".repeat(255))).want(400);
    call(w, "POST /stats").want(405);
}

fn admin_telemetry_history(w: &World) {
    let user = w.user();
    for _ in 0..4 {
        w.get(&user, "/users/@me/settings");
    }
    w.anyone("GET /users/@me/settings", Value::Null).want(401);
    let history = |query: &str| call(w, &format!("GET /history?{query}")).want(200);
    let of = "endpoint=/api/v1/users/@me/settings";
    for query in ["bucket_minutes=1", "bucket_minutes=60&hours=1", "hours=8760&bucket_minutes=1440", "method=get"] {
        let answer = history(&format!("{of}&{query}"));
        shape(&answer, "history: list");
        let buckets = answer["history"].as_array().unwrap();
        assert!(matches!(buckets.len(), 1 | 2), "{query}: {answer}");
        let sum = |name: &str| buckets.iter().map(|bucket| bucket[name].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("count"), sum("error_count")), (5, 1), "{query}");
        for bucket in buckets {
            shape(bucket, "timestamp: int, avg_ms: num, count: int, error_count: int");
            assert_eq!(bucket["timestamp"].as_u64().unwrap() % 300, 0, "{query}");
        }
    }
    assert_eq!(history(&format!("{of}&method=DELETE")), json!({"history": []}));
    assert_eq!(history("endpoint=/no/such/path"), json!({"history": []}));
    tell(w, "/api/v1/users/@me/settings", "PUT");
    assert_eq!(history(&format!("{of}&method=PUT&source=client"))["history"], json!([]), "it has no such method");
    tell(w, "/api/v1/servers", "POST");
    let told = history("endpoint=/servers&method=POST&source=client");
    assert_eq!((&told["history"][0]["count"], &told["history"][0]["avg_ms"]), (&json!(2), &json!(21.25)));
    for bad in ["", "endpoint=", "bucket_minutes=5", &format!("{of}&bucket_minutes=0"), &format!("{of}&hours=x")] {
        call(w, &format!("GET /history?{bad}")).want(400);
    }
    for bad in ["bucket_minutes=1441", "bucket_minutes=x", "hours=8761", "source=x"] {
        call(w, &format!("GET /history?{of}&{bad}")).want(400);
    }
    call(w, "DELETE /history").want(405);
}

fn admin_telemetry_reset(w: &World) {
    let user = w.user();
    let of = "endpoint=/api/v1/users/@me/notifications";
    w.get(&user, "/users/@me/notifications");
    tell(w, "/api/v1/users/@me/notifications", "GET");
    assert_eq!((count(w, of), count(w, &format!("source=client&{of}"))), (1, 2));
    let answer = call(w, "POST /reset").want(200);
    shape(&answer, "success: bool, deleted_count: int");
    // A row of five minutes and one of an hour, of the client's at least.
    assert!(answer["success"] == true && answer["deleted_count"].as_u64().unwrap() >= 2, "{answer}");
    assert_eq!((count(w, of), count(w, "source=client")), (0, 0));
    assert_eq!(call(w, "POST /reset").want(200)["deleted_count"], 0, "they are forgotten");
    // It goes on: within a moment, as each core has to hear of it.
    eventually(|| {
        w.get(&user, "/users/@me/notifications");
        count(w, of) > 0
    });
    tell(w, "/api/v1/users/@me/notifications", "GET");
    assert_eq!(count(w, "source=client"), 2);
    let lines = w.call(Some(&session(w)), "GET /admin/audit-log?limit=1", Value::Null).want(200);
    assert_eq!((&lines[0]["action"], &lines[0]["target"]), (&json!("telemetry_reset"), &json!("response times")));
    call(w, "GET /reset").want(405);
}

fn admin_telemetry_export(w: &World) {
    w.get(&w.user(), "/users/@me/channels");
    let export = |query: &str| call(w, &format!("GET /export{query}"));
    let answer = export("").want(200);
    shape(&answer, "export_time: int, hours: int, stats: list");
    assert_eq!(answer["hours"], 24);
    answer["stats"].as_array().unwrap().iter().for_each(|stat| shape(stat, STAT));
    assert!(answer["stats"].as_array().unwrap().iter().any(|stat| stat["endpoint"] == "/api/v1/users/@me/channels"));
    let lines = |format: &str, kind: &str| {
        let answer = export(&format!("?format={format}&hours=2"));
        assert_eq!(answer.status, 200);
        assert!(text(&json!(answer.header("content-type"))).starts_with(kind), "{format}");
        let name = format!("attachment; filename=\"telemetry.{format}\"");
        assert_eq!(answer.header("content-disposition"), Some(&*name));
        String::from_utf8(answer.body.clone()).unwrap().lines().map(str::to_string).collect::<Vec<_>>()
    };
    let csv = lines("csv", "text/csv");
    let header = "endpoint,method,count,avg_ms,min_ms,max_ms,p50_ms,p95_ms,p99_ms,error_rate,error_count,avg_queries,\
        avg_query_time_ms";
    assert_eq!(csv[0], header);
    assert!(csv[1..].iter().any(|line| line.starts_with("\"/api/v1/users/@me/channels\",\"GET\",\"")), "{csv:?}");
    assert!(csv.iter().all(|line| line.split(',').count() == 13), "{csv:?}");
    let table = lines("txt", "text/plain");
    assert!(table[0].starts_with("endpoint ") && table.iter().any(|line| line.contains("/users/@me/channels")));
    assert!(export("?format=json").want(200)["stats"].is_array());
    for bad in ["?format=docx", "?format=", "?hours=day", "?hours=0", "?source=x"] {
        export(bad).want(400);
    }
    call(w, "PUT /export").want(405);
}

/// What a core has measured is written when the server stops, and added up: a row for an operation and a span.
#[test]
fn what_the_server_has_measured_outlives_it() {
    const ASKED: u64 = 50;
    let folder = temporary_folder();
    for _ in 0..2 {
        let server = Server::start_in(folder.path(), &["rate_limiting.enabled=false"]);
        let mut http = server.http();
        for _ in 0..ASKED {
            http.call("GET", "/api/v1/users/@me", None, None).want(401);
        }
        assert_eq!(server.stop().code(), Some(0));
    }
    let options =
        Options { path: folder.path().into(), map_size: 1 << 30, sync: Sync::Always, readers_max: 8 };
    let store = Store::open(&options).expect("it is closed");
    let snapshot = store.snapshot();
    for tier in [2u8, 3] {
        let rows = snapshot.read().scan(RESPONSE_TIMES, tier).map(|((.., name), row)| (name, ResponseTimes::from(row)));
        let rows: Vec<(String, ResponseTimes)> = rows.filter(|(name, _)| name == "GET /users/@me").collect();
        let sum = |of: fn(&ResponseTimes) -> u64| rows.iter().map(|(_, row)| of(row)).sum::<u64>();
        assert!(matches!(rows.len(), 1 | 2), "{rows:?}");
        assert_eq!((sum(|row| row.count), sum(|row| row.error_count)), (2 * ASKED, 2 * ASKED), "{rows:?}");
        assert!(sum(|row| row.total_us) > 0 && rows.iter().all(|(_, row)| row.min_us <= row.max_us), "{rows:?}");
    }
    drop(snapshot);
    drop(store);
    // A kill loses what is of the span that goes on, and nothing else.
    let mut server = Server::start_in(folder.path(), &["rate_limiting.enabled=false"]);
    server.http().call("GET", "/api/v1/users/@me", None, None).want(401);
    server.kill();
    let server = Server::start_in(folder.path(), &["rate_limiting.enabled=false"]);
    let (token, _) = crate::support::admin::log_in(&mut server.http(), server.folder());
    let path = "/api/v1/admin/telemetry/stats?endpoint=/users/@me";
    let stats = server.http().call("GET", path, Some(&token), None).want(200);
    assert_eq!(stats["stats"][0]["count"], 2 * ASKED, "{stats}");
}

/// Figures of clients only are kept where telemetry is wanted; so are the server's.
#[test]
fn nothing_is_kept_where_it_is_not_wanted() {
    let folder = temporary_folder();
    let server = Server::start_in(folder.path(), &["telemetry.enabled=false"]);
    server.http().call("GET", "/api/v1/users/@me", None, None).want(401);
    assert_eq!(server.stop().code(), Some(0));
    let options =
        Options { path: folder.path().into(), map_size: 1 << 30, sync: Sync::Always, readers_max: 8 };
    let store = Store::open(&options).expect("it is closed");
    assert_eq!(store.snapshot().read().len(RESPONSE_TIMES), 0);
}
