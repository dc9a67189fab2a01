//! Pictures in messages: what of them is kept, what they look like small, and which are refused.

use std::io::{BufReader, Cursor, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use image::{DynamicImage, GenericImageView as _, ImageFormat, Rgb, RgbImage};
use sha2::{Digest as _, Sha256};

use crate::admin_login::session;
use crate::pictures::{encoded, memory, webp_bomb, white_png};
use crate::support::http::{open, read_answer};
use crate::support::{Answer, PATIENCE, User, Value, json};
use crate::uploads::{FORM, form, path, send, upload};
use crate::world::{Place, World, text};

const FREE: &[&str] = &["media.rate_limit.enabled=false"];

/// `tests/pictures` has what other programs make: four quarters, and "secret" in all that is said beside them.
pub fn made_elsewhere(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pictures").join(name)).unwrap()
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(bytes, word).is_some()
}

pub fn read(w: &World, user: &User, path: &str) -> Answer {
    w.headed("GET", path, &[("Authorization", &format!("Bearer {}", user.token))], b"")
}

/// Sends a file in chunks.
fn in_chunks(w: &World, user: &User, name: &str, content_type: &str, file: &[u8]) -> Answer {
    let body = json!({"filename": name, "content_type": content_type, "total_size": file.len()});
    let id = text(&w.ok(user, "POST /media/upload/session", body)["session_id"]);
    for (index, chunk) in file.chunks(5 << 20).enumerate() {
        let line = format!("/media/upload/chunk/{id}?chunk_index={index}");
        let body = form("part", "application/octet-stream", chunk);
        assert_eq!(w.form(Some(user), &line, FORM, &body).want(200)["success"], true);
    }
    w.call(Some(&user.token), &format!("POST /media/upload/complete/{id}"), Value::Null)
}

fn sum(bytes: &[u8]) -> String {
    plexichat::store::hex::encode(&<[u8; 32]>::from(Sha256::digest(bytes)))
}

/// Red, green, blue, yellow, where they are to be seen.
pub fn is_upright(picture: &DynamicImage) -> bool {
    let (width, height) = picture.dimensions();
    let at = |x: u32, y: u32| picture.get_pixel(width * x / 4, height * y / 4).0.map(|color| color > 128);
    let is = |x, y, want: [bool; 3]| at(x, y)[..3] == want;
    is(1, 1, [true, false, false])
        && is(3, 1, [false, true, false])
        && is(1, 3, [false, false, true])
        && is(3, 3, [true, true, false])
}

#[test]
fn what_is_said_beside_a_picture_is_not_kept() {
    let w = World::new(FREE);
    let place = w.place();
    let (owner, channel) = (&place.owner, &place.channel);
    let turned = (1..=8).map(|turned| (format!("turned-{turned}.jpg"), "image/jpeg"));
    let others = [
        ("turned.png", "image/png"),
        ("turned.webp", "image/webp"),
        ("progressive.jpg", "image/jpeg"),
        ("sixteen-interlaced.png", "image/png"),
        ("moving.gif", "image/gif"),
        ("moving.webp", "image/webp"),
        ("moving.png", "image/png"),
    ];
    for (index, (name, kind)) in turned.chain(others.map(|(name, kind)| (name.into(), kind))).enumerate() {
        let file = made_elsewhere(&name);
        // Whatever it is called: what it is, its bytes say.
        let (called, declared) = match index % 2 {
            0 => (name.as_str(), kind),
            _ => ("holiday.bin", "application/octet-stream"),
        };
        let direct = upload(&w, owner, channel, called, declared, &file).want(200);
        let chunked = in_chunks(&w, owner, called, declared, &file).want(200);
        assert_eq!(chunked["size"], chunked["attachment"]["size"], "{name}");
        for made in [&direct, &chunked["attachment"]] {
            assert_eq!(made["content_type"], kind, "{name}");
            let kept = read(&w, owner, &path(made)).body;
            assert_eq!((&made["size"], &made["hash"]), (&json!(kept.len()), &json!(sum(&kept))), "{name}");
            assert!(!has(&kept, b"secret") && !has(&kept, b"GPS"), "{name}");
            // The same pixels, lying as they did, and the same frames.
            let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap().to_rgba16();
            assert!(pixels(&kept) == pixels(&file), "{name}");
            for frame in [&b"ANMF"[..], b"\x21\xf9\x04", b"fcTL", b"ICC_PROFILE"] {
                let count = |bytes: &[u8]| memchr::memmem::find_iter(bytes, frame).count();
                assert_eq!(count(&kept), count(&file), "{name}");
            }
            assert_eq!(kept != file, has(&file, b"secret"), "{name}");
            let small = read(&w, owner, thumbnail(made, "64").strip_prefix("/api/v1").unwrap());
            let small = image::load_from_memory(&small.body).unwrap();
            assert!(is_upright(&small) && small.dimensions() == (64, 43), "{name}: {:?}", small.dimensions());
        }
    }
    // Upright where it is shown: what says so is kept.
    let kept = upload(&w, owner, channel, "a.jpg", "image/jpeg", &made_elsewhere("turned-6.jpg")).want(200);
    let kept = read(&w, owner, &path(&kept)).body;
    let mut decoder =
        image::ImageReader::new(Cursor::new(&kept)).with_guessed_format().unwrap().into_decoder();
    let orientation = image::ImageDecoder::orientation(decoder.as_mut().unwrap()).unwrap();
    let mut picture = image::load_from_memory(&kept).unwrap();
    assert!(!is_upright(&picture));
    picture.apply_orientation(orientation);
    assert!(is_upright(&picture));
    assert!(has(&read(&w, owner, &path(&icc(&w, &place))).body, b"ICC_PROFILE"));
}

/// One with a profile of its colours.
fn icc(w: &World, place: &Place) -> Value {
    let file = made_elsewhere("progressive.jpg");
    upload(w, &place.owner, &place.channel, "a.jpg", "image/jpeg", &file).want(200)
}

pub fn thumbnail<'a>(made: &'a Value, size: &str) -> &'a str {
    made["thumbnails"][size].as_str().unwrap_or_else(|| panic!("no thumbnail of {size}: {made}"))
}

