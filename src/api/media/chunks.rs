//! Files that come in chunks, in any order, over any number of connections.
//!
//! What is wrong with a chunk is told with status 200, as the contract wants it: `success` false, and why.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::came::Came;
use super::pictures::{self, refused_by_disk};
use super::uploads::{self, quota, refused};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Int, Needed, Text, fields};
use crate::api::forms::{Form, Upload};
use crate::config::Config;
use crate::domain::chat::attachment::AttachmentUploadResponse;
use crate::domain::files::session::{self, ChunkPut, UploadAbort, UploadComplete, UploadOpen};
use crate::domain::{Error, Offset, Refusal, Result};
use crate::effect::disk::{AppendBlob, KeepSpool, Spool};
use crate::id::AttachmentId;
use crate::limits::{
    CHUNK_LEN, CHUNKED_LEN_MAX, CONTENT_TYPE_LEN_MAX, FILE_NAME_LEN_MAX, UPLOAD_LIFE_MS, UPLOAD_SESSION_MS,
};
use crate::runtime::random;
use crate::store::blobs::Hash;
use crate::store::hex;
use crate::store::records::{ArchivedUploadSession, StoredFile};
use crate::text::file_name;
use crate::wire::file_type;
use crate::wire::json::shape::{Kind, Slot, shape};
use crate::wire::json::{Array, write_u64};

fields! {
    /// A file that will come in chunks.
    pub UPLOAD_OPEN: ChunkedUploadSessionRequest {
        filename: Needed<Text> = Needed(Text(Chars::Configured(|_| 1..=FILE_NAME_LEN_MAX))),
        content_type: Needed<Text> = Needed(Text(Chars::Configured(|_| 1..=CONTENT_TYPE_LEN_MAX))),
        /// Bytes of the whole.
        total_size: Needed<Int> = Needed(Int(1..=CHUNKED_LEN_MAX)),
    }
}

fields! {
    /// Which chunk it is.
    pub CHUNK_QUERY: ChunkQuery {
        /// From 0 on.
        chunk_index: Needed<Int> = Needed(Int(0..=u64::MAX)),
        /// SHA-256 of the chunk, in hexadecimal digits.
        chunk_checksum: Text = Text(Chars::Any),
    }
}

fields! {
    /// A chunk.
    pub CHUNK_UPLOAD: ChunkUploadForm {
        /// Of the length that was told, the last one excepted.
        file: Upload = Upload,
    }
}

shape! {
    /// How a file is to be sent.
    pub ChunkedUploadSessionResponse(session_id: &str, size: u64, expires_at: u64) {
        session_id: str = session_id,
        /// Bytes of each chunk but the last.
        chunk_size: u64 = CHUNK_LEN,
        total_chunks: u64 = size.div_ceil(CHUNK_LEN),
        expires_at: time = expires_at,
    }
}

/// How far an upload is.
#[derive(Clone, Copy, Default)]
pub struct Progress {
    uploaded: u64,
    total: u64,
}

impl Progress {
    fn of(session: &ArchivedUploadSession) -> Progress {
        Progress { uploaded: session.chunk_count.to_native(), total: session.chunk_count_whole() }
    }

    /// With two decimals.
    fn percent(self) -> impl FnOnce(&mut Vec<u8>) {
        move |out| {
            let hundredths = (self.uploaded * 10_000).checked_div(self.total).unwrap_or(0);
            write_u64(out, hundredths / 100);
            out.extend_from_slice(format!(".{:02}", hundredths % 100).as_bytes());
        }
    }

    fn is_complete(self) -> bool {
        self.total > 0 && self.uploaded == self.total
    }
}

shape! {
    /// What became of a chunk.
    pub ChunkUploadResponse(index: u64, progress: Progress, error: Option<&str>) {
        success: bool = error.is_none(),
        chunk_index: u64 = index,
        uploaded_chunks: u64 = progress.uploaded,
        total_chunks: u64 = progress.total,
        progress_percent: (Slot::of(Kind::Number)) = progress.percent(),
        is_complete: bool = progress.is_complete(),
        error: opt_str = error,
    }
}

shape! {
    /// The file is whole.
    pub CompleteUploadResponse(id: AttachmentId, file: &StoredFile) {
        success: bool = true,
        size: u64 = file.size,
        message: str = "The upload is complete.",
        /// What the file is called in messages.
        attachment: (Slot::object(AttachmentUploadResponse::SHAPE)) = |out: &mut Vec<u8>| AttachmentUploadResponse::write(out, id, file),
    }
}

