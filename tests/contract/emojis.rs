//! Emojis of servers: making, renaming, deleting them, and what is said with them.

use crate::gateway::ready;
use crate::pictures::{animated, encoded};
use crate::support::{Answer, User, Value, json};
use crate::world::{Place, World, column, shape, success, text};
use image::ImageFormat::{Jpeg, Png, WebP};

cases![
    emoji_list,
    emoji_counts_get,
    emoji_get,
    emoji_create,
    emoji_edit,
    emoji_delete,
    emoji_picture_get,
];

const EMOJI: &str = "id: id, server_id: id, name: str, animated: bool, url: str, available: bool, created_by: id?, \
    uploader_username: str?, created_at: int";
const KIB: usize = 1024;

/// A form of these fields, with a file in the field `image` if there is one.
pub fn form(w: &World, user: Option<&User>, path: &str, fields: &[(&str, &str)], file: Option<&[u8]>) -> Answer {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    if let Some(file) = file {
        body.extend_from_slice(
            b"--xyz\r\nContent-Disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\
            Content-Type: image/png\r\n\r\n",
        );
        body.extend_from_slice(file);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xyz--\r\n");
    w.form(user, path, "multipart/form-data; boundary=xyz", &body)
}

fn path(place: &Place) -> String {
    format!("/servers/{}/emojis", place.id)
}

fn upload(w: &World, user: &User, place: &Place, name: &str, file: &[u8]) -> Answer {
    form(w, Some(user), &path(place), &[("name", name)], Some(file))
}

fn create(w: &World, place: &Place, name: &str) -> Value {
    upload(w, &place.owner, place, name, &encoded(64, 64, Png)).want(200)
}

/// What every route below a server answers those who are not in it.
fn outside(w: &World, place: &Place, line: &str, body: &Value) {
    let (method, path) = line.split_once(' ').unwrap();
    w.refused(&w.user(), &format!("{method} /servers/{}{path}", place.id), body.clone(), 403);
    w.refused(&place.owner, &format!("{method} /servers/999{path}"), body.clone(), 404);
    w.refused(&place.owner, &format!("{method} /servers/x{path}"), body.clone(), 400);
}

fn emoji_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    assert_eq!(w.get(&member, &path(&place)), json!([]));
    let made = [create(w, &place, "one"), create(w, &place, "two")];
    assert_eq!(w.get(&member, &path(&place)), json!(made));
    outside(w, &place, "GET /emojis", &Value::Null);
}

fn emoji_counts_get(w: &World) {
    let place = w.place();
    let line = format!("{}/counts", path(&place));
    let counts = |still: u64, moving: u64| json!({"static": still, "animated": moving, "max_static": 50, "max_animated": 50});
    assert_eq!(w.get(&place.owner, &line), counts(0, 0));
    create(w, &place, "still");
    upload(w, &place.owner, &place, "moving", &animated()).want(200);
    assert_eq!(w.get(&w.member(&place), &line), counts(1, 1));
    outside(w, &place, "GET /emojis/counts", &Value::Null);
}

fn emoji_get(w: &World) {
    let (place, other) = (w.place(), w.place());
    let made = create(w, &place, "wave");
    let id = text(&made["id"]);
    assert_eq!(w.get(&w.member(&place), &format!("{}/{id}", path(&place))), made);
    w.refused(&other.owner, &format!("GET {}/{id}", path(&other)), Value::Null, 404);
    w.refused(&place.owner, &format!("GET {}/999", path(&place)), Value::Null, 404);
    w.refused(&place.owner, &format!("GET {}/abc", path(&place)), Value::Null, 400);
    outside(w, &place, &format!("GET /emojis/{id}"), &Value::Null);
}

