//! What users have written, and what becomes of it.

use crate::admin_login::session;
use crate::support::{Answer, Value, json};
use crate::world::{World, column, shape, success, text};

cases![
    admin_ticket_list,
    admin_ticket_get,
    admin_ticket_status_set,
    admin_ticket_note_list,
    admin_ticket_note_add,
];

const TICKET: &str = "id: id, user_id: id, username: str, content: str, category: str?, rating: int?, status: str, \
    created_at: int, resolved_at: int?, resolved_by: id?";
const NOTE: &str = "id: id, ticket_id: id, admin_id: id, admin_username: str, content: str, created_at: int";

fn call(w: &World, line: &str, body: Value) -> Answer {
    let (method, rest) = line.split_once(' ').expect("method and path");
    w.call(Some(&session(w)), &format!("{method} /admin/tickets{rest}"), body)
}

fn ticket(w: &World) -> String {
    let body = json!({"content": "The search box is too small", "category": "ui", "rating": 3});
    text(&w.ok(&w.user(), "POST /feedback", body)["id"])
}

fn admin_ticket_list(w: &World) {
    let (one, two) = (ticket(w), ticket(w));
    let list = call(w, "GET ?limit=2", Value::Null).want(200);
    shape(&list[0], TICKET);
    assert_eq!(column(&list, "id"), [json!(two), json!(one)]);
    success(&call(w, &format!("PATCH /{two}/status"), json!({"status": "closed"})).want(200));
    assert_eq!(call(w, "GET ?status_filter=closed", Value::Null).want(200)[0]["id"], two);
    assert!(!column(&call(w, "GET ?status_filter=open", Value::Null).want(200), "id").contains(&json!(two)));
    for bad in ["status_filter=done", "limit=0", "limit=1001", "offset=x"] {
        call(w, &format!("GET ?{bad}"), Value::Null).want(400);
    }
}

fn admin_ticket_get(w: &World) {
    let ticket = ticket(w);
    let got = call(w, &format!("GET /{ticket}"), Value::Null).want(200);
    shape(&got, TICKET);
    assert_eq!((&got["status"], &got["rating"], &got["resolved_by"]), (&json!("open"), &json!(3), &Value::Null));
    call(w, "GET /999", Value::Null).want(404);
    call(w, "GET /first", Value::Null).want(400);
}

fn admin_ticket_status_set(w: &World) {
    let ticket = ticket(w);
    let set = |status: &str| {
        success(&call(w, &format!("PATCH /{ticket}/status"), json!({"status": status})).want(200));
        let got = call(w, &format!("GET /{ticket}"), Value::Null).want(200);
        assert_eq!(got["status"], status);
        (got["resolved_at"].clone(), got["resolved_by"].clone())
    };
    assert_eq!(set("in_progress"), (Value::Null, Value::Null));
    let resolved = set("resolved");
    assert!(resolved.0.is_u64() && resolved.1.is_string());
    assert_eq!(set("closed"), resolved);
    assert_eq!(set("open"), (Value::Null, Value::Null));
    for bad in [json!({"status": "done"}), json!({}), json!({"status": 1})] {
        call(w, &format!("PATCH /{ticket}/status"), bad).want(400);
    }
    call(w, "PATCH /999/status", json!({"status": "open"})).want(404);
}

fn admin_ticket_note_list(w: &World) {
    let ticket = ticket(w);
    assert_eq!(call(w, &format!("GET /{ticket}/notes"), Value::Null).want(200), json!([]));
    for content in ["one", "two"] {
        call(w, &format!("POST /{ticket}/notes"), json!({"content": content})).want(200);
    }
    let list = call(w, &format!("GET /{ticket}/notes"), Value::Null).want(200);
    assert_eq!(column(&list, "content"), [json!("one"), json!("two")]);
    call(w, "GET /999/notes", Value::Null).want(404);
    call(w, "GET /x/notes", Value::Null).want(400);
}

fn admin_ticket_note_add(w: &World) {
    let ticket = ticket(w);
    let note = call(w, &format!("POST /{ticket}/notes"), json!({"content": "thanked him"})).want(200);
    shape(&note, NOTE);
    assert_eq!((&note["ticket_id"], &note["admin_username"]), (&json!(ticket), &json!("admin")));
    for bad in [json!({}), json!({"content": ""}), json!({"content": "  "}), json!({"content": "c".repeat(2_001)})] {
        call(w, &format!("POST /{ticket}/notes"), bad).want(400);
    }
    call(w, "POST /999/notes", json!({"content": "x"})).want(404);
}
