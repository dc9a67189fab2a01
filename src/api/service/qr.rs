//! QR codes of whatever text, for whoever asks.

use crate::api::cors::Sharing;
use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Chars, Needed, Text, fields};
use crate::api::pages::etag;
use crate::domain::{Error, Result};
use crate::effect::qr::{Draw, Drawn, TooLong};
use crate::id::parse_id;

const SIDE_MIN: u64 = 10;
const SIDE_MAX: u64 = 1_000;
const SIDE_USUAL: u32 = 200;
/// The same text is the same picture; only another version of this program may draw it differently.
const MAX_AGE: &str = "public, max-age=86400";

fields! {
    /// What is to be drawn, and how.
    pub QR: QrQuery {
        /// What the code says, up to 2,953 bytes of UTF-8; some 7,000 when they are digits.
        data: Needed<Text> = Needed(Text(Chars::Configured(|_| 1..=usize::MAX))),
        /// Width and height in pixels, 10 to 1000 each: `300x200`. Without it, and when it is no such thing, `200x200`.
        size: Text = Text(Chars::Any),
        /// `png`, which it is without; anything else is JPEG.
        format: Text = Text(Chars::Any),
    }
}

pub async fn qr(ctx: &mut Ctx<'_>) -> Result<Step> {
    let data = QR.data.query(ctx)?;
    if data.is_empty() {
        return Err(Error::invalid(QR.data.name, "must not be empty"));
    }
    let size = QR.size.query(ctx)?.and_then(|size| read_size(&size));
    let (width, height) = size.unwrap_or((SIDE_USUAL, SIDE_USUAL));
    let is_png = QR.format.query(ctx)?.is_none_or(|format| format.eq_ignore_ascii_case("png"));
    let format = if is_png { Drawn::Png } else { Drawn::Jpeg };
    let drawn = ctx.effect(Draw { data, width, height, format }).await?;
    let picture = drawn.map_err(|TooLong| Error::invalid(QR.data.name, "is too long for a QR code"))?;
    let response = &mut ctx.response;
    response.sharing = Sharing::All;
    response.content_type = format.content_type();
    response.headers.extend([
        ("access-control-allow-origin", "*".to_string()),
        ("access-control-expose-headers", "ETag".to_string()),
        ("cross-origin-resource-policy", "cross-origin".to_string()),
        ("cache-control", MAX_AGE.to_string()),
        ("etag", etag(&picture)),
    ]);
    response.body = picture;
    Ok(Step::Done)
}

/// `WxH`, each brought within bounds; `None` for anything else.
fn read_size(size: &str) -> Option<(u32, u32)> {
    let (width, height) = size.split_once(['x', 'X'])?;
    let side = |text: &str| {
        // More digits than a number has are beyond the bounds as well.
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| parse_id(text).unwrap_or(u64::MAX).clamp(SIDE_MIN, SIDE_MAX) as u32)
    };
    Some((side(width)?, side(height)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ctx::Response;
    use crate::api::testing::Harness;
    use crate::wire::picture::{Format, Header};

    fn ask(harness: &Harness, query: &str, headers: &str) -> Response {
        harness.respond(&format!("GET /api/v1/qr?{query} HTTP/1.1\r\nhost: h\r\n{headers}\r\n"), "")
    }

    #[test]
    fn sizes() {
        for (size, want) in [
            ("120x120", Some((120, 120))),
            ("300X200", Some((300, 200))),
            ("9x1001", Some((10, 1_000))),
            ("0x0", Some((10, 10))),
            ("99999999999999999999999x50", Some((1_000, 50))),
            ("200", None),
            ("x", None),
            ("200x", None),
            ("-5x200", None),
            ("+5x200", None),
            ("20.5x200", None),
            ("1x2x3", None),
            ("\u{663}x5", None),
            ("", None),
        ] {
            assert_eq!(read_size(size), want, "{size}");
        }
    }

    #[test]
    fn formats_and_sizes_are_as_asked_for() {
        let harness = Harness::default();
        for (query, format, width, height) in [
            ("data=hello", Format::Png, 200, 200),
            ("data=hello&size=120x90&format=PNG", Format::Png, 120, 90),
            ("data=hello&size=nonsense&format=", Format::Jpeg, 200, 200),
            ("data=hello&size=5000x1&format=jpg", Format::Jpeg, 1_000, 10),
        ] {
            let answer = ask(&harness, query, "");
            let header = Header::read(&answer.body).ok().unwrap();
            assert_eq!(
                (answer.status, header.format, header.width, header.height),
                (200, format, width, height)
            );
            let want = if format == Format::Png { "image/png" } else { "image/jpeg" };
            assert_eq!(answer.content_type, want, "{query}");
            assert_eq!(answer.header("cache-control"), Some("public, max-age=86400"));
        }
    }

    #[test]
    fn who_has_it_is_not_sent_it_again() {
        let harness = Harness::default();
        let first = ask(&harness, "data=hello", "");
        let etag = first.header("etag").unwrap();
        let again = ask(&harness, "data=hello", &format!("If-None-Match: {etag}\r\n"));
        assert_eq!((again.status, again.body.len()), (304, 0));
        let other = ask(&harness, "data=hellO", &format!("If-None-Match: {etag}\r\n"));
        assert_eq!(other.status, 200);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let harness = Harness::default();
        let long = format!("data={}", "x".repeat(2_954));
        for (query, want) in [
            ("", "Invalid data: this parameter is required"),
            ("data=", "Invalid data: must not be empty"),
            ("size=100x100", "Invalid data: this parameter is required"),
            (&long, "Invalid data: is too long for a QR code"),
            ("data=%ff", "Invalid percent-encoding"),
        ] {
            let answer = ask(&harness, query, "");
            let body = String::from_utf8(answer.body).unwrap();
            assert_eq!((answer.status, answer.content_type), (400, "application/json"), "{query}");
            assert!(body.contains(want), "{body}");
        }
    }
}
