//! How the server is, at a glance, and who reads the store.

use crate::admin_login::session;
use crate::support::{Answer, Value, json};
use crate::world::{World, eventually, shape, text};

cases![admin_dashboard_get, admin_store_health_get];

fn call(w: &World, line: &str) -> Answer {
    let (method, rest) = line.split_once(' ').expect("method and path");
    w.call(Some(&session(w)), &format!("{method} /admin{rest}"), Value::Null)
}

fn admin_dashboard_get(w: &World) {
    let look = || call(w, "GET /dashboard").want(200);
    let before = look();
    shape(
        &before,
        "tickets: object, telemetry: list, active_users: int, total_users: int, scheduled_deletions: int, \
         db_status: str, system: object, server_version: str",
    );
    shape(&before["tickets"], "open: int, in_progress: int, resolved: int, closed: int");
    let system = "cpu_percent: num, memory_percent: num, memory_used_mb: num, memory_total_mb: num, \
        disk_percent: num, process_memory_mb: num, thread_count: int, uptime_seconds: num";
    shape(&before["system"], system);
    let number = |name: &str| before["system"][name].as_f64().unwrap();
    for name in ["cpu_percent", "memory_percent", "disk_percent"] {
        assert!((0.0..=100.0).contains(&number(name)), "{name}: {before}");
    }
    assert!(number("process_memory_mb") > 1.0 && number("process_memory_mb") < number("memory_total_mb"), "{before}");
    assert!(number("memory_used_mb") < number("memory_total_mb") && number("thread_count") > 3.0, "{before}");
    assert_eq!(before["db_status"], "healthy");
    let version = w.anyone("GET /version", Value::Null).want(200);
    assert_eq!(before["server_version"], version["version"]["string"]);
    // What has happened is seen.
    let (user, gone) = (w.user(), w.user());
    let ticket = w.ok(&user, "POST /feedback", json!({"content": "It is good."}));
    w.ok(&user, "POST /feedback", json!({"content": "It is not."}));
    let path = format!("/tickets/{}/status", text(&ticket["id"]));
    w.call(Some(&session(w)), &format!("PATCH /admin{path}"), json!({"status": "resolved"})).want(200);
    w.ok(&gone, "DELETE /users/@me", json!({"password": crate::support::PASSWORD}));
    w.server.bot(&user, "helper");
    let after = look();
    let more = |at: &str| {
        let count = |dashboard: &Value| dashboard.pointer(at).unwrap().as_i64().unwrap();
        count(&after) - count(&before)
    };
    assert_eq!((more("/tickets/open"), more("/tickets/resolved"), more("/tickets/closed")), (1, 1, 0));
    assert_eq!((more("/total_users"), more("/scheduled_deletions")), (2, 1), "a bot is nobody");
    assert!(after["system"]["uptime_seconds"].as_f64() >= before["system"]["uptime_seconds"].as_f64());
    let top = after["telemetry"].as_array().unwrap();
    assert!((1..=10).contains(&top.len()), "{after}");
    assert!(top.iter().any(|stat| stat["endpoint"] == "/api/v1/admin/dashboard"), "{after}");
    // Somebody comes, and is there.
    let mut socket = w.server.gateway();
    socket.identify(&user.token);
    eventually(|| look()["active_users"] == 1);
    call(w, "POST /dashboard").want(405);
}

fn admin_store_health_get(w: &World) {
    w.get(&w.user(), "/users/@me");
    let health = call(w, "GET /database/pool-health").want(200);
    shape(
        &health,
        "active_connections: int, idle_connections: int, total_connections: int, max_connections: int, \
         min_connections: int, utilization_percent: num, avg_acquisition_time: num?, max_acquisition_time: num?, \
         avg_pool_wait_time: num?, total_acquisitions: int, total_pool_waits: int, old_connections: list, status: str, \
         database_type: str, timestamp: int",
    );
    assert_eq!((&health["status"], &health["database_type"]), (&json!("healthy"), &json!("lmdb")));
    let count = |name: &str| health[name].as_u64().unwrap();
    assert_eq!(count("active_connections") + count("idle_connections"), count("total_connections"));
    assert!(count("active_connections") >= count("min_connections") && count("min_connections") >= 1, "{health}");
    assert!(count("total_connections") <= count("max_connections"), "{health}");
    assert!(count("total_pool_waits") >= 1 && health["avg_pool_wait_time"].as_f64().unwrap() >= 0.0, "{health}");
    assert_eq!(health["old_connections"], json!([]));
    call(w, "PUT /database/pool-health").want(405);
}
