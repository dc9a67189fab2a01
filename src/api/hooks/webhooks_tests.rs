//! Webhooks as handlers answer them, without sockets.

use crate::api::testing::START_MS;
use crate::api::testing::message_world::*;
use crate::config::{Config, Messaging, Webhooks};
use crate::domain::permission::{CHANNELS_VIEW, MESSAGES_MENTION_EVERYONE, MESSAGES_READ, WEBHOOKS_MANAGE};
use crate::domain::{Audience, Event, EventName, intent};
use crate::id::{ChannelId, MessageId, RoleId, ServerId, UserId};
use crate::limits::WEBHOOK_COUNT_MAX;
use crate::store::records::*;
use crate::store::tables::*;

/// Id, token.
struct Hook {
    id: String,
    token: String,
}

impl Hook {
    fn path(&self) -> String {
        format!("/webhooks/{}/{}", self.id, self.token)
    }

    fn manage(&self) -> String {
        format!("/webhooks/{}", self.id)
    }
}

fn create(world: &World, who: UserId, channel: ChannelId) -> Hook {
    let body = format!(r#"{{"channel_id":"{channel}","name":"Build"}}"#);
    let answer = world.ok(who, "POST", "/webhooks", Some(&body));
    world.events();
    Hook { id: field(&answer, "id"), token: field(&answer, "token") }
}

/// A call with the token of a webhook, by nobody.
fn post(world: &World, path: &str, body: &str) -> (u16, String) {
    world.harness.request("POST", path, None, Some(body))
}

fn said(world: &World, hook: &Hook, body: &str) -> String {
    let (status, answer) = post(world, &format!("{}?wait=true", hook.path()), body);
    assert_eq!(status, 200, "{body}: {answer}");
    answer
}

fn refused(world: &World, path: &str, body: &str, status: u16, text: &str) {
    let (got, answer) = post(world, path, body);
    assert_eq!(got, status, "{path} {body}: {answer}");
    assert!(answer.contains(text), "{path} {body}: {answer}");
}

/// Gives everybody of the server these permissions besides.
fn allow(world: &World, bits: u64) {
    let id = RoleId(101);
    world.write(|tx| {
        let role = Role::from(tx.get(ROLES, (SERVER, id)).unwrap());
        tx.put(ROLES, (SERVER, id), &Role { bits: role.bits | bits, ..role });
    });
}

fn names(events: &[Event]) -> Vec<(EventName, String)> {
    events.iter().map(|event| (event.name, field(&payload(event), "channel_id"))).collect()
}

#[test]
fn a_token_is_shown_when_it_is_made_and_never_again() {
    let world = World::default();
    let body = r#"{"channel_id":"200","name":" Build  ","avatar_url":"https://ci.example.org/a.png"}"#;
    let answer = world.ok(ALICE, "POST", "/webhooks", Some(body));
    let (id, token) = (field(&answer, "id"), field(&answer, "token"));
    let secret = token.strip_prefix(&format!("webhook.{id}.")).unwrap();
    assert_eq!(secret.len(), 64);
    assert!(secret.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{secret}");
    let seconds = START_MS / 1_000;
    let shown = |token: &str, url: &str| {
        format!(
            r#"{{"id":"{id}","channel_id":"200","server_id":"100","creator_id":"1","name":"Build","avatar_url":"https://ci.example.org/a.png","token":{token},"url":{url},"created_at":{seconds}}}"#
        )
    };
    let url = format!("\"http://x/api/v1/webhooks/{id}/{token}\"");
    assert_eq!(answer, shown(&format!("\"{token}\""), &url));
    let [event] = &world.events()[..] else { panic!("one event") };
    assert_eq!(payload(event), r#"{"guild_id":"100","channel_id":"200"}"#);
    let all_of = CHANNELS_VIEW | WEBHOOKS_MANAGE;
    assert_eq!(event.audience, Audience::Channel { server_id: SERVER, channel_id: TEXT, all_of });
    assert_eq!((event.name, event.intent), (EventName::WebhooksUpdate, intent::GUILD_WEBHOOKS));
    assert_eq!(world.ok(ALICE, "GET", &format!("/webhooks/{id}"), None), shown("null", "null"));
    let item = format!(
        r#"[{{"id":"{id}","channel_id":"200","server_id":"100","creator_id":"1","name":"Build","avatar_url":"https://ci.example.org/a.png","created_at":{seconds}}}]"#
    );
    assert_eq!(world.ok(ALICE, "GET", "/servers/100/webhooks", None), item);
    assert_eq!(world.ok(ALICE, "GET", "/channels/200/webhooks", None), item);
    assert_eq!(world.ok(ALICE, "GET", "/channels/202/webhooks", None), "[]");
    let stored = world.harness.state.snapshot();
    for (index, _) in ROWS.iter().enumerate() {
        let mut rows = stored.read().raw(index);
        assert!(!rows.any(|(_, value)| value.windows(64).any(|bytes| bytes == secret.as_bytes())));
    }
}

#[test]
fn addresses_are_those_of_whoever_asks() {
    let config = Config::default();
    let api = crate::config::Api { public_url: "https://chat.example.org/".into(), ..config.api.clone() };
    let check = |config: Config, headers: &str, want: &str| {
        let world = World::with_config(config);
        let body = r#"{"channel_id":"200","name":"x"}"#;
        let head = format!(
            "POST /api/v1/webhooks HTTP/1.1\r\nauthorization: Bearer 1.secret\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        let answer = world.harness.exchange(&head, body);
        assert!(answer.contains(&format!("\"url\":\"{want}/api/v1/webhooks/")), "{headers}: {answer}");
    };
    check(config.clone(), "host: chat.local:8000\r\n", "http://chat.local:8000");
    check(config.clone(), "host: chat.local\r\nx-forwarded-proto: https\r\n", "https://chat.local");
    check(Config { api, ..config }, "host: 127.0.0.1\r\n", "https://chat.example.org");
}

#[test]
fn who_may_manage_webhooks() {
    let world = World::default();
    let hook = create(&world, ALICE, TEXT);
    let (manage, create_body) = (hook.manage(), r#"{"channel_id":"200","name":"x"}"#);
    let calls: [(&str, String, Option<&str>); 7] = [
        ("POST", "/webhooks".into(), Some(create_body)),
        ("GET", manage.clone(), None),
        ("PATCH", manage.clone(), Some(r#"{"name":"y"}"#)),
        ("DELETE", manage.clone(), None),
        ("POST", format!("{manage}/regenerate-token"), None),
        ("GET", "/servers/100/webhooks".into(), None),
        ("GET", "/channels/200/webhooks".into(), None),
    ];
    for (method, path, body) in &calls {
        assert!(world.refused(BOB, method, path, *body, 403).contains("webhooks.manage"), "{method} {path}");
        assert!(world.refused(GINA, method, path, *body, 403).contains("not a member"), "{method} {path}");
    }
    assert!(world.events().is_empty());
    // A mistake in the body does not hide that he may not.
    world.refused(BOB, "POST", "/webhooks", Some(r#"{"channel_id":"200"}"#), 403);
    world.refused(BOB, "PATCH", &manage, Some(r#"{"name":""}"#), 403);
    for path in ["/webhooks/7", "/webhooks/18446744073709551615"] {
        for (method, path) in [
            ("GET", path.to_string()),
            ("DELETE", path.to_string()),
            ("POST", format!("{path}/regenerate-token")),
        ] {
            assert_eq!(world.refused(ALICE, method, &path, None, 404), "Webhook not found");
        }
        world.refused(ALICE, "PATCH", path, Some("{}"), 404);
    }
    world.refused(ALICE, "GET", "/webhooks/x", None, 400);
    world.refused(ALICE, "GET", "/servers/999/webhooks", None, 404);
    world.refused(ALICE, "GET", "/channels/999/webhooks", None, 404);
    allow(&world, WEBHOOKS_MANAGE);
    for (method, path, body) in calls.iter().filter(|(method, ..)| *method != "DELETE").chain([&calls[3]]) {
        world.ok(BOB, method, path, *body);
    }
}

#[test]
fn channels_that_are_hidden_keep_their_webhooks_to_themselves() {
    let world = World::default();
    let (seen, hidden) = (create(&world, ALICE, TEXT), create(&world, ALICE, HIDDEN));
    allow(&world, WEBHOOKS_MANAGE);
    let list = world.ok(BOB, "GET", "/servers/100/webhooks", None);
    assert_eq!(column(&list, "id"), [seen.id.as_str()]);
    let list = world.ok(ALICE, "GET", "/servers/100/webhooks", None);
    assert_eq!(column(&list, "id"), [seen.id.as_str(), &hidden.id], "oldest first");
    world.refused(BOB, "GET", &hidden.manage(), None, 403);
    world.refused(BOB, "POST", &format!("{}/regenerate-token", hidden.manage()), None, 403);
    world.refused(BOB, "PATCH", &seen.manage(), Some(r#"{"channel_id":"203"}"#), 403);
    // An override takes the right away in one channel.
    let deny = Override { allow: 0, deny: WEBHOOKS_MANAGE };
    world.write(|tx| tx.put(OVERRIDES, (TEXT, 0, 101), &deny));
    world.refused(BOB, "DELETE", &seen.manage(), None, 403);
    assert_eq!(world.ok(BOB, "GET", "/servers/100/webhooks", None), "[]");
}

#[test]
fn what_a_webhook_may_be() {
    let world = World::default();
    let check = |fields: &str, status: u16, text: &str| {
        let body = format!("{{{fields}}}");
        let got = world.refused(ALICE, "POST", "/webhooks", Some(&body), status);
        assert!(got.contains(text), "{fields}: {got}");
    };
    check("", 400, "Invalid channel_id: this field is required");
    check(r#""channel_id":"x","name":"n""#, 400, "Invalid channel_id");
    check(r#""channel_id":"200""#, 400, "Invalid name: this field is required");
    check(r#""channel_id":"200","name":"""#, 400, "blank");
    check(r#""channel_id":"200","name":" \u200b""#, 400, "blank");
    check(&format!(r#""channel_id":"200","name":"{}""#, "n".repeat(81)), 400, "1 to 80 characters");
    for url in ["x", "ftp://x/y", "javascript:alert(1)", "https://", "https:///x", "https://a b/", "//x"] {
        check(&format!(r#""channel_id":"200","name":"n","avatar_url":"{url}""#), 400, "Invalid avatar_url");
    }
    let long = format!(r#""channel_id":"200","name":"n","avatar_url":"https://x/{}""#, "y".repeat(2_040));
    check(&long, 400, "Invalid avatar_url");
    check(r#""channel_id":"999","name":"n""#, 404, "Channel not found");
    check(r#""channel_id":"201","name":"n""#, 400, "voice channel");
    check(r#""channel_id":"300","name":"n""#, 403, "Direct messages");
    assert!(world.events().is_empty());
    for fields in [
        format!(r#""channel_id":200,"name":"{}""#, "ü".repeat(80)),
        r#""channel_id":"200","name":"n","avatar_url":"HTTPS://nowhere.invalid/ü.png?size=64#x""#.into(),
        r#""channel_id":"200","name":"n","avatar_url":"""#.into(),
        r#""channel_id":"200","name":"n","avatar_url":null,"more":1"#.into(),
    ] {
        world.ok(ALICE, "POST", "/webhooks", Some(&format!("{{{fields}}}")));
    }
}

#[test]
fn there_may_be_so_many() {
    let limits = |max_per_channel, max_per_server| {
        let config = Config { webhooks: Webhooks { max_per_channel, max_per_server }, ..Config::default() };
        World::with_config(config)
    };
    let body = r#"{"channel_id":"200","name":"n"}"#;
    let world = limits(2, 3);
    let first = create(&world, ALICE, TEXT);
    create(&world, ALICE, TEXT);
    let refusal = world.refused(ALICE, "POST", "/webhooks", Some(body), 400);
    assert_eq!(refusal, "A channel can have at most 2 webhooks: delete one first");
    let other = create(&world, ALICE, SLOW);
    let refusal = world.refused(ALICE, "POST", "/webhooks", Some(&body.replace("200", "204")), 400);
    assert_eq!(refusal, "A server can have at most 3 webhooks: delete one first");
    let moved = world.refused(ALICE, "PATCH", &other.manage(), Some(r#"{"channel_id":"200"}"#), 400);
    assert!(moved.contains("at most 2"), "{moved}");
    world.ok(ALICE, "DELETE", &first.manage(), None);
    world.ok(ALICE, "PATCH", &other.manage(), Some(r#"{"channel_id":"200"}"#));
    create(&world, ALICE, SLOW);
    // All that can be allowed go at once with what they stand in.
    let world = limits(WEBHOOK_COUNT_MAX as u64, WEBHOOK_COUNT_MAX as u64);
    (0..WEBHOOK_COUNT_MAX).for_each(|_| drop(create(&world, ALICE, TEXT)));
    world.refused(ALICE, "POST", "/webhooks", Some(body), 400);
    world.ok(ALICE, "DELETE", "/channels/200", None);
    let snapshot = world.harness.state.snapshot();
    let read = snapshot.read();
    assert_eq!([read.len(WEBHOOKS), read.len(SERVER_WEBHOOKS), read.len(CHANNEL_WEBHOOKS)], [0; 3]);
}

#[test]
fn changes_are_told_where_they_are() {
    let world = World::default();
    let hook = create(&world, ALICE, TEXT);
    let edit = |body: &str| world.ok(ALICE, "PATCH", &hook.manage(), Some(body));
    let answer = edit(r#"{"name":"News","avatar_url":"https://x/y.png"}"#);
    assert_eq!((field(&answer, "name"), field(&answer, "token")), ("News".into(), "null".into()));
    assert_eq!(names(&world.events()), [(EventName::WebhooksUpdate, "200".into())]);
    for nothing in ["{}", r#"{"name":null,"avatar_url":null,"channel_id":null}"#, r#"{"channel_id":"200"}"#] {
        let same = edit(nothing);
        assert_eq!(field(&same, "avatar_url"), "https://x/y.png");
        assert!(world.events().is_empty(), "{nothing}");
    }
    assert_eq!(field(&edit(r#"{"avatar_url":""}"#), "avatar_url"), "null");
    world.events();
    let moved = edit(r#"{"channel_id":"202"}"#);
    assert_eq!(field(&moved, "channel_id"), "202");
    let update = |id: &str| (EventName::WebhooksUpdate, id.to_string());
    assert_eq!(names(&world.events()), [update("202"), update("200")]);
    assert_eq!(world.ok(ALICE, "GET", "/channels/200/webhooks", None), "[]");
    assert_eq!(column(&world.ok(ALICE, "GET", "/channels/202/webhooks", None), "id"), [hook.id.as_str()]);
    let refuse = |body: &str, status| world.refused(ALICE, "PATCH", &hook.manage(), Some(body), status);
    refuse(r#"{"channel_id":"201"}"#, 400);
    refuse(r#"{"channel_id":"999"}"#, 404);
    refuse(r#"{"channel_id":"x"}"#, 400);
    refuse(r#"{"name":""}"#, 400);
    refuse(r#"{"channel_id":"300"}"#, 400);
    let elsewhere = Server { owner_id: ALICE, everyone_role_id: RoleId(501), ..Server::default() };
    world.write(|tx| {
        tx.put(SERVERS, ServerId(500), &elsewhere);
        tx.put(MEMBERS, (ServerId(500), ALICE), &Member::default());
        tx.put(CHANNELS, ChannelId(600), &Channel { server_id: ServerId(500), ..Channel::default() });
    });
    assert!(refuse(r#"{"channel_id":"600"}"#, 400).contains("another server"));
    assert!(world.events().is_empty());
    assert_eq!(field(&said(&world, &hook, r#"{"content":"x"}"#), "channel_id"), "202");
    world.events();
    world.ok(ALICE, "DELETE", &hook.manage(), None);
    assert_eq!(names(&world.events()), [update("202")]);
    world.refused(ALICE, "DELETE", &hook.manage(), None, 404);
    refused(&world, &hook.path(), r#"{"content":"x"}"#, 404, "Webhook not found");
}

#[test]
fn a_webhook_says_it_under_its_own_name() {
    let world = World::default();
    let hook = create(&world, ALICE, TEXT);
    world.ok(ALICE, "PATCH", &hook.manage(), Some(r#"{"avatar_url":"https://x/hook.png"}"#));
    world.events();
    let (status, answer) = post(&world, &hook.path(), r#"{"content":"build 7 passed"}"#);
    assert_eq!((status, answer.as_str()), (200, r#"{"success":true}"#));
    let [event] = &world.events()[..] else { panic!("one event") };
    let all_of = CHANNELS_VIEW | MESSAGES_READ;
    assert_eq!(event.audience, Audience::Channel { server_id: SERVER, channel_id: TEXT, all_of });
    assert_eq!((event.name, event.intent), (EventName::MessageCreate, intent::GUILD_MESSAGES));
    let page = world.ok(BOB, "GET", "/channels/200/messages", None);
    let seconds = START_MS / 1_000;
    let id = &column(&page, "id")[0];
    let message = |rest: &str| {
        format!(
            r#"{{"id":"{id}","channel_id":"200","author_id":"1","content":"build 7 passed","created_at":{seconds},"edited_at":null,"reply_to_id":null,"attachments":[],"embeds":[],"pinned":false,"status":"sent","delivery_count":0,"read_count":0,"read":false,"read_by":[],"author_username":"Build","author_avatar_url":"https://x/hook.png","author_badges":[],"reactions":[],"metadata":null,"poll":null,"poll_results":null{rest}}}"#
        )
    };
    assert_eq!(page, format!("[{}]", message("")));
    assert_eq!(payload(event), message(r#","server_id":"100""#));
    // What it was called then stays, whatever becomes of it.
    world.ok(ALICE, "PATCH", &hook.manage(), Some(r#"{"name":"News","avatar_url":""}"#));
    let body =
        r#"{"content":"x","username":" CI ","avatar_url":"https://x/ci.png","embeds":[{"title":"T"}]}"#;
    let answer = said(&world, &hook, body);
    let message_id = field(&answer, "id");
    let want = format!(
        r#"{{"id":"{message_id}","webhook_id":"{}","channel_id":"200","content":"x","username":"CI","avatar_url":"https://x/ci.png","created_at":{seconds}}}"#,
        hook.id
    );
    assert_eq!(answer, want);
    world.say(ALICE, TEXT, "myself");
    let plain = said(&world, &hook, r#"{"embeds":[{"title":"T"}],"username":"","avatar_url":null}"#);
    assert_eq!((field(&plain, "username"), field(&plain, "content")), ("News".into(), String::new()));
    world.ok(ALICE, "DELETE", &hook.manage(), None);
    let page = world.ok(BOB, "GET", "/channels/200/messages", None);
    assert_eq!(column(&page, "author_username"), ["News", "alice", "CI", "Build"]);
    let avatars = ["null", "/api/v1/avatars/users/1", "https://x/ci.png", "https://x/hook.png"];
    assert_eq!(column(&page, "author_avatar_url"), avatars);
    assert_eq!(column(&page, "author_badges"), ["[]", r#"["alpha_tester"]"#, "[]", "[]"]);
    assert_eq!(column(&page, "embeds")[2], r#"[{"title":"T"}]"#);
    let edited =
        world.ok(ALICE, "PATCH", &format!("/channels/200/messages/{id}"), Some(r#"{"content":"y"}"#));
    assert_eq!((field(&edited, "author_username"), field(&edited, "content")), ("Build".into(), "y".into()));
    world.refused(BOB, "PATCH", &format!("/channels/200/messages/{id}"), Some(r#"{"content":"z"}"#), 403);
}

#[test]
fn what_it_says_is_checked() {
    let world = World::default();
    let hook = create(&world, ALICE, TEXT);
    let check = |body: &str, text: &str| refused(&world, &hook.path(), body, 400, text);
    for blank in [
        "{}",
        r#"{"content":null}"#,
        r#"{"content":""}"#,
        r#"{"content":"   "}"#,
        r#"{"content":"\u200b\u3164"}"#,
        r#"{"embeds":[]}"#,
        r#"{"content":" ","embeds":[{}]}"#,
        r#"{"username":"x"}"#,
    ] {
        check(blank, "must not be blank");
    }
    check("{", "Malformed JSON");
    check("[]", "must be a JSON object");
    check(r#"{"content":5}"#, "Invalid content");
    check(&format!(r#"{{"content":"{}"}}"#, "ü".repeat(2_001)), "at most 2000 characters, not 2001");
    check(&format!(r#"{{"content":"x","username":"{}"}}"#, "n".repeat(81)), "Invalid username");
    check(r#"{"content":"x","avatar_url":"data:image/png;base64,x"}"#, "Invalid avatar_url");
    check(r#"{"content":"x","embeds":{}}"#, "Invalid embeds");
    let embeds = [r#"{"title":"t"}"#; 11].join(",");
    check(&format!(r#"{{"embeds":[{embeds}]}}"#), "Invalid embeds: at most 10, not 11");
    for query in ["wait=maybe", "thread_id=x", "thread_id="] {
        refused(&world, &format!("{}?{query}", hook.path()), r#"{"content":"x"}"#, 400, "Invalid");
    }
    // Threads are refused as what they are.
    check(r#"{"content":"x","thread_id":"5"}"#, "Threads are not available");
    for path in [hook.path(), format!("{}/github", hook.path()), format!("{}/slack", hook.path())] {
        refused(&world, &format!("{path}?thread_id=5"), r#"{"content":"x"}"#, 400, "Threads are not");
    }
    assert!(world.events().is_empty());
    said(&world, &hook, &format!(r#"{{"content":"{}","thread_id":null}}"#, "ü".repeat(2_000)));
    assert_eq!(post(&world, &format!("{}?wait=0", hook.path()), r#"{"content":"x"}"#).0, 200);
    let config =
        Config { messaging: Messaging { max_message_length: 3, ..Default::default() }, ..Config::default() };
    let world = World::with_config(config);
    let hook = create(&world, ALICE, TEXT);
    refused(&world, &hook.path(), r#"{"content":"four"}"#, 400, "at most 3 characters");
}

#[test]
fn only_the_token_opens() {
    let world = World::default();
    let (hook, other) = (create(&world, ALICE, TEXT), create(&world, ALICE, TEXT));
    let body = r#"{"content":"x"}"#;
    let (id, secret) = (&hook.id, hook.token.rsplit('.').next().unwrap());
    for token in [
        "wrongtoken".to_string(),
        secret.to_string(),
        format!("{id}.{secret}"),
        format!("webhook.{id}."),
        format!("webhook.{id}.{}", "A".repeat(64)),
        format!("webhook.{id}.{secret}x"),
        format!("webhook.{}.{secret}", other.id),
        other.token.clone(),
        format!("Webhook.{id}.{secret}"),
        "x".repeat(4_000),
        "%00".to_string(),
    ] {
        for form in ["", "/github", "/slack"] {
            refused(&world, &format!("/webhooks/{id}/{token}{form}"), body, 401, "Invalid webhook token");
        }
    }
    refused(&world, &format!("/webhooks/77/{}", hook.token), body, 404, "Webhook not found");
    refused(&world, &format!("/webhooks/abc/{}", hook.token), body, 400, "Invalid webhook ID");
    // What the token does not say, an account does not either; and it speaks for nothing else.
    let path = format!("/webhooks/{id}/wrongtoken");
    assert_eq!(world.call(ALICE, "POST", &path, Some(body)).0, 401);
    assert_eq!(world.harness.request("GET", &hook.manage(), Some(&hook.token), None).0, 401);
    let answer = world.ok(BOB, "POST", &hook.path(), Some(body));
    assert_eq!(answer, r#"{"success":true}"#, "whoever shows it");
    world.events();
    let replaced = world.ok(ALICE, "POST", &format!("{}/regenerate-token", hook.manage()), None);
    assert!(world.events().is_empty());
    let new = Hook { id: field(&replaced, "id"), token: field(&replaced, "token") };
    assert_ne!(new.token, hook.token);
    assert!(field(&replaced, "url").ends_with(&format!("/webhooks/{id}/{}", new.token)));
    refused(&world, &hook.path(), body, 401, "Invalid webhook token");
    said(&world, &new, body);
}

#[test]
fn it_outlasts_its_creator_but_not_a_ban_of_who_has_the_token() {
    let world = World::default();
    allow(&world, WEBHOOKS_MANAGE);
    let hook = create(&world, BOB, TEXT);
    let body = r#"{"content":"x"}"#;
    world.ok(BOB, "POST", "/servers/100/leave", None);
    said(&world, &hook, body);
    assert_eq!(field(&world.ok(ALICE, "GET", &hook.manage(), None), "creator_id"), "2");
    world.ok(ALICE, "PUT", "/servers/100/bans/2", None);
    refused(&world, &hook.path(), body, 403, "may not post here any more");
    world.ok(ALICE, "DELETE", "/servers/100/bans/2", None);
    said(&world, &hook, body);
    // Whoever replaces the token is the one who knows it.
    world.ok(ALICE, "PUT", "/servers/100/bans/2", None);
    let replaced = world.ok(CAROL, "POST", &format!("{}/regenerate-token", hook.manage()), None);
    let new = Hook { id: field(&replaced, "id"), token: field(&replaced, "token") };
    let answer = said(&world, &new, body);
    let path = format!("/channels/200/messages/{}", field(&answer, "id"));
    assert_eq!(field(&world.ok(ALICE, "GET", &path, None), "author_id"), "2");
    let suspended = User { username: "carol".into(), state: account::LOCKED, ..User::default() };
    world.write(|tx| tx.put(USERS, CAROL, &suspended));
    refused(&world, &new.path(), body, 403, "may not post here any more");
    let purged = User { username: "deleted_3".into(), state: account::PURGED, ..User::default() };
    world.write(|tx| tx.put(USERS, CAROL, &purged));
    said(&world, &new, body);
}

#[test]
fn mentions_call_as_far_as_the_creator_may() {
    let world = World::default();
    allow(&world, WEBHOOKS_MANAGE);
    let hook = create(&world, BOB, TEXT);
    let told = |content: &str| -> Vec<String> {
        said(&world, &hook, &format!(r#"{{"content":"{content}"}}"#));
        world.harness.run_errands();
        let events = world.events();
        let told = events.iter().filter(|event| event.name == EventName::NotificationCreate);
        let users = told.map(|event| match &event.audience {
            Audience::Users(users) => users.iter().map(|id| id.0.to_string()).collect::<Vec<_>>().join(" "),
            other => panic!("{other:?}"),
        });
        users.collect()
    };
    assert_eq!(told("<@3> and <@5>"), ["3"], "who can read it");
    assert_eq!(told("<@2>"), [""; 0], "not the author");
    assert_eq!(told("<@&102>"), ["4"]);
    assert_eq!(told("@everyone"), [""; 0], "he may not");
    allow(&world, MESSAGES_MENTION_EVERYONE);
    assert_eq!(told("@everyone"), ["1 3 4"]);
    world.ok(BOB, "POST", "/servers/100/leave", None);
    assert_eq!(told("@everyone"), [""; 0]);
    assert_eq!(told("<@3>"), ["3"]);
}

#[test]
fn slowmode_is_for_people() {
    let world = World::default();
    let hook = create(&world, ALICE, SLOW);
    world.say(BOB, SLOW, "one");
    said(&world, &hook, r#"{"content":"two"}"#);
    said(&world, &hook, r#"{"content":"three"}"#);
    let snapshot = world.harness.state.snapshot();
    assert!(!snapshot.read().contains(SLOWMODE, (SLOW, ALICE)));
    assert_eq!(snapshot.read().scan(MESSAGES, SLOW).count(), 3);
}

#[test]
fn it_goes_with_its_channel_and_its_server() {
    for delete in ["/channels/202", "/servers/100"] {
        let world = World::default();
        let hook = create(&world, ALICE, SLOW);
        world.ok(ALICE, "DELETE", delete, None);
        refused(&world, &hook.path(), r#"{"content":"x"}"#, 404, "Webhook not found");
        world.refused(ALICE, "GET", &hook.manage(), None, 404);
        let snapshot = world.harness.state.snapshot();
        let read = snapshot.read();
        let left = [read.len(WEBHOOKS), read.len(SERVER_WEBHOOKS), read.len(CHANNEL_WEBHOOKS)];
        assert_eq!(left, [0; 3], "{delete}");
    }
}

#[test]
fn it_is_stored_as_what_it_was() {
    let world = World::default();
    let hook = create(&world, ALICE, TEXT);
    let id = MessageId::parse(&field(&said(&world, &hook, r#"{"content":"x"}"#), "id")).unwrap();
    let snapshot = world.harness.state.snapshot();
    let message = Message::from(snapshot.read().get(MESSAGES, (TEXT, id)).unwrap());
    let author = WebhookAuthor {
        webhook_id: crate::id::WebhookId::parse(&hook.id).unwrap(),
        name: "Build".into(),
        avatar_url: None,
    };
    assert_eq!((message.author_id, message.webhook), (ALICE, Some(Box::new(author))));
    let said_by = snapshot.read().scan(AUTHOR_MESSAGES, ALICE).map(|((_, id), _)| id);
    assert_eq!(said_by.collect::<Vec<_>>(), [id]);
}
