//! Files for messages that have come whole: what they are, and what of them is kept.
//!
//! A picture is looked at by a process of its own before anything of it has a name: what is said beside it (where, when,
//! by whom) is not kept, small pictures of it are. The picture itself is not encoded anew. What begins like a picture
//! and cannot be read as one is refused: nobody could tell what it shows, or what else is in it.
//!
//! Invariant: what is kept here has no record that names it until a command does. Whatever happens before leaves blobs
//! that nothing names, which are collected.

use super::pictures::{refuse_blocked_look, refused_by_disk};
use super::uploads::ATTACHMENT_UPLOAD;
use crate::api::ctx::Ctx;
use crate::config::Media;
use crate::domain::contact::blocked::check_file;
use crate::domain::{Error, Refusal, Result};
use crate::effect::disk::{Keep, KeepInstead, KeepSpool, Spool};
use crate::effect::image::examine::Small;
use crate::effect::image::frame::{FirstFrame, demuxer};
use crate::effect::image::{Examine, Examined, Failure, Wanted};
use crate::runtime::random;
use crate::store::blobs::Hash;
use crate::store::records::{StoredFile, Thumbnail};
use crate::wire::file_type::FileType;
use crate::wire::picture::Format;

/// A file that is whole and of a type that is taken.
pub struct Came<'f> {
    pub spool: Spool,
    pub filename: String,
    pub kind: &'static FileType,
    /// How it begins.
    pub head: &'f [u8],
    pub size: u64,
}

impl Came<'_> {
    /// Keeps it.
    ///
    /// # Errors
    /// 400 when it is blocked, or a picture that cannot be read; 503 when the disk is full, or too many wait.
    pub async fn keep(self, ctx: &Ctx<'_>) -> Result<StoredFile> {
        check_file(ctx.snapshot().read(), &self.spool.sum())?;
        let Examined { width, height, duration_ms, look, stripped, small } = self.examine(ctx).await?;
        refuse_blocked_look(ctx, look).await?;
        let Came { spool, filename, kind, size, .. } = self;
        let (hash, size) = match stripped {
            Some(bytes) => keep_instead(ctx, spool, bytes).await?,
            None => (ctx.effect(KeepSpool { spool }).await?.map_err(refused_by_disk)?, size),
        };
        let thumbnails = keep_small(ctx, small).await?;
        let (key, content_type) = (u64::from_be_bytes(random::bytes()), kind.name.to_string());
        Ok(StoredFile {
            key,
            filename,
            content_type,
            size,
            hash,
            width,
            height,
            thumbnails,
            duration_ms,
            look,
        })
    }

    /// What it is: of pictures, films and sounds. Whatever it is called, a picture is one by its bytes.
    async fn examine(&self, ctx: &Ctx<'_>) -> Result<Examined> {
        let is_picture = Format::of(self.head).is_some();
        let has_facts = ["video/", "audio/"].iter().any(|kind| self.kind.name.starts_with(kind));
        if !is_picture && !has_facts {
            return Ok(Examined::default());
        }
        let examine = Examine {
            file: self.spool.file().map_err(refused_by_disk)?,
            wanted: wanted(&ctx.state.config.media),
        };
        match ctx.effect(examine).await? {
            Ok(examined) => self.add_frame(ctx, examined).await,
            Err(Failure::Refused(reason)) if is_picture => {
                Err(Error::invalid(ATTACHMENT_UPLOAD.file.name, reason))
            }
            // How long a film is, is nice to know.
            Err(Failure::Refused(_)) => self.add_frame(ctx, Examined::default()).await,
            Err(Failure::Worker(error)) => {
                tracing::error!(%error, "a process for a file has not answered");
                Err(Refusal::Busy.into())
            }
        }
    }

    /// Of a film its size and its first picture, where a program for that is named. That there is none is no reason to
    /// refuse it; that too many wait is, as with pictures: whoever sends it again has them.
    async fn add_frame(&self, ctx: &Ctx<'_>, examined: Examined) -> Result<Examined> {
        let config = &ctx.state.config.media;
        let demuxer = demuxer(self.kind.name).filter(|_| !config.thumbnailer.is_empty());
        let Some(demuxer) = demuxer else { return Ok(examined) };
        let (file, wanted) = (self.spool.file().map_err(refused_by_disk)?, wanted(config));
        let frame = FirstFrame { file, demuxer, program: config.thumbnailer.clone(), wanted };
        match ctx.effect(frame).await? {
            Ok(Examined { width, height, small, .. }) => Ok(Examined { width, height, small, ..examined }),
            Err(error) => {
                tracing::debug!(?error, "a video has no first picture");
                Ok(examined)
            }
        }
    }
}

fn wanted(config: &Media) -> Wanted {
    let sides = config.thumbnail_sizes.iter().map(|side| u32::try_from(*side).unwrap_or(u32::MAX));
    Wanted { sides: sides.collect(), quality: u8::try_from(config.image_quality).unwrap_or(u8::MAX) }
}

/// Keeps what a picture is without what was said beside it, which may be blocked though that with it is not.
async fn keep_instead(ctx: &Ctx<'_>, spool: Spool, bytes: Vec<u8>) -> Result<(Hash, u64)> {
    let size = bytes.len() as u64;
    let hash = ctx.effect(KeepInstead { spool, bytes }).await?.map_err(refused_by_disk)?;
    check_file(ctx.snapshot().read(), &hash)?;
    Ok((hash, size))
}

/// The smallest first.
async fn keep_small(ctx: &Ctx<'_>, small: Vec<Small>) -> Result<Vec<Thumbnail>> {
    let mut kept = Vec::with_capacity(small.len());
    for small in small.into_iter().rev() {
        let (side, content_type) = (small.side, small.content_type().to_string());
        let keep = Keep { blobs: ctx.state.store.blobs(), bytes: small.bytes };
        let hash = ctx.effect(keep).await?.map_err(refused_by_disk)?;
        kept.push(Thumbnail { side, content_type, hash });
    }
    Ok(kept)
}
