//! Uploads onto a disk that is full, or is so before they are over: told so, nothing half there, and all right again once
//! there is room.

use std::collections::BTreeSet;
use std::io::{BufReader, Cursor, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use crate::disk::SmallDisk;
use crate::support::http::{open, read_answer};
use crate::support::{Answer, Server, User, Value, json};
use crate::{File, eventually, temporary_folder};

const FORM: &str = "multipart/form-data; boundary=b";
const MIB: usize = 1 << 20;
/// As the server tells it.
const CHUNK_LEN: usize = 5 * MIB;
/// Pixels of a side of a picture that takes three bytes for each.
const SIDE: u32 = 1_000;
const OPTIONS: &[&str] = &[
    "runtime.cores=1",
    "media.rate_limit.enabled=false",
    "media.allowed_types.other=true",
    "avatars.max_size=1200",
];

/// A disk that can be filled but for so many bytes.
struct Room {
    disk: PathBuf,
    filler: File,
}

impl Room {
    fn of(disk: &Path) -> Room {
        let filler = File::create(disk.join("filler")).expect("room for it");
        Room { disk: disk.to_owned(), filler }
    }

    /// Bytes that are free, and bytes of all.
    fn bytes(&self) -> (usize, usize) {
        let path = std::ffi::CString::new(self.disk.to_str().expect("a plain path")).expect("a path");
        // SAFETY: statvfs is integers, for which zero is a value.
        let mut found: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the path ends with a zero, the struct is writable.
        assert_eq!(unsafe { libc::statvfs(path.as_ptr(), &raw mut found) }, 0);
        let block = found.f_frsize as usize;
        (found.f_bavail as usize * block, found.f_blocks as usize * block)
    }

    /// What files on their way in leave to records.
    fn spared(&self) -> usize {
        self.bytes().1 / 20
    }

    fn make(&self) {
        self.filler.set_len(0).expect("ours");
    }

    /// Leaves so many bytes.
    fn leave(&self, left: usize) {
        self.make();
        // Where files grow meanwhile there is not always what there was, and then nothing is taken.
        eventually("the disk is filled", || {
            let len = self.bytes().0.saturating_sub(left) as i64;
            // SAFETY: a plain call on a file of ours.
            unsafe { libc::posix_fallocate(self.filler.as_raw_fd(), 0, len.max(1)) == 0 }
        });
    }
}

struct World<'d> {
    server: &'d Server,
    room: &'d Room,
    user: User,
    channel: String,
    session: String,
}

/// What there is of files: their names, what has none yet, and what clients see.
#[derive(Debug, PartialEq)]
struct Seen {
    files: BTreeSet<PathBuf>,
    partial: usize,
    chunks: Value,
    /// The side of the picture.
    avatar: u32,
    messages: usize,
}

fn form(content: &[u8], name: &str) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
    [head.as_bytes(), content, b"\r\n--b--\r\n"].concat()
}

/// Of which nothing can be made that is shorter.
fn noise(side: u32) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(side.into());
    let mut pixels = vec![0; (side * side * 3) as usize];
    random.fill(&mut pixels);
    let picture = image::RgbImage::from_raw(side, side, pixels).expect("as many as it takes");
    let mut png = Cursor::new(Vec::new());
    picture.write_to(&mut png, image::ImageFormat::Png).expect("memory takes it");
    png.into_inner()
}

fn text(len: usize) -> Vec<u8> {
    let mut text = format!("{len:063}\n").repeat(len / 64 + 1).into_bytes();
    text.truncate(len);
    text
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("a folder").path()).collect()
}

