//! Files of messages as they are read: by their uploader, by whoever may read a message that has them, and by whoever has
//! a signed address.
//!
//! Invariant: who may is decided when it is asked for, whoever has seen the address before. What a browser would run in
//! the name of this server is never shown by it, only saved.

use super::signature;
use crate::api::conditional::is_known;
use crate::api::content::{Content, refused_for_now};
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Text, fields};
use crate::domain::chat::attachment::{self, AttachmentInfoResponse, file_name, thumbnail_name};
use crate::domain::{Asking, Error, Refusal, Result};
use crate::effect::disk::Open;
use crate::id::UserId;
use crate::store::blobs::Hash;
use crate::store::records::StoredFile;
use crate::text::file_name::disposition;
use crate::wire::file_type;
use crate::wire::json::shape::shape;

const CACHE: &str = "private, max-age=3600";

fields! {
    /// How a file is wanted.
    pub ATTACHMENT_GET: AttachmentQuery {
        /// 1: to be saved, not to be shown.
        download: Text = Text(Chars::Any),
        /// Until when a signed address is good, in Unix seconds.
        exp: Text = Text(Chars::Any),
        /// Its signature.
        sig: Text = Text(Chars::Any),
    }
}

shape! {
    /// An address that needs no login.
    pub SignedUrlResponse(url: &str, until_ms: u64) {
        url: str = url,
        expires_at: time = until_ms,
    }
}

/// What is sent: all that an answer needs to know of it.
struct Found {
    hash: Hash,
    content_type: String,
    /// As it is saved.
    filename: String,
}

pub fn attachment_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let found = find(ctx)?;
    let is_known = is_known(&ctx.request.head, &etag(&found));
    let at_hand = ctx.state.recent_files.get(&found.hash, ctx.now_ms());
    let wanted = ATTACHMENT_GET.download.query(ctx)?.unwrap_or_default();
    let is_saved = !matches!(wanted.to_ascii_lowercase().as_str(), "" | "0" | "false");
    if is_known {
        describe(ctx, &found, is_saved);
        return Ok(Step::Done);
    }
    if let Some(opened) = at_hand {
        describe(ctx, &found, is_saved);
        ctx.response.content = Some(Content::file(opened, ctx.source()));
        return Ok(Step::Done);
    }
    Ok(Step::task(move |ctx| Box::pin(send(ctx, found, is_saved))))
}

pub fn attachment_sign(ctx: &mut Ctx<'_>) -> Result<Step> {
    find(ctx)?;
    let name = ctx.param("filename");
    let (url, until_ms) = signature::address(ctx, &name);
    ctx.json(|out| SignedUrlResponse::write(out, &url, until_ms))
}

pub fn attachment_info(ctx: &mut Ctx<'_>) -> Result<Step> {
    let name = ctx.param("filename");
    let (key, file) = stored(ctx, &name)?;
    if name != file_name(key, &file.content_type) {
        return Err(Refusal::FileNotFound.into());
    }
    ctx.json(|out| AttachmentInfoResponse::write(out, &file))
}

/// The file that the path names, which the one who asks may read.
///
/// # Errors
/// 400 when it is a path and no name, 404 when there is no such file, 403 when he may not.
fn find(ctx: &Ctx<'_>) -> Result<Found> {
    let name = ctx.param("filename");
    let (key, file) = stored(ctx, &name)?;
    part_of(&file, key, &name).ok_or(Refusal::FileNotFound.into())
}

/// The same, of which the name may be that of a thumbnail.
fn stored(ctx: &Ctx<'_>, name: &str) -> Result<(u64, StoredFile)> {
    if name.contains(['/', '\\']) || name.contains("..") || name.chars().any(char::is_control) {
        return Err(Error::invalid("filename", "must be the name of a file, without a path"));
    }
    let key = key_of(name).ok_or(Refusal::FileNotFound)?;
    let snapshot = ctx.snapshot();
    let (read, at) = (snapshot.read(), ctx.now_ms());
    let who = ctx.caller.principal().map(|principal| principal.user_id);
    match who.map(|who| attachment::readable(Asking { read, at, who }, key)) {
        Some(Ok(file)) => Ok((key, file)),
        refused => {
            // A signature stands for itself; a bad one is told before that nobody is logged in.
            if !signature::check(ctx, name)? {
                return Err(refused.and_then(Result::err).unwrap_or(Refusal::Unauthorized.into()));
            }
            Ok((key, attachment::any(Asking { read, at, who: UserId(0) }, key)?))
        }
    }
}

/// The number that the name of a file, or of a thumbnail of one, begins with.
pub fn key_of(name: &str) -> Option<u64> {
    let digits = name.get(..16)?;
    let is_name = name[16..].starts_with(['.', '_']);
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
    (is_name && is_hex).then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// The file, or the thumbnail of it, that has this name.
fn part_of(file: &StoredFile, key: u64, name: &str) -> Option<Found> {
    let StoredFile { hash, content_type, filename, .. } = file;
    if name == file_name(key, content_type) {
        let (content_type, filename) = (content_type.clone(), filename.clone());
        return Some(Found { hash: *hash, content_type, filename });
    }
    let is_it = |side: u32, content_type: &str| name == thumbnail_name(key, side, content_type);
    let thumbnail = file.thumbnails.iter().find(|it| is_it(it.side, &it.content_type))?;
    let content_type = thumbnail.content_type.clone();
    Some(Found { hash: thumbnail.hash, content_type, filename: name.to_string() })
}

/// What is in the file is what its sum says.
fn etag(found: &Found) -> String {
    format!("\"{}\"", crate::domain::media::picture::hex(&found.hash))
}

fn describe(ctx: &mut Ctx<'_>, found: &Found, is_saved: bool) {
    let kind = file_type::named(&found.content_type);
    let how = if kind.is_shown && !is_saved { "inline" } else { "attachment" };
    let response = &mut ctx.response;
    response.is_framed = true;
    response.content_type = kind.told();
    response.headers.extend([
        ("cache-control", CACHE.to_string()),
        ("content-disposition", disposition(how, &found.filename)),
        ("etag", etag(found)),
    ]);
}

async fn send(ctx: &mut Ctx<'_>, found: Found, is_saved: bool) -> Result<Step> {
    let open = Open { blobs: ctx.state.store.blobs(), hash: found.hash };
    let opened = ctx.effect(open).await?.map_err(|error| {
        if let Some(refused) = refused_for_now(&error) {
            return refused;
        }
        tracing::error!(%error, "a file of a message cannot be read: see `plexichat verify`");
        Error::from(Refusal::StoreDamaged)
    })?;
    ctx.state.recent_files.keep(&found.hash, &opened, ctx.now_ms());
    describe(ctx, &found, is_saved);
    ctx.response.content = Some(Content::file(opened, ctx.source()));
    Ok(Step::Done)
}
