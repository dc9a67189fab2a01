//! Embeds of messages: read, bounded, and written anew.
//!
//! Invariant: what is stored and sent on is JSON of our own writing, with every name once, and everything in it has
//! been counted. Embeds that show nothing are left out, so a message that has embeds shows something.

use crate::domain::{Error, Result};
use crate::limits::{EMBED_ADDRESS_LEN_MAX, EMBED_CHARS_MAX, EMBEDS_LEN_MAX};
use crate::text::is_blank;
use crate::wire::json::{Array, Value};

/// Embeds of one message.
pub const COUNT_MAX: usize = 10;
/// Fields of one embed.
pub const FIELD_COUNT_MAX: usize = 25;

/// Members whose texts readers see.
const SHOWN: &[&str] = &[
    "title",
    "description",
    "fields",
    "name",
    "value",
    "footer",
    "text",
    "author",
    "provider",
    "image",
    "thumbnail",
    "video",
];
/// Members that hold an address.
const ADDRESSES: &[&str] = &["url", "icon_url", "proxy_url", "proxy_icon_url"];
/// Members that only say how the rest is shown.
const MANNERS: &[&str] = &["type", "timestamp", "color", "inline", "width", "height"];

/// The embeds of a message as a compact JSON list; empty text when there are none that show anything.
///
/// # Errors
/// 400 when they are no list of objects, too many, or too long.
pub fn read(embeds: &[Value<'_>]) -> Result<String> {
    let (mut tally, mut json) = (Tally::default(), Vec::new());
    let mut list = Array::new(&mut json);
    let mut count = 0;
    for embed in embeds {
        let Some(members) = embed.as_object() else {
            let problem = format_args!("each must be an object, not {}", embed.kind());
            return Err(Error::invalid("embeds", problem));
        };
        check_fields(embed)?;
        tally.shows = false;
        for (name, value) in members {
            tally.member(name, value)?;
        }
        // Before anything is written of what is too much.
        tally.check()?;
        if tally.shows {
            embed.write(list.item());
            count += 1;
        }
    }
    drop(list);
    if json.len() > EMBEDS_LEN_MAX {
        let problem = format_args!("at most {EMBEDS_LEN_MAX} bytes of JSON, not {}", json.len());
        return Err(Error::invalid("embeds", problem));
    }
    if count == 0 {
        json.clear();
    }
    Ok(String::from_utf8(json).expect("JSON of our own writing is UTF-8"))
}

fn check_fields(embed: &Value<'_>) -> Result<()> {
    let Some(fields) = embed.get("fields").filter(|fields| !fields.is_null()) else { return Ok(()) };
    let fields = fields.as_array().ok_or_else(|| Error::invalid("embeds", "fields must be a list"))?;
    if fields.len() > FIELD_COUNT_MAX {
        let problem = format_args!("at most {FIELD_COUNT_MAX} fields, not {}", fields.len());
        return Err(Error::invalid("embeds", problem));
    }
    if fields.iter().any(|field| field.as_object().is_none()) {
        return Err(Error::invalid("embeds", "each field must be an object"));
    }
    Ok(())
}

/// What has been found in the embeds of one message.
#[derive(Default)]
struct Tally {
    /// Characters of texts, and of everything that nobody knows the meaning of.
    text: usize,
    /// Characters of addresses, times and types.
    addresses: usize,
    /// Whether the embed looked at shows anything.
    shows: bool,
    /// For numbers as they are written.
    scratch: Vec<u8>,
}

impl Tally {
    fn member(&mut self, name: &str, value: &Value<'_>) -> Result<()> {
        let is_address = ADDRESSES.contains(&name);
        if is_address || MANNERS.contains(&name) {
            return match value {
                Value::Str(text) => self.address(text, is_address),
                Value::Array(_) | Value::Object(_) => {
                    self.unknown(value);
                    Ok(())
                }
                _ => Ok(()),
            };
        }
        if !SHOWN.contains(&name) {
            self.text += name.chars().count();
            self.unknown(value);
            return Ok(());
        }
        self.shown(value)
    }

    fn shown(&mut self, value: &Value<'_>) -> Result<()> {
        match value {
            Value::Str(text) => {
                self.text += text.chars().count();
                self.shows |= !is_blank(text);
                Ok(())
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.shown(item)),
            Value::Object(members) => members.iter().try_for_each(|(name, value)| self.member(name, value)),
            scalar => {
                self.unknown(scalar);
                Ok(())
            }
        }
    }

    fn address(&mut self, text: &str, is_address: bool) -> Result<()> {
        let count = text.chars().count();
        if count > EMBED_ADDRESS_LEN_MAX {
            let problem =
                format_args!("an address has at most {EMBED_ADDRESS_LEN_MAX} characters, not {count}");
            return Err(Error::invalid("embeds", problem));
        }
        self.addresses += count;
        self.shows |= is_address && !is_blank(text);
        Ok(())
    }

    /// Counts a value without knowing what it is for: names, texts, and numbers as they are written.
    fn unknown(&mut self, value: &Value<'_>) {
        match value {
            Value::Null => {}
            Value::Str(text) => self.text += text.chars().count(),
            Value::Array(items) => items.iter().for_each(|item| self.unknown(item)),
            Value::Object(members) => members.iter().for_each(|(name, value)| {
                self.text += name.chars().count();
                self.unknown(value);
            }),
            scalar => {
                self.scratch.clear();
                scalar.write(&mut self.scratch);
                self.text += self.scratch.len();
            }
        }
    }

    fn check(&self) -> Result<()> {
        for (what, count) in [("characters", self.text), ("characters of addresses", self.addresses)] {
            if count > EMBED_CHARS_MAX {
                let problem = format_args!("at most {EMBED_CHARS_MAX} {what} in all, not {count}");
                return Err(Error::invalid("embeds", problem));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::body::Body;

    fn read_text(embeds: &str) -> Result<String> {
        let mut bytes = format!("{{\"embeds\":{embeds}}}").into_bytes();
        let body = Body::parse(&mut bytes, Some(b"application/json"))?;
        read(body.list("embeds", COUNT_MAX)?)
    }

    fn accepted(embeds: &str) -> bool {
        match read_text(embeds) {
            Ok(json) => !json.is_empty(),
            Err(error) => {
                assert_eq!(error.status, 400);
                false
            }
        }
    }

    #[test]
    fn written_anew_with_every_name_once() {
        let check = |embeds: &str, want: &str| assert_eq!(read_text(embeds).as_deref(), Ok(want), "{embeds}");
        check(r#"[{"title":"a","title":"b"}]"#, r#"[{"title":"b"}]"#);
        check(r#"[ { "title" : "\u0061", "new" : 1e2 } ]"#, r#"[{"title":"a","new":100.0}]"#);
        check(
            r#"[{"footer":{"text":"a","text":"b"},"x":{"y":1,"z":2,"y":3},"title":"t"}]"#,
            r#"[{"footer":{"text":"b"},"x":{"y":3,"z":2},"title":"t"}]"#,
        );
        let fields = format!(r#"[{{"fields":[{}],"fields":[],"title":"t"}}]"#, vec!["{}"; 60].join(","));
        check(&fields, r#"[{"fields":[],"title":"t"}]"#);
        let many = vec!["{}"; 60].join(",");
        assert!(!accepted(&format!(r#"[{{"title":"t","fields":[],"fields":[{many}]}}]"#)));
        check("[]", "");
    }

    #[test]
    fn embeds_that_show_nothing_are_left_out() {
        for embed in [
            "{}",
            r#"{"title":null}"#,
            r#"{"color":1}"#,
            r#"{"type":"rich","timestamp":"2026-01-01T00:00:00Z"}"#,
            r#"{"title":" \u200b","fields":[{"name":"","value":"\n","inline":true}],"url":""}"#,
            r#"{"unknown":"text","footer":{},"title":5}"#,
        ] {
            assert_eq!(read_text(&format!("[{embed}]")).as_deref(), Ok(""), "{embed}");
            let both = read_text(&format!(r#"[{embed},{{"title":"t"}},{embed}]"#));
            assert_eq!(both.as_deref(), Ok(r#"[{"title":"t"}]"#), "{embed}");
        }
        for embed in [
            r#"{"description":"d"}"#,
            r#"{"url":"https://example.com"}"#,
            r#"{"image":{"url":"https://example.com/x.png"}}"#,
            r#"{"author":{"name":"n"}}"#,
            r#"{"fields":[{"name":"n"}]}"#,
        ] {
            assert!(accepted(&format!("[{embed}]")), "{embed}");
        }
    }

    #[test]
    fn everything_is_counted_over_all_embeds() {
        let whole = |text: usize, addresses: usize| {
            let half = format!(r#"{{"description":"{}"}}"#, "ü".repeat(text / 2));
            let rest = "x".repeat(text - text / 2 - 4);
            let address = "a".repeat(addresses / 3);
            format!(
                r#"[{half},{{"odd!":"{rest}","url":"{address}","image":{{"url":"{address}"}},"author":{{"icon_url":"{address}"}}}}]"#
            )
        };
        assert!(accepted(&whole(6_000, 6_000)));
        assert!(!accepted(&whole(6_001, 0)));
        assert!(!accepted(&whole(10, 6_003)));
        let long = |place: &str, count: usize| {
            format!("[{{\"title\":\"t\",{}}}]", place.replace('X', &"x".repeat(count)))
        };
        for place in [
            r#""title":"X""#,
            r#""unknown":"X""#,
            r#""X":null"#,
            r#""unknown":[["X"]]"#,
            r#""unknown":{"X":1}"#,
            r#""footer":{"text":"X"}"#,
            r#""footer":{"unknown":"X"}"#,
            r#""url":{"unknown":"X"}"#,
            r#""color":["X"]"#,
            r#""type":{"X":[]}"#,
            r#""fields":[{"name":"X"}]"#,
        ] {
            assert!(accepted(&long(place, 5_900)), "{place}");
            assert!(!accepted(&long(place, 6_001)), "{place}");
        }
        for place in
            [r#""url":"X""#, r#""thumbnail":{"proxy_url":"X"}"#, r#""timestamp":"X""#, r#""type":"X""#]
        {
            assert!(accepted(&long(place, 2_048)), "{place}");
            assert!(!accepted(&long(place, 2_049)), "{place}");
        }
        let numbers = format!(r#"[{{"title":"t","unknown":[{}]}}]"#, vec!["7"; 6_001].join(","));
        assert!(!accepted(&numbers));
        let nothing = format!(r#"[{{"title":"t","unknown":[{}]}}]"#, vec!["[]"; 14_000].join(","));
        assert!(!accepted(&nothing), "what has no characters is bounded in bytes");
    }

    #[test]
    fn shapes() {
        for embeds in
            ["{}", "5", "\"x\"", "[5]", "[[]]", "[null]", r#"[{"fields":{}}]"#, r#"[{"fields":[1]}]"#]
        {
            assert_eq!(read_text(embeds).unwrap_err().status, 400, "{embeds}");
        }
        let list = |count: usize| format!("[{}]", vec![r#"{"title":"t"}"#; count].join(","));
        assert!(accepted(&list(10)) && !accepted(&list(11)));
        let fields =
            |count: usize| format!("[{{\"fields\":[{}]}}]", vec![r#"{"name":"n"}"#; count].join(","));
        assert!(accepted(&fields(25)) && !accepted(&fields(26)));
    }
}
