//! Files of messages as they are read, and by whom.

use crate::support::{Answer, User, Value, json};
use crate::uploads::{PNG, path, send, upload};
use crate::world::{World, shape, text};

cases![attachment_get, attachment_info, attachment_sign];

const DIGITS: &[u8] = b"0123456789";

fn read(w: &World, user: Option<&User>, path: &str, headers: &[(&str, &str)]) -> Answer {
    let bearer = user.map(|user| format!("Bearer {}", user.token));
    let mut all: Vec<(&str, &str)> = headers.to_vec();
    all.extend(bearer.as_deref().map(|bearer| ("Authorization", bearer)));
    w.headed("GET", path, &all, b"")
}

fn attachment_get(w: &World) {
    let place = w.place();
    let (member, stranger) = (w.member(&place), w.user());
    let (owner, channel) = (&place.owner, &place.channel);
    let file = upload(w, owner, channel, "gr\u{fc}n.txt", "text/plain", DIGITS).want(200);
    let path = path(&file);
    let status = |user: &User| read(w, Some(user), &path, &[]).status;
    assert_eq!((status(owner), status(&member)), (200, 403), "nobody else before a message has it");
    let said = send(w, owner, channel, &[&file]);
    assert_eq!((status(&member), status(&stranger)), (200, 403));
    read(w, None, &path, &[]).want(401);
    let whole = read(w, Some(&member), &path, &[]);
    assert_eq!(whole.body, DIGITS);
    for (name, want) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("accept-ranges", "bytes"),
        ("cache-control", "private, max-age=3600"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "inline; filename=\"gr_n.txt\"; filename*=UTF-8''gr%C3%BCn.txt"),
    ] {
        assert_eq!(whole.header(name), Some(want), "{name}");
    }
    assert_eq!(whole.header("x-frame-options"), None);
    let etag = whole.header("etag").unwrap().to_owned();
    let saved = read(w, Some(&member), &format!("{path}?download=1"), &[]);
    assert!(saved.header("content-disposition").unwrap().starts_with("attachment; filename="));
    for (headers, want, body) in [
        (&[("Range", "bytes=2-4")][..], 206, &b"234"[..]),
        (&[("Range", "bytes=-3")], 206, b"789"),
        (&[("Range", "bytes=5-100")], 206, b"56789"),
        (&[("Range", "bytes=0-1,3-4")], 200, DIGITS),
        (&[("Range", "items=0-1")], 200, DIGITS),
        (&[("Range", "bytes=0-1"), ("If-Range", &etag)], 206, b"01"),
        (&[("Range", "bytes=0-1"), ("If-Range", "\"x\"")], 200, DIGITS),
        (&[("If-None-Match", "*")], 304, b""),
        (&[("If-None-Match", &format!("\"x\", {etag}"))], 304, b""),
    ] {
        let part = read(w, Some(&member), &path, headers);
        assert_eq!((part.status, part.body.as_slice()), (want, body), "{headers:?}");
    }
    let behind = read(w, Some(&member), &path, &[("Range", "bytes=10-")]);
    assert_eq!((behind.status, behind.header("content-range")), (416, Some("bytes */10")));
    let bearer = format!("Bearer {}", member.token);
    let head = w.server.http().request("HEAD", &format!("/api/v1{path}"), &[("Authorization", &bearer)], None);
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("10"), 0));
    let cookie = format!("a=b; plexichat_token={}", member.token);
    assert_eq!(read(w, None, &path, &[("Cookie", &cookie)]).status, 200);
    read(w, None, &path, &[("Cookie", "plexichat_token=1.x")]).want(401);
    for (name, want) in [
        ("..%2f..%2fetc%2fpasswd", 400),
        ("..%5cx", 400),
        ("a%00b", 400),
        ("0123456789abcdef.txt", 404),
        ("0123456789abcdeg.txt", 404),
        ("x", 404),
    ] {
        assert_eq!(read(w, Some(owner), &format!("/media/attachments/{name}"), &[]).status, want, "{name}");
    }
    let other_ending = path.replace(".txt", ".html");
    assert_eq!(read(w, Some(owner), &other_ending, &[]).status, 404);
    // What a browser would not show safely is saved.
    let zip = upload(w, owner, channel, "a.zip", "application/zip", b"PK\x03\x04").want(200);
    let zip = read(w, Some(owner), &crate::uploads::path(&zip), &[]);
    assert!(zip.header("content-disposition").unwrap().starts_with("attachment"));
    // Who may is decided now.
    let twice = send(w, owner, channel, &[&file]);
    let delete = |message: &Value| {
        w.ok(owner, &format!("DELETE /channels/{channel}/messages/{}", text(&message["id"])), Value::Null);
    };
    delete(&said);
    assert_eq!(status(&member), 200, "another message has it");
    let everyone = format!("PATCH /servers/{}/roles/{}", place.id, place.everyone);
    w.ok(owner, &everyone, json!({"permissions": {"channels.view": true}}));
    assert_eq!(status(&member), 403, "he may not read there any more");
    w.ok(owner, &everyone, json!({"permissions": {"channels.view": true, "messages.read": true}}));
    assert_eq!(status(&member), 200);
    delete(&twice);
    assert_eq!((status(&member), status(owner)), (403, 200), "its uploader keeps it for a while");
    // In bulk, and with the channel.
    let [one, two] = [(); 2].map(|()| send(w, owner, channel, &[&file]));
    let ids = json!({"message_ids": [one["id"], two["id"]]});
    assert_eq!(status(&member), 200);
    w.ok(owner, &format!("POST /channels/{channel}/messages/bulk-delete"), ids);
    assert_eq!(status(&member), 403);
    let made = w.ok(owner, &format!("POST /servers/{}/channels", place.id), json!({"name": "x"}));
    let made = text(&made["id"]);
    send(w, owner, &made, &[&file]);
    assert_eq!(status(&member), 200);
    w.ok(owner, &format!("DELETE /channels/{made}"), Value::Null);
    assert_eq!(status(&member), 403);
    // Between two, for those two.
    let dm = w.dm(owner, &member);
    send(w, owner, &dm, &[&file]);
    assert_eq!((status(&member), status(&stranger)), (200, 403));
}

