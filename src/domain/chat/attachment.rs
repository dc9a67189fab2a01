//! Files of messages: which a message gets, and who may read one.
//!
//! Invariants: a message has files of its author alone, as they were uploaded, whatever a client says of them. Each
//! message holds the blobs of its files and lets go of them with its other rows, so what one message has is there as
//! long as that message. Who may read a file is looked up when it is asked for: its uploader, and whoever may read a
//! message that has it, then.

use rkyv::{Archive, Deserialize, Serialize};

use super::message::{self, MessageCreate};
use super::poll::NewPoll;
use crate::domain::asking::Asking;
use crate::domain::blob;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::files::upload;
use crate::domain::machine::Machine;
use crate::domain::permission::MESSAGES_READ;
use crate::domain::view::write_file_url;
use crate::id::{AttachmentId, ChannelId, MessageId, UserId};
use crate::limits::FILE_USE_COUNT_MAX;
use crate::store::records::{ArchivedAttachment, Attachment, FileUse, StoredFile, Thumbnail};
use crate::store::tables::{CHANNELS, FILE_USES, MESSAGE_FILES, MESSAGES, UPLOAD_KEYS};
use crate::store::{Read, hex};
use crate::wire::file_type;
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, Object};

/// Posts a message with files.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct FilesPost {
    pub message: MessageCreate,
    pub poll: Option<Box<NewPoll>>,
    /// In their order.
    pub files: Vec<Wanted>,
    /// How many there may be.
    pub count_max: u64,
}

/// How a client names a file of its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub enum Wanted {
    Id(AttachmentId),
    /// By its address.
    Key(u64),
}

/// A file of a message that is to be posted.
pub(in crate::domain) type Attached = (AttachmentId, StoredFile);

// ------------------------------------------------------------------------------------------- checks

/// The files that a user wants in a message of his; one that is named twice comes once.
///
/// # Errors
/// 400 when there are too many, one is none of his, or is in too many messages.
pub(super) fn resolve(asking: Asking<'_>, wanted: &[Wanted], count_max: u64) -> Result<Vec<Attached>> {
    if wanted.len() as u64 > count_max {
        let count = wanted.len();
        return Err(Error::invalid("attachments", format_args!("at most {count_max}, not {count}")));
    }
    let mut files: Vec<Attached> = Vec::with_capacity(wanted.len());
    for name in wanted {
        let found = match *name {
            Wanted::Id(id) => upload::own_by_id(asking, id).map(|file| (id, file)),
            Wanted::Key(key) => upload::own(asking, key).or_else(|| sent_before(asking, key)),
        };
        let (id, file) = found.ok_or_else(|| {
            Error::invalid("attachments", "no upload of yours, or one of long ago: upload the file first")
        })?;
        if asking.read.scan(FILE_USES, file.key).keys().take(FILE_USE_COUNT_MAX).count() >= FILE_USE_COUNT_MAX
        {
            let many = format_args!("a file can be in {FILE_USE_COUNT_MAX} messages: upload it again");
            return Err(Error::invalid("attachments", many));
        }
        if files.iter().all(|(other, _)| *other != id) {
            files.push((id, file));
        }
    }
    Ok(files)
}

/// A file that the asking user has sent in a message of his that is still there.
fn sent_before(asking: Asking<'_>, key: u64) -> Option<Attached> {
    let mut uses = uses(asking.read, key);
    let (message_id, id, _) = uses.find(|(.., place)| is_author(asking, *place))?;
    let file = asking.read.get(MESSAGE_FILES, (message_id, id))?;
    Some((id, StoredFile::from(file)))
}

/// Messages that have a file, with their channels, of those that are still there.
fn uses(read: Read<'_>, key: u64) -> impl Iterator<Item = (MessageId, AttachmentId, (ChannelId, MessageId))> {
    let uses = read.scan_rev(FILE_USES, key).take(FILE_USE_COUNT_MAX);
    let places = uses.map(|((_, message_id), place)| {
        (message_id, AttachmentId::from(&place.id), (ChannelId::from(&place.channel_id), message_id))
    });
    places.filter(move |(.., place)| read.contains(CHANNELS, place.0) && read.contains(MESSAGES, *place))
}

fn is_author(asking: Asking<'_>, place: (ChannelId, MessageId)) -> bool {
    let message = asking.read.get(MESSAGES, place);
    message.is_some_and(|message| UserId::from(&message.author_id) == asking.who)
}

/// A file that the asking user may read now, by its address.
///
/// # Errors
/// 404 when there is none; 403 when he may not.
pub fn readable(asking: Asking<'_>, key: u64) -> Result<StoredFile> {
    if let Some((_, file)) = upload::own(asking, key) {
        return Ok(file);
    }
    let mut is_known = asking.read.contains(UPLOAD_KEYS, key);
    for (message_id, id, place) in uses(asking.read, key) {
        is_known = true;
        let may_read = || asking.channel(place.0).is_ok_and(|access| access.has(MESSAGES_READ));
        if (is_author(asking, place) || may_read())
            && let Some(file) = asking.read.get(MESSAGE_FILES, (message_id, id))
        {
            return Ok(StoredFile::from(file));
        }
    }
    match is_known {
        true => Err(Error::forbidden("You may read no message that has this file")),
        false => Err(Refusal::FileNotFound.into()),
    }
}

/// A file, whoever asks, by its address.
///
/// # Errors
/// 404 when there is none.
pub fn any(asking: Asking<'_>, key: u64) -> Result<StoredFile> {
    let read = asking.read;
    let uploader = read.get(UPLOAD_KEYS, key).map(|place| UserId::from(&place.user_id));
    if let Some((_, file)) = uploader.and_then(|uploader| upload::own(asking.of(uploader), key)) {
        return Ok(file);
    }
    let (message_id, id, _) = uses(read, key).next().ok_or(Refusal::FileNotFound)?;
    let file = read.get(MESSAGE_FILES, (message_id, id)).ok_or(Refusal::FileNotFound)?;
    Ok(StoredFile::from(file))
}

