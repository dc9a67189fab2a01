//! Read marks: acknowledging, and what is unread.

use crate::api::ctx::{Ctx, Step};
use crate::api::fields::{Id, fields};
use crate::domain::chat::read_mark::{
    self, BULK_MAX, ChannelAck, ChannelsAck, OVERVIEW_COST_MAX, OVERVIEW_ON_CORE_COST_MAX,
};
use crate::domain::permission::MESSAGES_READ;
use crate::domain::{Asking, Error, Result};
use crate::id::{ChannelId, MessageId};
use crate::wire::json::shape::{Kind, Slot, shape};

shape! {
    /// How many messages of others a channel has after the caller's mark, counted up to 1,000.
    pub UnreadCountResponse(channel_id: ChannelId, count: u64) {
        channel_id: id = channel_id.0,
        unread_count: u64 = count,
    }
}

shape! {
    /// The channels with something unread.
    pub AllUnreadCountsResponse(counts: &[u8]) {
        /// By the id of the channel.
        unread_counts: (Slot::map(&Kind::Count)) = |out: &mut Vec<u8>| out.extend_from_slice(counts),
    }
}

shape! {
    /// What an acknowledgement has done.
    pub AckResponse(count: u64) {
        success: bool = true,
        messages_marked: u64 = count,
    }
}

fields! {
    /// Up to which message; without one, all there are.
    pub CHANNEL_ACK: ChannelAckQuery {
        message_id: Id = Id,
    }
}

pub fn unread_get(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    require_readable(ctx, channel_id)?;
    let (snapshot, user_id) = (ctx.snapshot(), ctx.user_id());
    let count = read_mark::unread_count(snapshot.read(), user_id, channel_id);
    ctx.json(|out| UnreadCountResponse::write(out, channel_id, count))
}

/// The counts of those who have few channels are looked up where they are; those of others are not worth the wait of
/// everybody else on this core.
pub fn unread_list(ctx: &mut Ctx<'_>) -> Result<Step> {
    let mut counts = Vec::new();
    let is_whole = {
        let snapshot = ctx.snapshot();
        read_mark::write_unread_counts(&mut counts, ctx.asking(&snapshot), OVERVIEW_ON_CORE_COST_MAX)
    };
    if is_whole {
        return ctx.json(|out| AllUnreadCountsResponse::write(out, &counts));
    }
    Ok(Step::task(|ctx| Box::pin(unread_list_off_core(ctx))))
}

async fn unread_list_off_core(ctx: &mut Ctx<'_>) -> Result<Step> {
    let look = |asking: Asking<'_>| {
        let mut counts = Vec::new();
        read_mark::write_unread_counts(&mut counts, asking, OVERVIEW_COST_MAX);
        Ok(counts)
    };
    let counts = ctx.read(look).await?;
    ctx.json(|out| AllUnreadCountsResponse::write(out, &counts))
}

pub fn channel_ack(ctx: &mut Ctx<'_>) -> Result<Step> {
    let channel_id = ctx.path_channel()?;
    let message_id = match CHANNEL_ACK.message_id.query(ctx) {
        Ok(id) => id.map(MessageId),
        Err(error) => {
            require_readable(ctx, channel_id)?;
            return Err(error);
        }
    };
    ctx.submit(ChannelAck { channel_id, message_id }, |ctx, count| {
        ctx.json(|out| AckResponse::write(out, count))
    })
}

pub fn channel_ack_bulk(ctx: &mut Ctx<'_>) -> Result<Step> {
    let body = ctx.body()?;
    let members = body.members();
    if members.len() > BULK_MAX {
        return Err(Error::bad_request(format!(
            "At most {BULK_MAX} channels at once, not {}",
            members.len()
        )));
    }
    // Entries that name no channel or no message are skipped (contract).
    let marks = members.iter().filter_map(|(channel, message)| {
        let message_id = match message {
            message if message.is_null() => None,
            message => Some(MessageId(message.as_id()?)),
        };
        Some((ChannelId::parse(channel)?, message_id))
    });
    let marks: Vec<_> = marks.collect();
    if marks.is_empty() { ctx.success() } else { ctx.submit_success(ChannelsAck { marks }) }
}

/// # Errors
/// 404 when the channel does not exist, 403 when the user cannot read it.
fn require_readable(ctx: &Ctx<'_>, channel_id: ChannelId) -> Result<()> {
    let snapshot = ctx.snapshot();
    ctx.asking(&snapshot).channel(channel_id)?.require(MESSAGES_READ)
}

