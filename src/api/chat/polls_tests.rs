//! Polls as handlers answer them, without sockets.

use crate::api::testing::START_MS;
use crate::api::testing::fixture::text_at;
use crate::api::testing::message_world::*;
use crate::domain::chat::poll::PollVote;
use crate::domain::{Command, Event, EventName};
use crate::id::{ChannelId, MessageId, PollId, UserId};
use crate::limits::POLL_TELL_INTERVAL_MS;
use crate::store::owners::ended_count;
use crate::store::records::*;
use crate::store::tables::*;

const HOUR_MS: u64 = 3_600_000;

/// A poll in a message.
struct Asked {
    message_id: String,
    id: String,
    options: Vec<String>,
}

impl Asked {
    fn of(message: &str) -> Asked {
        let options = text_at(message, &["poll", "options"]);
        Asked {
            message_id: field(message, "id"),
            id: text_at(message, &["poll", "id"]),
            options: column(&options, "id"),
        }
    }

    fn path(&self, rest: &str) -> String {
        format!("/polls/{}{rest}", self.id)
    }
}

/// Posts a message that asks; `more` are further fields of the poll.
fn ask(world: &World, channel: ChannelId, more: &str) -> Asked {
    let body = format!(r#"{{"poll":{{"question":"Tea?","options":["yes","no","maybe"]{more}}}}}"#);
    let message = world.ok(ALICE, "POST", &format!("/channels/{channel}/messages"), Some(&body));
    world.events();
    Asked::of(&message)
}

fn vote(world: &World, who: UserId, asked: &Asked, indexes: &[usize]) -> String {
    let ids: Vec<&str> = indexes.iter().map(|index| asked.options[*index].as_str()).collect();
    let body = format!("{{\"option_ids\":{ids:?}}}");
    world.ok(who, "POST", &asked.path("/vote"), Some(&body))
}

fn counts(results: &str) -> Vec<String> {
    column(&text_at(results, &["options"]), "vote_count")
}

/// What the newest event shows of the results.
fn told(events: &[Event]) -> Vec<String> {
    let payload = payload(events.last().expect("an event"));
    counts(&text_at(&payload, &["poll_results"]))
}

#[test]
fn a_message_asks() {
    let world = World::default();
    let body = r#"{"content":"vote","poll":{"question":" Tea or\ncoffee? ","options":["tea ","coffee"],"duration_hours":2}}"#;
    let message = world.ok(ALICE, "POST", &format!("/channels/{TEXT}/messages"), Some(body));
    let asked = Asked::of(&message);
    let (seconds, Asked { message_id, id, options }) = (START_MS / 1_000, &asked);
    let option = |position: usize, text: &str, votes: &str| {
        let option = &options[position];
        format!(
            r#"{{"id":"{option}","poll_id":"{id}","text":"{text}","position":{position},"vote_count":{votes}}}"#
        )
    };
    let all = |votes| format!("[{},{}]", option(0, "tea", votes), option(1, "coffee", votes));
    let ends_at = seconds + 7_200;
    let poll = format!(
        r#"{{"id":"{id}","message_id":"{message_id}","question":"Tea or coffee?","created_by":"1","created_at":{seconds},"ends_at":{ends_at},"ended_at":null,"allow_multiple_choice":false,"results_visibility":"always","options":{},"total_votes":0,"is_ended":false}}"#,
        all("null")
    );
    let results = format!(
        r#"{{"poll":{poll},"options":{},"total_votes":0,"user_voted":false,"user_votes":[]}}"#,
        all("0")
    );
    let tail = format!(r#""metadata":{{"poll_id":"{id}"}},"poll":{poll},"poll_results":{results}"#);
    assert!(message.ends_with(&format!("{tail}}}")), "{message}");
    let [event] = &world.events()[..] else { panic!("one event") };
    assert_eq!(event.name, EventName::MessageCreate);
    assert!(payload(event).ends_with(&format!("{tail},\"server_id\":\"100\"}}")));
    assert_eq!(world.ok(BOB, "GET", &asked.path(""), None), poll);
    assert_eq!(world.ok(BOB, "GET", &asked.path("/results"), None), results);
    // With embeds beside it.
    let body = r#"{"embeds":[{"title":"T"}],"poll":{"question":"q","options":["a","b"]}}"#;
    let message = world.ok(ALICE, "POST", &format!("/channels/{TEXT}/messages"), Some(body));
    assert_eq!(text_at(&message, &["metadata", "embeds", "0", "title"]), "T");
    assert_eq!(text_at(&message, &["metadata", "poll_id"]), Asked::of(&message).id);
    // Blank is what has nothing else to say.
    let edit = format!("/channels/{TEXT}/messages/{message_id}");
    world.ok(ALICE, "PATCH", &edit, Some(r#"{"content":""}"#));
}

#[test]
fn what_is_no_poll_is_refused() {
    let world = World::default();
    let messages = format!("/channels/{TEXT}/messages");
    let many = ["\"x\""; 11].join(",");
    let (long, longer) = ("x".repeat(101), "x".repeat(301));
    for (poll, want) in [
        ("5".to_string(), "poll: must be an object"),
        (r#"{"options":["a","b"]}"#.to_string(), "question: this field is required"),
        (r#"{"question":"","options":["a","b"]}"#.to_string(), "question: must not be blank"),
        (format!(r#"{{"question":"{longer}","options":["a","b"]}}"#), "question: must be 1 to 300"),
        (r#"{"question":"q"}"#.to_string(), "options: must be 2 to 10, not 0"),
        (r#"{"question":"q","options":["a"]}"#.to_string(), "options: must be 2 to 10, not 1"),
        (format!(r#"{{"question":"q","options":[{many}]}}"#), "options: at most 10, not 11"),
        (r#"{"question":"q","options":["a",5]}"#.to_string(), "options: each must be a string"),
        (r#"{"question":"q","options":["a","\u200b"]}"#.to_string(), "options: none may be blank"),
        (format!(r#"{{"question":"q","options":["a","{long}"]}}"#), "options: must be 1 to 100"),
        (r#"{"question":"q","options":["a","b"],"duration_hours":0}"#.to_string(), "duration_hours"),
        (r#"{"question":"q","options":["a","b"],"duration_hours":169}"#.to_string(), "duration_hours"),
        (r#"{"question":"q","options":["a","b"],"results_visibility":"x"}"#.to_string(), "one of always"),
        (r#"{"question":"q","options":["a","b"],"allow_multiple_choice":1}"#.to_string(), "boolean"),
    ] {
        let body = format!("{{\"poll\":{poll}}}");
        let got = world.refused(ALICE, "POST", &messages, Some(&body), 400);
        assert!(got.contains(want), "{poll}: {got}");
    }
    assert_eq!(world.harness.state.snapshot().read().len(POLLS), 0);
    assert!(world.events().is_empty());
    world.ok(
        ALICE,
        "POST",
        &messages,
        Some(r#"{"poll":{"question":"q","options":["a","a"],"duration_hours":168}}"#),
    );
}

#[test]
fn an_own_message_asks_later() {
    let world = World::default();
    let id = world.say(BOB, TEXT, "what do you think?");
    world.events();
    let body = format!(r#"{{"question":"Tea?","options":["yes","no"],"message_id":"{id}"}}"#);
    // Who can read it is told that it is not his; who cannot, nothing.
    world.refused(ALICE, "POST", "/polls", Some(&body), 403);
    world.refused(GINA, "POST", "/polls", Some(&body), 404);
    world.refused(BOB, "POST", "/polls", Some(&body.replace(&id.to_string(), "77")), 404);
    world.refused(BOB, "POST", "/polls", Some(r#"{"question":"q","options":["a","b"]}"#), 400);
    let poll = world.ok(BOB, "POST", "/polls", Some(&body));
    assert_eq!((field(&poll, "message_id"), field(&poll, "ends_at")), (id.to_string(), "null".to_string()));
    let [event] = &world.events()[..] else { panic!("one event") };
    assert_eq!(event.name, EventName::MessageUpdate);
    assert_eq!(text_at(&payload(event), &["poll", "id"]), field(&poll, "id"));
    assert_eq!(field(&payload(event), "edited_at"), "null");
    world.refused(BOB, "POST", "/polls", Some(&body), 409);
    // In direct messages, too.
    let id = world.say(ALICE, DM, "and you?");
    let body = format!(r#"{{"question":"Tea?","options":["yes","no"],"message_id":{id}}}"#);
    world.refused(BOB, "POST", "/polls", Some(&body), 403);
    world.ok(ALICE, "POST", "/polls", Some(&body));
}

#[test]
fn a_vote_replaces_the_one_before() {
    let world = World::default();
    let asked = ask(&world, TEXT, "");
    world.harness.advance(1_000);
    let results = vote(&world, BOB, &asked, &[1]);
    assert_eq!(counts(&results), ["0", "1", "0"]);
    assert_eq!((field(&results, "user_voted"), field(&results, "total_votes")), ("true".into(), "1".into()));
    assert_eq!(field(&results, "user_votes"), format!("[\"{}\"]", asked.options[1]));
    let events = world.events();
    assert_eq!(events[0].name, EventName::MessageUpdate);
    assert_eq!(told(&events), ["0", "1", "0"]);
    let neutral = text_at(&payload(&events[0]), &["poll_results"]);
    assert_eq!((field(&neutral, "user_voted"), field(&neutral, "user_votes")), ("false".into(), "[]".into()));
    world.harness.advance(1_000);
    assert_eq!(counts(&vote(&world, BOB, &asked, &[0])), ["1", "0", "0"]);
    assert_eq!(told(&world.events()), ["1", "0", "0"]);
    // The same again is nothing new.
    assert_eq!(counts(&vote(&world, BOB, &asked, &[0])), ["1", "0", "0"]);
    world.harness.advance(1_000);
    world.harness.run_errands();
    assert!(world.events().is_empty());
    let by_others = world.ok(CAROL, "GET", &asked.path("/results"), None);
    assert_eq!((counts(&by_others)[0].as_str(), field(&by_others, "user_voted").as_str()), ("1", "false"));

    let one = |index: usize| format!("[\"{}\"]", asked.options[index]);
    let two = format!("[\"{}\",\"{}\"]", asked.options[0], asked.options[1]);
    let other = ask(&world, TEXT, "");
    let foreign = format!("[\"{}\"]", other.options[0]);
    for (who, ids, status) in [
        (CAROL, "[]".to_string(), 400),
        (CAROL, two, 400),
        (CAROL, foreign, 400),
        (CAROL, "\"x\"".to_string(), 400),
        (CAROL, "[\"x\"]".to_string(), 400),
        (GINA, one(0), 404),
        (GINA, "5".to_string(), 404),
    ] {
        let body = format!("{{\"option_ids\":{ids}}}");
        world.refused(who, "POST", &asked.path("/vote"), Some(&body), status);
    }
    assert_eq!(world.call(BOB, "GET", "/polls/abc", None).0, 400);
    assert_eq!(world.call(BOB, "GET", "/polls/77", None).0, 404);
}

#[test]
fn several_options_where_the_poll_allows_it() {
    let world = World::default();
    let asked = ask(&world, TEXT, r#","allow_multiple_choice":true"#);
    let results = vote(&world, BOB, &asked, &[2, 0, 2]);
    assert_eq!(
        (counts(&results), field(&results, "total_votes")),
        (vec!["1".into(), "0".into(), "1".into()], "2".into())
    );
    assert_eq!(field(&results, "user_votes"), format!("[\"{}\",\"{}\"]", asked.options[0], asked.options[2]));
    vote(&world, CAROL, &asked, &[0, 1]);
    let results = vote(&world, BOB, &asked, &[1]);
    assert_eq!(
        (counts(&results), field(&results, "total_votes")),
        (vec!["1".into(), "2".into(), "0".into()], "3".into())
    );
}

#[test]
fn who_is_shown_what() {
    let hidden = ["null", "null", "null"];
    for (visibility, before, after_vote) in [
        ("always", ["1", "0", "0"], ["1", "1", "0"]),
        ("after_vote", hidden, ["1", "1", "0"]),
        ("after_end", hidden, hidden),
    ] {
        let world = World::default();
        let asked = ask(&world, TEXT, &format!(r#","results_visibility":"{visibility}""#));
        let of = |who| world.ok(who, "GET", &asked.path("/results"), None);
        let in_message = |who| {
            let path = format!("/channels/{TEXT}/messages/{}", asked.message_id);
            counts(&text_at(&world.ok(who, "GET", &path, None), &["poll_results"]))
        };
        world.harness.advance(1_000);
        vote(&world, BOB, &asked, &[0]);
        assert_eq!(
            (counts(&of(CAROL)), in_message(CAROL)),
            (before.map(String::from).to_vec(), before.map(String::from).to_vec())
        );
        assert_eq!(told(&world.events()), before, "an event is nobody's view");
        assert_eq!(field(&of(CAROL), "total_votes"), "1");
        let answer = vote(&world, CAROL, &asked, &[1]);
        assert_eq!(counts(&answer), after_vote);
        assert_eq!(in_message(CAROL), after_vote);
        // What is in the list of options never tells.
        assert!(!text_at(&answer, &["poll"]).contains("\"vote_count\":1"));
        world.ok(ALICE, "POST", &asked.path("/close"), None);
        assert_eq!(told(&world.events()), ["1", "1", "0"]);
        assert_eq!(counts(&of(MAX)), ["1", "1", "0"], "it is over");
    }
}

#[test]
fn an_end_by_hand() {
    let world = World::default();
    let asked = ask(&world, TEXT, "");
    vote(&world, BOB, &asked, &[0]);
    world.refused(BOB, "POST", &asked.path("/close"), None, 403);
    world.refused(GINA, "POST", &asked.path("/close"), None, 404);
    world.events();
    // Who moderates may remove it.
    world.refused(MAX, "POST", &asked.path("/close"), None, 403);
    let poll = world.ok(ALICE, "POST", &asked.path("/close"), None);
    let seconds = (START_MS / 1_000).to_string();
    assert_eq!((field(&poll, "is_ended"), field(&poll, "ended_at")), ("true".into(), seconds));
    let events = world.events();
    assert_eq!(events[0].name, EventName::MessageUpdate);
    assert_eq!(text_at(&payload(&events[0]), &["poll", "is_ended"]), "true");
    assert_eq!(told(&events), ["1", "0", "0"], "with the votes that nobody was told of");
    world.harness.advance(1_000);
    world.harness.run_errands();
    assert!(world.events().is_empty(), "which were told with it");
    world.refused(ALICE, "POST", &asked.path("/close"), None, 400);
    let body = format!("{{\"option_ids\":[\"{}\"]}}", asked.options[0]);
    world.refused(CAROL, "POST", &asked.path("/vote"), Some(&body), 400);
}

#[test]
fn a_poll_goes_without_its_message_and_with_it() {
    let world = World::default();
    let count = |of: &World| {
        let snapshot = of.harness.state.snapshot();
        let read = snapshot.read();
        [read.len(POLLS), read.len(POLL_PLACES), read.len(POLL_VOTES), ended_count(read)]
    };
    let asked = ask(&world, TEXT, "");
    [ALICE, BOB].into_iter().for_each(|who| drop(vote(&world, who, &asked, &[0])));
    assert_eq!(count(&world), [1, 1, 2, 0]);
    world.refused(BOB, "DELETE", &asked.path(""), None, 403);
    world.refused(GINA, "DELETE", &asked.path(""), None, 404);
    world.events();
    assert_eq!(world.ok(ALICE, "DELETE", &asked.path(""), None), r#"{"success":true}"#);
    let [event] = &world.events()[..] else { panic!("one event") };
    assert_eq!((event.name, field(&payload(event), "poll")), (EventName::MessageUpdate, "null".into()));
    assert_eq!(field(&payload(event), "metadata"), "null");
    assert_eq!(count(&world), [0; 4]);
    world.refused(ALICE, "GET", &asked.path(""), None, 404);
    // The message takes another one, of which the errand of the first knows nothing.
    let body = format!(r#"{{"question":"q","options":["a","b"],"message_id":"{}"}}"#, asked.message_id);
    world.ok(ALICE, "POST", "/polls", Some(&body));
    world.events();
    world.harness.advance(HOUR_MS);
    world.harness.run_errands();
    assert!(world.events().is_empty());
    world.ok(MAX, "DELETE", &format!("/channels/{TEXT}/messages/{}", asked.message_id), None);
    assert_eq!(count(&world), [0; 4]);
}

#[test]
fn in_direct_messages_only_who_asked_ends_it_and_a_block_binds() {
    let world = World::default();
    let asked = ask(&world, DM, "");
    world.refused(BOB, "POST", &asked.path("/close"), None, 403);
    world.refused(BOB, "DELETE", &asked.path(""), None, 403);
    world.refused(CAROL, "GET", &asked.path(""), None, 404);
    vote(&world, BOB, &asked, &[0]);
    let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
    world.write(|tx| tx.put(RELATIONSHIPS, (BOB, ALICE), &block));
    let body = format!("{{\"option_ids\":[\"{}\"]}}", asked.options[1]);
    world.refused(BOB, "POST", &asked.path("/vote"), Some(&body), 403);
    world.ok(ALICE, "POST", &asked.path("/close"), None);
}

#[test]
fn a_right_that_is_gone_binds() {
    let world = World::default();
    let message = world.ok(
        ALICE,
        "POST",
        &format!("/channels/{MUTE}/messages"),
        Some(r#"{"poll":{"question":"q","options":["a","b"]}}"#),
    );
    let asked = Asked::of(&message);
    let body = format!("{{\"option_ids\":[\"{}\"]}}", asked.options[0]);
    for (method, path, body) in [
        ("GET", "", None),
        ("GET", "/results", None),
        ("POST", "/vote", Some(&*body)),
        ("POST", "/close", None),
    ] {
        world.refused(BOB, method, &asked.path(path), body, 404);
    }
}

#[test]
fn a_poll_ends_on_time_whoever_sets_the_clock() {
    let world = World::default();
    let asked = ask(&world, TEXT, r#","duration_hours":1,"results_visibility":"after_end""#);
    vote(&world, BOB, &asked, &[0]);
    world.harness.advance(1_000);
    world.harness.run_errands();
    world.events();
    // The clock is set, the hour is not: it is shown by the clock of then.
    world.harness.set_clock(5 * HOUR_MS as i64);
    world.harness.run_errands();
    vote(&world, CAROL, &asked, &[1]);
    world.harness.run_errands();
    let poll = world.ok(BOB, "GET", &asked.path(""), None);
    let ends_at = (START_MS + 6 * HOUR_MS) / 1_000;
    assert_eq!((field(&poll, "is_ended"), field(&poll, "ends_at")), ("false".into(), ends_at.to_string()));
    world.harness.advance(HOUR_MS - 1_001);
    world.harness.run_errands();
    world.events();
    vote(&world, MAX, &asked, &[2]);
    world.harness.advance(1);
    // Over, whether or not somebody has carried that out.
    let body = format!("{{\"option_ids\":[\"{}\"]}}", asked.options[0]);
    world.refused(MAX, "POST", &asked.path("/vote"), Some(&body), 400);
    world.refused(ALICE, "POST", &asked.path("/close"), None, 400);
    let poll = world.ok(BOB, "GET", &asked.path(""), None);
    assert_eq!((field(&poll, "is_ended"), field(&poll, "ended_at")), ("true".into(), ends_at.to_string()));
    world.events();
    world.harness.run_errands();
    let events = world.events();
    assert_eq!((events.len(), events[0].name), (1, EventName::MessageUpdate));
    assert_eq!(told(&events), ["1", "1", "1"]);
    assert_eq!(text_at(&payload(&events[0]), &["poll", "ended_at"]), ends_at.to_string());
    world.harness.advance(HOUR_MS);
    world.harness.run_errands();
    assert!(world.events().is_empty(), "once");
}

/// Ten thousand votes in ten seconds: readers are told of them at most four times in any second, and of the last.
#[test]
fn a_storm_of_votes_is_a_trickle_of_events() {
    const VOTERS: u64 = 1_000;
    let world = World::default();
    let asked = ask(&world, TEXT, "");
    world.write(|tx| {
        for user in (1_000..1_000 + VOTERS).map(UserId) {
            tx.put(USERS, user, &User { username: format!("user{user}"), ..User::default() });
            tx.put(MEMBERS, (SERVER, user), &Member::default());
            tx.put(USER_SERVERS, (user, SERVER), &Nil {});
        }
    });
    let (poll_id, options) = (PollId::parse(&asked.id).unwrap(), &asked.options);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut times, mut last) = (Vec::new(), Vec::new());
    let mut note = |events: Vec<Event>, at: u64| {
        for event in events {
            assert_eq!(event.name, EventName::MessageUpdate);
            times.push(at);
            last = told(&[event]);
        }
    };
    for index in 0..10_000 {
        let user = UserId(1_000 + index % VOTERS);
        let option_ids = vec![options[random.usize(..3)].parse().unwrap()];
        world.harness.apply(&Command::new(user, PollVote { poll_id, option_ids }.into())).unwrap();
        world.harness.advance(1);
        // As often as the server looks.
        if index % 100 == 99 {
            world.harness.run_errands();
        }
        note(world.events(), world.harness.state.now_ms());
    }
    world.harness.advance(POLL_TELL_INTERVAL_MS);
    world.harness.run_errands();
    note(world.events(), world.harness.state.now_ms());
    let in_a_second = |from: &u64| times.iter().filter(|at| (*from..*from + 1_000).contains(at)).count();
    let most = times.iter().map(in_a_second).max().unwrap();
    assert!(most <= 4, "{most} in a second: {times:?}");
    assert!((20..=40).contains(&times.len()), "{}", times.len());
    let results = world.ok(BOB, "GET", &asked.path("/results"), None);
    assert_eq!((last, field(&results, "total_votes")), (counts(&results), VOTERS.to_string()));
    assert_eq!(world.harness.state.snapshot().read().len(OUTBOX), 0);
    let message = MessageId::parse(&asked.message_id).unwrap();
    assert!(!world.harness.state.snapshot().read().get(POLLS, message).unwrap().untold);
}