impl World<'_> {
    fn head(&self, path: &str, len: usize) -> String {
        let token = &self.user.token;
        format!(
            "POST /api/v1{path} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\nContent-Type: {FORM}\r\n\
             Content-Length: {len}\r\n\r\n"
        )
    }

    /// Sends a form; `between` happens when half of it is on its way.
    fn send(&self, path: &str, body: &[u8], between: impl FnOnce()) -> Answer {
        let mut stream = open(self.server.address());
        let (front, back) = body.split_at(body.len() / 2);
        stream.write_all(self.head(path, body.len()).as_bytes()).expect("an open socket");
        // One that is refused early hears so, and need not send the rest.
        let _ = stream.write_all(front);
        between();
        let _ = stream.write_all(back);
        let mut answer = read_answer(&mut BufReader::new(stream), false).expect("an answer");
        answer.request = format!("POST {path}");
        answer
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.server.http().call(method, &format!("/api/v1{path}"), Some(&self.user.token), body)
    }

    fn upload(&self, len: usize, between: impl FnOnce()) -> Answer {
        self.send(&format!("/channels/{}/attachments", self.channel), &form(&text(len), "x.txt"), between)
    }

    fn chunk(&self, index: usize, len: usize, between: impl FnOnce()) -> Answer {
        let path = format!("/media/upload/chunk/{}?chunk_index={index}", self.session);
        self.send(&path, &form(&text(len), "part"), between)
    }

    fn complete(&self) -> Answer {
        self.call("POST", &format!("/media/upload/complete/{}", self.session), None)
    }

    fn avatar(&self, side: u32, between: impl FnOnce()) -> Answer {
        self.send("/avatars/users/@me", &form(&noise(side), "x.png"), between)
    }

    fn seen(&self) -> Seen {
        let blobs = self.server.folder().join("blobs");
        let shelves =
            entries(&blobs).into_iter().filter(|path| path.file_name().is_some_and(|name| name.len() == 2));
        let picture = self.call("GET", &format!("/avatars/users/{}", self.user.id), None);
        let session = self.call("GET", &format!("/media/upload/session/{}", self.session), None);
        let messages = self.call("GET", &format!("/channels/{}/messages", self.channel), None).want(200);
        Seen {
            files: shelves.flat_map(|shelf| entries(&shelf)).collect(),
            partial: entries(&blobs.join("partial")).len(),
            chunks: if session.status == 404 { Value::Null } else { session.want(200)["chunks"].clone() },
            avatar: image::load_from_memory(&picture.body).expect("a picture").width(),
            messages: messages.as_array().expect("a list").len(),
        }
    }

    /// Files that have lost their names, and are held.
    fn held(&self) -> usize {
        let files = entries(Path::new(&format!("/proc/{}/fd", self.server.pid())));
        let targets = files.iter().filter_map(|file| std::fs::read_link(file).ok());
        targets.filter(|target| target.to_string_lossy().ends_with("(deleted)")).count()
    }

    /// Refused, with a sentence, and nothing of it is left.
    #[track_caller]
    fn refused(&self, what: &str, ask: impl FnOnce(&Self) -> Answer) {
        let (before, free) = (self.seen(), self.room.bytes().0);
        let answer = ask(self);
        let body = answer.want(503);
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.contains("free disk space"), "{what}: {message}");
        assert!(answer.header("retry-after").is_some(), "{what}: {answer:?}");
        assert_eq!(self.seen(), before, "{what}");
        eventually("no file is held", || self.held() == 0);
        // Records may have taken some.
        let has_room = || self.room.bytes().0 + MIB > free;
        eventually("its room is free again", || has_room() || free == 0);
    }
}

/// Where the disk becomes full: before the first byte, while they come, and when the file gets its name. `spool` bytes are
/// needed before that, and as many again then.
fn each_moment(world: &World<'_>, what: &str, spool: usize, ask: &dyn Fn(&World<'_>, &dyn Fn()) -> Answer) {
    let room = world.room;
    room.leave(0);
    world.refused(&format!("{what} at once"), |world| ask(world, &|| {}));
    room.make();
    world.refused(&format!("{what} half way"), |world| {
        let answer = ask(world, &|| {
            let has_come = || world.held() == 1;
            eventually("its beginning is there", has_come);
            room.leave(0);
        });
        room.make();
        answer
    });
    room.leave(room.spared() + spool + (spool - room.spared().min(spool)) / 2);
    world.refused(&format!("{what} at the end"), |world| ask(world, &|| {}));
    room.make();
}

