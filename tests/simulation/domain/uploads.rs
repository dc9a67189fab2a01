//! Files for messages: random commands, what they must be answered, and who holds what.

use std::collections::BTreeMap;

use plexichat::domain::chat::attachment::{FilesPost, Wanted};
use plexichat::domain::chat::message::MessageCreate;
use plexichat::domain::files::session::{ChunkPut, UploadAbort, UploadComplete, UploadOpen};
use plexichat::domain::files::upload::{AttachmentCreate, Quota};
use plexichat::domain::permission::MESSAGES_ATTACH_FILES;
use plexichat::domain::{Op, Reply, files};
use plexichat::id::{AttachmentId, ChannelId, MessageId, UserId};
use plexichat::limits::CHUNK_LEN;
use plexichat::store::Read;
use plexichat::store::records::{StoredFile, Thumbnail, UploadSession, account, channel_kind};
use plexichat::store::tables::{MESSAGE_FILES, UPLOAD_CHUNKS, UPLOAD_SESSIONS, UPLOADS};

use super::generate::Generator;
use super::model::*;

/// A file as a message shows it: id and address.
pub type Shown = (u64, u64);

#[derive(Clone, Debug, PartialEq)]
struct File {
    key: u64,
    lapses_at: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Session {
    size: u64,
    expires_at: u64,
    /// First byte of each chunk's sum.
    chunks: BTreeMap<u16, u8>,
}

impl Session {
    fn is_whole(&self) -> bool {
        self.chunks.len() as u64 == self.size.div_ceil(CHUNK_LEN)
    }
}

#[derive(Clone, Debug, Default)]
pub struct Uploads {
    /// By uploader and id.
    files: BTreeMap<(u64, u64), File>,
    /// By uploader and key.
    sessions: BTreeMap<(u64, [u8; 32]), Session>,
}

const SESSION_COUNT_MAX: usize = 10;

/// What every picture with this hash looks like; a file with an odd one is none.
pub fn look_of(number: u8) -> Option<u64> {
    number.is_multiple_of(2).then(|| 0x0101_0101_0101_0101 * u64::from(number + 1))
}

impl Generator<'_> {
    fn file(&mut self, size: u64) -> StoredFile {
        let thumbnail =
            Thumbnail { side: 64, hash: [self.random.u8(..6); 32], content_type: "image/webp".into() };
        let number = self.random.u8(..6);
        StoredFile {
            key: self.random.u64(..),
            filename: self.name(),
            content_type: "image/png".into(),
            // Of a picture less is kept than has come.
            size: if self.chance(20) { size / 2 } else { size },
            hash: [number; 32],
            width: 1,
            height: 2,
            thumbnails: self.maybe(30, |_| thumbnail).into_iter().collect(),
            duration_ms: None,
            look: look_of(number),
        }
    }

    fn quota(&mut self) -> Quota {
        let max = |is_full: bool| if is_full { 0 } else { u64::MAX };
        let full = [(); 4].map(|()| self.chance(2));
        Quota {
            minute_max: max(full[0]),
            hour_max: max(full[1]),
            day_max: max(full[2]),
            day_len_max: max(full[3]),
        }
    }

    fn life_ms(&mut self) -> u64 {
        [1, 60_000, 86_400_000][self.random.usize(..3)]
    }

