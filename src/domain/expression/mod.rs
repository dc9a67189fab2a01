//! What servers have to say things with: emojis and stickers of their own.

pub mod emoji;
pub mod sticker;

use super::command::commands;
use crate::id::{EmojiId, StickerId};

commands! { Expression:
    240 EmojiCreate(emoji::EmojiCreate) => emoji_create -> EmojiId, speaks;
    241 EmojiRename(emoji::EmojiRename) => emoji_rename -> bool;
    242 EmojiDelete(emoji::EmojiDelete) => emoji_delete -> (), frees_room;
    250 StickerCreate(sticker::StickerCreate) => sticker_create -> StickerId, speaks;
    251 StickerDelete(sticker::StickerDelete) => sticker_delete -> (), frees_room;
    252 StickerSend(sticker::StickerSend) => sticker_send -> bool, speaks;
}
