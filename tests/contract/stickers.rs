//! Stickers of servers: making and deleting them, uses, suggestions.

use crate::emojis::form;
use crate::gateway::ready;
use crate::pictures::{animated, encoded};
use crate::support::{Answer, User, Value, json};
use crate::world::{Place, World, column, shape, success, text};
use image::ImageFormat::{Png, WebP};

cases![sticker_list, sticker_create, sticker_delete, sticker_send, sticker_suggest, sticker_picture_get];

const STICKER: &str = "id: id, pack_id: id?, name: str, format: str, tags: list, related_emoji: str?, url: str, \
    width: int?, height: int?, available: bool";
const PACK: &str = "id: id?, name: str, description: str?, pack_type: str, server_id: id?, sticker_count: int, \
    stickers: list";
const KIB: usize = 1024;
const FORM: &str = "application/x-www-form-urlencoded";

fn path(place: &Place) -> String {
    format!("/servers/{}/stickers", place.id)
}

fn upload(w: &World, user: &User, place: &Place, fields: &[(&str, &str)], file: &[u8]) -> Answer {
    form(w, Some(user), &path(place), fields, Some(file))
}

fn create(w: &World, place: &Place, name: &str, tags: &str) -> Value {
    upload(w, &place.owner, place, &[("name", name), ("tags", tags)], &encoded(64, 64, Png)).want(200)
}

fn sticker_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    assert_eq!(w.get(&member, &path(&place)), json!([]));
    let made = [create(w, &place, "wave", "hello, hi"), create(w, &place, "bow", "")];
    let packs = w.get(&member, &path(&place));
    assert_eq!(packs.as_array().map(Vec::len), Some(1));
    shape(&packs[0], PACK);
    assert_eq!((&packs[0]["name"], &packs[0]["pack_type"]), (&json!("Server Stickers"), &json!("server")));
    assert_eq!((&packs[0]["sticker_count"], &packs[0]["stickers"]), (&json!(2), &json!(made)));
    assert_eq!((&packs[0]["id"], &packs[0]["server_id"]), (&made[0]["pack_id"], &json!(place.id)));
    w.refused(&w.user(), &format!("GET {}", path(&place)), Value::Null, 403);
    w.refused(&member, "GET /servers/999/stickers", Value::Null, 404);
    w.refused(&member, "GET /servers/x/stickers", Value::Null, 400);
}

fn sticker_create(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let (mut socket, _) = ready(w, &member.token);
    for (file, format, size) in [
        (encoded(64, 40, Png), "png", (64, 40)),
        (encoded(640, 320, WebP), "webp", (320, 160)),
        (animated(), "gif", (320, 160)),
    ] {
        let made = upload(w, &place.owner, &place, &[("name", "Wave"), ("tags", "hello, hi,,hello")], &file).want(200);
        shape(&made, STICKER);
        assert_eq!((&made["format"], &made["name"]), (&json!(format), &json!("Wave")));
        assert_eq!((&made["width"], &made["height"]), (&json!(size.0), &json!(size.1)));
        assert_eq!(made["tags"], json!(["hello", "hi"]));
        let event = socket.event("GUILD_STICKERS_UPDATE");
        assert_eq!((&event["guild_id"], &event["sticker_packs"]), (&json!(place.id), &w.get(&member, &path(&place))));
    }
    let png = encoded(64, 64, Png);
    for fields in [
        &[("name", "w")][..],
        &[("name", "")],
        &[],
        &[("name", "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn")],
        &[("name", "wave"), ("tags", "a,b,c,d,e,f,g,h,i,j,k")],
        &[("name", "wave"), ("tags", "ttttttttttttttttttttttttttttttt")],
    ] {
        upload(w, &place.owner, &place, fields, &png).want(400);
    }
    let name = [("name", "wave")];
    form(w, Some(&place.owner), &path(&place), &name, None).want(400);
    upload(w, &place.owner, &place, &name, b"zz").want(400);
    upload(w, &place.owner, &place, &name, &vec![0; 512 * KIB + 1]).want(413);
    upload(w, &member, &place, &name, &png).want(403);
    upload(w, &w.user(), &place, &name, &png).want(403);
    form(w, None, &path(&place), &name, Some(&png)).want(401);
    form(w, Some(&place.owner), "/servers/999/stickers", &name, Some(&png)).want(404);
    w.grant(&place, &member, &["emojis.manage"]);
    upload(w, &member, &place, &name, &png).want(200);
}

