//! Files that come in chunks: which are there, and what becomes of them.
//!
//! Invariants: a session counts the chunks that have a row, each once however often it was sent. Chunks are blobs of their
//! own until the file is put together; they go with their session, which ends when the file is taken, when its uploader
//! gives it up, and after its time. To everybody else a session does not exist.

use rkyv::{Archive, Deserialize, Serialize};

use super::upload::{self, Quota};
use crate::domain::asking::Asking;
use crate::domain::blob;
use crate::domain::error::{Error, Refusal, Result};
use crate::domain::machine::Machine;
use crate::domain::view::existing;
use crate::id::{AttachmentId, UserId};
use crate::limits::{CHUNK_LEN, CHUNKED_LEN_MAX, UPLOAD_SESSION_COUNT_MAX};
use crate::store::blobs::Hash;
use crate::store::records::{ArchivedUploadSession, Nil, StoredFile, UploadChunk, UploadSession};
use crate::store::tables::{UPLOAD_CHUNKS, UPLOAD_SESSION_LAPSES, UPLOAD_SESSIONS};

/// Chunks of one session.
const CHUNK_COUNT_MAX: usize = CHUNKED_LEN_MAX.div_ceil(CHUNK_LEN) as usize;

/// Begins one.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UploadOpen {
    /// Random: by this its uploader knows it.
    pub key: Hash,
    pub filename: String,
    /// As declared.
    pub content_type: String,
    pub size: u64,
    pub life_ms: u64,
    pub quota: Quota,
}

/// Takes a chunk. Its bytes are there already.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct ChunkPut {
    pub key: Hash,
    pub index: u16,
    pub hash: Hash,
    pub size: u64,
}

/// Gives one up.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UploadAbort {
    pub key: Hash,
}

/// Takes the file that the chunks are. Its bytes are there already.
#[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
pub struct UploadComplete {
    pub key: Hash,
    pub file: Box<StoredFile>,
    pub life_ms: u64,
    pub quota: Quota,
}

// ------------------------------------------------------------------------------------------- checks

impl ArchivedUploadSession {
    /// How many chunks the file has.
    pub fn chunk_count_whole(&self) -> u64 {
        self.size.to_native().div_ceil(CHUNK_LEN)
    }

    /// Bytes of one of them; `None` when there is no such chunk.
    pub fn chunk_len(&self, index: u64) -> Option<u64> {
        let begin = index.checked_mul(CHUNK_LEN)?;
        let left = self.size.to_native().checked_sub(begin).filter(|left| *left > 0)?;
        Some(left.min(CHUNK_LEN))
    }

    pub fn is_complete(&self) -> bool {
        self.chunk_count.to_native() == self.chunk_count_whole()
    }
}

/// A session of the asking user.
///
/// # Errors
/// 404 when it is over, of somebody else, or never was.
pub fn find<'a>(asking: Asking<'a>, key: &Hash) -> Result<&'a ArchivedUploadSession> {
    let found = asking.read.get(UPLOAD_SESSIONS, (asking.who, *key));
    found.filter(|session| session.expires_at > asking.at).ok_or(Refusal::UploadNotFound.into())
}

/// The sessions of the asking user.
pub fn all(asking: Asking<'_>) -> impl Iterator<Item = (Hash, &ArchivedUploadSession)> {
    let stored = asking.read.scan(UPLOAD_SESSIONS, asking.who);
    let open = stored.filter(move |(_, session)| session.expires_at > asking.at);
    open.map(|((_, key), session)| (key, session))
}

/// The chunks that are there, in order.
pub fn chunks<'a>(asking: Asking<'a>, key: &Hash) -> impl Iterator<Item = (u16, UploadChunk)> + use<'a> {
    let stored = asking.read.scan(UPLOAD_CHUNKS, (asking.who, *key));
    stored.map(|((_, _, index), chunk)| (index, UploadChunk::from(chunk)))
}

/// Whether the asking user may begin another one of so many bytes.
///
/// # Errors
/// 429 when he has too many, or uploads too much.
pub fn check_open(asking: Asking<'_>, quota: Quota, size: u64) -> Result<()> {
    let (mut count, mut len, mut until) = (0, size, u64::MAX);
    for (_, session) in all(asking) {
        count += 1;
        len += session.size.to_native();
        until = until.min(session.expires_at.to_native());
    }
    if count >= UPLOAD_SESSION_COUNT_MAX {
        let many = format!("You have {count} uploads open: complete one, or abort it");
        return Err(Error::too_many(many, until.saturating_sub(asking.at).max(1)));
    }
    quota.check(asking, len)
}

