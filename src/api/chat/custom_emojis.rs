//! Emojis of servers in messages.
//!
//! A text may hold `<:name:id>` of any emoji; one of another server is shown as such only where its author may use it
//! (`messages.use_external_emojis`). Where he may not, its name is what is left of it.

use std::borrow::Cow;

use crate::domain::Asking;
use crate::domain::custom_emoji::{may_use, server_of};
use crate::domain::permission::Access;
use crate::id::{ChannelId, EmojiId};
use crate::limits::CUSTOM_EMOJI_COUNT_MAX;
use crate::text::emoji::customs;

/// The text as the asking user may say it there. It costs a look for `<` where there are no such emojis.
pub fn permitted<'t>(asking: Asking<'_>, channel_id: ChannelId, text: &'t str) -> Cow<'t, str> {
    if customs(text).next().is_none() {
        return Cow::Borrowed(text);
    }
    // Who may not write there is told so by apply.
    asking.channel(channel_id).map_or(Cow::Borrowed(text), |access| shown(&access, text))
}

/// No text becomes longer, nor empty.
fn shown<'t>(access: &Access<'_>, text: &'t str) -> Cow<'t, str> {
    let (mut out, mut end) = (String::new(), 0);
    for found in customs(text).take(CUSTOM_EMOJI_COUNT_MAX) {
        let server_id = server_of(access.asking.read, EmojiId(found.id));
        if server_id.is_none_or(|server_id| may_use(access, server_id)) {
            continue;
        }
        out += &text[end..found.place.start];
        out += &format!(":{}:", &text[found.name]);
        end = found.place.end;
    }
    if end == 0 {
        return Cow::Borrowed(text);
    }
    out += &text[end..];
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use crate::api::testing::message_world::*;
    use crate::domain::permission::{EVERYONE_DEFAULT, MESSAGES_USE_EXTERNAL_EMOJIS};
    use crate::id::{EmojiId, RoleId, ServerId};
    use crate::store::records::{Emoji, Role, ServerRef};
    use crate::store::tables::{EMOJI_SERVERS, EMOJIS, ROLES};

    /// One of the server, one of another, one of another that was deleted.
    fn world() -> World {
        let world = World::default();
        world.write(|tx| {
            for (id, server_id, deleted) in
                [(7, SERVER, false), (8, ServerId(900), false), (9, ServerId(900), true)]
            {
                let emoji = Emoji { name: "wave".into(), deleted, ..Emoji::default() };
                tx.put(EMOJIS, (server_id, EmojiId(id)), &emoji);
                tx.put(EMOJI_SERVERS, EmojiId(id), &ServerRef { id: server_id });
            }
        });
        world
    }

    #[test]
    fn those_of_other_servers_need_permission() {
        let world = world();
        let text = "<:own:7> <a:other:8>, <:gone:9><:none:10> <:x:y> <:other:8>";
        let said = |who, channel| {
            let id = world.say(who, channel, text);
            field(&world.ok(who, "GET", &format!("/channels/{channel}/messages/{id}"), None), "content")
        };
        let plain = "<:own:7> :other:, <:gone:9><:none:10> <:x:y> :other:";
        assert_eq!(said(BOB, TEXT), plain);
        assert_eq!(said(ALICE, TEXT), text);
        assert_eq!(said(BOB, DM), text);
        let id = world.say(BOB, TEXT, "x");
        let body = format!("{{\"content\":\"{text}\"}}");
        let edited = world.ok(BOB, "PATCH", &format!("/channels/{TEXT}/messages/{id}"), Some(&body));
        assert_eq!(field(&edited, "content"), plain);
        let bits = EVERYONE_DEFAULT | MESSAGES_USE_EXTERNAL_EMOJIS;
        world.write(|tx| tx.put(ROLES, (SERVER, RoleId(101)), &Role { bits, ..Role::default() }));
        assert_eq!(said(BOB, TEXT), text);
    }

    #[test]
    fn reactions_with_them() {
        let world = world();
        let id = world.say(ALICE, TEXT, "x");
        let list = format!("/channels/{TEXT}/messages/{id}/reactions");
        let path = |emoji: &str| format!("{list}/{emoji}");
        for emoji in ["%3C:wave:7%3E", "%3Ca:wave:7%3E", "wave:7", "7", "custom:7"] {
            world.ok(BOB, "PUT", &path(emoji), None);
            assert_eq!(column(&world.ok(BOB, "GET", &path(emoji), None), "user_id"), ["2"]);
        }
        let want = r#"[{"emoji":"custom:7","count":1,"me":true,"url":"/api/v1/media/emojis/7","is_custom":true,"custom_emoji_id":"7"}]"#;
        assert_eq!(world.ok(BOB, "GET", &list, None), want);
        let refused = world.refused(BOB, "PUT", &path("8"), None, 403);
        assert!(refused.contains("use_external_emojis"), "{refused}");
        for emoji in ["9", "10", "%3C:wave:10%3E"] {
            let refused = world.refused(ALICE, "PUT", &path(emoji), None, 400);
            assert!(refused.contains("not an emoji"), "{refused}");
            world.ok(ALICE, "DELETE", &path(emoji), None);
        }
        world.ok(ALICE, "PUT", &path("8"), None);
        world.refused(BOB, "PUT", &path("8"), None, 403);
        // What was deleted since stays, and others may still join in.
        let emoji = Emoji { name: "wave".into(), deleted: true, ..Emoji::default() };
        world.write(|tx| tx.put(EMOJIS, (SERVER, EmojiId(7)), &emoji));
        world.ok(CAROL, "PUT", &path("7"), None);
        assert_eq!(column(&world.ok(BOB, "GET", &list, None), "count"), ["2", "1"]);
        world.write(|tx| {
            tx.delete(EMOJIS, (SERVER, EmojiId(7)));
            tx.delete(EMOJI_SERVERS, EmojiId(7));
        });
        world.ok(MAX, "PUT", &path("7"), None);
        for who in [BOB, CAROL, MAX] {
            world.ok(who, "DELETE", &path("7"), None);
        }
        world.refused(BOB, "PUT", &path("7"), None, 400);
    }
}
