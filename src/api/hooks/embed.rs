//! Embeds that are made of what other services send.
//!
//! Whatever they send fits: texts and addresses are cut to what an embed, and what all embeds of a message together,
//! may have. A message that is a little shorter is of more use than a call that is refused.

use crate::api::chat::embeds;
use crate::domain::Result;
use crate::limits::{EMBED_ADDRESS_LEN_MAX, EMBED_CHARS_MAX};
use crate::text::{self, is_http_address};
use crate::wire::json::{Array, Object, parse};

/// Characters of one text of an embed.
pub const TITLE_CHARS_MAX: usize = 256;
pub const NAME_CHARS_MAX: usize = 256;
pub const VALUE_CHARS_MAX: usize = 1_024;
pub const DESCRIPTION_CHARS_MAX: usize = 4_096;

/// One embed; what is empty is left out.
#[derive(Debug, Default, PartialEq)]
pub struct Embed {
    pub title: String,
    pub url: String,
    pub description: String,
    /// 0xRRGGBB.
    pub color: Option<u32>,
    pub author: Party,
    pub footer: Party,
    pub image: String,
    pub thumbnail: String,
    pub fields: Vec<Field>,
}

/// Who or what stands above or below.
#[derive(Debug, Default, PartialEq)]
pub struct Party {
    pub text: String,
    pub url: String,
    pub icon_url: String,
}

#[derive(Debug, Default, PartialEq)]
pub struct Field {
    pub name: String,
    pub value: String,
    pub inline: bool,
}

/// A text of so many characters, of printable ones; what is cut off shows.
pub fn cut(text: &str, chars_max: usize) -> String {
    let text = text::prose(text);
    if text.len() <= chars_max || text.chars().count() <= chars_max {
        return text.into_owned();
    }
    let kept: String = text.chars().take(chars_max.saturating_sub(1)).collect();
    kept.trim_end().to_string() + if chars_max == 0 { "" } else { "…" }
}

/// The embeds of one message as a compact JSON list; empty text when none shows anything.
///
/// # Errors
/// As [`embeds::read`], whose bounds are kept here already.
pub fn compile(all: &[Embed]) -> Result<String> {
    assert!(all.len() <= embeds::COUNT_MAX, "whoever makes embeds counts them");
    let mut json = Vec::new();
    let mut room = Room { chars: EMBED_CHARS_MAX, address_chars: EMBED_CHARS_MAX };
    let mut list = Array::new(&mut json);
    all.iter().for_each(|embed| embed.write(list.object(), &mut room));
    drop(list);
    let list = parse(&mut json).expect("JSON of our own writing");
    embeds::read(list.as_array().expect("a list was written"))
}

/// Characters that are left of what one message may have.
struct Room {
    chars: usize,
    address_chars: usize,
}

impl Room {
    fn text(&mut self, object: &mut Object<'_>, key: &str, text: &str, chars_max: usize) {
        let text = cut(text, chars_max.min(self.chars));
        if !text.is_empty() {
            self.chars -= text.chars().count();
            object.str(key, &text);
        }
    }

    /// An address that is too long, or of another kind, would lead nowhere when it was cut.
    fn address(&mut self, object: &mut Object<'_>, key: &str, url: &str) {
        let count = url.chars().count();
        if is_http_address(url) && count <= EMBED_ADDRESS_LEN_MAX.min(self.address_chars) {
            self.address_chars -= count;
            object.str(key, url);
        }
    }
}

impl Embed {
    fn write(&self, mut embed: Object<'_>, room: &mut Room) {
        room.text(&mut embed, "title", &self.title, TITLE_CHARS_MAX);
        room.address(&mut embed, "url", &self.url);
        if let Some(color) = self.color {
            embed.u64("color", color.into());
        }
        self.author.write(&mut embed, "author", "name", room);
        room.text(&mut embed, "description", &self.description, DESCRIPTION_CHARS_MAX);
        for (key, url) in [("image", &self.image), ("thumbnail", &self.thumbnail)] {
            if !url.is_empty() {
                room.address(&mut embed.object(key), "url", url);
            }
        }
        self.footer.write(&mut embed, "footer", "text", room);
        if !self.fields.is_empty() {
            let mut fields = embed.array("fields");
            for field in &self.fields {
                let mut object = fields.object();
                room.text(&mut object, "name", &field.name, NAME_CHARS_MAX);
                room.text(&mut object, "value", &field.value, VALUE_CHARS_MAX);
                object.bool("inline", field.inline);
            }
        }
    }
}

impl Party {
    fn write(&self, embed: &mut Object<'_>, key: &str, name: &str, room: &mut Room) {
        if self.text.is_empty() {
            return;
        }
        let mut object = embed.object(key);
        room.text(&mut object, name, &self.text, NAME_CHARS_MAX);
        room.address(&mut object, "url", &self.url);
        room.address(&mut object, "icon_url", &self.icon_url);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_where_readers_see_it() {
        let check = |text: &str, max: usize, want: &str| assert_eq!(cut(text, max), want, "{text:?} {max}");
        check("four", 4, "four");
        check("fives", 4, "fiv…");
        check("äöüß", 4, "äöüß");
        check("äöüßx", 4, "äöü…");
        check("ab cd", 4, "ab…");
        check("a\u{1b}b", 4, "ab");
        check("ab", 0, "");
        check("ab", 1, "…");
        check(" \u{200b}", 9, "");
    }

    #[test]
    fn what_is_empty_or_leads_nowhere_is_left_out() {
        assert_eq!(compile(&[]).as_deref(), Ok(""));
        assert_eq!(compile(&[Embed { color: Some(1), ..Embed::default() }]).as_deref(), Ok(""));
        let party = |text: &str, url: &str| Party { text: text.into(), url: url.into(), ..Party::default() };
        let whole = Embed {
            title: "t".into(),
            url: "https://x/y".into(),
            description: "d".into(),
            color: Some(0xff_00_00),
            author: party("a", "javascript:x"),
            footer: party("", "https://x"),
            image: "https://x/z.png".into(),
            thumbnail: "data:image/png;base64,x".into(),
            fields: vec![Field { name: "n".into(), value: "v".into(), inline: true }],
        };
        let want = r#"[{"title":"t","url":"https://x/y","color":16711680,"author":{"name":"a"},"description":"d","image":{"url":"https://x/z.png"},"thumbnail":{},"fields":[{"name":"n","value":"v","inline":true}]}]"#;
        assert_eq!(compile(&[whole]).as_deref(), Ok(want));
    }

    #[test]
    fn all_together_fit() {
        let long = "ü\u{1}\"".repeat(9_000);
        let url = format!("https://x/{}", "y".repeat(2_030));
        let party = || Party { text: long.clone(), url: url.clone(), icon_url: url.clone() };
        let field = || Field { name: long.clone(), value: long.clone(), inline: false };
        let largest = || Embed {
            title: long.clone(),
            url: url.clone(),
            description: long.clone(),
            color: Some(u32::MAX),
            author: party(),
            footer: party(),
            image: url.clone(),
            thumbnail: url.clone(),
            fields: (0..embeds::FIELD_COUNT_MAX).map(|_| field()).collect(),
        };
        let all: Vec<Embed> = (0..embeds::COUNT_MAX).map(|_| largest()).collect();
        let json = compile(&all).unwrap();
        assert!(json.contains("…") && json.len() > EMBED_CHARS_MAX);
    }
}
