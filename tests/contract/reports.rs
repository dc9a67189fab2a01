//! Reports: who may report what. What becomes of them is read by administrators.

use crate::support::{User, Value, json};
use crate::world::{World, shape, text};

cases![message_report, user_report];

#[track_caller]
fn reported(w: &World, user: &User, what: &str, body: Value) -> String {
    let made = w.ok(user, &format!("POST /reports/{what}"), body);
    shape(&made, "success: bool, report_id: id, message: str");
    assert_eq!(made["success"], true);
    text(&made["report_id"])
}

fn message_report(w: &World) {
    let place = w.place();
    let (author, reporter, outsider) = (w.member(&place), w.member(&place), w.user());
    let message = w.message(&author, &place.channel, "buy now");
    let body = json!({"message_id": message, "channel_id": place.channel, "reason": "spam"});
    let first = reported(w, &reporter, "messages", body.clone());
    assert_ne!(reported(w, &reporter, "messages", body.clone()), first, "as often as he likes");
    let mut full = body.clone();
    full["category"] = json!("a category of my own");
    full["details"] = json!("d".repeat(2_000));
    full["server_id"] = json!(place.id);
    reported(w, &reporter, "messages", full);
    w.anyone("POST /reports/messages", body.clone()).want(401);
    w.refused(&outsider, "POST /reports/messages", body.clone(), 403);
    for (field, bad, status) in [
        ("message_id", json!("999"), 404),
        ("channel_id", json!("999"), 404),
        ("message_id", json!("x"), 400),
        ("channel_id", Value::Null, 400),
        ("reason", json!(""), 400),
        ("reason", json!(" \u{200b}"), 400),
        ("reason", json!("r".repeat(501)), 400),
        ("reason", Value::Null, 400),
        ("category", json!(5), 400),
        ("details", json!("d".repeat(2_001)), 400),
        ("server_id", json!("here"), 400),
    ] {
        let mut body = body.clone();
        body[field] = bad;
        w.refused(&reporter, "POST /reports/messages", body, status);
    }
    w.ok(&author, &format!("DELETE /channels/{}/messages/{message}", place.channel), Value::Null);
    w.refused(&reporter, "POST /reports/messages", body, 404);
    let dm = w.dm(&author, &reporter);
    let message = w.message(&author, &dm, "psst");
    let body = json!({"message_id": message.parse::<u64>().unwrap(), "channel_id": dm, "reason": "rude", "server_id": null});
    reported(w, &reporter, "messages", body.clone());
    w.refused(&outsider, "POST /reports/messages", body, 403);
}

fn user_report(w: &World) {
    let (reporter, target) = (w.user(), w.user());
    let body = json!({"user_id": target.id, "reason": "rude"});
    let first = reported(w, &reporter, "users", body.clone());
    assert_ne!(reported(w, &reporter, "users", body.clone()), first);
    let mut full = body.clone();
    full["category"] = json!("harassment");
    full["details"] = json!("several times");
    full["evidence_message_ids"] = json!(["1", 2, "18446744073709551615"]);
    reported(w, &reporter, "users", full);
    w.anyone("POST /reports/users", body.clone()).want(401);
    w.refused(&target, "POST /reports/users", body.clone(), 400);
    for (field, bad, status) in [
        ("user_id", json!("999"), 404),
        ("user_id", json!("me"), 400),
        ("user_id", Value::Null, 400),
        ("reason", json!(""), 400),
        ("evidence_message_ids", json!("1"), 400),
        ("evidence_message_ids", json!(["x"]), 400),
        ("evidence_message_ids", json!([null]), 400),
        ("evidence_message_ids", json!(vec!["1"; 101]), 400),
    ] {
        let mut body = body.clone();
        body[field] = bad;
        w.refused(&reporter, "POST /reports/users", body, status);
    }
    let off = World::new(&["reports.enabled=false"]);
    let (one, other) = (off.user(), off.user());
    off.refused(&one, "POST /reports/users", json!({"user_id": other.id, "reason": "x"}), 503);
    off.refused(&one, "POST /reports/messages", json!({"message_id": "1", "channel_id": "2", "reason": "x"}), 503);
}
