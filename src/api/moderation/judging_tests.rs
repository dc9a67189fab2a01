//! Texts against rules, from the request to what is stored of it.

use crate::api::testing::server_world::{Person, World, text_of};
use std::io::{Read as _, Write as _};

use crate::config::{Automod, AutomodAi, Config};
use crate::domain::chat::message::MessageCreate;
use crate::domain::housekeeping::sweep::Sweep;
use crate::domain::moderation::judged::{Judged, MessageCondemn};
use crate::domain::verdict::{Hit, Verdict};
use crate::domain::{Command, Op, Refusal, Reply};
use crate::id::{ChannelId, MessageId, RuleId, ServerId, UserId};
use crate::store::records::{User, severity};
use crate::store::tables::*;

struct Place {
    world: World,
    alice: Person,
    bob: Person,
    server: String,
    channel: String,
}

impl Place {
    fn new() -> Place {
        Place::with(Automod::default())
    }

    fn with(automod: Automod) -> Place {
        let config = Config { automod, ..Config::default() };
        Place::on(World { harness: crate::api::testing::Harness::with_config(config) })
    }

    fn on(world: World) -> Place {
        let (alice, bob) = (world.user(1, "alice"), world.user(2, "bob"));
        let (server, channel) = world.server(&alice, &[&bob]);
        Place { world, alice, bob, server, channel }
    }

    fn id(&self) -> ServerId {
        ServerId::parse(self.server.strip_prefix("/servers/").unwrap()).unwrap()
    }

    fn channel_id(&self) -> ChannelId {
        ChannelId::parse(self.channel.strip_prefix("/channels/").unwrap()).unwrap()
    }

