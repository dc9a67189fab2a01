//! Feedback: what may be sent, and how often.

use crate::support::{User, Value, json};
use crate::world::{World, shape};

cases![feedback_send, feedback_status];

#[track_caller]
fn status(w: &World, user: &User) -> Value {
    let status = w.get(user, "/feedback/status");
    let fields = "enabled: bool, submissions_this_hour: int, submissions_today: int, max_per_hour: int, \
        max_per_day: int, can_submit: bool";
    shape(&status, fields);
    status
}

fn feedback_send(w: &World) {
    let user = w.user();
    let made = w.ok(
        &user,
        "POST /feedback",
        json!({"content": "0123456789", "category": "ui", "rating": 5}),
    );
    shape(&made, "id: id, message: str");
    for bad in [
        json!({}),
        json!({"content": "short"}),
        json!({"content": " ".repeat(20)}),
        json!({"content": "x".repeat(2_001)}),
        json!({"content": 5}),
        json!({"content": "long enough", "rating": 0}),
        json!({"content": "long enough", "rating": 6}),
        json!({"content": "long enough", "rating": 2.5}),
        json!({"content": "long enough", "rating": "5"}),
        json!({"content": "long enough", "category": "c".repeat(51)}),
    ] {
        w.refused(&user, "POST /feedback", bad, 400);
    }
    w.anyone("POST /feedback", json!({"content": "long enough"})).want(401);
    for _ in 1..5 {
        let body = json!({"content": "x".repeat(2_000), "category": null, "rating": null});
        w.ok(&user, "POST /feedback", body);
    }
    let refused = w.call(Some(&user.token), "POST /feedback", json!({"content": "long enough"}));
    let wait: u64 = refused.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((3_000..=3_600).contains(&wait), "{wait}");
    let body = refused.want(429);
    assert!(body["error"]["retry_after"].as_f64().is_some() && body["global"] == false, "{body}");
    w.ok(&w.user(), "POST /feedback", json!({"content": "long enough"}));
}

fn feedback_status(w: &World) {
    let user = w.user();
    let want = |count: u64| {
        json!({"enabled": true, "submissions_this_hour": count, "submissions_today": count,
            "max_per_hour": 5, "max_per_day": 20, "can_submit": count < 5})
    };
    for count in 0..5 {
        assert_eq!(status(w, &user), want(count));
        w.refused(&user, "POST /feedback", json!({"content": "short"}), 400);
        w.ok(&user, "POST /feedback", json!({"content": "long enough"}));
    }
    w.refused(&user, "POST /feedback", json!({"content": "long enough"}), 429);
    assert_eq!(status(w, &user), want(5));
    w.anyone("GET /feedback/status", Value::Null).want(401);
    let off = World::new(&["feedback.enabled=false"]);
    let user = off.user();
    off.refused(&user, "POST /feedback", json!({"content": "long enough"}), 503);
    let status = status(&off, &user);
    assert_eq!((&status["enabled"], &status["can_submit"]), (&json!(false), &json!(false)));
}