fn attachment_info(w: &World) {
    let place = w.place();
    let (member, stranger) = (w.member(&place), w.user());
    let (owner, channel) = (&place.owner, &place.channel);
    let keys = "filename: str, size: int, content_type: str, url: str, hash: str?, width: int?, height: int?, \
        duration_ms: int?, thumbnails: object?";
    // 500 ms of 8,000 bytes a second.
    let mut sound = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0".to_vec();
    sound.extend_from_slice(b"data\xa0\x0f\0\0");
    sound.resize(sound.len() + 4_000, 7);
    let picture = crate::pictures::encoded(300, 200, image::ImageFormat::Png);
    for (name, content_type, file, want) in [
        ("a.png", "image/png", picture.as_slice(), (json!(300), json!(200), Value::Null)),
        ("a.wav", "audio/wav", &sound, (Value::Null, Value::Null, json!(500))),
        ("a.mp3", "audio/mpeg", b"\xff\xfb\x90\x00rest", (Value::Null, Value::Null, Value::Null)),
        ("a.txt", "text/plain", DIGITS, (Value::Null, Value::Null, Value::Null)),
    ] {
        let made = upload(w, owner, channel, name, content_type, file).want(200);
        let line = format!("{}/info", path(&made));
        let info = w.get(owner, &line);
        shape(&info, keys);
        for key in ["filename", "size", "content_type", "url", "hash", "thumbnails"] {
            assert_eq!(info[key], made[key], "{key} of {name}");
        }
        let found = (info["width"].clone(), info["height"].clone(), info["duration_ms"].clone());
        assert_eq!(found, want, "{name}");
        w.refused(&member, &format!("GET {line}"), Value::Null, 403);
        send(w, owner, channel, &[&made]);
        assert_eq!(w.get(&member, &line), info);
        w.refused(&stranger, &format!("GET {line}"), Value::Null, 403);
        w.anyone(&format!("GET {line}"), Value::Null).want(401);
        if let Some(small) = made["thumbnails"]["64"].as_str() {
            let small = small.strip_prefix("/api/v1").unwrap();
            w.refused(owner, &format!("GET {small}/info"), Value::Null, 404);
        }
    }
    w.refused(owner, "GET /media/attachments/0123456789abcdef.png/info", Value::Null, 404);
    w.refused(owner, "GET /media/attachments/..%2fx/info", Value::Null, 400);
}

fn attachment_sign(w: &World) {
    let place = w.place();
    let (owner, stranger) = (&place.owner, w.user());
    let file = upload(w, owner, &place.channel, "a.png", "image/png", PNG).want(200);
    let path = path(&file);
    let signed = w.get(owner, &format!("{path}/signed"));
    shape(&signed, "url: str, expires_at: int");
    let url = text(&signed["url"]).strip_prefix("/api/v1").unwrap().to_owned();
    let answer = read(w, None, &url, &[]);
    assert_eq!((answer.status, answer.body.as_slice()), (200, PNG));
    assert_eq!(read(w, Some(&stranger), &url, &[]).status, 200, "it stands for itself");
    let (name, query) = url.split_once('?').unwrap();
    let (exp, sig) = query.split_once('&').unwrap();
    let until: u64 = exp.strip_prefix("exp=").unwrap().parse().unwrap();
    for bad in [
        format!("{name}?exp={}&{sig}", until + 1),
        format!("{name}?exp=1&{sig}"),
        format!("{name}?{sig}"),
        format!("{name}?{exp}&sig={}", "0".repeat(64)),
        format!("{name}?{exp}&sig=x"),
    ] {
        read(w, None, &bad, &[]).want(403);
    }
    let other = upload(w, owner, &place.channel, "b.png", "image/png", PNG).want(200);
    read(w, None, &format!("{}?{query}", crate::uploads::path(&other)), &[]).want(403);
    w.refused(&stranger, &format!("GET {path}/signed"), Value::Null, 403);
    w.anyone(&format!("GET {path}/signed"), Value::Null).want(401);
    w.refused(owner, "GET /media/attachments/0123456789abcdef.png/signed", Value::Null, 404);
}
