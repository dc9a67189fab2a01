//! Avatars and icons of one's own.

use std::io::{Cursor, Write};
use std::time::Instant;

use image::{Delay, DynamicImage, Frame, ImageFormat, Rgba, RgbaImage};

use crate::gateway::ready;
use crate::support::{Answer, User, Value, json};
use crate::world::{World, shape, success};

cases![
    avatar_user_upload,
    avatar_user_delete,
    avatar_server_upload,
    avatar_server_delete,
    me_avatar_upload,
    server_icon_upload,
];

const UPLOADED: &str = "success: bool, avatar_url: str, width: int, height: int, size: int, animated: bool";
const ICON: &str = "success: bool, icon_url: str, width: int, height: int, size: int, animated: bool";
const MIB: usize = 1 << 20;

pub fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let picture = RgbaImage::from_fn(width, height, |x, y| Rgba([x as u8, y as u8, 99, 255]));
    let picture = DynamicImage::ImageRgba8(picture);
    let picture = if format == ImageFormat::Jpeg { picture.to_rgb8().into() } else { picture };
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

pub fn animated() -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut out);
    for shade in [0, 200] {
        let frame = RgbaImage::from_pixel(600, 300, Rgba([shade, 0, 0, 255]));
        encoder.encode_frame(Frame::from_parts(frame, 0, 0, Delay::from_numer_denom_ms(50, 1))).unwrap();
    }
    drop(encoder);
    out
}

/// Sends a file as a form does.
fn send(w: &World, user: Option<&User>, path: &str, file: &[u8]) -> Answer {
    let mut body = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\
        Content-Type: image/png\r\n\r\n"
        .to_vec();
    body.extend_from_slice(file);
    body.extend_from_slice(b"\r\n--xyz--\r\n");
    w.form(user, path, "multipart/form-data; boundary=xyz", &body)
}

/// The picture at a path, which is of that type.
fn shown(w: &World, path: &str, content_type: &str) -> Answer {
    let answer = w.anyone(&format!("GET {path}"), Value::Null);
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(content_type)), "{path}");
    answer
}

