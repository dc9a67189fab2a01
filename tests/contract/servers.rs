//! Servers: their life, the permissions in them, their audit log.

use crate::support::{Value, json};
use crate::world::{PUBLIC_USER, World, column, shape, success, text};

cases![
    server_list,
    server_create,
    server_get,
    server_edit,
    server_delete,
    server_permissions,
    server_audit_log,
    server_leave
, server_owner_set];

const SERVER: &str = "id: id, name: str, description: str?, icon_url: str?, owner_id: id, member_count: int, \
    default_channel_id: id?, verification_level: int, default_message_notifications: int, created_at: int";

fn server_list(w: &World) {
    let user = w.user();
    assert_eq!(w.get(&user, "/servers"), json!([]));
    let (one, two) = (w.place(), w.place());
    w.join(&one, &user);
    w.join(&two, &user);
    let list = w.get(&user, "/servers");
    let mut ids = column(&list, "id");
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, [json!(one.id), json!(two.id)]);
    shape(&list[0], SERVER);
    assert_eq!(list[0]["member_count"], 2);
}

fn server_create(w: &World) {
    let user = w.user();
    let body = json!({"name": "<b>Ada & Co</b>", "description": "'; DROP TABLE", "icon_url": "ignored"});
    let server = w.ok(&user, "POST /servers", body);
    shape(&server, SERVER);
    assert_eq!((&server["name"], &server["owner_id"]), (&json!("<b>Ada & Co</b>"), &json!(user.id)));
    assert_eq!((&server["icon_url"], &server["member_count"]), (&Value::Null, &json!(1)));
    let tidy = w.ok(&user, "POST /servers", json!({"name": "  Ada\u{1b}\u{202e}\n& Co ", "description": "\u{3164}"}));
    assert_eq!((&tidy["name"], &tidy["description"]), (&json!("Ada & Co"), &json!("")));
    for blank in ["   ", "\u{3164}\u{3164}", "\u{200b}\u{2060}\u{feff}", "\0\0"] {
        w.refused(&user, "POST /servers", json!({"name": blank}), 400);
        let line = format!("PATCH /servers/{}", text(&tidy["id"]));
        w.refused(&user, &line, json!({"name": blank}), 400);
    }
    let id = text(&server["id"]);
    let channels = w.get(&user, &format!("/servers/{id}/channels"));
    assert_eq!(column(&channels, "name"), [json!("general")]);
    let roles = w.get(&user, &format!("/servers/{id}/roles"));
    assert_eq!(column(&roles, "name"), [json!("@everyone")]);
    for bad in [
        json!({}),
        json!({"name": null}),
        json!({"name": "x"}),
        json!({"name": "x".repeat(101)}),
        json!({"name": 12}),
        json!({"name": "fine", "description": "x".repeat(1001)}),
    ] {
        w.refused(&user, "POST /servers", bad, 400);
    }
    w.ok(&user, "POST /servers", json!({"name": "é".repeat(100), "description": "é".repeat(1000)}));
}

fn server_get(w: &World) {
    let place = w.place();
    let server = w.get(&place.owner, &format!("/servers/{}", place.id));
    shape(&server, SERVER);
    assert_eq!(server["id"], *place.id);
}

fn server_edit(w: &World) {
    let place = w.place();
    let line = format!("PATCH /servers/{}", place.id);
    let before = w.get(&place.owner, &format!("/servers/{}", place.id));
    assert_eq!(w.ok(&place.owner, &line, json!({"name": null, "other": 1})), before);
    let after = w.ok(&place.owner, &line, json!({"name": "Renamed", "description": "new"}));
    assert_eq!((&after["name"], &after["description"]), (&json!("Renamed"), &json!("new")));
    let made = w.ok(
        &place.owner,
        &format!("POST /servers/{}/channels", place.id),
        json!({"name": "a voice", "type": "voice"}),
    );
    w.ok(&place.owner, &line, json!({"default_channel_id": place.channel}));
    for bad in [json!({"name": "x"}), json!({"default_channel_id": made["id"]}), json!({"default_channel_id": "999"})] {
        w.refused(&place.owner, &line, bad, 400);
    }
    let member = w.member(&place);
    let refusal = w.refused(&member, &line, json!({"name": "Mine"}), 403);
    assert_eq!(refusal["error"]["message"], "Missing required permission: server.manage");
    w.grant(&place, &member, &["server.manage"]);
    w.ok(&member, &line, json!({"name": "Ours"}));
}

fn server_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    w.grant(&place, &member, &["administrator"]);
    let line = format!("DELETE /servers/{}", place.id);
    w.refused(&member, &line, Value::Null, 403);
    success(&w.ok(&place.owner, &line, Value::Null));
    w.refused(&place.owner, &line, Value::Null, 404);
    w.refused(&member, &format!("GET /channels/{}", place.channel), Value::Null, 404);
    assert_eq!(w.get(&member, "/servers"), json!([]));
}

