//! What servers have to say things with: emojis and stickers of their own.

pub mod emojis;
pub mod stickers;
pub mod suggestion;

use super::routes::Answer::{List, One, Picture};
use super::routes::{form, json, multipart, routes};
use crate::domain::expression::emoji::{EmojiCountsResponse, EmojiResponse};
use crate::domain::expression::sticker::{StickerPackResponse, StickerResponse};
use crate::limits::FORM_LEN_MAX;

routes! {
    /// Emojis of a server.
    Get "/servers/{server_id}/emojis" => emojis::emoji_list, User, Default { answer: List(EmojiResponse::SHAPE) };
    /// How many emojis a server has, and may have.
    Get "/servers/{server_id}/emojis/counts" => emojis::emoji_counts_get, User, Default {
        answer: One(EmojiCountsResponse::SHAPE),
    };
    /// One emoji.
    Get "/servers/{server_id}/emojis/{emoji_id}" => emojis::emoji_get, User, Default {
        answer: One(EmojiResponse::SHAPE),
    };
    /// Give a server an emoji.
    Post "/servers/{server_id}/emojis" => emojis::emoji_create.await, User, Uploads {
        body: multipart(emojis::file_len_max),
        form: Some(&emojis::EMOJI_CREATE),
        answer: One(EmojiResponse::SHAPE),
    };
    /// Rename an emoji.
    Patch "/servers/{server_id}/emojis/{emoji_id}" => emojis::emoji_edit, User, Default {
        body: json(FORM_LEN_MAX),
        form: Some(&emojis::EMOJI_EDIT),
        answer: One(EmojiResponse::SHAPE),
    };
    /// Delete an emoji. What was said with it still shows it.
    Delete "/servers/{server_id}/emojis/{emoji_id}" => emojis::emoji_delete, User, Default;
    /// Picture of an emoji.
    Get "/media/emojis/{emoji_id}" => emojis::emoji_picture_get, Public, Exempt { ungated: true, answer: Picture };

    /// Stickers of a server, in their pack.
    Get "/servers/{server_id}/stickers" => stickers::sticker_list, User, Default {
        answer: List(StickerPackResponse::SHAPE),
    };
    /// Give a server a sticker.
    Post "/servers/{server_id}/stickers" => stickers::sticker_create.await, User, Uploads {
        body: multipart(stickers::file_len_max),
        form: Some(&stickers::STICKER_CREATE),
        answer: One(StickerResponse::SHAPE),
    };
    /// Delete a sticker. What was said with it still shows it.
    Delete "/stickers/{sticker_id}" => stickers::sticker_delete, User, Default;
    /// Count that a message was sent with a sticker.
    Post "/stickers/{sticker_id}/send" => stickers::sticker_send, User, Default {
        body: form(FORM_LEN_MAX),
        form: Some(&stickers::STICKER_SEND),
        answer: One(stickers::StickerSendResponse::SHAPE),
    };
    /// Stickers of one's servers that fit to a text.
    Get "/stickers/suggestions" => stickers::sticker_suggest.await, User, Default {
        query: Some(&stickers::STICKER_SUGGEST),
        answer: List(StickerResponse::SHAPE),
    };
    /// Picture of a sticker.
    Get "/media/stickers/{sticker_id}" => stickers::sticker_picture_get, Public, Exempt { ungated: true, answer: Picture };
}
