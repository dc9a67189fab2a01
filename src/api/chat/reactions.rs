//! Reactions.
//!
//! The emoji in a path is Unicode, or a short name with or without colons, or one of a server in any of its forms. What
//! is none of that names nothing: adding it is refused, removing it removes nothing, nobody has reacted with it.

use std::borrow::Cow;

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Id, Int, Or, fields};
use crate::domain::chat::clearing::ReactionsClear;
use crate::domain::chat::message::message_access;
use crate::domain::chat::reaction::{self, ReactionAdd, ReactionRemove};
use crate::domain::custom_emoji;
use crate::domain::identity::tier;
use crate::domain::{Error, Result};
use crate::id::{EmojiId, UserId};
use crate::text::emoji::{custom, normalise};

/// An emoji as reactions name it. Short names go before ids: `100` is one of them.
fn stored(emoji: &str) -> Option<Cow<'static, str>> {
    let custom = || custom(emoji).map(|id| custom_emoji::spelled(EmojiId(id)).into());
    normalise(emoji).or_else(custom)
}

pub fn reaction_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    match stored(&ctx.param("emoji")) {
        Some(emoji) => {
            let kinds_max = tier::reactions_max(ctx.principal().tier);
            ctx.submit_success(ReactionAdd { channel_id, message_id, emoji: emoji.into_owned(), kinds_max })
        }
        None => {
            reaction::adding_access(ctx.asking(&ctx.snapshot()), channel_id, message_id)?;
            Err(Error::invalid(
                "emoji",
                "not an emoji: send a Unicode emoji, a known :shortcode: or <:name:id>",
            ))
        }
    }
}

pub fn reaction_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    // What is no emoji goes the same way: the log says whether the message exists, and finds nothing to remove.
    let emoji = stored(&ctx.param("emoji")).unwrap_or_default().into_owned();
    ctx.submit_success(ReactionRemove { channel_id, message_id, emoji })
}

/// Rows of those who reacted that go with the command; the rest is left to the server.
const CLEARED_AT_ONCE: u64 = 1_000;

pub fn reaction_clear(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    ctx.submit_success(ReactionsClear { channel_id, message_id, emoji: None, rows_max: CLEARED_AT_ONCE })
}

pub fn reaction_clear_emoji(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    // As with one's own: what is no emoji finds nothing to remove.
    let emoji = Some(normalise(&ctx.param("emoji")).unwrap_or_default().into_owned());
    ctx.submit_success(ReactionsClear { channel_id, message_id, emoji, rows_max: CLEARED_AT_ONCE })
}

fields! {
    /// A page of those who reacted.
    pub REACTION_USERS: ReactionUserQuery {
        limit: Or<Int, u64> = Or(Int(1..=100), 50),
        /// The last user of the page before.
        after: Id = Id,
    }
}

pub fn reaction_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    message_access(ctx.asking(&snapshot), channel_id, message_id)?;
    ctx.json(|out| reaction::write_list(out, snapshot.read(), message_id, Some(user_id)))
}

pub fn reaction_user_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    let snapshot = ctx.snapshot();
    message_access(ctx.asking(&snapshot), channel_id, message_id)?;
    let limit = REACTION_USERS.limit.query(ctx)? as usize;
    let after = REACTION_USERS.after.query(ctx)?.map(UserId);
    let emoji = stored(&ctx.param("emoji")).unwrap_or_default();
    ctx.json(|out| reaction::write_users(out, snapshot.read(), message_id, &emoji, after, limit))
}

#[cfg(test)]
mod tests {
    use crate::api::testing::START_MS;
    use crate::api::testing::message_world::*;
    use crate::domain::{Audience, EventName, intent};
    use crate::id::{ChannelId, MessageId};
    use crate::store::records::*;
    use crate::store::tables::*;

    const THUMB: &str = "%F0%9F%91%8D";
    const FIRE: &str = "%F0%9F%94%A5";

    fn path(channel: ChannelId, id: MessageId, emoji: &str) -> String {
        format!("/channels/{channel}/messages/{id}/reactions/{emoji}")
    }

    fn list(channel: ChannelId, id: MessageId) -> String {
        format!("/channels/{channel}/messages/{id}/reactions")
    }

