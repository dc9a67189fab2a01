//! What administrators have done, read back.

use crate::support::admin::{credentials, log_in};
use crate::support::{Value, json};
use crate::world::{World, column, shape, text};

cases![admin_audit_list, admin_audit_export];

const ENTRY: &str = "id: id, admin_id: id, admin_username: str, action: str, target: str?, before: str?, \
    after: str?, ip_address: str, created_at: int";

fn admin_audit_list(w: &World) {
    let (token, _) = log_in(&mut w.server.http(), w.server.folder());
    let list = |query: &str| w.call(Some(&token), &format!("GET /admin/audit-log{query}"), Value::Null);
    let (_, password) = credentials(w.server.folder());
    let body = json!({"current_password": password});
    w.call(Some(&token), "POST /admin/auth/2fa/regenerate-backup-codes", body).want(200);
    let all = list("").want(200);
    assert_eq!(column(&all, "action"), [json!("admin_codes_renew"), json!("admin_sign_in")]);
    shape(&all[0], ENTRY);
    assert_eq!((&all[0]["admin_username"], &all[0]["ip_address"]), (&json!("admin"), &json!("127.0.0.1")));
    assert_eq!(list("?limit=1&offset=1").want(200), json!([all[1]]));
    assert_eq!(list("?offset=99999999").want(200), json!([]));
    for bad in ["?limit=0", "?limit=1001", "?limit=x", "?offset=-1", "?offset=x"] {
        list(bad).want(400);
    }
}

fn admin_audit_export(w: &World) {
    let command = crate::support::command(w.server.folder()).args(["admin", "reset-password"]).output();
    assert!(command.unwrap().status.success());
    let (token, _) = log_in(&mut w.server.http(), w.server.folder());
    let authorization = format!("Bearer {token}");
    let answer = w.headed("GET", "/admin/audit-log/export", &[("Authorization", &authorization)], b"");
    assert!(text(&json!(answer.header("content-type"))).starts_with("text/csv"));
    let body = String::from_utf8(answer.body.clone()).unwrap();
    let mut lines = body.lines();
    assert_eq!(lines.next(), Some("time,administrator,action,target,before,after,address"));
    assert!(lines.all(|line| line.contains("\"admin\"")) && body.contains("\"admin_sign_in\""), "{body}");
}
