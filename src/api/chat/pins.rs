//! Pins.

use crate::api::ctx::{Ctx, Step};
use crate::domain::Result;
use crate::domain::chat::pin::{self, MessagePin, MessageUnpin};
use crate::domain::identity::tier;
use crate::domain::permission::MESSAGES_READ;

pub fn pin_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let snapshot = ctx.snapshot();
    let access = ctx.asking(&snapshot).channel(channel_id)?;
    access.require(MESSAGES_READ)?;
    ctx.json(|out| pin::write_list(out, &access))
}

pub fn pin_create(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    let pins_max = tier::pins_max(ctx.principal().tier);
    ctx.submit_success(MessagePin { channel_id, message_id, pins_max })
}

pub fn pin_delete(ctx: &mut Ctx<'_>) -> Result<Step> {
    let (channel_id, message_id) = (ctx.path_channel()?, ctx.path_message()?);
    ctx.submit_success(MessageUnpin { channel_id, message_id })
}

#[cfg(test)]
mod tests {
    use crate::api::testing::message_world::*;
    use crate::domain::{EventName, intent};
    use crate::id::{ChannelId, MessageId};

    fn pin(channel: ChannelId, id: MessageId) -> String {
        format!("/channels/{channel}/pins/{id}")
    }

    fn pins(channel: ChannelId) -> String {
        format!("/channels/{channel}/pins")
    }

    #[test]
    fn pinned_newest_pin_first() {
        let world = World::default();
        let (one, two) = (world.say(BOB, TEXT, "one"), world.say(CAROL, TEXT, "two"));
        assert_eq!(world.ok(BOB, "GET", &pins(TEXT), None), "[]");
        world.events();
        world.ok(MAX, "PUT", &pin(TEXT, two), None);
        let events = world.events();
        assert_eq!(events[0].name, EventName::MessageUpdate);
        let update = payload(&events[0]);
        assert_eq!(
            (field(&update, "pinned"), field(&update, "author_username")),
            ("true".into(), "carol".into())
        );
        assert_eq!((events[1].name, events[1].intent), (EventName::ChannelPinsUpdate, intent::GUILDS));
        let want = format!(r#"{{"channel_id":"200","guild_id":"100","pinned_message_ids":["{two}"]}}"#);
        assert_eq!(payload(&events[1]), want);
        assert_eq!(events.len(), 2);
        // The one who pins last stands first, whatever the age of his message.
        world.ok(ALICE, "PUT", &pin(TEXT, one), None);
        world.events();
        world.ok(ALICE, "PUT", &pin(TEXT, two), None);
        assert!(world.events().is_empty(), "pinning again changes nothing");
        let list = world.ok(BOB, "GET", &pins(TEXT), None);
        assert_eq!(column(&list, "id"), [one.to_string(), two.to_string()]);
        assert_eq!(column(&list, "pinned"), ["true", "true"]);

        world.ok(MAX, "DELETE", &pin(TEXT, one), None);
        let events = world.events();
        assert_eq!(field(&payload(&events[0]), "pinned"), "false");
        assert_eq!(field(&payload(&events[1]), "pinned_message_ids"), format!("[\"{two}\"]"));
        world.ok(MAX, "DELETE", &pin(TEXT, one), None);
        assert!(world.events().is_empty());
        assert_eq!(column(&world.ok(BOB, "GET", &pins(TEXT), None), "id"), [two.to_string()]);
    }

    #[test]
    fn who_may_pin() {
        let world = World::default();
        let id = world.say(BOB, TEXT, "x");
        for method in ["PUT", "DELETE"] {
            let check = |who, path: &str, status| assert_eq!(world.call(who, method, path, None).0, status);
            check(BOB, &pin(TEXT, id), 403);
            check(GINA, &pin(TEXT, id), 403);
            check(ALICE, &pin(TEXT, MessageId(77)), 404);
            check(ALICE, &pin(SLOW, id), 404);
            check(ALICE, &pin(NOWHERE, id), 404);
            check(ALICE, "/channels/200/pins/abc", 400);
            check(ALICE, "/channels/abc/pins/1", 400);
        }
        world.refused(GINA, "GET", &pins(TEXT), None, 403);
        world.refused(BOB, "GET", &pins(MUTE), None, 403);
        world.refused(BOB, "GET", &pins(NOWHERE), None, 404);
        let id = world.say(ALICE, DM, "x");
        world.events();
        world.ok(BOB, "PUT", &pin(DM, id), None);
        let events = world.events();
        assert_eq!((events[0].intent, events[1].intent), (intent::DIRECT_MESSAGES, intent::NONE));
        world.refused(CAROL, "PUT", &pin(DM, id), None, 403);
    }

    #[test]
    fn fifty_pins() {
        let world = World::default();
        let ids: Vec<MessageId> = (0..51).map(|_| world.say(ALICE, TEXT, "x")).collect();
        for &id in &ids[..50] {
            world.ok(ALICE, "PUT", &pin(TEXT, id), None);
        }
        assert!(world.refused(ALICE, "PUT", &pin(TEXT, ids[50]), None, 400).contains("at most 50"));
        world.ok(ALICE, "PUT", &pin(TEXT, ids[0]), None);
        world.ok(ALICE, "DELETE", &pin(TEXT, ids[0]), None);
        world.ok(ALICE, "PUT", &pin(TEXT, ids[50]), None);
        assert_eq!(column(&world.ok(BOB, "GET", &pins(TEXT), None), "id").len(), 50);
    }
}