fn emoji_create(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let (mut socket, _) = ready(w, &member.token);
    let mut deaf = w.server.gateway();
    deaf.identify_with(json!({"token": member.token, "intents": 65_535 & !8}));
    for (name, file, is_animated) in [
        ("png", encoded(64, 64, Png), false),
        ("jpeg_2", encoded(400, 200, Jpeg), false),
        ("w8", encoded(100, 60, WebP), false),
        ("moving", animated(), true),
    ] {
        let made = upload(w, &place.owner, &place, name, &file).want(200);
        shape(&made, EMOJI);
        assert_eq!((&made["name"], &made["animated"]), (&json!(name), &json!(is_animated)));
        assert_eq!((&made["server_id"], &made["created_by"]), (&json!(place.id), &json!(place.owner.id)));
        assert_eq!((&made["available"], &made["uploader_username"]), (&json!(true), &json!(place.owner.name)));
        assert_eq!(made["url"], format!("/api/v1/media/emojis/{}", text(&made["id"])));
        let event = socket.event("GUILD_EMOJIS_UPDATE");
        assert_eq!((&event["guild_id"], &event["server_id"]), (&json!(place.id), &json!(place.id)));
        assert_eq!(event["emojis"], w.get(&member, &path(&place)));
        shape(&event["emojis"][0], EMOJI);
    }
    let png = encoded(64, 64, Png);
    for (user, place_path, name, status) in [
        (&place.owner, path(&place), "png", 409),
        (&place.owner, path(&place), "x", 400),
        (&place.owner, path(&place), "Upper", 400),
        (&place.owner, path(&place), "bad name!", 400),
        (&place.owner, path(&place), "", 400),
        (&place.owner, path(&place), &"n".repeat(33), 400),
        (&member, path(&place), "member", 403),
        (&w.user(), path(&place), "stranger", 403),
        (&place.owner, "/servers/999/emojis".into(), "nowhere", 404),
        (&place.owner, "/servers/x/emojis".into(), "nowhere", 400),
    ] {
        form(w, Some(user), &place_path, &[("name", name)], Some(&png)).want(status);
    }
    form(w, None, &path(&place), &[("name", "nobody")], Some(&png)).want(401);
    let refused = |fields: &[(&str, &str)], file: Option<&[u8]>, status: u16| {
        form(w, Some(&place.owner), &path(&place), fields, file).want(status)
    };
    refused(&[("name", "no_image")], None, 400);
    refused(&[], Some(&png), 400);
    refused(&[("name", "text")], Some(b"zz"), 400);
    refused(&[("name", "empty")], Some(b""), 400);
    refused(&[("name", "half")], Some(&png[..png.len() / 2]), 400);
    refused(&[("name", "large")], Some(&vec![0; 256 * KIB + 1]), 413);
    let urlencoded = "application/x-www-form-urlencoded";
    w.form(Some(&place.owner), &path(&place), urlencoded, b"name=noimg").want(400);
    for permission in ["emojis.manage", "server.manage"] {
        let member = w.member(&place);
        w.grant(&place, &member, &[permission]);
        upload(w, &member, &place, &permission.replace('.', "_"), &png).want(200);
    }
    let audit = w.get(&place.owner, &format!("/servers/{}/audit-logs", place.id));
    let entry = &audit[0];
    assert_eq!((&entry["action"], &entry["target_type"]), (&json!("emoji_create"), &json!("emoji")));
    assert_eq!(entry["target_name"], "server_manage");
    let events = deaf.events_until_now();
    assert!(events.iter().all(|event| event["t"] != "GUILD_EMOJIS_UPDATE"), "{events:?}");
}

fn emoji_edit(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let made = create(w, &place, "party");
    create(w, &place, "taken");
    let line = format!("PATCH {}/{}", path(&place), text(&made["id"]));
    let body = json!({"name": "party_time"});
    w.refused(&member, &line, body.clone(), 403);
    let (mut socket, _) = ready(w, &member.token);
    let edited = w.ok(&place.owner, &line, body.clone());
    shape(&edited, EMOJI);
    assert_eq!(edited["name"], "party_time");
    let event = socket.event("GUILD_EMOJIS_UPDATE");
    assert_eq!(column(&event["emojis"], "name"), ["party_time", "taken"]);
    assert_eq!(w.ok(&place.owner, &line, body.clone()), edited);
    w.refused(&place.owner, &line, json!({"name": "taken"}), 409);
    for bad in [json!({}), json!({"name": "X"}), json!({"name": "a"}), json!({"name": 5}), json!({"name": "n".repeat(33)})] {
        w.refused(&place.owner, &line, bad, 400);
    }
    w.refused(&place.owner, &format!("PATCH {}/999", path(&place)), body.clone(), 404);
    w.grant(&place, &member, &["emojis.manage"]);
    w.ok(&member, &line, json!({"name": "other"}));
    outside(w, &place, &format!("PATCH /emojis/{}", text(&made["id"])), &body);
}

fn emoji_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let made = create(w, &place, "wave");
    let id = text(&made["id"]);
    let line = format!("DELETE {}/{id}", path(&place));
    let message = w.message(&member, &place.channel, &format!("hello <:wave:{id}>"));
    let reactions = format!("/channels/{}/messages/{message}/reactions", place.channel);
    success(&w.ok(&member, &format!("PUT {reactions}/%3C:wave:{id}%3E"), Value::Null));
    w.refused(&member, &line, Value::Null, 403);
    let (mut socket, _) = ready(w, &member.token);
    success(&w.ok(&place.owner, &line, Value::Null));
    assert_eq!(socket.event("GUILD_EMOJIS_UPDATE")["emojis"], json!([]));
    w.refused(&place.owner, &line, Value::Null, 404);
    assert_eq!(w.get(&member, &path(&place)), json!([]));
    // What was said with it can still be read and seen.
    let said = w.get(&member, &format!("/channels/{}/messages/{message}", place.channel));
    assert_eq!(said["content"], format!("hello <:wave:{id}>"));
    let reaction = &said["reactions"][0];
    assert_eq!((&reaction["custom_emoji_id"], &reaction["count"]), (&json!(id), &json!(1)));
    assert_eq!(reaction["url"], made["url"]);
    assert_eq!(w.anyone(&format!("GET /media/emojis/{id}"), Value::Null).status, 200);
    success(&w.ok(&member, &format!("DELETE {reactions}/{id}"), Value::Null));
    w.refused(&member, &format!("PUT {reactions}/{id}"), Value::Null, 400);
    // Its name is free again.
    create(w, &place, "wave");
    outside(w, &place, &format!("DELETE /emojis/{id}"), &Value::Null);
    let audit = w.get(&place.owner, &format!("/servers/{}/audit-logs", place.id));
    let actions = column(&audit, "action");
    assert_eq!(actions[..2], [json!("emoji_create"), json!("emoji_delete")], "{audit}");
}

