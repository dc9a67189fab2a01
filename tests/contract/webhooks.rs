//! Webhooks: who manages them, what their token opens, what they say.

use crate::support::{Answer, User, Value, json};
use crate::world::{MESSAGE, Place, World, column, shape, success, text};

cases![
    webhook_create,
    webhook_get,
    webhook_edit,
    webhook_delete,
    webhook_token_regenerate,
    webhook_list,
    channel_webhook_list,
    webhook_execute,
    webhook_execute_github,
    webhook_execute_slack,
];

const WEBHOOK: &str = "id: id, channel_id: id, server_id: id, creator_id: id, name: str, avatar_url: str?, \
    token: str?, url: str?, created_at: int";
const ITEM: &str =
    "id: id, channel_id: id, server_id: id, creator_id: id?, name: str, avatar_url: str?, created_at: int";

fn create(w: &World, user: &User, channel: &str) -> Value {
    w.ok(user, "POST /webhooks", json!({"channel_id": channel, "name": "Build"}))
}

/// Where to post.
fn path(webhook: &Value) -> String {
    format!("/webhooks/{}/{}", text(&webhook["id"]), text(&webhook["token"]))
}

fn manage(method: &str, webhook: &Value) -> String {
    format!("{method} /webhooks/{}", text(&webhook["id"]))
}

fn post(w: &World, path: &str, body: Value) -> Answer {
    w.anyone(&format!("POST {path}"), body)
}

/// The newest message, as a member sees it.
fn newest(w: &World, place: &Place) -> Value {
    let page = w.get(&place.owner, &format!("/channels/{}/messages?limit=1", place.channel));
    page[0].clone()
}

fn webhook_create(w: &World) {
    let place = w.place();
    let (member, outsider) = (w.member(&place), w.user());
    let made = create(w, &place.owner, &place.channel);
    shape(&made, WEBHOOK);
    let (id, token) = (text(&made["id"]), text(&made["token"]));
    assert!(token.starts_with(&format!("webhook.{id}.")), "{token}");
    assert_eq!(token.rsplit('.').next().map(str::len), Some(64));
    let url = format!("http://{}/api/v1/webhooks/{id}/{token}", w.server.address());
    assert_eq!((&made["url"], &made["name"]), (&json!(url), &json!("Build")));
    let body = json!({"channel_id": place.channel, "name": "x"});
    w.refused(&member, "POST /webhooks", body.clone(), 403);
    w.refused(&outsider, "POST /webhooks", body.clone(), 403);
    w.refused(&place.owner, "POST /webhooks", json!({"channel_id": "999", "name": "x"}), 404);
    for bad in [
        json!({}),
        json!({"channel_id": place.channel}),
        json!({"channel_id": place.channel, "name": ""}),
        json!({"channel_id": place.channel, "name": "n".repeat(81)}),
        json!({"channel_id": place.channel, "name": 5}),
        json!({"channel_id": place.channel, "name": "x", "avatar_url": "ftp://x/y"}),
    ] {
        w.refused(&place.owner, "POST /webhooks", bad, 400);
    }
    w.grant(&place, &member, &["webhooks.manage"]);
    let avatar = "https://nowhere.invalid/a.png";
    let body = json!({"channel_id": place.channel, "name": "n".repeat(80), "avatar_url": avatar});
    let made = w.ok(&member, "POST /webhooks", body);
    assert_eq!((&made["creator_id"], &made["avatar_url"]), (&json!(member.id), &json!(avatar)));
    for _ in 2..50 {
        create(w, &place.owner, &place.channel);
    }
    w.refused(&place.owner, "POST /webhooks", json!({"channel_id": place.channel, "name": "51"}), 400);
}

fn webhook_get(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let made = create(w, &place.owner, &place.channel);
    let got = w.ok(&place.owner, &manage("GET", &made), Value::Null);
    shape(&got, WEBHOOK);
    let mut want = made.clone();
    (want["token"], want["url"]) = (Value::Null, Value::Null);
    assert_eq!(got, want);
    w.refused(&member, &manage("GET", &made), Value::Null, 403);
    w.refused(&place.owner, "GET /webhooks/999", Value::Null, 404);
}

fn webhook_edit(w: &World) {
    let (place, other) = (w.place(), w.place());
    let member = w.member(&place);
    let made = create(w, &place.owner, &place.channel);
    let line = manage("PATCH", &made);
    let channels = format!("POST /servers/{}/channels", place.id);
    let second = text(&w.ok(&place.owner, &channels, json!({"name": "second"}))["id"]);
    let body = json!({"name": "Build 2", "channel_id": second, "avatar_url": "https://x/y.png"});
    w.refused(&member, &line, body.clone(), 403);
    let edited = w.ok(&place.owner, &line, body);
    shape(&edited, WEBHOOK);
    assert_eq!(
        (&edited["name"], &edited["channel_id"], &edited["token"]),
        (&json!("Build 2"), &json!(second), &Value::Null)
    );
    assert_eq!(w.ok(&place.owner, &line, json!({})), edited);
    assert_eq!(w.ok(&place.owner, &line, json!({"avatar_url": ""}))["avatar_url"], Value::Null);
    w.refused(&place.owner, &line, json!({"channel_id": other.channel}), 403);
    w.join(&other, &place.owner);
    w.grant(&other, &place.owner, &["webhooks.manage"]);
    w.refused(&place.owner, &line, json!({"channel_id": other.channel}), 400);
    w.refused(&place.owner, &line, json!({"name": ""}), 400);
    w.refused(&place.owner, "PATCH /webhooks/999", json!({}), 404);
    let said = post(w, &format!("{}?wait=true", path(&made)), json!({"content": "moved"})).want(200);
    assert_eq!((&said["channel_id"], &said["username"]), (&json!(second), &json!("Build 2")));
}