fn sticker_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let made = create(w, &place, "wave", "hello");
    let line = format!("DELETE /stickers/{}", text(&made["id"]));
    w.refused(&member, &line, Value::Null, 403);
    w.refused(&w.user(), &line, Value::Null, 403);
    let (mut socket, _) = ready(w, &member.token);
    success(&w.ok(&place.owner, &line, Value::Null));
    let packs = &socket.event("GUILD_STICKERS_UPDATE")["sticker_packs"];
    assert_eq!((&packs[0]["sticker_count"], &packs[0]["stickers"]), (&json!(0), &json!([])));
    w.refused(&place.owner, &line, Value::Null, 404);
    w.refused(&place.owner, "DELETE /stickers/abc", Value::Null, 400);
    // What was said with it can still be seen.
    assert_eq!(w.anyone(&format!("GET /media/stickers/{}", text(&made["id"])), Value::Null).status, 200);
    let audit = w.get(&place.owner, &format!("/servers/{}/audit-logs", place.id));
    assert_eq!(column(&audit, "action")[..2], [json!("sticker_delete"), json!("sticker_create")]);
}

fn sticker_send(w: &World) {
    let (place, other) = (w.place(), w.place());
    let (member, stranger) = (w.member(&place), w.user());
    let id = text(&create(w, &place, "wave", "hello")["id"]);
    let path = format!("/stickers/{id}/send");
    let said = w.message(&place.owner, &place.channel, "hello");
    let send = |user: &User, message: &str| {
        w.form(Some(user), &path, FORM, format!("message_id={message}").as_bytes()).want(200)["success"].clone()
    };
    assert_eq!(send(&member, &said), true);
    assert_eq!(send(&member, &said), true);
    assert_eq!(send(&member, "999"), false);
    // One of one's own counts wherever it is, those of others only where the sticker is from.
    w.join(&other, &member);
    let away = w.message(&member, &other.channel, "away");
    assert_eq!(send(&member, &away), true);
    assert_eq!(send(&member, &w.message(&other.owner, &other.channel, "x")), false);
    assert_eq!(form(w, Some(&member), &path, &[("message_id", &said)], None).want(200)["success"], true);
    w.form(Some(&stranger), &path, FORM, format!("message_id={said}").as_bytes()).want(403);
    w.form(None, &path, FORM, b"message_id=1").want(401);
    for (content_type, body) in [(FORM, "message_id=x"), (FORM, ""), (FORM, "message_id=%zz"), ("application/json", "{}")] {
        w.form(Some(&member), &path, content_type, body.as_bytes()).want(400);
    }
    let unknown = w.form(Some(&member), "/stickers/999/send", FORM, b"message_id=1").want(200);
    assert_eq!(unknown, json!({"success": false}));
    // The one that is used more comes first.
    let twin = text(&create(w, &place, "wave", "hello")["id"]);
    let found = w.get(&member, "/stickers/suggestions?content=hello");
    assert_eq!(column(&found, "id"), [json!(id), json!(twin)]);
    for _ in 0..3 {
        let message = w.message(&place.owner, &place.channel, "hello");
        let twin = format!("/stickers/{twin}/send");
        w.form(Some(&member), &twin, FORM, format!("message_id={message}").as_bytes()).want(200);
    }
    let found = w.get(&member, "/stickers/suggestions?content=hello");
    assert_eq!(column(&found, "id"), [json!(twin), json!(id)]);
}

fn sticker_suggest(w: &World) {
    let (place, other) = (w.place(), w.place());
    let member = w.member(&place);
    let wave = create(w, &place, "wave", "hello, good morning");
    create(w, &other, "elsewhere", "hello");
    let find = |query: &str| w.get(&member, &format!("/stickers/suggestions?content={query}"));
    assert_eq!(find("Hello"), json!([wave]));
    assert_eq!(find("a%20good%20%20MORNING%20to%20you"), json!([wave]));
    assert_eq!(find("wave%21"), json!([wave]));
    assert_eq!(find("hel"), json!([wave]));
    assert_eq!((find("he"), find("goodbye"), find("")), (json!([]), json!([]), json!([])));
    for number in 0..7 {
        create(w, &place, &format!("tea {number}"), "tea");
    }
    assert_eq!(find("tea").as_array().map(Vec::len), Some(5));
    assert_eq!(find("tea&limit=7").as_array().map(Vec::len), Some(7));
    assert_eq!(find(&format!("hello&server_id={}", place.id)), json!([wave]));
    assert_eq!(find(&format!("hello&server_id={}", other.id)), json!([]));
    for bad in ["?limit=5", "?content=x&limit=0", "?content=x&limit=21", "?content=x&server_id=x"] {
        w.refused(&member, &format!("GET /stickers/suggestions{bad}"), Value::Null, 400);
    }
    w.ok(&place.owner, &format!("DELETE /stickers/{}", text(&wave["id"])), Value::Null);
    assert_eq!(find("hello"), json!([]));
}

fn sticker_picture_get(w: &World) {
    let place = w.place();
    let made = create(w, &place, "wave", "");
    let line = format!("GET /media/stickers/{}", text(&made["id"]));
    let shown = w.anyone(&line, Value::Null);
    assert_eq!((shown.status, shown.header("content-type")), (200, Some("image/png")));
    assert_eq!(made["url"], format!("/api/v1/media/stickers/{}", text(&made["id"])));
    w.anyone("GET /media/stickers/999", Value::Null).want(404);
    w.anyone("GET /media/stickers/abc", Value::Null).want(400);
}
