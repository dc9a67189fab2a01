//! Avatars and icons that are uploaded and removed.
//!
//! The order of things: who may, is looked at before a byte comes; the file goes to the disk piece by piece; a process
//! of its own makes a picture of it; that is on disk under its hash before the command names it.

use std::io;

use crate::api::content::refused_for_now;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::fields;
use crate::api::forms::{Form, Upload};
use crate::config::Config;
use crate::domain::community::server;
use crate::domain::contact::blocked::{check_file, check_look, knows_looks};
use crate::domain::media::picture::{AvatarSet, IconSet};
use crate::domain::permission::SERVER_MANAGE;
use crate::domain::{Error, Refusal, Result, view};
use crate::effect::disk::{Append, Keep, Spool};
use crate::effect::image::{Convert, Converted, Failure};
use crate::id::{ServerId, UserId};
use crate::store::records::{Picture, picture};
use crate::store::tables::SERVERS;
use crate::wire::json::shape::{Slot, shape};
use crate::wire::picture::Format;

fields! {
    /// A picture of oneself.
    pub AVATAR_UPLOAD: AvatarUploadForm {
        /// JPEG, PNG, GIF or WebP.
        file: Upload = Upload,
    }
}

fields! {
    /// A picture of a server.
    pub ICON_UPLOAD: IconUploadForm {
        /// JPEG, PNG, GIF or WebP.
        file: Upload = Upload,
    }
}

shape! {
    /// The avatar as it is kept.
    pub AvatarUploadResponse(user_id: UserId, picture: &Stored) {
        success: bool = true,
        avatar_url: (Slot::str) = view::avatar_url(user_id),
        width: u64 = u64::from(picture.width),
        height: u64 = u64::from(picture.height),
        size: u64 = picture.len,
        animated: bool = picture.record.animated,
    }
}

shape! {
    /// The icon as it is kept.
    pub IconUploadResponse(icon_url: &str, picture: &Stored) {
        success: bool = true,
        icon_url: str = icon_url,
        width: u64 = u64::from(picture.width),
        height: u64 = u64::from(picture.height),
        size: u64 = picture.len,
        animated: bool = picture.record.animated,
    }
}

shape! {
    /// Whether there was one to remove.
    pub PictureDeleteResponse(success: bool) {
        success: bool = success,
    }
}

/// A picture that is on disk.
pub struct Stored {
    pub record: Picture,
    pub width: u32,
    pub height: u32,
    pub len: u64,
}

/// Bytes of an upload.
pub fn avatar_len_max(config: &Config) -> u64 {
    config.avatars.max_file_size
}

/// The same on the older path of icons.
pub fn icon_len_max(config: &Config) -> u64 {
    config.media_size_limits.icon.min(config.avatars.max_file_size)
}

pub async fn avatar_user_upload(ctx: &mut Ctx<'_>) -> Result<Step> {
    let stored = receive(ctx, AVATAR_UPLOAD.file.name).await?;
    let user_id = ctx.user_id();
    ctx.decide(user_id, AvatarSet { picture: Some(stored.record.clone()) }).await?;
    ctx.json(|out| AvatarUploadResponse::write(out, user_id, &stored))
}

pub async fn me_avatar_upload(ctx: &mut Ctx<'_>) -> Result<Step> {
    avatar_user_upload(ctx).await
}

pub fn avatar_user_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.submit(AvatarSet { picture: None }, |ctx, removed| {
        ctx.json(|out| PictureDeleteResponse::write(out, removed))
    })
}

pub async fn avatar_server_upload(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let stored = set_icon(ctx, server_id).await?;
    let url = view::icon_path(server_id);
    ctx.json(|out| IconUploadResponse::write(out, &url, &stored))
}

pub async fn server_icon_upload(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    set_icon(ctx, server_id).await?;
    let snapshot = ctx.snapshot();
    let record = snapshot.read().get(SERVERS, server_id).ok_or(Refusal::ServerNotFound)?;
    ctx.json(|out| server::ServerResponse::write(out, server_id, record))
}

pub fn avatar_server_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let op = IconSet { server_id: ctx.path_server()?, picture: None };
    ctx.submit(op, |ctx, removed| ctx.json(|out| PictureDeleteResponse::write(out, removed)))
}