    pub fn upload_command(&mut self, model: &Model) -> (u64, Op) {
        let (life_ms, quota) = (self.life_ms(), self.quota());
        let found = self.pick(model.uploads.sessions.iter().map(|(key, session)| (*key, session.clone())));
        match self.random.u32(..16) {
            0..=2 => {
                let (actor, channel) = self.place(model);
                let file = self.file(7).into();
                (actor, AttachmentCreate { channel_id: ChannelId(channel), file, life_ms, quota }.into())
            }
            3..=6 => self.files_post(model),
            7..=8 => {
                let size = [1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN][self.random.usize(..4)];
                let key = [self.random.u8(..); 32];
                let (filename, content_type) = (self.name(), "image/png".to_string());
                let op = UploadOpen { key, filename, content_type, size, life_ms, quota };
                (self.actor(model), op.into())
            }
            9..=12 if found.is_some() => {
                let ((owner, key), session) = found.unwrap_or_default();
                let count = session.size.div_ceil(CHUNK_LEN);
                let missing = (0..count).find(|index| !session.chunks.contains_key(&(*index as u16)));
                let index =
                    if self.chance(60) { missing.unwrap_or(count) } else { self.random.u64(..=count) };
                let size = session.size.saturating_sub(index * CHUNK_LEN).min(CHUNK_LEN);
                let size = if self.chance(5) { size + 1 } else { size };
                let actor = if self.chance(90) { owner } else { self.actor(model) };
                (actor, ChunkPut { key, index: index as u16, hash: [self.random.u8(..6); 32], size }.into())
            }
            13 => {
                let ((owner, key), _) = found.unwrap_or_default();
                (if self.chance(25) { owner } else { self.actor(model) }, UploadAbort { key }.into())
            }
            _ => {
                // Few are ever whole: those first.
                let whole = model.uploads.sessions.iter().filter(|(_, session)| session.is_whole());
                let whole = self.pick(whole.map(|(key, session)| (*key, session.clone())));
                let chosen = if self.chance(80) { whole.or(found) } else { found };
                let ((owner, key), session) = chosen.unwrap_or_default();
                let file = self.file(session.size).into();
                (owner, UploadComplete { key, file, life_ms, quota }.into())
            }
        }
    }

    fn files_post(&mut self, model: &Model) -> (u64, Op) {
        let (mut actor, channel) = self.place(model);
        let count = [0, 1, 1, 2, 3][self.random.usize(..5)];
        let mut files = Vec::new();
        for _ in 0..count {
            let own: Vec<_> = model.uploads.files.iter().filter(|((user, _), _)| *user == actor).collect();
            let all = own.is_empty() || self.chance(5);
            let candidates = if all { model.uploads.files.iter().collect() } else { own };
            let Some(((user, id), file)) = self.pick(candidates.into_iter()) else { continue };
            if self.chance(60) && files.is_empty() {
                actor = *user;
            }
            files.push(if self.random.bool() {
                Wanted::Id(AttachmentId(*id))
            } else {
                Wanted::Key(file.key)
            });
        }
        // One that was sent before, perhaps long ago.
        let sent = model.channels.values().flat_map(|channel| channel.messages.values());
        let sent = sent.flat_map(|message| message.files.iter().map(|(_, key)| (message.author, *key)));
        let sent: Vec<(u64, u64)> = sent.collect();
        if self.chance(15)
            && let Some((author, key)) = self.pick(sent.into_iter())
        {
            actor = author;
            files = vec![Wanted::Key(key)];
        }
        let message = MessageCreate {
            channel_id: ChannelId(channel),
            content: self.text(),
            reply_to_id: None,
            embeds: String::new(),
            length_max: 2_000,
        };
        let poll = self.maybe(10, |g| g.new_poll().into());
        let count_max = if self.chance(5) { 1 } else { 10 };
        (actor, self.text_command(model, channel, FilesPost { message, poll, files, count_max }))
    }
}

fn check(quota: Quota) -> Result<(), Refused> {
    let Quota { minute_max, hour_max, day_max, day_len_max } = quota;
    unless([minute_max, hour_max, day_max, day_len_max].contains(&0), SLOW)
}