    #[test]
    fn a_reaction_comes_and_goes() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, "x");
        world.events();
        let added = world.ok(BOB, "PUT", &path(TEXT, id, THUMB), None);
        assert_eq!(added, r#"{"success":true}"#);
        let [event] = &world.events()[..] else { panic!("one event") };
        assert_eq!(
            (event.name, event.intent),
            (EventName::MessageReactionAdd, intent::GUILD_MESSAGE_REACTIONS)
        );
        assert!(matches!(event.audience, Audience::Channel { channel_id: TEXT, .. }));
        let want = format!(
            r#"{{"user_id":"2","message_id":"{id}","channel_id":"200","emoji":"👍","guild_id":"100"}}"#
        );
        assert_eq!(payload(event), want);
        // Again, in another spelling: nothing happens.
        world.ok(BOB, "PUT", &path(TEXT, id, ":thumbsup:"), None);
        assert!(world.events().is_empty());
        let item = |me| {
            format!(
                r#"{{"emoji":"👍","count":1,"me":{me},"url":null,"is_custom":false,"custom_emoji_id":null}}"#
            )
        };
        assert_eq!(world.ok(ALICE, "GET", &list(TEXT, id), None), format!("[{}]", item(false)));
        assert_eq!(world.ok(BOB, "GET", &list(TEXT, id), None), format!("[{}]", item(true)));
        let message = world.ok(BOB, "GET", &format!("/channels/{TEXT}/messages/{id}"), None);
        assert_eq!(field(&message, "reactions"), format!("[{}]", item(true)));

        world.ok(BOB, "DELETE", &path(TEXT, id, THUMB), None);
        assert_eq!(world.event_names(), [EventName::MessageReactionRemove]);
        world.ok(BOB, "DELETE", &path(TEXT, id, THUMB), None);
        assert!(world.events().is_empty());
        assert_eq!(world.ok(ALICE, "GET", &list(TEXT, id), None), "[]");
        let message = world.ok(BOB, "GET", &format!("/channels/{TEXT}/messages/{id}"), None);
        assert_eq!(field(&message, "reactions"), "[]");
        assert_eq!(world.harness.state.snapshot().read().len(REACTION_SETS), 0);
    }

    #[test]
    fn order_of_first_use_and_of_time() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, "x");
        for (who, emoji) in [(CAROL, THUMB), (BOB, FIRE), (BOB, THUMB), (ALICE, THUMB)] {
            world.harness.advance(1_000);
            world.ok(who, "PUT", &path(TEXT, id, emoji), None);
        }
        assert_eq!(column(&world.ok(ALICE, "GET", &list(TEXT, id), None), "emoji"), ["👍", "🔥"]);
        let users = |query: &str| {
            column(&world.ok(ALICE, "GET", &format!("{}{query}", path(TEXT, id, THUMB)), None), "user_id")
        };
        assert_eq!(users(""), ["3", "2", "1"]);
        assert_eq!(users("?limit=2"), ["3", "2"]);
        assert_eq!(users("?after=3&limit=1"), ["2"]);
        assert_eq!(users("?after=1"), [""; 0]);
        assert_eq!(users("?after=77"), [""; 0]);
        let all = world.ok(ALICE, "GET", &path(TEXT, id, THUMB), None);
        let at = (START_MS / 1_000 + 1).to_string();
        assert_eq!(column(&all, "reacted_at")[0], at);
        for query in ["?limit=0", "?limit=101", "?after=x"] {
            world.refused(ALICE, "GET", &format!("{}{query}", path(TEXT, id, THUMB)), None, 400);
        }
        // A page goes on where it ended, whoever has taken his back since.
        world.ok(BOB, "DELETE", &path(TEXT, id, THUMB), None);
        assert_eq!(users("?after=2&limit=1"), ["1"]);
        assert_eq!(users("?after=3"), ["1"]);
        world.ok(CAROL, "DELETE", &path(TEXT, id, THUMB), None);
        assert_eq!((users("?after=3"), users("?after=2")), (vec!["1".to_string()], vec!["1".to_string()]));
        assert_eq!(users("?after=1"), [""; 0]);
        // Who comes again stands last, and his former place is forgotten.
        world.ok(BOB, "PUT", &path(TEXT, id, THUMB), None);
        assert_eq!((users(""), users("?after=2")), (vec!["1".to_string(), "2".to_string()], Vec::new()));
        world.ok(CAROL, "PUT", &path(TEXT, id, THUMB), None);
        // The first emoji is gone and used again: now it stands last.
        for who in [CAROL, BOB, ALICE] {
            world.ok(who, "DELETE", &path(TEXT, id, THUMB), None);
        }
        world.ok(CAROL, "PUT", &path(TEXT, id, THUMB), None);
        assert_eq!(column(&world.ok(ALICE, "GET", &list(TEXT, id), None), "emoji"), ["🔥", "👍"]);
        assert_eq!(users(""), ["3"]);
        assert_eq!(world.harness.state.snapshot().read().len(REACTION_PLACES), 0);
    }

    #[test]
    fn what_is_no_emoji() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, "x");
        world.events();
        for emoji in ["nope", ":nope:", "%3C:n:1%3E", "%3Ca:n:1%3E", "n:1", "123", "%F0%9F%91%8D%F0%9F%91%8D"]
        {
            let got = world.refused(BOB, "PUT", &path(TEXT, id, emoji), None, 400);
            assert!(got.contains("not an emoji"), "{emoji}: {got}");
            assert_eq!(world.ok(BOB, "GET", &path(TEXT, id, emoji), None), "[]");
            world.ok(BOB, "DELETE", &path(TEXT, id, emoji), None);
        }
        assert!(world.events().is_empty());
        // Who may not react is not told about spelling.
        world.refused(GINA, "PUT", &path(TEXT, id, "nope"), None, 403);
        world.refused(BOB, "PUT", &path(TEXT, MessageId(77), "nope"), None, 404);
        // With and without variation selector it is one.
        world.ok(BOB, "PUT", &path(TEXT, id, "%E2%9D%A4"), None);
        world.ok(CAROL, "PUT", &path(TEXT, id, "%E2%9D%A4%EF%B8%8F"), None);
        assert_eq!(column(&world.ok(BOB, "GET", &list(TEXT, id), None), "count"), ["2"]);
    }

    #[test]
    fn a_message_has_twenty_kinds() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, "x");
        let emojis: Vec<&str> = emojis::iter().filter_map(|emoji| emoji.shortcode()).take(21).collect();
        for emoji in &emojis[..20] {
            world.ok(BOB, "PUT", &path(TEXT, id, &format!(":{emoji}:")), None);
        }
        let last = path(TEXT, id, &format!(":{}:", emojis[20]));
        assert!(world.refused(BOB, "PUT", &last, None, 400).contains("at most 20"));
        // Another one with a kind that is there already is fine.
        world.ok(CAROL, "PUT", &path(TEXT, id, &format!(":{}:", emojis[0])), None);
        let tier = User { tier: tier::PREMIUM, username: "max".into(), ..User::default() };
        world.write(|tx| tx.put(USERS, MAX, &tier));
        world.ok(MAX, "PUT", &last, None);
    }

    #[test]
    fn who_may_react() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, "x");
        let bits =
            crate::domain::permission::EVERYONE_DEFAULT & !crate::domain::permission::MESSAGES_ADD_REACTIONS;
        let check = |who, method: &str, channel, id, status| {
            assert_eq!(world.call(who, method, &path(channel, id, THUMB), None).0, status);
        };
        for method in ["PUT", "DELETE", "GET"] {
            check(GINA, method, TEXT, id, 403);
            check(BOB, method, TEXT, MessageId(77), 404);
            check(BOB, method, NOWHERE, id, 404);
            check(BOB, method, HIDDEN, id, 403);
        }
        world.refused(GINA, "GET", &list(TEXT, id), None, 403);
        world.refused(BOB, "GET", &list(TEXT, MessageId(77)), None, 404);
        world.refused(BOB, "GET", "/channels/200/messages/abc/reactions", None, 400);
        world.ok(BOB, "PUT", &path(TEXT, id, THUMB), None);
        world.write(|tx| tx.put(ROLES, (SERVER, crate::id::RoleId(101)), &Role { bits, ..Role::default() }));
        assert!(world.refused(CAROL, "PUT", &path(TEXT, id, THUMB), None, 403).contains("add_reactions"));
        // His own he may take back.
        check(BOB, "DELETE", TEXT, id, 200);
    }

    #[test]
    fn reactions_of_older_tables_stay_reachable() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, "x");
        let heart = "%E2%9D%A4%EF%B8%8F";
        for who in [ALICE, BOB] {
            world.ok(who, "PUT", &path(TEXT, id, heart), None);
        }
        let older = ReactionEntry { emoji: "❤".into(), index: 0, count: 2 };
        world.write(|tx| tx.put(REACTION_SETS, id, &ReactionSet { entries: vec![older] }));
        let users = world.ok(ALICE, "GET", &path(TEXT, id, heart), None);
        assert_eq!(column(&users, "user_id"), ["1", "2"]);
        world.events();
        world.ok(ALICE, "DELETE", &path(TEXT, id, heart), None);
        let [event] = &world.events()[..] else { panic!("one event") };
        assert!(payload(event).contains("\"emoji\":\"❤\u{fe0f}\""), "{}", payload(event));
        world.ok(CAROL, "PUT", &path(TEXT, id, "%E2%9D%A4"), None);
        let list = world.ok(ALICE, "GET", &list(TEXT, id), None);
        assert_eq!(
            (column(&list, "emoji"), column(&list, "count")),
            (vec!["❤\u{fe0f}".into()], vec!["2".into()])
        );
    }

    #[test]
    fn reactions_in_direct_messages() {
        let world = World::default();
        let id = world.say(ALICE, DM, "x");
        world.events();
        world.ok(BOB, "PUT", &path(DM, id, FIRE), None);
        let [event] = &world.events()[..] else { panic!("one event") };
        assert_eq!(event.intent, intent::DIRECT_MESSAGE_REACTIONS);
        assert_eq!(event.audience, Audience::Users([ALICE, BOB].into_iter().collect()));
        assert!(payload(event).ends_with(r#""guild_id":null}"#));
        let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
        world.write(|tx| tx.put(RELATIONSHIPS, (ALICE, BOB), &block));
        world.refused(BOB, "PUT", &path(DM, id, THUMB), None, 403);
        world.ok(BOB, "DELETE", &path(DM, id, FIRE), None);
    }
}
