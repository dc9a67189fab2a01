//! Typing signals over REST.

use crate::api::ctx::{Ctx, Step};
use crate::domain::Result;
use crate::domain::chat::typing::start_event;

pub fn typing_start(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let event = start_event(ctx.asking(&ctx.snapshot()), channel_id)?;
    if let Some(event) = event {
        ctx.state.emit(event);
    }
    ctx.success()
}

#[cfg(test)]
mod tests {
    use crate::api::testing::message_world::*;
    use crate::domain::chat::typing::stop_event;
    use crate::domain::{Asking, Audience, EventName, intent};
    use crate::store::records::*;
    use crate::store::tables::*;

    const PATH: &str = "/channels/200/typing";

    #[test]
    fn typing_is_told_to_the_others() {
        let world = World::default();
        assert_eq!(world.ok(BOB, "POST", PATH, None), r#"{"success":true}"#);
        let [event] = &world.harness.state.take_ephemeral()[..] else { panic!("one event") };
        assert_eq!((event.name, event.intent), (EventName::TypingStart, intent::GUILD_MESSAGE_TYPING));
        assert!(matches!(event.audience, Audience::Channel { channel_id: TEXT, .. }));
        assert_eq!(event.except, Some(BOB));
        assert_eq!(payload(event), r#"{"channel_id":"200","user_id":"2","username":"bob"}"#);
        world.ok(ALICE, "POST", "/channels/300/typing", None);
        let [event] = &world.harness.state.take_ephemeral()[..] else { panic!("one event") };
        assert_eq!(event.intent, intent::DIRECT_MESSAGE_TYPING);
        assert!(world.events().is_empty(), "nothing is stored");
        let snapshot = world.harness.state.snapshot();
        let stop = stop_event(Asking { read: snapshot.read(), at: 0, who: BOB }, TEXT).unwrap().unwrap();
        assert_eq!(
            (stop.name, payload(&stop)),
            (EventName::TypingStop, r#"{"channel_id":"200","user_id":"2"}"#.to_string())
        );
    }

    #[test]
    fn typing_is_not_told() {
        let world = World::default();
        let quiet = Messaging { typing_indicators_enabled: false, ..Messaging::default() };
        world.write(|tx| tx.put(MESSAGING, BOB, &quiet));
        world.ok(BOB, "POST", PATH, None);
        let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
        world.write(|tx| tx.put(RELATIONSHIPS, (BOB, ALICE), &block));
        world.ok(ALICE, "POST", "/channels/300/typing", None);
        world.refused(GINA, "POST", PATH, None, 403);
        world.refused(BOB, "POST", "/channels/203/typing", None, 403);
        world.refused(BOB, "POST", "/channels/999/typing", None, 404);
        world.refused(BOB, "POST", "/channels/abc/typing", None, 400);
        let member = Member { timeout_until: Some(u64::MAX), ..Member::default() };
        world.write(|tx| tx.put(MEMBERS, (SERVER, CAROL), &member));
        assert!(world.refused(CAROL, "POST", PATH, None, 403).contains("messages.send"));
        assert!(world.harness.state.take_ephemeral().is_empty());
    }
}
