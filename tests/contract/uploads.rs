//! Files for messages: what is taken, what is refused, and what a message makes of them.

use sha2::{Digest as _, Sha256};

use crate::gateway::ready;
use crate::support::{Answer, User, Value, json};
use crate::world::{World, column, shape, text};

cases![attachment_upload];

/// Of the limits of uploads there are cases of their own.
pub const OPTIONS: &[&str] = &["media.rate_limit.enabled=false", "media.size_limits.image=65536"];
pub const UPLOADED: &str =
    "id: id, filename: str, size: int, content_type: str, url: str, hash: str?, thumbnails: object?";
/// Of one pixel.
pub const PNG: &[u8] = b"\x89PNG\x0d\x0a\x1a\x0a\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9bU\
    \0\0\0\x0aIDATx\x9cch\0\0\0\x82\0\x81w\xcdr\xb6\0\0\0\0IEND\xaeB\x60\x82";

/// A form with a file in it.
pub fn form(name: &str, content_type: &str, file: &[u8]) -> Vec<u8> {
    let head = format!(
        "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
         Content-Type: {content_type}\r\n\r\n"
    );
    [head.as_bytes(), file, b"\r\n--xyz--\r\n"].concat()
}

pub const FORM: &str = "multipart/form-data; boundary=xyz";

pub fn upload(w: &World, user: &User, channel: &str, name: &str, content_type: &str, file: &[u8]) -> Answer {
    w.form(Some(user), &format!("/channels/{channel}/attachments"), FORM, &form(name, content_type, file))
}

/// Posts a message with these uploads.
pub fn send(w: &World, user: &User, channel: &str, uploads: &[&Value]) -> Value {
    let files: Vec<Value> = uploads.iter().map(|upload| json!({"url": upload["url"]})).collect();
    w.ok(user, &format!("POST /channels/{channel}/messages"), json!({"attachments": files}))
}

/// The path of a file below the prefix.
pub fn path(upload: &Value) -> String {
    text(&upload["url"]).strip_prefix("/api/v1").expect("the prefix").to_owned()
}

