//! Emojis of servers.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Formed, Needed, Text, fields};
use crate::api::forms::Upload;
use crate::api::identity::rules::default_tier;
use crate::api::media::{kept, pictures};
use crate::config::Config;
use crate::domain::expression::emoji::{
    self, EmojiCountsResponse, EmojiCreate, EmojiDelete, EmojiRename, EmojiResponse, managing,
};
use crate::domain::identity::tier;
use crate::domain::permission::Standing;
use crate::domain::{Error, Refusal, Result};
use crate::id::{EmojiId, ServerId, UserId};
use crate::limits::{EMOJI_LEN_KEPT_MAX, EMOJI_NAME_LEN_MAX};
use crate::store::records::picture;
use crate::store::tables::USERS;

const NAME_LEN_MIN: usize = 2;
const NAME: Needed<Formed> = Needed(Formed(Text(Chars::UpTo(EMOJI_NAME_LEN_MAX)), "^[a-z0-9_]{2,32}$"));

fields! {
    /// An emoji: a name that the server does not have yet, and a picture.
    pub EMOJI_CREATE: EmojiCreateForm {
        name: Needed<Formed> = NAME,
        /// PNG, GIF or WebP, or JPEG where that is taken.
        image: Upload = Upload,
    }
}

fields! {
    /// What an emoji is called from now on.
    pub EMOJI_EDIT: EmojiUpdateRequest {
        name: Needed<Formed> = NAME,
    }
}

/// Bytes of an upload.
pub fn file_len_max(config: &Config) -> u64 {
    config.emojis.max_file_size
}

pub fn emoji_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    ctx.asking(&snapshot).server(server_id)?;
    ctx.json(|out| emoji::write_list(out, snapshot.read(), server_id))
}

pub fn emoji_counts_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    let standing = ctx.asking(&snapshot).server(server_id)?;
    let maxima = [false, true].map(|animated| count_max(ctx, &standing, animated));
    let counts = emoji::counts(snapshot.read(), server_id);
    ctx.json(|out| EmojiCountsResponse::write(out, counts, maxima))
}

pub fn emoji_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, emoji_id) = (ctx.path_server()?, ctx.path_emoji()?);
    ctx.asking(&ctx.snapshot()).server(server_id)?;
    answer(ctx, server_id, emoji_id)
}

pub async fn emoji_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    managing(ctx.asking(&ctx.snapshot()), server_id)?;
    let field = EMOJI_CREATE.image.name;
    let (form, spool) = pictures::take(ctx, field).await?;
    let name = checked(EMOJI_CREATE.name.read(&form.body()?)?)?;
    // So that no picture is made for nothing.
    emoji::require_free(ctx.snapshot().read(), server_id, &name, None)?;
    let side_max = ctx.state.config.emojis.max_size;
    let picture = pictures::keep(ctx, field, spool, side_max, EMOJI_LEN_KEPT_MAX).await?.record;
    if picture.format == picture::JPEG && !ctx.state.config.emojis.allow_jpeg {
        return Err(Error::invalid(field, "a JPEG is not taken: send PNG, GIF or WebP"));
    }
    let count_max = {
        let snapshot = ctx.snapshot();
        count_max(ctx, &managing(ctx.asking(&snapshot), server_id)?, picture.animated)
    };
    let op = EmojiCreate { server_id, name, picture, count_max };
    let emoji_id = ctx.decide(ctx.user_id(), op).await?;
    answer(ctx, server_id, emoji_id)
}

pub fn emoji_edit(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (server_id, emoji_id) = (ctx.path_server()?, ctx.path_emoji()?);
    let snapshot = ctx.snapshot();
    managing(ctx.asking(&snapshot), server_id)?;
    emoji::find(snapshot.read(), server_id, emoji_id)?;
    let name = checked(EMOJI_EDIT.name.read(&ctx.body()?)?)?;
    ctx.submit(EmojiRename { server_id, emoji_id, name }, move |ctx, _| answer(ctx, server_id, emoji_id))
}

pub fn emoji_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.submit_success(EmojiDelete { server_id: ctx.path_server()?, emoji_id: ctx.path_emoji()? })
}

pub fn emoji_picture_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let picture = emoji::picture(ctx.snapshot().read(), ctx.path_emoji()?)?;
    kept::answer(ctx, picture, Refusal::EmojiNotFound)
}

fn answer(ctx: &mut Ctx<'_>, server_id: ServerId, emoji_id: EmojiId) -> Result<Step> {
    let snapshot = ctx.snapshot();
    let emoji = emoji::find(snapshot.read(), server_id, emoji_id)?;
    ctx.json(|out| EmojiResponse::write(out, snapshot.read(), server_id, emoji_id, emoji))
}

/// Emojis of a kind that a server may have: the least of what this server and the tier of its owner allow.
fn count_max(ctx: &Ctx<'_>, standing: &Standing<'_>, animated: bool) -> u64 {
    let config = &ctx.state.config;
    let server_max = if animated { config.emojis.max_animated } else { config.emojis.max_static };
    let owner = standing.asking.read.get(USERS, UserId::from(&standing.server.owner_id));
    let default = || default_tier(config);
    let code = owner.map_or_else(default, |owner| tier::in_force(owner, standing.asking.at, default));
    tier::emoji_count_max(code, server_max)
}

/// # Errors
/// 400 unless it is of 2 to 32 small letters, digits and underscores.
fn checked(name: &str) -> Result<String> {
    let is_right = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if name.len() >= NAME_LEN_MIN && name.bytes().all(is_right) {
        return Ok(name.to_string());
    }
    Err(Error::invalid("name", "must be 2 to 32 of a to z, 0 to 9 and _"))
}
