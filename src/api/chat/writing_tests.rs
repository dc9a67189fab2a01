//! Every way of making something known in a channel against everything that may forbid it, in one table.

use crate::api::testing::START_MS;
use crate::api::testing::message_world::*;
use crate::domain::permission::{CHANNELS_VIEW, EVERYONE_DEFAULT, MESSAGES_SEND};
use crate::domain::{Audience, Event};
use crate::id::{ChannelId, MessageId, RoleId, UserId};
use crate::store::records::*;
use crate::store::tables::*;

const FIRE: &str = "%F0%9F%94%A5";

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    /// Done, and others hear of it.
    Told,
    /// Done, and nobody but the user himself hears of it.
    Quiet,
    Refused(u16),
}
use Outcome::{Quiet, Refused, Told};

/// The messages that the requests are about.
struct Scene {
    channel: ChannelId,
    own: MessageId,
    others: MessageId,
}

/// Name, method, path below the channel and body of every way to write. `OWN`, `OTHER` stand for messages.
const WAYS: &[(&str, &str, &str, &str)] = &[
    ("post", "POST", "CHANNEL/messages", r#"{"content":"new"}"#),
    ("edit", "PATCH", "CHANNEL/messages/OWN", r#"{"content":"new"}"#),
    ("delete own", "DELETE", "CHANNEL/messages/OWN", ""),
    ("delete other's", "DELETE", "CHANNEL/messages/OTHER", ""),
    ("pin", "PUT", "CHANNEL/pins/OTHER", ""),
    ("unpin", "DELETE", "CHANNEL/pins/OWN", ""),
    ("react", "PUT", "CHANNEL/messages/OTHER/reactions/%F0%9F%91%8D", ""),
    ("take reaction back", "DELETE", "CHANNEL/messages/OTHER/reactions/%F0%9F%94%A5", ""),
    ("acknowledge", "POST", "CHANNEL/messages/ack", ""),
    ("acknowledge in bulk", "POST", "/channels/ack/bulk", r#"{"ID":null}"#),
    ("type", "POST", "CHANNEL/typing", ""),
];

impl Scene {
    /// `who` has written and pinned a message and reacted to one of `other`, who then wrote again.
    fn new(world: &World, channel: ChannelId, who: UserId, other: UserId) -> Scene {
        let others = world.say(other, channel, "theirs");
        let own = world.say(who, channel, "mine");
        world.ok(who, "PUT", &format!("/channels/{channel}/pins/{own}"), None);
        world.ok(who, "PUT", &format!("/channels/{channel}/messages/{others}/reactions/{FIRE}"), None);
        world.say(other, channel, "more");
        Scene { channel, own, others }
    }

    fn outcome(&self, world: &World, who: UserId, way: &(&str, &str, &str, &str)) -> Outcome {
        let path = way.2.replace("CHANNEL", &format!("/channels/{}", self.channel));
        let path = path.replace("OWN", &self.own.to_string()).replace("OTHER", &self.others.to_string());
        let body = way.3.replace("ID", &self.channel.to_string());
        world.events();
        world.harness.state.take_ephemeral();
        let (status, text) =
            world.call(who, way.1, &path, Some(body.as_str()).filter(|body| !body.is_empty()));
        let mut events = world.events();
        events.extend(world.harness.state.take_ephemeral());
        if status != 200 {
            assert!(events.is_empty(), "what is refused makes nothing known");
            return Refused(status);
        }
        assert!(text.starts_with('{'));
        if events.iter().any(|event| reaches_others(event, who)) { Told } else { Quiet }
    }
}

fn reaches_others(event: &Event, who: UserId) -> bool {
    match &event.audience {
        Audience::Users(users) => users.iter().any(|&user| user != who && event.except != Some(user)),
        _ => true,
    }
}

fn check(
    condition: &str,
    channel: ChannelId,
    (who, other): (UserId, UserId),
    want: impl Fn(&str) -> Outcome,
    forbid: impl Fn(&World, &Scene),
) {
    for way in WAYS {
        let world = World::default();
        let scene = Scene::new(&world, channel, who, other);
        // Longer than any slowmode, unless the condition says otherwise.
        world.harness.advance(60_000);
        forbid(&world, &scene);
        assert_eq!(scene.outcome(&world, who, way), want(way.0), "{} when {condition}", way.0);
    }
}

fn everyone_may(bits: u64) -> impl Fn(&World, &Scene) {
    move |world, _| world.write(|tx| tx.put(ROLES, (SERVER, RoleId(101)), &Role { bits, ..Role::default() }))
}

#[test]
fn every_way_of_writing_asks_for_the_right_to_do_it_now() {
    let members = (MAX, ALICE);
    check("nothing forbids it", TEXT, members, |_| Told, |_, _| ());
    let silenced = |way: &str| match way {
        "delete own" | "take reaction back" | "acknowledge" | "acknowledge in bulk" => Told,
        _ => Refused(403),
    };
    check("in a timeout", TEXT, members, silenced, |world, _| {
        let roles = vec![RoleId(102)];
        let member = Member { roles, timeout_until: Some(START_MS + 90_000), ..Member::default() };
        world.write(|tx| tx.put(MEMBERS, (SERVER, MAX), &member));
    });
    check(
        "a timeout is over",
        TEXT,
        members,
        |_| Told,
        |world, _| {
            let roles = vec![RoleId(102)];
            let member = Member { roles, timeout_until: Some(START_MS + 60_000), ..Member::default() };
            world.write(|tx| tx.put(MEMBERS, (SERVER, MAX), &member));
        },
    );
    let speechless = |way: &str| match way {
        "post" | "edit" | "type" => Refused(403),
        _ => Told,
    };
    check(
        "he lacks messages.send",
        TEXT,
        members,
        speechless,
        everyone_may(EVERYONE_DEFAULT & !MESSAGES_SEND),
    );
    let slowed = |way: &str| match way {
        "post" | "edit" => Refused(429),
        _ => Told,
    };
    check("he has just posted under slowmode", SLOW, members, slowed, |world, _| {
        world.say(MAX, SLOW, "pause begins");
    });
    check("the pause of slowmode is over", SLOW, members, |_| Told, |_, _| ());
    // Acknowledging in bulk skips what cannot be read.
    let shut_out = |way: &str| if way == "acknowledge in bulk" { Quiet } else { Refused(403) };
    check(
        "he may not view the channel any more",
        TEXT,
        members,
        shut_out,
        everyone_may(EVERYONE_DEFAULT & !CHANNELS_VIEW),
    );
    check("he has left", TEXT, members, shut_out, |world, _| {
        world.write(|tx| {
            tx.delete(MEMBERS, (SERVER, MAX));
            tx.delete(USER_SERVERS, (MAX, SERVER));
        });
    });
}

#[test]
fn nothing_of_the_blocked_reaches_the_blocker() {
    let private = |way: &str| if way == "delete other's" { Refused(403) } else { Told };
    let cut = |way: &str| match way {
        "delete own" | "take reaction back" | "acknowledge" | "acknowledge in bulk" | "type" => Quiet,
        _ => Refused(403),
    };
    check("nobody is blocked", DM, (BOB, ALICE), private, |_, _| ());
    for (from, to) in [(ALICE, BOB), (BOB, ALICE)] {
        check("one has blocked the other", DM, (BOB, ALICE), cut, |world, _| {
            let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
            world.write(|tx| tx.put(RELATIONSHIPS, (from, to), &block));
        });
    }
    // Who takes no direct messages gets none, but learns what became of those he has.
    let refusing = |way: &str| match way {
        "delete own" | "take reaction back" | "acknowledge" | "acknowledge in bulk" => Told,
        "type" => Quiet,
        _ => Refused(403),
    };
    check("the other takes none from strangers", DM, (BOB, ALICE), refusing, |world, _| {
        let messaging = Messaging { allow_dms_from: dm_policy::FRIENDS, ..Messaging::default() };
        let messaging =
            Messaging { read_receipts_enabled: true, typing_indicators_enabled: true, ..messaging };
        world.write(|tx| tx.put(MESSAGING, ALICE, &messaging));
    });
    check(
        "the other is in a server with him",
        TEXT,
        (MAX, ALICE),
        |_| Told,
        |world, _| {
            let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
            world.write(|tx| tx.put(RELATIONSHIPS, (ALICE, MAX), &block));
        },
    );
}

#[test]
fn a_block_hides_what_was_read() {
    let world = World::default();
    let id = world.say(ALICE, DM, "x");
    world.ok(BOB, "POST", &format!("/channels/{DM}/messages/ack"), None);
    let shown =
        || field(&world.ok(ALICE, "GET", &format!("/channels/{DM}/messages/{id}"), None), "read_count");
    assert_eq!(shown(), "1");
    let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
    world.write(|tx| tx.put(RELATIONSHIPS, (ALICE, BOB), &block));
    assert_eq!(shown(), "0");
}

#[test]
fn an_edit_under_slowmode_begins_a_pause() {
    let world = World::default();
    let path = format!("/channels/{SLOW}/messages/{}", world.say(BOB, SLOW, "one"));
    let edit = |text: &str| world.call(BOB, "PATCH", &path, Some(&format!("{{\"content\":\"{text}\"}}"))).0;
    assert_eq!((edit("two"), edit("")), (429, 429), "slowmode stands before a mistake in the body");
    world.harness.advance(30_000);
    assert_eq!((edit("three"), edit("four")), (200, 429));
    world.refused(BOB, "POST", &format!("/channels/{SLOW}/messages"), Some(r#"{"content":"x"}"#), 429);
    world.harness.advance(30_000);
    world.say(BOB, SLOW, "five");
}

#[test]
fn a_message_with_embeds_is_edited_by_who_may_embed() {
    let world = World::default();
    let body = r#"{"content":"x","embeds":[{"title":"t"}]}"#;
    let id = field(&world.ok(BOB, "POST", &format!("/channels/{TEXT}/messages"), Some(body)), "id");
    let path = format!("/channels/{TEXT}/messages/{id}");
    let edit = || world.call(BOB, "PATCH", &path, Some(r#"{"content":"y"}"#)).0;
    assert_eq!(edit(), 200);
    let bits = CHANNELS_VIEW | MESSAGES_SEND;
    world.write(|tx| tx.put(ROLES, (SERVER, RoleId(101)), &Role { bits, ..Role::default() }));
    assert_eq!(edit(), 403);
}
