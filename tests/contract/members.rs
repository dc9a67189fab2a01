//! Members of a server, and the role order among them.

use crate::support::{Value, json};
use crate::world::{World, column, shape, success, text};

cases![member_list, member_search, member_kick, member_role_add, member_role_remove];

fn member_list(w: &World) {
    let place = w.place();
    let path = format!("/servers/{}/members", place.id);
    let others: Vec<_> = (0..3).map(|_| w.member(&place)).collect();
    let list = w.get(&others[0], &path);
    let mut ids: Vec<u64> = others.iter().map(|user| user.id.parse().expect("a number")).collect();
    ids.push(place.owner.id.parse().expect("a number"));
    ids.sort_unstable();
    let ids: Vec<Value> = ids.iter().map(|id| json!(id.to_string())).collect();
    assert_eq!(column(&list, "user_id"), ids, "by user id");
    for member in list.as_array().expect("a list") {
        shape(
            member,
            "member_id: id?, user_id: id, username: str, nickname: str?, avatar_url: str?, joined_at: int?, \
             roles: list, presence: object, badges: list, timeout_until: int?, timeout_reason: str?",
        );
        assert_eq!((&member["roles"], &member["presence"]["status"]), (&json!([place.everyone]), &json!("offline")));
    }
    let page = w.get(&place.owner, &format!("{path}?limit=2&after={}", text(&ids[0])));
    assert_eq!(column(&page, "user_id"), ids[1..3]);
    for bad in ["limit=0", "limit=1001", "limit=x", "after=x"] {
        w.refused(&place.owner, &format!("GET {path}?{bad}"), Value::Null, 400);
    }
}

fn member_search(w: &World) {
    let place = w.place();
    let others: Vec<_> = (0..3).map(|_| w.member(&place)).collect();
    let path = format!("/servers/{}/members/search", place.id);
    let line = format!("PATCH /servers/{}/members/{}", place.id, others[1].id);
    w.ok(&others[1], &line, json!({"nickname": "Ålesund"}));
    let found = |query: &str| column(&w.get(&others[0], &format!("{path}?{query}")), "user_id");
    // In the order in which they came; user names begin all with the same word.
    let all: Vec<Value> = [&place.owner].into_iter().chain(&others).map(|user| json!(user.id)).collect();
    assert_eq!(found("query=user_"), all);
    assert_eq!(found("query=user_&limit=2"), all[..2]);
    assert_eq!(found(&format!("query={}", others[2].name)), all[3..]);
    assert_eq!(found("query=%C3%A5LE"), all[2..3]);
    assert_eq!(found("query=nobody"), [Value::Null; 0]);
    for bad in ["", "query=", "query=%20", "query=a&limit=0", "query=a&limit=101", &format!("query={}", "x".repeat(65))] {
        w.refused(&others[0], &format!("GET {path}?{bad}"), Value::Null, 400);
    }
    w.refused(&w.user(), &format!("GET {path}?query=a"), Value::Null, 403);
}

fn member_kick(w: &World) {
    let place = w.place();
    let (moderator, target) = (w.member(&place), w.member(&place));
    let kick = |id: &str| format!("DELETE /servers/{}/members/{id}", place.id);
    let refusal = w.refused(&moderator, &kick(&target.id), Value::Null, 403);
    assert_eq!(refusal["error"]["message"], "Missing required permission: members.kick");
    w.grant(&place, &moderator, &["members.kick"]);
    for id in [&place.owner.id, &moderator.id] {
        w.refused(&moderator, &kick(id), Value::Null, 403);
    }
    w.refused(&moderator, &kick(&w.user().id), Value::Null, 404);
    success(&w.ok(&moderator, &kick(&target.id), Value::Null));
    w.refused(&moderator, &kick(&target.id), Value::Null, 404);
    w.refused(&target, &format!("GET /servers/{}", place.id), Value::Null, 403);
    // Who stands higher is safe.
    let high = w.member(&place);
    w.grant(&place, &high, &[]);
    w.refused(&moderator, &kick(&high.id), Value::Null, 403);
    w.ok(&place.owner, &kick(&high.id), Value::Null);
}

fn member_role_add(w: &World) {
    let place = w.place();
    let (manager, target) = (w.member(&place), w.member(&place));
    let low = w.ok(&place.owner, &format!("POST /servers/{}/roles", place.id), json!({"name": "low"}));
    let low = text(&low["id"]);
    let own = w.grant(&place, &manager, &["members.manage_roles"]);
    let give = |user: &str, role: &str| format!("PUT /servers/{}/members/{user}/roles/{role}", place.id);
    for _ in 0..2 {
        success(&w.ok(&manager, &give(&target.id, &low), Value::Null));
    }
    let list = w.get(&target, &format!("/servers/{}/members", place.id));
    let member = list.as_array().into_iter().flatten().find(|member| member["user_id"] == *target.id);
    let roles = member.expect("listed")["roles"].as_array().expect("a list").clone();
    assert!(roles.contains(&json!(low)) && roles.contains(&json!(place.everyone)) && roles.len() == 2);
    w.refused(&manager, &give(&target.id, &own), Value::Null, 403);
    w.refused(&target, &give(&target.id, &low), Value::Null, 403);
    w.refused(&place.owner, &give(&target.id, &place.everyone), Value::Null, 403);
    w.refused(&place.owner, &give(&target.id, "999"), Value::Null, 404);
    w.refused(&place.owner, &give(&w.user().id, &low), Value::Null, 404);
}

fn member_role_remove(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let role = w.grant(&place, &member, &["messages.manage"]);
    let line = format!("DELETE /servers/{}/members/{}/roles/{role}", place.id, member.id);
    w.refused(&member, &line, Value::Null, 403);
    for _ in 0..2 {
        success(&w.ok(&place.owner, &line, Value::Null));
    }
    let permissions = w.get(&member, &format!("/servers/{}/permissions", place.id));
    assert_eq!(permissions.get("messages.manage"), None);
    let unknown = format!("DELETE /servers/{}/members/{}/roles/999", place.id, member.id);
    w.refused(&place.owner, &unknown, Value::Null, 404);
    let stranger = format!("DELETE /servers/{}/members/{}/roles/{role}", place.id, w.user().id);
    w.refused(&place.owner, &stranger, Value::Null, 404);
}