#[cfg(test)]
mod tests {
    use crate::api::testing::message_world::*;
    use crate::domain::{Audience, EventName, intent};
    use crate::id::{ChannelId, MessageId, UserId};
    use crate::store::Tx;
    use crate::store::records::*;
    use crate::store::tables::*;

    fn ack(channel: ChannelId, message: Option<MessageId>) -> String {
        let query = message.map(|id| format!("?message_id={id}")).unwrap_or_default();
        format!("/channels/{channel}/messages/ack{query}")
    }

    fn unread(world: &World, who: UserId, channel: ChannelId) -> String {
        field(&world.ok(who, "GET", &format!("/channels/{channel}/messages/unread"), None), "unread_count")
    }

    fn marked(world: &World, who: UserId, path: &str) -> String {
        field(&world.ok(who, "POST", path, None), "messages_marked")
    }

    #[test]
    fn marks_go_forward_only() {
        let world = World::default();
        let ids: Vec<MessageId> =
            [ALICE, BOB, CAROL, ALICE].iter().map(|&who| world.say(who, TEXT, "x")).collect();
        assert_eq!(
            world.ok(CAROL, "GET", "/channels/200/messages/unread", None),
            r#"{"channel_id":"200","unread_count":3}"#
        );
        world.events();
        assert_eq!(
            world.ok(CAROL, "POST", &ack(TEXT, Some(ids[1])), None),
            r#"{"success":true,"messages_marked":2}"#
        );
        let [event] = &world.events()[..] else { panic!("one event") };
        assert_eq!((event.name, event.intent), (EventName::MessageAck, intent::NONE));
        assert!(matches!(event.audience, Audience::Channel { channel_id: TEXT, .. }));
        assert_eq!(
            payload(event),
            format!(r#"{{"channel_id":"200","user_id":"3","message_id":"{}"}}"#, ids[1])
        );
        assert_eq!(unread(&world, CAROL, TEXT), "1");
        // Back: nothing. His own message: nothing to tell.
        for id in [ids[0], ids[1], ids[2]] {
            assert_eq!(marked(&world, CAROL, &ack(TEXT, Some(id))), "0");
            assert!(world.events().is_empty());
        }
        assert_eq!(unread(&world, CAROL, TEXT), "1");
        assert_eq!(marked(&world, CAROL, &ack(TEXT, None)), "1");
        assert_eq!(field(&payload(&world.events()[0]), "message_id"), "null");
        assert_eq!(unread(&world, CAROL, TEXT), "0");
        // Newer than all is all, and does not swallow what comes later.
        assert_eq!(marked(&world, BOB, &ack(TEXT, Some(MessageId(u64::MAX)))), "3");
        world.say(ALICE, TEXT, "later");
        assert_eq!(unread(&world, BOB, TEXT), "1");
        assert_eq!(marked(&world, CAROL, &ack(SLOW, None)), "0");
    }

    #[test]
    fn refused() {
        let world = World::default();
        world.refused(GINA, "POST", &ack(TEXT, None), None, 403);
        world.refused(GINA, "POST", "/channels/200/messages/ack?message_id=x", None, 403);
        world.refused(BOB, "POST", "/channels/200/messages/ack?message_id=x", None, 400);
        world.refused(BOB, "POST", "/channels/abc/messages/ack", None, 400);
        world.refused(BOB, "POST", &ack(NOWHERE, None), None, 404);
        world.refused(BOB, "POST", &ack(HIDDEN, None), None, 403);
        world.refused(BOB, "POST", &ack(MUTE, None), None, 403);
        world.refused(GINA, "GET", "/channels/200/messages/unread", None, 403);
        world.refused(BOB, "GET", "/channels/999/messages/unread", None, 404);
        world.refused(BOB, "GET", "/channels/204/messages/unread", None, 403);
    }

    #[test]
    fn authors_see_their_readers() {
        let world = World::default();
        let id = world.say(ALICE, TEXT, "x");
        world.say(BOB, TEXT, "y");
        let message = |who| world.ok(who, "GET", &format!("/channels/{TEXT}/messages/{id}"), None);
        assert_eq!(field(&message(BOB), "read"), "false");
        world.ok(BOB, "POST", &ack(TEXT, None), None);
        world.ok(CAROL, "POST", &ack(TEXT, Some(id)), None);
        world.ok(ALICE, "POST", &ack(TEXT, None), None);
        let seen = message(ALICE);
        assert_eq!(
            field(&seen, "read_by"),
            r#"[{"id":"2","username":"bob","avatar_url":"/api/v1/avatars/users/2"},{"id":"3","username":"carol","avatar_url":"/api/v1/avatars/users/3"}]"#
        );
        let counts = ["status", "read_count", "delivery_count", "read"].map(|name| field(&seen, name));
        assert_eq!(counts, ["read", "2", "2", "true"]);
        let page = world.ok(BOB, "GET", &format!("/channels/{TEXT}/messages"), None);
        assert_eq!(column(&page, "read"), ["true", "true"]);
        assert_eq!(
            column(&page, "status"),
            ["read", "sent"],
            "Alice has read Bob's; Alice's shows nothing to Bob"
        );
        assert_eq!(field(&message(CAROL), "read_by"), "[]");

        // Who keeps it to himself is not shown, nor told of.
        let quiet = Messaging { read_receipts_enabled: false, ..Messaging::default() };
        world.write(|tx| tx.put(MESSAGING, BOB, &quiet));
        assert_eq!(field(&message(ALICE), "read_count"), "1");
        world.say(ALICE, TEXT, "z");
        world.events();
        world.ok(BOB, "POST", &ack(TEXT, None), None);
        assert_eq!(world.events()[0].audience, Audience::user(BOB));

        let channel = Channel { server_id: SERVER, read_receipts_enabled: false, ..Channel::default() };
        world.write(|tx| tx.put(CHANNELS, TEXT, &channel));
        assert_eq!(field(&message(ALICE), "status"), "sent");
        assert_eq!(field(&message(ALICE), "read_by"), "[]");
        world.ok(CAROL, "POST", &ack(TEXT, None), None);
        assert_eq!(world.events()[0].audience, Audience::user(CAROL));
    }

    #[test]
    fn counts_of_all_conversations() {
        let world = World::default();
        assert_eq!(world.ok(BOB, "GET", "/users/@me/unread", None), r#"{"unread_counts":{}}"#);
        world.say(ALICE, TEXT, "x");
        world.say(ALICE, TEXT, "x");
        world.say(BOB, TEXT, "own");
        world.say(ALICE, DM, "x");
        world.say(ALICE, HIDDEN, "x");
        world.say(ALICE, MUTE, "x");
        world.say(ALICE, NOTES, "x");
        assert_eq!(world.ok(BOB, "GET", "/users/@me/unread", None), r#"{"unread_counts":{"300":1,"200":2}}"#);
        assert_eq!(world.ok(ALICE, "GET", "/users/@me/unread", None), r#"{"unread_counts":{"200":1}}"#);
        assert_eq!(world.ok(GINA, "GET", "/users/@me/unread", None), r#"{"unread_counts":{}}"#);
        let body = format!(
            r#"{{"200":null,"300":"{}","203":null,"999":null,"abc":null,"202":"x","204":[1]}}"#,
            u64::MAX
        );
        world.events();
        let answer = world.ok(BOB, "POST", "/channels/ack/bulk", Some(&body));
        assert_eq!(answer, r#"{"success":true}"#);
        assert_eq!(world.event_names(), [EventName::MessageAck; 2]);
        assert_eq!(world.ok(BOB, "GET", "/users/@me/unread", None), r#"{"unread_counts":{}}"#);
        world.ok(BOB, "POST", "/channels/ack/bulk", Some("{}"));
        for body in ["[]", "null", "x"] {
            world.refused(BOB, "POST", "/channels/ack/bulk", Some(body), 400);
        }
        let many: Vec<String> = (0..501).map(|id| format!("\"{id}\":null")).collect();
        world.refused(BOB, "POST", "/channels/ack/bulk", Some(&format!("{{{}}}", many.join(","))), 400);
    }

    #[test]
    fn direct_messages_tell_the_other_side() {
        let world = World::default();
        world.say(ALICE, DM, "x");
        world.events();
        assert_eq!(marked(&world, BOB, &ack(DM, None)), "1");
        assert_eq!(world.events()[0].audience, Audience::Users([ALICE, BOB].into_iter().collect()));
        let page = world.ok(ALICE, "GET", "/channels/300/messages", None);
        assert_eq!(column(&page, "status"), ["read"]);
    }

    /// Messages as an earlier version stored them.
    fn store(tx: &mut Tx<'_>, channel: ChannelId, author_id: UserId, ids: std::ops::Range<u64>) {
        let message = Message { author_id, content: "x".into(), ..Message::default() };
        for id in ids {
            tx.put(MESSAGES, (channel, MessageId(id)), &message);
            tx.put(AUTHOR_MESSAGES, (author_id, MessageId(id)), &channel.into());
        }
    }

    fn stored(world: &World, channel: ChannelId, author_id: UserId, ids: std::ops::Range<u64>) {
        world.write(|tx| store(tx, channel, author_id, ids));
    }

    #[test]
    fn counts_have_no_end() {
        let world = World::default();
        stored(&world, TEXT, BOB, 1_000..2_001);
        assert_eq!(unread(&world, BOB, TEXT), "0");
        world.say(ALICE, TEXT, "x");
        assert_eq!(unread(&world, BOB, TEXT), "1", "after 1,001 of his own");
        stored(&world, SLOW, ALICE, 3_000..6_000);
        assert_eq!(unread(&world, BOB, SLOW), "3000");
        let all = world.ok(BOB, "GET", "/users/@me/unread", None);
        assert_eq!(all, r#"{"unread_counts":{"200":1,"202":3000}}"#);
        assert_eq!(marked(&world, BOB, &ack(SLOW, Some(MessageId(3_499)))), "500");
        assert_eq!(marked(&world, BOB, &ack(SLOW, None)), "2500");
        assert_eq!(unread(&world, BOB, SLOW), "0");
    }

    #[test]
    fn marks_among_more_messages_than_are_looked_at() {
        let world = World::default();
        stored(&world, TEXT, ALICE, 1_000..31_000);
        assert_eq!(marked(&world, BOB, &ack(TEXT, Some(MessageId(15_999)))), "10000", "at least so many");
        assert_eq!(world.event_names(), [EventName::MessageAck]);
        assert_eq!(marked(&world, BOB, &ack(TEXT, Some(MessageId(16_999)))), "1000");
        assert_eq!(unread(&world, BOB, TEXT), "10000");

        stored(&world, SLOW, ALICE, 101_000..111_000);
        stored(&world, SLOW, BOB, 111_000..121_000);
        assert_eq!(unread(&world, BOB, SLOW), "10000");
        world.event_names();
        world.ok(BOB, "POST", "/channels/ack/bulk", Some(r#"{"202":null}"#));
        assert_eq!(world.event_names(), [EventName::MessageAck]);
    }

    /// A channel of the server for each number.
    fn channels(world: &World, numbers: std::ops::Range<u64>) -> Vec<ChannelId> {
        let channels: Vec<ChannelId> = numbers.map(ChannelId).collect();
        world.write(|tx| {
            for &channel in &channels {
                tx.put(CHANNELS, channel, &Channel { server_id: SERVER, ..Channel::default() });
                tx.put(SERVER_CHANNELS, (SERVER, channel), &Nil {});
            }
        });
        channels
    }

    #[test]
    fn the_overview_ends_before_it_costs_too_much() {
        let world = World::default();
        let many = channels(&world, 1_000..5_800);
        let write = |channels: &[ChannelId]| {
            for some in channels.chunks(200) {
                world.write(|tx| {
                    some.iter().for_each(|id| store(tx, *id, ALICE, id.0 * 1_000..id.0 * 1_000 + 12));
                });
            }
        };
        let told = || world.ok(BOB, "GET", "/users/@me/unread", None).matches("\":").count() - 1;
        write(&many[..2_000]);
        assert_eq!(told(), 2_000);
        write(&many[2_000..]);
        let count = told();
        assert!((3_500..4_800).contains(&count), "{count}");
    }

    #[test]
    fn the_overview_is_right_for_every_channel() {
        let world = World::default();
        let channels = channels(&world, 1_000..1_011);
        for (index, &channel) in channels.iter().enumerate() {
            let first = 10_000 * (index as u64 + 1);
            stored(&world, channel, ALICE, first..first + if index == 10 { 60 } else { 1_000 });
        }
        let check = || {
            let all = world.ok(BOB, "GET", "/users/@me/unread", None);
            for (index, channel) in channels.iter().enumerate() {
                let want = if index == 10 { 60 } else { 1_000 };
                assert!(all.contains(&format!("\"{channel}\":{want}")), "{channel}: {all}");
            }
        };
        check();
        let sweep = crate::domain::housekeeping::sweep::Sweep { records_max: 100 };
        let command = crate::domain::Command::new(UserId(0), sweep.into());
        while world.harness.apply(&command) != Ok(crate::domain::Reply::Count(0)) {}
        assert!(world.harness.state.snapshot().read().len(LEDGER_WINDOWS) > 50);
        check();
    }

    #[test]
    fn bulk_acknowledgements_tell_of_the_messages_of_others_only() {
        let world = World::default();
        stored(&world, TEXT, BOB, 1_000..1_300);
        stored(&world, SLOW, BOB, 2_000..2_300);
        stored(&world, SLOW, ALICE, 2_300..2_301);
        world.ok(BOB, "POST", "/channels/ack/bulk", Some(r#"{"200":null,"202":null}"#));
        let told: Vec<String> =
            world.events().iter().map(|event| field(&payload(event), "channel_id")).collect();
        assert_eq!(told, ["202"]);
    }
}
