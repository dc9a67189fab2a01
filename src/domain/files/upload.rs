//! Files that somebody has uploaded, to put them into messages.
//!
//! Invariants: a file is its uploader's alone until a message has it; from then on each message that has it keeps it by
//! itself ([`crate::domain::chat::attachment`]), so it stays as long as one of them. What was uploaded and when it lapses
//! is known apart: a day later it can be put into no further message, and is gone if none has it.
//! How much somebody may upload is counted in the store, when a file is taken: it holds over restarts.

use rkyv::{Archive, Deserialize, Serialize};

use crate::domain::asking::Asking;
use crate::domain::blob;
use crate::domain::error::{Error, Result};
use crate::domain::machine::Machine;
use crate::domain::permission::{Access, MESSAGES_ATTACH_FILES};
use crate::domain::view::existing;
use crate::id::{AttachmentId, ChannelId, UserId};
use crate::store::records::{Nil, StoredFile, Upload, UploadCount, UploadRef};
use crate::store::tables::{UPLOAD_COUNTS, UPLOAD_KEYS, UPLOAD_LAPSES, UPLOADS};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Takes a file for a channel. Its bytes are there already.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct AttachmentCreate {
    pub channel_id: ChannelId,
    pub file: Box<StoredFile>,
    /// How long it can be put into messages.
    pub life_ms: u64,
    pub quota: Quota,
}

/// How much one user may upload. A window begins with what is uploaded first in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Deserialize, Serialize)]
pub struct Quota {
    pub minute_max: u64,
    pub hour_max: u64,
    pub day_max: u64,
    /// Bytes.
    pub day_len_max: u64,
}

impl Quota {
    /// Whether a file of so many bytes may come on top of what was uploaded.
    ///
    /// # Errors
    /// 429 with the time until it may.
    pub fn check(self, asking: Asking<'_>, len: u64) -> Result<()> {
        let count = uploaded(asking);
        let is_long = count.day_len.saturating_add(len) > self.day_len_max;
        let minute = (count.minute_count >= self.minute_max, count.minute_from + MINUTE_MS);
        let hour = (count.hour_count >= self.hour_max, count.hour_from + HOUR_MS);
        let day = (count.day_count >= self.day_max || is_long, count.day_from + DAY_MS);
        // Of several that are full the one that lasts longest counts.
        let full =
            [minute, hour, day].into_iter().filter(|(is_full, _)| *is_full).map(|(_, until)| until).max();
        full.map_or(Ok(()), |until| {
            let wait = until.saturating_sub(asking.at).max(1);
            Err(Error::too_many("You have uploaded all that you may for now; try again later", wait))
        })
    }
}

/// What somebody has uploaded in the windows that are open. Of those that are over nothing counts.
fn uploaded(asking: Asking<'_>) -> UploadCount {
    let count = asking.read.get(UPLOAD_COUNTS, asking.who).map(UploadCount::from).unwrap_or_default();
    let is_open = |from: u64, span: u64| asking.at < from.saturating_add(span);
    let window = |from: u64, counted: u64, span: u64| match is_open(from, span) {
        true => (from, counted),
        false => (asking.at, 0),
    };
    let (minute_from, minute_count) = window(count.minute_from, count.minute_count, MINUTE_MS);
    let (hour_from, hour_count) = window(count.hour_from, count.hour_count, HOUR_MS);
    let (day_from, day_count) = window(count.day_from, count.day_count, DAY_MS);
    let day_len = window(count.day_from, count.day_len, DAY_MS).1;
    UploadCount { minute_from, minute_count, hour_from, hour_count, day_from, day_count, day_len }
}

/// A user's access to a channel for which he wants to upload a file.
///
/// # Errors
/// 404 and 403 of [`Asking::channel`]; 403 without `messages.attach_files`; 400 in channels that hold no messages.
pub fn uploading_access(asking: Asking<'_>, channel_id: ChannelId) -> Result<Access<'_>> {
    let access = asking.channel(channel_id)?;
    access.require(MESSAGES_ATTACH_FILES)?;
    access.require_messages()?;
    Ok(access)
}

/// A file of the asking user that he can put into messages, by its address.
pub fn own(asking: Asking<'_>, key: u64) -> Option<(AttachmentId, StoredFile)> {
    let place = asking.read.get(UPLOAD_KEYS, key)?;
    let (user_id, id) = (UserId::from(&place.user_id), AttachmentId::from(&place.id));
    let upload = asking.read.get(UPLOADS, (user_id, id)).filter(|_| user_id == asking.who)?;
    Some((id, StoredFile::from(&upload.file)))
}

/// The same by its id.
pub fn own_by_id(asking: Asking<'_>, id: AttachmentId) -> Option<StoredFile> {
    asking.read.get(UPLOADS, (asking.who, id)).map(|upload| StoredFile::from(&upload.file))
}

pub(in crate::domain) fn attachment_create(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &AttachmentCreate,
) -> Result<AttachmentId> {
    existing(machine.read(), actor)?;
    uploading_access(machine.asking(actor), op.channel_id)?;
    op.quota.check(machine.asking(actor), op.file.size)?;
    Ok(take(machine, actor, &op.file, op.life_ms))
}

/// Takes a file that may be taken, and counts it.
pub(super) fn take(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    file: &StoredFile,
    life_ms: u64,
) -> AttachmentId {
    let count = uploaded(machine.asking(actor));
    let count = UploadCount {
        minute_count: count.minute_count + 1,
        hour_count: count.hour_count + 1,
        day_count: count.day_count + 1,
        day_len: count.day_len + file.size,
        ..count
    };
    let id = AttachmentId(machine.next_id());
    let (created_at, lapses_at) = (machine.unix_ms, machine.at + life_ms);
    file.blobs().for_each(|hash| blob::hold(machine, &hash));
    blob::note_look(machine, &file.hash, file.look);
    machine.tx.put(UPLOAD_COUNTS, actor, &count);
    machine.tx.put(UPLOADS, (actor, id), &Upload { file: file.clone(), created_at, lapses_at });
    machine.tx.put(UPLOAD_KEYS, file.key, &UploadRef { user_id: actor, id });
    machine.tx.put(UPLOAD_LAPSES, (lapses_at, actor, id), &Nil {});
    id
}

fn first_due(machine: &Machine<'_, '_>) -> Option<(UserId, AttachmentId)> {
    let first = machine.read().scan(UPLOAD_LAPSES, ()).keys().next();
    first.filter(|(due, ..)| *due <= machine.at).map(|(_, user_id, id)| (user_id, id))
}

/// Whether one has lapsed.
pub(in crate::domain) fn is_due(machine: &Machine<'_, '_>) -> bool {
    first_due(machine).is_some()
}

/// Lets go of the one that lapsed first; false when none has.
pub(in crate::domain) fn expire(machine: &mut Machine<'_, '_>) -> bool {
    let Some(key) = first_due(machine) else { return false };
    machine.tx.remove(UPLOADS, key);
    true
}