fn emoji_picture_get(w: &World) {
    let place = w.place();
    for (name, file, content_type, size) in [
        ("small", encoded(20, 30, Png), "image/png", (20, 30)),
        ("large", encoded(400, 200, Jpeg), "image/jpeg", (128, 64)),
        ("moving", animated(), "image/gif", (128, 64)),
    ] {
        let made = upload(w, &place.owner, &place, name, &file).want(200);
        let line = format!("GET /media/emojis/{}", text(&made["id"]));
        let shown = w.anyone(&line, Value::Null);
        assert_eq!((shown.status, shown.header("content-type")), (200, Some(content_type)));
        assert_eq!(shown.header("cache-control"), Some("public, max-age=86400"));
        assert_eq!(shown.header("access-control-allow-origin"), Some("*"));
        let decoded = image::load_from_memory(&shown.body).unwrap();
        assert_eq!((decoded.width(), decoded.height()), size);
        let etag = shown.header("etag").unwrap();
        let url = text(&made["url"]);
        let known = w.server.http().request("GET", &url, &[("If-None-Match", etag)], None);
        assert_eq!((known.status, known.body.len()), (304, 0));
    }
    w.anyone("GET /media/emojis/999", Value::Null).want(404);
    w.anyone("GET /media/emojis/abc", Value::Null).want(400);
    // It goes with its server.
    let gone = w.place();
    let id = text(&create(w, &gone, "gone")["id"]);
    w.ok(&gone.owner, &format!("DELETE /servers/{}", gone.id), Value::Null);
    w.anyone(&format!("GET /media/emojis/{id}"), Value::Null).want(404);
}

#[test]
fn slots_are_limited_by_kind() {
    let w = World::new(&["emojis.max_static=2", "emojis.max_animated=1", "emojis.allow_jpeg=false"]);
    let place = w.place();
    let still = |name: &str| upload(&w, &place.owner, &place, name, &encoded(20, 20, Png));
    let moving = |name: &str| upload(&w, &place.owner, &place, name, &animated());
    let made = still("one").want(200);
    still("two").want(200);
    let refused = still("three").want(400);
    assert!(refused.to_string().contains("at most 2 static emojis"), "{refused}");
    moving("moving").want(200);
    let refused = moving("moving_2").want(400);
    assert!(refused.to_string().contains("at most 1 animated emojis"), "{refused}");
    w.ok(&place.owner, &format!("DELETE {}/{}", path(&place), text(&made["id"])), Value::Null);
    let refused = upload(&w, &place.owner, &place, "jpeg", &encoded(20, 20, Jpeg)).want(400);
    assert!(refused.to_string().contains("a JPEG is not taken"), "{refused}");
    still("three").want(200);
    let counts = w.get(&place.owner, &format!("{}/counts", path(&place)));
    assert_eq!(counts, json!({"static": 2, "animated": 1, "max_static": 2, "max_animated": 1}));
}

#[test]
fn those_of_other_servers_need_permission() {
    let w = World::new(&[]);
    let (place, other) = (w.place(), w.place());
    let member = w.member(&place);
    let id = text(&create(&w, &other, "wave")["id"]);
    let said = w.message(&member, &place.channel, &format!("<a:wave:{id}>!"));
    let read = |message: &str| {
        text(&w.get(&member, &format!("/channels/{}/messages/{message}", place.channel))["content"])
    };
    assert_eq!(read(&said), ":wave:!");
    let line = format!("PUT /channels/{}/messages/{said}/reactions/wave:{id}", place.channel);
    let refused = w.refused(&member, &line, Value::Null, 403);
    assert!(refused.to_string().contains("messages.use_external_emojis"), "{refused}");
    w.grant(&place, &member, &["messages.use_external_emojis"]);
    success(&w.ok(&member, &line, Value::Null));
    let said = w.message(&member, &place.channel, &format!("<:wave:{id}>"));
    assert_eq!(read(&said), format!("<:wave:{id}>"));
    let (mut socket, _) = ready(&w, &member.token);
    let line = format!("PUT /channels/{}/messages/{said}/reactions/{id}", place.channel);
    w.ok(&place.owner, &line, Value::Null);
    assert_eq!(socket.event("MESSAGE_REACTION_ADD")["emoji"], format!("custom:{id}"));
}