impl Model {
    /// What a message gets of what its author wants in it.
    fn resolve(&self, actor: u64, op: &FilesPost) -> Result<Vec<Shown>, Refused> {
        unless(op.files.len() as u64 > op.count_max, BAD)?;
        let mut files: Vec<Shown> = Vec::new();
        for wanted in &op.files {
            let found = match wanted {
                Wanted::Id(id) => self.uploads.files.get(&(actor, id.0)).map(|file| (id.0, file.key)),
                Wanted::Key(key) => {
                    let mut own = self.uploads.files.iter().filter(|((user, _), _)| *user == actor);
                    let own = own.find(|(_, file)| file.key == *key).map(|((_, id), file)| (*id, file.key));
                    own.or_else(|| self.sent_file(actor, *key))
                }
            };
            let found = some(found, BAD)?;
            if !files.contains(&found) {
                files.push(found);
            }
        }
        Ok(files)
    }

    fn sent_file(&self, actor: u64, key: u64) -> Option<Shown> {
        let messages = self.channels.values().flat_map(|channel| channel.messages.values());
        let mut own = messages.filter(|message| message.author == actor).flat_map(|message| &message.files);
        own.find(|(_, other)| *other == key).copied()
    }

    pub fn judge_wanted(&self, actor: u64, op: Option<&FilesPost>) -> Result<(), Refused> {
        op.map_or(Ok(()), |op| self.resolve(actor, op).map(drop))
    }

    fn session(&self, actor: u64, key: [u8; 32]) -> Result<&Session, Refused> {
        let session = self.uploads.sessions.get(&(actor, key));
        some(session.filter(|session| session.expires_at > self.at), MISSING)
    }

    pub fn judge_upload(&self, actor: u64, op: &files::Op) -> Result<Want, Refused> {
        match op {
            files::Op::AttachmentCreate(op) => self.judge_attachment(actor, op),
            files::Op::UploadOpen(op) => self.judge_open(actor, op),
            files::Op::ChunkPut(op) => self.judge_chunk(actor, op),
            files::Op::UploadAbort(op) => self.session(actor, op.key).map(|_| Want::Done),
            files::Op::UploadComplete(op) => self.judge_complete(actor, op),
        }
    }

    fn judge_attachment(&self, actor: u64, op: &AttachmentCreate) -> Result<Want, Refused> {
        self.existing(actor)?;
        let (channel, have) = self.access(actor, op.channel_id.0)?;
        if channel.server.is_some() {
            require(have, MESSAGES_ATTACH_FILES)?;
        }
        let silent = [channel_kind::VOICE, channel_kind::STAGE, channel_kind::CATEGORY];
        unless(silent.contains(&channel.kind), BAD)?;
        check(op.quota)?;
        Ok(Want::Attachment)
    }

    fn judge_open(&self, actor: u64, op: &UploadOpen) -> Result<Want, Refused> {
        self.existing(actor)?;
        let open = self.uploads.sessions.iter();
        let open = open.filter(|((user, _), session)| *user == actor && session.expires_at > self.at);
        unless(open.count() >= SESSION_COUNT_MAX, SLOW)?;
        check(op.quota)?;
        unless(self.uploads.sessions.contains_key(&(actor, op.key)), &[500])?;
        Ok(Want::Done)
    }

    fn judge_chunk(&self, actor: u64, op: &ChunkPut) -> Result<Want, Refused> {
        let session = self.session(actor, op.key)?;
        let left = session.size.saturating_sub(u64::from(op.index) * CHUNK_LEN);
        unless(left == 0 || op.size != left.min(CHUNK_LEN), BAD)?;
        let is_new = !session.chunks.contains_key(&op.index);
        Ok(Want::Count(session.chunks.len() as u64 + u64::from(is_new)))
    }

    fn judge_complete(&self, actor: u64, op: &UploadComplete) -> Result<Want, Refused> {
        let session = self.session(actor, op.key)?;
        unless(!session.is_whole(), BAD)?;
        check(op.quota)?;
        Ok(Want::Attachment)
    }