#[test]
fn small_pictures_are_for_those_who_may_see_the_large_one() {
    let w = World::new(FREE);
    let place = w.place();
    let (member, stranger) = (w.member(&place), w.user());
    let (owner, channel) = (&place.owner, &place.channel);
    let made =
        upload(&w, owner, channel, "a.png", "image/png", &encoded(600, 300, ImageFormat::Png)).want(200);
    let sizes: Vec<&String> = made["thumbnails"].as_object().unwrap().keys().collect();
    assert_eq!(sizes.len(), 4, "{sizes:?}");
    let small = thumbnail(&made, "256").strip_prefix("/api/v1").unwrap();
    let (key, _) =
        path(&made).rsplit_once('.').map(|(key, ending)| (key.to_owned(), ending.to_owned())).unwrap();
    assert_eq!(small, format!("{key}_256.jpg"));
    let status = |user: &User| read(&w, user, small).status;
    assert_eq!((status(owner), status(&member), status(&stranger)), (200, 403, 403));
    let said = send(&w, owner, channel, &[&made]);
    assert_eq!((status(&member), status(&stranger)), (200, 403));
    let shown = read(&w, &member, small);
    assert_eq!(shown.header("content-type"), Some("image/jpeg"));
    assert_eq!(shown.header("cache-control"), Some("private, max-age=3600"));
    let etag = shown.header("etag").unwrap().to_owned();
    let bearer = format!("Bearer {}", member.token);
    let again = w.headed("GET", small, &[("Authorization", &bearer), ("If-None-Match", &etag)], b"");
    assert_eq!((again.status, again.body.len()), (304, 0));
    for size in ["64", "128", "256", "512"] {
        let answer = read(&w, &member, thumbnail(&made, size).strip_prefix("/api/v1").unwrap());
        let (width, height) = image::load_from_memory(&answer.body).unwrap().dimensions();
        assert_eq!((width.to_string().as_str(), height), (size, width / 2));
    }
    assert_eq!(read(&w, &member, &small.replace("_256", "_257")).status, 404);
    w.ok(owner, &format!("DELETE /channels/{channel}/messages/{}", text(&said["id"])), Value::Null);
    assert_eq!((status(owner), status(&member)), (200, 403), "with the picture");
    // None that would not be smaller.
    let tiny = upload(&w, owner, channel, "a.png", "image/png", &encoded(64, 9, ImageFormat::Png)).want(200);
    assert_eq!(tiny["thumbnails"], Value::Null);
}