fn server_permissions(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let path = format!("/servers/{}/permissions", place.id);
    let all = w.get(&place.owner, &path);
    assert_eq!(all.as_object().expect("an object").len(), 37);
    let default = json!({
        "channels.view": true, "messages.send": true, "messages.read": true, "messages.embed_links": true,
        "messages.attach_files": true, "messages.add_reactions": true, "voice.connect": true,
        "voice.speak": true, "invites.create": true, "events.view": true
    });
    assert_eq!(w.get(&member, &path), default);
    let role = w.grant(&place, &member, &["members.kick", "no.such.name"]);
    assert_eq!(w.get(&member, &path)["members.kick"], true);
    let line = format!("PATCH /servers/{}/roles/{role}", place.id);
    w.ok(&place.owner, &line, json!({"permissions": {"administrator": true}}));
    assert_eq!(w.get(&member, &path), all, "an administrator has all, at once");
    w.ok(&place.owner, &line, json!({"permissions": {"messages.send": false}}));
    assert_eq!(w.get(&member, &path), default, "false never denies");
}

fn server_audit_log(w: &World) {
    let place = w.place();
    let path = format!("/servers/{}/audit-logs", place.id);
    w.ok(&place.owner, &format!("PATCH /servers/{}", place.id), json!({"name": "Renamed"}));
    let member = w.member(&place);
    let list = w.get(&place.owner, &path);
    for entry in list.as_array().expect("a list") {
        shape(
            entry,
            "id: id, server_id: id, user_id: id, user: object?, action: str, target_type: str?, \
             target_id: str?, target_name: str?, changes: object?, reason: str?, created_at: int?",
        );
        shape(&entry["user"], PUBLIC_USER);
    }
    let mut actions: Vec<String> = column(&list, "action").iter().map(text).collect();
    assert_eq!(actions.last().map(String::as_str), Some("server_create"), "newest first");
    actions.sort();
    assert_eq!(actions, ["invite_create", "invite_use", "member_join", "server_create", "server_update"]);
    let update = list.as_array().into_iter().flatten().find(|entry| entry["action"] == "server_update");
    let change = &update.expect("listed")["changes"]["name"];
    assert_eq!(*change, json!({"old": "Analytical Society", "new": "Renamed"}));
    assert_eq!(w.get(&place.owner, &format!("{path}?limit=2")).as_array().map(Vec::len), Some(2));
    for bad in ["0", "101", "x", "-1"] {
        w.refused(&place.owner, &format!("GET {path}?limit={bad}"), Value::Null, 400);
    }
    w.refused(&member, &format!("GET {path}"), Value::Null, 403);
    w.grant(&place, &member, &["server.view_audit_log"]);
    w.get(&member, &path);
}

fn server_leave(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let line = format!("POST /servers/{}/leave", place.id);
    success(&w.ok(&member, &line, Value::Null));
    w.refused(&member, &line, Value::Null, 403);
    w.refused(&member, &format!("GET /channels/{}", place.channel), Value::Null, 403);
    w.refused(&place.owner, &line, Value::Null, 403);
    assert_eq!(w.get(&place.owner, &format!("/servers/{}", place.id))["member_count"], 1);
    w.join(&place, &member);
}

fn server_owner_set(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let bot = w.bot(&place.owner);
    w.join(&place, &bot);
    let path = format!("PUT /servers/{}/owner", place.id);
    for (id, status) in [(&w.user().id, 404), (&bot.id, 400)] {
        w.refused(&place.owner, &path, json!({"user_id": id}), status);
    }
    w.refused(&member, &path, json!({"user_id": member.id}), 403);
    w.refused(&place.owner, &path, json!({}), 400);
    let mut socket = w.server.gateway();
    socket.identify(&member.token);
    let answer = w.ok(&place.owner, &path, json!({"user_id": member.id}));
    assert_eq!(answer["owner_id"], json!(member.id));
    assert_eq!(socket.event("GUILD_UPDATE")["owner_id"], json!(member.id));
    // Who was the owner is a member like others now, and may leave; whoever is it now may not.
    w.refused(&place.owner, &format!("PATCH /servers/{}", place.id), json!({"name": "Mine"}), 403);
    w.refused(&member, &format!("POST /servers/{}/leave", place.id), Value::Null, 403);
    let log = w.get(&member, &format!("/servers/{}/audit-logs?limit=1", place.id));
    assert_eq!(log[0]["changes"]["owner_id"], json!({"old": place.owner.id, "new": member.id}));
    w.ok(&place.owner, &format!("POST /servers/{}/leave", place.id), Value::Null);
    w.ok(&member, &format!("PATCH /servers/{}", place.id), json!({"name": "Mine"}));
}
