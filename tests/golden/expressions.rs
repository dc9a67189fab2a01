//! Emojis and stickers as they are stored.

use plexichat::id::UserId;
use plexichat::store::records::{Emoji, Picture, Sticker, picture};

use super::{AT, Records, number};

pub fn examples(records: &mut Records) {
    let picture = Picture { hash: [7; 32], format: picture::GIF, animated: true };
    records.example(Emoji {
        name: "party".into(),
        picture: picture.clone(),
        created_by: UserId(number(2)),
        created_at: AT,
        deleted: true,
    });
    records.example(Sticker {
        name: "Wave".into(),
        tags: vec!["hello".into(), "Grüße".into()],
        picture,
        width: 320,
        height: 160,
        created_by: UserId(number(2)),
        created_at: AT,
        uses: 3,
        deleted: false,
    });
}