#[test]
fn which_small_pictures_there_are_can_be_said() {
    for (sizes, want) in [("", 0), ("100,32", 2)] {
        let w = World::new(&[FREE[0], &format!("media.thumbnail_sizes={sizes}"), "media.image_quality=10"]);
        let place = w.place();
        let file = encoded(200, 200, ImageFormat::Jpeg);
        let made = upload(&w, &place.owner, &place.channel, "a.jpg", "image/jpeg", &file).want(200);
        assert_eq!(made["thumbnails"].as_object().map_or(0, |sizes| sizes.len()), want, "{made}");
        if want > 0 {
            let small = read(&w, &place.owner, thumbnail(&made, "100").strip_prefix("/api/v1").unwrap());
            assert_eq!(image::load_from_memory(&small.body).unwrap().dimensions(), (100, 100));
        }
    }
}

#[test]
fn what_begins_like_a_picture_and_is_none_is_refused() {
    let w = World::new(&[FREE[0], "media.thumbnail_sizes=64"]);
    let place = w.place();
    let (owner, channel) = (&place.owner, &place.channel);
    let [png, jpeg, webp] =
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP].map(|it| encoded(300, 200, it));
    upload(&w, owner, channel, "a.png", "image/png", &png).want(200);
    let before = memory(&w);
    for (name, file) in [
        ("a head", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec()),
        ("100 megapixels", white_png(10_000, 10_000)),
        ("a canvas that is not filled", webp_bomb()),
        ("half a PNG", png[..png.len() / 2].to_vec()),
        ("half a JPEG", jpeg[..jpeg.len() / 2].to_vec()),
        ("half a WebP", webp[..webp.len() / 2].to_vec()),
        ("an archive", [&png[..], b"PK\x03\x04rest"].concat()),
        ("a script", b"GIF89a/*\x01\0\0\0\0*/=1;alert(1)//\x2c\0;".to_vec()),
    ] {
        let begun = Instant::now();
        for answer in [
            upload(&w, owner, channel, "a.bin", "application/octet-stream", &file),
            in_chunks(&w, owner, "a.bin", "application/octet-stream", &file),
        ] {
            let told = answer.want(400);
            assert!(text(&told["error"]["message"]).contains("icture"), "{name}: {told}");
        }
        assert!(begun.elapsed() < PATIENCE, "{name} took {:?}", begun.elapsed());
    }
    let grown = memory(&w).saturating_sub(before);
    assert!(grown < 16 << 20, "the server has grown by {grown} bytes");
    upload(&w, owner, channel, "a.jpg", "image/jpeg", &jpeg).want(200);
}

#[test]
fn pictures_that_wait_too_long_are_refused_for_now() {
    let w = World::new(FREE);
    let place = w.place();
    // Few bytes that a process has to do with for a while.
    let body = form("a.png", "image/png", &white_png(4_000, 4_000));
    let address = format!("/api/v1/channels/{}/attachments", place.channel);
    let head = format!(
        "POST {address} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\r\n",
        place.owner.token,
        body.len()
    );
    // Two at work, 64 that wait, and some too many.
    let mut sockets: Vec<_> = (0..72)
        .map(|_| {
            let mut socket = open(w.server.address());
            socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&body)).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            socket
        })
        .collect();
    let begun = Instant::now();
    let refused = loop {
        assert!(begun.elapsed() < 3 * PATIENCE, "none was refused");
        // Those that are done are not waited for again.
        let mut answers = Vec::new();
        sockets.retain(|socket| match socket.peek(&mut [0; 16]) {
            Ok(_) => {
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                answers.push(read_answer(&mut BufReader::new(socket), false).unwrap());
                false
            }
            Err(_) => true,
        });
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)), "{answers:?}");
        if let Some(refused) = answers.into_iter().find(|answer| answer.status == 503) {
            break refused;
        }
    };
    assert!(refused.header("retry-after").is_some());
    assert!(refused.text().contains("Too many pictures"), "{}", refused.text());
    // Others are not held up by it.
    upload(&w, &place.owner, &place.channel, "a.txt", "text/plain", b"a text").want(200);
}

/// Files below a folder.
fn count_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 }).sum()
}

