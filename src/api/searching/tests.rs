//! What is found, by whom: with an index and without one, and held against reading everything.

use std::time::{Duration, Instant};

use crate::api::testing::message_world::*;
use crate::config::{Config, Search};
use crate::id::{ChannelId, MessageId, UserId};
use crate::store::records::{Attachment, Channel, Message, Override, Relationship, channel_kind, relation};
use crate::store::tables::{CHANNELS, MEMBERS, MESSAGES, OVERRIDES, RELATIONSHIPS};
use crate::wire::json;

const PATIENCE: Duration = Duration::from_secs(30);

fn escaped(text: &str) -> String {
    let spelled = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => (byte as char).to_string(),
        byte => format!("%{byte:02X}"),
    });
    spelled.collect()
}

/// One page: ids, and the cursor of the next.
pub fn page(world: &World, who: UserId, query: &str, more: &str) -> (Vec<MessageId>, Option<String>) {
    let path = format!("/search/messages?query={}{more}", escaped(query));
    let mut bytes = world.ok(who, "GET", &path, None).into_bytes();
    let page = json::parse(&mut bytes).unwrap();
    let results = page.get("results").unwrap().as_array().unwrap();
    let ids = results.iter().map(|item| MessageId::parse(&field(&item.to_json(), "id")).unwrap());
    let ids = ids.collect();
    (ids, page.get("next_cursor").unwrap().as_str().map(str::to_owned))
}

/// All pages.
fn all(world: &World, who: UserId, query: &str, more: &str) -> Vec<MessageId> {
    let (mut ids, mut next) = page(world, who, query, more);
    while let Some(cursor) = next {
        let found;
        (found, next) = page(world, who, query, &format!("{more}&cursor={cursor}"));
        ids.extend(found);
    }
    ids
}

/// Waits until all pages are these: the index follows on a thread of its own.
#[track_caller]
fn expect(world: &World, who: UserId, query: &str, more: &str, want: &[MessageId]) {
    let until = Instant::now() + PATIENCE;
    let want: Vec<MessageId> = want.iter().rev().copied().collect();
    let mut got = all(world, who, query, more);
    while got != want {
        assert!(Instant::now() < until, "{query}{more} by {who}: {got:?}, not {want:?}");
        std::thread::sleep(Duration::from_millis(2));
        got = all(world, who, query, more);
    }
}

/// A world without an index, and one with.
fn worlds() -> [World; 2] {
    let worlds = [World::default(), World::default()];
    worlds[1].harness.keep_index();
    worlds
}

