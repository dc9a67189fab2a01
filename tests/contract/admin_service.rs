//! What administrators do to the server as a whole, for requests and for the gateway.

use std::time::{Duration, Instant};

use crate::admin_login::session;
use crate::support::{Answer, PASSWORD, Value, json};
use crate::world::{World, shape, success, text};

cases![admin_maintenance_get, admin_maintenance_set, admin_everybody_log_out];

fn set(w: &World, body: Value) -> Answer {
    w.call(Some(&session(w)), "PUT /admin/maintenance", body)
}

fn get(w: &World) -> Value {
    w.call(Some(&session(w)), "GET /admin/maintenance", Value::Null).want(200)
}

fn off() -> Value {
    json!({"enabled": false, "message": null, "estimated_downtime_seconds": null})
}

fn admin_maintenance_get(w: &World) {
    assert_eq!(get(w), off());
}

fn admin_maintenance_set(w: &World) {
    let user = w.user();
    let (mut there, mut nobody) = (w.server.gateway(), w.server.gateway());
    there.identify(&user.token);
    for bad in [
        json!({"message": "x"}),
        json!({"enabled": "yes"}),
        json!({"enabled": true, "estimated_downtime_seconds": -1}),
        json!({"enabled": true, "message": "m".repeat(501)}),
    ] {
        set(w, bad).want(400);
    }
    let on = json!({"enabled": true, "message": "Moving house", "estimated_downtime_seconds": 600});
    let begun = Instant::now();
    assert_eq!(set(w, on.clone()).want(200), on);
    assert_eq!(get(w), on);
    for socket in [&mut there, &mut nobody] {
        let told = std::iter::repeat_with(|| socket.json()).find(|frame| frame["op"] == 12).unwrap();
        assert_eq!(
            told["d"],
            json!({
                "state": "maintenance", "message": "Moving house", "estimated_downtime_seconds": 600,
                "closing_in_seconds": told["d"]["closing_in_seconds"],
            })
        );
        assert_eq!(socket.closed().0, 4016);
        let patience = Duration::from_secs_f64(told["d"]["closing_in_seconds"].as_f64().unwrap());
        assert!(begun.elapsed() >= patience, "they have the time that they are told");
    }
    let status = w.anyone("GET /status", Value::Null).want(200);
    let told = ["state", "maintenance_message"].map(|key| text(&status[key]));
    assert_eq!(told, ["maintenance", "Moving house"]);
    assert_eq!(status["estimated_downtime_seconds"], 600);
    let login = json!({"username": user.name, "password": PASSWORD});
    for answer in [
        w.call(Some(&user.token), "GET /users/@me", Value::Null),
        w.anyone("POST /auth/login", login),
        w.anyone("POST /webhooks/1/webhook.1.x", json!({"content": "x"})),
    ] {
        assert_eq!(answer.header("retry-after"), Some("600"));
        assert_eq!(answer.want(503)["error"]["message"], "Moving house");
    }
    for line in ["GET /version", "GET /health", "GET /capabilities", "GET /auth/password-requirements"] {
        w.anyone(line, Value::Null).want(200);
    }
    w.root("GET", "/health").want(200);
    // Whoever comes meanwhile is told, and goes.
    let mut late = w.server.gateway();
    late.send(&json!({"op": 2, "d": {"token": user.token}}));
    assert_eq!(late.json()["d"]["state"], "maintenance");
    assert_eq!(late.closed().0, 4016);
    // Without anything to be said of it.
    assert_eq!(set(w, json!({"enabled": true})).want(200)["message"], Value::Null);
    let answer = w.call(Some(&user.token), "GET /users/@me", Value::Null);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("60")));
    assert_eq!(set(w, json!({"enabled": false, "message": "x"})).want(200), off());
    assert_eq!(w.anyone("GET /status", Value::Null).want(200)["state"], "running");
    w.get(&user, "/users/@me");
    w.server.gateway().identify(&user.token);
}

fn admin_everybody_log_out(w: &World) {
    let (one, two) = (w.user(), w.user());
    let bot = w.bot(&one);
    let mut sockets = [w.server.gateway(), w.server.gateway()];
    let ready = sockets[0].identify(&one.token);
    let line = "POST /admin/security/logout-all";
    success(&w.call(Some(&session(w)), line, Value::Null).want(200));
    for user in [&one, &two] {
        w.call(Some(&user.token), "GET /users/@me", Value::Null).want(401);
    }
    // What is no session of a user goes on.
    w.get(&bot, "/users/@me");
    w.call(Some(&session(w)), "GET /admin/maintenance", Value::Null).want(200);
    let login = json!({"username": one.name, "password": PASSWORD});
    let again = text(&w.anyone("POST /auth/login", login).want(200)["token"]);
    let mut late = w.server.gateway();
    late.identify(&again);
    for socket in &mut sockets {
        let told = std::iter::repeat_with(|| socket.json()).find(|frame| frame["op"] == 12).unwrap();
        assert_eq!((&told["d"]["state"], &told["d"]["message"]), (&json!("shutting_down"), &json!("Security reset")));
        assert_eq!(socket.closed(), (4004, "Security reset".to_owned()));
    }
    let mut back = w.server.gateway();
    back.send(&json!({"op": 6, "d": {"token": one.token, "session_id": ready["session_id"], "seq": 1}}));
    assert_eq!(back.json(), json!({"op": 9, "d": false}));
    // Who came afterwards stays.
    w.call(Some(&again), "PATCH /users/@me", json!({"username": format!("{}_x", one.name)})).want(200);
    late.event("USER_UPDATE");
    shape(&w.call(Some(&again), "GET /users/@me", Value::Null).want(200), crate::world::USER);
}