// -------------------------------------------------------------------------------------------- apply

pub(in crate::domain) fn upload_open(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &UploadOpen,
) -> Result<()> {
    let asking = machine.asking(actor);
    existing(asking.read, actor)?;
    check_open(asking, op.quota, op.size)?;
    if asking.read.contains(UPLOAD_SESSIONS, (actor, op.key)) || !(1..=CHUNKED_LEN_MAX).contains(&op.size) {
        return Err(Refusal::Internal.into());
    }
    let session = UploadSession {
        filename: op.filename.clone(),
        content_type: op.content_type.clone(),
        size: op.size,
        chunk_size: CHUNK_LEN,
        created_at: machine.unix_ms,
        expires_at: machine.at + op.life_ms,
        chunk_count: 0,
    };
    machine.tx.put(UPLOAD_SESSIONS, (actor, op.key), &session);
    machine.tx.put(UPLOAD_SESSION_LAPSES, (session.expires_at, actor, op.key), &Nil {});
    Ok(())
}

/// Replies how many chunks are there.
pub(in crate::domain) fn chunk_put(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &ChunkPut,
) -> Result<u64> {
    let session = find(machine.asking(actor), &op.key)?;
    if session.chunk_len(op.index.into()) != Some(op.size) {
        return Err(Error::invalid("chunk_index", "no such chunk of this upload, or one of another length"));
    }
    let mut session = UploadSession::from(session);
    let place = (actor, op.key, op.index);
    // Held before the one before is let go: they may be the same.
    blob::hold(machine, &op.hash);
    if !machine.tx.remove(UPLOAD_CHUNKS, place) {
        session.chunk_count += 1;
        machine.tx.put(UPLOAD_SESSIONS, (actor, op.key), &session);
    }
    machine.tx.put(UPLOAD_CHUNKS, place, &UploadChunk { hash: op.hash, size: op.size });
    Ok(session.chunk_count)
}

pub(in crate::domain) fn upload_abort(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &UploadAbort,
) -> Result<()> {
    find(machine.asking(actor), &op.key)?;
    remove(machine, actor, op.key);
    Ok(())
}

pub(in crate::domain) fn upload_complete(
    machine: &mut Machine<'_, '_>,
    actor: UserId,
    op: &UploadComplete,
) -> Result<AttachmentId> {
    let asking = machine.asking(actor);
    let session = find(asking, &op.key)?;
    // What is kept of a picture may be a little shorter or longer than what has come.
    if !session.is_complete() {
        return Err(Error::bad_request("Chunks of this upload are missing: send them first"));
    }
    op.quota.check(asking, op.file.size)?;
    let id = upload::take(machine, actor, &op.file, op.life_ms);
    remove(machine, actor, op.key);
    Ok(id)
}

fn remove(machine: &mut Machine<'_, '_>, user_id: UserId, key: Hash) {
    machine.tx.remove(UPLOAD_SESSIONS, (user_id, key));
    machine.tx.remove_prefix(UPLOAD_CHUNKS, (user_id, key), CHUNK_COUNT_MAX);
}

fn first_due(machine: &Machine<'_, '_>) -> Option<(UserId, Hash)> {
    let first = machine.read().scan(UPLOAD_SESSION_LAPSES, ()).keys().next();
    first.filter(|(due, ..)| *due <= machine.at).map(|(_, user_id, key)| (user_id, key))
}

/// Whether one has taken too long.
pub(in crate::domain) fn is_due(machine: &Machine<'_, '_>) -> bool {
    first_due(machine).is_some()
}

/// Ends the one whose time was over first; `None` when none is, else how many chunks it had.
pub(in crate::domain) fn expire(machine: &mut Machine<'_, '_>) -> Option<u64> {
    let (user_id, key) = first_due(machine)?;
    let session = machine.read().get(UPLOAD_SESSIONS, (user_id, key));
    let count = session.map_or(0, |session| session.chunk_count.to_native());
    remove(machine, user_id, key);
    Some(count)
}