#[test]
fn of_an_upload_that_is_broken_off_nothing_is_left() {
    let w = World::new(FREE);
    let place = w.place();
    let blobs = w.server.folder().join("blobs");
    let png = encoded(600, 300, ImageFormat::Png);
    upload(&w, &place.owner, &place.channel, "a.png", "image/png", &png).want(200);
    let before = count_files(&blobs);
    assert_eq!(before, 5, "the picture and four small ones");
    let body = form("b.png", "image/png", &encoded(601, 300, ImageFormat::Png));
    let head = format!(
        "POST /api/v1/channels/{}/attachments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: {FORM}\r\nContent-Length: {}\r\n\r\n",
        place.channel,
        place.owner.token,
        body.len()
    );
    for len in [0, 10, body.len() / 2, body.len() - 1] {
        let mut socket = open(w.server.address());
        socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&body[..len])).unwrap();
    }
    // What is refused, too.
    upload(&w, &place.owner, &place.channel, "a.png", "image/png", &png[..999]).want(400);
    upload(&w, &place.owner, &place.channel, "a.txt", "text/plain", b"last").want(200);
    assert_eq!(count_files(&blobs), before + 1);
}

/// Blots at places by number, so that each number looks like something of its own.
fn blots(number: u32, width: u32, height: u32) -> DynamicImage {
    let mut random = fastrand::Rng::with_seed(u64::from(number));
    let spots: Vec<[f32; 3]> = (0..12).map(|_| [random.f32(), random.f32(), random.f32()]).collect();
    DynamicImage::ImageRgb8(RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
        let light = spots.iter().map(|[at_x, at_y, light]| {
            let far = (x - at_x).powi(2) + (y - at_y).powi(2);
            light * 200.0 * (-far * 40.0).exp()
        });
        Rgb([light.sum::<f32>().min(255.0) as u8; 3])
    }))
}

fn file_of(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// A JPEG with a comment behind its first marker.
fn said_of(jpeg: &[u8], comment: &[u8]) -> Vec<u8> {
    let len = u16::try_from(comment.len() + 2).unwrap().to_be_bytes();
    [&jpeg[..2], b"\xff\xfe", &len, comment, &jpeg[2..]].concat()
}

fn admin(w: &World, line: &str, body: Value) -> Value {
    w.call(Some(&session(w)), line, body).want(200)
}

/// How copies of a picture are answered: with other words beside it, in another format, size and quality.
fn copies(w: &World, place: &Place, number: u32) -> [u16; 4] {
    let (large, small) = (blots(number, 640, 480), blots(number, 300, 225));
    let jpeg = file_of(&large, ImageFormat::Jpeg);
    [said_of(&jpeg, b"other words"), file_of(&large, ImageFormat::Png), file_of(&small, ImageFormat::WebP), {
        let mut out = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 40);
        small.write_with_encoder(encoder).unwrap();
        out
    }]
    .map(|file| upload(w, &place.owner, &place.channel, "a.bin", "application/octet-stream", &file).status)
}