fn webhook_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let made = create(w, &place.owner, &place.channel);
    w.refused(&member, &manage("DELETE", &made), Value::Null, 403);
    success(&w.ok(&place.owner, &manage("DELETE", &made), Value::Null));
    w.refused(&place.owner, &manage("DELETE", &made), Value::Null, 404);
    post(w, &path(&made), json!({"content": "x"})).want(404);
    // It goes with its channel.
    let made = create(w, &place.owner, &place.channel);
    w.ok(&place.owner, &format!("DELETE /channels/{}", place.channel), Value::Null);
    post(w, &path(&made), json!({"content": "x"})).want(404);
    w.refused(&place.owner, &manage("GET", &made), Value::Null, 404);
}

fn webhook_token_regenerate(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let made = create(w, &place.owner, &place.channel);
    let line = manage("POST", &made) + "/regenerate-token";
    w.refused(&member, &line, Value::Null, 403);
    let new = w.ok(&place.owner, &line, Value::Null);
    shape(&new, WEBHOOK);
    assert_eq!(new["id"], made["id"]);
    post(w, &path(&made), json!({"content": "old"})).want(401);
    success(&post(w, &path(&new), json!({"content": "new"})).want(200));
    w.refused(&place.owner, "POST /webhooks/999/regenerate-token", Value::Null, 404);
    // Who was banned knows a token that opens nothing.
    w.grant(&place, &member, &["webhooks.manage"]);
    let his = w.ok(&member, &line, Value::Null);
    success(&post(w, &path(&his), json!({"content": "x"})).want(200));
    w.ok(&place.owner, &format!("PUT /servers/{}/bans/{}", place.id, member.id), Value::Null);
    post(w, &path(&his), json!({"content": "x"})).want(403);
    let new = w.ok(&place.owner, &line, Value::Null);
    success(&post(w, &path(&new), json!({"content": "x"})).want(200));
}

fn webhook_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let line = format!("/servers/{}/webhooks", place.id);
    assert_eq!(w.get(&place.owner, &line), json!([]));
    let made: Vec<Value> = (0..3).map(|_| create(w, &place.owner, &place.channel)).collect();
    let list = w.get(&place.owner, &line);
    shape(&list[0], ITEM);
    let ids: Vec<Value> = made.iter().map(|webhook| webhook["id"].clone()).collect();
    assert_eq!(column(&list, "id"), ids);
    w.refused(&member, &format!("GET {line}"), Value::Null, 403);
    w.grant(&place, &member, &["webhooks.manage"]);
    assert_eq!(w.get(&member, &line), list);
}

fn channel_webhook_list(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let line = format!("/channels/{}/webhooks", place.channel);
    let made = create(w, &place.owner, &place.channel);
    let list = w.get(&place.owner, &line);
    shape(&list[0], ITEM);
    assert_eq!(column(&list, "id"), [made["id"].clone()]);
    w.refused(&member, &format!("GET {line}"), Value::Null, 403);
}

