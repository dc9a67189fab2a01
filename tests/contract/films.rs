//! Small pictures of films, by a program of others that the operator names.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use image::GenericImageView as _;

use crate::support::{User, Value};
use crate::uploaded_pictures::{is_upright, made_elsewhere, read, thumbnail};
use crate::uploads::upload;
use crate::world::World;

fn with(program: &str) -> World {
    World::new(&[
        "media.rate_limit.enabled=false",
        "media.thumbnail_sizes=64,128",
        &format!("media.thumbnailer={program}"),
    ])
}

/// What the answer to its upload says of a film.
fn film(w: &World, owner: &User, channel: &str, name: &str, file: &[u8]) -> Value {
    let kind = if name.ends_with("webm") { "video/webm" } else { "video/mp4" };
    upload(w, owner, channel, name, kind, file).want(200)
}

fn small_of(w: &World, owner: &User, made: &Value, side: &str) -> image::DynamicImage {
    let small = read(w, owner, thumbnail(made, side).strip_prefix("/api/v1").unwrap());
    image::load_from_memory(&small.body).unwrap()
}

#[test]
fn a_film_has_small_pictures_of_its_first_picture() {
    let ffmpeg = Command::new("ffmpeg").arg("-version").stdout(Stdio::null()).status();
    if !ffmpeg.is_ok_and(|status| status.success()) {
        // Where nobody reads what is printed, a test that does not run must not pass.
        assert!(std::env::var_os("PLEXICHAT_SCHEMA_TOOLS").is_none(), "ffmpeg");
        println!("skipped: there is no ffmpeg; apt-get install ffmpeg");
        return;
    }
    let w = with("ffmpeg");
    let place = w.place();
    let (owner, channel) = (&place.owner, &place.channel);
    for name in ["quarters.mp4", "quarters.webm"] {
        let file = made_elsewhere(name);
        let made = film(&w, owner, channel, name, &file);
        assert_eq!((&made["width"], &made["height"]), (&Value::from(320), &Value::from(180)), "{name}: {made}");
        assert_eq!(made["size"], file.len(), "the film itself is kept as it came");
        let small = small_of(&w, owner, &made, "128");
        assert_eq!(small.dimensions(), (128, 72), "{name}");
        assert!(is_upright(&small), "{name}");
        // What no picture can be had of is a film all the same.
        let cut = film(&w, owner, channel, name, &file[..file.len() / 3]);
        assert_eq!(cut["thumbnails"], Value::Null, "{name}: {cut}");
    }
    // It is not asked to find out by itself what it has: a text may name other files.
    let list = [b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom".as_slice(), b"\n#EXTM3U\nfile:///etc/passwd\n"].concat();
    assert_eq!(film(&w, owner, channel, "list.mp4", &list)["thumbnails"], Value::Null);
}

#[test]
fn a_film_without_the_program_is_taken_without_pictures() {
    for program in ["", "/no/such/program", "/bin/false", "/bin/cat"] {
        let w = with(program);
        let place = w.place();
        let made = film(&w, &place.owner, &place.channel, "a.mp4", &made_elsewhere("quarters.mp4"));
        assert_eq!((&made["thumbnails"], &made["width"]), (&Value::Null, &Value::Null), "{program:?}: {made}");
    }
}

#[test]
fn the_program_is_confined() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("frames");
    let picture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pictures/turned.png");
    // It answers with a picture when its limits are what they should be. The shell starts no process: it may not.
    let script = format!(
        r#"#!/bin/sh
seen=0
while read -r a b c soft hard rest; do
  case "$a $b $c" in
    "Max address space") [ "$soft $hard" = "1342177280 1342177280" ] || exit 1; seen=$((seen + 1)) ;;
    "Max cpu time") [ "$soft $hard" = "10 10" ] || exit 1; seen=$((seen + 1)) ;;
    "Max file size") [ "$soft $hard" = "0 0" ] || exit 1; seen=$((seen + 1)) ;;
  esac
done < /proc/self/limits
[ $seen = 3 ] || exit 1
[ -z "$HOME$USER$PLEXICHAT_SMTP_PASSWORD" ] || exit 1
exec cat {picture}
"#
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let w = with(program.to_str().unwrap());
    let place = w.place();
    let made = film(&w, &place.owner, &place.channel, "a.mp4", &made_elsewhere("quarters.mp4"));
    assert!(is_upright(&small_of(&w, &place.owner, &made, "64")), "{made}");
}