    /// A rule that deletes, or what `rest` says instead; its path.
    fn rule(&self, kind: &str, config: &str, rest: &str) -> String {
        let actions = if rest.contains("\"actions\"") {
            ""
        } else {
            r#","actions":[{"action_type":"delete_message"}]"#
        };
        let rest = if rest.is_empty() { String::new() } else { format!(",{rest}") };
        let json =
            format!(r#"{{"name":"{kind} rule","rule_type":"{kind}","config":{config}{actions}{rest}}}"#);
        let path = format!("{}/automod/rules", self.server);
        let answer = self.world.ok(&self.alice, "POST", &path, &json);
        format!("{path}/{}", text_of(&answer, "id"))
    }

    fn remove(&self, rule: &str) {
        self.world.ok(&self.alice, "DELETE", rule, "");
    }

    fn try_say(&self, who: &Person, text: &str) -> (u16, String) {
        let json = format!(r#"{{"content":{}}}"#, serde_json::to_string(text).unwrap());
        self.world.send(who, "POST", &format!("{}/messages", self.channel), &json)
    }

    fn passes(&self, who: &Person, text: &str) -> MessageId {
        let (status, body) = self.try_say(who, text);
        assert_eq!(status, 200, "{text}: {body}");
        MessageId::parse(text_of(&body, "id")).unwrap()
    }

    fn blocked(&self, who: &Person, text: &str, kinds: &str) {
        let (status, body) = self.try_say(who, text);
        assert_eq!(status, 400, "{text}: {body}");
        let want = format!(
            r#"{{"error":{{"code":"MESSAGE_BLOCKED","message":"Your message was blocked by the rules of this server","violations":[{kinds}]}}}}"#
        );
        assert_eq!(body, want, "{text}");
    }

    fn violations(&self, query: &str) -> serde_json::Value {
        let path = format!("{}/automod/violations{query}", self.server);
        serde_json::from_str(&self.world.ok(&self.alice, "GET", &path, "")).unwrap()
    }
}

/// Type, configuration, what it hits, what it does not.
const KINDS: &[(&str, &str, &[&str], &[&str])] = &[
    ("keyword", r#"{"keywords":["badger"]}"#, &["a BADGER!", "b4dger", "b a d g e r"], &["badgers", "fine"]),
    (
        "keyword",
        r#"{"keywords":["Cat"],"whole_word":false,"case_sensitive":true}"#,
        &["Catalogue"],
        &["catalogue", "C at"],
    ),
    (
        "regex",
        r#"{"patterns":[{"name":"phone","pattern":"\\+\\d{8,}"}]}"#,
        &["call +4912345678"],
        &["call +49"],
    ),
    ("regex", r#"{"patterns":["^hi$"]}"#, &["HI"], &["hi there", "a\nhi"]),
    (
        "regex",
        r#"{"patterns":[{"pattern":"^hi$","multiline":true,"case_sensitive":true}]}"#,
        &["a\nhi"],
        &["HI"],
    ),
    ("mention_spam", r#"{"max_user_mentions":1}"#, &["<@1> <@2>", "<@1><@1>"], &["<@1> hi", "hi"]),
    ("mention_spam", r#"{"max_user_mentions":1,"count_unique_only":true}"#, &["<@1> <@2>"], &["<@1><@1>"]),
    ("mention_spam", r#"{"max_role_mentions":0}"#, &["<@&5>"], &["<@5>"]),
    ("mention_spam", r#"{"max_total_mentions":1}"#, &["<@1> <@&5>"], &["<@1>"]),
    ("mention_spam", r#"{"block_everyone":true}"#, &["@everyone", "hey @here"], &["every one"]),
    (
        "invite_links",
        r#"{"block_all":true}"#,
        &["join https://plexichat.com/invite/abcDEF123456", "discord.gg/abc"],
        &["https://example.org/", "an invite"],
    ),
    ("invite_links", r#"{"allowed_codes":["good"]}"#, &["a.example/invite/bad"], &["a.example/invite/good"]),
    (
        "invite_links",
        r#"{"pattern":"chat\\.example/j/(\\w+)"}"#,
        &["chat.example/j/xyz"],
        &["chat.example/k/xyz"],
    ),
    (
        "mass_emoji",
        r#"{"max_emoji":3,"max_percentage":100,"min_length":1}"#,
        &["😀😀😀😀😀"],
        &["nice 😀", "👨‍👩‍👧‍👦"],
    ),
    (
        "caps_percentage",
        r#"{"max_percentage":70,"min_length":10}"#,
        &["WHY ARE YOU SHOUTING"],
        &["WHY", "Why are you"],
    ),
    ("repeated_chars", r#"{"max_repeats":5,"min_occurrences":1}"#, &["noooooooooooo"], &["nooo"]),
    (
        "external_links",
        r#"{"mode":"blacklist","blacklist":["evil.example"]}"#,
        &["go to http://evil.example/x", "http://a@www.EVIL.example", "evil.example"],
        &["go to http://good.example/x", "notevil.example"],
    ),
    (
        "external_links",
        r#"{"mode":"whitelist","whitelist":["good.example"]}"#,
        &["http://evil.example", "https://good.example@evil.example/"],
        &["https://www.good.example/x", "plain"],
    ),
    ("external_links", r#"{"block_all":true}"#, &["https://good.example"], &["good.example"]),
];

#[test]
fn each_type_hits_what_it_says() {
    let place = Place::new();
    for (kind, config, hits, misses) in KINDS {
        let rule = place.rule(kind, config, "");
        for text in *hits {
            place.blocked(&place.bob, text, &format!("\"{kind}\""));
        }
        for text in *misses {
            place.passes(&place.bob, text);
        }
        place.passes(&place.alice, hits[0]);
        place.remove(&rule);
        place.passes(&place.bob, hits[0]);
    }
}

#[test]
fn messages_are_counted_with_the_one_that_is_sent() {
    let place = Place::new();
    let kind = "\"message_spam\"";
    let rule =
        place.rule("message_spam", r#"{"max_messages":3,"window_seconds":5,"duplicate_threshold":9}"#, "");
    for text in ["one", "two", "three"] {
        place.passes(&place.bob, text);
    }
    place.blocked(&place.bob, "four", kind);
    place.passes(&place.alice, "four");
    place.world.harness.advance(5_001);
    place.passes(&place.bob, "four");
    place.remove(&rule);
    place.rule("message_spam", r#"{"max_messages":50,"duplicate_threshold":3}"#, "");
    place.world.harness.advance(60_000);
    place.passes(&place.bob, "same text");
    let second = place.passes(&place.bob, "Same  text");
    place.blocked(&place.bob, "same text", kind);
    place.passes(&place.bob, "another text");
    // Changing one of them is no third.
    let path = format!("{}/messages/{second}", place.channel);
    place.world.ok(&place.bob, "PATCH", &path, r#"{"content":"same text"}"#);
    // What was said before the clock was set back is not in the window.
    place.world.harness.set_clock(-86_400_000);
    place.passes(&place.bob, "same text");
}

#[test]
fn edits_and_embeds_are_judged_too() {
    let place = Place::new();
    let message = place.passes(&place.bob, "fine");
    place.rule("keyword", r#"{"keywords":["badger"]}"#, "");
    let path = format!("{}/messages/{message}", place.channel);
    let edit = ("PATCH", path.as_str(), r#"{"content":"a badger"}"#);
    place.world.refused(&place.bob, edit, 400, "MESSAGE_BLOCKED");
    assert!(place.world.ok(&place.bob, "GET", &path, "").contains(r#""content":"fine""#));
    place.world.ok(&place.bob, "PATCH", &path, r#"{"content":"still fine"}"#);
    let messages = format!("{}/messages", place.channel);
    let embed = r#"{"embeds":[{"fields":[{"name":"x","value":"the badger"}]}]}"#;
    place.world.refused(&place.bob, ("POST", &messages, embed), 400, "MESSAGE_BLOCKED");
    // Other mistakes are told first.
    let body = r#"{"content":"badger","reply_to_id":"5"}"#;
    place.world.refused(&place.bob, ("POST", &messages, body), 404, "reply");
    let gina = place.world.user(5, "gina");
    place.world.refused(&gina, ("POST", &messages, r#"{"content":"badger"}"#), 403, "not a member");
    assert_eq!(place.violations("").as_array().unwrap().len(), 2);
}

#[test]
fn whom_rules_are_for() {
    let place = Place::new();
    let trusted = place.world.role(&place.alice, &place.server, "{}", &[&place.bob]);
    let carl = place.world.user(3, "carl");
    place.world.join(&place.alice, &place.channel, &carl, "{}");
    let config = r#"{"keywords":["badger"]}"#;
    let check = |rest: &str, bob_passes: bool, carl_passes: bool| {
        let rule = place.rule("keyword", config, rest);
        for (who, passes) in [(&place.bob, bob_passes), (&carl, carl_passes)] {
            assert_eq!(place.try_say(who, "badger").0 == 200, passes, "{rest}");
        }
        place.remove(&rule);
    };
    check("", false, false);
    check(&format!(r#""exempt_roles":["{trusted}"]"#), true, false);
    check(&format!(r#""applied_roles":["{trusted}"]"#), false, true);
    check(&format!(r#""exempt_channels":["{}"]"#, place.channel_id()), true, true);
    check(r#""exempt_channels":["77"]"#, false, false);
    check(r#""enabled":false"#, true, true);
    let everyone =
        place.world.harness.state.snapshot().read().get(SERVERS, place.id()).unwrap().everyone_role_id.0;
    check(&format!(r#""applied_roles":["{everyone}"]"#), false, false);
    place.world.role(&place.alice, &place.server, r#"{"administrator":true}"#, &[&carl]);
    check("", false, true);
    let place = Place::with(Automod { exempt_owners: false, exempt_admins: false, ..Automod::default() });
    place.rule("keyword", config, r#""actions":[{"action_type":"ban_user"},{"action_type":"timeout_user"}]"#);
    place.blocked(&place.alice, "badger", "\"keyword\"");
    assert_eq!(place.violations("")[0]["actions_taken"], serde_json::json!([]), "an owner stays");
    let place = Place::with(Automod { exempt_admins: false, ..Automod::default() });
    place.world.role(&place.alice, &place.server, r#"{"administrator":true}"#, &[&place.bob]);
    place.rule("keyword", config, "");
    place.passes(&place.alice, "badger");
    place.blocked(&place.bob, "badger", "\"keyword\"");
}

#[test]
fn the_first_rule_that_is_hit_is_the_last_unless_it_says_otherwise() {
    let place = Place::new();
    let log = r#""actions":[{"action_type":"log_only"}]"#;
    let first = place.rule("keyword", r#"{"keywords":["badger"]}"#, &format!(r#"{log},"priority":5"#));
    place.rule("caps_percentage", r#"{"min_length":3}"#, "");
    place.rule("repeated_chars", r#"{"max_repeats":1,"min_occurrences":1}"#, "");
    place.passes(&place.bob, "BADGER!!");
    place.world.ok(&place.alice, "PATCH", &first, r#"{"check_all":true}"#);
    place.blocked(&place.bob, "BADGER!!", r#""keyword","caps_percentage""#);
    place.blocked(&place.bob, "badger!!", r#""keyword","repeated_chars""#);
    let found = place.violations("");
    assert_eq!(found.as_array().unwrap().len(), 5);
    let column = |key: &str| found.as_array().unwrap().iter().map(|row| row[key].clone()).collect::<Vec<_>>();
    assert_eq!(column("rule_type")[..2], ["repeated_chars", "keyword"], "newest first");
    assert_eq!(column("actions_taken")[4], serde_json::json!(["log_only"]));
}

#[test]
fn violations_outlive_their_rule() {
    let place = Place::new();
    let config = r#"{"keywords":["badger","fox"],"severity_map":{"fox":"critical"}}"#;
    let rule = place.rule("keyword", config, "");
    place.blocked(&place.bob, "a badger and a FOX", "\"keyword\"");
    place.rule("keyword", r#"{"keywords":["owl"]}"#, r#""actions":[{"action_type":"alert_moderators"}]"#);
    let message = place.passes(&place.bob, "an owl");
    place.remove(&rule);
    let found = place.violations("");
    let at = found[1]["created_at"].clone();
    let want = serde_json::json!({
        "id": found[1]["id"], "user_id": "2", "channel_id": place.channel_id().to_string(),
        "rule_id": rule.rsplit('/').next().unwrap(), "rule_type": "keyword", "matched_content": "fox",
        "severity": "critical", "actions_taken": ["delete_message"], "created_at": at,
        "metadata": {"rule_name": "keyword rule", "content": "a badger and a FOX"},
    });
    assert_eq!(found[1], want);
    assert_eq!(found[0]["metadata"]["message_id"], message.to_string());
    assert_eq!(found[0]["actions_taken"], serde_json::json!(["alert_moderators"]));
    assert_eq!(place.violations("?limit=1").as_array().unwrap().len(), 1);
    assert_eq!(place.violations("?user_id=2").as_array().unwrap().len(), 2);
    assert_eq!(place.violations("?user_id=1").as_array().unwrap().len(), 0);
    for user in ["", "&user_id=2"] {
        let before = format!("?before={}{user}", found[0]["id"].as_str().unwrap());
        assert_eq!(place.violations(&before), serde_json::json!([want]));
    }
    let path = format!("{}/automod/violations", place.server);
    place.world.refused(&place.bob, ("GET", &path, ""), 403, "server.automod");
    for query in ["?limit=0", "?limit=101", "?limit=x", "?user_id=x", "?before=x"] {
        place.world.refused(&place.alice, ("GET", &format!("{path}{query}"), ""), 400, "Invalid");
    }
}

#[test]
fn violations_are_kept_for_a_while_and_up_to_a_number() {
    let automod = Automod { violations_max: 3, violation_days: 2, ..Automod::default() };
    let place = Place::with(automod);
    place.rule("keyword", r#"{"keywords":["badger"]}"#, "");
    for index in 0..5 {
        place.blocked(&place.bob, &format!("badger {index}"), "\"keyword\"");
    }
    let texts = |found: serde_json::Value| {
        let rows = found.as_array().unwrap().clone();
        rows.iter().map(|row| row["metadata"]["content"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(texts(place.violations("")), ["badger 4", "badger 3", "badger 2"]);
    let sweep = |want: u64| {
        while place.world.harness.apply(&Command::new(UserId(0), Sweep { records_max: 3 }.into())).unwrap()
            != Reply::Count(0)
        {}
        let snapshot = place.world.harness.state.snapshot();
        let read = snapshot.read();
        let counts = [read.len(VIOLATIONS), read.len(USER_VIOLATIONS), read.len(VIOLATION_LAPSES)];
        assert_eq!(counts, [want; 3]);
        assert_eq!(read.get(AUTOMODS, place.id()).unwrap().violations.to_native(), want);
    };
    sweep(3);
    place.world.harness.advance(86_400_000);
    place.blocked(&place.bob, "badger 5", "\"keyword\"");
    place.world.harness.advance(86_400_000);
    sweep(1);
    place.world.harness.advance(86_400_000);
    sweep(0);
    assert_eq!(place.violations(""), serde_json::json!([]));
}

#[test]
fn authors_are_silenced_removed_and_banned() {
    let place = Place::new();
    let keyword = |word: &str, actions: &str| {
        let config = format!(r#"{{"keywords":["{word}"]}}"#);
        place.rule("keyword", &config, &format!(r#""actions":{actions}"#));
    };
    keyword(
        "quiet",
        r#"[{"action_type":"delete_message"},{"action_type":"timeout_user","duration_seconds":3}]"#,
    );
    keyword("out", r#"[{"action_type":"kick_user"},{"action_type":"timeout_user","duration_seconds":60}]"#);
    keyword("never", r#"[{"action_type":"ban_user","reason":"enough"},{"action_type":"kick_user"}]"#);
    let world = &place.world;
    world.known();
    place.blocked(&place.bob, "quiet", "\"keyword\"");
    assert_eq!(world.known(), ["GUILD_MEMBER_UPDATE to members but 2", "GUILD_MEMBER_UPDATE to user 2"]);
    assert_eq!(place.try_say(&place.bob, "hello").0, 403);
    let members = world.ok(&place.alice, "GET", &format!("{}/members", place.server), "");
    assert!(members.contains(r#""timeout_reason":"Automod: keyword rule""#), "{members}");
    world.harness.advance(3_001);
    place.passes(&place.bob, "back");
    world.known();
    place.blocked(&place.bob, "out", "\"keyword\"");
    let removed = ["change MemberRemoved", "GUILD_DELETE to user 2", "GUILD_MEMBER_REMOVE to members"];
    assert_eq!(world.known(), removed);
    world.refused(&place.bob, ("GET", &place.server, ""), 403, "not a member");
    world.join(&place.alice, &place.channel, &place.bob, "{}");
    world.known();
    place.blocked(&place.bob, "never", "\"keyword\"");
    assert_eq!(world.known().last().unwrap(), "GUILD_BAN_ADD to members with members.ban|bans.view");
    let bans = world.ok(&place.alice, "GET", &format!("{}/bans", place.server), "");
    assert!(bans.contains(r#""user_id":"2","reason":"enough","banned_by":"1""#), "{bans}");
    let actions = world.actions(&place.alice, &place.server, 10);
    let want = ["member_ban", "invite_use", "member_join", "invite_create", "member_kick", "member_update"];
    let got: Vec<&str> =
        actions.iter().map(String::as_str).filter(|action| want.contains(action)).take(6).collect();
    assert_eq!(got[0], "member_ban");
    assert!(got.contains(&"member_kick") && got.contains(&"member_update"), "{actions:?}");
    let taken = place.violations("");
    assert_eq!(taken[0]["actions_taken"], serde_json::json!(["ban_user", "kick_user"]));
}

#[test]
fn a_verdict_holds_for_the_rules_that_made_it() {
    let place = Place::new();
    let rule = place.rule("keyword", r#"{"keywords":["badger"]}"#, "");
    let rule_id = RuleId::parse(rule.rsplit('/').next().unwrap()).unwrap();
    let create = MessageCreate {
        channel_id: place.channel_id(),
        content: "text".into(),
        reply_to_id: None,
        embeds: String::new(),
        length_max: 100,
    };
    let apply = |actor: u64, op: Op| place.world.harness.apply(&Command::new(UserId(actor), op));
    let unjudged = Err(Refusal::Unjudged.into());
    assert_eq!(apply(2, create.clone().into()), unjudged, "there are rules, and nobody has asked them");
    let version = || {
        let snapshot = place.world.harness.state.snapshot();
        snapshot.read().get(AUTOMODS, place.id()).unwrap().version.to_native()
    };
    let verdict =
        |version: u64| Verdict { version, is_own: true, keep_ms: 1, keep_count: 9, ..Verdict::default() };
    let judged = |verdict: Verdict| Judged::new(verdict, &create.clone().into()).into();
    let old = version();
    assert!(matches!(apply(2, judged(verdict(old))), Ok(Reply::Message(..))));
    let hit = Hit { rule_id, severity: severity::LOW, matched: "text".into() };
    assert_eq!(apply(2, judged(Verdict { hits: vec![hit.clone()], ..verdict(old) })), Ok(Reply::TextRefused));
    place.rule("keyword", r#"{"keywords":["text"]}"#, "");
    assert_eq!(apply(2, judged(verdict(old))), unjudged);
    assert_eq!(apply(2, judged(Verdict { hits: vec![hit.clone()], ..verdict(old) })), unjudged);
    // Where somebody's messages count, none may have come in between.
    let latest = Some(MessageId(1));
    assert_eq!(apply(2, judged(Verdict { latest, ..verdict(version()) })), unjudged);
    // What a command in it is refused for is told as ever.
    assert_eq!(apply(5, judged(verdict(version()))).unwrap_err().status, 403);
    // Nothing is judged that is no text, and no verdict is about another one.
    let nested = Judged::new(verdict(1), &judged(verdict(1)));
    assert_eq!(apply(2, nested.into()), Err(Refusal::Internal.into()));
    let sweep = Judged::new(verdict(1), &Sweep { records_max: 1 }.into());
    assert_eq!(apply(0, sweep.into()), Err(Refusal::Internal.into()));
    let broken = Judged { verdict: verdict(1), code: 80, bytes: vec![1] };
    assert_eq!(apply(2, broken.into()), Err(Refusal::Internal.into()));
}

#[test]
fn a_message_is_taken_back_when_something_is_found_later() {
    let place = Place::new();
    let rule = place.rule("keyword", r#"{"keywords":["badger"]}"#, "");
    let log = place.rule("keyword", r#"{"keywords":["fox"]}"#, r#""actions":[{"action_type":"log_only"}]"#);
    let id = |rule: &str| RuleId::parse(rule.rsplit('/').next().unwrap()).unwrap();
    let message_id = place.passes(&place.bob, "innocent");
    let snapshot = place.world.harness.state.snapshot();
    let version = snapshot.read().get(AUTOMODS, place.id()).unwrap().version.to_native();
    let condemn = |rule: &str, content: &str, version: u64| {
        let hit = Hit { rule_id: id(rule), severity: severity::HIGH, matched: "found".into() };
        let verdict = Verdict {
            version,
            hits: vec![hit],
            is_own: true,
            keep_ms: 1_000,
            keep_count: 9,
            excerpt: content.into(),
            ..Verdict::default()
        };
        let op =
            MessageCondemn { channel_id: place.channel_id(), message_id, content: content.into(), verdict };
        place.world.harness.apply(&Command::new(UserId(0), op.into()))
    };
    place.world.known();
    assert_eq!(condemn(&rule, "changed since", version), Ok(Reply::Changed(false)));
    assert_eq!(condemn(&rule, "innocent", version - 1), Ok(Reply::Changed(false)));
    assert!(place.world.known().is_empty());
    assert_eq!(condemn(&log, "innocent", version), Ok(Reply::Changed(true)));
    assert!(place.world.known().is_empty());
    assert_eq!(place.violations("")[0]["metadata"]["message_id"], message_id.to_string());
    assert_eq!(condemn(&rule, "innocent", version), Ok(Reply::Changed(true)));
    let payload = format!(
        r#"{{"id":"{message_id}","channel_id":"{}","server_id":"{}","automod":true}}"#,
        place.channel_id(),
        place.id()
    );
    assert_eq!(place.world.payload("MESSAGE_DELETE"), payload);
    assert_eq!(condemn(&rule, "innocent", version), Ok(Reply::Changed(false)));
    assert_eq!(place.violations("").as_array().unwrap().len(), 2);
    let op = MessageCondemn {
        channel_id: place.channel_id(),
        message_id,
        content: String::new(),
        verdict: Verdict::default(),
    };
    assert_eq!(place.world.harness.apply(&Command::new(UserId(2), op.into())).unwrap_err().status, 403);
}

/// Answers one request with these bytes, and tells what was asked.
fn service(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/judge", listener.local_addr().unwrap());
    let serve = move || {
        let (mut socket, _) = listener.accept().unwrap();
        let (mut seen, mut piece) = (Vec::new(), [0; 4_096]);
        while !seen.ends_with(b"}") {
            let count = socket.read(&mut piece).unwrap();
            seen.extend_from_slice(&piece[..count]);
        }
        write!(socket, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
        String::from_utf8(seen).unwrap()
    };
    (url, std::thread::spawn(serve))
}

#[test]
fn services_judge_what_is_stored() {
    let harness = |url: &str| {
        let automod_ai = AutomodAi { custom_url: url.into(), ..AutomodAi::default() };
        crate::api::testing::Harness::with_config(Config { automod_ai, ..Config::default() })
    };
    let config = r#"{"backend":"custom","categories":["spam"],"severity":"low"}"#;
    for (answer, stays) in
        [(r#"{"scores":{"spam":0.9}}"#, false), (r#"{"scores":{"spam":0.1}}"#, true), ("no", true)]
    {
        let (url, asked) = service(answer);
        let place = Place::on(World { harness: harness(&url) });
        place.rule("ai_moderation", config, "");
        let message_id = place.passes(&place.bob, "buy now");
        let path = format!("{}/messages/{message_id}", place.channel);
        place.world.ok(&place.bob, "GET", &path, "");
        place.world.harness.run_afterwork();
        assert!(asked.join().unwrap().ends_with(r#"{"text":"buy now","categories":["spam"]}"#));
        assert_eq!(place.world.send(&place.bob, "GET", &path, "").0 == 200, stays, "{answer}");
        let found = place.violations("");
        assert_eq!(found.as_array().unwrap().len(), usize::from(!stays));
        if !stays {
            assert_eq!(
                (&found[0]["matched_content"], &found[0]["severity"]),
                (&"spam 0.90".into(), &"low".into())
            );
            assert!(place.world.payload("MESSAGE_DELETE").ends_with(r#""automod":true}"#));
        }
        let metrics = &place.world.harness.state.metrics;
        assert_eq!(metrics.texts_unanswered.value(), u64::from(answer == "no"));
    }
    // Nobody is there, or nobody was named.
    for url in ["http://127.0.0.1:1/", ""] {
        let place = Place::on(World { harness: harness(url) });
        place.rule("ai_moderation", config, "");
        place.passes(&place.bob, "buy now");
        place.passes(&place.alice, "buy now");
        place.world.harness.run_afterwork();
        let metrics = &place.world.harness.state.metrics;
        assert_eq!((metrics.texts_asked.value(), metrics.texts_unanswered.value()), (1, 1));
    }
}

#[test]
fn webhooks_are_never_exempt_and_nobody_is_punished_for_them() {
    let place = Place::new();
    let body = format!(r#"{{"channel_id":"{}","name":"Build"}}"#, place.channel_id());
    let made = place.world.ok(&place.alice, "POST", "/webhooks", &body);
    let path = format!("/webhooks/{}/{}", text_of(&made, "id"), text_of(&made, "token"));
    let post = |body: &str| place.world.harness.request("POST", &path, None, Some(body));
    let actions =
        r#""actions":[{"action_type":"delete_message"},{"action_type":"ban_user"}],"applied_roles":["7"]"#;
    place.rule("keyword", r#"{"keywords":["badger"]}"#, actions);
    for body in [
        r#"{"content":"a badger"}"#,
        r#"{"content":"x","username":"badger"}"#,
        r#"{"embeds":[{"title":"badger"}]}"#,
    ] {
        let (status, answer) = post(body);
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(
            answer.contains(r#""code":"MESSAGE_BLOCKED""#) && answer.contains(r#"["keyword"]"#),
            "{answer}"
        );
    }
    assert_eq!(post(r#"{"content":"fine"}"#).0, 200);
    let found = place.violations("");
    assert_eq!(found.as_array().unwrap().len(), 3);
    assert_eq!(found[0]["actions_taken"], serde_json::json!(["delete_message"]));
    assert_eq!((&found[0]["user_id"], &found[0]["metadata"]["webhook"]), (&"1".into(), &true.into()));
    // What its creator writes does not count as the webhook's, nor the other way round.
    place.rule("message_spam", r#"{"max_messages":3,"window_seconds":60}"#, "");
    for index in 0..3 {
        place.passes(&place.alice, &format!("text {index}"));
        if index < 2 {
            assert_eq!(post(&format!(r#"{{"content":"build {index}"}}"#)).0, 200);
        }
    }
    assert_eq!(post(r#"{"content":"build 3"}"#).0, 400);
}

#[test]
fn private_channels_have_no_rules() {
    let place = Place::new();
    place.rule("keyword", r#"{"keywords":["badger"]}"#, "");
    for id in [1, 2] {
        let user = User { username: format!("friend{id}"), ..User::default() };
        place.world.put(USERS, UserId(id), &user);
    }
    let dm = place.world.ok(&place.bob, "POST", "/users/@me/channels", r#"{"recipient_id":"1"}"#);
    let path = format!("/channels/{}/messages", text_of(&dm, "id"));
    place.world.ok(&place.bob, "POST", &path, r#"{"content":"badger"}"#);
}