fn avatar_user_upload(w: &World) {
    let user = w.user();
    let path = format!("/avatars/users/{}", user.id);
    for (file, size, content_type, is_animated) in [
        (encoded(64, 64, ImageFormat::Png), (64, 64), "image/png", false),
        (encoded(2_000, 500, ImageFormat::Jpeg), (512, 128), "image/jpeg", false),
        (encoded(100, 60, ImageFormat::WebP), (100, 60), "image/webp", false),
        (animated(), (512, 256), "image/gif", true),
    ] {
        let answer = send(w, Some(&user), "/avatars/users/@me", &file).want(200);
        shape(&answer, UPLOADED);
        assert_eq!(answer["avatar_url"], format!("/api/v1{path}"));
        assert_eq!((&answer["width"], &answer["height"]), (&json!(size.0), &json!(size.1)));
        assert_eq!(answer["animated"], is_animated);
        let picture = shown(w, &path, content_type);
        assert_eq!(answer["size"], picture.body.len());
        let decoded = image::load_from_memory(&picture.body).unwrap();
        assert_eq!((decoded.width(), decoded.height()), size);
    }
    let picture = shown(w, &path, "image/gif");
    let etag = picture.header("etag").unwrap();
    for (name, want) in [
        ("cache-control", "public, max-age=86400"),
        ("access-control-allow-origin", "*"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(picture.header(name), Some(want), "{name}");
    }
    let get = |headers: &[(&str, &str)]| w.server.http().request("GET", &format!("/api/v1{path}"), headers, None);
    let known = get(&[("If-None-Match", etag)]);
    assert_eq!((known.status, known.header("etag"), known.body.len()), (304, Some(etag), 0));
    let part = get(&[("Range", "bytes=6-15"), ("If-Range", etag)]);
    assert_eq!((part.status, part.body.as_slice()), (206, &picture.body[6..16]));
    let head = w.server.http().request("HEAD", &format!("/api/v1{path}"), &[], None);
    assert_eq!(head.header("content-length"), Some(picture.body.len().to_string().as_str()));
    // Others are told, by an event and by READY.
    let other = w.user();
    w.befriend(&user, &other);
    let (mut socket, _) = ready(w, &other.token);
    send(w, Some(&user), "/avatars/users/@me", &encoded(9, 9, ImageFormat::Png)).want(200);
    let event = socket.event("USER_UPDATE");
    assert_eq!((&event["user"]["id"], &event["user"]["avatar_url"]), (&json!(user.id), &json!(format!("/api/v1{path}"))));
    let (_, first) = ready(w, &user.token);
    assert!(first["user"]["avatar"].is_string(), "{first}");
    send(w, None, "/avatars/users/@me", &encoded(9, 9, ImageFormat::Png)).want(401);
}

fn avatar_user_delete(w: &World) {
    let user = w.user();
    let delete = || w.ok(&user, "DELETE /avatars/users/@me", Value::Null);
    assert_eq!(delete(), json!({"success": false}));
    send(w, Some(&user), "/avatars/users/@me", &encoded(9, 9, ImageFormat::Png)).want(200);
    let (mut socket, _) = ready(w, &user.token);
    success(&delete());
    assert_eq!(socket.event("USER_UPDATE")["user"]["id"], *user.id);
    assert_eq!(delete(), json!({"success": false}));
    shown(w, &format!("/avatars/users/{}", user.id), "image/svg+xml");
}

fn avatar_server_upload(w: &World) {
    let place = w.place();
    let (path, picture) = (format!("/avatars/servers/{}", place.id), encoded(30, 20, ImageFormat::Png));
    let (member, stranger) = (w.member(&place), w.user());
    let (mut socket, _) = ready(w, &member.token);
    let answer = send(w, Some(&place.owner), &path, &picture).want(200);
    shape(&answer, ICON);
    assert_eq!((&answer["icon_url"], &answer["width"]), (&json!(format!("/api/v1{path}")), &json!(30)));
    assert_eq!(socket.event("GUILD_UPDATE")["icon_url"], answer["icon_url"]);
    assert_eq!(w.get(&member, &format!("/servers/{}", place.id))["icon_url"], answer["icon_url"]);
    shown(w, &path, "image/png");
    let audit = w.get(&place.owner, &format!("/servers/{}/audit-logs", place.id));
    assert!(audit.to_string().contains("server_update"), "{audit}");
    for (user, path, status) in [
        (&member, path.as_str(), 403),
        (&stranger, &path, 403),
        (&place.owner, "/avatars/servers/77", 404),
        (&place.owner, "/avatars/servers/x", 400),
    ] {
        send(w, Some(user), path, &picture).want(status);
    }
    w.grant(&place, &member, &["server.manage"]);
    send(w, Some(&member), &path, &picture).want(200);
}

fn avatar_server_delete(w: &World) {
    let place = w.place();
    let member = w.member(&place);
    let line = format!("DELETE /avatars/servers/{}", place.id);
    assert_eq!(w.ok(&place.owner, &line, Value::Null), json!({"success": false}));
    let path = format!("/avatars/servers/{}", place.id);
    send(w, Some(&place.owner), &path, &encoded(9, 9, ImageFormat::Png)).want(200);
    w.refused(&member, &line, Value::Null, 403);
    w.refused(&place.owner, "DELETE /avatars/servers/77", Value::Null, 404);
    success(&w.ok(&place.owner, &line, Value::Null));
    assert_eq!(w.get(&member, &format!("/servers/{}", place.id))["icon_url"], Value::Null);
    shown(w, &path, "image/svg+xml");
}

fn me_avatar_upload(w: &World) {
    let user = w.user();
    let answer = send(w, Some(&user), "/users/@me/avatar", &encoded(64, 64, ImageFormat::Png)).want(200);
    shape(&answer, UPLOADED);
    shown(w, &format!("/avatars/users/{}", user.id), "image/png");
}

fn server_icon_upload(w: &World) {
    let place = w.place();
    let path = format!("/servers/{}/icon", place.id);
    let server = send(w, Some(&place.owner), &path, &encoded(64, 64, ImageFormat::Png)).want(200);
    assert_eq!(server["icon_url"], format!("/api/v1/avatars/servers/{}", place.id));
    assert_eq!(server["id"], *place.id);
    send(w, Some(&place.owner), &path, &vec![0; 2 * MIB + 1]).want(413);
}

// ------------------------------------------------------------------------------------------ what is no picture

/// A PNG of so many white pixels: of each row, no byte but its filter.
pub fn white_png(width: u32, height: u32) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        out.extend_from_slice(&(data.len() as u32).to_be_bytes());
        let body = [&kind[..], data].concat();
        out.extend_from_slice(&body);
        let mut sum = flate2::Crc::new();
        sum.update(&body);
        out.extend_from_slice(&sum.sum().to_be_bytes());
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(b"IHDR", &[&size[..], &[8, 0, 0, 0, 0]].concat());
    let mut packed = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let row = vec![0; width as usize + 1];
    (0..height).for_each(|_| packed.write_all(&row).unwrap());
    chunk(b"IDAT", &packed.finish().unwrap());
    chunk(b"IEND", &[]);
    out
}

