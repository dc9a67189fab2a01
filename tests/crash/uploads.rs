//! SIGKILL in the middle of uploads, of chunks, of posts with files, and of deleting them: each message has its files byte
//! for byte, what came in chunks goes on where it was, and once all is deleted and a day is over, no file is left.
//!
//! `UPLOAD_KILLS` sets the number of kills, `CRASH_SEED` repeats the choices of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use plexichat::domain::housekeeping::sweep::Sweep;
use plexichat::domain::{Command, Machine, Now, Reply};
use plexichat::id::UserId;
use plexichat::store::blobs::{BLOBS_FOLDER, SHELF_COUNT};
use plexichat::store::hex;
use plexichat::store::tables::{
    BLOBS, FILE_USES, MESSAGE_FILES, UPLOAD_CHUNKS, UPLOAD_KEYS, UPLOAD_LAPSES, UPLOAD_SESSION_LAPSES,
    UPLOAD_SESSIONS, UPLOADS,
};
use plexichat::store::{Options, Store, Sync};
use sha2::{Digest as _, Sha256};

use crate::line::Line;
use crate::support::{self, Answer, Server, User, Value, json};
use crate::{number, text};

const UPLOADERS: usize = 4;
/// As the server tells them.
const CHUNK_LEN: usize = 5 << 20;
const FORM: &str = "multipart/form-data; boundary=b";
/// Uploads that no message has yet, and sessions, of one uploader.
const AT_ONCE_MAX: usize = 4;
/// All that was ever acknowledged is read every so many kills; in between what is new.
const WHOLE_EVERY: usize = 10;

/// What a file is; no two are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Content {
    number: u64,
    len: usize,
}

impl Content {
    fn bytes(self) -> Vec<u8> {
        let mut bytes = format!("{:063}\n", self.number).repeat(self.len / 64 + 1).into_bytes();
        bytes.truncate(self.len);
        bytes
    }

    fn sum(self) -> String {
        hex::encode(&<[u8; 32]>::from(Sha256::digest(self.bytes())))
    }

    fn chunk(self, index: usize) -> Vec<u8> {
        self.bytes().chunks(CHUNK_LEN).nth(index).expect("it is one of its chunks").to_vec()
    }

    fn chunk_count(self) -> usize {
        self.len.div_ceil(CHUNK_LEN)
    }
}

/// A file that the server has acknowledged.
#[derive(Clone, Debug)]
struct Kept {
    content: Content,
    path: String,
}

/// A file that comes in chunks.
#[derive(Debug)]
struct Session {
    id: String,
    content: Content,
    sent: BTreeSet<usize>,
    /// Its request has no answer yet.
    under_way: Option<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Chunk(usize),
    /// It is completed, or given up.
    End,
}

/// Of a message that is, or may be there.
#[derive(Debug)]
struct Posted {
    files: Vec<Kept>,
    is_being_deleted: bool,
    is_read: bool,
}

/// Somebody who uploads, and what was acknowledged to him.
struct Uploader {
    user: User,
    channel: String,
    next: u64,
    /// That no message has yet.
    uploads: Vec<Kept>,
    messages: BTreeMap<u64, Posted>,
    /// The files of a message whose request has no answer yet.
    posting: Option<Vec<Kept>>,
    /// Of messages that are deleted.
    gone: Vec<Kept>,
    sessions: Vec<Session>,
    /// The side of his picture, and that of the one that may have taken its place; 0 is none.
    avatar: (u32, Option<u32>),
    done: BTreeMap<&'static str, usize>,
}

fn form(content: &[u8], name: &str) -> Vec<u8> {
    let head = format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
    [head.as_bytes(), content, b"\r\n--b--\r\n"].concat()
}

fn picture(side: u32) -> Vec<u8> {
    let mut png = std::io::Cursor::new(Vec::new());
    let picture = image::DynamicImage::new_rgb8(side, side);
    picture.write_to(&mut png, image::ImageFormat::Png).expect("memory takes it");
    png.into_inner()
}

fn path_of(upload: &Value) -> String {
    text(&upload["url"]).strip_prefix("/api/v1").expect("the prefix").to_owned()
}

impl Uploader {
    fn send(&self, line: &mut Line, path: &str, content: &[u8], name: &str) -> Result<Answer, String> {
        line.send("POST", path, Some(&self.user.token), Some((FORM, &form(content, name))))
    }

