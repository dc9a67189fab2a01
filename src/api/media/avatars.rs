//! Avatars and server icons as they are shown: a picture of one's own ([`super::pictures`]), else a generated one, an
//! SVG with an initial on a colour of `avatars.default_colors`.
//!
//! The same user or server with the same name has the same picture, byte for byte, on every server: caches may keep
//! it, its hash is its `etag`.

use super::kept::{self, describe};
use crate::api::ctx::{Ctx, Step};
use crate::api::pages::etag;
use crate::domain::{Refusal, Result, view};
use crate::id::UserId;
use crate::store::records::{Picture, Server, User};
use crate::store::tables::{SERVERS, USERS};
use crate::text;

const SVG: &str = "image/svg+xml";
/// Seconds; a new name is a new picture, so not a day as for uploads.
const MAX_AGE_GENERATED: &str = "public, max-age=3600";

/// What is shown of somebody.
enum Shown {
    /// By id and name.
    Generated(u64, String),
    /// With what is shown should its file be missing.
    Own(Picture, u64, String),
}

/// Finds out, by what the path names.
type Look = fn(&Ctx<'_>) -> Result<Shown>;

pub fn avatar_user_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    match of_user(ctx)? {
        Shown::Generated(id, name) => generated(ctx, id, &name),
        Shown::Own(picture, ..) => own_or(ctx, &picture, of_user),
    }
}

pub fn avatar_server_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    match of_server(ctx)? {
        Shown::Generated(id, name) => generated(ctx, id, &name),
        Shown::Own(picture, ..) => own_or(ctx, &picture, of_server),
    }
}

fn of_user(ctx: &Ctx<'_>) -> Result<Shown> {
    let user_id = ctx.path_user()?;
    let snapshot = ctx.snapshot();
    let user = snapshot.read().get(USERS, user_id).map(User::from);
    // 0 is the built-in author: it has no record.
    if user_id != UserId(0) && user.is_none() {
        return Err(Refusal::UserNotFound.into());
    }
    let name = view::username(snapshot.read(), user_id).to_string();
    Ok(match user.and_then(|user| user.avatar) {
        Some(picture) => Shown::Own(*picture, user_id.0, name),
        None => Shown::Generated(user_id.0, name),
    })
}

fn of_server(ctx: &Ctx<'_>) -> Result<Shown> {
    let server_id = ctx.path_server()?;
    let snapshot = ctx.snapshot();
    let server = snapshot.read().get(SERVERS, server_id).map(Server::from);
    let server = server.ok_or(Refusal::ServerNotFound)?;
    Ok(match server.icon {
        Some(picture) => Shown::Own(*picture, server_id.0, server.name),
        None => Shown::Generated(server_id.0, server.name),
    })
}

fn own_or(ctx: &mut Ctx<'_>, picture: &Picture, shown: Look) -> Result<Step> {
    if kept::is_had(ctx, picture) || kept::is_at_hand(ctx, picture) {
        return Ok(Step::Done);
    }
    Ok(Step::task(move |ctx| Box::pin(send(ctx, shown))))
}

/// Sends the file, as the record names it now.
async fn send(ctx: &mut Ctx<'_>, shown: Look) -> Result<Step> {
    let (picture, id, name) = match shown(ctx)? {
        Shown::Generated(id, name) => return generated(ctx, id, &name),
        Shown::Own(picture, id, name) => (picture, id, name),
    };
    if kept::attach(ctx, &picture).await? { Ok(Step::Done) } else { generated(ctx, id, &name) }
}

fn generated(ctx: &mut Ctx<'_>, id: u64, name: &str) -> Result<Step> {
    // The option has at least one.
    let colors = &ctx.state.config.avatars.default_colors;
    // The low bits of an id count within its millisecond; those above are time.
    let color = &colors[((id >> 22) ^ id) as usize % colors.len()];
    let drawn = drawn(color, name);
    describe(ctx, SVG, MAX_AGE_GENERATED, etag(drawn.as_bytes()));
    ctx.response.body.extend_from_slice(drawn.as_bytes());
    Ok(Step::Done)
}

fn drawn(color: &str, name: &str) -> String {
    let ink = if is_light(color) { "#1e1f22" } else { "#ffffff" };
    let initial = escaped(&initial(name));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"128\" height=\"128\" viewBox=\"0 0 128 128\">\
         <rect width=\"128\" height=\"128\" fill=\"{color}\"/>\
         <text x=\"64\" y=\"64\" dy=\".35em\" text-anchor=\"middle\" font-family=\"sans-serif\" font-size=\"64\" \
         fill=\"{ink}\">{initial}</text></svg>"
    )
}

