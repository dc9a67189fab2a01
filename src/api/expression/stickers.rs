//! Stickers of servers.

use super::suggestion;
use crate::api::body::check_len;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Id, Int, Name, Needed, Or, Text, fields};
use crate::api::forms::Upload;
use crate::api::media::{kept, pictures};
use crate::config::Config;
use crate::domain::expression::emoji::managing;
use crate::domain::expression::sticker::{
    self, StickerCreate, StickerDelete, StickerResponse, StickerSend, place_of,
};
use crate::domain::{Asking, Error, Refusal, Result};
use crate::id::{MessageId, ServerId};
use crate::limits::{
    CONTENT_CHARS_MAX, STICKER_LEN_KEPT_MAX, STICKER_NAME_LEN_MAX, STICKER_TAG_COUNT_MAX, STICKER_TAG_LEN_MAX,
};
use crate::text;
use crate::wire::json::shape::shape;

/// All tags of a sticker, with commas and blanks between them.
const TAGS_LEN_MAX: usize = STICKER_TAG_COUNT_MAX * (STICKER_TAG_LEN_MAX + 2);

fields! {
    /// A sticker: a name, a picture, and words for which it is suggested.
    pub STICKER_CREATE: StickerCreateForm {
        name: Needed<Name> = Needed(Name(Chars::Configured(|_| 2..=STICKER_NAME_LEN_MAX))),
        /// PNG, GIF, WebP or JPEG.
        image: Upload = Upload,
        /// Up to ten, with commas between them.
        tags: Text = Text(Chars::UpTo(TAGS_LEN_MAX)),
    }
}

fields! {
    /// What a sticker was sent with.
    pub STICKER_SEND: StickerSendForm {
        message_id: Needed<Id> = Needed(Id),
    }
}

fields! {
    /// For what stickers are looked for.
    pub STICKER_SUGGEST: StickerSuggestQuery {
        content: Needed<Text> = Needed(Text(Chars::UpTo(CONTENT_CHARS_MAX))),
        /// Of this server alone.
        server_id: Id = Id,
        limit: Or<Int, u64> = Or(Int(1..=20), 5),
    }
}

shape! {
    /// Whether there is such a sticker and such a message.
    pub StickerSendResponse(success: bool) {
        success: bool = success,
    }
}

/// Bytes of an upload.
pub fn file_len_max(config: &Config) -> u64 {
    config.stickers.max_file_size
}

pub fn sticker_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    ctx.asking(&snapshot).server(server_id)?;
    ctx.json(|out| sticker::write_packs(out, snapshot.read(), server_id))
}

pub async fn sticker_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let server_id = ctx.path_server()?;
    managing(ctx.asking(&ctx.snapshot()), server_id)?;
    let field = STICKER_CREATE.image.name;
    let (form, spool) = pictures::take(ctx, field).await?;
    let (name, tags) = {
        let body = form.body()?;
        let name = STICKER_CREATE.name.read(&body, &ctx.state.config)?;
        (name, tags_of(STICKER_CREATE.tags.read(&body)?.unwrap_or_default())?)
    };
    let side_max = ctx.state.config.stickers.max_size;
    let kept = pictures::keep(ctx, field, spool, side_max, STICKER_LEN_KEPT_MAX).await?;
    let op = StickerCreate {
        server_id,
        name,
        tags,
        picture: kept.record,
        width: kept.width,
        height: kept.height,
        count_max: ctx.state.config.stickers.max_per_server,
    };
    let sticker_id = ctx.decide(ctx.user_id(), op).await?;
    let snapshot = ctx.snapshot();
    let (_, made) = sticker::find(snapshot.read(), sticker_id).ok_or(Refusal::StickerNotFound)?;
    ctx.json(|out| StickerResponse::write(out, snapshot.read(), server_id, sticker_id, made))
}

pub fn sticker_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    ctx.submit_success(StickerDelete { sticker_id: ctx.path_sticker()? })
}

pub fn sticker_send(ctx: &mut Ctx<'_>) -> Result<Step> {
    let sticker_id = ctx.path_sticker()?;
    let snapshot = ctx.snapshot();
    let asking = ctx.asking(&snapshot);
    let server_id = sticker::find(asking.read, sticker_id).map(|(server_id, _)| server_id);
    // Who is no member is told that before a mistake in the form.
    server_id.map(|server_id| asking.server(server_id)).transpose()?;
    let form = ctx.form()?;
    let message_id = MessageId(STICKER_SEND.message_id.read(&form.body()?)?);
    match server_id.and_then(|server_id| place_of(asking, server_id, message_id)) {
        Some(channel_id) => ctx.submit(StickerSend { sticker_id, channel_id, message_id }, sent),
        None => sent(ctx, false),
    }
}

fn sent(ctx: &mut Ctx<'_>, success: bool) -> Result<Step> {
    ctx.json(|out| StickerSendResponse::write(out, success))
}

pub async fn sticker_suggest(ctx: &mut Ctx<'_>) -> Result<Step> {
    let text = STICKER_SUGGEST.content.query(ctx)?;
    check_len(STICKER_SUGGEST.content.name, &text, 0..=CONTENT_CHARS_MAX)?;
    let only = STICKER_SUGGEST.server_id.query(ctx)?.map(ServerId);
    let count_max = STICKER_SUGGEST.limit.query(ctx)? as usize;
    let found = move |asking: Asking<'_>| {
        let mut out = Vec::new();
        suggestion::write(&mut out, asking, &text, only, count_max);
        Ok(out)
    };
    let found = ctx.read(found).await?;
    ctx.json(|out| out.extend_from_slice(&found))
}

pub fn sticker_picture_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let picture = sticker::picture(ctx.snapshot().read(), ctx.path_sticker()?)?;
    kept::answer(ctx, picture, Refusal::StickerNotFound)
}

/// Each once, in the order given.
///
/// # Errors
/// 400 when there are too many, or one is too long.
fn tags_of(list: &str) -> Result<Vec<String>> {
    let mut tags: Vec<String> = Vec::new();
    for tag in list.split(',').map(text::line).filter(|tag| !text::is_blank(tag)) {
        check_len("tags", &tag, 0..=STICKER_TAG_LEN_MAX)?;
        if !tags.iter().any(|known| *known == tag) {
            tags.push(tag.into_owned());
        }
    }
    if tags.len() > STICKER_TAG_COUNT_MAX {
        let why = format!("at most {STICKER_TAG_COUNT_MAX} tags, not {}", tags.len());
        return Err(Error::invalid("tags", why));
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_a_list() {
        assert_eq!(
            tags_of("hello, hi ,, hello,Good  morning,\u{200b}").unwrap(),
            ["hello", "hi", "Good  morning"]
        );
        assert_eq!(tags_of("").unwrap(), [""; 0]);
        let list = |count: u32| (0..count).map(|tag| format!("t{tag}")).collect::<Vec<_>>().join(",");
        assert!(tags_of(&list(10)).is_ok());
        assert!(tags_of(&list(11)).unwrap_err().message.contains("at most 10"));
        assert!(tags_of(&"x".repeat(31)).unwrap_err().message.contains("at most 30 characters"));
    }
}
