//! What is sent to an incoming webhook of Slack, as a message of ours.
//!
//! Text becomes the content and attachments become embeds, each with what our embeds have: title, text, colour, fields,
//! author, footer, pictures. Blocks of text stand in the place of the text, which Slack shows only where it shows no
//! blocks. Buttons and menus are left out. Slack's spelling of links, of `&`, `<` and `>` and of calls to everybody is
//! turned into ours ([`plain`]).

use super::embed::{DESCRIPTION_CHARS_MAX, Embed, Field, Party, compile, cut};
use super::webhooks::Said;
use crate::api::body::Body;
use crate::api::chat::embeds::{COUNT_MAX, FIELD_COUNT_MAX};
use crate::api::fields::{Chars, List, Text, fields};
use crate::domain::Result;
use crate::limits::{WEBHOOK_ADDRESS_LEN_MAX, WEBHOOK_NAME_LEN_MAX};
use crate::text::{self, is_http_address};
use crate::wire::json::Value;

/// Blocks of one message or attachment that are looked at: as many as Slack takes.
const BLOCK_COUNT_MAX: usize = 50;

fields! {
    /// A message as Slack takes it; whatever else is in it is ignored.
    pub SLACK_MESSAGE: SlackWebhookRequest {
        text: Text = Text(Chars::Any),
        username: Text = Text(Chars::Any),
        icon_url: Text = Text(Chars::Any),
        /// Each becomes an embed.
        attachments: List = List(COUNT_MAX, "object"),
        /// Of which the text is taken: header, section, context.
        blocks: List = List(BLOCK_COUNT_MAX, "object"),
    }
}

/// What a message says. Texts that are too long are cut.
///
/// # Errors
/// 400 for what is no text or list, or has too many attachments or blocks.
pub fn translate(body: &Body<'_>, content_chars_max: usize) -> Result<Said> {
    let text = SLACK_MESSAGE.text.read(body)?.unwrap_or_default();
    let shown = blocks_text(SLACK_MESSAGE.blocks.read(body)?);
    let content = if text::is_blank(&shown) { plain(text) } else { shown };
    let mut embeds: Vec<Embed> = SLACK_MESSAGE.attachments.read(body)?.iter().map(attachment).collect();
    let is_long = content.chars().count() > content_chars_max;
    // An embed has room for more.
    let content = if is_long && embeds.is_empty() && content_chars_max < DESCRIPTION_CHARS_MAX {
        embeds.push(Embed { description: content, ..Embed::default() });
        String::new()
    } else {
        cut(&content, content_chars_max)
    };
    let name = text::line(SLACK_MESSAGE.username.read(body)?.unwrap_or_default());
    let icon_url = SLACK_MESSAGE.icon_url.read(body)?.unwrap_or_default();
    Ok(Said {
        content,
        embeds: compile(&embeds)?,
        username: Some(cut(&name, WEBHOOK_NAME_LEN_MAX)).filter(|name| !name.is_empty()),
        avatar_url: Some(icon_url)
            .filter(|url| is_http_address(url) && url.chars().count() <= WEBHOOK_ADDRESS_LEN_MAX)
            .map(str::to_string),
    })
}

fn attachment(value: &Value<'_>) -> Embed {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    let blocks = value.get("blocks").and_then(Value::as_array).unwrap_or_default();
    let parts = [plain(text("pretext")), plain(text("text")), blocks_text(blocks)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !text::is_blank(part)).collect();
    let fields = value.get("fields").and_then(Value::as_array).unwrap_or_default();
    let mut embed = Embed {
        title: plain(text("title")),
        url: text("title_link").to_string(),
        description: parts.join("\n"),
        color: color(text("color")),
        author: Party {
            text: plain(text("author_name")),
            url: text("author_link").to_string(),
            icon_url: text("author_icon").to_string(),
        },
        footer: Party {
            text: plain(text("footer")),
            icon_url: text("footer_icon").to_string(),
            ..Party::default()
        },
        image: text("image_url").to_string(),
        thumbnail: text("thumb_url").to_string(),
        fields: fields.iter().take(FIELD_COUNT_MAX).map(field).collect(),
    };
    // What is shown where nothing else can be.
    if embed.title.is_empty() && embed.description.is_empty() && embed.fields.is_empty() {
        embed.description = plain(text("fallback"));
    }
    embed
}

fn field(value: &Value<'_>) -> Field {
    let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
    // Some programs send numbers.
    let shown = match value.get("value") {
        Some(Value::Str(text)) => plain(text),
        None | Some(Value::Null | Value::Array(_) | Value::Object(_)) => String::new(),
        Some(scalar) => scalar.to_json(),
    };
    let inline = value.get("short").and_then(Value::as_bool).unwrap_or_default();
    Field { name: plain(text("title")), value: shown, inline }
}

