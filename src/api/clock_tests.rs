//! What becomes of times, pauses and lives when somebody sets the clock.

use super::testing::fixture::{Account, PASSWORD, login, register, text_at};
use super::testing::{Harness, START_MS};
use crate::domain::housekeeping::sweep::Sweep;
use crate::domain::view::username;
use crate::domain::{Command, Reply};
use crate::id::{ServerId, UserId};
use crate::store::records::Member;
use crate::store::tables::MEMBERS;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR as i64;
/// By how much the clock is wrong, to and fro.
const STEPS: [i64; 5] = [DAY, -DAY, 20 * 365 * DAY, -365 * DAY, 700];

struct World {
    harness: Harness,
    alice: Account,
    bob: Account,
    channel: String,
    server: String,
}

impl World {
    fn new() -> World {
        let harness = Harness::default();
        let (alice, bob) = (register(&harness, "alice"), register(&harness, "bob"));
        let made = harness.request("POST", "/servers", Some(&alice.token), Some(r#"{"name":"Home"}"#)).1;
        let channel = format!("/channels/{}", text_at(&made, &["default_channel_id"]));
        let server = format!("/servers/{}", text_at(&made, &["id"]));
        let world = World { harness, alice, bob, channel, server };
        let code = world.invite(0);
        world.ok(&world.bob, "POST", &format!("/channels/invites/{code}"), "{}");
        world
    }

    fn send(&self, who: &Account, method: &str, path: &str, json: &str) -> (u16, String) {
        self.harness.request(method, path, Some(&who.token), (!json.is_empty()).then_some(json))
    }

    fn ok(&self, who: &Account, method: &str, path: &str, json: &str) -> String {
        let (status, text) = self.send(who, method, path, json);
        assert_eq!(status, 200, "{method} {path} {json}: {text}");
        text
    }

    fn invite(&self, max_age: u64) -> String {
        let body = format!(r#"{{"max_age":{max_age}}}"#);
        text_at(&self.ok(&self.alice, "POST", &format!("{}/invites", self.channel), &body), &["code"])
    }

    fn post(&self, who: &Account) -> (u16, String) {
        self.send(who, "POST", &format!("{}/messages", self.channel), r#"{"content":"x"}"#)
    }

    fn login(&self, name: &str, password: &str) -> u16 {
        login(&self.harness, name, password).0
    }

    fn sweep(&self) {
        let op = Sweep { records_max: 1_000 };
        while self.harness.apply(&Command::new(UserId(0), op.clone().into())) != Ok(Reply::Count(0)) {}
    }

    fn unix_s(&self) -> u64 {
        self.harness.state.now().unix_ms / 1_000
    }
}

fn number(json: &str, key: &str) -> u64 {
    text_at(json, &[key]).parse().unwrap_or_else(|_| panic!("{key} of {json}"))
}

#[test]
fn ids_rise_and_times_are_those_of_the_clock() {
    for step in STEPS {
        let world = World::new();
        let mut last = 0;
        for by in [0, step, -step, 0, -step, step] {
            world.harness.advance(SECOND);
            world.harness.set_clock(by);
            let (status, text) = world.post(&world.alice);
            assert_eq!(status, 200, "{text}");
            assert_eq!(number(&text, "created_at"), world.unix_s(), "{step} {by}");
            assert!(number(&text, "id") > last, "{step} {by}");
            last = number(&text, "id");
            let edited = world.ok(
                &world.alice,
                "PATCH",
                &format!("{}/messages/{last}", world.channel),
                r#"{"content":"y"}"#,
            );
            assert_eq!(number(&edited, "edited_at"), world.unix_s(), "{step} {by}");
        }
        let members = world.ok(&world.alice, "GET", &format!("{}/members", world.server), "");
        assert_eq!(text_at(&members, &["1", "joined_at"]), (START_MS / 1_000).to_string());
    }
}

#[test]
fn time_outs_end_when_it_is_said() {
    for step in STEPS {
        let world = World::new();
        let server_id = ServerId(world.server["/servers/".len()..].parse().unwrap());
        let timeout_until = Some(world.harness.state.now_ms() + HOUR);
        let store = &world.harness.state.store;
        let mut tx = store.begin().unwrap();
        tx.put(MEMBERS, (server_id, UserId(world.bob.id)), &Member { timeout_until, ..Member::default() });
        tx.commit().unwrap();
        world.harness.set_clock(step);
        world.harness.state.set_snapshot(store.snapshot());
        let members = world.ok(&world.alice, "GET", &format!("{}/members", world.server), "");
        let until = text_at(&members, &["1", "timeout_until"]);
        assert_eq!(until, (world.unix_s() + HOUR / SECOND).to_string(), "{step}");
    }
}

#[test]
fn pauses_take_as_long_as_they_should() {
    for step in STEPS {
        let world = World::new();
        world.ok(&world.alice, "PATCH", &world.channel, r#"{"slowmode_seconds":2}"#);
        // Begun under the wrong clock or under the right one, and the other way round.
        for (before, after) in [(step, -step), (0, step), (-step, 0)] {
            world.harness.set_clock(before);
            assert_eq!(world.post(&world.bob).0, 200, "{step}");
            world.harness.set_clock(after);
            let (status, text) = world.post(&world.bob);
            assert_eq!((status, text.contains(r#""retry_after":2.000"#)), (429, true), "{step}: {text}");
            world.harness.advance(2 * SECOND);
        }
        for (before, after) in [(step, -step), (0, step), (-step, 0)] {
            world.harness.set_clock(before);
            (0..5).for_each(|_| assert_eq!(world.login("bob", "wrong"), 401));
            (0..5).for_each(|_| assert_eq!(world.login("nobody", "wrong"), 401));
            world.harness.set_clock(after);
            assert_eq!((world.login("bob", PASSWORD), world.login("nobody", "wrong")), (403, 403), "{step}");
            world.harness.advance(15 * MINUTE - 1);
            assert_eq!((world.login("bob", PASSWORD), world.login("nobody", "wrong")), (403, 403), "{step}");
            world.harness.advance(1);
            assert_eq!((world.login("bob", PASSWORD), world.login("nobody", "wrong")), (200, 401), "{step}");
            world.harness.advance(15 * MINUTE);
        }
    }
}

#[test]
fn lives_last_as_long_as_they_should() {
    for step in STEPS {
        for (before, after) in [(step, -step), (0, step), (-step, 0)] {
            let world = World::new();
            world.harness.set_clock(before);
            let code = world.invite(2);
            let carol = register(&world.harness, "carol");
            let expires = |text: &str| number(text, "expires_at");
            let seen = world.send(&carol, "GET", &format!("/channels/invites/{code}"), "");
            assert_eq!((seen.0, expires(&seen.1)), (200, world.unix_s() + 2), "{step}");
            world.harness.set_clock(after);
            world.sweep();
            let seen = world.send(&carol, "GET", &format!("/channels/invites/{code}"), "");
            assert_eq!(
                (seen.0, expires(&seen.1)),
                (200, world.unix_s() + 2),
                "as the clock shows now: {step}"
            );
            world.harness.advance(2 * SECOND);
            assert_eq!(world.send(&carol, "GET", &format!("/channels/invites/{code}"), "").0, 404, "{step}");

            let sessions = world.ok(&carol, "GET", "/auth/sessions", "");
            let expires_at: u64 = text_at(&sessions, &["0", "expires_at"]).parse().unwrap();
            assert_eq!(expires_at, world.unix_s() - 2 + 168 * 3_600, "{step}");
            world.harness.set_clock(-after);
            world.harness.advance(168 * HOUR - 3 * SECOND);
            world.ok(&carol, "GET", "/users/@me", "");
            world.harness.set_clock(after);
            world.harness.advance(SECOND);
            assert_eq!(world.send(&carol, "GET", "/users/@me", "").0, 401, "{step}");
        }
    }
}

#[test]
fn nobody_is_purged_early_or_never() {
    for step in STEPS {
        for (before, after) in [(step, -step), (0, step), (-step, 0)] {
            let world = World::new();
            world.harness.set_clock(before);
            let body = format!(r#"{{"password":"{PASSWORD}"}}"#);
            world.ok(&world.bob, "DELETE", "/users/@me", &body);
            world.harness.set_clock(after);
            let name = || {
                world.sweep();
                let snapshot = world.harness.state.snapshot();
                username(snapshot.read(), UserId(world.bob.id)).to_string()
            };
            world.harness.advance(30 * 24 * HOUR - 1);
            assert_eq!(name(), "bob", "{step}");
            world.harness.advance(1);
            assert_ne!(name(), "bob", "{step}");
        }
    }
}

#[test]
fn messages_of_the_last_days_are_those_of_the_clock() {
    let world = World::new();
    world.harness.set_clock(20 * DAY);
    assert_eq!(world.post(&world.alice).0, 200);
    world.harness.set_clock(-20 * DAY);
    // Its id is of a time in three weeks, as all that follow for that long.
    assert_eq!(world.post(&world.bob).0, 200);
    world.harness.advance(3 * DAY as u64);
    assert_eq!(world.post(&world.bob).0, 200);
    let ban = format!("{}/bans/{}", world.server, world.bob.id);
    world.ok(&world.alice, "PUT", &ban, r#"{"delete_message_days":1}"#);
    let left = world.ok(&world.alice, "GET", &format!("{}/messages", world.channel), "");
    assert_eq!(left.matches(&format!(r#""author_id":"{}""#, world.bob.id)).count(), 1, "{left}");
}