    fn call(
        &self,
        line: &mut Line,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, String> {
        line.call(method, path, Some(&self.user.token), body)
    }

    fn done(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn fresh(&mut self, len: usize) -> Content {
        self.next += 1;
        Content { number: self.next, len }
    }

    /// Goes on until the connection is lost.
    fn run(&mut self, address: SocketAddr, random: &mut fastrand::Rng) -> Result<(), String> {
        let mut line = Line::open(address)?;
        loop {
            match random.u8(..12) {
                0..=2 if self.uploads.len() < AT_ONCE_MAX => self.upload(&mut line, random)?,
                3..=5 if !self.uploads.is_empty() => self.post(&mut line, random)?,
                6 if !self.messages.is_empty() => self.delete(&mut line, random)?,
                7 if self.sessions.len() < AT_ONCE_MAX => self.open(&mut line, random)?,
                8..=10 if !self.sessions.is_empty() => self.go_on(&mut line, random)?,
                11 => self.exchange_avatar(&mut line, random)?,
                _ => {}
            }
        }
    }

    fn upload(&mut self, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
        let len = [1, 100, 70_000, 1 << 20][random.usize(..4)];
        let content = self.fresh(random.usize(1..=len));
        let path = format!("/channels/{}/attachments", self.channel);
        let made = self.send(line, &path, &content.bytes(), "x.txt")?.want(200);
        assert_eq!(made["hash"], content.sum());
        self.uploads.push(Kept { content, path: path_of(&made) });
        self.done("uploads");
        Ok(())
    }

    fn post(&mut self, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
        let count = random.usize(1..=self.uploads.len());
        self.posting = Some(self.uploads[..count].to_vec());
        let files: Vec<Value> = self.uploads[..count]
            .iter()
            .map(|file| json!({"url": format!("/api/v1{}", file.path)}))
            .collect();
        let path = format!("/channels/{}/messages", self.channel);
        let made = self.call(line, "POST", &path, Some(&json!({"attachments": files})))?.want(200);
        let files = self.posting.take().expect("just put there");
        self.uploads.drain(..count);
        let id = text(&made["id"]).parse().expect("a number");
        self.messages.insert(id, Posted { files, is_being_deleted: false, is_read: false });
        self.done("messages");
        Ok(())
    }

    fn delete(&mut self, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
        let index = random.usize(..self.messages.len());
        let (id, posted) = self.messages.iter_mut().nth(index).expect("there are more");
        posted.is_being_deleted = true;
        let (id, path) = (*id, format!("/channels/{}/messages/{id}", self.channel));
        self.call(line, "DELETE", &path, None)?.want(200);
        self.gone.extend(self.messages.remove(&id).expect("it is there").files);
        self.done("deleted");
        Ok(())
    }

    fn open(&mut self, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
        let len =
            if random.u8(..3) == 0 { CHUNK_LEN + random.usize(1..9_000) } else { random.usize(1..90_000) };
        let content = self.fresh(len);
        let body = json!({"filename": "x.txt", "content_type": "text/plain", "total_size": len});
        let made = self.call(line, "POST", "/media/upload/session", Some(&body))?.want(200);
        assert_eq!(made["chunk_size"], CHUNK_LEN);
        let id = text(&made["session_id"]);
        self.sessions.push(Session { id, content, sent: BTreeSet::new(), under_way: None });
        self.done("sessions");
        Ok(())
    }

    /// A session's next step, whichever that is.
    fn go_on(&mut self, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
        let index = random.usize(..self.sessions.len());
        let session = &self.sessions[index];
        let missing = (0..session.content.chunk_count()).find(|chunk| !session.sent.contains(chunk));
        match missing {
            _ if random.u8(..12) == 0 => self.give_up(line, index),
            // Some are sent twice.
            _ if !session.sent.is_empty() && random.u8(..6) == 0 => self.send_chunk(line, index, 0),
            Some(chunk) => self.send_chunk(line, index, chunk),
            None => self.complete(line, index),
        }
    }

    fn send_chunk(&mut self, line: &mut Line, index: usize, chunk: usize) -> Result<(), String> {
        let session = &mut self.sessions[index];
        session.under_way = Some(Step::Chunk(chunk));
        let path = format!("/media/upload/chunk/{}?chunk_index={chunk}", session.id);
        let bytes = session.content.chunk(chunk);
        let answer = self.send(line, &path, &bytes, "part")?.want(200);
        assert_eq!(answer["success"], true, "{answer}");
        let session = &mut self.sessions[index];
        session.under_way = None;
        session.sent.insert(chunk);
        assert_eq!(answer["uploaded_chunks"], session.sent.len());
        self.done("chunks");
        Ok(())
    }

    fn complete(&mut self, line: &mut Line, index: usize) -> Result<(), String> {
        self.sessions[index].under_way = Some(Step::End);
        let path = format!("/media/upload/complete/{}", self.sessions[index].id);
        let made = self.call(line, "POST", &path, None)?.want(200)["attachment"].clone();
        let content = self.sessions.swap_remove(index).content;
        assert_eq!(made["hash"], content.sum());
        self.uploads.push(Kept { content, path: path_of(&made) });
        self.done("completed");
        Ok(())
    }

    fn give_up(&mut self, line: &mut Line, index: usize) -> Result<(), String> {
        self.sessions[index].under_way = Some(Step::End);
        let path = format!("/media/upload/session/{}", self.sessions[index].id);
        self.call(line, "DELETE", &path, None)?.want(200);
        self.sessions.swap_remove(index);
        self.done("given up");
        Ok(())
    }

    fn exchange_avatar(&mut self, line: &mut Line, random: &mut fastrand::Rng) -> Result<(), String> {
        let side = if random.bool() { 0 } else { random.u32(5..200) };
        self.avatar.1 = Some(side);
        match side {
            0 => self.call(line, "DELETE", "/avatars/users/@me", None)?,
            _ => self.send(line, "/avatars/users/@me", &picture(side), "x.png")?,
        }
        .want(200);
        self.avatar = (side, None);
        self.done("avatars");
        Ok(())
    }

    // -------------------------------------------------------------------------------------- after a kill

    fn check(&mut self, address: SocketAddr, reader: &User, is_whole: bool) {
        let mut line = Line::open(address).expect("it listens");
        self.check_messages(&mut line, reader, is_whole);
        for file in &self.uploads {
            read(&mut line, &self.user, file);
        }
        for file in self.gone.iter().filter(|_| is_whole) {
            let status = line.get(&file.path, &reader.token).expect("an answer").status;
            assert!([403, 404].contains(&status), "{status} for {file:?} of a message that is deleted");
        }
        self.check_sessions(&mut line);
        self.check_avatar(&mut line);
    }

    /// Whatever message is there has its files: also that which nobody was told of.
    fn check_messages(&mut self, line: &mut Line, reader: &User, is_whole: bool) {
        let mut found = BTreeMap::new();
        let mut last = 0;
        loop {
            let path = format!("/channels/{}/messages?limit=100&after={last}", self.channel);
            let page = line.get(&path, &reader.token).expect("an answer").want(200);
            let page = page.as_array().expect("a list");
            for message in page {
                last = text(&message["id"]).parse().expect("a number");
                found.insert(last, message["attachments"].as_array().expect("a list").clone());
            }
            if page.len() < 100 {
                break;
            }
        }
        if let Some(files) = self.posting.take()
            && let Some((id, _)) = found.iter().find(|(id, _)| !self.messages.contains_key(id))
        {
            self.uploads.drain(..files.len());
            self.messages.insert(*id, Posted { files, is_being_deleted: false, is_read: false });
        }
        let (messages, gone) = (&mut self.messages, &mut self.gone);
        messages.retain(|id, posted| {
            let is_there = found.contains_key(id);
            assert!(is_there || posted.is_being_deleted, "message {id} is lost: {posted:?}");
            gone.extend(posted.files.iter().filter(|_| !is_there).cloned());
            posted.is_being_deleted = false;
            is_there
        });
        assert_eq!(found.len(), messages.len(), "nobody has posted some of {:?}", found.keys());
        for (id, shown) in found {
            let posted = messages.get_mut(&id).expect("they are the same");
            assert_eq!(shown.len(), posted.files.len(), "files of {id}");
            for (shown, file) in shown.iter().zip(&posted.files).filter(|_| is_whole || !posted.is_read) {
                assert_eq!((path_of(shown), &shown["size"]), (file.path.clone(), &json!(file.content.len)));
                read(line, reader, file);
            }
            posted.is_read = true;
        }
    }

    /// Chunks that were acknowledged are there, and of the others only one that was under way.
    fn check_sessions(&mut self, line: &mut Line) {
        let token = &self.user.token;
        self.sessions.retain_mut(|session| {
            let path = format!("/media/upload/session/{}", session.id);
            let answer = line.get(&path, token).expect("an answer");
            let under_way = session.under_way.take();
            if under_way == Some(Step::End) && answer.status == 404 {
                return false;
            }
            let there = answer.want(200)["chunks"].as_array().expect("a list").clone();
            let mut there: BTreeSet<usize> =
                there.iter().map(|index| index.as_u64().expect("a number") as usize).collect();
            std::mem::swap(&mut session.sent, &mut there);
            let (now, before) = (&session.sent, &there);
            assert!(now.is_superset(before), "chunks are lost: {before:?} were there, {now:?} are");
            let is_under_way = |chunk: &&usize| under_way == Some(Step::Chunk(**chunk));
            assert!(
                now.difference(before).all(|chunk| is_under_way(&chunk)),
                "{now:?} instead of {before:?}"
            );
            true
        });
    }

    fn check_avatar(&mut self, line: &mut Line) {
        let path = format!("/avatars/users/{}", self.user.id);
        let answer = line.get(&path, &self.user.token).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        // A generated one is none.
        let side = image::load_from_memory(&answer.body).map_or(0, |picture| picture.width());
        let (before, perhaps) = self.avatar;
        assert!(side == before || Some(side) == perhaps, "{side} instead of {before} or {perhaps:?}");
        self.avatar = (side, None);
    }

    /// Takes up what comes in chunks where it was, and puts all that there is into messages.
    fn finish(&mut self, address: SocketAddr) {
        let mut line = Line::open(address).expect("it listens");
        while let Some(session) = self.sessions.last() {
            let index = self.sessions.len() - 1;
            let missing = (0..session.content.chunk_count()).find(|chunk| !session.sent.contains(chunk));
            match missing {
                Some(chunk) => self.send_chunk(&mut line, index, chunk),
                None => self.complete(&mut line, index),
            }
            .expect("an answer");
            self.done("resumed");
        }
        while !self.uploads.is_empty() {
            self.post(&mut line, &mut fastrand::Rng::with_seed(1)).expect("an answer");
        }
    }
}

/// Reads a file, byte for byte.
fn read(line: &mut Line, who: &User, file: &Kept) {
    let answer = line.get(&file.path, &who.token).expect("an answer");
    assert_eq!(answer.status, 200, "{file:?}: {}", answer.text());
    assert!(answer.body == file.content.bytes(), "{file:?} is another one, of {} bytes", answer.body.len());
}

/// Nobody uploads too much.
fn start(folder: &Path) -> Server {
    let options = [
        "media.rate_limit.enabled=false",
        "user_features.alpha_registration_enabled=false",
        "user_features.default_tier=staff",
    ];
    Server::start_in(folder, &options)
}

/// The server of the contract in which all of it happens, with its owner.
fn prepare(server: &Server) -> (User, String, Vec<Uploader>) {
    let owner = server.register("owner");
    let mut line = Line::open(server.address()).expect("it listens");
    let made = line.post("/servers", &owner.token, &json!({"name": "files"})).expect("an answer").want(200);
    let id = text(&made["id"]);
    let invites = format!("/channels/{}/invites", text(&made["default_channel_id"]));
    let invite = line.post(&invites, &owner.token, &json!({"max_age": 0})).expect("an answer").want(200);
    let join = format!("/channels/invites/{}", text(&invite["code"]));
    let uploaders = (0..UPLOADERS as u64).map(|index| {
        let user = server.register(&format!("uploader{index}"));
        line.post(&join, &user.token, &json!({})).expect("an answer").want(200);
        let body = json!({"name": format!("files-{index}"), "channel_type": "text"});
        let channel = line.post(&format!("/servers/{id}/channels"), &owner.token, &body).expect("an answer");
        Uploader {
            user,
            channel: text(&channel.want(200)["id"]),
            next: index << 32,
            uploads: Vec::new(),
            messages: BTreeMap::new(),
            posting: None,
            gone: Vec::new(),
            sessions: Vec::new(),
            avatar: (0, None),
            done: BTreeMap::new(),
        }
    });
    let uploaders = uploaders.collect();
    (owner, id, uploaders)
}

#[test]
fn files_outlive_kills_and_go_with_what_had_them() {
    let kills = number("UPLOAD_KILLS", 4) as usize;
    let seed = number("CRASH_SEED", fastrand::u64(..));
    println!("CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = support::temporary_folder();
    let mut server = start(folder.path());
    let (owner, id, mut uploaders) = prepare(&server);
    for kill in 1..=kills {
        let (address, pause) = (server.address(), Duration::from_millis(random.u64(20..=600)));
        std::thread::scope(|scope| {
            for uploader in &mut uploaders {
                let mut random = random.fork();
                scope.spawn(move || {
                    let ended = uploader.run(address, &mut random);
                    assert!(ended.is_err(), "they go on until the server is gone");
                });
            }
            std::thread::sleep(pause);
            server.kill();
        });
        server = start(folder.path());
        let is_whole = kill % WHOLE_EVERY == 0 || kill == kills;
        let half = random.usize(..2);
        std::thread::scope(|scope| {
            for (index, uploader) in uploaders.iter_mut().enumerate() {
                let (server, owner) = (&server, &owner);
                scope.spawn(move || {
                    uploader.check(server.address(), owner, is_whole);
                    if index % 2 == half || kill == kills {
                        uploader.finish(server.address());
                    }
                });
            }
        });
    }
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    for (what, count) in uploaders.iter().flat_map(|uploader| &uploader.done) {
        *done.entry(what).or_default() += count;
    }
    println!("{kills} kills, 0 lost: {done:?}");
    for what in ["uploads", "messages", "chunks", "completed"] {
        assert!(done.contains_key(what), "there was hardly any load: {done:?}");
    }
    delete_everything(&server, &owner, &id, &mut uploaders);
    assert_eq!(server.stop().code(), Some(0));
    a_day_later(folder.path());
}

/// One half message by message, the other with the server.
fn delete_everything(server: &Server, owner: &User, id: &str, uploaders: &mut [Uploader]) {
    let mut line = Line::open(server.address()).expect("it listens");
    let count = uploaders.len();
    for (index, uploader) in uploaders.iter_mut().enumerate() {
        uploader.check(server.address(), owner, true);
        while !uploader.messages.is_empty() && index < count / 2 {
            uploader.delete(&mut line, &mut fastrand::Rng::with_seed(1)).expect("an answer");
        }
        uploader.call(&mut line, "DELETE", "/avatars/users/@me", None).expect("an answer").want(200);
    }
    line.call("DELETE", &format!("/servers/{id}"), Some(&owner.token), None).expect("an answer").want(200);
}

/// No record is left of a file, and no file once it is old; those that kills have left among them.
fn a_day_later(folder: &Path) {
    let verified = plexichat::store::verify(folder).expect("a store");
    assert!(verified.is_sound(), "{verified}");
    let options = Options { path: folder.to_owned(), map_size: 1 << 30, sync: Sync::Always, readers_max: 8 };
    let store = Store::open(&options).expect("the store");
    store.unlock(true).expect("its keys lie beside it");
    let later = SystemTime::now() + Duration::from_secs(25 * 3_600);
    let later = later.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64;
    let sweep = || {
        let mut tx = store.begin().expect("a transaction");
        let mut machine = Machine::begin(&mut tx, Now::at(later), 0);
        let sweep = Command::new(UserId(0), Sweep { records_max: 500 }.into());
        let reply = machine.apply(&sweep).expect("a valid command");
        drop(machine.finish());
        tx.commit().expect("room for it");
        reply
    };
    while sweep() != Reply::Count(0) {}
    let snapshot = store.snapshot();
    let read = snapshot.read();
    let rows = [
        read.len(BLOBS),
        read.len(UPLOADS),
        read.len(UPLOAD_KEYS),
        read.len(UPLOAD_LAPSES),
        read.len(MESSAGE_FILES),
        read.len(FILE_USES),
        read.len(UPLOAD_SESSIONS),
        read.len(UPLOAD_SESSION_LAPSES),
        read.len(UPLOAD_CHUNKS),
    ];
    assert_eq!(rows, [0; 9], "no record is left of a file");

    let files = || {
        let folders = std::fs::read_dir(folder.join(BLOBS_FOLDER)).expect("uploads").flatten();
        folders.flat_map(|shelf| std::fs::read_dir(shelf.path()).into_iter().flatten().flatten())
    };
    let before = files().count();
    for file in files() {
        let file = std::fs::File::options().write(true).open(file.path()).expect("it is ours");
        file.set_modified(SystemTime::now() - Duration::from_secs(25 * 3_600)).expect("it is ours");
    }
    store.blobs().clear().expect("the disk is fine");
    for shelf in 0..SHELF_COUNT {
        store.blobs().collect(shelf, &|hash| read.contains(BLOBS, *hash)).expect("a shelf");
    }
    let left: Vec<_> = files().map(|file| file.path()).collect();
    println!("{before} files were there, {} are left", left.len());
    assert!(left.is_empty(), "files without an owner: {left:?}");
}