/// `good`, `warning`, `danger`, or `#rrggbb` with or without its mark.
fn color(text: &str) -> Option<u32> {
    match text {
        "good" => Some(0x2e_b8_86),
        "warning" => Some(0xda_a0_38),
        "danger" => Some(0xa3_02_00),
        _ => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            let is_color = digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u32::from_str_radix(digits, 16).ok().filter(|_| is_color)
        }
    }
}

/// The texts of blocks, one below the other.
fn blocks_text(blocks: &[Value<'_>]) -> String {
    let texts = blocks.iter().take(BLOCK_COUNT_MAX).map(block_text);
    texts.filter(|text| !text::is_blank(text)).collect::<Vec<_>>().join("\n")
}

fn block_text(block: &Value<'_>) -> String {
    let text = text_of(block.get("text"));
    let list = |name: &str| block.get(name).and_then(Value::as_array).unwrap_or_default();
    match block.get("type").and_then(Value::as_str) {
        Some("header") if !text::is_blank(&text) => format!("**{}**", text.trim()),
        Some("section") => {
            let fields = list("fields").iter().map(|field| text_of(Some(field)));
            let texts = [text].into_iter().chain(fields).filter(|text| !text::is_blank(text));
            texts.collect::<Vec<_>>().join("\n")
        }
        Some("context") => {
            let texts = list("elements").iter().map(|element| text_of(Some(element)));
            texts.filter(|text| !text::is_blank(text)).collect::<Vec<_>>().join(" ")
        }
        _ => String::new(),
    }
}

/// A text object, `{"type": "mrkdwn", "text": "…"}`, or a text as it is.
fn text_of(value: Option<&Value<'_>>) -> String {
    let text = match value {
        Some(Value::Str(text)) => Some(*text),
        Some(object) => object.get("text").and_then(Value::as_str),
        None => None,
    };
    plain(text.unwrap_or_default())
}

/// A text in our spelling: `<url|label>` is a link, `<!channel>` calls upon everybody, `&lt;` is `<`.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        unescape(&rest[..at], &mut out);
        rest = &rest[at..];
        let Some(end) = rest.find('>') else { break };
        bracketed(&rest[1..end], &mut out);
        rest = &rest[end + 1..];
    }
    unescape(rest, &mut out);
    out
}

/// What stands between `<` and `>`.
fn bracketed(inside: &str, out: &mut String) {
    let (target, label) = inside.split_once('|').unwrap_or((inside, ""));
    match target {
        "!channel" | "!everyone" => out.push_str("@everyone"),
        "!here" => out.push_str("@here"),
        _ if target.starts_with('!') => unescape(label, out),
        _ if target.starts_with("mailto:") => {
            unescape(if label.is_empty() { &target[7..] } else { label }, out)
        }
        _ if is_http_address(target) && label.is_empty() => unescape(target, out),
        _ if is_http_address(target) => {
            out.push('[');
            unescape(label, out);
            out.push_str("](");
            unescape(target, out);
            out.push(')');
        }
        // Somebody or something that is mentioned, or no link at all.
        _ => {
            out.push('<');
            unescape(inside, out);
            out.push('>');
        }
    }
}