    pub fn take_files(&mut self, actor: u64, op: &FilesPost, message_id: MessageId) {
        let files = self.resolve(actor, op).expect("judge found them");
        let channel = self.channels.get_mut(&op.message.channel_id.0).expect("judge found it");
        channel.messages.get_mut(&message_id.0).expect("just posted").files = files;
    }

    pub fn take_upload(&mut self, actor: u64, op: &files::Op, reply: &Reply) {
        let at = self.at;
        let file = |file: &StoredFile, life_ms: u64| File { key: file.key, lapses_at: at + life_ms };
        match (op, reply) {
            (files::Op::AttachmentCreate(op), Reply::Attachment(id)) => {
                self.uploads.files.insert((actor, id.0), file(&op.file, op.life_ms));
            }
            (files::Op::UploadOpen(op), _) => {
                let session = Session { size: op.size, expires_at: at + op.life_ms, ..Session::default() };
                self.uploads.sessions.insert((actor, op.key), session);
            }
            (files::Op::ChunkPut(op), _) => {
                let session = self.uploads.sessions.get_mut(&(actor, op.key)).expect("judge found it");
                session.chunks.insert(op.index, op.hash[0]);
            }
            (files::Op::UploadAbort(op), _) => drop(self.uploads.sessions.remove(&(actor, op.key))),
            (files::Op::UploadComplete(op), Reply::Attachment(id)) => {
                self.uploads.sessions.remove(&(actor, op.key));
                self.uploads.files.insert((actor, id.0), file(&op.file, op.life_ms));
            }
            (_, reply) => unreachable!("{reply:?}"),
        }
    }

    /// They go when their time is over, and with their account, in steps.
    pub fn expire_uploads(&mut self, read: Read<'_>) {
        let at = self.at;
        let is_over = |user: u64, until: u64, users: &BTreeMap<u64, User>| {
            until <= at || users.get(&user).is_none_or(|user| user.state != account::ACTIVE)
        };
        self.uploads.files.retain(|(user, id), file| {
            let is_there = read.contains(UPLOADS, (UserId(*user), AttachmentId(*id)));
            assert!(is_there || is_over(*user, file.lapses_at, &self.users), "{id} of {user} is not over");
            is_there
        });
        self.uploads.sessions.retain(|(user, key), session| {
            let is_there = read.contains(UPLOAD_SESSIONS, (UserId(*user), *key));
            assert!(is_there || is_over(*user, session.expires_at, &self.users), "of {user}");
            is_there
        });
    }

    pub fn compare_uploads(&self, read: Read<'_>) {
        let stored = read.scan(UPLOADS, ()).map(|((user, id), upload)| {
            let (key, lapses_at) = (upload.file.key.to_native(), upload.lapses_at.to_native());
            ((user.0, id.0), File { key, lapses_at })
        });
        assert_eq!(stored.collect::<BTreeMap<_, _>>(), self.uploads.files, "uploads");
        let stored = read.scan(UPLOAD_SESSIONS, ()).map(|((user, key), session)| {
            let UploadSession { size, expires_at, chunk_count, .. } = UploadSession::from(session);
            let chunks = read.scan(UPLOAD_CHUNKS, (user, key));
            let chunks: BTreeMap<u16, u8> = chunks.map(|((_, _, index), it)| (index, it.hash[0])).collect();
            assert_eq!(chunk_count, chunks.len() as u64, "a session counts its chunks");
            ((user.0, key), Session { size, expires_at, chunks })
        });
        assert_eq!(stored.collect::<BTreeMap<_, _>>(), self.uploads.sessions, "sessions of uploads");
        for (id, message) in self.channels.values().flat_map(|channel| &channel.messages) {
            let stored = read.scan(MESSAGE_FILES, MessageId(*id));
            let stored: Vec<Shown> = stored.map(|((_, id), file)| (id.0, file.key.to_native())).collect();
            let mut files = message.files.clone();
            files.sort_unstable();
            assert_eq!(stored, files, "files of message {id}");
        }
    }
}
