//! Invites: making, using, revoking them.

use crate::support::{Value, json};
use crate::world::{World, column, shape, text};

cases![invite_create, invite_get, invite_use, invite_delete, invite_list];

fn invite_create(w: &World) {
    let place = w.place();
    let line = format!("POST /channels/{}/invites", place.channel);
    let member = w.member(&place);
    for body in [Value::Null, json!({})] {
        let invite = w.ok(&member, &line, body);
        shape(
            &invite,
            "code: str, channel_id: id, server_id: id?, max_age: int, max_uses: int, temporary: bool, uses: int, \
             created_at: int?",
        );
        assert_eq!((&invite["max_age"], &invite["max_uses"]), (&json!(86_400), &json!(0)));
        assert_eq!(text(&invite["code"]).len(), 12);
    }
    let invite = w.ok(&member, &line, json!({"max_age": 0, "max_uses": 3, "temporary": true}));
    assert_eq!((&invite["max_uses"], &invite["temporary"]), (&json!(3), &json!(true)));
    for bad in [json!({"max_age": -1}), json!({"max_uses": -1}), json!({"max_age": "1"}), json!({"temporary": 1})] {
        w.refused(&member, &line, bad, 400);
    }
    let role = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    w.ok(&place.owner, &role, json!({"permissions": {"channels.view": true}}));
    let refusal = w.refused(&member, &line, Value::Null, 403);
    assert_eq!(refusal["error"]["message"], "Missing required permission: invites.create");
}

fn invite_get(w: &World) {
    let place = w.place();
    let code = create(w, &place, json!({"max_uses": 2}));
    let invite = w.get(&w.user(), &format!("/channels/invites/{code}"));
    shape(
        &invite,
        "code: str, server_id: id?, server_name: str?, channel_id: id?, inviter_id: id?, uses: int, \
         max_uses: int, expires_at: int?",
    );
    assert_eq!((&invite["server_name"], &invite["uses"]), (&json!("Analytical Society"), &json!(0)));
    assert_eq!(invite["inviter_id"], *place.owner.id);
    w.refused(&place.owner, "GET /channels/invites/nosuchcode12", Value::Null, 404);
}

fn invite_use(w: &World) {
    let place = w.place();
    let code = create(w, &place, json!({"max_uses": 1}));
    let line = format!("POST /channels/invites/{code}");
    let user = w.user();
    assert_eq!(w.ok(&user, &line, Value::Null), json!({"success": true, "server_id": place.id}));
    w.refused(&w.user(), &line, Value::Null, 404);
    w.refused(&w.user(), "POST /channels/invites/nosuchcode12", Value::Null, 404);
    let open = create(w, &place, json!({}));
    w.refused(&user, &format!("POST /channels/invites/{open}"), Value::Null, 409);
}

fn invite_delete(w: &World) {
    let place = w.place();
    let (creator, member) = (w.member(&place), w.member(&place));
    let line = format!("POST /channels/{}/invites", place.channel);
    let code = text(&w.ok(&creator, &line, Value::Null)["code"]);
    let line = format!("DELETE /channels/invites/{code}");
    w.refused(&member, &line, Value::Null, 403);
    assert_eq!(w.ok(&creator, &line, Value::Null)["success"], true);
    w.refused(&creator, &line, Value::Null, 404);
    w.refused(&w.user(), &format!("POST /channels/invites/{code}"), Value::Null, 404);
    w.grant(&place, &member, &["invites.manage"]);
    let code = create(w, &place, json!({}));
    w.ok(&member, &format!("DELETE /channels/invites/{code}"), Value::Null);
}

fn invite_list(w: &World) {
    let place = w.place();
    let path = format!("/servers/{}/invites", place.id);
    let (first, second) = (create(w, &place, json!({})), create(w, &place, json!({"max_age": 0})));
    let list = w.get(&place.owner, &path);
    assert_eq!(column(&list, "code"), [json!(second), json!(first)], "newest first");
    shape(
        &list[0],
        "code: str, server_id: id, channel_id: id?, inviter_id: id?, uses: int, max_uses: int, max_age: int, \
         temporary: bool, created_at: int?, expires_at: int?",
    );
    assert_eq!(list[0]["expires_at"], Value::Null);
    w.refused(&w.member(&place), &format!("GET {path}"), Value::Null, 403);
}

fn create(w: &World, place: &crate::world::Place, body: Value) -> String {
    text(&w.ok(&place.owner, &format!("POST /channels/{}/invites", place.channel), body)["code"])
}