/// The three characters that Slack asks programs to escape.
fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let names = [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>')];
        let (len, char) = names
            .into_iter()
            .find(|(name, _)| rest.starts_with(name))
            .map_or((1, '&'), |(name, char)| (name.len(), char));
        out.push(char);
        rest = &rest[len..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> Result<Said> {
        let mut bytes = json.as_bytes().to_vec();
        let body = Body::parse(&mut bytes, Some(b"application/json")).unwrap();
        translate(&body, 2_000)
    }

    fn content(json: &str) -> String {
        said(json).unwrap().content
    }

    #[test]
    fn texts_are_spelled_our_way() {
        let check = |text: &str, want: &str| assert_eq!(plain(text), want, "{text}");
        check("plain", "plain");
        check("a &amp; b &lt;c&gt; &copy; &", "a & b <c> &copy; &");
        check("&amp;lt;", "&lt;");
        check("see <https://x/y?a=1&amp;b=2>", "see https://x/y?a=1&b=2");
        check("<https://x|the &lt;page&gt;>!", "[the <page>](https://x)!");
        check("<!here> <!channel> <!everyone|everyone>", "@here @everyone @everyone");
        check("<!subteam^S1|@ops> <!date^1^x|now>", "@ops now");
        check("<mailto:a@b.example|a@b.example> <mailto:c@d.example>", "a@b.example c@d.example");
        check("<@123> <#C1|general>", "<@123> <#C1|general>");
        check("1 < 2", "1 < 2");
        check("<", "<");
        check("<>", "<>");
        check("<javascript:x|y>", "<javascript:x|y>");
    }

    #[test]
    fn text_name_and_picture() {
        let json = r#"{"text":"hi","username":" CI ","icon_url":"https://x/y.png","icon_emoji":":ghost:","channel":"c"}"#;
        let want = Said {
            content: "hi".into(),
            embeds: String::new(),
            username: Some("CI".into()),
            avatar_url: Some("https://x/y.png".into()),
        };
        assert_eq!(said(json).unwrap(), want);
        let long = format!(r#"{{"text":"x","username":"{}","icon_url":"y"}}"#, "n".repeat(200));
        let said = said(&long).unwrap();
        assert_eq!(said.username.unwrap().chars().count(), 80);
        assert_eq!(said.avatar_url, None);
        assert_eq!(content("{}"), "");
    }

    #[test]
    fn attachments_become_embeds() {
        let json = r##"{"text":"t","attachments":[
            {"fallback":"f","pretext":"before","title":"T","title_link":"https://x/t","text":"a &amp; b","color":"#FF0000",
             "author_name":"Ada","author_link":"https://x/ada","footer":"foot","image_url":"https://x/i.png","thumb_url":"https://x/s.png",
             "fields":[{"title":"n","value":"v","short":true},{"title":"m","value":7}]},
            {"fallback":"only that","color":"good"},
            {"color":"no such"},
            {"blocks":[{"type":"section","text":{"type":"mrkdwn","text":"in a block"}}]}]}"##;
        let want = concat!(
            r#"[{"title":"T","url":"https://x/t","color":16711680,"author":{"name":"Ada","url":"https://x/ada"},"#,
            r#""description":"before\na & b","image":{"url":"https://x/i.png"},"thumbnail":{"url":"https://x/s.png"},"#,
            r#""footer":{"text":"foot"},"fields":[{"name":"n","value":"v","inline":true},{"name":"m","value":"7","inline":false}]},"#,
            r#"{"color":3061894,"description":"only that"},{"description":"in a block"}]"#
        );
        let said = said(json).unwrap();
        assert_eq!((said.content.as_str(), said.embeds.as_str()), ("t", want));
    }

    #[test]
    fn blocks_stand_in_the_place_of_the_text() {
        let json = r#"{"text":"short form","blocks":[
            {"type":"header","text":{"type":"plain_text","text":"Deploy"}},
            {"type":"divider"},
            {"type":"section","text":{"type":"mrkdwn","text":"<https://x|build> passed"},"fields":[{"type":"mrkdwn","text":"one"},{"text":"two"}]},
            {"type":"actions","elements":[{"type":"button","text":{"text":"Click"}}]},
            {"type":"context","elements":[{"type":"image","image_url":"https://x/i.png"},{"type":"mrkdwn","text":"by ada"},{"type":"mrkdwn","text":"now"}]},
            {"type":"section"},5,null]}"#;
        assert_eq!(content(json), "**Deploy**\n[build](https://x) passed\none\ntwo\nby ada now");
        assert_eq!(content(r#"{"text":"t","blocks":[{"type":"divider"}]}"#), "t");
    }

    #[test]
    fn what_is_too_long_is_cut_and_what_is_too_much_refused() {
        let long =
            |count: usize, rest: &str| said(&format!(r#"{{"text":"{}"{rest}}}"#, "ü".repeat(count))).unwrap();
        assert_eq!(long(2_000, "").content.chars().count(), 2_000);
        let whole = long(3_000, "");
        assert_eq!(whole.content, "");
        assert!(whole.embeds.contains(&"ü".repeat(3_000)));
        assert!(long(5_000, "").embeds.ends_with("…\"}]"));
        let beside = long(3_000, r#","attachments":[{"text":"x"}]"#);
        assert_eq!(beside.content.chars().count(), 2_000);
        for bad in [
            format!(r#"{{"attachments":[{}]}}"#, ["{}"; 11].join(",")),
            format!(r#"{{"blocks":[{}]}}"#, ["{}"; 51].join(",")),
            r#"{"text":5}"#.into(),
            r#"{"attachments":{}}"#.into(),
            r#"{"blocks":"x"}"#.into(),
        ] {
            assert_eq!(said(&bad).unwrap_err().status, 400, "{bad}");
        }
        assert!(said(r#"{"attachments":[5,null,[],"x"],"blocks":[[]]}"#).is_ok());
    }
}