/// The first character that can be seen, with its marks, in upper case.
fn initial(name: &str) -> String {
    let name = text::line(name);
    let mut chars = name.chars().skip_while(|&c| text::is_invisible(c));
    let first = chars.next().unwrap_or('?');
    let marks = chars.take_while(|&c| text::is_mark(c)).take(4);
    first.to_uppercase().chain(marks).collect()
}

/// For XML text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Whether black is easier to read on it than white; `#rrggbb` as the option wants it (ITU-R BT.601 luma).
fn is_light(color: &str) -> bool {
    let channel =
        |at: usize| color.get(at..at + 2).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
    299 * channel(1) + 587 * channel(3) + 114 * channel(5) > 186 * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::testing::Harness;
    use crate::api::testing::fixture::{register, text_at};

    fn get(harness: &Harness, path: &str, headers: &str) -> String {
        harness.exchange(&format!("GET /api/v1{path} HTTP/1.1\r\nhost: h\r\n{headers}\r\n"), "")
    }

    fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
        answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    #[test]
    fn everybody_has_a_picture() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let (_, me) = harness.request("GET", "/users/@me", Some(&alice.token), None);
        let url = text_at(&me, &["avatar_url"]);
        let path = url.strip_prefix("/api/v1").unwrap();
        for path in [path, "/avatars/users/0"] {
            // Also for a page whose origin may send credentials: it does not need to here.
            for origin in ["", "Origin: http://localhost:5000\r\n", "Origin: https://elsewhere.example\r\n"] {
                let answer = get(&harness, path, origin);
                assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
                assert_eq!(header(&answer, "content-type"), Some("image/svg+xml"));
                assert_eq!(header(&answer, "cache-control"), Some("public, max-age=3600"));
                assert_eq!(header(&answer, "cross-origin-resource-policy"), Some("cross-origin"));
                assert_eq!(answer.matches("access-control-allow-origin: ").count(), 1, "{answer}");
                assert_eq!(header(&answer, "access-control-allow-origin"), Some("*"));
                assert!(
                    !answer.contains("allow-credentials") && !answer.contains("x-frame-options"),
                    "{answer}"
                );
                assert!(answer.ends_with("</svg>"), "{answer}");
            }
        }
        assert!(get(&harness, path, "").contains(">A</text>"));
        assert!(get(&harness, "/avatars/users/77", "").starts_with("HTTP/1.1 404 "));
        assert!(get(&harness, "/avatars/users/abc", "").starts_with("HTTP/1.1 400 "));
        assert!(get(&harness, "/avatars/servers/77", "").starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn servers_have_one_too() {
        let harness = Harness::default();
        let alice = register(&harness, "alice");
        let create = |name: &str| {
            let body = format!(r#"{{"name":"{name}"}}"#);
            let (status, text) = harness.request("POST", "/servers", Some(&alice.token), Some(&body));
            assert_eq!(status, 200, "{text}");
            get(&harness, &format!("/avatars/servers/{}", text_at(&text, &["id"])), "")
        };
        assert!(create("<&>").contains(">&lt;</text>"));
        assert!(create("हिन्दी").contains(">हि</text>"));
        assert!(create("örtlich").contains(">Ö</text>"));
    }

    #[test]
    fn who_has_it_is_not_sent_it_again() {
        let harness = Harness::default();
        let path = "/avatars/users/0";
        let first = get(&harness, path, "");
        let etag = header(&first, "etag").unwrap();
        assert_eq!(header(&get(&harness, path, ""), "etag"), Some(etag));
        for value in [etag, "*", &format!("W/{etag}"), &format!("\"x\", {etag}")] {
            let again = get(&harness, path, &format!("If-None-Match: {value}\r\n"));
            assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
            assert_eq!(header(&again, "etag"), Some(etag));
            assert_eq!(header(&again, "access-control-allow-origin"), Some("*"));
            assert!(again.ends_with("\r\n\r\n"), "{again}");
        }
        assert!(get(&harness, path, "If-None-Match: \"x\"\r\n").starts_with("HTTP/1.1 200 "));
    }

    #[test]
    fn ink_can_be_read() {
        assert!(drawn("#ffffff", "x").contains("fill=\"#1e1f22\">X<"));
        assert!(drawn("#5865f2", "x").contains("fill=\"#ffffff\">X<"));
        assert!(drawn("#5865f2", "\u{202e}\0").contains(">?<"));
    }
}