// -------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn files_post(
    machine: &mut Machine<'_, '_>,
    author: UserId,
    op: &FilesPost,
) -> Result<(ChannelId, MessageId)> {
    message::create(machine, author, &op.message, op.poll.as_deref(), Some(op))
}

/// Has a message that is about to be stored hold its files; gives what it shows of them.
pub(super) fn attach(
    machine: &mut Machine<'_, '_>,
    channel_id: ChannelId,
    message_id: MessageId,
    files: Vec<Attached>,
) -> Vec<Attachment> {
    let mut shown = Vec::with_capacity(files.len());
    for (id, file) in files {
        file.blobs().for_each(|hash| blob::hold(machine, &hash));
        machine.tx.put(MESSAGE_FILES, (message_id, id), &file);
        machine.tx.put(FILE_USES, (file.key, message_id), &FileUse { channel_id, id });
        shown.push(Attachment {
            id: id.0,
            file: file_name(file.key, &file.content_type),
            filename: file.filename,
            content_type: file.content_type,
            size: file.size,
            hash: file.hash,
        });
    }
    shown
}

// ------------------------------------------------------------------------------------------ queries

/// The last part of the address of a file.
pub fn file_name(key: u64, content_type: &str) -> String {
    format!("{key:016x}.{}", file_type::named(content_type).ending())
}

/// The same of a thumbnail of it.
pub fn thumbnail_name(key: u64, side: u32, content_type: &str) -> String {
    format!("{key:016x}_{side}.{}", file_type::named(content_type).ending())
}

shape! {
    /// A file that can be put into messages.
    pub AttachmentUploadResponse(id: AttachmentId, file: &StoredFile) {
        id: id = id.0,
        filename: str = &file.filename,
        size: u64 = file.size,
        content_type: str = &file.content_type,
        /// Where those can read it who may read a message that has it.
        url: (Slot::str) = file_url(file),
        /// SHA-256, in hexadecimal digits.
        hash: opt_str = Some(&hex::encode(&file.hash)),
        /// By size.
        thumbnails: (Slot::of(Kind::OrNull(&Kind::Map(&Kind::Text)))) = thumbnails(file),
    }
}

shape! {
    /// What is known of a file.
    pub AttachmentInfoResponse(file: &StoredFile) {
        filename: str = &file.filename,
        size: u64 = file.size,
        content_type: str = &file.content_type,
        url: (Slot::str) = file_url(file),
        hash: opt_str = Some(&hex::encode(&file.hash)),
        /// Pixels as it is shown, of a picture or a film.
        width: opt_u64 = Some(u64::from(file.width)).filter(|width| *width > 0),
        height: opt_u64 = Some(u64::from(file.height)).filter(|height| *height > 0),
        /// Of a film or a sound, as it says.
        duration_ms: opt_u64 = file.duration_ms,
        thumbnails: (Slot::of(Kind::OrNull(&Kind::Map(&Kind::Text)))) = thumbnails(file),
    }
}

fn file_url(file: &StoredFile) -> impl FnOnce(&mut Vec<u8>) {
    move |out| write_file_url(out, &file_name(file.key, &file.content_type))
}

fn thumbnails(file: &StoredFile) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        if file.thumbnails.is_empty() {
            return out.extend_from_slice(b"null");
        }
        let mut object = Object::new(out);
        for Thumbnail { side, content_type, .. } in &file.thumbnails {
            let name = thumbnail_name(file.key, *side, content_type);
            write_file_url(object.dynamic_key(&side.to_string()), &name);
        }
    }
}

shape! {
    /// A file of a message.
    pub AttachmentResponse(id: u64, shown: &Shown<'_>) {
        id: id = id,
        filename: str = shown.filename,
        content_type: str = shown.content_type,
        size: u64 = shown.size,
        url: (Slot::str) = |out: &mut Vec<u8>| write_file_url(out, shown.file),
        hash: opt_str = Some(&hex::encode(shown.hash)),
    }
}

/// What a message says of a file, stored or about to be.
pub struct Shown<'m> {
    pub filename: &'m str,
    pub content_type: &'m str,
    pub size: u64,
    pub file: &'m str,
    pub hash: &'m [u8; 32],
}

/// The files of a message, stored or about to be.
#[derive(Clone, Copy)]
pub enum Attachments<'m> {
    Stored(&'m [ArchivedAttachment]),
    New(&'m [Attachment]),
}

impl Attachments<'_> {
    pub fn is_empty(self) -> bool {
        match self {
            Attachments::Stored(files) => files.is_empty(),
            Attachments::New(files) => files.is_empty(),
        }
    }

    /// Appends them as a JSON list.
    pub fn write(self, out: &mut Vec<u8>) {
        let mut list = Array::new(out);
        match self {
            Attachments::Stored(files) => files.iter().for_each(|it| {
                let shown = Shown {
                    filename: &it.filename,
                    content_type: &it.content_type,
                    size: it.size.to_native(),
                    file: &it.file,
                    hash: &it.hash,
                };
                AttachmentResponse::write(list.item(), it.id.to_native(), &shown);
            }),
            Attachments::New(files) => files.iter().for_each(|it| {
                let Attachment { id, filename, content_type, size, file, hash } = it;
                let shown = Shown { filename, content_type, size: *size, file, hash };
                AttachmentResponse::write(list.item(), *id, &shown);
            }),
        }
    }
}