/// An animation of six frames of a pixel on the largest canvas there is. A decoder that is given limits makes room for
/// the canvas all the same: 1.8 GB.
pub fn webp_bomb() -> Vec<u8> {
    let pixel = encoded(1, 1, ImageFormat::WebP);
    let at = pixel.windows(4).position(|kind| kind == b"VP8L").unwrap();
    let chunk = |kind: &[u8; 4], data: &[u8]| [&kind[..], &(data.len() as u32).to_le_bytes(), data].concat();
    let canvas = chunk(b"VP8X", &[2, 0, 0, 0, 0xfe, 0x3f, 0, 0xfe, 0x3f, 0]);
    let frame = chunk(b"ANMF", &[&[0; 16][..], &pixel[at..]].concat());
    let chunks = [canvas, chunk(b"ANIM", &[0; 6]), frame.repeat(6)].concat();
    [b"RIFF", &(chunks.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunks].concat()
}

/// The most memory that the server has had.
pub fn memory(w: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", w.server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[test]
fn what_is_no_picture_costs_nobody_anything() {
    let w = World::new(&[]);
    let user = w.user();
    let upload = |file: &[u8]| send(&w, Some(&user), "/avatars/users/@me", file);
    upload(&encoded(9, 9, ImageFormat::Png)).want(200);
    let (png, jpeg) = (encoded(300, 200, ImageFormat::Png), encoded(300, 200, ImageFormat::Jpeg));
    let before = memory(&w);
    for (name, file) in [
        ("a text", b"zz".to_vec()),
        ("a page", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>".to_vec()),
        ("a program", b"\x7fELF\x02\x01\x01".to_vec()),
        ("100 megapixels", white_png(10_000, 10_000)),
        ("a canvas that is not filled", webp_bomb()),
        ("half a PNG", png[..png.len() / 2].to_vec()),
        ("half a JPEG", jpeg[..jpeg.len() / 2].to_vec()),
        ("a picture that is an archive", [&png[..], b"PK\x03\x04rest"].concat()),
        ("a picture that is a script", b"GIF89a/*\x01\0\0\0\0*/=1;alert(1)//\x2c\0;".to_vec()),
        ("a head without a picture", [&png[..50], &png[png.len() - 12..]].concat()),
        ("nothing", Vec::new()),
    ] {
        let begun = Instant::now();
        let answer = upload(&file);
        assert_eq!(answer.status, 400, "{name}: {}", answer.text());
        assert!(begun.elapsed().as_secs() < 12, "{name} took {:?}", begun.elapsed());
    }
    let grown = memory(&w) - before;
    assert!(grown < 16 * MIB as u64, "the server has grown by {grown} bytes");
    // What is large but no more is taken.
    upload(&white_png(4_000, 4_000)).want(200);
    // Too long is refused by what is announced, or when it has come.
    assert_eq!(upload(&vec![0; 5 * MIB + 1]).status, 413);
    assert_eq!(upload(&vec![0; 6 * MIB]).status, 413);
    assert_eq!(w.form(Some(&user), "/avatars/users/@me", "application/json", b"{}").status, 400);
    shown(&w, &format!("/avatars/users/{}", user.id), "image/png");
}

/// What the process of a picture may use stands in its limits: so does what it does to a file that asks for more.
#[test]
fn a_picture_has_a_process_with_limits() {
    let frames = |width: u32, height: u32, count: u16| {
        let mut file = b"GIF89a".to_vec();
        file.extend_from_slice(&(width as u16).to_le_bytes());
        file.extend_from_slice(&(height as u16).to_le_bytes());
        file.extend_from_slice(&[0x80, 0, 0, 1, 2, 3, 4, 5, 6]);
        for _ in 0..count {
            file.extend_from_slice(b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0");
        }
        file.push(0x3b);
        file
    };
    let run = |file: &[u8]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_plexichat"));
        command.args(["worker", "image", "512"]).stdin(std::process::Stdio::piped());
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        // It may have ended before it has read all.
        let _ = child.stdin.take().unwrap().write_all(file);
        child.wait_with_output().unwrap()
    };
    let limits = run(&encoded(9, 9, ImageFormat::Png));
    assert!(limits.status.success() && limits.stdout.starts_with(&[0]), "{:?}", limits.status);
    let refused = run(&webp_bomb());
    assert!(refused.status.success() && refused.stdout.starts_with(b"\x01The picture has more than 64 million"));
    assert!(run(&frames(10, 10, 1_001)).stdout.starts_with(b"\x01The picture has more than 1,000 frames"));
    assert!(run(&frames(1_000, 1_000, 401)).stdout.starts_with(b"\x01The frames"));
    let (limit, mapped) = address_space();
    assert!(limit >= mapped + 128 * MIB as u64, "of {limit} bytes {mapped} are gone before it begins");
    // As many frames as may be: in time, or ended.
    let begun = Instant::now();
    let long = run(&frames(600, 600, 1_000));
    assert!(begun.elapsed().as_secs() < 60, "{:?} {:?}", begun.elapsed(), long.status);
}

/// What the process of a picture may have, and what it has of that while it waits for one.
fn address_space() -> (u64, u64) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_plexichat"));
    command.args(["worker", "image", "512"]).stdin(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    let number = |file: &str, name: &str| {
        let text = std::fs::read_to_string(format!("/proc/{}/{file}", child.id())).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok())
    };
    let deadline = Instant::now() + std::time::Duration::from_secs(20);
    // "unlimited" until it has confined itself.
    let limit = loop {
        match number("limits", "Max address space") {
            Some(limit) => break limit,
            None => assert!(Instant::now() < deadline, "it does not confine itself"),
        }
    };
    let mapped = number("status", "VmSize:").unwrap() * 1024;
    child.kill().unwrap();
    child.wait().unwrap();
    (limit, mapped)
}