fn attachment_upload(w: &World) {
    let place = w.place();
    let (member, stranger) = (w.member(&place), w.user());
    let (owner, channel) = (&place.owner, &place.channel);
    let txt = upload(w, owner, channel, "notes.txt", "text/plain", b"hello text file").want(200);
    shape(&txt, UPLOADED);
    assert_eq!((&txt["filename"], &txt["size"]), (&json!("notes.txt"), &json!(15)));
    assert_eq!((&txt["content_type"], &txt["thumbnails"]), (&json!("text/plain"), &Value::Null));
    let sum = plexichat::store::hex::encode(&<[u8; 32]>::from(Sha256::digest(b"hello text file")));
    assert_eq!(txt["hash"], sum);
    let name = text(&txt["url"]);
    let (key, ending) = name.rsplit('/').next().and_then(|name| name.split_once('.')).expect("a name");
    assert!(key.len() == 16 && key.bytes().all(|b| b.is_ascii_hexdigit()) && ending == "txt", "{name}");
    let same = upload(w, owner, channel, "copy.txt", "text/plain", b"hello text file").want(200);
    assert_eq!((&same["hash"], same["id"] == txt["id"]), (&txt["hash"], false));

    // What each gets, by name, declared type and content.
    let long = format!("{}.txt", "n".repeat(300));
    for (name, content_type, file, status, want) in [
        ("pic.png", "image/png", PNG, 200, "image/png"),
        ("PIC.PNG", "application/octet-stream", PNG, 200, "image/png"),
        ("a.bin", "application/octet-stream", b"\x01\x02\x03".as_slice(), 200, "application/octet-stream"),
        ("bomb.zip", "application/zip", b"PK\x03\x04\0\0\0\0", 200, "application/zip"),
        ("a.gif", "image/gif", b"GIF89a\x01\0\x01\0\0<script>x</script>", 400, "damaged"),
        ("f\u{f6}\u{f6} \u{6587}.txt", "text/plain", b"x", 200, "text/plain"),
        ("../../etc/passwd.txt", "text/plain", b"x", 200, "text/plain"),
        ("C:\\\\x\\\\y.txt", "text/plain", b"x", 200, "text/plain"),
        (&long, "text/plain", b"x", 200, "text/plain"),
        ("x.exe", "application/x-msdownload", b"MZ\x90\0", 400, "programs"),
        ("a.txt.exe", "application/octet-stream", b"MZ\x90\0", 400, "programs"),
        ("a.exe.txt", "text/plain", b"x", 400, "programs"),
        ("a.bin", "application/octet-stream", b"\x7fELF\x02\x01", 400, "programs"),
        ("run.sh", "application/x-sh", b"#!/bin/sh\n", 400, "programs"),
        ("run.txt", "text/plain", b"#!/bin/sh\n", 400, "programs"),
        ("fake.png", "image/png", b"not a png", 400, "not what"),
        ("a.png", "image/png", b"<html><script>1</script></html>", 400, "pages"),
        ("a.svg", "image/svg+xml", b"<svg xmlns='x'/>", 400, "pages"),
        ("a.html", "text/html", b"<p>", 400, "pages"),
        ("empty.txt", "text/plain", b"", 400, "empty"),
    ] {
        let answer = upload(w, &member, channel, name, content_type, file);
        let got = answer.want(status);
        match status {
            200 => assert_eq!(got["content_type"], want, "{name}"),
            _ => assert!(text(&got["error"]["message"]).contains(want), "{name}: {got}"),
        }
        let shown = got["filename"].as_str().unwrap_or_default();
        assert!(!shown.contains(['/', '\\']) && shown.len() <= 255, "{shown}");
    }
    // A limit by kind, and by the tier.
    let large = [PNG, &vec![0; 65_536]].concat();
    upload(w, &member, channel, "a.png", "image/png", &large).want(413);
    upload(w, &member, channel, "a.bin", "application/octet-stream", &vec![1; 10 << 20]).want(200);
    upload(w, &member, channel, "a.bin", "application/octet-stream", &vec![1; (10 << 20) + 1]).want(413);
    let path = format!("/channels/{channel}/attachments");
    malformed(w, &member, &path);
    for (user, channel, status) in [(&stranger, channel.as_str(), 403), (owner, "999", 404), (owner, "x", 400)] {
        upload(w, user, channel, "n.txt", "text/plain", b"x").want(status);
    }
    w.form(None, &path, FORM, &form("n.txt", "text/plain", b"x")).want(401);
    w.refused(owner, &format!("POST {path}"), json!({"x": 1}), 400);
    messages(w);
    limits(w);
}

fn malformed(w: &World, user: &User, path: &str) {
    let status = |content_type: &str, body: &[u8]| w.form(Some(user), path, content_type, body).status;
    let part = "--xyz\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\nx\r\n";
    assert_eq!(status(FORM, format!("{}--xyz--\r\n", part.repeat(1_000)).as_bytes()), 400);
    let whole = form("a.txt", "text/plain", b"x");
    assert_eq!(status(FORM, &whole[..whole.len() - 9]), 400, "without the last boundary");
    let other = String::from_utf8(whole.clone()).unwrap().replace("name=\"file\"", "name=\"wrong\"");
    assert_eq!(status(FORM, other.as_bytes()), 400);
    let boundary = "b".repeat(70);
    let long = String::from_utf8(whole).unwrap().replace("xyz", &boundary);
    assert_eq!(status(&format!("multipart/form-data; boundary={boundary}"), long.as_bytes()), 200);
    assert_eq!(status(&format!("multipart/form-data; boundary={boundary}b"), long.as_bytes()), 400);
    assert_eq!(status("multipart/form-data", long.as_bytes()), 400);
}