#[test]
fn the_whole_language() {
    for world in worlds() {
        world.write(|tx| {
            let named = |name: &str| Channel {
                server_id: SERVER,
                kind: channel_kind::TEXT,
                name: name.into(),
                ..Channel::default()
            };
            tx.put(CHANNELS, TEXT, &named("general"));
        });
        let ready = world.say(ALICE, TEXT, "Quarterly report is ready");
        world.harness.advance(1_000);
        let fine = world.say(BOB, TEXT, "The REPORT looks fine to me");
        let lunch = world.say(ALICE, TEXT, "lunch at noon?");
        let link = world.say(BOB, TEXT, "see https://example.org/page for more");
        let kept = world.say(ALICE, TEXT, "old report, please keep <@2>");
        let hidden = world.say(ALICE, HIDDEN, "hidden report");
        let private = world.say(ALICE, DM, "private report");
        world.ok(MAX, "PUT", &format!("/channels/{TEXT}/pins/{kept}"), None);
        let check = |query: &str, want: &[MessageId]| expect(&world, CAROL, query, "", want);
        check("report", &[ready, fine, kept]);
        check("report ready", &[ready]);
        check("\"report is\"", &[ready]);
        check("\"is report\"", &[]);
        check("from:BOB report", &[fine]);
        check("-from:bob report", &[ready, kept]);
        check("from:nobody report", &[]);
        check("-from:nobody report", &[ready, fine, kept]);
        check("report -fine", &[ready, kept]);
        check("in:General report", &[ready, fine, kept]);
        check("in:off report", &[]);
        check("-in:general report", &[]);
        check("mentions:bob", &[kept]);
        check("has:link", &[link]);
        check("-has:link from:bob", &[fine]);
        check("has:attachment", &[]);
        check("pinned:true", &[kept]);
        check("report pinned:false", &[ready, fine]);
        check("report after:2024-01-01", &[ready, fine, kept]);
        check("report before:2024-01-01", &[]);
        check("report after:1d", &[ready, fine, kept]);
        check("report -after:1d", &[]);
        check("-report", &[lunch, link]);
        check("", &[]);
        check("!!!", &[]);
        expect(&world, ALICE, "report", "", &[ready, fine, kept, hidden, private]);
        expect(&world, BOB, "report", "", &[ready, fine, kept, private]);
        expect(&world, GINA, "report", "", &[]);
        // Edits and deletions.
        let path = |id: MessageId| format!("/channels/{TEXT}/messages/{id}");
        world.ok(ALICE, "PATCH", &path(ready), Some(r#"{"content":"Quarterly summary is ready"}"#));
        check("report", &[fine, kept]);
        check("summary", &[ready]);
        world.ok(BOB, "DELETE", &path(fine), None);
        check("report", &[kept]);
        world.ok(MAX, "DELETE", &format!("/channels/{TEXT}/pins/{kept}"), None);
        check("pinned:true", &[]);
    }
}

#[test]
fn parameters_narrow_a_search() {
    for world in worlds() {
        let text = world.say(ALICE, TEXT, "word");
        let bobs = world.say(BOB, TEXT, "word");
        let dm = world.say(BOB, DM, "word");
        let check = |more: &str, want: &[MessageId]| expect(&world, ALICE, "word", more, want);
        check("", &[text, bobs, dm]);
        check("&author_id=2", &[bobs, dm]);
        check(&format!("&channel_id={TEXT}"), &[text, bobs]);
        check(&format!("&conversation_id={DM}"), &[dm]);
        check(&format!("&conversation_id={DM}&channel_id={DM}"), &[dm]);
        check(&format!("&conversation_id={DM}&channel_id={TEXT}"), &[]);
        check(&format!("&server_id={SERVER}"), &[text, bobs]);
        check(&format!("&server_id={SERVER}&channel_id={DM}"), &[]);
        check(&format!("&server_id={SERVER}&channel_id={TEXT}&author_id=1"), &[text]);
        check("&server_id=77", &[]);
        check("&channel_id=77", &[]);
        for who in [CAROL, GINA] {
            expect(&world, who, "word", &format!("&channel_id={DM}"), &[]);
        }
        expect(&world, GINA, "word", &format!("&server_id={SERVER}"), &[]);
        for (more, name) in [
            ("&limit=0", "limit"),
            ("&limit=101", "limit"),
            ("&limit=x", "limit"),
            ("&cursor=%3F%3F%3F", "cursor"),
            ("&cursor=AQ", "cursor"),
            ("&channel_id=x", "channel_id"),
            ("&conversation_id=x", "conversation_id"),
            ("&server_id=-1", "server_id"),
            ("&author_id=x", "author_id"),
        ] {
            let path = format!("/search/messages?query=word{more}");
            let told = world.refused(ALICE, "GET", &path, None, 400);
            assert!(told.contains(&format!("Invalid {name}")), "{more}: {told}");
        }
        world.refused(ALICE, "GET", "/search/messages", None, 400);
        world.refused(ALICE, "GET", "/search/messages?query=has:cats", None, 400);
    }
}

#[test]
fn pages_are_full_and_stable() {
    for world in worlds() {
        let ids: Vec<MessageId> = (0..10).map(|_| world.say(ALICE, TEXT, "word")).collect();
        expect(&world, BOB, "word", "&limit=4", &ids);
        let (first, next) = page(&world, BOB, "word", "&limit=4");
        let more = format!("&limit=4&cursor={}", next.unwrap());
        world.say(ALICE, TEXT, "word");
        let (second, next) = page(&world, BOB, "word", &more);
        assert_eq!([first, second].concat(), ids.iter().rev().take(8).copied().collect::<Vec<_>>());
        let (third, end) = page(&world, BOB, "word", &format!("&limit=4&cursor={}", next.unwrap()));
        assert_eq!((third, end), (vec![ids[1], ids[0]], None));
        // Exactly as many as there are: no further page.
        let (exact, end) = page(&world, BOB, "word", &format!("{more}&limit=6"));
        assert_eq!((exact.len(), end.is_some()), (4, true), "the first limit counts");
    }
}

#[test]
fn rights_are_those_of_the_moment() {
    for world in worlds() {
        let muted = world.say(ALICE, MUTE, "word");
        let open = world.say(ALICE, TEXT, "word");
        expect(&world, CAROL, "word", "", &[open]);
        world.write(|tx| tx.put(OVERRIDES, (MUTE, 1, CAROL.0), &Override { allow: 1 << 2, deny: 0 }));
        expect(&world, CAROL, "word", "", &[muted, open]);
        world.write(|tx| assert!(tx.delete(MEMBERS, (SERVER, CAROL))));
        expect(&world, CAROL, "word", "", &[]);
    }
}

#[test]
fn files_are_found_by_what_they_are() {
    for world in worlds() {
        let mut ids = Vec::new();
        for kind in ["image/png", "video/mp4", "audio/ogg", "text/plain"] {
            let id = world.say(ALICE, TEXT, "file");
            world.write(|tx| {
                let mut message = Message::from(tx.get(MESSAGES, (TEXT, id)).unwrap());
                message.attachments = vec![Attachment { content_type: kind.into(), ..Attachment::default() }];
                tx.put(MESSAGES, (TEXT, id), &message);
            });
            // Has it looked at again.
            world.ok(
                ALICE,
                "PATCH",
                &format!("/channels/{TEXT}/messages/{id}"),
                Some(r#"{"content":"a file"}"#),
            );
            ids.push(id);
        }
        let check = |query: &str, want: &[MessageId]| expect(&world, BOB, query, "", want);
        check("has:file", &ids);
        check("has:attachment", &ids);
        check("has:image", &ids[..1]);
        check("has:video", &ids[1..2]);
        check("has:audio", &ids[2..3]);
        check("has:file -has:image -has:audio", &[ids[1], ids[3]]);
        check("has:embed", &[]);
    }
}

#[test]
fn languages() {
    let texts = [
        ("en", "The Quick brown fox", &["quick", "FOX brown", "\"brown fox\""][..]),
        ("de", "Größe der Straße", &["größe", "STRAßE"]),
        ("fr", "L'été à la plage", &["été", "ÉTÉ", "plage"]),
        ("ru", "Привет, мир", &["привет", "МИР"]),
        ("el", "Οδός του ήλιου", &["ΟΔΌΣ", "οδός"]),
        ("tr", "İstanbul güzel", &["istanbul", "GÜZEL"]),
        ("ar", "مرحبا بالعالم", &["بالعالم"]),
        ("he", "שלום עולם", &["עולם"]),
        ("hi", "हिन्दी में संदेश", &["हिन्दी", "संदेश"]),
        ("zh", "我们明天去北京开会", &["北京", "明天", "开会 北京", "会"]),
        ("ja", "東京タワーに行きたい", &["東京", "タワー", "行きたい", "タ"]),
        ("ko", "학교에서 만나요", &["학교", "만나"]),
        ("th", "สวัสดีชาวโลก", &["สวัสดี", "ชาวโลก", "โลก"]),
        ("vi", "Tiếng Việt", &["việt", "TIẾNG"]),
        ("fa", "می\u{200c}خواهم بروم", &["بروم"]),
        ("wide", "ＡＢＣ１２３", &["abc123"]),
    ];
    for world in worlds() {
        let ids: Vec<MessageId> = texts.iter().map(|(_, text, _)| world.say(ALICE, TEXT, text)).collect();
        for ((language, _, queries), id) in texts.iter().zip(&ids) {
            for query in queries.iter() {
                expect(&world, BOB, query, "", &[*id]);
                assert_eq!(all(&world, BOB, query, "").len(), 1, "{language}");
            }
        }
        for nothing in ["grosse", "ete", "京東", "北会", "οδος", "โลกชาว", "qui", "ui"] {
            expect(&world, BOB, nothing, "", &[]);
        }
    }
}

#[test]
fn a_channel_is_searched_alone() {
    for world in worlds() {
        let first = world.say(ALICE, TEXT, "one Word");
        let second = world.say(BOB, TEXT, "two words, a word");
        world.say(ALICE, DM, "word");
        expect(&world, CAROL, "word", "", &[first, second]);
        let path = |channel: ChannelId, query: &str| format!("/channels/{channel}/messages/search{query}");
        let found = |query: &str| column(&world.ok(CAROL, "GET", &path(TEXT, query), None), "id");
        let spelled = |ids: &[MessageId]| ids.iter().map(MessageId::to_string).collect::<Vec<_>>();
        assert_eq!(found("?content=WORD"), spelled(&[second, first]));
        assert_eq!(found("?content=word&limit=1"), spelled(&[second]));
        assert_eq!(found("?content=word%20two"), spelled(&[second]));
        assert_eq!(found("?content="), [""; 0]);
        let whole = world.ok(CAROL, "GET", &format!("/channels/{TEXT}/messages/{first}"), None);
        let list = world.ok(CAROL, "GET", &path(TEXT, "?content=one"), None);
        assert_eq!(list, format!("[{whole}]"));
        for (who, channel, query, status) in [
            (CAROL, NOWHERE, "?content=x", 404),
            (GINA, TEXT, "?content=x", 403),
            (CAROL, HIDDEN, "?content=x", 403),
            (CAROL, MUTE, "?content=x", 403),
            (CAROL, DM, "?content=x", 403),
            (CAROL, TEXT, "", 400),
            (CAROL, TEXT, "?content=x&limit=0", 400),
        ] {
            world.refused(who, "GET", &path(channel, query), None, status);
        }
    }
}

#[test]
fn people_are_found_by_beginnings_and_words() {
    let world = World::default();
    use crate::store::records::{User, UserRef};
    use crate::store::tables::{USER_NAMES, USERS};
    world.write(|tx| {
        let names = ["Grace_Hopper", "grace", "hopper_grace", "gracious"];
        for (id, name) in (10..).zip(names) {
            tx.put(USERS, UserId(id), &User { username: name.into(), ..User::default() });
            tx.put(USER_NAMES, name.to_ascii_lowercase().as_str(), &UserRef { id: UserId(id) });
        }
    });
    let page = |who: UserId, query: &str| {
        let text = world.ok(who, "GET", &format!("/search/users?query={query}"), None);
        let mut bytes = text.into_bytes();
        let page = json::parse(&mut bytes).unwrap();
        let names = page.get("results").unwrap().as_array().unwrap().iter();
        let names: Vec<String> = names.map(|item| field(&item.to_json(), "username")).collect();
        (names, page.get("next_cursor").unwrap().as_str().map(str::to_owned))
    };
    let found = |query: &str| page(ALICE, query).0;
    assert_eq!(found("GRACE"), ["grace", "Grace_Hopper", "hopper_grace"]);
    assert_eq!(found("grac"), ["grace", "Grace_Hopper", "gracious"]);
    assert_eq!(found("hopper"), ["hopper_grace", "Grace_Hopper"]);
    assert_eq!(found("hop"), ["hopper_grace"]);
    assert_eq!(found("race"), [""; 0]);
    assert_eq!(found(""), [""; 0]);
    let (first, next) = page(ALICE, "grace&limit=1");
    let (second, next) = page(ALICE, &format!("grace&limit=1&cursor={}", next.unwrap()));
    let (third, end) = page(ALICE, &format!("grace&limit=1&cursor={}", next.unwrap()));
    assert_eq!([first, second, third].concat(), ["grace", "Grace_Hopper", "hopper_grace"]);
    assert_eq!(end, None);
    let answer = world.ok(ALICE, "GET", "/search/users?query=grace_h", None);
    let want = r#"{"results":[{"user_id":"10","username":"Grace_Hopper","display_name":null,"avatar_url":"/api/v1/avatars/users/10","badges":[],"score":58}],"next_cursor":null}"#;
    assert_eq!(answer, want);
    let of_server = |query: &str| page(ALICE, &format!("{query}&server_id={SERVER}")).0;
    assert_eq!((of_server("bob"), of_server("grace").len()), (vec!["bob".to_string()], 0));
    let path = format!("/search/users?query=bob&server_id={SERVER}");
    world.refused(GINA, "GET", &path, None, 403);
    world.refused(ALICE, "GET", "/search/users?query=bob&server_id=77", None, 404);
    world.refused(ALICE, "GET", "/search/users?query=bob&cursor=x", None, 400);
    world.refused(ALICE, "GET", "/search/users", None, 400);
    for pair in [(ALICE, BOB), (BOB, ALICE)] {
        let block = Relationship { kind: relation::BLOCKED, ..Relationship::default() };
        world.write(|tx| tx.put(RELATIONSHIPS, pair, &block));
        assert_eq!((found("bob").len(), page(GINA, "bob").0.len()), (0, 1));
        world.write(|tx| assert!(tx.delete(RELATIONSHIPS, pair)));
    }
}

#[test]
fn no_server_is_listed() {
    let world = World::default();
    let answer = world.ok(ALICE, "GET", "/search/servers?query=x&category=games", None);
    assert_eq!(answer, r#"{"results":[],"next_cursor":null}"#);
    for path in ["", "?query=x&limit=0", "?query=x&cursor=x"] {
        world.refused(ALICE, "GET", &format!("/search/servers{path}"), None, 400);
    }
}

#[test]
fn search_can_be_switched_off_and_its_pages_be_short() {
    let config = |search: Search| Config { search, ..Config::default() };
    let off = World::with_config(config(Search { enabled: false, ..Search::default() }));
    for path in ["messages", "users", "servers"] {
        off.refused(ALICE, "GET", &format!("/search/{path}?query=x"), None, 503);
    }
    off.refused(ALICE, "GET", &format!("/channels/{TEXT}/messages/search?content=x"), None, 503);
    let short = World::with_config(config(Search { result_limit: 2, ..Search::default() }));
    for _ in 0..5 {
        short.say(ALICE, TEXT, "word");
    }
    let (ids, next) = page(&short, BOB, "word", "&limit=100");
    assert_eq!((ids.len(), next.is_some()), (2, true));
}
