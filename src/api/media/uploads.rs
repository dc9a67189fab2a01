//! Files for messages: what is taken, and how it gets to where it is kept.
//!
//! The order of things: who may, and how much, is looked at before a byte comes; what the file is, when its beginning is
//! there; each piece goes to the disk and is summed up there as it comes. A file that is whole is looked at, gets its name
//! ([`super::came`]), and then a command names it. Nothing of a file that was not taken is left.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::fields;
use crate::api::forms::{Form, Upload};
use crate::api::media::came::Came;
use crate::api::media::pictures::refused_by_disk;
use crate::config::Config;
use crate::domain::chat::attachment::AttachmentUploadResponse;
use crate::domain::files::upload::{AttachmentCreate, Quota, uploading_access};
use crate::domain::identity::tier;
use crate::domain::social::setting;
use crate::domain::{Error, Result};
use crate::effect::disk::{Append, Spool};
use crate::limits::{PART_OVERHEAD_LEN_MAX, UPLOAD_LIFE_MS};
use crate::store::records::StoredFile;
use crate::text::file_name;
use crate::wire::file_type::{self, FileType, HEAD_LEN, Refused};

fields! {
    /// A file for messages of a channel.
    pub ATTACHMENT_UPLOAD: AttachmentUploadForm {
        /// With its name and its type.
        file: Upload = Upload,
    }
}

/// Bytes of a file of whatever kind.
pub fn file_len_max(config: &Config) -> u64 {
    kinds(config).into_iter().map(|(_, len_max)| len_max).fold(config.media_size_limits.other, u64::max)
}

/// Types of each kind, and how long such a file may be.
fn kinds(config: &Config) -> [(&[String], u64); 4] {
    [
        (&config.media_allowed_types.image, config.media_size_limits.image),
        (&config.media_allowed_types.video, config.media_size_limits.video),
        (&config.media_allowed_types.audio, config.media_size_limits.audio),
        (&config.media_allowed_types.document, config.media_size_limits.document),
    ]
}

/// Bytes of a file of this type; `None` where it is not taken.
fn len_max_of(config: &Config, kind: &FileType) -> Option<u64> {
    let found = kinds(config).into_iter().find(|(names, _)| names.iter().any(|name| name == kind.name));
    let other = || config.media_allowed_types.other.then_some(config.media_size_limits.other);
    found.map(|(_, len_max)| len_max).or_else(other)
}

/// The same for a file of the asking user, who may have less, or want it.
///
/// # Errors
/// 400 when files of this type are not taken.
pub fn own_len_max(ctx: &Ctx<'_>, kind: &FileType) -> Result<u64> {
    let len_max = len_max_of(&ctx.state.config, kind);
    let len_max =
        len_max.ok_or_else(|| refused(Refused("files of this type are not taken on this server")))?;
    Ok(own_max(ctx, len_max))
}

fn own_max(ctx: &Ctx<'_>, len_max: u64) -> u64 {
    let len_max = tier::file_len_max(ctx.principal().tier, len_max);
    setting::attachment_max(ctx.snapshot().read(), ctx.user_id(), len_max, 0).0
}

/// 400 for a file that is none that is taken.
pub fn refused(Refused(why): Refused) -> Error {
    Error::invalid(ATTACHMENT_UPLOAD.file.name, why)
}

/// How much the asking user may upload.
pub fn quota(ctx: &Ctx<'_>) -> Quota {
    let config = &ctx.state.config;
    let limit = |max| if config.media_rate_limit.enabled { max } else { u64::MAX };
    Quota {
        minute_max: limit(config.media_rate_limit.uploads_per_minute),
        hour_max: limit(config.media_rate_limit.uploads_per_hour),
        day_max: tier::limits(ctx.principal().tier).uploads_per_day_max.unwrap_or(u64::MAX),
        day_len_max: limit(config.media_rate_limit.max_total_size_per_day),
    }
}

pub async fn attachment_upload(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let quota = quota(ctx);
    let announced = ctx.request.head.content_length().unwrap_or(0);
    let announced = announced.saturating_sub(PART_OVERHEAD_LEN_MAX as u64);
    {
        let snapshot = ctx.snapshot();
        let asking = ctx.asking(&snapshot);
        uploading_access(asking, channel_id)?;
        quota.check(asking, announced)?;
    }
    let len_max = own_max(ctx, file_len_max(&ctx.state.config));
    if announced > len_max {
        return Err(Error::new(413, format!("The file is longer than {len_max} bytes")));
    }
    let file = receive(ctx).await?;
    let op = AttachmentCreate { channel_id, file: file.clone().into(), life_ms: UPLOAD_LIFE_MS, quota };
    let id = ctx.decide(ctx.user_id(), op).await?;
    ctx.json(|out| AttachmentUploadResponse::write(out, id, &file))
}

/// Takes the file of a form and keeps it.
async fn receive(ctx: &Ctx<'_>) -> Result<StoredFile> {
    let mut form = Form::begin(ctx, ATTACHMENT_UPLOAD.file.name)?;
    let mut spool = Spool::new(ctx.state.store.blobs());
    let (mut head, mut kind) = (Vec::new(), None);
    while let Some(piece) = form.file_piece(ctx).await? {
        if kind.is_none() {
            head.extend_from_slice(&piece[..piece.len().min(HEAD_LEN - head.len())]);
            if head.len() == HEAD_LEN {
                let found = detect(&form, &head)?;
                form.limit_file(ctx, own_len_max(ctx, found)?)?;
                kind = Some(found);
            }
        }
        spool = ctx.effect(Append { spool, piece }).await?.map_err(refused_by_disk)?;
    }
    if form.file_len() == 0 {
        return Err(Error::invalid(ATTACHMENT_UPLOAD.file.name, "the file is empty"));
    }
    let kind = match kind {
        Some(kind) => kind,
        None => {
            let found = detect(&form, &head)?;
            form.limit_file(ctx, own_len_max(ctx, found)?)?;
            found
        }
    };
    let came = Came { spool, filename: called(&form).0, kind, head: &head, size: form.file_len() };
    came.keep(ctx).await
}

/// What the file of a form is called and declared as.
fn called(form: &Form) -> (String, &str) {
    let part = form.file();
    let name = part.and_then(|part| part.file_name.as_deref()).unwrap_or_default();
    let content_type = part.and_then(|part| part.content_type.as_deref()).unwrap_or_default();
    (file_name::clean(name), content_type)
}

fn detect(form: &Form, head: &[u8]) -> Result<&'static FileType> {
    let (name, content_type) = called(form);
    file_type::detect(&name, content_type, head).map_err(refused)
}
