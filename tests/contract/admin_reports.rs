//! Reports, and what administrators make of them.

use crate::admin_login::session;
use crate::support::{Answer, Value, json};
use crate::world::{World, column, shape, text};

cases![
    admin_hash_report_list,
    admin_hash_report_counts,
    admin_hash_report_review,
    admin_message_report_list,
    admin_message_report_counts,
    admin_message_report_review,
    admin_user_report_list,
    admin_user_report_counts,
    admin_user_report_review,
];

const MESSAGE: &str = "id: id, message_id: id, channel_id: id, server_id: id?, reporter_id: id, \
    reported_user_id: id, reason: str, category: str, details: str?, message_content: str?, status: str, \
    reported_at: int, reviewed_at: int?, reviewed_by: id?, admin_notes: str?, action_taken: str?";
const USER: &str = "id: id, reported_user_id: id, reporter_id: id, reason: str, category: str, details: str?, \
    evidence_message_ids: list, status: str, reported_at: int, reviewed_at: int?, reviewed_by: id?, \
    admin_notes: str?, action_taken: str?";
const HASH: &str = "id: id, hash_value: str, phash_value: str?, reporter_id: id, reporter_username: str?, \
    reason: str, details: str?, status: str, reported_at: int, reviewed_at: int?, reviewed_by: id?, \
    admin_notes: str?, uploader_id: id?, message_id: id?, attachment_url: str?, block_uploader: bool";

fn call(w: &World, line: &str, body: Value) -> Answer {
    w.call(Some(&session(w)), line, body)
}

fn get(w: &World, path: &str) -> Value {
    call(w, &format!("GET /admin/{path}"), Value::Null).want(200)
}

/// Pages, states and what is none, of any of the lists.
fn listed(w: &World, kind: &str, reported: &str, fields: &str) {
    let all = get(w, &format!("{kind}-reports"));
    shape(&all[0], fields);
    assert_eq!(all[0]["id"], reported, "the latest is first");
    assert_eq!(get(w, &format!("{kind}-reports?limit=1&offset=1"))[0], all[1]);
    assert_eq!(get(w, &format!("{kind}-reports?status_filter=pending&limit=1"))[0]["id"], reported);
    assert_eq!(get(w, &format!("{kind}-reports?offset=1000000")), json!([]));
    for bad in ["limit=0", "limit=1001", "limit=x", "offset=-1", "status_filter=open"] {
        call(w, &format!("GET /admin/{kind}-reports?{bad}"), Value::Null).want(400);
    }
}

fn message_report(w: &World) -> (String, String, String) {
    let place = w.place();
    let (author, reporter) = (w.member(&place), w.member(&place));
    let message = w.message(&author, &place.channel, "you are a fool");
    let body = json!({"message_id": message, "channel_id": place.channel, "reason": "rude", "category": "harassment"});
    let made = w.ok(&reporter, "POST /reports/messages", body);
    // It stays as it was.
    w.ok(&author, &format!("PATCH /channels/{}/messages/{message}", place.channel), json!({"content": "hello"}));
    (text(&made["report_id"]), author.id.clone(), message)
}

fn admin_message_report_list(w: &World) {
    message_report(w);
    let (report, author, message) = message_report(w);
    listed(w, "message", &report, MESSAGE);
    let first = &get(w, "message-reports")[0];
    let told = ["reported_user_id", "message_id", "message_content", "status"].map(|key| text(&first[key]));
    assert_eq!(told, [author, message, "you are a fool".into(), "pending".into()]);
}

fn counts(w: &World, kind: &str, state: &str) -> [u64; 2] {
    let counts = get(w, &format!("{kind}-reports/counts"));
    [state, "total"].map(|key| counts[key].as_u64().unwrap())
}

fn admin_message_report_counts(w: &World) {
    let before = counts(w, "message", "pending");
    message_report(w);
    assert_eq!(counts(w, "message", "pending"), before.map(|count| count + 1));
    let keys = "pending: int, reviewed: int, actioned: int, dismissed: int, total: int";
    shape(&get(w, "message-reports/counts"), keys);
}