fn webhook_execute(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let made = create(w, &place.owner, &place.channel);
    let (path, id) = (path(&made), text(&made["id"]));
    success(&post(w, &path, json!({"content": "plain"})).want(200));
    let body = json!({"content": "build 7 passed", "username": "CI", "embeds": [{"title": "E", "color": 1}]});
    let said = post(w, &format!("{path}?wait=true"), body).want(200);
    shape(
        &said,
        "id: id, webhook_id: id, channel_id: id, content: str?, username: str?, avatar_url: str?, created_at: int",
    );
    assert_eq!((&said["webhook_id"], &said["username"]), (&json!(id), &json!("CI")));
    let line = format!("/channels/{}/messages/{}", place.channel, text(&said["id"]));
    let message = w.get(&member, &line);
    shape(&message, MESSAGE);
    assert_eq!(
        (&message["author_username"], &message["author_id"], &message["author_avatar_url"]),
        (&json!("CI"), &json!(place.owner.id), &Value::Null)
    );
    assert_eq!(message["embeds"][0]["title"], "E");
    success(&post(w, &path, json!({"embeds": [{"title": "alone"}]})).want(200));
    assert_eq!(newest(w, &place)["author_username"], "Build");
    // It is a message like any other: marked, pinned, deleted.
    w.ok(&member, &format!("PUT {line}/reactions/%F0%9F%91%8D"), Value::Null);
    let base = line.replace("messages", "pins");
    w.ok(&place.owner, &format!("PUT {base}"), Value::Null);
    w.refused(&member, &format!("DELETE {line}"), Value::Null, 403);
    w.ok(&place.owner, &format!("DELETE {line}"), Value::Null);
    for bad in [
        json!({}),
        json!({"content": "   "}),
        json!({"content": "x".repeat(2_001)}),
        json!({"content": "x", "username": "n".repeat(81)}),
        json!({"content": "x", "avatar_url": "x"}),
        json!({"content": "x", "thread_id": "1"}),
        json!({"embeds": vec![json!({"title": "t"}); 11]}),
        json!({"embeds": [5]}),
    ] {
        post(w, &path, bad).want(400);
    }
    post(w, &format!("{path}?wait=perhaps"), json!({"content": "x"})).want(400);
    post(w, &format!("{path}?thread_id=1"), json!({"content": "x"})).want(400);
    post(w, &format!("/webhooks/{id}/wrongtoken"), json!({"content": "x"})).want(401);
    post(w, &format!("/webhooks/999/{}", text(&made["token"])), json!({"content": "x"})).want(404);
    post(w, &format!("/webhooks/x/{}", text(&made["token"])), json!({"content": "x"})).want(400);
    assert_eq!(newest(w, &place)["embeds"][0]["title"], "alone", "nothing of it was stored");
}

/// A call with a type of its own and an event.
fn send(w: &World, path: &str, kind: &str, event: Option<&str>, body: &str) -> Answer {
    let mut headers = vec![("Content-Type", kind)];
    headers.extend(event.map(|event| ("X-GitHub-Event", event)));
    w.headed("POST", path, &headers, body.as_bytes())
}

fn webhook_execute_github(w: &World) {
    let place = w.place();
    let made = create(w, &place.owner, &place.channel);
    let path = format!("{}/github", path(&made));
    let payload = json!({
        "action": "opened",
        "issue": {"number": 3, "title": "It squeaks", "html_url": "https://github.com/ada/engine/issues/3"},
        "repository": {"full_name": "ada/engine"},
        "sender": {"login": "ada"},
    })
    .to_string();
    let json_type = "application/json";
    success(&send(w, &path, json_type, Some("issues"), &payload).want(200));
    let embed = newest(w, &place)["embeds"][0].clone();
    assert_eq!(embed["title"], "[ada/engine] Issue opened: #3 It squeaks");
    assert_eq!(embed["author"]["name"], "ada");
    let form = "application/x-www-form-urlencoded";
    let ping = format!("payload={}", "%7B%22zen%22%3A%22Keep+it+simple.%22%7D");
    success(&send(w, &path, form, Some("ping"), &ping).want(200));
    assert_eq!(newest(w, &place)["embeds"][0]["description"], "Keep it simple.");
    // What says nothing here is taken, and says nothing.
    let before = newest(w, &place);
    success(&send(w, &path, json_type, Some("gollum"), "{}").want(200));
    success(&send(w, &path, json_type, Some("star"), r#"{"action":"deleted"}"#).want(200));
    assert_eq!(newest(w, &place), before);
    send(w, &path, json_type, None, &payload).want(400);
    send(w, &path, json_type, Some("issues"), "[]").want(400);
    send(w, &path, form, Some("issues"), "a=b").want(400);
    send(w, &path, "text/plain", Some("issues"), &payload).want(400);
    let wrong = format!("/webhooks/{}/wrong/github", text(&made["id"]));
    send(w, &wrong, json_type, Some("ping"), "{}").want(401);
}

fn webhook_execute_slack(w: &World) {
    let place = w.place();
    let made = create(w, &place.owner, &place.channel);
    let path = format!("{}/slack", path(&made));
    let body = r##"{"text":"see <https://x/y|this>","username":"CI","attachments":[{"color":"#ff0000","title":"T"}]}"##;
    let answer = send(w, &path, "application/json", None, body);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")));
    let message = newest(w, &place);
    assert_eq!(
        (&message["content"], &message["author_username"]),
        (&json!("see [this](https://x/y)"), &json!("CI"))
    );
    assert_eq!(message["embeds"], json!([{"title": "T", "color": 0xff_00_00}]));
    let form = "application/x-www-form-urlencoded";
    for body in ["payload=%7B%22text%22%3A%22in+a+form%22%7D", r#"{"text":"in a form"}"#] {
        assert_eq!(send(w, &path, form, None, body).text(), "ok");
        assert_eq!(newest(w, &place)["content"], "in a form");
    }
    let blocks = r#"{"text":"short","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"long"}}]}"#;
    assert_eq!(send(w, &path, "application/json", None, blocks).text(), "ok");
    assert_eq!(newest(w, &place)["content"], "long");
    for bad in ["{}", r#"{"text":""}"#, r#"{"text":5}"#, "[]", r#"{"attachments":[{}]}"#] {
        send(w, &path, "application/json", None, bad).want(400);
    }
}
