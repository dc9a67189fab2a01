//! Pictures that are kept: what an answer with one says of it.

use crate::api::conditional::is_known;
use crate::api::content::{Content, refused_for_now};
use crate::api::cors::Sharing;
use crate::api::ctx::{Ctx, Step};
use crate::domain::media::picture::hex;
use crate::domain::{Refusal, Result};
use crate::effect::disk::{Open, Opened};
use crate::store::records::{Picture, picture};

const MAX_AGE: &str = "public, max-age=86400";

/// What is in the file is what its name says.
fn etag(picture: &Picture) -> String {
    format!("\"{}\"", hex(&picture.hash))
}

/// Any page may show it, without credentials: one answer for all origins.
pub fn describe(ctx: &mut Ctx<'_>, content_type: &'static str, max_age: &str, etag: String) {
    let response = &mut ctx.response;
    response.sharing = Sharing::All;
    response.content_type = content_type;
    response.headers.extend([
        ("access-control-allow-origin", "*".to_string()),
        ("access-control-expose-headers", "ETag".to_string()),
        ("cross-origin-resource-policy", "cross-origin".to_string()),
        ("cache-control", max_age.to_string()),
        ("etag", etag),
    ]);
}

/// Whether who asks has the picture already: then that is the answer, and there is nothing to be read.
pub fn is_had(ctx: &mut Ctx<'_>, picture: &Picture) -> bool {
    let etag = etag(picture);
    let is_had = is_known(&ctx.request.head, &etag);
    if is_had {
        describe(ctx, picture::text(picture.format), MAX_AGE, etag);
    }
    is_had
}

/// Answers with a picture.
///
/// # Errors
/// That it is `missing`, when its file is.
pub fn answer(ctx: &mut Ctx<'_>, picture: Picture, missing: Refusal) -> Result<Step> {
    if is_had(ctx, &picture) {
        return Ok(Step::Done);
    }
    if is_at_hand(ctx, &picture) {
        return Ok(Step::Done);
    }
    Ok(Step::task(move |ctx| Box::pin(send(ctx, picture, missing))))
}

/// Makes the file of a picture the answer, if the core has it from before.
pub fn is_at_hand(ctx: &mut Ctx<'_>, picture: &Picture) -> bool {
    let opened = ctx.state.recent_files.get(&picture.hash, ctx.now_ms());
    let is_at_hand = opened.is_some();
    opened.into_iter().for_each(|opened| answer_with(ctx, picture, opened));
    is_at_hand
}

fn answer_with(ctx: &mut Ctx<'_>, picture: &Picture, opened: Opened) {
    describe(ctx, picture::text(picture.format), MAX_AGE, etag(picture));
    ctx.response.content = Some(Content::file(opened, ctx.source()));
}

async fn send(ctx: &mut Ctx<'_>, picture: Picture, missing: Refusal) -> Result<Step> {
    if attach(ctx, &picture).await? { Ok(Step::Done) } else { Err(missing.into()) }
}

/// Makes the file of a picture the answer; false when there is no such file.
///
/// # Errors
/// 503 when too many wait for the disk, or where files are kept does not answer.
pub async fn attach(ctx: &mut Ctx<'_>, picture: &Picture) -> Result<bool> {
    let open = Open { blobs: ctx.state.store.blobs(), hash: picture.hash };
    let opened = match ctx.effect(open).await? {
        Ok(opened) => opened,
        Err(error) => {
            if let Some(refused) = refused_for_now(&error) {
                return Err(refused);
            }
            tracing::error!(%error, "the file of a picture cannot be read: see `plexichat verify`");
            return Ok(false);
        }
    };
    ctx.state.recent_files.keep(&picture.hash, &opened, ctx.now_ms());
    answer_with(ctx, picture, opened);
    Ok(true)
}