/// Each action, again and again; what is no report, and what is no action.
fn reviewed(w: &World, kind: &str, report: &str, actions: &[(&str, &str)], foreign: &str) {
    let line = format!("POST /admin/{kind}-reports/{report}/review");
    let [_, total] = counts(w, kind, "pending");
    for (action, state) in actions {
        let before = counts(w, kind, state)[0];
        let answer = call(w, &line, json!({"action": action, "notes": format!("seen: {action}")})).want(200);
        assert_eq!(answer, json!({"success": true, "action": action}));
        let found = get(w, &format!("{kind}-reports?status_filter={state}"));
        let one = found.as_array().unwrap().iter().find(|one| one["id"] == report).expect("in its state");
        assert_eq!(one["admin_notes"], format!("seen: {action}"));
        assert!(one["reviewed_at"].is_u64() && one["reviewed_by"].is_string());
        assert!(counts(w, kind, state)[0] >= before);
    }
    assert_eq!(counts(w, kind, "pending")[1], total, "none was lost, none came");
    for bad in [
        json!({"action": foreign}),
        json!({"notes": "x"}),
        json!({"action": actions[0].0, "notes": "n".repeat(2_001)}),
    ] {
        call(w, &line, bad).want(400);
    }
    let body = json!({"action": actions[0].0});
    call(w, &format!("POST /admin/{kind}-reports/999/review"), body.clone()).want(404);
    call(w, &format!("POST /admin/{kind}-reports/x/review"), body).want(400);
}

const ACTIONS: &[(&str, &str)] = &[("action", "actioned"), ("dismiss", "dismissed"), ("review", "reviewed")];

fn admin_message_report_review(w: &World) {
    let (report, ..) = message_report(w);
    reviewed(w, "message", &report, ACTIONS, "block");
}

fn user_report(w: &World) -> String {
    let (reporter, other) = (w.user(), w.user());
    let body = json!({"user_id": other.id, "reason": "insults", "category": "hate", "evidence_message_ids": ["7"]});
    text(&w.ok(&reporter, "POST /reports/users", body)["report_id"])
}

fn admin_user_report_list(w: &World) {
    user_report(w);
    let report = user_report(w);
    listed(w, "user", &report, USER);
    assert_eq!(get(w, "user-reports")[0]["evidence_message_ids"], json!(["7"]));
}

fn admin_user_report_counts(w: &World) {
    let before = counts(w, "user", "pending");
    user_report(w);
    assert_eq!(counts(w, "user", "pending"), before.map(|count| count + 1));
}

fn admin_user_report_review(w: &World) {
    reviewed(w, "user", &user_report(w), ACTIONS, "clear");
}

/// A hash that nobody has reported yet, by its number.
fn hash(number: u64) -> String {
    format!("{number:064x}")
}

fn hash_report(w: &World, number: u64, more: Value) -> String {
    let mut body = json!({"hash_value": hash(number), "reason": "bad picture"});
    body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    text(&w.ok(&w.user(), "POST /media/report", body)["report_id"])
}

fn is_blocked(w: &World, number: u64) -> bool {
    w.get(&w.user(), &format!("/media/hash/{}/status", hash(number)))["is_blocked"] == true
}

fn admin_hash_report_list(w: &World) {
    hash_report(w, 1, json!({}));
    let report = hash_report(w, 2, json!({"details": "seen in #general"}));
    listed(w, "hash", &report, HASH);
    call(w, "GET /admin/hash-reports?status_filter=actioned", Value::Null).want(400);
}

fn admin_hash_report_counts(w: &World) {
    let before = counts(w, "hash", "pending");
    hash_report(w, 3, json!({}));
    assert_eq!(counts(w, "hash", "pending"), before.map(|count| count + 1));
    shape(&get(w, "hash-reports/counts"), "pending: int, blocked: int, cleared: int, total: int");
}

fn admin_hash_report_review(w: &World) {
    let report = hash_report(w, 4, json!({}));
    let actions = [("block", "blocked"), ("clear", "cleared"), ("block", "blocked"), ("dismiss", "cleared")];
    reviewed(w, "hash", &report, &actions, "action");
    assert!(!is_blocked(w, 4), "the last one counts");
    let line = |report: &str| format!("POST /admin/hash-reports/{report}/review");
    call(w, &line(&report), json!({"action": "block"})).want(200);
    assert!(is_blocked(w, 4));
    // The uploader goes with it, if that was asked for.
    let uploader = w.user();
    let more = json!({"uploader_id": uploader.id, "block_uploader": true});
    call(w, &line(&hash_report(w, 5, more)), json!({"action": "block"})).want(200);
    let list = get(w, "blocked-users");
    assert!(column(&list, "user_id").contains(&json!(uploader.id)), "{list}");
    assert_eq!(list[0]["reason"], "bad picture");
    // Five who report one are enough, until an administrator has decided.
    let reports: Vec<String> = (0..5).map(|_| hash_report(w, 6, json!({}))).collect();
    assert!(is_blocked(w, 6));
    call(w, &line(&reports[0]), json!({"action": "clear"})).want(200);
    assert!(!is_blocked(w, 6));
    hash_report(w, 6, json!({}));
    assert!(!is_blocked(w, 6), "they are counted anew");
}