#[test]
fn what_looks_like_a_blocked_picture_is_refused() {
    let w = World::new(FREE);
    let place = w.place();
    let (owner, channel) = (&place.owner, &place.channel);
    let original = said_of(&file_of(&blots(1, 640, 480), ImageFormat::Jpeg), b"my words");
    let send = |file: &[u8]| upload(&w, owner, channel, "a.jpg", "image/jpeg", file);
    let made = send(&original).want(200);
    assert_ne!(made["hash"], sum(&original), "the words are gone");
    assert_eq!(copies(&w, &place, 1), [200; 4]);
    let hash = text(&made["hash"]);
    admin(&w, "POST /admin/blocked-hashes", json!({"hash_value": hash, "reason": "known"}));
    assert_eq!(copies(&w, &place, 1), [400; 4]);
    let refused = send(&original).want(400);
    assert!(text(&refused["error"]["message"]).contains("not allowed"), "{refused}");
    in_chunks(&w, owner, "a.jpg", "image/jpeg", &original).want(400);
    assert_eq!(copies(&w, &place, 2), [200; 4], "another one");
    let listed = admin(&w, "GET /admin/blocked-hashes", Value::Null);
    assert_eq!((&listed[0]["hash_value"], &listed[0]["phash_threshold"]), (&json!(hash), &json!(4)));
    let status = |hash: &str| w.get(owner, &format!("/media/hash/{hash}/status"))["is_blocked"].clone();
    assert_eq!(
        (status(&hash), status(&sum(&original))),
        (json!(true), json!(false)),
        "of hashes, as they are"
    );
    w.call(Some(&session(&w)), &format!("DELETE /admin/blocked-hashes/{hash}"), Value::Null).want(200);
    assert_eq!((status(&hash), copies(&w, &place, 1)), (json!(false), [200; 4]));
    // One that nobody has sent before is known by its bytes alone, as they are sent and as they are kept.
    let jpeg = file_of(&blots(3, 640, 480), ImageFormat::Jpeg);
    let said = said_of(&jpeg, b"words");
    admin(&w, "POST /admin/blocked-hashes", json!({"hash_value": sum(&said), "reason": "known"}));
    send(&said).want(400);
    let kept = text(&send(&said_of(&jpeg, b"more words")).want(200)["hash"]);
    admin(&w, "POST /admin/blocked-hashes", json!({"hash_value": kept, "reason": "known"}));
    send(&said_of(&jpeg, b"still more words")).want(400);
    // What is no picture looks like nothing.
    let txt = text(&upload(&w, owner, channel, "a.txt", "text/plain", b"bad text").want(200)["hash"]);
    admin(&w, "POST /admin/blocked-hashes", json!({"hash_value": txt, "reason": "known"}));
    let listed = admin(&w, "GET /admin/blocked-hashes", Value::Null);
    assert_eq!((&listed[0]["hash_value"], &listed[0]["phash_threshold"]), (&json!(txt), &json!(0)));
    upload(&w, owner, channel, "a.txt", "text/plain", b"good text").want(200);
}

#[test]
fn a_blocked_picture_is_no_avatar_icon_or_emoji() {
    let w = World::new(FREE);
    let place = w.place();
    let (owner, server) = (&place.owner, &place.id);
    let paths = ["/avatars/users/@me".into(), format!("/avatars/servers/{server}")];
    let picture = file_of(&blots(1, 640, 480), ImageFormat::Jpeg);
    let small = |number| file_of(&blots(number, 200, 150), ImageFormat::Png);
    let try_all = |file: &[u8], name: &str| {
        let body = form("a.bin", "application/octet-stream", file);
        let mut got: Vec<u16> =
            paths.iter().map(|path| w.form(Some(owner), path, FORM, &body).status).collect();
        let path = format!("/servers/{server}/emojis");
        got.push(crate::emojis::form(&w, Some(owner), &path, &[("name", name)], Some(file)).status);
        got
    };
    let made = upload(&w, owner, &place.channel, "a.jpg", "image/jpeg", &picture).want(200);
    admin(&w, "POST /admin/blocked-hashes", json!({"hash_value": text(&made["hash"]), "reason": "known"}));
    assert_eq!(try_all(&small(1), "one"), [400; 3], "by what it looks like");
    assert_eq!(try_all(&small(2), "two"), [200; 3], "another one");
    // What is sent anew is known by its bytes as well.
    let other = small(3);
    admin(&w, "POST /admin/blocked-hashes", json!({"hash_value": sum(&other), "reason": "known"}));
    assert_eq!(try_all(&other, "three"), [400; 3]);
}

#[test]
fn what_many_report_is_known_by_what_it_looks_like() {
    for (threshold, want) in [(4, [400; 4]), (0, [200; 4])] {
        let options = [
            FREE[0],
            "media.deduplication.auto_block_threshold=2",
            &format!("media.deduplication.phash_threshold={threshold}"),
        ];
        let w = World::new(&options);
        let place = w.place();
        let file = file_of(&blots(1, 500, 375), ImageFormat::Png);
        let made = upload(&w, &place.owner, &place.channel, "a.png", "image/png", &file).want(200);
        for _ in 0..2 {
            assert_eq!(copies(&w, &place, 1), [200; 4]);
            let body = json!({"hash_value": made["hash"], "reason": "bad"});
            w.ok(&w.user(), "POST /media/report", body);
        }
        assert_eq!(copies(&w, &place, 1), want, "{threshold}");
        let listed = admin(&w, "GET /admin/blocked-hashes", Value::Null);
        assert_eq!(
            (&listed[0]["auto_blocked"], &listed[0]["phash_threshold"]),
            (&json!(true), &json!(threshold))
        );
        upload(&w, &place.owner, &place.channel, "a.png", "image/png", &file).want(400);
    }
}
