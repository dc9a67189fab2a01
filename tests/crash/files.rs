//! Files: uploaded whole and in chunks, put into messages, read by others, and gone with the message.

use sha2::{Digest as _, Sha256};

use super::*;

/// What others read of a file.
fn content(number: u64) -> String {
    format!("{{\"n\":{number}}}")
}

/// A picture of which a small one is made, and of which words are not kept.
fn picture(number: u64) -> Vec<u8> {
    let shade = |x: u32, y: u32| image::Rgb([x as u8, y as u8, (number >> (x % 8)) as u8]);
    let picture = image::DynamicImage::ImageRgb8(image::RgbImage::from_fn(70, 50, shade));
    let mut jpeg = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut jpeg, image::ImageFormat::Jpeg).expect("memory takes it");
    let jpeg = jpeg.into_inner();
    [&jpeg[..2], b"\xff\xfe\0\x06said", &jpeg[2..]].concat()
}

fn in_form(name: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
    [head.as_bytes(), content, b"\r\n--b--\r\n"].concat()
}

/// Sends a file, or a chunk; `None` when its sender has sent all that he may.
fn send(
    m: &mut Mixer,
    line: &mut Line,
    kind: &'static str,
    path: &str,
    (name, content): (&str, &[u8]),
) -> Result<Option<Value>, String> {
    let token = m.member.token.clone();
    let answer = line.send("POST", path, Some(&token), Some((FORM, &in_form(name, content))))?;
    if answer.status == 429 {
        return Ok(None);
    }
    m.done(kind);
    Ok(Some(answer.want(200)))
}

pub fn file(m: &mut Mixer, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
    let (token, channel) = (m.member.token.clone(), m.channels[0].clone());
    let messages = format!("/channels/{channel}/messages");
    if let Some(id) = m.pick("filed", random) {
        let (said, seen) = (format!("filed {id}"), format!("file of {id}"));
        let facts = [&said, &seen].map(|fact| (&**fact, m.facts[fact].place.clone(), Value::Null));
        let ask = ("DELETE", format!("{messages}/{id}"), &*token, Value::Null);
        m.change(line, "MessageDelete", ask, &facts)?;
        m.forget("filed", &id);
        return Ok(());
    }
    let number = m.fresh();
    let to = format!("/channels/{channel}/attachments");
    let (text_of, picture) = (content(number), picture(number));
    let draw = random.u8(..6);
    let upload = match draw {
        0 => send(m, line, "AttachmentCreate", &to, ("x.jpg", &picture))?,
        1..=2 => send(m, line, "AttachmentCreate", &to, ("x.json", text_of.as_bytes()))?,
        _ => in_chunks(m, line, random, number)?,
    };
    let Some(upload) = upload else { return Ok(()) };
    let url = text(&upload["url"]).strip_prefix("/api/v1").expect("the prefix").to_owned();
    let ask = ("POST", messages.clone(), &*token, json!({"attachments": [{"url": upload["url"]}]}));
    let said = m.change(line, "FilesPost", ask, &[])?;
    let (id, shown) = (text(&said["id"]), said["attachments"][0]["hash"].clone());
    let (path, place, want) = match draw {
        0 => (format!("{url}/info"), "/hash", shown.clone()),
        _ => (url, "/n", json!(number_of(&upload))),
    };
    let read = Place::of(&m.owner.token, path, place);
    let place = Place::of(&token, format!("{messages}/{id}"), "/attachments/0/hash");
    m.note(&format!("filed {id}"), place, shown);
    // Somebody else: he loses it with the message.
    m.note(&format!("file of {id}"), read, want);
    m.pools.entry("filed").or_default().push(id);
    Ok(())
}

/// What was written into a file, found by its sum.
fn number_of(upload: &Value) -> u64 {
    let sum = |number: u64| <[u8; 32]>::from(Sha256::digest(content(number)));
    let is_it = |number: &u64| upload["hash"] == plexichat::store::hex::encode(&sum(*number));
    (1..1_000_000).find(is_it).expect("nothing else is written")
}

fn in_chunks(
    m: &mut Mixer,
    line: &mut Line,
    random: &mut fastrand::Rng,
    number: u64,
) -> Result<Option<Value>, String> {
    let token = m.member.token.clone();
    let at = |id: &str| format!("/media/upload/session/{id}");
    let Some(id) = m.pick("session", random) else {
        let content = content(number);
        let body =
            json!({"filename": "x.json", "content_type": "application/json", "total_size": content.len()});
        let answer = line.call("POST", "/media/upload/session", Some(&token), Some(&body))?;
        if answer.status == 429 {
            return Ok(None);
        }
        m.done("UploadOpen");
        let id = text(&answer.want(200)["session_id"]);
        let place = Place::of(&token, at(&id), "/uploaded_chunks");
        m.note(&format!("session {id}"), place.clone(), json!(0));
        m.pools.entry("session").or_default().push(id.clone());
        let fact = format!("session {id}");
        let facts = [(&*fact, place, json!(1))];
        m.expect(&facts);
        let to = format!("/media/upload/chunk/{id}?chunk_index=0");
        let sent = send(m, line, "ChunkPut", &to, ("x.json", content.as_bytes()))?;
        assert!(sent.is_some_and(|sent| sent["success"] == true), "nothing limits chunks");
        m.acknowledge(&facts);
        return Ok(None);
    };
    let fact = format!("session {id}");
    let place = m.facts[&fact].place.clone();
    let is_there = m.known(&fact) == json!(1);
    let facts = [(&*fact, place, Value::Null)];
    if !is_there || random.u8(..4) == 0 {
        m.change(line, "UploadAbort", ("DELETE", at(&id), &token, Value::Null), &facts)?;
        m.forget("session", &id);
        return Ok(None);
    }
    m.expect(&facts);
    let answer = line.call("POST", &format!("/media/upload/complete/{id}"), Some(&token), None)?;
    if answer.status == 429 {
        m.acknowledge(&[(&*fact, m.facts[&fact].place.clone(), json!(1))]);
        return Ok(None);
    }
    let done = answer.want(200);
    m.acknowledge(&facts);
    m.done("UploadComplete");
    m.forget("session", &id);
    Ok(Some(done["attachment"].clone()))
}