async fn set_icon(ctx: &mut Ctx<'_>, server_id: ServerId) -> Result<Stored> {
    {
        let snapshot = ctx.snapshot();
        ctx.asking(&snapshot).server(server_id)?.require(SERVER_MANAGE)?;
    }
    let stored = receive(ctx, ICON_UPLOAD.file.name).await?;
    ctx.decide(ctx.user_id(), IconSet { server_id, picture: Some(stored.record.clone()) }).await?;
    Ok(stored)
}

/// Takes the file of a form and keeps the picture that it is.
async fn receive(ctx: &Ctx<'_>, field: &'static str) -> Result<Stored> {
    let (_, spool) = take(ctx, field).await?;
    keep(ctx, field, spool, ctx.state.config.avatars.max_size, u64::MAX).await
}

/// A whole form, with its file on the disk.
///
/// # Errors
/// 400 when it is none, or the file is missing or empty; 413 when the file is too long; 503 when the disk is full.
pub async fn take(ctx: &Ctx<'_>, field: &'static str) -> Result<(Form, Spool)> {
    let mut form = Form::begin(ctx, field)?;
    let mut spool = Spool::new(ctx.state.store.blobs());
    while let Some(piece) = form.file_piece(ctx).await? {
        spool = ctx.effect(Append { spool, piece }).await?.map_err(refused_by_disk)?;
    }
    if form.file_len() == 0 {
        return Err(Error::invalid(field, "the file is empty"));
    }
    Ok((form, spool))
}

/// Keeps the picture that a file is, of so many pixels on either side and so many bytes at most.
///
/// # Errors
/// 400 when it is none that is taken, is blocked, or becomes too long; 503 when the disk is full, or too many wait.
pub async fn keep(
    ctx: &Ctx<'_>,
    field: &'static str,
    spool: Spool,
    side_max: u64,
    len_max: u64,
) -> Result<Stored> {
    let side_max = u32::try_from(side_max).unwrap_or(u32::MAX);
    check_file(ctx.snapshot().read(), &spool.sum())?;
    let convert = Convert { file: spool.file().map_err(refused_by_disk)?, side_max };
    let converted = ctx.effect(convert).await?.map_err(|failure| match failure {
        Failure::Refused(reason) => Error::invalid(field, reason),
        Failure::Worker(error) => {
            tracing::error!(%error, "a process for a picture has not answered");
            Refusal::Busy.into()
        }
    })?;
    let Converted { format, width, height, is_animated, look, bytes } = converted;
    refuse_blocked_look(ctx, look).await?;
    let len = bytes.len() as u64;
    if len > len_max {
        let why = format!(
            "its {width} x {height} pixels take more than {len_max} bytes: use fewer frames or colours"
        );
        return Err(Error::invalid(field, why));
    }
    let blobs = ctx.state.store.blobs();
    let hash = ctx.effect(Keep { blobs, bytes }).await?.map_err(refused_by_disk)?;
    let record = Picture { hash, format: code_of(format), animated: is_animated };
    Ok(Stored { record, width, height, len })
}

/// # Errors
/// 400 when it looks like a picture that is blocked.
pub async fn refuse_blocked_look(ctx: &Ctx<'_>, look: Option<u64>) -> Result<()> {
    let threshold = ctx.state.config.media_deduplication.phash_threshold;
    match look.filter(|_| knows_looks(ctx.snapshot().read())) {
        // Of many it takes milliseconds.
        Some(look) => ctx.read(move |asking| check_look(asking.read, look, threshold)).await,
        None => Ok(()),
    }
}

fn code_of(format: Format) -> u8 {
    match format {
        Format::Jpeg => picture::JPEG,
        Format::Png => picture::PNG,
        Format::Gif => picture::GIF,
        Format::Webp => picture::WEBP,
    }
}

/// What somebody is told whose file could not be written.
pub fn refused_by_disk(error: io::Error) -> Error {
    if error.kind() == io::ErrorKind::StorageFull {
        return Refusal::StoreFull.into();
    }
    if let Some(refused) = refused_for_now(&error) {
        return refused;
    }
    tracing::error!(%error, "a file of a client cannot be written");
    Refusal::StoreFailed.into()
}
