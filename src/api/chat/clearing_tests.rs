//! Messages and reactions that go many at once, as handlers answer it, without sockets.

use crate::api::testing::message_world::*;
use crate::domain::{Audience, EventName, intent};
use crate::id::{ChannelId, MessageId, UserId};
use crate::store::owners::ended_count;
use crate::store::records::*;
use crate::store::tables::*;

const THUMB: &str = "%F0%9F%91%8D";
const FIRE: &str = "%F0%9F%94%A5";

fn delete(world: &World, who: UserId, channel: ChannelId, ids: &[MessageId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    let body = format!("{{\"message_ids\":[{}]}}", ids.join(","));
    world.ok(who, "POST", &format!("/channels/{channel}/messages/bulk-delete"), Some(&body))
}

fn reactions(channel: ChannelId, id: MessageId, rest: &str) -> String {
    format!("/channels/{channel}/messages/{id}/reactions{rest}")
}

#[test]
fn one_event_tells_of_all_and_one_of_the_pins() {
    let world = World::default();
    let ids: Vec<MessageId> = (0..3).map(|n| world.say(BOB, TEXT, &n.to_string())).collect();
    for id in &ids[..2] {
        world.ok(MAX, "PUT", &format!("/channels/{TEXT}/pins/{id}"), None);
        world.ok(CAROL, "PUT", &reactions(TEXT, *id, &format!("/{THUMB}")), None);
    }
    world.events();
    let answer = delete(&world, MAX, TEXT, &[ids[2], ids[0], MessageId(7), ids[2]]);
    assert_eq!(answer, r#"{"success":true,"deleted_count":2}"#);
    let [gone, pins] = &world.events()[..] else { panic!("two events") };
    assert_eq!((gone.name, gone.intent), (EventName::MessageDeleteBulk, intent::GUILD_MESSAGES));
    let list = format!(r#"["{}","{}"]"#, ids[0], ids[2]);
    assert_eq!(payload(gone), format!(r#"{{"channel_id":"200","guild_id":"100","message_ids":{list}}}"#));
    assert_eq!(pins.name, EventName::ChannelPinsUpdate);
    assert_eq!(field(&payload(pins), "pinned_message_ids"), format!("[\"{}\"]", ids[1]));
    assert_eq!(delete(&world, MAX, TEXT, &ids[..1]), r#"{"success":true,"deleted_count":0}"#);
    assert!(world.events().is_empty());
    let snapshot = world.harness.state.snapshot();
    let read = snapshot.read();
    assert_eq!((read.len(MESSAGES), read.len(REACTIONS), ended_count(read)), (1, 1, 0));
    // In direct messages.
    let id = world.say(ALICE, DM, "x");
    world.events();
    delete(&world, ALICE, DM, &[id]);
    let [gone] = &world.events()[..] else { panic!("one event") };
    assert_eq!(gone.intent, intent::DIRECT_MESSAGES);
    assert_eq!(field(&payload(gone), "guild_id"), "null");
}

#[test]
fn a_hundred_with_many_reactions_leave_the_rest_to_housekeeping() {
    let world = World::default();
    let ids: Vec<MessageId> = (0..100).map(|n| world.say(BOB, TEXT, &n.to_string())).collect();
    world.write(|tx| {
        for id in &ids {
            (0..200).for_each(|user| tx.put(REACTIONS, (*id, 0, UserId(user)), &Reaction::default()));
        }
    });
    assert_eq!(delete(&world, MAX, TEXT, &ids), r#"{"success":true,"deleted_count":100}"#);
    let snapshot = world.harness.state.snapshot();
    let left = snapshot.read().len(REACTIONS);
    assert!((15_000..20_000).contains(&left), "{left}");
    assert_eq!(ended_count(snapshot.read()), 100);
}

#[test]
fn all_reactions_go_or_those_with_one_emoji() {
    let world = World::default();
    let id = world.say(ALICE, TEXT, "x");
    for (who, emoji) in [(BOB, THUMB), (CAROL, THUMB), (BOB, FIRE)] {
        world.ok(who, "PUT", &reactions(TEXT, id, &format!("/{emoji}")), None);
    }
    world.events();
    for (who, status) in [(BOB, 403), (ALICE, 200), (GINA, 403)] {
        let answer = world.call(who, "DELETE", &reactions(TEXT, id, "/:thumbsup:/all"), None);
        assert_eq!(answer.0, status, "{who} {}", answer.1);
    }
    let [event] = &world.events()[..] else { panic!("one event") };
    assert_eq!(
        (event.name, event.intent),
        (EventName::MessageReactionRemoveEmoji, intent::GUILD_MESSAGE_REACTIONS)
    );
    let place = format!(r#""channel_id":"200","message_id":"{id}","guild_id":"100""#);
    assert_eq!(payload(event), format!("{{{place},\"emoji\":\"👍\"}}"));
    world.ok(MAX, "DELETE", &reactions(TEXT, id, &format!("/{THUMB}/all")), None);
    assert!(world.events().is_empty(), "nobody has it any more");
    world.ok(MAX, "DELETE", &reactions(TEXT, id, ""), None);
    let [event] = &world.events()[..] else { panic!("one event") };
    assert_eq!((event.name, payload(event)), (EventName::MessageReactionRemoveAll, format!("{{{place}}}")));
    assert!(matches!(event.audience, Audience::Channel { channel_id: TEXT, .. }));
    assert_eq!(world.ok(BOB, "GET", &reactions(TEXT, id, ""), None), "[]");
    let snapshot = world.harness.state.snapshot();
    let read = snapshot.read();
    assert_eq!([read.len(REACTION_SETS), read.len(REACTIONS), read.len(REACTION_ORDER)], [0; 3]);
    // In direct messages, from what one wrote oneself.
    let id = world.say(ALICE, DM, "x");
    world.ok(BOB, "PUT", &reactions(DM, id, &format!("/{THUMB}")), None);
    world.refused(BOB, "DELETE", &reactions(DM, id, ""), None, 403);
    world.ok(ALICE, "DELETE", &reactions(DM, id, ""), None);
}

/// What many reacted with is gone at once; what is left of it meets nothing that comes after.
#[test]
fn what_many_have_is_cleared_at_once_and_removed_in_steps() {
    const USERS: u64 = 5_000;
    let world = World::default();
    let id = world.say(ALICE, TEXT, "x");
    world.ok(BOB, "PUT", &reactions(TEXT, id, &format!("/{THUMB}")), None);
    world.write(|tx| {
        let mut set = ReactionSet::from(tx.get(REACTION_SETS, id).unwrap());
        set.entries[0].count += USERS;
        tx.put(REACTION_SETS, id, &set);
        for user in (1_000..1_000 + USERS).map(UserId) {
            tx.put(REACTIONS, (id, 0, user), &Reaction { at: 1, order: user.0 });
            tx.put(REACTION_ORDER, (id, 0, user.0, user), &Nil {});
        }
    });
    let count = |of: &World| {
        let snapshot = of.harness.state.snapshot();
        [snapshot.read().len(REACTIONS), snapshot.read().len(REACTION_ORDER)]
    };
    world.ok(MAX, "DELETE", &reactions(TEXT, id, ""), None);
    assert_eq!(world.ok(BOB, "GET", &reactions(TEXT, id, ""), None), "[]");
    assert_eq!(count(&world), [USERS + 1 - 1_000; 2]);
    world.ok(CAROL, "PUT", &reactions(TEXT, id, &format!("/{THUMB}")), None);
    assert_eq!(column(&world.ok(BOB, "GET", &reactions(TEXT, id, ""), None), "count"), ["1"]);
    world.harness.run_errands();
    assert_eq!(count(&world), [1; 2]);
    let users = world.ok(BOB, "GET", &reactions(TEXT, id, &format!("/{THUMB}")), None);
    assert_eq!(column(&users, "user_id"), ["3"]);
    // The place of the first is free again.
    world.ok(CAROL, "PUT", &reactions(TEXT, id, &format!("/{FIRE}")), None);
    let snapshot = world.harness.state.snapshot();
    let set = ReactionSet::from(snapshot.read().get(REACTION_SETS, id).unwrap());
    assert_eq!(set.entries.iter().map(|entry| entry.index).collect::<Vec<_>>(), [1, 0]);
}