shape! {
    /// An upload that is open.
    pub UploadSessionInfo(session_id: &str, session: &ArchivedUploadSession, offset: Offset) {
        session_id: str = session_id,
        filename: str = &session.filename,
        content_type: str = &session.content_type,
        total_size: u64 = session.size.to_native(),
        uploaded_chunks: u64 = session.chunk_count.to_native(),
        total_chunks: u64 = session.chunk_count_whole(),
        progress_percent: (Slot::of(Kind::Number)) = Progress::of(session).percent(),
        status: (Slot::word(&["pending", "in_progress"])) = if session.chunk_count == 0 { "pending" } else { "in_progress" },
        expires_at: time = offset.shown(session.expires_at.to_native()),
    }
}

shape! {
    /// An upload that is open, with what of it is there.
    pub UploadSessionDetail(session_id: &str, session: &ArchivedUploadSession, offset: Offset, chunks: &[u16]): UploadSessionInfo(session_id, session, offset) {
        /// The chunks that have come.
        chunks: (Slot::list(&Kind::Count)) = numbers(chunks),
    }
}

shape! {
    /// Uploads that are open.
    pub UploadSessionsResponse(ctx: &Ctx<'_>) {
        sessions: (Slot::list(&Kind::Object(UploadSessionInfo::SHAPE))) = |out: &mut Vec<u8>| write_open(out, ctx),
    }
}

shape! {
    /// What of files is made smaller here.
    pub CompressionStatusResponse() {
        enabled: bool = true,
        image_compression: bool = true,
        video_compression: bool = false,
    }
}

/// Bytes of a chunk.
pub fn chunk_len_max(_: &Config) -> u64 {
    CHUNK_LEN
}

fn numbers(numbers: &[u16]) -> impl FnOnce(&mut Vec<u8>) {
    move |out| {
        let mut list = Array::new(out);
        numbers.iter().for_each(|number| write_u64(list.item(), u64::from(*number)));
    }
}

/// Those of the asking user that chunks are missing of.
fn write_open(out: &mut Vec<u8>, ctx: &Ctx<'_>) {
    let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
    let mut list = Array::new(out);
    for (key, session) in session::all(ctx.asking(&snapshot)).filter(|(_, session)| !session.is_complete()) {
        UploadSessionInfo::write(list.item(), &spelled(&key), session, offset);
    }
}

/// What an uploader knows his session by.
fn spelled(key: &Hash) -> String {
    URL_SAFE_NO_PAD.encode(key)
}

/// # Errors
/// 404 when it cannot be one.
fn path_key(ctx: &Ctx<'_>) -> Result<Hash> {
    let decoded = URL_SAFE_NO_PAD.decode(ctx.param("session_id").as_bytes()).ok();
    decoded.and_then(|bytes| bytes.try_into().ok()).ok_or(Refusal::UploadNotFound.into())
}

pub fn upload_open(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let typed = UPLOAD_OPEN.filename.read(&body)?;
    let content_type = UPLOAD_OPEN.content_type.read(&body)?.to_string();
    let size = UPLOAD_OPEN.total_size.read(&body)?;
    for (name, text, max) in [
        (UPLOAD_OPEN.filename.name, typed, FILE_NAME_LEN_MAX),
        (UPLOAD_OPEN.content_type.name, &content_type, CONTENT_TYPE_LEN_MAX),
    ] {
        crate::api::body::check_len(name, text, 1..=max)?;
    }
    let filename = file_name::clean(typed);
    let kind = file_type::declared(&filename, &content_type).map_err(refused)?;
    let kind = kind.unwrap_or(file_type::named(""));
    let len_max = uploads::own_len_max(ctx, kind)?;
    if size > len_max {
        return Err(Error::new(413, format!("The file is longer than {len_max} bytes")));
    }
    let key: Hash = random::bytes();
    let op = UploadOpen { key, filename, content_type, size, life_ms: UPLOAD_SESSION_MS, quota: quota(ctx) };
    ctx.submit(op, move |ctx, ()| {
        let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
        let session = session::find(ctx.asking(&snapshot), &key)?;
        let expires_at = offset.shown(session.expires_at.to_native());
        ctx.json(|out| ChunkedUploadSessionResponse::write(out, &spelled(&key), size, expires_at))
    })
}