fn uploads_story(disk: &Path) {
    let data = disk.join("data");
    std::fs::create_dir(&data).expect("room for it");
    let (server, room) = (Server::start_in(&data, OPTIONS), Room::of(disk));
    let user = server.register("ada");
    let mut world =
        World { server: &server, room: &room, user, channel: String::new(), session: String::new() };
    let made = world.call("POST", "/servers", Some(&json!({"name": "disk"}))).want(200);
    world.channel = made["default_channel_id"].as_str().expect("an id").to_owned();
    let whole = CHUNK_LEN + 7;
    let body = json!({"filename": "x.txt", "content_type": "text/plain", "total_size": whole});
    let made = world.call("POST", "/media/upload/session", Some(&body)).want(200);
    world.session = made["session_id"].as_str().expect("an id").to_owned();
    world.avatar(9, || {}).want(200);
    world.chunk(1, 7, || {}).want(200);

    each_moment(&world, "a file", 4 * MIB, &|world, between| world.upload(4 * MIB, between));
    each_moment(&world, "a chunk", CHUNK_LEN, &|world, between| world.chunk(0, CHUNK_LEN, between));
    let len = noise(SIDE).len();
    each_moment(&world, "a picture", len, &|world, between| world.avatar(SIDE, between));
    // What was read goes on being read, and what was refused is taken now; of the session all is there that was.
    world.chunk(0, CHUNK_LEN, || {}).want(200);
    room.leave(0);
    world.refused("to complete at once", World::complete);
    room.leave(room.spared() + CHUNK_LEN + CHUNK_LEN / 3);
    world.refused("to complete at the end", World::complete);
    room.make();
    let completed = world.complete().want(200)["attachment"]["url"].clone();
    let uploaded = world.upload(4 * MIB, || {}).want(200)["url"].clone();
    world.avatar(SIDE, || {}).want(200);
    let body = json!({"attachments": [{"url": completed}, {"url": uploaded}]});
    world.call("POST", &format!("/channels/{}/messages", world.channel), Some(&body)).want(200);
    let want = [[text(CHUNK_LEN), text(7)].concat(), text(4 * MIB)];
    for (url, want) in [completed, uploaded].iter().zip(want) {
        let answer = server.http().get(url.as_str().expect("an address"), Some(&world.user.token));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.body == want, "{} bytes of {}", answer.body.len(), want.len());
    }
    let seen = world.seen();
    assert_eq!((seen.avatar, seen.messages, seen.partial, world.held()), (SIDE, 1, 0, 0));
    assert_eq!(server.stop().code(), Some(0));
}

#[test]
fn uploads_onto_a_full_disk_are_refused_and_leave_nothing() {
    let Some(disk) = SmallDisk::mount("size=48m,mode=700") else { return };
    uploads_story(disk.path());
}

/// The same on a disk that promises room before it gives it.
#[test]
#[ignore = "needs root and a loop device"]
fn uploads_onto_a_full_ext4_are_refused_and_leave_nothing() {
    let place = temporary_folder();
    let (image, mount) = (place.path().join("image"), place.path().join("mount"));
    File::create(&image).expect("room for it").set_len(64 << 20).expect("it is sparse");
    std::fs::create_dir(&mount).expect("room for it");
    let tool = |program: &str, arguments: &[&std::ffi::OsStr]| {
        std::process::Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
    };
    assert!(tool("mkfs.ext4", &["-q".as_ref(), "-m".as_ref(), "0".as_ref(), image.as_ref()]));
    assert!(tool("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), mount.as_ref()]));
    let outcome = std::panic::catch_unwind(|| uploads_story(&mount));
    assert!(tool("umount", &["--lazy".as_ref(), mount.as_ref()]));
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}