/// What a message makes of uploads.
fn messages(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let (owner, channel) = (&place.owner, &place.channel);
    let line = format!("POST /channels/{channel}/messages");
    let one = upload(w, owner, channel, "one.txt", "text/plain", b"one").want(200);
    let two = upload(w, owner, channel, "two.png", "image/png", PNG).want(200);
    let (mut socket, _) = ready(w, &member.token);
    let lies = json!({"content": "look", "attachments": [
        {"url": one["url"], "filename": "lie.exe", "content_type": "text/html", "size": 1, "hash": "x"},
        {"id": two["id"]}, {"url": one["url"]},
    ]});
    let said = w.ok(owner, &line, lies);
    let shown: Vec<Value> = [&one, &two]
        .map(|it| {
            let mut it = it.clone();
            it.as_object_mut().unwrap().remove("thumbnails");
            it
        })
        .into();
    assert_eq!(said["attachments"], json!(shown), "what is stored wins");
    assert_eq!(socket.event("MESSAGE_CREATE")["attachments"], said["attachments"]);
    let listed = w.get(&member, &format!("/channels/{channel}/messages"));
    assert_eq!(listed[0]["attachments"], said["attachments"]);
    // Files alone are enough to say, and to leave when the text goes.
    let bare = send(w, owner, channel, &[&one]);
    assert_eq!((&bare["content"], &bare["attachments"][0]["id"]), (&json!(""), &one["id"]));
    let edit = format!("PATCH /channels/{channel}/messages/{}", text(&said["id"]));
    assert_eq!(w.ok(owner, &edit, json!({"content": ""}))["attachments"], said["attachments"]);
    let poll = json!({"attachments": [{"id": one["id"]}], "poll": {"question": "q", "options": ["a", "b"]}});
    assert_eq!(w.ok(owner, &line, poll)["poll"]["question"], "q");
    for (user, files, status) in [
        (&member, json!([{"url": one["url"]}]), 400),
        (owner, json!([{"url": "/api/v1/media/attachments/0123456789abcdef.txt"}]), 400),
        (owner, json!([{"url": "x"}]), 400),
        (owner, json!([{}]), 400),
        (owner, json!([1]), 400),
        (owner, json!(vec![json!({"url": one["url"]}); 11]), 400),
    ] {
        let refused = w.refused(user, &line, json!({"content": "x", "attachments": files}), status);
        assert!(refused["error"]["message"].is_string(), "{refused}");
    }
    let everyone = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    let rights = json!({"permissions": {"messages.send": true, "channels.view": true, "messages.read": true}});
    w.ok(owner, &everyone, rights);
    let own = upload(w, &member, channel, "x.txt", "text/plain", b"x");
    assert!(own.want(403).to_string().contains("messages.attach_files"));
    let refused = w.refused(&member, &line, json!({"attachments": [{"id": "1"}]}), 403);
    assert!(refused.to_string().contains("messages.attach_files"), "{refused}");
    let settings = json!({"max_attachments_per_message": 1, "max_attachment_size": 4});
    w.ok(owner, "PATCH /users/@me/messaging-settings", settings);
    w.refused(owner, &line, json!({"attachments": [{"id": one["id"]}, {"id": two["id"]}]}), 400);
    upload(w, owner, channel, "x.txt", "text/plain", b"12345").want(413);
    upload(w, owner, channel, "x.txt", "text/plain", b"1234").want(200);
    assert_eq!(column(&listed[0]["attachments"], "filename"), [json!("one.txt"), json!("two.png")]);
}

/// How much one user may upload.
fn limits(_: &World) {
    let options = ["media.rate_limit.uploads_per_minute=2", "media.rate_limit.max_total_size_per_day=4096"];
    let w = World::new(&options);
    let place = w.place();
    let (owner, channel) = (&place.owner, &place.channel);
    upload(&w, owner, channel, "a.txt", "text/plain", &[b'x'; 2_000]).want(200);
    let full = upload(&w, owner, channel, "a.txt", "text/plain", &[b'x'; 3_000]).want(429);
    assert!(full["retry_after"].as_f64().is_some_and(|seconds| seconds > 60.0), "of a day: {full}");
    assert_eq!((&full["error"]["code"], &full["global"]), (&json!(429), &json!(false)));
    upload(&w, owner, channel, "a.txt", "text/plain", b"x").want(200);
    let full = upload(&w, owner, channel, "a.txt", "text/plain", b"x").want(429);
    assert!(full["retry_after"].as_f64().is_some_and(|seconds| seconds <= 60.0), "of a minute: {full}");
}
