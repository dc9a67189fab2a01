//! Groups as handlers answer them, without sockets: what is told to whom, and bounds.

use crate::api::testing::message_world::*;
use crate::config::{Config, Messaging};
use crate::domain::{Audience, Event, EventName, intent};
use crate::id::{ChannelId, UserId};
use crate::limits::GROUP_COUNT_MAX;
use crate::store::owners::ended_count;
use crate::store::records::*;
use crate::store::tables::*;

fn open(world: &World, owner: UserId, others: &[UserId]) -> ChannelId {
    let ids: Vec<String> = others.iter().map(|id| format!("\"{id}\"")).collect();
    let body = format!("{{\"user_ids\":[{}]}}", ids.join(","));
    ChannelId::parse(&field(&world.ok(owner, "POST", "/users/@me/groups", Some(&body)), "id")).unwrap()
}

/// Name, to whom, and the ids of the participants as each event shows them.
fn told(events: &[Event]) -> Vec<(EventName, Vec<u64>, String)> {
    let told = events.iter().map(|event| {
        let Audience::Users(users) = &event.audience else { panic!("{event:?}") };
        assert_eq!(event.intent, intent::NONE);
        let payload = payload(event);
        assert_eq!(field(&payload, "server_id"), "null");
        let ids = match event.name {
            EventName::ChannelDelete => field(&payload, "id"),
            _ => column(&field(&payload, "participants"), "id").join(","),
        };
        (event.name, users.iter().map(|id| id.0).collect(), ids)
    });
    told.collect()
}

#[test]
fn everybody_is_told_who_is_in() {
    let world = World::default();
    let group = open(&world, ALICE, &[BOB]);
    let text = |ids: &str| ids.to_string();
    assert_eq!(told(&world.events()), [(EventName::ChannelCreate, vec![1, 2], text("1,2"))]);
    world.ok(BOB, "PUT", &format!("/groups/{group}/participants/{CAROL}"), None);
    let want = [
        (EventName::ChannelCreate, vec![3], text("1,2,3")),
        (EventName::ChannelUpdate, vec![1, 2], text("1,2,3")),
    ];
    assert_eq!(told(&world.events()), want);
    world.ok(BOB, "PUT", &format!("/groups/{group}/participants/{CAROL}"), None);
    world.ok(BOB, "PATCH", &format!("/groups/{group}"), Some("{}"));
    assert!(world.events().is_empty(), "nothing is another than before");
    world.ok(CAROL, "PATCH", &format!("/groups/{group}"), Some(r#"{"name":"Ours"}"#));
    let events = world.events();
    assert_eq!(told(&events), [(EventName::ChannelUpdate, vec![1, 2, 3], text("1,2,3"))]);
    assert_eq!(field(&payload(&events[0]), "name"), "Ours");
    world.ok(ALICE, "POST", &format!("/groups/{group}/leave"), None);
    let want = [
        (EventName::ChannelDelete, vec![1], group.to_string()),
        (EventName::ChannelUpdate, vec![2, 3], text("2,3")),
    ];
    let events = world.events();
    assert_eq!(told(&events), want);
    assert_eq!(field(&payload(&events[1]), "owner_id"), "2");
}

#[test]
fn the_last_one_takes_it_along() {
    let world = World::default();
    let group = open(&world, ALICE, &[BOB]);
    let id = world.say(BOB, group, "x");
    world.ok(ALICE, "PUT", &format!("/channels/{group}/messages/{id}/reactions/%F0%9F%91%8D"), None);
    world.ok(ALICE, "DELETE", &format!("/groups/{group}/participants/{BOB}"), None);
    world.events();
    world.ok(ALICE, "POST", &format!("/groups/{group}/leave"), None);
    assert_eq!(told(&world.events()), [(EventName::ChannelDelete, vec![1], group.to_string())]);
    let snapshot = world.harness.state.snapshot();
    let read = snapshot.read();
    let rows = [read.len(MESSAGES), read.len(AUTHOR_MESSAGES), read.len(REACTIONS), read.len(USER_GROUPS)];
    assert_eq!((rows, read.contains(CHANNELS, group), ended_count(read)), ([0; 4], false, 0));
}

#[test]
fn messages_reach_everybody_and_typing_not_over_a_block() {
    let world = World::default();
    let group = open(&world, ALICE, &[BOB, CAROL]);
    let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
    world.write(|tx| tx.put(RELATIONSHIPS, (BOB, ALICE), &block));
    world.events();
    world.say(ALICE, group, "still here");
    let [said] = &world.events()[..] else { panic!("one event") };
    let everybody = Audience::Users([ALICE, BOB, CAROL].into_iter().collect());
    assert_eq!((said.intent, &said.audience), (intent::DIRECT_MESSAGES, &everybody));
    // Whom he names he tells nothing.
    world.say(ALICE, group, &format!("<@{BOB}> and <@{CAROL}>"));
    let mentioned: Vec<_> =
        world.events().into_iter().filter(|event| event.name == EventName::NotificationCreate).collect();
    assert_eq!(mentioned.iter().map(|event| &event.audience).collect::<Vec<_>>(), [&Audience::user(CAROL)]);
    world.ok(ALICE, "POST", &format!("/channels/{group}/typing"), None);
    let typing = world.harness.state.take_ephemeral();
    let [typing] = &typing[..] else { panic!("one event") };
    assert_eq!(typing.audience, Audience::Users([ALICE, CAROL].into_iter().collect()));
    assert_eq!(typing.except, Some(ALICE));
}

#[test]
fn a_group_has_room_for_so_many_and_a_user_for_so_many_groups() {
    let small = Messaging { max_group_participants: 3, ..Messaging::default() };
    let world = World::with_config(Config { messaging: small, ..Config::default() });
    let many = r#"{"user_ids":["2","3","4"]}"#;
    let refused = world.refused(ALICE, "POST", "/users/@me/groups", Some(many), 400);
    assert_eq!(refused, "A group can have at most 3 participants");
    let group = open(&world, ALICE, &[BOB, CAROL]);
    world.refused(ALICE, "PUT", &format!("/groups/{group}/participants/{MAX}"), None, 400);
    world.write(|tx| {
        let left = GROUP_COUNT_MAX as u64 - 1;
        (0..left).for_each(|id| tx.put(USER_GROUPS, (CAROL, ChannelId(5_000 + id)), &Nil {}));
    });
    let body = format!(r#"{{"user_ids":["{CAROL}"]}}"#);
    let refused = world.refused(MAX, "POST", "/users/@me/groups", Some(&body), 400);
    assert!(refused.starts_with("carol is in 200 groups"), "{refused}");
    world.refused(CAROL, "POST", "/users/@me/groups", Some(r#"{"user_ids":["4"]}"#), 400);
}