pub async fn chunk_upload(ctx: &mut Ctx<'_>) -> Result<Step> {
    let index = CHUNK_QUERY.chunk_index.query(ctx)?;
    let wanted = CHUNK_QUERY.chunk_checksum.query(ctx)?;
    let found = path_key(ctx).and_then(|key| {
        let snapshot = ctx.snapshot();
        let session = session::find(ctx.asking(&snapshot), &key)?;
        Ok((key, Progress::of(session), session.chunk_len(index)))
    });
    let (key, progress, len) = match found {
        Ok(found) => found,
        Err(error) => return refuse(ctx, index, Progress::default(), &error.message).await,
    };
    let place = len.and_then(|len| Some((u16::try_from(index).ok()?, len)));
    let Some((place, len)) = place else {
        let total = progress.total;
        let why = format!("This upload has {total} chunks, 0 to {}", total - 1);
        return refuse(ctx, index, progress, &why).await;
    };
    let (form, spool) = pictures::take(ctx, CHUNK_UPLOAD.file.name).await?;
    if form.file_len() != len {
        let why = format!("This chunk must have {len} bytes, not {}", form.file_len());
        return answer(ctx, index, progress, Some(&why));
    }
    let sum = hex::encode(&spool.sum());
    if wanted.is_some_and(|wanted| sum != wanted.to_ascii_lowercase()) {
        return answer(ctx, index, progress, Some("The checksum is another one: send the chunk again"));
    }
    let hash = ctx.effect(KeepSpool { spool }).await?.map_err(refused_by_disk)?;
    let op = ChunkPut { key, index: place, hash, size: len };
    match ctx.decide(ctx.user_id(), op).await {
        Ok(uploaded) => answer(ctx, index, Progress { uploaded, ..progress }, None),
        Err(error) if matches!(error.status, 400 | 404) => {
            answer(ctx, index, Progress::default(), Some(&error.message))
        }
        Err(error) => Err(error),
    }
}

/// Answers one that nothing is kept of: a form that is none is that whatever session it is for.
async fn refuse(ctx: &mut Ctx<'_>, index: u64, progress: Progress, why: &str) -> Result<Step> {
    let mut form = Form::begin(ctx, CHUNK_UPLOAD.file.name)?;
    while form.file_piece(ctx).await?.is_some() {}
    answer(ctx, index, progress, Some(why))
}

fn answer(ctx: &mut Ctx<'_>, index: u64, progress: Progress, error: Option<&str>) -> Result<Step> {
    ctx.json(|out| ChunkUploadResponse::write(out, index, progress, error))
}

pub async fn upload_complete(ctx: &mut Ctx<'_>) -> Result<Step> {
    // Not there is a mistake here, as chunks that are missing are.
    let unknown = |error: Error| match error.status {
        404 => Error::bad_request(error.message),
        _ => error,
    };
    let key = path_key(ctx).map_err(unknown)?;
    let quota = quota(ctx);
    let (filename, content_type, size, chunks) = {
        let snapshot = ctx.snapshot();
        let asking = ctx.asking(&snapshot);
        let session = session::find(asking, &key).map_err(unknown)?;
        if !session.is_complete() {
            let Progress { uploaded, total } = Progress::of(session);
            let why = format!("{} of {total} chunks are missing: send them first", total - uploaded);
            return Err(Error::bad_request(why));
        }
        let size = session.size.to_native();
        quota.check(asking, size)?;
        let hashes: Vec<Hash> = session::chunks(asking, &key).map(|(_, chunk)| chunk.hash).collect();
        (session.filename.to_string(), session.content_type.to_string(), size, hashes)
    };
    let mut spool = Spool::new(ctx.state.store.blobs());
    let (mut kind, mut head) = (file_type::named(""), Vec::new());
    for (index, hash) in chunks.into_iter().enumerate() {
        let (longer, begin) = ctx.effect(AppendBlob { spool, hash }).await?.map_err(refused_by_disk)?;
        spool = longer;
        if index == 0 {
            head = begin;
            kind = file_type::detect(&filename, &content_type, &head).map_err(refused)?;
            let len_max = uploads::own_len_max(ctx, kind)?;
            if size > len_max {
                return Err(Error::new(413, format!("The file is longer than {len_max} bytes")));
            }
        }
    }
    let file = Came { spool, filename, kind, head: &head, size }.keep(ctx).await?;
    let op = UploadComplete { key, file: file.clone().into(), life_ms: UPLOAD_LIFE_MS, quota };
    let id = ctx.decide(ctx.user_id(), op).await.map_err(unknown)?;
    ctx.json(|out| CompleteUploadResponse::write(out, id, &file))
}

pub fn upload_abort(ctx: &mut Ctx<'_>) -> Result<Step> {
    let key = path_key(ctx)?;
    ctx.submit_success(UploadAbort { key })
}

pub fn upload_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let key = path_key(ctx)?;
    let (snapshot, offset) = (ctx.snapshot(), ctx.now().offset());
    let asking = ctx.asking(&snapshot);
    let session = session::find(asking, &key)?;
    let chunks: Vec<u16> = session::chunks(asking, &key).map(|(index, _)| index).collect();
    ctx.json(|out| UploadSessionDetail::write(out, &spelled(&key), session, offset, &chunks))
}

pub fn upload_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let mut out = Vec::new();
    UploadSessionsResponse::write(&mut out, ctx);
    ctx.json(|body| body.extend_from_slice(&out))
}

pub fn compression_status(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.json(CompressionStatusResponse::write)
}
